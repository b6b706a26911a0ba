//! Trial schedulers pace trials: what runs next, and how long a running trial may go on.
//!
//! The narrow sense of *scheduler*, as in Ray Tune and Syne Tune (ASHA, Hyperband, median, PBT). Like a sampler, one learns only in
//! [`observe`](TrialScheduler::observe). To add one: a file here with its `KIND`, and a line in [`SCHEDULERS`].

use crate::space::Params;
use crate::study::{Event, Kind, Resource, Study, TrialId, TrialState, Verdict};

mod asha;
pub mod curves;
mod fifo;
mod gauge;
mod hyperband;
mod ladder;
mod median;
mod pbt;
#[cfg(test)]
mod scenario;
pub mod simulation;

/// By which factor rungs are apart, unless a sweep file says otherwise.
pub(crate) const RUNG_FACTOR: u64 = ladder::FACTOR;

/// Every scheduler a sweep file can name.
pub const SCHEDULERS: &[Kind<dyn TrialScheduler>] =
    &[fifo::KIND, asha::KIND, hyperband::KIND, median::KIND, pbt::KIND];

/// Decides what runs next and how long a running trial may go on.
///
/// Learns only in [`observe`](Self::observe); the questions take `&self`. Two schedulers that have observed the same events therefore answer
/// alike, which is what makes a resumed study continue as if nothing had happened.
pub trait TrialScheduler: Send {
    /// Learns from an event that the study has just absorbed. Called for every event, in order, live and on resume alike.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Says what a free slot should do. Asked only when no trial is waiting. `room` says whether a new trial may still be created: the
    /// budget of trials is not spent and the sampler not exhausted. Without room the answer is never `Fresh` or `Given`, and `Done` only
    /// once nothing runs.
    fn next(&self, study: &Study, room: bool) -> Next;

    /// Judges a running trial after each of its reports. A reason that is not empty is new and is to be committed as `Judged` once,
    /// whatever the verdict is; nothing more is said until then.
    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let _ = (study, trial);
        Judgement { verdict: Verdict::Continue, why: String::new() }
    }

    /// Returns the resource at which an attempt of a waiting or paused trial is to pause or end, were it started now.
    fn until(&self, study: &Study, trial: TrialId) -> Option<Resource> {
        let _ = (study, trial);
        None
    }

    /// Says whether a running trial that has just ended by itself with status 0 is complete; if not, it has only come to where its attempt
    /// was to end, and is paused. Asked before the end is committed.
    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let _ = (study, trial);
        true
    }
}

/// Says what is wrong with a trial that is about to end, as far as schedulers are concerned: a warning to be recorded on it.
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
    /// Create a trial with this configuration that starts from a copy of that trial's checkpoint, if one is named: population-based
    /// training explores a clone.
    Given {
        /// The configuration.
        params: Params,
        /// Whose checkpoint to start from.
        from: Option<TrialId>,
        /// The paused trial whose place it takes: after the creation it is judged `Stop`, for the same reason.
        instead: Option<TrialId>,
        /// Why, in words.
        why: String,
    },
    /// Go on with a paused trial; [`TrialScheduler::until`] says how far. The reason is committed as `Judged`.
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

/// The answer of a scheduler that pauses nobody: trials that were paused under another one first, then new ones while there is room.
#[must_use]
pub fn fresh_while(room: bool, study: &Study) -> Next {
    let left = || study.trials().iter().find(|trial| trial.state == TrialState::Paused && !trial.outside);
    if let Some(trial) = (study.counts().paused > 0).then(left).flatten() {
        return Next::Resume { trial: trial.id, why: "goes on: this scheduler pauses nobody".to_owned() };
    }
    if room { Next::Fresh } else { wait_or_done(study) }
}

/// Waits while something may still happen.
fn wait_or_done(study: &Study) -> Next {
    let idle = study.running_count() == 0 && study.waiting().next().is_none();
    if idle { Next::Done } else { Next::Wait }
}
