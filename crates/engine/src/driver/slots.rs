//! The slots of a run: which are in use, and which cannot be used now.

use super::component::Component;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::study::{Event, PreparationChange, Study};

/// The slots that run an attempt, and those in which none can be started.
#[derive(Default)]
pub(super) struct Slots {
    /// Slots whose attempt is running or waits to be started.
    busy: BTreeSet<u32>,
    /// Free slots in which nothing can be started now, each with the reason; an empty reason means
    /// a delay of moments.
    unusable: BTreeMap<u32, String>,
    /// Whether preparations take no slots, because trials run on other machines.
    prepares_elsewhere: bool,
}

impl Component for Slots {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Started { slot, .. } => self.occupy(*slot),
            Event::Ended { trial, .. } => {
                if let Some(slot) = study.trial(*trial).and_then(|trial| trial.slot) {
                    self.busy.remove(&slot);
                }
            }
            Event::Preparation {
                preparation,
                change,
            } if !self.prepares_elsewhere => match change {
                PreparationChange::Started { slot, .. } => self.occupy(*slot),
                PreparationChange::Ended { .. } => {
                    let ended = study.preparation(*preparation);
                    if let Some(slot) = ended.and_then(|ended| ended.execution.slot) {
                        self.busy.remove(&slot);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Slots {
    /// Returns the slots of a run in which nothing runs yet.
    pub(super) fn new(prepares_elsewhere: bool) -> Self {
        Self {
            prepares_elsewhere,
            ..Self::default()
        }
    }

    /// Marks a slot as in use.
    pub(super) fn occupy(&mut self, slot: u32) {
        self.busy.insert(slot);
    }

    /// Returns the lowest free slot below `count` that can be used and is not paused.
    pub(super) fn free(&self, count: usize, is_paused: impl Fn(u32) -> bool) -> Option<u32> {
        (0..u32::try_from(count).unwrap_or(u32::MAX)).find(|slot| {
            !self.busy.contains(slot) && !self.unusable.contains_key(slot) && !is_paused(*slot)
        })
    }

    /// Takes the slots that are unusable `now`. Returns the events for those that became usable or
    /// unusable since the last call (for example because processes of their last trial still run).
    pub(super) fn update(&mut self, now: BTreeMap<u32, String>) -> Vec<Event> {
        let before = std::mem::replace(&mut self.unusable, now);
        let now = &self.unusable;
        let resumed = before
            .iter()
            .filter(|(slot, why)| !why.is_empty() && !has_reason(now, **slot))
            .map(|(slot, _)| Event::SlotResumed { slot: *slot });
        let paused = now
            .iter()
            .filter(|(slot, why)| !why.is_empty() && !has_reason(&before, **slot))
            .map(|(slot, why)| Event::SlotPaused {
                slot: *slot,
                why: why.clone(),
            });
        resumed.chain(paused).collect()
    }
}

/// Returns whether a slot is unusable for a reason that is worth an event. An empty reason means a
/// delay of moments.
fn has_reason(unusable: &BTreeMap<u32, String>, slot: u32) -> bool {
    unusable.get(&slot).is_some_and(|why| !why.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Exit, Usage};

    /// Shows the last event of a study to the slots.
    fn follow(slots: &mut Slots, demo: &Demo) {
        slots.on(&demo.study, &demo.entries.last().unwrap().event);
    }

    fn unusable(why: &str) -> BTreeMap<u32, String> {
        BTreeMap::from([(0, why.to_owned())])
    }

    #[test]
    fn a_slot_is_free_before_its_attempt_starts_and_after_it_has_ended() {
        let mut demo = Demo::new(&[]);
        let mut slots = Slots::default();
        let trial = demo.start(&[]);
        assert_eq!(slots.free(2, |_| false), Some(0));
        follow(&mut slots, &demo);
        assert_eq!(slots.free(2, |_| false), Some(1));
        assert_eq!(slots.free(2, |slot| slot == 1), None, "it is paused");
        demo.event(Event::Ended {
            trial,
            attempt: Attempt(1),
            exit: Exit::Done,
            usage: Usage::default(),
        });
        follow(&mut slots, &demo);
        assert_eq!(slots.free(2, |_| false), Some(0));
    }

    #[test]
    fn a_change_of_a_slot_is_an_event_unless_it_is_a_delay_of_moments() {
        let mut slots = Slots::default();
        assert_eq!(slots.update(unusable("")), []);
        assert_eq!(slots.free(1, |_| false), None);
        let why = "its processes still run".to_owned();
        let paused = Event::SlotPaused { slot: 0, why };
        assert_eq!(slots.update(unusable("its processes still run")), [paused]);
        assert_eq!(slots.update(unusable("its processes still run")), []);
        let resumed = Event::SlotResumed { slot: 0 };
        assert_eq!(slots.update(BTreeMap::new()), [resumed]);
        assert_eq!(slots.free(1, |_| false), Some(0));
    }
}
