//! Applies events to a study. Every change of a study is made here or in a helper that is called
//! from here.

use super::{
    Attempt, Axis, Datum, Entry, Event, Exit, Failure, Header, LastSteps, LogRecord, Metric,
    Origin, Study, Take, Tally, Trial, TrialId, TrialState, Usage, Verdict, axis,
};
use crate::space::Name;
use std::collections::BTreeMap;
use std::time::Duration;

/// An event that cannot follow the events before it: swath did not write this journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalEvent {
    /// The sequence numbers of the entries are not dense.
    #[error("entry {actual} is out of order: expected entry {expected}")]
    OutOfOrder {
        /// The sequence number after that of the last entry.
        expected: u64,
        /// The sequence number that the entry has.
        actual: u64,
    },
    /// The first entry does not open the study, or a later one does.
    #[error("the study must be opened exactly once, by the first entry")]
    Opening,
    /// A newer version of swath wrote the journal.
    #[error(
        "the journal has format {format}, but this swath reads formats up to {newest}; use a newer swath"
    )]
    Newer {
        /// The version of the format that the journal has.
        format: u32,
        /// The newest version that this program reads: [`FORMAT`](super::FORMAT).
        newest: u32,
    },
    /// The ids of the created trials are not dense.
    #[error("trial {actual} is created out of order: expected trial {expected}")]
    WrongId {
        /// The id after that of the last created trial.
        expected: TrialId,
        /// The id that the trial has.
        actual: TrialId,
    },
    /// The entry names a trial that was never created.
    #[error("trial {0} does not exist")]
    NoSuchTrial(TrialId),
    /// The state of a preparation does not allow the event, or there is no such preparation.
    #[error("preparation {preparation} cannot be {action}")]
    Preparation {
        /// The preparation that the entry names.
        preparation: super::PreparationId,
        /// The past participle of the action, such as `started`.
        action: &'static str,
    },
    /// The trial's state does not allow the event.
    #[error("trial {trial} cannot be {action}: its state is `{state}`")]
    WrongState {
        /// The trial that the entry names.
        trial: TrialId,
        /// The word for the trial's state, or `removed`.
        state: &'static str,
        /// The past participle of the action, such as `requeued`.
        action: &'static str,
    },
    /// The entry names an attempt other than the running one.
    #[error("attempt {actual} of trial {trial} is out of order: expected attempt {expected}")]
    WrongAttempt {
        /// The trial that the entry names.
        trial: TrialId,
        /// The running attempt, or the next one if the event starts an attempt.
        expected: Attempt,
        /// The attempt that the entry names.
        actual: Attempt,
    },
}

impl Study {
    /// Applies one entry. An attempt that ends after the scheduler judged it gets the end that the
    /// scheduler decided, whatever the process's exit was. The study is unchanged if this fails.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the entry cannot follow the entries before it.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), IllegalEvent> {
        if entry.seq != self.next_seq {
            return Err(IllegalEvent::OutOfOrder {
                expected: self.next_seq,
                actual: entry.seq,
            });
        }
        if matches!(entry.event, Event::Opened { .. }) != (entry.seq == 0) {
            return Err(IllegalEvent::Opening);
        }
        self.fold(entry)?;
        // The counters change last, so that a rejected entry leaves the study as it was.
        self.next_seq += 1;
        self.add_elapsed(entry);
        Ok(())
    }

    /// Adds the time since the previous entry to the time that the runs have used, unless it does
    /// not count.
    fn add_elapsed(&mut self, entry: &Entry) {
        let elapsed = self
            .at
            .map_or(Duration::ZERO, |previous| entry.at.since(previous));
        self.used += match entry.away {
            // The clock may have been set back between the two entries, so nothing is ever
            // subtracted from the total.
            Some(away) => elapsed.saturating_sub(Duration::from_micros(away)),
            // Journals of earlier versions do not mark where a run begins. An edit is the first
            // entry of a run there, so the time before it lies between two runs.
            None if self.is_timed && !matches!(entry.event, Event::Edited { .. }) => elapsed,
            None => Duration::ZERO,
        };
        self.is_timed = match entry.event {
            // Until the next run starts, time does not count for the sweep.
            Event::Closed { .. } => false,
            Event::Opened { .. } | Event::Started { .. } => true,
            // The first entry of a writer carries `away`, so a run is active from here on.
            _ => self.is_timed || entry.away.is_some(),
        };
        self.at = Some(entry.at);
    }

    fn fold(&mut self, entry: &Entry) -> Result<(), IllegalEvent> {
        match &entry.event {
            Event::Opened { format, header } => {
                if *format > super::FORMAT {
                    return Err(IllegalEvent::Newer {
                        format: *format,
                        newest: super::FORMAT,
                    });
                }
                self.header = header.clone();
            }
            Event::Edited {
                header,
                fill,
                outside,
                ..
            } => {
                self.header = header.clone();
                self.fit_to_edit(fill, outside);
            }
            Event::Created {
                trial,
                params,
                origin,
                seed,
            } => self.create(Trial::new(*trial, params.clone(), origin.clone(), *seed))?,
            Event::Started {
                trial: id,
                attempt,
                until,
                slot,
                resume,
            } => {
                let price = self.header.price.clone();
                // A scheduler may resume a paused trial directly, without requeueing it.
                let trial =
                    self.require_state(*id, &[TrialState::Waiting, TrialState::Paused], "started")?;
                let next = Attempt(trial.attempts + 1);
                if *attempt != next {
                    return Err(IllegalEvent::WrongAttempt {
                        trial: *id,
                        expected: next,
                        actual: *attempt,
                    });
                }
                // The cost of an attempt stays paid even if its reports no longer count.
                let spent = price
                    .as_ref()
                    .filter(|_| !*resume)
                    .map(|price| trial.cost(price));
                trial.spent = spent.unwrap_or(trial.spent);
                trial.start(entry.at, *until, *slot, *resume);
                self.change_state(*id, TrialState::Running);
                // A new attempt reopens the study: a run is active again.
                self.closed = None;
            }
            Event::Placed {
                trial,
                attempt,
                place,
            } => {
                self.require_attempt(*trial, *attempt, "placed")?
                    .place_at(place, entry.at);
            }
            Event::Logged {
                trial,
                attempt,
                record,
                line_end,
            } => {
                self.require_attempt(*trial, *attempt, "logged")?;
                // A free function, because the trial changes while the header is read.
                let trial = trial_by_id(&mut self.trials, *trial)?;
                if let Some(end) = line_end {
                    trial.taken.get_or_insert_default().add(*end, record);
                }
                trial.log(record, &self.header);
            }
            Event::Judged {
                trial,
                verdict,
                why,
            } => self.judge(*trial, *verdict, why.clone())?,
            Event::Ended {
                trial: id,
                attempt,
                exit,
                usage,
            } => {
                // The objective is looked up before the trial is borrowed to be changed.
                let missing = self.missing_objective(*id);
                let trial = self.require_attempt(*id, *attempt, "ended")?;
                let state = trial.end(entry.at, exit, *usage, missing);
                self.change_state(*id, state);
                // A trial's result counts from its end on, so the incumbent may change here.
                self.update_incumbent(*id);
            }
            Event::Requeued {
                trial: id,
                not_before,
                forgiven,
                ..
            } => {
                // A waiting trial is in the queue already. A complete one loses its result: only a
                // user requeues it.
                let trial = self.require_state(
                    *id,
                    &[
                        TrialState::Complete,
                        TrialState::Failed,
                        TrialState::Invalid,
                        TrialState::Stopped,
                        TrialState::Paused,
                    ],
                    "requeued",
                )?;
                trial.not_before = *not_before;
                // A forgiven failure does not use up one of the trial's retries.
                trial.failures = trial.failures.saturating_sub(u32::from(*forgiven));
                let was_complete = trial.state == TrialState::Complete;
                self.change_state(*id, TrialState::Waiting);
                if was_complete {
                    self.recompute_incumbent();
                }
            }
            Event::Removed { trials } => self.remove(trials)?,
            Event::Restored { trials } => self.restore(trials)?,
            Event::Noted { trial, note } => self.set_note(*trial, note)?,
            Event::Tagged {
                trials,
                tag,
                removed,
            } => self.set_tag(trials, tag, !removed)?,
            Event::Raised { trials } => self.raise_trials(*trials),
            // These entries explain why nothing started in a slot. They change no trial.
            Event::SlotPaused { .. } | Event::SlotResumed { .. } => {}
            Event::Preparation {
                preparation,
                change,
            } => self.change_preparation(*preparation, change, entry.at)?,
            Event::Closed { why } => self.closed = Some(why.clone()),
        }
        Ok(())
    }

    /// Adds a new trial, which waits.
    fn create(&mut self, created: Trial) -> Result<(), IllegalEvent> {
        if created.id != self.next_id() {
            return Err(IllegalEvent::WrongId {
                expected: self.next_id(),
                actual: created.id,
            });
        }
        // Replicates refer to the first trial of a configuration, never to another replicate,
        // because `configuration` follows one reference only.
        if let Some(first) = created.origin.first_of_configuration()
            && (self.trial(first).is_none() || self.configuration(first) != first)
        {
            return Err(IllegalEvent::NoSuchTrial(first));
        }
        // A clone replaces a paused trial in the same event, so that a crash between the two cannot
        // leave both or neither.
        if let Origin::Cloned {
            instead: Some(replaced),
            why,
            ..
        } = &created.origin
        {
            self.require_state(*replaced, &[TrialState::Paused], "replaced")?
                .why = Some(why.clone());
            self.change_state(*replaced, TrialState::Stopped);
        }
        // An imported trial used no slot of this sweep, so it does not count towards `trials`.
        self.counted += u64::from(created.counts());
        self.imported += u64::from(matches!(created.origin, Origin::Imported(_)));
        self.register_replicate(created.id, &created.origin);
        self.waiting.insert(created.id);
        self.trials.push(created);
        Ok(())
    }

    /// Takes a verdict of the scheduler or of a person on a trial.
    fn judge(&mut self, id: TrialId, verdict: Verdict, why: String) -> Result<(), IllegalEvent> {
        let states: &[TrialState] = match verdict {
            // A person may stop a trial that waits.
            Verdict::Stop => &[TrialState::Running, TrialState::Paused, TrialState::Waiting],
            _ => &[TrialState::Running, TrialState::Paused],
        };
        let trial = self.require_state(id, states, "judged")?;
        trial.why = Some(why);
        trial.verdict = Some(verdict);
        // A running trial stops when its attempt ends. No other trial has an attempt whose end
        // could stop it.
        if verdict == Verdict::Stop && trial.state != TrialState::Running {
            // The failure of an earlier attempt is not the end of the trial.
            trial.exit = Some(Exit::Stopped);
            self.change_state(id, TrialState::Stopped);
        }
        Ok(())
    }

    pub(super) fn trial_mut(&mut self, id: TrialId) -> Result<&mut Trial, IllegalEvent> {
        trial_by_id(&mut self.trials, id)
    }

    /// Returns the trial if it is in one of `states` and not in the trash. `action` is for the
    /// error message.
    pub(super) fn require_state(
        &mut self,
        id: TrialId,
        states: &[TrialState],
        action: &'static str,
    ) -> Result<&mut Trial, IllegalEvent> {
        let trial = self.trial_mut(id)?;
        // A trial in the trash keeps its state for the day it is restored, so the state alone does
        // not tell that nothing may happen to it.
        if trial.removed {
            return Err(IllegalEvent::WrongState {
                trial: id,
                state: "removed",
                action,
            });
        }
        if states.contains(&trial.state) {
            return Ok(trial);
        }
        Err(IllegalEvent::WrongState {
            trial: id,
            state: trial.state.word(),
            action,
        })
    }

    /// Returns the trial if `attempt` is its running attempt. A late message of an earlier attempt
    /// must not be taken for one of the running attempt.
    fn require_attempt(
        &mut self,
        id: TrialId,
        attempt: Attempt,
        action: &'static str,
    ) -> Result<&mut Trial, IllegalEvent> {
        let trial = self.require_state(id, &[TrialState::Running], action)?;
        if trial.attempts == attempt.0 {
            return Ok(trial);
        }
        Err(IllegalEvent::WrongAttempt {
            trial: id,
            expected: Attempt(trial.attempts),
            actual: attempt,
        })
    }

    /// Moves a trial to a state and updates the sets and counts that depend on it.
    fn change_state(&mut self, id: TrialId, state: TrialState) {
        let is_counted = self.is_counted(id);
        // Every caller has checked that the trial exists, so there is nothing to report here.
        let Ok(trial) = self.trial_mut(id) else {
            return;
        };
        let old_state = std::mem::replace(&mut trial.state, state.clone());
        let outside = trial.outside;
        match old_state {
            TrialState::Waiting => drop(self.waiting.remove(&id)),
            TrialState::Running => drop(self.running.remove(&id)),
            counted => *self.counts.in_state(&counted) -= 1,
        }
        match (is_counted, self.is_counted(id)) {
            (true, false) => self.counted -= 1,
            (false, true) => self.counted += 1,
            _ => {}
        }
        match state {
            // A trial outside the space stays waiting but is never offered to a slot.
            TrialState::Waiting if outside => {}
            TrialState::Waiting => drop(self.waiting.insert(id)),
            TrialState::Running => drop(self.running.insert(id)),
            counted => *self.counts.in_state(&counted) += 1,
        }
    }

    /// Returns the reason why an objective has no value: the first objective that the trial did not
    /// report or whose value is not finite. `None` if all of them have values.
    fn missing_objective(&self, id: TrialId) -> Option<String> {
        let trial = self.trial(id)?;
        let missing = self
            .header
            .objectives
            .iter()
            .find(|objective| trial.objective(objective).is_none())?;
        Some(format!(
            "`{}` {}",
            missing.metric,
            trial.absence(&missing.metric)
        ))
    }

    /// Fits older trials to an edited sweep file: new parameters get their `fill` values, and the
    /// trials in `outside`, which is sorted, no longer count.
    fn fit_to_edit(&mut self, fill: &crate::space::Params, outside: &[TrialId]) {
        // `outside` is decided anew by each edit: a trial that fits the space again counts again.
        for trial in &mut self.trials {
            trial.misfit = outside.binary_search(&trial.id).is_ok();
            trial.outside = trial.misfit || trial.removed;
            // A value that the trial ran with is never replaced.
            let missing: Vec<_> = fill
                .iter()
                .filter(|(name, _)| trial.params.get(name).is_none())
                .cloned()
                .collect();
            if !missing.is_empty() {
                trial.params = trial.params.iter().cloned().chain(missing).collect();
            }
        }
        // An edit may both exclude waiting trials and bring back excluded ones, so the set is
        // rebuilt.
        self.waiting = self
            .trials
            .iter()
            .filter(|trial| trial.state == TrialState::Waiting && !trial.outside)
            .map(|trial| trial.id)
            .collect();
        self.recount();
    }

    /// Recomputes the number of trials that count, and the incumbent.
    pub(super) fn recount(&mut self) {
        let counted = self.trials.iter().filter(|trial| self.counts_trial(trial));
        self.counted = counted.count() as u64;
        self.recompute_incumbent();
    }

    /// Returns whether a trial counts towards `trials` of the sweep file.
    fn is_counted(&self, id: TrialId) -> bool {
        self.trial(id).is_some_and(|trial| self.counts_trial(trial))
    }

    fn counts_trial(&self, trial: &Trial) -> bool {
        let is_exempt = self.header.exempts_invalid && trial.state == TrialState::Invalid;
        trial.counts() && !is_exempt
    }
}

impl super::Counts {
    pub(super) fn in_state(&mut self, state: &TrialState) -> &mut u64 {
        match state {
            TrialState::Complete => &mut self.complete,
            TrialState::Stopped => &mut self.stopped,
            TrialState::Paused => &mut self.paused,
            TrialState::Invalid => &mut self.invalid,
            // Waiting and running trials have no count of their own. Callers handle both before
            // they look up a count.
            TrialState::Failed | TrialState::Waiting | TrialState::Running => &mut self.failed,
        }
    }
}

fn trial_by_id(trials: &mut [Trial], id: TrialId) -> Result<&mut Trial, IllegalEvent> {
    // Ids are dense from 1, and id 0 of a damaged journal is no index at all.
    let index = (id.0 as usize).checked_sub(1);
    index
        .and_then(|index| trials.get_mut(index))
        .ok_or(IllegalEvent::NoSuchTrial(id))
}

impl Trial {
    pub(super) fn new(
        id: TrialId,
        params: crate::space::Params,
        origin: Origin,
        seed: u64,
    ) -> Self {
        Self {
            id,
            params,
            origin,
            seed,
            state: TrialState::Waiting,
            attempts: 0,
            failures: 0,
            verdict: None,
            until: None,
            slot: None,
            place: None,
            metrics: super::NameMap::default(),
            texts: BTreeMap::new(),
            reports: 0,
            beyond: 0,
            step: None,
            position: None,
            last_steps: None,
            axis: Axis::default(),
            taken: None,
            records: Vec::new(),
            counted: None,
            models: Vec::new(),
            series: BTreeMap::new(),
            exit: None,
            why: None,
            started_at: None,
            attempt_at: None,
            ended_at: None,
            seconds: 0.0,
            usage: Usage::default(),
            spent: 0.0,
            not_before: None,
            outside: false,
            misfit: false,
            removed: false,
        }
    }

    pub(super) fn start(
        &mut self,
        time: super::Timestamp,
        until: Option<super::Resource>,
        slot: u32,
        resume: bool,
    ) {
        self.attempts += 1;
        self.until = until;
        self.slot = Some(slot);
        // The place, exit and verdict of the last attempt do not describe the new one.
        self.place = None;
        self.not_before = None;
        self.exit = None;
        self.verdict = None;
        self.started_at = self.started_at.or(Some(time));
        self.attempt_at = Some(time);
        // A trial that a user runs again may be valid by now.
        self.records
            .retain(|record| !matches!(record, LogRecord::Invalid { .. }));
        // A fresh attempt starts from the beginning, so the reports of earlier attempts would
        // distort its result.
        if !resume {
            self.metrics.clear();
            self.texts.clear();
            self.records.clear();
            self.counted = None;
            self.models.clear();
            self.series.clear();
            (self.reports, self.beyond) = (0, 0);
            // It also writes a new `records.jsonl`.
            self.taken = None;
            (self.step, self.position) = (None, None);
            self.axis = Axis::default();
        }
    }

    pub(super) fn place_at(&mut self, place: &super::Place, recorded: super::Timestamp) {
        if let Some(ordered) = self.attempt_at {
            let started = place.started_at(ordered, recorded);
            // Before the first attempt has its place, the start of the trial is that of its order.
            if self.started_at == self.attempt_at {
                self.started_at = Some(started);
            }
            self.attempt_at = Some(started);
        }
        self.place = Some(Box::new(place.clone()));
    }

    pub(super) fn log(&mut self, record: &LogRecord, header: &Header) {
        // This report came after the trial had used all of its resource. It is counted, and changes
        // no result.
        if matches!(record, LogRecord::Beyond { .. }) {
            self.beyond += 1;
            return;
        }
        // A record that is no report decides nothing. It is kept in its order, because the facts of
        // a model follow the model.
        let LogRecord::Report { values } = record else {
            if matches!(record, LogRecord::Model { .. }) {
                self.note_model();
            }
            self.records.push(record.clone());
            return;
        };
        let objectives = &header.objectives;
        // The value before this report decides whether this report is the best one so far, so it is
        // read before the metrics are updated. Averages of all reports are not needed for that.
        let previous_best = objectives
            .first()
            .filter(|objective| objective.take == Take::Best)
            .and_then(|objective| self.objective(objective));
        self.reports += 1;
        // An edited sweep file may introduce a resource after the first reports.
        if header.resource.is_some() {
            self.axis = Axis::of(header.resource.as_ref());
        }
        let step = self.advance(values);
        for (name, datum) in values {
            let is_last = match (step, &mut self.last_steps) {
                (Some(step), Some(steps)) => steps.take(name, step),
                _ => true,
            };
            match datum {
                Datum::Number(Metric(number)) => {
                    self.metrics
                        .get_or_insert_with(name, || Tally::EMPTY)
                        .add(*number, is_last);
                }
                // Flags and texts have no statistics; the last one is kept for the tables.
                Datum::Flag(flag) => self.set_text(name, &flag.to_string(), is_last),
                Datum::Text(text) => self.set_text(name, text, is_last),
            }
        }
        self.count_report(values, objectives, previous_best, step);
    }

    /// Updates the step and the position of the trial with a report. Returns the step by which the
    /// values of the report are ordered.
    fn advance(&mut self, values: &[(Name, Datum)]) -> Option<f64> {
        self.position = self
            .axis
            .place(self.reports, self.position, |key| axis::number(values, key));
        let step = LastSteps::step_of(&mut self.last_steps, &self.axis, values);
        if self.axis.is_number() {
            self.step = self.position;
        } else if let Some(steps) = &self.last_steps {
            self.step = Some(steps.largest());
        }
        step
    }

    fn set_text(&mut self, name: &Name, text: &str, is_last: bool) {
        if is_last || !self.texts.contains_key(name) {
            self.texts.insert(name.clone(), text.to_owned());
        }
    }

    pub(super) fn end(
        &mut self,
        time: super::Timestamp,
        exit: &Exit,
        usage: Usage,
        missing_objective: Option<String>,
    ) -> TrialState {
        let started = self.attempt_at.unwrap_or(time);
        self.ended_at = Some(usage.ended_at(started, time));
        let run_time = usage.run_time(started, time);
        self.seconds = round_to_microseconds(self.seconds + run_time);
        self.usage.cpu_seconds = round_to_microseconds(self.usage.cpu_seconds + usage.cpu_seconds);
        self.usage.peak_mib = self.usage.peak_mib.max(usage.peak_mib);
        let invalid = self.records.iter().find_map(|record| match record {
            LogRecord::Invalid { why } => Some(Failure::Invalid(why.clone())),
            _ => None,
        });
        // A trial that has called its configuration invalid stays so, however its process ended,
        // unless it has a result.
        let exit = match invalid {
            Some(failure) if self.verdict != Some(Verdict::Complete) => &Exit::Failed(failure),
            _ => exit,
        };
        let (exit, state) = match (self.verdict, exit, missing_objective) {
            // The trial has used all of its resource, whichever way the process then ended. It is
            // still no result without its objectives.
            (Some(Verdict::Complete), _, None) => (Exit::Done, TrialState::Complete),
            (Some(Verdict::Complete), _, Some(why)) => {
                (Exit::Failed(Failure::NoObjective(why)), TrialState::Failed)
            }
            (_, Exit::Failed(Failure::Invalid(_)), _) => (exit.clone(), TrialState::Invalid),
            // The scheduler's verdict takes precedence over the exit, because a process that is
            // told to end may do so in any way.
            (Some(Verdict::Stop), ..) | (_, Exit::Stopped, _) => {
                (Exit::Stopped, TrialState::Stopped)
            }
            (Some(Verdict::Pause), ..) | (_, Exit::Paused, _) => (Exit::Paused, TrialState::Paused),
            // Neither is the trial's fault: it waits and runs again, and no failure is counted.
            (_, Exit::Lost | Exit::Interrupted, _) => (exit.clone(), TrialState::Waiting),
            (_, Exit::Done, None) => (Exit::Done, TrialState::Complete),
            // A script that exits with status 0 may have reported under another name, or NaN.
            (_, Exit::Done, Some(why)) => {
                (Exit::Failed(Failure::NoObjective(why)), TrialState::Failed)
            }
            (_, Exit::Failed(_), _) => (exit.clone(), TrialState::Failed),
        };
        self.failures += u32::from(state == TrialState::Failed);
        self.exit = Some(exit);
        // The values of the next attempt come after all of this one.
        self.last_steps = None;
        self.shrink();
        state
    }

    /// Gives back memory that no value needs: most trials have no further records, and a list that
    /// grows takes room for four at once.
    pub(super) fn shrink(&mut self) {
        self.records.shrink_to_fit();
        if let Some(counted) = &mut self.counted {
            counted.values.shrink_to_fit();
        }
    }
}

/// Removes rounding errors of the addition beyond the clock's resolution: 5.133, not
/// 5.132999999999999.
fn round_to_microseconds(seconds: f64) -> f64 {
    let micros = seconds * 1e6;
    // Beyond 2^53 microseconds a float has no such digit to round to.
    if micros.abs() < 9e15 {
        micros.round() / 1e6
    } else {
        seconds
    }
}

impl Tally {
    const EMPTY: Self = Self {
        last: Metric(f64::NAN),
        min: None,
        max: None,
        count: 0,
    };

    fn add(&mut self, number: f64, is_last: bool) {
        if is_last || self.count == 0 {
            self.last = Metric(number);
        }
        self.count += 1;
        // NaN and infinities are never the best value, so the range leaves them out.
        if number.is_finite() {
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
    }
}

#[cfg(test)]
mod tests;
