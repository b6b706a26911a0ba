//! Reads one `[[point]]`: a configuration to try first, possibly partial.

use super::assign::Values;
use super::param::{Condition, Origin, Param, Settled};
use super::parse::{in_order_of_the_file, value_of};
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
    let mut reader = Reader {
        space,
        digits,
        given: BTreeMap::new(),
        values: Values::none(space),
    };
    reader.read(point.take_rest(), "", d);
    for param in &space.params {
        reader.visit(param);
    }
    reader.report(d);
    in_order_of_the_file(&mut d.list[before..]);
    if d.list.len() > before {
        return None;
    }
    // Constraints are only checked on valid values, to avoid errors that follow from earlier ones.
    for (name, expr) in space.constraints() {
        if let Ok(Some(false)) = expr.holds(&|name| reader.values.get(name)) {
            let remark = Diagnostic::error(
                "broken-constraint",
                format!("this point breaks the constraint `{name}`"),
            )
            .at(
                point.span.clone(),
                format!("`{}` does not hold", expr.text()),
            );
            d.push(remark.hint("change the point, or the constraint"));
        }
    }
    (d.list.len() == before).then(|| {
        let given = reader.given;
        let mut params = Vec::new();
        for (slot, found) in given {
            if let Verdict::Fits(value) = found.verdict {
                params.push((space.names[slot].clone(), value));
            }
        }
        params.into_iter().collect()
    })
}

struct Reader<'a> {
    space: &'a Space,
    digits: Digits,
    /// Values in the point, by position of the name.
    given: BTreeMap<usize, Given>,
    /// Values that are certain in every configuration that extends the point.
    values: Values<'a>,
}

struct Given {
    key: Span,
    span: Span,
    value: Value,
    verdict: Verdict,
}

/// Result of checking a value against the entries that set its name.
enum Verdict {
    /// No entry of this name is active in this configuration. Holds the condition that fails, if it
    /// is known.
    Absent(Option<String>),
    /// An entry accepts the value, perhaps after conversion to its number type.
    Fits(Value),
    /// The value repeats a constant.
    Same,
    /// No entry accepts the value.
    Refused { why: String, hint: Option<String> },
}

impl Reader<'_> {
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
                        .any(|known| known.starts_with(&inner))
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
                    let given = Given {
                        key: key.span.clone(),
                        span: node.span,
                        value,
                        verdict: Verdict::Absent(None),
                    };
                    if let Some(earlier) = self.given.insert(*slot, given) {
                        let remark =
                            Diagnostic::error("duplicate-name", format!("`{name}` is given twice"));
                        d.push(remark.at(key.span, "again").at(earlier.key, "first"));
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
    fn visit(&mut self, param: &Param) {
        let failing = param
            .conditions
            .iter()
            .find(|condition| condition.fails(&self.values.slots, &|name| self.values.get(name)));
        // Another entry may set the same name, so only a name without a verdict gets this reason.
        if let Some(failing) = failing {
            let text = failing.to_string();
            for target in &param.targets {
                if let Some(Given {
                    verdict: verdict @ Verdict::Absent(None),
                    ..
                }) = self.given.get_mut(target)
                {
                    *verdict = Verdict::Absent(Some(text.clone()));
                }
            }
            return;
        }
        let certain = param
            .conditions
            .iter()
            .all(|condition| self.holds(condition));
        let verdicts = self.verdicts(param, certain);
        for (target, verdict) in param.targets.iter().zip(verdicts) {
            let Some(verdict) = verdict else { continue };
            let Some(given) = self.given.get_mut(target) else {
                continue;
            };
            if let Verdict::Fits(value) = &verdict {
                self.values.slots[*target] = Some(value.clone());
            }
            // The entry of another branch may already have accepted the value.
            if !matches!(given.verdict, Verdict::Fits(_) | Verdict::Same) {
                given.verdict = verdict;
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
    /// none. Records the values of constants and derived entries.
    fn verdicts(&mut self, param: &Param, certain: bool) -> Vec<Option<Verdict>> {
        let target = param.targets[0];
        let given = self.given.get(&target).map(|given| given.value.clone());
        match &param.origin {
            Origin::Fixed(fixed) => {
                if certain {
                    self.values.slots[target] = Some(fixed.clone());
                }
                vec![given.map(|given| {
                    if given == *fixed {
                        Verdict::Same
                    } else {
                        refused(format!("it is a constant, {fixed}"), None)
                    }
                })]
            }
            Origin::Derived(expr) => {
                if certain && let Ok(Settled::Value(value)) = self.values.settle(param) {
                    self.values.slots[target] = Some(value.into_owned());
                }
                let why = format!("it is derived: {}", expr.text());
                vec![given.map(|_| refused(why, Some("leave it out".into())))]
            }
            Origin::Rows { rows, .. } => self.row_verdicts(param, rows),
            Origin::Drawn { repeat, .. } => {
                vec![given.map(|given| self.drawn(param, &given, repeat.is_some()))]
            }
        }
    }

    /// Checks the values for the columns of paired rows. They fit if one row agrees with all of
    /// them.
    fn row_verdicts(&self, param: &Param, rows: &[Vec<Value>]) -> Vec<Option<Verdict>> {
        let given: Vec<_> = param
            .targets
            .iter()
            .map(|target| self.given.get(target).map(|given| &given.value))
            .collect();
        let same = |known: &Value, given: &Value| {
            known == given
                || known
                    .as_f64()
                    .is_some_and(|number| Some(number) == given.as_f64())
        };
        let fits = |row: &&Vec<Value>| {
            row.iter()
                .zip(&given)
                .all(|(known, given)| given.is_none_or(|given| same(known, given)))
        };
        let row = rows.iter().find(fits);
        let verdict = |(at, given): (usize, &Option<&Value>)| {
            given.map(|_| match row {
                Some(row) => Verdict::Fits(row[at].clone()),
                None => refused(format!("no row of `{}` has these values", param.name), None),
            })
        };
        given.iter().enumerate().map(verdict).collect()
    }

    /// Checks the value of a drawn parameter, or each item of a list if it is repeated.
    fn drawn(&self, param: &Param, given: &Value, repeated: bool) -> Verdict {
        // If the bounds or the length depend on values missing in the point, the widest range is
        // used.
        let settled = self.values.settle(param);
        let domain = match &settled {
            Ok(Settled::Draw(domain) | Settled::Draws(domain, _)) => Some(&**domain),
            _ => param.outer(),
        };
        let accept = |value: &Value| match (domain, self.digits) {
            (None, _) => Ok(value.clone()),
            (Some(domain), Digits::Exact) => domain.accept(value),
            (Some(domain), Digits::Rounded) => domain.accept(&domain.rounded(value)),
        };
        if !repeated {
            return match accept(given) {
                Ok(value) => Verdict::Fits(value),
                Err(misfit) => refused(misfit.why, misfit.hint),
            };
        }
        let Value::List(items) = given else {
            return refused("it is a list".into(), Some(format!("write [{given}]")));
        };
        match &settled {
            Ok(Settled::Draws(_, count)) if items.len() != *count => {
                return refused(
                    format!("{} values where {count} are needed", items.len()),
                    None,
                );
            }
            // The length depends on a parameter that the point does not set, so it cannot be
            // checked.
            Ok(Settled::Absent) => {
                let hint = "give the parameters that decide over its length, too";
                return refused("its length is left open".into(), Some(hint.into()));
            }
            _ => {}
        }
        match items.iter().map(accept).collect() {
            Ok(items) => Verdict::Fits(Value::List(items)),
            Err(misfit) => refused(misfit.why, misfit.hint),
        }
    }

    /// Reports every value that no active entry accepts.
    fn report(&self, d: &mut Diagnostics) {
        for (slot, given) in &self.given {
            let name = &self.space.names[*slot];
            match &given.verdict {
                Verdict::Fits(_) | Verdict::Same => {}
                Verdict::Refused { why, hint } => {
                    let message = format!("`{name}` cannot be {} here", given.value);
                    let remark = Diagnostic::error("bad-point", message)
                        .at(given.span.clone(), why.as_str());
                    d.push(if let Some(hint) = hint {
                        remark.hint(hint)
                    } else {
                        remark
                    });
                }
                Verdict::Absent(why) => {
                    let message = format!("`{name}` does not exist in this point");
                    let remark = Diagnostic::error("inactive", message)
                        .at(given.key.clone(), "leave it out");
                    d.push(match why {
                        Some(why) => remark.hint(format!("it exists only when {why}")),
                        None => remark,
                    });
                }
            }
        }
    }
}

fn refused(why: String, hint: Option<String>) -> Verdict {
    Verdict::Refused { why, hint }
}
