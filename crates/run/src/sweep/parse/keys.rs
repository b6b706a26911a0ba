//! Takes tables out of the sweep file and reports the keys that they do not take.

use super::sections::{FREE_TABLES, SECTIONS, SectionReference};
use swath_model::source::diagnostic::nearest;
use swath_model::source::{Diagnostic, Diagnostics, Key, NodeValue, Section};
use swath_model::study::Kind;

/// Maximum number of tables named in a hint. A key that more tables take is too common to guess.
const MOST_HOMES: usize = 2;

/// Reports keys at the top of the file that are neither tables nor options of the top.
pub(super) fn refuse_unknown_top(file: &mut Section, diagnostics: &mut Diagnostics) {
    let tables = SECTIONS
        .iter()
        .flat_map(|section| [section.name, section.former]);
    let tables = tables.filter(|name| !name.is_empty());
    file.declare(tables.chain(FREE_TABLES.iter().copied()));
    refuse_unknown(file, "", diagnostics);
}

/// Takes a table with its declared options. Reports unknown keys. Returns `None` if it is absent.
pub(super) fn table(
    file: &mut Section,
    name: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Section> {
    let mut section = file.take_section(name, diagnostics)?;
    refuse_unknown(&mut section, name, diagnostics);
    Some(section)
}

/// Takes a table or an array of tables with their declared options. Tables under the earlier name
/// are accepted with a warning.
pub(super) fn tables(
    file: &mut Section,
    name: &'static str,
    diagnostics: &mut Diagnostics,
) -> Vec<Section> {
    let mut sections = open_tables(file, name, diagnostics);
    let former = SECTIONS
        .iter()
        .find(|section| section.name == name)
        .map_or("", |section| section.former);
    if !former.is_empty() {
        let earlier = open_tables(file, former, diagnostics);
        diagnostics
            .list
            .extend(earlier.iter().map(|section| renamed(section, name)));
        sections.extend(earlier);
    }
    for section in &mut sections {
        refuse_unknown(section, name, diagnostics);
    }
    sections
}

/// Returns the warning about a table under its earlier name.
fn renamed(section: &Section, name: &str) -> Diagnostic {
    let message = format!("`[[{}]]` is now called `[[{name}]]`", section.path);
    let warning =
        Diagnostic::warning("renamed-table", message).at(section.span.clone(), "the earlier name");
    warning.hint(format!("write `[[{name}]]`; it means the same"))
}

/// Takes a table or an array of tables. Their keys are not checked here.
pub(super) fn open_tables(
    file: &mut Section,
    name: &'static str,
    diagnostics: &mut Diagnostics,
) -> Vec<Section> {
    let Some(node) = file.take(name) else {
        return Vec::new();
    };
    let (nodes, is_listed) = match node.value {
        NodeValue::Array(nodes) => (nodes, true),
        _ => (vec![node], false),
    };
    let mut sections = Vec::new();
    for node in nodes {
        match node.value {
            NodeValue::Table(table) => {
                let mut section = Section::new(name, node.span, table);
                section.is_listed = is_listed;
                sections.push(section);
            }
            other => {
                let error = Diagnostic::error("wrong-type", format!("`{name}` must be a table"))
                    .at(node.span, format!("this is {}", other.kind()));
                diagnostics.push(error.hint(format!(
                    "write `[{name}]` or `[[{name}]]` on a line of its own"
                )));
            }
        }
    }
    sections
}

/// Reports the keys that are options neither of the table `name` nor of the kind it selects.
pub(super) fn refuse_unknown_of_kind<T: ?Sized>(
    section: &mut Section,
    name: &str,
    kind: &Kind<T>,
    kinds: &[Kind<T>],
    diagnostics: &mut Diagnostics,
) {
    section.declare(names(name).chain(kind.options.iter().map(|option| option.name)));
    let unknown = section.take_unknown();
    for key in &unknown {
        let others = kinds.iter().filter(|other| other.has_option(&key.name));
        let others: Vec<_> = others.map(|other| format!("`{}`", other.name)).collect();
        diagnostics.push(if others.is_empty() {
            unknown_key(section, name, key, &unknown)
        } else {
            let options = others.join(", ");
            let hint = format!(
                "`{}` is an option of {options}, not of `{}`",
                key.name, kind.name
            );
            section.unknown(key).hint(hint)
        });
    }
}

/// Reports the keys that are not options of the table `name`.
pub(super) fn refuse_unknown(section: &mut Section, name: &str, diagnostics: &mut Diagnostics) {
    section.declare(names(name));
    let unknown = section.take_unknown();
    diagnostics.list.extend(
        unknown
            .iter()
            .map(|key| unknown_key(section, name, key, &unknown)),
    );
}

/// Returns the names of the options of a table itself, without those of kinds.
fn names(table: &str) -> impl Iterator<Item = &'static str> {
    let section = SECTIONS.iter().find(|section| section.name == table);
    section
        .into_iter()
        .flat_map(|section| section.options)
        .map(|option| option.name)
}

/// Returns the error for an unknown key. If another table takes the key, the error names that
/// table.
fn unknown_key(section: &Section, name: &str, key: &Key, unknown: &[Key]) -> Diagnostic {
    if let Some(table) = SECTIONS.iter().find(|table| table.name == key.name)
        && !key.name.is_empty()
    {
        let heading = table.heading();
        return Diagnostic::error("misplaced-key", format!("{heading} is a table of its own"))
            .at(key.span.clone(), "not a key of this table")
            .hint(format!("write its keys below a line {heading}"));
    }
    let homes = homes(name, key, unknown);
    if homes.is_empty() || homes.len() > MOST_HOMES {
        return section.unknown(key);
    }
    let headings: Vec<_> = homes.iter().map(|home| home.heading()).collect();
    let message = format!("`{}` belongs to {}", key.name, headings.join(" or "));
    let label = if name.is_empty() {
        "is at the top of the file"
    } else {
        "not a key of this table"
    };
    let hint = match homes[0].name {
        "" => "move it above the first table".to_owned(),
        _ => format!("move it below a line {}", headings.join(" or ")),
    };
    Diagnostic::error("misplaced-key", message)
        .at(key.span.clone(), label)
        .hint(hint)
        .did_you_mean(&key.name, section.known_keys().iter().copied())
}

/// Returns the tables for which a misplaced key may be meant: the tables that take the key and most
/// of the other `unknown` keys. Among those, a table with a name similar to `table` wins.
fn homes(table: &str, key: &Key, unknown: &[Key]) -> Vec<&'static SectionReference> {
    let mut homes: Vec<_> = SECTIONS
        .iter()
        .filter(|home| home.name != table && has_option(home, key))
        .map(|home| (home, 0))
        .collect();
    // Several misplaced keys together identify the table that they come from.
    for (home, count) in &mut homes {
        *count = unknown.iter().filter(|key| has_option(home, key)).count();
    }
    let most = homes.iter().map(|(_, count)| *count).max();
    homes.retain(|(_, count)| Some(*count) == most);
    let names = homes
        .iter()
        .flat_map(|(home, _)| [home.name, home.former])
        .filter(|name| !name.is_empty());
    if let Some(near) = nearest(table, names) {
        homes.retain(|(home, _)| home.name == near || home.former == near);
    }
    homes.into_iter().map(|(home, _)| home).collect()
}

fn has_option(section: &SectionReference, key: &Key) -> bool {
    section.options.iter().any(|option| option.name == key.name)
}
