//! What a driver is made of.

use crate::logger::Models;
use crate::sampler::Sampler;
use crate::scheduler::TrialScheduler;
use crate::space::{Params, Space};
use crate::study::{FailureClass, Header};
use crate::sweep::Keep;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The parts that a sweep file describes, built.
pub struct Parts {
    /// What readers need to know of the sweep file.
    pub header: Header,
    /// What is searched.
    pub space: Arc<Space>,
    /// Configurations to try first; names they leave out are drawn.
    pub points: Vec<Params>,
    /// How the sweep file names the sampler.
    pub sampler_name: String,
    /// Proposes.
    pub sampler: Box<dyn Sampler>,
    /// Paces.
    pub scheduler: Box<dyn TrialScheduler>,
    /// When to give up.
    pub limits: Limits,
    /// Which failures are tried again.
    pub retry: Retry,
    /// The directory trials run in.
    pub workdir: PathBuf,
    /// Which checkpoints are kept.
    pub keep: Keep,
    /// Whether the bytes of models are held.
    pub models: Models,
    /// Whether the scheduler may start a trial from the checkpoint of another.
    pub clones: bool,
    /// How long a process has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether attempts go on while no driver is there: the executor is then asked about them
    /// before they count as lost.
    pub elsewhere: bool,
}

/// When a run ends before its trials are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Time of all runs of the study together.
    pub time: Option<Duration>,
    /// Time of this run alone.
    pub run_time: Option<Duration>,
    /// Failed trials of this run alone: running again continues.
    pub failures: Option<u64>,
    /// Bytes that the study's folder takes.
    pub disk: Option<u64>,
    /// Trials in a row that fail within seconds: a slot is then paused, or the run ends. `None`:
    /// however many.
    pub quick_failures: Option<u32>,
}

/// Which failures are tried again, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many more attempts a trial gets.
    pub times: u32,
    /// After which failures.
    pub on: Vec<FailureClass>,
    /// How long the first repetition waits, by class; each further one waits twice as long.
    pub backoff: Vec<(FailureClass, Duration)>,
    /// The longest wait.
    pub max_backoff: Duration,
}

impl Retry {
    /// Returns how long a trial waits that has failed so often, the last time in this way; zero if
    /// it may run at once.
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
