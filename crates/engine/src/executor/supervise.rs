//! Supervises one child process: reads its records and output, enforces its time and memory limits,
//! passes on stop requests, reaps it and ends the processes it leaves in its process group.
//!
//! One thread supervises one child. On Linux it sleeps in a single `poll` over the child's pidfd,
//! the eventfd for stop requests and an inotify watch of the files the child writes; on other
//! systems it sleeps for short intervals. A child that ends within the first interval never costs
//! an inotify watch.

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

/// First interval between two polls; each following interval is twice as long.
const FIRST_NAP: Duration = Duration::from_millis(5);

/// Longest interval while the child's files are watched by inotify. The sizes of its logs are
/// checked this often.
const LONGEST_NAP: Duration = Duration::from_millis(250);

/// Minimum lifetime of a child before its files are watched and its memory is measured.
const WORTH_A_WATCH: Duration = Duration::from_millis(20);

/// Intervals of the measurements of memory and processor time: with a memory limit, and without.
const WEIGH_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Longest grace period, between SIGTERM and SIGKILL, for processes that the leader of a group
/// leaves behind.
pub(super) const GRACE_FOR_THE_REST: Duration = Duration::from_secs(2);

/// Limits and intervals of the supervision of a child.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// Longest run time; `None` for no limit.
    pub(super) limit: Option<Duration>,
    /// Grace period between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// Most bytes of memory its processes may hold together; `None` if the supervisor need not
    /// check.
    pub(super) memory: Option<u64>,
    /// Interval between two samples of system usage; `None` for no samples.
    pub(super) system: Option<Duration>,
}

/// Signals with which other processes usually end a program.
const KILL: i32 = 9;
const TERM: i32 = 15;

/// A running child process and the state of its supervision.
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
    /// Returns the process ids of the child's orphans.
    orphans: &'a dyn Fn() -> Vec<u32>,
    meter: Meter,
    weighed: Instant,
    /// Since when the child is suspended with SIGSTOP; `None` while it runs.
    halted: Option<Instant>,
    /// Total duration of earlier suspensions.
    stood: Duration,
    complaints: BTreeSet<&'static str>,
}

/// The `records.jsonl` to which the child appends, and the position up to which it was read.
pub(super) struct Records {
    path: PathBuf,
    tail: Tail,
    watched: bool,
}

impl Records {
    /// Opens the records of an attempt. If the attempt resumes, the records of earlier attempts are
    /// skipped.
    ///
    /// # Errors
    /// Fails if the existing records cannot be read.
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

/// A termination that is under way.
struct Ending {
    why: Why,
    /// Time at which SIGTERM is due, for a trial that first learns of the stop from the answer it
    /// waits for.
    term_at: Option<Instant>,
    /// Time at which SIGKILL is due; `None` once it was sent.
    kill_at: Option<Instant>,
}

enum Why {
    Asked,
    TooLong(Duration),
    TooMuch,
}

impl<'a> Supervision<'a> {
    /// Takes over the supervision of a child that leads its own process group.
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

    /// Supervises the child until it has ended and its process group is empty. Calls `settled` once
    /// if the child still runs after the first interval.
    pub(super) fn run(mut self, settled: impl FnOnce()) -> Outcome {
        let status = self.until_exit(settled);
        let (exit, usage) = match status {
            Ok((status, usage)) => (self.exit(status), usage),
            Err(error) => (supervision_failed(&error), Usage::default()),
        };
        // The group is ended before the last read, so that no process can append records after it.
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
            // The child has lived through its first interval. Only now is it worth an entry with
            // the guard, a place in the journal and, if it has none yet, a cgroup.
            if let Some(settled) = settled.take() {
                settled();
            }
            self.halt_or_go_on();
            // A suspended child writes nothing, and its deadlines do not count.
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

    /// Reaps the child. Its orphans are measured first: the rusage of the child does not include
    /// them, and they are ended next.
    fn bury(&mut self) -> io::Result<(ExitStatus, Usage)> {
        let orphans = (self.orphans)();
        if !orphans.is_empty() {
            self.meter.look(&orphans, None);
        }
        let ended = self.child.wait4()?;
        Ok((ended.status, self.meter.usage(&ended.rusage)))
    }

    /// Suspends the child when the orchestrator is suspended, and resumes it with the orchestrator.
    /// Deadlines are moved by the duration of the suspension.
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

    /// Signals the process group, and the descendants that have left the group.
    fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        let (leader, orphans) = (self.child.id(), (self.orphans)());
        processes::signal_outside(orphans.into_iter().chain([leader]), leader, signal);
    }

    /// Measures the memory and processor time of the child's processes, once the child has lived
    /// long enough. Kills them if they exceed the memory limit.
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
        // Already killed for this reason: one warning is enough while the processes die.
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
        // Kill at once: a grace period would let the processes allocate more.
        self.signal_all(Signal::KILL);
        self.ending = Some(Ending {
            why: Why::TooMuch,
            term_at: None,
            kill_at: None,
        });
    }

    /// Returns the run time of the child without its suspensions.
    fn ran(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.stood)
    }

    /// Returns `nap`, cut short if a deadline falls before its end.
    fn shortened(&self, nap: Duration) -> Duration {
        // A suspended child has no deadlines.
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

    /// Carries out the latest stop request of the executor.
    fn obey(&mut self) {
        match (self.trial.asked(), &mut self.ending) {
            (None, _) => {}
            (Some(asked), None) => self.begin_to_end(Why::Asked, asked),
            // A `Kill` request cuts the grace period of an earlier request short, unless SIGKILL
            // was sent already.
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

    /// Sends the signals that are due: SIGTERM to a child that runs too long, SIGKILL to one that
    /// ignored SIGTERM.
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
            // The `stop` file is for programs that poll; others get SIGTERM.
            let word = if asked.why == super::Stop::Pause {
                "pause\n"
            } else {
                ""
            };
            std::fs::write(stop_file(&self.trial.launch.dir), word).ok();
            // The trial waits for the answer to a report, and that answer tells it to stop. SIGTERM
            // follows only if it has not ended after one grace period, and SIGKILL after a second
            // one.
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
        // A process that is suspended handles SIGTERM only after SIGCONT.
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // The leader is not reaped yet, so the id still belongs to this group. The group may be
        // dead, and then there is nothing to signal.
        kill_process_group(self.group, signal).ok();
    }

    /// Records a sample of the system usage if one is due.
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

    /// Sets up the inotify watches once the child has lived long enough. Repeats until
    /// `records.jsonl` exists.
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

    /// Reads the records and output that the child has written since the last call.
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

    /// Records, for each deciding metric that was never reported, the clue that the output gives
    /// for it.
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

    /// Adds the error message that the program wrote to a failure. A program killed from outside
    /// (SIGKILL, SIGTERM) wrote none about that.
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

    /// Cuts the logs that exceed `limits.log` and warns of each once.
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

    /// Warns of an error once per kind, because an error that occurs once occurs at every poll.
    fn complain(&mut self, what: &'static str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error
            && self.complaints.insert(what)
        {
            self.log
                .warn(format!("{what} could not be taken in: {error}"));
        }
    }

    fn exit(&self, status: ExitStatus) -> Exit {
        // An end that the supervisor began decides the exit, whatever the status of the child.
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

    /// Ends the processes that the leader left in its group: SIGTERM, a short grace period,
    /// SIGKILL.
    fn end_group(&mut self) {
        let sudden = self.trial.asked().is_some_and(|asked| asked.kill);
        // A `Kill` request leaves no time for a grace period.
        let first = if sudden { Signal::KILL } else { Signal::TERM };
        if kill_process_group(self.group, first) == Err(Errno::SRCH) {
            return;
        }
        let begun = Instant::now();
        let grace = self.terms.grace.min(GRACE_FOR_THE_REST);
        let mut killed = sudden;
        let mut nap = Duration::from_micros(500);
        // A process in uninterruptible sleep may never die: give up five seconds after the grace
        // period.
        while self.group_lives() && begun.elapsed() < grace + Duration::from_secs(5) {
            if !killed && begun.elapsed() >= grace {
                kill_process_group(self.group, Signal::KILL).ok();
                killed = true;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(20));
        }
    }

    /// Returns whether a process of the group is alive. Reaps the dead ones that were reparented to
    /// this process.
    fn group_lives(&self) -> bool {
        while matches!(waitpgid(self.group, WaitOptions::NOHANG), Ok(Some(_))) {}
        test_kill_process_group(self.group).is_ok()
    }
}

/// Returns the path of the `stop` file, which says the same as SIGTERM.
pub(super) fn stop_file(dir: &Path) -> PathBuf {
    dir.join("stop")
}

fn supervision_failed(error: &io::Error) -> Exit {
    Exit::Failed(Failure::Error(format!(
        "its exit status could not be had: {error}"
    )))
}
