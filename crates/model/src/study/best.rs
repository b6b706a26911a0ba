//! The ranking of trials by their results.

use super::{Standing, Study, Trial};

impl Study {
    /// Returns the `count` best trials by the first objective and its goal, the best first and the
    /// earlier of equals first. A configuration with several seeds is represented by its first
    /// trial and ranked by the mean. Trials that satisfy the outcome constraints come before those
    /// that violate one. Only complete trials inside the space count; a trial that failed or
    /// reported no finite objective is never included.
    #[must_use]
    pub fn best(&self, count: usize) -> Vec<&Trial> {
        self.standings()
            .into_iter()
            .take(count)
            .map(|(_, trial)| trial)
            .collect()
    }

    /// Returns the rank data and the first trial of each ranked configuration, the best first.
    /// Empty if the sweep has no objective.
    #[must_use]
    pub fn standings(&self) -> Vec<(Standing, &Trial)> {
        if self.header().objectives.is_empty() {
            return Vec::new();
        }
        let mut ranked: Vec<(Standing, &Trial)> = self
            .trials()
            .iter()
            .filter_map(|trial| Some((self.standing(trial.id)?, trial)))
            .collect();
        ranked.sort_by(|a, b| a.0.compare(&b.0).then(a.1.id.cmp(&b.1.id)));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use crate::study::{
        Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective,
        Origin, Study, Take, Timestamp, TrialId, Usage,
    };

    fn study(goal: Goal, take: Take, trials: &[&[f64]]) -> Study {
        let mut study = Study::default();
        let mut event = |event| {
            let entry = Entry {
                seq: study.next_seq(),
                at: Timestamp::from_micros(0),
                event,
                away: None,
            };
            study.apply(&entry).unwrap();
        };
        let objectives = vec![Objective {
            metric: "loss".into(),
            goal,
            take,
        }];
        event(Event::Opened {
            format: FORMAT,
            header: Header {
                objectives,
                ..Header::default()
            },
        });
        for (at, reports) in trials.iter().enumerate() {
            let (trial, attempt) = (TrialId(u32::try_from(at + 1).unwrap()), Attempt(1));
            let (params, origin) = ([].into_iter().collect(), Origin::Added);
            event(Event::Created {
                trial,
                params,
                origin,
                seed: 0,
            });
            event(Event::Started {
                trial,
                attempt,
                until: None,
                slot: 0,
                resume: false,
            });
            for (at, loss) in reports.iter().enumerate() {
                let values = vec![("loss".into(), Datum::Number(Metric(*loss)))];
                event(Event::Logged {
                    trial,
                    attempt,
                    record: LogRecord::Report { values },
                });
                let model_path = format!("m{at}");
                let record = LogRecord::Model {
                    model_path,
                    md5: None,
                    size: 0,
                    step: None,
                    held: None,
                    keep: false,
                    doubt: None,
                    partial: Vec::new(),
                };
                event(Event::Logged {
                    trial,
                    attempt,
                    record,
                });
            }
            event(Event::Ended {
                trial,
                attempt,
                exit: Exit::Done,
                usage: Usage::default(),
            });
        }
        study
    }

    #[test]
    fn the_best_follow_the_goal_and_a_trial_without_a_finite_value_is_never_one() {
        let trials: &[&[f64]] = &[&[0.5], &[f64::NAN], &[0.1, 0.9], &[], &[0.5]];
        let ids = |goal| {
            study(goal, Take::Best, trials)
                .best(2)
                .iter()
                .map(|trial| trial.id.0)
                .collect::<Vec<_>>()
        };
        assert_eq!((ids(Goal::Min), ids(Goal::Max)), (vec![3, 1], vec![3, 1]));
        let worst = study(Goal::Max, Take::Last, &[&[0.1], &[0.2], &[0.3]]);
        assert_eq!(
            worst
                .best(2)
                .iter()
                .map(|trial| trial.id.0)
                .collect::<Vec<_>>(),
            [3, 2]
        );
    }
}
