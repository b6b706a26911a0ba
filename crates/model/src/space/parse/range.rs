//! Reads ranges: bounds, logarithm, step, digits, mean and standard deviation.

use super::source_expr::SourceExpr;
use crate::source::{Diagnostic, Diagnostics, Key, Node, NodeValue, Section, Span};
use crate::space::decimal::MAX_DIGITS;
use crate::space::domain::{Domain, RangeError, Shape};
use crate::space::param::Bound;

/// A range as read. Bounds that are expressions are not evaluated yet.
pub(super) struct RangeDraft {
    pub(super) min: Option<BoundDraft>,
    pub(super) max: Option<BoundDraft>,
    /// If both bounds are expressions, `integer` is determined when names are resolved.
    pub(super) shape: Shape,
    /// Domain of the range if no bound is an expression.
    pub(super) domain: Option<Domain>,
}

/// One bound of a range.
pub(super) enum BoundDraft {
    Number { number: f64, integer: bool },
    Expr(SourceExpr),
}

/// Entries of the table as written, for hints that quote them.
pub(super) struct WrittenTable {
    pub(super) inline: bool,
    pub(super) entries: Vec<(Key, Node)>,
}

impl BoundDraft {
    pub(super) fn into_bound(self) -> Bound {
        match self {
            Self::Number { number, .. } => Bound::Number(number),
            Self::Expr(expr) => Bound::Expr(expr.parsed),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number { number, .. } => Some(*number),
            Self::Expr(_) => None,
        }
    }
}

/// Reads the keys of a range. Returns `None` after reporting mistakes.
pub(super) fn read(
    name: &str,
    key: &Key,
    is_normal: bool,
    section: &mut Section,
    written: &WrittenTable,
    d: &mut Diagnostics,
) -> Option<RangeDraft> {
    let before = d.list.len();
    let log = section.take_bool("log", d).is_some_and(|(log, _)| log);
    let (min, max) = (read_bound("min", section, d), read_bound("max", section, d));
    let step = section.take_with_key("step");
    let digits = section.take_with_key("digits");
    let normal = if is_normal {
        read_normal(name, key, section, d)
    } else {
        None
    };
    let mut shape = Shape {
        log,
        normal,
        ..Shape::default()
    };
    if !is_normal {
        for (missing, bound, other) in [("min", &min, "max"), ("max", &max, "min")] {
            if matches!(bound, BoundInput::Absent) {
                let message = format!("the range of `{name}` has no `{missing}`");
                let diagnostic = Diagnostic::error("no-range", message).at(
                    written.key(other).unwrap_or(key.span.clone()),
                    format!("only `{other}` is set"),
                );
                d.push(diagnostic.hint(format!("add `{missing}`")));
            }
        }
        shape.integer = is_integer_range(&min, &max, step.as_ref().map(|(_, node)| node));
    }
    if let Some((_, node)) = step {
        shape.step = read_step(name, &node, d);
    }
    if let Some((digits_key, node)) = digits {
        shape.digits = read_digits(name, &digits_key, &node, &shape, d);
    }
    if d.list.len() > before {
        return None;
    }
    let (min, max) = (min.bound(), max.bound());
    let numbers = [&min, &max].map(|bound| bound.as_ref().and_then(BoundDraft::number));
    let is_computed = [&min, &max]
        .into_iter()
        .flatten()
        .any(|bound| bound.number().is_none());
    let domain = if is_computed {
        None
    } else {
        match Domain::range(numbers[0], numbers[1], &shape) {
            Ok(domain) => Some(domain),
            Err(error) => {
                d.push(diagnostic(name, key, error, written));
                return None;
            }
        }
    };
    Some(RangeDraft {
        min,
        max,
        shape,
        domain,
    })
}

/// Result of reading a bound.
enum BoundInput {
    /// The table does not have the key.
    Absent,
    /// The value is not a bound; the mistake was already reported.
    Invalid,
    /// The value is a number or an expression.
    Bound(BoundDraft),
}

impl BoundInput {
    fn bound(self) -> Option<BoundDraft> {
        match self {
            Self::Bound(bound) => Some(bound),
            Self::Absent | Self::Invalid => None,
        }
    }

    fn is_float(&self) -> bool {
        matches!(self, Self::Bound(BoundDraft::Number { integer: false, .. }))
    }
}

fn read_bound(key: &'static str, section: &mut Section, d: &mut Diagnostics) -> BoundInput {
    let Some(node) = section.take(key) else {
        return BoundInput::Absent;
    };
    match node.value {
        NodeValue::Int(number) => BoundInput::Bound(BoundDraft::Number {
            number: number as f64,
            integer: true,
        }),
        NodeValue::Float(number) if number.is_finite() => BoundInput::Bound(BoundDraft::Number {
            number,
            integer: false,
        }),
        NodeValue::Float(_) => {
            d.push(not_finite(key, &node));
            BoundInput::Invalid
        }
        NodeValue::Text(_) => SourceExpr::read(key, &node, d).map_or(BoundInput::Invalid, |expr| {
            BoundInput::Bound(BoundDraft::Expr(expr))
        }),
        _ => {
            d.push(super::wrong_type(
                key,
                "a number, or an expression in quotes",
                &node,
            ));
            BoundInput::Invalid
        }
    }
}

fn not_finite(key: &str, node: &Node) -> Diagnostic {
    Diagnostic::error("not-finite", format!("`{key}` must be finite"))
        .at(node.span.clone(), format!("this is {}", node.written))
}

/// Returns whether a range consists of integers: no bound and no step is a float. If both bounds
/// are expressions, the result is preliminary.
fn is_integer_range(min: &BoundInput, max: &BoundInput, step: Option<&Node>) -> bool {
    !(min.is_float()
        || max.is_float()
        || step.is_some_and(|node| matches!(node.value, NodeValue::Float(_))))
}

fn read_normal(
    name: &str,
    key: &Key,
    section: &mut Section,
    d: &mut Diagnostics,
) -> Option<(f64, f64)> {
    let before = d.list.len();
    let mean = section.take_number("mean", d);
    let std = section.take_number("std", d);
    match (mean, std) {
        (Some((mean, span)), Some(_)) if mean.abs() > 1e300 => {
            d.push(
                Diagnostic::error("too-large", format!("the mean of `{name}` is too large"))
                    .at(span, "here"),
            );
            None
        }
        (Some((mean, _)), Some((std, _))) if (1e-300..1e300).contains(&std) => Some((mean, std)),
        (Some(_), Some((_, span))) => {
            let message = format!("the standard deviation of `{name}` must be positive");
            d.push(Diagnostic::error("bad-std", message).at(span, "here"));
            None
        }
        (mean, _) => {
            if d.list.len() == before {
                let missing = if mean.is_some() { "std" } else { "mean" };
                let message = format!("`{name}` has no `{missing}`");
                let diagnostic = Diagnostic::error("no-range", message)
                    .at(key.span.clone(), "this is a normal range");
                d.push(diagnostic.hint(format!("add `{missing}`: {{ mean = 0.0, std = 1.0 }}")));
            }
            None
        }
    }
}

fn read_step(name: &str, node: &Node, d: &mut Diagnostics) -> Option<f64> {
    let step = match node.value {
        NodeValue::Int(step) => step as f64,
        NodeValue::Float(step) if step.is_finite() => step,
        NodeValue::Float(_) => {
            d.push(not_finite("step", node));
            return None;
        }
        _ => {
            d.push(super::wrong_type("step", "a number", node));
            return None;
        }
    };
    if step <= 0.0 {
        let message = format!("the step of `{name}` must be positive");
        d.push(
            Diagnostic::error("bad-step", message)
                .at(node.span.clone(), format!("this is {}", node.written)),
        );
        return None;
    }
    Some(step)
}

fn read_digits(
    name: &str,
    key: &Key,
    node: &Node,
    shape: &Shape,
    d: &mut Diagnostics,
) -> Option<i32> {
    if shape.integer || shape.step.is_some() {
        let (other, hint) = if shape.integer {
            (
                "integers",
                "for floats write a bound with a dot: `min = 1.0`",
            )
        } else {
            (
                "a `step`",
                "leave out `digits`: the step determines the digits",
            )
        };
        let message = format!("`digits` of `{name}` cannot be combined with {other}");
        d.push(
            Diagnostic::error("mixed-keys", message)
                .at(key.span.clone(), "leave it out")
                .hint(hint),
        );
        return None;
    }
    match node.value {
        NodeValue::Int(digits) if (1..=i64::from(MAX_DIGITS)).contains(&digits) => {
            Some(digits as i32)
        }
        _ => {
            let message = format!("`digits` of `{name}` must be between 1 and {MAX_DIGITS}");
            d.push(
                Diagnostic::error("bad-digits", message)
                    .at(node.span.clone(), format!("this is {}", node.written)),
            );
            None
        }
    }
}

impl WrittenTable {
    fn key(&self, name: &str) -> Option<Span> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(key, _)| key.span.clone())
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.node(name)?.value {
            NodeValue::Int(number) => Some(number as f64),
            NodeValue::Float(number) => Some(number),
            _ => None,
        }
    }

    /// Formats the table with `min` and `max` exchanged, for a hint.
    fn swapped(&self) -> String {
        let mut entries = Vec::new();
        for (key, node) in &self.entries {
            let other_bound = match key.name.as_str() {
                "min" => self.node("max"),
                "max" => self.node("min"),
                // A table under a header is not quoted as a whole, only its bounds.
                _ if !self.inline => continue,
                _ => None,
            };
            let written = match &*other_bound.unwrap_or(node).written {
                "" => "…",
                written => written,
            };
            entries.push(format!("{} = {written}", key.name));
        }
        if self.inline {
            format!("{{ {} }}", entries.join(", "))
        } else {
            entries.join(", ")
        }
    }
}

fn diagnostic(name: &str, key: &Key, error: RangeError, written: &WrittenTable) -> Diagnostic {
    let (code, message, labelled_keys): (_, _, &[&str]) = match error {
        RangeError::Empty => (
            "empty-range",
            format!("the range of `{name}` is empty"),
            &["min", "max"],
        ),
        RangeError::NotPositive => (
            "log-of-zero",
            format!("`{name}` is logarithmic, but its range is not above zero"),
            &["min"],
        ),
        RangeError::StepTooLarge => (
            "bad-step",
            format!("the step of `{name}` is larger than its range"),
            &["step", "min", "max"],
        ),
        RangeError::TooMany => (
            "too-many",
            format!("the range of `{name}` has too many values"),
            &["min", "max", "step"],
        ),
        RangeError::TooLarge => (
            "too-large",
            format!("the bounds of `{name}` are too large or too small to compute with"),
            &["min", "max", "mean", "std"],
        ),
        RangeError::NoDecimal => (
            "bad-digits",
            format!("no number with so few digits lies in the range of `{name}`"),
            &["digits", "min", "max"],
        ),
        RangeError::CutAway => (
            "empty-range",
            format!("the bounds of `{name}` leave nothing of its normal distribution"),
            &["min", "max", "mean", "std"],
        ),
    };
    let mut diagnostic = Diagnostic::error(code, message);
    for name in labelled_keys {
        if let Some(node) = written.node(name) {
            let label = format!("`{name}` is {}", node.written);
            diagnostic = diagnostic.at(node.span.clone(), label);
        }
    }
    if diagnostic.labels.is_empty() {
        diagnostic = diagnostic.at(key.span.clone(), "");
    }
    match hint(error, written) {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}

fn hint(error: RangeError, written: &WrittenTable) -> Option<String> {
    let hint = match error {
        // A range can also be empty because no integer lies between its bounds.
        RangeError::Empty if written.number("min") > written.number("max") => {
            return Some(format!("swap them: {}", written.swapped()));
        }
        RangeError::NotPositive => {
            let example = written.node("step").map_or("1e-6", |step| &*step.written);
            return Some(format!(
                "give a small positive `min`, such as {example}, or leave out `log`"
            ));
        }
        RangeError::StepTooLarge => "make the step smaller or the range wider",
        RangeError::TooMany => "make it narrower, or a float: `min = 0.0`",
        RangeError::NoDecimal => "raise `digits`",
        RangeError::CutAway => "bounds must lie within 5 deviations of the mean",
        RangeError::Empty | RangeError::TooLarge => return None,
    };
    Some(hint.to_owned())
}
