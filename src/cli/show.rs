//! `swath show`: a study at a glance, or all that is known of some trials.

use super::exit::{Code, Failure};
use super::output::{JSON_VERSION, Output};
use super::studies::{Found, Which};
use super::{Context, made, tail};
use crate::driver::holding::held_path;
use crate::journal::lock;
use crate::provenance::Record;
use crate::report::table::{Column, Table, Tone};
use crate::report::text::{elide, plain};
use crate::report::{front, json, listing, number, rank, summary};
use crate::study::{LogRecord, Origin, Study, Trial, TrialState};
use serde_json::json;
use std::fmt::Display;

/// How many lines of a failed trial's output are shown.
const LAST_WORDS: usize = 12;

/// Arguments of `swath show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let found = args.which.find(context)?;
    let out = &mut context.out;
    if !found.is_selective() {
        if args.json {
            study_json(out, &found)?;
        } else {
            show_study(out, &found)?;
        }
        return Ok(Code::Done);
    }
    let trials = found.trials()?;
    if trials.is_empty() {
        return Err(found.nothing());
    }
    if args.json {
        let record = Record::of(&found.dir)?;
        let row = |trial: &&Trial| {
            let mut row = serde_json::to_value(json::row(&found.study, trial)).unwrap_or_default();
            if let Some(made) = made::json(&record, trial.id) {
                row["provenance"] = made;
            }
            row
        };
        let rows: Vec<_> = trials.iter().map(row).collect();
        out.json(&json!({ "version": JSON_VERSION, "study": found.study.header().name, "trials": rows }))?;
        return Ok(Code::Done);
    }
    let record = Record::of(&found.dir)?;
    for (at, trial) in trials.iter().enumerate() {
        if at > 0 {
            writeln!(out.stdout)?;
        }
        show_trial(out, &found, &record, trial)?;
    }
    Ok(Code::Done)
}

/// Writes a line `name   text`, made safe.
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

fn show_study(out: &mut Output, found: &Found) -> Result<(), Failure> {
    let (study, header) = (&found.study, found.study.header());
    writeln!(out.stdout, "{}  {}", out.paint.bold(&plain(&header.name)), summary::counts(study))?;
    line(out, "status", status(found))?;
    if let Some(best) = study.incumbent().filter(|_| header.objectives.len() == 1) {
        let (objectives, params) = (summary::standing(study, best), summary::params(best));
        line(out, "best", format!("trial {}: {objectives}  {params}", best.id))?;
    }
    let objectives: Vec<_> = header
        .objectives
        .iter()
        .map(|objective| {
            format!("{} ({:?}imum, {:?} report)", objective.metric, objective.goal, objective.take)
                .to_lowercase()
        })
        .collect();
    line(out, "objective", objectives.join(", "))?;
    let limits: Vec<_> = header.limits.iter().map(ToString::to_string).collect();
    line(out, "limits", limits.join(", "))?;
    if header.objectives.len() > 1 {
        let front = rank::pareto(study).len();
        line(out, "front", format!("{front} trials that no other beats; `swath best` lists them"))?;
        line(out, "hypervolume", front::shown(study).unwrap_or_default())?;
    }
    if let Some(seeds) = header.replicate {
        line(out, "replicates", format!("{seeds} seeds a configuration, ranked by the mean"))?;
    }
    line(out, "parameters", header.params.join(", "))?;
    line(out, "pipeline", format!("{}, stage {}", header.pipeline, header.stage))?;
    line(out, "seed", header.seed)?;
    line(out, "code", header.git_commit.as_deref().unwrap_or_default())?;
    line(out, "sweep", format!("{} (md5 {})", found.dir.sweep_toml().display(), header.sweep))?;
    line(out, "table", found.dir.trials_csv().display())?;
    let seconds: f64 = study.trials().iter().map(|trial| trial.seconds).sum();
    let cpu: f64 = study.trials().iter().map(|trial| trial.usage.cpu_seconds).sum();
    line(out, "time", format!("trials ran {}, {} of CPU", number::seconds(seconds), number::seconds(cpu)))
}

fn status(found: &Found) -> String {
    let ended = |why| format!("not running: {}", summary::closing(why));
    match (lock::holder(&found.dir), found.study.closed()) {
        (Some(holder), _) => {
            format!("running: process {} on {} since {}", holder.pid, holder.host, holder.since)
        }
        (None, Some(why)) => ended(why),
        (None, None) if found.study.trials().is_empty() => "not running".to_owned(),
        (None, None) => "not running: the last run was killed; `swath run` goes on where it was".to_owned(),
    }
}

fn study_json(out: &mut Output, found: &Found) -> Result<(), Failure> {
    let (study, counts) = (&found.study, found.study.counts());
    out.json(&json!({
        "version": JSON_VERSION,
        "study": study.header(),
        "dir": found.dir.root().display().to_string(),
        "running_by": lock::holder(&found.dir),
        "closed": study.closed(),
        "trials": study.trials().len(),
        "complete": counts.complete,
        "stopped": counts.stopped,
        "failed": counts.failed,
        "paused": counts.paused,
        "running": study.running_count(),
        "waiting": study.waiting().count(),
        "best": study.incumbent().map(|best| json::row(study, best)),
        "hypervolume": front::volume(study).map(|found| json!({ "volume": found.volume, "reference": found.reference })),
    }))
}

fn show_trial(out: &mut Output, found: &Found, record: &Record, trial: &Trial) -> Result<(), Failure> {
    let study = &found.study;
    let state = trial.state.word();
    let state = match trial.state {
        TrialState::Failed => out.paint.red(state),
        TrialState::Complete => out.paint.green(state),
        _ => state.to_owned(),
    };
    let id = out.paint.bold(&format!("trial {}", trial.id));
    writeln!(out.stdout, "{id}  {state}  {}", plain(&summary::objectives(study, trial)))?;
    if let Some(exit) = trial.exit.as_ref().filter(|_| trial.state == TrialState::Failed) {
        line(out, "cause", exit)?;
    }
    line(out, "decision", trial.why.as_deref().unwrap_or_default())?;
    line(out, "limits", summary::broken(study, trial).join(", "))?;
    if study.header().replicate.is_some() {
        let head = study.head(trial.id);
        let number = study.replicate(trial.id);
        let mean = study.trial(head).map_or_else(String::new, |head| summary::standing(study, head));
        line(out, "seeds", format!("number {number} of configuration {head}: {mean}"))?;
    }
    if trial.removed {
        line(out, "removed", "it is in the trash and counts for nothing; `swath rm --restore` takes it out")?;
    } else if trial.outside {
        line(out, "outside", "the sweep file has been edited and no longer admits this configuration")?;
    }
    line(out, "origin", origin(&trial.origin))?;
    line(out, "time", times(study, trial))?;
    line(out, "used", used(trial))?;
    line(out, "ran on", place(trial))?;
    line(out, "seed", trial.seed)?;
    line(out, "folder", found.dir.trial(trial.id).display())?;
    show_params(out, trial)?;
    show_reports(out, study, trial)?;
    show_records(out, found, trial)?;
    made::show(out, record, trial.id)?;
    if trial.state == TrialState::Failed {
        show_last_words(out, found, trial)?;
    }
    Ok(())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Suggested(sampler) => format!("suggested by {sampler}"),
        Origin::Point(at) => format!("[[point]] {} of the sweep file", at + 1),
        Origin::Cloned { from, why, .. } => {
            format!("made from trial {from}, from whose checkpoint it starts: {why}")
        }
        Origin::Replicate(trial) => format!("replicates trial {trial}"),
        Origin::Imported(from) => format!("imported from {from}"),
        Origin::Added => "added by hand".to_owned(),
    }
}

fn times(study: &Study, trial: &Trial) -> String {
    let Some(started) = trial.started_at else { return "has not started".to_owned() };
    let attempts =
        if trial.attempts > 1 { format!(" in {} attempts", trial.attempts) } else { String::new() };
    let ended = match (&trial.state, trial.ended_at) {
        (TrialState::Running, _) | (_, None) => String::new(),
        (_, Some(ended)) => format!(", ended {ended}"),
    };
    format!("{}{attempts}, started {started}{ended}", listing::time(study, trial))
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

fn place(trial: &Trial) -> String {
    let slot = trial.slot.map(|slot| format!("slot {slot}"));
    let host = trial.place.as_ref().map(|place| place.host.clone());
    let process = trial.place.as_ref().and_then(|place| Some(format!("process {}", place.pid?)));
    let job = trial.place.as_ref().and_then(|place| Some(format!("job {}", place.job.as_ref()?)));
    [host, slot, process, job].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn show_params(out: &mut Output, trial: &Trial) -> Result<(), Failure> {
    if trial.params.is_empty() {
        return Ok(());
    }
    heading(out, "parameters")?;
    let widest =
        trial.params.iter().map(|(name, _)| crate::report::text::width(&plain(name))).max().unwrap_or(0);
    for (name, value) in &trial.params {
        let gap = " ".repeat(widest.saturating_sub(crate::report::text::width(&plain(name))));
        writeln!(out.stdout, "  {}{gap}  {}", plain(name), plain(&listing::shown(value)))?;
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
            study.header().resource.as_deref().unwrap_or("step"),
            number::short(step)
        )
    });
    let count = trial.reports;
    let plural = if count == 1 { "report" } else { "reports" };
    heading(out, &plain(&format!("{count} {plural}{step}")))?;
    let tallies = || trial.metrics.values();
    let mut table = Table::new(vec![Tone::Usual; trial.metrics.len() + trial.texts.len()]);
    let names = trial.metrics.keys().chain(trial.texts.keys());
    table.push(Column::texts("  metric", names.map(|name| format!("  {name}"))).keep());
    let last = tallies().map(|tally| number::short(tally.last.0)).chain(trial.texts.values().cloned());
    table.push(Column::numbers("last", last).keep());
    let bound = |bound: Option<f64>| bound.map_or_else(String::new, number::short);
    table.push(Column::numbers("smallest", tallies().map(|tally| bound(tally.min))));
    table.push(Column::numbers("largest", tallies().map(|tally| bound(tally.max))));
    table.push(Column::numbers("times", tallies().map(|tally| tally.count.to_string())));
    Ok(out.stdout.write_all(table.render(out.width, out.paint).text.as_bytes())?)
}

fn show_records(out: &mut Output, found: &Found, trial: &Trial) -> Result<(), Failure> {
    let with_bytes = |logged: &LogRecord| {
        let (kind, text) = record(logged)?;
        let held = held_path(&found.dir, trial.id, logged);
        Some((kind, text + &held.map_or_else(String::new, |held| format!(", held in {}", held.display()))))
    };
    let said: Vec<_> = trial.records.iter().filter_map(with_bytes).collect();
    if said.is_empty() {
        return Ok(());
    }
    heading(out, "records")?;
    for (kind, text) in said {
        let kind = out.paint.dim(&format!("{kind:<10}"));
        writeln!(out.stdout, "  {kind} {}", plain(&text))?;
    }
    Ok(())
}

fn record(record: &LogRecord) -> Option<(&'static str, String)> {
    let md5 = |md5: &Option<String>| {
        md5.clone().map_or_else(|| "unreadable".to_owned(), |md5| format!("md5 {md5}"))
    };
    Some(match record {
        LogRecord::Report { .. } => return None,
        LogRecord::Dataset { data_dir, role, md5: digest, size, files, partial } => {
            let role = if role.is_empty() { String::new() } else { format!(" ({role})") };
            let plural = if *files == 1 { "file" } else { "files" };
            (
                "data set",
                format!(
                    "{data_dir}{role}  {files} {plural}, {}, {}{}",
                    number::bytes(*size),
                    md5(digest),
                    partial_digest(partial)
                ),
            )
        }
        LogRecord::Model { model_path, size, step, md5: digest, doubt, partial, .. } => {
            let step = step.map_or_else(String::new, |step| format!(" at {}", number::short(step)));
            let what = match doubt {
                Some(doubt) => format!("no digest: {doubt}"),
                None => format!("{}, {}{}", number::bytes(*size), md5(digest), partial_digest(partial)),
            };
            ("model", format!("{model_path}{step}  {what}"))
        }
        LogRecord::Artifact { path, md5: digest, size, partial } => {
            let partial = partial_digest(partial);
            ("artifact", format!("{path}  {}, {}{partial}", number::bytes(*size), md5(digest)))
        }
        LogRecord::Facts { model_path, facts } => {
            let facts: Vec<_> =
                facts.iter().map(|(name, value)| format!("{name} = {}", listing::shown(value))).collect();
            ("model", format!("{model_path}: {}", facts.join(", ")))
        }
        LogRecord::Param { name, value } => ("param", format!("{name} = {}", listing::shown(value))),
        LogRecord::Output { name, value } => ("output", format!("{name} = {}", listing::shown(value))),
        LogRecord::Checkpoint { step } => {
            ("checkpoint", step.map_or_else(String::new, |step| format!("at {}", number::short(step))))
        }
        LogRecord::Note { text } => ("note", text.clone()),
        LogRecord::Warning { text } => ("warning", text.clone()),
    })
}

/// Names what is not part of a digest.
fn partial_digest(partial: &[String]) -> String {
    if partial.is_empty() { String::new() } else { format!(", partial: without {}", partial.join(", ")) }
}

fn show_last_words(out: &mut Output, found: &Found, trial: &Trial) -> Result<(), Failure> {
    let (log, lines) = tail::last_words(&found.dir.trial(trial.id), LAST_WORDS);
    if lines.is_empty() {
        return Ok(());
    }
    heading(out, &plain(&format!("the end of {}", log.display())))?;
    for line in lines {
        let line = elide(&line, out.width.unwrap_or(usize::MAX).saturating_sub(2));
        writeln!(out.stdout, "  {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{Which, demo};
    use crate::space::Value;
    use crate::study::{Closing, Event, Exit, Failure as Cause, LogRecord};
    use crate::tracker::demo::{Demo, text};

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
        demo.log(trial, LogRecord::Note { text: "two\nlines".into() });
        demo.end(trial, Exit::Done);
        let failed = demo.start(&[]);
        demo.end(failed, Exit::Failed(Cause::Error("no \x07".into())));
        demo.event(Event::Closed { why: Closing::Interrupted });
        demo
    }

    fn show(words: &[&str], json: bool) -> Result<String, Failure> {
        let which = Which { words: words.iter().map(|word| (*word).to_owned()).collect(), condition: None };
        let (result, out, _) = demo::run(&world(), Some(80), |context| run(&Args { which, json }, context));
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
    fn nothing_that_a_terminal_obeys_is_shown() {
        let shown = show(&["1-2"], false).unwrap();
        assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
    }

    #[test]
    fn json_holds_the_records() {
        let document: serde_json::Value = serde_json::from_str(&show(&["1"], true).unwrap()).unwrap();
        assert_eq!(document["trials"][0]["records"][0]["dataset"]["data_dir"], "data/digits");
        let document: serde_json::Value = serde_json::from_str(&show(&[], true).unwrap()).unwrap();
        assert_eq!((&document["closed"], &document["best"]["trial"]), (&"interrupted".into(), &1.into()));
    }

    #[test]
    fn a_selection_without_trials_is_told() {
        assert_eq!(show(&["running"], false).unwrap_err().message, "no such trial in `digits`");
    }
}
