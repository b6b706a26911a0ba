//! The time that a run has used.

use std::time::Duration;
use swath_model::study::{Study, Timestamp};

/// Returns the current time. The simulator passes a virtual clock.
pub type Clock = Box<dyn Fn() -> Timestamp>;

/// The source of all times in the journal, and the time of the current run.
pub(super) struct RunClock {
    clock: Clock,
    /// The start of this run.
    began: Timestamp,
    /// The time that this run has spent suspended (SIGTSTP).
    suspended: Duration,
    /// The part of the time since the last entry in which no run was active. The next entry records
    /// it, so that `limits.time` does not count it.
    away: Option<Duration>,
}

impl RunClock {
    /// Starts the clock of a run. The time between `last`, the last entry, and now belongs to no
    /// run.
    pub(super) fn begin(clock: Clock, last: Option<Timestamp>) -> Self {
        let began = clock();
        Self {
            away: last.map(|last| began.since(last)),
            clock,
            began,
            suspended: Duration::ZERO,
        }
    }

    /// Starts the clock again, for the next run of the same process.
    pub(super) fn restart(&mut self, last: Option<Timestamp>) {
        self.began = self.now();
        self.suspended = Duration::ZERO;
        self.away = last.map(|last| self.began.since(last));
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Records that the process was suspended for this long.
    pub(super) fn was_suspended(&mut self, time: Duration) {
        self.suspended += time;
        self.away = Some(self.away.unwrap_or_default() + time);
    }

    /// Returns the time that the next entry records as used by no run.
    pub(super) fn take_away(&mut self) -> Option<Duration> {
        self.away.take()
    }

    /// Returns the duration of this run, without the time spent suspended.
    pub(super) fn ran(&self) -> Duration {
        self.now().since(self.began).saturating_sub(self.suspended)
    }

    /// Returns the time used by all runs of the study so far, this run included, without the pauses
    /// between and within runs.
    pub(super) fn used(&self, study: &Study) -> Duration {
        let since = study
            .at()
            .map_or(Duration::ZERO, |last| self.now().since(last));
        // Until the next entry, the time since the last one includes the pause between the runs.
        study.used() + since.saturating_sub(self.away.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use swath_model::demo::Demo;

    /// Returns the time of the run and of the study, in seconds.
    fn seconds(clock: &RunClock, study: &Study) -> (u64, u64) {
        (clock.ran().as_secs(), clock.used(study).as_secs())
    }

    #[test]
    fn a_pause_between_runs_and_a_suspended_process_use_no_time() {
        let demo = Demo::new(&[]);
        let last = demo.study.at().unwrap();
        let now = Rc::new(Cell::new(last.as_micros() + 60_000_000));
        let time = Rc::clone(&now);
        let clock = Box::new(move || Timestamp::from_micros(time.get()));
        let mut clock = RunClock::begin(clock, Some(last));
        assert_eq!(seconds(&clock, &demo.study), (0, 0));
        now.set(now.get() + 5_000_000);
        assert_eq!(seconds(&clock, &demo.study), (5, 5));
        now.set(now.get() + 3_000_000);
        clock.was_suspended(Duration::from_secs(3));
        assert_eq!(seconds(&clock, &demo.study), (5, 5));
        assert_eq!(clock.take_away(), Some(Duration::from_secs(63)));
        assert_eq!(clock.take_away(), None, "one entry records it");
    }
}
