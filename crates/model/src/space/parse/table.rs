//! Tables of parameters: the space itself, groups and branches.

use super::entry;
use super::source_expr::SourceExpr;
use super::{Body, Draft, DraftCondition, choice};
use crate::source::{
    Diagnostic, Diagnostics, Key, Node, NodeValue, Section, Span, Table, diagnostic,
};
use crate::space::Name;

/// Context of a table of parameters.
#[derive(Clone, Default)]
pub(super) struct TableContext {
    /// Prefix of the names in the table: `model.`
    pub(super) prefix: String,
    /// Conditions that apply to all entries in the table.
    pub(super) conditions: Vec<DraftCondition>,
}

/// Reads all entries of `[space]` into drafts.
pub(super) fn read(mut space: Section, d: &mut Diagnostics) -> Vec<Draft> {
    let mut drafts = Vec::new();
    read_params(space.take_rest(), &TableContext::default(), &mut drafts, d);
    drafts
}

/// Reads the parameters of a table and appends them to `drafts`.
pub(super) fn read_params(
    entries: Vec<(Key, Node)>,
    context: &TableContext,
    drafts: &mut Vec<Draft>,
    d: &mut Diagnostics,
) {
    for (key, node) in entries {
        if let Some(reason) = unusable(&key.name) {
            let message = format!(
                "`{}` cannot be the name of a parameter: {reason}",
                key.name.escape_debug()
            );
            d.push(Diagnostic::error("bad-name", message).at(key.span, "rename it"));
            continue;
        }
        read_param(key, node, context, drafts, d);
    }
}

fn read_param(
    key: Key,
    node: Node,
    context: &TableContext,
    drafts: &mut Vec<Draft>,
    d: &mut Diagnostics,
) {
    let name: Name = format!("{}{}", context.prefix, key.name).into();
    match node.value {
        NodeValue::Table(table) => match entry::family(&table) {
            Some(main) => entry::read(name, key, (node.span, table), main, context, drafts, d),
            None if is_group(&table) => read_group(&name, table, context, drafts, d),
            None => {
                d.push(rangeless(&name, &key, &table));
                // The broken draft keeps the name known, so that expressions with it are not
                // reported as well.
                drafts.push(draft(name, key.span, context, Body::Broken));
            }
        },
        NodeValue::Array(ref items) => {
            let body = choice::read_array(&name, items, &node.span, d).unwrap_or(Body::Broken);
            drafts.push(draft(name, key.span, context, body));
        }
        _ => {
            let body = choice::value_of(&name, &node, d).map_or(Body::Broken, Body::Fixed);
            drafts.push(draft(name, key.span, context, body));
        }
    }
}

/// Makes a draft of a parameter that sets only its own name.
pub(super) fn draft(name: Name, key: Span, context: &TableContext, body: Body) -> Draft {
    let targets = vec![(name.clone(), key.clone())];
    Draft {
        name,
        key,
        targets,
        conditions: context.conditions.clone(),
        body,
        repeat: None,
        default: None,
    }
}

fn read_group(
    name: &Name,
    table: Table,
    context: &TableContext,
    drafts: &mut Vec<Draft>,
    d: &mut Diagnostics,
) {
    let mut context = TableContext {
        prefix: format!("{name}."),
        conditions: context.conditions.clone(),
    };
    let entries = take_when(table, &mut context, d);
    read_params(entries, &context, drafts, d);
}

/// Removes the `when` of a group or branch and adds it to the conditions of `context`, so that it
/// applies to all entries in the table. Returns the other entries.
pub(super) fn take_when(
    table: Table,
    context: &mut TableContext,
    d: &mut Diagnostics,
) -> Vec<(Key, Node)> {
    let mut entries = table.entries;
    // A parameter may itself be called `when`; then its value is not a text.
    let when = entries
        .iter()
        .position(|(key, node)| key.name == "when" && matches!(node.value, NodeValue::Text(_)));
    if let Some(index) = when {
        let (_, node) = entries.remove(index);
        context
            .conditions
            .extend(SourceExpr::read("when", &node, d).map(DraftCondition::When));
    }
    entries
}

/// Returns whether a table without `min`, `choice` and so on is a group of parameters, and not one
/// parameter with a mistake.
fn is_group(table: &Table) -> bool {
    // A modifier such as `log` belongs to one parameter whose range is missing.
    let has_modifier = table
        .entries
        .iter()
        .any(|(key, node)| !super::is_table(node) && entry::is_modifier(&key.name));
    // In an inline table, a key similar to `min` or `choice` is probably a typing error.
    let has_misspelt_key = table.inline
        && table.entries.iter().any(|(key, node)| {
            !super::is_table(node)
                && diagnostic::nearest(&key.name, entry::MAIN_KEYS.iter().copied()).is_some()
        });
    // An inline table of scalars is probably a parameter with a mistake.
    let has_only_scalars = table.inline
        && table
            .entries
            .iter()
            .all(|(_, node)| !matches!(node.value, NodeValue::Table(_) | NodeValue::Array(_)));
    !(table.entries.is_empty() || has_modifier || has_misspelt_key || has_only_scalars)
}

fn rangeless(name: &str, key: &Key, table: &Table) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        "no-range",
        format!("`{name}` has neither a range nor a choice"),
    )
    .at(key.span.clone(), "its values are not defined");
    let misspelt = table.entries.iter().find_map(|(key, node)| {
        let near = diagnostic::nearest(&key.name, entry::MAIN_KEYS.iter().copied())?;
        (!super::is_table(node)).then_some((key, near))
    });
    match misspelt {
        Some((misspelt, near)) => {
            let hint = format!("did you mean `{near}`?");
            diagnostic
                .at(
                    misspelt.span.clone(),
                    format!("`{}` is not a key of a parameter", misspelt.name),
                )
                .hint(hint)
        }
        None => diagnostic.hint(
            "give it `min` and `max`, or `choice`, `value`, `expr`, `rows`, or `mean` and `std`",
        ),
    }
}

/// Returns the reason why a key cannot be the name of a parameter, or `None` if it can.
pub(super) fn unusable(name: &str) -> Option<&'static str> {
    let unusable = name
        .chars()
        .find(|letter| letter.is_control() || letter.is_whitespace() || "={}[]`".contains(*letter));
    match unusable {
        _ if name.is_empty() => Some("it is empty"),
        None => None,
        Some(letter) if letter.is_control() => Some("it has a control character"),
        Some(letter) if letter.is_whitespace() => Some("it has a space"),
        Some('=') => Some("it has a `=`"),
        Some('`') => Some("it has a backtick"),
        Some(_) => Some("it has a brace or bracket"),
    }
}
