//! Reading a sweep file for a command: what is wrong with it goes to standard error.

use super::Context;
use super::exit::{Code, Failure};
use crate::sweep::{Rejected, Surroundings, Sweep};
use std::path::{Path, PathBuf};

/// The sweep file of a command.
#[derive(Debug, clap::Args)]
pub(crate) struct SweepFile {
    /// The sweep file
    #[arg(value_name = "SWEEP", default_value = "sweep.toml")]
    pub(crate) path: PathBuf,

    /// Refuse what is only warned about
    #[arg(long)]
    pub(crate) strict: bool,
}

impl SweepFile {
    /// Reads and checks it, looks at the machine, and shows the warnings.
    pub(crate) fn read(&self, context: &mut Context) -> Result<Sweep, Failure> {
        let colour = context.out.paint_err.on;
        let sweep = self.read_quietly().map_err(|rejected| refused(&rejected, colour))?;
        if !sweep.warnings.list.is_empty() {
            context.out.say(sweep.remarks(colour).trim_end());
        }
        Ok(sweep)
    }

    /// Reads and checks it without a word; with `--strict` a warning rejects it.
    pub(crate) fn read_quietly(&self) -> Result<Sweep, Rejected> {
        let mut sweep = Sweep::read(&self.path)?;
        sweep.look_around(&surroundings());
        if self.strict && !sweep.warnings.list.is_empty() {
            return Err(Rejected { source: sweep.source, diagnostics: sweep.warnings });
        }
        Ok(sweep)
    }
}

/// Shows everything that is wrong with a sweep file.
pub(crate) fn refused(rejected: &Rejected, colour: bool) -> Failure {
    let rendered = rejected.render(colour).trim_end().to_owned();
    Failure { rendered, ..Failure::silent(Code::Usage) }
}

fn surroundings() -> Surroundings {
    let current_dir = std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_owned());
    Surroundings { current_dir, path: std::env::var_os("PATH") }
}
