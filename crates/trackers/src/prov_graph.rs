//! A provenance document in the W3C's PROV model, written as PROV-JSON and as a drawing in DOT.
//!
//! <https://www.w3.org/submissions/prov-json/>. Elements and relations are written in the order in
//! which they were added. An element that is added again keeps its first attributes.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The three sections of elements, with their shapes and colours in the drawing. These are the
/// shapes and colours of the W3C's own drawings.
const ELEMENTS: [(Section, &str); 3] = [
    (Section("agent"), "shape=house, fillcolor=\"#FED37F\""),
    (
        Section("activity"),
        "shape=box, fillcolor=\"#9FB1FC\", color=\"#0000FF\"",
    ),
    (
        Section("entity"),
        "shape=oval, fillcolor=\"#FFFC87\", color=\"#808080\"",
    ),
];

pub(super) const AGENT: Section = ELEMENTS[0].0;
pub(super) const ACTIVITY: Section = ELEMENTS[1].0;
pub(super) const ENTITY: Section = ELEMENTS[2].0;

/// The name of a section of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section(&'static str);

/// A kind of relation: the name of its section, and the keys of its two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relation(&'static str, &'static str, &'static str);

pub(super) const ASSOCIATED: Relation =
    Relation("wasAssociatedWith", "prov:activity", "prov:agent");
pub(super) const USED: Relation = Relation("used", "prov:activity", "prov:entity");
pub(super) const GENERATED: Relation = Relation("wasGeneratedBy", "prov:entity", "prov:activity");
pub(super) const INFORMED: Relation = Relation("wasInformedBy", "prov:informed", "prov:informant");
pub(super) const DERIVED: Relation =
    Relation("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity");
pub(super) const MEMBER: Relation = Relation("hadMember", "prov:collection", "prov:entity");

const RELATIONS: [Relation; 6] = [ASSOCIATED, USED, GENERATED, INFORMED, DERIVED, MEMBER];

/// A document under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    prefixes: Vec<(&'static str, String)>,
    elements: BTreeMap<&'static str, Map<String, Value>>,
    relations: Vec<(Relation, String, String, Map<String, Value>)>,
}

/// Attributes of an element or relation, as keys and values. An attribute whose value is `None` is
/// left out.
pub(super) type Attributes<'a> = &'a [(&'a str, Option<Value>)];

impl Graph {
    /// Declares the namespace URI of a prefix.
    pub(super) fn prefix(&mut self, prefix: &'static str, uri: &str) {
        self.prefixes.push((prefix, uri.to_owned()));
    }

    /// Adds an element with the qualified name `id`. Does nothing if the section already has one of
    /// that name.
    pub(super) fn element(&mut self, section: Section, id: &str, attributes: Attributes<'_>) {
        let section = self.elements.entry(section.0).or_default();
        section
            .entry(id)
            .or_insert_with(|| Value::Object(present(attributes)));
    }

    /// Adds a relation from the element `from` to the element `to`.
    pub(super) fn relate(
        &mut self,
        relation: Relation,
        from: &str,
        to: &str,
        attributes: Attributes<'_>,
    ) {
        self.relations.push((
            relation,
            from.to_owned(),
            to.to_owned(),
            present(attributes),
        ));
    }

    /// Returns the document as indented PROV-JSON that ends with a newline. Empty sections are left
    /// out.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut document = Map::new();
        let prefixes = self
            .prefixes
            .iter()
            .map(|(prefix, uri)| ((*prefix).to_owned(), json!(uri)));
        document.insert("prefix".to_owned(), prefixes.collect::<Map<_, _>>().into());
        for (Section(name), _) in ELEMENTS {
            if let Some(section) = self.elements.get(name) {
                document.insert(name.to_owned(), section.clone().into());
            }
        }
        for Relation(name, from_key, to_key) in RELATIONS {
            let mut section = Map::new();
            for (index, (relation, from, to, attributes)) in self.relations.iter().enumerate() {
                if relation.0 == name {
                    let mut object = Map::new();
                    object.insert(from_key.to_owned(), json!(from));
                    object.insert(to_key.to_owned(), json!(to));
                    object.extend(attributes.clone());
                    section.insert(format!("_:r{}", index + 1), object.into());
                }
            }
            if !section.is_empty() {
                document.insert(name.to_owned(), section.into());
            }
        }
        let mut bytes = serde_json::to_vec_pretty(&Value::Object(document)).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Returns the document as a DOT drawing, with the labels and values of its elements.
    pub(super) fn dot(&self) -> String {
        let mut dot =
            "digraph provenance {\n  rankdir = \"BT\";\n  node [style=filled];\n".to_owned();
        for (Section(name), style) in ELEMENTS {
            for (id, attributes) in self.elements.get(name).into_iter().flatten() {
                let label = attributes
                    .get("prov:label")
                    .and_then(Value::as_str)
                    .unwrap_or(id);
                let value = attributes.get("prov:value").map(without_type);
                let label =
                    value.map_or_else(|| label.to_owned(), |value| format!("{label} = {value}"));
                let _ = writeln!(dot, "  {} [label={}, {style}];", quoted(id), quoted(&label));
            }
        }
        for (relation, from, to, _) in &self.relations {
            let _ = writeln!(
                dot,
                "  {} -> {} [label=\"{}\"];",
                quoted(from),
                quoted(to),
                relation.0
            );
        }
        dot.push_str("}\n");
        dot
    }
}

/// Returns the attributes that have a value.
fn present(attributes: Attributes<'_>) -> Map<String, Value> {
    attributes
        .iter()
        .filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)))
        .collect()
}

/// Returns the text of a value without its type.
fn without_type(value: &Value) -> String {
    match value.get("$").unwrap_or(value) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns a text as a quoted string of DOT.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// Returns `text` as the local part of a qualified name. Letters, digits and `_-./` are kept; all
/// other characters become the percent-encoded bytes of their UTF-8 form.
pub(super) fn local(text: &str) -> String {
    let mut local = String::new();
    for character in text.chars() {
        if character.is_alphanumeric() || "_-./".contains(character) {
            local.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(local, "%{byte:02X}");
            }
        }
    }
    local
}

/// Returns `text` as a literal of the type `kind`.
pub(super) fn typed(text: impl ToString, kind: &str) -> Value {
    json!({ "$": text.to_string(), "type": kind })
}

/// Returns an integer as an `xsd:int` or, if it does not fit, as an `xsd:long`: many readers
/// support only the former.
pub(super) fn integer(number: i64) -> Value {
    typed(
        number,
        if i32::try_from(number).is_ok() {
            "xsd:int"
        } else {
            "xsd:long"
        },
    )
}

/// Returns a number as an `xsd:double`. NaN and the infinities are written as XML Schema names
/// them.
pub(super) fn double(number: f64) -> Value {
    let text = match number {
        number if number.is_finite() => format!("{number:?}"),
        number if number.is_nan() => "NaN".to_owned(),
        number if number > 0.0 => "INF".to_owned(),
        _ => "-INF".to_owned(),
    };
    typed(text, "xsd:double")
}

#[cfg(test)]
mod tests {
    use super::{ACTIVITY, ENTITY, GENERATED, Graph, double, local};

    #[test]
    fn a_document_has_only_the_sections_it_needs_and_each_element_once() {
        let mut graph = Graph::default();
        graph.prefix("e", "urn:e:");
        graph.element(
            ENTITY,
            "e:a",
            &[("prov:value", Some(double(f64::INFINITY))), ("e:no", None)],
        );
        graph.element(ENTITY, "e:a", &[]);
        graph.element(ACTIVITY, "e:\"b\"", &[]);
        graph.relate(GENERATED, "e:a", "e:\"b\"", &[]);
        let json: serde_json::Value = serde_json::from_slice(&graph.json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "prefix": { "e": "urn:e:" },
                "activity": { "e:\"b\"": {} },
                "entity": { "e:a": { "prov:value": { "$": "INF", "type": "xsd:double" } } },
                "wasGeneratedBy": { "_:r1": { "prov:entity": "e:a", "prov:activity": "e:\"b\"" } },
            })
        );
        assert!(
            graph
                .dot()
                .contains("  \"e:a\" -> \"e:\\\"b\\\"\" [label=\"wasGeneratedBy\"];\n")
        );
        assert!(graph.dot().contains("[label=\"e:a = INF\", shape=oval"));
    }

    #[test]
    fn local_names_keep_letters_of_every_language() {
        assert_eq!(local("été 1/x:y"), "été%201/x%3Ay");
    }
}
