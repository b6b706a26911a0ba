//! The steps that the scheduler saved, and the time that the run will still take.

use super::{Facts, Insight, Subject, trials};
use crate::number;
use rand::RngExt;
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use swath_model::study::{Trial, TrialState};
use swath_numerics::stream::{Purpose, stream};
use swath_numerics::student;

/// Minimum number of ended trials whose times are known.
const FEW: usize = 5;
/// Number of simulated rests of the run.
const ROUNDS: usize = 400;
/// Maximum number of trials in all simulated rests.
const MOST_TRIALS: usize = 400_000;

/// Returns the sentence on the steps that stopped and paused trials did not run.
pub(super) fn saved(facts: &Facts<'_>) -> Vec<Insight> {
    saved_steps(facts).into_iter().collect()
}

fn saved_steps(facts: &Facts<'_>) -> Option<Insight> {
    let label = facts.study.header().resource.as_ref()?;
    let ran: Vec<&Trial> = facts
        .input
        .ran()
        .filter(|trial| trial.attempts > 0)
        .collect();
    let complete: Vec<&Trial> = ran
        .iter()
        .copied()
        .filter(|trial| trial.state == TrialState::Complete)
        .collect();
    let full = complete
        .iter()
        .filter_map(|trial| trial.step)
        .reduce(f64::max)?;
    let short: Vec<(&Trial, f64)> = ran
        .iter()
        .filter(|trial| matches!(trial.state, TrialState::Stopped | TrialState::Paused))
        .filter(|trial| !trial.is_stopped_by_person())
        .filter_map(|trial| Some((*trial, trial.step.filter(|step| *step < full)?)))
        .collect();
    if short.is_empty() || full <= 0.0 {
        return None;
    }
    let saved: f64 = short.iter().map(|(_, step)| full - step).sum();
    let run: f64 = ran.iter().filter_map(|trial| trial.step).sum();
    let share = saved / (saved + run);
    // The time of a step is that of the complete trials.
    let seconds: f64 = complete.iter().map(|trial| trial.seconds).sum();
    let steps: f64 = complete.iter().filter_map(|trial| trial.step).sum();
    let time = saved * seconds / steps;
    let paused = short
        .iter()
        .filter(|(trial, _)| trial.state == TrialState::Paused)
        .count();
    let verb = if short.len() == 1 { "was" } else { "were" };
    let text = format!(
        "The scheduler saved {:.0} % of the work: {} {verb} ended or paused before {label} {}, which left \
         out {} of {} steps, about {} of run time.",
        share * 100.0,
        trials(short.len()),
        number::short(full),
        number::short(saved),
        number::short(saved + run),
        number::seconds(time),
    );
    let numbers = json!({
        "resource": **label, "full": full, "steps_run": run, "steps_saved": saved, "share": share,
        "seconds_saved": time, "trials": short.len(), "paused": paused,
    });
    let caution = (paused > 0).then(|| format!("{} may still be continued", trials(paused)));
    let insight = Insight::new(Subject::Saved, "rungs", text, numbers);
    let evidence = short.iter().map(|(trial, _)| *trial);
    Some(insight.with_trials(evidence).with_caution(caution))
}

/// Returns the sentence on the time that is left, while a run goes on.
pub(super) fn remaining(facts: &Facts<'_>) -> Vec<Insight> {
    if facts.is_running && facts.is_whole {
        rest(facts).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// Simulates the rest of the run: each trial takes as long as a random one of those that ended, and
/// the trials get the slots in turn. The weights of the ended trials are random too (Rubin, *Annals
/// of Statistics* 9, 1981), because few trials do not show how long others take.
fn rest(facts: &Facts<'_>) -> Option<Insight> {
    let study = facts.study;
    let trials_of = |state: TrialState| {
        let trials = facts.input.trials.iter().copied();
        trials.filter(move |trial| trial.state == state && !trial.outside)
    };
    let waiting = trials_of(TrialState::Waiting).count();
    let unborn = study.header().trials?.saturating_sub(study.counted()) as usize;
    let to_start = waiting + unborn;
    let now = study.at()?;
    let running: Vec<f64> = trials_of(TrialState::Running)
        .map(|trial| {
            let attempt = trial
                .attempt_at
                .map_or(0.0, |began| now.since(began).as_secs_f64());
            trial.seconds + attempt
        })
        .collect();
    let ended: Vec<&Trial> = facts
        .input
        .ran()
        .filter(|trial| trial.seconds > 0.0 && trial.attempts > 0)
        .filter(|trial| trial.state.is_final() || trial.state == TrialState::Paused)
        .collect();
    if ended.len() < FEW || to_start + running.len() == 0 {
        return None;
    }
    let times: Vec<f64> = ended.iter().map(|trial| trial.seconds).collect();
    let slots = (study.header().slots as usize).max(running.len()).max(1);
    let rounds = (MOST_TRIALS / (to_start + running.len())).clamp(40, ROUNDS);
    let mut rests: Vec<f64> = (0..rounds)
        .map(|round| one_rest(&times, &running, to_start, slots, round as u64))
        .collect();
    rests.sort_by(f64::total_cmp);
    let at = |share: f64| rests[((rests.len() - 1) as f64 * share).round() as usize];
    let middle = at(0.5);
    // The bootstrap of few numbers is too narrow by about the ratio of Student's t to the normal
    // distribution (Hesterberg, *The American Statistician* 69, 2015).
    let count = times.len() as f64;
    let widening = student::critical(0.95, count - 1.0) / 1.96 * (count / (count - 1.0)).sqrt();
    let widened = |bound: f64| {
        if middle > 0.0 {
            middle * (bound / middle).powf(widening)
        } else {
            bound
        }
    };
    let (low, high) = (widened(at(0.025)), widened(at(0.975)));
    let text = format!(
        "About {} are left ({} to {}): {} to end, {slots} at a time.",
        number::seconds(middle),
        number::seconds(low),
        number::seconds(high),
        trials(to_start + running.len()),
    );
    let numbers = json!({
        "seconds": middle, "low": low, "high": high, "confidence": 0.95,
        "trials": to_start + running.len(), "slots": slots, "ended": ended.len(),
    });
    let paused = trials_of(TrialState::Paused).count();
    let caution =
        (paused > 0).then(|| "the time to continue paused trials is not included".to_owned());
    let insight = Insight::new(Subject::Remaining, "timeline", text, numbers);
    Some(insight.with_caution(caution).with_trials(ended))
}

/// Returns the length of one simulated rest, in seconds.
fn one_rest(times: &[f64], running: &[f64], to_start: usize, slots: usize, round: u64) -> f64 {
    let mut rng = stream(0, Purpose::Measure, round);
    let mut sum = 0.0;
    let sums: Vec<f64> = times
        .iter()
        .map(|_| {
            sum -= (1.0 - rng.random::<f64>()).ln();
            sum
        })
        .collect();
    let mut draw = || {
        let point = rng.random::<f64>() * sum;
        times[sums
            .partition_point(|other| *other < point)
            .min(times.len() - 1)]
    };
    let micros = |seconds: f64| (seconds.max(0.0) * 1e6) as u64;
    let mut free: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    for elapsed in running {
        // A running trial takes longer than it has taken so far.
        let whole = (0..50).map(|_| draw()).find(|time| time > elapsed);
        free.push(Reverse(micros(whole.map_or(0.0, |whole| whole - elapsed))));
    }
    free.extend((free.len()..slots).map(|_| Reverse(0)));
    let mut end = free.iter().map(|Reverse(time)| *time).max().unwrap_or(0);
    for _ in 0..to_start {
        let Some(Reverse(start)) = free.pop() else {
            break;
        };
        let ended = start.saturating_add(micros(draw()));
        end = end.max(ended);
        free.push(Reverse(ended));
    }
    end as f64 / 1e6
}
