//! Changes values of a TOML document, and keeps its comments and layout.

use super::tree::splits;
use swath_model::space::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value as TomlValue};

/// Returns the keys of the value at a dotted path; `None` if there is none. A key may contain dots
/// itself, and a number is an index of a list.
pub(super) fn keys_of(item: &Item, path: &str) -> Option<Vec<String>> {
    splits(path).find_map(|(key, rest)| {
        let next = child(item, key)?;
        let below = match rest {
            "" => Vec::new(),
            rest => keys_of(next, rest)?,
        };
        Some(std::iter::once(key.to_owned()).chain(below).collect())
    })
}

/// Returns the value at the end of some keys.
pub(super) fn value_at<'a>(item: &'a mut Item, keys: &[String]) -> Option<&'a mut Item> {
    keys.iter().try_fold(item, |item, key| {
        if item.is_table_like() {
            return item.get_mut(key.as_str());
        }
        item.get_mut(key.parse::<usize>().ok()?)
    })
}

/// Returns whether the value at the end of some keys is a table.
pub(super) fn is_table(item: &Item, keys: &[String]) -> bool {
    let value = keys.iter().try_fold(item, |item, key| child(item, key));
    value.is_some_and(|value| value.is_table_like() || value.is_array_of_tables())
}

fn child<'a>(item: &'a Item, key: &str) -> Option<&'a Item> {
    if item.is_table_like() {
        return item.get(key);
    }
    item.get(key.parse::<usize>().ok()?)
}

/// Collects the paths of all values.
pub(super) fn paths(item: &Item, prefix: &str, paths: &mut Vec<String>) {
    let below = |key: &str| match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}.{key}"),
    };
    if let Some(table) = item.as_table_like() {
        for (key, item) in table.iter() {
            self::paths(item, &below(key), paths);
        }
    } else if let Some(tables) = item.as_array_of_tables() {
        for (index, table) in tables.iter().enumerate() {
            for (key, item) in table.iter() {
                self::paths(item, &below(&format!("{index}.{key}")), paths);
            }
        }
    } else {
        paths.push(prefix.to_owned());
    }
}

/// Replaces a value. Its comment stays.
pub(super) fn replace(item: &mut Item, value: &Value) {
    let mut new = toml_value(value);
    if let Some(old) = item.as_value() {
        *new.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(new);
}

/// Adds a value at a path that does not exist. Returns whether that is possible.
pub(super) fn add(document: &mut DocumentMut, path: &str, value: &Value) -> bool {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut keys: Vec<&str> = path.split('.').collect();
    let Some(last) = keys.pop() else { return false };
    for key in keys {
        let entry = table
            .entry(key)
            .or_insert_with(|| Item::Value(TomlValue::InlineTable(InlineTable::new())));
        let Some(next) = entry.as_table_like_mut() else {
            return false;
        };
        table = next;
    }
    table.insert(last, Item::Value(toml_value(value)));
    true
}

fn toml_value(value: &Value) -> TomlValue {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_ref().into(),
        Value::List(items) => TomlValue::Array(items.iter().map(toml_value).collect::<Array>()),
    }
}
