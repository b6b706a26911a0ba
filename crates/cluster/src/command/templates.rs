//! Command lines of known batch systems, as data: `template = "pbs"` in [executor].

use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Section, Table};

const FILE: &str = include_str!("templates.toml");

/// The tables of the file, in its order.
pub(super) const NAMES: &[&str] = &[
    "slurm",
    "pbs",
    "lsf",
    "gridengine",
    "oar",
    "htcondor",
    "hyperqueue",
    "ray",
];

/// Takes the option `template`, and adds the keys of that template that the section does not have.
/// Returns `None` if there is no such template.
pub(super) fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Option<()> {
    let before = diagnostics.list.len();
    let Some((name, span)) = section.take_text("template", diagnostics) else {
        return (diagnostics.list.len() == before).then_some(());
    };
    let Some(template) = find(&name) else {
        let error = Diagnostic::error("unknown-name", format!("there is no template `{name}`"))
            .at(span, "")
            .did_you_mean(&name, NAMES.iter().copied());
        diagnostics.push(error.hint(format!("templates: {}", NAMES.join(", "))));
        return None;
    };
    section.add_defaults(template, &span);
    Some(())
}

fn find(name: &str) -> Option<Table> {
    let file = Table::parse(FILE, &mut Diagnostics::default());
    match &file.get(name)?.value {
        NodeValue::Table(table) => Some(table.clone()),
        _ => None,
    }
}
