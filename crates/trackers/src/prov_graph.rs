//! A provenance document in the W3C's PROV model, written as PROV-JSON and as a drawing in DOT.
//!
//! <https://www.w3.org/submissions/prov-json/>. Elements and relations are written in the order in
//! which they were added. An element that is added again keeps its first attributes.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The elements that the drawing shows as part of another node, with that node's identifier.
    folded: BTreeMap<String, String>,
    /// The labels of nodes that only the drawing has, with the section of their elements.
    groups: BTreeMap<String, (&'static str, String)>,
}

/// Number of folded elements that a node lists; it counts the others.
const MOST_LISTED: usize = 12;

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

    /// Lets the drawing show the element `id` as a line of the node `node`.
    pub(super) fn fold(&mut self, id: &str, node: &str) {
        self.folded.insert(id.to_owned(), node.to_owned());
    }

    /// Lets the drawing show the element `id` as a line of a node that only the drawing has.
    pub(super) fn fold_into_group(&mut self, section: Section, id: &str, node: &str, label: &str) {
        self.fold(id, node);
        let group = self.groups.entry(node.to_owned());
        group.or_insert_with(|| (section.0, label.to_owned()));
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

    /// Returns the document as a DOT drawing, with the labels and values of its elements. Folded
    /// elements are lines of one node, so that the drawing of a trial fits a page.
    pub(super) fn dot(&self) -> String {
        let mut dot =
            "digraph provenance {\n  rankdir = \"BT\";\n  node [style=filled];\n".to_owned();
        for (Section(name), style) in ELEMENTS {
            let elements = self.elements.get(name).into_iter().flatten();
            let mut nodes: BTreeMap<&str, String> = elements
                .filter(|(id, _)| !self.folded.contains_key(*id))
                .map(|(id, attributes)| (id.as_str(), label_of(id, attributes)))
                .collect();
            let groups = self.groups.iter().filter(|(_, group)| group.0 == name);
            nodes.extend(groups.map(|(id, group)| (id.as_str(), group.1.clone())));
            for (id, label) in nodes {
                let label = [label, self.folded_lines(id)].concat();
                let _ = writeln!(dot, "  {} [label={}, {style}];", quoted(id), quoted(&label));
            }
        }
        let mut drawn = BTreeSet::new();
        for (relation, from, to, _) in &self.relations {
            let (from, to) = (self.node_of(from), self.node_of(to));
            if from != to && drawn.insert((relation.0, from, to)) {
                let _ = writeln!(
                    dot,
                    "  {} -> {} [label=\"{}\"];",
                    quoted(from),
                    quoted(to),
                    relation.0
                );
            }
        }
        dot.push_str("}\n");
        dot
    }

    /// Returns the identifier of the node that shows an element.
    fn node_of<'g>(&'g self, id: &'g str) -> &'g str {
        self.folded.get(id).map_or(id, String::as_str)
    }

    /// Returns the labels of the elements that are folded into a node, each on a line of its own.
    fn folded_lines(&self, node: &str) -> String {
        let folded: Vec<&str> = self
            .folded
            .iter()
            .filter(|(_, into)| **into == *node)
            .map(|(id, _)| id.as_str())
            .collect();
        let mut lines = String::new();
        for id in folded.iter().take(MOST_LISTED) {
            let mut sections = self.elements.values();
            let attributes = sections.find_map(|section| section.get(*id));
            lines.push('\n');
            lines.push_str(&attributes.map_or_else(String::new, |about| label_of(id, about)));
        }
        if let Some(more @ 1..) = folded.len().checked_sub(MOST_LISTED) {
            let _ = write!(lines, "\nand {more} more");
        }
        lines
    }
}

/// Returns the label of an element, with its value.
fn label_of(id: &str, attributes: &Value) -> String {
    let label = attributes["prov:label"].as_str().unwrap_or(id);
    match attributes.get("prov:value").map(without_type) {
        Some(value) => format!("{label} = {value}"),
        None => label.to_owned(),
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
    fn folded_elements_are_lines_of_one_node_and_the_document_has_each_of_them() {
        let mut graph = Graph::default();
        graph.element(ACTIVITY, "e:trial", &[]);
        for number in 10..30 {
            let id = format!("e:m{number}");
            graph.element(ENTITY, &id, &[]);
            graph.relate(GENERATED, &id, "e:trial", &[]);
            graph.fold_into_group(ENTITY, &id, "e:models", "models");
        }
        let dot = graph.dot();
        assert_eq!(dot.lines().count(), 3 + 2 + 1 + 1, "{dot}");
        assert!(dot.contains("[label=\"models\\ne:m10\\ne:m11\\n"), "{dot}");
        assert!(dot.contains("\\ne:m21\\nand 8 more\""), "{dot}");
        let json: serde_json::Value = serde_json::from_slice(&graph.json()).unwrap();
        assert_eq!(json["entity"].as_object().unwrap().len(), 20);
        assert_eq!(json["wasGeneratedBy"].as_object().unwrap().len(), 20);
    }

    #[test]
    fn local_names_keep_letters_of_every_language() {
        assert_eq!(local("été 1/x:y"), "été%201/x%3Ay");
    }
}
