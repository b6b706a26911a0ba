//! The parts of a study that holds one trial and runs it once: nothing is proposed, and it ends
//! where the original ended.

use crate::sampler::{Ask, Sampler};
use crate::scheduler::{Judgement, Next, TrialScheduler};
use crate::space::Params;
use crate::study::{Resource, Study, TrialId, Verdict};

/// Proposes nothing.
pub(super) struct Nothing;

impl Sampler for Nothing {
    fn suggest(&self, _ask: &Ask<'_>) -> Option<Params> {
        None
    }
}

/// Runs what waits, as far as the original came.
pub(super) struct AsFar {
    /// How many reports the original made before it was stopped; `None` if it ended by itself.
    pub(super) reports: Option<u64>,
    /// What `SWATH_UNTIL` was.
    pub(super) until: Option<Resource>,
}

impl TrialScheduler for AsFar {
    fn next(&self, study: &Study, _room: bool) -> Next {
        if study.running_count() == 0 {
            Next::Done
        } else {
            Next::Wait
        }
    }

    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let reports = study.trial(trial).map_or(0, |trial| trial.reports);
        match self.reports {
            Some(most) if reports >= most => Judgement {
                verdict: Verdict::Stop,
                why: format!("the original was stopped after {most} reports"),
            },
            _ => Judgement {
                verdict: Verdict::Continue,
                why: String::new(),
            },
        }
    }

    fn until(&self, _study: &Study, _trial: TrialId) -> Option<Resource> {
        self.until
    }
}
