//! Reads default values and checks them as far as the range is known.

use super::choice;
use super::link::Linker;
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Span};
use crate::space::Value;
use crate::space::param::{Origin, Param};

impl Linker {
    /// Reads the default of a parameter and checks it against the known range. Returns one value
    /// per target, or nothing after reporting a mistake.
    pub(super) fn default(&self, param: &Param, node: &Node, d: &mut Diagnostics) -> Vec<Value> {
        if let Origin::Rows { rows, .. } = &param.origin {
            return self.default_row(param, rows, node, d);
        }
        let Some(value) = choice::value_of(&param.name, node, d) else {
            return Vec::new();
        };
        let repeated = matches!(
            &param.origin,
            Origin::Drawn {
                repeat: Some(_),
                ..
            }
        );
        let accept = |value: &Value, span: &Span, d: &mut Diagnostics| match param
            .outer()
            .map(|domain| domain.accept(value))
        {
            None => Some(value.clone()),
            Some(Ok(value)) => Some(value),
            Some(Err(misfit)) => {
                let message = format!("the default of `{}` is outside its range", param.name);
                let remark = Diagnostic::error("bad-default", message).at(span.clone(), misfit.why);
                d.push(if let Some(hint) = misfit.hint {
                    remark.hint(hint)
                } else {
                    remark
                });
                None
            }
        };
        match (repeated, &value, &node.value) {
            (true, Value::List(items), NodeValue::Array(nodes)) => {
                let items: Vec<_> = items
                    .iter()
                    .zip(nodes)
                    .map(|(item, node)| accept(item, &node.span, d))
                    .collect();
                items
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(Value::List)
                    .into_iter()
                    .collect()
            }
            // A single value is the default of every draw of a repeated parameter.
            (true, one, _) => accept(one, &node.span, d)
                .map(|one| Value::List(vec![one]))
                .into_iter()
                .collect(),
            (false, one, _) => accept(one, &node.span, d).into_iter().collect(),
        }
    }

    fn default_row(
        &self,
        param: &Param,
        rows: &[Vec<Value>],
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
        let column = |target: &usize| {
            let full = &*self.names[*target];
            table
                .entries
                .iter()
                .find(|(key, _)| full.rsplit('.').next() == Some(&key.name) || full == key.name)
        };
        let row: Option<Vec<_>> = param
            .targets
            .iter()
            .map(|target| choice::value_of(&param.name, &column(target)?.1, d))
            .collect();
        match row.filter(|row| rows.contains(row)) {
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
