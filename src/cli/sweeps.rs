//! Reading a sweep file for a command: what is wrong with it goes to standard error.

use super::exit::{Code, Failure};
use super::output::Output;
use crate::sweep::{Rejected, Surroundings, Sweep};
use std::path::{Path, PathBuf};

/// Reads a sweep file that runs a program, looks at the machine, and shows the warnings; with
/// `strict` these are refused.
pub(super) fn read(path: &Path, strict: bool, out: &mut Output) -> Result<Sweep, Failure> {
    accept(Sweep::read(path).map(look_around), strict, out)
}

/// Reads a sweep file as [`read`] does, also one without `[run]` that is meant for
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
        let what = if sweep.warnings.list.len() == 1 {
            "a warning"
        } else {
            "warnings"
        };
        return Err(Failure::usage(format!(
            "`{}` has {what}, which `--strict` refuses",
            sweep.source.name
        )));
    }
    Ok(sweep)
}

/// Reads a sweep file and looks at the machine without a word; it needs no `[run]`.
pub(super) fn read_quietly(path: &Path) -> Result<Sweep, Rejected> {
    Sweep::read_for_either(path).map(look_around)
}

fn look_around(mut sweep: Sweep) -> Sweep {
    let current_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    sweep.look_around(&Surroundings {
        current_dir,
        path: std::env::var_os("PATH"),
    });
    sweep
}

/// Makes what is wrong with a sweep file the reason why a command fails.
pub(super) fn rejected(rejected: &Rejected, colour: bool) -> Failure {
    Failure {
        rendered: rejected.render(colour).trim_end().to_owned(),
        ..Failure::silent(Code::Usage)
    }
}
