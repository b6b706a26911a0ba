//! Importance: how much of the objective's variance each parameter explains, with a caution when
//! the trials do not carry an answer.

use super::axis::Axis;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone, Weight};
use super::{Input, Kind, nothing, stacked};
use crate::numerics::fanova;
use crate::numerics::forest::{Column, Forest, MOST_CATEGORIES};
use crate::numerics::rank_correlation::{ratio, spearman};
use crate::report::number;
use serde::Serialize;

pub(super) const KIND: Kind = Kind {
    name: "importance",
    about: "how much of the objective's variance each parameter explains (fANOVA), and rank correlations",
    figure,
};

/// How many trees, as many as Optuna grows.
pub const TREES: usize = 64;
/// More trials than this are not needed to grow trees: an even choice of them is taken.
const MOST_TRIALS: usize = 1000;
/// Fewer complete trials than this say nothing.
const FEW: usize = 8;
/// With fewer trials for each parameter the trees know too little.
const TRIALS_A_PARAMETER: usize = 10;
/// The trees have to explain this share of the variance in trials they were not grown on.
const EXPLAINED: f64 = 0.5;

/// The importance of every parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The metric.
    pub metric: String,
    /// How many trials were looked at.
    pub trials: usize,
    /// One a parameter, the most important first.
    pub rows: Vec<Row>,
    /// The share of the variance that the parameters explain one by one; the rest is due to several
    /// together.
    pub alone: f64,
    /// The share of the variance that the forest explains in trials it was not grown on.
    pub explained: Option<f64>,
    /// Why the figures are not to be relied on.
    pub cautions: Vec<String>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its importance: all of them add up to 1.
    pub share: f64,
    /// How much that differs among the trees.
    pub spread: f64,
    /// Spearman's rank correlation with the objective, or the correlation ratio of ranks for a
    /// choice, among the trials that have it.
    pub correlation: Option<f64>,
    /// Whether it is a choice: then its correlation has no direction.
    pub choice: bool,
    /// In how many of the trials it exists.
    pub trials: usize,
}

/// A forest over the parameters of a study's complete trials.
pub struct Fitted {
    /// The parameters.
    pub axes: Vec<Axis>,
    /// The objective of each trial.
    pub target: Vec<f64>,
    /// The forest.
    pub forest: Forest,
    /// How many complete trials there are.
    pub of: usize,
}

impl Fitted {
    /// Grows it. `None` if there are too few complete trials or their parameters do not differ.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Option<Self> {
        let complete = input.complete();
        let of = complete.len();
        if of < FEW {
            return None;
        }
        let chosen = super::thinned(&complete, MOST_TRIALS);
        let (trials, target): (Vec<_>, Vec<f64>) = chosen.into_iter().unzip();
        let axes = input.axes(&trials);
        if axes.is_empty() {
            return None;
        }
        let columns: Vec<Column> = axes.iter().map(column).collect();
        let forest = Forest::grow(&columns, &target, TREES, input.study.header().seed);
        Some(Self {
            axes,
            target,
            forest,
            of,
        })
    }
}

/// Returns an axis as a column of the unit cube.
fn column(axis: &Axis) -> Column {
    let choice = axis.is_choice() && axis.labels.len() <= MOST_CATEGORIES;
    let place = |value: &Option<f64>| match value {
        None => f64::NAN,
        Some(value) if choice => *value,
        Some(value) => axis.unit(*value),
    };
    Column {
        values: axis.values.iter().map(place).collect(),
        categories: if choice { axis.labels.len() } else { 0 },
    }
}

impl Importance {
    /// Measures it; `None` if there is nothing to measure.
    #[must_use]
    pub fn of(input: &Input<'_>, fitted: &Fitted) -> Option<Self> {
        let effects = fanova::effects(&fitted.forest)?;
        let alone: f64 = effects.shares.iter().sum();
        let mut rows: Vec<Row> = fitted
            .axes
            .iter()
            .zip(effects.shares.iter().zip(&effects.spreads))
            .map(|(axis, (share, spread))| {
                let pairs = axis.values.iter().zip(&fitted.target);
                let (x, y): (Vec<f64>, Vec<f64>) =
                    pairs.filter_map(|(x, y)| Some((x.as_ref()?, y))).unzip();
                let choice = axis.is_choice();
                Row {
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
        let cautions = cautions(fitted);
        Some(Self {
            metric: input.label().to_owned(),
            trials: fitted.target.len(),
            rows,
            alone,
            explained: fitted.forest.explained,
            cautions,
        })
    }
}

/// Returns what speaks against relying on a forest.
fn cautions(fitted: &Fitted) -> Vec<String> {
    let mut cautions = Vec::new();
    let (count, wanted) = (fitted.target.len(), fitted.axes.len() * TRIALS_A_PARAMETER);
    if count < wanted {
        cautions.push(format!(
            "caution: {count} trials are few for {} parameters; expect other figures with more",
            fitted.axes.len()
        ));
    }
    match fitted.forest.explained {
        Some(explained) if explained < EXPLAINED => cautions.push(format!(
            "caution: the forest explains {:.0} % of the variance in trials it has not seen; the ranking may be chance",
            explained.max(0.0) * 100.0
        )),
        None => cautions.push("caution: too few trials to check what the forest has learnt".to_owned()),
        Some(_) => {}
    }
    if few_dominate(&fitted.target) {
        cautions.push(
            "caution: a few extreme values make most of the variance; leave them out with `--where` to see the rest"
                .to_owned(),
        );
    }
    cautions
}

/// Says whether a fiftieth of the values makes more than half of their variance.
fn few_dominate(values: &[f64]) -> bool {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
    squares.sort_by(|a, b| b.total_cmp(a));
    let few = values.len().div_ceil(50).max(1);
    values.len() >= 20 && squares.iter().take(few).sum::<f64>() > 0.5 * squares.iter().sum::<f64>()
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "importance", one)
}

fn one(input: &Input<'_>) -> Figure {
    let Some(fitted) = Fitted::of(input) else {
        let why = format!("it takes at least {FEW} complete trials whose parameters differ");
        return nothing(input, "importance", &why);
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
    figure.notes.clone_from(&data.cautions);
    let of = if fitted.of > data.trials {
        format!(" of {}", fitted.of)
    } else {
        String::new()
    };
    figure.notes.push(format!(
        "{}{of} trials; alone the parameters explain {:.0} % of the variance, the rest is due to several together",
        data.trials,
        data.alone.min(1.0) * 100.0
    ));
    let shown: Vec<&Row> = data.rows.iter().take(20).collect();
    let labels: Vec<String> = shown.iter().map(|row| row.name.clone()).collect();
    let mut shares = Vec::new();
    let mut correlations = vec![Mark::Line(
        vec![(0.0, 0.0), (0.0, shown.len() as f64)],
        Tone::Ink,
        Weight::Thin,
    )];
    for (at, row) in shown.iter().enumerate() {
        let (top, middle) = (at as f64, at as f64 + 0.5);
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
