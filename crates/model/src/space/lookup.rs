//! Finds a value among the choices of a parameter, or a row among its rows, without comparing it
//! with all of them: a parameter may have hundreds of thousands.

use super::Value;
use super::choice::Cases;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Positions of a list's items by the hash of each item.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct HashIndex {
    /// Pairs of hash and position, sorted, so that equal items are in the order of the list.
    entries: Vec<(u64, u32)>,
}

impl HashIndex {
    fn new(hashes: impl Iterator<Item = u64>) -> Self {
        let mut entries: Vec<_> = hashes.zip(0..).collect();
        entries.sort_unstable();
        Self { entries }
    }

    pub(crate) fn of_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        Self::new(values.into_iter().map(hash_of))
    }

    /// Returns the positions of the items with this hash, lowest first. Other items may have the
    /// same hash, so each of them has to be compared.
    fn candidates(&self, hash: u64) -> &[(u64, u32)] {
        let start = self.entries.partition_point(|(entry, _)| *entry < hash);
        let count = self.entries[start..].partition_point(|(entry, _)| *entry == hash);
        &self.entries[start..start + count]
    }

    /// Returns the position of the first value that `is_match` accepts. It may accept only a value
    /// that is equal to `value`, or the same number.
    pub(crate) fn position(
        &self,
        values: &[Value],
        value: &Value,
        is_match: impl Fn(&Value) -> bool,
    ) -> Option<usize> {
        self.candidates(hash_of(value))
            .iter()
            .map(|(_, position)| *position as usize)
            .find(|position| is_match(&values[*position]))
    }
}

/// Rows of values, one of which is drawn as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) cases: Cases,
    /// For each column, the positions of the rows by the value in that column.
    columns: Vec<HashIndex>,
}

impl Rows {
    /// Makes an index of rows of equal length.
    pub(crate) fn new(rows: Vec<Vec<Value>>, cases: Cases) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let columns = (0..width)
            .map(|column| HashIndex::of_values(rows.iter().map(|row| &row[column])))
            .collect();
        Self {
            rows,
            cases,
            columns,
        }
    }

    /// Returns the index of the first row whose cells `is_match` accepts for the values that are
    /// given, one for each column. `is_match` may accept only equal values or the same number.
    pub(crate) fn position(
        &self,
        values: &[Option<&Value>],
        is_match: impl Fn(&Value, &Value) -> bool,
    ) -> Option<usize> {
        let is_row = |row: &Vec<Value>| {
            row.iter()
                .zip(values)
                .all(|(cell, value)| value.is_none_or(|value| is_match(cell, value)))
        };
        // The column that leaves the fewest rows to compare.
        let candidates = self
            .columns
            .iter()
            .zip(values)
            .filter_map(|(column, value)| Some(column.candidates(hash_of((*value)?))))
            .min_by_key(|candidates| candidates.len());
        match candidates {
            None => self.rows.iter().position(is_row),
            Some(candidates) => candidates
                .iter()
                .map(|(_, position)| *position as usize)
                .find(|position| is_row(&self.rows[*position])),
        }
    }
}

/// Returns a hash that equal values have in common. An integer and a float that are the same number
/// have it in common too.
pub(crate) fn hash_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    add_to_hash(value, &mut hasher);
    hasher.finish()
}

fn add_to_hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        // Adding 0 makes −0 and 0 one number.
        Value::Int(_) | Value::Float(_) => {
            (0_u8, (value.as_f64().unwrap_or(0.0) + 0.0).to_bits()).hash(hasher);
        }
        Value::Bool(flag) => (1_u8, flag).hash(hasher),
        Value::Text(text) => (2_u8, text).hash(hasher),
        Value::List(items) => {
            (3_u8, items.len()).hash(hasher);
            for item in items {
                add_to_hash(item, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_at_its_first_position_whatever_its_number_type() {
        let values: Vec<Value> = ["a", "1", "b", "a"]
            .into_iter()
            .map(|text| Value::Text(text.into()))
            .chain([Value::Int(1), Value::Float(-0.0), Value::List(vec![])])
            .collect();
        let index = HashIndex::of_values(&values);
        let position = |value: &Value| index.position(&values, value, |other| other == value);
        assert_eq!(position(&Value::Text("a".into())), Some(0));
        assert_eq!(position(&Value::Int(1)), Some(4));
        assert_eq!(position(&Value::Float(1.0)), None);
        assert_eq!(position(&Value::Float(0.0)), Some(5));
        assert_eq!(position(&Value::List(vec![])), Some(6));
        let one = Value::Float(1.0);
        let same = index.position(&values, &one, |other| other.as_f64() == one.as_f64());
        assert_eq!(same, Some(4));
    }

    #[test]
    fn the_first_row_that_agrees_with_the_given_columns_is_found() {
        let row = |a: i64, b: i64| vec![Value::Int(a), Value::Int(b)];
        let rows = Rows::new(
            vec![row(1, 5), row(2, 5), row(2, 6), row(2, 6)],
            Cases::uniform(4),
        );
        let equal = |a: &Value, b: &Value| a == b;
        let (two, five, six) = (Value::Int(2), Value::Int(5), Value::Int(6));
        assert_eq!(rows.position(&[Some(&two), None], equal), Some(1));
        assert_eq!(rows.position(&[None, Some(&five)], equal), Some(0));
        assert_eq!(rows.position(&[Some(&two), Some(&six)], equal), Some(2));
        assert_eq!(rows.position(&[Some(&six), None], equal), None);
        assert_eq!(rows.position(&[None, None], equal), Some(0));
    }
}
