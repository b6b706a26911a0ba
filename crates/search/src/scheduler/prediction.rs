//! Promotion by the end that a model expects, beside promotion by rank.
//!
//! A rung compares what trials have reached. Where a slow beginning ends best, those that will win
//! are never among its best. A share of the resource therefore goes to the resting trials whose end
//! is expected to improve most on the best end so far, rung by rung: the curve of a trial decides
//! each time whether it goes on.

use crate::sampler::{CurveModel, History};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Span, Takes};
use swath_model::study::{Event, Resource, Setting, Study, TrialId};

/// The option `promote`: how the trials that continue are chosen.
pub(super) const PROMOTE: Opt = Opt::new(
    "promote",
    Takes::OneOf(&["rank", "predicted"]),
    Preset::Text("rank"),
    "`predicted` gives a share of the resource to paused trials whose end a model expects to be \
     better than that of the best trial; needs trials that pause and a single objective",
);

/// Takes the option `promote`: its place if it says `predicted`. Returns `None`, with a diagnostic,
/// for an unknown word.
pub(super) fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Option<Option<Span>> {
    let Some((word, span)) = section.take_text("promote", diagnostics) else {
        return Some(None);
    };
    match word.as_str() {
        "rank" => Some(None),
        "predicted" => Some(Some(span)),
        other => {
            let message = format!("`{other}` is no way to promote trials");
            diagnostics.push(
                Diagnostic::error("unknown-promotion", message)
                    .at(span, "must be \"rank\" or \"predicted\"")
                    .did_you_mean(other, ["rank", "predicted"]),
            );
            None
        }
    }
}

/// Share of the resource that goes to predicted trials.
const SHARE: f64 = 0.25;

/// Number of full runs whose resource is given by rank before anything is predicted.
const RANKED_RUNS: f64 = 4.0;

/// Number of resting trials, the latest ones, whose end is predicted.
const MOST_PREDICTED: usize = 1000;

/// The trials as the model sees them, and what was given by prediction so far.
pub(super) struct Prediction {
    history: History,
    model: CurveModel,
    /// The resource of a full run.
    max: Resource,
    /// The resource given to all attempts.
    given: f64,
    /// The part of it that was given by prediction.
    given_by_prediction: f64,
    /// Whether the configurations of all trials are known: not in a simulation of bare curves.
    knows_configurations: bool,
    /// The resource that each trial was given. The index is the trial id minus one.
    budgets: Vec<f64>,
}

impl Prediction {
    /// Creates a model of a study. `None` with several objectives, whose curves it does not know.
    pub(super) fn new(setting: &Setting, max: Resource) -> Option<Self> {
        let history = History::new(setting);
        (setting.objectives.len() == 1).then(|| Self {
            model: CurveModel::new(&history),
            history,
            max,
            given: 0.0,
            given_by_prediction: 0.0,
            knows_configurations: true,
            budgets: Vec::new(),
        })
    }

    /// Updates the model from an event. `is_predicted` says whether an attempt that starts is one
    /// that was promoted by prediction.
    pub(super) fn observe(&mut self, study: &Study, event: &Event, is_predicted: bool) {
        self.history.observe(study, event);
        match event {
            Event::Created { params, .. } => {
                self.budgets.push(0.0);
                self.knows_configurations &= params.iter().next().is_some();
            }
            Event::Started {
                trial,
                until: Some(until),
                resume,
                ..
            } => self.give(*trial, *until, *resume, is_predicted),
            Event::Ended { .. } => self.model.observe_end(&self.history),
            _ => {}
        }
    }

    /// Counts the resource that an attempt is given.
    fn give(&mut self, trial: TrialId, Resource(until): Resource, resume: bool, predicted: bool) {
        let Some(budget) = self.budgets.get_mut((trial.0 as usize).saturating_sub(1)) else {
            return;
        };
        let begin = if resume { *budget } else { 0.0 };
        *budget = until as f64;
        let amount = (until as f64 - begin).max(0.0);
        self.given += amount;
        if predicted {
            self.given_by_prediction += amount;
        }
    }

    /// Returns the trial to promote by prediction, one of those that rest. `None` if their share of
    /// the resource is used up, or as long as few trials rest.
    pub(super) fn choose(&self, resting: impl Iterator<Item = TrialId>) -> Option<TrialId> {
        let ranked_first = RANKED_RUNS * self.max.0 as f64;
        let is_due = self.given_by_prediction < SHARE * (self.given - ranked_first);
        if !is_due || !self.knows_configurations || !self.history.is_mostly_paused() {
            return None;
        }
        let is_admissible = |trial: &TrialId| {
            let row = self.history.row(trial.0.saturating_sub(1));
            row.violation == 0.0
        };
        let mut resting: Vec<TrialId> = resting.filter(is_admissible).collect();
        let latest = resting.split_off(resting.len().saturating_sub(MOST_PREDICTED));
        self.model.most_promising(&self.history, latest.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{build, line, setting, try_build};
    use super::super::simulation::{Curve, Simulation};
    use swath_model::space::{Params, Value};
    use swath_model::study::{Event, Header, Setting, Study};

    /// Number of trials of the studies below.
    const TRIALS: usize = 80;

    /// Returns trainings of 9 epochs: the lower `x`, the slower the beginning and the better the
    /// end.
    fn crossing() -> Vec<Curve> {
        let places = (0..TRIALS).map(|at| (at * 29 % TRIALS) as f64 / TRIALS as f64);
        let trainings = places.map(|x| Curve {
            params: [("x".into(), Value::Float(x))].into_iter().collect(),
            points: (1..=9)
                .map(f64::from)
                .map(|t| (t, 0.5 * x + (1.0 - x) * libm::exp(-t / 2.5)))
                .collect(),
            pace: 1.0,
            ..Curve::default()
        });
        trainings.collect()
    }

    /// Plays the curves and returns the simulation's study with its events.
    fn played(options: &str, curves: &[Curve]) -> (Study, Vec<Event>) {
        let setting = setting_of_line();
        let header = Header {
            objectives: setting.objectives.clone(),
            resource: setting.resource.clone(),
            trials: Some(curves.len() as u64),
            ..Header::default()
        };
        let scheduler = build("asha", options, &setting);
        let simulation = Simulation::new(header, scheduler, 1, curves).unwrap();
        let mut simulation = simulation.with_checkpoints(true).with_entries();
        simulation.run(|_| false).unwrap();
        let entries = simulation.entries.into_iter();
        let events = entries.map(|entry| entry.event).collect();
        (simulation.study, events)
    }

    fn setting_of_line() -> Setting {
        Setting {
            space: line(),
            ..setting(true)
        }
    }

    fn best(study: &Study) -> f64 {
        let best = study.incumbent().unwrap();
        best.objective(&study.header().objectives[0]).unwrap()
    }

    const RUNGS: &str = "min = 1\nmax = 9\n";

    fn promoted_by_prediction(events: &[Event]) -> usize {
        let reasons = events.iter().filter_map(|event| match event {
            Event::Judged { why, .. } => Some(why),
            _ => None,
        });
        reasons
            .filter(|why| why.contains("expected to improve most"))
            .count()
    }

    #[test]
    fn a_slow_beginning_that_ends_best_is_found_by_prediction_and_not_by_rank() {
        let curves = crossing();
        let (by_rank, _) = played(RUNGS, &curves);
        let (predicted, events) = played(&format!("{RUNGS}promote = \"predicted\""), &curves);
        assert!(promoted_by_prediction(&events) > 0);
        assert!(best(&by_rank) > 0.2, "{}", best(&by_rank));
        assert!(best(&predicted) < 0.1, "{}", best(&predicted));
    }

    #[test]
    fn predicted_trials_get_their_share_of_the_resource_after_some_full_runs() {
        let (_, events) = played(&format!("{RUNGS}promote = \"predicted\""), &crossing());
        let (mut given, mut predicted, mut is_next_predicted) = (0.0, 0.0, false);
        let mut budgets = vec![0.0; TRIALS + 1];
        for event in &events {
            match event {
                Event::Judged { why, .. } => {
                    is_next_predicted = why.contains("expected to improve most");
                }
                Event::Started { trial, until, .. } => {
                    let until = until.unwrap().0 as f64;
                    let amount = until - budgets[trial.0 as usize];
                    budgets[trial.0 as usize] = until;
                    assert!(!is_next_predicted || given > 4.0 * 9.0, "after {given}");
                    given += amount;
                    predicted += if is_next_predicted { amount } else { 0.0 };
                    is_next_predicted = false;
                }
                _ => {}
            }
        }
        let share = predicted / (given - 4.0 * 9.0);
        assert!((0.2..0.3).contains(&share), "{predicted} of {given}");
    }

    #[test]
    fn predicted_trials_take_no_place_from_those_of_the_best_rank() {
        let promotions = |options: &str| {
            let (_, events) = played(options, &crossing());
            let reasons = events.iter().filter(|event| {
                matches!(event, Event::Judged { why, .. } if why.starts_with("epoch 1:")
                    && why.contains("rank") && !why.contains("waits")
                    && !why.contains("expected to improve most"))
            });
            reasons.count()
        };
        let predicted = promotions(&format!("{RUNGS}promote = \"predicted\""));
        assert_eq!(predicted, promotions(RUNGS));
    }

    #[test]
    fn nothing_is_predicted_of_trials_whose_configuration_is_unknown() {
        let mut curves = crossing();
        curves[3].params = Params::default();
        let (_, events) = played(&format!("{RUNGS}promote = \"predicted\""), &curves);
        assert_eq!(promoted_by_prediction(&events), 0);
    }

    #[test]
    fn prediction_needs_trials_that_pause() {
        let options = format!("{RUNGS}promote = \"predicted\"");
        let (built, messages) = try_build("asha", &options, &setting(false));
        assert!(built.is_none());
        assert_eq!(messages, ["`promote = \"predicted\"` does not fit here"]);
        let (built, _) = try_build(
            "asha",
            &format!("{options}\nmode = \"restart\""),
            &setting(false),
        );
        assert!(built.is_some());
    }
}
