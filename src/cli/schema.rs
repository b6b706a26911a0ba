//! `swath schema`: prints a JSON schema of the sweep file, for editors.

use super::Context;
use super::exit::{Code, Failure};
use crate::sweep::{Registry, reference};
use std::io::Write as _;

/// Arguments of `swath schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Write it beside your sweep files, `swath schema > sweep.schema.json`, and begin them with \
        the line `#:schema ./sweep.schema.json`: Taplo and VS Code (Even Better TOML) then \
        complete and check them.")]
pub(crate) struct Args {}

/// Runs `swath schema`: writes the schema of the standard kinds to standard output.
pub(crate) fn run(_: &Args, context: &mut Context) -> Result<Code, Failure> {
    writeln!(
        context.out.stdout,
        "{:#}",
        reference::schema(&Registry::standard())
    )?;
    Ok(Code::Done)
}
