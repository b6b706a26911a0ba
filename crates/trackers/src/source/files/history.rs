//! Run files of W&B: the rows of history that `wandb.log` writes.

use super::format::{Content, Format, Item};
use crate::block_log::Blocks;
use crate::proto::{Field, fields};
use serde_json::Value;
use swath_log::wire::special;
use swath_model::study::{Datum, Metric};

/// A run file as it grows.
#[derive(Default)]
pub(super) struct History {
    blocks: Blocks,
}

impl Format for History {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) {
        self.blocks.feed(bytes, &mut |record| {
            for (number, field) in fields(record) {
                if let (2, Field::Bytes(history)) = (number, field)
                    && let Some(item) = row(history)
                {
                    each(item);
                }
            }
        });
    }

    fn take_problem(&mut self) -> Option<String> {
        self.blocks.take_problem()
    }
}

/// Returns a row of history; `None` if it has no value.
fn row(history: &[u8]) -> Option<Item> {
    let (mut values, mut at) = (Vec::new(), None);
    for (number, field) in fields(history) {
        let (1, Field::Bytes(item)) = (number, field) else {
            continue;
        };
        let Some((name, datum)) = entry(item) else {
            continue;
        };
        match (name.as_str(), &datum) {
            ("_timestamp", Datum::Number(Metric(seconds))) => at = Some((seconds * 1e6) as i64),
            ("_step", Datum::Number(_)) => values.push(("step".to_owned(), datum)),
            (name, _) if name.starts_with('_') => {}
            _ => values.push((name, datum)),
        }
    }
    let has_values = values.iter().any(|(name, _)| name != "step");
    // A row that logs a value of its own called `step` keeps that one.
    if values.iter().filter(|(name, _)| name == "step").count() > 1
        && let Some(index) = values.iter().position(|(name, _)| name == "step")
    {
        values.remove(index);
    }
    has_values.then_some(Item {
        content: Content::Row(values),
        at,
    })
}

/// Returns the name and the value of an item; `None` if it is no number, flag or text.
fn entry(item: &[u8]) -> Option<(String, Datum)> {
    let (mut name, mut nested, mut json) = (String::new(), Vec::new(), &[][..]);
    for (number, field) in fields(item) {
        match (number, field) {
            (1, Field::Bytes(key)) => name = String::from_utf8_lossy(key).into_owned(),
            (2, Field::Bytes(key)) => nested.push(String::from_utf8_lossy(key).into_owned()),
            (16, Field::Bytes(value)) => json = value,
            _ => {}
        }
    }
    if name.is_empty() {
        name = nested.join("/");
    }
    let text = std::str::from_utf8(json).ok()?;
    let datum = match serde_json::from_str(text) {
        Ok(Value::Number(number)) => Datum::Number(Metric(number.as_f64()?)),
        Ok(Value::Bool(flag)) => Datum::Flag(flag),
        Ok(Value::String(text)) => match special(&text) {
            Some(number) => Datum::Number(Metric(number)),
            None => Datum::Text(text),
        },
        Ok(_) => return None,
        // NaN and the infinities are written as words.
        Err(_) => Datum::Number(Metric(special(text)?)),
    };
    (!name.is_empty()).then_some((name, datum))
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::items;
    use super::*;
    use crate::block_log::{MAGIC, append};
    use crate::proto::Message;

    fn file(rows: i64) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        for step in 0..rows {
            let record = Message::of(|record| {
                record.int(1, step + 1);
                record.message(2, |history| {
                    let items = [
                        ("loss", (0.5 + step as f64).to_string()),
                        ("nan", "NaN".to_owned()),
                        ("_step", step.to_string()),
                        ("_runtime", "1.5".to_owned()),
                        ("image", "{\"_type\": \"image-file\"}".to_owned()),
                    ];
                    for (key, json) in items {
                        history.message(1, |item| {
                            item.text(1, key);
                            item.text(16, &json);
                        });
                    }
                    history.message(1, |item| {
                        item.text(2, "val");
                        item.text(2, "acc");
                        item.text(16, "1");
                    });
                });
            });
            let before = file.len() as u64;
            let mut bytes = Vec::new();
            append(&mut bytes, before, record.bytes());
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn rows_are_read_however_the_file_arrives() {
        let file = file(3);
        let expected: Vec<String> = (0..3)
            .map(|step| format!("loss={step}.5 nan=NaN step={step} val/acc=1"))
            .collect();
        for cut in 0..file.len() {
            let (first, second) = file.split_at(cut);
            let mut history = History::default();
            assert_eq!(items(&mut history, &[first, second], true), expected);
            assert_eq!(history.take_problem(), None);
        }
    }

    #[test]
    fn rows_are_read_across_blocks() {
        let file = file(2000);
        assert!(file.len() > 3 * 32_768);
        let pieces: Vec<&[u8]> = file.chunks(1000).collect();
        assert_eq!(items(&mut History::default(), &pieces, true).len(), 2000);
    }
}
