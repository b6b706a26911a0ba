//! Fits foreign parameters to the space of the sweep: values get its types, missing ones its
//! `default`, and misfits are kept as trials outside the space.

use swath_model::space::{Params, Space, Value};

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
    let params = completed(space, &filled, 0.3);
    let other = completed(space, &filled, 0.7);
    // A parameter that differs between two completions was drawn: the file does not determine it.
    let undetermined = params.iter().find(|(name, value)| {
        other.get(name) != Some(value) && filled.get(name).is_none() && space.is_drawn(name)
    });
    if let Some((name, _)) = undetermined {
        return (
            in_sweep_order(space, foreign),
            Some(format!("`{name}` is missing, and has no `default`")),
        );
    }
    match space.admits(&params) {
        Ok(()) => (params, None),
        Err(refusal) => (params, Some(refusal.to_string())),
    }
}

/// Returns the configuration whose missing parameters are drawn with the number `unit` in 0..1.
fn completed(space: &Space, params: &Params, unit: f64) -> Params {
    space.complete(params, &vec![unit; space.dims()])
}

/// Returns the parameters unchanged, in the order of the sweep file.
fn in_sweep_order(space: &Space, foreign: &[(String, Value)]) -> Params {
    space
        .names()
        .iter()
        .filter_map(|name| {
            let (_, value) = foreign
                .iter()
                .find(|(foreign_name, _)| **foreign_name == **name)?;
            Some((name.clone(), value.clone()))
        })
        .collect()
}
