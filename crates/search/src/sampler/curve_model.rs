//! A Gaussian process over configuration and resource: predicts from learning curves where a trial
//! that rests would end.
//!
//! The resource is one more coordinate of the kernel, on a logarithmic scale: Swersky, Snoek &
//! Adams, *Freeze-Thaw Bayesian Optimization*, 2014 (arXiv 1406.3896), and Kandasamy et al.,
//! *Multi-fidelity Bayesian Optimisation with Continuous Approximations*, ICML 2017. The slope that
//! the curves have in common is the mean of the process, so that a short curve is not expected to
//! stay where it is. The end is the largest resource that any trial has reached so far.

use super::acquisition::{Acquisition, AcquisitionFunction, SingleObjective};
use super::history::{History, Row};
use super::kernel::{Column, ColumnKind, Columns};
use super::surrogate::{Hyper, Posterior, Rows, Scratch, fit};
use super::training_set::{OutcomeTransform, standardise, transform_scores};
use swath_model::study::TrialId;

/// Maximum number of values that the process is conditioned on.
const MODEL_ROWS: usize = 300;
/// Maximum number of values used to fit the hyperparameters.
const FIT_ROWS: usize = 150;
/// Evaluations of the evidence in a fit.
const FIT_EVALUATIONS: usize = 12;
/// Number of trials with a value below which nothing is predicted.
const LEAST_TRIALS: usize = 6;
/// Maximum number of running trials that are believed to end where they are predicted to.
const MAX_PENDING: usize = 32;
/// Number of resting trials, those of the lowest predictions, whose improvement is computed.
const MOST_COMPARED: usize = 64;
/// Minimum ratio between the resources of two values of a trial that the process learns from.
const SPACING: f64 = 2.0;

/// The process between predictions.
pub(crate) struct CurveModel {
    columns: Columns,
    /// The columns of a configuration, and behind them that of the resource.
    list: Vec<Column>,
    hyper: Hyper,
    /// Number of attempts that have ended.
    ended: usize,
    /// The same number at the last fit.
    fitted: usize,
}

/// A value of a learning curve.
struct CurvePoint {
    row: u32,
    /// The part of the way to the end that is covered, from 0 to 1.
    progress: f64,
}

/// The values that the process learns from: mean 0, standard deviation 1, smaller is better, less
/// the common slope.
struct CurveValues {
    points: Vec<CurvePoint>,
    y: Vec<f64>,
}

/// The process conditioned on the trials so far.
struct Prediction {
    posterior: Posterior,
    /// The lowest value predicted for a trial that has reached the end.
    incumbent: f64,
}

impl CurveModel {
    /// Creates a model at the mode of the prior.
    pub(crate) fn new(history: &History) -> Self {
        let columns = Columns::new(history);
        let mut list = columns.list.clone();
        list.push(Column {
            axis: history.dims(),
            kind: ColumnKind::Number,
        });
        Self {
            hyper: Hyper::prior(history.dims() + 1),
            columns,
            list,
            ended: 0,
            fitted: 0,
        }
    }

    /// Refits the hyperparameters once enough attempts have ended. Must be called after `history`
    /// has observed the end of an attempt.
    pub(crate) fn observe_end(&mut self, history: &History) {
        self.ended += 1;
        // A fit costs O(n³).
        if self.ended < self.fitted + (self.fitted / 10).max(3) {
            return;
        }
        let Some(values) = CurveValues::select(history, FIT_ROWS) else {
            return;
        };
        self.fitted = self.ended;
        let rows = self.rows(history, &values.points);
        let (loss, hyper) = fit(&rows, &values.y, self.hyper.clone(), FIT_EVALUATIONS);
        if loss.is_finite() {
            self.hyper = hyper;
        }
    }

    /// Returns the one of the resting trials whose end is expected to improve most on the best
    /// trial that has reached the end. `None` if there is none, or too few trials to learn from.
    pub(crate) fn most_promising(
        &self,
        history: &History,
        resting: impl Iterator<Item = TrialId>,
    ) -> Option<TrialId> {
        let prediction = self.predict(history)?;
        let mut scratch = Scratch::default();
        let mut ends: Vec<(f64, TrialId, Vec<f64>)> = resting
            .map(|trial| {
                let end = self.row(history, trial.0.saturating_sub(1), 1.0);
                let mean = prediction.posterior.mean(&end, &mut scratch);
                (mean, trial, end)
            })
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.truncate(MOST_COMPARED);
        let (trials, rows): (Vec<TrialId>, Vec<Vec<f64>>) =
            ends.into_iter().map(|(_, trial, end)| (trial, end)).unzip();
        let improvement = SingleObjective {
            posterior: &prediction.posterior,
            function: AcquisitionFunction::LogExpectedImprovement(prediction.incumbent),
        };
        let values = improvement.values(&rows, &mut scratch);
        let best = trials.into_iter().zip(values);
        best.max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(trial, _)| trial)
    }

    fn predict(&self, history: &History) -> Option<Prediction> {
        let values = CurveValues::select(history, MODEL_ROWS)?;
        let mut rows = self.rows(history, &values.points);
        for pending in history.pending().take(MAX_PENDING) {
            rows.push(&self.row(history, pending, 1.0));
        }
        let posterior = Posterior::new(rows, &values.y, &self.hyper)?;
        let mut scratch = Scratch::default();
        let at_end = values.points.iter().filter(|point| point.progress >= 1.0);
        let means = at_end.map(|point| {
            let row = self.row(history, point.row, point.progress);
            posterior.mean(&row, &mut scratch)
        });
        let incumbent = means.fold(f64::INFINITY, f64::min);
        Some(Prediction {
            posterior,
            incumbent,
        })
    }

    fn rows(&self, history: &History, points: &[CurvePoint]) -> Rows {
        let mut rows = Rows::new(&self.list);
        for point in points {
            rows.push(&self.row(history, point.row, point.progress));
        }
        rows
    }

    /// Returns a row of the kernel's columns: a configuration at a part of the way to the end.
    fn row(&self, history: &History, row: u32, progress: f64) -> Vec<f64> {
        let row = history.row(row);
        let mut row = self.columns.row(&row.unit, &row.active);
        row.push(progress);
        row
    }
}

impl CurveValues {
    /// Selects about `limit` values: two thirds from the curves of the trials that got furthest, of
    /// those the best first, and the last values of an even sample of the others. `None` with too
    /// few trials, or if the values do not differ.
    fn select(history: &History, limit: usize) -> Option<Self> {
        let mut curves: Vec<(u32, &Row)> = history.with_curves().collect();
        if curves.len() < LEAST_TRIALS || history.dims() == 0 {
            return None;
        }
        curves.sort_by(|(_, a), (_, b)| {
            let [(at, x), (bt, y)] = [a, b].map(|row| row.last_point());
            bt.total_cmp(&at).then(x.total_cmp(&y))
        });
        let mut values: Vec<(u32, (f64, f64))> = Vec::new();
        let mut others = curves.iter();
        while values.len() < limit * 2 / 3
            && let Some((row, curve)) = others.next()
        {
            values.extend(spaced(curve.curve()).map(|point| (*row, point)));
        }
        let others = others.as_slice();
        let room = limit.saturating_sub(values.len()).min(others.len());
        values.extend((0..room).map(|at| {
            let (row, curve) = others[at * others.len() / room];
            (row, curve.last_point())
        }));
        Self::transformed(&values, history.furthest())
    }

    /// Transforms pairs of a row and a point of its curve. `None` if the values do not differ.
    fn transformed(values: &[(u32, (f64, f64))], end: f64) -> Option<Self> {
        let raw: Vec<f64> = values.iter().map(|(_, (_, value))| *value).collect();
        let points = values.iter().map(|(row, (resource, _))| CurvePoint {
            row: *row,
            progress: libm::log(1.0 + resource.max(0.0)) / libm::log(1.0 + end),
        });
        let points: Vec<CurvePoint> = points.collect();
        let y = transform_scores(&raw, OutcomeTransform::Warped, f64::NEG_INFINITY);
        let slope = common_slope(&points, &y);
        let levels = y.iter().zip(&points);
        let levels = levels.map(|(y, point)| y - slope * (point.progress - 1.0));
        let y = standardise(levels.collect());
        y.iter().any(|y| *y != 0.0).then_some(Self { points, y })
    }
}

/// Returns the points of a curve from the last one back, each at most half as far as the one
/// before.
fn spaced(curve: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let mut last = f64::INFINITY;
    curve.iter().rev().copied().filter(move |(at, _)| {
        let is_apart = *at * SPACING <= last;
        if is_apart {
            last = *at;
        }
        is_apart
    })
}

/// Returns the slope of the values by progress within the trials, by least squares.
fn common_slope(points: &[CurvePoint], y: &[f64]) -> f64 {
    let (mut products, mut squares) = (0.0, 1e-9);
    for (points, y) in points.windows(2).zip(y.windows(2)) {
        if points[0].row == points[1].row {
            let step = points[1].progress - points[0].progress;
            products += step * (y[1] - y[0]);
            squares += step * step;
        }
    }
    products / squares
}
