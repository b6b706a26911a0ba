//! `swath show`: prints an overview of a study, or all details of some trials.

use super::exit::{Code, Failure};
use super::output::{JSON_VERSION, Output};
use super::studies::{Selection, SelectionArgs};
use super::{Context, provenance, tail};
use crate::driver::holding::held_path;
use crate::driver::prepare::is_prepared;
use crate::journal::{StudyDir, lock};
use crate::logger::source_lines;
use crate::provenance::Record;
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::plain;
use crate::report::{front, json, listing, number, rank, summary};
use crate::study::{
    Counted, Datum, Exit, Goal, LogRecord, Origin, Preparation, Study, Take, Trial, TrialState,
};
use crate::sweep::units::Bytes;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

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

/// Arguments of `swath show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath show`: prints the study without a selection, else each selected trial. Fails with a
/// usage error if the selection matches no trial.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let out = &mut context.out;
    if !selection.is_selective() {
        if args.json {
            study_json(out, &selection)?;
        } else {
            show_study(out, &selection)?;
        }
        return Ok(Code::Done);
    }
    let trials = selection.trials()?;
    if trials.is_empty() {
        return Err(selection.nothing());
    }
    if args.json {
        let record = Record::of(&selection.dir)?;
        let rows: Vec<_> = trials
            .iter()
            .map(|trial| json_row(&selection.study, &record, trial))
            .collect();
        out.json(
            &json!({ "version": JSON_VERSION, "study": selection.study.header().name, "trials": rows }),
        )?;
        return Ok(Code::Done);
    }
    let record = Record::of(&selection.dir)?;
    for (index, trial) in trials.iter().enumerate() {
        if index > 0 {
            writeln!(out.stdout)?;
        }
        show_trial(out, &selection, &record, trial)?;
    }
    Ok(Code::Done)
}

/// Returns the row of a trial in `--json`, with its preparations and provenance.
pub(super) fn json_row(study: &Study, record: &Record, trial: &Trial) -> serde_json::Value {
    let mut row = serde_json::to_value(json::row(study, trial)).unwrap_or_default();
    let mut prepared = study
        .preparations_of(trial.id)
        .map(json::preparation)
        .peekable();
    if prepared.peek().is_some() {
        row["preparations"] = prepared.collect();
    }
    if let Some(provenance) = provenance::json(record, trial.id) {
        row["provenance"] = provenance;
    }
    row
}

/// Writes a line `name   text`, safe to print on a terminal. Writes nothing if the text is empty.
fn line(out: &mut Output, name: &str, text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    if text.is_empty() {
        return Ok(());
    }
    let name = out.paint.dim(&format!("{:<10}", plain(name)));
    Ok(writeln!(out.stdout, "{name} {}", plain(&text))?)
}

fn heading(out: &mut Output, text: &str) -> Result<(), Failure> {
    Ok(writeln!(out.stdout, "\n{}", out.paint.bold(text))?)
}

fn show_study(out: &mut Output, selection: &Selection) -> Result<(), Failure> {
    let (study, header) = (&selection.study, selection.study.header());
    writeln!(
        out.stdout,
        "{}  {}",
        out.paint.bold(&plain(&header.name)),
        summary::counts(study)
    )?;
    line(out, "status", status(selection))?;
    // With several objectives there is a Pareto front instead of one best trial.
    if let Some(best) = study.incumbent().filter(|_| header.objectives.len() == 1) {
        let (objectives, params) = (summary::standing(study, best), summary::params(best));
        line(
            out,
            "best",
            format!("trial {}: {objectives}  {params}", best.id),
        )?;
    }
    let objectives: Vec<_> = header
        .objectives
        .iter()
        .map(|objective| {
            let goal = match objective.goal {
                Goal::Min => "minimum",
                Goal::Max => "maximum",
            };
            format!(
                "{} ({goal}, {})",
                objective.metric,
                objective.take.describe()
            )
        })
        .collect();
    line(out, "objective", objectives.join(", "))?;
    let limits: Vec<_> = header.limits.iter().map(ToString::to_string).collect();
    line(out, "limits", limits.join(", "))?;
    if header.objectives.len() > 1 {
        let front = rank::pareto(study).len();
        line(
            out,
            "front",
            format!("{front} trials on the Pareto front; `swath best` lists them"),
        )?;
        line(out, "hypervolume", front::shown(study).unwrap_or_default())?;
    }
    if let Some(seeds) = header.replicate {
        line(
            out,
            "replicates",
            format!("{seeds} seeds for each configuration, ranked by their mean"),
        )?;
    }
    line(out, "parameters", header.params.join(", "))?;
    line(
        out,
        "pipeline",
        format!("{}, stage {}", header.pipeline, header.stage),
    )?;
    line(out, "seed", header.seed)?;
    line(
        out,
        "code",
        header.git_commit.as_deref().unwrap_or_default(),
    )?;
    line(
        out,
        "sweep",
        format!(
            "{} (md5 {})",
            selection.dir.sweep_toml().display(),
            header.sweep
        ),
    )?;
    for preparation in study.preparations() {
        line(
            out,
            "prepared",
            preparation_words(preparation, &selection.dir),
        )?;
    }
    line(out, "table", selection.dir.trials_csv().display())?;
    let seconds: f64 = study.trials().iter().map(|trial| trial.seconds).sum();
    let cpu: f64 = study
        .trials()
        .iter()
        .map(|trial| trial.usage.cpu_seconds)
        .sum();
    line(
        out,
        "time",
        format!(
            "trials ran {}, {} of CPU",
            number::seconds(seconds),
            number::seconds(cpu)
        ),
    )
}

fn status(selection: &Selection) -> String {
    match (lock::holder(&selection.dir), selection.study.closed()) {
        (Some(holder), _) => {
            format!(
                "running: process {} on {} since {}",
                holder.pid, holder.host, holder.since
            )
        }
        (None, Some(why)) => format!("not running: {}", summary::closing(why)),
        (None, None) if selection.study.trials().is_empty() => "not running".to_owned(),
        (None, None) if selection.study.has_annotations() => {
            "not running: the last run was killed; its pilots go on without it, and `swath run` continues"
                .to_owned()
        }
        // No process holds the study and no entry closed it, so the run was killed.
        (None, None) => "not running: the last run was killed; `swath run` continues it".to_owned(),
    }
}

fn study_json(out: &mut Output, selection: &Selection) -> Result<(), Failure> {
    let (study, counts) = (&selection.study, selection.study.counts());
    out.json(&json!({
        "version": JSON_VERSION,
        "study": study.header(),
        "dir": selection.dir.root().display().to_string(),
        "running_by": lock::holder(&selection.dir),
        "closed": study.closed(),
        "trials": study.trials().len(),
        "complete": counts.complete,
        "stopped": counts.stopped,
        "failed": counts.failed,
        "invalid": counts.invalid,
        "paused": counts.paused,
        "running": study.running_count(),
        "waiting": study.waiting().count(),
        "preparations": study.preparations().iter().map(json::preparation).collect::<Vec<_>>(),
        "best": study.incumbent().map(|best| json::row(study, best)),
        "hypervolume": front::volume(study).map(|front| json!({ "volume": front.volume, "reference": front.reference })),
    }))
}

fn show_trial(
    out: &mut Output,
    selection: &Selection,
    record: &Record,
    trial: &Trial,
) -> Result<(), Failure> {
    let study = &selection.study;
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
    line(out, "folder", selection.dir.trial(trial.id).display())?;
    for preparation in study.preparations_of(trial.id) {
        line(
            out,
            "prepared",
            preparation_words(preparation, &selection.dir),
        )?;
    }
    show_params(out, trial)?;
    show_reports(out, study, trial)?;
    show_sources(out, &selection.dir.trial(trial.id).join("records.jsonl"))?;
    show_records(out, selection, trial)?;
    provenance::show(out, record, trial.id)?;
    if summary::cause(trial.exit.as_ref()).is_some() {
        let folder = selection.folder(trial.id);
        tail::show_log_tail(out, &folder, tail::LOG_LINES, &selection.secrets())?;
    }
    Ok(())
}

/// Returns what is known of a preparation: its state, its parameters, its folder and its trials.
fn preparation_words(preparation: &Preparation, dir: &StudyDir) -> String {
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
        (_, Some(ended)) => format!(", ended {ended}"),
    };
    format!(
        "{}{attempts}, started {started}{ended}",
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

fn show_params(out: &mut Output, trial: &Trial) -> Result<(), Failure> {
    if trial.params.is_empty() {
        return Ok(());
    }
    heading(out, "parameters")?;
    let widest = trial
        .params
        .iter()
        .map(|(name, _)| crate::report::text::width(&plain(name)))
        .max()
        .unwrap_or(0);
    for (name, value) in &trial.params {
        let gap = " ".repeat(widest.saturating_sub(crate::report::text::width(&plain(name))));
        writeln!(
            out.stdout,
            "  {}{gap}  {}",
            plain(name),
            plain(&listing::shown(value))
        )?;
    }
    Ok(())
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

/// Prints the files from which sources have read the values of a trial.
fn show_sources(out: &mut Output, records: &Path) -> Result<(), Failure> {
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
    format!("; report {}{step} is the best and counts", counted.report)
}

fn show_records(out: &mut Output, selection: &Selection, trial: &Trial) -> Result<(), Failure> {
    let study = &selection.study;
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
            let copy = held_path(&selection.dir, trial.id, record)
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

fn digest_words(md5: Option<&String>) -> String {
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

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::space::Value;
    use crate::study::{Closing, Event, Exit, Failure as Cause, Goal, LogRecord};
    use swath_model::demo::{Demo, objective, text};

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "größe"]);
        let trial = demo.start(&[("lr", Value::Float(1e-5)), ("größe", text("\x1b[2J"))]);
        let md5 = Some("9e107d9d372bb6826bd81d3542a419d6".to_owned());
        let role = String::new();
        demo.log(
            trial,
            LogRecord::Dataset {
                data_dir: "data/digits".into(),
                role,
                md5: md5.clone(),
                size: 4096,
                files: 2,
                partial: Vec::new(),
            },
        );
        demo.report(trial, &[("val_loss", 0.5), ("acc", f64::NAN)]);
        demo.report(trial, &[("val_loss", 0.25)]);
        demo.log(
            trial,
            LogRecord::Model {
                model_path: "m/1.bin".into(),
                md5,
                size: 100,
                step: Some(2.0),
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        );
        demo.log(
            trial,
            LogRecord::Note {
                text: "two\nlines".into(),
            },
        );
        demo.end(trial, Exit::Done);
        let failed = demo.start(&[]);
        demo.end(failed, Exit::Failed(Cause::Error("no \x07".into())));
        demo.event(Event::Closed {
            why: Closing::Interrupted,
        });
        demo
    }

    fn show(words: &[&str], json: bool) -> Result<String, Failure> {
        let selection = SelectionArgs {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            condition: None,
        };
        let (result, out, _) = demo::run(&world(), Some(80), |context| {
            run(&Args { selection, json }, context)
        });
        result.map(|code| {
            assert_eq!(code, Code::Done);
            out
        })
    }

    #[test]
    fn a_study_is_shown_at_a_glance() {
        insta::assert_snapshot!(show(&[], false).unwrap());
    }

    #[test]
    fn a_trial_is_shown_with_all_that_is_known_of_it() {
        insta::assert_snapshot!(show(&["1"], false).unwrap());
    }

    #[test]
    fn the_report_and_the_model_that_count_are_marked() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for (epoch, (loss, acc)) in (1..).zip([(0.9, 0.5), (0.2, 0.625), (0.4, 0.75)]) {
            demo.report(trial, &[("val_loss", loss), ("Acc", acc)]);
            let model_path = format!("epoch-{epoch}.bin");
            demo.log(
                trial,
                LogRecord::Model {
                    model_path,
                    md5: None,
                    size: 1,
                    step: None,
                    held: None,
                    keep: false,
                    doubt: None,
                    partial: Vec::new(),
                },
            );
        }
        let selection = SelectionArgs {
            words: vec!["1".into()],
            condition: None,
        };
        let (result, out, _) = demo::run(&demo, None, |context| {
            run(
                &Args {
                    selection,
                    json: false,
                },
                context,
            )
        });
        result.unwrap();
        assert!(
            out.contains(
                "3 reports, the last at step 3; report 2 at step 2 is the best and counts"
            )
        );
        assert!(
            out.lines()
                .any(|line| line.split_whitespace().take(3).eq(["Acc", "0.75", "0.625"])),
            "{out}"
        );
        let marked: Vec<_> = out.lines().filter(|line| line.contains("<-")).collect();
        assert!(
            matches!(marked[..], [line] if line.contains("epoch-2.bin") && line.contains("best"))
        );
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let shown = show(&["1-2"], false).unwrap();
        assert!(
            !shown.chars().any(|char| char.is_control() && char != '\n'),
            "{shown:?}"
        );
    }

    #[test]
    fn json_holds_the_records() {
        let document: serde_json::Value =
            serde_json::from_str(&show(&["1"], true).unwrap()).unwrap();
        assert_eq!(
            document["trials"][0]["records"][0]["dataset"]["data_dir"],
            "data/digits"
        );
        let document: serde_json::Value = serde_json::from_str(&show(&[], true).unwrap()).unwrap();
        assert_eq!(
            (&document["closed"], &document["best"]["trial"]),
            (&"interrupted".into(), &1.into())
        );
    }

    #[test]
    fn metrics_keep_the_case_of_their_names() {
        let demo = Demo::with(&[], vec![objective("val/AR@100", Goal::Max)]);
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: None,
        };
        let (result, out, _) = demo::run(&demo, None, |context| {
            run(
                &Args {
                    selection,
                    json: false,
                },
                context,
            )
        });
        assert_eq!(result, Ok(Code::Done));
        assert!(out.contains("val/AR@100 (maximum, the best of"), "{out}");
    }

    #[test]
    fn a_selection_that_matches_no_trial_is_an_error() {
        assert_eq!(
            show(&["running"], false).unwrap_err().message,
            "`digits` has no such trial"
        );
    }
}
