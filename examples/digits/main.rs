//! A small neural network that learns handwritten digits: a program for `swath` to sweep, or to run
//! by hand.
//!
//! ```console
//! $ cargo run --release --example digits -- --lr=0.003 --units=64,32 --epochs=5
//! ```
//!
//! It needs only the standard library, not even `swath`: a trial gets its input from environment
//! variables and appends its records as lines to a file (`trial.rs`; the program `external.rs` does
//! the same through the library). Everything that makes it a good trainable is in this file: it
//! reads its options, reports once an epoch, saves a checkpoint, stops when it should, and names
//! its model.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to the person who runs it"
)]

mod checkpoint;
mod data;
mod network;
mod optimizer;
mod options;
mod stream;
mod training;
mod trial;

use crate::data::Digits;
use crate::options::Options;
use crate::training::Training;
use crate::trial::Trial;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1))
        .map_err(Into::into)
        .and_then(|options| train(&options))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut trial = Trial::from_env()?;
    let digits = Digits::read(&trial.data_dir.join("digits.csv"))?;
    let fresh = Training::new(options, trial.seed);
    let mut training = match trial.checkpoint_to_resume() {
        Some(path) => checkpoint::load(&path, fresh)?,
        None => fresh,
    };
    let last = trial
        .until
        .map_or(options.epochs, |until| until.min(options.epochs));

    while training.epoch < last {
        let train_loss = training.learn(options, &digits.train);
        let seen = training.validate(&digits.validation);
        if let Some(path) = trial.checkpoint() {
            // Save before the report: swath may stop this process once it reads the report.
            checkpoint::save(&path, &training)?;
        }
        println!(
            "epoch {:3}  train_loss {train_loss:.4}  val_loss {:.4}  val_acc {:.4}",
            training.epoch, seen.loss, seen.accuracy
        );
        trial.report(&[
            ("epoch", training.epoch as f64),
            ("train_loss", train_loss),
            ("val_loss", seen.loss),
            ("val_acc", seen.accuracy),
        ])?;
        if !train_loss.is_finite() {
            return Err(format!(
                "the loss is not a number any more after epoch {}",
                training.epoch
            )
            .into());
        }
        if trial.stopping() {
            break;
        }
    }
    if let Some(path) = trial.model_path(options.model.as_deref()) {
        training.best.save(&path)?;
        trial.model(&path)?;
    }
    Ok(())
}
