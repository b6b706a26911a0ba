//! Finds a name among the values of one line, at the same cost for any number of values.

use std::collections::HashMap;
use swath_model::space::Name;

/// Up to this number of names are compared one by one, which is cheaper than hashing them.
const FEW: usize = 32;

/// The indices of the names of one line. Each name occurs once.
#[derive(Debug, Default)]
pub(super) struct NameIndex(HashMap<Name, usize>);

impl NameIndex {
    /// Clears the names of the previous line.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the index of `name` in `entries`. Between two calls of [`clear`](Self::clear),
    /// entries may only be appended.
    pub(super) fn find<T>(&mut self, entries: &[(Name, T)], name: &Name) -> Option<usize> {
        if entries.len() <= FEW {
            return entries.iter().position(|(entry, _)| entry == name);
        }
        let hashed = self.0.len();
        for (index, (entry, _)) in entries.iter().enumerate().skip(hashed) {
            self.0.insert(entry.clone(), index);
        }
        self.0.get(name).copied()
    }
}
