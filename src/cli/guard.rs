//! `swath guard`: the hidden process that ends the trials when the orchestrator is killed. `run`
//! starts it; users never do.

use super::Context;
use super::exit::{Code, Failure};
use crate::executor::guard;

/// Arguments of `swath guard`: none.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_: &Args, _: &mut Context) -> Result<Code, Failure> {
    guard::run(std::io::stdin()).map_err(|error| Failure::caused(Code::Tool, &error))?;
    Ok(Code::Done)
}

/// Returns the command that starts the guard: this executable with the argument `guard`. `None` if
/// the path of the executable is unknown.
pub(super) fn command() -> Option<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe().ok()?);
    command.arg("guard");
    Some(command)
}
