//! Columns and conditions: expressions over one trial, such as `lr * 10`, `min(val_loss)`,
//! `val_loss@10`, `best(acc) - last(acc)`.
//!
//! The language is defined in [`swath_model::space::expr`]. `study` resolves names in a study and rejects
//! expressions that cannot have a value there. `history` holds the reports that an expression
//! needs.

mod history;
pub mod study;

pub use history::{ReportHistory, TrialCells};
pub use swath_model::space::expr::{Ask, Cells, Names, Reducer};

use swath_model::space::Value;
use swath_model::space::expr::{EvalError, Expr, ExprError, Type, in_back_quotes};

/// A parsed column or condition, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    text: String,
    expr: Expr,
}

/// Error in a formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {message}")]
pub struct FormulaError {
    /// The text of the formula.
    pub text: String,
    /// The error, as a fragment of a sentence.
    pub message: String,
    /// A hint for the user; `None` if there is no obvious one.
    pub hint: Option<String>,
}

impl FormulaError {
    /// Creates the error of a formula.
    pub fn new(text: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            text: text.to_owned(),
            message: message.into(),
            hint,
        }
    }

    /// Creates the error of a formula from that of its expression.
    pub(crate) fn of(text: &str, error: ExprError) -> Self {
        Self::new(text, error.message, error.hint)
    }
}

impl Formula {
    /// Parses a formula. A text that is a known name as a whole is taken as this name, even if it
    /// also looks like an expression.
    ///
    /// # Errors
    /// The first syntax error, or a name within the text that is also an expression of other names.
    pub fn parse(text: &str, names: &Names) -> Result<Self, FormulaError> {
        let text = text.trim();
        let parsed = if names.contains(text) {
            Ok(Expr::of_name(text))
        } else {
            Expr::parse_over_trial(text, names)
        };
        let expr = parsed.map_err(|error| FormulaError::of(text, error))?;
        Ok(Self {
            text: text.to_owned(),
            expr,
        })
    }

    /// Creates a formula from an expression over one trial.
    #[must_use]
    pub fn of(expr: &Expr) -> Self {
        Self {
            text: expr.text().to_owned(),
            expr: expr.clone(),
        }
    }

    /// Returns the text that the formula was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the name, if the formula is a single name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.expr.name()
    }

    /// Returns the question about reports and its metric, if the formula is a single such question.
    #[must_use]
    pub fn ask(&self) -> Option<(Ask, &str)> {
        self.expr.ask()
    }

    /// Returns all names in the formula, including the metrics of questions about reports.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.expr
            .names()
            .chain(self.expr.asks().map(|(_, name)| name))
    }

    /// Returns the names that stand for a single value of a trial.
    pub fn plain_names(&self) -> impl Iterator<Item = &str> {
        self.expr.names()
    }

    /// Returns all questions about reports, each with its metric.
    pub fn asks(&self) -> impl Iterator<Item = (Ask, &str)> {
        self.expr.asks()
    }

    /// Checks the types of all operations, given the types of the names. Returns the type of the
    /// result.
    ///
    /// # Errors
    /// The first mistake. If a known name is written in quotes, the hint shows how to write it as a
    /// name.
    pub fn check(
        &self,
        names: &Names,
        type_of: &dyn Fn(&str) -> Type,
    ) -> Result<Type, FormulaError> {
        let quoted = self
            .expr
            .texts()
            .into_iter()
            .find(|text| names.contains(text));
        let hint = quoted.map(|name| {
            format!(
                "quotes make a text; the name is written {}",
                in_back_quotes(name)
            )
        });
        match self.expr.check(&|name| Some(type_of(name))) {
            // A formula with nothing but such a text is valid, but never what the user meant.
            Ok(_) if hint.is_some() && self.names().next().is_none() => Err(FormulaError::new(
                &self.text,
                "names no parameter and no metric",
                hint,
            )),
            Ok(result) => Ok(result),
            Err(error) => {
                let hint = hint.or(error.hint);
                Err(FormulaError::new(&self.text, error.message, hint))
            }
        }
    }

    /// Computes the value for one trial. `None` if a name is absent there or the computation fails.
    #[must_use]
    pub fn value(&self, cells: &dyn Cells) -> Option<Value> {
        self.compute(cells).ok()
    }

    /// Computes the value for one trial.
    ///
    /// # Errors
    /// The reason why the formula has no value for the trial.
    pub fn compute(&self, cells: &dyn Cells) -> Result<Value, EvalError> {
        self.expr.eval_in(cells)
    }

    /// Computes the value for one trial as a number. `None` if it has no value, or one that is not
    /// a number.
    #[must_use]
    pub fn number(&self, cells: &dyn Cells) -> Option<f64> {
        self.value(cells)?.as_f64()
    }

    /// Returns whether the formula is true for one trial. A formula without a value is not.
    #[must_use]
    pub fn holds(&self, cells: &dyn Cells) -> bool {
        self.value(cells) == Some(Value::Bool(true))
    }
}

/// Splits a list at commas outside brackets and quotes. Parts are trimmed, and empty ones removed.
#[must_use]
pub fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (offset, char) in list.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&list[start..offset]);
                start = offset + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Ask, Cells, Formula, FormulaError, Names, Reducer, split};
    use proptest::prelude::*;
    use swath_model::space::Value;
    use swath_model::space::expr::Type;

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
                (Ask::AtBest, "acc") => Some(0.25),
                (Ask::Reduce(reducer), "acc" | "val-acc") => reducer.of(&[0.1, 0.4, 0.2]),
                _ => None,
            }
        }
    }

    fn names() -> Names {
        ["Val Loss", "val-acc", "lr", "acc"].into_iter().collect()
    }

    fn value(text: &str) -> Option<String> {
        Formula::parse(text, &names())
            .unwrap()
            .value(&One)
            .map(|value| value.to_string())
    }

    #[test]
    fn reports_are_reduced_or_taken_at_a_step() {
        assert_eq!(value("max(acc) - last(acc)").as_deref(), Some("0.2"));
        assert_eq!(value("acc@10 * 2").as_deref(), Some("0.2"));
        assert_eq!(value("acc@1e1").as_deref(), Some("0.1"));
        assert_eq!(value("at_best(acc)").as_deref(), Some("0.25"));
        assert_eq!(value("count( `val-acc` ) + `val-acc`@3").as_deref(), None);
        assert_eq!(value("count(val-acc)").as_deref(), Some("3.0"));
        assert_eq!(value("median(acc)").as_deref(), Some("0.2"));
        assert_eq!(value("min(lr, 3)").as_deref(), Some("0.5"));
        assert_eq!(value("min(max(acc), last(acc))").as_deref(), Some("0.2"));
        assert_eq!(value("round(max(acc) * 10)").as_deref(), Some("4"));
    }

    #[test]
    fn text_in_quotes_is_left_alone_and_a_column_may_be_called_anything() {
        assert_eq!(
            value("optimizer == 'last(acc)@3'").as_deref(),
            Some("false")
        );
        assert_eq!(value("Val Loss").as_deref(), Some("3"));
        assert_eq!(value("Val Loss > 2").as_deref(), Some("true"));
        assert_eq!(value("missing"), None);
    }

    fn parse(text: &str) -> Result<Formula, FormulaError> {
        Formula::parse(text, &names())
    }

    fn parse_error(text: &str) -> FormulaError {
        parse(text).unwrap_err()
    }

    fn check_hint(text: &str) -> Result<Type, Option<String>> {
        let formula = parse(text).unwrap();
        formula
            .check(&names(), &|_| Type::Number)
            .map_err(|error| error.hint)
    }

    #[test]
    fn the_names_of_a_formula_are_known_before_it_is_computed() {
        let formula = parse("min(acc) + loss@3 + lr").unwrap();
        let mut own_names: Vec<_> = formula.names().collect();
        own_names.sort_unstable();
        assert_eq!(own_names, ["acc", "loss", "lr"]);
        assert_eq!(
            (formula.name(), parse("`lr`").unwrap().name()),
            (None, Some("lr"))
        );
        assert_eq!(
            parse("min(acc)").unwrap().ask(),
            Some((Ask::Reduce(Reducer::Min), "acc"))
        );
        assert!(parse("min(acc").is_err());
        let text = parse("last(acc) == 'x'").unwrap();
        assert!(text.check(&names(), &|_| Type::Any).is_err());
    }

    #[test]
    fn a_function_over_reports_takes_a_name_and_a_step_is_a_number() {
        assert_eq!(
            parse_error("mean(lr * 2)").message,
            "`mean` takes the name of a metric"
        );
        assert_eq!(parse_error("acc@x").message, "expected a step after `@`");
        assert_eq!(
            parse_error("mena(acc)").hint.as_deref(),
            Some("did you mean `mean`?")
        );
    }

    #[test]
    fn the_name_of_a_metric_in_quotes_is_a_text_and_the_message_shows_how_to_write_it() {
        let hint = Some("quotes make a text; the name is written `val-acc`".to_owned());
        assert_eq!(check_hint("\"val-acc\" > 0.2"), Err(hint.clone()));
        assert_eq!(check_hint("'val-acc' == 'x'"), Err(hint));
        assert_eq!(check_hint("val-acc > 0.2"), Ok(Type::Bool));
    }

    #[test]
    fn a_list_is_split_at_commas_outside_brackets_and_quotes() {
        assert_eq!(
            split("lr, min(a, b),`c,d`, 'e,f'"),
            ["lr", "min(a, b)", "`c,d`", "'e,f'"]
        );
        assert!(split(" , ").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z(@)`'.0-9 ,+é-]{0,24}") {
            if let Ok(formula) = Formula::parse(&text, &names()) {
                let _ = formula.value(&One);
            }
        }
    }
}
