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
const MANY: usize = 64;

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
        let likely = self
            .texts
            .get(self.next)
            .is_some_and(|next| **next == *text);
        let found = if likely {
            Some(self.next)
        } else {
            self.texts.iter().position(|known| **known == *text)
        };
        let at = found.unwrap_or_else(|| {
            if self.texts.len() < MANY {
                self.texts.push(text.into());
                self.texts.len() - 1
            } else {
                // The store is full, so the text that was expected next is replaced.
                self.texts[self.next % MANY] = text.into();
                self.next % MANY
            }
        });
        self.next = at + 1;
        Arc::clone(&self.texts[at])
    }
}

/// Returns the text as an [`Arc`], shared with equal texts read recently by this thread.
pub(super) fn known(text: &str) -> Arc<str> {
    RECENT.with_borrow_mut(|recent| recent.find(text))
}

/// A deserialized name that shares its memory with equal names.
pub(crate) struct Known(pub(crate) Arc<str>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Known;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, text: &str) -> Result<Known, E> {
                Ok(Known(known(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Deserializes an object with interned names, for `#[serde(deserialize_with)]`.
pub(crate) fn by_name<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Arc<str>, V>, D::Error> {
    struct Entries<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
        type Value = BTreeMap<Arc<str>, V>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((Known(name), value)) = map.next_entry()? {
                entries.insert(name, value);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Entries(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_old_ones_are_forgotten() {
        let first = known("lr");
        assert!(Arc::ptr_eq(&first, &known("lr")));
        let many: Vec<_> = (0..1000).map(|at| known(&format!("x{at}"))).collect();
        assert!(
            many.iter()
                .enumerate()
                .all(|(at, text)| **text == *format!("x{at}"))
        );
        assert!(Arc::strong_count(&many[0]) == 1 && *known("lr") == *first);
        let read: BTreeMap<Arc<str>, u8> = by_name(&mut serde_json::Deserializer::from_str(
            r#"{"a": 1, "b": 2}"#,
        ))
        .unwrap();
        assert_eq!(read, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    }
}
