//! Reads the sweep file that a command names, with the overrides of the command line, and prints
//! its diagnostics to standard error. A study is named in place of a sweep file to go on with its
//! own.

use super::Context;
use super::exit::{Code, Failure};
use super::output::Output;
use super::studies;
use crate::journal::StudyDir;
use crate::provenance::Environment;
use crate::source::Source;
use crate::sweep::overrides::{self, Overridden, Override, OverrideError};
use crate::sweep::{self, Rejected, Surroundings, Sweep};
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The sweep file of a command, with overrides.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SweepArgs {
    /// The sweep file, or a study that goes on with its own
    #[arg(value_name = "SWEEP")]
    pub(crate) sweep: PathBuf,

    /// Values in place of those in the sweep file: `search.trials=50 space.lr.max=0.3`
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// The trainable of a sweep file that a command accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Only a program.
    Program,
    /// Also a file without `[run]`, which is meant for `swath ask-tell`.
    Either,
}

/// A sweep file that is read, and the place in which its trials run.
pub(super) struct Located {
    /// The sweep, or all mistakes in the file. Both with the overrides applied.
    pub(super) sweep: Result<Sweep, Rejected>,
    overridden: Overridden,
    /// The directory in which the trials run, unless the sweep file names another one.
    pub(super) workdir: PathBuf,
}

impl SweepArgs {
    /// Reads the sweep file, checks it against this machine and prints the warnings. With `strict`,
    /// a warning makes the command fail. For a study, the folder of the studies becomes the one
    /// that contains it.
    pub(super) fn read(
        &self,
        accepts: Accepts,
        strict: bool,
        context: &mut Context,
    ) -> Result<(Sweep, PathBuf), Failure> {
        let Located {
            sweep,
            overridden,
            workdir,
        } = self.read_quietly(accepts, context)?;
        let colour = context.out.paint_err.on;
        let sweep = sweep.map_err(|rejected| failure(&overridden, &rejected, colour))?;
        print_warnings(&sweep, &overridden, strict, &mut context.out)?;
        Ok((sweep, workdir))
    }

    /// Reads the sweep file and checks it against this machine without printing anything.
    pub(super) fn read_quietly(
        &self,
        accepts: Accepts,
        context: &mut Context,
    ) -> Result<Located, Failure> {
        let parsed: Result<Vec<_>, _> = self
            .overrides
            .iter()
            .map(|it| Override::parse(it))
            .collect();
        let overrides = parsed?;
        let mut workdir = std::env::current_dir()?;
        let source = match self.study(context)? {
            Some(dir) => {
                workdir = workdir_of(&dir).unwrap_or(workdir);
                let source = source_of_study(&dir, context)?;
                // The study may be named by a folder that is not the one of other studies.
                context.logs = dir.root().parent().unwrap_or(Path::new(".")).to_owned();
                source
            }
            None => {
                refuse_program(&self.sweep)?;
                match sweep::load(&self.sweep) {
                    Ok(source) => source,
                    Err(rejected) => {
                        return Ok(Located {
                            overridden: Overridden::unchanged(rejected.source.clone()),
                            sweep: Err(rejected),
                            workdir,
                        });
                    }
                }
            }
        };
        let overridden = overrides::apply(source, &overrides)?;
        let source = overridden.source.clone();
        let sweep = match accepts {
            Accepts::Program => Sweep::parse(source),
            Accepts::Either => Sweep::parse_for_either(source),
        };
        Ok(Located {
            sweep: sweep.and_then(|sweep| look_around(sweep, workdir.clone())),
            overridden,
            workdir,
        })
    }

    /// Returns the study that the argument names. `None` if it is the path of a sweep file.
    fn study(&self, context: &Context) -> Result<Option<StudyDir>, Failure> {
        let is_toml = self
            .sweep
            .extension()
            .is_some_and(|ending| ending == "toml");
        let Some(word) = self
            .sweep
            .to_str()
            .filter(|_| !is_toml && !self.sweep.is_file())
        else {
            return Ok(None);
        };
        let Ok(dir) = studies::named(&context.logs, word) else {
            return Ok(None);
        };
        if dir.sweep_toml().exists() {
            return Ok(Some(dir));
        }
        Err(Failure::usage(format!(
            "the study `{word}` has no sweep file `{}`",
            dir.sweep_toml().display()
        ))
        .hint("name the sweep file itself: `swath run sweep.toml`"))
    }
}

impl Located {
    /// Returns the diagnostics as a JSON array.
    pub(super) fn diagnostics(&self) -> Value {
        let parts = match &self.sweep {
            Ok(sweep) => self.overridden.split(&sweep.source, &sweep.warnings),
            Err(rejected) => self
                .overridden
                .split(&rejected.source, &rejected.diagnostics),
        };
        let items = parts.iter().flat_map(|part| match part.json() {
            Value::Array(items) => items,
            _ => Vec::new(),
        });
        items.collect()
    }
}

/// Returns the sweep file that a study has stored, with the name of the study's folder: a copied or
/// renamed folder is a study of its own.
fn source_of_study(dir: &StudyDir, context: &mut Context) -> Result<Source, Failure> {
    let source = sweep::load(&dir.sweep_toml())
        .map_err(|rejected| self::rejected(&rejected, context.out.paint_err.on))?;
    // The last component of `logs/.` or `..` is not the name of the folder.
    let root = dir.root().canonicalize()?;
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let name_of_folder = Override::parse(&format!("name={}", toml::Value::from(&*name)))?;
    let renamed = overrides::apply(source.clone(), &[name_of_folder])?.source;
    if renamed.text != source.text && source.text.starts_with("name = ") {
        context.out.say(format_args!(
            "the study is now called `{name}`, as its folder is"
        ));
    }
    Ok(renamed)
}

/// Returns the directory in which the trials of a study ran, if the study still lies below it. The
/// trials of a study that was moved run where swath is called.
fn workdir_of(dir: &StudyDir) -> Option<PathBuf> {
    let text = std::fs::read(dir.environment()).ok()?;
    let environment: Environment = serde_json::from_slice(&text).ok()?;
    let recorded = Path::new(&environment.workdir).canonicalize().ok()?;
    let root = dir.root().canonicalize().ok()?;
    root.starts_with(&recorded).then_some(recorded)
}

/// Endings of programs that `swath run` is given by mistake.
const PROGRAMS: [&str; 10] = ["py", "sh", "R", "r", "jl", "js", "mjs", "lua", "pl", "rb"];

/// Fails if a file is a program.
fn refuse_program(path: &Path) -> Result<(), Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_program = ending.is_some_and(|ending| PROGRAMS.contains(&ending)) || has_magic(path);
    if !is_program || !path.is_file() {
        return Ok(());
    }
    let shown = path.display();
    let failure = Failure::usage(format!("`{shown}` is a program, not a sweep file"));
    let sweep = path.with_extension("toml");
    Err(match sweep.exists() {
        true => failure.hint(format!("did you mean `{}`?", sweep.display())),
        false => failure.hint(format!(
            "did you mean `swath init {shown}`? it writes a sweep file for a program"
        )),
    })
}

/// Returns whether a file begins as scripts and executables do.
fn has_magic(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    read.is_ok() && (start.starts_with(b"#!") || start == *b"\x7fELF")
}

fn print_warnings(
    sweep: &Sweep,
    overridden: &Overridden,
    strict: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if sweep.warnings.list.is_empty() {
        return Ok(());
    }
    let colour = out.paint_err.on;
    let parts = overridden.split(&sweep.source, &sweep.warnings);
    let remarks: String = parts.iter().map(|part| part.remarks(colour)).collect();
    out.say(format_args!("{}\n", remarks.trim_end()));
    if !strict {
        return Ok(());
    }
    let count = if sweep.warnings.list.len() == 1 {
        "a warning"
    } else {
        "warnings"
    };
    Err(Failure::usage(format!(
        "`{}` has {count}, which `--strict` refuses",
        sweep.source.name
    )))
}

/// Returns a failure that prints the diagnostics of a rejected sweep file with overrides.
fn failure(overridden: &Overridden, rejected: &Rejected, colour: bool) -> Failure {
    let parts = overridden.split(&rejected.source, &rejected.diagnostics);
    let remarks: String = parts.iter().map(|part| part.remarks(colour)).collect();
    Failure {
        rendered: format!("{remarks}{}", rejected.summary()),
        ..Failure::silent(Code::Usage)
    }
}

impl From<OverrideError> for Failure {
    fn from(error: OverrideError) -> Self {
        Self::usage(error.to_string()).hint(error.hint())
    }
}

fn look_around(mut sweep: Sweep, current_dir: PathBuf) -> Result<Sweep, Rejected> {
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
