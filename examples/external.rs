//! A program that records its results through the library's [`TrialLogger`], which knows the
//! pipeline, stage and trial, validates the records and buffers them.
//!
//! ```console
//! $ cargo run --release --example external -- --lr=0.001 --momentum=0.9
//! ```
//!
//! Only the logger has to be compiled: `swath = { version = "0.1", default-features = false }`. The
//! program minimises Rosenbrock's function, whose valley is easy to find and hard to follow. The
//! minimum is 0, at (1, 1).

#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person who runs it"
)]

use std::error::Error;
use swath::logger::{Directive, Point, TrialLogger};

fn main() -> Result<(), Box<dyn Error>> {
    let (lr, momentum) = (
        option("lr")?.unwrap_or(1e-3),
        option("momentum")?.unwrap_or(0.9),
    );
    let mut log = TrialLogger::from_env()?; // `None` if swath did not start this process
    let ([mut x, mut y], mut velocity) = ([-1.5, 2.0], [0.0, 0.0]);

    for step in 1..=2000_u64 {
        let slope = [
            -2.0 * (1.0 - x) - 400.0 * x * (y - x * x),
            200.0 * (y - x * x),
        ];
        for (velocity, slope) in velocity.iter_mut().zip(slope) {
            *velocity = momentum * *velocity - lr * slope;
        }
        (x, y) = (x + velocity[0], y + velocity[1]);
        let loss = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);

        if let Some(log) = &mut log {
            // A metric only describes the trial and stays in its folder.
            log.metric(
                "slope",
                slope[0].hypot(slope[1]),
                Point::step(step).context("train"),
            )?;
        }
        if step % 100 == 0 {
            println!("step {step:5}  loss {loss:.6}");
            let decided = match &mut log {
                // A report goes to the journal, and the study decides by it.
                Some(log) => log.report(&[("step", step as f64), ("loss", loss)])?,
                None => Directive::Continue,
            };
            if decided != Directive::Continue {
                break;
            }
        }
    }
    if let Some(log) = &mut log {
        log.note(&format!("ended at ({x}, {y})"))?;
    }
    Ok(())
}

/// Returns the number given as `--name=value`, `None` if the option is absent.
fn option(name: &str) -> Result<Option<f64>, std::num::ParseFloatError> {
    let args: Vec<String> = std::env::args().collect();
    let value = args.iter().find_map(|arg| {
        arg.strip_prefix("--")?
            .strip_prefix(name)?
            .strip_prefix('=')
    });
    value.map(str::parse).transpose()
}
