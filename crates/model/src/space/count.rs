//! Counts the configurations of a space.

use super::assign::Values;
use super::domain::Domain;
use super::expr::Expr;
use super::param::{Condition, Evaluation, Param, ValueSource};
use super::{Space, Value};
use std::collections::BTreeMap;

/// Maximum number of combinations of decisive parameters that are enumerated.
const MAX_CASES: u64 = 100_000;
/// Maximum number of entries that are evaluated for all combinations together.
const MAX_EVALUATIONS: u64 = 20_000_000;
/// Maximum number of decisive parameters in one combination. The enumeration recurses for each.
const MAX_DEPTH: usize = 1000;

/// Counts the configurations before constraints. Enumerates the combinations of decisive
/// parameters, on which other parameters depend, and multiplies the counts of the others. Returns
/// `None` for a continuous space or if there are too many combinations.
pub(super) fn size(space: &Space) -> Option<u64> {
    let mut counter = Counter {
        decisive: decisive(space),
        values: Values::empty(space),
        changes: Vec::new(),
        cases: 0,
        evaluations: 0,
        depth: 0,
    };
    for param in &space.params {
        if let (true, ValueSource::Fixed(value)) = (is_constant(param), &param.source) {
            counter.values.slots[param.targets[0]] = Some(value.clone());
        }
    }
    // Parameters that have nothing to do with each other are counted separately: enumerated
    // together, each would multiply the number of combinations.
    let mut total: u64 = 1;
    for component in components(space) {
        total = total.checked_mul(counter.count(&component, 0)?)?;
    }
    Some(total).filter(|total| *total <= 1 << 63)
}

/// Entries that depend on each other, directly or through others, and on no other entries but
/// constants.
#[derive(Default)]
struct Component<'a> {
    /// In topological order.
    entries: Vec<&'a Param>,
    /// For each entry and each of its conditions, the index of the next entry that does not have
    /// this condition too.
    next_without: Vec<Vec<usize>>,
}

/// Splits the entries of a space into components.
fn components(space: &Space) -> Vec<Component<'_>> {
    let mut groups = Groups {
        parents: (0..space.names.len()).collect(),
    };
    let mut constants = vec![true; space.names.len()];
    for param in &space.params {
        for target in &param.targets {
            constants[*target] &= is_constant(param);
        }
    }
    for param in &space.params {
        let names = param
            .conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::When(expr) => Some(expr),
                Condition::Branch { .. } => None,
            })
            .chain(param.exprs())
            .flat_map(Expr::names)
            .filter_map(|name| space.index.get(name));
        let switches = param
            .conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Branch { switch, .. } => Some(switch),
                Condition::When(_) => None,
            });
        for slot in names.chain(switches).chain(&param.targets) {
            if !constants[*slot] {
                groups.join(*slot, param.targets[0]);
            }
        }
    }
    let mut components: BTreeMap<usize, Component<'_>> = BTreeMap::new();
    for param in &space.params {
        let component = components.entry(groups.root(param.targets[0])).or_default();
        component.entries.push(param);
    }
    let mut components: Vec<_> = components.into_values().collect();
    for component in &mut components {
        component.next_without = next_without(&component.entries);
    }
    components
}

/// Returns whether an entry sets its name to the same value in every configuration.
fn is_constant(param: &Param) -> bool {
    matches!(param.source, ValueSource::Fixed(_)) && param.conditions.is_empty()
}

/// Disjoint sets of numbers.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            // Halves the path, so that later walks are short.
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }
}

fn next_without(entries: &[&Param]) -> Vec<Vec<usize>> {
    let mut next_without: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    for index in (0..entries.len()).rev() {
        let conditions = entries[index].conditions.iter().enumerate();
        next_without[index] = conditions
            .map(|(position, condition)| {
                let next = entries.get(index + 1);
                let same = next.and_then(|next| next.conditions.get(position));
                if same.is_some_and(|same| is_same_branch(condition, same)) {
                    next_without[index + 1][position]
                } else {
                    index + 1
                }
            })
            .collect();
    }
    next_without
}

fn is_same_branch(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (
            Condition::Branch { switch, value, .. },
            Condition::Branch {
                switch: other_switch,
                value: other_value,
                ..
            },
        ) => switch == other_switch && value == other_value,
        _ => false,
    }
}

/// State of the enumeration.
struct Counter<'a> {
    decisive: Vec<bool>,
    values: Values<'a>,
    /// The slots that were changed, each with its value before, for going back to an earlier
    /// combination.
    changes: Vec<(usize, Option<Value>)>,
    cases: u64,
    evaluations: u64,
    depth: usize,
}

impl Counter<'_> {
    /// Counts the combinations of the entries from index `from` on, given the values of the entries
    /// before. Recurses once for each value of a decisive entry.
    fn count(&mut self, component: &Component<'_>, from: usize) -> Option<u64> {
        self.cases += 1;
        if self.cases > MAX_CASES || self.depth > MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let changed_before = self.changes.len();
        let total = self.count_changing(component, from);
        self.undo(changed_before);
        self.depth -= 1;
        total
    }

    /// Counts as [`count`](Self::count) does, and leaves changed values behind.
    fn count_changing(&mut self, component: &Component<'_>, from: usize) -> Option<u64> {
        let mut total: u64 = 1;
        let mut index = from;
        while let Some(param) = component.entries.get(index) {
            self.evaluations += 1;
            if self.evaluations > MAX_EVALUATIONS {
                return None;
            }
            if let Some(condition) = self.failing_branch(param) {
                // The entries of a branch stand together, so all of them are passed over at once.
                index = component.next_without[index][condition];
                continue;
            }
            index += 1;
            let choices = match self.values.evaluate(param) {
                // The bounds or values cannot be computed, so this combination has no
                // configurations.
                Err(_) => return Some(0),
                Ok(Evaluation::Absent) => continue,
                Ok(Evaluation::Value(value)) => {
                    let value = value.into_owned();
                    self.set(param.targets[0], value);
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
                Ok(Evaluation::Rows(rows)) => {
                    let possible = (0..rows.rows.len()).filter(|row| rows.cases.is_possible(*row));
                    if !self.decides(param) {
                        total = total.checked_mul(possible.count() as u64)?;
                        continue;
                    }
                    possible.map(|row| rows.rows[row].clone()).collect()
                }
            };
            let mut sum: u64 = 0;
            for values in choices {
                let changed_before = self.changes.len();
                for (target, value) in param.targets.iter().zip(values) {
                    self.set(*target, value);
                }
                sum = sum.checked_add(self.count(component, index)?)?;
                self.undo(changed_before);
            }
            return total.checked_mul(sum);
        }
        Some(total)
    }

    /// Returns the index of the condition because of which an entry is inactive, if this can be
    /// told from the branches that it stands in.
    fn failing_branch(&self, param: &Param) -> Option<usize> {
        for (index, condition) in param.conditions.iter().enumerate() {
            match condition {
                Condition::Branch { switch, value, .. } => {
                    if self.values.slots[*switch].as_ref() != Some(value) {
                        return Some(index);
                    }
                }
                // An expression before a branch may fail to be computed, which counts.
                Condition::When(_) => return None,
            }
        }
        None
    }

    fn set(&mut self, slot: usize, value: Value) {
        let before = self.values.slots[slot].replace(value);
        self.changes.push((slot, before));
    }

    /// Undoes all changes but the first `count`.
    fn undo(&mut self, count: usize) {
        for (slot, before) in self.changes.drain(count..).rev() {
            self.values.slots[slot] = before;
        }
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
            ValueSource::Drawn { .. } | ValueSource::Rows(_)
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
