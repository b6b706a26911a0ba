//! The parts of a driver that own a state of their own, and the trait of those that follow the
//! events of the run.

use super::Parts;
use super::breaker::Breaker;
use super::data::DataSets;
use super::earlier::EarlierRun;
use super::endings::Endings;
use super::first_trials::FirstTrials;
use super::goals::GoalWatch;
use super::holding::Holding;
use super::inbox::Inbox;
use super::retries::Retries;
use super::room::Room;
use super::saves::Saves;
use super::shared_files::SharedFiles;
use super::size::Size;
use super::slots::Slots;
use super::spent::Spent;
use super::tidy::Tidy;
use super::trial_budgets::TrialBudgets;
use super::trial_warnings::TrialWarnings;
use crate::journal::StudyDir;
use swath_model::study::{Event, LogRecord, Study, TrialId};

/// A part of the driver that keeps its state by following the events of the run.
pub(super) trait Component {
    /// Takes note of an event that the journal contains and `study` has applied.
    fn on(&mut self, study: &Study, event: &Event);
}

/// All components of a driver. Each owns its state and decides one thing; only the driver turns a
/// decision into an event or into a call of the executor.
pub(super) struct Components {
    /// Decides whether a trial has to start anew, and warns about odd reports.
    pub(super) trial_warnings: TrialWarnings,
    /// Warns about data sets that change.
    pub(super) data_sets: DataSets,
    /// Decides whether quick failures are the fault of a slot or of the sweep.
    pub(super) breaker: Breaker,
    /// Decides whether a failed trial is tried again, and when.
    pub(super) retries: Retries,
    /// Decides whether the first trials show that the sweep cannot work.
    pub(super) first_trials: FirstTrials,
    /// The time that running trials have used of their budget.
    pub(super) trial_budgets: TrialBudgets,
    /// Decides whether the sweep has reached its goals.
    pub(super) goals: GoalWatch,
    /// Decides whether the budget of money or of GPU time is used up.
    pub(super) spent: Spent,
    /// Decides whether the run waits for room on the disk.
    pub(super) room: Room,
    /// The slots that are in use or cannot be used.
    pub(super) slots: Slots,
    /// The requests to end that running trials were sent.
    pub(super) endings: Endings,
    /// The size of the study's folder; `None` without a `limits.disk`, and before the run begins.
    pub(super) size: Option<Size>,
    /// Removes checkpoints.
    pub(super) tidy: Tidy,
    /// Releases held models.
    pub(super) holding: Holding,
    /// Warns about files that several trials use.
    pub(super) shared_files: SharedFiles,
    /// Configurations and requests of `swath` processes in other terminals.
    pub(super) inbox: Inbox,
    /// The attempts that an earlier run left running.
    pub(super) earlier: EarlierRun,
    /// The times of the next sync and the next snapshot.
    pub(super) saves: Saves,
}

impl Components {
    /// Returns the components of a new driver. `earlier` has followed the journal.
    pub(super) fn new(
        dir: &StudyDir,
        parts: &Parts,
        earlier: EarlierRun,
        disk_space: super::room::DiskProbe,
        ticks: super::Ticks,
    ) -> Self {
        Self {
            trial_warnings: TrialWarnings::default(),
            data_sets: DataSets::default(),
            breaker: Breaker::new(parts.limits.quick_failures),
            retries: Retries::new(parts.retry.clone()),
            first_trials: FirstTrials::default(),
            trial_budgets: TrialBudgets::new(&parts.limits),
            goals: GoalWatch::default(),
            spent: Spent::default(),
            room: Room::new(dir.root().to_owned(), disk_space),
            slots: Slots::default(),
            endings: Endings::default(),
            size: None,
            tidy: Tidy::new(dir.clone(), parts.keep, parts.clones),
            holding: Holding::new(dir.clone()),
            shared_files: SharedFiles::new(parts.watched.clone()),
            inbox: Inbox::new(dir.clone()),
            earlier,
            saves: Saves::new(ticks),
        }
    }

    /// Begins a run: measures the study's folder and removes checkpoints that the policy does not
    /// keep.
    pub(super) fn begin(
        &mut self,
        dir: &StudyDir,
        disk: Option<u64>,
        parts: &Parts,
        study: &Study,
    ) {
        self.first_trials.begin(study);
        self.goals = GoalWatch::of(parts.goals.clone(), study);
        self.spent = Spent::of(parts.spending, study);
        // A request may have arrived while the setup ran.
        self.inbox.read_requests();
        self.size = disk.map(|most| Size::measure(dir, most, study));
        self.tidy.begin(study);
        self.shared_files.begin(study);
        self.tidy_up(study, false);
    }

    /// Shows an event of this run to the components that follow it.
    pub(super) fn on(&mut self, study: &Study, event: &Event) {
        let followers: [&mut dyn Component; 10] = [
            &mut self.retries,
            &mut self.goals,
            &mut self.spent,
            &mut self.trial_budgets,
            &mut self.first_trials,
            &mut self.slots,
            &mut self.endings,
            &mut self.tidy,
            &mut self.holding,
            &mut self.shared_files,
        ];
        for follower in followers {
            follower.on(study, event);
        }
        if let Some(size) = &mut self.size {
            size.on(study, event);
        }
    }

    /// Returns a warning about a record that is about to be committed, if any.
    pub(super) fn warning(
        &mut self,
        study: &Study,
        trial: TrialId,
        record: &LogRecord,
    ) -> Option<String> {
        let warning = self.trial_warnings.warning(study, trial, record);
        warning.or_else(|| self.data_sets.warning(study, trial, record))
    }

    /// Does the periodic work. `is_saved`: all events are flushed, so the files that they make
    /// superfluous may go.
    pub(super) fn tick(&mut self, study: &Study, is_saved: bool) {
        if self.tidy.is_due() {
            self.tidy_up(study, false);
        }
        if is_saved {
            self.holding.release(study);
        }
        if let Some(size) = &mut self.size {
            size.refresh(study);
        }
        self.inbox.read_requests();
        self.shared_files.drain();
    }

    /// Applies the policy for checkpoints for the last time, and waits for all removals. `over`:
    /// the study is finished, so no checkpoint is needed for a clone.
    pub(super) fn finish(&mut self, study: &Study, over: bool) {
        self.tidy_up(study, over);
        self.tidy.finish();
    }

    /// Removes the checkpoints that the policy does not keep. The size of the study shrinks at
    /// once, although a thread still removes them.
    fn tidy_up(&mut self, study: &Study, over: bool) {
        self.tidy.remove_expendable(study, over, |trial, aside| {
            if let Some(size) = &mut self.size {
                size.forget(trial, aside);
            }
        });
    }
}
