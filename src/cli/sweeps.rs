//! Reading a sweep file for a command.

use super::exit::{Code, Failure};
use super::output::Output;
use crate::source::render;
use crate::sweep::{Rejected, Sweep};
use std::path::Path;

/// Reads a sweep file and shows its warnings; with `strict` these are refused.
pub(super) fn read(path: &Path, strict: bool, out: &mut Output) -> Result<Sweep, Failure> {
    let colour = out.paint_err.on;
    let sweep = Sweep::read(path).map_err(|rejected| self::rejected(&rejected, colour))?;
    for warning in &sweep.warnings.list {
        out.say(render::text(&sweep.source, warning, colour));
        out.say("");
    }
    let count = sweep.warnings.list.len();
    if strict && count > 0 {
        let what = if count == 1 { "a warning" } else { "warnings" };
        return Err(Failure::usage(format!("`{}` has {what}, which `--strict` refuses", sweep.source.name)));
    }
    Ok(sweep)
}

/// Makes what is wrong with a sweep file the reason why a command fails.
pub(super) fn rejected(rejected: &Rejected, colour: bool) -> Failure {
    Failure { rendered: rejected.render(colour), ..Failure::silent(Code::Usage) }
}
