//! Resolution of names: the entries that set and use them, and unknown names.

use super::range::BoundDraft;
use super::source_expr::SourceExpr;
use super::{Body, Draft, DraftCondition};
use crate::source::{Diagnostic, Diagnostics, Span};
use crate::space::lookup::hash_of;
use crate::space::{Name, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Returns all names that entries set, each once, in the order of the file.
pub(super) fn names_of(drafts: &[Draft]) -> Vec<Name> {
    let mut seen = HashSet::new();
    let targets = drafts.iter().flat_map(|draft| &draft.targets);
    targets
        .map(|(name, _)| name)
        .filter(|name| seen.insert((*name).clone()))
        .cloned()
        .collect()
}

/// Returns for each name the indices of the drafts that set it.
pub(super) fn setters(drafts: &[Draft], index: &HashMap<Name, usize>) -> Vec<Vec<usize>> {
    let mut setters = vec![Vec::new(); index.len()];
    for (number, draft) in drafts.iter().enumerate() {
        for (name, _) in &draft.targets {
            setters[index[name]].push(number);
        }
    }
    setters
}

/// Reports names that two entries may set in the same configuration.
pub(super) fn report_clashes(
    drafts: &[Draft],
    names: &[Name],
    setters: &[Vec<usize>],
    d: &mut Diagnostics,
) {
    for (name, setters) in names.iter().zip(setters) {
        for (earlier, later) in clashes(drafts, setters, 0) {
            let [again, first] = [later, earlier].map(|draft| {
                let mut targets = drafts[draft].targets.iter();
                let target = targets.find(|(target, _)| target == name);
                target.map_or(0..0, |(_, span)| span.clone())
            });
            let diagnostic = Diagnostic::error("duplicate-name", format!("`{name}` is set twice"))
                .at(again, "again")
                .at(first, "first");
            d.push(
                diagnostic.hint("rename one; only branches of the same choice may share a name"),
            );
        }
    }
}

/// Returns each of the drafts that sets a name in the same configuration as an earlier one, after
/// the first such draft. All of them stand in the same branches up to depth `depth`.
fn clashes(drafts: &[Draft], setters: &[usize], depth: usize) -> Vec<(usize, usize)> {
    if setters.len() < 2 {
        return Vec::new();
    }
    // Drafts in different branches of one choice exclude each other, so only those in the same
    // branch are compared: a choice with thousands of branches has millions of pairs.
    if let Some(groups) = by_branch(drafts, setters, depth) {
        return groups
            .values()
            .flat_map(|group| clashes(drafts, group, depth + 1))
            .collect();
    }
    setters
        .iter()
        .enumerate()
        .filter_map(|(position, later)| {
            let earlier = setters[..position]
                .iter()
                .find(|earlier| !exclude(&drafts[**earlier], &drafts[*later]))?;
            Some((*earlier, *later))
        })
        .collect()
}

/// Groups drafts by the hash of the value of their branch at a depth. Returns `None` if not all of
/// them stand in branches of the same choice there.
fn by_branch(
    drafts: &[Draft],
    setters: &[usize],
    depth: usize,
) -> Option<BTreeMap<u64, Vec<usize>>> {
    let (common_switch, _) = branch_at(&drafts[*setters.first()?], depth)?;
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for setter in setters {
        let (switch, value) = branch_at(&drafts[*setter], depth)?;
        if switch != common_switch {
            return None;
        }
        groups.entry(hash_of(value)).or_default().push(*setter);
    }
    Some(groups)
}

/// Returns the choice and its value of the branch at a depth in which a draft stands.
fn branch_at(draft: &Draft, depth: usize) -> Option<(&Name, &Value)> {
    draft
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            DraftCondition::Branch { switch, value } => Some((switch, value)),
            DraftCondition::When(_) => None,
        })
        .nth(depth)
}

/// Returns whether two drafts stand in different branches of one choice, so that they exclude each
/// other.
fn exclude(a: &Draft, b: &Draft) -> bool {
    a.conditions.iter().any(|a| {
        b.conditions.iter().any(|b| match (a, b) {
            (
                DraftCondition::Branch {
                    switch: a,
                    value: x,
                },
                DraftCondition::Branch {
                    switch: b,
                    value: y,
                },
            ) => a == b && x != y,
            _ => false,
        })
    })
}

/// Returns the expressions of a draft, each with its key.
fn exprs(draft: &Draft) -> Vec<(&'static str, &SourceExpr)> {
    let mut exprs = Vec::new();
    for condition in &draft.conditions {
        if let DraftCondition::When(expr) = condition {
            exprs.push(("when", expr));
        }
    }
    match &draft.body {
        Body::Derived(expr) => exprs.push(("expr", expr)),
        Body::Range(range) => {
            for (key, bound) in [("min", &range.min), ("max", &range.max)] {
                if let Some(BoundDraft::Expr(expr)) = bound {
                    exprs.push((key, expr));
                }
            }
        }
        _ => {}
    }
    exprs.extend(draft.repeat.as_ref().map(|expr| ("repeat", expr)));
    exprs
}

/// Returns the positions of the names that a draft depends on, sorted. Reports unknown names.
pub(super) fn needs(
    draft: &Draft,
    index: &HashMap<Name, usize>,
    names: &[Name],
    d: &mut Diagnostics,
) -> Vec<usize> {
    let switches = draft
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            DraftCondition::Branch { switch, .. } => index.get(switch),
            DraftCondition::When(_) => None,
        });
    let mut needs: Vec<usize> = switches.copied().collect();
    for (_, expr) in exprs(draft) {
        for (name, span) in expr.parsed.mentions() {
            match index.get(name) {
                Some(slot) => needs.push(*slot),
                None => {
                    let names = if d.list.len() < ENOUGH { names } else { &[] };
                    report_once(d, unknown_name(name, expr.span_of(span), names));
                }
            }
        }
    }
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Number of diagnostics after which unknown names get no "did you mean", and number of recent
/// diagnostics searched for duplicates. Bounds the time for files with many mistakes.
pub(super) const ENOUGH: usize = 200;

/// Adds a diagnostic unless it is among the recent ones. The `when` of a group is checked once for
/// each of its parameters, so its mistakes would be repeated.
pub(super) fn report_once(d: &mut Diagnostics, diagnostic: Diagnostic) {
    if !d
        .list
        .iter()
        .rev()
        .take(ENOUGH)
        .any(|earlier| *earlier == diagnostic)
    {
        d.push(diagnostic);
    }
}

pub(super) fn unknown_name(name: &str, span: Span, names: &[Name]) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-name", format!("there is no parameter `{name}`"))
        .at(span, "unknown");
    // Without backticks, `weight-decay` reads as `weight` minus `decay`.
    let dashed = names
        .iter()
        .find(|other| other.contains('-') && other.split('-').next() == Some(name));
    match dashed {
        Some(dashed) => {
            diagnostic.hint(format!("write a name with a dash in backticks: `{dashed}`"))
        }
        None => diagnostic.did_you_mean(name, names.iter().map(|name| &**name)),
    }
}
