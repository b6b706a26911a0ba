//! The set of configurations that a study already has, compared by value.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use swath_model::space::{Params, Space, Value};
use swath_model::study::{Event, Study};

/// The set of configurations that the trials of a study have, in whatever state the trials are.
///
/// Only a hash of 64 bits is kept of each configuration: 16 bytes a trial or less. In a study of a
/// million trials, a configuration is taken for a tried one by mistake with a probability of 1 in
/// 10¹³.
#[derive(Debug, Default)]
pub struct Seen(HashSet<u64>);

impl Seen {
    /// Updates the set from an event that `study` has just applied: adds the configuration of a new
    /// trial, and rebuilds the set when trials were edited, removed or restored. Call it for every
    /// event, in [`Sampler::observe`](super::Sampler::observe).
    pub fn observe(&mut self, study: &Study, event: &Event) {
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

    /// Returns whether a trial has exactly these parameter values. Floats are compared bit by bit.
    #[must_use]
    pub fn has(&self, params: &Params) -> bool {
        self.0.contains(&fingerprint(params))
    }

    /// Returns the number of distinct configurations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the study has no trials.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether as many configurations were tried as a finite space has, before constraints;
    /// `false` for a space with a continuous parameter.
    #[must_use]
    pub fn covers(&self, space: &Space) -> bool {
        let size = space.size();
        size.is_some_and(|size| self.0.len() as u64 >= size)
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
