//! Compares the samplers with each other on the tasks of `tasks.rs`: `cargo run --release --example regret -- [trials] [seeds] [samplers] [tasks]`.
//!
//! Prints the median best value at the end by task, and the mean rank over tasks and seeds at a quarter, half and all of the trials.

#![expect(clippy::print_stdout, reason = "a report")]

mod play;
mod tasks;

use std::time::Instant;

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
    println!("{:12} {}", "", samplers.iter().map(|name| format!("{name:>12}")).collect::<String>());
    for task in tasks::all().iter().filter(|task| only.split(',').any(|word| task.name.contains(word))) {
        let mut finals = vec![Vec::new(); samplers.len()];
        for seed in 0..seeds {
            let curves: Vec<Vec<f64>> = samplers
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let began = Instant::now();
                    let curve = play(name, task, seed, trials);
                    spent[at] += began.elapsed().as_secs_f64();
                    finals[at].push(curve[trials - 1]);
                    curve
                })
                .collect();
            for (slot, mark) in marks.iter().enumerate() {
                for (at, curve) in curves.iter().enumerate() {
                    let mine = curve[mark - 1];
                    let better = curves.iter().filter(|other| other[mark - 1] < mine).count() as f64;
                    let equal = curves.iter().filter(|other| other[mark - 1] == mine).count() as f64;
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
        let row: String = ranks.iter().map(|rank| format!("{:12.2}", rank[slot] / games)).collect();
        println!("rank at {mark:<4} {row}");
    }
    let row: String = spent.iter().map(|s| format!("{:12.3}", s * 1e3 / games / trials as f64)).collect();
    println!("ms a trial   {row}");
}

fn play(name: &str, task: &tasks::Task, seed: u64, trials: usize) -> Vec<f64> {
    let space = play::space(&task.space);
    let Some(mut game) = play::Game::new(name, space, 1, seed, trials as u64) else {
        return vec![f64::INFINITY; trials];
    };
    let mut best = f64::INFINITY;
    (0..trials)
        .map(|_| {
            if let Some(params) = game.ask() {
                let value = (task.value)(&params);
                let trial = game.start(params);
                game.tell(trial, &[value]);
                best = best.min(value);
            }
            best
        })
        .collect()
}
