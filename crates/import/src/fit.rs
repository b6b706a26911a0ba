//! Fits foreign parameters to the space of the sweep: values get its types, missing ones its
//! `default`, and misfits are kept as trials outside the space.

use crate::space::{Params, Space, Value};

/// Returns the configuration, and the reason if it is not in the space.
pub(super) fn fit(space: &Space, foreign: &[(String, Value)]) -> (Params, Option<String>) {
    let drawn = foreign.iter().filter(|(name, _)| space.is_drawn(name));
    let typed: Params = drawn
        .map(|(name, value)| (name.as_str().into(), space.typed(name, value)))
        .collect();
    let defaults = space.defaults();
    let missing = defaults
        .iter()
        .filter(|(name, _)| typed.get(name).is_none())
        .cloned();
    let filled: Params = typed.iter().cloned().chain(missing).collect();
    let at = |unit: f64| space.complete(&filled, &vec![unit; space.dims()]);
    let params = at(0.3);
    let other = at(0.7);
    // A parameter that differs between two completions was drawn: the file does not determine it.
    let open = params.iter().find(|(name, value)| {
        other.get(name) != Some(value) && filled.get(name).is_none() && space.is_drawn(name)
    });
    if let Some((name, _)) = open {
        return (
            raw(space, foreign),
            Some(format!("`{name}` is missing, and has no `default`")),
        );
    }
    match space.admits(&params) {
        Ok(()) => (params, None),
        Err(refusal) => (params, Some(refusal.to_string())),
    }
}

/// Returns the parameters unchanged, in the order of the sweep file.
fn raw(space: &Space, foreign: &[(String, Value)]) -> Params {
    let find = |name: &crate::space::Name| {
        let value = foreign
            .iter()
            .find(|(found, _)| **found == **name)
            .map(|(_, value)| value.clone())?;
        Some((name.clone(), value))
    };
    space.names().iter().filter_map(find).collect()
}
