//! Reads a sweep file for a command and prints its diagnostics to standard error.

use super::exit::{Code, Failure};
use super::output::Output;
use crate::sweep::{Rejected, Surroundings, Sweep};
use std::path::{Path, PathBuf};

/// Reads a sweep file that runs a program, checks it against this machine and prints the warnings.
/// With `strict`, a warning makes the command fail.
pub(super) fn read(path: &Path, strict: bool, out: &mut Output) -> Result<Sweep, Failure> {
    accept(Sweep::read(path).and_then(look_around), strict, out)
}

/// Reads a sweep file as [`read`] does, but also accepts one without `[run]`, which is meant for
/// `swath ask-tell`.
pub(super) fn read_for_either(
    path: &Path,
    strict: bool,
    out: &mut Output,
) -> Result<Sweep, Failure> {
    accept(read_quietly(path), strict, out)
}

fn accept(read: Result<Sweep, Rejected>, strict: bool, out: &mut Output) -> Result<Sweep, Failure> {
    let colour = out.paint_err.on;
    let sweep = read.map_err(|rejected| self::rejected(&rejected, colour))?;
    if sweep.warnings.list.is_empty() {
        return Ok(sweep);
    }
    out.say(format_args!("{}\n", sweep.remarks(colour).trim_end()));
    if strict {
        let count = if sweep.warnings.list.len() == 1 {
            "a warning"
        } else {
            "warnings"
        };
        return Err(Failure::usage(format!(
            "`{}` has {count}, which `--strict` refuses",
            sweep.source.name
        )));
    }
    Ok(sweep)
}

/// Reads a sweep file and checks it against this machine without printing anything. A `[run]`
/// section is not required.
pub(super) fn read_quietly(path: &Path) -> Result<Sweep, Rejected> {
    Sweep::read_for_either(path).and_then(look_around)
}

fn look_around(mut sweep: Sweep) -> Result<Sweep, Rejected> {
    let current_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    sweep.look_around(&Surroundings {
        current_dir,
        path: std::env::var_os("PATH"),
    })?;
    Ok(sweep)
}

/// Returns a failure that prints the diagnostics of a rejected sweep file and exits with
/// [`Code::Usage`].
pub(super) fn rejected(rejected: &Rejected, colour: bool) -> Failure {
    Failure {
        rendered: rejected.render(colour).trim_end().to_owned(),
        ..Failure::silent(Code::Usage)
    }
}
