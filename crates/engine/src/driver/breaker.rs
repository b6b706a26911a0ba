//! The circuit breaker: detects trials that fail within seconds, one after the other, so that a
//! broken machine or program does not use up the sweep.
//!
//! A slot whose trials fail so is paused while other slots succeed. If most slots fail so, or all
//! are paused, the whole sweep is at fault. The breaker only counts; the driver commits the
//! resulting events. On a cluster, the breaker's slots are machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swath_model::study::{Event, Exit, FailureClass, Study, Timestamp, Trial, TrialId, TrialState};

/// An attempt that fails sooner than this counts as a quick failure.
const QUICK: Duration = Duration::from_secs(10);

/// The first pause of a slot; each further pause takes twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause of a slot.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);

/// The counts of quick failures, for each slot and for the whole sweep.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The number of quick failures in a row that pauses a slot or ends the run; `None` disables
    /// the breaker.
    most: Option<u32>,
    /// The slots with quick failures or pauses since their last success.
    slots: BTreeMap<u32, SlotRecord>,
    /// The trials that failed quickly since the last success anywhere, each with its slot.
    failures: Vec<(TrialId, u32)>,
    /// Trials whose quick failure was attributed to the slot. Each trial is forgiven once in a run.
    forgiven: BTreeSet<TrialId>,
    /// Whether the whole sweep was found to be at fault.
    is_tripped: bool,
}

/// Probability below which a streak of quick failures is no chance: with the share of trials that
/// fail in this sweep anyway, it would be longer than this streak.
const CHANCE: f64 = 1e-5;

/// The ends of trials in the study so far.
#[derive(Debug, Clone, Copy)]
struct Past {
    successes: u64,
    failures: u64,
}

impl Past {
    fn of(study: &Study) -> Self {
        let counts = study.counts();
        Self {
            // An invalid configuration shows that the program works.
            successes: counts.complete + counts.stopped + counts.paused + counts.invalid,
            failures: counts.failed,
        }
    }

    /// Returns the length from which a streak of quick failures cannot be chance, at least `most`.
    /// `streak` is its length so far.
    ///
    /// If half of the space cannot work, five failures in a row are nothing special. The share of
    /// trials that fail is estimated from those before the streak, by the rule of succession.
    fn suspicious_streak(self, streak: usize, most: usize) -> usize {
        if self.successes == 0 {
            return most;
        }
        let failures = self.failures.saturating_sub(streak as u64) as f64;
        let share = (failures + 1.0) / (failures + self.successes as f64 + 2.0);
        most.max((CHANCE.ln() / share.ln()).ceil() as usize)
    }
}

/// The record of one slot since its last success.
#[derive(Debug, Default)]
struct SlotRecord {
    /// The trials that failed quickly in the slot since its last pause.
    failures: Vec<TrialId>,
    /// The number of pauses; the next one is longer.
    pauses: u32,
    /// The end of the current pause; `None` outside of pauses.
    until: Option<Timestamp>,
    /// Whether the slot's pause is over and one trial is to show whether the slot works again.
    is_on_probation: bool,
}

/// The end of an attempt, as the breaker counts it.
pub(super) struct End {
    /// The trial of the attempt.
    pub(super) trial: TrialId,
    /// The slot or machine in which it ran.
    pub(super) slot: u32,
    /// The number of usable slots or machines, paused ones included.
    pub(super) slots: usize,
    /// The duration of the attempt.
    pub(super) ran: Duration,
    /// The time of its end.
    pub(super) at: Timestamp,
}

/// The consequence of a quick failure.
#[derive(Debug, PartialEq)]
pub(super) enum Trip {
    /// Pause the slot. `trials` failed there and are requeued.
    Slot {
        slot: u32,
        pause: Duration,
        trials: Vec<TrialId>,
    },
    /// End the run. `trials` failed quickly and are requeued for the next run.
    Sweep { trials: Vec<TrialId> },
}

/// Returns whether the last attempt of a trial was a quick failure: it failed in less than
/// [`QUICK`], reported no objective, and failed in a way that rarely depends on the configuration.
fn is_quick_failure(study: &Study, trial: &Trial, ran: Duration) -> bool {
    let Some(Exit::Failed(failure)) = &trial.exit else {
        return false;
    };
    let is_systematic = matches!(
        failure.class(),
        FailureClass::Crash | FailureClass::Spawn | FailureClass::Objective
    );
    let objectives = &study.header().objectives;
    let has_no_report = match objectives.is_empty() {
        // Without objectives, any report shows that the program works.
        true => trial.reports == 0,
        false => objectives
            .iter()
            .all(|objective| !trial.metrics.contains_key(&objective.metric)),
    };
    is_systematic && has_no_report && ran < QUICK
}

impl Breaker {
    /// Returns a breaker that trips after `most` quick failures in a row; `None`: never.
    pub(super) fn new(most: Option<u32>) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Returns whether the whole sweep was found to be at fault.
    pub(super) fn is_tripped(&self) -> bool {
        self.is_tripped
    }

    /// Counts the end of an attempt, which `study` has applied. Returns the consequence, if this was
    /// one quick failure too many.
    pub(super) fn record_end(&mut self, study: &Study, end: &End) -> Option<Trip> {
        let trial = study.trial(end.trial)?;
        if !is_quick_failure(study, trial, end.ran) {
            // An interrupted or lost attempt says nothing about its slot.
            if !matches!(trial.exit, Some(Exit::Interrupted | Exit::Lost)) {
                self.record_success(end.slot);
            }
            return None;
        }
        // An attempt that has lived longer than a quick failure shows that the sweep itself works.
        let another_runs = study
            .running()
            .filter_map(|id| study.trial(id)?.attempt_at)
            .any(|began| end.at.since(began) >= QUICK);
        let past = Past::of(study);
        self.record_failure(end.trial, end.slot, end.slots, another_runs, past)
    }

    /// Returns whether no quick failure is on record.
    pub(super) fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.slots.is_empty()
    }

    /// Records a success in a slot: an attempt reported, or ended in any way but a quick failure.
    pub(super) fn record_success(&mut self, slot: u32) {
        self.failures.clear();
        self.slots.remove(&slot);
    }

    /// Records a quick failure of `trial` in `slot`. `slots` is the number of usable slots, paused
    /// ones included. `another_runs`: another attempt has run for longer than [`QUICK`].
    fn record_failure(
        &mut self,
        trial: TrialId,
        slot: u32,
        slots: usize,
        another_runs: bool,
        past: Past,
    ) -> Option<Trip> {
        let most = self.most? as usize;
        // A trial that is retried in vain in one slot is evidence only once.
        if !self.failures.contains(&(trial, slot)) {
            self.failures.push((trial, slot));
        }
        let record = self.slots.entry(slot).or_default();
        if !record.failures.contains(&trial) {
            record.failures.push(trial);
        }
        // A slot on probation has failed before: one more quick failure is enough.
        let is_full = record.is_on_probation
            || record.failures.len() >= past.suspicious_streak(record.failures.len(), most);
        let distinct: BTreeSet<TrialId> = self.failures.iter().map(|(trial, _)| *trial).collect();
        let involved: BTreeSet<u32> = self.failures.iter().map(|(_, slot)| *slot).collect();
        let enough = past.suspicious_streak(distinct.len(), most);
        // The sweep is blamed only if more than half of the slots took part.
        let is_everywhere = !another_runs && distinct.len() >= enough && 2 * involved.len() > slots;
        let paused = self
            .slots
            .values()
            .filter(|slot| slot.until.is_some())
            .count();
        // With this slot paused, none would be left to run anything. A sweep with a single slot has
        // no other slot to compare it with, and is only blamed by `is_everywhere`.
        if self.is_tripped || is_everywhere || (slots > 1 && is_full && paused + 1 >= slots) {
            self.is_tripped = true;
            return Some(Trip::Sweep {
                trials: distinct.into_iter().collect(),
            });
        }
        (slots > 1 && is_full).then(|| self.pause(slot))
    }

    /// Begins a pause of the slot. The returned trials are requeued, unless they were forgiven
    /// before.
    fn pause(&mut self, slot: u32) -> Trip {
        let record = self.slots.entry(slot).or_default();
        let pause = FIRST_PAUSE
            .saturating_mul(1 << record.pauses.min(16))
            .min(LONGEST_PAUSE);
        record.pauses += 1;
        let mut trials = std::mem::take(&mut record.failures);
        // A trial that fails quickly in every slot is itself at fault: it is requeued only once.
        trials.retain(|trial| self.forgiven.insert(*trial));
        Trip::Slot {
            slot,
            pause,
            trials,
        }
    }

    /// Sets the end of a slot's pause.
    pub(super) fn set_pause_end(&mut self, slot: u32, until: Timestamp) {
        self.slots.entry(slot).or_default().until = Some(until);
    }

    /// Records that a machine receives no more trials. A trial still running there that fails
    /// quickly is requeued at once.
    pub(super) fn exclude_machine(&mut self, machine: u32) {
        self.slots.entry(machine).or_default().is_on_probation = true;
    }

    /// Returns whether a slot is paused.
    pub(super) fn is_paused(&self, slot: u32) -> bool {
        self.slots
            .get(&slot)
            .is_some_and(|slot| slot.until.is_some())
    }

    /// Ends the pauses that are over and returns their slots. The slots are then on is_on_probation: the
    /// next quick failure pauses them again.
    pub(super) fn end_pauses(&mut self, now: Timestamp) -> Vec<u32> {
        let mut resumed = Vec::new();
        for (number, slot) in &mut self.slots {
            if slot
                .until
                .is_some_and(|until| is_due(until, now, LONGEST_PAUSE))
            {
                slot.until = None;
                slot.is_on_probation = true;
                resumed.push(*number);
            }
        }
        resumed
    }
}

/// Returns whether the time `until` has come. If the clock was set back, it has also come when it
/// lies more than `at_most` ahead.
pub(super) fn is_due(until: Timestamp, now: Timestamp, at_most: Duration) -> bool {
    now >= until || until.since(now) > at_most
}

/// Returns the events that requeue trials that have failed, without counting the failure: the slot
/// or the sweep was at fault.
pub(super) fn requeue(study: &Study, trials: &[TrialId], why: &str) -> Vec<Event> {
    let failed = trials.iter().filter(|id| {
        study
            .trial(**id)
            .is_some_and(|trial| trial.state == TrialState::Failed)
    });
    failed
        .map(|trial| Event::Requeued {
            trial: *trial,
            why: why.to_owned(),
            not_before: None,
            forgiven: true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Failure, Usage};

    const SLOTS: usize = 4;
    const NONE: Past = Past {
        successes: 0,
        failures: 0,
    };

    fn breaker() -> Breaker {
        Breaker::new(Some(3))
    }

    fn ids(numbers: &[u32]) -> Vec<TrialId> {
        numbers.iter().map(|number| TrialId(*number)).collect()
    }

    #[test]
    fn when_most_slots_fail_at_once_the_sweep_is_at_fault() {
        let mut breaker = breaker();
        assert_eq!(
            breaker.record_failure(TrialId(1), 0, SLOTS, false, NONE),
            None
        );
        assert_eq!(
            breaker.record_failure(TrialId(2), 1, SLOTS, false, NONE),
            None
        );
        let trip = breaker.record_failure(TrialId(3), 2, SLOTS, false, NONE);
        assert_eq!(
            trip,
            Some(Trip::Sweep {
                trials: ids(&[1, 2, 3])
            })
        );
        assert!(breaker.is_tripped());
    }

    /// Returns the number of quick failures in a row, all in one slot, that end a run.
    fn streak_that_trips(past: Past) -> u32 {
        let mut breaker = Breaker::new(Some(5));
        (1..1000)
            .find(|id| {
                let past = Past {
                    failures: past.failures + u64::from(*id),
                    ..past
                };
                let trip = breaker.record_failure(TrialId(*id), 0, 1, false, past);
                trip.is_some()
            })
            .unwrap()
    }

    #[test]
    fn a_streak_is_suspicious_if_the_share_of_failures_before_does_not_explain_it() {
        for (successes, failures, expected) in [
            (0, 0, 5),
            (1, 0, 11),
            (20, 0, 5),
            (20, 20, 17),
            (20, 30, 23),
        ] {
            let past = Past {
                successes,
                failures,
            };
            assert_eq!(streak_that_trips(past), expected, "{successes} {failures}");
        }
    }

    #[test]
    fn one_slot_that_fails_alone_is_paused_and_then_tried_with_one_trial() {
        let (mut breaker, start) = (breaker(), Timestamp::from_micros(0));
        for id in 1..=2 {
            assert_eq!(
                breaker.record_failure(TrialId(id), 0, SLOTS, false, NONE),
                None
            );
        }
        let minute = Duration::from_secs(60);
        let trip = breaker.record_failure(TrialId(3), 0, SLOTS, false, NONE);
        assert_eq!(
            trip,
            Some(Trip::Slot {
                slot: 0,
                pause: minute,
                trials: ids(&[1, 2, 3])
            })
        );
        breaker.set_pause_end(0, Timestamp::from_micros(60_000_000));
        assert!(breaker.is_paused(0));
        assert!(breaker.end_pauses(start).is_empty());
        assert_eq!(breaker.end_pauses(Timestamp::from_micros(60_000_000)), [0]);
        let again = breaker.record_failure(TrialId(4), 0, SLOTS, true, NONE);
        assert_eq!(
            again,
            Some(Trip::Slot {
                slot: 0,
                pause: 2 * minute,
                trials: ids(&[4])
            })
        );
    }

    #[test]
    fn a_success_resets_the_count() {
        let mut breaker = breaker();
        for id in 1..=9 {
            assert_eq!(breaker.record_failure(TrialId(id), 0, 1, false, NONE), None);
            breaker.record_success(0);
        }
    }

    #[test]
    fn a_trial_that_is_retried_in_vain_counts_once() {
        let mut breaker = breaker();
        for _ in 0..9 {
            assert_eq!(
                breaker.record_failure(TrialId(1), 0, SLOTS, false, NONE),
                None
            );
        }
    }

    #[test]
    fn when_every_slot_is_paused_the_sweep_is_at_fault() {
        let mut breaker = breaker();
        let now = Timestamp::from_micros(0);
        for slot in 0..2 {
            for id in 1..=3 {
                let trip = breaker.record_failure(TrialId(3 * slot + id), slot, 3, true, NONE);
                assert_eq!(trip.is_some(), id == 3);
            }
            breaker.set_pause_end(slot, now);
        }
        for id in 7..=8 {
            assert_eq!(breaker.record_failure(TrialId(id), 2, 3, true, NONE), None);
        }
        assert!(matches!(
            breaker.record_failure(TrialId(9), 2, 3, true, NONE),
            Some(Trip::Sweep { .. })
        ));
    }

    #[test]
    fn only_a_quick_failure_without_a_report_counts_and_interruptions_are_ignored() {
        let mut demo = Demo::new(&[]);
        let mut breaker = Breaker::new(Some(2));
        let crash = Exit::Failed(Failure::Code(1));
        let mut count = |exit: Exit, ran: u64, has_reported: bool| {
            let trial = demo.start(&[]);
            if has_reported {
                demo.report(trial, &[("val_loss", 1.0)]);
            }
            demo.event(Event::Ended {
                trial,
                attempt: Attempt(1),
                exit,
                usage: Usage::default(),
            });
            let end = End {
                trial,
                slot: 0,
                slots: 1,
                ran: Duration::from_secs(ran),
                at: demo.study.at().unwrap(),
            };
            breaker.record_end(&demo.study, &end)
        };
        assert_eq!(count(crash.clone(), 1, false), None);
        assert_eq!(
            count(crash.clone(), 60, false),
            None,
            "slow: the count begins anew"
        );
        assert_eq!(count(crash.clone(), 1, false), None);
        assert_eq!(
            count(crash.clone(), 1, true),
            None,
            "reported: the count begins anew"
        );
        assert_eq!(count(crash.clone(), 1, false), None);
        assert_eq!(count(Exit::Interrupted, 1, false), None);
        let trip = count(crash.clone(), 1, false);
        assert!(matches!(trip, Some(Trip::Sweep { .. })), "{trip:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_a_pause() {
        let (until, hour) = (
            Timestamp::from_micros(7_200_000_000),
            Duration::from_secs(3600),
        );
        assert!(!is_due(until, Timestamp::from_micros(3_600_000_000), hour));
        assert!(is_due(until, until, hour));
        assert!(is_due(until, Timestamp::from_micros(0), hour));
    }
}
