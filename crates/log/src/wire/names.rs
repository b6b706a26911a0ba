//! Keeps one shared copy of each name, however often a trial uses it.

use std::collections::HashSet;
use swath_model::space::Name;

/// Maximum number of shared names. Further names get a copy per use.
const MOST: usize = 10_000;

/// The names seen so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: HashSet<Name>,
    /// The names of the last line; the next line nearly always has the same.
    last: Vec<Name>,
}

impl Names {
    /// Returns the shared copy of `name`; `index` is its position in the line.
    pub(crate) fn shared(&mut self, index: usize, name: &str) -> Name {
        if let Some(guess) = self.last.get(index).filter(|guess| &***guess == name) {
            return guess.clone();
        }
        let shared = match self.names.get(name) {
            Some(shared) => shared.clone(),
            None => {
                let new = Name::from(name);
                if self.names.len() < MOST {
                    self.names.insert(new.clone());
                }
                new
            }
        };
        if index == self.last.len() {
            self.last.push(shared.clone());
        } else if let Some(last) = self.last.get_mut(index) {
            *last = shared.clone();
        }
        shared
    }
}
