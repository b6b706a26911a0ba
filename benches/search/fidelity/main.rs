//! Compares samplers and schedulers together on trainings with learning curves, by the loss after a
//! budget of so many full trainings: `cargo run --release -p swath-search --example fidelity --
//! play ENTRANT FILE` plays all tasks and writes the courses; `… -- judge base.csv new.csv`
//! compares the files.
//!
//! `play ENTRANT FILE [SEEDS] [BUDGET] [TASKS] [SLOTS] [FIRST SEED]`; TASKS are parts of names,
//! separated by commas.
//!
//! `serve TASK SEED` answers configurations with learning curves for `peers.py`, which plays other
//! tools on the same trainings.
//!
//! All epochs count, those of stopped trials too. A resumed trial pays for its further epochs only.
//! The loss is the best that any trial has reported by then.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a report"
)]

#[path = "../game.rs"]
mod game;
#[path = "../development/judge.rs"]
mod judge;
mod play;
mod serve;
mod tasks;

use judge::Moments;
use play::Entrant;
use std::fmt::Write as _;

/// The entrants: a name, sampler, scheduler, its options, whether trials have checkpoints.
const ENTRANTS: &[Entrant] = &[
    Entrant::new("full-random", "random", "fifo", "", false),
    Entrant::new("full-auto", "auto", "fifo", "", false),
    Entrant::new("stop-random", "random", "asha", RUNGS, false),
    Entrant::new("stop-tpe", "tpe", "asha", RUNGS, false),
    Entrant::new("stop-auto", "auto", "asha", RUNGS, false),
    Entrant::new("promote-random", "random", "asha", RUNGS, true),
    Entrant::new("promote-tpe", "tpe", "asha", RUNGS, true),
    Entrant::new("promote-auto", "auto", "asha", RUNGS, true),
    Entrant::new("restart-random", "random", "asha", RUNGS, true).restarting(),
    Entrant::new("restart-tpe", "tpe", "asha", RUNGS, true).restarting(),
    Entrant::new("restart-auto", "auto", "asha", RUNGS, true).restarting(),
    Entrant::new("auto-random", "random", "auto", RUNGS, true),
    Entrant::new("auto-tpe", "tpe", "auto", RUNGS, true),
    Entrant::new("auto-auto", "auto", "auto", RUNGS, true),
    Entrant::new("auto-restart", "auto", "auto", RUNGS, false),
    Entrant::new("hyperband-auto", "auto", "hyperband", RUNGS, false),
    Entrant::new("median-auto", "auto", "median", "min = 1\npeers = 5", false),
];

const RUNGS: &str = "min = 1\nmax = 81\nreduction = 3";

/// The regret is not followed below this share of the scale of a task.
const LEAST_REGRET: f64 = 5e-3;

/// The budgets that are judged, in full trainings.
const BUDGETS: [usize; 5] = [5, 10, 20, 40, 60];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((verb, rest)) if verb == "play" && rest.len() >= 2 => record(rest),
        Some((verb, rest)) if verb == "judge" && !rest.is_empty() => judge::print(rest, budgets),
        Some((verb, [task, seed])) if verb == "serve" => serve::serve(task, seed.parse().unwrap()),
        _ => println!("fidelity play ENTRANT FILE [SEEDS] …, judge FILE… or serve TASK SEED"),
    }
}

/// Returns the budgets up to `most`, and the differences at each of them.
fn budgets(most: usize) -> Moments {
    let ranks: Vec<usize> = BUDGETS
        .into_iter()
        .filter(|budget| *budget <= most)
        .collect();
    Moments {
        spans: ranks.iter().map(|budget| (*budget, *budget)).collect(),
        ranks,
    }
}

/// Plays the tasks and writes one line for each run: task, kind, seed, scale, milliseconds of a
/// trial, and the regret after each full training.
fn record(args: &[String]) {
    let number = |at: usize, default: usize| {
        args.get(at)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(default)
    };
    let entrant = ENTRANTS.iter().find(|entrant| entrant.name == args[0]);
    let entrant = entrant.unwrap_or_else(|| panic!("no entrant `{}`", args[0]));
    let (most, slots, first) = (number(3, 60), number(5, 1), number(6, 0) as u64);
    let only = args.get(4).map_or("", String::as_str);
    let mut lines = String::new();
    for task in tasks::all() {
        if !only.split(',').any(|word| task.name.contains(word)) {
            continue;
        }
        for seed in first..first + number(2, 10) as u64 {
            let (lowest, scale) = play::scale(&task, seed);
            let course = play::run(entrant, &task, seed, most, slots);
            let _ = write!(
                lines,
                "{}\t{}\t{seed}\t{scale}\t{:.3}",
                task.name, task.kind, course.milliseconds
            );
            for loss in course.losses {
                let _ = write!(lines, "\t{:.6e}", (loss - lowest).max(LEAST_REGRET * scale));
            }
            lines.push('\n');
        }
        // Written task by task, so that an interrupted run leaves those that it finished.
        std::fs::write(&args[1], &lines).expect("the file can be written");
    }
}
