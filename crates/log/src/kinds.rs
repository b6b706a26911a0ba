//! Detects reported keys that are a number in one report and another type in a later one; warns
//! once per key.

use crate::space::Name;
use crate::study::Datum;

/// Maximum number of keys that are checked. Further keys are not checked.
const MANY: usize = 200;

/// The first type of each key, in the order in which the keys first appeared.
#[derive(Default)]
pub(super) struct Kinds(Vec<Key>);

/// A key, and whether the warning about it was given.
struct Key {
    name: Name,
    /// The first type, in words.
    first: &'static str,
    told: bool,
}

impl Kinds {
    /// Checks a report against the earlier ones; returns the text of a warning if a key changed its
    /// type.
    pub(super) fn look(&mut self, values: &[(Name, Datum)]) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        for (at, (name, datum)) in values.iter().enumerate() {
            // Reports nearly always have the same keys in the same order.
            let likely = self.0.get(at).is_some_and(|known| known.name == *name);
            // Beyond the checked keys a search would find nothing, at a cost for each value.
            let is_searched = !likely && (at < MANY || values.len() <= MANY);
            let searched = || self.0.iter().position(|known| known.name == *name);
            let at = if is_searched {
                searched()
            } else {
                likely.then_some(at)
            };
            let Some(known) = at.map(|at| &mut self.0[at]) else {
                if self.0.len() < MANY {
                    self.0.push(Key {
                        name: name.clone(),
                        first: word(datum),
                        told: false,
                    });
                }
                continue;
            };
            if !known.told && known.first != word(datum) {
                known.told = true;
                said.push(format!(
                    "`{name}` was {} and is {} here",
                    known.first,
                    word(datum)
                ));
            }
        }
        let said = said.join(", ");
        (!said.is_empty()).then(|| {
            format!("{said}; both are kept, but only numbers are compared: give one of them another name")
        })
    }
}

fn word(datum: &Datum) -> &'static str {
    match datum {
        Datum::Number(_) => "a number",
        Datum::Flag(_) => "true or false",
        Datum::Text(_) => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Metric;

    #[test]
    fn two_kinds_under_one_key_are_told_once() {
        let mut kinds = Kinds::default();
        let number = |name: &str| (Name::from(name), Datum::Number(Metric(0.5)));
        let text = |name: &str| (Name::from(name), Datum::Text("good".into()));
        assert_eq!(kinds.look(&[number("loss"), text("mood")]), None);
        assert_eq!(
            kinds.look(&[text("mood"), number("loss")]),
            None,
            "in another order"
        );
        let said = kinds.look(&[number("loss"), number("mood")]).unwrap();
        assert!(
            said.starts_with("`mood` was a text and is a number here; both are kept"),
            "{said}"
        );
        assert_eq!(kinds.look(&[number("loss"), number("mood")]), None, "once");
    }
}
