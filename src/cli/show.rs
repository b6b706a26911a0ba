//! `swath show`.

use super::Context;
use super::exit::{Code, Failure};

/// Arguments of `swath show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_args: &Args, _context: &mut Context) -> Result<Code, Failure> {
    Ok(Code::Done)
}
