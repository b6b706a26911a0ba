//! The main loop of a pilot: takes orders from its file, runs them in the same pool as on one
//! machine, and writes the events to its journal.
//!
//! A pilot works on without its orchestrator: the trials it was given run to their end. It starts
//! no trial that cannot end within the remaining walltime, and asks running trials to end before
//! the walltime is over.

use super::environment;
use super::job::{
    BuildSources, Invocations, JobSignals, PilotError, PilotJob, deadline, lock, log_error,
    make_pool, read_spec, sources,
};
use super::lines::{Reader, Writer};
use super::wire::{Assignment, Beat, Hello, Message, MessageKind, Order, Spec};
use super::{PROTOCOL, PilotDir, pilot_name};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use swath_engine::executor::{Executor, Pool, SignalKind, Stop, processes};
use swath_model::study::{Attempt, Exit, Failure, Timestamp, TrialId, Usage};

/// Interval between two polls of the orders right after an event; each following interval is twice
/// as long.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time during which messages are collected before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// Delay before the end of a trial killed by a signal is reported. A batch system ends the
/// processes of a job in any order; if the pilot gets the signal too within this time, the trial
/// was interrupted.
const END_DELAY: Duration = Duration::from_millis(400);

/// Time after which a pilot leaves whose trials were killed, whatever its slots still do.
const LAST_RESORT: Duration = Duration::from_millis(800);

/// Runs a pilot until there is no more work for it; returns the reason why it left.
///
/// `guard` is the command line of the process that ends the trials if this process is killed;
/// `build_sources` builds the sources of the sweep file.
///
/// # Errors
/// Fails if the files of the study cannot be used or the pool cannot be created.
pub fn run(
    job: &PilotJob,
    guard: Option<Command>,
    build_sources: BuildSources,
    signals: &JobSignals,
) -> Result<String, PilotError> {
    let mut pilot = Pilot::begin(job, build_sources, guard)?;
    loop {
        pilot.handle_signals(signals);
        pilot.read_orders();
        let is_late = pilot.leave_by.is_some_and(|due| Instant::now() >= due);
        if is_late && pilot.is_busy() {
            let why = pilot.full.clone().unwrap_or_default();
            pilot.say_goodbye(signals, &why)?;
            // A dropped pool would wait for slots that do not end. The guard kills the processes.
            std::mem::forget(pilot);
            return Ok(why);
        }
        if pilot.is_abandoned {
            // The pool must not be dropped, because that would write to the folders of the trials,
            // which now belong to other pilots. The guard sees the pipe close without a farewell
            // and kills the processes.
            std::mem::forget(pilot);
            return Ok("its trials were moved to other pilots".to_owned());
        }
        pilot.start_queued_trials();
        pilot.handle_pool_signals();
        pilot.beat();
        pilot.journal.flush_if_due();
        if let Some(why) = pilot.reason_to_leave(signals) {
            pilot.say_goodbye(signals, &why)?;
            return Ok(why);
        }
    }
}

struct Pilot {
    study: PathBuf,
    dir: PilotDir,
    spec: Spec,
    job: PilotJob,
    pool: Pool,
    invocations: Invocations,
    free_slots: BTreeSet<u32>,
    queue: VecDeque<Assignment>,
    running: BTreeMap<(TrialId, Attempt), Running>,
    /// All attempts that were ordered, so that none runs twice.
    ordered: BTreeSet<(TrialId, Attempt)>,
    /// Ends that may turn out to be interruptions, with the time at which they are reported.
    withheld_ends: Vec<(Instant, MessageKind)>,
    /// Run times of the last trials that were done, in seconds; at most 100.
    durations: VecDeque<f64>,
    journal: PilotJournal,
    /// Messages about unusable slots that were already sent.
    reported: BTreeSet<String>,
    orders: Reader,
    last_poll: Instant,
    poll_interval: Duration,
    /// End of the job; `None` if it is not known.
    deadline: Option<Instant>,
    /// Reason why the pilot takes no more trials.
    full: Option<String>,
    /// Whether the orchestrator has no more work for this pilot.
    is_dismissed: bool,
    /// Whether the trials of this pilot now belong to other pilots.
    is_abandoned: bool,
    /// Whether the batch system has warned of the end of the job.
    is_warned: bool,
    /// Number of handled signals that end the pilot.
    end_signals: usize,
    idle_since: Instant,
    /// Time at which the pilot leaves, whatever its slots still do; `None` before its end.
    leave_by: Option<Instant>,
    last_beat: Instant,
    /// Last heartbeat of the orchestrator, and the time at which it was first read.
    orchestrator: Option<Beat>,
    orchestrator_seen: Instant,
}

struct Running {
    slot: u32,
    begun: Instant,
}

impl Pilot {
    fn begin(
        job: &PilotJob,
        build_sources: BuildSources,
        guard: Option<Command>,
    ) -> Result<Self, PilotError> {
        let dir = PilotDir::of(&job.study);
        let (name, mut journal) = PilotJournal::create(&dir, job)?;
        let now = Instant::now();
        let invocations = Invocations::default();
        // A pilot that cannot work introduces itself with zero slots and leaves.
        let prepared = read_spec(&dir, job).and_then(|spec| {
            let sources = sources(&spec, job, build_sources)?;
            let pool = make_pool(&spec, Arc::clone(&invocations), sources, guard)?;
            Ok((pool, spec))
        });
        let slots = prepared.as_ref().map_or(0, |(_, spec)| spec.slots.max(1));
        let hello = Hello {
            protocol: PROTOCOL,
            swath: env!("CARGO_PKG_VERSION").to_owned(),
            place: job.in_job(processes::place(std::process::id())),
            slots,
        };
        environment::record(&dir, &name, hello.place.clone());
        journal.push(MessageKind::Hello(hello));
        let (pool, spec) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                journal.push(MessageKind::Bye {
                    why: error.to_string(),
                    told: false,
                });
                journal.flush()?;
                return Err(error);
            }
        };
        let time_left = deadline(job, &spec);
        Ok(Self {
            pool,
            study: job.study.clone(),
            orders: Reader::new(dir.orders(&name)),
            dir,
            job: job.clone(),
            invocations,
            free_slots: (0..u32::try_from(slots).unwrap_or(u32::MAX)).collect(),
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            ordered: BTreeSet::new(),
            withheld_ends: Vec::new(),
            durations: VecDeque::new(),
            journal,
            reported: BTreeSet::new(),
            last_poll: now,
            poll_interval: FIRST_POLL_INTERVAL,
            deadline: time_left.map(|time_left| now + time_left),
            full: None,
            is_dismissed: false,
            is_abandoned: false,
            is_warned: false,
            end_signals: 0,
            idle_since: now,
            leave_by: None,
            last_beat: now,
            orchestrator: None,
            orchestrator_seen: now,
            spec,
        })
    }

    /// Reacts to signals and to the approaching end of the walltime.
    fn handle_signals(&mut self, signals: &JobSignals) {
        let count = signals.end.load(Ordering::SeqCst);
        if count > self.end_signals {
            self.end_signals = count;
            self.take_no_more(ENDED_BY_BATCH_SYSTEM);
            // A second signal means that the batch system does not wait any longer.
            let how = if count > 1 {
                Stop::Kill
            } else {
                Stop::Interrupt
            };
            self.stop_all(how);
            self.interrupt_withheld_ends();
        }
        // The end is one margin away. A warning of the walltime says nothing new where the walltime
        // is known.
        let is_warned = signals.doomed.load(Ordering::SeqCst) > 0
            || signals.warned.load(Ordering::SeqCst) > 0 && self.deadline.is_none();
        if is_warned && !self.is_warned {
            self.is_warned = true;
            let end = Instant::now() + self.spec.margin;
            self.deadline = Some(self.deadline.map_or(end, |deadline| deadline.min(end)));
            self.interrupt_withheld_ends();
        }
        let is_over = self
            .time_left()
            .is_some_and(|time_left| time_left.is_zero());
        if is_over && self.full.as_deref() != Some(WALLTIME) {
            self.take_no_more(WALLTIME);
            // Replaces an earlier reason, so that this branch runs once and the pilot leaves with
            // this reason.
            self.full = Some(WALLTIME.to_owned());
            self.stop_all(Stop::Interrupt);
        }
    }

    /// Records the withheld ends as interruptions: the signal of the batch system reached the
    /// trials, too.
    fn interrupt_withheld_ends(&mut self) {
        for (_, message) in &mut self.withheld_ends {
            if let MessageKind::Ended { exit, .. } = message {
                *exit = Exit::Interrupted;
            }
        }
    }

    fn stop_all(&mut self, how: Stop) {
        let time = match how {
            Stop::Kill => LAST_RESORT,
            _ => self.spec.program.grace + LAST_RESORT,
        };
        let due = Instant::now() + time;
        self.leave_by = Some(self.leave_by.map_or(due, |earlier| earlier.min(due)));
        for (trial, _) in self.running.keys() {
            self.pool.stop(*trial, how);
        }
    }

    /// Stops taking trials and returns those that have not started.
    fn take_no_more(&mut self, why: &str) {
        if self.full.is_none() {
            self.full = Some(why.to_owned());
            self.journal.push(MessageKind::Full {
                why: why.to_owned(),
            });
        }
        for assignment in std::mem::take(&mut self.queue) {
            self.journal.push(MessageKind::Returned {
                trial: assignment.trial,
                attempt: assignment.attempt,
            });
        }
    }

    /// Returns the time until trials are asked to end; `None` if the end of the job is not known.
    fn time_left(&self) -> Option<Duration> {
        Some(
            self.deadline?
                .saturating_duration_since(Instant::now())
                .saturating_sub(self.spec.margin),
        )
    }

    /// Reads new orders if a poll is due.
    fn read_orders(&mut self) {
        if self.last_poll.elapsed() < self.poll_interval {
            return;
        }
        let mut orders = Vec::new();
        let read = self.orders.read(&mut |order: Order| orders.push(order));
        self.last_poll = Instant::now();
        if orders.is_empty() {
            self.poll_interval = (self.poll_interval * 2).min(self.spec.look);
        } else {
            self.poll_interval = FIRST_POLL_INTERVAL;
        }
        if let Err(error) = read {
            log_error("could not read the orders", &error);
        }
        for order in orders {
            self.carry_out(order);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start(assignment) => {
                let key = (assignment.trial, assignment.attempt);
                // A duplicate order: a pilot runs an attempt at most once.
                if !self.ordered.insert(key) {
                    return;
                }
                if self.full.is_some() {
                    // Ordered before the orchestrator had read that this pilot is full.
                    self.journal.push(MessageKind::Returned {
                        trial: key.0,
                        attempt: key.1,
                    });
                } else {
                    self.queue.push_back(*assignment);
                }
            }
            Order::Stop {
                trial,
                attempt,
                how,
            } => {
                let queued = self.queue.iter().position(|assignment| {
                    (assignment.trial, assignment.attempt) == (trial, attempt)
                });
                // A queued attempt ends without having run. The order may also concern one that has
                // ended meanwhile.
                if let Some(position) = queued {
                    self.queue.remove(position);
                    let exit = Stop::from(how).exit();
                    self.journal.push(MessageKind::Ended {
                        trial,
                        attempt,
                        exit,
                        usage: Usage::default(),
                        seconds: 0.0,
                    });
                } else if self.running.contains_key(&(trial, attempt)) {
                    self.pool.stop(trial, how.into());
                }
            }
            Order::Leave => self.is_dismissed = true,
            Order::Yield => self.take_no_more("several trials in a row failed at once on its node"),
            Order::Abandon => self.is_abandoned = true,
        }
    }

    fn start_queued_trials(&mut self) {
        // While the journal cannot be written, the orchestrator would not learn of a start.
        while !self.queue.is_empty() && self.journal.failing_since.is_none() {
            if let Some(why) = self.reason_to_start_none() {
                self.take_no_more(&why);
                return;
            }
            let unusable = self.pool.unusable();
            self.report_unusable(&unusable);
            let Some(slot) = self
                .free_slots
                .iter()
                .find(|slot| !unusable.contains_key(slot))
                .copied()
            else {
                return;
            };
            let Some(next) = self.queue.pop_front() else {
                return;
            };
            self.start(&next, slot);
        }
    }

    /// Reports slots that cannot be used because of resources held by their last trials. If no slot
    /// is usable and no trial runs, the pilot takes no more trials.
    fn report_unusable(&mut self, unusable: &BTreeMap<u32, String>) {
        // An empty reason means that the slot will be usable within moments.
        let blocked: BTreeMap<u32, &String> = unusable
            .iter()
            .filter(|(_, reason)| !reason.is_empty())
            .map(|(slot, reason)| (*slot, reason))
            .collect();
        for reason in blocked.values() {
            if self.reported.insert((*reason).clone()) {
                let text = (*reason).clone();
                self.journal.push(MessageKind::Note { text });
            }
        }
        let is_blocked = self
            .free_slots
            .iter()
            .all(|slot| blocked.contains_key(slot));
        if self.running.is_empty() && !self.free_slots.is_empty() && is_blocked {
            self.take_no_more("processes or memory of its ended trials block all its slots");
        }
    }

    fn start(&mut self, next: &Assignment, slot: u32) {
        let key = (next.trial, next.attempt);
        let launch = next.launch(&self.study, slot);
        lock(&self.invocations).insert(key, next.invocation.clone());
        let begun = Instant::now();
        if let Err(error) = self.pool.start(launch) {
            let exit = Exit::Failed(Failure::Spawn(error.to_string()));
            let usage = Usage::default();
            self.journal.push(MessageKind::Ended {
                trial: key.0,
                attempt: key.1,
                exit,
                usage,
                seconds: 0.0,
            });
            return;
        }
        self.free_slots.remove(&slot);
        self.running.insert(key, Running { slot, begun });
    }

    /// Returns the reason why no more trials may be started; `None` if they may.
    fn reason_to_start_none(&self) -> Option<String> {
        let started = self.ordered.len() - self.queue.len();
        if self
            .spec
            .trials_per_job
            .is_some_and(|most| started as u64 >= most)
        {
            return Some("it has run `trials_per_job` trials".to_owned());
        }
        let (time_left, expected) = (self.time_left()?, self.expected_run_time());
        (time_left.is_zero() || expected.is_some_and(|expected| expected > time_left))
            .then(|| WALLTIME.to_owned())
    }

    /// Returns the expected run time of a trial: the 90th percentile of the last ones, bounded by
    /// `trial_time`. Trials with checkpoints can continue in another job, so at most a tenth of the
    /// walltime is expected of them. `None` without a walltime, or with neither three finished
    /// trials nor a `trial_time`.
    fn expected_run_time(&self) -> Option<Duration> {
        let walltime = self.spec.walltime?;
        let most = walltime.saturating_sub(self.spec.margin);
        let limit = self.spec.program.trial_time.filter(|limit| *limit < most);
        let mut sorted: Vec<f64> = self.durations.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let percentile = sorted
            .get(sorted.len() * 9 / 10)
            .filter(|_| sorted.len() >= 3)
            // Allow for a node that is busier than before.
            .map(|seconds| Duration::from_secs_f64(seconds * 1.1 + 1.0));
        let expected = match (percentile, limit) {
            (Some(percentile), Some(limit)) => Some(percentile.min(limit)),
            (percentile, limit) => percentile.or(limit),
        };
        expected.map(|expected| {
            if self.spec.program.checkpoint {
                expected.min(walltime / 10)
            } else {
                expected
            }
        })
    }

    /// Handles the signals of the pool; waits for them until the next poll or write is due.
    fn handle_pool_signals(&mut self) {
        let mut nap = self.poll_interval.saturating_sub(self.last_poll.elapsed());
        if self.journal.writer.is_dirty() {
            nap = nap.min(GATHER);
        }
        for signal in self.pool.wait(nap) {
            let (trial, attempt) = (signal.trial, signal.attempt);
            match signal.kind {
                SignalKind::Placed(place) => {
                    let place = self.job.in_job(place);
                    self.journal.push(MessageKind::Placed {
                        trial,
                        attempt,
                        place,
                    });
                }
                SignalKind::Logged(record, line_end) => self.journal.push(MessageKind::Logged {
                    trial,
                    attempt,
                    record,
                    line_end,
                }),
                SignalKind::Asked(id) => {
                    self.journal.push(MessageKind::Asked { trial, attempt, id });
                }
                SignalKind::Ended(exit, usage) => self.handle_end(trial, attempt, exit, usage),
            }
        }
        for text in self.pool.take_messages() {
            self.journal.push(MessageKind::Note { text });
        }
        // The batch system did not end this pilot within the delay, so these trials were killed by
        // others; or it did, and they count as interrupted by now.
        let (due, withheld): (Vec<_>, Vec<_>) = std::mem::take(&mut self.withheld_ends)
            .into_iter()
            .partition(|(due, _)| *due <= Instant::now() || self.end_signals > 0 || self.is_warned);
        self.withheld_ends = withheld;
        for (_, message) in due {
            self.journal.push(message);
        }
    }

    fn handle_end(&mut self, trial: TrialId, attempt: Attempt, exit: Exit, usage: Usage) {
        let Some(ended) = self.running.remove(&(trial, attempt)) else {
            return;
        };
        lock(&self.invocations).remove(&(trial, attempt));
        self.free_slots.insert(ended.slot);
        self.idle_since = Instant::now();
        // The orchestrator will answer soon, with another trial for the slot.
        self.poll_interval = FIRST_POLL_INTERVAL;
        let seconds = ended.begun.elapsed().as_secs_f64();
        if exit == Exit::Done {
            self.durations.push_back(seconds);
            if self.durations.len() > 100 {
                self.durations.pop_front();
            }
        }
        // Sent before the end of the trial, so that the orchestrator orders no trial that could not
        // start.
        if self.full.is_none()
            && let Some(why) = self.reason_to_start_none()
        {
            self.take_no_more(&why);
        }
        // Signals by which a batch system ends a job, directly or as the exit code of a shell.
        let is_killed = matches!(&exit, Exit::Failed(failure) if matches!(
            failure.ended(),
            Failure::Signal(1 | 2 | 9 | 10 | 12 | 15)
                | Failure::Code(129 | 130 | 137 | 138 | 140 | 143)
        ));
        // A warning may reach the trials, too, and end those that do not handle it.
        let is_job_ending = self.end_signals > 0 || self.is_warned;
        let exit = if is_killed && is_job_ending {
            Exit::Interrupted
        } else {
            exit
        };
        let is_doubtful = is_killed && !is_job_ending;
        let message = MessageKind::Ended {
            trial,
            attempt,
            exit,
            usage,
            seconds,
        };
        if is_doubtful {
            self.withheld_ends
                .push((Instant::now() + END_DELAY, message));
        } else {
            self.journal.push(message);
        }
    }

    /// Writes a heartbeat if it is due, and checks whether the orchestrator's heartbeat has
    /// changed.
    fn beat(&mut self) {
        if self.last_beat.elapsed() < self.spec.beat {
            return;
        }
        self.last_beat = Instant::now();
        self.journal.push(MessageKind::Beat {
            running: self.running.len(),
        });
        let beat = std::fs::read(self.dir.driver())
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Beat>(&bytes).ok());
        if beat.is_some() && beat != self.orchestrator {
            self.orchestrator = beat;
            self.orchestrator_seen = Instant::now();
        }
    }

    /// Writes the last message of the journal.
    fn say_goodbye(&mut self, signals: &JobSignals, why: &str) -> Result<(), PilotError> {
        self.journal.push(MessageKind::Bye {
            why: why.to_owned(),
            told: signals.end.load(Ordering::SeqCst) > 0,
        });
        self.journal.close()
    }

    /// Returns whether running trials, queued ones or withheld ends must still be reported.
    fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.queue.is_empty() || !self.withheld_ends.is_empty()
    }

    fn reason_to_leave(&self, signals: &JobSignals) -> Option<String> {
        if self
            .journal
            .failing_since
            .is_some_and(|since| since.elapsed() > self.spec.orphan)
        {
            return Some("it could not write its journal".to_owned());
        }
        if self.is_busy() {
            return None;
        }
        if let Some(why) = &self.full {
            return Some(why.clone());
        }
        if signals.end.load(Ordering::SeqCst) > 0 {
            return Some(ENDED_BY_BATCH_SYSTEM.to_owned());
        }
        if self.is_dismissed {
            return Some("there is no more work".to_owned());
        }
        // An orchestrator is away if it closed the study or missed several heartbeats.
        let is_closed = self.orchestrator.as_ref().is_some_and(|beat| beat.closed);
        let is_away = is_closed
            || self.orchestrator_seen.elapsed() > self.spec.beat * 3 + Duration::from_secs(60);
        let patience = if is_away {
            self.spec.orphan
        } else {
            self.spec.idle
        };
        (self.idle_since.elapsed() >= patience).then(|| {
            let reason = if is_away {
                "its orchestrator is away"
            } else {
                "there was no work"
            };
            format!("{reason} for {} s", patience.as_secs())
        })
    }
}

/// The journal of a pilot: its messages to the orchestrator.
struct PilotJournal {
    writer: Writer,
    path: PathBuf,
    /// Number of the last message.
    seq: u64,
    last_write: Instant,
    /// Time since which the journal cannot be written.
    failing_since: Option<Instant>,
}

impl PilotJournal {
    /// Creates the journal under the first free name, and returns that name. A batch system may
    /// restart a job without counting the restarts.
    fn create(dir: &PilotDir, job: &PilotJob) -> Result<(String, Self), PilotError> {
        let mut life = 0;
        loop {
            let name = pilot_name(&job.batch, job.index, life);
            let path = dir.journal(&name);
            match Writer::create(path.clone()) {
                Ok(writer) => {
                    let journal = Self {
                        writer,
                        path,
                        seq: 0,
                        last_write: Instant::now(),
                        failing_since: None,
                    };
                    return Ok((name, journal));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => life += 1,
                Err(source) => return Err(PilotError::File { path, source }),
            }
        }
    }

    /// Adds a message to the buffer.
    fn push(&mut self, kind: MessageKind) {
        self.seq += 1;
        let message = Message {
            seq: self.seq,
            at: Timestamp::now(),
            kind,
        };
        // All messages can be serialised as JSON.
        self.writer.push(&message).ok();
    }

    /// Writes the buffer if messages were collected for a while. Errors are logged once, and the
    /// messages stay in the buffer.
    fn flush_if_due(&mut self) {
        if !self.writer.is_dirty() || self.last_write.elapsed() < GATHER {
            return;
        }
        self.last_write = Instant::now();
        match self.writer.flush() {
            Ok(()) => self.failing_since = None,
            Err(error) if self.failing_since.is_none() => {
                let path = self.path.display();
                let subject = format!("could not write `{path}`; starts no trial until it can");
                log_error(&subject, &error);
                self.failing_since = Some(Instant::now());
            }
            Err(_) => {}
        }
    }

    fn flush(&mut self) -> Result<(), PilotError> {
        self.writer.flush().map_err(|source| PilotError::File {
            path: self.path.clone(),
            source,
        })
    }

    /// Writes the last messages to the disk; tries for five seconds.
    fn close(&mut self) -> Result<(), PilotError> {
        let begun = Instant::now();
        loop {
            match self.writer.sync() {
                Ok(()) => return Ok(()),
                Err(source) if begun.elapsed() > Duration::from_secs(5) => {
                    let path = self.path.clone();
                    return Err(PilotError::File { path, source });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

const WALLTIME: &str = "the walltime of its job is nearly over";
const ENDED_BY_BATCH_SYSTEM: &str = "the batch system ended its job";
