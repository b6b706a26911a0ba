//! Evaluates the entries of a space in the order of their dependencies, in order to draw, encode or
//! check a configuration.

use super::lookup::Rows;
use super::param::{Evaluation, Param, ValueSource};
use super::{Params, Refusal, Space, Value, domain};
use std::sync::Arc;

/// Values of a configuration by position of the name; `None` for a parameter without a value.
pub(super) struct Values<'a> {
    space: &'a Space,
    pub(super) slots: Vec<Option<Value>>,
}

impl<'a> Values<'a> {
    pub(super) fn empty(space: &'a Space) -> Self {
        Self {
            space,
            slots: vec![None; space.names.len()],
        }
    }

    /// Makes the slots of a configuration. Names that are not in the space are ignored.
    fn of(space: &'a Space, params: &Params) -> Self {
        let mut values = Self::empty(space);
        for (position, (name, value)) in params.iter().enumerate() {
            // Configurations usually have all names in the order of the space, which saves the
            // lookup.
            let slot = match space.names.get(position) {
                Some(expected) if expected == name => Some(position),
                _ => space.index.get(name).copied(),
            };
            if let Some(slot) = slot {
                values.slots[slot] = Some(value.clone());
            }
        }
        values
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        self.space
            .index
            .get(name)
            .and_then(|slot| self.slots[*slot].clone())
    }

    /// Evaluates an entry with these values.
    pub(super) fn evaluate<'p>(&self, param: &'p Param) -> Result<Evaluation<'p>, String> {
        param.evaluate(&self.slots, &|name| self.get(name))
    }

    pub(super) fn into_params(self) -> Params {
        let names = self.space.names.iter();
        names
            .zip(self.slots)
            .filter_map(|(name, value)| Some((Arc::clone(name), value?)))
            .collect()
    }
}

/// Draws a configuration at a point. A value in `fixed` replaces the drawn one if its parameter is
/// active. Missing coordinates are 0.5.
pub(super) fn draw(space: &Space, unit: &[f64], fixed: &Params) -> Params {
    let fixed = if fixed.is_empty() {
        None
    } else {
        Some(Values::of(space, fixed))
    };
    let mut values = Values::empty(space);
    for param in &space.params {
        let target = param.targets[0];
        let fixed_value = fixed
            .as_ref()
            .and_then(|fixed| fixed.slots[target].as_ref());
        match values.evaluate(param) {
            Ok(Evaluation::Value(value)) => values.slots[target] = Some(value.into_owned()),
            Ok(Evaluation::Draw(domain)) => {
                let value = fixed_value
                    .cloned()
                    .unwrap_or_else(|| domain.decode(coordinate(unit, param, 0)));
                values.slots[target] = Some(value);
            }
            Ok(Evaluation::Draws(domain, count)) => {
                let fixed_items = if let Some(Value::List(items)) = fixed_value {
                    items.as_slice()
                } else {
                    &[]
                };
                let items = (0..count).map(|index| {
                    fixed_items
                        .get(index)
                        .cloned()
                        .unwrap_or_else(|| domain.decode(coordinate(unit, param, index)))
                });
                values.slots[target] = Some(Value::List(items.collect()));
            }
            Ok(Evaluation::Rows(rows)) => {
                // A row is chosen as a whole, because its values belong together.
                let row = fixed_row(param, rows, fixed.as_ref())
                    .unwrap_or_else(|| rows.cases.decode(domain::unit(coordinate(unit, param, 0))));
                for (target, value) in param.targets.iter().zip(&rows.rows[row]) {
                    values.slots[*target] = Some(value.clone());
                }
            }
            // An impossible entry stays without a value; `admits` reports the reason.
            Ok(Evaluation::Absent) | Err(_) => {}
        }
    }
    values.into_params()
}

/// Returns the coordinate on one axis of an entry.
fn coordinate(unit: &[f64], param: &Param, axis: usize) -> f64 {
    unit.get(param.axes.start + axis).copied().unwrap_or(0.5)
}

/// Returns the index of the first row that agrees with the fixed values. Returns `None` if no value
/// of the row is fixed, or no row agrees.
fn fixed_row(param: &Param, rows: &Rows, fixed: Option<&Values<'_>>) -> Option<usize> {
    let fixed_values: Vec<_> = param
        .targets
        .iter()
        .map(|target| fixed?.slots[*target].as_ref())
        .collect();
    if fixed_values.iter().all(Option::is_none) {
        return None;
    }
    rows.position(&fixed_values, |cell, value| cell == value)
}

/// Returns the point of a configuration. Coordinates of inactive parameters are 0.5.
pub(super) fn encode(space: &Space, params: &Params) -> Vec<f64> {
    let values = Values::of(space, params);
    let mut point = vec![0.5; space.dims()];
    for param in &space.params {
        let value = values.slots[param.targets[0]].as_ref();
        let coordinates = &mut point[param.axes.clone()];
        match (values.evaluate(param), value) {
            (Ok(Evaluation::Draw(domain)), Some(value)) => coordinates[0] = domain.encode(value),
            (Ok(Evaluation::Draws(domain, count)), Some(Value::List(items))) => {
                for (coordinate, item) in coordinates.iter_mut().take(count).zip(items) {
                    *coordinate = domain.encode(item);
                }
            }
            (Ok(Evaluation::Rows(rows)), _) => {
                if let Some(row) = row_of(param, rows, &values) {
                    coordinates[0] = rows.cases.encode(row);
                }
            }
            _ => {}
        }
    }
    point
}

/// Returns the index of the row that equals the values of a configuration.
fn row_of(param: &Param, rows: &Rows, values: &Values<'_>) -> Option<usize> {
    let row: Option<Vec<_>> = param
        .targets
        .iter()
        .map(|target| values.slots[*target].as_ref().map(Some))
        .collect();
    rows.position(&row?, |cell, value| cell == value)
}

/// Returns which axes are active in a configuration.
pub(super) fn active(space: &Space, params: &Params) -> Vec<bool> {
    let values = Values::of(space, params);
    let mut active = vec![false; space.dims()];
    for param in &space.params {
        let axes = &mut active[param.axes.clone()];
        let count = match values.evaluate(param) {
            Ok(Evaluation::Draw(_) | Evaluation::Rows(..)) => 1,
            Ok(Evaluation::Draws(_, count)) => count,
            _ => 0,
        };
        axes[..count].fill(true);
    }
    active
}

/// Checks a configuration. First each active parameter must have a value in its range, and no
/// inactive one may have a value. Then the constraints are checked.
pub(super) fn admits(space: &Space, params: &Params) -> Result<(), Refusal> {
    let values = Values::of(space, params);
    // The number of known names differs only if a name is not in the space at all.
    if values.slots.iter().flatten().count() < params.len()
        && let Some((name, _)) = params
            .iter()
            .find(|(name, _)| !space.index.contains_key(name))
    {
        return Err(Refusal::Inactive(name.clone()));
    }
    let mut active = vec![false; space.names.len()];
    for param in &space.params {
        let evaluation = values.evaluate(param).map_err(Refusal::Constraint)?;
        if matches!(evaluation, Evaluation::Absent) {
            continue;
        }
        for target in &param.targets {
            active[*target] = true;
            if values.slots[*target].is_none() {
                return Err(Refusal::Missing(space.names[*target].clone()));
            }
        }
        if !fits(param, &evaluation, &values) {
            let target = param.targets[0];
            let value = values.slots[target].clone().unwrap_or(Value::Bool(false));
            return Err(Refusal::Outside {
                name: space.names[target].clone(),
                value,
            });
        }
    }
    // Checked after all entries, because entries in several branches may set the same name.
    for (slot, name) in space.names.iter().enumerate() {
        if !active[slot] && values.slots[slot].is_some() {
            return Err(Refusal::Inactive(name.clone()));
        }
    }
    for (name, expr) in &space.constraints {
        match expr.holds(&|name| values.get(name)) {
            Ok(Some(false)) => return Err(Refusal::Constraint(name.to_string())),
            Ok(_) => {}
            Err(error) => return Err(Refusal::Constraint(format!("{name}: {error}"))),
        }
    }
    Ok(())
}

/// Returns whether the values of an entry's targets are possible.
fn fits(param: &Param, evaluation: &Evaluation<'_>, values: &Values<'_>) -> bool {
    let value = values.slots[param.targets[0]].as_ref();
    match evaluation {
        Evaluation::Absent => true,
        Evaluation::Value(expected) => value == Some(expected),
        Evaluation::Draw(domain) => value.is_some_and(|value| domain.admits(value)),
        Evaluation::Draws(domain, count) => {
            let Some(Value::List(items)) = value else {
                return false;
            };
            items.len() == *count && items.iter().all(|item| domain.admits(item))
        }
        Evaluation::Rows(rows) => {
            row_of(param, rows, values).is_some_and(|row| rows.cases.is_possible(row))
        }
    }
}

/// Returns the defaults of the parameters that are active when all defaults are taken.
pub(super) fn defaults(space: &Space) -> Params {
    let mut values = Values::empty(space);
    let mut defaulted = vec![false; space.names.len()];
    for param in &space.params {
        // A parameter that decides whether others are active may have no default. Entries below it
        // keep their defaults, because their condition is unknown, not false.
        let is_inactive = param
            .conditions
            .iter()
            .any(|condition| condition.fails(&values.slots, &|name| values.get(name)));
        if is_inactive {
            continue;
        }
        if let (ValueSource::Fixed(_) | ValueSource::Derived(_), Ok(Evaluation::Value(value))) =
            (&param.source, values.evaluate(param))
        {
            values.slots[param.targets[0]] = Some(value.into_owned());
        }
        for (target, default) in param.targets.iter().zip(&param.default) {
            let value = match (default, values.evaluate(param)) {
                // A list default shorter than the current length is filled up with its last item.
                (Value::List(items), Ok(Evaluation::Draws(_, count))) if !items.is_empty() => {
                    Value::List(
                        (0..count)
                            .map(|index| items[index.min(items.len() - 1)].clone())
                            .collect(),
                    )
                }
                _ => default.clone(),
            };
            values.slots[*target] = Some(value);
            defaulted[*target] = true;
        }
    }
    // Constants and derived values were needed for evaluation but are not defaults.
    for (slot, has_default) in defaulted.into_iter().enumerate() {
        if !has_default {
            values.slots[slot] = None;
        }
    }
    values.into_params()
}
