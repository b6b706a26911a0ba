//! Multi-objective test problems: pairs and triples of functions with their sweep spaces, each with
//! the reference point of its hypervolume.

use super::tasks::number;
use std::f64::consts::PI;
use swath::space::Params;

/// A problem with several functions to minimise at once.
pub(crate) struct Front {
    pub(crate) name: &'static str,
    /// The table `[space]` of a sweep file, in TOML.
    pub(crate) space: String,
    pub(crate) reference: &'static [f64],
    pub(crate) value: fn(&Params) -> Vec<f64>,
}

fn coordinates(p: &Params) -> Vec<f64> {
    (0..)
        .map_while(|i| {
            p.get(&format!("x{i}"))
                .and_then(swath::space::Value::as_f64)
        })
        .collect()
}

fn reals(d: usize, low: f64, high: f64) -> String {
    (0..d)
        .map(|i| format!("x{i} = {{ min = {low:?}, max = {high:?} }}\n"))
        .collect()
}

/// Fonseca & Fleming, IEEE Transactions on Systems, Man and Cybernetics A 28(1), 1998.
fn fonseca(p: &Params) -> Vec<f64> {
    let x = coordinates(p);
    let optimum = 1.0 / (x.len() as f64).sqrt();
    [optimum, -optimum]
        .into_iter()
        .map(|optimum| {
            let distance: f64 = x.iter().map(|x| (x - optimum).powi(2)).sum();
            1.0 - (-distance).exp()
        })
        .collect()
}

/// Kursawe, PPSN I, 1991: a disconnected front.
fn kursawe(p: &Params) -> Vec<f64> {
    let x = coordinates(p);
    let pairs = x
        .windows(2)
        .map(|x| -10.0 * (-0.2 * x[0].hypot(x[1])).exp());
    vec![
        pairs.sum(),
        x.iter()
            .map(|x| x.abs().powf(0.8) + 5.0 * x.powi(3).sin())
            .sum(),
    ]
}

/// Viennet, Fonteix & Marc, International Journal of Systems Science 27(2), 1996: three objectives.
fn viennet(p: &Params) -> Vec<f64> {
    let [x, y] = [number(p, "x0"), number(p, "x1")];
    let square = x * x + y * y;
    vec![
        0.5 * square + square.sin(),
        (3.0 * x - 2.0 * y + 4.0).powi(2) / 8.0 + (x - y + 1.0).powi(2) / 27.0 + 15.0,
        1.0 / (square + 1.0) - 1.1 * (-square).exp(),
    ]
}

/// One coordinate moves along the front, the other nine lead to it, each with an optimum of its
/// own.
fn bowl(p: &Params) -> Vec<f64> {
    let x = coordinates(p);
    let off = x[1..]
        .iter()
        .enumerate()
        .map(|(i, x)| (x - 0.15 - 0.08 * i as f64).powi(2))
        .sum::<f64>();
    let (far, turn) = (1.0 + 3.0 * off, 0.5 * PI * x[0]);
    vec![far * turn.cos(), far * turn.sin()]
}

/// The error of a network against its size, over a mixed space.
fn size(p: &Params) -> Vec<f64> {
    let (layers, units, lr) = (number(p, "layers"), number(p, "units"), number(p, "lr"));
    let weights = layers * units.log2();
    let aim = if p
        .get("optimizer")
        .is_some_and(|word| word.to_string().contains("adam"))
    {
        -3.0
    } else {
        -1.5
    };
    let error = 0.05
        + 1.2 * (-weights / 9.0).exp()
        + 0.08 * (lr.log10() - aim + 0.1 * layers).powi(2)
        + 0.3 * (number(p, "dropout") - 0.02 * weights).powi(2);
    vec![error, weights / 80.0]
}

/// Returns all multi-objective problems.
pub(crate) fn all() -> Vec<Front> {
    let size_space = "layers = { min = 1, max = 8 }\nunits = { min = 8, max = 1024, log = true }\n\
        lr = { min = 1e-5, max = 1.0, log = true }\ndropout = { min = 0.0, max = 0.8 }\noptimizer = [\"sgd\", \"adam\"]\n";
    vec![
        Front {
            name: "fonseca5",
            space: reals(5, -4.0, 4.0),
            reference: &[1.0, 1.0],
            value: fonseca,
        },
        Front {
            name: "kursawe3",
            space: reals(3, -5.0, 5.0),
            reference: &[-4.0, 10.0],
            value: kursawe,
        },
        Front {
            name: "viennet",
            space: reals(2, -3.0, 3.0),
            reference: &[9.0, 18.0, 0.2],
            value: viennet,
        },
        Front {
            name: "bowl10",
            space: reals(10, 0.0, 1.0),
            reference: &[4.0, 4.0],
            value: bowl,
        },
        Front {
            name: "size",
            space: size_space.to_owned(),
            reference: &[2.0, 1.0],
            value: size,
        },
    ]
}
