//! Reads one `[[point]]`: a configuration to try first, possibly partial.

use super::assign::Values;
use super::domain::{Domain, Mismatch, is_same_number};
use super::lookup::Rows;
use super::param::{Condition, Evaluation, Param, ValueSource};
use super::parse::{sort_by_position, value_of};
use super::{Params, Space, Value};
use crate::source::{Diagnostic, Diagnostics, Key, Node, NodeValue, Section, Span};
use std::collections::BTreeMap;

/// Treatment of a number with more digits than its range keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// The number is rejected. Used for values written by the user, who should see the value that
    /// the trial gets.
    Exact,
    /// The number is rounded. Used for values computed by a program.
    Rounded,
}

/// Reads a point and checks it as far as its values determine it. Returns `None` after reporting
/// mistakes.
pub(super) fn parse(
    space: &Space,
    mut point: Section,
    digits: Digits,
    d: &mut Diagnostics,
) -> Option<Params> {
    let before = d.list.len();
    let mut reader = PointReader {
        space,
        digits,
        point: BTreeMap::new(),
        values: Values::empty(space),
    };
    reader.read(point.take_rest(), "", d);
    for param in &space.params {
        reader.check(param);
    }
    reader.report(d);
    sort_by_position(&mut d.list[before..]);
    if d.list.len() > before {
        return None;
    }
    // Constraints are only checked on valid values, to avoid errors that follow from earlier ones.
    for (name, expr) in space.constraints() {
        if let Ok(Some(false)) = expr.holds(&|name| reader.values.get(name)) {
            let diagnostic = Diagnostic::error(
                "broken-constraint",
                format!("this point breaks the constraint `{name}`"),
            )
            .at(
                point.span.clone(),
                format!("`{}` does not hold", expr.text()),
            );
            d.push(diagnostic.hint("change the point, or the constraint"));
        }
    }
    (d.list.len() == before).then(|| {
        let values = reader.point.into_iter();
        values
            .filter_map(|(slot, PointValue { check, .. })| match check {
                ValueCheck::Fits(value) => Some((space.names[slot].clone(), value)),
                _ => None,
            })
            .collect()
    })
}

struct PointReader<'a> {
    space: &'a Space,
    digits: Digits,
    /// Values in the point, by position of the name.
    point: BTreeMap<usize, PointValue>,
    /// Values that are certain in every configuration that extends the point.
    values: Values<'a>,
}

/// A value in the point, with the spans of its key and of itself.
struct PointValue {
    key: Span,
    span: Span,
    value: Value,
    check: ValueCheck,
}

/// Result of checking a value against the entries that set its name.
enum ValueCheck {
    /// No entry of this name is active in this configuration. Holds the condition that fails, if it
    /// is known.
    Inactive(Option<String>),
    /// An entry accepts the value, perhaps after conversion to its number type.
    Fits(Value),
    /// The value repeats a constant, which the configuration has anyway.
    Redundant,
    /// No entry accepts the value.
    Refused {
        reason: String,
        hint: Option<String>,
    },
}

impl PointReader<'_> {
    /// Reads the values of the point. Nested tables are groups, whose names are joined with dots.
    fn read(&mut self, entries: Vec<(Key, Node)>, prefix: &str, d: &mut Diagnostics) {
        for (key, node) in entries {
            let name = format!("{prefix}{}", key.name);
            let slot = self.space.index.get(name.as_str());
            match (slot, node.value) {
                (None, NodeValue::Table(table)) => {
                    let inner = format!("{name}.");
                    if self
                        .space
                        .names
                        .iter()
                        .any(|param| param.starts_with(&inner))
                    {
                        self.read(table.entries, &inner, d);
                    } else {
                        d.push(self.unknown(&name, key.span));
                    }
                }
                (None, _) => d.push(self.unknown(&name, key.span)),
                (Some(slot), value) => {
                    let node = Node { value, ..node };
                    let Some(value) = value_of(&name, &node, d) else {
                        continue;
                    };
                    let value = PointValue {
                        key: key.span.clone(),
                        span: node.span,
                        value,
                        check: ValueCheck::Inactive(None),
                    };
                    if let Some(earlier) = self.point.insert(*slot, value) {
                        let diagnostic =
                            Diagnostic::error("duplicate-name", format!("`{name}` is set twice"));
                        d.push(diagnostic.at(key.span, "again").at(earlier.key, "first"));
                    }
                }
            }
        }
    }

    fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        Diagnostic::error("unknown-name", format!("there is no parameter `{name}`"))
            .at(span, "not in `[space]`")
            .did_you_mean(name, self.space.names.iter().map(|name| &**name))
    }

    /// Checks the values in the point against one entry.
    fn check(&mut self, param: &Param) {
        let failing = param
            .conditions
            .iter()
            .find(|condition| condition.fails(&self.values.slots, &|name| self.values.get(name)));
        // Another entry may set the same name, so only a name without a result gets this reason.
        if let Some(failing) = failing {
            let text = failing.to_string();
            for target in &param.targets {
                if let Some(PointValue {
                    check: check @ ValueCheck::Inactive(None),
                    ..
                }) = self.point.get_mut(target)
                {
                    *check = ValueCheck::Inactive(Some(text.clone()));
                }
            }
            return;
        }
        let is_active = param
            .conditions
            .iter()
            .all(|condition| self.holds(condition));
        let checks = self.check_targets(param, is_active);
        for (target, check) in param.targets.iter().zip(checks) {
            let (Some(check), Some(in_point)) = (check, self.point.get_mut(target)) else {
                continue;
            };
            if let ValueCheck::Fits(value) = &check {
                self.values.slots[*target] = Some(value.clone());
            }
            // The entry of another branch may already have accepted the value.
            if !matches!(in_point.check, ValueCheck::Fits(_) | ValueCheck::Redundant) {
                in_point.check = check;
            }
        }
    }

    /// Returns whether a condition is certainly true, given the values known so far.
    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Branch { switch, value, .. } => {
                self.values.slots[*switch].as_ref() == Some(value)
            }
            Condition::When(expr) => {
                matches!(expr.holds(&|name| self.values.get(name)), Ok(Some(true)))
            }
        }
    }

    /// Returns for each target whether the value in the point fits, or `None` if the point has
    /// none. Records the values of constants and derived entries if the entry is certainly active.
    fn check_targets(&mut self, param: &Param, is_active: bool) -> Vec<Option<ValueCheck>> {
        let target = param.targets[0];
        let value = self.point.get(&target).map(|target| target.value.clone());
        match &param.source {
            ValueSource::Fixed(fixed) => {
                if is_active {
                    self.values.slots[target] = Some(fixed.clone());
                }
                vec![value.map(|value| {
                    if value == *fixed {
                        ValueCheck::Redundant
                    } else {
                        refused(format!("it is a constant, {fixed}"), None)
                    }
                })]
            }
            ValueSource::Derived(expr) => {
                if is_active && let Ok(Evaluation::Value(derived)) = self.values.evaluate(param) {
                    self.values.slots[target] = Some(derived.into_owned());
                }
                let reason = format!("it is derived: {}", expr.text());
                vec![value.map(|_| refused(reason, Some("leave it out".into())))]
            }
            ValueSource::Rows(rows) => self.check_row(param, rows),
            ValueSource::Drawn { repeat, .. } => {
                vec![value.map(|value| self.check_drawn(param, &value, repeat.is_some()))]
            }
        }
    }

    /// Checks the values for the columns of paired rows. They fit if one row agrees with all of
    /// them.
    fn check_row(&self, param: &Param, rows: &Rows) -> Vec<Option<ValueCheck>> {
        let values: Vec<_> = param
            .targets
            .iter()
            .map(|target| self.point.get(target).map(|target| &target.value))
            .collect();
        let row = rows
            .position(&values, |cell, value| {
                cell == value || is_same_number(cell, value)
            })
            .map(|row| &rows.rows[row]);
        values
            .iter()
            .enumerate()
            .map(|(column, value)| {
                value.map(|_| match row {
                    Some(row) => ValueCheck::Fits(row[column].clone()),
                    None => refused(format!("no row of `{}` has these values", param.name), None),
                })
            })
            .collect()
    }

    /// Checks the value of a drawn parameter, or each item of a list if it is repeated.
    fn check_drawn(&self, param: &Param, value: &Value, is_repeated: bool) -> ValueCheck {
        // If the bounds or the length depend on values missing in the point, the widest range is
        // used.
        let evaluation = self.values.evaluate(param);
        let domain = match &evaluation {
            Ok(Evaluation::Draw(domain) | Evaluation::Draws(domain, _)) => Some(&**domain),
            _ => param.widest_domain(),
        };
        if !is_repeated {
            return match self.accept(domain, value) {
                Ok(value) => ValueCheck::Fits(value),
                Err(mismatch) => refused(mismatch.reason, mismatch.hint),
            };
        }
        let Value::List(items) = value else {
            return refused("it is a list".into(), Some(format!("write [{value}]")));
        };
        match &evaluation {
            Ok(Evaluation::Draws(_, count)) if items.len() != *count => {
                return refused(
                    format!("{} values where {count} are needed", items.len()),
                    None,
                );
            }
            // The length depends on a parameter that the point does not set, so it cannot be
            // checked.
            Ok(Evaluation::Absent) => {
                let hint = "also set the parameters that determine its length";
                return refused("its length is not determined".into(), Some(hint.into()));
            }
            _ => {}
        }
        match items.iter().map(|item| self.accept(domain, item)).collect() {
            Ok(items) => ValueCheck::Fits(Value::List(items)),
            Err(mismatch) => refused(mismatch.reason, mismatch.hint),
        }
    }

    /// Converts a value to one of the domain. Any value is accepted if the domain is not known.
    fn accept(&self, domain: Option<&Domain>, value: &Value) -> Result<Value, Mismatch> {
        match (domain, self.digits) {
            (None, _) => Ok(value.clone()),
            (Some(domain), Digits::Exact) => domain.accept(value),
            (Some(domain), Digits::Rounded) => domain.accept(&domain.rounded(value)),
        }
    }

    /// Reports every value that no active entry accepts.
    fn report(&self, d: &mut Diagnostics) {
        for (slot, in_point) in &self.point {
            let name = &self.space.names[*slot];
            match &in_point.check {
                ValueCheck::Fits(_) | ValueCheck::Redundant => {}
                ValueCheck::Refused { reason, hint } => {
                    let message = format!("`{name}` cannot be {} here", in_point.value);
                    let diagnostic = Diagnostic::error("bad-point", message)
                        .at(in_point.span.clone(), reason.as_str());
                    d.push(if let Some(hint) = hint {
                        diagnostic.hint(hint)
                    } else {
                        diagnostic
                    });
                }
                ValueCheck::Inactive(condition) => {
                    let message = format!("`{name}` does not exist in this point");
                    let diagnostic = Diagnostic::error("inactive", message)
                        .at(in_point.key.clone(), "leave it out");
                    d.push(match condition {
                        Some(condition) => {
                            diagnostic.hint(format!("it exists only when {condition}"))
                        }
                        None => diagnostic,
                    });
                }
            }
        }
    }
}

fn refused(reason: String, hint: Option<String>) -> ValueCheck {
    ValueCheck::Refused { reason, hint }
}
