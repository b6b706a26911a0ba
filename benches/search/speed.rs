//! Measures the time of one proposal, and of learning when a trial ends: `cargo run --release -p
//! swath-search --example speed -- [samplers]`.
//!
//! Random search supplies the trials, since it takes no time. The time of a proposal is the least
//! of five, so that other programs on the machine hardly count; the median of nine proposals is
//! printed.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a report")]

#[path = "game.rs"]
mod game;
#[path = "trials.rs"]
mod trials;

use game::Game;
use std::hint::black_box;
use std::time::{Duration, Instant};
use swath_model::space::Params;

/// Pairs of trials and dimensions.
const SIZES: [(usize, usize); 4] = [(100, 10), (1_000, 10), (1_000, 50), (10_000, 10)];

/// Number of proposals that are measured.
const REPEATS: usize = 9;
/// Number of times that each of them is made.
const ATTEMPTS: usize = 5;

fn main() {
    let samplers = std::env::args().nth(1);
    let samplers = samplers.unwrap_or_else(|| "random,sobol,tpe,gp,cmaes,nsga2,auto".to_owned());
    println!("milliseconds of a proposal (and of learning from a trial) by trials, dimensions");
    print!("{:10}", "");
    for (trials, dims) in SIZES {
        print!("{:>18}", format!("{trials}, {dims}"));
    }
    println!();
    for sampler in samplers.split(',') {
        print!("{sampler:10}");
        for (trials, dims) in SIZES {
            let (ask, learn) = times(sampler, trials, dims);
            print!("{:>18}", format!("{ask:.3} ({learn:.3})"));
        }
        println!();
    }
}

/// Returns the milliseconds of a proposal after so many trials, and of learning from each of them.
fn times(sampler: &str, trials: usize, dims: usize) -> (f64, f64) {
    let text: String = (0..dims)
        .map(|at| format!("x{at} = {{ min = -5.0, max = 5.0 }}\n"))
        .collect();
    let mut setting = game::setting(game::space(&text), &["loss".to_owned()], 1);
    setting.trials = Some(trials as u64 + 100);
    let open = |name| Game::open(name, "", setting.clone(), Vec::new());
    let mut history = open("random").expect("random is a sampler");
    let mut game = open(sampler).expect("the sampler is in the registry");
    let mut learning = Duration::ZERO;
    for _ in 0..trials {
        let params = history.ask().expect("random always proposes");
        let loss = loss(&params);
        let trial = history.start(params.clone());
        history.tell(trial, &[loss]);
        let began = Instant::now();
        let trial = game.start(params);
        game.tell(trial, &[loss]);
        learning += began.elapsed();
    }
    let mut asks: Vec<Duration> = (0..REPEATS).map(|_| one_proposal(&mut game)).collect();
    asks.sort_unstable();
    let median = asks[REPEATS / 2].as_secs_f64() * 1e3;
    (median, learning.as_secs_f64() * 1e3 / trials as f64)
}

/// Makes a proposal and a trial of it, and returns the least time of the proposal.
fn one_proposal(game: &mut Game) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let began = Instant::now();
        black_box(game.ask());
        least = least.min(began.elapsed());
    }
    let params = game.ask().expect("the space is infinite");
    let loss = loss(&params);
    let trial = game.start(params);
    game.tell(trial, &[loss]);
    least
}

fn loss(params: &Params) -> f64 {
    let numbers = params.iter().filter_map(|(_, value)| value.as_f64());
    numbers.map(|x| (x - 1.0) * (x - 1.0)).sum()
}
