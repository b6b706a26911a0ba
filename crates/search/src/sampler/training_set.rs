//! The training set of the Gaussian process: trials with their scores, transformed so that good
//! scores are spread out and outliers do no harm.

use super::history::History;
use swath_numerics::{sobol, yeo_johnson};

/// The weight of the sum in the augmented Chebyshev norm: ρ in Knowles, 2006, equation 2.
const AUGMENTATION: f64 = 0.05;

/// The reference point of the hypervolume in each objective, on a scale from the best value (0) to
/// the worst value among the archived rows (1): a tenth beyond the worst, as is usual (Ishibuchi et
/// al., *How to Specify a Reference Point in Hypervolume Calculation*, Evolutionary Computation
/// 26(3), 2018).
const REFERENCE: f64 = 1.1;

/// A transformation of the scores of one objective. The transformation that suits a smooth function
/// over many magnitudes is wrong for a function with noise or many local optima. Which kind a sweep
/// has is unknown beforehand, so both alternate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutcomeTransform {
    /// Transformed by the power of Yeo & Johnson that makes the scores most nearly normal. Spreads
    /// out the good scores.
    Warped,
    /// Unchanged, except that the worst scores are clipped.
    Clipped,
}

/// Rows of the history with the value to fit for each: mean 0, standard deviation 1, smaller is
/// better. All values are 0 if the scores do not differ.
#[derive(Debug, Clone, Default)]
pub(super) struct TrainingSet {
    /// The rows, best first: the lowest value, or those of the front.
    pub(super) rows: Vec<u32>,
    /// The value of each row.
    pub(super) y: Vec<f64>,
}

impl TrainingSet {
    /// Selects at most `limit` rows: the best, the latest and an even sample of the rest. A trial
    /// that was stopped without a score gets the one that 95 % of the trials are better than. Empty
    /// without any scored trial.
    ///
    /// Several objectives are scalarised in a way that depends on `mix`, and are always warped.
    pub(super) fn new(
        history: &History,
        limit: usize,
        transform: OutcomeTransform,
        mix: u64,
    ) -> Self {
        let ranked = history.ranked();
        let Some(failed_score) = score_at_quantile(ranked, 0.95) else {
            return Self::default();
        };
        let mut all: Vec<(u32, f64)> = ranked.iter().map(|(score, row)| (*row, *score)).collect();
        // Those of a class have a border of their own (`failure_models.rs`). A bad score would make
        // a cliff of it, which hides a good region beside it.
        let unclassed = history.failed().iter().filter(|row| {
            let row = history.row(**row);
            row.failure.is_none()
        });
        all.extend(unclassed.map(|row| (*row, failed_score)));
        if all.len() > limit {
            all = subsample(all, limit);
        }
        all.sort_by_key(|(row, _)| *row);
        let (rows, raw): (Vec<u32>, Vec<f64>) = all.into_iter().unzip();
        let several = history.objectives.len() > 1;
        let y = if several {
            scalarise(history, &rows, mix)
        } else {
            transform_scores(&raw, transform, f64::NEG_INFINITY)
        };
        let mut pairs: Vec<(u32, f64)> = rows.into_iter().zip(y).collect();
        pairs.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (rows, y) = pairs.into_iter().unzip();
        Self { rows, y }
    }

    /// Selects at most `limit` rows by all objectives, the archived ones and the latest, with the
    /// values of one objective. A trial that was stopped without a score gets the worst value.
    pub(super) fn of_objective(history: &History, limit: usize, objective: usize) -> Self {
        let mut others: Vec<u32> = history.ranked().iter().map(|(_, row)| *row).collect();
        let unclassed = history.failed().iter().copied();
        others.extend(unclassed.filter(|row| history.row(*row).failure.is_none()));
        others.retain(|row| !history.archive().contains(row));
        others.sort_unstable_by(|a, b| b.cmp(a));
        // The first rows bound the deviation, so those of the front come first.
        let mut rows = history.archive().to_vec();
        rows.extend(others);
        rows.truncate(limit);
        let raw = scores_or_worst(history, &rows, objective);
        let highest = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The ends of the front may be the worst trials in one objective. They are not clipped.
        let front = scores_of(history, &history.front(), objective);
        let kept = front.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let y = match highest.is_finite() {
            true => transform_scores(&raw, OutcomeTransform::Warped, kept),
            false => vec![0.0; rows.len()],
        };
        Self { rows, y }
    }

    /// Returns whether the values differ.
    pub(super) fn is_varied(&self) -> bool {
        self.y.iter().any(|y| *y != 0.0)
    }

    /// Returns the `count` rows of the lowest values, lowest first. Rows that satisfy the outcome
    /// constraints come before all others.
    pub(super) fn lowest_rows(&self, history: &History, count: usize) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|a, b| {
            let (first, second) = (history.row(self.rows[*a]), history.row(self.rows[*b]));
            let by_violation = first.violation.total_cmp(&second.violation);
            by_violation.then(self.y[*a].total_cmp(&self.y[*b]))
        });
        order
            .into_iter()
            .take(count)
            .map(|at| self.rows[at])
            .collect()
    }

    /// Returns the lowest value among the rows that satisfy the outcome constraints, or among all
    /// rows if none does.
    pub(super) fn lowest_value(&self, history: &History) -> f64 {
        let pairs = self.rows.iter().zip(&self.y);
        let feasible = pairs.filter(|(row, _)| history.row(**row).violation == 0.0);
        let lowest = feasible.fold(f64::INFINITY, |lowest, (_, y)| lowest.min(*y));
        if lowest.is_finite() {
            lowest
        } else {
            self.y.iter().copied().fold(f64::INFINITY, f64::min)
        }
    }
}

/// Scalarises several objectives: in every second case by the augmented Chebyshev norm, otherwise
/// by hypervolume.
fn scalarise(history: &History, rows: &[u32], mix: u64) -> Vec<f64> {
    match sobol::mix(mix ^ 7).is_multiple_of(2) {
        true => scalarise_by_hypervolume(history, rows, mix),
        false => scalarise_by_chebyshev(history, rows, mix),
    }
}

/// Returns a pseudo-random number from 0 to 1, a function of `mix` and `at`.
fn uniform(mix: u64, at: usize) -> f64 {
    sobol::mix(sobol::mix(mix) ^ at as u64) as f64 / 2f64.powi(64)
}

/// Scalarises by hypervolume: the distance that a point dominates along a random direction,
/// measured from the reference point beyond the archived rows. Returns minus that distance, warped.
fn scalarise_by_hypervolume(history: &History, rows: &[u32], mix: u64) -> Vec<f64> {
    let direction = direction(history.objectives.len(), mix);
    let mut worst = vec![f64::NEG_INFINITY; rows.len()];
    for (objective, direction) in direction.iter().enumerate() {
        let values = scores_of(history, rows, objective);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let archived = scores_of(history, history.archive(), objective);
        let end = archived.into_iter().fold(f64::NEG_INFINITY, f64::max);
        // Without a spread among the archived rows, the worst of all rows sets the scale.
        let end = if end > lowest { end } else { highest };
        // Halves, since the difference of two finite numbers can be infinite.
        let width = (end / 2.0 - lowest / 2.0).max(f64::MIN_POSITIVE);
        for (worst, row) in worst.iter_mut().zip(rows) {
            let score = history.scores(*row).get(objective).unwrap_or(&highest);
            let part = (score / 2.0 - lowest / 2.0) / width;
            *worst = worst.max(distance_beyond_reference(part, *direction));
        }
    }
    transform_scores(&worst, OutcomeTransform::Warped, f64::NEG_INFINITY)
}

/// Returns the scores of the rows by one objective. Rows without a score are left out.
fn scores_of(history: &History, rows: &[u32], objective: usize) -> Vec<f64> {
    let scores = rows.iter().map(|row| history.scores(*row));
    scores
        .filter_map(|scores| scores.get(objective).copied())
        .collect()
}

/// Returns the scores of the rows by one objective. A failed trial has none and gets the worst one.
fn scores_or_worst(history: &History, rows: &[u32], objective: usize) -> Vec<f64> {
    let highest = scores_of(history, rows, objective)
        .into_iter()
        .fold(f64::NEG_INFINITY, f64::max);
    let scores = rows.iter().map(|row| history.scores(*row));
    scores
        .map(|scores| scores.get(objective).copied().unwrap_or(highest))
        .collect()
}

/// Returns a unit vector with positive components (at least 1e-3), uniformly distributed over
/// directions: the normalised absolute values of normal variates.
fn direction(count: usize, mix: u64) -> Vec<f64> {
    let normals: Vec<f64> = (0..count).map(|at| absolute_normal(mix, at)).collect();
    let length = normals.iter().map(|x| x * x).sum::<f64>().sqrt();
    normals.iter().map(|x| (x / length).max(1e-3)).collect()
}

/// Returns the absolute value of pseudo-random normal variate number `at`: Box & Muller, Annals of
/// Mathematical Statistics 29(2), 1958.
fn absolute_normal(mix: u64, at: usize) -> f64 {
    let radius = (-2.0 * libm::log(uniform(mix, 2 * at).max(1e-300))).sqrt();
    (radius * libm::cos(std::f64::consts::TAU * uniform(mix, 2 * at + 1))).abs()
}

/// Returns the distance of an objective behind the reference, in steps of `direction`. The largest
/// over all objectives is minus the distance that the point dominates in that direction.
///
/// Averaged over all directions, a power of that distance is the dominated volume: Golovin & Zhang,
/// *Random Hypervolume Scalarizations for Provable Multi-Objective Black Box Optimization*, ICML
/// 2020.
fn distance_beyond_reference(part: f64, direction: f64) -> f64 {
    (part - REFERENCE).clamp(-1e300, 1e300) / direction
}

/// Scalarises by the augmented Chebyshev norm with random weights that depend on `mix`: ParEGO
/// (Knowles, IEEE TEC 10(1), 2006).
fn scalarise_by_chebyshev(history: &History, rows: &[u32], mix: u64) -> Vec<f64> {
    let count = history.objectives.len();
    let weights: Vec<f64> = (0..count)
        .map(|at| -libm::log(uniform(mix, at).max(1e-12)))
        .collect();
    let total: f64 = weights.iter().sum();
    let mut worst = vec![0.0_f64; rows.len()];
    let mut sums = vec![0.0; rows.len()];
    for (objective, weight) in weights.iter().enumerate() {
        let all = scores_or_worst(history, rows, objective);
        let transformed = transform_scores(&all, OutcomeTransform::Warped, f64::NEG_INFINITY);
        let lowest = transformed.iter().copied().fold(f64::INFINITY, f64::min);
        for (at, y) in transformed.iter().enumerate() {
            let part = weight / total * (y - lowest);
            worst[at] = worst[at].max(part);
            sums[at] += part;
        }
    }
    let augmented: Vec<f64> = worst
        .iter()
        .zip(sums)
        .map(|(worst, sum)| worst + AUGMENTATION * sum)
        .collect();
    transform_scores(&augmented, OutcomeTransform::Warped, f64::NEG_INFINITY)
}

/// Selects `limit` of the rows, which are best first: the best three eighths, the latest eighth,
/// and an even sample of the others. Requires more rows than `limit`.
fn subsample(mut all: Vec<(u32, f64)>, limit: usize) -> Vec<(u32, f64)> {
    let (best, late) = (limit * 3 / 8, limit / 8);
    let mut rest = all.split_off(best.min(all.len()));
    rest.sort_by_key(|(row, _)| *row);
    let latest = rest.split_off(rest.len() - late.min(rest.len()));
    let sample_size = limit - all.len() - latest.len();
    let stride = rest.len() as f64 / sample_size as f64;
    all.extend((0..sample_size).filter_map(|at| rest.get((at as f64 * stride) as usize).copied()));
    all.extend(latest);
    all
}

/// Returns the score at quantile `q` of the ranked rows; `None` if there are none.
fn score_at_quantile(ranked: &[(f64, u32)], q: f64) -> Option<f64> {
    ranked
        .get(((ranked.len() as f64 - 1.0).max(0.0) * q) as usize)
        .map(|(score, _)| *score)
}

/// Centres at the median, scales by the spread of the better half, clips at the 95 % quantile but
/// not below `kept`, and warps if `transform` asks for it. The result has mean 0 and standard
/// deviation 1, or is all 0 if the values do not differ.
pub(super) fn transform_scores(raw: &[f64], transform: OutcomeTransform, kept: f64) -> Vec<f64> {
    let mut sorted = raw.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (best, middle, worst) = (
        half_quantile(&sorted, 0.0),
        half_quantile(&sorted, 0.5),
        half_quantile(&sorted, 0.95).max(kept / 2.0),
    );
    // Fall back to wider spreads if many of the best values are equal.
    let spread = [
        middle - half_quantile(&sorted, 0.1),
        middle - best,
        worst - middle,
    ]
    .into_iter()
    .find(|spread| *spread > 0.0);
    let Some(spread) = spread else {
        return vec![0.0; raw.len()];
    };
    let scaled: Vec<f64> = raw
        .iter()
        .map(|y| ((y / 2.0).min(worst) - middle) / spread)
        .map(|y| y.clamp(-1e6, 1e6))
        .collect();
    if transform == OutcomeTransform::Clipped {
        return standardise(scaled);
    }
    let lambda = yeo_johnson::likeliest(&scaled);
    standardise(
        scaled
            .iter()
            .map(|y| yeo_johnson::transform(*y, lambda))
            .collect(),
    )
}

/// Returns half of the value at quantile `q`: the difference of two halves is finite.
fn half_quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize] / 2.0
}

/// Shifts and scales to mean 0 and standard deviation 1; all 0 if the values hardly differ.
pub(super) fn standardise(mut y: Vec<f64>) -> Vec<f64> {
    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let deviation = (y.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 1e-12 && deviation.is_finite() {
        1.0 / deviation
    } else {
        0.0
    };
    y.iter_mut().for_each(|y| *y = (*y - mean) * scale);
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_absurd_value_does_not_flatten_the_others() {
        let mut raw: Vec<f64> = (0..30).map(f64::from).collect();
        raw.push(1e300);
        for transform in [OutcomeTransform::Warped, OutcomeTransform::Clipped] {
            let y = transform_scores(&raw, transform, f64::NEG_INFINITY);
            assert!(y.iter().all(|y| y.is_finite()));
            assert!(y[10] - y[0] > 0.5, "{transform:?} {y:?}");
            assert!(y.is_sorted());
        }
    }

    #[test]
    fn the_end_of_a_front_is_not_clipped() {
        let raw: Vec<f64> = (0..60).map(|at| f64::from(at * at)).collect();
        let clipped = transform_scores(&raw, OutcomeTransform::Clipped, f64::NEG_INFINITY);
        let kept = transform_scores(&raw, OutcomeTransform::Clipped, 58.0 * 58.0);
        assert_eq!(clipped[58], clipped[59]);
        assert!(kept[57] < kept[58] && kept[58] == kept[59]);
    }

    #[test]
    fn the_mean_square_of_the_reach_is_the_dominated_area() {
        let mean = (0..20_000).map(|mix| reach(mix).powi(2)).sum::<f64>() / 20_000.0;
        // In polar coordinates: half the integral of the squared reach over a quarter of a turn.
        let area = mean * std::f64::consts::FRAC_PI_4;
        assert!((area - 0.8 * 0.5).abs() < 0.01, "{area}");
    }

    /// Returns the distance from the origin to the border of the box in a random direction.
    fn reach(mix: u64) -> f64 {
        let parts = [0.3, 0.6].into_iter().zip(direction(2, mix));
        parts
            .map(|(part, direction)| -distance_beyond_reference(part, direction))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn only_the_warped_transformation_spreads_out_the_good_end() {
        let raw: Vec<f64> = (0..30).map(|at| libm::exp(f64::from(at) / 4.0)).collect();
        let [warped, clipped] =
            [OutcomeTransform::Warped, OutcomeTransform::Clipped].map(|transform| {
                let y = transform_scores(&raw, transform, f64::NEG_INFINITY);
                (y[10] - y[0]) / (y[29] - y[0])
            });
        assert!(warped > 0.1 && clipped < 0.02, "{warped} {clipped}");
    }

    #[test]
    fn equal_values_are_all_zero() {
        assert_eq!(
            transform_scores(&[3.0; 5], OutcomeTransform::Warped, f64::NEG_INFINITY),
            vec![0.0; 5]
        );
    }
}
