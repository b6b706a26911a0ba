//! Supervises one program in its slot: reads its records and output, enforces its time and memory
//! limits, and passes on stop requests. The slot starts it, signals and reaps it, and ends the
//! processes that it leaves.
//!
//! One thread supervises one child. On Linux it sleeps in a single `poll` over the slot's socket,
//! the eventfd for stop requests and an inotify watch of the files the child writes; on other
//! systems it sleeps for short intervals. A child that ends within the first interval never costs
//! an inotify watch, and a silent one costs a look in ten seconds.

use super::output::Output;
use super::shortage::Shortage;
use super::sleeper::{self, LONGEST_BLIND_NAP};
use super::slot::{OrphansEnd, Slot, SlotEvent};
use super::source::Translators;
use super::stop_line::StopRequest;
use super::system::{SYSTEM, Sampler};
use super::usage::Meter;
use super::watch::Watch;
use super::{Exit, Outcome, StopSignal, TrialContext};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use swath_log::{Point, Tail, TrialLogger, regular};
use swath_model::space::Name;
use swath_model::study::{Failure, Usage};
use wait4::ResourceUsage;

/// First interval between two checks of the child; each following interval is twice as long. A
/// child that ends within the first one is neither watched nor measured, nor does the journal get
/// its place.
const FIRST_NAP: Duration = Duration::from_millis(20);

/// Longest interval between two checks while the child's files are watched by inotify.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Longest interval if, besides, every write is announced and the child has been silent for the
/// interval before.
const LONGEST_SILENT_NAP: Duration = Duration::from_secs(10);

/// Longest interval while a log grows, which is cut when it is too long.
const LONGEST_NAP_OF_WRITER: Duration = Duration::from_millis(250);

/// Shortest and longest interval between two measurements of memory and processor time, and the
/// part of the child's run time that lies between: a peak that lasts for less counts for little in
/// a long run.
const MEASURE_AT_MOST_EVERY: Duration = Duration::from_millis(500);
const MEASURE_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
const PART_BETWEEN_MEASUREMENTS: u32 = 16;

/// Interval of the measurements of memory with a memory limit.
const MEASURE_EVERY_WITH_LIMIT: Duration = Duration::from_millis(100);

/// Interval between two checks for a `Kill` request while the slot ends the rest.
const REST_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest grace period, between SIGTERM and SIGKILL, for processes that the leader of a group
/// leaves behind.
pub(super) const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// Limits and intervals of the supervision of a child.
#[derive(Clone)]
pub(super) struct SupervisionLimits {
    /// Longest run time; `None` for no limit.
    pub(super) run_time: Option<Duration>,
    /// Grace period between the stop signal and SIGKILL.
    pub(super) grace: Duration,
    /// Signal that asks the program to end.
    pub(super) stop: StopSignal,
    /// Most bytes of memory its processes may hold together; `None` if the supervisor need not
    /// check.
    pub(super) memory: Option<u64>,
    /// Interval between two samples of system usage; `None` for no samples.
    pub(super) sample_interval: Option<Duration>,
    /// Exit statuses with which the child says that its configuration cannot work.
    pub(super) invalid: Vec<i32>,
}

/// Reason why a program that exited with status 0 has reported nothing, if it left processes.
const WENT_INTO_BACKGROUND: &str = "was never reported: the program went into the background, and the \
     processes that it left were ended; run it in the foreground, without `&`, `nohup` or a daemon";

/// Signals with which other processes usually end a program.
const KILL: i32 = 9;
const TERM: i32 = 15;

/// A running child process and the state of its supervision.
pub(super) struct Supervision<'a> {
    trial: &'a TrialContext,
    log: &'a mut TrialLogger,
    slot: &'a mut Slot,
    limits: &'a SupervisionLimits,
    begun: Instant,
    records: Records,
    translators: Translators,
    output: Output,
    watch: Option<Watch>,
    sampler: Option<Sampler>,
    ending: Option<Ending>,
    /// Returns the process ids of the child's orphans.
    orphans: &'a dyn Fn() -> Vec<u32>,
    meter: Meter,
    /// Time of the last measurement; equals `begun` before the first one.
    last_measured: Instant,
    /// The interval before the next check of the child, and the time of that check.
    nap: Duration,
    check_due: Instant,
    /// Whether a write has woken this thread since the last check.
    was_woken: bool,
    /// Since when the child is suspended with SIGSTOP; `None` while it runs.
    suspended_since: Option<Instant>,
    /// Total duration of earlier suspensions.
    suspended_for: Duration,
    /// Subjects of the warnings that were given; each is given once.
    warned_of: BTreeSet<&'static str>,
    /// Texts of the warnings about sources that were given.
    problems_of_sources: BTreeSet<String>,
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

/// The result of a supervision.
pub(super) struct Supervised {
    pub(super) outcome: Outcome,
    /// Whether all processes of the child have ended; `None` if the slot process is gone, which was
    /// to end them.
    pub(super) rest: Option<bool>,
}

/// A termination that is under way.
struct Ending {
    reason: EndReason,
    /// Time at which SIGTERM is due, for a trial that first learns of the stop from the answer it
    /// waits for.
    term_at: Option<Instant>,
    /// Time at which SIGKILL is due; `None` once it was sent.
    kill_at: Option<Instant>,
}

enum EndReason {
    /// The executor asked the attempt to stop.
    Requested,
    /// The attempt ran for its whole time limit, which this is.
    TimeLimit(Duration),
    /// The processes exceeded the memory limit.
    MemoryLimit,
}

impl<'a> Supervision<'a> {
    /// Takes over the supervision of the program `leader`, which runs in `slot`.
    pub(super) fn new(
        (slot, leader): (&'a mut Slot, u32),
        trial: &'a TrialContext,
        log: &'a mut TrialLogger,
        limits: &'a SupervisionLimits,
        (records, translators): (Records, Translators),
        output: Output,
        orphans: &'a dyn Fn() -> Vec<u32>,
    ) -> Self {
        let begun = Instant::now();
        log.begin_to_follow(&records.tail);
        Self {
            trial,
            log,
            orphans,
            meter: Meter::new(leader),
            last_measured: begun,
            nap: FIRST_NAP,
            check_due: begun + FIRST_NAP,
            was_woken: false,
            suspended_since: None,
            suspended_for: Duration::ZERO,
            slot,
            limits,
            begun,
            records,
            translators,
            output,
            watch: None,
            sampler: limits
                .sample_interval
                .map(|every| Sampler::new(leader, every)),
            ending: None,
            warned_of: BTreeSet::new(),
            problems_of_sources: BTreeSet::new(),
        }
    }

    /// Supervises the child until it and all that it leaves have ended. Calls `register` once if the
    /// child still runs after the first interval, and `end_strays` if the slot process is gone.
    pub(super) fn run(mut self, register: impl FnOnce(), end_strays: impl FnOnce()) -> Supervised {
        let exited = self.wait_for_exit(register);
        // The processes that the child left are ended before the last read, so that none can append
        // records after it.
        let ended = exited.as_ref().and_then(|_| self.wait_for_rest());
        if ended.is_none() {
            end_strays();
        }
        let exit = match &exited {
            Some((status, _)) => self.exit(*status),
            // A trial that was to end has ended.
            None => self
                .trial
                .stop_request()
                .map_or(Exit::Lost, StopRequest::exit),
        };
        let is_whole = self.ending.is_none() && exited.as_ref().is_some_and(has_exited);
        self.read_to_the_end(is_whole);
        let ended_names = ended.as_ref().map_or(&[][..], |ended| &ended.names);
        if let Some(warning) = ended_warning(ended_names) {
            self.log.warn(warning);
        }
        // An attempt that did not complete is not expected to have reported every metric.
        if exit == Exit::Done {
            self.note_unreported(!ended_names.is_empty());
        }
        let usage_of_leader = exited
            .as_ref()
            .map_or(0.0, |(_, usage)| (usage.utime + usage.stime).as_secs_f64());
        let mut usage = exited.map_or_else(Usage::default, |(_, usage)| self.meter.usage(&usage));
        if let Some(ended) = &ended {
            let reaped = usage_of_leader + ended.cpu.as_secs_f64();
            usage.cpu_seconds = usage.cpu_seconds.max(reaped);
        }
        Supervised {
            outcome: Outcome {
                exit: self.with_error(exit),
                usage,
            },
            rest: ended.map(|ended| ended.is_complete),
        }
    }

    /// Waits for the end of the child; `None` if the slot process is gone.
    fn wait_for_exit(&mut self, register: impl FnOnce()) -> Option<(ExitStatus, ResourceUsage)> {
        // The end may have arrived together with the start.
        match self.slot.wait(Duration::ZERO) {
            Some(SlotEvent::Exited(status, usage)) => return Some((status, usage)),
            Some(_) => return None,
            None => {}
        }
        let mut last_read = None;
        let mut register = Some(register);
        let waker = self.trial.line.open_waker();
        loop {
            let timeout = self.until_next_deadline();
            let watch = self.watch.as_ref();
            let woken = sleeper::sleep(self.slot.fd(), &waker, watch, timeout, last_read);
            if woken.has_news {
                match self.slot.wait(Duration::ZERO) {
                    Some(SlotEvent::Exited(status, usage)) => return Some((status, usage)),
                    Some(_) => return None,
                    None => continue,
                }
            }
            let is_due = Instant::now() >= self.check_due;
            // The child has lived through its first interval. Only now is it worth a place in the
            // journal and, if it has none yet, a cgroup.
            if is_due && let Some(register) = register.take() {
                register();
            }
            self.follow_suspension();
            // A suspended child writes nothing, and its deadlines do not count.
            if self.suspended_since.is_some() {
                self.check_due = Instant::now() + self.nap;
                continue;
            }
            self.follow_stop_request();
            self.send_due_signals();
            self.measure();
            self.sample();
            if woken.grown {
                // The file that grew may be new, so watches are set before it is read.
                self.watch();
                self.read();
                last_read = Some(Instant::now());
                self.was_woken = true;
                self.end_silence();
            }
            if is_due {
                self.check();
            }
        }
    }

    /// Reads the files of the child, which may not be watched, and cuts logs that are too long. A
    /// check of their sizes after every write would cost a busy child too much.
    fn check(&mut self) {
        self.watch();
        // Lines without a wake-up come from another machine, or the kernel tells of no writes here.
        let is_unannounced = self.read() && !self.was_woken;
        self.was_woken = false;
        // The logs are watched before their size is read, so that no write falls between the two.
        let longest_silent = self.longest_silent_nap();
        let has_printed = self.trim();
        let longest = match self.is_watched() {
            true if has_printed => LONGEST_NAP_OF_WRITER,
            true => longest_silent,
            false => LONGEST_BLIND_NAP,
        };
        self.nap = match is_unannounced {
            true => FIRST_NAP,
            false => (self.nap * 2).min(longest),
        };
        self.check_due = self.due_after_nap();
    }

    /// Returns the longest interval to the next check of a child that writes nothing. It is longer
    /// than [`LONGEST_NAP`] only if each write ends it, and not longer than the interval between
    /// two measurements.
    fn longest_silent_nap(&self) -> Duration {
        let longest = self
            .measurement_interval()
            .clamp(LONGEST_NAP, LONGEST_SILENT_NAP);
        // The files that sources read are not watched.
        let may_be_longer = self.nap >= LONGEST_NAP
            && longest > LONGEST_NAP
            && self.translators.is_empty()
            && self.announces_writes();
        match may_be_longer {
            true => longest,
            false => LONGEST_NAP,
        }
    }

    /// Returns whether a write to any file of the child wakes this thread; to a log that is not
    /// searched, its next write.
    fn announces_writes(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| {
            watch.is_local()
                && self.output.searched().all(|path| watch.add(path))
                && watch.announce_next_growth(self.output.unsearched())
        })
    }

    /// Returns the time of the next check: that of the next sample if it is not much earlier, so
    /// that both cost one wake-up.
    fn due_after_nap(&self) -> Instant {
        let now = Instant::now();
        let (earliest, latest) = (now + self.nap / 2, now + self.nap);
        let sample = self.sampler.as_ref().map(Sampler::due);
        sample
            .filter(|due| self.nap > LONGEST_NAP && (earliest..latest).contains(due))
            .unwrap_or(latest)
    }

    /// Checks a child soon that writes again after a long silence: its logs may grow quickly.
    fn end_silence(&mut self) {
        if self.nap > LONGEST_NAP {
            self.nap = LONGEST_NAP_OF_WRITER;
            self.check_due = Instant::now() + self.nap;
        }
    }

    /// Waits until the slot has ended the processes that the child left; `None` if the slot process
    /// is gone.
    fn wait_for_rest(&mut self) -> Option<OrphansEnd> {
        loop {
            // A `Kill` request leaves no time for a grace period.
            if self
                .trial
                .stop_request()
                .is_some_and(|request| request.kill)
            {
                self.slot.kill();
            }
            match self.slot.wait(REST_CHECK_INTERVAL) {
                Some(SlotEvent::Ended(ended)) => return Some(ended),
                Some(SlotEvent::Gone) => return None,
                Some(SlotEvent::Exited(..)) | None => {}
            }
        }
    }

    /// Suspends the child when the orchestrator is suspended, and resumes it with the orchestrator.
    /// Deadlines are moved by the duration of the suspension.
    fn follow_suspension(&mut self) {
        match (self.trial.line.is_halt_requested(), self.suspended_since) {
            (true, None) => {
                self.slot.signal_all(Signal::STOP);
                self.suspended_since = Some(Instant::now());
                self.trial.line.note_halted(true);
            }
            (false, Some(since)) => {
                self.slot.signal_all(Signal::CONT);
                let suspension = since.elapsed();
                self.suspended_for += suspension;
                // The grace period is time in which the child can act, so it starts again where it
                // stood.
                if let Some(Ending {
                    term_at, kill_at, ..
                }) = &mut self.ending
                {
                    term_at
                        .iter_mut()
                        .chain(kill_at)
                        .for_each(|due| *due += suspension);
                }
                self.suspended_since = None;
                self.trial.line.note_halted(false);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Measures the memory and processor time of the child's processes, once the child has lived
    /// long enough. Kills them if they exceed the memory limit.
    fn measure(&mut self) {
        let age = self.begun.elapsed();
        let interval = self.measurement_interval();
        // The first measurement does not wait for the interval: a child can allocate all its memory
        // at once.
        let is_first = self.last_measured == self.begun;
        if age < FIRST_NAP || (!is_first && self.last_measured.elapsed() < interval) {
            return;
        }
        self.last_measured = Instant::now();
        let used = self.meter.measure(&(self.orphans)(), self.limits.memory);
        let Some(limit) = self.limits.memory.filter(|limit| used.bytes > *limit) else {
            return;
        };
        // Already killed for this reason: one warning is enough while the processes die.
        if self
            .ending
            .as_ref()
            .is_some_and(|ending| matches!(ending.reason, EndReason::MemoryLimit))
        {
            return;
        }
        let holders = match used.processes {
            1 => "its process".to_owned(),
            several => format!("its {several} processes"),
        };
        self.log.warn(format!(
            "{holders} held {} MiB of memory; `resources.memory` allows {} MiB",
            used.bytes.div_ceil(1 << 20),
            limit.div_ceil(1 << 20),
        ));
        // Kill at once: a grace period would let the processes allocate more.
        self.slot.signal_all(Signal::KILL);
        self.ending = Some(Ending {
            reason: EndReason::MemoryLimit,
            term_at: None,
            kill_at: None,
        });
    }

    /// Returns the interval between two measurements, which grows with the age of the child.
    fn measurement_interval(&self) -> Duration {
        match self.limits.memory {
            Some(_) => MEASURE_EVERY_WITH_LIMIT,
            None => (self.begun.elapsed() / PART_BETWEEN_MEASUREMENTS)
                .clamp(MEASURE_AT_MOST_EVERY, MEASURE_AT_LEAST_EVERY),
        }
    }

    /// Returns the run time of the child without its suspensions.
    fn run_time(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.suspended_for)
    }

    /// Returns the time until the next check of the child, or until an earlier deadline.
    fn until_next_deadline(&self) -> Duration {
        let now = Instant::now();
        // A suspended child has no deadlines.
        if self.suspended_since.is_some() {
            return self.check_due.saturating_duration_since(now);
        }
        let due = match &self.ending {
            // SIGTERM is due before SIGKILL. Without either, both were sent, and only the exit is
            // waited for.
            Some(ending) => ending.term_at.or(ending.kill_at),
            None => self
                .limits
                .run_time
                .map(|limit| self.begun + self.suspended_for + limit),
        };
        let measurement = self.limits.memory.map(|_| now + MEASURE_EVERY_WITH_LIMIT);
        let sample = self.sampler.as_ref().map(Sampler::due);
        let dues = [due, measurement, sample];
        let next = dues
            .into_iter()
            .flatten()
            .fold(self.check_due, Instant::min);
        next.saturating_duration_since(now)
    }

    /// Returns whether each write to the records wakes this thread, also the first one.
    fn is_watched(&self) -> bool {
        let sees_new_files = self.watch.as_ref().is_some_and(Watch::sees_new_files);
        sees_new_files || self.records.watched
    }

    /// Carries out the latest stop request of the executor.
    fn follow_stop_request(&mut self) {
        match (self.trial.stop_request(), &mut self.ending) {
            (None, _) => {}
            (Some(request), None) => self.begin_ending(EndReason::Requested, request),
            // A `Kill` request cuts the grace period of an earlier request short, unless SIGKILL
            // was sent already.
            (
                Some(StopRequest { kill: true, .. }),
                Some(Ending {
                    term_at,
                    kill_at: kill_at @ Some(_),
                    ..
                }),
            ) => {
                (*term_at, *kill_at) = (None, None);
                self.slot.signal(Signal::KILL);
            }
            // The termination that this request asks for is under way.
            (Some(_), Some(_)) => {}
        }
    }

    /// Sends the signals that are due: the stop signal to a child that runs too long, SIGKILL to one
    /// that has ignored it.
    fn send_due_signals(&mut self) {
        let (now, run_time) = (Instant::now(), self.run_time());
        match (&mut self.ending, self.limits.run_time) {
            (
                Some(Ending {
                    term_at, kill_at, ..
                }),
                _,
            ) => {
                if term_at.is_some_and(|due| now >= due) {
                    *term_at = None;
                    self.slot.stop(self.limits.stop, self.limits.grace);
                } else if kill_at.is_some_and(|due| now >= due) {
                    *kill_at = None;
                    self.slot.signal(Signal::KILL);
                }
            }
            (None, Some(limit)) if run_time >= limit => {
                // The child gets the same chance to save its state as one that the scheduler stops.
                let request = StopRequest {
                    reason: super::Stop::Verdict,
                    kill: false,
                };
                self.begin_ending(EndReason::TimeLimit(limit), request);
            }
            (None, _) => {}
        }
    }

    fn begin_ending(&mut self, reason: EndReason, request: StopRequest) {
        let (now, grace) = (Instant::now(), self.limits.grace);
        let (term_at, kill_at) = if request.kill {
            self.slot.signal(Signal::KILL);
            (None, None)
        } else {
            // The `stop` file is for programs that poll; others get the signal.
            let word = if request.reason == super::Stop::Pause {
                "pause\n"
            } else {
                ""
            };
            regular::write(&stop_file(&self.trial.launch.dir), word.as_bytes()).ok();
            // The trial waits for the answer to a report, and that answer tells it to stop. The signal
            // follows only if it has not ended after one grace period, and SIGKILL after a second
            // one.
            let is_answered = matches!(request.reason, super::Stop::Pause | super::Stop::Verdict);
            if self.log.waits() && is_answered {
                (Some(now + grace), Some(now + grace * 2))
            } else {
                self.slot.stop(self.limits.stop, grace);
                (None, Some(now + grace))
            }
        };
        self.ending = Some(Ending {
            reason,
            term_at,
            kill_at,
        });
    }

    /// Records a sample of the system usage if one is due.
    fn sample(&mut self) {
        let sample = self.sampler.as_mut().map(Sampler::take).unwrap_or_default();
        if !sample.is_empty() {
            let values: Vec<(&str, f64)> = sample
                .iter()
                .map(|(name, value)| (&**name, *value))
                .collect();
            let recorded = self.log.metrics(&values, Point::default().log(SYSTEM));
            self.warn_once("a sample of the system usage", recorded.err());
        }
    }

    /// Sets up the inotify watches. Repeats until `records.jsonl` exists.
    fn watch(&mut self) {
        if self.records.watched {
            return;
        }
        if self.watch.is_none() {
            self.watch = Watch::new(&self.trial.launch.dir);
            if let Some(watch) = &self.watch {
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

    /// Reads the records and output that the child has written since the last call. Returns whether
    /// there were records.
    fn read(&mut self) -> bool {
        let translated = self.translators.poll();
        let read = self.log.follow(&mut self.records.tail);
        let searched = match self.output.written_at() {
            Some(modified) => self
                .log
                .take_output(modified, false, |each| self.output.search(each)),
            None => None,
        };
        let flushed = self.log.flush();
        self.warn_of_sources(translated);
        let has_read = read.as_ref().is_ok_and(|bytes| *bytes > 0);
        self.warn_once("`records.jsonl`", read.err());
        self.warn_once("the output", searched.and_then(Result::err));
        self.warn_once("a record", flushed.err());
        has_read
    }

    fn read_to_the_end(&mut self, is_whole: bool) {
        let translated = self.translators.finish(is_whole);
        let mut read = self.log.follow_to_the_end(&mut self.records.tail);
        // Without a free descriptor the records are read later, not lost.
        while let Err(error) = &read
            && Shortage::of(error).is_some()
            && self
                .trial
                .stop_request()
                .is_none_or(|request| !request.kill)
        {
            std::thread::sleep(LONGEST_NAP_OF_WRITER);
            read = self.log.follow_to_the_end(&mut self.records.tail);
        }
        let searched = match self.output.written_at() {
            Some(modified) => self
                .log
                .take_output(modified, true, |each| self.output.finish(each)),
            None => None,
        };
        self.warn_of_sources(translated);
        self.warn_once("`records.jsonl`", read.err());
        self.warn_once("the output", searched.and_then(Result::err));
        self.trim();
    }

    /// Records, for each deciding metric that was never reported, the probable reason: that the
    /// program `has_left` processes, or the clue that the output gives for it.
    fn note_unreported(&mut self, has_left: bool) {
        let deciding = self.trial.study.deciding.iter();
        let silent: Vec<&Name> = deciding.filter(|name| self.log.is_silent(name)).collect();
        if silent.is_empty() {
            return;
        }
        let printed = self.output.printed();
        for name in silent {
            if has_left {
                self.log
                    .note_unreported(name, WENT_INTO_BACKGROUND.to_owned());
            } else if let Some(clue) = self.translators.clue() {
                let reason = format!("was never reported: {clue}");
                self.log.note_unreported(name, reason);
            } else if let Some(reason) = self.output.why_unreported(name, &printed) {
                self.log.note_unreported(name, reason);
            }
        }
    }

    /// Adds the error message that the program wrote to a failure. A program killed from outside
    /// (SIGKILL, SIGTERM) wrote none about that. A status of `[run] invalid` makes the attempt
    /// invalid.
    fn with_error(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Failed(Failure::Code(code)) if self.limits.invalid.contains(&code) => {
                let reason = self.output.error().or_else(|| self.output.last_line());
                Exit::Failed(Failure::Invalid(
                    reason.unwrap_or_else(|| format!("exit status {code}")),
                ))
            }
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

    /// Cuts the logs that exceed `limits.log` and warns of each once. Returns whether a log has
    /// grown since the last call.
    fn trim(&mut self) -> bool {
        match self.output.trim() {
            Ok(cut_logs) => {
                for name in cut_logs {
                    self.log.warn(format!(
                        "`{name}` went over `limits.log`: its head and tail are kept"
                    ));
                }
            }
            Err(error) => self.warn_once("a log that is too long", Some(error)),
        }
        self.output.has_grown()
    }

    /// Warns of an error once per kind, because an error that occurs once occurs at every poll.
    fn warn_once(&mut self, subject: &'static str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error
            && self.warned_of.insert(subject)
        {
            self.log
                .warn(format!("could not record {subject}: {error}"));
        }
    }

    /// Warns of what a source could not read, of each problem once, and of some problems at most.
    fn warn_of_sources(&mut self, translated: io::Result<()>) {
        const MOST: usize = 10;
        if let Err(error) = translated {
            let text = error.to_string();
            if self.problems_of_sources.len() < MOST
                && self.problems_of_sources.insert(text.clone())
            {
                self.log.warn(text);
            }
        }
    }

    fn exit(&self, status: ExitStatus) -> Exit {
        // An end that the supervisor began decides the exit, whatever the status of the child.
        match (&self.ending, status.code(), status.signal()) {
            (
                Some(Ending {
                    reason: EndReason::TimeLimit(limit),
                    ..
                }),
                ..,
            ) => Exit::Failed(Failure::Timeout(*limit)),
            (
                Some(Ending {
                    reason: EndReason::MemoryLimit,
                    ..
                }),
                ..,
            ) => Exit::Failed(Failure::Memory),
            (
                Some(Ending {
                    reason: EndReason::Requested,
                    ..
                }),
                ..,
            ) => self
                .trial
                .stop_request()
                .map_or(Exit::Interrupted, StopRequest::exit),
            (None, Some(0), _) => Exit::Done,
            (None, Some(code), _) => Exit::Failed(Failure::Code(code)),
            (None, None, signal) => Exit::Failed(Failure::Signal(signal.unwrap_or(0))),
        }
    }
}

/// Returns whether a program ended by itself, and not by a signal.
fn has_exited((status, _): &(ExitStatus, ResourceUsage)) -> bool {
    status.code().is_some()
}

/// Returns the warning about processes that were ended after a program that ended by itself; `None`
/// if there were none.
fn ended_warning(names: &[String]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let listed: Vec<String> = counts
        .iter()
        .map(|(name, count)| match count {
            1 => (*name).to_owned(),
            _ => format!("{name} ({count})"),
        })
        .collect();
    let subject = match names.len() {
        0 => return None,
        1 => "1 process was".to_owned(),
        count => format!("{count} processes were"),
    };
    let listed = listed.join(", ");
    Some(format!(
        "{subject} still running when the program ended, and ended with it: {listed}"
    ))
}

/// Returns the path of the `stop` file, which says the same as SIGTERM.
pub(super) fn stop_file(dir: &Path) -> PathBuf {
    dir.join("stop")
}
