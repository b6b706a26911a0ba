//! The sources that a sweep file can name in `[[source]]`. Each translates what a program writes
//! for another tool into records.
//!
//! To add a source, write a module here with its `KIND` and list it in [`SOURCES`].

mod files;
mod mlflow;
mod python;
mod rename;
mod reporting;

use swath_engine::executor::RecordSource;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Section};
use swath_model::study::Kind;

/// All sources that a sweep file can name in `[[source]]`.
pub const SOURCES: &[Kind<dyn RecordSource>] = &[files::KIND, mlflow::KIND, python::KIND];

/// Takes a string or a list of strings.
fn take_paths(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let Some(node) = section.take(key) else {
        return Vec::new();
    };
    let nodes = match node.value {
        NodeValue::Array(nodes) => nodes,
        _ => vec![node],
    };
    let mut paths = Vec::new();
    for node in nodes {
        match node.value {
            NodeValue::Text(path) if !path.is_empty() => paths.push(path),
            other => {
                let message = format!("`{key}` must be a string or a list of strings");
                let error = Diagnostic::error("wrong-type", message);
                diagnostics.push(error.at(node.span, format!("this is {}", other.kind())));
            }
        }
    }
    paths
}
