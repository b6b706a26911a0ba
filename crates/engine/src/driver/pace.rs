//! The pace of the driver's loop: the longest wait for signals in one round.

use std::time::Duration;

/// The longest wait in one round, and that of a silent run.
pub(super) const TICK: Duration = Duration::from_millis(100);
const SILENT_TICK: Duration = Duration::from_millis(500);

/// The time without any signal after which a run is silent: its trials compute, and each look at
/// the folder of the study is more likely to be in vain.
const SILENCE: Duration = Duration::from_secs(5);

/// The time of the last signal.
pub(super) struct Pace {
    last_signal: Duration,
    /// Whether a request to stop ends the wait for signals.
    is_wakeable: bool,
}

impl Pace {
    /// Begins a run at `now`.
    pub(super) fn new(now: Duration, is_wakeable: bool) -> Self {
        Self {
            last_signal: now,
            is_wakeable,
        }
    }

    /// Takes note of signals that have arrived at `now`.
    pub(super) fn note_signals(&mut self, now: Duration) {
        self.last_signal = now;
    }

    /// Returns the longest wait of a round that begins at `now`. `is_due_soon`: something is to be
    /// started or looked at that no signal announces.
    pub(super) fn tick(&self, now: Duration, is_due_soon: bool) -> Duration {
        let is_silent = now.saturating_sub(self.last_signal) >= SILENCE;
        match is_silent && self.is_wakeable && !is_due_soon {
            true => SILENT_TICK,
            false => TICK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_silent_run_that_can_be_woken_waits_longer() {
        let began = Duration::from_secs(100);
        let mut pace = Pace::new(began, true);
        let silent = began + SILENCE;
        assert_eq!(pace.tick(began, false), TICK);
        assert_eq!(pace.tick(silent, false), SILENT_TICK);
        assert_eq!(pace.tick(silent, true), TICK);
        assert_eq!(Pace::new(began, false).tick(silent, false), TICK);
        pace.note_signals(silent);
        assert_eq!(pace.tick(silent, false), TICK);
        assert_eq!(pace.tick(silent + SILENCE, false), SILENT_TICK);
    }
}
