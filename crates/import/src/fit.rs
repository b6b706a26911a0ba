//! Fits foreign parameters to the space of the sweep: values get its types, missing ones its
//! `default`, and misfits are kept as trials outside the space.

use std::collections::HashSet;
use swath_model::space::{Name, Params, Space, Value};

/// A space, with the facts about it that every trial needs.
pub(super) struct Fitter<'a> {
    space: &'a Space,
    names: Vec<Name>,
    drawn: HashSet<Name>,
    defaults: Params,
    /// Two points, with which the missing parameters are drawn.
    points: [Vec<f64>; 2],
}

impl<'a> Fitter<'a> {
    pub(super) fn new(space: &'a Space) -> Self {
        let names = space.names();
        let drawn = names.iter().filter(|name| space.is_drawn(name));
        Self {
            space,
            drawn: drawn.cloned().collect(),
            names,
            defaults: space.defaults(),
            points: [0.3, 0.7].map(|unit| vec![unit; space.dims()]),
        }
    }

    /// Returns the configuration, and the reason if it is not in the space.
    pub(super) fn fit(&self, foreign: &[(String, Value)]) -> (Params, Option<String>) {
        let drawn = foreign
            .iter()
            .filter(|(name, _)| self.drawn.contains(name.as_str()));
        let typed: Params = drawn
            .map(|(name, value)| (name.as_str().into(), self.space.typed(name, value)))
            .collect();
        let missing = self
            .defaults
            .iter()
            .filter(|(name, _)| typed.get(name).is_none())
            .cloned();
        let filled: Params = typed.iter().cloned().chain(missing).collect();
        let [params, other] = [0, 1].map(|index| self.space.complete(&filled, &self.points[index]));
        // A parameter that differs between two completions was drawn: the file does not determine
        // it.
        let undetermined = params.iter().find(|(name, value)| {
            other.get(name) != Some(value)
                && filled.get(name).is_none()
                && self.drawn.contains(name)
        });
        if let Some((name, _)) = undetermined {
            return (
                self.in_sweep_order(foreign),
                Some(format!("`{name}` is missing, and has no `default`")),
            );
        }
        match self.space.admits(&params) {
            Ok(()) => (params, None),
            Err(refusal) => (params, Some(refusal.to_string())),
        }
    }

    /// Returns the parameters unchanged, in the order of the sweep file.
    fn in_sweep_order(&self, foreign: &[(String, Value)]) -> Params {
        self.names
            .iter()
            .filter_map(|name| {
                let (_, value) = foreign
                    .iter()
                    .find(|(foreign_name, _)| **foreign_name == **name)?;
                Some((name.clone(), value.clone()))
            })
            .collect()
    }
}
