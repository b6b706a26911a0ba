//! Functions for the choice of the samplers' structure and constants. None of them is among the
//! functions that `BENCHMARKS.md` evaluates by.
//!
//! Every function has random instances: the seed shifts its optimum, rotates it or permutes its
//! choices. Of BBOB (Hansen et al., *Real-Parameter Black-Box Optimization Benchmarking*, 2009)
//! only functions 1, 4, 6, 12, 18, 20 and 23 are imitated here.

use super::fronts::Point;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::fmt::Write as _;
use swath_model::space::{Params, Value};
use swath_numerics::normal;
use swath_numerics::stream::{Purpose, stream};

/// The result of one trial.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trial {
    /// The regret without noise.
    pub(crate) regret: f64,
    /// The reported objective.
    pub(crate) loss: f64,
    /// The reported metric of the outcome limit `cost`, at most 0 if satisfied.
    pub(crate) cost: f64,
    /// Whether the trial fails and reports nothing.
    pub(crate) fails: bool,
    /// With several objectives their values without noise, in place of `regret`.
    pub(crate) point: Point,
    /// With several objectives their reported values, in place of `loss`.
    pub(crate) reported: Point,
}

/// One instance of a function: the result of a configuration. The second argument is the random
/// stream of the trial's noise.
pub(crate) type Instance = Box<dyn Fn(&Params, &mut ChaCha8Rng) -> Trial>;

/// A function to minimise, with its space.
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// The table `[space]` of a sweep file, in TOML.
    pub(crate) space: String,
    /// Whether the metric `cost` has the upper bound 0.
    pub(crate) limited: bool,
    pub(crate) instance: Box<dyn Fn(u64) -> Instance>,
}

/// A function of the coordinates minus the optimum, with the value 0 there.
type Shape = fn(&[f64]) -> f64;

/// Returns all tasks.
pub(crate) fn all() -> Vec<Task> {
    let mut tasks = vec![
        numbers("sphere", "smooth", 10, 5.0, sphere),
        numbers("slope", "smooth", 5, 5.0, slope),
        numbers("sector", "smooth", 5, 5.0, sector),
        numbers("trid", "smooth", 6, 3.0, trid),
        numbers("branin", "smooth", 2, 7.5, branin),
        numbers("hills", "smooth", 6, 0.5, hills),
        numbers("cigar", "valley", 4, 5.0, cigar),
        numbers("zakharov", "valley", 5, 5.0, zakharov),
        numbers("dixon", "valley", 4, 4.0, dixon),
        numbers("powell", "valley", 4, 4.0, powell),
        numbers("beale", "valley", 2, 4.0, beale),
        numbers("fold", "valley", 3, 1.0, fold),
        numbers("skewed", "peaks", 3, 5.0, skewed),
        numbers("schaffer", "peaks", 3, 5.0, schaffer),
        numbers("schwefel", "peaks", 3, 5.0, schwefel),
        numbers("katsuura", "peaks", 2, 5.0, katsuura),
        numbers("ackley", "peaks", 5, 5.0, ackley),
        numbers("levy", "peaks", 6, 5.0, levy),
        numbers("griewank", "peaks", 4, 8.0, griewank),
        wells("wells narrow", 3, 0.16, 3),
        wells("wells wide", 4, 0.3, 4),
        wells("wells many", 2, 0.12, 12),
        numbers("plateaus coarse", "steps", 4, 0.5, plateaus_coarse),
        numbers("plateaus fine", "steps", 6, 0.5, plateaus_fine),
        few("few of 20", 20, 3),
        few("few of 40", 40, 4),
        network(),
        tuned_choices("choices 4 8", 4, 8),
        tuned_choices("choices 2 30", 2, 30),
        mixed_lattice(),
        branches("branches, late", &[1, 4, 2], 1),
        branches("branches, many", &[2, 3, 1, 5, 2, 3], 3),
        branches("branches, long", &[6, 2], 0),
        boosters(),
        landscape(10, 1, 3),
        landscape(6, 2, 6),
        landscape(14, 1, 2),
        lattice("lattice bowl", 6, 40, false),
        lattice("lattice waves", 4, 25, true),
        limited("limited disc", 3, false),
        limited("limited band", 4, true),
        failing("failing corner", 4),
    ];
    for (name, deviation) in [("small", 0.03), ("middle", 0.1), ("large", 0.4)] {
        tasks.push(noisy(
            format!("bowl, {name} noise"),
            numbers("", "noise", 4, 0.5, bowl),
            Noise::Constant(deviation),
        ));
    }
    let waves = numbers("", "noise", 5, 0.5, waves);
    tasks.push(noisy(
        "waves, noise".to_owned(),
        waves,
        Noise::Constant(0.3),
    ));
    let mixed = Task {
        kind: "noise",
        ..network()
    };
    tasks.push(noisy(
        "network, noise".to_owned(),
        mixed,
        Noise::Constant(0.05),
    ));
    let sphere = numbers("", "noise", 5, 5.0, sphere);
    tasks.push(noisy("sphere, share".to_owned(), sphere, Noise::Share(0.3)));
    let sector = numbers("", "noise", 3, 5.0, sector);
    tasks.push(noisy("sector, share".to_owned(), sector, Noise::Share(0.3)));
    tasks
}

// Spaces and instances.

pub(crate) fn rng(seed: u64, purpose: u64) -> ChaCha8Rng {
    stream(seed, Purpose::Measure, purpose)
}

pub(crate) fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    normal::quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12))
}

pub(crate) fn uniform(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

pub(crate) fn number(params: &Params, name: &str) -> f64 {
    params.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

/// Returns the number at the end of a choice such as `c7`.
pub(crate) fn choice(params: &Params, name: &str) -> usize {
    match params.get(name) {
        Some(Value::Text(text)) => text[1..].parse().unwrap_or(0),
        _ => 0,
    }
}

pub(crate) fn letters(count: usize) -> String {
    let words: Vec<String> = (0..count).map(|at| format!("\"c{at}\"")).collect();
    format!("[{}]", words.join(", "))
}

fn reals(d: usize, reach: f64) -> String {
    (0..d)
        .map(|at| format!("x{at} = {{ min = {:?}, max = {reach:?} }}\n", -reach))
        .collect()
}

pub(crate) fn coordinates(params: &Params, d: usize) -> Vec<f64> {
    (0..d).map(|at| number(params, &format!("x{at}"))).collect()
}

fn exact(regret: f64) -> Trial {
    Trial {
        regret,
        loss: regret,
        ..Trial::default()
    }
}

/// Returns a random rotation as rows: Gram-Schmidt on normal vectors.
pub(crate) fn rotation(d: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    while rows.len() < d {
        let mut row: Vec<f64> = (0..d).map(|_| standard_normal(rng)).collect();
        for other in &rows {
            let product: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut()
                .zip(other)
                .for_each(|(a, b)| *a -= product * b);
        }
        let length = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        if length > 1e-3 {
            rows.push(row.iter().map(|a| a / length).collect());
        }
    }
    rows
}

pub(crate) fn rotate(rows: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    rows.iter()
        .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
        .collect()
}

/// Returns a task over `d` numbers from `-reach` to `reach`: a shape around a random optimum, at
/// most 0.7 of the way from the middle to the edge.
fn numbers(name: &str, kind: &'static str, d: usize, reach: f64, shape: Shape) -> Task {
    Task {
        name: format!("{name} d{d}"),
        kind,
        space: reals(d, reach),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, d as u64);
            let optimum: Vec<f64> = (0..d)
                .map(|_| uniform(&mut rng, -0.7 * reach, 0.7 * reach))
                .collect();
            // Rotations and weights come from the coordinates' own instance.
            let rows = rotation(d, &mut rng);
            let rotates = !matches!(kind, "noise");
            Box::new(move |params, _| {
                let x = coordinates(params, d);
                let offset: Vec<f64> = x.iter().zip(&optimum).map(|(x, o)| x - o).collect();
                let z = if rotates {
                    rotate(&rows, &offset)
                } else {
                    offset
                };
                exact(shape(&z))
            })
        }),
    }
}

fn sphere(z: &[f64]) -> f64 {
    z.iter().map(|z| z * z).sum()
}

fn bowl(z: &[f64]) -> f64 {
    z.iter()
        .enumerate()
        .map(|(at, z)| z * z * (1.0 + at as f64))
        .sum()
}

fn waves(z: &[f64]) -> f64 {
    let square: f64 = z.iter().map(|z| z * z).sum();
    libm::log(1.0 + 100.0 * square) + 0.15 * z.iter().map(|z| 1.0 - (18.0 * z).cos()).sum::<f64>()
}

/// A kink at the optimum, with slopes of 1 to 10.
fn slope(z: &[f64]) -> f64 {
    let last = (z.len() - 1) as f64;
    z.iter()
        .enumerate()
        .map(|(at, z)| z.abs() * libm::pow(10.0, at as f64 / last))
        .sum()
}

fn sector(z: &[f64]) -> f64 {
    let square: f64 = z
        .iter()
        .enumerate()
        .map(|(at, z)| {
            let weight = if *z > 0.0 { 10.0 } else { 1.0 };
            (weight * z * libm::pow(10.0, 0.2 * at as f64)).powi(2)
        })
        .sum();
    libm::pow(square, 0.9)
}

fn trid(z: &[f64]) -> f64 {
    let square: f64 = z.iter().map(|z| z * z).sum();
    square - 0.9 * z.windows(2).map(|z| z[0] * z[1]).sum::<f64>()
}

/// Branin with the optimum at 0.
fn branin(z: &[f64]) -> f64 {
    let (a, b) = (z[0] + PI, z[1] + 2.275);
    let t = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
    t * t + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * (1.0 + a.cos())
}

/// Four hills of different height and shape, of which the highest is at 0.
fn hills(z: &[f64]) -> f64 {
    let hills = [1.5, 0.9, 1.1, 1.3].into_iter().enumerate();
    let highest = hills
        .map(|(hill, height)| height * (-hill_distance(z, hill)).exp())
        .fold(0.0, f64::max);
    1.5 - highest
}

fn hill_distance(z: &[f64], hill: usize) -> f64 {
    z.iter()
        .enumerate()
        .map(|(axis, z)| {
            let centre = 0.15 * hill as f64 * ((axis * 3 + hill * 5) as f64).sin();
            let weight = 2.0 + 3.0 * ((axis + 2 * hill) % 3) as f64;
            weight * (z - centre).powi(2)
        })
        .sum()
}

fn cigar(z: &[f64]) -> f64 {
    (z[0] * z[0] + 1e3 * z[1..].iter().map(|z| z * z).sum::<f64>()).sqrt()
}

fn zakharov(z: &[f64]) -> f64 {
    let square: f64 = z.iter().map(|z| z * z).sum();
    let sum: f64 = z
        .iter()
        .enumerate()
        .map(|(at, z)| 0.5 * (at as f64 + 1.0) * z)
        .sum();
    square + sum.powi(2) + sum.powi(4) * 0.1
}

/// Dixon and Price's chain, moved so that the optimum is at 0.
fn dixon(z: &[f64]) -> f64 {
    let x: Vec<f64> = z
        .iter()
        .enumerate()
        .map(|(at, z)| z + libm::pow(2.0, libm::pow(2.0, -(at as f64)) - 1.0))
        .collect();
    let chain = x
        .windows(2)
        .enumerate()
        .map(|(at, x)| (at as f64 + 2.0) * (2.0 * x[1] * x[1] - x[0]).powi(2));
    (x[0] - 1.0).powi(2) + chain.sum::<f64>()
}

fn powell(z: &[f64]) -> f64 {
    (z[0] + 10.0 * z[1]).powi(2)
        + 5.0 * (z[2] - z[3]).powi(2)
        + (z[1] - 2.0 * z[2]).powi(4)
        + 10.0 * (z[0] - z[3]).powi(4)
}

fn beale(z: &[f64]) -> f64 {
    let (x, y) = (z[0] + 3.0, z[1] + 0.5);
    (1.5 - x + x * y).powi(2) + (2.25 - x + x * y * y).powi(2) + (2.625 - x + x * y * y * y).powi(2)
}

/// A curved valley with a sharp bottom.
fn fold(z: &[f64]) -> f64 {
    let bend = z[1] - 0.7 * z[0] * z[0] + z[2] * 0.3;
    10.0 * bend * bend + 0.5 * z[0].abs() + z[2] * z[2]
}

/// Rastrigin's waves with skew scales.
fn skewed(z: &[f64]) -> f64 {
    z.iter()
        .enumerate()
        .map(|(at, z)| {
            let skew = if *z > 0.0 && at % 2 == 0 { 3.0 } else { 1.0 };
            let z = z * skew * 0.6;
            z * z + 5.0 * (1.0 - (2.0 * PI * z).cos())
        })
        .sum()
}

fn schaffer(z: &[f64]) -> f64 {
    let pairs = z.len() as f64 - 1.0;
    let sum: f64 = z
        .windows(2)
        .map(|z| {
            let s = z[0].hypot(3.0 * z[1]);
            s.sqrt() * (1.0 + (50.0 * libm::pow(s, 0.2)).sin().powi(2))
        })
        .sum();
    (sum / pairs).powi(2)
}

/// The deepest of many basins lies far from the second deepest.
fn schwefel(z: &[f64]) -> f64 {
    let sum: f64 = z
        .iter()
        .map(|z| {
            let x = 420.968_746 + 84.0 * z;
            let outside = (x.abs() - 500.0).max(0.0);
            let inside = x.clamp(-500.0, 500.0);
            418.982_887_3 - inside * inside.abs().sqrt().sin() + 0.01 * outside * outside
        })
        .sum();
    (sum / (100.0 * z.len() as f64)).max(0.0)
}

fn katsuura(z: &[f64]) -> f64 {
    let d = z.len() as f64;
    let product: f64 = z
        .iter()
        .enumerate()
        .map(|(at, z)| {
            let sum: f64 = (1..=32)
                .map(|power| {
                    let scale = libm::pow(2.0, f64::from(power));
                    (scale * z - (scale * z).round()).abs() / scale
                })
                .sum();
            libm::pow(1.0 + (at as f64 + 1.0) * sum, 10.0 / libm::pow(d, 1.2))
        })
        .product();
    10.0 / (d * d) * (product - 1.0) + 0.05 * sphere(z)
}

fn ackley(z: &[f64]) -> f64 {
    let d = z.len() as f64;
    let square = z.iter().map(|z| z * z).sum::<f64>() / d;
    let wave = z.iter().map(|z| (2.0 * PI * z).cos()).sum::<f64>() / d;
    20.0 - 20.0 * (-0.2 * square.sqrt()).exp() + std::f64::consts::E - wave.exp()
}

fn levy(z: &[f64]) -> f64 {
    let w: Vec<f64> = z.iter().map(|z| 1.0 + z / 4.0).collect();
    let last = w[w.len() - 1];
    let middle: f64 = w[..w.len() - 1]
        .iter()
        .map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2)))
        .sum();
    (PI * w[0]).sin().powi(2)
        + middle
        + (last - 1.0).powi(2) * (1.0 + (2.0 * PI * last).sin().powi(2))
}

fn griewank(z: &[f64]) -> f64 {
    let square = z.iter().map(|z| z * z).sum::<f64>() / 40.0;
    let wave: f64 = z
        .iter()
        .enumerate()
        .map(|(at, z)| (z / (at as f64 + 1.0).sqrt()).cos())
        .product();
    square - wave + 1.0
}

fn plateaus(z: &[f64], fineness: f64) -> f64 {
    let last = (z.len() - 1) as f64;
    z.iter()
        .enumerate()
        .map(|(at, z)| {
            let weight = 1.0 + 9.0 * at as f64 / last;
            weight * ((fineness * z + 0.5).floor() / fineness).powi(2)
        })
        .sum()
}

fn plateaus_coarse(z: &[f64]) -> f64 {
    plateaus(z, 5.0)
}

fn plateaus_fine(z: &[f64]) -> f64 {
    plateaus(z, 12.0)
}

/// Returns a function of `count` basins of different depth and width; the deepest is the narrowest.
fn wells(name: &str, d: usize, width: f64, count: usize) -> Task {
    Task {
        name: format!("{name} d{d}"),
        kind: "peaks",
        space: reals(d, 1.0),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 100 + d as u64);
            let basins: Vec<(Vec<f64>, f64, f64)> = (0..count)
                .map(|at| {
                    let share = at as f64 / (count - 1) as f64;
                    let centre = (0..d).map(|_| uniform(&mut rng, -0.8, 0.8)).collect();
                    (
                        centre,
                        2.0 * width * (1.0 + share),
                        0.4 * share.max(0.4 * f64::from(u8::from(at > 0))),
                    )
                })
                .collect();
            Box::new(move |params, _| {
                let x = coordinates(params, d);
                let depths = basins.iter().map(|(centre, width, height)| {
                    let square: f64 = x.iter().zip(centre).map(|(x, c)| (x - c).powi(2)).sum();
                    height + (1.0 - height) * (1.0 - (-0.5 * square / (width * width)).exp())
                });
                exact(depths.fold(f64::INFINITY, f64::min))
            })
        }),
    }
}

/// Returns a function of `d` numbers of which only `relevant` matter.
fn few(name: &str, d: usize, relevant: usize) -> Task {
    Task {
        name: name.to_owned(),
        kind: "high-dimensional",
        space: reals(d, 1.0),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 200 + d as u64);
            let mut axes: Vec<usize> = (0..d).collect();
            for at in 0..relevant {
                let other = rng.random_range(at..d);
                axes.swap(at, other);
            }
            let optimum: Vec<f64> = (0..relevant)
                .map(|_| uniform(&mut rng, -0.7, 0.7))
                .collect();
            Box::new(move |params, _| {
                let x = coordinates(params, d);
                let offset: Vec<f64> = (0..relevant).map(|at| x[axes[at]] - optimum[at]).collect();
                exact(bowl(&offset) + 0.2 * (1.0 - (6.0 * offset[0]).cos()))
            })
        }),
    }
}

/// Returns a function that resembles the tuning of a network.
fn network() -> Task {
    Task {
        name: "network".to_owned(),
        kind: "mixed",
        space: "lr = { min = 1e-5, max = 1.0, log = true }\nlayers = { min = 1, max = 8 }\n\
            units = { min = 8.0, max = 1024.0, log = true }\noptimizer = [\"c0\", \"c1\", \"c2\"]\n\
            dropout = { min = 0.0, max = 0.8 }\ndecay = { min = 1e-7, max = 1e-1, log = true }\n\
            shuffle = [\"c0\", \"c1\"]\n"
            .to_owned(),
        limited: false,
        instance: Box::new(|seed| {
            let mut rng = rng(seed, 301);
            let rates: Vec<f64> = (0..3).map(|_| uniform(&mut rng, -4.0, -1.0)).collect();
            let best = rng.random_range(0..3usize);
            let (layers, size) = (uniform(&mut rng, 2.0, 6.0), uniform(&mut rng, 6.0, 10.0));
            let (dropout, decay) = (uniform(&mut rng, 0.1, 0.5), uniform(&mut rng, -6.0, -2.0));
            let layers = f64::round(layers);
            Box::new(move |params, _| {
                let optimizer = choice(params, "optimizer");
                let miss = number(params, "lr").log10() - rates[optimizer];
                let gap = [0.0, 0.05, 0.12][(optimizer + 3 - best) % 3];
                let diverged = if miss > 0.9 {
                    0.5 + 2.0 * (miss - 0.9)
                } else {
                    0.0
                };
                let depth = number(params, "layers");
                let units = number(params, "units").log2() + 0.5 * (depth - layers) - size;
                exact(
                    gap + 0.15 * miss * miss
                        + 0.02 * (depth - layers).powi(2)
                        + 0.03 * units * units
                        + 0.4 * (number(params, "dropout") - dropout).powi(2)
                        + 0.02 * (number(params, "decay").log10() - decay).powi(2)
                        + 0.01 * choice(params, "shuffle") as f64
                        + diverged,
                )
            })
        }),
    }
}

/// Returns a sum over choices and a number whose optimum depends on the first choice.
fn tuned_choices(name: &str, words: usize, count: usize) -> Task {
    let mut space: String = (0..words)
        .map(|at| format!("w{at} = {}\n", letters(count)))
        .collect();
    space.push_str("x = { min = 0.0, max = 1.0 }\n");
    Task {
        name: name.to_owned(),
        kind: "mixed",
        space,
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 400 + count as u64);
            let mut weights: Vec<Vec<f64>> = (0..words)
                .map(|_| (0..count).map(|_| rng.random()).collect())
                .collect();
            for weights in &mut weights {
                let lowest = weights.iter().copied().fold(f64::INFINITY, f64::min);
                weights.iter_mut().for_each(|weight| *weight -= lowest);
            }
            let optima: Vec<f64> = (0..count).map(|_| rng.random()).collect();
            Box::new(move |params, _| {
                let chosen: Vec<usize> = (0..words)
                    .map(|at| choice(params, &format!("w{at}")))
                    .collect();
                let sum: f64 = chosen.iter().zip(&weights).map(|(at, w)| w[*at]).sum();
                exact(sum + 2.0 * (number(params, "x") - optima[chosen[0]]).powi(2))
            })
        }),
    }
}

/// Returns a function of integers, a choice that moves their optimum, and two floats.
fn mixed_lattice() -> Task {
    Task {
        name: "mixed lattice".to_owned(),
        kind: "mixed",
        space: "n0 = { min = 0, max = 20 }\nn1 = { min = 1, max = 256, log = true }\n\
            n2 = { min = 0, max = 4 }\nw = [\"c0\", \"c1\", \"c2\", \"c3\"]\n\
            x0 = { min = 0.0, max = 1.0 }\nx1 = { min = 1e-4, max = 1.0, log = true }\n"
            .to_owned(),
        limited: false,
        instance: Box::new(|seed| {
            let mut rng = rng(seed, 501);
            let centres: Vec<f64> = (0..4)
                .map(|_| f64::from(rng.random_range(2..19i32)))
                .collect();
            let best = rng.random_range(0..4usize);
            let power = f64::from(rng.random_range(1..8i32));
            let (x0, x1) = (uniform(&mut rng, 0.1, 0.9), uniform(&mut rng, -3.5, -0.5));
            Box::new(move |params, _| {
                let word = choice(params, "w");
                let far = (number(params, "n0") - centres[word]) / 10.0;
                let size = number(params, "n1").log2() - power;
                exact(
                    0.1 * ((word + 4 - best) % 4) as f64
                        + far * far
                        + 0.05 * size * size
                        + 0.1 * (number(params, "n2") - 2.0).abs()
                        + (number(params, "x0") - x0 - 0.3 * far).powi(2)
                        + 0.2 * (number(params, "x1").log10() - x1).powi(2),
                )
            })
        }),
    }
}

/// Returns a function with a choice of branches of `sizes` parameters. Branch `best` has the
/// optimum, but starts worse than the others: its valley is narrow.
fn branches(name: &str, sizes: &'static [usize], best: usize) -> Task {
    let mut space = format!(
        "kind = {}\nshared = {{ min = 0.0, max = 1.0 }}\n",
        letters(sizes.len())
    );
    for (branch, size) in sizes.iter().enumerate() {
        for at in 0..*size {
            let _ = writeln!(
                space,
                "b{branch}x{at} = {{ min = 0.0, max = 1.0, when = \"kind == 'c{branch}'\" }}"
            );
        }
    }
    Task {
        name: name.to_owned(),
        kind: "conditional",
        space,
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 600 + sizes.len() as u64);
            let optima: Vec<Vec<f64>> = sizes
                .iter()
                .map(|size| (0..*size).map(|_| uniform(&mut rng, 0.1, 0.9)).collect())
                .collect();
            let shared = uniform(&mut rng, 0.2, 0.8);
            let bases: Vec<f64> = (0..sizes.len())
                .map(|branch| {
                    if branch == best {
                        0.0
                    } else {
                        uniform(&mut rng, 0.15, 0.4)
                    }
                })
                .collect();
            Box::new(move |params, _| {
                let branch = choice(params, "kind");
                let square: f64 = optima[branch]
                    .iter()
                    .enumerate()
                    .map(|(at, optimum)| {
                        (number(params, &format!("b{branch}x{at}")) - optimum).powi(2)
                    })
                    .sum();
                let square = square / sizes[branch] as f64;
                let curve = if branch == best { 8.0 * square } else { square };
                exact(
                    bases[branch]
                        + curve.min(1.0)
                        + 0.5 * (number(params, "shared") - shared).powi(2),
                )
            })
        }),
    }
}

/// Returns a function that resembles three boosters with parameters of their own.
fn boosters() -> Task {
    Task {
        name: "boosters".to_owned(),
        kind: "conditional",
        space:
            "booster = [\"c0\", \"c1\", \"c2\"]\nrounds = { min = 10, max = 1000, log = true }\n\
            eta = { min = 1e-4, max = 1.0, log = true, when = \"booster != 'c2'\" }\n\
            depth = { min = 1, max = 15, when = \"booster != 'c2'\" }\n\
            subsample = { min = 0.2, max = 1.0, when = \"booster == 'c0'\" }\n\
            drop = { min = 0.0, max = 0.9, when = \"booster == 'c1'\" }\n\
            lambda = { min = 1e-8, max = 100.0, log = true, when = \"booster == 'c2'\" }\n\
            alpha = { min = 1e-8, max = 100.0, log = true, when = \"booster == 'c2'\" }\n"
                .to_owned(),
        limited: false,
        instance: Box::new(|seed| {
            let mut rng = rng(seed, 701);
            let bases =
                [[0.0, 0.03, 0.2], [0.05, 0.0, 0.1], [0.1, 0.15, 0.0]][rng.random_range(0..3usize)];
            let eta = [uniform(&mut rng, -3.0, -0.5), uniform(&mut rng, -3.0, -0.5)];
            let depth = f64::from(rng.random_range(3..12i32));
            let (share, drop) = (uniform(&mut rng, 0.4, 0.9), uniform(&mut rng, 0.05, 0.6));
            let (lambda, alpha) = (uniform(&mut rng, -7.0, 1.0), uniform(&mut rng, -7.0, 1.0));
            Box::new(move |params, _| {
                let booster = choice(params, "booster");
                let common = 0.05 * (number(params, "rounds").log10() - 2.3).powi(2);
                let miss = |name: &str, optimum: f64| number(params, name).log10() - optimum;
                let own = match booster {
                    0 => {
                        0.3 * miss("eta", eta[0]).powi(2)
                            + 0.01 * (number(params, "depth") - depth).powi(2)
                            + 0.2 * (number(params, "subsample") - share).powi(2)
                    }
                    1 => {
                        0.3 * miss("eta", eta[1]).powi(2)
                            + 0.01 * (number(params, "depth") - depth).powi(2)
                            + 0.5 * (number(params, "drop") - drop).powi(2)
                    }
                    _ => {
                        0.05 * miss("lambda", lambda).powi(2) + 0.05 * miss("alpha", alpha).powi(2)
                    }
                };
                exact(bases[booster] + common + own)
            })
        }),
    }
}

/// Returns an NK landscape of choices (Kauffman & Weinberger, J. Theoretical Biology 141, 1989).
fn landscape(words: usize, neighbours: usize, count: usize) -> Task {
    Task {
        name: format!("landscape {words} {neighbours} {count}"),
        kind: "choices",
        space: (0..words)
            .map(|at| format!("w{at} = {}\n", letters(count)))
            .collect(),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 800 + words as u64);
            let contexts = count.pow(neighbours as u32 + 1);
            let table: Vec<Vec<f64>> = (0..words)
                .map(|_| (0..contexts).map(|_| rng.random()).collect())
                .collect();
            let sum = move |chosen: &[usize]| -> f64 {
                let parts = (0..words).map(|at| {
                    let context = (0..=neighbours).fold(0, |context, step| {
                        context * count + chosen[(at + step) % words]
                    });
                    table[at][context]
                });
                parts.sum::<f64>() / words as f64
            };
            let all = count.pow(words as u32);
            let lowest = (0..all)
                .map(|code| sum(&digits(code, words, count)))
                .fold(f64::INFINITY, f64::min);
            Box::new(move |params, _| {
                let chosen: Vec<usize> = (0..words)
                    .map(|at| choice(params, &format!("w{at}")))
                    .collect();
                exact(sum(&chosen) - lowest)
            })
        }),
    }
}

fn digits(mut code: usize, words: usize, count: usize) -> Vec<usize> {
    (0..words)
        .map(|_| {
            let digit = code % count;
            code /= count;
            digit
        })
        .collect()
}

/// Returns a function of integers, with or without waves.
fn lattice(name: &str, d: usize, most: usize, waves: bool) -> Task {
    Task {
        name: name.to_owned(),
        kind: "integers",
        space: (0..d)
            .map(|at| format!("x{at} = {{ min = 0, max = {most} }}\n"))
            .collect(),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 900 + d as u64);
            let optimum: Vec<f64> = (0..d)
                .map(|_| f64::round(uniform(&mut rng, 0.1, 0.9) * most as f64))
                .collect();
            Box::new(move |params, _| {
                let z: Vec<f64> = coordinates(params, d)
                    .iter()
                    .zip(&optimum)
                    .map(|(x, o)| (x - o) / 5.0)
                    .collect();
                let coupled: f64 = z.windows(2).map(|z| z[0] * z[1]).sum();
                let wave: f64 = z.iter().map(|z| 1.0 - (PI * 2.5 * z).cos()).sum();
                exact(sphere(&z) + 0.5 * coupled + if waves { 0.7 * wave } else { 0.0 })
            })
        }),
    }
}

/// Returns a bowl whose optimum lies on the edge of a feasible disc, or of a curved band.
fn limited(name: &str, d: usize, band: bool) -> Task {
    Task {
        name: name.to_owned(),
        kind: "limits",
        space: reals(d, 1.0),
        limited: true,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 1000 + d as u64);
            let rows = rotation(d, &mut rng);
            let centre: Vec<f64> = (0..d).map(|_| uniform(&mut rng, -0.4, 0.4)).collect();
            Box::new(move |params, _| {
                let x = coordinates(params, d);
                let offset: Vec<f64> = x.iter().zip(&centre).map(|(x, c)| x - c).collect();
                let z = rotate(&rows, &offset);
                // The optimum is at 0; both limits pass through it.
                let cost = if band {
                    (z[0] + z[1] * z[1]).abs() - 0.1 - z[2].abs() * 0.2
                } else {
                    let far: f64 = z[1..].iter().map(|z| z * z).sum();
                    ((z[0] - 0.3).powi(2) + far).sqrt() - 0.3
                };
                let pull = if band { 0.0 } else { 1.0 };
                let square: f64 = z[1..].iter().map(|z| z * z).sum();
                let loss = pull * (z[0] + 0.1 * z[0] * z[0]) + square + (1.0 - pull) * z[0] * z[0];
                Trial {
                    regret: if cost <= 0.0 {
                        loss.max(0.0)
                    } else {
                        f64::INFINITY
                    },
                    loss,
                    cost,
                    fails: false,
                    ..Trial::default()
                }
            })
        }),
    }
}

/// Returns a bowl whose optimum lies at the edge of a region in which trials fail.
fn failing(name: &str, d: usize) -> Task {
    Task {
        name: name.to_owned(),
        kind: "failing",
        space: reals(d, 1.0),
        limited: false,
        instance: Box::new(move |seed| {
            let mut rng = rng(seed, 1100 + d as u64);
            let rows = rotation(d, &mut rng);
            let centre: Vec<f64> = (0..d).map(|_| uniform(&mut rng, -0.4, 0.4)).collect();
            Box::new(move |params, _| {
                let x = coordinates(params, d);
                let offset: Vec<f64> = x.iter().zip(&centre).map(|(x, c)| x - c).collect();
                let z = rotate(&rows, &offset);
                let fails = z[0] > 0.05;
                let loss = bowl(&z);
                Trial {
                    regret: if fails { f64::INFINITY } else { loss },
                    loss,
                    cost: 0.0,
                    fails,
                    ..Trial::default()
                }
            })
        }),
    }
}

/// The size of the noise of a result.
#[derive(Debug, Clone, Copy)]
enum Noise {
    /// This standard deviation everywhere.
    Constant(f64),
    /// This share of the value.
    Share(f64),
}

/// Returns a task whose results have noise. The regret has none.
fn noisy(name: String, task: Task, noise: Noise) -> Task {
    let clean = task.instance;
    Task {
        name,
        instance: Box::new(move |seed| {
            let clean = clean(seed);
            Box::new(move |params, rng| {
                let trial = clean(params, rng);
                let deviation = match noise {
                    Noise::Constant(deviation) => deviation,
                    Noise::Share(share) => share * trial.loss,
                };
                Trial {
                    loss: trial.loss + deviation * standard_normal(rng),
                    ..trial
                }
            })
        }),
        ..task
    }
}
