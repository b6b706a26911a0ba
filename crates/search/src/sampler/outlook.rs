//! The outlook of a search: the gain that further trials can be expected to bring, by a Gaussian
//! process over the complete trials.
//!
//! The process is sampled jointly at the incumbent, at configurations that a random search would
//! try, at those of the largest expected improvement, and at those that may be best of all. The
//! last part is the expected minimum simple regret, whose change Ishibashi et al., *A stopping
//! criterion for Bayesian optimization by the gap of expected minimum simple regrets* (AISTATS
//! 2023), watch. The bound is that of Makarova et al., *Automatic Termination for Hyperparameter
//! Optimization* (AutoML 2022): the lowest upper confidence bound among the tried configurations
//! minus the lowest lower one in the space. They end a search when it falls below the error of one
//! result.

use super::history::History;
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, Scratch, fit};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::space::Space;
use swath_model::study::{Setting, Study};
use swath_numerics::cholesky::Cholesky;
use swath_numerics::normal;
use swath_numerics::stream::{Purpose, stream};

/// Minimum number of complete configurations.
const FEW: usize = 20;
/// Maximum number of configurations of the model: the best, and an even choice of the others.
const MOST: usize = 120;
/// Evaluations of the evidence in the fit.
const EVALUATIONS: usize = 25;
/// Number of parts of which each is predicted from the others.
const FOLDS: usize = 5;
/// Number of random configurations among which the best are searched.
const POOL: usize = 400;
/// Number of configurations near each of the best three.
const NEAR: usize = 40;
/// Maximum number of further trials that are simulated one by one.
const MOST_FURTHER: usize = 200;
/// Number of configurations that may be best of all.
const PROMISING: usize = 80;
/// Number of joint samples of the process.
const SAMPLES: usize = 1000;
/// Share of the variance that the model must explain in configurations that are left out.
pub(super) const EXPLAINED: f64 = 0.3;
/// Deviations of the confidence bounds.
const DEVIATIONS: f64 = 1.96;

/// The expected gain of some trials over the incumbent, in the units of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// The mean.
    pub mean: f64,
    /// The 5 % quantile.
    pub low: f64,
    /// The 95 % quantile.
    pub high: f64,
}

impl Gain {
    /// Returns the gain with each number limited to `most`.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        Self {
            mean: self.mean.min(most),
            low: self.low.min(most),
            high: self.high.min(most),
        }
    }
}

/// The outlook of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Number of further trials, at most 200.
    pub further: usize,
    /// The gain if the further trials are drawn at random.
    pub drawn: Gain,
    /// The gain of the further trials of the largest expected improvement.
    pub chosen: Gain,
    /// The gain of all trials that are still possible: the expected minimum simple regret.
    pub left: Gain,
    /// An upper bound of what is left.
    pub bound: f64,
    /// The standard deviation of one result about the model.
    pub noise: f64,
    /// The root mean square error of predictions of results that are left out, at least the noise.
    pub error: f64,
    /// Share of the variance that the model explains in configurations that are left out.
    pub explained: f64,
    /// Number of configurations in the model.
    pub trials: usize,
}

impl Outlook {
    /// Estimates the gain of `further` trials in the first objective. `None` with several objectives
    /// or outcome constraints, with fewer than 20 complete configurations, or if the model does not
    /// predict results that are left out.
    #[must_use]
    pub fn of(setting: &Setting, study: &Study, further: usize) -> Option<Self> {
        let history = History::of(setting, study);
        let further = further.clamp(1, MOST_FURTHER);
        let model = Model::fitted(&history, study)?;
        let explained = model.explained()?;
        if explained < EXPLAINED {
            return None;
        }
        let mut rng = stream(setting.seed, Purpose::Measure, u64::from(u32::MAX));
        let pool = model.pool(&history, &mut rng);
        let drawn: Vec<Vec<f64>> = (0..further)
            .filter_map(|_| random_row(&history, &model.columns, &mut rng))
            .collect();
        let mut scratch = Scratch::default();
        let incumbent = model.incumbent(&mut scratch);
        let threshold = incumbent.mean;
        let scored: Vec<(f64, f64, &Vec<f64>)> = pool
            .iter()
            .map(|row| {
                let (mean, deviation) = model.posterior.at(row, &mut scratch);
                let z = (threshold - mean) / deviation;
                let improvement = deviation * (z * normal::cdf(z) + normal::pdf(z));
                (improvement, mean - DEVIATIONS * deviation, row)
            })
            .collect();
        let chosen = first_by(&scored, further, |(improvement, ..)| -improvement);
        let promising = first_by(&scored, PROMISING, |(_, lower, _)| *lower);
        let lowest = scored.iter().map(|(_, lower, _)| *lower);
        let lowest = lowest.fold(f64::INFINITY, f64::min);

        let parts = [drawn.len(), chosen.len(), promising.len()];
        let rows: Vec<Vec<f64>> = std::iter::once(incumbent.row)
            .chain(drawn)
            .chain(chosen)
            .chain(promising)
            .collect();
        let [drawn, chosen, left] = model.gains(&rows, parts, &mut rng)?;
        Some(Self {
            further,
            drawn,
            chosen,
            left,
            bound: (incumbent.upper - lowest).max(0.0) * model.scale,
            noise: model.noise * model.scale,
            error: (1.0 - explained).max(0.0).sqrt().max(model.noise) * model.scale,
            explained,
            trials: model.rows.len(),
        })
    }
}

/// Returns the rows of the `count` items with the smallest keys.
fn first_by(
    scored: &[(f64, f64, &Vec<f64>)],
    count: usize,
    key: impl Fn(&(f64, f64, &Vec<f64>)) -> f64,
) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..scored.len()).collect();
    order.sort_by(|a, b| key(&scored[*a]).total_cmp(&key(&scored[*b])));
    let first = order.into_iter().take(count);
    first.map(|index| scored[index].2.clone()).collect()
}

/// Returns the row of a random configuration, unless the constraints of the space refuse too many.
fn random_row(history: &History, columns: &Columns, rng: &mut ChaCha8Rng) -> Option<Vec<f64>> {
    (0..100).find_map(|_| {
        let unit: Vec<f64> = (0..history.dims()).map(|_| rng.random()).collect();
        settled_row(history, columns, &history.space, unit)
    })
}

/// Returns the row of the configuration at a point; `None` if a constraint refuses it.
fn settled_row(
    history: &History,
    columns: &Columns,
    space: &Space,
    mut unit: Vec<f64>,
) -> Option<Vec<f64>> {
    space.admits(&space.decode(&unit)).ok()?;
    let active = history.snap(&mut unit);
    Some(columns.row(&unit, &active))
}

/// Returns the process with fitted hyperparameters, given rows, each a mean over some seeds, and
/// their values.
fn conditioned<'r>(
    columns: &Columns,
    encoded: impl Iterator<Item = &'r (Vec<f64>, usize)>,
    y: &[f64],
) -> Option<Posterior> {
    let mut rows = Rows::new(&columns.list);
    encoded.for_each(|(row, seeds)| rows.push_mean(row, *seeds));
    let dims = columns.list.iter().map(|column| column.axis + 1).max()?;
    let (loss, hyper) = fit(&rows, y, Hyper::prior(dims), EVALUATIONS);
    Posterior::new(rows, y, &hyper).filter(|_| loss.is_finite())
}

/// Returns the share of the variance that is explained in each fifth of the rows by a process that
/// was fitted to the others. A share in the rows of the fit itself, even with each row left out of
/// the posterior, would let the hyperparameters follow noise.
fn cross_validated(columns: &Columns, encoded: &[(Vec<f64>, usize)], y: &[f64]) -> Option<f64> {
    let mut scratch = Scratch::default();
    let mut errors = 0.0;
    for fold in 0..FOLDS {
        let is_kept = |at: &usize| at % FOLDS != fold;
        let kept: Vec<usize> = (0..y.len()).filter(is_kept).collect();
        let values: Vec<f64> = kept.iter().map(|at| y[*at]).collect();
        let rows = kept.iter().map(|at| &encoded[*at]);
        let posterior = conditioned(columns, rows, &values)?;
        for at in (0..y.len()).filter(|at| !is_kept(at)) {
            let (mean, _) = posterior.at(&encoded[at].0, &mut scratch);
            errors += (y[at] - mean).powi(2);
        }
    }
    let squares: f64 = y.iter().map(|value| value * value).sum();
    Some(1.0 - errors / squares)
}

/// The Gaussian process over the complete configurations.
pub(super) struct Model {
    columns: Columns,
    /// The rows of the history, the best first, and their encoding with the number of their seeds.
    pub(super) members: Vec<u32>,
    pub(super) rows: Vec<(Vec<f64>, usize)>,
    /// Their values: mean 0 and standard deviation 1.
    y: Vec<f64>,
    pub(super) posterior: Posterior,
    /// The mean of the results.
    pub(super) mean: f64,
    /// The standard deviation of the results.
    pub(super) scale: f64,
    /// The standard deviation of the noise of one result, in units of `scale`.
    pub(super) noise: f64,
}

/// The tried configuration with the lowest mean.
struct Incumbent {
    row: Vec<f64>,
    mean: f64,
    /// The lowest upper confidence bound among all tried configurations.
    upper: f64,
}

impl Model {
    /// Fits the process. Bad results beyond the usual whisker of a box plot are clipped, since only
    /// the good part of the space matters. `None` with several objectives or outcome constraints,
    /// or with fewer than 20 complete configurations.
    pub(super) fn fitted(history: &History, study: &Study) -> Option<Self> {
        if history.objectives.len() != 1 || history.constraint_count() > 0 || history.dims() == 0 {
            return None;
        }
        let complete: Vec<(f64, u32)> = history
            .ranked()
            .iter()
            .copied()
            .filter(|(_, row)| study.trials()[*row as usize].ranks())
            .collect();
        if complete.len() < FEW {
            return None;
        }
        let quartile = |share: usize| complete[(complete.len() - 1) * share / 4].0;
        let whisker = quartile(3) + 1.5 * (quartile(3) - quartile(1));
        let mut chosen: Vec<(f64, u32)> = complete.clone();
        if chosen.len() > MOST {
            let rest = chosen.split_off(MOST / 2);
            let kept = (0..MOST / 2).map(|at| rest[at * (rest.len() - 1) / (MOST / 2 - 1)]);
            chosen.extend(kept);
        }
        let values: Vec<f64> = chosen.iter().map(|(score, _)| score.min(whisker)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let scale = (squares / count).sqrt();
        if scale.is_nan() || scale <= 0.0 || !scale.is_finite() {
            return None;
        }
        let y: Vec<f64> = values.iter().map(|value| (value - mean) / scale).collect();
        let columns = Columns::new(history);
        let members: Vec<u32> = chosen.iter().map(|(_, row)| *row).collect();
        let encoded: Vec<(Vec<f64>, usize)> = members
            .iter()
            .map(|row| {
                let row = history.row(*row);
                (columns.row(&row.unit, &row.active), row.seeds)
            })
            .collect();
        let posterior = conditioned(&columns, encoded.iter(), &y)?;
        Some(Self {
            members,
            rows: encoded,
            y,
            noise: posterior.noise_deviation(),
            posterior,
            columns,
            mean,
            scale,
        })
    }

    /// Returns the share of the variance that such a model explains in configurations that are left
    /// out.
    pub(super) fn explained(&self) -> Option<f64> {
        cross_validated(&self.columns, &self.rows, &self.y)
    }

    /// Returns the tried configuration with the lowest mean.
    fn incumbent(&self, scratch: &mut Scratch) -> Incumbent {
        let mut best = Incumbent {
            row: Vec::new(),
            mean: f64::INFINITY,
            upper: f64::INFINITY,
        };
        for (row, _) in &self.rows {
            let (mean, deviation) = self.posterior.at(row, scratch);
            best.upper = best.upper.min(mean + DEVIATIONS * deviation);
            if mean < best.mean {
                (best.row, best.mean) = (row.clone(), mean);
            }
        }
        best
    }

    /// Returns random configurations, and some near the best.
    fn pool(&self, history: &History, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
        let mut pool: Vec<Vec<f64>> = (0..POOL)
            .filter_map(|_| random_row(history, &self.columns, rng))
            .collect();
        for row in self.members.iter().take(3) {
            let centre = &history.row(*row).unit;
            for _ in 0..NEAR {
                let near = centre.iter().map(|x| {
                    let step = normal::quantile(rng.random_range(0.001..0.999)) * 0.05;
                    (x + step).clamp(0.0, 0.999_999)
                });
                let unit = near.collect();
                pool.extend(settled_row(history, &self.columns, &history.space, unit));
            }
        }
        pool
    }

    /// Samples the process at `rows`, of which the first is the incumbent, and returns the gain of
    /// each of the parts that follow. `None` if the rows cannot be sampled.
    fn gains(
        &self,
        rows: &[Vec<f64>],
        parts: [usize; 3],
        rng: &mut ChaCha8Rng,
    ) -> Option<[Gain; 3]> {
        let (means, factor) = self.posterior.joint(rows)?;
        let mut gains: [Vec<f64>; 3] = Default::default();
        for _ in 0..SAMPLES {
            let z: Vec<f64> = (0..rows.len())
                .map(|_| normal::quantile(rng.random_range(1e-12..1.0)))
                .collect();
            let values: Vec<f64> = means
                .iter()
                .enumerate()
                .map(|(at, mean)| {
                    let weights = factor.row(at).iter().zip(&z);
                    mean + weights.map(|(weight, z)| weight * z).sum::<f64>()
                })
                .collect();
            let mut from = 1;
            for (part, gains) in parts.iter().zip(&mut gains) {
                let part = &values[from..from + part];
                let lowest = part.iter().copied().fold(f64::INFINITY, f64::min);
                gains.push((values[0] - lowest).max(0.0) * self.scale);
                from += part.len();
            }
        }
        Some(gains.map(|mut gains| {
            gains.sort_by(f64::total_cmp);
            Gain {
                mean: gains.iter().sum::<f64>() / gains.len() as f64,
                low: gains[gains.len() / 20],
                high: gains[gains.len() - 1 - gains.len() / 20],
            }
        }))
    }
}

impl Posterior {
    /// Returns the means and the factor of the covariance at some rows, without noise. `None` if the
    /// covariance stays indefinite.
    pub(super) fn joint(&self, rows: &[Vec<f64>]) -> Option<(Vec<f64>, Cholesky)> {
        let mut scratch = Scratch::default();
        let mut table = Rows::new(self.columns());
        let mut means = Vec::new();
        let mut solved = Vec::new();
        for row in rows {
            table.push(row);
            let (mean, solution) = self.solve(row, &mut scratch);
            means.push(mean);
            solved.push(solution);
        }
        let mut jitter = 1e-8;
        while jitter < 1e-2 {
            if let Ok(factor) = self.covariance(&table, &solved, jitter) {
                return Some((means, factor));
            }
            jitter *= 10.0;
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Outlook;
    use rand::RngExt;
    use std::sync::Arc;
    use swath_model::demo::Demo;
    use swath_model::space::{Space, Value};
    use swath_model::study::Setting;
    use swath_numerics::stream::{Purpose, stream};

    pub(in crate::sampler) fn setting(demo: &Demo, space: &Arc<Space>) -> Setting {
        let header = demo.study.header();
        Setting {
            space: space.clone(),
            objectives: header.objectives.clone(),
            seed: 1,
            trials: None,
            slots: 1,
            resource: None,
            checkpoint: false,
            dir: None,
        }
    }

    pub(in crate::sampler) fn square() -> Arc<Space> {
        let text = "x = { min = 0.0, max = 1.0 }\ny = { min = 0.0, max = 1.0 }\n";
        let mut diagnostics = swath_model::source::Diagnostics::default();
        let table = swath_model::source::Table::parse(text, &mut diagnostics);
        let section = swath_model::source::Section::new("space", 0..0, table);
        Arc::new(Space::parse(section, None, &mut diagnostics).unwrap())
    }

    /// A study of random trials whose loss is a bowl with noise.
    pub(in crate::sampler) fn bowl(
        trials: usize,
        noise: f64,
        slope: f64,
        seed: u64,
    ) -> (Demo, f64) {
        let mut demo = Demo::new(&["x", "y"]);
        let mut rng = stream(seed, Purpose::Simulate, 0);
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..trials {
            let (x, y): (f64, f64) = (rng.random(), rng.random());
            let value = slope * loss(x, y);
            let error = swath_numerics::normal::quantile(rng.random_range(1e-9..1.0)) * noise;
            demo.complete(
                &[("x", Value::Float(x)), ("y", Value::Float(y))],
                &[("val_loss", value + error)],
            );
            if value + error < best.0 {
                best = (value + error, value);
            }
        }
        (demo, best.1)
    }

    fn loss(x: f64, y: f64) -> f64 {
        (x - 0.3).powi(2) + 0.5 * (y - 0.6).powi(2) + 0.1 * (6.0 * x).sin()
    }

    #[test]
    fn the_expected_gain_is_that_of_further_random_trials() {
        let space = square();
        let (mut expected, mut actual, mut inside, mut studies) = (0.0, 0.0, 0, 0);
        for seed in 0..24 {
            let (demo, best) = bowl(30, 0.005, 1.0, seed);
            let Some(outlook) = Outlook::of(&setting(&demo, &space), &demo.study, 50) else {
                continue;
            };
            let mut rng = stream(seed, Purpose::Simulate, 1);
            let lowest = (0..50)
                .map(|_| loss(rng.random(), rng.random()))
                .fold(f64::INFINITY, f64::min);
            let gain = (best - lowest).max(0.0);
            studies += 1;
            expected += outlook.drawn.mean;
            actual += gain;
            let fits = outlook.drawn.low - 0.005 <= gain && gain <= outlook.drawn.high + 0.005;
            inside += usize::from(fits);
            assert!(outlook.left.mean >= 0.9 * outlook.drawn.mean, "{outlook:?}");
            assert!(outlook.bound >= outlook.left.mean, "{outlook:?}");
        }
        assert!(studies >= 20, "{studies}");
        let ratio = expected / actual;
        assert!((0.5..2.0).contains(&ratio), "{expected} {actual}");
        assert!(inside * 10 >= studies * 8, "{inside} of {studies}");
    }

    #[test]
    fn noise_alone_has_no_outlook() {
        let space = square();
        let silent = (0..40).filter(|seed| {
            let (demo, _) = bowl(25, 1.0, 0.0, *seed);
            Outlook::of(&setting(&demo, &space), &demo.study, 50).is_none()
        });
        assert_eq!(silent.count(), 40);
    }

    #[test]
    fn a_finished_search_has_nothing_left() {
        let space = square();
        let (demo, _) = bowl(150, 1e-5, 1.0, 3);
        let outlook = Outlook::of(&setting(&demo, &space), &demo.study, 50).unwrap();
        assert!(outlook.left.mean < 0.003, "{outlook:?}");
        let (demo, _) = bowl(20, 1e-5, 1.0, 3);
        let early = Outlook::of(&setting(&demo, &space), &demo.study, 50).unwrap();
        assert!(early.left.mean > outlook.left.mean, "{early:?}");
    }
}
