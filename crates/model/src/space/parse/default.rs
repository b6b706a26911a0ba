//! Reads default values and checks them as far as the range is known.

use super::choice;
use super::link::Linker;
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Span, Table};
use crate::space::Value;
use crate::space::lookup::Rows;
use crate::space::param::{Param, ValueSource};

impl Linker {
    /// Reads the default of a parameter and checks it against the known range. Returns one value
    /// per target, or nothing after reporting a mistake.
    pub(super) fn read_default(
        &self,
        param: &Param,
        node: &Node,
        d: &mut Diagnostics,
    ) -> Vec<Value> {
        if let ValueSource::Rows(rows) = &param.source {
            return self.read_default_row(param, rows, node, d);
        }
        let Some(value) = choice::value_of(&param.name, node, d) else {
            return Vec::new();
        };
        let repeated = matches!(
            &param.source,
            ValueSource::Drawn {
                repeat: Some(_),
                ..
            }
        );
        match (repeated, &value, &node.value) {
            (true, Value::List(items), NodeValue::Array(nodes)) => {
                let items: Vec<_> = items
                    .iter()
                    .zip(nodes)
                    .map(|(item, node)| accept(param, item, &node.span, d))
                    .collect();
                items
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(Value::List)
                    .into_iter()
                    .collect()
            }
            // A single value is the default of every draw of a repeated parameter.
            (true, item, _) => accept(param, item, &node.span, d)
                .map(|item| Value::List(vec![item]))
                .into_iter()
                .collect(),
            (false, value, _) => accept(param, value, &node.span, d).into_iter().collect(),
        }
    }

    fn read_default_row(
        &self,
        param: &Param,
        rows: &Rows,
        node: &Node,
        d: &mut Diagnostics,
    ) -> Vec<Value> {
        let NodeValue::Table(table) = &node.value else {
            d.push(super::wrong_type(
                "default",
                "a table like one of the rows",
                node,
            ));
            return Vec::new();
        };
        let row: Option<Vec<_>> = param
            .targets
            .iter()
            .map(|target| {
                let node = column(table, &self.names[*target])?;
                choice::value_of(&param.name, node, d)
            })
            .collect();
        match row.filter(|row| rows.rows.contains(row)) {
            Some(row) => row,
            None => {
                let message = format!("the default of `{}` is not one of its rows", param.name);
                d.push(
                    Diagnostic::error("bad-default", message).at(node.span.clone(), "no such row"),
                );
                Vec::new()
            }
        }
    }
}

/// Converts a default value to one of the parameter's range. Returns `None` after reporting that it
/// is outside. Any value is accepted if the range is not known in advance.
fn accept(param: &Param, value: &Value, span: &Span, d: &mut Diagnostics) -> Option<Value> {
    let Some(domain) = param.widest_domain() else {
        return Some(value.clone());
    };
    match domain.accept(value) {
        Ok(value) => Some(value),
        Err(mismatch) => {
            let message = format!("the default of `{}` is outside its range", param.name);
            let error = Diagnostic::error("bad-default", message).at(span.clone(), mismatch.reason);
            d.push(match mismatch.hint {
                Some(hint) => error.hint(hint),
                None => error,
            });
            None
        }
    }
}

/// Returns the value of a column in a default row, whose keys may be written without their group.
fn column<'a>(table: &'a Table, name: &str) -> Option<&'a Node> {
    table
        .entries
        .iter()
        .find(|(key, _)| name.rsplit('.').next() == Some(&key.name) || name == key.name)
        .map(|(_, node)| node)
}
