//! Trial schedulers pace trials: what runs next, and how long a running trial may go on.
//!
//! The narrow sense of *scheduler*, as in Ray Tune and Syne Tune (ASHA, Hyperband, median, PBT). Like a sampler, one learns only in
//! [`observe`](TrialScheduler::observe). To add one: a file here with its `KIND`, and a line in [`SCHEDULERS`].

use crate::space::Params;
use crate::study::{Event, Kind, Resource, Study, TrialId, Verdict};

mod fifo;

/// Every scheduler a sweep file can name.
pub const SCHEDULERS: &[Kind<dyn TrialScheduler>] = &[fifo::KIND];

/// Decides what runs next and how long a running trial may go on.
///
/// Learns only in [`observe`](Self::observe); the questions take `&self`. Two schedulers that have observed the same events therefore answer
/// alike, which is what makes a resumed study continue as if nothing had happened.
pub trait TrialScheduler: Send {
    /// Learns from an event that the study has just absorbed. Called for every event, in order, live and on resume alike.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Says what a free slot should do. Asked only when no trial is waiting. The driver enforces the budget of trials: when it is spent,
    /// `Fresh` and `Given` are not carried out, `Resume` is.
    fn next(&self, study: &Study) -> Next;

    /// Judges a running trial after each of its reports.
    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let _ = (study, trial);
        Judgement { verdict: Verdict::Continue, why: String::new() }
    }

    /// Returns the resource at which an attempt of a waiting trial is to pause or end, when the driver starts it.
    fn until(&self, study: &Study, trial: TrialId) -> Option<Resource> {
        let _ = (study, trial);
        None
    }
}

/// What a free slot should do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask the sampler for a new configuration.
    Fresh,
    /// Start this configuration, from a copy of that trial's checkpoint if one is named: population-based training explores a clone.
    Given {
        /// The configuration.
        params: Params,
        /// Whose checkpoint to start from.
        from: Option<TrialId>,
    },
    /// Go on with a paused trial; [`TrialScheduler::until`] says how far.
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
