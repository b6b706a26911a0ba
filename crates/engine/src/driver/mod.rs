//! The driver: the single writer of a study, and the loop that decides about every trial.
//!
//! Everything that happens becomes an [`Event`]. `Driver::commit` appends the event to the journal,
//! applies it to the [`Study`], and shows it to the sampler, the scheduler, the components and the
//! listeners. A resumed study applies the events of its journal in the same way, so both reach the
//! same state.
//!
//! The driver only loops and commits. Each decision beside those of the sampler and the scheduler
//! is made by one component with a state of its own (`component.rs` lists them).

pub mod amend;
pub mod ask;
mod breaker;
mod clock;
mod component;
pub mod control;
mod data;
mod earlier;
mod edit;
mod ended;
mod endings;
mod fill;
mod first_trials;
pub mod gc;
mod goals;
pub mod holding;
pub mod inbox;
pub mod interrupt;
mod judge;
mod limits;
mod listeners;
pub mod open;
mod pace;
pub mod parts;
mod plan;
pub mod prepare;
pub mod propose;
pub mod race;
mod recapture;
pub mod replay;
mod retries;
pub mod room;
mod saves;
mod shared_files;
pub mod size;
mod slots;
mod spent;
pub mod tidy;
pub mod trash;
mod trial_budgets;
mod trial_warnings;
mod unread;

pub use ask::{Offer, OpenTrial};
pub use clock::Clock;
pub use control::Control;
pub use interrupt::{Interrupt, Urgency};
pub use limits::{Goals, Limits, Retry, Spending, TrialBudget};
pub use listeners::Listener;
pub use parts::Parts;
pub use prepare::PreparationPlan;
pub use recapture::{Outcome, Recaptured};
pub use room::MachineAccess;
pub use saves::Ticks;
pub use shared_files::{Watched, shared_files_warning};

use breaker::is_due;
use clock::RunClock;
use component::Components;
use goals::GoalWatch;
use inbox::{Content, Message};
use listeners::Listeners;
use pace::{Pace, TICK};
use spent::Spent;

use crate::executor::{Executor, ExecutorError, Signal, SignalKind, Stop};
use crate::journal::{Journal, JournalError, Lock, StudyDir, snapshot};
use std::collections::BTreeSet;
use std::time::Duration;
use swath_model::study::{
    Attempt, Closing, Event, IllegalEvent, LogRecord, SearchError, Study, TrialId, TrialState,
};
use swath_search::scheduler::Next;

/// The single writer of a study: it holds the lock, the journal and the state of the run.
pub struct Driver<'a> {
    dir: StudyDir,
    /// The right to write the study, held until the driver is dropped.
    _lock: Lock,
    journal: Journal,
    study: Study,
    parts: Parts,
    /// Whether the sampler had no further proposal. The budget of trials then counts as used up.
    exhausted: bool,
    clock: RunClock,
    components: Components,
    listeners: Listeners<'a>,
    /// Runs the preparations that trials share; `None` if nothing runs them.
    preparer: Option<Box<dyn Executor + 'a>>,
    /// The trials whose folder this run has made or taken over for the attempt that runs.
    claimed: BTreeSet<TrialId>,
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
    /// The sampler or the scheduler cannot decide any more.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The executor as a whole cannot run trials any more.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

impl<'a> Driver<'a> {
    /// Returns the state of the study, up to the last committed event.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Registers `listener` for all further entries and messages. It first receives the message
    /// about opening the study, if there is one.
    pub fn listen(&mut self, listener: Box<dyn Listener + 'a>) {
        self.listeners.add(listener);
    }

    /// Runs trials until none is left to run, a limit is reached, or the run is asked to stop.
    /// Returns the reason for the end, which the last event of the journal records too.
    ///
    /// # Errors
    /// If the journal, the executor, the sampler or the scheduler fails. The study can then be run
    /// again.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<Closing, DriverError> {
        self.clock.restart(self.study.at());
        let disk = self.parts.limits.disk;
        self.components
            .begin(&self.dir, disk, &self.parts, &self.study);
        self.take_over(executor)?;
        let wake_up = executor.wake_up();
        let mut pace = Pace::new(self.components.saves.now(), wake_up.is_some());
        interrupt.wake_with(wake_up);
        loop {
            if interrupt.take_halt() {
                self.halt(executor, interrupt)?;
            }
            let urgency = interrupt.urgency().max(self.components.inbox.urgency());
            if urgency == Urgency::Kill {
                interrupt.kill();
            }
            let ending = self.reason_to_end(urgency);
            let may_act = self.has_room(executor)?;
            if may_act {
                self.end_spent_trials(executor)?;
            }
            self.begin_or_end_attempts(ending.as_ref(), urgency, may_act, executor)?;
            // The sampler or the scheduler may have failed while slots were filled.
            let failure = self.search_failure();
            let ending = ending.or(failure.as_ref().map(|_| Closing::SearchFailed));
            // A run that was asked to stop does not wait for room on the disk.
            let waits = self.components.room.is_full() && urgency == Urgency::None;
            if !waits && let Some(why) = self.closing(ending, executor) {
                executor.finish();
                self.pass_on(executor);
                // Ends its slot processes.
                drop(self.preparer.take());
                let closed = self.close(why)?;
                return match failure {
                    Some(failure) if closed == Closing::SearchFailed => Err(failure.into()),
                    _ => Ok(closed),
                };
            }
            // While the disk is full, the backlog is bounded: further signals stay in the executor.
            if self.components.room.takes_signals() {
                let tick = pace.tick(self.components.saves.now(), self.is_due_soon());
                let mut signals = executor.wait(tick);
                if !signals.is_empty() {
                    pace.note_signals(self.components.saves.now());
                }
                self.components.room.backlog.append(&mut signals);
            } else {
                std::thread::sleep(TICK);
            }
            // Nothing is acted on before it can be written.
            if !waits {
                for signal in std::mem::take(&mut self.components.room.backlog) {
                    self.take(signal, executor)?;
                }
                self.take_preparation_signals()?;
            }
            self.pass_on(executor);
            if self.settle()? {
                self.deliver_verdicts(executor);
            }
        }
    }

    /// Returns whether the loop has to look for something that no signal of the executor announces:
    /// the end of a backoff, or signals of preparations.
    fn is_due_soon(&self) -> bool {
        let is_preparing = self.study.running_preparations().next().is_some();
        is_preparing || self.open_trials().next().is_some()
    }

    /// Fills the free slots; or, after a reason to end, asks running trials to end.
    fn begin_or_end_attempts(
        &mut self,
        ending: Option<&Closing>,
        urgency: Urgency,
        may_act: bool,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        let Some(ending) = ending else {
            return if may_act { self.fill(executor) } else { Ok(()) };
        };
        // No new attempt may begin: end the launches that wait for a flush.
        self.drop_launches()?;
        match ending {
            Closing::Interrupted => self.drain(executor, urgency),
            // A full budget of disk space and a failed sampler or scheduler stop new trials only:
            // running trials may end by themselves. When patience ends, one of them may still
            // bring something better, and the run goes on. In the same way, one may still report
            // the objective.
            Closing::DiskLimit
            | Closing::SearchFailed
            | Closing::Patience
            | Closing::NoObjective => {}
            _ => self.drain(executor, Urgency::Stop),
        }
        Ok(())
    }

    /// Returns the reason with which the run closes now; `None` if a trial runs or is still to run.
    fn closing(&self, ending: Option<Closing>, executor: &dyn Executor) -> Option<Closing> {
        let is_over = ending.is_some() || !self.waits(executor);
        let is_preparing = self.study.running_preparations().next().is_some();
        if self.study.running_count() > 0 || is_preparing || !is_over {
            return None;
        }
        // A study that is done anyway is finished, even if it also fills its budget of disk space.
        let ending = ending.filter(|why| *why != Closing::DiskLimit || !self.is_finished());
        Some(ending.unwrap_or(if self.exhausted {
            Closing::Exhausted
        } else {
            Closing::Finished
        }))
    }

    /// Returns how many trials could start now if slots were free. This is an upper bound: the
    /// sampler may run out of proposals earlier.
    fn more(&self) -> usize {
        let waiting = self.waiting_count();
        if self.parts.only_reruns {
            return waiting;
        }
        let counted = self.study.counted();
        let trials = self.study.header().trials;
        let most = trials.map_or(u64::MAX, |most| most.saturating_sub(counted));
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
        let mut messages = executor.take_messages();
        if let Some(preparer) = &mut self.preparer {
            messages.extend(preparer.take_messages());
        }
        for text in messages {
            self.listeners.news(&text);
        }
    }

    /// Returns whether a run would have nothing to do: no trial waits or runs, and the scheduler
    /// wants no further one.
    ///
    /// A failed sampler or scheduler leaves this open: a run then returns the error.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        if self.open_trials().next().is_some() || self.study.running_count() > 0 {
            return false;
        }
        if self.parts.only_reruns {
            return true;
        }
        let room = self.budget_left() && propose::propose(&self.parts, &self.study).is_some();
        let next = self.parts.scheduler.next(&self.study, room);
        matches!(next, Next::Wait | Next::Done) && self.search_failure().is_none()
    }

    /// Returns the reason why the sampler or the scheduler cannot decide any more, if there is one.
    fn search_failure(&self) -> Option<SearchError> {
        let failure = self.parts.sampler.failure();
        failure.or_else(|| self.parts.scheduler.failure())
    }

    /// Appends `event` to the journal, applies it to the study, and shows it to the sampler, the
    /// scheduler, the components and, once the kernel has it, to the listeners. All changes of the
    /// study go through here.
    fn commit(&mut self, event: Event) -> Result<(), DriverError> {
        let (away, now) = (self.clock.take_away(), self.clock.now());
        let entry = self.journal.append_after(away, event, now)?;
        self.study.apply(&entry)?;
        self.parts.observe(&self.study, &entry.event);
        self.components.on(&self.study, &entry.event);
        if self.listeners.is_empty() {
            return Ok(());
        }
        self.listeners.hold(entry);
        // While the disk is full, the listeners hear of the entry when it can be written.
        if !self.components.room.is_full() {
            self.save()?;
        }
        Ok(())
    }

    /// Commits a warning about a running attempt.
    fn warn(&mut self, trial: TrialId, attempt: Attempt, text: String) -> Result<(), DriverError> {
        self.commit(Event::Logged {
            trial,
            attempt,
            record: LogRecord::Warning { text },
            line_end: None,
        })
    }

    /// Returns the time used by all runs of the study so far, this run included, without the pauses
    /// between and within runs.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.clock.used(&self.study)
    }

    /// Returns the reason why a run would start no trial: a budget of the sweep is used up, or a
    /// goal is reached.
    #[must_use]
    pub fn spent_budget(&self) -> Option<Closing> {
        let spent = Spent::of(self.parts.spending, &self.study);
        let goals = GoalWatch::of(self.parts.goals.clone(), &self.study);
        if self.is_out_of_time() {
            Some(Closing::TimeLimit)
        } else {
            goals
                .closing()
                .or_else(|| spent.closing(&self.study, self.clock.now()))
        }
    }

    /// Returns whether `limits.time` is used up. A run would then start no trial.
    fn is_out_of_time(&self) -> bool {
        self.parts
            .limits
            .time
            .is_some_and(|most| self.used() >= most)
    }

    /// Returns whether this run has used up `limits.run_time`. Time spent suspended does not count.
    fn is_run_time_over(&self) -> bool {
        let most = self.parts.run_time;
        most.is_some_and(|most| self.clock.ran() >= most)
    }

    /// Returns the reason to end the run, if there is one. A request to stop precedes the limits.
    fn reason_to_end(&self, urgency: Urgency) -> Option<Closing> {
        let limits = self.parts.limits;
        let failures = self.components.retries.failures();
        if urgency > Urgency::None {
            Some(Closing::Interrupted)
        } else if limits.failures.is_some_and(|most| failures >= most) {
            Some(Closing::FailureLimit)
        } else if self.components.breaker.is_tripped() {
            Some(Closing::CircuitBreaker)
        } else if self.components.first_trials.are_invalid(&self.study) {
            Some(Closing::AllInvalid)
        } else if self.components.first_trials.silent().is_some() {
            Some(Closing::NoObjective)
        } else if self.search_failure().is_some() {
            Some(Closing::SearchFailed)
        } else if self.is_out_of_time() {
            Some(Closing::TimeLimit)
        } else if self.is_run_time_over() {
            Some(Closing::RunTime)
        } else if let Some(size) = &self.components.size
            && size.is_over()
        {
            Some(Closing::DiskLimit)
        } else {
            let spent = &self.components.spent;
            let goal = self.components.goals.closing();
            goal.or_else(|| spent.closing(&self.study, self.clock.now()))
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
        self.stop_preparations(how);
    }

    /// Suspends this process and all running attempts (SIGTSTP) until SIGCONT arrives.
    fn halt(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<(), DriverError> {
        executor.halt(true);
        self.preparer
            .iter_mut()
            .for_each(|preparer| preparer.halt(true));
        self.listeners.suspend();
        // Nothing is written while the process is suspended, and it may never be resumed.
        self.save_to_disk()?;
        let suspension = interrupt.suspend_process();
        self.clock.was_suspended(suspension);
        self.components.trial_budgets.extend(suspension);
        executor.halt(false);
        self.preparer
            .iter_mut()
            .for_each(|preparer| preparer.halt(false));
        Ok(())
    }

    /// Handles a signal of the executor. Signals of an attempt that is not the running one are
    /// dropped.
    fn take(&mut self, signal: Signal, executor: &mut dyn Executor) -> Result<(), DriverError> {
        let Signal {
            trial,
            attempt,
            kind,
            ..
        } = signal;
        let is_current = self
            .study
            .trial(trial)
            .is_some_and(|trial| trial.state == TrialState::Running && trial.attempts == attempt.0);
        if !is_current {
            return Ok(());
        }
        match kind {
            SignalKind::Placed(place) => self.commit(Event::Placed {
                trial,
                attempt,
                place,
            }),
            SignalKind::Logged(record, line_end) => {
                let record = self.weighed(trial, record);
                let is_report =
                    matches!(record, LogRecord::Report { .. } | LogRecord::Beyond { .. });
                self.log_record(trial, attempt, record, line_end)?;
                // Only reports carry values of the objective, so only reports are judged.
                if !is_report {
                    return Ok(());
                }
                self.clear_quick_failures(trial, executor);
                self.judge(trial, false, executor)
            }
            SignalKind::Ended(exit, usage) => {
                let was_silent = self.components.first_trials.silent().is_some();
                let ran = self.ended(trial, attempt, exit, usage)?;
                if !was_silent && self.components.first_trials.silent().is_some() {
                    self.announce_silence(trial);
                }
                self.watch_failures(trial, ran, executor)
            }
            SignalKind::Asked(id) => {
                // The trial waits for this answer: judge it first, so that the answer has the new
                // verdict.
                self.judge(trial, true, executor)?;
                self.answer(trial, attempt, id)
            }
        }
    }

    /// Says why no further trial is started after the first one without its objective.
    fn announce_silence(&mut self, trial: TrialId) {
        if self.study.running_count() > 0 {
            self.listeners.news(&format!(
                "no further trial is started, since trial {trial} ended without its objective; those \
                 that run may still report it"
            ));
        }
    }

    /// Commits a record of a running attempt, and the warning about it.
    fn log_record(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        record: LogRecord,
        line_end: Option<u64>,
    ) -> Result<(), DriverError> {
        // The warning is found before the commit: it compares the record with the study before it.
        let warning = self.components.warning(&self.study, trial, &record);
        self.commit(Event::Logged {
            trial,
            attempt,
            record,
            line_end,
        })?;
        match warning {
            Some(text) => self.warn(trial, attempt, text),
            None => Ok(()),
        }
    }

    /// Does the housekeeping after each round of signals: flushes the journal, syncs it once a
    /// second, reads requests of other processes, and calls [`Listener::tick`]. Returns whether a
    /// person has stopped trials, and this is on the disk.
    fn settle(&mut self) -> Result<bool, DriverError> {
        self.look_for_room();
        let may_write = !self.components.room.is_full();
        if may_write && self.save()? && self.components.saves.is_sync_due() {
            self.save_to_disk()?;
            self.components.saves.synced();
        }
        // The writes may have found the disk full.
        let is_saved = !self.components.room.is_full();
        self.components.tick(&self.study, is_saved);
        let stops_trials = is_saved && self.take_messages()?;
        // A power failure must not leave a snapshot of entries that it takes from the journal.
        if is_saved && self.components.saves.is_snapshot_due() && self.save_to_disk()? {
            self.components.saves.synced();
            self.keep_snapshot();
        }
        self.listeners.tick(&self.study);
        Ok(stops_trials)
    }

    /// Writes the snapshot of a journal that was just synced. The next one is due after 100 times
    /// the duration of this write, at least 5 s later, so that snapshots take at most 1/100 of the
    /// time. Errors are ignored: the journal alone is enough to restore the study.
    fn keep_snapshot(&mut self) {
        let began = self.components.saves.now();
        let _ = snapshot::write(&self.dir, &self.study, self.journal.offset());
        self.components.saves.wrote_snapshot(began);
    }

    /// Creates a trial from each configuration in the inbox, and commits the events of
    /// persons. A configuration that no completion makes feasible is dropped, and so is an event
    /// that its trial does not allow. Returns whether a person has stopped trials, and this is on
    /// the disk.
    fn take_messages(&mut self) -> Result<bool, DriverError> {
        let mut stops_trials = false;
        let messages = self.components.inbox.messages();
        for path in self.components.inbox.take_set_aside() {
            self.listeners.notice(&format!(
                "a message was not for this study, so it was not read: it is now `{}`",
                path.display()
            ));
        }
        for message in &messages {
            match &message.content {
                // Its file is there again after a kill, or after a power cut that undid its
                // removal.
                Content::Configuration(_) if message.is_taken(&self.study) => {}
                Content::Configuration(given) => {
                    if let Some(event) = propose::added(&self.parts, &self.study, given) {
                        self.create(message.named_in(event))?;
                    }
                }
                Content::Event(event) if self.study.accepts_request(event) => {
                    stops_trials |= matches!(**event, Event::Judged { .. });
                    self.commit(Event::clone(event))?;
                }
                Content::Event(_) => {}
            }
        }
        // A message goes once no power cut can take its event.
        let is_saved = !messages.is_empty() && self.save_to_disk()?;
        if is_saved {
            self.components.inbox.remove(&messages);
        }
        Ok(stops_trials && is_saved)
    }

    /// Commits the end of the run, applies the policy for checkpoints for the last time, and writes
    /// the snapshot.
    fn close(&mut self, why: Closing) -> Result<Closing, DriverError> {
        // An event that arrived in the last moment would otherwise wait for the next run.
        let mut events = self.components.inbox.messages();
        events.retain(|message| matches!(message.content, Content::Event(_)));
        for event in events.iter().filter_map(Message::event) {
            if self.study.accepts_request(event) {
                self.commit(event.clone())?;
            }
        }
        self.commit(Event::Closed { why: why.clone() })?;
        self.check_journal()?;
        self.journal.sync()?;
        if !events.is_empty() {
            self.components.inbox.remove(&events);
        }
        self.listeners.deliver(&self.study);
        // After the end of the sweep, no trial can be cloned any more.
        let over = matches!(why, Closing::Finished | Closing::Exhausted) && !self.parts.only_reruns;
        self.components.finish(&self.study, over);
        self.keep_snapshot();
        self.listeners.tick(&self.study);
        Ok(why)
    }
}

/// Returns whether `folder` exists and is not empty.
pub fn has_entries(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
