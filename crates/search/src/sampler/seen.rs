//! The set of configurations that a study already has, compared by value.

use crate::space::{Params, Value};
use crate::study::{Event, Study};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A 64-bit hash of every configuration of a study.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<u64>);

impl Seen {
    /// Adds the configuration of a new trial. Rebuilds the set when trials were edited, removed or
    /// restored.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Created { params, .. } => drop(self.0.insert(fingerprint(params))),
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.0 = study
                    .trials()
                    .iter()
                    .map(|trial| fingerprint(&trial.params))
                    .collect();
            }
            _ => {}
        }
    }

    /// Returns whether a trial with these parameter values exists.
    pub(super) fn has(&self, params: &Params) -> bool {
        self.0.contains(&fingerprint(params))
    }

    /// Returns the number of distinct configurations.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns a hash over the names and values of all parameters, in map order.
fn fingerprint(params: &Params) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in params {
        name.hash(&mut hasher);
        hash(value, &mut hasher);
    }
    hasher.finish()
}

/// Feeds a value and its type into `hasher`; floats are compared bit by bit.
fn hash(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Bool(flag) => flag.hash(hasher),
        Value::Int(number) => number.hash(hasher),
        Value::Float(number) => number.to_bits().hash(hasher),
        Value::Text(text) => text.hash(hasher),
        Value::List(list) => {
            list.len().hash(hasher);
            list.iter().for_each(|item| hash(item, hasher));
        }
    }
}
