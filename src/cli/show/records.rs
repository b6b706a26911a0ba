//! The records of a trial: data sets, models, artifacts, outputs and notes of the program.

use super::heading;
use super::trial::Subject;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::driver::holding::held_path;
use crate::logger::source_lines;
use crate::report::text::plain;
use crate::report::{listing, number, summary};
use crate::study::{LogRecord, Study, Take, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Prints the files from which sources have read the values of a trial.
pub(super) fn show_sources(out: &mut Output, records: &Path) -> Result<(), Failure> {
    let mut places: BTreeMap<(String, String), (u64, BTreeSet<String>)> = BTreeMap::new();
    // Without the file, the journal still has the reports; only their places are unknown.
    let _ = source_lines(records, &mut |line| {
        let names: BTreeSet<String> = line.names().map(str::to_owned).collect();
        for place in line.places() {
            let key = (place.from.to_owned(), line.source.clone());
            let (count, known) = places.entry(key).or_default();
            *count += 1;
            known.extend(names.iter().cloned());
        }
    });
    if places.is_empty() {
        return Ok(());
    }
    heading(out, "sources")?;
    for ((from, source), (count, names)) in places {
        let names: Vec<_> = names.into_iter().collect();
        let plural = if count == 1 { "record" } else { "records" };
        let text = format!("{from} ({source}), {count} {plural}: {}", names.join(", "));
        writeln!(out.stdout, "  {}", plain(&text))?;
    }
    Ok(())
}

pub(super) fn show_records(
    out: &mut Output,
    subject: &Subject<'_>,
    trial: &Trial,
) -> Result<(), Failure> {
    let study = subject.study;
    let counts = trial.model_that_counts().map(|model| model.record);
    let several_models = trial.models.len() > 1;
    // An absent metric that the cause of the failure already mentions is not repeated here.
    let cause = summary::cause(trial.exit.as_ref()).unwrap_or_default();
    let mut shown = trial
        .records
        .iter()
        .enumerate()
        .filter(|(_, record)| !is_cause(record, &cause))
        .filter_map(|(index, record)| {
            let (kind, text) = describe_record(record)?;
            let copy = held_path(subject.dir, trial.id, record)
                .map_or_else(String::new, |path| format!(", held in {}", path.display()));
            Some((index, (kind, text + &copy)))
        })
        .peekable();
    if shown.peek().is_none() {
        return Ok(());
    }
    heading(out, "records")?;
    for (index, (kind, text)) in shown {
        let kind = out.paint.dim(&format!("{kind:<10}"));
        let mark = match several_models && counts == Some(index) {
            true => format!("  <- {}", model_words(study, trial)),
            false => String::new(),
        };
        writeln!(out.stdout, "  {kind} {}{mark}", plain(&text))?;
    }
    Ok(())
}

fn is_cause(record: &LogRecord, cause: &str) -> bool {
    matches!(record, LogRecord::Absent { why, .. } if cause.contains(why.as_str()))
}

/// Returns the reason why a model counts as the result of the trial.
fn model_words(study: &Study, trial: &Trial) -> &'static str {
    let objective = study.header().objectives.first();
    match (&trial.counted, objective.map(|objective| objective.take)) {
        (Some(_), Some(Take::Best)) => "the model of the best report, which counts",
        (Some(_), _) => "the model of the last report, which counts",
        (None, _) => "the model that counts",
    }
}

fn describe_record(record: &LogRecord) -> Option<(&'static str, String)> {
    Some(match record {
        LogRecord::Report { .. } | LogRecord::Beyond { .. } => return None,
        LogRecord::Dataset {
            data_dir,
            role,
            md5: digest,
            size,
            files,
            partial,
        } => {
            let role = if role.is_empty() {
                String::new()
            } else {
                format!(" ({role})")
            };
            let plural = if *files == 1 { "file" } else { "files" };
            (
                "data set",
                format!(
                    "{data_dir}{role}  {files} {plural}, {}, {}{}",
                    number::bytes(*size),
                    digest_words(digest.as_ref()),
                    partial_digest(partial)
                ),
            )
        }
        LogRecord::Model {
            model_path,
            size,
            step,
            md5: digest,
            doubt,
            partial,
            ..
        } => {
            let step = step.map_or_else(String::new, |step| format!(" at {}", number::short(step)));
            let what = match doubt {
                Some(doubt) => format!("no digest: {doubt}"),
                None => format!(
                    "{}, {}{}",
                    number::bytes(*size),
                    digest_words(digest.as_ref()),
                    partial_digest(partial)
                ),
            };
            ("model", format!("{model_path}{step}  {what}"))
        }
        LogRecord::Artifact {
            path,
            md5: digest,
            size,
            partial,
        } => {
            let partial = partial_digest(partial);
            (
                "artifact",
                format!(
                    "{path}  {}, {}{partial}",
                    number::bytes(*size),
                    digest_words(digest.as_ref())
                ),
            )
        }
        LogRecord::Facts { model_path, facts } => {
            let facts: Vec<_> = facts
                .iter()
                .map(|(name, value)| format!("{name} = {}", listing::shown(value)))
                .collect();
            ("model", format!("{model_path}: {}", facts.join(", ")))
        }
        LogRecord::Param { name, value } => {
            ("param", format!("{name} = {}", listing::shown(value)))
        }
        LogRecord::Output { name, value } => {
            ("output", format!("{name} = {}", listing::shown(value)))
        }
        LogRecord::Checkpoint { step } => (
            "checkpoint",
            step.map_or_else(String::new, |step| format!("at {}", number::short(step))),
        ),
        LogRecord::Note { text } => ("note", text.clone()),
        LogRecord::Invalid { why } => ("invalid", why.clone()),
        LogRecord::Warning { text } => ("warning", text.clone()),
        LogRecord::Absent { metric, why } => ("absent", format!("{metric} {why}")),
    })
}

pub(super) fn digest_words(md5: Option<&String>) -> String {
    md5.map_or_else(|| "unreadable".to_owned(), |md5| format!("md5 {md5}"))
}

/// Returns the list of files that a partial digest leaves out, or an empty text for a full digest.
fn partial_digest(partial: &[String]) -> String {
    if partial.is_empty() {
        String::new()
    } else {
        format!(", partial: without {}", partial.join(", "))
    }
}
