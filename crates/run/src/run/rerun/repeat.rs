//! The sampler and the scheduler of a study that repeats one trial: nothing is proposed, and the
//! trial ends where the original ended.

use swath_model::space::Params;
use swath_model::study::{Resource, Study, TrialId, Verdict};
use swath_search::sampler::{Ask, Sampler};
use swath_search::scheduler::{Judgement, Next, TrialScheduler};

/// A sampler that never proposes a configuration.
pub(super) struct Nothing;

impl Sampler for Nothing {
    fn suggest(&self, _ask: &Ask<'_>) -> Option<Params> {
        None
    }
}

/// A scheduler that runs the waiting trial as far as the original.
pub(super) struct AsFar {
    /// The number of reports after which the original was stopped; `None` if it ended by itself.
    pub(super) reports: Option<u64>,
    /// The value of `SWATH_UNTIL` in the original.
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
