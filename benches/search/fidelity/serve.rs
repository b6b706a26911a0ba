//! Serves the trainings of one task to another process: `fidelity serve TASK SEED` prints a header,
//! reads one configuration a line, and prints its loss after each epoch. All lines are JSON.

use crate::tasks::{self, Task};
use crate::{LEAST_REGRET, play};
use serde_json::{Value, json};
use std::io::BufRead as _;
use swath_model::space::{Extent, Name, Params, Space};

/// Serves a task until the standard input ends.
pub(crate) fn serve(name: &str, seed: u64) {
    let task = tasks::all().into_iter().find(|task| task.name == name);
    let task = task.unwrap_or_else(|| panic!("no task `{name}`"));
    print_header(&task, seed);
    let middle = vec![0.5; task.space.dims()];
    for line in std::io::stdin().lock().lines() {
        let params: Params = serde_json::from_str(&line.unwrap()).unwrap();
        if let Err(refusal) = task.space.admits(&params) {
            panic!("{refusal}");
        }
        // The trainings depend on the order of the parameters, which is that of the space.
        let params = task.space.complete(&params, &middle);
        println!("{}", json!((task.curve)(&params, seed)));
    }
}

/// Prints what a peer needs to know before the first trial. The regret is the distance to `lowest`,
/// at least `floor`.
fn print_header(task: &Task, seed: u64) {
    let (lowest, scale) = play::scale(task, seed);
    let header = json!({
        "kind": task.kind,
        "lowest": lowest,
        "scale": scale,
        "floor": LEAST_REGRET * scale,
        "space": axes(&task.space),
    });
    println!("{header}");
}

/// Returns the range or the choices of each parameter. Neither conditions nor integers are told: a
/// configuration that is not in the space is refused.
fn axes(space: &Space) -> Vec<Value> {
    let names = space.names();
    let axis = |name: &Name| match space.extent(name).unwrap() {
        Extent::Range { min, max, log } => {
            json!({"name": name, "min": min, "max": max, "log": log})
        }
        Extent::Choice(values) => json!({"name": name, "values": values}),
    };
    names.iter().map(axis).collect()
}
