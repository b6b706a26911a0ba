//! `swath why`: explains the state of trials from the journal.

use super::exit::{Code, Failure};
use super::output::Output;
use super::studies::{Selection, SelectionArgs};
use super::{Context, tail};
use crate::driver::race::Race;
use crate::journal::Journal;
use crate::report::text::plain;
use crate::report::{number, summary};
use crate::sampler::failure_risks;
use crate::study::{
    Closing, Event, Exit, FailureClass, LogRecord, Origin, Setting, Study, Timestamp, Trial,
    TrialId, TrialState, Verdict,
};
use crate::sweep::Sweep;
use std::collections::HashMap;
use std::io::Write as _;

/// Arguments of `swath why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
}

/// Runs `swath why`: explains each selected trial, else the last one.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let trials = selection.trials_or(|study| study.trials().last())?;
    let mut histories = histories(&selection, &trials)?;
    let setting = setting(&selection);
    let out = &mut context.out;
    for (index, trial) in trials.iter().enumerate() {
        if index > 0 {
            writeln!(out.stdout)?;
        }
        let mut history = histories.remove(&trial.id).unwrap_or_default();
        if let Some(setting) = &setting {
            history.extend(expected_failures(setting, &selection.study, trial.id));
        }
        explain(out, &selection, trial, &history)?;
    }
    if selection.study.closed() == Some(&Closing::Exhausted) {
        let reason = summary::closing(&Closing::Exhausted);
        writeln!(out.stdout, "no further trial will run: {reason}")?;
    }
    Ok(Code::Done)
}

/// Prints the reason for a trial's state, its history, and the end of the log of a trial that
/// failed.
fn explain(
    out: &mut Output,
    selection: &Selection,
    trial: &Trial,
    history: &[String],
) -> Result<(), Failure> {
    let study = &selection.study;
    writeln!(
        out.stdout,
        "trial {} {}: {}",
        trial.id,
        state_phrase(&trial.state),
        plain(&reason(study, trial))
    )?;
    for broken in summary::broken(study, trial) {
        writeln!(
            out.stdout,
            "  it breaks an outcome constraint: {}",
            plain(&broken)
        )?;
    }
    if let Some(line) = race_progress(study, study.configuration(trial.id)) {
        writeln!(out.stdout, "  {}", plain(&line))?;
    }
    for line in history {
        writeln!(out.stdout, "  {line}")?;
    }
    if summary::cause(trial.exit.as_ref()).is_some() {
        let folder = selection.folder(trial.id);
        tail::show_log_tail(out, &folder, tail::LOG_LINES, &selection.secrets())?;
    }
    Ok(())
}

/// Returns the space and the objectives of a study with failed trials; `None` without any, or if
/// its sweep file cannot be read.
fn setting(selection: &Selection) -> Option<Setting> {
    let counts = selection.study.counts();
    if counts.failed + counts.invalid == 0 {
        return None;
    }
    let path = selection.dir.sweep_toml();
    let sweep = Sweep::read(&path).or_else(|_| Sweep::read_for_function(&path));
    Some(sweep.ok()?.setting(1))
}

/// Minimum probability of a failure that is shown.
const SHOWN_RISK: f64 = 0.1;

/// Returns a line for each class of failures that the trials before lead to expect.
fn expected_failures(setting: &Setting, study: &Study, trial: TrialId) -> Vec<String> {
    failure_risks(setting, study, trial)
        .into_iter()
        .filter(|(_, risk)| *risk >= SHOWN_RISK)
        .map(|(class, risk)| {
            let failure = match class {
                FailureClass::Memory => "run out of memory",
                FailureClass::Timeout => "run longer than `trial_time`",
                FailureClass::Objective => "end without its objective",
                FailureClass::Invalid => "be invalid",
                FailureClass::Crash | FailureClass::Lost | FailureClass::Spawn => "crash",
            };
            let percent = 100.0 * risk;
            format!("by the trials before it, expected to {failure}: {percent:.0} %")
        })
        .collect()
}

/// Returns one line for each decisive event of each trial. The study holds only the latest state, so
/// the history is read from the journal.
fn histories(
    selection: &Selection,
    trials: &[&Trial],
) -> Result<HashMap<TrialId, Vec<String>>, Failure> {
    let trials: HashMap<TrialId, &Trial> = trials.iter().map(|trial| (trial.id, *trial)).collect();
    let mut histories: HashMap<TrialId, Vec<String>> = HashMap::new();
    let mut verdicts = HashMap::new();
    for entry in Journal::open(&selection.dir)?.without_reports() {
        let entry = entry?;
        let Some(trial) = entry.event.trial().and_then(|id| trials.get(&id)) else {
            continue;
        };
        if let Event::Judged { verdict, .. } = &entry.event {
            verdicts.insert(trial.id, *verdict);
        }
        let verdict = verdicts.get(&trial.id).copied();
        if let Some(line) = describe(&entry.event, trial, verdict) {
            let line = format!("{:.0}  {}", entry.at, plain(&line));
            histories.entry(trial.id).or_default().push(line);
        }
    }
    Ok(histories)
}

fn state_phrase(state: &TrialState) -> &'static str {
    match state {
        TrialState::Waiting => "is waiting",
        TrialState::Running => "is running",
        TrialState::Paused => "is paused",
        TrialState::Complete => "is complete",
        TrialState::Stopped => "was stopped",
        TrialState::Failed => "failed",
        TrialState::Invalid => "is invalid",
    }
}

/// Returns one line that explains the state of a trial.
fn reason(study: &Study, trial: &Trial) -> String {
    let closed = study.closed();
    let exclusion = match (trial.removed, trial.outside) {
        (true, _) => "; it was removed and does not count (`swath rm --restore` restores it)",
        (false, true) if trial.state == TrialState::Waiting => {
            return "the edited sweep file no longer admits its parameters, so it is not started and does not count"
                .to_owned();
        }
        (false, true) => {
            "; the edited sweep file no longer admits its parameters, so it does not count"
        }
        _ => "",
    };
    let text = match &trial.origin {
        Origin::Imported(from) => elsewhere(trial, from),
        _ => match (&trial.state, study.annotation(trial.id)) {
            (TrialState::Running, Some(remark)) => format!("it {remark}"),
            (_, Some(remark)) => format!("{}; it {remark}", here(closed, trial)),
            (_, None) => here(closed, trial),
        },
    };
    format!("{text}{exclusion}")
}

/// Returns the outcome of an imported trial in the study or file that it comes from.
fn elsewhere(trial: &Trial, from: &str) -> String {
    let cause = summary::cause(trial.exit.as_ref()).unwrap_or_default();
    let end = match trial.state {
        TrialState::Failed => format!("it failed where it ran: {cause}"),
        TrialState::Stopped => "it was stopped early where it ran".to_owned(),
        _ => "it was complete where it ran".to_owned(),
    };
    format!("{end}; it was imported from {from}")
}

/// Returns the reason for the state of a trial that this study created.
fn here(closed: Option<&Closing>, trial: &Trial) -> String {
    match (&trial.state, &trial.exit) {
        (TrialState::Waiting, None) => "it waits for a free slot, or for the next run".to_owned(),
        (TrialState::Waiting, Some(exit)) => waiting(closed, trial, exit),
        (TrialState::Running, _) => format!("attempt {} runs", trial.attempts),
        (TrialState::Paused | TrialState::Stopped, _) => trial
            .why
            .clone()
            .unwrap_or_else(|| "the program that ran it gave it up".to_owned()),
        (TrialState::Complete, _) if trial.verdict == Some(Verdict::Complete) => {
            let why = trial.why.as_deref().unwrap_or_default();
            format!("{why}: it was ended there, with every objective reported and finite")
        }
        (TrialState::Complete, _) => {
            "it ended without an error and reported every objective with a finite value".to_owned()
        }
        (TrialState::Failed | TrialState::Invalid, exit) => {
            summary::cause(exit.as_ref()).unwrap_or_else(|| "it failed".to_owned())
        }
    }
}

/// Returns the reason why a trial waits after an attempt.
fn waiting(closed: Option<&Closing>, trial: &Trial, exit: &Exit) -> String {
    let last = match exit {
        Exit::Interrupted => "its last attempt was interrupted before it ended".to_owned(),
        Exit::Lost => "the run or the machine ended during its last attempt".to_owned(),
        other => format!("its last attempt failed: {other}"),
    };
    if closed == Some(&Closing::CircuitBreaker) {
        let reason = summary::closing(&Closing::CircuitBreaker);
        return format!(
            "{last}, and {reason}; once the cause is fixed, the next `swath run` starts another attempt"
        );
    }
    match trial.not_before.filter(|until| *until > Timestamp::now()) {
        Some(until) => format!("{last}; the next attempt starts after {until}"),
        None => format!("{last}; the next run starts another attempt"),
    }
}

/// Returns the progress of a configuration in the race over replicates, and why the race dropped
/// it. `None` if the study does not use replicates.
fn race_progress(study: &Study, head: TrialId) -> Option<String> {
    let planned = study.header().replicate? as usize;
    let standing = study.standing(head)?;
    let so_far = format!(
        "{} of {planned} seeds of configuration {head} are complete",
        standing.seeds
    );
    let race = Race::of(study).filter(|race| standing.seeds < planned && race.drops(study, head));
    Some(match (race, standing.scores.first()) {
        (Some(race), Some(mean)) => format!(
            "{so_far}; no more seeds will run: its mean is worse than that of configuration {} by {}, which exceeds the noise of {}",
            race.leader,
            number::short(mean - race.mean),
            number::short(race.margin(standing.seeds)),
        ),
        _ => so_far,
    })
}

/// Describes an event that decided something about the trial, or returns `None` for any other
/// event. `verdict` is the scheduler's last verdict before or at this event.
fn describe(event: &Event, trial: &Trial, verdict: Option<Verdict>) -> Option<String> {
    let is_imported = matches!(trial.origin, Origin::Imported(_));
    Some(match event {
        Event::Created { origin, .. } => match origin {
            Origin::Suggested(sampler) => format!("proposed by `{sampler}`"),
            Origin::Restarted { sampler, why } => {
                format!("proposed by `{sampler}`, which restarted its search: {why}")
            }
            Origin::Point(index) => format!("taken from point {} of the sweep file", index + 1),
            Origin::Cloned { from, why, .. } => format!("cloned from trial {from}: {why}"),
            Origin::Replicate(original) => {
                format!("replicate of trial {original} with another seed")
            }
            Origin::Rerun(original) => {
                format!("further seed of trial {original}, asked for by `swath rerun`")
            }
            Origin::Imported(from) => format!("imported from {from}"),
            Origin::Added | Origin::Sent(_) => "added by hand".to_owned(),
        },
        // The journal time of an imported trial is the time of the import, not of its execution.
        Event::Started { .. } | Event::Ended { .. } if is_imported => return None,
        Event::Started {
            attempt,
            until,
            resume,
            ..
        } => {
            let until = until
                .map(|until| format!(", until {until}"))
                .unwrap_or_default();
            format!(
                "attempt {attempt} started{}{until}",
                if *resume { " from its checkpoint" } else { "" }
            )
        }
        Event::Judged { verdict, why, .. } => {
            let word = match verdict {
                Verdict::Continue => "continued",
                Verdict::Pause => "paused",
                Verdict::Stop => "stopped",
                Verdict::Complete => "ended as complete",
            };
            format!("{word}: {why}")
        }
        Event::Ended { attempt, exit, .. } => match exit {
            Exit::Done if verdict == Some(Verdict::Complete) => format!("attempt {attempt} ended"),
            Exit::Done => format!("attempt {attempt} ended without an error"),
            other => format!("attempt {attempt} ended: {other}"),
        },
        Event::Requeued {
            why, not_before, ..
        } => {
            let until = not_before.map_or_else(String::new, |until| format!(" until {until}"));
            format!("requeued{until}: {why}")
        }
        Event::Logged {
            record: LogRecord::Warning { text },
            ..
        } => format!("warning: {text}"),
        Event::Logged {
            record: LogRecord::Note { text },
            ..
        } if is_imported => format!("note: {text}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::study::{Event, Exit, Failure as Cause, LogRecord, Origin, Verdict};
    use swath_model::demo::Demo;

    fn why(demo: &Demo) -> String {
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: None,
        };
        let (result, out, _) = demo::run(demo, None, |context| run(&Args { selection }, context));
        result.unwrap();
        out
    }

    fn headline(demo: &Demo) -> String {
        why(demo).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_headline_of_a_failed_trial_is_the_error_that_it_raised() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let (error, ended) = (
            "ValueError: bad shapes".to_owned(),
            Box::new(Cause::Code(1)),
        );
        demo.end(trial, Exit::Failed(Cause::Raised { error, ended }));
        let cause = "ValueError: bad shapes (exit status 1)";
        assert_eq!(headline(&demo), format!("trial 1 failed: {cause}"));
        assert!(why(&demo).contains(&format!("attempt 1 ended: {cause}")));
        demo.event(Event::requeued(trial, "retry 1 of 2"));
        let waits =
            format!("trial 1 is waiting: its last attempt failed: {cause}; the next run starts");
        assert!(headline(&demo).starts_with(&waits), "{}", headline(&demo));
    }

    #[test]
    fn the_first_proposal_after_a_restart_says_why_the_search_restarted() {
        let mut demo = Demo::new(&[]);
        let why_it_restarted = "it had converged around trial 7".to_owned();
        let origin = Origin::Restarted {
            sampler: "auto".into(),
            why: why_it_restarted.clone(),
        };
        demo.start_from(&[], origin);
        let line = format!("proposed by `auto`, which restarted its search: {why_it_restarted}");
        assert!(why(&demo).contains(&line), "{}", why(&demo));
    }

    #[test]
    fn each_selected_trial_is_explained_with_its_own_history() {
        let mut demo = Demo::new(&[]);
        for code in [1, 2, 3] {
            let trial = demo.start(&[]);
            demo.end(trial, Exit::Failed(Cause::Code(code)));
        }
        let selection = SelectionArgs {
            words: vec!["1".into(), "3".into()],
            condition: None,
        };
        let (result, out, _) = demo::run(&demo, None, |context| run(&Args { selection }, context));
        result.unwrap();
        let parts: Vec<&str> = out.split("\n\n").collect();
        assert!(
            parts[0].starts_with("trial 1 failed: exit status 1\n"),
            "{out}"
        );
        assert!(
            parts[1].starts_with("trial 3 failed: exit status 3\n"),
            "{out}"
        );
        assert!(!out.contains("exit status 2"), "{out}");
        assert_eq!(out.matches("attempt 1 started").count(), 2, "{out}");
    }

    #[test]
    fn the_headline_of_an_imported_trial_says_that_it_ran_elsewhere() {
        for (exit, explanation) in [
            (
                Exit::Stopped,
                "was stopped: it was stopped early where it ran",
            ),
            (
                Exit::Failed(Cause::Told("no luck".into())),
                "failed: it failed where it ran: no luck",
            ),
            (Exit::Done, "is complete: it was complete where it ran"),
        ] {
            let mut demo = Demo::new(&[]);
            let trial = demo.start_from(&[], Origin::Imported("optuna study s of s.db".into()));
            demo.log(
                trial,
                LogRecord::Note {
                    text: "trial 7 of s, from 10:00 to 10:05".into(),
                },
            );
            demo.report(trial, &[("val_loss", 0.5)]);
            demo.end(trial, exit);
            let text = why(&demo);
            let headline =
                format!("trial 1 {explanation}; it was imported from optuna study s of s.db\n");
            assert!(text.starts_with(&headline), "{text}");
            assert!(
                text.contains("note: trial 7 of s, from 10:00 to 10:05\n"),
                "{text}"
            );
            assert!(
                !text.contains("attempt"),
                "the study made no attempt: {text}"
            );
        }
    }

    #[test]
    fn the_headline_of_a_trial_that_a_client_gave_up_is_the_reason_of_the_client() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let why = "the program that ran it gave it up: diverged".to_owned();
        demo.event(Event::Judged {
            trial,
            verdict: Verdict::Stop,
            why,
        });
        demo.end(trial, Exit::Stopped);
        let expected = "trial 1 was stopped: the program that ran it gave it up: diverged";
        assert_eq!(headline(&demo), expected);
        // Journals of an earlier version carry no reason.
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.log(
            trial,
            LogRecord::Note {
                text: "epoch 5".into(),
            },
        );
        demo.end(trial, Exit::Stopped);
        assert_eq!(
            headline(&demo),
            "trial 1 was stopped: the program that ran it gave it up"
        );
    }
}
