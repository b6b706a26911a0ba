//! Preparations that trials share: which ones a trial needs, when each runs, and the trials that
//! wait for it.
//!
//! A trial is created as always, and waits until the outputs that it needs are there; its slot runs
//! other trials meanwhile. A preparation is known by its digest: the name, the command, the data
//! sets, the values of the parameters that it depends on, and the digests of the preparations whose
//! outputs it reads.

use super::breaker::{End, Trip};
use super::component::Component;
use super::{Driver, DriverError, Retry, Urgency, has_entries, is_due};
use crate::executor::{
    Executor, Launch, PreparationLaunch, PreparedFolder, Signal, SignalKind, Stop,
};
use crate::journal::StudyDir;
use md5::{Digest, Md5};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swath_log::{Answer, Directive};
use swath_model::space::{Name, Params};
use swath_model::study::{
    Attempt, Event, Exit, Failure, IllegalEvent, LogRecord, Preparation, PreparationChange,
    PreparationId, Study, Timestamp, TrialId, TrialState, Usage,
};

/// Number of preparations at a time where trials run elsewhere. They do not take slots there.
const MOST_BESIDE_A_CLUSTER: u32 = 4;

/// Number of hexadecimal digits of the digest that names a folder: 64 bits.
const DIGITS: usize = 16;

/// A preparation as the sweep file describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PreparationPlan {
    /// Name of the preparation.
    pub name: Name,
    /// Command as the sweep file has it, with placeholders.
    pub command: Vec<String>,
    /// Parameters whose values decide about the output.
    pub depends: Vec<Name>,
    /// Preparations whose outputs it reads.
    pub inputs: Vec<Name>,
    /// Data sets that it reads.
    pub data_dir: Vec<String>,
    /// Longest run time of an attempt; `None` for no limit.
    pub time: Option<Duration>,
}

/// A preparation for the parameters of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Name of the preparation.
    pub name: Name,
    /// Values of the parameters that it depends on, in the order of their names.
    pub params: Params,
    /// Digest of everything that the output depends on.
    pub digest: String,
    /// Digests of the preparations whose outputs it reads.
    pub inputs: Vec<String>,
}

/// Returns the preparations that a trial with these parameters needs, those that others read first.
/// `plans` are in that order, too.
#[must_use]
pub fn assignments(plans: &[PreparationPlan], params: &Params) -> Vec<Assignment> {
    let mut assignments: Vec<Assignment> = Vec::with_capacity(plans.len());
    for plan in plans {
        let inputs = assignments
            .iter()
            .filter(|earlier| plan.inputs.contains(&earlier.name))
            .map(|earlier| earlier.digest.clone());
        let inputs: Vec<String> = inputs.collect();
        let mut values: Vec<_> = params
            .iter()
            .filter(|(name, _)| plan.depends.contains(name))
            .cloned()
            .collect();
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
        let params: Params = values.into_iter().collect();
        let content = json!([plan.name, plan.command, plan.data_dir, params, inputs]);
        assignments.push(Assignment {
            name: plan.name.clone(),
            digest: hexadecimal(&Md5::digest(content.to_string())),
            params,
            inputs,
        });
    }
    assignments
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..DIGITS].to_owned()
}

/// Returns the outputs that a trial with these parameters reads.
#[must_use]
pub fn prepared_folders(
    dir: &StudyDir,
    plans: &[PreparationPlan],
    params: &Params,
) -> Vec<PreparedFolder> {
    assignments(plans, params)
        .into_iter()
        .map(|assignment| prepared_folder(dir, assignment.name, &assignment.digest))
        .collect()
}

fn prepared_folder(dir: &StudyDir, name: Name, digest: &str) -> PreparedFolder {
    let folder = dir.prepared(digest);
    PreparedFolder {
        name,
        folder: std::path::absolute(&folder).unwrap_or(folder),
    }
}

/// Returns whether the output of a preparation is there.
#[must_use]
pub fn is_prepared(dir: &StudyDir, preparation: &Preparation) -> bool {
    preparation.execution.state == TrialState::Complete
        && dir.prepared(&preparation.digest).exists()
}

/// Returns whether a preparation ended without an output, and does not wait to run again.
fn has_failed(preparation: &Preparation) -> bool {
    let state = &preparation.execution.state;
    state.is_final() && *state != TrialState::Complete
}

/// The preparations of a run.
pub(super) struct Preparations {
    rule: Retry,
    /// The preparations of each trial that was considered for a start in this run.
    needs: BTreeMap<TrialId, Vec<PreparationId>>,
    /// Preparations that have failed in this run. The next run tries them again.
    failed: BTreeSet<PreparationId>,
    /// How the running preparations were asked to end, once this run ends.
    asked_to_end: Option<Stop>,
}

impl Component for Preparations {
    fn on(&mut self, study: &Study, event: &Event) {
        let Event::Preparation {
            preparation,
            change,
        } = event
        else {
            return;
        };
        match change {
            PreparationChange::Ended { .. } => {
                let ended = study.preparation(*preparation);
                if ended.is_some_and(has_failed) {
                    self.failed.insert(*preparation);
                }
            }
            PreparationChange::Requeued { .. } => drop(self.failed.remove(preparation)),
            _ => {}
        }
    }
}

impl Preparations {
    pub(super) fn new(rule: Retry) -> Self {
        Self {
            rule,
            needs: BTreeMap::new(),
            failed: BTreeSet::new(),
            asked_to_end: None,
        }
    }

    /// Returns the answer to a preparation that asks whether it may continue: only the end of the
    /// run ends it.
    fn answer(&self, id: String) -> Answer {
        let (directive, why) = match self.asked_to_end {
            None => (Directive::Continue, String::new()),
            Some(how) => (how.directive(), "the run was interrupted".to_owned()),
        };
        Answer { id, directive, why }
    }

    /// Returns the change that requeues a failed preparation; `None` if `[retry]` does not allow it.
    fn requeue(&self, preparation: &Preparation, now: Timestamp) -> Option<PreparationChange> {
        let execution = &preparation.execution;
        let Some(Exit::Failed(failure)) = &execution.exit else {
            return None;
        };
        let is_allowed = execution.state == TrialState::Failed
            && execution.failures <= self.rule.times
            && self.rule.on.contains(&failure.class());
        let wait = self.rule.wait(failure.class(), execution.failures);
        is_allowed.then(|| PreparationChange::Requeued {
            why: format!("retry after: {failure}"),
            not_before: (!wait.is_zero()).then(|| now.after(wait)),
        })
    }

    /// Returns the preparations that a trial waiting for them needs, each once.
    fn needed(&self, study: &Study) -> BTreeSet<PreparationId> {
        let waiting = study.waiting().filter_map(|trial| self.needs.get(&trial));
        waiting.flatten().copied().collect()
    }
}

/// The state of the outputs that a trial needs.
#[derive(Debug, PartialEq)]
enum Readiness {
    /// All of them are there.
    Ready,
    /// At least one is still to be made.
    Pending,
    /// This preparation has failed.
    Failed(PreparationId),
}

/// The attempt that a free slot runs next.
pub(super) enum Step {
    /// This trial.
    Trial(TrialId),
    /// This preparation.
    Preparation(PreparationId),
}

impl<'a> Driver<'a> {
    /// Lets `preparer` run the preparations of the sweep. Without one, as in a plan, trials start
    /// as if all outputs were there.
    pub fn prepare_with(&mut self, preparer: Box<dyn Executor + 'a>) {
        self.preparer = Some(preparer);
    }
}

impl Driver<'_> {
    /// Returns the attempt for the free slot `slot`, of `slots` in all.
    ///
    /// Trials that wait for a preparation do not take a slot, but at most as many are created ahead
    /// as there are slots: a later proposal can use more results.
    pub(super) fn next_step(
        &mut self,
        slot: u32,
        slots: usize,
    ) -> Result<Option<Step>, DriverError> {
        if !self.has_preparations() {
            return Ok(self.next_trial()?.map(Step::Trial));
        }
        'rounds: loop {
            let startable: Vec<_> = self.startable_trials().collect();
            let mut unprepared = 0;
            for trial in startable {
                match self.readiness(trial)? {
                    Readiness::Ready => return Ok(Some(Step::Trial(trial))),
                    Readiness::Pending => unprepared += 1,
                    Readiness::Failed(preparation) => {
                        self.fail_unprepared(trial, preparation, slot)?;
                        // The failure may end the run. If it does not, the slot is still free: with
                        // nothing else to run or to wait for, the run would end before its time.
                        if self.reason_to_end(Urgency::None).is_some() {
                            return Ok(None);
                        }
                        continue 'rounds;
                    }
                }
            }
            if !self.parts.elsewhere
                && let Some(preparation) = self.next_preparation()
            {
                return Ok(Some(Step::Preparation(preparation)));
            }
            if unprepared >= slots {
                return Ok(None);
            }
            let Some(trial) = self.proposed_trial()? else {
                return Ok(None);
            };
            // A paused trial is started directly, unless its prepared folders were deleted.
            let is_paused = self.state_of(trial) == Some(TrialState::Paused);
            if is_paused {
                if self.readiness(trial)? == Readiness::Ready {
                    return Ok(Some(Step::Trial(trial)));
                }
                let why = "what was prepared for it is gone and is made again";
                self.commit(Event::requeued(trial, why))?;
            }
        }
    }

    /// Returns the number of waiting trials that could start once a slot is free.
    pub(super) fn waiting_count(&self) -> usize {
        let is_ready = |trial: &TrialId| {
            let needs = self.components.preparations.needs.get(trial);
            needs.is_none_or(|needs| needs.iter().all(|id| self.has_output(*id)))
        };
        match self.has_preparations() {
            true => self.open_trials().filter(is_ready).count(),
            false => self.open_trials().count(),
        }
    }

    /// Starts preparations on this machine while the trials run elsewhere, where preparations take
    /// no slots.
    pub(super) fn prepare_beside_cluster(&mut self) -> Result<(), DriverError> {
        if !self.parts.elsewhere || !self.has_preparations() {
            return Ok(());
        }
        while let Some(slot) = self.slot_beside_cluster() {
            if !self.may_launch() {
                break;
            }
            let Some(preparation) = self.next_preparation() else {
                break;
            };
            self.launch_preparation(preparation, slot)?;
        }
        Ok(())
    }

    /// Returns a free number among those of the preparations that run beside a cluster.
    fn slot_beside_cluster(&self) -> Option<u32> {
        let running = self.study.running_preparations();
        let busy: BTreeSet<_> = running
            .filter_map(|preparation| preparation.execution.slot)
            .collect();
        (0..MOST_BESIDE_A_CLUSTER).find(|slot| !busy.contains(slot))
    }

    fn has_preparations(&self) -> bool {
        self.preparer.is_some() && !self.parts.preparations.is_empty()
    }

    fn state_of(&self, trial: TrialId) -> Option<TrialState> {
        Some(self.study.trial(trial)?.state.clone())
    }

    fn has_output(&self, id: PreparationId) -> bool {
        let preparation = self.study.preparation(id);
        preparation.is_some_and(|preparation| is_prepared(&self.dir, preparation))
    }

    /// Returns whether the outputs that a trial needs are there. Creates preparations that no trial
    /// has needed before.
    fn readiness(&mut self, trial: TrialId) -> Result<Readiness, DriverError> {
        let needs = self.needs(trial)?;
        let failed = &self.components.preparations.failed;
        if let Some(failed) = needs.iter().find(|id| failed.contains(id)) {
            return Ok(Readiness::Failed(*failed));
        }
        match needs.iter().all(|id| self.has_output(*id)) {
            true => Ok(Readiness::Ready),
            false => Ok(Readiness::Pending),
        }
    }

    /// Returns the preparations that a trial needs.
    fn needs(&mut self, trial: TrialId) -> Result<Vec<PreparationId>, DriverError> {
        if let Some(needs) = self.components.preparations.needs.get(&trial) {
            return Ok(needs.clone());
        }
        let params = &self
            .study
            .trial(trial)
            .ok_or(IllegalEvent::NoSuchTrial(trial))?
            .params;
        let mut needs = Vec::new();
        for assignment in assignments(&self.parts.preparations, params) {
            let earlier = self.study.preparation_of_digest(&assignment.digest);
            needs.push(match earlier.map(|earlier| earlier.id) {
                Some(id) => id,
                None => self.create_preparation(assignment)?,
            });
        }
        let known = &mut self.components.preparations.needs;
        known.insert(trial, needs.clone());
        Ok(needs)
    }

    fn create_preparation(&mut self, assignment: Assignment) -> Result<PreparationId, DriverError> {
        let id = self.study.next_preparation_id();
        let inputs = assignment.inputs.iter().filter_map(|digest| {
            let input = self.study.preparation_of_digest(digest)?;
            Some(input.id)
        });
        let change = PreparationChange::Created {
            inputs: inputs.collect(),
            name: assignment.name,
            digest: assignment.digest,
            params: assignment.params,
        };
        self.change_preparation(id, change)?;
        Ok(id)
    }

    fn change_preparation(
        &mut self,
        preparation: PreparationId,
        change: PreparationChange,
    ) -> Result<(), DriverError> {
        self.commit(Event::Preparation {
            preparation,
            change,
        })
    }

    /// Returns the next preparation to start: the earliest one that a waiting trial needs, and whose
    /// own inputs are there.
    fn next_preparation(&self) -> Option<PreparationId> {
        let now = self.clock.now();
        let preparations = &self.components.preparations;
        let may_start = |preparation: &&Preparation| {
            let execution = &preparation.execution;
            execution.state != TrialState::Running
                && !preparations.failed.contains(&preparation.id)
                && !is_prepared(&self.dir, preparation)
                && execution
                    .not_before
                    .is_none_or(|until| is_due(until, now, preparations.rule.max_backoff))
                && preparation
                    .inputs
                    .iter()
                    .all(|input| self.has_output(*input))
        };
        let needed = preparations.needed(&self.study);
        let mut candidates = needed.iter().filter_map(|id| self.study.preparation(*id));
        candidates.find(may_start).map(|preparation| preparation.id)
    }

    /// Commits the start of a preparation in a slot, and its inputs. Its program is started after a
    /// flush, as that of a trial.
    pub(super) fn launch_preparation(
        &mut self,
        id: PreparationId,
        slot: u32,
    ) -> Result<(), DriverError> {
        let Some(preparation) = self.study.preparation(id).cloned() else {
            return Ok(());
        };
        let mut plans = self.parts.preparations.iter();
        let plan = plans.find(|plan| plan.name == preparation.name);
        let time = plan.and_then(|plan| plan.time);
        let dir = self.dir.preparation(&preparation.digest);
        // An error recurs when the executor makes its files, and the attempt fails with it.
        let _ = std::fs::create_dir_all(&dir);
        let attempt = Attempt(preparation.execution.attempts + 1);
        let resume = attempt.0 > 1 && has_entries(&dir.join("checkpoints"));
        let started = PreparationChange::Started {
            attempt,
            slot,
            resume,
        };
        self.change_preparation(id, started)?;
        let inputs = preparation.inputs.iter();
        let inputs: Vec<_> = inputs
            .filter_map(|input| self.study.preparation(*input).cloned())
            .collect();
        for record in inputs.iter().filter_map(Preparation::as_input) {
            self.change_preparation(id, PreparationChange::Logged { attempt, record })?;
        }
        let prepared = inputs
            .into_iter()
            .map(|input| prepared_folder(&self.dir, input.name, &input.digest));
        let launch = Launch {
            trial: TrialId(id.0),
            attempt,
            params: preparation.execution.params,
            seed: preparation.execution.seed,
            slot,
            dir,
            until: None,
            resume,
            resume_step: None,
            from: None,
            prepared: prepared.collect(),
            preparation: Some(PreparationLaunch {
                name: preparation.name,
                time,
            }),
        };
        self.components.room.launches.push(launch);
        Ok(())
    }

    /// Commits which outputs a trial that has just started reads, as its data sets.
    pub(super) fn note_inputs(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
    ) -> Result<(), DriverError> {
        if !self.has_preparations() {
            return Ok(());
        }
        for id in self.needs(trial)? {
            let Some(preparation) = self.study.preparation(id) else {
                continue;
            };
            let input = preparation.as_input();
            if !preparation.trials.contains(&trial) {
                self.change_preparation(id, PreparationChange::Used { trial })?;
            }
            // An attempt that resumes keeps the records of the earlier one.
            let records = self.study.trial(trial).map(|trial| &trial.records);
            if let Some(record) = input
                && records.is_some_and(|records| !records.contains(&record))
            {
                self.commit(Event::Logged {
                    trial,
                    attempt,
                    record,
                    line_end: None,
                })?;
            }
        }
        Ok(())
    }

    /// Fails a trial whose preparation has failed, without starting it.
    fn fail_unprepared(
        &mut self,
        id: TrialId,
        preparation: PreparationId,
        slot: u32,
    ) -> Result<(), DriverError> {
        let trial = self.study.trial(id).ok_or(IllegalEvent::NoSuchTrial(id))?;
        let attempt = Attempt(trial.attempts + 1);
        // Whatever earlier attempts reported stays.
        let resume = trial.attempts > 0;
        self.commit(Event::Started {
            trial: id,
            attempt,
            until: None,
            slot,
            resume,
        })?;
        let why = self.why_unprepared(preparation);
        self.commit(Event::Ended {
            trial: id,
            attempt,
            exit: Exit::Failed(Failure::Spawn(why)),
            usage: Usage::default(),
        })?;
        // No slot is at fault, so only the sweep as a whole can be blamed.
        let end = End {
            trial: id,
            slot,
            slots: 1,
            ran: Duration::ZERO,
            at: self.clock.now(),
        };
        if let Some(Trip::Sweep { trials }) = self.components.breaker.record_end(&self.study, &end)
        {
            let why = "the preparations of several trials in a row failed, so the run was ended";
            self.give_back(&trials, why)?;
        }
        Ok(())
    }

    /// Returns why a trial cannot start, with the log that says more.
    fn why_unprepared(&self, id: PreparationId) -> String {
        let Some(preparation) = self.study.preparation(id) else {
            return "its preparation failed".to_owned();
        };
        let exit = preparation.execution.exit.as_ref();
        let log = self.dir.preparation(&preparation.digest).join("stderr.log");
        format!(
            "its preparation `{}` failed: {}; see `{}`",
            preparation.name,
            exit.map_or_else(String::new, ToString::to_string),
            log.display()
        )
    }

    /// Handles the signals of running preparations.
    pub(super) fn take_preparation_signals(&mut self) -> Result<(), DriverError> {
        let Some(preparer) = &mut self.preparer else {
            return Ok(());
        };
        for signal in preparer.wait(Duration::ZERO) {
            self.take_preparation_signal(signal)?;
        }
        Ok(())
    }

    fn take_preparation_signal(&mut self, signal: Signal) -> Result<(), DriverError> {
        let (id, attempt) = (PreparationId(signal.trial.0), signal.attempt);
        let is_current = self.study.preparation(id).is_some_and(|preparation| {
            let execution = &preparation.execution;
            execution.state == TrialState::Running && execution.attempts == attempt.0
        });
        if !is_current {
            return Ok(());
        }
        match signal.kind {
            SignalKind::Placed(place) => {
                self.change_preparation(id, PreparationChange::Placed { attempt, place })
            }
            // Reports decide about trials only.
            SignalKind::Logged(LogRecord::Report { .. } | LogRecord::Beyond { .. }, _) => Ok(()),
            SignalKind::Asked(question) => {
                let answer = self.components.preparations.answer(question);
                if let Some(preparation) = self.study.preparation(id) {
                    // A program that receives no answer reports that itself.
                    let _ = answer.give(&self.dir.preparation(&preparation.digest));
                }
                Ok(())
            }
            SignalKind::Logged(record, _) => {
                self.change_preparation(id, PreparationChange::Logged { attempt, record })
            }
            SignalKind::Ended(exit, usage) => {
                self.end_preparation(id, attempt, exit, usage)?;
                // Trials are about to depend on it.
                self.save_to_disk()?;
                self.components.saves.synced();
                Ok(())
            }
        }
    }

    /// Commits the end of a preparation, and requeues it if `[retry]` says so.
    pub(super) fn end_preparation(
        &mut self,
        id: PreparationId,
        attempt: Attempt,
        exit: Exit,
        usage: Usage,
    ) -> Result<(), DriverError> {
        let ended = PreparationChange::Ended {
            attempt,
            exit,
            usage,
        };
        self.change_preparation(id, ended)?;
        let requeued = self.study.preparation(id).and_then(|preparation| {
            let preparations = &self.components.preparations;
            preparations.requeue(preparation, self.clock.now())
        });
        match requeued {
            Some(change) => self.change_preparation(id, change),
            None => Ok(()),
        }
    }

    /// Asks all running preparations to end. They run again in the next run.
    pub(super) fn stop_preparations(&mut self, how: Stop) {
        self.components.preparations.asked_to_end = Some(how);
        let Some(preparer) = &mut self.preparer else {
            return;
        };
        for preparation in self.study.running_preparations() {
            preparer.stop(TrialId(preparation.id.0), how);
        }
    }

    /// Ends the preparations that ran when an earlier run was killed. Whatever they had written is
    /// removed when they start again.
    pub(super) fn lose_preparations(&mut self) -> Result<(), DriverError> {
        let running = self.study.running_preparations();
        let lost: Vec<_> = running
            .map(|preparation| {
                let execution = &preparation.execution;
                (
                    preparation.id,
                    Attempt(execution.attempts),
                    execution.place.as_deref().cloned(),
                )
            })
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = lost
            .iter()
            .filter_map(|(.., place)| place.clone())
            .collect();
        // Only below the folder of the preparations: attempts in pilots may go on.
        let earlier = &self.components.earlier;
        earlier.end_processes_of(&self.dir.preparations(), &places, self.parts.grace);
        for (id, attempt, _) in lost {
            self.end_preparation(id, attempt, Exit::Lost, Usage::default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::space::Value;

    fn plan(name: &str, depends: &[&str], inputs: &[&str]) -> PreparationPlan {
        PreparationPlan {
            name: name.into(),
            command: vec!["prepare".to_owned()],
            depends: depends.iter().map(|name| (*name).into()).collect(),
            inputs: inputs.iter().map(|name| (*name).into()).collect(),
            ..PreparationPlan::default()
        }
    }

    fn params(n: i64, lr: f64) -> Params {
        [("n".into(), Value::Int(n)), ("lr".into(), Value::Float(lr))]
            .into_iter()
            .collect()
    }

    fn digests(plans: &[PreparationPlan], params: &Params) -> Vec<String> {
        let assignments = assignments(plans, params).into_iter();
        assignments.map(|assignment| assignment.digest).collect()
    }

    #[test]
    fn only_the_parameters_that_a_preparation_depends_on_and_its_inputs_make_another_one() {
        let plans = [plan("tokens", &["n"], &[]), plan("index", &[], &["tokens"])];
        let first = digests(&plans, &params(1, 0.1));
        assert_eq!(first[0].len(), DIGITS);
        assert_eq!(digests(&plans, &params(1, 0.2)), first);
        let other = digests(&plans, &params(2, 0.1));
        assert!(other[0] != first[0] && other[1] != first[1]);
        let edited = PreparationPlan {
            command: vec!["prepare".to_owned(), "--fast".to_owned()],
            ..plans[0].clone()
        };
        assert_ne!(digests(&[edited], &params(1, 0.1))[0], first[0]);
    }

    #[test]
    fn the_order_of_the_parameters_makes_no_other_preparation() {
        let plans = [plan("tokens", &["n", "lr"], &[])];
        let reversed: Params = params(1, 0.1).iter().rev().cloned().collect();
        assert_eq!(digests(&plans, &reversed), digests(&plans, &params(1, 0.1)));
    }
}
