//! Functions with several objectives, each with the hypervolume of its Pareto front. None of them
//! is among the functions that `BENCHMARKS.md` evaluates by (ZDT, DTLZ and the engineering problems
//! of `peers/tasks.py`).
//!
//! The seed flips, shifts or rotates the coordinates, or draws the values of the choices. The
//! regret of a run is the share of the front's hypervolume that it does not dominate.

use super::tasks::{
    Instance, Task, Trial, choice, coordinates, letters, number, rng, rotate, rotation,
    standard_normal, uniform,
};
use std::f64::consts::PI;
use std::rc::Rc;
use swath_model::space::Params;
use swath_numerics::hypervolume::hypervolume;
use swath_numerics::pareto::dominates;

/// The most objectives of a task.
pub(crate) const MOST: usize = 3;

/// The values of all objectives; those beyond the number of objectives are 0.
pub(crate) type Point = [f64; MOST];

/// A task with several objectives.
pub(crate) struct Front {
    pub(crate) task: Task,
    /// The reference point of the hypervolume: one value for each objective.
    pub(crate) reference: Vec<f64>,
    /// The hypervolume of the Pareto front of an instance.
    volume: Box<dyn Fn(u64) -> f64>,
}

impl Front {
    /// Returns the shares of the front's hypervolume that results do not dominate, of which each is
    /// a pair of reported and true values. Those that another result dominates by reported values
    /// do not count.
    pub(crate) fn regret(&self, seed: u64) -> impl FnMut(&[(Point, Point)]) -> f64 {
        let (volume, reference) = ((self.volume)(seed), self.reference.clone());
        let count = reference.len();
        move |results| {
            let reported: Vec<&[f64]> = results.iter().map(|(own, _)| &own[..count]).collect();
            let best = results
                .iter()
                .zip(&reported)
                .filter(|(_, own)| !reported.iter().any(|other| dominates(other, own)));
            let points: Vec<Vec<f64>> = best.map(|((_, own), _)| own[..count].to_vec()).collect();
            (1.0 - hypervolume(&points, &reference) / volume).max(0.0)
        }
    }
}

/// Returns all tasks with several objectives.
pub(crate) fn all() -> Vec<Front> {
    let mut fronts = vec![
        arc("arc d6", 6, Border::None),
        arc("arc d20", 20, Border::None),
        arc("arc with a limit d5", 5, Border::Limit),
        arc("arc with failures d4", 4, Border::Failure),
        coast("gaps d5", 5, gaps),
        coast("peaks d4", 4, peaks),
        fonseca(),
        kursawe(),
        plane("branin and currin", &[60.0, 8.0], false, |x| {
            [branin(x), currin(x), 0.0]
        }),
        plane("viennet", &[9.0, 17.5, 0.2], false, viennet),
        plane("srinivas, limited", &[230.0, 30.0], true, srinivas),
        corners("corners d4", 4),
        waves(),
        size(),
        cost_of_choices(),
    ];
    for (front, deviation) in [
        (arc("arc, noise d5", 5, Border::None), 0.1),
        (corners("corners, noise d3", 3), 0.05),
        (size(), 0.03),
        (coast("gaps, large noise d3", 3, gaps), 0.2),
    ] {
        fronts.push(noisy(front, deviation));
    }
    fronts
}

/// Adds noise to the reported values.
fn noisy(front: Front, deviation: f64) -> Front {
    let (task, count) = (front.task, front.reference.len());
    let name = task.name.clone();
    let instance = task.instance;
    Front {
        task: Task {
            name: if name.contains("noise") {
                name
            } else {
                name + ", noise"
            },
            kind: "front noise",
            instance: Box::new(move |seed| {
                let exact = instance(seed);
                Box::new(move |params, rng| {
                    let mut trial = exact(params, rng);
                    for value in &mut trial.reported[..count] {
                        *value += deviation * standard_normal(rng);
                    }
                    trial
                })
            }),
            ..task
        },
        ..front
    }
}

fn exact(point: Point) -> Trial {
    Trial {
        point,
        reported: point,
        ..Trial::default()
    }
}

/// Returns the hypervolume of the points of a front.
fn volume_of(points: impl Iterator<Item = Point>, reference: &[f64]) -> f64 {
    // Few points of a dense sample are undominated; the volume of those alone is quick.
    let mut front: Vec<Vec<f64>> = Vec::new();
    let mut all: Vec<Vec<f64>> = points
        .map(|point| point[..reference.len()].to_vec())
        .collect();
    all.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
    for point in all {
        if !front.iter().any(|other| dominates(other, &point)) {
            front.push(point);
        }
    }
    hypervolume(&front, reference)
}

/// Returns the hypervolume of a front that is the same for every seed.
fn constant(volume: f64) -> Box<dyn Fn(u64) -> f64> {
    Box::new(move |_| volume)
}

fn unit_space(d: usize) -> String {
    let lines = (0..d).map(|at| format!("x{at} = {{ min = 0.0, max = 1.0 }}\n"));
    lines.collect()
}

fn steps(count: usize) -> impl Iterator<Item = f64> + Clone {
    (0..=count).map(move |at| at as f64 / count as f64)
}

/// The reason for which a part of an arc is useless.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Border {
    None,
    Limit,
    Failure,
}

/// The first coordinate moves along a quarter of a circle, the others lead to it. A limit cuts two
/// gaps into it; failures make half of the approach useless.
fn arc(name: &str, d: usize, border: Border) -> Front {
    let front = steps(2000)
        .filter(|t| border != Border::Limit || arc_cost(*t) <= 0.0)
        .map(|t| arc_point(t, 0.0));
    let reference = vec![2.0, 2.0];
    Front {
        volume: constant(volume_of(front, &reference)),
        reference,
        task: Task {
            name: name.to_owned(),
            kind: if border == Border::None {
                "front"
            } else {
                "front border"
            },
            space: unit_space(d),
            limited: border == Border::Limit,
            instance: Box::new(move |seed| {
                let mut rng = rng(seed, 100 + d as u64);
                let optimum: Vec<f64> = (1..d).map(|_| uniform(&mut rng, 0.2, 0.8)).collect();
                // In many dimensions only the first five matter.
                let weights: Vec<f64> = (1..d)
                    .map(|at| {
                        if at > 5 {
                            0.01
                        } else {
                            uniform(&mut rng, 1.0, 6.0)
                        }
                    })
                    .collect();
                Box::new(move |params, _| {
                    let x = coordinates(params, d);
                    let distance: f64 = x[1..]
                        .iter()
                        .zip(&optimum)
                        .zip(&weights)
                        .map(|((x, optimum), weight)| weight * (x - optimum).powi(2))
                        .sum();
                    let cost = arc_cost(x[0]) + 0.2 * distance;
                    Trial {
                        cost,
                        fails: border == Border::Failure && x[1] < optimum[0] - 0.05,
                        ..exact(arc_point(x[0], distance))
                    }
                })
            }),
        },
    }
}

fn arc_point(t: f64, distance: f64) -> Point {
    let angle = 0.5 * PI * t;
    [
        (1.0 + distance) * angle.cos(),
        (1.0 + distance) * angle.sin(),
        0.0,
    ]
}

fn arc_cost(t: f64) -> f64 {
    0.2 - (4.0 * PI * t).cos().abs()
}

/// The second objective as a function of the first, which is the first coordinate, and the distance
/// of the other coordinates.
type Coast = fn(f64, &[f64]) -> f64;

/// A front that is the lower edge of a coast; the other coordinates are rotated.
fn coast(name: &str, d: usize, shape: Coast) -> Front {
    let reference = vec![1.1, 2.5];
    let best = steps(4000).map(|t| [t, shape(t, &vec![0.0; d - 1]), 0.0]);
    Front {
        volume: constant(volume_of(best, &reference)),
        reference,
        task: Task {
            name: name.to_owned(),
            kind: if name.starts_with("gaps") {
                "front gaps"
            } else {
                "front peaks"
            },
            space: unit_space(d),
            limited: false,
            instance: Box::new(move |seed| {
                let mut rng = rng(seed, 200 + d as u64);
                let optimum: Vec<f64> = (1..d).map(|_| uniform(&mut rng, 0.25, 0.75)).collect();
                let rows = rotation(d - 1, &mut rng);
                Box::new(move |params, _| {
                    let x = coordinates(params, d);
                    let offset: Vec<f64> =
                        x[1..].iter().zip(&optimum).map(|(x, o)| x - o).collect();
                    exact([x[0], shape(x[0], &rotate(&rows, &offset)), 0.0])
                })
            }),
        },
    }
}

/// Four pieces with gaps between them.
fn gaps(t: f64, z: &[f64]) -> f64 {
    let square: f64 = z.iter().map(|z| z * z).sum();
    1.0 - t + 0.2 * (7.0 * PI * t).sin() + 4.0 * square
}

/// Many local fronts behind the global one.
fn peaks(t: f64, z: &[f64]) -> f64 {
    let bumps: f64 = z
        .iter()
        .map(|z| 3.0 * z * z + 0.25 * (1.0 - (7.0 * PI * z).cos()))
        .sum();
    1.0 - t * t + bumps
}

/// Fonseca & Fleming, IEEE Transactions on Systems, Man and Cybernetics A 28(1), 1998.
fn fonseca() -> Front {
    let reference = vec![1.0, 1.0];
    let best = steps(2000).map(|t| fonseca_point(&[(2.0 * t - 1.0) / 5f64.sqrt(); 5]));
    Front {
        volume: constant(volume_of(best, &reference)),
        reference,
        task: Task {
            name: "fonseca d5".to_owned(),
            kind: "front",
            space: unit_space(5),
            limited: false,
            instance: Box::new(|seed| {
                let signs = signs(seed, 5);
                Box::new(move |params, _| {
                    let x = coordinates(params, 5);
                    let x: Vec<f64> = x
                        .iter()
                        .zip(&signs)
                        .map(|(x, sign)| sign * (6.0 * x - 3.3))
                        .collect();
                    exact(fonseca_point(&x))
                })
            }),
        },
    }
}

fn fonseca_point(x: &[f64]) -> Point {
    let optimum = 1.0 / (x.len() as f64).sqrt();
    let [first, second] = [optimum, -optimum].map(|optimum| {
        let distance: f64 = x.iter().map(|x| (x - optimum).powi(2)).sum();
        1.0 - (-distance).exp()
    });
    [first, second, 0.0]
}

/// Returns a random sign for each coordinate.
fn signs(seed: u64, d: usize) -> Vec<f64> {
    let mut rng = rng(seed, 300);
    (0..d)
        .map(|_| {
            if uniform(&mut rng, 0.0, 1.0) < 0.5 {
                -1.0
            } else {
                1.0
            }
        })
        .collect()
}

/// Kursawe, PPSN I, 1991: a disconnected front.
fn kursawe() -> Front {
    let reference = vec![-10.0, 4.0];
    let axis: Vec<f64> = steps(45).map(|t| 1.5 * t - 1.4).collect();
    let mut best = Vec::new();
    for a in &axis {
        for b in &axis {
            best.extend(axis.iter().map(|c| kursawe_point(&[*a, *b, *c])));
        }
    }
    Front {
        volume: constant(volume_of(best.into_iter(), &reference)),
        reference,
        task: Task {
            name: "kursawe d3".to_owned(),
            kind: "front gaps",
            space: unit_space(3),
            limited: false,
            instance: Box::new(|seed| {
                let mut rng = rng(seed, 301);
                let shift: Vec<f64> = (0..3).map(|_| uniform(&mut rng, -6.0, -4.0)).collect();
                Box::new(move |params, _| {
                    let x = coordinates(params, 3);
                    let x: Vec<f64> = x
                        .iter()
                        .zip(&shift)
                        .map(|(x, shift)| 10.0 * x + shift)
                        .collect();
                    exact(kursawe_point(&x))
                })
            }),
        },
    }
}

fn kursawe_point(x: &[f64]) -> Point {
    let pairs = x
        .windows(2)
        .map(|x| -10.0 * (-0.2 * x[0].hypot(x[1])).exp());
    let single = x.iter().map(|x| x.abs().powf(0.8) + 5.0 * x.powi(3).sin());
    [pairs.sum(), single.sum(), 0.0]
}

/// A function on the unit square, whose front is that of a grid. The seed swaps and flips the axes.
/// With `limited` the third value is the cost.
fn plane(name: &str, reference: &[f64], limited: bool, value: fn([f64; 2]) -> Point) -> Front {
    let grid = steps(400).flat_map(|a| steps(400).map(move |b| value([a, b])));
    let feasible = grid.filter(|point| !limited || point[2] <= 0.0);
    Front {
        volume: constant(volume_of(feasible, reference)),
        reference: reference.to_vec(),
        task: Task {
            name: name.to_owned(),
            kind: if limited { "front border" } else { "front" },
            space: unit_space(2),
            limited,
            instance: Box::new(move |seed| {
                let signs = signs(seed, 3);
                Box::new(move |params, _| {
                    let x = coordinates(params, 2);
                    let mut x = [0, 1].map(|at| if signs[at] > 0.0 { x[at] } else { 1.0 - x[at] });
                    if signs[2] > 0.0 {
                        x.swap(0, 1);
                    }
                    let point = value(x);
                    Trial {
                        cost: point[2],
                        ..exact(point)
                    }
                })
            }),
        },
    }
}

/// Branin's function.
fn branin(x: [f64; 2]) -> f64 {
    let (a, b) = (15.0 * x[0] - 5.0, 15.0 * x[1]);
    let t = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
    t * t + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * a.cos() + 10.0
}

/// Currin, Mitchell, Morris & Ylvisaker, 1988.
fn currin(x: [f64; 2]) -> f64 {
    let factor = 1.0 - (-1.0 / (2.0 * x[1].max(1e-9))).exp();
    let above = 2300.0 * x[0].powi(3) + 1900.0 * x[0].powi(2) + 2092.0 * x[0] + 60.0;
    factor * above / (100.0 * x[0].powi(3) + 500.0 * x[0].powi(2) + 4.0 * x[0] + 20.0)
}

/// Viennet, Fonteix & Marc, International Journal of Systems Science 27(2), 1996.
fn viennet(x: [f64; 2]) -> Point {
    let [x, y] = x.map(|x| 6.0 * x - 3.0);
    let square = x * x + y * y;
    [
        0.5 * square + square.sin(),
        (3.0 * x - 2.0 * y + 4.0).powi(2) / 8.0 + (x - y + 1.0).powi(2) / 27.0 + 15.0,
        1.0 / (square + 1.0) - 1.1 * (-square).exp(),
    ]
}

/// Srinivas & Deb, Evolutionary Computation 2(3), 1994, with two constraints; the third value is
/// the larger excess.
fn srinivas(x: [f64; 2]) -> Point {
    let [x, y] = x.map(|x| 40.0 * x - 20.0);
    let disc = (x * x + y * y - 225.0) / 225.0;
    let line = (x - 3.0 * y + 10.0) / 10.0;
    [
        2.0 + (x - 2.0).powi(2) + (y - 1.0).powi(2),
        9.0 * x - (y - 1.0).powi(2),
        disc.max(line),
    ]
}

/// The squared distances from three points: the front is the triangle between them.
fn corners(name: &str, d: usize) -> Front {
    let reference = vec![1.0; 3];
    let centres = [[0.0, 0.0], [0.7, 0.0], [0.2, 0.6]];
    let best = steps(60).flat_map(move |a| {
        steps(60).filter(move |b| a + b <= 1.0).map(move |b| {
            let weights = [a, b, 1.0 - a - b];
            let x = [0, 1].map(|at| (0..3).map(|c| weights[c] * centres[c][at]).sum::<f64>());
            corner_distances(&x, &centres)
        })
    });
    Front {
        volume: constant(volume_of(best, &reference)),
        reference,
        task: Task {
            name: name.to_owned(),
            kind: "front of three",
            space: unit_space(d),
            limited: false,
            instance: Box::new(move |seed| {
                let mut rng = rng(seed, 400 + d as u64);
                let rows = rotation(d, &mut rng);
                Box::new(move |params, _| {
                    let x: Vec<f64> = coordinates(params, d).iter().map(|x| x - 0.5).collect();
                    let mut z = rotate(&rows, &x);
                    z[0] += 0.3;
                    z[1] += 0.2;
                    exact(corner_distances(&z, &centres))
                })
            }),
        },
    }
}

fn corner_distances(z: &[f64], centres: &[[f64; 2]; 3]) -> Point {
    let rest: f64 = z[2..].iter().map(|z| 2.0 * z * z).sum();
    centres.map(|centre| (z[0] - centre[0]).powi(2) + (z[1] - centre[1]).powi(2) + rest)
}

/// Three objectives with a disconnected front over two coordinates, and two that lead to it.
fn waves() -> Front {
    let reference = vec![1.1, 1.1, 2.5];
    let best = steps(120).flat_map(|a| steps(120).map(move |b| wave_point(a, b, 0.0)));
    Front {
        volume: constant(volume_of(best, &reference)),
        reference,
        task: Task {
            name: "waves of three d4".to_owned(),
            kind: "front of three",
            space: unit_space(4),
            limited: false,
            instance: Box::new(|seed| {
                let mut rng = rng(seed, 500);
                let optimum = [0, 1].map(|_| uniform(&mut rng, 0.2, 0.8));
                Box::new(move |params, _| {
                    let x = coordinates(params, 4);
                    let distance = (x[2] - optimum[0]).powi(2) + (x[3] - optimum[1]).powi(2);
                    exact(wave_point(x[0], x[1], 3.0 * distance))
                })
            }),
        },
    }
}

fn wave_point(a: f64, b: f64, distance: f64) -> Point {
    let waves = (5.0 * PI * a).sin() + (4.0 * PI * b).sin();
    [a, b, 1.4 - 0.6 * (a + b) + 0.15 * waves + distance]
}

/// The error of a network against its size, over a mixed space.
fn size() -> Front {
    let reference = vec![2.0, 1.0];
    let sizes = (1..=8).flat_map(|layers| {
        (8..=1024).map(move |units| f64::from(layers) * f64::from(units).log2())
    });
    let best = sizes.map(|weights| {
        let dropout = (0.02 * weights).min(0.8);
        [network_error(weights, 0.0, dropout), weights / 80.0, 0.0]
    });
    Front {
        volume: constant(volume_of(best, &reference)),
        reference,
        task: Task {
            name: "error and size, mixed".to_owned(),
            kind: "front mixed",
            space: "layers = { min = 1, max = 8 }\nunits = { min = 8, max = 1024, log = true }\n\
                lr = { min = 1e-6, max = 10.0, log = true }\n\
                dropout = { min = 0.0, max = 0.8 }\noptimizer = [\"c0\", \"c1\"]\n"
                .to_owned(),
            limited: false,
            instance: Box::new(|seed| {
                let mut rng = rng(seed, 600);
                let best = [0, 1].map(|_| uniform(&mut rng, -4.0, -1.0));
                Box::new(move |params, _| {
                    let layers = number(params, "layers");
                    let weights = layers * number(params, "units").log2();
                    let best = best[choice(params, "optimizer")] - 0.1 * layers;
                    let off = number(params, "lr").log10() - best;
                    let error = network_error(weights, off, number(params, "dropout"));
                    exact([error, weights / 80.0, 0.0])
                })
            }),
        },
    }
}

fn network_error(weights: f64, off: f64, dropout: f64) -> f64 {
    0.05 + 1.2 * (-weights / 9.0).exp()
        + 0.08 * off * off
        + 0.3 * (dropout - 0.02 * weights).powi(2)
}

/// Four choices of five, each with an effect on either objective, and a number that matters to
/// both.
fn cost_of_choices() -> Front {
    let reference = vec![5.0, 5.0];
    Front {
        volume: {
            let reference = reference.clone();
            Box::new(move |seed| {
                let table = effects(seed);
                let all = (0..625).map(|code| {
                    let picks = [0, 1, 2, 3].map(|at| code / 5usize.pow(at) % 5);
                    choice_point(&table, &picks, 0.0)
                });
                volume_of(all, &reference)
            })
        },
        reference,
        task: Task {
            name: "cost of choices".to_owned(),
            kind: "front mixed",
            space: (0..4)
                .map(|at| format!("c{at} = {}\n", letters(5)))
                .collect::<String>()
                + "x0 = { min = 0.0, max = 1.0 }\n",
            limited: false,
            instance: Box::new(|seed| {
                let table = Rc::new(effects(seed));
                let best = uniform(&mut rng(seed, 701), 0.1, 0.9);
                choice_instance(table, best)
            }),
        },
    }
}

fn choice_instance(table: Rc<Vec<[Point; 5]>>, best: f64) -> Instance {
    Box::new(move |params: &Params, _| {
        let picks = [0, 1, 2, 3].map(|at| choice(params, &format!("c{at}")));
        let off = number(params, "x0") - best;
        exact(choice_point(&table, &picks, 3.0 * off * off))
    })
}

/// Returns the effects of each value of each choice on both objectives, from 0 to 1.
fn effects(seed: u64) -> Vec<[Point; 5]> {
    let mut rng = rng(seed, 700);
    let mut effect = || uniform(&mut rng, 0.0, 1.0);
    (0..4)
        .map(|_| std::array::from_fn(|_| [effect(), effect(), 0.0]))
        .collect()
}

fn choice_point(table: &[[Point; 5]], picks: &[usize; 4], distance: f64) -> Point {
    let mut point = [distance, distance, 0.0];
    for (effects, pick) in table.iter().zip(picks) {
        point[0] += effects[*pick][0];
        point[1] += effects[*pick][1];
    }
    point
}
