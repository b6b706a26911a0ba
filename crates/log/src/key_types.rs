//! Detects reported keys that are a number in one report and another type in a later one; warns
//! once per key.

use swath_model::space::Name;
use swath_model::study::Datum;

/// Maximum number of keys that are checked. Further keys are not checked.
const MANY: usize = 200;

/// The first type of each key, in the order in which the keys first appeared.
#[derive(Default)]
pub(super) struct KeyTypes(Vec<Key>);

/// A key, and whether the warning about it was given.
struct Key {
    name: Name,
    /// The first type, in words.
    first: &'static str,
    is_warned: bool,
}

impl KeyTypes {
    /// Checks a report against the earlier ones; returns the text of a warning if a key changed its
    /// type.
    pub(super) fn check(&mut self, values: &[(Name, Datum)]) -> Option<String> {
        let mut changes: Vec<String> = Vec::new();
        for (index, (name, datum)) in values.iter().enumerate() {
            // Beyond the checked keys a search would find nothing, at a cost for each value.
            let is_searched = index < MANY || values.len() <= MANY;
            let Some(key) = self.key(index, name, is_searched) else {
                self.add(name, datum);
                continue;
            };
            let (first, now) = (key.first, type_in_words(datum));
            if first != now && !std::mem::replace(&mut key.is_warned, true) {
                changes.push(format!("`{name}` was {first} and is {now} here"));
            }
        }
        if changes.is_empty() {
            return None;
        }
        Some(format!(
            "{}; both are kept, but only numbers are compared: give one of them another name",
            changes.join(", ")
        ))
    }

    /// Returns the key with this name. Reports nearly always have the same keys in the same order,
    /// so the one at `index` is tried first.
    fn key(&mut self, index: usize, name: &Name, is_searched: bool) -> Option<&mut Key> {
        let is_guessed = self.0.get(index).is_some_and(|key| key.name == *name);
        let index = if is_guessed {
            index
        } else if is_searched {
            self.0.iter().position(|key| key.name == *name)?
        } else {
            return None;
        };
        self.0.get_mut(index)
    }

    fn add(&mut self, name: &Name, datum: &Datum) {
        if self.0.len() < MANY {
            self.0.push(Key {
                name: name.clone(),
                first: type_in_words(datum),
                is_warned: false,
            });
        }
    }
}

fn type_in_words(datum: &Datum) -> &'static str {
    match datum {
        Datum::Number(_) => "a number",
        Datum::Flag(_) => "true or false",
        Datum::Text(_) => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::study::Metric;

    fn number(name: &str) -> (Name, Datum) {
        (name.into(), Datum::Number(Metric(0.5)))
    }

    fn text(name: &str) -> (Name, Datum) {
        (name.into(), Datum::Text("good".into()))
    }

    #[test]
    fn two_types_of_one_key_are_warned_of_once() {
        let mut key_types = KeyTypes::default();
        assert_eq!(key_types.check(&[number("loss"), text("mood")]), None);
        assert_eq!(
            key_types.check(&[text("mood"), number("loss")]),
            None,
            "in another order"
        );
        let warning = key_types.check(&[number("loss"), number("mood")]).unwrap();
        assert!(
            warning.starts_with("`mood` was a text and is a number here; both are kept"),
            "{warning}"
        );
        assert_eq!(
            key_types.check(&[number("loss"), number("mood")]),
            None,
            "once"
        );
    }
}
