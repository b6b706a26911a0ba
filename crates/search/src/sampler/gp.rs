//! Bayesian optimisation with a Gaussian process: for few and expensive trials.
//!
//! The parts: a Matérn-5/2 kernel over the whole space (`kernel.rs`), reshaped scores
//! (`target.rs`), hyperparameters at the maximum of their posterior density (`surrogate.rs`), and
//! log expected improvement as the acquisition function (`acquisition.rs`). With a single objective
//! two reshapings of the scores alternate, each with hyperparameters of its own, and one proposal
//! in five minimises the lower confidence bound instead. On functions with noise or many local
//! optima two models are worth more than the better one alone. Pending trials count as complete
//! with their predicted value. Every second proposal is confined to a trust region (Eriksson et
//! al., *Scalable Global Optimization via Local Bayesian Optimization*, NeurIPS 2019) in many
//! dimensions, after many trials, or when a single objective has not improved for a while. Beyond
//! [`ROWS`] trials the model is conditioned on a selection of them.

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

/// Maximum number of trials the model is conditioned on.
const ROWS: usize = 400;
/// Number of trials without an improvement after which the trust region is used even in few
/// dimensions and early on. The number of dimensions is used instead if it is larger.
const STUCK: usize = 5;
/// One proposal in this many uses the lower confidence bound.
const LOW_END: u64 = 5;
/// Distance of the lower confidence bound from the mean, in standard deviations.
const DEVIATIONS: f64 = 2.0;
/// Maximum number of trials used to fit the hyperparameters.
const FIT_ROWS: usize = 150;

/// Returns the size of the start design: d + 2, but 6 to 8. It is small because trials proposed by
/// the model are worth more.
pub(super) fn start_size(dims: usize) -> usize {
    (dims + 2).clamp(6, 8)
}

/// The Gaussian-process sampler.
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

/// A Gaussian-process model between proposals: its hyperparameters, refitted as trials end, and the
/// trust region.
pub(super) struct Model {
    /// The encoding of configurations for the kernel.
    columns: Columns,
    /// The hyperparameters for each of [`SHAPES`].
    hypers: [Hyper; SHAPES.len()],
    /// Number of trials that had ended at the last fit.
    fitted: usize,
    /// Number of fits so far. It selects the shape, and the scalarisation of several objectives.
    fits: u32,
    /// The hyperparameters of the outcome constraints.
    borders: Borders,
    /// The trust region around the incumbent.
    region: TrustRegion,
    /// Number of trials that had ended at the last call of [`Model::observe`].
    known: usize,
}

/// The reshapings that alternate with a single objective.
const SHAPES: [Shape; 2] = [Shape::Warped, Shape::Plain];

/// Returns the number of [`SHAPES`] in use: one with several objectives, whose scalarisation varies
/// already.
fn shapes(history: &History) -> usize {
    if history.objectives.len() > 1 {
        1
    } else {
        SHAPES.len()
    }
}

impl Model {
    /// Creates a model at the mode of the prior.
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

    /// Updates the trust region and refits the hyperparameters once enough trials have ended. Must
    /// be called after `history` has observed an event.
    pub(super) fn observe(&mut self, history: &History) {
        let ended = history.ranked().len() + history.failed().len();
        // No further trial has ended. After an edit or a retry the number may even fall.
        if ended <= self.known {
            self.known = ended;
            return;
        }
        self.known = ended;
        self.region.observe(history);
        // A fit costs O(n³). Up to 60 trials every result counts, later every 3rd, then every 5 %.
        let due = self.fitted + (self.fitted / 20).max(if self.fitted < 60 { 1 } else { 3 });
        if ended >= start_size(history.dims()) && ended >= due {
            self.refit(history);
            self.fitted = ended;
        }
    }

    /// Refits the outcome constraints and the next shape in turn.
    fn refit(&mut self, history: &History) {
        self.borders.fit(&self.columns, history, FIT_ROWS);
        let shape = self.fits as usize % shapes(history);
        let target = Target::new(history, FIT_ROWS, SHAPES[shape], u64::from(self.fits));
        let flat = target.y.iter().all(|y| *y == 0.0);
        // Equal scores say nothing about lengthscales.
        if flat || history.dims() == 0 {
            return;
        }
        let rows = self.rows(history, &target.rows);
        let (mut worth, mut hyper) = fit(&rows, &target.y, self.hypers[shape].clone(), 12);
        // Now and then a second fit starts from the prior, because the first one may be stuck in a
        // local maximum that later trials have made wrong.
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

    /// Returns the encoded rows of these trials, with the noise of a mean over seeds.
    fn rows(&self, history: &History, which: &[u32]) -> Rows {
        let mut rows = Rows::new(&self.columns.list);
        for row in which {
            let row = history.row(*row);
            rows.push_mean(&self.columns.row(&row.unit, &row.active), row.seeds);
        }
        rows
    }

    /// Returns the untried configuration with the largest acquisition value found. Returns `None`
    /// if all scores are equal or every candidate was tried or refused.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        // Independent of the seed, so that the same trials use the same shape and acquisition
        // function in every sweep.
        let word = mix(u64::from(ask.trial.0) ^ 0x5eed);
        let shape = (word % shapes(history) as u64) as usize;
        let hyper = &self.hypers[shape];
        let target = Target::new(history, ROWS, SHAPES[shape], u64::from(ask.trial.0));
        if target.y.iter().all(|y| *y == 0.0) || history.dims() == 0 {
            return None;
        }
        let mut rows = self.rows(history, &target.rows);
        // Rows beyond the values of `target` are pending trials: `Posterior::new` believes them.
        for pending in history.pending().take(100) {
            let row = history.row(pending);
            rows.push(&self.columns.row(&row.unit, &row.active));
        }
        let posterior = Posterior::new(rows, &target.y, hyper)?;
        let mut scratch = Scratch::default();
        let borders = self.borders.posteriors(&self.columns, history, ROWS);
        let (best, incumbent) = self.incumbent(hyper, history, &target, &posterior, &mut scratch);
        // Until a trial satisfies the outcome constraints there is no value to improve on.
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
        // A candidate almost on top of a tried or pending point would teach the model nothing and
        // make the kernel matrix singular.
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

    /// Returns the row of the incumbent and the value to improve on: the lowest value, or with
    /// noise the lowest posterior mean at any of the 20 lowest values.
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

/// Returns whether the noise is so large that the lowest value may be luck: a variance above 1 % of
/// the signal.
fn noisy(hyper: &Hyper) -> bool {
    hyper.noise() > 0.01
}

/// Distance in lengthscales below which a candidate counts as already tried.
const NEAR: f64 = 1e-3;

/// The state of the trust region: a box around the incumbent that doubles after successes and
/// halves after failures.
struct TrustRegion {
    /// Number of axes.
    dims: usize,
    /// Side length of the box in units of the cube, before it is stretched by the lengthscales.
    size: f64,
    /// Consecutive trials that improved on the incumbent.
    successes: u32,
    /// Consecutive trials that did not.
    failures: u32,
    /// Trials since the last improvement.
    stale: usize,
    /// The score of the incumbent when last seen.
    best: f64,
}

impl TrustRegion {
    /// Creates a box of the initial size, 0.8.
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

    /// Counts one more ended trial as a success or a failure, and resizes the box.
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
        // The box has converged: continue with a large one.
        if self.size < 1.0 / 128.0 {
            self.size = 0.8;
        }
    }

    /// Returns the box around the row `best`: longer along axes with a large lengthscale, unbounded
    /// along choices. Returns `None` if the space is small, trials are few and the incumbent is not
    /// stale, because the whole cube can then be searched.
    fn at(&self, best: Option<u32>, history: &History, hyper: &Hyper) -> Option<Region> {
        let alone = history.objectives.len() == 1;
        let stuck = alone && self.stale >= self.dims.max(STUCK);
        if self.dims < 15 && history.len() < 200 && !stuck {
            return None;
        }
        let centre = &history.row(best?).unit;
        let lengths: Vec<f64> = hyper.lengths().collect();
        // Relative to the geometric mean, so that the lengthscales stretch the box without changing
        // its volume (up to the clamp).
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
