//! Counts the configurations of a space.

use super::assign::Values;
use super::domain::Domain;
use super::expr::Expr;
use super::param::{Condition, Evaluation, Param, ValueSource};
use super::{Space, Value};

/// Maximum number of combinations of decisive parameters that are enumerated.
const MAX_CASES: u64 = 100_000;

/// Counts the configurations before constraints. Enumerates the combinations of decisive
/// parameters, on which other parameters depend, and multiplies the counts of the others. Returns
/// `None` for a continuous space or if there are too many combinations.
pub(super) fn size(space: &Space) -> Option<u64> {
    let decisive = decisive(space);
    let mut counter = Counter {
        space,
        decisive,
        values: Values::empty(space),
        cases: 0,
    };
    counter.count(0).filter(|total| *total <= 1 << 63)
}

/// State of the enumeration.
struct Counter<'a> {
    space: &'a Space,
    decisive: Vec<bool>,
    values: Values<'a>,
    cases: u64,
}

impl Counter<'_> {
    /// Counts the combinations of the entries from index `from` on, given the values of the entries
    /// before. Recurses once for each value of a decisive entry.
    fn count(&mut self, from: usize) -> Option<u64> {
        self.cases += 1;
        if self.cases > MAX_CASES {
            return None;
        }
        let space = self.space;
        let mut total: u64 = 1;
        for (entry, param) in space.params.iter().enumerate().skip(from) {
            let target = param.targets[0];
            let choices = match self.values.evaluate(param) {
                // The bounds or values cannot be computed, so this combination has no
                // configurations.
                Err(_) => return Some(0),
                Ok(Evaluation::Absent) => continue,
                Ok(Evaluation::Value(value)) => {
                    self.values.slots[target] = Some(value.into_owned());
                    continue;
                }
                Ok(Evaluation::Draws(domain, count)) => {
                    // Enumerating all lists of a repeated parameter is not supported.
                    if self.decides(param) {
                        return None;
                    }
                    total = total.checked_mul(power(domain.count(), count)?)?;
                    continue;
                }
                Ok(Evaluation::Draw(domain)) => {
                    if !self.decides(param) {
                        total = total.checked_mul(domain.count()?)?;
                        continue;
                    }
                    cases(&domain)?
                }
                Ok(Evaluation::Rows(rows, cases)) => {
                    let possible = (0..rows.len()).filter(|row| cases.is_possible(*row));
                    if !self.decides(param) {
                        total = total.checked_mul(possible.count() as u64)?;
                        continue;
                    }
                    possible.map(|row| rows[row].clone()).collect()
                }
            };
            let before = self.values.slots.clone();
            let mut sum: u64 = 0;
            for values in choices {
                for (target, value) in param.targets.iter().zip(values) {
                    self.values.slots[*target] = Some(value);
                }
                sum = sum.checked_add(self.count(entry + 1)?)?;
                self.values.slots.clone_from(&before);
            }
            return total.checked_mul(sum);
        }
        Some(total)
    }

    /// Returns whether other entries depend on a name that the entry sets.
    fn decides(&self, param: &Param) -> bool {
        param.targets.iter().any(|target| self.decisive[*target])
    }
}

/// Returns the number of lists of `count` values; `None` on overflow or for a continuous domain.
fn power(base: Option<u64>, count: usize) -> Option<u64> {
    // An empty list is one configuration, even of a continuous domain.
    if count == 0 {
        Some(1)
    } else {
        base?.checked_pow(u32::try_from(count).ok()?)
    }
}

/// Returns every value of a finite domain as a row of one value; `None` if there are too many.
fn cases(domain: &Domain) -> Option<Vec<Vec<Value>>> {
    let count = domain.count().filter(|count| *count <= MAX_CASES)?;
    let values = (0..)
        .map_while(|index| domain.value_at(index))
        .filter(|value| domain.contains(value))
        .map(|value| vec![value]);
    Some(values.take(count as usize).collect())
}

/// Marks the names on which other entries depend, directly or through derived values.
fn decisive(space: &Space) -> Vec<bool> {
    let mut decisive = vec![false; space.names.len()];
    // In reverse order, a derived entry is reached after the entries that use it. It matters only
    // if it is decisive itself; then the parameters in its expression are, too.
    for param in space.params.iter().rev() {
        let is_free = matches!(
            param.source,
            ValueSource::Drawn { .. } | ValueSource::Rows { .. }
        );
        if !is_free && !decisive[param.targets[0]] {
            continue;
        }
        for condition in &param.conditions {
            match condition {
                Condition::Branch { switch, .. } => decisive[*switch] = true,
                Condition::When(expr) => mark_names(expr, space, &mut decisive),
            }
        }
        for expr in param.exprs() {
            mark_names(expr, space, &mut decisive);
        }
    }
    decisive
}

/// Marks the names in an expression.
fn mark_names(expr: &Expr, space: &Space, decisive: &mut [bool]) {
    for slot in expr.names().filter_map(|name| space.index.get(name)) {
        decisive[*slot] = true;
    }
}
