//! `swath import`: adds trials that ran elsewhere to a study as finished trials, for its sampler to
//! learn from.

use super::exit::{Code, Failure};
use super::{Context, studies};
use crate::import::{FileSelection, ImportError, Imported, import};
use crate::report::text::plain;
use crate::run::Options;
use crate::sweep::Sweep;
use std::path::{Path, PathBuf};

/// Arguments of `swath import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Imported trials never count towards `trials`. A parameter that the file lacks gets its \
        `default`. A trial outside the space is kept but does not count. A second import of the \
        same file adds only new trials.")]
pub(crate) struct Args {
    /// A study, or a sweep file, whose study is created if it does not exist
    #[arg(value_name = "SWEEP|STUDY")]
    target: String,

    /// A `trials.csv` of swath, an SQLite file or journal of Optuna, or any CSV with a row for each
    /// trial
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Map a name of the file to a name of the sweep: `--map lr=learning_rate --map val_loss=loss`
    #[arg(long, value_name = "OURS=THEIRS", value_parser = pair)]
    map: Vec<(String, String)>,

    /// The study to import, if the file holds several
    #[arg(long, value_name = "NAME")]
    study: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((ours, theirs)) if !ours.is_empty() && !theirs.is_empty() => {
            Ok((ours.to_owned(), theirs.to_owned()))
        }
        _ => Err("write it as OURS=THEIRS".to_owned()),
    }
}

/// Runs `swath import`: imports the trials of a file into a study. If the target is a sweep file
/// whose study does not exist, the study is created first.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let path = Path::new(&args.target);
    let (dir, sweep) = if path.is_file() {
        let sweep = Sweep::read_for_function(path)
            .map_err(|error| super::sweeps::rejected(&error, context.out.paint_err.on))?;
        let options = Options {
            command_line: std::env::args().collect(),
            ..Options::at(&context.logs)
        };
        let dir = crate::run::open(&sweep, options)?.dir().clone();
        (dir, sweep)
    } else {
        let dir = studies::named(&context.logs, &args.target)?;
        let sweep = super::add::sweep_of(&dir, context)?;
        (dir, sweep)
    };
    let request = FileSelection {
        study: args.study.clone(),
        map: args.map.clone(),
    };
    let imported = import(&dir, &sweep, &args.file, &request)?;
    report(&imported, &dir.root().display().to_string(), context);
    Ok(Code::Done)
}

fn report(imported: &Imported, study: &str, context: &mut Context) {
    let Imported {
        from,
        trials,
        outside,
        duplicates,
        unfinished,
        ignored,
    } = imported;
    let out = &mut context.out;
    let count = trials.len();
    let ids = match (trials.first(), trials.last()) {
        (Some(first), Some(last)) if first != last => format!(": {first}-{last}"),
        (Some(first), _) => format!(": {first}"),
        _ => String::new(),
    };
    out.say(plain(&format!(
        "imported {count} trial{} from {from} into `{study}`{ids}",
        plural(count)
    )));
    if *duplicates > 0 {
        out.say(format_args!(
            "{duplicates} trial{} {} imported before",
            plural(*duplicates),
            if *duplicates == 1 { "was" } else { "were" }
        ));
    }
    if *unfinished > 0 {
        out.say(format_args!(
            "{unfinished} trial{} had not ended and {} not imported",
            plural(*unfinished),
            if *unfinished == 1 { "was" } else { "were" }
        ));
    }
    if !ignored.is_empty() {
        out.warn(plain(&format!(
            "ignored columns that the sweep file does not define: {}",
            ignored.join(", ")
        )));
    }
    for (trial, why) in outside.iter().take(5) {
        out.warn(plain(&format!(
            "trial {trial} is outside the space and does not count: {why}"
        )));
    }
    if outside.len() > 5 {
        out.warn(format_args!(
            "{} more trials are outside the space",
            outside.len() - 5
        ));
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Driver(error) => error.into(),
            ImportError::Unfit { ref hint, .. } => {
                Self::usage(plain(&error.to_string())).hint(plain(hint))
            }
            _ => Self::caused(Code::Usage, &error),
        }
    }
}
