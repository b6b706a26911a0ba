//! Applies events to a study. Every change of a study is made here or in a helper that is called
//! from here.

use super::{
    Attempt, Axis, Datum, Entry, Event, Exit, Failure, Header, LogRecord, Metric, Study, Take,
    Tally, Trial, TrialId, TrialState, Usage, Verdict, axis,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// An event that cannot follow the events before it: swath did not write this journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalEvent {
    /// The sequence numbers of the entries are not dense.
    #[error("entry {found} stands where {wanted} belongs")]
    OutOfOrder {
        /// The sequence number that the entry must have.
        wanted: u64,
        /// The sequence number that the entry has.
        found: u64,
    },
    /// The first entry does not open the study, or a later one does.
    #[error("the study must be opened exactly once, by the first entry")]
    Opening,
    /// A newer version of swath wrote the journal.
    #[error("the journal has format {found}, this swath reads up to {known}; use a newer swath")]
    Newer {
        /// The journal's format version.
        found: u32,
        /// The newest format version that this program reads.
        known: u32,
    },
    /// The ids of the created trials are not dense.
    #[error("trial {found} is created where {wanted} belongs")]
    WrongId {
        /// The id that the trial must have.
        wanted: TrialId,
        /// The id that the trial has.
        found: TrialId,
    },
    /// The entry names a trial that was never created.
    #[error("trial {0} does not exist")]
    NoSuchTrial(TrialId),
    /// The trial's state does not allow the event.
    #[error("trial {trial} is {state} and cannot be {what}")]
    WrongState {
        /// The trial's id.
        trial: TrialId,
        /// The trial's state in words.
        state: &'static str,
        /// The event in words.
        what: &'static str,
    },
    /// The entry names an attempt other than the running one.
    #[error("trial {trial} runs attempt {running}, not {found}")]
    WrongAttempt {
        /// The trial's id.
        trial: TrialId,
        /// The running attempt, or the next one if the event starts an attempt.
        running: Attempt,
        /// The attempt that the entry names.
        found: Attempt,
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
                wanted: self.next_seq,
                found: entry.seq,
            });
        }
        if matches!(entry.event, Event::Opened { .. }) != (entry.seq == 0) {
            return Err(IllegalEvent::Opening);
        }
        self.fold(entry)?;
        // The counters change last, so that a rejected entry leaves the study as it was.
        self.next_seq += 1;
        self.tell_time(entry);
        Ok(())
    }

    /// Adds the time since the previous entry to the time that the runs have used, unless it does
    /// not count.
    fn tell_time(&mut self, entry: &Entry) {
        let since = self
            .at
            .map_or(Duration::ZERO, |before| entry.at.since(before));
        self.used += match entry.away {
            Some(away) => since.saturating_sub(Duration::from_micros(away)),
            // Journals of earlier versions do not mark where a run begins. An edit is the first
            // entry of a run there, so the time before it lies between two runs.
            None if self.is_timed && !matches!(entry.event, Event::Edited { .. }) => since,
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
                        found: *format,
                        known: super::FORMAT,
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
                self.refit(fill, outside);
            }
            Event::Created {
                trial,
                params,
                origin,
                seed,
            } => {
                if *trial != self.next_id() {
                    return Err(IllegalEvent::WrongId {
                        wanted: self.next_id(),
                        found: *trial,
                    });
                }
                let created = Trial::new(*trial, params.clone(), origin.clone(), *seed);
                // Replicates refer to the first trial of a configuration, never to another
                // replicate, because `head` follows one reference only.
                if let super::Origin::Replicate(of) = origin
                    && (self.trial(*of).is_none() || self.head(*of) != *of)
                {
                    return Err(IllegalEvent::NoSuchTrial(*of));
                }
                // A clone replaces a paused trial in the same event, so that a crash between the
                // two cannot leave both or neither.
                if let super::Origin::Cloned {
                    instead: Some(other),
                    why,
                    ..
                } = origin
                {
                    self.expect(*other, &[TrialState::Paused], "replaced")?.why = Some(why.clone());
                    self.enter(*other, TrialState::Stopped);
                }
                self.counted += u64::from(created.counts());
                self.imported += u64::from(matches!(origin, super::Origin::Imported(_)));
                self.enrol(*trial, origin);
                self.trials.push(created);
                self.waiting.insert(*trial);
            }
            Event::Started {
                trial,
                attempt,
                until,
                slot,
                resume,
            } => {
                let found = self.expect(
                    *trial,
                    &[TrialState::Waiting, TrialState::Paused],
                    "started",
                )?;
                let next = Attempt(found.attempts + 1);
                if *attempt != next {
                    return Err(IllegalEvent::WrongAttempt {
                        trial: *trial,
                        running: next,
                        found: *attempt,
                    });
                }
                found.start(entry.at, *until, *slot, *resume);
                self.enter(*trial, TrialState::Running);
                // A new attempt reopens the study: a run is active again.
                self.closed = None;
            }
            Event::Placed {
                trial,
                attempt,
                place,
            } => {
                self.expect_attempt(*trial, *attempt, "placed")?.place = Some(place.clone());
            }
            Event::Logged {
                trial,
                attempt,
                record,
            } => {
                self.expect_attempt(*trial, *attempt, "logged")?;
                find(&mut self.trials, *trial)?.log(record, &self.header);
            }
            Event::Judged {
                trial,
                verdict,
                why,
            } => {
                let found =
                    self.expect(*trial, &[TrialState::Running, TrialState::Paused], "judged")?;
                found.why = Some(why.clone());
                found.verdict = Some(*verdict);
                // A running trial stops when its attempt ends. A paused trial has no attempt whose
                // end could stop it.
                if *verdict == Verdict::Stop && found.state == TrialState::Paused {
                    self.enter(*trial, TrialState::Stopped);
                }
            }
            Event::Ended {
                trial,
                attempt,
                exit,
                usage,
            } => {
                // The objective is looked up before the trial is borrowed to be changed.
                let missing = self.missing_objective(*trial);
                let found = self.expect_attempt(*trial, *attempt, "ended")?;
                let state = found.end(entry.at, exit, *usage, missing);
                self.enter(*trial, state);
                // A trial's result counts from its end on, so the incumbent may change here.
                self.challenge(*trial);
            }
            Event::Requeued {
                trial,
                not_before,
                forgiven,
                ..
            } => {
                let found = self.expect(
                    *trial,
                    &[TrialState::Failed, TrialState::Stopped, TrialState::Paused],
                    "requeued",
                )?;
                found.not_before = *not_before;
                // A forgiven failure does not use up one of the trial's retries.
                found.failures = found.failures.saturating_sub(u32::from(*forgiven));
                self.enter(*trial, TrialState::Waiting);
            }
            Event::Removed { trials } => self.remove(trials)?,
            Event::Restored { trials } => self.restore(trials)?,
            // These entries explain why nothing started in a slot. They change no trial.
            Event::SlotPaused { .. } | Event::SlotResumed { .. } => {}
            Event::Closed { why } => self.closed = Some(why.clone()),
        }
        Ok(())
    }

    pub(super) fn trial_mut(&mut self, id: TrialId) -> Result<&mut Trial, IllegalEvent> {
        find(&mut self.trials, id)
    }

    pub(super) fn expect(
        &mut self,
        id: TrialId,
        states: &[TrialState],
        what: &'static str,
    ) -> Result<&mut Trial, IllegalEvent> {
        let trial = self.trial_mut(id)?;
        if trial.removed {
            return Err(IllegalEvent::WrongState {
                trial: id,
                state: "removed",
                what,
            });
        }
        if states.contains(&trial.state) {
            return Ok(trial);
        }
        Err(IllegalEvent::WrongState {
            trial: id,
            state: trial.state.word(),
            what,
        })
    }

    fn expect_attempt(
        &mut self,
        id: TrialId,
        attempt: Attempt,
        what: &'static str,
    ) -> Result<&mut Trial, IllegalEvent> {
        let trial = self.expect(id, &[TrialState::Running], what)?;
        if trial.attempts == attempt.0 {
            return Ok(trial);
        }
        Err(IllegalEvent::WrongAttempt {
            trial: id,
            running: Attempt(trial.attempts),
            found: attempt,
        })
    }

    /// Moves a trial to a state and updates the sets and counts that depend on it.
    fn enter(&mut self, id: TrialId, state: TrialState) {
        // Every caller has checked that the trial exists, so there is nothing to report here.
        let Ok(trial) = self.trial_mut(id) else {
            return;
        };
        let left = std::mem::replace(&mut trial.state, state.clone());
        let outside = trial.outside;
        match left {
            TrialState::Waiting => drop(self.waiting.remove(&id)),
            TrialState::Running => drop(self.running.remove(&id)),
            other => *self.counts.of(&other) -= 1,
        }
        match state {
            // A trial outside the space stays waiting but is never offered to a slot.
            TrialState::Waiting if outside => {}
            TrialState::Waiting => drop(self.waiting.insert(id)),
            TrialState::Running => drop(self.running.insert(id)),
            other => *self.counts.of(&other) += 1,
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
    fn refit(&mut self, fill: &crate::space::Params, outside: &[TrialId]) {
        // `outside` is decided anew by each edit: a trial that fits the space again counts again.
        for trial in &mut self.trials {
            trial.misfit = outside.binary_search(&trial.id).is_ok();
            trial.outside = trial.misfit || trial.removed;
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
        let waits = |trial: &&Trial| trial.state == TrialState::Waiting && !trial.outside;
        self.waiting = self
            .trials
            .iter()
            .filter(waits)
            .map(|trial| trial.id)
            .collect();
        self.recount();
    }

    /// Recomputes the number of trials that count, and the incumbent.
    pub(super) fn recount(&mut self) {
        self.counted = self.trials.iter().filter(|trial| trial.counts()).count() as u64;
        self.elect();
    }
}

impl super::Counts {
    pub(super) fn of(&mut self, state: &TrialState) -> &mut u64 {
        match state {
            TrialState::Complete => &mut self.complete,
            TrialState::Stopped => &mut self.stopped,
            TrialState::Paused => &mut self.paused,
            // Waiting and running trials have no count of their own. Callers handle both before
            // they look up a count.
            TrialState::Failed | TrialState::Waiting | TrialState::Running => &mut self.failed,
        }
    }
}

/// Returns the trial with this id.
fn find(trials: &mut [Trial], id: TrialId) -> Result<&mut Trial, IllegalEvent> {
    let at = (id.0 as usize).checked_sub(1);
    at.and_then(|at| trials.get_mut(at))
        .ok_or(IllegalEvent::NoSuchTrial(id))
}

impl Trial {
    fn new(id: TrialId, params: crate::space::Params, origin: super::Origin, seed: u64) -> Self {
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
            metrics: BTreeMap::new(),
            texts: BTreeMap::new(),
            reports: 0,
            beyond: 0,
            step: None,
            axis: Axis::default(),
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
            not_before: None,
            outside: false,
            misfit: false,
            removed: false,
        }
    }

    fn start(
        &mut self,
        at: super::Timestamp,
        until: Option<super::Resource>,
        slot: u32,
        resume: bool,
    ) {
        self.attempts += 1;
        self.until = until;
        self.slot = Some(slot);
        self.place = None;
        self.not_before = None;
        self.exit = None;
        self.verdict = None;
        self.started_at = self.started_at.or(Some(at));
        self.attempt_at = Some(at);
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
            self.step = None;
            self.axis = Axis::default();
        }
    }

    fn log(&mut self, record: &LogRecord, header: &Header) {
        // This report came after the trial had used all of its resource. It is counted, and changes
        // no result.
        if matches!(record, LogRecord::Beyond { .. }) {
            self.beyond += 1;
            return;
        }
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
        let before = objectives
            .first()
            .filter(|objective| objective.take == Take::Best)
            .and_then(|objective| self.objective(objective));
        self.reports += 1;
        // An edited sweep file may introduce a resource after the first reports.
        if header.resource.is_some() {
            self.axis = Axis::of(header.resource.as_ref());
        }
        let value = |key: &str| axis::number(values, key);
        self.step = self.axis.place(self.reports, self.step, value);
        for (name, datum) in values {
            match datum {
                Datum::Number(Metric(number)) => {
                    self.metrics
                        .entry(name.clone())
                        .or_insert(Tally::EMPTY)
                        .add(*number);
                }
                Datum::Flag(flag) => drop(self.texts.insert(name.clone(), flag.to_string())),
                Datum::Text(text) => drop(self.texts.insert(name.clone(), text.clone())),
            }
        }
        self.count_report(values, objectives, before);
    }

    fn end(
        &mut self,
        at: super::Timestamp,
        exit: &Exit,
        usage: Usage,
        missing_objective: Option<String>,
    ) -> TrialState {
        self.ended_at = Some(at);
        let ran = self
            .attempt_at
            .map_or(0.0, |began| at.since(began).as_secs_f64());
        self.seconds = to_the_microsecond(self.seconds + ran);
        self.usage.cpu_seconds = to_the_microsecond(self.usage.cpu_seconds + usage.cpu_seconds);
        self.usage.peak_mib = self.usage.peak_mib.max(usage.peak_mib);
        let (exit, state) = match (self.verdict, exit, missing_objective) {
            // The trial has used all of its resource, whichever way the process then ended.
            (Some(Verdict::Complete), _, None) => (Exit::Done, TrialState::Complete),
            (Some(Verdict::Complete), _, Some(why)) => {
                (Exit::Failed(Failure::NoObjective(why)), TrialState::Failed)
            }
            // The scheduler's verdict takes precedence over the exit, because a process that is
            // told to end may do so in any way.
            (Some(Verdict::Stop), ..) | (_, Exit::Stopped, _) => {
                (Exit::Stopped, TrialState::Stopped)
            }
            (Some(Verdict::Pause), ..) | (_, Exit::Paused, _) => (Exit::Paused, TrialState::Paused),
            // Neither is the trial's fault: it waits and runs again.
            (_, Exit::Lost | Exit::Interrupted, _) => (exit.clone(), TrialState::Waiting),
            (_, Exit::Done, None) => (Exit::Done, TrialState::Complete),
            (_, Exit::Done, Some(why)) => {
                (Exit::Failed(Failure::NoObjective(why)), TrialState::Failed)
            }
            (_, Exit::Failed(_), _) => (exit.clone(), TrialState::Failed),
        };
        self.failures += u32::from(state == TrialState::Failed);
        self.exit = Some(exit);
        state
    }
}

/// Removes rounding errors of the addition beyond the clock's resolution: 5.133, not
/// 5.132999999999999.
fn to_the_microsecond(seconds: f64) -> f64 {
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

    fn add(&mut self, number: f64) {
        self.last = Metric(number);
        self.count += 1;
        if number.is_finite() {
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
    }
}

#[cfg(test)]
mod tests;
