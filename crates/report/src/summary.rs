//! Summaries of a study in one or two lines.

use super::{listing, number};
use std::fmt::Write as _;
use swath_model::study::{Closing, Exit, Failure, Objective, Origin, Study, Trial, TrialState};
use swath_numerics::sample::Sample;

/// All states, in the order in which [`counts`] lists them.
const STATES: [TrialState; 7] = [
    TrialState::Complete,
    TrialState::Stopped,
    TrialState::Failed,
    TrialState::Invalid,
    TrialState::Paused,
    TrialState::Running,
    TrialState::Waiting,
];

/// Returns the number of trials in each state: `23 of 60 trials: 18 complete, 4 stopped, 1 failed`.
/// Trials that do not count, because they no longer fit the space, are listed apart. Trials in the
/// trash are left out.
#[must_use]
pub fn counts(study: &Study) -> String {
    let mut by_state = [0_u64; STATES.len()];
    let (mut imported, mut reruns, mut after_failure) = (0, 0, 0);
    for trial in study.trials().iter().filter(|trial| !trial.outside) {
        let has_failed = matches!(trial.exit, Some(Exit::Failed(_)));
        after_failure += u64::from(trial.state == TrialState::Waiting && has_failed);
        if let Some(index) = STATES.iter().position(|state| *state == trial.state) {
            by_state[index] += 1;
        }
        imported += u64::from(matches!(trial.origin, Origin::Imported(_)));
        reruns += u64::from(matches!(trial.origin, Origin::Rerun(_)));
    }
    let total: u64 = by_state.iter().sum();
    let outside = study
        .trials()
        .iter()
        .filter(|trial| trial.outside && !trial.removed)
        .count();
    let parts: Vec<_> = (STATES.iter().zip(by_state))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| match (state, after_failure) {
            (TrialState::Waiting, 1..) if after_failure == count => {
                format!("{count} waiting after a failure")
            }
            (TrialState::Waiting, 1..) => {
                format!("{count} waiting, {after_failure} of them after a failure")
            }
            _ => format!("{count} {}", state.word()),
        })
        .collect();
    let outside = if outside > 0 {
        format!("; {outside} outside the space")
    } else {
        String::new()
    };
    // The total of the sweep file is shown only if it differs from the number of trials, without
    // those that do not count towards it.
    let shown = total - imported - reruns;
    let planned = study.header().trials.filter(|planned| *planned != shown);
    let of_planned = planned.map_or_else(String::new, |planned| format!(" of {planned}"));
    let mut plural = if planned.unwrap_or(shown) == 1 {
        "trial"
    } else {
        "trials"
    }
    .to_owned();
    if imported > 0 {
        let _ = write!(plural, " and {imported} imported");
    }
    if reruns > 0 {
        let further = if reruns == 1 { "rerun" } else { "reruns" };
        let _ = write!(plural, " and {reruns} {further}");
    }
    // With all trials in one state the counts would repeat the total.
    if let [_] = parts.as_slice() {
        let state = parts[0].split_once(' ').map_or("", |(_, state)| state);
        let all = if total == 1 { "" } else { "all " };
        return format!("{shown}{of_planned} {plural}, {all}{state}{outside}");
    }
    let detail = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    format!("{shown}{of_planned} {plural}{detail}{outside}")
}

/// Returns the number of preparations in each state as the rest of a sentence, such as
/// `; preparations: 2 done, 1 running`. Empty if there are none.
#[must_use]
pub fn preparations(study: &Study) -> String {
    let counts = ["done", "running", "waiting", "failed"].map(|word| {
        let preparations = study.preparations().iter();
        let count = preparations.filter(|it| it.state_word() == word).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    match counts.as_slice() {
        [] => String::new(),
        counts => format!("; preparations: {}", counts.join(", ")),
    }
}

/// Returns the objectives of a trial: `val_loss 0.04123, speed 12`. Objectives without a finite
/// value are left out.
#[must_use]
pub fn objectives(study: &Study, trial: &Trial) -> String {
    let shown = study.header().objectives.iter().filter_map(|objective| {
        let value = trial.objective(objective)?;
        Some(format!("{} {}", objective.metric, number::short(value)))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Returns the result of a trial with the outcome constraints that it violates. For the first trial
/// of a configuration with replicates it shows the mean of each objective with its confidence
/// interval: `val_loss 0.041 ± 0.002 (3 seeds)`.
#[must_use]
pub fn standing(study: &Study, trial: &Trial) -> String {
    let seeds = study.complete(trial.id).count();
    let mut text = objectives(study, trial);
    // Only the first trial represents its whole configuration. A replicate shows its own result.
    if study.configuration(trial.id) == trial.id && study.header().replicate.is_some() {
        let shown = study.header().objectives.iter().filter_map(|objective| {
            let sample = means(study, trial, objective)?;
            let margin = sample
                .half_width(CONFIDENCE)
                .map(|half| format!(" ± {}", number::brief(half)));
            Some(format!(
                "{} {}{}",
                objective.metric,
                number::short(sample.mean),
                margin.unwrap_or_default()
            ))
        });
        let plural = if seeds == 1 { "seed" } else { "seeds" };
        text = format!(
            "{} ({seeds} {plural})",
            shown.collect::<Vec<_>>().join(", ")
        );
    }
    text + &breaks(study, trial)
}

/// Returns the outcome constraints that a trial violates, as a text to append to its values. Empty
/// if it satisfies all.
#[must_use]
pub fn breaks(study: &Study, trial: &Trial) -> String {
    match broken(study, trial).as_slice() {
        [] => String::new(),
        broken => format!(", breaks an outcome constraint: {}", broken.join(", ")),
    }
}

/// Confidence level of every interval that is shown.
pub const CONFIDENCE: f64 = 0.95;

/// Returns the mean and spread of an objective over the complete trials of a configuration. `None`
/// without complete trials, or if one of them lacks a finite value.
#[must_use]
pub fn means(study: &Study, trial: &Trial, objective: &Objective) -> Option<Sample> {
    let values: Option<Vec<f64>> = study
        .complete(trial.id)
        .map(|member| member.objective(objective))
        .collect();
    Sample::of(&values?)
}

/// Returns the cause of a failure. All views name and group failures by this text. `None` for an
/// attempt that did not fail.
#[must_use]
pub fn cause(exit: Option<&Exit>) -> Option<String> {
    match exit {
        Some(Exit::Failed(failure)) => Some(failure.to_string()),
        _ => None,
    }
}

/// Returns the cause of a failure without the details of a single trial, such as the text that it
/// reported or printed in place of its objective, so that equal failures are counted together.
#[must_use]
pub fn kind_of_cause(exit: Option<&Exit>) -> Option<String> {
    let cause = cause(exit)?;
    // Only this failure has details of a single trial. They follow a bracket or a semicolon.
    if !matches!(exit, Some(Exit::Failed(Failure::NoObjective(_)))) {
        return Some(cause);
    }
    let details = [" (", "; "]
        .iter()
        .filter_map(|mark| cause.find(mark))
        .min();
    Some(cause[..details.unwrap_or(cause.len())].to_owned())
}

/// Returns the outcome constraints that a complete trial violates, in words. Empty for trials in
/// any other state.
#[must_use]
pub fn broken(study: &Study, trial: &Trial) -> Vec<String> {
    if trial.state == TrialState::Complete {
        trial.violations(&study.header().limits)
    } else {
        Vec::new()
    }
}

/// Returns the parameters of a trial on one line: `lr=0.01 optimizer=adam`.
#[must_use]
pub fn params(trial: &Trial) -> String {
    params_at_most(trial, usize::MAX)
}

/// Maximum number of parameters in a line that is not cut to a width.
const MOST_PARAMS: usize = 16;

/// Returns the first parameters of a trial on one line, with the number of the others.
#[must_use]
pub fn first_params(trial: &Trial) -> String {
    let others = trial.params.iter().count().saturating_sub(MOST_PARAMS);
    let shown = params_at_most(trial, MOST_PARAMS);
    match others {
        0 => shown,
        others => format!("{shown} … and {others} more"),
    }
}

fn params_at_most(trial: &Trial, most: usize) -> String {
    let shown = trial.params.iter().take(most);
    let shown = shown.map(|(name, value)| format!("{name}={}", listing::shown(value)));
    shown.collect::<Vec<_>>().join(" ")
}

/// Returns the reason why a run ended, as a clause to follow "because".
#[must_use]
pub fn closing(reason: &Closing) -> &'static str {
    match reason {
        Closing::Finished => "every trial has ended",
        Closing::Exhausted => "the sampler has no configuration left that was not tried",
        Closing::Interrupted => "it was interrupted",
        Closing::TimeLimit => "the time of the whole sweep (`limits.time`) is used up",
        Closing::RunTime => "the time limit of this run (`--time`) was reached",
        Closing::FailureLimit => "the failure limit was reached",
        Closing::DiskLimit => {
            "the study's folder takes more than `limits.disk`; `swath gc` deletes files that are \
             no longer needed"
        }
        Closing::CostLimit => "the cost of the whole sweep (`limits.cost`) is used up",
        Closing::GpuLimit => "the GPU hours of the whole sweep (`limits.gpu_hours`) are used up",
        Closing::TargetReached => "the `target` of the objective was reached",
        Closing::Patience => {
            "as many trials as `patience` in [search] allows brought nothing better"
        }
        Closing::NoObjective => {
            "a trial ended with status 0 and without its objective, and no trial has reported one yet"
        }
        Closing::AllInvalid => {
            "its first trials were all invalid: their programs say that the configurations cannot work"
        }
        Closing::CircuitBreaker => "several trials in a row failed within seconds",
        Closing::SearchFailed => "the program of the sampler or of the scheduler failed",
    }
}

#[cfg(test)]
mod tests {
    use super::{counts, first_params, listing, objectives, params};
    use swath_model::demo::Demo;
    use swath_model::space::{Params, Value};
    use swath_model::study::{Event, Exit, Failure, Origin};

    #[test]
    fn the_line_of_a_trial_with_many_parameters_counts_those_behind_the_first_ones() {
        let names: Vec<String> = (0..20).map(|index| format!("p{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut demo = Demo::new(&names);
        let params: Vec<_> = names.iter().map(|name| (*name, Value::Int(1))).collect();
        let trial = demo.start(&params);
        let line = first_params(demo.study.trial(trial).unwrap());
        assert!(line.ends_with(" p15=1 … and 4 more"), "{line}");
        let few = demo.start(&params[..2]);
        assert_eq!(first_params(demo.study.trial(few).unwrap()), "p0=1 p1=1");
    }

    #[test]
    fn a_study_is_counted_in_one_line() {
        let mut demo = Demo::new(&["lr"]);
        assert_eq!(counts(&demo.study), "0 of 20 trials");
        demo.complete(&[("lr", Value::Float(1e-5))], &[("val_loss", 0.25)]);
        assert_eq!(counts(&demo.study), "1 of 20 trials, complete");
        let stopped = demo.start(&[]);
        demo.end(stopped, Exit::Stopped);
        demo.start(&[]);
        assert_eq!(
            counts(&demo.study),
            "3 of 20 trials: 1 complete, 1 stopped, 1 running"
        );
        let header = demo.study.header().clone();
        let edit = Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside: vec![stopped],
        };
        demo.event(edit);
        assert_eq!(
            counts(&demo.study),
            "2 of 20 trials: 1 complete, 1 running; 1 outside the space"
        );
        demo.start_from(&[], Origin::Rerun(stopped));
        assert_eq!(
            counts(&demo.study),
            "2 of 20 trials and 1 rerun: 1 complete, 2 running; 1 outside the space"
        );
    }

    #[test]
    fn trials_that_wait_after_a_failure_are_counted_apart() {
        let mut demo = Demo::new(&[]);
        for _ in 0..2 {
            let trial = demo.start(&[]);
            demo.end(trial, Exit::Failed(Failure::Code(1)));
            demo.event(Event::Requeued {
                trial,
                why: "the sweep file was at fault".to_owned(),
                not_before: None,
                forgiven: true,
            });
        }
        let outcome = listing::outcome(&demo.study, &demo.study.trials()[0]);
        assert_eq!(outcome, "failed: exit status 1");
        assert_eq!(
            counts(&demo.study),
            "2 of 20 trials, all waiting after a failure"
        );
        let interrupted = demo.start(&[]);
        demo.end(interrupted, Exit::Interrupted);
        assert_eq!(
            counts(&demo.study),
            "3 of 20 trials, all waiting, 2 of them after a failure"
        );
    }

    #[test]
    fn a_trial_is_summarised_in_one_line() {
        let mut demo = Demo::new(&["lr"]);
        demo.complete(&[("lr", Value::Float(1e-5))], &[("val_loss", 0.25)]);
        let trial = &demo.study.trials()[0];
        assert_eq!(
            (
                objectives(&demo.study, trial).as_str(),
                params(trial).as_str()
            ),
            ("val_loss 0.25", "lr=1e-5")
        );
    }
}
