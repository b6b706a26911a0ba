//! Compares the samplers with each other on the tasks of `tasks.rs` and `fronts.rs`: `cargo run
//! --release --example regret -- [trials] [seeds] [samplers] [tasks]`.
//!
//! Prints the median best value at the end by task (for several objectives the negative
//! hypervolume), and the mean rank over tasks and seeds after a quarter, half and all of the
//! trials.

#![expect(clippy::print_stdout, reason = "a report")]

mod fronts;
mod play;
mod tasks;

use std::time::Instant;
use swath::numerics::hypervolume::hypervolume;
use swath::space::Params;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or_else(|| default.to_owned());
    let trials: usize = next("100").parse().unwrap_or(100);
    let seeds: u64 = next("5").parse().unwrap_or(5);
    let samplers = next("random,tpe");
    let samplers: Vec<&str> = samplers.split(',').collect();
    let only = next("");
    let marks = [trials / 4, trials / 2, trials];
    let mut ranks = vec![[0.0; 3]; samplers.len()];
    let mut spent = vec![0.0; samplers.len()];
    let mut games = 0.0;
    println!(
        "{:12} {}",
        "",
        samplers
            .iter()
            .map(|name| format!("{name:>12}"))
            .collect::<String>()
    );
    for task in every()
        .iter()
        .filter(|task| only.split(',').any(|word| task.name.contains(word)))
    {
        let mut finals = vec![Vec::new(); samplers.len()];
        for seed in 0..seeds {
            let courses: Vec<[f64; 3]> = samplers
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let began = Instant::now();
                    let course = play(name, task, seed, marks);
                    spent[at] += began.elapsed().as_secs_f64();
                    finals[at].push(course[2]);
                    course
                })
                .collect();
            for slot in 0..marks.len() {
                for (at, course) in courses.iter().enumerate() {
                    let mine = course[slot];
                    let better = courses.iter().filter(|other| other[slot] < mine).count() as f64;
                    let equal = courses.iter().filter(|other| other[slot] == mine).count() as f64;
                    ranks[at][slot] += better + (equal + 1.0) / 2.0;
                }
            }
            games += 1.0;
        }
        let medians = finals.iter_mut().map(|values| {
            values.sort_by(f64::total_cmp);
            format!("{:12.4}", values[values.len() / 2])
        });
        println!("{:12} {}", task.name, medians.collect::<String>());
    }
    for (slot, mark) in marks.iter().enumerate() {
        let row: String = ranks
            .iter()
            .map(|rank| format!("{:12.2}", rank[slot] / games))
            .collect();
        println!("rank at {mark:<4} {row}");
    }
    let row: String = spent
        .iter()
        .map(|s| format!("{:12.3}", s * 1e3 / games / trials as f64))
        .collect();
    println!("ms a trial   {row}");
}

type Value = Box<dyn Fn(&Params) -> Vec<f64>>;
type Score = Box<dyn Fn(&[Vec<f64>]) -> f64>;

/// A problem for a sampler: one function, or several whose hypervolume counts.
struct Challenge {
    name: &'static str,
    space: String,
    objectives: usize,
    value: Value,
    /// The score of a list of values; smaller is better.
    score: Score,
}

fn every() -> Vec<Challenge> {
    let single = tasks::all().into_iter().map(|task| Challenge {
        name: task.name,
        space: task.space,
        objectives: 1,
        value: Box::new(move |params| vec![(task.value)(params)]),
        score: Box::new(|values| {
            values
                .iter()
                .map(|value| value[0])
                .fold(f64::INFINITY, f64::min)
        }),
    });
    let several = fronts::all().into_iter().map(|front| Challenge {
        name: front.name,
        space: front.space,
        objectives: front.reference.len(),
        value: Box::new(front.value),
        score: Box::new(|values| -hypervolume(values, front.reference)),
    });
    single.chain(several).collect()
}

/// Returns the score after each number of trials in `marks`.
fn play(name: &str, task: &Challenge, seed: u64, marks: [usize; 3]) -> [f64; 3] {
    let trials = marks[2];
    let space = play::space(&task.space);
    let Some(mut game) = play::Game::new(name, space, task.objectives, seed, trials as u64) else {
        return [f64::INFINITY; 3];
    };
    let mut values = Vec::new();
    for _ in 0..trials {
        let Some(params) = game.ask() else { break };
        let value = (task.value)(&params);
        let trial = game.start(params);
        game.tell(trial, &value);
        values.push(value);
    }
    marks.map(|mark| (task.score)(&values[..mark.min(values.len())]))
}
