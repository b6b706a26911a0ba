//! A map from names to values that takes little memory while it is small.

use crate::space::Name;
use crate::space::intern::InternedName;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Number of entries from which on the map is a tree. Insertion into the list costs time in
/// proportion to its length.
const MOST_LISTED: usize = 16;

/// A map in the order of its names.
///
/// A [`BTreeMap`] has room for eleven entries even if it has one, and a study may have 100,000
/// trials with a metric each. So few entries are kept in a sorted list, and only many in a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct NameMap<V>(Entries<V>);

#[derive(Debug, Clone, PartialEq)]
enum Entries<V> {
    Few(Vec<(Name, V)>),
    Many(BTreeMap<Name, V>),
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self(Entries::Few(Vec::new()))
    }
}

impl<V> NameMap<V> {
    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        match &self.0 {
            Entries::Few(list) => {
                let index = position(list, name).ok()?;
                list.get(index).map(|(_, value)| value)
            }
            Entries::Many(tree) => tree.get(name),
        }
    }

    /// Returns whether the map has a value for a name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the value of a name for changing it, after inserting `make()` if there was none.
    pub fn get_or_insert_with(&mut self, name: &Name, make: impl FnOnce() -> V) -> &mut V {
        if let Entries::Few(list) = &mut self.0
            && list.len() == MOST_LISTED
            && position(list, name).is_err()
        {
            self.0 = Entries::Many(list.drain(..).collect());
        }
        match &mut self.0 {
            Entries::Few(list) => {
                let index = position(list, name).unwrap_or_else(|index| {
                    // Most trials report one or two metrics, so no room for more is taken.
                    list.reserve_exact(1);
                    list.insert(index, (name.clone(), make()));
                    index
                });
                &mut list[index].1
            }
            Entries::Many(tree) => tree.entry(name.clone()).or_insert_with(make),
        }
    }

    /// Iterates over the names with their values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &V)> + Clone {
        let (list, tree) = match &self.0 {
            Entries::Few(list) => (list.as_slice(), None),
            Entries::Many(tree) => (&[][..], Some(tree)),
        };
        let listed = list.iter().map(|(name, value)| (name, value));
        listed.chain(tree.into_iter().flatten())
    }

    /// Iterates over the names in their order.
    pub fn keys(&self) -> impl Iterator<Item = &Name> + Clone {
        self.iter().map(|(name, _)| name)
    }

    /// Iterates over the values in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Returns the number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Few(list) => list.len(),
            Entries::Many(tree) => tree.len(),
        }
    }

    /// Returns whether the map has no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all names.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Returns the index of a name in a sorted list, or the index at which it belongs.
fn position<V>(list: &[(Name, V)], name: &str) -> Result<usize, usize> {
    list.binary_search_by(|(listed, _)| (**listed).cmp(name))
}

impl<V: Serialize> Serialize for NameMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for NameMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
            type Value = NameMap<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NameMap<V>, A::Error> {
                let mut entries = NameMap::default();
                while let Some((InternedName(name), value)) = map.next_entry()? {
                    entries.get_or_insert_with(&name, || value);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_any_size_is_ordered_and_survives_json() {
        for size in [0, 1, 2, MOST_LISTED, MOST_LISTED + 1, 1000] {
            let mut map = NameMap::default();
            // 7 has no common factor with the sizes, so each name occurs once, out of order.
            for index in (0..size).map(|index| index * 7 % size) {
                let name: Name = format!("m{index:04}").into();
                *map.get_or_insert_with(&name, || 0) += index;
                *map.get_or_insert_with(&name, || 0) += 1;
            }
            assert_eq!((map.len(), map.is_empty()), (size, size == 0));
            assert!(map.values().copied().eq(1..=size), "{map:?}");
            assert!(map.keys().is_sorted());
            assert_eq!(map.get("m0000").copied(), (size > 0).then_some(1));
            assert!(!map.contains_key("m9999"));
            let text = serde_json::to_string(&map).unwrap();
            let read: NameMap<usize> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, map);
        }
    }
}
