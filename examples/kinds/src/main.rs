//! A program that adds a sampler, a scheduler, an executor and a tracker to swath and runs a sweep
//! file that names them.
//!
//! ```console
//! $ cargo run --manifest-path examples/kinds/Cargo.toml
//! ```

mod kinds;

use std::env;
use std::error::Error;
use std::path::Path;
use swath::run::{self, Options};
use swath::sweep::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::standard()
        .sampler(kinds::HALTON)
        .scheduler(kinds::CEILING)
        .executor(kinds::NICE)
        .tracker(kinds::DIARY);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sweep = registry.read(&folder.join("sweep.toml"))?;
    let options = Options {
        logs: "logs".into(),
        workdir: ".".into(),
        command_line: env::args().collect(),
        ..Options::default()
    };
    let study = run::programs(&sweep, options)?;
    for trial in study.trials() {
        let params: Vec<_> = trial
            .params
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        println!(
            "trial {} is {}: {}",
            trial.id,
            trial.state.word(),
            params.join(", ")
        );
    }
    Ok(())
}
