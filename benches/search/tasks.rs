//! Test functions with their sweep spaces: classical ones, shifted so that no optimum lies in the
//! middle; mixed ones; conditional ones.

use std::f64::consts::PI;
use swath::space::{Params, Value};

/// A function to minimise, with its space.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    /// The table `[space]` of a sweep file, in TOML.
    pub(crate) space: String,
    pub(crate) value: fn(&Params) -> f64,
}

fn reals(d: usize) -> String {
    (0..d)
        .map(|i| format!("x{i} = {{ min = -5.0, max = 5.0 }}\n"))
        .collect()
}

pub(crate) fn number(params: &Params, name: &str) -> f64 {
    params.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

fn is(params: &Params, name: &str, text: &str) -> bool {
    matches!(params.get(name), Some(Value::Text(value)) if &**value == text)
}

/// Returns the coordinates x0, x1 … minus a shift that differs by coordinate.
fn x(params: &Params) -> Vec<f64> {
    (0..)
        .map_while(|i| {
            let shift = 2.6 * ((f64::from(i) + 1.0) * 1.618).sin() + 0.4;
            Some(params.get(&format!("x{i}"))?.as_f64()? - shift)
        })
        .collect()
}

/// Rotates the coordinates in the plane of each pair of neighbours.
fn rotated(mut z: Vec<f64>) -> Vec<f64> {
    for i in 1..z.len() {
        let (s, c) = (0.5 + i as f64).sin_cos();
        (z[i - 1], z[i]) = (c * z[i - 1] - s * z[i], s * z[i - 1] + c * z[i]);
    }
    z
}

fn sphere(p: &Params) -> f64 {
    x(p).iter().map(|x| x * x).sum()
}

fn ellipsoid(p: &Params) -> f64 {
    let z = rotated(x(p));
    let d = z.len();
    z.iter()
        .enumerate()
        .map(|(i, z)| 10f64.powf(3.0 * i as f64 / (d.max(2) - 1) as f64) * z * z)
        .sum()
}

fn rosenbrock(p: &Params) -> f64 {
    let z: Vec<f64> = x(p).iter().map(|x| 0.6 * x + 1.0).collect();
    z.windows(2)
        .map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2))
        .sum()
}

fn rastrigin(p: &Params) -> f64 {
    x(p).iter()
        .map(|x| x * x * 0.5 + 10.0 - 10.0 * (2.0 * PI * x * 0.5).cos())
        .sum()
}

fn ackley(p: &Params) -> f64 {
    let z = rotated(x(p));
    let d = z.len() as f64;
    let square = z.iter().map(|z| z * z).sum::<f64>() / d;
    let wave = z.iter().map(|z| (2.0 * PI * z).cos()).sum::<f64>() / d;
    20.0 - 20.0 * (-0.2 * square.sqrt()).exp() + std::f64::consts::E - wave.exp()
}

fn levy(p: &Params) -> f64 {
    let w: Vec<f64> = x(p).iter().map(|x| 1.0 + x / 4.0).collect();
    let last = w[w.len() - 1];
    let middle: f64 = w[..w.len() - 1]
        .iter()
        .map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2)))
        .sum();
    (PI * w[0]).sin().powi(2)
        + middle
        + (last - 1.0).powi(2) * (1.0 + (2.0 * PI * last).sin().powi(2))
}

fn griewank(p: &Params) -> f64 {
    let z: Vec<f64> = x(p).iter().map(|x| x * 4.0).collect();
    let square = z.iter().map(|z| z * z).sum::<f64>() / 400.0;
    let wave: f64 = z
        .iter()
        .enumerate()
        .map(|(i, z)| (z / (i as f64 + 1.0).sqrt()).cos())
        .product();
    square - wave + 1.0
}

fn step_ellipsoid(p: &Params) -> f64 {
    rotated(x(p))
        .iter()
        .enumerate()
        .map(|(i, z)| 10f64.powf(i as f64 / 3.0) * (z + 0.5).floor().powi(2))
        .sum()
}

fn sharp_ridge(p: &Params) -> f64 {
    let z = rotated(x(p));
    z[0] * z[0] + 100.0 * z[1..].iter().map(|z| z * z).sum::<f64>().sqrt()
}

fn branin(p: &Params) -> f64 {
    let (a, b) = (number(p, "a"), number(p, "b"));
    let t = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
    t * t + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * a.cos() + 10.0 - 0.397_887_357_729_738
}

const HARTMANN_A: [[f64; 6]; 4] = [
    [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
    [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
    [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
    [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
];
const HARTMANN_P: [[f64; 6]; 4] = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
];

fn hartmann(p: &Params) -> f64 {
    let z: Vec<f64> = (0..6).map(|i| number(p, &format!("h{i}"))).collect();
    let hills = [1.0, 1.2, 3.0, 3.2].into_iter().enumerate().map(|(k, c)| {
        let distance: f64 = (0..6)
            .map(|i| HARTMANN_A[k][i] * (z[i] - HARTMANN_P[k][i]).powi(2))
            .sum();
        c * (-distance).exp()
    });
    3.322_368_011_415_515 - hills.sum::<f64>()
}

/// Resembles the tuning of a small network: log scales, integers, a choice that interacts with
/// other parameters, and a switch with little effect.
fn network(p: &Params) -> f64 {
    let lr = number(p, "lr").log10();
    let best_lr = if is(p, "optimizer", "sgd") {
        -1.2
    } else {
        -2.7
    };
    let base = match p.get("optimizer") {
        Some(Value::Text(t)) if &**t == "adam" => 0.0,
        Some(Value::Text(t)) if &**t == "sgd" => 0.05,
        _ => 0.12,
    };
    let (layers, units) = (number(p, "layers"), number(p, "units").log2());
    let diverged = if lr > best_lr + 0.9 {
        2.0 * (lr - best_lr - 0.9) + 0.5
    } else {
        0.0
    };
    base + 0.15 * (lr - best_lr).powi(2)
        + 0.02 * (layers - 3.0).powi(2)
        + 0.03 * (units + 0.5 * layers - 8.5).powi(2)
        + 0.4 * (number(p, "dropout") - 0.25).powi(2)
        + 0.02 * (number(p, "decay").log10() + 4.0).powi(2)
        + if is(p, "shuffle", "yes") { 0.0 } else { 0.01 }
        + diverged
}

/// Has mostly categorical parameters, with interactions.
fn choices(p: &Params) -> f64 {
    // The number of the chosen letter.
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| match p.get(name) {
        Some(Value::Text(t)) => f64::from(t.as_bytes()[0] - b'a'),
        _ => 0.0,
    });
    let table = ((a * 3.0 + b * 5.0 + 1.0) % 7.0) / 7.0 + ((c * 2.0 + d * 3.0) % 5.0) / 5.0;
    table
        + (number(p, "u") - 0.2 - 0.1 * a).powi(2)
        + 2.0 * (number(p, "v") - 0.9 + 0.2 * c).powi(2)
        + 0.3 * f64::from(u8::from(is(p, "e", "b")))
}

/// Has only integer parameters.
fn lattice(p: &Params) -> f64 {
    let z: Vec<f64> = (0..6)
        .map(|i| number(p, &format!("n{i}")) - [12.0, 3.0, 27.0, 8.0, 19.0, 1.0][i])
        .collect();
    z.iter().map(|z| z * z).sum::<f64>() + 0.5 * z.windows(2).map(|w| w[0] * w[1]).sum::<f64>()
}

/// Grows as a square near 0 and exponentially beyond 1.5.
fn tail(z: f64) -> f64 {
    z * z
        + if z.abs() > 1.5 {
            (z.abs() - 1.5).exp() - 1.0
        } else {
            0.0
        }
}

/// Resembles boosting with three boosters, each with its own parameters and a long tail of bad
/// values.
fn boosters(p: &Params) -> f64 {
    let depth = number(p, "depth");
    let common = 0.05 * (number(p, "rounds").log10() - 2.3).powi(2);
    common
        + if is(p, "booster", "tree") {
            tail(number(p, "eta").log10() + 1.2) * 0.3
                + 0.01 * (depth - 6.0).powi(2)
                + 0.2 * (number(p, "subsample") - 0.8).powi(2)
        } else if is(p, "booster", "dart") {
            0.03 + tail(number(p, "eta").log10() + 0.9) * 0.3
                + 0.01 * (depth - 5.0).powi(2)
                + 0.5 * (number(p, "drop") - 0.1).powi(2)
        } else {
            0.25 + 0.05 * tail(number(p, "lambda").log10() + 2.0)
                + 0.05 * tail(number(p, "alpha").log10() + 3.0)
        }
}

/// Resembles a network in which every layer has its own size.
fn tower(p: &Params) -> f64 {
    let best_sizes = [7.0, 6.0, 5.0, 4.0];
    let layers = number(p, "layers");
    let sizes: f64 = match p.get("units") {
        Some(Value::List(list)) => list
            .iter()
            .zip(best_sizes)
            .filter_map(|(v, w)| v.as_f64().map(|v| 0.05 * (v.log2() - w).powi(2)))
            .sum(),
        _ => 0.0,
    };
    0.1 * (layers - 3.0).powi(2)
        + sizes / layers.max(1.0)
        + 0.2 * (number(p, "lr").log10() + 2.5).powi(2)
        + if is(p, "optimizer", "sgd") {
            0.1 + 0.5 * (number(p, "momentum") - 0.9).powi(2)
        } else {
            0.12
        }
}

fn task(name: &'static str, space: &str, value: fn(&Params) -> f64) -> Task {
    Task {
        name,
        space: space.to_owned(),
        value,
    }
}

/// Returns all tasks.
pub(crate) fn all() -> Vec<Task> {
    let network_space = "lr = { min = 1e-5, max = 1.0, log = true }\nlayers = { min = 1, max = 8 }\n\
        units = { min = 8.0, max = 1024.0, log = true }\noptimizer = [\"sgd\", \"adam\", \"rmsprop\"]\n\
        dropout = { min = 0.0, max = 0.8 }\ndecay = { min = 1e-7, max = 1e-1, log = true }\nshuffle = [\"yes\", \"no\"]\n";
    let choices_space = "a = [\"a\", \"b\", \"c\", \"d\", \"e\"]\nb = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]\n\
        c = [\"a\", \"b\", \"c\", \"d\"]\nd = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"]\ne = [\"a\", \"b\"]\n\
        u = { min = 0.0, max = 1.0 }\nv = { min = 0.0, max = 1.0 }\n";
    let boosters_space = "booster = [\"tree\", \"dart\", \"linear\"]\nrounds = { min = 10, max = 1000, log = true }\n\
        eta = { min = 1e-4, max = 1.0, log = true, when = \"booster != 'linear'\" }\n\
        depth = { min = 1, max = 15, when = \"booster != 'linear'\" }\n\
        subsample = { min = 0.2, max = 1.0, when = \"booster == 'tree'\" }\n\
        drop = { min = 0.0, max = 0.9, when = \"booster == 'dart'\" }\n\
        lambda = { min = 1e-8, max = 100.0, log = true, when = \"booster == 'linear'\" }\n\
        alpha = { min = 1e-8, max = 100.0, log = true, when = \"booster == 'linear'\" }\n";
    let tower_space = "layers = { min = 1, max = 4 }\nunits = { min = 8, max = 512, log = true, repeat = \"layers\" }\n\
        lr = { min = 1e-5, max = 1.0, log = true }\noptimizer = [\"sgd\", \"adam\"]\n\
        momentum = { min = 0.0, max = 0.99, when = \"optimizer == 'sgd'\" }\n";
    let lattice_space: String = (0..6)
        .map(|i| format!("n{i} = {{ min = 0, max = 30 }}\n"))
        .collect();
    let hartmann_space: String = (0..6)
        .map(|i| format!("h{i} = {{ min = 0.0, max = 1.0 }}\n"))
        .collect();
    vec![
        task(
            "branin",
            "a = { min = -5.0, max = 10.0 }\nb = { min = 0.0, max = 15.0 }\n",
            branin,
        ),
        task("hartmann6", &hartmann_space, hartmann),
        task("sphere5", &reals(5), sphere),
        task("ellipsoid8", &reals(8), ellipsoid),
        task("rosenbrock4", &reals(4), rosenbrock),
        task("rastrigin3", &reals(3), rastrigin),
        task("ackley10", &reals(10), ackley),
        task("levy20", &reals(20), levy),
        task("griewank5", &reals(5), griewank),
        task("steps5", &reals(5), step_ellipsoid),
        task("ridge4", &reals(4), sharp_ridge),
        task("network", network_space, network),
        task("choices", choices_space, choices),
        task("lattice", &lattice_space, lattice),
        task("boosters", boosters_space, boosters),
        task("tower", tower_space, tower),
    ]
}
