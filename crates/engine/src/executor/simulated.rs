//! An executor with a virtual clock and a function instead of trials, for tests and `swath
//! simulate`. The same calls give the same signals.

use super::{Executor, ExecutorError, Launch, Signal, Stop, What};
use crate::study::{Attempt, Exit, Timestamp, TrialId, Usage};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Plan of an attempt: events with their times since its start.
type Script = Box<dyn FnMut(&Launch) -> Vec<(Duration, What)> + Send>;

/// Executor that runs trials on a virtual clock.
///
/// A function returns the plan of each attempt. Events after an [`Ended`](What::Ended) are dropped.
/// Without one, the attempt ends as `Done` right after its last event. A trial that is asked to
/// stop ends at that moment. Signals of the same moment arrive in the order in which they were
/// planned (at the start of their trial, or when it was asked to stop).
pub struct Simulated {
    script: Script,
    clock: Arc<AtomicI64>,
    /// Planned signals by time in microseconds, then by order of planning.
    agenda: BTreeMap<(i64, u64), Signal>,
    planned: u64,
    slots: Vec<Option<(TrialId, Attempt)>>,
}

impl Simulated {
    /// Creates an executor with `slots` slots, at least one. Its clock starts at the beginning of
    /// 1970.
    pub fn new(
        slots: usize,
        script: impl FnMut(&Launch) -> Vec<(Duration, What)> + Send + 'static,
    ) -> Self {
        Self {
            script: Box::new(script),
            clock: Arc::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            slots: vec![None; slots.max(1)],
        }
    }

    /// Sets the clock. Call it before the first trial starts.
    #[must_use]
    pub fn starting_at(self, moment: Timestamp) -> Self {
        self.clock.store(moment.as_micros(), Ordering::Relaxed);
        self
    }

    /// Returns the time of the virtual clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.load(Ordering::Relaxed))
    }

    /// Returns a handle of the virtual clock that can be read while another owner holds the
    /// executor.
    pub fn clock(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = Arc::clone(&self.clock);
        move || Timestamp::from_micros(clock.load(Ordering::Relaxed))
    }

    fn plan(&mut self, (trial, attempt): (TrialId, Attempt), after: Duration, what: What) {
        let micros = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        let at = self.now().as_micros().saturating_add(micros);
        let signal = Signal {
            trial,
            attempt,
            at: Timestamp::from_micros(at),
            what,
        };
        self.agenda.insert((at, self.planned), signal);
        self.planned += 1;
    }

    fn is_ending(&self, trial: TrialId) -> bool {
        let now = self.now().as_micros();
        let mut due = self.agenda.range(..=(now, u64::MAX));
        due.any(|(_, signal)| signal.trial == trial && matches!(signal.what, What::Ended(..)))
    }
}

impl Executor for Simulated {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let slot = self
            .slots
            .get_mut(launch.slot as usize)
            .ok_or(ExecutorError::SlotGone(launch.slot))?;
        if slot.is_some() {
            return Err(ExecutorError::SlotBusy(launch.slot));
        }
        let attempt = (launch.trial, launch.attempt);
        *slot = Some(attempt);
        let mut script = (self.script)(&launch);
        script.sort_by_key(|(after, _)| *after);
        let mut last = Duration::ZERO;
        for (after, what) in script {
            let ended = matches!(what, What::Ended(..));
            self.plan(attempt, after, what);
            if ended {
                return Ok(());
            }
            last = after;
        }
        self.plan(attempt, last, What::Ended(Exit::Done, Usage::default()));
        Ok(())
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        let Some(running) = self
            .slots
            .iter()
            .flatten()
            .find(|running| running.0 == trial)
            .copied()
        else {
            return;
        };
        // Its end is due already; a second one must not follow.
        if self.is_ending(trial) {
            return;
        }
        let now = self.now().as_micros();
        self.agenda
            .retain(|(at, _), signal| signal.trial != trial || *at <= now);
        self.plan(
            running,
            Duration::ZERO,
            What::Ended(how.exit(), Usage::default()),
        );
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        let now = self.now().as_micros();
        let latest = now.saturating_add(i64::try_from(at_most.as_micros()).unwrap_or(i64::MAX));
        let next = self
            .agenda
            .first_key_value()
            .map(|((at, _), _)| (*at).max(now));
        let Some(at) = next.filter(|at| *at <= latest) else {
            self.clock.store(latest, Ordering::Relaxed);
            return Vec::new();
        };
        self.clock.store(at, Ordering::Relaxed);
        let later = self.agenda.split_off(&(at.saturating_add(1), 0));
        let due: Vec<_> = std::mem::replace(&mut self.agenda, later)
            .into_values()
            .collect();
        for signal in due
            .iter()
            .filter(|signal| matches!(signal.what, What::Ended(..)))
        {
            let ended = Some((signal.trial, signal.attempt));
            for slot in self.slots.iter_mut().filter(|slot| **slot == ended) {
                *slot = None;
            }
        }
        due
    }
}
