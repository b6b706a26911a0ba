//! An executor with a virtual clock and a function instead of trials, for tests and `swath
//! simulate`. The same calls give the same signals.

use super::{Executor, ExecutorError, Launch, Signal, SignalKind, Stop};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use swath_model::study::{Attempt, Exit, Timestamp, TrialId, Usage};

/// Plan of an attempt: events with their times since its start.
type Script = Box<dyn FnMut(&Launch) -> Vec<(Duration, SignalKind)> + Send>;

/// Executor that runs trials on a virtual clock.
///
/// A function returns the plan of each attempt. Events after an [`Ended`](SignalKind::Ended) are dropped.
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
        script: impl FnMut(&Launch) -> Vec<(Duration, SignalKind)> + Send + 'static,
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

    fn plan(&mut self, (trial, attempt): (TrialId, Attempt), after: Duration, kind: SignalKind) {
        let micros = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        let time = self.now().as_micros().saturating_add(micros);
        let signal = Signal {
            trial,
            attempt,
            at: Timestamp::from_micros(time),
            kind,
        };
        self.agenda.insert((time, self.planned), signal);
        self.planned += 1;
    }

    fn is_ending(&self, trial: TrialId) -> bool {
        let now = self.now().as_micros();
        let mut due = self.agenda.range(..=(now, u64::MAX));
        due.any(|(_, signal)| signal.trial == trial && matches!(signal.kind, SignalKind::Ended(..)))
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
        for (after, kind) in script {
            let is_end = matches!(kind, SignalKind::Ended(..));
            self.plan(attempt, after, kind);
            if is_end {
                return Ok(());
            }
            last = after;
        }
        self.plan(
            attempt,
            last,
            SignalKind::Ended(Exit::Done, Usage::default()),
        );
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
            .retain(|(time, _), signal| signal.trial != trial || *time <= now);
        self.plan(
            running,
            Duration::ZERO,
            SignalKind::Ended(how.exit(), Usage::default()),
        );
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        let now = self.now().as_micros();
        let latest = now.saturating_add(i64::try_from(at_most.as_micros()).unwrap_or(i64::MAX));
        let next = self
            .agenda
            .first_key_value()
            .map(|((time, _), _)| (*time).max(now));
        let Some(time) = next.filter(|time| *time <= latest) else {
            self.clock.store(latest, Ordering::Relaxed);
            return Vec::new();
        };
        self.clock.store(time, Ordering::Relaxed);
        let later = self.agenda.split_off(&(time.saturating_add(1), 0));
        let due: Vec<_> = std::mem::replace(&mut self.agenda, later)
            .into_values()
            .collect();
        for signal in due
            .iter()
            .filter(|signal| matches!(signal.kind, SignalKind::Ended(..)))
        {
            let ended = Some((signal.trial, signal.attempt));
            for slot in self.slots.iter_mut().filter(|slot| **slot == ended) {
                *slot = None;
            }
        }
        due
    }
}
