//! Keeps one shared copy of each name, however often a trial uses it.

use crate::space::Name;
use std::collections::HashSet;

/// Maximum number of shared names. Further names get a copy per use.
const MOST: usize = 10_000;

/// The names seen so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashSet<Name>,
    /// The names of the last line; the next line nearly always has the same.
    last: Vec<Name>,
}

impl Names {
    /// Returns the shared copy of `name`; `at` is its index in the line.
    pub(crate) fn shared(&mut self, at: usize, name: &str) -> Name {
        if let Some(guess) = self.last.get(at).filter(|guess| &***guess == name) {
            return guess.clone();
        }
        let shared = match self.known.get(name) {
            Some(known) => known.clone(),
            None => {
                let new = Name::from(name);
                if self.known.len() < MOST {
                    self.known.insert(new.clone());
                }
                new
            }
        };
        if at == self.last.len() {
            self.last.push(shared.clone());
        } else if let Some(place) = self.last.get_mut(at) {
            *place = shared.clone();
        }
        shared
    }
}
