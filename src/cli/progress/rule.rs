//! A note on how trials with several reports are ranked, printed once if the reports may be folds.
//!
//! Reports with a growing step form a learning curve, and users expect the best report to count.
//! Reports without one may be folds or repetitions, and the best of those is luck.

use crate::space::Name;
use crate::study::{Datum, Event, LogRecord, ReportSteps, Study, Take, Trial, TrialId, axis};
use std::collections::BTreeMap;

/// Watches the reports of a run until a trial without a growing step has ended.
#[derive(Debug, Default)]
pub(super) struct RankingRule {
    is_printed: bool,
    axes: BTreeMap<TrialId, Growth>,
}

/// The history of the steps in the reports of one trial.
#[derive(Debug, Clone, Default)]
struct Growth {
    last: Option<f64>,
    steps: ReportSteps,
    has_risen: bool,
    has_begun_again: bool,
}

impl RankingRule {
    /// Processes an event. Returns the note at most once per run.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) -> Option<String> {
        // A named resource is a step, so the reports are a learning curve.
        if self.is_printed || study.header().resource.is_some() {
            return None;
        }
        match event {
            Event::Started {
                trial,
                resume: false,
                ..
            // An attempt that does not resume from a checkpoint starts its steps anew.
            } => _ = self.axes.remove(trial),
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let reported = study.trial(*trial)?;
                // A numbered report has no step, and does not affect the steps of others.
                let growth = self.axes.entry(*trial).or_default();
                if let Some(key) = reported.axis.key() {
                    growth.report(key, values);
                }
            }
            Event::Ended { trial, .. } => {
                let growth = self.axes.remove(trial)?;
                let trial = study.trial(*trial).filter(|trial| trial.state.is_final())?;
                let message = (!growth.is_of_curve()).then(|| describe(study, trial)).flatten();
                self.is_printed = message.is_some();
                return message;
            }
            _ => {}
        }
        None
    }
}

impl Growth {
    fn report(&mut self, key: &Name, values: &[(Name, Datum)]) {
        let Some(step) = axis::number(values, key) else {
            return;
        };
        self.has_risen |= self.last.is_some_and(|last| step > last);
        self.has_begun_again |= self.steps.take(key, values).is_some();
        self.last = Some(step);
    }

    fn is_of_curve(&self) -> bool {
        self.has_risen && !self.has_begun_again
    }
}

/// Returns the note for a trial that reported an objective several times, or `None` if it did not.
fn describe(study: &Study, trial: &Trial) -> Option<String> {
    let objective = study
        .header()
        .objectives
        .iter()
        .find(|objective| report_count(trial, &objective.metric) > 1)?;
    let (id, metric, take) = (trial.id, &objective.metric, objective.take);
    let counts = match take {
        Take::Best => "the best of them counts".to_owned(),
        Take::Last | Take::LastMean(1) if trial.axis.is_number() => {
            "the last of them counts".to_owned()
        }
        Take::Last | Take::LastMean(1) => {
            format!("the one of the largest {} counts", trial.axis.word())
        }
        Take::Mean => "their mean counts".to_owned(),
        Take::Median => "their median counts".to_owned(),
        Take::LastMean(last) => format!("the mean of the last {last} counts"),
    };
    let alternative = match take.averages() {
        true => "",
        false => "; `take = \"mean\"` in [objective] averages them, as for folds",
    };
    let times = report_count(trial, metric);
    Some(format!(
        "trial {id} reported {metric} {times} times; {counts} (`take = \"{take}\"`){alternative}"
    ))
}

fn report_count(trial: &Trial, metric: &str) -> u64 {
    trial.metrics.get(metric).map_or(0, |tally| tally.count)
}

#[cfg(test)]
mod tests {
    use super::RankingRule;
    use crate::study::{Exit, Failure, Goal, Objective, Study, Take};
    use swath_model::demo::Demo;

    /// Replays trials with reports. Returns the notes.
    fn notes(take: Take, trials: &[&[&[(&str, f64)]]], exit: &Exit) -> Vec<String> {
        let mut demo = Demo::with(
            &[],
            vec![Objective {
                metric: "val_loss".into(),
                goal: Goal::Min,
                take,
            }],
        );
        for reports in trials {
            let trial = demo.start(&[]);
            reports.iter().for_each(|report| demo.report(trial, report));
            demo.end(trial, exit.clone());
        }
        let (mut study, mut rule) = (Study::default(), RankingRule::default());
        let notes = demo.entries.iter().filter_map(|entry| {
            study.apply(entry).unwrap();
            rule.observe(&study, &entry.event)
        });
        notes.collect()
    }

    const FOLDS: &[&[(&str, f64)]] = &[
        &[("val_loss", 0.5)],
        &[("val_loss", 0.2)],
        &[("val_loss", 0.4)],
    ];

    #[test]
    fn the_first_trial_with_several_reports_without_a_step_gets_a_note_on_its_ranking() {
        let best = "trial 1 reported val_loss 3 times; the best of them counts (`take = \"best\"`); \
                    `take = \"mean\"` in [objective] averages them, as for folds";
        assert_eq!(notes(Take::Best, &[FOLDS, FOLDS], &Exit::Done), [best]);
        let mean = "trial 1 reported val_loss 3 times; their mean counts (`take = \"mean\"`)";
        assert_eq!(notes(Take::Mean, &[FOLDS], &Exit::Done), [mean]);
        let last = notes(Take::LastMean(2), &[FOLDS], &Exit::Done);
        assert!(
            last[0].ends_with("3 times; the mean of the last 2 counts (`take = \"last:2\"`)"),
            "{last:?}"
        );
    }

    #[test]
    fn a_trial_that_will_run_again_or_reported_once_gets_no_note() {
        assert!(notes(Take::Best, &[&FOLDS[..1]], &Exit::Done).is_empty());
        assert!(notes(Take::Best, &[FOLDS], &Exit::Interrupted).is_empty());
        let after = notes(Take::Best, &[&FOLDS[..1], FOLDS], &Exit::Done);
        assert!(after[0].starts_with("trial 2 "), "{after:?}");
        assert_eq!(
            notes(Take::Best, &[FOLDS], &Exit::Failed(Failure::Code(1))).len(),
            1
        );
    }

    #[test]
    fn reports_with_a_growing_step_are_a_curve_and_epochs_that_start_over_are_not() {
        let epochs: &[&[(&str, f64)]] = &[
            &[("val_loss", 0.5), ("epoch", 1.0)],
            &[("val_loss", 0.2), ("epoch", 2.0)],
        ];
        assert!(notes(Take::Best, &[epochs], &Exit::Done).is_empty());
        let last_epoch: &[(&str, f64)] = &[("val_loss", 0.5), ("epoch", 9.0)];
        assert_eq!(
            notes(Take::Best, &[&[last_epoch; 2]], &Exit::Done).len(),
            1,
            "the last epoch of every fold"
        );
        let folds = [epochs, epochs].concat();
        let notes_of_folds = notes(Take::Best, &[epochs, &folds], &Exit::Done);
        assert!(
            notes_of_folds[0].starts_with("trial 2 reported val_loss 4 times"),
            "{notes_of_folds:?}"
        );
        let late = [epochs[1], epochs[0], last_epoch];
        assert!(notes(Take::Best, &[&late], &Exit::Done).is_empty());
        let last = notes(Take::Last, &[&folds], &Exit::Done);
        assert!(last[0].contains("4 times; the one of the largest epoch counts"));
    }
}
