//! The driver: the single writer of a study, and the loop that decides every trial's life.
//!
//! Whatever happens becomes an event; `Driver::commit` makes it durable, then true, then known.
//! Resuming a study goes through the same `Driver::absorb` as running it.

pub mod amend;
pub mod ask;
mod breaker;
mod caution;
pub mod control;
mod data;
mod edit;
mod failing;
mod fill;
pub mod gc;
pub mod holding;
pub mod inbox;
pub mod interrupt;
mod judge;
pub mod open;
pub mod parts;
mod plan;
pub mod propose;
pub mod race;
pub mod replay;
pub mod room;
pub mod size;
pub mod tidy;
pub mod trash;
mod unread;

pub use ask::{Asked, Offer};
pub use control::Control;
pub use interrupt::{Interrupt, Urgency};
pub use parts::{Limits, Parts, Retry};
pub use room::Ground;

use breaker::Breaker;

use crate::executor::{Executor, ExecutorError, Launch, Signal, Stop, What};
use crate::journal::{Journal, JournalError, Lock, StudyDir, snapshot};
use crate::logger::TrialFolder;
use crate::scheduler::{self, Next};
use crate::study::{
    Attempt, Closing, Entry, Event, Exit, IllegalEvent, LogRecord, Study, Timestamp, TrialId,
    TrialState, Usage, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Somebody who wants to know what happens: a progress display, an event stream, the recorder that
/// feeds the trackers.
pub trait Listener {
    /// Takes in an entry that the study has just absorbed; the journal holds it already.
    fn entry(&mut self, study: &Study, entry: &Entry);

    /// Takes in what the executor has to say of how it goes; it is in no journal.
    fn news(&mut self, text: &str) {
        let _ = text;
    }

    /// Takes in something about the run that is no event of the study: it waits, it goes on.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }

    /// Called about ten times a second.
    fn tick(&mut self, study: &Study) {
        let _ = study;
    }
}

/// Tells the time; the simulator has its own.
pub type Clock = Box<dyn Fn() -> Timestamp>;

/// The single writer of a study.
pub struct Driver<'a> {
    dir: StudyDir,
    _lock: Lock,
    journal: Journal,
    study: Study,
    parts: Parts,
    clock: Clock,
    listeners: Vec<Box<dyn Listener + 'a>>,
    /// Trials that were asked to end, so that they are neither judged nor asked again.
    ending: BTreeMap<TrialId, Stop>,
    busy_slots: BTreeSet<u32>,
    /// The disk is full.
    paused: bool,
    /// When it was last known to be full.
    full_at: Option<Timestamp>,
    left: room::Probe,
    end_leftovers: room::EndLeftovers,
    /// Attempts that are to be started once the journal has them.
    held: Vec<Launch>,
    /// What happened while nothing could be written.
    backlog: Vec<Signal>,
    /// How much the study takes, if that is limited.
    size: Option<size::Size>,
    tidy: tidy::Tidy,
    caution: caution::Caution,
    holding: holding::Holding,
    data_sets: data::DataSets,
    /// What another terminal asked for.
    told: Control,
    failures: u64,
    breaker: Breaker,
    exhausted: bool,
    /// Free slots that cannot be used now, and why.
    unusable: BTreeMap<u32, String>,
    /// When the run began.
    began: Timestamp,
    /// How long the run stood still.
    stood: Duration,
    /// How much of the time since the last entry is not used by any run; the next entry says so.
    away: Option<Duration>,
    synced: Instant,
    snapshot_due: Instant,
    /// How many records of its running attempt each trial had when the study was opened.
    heard: BTreeMap<TrialId, u64>,
    /// What happened while the study was opened, before anybody listened.
    opening: Option<String>,
}

/// Why a run had to end.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event was made that cannot follow what happened before; a bug in swath.
    #[error("internal error: an event was made that cannot follow what happened before")]
    Illegal(#[from] IllegalEvent),
    /// The executor cannot work any more.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// How long is waited for something to happen.
const TICK: Duration = Duration::from_millis(100);

/// An attempt that ran at least this long is worth a sync of its own when it ends.
const WORTH_A_SYNC: Duration = Duration::from_secs(1);

impl<'a> Driver<'a> {
    /// Returns what is known.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Tells `listener` of everything from now on.
    pub fn listen(&mut self, mut listener: Box<dyn Listener + 'a>) {
        if let Some(text) = &self.opening {
            listener.news(text);
        }
        self.listeners.push(listener);
    }

    /// Runs trials until there is nothing left to do or somebody asks it to stop.
    ///
    /// # Errors
    /// If the journal or the executor fails. The study can then be run again.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<Closing, DriverError> {
        self.begin_clock();
        let _ = Control::receive(&self.dir);
        self.size = self
            .parts
            .limits
            .disk
            .map(|_| size::Size::measure(&self.dir, &self.study));
        self.begin_tidy();
        self.take_over(executor)?;
        loop {
            if interrupt.takes_halt() {
                self.halt(executor, interrupt)?;
            }
            let urgency = interrupt
                .urgency()
                .max(self.told.stop.unwrap_or(Urgency::None));
            let ending = self.reason_to_end(urgency);
            let mut waits = !self.has_room(executor)?;
            if ending.is_some() {
                self.drop_held()?;
            }
            match ending {
                None if waits => {}
                None => self.fill(executor)?,
                Some(Closing::Interrupted) => self.drain(executor, urgency),
                // What runs may end by itself.
                Some(Closing::DiskLimit) => {}
                Some(_) => self.drain(executor, Urgency::Stop),
            }
            waits = self.paused && urgency == Urgency::None;
            let over = ending.is_some() || !self.waits(executor);
            if self.study.running_count() == 0 && !waits && over {
                let ending = ending.filter(|why| *why != Closing::DiskLimit || !self.is_finished());
                let why = ending.unwrap_or(if self.exhausted {
                    Closing::Exhausted
                } else {
                    Closing::Finished
                });
                executor.finish();
                self.pass_on(executor);
                return self.close(why);
            }
            if self.backlog.len() < room::MOST_SIGNALS {
                self.backlog.append(&mut executor.wait(TICK));
            } else {
                std::thread::sleep(TICK);
            }
            if !waits {
                for signal in std::mem::take(&mut self.backlog) {
                    self.take(signal, executor)?;
                }
            }
            self.pass_on(executor);
            self.settle()?;
        }
    }

    /// Returns how many trials could start now if there were slots for them; as far as anybody can
    /// tell before they are proposed.
    fn more(&self) -> usize {
        let waiting = self.study.waiting().count();
        let counted = self.study.counted();
        let most = self
            .parts
            .header
            .trials
            .map_or(u64::MAX, |most| most.saturating_sub(counted));
        let next = match self.parts.scheduler.next(&self.study, self.budget_left()) {
            Next::Fresh => usize::try_from(most).unwrap_or(usize::MAX),
            Next::Given { .. } | Next::Resume { .. } => 1,
            Next::Wait | Next::Done => 0,
        };
        waiting.saturating_add(next)
    }

    /// Tells the listeners what the executor has to say.
    fn pass_on(&mut self, executor: &mut dyn Executor) {
        for text in executor.news() {
            for listener in &mut self.listeners {
                listener.news(&text);
            }
        }
    }

    /// Returns whether a run would find nothing to do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        if self.study.waiting().next().is_some() || self.study.running_count() > 0 {
            return false;
        }
        let room = self.budget_left() && propose::propose(&self.parts, &self.study).is_some();
        matches!(
            self.parts.scheduler.next(&self.study, room),
            Next::Wait | Next::Done
        )
    }

    /// Makes `event` durable, then true, then known. The only way a study changes.
    fn commit(&mut self, event: Event) -> Result<(), DriverError> {
        let entry = self
            .journal
            .append_after(self.away.take(), event, (self.clock)())?;
        self.absorb(&entry)
    }

    /// What `commit` and resume share: fold the entry in and tell everyone who listens.
    fn absorb(&mut self, entry: &Entry) -> Result<(), DriverError> {
        self.study.apply(entry)?;
        self.parts.sampler.observe(&self.study, &entry.event);
        self.parts.scheduler.observe(&self.study, &entry.event);
        for listener in &mut self.listeners {
            listener.entry(&self.study, entry);
        }
        Ok(())
    }

    /// Lets the run begin now: the time since the last entry is not used by it.
    fn begin_clock(&mut self) {
        self.began = (self.clock)();
        self.stood = Duration::ZERO;
        self.away = self.study.at().map(|last| self.began.since(last));
    }

    /// Returns how long all runs of the study have taken so far, this one included.
    #[must_use]
    pub fn used(&self) -> Duration {
        let since = self
            .study
            .at()
            .map_or(Duration::ZERO, |last| (self.clock)().since(last));
        self.study.used() + since.saturating_sub(self.away.unwrap_or_default())
    }

    /// Returns whether `limits.time` is used up, so that a run would start nothing.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.parts
            .limits
            .time
            .is_some_and(|most| self.used() >= most)
    }

    /// Returns whether this run has had the time that it was given.
    fn is_run_time_over(&self) -> bool {
        let ran = (self.clock)().since(self.began).saturating_sub(self.stood);
        self.parts.limits.run_time.is_some_and(|most| ran >= most)
    }

    fn reason_to_end(&self, urgency: Urgency) -> Option<Closing> {
        let limits = self.parts.limits;
        if urgency > Urgency::None {
            Some(Closing::Interrupted)
        } else if limits.failures.is_some_and(|most| self.failures >= most) {
            Some(Closing::FailureLimit)
        } else if self.breaker.tripped() {
            Some(Closing::CircuitBreaker)
        } else if self.is_out_of_time() {
            Some(Closing::TimeLimit)
        } else if self.is_run_time_over() {
            Some(Closing::RunTime)
        } else if let (Some(most), Some(size)) = (limits.disk, &self.size)
            && size.total() > most
        {
            Some(Closing::DiskLimit)
        } else {
            None
        }
    }

    /// Asks everything that runs to end, as urgently as that.
    fn drain(&mut self, executor: &mut dyn Executor, urgency: Urgency) {
        let how = match urgency {
            Urgency::None | Urgency::Drain => return,
            Urgency::Stop => Stop::Interrupt,
            Urgency::Kill => Stop::Kill,
        };
        let running: Vec<_> = self.study.running().collect();
        for trial in running {
            self.end(trial, how, executor);
        }
    }

    /// Stands still, with everything that runs, until this process is told to go on.
    fn halt(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<(), DriverError> {
        executor.halt(true);
        self.save_to_disk()?;
        let stood = interrupt.stand_still();
        self.stood += stood;
        self.away = Some(self.away.unwrap_or_default() + stood);
        executor.halt(false);
        Ok(())
    }

    /// Asks a trial to end, unless it was asked as urgently before.
    fn end(&mut self, trial: TrialId, how: Stop, executor: &mut dyn Executor) {
        if self.ending.get(&trial).is_none_or(|asked| *asked < how) {
            self.ending.insert(trial, how);
            executor.stop(trial, how);
        }
    }

    /// Takes in what happened to an attempt. What a stale attempt says is dropped.
    fn take(&mut self, signal: Signal, executor: &mut dyn Executor) -> Result<(), DriverError> {
        let Signal {
            trial,
            attempt,
            what,
            ..
        } = signal;
        let current = |found: &crate::study::Trial| {
            found.state == TrialState::Running && found.attempts == attempt.0
        };
        if !self.study.trial(trial).is_some_and(current) {
            return Ok(());
        }
        match what {
            What::Placed(place) => self.commit(Event::Placed {
                trial,
                attempt,
                place,
            }),
            What::Logged(record) => {
                self.note_model(&record);
                let record = self.weighed(trial, record);
                let report = matches!(record, LogRecord::Report { .. } | LogRecord::Beyond { .. });
                let odd = self.caution_look(trial, &record);
                let odd = odd.or_else(|| self.data_sets.look(&self.study, trial, &record));
                let held = match &record {
                    LogRecord::Model { held, .. } => held.clone(),
                    _ => None,
                };
                self.commit(Event::Logged {
                    trial,
                    attempt,
                    record,
                })?;
                self.note_held(trial, held);
                if let Some(text) = odd {
                    self.commit(Event::Logged {
                        trial,
                        attempt,
                        record: LogRecord::Warning { text },
                    })?;
                }
                if !report {
                    return Ok(());
                }
                self.reported(trial, executor);
                self.judge(trial, false, executor)
            }
            What::Ended(exit, usage) => {
                let ran = self.ended(trial, attempt, exit, usage)?;
                self.watch_failures(trial, ran, executor)
            }
            What::Asked(id) => {
                self.judge(trial, true, executor)?;
                self.answer(trial, attempt, id)
            }
        }
    }

    /// Ends an attempt and does what follows for the trial; returns how long the attempt ran.
    fn ended(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        exit: Exit,
        usage: Usage,
    ) -> Result<Duration, DriverError> {
        self.ending.remove(&trial);
        let now = (self.clock)();
        let (slot, ran) = self
            .study
            .trial(trial)
            .map_or((None, Duration::ZERO), |found| {
                (
                    found.slot,
                    found
                        .attempt_at
                        .map_or(Duration::ZERO, |began| now.since(began)),
                )
            });
        let exit_of_process = exit.clone();
        let verdict = self.study.trial(trial).and_then(|found| found.verdict);
        let exit = match exit {
            _ if verdict == Some(Verdict::Complete) => Exit::Done,
            Exit::Done if !self.parts.scheduler.finished(&self.study, trial) => Exit::Paused,
            other => other,
        };
        if let Some(text) = scheduler::complaint(&self.study, trial) {
            self.commit(Event::Logged {
                trial,
                attempt,
                record: LogRecord::Warning { text },
            })?;
        }
        let broken = self.caution_end(trial, attempt, &exit)?;
        self.commit(Event::Ended {
            trial,
            attempt,
            exit,
            usage,
        })?;
        self.amend_folder(trial, Some(&exit_of_process));
        if let Some(size) = &mut self.size {
            size.trial(trial);
        }
        if let Some(slot) = slot {
            self.busy_slots.remove(&slot);
        }
        // What a full disk or a broken checkpoint did was not the trial's fault.
        if broken {
            let why = "its checkpoint may be broken: it starts anew".to_owned();
            self.commit(Event::Requeued {
                trial,
                why,
                not_before: None,
                forgiven: false,
            })?;
        } else if !self.requeue_if_full(trial)?
            && !self.retry(trial)?
            && self
                .study
                .trial(trial)
                .is_some_and(|found| found.state == TrialState::Failed)
        {
            self.failures += 1;
        }
        self.tidy_after(trial);
        self.note_held_ended(trial);
        if ran >= WORTH_A_SYNC {
            self.save_to_disk()?;
            self.synced = Instant::now();
        }
        Ok(ran)
    }

    /// Completes the trial's folder with what the study knows better than the slot it ran in: how
    /// it ended, and which of several reports and models is its result. Failing is no error, since
    /// the journal has the truth.
    fn amend_folder(&self, trial: TrialId, told: Option<&Exit>) {
        let Some(found) = self.study.trial(trial) else {
            return;
        };
        let Some(exit) = &found.exit else { return };
        // A single report without a model is its own result: short trials are spared the file.
        let has_result = found.reports > 1 || !found.models.is_empty();
        if told != Some(exit) || has_result {
            let result = found.result(self.study.header());
            let _ = TrialFolder::amend(&self.dir.trial(trial), exit, &result, (self.clock)());
        }
    }

    /// After a round of signals: hands what was gathered to the kernel, once a second to the disk,
    /// and tells the listeners the time.
    fn settle(&mut self) -> Result<(), DriverError> {
        self.look_for_room();
        if !self.paused && self.save()? && self.synced.elapsed() >= Duration::from_secs(1) {
            self.save_to_disk()?;
            self.synced = Instant::now();
        }
        if !self.paused {
            self.release_held();
        }
        if let Some(size) = &mut self.size {
            size.refresh(&self.study);
        }
        if let Some(told) = Control::receive(&self.dir) {
            self.told = Control {
                stop: told.stop.max(self.told.stop),
                jobs: told.jobs.or(self.told.jobs),
            };
        }
        if !self.paused {
            self.take_added()?;
        }
        if !self.paused && Instant::now() >= self.snapshot_due {
            self.keep_snapshot();
        }
        for listener in &mut self.listeners {
            listener.tick(&self.study);
        }
        Ok(())
    }

    /// Writes the snapshot, and not again before a hundred times as long as that took. It is a
    /// convenience: failing is no error.
    fn keep_snapshot(&mut self) {
        let began = Instant::now();
        let _ = snapshot::write(&self.dir, &self.study, self.journal.offset());
        self.snapshot_due = Instant::now() + (began.elapsed() * 100).max(Duration::from_secs(5));
    }

    /// Takes in the configurations that were left for the run.
    fn take_added(&mut self) -> Result<(), DriverError> {
        for given in inbox::receive(&self.dir) {
            if let Some(event) = propose::added(&self.parts, &self.study, &given) {
                self.create(event)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, why: Closing) -> Result<Closing, DriverError> {
        self.commit(Event::Closed { why: why.clone() })?;
        self.journal.sync()?;
        self.end_tidy(matches!(why, Closing::Finished | Closing::Exhausted));
        self.keep_snapshot();
        for listener in &mut self.listeners {
            listener.tick(&self.study);
        }
        Ok(why)
    }
}

/// Returns whether a folder is there and not empty.
pub(crate) fn has_entries(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
