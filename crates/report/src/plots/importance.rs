//! Importance: the share of the variance of the objective that each parameter explains, with a
//! warning if the trials do not support an answer.

use super::axis::Axis;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone, Weight};
use super::{Input, METRIC, Plot, WHERE, nothing, stacked};
use crate::number;
use serde::Serialize;
use swath_model::study::{Kind, Trial};
use swath_numerics::fanova;
use swath_numerics::forest::{Column, Forest, MAX_CATEGORIES};
use swath_numerics::rank_correlation::{ratio, spearman};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "importance",
    about: "how much of the objective's variance each parameter explains (fANOVA), and rank correlations",
    paper: Some(
        "Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter \
         Importance, ICML 2014",
    ),
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Number of trees in the forest, the same as in Optuna.
pub const TREES: usize = 64;
/// Maximum number of trials for the forest. If there are more, an even choice is used.
const MAX_TRIALS: usize = 1000;
/// Minimum number of complete trials.
const FEW: usize = 8;
/// Number of trials for each parameter below which a warning is shown.
const TRIALS_A_PARAMETER: usize = 10;
/// Share of the out-of-sample variance that the forest must explain to avoid a warning.
const EXPLAINED: f64 = 0.5;

/// The importance of all parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The name of the metric.
    pub metric: String,
    /// Number of trials in the forest.
    pub trials: usize,
    /// One row for each parameter, the most important first.
    pub rows: Vec<ParameterImportance>,
    /// Share of the variance that the parameters explain one by one. The rest is due to
    /// interactions.
    pub alone: f64,
    /// Share of the variance that the forest explains in trials it was not grown on. `None` if too
    /// few trials were left out for a check.
    pub explained: Option<f64>,
    /// Warnings about the reliability of the result.
    #[serde(rename = "cautions")]
    pub warnings: Vec<String>,
}

/// The importance of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParameterImportance {
    /// The name of the parameter.
    pub name: String,
    /// The importance. The shares of all parameters add up to 1.
    pub share: f64,
    /// The standard deviation of the importance among the trees, on the scale of `share`.
    pub spread: f64,
    /// Spearman's rank correlation with the objective, or the correlation ratio of ranks for a
    /// choice. Only trials with the parameter are included.
    pub correlation: Option<f64>,
    /// Whether the parameter is a choice. The correlation of a choice has no direction.
    pub choice: bool,
    /// Number of trials that have the parameter.
    pub trials: usize,
}

/// A random forest, fitted to the complete trials of a study.
pub struct Fitted {
    /// The parameters, with the values of the fitted trials.
    pub axes: Vec<Axis>,
    /// The ids of the fitted trials, in the order of `target`; empty after [`grow`](Self::grow).
    pub ids: Vec<u32>,
    /// The objective of each fitted trial.
    pub target: Vec<f64>,
    /// The forest over the unit cube of the parameters.
    pub forest: Forest,
    /// Number of complete trials, including those that were not used.
    pub complete: usize,
}

impl Fitted {
    /// Fits the forest to the complete trials; see [`of_results`](Self::of_results).
    #[must_use]
    pub fn of(input: &Input<'_>) -> Option<Self> {
        Self::of_results(input, &input.complete())
    }

    /// Fits the forest to some results. `None` if there are fewer than 8 or the parameters of their
    /// trials do not differ.
    #[must_use]
    pub fn of_results(input: &Input<'_>, results: &[(&Trial, f64)]) -> Option<Self> {
        if results.len() < FEW {
            return None;
        }
        let chosen = super::thinned(results, MAX_TRIALS);
        let (trials, target): (Vec<_>, Vec<f64>) = chosen.into_iter().unzip();
        let axes = input.axes(&trials);
        if axes.is_empty() {
            return None;
        }
        let ids = trials.iter().map(|trial| trial.id.0).collect();
        Some(Self {
            complete: results.len(),
            ids,
            ..Self::grow(axes, target, input.study.header().seed)
        })
    }

    /// Grows the forest over these axes, whose values belong to the items of `target`.
    #[must_use]
    pub fn grow(axes: Vec<Axis>, target: Vec<f64>, seed: u64) -> Self {
        let columns: Vec<Column> = axes.iter().map(column).collect();
        let forest = Forest::grow(&columns, &target, TREES, seed);
        Self {
            axes,
            complete: target.len(),
            ids: Vec::new(),
            target,
            forest,
        }
    }
}

/// Returns an axis as a column of the unit cube.
pub(crate) fn column(axis: &Axis) -> Column {
    // The forest cannot split more categories than this, so they are treated as numbers.
    let choice = axis.is_choice() && axis.labels.len() <= MAX_CATEGORIES;
    let values = axis.values.iter().map(|value| match value {
        None => f64::NAN,
        Some(value) if choice => *value,
        Some(value) => axis.unit(*value),
    });
    Column {
        values: values.collect(),
        categories: if choice { axis.labels.len() } else { 0 },
    }
}

/// Maximum number of parameters in the figure.
const MOST: usize = 20;

/// Keeps `most` of the axes of a figure, the most important ones first. Returns a note on those that
/// are left out, if any. The figures of studies with fewer axes keep the order of the sweep file.
pub(super) fn keep_important(
    input: &Input<'_>,
    axes: &mut Vec<Axis>,
    most: usize,
) -> Option<String> {
    let count = axes.len();
    if count <= most {
        return None;
    }
    let importance = Fitted::of(input).and_then(|fitted| Importance::of(input, &fitted));
    let rows = importance.map_or_else(Vec::new, |importance| importance.rows);
    // A stable sort: without an importance the order stays.
    axes.sort_by_key(|axis| {
        let rank = rows.iter().position(|row| row.name == axis.name);
        rank.unwrap_or(usize::MAX)
    });
    axes.truncate(most);
    let which = match rows.is_empty() {
        true => "first",
        false => "most important",
    };
    Some(left_out(which, most, count))
}

/// Returns the note on parameters that a figure leaves out.
fn left_out(which: &str, most: usize, count: usize) -> String {
    format!(
        "the {most} {which} of {count} parameters; {} are left out",
        count - most
    )
}

impl Importance {
    /// Measures the importance. `None` if the objective does not vary.
    #[must_use]
    pub fn of(input: &Input<'_>, fitted: &Fitted) -> Option<Self> {
        let effects = fanova::effects(&fitted.forest)?;
        let alone: f64 = effects.shares.iter().sum();
        let mut rows: Vec<ParameterImportance> = fitted
            .axes
            .iter()
            .zip(effects.shares.iter().zip(&effects.spreads))
            .map(|(axis, (share, spread))| {
                let pairs = axis.values.iter().zip(&fitted.target);
                let (x, y): (Vec<f64>, Vec<f64>) =
                    pairs.filter_map(|(x, y)| Some((x.as_ref()?, y))).unzip();
                let choice = axis.is_choice();
                ParameterImportance {
                    name: axis.name.clone(),
                    share: share / alone.max(f64::MIN_POSITIVE),
                    spread: spread / alone.max(f64::MIN_POSITIVE),
                    correlation: if choice {
                        ratio(&x, &y)
                    } else {
                        spearman(&x, &y)
                    },
                    choice,
                    trials: x.len(),
                }
            })
            .collect();
        rows.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.name.cmp(&b.name)));
        let warnings = warnings(fitted);
        Some(Self {
            metric: input.label().to_owned(),
            trials: fitted.target.len(),
            rows,
            alone,
            explained: fitted.forest.explained,
            warnings,
        })
    }
}

/// Returns warnings about the reliability of a forest.
fn warnings(fitted: &Fitted) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = fitted.target.len();
    if count < fitted.axes.len() * TRIALS_A_PARAMETER {
        warnings.push(format!(
            "caution: {count} trials are few for {} parameters; more trials may change the figures",
            fitted.axes.len()
        ));
    }
    match fitted.forest.explained {
        Some(explained) if explained < EXPLAINED => warnings.push(format!(
            "caution: the forest explains {:.0} % of the variance in trials that it was not grown \
             on; the ranking may be chance",
            explained.max(0.0) * 100.0
        )),
        None => warnings
            .push("caution: too few trials to check the predictions of the forest".to_owned()),
        Some(_) => {}
    }
    if few_dominate(&fitted.target) {
        warnings.push(
            "caution: a few extreme values make up most of the variance; leave them out with \
             `--where` to see the importance for the others"
                .to_owned(),
        );
    }
    warnings
}

/// Returns whether 2 % of the values make more than half of the variance. Always false for fewer
/// than 20 values.
fn few_dominate(values: &[f64]) -> bool {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
    squares.sort_by(|a, b| b.total_cmp(a));
    let few = values.len().div_ceil(50).max(1);
    values.len() >= 20 && squares.iter().take(few).sum::<f64>() > 0.5 * squares.iter().sum::<f64>()
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "importance", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let Some(fitted) = Fitted::of(input) else {
        let reason = format!("it takes at least {FEW} complete trials whose parameters differ");
        return nothing(input, "importance", &reason);
    };
    let Some(data) = Importance::of(input, &fitted) else {
        return nothing(
            input,
            "importance",
            &format!("`{}` is the same in every trial", input.label()),
        );
    };
    let mut figure = Figure::new(input.title(&format!("importance for {}", data.metric)));
    figure.columns = 2;
    figure.notes.clone_from(&data.warnings);
    let of_complete = if fitted.complete > data.trials {
        format!(" of {}", fitted.complete)
    } else {
        String::new()
    };
    figure.notes.push(format!(
        "{}{of_complete} trials; single parameters explain {:.0} % of the variance, interactions between \
         parameters the rest",
        data.trials,
        data.alone.min(1.0) * 100.0
    ));
    if data.rows.len() > MOST {
        let note = left_out("most important", MOST, data.rows.len());
        figure.notes.push(note);
    }
    let shown: Vec<&ParameterImportance> = data.rows.iter().take(MOST).collect();
    let labels: Vec<String> = shown.iter().map(|row| row.name.clone()).collect();
    let mut shares = Vec::new();
    let mut correlations = vec![Mark::Line(
        vec![(0.0, 0.0), (0.0, shown.len() as f64)],
        Tone::Ink,
        Weight::Thin,
    )];
    for (index, row) in shown.iter().enumerate() {
        let (top, middle) = (index as f64, index as f64 + 0.5);
        shares.push(Mark::Block(
            (0.0, row.share),
            (top + 0.2, top + 0.8),
            Tone::Usual,
        ));
        let text = format!("{:.1} %", row.share * 100.0);
        shares.push(Mark::Text(
            (row.share, middle),
            text,
            Side::Right,
            Tone::Ink,
        ));
        if let Some(correlation) = row.correlation {
            // The correlation of a choice has no direction, so its bar extends to both sides.
            let from = if row.choice { -correlation } else { 0.0 };
            correlations.push(Mark::Block(
                (from.min(correlation), correlation.max(0.0)),
                (top + 0.35, top + 0.65),
                Tone::Series(1),
            ));
            let text = number::short((correlation * 100.0).round() / 100.0);
            let text = if row.choice {
                format!("±{text}")
            } else {
                text
            };
            let side = if correlation < 0.0 && !row.choice {
                Side::Left
            } else {
                Side::Right
            };
            correlations.push(Mark::Text((correlation, middle), text, side, Tone::Ink));
        }
    }
    let widest = shown.iter().map(|row| row.share).fold(0.0, f64::max);
    figure.panels.push(Panel {
        title: "fANOVA: share of the variance".to_owned(),
        x: Guide::new("", Scale::Linear(0.0, (widest * 1.3).max(0.01))),
        y: Guide::new("", Scale::Bands(labels.clone())),
        marks: shares,
    });
    figure.panels.push(Panel {
        title: "rank correlation".to_owned(),
        x: Guide::new("", Scale::Linear(-1.2, 1.2)),
        y: Guide::new("", Scale::Bands(labels)),
        marks: correlations,
    });
    figure
}
