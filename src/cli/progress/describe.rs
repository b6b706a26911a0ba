//! Descriptions of events, failures and running trials, each as one or a few lines of text.

use crate::cli::tail;
use crate::journal::StudyDir;
use crate::report::text::{Paint, elide, plain};
use crate::report::{number, summary};
use crate::source::secret::Secrets;
use crate::study::{
    Closing, Event, Exit, Failure, LogRecord, Preparation, PreparationChange, Study, Timestamp,
    Trial, TrialState,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The number of log lines shown for a failed trial.
const LOG_LINES: usize = 8;

/// The number of reasons shown for invalid trials.
const REASONS: usize = 5;

/// The maximum width of a log line in columns.
const LINE: usize = 160;

/// Returns the line for an event, or `None` if it is not worth one. With `bars`, only a new
/// incumbent gets a line, because the bars show everything else.
pub(super) fn event(study: &Study, event: &Event, new_best: bool, bars: bool) -> Option<String> {
    if let Some(line) = slot(event).or_else(|| preparation(study, event)) {
        return Some(line);
    }
    let trial = study.trial(event.trial()?)?;
    let line = match event {
        Event::Ended { .. } if trial.state == TrialState::Complete && new_best => {
            let breaks = summary::breaks(study, trial);
            format!(
                "{}, the best so far{breaks}{}",
                ended(study, trial),
                indented_params(trial)
            )
        }
        _ if bars => return None,
        Event::Started { resume, .. } => {
            let verb = if *resume { "resumed" } else { "started" };
            let attempt = if trial.attempts > 1 {
                format!(" (attempt {})", trial.attempts)
            } else {
                String::new()
            };
            format!(
                "trial {} {verb}{attempt}{}",
                trial.id,
                indented_params(trial)
            )
        }
        Event::Ended { .. } => ended(study, trial),
        // The slot or the whole sweep was at fault. One line about the slot, or the summary, covers
        // all such trials.
        Event::Requeued { forgiven: true, .. } => return None,
        Event::Requeued {
            why, not_before, ..
        } => {
            let when = not_before.map_or_else(String::new, |until| {
                format!(
                    " in {}",
                    number::duration(study.at().map_or(Duration::ZERO, |now| until.since(now)))
                )
            });
            format!("trial {} will run again{when}: {why}", trial.id)
        }
        _ => return None,
    };
    Some(format!("{}{}", count(study), plain(&line)))
}

/// Returns the line for an event of a slot. It is also printed above the bars, which do not show
/// slots.
fn slot(event: &Event) -> Option<String> {
    match event {
        Event::SlotPaused { slot, why } => {
            Some(plain(&format!("slot {slot} is paused: {why}")).into_owned())
        }
        Event::SlotResumed { slot } => Some(format!("slot {slot} is in use again")),
        _ => None,
    }
}

/// Returns the line for an event of a preparation. It is also printed above the bars, which show
/// trials only.
fn preparation(study: &Study, event: &Event) -> Option<String> {
    let Event::Preparation {
        preparation,
        change,
    } = event
    else {
        return None;
    };
    let preparation = study.preparation(*preparation)?;
    let execution = &preparation.execution;
    let name = format!("preparation {} ({})", preparation.name, preparation.digest);
    let line = match change {
        PreparationChange::Started { resume, .. } => {
            let verb = if *resume { "resumed" } else { "started" };
            format!("{name} {verb}{}", indented_params(execution))
        }
        PreparationChange::Ended { exit, .. } => match exit {
            Exit::Done => format!("{name} done in {}", number::seconds(execution.seconds)),
            // It is shown with its log.
            Exit::Failed(_) => return None,
            other => format!("{name} was {other}; it will run again"),
        },
        PreparationChange::Logged {
            record: LogRecord::Warning { text },
            ..
        } => format!("{name}: {text}"),
        PreparationChange::Requeued { why, .. } => format!("{name} will run again: {why}"),
        _ => return None,
    };
    Some(plain(&line).into_owned())
}

/// Returns the progress of the study as a prefix such as `[ 3/20] `.
fn count(study: &Study) -> String {
    let ended = finished(study);
    match study.header().trials {
        Some(total) => format!(
            "[{ended:>width$}/{total}] ",
            width = total.to_string().len()
        ),
        None => format!("[{ended}] "),
    }
}

/// Returns the number of trials that count and have ended.
pub(super) fn finished(study: &Study) -> u64 {
    let open = (study.waiting().count() + study.running_count()) as u64 + study.counts().paused;
    study.counted().saturating_sub(open)
}

fn ended(study: &Study, trial: &Trial) -> String {
    let duration = number::seconds(trial.seconds);
    let id = trial.id;
    let why = trial
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    let step = trial.step.map_or_else(String::new, |step| {
        format!(" at {} {}", trial.axis.word(), number::short(step))
    });
    match &trial.state {
        TrialState::Complete => format!(
            "trial {id} complete in {duration}: {}",
            summary::objectives(study, trial)
        ),
        TrialState::Stopped => format!("trial {id} stopped{step}{why}"),
        TrialState::Paused => format!("trial {id} paused{step}{why}"),
        _ => match &trial.exit {
            Some(Exit::Interrupted) => {
                format!("trial {id} was interrupted after {duration}; it will run again")
            }
            Some(Exit::Lost) => format!("trial {id} was lost; it will run again"),
            exit => format!(
                "trial {id} {}",
                exit.as_ref().map_or_else(String::new, ToString::to_string)
            ),
        },
    }
}

fn indented_params(trial: &Trial) -> String {
    let params = summary::params(trial);
    if params.is_empty() {
        params
    } else {
        format!("  {params}")
    }
}

/// Returns the description of a failed trial: the cause, the last lines of its log, and the path of
/// the log. Without `in_full`, only the cause.
pub(super) fn failure(
    trial: &Trial,
    dir: &StudyDir,
    secrets: &Secrets,
    in_full: bool,
    paint: Paint,
) -> String {
    let cause = summary::cause(trial.exit.as_ref()).unwrap_or_default();
    let attempt = if trial.attempts > 1 {
        format!(" (attempt {})", trial.attempts)
    } else {
        String::new()
    };
    let head = paint.red(&format!("trial {} failed{attempt}", trial.id));
    let (cause, params) = (
        plain(&cause).into_owned(),
        plain(&indented_params(trial)).into_owned(),
    );
    let duration = number::seconds(trial.seconds);
    if !in_full {
        return format!("{head}: {cause}");
    }
    let output = output(&dir.trial(trial.id), secrets, paint);
    format!("{head}: {cause} after {duration}{params}{output}")
}

/// Returns the description of a failed preparation, with the end of its log.
pub(super) fn failed_preparation(
    preparation: &Preparation,
    dir: &StudyDir,
    secrets: &Secrets,
    paint: Paint,
) -> String {
    let execution = &preparation.execution;
    let cause = summary::cause(execution.exit.as_ref()).unwrap_or_default();
    let name = plain(&preparation.name).into_owned();
    let head = paint.red(&format!("preparation {name} failed"));
    let cause = plain(&format!("{cause}{}", indented_params(execution))).into_owned();
    let output = output(&dir.preparation(&preparation.digest), secrets, paint);
    format!("{head}: {cause}{output}")
}

/// Returns the last lines of a log, each on a line of its own, and the path of the whole log.
fn output(folder: &Path, secrets: &Secrets, paint: Paint) -> String {
    let (log, lines) = tail::log_tail(folder, LOG_LINES, secrets);
    let output: String = lines
        .iter()
        .map(|line| format!("\n    {} {}", paint.dim("|"), elide(line, LINE)))
        .collect();
    let (label, path) = match lines.is_empty() {
        true => ("it wrote no output; its folder:", folder.to_owned()),
        false => ("full log:", log),
    };
    let path = plain(&path.display().to_string()).into_owned();
    format!("{output}\n    {label} {path}")
}

/// Returns the message for a run that the circuit breaker ended: the last failure with the end of
/// its log, and the available options. `None` if no failed trial is on record.
pub(super) fn broken(
    study: &Study,
    dir: &StudyDir,
    secrets: &Secrets,
    paint: Paint,
) -> Option<String> {
    let last = study
        .trials()
        .iter()
        .filter(|trial| matches!(trial.exit, Some(Exit::Failed(_))) && trial.ended_at.is_some())
        .max_by_key(|trial| trial.ended_at)?;
    Some(format!(
        "{}\nthese failures do not count: the trials wait and will run again; if such failures are expected, set `quick_failures = 0` in [limits]",
        failure(last, dir, secrets, true, paint)
    ))
}

/// Returns the ways to go on after trials have failed; `None` if none has.
pub(super) fn advice(study: &Study, why: &Closing) -> Option<String> {
    // These ends describe their failures and the ways to go on themselves.
    if matches!(why, Closing::CircuitBreaker | Closing::Interrupted) {
        return None;
    }
    let first = failed_trials(study).next()?;
    let study_name = plain(&study.header().name);
    let silent = failed_trials(study).find_map(|trial| match &trial.exit {
        Some(Exit::Failed(Failure::NoObjective(reason))) => Some((trial.id, reason)),
        _ => None,
    });
    let count = match failed_trials(study).count() {
        1 => format!("trial {} failed", first.id),
        count => format!("{count} trials failed (`swath ls {study_name} failed`)"),
    };
    let recapture = silent.map_or_else(String::new, |(id, reason)| {
        let reason = plain(reason);
        format!(
            "\n  trial {id} ended with status 0: {reason}\n  if the output has the value, correct \
             `[capture]` or `[objective]` in the sweep file and read the outputs again, without \
             training again: swath recapture {study_name}"
        )
    });
    Some(format!(
        "{count}{recapture}\n  to run failed trials again: swath retry {study_name}, then the command below"
    ))
}

fn failed_trials(study: &Study) -> impl Iterator<Item = &Trial> {
    let trials = study.trials().iter();
    trials.filter(|trial| trial.state == TrialState::Failed && !trial.outside)
}

/// Returns the reasons of the invalid trials, the most frequent first, and the available options.
pub(super) fn invalid(study: &Study) -> String {
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let invalid = study
        .trials()
        .iter()
        .filter(|trial| trial.state == TrialState::Invalid);
    for reason in invalid.filter_map(|trial| summary::cause(trial.exit.as_ref())) {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = String::new();
    for (reason, count) in reasons.iter().take(REASONS) {
        let _ = writeln!(text, "  {count} × {}", plain(reason));
    }
    text + "narrow the space, or exclude such configurations by `[constraints]`; if the program is at \
            fault, correct it"
}

/// Returns the line of a running trial: id, time, step, and the last value of each metric. If it
/// has neither a step nor a metric, its parameters.
pub(super) fn running(study: &Study, trial: &Trial, now: Timestamp) -> String {
    let duration = trial
        .attempt_at
        .map_or_else(String::new, |start| number::duration(now.since(start)));
    let step = match (trial.step, trial.until) {
        (Some(step), Some(until)) => {
            format!("{} {}/{until}", trial.axis.word(), number::short(step))
        }
        (Some(step), None) if !is_reported(study, trial, step) => {
            format!("{} {}", trial.axis.word(), number::short(step))
        }
        _ => String::new(),
    };
    let header = study.header();
    let objectives = header.objectives.iter().map(|objective| &objective.metric);
    let others = trial.metrics.keys().filter(|name| {
        header.resource.as_ref() != Some(name)
            && !header
                .objectives
                .iter()
                .any(|objective| objective.metric == **name)
    });
    let metrics = objectives.chain(others).filter_map(|name| {
        let tally = trial.metrics.get(name)?;
        Some(format!("{name} {}", number::short(tally.last.0)))
    });
    let progress: Vec<_> = std::iter::once(step)
        .filter(|step| !step.is_empty())
        .chain(metrics)
        .collect();
    let progress = if progress.is_empty() {
        summary::params(trial)
    } else {
        progress.join("  ")
    };
    plain(&format!("{:>5}  {duration:>7}  {progress}", trial.id)).into_owned()
}

/// Returns whether the step that swath counts equals a value that the trial reports itself, for
/// example as `epoch`.
fn is_reported(study: &Study, trial: &Trial, step: f64) -> bool {
    study.header().resource.is_none() && trial.metrics.values().any(|tally| tally.last.0 == step)
}

#[cfg(test)]
mod tests {
    use super::running;
    use crate::space::Value;
    use swath_model::demo::Demo;

    #[test]
    fn the_line_of_a_running_trial_shows_its_last_report_with_the_objective_first() {
        let mut demo = Demo::new(&["lr"]);
        let trial = demo.start(&[("lr", Value::Float(0.1))]);
        let now = demo.study.at().unwrap();
        assert_eq!(
            running(&demo.study, &demo.study.trials()[0], now),
            "    1       0s  lr=0.1"
        );
        demo.report(trial, &[("acc", 0.9), ("val_loss", 0.041_234_567)]);
        let now = demo.study.at().unwrap();
        assert_eq!(
            running(&demo.study, &demo.study.trials()[0], now),
            "    1       1s  step 1  val_loss 0.041235  acc 0.9"
        );
    }
}
