//! Assertions about a study: `best(val_loss) < 0.3`, `mean(acc@10) > 0.9 and failed == 0`.
//!
//! The functions of an assertion reduce the complete trials of one source to a number. Their
//! argument is an expression over one trial, as for a column.

use super::source::{Row, Source};
use crate::formula::{Cells, Formula, FormulaError, Names, Reducer};
use swath_model::space::Value;
use swath_model::space::expr::{Expr, Type};
use swath_model::study::Goal;

/// Names of the counts that an assertion can use.
const COUNTS: [&str; 6] = [
    "trials", "complete", "stopped", "failed", "invalid", "running",
];

/// A parsed assertion.
pub struct Assertion {
    text: String,
    expr: Expr,
    columns: Vec<(Reducer, Formula)>,
}

/// Result of an assertion.
pub struct Outcome {
    /// Whether the assertion holds. `None` if it has no value, which counts as a failure.
    pub holds: Option<bool>,
    /// The values of its functions and counts, for a message: `best(val_loss) = 0.41`. `None` where
    /// a part has no value.
    pub parts: Vec<(String, Option<f64>)>,
}

impl Assertion {
    /// Parses the text of an assertion. `names` are the columns of the sources.
    ///
    /// # Errors
    /// The first mistake: a syntax error, a question about the reports of a single trial, an
    /// unknown name, or a result that is not boolean.
    pub fn parse(text: &str, names: &Names) -> Result<Self, FormulaError> {
        let expr =
            Expr::parse_over_trials(text, names).map_err(|error| FormulaError::of(text, error))?;
        if let Some((ask, name)) = expr.asks().next() {
            let question = ask.of(name);
            let hint = format!("write `mean({question})`, or another function over the trials");
            return Err(FormulaError::new(
                text,
                format!("`{question}` is a value of one trial, not of all"),
                Some(hint),
            ));
        }
        match expr.check(&|name| COUNTS.contains(&name).then_some(Type::Number)) {
            Ok(Type::Bool) => {}
            Ok(_) => {
                return Err(FormulaError::new(
                    text,
                    "is neither true nor false",
                    Some("write `best(val_loss) < 0.3`".into()),
                ));
            }
            Err(error) => {
                let hint = format!(
                    "functions over the trials are best, min, max, mean, median, std, count; \
                     counts are {}",
                    COUNTS.join(", ")
                );
                return Err(FormulaError::new(
                    text,
                    error.message,
                    error.hint.or(Some(hint)),
                ));
            }
        }
        let columns = expr
            .columns()
            .map(|(reducer, column)| (reducer, Formula::of(column)))
            .collect();
        Ok(Self {
            text: text.to_owned(),
            expr,
            columns,
        })
    }

    /// Returns the text of the assertion.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the columns that the assertion reads.
    pub fn formulas(&self) -> impl Iterator<Item = &Formula> {
        self.columns.iter().map(|(_, formula)| formula)
    }

    /// Evaluates the assertion on the rows of one source that fulfil `condition`. `goal_of` tells
    /// whether `best` of a column is its smallest or its largest value.
    #[must_use]
    pub fn check(
        &self,
        source: &Source,
        condition: Option<&Formula>,
        goal_of: &dyn Fn(&Formula) -> Option<Goal>,
    ) -> Outcome {
        let rows: Vec<Row<'_>> = source
            .rows()
            .filter(|row| condition.is_none_or(|condition| condition.holds(row)))
            .collect();
        // Counts are taken over all rows; functions only over the complete ones.
        let states: Vec<String> = rows.iter().map(Row::state).collect();
        let complete: Vec<&Row<'_>> = rows
            .iter()
            .zip(&states)
            .filter(|(_, state)| *state == "complete")
            .map(|(row, _)| row)
            .collect();
        let reduced: Vec<Option<f64>> = self
            .columns
            .iter()
            .map(|(reducer, formula)| {
                let numbers: Vec<f64> = complete
                    .iter()
                    .filter_map(|row| formula.number(*row))
                    .collect();
                let reducer = match (reducer, goal_of(formula)) {
                    (Reducer::Best, Some(Goal::Min)) => Reducer::Min,
                    (Reducer::Best, Some(Goal::Max)) => Reducer::Max,
                    (other, _) => *other,
                };
                reducer.of(&numbers)
            })
            .collect();
        let totals = Totals {
            columns: &self.columns,
            reduced: &reduced,
            states: &states,
        };
        let mut parts: Vec<(String, Option<f64>)> = self
            .columns
            .iter()
            .map(|(reducer, formula)| format!("{}({})", reducer.word(), formula.text()))
            .zip(reduced.iter().copied())
            .collect();
        for name in self.expr.names().filter(|name| COUNTS.contains(name)) {
            parts.push((
                name.to_owned(),
                totals.value(name).and_then(|count| count.as_f64()),
            ));
        }
        // A missing part makes the outcome unknown, even if a short circuit would give a result.
        let is_complete = parts.iter().all(|(_, number)| number.is_some());
        let holds = match self.expr.eval_in(&totals) {
            Ok(Value::Bool(holds)) if is_complete => Some(holds),
            _ => None,
        };
        Outcome { holds, parts }
    }
}

/// Values of an assertion over all trials: the results of its functions, and the states for its
/// counts.
struct Totals<'a> {
    columns: &'a [(Reducer, Formula)],
    reduced: &'a [Option<f64>],
    states: &'a [String],
}

impl Cells for Totals<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let count = match name {
            "trials" => self.states.len(),
            word => self.states.iter().filter(|state| *state == word).count(),
        };
        Some(Value::Float(count as f64))
    }

    fn over(&self, reducer: Reducer, column: &Expr) -> Option<f64> {
        let index = self.columns.iter().position(|(own_reducer, formula)| {
            *own_reducer == reducer && formula.text() == column.text()
        })?;
        self.reduced.get(index).copied().flatten()
    }
}
