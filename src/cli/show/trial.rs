//! Everything recorded about one trial, as `swath show` and `swath top` present it.

use super::machine::show_use;
use super::records::{digest_words, show_records, show_sources};
use super::{heading, line};
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::cli::{detail, provenance, tail};
use crate::driver::prepare::is_prepared;
use crate::journal::{StudyDir, readable_trial};
use crate::provenance::Record;
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::plain;
use crate::report::{listing, number, summary};
use crate::source::secret::Secrets;
use crate::space::{Name, Value};
use crate::study::{
    Counted, Datum, Exit, LogRecord, Origin, Preparation, Study, Take, Trial, TrialState,
};
use crate::sweep::units::Bytes;
use std::collections::BTreeMap;

/// Fields that a trial's lines and headings state in words.
const IN_WORDS: [&str; 7] = [
    "trial",
    "state",
    "attempts",
    "seconds",
    "cpu_seconds",
    "peak_mib",
    "exit",
];

/// The study of a trial, and what else its description needs.
pub(in crate::cli) struct Subject<'a> {
    /// The folder of the study.
    pub(in crate::cli) dir: &'a StudyDir,
    pub(in crate::cli) study: &'a Study,
    pub(in crate::cli) record: &'a Record,
    /// Secrets that no text of the trial shows.
    pub(in crate::cli) secrets: &'a Secrets,
}

/// Prints a trial: what became of it first, and the error of a failed one with the end of its log.
pub(in crate::cli) fn show_trial(
    out: &mut Output,
    subject: &Subject<'_>,
    trial: &Trial,
) -> Result<(), Failure> {
    let (study, dir) = (subject.study, subject.dir);
    let state = trial.state.word();
    let state = match trial.state {
        TrialState::Failed => out.paint.red(state),
        TrialState::Complete => out.paint.green(state),
        _ => state.to_owned(),
    };
    let id = out.paint.bold(&format!("trial {}", trial.id));
    writeln!(
        out.stdout,
        "{id}  {state}  {}",
        plain(&summary::objectives(study, trial))
    )?;
    line(
        out,
        "cause",
        summary::cause(trial.exit.as_ref()).unwrap_or_default(),
    )?;
    if summary::cause(trial.exit.as_ref()).is_some() {
        let folder = readable_trial(dir, study, trial.id);
        tail::show_log_tail(out, &folder, tail::LOG_LINES, subject.secrets)?;
        writeln!(out.stdout)?;
    }
    line(out, "decision", trial.why.as_deref().unwrap_or_default())?;
    line(out, "constraint", summary::broken(study, trial).join(", "))?;
    if study.header().replicate.is_some() {
        let head = study.configuration(trial.id);
        let number = study.replicate(trial.id);
        let mean = study
            .trial(head)
            .map_or_else(String::new, |head| summary::standing(study, head));
        line(
            out,
            "seeds",
            format!("number {number} of configuration {head}: {mean}"),
        )?;
    }
    if trial.removed {
        line(
            out,
            "removed",
            "it is in the trash and does not count; `swath rm --restore` restores it",
        )?;
    } else if trial.outside {
        line(
            out,
            "outside",
            "the edited sweep file no longer admits this configuration, so it does not count",
        )?;
    }
    line(out, "note", study.note(trial.id).unwrap_or_default())?;
    let tags: Vec<_> = study.tags(trial.id).collect();
    line(out, "tags", tags.join(", "))?;
    line(out, "origin", origin(&trial.origin))?;
    line(out, "time", times(study, trial))?;
    line(out, "used", used(trial))?;
    line(out, "ran on", location(trial))?;
    line(out, "pilot", study.annotation(trial.id).unwrap_or_default())?;
    for (name, cell) in study.plain_fields(trial) {
        if !IN_WORDS.contains(&name) {
            line(out, name, listing::shown(&cell.into_value()))?;
        }
    }
    line(out, "folder", dir.trial(trial.id).display())?;
    for preparation in study.preparations_of(trial.id) {
        line(out, "prepared", preparation_words(preparation, dir))?;
    }
    show_params(out, study, trial)?;
    show_reports(out, study, trial)?;
    show_use(out, &readable_trial(dir, study, trial.id))?;
    show_sources(out, &dir.trial(trial.id).join("records.jsonl"))?;
    show_records(out, subject, trial)?;
    provenance::show(out, subject.record, trial.id)?;
    show_commands(out, study, trial)
}

/// Prints the commands that follow, explain, repeat and compare the trial.
fn show_commands(out: &mut Output, study: &Study, trial: &Trial) -> Result<(), Failure> {
    heading(out, "commands")?;
    for (purpose, command) in detail::commands(study, trial) {
        let purpose = out.paint.dim(&format!("{purpose:<26}"));
        writeln!(out.stdout, "  {purpose} {}", plain(&command))?;
    }
    Ok(())
}

/// Returns what is known of a preparation: its state, its parameters, its folder and its trials.
pub(super) fn preparation_words(preparation: &Preparation, dir: &StudyDir) -> String {
    let execution = &preparation.execution;
    let folder = dir.preparation(&preparation.digest);
    let state = match (preparation.output(), execution.exit.as_ref()) {
        (Some(_), _) if !is_prepared(dir, preparation) => "done, output deleted".to_owned(),
        (None, Some(Exit::Failed(failure))) => format!("failed: {failure}"),
        _ => preparation.state_word().to_owned(),
    };
    let time = match execution.seconds {
        0.0 => String::new(),
        seconds => format!(" in {}", number::seconds(seconds)),
    };
    let digest = match preparation.output() {
        Some(LogRecord::Dataset { md5, size, .. }) => {
            format!(", {} ({})", Bytes(*size), digest_words(md5.as_ref()))
        }
        _ => String::new(),
    };
    let params = summary::params(execution);
    let trials = preparation.trials.len();
    let (separator, plural) = (
        if params.is_empty() { "" } else { "  " },
        if trials == 1 { "" } else { "s" },
    );
    format!(
        "{}: {state}{time}{digest}, used by {trials} trial{plural}{separator}{params}  {}",
        preparation.name,
        folder.display()
    )
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Suggested(sampler) => format!("suggested by {sampler}"),
        Origin::Restarted { sampler, why } => {
            format!("suggested by {sampler} after a restart: {why}")
        }
        Origin::Point(at) => format!("[[point]] {} of the sweep file", at + 1),
        Origin::Cloned { from, why, .. } => {
            format!("cloned from trial {from}, continuing from its checkpoint: {why}")
        }
        Origin::Replicate(trial) => format!("replicate of trial {trial}"),
        Origin::Rerun(trial) => {
            format!("further seed of trial {trial}, asked for by `swath rerun`")
        }
        Origin::Imported(from) => format!("imported from {from}"),
        Origin::Added | Origin::Sent(_) => "added by hand".to_owned(),
    }
}

fn times(study: &Study, trial: &Trial) -> String {
    let Some(started) = trial.started_at else {
        return "has not started".to_owned();
    };
    let attempts = if trial.attempts > 1 {
        format!(" in {} attempts", trial.attempts)
    } else {
        String::new()
    };
    let ended = match (&trial.state, trial.ended_at) {
        (TrialState::Running, _) | (_, None) => String::new(),
        (_, Some(ended)) => format!(", ended {ended:.0}"),
    };
    format!(
        "{}{attempts}, started {started:.0}{ended}",
        listing::time(study, trial)
    )
}

fn used(trial: &Trial) -> String {
    let usage = trial.usage;
    match trial.ended_at {
        Some(_) => format!(
            "{} of CPU, {} MiB at its peak",
            number::seconds(usage.cpu_seconds),
            number::short(usage.peak_mib)
        ),
        None => String::new(),
    }
}

fn location(trial: &Trial) -> String {
    let slot = trial.slot.map(|slot| format!("slot {slot}"));
    let host = trial.place.as_ref().map(|place| place.host.clone());
    let process = trial
        .place
        .as_ref()
        .and_then(|place| Some(format!("process {}", place.pid?)));
    let job = trial
        .place
        .as_ref()
        .and_then(|place| Some(format!("job {}", place.job.as_ref()?)));
    [host, slot, process, job]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Prints the parameters, beside those of the best trial and the typical ones.
fn show_params(out: &mut Output, study: &Study, trial: &Trial) -> Result<(), Failure> {
    if trial.params.is_empty() {
        return Ok(());
    }
    heading(out, "parameters")?;
    let mut table = Table::new(vec![RowTone::Usual; trial.params.len()]);
    let names = trial.params.iter().map(|(name, _)| name);
    let values = trial.params.iter().map(|(_, value)| listing::shown(value));
    let titles = names.clone().map(|name| format!("  {name}"));
    table.push(Column::texts("  name", titles).keep());
    table.push(Column::texts("value", values).keep());
    if let Some(best) = study.incumbent().filter(|best| best.id != trial.id) {
        let values = names.clone().map(|name| {
            let value = best.params.get(name);
            value.map_or_else(String::new, listing::shown)
        });
        table.push(Column::texts(&format!("best ({})", best.id), values).keep());
    }
    let typical: Vec<_> = names
        .map(|name| typical(study, name).unwrap_or_default())
        .collect();
    if typical.iter().any(|value| !value.is_empty()) {
        table.push(Column::texts("median", typical).keep());
    }
    Ok(table.render(out.width, out.paint).write(&mut out.stdout)?)
}

/// Returns the median of a parameter over the complete trials, or the most frequent value if it is
/// no number. `None` for fewer than three trials with the parameter.
fn typical(study: &Study, name: &Name) -> Option<String> {
    let trials = study.trials().iter();
    let values: Vec<&Value> = trials
        .filter(|trial| trial.state == TrialState::Complete && !trial.outside)
        .filter_map(|trial| trial.params.get(name))
        .collect();
    if values.len() < 3 {
        return None;
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.as_f64()).collect();
    if let Some(mut numbers) = numbers {
        numbers.sort_by(f64::total_cmp);
        return Some(number::brief(numbers[numbers.len() / 2]));
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(listing::shown(value)).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(value, _)| value)
}

fn show_reports(out: &mut Output, study: &Study, trial: &Trial) -> Result<(), Failure> {
    if trial.metrics.is_empty() && trial.texts.is_empty() {
        return Ok(());
    }
    let step = trial.step.map_or_else(String::new, |step| {
        format!(
            ", the last at {} {}",
            trial.axis.word(),
            number::short(step)
        )
    });
    let count = trial.reports;
    let plural = if count == 1 { "report" } else { "reports" };
    let beyond = match trial.beyond {
        0 => String::new(),
        1 => "; one more came past the maximum of the resource and does not count".to_owned(),
        more => format!("; {more} more came past the maximum of the resource and do not count"),
    };
    let counted = counted_words(study, trial);
    heading(
        out,
        &plain(&format!("{count} {plural}{step}{beyond}{counted}")),
    )?;
    let tallies = trial.metrics.values();
    let mut table = Table::new(vec![
        RowTone::Usual;
        trial.metrics.len() + trial.texts.len()
    ]);
    let names = trial.metrics.keys().chain(trial.texts.keys());
    table.push(Column::texts("  metric", names.map(|name| format!("  {name}"))).keep());
    let last = tallies
        .clone()
        .map(|tally| number::short(tally.last.0))
        .chain(trial.texts.values().cloned());
    table.push(Column::numbers("last", last).keep());
    if let Some(counted) = earlier_counted(trial) {
        let names = trial.metrics.keys().chain(trial.texts.keys());
        let at_best = names.map(|name| match counted.value(name) {
            Some(Datum::Number(value)) => number::short(value.0),
            Some(Datum::Flag(flag)) => flag.to_string(),
            Some(Datum::Text(text)) => text.clone(),
            None => String::new(),
        });
        table.push(Column::numbers("at best", at_best).keep());
    }
    table.push(Column::numbers(
        "smallest",
        tallies.clone().map(|tally| short_or_empty(tally.min)),
    ));
    table.push(Column::numbers(
        "largest",
        tallies.clone().map(|tally| short_or_empty(tally.max)),
    ));
    table.push(Column::numbers(
        "times",
        tallies.map(|tally| tally.count.to_string()),
    ));
    Ok(table.render(out.width, out.paint).write(&mut out.stdout)?)
}

fn short_or_empty(number: Option<f64>) -> String {
    number.map_or_else(String::new, number::short)
}

/// Returns the report that counts, unless it is the last one.
fn earlier_counted(trial: &Trial) -> Option<&Counted> {
    trial
        .counted
        .as_ref()
        .filter(|counted| counted.report != trial.reports)
}

/// Returns the end of the heading that names the report which counts. Empty if it is the last one
/// or there is no objective.
fn counted_words(study: &Study, trial: &Trial) -> String {
    let Some(objective) = study.header().objectives.first() else {
        return String::new();
    };
    if objective.take.averages() {
        return format!("; {} counts", objective.take.describe());
    }
    let Some(counted) = earlier_counted(trial) else {
        return String::new();
    };
    let step = counted.step.map_or_else(String::new, |step| {
        format!(" at {} {}", trial.axis.word(), number::short(step))
    });
    let rank = match objective.take {
        Take::Last => "last",
        _ => "best",
    };
    format!("; report {}{step} is the {rank} and counts", counted.report)
}
