//! A reported key that is a number in one report and something else in another: said once a key.

use crate::space::Name;
use crate::study::Datum;

/// How many keys are watched; who reports more has other worries.
const MANY: usize = 200;

/// What each key was when it came first, in the order they came.
#[derive(Default)]
pub(super) struct Kinds(Vec<Key>);

/// One key, and whether it was said that it is not always the same.
struct Key {
    name: Name,
    /// In words.
    first: &'static str,
    told: bool,
}

impl Kinds {
    /// Looks at a report; returns what is to be said of it.
    pub(super) fn look(&mut self, values: &[(Name, Datum)]) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        for (at, (name, datum)) in values.iter().enumerate() {
            // Reports have the same keys in the same order, nearly always.
            let likely = self.0.get(at).is_some_and(|known| known.name == *name);
            // Beyond the watched keys a search would find nothing, at a cost for each value.
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
