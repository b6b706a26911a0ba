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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/clusters.md");

    #[test]
    fn each_name_is_a_table_of_the_file() {
        let mut diagnostics = Diagnostics::default();
        let file = Table::parse(FILE, &mut diagnostics);
        assert_eq!(diagnostics, Diagnostics::default());
        let names: Vec<_> = file.entries.iter().map(|(key, _)| &key.name).collect();
        assert_eq!(names, NAMES);
    }

    /// `SWATH_BLESS=1 cargo test -p swath-cluster` rewrites the page.
    #[test]
    fn the_page_about_clusters_shows_the_templates_as_they_are() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let expected = with_templates(&page);
        if std::env::var_os("SWATH_BLESS").is_some() {
            std::fs::write(PAGE, expected).unwrap();
        } else {
            assert!(page == expected, "run it with SWATH_BLESS=1");
        }
        for name in NAMES {
            assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
            assert!(page.contains(&start_of_block(name)), "{name}");
        }
    }

    fn start_of_block(name: &str) -> String {
        format!("<!-- template: {name} -->\n")
    }

    /// Returns the page with the text of each template in its block.
    fn with_templates(page: &str) -> String {
        let mut page = page.to_owned();
        for table in FILE.split("\n[").skip(1) {
            let (name, keys) = table.split_once("]\n").unwrap();
            let start = page.find(&start_of_block(name)).unwrap() + start_of_block(name).len();
            let end = start + page[start..].find("<!-- end -->").unwrap();
            let mut block = String::new();
            writeln!(block, "```toml\n{}\n```", keys.trim_end()).unwrap();
            page.replace_range(start..end, &block);
        }
        page
    }
}
