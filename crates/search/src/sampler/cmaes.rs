//! CMA-ES: a normal distribution whose covariance adapts to the shape of the objective. For many
//! cheap trials, mostly over numbers.
//!
//! N. Hansen, *The CMA Evolution Strategy: A Tutorial*, 2016 (arXiv 1604.00772). From 40 dimensions
//! on only variances are adapted (Ros & Hansen, 2008). Integers keep a minimum deviation, so that
//! samples leave the cell of the mean now and then (after Hamano et al., 2022, arXiv 2205.13482).
//! Choices have a distribution of their own, which moves towards the better half (after CatCMA,
//! Hamano et al., 2024, arXiv 2405.09962). After convergence the search restarts with a larger or a
//! smaller population (BIPOP, Hansen, 2009).

use super::evolution::Evolution;
use super::history::{History, Outcome, category, centre};
use super::initial_design::InitialDesign;
use super::{Ask, Sampler};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::source::{Diagnostic, Diagnostics, Section};
use swath_model::space::{AxisKind, Params};
use swath_model::study::{Event, Kind, Setting, Study};
use swath_numerics::normal;
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "cmaes",
    about: "covariance matrix adaptation: many cheap trials over numbers",
    paper: Some("Hansen, The CMA Evolution Strategy: A Tutorial, 2016 (arXiv 1604.00772)"),
    options: &[],
    capabilities: &[],
    build,
};

/// Builds the sampler. Returns `None`, with a diagnostic, for a space of choices only or for
/// several objectives.
fn build(
    section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Sampler>> {
    let span = section.span.clone();
    let numbers = setting
        .space
        .axes()
        .iter()
        .filter(|axis| !matches!(axis.kind, AxisKind::Choice(_)))
        .count();
    if numbers == 0 && setting.space.dims() > 0 {
        diagnostics.push(
            Diagnostic::error("sampler-cannot", "`cmaes` cannot search choices only")
                .at(span, "")
                .hint("take `tpe`, `gp`, `nsga2`, `auto` or `grid`"),
        );
        return None;
    }
    if setting.objectives.len() > 1 {
        diagnostics.push(
            Diagnostic::error(
                "sampler-cannot",
                "`cmaes` cannot search for several objectives",
            )
            .at(span, "")
            .hint("take `nsga2`, `tpe`, `gp` or `auto`"),
        );
        return None;
    }
    let history = History::new(setting);
    Some(Box::new(Cmaes {
        design: InitialDesign::new(setting, 6),
        strategy: Strategy::new(&history),
        history,
    }))
}

/// The CMA-ES sampler.
struct Cmaes {
    history: History,
    design: InitialDesign,
    strategy: Strategy,
}

impl Sampler for Cmaes {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.design.observe(&self.history, event);
        if let Event::Created { trial, params, .. } = event {
            self.strategy.created(
                &self.history,
                study.header().seed,
                trial.0,
                params,
                &self.design,
            );
        }
        self.history.observe(study, event);
        self.strategy.learn(&self.history, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.design.suggest(&self.history).or_else(|| {
            let (_, params) = self.strategy.sample(&self.history, ask.seed, ask.trial.0)?;
            Some(params)
        })
    }

    fn restart(&self, _: &Ask<'_>) -> Option<String> {
        let why = "all trials of the last generation were nearly equal";
        self.strategy.has_restarted.then(|| why.to_owned())
    }
}

/// The step size of a new search: a quarter of the cube.
const INITIAL_SIGMA: f64 = 0.25;

/// Deviations from the mean of a cell to its edge at the minimum step size of an integer. About 6 %
/// of the samples then leave the cell.
const CELL_EXIT_QUANTILE: f64 = 1.9;

/// The learning rate of the probabilities of choices.
const CHOICE_RATE: f64 = 0.3;

/// The minimum probability of a choice, times the number of choices, so that none dies out.
const CHOICE_MARGIN: f64 = 0.05;

/// The search distribution and the trials of the generation in progress.
pub(super) struct Strategy {
    /// The axes that are numbers, in ascending order.
    numbers: Vec<usize>,
    /// The distribution over the numbers.
    numeric: Evolution,
    /// The probabilities of the choices of every axis; empty for numbers.
    choices: Vec<Vec<f64>>,
    /// Rows of pending trials with the point drawn for each.
    drawn: Vec<(u32, Vec<f64>)>,
    /// Rows of ended trials of this generation with their points.
    ended: Vec<(u32, Vec<f64>)>,
    /// Whether the distribution was moved to the best trial of the initial design.
    begun: bool,
    /// Number of restarts so far.
    restarts: u32,
    /// Whether no trial has been created since the last restart.
    has_restarted: bool,
}

impl Strategy {
    /// Creates a distribution at the centre of the cube with deviation
    /// [`INITIAL_SIGMA`].
    pub(super) fn new(history: &History) -> Self {
        let numbers: Vec<usize> = history
            .kinds()
            .enumerate()
            .filter(|(_, kind)| !matches!(kind, AxisKind::Choice(_)))
            .map(|(axis, _)| axis)
            .collect();
        let floors = Self::floors(history, &numbers);
        let numeric = Evolution::new(vec![0.5; numbers.len()], INITIAL_SIGMA, floors, None);
        let choices = Self::priors(history);
        Self {
            numbers,
            numeric,
            choices,
            drawn: Vec::new(),
            ended: Vec::new(),
            begun: false,
            restarts: 0,
            has_restarted: false,
        }
    }

    /// Returns the minimum deviation of each number: a fraction of the cell for an integer, so that
    /// samples leave the cell now and then, and 0 for a float.
    fn floors(history: &History, numbers: &[usize]) -> Vec<f64> {
        let kinds: Vec<_> = history.kinds().collect();
        numbers
            .iter()
            .map(|axis| match kinds[*axis] {
                AxisKind::Ordered(n) => 0.5 / (*n).max(1) as f64 / CELL_EXIT_QUANTILE,
                _ => 0.0,
            })
            .collect()
    }

    /// Returns the prior probabilities of the choices of every axis; empty for numbers.
    fn priors(history: &History) -> Vec<Vec<f64>> {
        history
            .kinds()
            .map(|kind| match kind {
                AxisKind::Choice(weights) => weights.clone(),
                _ => Vec::new(),
            })
            .collect()
    }

    /// Returns the point of a trial and its configuration, drawn from the distribution. After 50
    /// refused draws, returns a uniform point: an untried one if 200 draws find one. Otherwise returns
    /// an untried configuration of a finite space, if there is one left, and in an infinite space any
    /// that satisfies the constraints.
    pub(super) fn sample(
        &self,
        history: &History,
        seed: u64,
        trial: u32,
    ) -> Option<(Vec<f64>, Params)> {
        use swath_numerics::stream::{Purpose, stream};
        let mut rng = stream(seed, Purpose::Suggest, u64::from(trial));
        for _ in 0..50 {
            let unit = self.draw(history, &mut rng);
            if let Some(params) = history.untried(&unit) {
                return Some((unit, params));
            }
        }
        for _ in 0..200 {
            let unit = uniform_point(history, &mut rng);
            if let Some(params) = history.untried(&unit) {
                return Some((unit, params));
            }
        }
        let repetition = (0..1000).find_map(|_| {
            let params = history.space.decode(&uniform_point(history, &mut rng));
            history.space.admits(&params).is_ok().then_some(params)
        });
        let params = history.seen.untried_or(repetition)?;
        Some((history.space.encode(&params), params))
    }

    /// Draws a point from the distribution.
    fn draw(&self, history: &History, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let z: Vec<f64> = self
            .numbers
            .iter()
            .map(|_| normal::quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12)))
            .collect();
        let x = self.numeric.at(&z);
        let mut unit = vec![0.5; history.dims()];
        self.numbers
            .iter()
            .zip(x)
            .for_each(|(axis, x)| unit[*axis] = reflect(x));
        for ((slot, shares), kind) in unit.iter_mut().zip(&self.choices).zip(history.kinds()) {
            if let AxisKind::Choice(weights) = kind {
                *slot = centre(category(rng.random(), shares), weights);
            }
        }
        unit
    }

    /// Records the point that a new trial was drawn at. Must be called before `history` observes
    /// the event.
    fn created(
        &mut self,
        history: &History,
        seed: u64,
        trial: u32,
        params: &Params,
        design: &InitialDesign,
    ) {
        if !design.is_complete(history) {
            return;
        }
        // The same draw as in `suggest`, because the state is the same. A trial that the user added
        // differs and does not belong to the generation.
        if let Some((unit, drawn)) = self.sample(history, seed, trial)
            && drawn == *params
        {
            self.has_restarted = false;
            self.drawn.push((trial.saturating_sub(1), unit));
        }
    }

    /// Updates the distribution once a whole population has ended.
    fn learn(&mut self, history: &History, event: &Event) {
        let Event::Ended { trial, .. } = event else {
            return;
        };
        if !self.begun && history.ranked().len() >= 4 {
            self.begin(history);
        }
        let row = trial.0.saturating_sub(1);
        let Some(at) = self.drawn.iter().position(|(drawn, _)| *drawn == row) else {
            return;
        };
        // The trial will run again, or it is paused without a score.
        if history.row(row).outcome == Outcome::Pending {
            return;
        }
        let ended = self.drawn.swap_remove(at);
        if history.row(row).outcome == Outcome::Uninformative {
            return;
        }
        self.ended.push(ended);
        if self.ended.len() >= self.numeric.population() {
            self.generation(history);
        }
    }

    /// Moves the mean to the best trial so far: a warm start after the initial design.
    fn begin(&mut self, history: &History) {
        self.begun = true;
        let Some(best) = history.incumbent() else {
            return;
        };
        let unit = &history.row(best).unit;
        let mean = self.numbers.iter().map(|axis| unit[*axis]).collect();
        self.numeric = Evolution::new(
            mean,
            INITIAL_SIGMA,
            Self::floors(history, &self.numbers),
            None,
        );
    }

    /// Ranks the ended generation and updates the distribution.
    fn generation(&mut self, history: &History) {
        // Scores are read only now: with several seeds they are means, which may have changed since
        // the first seed ended.
        let ended = std::mem::take(&mut self.ended);
        let mut ended: Vec<((f64, f64), Vec<f64>)> = ended
            .into_iter()
            .map(|(row, unit)| (sort_key(history, row), unit))
            .collect();
        ended.sort_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let numbers: Vec<Vec<f64>> = ended
            .iter()
            .map(|(_, unit)| self.numbers.iter().map(|axis| unit[*axis]).collect())
            .collect();
        let (first, last) = (ended[0].0, ended[ended.len() - 1].0);
        let spread = last.1 - first.1;
        // Equal scores throughout the generation carry no information; many such generations in a
        // row end in a restart.
        let flat = first.0 == last.0 && (spread.is_nan() || spread <= 1e-12 * first.1.abs());
        self.numeric.learn(&numbers, flat);
        let better = ended.len() / 2;
        for (axis, kind) in history.kinds().enumerate() {
            let AxisKind::Choice(weights) = kind else {
                continue;
            };
            let shares = &mut self.choices[axis];
            let rate = CHOICE_RATE;
            shares.iter_mut().for_each(|share| *share *= 1.0 - rate);
            for (_, unit) in &ended[..better] {
                shares[category(unit[axis], weights)] += rate / better as f64;
            }
            // No choice dies out, so that each can come back.
            let margin = CHOICE_MARGIN / shares.len() as f64;
            shares
                .iter_mut()
                .for_each(|share| *share = (*share).max(margin));
            let total: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share /= total);
        }
        if self.numeric.converged() {
            self.restart(history);
        }
    }

    /// Returns a pseudo-random number from 0 to 1, a function of the number of restarts and `at`.
    fn restart_variate(&self, at: u64) -> f64 {
        mix(mix(u64::from(self.restarts)) ^ at) as f64 / 2f64.powi(64)
    }

    /// Restarts at a random mean: every odd time with a doubled population, every even time with
    /// the default population and a small step size.
    fn restart(&mut self, history: &History) {
        self.restarts += 1;
        self.has_restarted = true;
        let large = self.restarts % 2 == 1;
        let usual = self.numeric.usual_population();
        let doubled = usual << self.restarts.div_ceil(2).min(6);
        let population = if large { doubled } else { usual };
        // The small step size is log-uniform from about 0.01 to 0.3.
        let sigma = if large {
            0.3
        } else {
            0.3 * libm::pow(10.0, -1.5 * self.restart_variate(999))
        };
        let mean = (0..self.numbers.len())
            .map(|at| 0.1 + 0.8 * self.restart_variate(at as u64))
            .collect();
        self.numeric = Evolution::new(
            mean,
            sigma,
            Self::floors(history, &self.numbers),
            Some(population),
        );
        self.choices = Self::priors(history);
        // Trials of the old distribution say nothing about the new one.
        self.drawn.clear();
    }
}

/// Reflects a coordinate at the ends of the unit interval until it lies inside; 0.5 if it is not
/// finite.
fn reflect(x: f64) -> f64 {
    let folded = x.rem_euclid(2.0);
    let inside = if folded > 1.0 { 2.0 - folded } else { folded };
    if inside.is_finite() {
        inside.clamp(0.0, 1.0)
    } else {
        0.5
    }
}

/// Returns the keys by which ended trials are ranked: violation, then score. Failed trials rank last.
/// Before them come trials that break an outcome constraint, by the size of the violation.
fn sort_key(history: &History, row: u32) -> (f64, f64) {
    match history.scores(row).first() {
        Some(score) if score.is_finite() => (history.row(row).violation, *score),
        Some(score) => (f64::INFINITY, *score),
        None => (f64::INFINITY, f64::INFINITY),
    }
}

/// Returns a uniformly distributed point of the cube.
fn uniform_point(history: &History, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..history.dims()).map(|_| rng.random()).collect()
}
