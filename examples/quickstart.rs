//! Tunes a Rust function: the same study and the same files as with a program, but without other
//! processes.
//!
//! ```console
//! $ cargo run --release --example quickstart
//! ```

#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person who runs it"
)]

use std::env;
use std::error::Error;
use swath::prelude::*;

/// The sweep. A file read with `Sweep::read` works as well.
const SWEEP: &str = r#"
name = "valley"

[objective]
metric = "loss"
goal = "min"
take = "last"

[search]
sampler = "random"
trials = 200

[space]
lr = { min = 1e-6, max = 1e-2, log = true }
momentum = { min = 0.0, max = 0.99 }
"#;

/// Follows the gradient of Rosenbrock's function from (-1.5, 2) for 500 steps. Returns the value
/// after every 50 steps.
fn descend(lr: f64, momentum: f64) -> impl Iterator<Item = f64> {
    let (mut x, mut y, mut vx, mut vy) = (-1.5_f64, 2.0_f64, 0.0, 0.0);
    (0..10).map(move |_| {
        for _ in 0..50 {
            vx = momentum * vx - lr * (-2.0 * (1.0 - x) - 400.0 * x * (y - x * x));
            vy = momentum * vy - lr * 200.0 * (y - x * x);
            (x, y) = (x + vx, y + vy);
        }
        (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2)
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = Source {
        name: "valley.toml".to_owned(),
        text: SWEEP.to_owned(),
    };
    let sweep = Sweep::parse_for_function(source)?;
    let options = Options {
        logs: "logs".into(),
        workdir: ".".into(),
        command_line: env::args().collect(),
        ..Options::default()
    };

    let study = run::closure(&sweep, options, |trial, log| {
        let steps = descend(trial.float("lr")?, trial.float("momentum")?);
        for (round, loss) in (1_u32..).zip(steps) {
            if log.report(&[("round", f64::from(round)), ("loss", loss)])? != Directive::Continue {
                break;
            }
        }
        Ok(())
    })?;

    if let Some(best) = study.incumbent() {
        println!(
            "best of {} trials: number {}, with",
            study.trials().len(),
            best.id
        );
        for (name, value) in best.params.iter() {
            println!("  {name} = {value}");
        }
    }
    Ok(())
}
