//! Runs a sampler of the library against a function without the driver.

#[path = "game.rs"]
pub(crate) mod game;
#[path = "trials.rs"]
mod trials;

pub(crate) use game::{Game, space};

use std::sync::Arc;
use swath::space::Space;

impl Game {
    pub(crate) fn new(
        name: &str,
        space: Arc<Space>,
        objectives: usize,
        seed: u64,
        trials: u64,
    ) -> Option<Self> {
        let metrics: Vec<String> = (0..objectives).map(|at| format!("f{at}")).collect();
        let mut setting = game::setting(space, &metrics, seed);
        setting.trials = Some(trials);
        let options = match name {
            "program" => format!(
                "command = ['python3', '{}/examples/sampler.py']",
                env!("CARGO_MANIFEST_DIR")
            ),
            _ => String::new(),
        };
        Self::open(name, &options, setting, Vec::new())
    }
}
