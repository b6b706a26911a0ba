//! The process that ends the trials when the orchestrator is killed. Started by `run`, never by a
//! person.

use super::Context;
use super::exit::{Code, Failure};
use crate::executor::guard;

/// Nothing can be said to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_: &Args, _: &mut Context) -> Result<Code, Failure> {
    guard::run(std::io::stdin()).map_err(|error| Failure::caused(Code::Tool, &error))?;
    Ok(Code::Done)
}

/// Returns the command that starts it.
pub(super) fn command() -> Option<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe().ok()?);
    command.arg("guard");
    Some(command)
}
