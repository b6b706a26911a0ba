//! The part of a page that takes long to compute: the insights, and the random forests behind
//! importance and contours. A live page computes it beside the rest, and less often.

use crate::insights::{FURTHER, Insight, Insights};
use crate::plots::Input;
use crate::plots::contour::{Contour, contours};
use crate::plots::importance::{Fitted, Importance};
use crate::plots::rungs::{Level, levels_of};
use crate::select::Condition;
use crate::view::View;
use serde::Serialize;
use swath_engine::journal::lock;
use swath_model::study::Trial;

/// Minimum number of trials at a rung for an analysis there, unless a third of all are fewer.
const FEW: usize = 8;

/// The analysis of one study.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Analysis {
    pub(crate) insights: Vec<Insight>,
    /// One for each objective.
    pub(crate) objectives: Vec<ObjectiveAnalysis>,
}

/// Importance and contours of one objective.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ObjectiveAnalysis {
    /// From complete trials.
    complete: Option<Surface>,
    /// From all trials that reached the highest rung that a third of the trials share; `None`
    /// without such trials that have not completed.
    rung: Option<Surface>,
}

/// Importance and contours from one forest.
#[derive(Debug, Clone, Serialize)]
struct Surface {
    /// The step of the rung; `None` for complete trials.
    step: Option<f64>,
    importance: Importance,
    contours: Vec<Contour>,
}

impl Analysis {
    /// Analyses the trials of a study that fulfil a condition.
    #[must_use]
    pub fn of(view: &View, condition: Option<&Condition>) -> Self {
        let study = &view.settled();
        let mut input = Input::all(study, &view.chronicle, view.space.as_deref());
        input.retain(condition);
        let running = lock::holder(&view.dir).is_some();
        let (insights, objectives) = rayon::join(
            || Insights::of(&input, running, FURTHER).insights,
            || {
                objective_inputs(&input)
                    .map(|input| analyse(&input))
                    .collect()
            },
        );
        Self {
            insights,
            objectives,
        }
    }
}

/// Returns the input of each objective.
pub(crate) fn objective_inputs<'a>(input: &Input<'a>) -> impl Iterator<Item = Input<'a>> {
    let objectives = input.study.header().objectives.iter();
    objectives.map(|objective| Input {
        metric: Some(&*objective.metric),
        trials: input.trials.clone(),
        ..*input
    })
}

fn analyse(input: &Input<'_>) -> ObjectiveAnalysis {
    let levels = levels_of(input);
    let enough = FEW.max(input.trials.len().div_ceil(3));
    let shared = levels
        .iter()
        .rev()
        .find(|level| level.trials.len() >= enough);
    ObjectiveAnalysis {
        complete: surface(input, None, &input.complete()),
        rung: shared.and_then(|level| at_rung(input, level)),
    }
}

fn at_rung(input: &Input<'_>, level: &Level) -> Option<Surface> {
    let results: Vec<(&Trial, f64)> = input
        .trials
        .iter()
        .filter_map(|trial| {
            let index = level.trials.binary_search(&trial.id.0).ok()?;
            Some((*trial, level.values[index]))
        })
        .collect();
    surface(input, Some(level.step), &results)
}

fn surface(input: &Input<'_>, step: Option<f64>, results: &[(&Trial, f64)]) -> Option<Surface> {
    let fitted = Fitted::of_results(input, results)?;
    let importance = Importance::of(input, &fitted)?;
    Some(Surface {
        step,
        contours: contours(&fitted, &importance),
        importance,
    })
}
