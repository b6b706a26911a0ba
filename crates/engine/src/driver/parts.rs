//! The inputs of a driver: the parts of a sweep file, built.

use crate::keep::Keep;
use crate::logger::Models;
use crate::sampler::Sampler;
use crate::scheduler::TrialScheduler;
use crate::space::{Params, Space};
use crate::study::{FailureClass, Header};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The parts that a sweep file describes, built.
pub struct Parts {
    /// The facts about the sweep file that readers of the journal need.
    pub header: Header,
    /// The search space.
    pub space: Arc<Space>,
    /// Configurations to try before the sampler's. Parameters missing from them are drawn.
    pub points: Vec<Params>,
    /// The sampler's name in the sweep file, recorded as the origin of its trials.
    pub sampler_name: String,
    /// Proposes new configurations.
    pub sampler: Box<dyn Sampler>,
    /// Decides which trials start, pause, resume and stop.
    pub scheduler: Box<dyn TrialScheduler>,
    /// The budgets of the study and of this run.
    pub limits: Limits,
    /// The failures after which a trial is tried again.
    pub retry: Retry,
    /// The working directory of the trials.
    pub workdir: PathBuf,
    /// The policy for keeping checkpoints.
    pub keep: Keep,
    /// Whether swath holds copies of models.
    pub models: Models,
    /// Whether the scheduler may start a trial from the checkpoint of another.
    pub clones: bool,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether attempts go on without a driver, as on a cluster. The executor is then asked about
    /// the attempts of an earlier run before they count as lost.
    pub elsewhere: bool,
}

/// Budgets: each ends a run before its trials are done. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Total time of all runs of the study.
    pub time: Option<Duration>,
    /// Time of this run alone.
    pub run_time: Option<Duration>,
    /// Number of failed trials in this run alone: a new run starts at zero.
    pub failures: Option<u64>,
    /// Size of the study's folder in bytes.
    pub disk: Option<u64>,
    /// Number of quick failures in a row after which a slot is paused or the run ends. `None`
    /// disables the circuit breaker.
    pub quick_failures: Option<u32>,
}

/// The rule for trying failed trials again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of further attempts of a trial.
    pub times: u32,
    /// The failure classes that are tried again.
    pub on: Vec<FailureClass>,
    /// The wait before the first retry, by failure class. Each further wait is twice as long.
    /// Classes that are absent do not wait.
    pub backoff: Vec<(FailureClass, Duration)>,
    /// The longest wait before a retry.
    pub max_backoff: Duration,
}

impl Retry {
    /// Returns the wait before the next retry of a trial with `failures` failures, the last one of
    /// `class`; zero if it may run at once.
    #[must_use]
    pub fn wait(&self, class: FailureClass, failures: u32) -> Duration {
        let first = self.backoff.iter().find(|(of, _)| *of == class);
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
    fn each_repetition_waits_twice_as_long_up_to_the_longest() {
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
