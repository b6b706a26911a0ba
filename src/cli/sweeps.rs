//! Reading a sweep file for a command: what is wrong with it goes to standard error.

use super::exit::{Code, Failure};
use super::output::Output;
use crate::sweep::{Rejected, Surroundings, Sweep};
use std::path::{Path, PathBuf};

/// Reads a sweep file, looks at the machine, and shows the warnings; with `strict` these are refused.
pub(super) fn read(path: &Path, strict: bool, out: &mut Output) -> Result<Sweep, Failure> {
    let colour = out.paint_err.on;
    let sweep = read_quietly(path).map_err(|rejected| self::rejected(&rejected, colour))?;
    if sweep.warnings.list.is_empty() {
        return Ok(sweep);
    }
    out.say(format_args!("{}\n", sweep.remarks(colour).trim_end()));
    if strict {
        let what = if sweep.warnings.list.len() == 1 { "a warning" } else { "warnings" };
        return Err(Failure::usage(format!("`{}` has {what}, which `--strict` refuses", sweep.source.name)));
    }
    Ok(sweep)
}

/// Reads a sweep file and looks at the machine without a word.
pub(super) fn read_quietly(path: &Path) -> Result<Sweep, Rejected> {
    let mut sweep = Sweep::read(path)?;
    let current_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    sweep.look_around(&Surroundings { current_dir, path: std::env::var_os("PATH") });
    Ok(sweep)
}

/// Makes what is wrong with a sweep file the reason why a command fails.
pub(super) fn rejected(rejected: &Rejected, colour: bool) -> Failure {
    Failure { rendered: rejected.render(colour).trim_end().to_owned(), ..Failure::silent(Code::Usage) }
}
