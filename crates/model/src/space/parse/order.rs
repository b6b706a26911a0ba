//! Topological order of the parameters: each after all parameters it depends on.

use super::Draft;
use crate::source::{Diagnostic, Diagnostics};
use crate::space::Name;
use std::collections::{BTreeSet, HashMap};

/// Sorts drafts topologically by the names that each `needs`, otherwise in the order of the file. A
/// name is set once all its `setters` were placed. Drafts in a dependency cycle, and drafts that
/// depend on one, are left out; one cycle is reported.
pub(super) fn order(
    drafts: &[Draft],
    needs: &[Vec<usize>],
    setters: &[Vec<usize>],
    index: &HashMap<Name, usize>,
    d: &mut Diagnostics,
) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut unplaced_setters: Vec<usize> = setters.iter().map(Vec::len).collect();
    let mut needed_by = vec![Vec::new(); setters.len()];
    for (draft, needs) in needs.iter().enumerate() {
        for need in needs {
            needed_by[*need].push(draft);
        }
    }
    let mut ready: BTreeSet<usize> = (0..drafts.len())
        .filter(|draft| missing[*draft] == 0)
        .collect();
    let mut order = Vec::with_capacity(drafts.len());
    while let Some(draft) = ready.pop_first() {
        order.push(draft);
        for slot in drafts[draft].targets.iter().map(|(name, _)| index[name]) {
            unplaced_setters[slot] -= 1;
            if unplaced_setters[slot] > 0 {
                continue;
            }
            for next in &needed_by[slot] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    ready.insert(*next);
                }
            }
        }
    }
    if order.len() < drafts.len() {
        d.push(cycle(drafts, needs, setters, &missing));
    }
    order
}

/// Returns the error that describes one cycle among the drafts with unmet dependencies.
fn cycle(
    drafts: &[Draft],
    needs: &[Vec<usize>],
    setters: &[Vec<usize>],
    missing: &[usize],
) -> Diagnostic {
    let mut path: Vec<usize> = Vec::new();
    let mut member = missing.iter().position(|missing| *missing > 0).unwrap_or(0);
    while !path.contains(&member) {
        path.push(member);
        // A draft with unmet dependencies needs at least one other such draft, so the walk ends in
        // a cycle.
        member = needs[member]
            .iter()
            .flat_map(|slot| &setters[*slot])
            .copied()
            .filter(|need| missing[*need] > 0)
            .min()
            .unwrap_or(member);
    }
    let start = path
        .iter()
        .position(|earlier| *earlier == member)
        .unwrap_or(0);
    let members = &path[start..];
    let names: Vec<_> = members
        .iter()
        .chain(members.first())
        .map(|member| format!("`{}`", drafts[*member].name))
        .collect();
    let message = match members {
        [alone] => format!("`{}` depends on itself", drafts[*alone].name),
        _ => format!(
            "these parameters depend on each other in a cycle: {}",
            names.join(" needs ")
        ),
    };
    let mut diagnostic = Diagnostic::error("cycle", message);
    for (member, next) in members.iter().zip(names.iter().skip(1)).take(8) {
        diagnostic = diagnostic.at(drafts[*member].key.clone(), format!("needs {next}"));
    }
    diagnostic.hint(
        "a `when`, bound, `repeat` or `expr` may only use parameters that do not use this one",
    )
}
