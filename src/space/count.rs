//! How many configurations there are.

use super::assign::Values;
use super::domain::Domain;
use super::param::{Condition, Origin, Param, Settled};
use super::{Space, Value};

/// More cases of the parameters that decide over others are not gone through.
const MOST_CASES: u64 = 100_000;

/// Counts the configurations before constraints: goes through all cases of the parameters that
/// others depend on, and multiplies the rest.
pub(super) fn size(space: &Space) -> Option<u64> {
    let decisive = decisive(space);
    let mut counter = Counter {
        space,
        decisive,
        values: Values::none(space),
        cases: 0,
    };
    counter.count(0).filter(|total| *total <= 1 << 63)
}

struct Counter<'a> {
    space: &'a Space,
    decisive: Vec<bool>,
    values: Values<'a>,
    cases: u64,
}

impl Counter<'_> {
    /// Counts what the entries from number `from` on can be; recurses once for each decisive entry.
    fn count(&mut self, from: usize) -> Option<u64> {
        self.cases += 1;
        if self.cases > MOST_CASES {
            return None;
        }
        let space = self.space;
        let mut total: u64 = 1;
        for (at, param) in space.params.iter().enumerate().skip(from) {
            let target = param.targets[0];
            let choices = match self.values.settle(param) {
                Err(_) => return Some(0),
                Ok(Settled::Absent) => continue,
                Ok(Settled::Value(value)) => {
                    self.values.slots[target] = Some(value.into_owned());
                    continue;
                }
                Ok(Settled::Draws(domain, count)) => {
                    if self.decides(param) {
                        return None;
                    }
                    total = total.checked_mul(power(domain.count(), count)?)?;
                    continue;
                }
                Ok(Settled::Draw(domain)) => {
                    if !self.decides(param) {
                        total = total.checked_mul(domain.count()?)?;
                        continue;
                    }
                    cases(&domain)?
                }
                Ok(Settled::Rows(rows, cases)) => {
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
                sum = sum.checked_add(self.count(at + 1)?)?;
                self.values.slots.clone_from(&before);
            }
            return total.checked_mul(sum);
        }
        Some(total)
    }

    fn decides(&self, param: &Param) -> bool {
        param.targets.iter().any(|target| self.decisive[*target])
    }
}

fn power(base: Option<u64>, count: usize) -> Option<u64> {
    if count == 0 {
        Some(1)
    } else {
        base?.checked_pow(u32::try_from(count).ok()?)
    }
}

fn cases(domain: &Domain) -> Option<Vec<Vec<Value>>> {
    let count = domain.count().filter(|count| *count <= MOST_CASES)?;
    let all = (0..)
        .map_while(|at| domain.at(at))
        .filter(|value| domain.contains(value))
        .map(|value| vec![value]);
    Some(all.take(count as usize).collect())
}

/// Marks the names that others depend on, directly or through derived values.
fn decisive(space: &Space) -> Vec<bool> {
    let mut decisive = vec![false; space.names.len()];
    let mark = |name: &str, decisive: &mut Vec<bool>| {
        if let Some(slot) = space.index.get(name) {
            decisive[*slot] = true;
        }
    };
    for param in space.params.iter().rev() {
        let is_free = matches!(param.origin, Origin::Drawn { .. } | Origin::Rows { .. });
        if !is_free && !decisive[param.targets[0]] {
            continue;
        }
        for condition in &param.conditions {
            match condition {
                Condition::Branch { switch, .. } => decisive[*switch] = true,
                Condition::When(expr) => expr.names().for_each(|name| mark(name, &mut decisive)),
            }
        }
        for expr in param.exprs() {
            expr.names().for_each(|name| mark(name, &mut decisive));
        }
    }
    decisive
}
