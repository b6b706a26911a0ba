//! Trial schedulers decide which trial runs next and how long a running trial may continue.
//!
//! *Scheduler* is meant in the narrow sense of Ray Tune and Syne Tune (ASHA, Hyperband, median,
//! PBT). Like a sampler, a scheduler changes its state only in
//! [`observe`](TrialScheduler::observe). To add a scheduler, create a file here with its `KIND` and
//! add a line to [`SCHEDULERS`].

use swath_model::source::{Opt, Preset, Takes};
use swath_model::space::{Name, Params};
use swath_model::study::{
    Datum, Event, Kind, LogRecord, Metric, Resource, SearchError, Study, Trial, TrialId,
    TrialState, Verdict,
};

mod asha;
mod auto;
pub mod curves;
mod fifo;
mod hyperband;
mod median;
mod pbt;
mod prediction;
mod program;
mod ranking;
mod report_reader;
mod rung_levels;
#[cfg(test)]
mod scenario;
pub mod simulation;

/// The default factor between the resources of two rungs.
pub const RUNG_FACTOR: u64 = rung_levels::FACTOR;

/// The option `max` of a scheduler without rungs: the resource at which every trial ends.
const MAX: Opt = Opt::new(
    "max",
    Takes::Count(1),
    Preset::Absent,
    "the maximum of the resource: a trial that reaches it is ended and complete",
);

/// The schedulers that a sweep file can name.
pub const SCHEDULERS: &[Kind<dyn TrialScheduler>] = &[
    fifo::KIND,
    asha::KIND,
    auto::KIND,
    hyperband::KIND,
    median::KIND,
    pbt::KIND,
    program::KIND,
];

/// Decides which trial runs next and how long a running trial may continue.
///
/// A scheduler changes its state only in [`observe`](Self::observe); all queries take `&self`. Two
/// schedulers that have observed the same events therefore give the same answers, and a resumed
/// study continues exactly as an uninterrupted one.
pub trait TrialScheduler: Send {
    /// Updates the state from an event that the study has just applied. Called once for every
    /// event, in journal order, during a live run and during a replay alike. The default does
    /// nothing.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Returns what a free slot should do. Called only when no trial is waiting. `room` says
    /// whether a new trial may still be created: the budget of trials is not spent and the sampler
    /// is not exhausted. Without room the answer is never `Fresh` or `Given`, and it is `Done` only
    /// once no trial runs.
    fn next(&self, study: &Study, room: bool) -> Next;

    /// Judges a running trial; called after each of its reports. A non-empty reason marks a new
    /// decision: the driver commits it once as `Judged`, whatever the verdict is. After that event
    /// the scheduler returns no reason until it has decided again. The default is
    /// [`Verdict::Continue`].
    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let _ = (study, trial);
        Judgement {
            verdict: Verdict::Continue,
            why: String::new(),
        }
    }

    /// Returns the resource at which the next attempt of a waiting or paused trial is to pause or
    /// end. `None` (the default): the attempt ends by itself.
    fn until(&self, study: &Study, trial: TrialId) -> Option<Resource> {
        let _ = (study, trial);
        None
    }

    /// Returns the maximum resource of any trial. A trial that exceeds it is ended as complete, and
    /// its later reports do not count. `None` (the default): trials end by themselves.
    fn max(&self) -> Option<Resource> {
        None
    }

    /// Returns whether a running trial that has just exited with status 0 is complete. Otherwise
    /// its attempt only reached the resource it was started for, and the trial is paused. Called
    /// before the exit is committed. The default is `true`.
    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let _ = (study, trial);
        true
    }

    /// Returns what this scheduler has chosen by itself, and why. The default is `None`: it leaves
    /// nothing open.
    fn choice(&self) -> Option<&str> {
        None
    }

    /// Returns the reason why this scheduler cannot decide any more. The driver checks it after each
    /// query; it then starts no trial, lets the running ones end by themselves, and returns the
    /// error. The default is `None`: the answers are always valid.
    fn failure(&self) -> Option<SearchError> {
        None
    }
}

/// Returns a record in the form in which it is to be committed: a report beyond the maximum
/// resource of a trial becomes [`LogRecord::Beyond`], every other record is returned unchanged.
///
/// `budget` is the resource that the sweep file gives to each trial, if it does. A trial that has not
/// reported all its objectives keeps even such a report, so that a program that seldom reports has a
/// result.
#[must_use]
pub fn mark_beyond_max(
    scheduler: &dyn TrialScheduler,
    budget: Option<Resource>,
    study: &Study,
    trial: TrialId,
    record: LogRecord,
) -> LogRecord {
    let LogRecord::Report { values } = record else {
        return record;
    };
    let header = study.header();
    let (Some(max), Some(resource), Some(trial)) = (
        smaller(scheduler.max(), budget),
        header.resource.as_ref(),
        study.trial(trial),
    ) else {
        return LogRecord::Report { values };
    };
    let shown = values.iter().rev().find_map(|(name, datum)| match datum {
        Datum::Number(Metric(number)) if name == resource && number.is_finite() => Some(*number),
        _ => None,
    });
    let is_past = match shown {
        Some(at) => passes(at, max),
        None => is_past(trial, max),
    };
    let has_result = header
        .objectives
        .iter()
        .all(|objective| trial.metrics.contains_key(&objective.metric));
    if is_past && has_result {
        LogRecord::Beyond { values }
    } else {
        LogRecord::Report { values }
    }
}

/// Judges a running trial after one of its reports: like [`TrialScheduler::verdict`], except that a
/// trial beyond its maximum resource is complete. A program that asks whether it may continue
/// (`asks`) is complete as soon as it reaches the maximum. Other programs may still save their
/// state and end by themselves. At its `budget` every program is complete: a budget is to be spent,
/// and not more.
#[must_use]
pub fn judgement(
    scheduler: &dyn TrialScheduler,
    budget: Option<Resource>,
    study: &Study,
    id: TrialId,
    asks: bool,
) -> Judgement {
    let resource = study.header().resource.as_ref();
    // Decided once: a trial that is already judged complete only has to exit.
    let max = smaller(scheduler.max(), budget);
    if let (Some(max), Some(resource), Some(trial)) = (max, resource, study.trial(id))
        && trial.verdict != Some(Verdict::Complete)
    {
        let has_reached = trial
            .step
            .is_some_and(|at| report_reader::reaches(at, max.0));
        let is_budget = budget == Some(max);
        let progress = match (is_past(trial, max), (asks || is_budget) && has_reached) {
            (true, _) => "went past",
            (false, true) => "reached",
            (false, false) => return scheduler.verdict(study, id),
        };
        let bound = if is_budget {
            "its `trial_budget`"
        } else {
            "the maximum of the resource"
        };
        let why = format!("it {progress} {resource} {max}, {bound}");
        return Judgement {
            verdict: Verdict::Complete,
            why,
        };
    }
    scheduler.verdict(study, id)
}

/// Returns the smaller of two bounds, of which either may be missing.
fn smaller(max: Option<Resource>, budget: Option<Resource>) -> Option<Resource> {
    max.into_iter().chain(budget).min()
}

/// Returns whether a trial has exceeded the maximum resource, by its last counted step or by a
/// report that no longer counted.
fn is_past(trial: &Trial, max: Resource) -> bool {
    trial.beyond > 0 || trial.step.is_some_and(|at| passes(at, max))
}

/// Returns the number that a report has under a name. A key may occur twice in one report; the last
/// value counts.
fn reported_number(values: &[(Name, Datum)], name: &Name) -> Option<f64> {
    match values.iter().rev().find(|(key, _)| key == name)? {
        (_, Datum::Number(Metric(number))) => Some(*number),
        _ => None,
    }
}

/// Returns whether a resource exceeds `max`. A relative tolerance of 1e-9 allows for rounding in
/// sums of fractions.
fn passes(at: f64, Resource(max): Resource) -> bool {
    at > max as f64 * (1.0 + 1e-9)
}

/// Returns a warning for a trial that is about to end if it reported, but never with the resource.
/// The scheduler could not judge such a trial.
#[must_use]
pub fn missing_resource_warning(study: &Study, trial: TrialId) -> Option<String> {
    let resource = study.header().resource.as_ref()?;
    let trial = study.trial(trial)?;
    (trial.reports > 0 && trial.step.is_none()).then(|| {
        let absence = trial.absence(resource);
        format!("`{resource}` {absence}; without it the scheduler could not judge this trial")
    })
}

/// The next action of a free slot.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The sampler is to propose a configuration for a new trial.
    Fresh,
    /// A trial with this configuration is to be created, starting from a copy of the checkpoint of
    /// `from`, if given. Population-based training explores clones in this way.
    Given {
        /// The configuration of the new trial.
        params: Params,
        /// The trial whose checkpoint is copied; `None` for a start from zero.
        from: Option<TrialId>,
        /// The paused trial that the new one replaces. After the creation it is judged `Stop` for
        /// the same reason.
        instead: Option<TrialId>,
        /// The reason in words.
        why: String,
    },
    /// A paused trial is to be resumed, up to [`TrialScheduler::until`]. The reason is committed as
    /// `Judged`.
    Resume {
        /// The paused trial.
        trial: TrialId,
        /// The reason in words.
        why: String,
    },
    /// The slot stays free until the next event.
    Wait,
    /// The scheduler will start no more trials.
    Done,
}

/// A verdict and its reason in words, such as `epoch 9: 0.71, needed ≤ 0.52, rank 8 of 9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The decision.
    pub verdict: Verdict,
    /// The reason in words; empty if [`Verdict::Continue`] is no new decision.
    pub why: String,
}

/// Returns the next action for a scheduler that never pauses trials: first the trials paused under
/// an earlier scheduler, then new ones while there is room.
#[must_use]
pub fn fresh_while(room: bool, study: &Study) -> Next {
    // The count spares a scan of all trials in the usual case.
    if study.counts().paused > 0
        && let Some(trial) = first_paused(study)
    {
        return Next::Resume {
            trial,
            why: "goes on: this scheduler does not pause trials".to_owned(),
        };
    }
    if room {
        Next::Fresh
    } else {
        wait_or_done(study)
    }
}

/// Returns the first paused trial that fits the space.
fn first_paused(study: &Study) -> Option<TrialId> {
    let mut trials = study.trials().iter();
    let paused = trials.find(|trial| trial.state == TrialState::Paused && !trial.outside);
    paused.map(|trial| trial.id)
}

/// Returns [`Next::Done`] once no trial runs or waits, and [`Next::Wait`] before.
fn wait_or_done(study: &Study) -> Next {
    let idle = study.running_count() == 0 && study.waiting().next().is_none();
    if idle { Next::Done } else { Next::Wait }
}
