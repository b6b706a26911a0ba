//! Event files of TensorBoard: the scalars that `SummaryWriter` and Keras write.

use super::format::{Content, Format, Item};
use crate::proto::{Field, fields};
use crate::tensorboard::masked_checksum;

/// The longest record that is read, in bytes. Images and graphs may be longer, and are skipped.
const LONGEST: u64 = 1 << 22;

/// Lengths of the parts of a record before and behind its data.
const HEAD: usize = 12;
const CHECK: usize = 4;

/// An event file as it grows.
pub(super) struct Events {
    /// The folder that names the data, which the names of the scalars then begin with.
    folder: Option<String>,
    rest: Vec<u8>,
    /// Bytes of a long record that are still to be skipped.
    skipped: u64,
    is_damaged: bool,
    problem: Option<String>,
}

impl Events {
    pub(super) fn new(folder: Option<String>) -> Self {
        Self {
            folder,
            rest: Vec::new(),
            skipped: 0,
            is_damaged: false,
            problem: None,
        }
    }

    /// Takes the first record off the bytes; returns its length with head and checksum. `None` if
    /// it is not complete.
    fn record(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) -> Option<usize> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (check, rest) = rest.split_first_chunk::<4>()?;
        if masked_checksum(length).to_le_bytes() != *check {
            self.is_damaged = true;
            self.problem = Some("it is damaged; the rest of it is left out".to_owned());
            return None;
        }
        let length = u64::from_le_bytes(*length);
        if length > LONGEST {
            self.skipped = length + (HEAD + CHECK) as u64;
            return None;
        }
        let length = usize::try_from(length).ok()?;
        let (data, rest) = rest.split_at_checked(length)?;
        let check = rest.first_chunk::<CHECK>()?;
        if masked_checksum(data).to_le_bytes() == *check {
            self.event(data, each);
        } else {
            let why = "a record is damaged; it is left out";
            self.problem.get_or_insert(why.to_owned());
        }
        Some(HEAD + length + CHECK)
    }

    fn event(&self, event: &[u8], each: &mut dyn FnMut(Item)) {
        let (mut wall_time, mut step, mut summaries) = (None, 0, Vec::new());
        for (number, field) in fields(event) {
            match (number, field) {
                (1, Field::Eight(bytes)) => wall_time = Some(f64::from_le_bytes(bytes)),
                (2, Field::Int(value)) => step = value as i64,
                (5, Field::Bytes(bytes)) => summaries.push(bytes),
                _ => {}
            }
        }
        let values = summaries.iter().flat_map(|summary| fields(summary));
        for (number, field) in values {
            if let (1, Field::Bytes(value)) = (number, field)
                && let Some((tag, number)) = scalar(value)
            {
                let name = match &self.folder {
                    Some(folder) => format!("{folder}/{tag}"),
                    None => tag,
                };
                each(Item {
                    content: Content::Point {
                        name,
                        step: step as f64,
                        number,
                    },
                    at: wall_time.map(|seconds| (seconds * 1e6) as i64),
                });
            }
        }
    }
}

impl Format for Events {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) {
        if self.is_damaged {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut begin = 0;
        loop {
            if self.skipped > 0 {
                let skipped = self.skipped.min((rest.len() - begin) as u64);
                self.skipped -= skipped;
                begin += skipped as usize;
            }
            match self.record(&rest[begin..], each) {
                Some(length) => begin += length,
                None if self.skipped > 0 && begin < rest.len() => {}
                None => break,
            }
        }
        rest.drain(..begin);
        self.rest = rest;
    }

    fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}

/// Returns the tag and the number of a value of a summary; `None` if it is no scalar.
fn scalar(value: &[u8]) -> Option<(String, f64)> {
    let (mut tag, mut number) = (None, None);
    for (field_number, field) in fields(value) {
        match (field_number, field) {
            (1, Field::Bytes(bytes)) => tag = Some(String::from_utf8_lossy(bytes).into_owned()),
            (2, Field::Four(bytes)) => number = Some(widened(f32::from_le_bytes(bytes))),
            (8, Field::Bytes(bytes)) => number = number.or(tensor(bytes)),
            _ => {}
        }
    }
    Some((tag?, number?))
}

/// Returns the number of a tensor that has only one, of type `float` or `double`.
fn tensor(tensor: &[u8]) -> Option<f64> {
    const FLOAT: u64 = 1;
    const DOUBLE: u64 = 2;
    let (mut kind, mut bytes) = (0, &[][..]);
    for (number, field) in fields(tensor) {
        match (number, field) {
            (1, Field::Int(value)) => kind = value,
            // The bytes of all values; or the packed values of the type.
            (4..=6, Field::Bytes(content)) => bytes = content,
            (5, Field::Four(value)) => return Some(widened(f32::from_le_bytes(value))),
            (6, Field::Eight(value)) => return Some(f64::from_le_bytes(value)),
            _ => {}
        }
    }
    match kind {
        FLOAT => Some(widened(f32::from_le_bytes(bytes.try_into().ok()?))),
        DOUBLE => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// Returns the number with the fewest digits that is this one in 32 bits: a program that logs 0.1
/// reports 0.1.
fn widened(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::items;
    use super::*;
    use crate::proto::Message;
    use crate::tensorboard::frame;

    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        let scalars: [(i64, &[(&str, f32)]); 2] = [
            (0, &[("loss", 0.1), ("acc", 0.5)]),
            (7, &[("loss", f32::NAN)]),
        ];
        for (step, values) in scalars {
            let event = Message::of(|event| {
                event.double(1, 1.5);
                event.int(2, step);
                event.message(5, |summary| {
                    for (tag, number) in values {
                        summary.message(1, |value| {
                            value.text(1, tag);
                            value.float(2, *number);
                        });
                    }
                    summary.message(1, |value| {
                        value.text(1, "tensor");
                        value.message(8, |tensor| {
                            tensor.int(1, 1);
                            tensor.data(4, &2.5f32.to_le_bytes());
                        });
                    });
                });
            });
            frame(&mut file, event.bytes());
        }
        file
    }

    #[test]
    fn scalars_are_read_however_the_file_arrives() {
        let file = file();
        let expected = [
            "loss@0=0.1",
            "acc@0=0.5",
            "tensor@0=2.5",
            "loss@7=NaN",
            "tensor@7=2.5",
        ];
        for cut in 0..file.len() {
            let (first, second) = file.split_at(cut);
            let mut events = Events::new(None);
            assert_eq!(
                items(&mut events, &[first, second], true),
                expected,
                "{cut}"
            );
            assert_eq!(events.take_problem(), None);
        }
        let mut events = Events::new(Some("train".to_owned()));
        assert_eq!(items(&mut events, &[&file], true)[0], "train/loss@0=0.1");
    }

    #[test]
    fn a_long_record_is_skipped_and_a_damaged_one_is_a_problem() {
        let mut bytes = Vec::new();
        frame(&mut bytes, &vec![0; LONGEST as usize + 1]);
        bytes.extend(file());
        let mut events = Events::new(None);
        let pieces: Vec<&[u8]> = bytes.chunks(1 << 16).collect();
        assert_eq!(items(&mut events, &pieces, true).len(), 5);
        let mut bytes = file();
        bytes[20] ^= 1;
        assert_eq!(items(&mut events, &[&bytes], true).len(), 2);
        assert!(events.take_problem().is_some());
        let mut bytes = file();
        bytes[9] ^= 1;
        assert_eq!(items(&mut events, &[&bytes, &file()], true), [""; 0]);
    }
}
