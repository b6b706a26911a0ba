//! The driver: the single writer of a study, and the loop that decides about every trial.
//!
//! Everything that happens becomes an [`Event`]. `Driver::commit` appends the event to the journal,
//! applies it to the [`Study`], and passes it to the sampler, the scheduler and the listeners. A
//! resumed study goes through the same `Driver::absorb` as a running one, so both reach the same
//! state.

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

/// A receiver of everything that the run does: a progress display, an event stream, or the writer
/// of the table.
pub trait Listener {
    /// Called after the study has applied `entry`. The journal contains the entry already.
    fn entry(&mut self, study: &Study, entry: &Entry);

    /// Called with a progress message of the executor (for example of the batch system). Not part
    /// of the journal.
    fn news(&mut self, text: &str) {
        let _ = text;
    }

    /// Called when the run pauses or resumes (for example on a full disk). Not an event of the
    /// study.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }

    /// Called about ten times a second, also when nothing has happened.
    fn tick(&mut self, study: &Study) {
        let _ = study;
    }
}

/// Returns the current time. The simulator passes a virtual clock.
pub type Clock = Box<dyn Fn() -> Timestamp>;

/// The single writer of a study: it holds the lock, the journal and the state of the run.
pub struct Driver<'a> {
    dir: StudyDir,
    /// The right to write the study, held until the driver is dropped.
    _lock: Lock,
    journal: Journal,
    study: Study,
    parts: Parts,
    /// The source of all times in the journal.
    clock: Clock,
    listeners: Vec<Box<dyn Listener + 'a>>,
    /// Running trials that were asked to end, and how. They are not judged again, and asked again
    /// only with more urgency.
    ending: BTreeMap<TrialId, Stop>,
    /// Slots whose attempt is running or waits to be started.
    busy_slots: BTreeSet<u32>,
    /// Whether the run is paused because the disk is full.
    paused: bool,
    /// The time at which the disk was last seen to be full; `None` if it never was in this run.
    full_at: Option<Timestamp>,
    /// Returns the free space on the disk.
    left: room::Probe,
    /// Ends the surviving processes of an earlier run.
    end_leftovers: room::EndLeftovers,
    /// Launches that are committed but not started: an attempt starts only once its `Started` event
    /// is flushed.
    held: Vec<Launch>,
    /// Signals of the executor that were received while the journal could not be written, oldest
    /// first.
    backlog: Vec<Signal>,
    /// The size of the study's folder; `None` without a `limits.disk`.
    size: Option<size::Size>,
    tidy: tidy::Tidy,
    caution: caution::Caution,
    holding: holding::Holding,
    data_sets: data::DataSets,
    /// Requests of `swath` processes in other terminals, merged: the most urgent stop and the
    /// latest number of jobs.
    told: Control,
    /// Failed trials of this run, without those that are retried or forgiven.
    failures: u64,
    breaker: Breaker,
    /// Whether the sampler had no further proposal. The budget of trials then counts as used up.
    exhausted: bool,
    /// Free slots in which nothing can be started now, each with the reason; an empty reason means
    /// a delay of moments.
    unusable: BTreeMap<u32, String>,
    /// The start of this run.
    began: Timestamp,
    /// The time that this run has spent suspended (SIGTSTP).
    stood: Duration,
    /// The part of the time since the last entry in which no run was active. The next entry records
    /// it, so that `limits.time` does not count it.
    away: Option<Duration>,
    /// The time of the last sync.
    synced: Instant,
    /// The time from which the next snapshot may be written.
    snapshot_due: Instant,
    /// By trial, the number of records of its running attempt that the journal already had when the
    /// study was opened.
    heard: BTreeMap<TrialId, u64>,
    /// A message about opening the study. It is kept here because no listener is registered yet at
    /// that time.
    opening: Option<String>,
}

/// An error that ends a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event was made that the state of the study does not allow: a bug in swath.
    #[error("internal error: an event was made that cannot follow what happened before")]
    Illegal(#[from] IllegalEvent),
    /// The executor as a whole cannot run trials any more.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// The longest wait for signals of the executor in one round of the loop.
const TICK: Duration = Duration::from_millis(100);

/// An attempt that ran at least this long is synced to the disk as soon as it ends. Shorter
/// attempts share the sync that `settle` does once a second.
const WORTH_A_SYNC: Duration = Duration::from_secs(1);

impl<'a> Driver<'a> {
    /// Returns the state of the study, up to the last committed event.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Registers `listener` for all further entries and messages. It first receives the message
    /// about opening the study, if there is one.
    pub fn listen(&mut self, mut listener: Box<dyn Listener + 'a>) {
        if let Some(text) = &self.opening {
            listener.news(text);
        }
        self.listeners.push(listener);
    }

    /// Runs trials until none is left to run, a limit is reached, or the run is asked to stop.
    /// Returns the reason for the end, which the last event of the journal records too.
    ///
    /// # Errors
    /// If the journal or the executor fails. The study can then be run again.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<Closing, DriverError> {
        self.begin_clock();
        // A request that was sent before this run began was meant for an earlier one: discard it.
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
            // After a reason to end, no new attempt may begin: end the launches that wait for a
            // flush.
            if ending.is_some() {
                self.drop_held()?;
            }
            match ending {
                None if waits => {}
                None => self.fill(executor)?,
                Some(Closing::Interrupted) => self.drain(executor, urgency),
                // A full budget of disk space stops new trials only: running trials may end by
                // themselves.
                Some(Closing::DiskLimit) => {}
                Some(_) => self.drain(executor, Urgency::Stop),
            }
            // A run that was asked to stop does not wait for room on the disk.
            waits = self.paused && urgency == Urgency::None;
            let over = ending.is_some() || !self.waits(executor);
            if self.study.running_count() == 0 && !waits && over {
                // A study that is done anyway is finished, even if it also fills its budget of disk
                // space.
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
            // While the disk is full, the backlog is bounded: further signals stay in the executor.
            if self.backlog.len() < room::MOST_SIGNALS {
                self.backlog.append(&mut executor.wait(TICK));
            } else {
                std::thread::sleep(TICK);
            }
            // Nothing is acted on before it can be written.
            if !waits {
                for signal in std::mem::take(&mut self.backlog) {
                    self.take(signal, executor)?;
                }
            }
            self.pass_on(executor);
            self.settle()?;
        }
    }

    /// Returns how many trials could start now if slots were free. This is an upper bound: the
    /// sampler may run out of proposals earlier.
    fn more(&self) -> usize {
        let waiting = self.study.waiting().count();
        let counted = self.study.counted();
        let most = self
            .parts
            .header
            .trials
            .map_or(u64::MAX, |most| most.saturating_sub(counted));
        // Clones and resumed trials are decided one at a time, so they count as one.
        let next = match self.parts.scheduler.next(&self.study, self.budget_left()) {
            Next::Fresh => usize::try_from(most).unwrap_or(usize::MAX),
            Next::Given { .. } | Next::Resume { .. } => 1,
            Next::Wait | Next::Done => 0,
        };
        waiting.saturating_add(next)
    }

    /// Passes the executor's progress messages on to the listeners.
    fn pass_on(&mut self, executor: &mut dyn Executor) {
        for text in executor.news() {
            for listener in &mut self.listeners {
                listener.news(&text);
            }
        }
    }

    /// Returns whether a run would have nothing to do: no trial waits or runs, and the scheduler
    /// wants no further one.
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

    /// Appends `event` to the journal, then applies it with `absorb`. All changes of the study go
    /// through here.
    fn commit(&mut self, event: Event) -> Result<(), DriverError> {
        let entry = self
            .journal
            .append_after(self.away.take(), event, (self.clock)())?;
        self.absorb(&entry)
    }

    /// Applies an entry to the study, then shows it to the sampler, the scheduler and the
    /// listeners. Both `commit` and resume use it.
    fn absorb(&mut self, entry: &Entry) -> Result<(), DriverError> {
        self.study.apply(entry)?;
        self.parts.sampler.observe(&self.study, &entry.event);
        self.parts.scheduler.observe(&self.study, &entry.event);
        for listener in &mut self.listeners {
            listener.entry(&self.study, entry);
        }
        Ok(())
    }

    /// Starts the clock of this run. The time between the last entry and now belongs to no run.
    fn begin_clock(&mut self) {
        self.began = (self.clock)();
        self.stood = Duration::ZERO;
        self.away = self.study.at().map(|last| self.began.since(last));
    }

    /// Returns the time used by all runs of the study so far, this run included, without the pauses
    /// between and within runs.
    #[must_use]
    pub fn used(&self) -> Duration {
        let since = self
            .study
            .at()
            .map_or(Duration::ZERO, |last| (self.clock)().since(last));
        // Until the next entry, the time since the last one includes the pause between the runs.
        self.study.used() + since.saturating_sub(self.away.unwrap_or_default())
    }

    /// Returns whether `limits.time` is used up. A run would then start no trial.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.parts
            .limits
            .time
            .is_some_and(|most| self.used() >= most)
    }

    /// Returns whether this run has used up `limits.run_time`. Time spent suspended does not count.
    fn is_run_time_over(&self) -> bool {
        let ran = (self.clock)().since(self.began).saturating_sub(self.stood);
        self.parts.limits.run_time.is_some_and(|most| ran >= most)
    }

    /// Returns the reason to end the run, if there is one. A request to stop precedes the limits.
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

    /// Asks all running trials to end. `Urgency::Drain` asks none: running trials may end by
    /// themselves.
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

    /// Suspends this process and all running attempts (SIGTSTP) until SIGCONT arrives.
    fn halt(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<(), DriverError> {
        executor.halt(true);
        // Nothing is written while the process is suspended, and it may never be resumed.
        self.save_to_disk()?;
        let stood = interrupt.stand_still();
        self.stood += stood;
        self.away = Some(self.away.unwrap_or_default() + stood);
        executor.halt(false);
        Ok(())
    }

    /// Asks a trial to end, unless it was already asked with the same or a higher urgency.
    fn end(&mut self, trial: TrialId, how: Stop, executor: &mut dyn Executor) {
        if self.ending.get(&trial).is_none_or(|asked| *asked < how) {
            self.ending.insert(trial, how);
            executor.stop(trial, how);
        }
    }

    /// Handles a signal of the executor. Signals of an attempt that is not the running one are
    /// dropped.
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
                // The checkpoint folder that contains a model must not be removed.
                self.note_model(&record);
                let record = self.weighed(trial, record);
                let report = matches!(record, LogRecord::Report { .. } | LogRecord::Beyond { .. });
                // The warnings are found before the commit: they compare the record with the study
                // before it.
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
                // The warning follows the record that it is about.
                if let Some(text) = odd {
                    self.commit(Event::Logged {
                        trial,
                        attempt,
                        record: LogRecord::Warning { text },
                    })?;
                }
                // Only reports carry values of the objective, so only reports are judged.
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
                // The trial waits for this answer: judge it first, so that the answer has the new
                // verdict.
                self.judge(trial, true, executor)?;
                self.answer(trial, attempt, id)
            }
        }
    }

    /// Commits the end of an attempt and what follows for its trial: a retry, a count of the
    /// failure, the removal of checkpoints. Returns the duration of the attempt.
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
            // The scheduler has judged the trial complete: the exit of the process cannot undo
            // that.
            _ if verdict == Some(Verdict::Complete) => Exit::Done,
            // The process ended by itself, but the scheduler may still give the trial more
            // resource.
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
        // A failure on a full disk or on a broken checkpoint is not the trial's fault: such trials
        // are requeued and do not count against `limits.failures`.
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

    /// Writes the final exit and result into the trial's folder, if the study knows better than the
    /// slot the attempt ran in: the exit, which a verdict may have changed, and which of several
    /// reports and models is the result. Errors are ignored, because the journal has the same
    /// facts.
    fn amend_folder(&self, trial: TrialId, told: Option<&Exit>) {
        let Some(found) = self.study.trial(trial) else {
            return;
        };
        let Some(exit) = &found.exit else { return };
        // The only report of a trial without a model is its result already, so short trials are
        // spared this write.
        let has_result = found.reports > 1 || !found.models.is_empty();
        if told != Some(exit) || has_result {
            let result = found.result(self.study.header());
            let _ = TrialFolder::amend(&self.dir.trial(trial), exit, &result, (self.clock)());
        }
    }

    /// Does the housekeeping after each round of signals: flushes the journal, syncs it once a
    /// second, reads requests of other processes, and calls [`Listener::tick`].
    fn settle(&mut self) -> Result<(), DriverError> {
        self.look_for_room();
        if !self.paused && self.save()? && self.synced.elapsed() >= Duration::from_secs(1) {
            self.save_to_disk()?;
            self.synced = Instant::now();
        }
        if !self.paused {
            // The records that made the older models superfluous are flushed now.
            self.release_held();
        }
        if let Some(size) = &mut self.size {
            size.refresh(&self.study);
        }
        if let Some(told) = Control::receive(&self.dir) {
            // A stop request can only become more urgent; a number of jobs replaces the last one.
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

    /// Writes the snapshot. The next one is due after 100 times the duration of this write, at
    /// least 5 s later, so that snapshots take at most 1/100 of the time. Errors are ignored: the
    /// journal alone is enough to restore the study.
    fn keep_snapshot(&mut self) {
        let began = Instant::now();
        let _ = snapshot::write(&self.dir, &self.study, self.journal.offset());
        self.snapshot_due = Instant::now() + (began.elapsed() * 100).max(Duration::from_secs(5));
    }

    /// Creates a trial from each configuration in the inbox. A configuration that no completion
    /// makes feasible is dropped.
    fn take_added(&mut self) -> Result<(), DriverError> {
        for given in inbox::receive(&self.dir) {
            if let Some(event) = propose::added(&self.parts, &self.study, &given) {
                self.create(event)?;
            }
        }
        Ok(())
    }

    /// Commits the end of the run, applies the policy for checkpoints for the last time, and writes
    /// the snapshot.
    fn close(&mut self, why: Closing) -> Result<Closing, DriverError> {
        self.commit(Event::Closed { why: why.clone() })?;
        self.journal.sync()?;
        // After the end of the sweep, no trial can be cloned any more.
        self.end_tidy(matches!(why, Closing::Finished | Closing::Exhausted));
        self.keep_snapshot();
        for listener in &mut self.listeners {
            listener.tick(&self.study);
        }
        Ok(why)
    }
}

/// Returns whether `folder` exists and is not empty.
pub fn has_entries(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
