//! Parzen estimators over the unit cube: a mixture of the uniform prior and one product kernel per
//! point.
//!
//! Numbers have normal kernels truncated to [0, 1]. Choices have the kernel of Aitchison & Aitken
//! (Biometrika 63, 1976) around the prior. A point in which a coordinate is inactive carries no
//! information about that coordinate, so its kernel is the prior there. Densities are relative to
//! the prior.

use super::history::{category, centre};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::LazyLock;
use swath_model::space::AxisKind;
use swath_numerics::exp::{exp, ln_sum_exp};
use swath_numerics::normal;

/// The centre of a kernel: a point and its active coordinates.
pub(super) struct Centre<'a> {
    /// The point of the unit cube, of shape (d).
    pub(super) unit: &'a [f64],
    /// Of shape (d): whether each coordinate is active.
    pub(super) active: &'a [bool],
    /// The weight of the kernel, at least 0, on the same scale as `prior_weight`.
    pub(super) weight: f64,
}

/// The kernels of all n points along one axis.
enum Line {
    /// A number. Per point: the centre `x`, one over the width (`narrow`, 0 where the coordinate is
    /// inactive), and the logarithm of the norm.
    Number {
        x: Vec<f64>,
        narrow: Vec<f64>,
        norm: Vec<f64>,
        width: f64,
    },
    /// A choice. `own` is the choice of each point, `None` where inactive; `stray` is the
    /// probability of a draw from the prior instead; `at_own` is the log density at each choice for
    /// kernels of that choice.
    Choice {
        own: Vec<Option<usize>>,
        stray: f64,
        at_own: Vec<f64>,
        weights: Vec<f64>,
    },
}

/// A mixture of product kernels and the prior.
pub(super) struct Parzen {
    /// The kernels along each axis; d items.
    lines: Vec<Line>,
    /// The log weight of each kernel; n items.
    ln_weights: Vec<f64>,
    /// The log weight of the prior. All weights sum to 1.
    ln_prior: f64,
    /// The cumulative weights of the kernels, used to draw one. The prior has the rest.
    cumulative: Vec<f64>,
}

/// The width of the kernels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    /// The width of a single point in zero dimensions, before Scott's rule shrinks it.
    pub(super) scale: f64,
    /// The minimum width.
    pub(super) floor: f64,
}

impl Parzen {
    /// Creates the mixture for points over axes of the given kinds. The width follows Scott's rule,
    /// n^(−1/(d+4)).
    pub(super) fn new<'a>(
        kinds: impl ExactSizeIterator<Item = &'a AxisKind>,
        centres: &[Centre<'_>],
        prior_weight: f64,
        width: Width,
    ) -> Self {
        let d = kinds.len() as f64;
        let n = centres.len().max(1) as f64;
        let scott = width.scale * libm::pow(n, -1.0 / (d + 4.0));
        let lines = kinds
            .enumerate()
            .map(|(dim, kind)| Line::new(dim, kind, centres, scott, width.floor))
            .collect();
        let total = centres.iter().map(|centre| centre.weight).sum::<f64>() + prior_weight;
        let ln_weights = centres
            .iter()
            .map(|centre| libm::log(centre.weight / total))
            .collect();
        let mut sum = 0.0;
        let cumulative = centres
            .iter()
            .map(|centre| {
                sum += centre.weight / total;
                sum
            })
            .collect();
        Self {
            lines,
            ln_weights,
            ln_prior: libm::log(prior_weight / total),
            cumulative,
        }
    }

    /// Returns the log weight of the prior: the least log density anywhere.
    pub(super) fn ln_prior(&self) -> f64 {
        self.ln_prior
    }

    /// Returns the log density at a point relative to the prior. `scratch` is a buffer.
    pub(super) fn ln_density(&self, unit: &[f64], active: &[bool], scratch: &mut Vec<f64>) -> f64 {
        scratch.clear();
        scratch.extend_from_slice(&self.ln_weights);
        for (line, (x, _)) in self
            .lines
            .iter()
            .zip(unit.iter().zip(active))
            .filter(|(_, (_, active))| **active)
        {
            line.add(*x, scratch);
        }
        scratch.push(self.ln_prior);
        ln_sum_exp(scratch)
    }

    /// Draws a point from the mixture, of shape (d).
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let u: f64 = rng.random();
        let kernel = self.cumulative.partition_point(|sum| *sum <= u);
        self.lines
            .iter()
            .map(|line| line.draw(kernel, rng))
            .collect()
    }
}

impl Line {
    /// Creates the kernels along axis `dim`. A kernel over ordered values is at least 0.35 cells
    /// wide.
    fn new(dim: usize, kind: &AxisKind, centres: &[Centre<'_>], scott: f64, floor: f64) -> Self {
        if let AxisKind::Choice(weights) = kind {
            let own = centres
                .iter()
                .map(|c| c.active[dim].then(|| category(c.unit[dim], weights)))
                .collect();
            let choices = weights.len() as f64;
            let stray = choices / (centres.len() as f64 + choices);
            let at_own = weights
                .iter()
                .map(|p| libm::log((1.0 - stray) / p.max(1e-12) + stray))
                .collect();
            return Self::Choice {
                own,
                stray,
                at_own,
                weights: weights.clone(),
            };
        }
        let cell = if let AxisKind::Ordered(n) = kind {
            1.0 / (*n).max(1) as f64
        } else {
            0.0
        };
        let width = scott.max(floor).max(0.35 * cell).min(1.0);
        let x: Vec<f64> = centres.iter().map(|centre| centre.unit[dim]).collect();
        let narrow = centres
            .iter()
            .map(|c| if c.active[dim] { 1.0 / width } else { 0.0 })
            .collect();
        let ln_scale = libm::log(width) + normal::LN_SQRT_2PI;
        let norm = centres.iter().map(|c| {
            if c.active[dim] {
                -ln_norm(c.unit[dim], width, ln_scale, kind)
            } else {
                0.0
            }
        });
        Self::Number {
            norm: norm.collect(),
            x,
            narrow,
            width,
        }
    }

    /// Adds the log density of each kernel at `u` to `sums`. Inactive kernels add 0, the log
    /// density of the prior relative to itself.
    fn add(&self, u: f64, sums: &mut [f64]) {
        match self {
            Self::Number {
                x, narrow, norm, ..
            } => {
                for (((sum, x), narrow), norm) in sums.iter_mut().zip(x).zip(narrow).zip(norm) {
                    let z = (u - x) * narrow;
                    *sum += norm - 0.5 * z * z;
                }
            }
            Self::Choice {
                own,
                stray,
                at_own,
                weights,
            } => {
                let here = category(u, weights);
                let (hit, miss) = (at_own[here], libm::log(*stray));
                for (sum, own) in sums.iter_mut().zip(own) {
                    if let Some(own) = own {
                        *sum += if *own == here { hit } else { miss };
                    }
                }
            }
        }
    }

    /// Draws a coordinate from kernel number `kernel`. Draws from the prior if there is no such
    /// kernel or the coordinate is inactive in it.
    fn draw(&self, kernel: usize, rng: &mut ChaCha8Rng) -> f64 {
        let u: f64 = rng.random();
        match self {
            Self::Number {
                x, narrow, width, ..
            } => {
                if kernel >= x.len() || narrow[kernel] == 0.0 {
                    return u;
                }
                // Inversion within the truncated range, so that no draw has to be rejected.
                let (low, high) = (
                    1.0 - mass_below(x[kernel] / width),
                    mass_below((1.0 - x[kernel]) / width),
                );
                (x[kernel] + width * normal::quantile(low + u * (high - low))).clamp(0.0, 1.0)
            }
            Self::Choice {
                own,
                stray,
                weights,
                ..
            } => match own.get(kernel) {
                Some(Some(own)) if u >= *stray => centre(*own, weights),
                _ => rng.random(),
            },
        }
    }
}

/// Returns the log mass of a kernel on its axis, which normalises it. On axes of up to 32 ordered
/// values the mass is summed over the cells, elsewhere it is integrated. `ln_scale` is the
/// logarithm of the mass without truncation.
fn ln_norm(x: f64, width: f64, ln_scale: f64, kind: &AxisKind) -> f64 {
    match kind {
        AxisKind::Ordered(n) if *n <= 32 => {
            let cells = (*n).max(1);
            let sum: f64 = (0..cells)
                .map(|cell| ((cell as f64 + 0.5) / cells as f64 - x) / width)
                .map(|distance| exp(-0.5 * distance * distance))
                .sum();
            libm::log(sum / cells as f64)
        }
        // Only the nearer end truncates a narrow kernel.
        _ if x.max(1.0 - x) > FAR * width => ln_scale + ln_mass_below(x.min(1.0 - x) / width),
        _ => ln_scale + libm::log(normal::mass(-x / width, (1.0 - x) / width)),
    }
}

/// The number of widths from which on an end does not truncate a kernel: only 1e-9 of the mass is
/// beyond.
const FAR: f64 = 6.0;

/// Returns the mass of a kernel below an end of the axis that is `widths` away, at least 0.
fn mass_below(widths: f64) -> f64 {
    if widths > FAR {
        1.0
    } else {
        normal::cdf(widths)
    }
}

/// Returns the logarithm of [`mass_below`] with an error below 1e-8, by cubic interpolation: a
/// mixture over many axes needs thousands of them.
fn ln_mass_below(widths: f64) -> f64 {
    if widths > FAR {
        return 0.0;
    }
    let place = widths * KNOTS_PER_WIDTH;
    let (from, to) = (LN_MASS[place as usize], LN_MASS[place as usize + 1]);
    let t = place - place.floor();
    let (rise, s) = (to.0 - from.0, 1.0 - t);
    t * to.0 + s * from.0 + t * s * (s * (from.1 - rise) + t * (rise - to.1))
}

/// Number of knots of the interpolation in each width.
const KNOTS_PER_WIDTH: f64 = 16.0;

/// The logarithm of the mass at each knot, and its slope from one knot to the next.
static LN_MASS: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
    (0..=(FAR * KNOTS_PER_WIDTH) as usize + 1)
        .map(|knot| knot as f64 / KNOTS_PER_WIDTH)
        .map(|z| {
            let hazard = normal::pdf(z) / normal::cdf(z);
            (normal::ln_cdf(z), hazard / KNOTS_PER_WIDTH)
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use swath_numerics::stream::{Purpose, stream};

    const WIDTH: Width = Width {
        scale: 0.2,
        floor: 0.03,
    };

    fn mixture(kinds: &[AxisKind]) -> Parzen {
        let points = [[0.1, 0.3], [0.9, 0.7], [0.5, 0.2]];
        let active = [[true, true], [true, false], [true, true]];
        let centres: Vec<_> = points
            .iter()
            .zip(&active)
            .map(|(unit, active)| Centre {
                unit,
                active,
                weight: 1.0,
            })
            .collect();
        Parzen::new(kinds.iter(), &centres, 1.0, WIDTH)
    }

    #[test]
    fn every_density_integrates_to_one() {
        for kinds in [
            [AxisKind::Real, AxisKind::Real],
            [
                AxisKind::Ordered(10),
                AxisKind::Choice(vec![0.25, 0.25, 0.5]),
            ],
        ] {
            let mixture = mixture(&kinds);
            let side = 100;
            let mut sum = 0.0;
            for i in 0..side {
                for j in 0..side {
                    let mut unit = [i, j].map(|k| (f64::from(k) + 0.5) / f64::from(side));
                    if let AxisKind::Ordered(_) = kinds[0] {
                        unit[0] = ((unit[0] * 10.0).floor() + 0.5) / 10.0;
                    }
                    sum += exp(mixture.ln_density(&unit, &[true, true], &mut Vec::new()));
                }
            }
            assert!(
                (sum / f64::from(side * side) - 1.0).abs() < 2e-3,
                "{}",
                sum / 1e4
            );
        }
    }

    #[test]
    fn the_interpolated_mass_is_that_of_the_normal_distribution() {
        for at in 0..=1000 {
            let widths = f64::from(at) * 0.0061;
            let error = ln_mass_below(widths) - normal::ln_cdf(widths);
            assert!(error.abs() < 1e-8, "{error} at {widths}");
        }
    }

    #[test]
    fn draws_fall_where_the_density_is() {
        let mixture = mixture(&[AxisKind::Real, AxisKind::Choice(vec![0.5, 0.5])]);
        let mut rng = stream(1, Purpose::Suggest, 1);
        let draws: Vec<_> = (0..2000).map(|_| mixture.draw(&mut rng)).collect();
        let share = draws.iter().filter(|point| point[0] < 0.3).count() as f64 / 2000.0;
        let mut mass = 0.0;
        for i in 0..300 {
            let x = (f64::from(i) + 0.5) / 1000.0;
            for y in [0.25, 0.75] {
                mass += exp(mixture.ln_density(&[x, y], &[true, true], &mut Vec::new())) / 2000.0;
            }
        }
        assert!((share - mass).abs() < 0.04, "{share} {mass}");
    }
}
