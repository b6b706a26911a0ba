//! Interning of texts that repeat while studies are read, so that each is stored once instead of
//! once per trial.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Maximum number of texts that a thread keeps.
const CAPACITY: usize = 64;

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { texts: Vec::new(), next: 0 }) };
}

/// Recently read texts, and the index of the text that follows if they repeat in the same order.
struct Recent {
    texts: Vec<Arc<str>>,
    next: usize,
}

impl Recent {
    fn find(&mut self, text: &str) -> Arc<str> {
        // Trials have their parameters in the same order, so the next text is usually a hit.
        let is_next = self
            .texts
            .get(self.next)
            .is_some_and(|next| **next == *text);
        let stored = if is_next {
            Some(self.next)
        } else {
            self.texts.iter().position(|stored| **stored == *text)
        };
        let index = stored.unwrap_or_else(|| {
            if self.texts.len() < CAPACITY {
                self.texts.push(text.into());
                self.texts.len() - 1
            } else {
                // The store is full, so the text that was expected next is replaced.
                self.texts[self.next % CAPACITY] = text.into();
                self.next % CAPACITY
            }
        });
        self.next = index + 1;
        Arc::clone(&self.texts[index])
    }
}

/// Returns the text as an [`Arc`], shared with equal texts read recently by this thread.
#[must_use]
pub fn intern(text: &str) -> Arc<str> {
    RECENT.with_borrow_mut(|recent| recent.find(text))
}

/// A deserialized name that shares its memory with equal names.
pub(crate) struct InternedName(pub(crate) Arc<str>);

impl<'de> Deserialize<'de> for InternedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = InternedName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, text: &str) -> Result<InternedName, E> {
                Ok(InternedName(intern(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Deserializes an object with interned names, for `#[serde(deserialize_with)]`.
pub(crate) fn interned_map<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Arc<str>, V>, D::Error> {
    struct MapVisitor<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
        type Value = BTreeMap<Arc<str>, V>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((InternedName(name), value)) = map.next_entry()? {
                entries.insert(name, value);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(MapVisitor(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_old_ones_are_forgotten() {
        let first = intern("lr");
        assert!(Arc::ptr_eq(&first, &intern("lr")));
        let many: Vec<_> = (0..1000)
            .map(|index| intern(&format!("x{index}")))
            .collect();
        assert!(
            many.iter()
                .enumerate()
                .all(|(index, text)| **text == *format!("x{index}"))
        );
        assert!(Arc::strong_count(&many[0]) == 1 && *intern("lr") == *first);
        let read: BTreeMap<Arc<str>, u8> = interned_map(&mut serde_json::Deserializer::from_str(
            r#"{"a": 1, "b": 2}"#,
        ))
        .unwrap();
        assert_eq!(read, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    }
}
