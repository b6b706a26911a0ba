//! Reads ranges: bounds, logarithm, step, digits, mean and standard deviation.

use super::quote::Quote;
use crate::source::{Diagnostic, Diagnostics, Key, Node, NodeValue, Section, Span};
use crate::space::decimal::MOST_DIGITS;
use crate::space::domain::{Domain, Fault, Shape};

/// A range as read. Bounds that are expressions are not evaluated yet.
pub(super) struct RangeDraft {
    pub(super) min: Option<End>,
    pub(super) max: Option<End>,
    /// If both bounds are expressions, `whole` is determined when names are resolved.
    pub(super) shape: Shape,
    /// Domain of the range if no bound is an expression.
    pub(super) domain: Option<Domain>,
}

/// One bound of a range.
pub(super) enum End {
    Number { number: f64, whole: bool },
    Expr(Quote),
}

/// Entries of the table as written, for hints that quote them.
pub(super) struct Written {
    pub(super) inline: bool,
    pub(super) entries: Vec<(Key, Node)>,
}

impl End {
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
    normal: bool,
    section: &mut Section,
    written: &Written,
    d: &mut Diagnostics,
) -> Option<RangeDraft> {
    let before = d.list.len();
    let log = section.take_bool("log", d).is_some_and(|(log, _)| log);
    let (min, max) = (end("min", section, d), end("max", section, d));
    let step = section.take_with_key("step");
    let digits = section.take_with_key("digits");
    let bell = if normal {
        bell(name, key, section, d)
    } else {
        None
    };
    let mut shape = Shape {
        log,
        bell,
        ..Shape::default()
    };
    if !normal {
        for (missing, found, other) in [("min", &min, "max"), ("max", &max, "min")] {
            if matches!(found, Given::Nothing) {
                let message = format!("the range of `{name}` has no `{missing}`");
                let remark = Diagnostic::error("no-range", message).at(
                    written.key(other).unwrap_or(key.span.clone()),
                    format!("only `{other}` is given"),
                );
                d.push(remark.hint(format!("add `{missing}`")));
            }
        }
        shape.whole = is_whole(&min, &max, step.as_ref().map(|(_, node)| node));
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
    let (min, max) = (min.end(), max.end());
    let known = [&min, &max]
        .into_iter()
        .flatten()
        .all(|end| end.number().is_some());
    let domain = if known {
        let number = |end: &Option<End>| end.as_ref().and_then(End::number);
        match Domain::range(number(&min), number(&max), &shape) {
            Ok(domain) => Some(domain),
            Err(fault) => {
                d.push(remark(name, key, fault, written));
                return None;
            }
        }
    } else {
        None
    };
    Some(RangeDraft {
        min,
        max,
        shape,
        domain,
    })
}

/// Result of reading a bound.
enum Given {
    Nothing,
    /// The value is not a bound; the mistake was already reported.
    Wrong,
    End(End),
}

impl Given {
    fn end(self) -> Option<End> {
        match self {
            Self::End(end) => Some(end),
            Self::Nothing | Self::Wrong => None,
        }
    }
}

fn end(key: &'static str, section: &mut Section, d: &mut Diagnostics) -> Given {
    let Some(node) = section.take(key) else {
        return Given::Nothing;
    };
    match node.value {
        NodeValue::Int(number) => Given::End(End::Number {
            number: number as f64,
            whole: true,
        }),
        NodeValue::Float(number) if number.is_finite() => Given::End(End::Number {
            number,
            whole: false,
        }),
        NodeValue::Float(_) => {
            d.push(not_finite(key, &node));
            Given::Wrong
        }
        NodeValue::Text(_) => {
            Quote::read(key, &node, d).map_or(Given::Wrong, |quote| Given::End(End::Expr(quote)))
        }
        _ => {
            d.push(super::wrong_type(
                key,
                "a number, or an expression in quotes",
                &node,
            ));
            Given::Wrong
        }
    }
}

fn not_finite(key: &str, node: &Node) -> Diagnostic {
    Diagnostic::error("not-finite", format!("`{key}` must be finite"))
        .at(node.span.clone(), format!("this is {}", node.written))
}

/// Returns whether a range consists of integers: no bound and no step is a float. If both bounds
/// are expressions, the result is preliminary.
fn is_whole(min: &Given, max: &Given, step: Option<&Node>) -> bool {
    let float = |given: &Given| matches!(given, Given::End(End::Number { whole: false, .. }));
    !(float(min)
        || float(max)
        || step.is_some_and(|node| matches!(node.value, NodeValue::Float(_))))
}

fn bell(name: &str, key: &Key, section: &mut Section, d: &mut Diagnostics) -> Option<(f64, f64)> {
    let before = d.list.len();
    let mean = section.take_number("mean", d);
    let std = section.take_number("std", d);
    match (mean, std) {
        (Some((mean, at)), Some(_)) if mean.abs() > 1e300 => {
            d.push(
                Diagnostic::error("too-large", format!("the mean of `{name}` is too large"))
                    .at(at, "here"),
            );
            None
        }
        (Some((mean, _)), Some((std, _))) if (1e-300..1e300).contains(&std) => Some((mean, std)),
        (Some(_), Some((_, at))) => {
            let message = format!("the standard deviation of `{name}` must be positive");
            d.push(Diagnostic::error("bad-std", message).at(at, "here"));
            None
        }
        (mean, _) => {
            if d.list.len() == before {
                let missing = if mean.is_some() { "std" } else { "mean" };
                let message = format!("`{name}` has no `{missing}`");
                let remark = Diagnostic::error("no-range", message)
                    .at(key.span.clone(), "this is a normal range");
                d.push(remark.hint(format!("add `{missing}`: {{ mean = 0.0, std = 1.0 }}")));
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
    if shape.whole || shape.step.is_some() {
        let (other, hint) = if shape.whole {
            (
                "integers",
                "for floats write a bound with a dot: `min = 1.0`",
            )
        } else {
            (
                "a `step`",
                "leave out `digits`: the step says which numbers there are",
            )
        };
        let message = format!("`digits` of `{name}` does not go with {other}");
        d.push(
            Diagnostic::error("mixed-keys", message)
                .at(key.span.clone(), "leave it out")
                .hint(hint),
        );
        return None;
    }
    match node.value {
        NodeValue::Int(digits) if (1..=i64::from(MOST_DIGITS)).contains(&digits) => {
            Some(digits as i32)
        }
        _ => {
            let message = format!("`digits` of `{name}` must be between 1 and {MOST_DIGITS}");
            d.push(
                Diagnostic::error("bad-digits", message)
                    .at(node.span.clone(), format!("this is {}", node.written)),
            );
            None
        }
    }
}

impl Written {
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

    /// Formats the table with `min` and `max` exchanged, for a hint.
    fn swapped(&self) -> String {
        let write = |(key, node): &(Key, Node)| {
            let other = match key.name.as_str() {
                "min" => self.node("max"),
                "max" => self.node("min"),
                _ => None,
            };
            let node = other.unwrap_or(node);
            format!(
                "{} = {}",
                key.name,
                if node.written.is_empty() {
                    "…"
                } else {
                    &*node.written
                }
            )
        };
        // A table under a header is not quoted as a whole, only its bounds.
        let bounds_only =
            |(key, _): &&(Key, Node)| self.inline || key.name == "min" || key.name == "max";
        let entries: Vec<_> = self.entries.iter().filter(bounds_only).map(write).collect();
        if self.inline {
            format!("{{ {} }}", entries.join(", "))
        } else {
            entries.join(", ")
        }
    }
}

fn remark(name: &str, key: &Key, fault: Fault, written: &Written) -> Diagnostic {
    let label = |mut remark: Diagnostic, names: &[&str]| {
        for name in names {
            if let Some(node) = written.node(name) {
                remark = remark.at(node.span.clone(), format!("`{name}` is {}", node.written));
            }
        }
        if remark.labels.is_empty() {
            remark.at(key.span.clone(), "")
        } else {
            remark
        }
    };
    let error =
        |code, message: String, names: &[&str]| label(Diagnostic::error(code, message), names);
    match fault {
        Fault::Empty => {
            let remark = error(
                "empty-range",
                format!("the range of `{name}` is empty"),
                &["min", "max"],
            );
            let number = |key| match written.node(key).map(|node| &node.value) {
                Some(NodeValue::Int(number)) => Some(*number as f64),
                Some(NodeValue::Float(number)) => Some(*number),
                _ => None,
            };
            if number("min") > number("max") {
                remark.hint(format!("swap them: {}", written.swapped()))
            } else {
                remark
            }
        }
        Fault::NotPositive => {
            let message = format!("`{name}` is logarithmic, but its range is not above zero");
            let example = written.node("step").map_or("1e-6", |step| &*step.written);
            let hint =
                format!("give a small positive `min`, such as {example}, or leave out `log`");
            error("log-of-zero", message, &["min"]).hint(hint)
        }
        Fault::StepTooLarge => {
            let message = format!("the step of `{name}` is larger than its range");
            error("bad-step", message, &["step", "min", "max"])
                .hint("make the step smaller or the range wider")
        }
        Fault::TooMany => error(
            "too-many",
            format!("the range of `{name}` has too many values"),
            &["min", "max", "step"],
        )
        .hint("make it narrower, or a float: `min = 0.0`"),
        Fault::TooLarge => error(
            "too-large",
            format!("the bounds of `{name}` are too large or too small to compute with"),
            &["min", "max", "mean", "std"],
        ),
        Fault::NoDecimal => {
            let message = format!("no number with so few digits lies in the range of `{name}`");
            error("bad-digits", message, &["digits", "min", "max"]).hint("raise `digits`")
        }
        Fault::CutAway => {
            let message =
                format!("the bounds of `{name}` leave nothing of its normal distribution");
            error("empty-range", message, &["min", "max", "mean", "std"])
                .hint("bounds must lie within 5 deviations of the mean")
        }
    }
}
