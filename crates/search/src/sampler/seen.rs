//! The set of configurations that a study already has.

use super::lattice::{Lattice, Search};
use std::cell::{RefCell, RefMut};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use swath_model::space::{AxisKind, Params, Space};
use swath_model::study::{Event, Study, Trial, TrialId, TrialState};

/// Parts of a coordinate: it is kept as a whole number of them.
const PARTS: f64 = 4_294_967_295.0;

/// The largest distance between the floats of near copies, as a share of the range (of its
/// logarithm on a log scale). Numbers that agree in six digits are as near as that.
const NEAR: f64 = 1e-5;

/// The set of configurations that the trials of a study have, in whatever state the trials are.
///
/// A configuration is in the set if a trial has the same choices and integers, and floats that are
/// nearly the same: each within a hundred-thousandth of its range. Inactive parameters, constants
/// and derived values do not matter. Trials outside the space and removed ones do not count.
///
/// It takes 16 bytes a trial in a space without floats, and about 40 bytes and four more for each
/// axis in another one. A search takes O(log n).
///
/// Trials are entered when the set is asked for the first time after them, so that a study is
/// opened without that work, and one that proposes nothing any more is spared it.
pub struct Seen {
    space: Arc<Space>,
    /// For each axis whether it is a float.
    is_real: Vec<bool>,
    /// The largest difference of near coordinates, in [`PARTS`].
    tolerance: u32,
    sets: RefCell<Sets>,
}

/// The configurations of the trials, and the trials that are not entered yet.
#[derive(Default)]
struct Sets {
    /// The hashes of the configurations without a float.
    exact: HashSet<u64>,
    /// The floats of the others: by the hash of the rest, and by their sum. Near copies have nearly
    /// equal sums, so that few configurations have to be compared. Those of several configurations
    /// with the same key follow each other.
    near: BTreeMap<(u64, u64), Box<[u32]>>,
    /// The hashes of the configurations whose only trial failed.
    failed: HashSet<u64>,
    /// The hashes of the configurations that have several trials.
    repeated: HashSet<u64>,
    /// The trials that are still to be entered, in the order of their ids.
    pending: Vec<Pending>,
}

/// A trial that is still to be entered.
struct Pending {
    trial: TrialId,
    params: Params,
    has_failed: bool,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

/// A configuration as the set compares it.
struct Key {
    /// A hash of the active axes and the coordinates of those that are no floats.
    rest: u64,
    /// The coordinates of the active floats, in [`PARTS`].
    floats: Box<[u32]>,
}

impl Key {
    /// Returns the sum of the floats.
    fn sum(&self) -> u64 {
        self.floats.iter().map(|part| u64::from(*part)).sum()
    }
}

impl Seen {
    /// Creates an empty set.
    #[must_use]
    pub fn new(space: Arc<Space>) -> Self {
        Self::within(space, NEAR)
    }

    /// Creates an empty set that tells floats apart however close they are.
    pub(super) fn exact(space: Arc<Space>) -> Self {
        // Encoding rounds, which may change the last part.
        Self::within(space, 1.0 / PARTS)
    }

    fn within(space: Arc<Space>, distance: f64) -> Self {
        let kinds = space.axes().iter().map(|axis| &axis.kind);
        Self {
            is_real: kinds.map(|kind| *kind == AxisKind::Real).collect(),
            tolerance: (distance * PARTS) as u32,
            space,
            sets: RefCell::default(),
        }
    }

    /// Updates the set from an event that `study` has just applied: adds the configuration of a new
    /// trial, and rebuilds the set when trials were edited, removed or restored. Call it for every
    /// event, in [`Sampler::observe`](super::Sampler::observe).
    pub fn observe(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Created { trial, params, .. } => self.sets.get_mut().pending.push(Pending {
                trial: *trial,
                params: params.clone(),
                has_failed: false,
            }),
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                // A value outside the range would be taken for the end of the range, and a removed
                // trial is to be replaced.
                let trials = study.trials().iter().filter(|trial| !trial.outside);
                let pending = trials.map(|trial| Pending {
                    trial: trial.id,
                    params: trial.params.clone(),
                    has_failed: trial.state == TrialState::Failed,
                });
                *self.sets.get_mut() = Sets {
                    pending: pending.collect(),
                    ..Sets::default()
                };
            }
            Event::Ended { trial, .. } | Event::Requeued { trial, .. } => {
                if let Some(trial) = study.trial(*trial).filter(|trial| !trial.outside) {
                    self.settle(trial);
                }
            }
            _ => {}
        }
    }

    /// Notes whether a trial has failed, as its state is now. It matters for a configuration
    /// without floats.
    fn settle(&mut self, trial: &Trial) {
        let has_failed = trial.state == TrialState::Failed;
        let pending = &mut self.sets.get_mut().pending;
        if let Ok(index) = pending.binary_search_by_key(&trial.id, |pending| pending.trial) {
            pending[index].has_failed = has_failed;
            return;
        }
        let key = self.key(&trial.params);
        if key.floats.is_empty() {
            self.sets.get_mut().settle(key.rest, has_failed);
        }
    }

    /// Returns the sets after entering the pending trials.
    fn sets(&self) -> RefMut<'_, Sets> {
        let mut sets = self.sets.borrow_mut();
        for pending in std::mem::take(&mut sets.pending) {
            sets.insert(self.key(&pending.params), pending.has_failed);
        }
        sets
    }

    /// Returns whether a trial has this configuration, or one that is nearly the same.
    #[must_use]
    pub fn has(&self, params: &Params) -> bool {
        let sets = self.sets();
        let key = self.key(params);
        if key.floats.is_empty() {
            return sets.exact.contains(&key.rest);
        }
        let (sum, slack) = (
            key.sum(),
            u64::from(self.tolerance) * key.floats.len() as u64,
        );
        let near = (key.rest, sum.saturating_sub(slack))..=(key.rest, sum + slack);
        sets.near
            .range(near)
            .flat_map(|(_, others)| others.chunks_exact(key.floats.len()))
            .any(|other| self.are_near(&key.floats, other))
    }

    /// Returns whether two lists of coordinates are of one length and nearly the same.
    fn are_near(&self, one: &[u32], other: &[u32]) -> bool {
        let mut pairs = one.iter().zip(other);
        one.len() == other.len() && pairs.all(|(one, other)| one.abs_diff(*other) <= self.tolerance)
    }

    /// Returns a configuration of a finite space that the set does not have, the first one in the
    /// order of the parameters. If it has all of them, returns one whose only trial failed, since
    /// the cause may have been the machine; `None` if there is none. Returns `repetition` if the
    /// space is infinite or too large to be searched in order.
    pub(super) fn untried_or(&self, repetition: Option<Params>) -> Option<Params> {
        let Some(lattice) = Lattice::of_finite(&self.space) else {
            return repetition;
        };
        let mut search = lattice.find(|params| !self.has(params));
        if matches!(search, Search::Exhausted) && !self.sets().failed.is_empty() {
            search = lattice.find(|params| self.sets().failed.contains(&self.key(params).rest));
        }
        match search {
            Search::Found(params) => Some(params),
            Search::Exhausted => None,
            Search::Unfinished => repetition,
        }
    }

    fn key(&self, params: &Params) -> Key {
        let unit = self.space.encode(params);
        let active = self.space.active(params);
        let mut hasher = DefaultHasher::new();
        let mut floats = Vec::new();
        for ((coordinate, is_active), is_real) in unit.iter().zip(active).zip(&self.is_real) {
            is_active.hash(&mut hasher);
            match (is_active, is_real) {
                (true, true) => floats.push((coordinate.clamp(0.0, 1.0) * PARTS).round() as u32),
                (true, false) => coordinate.to_bits().hash(&mut hasher),
                (false, _) => {}
            }
        }
        Key {
            rest: hasher.finish(),
            floats: floats.into(),
        }
    }
}

impl Sets {
    /// Enters the configuration of a trial.
    fn insert(&mut self, key: Key, has_failed: bool) {
        if key.floats.is_empty() {
            if !self.exact.insert(key.rest) {
                self.repeated.insert(key.rest);
            }
            self.settle(key.rest, has_failed);
            return;
        }
        let place = (key.rest, key.sum());
        match self.near.entry(place) {
            Entry::Vacant(vacant) => drop(vacant.insert(key.floats)),
            Entry::Occupied(mut others) => {
                let mut each = others.get().chunks_exact(key.floats.len());
                if !each.any(|other| other == key.floats.as_ref()) {
                    let all = [others.get().as_ref(), key.floats.as_ref()].concat();
                    others.insert(all.into());
                }
            }
        }
    }

    /// Notes whether a trial of a configuration without floats has failed.
    fn settle(&mut self, rest: u64, has_failed: bool) {
        if has_failed && !self.repeated.contains(&rest) {
            self.failed.insert(rest);
        } else {
            self.failed.remove(&rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::source::{Diagnostics, Section, Table};
    use swath_model::space::Value;
    use swath_model::study::{Exit, Failure, Origin};

    fn space(text: &str) -> Arc<Space> {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(text, &mut diagnostics);
        let section = Section::new("space", 0..0, table);
        Space::parse(section, None, &mut diagnostics)
            .unwrap()
            .into()
    }

    fn params(values: &[(&str, Value)]) -> Params {
        let values = values.iter().cloned();
        values
            .map(|(name, value)| (name.into(), value))
            .collect::<Params>()
    }

    fn seen(space: &Arc<Space>, tried: &[Params]) -> Seen {
        let mut seen = Seen::new(Arc::clone(space));
        for (id, params) in (1..).zip(tried) {
            let created = Event::Created {
                trial: TrialId(id),
                params: params.clone(),
                origin: Origin::Added,
                seed: 0,
            };
            seen.observe(&Study::default(), &created);
        }
        seen
    }

    #[test]
    fn floats_that_agree_in_six_digits_are_copies_on_both_sides_of_a_rounding_border() {
        let space =
            space("lr = { min = 1e-4, max = 1e-1, log = true }\nx = { min = -5.0, max = 10.0 }\n");
        let configuration =
            |lr: f64, x: f64| params(&[("lr", Value::Float(lr)), ("x", Value::Float(x))]);
        let seen = seen(&space, &[configuration(0.0123456, 3.0)]);
        assert!(seen.has(&configuration(0.0123456, 3.0)));
        assert!(seen.has(&configuration(0.01234561, 2.999_999)));
        assert!(seen.has(&configuration(0.01234559, 3.000_001)));
        assert!(!seen.has(&configuration(0.0123456, 3.001)));
        assert!(!seen.has(&configuration(0.012351, 3.0)));
    }

    #[test]
    fn trials_are_entered_when_the_set_is_asked_and_not_before() {
        let space = space("x = { min = 0.0, max = 1.0 }\n");
        let tried = [0.1, 0.2, 0.3].map(|x| space.decode(&[x]));
        let seen = seen(&space, &tried);
        assert_eq!(seen.sets.borrow().pending.len(), 3);
        assert!(seen.has(&tried[2]) && !seen.has(&space.decode(&[0.4])));
        assert_eq!(seen.sets.borrow().pending.len(), 0);
    }

    #[test]
    fn a_narrow_range_of_large_numbers_is_told_apart() {
        let space = space("x = { min = 1000000.0, max = 1000001.0 }\n");
        let seen = seen(&space, &[params(&[("x", Value::Float(1_000_000.2))])]);
        assert!(!seen.has(&params(&[("x", Value::Float(1_000_000.3))])));
    }

    #[test]
    fn inactive_parameters_constants_and_derived_values_do_not_matter() {
        let space = space(
            "kind = [\"a\", \"b\"]\nx = { min = 0.0, max = 1.0, when = \"kind == 'a'\" }\n\
             epochs = 9\n",
        );
        let tried = space.decode(&[0.75, 0.1]);
        assert_eq!(tried.get("x"), None);
        let seen = seen(&space, &[tried]);
        assert!(seen.has(&space.decode(&[0.99, 0.8])));
        assert!(!seen.has(&space.decode(&[0.1, 0.8])));
    }

    #[test]
    fn the_last_configuration_of_a_finite_space_is_found_and_then_none() {
        let space = space("a = [1, 2, 3]\nb = [true, false]\n");
        let all: Vec<Params> = [0.1, 0.4, 0.9]
            .iter()
            .flat_map(|a| [0.2, 0.7].map(|b| space.decode(&[*a, b])))
            .collect();
        let repetition = Some(all[0].clone());
        let five = seen(&space, &all[..5]);
        assert_eq!(five.untried_or(repetition.clone()), Some(all[5].clone()));
        assert_eq!(seen(&space, &all).untried_or(repetition), None);
    }

    #[test]
    fn a_configuration_that_failed_is_tried_once_more_before_a_space_is_exhausted() {
        let space = space("a = [1, 2]\n");
        let (one, two) = (space.decode(&[0.1]), space.decode(&[0.9]));
        let mut demo = Demo::new(&["a"]);
        let failure = || Exit::Failed(Failure::Code(1));
        let mut fail = |value: i64| {
            let trial = demo.start(&[("a", Value::Int(value))]);
            demo.end(trial, failure());
        };
        fail(1);
        fail(2);
        fail(2);
        let mut seen = Seen::new(Arc::clone(&space));
        let mut study = Study::default();
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            seen.observe(&study, &entry.event);
        }
        assert_eq!(seen.untried_or(Some(two)), Some(one.clone()));
        let entered = demo.entries.len();
        let copy = demo.start(&[("a", Value::Int(1))]);
        demo.end(copy, failure());
        for entry in &demo.entries[entered..] {
            study.apply(entry).unwrap();
            seen.observe(&study, &entry.event);
        }
        assert_eq!(seen.untried_or(Some(one)), None);
    }
}
