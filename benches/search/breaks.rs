//! Compares samplers on spaces of which a part breaks: `cargo run --release -p swath-search
//! --example breaks -- [seeds] [samplers]`.
//!
//! Prints for each task the mean decimal logarithm of the regret after 25, 50 and 100 trials, and
//! the number of failed trials.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a report")]

#[path = "game.rs"]
mod game;
#[path = "trials.rs"]
mod trials;

use game::Game;
use swath_model::study::{Exit, Failure};

/// Numbers of trials after which the regret is printed.
const MARKS: [usize; 3] = [25, 50, 100];

/// The failure of a point, if it fails there; the last argument is a random number from 0 to 1.
type Border = fn(&[f64], f64) -> Option<Failure>;

/// The tasks: a name, the best point of a bowl, the border.
const TASKS: &[(&str, [f64; 4], Border)] = &[
    ("none", [0.3, 0.6, 0.4, 0.7], |_, _| None),
    // The best point is just inside.
    ("edge", [0.58, 0.6, 0.4, 0.7], |x, _| {
        (x[0] > 0.6).then_some(Failure::Memory)
    }),
    // The best points of the bowl fail.
    ("cut", [0.8, 0.6, 0.4, 0.7], |x, _| {
        (x[0] + x[1] > 1.1).then_some(Failure::Memory)
    }),
    ("two", [0.68, 0.32, 0.4, 0.7], |x, _| {
        if x[0] > 0.7 {
            Some(Failure::Memory)
        } else {
            (x[1] < 0.3).then(|| Failure::NoObjective("nan".into()))
        }
    }),
    ("most", [0.2, 0.8, 0.4, 0.7], |x, _| {
        (x[0] > 0.35 || x[1] < 0.6).then_some(Failure::Code(1))
    }),
    ("random", [0.3, 0.6, 0.4, 0.7], |_, u| {
        (u < 0.15).then_some(Failure::Code(1))
    }),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let seeds: u64 = args.next().map_or(5, |text| text.parse().unwrap());
    let samplers = args.next().unwrap_or_else(|| "gp,auto".to_owned());
    for (name, best, border) in TASKS {
        for sampler in samplers.split(',') {
            let mut sums = [0.0; MARKS.len() + 1];
            for seed in 0..seeds {
                for (sum, value) in sums.iter_mut().zip(run(sampler, seed, best, *border)) {
                    *sum += value / seeds as f64;
                }
            }
            let cells: String = sums.iter().map(|sum| format!("{sum:8.2}")).collect();
            println!("{name:10} {sampler:8}{cells}");
        }
    }
}

/// Returns the logarithm of the regret at each of [`MARKS`], and the number of failures.
fn run(sampler: &str, seed: u64, best: &[f64; 4], border: Border) -> [f64; MARKS.len() + 1] {
    let text: String = (0..4)
        .map(|axis| format!("x{axis} = {{ min = 0.0, max = 1.0 }}\n"))
        .collect();
    let mut setting = game::setting(game::space(&text), &["loss".to_owned()], seed);
    setting.trials = Some(100);
    let mut game = Game::open(sampler, "", setting, Vec::new()).unwrap();
    let mut results = [0.0; MARKS.len() + 1];
    let mut lowest = f64::INFINITY;
    for count in 1..=100 {
        let proposed = game.ask().unwrap();
        let x: Vec<f64> = proposed
            .iter()
            .filter_map(|(_, value)| value.as_f64())
            .collect();
        let draw =
            swath_numerics::sobol::mix(seed ^ x[0].to_bits() ^ x[1].to_bits().rotate_left(9));
        let failure = border(&x, draw as f64 / 2f64.powi(64));
        let squares = x.iter().zip(best).map(|(x, best)| (x - best).powi(2));
        let loss = squares.sum::<f64>() * (1.0 + 0.3 * (5.0 * x[2]).sin());
        let trial = game.start(proposed);
        match failure {
            None => {
                game.tell(trial, &[loss]);
                lowest = lowest.min(loss);
            }
            Some(failure) => {
                game.end(trial, Exit::Failed(failure));
                results[MARKS.len()] += 1.0;
            }
        }
        if let Some(mark) = MARKS.iter().position(|mark| *mark == count) {
            results[mark] = lowest.max(1e-9).log10();
        }
    }
    results
}
