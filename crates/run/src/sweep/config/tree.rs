//! A YAML or JSON text as a tree of values that know where they stand in the text.

use std::ops::Range;

/// A value with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Bytes of the value. Empty if the value is written as nothing, as in `key:`.
    pub(super) span: Range<usize>,
    pub(super) kind: NodeKind,
    /// Whether other values of the file repeat this one by an alias.
    pub(super) is_repeated: bool,
}

/// Kind of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeKind {
    Map {
        entries: Vec<Entry>,
        /// Whether it is written between braces.
        is_flow: bool,
    },
    List(Vec<Node>),
    Scalar,
    /// The value of another place, `*name`.
    Alias,
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// Result of looking for a path.
#[derive(Debug)]
pub(super) enum Lookup<'a> {
    Found(&'a Node),
    /// The path ends below this node; the rest of it does not exist.
    Missing(&'a Node, &'a str),
}

impl Node {
    /// Looks for a dotted path. A key may contain dots itself, and a number is an index of a list.
    pub(super) fn look_up<'a>(&'a self, path: &'a str) -> Lookup<'a> {
        if path.is_empty() {
            return Lookup::Found(self);
        }
        let mut deepest = Lookup::Missing(self, path);
        for (key, rest) in splits(path) {
            let Some(child) = self.child(key) else {
                continue;
            };
            match child.look_up(rest) {
                found @ Lookup::Found(_) => return found,
                missing => deepest = missing,
            }
        }
        deepest
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            NodeKind::Map { entries, .. } => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            NodeKind::List(items) => items.get(key.parse::<usize>().ok()?),
            NodeKind::Scalar | NodeKind::Alias => None,
        }
    }

    /// Collects the paths of all values that a parameter can set.
    pub(super) fn paths(&self, prefix: &str, paths: &mut Vec<String>) {
        let below = |key: &str| match prefix {
            "" => key.to_owned(),
            prefix => format!("{prefix}.{key}"),
        };
        match &self.kind {
            NodeKind::Map { entries, .. } => entries
                .iter()
                .for_each(|entry| entry.value.paths(&below(&entry.key), paths)),
            NodeKind::List(items) => {
                paths.push(prefix.to_owned());
                for (index, item) in items.iter().enumerate() {
                    item.paths(&below(&index.to_string()), paths);
                }
            }
            NodeKind::Scalar | NodeKind::Alias => paths.push(prefix.to_owned()),
        }
    }
}

/// Returns the ways to split a path into a key and the rest, the shortest key last.
pub(super) fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let whole = std::iter::once((path, ""));
    whole.chain(
        path.rmatch_indices('.')
            .map(|(dot, _)| (&path[..dot], &path[dot + 1..])),
    )
}
