//! Finding and reading what is to be compared: studies, and CSV files of anybody.

use super::Args;
use super::asked::{formula, split};
use crate::cli::exit::{Code, Failure};
use crate::cli::{Context, studies};
use crate::journal::{self, JournalError, StudyDir, reports};
use crate::report::compare::Source;
use crate::report::compare::source::{Curves, needs_reports};
use crate::report::compare::table::{Table, answers};
use crate::report::formula::{Ask, Formula};
use crate::report::text::plain;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

enum Place {
    Study(StudyDir),
    File(PathBuf),
}

/// Reads everything that was named, as far as it is needed.
pub(super) fn load(args: &Args, context: &mut Context) -> Result<Vec<Source>, Failure> {
    let mut places = Vec::new();
    for word in &args.sources {
        places.push((word.clone(), find(&context.logs, word)?));
    }
    if places.is_empty() {
        let dir = studies::latest(&context.logs)?;
        let name =
            dir.root().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        places.push((name, Place::Study(dir)));
    }
    let names = names(places.iter().map(|(word, _)| word.as_str()).collect());
    let asked = texts(args);
    let mut sources = Vec::new();
    for ((_, place), name) in places.into_iter().zip(names) {
        match place {
            Place::Study(dir) => sources.push(study(&dir, name, &asked)?),
            Place::File(path) => sources.push(file(&path, name, args, &asked, context)?),
        }
    }
    Ok(sources)
}

/// A word is a study if there is one, otherwise a file; a folder with a table but no journal is its table.
fn find(logs: &Path, word: &str) -> Result<Place, Failure> {
    let path = Path::new(word);
    let is_csv = path.extension().is_some_and(|extension| {
        ["csv", "tsv", "txt"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_csv && !path.is_dir() {
        if !path.exists() {
            return Err(Failure::usage(format!("there is no file `{}`", plain(word))));
        }
        return Ok(Place::File(path.to_owned()));
    }
    match studies::named(logs, word) {
        Ok(dir) => Ok(Place::Study(dir)),
        Err(_) if path.join("trials.csv").is_file() => Ok(Place::File(path.join("trials.csv"))),
        Err(_) if path.exists() && !path.is_dir() => Ok(Place::File(path.to_owned())),
        Err(unknown) => Err(unknown.hint("a CSV file is named by its path")),
    }
}

/// Returns short names that are all different: the last part of a path where that suffices.
fn names(words: Vec<&str>) -> Vec<String> {
    let last = |word: &str| {
        Path::new(word)
            .file_name()
            .map_or_else(|| word.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let short: Vec<String> = words.iter().map(|word| last(word)).collect();
    let unique: BTreeSet<&String> = short.iter().collect();
    if unique.len() == short.len() { short } else { words.into_iter().map(str::to_owned).collect() }
}

/// Returns every column that was asked for, as it was typed.
fn texts(args: &Args) -> Vec<String> {
    let lists = [&args.by, &args.cols, &args.metric, &args.condition];
    let mut texts: Vec<String> =
        lists.into_iter().flatten().flat_map(|list| split(Some(list))).map(str::to_owned).collect();
    texts.extend(args.sort.as_deref().map(|sort| sort.trim_start_matches('-').to_owned()));
    texts.extend(args.assertions.iter().cloned());
    texts
}

fn study(dir: &StudyDir, name: String, asked: &[String]) -> Result<Source, Failure> {
    let study = journal::settled(dir)?;
    let mut wanted = BTreeSet::new();
    for text in asked {
        // What cannot be parsed is told later, in full.
        let plain: Vec<Formula> = Formula::parse(text, &|_| false).ok().into_iter().collect();
        let asserted = crate::report::compare::assertion::Assertion::parse(text, &|_| false).ok();
        let inner = asserted.iter().flat_map(|assertion| assertion.formulas());
        for formula in plain.iter().chain(inner) {
            wanted.extend(
                formula.asks().filter(|(ask, _)| needs_reports(*ask)).map(|(_, name)| name.to_owned()),
            );
        }
    }
    let mut curves = Curves::of(&study, wanted.iter().cloned());
    if !wanted.is_empty() {
        reports::each(dir, &study, &mut |report| {
            curves.add(&report);
            Ok::<(), JournalError>(())
        })?;
    }
    Ok(Source::study(name, study, curves))
}

/// Reads a file. With `--by` only the columns that are asked for are kept.
fn file(
    path: &Path,
    name: String,
    args: &Args,
    asked: &[String],
    context: &mut Context,
) -> Result<Source, Failure> {
    let shown = plain(&path.display().to_string()).into_owned();
    let failed = |error: &dyn std::error::Error| {
        let failure = Failure::caused(Code::Usage, error);
        Failure { message: format!("cannot read `{shown}`: {}", failure.message), ..failure }
    };
    let condition = args.condition.as_deref().map(|text| formula(text, &[])).transpose()?;
    let formulas: Vec<Formula> =
        asked.iter().filter_map(|text| Formula::parse(text, &|_| false).ok()).collect();
    let usual = ["state", "trial_id", "study"];
    let pairs = split(Some(&args.pair));
    let named = |column: &str| {
        asked.iter().any(|text| text == column || text.contains(column))
            || formulas.iter().any(|formula| formula.names().any(|name| answers(column, name)))
            || pairs.iter().any(|name| answers(column, name))
            || usual.contains(&column)
    };
    // Without a metric the objective is the column behind `state`, so all have to be seen.
    let all = args.by.is_none() || args.metric.is_none();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let table = Table::read(file, &|column| all || named(column), condition.as_ref())
        .map_err(|error| failed(&error))?;
    for warning in &table.warnings {
        context.out.warn(plain(&format!("{}: {warning}", path.display())));
    }
    if let Some((Ask::At(_), name)) =
        formulas.iter().flat_map(Formula::asks).find(|(ask, _)| matches!(ask, Ask::At(_)))
    {
        context.out.warn(plain(&format!(
            "{}: a table has one value a trial, so `{name}@…` is absent there",
            path.display()
        )));
    }
    Ok(Source::table(name, table))
}
