//! Finds a name among the values of one line, at the same cost however many there are.

use crate::space::Name;
use std::collections::HashMap;

/// Up to this many names are compared one by one, which is cheaper than hashing them.
const FEW: usize = 32;

/// The places of the names of one line. Each name is in the line once.
#[derive(Debug, Default)]
pub(in crate::logger) struct Places(HashMap<Name, usize>);

impl Places {
    /// Forgets the names of the line before.
    pub(in crate::logger) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the place of `name` among `entries`, to which entries are only ever added.
    pub(in crate::logger) fn find<T>(
        &mut self,
        entries: &[(Name, T)],
        name: &Name,
    ) -> Option<usize> {
        if entries.len() <= FEW {
            return entries.iter().position(|(entry, _)| entry == name);
        }
        let hashed = self.0.len();
        for (at, (entry, _)) in entries.iter().enumerate().skip(hashed) {
            self.0.insert(entry.clone(), at);
        }
        self.0.get(name).copied()
    }
}
