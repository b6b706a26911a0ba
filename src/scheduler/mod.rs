//! Trial schedulers pace trials: what runs next, and how long a running trial may go on.
//!
//! The narrow sense of *scheduler*, as in Ray Tune and Syne Tune (ASHA, Hyperband, median, PBT).
//! Like a sampler, one learns only in [`observe`](TrialScheduler::observe). To add one: a file here
//! with its `KIND`, and a line in [`SCHEDULERS`].

use crate::source::{Opt, Preset, Takes};
use crate::space::Params;
use crate::study::{
    Datum, Event, Kind, LogRecord, Metric, Resource, Study, Trial, TrialId, TrialState, Verdict,
};

mod asha;
pub mod curves;
mod fifo;
mod gauge;
mod hyperband;
mod ladder;
mod median;
mod pbt;
mod ranking;
#[cfg(test)]
mod scenario;
pub mod simulation;

/// By which factor rungs are apart, unless a sweep file says otherwise.
pub(crate) const RUNG_FACTOR: u64 = ladder::FACTOR;

/// The end of every trial of a scheduler that compares trials wherever they are.
const MAX: Opt = Opt::new(
    "max",
    Takes::Count(1),
    Preset::Absent,
    "the most of the resource that a trial gets: it is ended there, complete",
);

/// Every scheduler a sweep file can name.
pub const SCHEDULERS: &[Kind<dyn TrialScheduler>] = &[
    fifo::KIND,
    asha::KIND,
    hyperband::KIND,
    median::KIND,
    pbt::KIND,
];

/// Decides what runs next and how long a running trial may go on.
///
/// Learns only in [`observe`](Self::observe); the questions take `&self`. Two schedulers that have
/// observed the same events therefore answer alike, which is what makes a resumed study continue as
/// if nothing had happened.
pub trait TrialScheduler: Send {
    /// Learns from an event that the study has just absorbed. Called for every event, in order,
    /// live and on resume alike.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Says what a free slot should do. Asked only when no trial is waiting. `room` says whether a
    /// new trial may still be created: the budget of trials is not spent and the sampler not
    /// exhausted. Without room the answer is never `Fresh` or `Given`, and `Done` only once nothing
    /// runs.
    fn next(&self, study: &Study, room: bool) -> Next;

    /// Judges a running trial after each of its reports. A reason that is not empty is new and is
    /// to be committed as `Judged` once, whatever the verdict is; nothing more is said until then.
    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let _ = (study, trial);
        Judgement {
            verdict: Verdict::Continue,
            why: String::new(),
        }
    }

    /// Returns the resource at which an attempt of a waiting or paused trial is to pause or end,
    /// were it started now.
    fn until(&self, study: &Study, trial: TrialId) -> Option<Resource> {
        let _ = (study, trial);
        None
    }

    /// Returns the most of the resource that any trial gets; a trial that goes past it is ended
    /// there, complete, and what it reports from then on does not count. `None`: trials end by
    /// themselves.
    fn max(&self) -> Option<Resource> {
        None
    }

    /// Says whether a running trial that has just ended by itself with status 0 is complete; if
    /// not, it has only come to where its attempt was to end, and is paused. Asked before the end
    /// is committed.
    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let _ = (study, trial);
        true
    }
}

/// Returns a record as it is to be kept: a report past the most of the resource that a trial gets
/// is [`LogRecord::Beyond`].
///
/// A trial that has not yet shown all its objectives is given its first report even there, so that
/// a program that seldom reports has a result.
#[must_use]
pub fn weighed(
    scheduler: &dyn TrialScheduler,
    study: &Study,
    trial: TrialId,
    record: LogRecord,
) -> LogRecord {
    let LogRecord::Report { values } = record else {
        return record;
    };
    let header = study.header();
    let (Some(max), Some(resource), Some(trial)) = (
        scheduler.max(),
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

/// Judges a running trial after one of its reports: as [`TrialScheduler::verdict`], unless it has
/// gone past the most of the resource that a trial gets. One that asks whether it may go on need
/// only have reached that; others may still save what they have, and end by themselves.
#[must_use]
pub fn judgement(
    scheduler: &dyn TrialScheduler,
    study: &Study,
    id: TrialId,
    asks: bool,
) -> Judgement {
    let resource = study.header().resource.as_ref();
    if let (Some(max), Some(resource), Some(trial)) = (scheduler.max(), resource, study.trial(id))
        && trial.verdict != Some(Verdict::Complete)
    {
        let has_reached = trial.step.is_some_and(|at| gauge::reaches(at, max.0));
        let came = match (is_past(trial, max), asks && has_reached) {
            (true, _) => "went past",
            (false, true) => "reached",
            (false, false) => return scheduler.verdict(study, id),
        };
        let why = format!("it {came} {resource} {max}, the most that a trial gets");
        return Judgement {
            verdict: Verdict::Complete,
            why,
        };
    }
    scheduler.verdict(study, id)
}

fn is_past(trial: &Trial, max: Resource) -> bool {
    trial.beyond > 0 || trial.step.is_some_and(|at| passes(at, max))
}

/// Returns whether an amount is beyond `max`, forgiving the last digits of a sum of fractions.
fn passes(at: f64, Resource(max): Resource) -> bool {
    at > max as f64 * (1.0 + 1e-9)
}

/// Says what is wrong with a trial that is about to end, as far as schedulers are concerned: a
/// warning to be recorded on it.
#[must_use]
pub fn complaint(study: &Study, trial: TrialId) -> Option<String> {
    let resource = study.header().resource.as_ref()?;
    let trial = study.trial(trial)?;
    (trial.reports > 0 && trial.step.is_none()).then(|| {
        let absence = trial.absence(resource);
        format!("`{resource}` {absence}; without it the scheduler could not judge this trial")
    })
}

/// What a free slot should do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask the sampler for a new configuration.
    Fresh,
    /// Create a trial with this configuration that starts from a copy of that trial's checkpoint,
    /// if one is named: population-based training explores a clone.
    Given {
        /// The configuration.
        params: Params,
        /// Whose checkpoint to start from.
        from: Option<TrialId>,
        /// The paused trial whose place it takes: after the creation it is judged `Stop`, for the
        /// same reason.
        instead: Option<TrialId>,
        /// Why, in words.
        why: String,
    },
    /// Go on with a paused trial; [`TrialScheduler::until`] says how far. The reason is committed
    /// as `Judged`.
    Resume {
        /// The trial.
        trial: TrialId,
        /// Why, in words.
        why: String,
    },
    /// Nothing now; ask again after the next event.
    Wait,
    /// Nothing ever again.
    Done,
}

/// A verdict and its reason in words, such as `epoch 9: 0.71, needed ≤ 0.52, rank 8 of 9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What to do.
    pub verdict: Verdict,
    /// Why; may be empty for [`Verdict::Continue`].
    pub why: String,
}

/// The answer of a scheduler that pauses nobody: trials that were paused under another one first,
/// then new ones while there is room.
#[must_use]
pub fn fresh_while(room: bool, study: &Study) -> Next {
    let left = || {
        study
            .trials()
            .iter()
            .find(|trial| trial.state == TrialState::Paused && !trial.outside)
    };
    if let Some(trial) = (study.counts().paused > 0).then(left).flatten() {
        return Next::Resume {
            trial: trial.id,
            why: "goes on: this scheduler pauses nobody".to_owned(),
        };
    }
    if room {
        Next::Fresh
    } else {
        wait_or_done(study)
    }
}

/// Waits while something may still happen.
fn wait_or_done(study: &Study) -> Next {
    let idle = study.running_count() == 0 && study.waiting().next().is_none();
    if idle { Next::Done } else { Next::Wait }
}
