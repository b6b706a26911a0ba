//! Runs every scheduler of swath over recorded learning curves, for `compare.py` beside it.
//!
//! `curves TABLE LIMIT < ORDERS`: TABLE has the format of `swath simulate --from`; each line of
//! ORDERS is the order of the curves for one seed, as row numbers from 0. Prints a line
//! `scheduler,seed,spent,loss` at each improvement of the best loss that any trial has reported.

#![expect(clippy::print_stdout, reason = "a program that talks to a script")]

use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;
use swath::scheduler::curves::Recording;
use swath::scheduler::simulation::{Curve, Simulation};
use swath::scheduler::{SCHEDULERS, TrialScheduler};
use swath::source::{Diagnostics, Section, Table};
use swath::space::Space;
use swath::study::{Goal, Header, Objective, Setting, Take, kind};

/// The schedulers with their options, and whether their trials have checkpoints.
const ENTRANTS: &[(&str, &str, &str, bool)] = &[
    ("random, full budget", "fifo", "", false),
    (
        "asha, stopping",
        "asha",
        "min = 1\nmax = 81\nreduction = 3",
        false,
    ),
    (
        "asha, promotion",
        "asha",
        "min = 1\nmax = 81\nreduction = 3",
        true,
    ),
    (
        "hyperband, stopping",
        "hyperband",
        "min = 1\nmax = 81\nreduction = 3",
        false,
    ),
    (
        "hyperband, promotion",
        "hyperband",
        "min = 1\nmax = 81\nreduction = 3",
        true,
    ),
    ("median", "median", "min = 1\npeers = 5", false),
];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let [table, limit] = words.as_slice() else {
        return Err("usage: curves TABLE LIMIT < ORDERS".into());
    };
    let recording = Recording::parse(&std::fs::read_to_string(table)?)?;
    let limit: f64 = limit.parse()?;
    for (seed, line) in std::io::stdin().lock().lines().enumerate() {
        let order = line?
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<usize>, _>>()?;
        let curves: Vec<Curve> = order
            .iter()
            .map(|row| recording.curves[*row].1.clone())
            .collect();
        for entrant in ENTRANTS {
            let header = Header {
                objectives: vec![objective()],
                resource: Some("epoch".into()),
                trials: Some(curves.len() as u64),
                ..Header::default()
            };
            let mut simulation =
                Simulation::new(header, build(*entrant)?, 1, &curves)?.with_checkpoints(entrant.3);
            simulation.run(|simulation| simulation.spent >= limit)?;
            for (spent, _, loss) in &simulation.improvements {
                println!("\"{}\",{seed},{spent},{loss}", entrant.0);
            }
        }
    }
    Ok(())
}

fn objective() -> Objective {
    Objective {
        metric: "val_loss".into(),
        goal: Goal::Min,
        take: Take::Best,
    }
}

fn build(
    (_, name, options, checkpoint): (&str, &str, &str, bool),
) -> Result<Box<dyn TrialScheduler>, Box<dyn Error>> {
    let setting = Setting {
        space: Arc::new(Space::default()),
        objectives: vec![objective()],
        seed: 0,
        trials: None,
        slots: 1,
        resource: Some("epoch".into()),
        checkpoint,
        dir: None,
    };
    let mut diagnostics = Diagnostics::default();
    let section = Section::new("scheduler", 0..0, Table::parse(options, &mut diagnostics));
    let kind = kind::find(SCHEDULERS, name).ok_or("no such scheduler")?;
    kind.make(section, &setting, &mut diagnostics)
        .ok_or_else(|| format!("{diagnostics:?}").into())
}
