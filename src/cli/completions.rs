//! `swath completions`: prints a completion script for a shell.

use super::Context;
use super::args::Cli;
use super::exit::{Code, Failure};
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `swath completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Runs `swath completions`: writes the script to standard output.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    // The generator panics if it cannot write, so it writes to memory first.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "swath", &mut script);
    context.out.stdout.write_all(&script)?;
    Ok(Code::Done)
}
