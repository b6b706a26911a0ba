//! Trainings with learning curves: recorded ones of a real network, and made ones that cross,
//! mislead, diverge, or are noisy.

use crate::game::space;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use swath_model::space::{Params, Space, Value};

/// Number of epochs of a full training.
pub(crate) const EPOCHS: usize = 81;

type Curve = Box<dyn Fn(&Params, u64) -> Vec<f64>>;

/// A space and the learning curve of each of its configurations.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    /// `recorded` or `made`.
    pub(crate) kind: &'static str,
    pub(crate) space: Arc<Space>,
    /// The loss after each epoch, by configuration and seed.
    pub(crate) curve: Curve,
}

pub(crate) fn all() -> Vec<Task> {
    let mut tasks = vec![
        recorded(),
        recorded_in_cube("boosting", BOOSTING),
        recorded_in_cube("sgd", SGD),
    ];
    tasks.extend([
        made("plain", |x, t, _, seed| {
            final_loss(x, seed) + 0.8 * (1.0 + t).powf(-0.6 - 0.6 * x[1])
        }),
        // The better the final loss, the slower the start.
        made("crossing", |x, t, _, seed| {
            let best = final_loss(x, seed);
            best + 0.9 * (-t / (4.0 + 22.0 * (-4.0 * best).exp())).exp()
        }),
        // For half of the space the first epochs say the opposite.
        made("misleading", |x, t, _, seed| {
            let (best, early) = (final_loss(x, seed), (-t / 8.0_f64).exp());
            let lie = if x[2] < 0.5 {
                0.8 - best.min(0.8)
            } else {
                best
            };
            best * (1.0 - early) + early * (0.4 + lie)
        }),
        // A high rate learns quickly and diverges beyond a border.
        made("divergence", |x, t, _, seed| {
            let best = final_loss(x, seed);
            let spoiled = if x[0] > 0.72 {
                0.02 * (t - 12.0).max(0.0)
            } else {
                0.0
            };
            best + 0.8 * (-t * (0.03 + 0.3 * x[0])).exp() + spoiled
        }),
        made("noise", |x, t, z, seed| {
            final_loss(x, seed) + 0.5 * (1.0 + t).powf(-0.8) + 0.03 * z
        }),
        // The axes that decide the end do not show early.
        made("late", |x, t, _, seed| {
            let early = 0.5 * ((x[0] - 0.4).powi(2) + (x[1] - 0.6).powi(2));
            early + (final_loss(x, seed)) * (1.0 - (-t / 20.0).exp()) + 0.7 * (-t / 6.0).exp()
        }),
        // Nothing changes after some epochs.
        made("saturating", |x, t, z, seed| {
            final_loss(x, seed) + 0.6 * (-t / (1.5 + 3.0 * x[3])).exp() + 0.002 * z
        }),
        // The loss rises again after its minimum, the earlier the faster it has fallen.
        made("overfitting", |x, t, _, seed| {
            let rate = 0.03 + 0.3 * x[0];
            final_loss(x, seed) + 0.8 * (-t * rate).exp() + 0.003 * (t * rate - 4.0).max(0.0)
        }),
        // A small rate begins slowly and ends best, as usual with a learning rate.
        made("rate", |x, t, z, seed| {
            let rate = (5.0 * (x[0] - 1.0)).exp();
            let other = final_loss(&[0.62, x[1], x[2], x[3]], seed);
            other + 0.4 * rate + 1.2 * (1.0 + 40.0 * rate * t).powf(-0.8) + 0.005 * z
        }),
    ]);
    tasks
}

const CUBE: &str = "a = { min = 0.0, max = 1.0 }\nb = { min = 0.0, max = 1.0 }\n\
                    c = { min = 0.0, max = 1.0 }\nd = { min = 0.0, max = 1.0 }\n";

/// Returns the loss at the end: a valley with a second, worse and wider basin. The seed places
/// both.
fn final_loss(x: &[f64], seed: u64) -> f64 {
    let first = basin(x, seed, [0.35, 0.5, 0.4, 1.5]);
    let gap = 0.05 + 0.2 * uniform(seed ^ 0xba51);
    let second = gap + basin(x, seed ^ 0x2d, [0.7, 0.7, 0.7, 2.0]);
    first.min(second) / (1.0 + first.min(second))
}

/// Returns the squared distance to the middle of a basin.
fn basin(x: &[f64], seed: u64, widths: [f64; 4]) -> f64 {
    let parts = (0..).zip(x).zip(widths);
    parts
        .map(|((axis, x), width)| {
            let centre = 0.15 + 0.7 * uniform(hash(seed) ^ axis);
            ((x - centre) / width).powi(2)
        })
        .sum()
}

fn made(name: &'static str, loss: fn(&[f64], f64, f64, u64) -> f64) -> Task {
    Task {
        name,
        kind: "made",
        space: space(CUBE),
        curve: Box::new(move |params, seed| {
            let x: Vec<f64> = params
                .iter()
                .filter_map(|(_, value)| value.as_f64())
                .collect();
            let own = x.iter().fold(seed, |mix, x| hash(mix ^ x.to_bits()));
            (1..=EPOCHS)
                .map(|epoch| loss(&x, epoch as f64, normal(hash(own ^ epoch as u64)), seed))
                .collect()
        }),
    }
}

/// The 500 recorded curves of the digits network.
fn recorded() -> Task {
    let space = space(
        "lr = { min = 1e-4, max = 1e-1, log = true }\noptimizer = [\"sgd\", \"adam\", \"adamw\"]\n\
         momentum = { min = 0.0, max = 0.99, when = \"optimizer == 'sgd'\" }\n\
         weight_decay = { min = 1e-5, max = 1e-1, log = true, when = \"optimizer == 'adamw'\" }\n\
         layers = { min = 1, max = 3 }\nunits = { min = 8, max = 128, log = true, repeat = \"layers\" }\n\
         activation = [\"relu\", \"tanh\"]\ndropout = { min = 0.0, max = 0.5 }\nbatch = [16, 32, 64, 128]\n",
    );
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/search");
    let table = std::fs::read_to_string(format!("{folder}/peers/digits.csv")).unwrap();
    let configurations: Vec<(Vec<f64>, Vec<bool>)> = table
        .lines()
        .skip(1)
        .map(|line| {
            let params = configuration(line);
            (space.encode(&params), space.active(&params))
        })
        .collect();
    let curves: Vec<Vec<f64>> = unpacked(&format!("{folder}/curves/curves.csv.gz"))
        .lines()
        .skip(1)
        .map(|line| {
            let cells = line.split(',').skip(2);
            // A loss that is no number is a diverged one.
            cells
                .map(|cell| cell.parse::<f64>().unwrap_or(20.0).clamp(1e-3, 20.0).ln())
                .collect()
        })
        .collect();
    interpolated("recorded", space, configurations, curves)
}

/// The axes of gradient boosting on made data.
const BOOSTING: &str = "rate = { min = 0.0, max = 1.0 }\ndepth = { min = 0.0, max = 1.0 }\n\
                        rows = { min = 0.0, max = 1.0 }\nfeatures = { min = 0.0, max = 1.0 }\n\
                        leaf = { min = 0.0, max = 1.0 }\n";
/// The axes of stochastic gradient descent on a linear model.
const SGD: &str = "rate = { min = 0.0, max = 1.0 }\npower = { min = 0.0, max = 1.0 }\n\
                   decay = { min = 0.0, max = 1.0 }\naverage = [false, true]\n\
                   schedule = [\"constant\", \"scaled\"]\n\
                   penalty = [\"l2\", \"l1\", \"elasticnet\"]\n";

/// Recorded curves whose configurations are places in the unit cube.
fn recorded_in_cube(name: &'static str, axes: &str) -> Task {
    let space = space(axes);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/search/curves");
    let (mut configurations, mut curves) = (Vec::new(), Vec::new());
    for line in unpacked(&format!("{folder}/{name}.csv.gz")).lines() {
        let mut cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let losses = cells.split_off(space.dims());
        let params = space.decode(&cells);
        configurations.push((space.encode(&params), space.active(&params)));
        curves.push(losses.into_iter().map(|loss| loss.max(1e-3).ln()).collect());
    }
    interpolated(name, space, configurations, curves)
}

/// Returns a task of recorded curves in logarithms. A configuration between them has the average of
/// the nearest three, weighted by their distance.
fn interpolated(
    name: &'static str,
    space: Arc<Space>,
    configurations: Vec<(Vec<f64>, Vec<bool>)>,
    curves: Vec<Vec<f64>>,
) -> Task {
    let encoder = space.clone();
    Task {
        name,
        kind: "recorded",
        space,
        curve: Box::new(move |params, _| {
            let (unit, active) = (encoder.encode(params), encoder.active(params));
            let mut near: Vec<(f64, usize)> = configurations
                .iter()
                .enumerate()
                .map(|(row, (other, others))| (distance(&unit, &active, other, others), row))
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            let near = &near[..3];
            let weights: Vec<f64> = near.iter().map(|(d, _)| 1.0 / (d + 1e-3)).collect();
            let total: f64 = weights.iter().sum();
            (0..EPOCHS)
                .map(|epoch| {
                    let parts = near.iter().zip(&weights);
                    let sum: f64 = parts.map(|((_, row), w)| w * curves[*row][epoch]).sum();
                    (sum / total).exp()
                })
                .collect()
        }),
    }
}

fn distance(unit: &[f64], active: &[bool], other: &[f64], others: &[bool]) -> f64 {
    (0..unit.len())
        .map(|axis| match (active[axis], others[axis]) {
            (true, true) => (unit[axis] - other[axis]).powi(2),
            (false, false) => 0.0,
            _ => 0.1,
        })
        .sum()
}

fn configuration(line: &str) -> Params {
    let cells: Vec<&str> = line.split(',').collect();
    let float = |at: usize| Value::Float(cells[at].parse().unwrap());
    let int = |at: usize| Value::Int(cells[at].parse().unwrap());
    let text = |at: usize| Value::Text(cells[at].into());
    let layers: usize = cells[4].parse().unwrap();
    let mut values = vec![("lr", float(0)), ("optimizer", text(1))];
    if !cells[2].is_empty() {
        values.push(("momentum", float(2)));
    }
    if !cells[3].is_empty() {
        values.push(("weight_decay", float(3)));
    }
    values.push(("layers", int(4)));
    values.push(("units", Value::List((5..5 + layers).map(int).collect())));
    values.extend([
        ("activation", text(8)),
        ("dropout", float(9)),
        ("batch", int(10)),
    ]);
    values
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

fn unpacked(path: &str) -> String {
    let child = Command::new("gzip")
        .args(["-dc", path])
        .stdout(Stdio::piped())
        .spawn();
    let mut text = String::new();
    child
        .unwrap()
        .stdout
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn hash(word: u64) -> u64 {
    swath_numerics::sobol::mix(word)
}

fn uniform(word: u64) -> f64 {
    (hash(word) >> 11) as f64 / 2f64.powi(53)
}

fn normal(word: u64) -> f64 {
    swath_numerics::normal::quantile(uniform(word).clamp(1e-9, 1.0 - 1e-9))
}
