//! The supervision of one child: its records, its output, its deadline, requests to stop, its end
//! and the end of all it leaves.
//!
//! One thread and no others. On Linux it sleeps in one `poll` over the child's pidfd, the wake-up
//! for stop requests and an inotify watch of what the child writes; elsewhere it naps. A child that
//! ends within the first nap costs no watch.

use super::output::Output;
use super::sleeper::{LONGEST_BLIND_NAP, Sleeper};
use super::stop_line::Asked;
use super::system::{SYSTEM, Sampler};
use super::usage::Meter;
use super::watch::Watch;
use super::{Exit, Outcome, TrialContext, processes};
use crate::logger::{Point, Tail, TrialLogger};
use crate::space::Name;
use crate::study::{Failure, Usage};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid,
};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use wait4::Wait4;

/// The first nap; each is twice as long as the one before.
const FIRST_NAP: Duration = Duration::from_millis(5);

/// The longest nap while what the child writes is watched: the sizes of its logs are looked at that
/// often.
const LONGEST_NAP: Duration = Duration::from_millis(250);

/// A child that lives this long is worth a watch.
const WORTH_A_WATCH: Duration = Duration::from_millis(20);

/// How often what a child's processes use is looked at, where memory is limited and where not.
const WEIGH_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long what the leader of a group leaves behind may take to end, at most.
pub(super) const GRACE_FOR_THE_REST: Duration = Duration::from_secs(2);

/// How a child is to be supervised.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long it may run.
    pub(super) limit: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// How many bytes of memory its processes may hold together, if that is to be watched.
    pub(super) memory: Option<u64>,
    /// How often what it uses is sampled; `None`: never.
    pub(super) system: Option<Duration>,
}

/// Signals by which others end a program.
const KILL: i32 = 9;
const TERM: i32 = 15;

/// A child that runs, and what is known of it.
pub(super) struct Supervision<'a> {
    trial: &'a TrialContext,
    log: &'a mut TrialLogger,
    child: Child,
    group: Pid,
    terms: &'a Terms,
    begun: Instant,
    records: Records,
    output: Output,
    watch: Option<Watch>,
    sampler: Option<Sampler>,
    ending: Option<Ending>,
    /// Finds the child's orphans.
    orphans: &'a dyn Fn() -> Vec<u32>,
    meter: Meter,
    weighed: Instant,
    /// Since when it stands still.
    halted: Option<Instant>,
    /// How long it stood still before.
    stood: Duration,
    complaints: BTreeSet<&'static str>,
}

/// Lines that the child appends.
pub(super) struct Records {
    path: PathBuf,
    tail: Tail,
    watched: bool,
}

impl Records {
    /// Takes the records of an attempt; one that resumes leaves out those of the attempts before
    /// it.
    ///
    /// # Errors
    /// If those cannot be read.
    pub(super) fn new(dir: &Path, resumes: bool) -> io::Result<Self> {
        let path = dir.join("records.jsonl");
        let tail = if resumes {
            Tail::after_existing(&path)?
        } else {
            Tail::new(&path)
        };
        Ok(Self {
            path,
            tail,
            watched: false,
        })
    }
}

/// An end that was begun.
struct Ending {
    why: Why,
    /// When SIGTERM is due, of a trial that hears by the answer it waits for.
    term_at: Option<Instant>,
    /// When SIGKILL is due; `None` if it was sent.
    kill_at: Option<Instant>,
}

enum Why {
    Asked,
    TooLong(Duration),
    TooMuch,
}

impl<'a> Supervision<'a> {
    /// Takes over a child that leads its own process group.
    pub(super) fn new(
        child: Child,
        trial: &'a TrialContext,
        log: &'a mut TrialLogger,
        terms: &'a Terms,
        records: Records,
        output: Output,
        orphans: &'a dyn Fn() -> Vec<u32>,
    ) -> Self {
        let group = Pid::from_child(&child);
        let begun = Instant::now();
        Self {
            trial,
            log,
            orphans,
            meter: Meter::new(child.id()),
            weighed: begun,
            halted: None,
            stood: Duration::ZERO,
            child,
            group,
            terms,
            begun,
            records,
            output,
            watch: None,
            sampler: terms
                .system
                .map(|every| Sampler::new(group.as_raw_nonzero().get().unsigned_abs(), every)),
            ending: None,
            complaints: BTreeSet::new(),
        }
    }

    /// Returns when the child has ended and its process group is empty. Calls `settled` once if it
    /// has not ended after the first nap.
    pub(super) fn run(mut self, settled: impl FnOnce()) -> Outcome {
        let status = self.until_exit(settled);
        let (exit, usage) = match status {
            Ok((status, usage)) => (self.exit(status), usage),
            Err(error) => (supervision_failed(&error), Usage::default()),
        };
        self.end_group();
        self.read_to_the_end();
        if exit == Exit::Done {
            self.note_unreported();
        }
        Outcome {
            exit: self.with_error(exit),
            usage,
        }
    }

    fn until_exit(&mut self, settled: impl FnOnce()) -> io::Result<(ExitStatus, Usage)> {
        let sleeper = Sleeper::new(self.group);
        let mut nap = FIRST_NAP;
        let mut looked = None;
        let mut settled = Some(settled);
        loop {
            let line = &self.trial.line;
            let woken = sleeper.sleep(line, self.watch.as_ref(), self.shortened(nap), looked);
            if woken.exited {
                return self.bury();
            }
            if let Some(settled) = settled.take() {
                settled();
            }
            self.halt_or_go_on();
            if self.halted.is_some() {
                continue;
            }
            self.obey();
            self.keep_time();
            self.weigh();
            self.sample();
            if woken.grown {
                self.watch();
                self.read();
                looked = Some(Instant::now());
            } else if self.begun.elapsed() >= FIRST_NAP {
                nap = self.next_nap(nap);
                self.watch();
                self.read();
                self.trim();
            }
        }
    }

    /// Waits for the dead child, after a last look at what it leaves: that is given to others from
    /// now on.
    fn bury(&mut self) -> io::Result<(ExitStatus, Usage)> {
        let orphans = (self.orphans)();
        if !orphans.is_empty() {
            self.meter.look(&orphans, None);
        }
        let ended = self.child.wait4()?;
        Ok((ended.status, self.meter.usage(&ended.rusage)))
    }

    /// Stands still with the orchestrator, or goes on with it; what is due is put off meanwhile.
    fn halt_or_go_on(&mut self) {
        let asked = self.trial.line.is_halt_asked();
        match (asked, self.halted) {
            (true, None) => {
                self.signal_all(Signal::STOP);
                self.halted = Some(Instant::now());
                self.trial.line.note_halted(true);
            }
            (false, Some(since)) => {
                self.signal_all(Signal::CONT);
                let stood = since.elapsed();
                self.stood += stood;
                if let Some(Ending {
                    term_at, kill_at, ..
                }) = &mut self.ending
                {
                    term_at
                        .iter_mut()
                        .chain(kill_at)
                        .for_each(|due| *due += stood);
                }
                self.halted = None;
                self.trial.line.note_halted(false);
            }
            _ => {}
        }
    }

    /// Signals the group, and what has left it.
    fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        let (leader, orphans) = (self.child.id(), (self.orphans)());
        processes::signal_outside(orphans.into_iter().chain([leader]), leader, signal);
    }

    /// Looks at what the child's processes use, once it has lived long enough, and ends them if it
    /// is too much.
    fn weigh(&mut self) {
        let young = self.begun.elapsed() < WORTH_A_WATCH;
        let pace = if self.terms.memory.is_some() {
            WEIGH_EVERY
        } else {
            LOOK_EVERY
        };
        let first = self.weighed == self.begun;
        if young || (!first && self.weighed.elapsed() < pace) {
            return;
        }
        self.weighed = Instant::now();
        let held = self.meter.look(&(self.orphans)(), self.terms.memory);
        let Some(limit) = self.terms.memory.filter(|limit| held.bytes > *limit) else {
            return;
        };
        if self
            .ending
            .as_ref()
            .is_some_and(|ending| matches!(ending.why, Why::TooMuch))
        {
            return;
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (bytes, limit) = (mib(held.bytes), mib(limit));
        let whose = match held.processes {
            1 => "its process held".to_owned(),
            several => format!("its {several} processes held"),
        };
        self.log.warn(format!(
            "{whose} {bytes} MiB of memory, {limit} MiB is what `resources.memory` gives it"
        ));
        // Whoever is short of memory does not get time to take more.
        self.signal_all(Signal::KILL);
        self.ending = Some(Ending {
            why: Why::TooMuch,
            term_at: None,
            kill_at: None,
        });
    }

    /// Returns how long the child has run, without the time it stood still.
    fn ran(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.stood)
    }

    /// Returns the nap, shorter if something is due before its end.
    fn shortened(&self, nap: Duration) -> Duration {
        if self.halted.is_some() {
            return nap;
        }
        let nap = if self.terms.memory.is_some() {
            nap.min(WEIGH_EVERY)
        } else {
            nap
        };
        let due = match &self.ending {
            Some(ending) => ending.term_at.or(ending.kill_at),
            None => self
                .terms
                .limit
                .map(|limit| self.begun + self.stood + limit),
        };
        due.map_or(nap, |due| {
            nap.min(due.saturating_duration_since(Instant::now()))
        })
    }

    fn next_nap(&self, nap: Duration) -> Duration {
        let all_watched = self.watch.is_some() && self.records.watched;
        (nap * 2).min(if all_watched {
            LONGEST_NAP
        } else {
            LONGEST_BLIND_NAP
        })
    }

    /// Does what the executor asks.
    fn obey(&mut self) {
        match (self.trial.asked(), &mut self.ending) {
            (None, _) => {}
            (Some(asked), None) => self.begin_to_end(Why::Asked, asked),
            (
                Some(Asked { kill: true, .. }),
                Some(Ending {
                    term_at,
                    kill_at: kill_at @ Some(_),
                    ..
                }),
            ) => {
                (*term_at, *kill_at) = (None, None);
                self.signal(Signal::KILL);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Ends a child that runs too long, or does not heed SIGTERM.
    fn keep_time(&mut self) {
        let (now, ran) = (Instant::now(), self.ran());
        match (&mut self.ending, self.terms.limit) {
            (
                Some(Ending {
                    term_at, kill_at, ..
                }),
                _,
            ) => {
                if term_at.is_some_and(|due| now >= due) {
                    *term_at = None;
                    self.terminate();
                } else if kill_at.is_some_and(|due| now >= due) {
                    *kill_at = None;
                    self.signal(Signal::KILL);
                }
            }
            (None, Some(limit)) if ran >= limit => {
                let asked = Asked {
                    why: super::Stop::Verdict,
                    kill: false,
                };
                self.begin_to_end(Why::TooLong(limit), asked);
            }
            (None, _) => {}
        }
    }

    fn begin_to_end(&mut self, why: Why, asked: Asked) {
        let (now, grace) = (Instant::now(), self.terms.grace);
        let (term_at, kill_at) = if asked.kill {
            self.signal(Signal::KILL);
            (None, None)
        } else {
            // Only a help for those who poll: SIGTERM says the same.
            let word = if asked.why == super::Stop::Pause {
                "pause\n"
            } else {
                ""
            };
            std::fs::write(stop_file(&self.trial.launch.dir), word).ok();
            if self.log.waits() && matches!(asked.why, super::Stop::Pause | super::Stop::Verdict) {
                (Some(now + grace), Some(now + grace * 2))
            } else {
                self.terminate();
                (None, Some(now + grace))
            }
        };
        self.ending = Some(Ending {
            why,
            term_at,
            kill_at,
        });
    }

    fn terminate(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // The leader is not waited for yet, so the group is still this one; it may be dead, though.
        kill_process_group(self.group, signal).ok();
    }

    /// Records what the trial uses, if that is due.
    fn sample(&mut self) {
        let sample = self.sampler.as_mut().map(Sampler::take).unwrap_or_default();
        if !sample.is_empty() {
            let values: Vec<(&str, f64)> = sample
                .iter()
                .map(|(name, value)| (&**name, *value))
                .collect();
            let lost = self
                .log
                .metrics(&values, Point::default().log(SYSTEM))
                .err();
            self.complain("a sample of the system", lost);
        }
    }

    /// Watches what there is to watch, once the child has lived long enough.
    fn watch(&mut self) {
        if self.begun.elapsed() < WORTH_A_WATCH || self.records.watched {
            return;
        }
        if self.watch.is_none() {
            self.watch = Watch::new();
            if let Some(watch) = &self.watch {
                watch.add_births(&self.trial.launch.dir);
                for path in self.output.searched() {
                    watch.add(path);
                }
            }
        }
        self.records.watched = self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.add(&self.records.path));
    }

    /// Takes what the child has written since the last time.
    fn read(&mut self) {
        let read = self.log.follow(&mut self.records.tail);
        let searched = match self.output.written_at() {
            Some(modified) => self
                .log
                .take_output(modified, false, |each| self.output.search(each)),
            None => None,
        };
        let flushed = self.log.flush();
        self.complain("`records.jsonl`", read.err());
        self.complain("the output", searched.and_then(Result::err));
        self.complain("a record", flushed.err());
    }

    fn read_to_the_end(&mut self) {
        let read = self.log.follow_to_the_end(&mut self.records.tail);
        let searched = match self.output.written_at() {
            Some(modified) => self
                .log
                .take_output(modified, true, |each| self.output.finish(each)),
            None => None,
        };
        self.complain("`records.jsonl`", read.err());
        self.complain("the output", searched.and_then(Result::err));
        self.trim();
    }

    /// Notes for the metrics that decide and were not reported what the output tells of them.
    fn note_unreported(&mut self) {
        let deciding = self.trial.study.deciding.iter();
        let silent: Vec<&Name> = deciding.filter(|name| self.log.is_silent(name)).collect();
        if silent.is_empty() {
            return;
        }
        let printed = self.output.printed();
        for name in silent {
            if let Some(reason) = self.output.why_unreported(name, &printed) {
                self.log.note_unreported(name, reason);
            }
        }
    }

    /// Adds the error that the program wrote to how it failed. One that was killed from outside
    /// wrote none about that.
    fn with_error(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Failed(ended @ (Failure::Code(_) | Failure::Signal(_)))
                if !matches!(ended, Failure::Signal(KILL | TERM)) =>
            {
                Exit::Failed(match self.output.error() {
                    Some(error) => Failure::Raised {
                        error,
                        ended: Box::new(ended),
                    },
                    None => ended,
                })
            }
            other => other,
        }
    }

    /// Keeps the logs short.
    fn trim(&mut self) {
        match self.output.trim() {
            Ok(cut) => {
                for name in cut {
                    self.log.warn(format!(
                        "`{name}` went over `limits.log`: its head and tail are kept"
                    ));
                }
            }
            Err(error) => self.complain("a log that is too long", Some(error)),
        }
    }

    /// Warns, once for each thing: what fails once fails at every look.
    fn complain(&mut self, what: &'static str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error
            && self.complaints.insert(what)
        {
            self.log
                .warn(format!("{what} could not be taken in: {error}"));
        }
    }

    fn exit(&self, status: ExitStatus) -> Exit {
        match (&self.ending, status.code(), status.signal()) {
            (
                Some(Ending {
                    why: Why::TooLong(limit),
                    ..
                }),
                ..,
            ) => Exit::Failed(Failure::Timeout(*limit)),
            (
                Some(Ending {
                    why: Why::TooMuch, ..
                }),
                ..,
            ) => Exit::Failed(Failure::Memory),
            (
                Some(Ending {
                    why: Why::Asked, ..
                }),
                ..,
            ) => self.trial.asked().map_or(Exit::Interrupted, Asked::exit),
            (None, Some(0), _) => Exit::Done,
            (None, Some(code), _) => Exit::Failed(Failure::Code(code)),
            (None, None, signal) => Exit::Failed(Failure::Signal(signal.unwrap_or(0))),
        }
    }

    /// Ends what the leader left in its group: SIGTERM, a short grace, SIGKILL.
    fn end_group(&mut self) {
        let sudden = self.trial.asked().is_some_and(|asked| asked.kill);
        let first = if sudden { Signal::KILL } else { Signal::TERM };
        if kill_process_group(self.group, first) == Err(Errno::SRCH) {
            return;
        }
        let begun = Instant::now();
        let grace = self.terms.grace.min(GRACE_FOR_THE_REST);
        let mut killed = sudden;
        let mut nap = Duration::from_micros(500);
        while self.group_lives() && begun.elapsed() < grace + Duration::from_secs(5) {
            if !killed && begun.elapsed() >= grace {
                kill_process_group(self.group, Signal::KILL).ok();
                killed = true;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(20));
        }
    }

    /// Returns whether somebody of the group is alive; waits for its dead that were given to this
    /// process.
    fn group_lives(&self) -> bool {
        while matches!(waitpgid(self.group, WaitOptions::NOHANG), Ok(Some(_))) {}
        test_kill_process_group(self.group).is_ok()
    }
}

/// Returns the file that says the same as SIGTERM.
pub(super) fn stop_file(dir: &Path) -> PathBuf {
    dir.join("stop")
}

fn supervision_failed(error: &io::Error) -> Exit {
    Exit::Failed(Failure::Error(format!(
        "its exit status could not be had: {error}"
    )))
}
