//! Reference documentation of the sweep file, generated from the declared options: Markdown tables
//! and a JSON schema for editors.
//!
//! `docs/sweep-file.md` and `docs/kinds.md` are written by hand, except for the blocks between a
//! line such as `<!-- keys: run -->` and `<!-- end -->`. [`fill`] generates these blocks from
//! [`SECTIONS`] and the declarations of the kinds.

pub use super::parse::{Further, Occurs, SECTIONS, SectionReference};

use super::parse::FAILURE_CLASSES;
use super::registry::{Declaration, Registry};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use swath_engine::tracker::csv;
use swath_model::source::{Opt, Preset, Takes};
use swath_model::space;

/// Replaces the block between each directive and `<!-- end -->` with the generated text. `kinds`
/// are the kinds that a directive can name. Returns the whole page.
///
/// | directive | block |
/// |---|---|
/// | `<!-- keys: run -->` | the options of the table `[run]`; `-` is the top of the file |
/// | `<!-- kinds: sampler -->` | the names of the samplers |
/// | `<!-- kind: sampler grid -->` | the description, paper and options of a kind |
/// | `<!-- options: sampler grid -->` | the options of a kind |
/// | `<!-- failures: all -->` | the classes of failure |
/// | `<!-- columns: trials -->` | the columns of `trials.csv` |
/// | `<!-- placeholders: all -->` | the placeholders, and the `SWATH_*` variables |
#[must_use]
pub fn fill(text: &str, kinds: &[Declaration]) -> String {
    let mut filled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(filled, "{line}");
        let Some(block) = directive(line, kinds) else {
            continue;
        };
        let _ = writeln!(filled, "{block}<!-- end -->");
        let _ = lines.find(|line| *line == "<!-- end -->");
    }
    filled
}

fn directive(line: &str, kinds: &[Declaration]) -> Option<String> {
    let (block, name) = line
        .strip_prefix("<!-- ")?
        .strip_suffix(" -->")?
        .split_once(": ")?;
    match block {
        "keys" => {
            let section = SECTIONS
                .iter()
                .find(|section| section.name == name.trim_matches('-'))?;
            Some(options_table(section.options))
        }
        "kinds" => {
            let of_part = kinds.iter().filter(|kind| kind.part == name);
            Some(names_table(of_part.map(|kind| (kind.name, kind.about))))
        }
        "kind" | "options" => {
            let (part, name) = name.split_once(' ')?;
            let kind = kinds
                .iter()
                .find(|kind| kind.part == part && kind.name == name)?;
            Some(if block == "kind" {
                describe(kind)
            } else {
                options_table(kind.options)
            })
        }
        "failures" => Some(names_table(
            FAILURE_CLASSES
                .iter()
                .map(|(name, _, about)| (*name, *about)),
        )),
        "columns" => Some(csv::describe()),
        "placeholders" => Some(super::template::table()),
        _ => None,
    }
}

/// Describes a kind in Markdown: its purpose, its paper, and a table of its options.
#[must_use]
pub fn describe(kind: &Declaration) -> String {
    let mut text = format!("{}.\n", sentence(kind.about));
    if let Some(paper) = kind.paper {
        let _ = writeln!(text, "\nPaper: {paper}.");
    }
    match kind.options {
        [] => text.push_str("\nIt has no options.\n"),
        options => {
            let _ = write!(text, "\n{}", options_table(options));
        }
    }
    text
}

/// Capitalises the first letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Formats options as a Markdown table.
fn options_table(options: &[Opt]) -> String {
    let mut table = "| key | takes | default | |\n|---|---|---|---|\n".to_owned();
    for option in options {
        let (takes, default) = (option.takes.to_string(), option.default.to_string());
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            option.name,
            escaped(&takes),
            escaped(&default),
            escaped(option.about)
        );
    }
    table
}

/// Escapes characters that would end a cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn names_table<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut table = "| name | |\n|---|---|\n".to_owned();
    for (name, about) in rows {
        let _ = writeln!(table, "| `{name}` | {about} |");
    }
    table
}

/// Returns a JSON schema of the sweep file for editors. A table that names a kind has a branch for
/// each kind, which accepts only the options of that kind.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let kinds = registry.declarations();
    let mut properties = Map::new();
    for section in SECTIONS {
        if section.name.is_empty() {
            properties.extend(
                section
                    .options
                    .iter()
                    .map(|option| property(option, &kinds)),
            );
        } else {
            let schema = section_schema(section, &kinds);
            if !section.former.is_empty() {
                let mut former = schema.clone();
                former["description"] =
                    Value::from(format!("the earlier name of {}", section.heading()));
                former["deprecated"] = Value::from(true);
                properties.insert(section.former.to_owned(), former);
            }
            properties.insert(section.name.to_owned(), schema);
        }
    }
    properties.insert("space".to_owned(), space_schema());
    properties.insert(
        "constraints".to_owned(),
        json!({
            "type": "object",
            "description": "expressions that every configuration satisfies",
            "additionalProperties": { "type": "string" },
        }),
    );
    properties.insert(
        "point".to_owned(),
        json!({
            "description": "configurations to try first; names left out are drawn",
            "anyOf": [{ "type": "object" }, { "type": "array", "items": { "type": "object" } }],
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "swath sweep file",
        "type": "object",
        "properties": properties,
        "required": ["space"],
        "additionalProperties": false,
    })
}

fn section_schema(section: &SectionReference, kinds: &[Declaration]) -> Value {
    let table = match section.further {
        Further::OptionsOf(part) => {
            let branches: Vec<_> = kinds_of(part, kinds)
                .map(|kind| branch(section, kind, kinds))
                .collect();
            json!({ "type": "object", "description": section.about, "oneOf": branches })
        }
        Further::TablesOf(part) => {
            let mut table = table_schema(section.about, section.options, kinds);
            for kind in kinds_of(part, kinds) {
                let about = format!("options of the {part} `{}`: {}", kind.name, kind.about);
                table["properties"][kind.name] = table_schema(&about, kind.options, kinds);
            }
            table
        }
        Further::Names => {
            let patterns = json!({ "type": "string" });
            json!({ "type": "object", "description": section.about, "additionalProperties": patterns })
        }
        Further::None => table_schema(section.about, section.options, kinds),
    };
    match section.occurs {
        Occurs::Once => table,
        Occurs::OnceOrMore | Occurs::Repeatedly => {
            json!({ "description": section.about, "anyOf": [table, { "type": "array", "items": table }] })
        }
    }
}

fn kinds_of<'a>(
    part: &'static str,
    kinds: &'a [Declaration],
) -> impl Iterator<Item = &'a Declaration> {
    kinds.iter().filter(move |kind| kind.part == part)
}

/// Returns the schema of a table that selects a kind. The branch of the default kind may omit the
/// name.
fn branch(section: &SectionReference, kind: &Declaration, kinds: &[Declaration]) -> Value {
    let mut branch = table_schema(kind.about, kind.options, kinds);
    branch["title"] = Value::from(kind.name);
    let mut required = required(kind.options);
    for option in section.options {
        let (name, mut schema) = property(option, kinds);
        if let Takes::KindOf(_) = option.takes {
            schema = json!({ "const": kind.name, "description": kind.about });
            if option.default != Preset::Text(kind.name) {
                required.insert(0, option.name);
            }
        }
        branch["properties"][name] = schema;
    }
    branch["required"] = json!(required);
    branch
}

fn table_schema(about: &str, options: &[Opt], kinds: &[Declaration]) -> Value {
    let properties: Map<_, _> = options
        .iter()
        .map(|option| property(option, kinds))
        .collect();
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn required(options: &[Opt]) -> Vec<&'static str> {
    options
        .iter()
        .filter(|option| option.default == Preset::Required)
        .map(|option| option.name)
        .collect()
}

fn property(option: &Opt, kinds: &[Declaration]) -> (String, Value) {
    let mut schema = values_schema(option.takes, kinds);
    let default = option.default.to_string();
    schema["description"] = Value::from(match option.default {
        Preset::Required | Preset::Absent => option.about.to_owned(),
        _ => format!("{} (default: {default})", option.about),
    });
    if let Some(default) = default_value(option.default) {
        schema["default"] = default;
    }
    (option.name.to_owned(), schema)
}

/// Returns a default as a JSON value, or `None` if it is absent or described in words.
fn default_value(default: Preset) -> Option<Value> {
    match default {
        Preset::Required | Preset::Absent | Preset::Derived(_) => None,
        Preset::Flag(flag) => Some(json!(flag)),
        Preset::Count(count) => Some(json!(count)),
        Preset::Number(number) => Some(json!(number)),
        Preset::Text(text) => Some(json!(text)),
        Preset::Texts(texts) => Some(json!(texts)),
        Preset::Duration(_) | Preset::Size(_) => Some(json!(default.to_string().trim_matches('`'))),
    }
}

fn values_schema(takes: Takes, kinds: &[Declaration]) -> Value {
    match takes {
        Takes::Any => json!({}),
        Takes::Text => json!({ "type": "string" }),
        Takes::Pattern => json!({ "type": "string", "format": "regex" }),
        Takes::Switch => json!({ "type": "boolean" }),
        Takes::Count(least) => json!({ "type": "integer", "minimum": least }),
        Takes::Integer(least) => json!({ "type": "integer", "minimum": least }),
        Takes::Number => json!({ "type": "number" }),
        Takes::Between(least, most) => {
            json!({ "type": "number", "minimum": least, "maximum": most })
        }
        Takes::Duration | Takes::Size => json!({ "type": ["string", "number"] }),
        Takes::Form(_, form) => json!({ "type": "string", "pattern": form }),
        Takes::OneOf(words) => json!({ "enum": words }),
        Takes::List(item) => json!({ "type": "array", "items": values_schema(*item, kinds) }),
        Takes::Table(value) => {
            json!({ "type": "object", "additionalProperties": values_schema(*value, kinds) })
        }
        Takes::Options(options) => {
            let mut schema = table_schema("", options, kinds);
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
            }
            schema
        }
        Takes::Either(alternatives) => {
            let alternatives: Vec<_> = alternatives
                .iter()
                .map(|takes| values_schema(*takes, kinds))
                .collect();
            json!({ "anyOf": alternatives })
        }
        Takes::KindOf(part) => {
            let names = kinds
                .iter()
                .filter(|kind| kind.part == part)
                .map(|kind| kind.name);
            json!({ "enum": names.collect::<Vec<_>>() })
        }
    }
}

/// Returns the schema of `[space]`. A parameter that is a table may have branches or members with
/// names of the user's choice beside its options.
fn space_schema() -> Value {
    let options: Map<_, _> = space::options()
        .map(|option| property(&option, &[]))
        .collect();
    json!({
        "type": "object",
        "description": "the parameters: a constant, a list of choices, a range, or a table of these",
        "additionalProperties": {
            "anyOf": [
                { "type": ["string", "number", "boolean", "array"] },
                { "type": "object", "properties": options },
            ],
        },
    })
}

#[cfg(test)]
mod tests;
