//! The budgets of a sweep, and the rule for trying failed trials again.

use std::time::Duration;
use swath_model::study::{FailureClass, Resource};

/// Budgets after which the sweep or a trial ends: `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Running time of the whole sweep: all its runs together, without the time between them.
    pub time: Option<Duration>,
    /// Running time of one attempt of a trial.
    pub trial_time: Option<Duration>,
    /// Budget of a trial, after which it is complete with what it has reported.
    pub trial_budget: Option<TrialBudget>,
    /// Number of failed trials after which a run ends.
    pub failures: Option<u64>,
    /// Number of consecutive trials that fail within ten seconds without their objective, after
    /// which a slot is paused or the sweep ends; `None` for no limit.
    pub quick_failures: Option<u32>,
    /// Size of the study's folder in bytes beyond which no trial is started.
    pub disk: Option<u64>,
    /// Bytes kept of each output stream of a trial: its head and its tail.
    pub log: u64,
}

/// The budget of one trial: `trial_budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialBudget {
    /// Running time, of all attempts that go on from a checkpoint together.
    Time(Duration),
    /// The resource that the study counts.
    Resource(Resource),
}

impl Limits {
    /// Returns the resource that each trial may use, if `trial_budget` is one.
    #[must_use]
    pub fn resource_budget(&self) -> Option<Resource> {
        match self.trial_budget? {
            TrialBudget::Resource(resource) => Some(resource),
            TrialBudget::Time(_) => None,
        }
    }

    /// Default of `quick_failures`: trials in a row that may fail within ten seconds.
    pub const QUICK_FAILURES: u32 = 5;
    /// Default of `log`: bytes kept of each output stream of a trial (64 MiB).
    pub const LOG: u64 = 64 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: None,
            trial_time: None,
            trial_budget: None,
            failures: None,
            quick_failures: Some(Self::QUICK_FAILURES),
            disk: None,
            log: Self::LOG,
        }
    }
}

/// The goals after which a sweep ends: `target` of each objective, and `[search] patience`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Goals {
    /// The target of each objective, in the order of the objectives; `None` for one without.
    pub targets: Vec<Option<f64>>,
    /// Number of trials in a row that bring nothing better.
    pub patience: Option<u64>,
}

/// The budget of money and GPU time: `cost`, `price` and `gpu_hours` of `[limits]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spending {
    /// Cost of all trials together after which the sweep ends.
    pub cost: Option<f64>,
    /// Price of an hour of one trial. `None` if trials report their cost, or have none.
    pub hourly: Option<f64>,
    /// GPU hours of all trials together after which the sweep ends.
    pub gpu_hours: Option<f64>,
    /// GPUs of each trial.
    pub gpus: f64,
}

/// Failures after which a trial is tried again: `[retry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of further attempts of a trial. Default: 0.
    pub times: u32,
    /// Classes of failure that are tried again.
    pub on: Vec<FailureClass>,
    /// Wait before the first further attempt, by class of failure. Each later wait is twice as
    /// long. Classes that are absent do not wait.
    pub backoff: Vec<(FailureClass, Duration)>,
    /// Longest wait before a further attempt.
    pub max_backoff: Duration,
}

impl Retry {
    /// Returns the wait before the next attempt of a trial with `failures` failures, the last one
    /// of `class`; zero if it may run at once.
    #[must_use]
    pub fn wait(&self, class: FailureClass, failures: u32) -> Duration {
        let first = self.backoff.iter().find(|(other, _)| *other == class);
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        first.map_or(Duration::ZERO, |(_, first)| {
            first.saturating_mul(doubled).min(self.max_backoff)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_as_the_last_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let backoff = vec![(FailureClass::Crash, 10 * second)];
        let retry = Retry {
            backoff,
            max_backoff: 60 * second,
            ..Retry::default()
        };
        let waits =
            [1, 2, 3, 4, 90].map(|failures| retry.wait(FailureClass::Crash, failures).as_secs());
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        assert_eq!(retry.wait(FailureClass::Memory, 1), Duration::ZERO);
    }
}
