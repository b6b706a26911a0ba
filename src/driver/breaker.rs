//! The circuit breaker: notices that trials fail within seconds, one after the other, so that what
//! is broken does not use up the sweep.
//!
//! A slot whose trials do so while others go well is paused; if most slots do so, or all are
//! paused, the whole sweep is at fault. It only counts: what follows from it are events, which the
//! driver commits. On a cluster its slots are machines.

use crate::study::{Exit, FailureClass, Study, Timestamp, Trial, TrialId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An attempt that fails before this counts as failed at once.
pub(super) const QUICK: Duration = Duration::from_secs(10);

/// How long a slot is paused for the first time; each further time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause of a slot.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);

/// What is known of failures in a row.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// How many in a row are too many; `None`: it never trips.
    most: Option<u32>,
    slots: BTreeMap<u32, Slot>,
    /// The trials that failed at once since anything went well, and where.
    row: Vec<(TrialId, u32)>,
    /// Trials whose failure in a slot was not held against them: it happens once a run.
    forgiven: BTreeSet<TrialId>,
    tripped: bool,
}

#[derive(Debug, Default)]
struct Slot {
    row: Vec<TrialId>,
    pauses: u32,
    until: Option<Timestamp>,
    /// It was paused and is tried with one trial.
    probation: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Trip {
    /// Pause the slot; these trials run elsewhere.
    Slot {
        slot: u32,
        pause: Duration,
        trials: Vec<TrialId>,
    },
    /// End the run; these trials wait for the next.
    Sweep { trials: Vec<TrialId> },
}

/// Returns whether the attempt of a trial that just ended failed at once: within seconds and
/// without its objective, for a reason that another configuration is unlikely to cure.
pub(super) fn failed_at_once(study: &Study, trial: &Trial, ran: Duration) -> bool {
    let Some(Exit::Failed(failure)) = &trial.exit else {
        return false;
    };
    let systematic = matches!(
        failure.class(),
        FailureClass::Crash | FailureClass::Spawn | FailureClass::Objective
    );
    let objectives = &study.header().objectives;
    let said_nothing = match objectives.is_empty() {
        true => trial.reports == 0,
        false => objectives
            .iter()
            .all(|objective| !trial.metrics.contains_key(&objective.metric)),
    };
    systematic && said_nothing && ran < QUICK
}

impl Breaker {
    /// Makes one that trips after so many failures in a row.
    pub(super) fn new(most: Option<u32>) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Returns whether the whole sweep was found at fault.
    pub(super) fn tripped(&self) -> bool {
        self.tripped
    }

    /// Returns whether nothing has failed at once of late.
    pub(super) fn is_clean(&self) -> bool {
        self.row.is_empty() && self.slots.is_empty()
    }

    /// Takes in that something went well in a slot: an attempt ended in another way, or reported.
    pub(super) fn well(&mut self, slot: u32) {
        self.row.clear();
        self.slots.remove(&slot);
    }

    /// Takes in that an attempt failed at once. `slots` can be used, paused ones included.
    /// `healthy`: another attempt has run for longer than that. `proven`: the study has trials that
    /// went well, so more evidence is wanted.
    pub(super) fn failed(
        &mut self,
        trial: TrialId,
        slot: u32,
        slots: usize,
        healthy: bool,
        proven: bool,
    ) -> Option<Trip> {
        let most = self.most? as usize;
        if !self.row.contains(&(trial, slot)) {
            self.row.push((trial, slot));
        }
        let here = self.slots.entry(slot).or_default();
        if !here.row.contains(&trial) {
            here.row.push(trial);
        }
        let full = here.probation || here.row.len() >= most;
        let distinct: BTreeSet<TrialId> = self.row.iter().map(|(trial, _)| *trial).collect();
        let involved: BTreeSet<u32> = self.row.iter().map(|(_, slot)| *slot).collect();
        let enough = if proven { 2 * most } else { most };
        let everywhere = !healthy && distinct.len() >= enough && 2 * involved.len() > slots;
        let paused = self
            .slots
            .values()
            .filter(|slot| slot.until.is_some())
            .count();
        if self.tripped || everywhere || (slots > 1 && full && paused + 1 >= slots) {
            self.tripped = true;
            return Some(Trip::Sweep {
                trials: distinct.into_iter().collect(),
            });
        }
        (slots > 1 && full).then(|| self.pause(slot))
    }

    fn pause(&mut self, slot: u32) -> Trip {
        let here = self.slots.entry(slot).or_default();
        let pause = FIRST_PAUSE
            .saturating_mul(1 << here.pauses.min(16))
            .min(LONGEST_PAUSE);
        here.pauses += 1;
        let mut trials = std::mem::take(&mut here.row);
        // One that fails in every slot it is sent to is at fault itself.
        trials.retain(|trial| self.forgiven.insert(*trial));
        Trip::Slot {
            slot,
            pause,
            trials,
        }
    }

    /// Notes until when a slot is paused.
    pub(super) fn paused_until(&mut self, slot: u32, until: Timestamp) {
        self.slots.entry(slot).or_default().until = Some(until);
    }

    /// Notes that a machine is given no more: what still fails there is given back at once.
    pub(super) fn shunned(&mut self, machine: u32) {
        self.slots.entry(machine).or_default().probation = true;
    }

    /// Returns whether a slot is paused.
    pub(super) fn is_paused(&self, slot: u32) -> bool {
        self.slots
            .get(&slot)
            .is_some_and(|slot| slot.until.is_some())
    }

    /// Returns the slots whose pause is over. The next failure at once pauses them again.
    pub(super) fn rested(&mut self, now: Timestamp) -> Vec<u32> {
        let mut rested = Vec::new();
        for (number, slot) in &mut self.slots {
            if slot
                .until
                .is_some_and(|until| is_due(until, now, LONGEST_PAUSE))
            {
                slot.until = None;
                slot.probation = true;
                rested.push(*number);
            }
        }
        rested
    }
}

/// Returns whether a moment has come, also if the clock was put back meanwhile: nothing waits
/// longer than `at_most`.
pub(super) fn is_due(until: Timestamp, now: Timestamp, at_most: Duration) -> bool {
    now >= until || until.since(now) > at_most
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 4;

    fn breaker() -> Breaker {
        Breaker::new(Some(3))
    }

    fn ids(numbers: &[u32]) -> Vec<TrialId> {
        numbers.iter().map(|number| TrialId(*number)).collect()
    }

    #[test]
    fn when_most_slots_fail_at_once_the_sweep_is_at_fault() {
        let mut breaker = breaker();
        assert_eq!(breaker.failed(TrialId(1), 0, SLOTS, false, false), None);
        assert_eq!(breaker.failed(TrialId(2), 1, SLOTS, false, false), None);
        let trip = breaker.failed(TrialId(3), 2, SLOTS, false, false);
        assert_eq!(
            trip,
            Some(Trip::Sweep {
                trials: ids(&[1, 2, 3])
            })
        );
        assert!(breaker.tripped());
    }

    #[test]
    fn a_study_in_which_trials_went_well_needs_twice_as_many() {
        let mut breaker = breaker();
        let trips: Vec<_> = (1..=6)
            .map(|id| {
                breaker
                    .failed(TrialId(id), id % 4, SLOTS, false, true)
                    .is_some()
            })
            .collect();
        assert_eq!(trips, [false, false, false, false, false, true]);
    }

    #[test]
    fn one_slot_that_fails_alone_is_paused_and_then_tried_with_one_trial() {
        let (mut breaker, start) = (breaker(), Timestamp::from_micros(0));
        for id in 1..=2 {
            assert_eq!(breaker.failed(TrialId(id), 0, SLOTS, false, false), None);
        }
        let minute = Duration::from_secs(60);
        let trip = breaker.failed(TrialId(3), 0, SLOTS, false, false);
        assert_eq!(
            trip,
            Some(Trip::Slot {
                slot: 0,
                pause: minute,
                trials: ids(&[1, 2, 3])
            })
        );
        breaker.paused_until(0, Timestamp::from_micros(60_000_000));
        assert!(breaker.is_paused(0));
        assert!(breaker.rested(start).is_empty());
        assert_eq!(breaker.rested(Timestamp::from_micros(60_000_000)), [0]);
        let again = breaker.failed(TrialId(4), 0, SLOTS, true, false);
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
    fn what_goes_well_begins_the_count_anew() {
        let mut breaker = breaker();
        for id in 1..=9 {
            assert_eq!(breaker.failed(TrialId(id), 0, 1, false, false), None);
            breaker.well(0);
        }
    }

    #[test]
    fn one_trial_that_is_retried_in_vain_is_one() {
        let mut breaker = breaker();
        for _ in 0..9 {
            assert_eq!(breaker.failed(TrialId(1), 0, SLOTS, false, false), None);
        }
    }

    #[test]
    fn when_every_slot_is_paused_the_sweep_is_at_fault() {
        let mut breaker = breaker();
        let now = Timestamp::from_micros(0);
        for slot in 0..2 {
            for id in 1..=3 {
                let trip = breaker.failed(TrialId(3 * slot + id), slot, 3, true, true);
                assert_eq!(trip.is_some(), id == 3);
            }
            breaker.paused_until(slot, now);
        }
        for id in 7..=8 {
            assert_eq!(breaker.failed(TrialId(id), 2, 3, true, true), None);
        }
        assert!(matches!(
            breaker.failed(TrialId(9), 2, 3, true, true),
            Some(Trip::Sweep { .. })
        ));
    }

    #[test]
    fn nobody_waits_longer_because_the_clock_was_put_back() {
        let (until, hour) = (
            Timestamp::from_micros(7_200_000_000),
            Duration::from_secs(3600),
        );
        assert!(!is_due(until, Timestamp::from_micros(3_600_000_000), hour));
        assert!(is_due(until, until, hour));
        assert!(is_due(until, Timestamp::from_micros(0), hour));
    }
}
