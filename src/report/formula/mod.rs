//! Columns as little expressions over one trial: `lr * 10`, `min(val_loss)`, `val_loss@10`, `best(acc) - last(acc)`.
//!
//! The language of `when` and constraints, and two things more: a [`Reducer`] over all reports of a trial, and `@` for the report at a step.

mod rewrite;

pub(crate) use rewrite::{Found, rewrite};

use crate::space::Value;
use crate::space::expr::{Expr, Type};
use std::collections::BTreeMap;

/// What makes one number of a trial's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    /// The smallest finite value.
    Min,
    /// The largest finite value.
    Max,
    /// The mean of the finite values.
    Mean,
    /// The median of the finite values.
    Median,
    /// The standard deviation of the finite values, with n − 1.
    Std,
    /// The first value.
    First,
    /// The last value.
    Last,
    /// The smallest or largest, whichever the objective wants.
    Best,
    /// How many times it was reported.
    Count,
}

impl Reducer {
    /// Every one, with its word.
    pub const ALL: [(&'static str, Self); 9] = [
        ("min", Self::Min),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("median", Self::Median),
        ("std", Self::Std),
        ("first", Self::First),
        ("last", Self::Last),
        ("best", Self::Best),
        ("count", Self::Count),
    ];

    /// Finds one by its word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, reducer)| *reducer)
    }

    /// Applies it to numbers in the order they came; `None` if they do not give one. `Best` needs to know what is good, so it gives none.
    #[must_use]
    pub fn of(self, numbers: &[f64]) -> Option<f64> {
        let finite = || numbers.iter().copied().filter(|number| number.is_finite());
        match self {
            Self::Min => finite().reduce(f64::min),
            Self::Max => finite().reduce(f64::max),
            Self::First => numbers.first().copied(),
            Self::Last => numbers.last().copied(),
            Self::Count => Some(numbers.len() as f64),
            Self::Best => None,
            Self::Mean => {
                crate::numerics::sample::Sample::of(&finite().collect::<Vec<_>>()).map(|sample| sample.mean)
            }
            Self::Std => crate::numerics::sample::Sample::of(&finite().collect::<Vec<_>>())
                .filter(|sample| sample.n > 1)
                .map(|sample| sample.std),
            Self::Median => median(finite().collect()),
        }
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { 0.5 * (numbers[middle - 1] + upper) })
}

/// What is asked of the reports of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// One number made of all of them.
    Reduce(Reducer),
    /// The one at this step.
    At(f64),
}

/// Where a formula finds the values of one trial.
pub trait Cells {
    /// Returns what a name stands for, `None` if it is absent there.
    fn value(&self, name: &str) -> Option<Value>;
    /// Returns what the reports under that name give.
    fn ask(&self, ask: Ask, name: &str) -> Option<f64>;
}

/// A parsed column.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    text: String,
    expr: Expr,
    asks: BTreeMap<String, (Ask, String)>,
}

/// What is wrong with a formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {message}")]
pub struct FormulaError {
    /// The formula.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Formula {
    /// Parses a text. One that is a known name as it stands is that name, whatever it is made of.
    ///
    /// # Errors
    /// The first mistake of syntax.
    pub fn parse(text: &str, known: &dyn Fn(&str) -> bool) -> Result<Self, FormulaError> {
        let text = text.trim();
        let mut asks = BTreeMap::new();
        let whole = known(text) && !text.contains('`');
        let plain = if whole {
            format!("`{text}`")
        } else {
            rewrite(text, &mut |word, rest| {
                let (ask, name, length) = asked(word, rest)?;
                let key = match ask {
                    Ask::At(step) => format!("{name}@{step}"),
                    Ask::Reduce(_) => format!("{word}({name})"),
                };
                let replaced = format!("`{key}`");
                asks.insert(key, (ask, name));
                Some(Found { text: replaced, length })
            })
        };
        let expr = Expr::parse(&plain).map_err(|error| FormulaError {
            text: text.to_owned(),
            message: error.message,
            hint: error.hint,
        })?;
        Ok(Self { text: text.to_owned(), expr, asks })
    }

    /// Returns the text it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the name it is, if it is nothing but a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = self.expr.names().next()?;
        let bare = self.text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).unwrap_or(&self.text);
        (name == bare && !self.asks.contains_key(name)).then_some(name)
    }

    /// Returns every name it looks at.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let plain = self.expr.names().filter(|name| !self.asks.contains_key(*name));
        plain.chain(self.asks.values().map(|(_, name)| name.as_str()))
    }

    /// Returns what it asks of the reports.
    pub fn asks(&self) -> impl Iterator<Item = (Ask, &str)> {
        self.asks.values().map(|(ask, name)| (*ask, name.as_str()))
    }

    /// Finds operations that cannot work, whatever the names stand for; returns the type of the result.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<Type, FormulaError> {
        let scope = |name: &str| Some(if self.asks.contains_key(name) { Type::Number } else { Type::Any });
        self.expr.check(&scope).map_err(|error| FormulaError {
            text: self.text.clone(),
            message: error.message,
            hint: error.hint,
        })
    }

    /// Computes it for one trial, `None` if it is absent there or cannot be computed.
    #[must_use]
    pub fn value(&self, cells: &dyn Cells) -> Option<Value> {
        let scope = |name: &str| match self.asks.get(name) {
            Some((ask, name)) => cells.ask(*ask, name).map(Value::Float),
            None => cells.value(name),
        };
        self.expr.eval(&scope).ok()
    }

    /// Computes it for one trial as a number.
    #[must_use]
    pub fn number(&self, cells: &dyn Cells) -> Option<f64> {
        self.value(cells)?.as_f64()
    }

    /// Says whether it is true of one trial.
    #[must_use]
    pub fn holds(&self, cells: &dyn Cells) -> bool {
        self.value(cells) == Some(Value::Bool(true))
    }
}

/// Understands `word@10` and `reducer(name)`, of which `rest` stands behind the word; returns how much of it belongs.
fn asked(word: &str, rest: &str) -> Option<(Ask, String, usize)> {
    let bare = word.trim_matches('`');
    if let Some(behind) = rest.strip_prefix('@') {
        let end = behind.find(|char: char| !(char.is_ascii_digit() || char == '.')).unwrap_or(behind.len());
        let step: f64 = behind[..end].parse().ok()?;
        return Some((Ask::At(step), bare.to_owned(), end + 1));
    }
    let reducer = Reducer::named(word)?;
    let inside = rest.trim_start().strip_prefix('(')?;
    let close = inside.find([')', '('])?;
    if !inside[close..].starts_with(')') {
        return None;
    }
    let length = rest.len() - inside.len() + close + 1;
    let name = inside[..close].trim();
    let quoted = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
    let simple = || {
        name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '.'))
            && !name.starts_with(|char: char| char.is_ascii_digit())
    };
    match quoted {
        Some(name) if !name.contains('`') => Some((Ask::Reduce(reducer), name.to_owned(), length)),
        None if !name.is_empty() && simple() => Some((Ask::Reduce(reducer), name.to_owned(), length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Cells, Formula, Reducer};
    use crate::space::Value;
    use proptest::prelude::*;

    struct One;

    impl Cells for One {
        fn value(&self, name: &str) -> Option<Value> {
            match name {
                "lr" => Some(Value::Float(0.5)),
                "Val Loss" => Some(Value::Int(3)),
                "optimizer" => Some(Value::Text("sgd".into())),
                _ => None,
            }
        }
        fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
            match (ask, name) {
                (Ask::At(step), "acc") => Some(step / 100.0),
                (Ask::Reduce(reducer), "acc" | "val-acc") => reducer.of(&[0.1, 0.4, 0.2]),
                _ => None,
            }
        }
    }

    fn value(text: &str) -> Option<String> {
        let known = |name: &str| name == "Val Loss";
        Formula::parse(text, &known).unwrap().value(&One).map(|value| value.to_string())
    }

    #[test]
    fn reports_are_reduced_or_taken_at_a_step() {
        assert_eq!(value("max(acc) - last(acc)").as_deref(), Some("0.2"));
        assert_eq!(value("acc@10 * 2").as_deref(), Some("0.2"));
        assert_eq!(value("count( `val-acc` ) + `val-acc`@3").as_deref(), None);
        assert_eq!(value("median(acc)").as_deref(), Some("0.2"));
        assert_eq!(value("min(lr, 3)").as_deref(), Some("0.5"));
        assert_eq!(value("round(max(acc) * 10)").as_deref(), Some("4"));
    }

    #[test]
    fn text_in_quotes_is_left_alone_and_a_column_may_be_called_anything() {
        assert_eq!(value("optimizer == 'last(acc)@3'").as_deref(), Some("false"));
        assert_eq!(value("Val Loss").as_deref(), Some("3"));
        assert_eq!(value("missing"), None);
    }

    #[test]
    fn its_names_are_known_before_it_is_computed() {
        let formula = Formula::parse("min(acc) + loss@3 + lr", &|_| false).unwrap();
        let mut names: Vec<_> = formula.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["acc", "loss", "lr"]);
        assert_eq!((formula.name(), Formula::parse("lr", &|_| false).unwrap().name()), (None, Some("lr")));
        assert!(Formula::parse("min(acc", &|_| false).is_err());
        assert!(Formula::parse("last(acc) == 'x'", &|_| false).unwrap().check().is_err());
    }

    #[test]
    fn numbers_that_are_not_finite_are_neither_smallest_nor_in_the_mean() {
        let numbers = [f64::NAN, 2.0, f64::NEG_INFINITY, 4.0];
        assert_eq!(Reducer::Min.of(&numbers), Some(2.0));
        assert_eq!(Reducer::Mean.of(&numbers), Some(3.0));
        assert_eq!(Reducer::Std.of(&[1.0]), None);
        assert_eq!(Reducer::Median.of(&[]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z(@)`'.0-9 ,+é]{0,24}") {
            if let Ok(formula) = Formula::parse(&text, &|_| false) {
                let _ = formula.value(&One);
            }
        }
    }
}
