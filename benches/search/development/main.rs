//! Compares samplers, and builds of the same sampler, on the tasks of `tasks.rs`:
//! `cargo run --release -p swath-search --example development -- play auto new.csv` plays all tasks
//! and writes the courses; `… -- judge base.csv new.csv` compares the files.
//!
//! `play SAMPLER FILE [SEEDS] [TRIALS] [SLOTS] [TASKS] [FIRST SEED]`; TASKS are parts of names or
//! kinds, separated by commas.

#![expect(clippy::print_stdout, reason = "a report")]

mod fronts;
mod judge;
mod play;
mod tasks;

use std::fmt::Write as _;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((verb, rest)) if verb == "play" && rest.len() >= 2 => record(rest),
        Some((verb, rest)) if verb == "judge" && !rest.is_empty() => judge::print(rest, quarters),
        _ => println!("development play SAMPLER FILE [SEEDS] … or development judge FILE…"),
    }
}

/// Returns the quarters of a course of so many trials.
fn quarters(trials: usize) -> judge::Moments {
    judge::Moments {
        ranks: vec![trials / 4, trials / 2, trials],
        spans: vec![(1, trials / 4), (1, trials), (trials, trials)],
    }
}

/// Plays the tasks and writes one line for each run: task, kind, seed, scale, milliseconds,
/// regrets.
fn record(args: &[String]) {
    let number = |at: usize, default: usize| {
        args.get(at)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(default)
    };
    let size = play::Size {
        trials: number(3, 100),
        slots: number(4, 1),
    };
    let first = number(6, 0) as u64;
    let only = args.get(5).map_or("", String::as_str);
    let mut lines = String::new();
    let (tasks, fronts) = (tasks::all(), fronts::all());
    let single = tasks.iter().map(play::Problem::Single);
    for problem in single.chain(fronts.iter().map(play::Problem::Front)) {
        let task = problem.task();
        let is_wanted = |word: &str| task.name.contains(word) || task.kind.contains(word);
        if !only.split(',').any(is_wanted) {
            continue;
        }
        for seed in first..first + number(2, 10) as u64 {
            let course = play::play(&args[0], problem, seed, size);
            let _ = write!(
                lines,
                "{}\t{}\t{seed}\t{}\t{:.3}",
                task.name,
                task.kind,
                play::scale(problem, seed),
                course.milliseconds
            );
            for regret in course.regrets {
                let _ = write!(lines, "\t{regret:.6e}");
            }
            lines.push('\n');
        }
        // Written task by task, so that an interrupted run leaves those that it finished.
        std::fs::write(&args[1], &lines).expect("the file can be written");
    }
}
