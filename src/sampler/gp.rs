//! Bayesian optimisation with a Gaussian process: few trials, each expensive.
//!
//! The recipe: a Matérn-5/2 kernel over the whole space (`kernel.rs`), scores reshaped
//! (`target.rs`), hyperparameters at the maximum of their posterior (`surrogate.rs`), the point of
//! largest log expected improvement (`acquisition.rs`). With one objective the scores are reshaped
//! in two ways by turns, each with hyperparameters of its own, and one proposal in five takes the
//! low end of what is likely instead: on functions with noise or many peaks two views are worth
//! more than the better one. Trials that run count as done with the value expected of them. In many
//! dimensions, with many trials, or with one objective when nothing better was found for a while,
//! every second proposal looks only in a trust region (Eriksson et al., *Scalable Global
//! Optimization via Local Bayesian Optimization*, NeurIPS 2019). From [`ROWS`] trials on a choice
//! of them is learned from.

use super::acquisition::{Aim, Region, Search};
use super::border::Borders;
use super::history::History;
use super::kernel::Columns;
use super::start::Start;
use super::surrogate::{Hyper, Posterior, Rows, Scratch, fit};
use super::target::{Shape, Target};
use super::{Ask, Sampler, tpe};
use crate::numerics::sobol::mix;
use crate::space::{AxisKind, Params};
use crate::study::{Event, Kind, Study};

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "gp",
    about: "Gaussian process with expected improvement: up to some hundred expensive trials",
    paper: Some(
        "Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, \
         NeurIPS 2023 (arXiv 2310.20708); \
         Eriksson et al., Scalable Global Optimization via Local Bayesian Optimization, NeurIPS 2019",
    ),
    options: &[],
    capabilities: &[],
    build: |_, setting, _| {
        let history = History::new(setting);
        let model = Model::new(&history);
        Some(Box::new(Gp {
            start: Start::new(setting, start_size(history.dims())),
            model,
            history,
        }))
    },
};

/// How many trials are learned from at most.
const ROWS: usize = 400;
/// After so many trials without a better one, or as many as there are dimensions, the trust region
/// is used however few there are.
const STUCK: usize = 5;
/// One proposal in so many takes the low end of what is likely.
const LOW_END: u64 = 5;
/// How many deviations below the mean that is.
const DEVIATIONS: f64 = 2.0;
/// How many the hyperparameters are fitted to at most.
const FIT_ROWS: usize = 150;

/// Returns how many points a model wants before it starts: few, they are better spent on it.
pub(super) fn start_size(dims: usize) -> usize {
    (dims + 2).clamp(6, 8)
}

struct Gp {
    history: History,
    model: Model,
    start: Start,
}

impl Sampler for Gp {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.start.observe(&self.history, event);
        self.history.observe(study, event);
        self.model.observe(&self.history);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.start
            .suggest(&self.history)
            .or_else(|| self.model.propose(&self.history, ask))
            .or_else(|| tpe::propose(&self.history, ask))
    }
}

/// The hyperparameters, which are learned as trials end, and the trust region.
pub(super) struct Model {
    columns: Columns,
    /// For each of [`SHAPES`].
    hypers: [Hyper; SHAPES.len()],
    /// How many trials had ended when it was last fitted, and the history's version then.
    fitted: usize,
    fits: u32,
    /// Where the outcome limits run.
    borders: Borders,
    region: TrustRegion,
    known: usize,
}

const SHAPES: [Shape; 2] = [Shape::Warped, Shape::Plain];

/// Returns how many of [`SHAPES`] are used: several objectives become one in several ways already.
fn shapes(history: &History) -> usize {
    if history.objectives.len() > 1 {
        1
    } else {
        SHAPES.len()
    }
}

impl Model {
    pub(super) fn new(history: &History) -> Self {
        let d = history.dims();
        let region = TrustRegion::new(d);
        let hypers = [Hyper::prior(d), Hyper::prior(d)];
        let (columns, borders) = (Columns::new(history), Borders::default());
        Self {
            columns,
            hypers,
            fitted: 0,
            fits: 0,
            borders,
            region,
            known: 0,
        }
    }

    /// Learns from what the history has learned.
    pub(super) fn observe(&mut self, history: &History) {
        let ended = history.ranked().len() + history.failed().len();
        if ended <= self.known {
            self.known = ended;
            return;
        }
        self.known = ended;
        self.region.observe(history);
        let due = self.fitted + (self.fitted / 20).max(if self.fitted < 60 { 1 } else { 3 });
        if ended >= start_size(history.dims()) && ended >= due {
            self.refit(history);
            self.fitted = ended;
        }
    }

    fn refit(&mut self, history: &History) {
        self.borders.fit(&self.columns, history, FIT_ROWS);
        let shape = self.fits as usize % shapes(history);
        let target = Target::new(history, FIT_ROWS, SHAPES[shape], u64::from(self.fits));
        let flat = target.y.iter().all(|y| *y == 0.0);
        if flat || history.dims() == 0 {
            return;
        }
        let rows = self.rows(history, &target.rows);
        let (mut worth, mut hyper) = fit(&rows, &target.y, self.hypers[shape].clone(), 12);
        if self.fits as usize % 8 < shapes(history) {
            let (fresh, other) = fit(&rows, &target.y, Hyper::prior(history.dims()), 30);
            if fresh < worth {
                (worth, hyper) = (fresh, other);
            }
        }
        if worth.is_finite() {
            self.hypers[shape] = hyper;
        }
        self.fits += 1;
    }

    fn rows(&self, history: &History, which: &[u32]) -> Rows {
        let mut rows = Rows::new(&self.columns.list);
        for row in which {
            let row = history.row(*row);
            rows.push_mean(&self.columns.row(&row.unit, &row.active), row.seeds);
        }
        rows
    }

    /// Proposes the most promising point that was not tried; `None` if there is nothing to learn
    /// from or nothing new to try.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        // Independent of the seed, so that which trials look in which way is the same in every
        // sweep.
        let word = mix(u64::from(ask.trial.0) ^ 0x5eed);
        let shape = (word % shapes(history) as u64) as usize;
        let hyper = &self.hypers[shape];
        let target = Target::new(history, ROWS, SHAPES[shape], u64::from(ask.trial.0));
        if target.y.iter().all(|y| *y == 0.0) || history.dims() == 0 {
            return None;
        }
        let mut rows = self.rows(history, &target.rows);
        for pending in history.pending().take(100) {
            let row = history.row(pending);
            rows.push(&self.columns.row(&row.unit, &row.active));
        }
        let posterior = Posterior::new(rows, &target.y, hyper)?;
        let mut scratch = Scratch::default();
        let borders = self.borders.posteriors(&self.columns, history, ROWS);
        let (best, incumbent) = self.incumbent(hyper, history, &target, &posterior, &mut scratch);
        let kept = history
            .best()
            .is_some_and(|row| history.row(row).violation == 0.0);
        let low_end =
            shapes(history) > 1 && borders.is_empty() && (word >> 20).is_multiple_of(LOW_END);
        let aim = match (kept || borders.is_empty(), low_end) {
            (false, _) => Aim::Limits,
            (true, true) => Aim::LowEnd(DEVIATIONS),
            (true, false) => Aim::Improvement(incumbent),
        };
        let search = Search {
            history,
            columns: &self.columns,
            posterior: &posterior,
            aim,
            borders: &borders,
            centres: target.lowest(history, 4),
            region: self
                .region
                .at(best, history, hyper)
                .filter(|_| ask.trial.0.is_multiple_of(2)),
        };
        let found = search.run(&mut ask.rng());
        let far = |unit: &Vec<f64>| {
            let mut unit = unit.clone();
            let active = history.settle(&mut unit);
            posterior.nearest(&self.columns.row(&unit, &active), &mut Scratch::default())
                > NEAR * NEAR
        };
        found
            .iter()
            .filter(|candidate| far(&candidate.unit))
            .find_map(|candidate| history.fresh(&candidate.unit))
    }

    /// Returns the value to improve on, and the row that has it: the lowest, or if there is noise
    /// the lowest mean at any trial.
    fn incumbent(
        &self,
        hyper: &Hyper,
        history: &History,
        target: &Target,
        posterior: &Posterior,
        scratch: &mut Scratch,
    ) -> (Option<u32>, f64) {
        if !noisy(hyper) {
            return (history.best(), target.least(history));
        }
        let mut mean = |row: &u32| {
            let row = history.row(*row);
            posterior
                .at(&self.columns.row(&row.unit, &row.active), scratch)
                .0
        };
        let means = target
            .lowest(history, 20)
            .into_iter()
            .map(|row| (Some(row), mean(&row)));
        means.fold((None, f64::INFINITY), |best, other| {
            if other.1 < best.1 { other } else { best }
        })
    }
}

/// Returns whether there is so much noise that the best value may be good luck.
fn noisy(hyper: &Hyper) -> bool {
    hyper.noise() > 0.01
}

/// A point nearer than this to a tried one, in lengths, is the same point.
const NEAR: f64 = 1e-3;

/// A box around the best trial that doubles after successes and halves after failures.
struct TrustRegion {
    dims: usize,
    size: f64,
    successes: u32,
    failures: u32,
    /// Trials since the best one.
    stale: usize,
    best: f64,
}

impl TrustRegion {
    fn new(dims: usize) -> Self {
        Self {
            dims,
            size: 0.8,
            successes: 0,
            failures: 0,
            stale: 0,
            best: f64::INFINITY,
        }
    }

    fn observe(&mut self, history: &History) {
        let Some(row) = history.best() else { return };
        let Some(best) = history.scores(row).first().copied() else {
            return;
        };
        if best < self.best {
            self.best = best;
            self.stale = 0;
            (self.successes, self.failures) = (self.successes + 1, 0);
        } else {
            self.stale += 1;
            (self.successes, self.failures) = (0, self.failures + 1);
        }
        if self.successes >= 3 {
            self.size = (2.0 * self.size).min(1.6);
            self.successes = 0;
        }
        if self.failures as usize >= self.dims.max(4) {
            self.size /= 2.0;
            self.failures = 0;
        }
        if self.size < 1.0 / 128.0 {
            self.size = 0.8;
        }
    }

    /// Returns the box around `best`, longer where the model says that less changes; `None` while
    /// the whole cube is small enough to be searched and that helps.
    fn at(&self, best: Option<u32>, history: &History, hyper: &Hyper) -> Option<Region> {
        let alone = history.objectives.len() == 1;
        let stuck = alone && self.stale >= self.dims.max(STUCK);
        if self.dims < 15 && history.len() < 200 && !stuck {
            return None;
        }
        let centre = &history.row(best?).unit;
        let lengths: Vec<f64> = hyper.lengths().collect();
        let mean =
            lengths.iter().map(|length| libm::log(*length)).sum::<f64>() / lengths.len() as f64;
        let half = lengths
            .iter()
            .map(|length| 0.5 * self.size * (length / libm::exp(mean)).clamp(0.2, 5.0));
        let edges = |((x, half), kind): ((&f64, f64), &AxisKind)| match kind {
            AxisKind::Choice(_) => (0.0, 1.0),
            _ => ((x - half).max(0.0), (x + half).min(1.0)),
        };
        let (low, high) = centre
            .iter()
            .zip(half)
            .zip(history.kinds())
            .map(edges)
            .unzip();
        Some(Region { low, high })
    }
}
