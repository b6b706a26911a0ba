//! What a person expects of a study: `best(val_loss) < 0.3`, `mean(acc@10) > 0.9 and failed == 0`.
//!
//! Here the functions run over the complete trials of one source; within them stands a column as elsewhere.

use super::source::{Row, Source};
use crate::report::formula::{Formula, FormulaError, Found, Reducer, rewrite};
use crate::space::Value;
use crate::space::expr::{Expr, Type};
use crate::study::Goal;
use std::collections::BTreeMap;

/// The counts that can be named.
const COUNTS: [&str; 5] = ["trials", "complete", "stopped", "failed", "running"];

/// Something that has to hold.
pub struct Assertion {
    text: String,
    expr: Expr,
    inner: BTreeMap<String, (Reducer, Formula)>,
}

/// What became of an assertion.
pub struct Outcome {
    /// Whether it holds; `None` if it cannot be told, which counts as not holding.
    pub holds: Option<bool>,
    /// What its parts came to, for a message: `best(val_loss) = 0.41`.
    pub parts: Vec<(String, Option<f64>)>,
}

impl Assertion {
    /// Parses a text.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str, known: &dyn Fn(&str) -> bool) -> Result<Self, FormulaError> {
        let wrong = |message: String, hint| FormulaError { text: text.to_owned(), message, hint };
        let mut inner = BTreeMap::new();
        let mut failed = None;
        let plain = rewrite(text, &mut |word, rest| {
            let reducer = Reducer::named(word)?;
            let inside = rest.trim_start().strip_prefix('(')?;
            let close = closing(inside)?;
            let asked = inside[..close].trim();
            // `min(1, best(loss))` is the function of the language.
            if asked.is_empty() || top_level_comma(asked) {
                return None;
            }
            match Formula::parse(asked, known) {
                Ok(formula) => {
                    let key = format!("{word}({asked})");
                    let text = format!("`{}`", key.replace('`', "'"));
                    inner.insert(key.replace('`', "'"), (reducer, formula));
                    Some(Found { text, length: rest.len() - inside.len() + close + 1 })
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    None
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let expr = Expr::parse(&plain).map_err(|error| wrong(error.message, error.hint))?;
        let scope = |name: &str| (inner.contains_key(name) || COUNTS.contains(&name)).then_some(Type::Number);
        match expr.check(&scope) {
            Ok(Type::Bool) => {}
            Ok(_) => {
                return Err(wrong(
                    "is neither true nor false".into(),
                    Some("write `best(val_loss) < 0.3`".into()),
                ));
            }
            Err(error) => {
                let hint = format!(
                    "functions over the trials are best, min, max, mean, median, std, count; counts are {}",
                    COUNTS.join(", ")
                );
                return Err(wrong(error.message, error.hint.or(Some(hint))));
            }
        }
        Ok(Self { text: text.to_owned(), expr, inner })
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the columns it looks at.
    pub fn formulas(&self) -> impl Iterator<Item = &Formula> {
        self.inner.values().map(|(_, formula)| formula)
    }

    /// Checks it for the rows of one source for which `condition` holds.
    #[must_use]
    pub fn check(
        &self,
        source: &Source,
        condition: Option<&Formula>,
        goal_of: &dyn Fn(&Formula) -> Option<Goal>,
    ) -> Outcome {
        let rows: Vec<Row<'_>> =
            source.rows().filter(|row| condition.is_none_or(|condition| condition.holds(row))).collect();
        let states: Vec<String> = rows.iter().map(Row::state).collect();
        let complete: Vec<&Row<'_>> =
            rows.iter().zip(&states).filter(|(_, state)| *state == "complete").map(|(row, _)| row).collect();
        let mut parts: Vec<(String, Option<f64>)> = Vec::new();
        for (key, (reducer, formula)) in &self.inner {
            let numbers: Vec<f64> = complete.iter().filter_map(|row| formula.number(*row)).collect();
            let reducer = match (reducer, goal_of(formula)) {
                (Reducer::Best, Some(Goal::Min)) => Reducer::Min,
                (Reducer::Best, Some(Goal::Max)) => Reducer::Max,
                (other, _) => *other,
            };
            parts.push((key.clone(), reducer.of(&numbers)));
        }
        let count = |word: &str| match word {
            "trials" => rows.len() as f64,
            word => states.iter().filter(|state| *state == word).count() as f64,
        };
        for name in self.expr.names().filter(|name| COUNTS.contains(name)) {
            parts.push((name.to_owned(), Some(count(name))));
        }
        let scope = |name: &str| {
            parts.iter().find(|(key, _)| key == name).and_then(|(_, number)| number.map(Value::Float))
        };
        let known = parts.iter().all(|(_, number)| number.is_some());
        let holds = match self.expr.eval(&scope) {
            Ok(Value::Bool(holds)) if known => Some(holds),
            _ => None,
        };
        Outcome { holds, parts }
    }
}

/// Returns where the bracket closes that is open before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')') if depth == 0 => return Some(at),
            (None, ')' | ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Says whether a comma parts the text on its own level.
fn top_level_comma(text: &str) -> bool {
    let mut depth = 0;
    text.chars().any(|char| {
        match char {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        char == ',' && depth == 0
    })
}
