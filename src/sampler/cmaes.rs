//! CMA-ES: a normal distribution that learns the shape of the valley; many cheap trials, numbers
//! above all.
//!
//! N. Hansen, *The CMA Evolution Strategy: A Tutorial*, 2016 (arXiv 1604.00772); by coordinates
//! only from 40 dimensions on (Ros & Hansen, 2008). Integers keep a margin: a deviation that leaves
//! their cell now and then (after Hamano et al., 2022, arXiv 2205.13482). Choices have a
//! distribution of their own, moved towards the better half (after CatCMA, Hamano et al., 2024,
//! arXiv 2405.09962). When it has converged it starts again, with a larger or a smaller population
//! (BIPOP, Hansen, 2009).

use super::evolution::Evolution;
use super::history::{Fate, History, category, centre};
use super::start::Start;
use super::{Ask, Sampler};
use crate::numerics::normal;
use crate::numerics::sobol::mix;
use crate::source::{Diagnostic, Diagnostics, Section};
use crate::space::{AxisKind, Params};
use crate::study::{Event, Kind, Setting, Study};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "cmaes",
    about: "covariance matrix adaptation: many cheap trials over numbers",
    paper: Some("Hansen, The CMA Evolution Strategy: A Tutorial, 2016 (arXiv 1604.00772)"),
    options: &[],
    capabilities: &[],
    build,
};

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
        start: Start::new(setting, 6),
        strategy: Strategy::new(&history),
        history,
    }))
}

struct Cmaes {
    history: History,
    start: Start,
    strategy: Strategy,
}

impl Sampler for Cmaes {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.start.observe(&self.history, event);
        if let Event::Created { trial, params, .. } = event {
            self.strategy.created(
                &self.history,
                study.header().seed,
                trial.0,
                params,
                &self.start,
            );
        }
        self.history.observe(study, event);
        self.strategy.learn(&self.history, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.start.suggest(&self.history).or_else(|| {
            let (_, params) = self.strategy.sample(&self.history, ask.seed, ask.trial.0)?;
            Some(params)
        })
    }
}

/// The distribution, and the trials it will learn from next.
pub(super) struct Strategy {
    /// The axes that are numbers.
    numbers: Vec<usize>,
    numeric: Evolution,
    /// For every axis the probabilities of its choices; empty for numbers.
    choices: Vec<Vec<f64>>,
    /// Trial rows with the point each was drawn at.
    drawn: Vec<(u32, Vec<f64>)>,
    /// Trial rows that have ended, with their points.
    ended: Vec<(u32, Vec<f64>)>,
    begun: bool,
    restarts: u32,
}

impl Strategy {
    pub(super) fn new(history: &History) -> Self {
        let is_number = |kind: &AxisKind| !matches!(kind, AxisKind::Choice(_));
        let numbers: Vec<usize> = history
            .kinds()
            .enumerate()
            .filter(|(_, kind)| is_number(kind))
            .map(|(axis, _)| axis)
            .collect();
        let floors = Self::floors(history, &numbers);
        let numeric = Evolution::new(vec![0.5; numbers.len()], 0.25, floors, None);
        let choices = Self::priors(history);
        Self {
            numbers,
            numeric,
            choices,
            drawn: Vec::new(),
            ended: Vec::new(),
            begun: false,
            restarts: 0,
        }
    }

    /// Returns the least deviation of each number: so that a whole number leaves its cell now and
    /// then.
    fn floors(history: &History, numbers: &[usize]) -> Vec<f64> {
        let kinds: Vec<_> = history.kinds().collect();
        let floor = |axis: &usize| match kinds[*axis] {
            AxisKind::Ordered(n) => 0.5 / (*n).max(1) as f64 / 1.9,
            _ => 0.0,
        };
        numbers.iter().map(floor).collect()
    }

    fn priors(history: &History) -> Vec<Vec<f64>> {
        let prior = |kind: &AxisKind| match kind {
            AxisKind::Choice(weights) => weights.clone(),
            _ => Vec::new(),
        };
        history.kinds().map(prior).collect()
    }

    /// Draws the point of a trial, and the configuration there; a random one if 50 draws are
    /// refused.
    pub(super) fn sample(
        &self,
        history: &History,
        seed: u64,
        trial: u32,
    ) -> Option<(Vec<f64>, Params)> {
        use crate::numerics::stream::{Purpose, stream};
        let mut rng = stream(seed, Purpose::Suggest, u64::from(trial));
        let found = (0..50).find_map(|_| {
            let unit = self.draw(history, &mut rng);
            history.fresh(&unit).map(|params| (unit, params))
        });
        let mut anywhere = || {
            let unit: Vec<f64> = (0..history.dims()).map(|_| rng.random()).collect();
            let params = history.space.decode(&unit);
            (unit, params)
        };
        found
            .or_else(|| {
                (0..200)
                    .map(|_| anywhere())
                    .find(|(unit, _)| history.fresh(unit).is_some())
            })
            .or_else(|| {
                (0..1000)
                    .map(|_| anywhere())
                    .find(|(_, params)| history.space.admits(params).is_ok())
            })
    }

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

    /// Notes where a new trial was drawn, before `history` knows of it.
    fn created(
        &mut self,
        history: &History,
        seed: u64,
        trial: u32,
        params: &Params,
        start: &Start,
    ) {
        if !start.is_over(history) {
            return;
        }
        if let Some((unit, drawn)) = self.sample(history, seed, trial)
            && drawn == *params
        {
            self.drawn.push((trial.saturating_sub(1), unit));
        }
    }

    /// Learns once a whole population has ended.
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
        if history.row(row).fate == Fate::Pending {
            return;
        }
        self.ended.push(self.drawn.swap_remove(at));
        if self.ended.len() >= self.numeric.population() {
            self.generation(history);
        }
    }

    /// Starts at the middle of the best trials so far: a warm start.
    fn begin(&mut self, history: &History) {
        self.begun = true;
        let Some(best) = history.best() else { return };
        let unit = &history.row(best).unit;
        let mean = self.numbers.iter().map(|axis| unit[*axis]).collect();
        self.numeric = Evolution::new(mean, 0.25, Self::floors(history, &self.numbers), None);
    }

    fn generation(&mut self, history: &History) {
        // Only now the scores: of several seeds they are means that may have changed since the
        // first ended. Failed ones are worst, those that break a limit before them, by how much.
        let worth = |row: u32| {
            let score = history
                .scores(row)
                .first()
                .copied()
                .unwrap_or(f64::INFINITY);
            let violation = if score.is_finite() {
                history.row(row).violation
            } else {
                f64::INFINITY
            };
            (violation, score)
        };
        let ended = std::mem::take(&mut self.ended);
        let mut ended: Vec<((f64, f64), Vec<f64>)> = ended
            .into_iter()
            .map(|(row, unit)| (worth(row), unit))
            .collect();
        ended.sort_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let numbers: Vec<Vec<f64>> = ended
            .iter()
            .map(|(_, unit)| self.numbers.iter().map(|axis| unit[*axis]).collect())
            .collect();
        let (first, last) = (ended[0].0, ended[ended.len() - 1].0);
        let spread = last.1 - first.1;
        let flat = first.0 == last.0 && (spread.is_nan() || spread <= 1e-12 * first.1.abs());
        self.numeric.learn(&numbers, flat);
        let better = ended.len() / 2;
        for (axis, kind) in history.kinds().enumerate() {
            let AxisKind::Choice(weights) = kind else {
                continue;
            };
            let shares = &mut self.choices[axis];
            let rate = 0.3;
            shares.iter_mut().for_each(|share| *share *= 1.0 - rate);
            for (_, unit) in &ended[..better] {
                shares[category(unit[axis], weights)] += rate / better as f64;
            }
            let margin = 0.05 / shares.len() as f64;
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

    /// Begins anew: twice as many at a time, or, every other time, a small and narrow population
    /// somewhere else.
    fn restart(&mut self, history: &History) {
        self.restarts += 1;
        let word = |at: u64| mix(mix(u64::from(self.restarts)) ^ at) as f64 / 2f64.powi(64);
        let large = self.restarts % 2 == 1;
        let usual = self.numeric.usual_population();
        let doubled = usual << self.restarts.div_ceil(2).min(6);
        let population = if large { doubled } else { usual };
        let sigma = if large {
            0.3
        } else {
            0.3 * libm::pow(10.0, -1.5 * word(999))
        };
        let mean = (0..self.numbers.len())
            .map(|at| 0.1 + 0.8 * word(at as u64))
            .collect();
        self.numeric = Evolution::new(
            mean,
            sigma,
            Self::floors(history, &self.numbers),
            Some(population),
        );
        self.choices = Self::priors(history);
        self.drawn.clear();
    }
}

/// Mirrors a coordinate at the ends of the unit interval.
fn reflect(x: f64) -> f64 {
    let folded = x.rem_euclid(2.0);
    let inside = if folded > 1.0 { 2.0 - folded } else { folded };
    if inside.is_finite() {
        inside.clamp(0.0, 1.0)
    } else {
        0.5
    }
}
