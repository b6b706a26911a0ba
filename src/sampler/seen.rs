//! Which configurations a study already has, by their values.

use crate::space::{Params, Value};
use crate::study::{Event, Study};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The fingerprints of all configurations of a study; eight bytes each.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<u64>);

impl Seen {
    /// Learns what an event says about configurations.
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

    pub(super) fn has(&self, params: &Params) -> bool {
        self.0.contains(&fingerprint(params))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn fingerprint(params: &Params) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in params {
        name.hash(&mut hasher);
        hash(value, &mut hasher);
    }
    hasher.finish()
}

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
