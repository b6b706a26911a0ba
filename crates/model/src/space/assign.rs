//! Evaluates the entries of a space in the order of their dependencies, in order to draw, encode or
//! check a configuration.

use super::param::{Origin, Param, Settled};
use super::{Params, Refusal, Space, Value};
use std::sync::Arc;

/// Values of a configuration by position of the name; `None` for a parameter without a value.
pub(super) struct Values<'a> {
    space: &'a Space,
    pub(super) slots: Vec<Option<Value>>,
}

impl<'a> Values<'a> {
    pub(super) fn none(space: &'a Space) -> Self {
        Self {
            space,
            slots: vec![None; space.names.len()],
        }
    }

    /// Makes the slots of a configuration. Names that are not in the space are ignored.
    fn of(space: &'a Space, params: &Params) -> Self {
        let mut values = Self::none(space);
        for (at, (name, value)) in params.iter().enumerate() {
            // Configurations usually have all names in the order of the space, which saves the
            // lookup.
            let slot = match space.names.get(at) {
                Some(expected) if expected == name => Some(at),
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
    pub(super) fn settle<'p>(&self, param: &'p Param) -> Result<Settled<'p>, String> {
        param.settle(&self.slots, &|name| self.get(name))
    }

    pub(super) fn into_params(self) -> Params {
        let names = self.space.names.iter();
        names
            .zip(self.slots)
            .filter_map(|(name, value)| Some((Arc::clone(name), value?)))
            .collect()
    }
}

/// Draws a configuration at a point. A value in `given` replaces the drawn one if its parameter is
/// active. Missing coordinates are 0.5.
pub(super) fn draw(space: &Space, unit: &[f64], given: &Params) -> Params {
    let given = if given.is_empty() {
        None
    } else {
        Some(Values::of(space, given))
    };
    let mut values = Values::none(space);
    for param in &space.params {
        let at = |index: usize| unit.get(param.axes.start + index).copied().unwrap_or(0.5);
        let wish = given
            .as_ref()
            .and_then(|given| given.slots[param.targets[0]].as_ref());
        match values.settle(param) {
            Ok(Settled::Value(value)) => values.slots[param.targets[0]] = Some(value.into_owned()),
            Ok(Settled::Draw(domain)) => {
                let value = wish.cloned().unwrap_or_else(|| domain.decode(at(0)));
                values.slots[param.targets[0]] = Some(value);
            }
            Ok(Settled::Draws(domain, count)) => {
                let wishes = if let Some(Value::List(items)) = wish {
                    items.as_slice()
                } else {
                    &[]
                };
                let one = |index| {
                    wishes
                        .get(index)
                        .cloned()
                        .unwrap_or_else(|| domain.decode(at(index)))
                };
                values.slots[param.targets[0]] = Some(Value::List((0..count).map(one).collect()));
            }
            Ok(Settled::Rows(rows, cases)) => {
                // A row is chosen as a whole, because its values belong together.
                let row = &rows[wished_row(param, rows, given.as_ref())
                    .unwrap_or_else(|| cases.decode(super::domain::unit(at(0))))];
                for (target, value) in param.targets.iter().zip(row) {
                    values.slots[*target] = Some(value.clone());
                }
            }
            // An impossible entry stays without a value; `admits` reports the reason.
            Ok(Settled::Absent) | Err(_) => {}
        }
    }
    values.into_params()
}

/// Returns the index of the first row that agrees with the given values. Returns `None` if no value
/// of the row is given, or no row agrees.
fn wished_row(param: &Param, rows: &[Vec<Value>], given: Option<&Values<'_>>) -> Option<usize> {
    let wishes: Vec<_> = param
        .targets
        .iter()
        .map(|target| given?.slots[*target].as_ref())
        .collect();
    if wishes.iter().all(Option::is_none) {
        return None;
    }
    rows.iter().position(|row| {
        row.iter()
            .zip(&wishes)
            .all(|(value, wish)| wish.is_none_or(|wish| wish == value))
    })
}

/// Returns the point of a configuration. Coordinates of inactive parameters are 0.5.
pub(super) fn encode(space: &Space, params: &Params) -> Vec<f64> {
    let values = Values::of(space, params);
    let mut point = vec![0.5; space.dims()];
    for param in &space.params {
        let value = values.slots[param.targets[0]].as_ref();
        let coordinates = &mut point[param.axes.clone()];
        match (values.settle(param), value) {
            (Ok(Settled::Draw(domain)), Some(value)) => coordinates[0] = domain.encode(value),
            (Ok(Settled::Draws(domain, count)), Some(Value::List(items))) => {
                for (coordinate, item) in coordinates.iter_mut().take(count).zip(items) {
                    *coordinate = domain.encode(item);
                }
            }
            (Ok(Settled::Rows(rows, cases)), _) => {
                if let Some(row) = row_of(param, rows, &values) {
                    coordinates[0] = cases.encode(row);
                }
            }
            _ => {}
        }
    }
    point
}

/// Returns the index of the row that equals the values of a configuration.
fn row_of(param: &Param, rows: &[Vec<Value>], values: &Values<'_>) -> Option<usize> {
    rows.iter().position(|row| {
        param
            .targets
            .iter()
            .zip(row)
            .all(|(target, value)| values.slots[*target].as_ref() == Some(value))
    })
}

/// Returns which axes are active in a configuration.
pub(super) fn active(space: &Space, params: &Params) -> Vec<bool> {
    let values = Values::of(space, params);
    let mut active = vec![false; space.dims()];
    for param in &space.params {
        let axes = &mut active[param.axes.clone()];
        let count = match values.settle(param) {
            Ok(Settled::Draw(_) | Settled::Rows(..)) => 1,
            Ok(Settled::Draws(_, count)) => count,
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
    let mut exists = vec![false; space.names.len()];
    for param in &space.params {
        let settled = values.settle(param).map_err(Refusal::Constraint)?;
        if matches!(settled, Settled::Absent) {
            continue;
        }
        for target in &param.targets {
            exists[*target] = true;
            if values.slots[*target].is_none() {
                return Err(Refusal::Missing(space.names[*target].clone()));
            }
        }
        if !fits(param, &settled, &values) {
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
        if !exists[slot] && values.slots[slot].is_some() {
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
fn fits(param: &Param, settled: &Settled<'_>, values: &Values<'_>) -> bool {
    let value = values.slots[param.targets[0]].as_ref();
    match settled {
        Settled::Absent => true,
        Settled::Value(wanted) => value == Some(wanted),
        Settled::Draw(domain) => value.is_some_and(|value| domain.admits(value)),
        Settled::Draws(domain, count) => matches!(
            value, Some(Value::List(items)) if items.len() == *count && items.iter().all(|item| domain.admits(item))
        ),
        Settled::Rows(rows, cases) => {
            row_of(param, rows, values).is_some_and(|row| cases.is_possible(row))
        }
    }
}

/// Returns the defaults of the parameters that are active when all defaults are taken.
pub(super) fn defaults(space: &Space) -> Params {
    let mut values = Values::none(space);
    let mut defaulted = vec![false; space.names.len()];
    for param in &space.params {
        // A parameter that decides whether others are active may have no default. Entries below it
        // keep their defaults, because their condition is unknown, not false.
        let absent = param
            .conditions
            .iter()
            .any(|condition| condition.fails(&values.slots, &|name| values.get(name)));
        if absent {
            continue;
        }
        if let (Origin::Fixed(_) | Origin::Derived(_), Ok(Settled::Value(value))) =
            (&param.origin, values.settle(param))
        {
            values.slots[param.targets[0]] = Some(value.into_owned());
        }
        for (target, default) in param.targets.iter().zip(&param.default) {
            let value = match (default, values.settle(param)) {
                // A list default shorter than the current length is filled up with its last item.
                (Value::List(items), Ok(Settled::Draws(_, count))) if !items.is_empty() => {
                    Value::List(
                        (0..count)
                            .map(|at| items[at.min(items.len() - 1)].clone())
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
    for (slot, kept) in defaulted.into_iter().enumerate() {
        if !kept {
            values.slots[slot] = None;
        }
    }
    values.into_params()
}
