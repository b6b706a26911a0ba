//! Preparations: the work that several trials share, such as tokenizing a data set. Each runs once
//! for an assignment of the parameters that it depends on.

use super::{
    Attempt, Exit, IllegalEvent, LogRecord, Origin, Place, Study, Timestamp, Trial, TrialId,
    TrialState, Usage,
};
use crate::space::{Name, Params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The number of a preparation within its study: 1, 2, 3…; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PreparationId(pub u32);

impl fmt::Display for PreparationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The role of the data set that is the output of a preparation, in its own records.
pub const OUTPUT_ROLE: &str = "output";

/// Returns the role of the output of a preparation in the records of a trial, or of another
/// preparation, that reads it: the placeholder without braces.
#[must_use]
pub fn input_role(name: &str) -> String {
    format!("prepare.{name}")
}

/// Returns whether a record is the output of a preparation that a trial reads. The driver makes
/// such records, not the program.
#[must_use]
pub fn is_input(record: &LogRecord) -> bool {
    matches!(record, LogRecord::Dataset { role, .. } if role.starts_with("prepare."))
}

/// A change of a preparation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparationChange {
    /// A trial needs a preparation that no trial has needed before.
    Created {
        /// The name in the sweep file.
        name: Name,
        /// The digest of everything that the output depends on; it names the folder.
        digest: String,
        /// The values of the parameters that the preparation depends on.
        params: Params,
        /// The preparations whose outputs it reads.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inputs: Vec<PreparationId>,
    },
    /// An attempt is about to start.
    Started {
        /// The attempt's number within the preparation, dense from 1.
        attempt: Attempt,
        /// The slot that the attempt runs in.
        slot: u32,
        /// Whether the attempt resumes from a checkpoint.
        resume: bool,
    },
    /// The attempt runs as this process.
    Placed {
        /// The running attempt.
        attempt: Attempt,
        /// The machine and the process.
        place: Place,
    },
    /// The program recorded something, or its inputs and its output were digested.
    Logged {
        /// The running attempt.
        attempt: Attempt,
        /// The content of the record.
        record: LogRecord,
    },
    /// An attempt ended.
    Ended {
        /// The running attempt.
        attempt: Attempt,
        /// The way the process ended.
        exit: Exit,
        /// The CPU time and memory that the attempt used.
        #[serde(default)]
        usage: Usage,
    },
    /// A failed preparation is to run again.
    Requeued {
        /// The reason in words.
        why: String,
        /// The earliest time at which it may start; `None` if it may start at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    },
    /// A trial that reads the output has started.
    Used {
        /// The trial.
        trial: TrialId,
    },
}

/// A preparation: a program that runs once for an assignment of the parameters that it depends on,
/// and whose output folder trials share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    /// The preparation's number.
    pub id: PreparationId,
    /// The name in the sweep file.
    pub name: Name,
    /// The digest of everything that the output depends on; it names the folder.
    pub digest: String,
    /// The preparations whose outputs it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PreparationId>,
    /// The trials that have read the output.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub trials: BTreeSet<TrialId>,
    /// The execution: parameters, state, attempts, records, exit and usage, as a trial has them.
    /// Its id is the number of the preparation.
    pub execution: Trial,
}

impl LogRecord {
    /// Returns whether this is the data set that a preparation has made.
    #[must_use]
    pub fn is_output(&self) -> bool {
        matches!(self, Self::Dataset { role, .. } if role == OUTPUT_ROLE)
    }
}

impl Preparation {
    /// Returns the record of the output: path, digest and size. `None` before the preparation is
    /// done.
    #[must_use]
    pub fn output(&self) -> Option<&LogRecord> {
        let mut records = self.execution.records.iter().rev();
        let output = records.find(|record| record.is_output());
        output.filter(|_| self.execution.state == TrialState::Complete)
    }

    /// Returns everything that a done preparation has written, as data sets: its output, and the
    /// artifacts that its program recorded.
    #[must_use]
    pub fn outputs(&self) -> Vec<LogRecord> {
        let Some(output) = self.output() else {
            return Vec::new();
        };
        let artifacts = self
            .execution
            .records
            .iter()
            .filter_map(|record| match record {
                LogRecord::Artifact {
                    path,
                    md5,
                    size,
                    partial,
                } => Some(LogRecord::Dataset {
                    data_dir: format!("prepared/{}/{path}", self.digest),
                    role: "artifact".to_owned(),
                    md5: md5.clone(),
                    size: *size,
                    files: 1,
                    partial: partial.clone(),
                }),
                _ => None,
            });
        std::iter::once(output.clone()).chain(artifacts).collect()
    }

    /// Returns the record of the output as an input of a trial or of another preparation.
    #[must_use]
    pub fn as_input(&self) -> Option<LogRecord> {
        let mut input = self.output()?.clone();
        if let LogRecord::Dataset { role, .. } = &mut input {
            *role = input_role(&self.name);
        }
        Some(input)
    }

    /// Returns the word for the state: that of a trial, but for `done`.
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        match self.execution.state {
            TrialState::Complete => "done",
            ref other => other.word(),
        }
    }
}

impl Study {
    /// Returns all preparations in the order of their numbers.
    #[must_use]
    pub fn preparations(&self) -> &[Preparation] {
        &self.preparations
    }

    /// Returns the preparation with this number, or `None` if it was never created.
    #[must_use]
    pub fn preparation(&self, id: PreparationId) -> Option<&Preparation> {
        self.preparations.get((id.0 as usize).checked_sub(1)?)
    }

    /// Returns the preparation with this digest, or `None` if no trial has needed it.
    #[must_use]
    pub fn preparation_of_digest(&self, digest: &str) -> Option<&Preparation> {
        self.preparations
            .iter()
            .find(|preparation| preparation.digest == digest)
    }

    /// Returns the preparations that run.
    pub fn running_preparations(&self) -> impl Iterator<Item = &Preparation> {
        self.preparations
            .iter()
            .filter(|preparation| preparation.execution.state == TrialState::Running)
    }

    /// Returns the preparations whose output a trial has read.
    pub fn preparations_of(&self, trial: TrialId) -> impl Iterator<Item = &Preparation> {
        self.preparations
            .iter()
            .filter(move |preparation| preparation.trials.contains(&trial))
    }

    /// Returns the number that the next created preparation will get.
    #[must_use]
    pub fn next_preparation_id(&self) -> PreparationId {
        let count = u32::try_from(self.preparations.len()).unwrap_or(u32::MAX);
        PreparationId(count.saturating_add(1))
    }

    /// Applies a change of a preparation at the time `at`.
    pub(super) fn change_preparation(
        &mut self,
        id: PreparationId,
        change: &PreparationChange,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        match change {
            PreparationChange::Created {
                name,
                digest,
                params,
                inputs,
            } => {
                let is_known = inputs
                    .iter()
                    .all(|input| self.preparation(*input).is_some());
                if id != self.next_preparation_id() || !is_known {
                    return Err(illegal(id, "created"));
                }
                // The preparation has no seed of its own: the same assignment has one output.
                let seed = self.header.seed;
                let origin = Origin::Suggested("prepare".to_owned());
                self.preparations.push(Preparation {
                    id,
                    name: name.clone(),
                    digest: digest.clone(),
                    inputs: inputs.clone(),
                    trials: BTreeSet::new(),
                    execution: Trial::new(TrialId(id.0), params.clone(), origin, seed),
                });
            }
            PreparationChange::Started {
                attempt,
                slot,
                resume,
            } => {
                let execution = &mut self.preparation_mut(id)?.execution;
                // A done one may run again, because its output may have been deleted.
                if execution.state == TrialState::Running || attempt.0 != execution.attempts + 1 {
                    return Err(illegal(id, "started"));
                }
                execution.start(at, None, *slot, *resume);
                execution.state = TrialState::Running;
                self.closed = None;
            }
            PreparationChange::Placed { attempt, place } => {
                self.running_execution(id, *attempt, "placed")?
                    .place_at(place, at);
            }
            PreparationChange::Logged { attempt, record } => {
                self.running_execution(id, *attempt, "logged")?
                    .log(record, &super::Header::default());
            }
            PreparationChange::Ended {
                attempt,
                exit,
                usage,
            } => {
                let execution = self.running_execution(id, *attempt, "ended")?;
                execution.state = execution.end(at, exit, *usage, None);
            }
            PreparationChange::Requeued { not_before, .. } => {
                let execution = &mut self.preparation_mut(id)?.execution;
                if execution.state != TrialState::Failed {
                    return Err(illegal(id, "requeued"));
                }
                execution.state = TrialState::Waiting;
                execution.not_before = *not_before;
            }
            PreparationChange::Used { trial } => {
                if self.trial(*trial).is_none() {
                    return Err(IllegalEvent::NoSuchTrial(*trial));
                }
                self.preparation_mut(id)?.trials.insert(*trial);
            }
        }
        Ok(())
    }

    fn preparation_mut(&mut self, id: PreparationId) -> Result<&mut Preparation, IllegalEvent> {
        let index = (id.0 as usize).checked_sub(1);
        index
            .and_then(|index| self.preparations.get_mut(index))
            .ok_or(illegal(id, "found"))
    }

    /// Returns the execution of a preparation if `attempt` is its running attempt.
    fn running_execution(
        &mut self,
        id: PreparationId,
        attempt: Attempt,
        action: &'static str,
    ) -> Result<&mut Trial, IllegalEvent> {
        let execution = &mut self.preparation_mut(id)?.execution;
        let is_current = execution.state == TrialState::Running && execution.attempts == attempt.0;
        is_current.then_some(execution).ok_or(illegal(id, action))
    }
}

fn illegal(preparation: PreparationId, action: &'static str) -> IllegalEvent {
    IllegalEvent::Preparation {
        preparation,
        action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Demo;
    use crate::study::{Event, Failure};

    fn change(demo: &mut Demo, id: u32, change: PreparationChange) {
        demo.event(Event::Preparation {
            preparation: PreparationId(id),
            change,
        });
    }

    fn created(name: &str, digest: &str, inputs: &[u32]) -> PreparationChange {
        PreparationChange::Created {
            name: name.into(),
            digest: digest.to_owned(),
            params: Params::default(),
            inputs: inputs.iter().copied().map(PreparationId).collect(),
        }
    }

    fn started(attempt: u32) -> PreparationChange {
        PreparationChange::Started {
            attempt: Attempt(attempt),
            slot: 0,
            resume: false,
        }
    }

    fn ended(attempt: u32, exit: Exit) -> PreparationChange {
        PreparationChange::Ended {
            attempt: Attempt(attempt),
            exit,
            usage: Usage::default(),
        }
    }

    fn output(attempt: u32) -> PreparationChange {
        PreparationChange::Logged {
            attempt: Attempt(attempt),
            record: LogRecord::Dataset {
                data_dir: "prepared/ab/output".to_owned(),
                role: OUTPUT_ROLE.to_owned(),
                md5: Some("d41d".to_owned()),
                size: 3,
                files: 1,
                partial: Vec::new(),
            },
        }
    }

    #[test]
    fn a_preparation_is_done_with_its_output_and_remembers_the_trials_that_used_it() {
        let mut demo = Demo::new(&[]);
        change(&mut demo, 1, created("tokens", "ab", &[]));
        change(&mut demo, 1, started(1));
        change(&mut demo, 1, output(1));
        assert_eq!(demo.study.preparations()[0].output(), None, "it still runs");
        change(&mut demo, 1, ended(1, Exit::Done));
        let trial = demo.start(&[]);
        change(&mut demo, 1, PreparationChange::Used { trial });
        let preparation = demo.study.preparation_of_digest("ab").unwrap();
        assert_eq!(preparation.state_word(), "done");
        let Some(LogRecord::Dataset { role, md5, .. }) = preparation.as_input() else {
            unreachable!("{preparation:?}");
        };
        assert_eq!((&*role, md5.as_deref()), ("prepare.tokens", Some("d41d")));
        let used: Vec<_> = demo.study.preparations_of(trial).map(|it| it.id).collect();
        assert_eq!(used, [PreparationId(1)]);
        // Its output may be deleted, and then it runs again.
        change(&mut demo, 1, started(2));
        assert_eq!(demo.study.preparations()[0].output(), None);
    }

    #[test]
    fn a_lost_preparation_waits_again_and_a_failed_one_waits_once_it_is_requeued() {
        let mut demo = Demo::new(&[]);
        change(&mut demo, 1, created("tokens", "ab", &[]));
        change(&mut demo, 1, started(1));
        change(&mut demo, 1, ended(1, Exit::Lost));
        assert_eq!(demo.study.preparations()[0].state_word(), "waiting");
        change(&mut demo, 1, started(2));
        change(&mut demo, 1, ended(2, Exit::Failed(Failure::Code(1))));
        assert_eq!(demo.study.preparations()[0].state_word(), "failed");
        let why = "retry".to_owned();
        let not_before = None;
        change(
            &mut demo,
            1,
            PreparationChange::Requeued { why, not_before },
        );
        assert_eq!(demo.study.preparations()[0].state_word(), "waiting");
    }

    #[test]
    fn a_change_that_cannot_follow_is_refused_and_changes_nothing() {
        let mut demo = Demo::new(&[]);
        change(&mut demo, 1, created("tokens", "ab", &[]));
        let before = demo.study.clone();
        for (id, change) in [
            (3, created("model", "cd", &[])),
            (2, created("model", "cd", &[7])),
            (1, started(2)),
            (1, output(1)),
            (1, ended(1, Exit::Done)),
            (9, started(1)),
            (1, PreparationChange::Used { trial: TrialId(5) }),
        ] {
            let mut entry = demo.entries.last().unwrap().clone();
            entry.seq = demo.study.next_seq();
            entry.event = Event::Preparation {
                preparation: PreparationId(id),
                change: change.clone(),
            };
            assert!(demo.study.apply(&entry).is_err(), "{change:?}");
            assert_eq!(demo.study, before);
        }
    }
}
