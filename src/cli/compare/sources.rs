//! Finds and reads the sources of `swath compare`: studies, and CSV files of any origin.

use super::Args;
use crate::cli::exit::{Code, Failure};
use crate::cli::{Context, studies};
use crate::cluster::pilot;
use crate::journal::StudyDir;
use crate::report::compare::Source;
use crate::report::compare::assertion::Assertion;
use crate::report::compare::table::{Selection, Table, TableError};
use crate::report::formula::{Ask, Formula, Names, ReportHistory, split};
use crate::report::row;
use crate::report::text::plain;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The location of a source.
enum Location {
    Study(StudyDir),
    File(PathBuf),
}

/// Reads all sources, and of each only the columns and reports that the arguments need. Without
/// arguments, the study with the most recently written journal is read.
pub(super) fn load(args: &Args, context: &mut Context) -> Result<Vec<Source>, Failure> {
    let mut locations = Vec::new();
    for word in &args.sources {
        locations.push((word.clone(), find(&context.logs, word)?));
    }
    if locations.is_empty() {
        let dir = studies::latest(&context.logs)?;
        let name = dir
            .root()
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        locations.push((name, Location::Study(dir)));
    }
    let names = names(locations.iter().map(|(word, _)| word.as_str()).collect());
    let expressions = Expressions::of(args);
    let mut sources = Vec::new();
    for ((_, location), name) in locations.into_iter().zip(names) {
        match location {
            Location::Study(dir) => sources.push(study(&dir, name, &expressions)?),
            Location::File(path) => sources.push(file(&path, name, args, &expressions, context)?),
        }
    }
    Ok(sources)
}

/// Finds the source that a word names: a file if it ends in csv, tsv or txt, else a study, else the
/// `trials.csv` of a folder without a journal, else a file.
fn find(logs: &Path, word: &str) -> Result<Location, Failure> {
    let path = Path::new(word);
    let is_csv = path.extension().is_some_and(|extension| {
        ["csv", "tsv", "txt"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_csv && !path.is_dir() {
        if !path.exists() {
            return Err(Failure::usage(format!(
                "there is no file `{}`",
                plain(word)
            )));
        }
        return Ok(Location::File(path.to_owned()));
    }
    match studies::named(logs, word) {
        Ok(dir) => Ok(Location::Study(dir)),
        Err(_) if path.join("trials.csv").is_file() => Ok(Location::File(path.join("trials.csv"))),
        Err(_) if path.exists() && !path.is_dir() => Ok(Location::File(path.to_owned())),
        Err(failure) => Err(failure.hint("to compare a CSV file, give its path")),
    }
}

/// Returns distinct names for the sources: the last parts of the paths if those differ, else the
/// whole words.
fn names(words: Vec<&str>) -> Vec<String> {
    let short: Vec<String> = words.iter().map(|word| file_name(word)).collect();
    let unique: BTreeSet<&String> = short.iter().collect();
    if unique.len() == short.len() {
        short
    } else {
        words.into_iter().map(str::to_owned).collect()
    }
}

fn file_name(word: &str) -> String {
    Path::new(word).file_name().map_or_else(
        || word.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The expressions of the arguments, as the user typed them.
struct Expressions<'a> {
    /// Expressions over a single trial.
    columns: Vec<&'a str>,
    /// Expressions over all trials of a source.
    assertions: &'a [String],
}

impl<'a> Expressions<'a> {
    fn of(args: &'a Args) -> Self {
        let lists = [&args.by, &args.cols]
            .into_iter()
            .flatten()
            .flat_map(|list| split(list));
        let single = [&args.metric, &args.condition]
            .into_iter()
            .flatten()
            .map(String::as_str);
        let sort = args
            .sort
            .as_deref()
            .map(|sort| sort.trim_start_matches('-'));
        let columns = lists.chain(single).chain(sort).collect();
        Self {
            columns,
            assertions: &args.assertions,
        }
    }

    /// Parses the expressions with the names of one source. Those that fail are skipped here;
    /// [`Query::of`](super::query::Query::of) reports the errors.
    fn formulas(&self, names: &Names) -> Vec<Formula> {
        let columns = self
            .columns
            .iter()
            .filter_map(|text| Formula::parse(text, names).ok());
        let asserted = self
            .assertions
            .iter()
            .filter_map(|text| Assertion::parse(text, names).ok());
        columns
            .chain(asserted.flat_map(|assertion| assertion.formulas().cloned().collect::<Vec<_>>()))
            .collect()
    }
}

fn study(dir: &StudyDir, name: String, expressions: &Expressions<'_>) -> Result<Source, Failure> {
    let study = pilot::settled(dir)?;
    let formulas = expressions.formulas(&row::vocabulary(&study));
    let history = ReportHistory::read(dir, &study, &formulas)?;
    Ok(Source::study(name, study, history))
}

/// Reads a CSV file. With `--by` and `--metric`, only the required columns are kept.
fn file(
    path: &Path,
    name: String,
    args: &Args,
    expressions: &Expressions<'_>,
    context: &mut Context,
) -> Result<Source, Failure> {
    // Without a metric, the objective is the column after `state`, so all columns are needed.
    let needs_all = args.by.is_none() || args.metric.is_none();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let table = Table::read(file, &|names| {
        let condition = args.condition.as_deref();
        let condition = condition
            .map(|text| Formula::parse(text, names))
            .transpose()?;
        Ok(Selection {
            columns: (!needs_all).then(|| columns(expressions, args, names)),
            condition,
        })
    });
    let table = match table {
        Ok(table) => table,
        Err(TableError::Formula(error)) => return Err(error.into()),
        Err(error) => return Err(unreadable(path, &error)),
    };
    for warning in &table.warnings {
        context
            .out
            .warn(plain(&format!("{}: {warning}", path.display())));
    }
    let names = table.vocabulary();
    let formulas = expressions.formulas(&names);
    // A table has one value per trial, so functions over reports cannot be computed from it.
    let unanswered =
        |(ask, name): &(Ask, &str)| names.contains(name) && !table.can_answer(*ask, name);
    if let Some((ask, name)) = formulas.iter().flat_map(Formula::asks).find(unanswered) {
        context.out.warn(plain(&format!(
            "{}: a CSV file has one value per trial, so `{}` is missing there",
            path.display(),
            ask.of(name)
        )));
    }
    Ok(Source::table(name, table))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failure {
    let failure = Failure::caused(Code::Usage, error);
    let path = path.display().to_string();
    Failure {
        message: format!("cannot read `{}`: {}", plain(&path), failure.message),
        ..failure
    }
}

/// Returns the names of the columns that the arguments need.
fn columns(expressions: &Expressions<'_>, args: &Args, names: &Names) -> BTreeSet<String> {
    let formulas = expressions.formulas(names);
    let named = formulas.iter().flat_map(Formula::names);
    let standard = ["state", "trial_id", "study"];
    named
        .chain(split(&args.pair))
        .chain(standard)
        .map(str::to_owned)
        .collect()
}
