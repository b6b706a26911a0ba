//! Encodes and decodes messages in the Protocol Buffers wire format. Only the four wire types that
//! the formats of trackers and sources use are supported.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// A message under construction, encoded field by field. A field is written even if it holds its
/// default value, as long as a caller writes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Returns a new message with the fields that `fill` writes.
    pub(super) fn of(fill: impl FnOnce(&mut Self)) -> Self {
        let mut message = Self::default();
        fill(&mut message);
        message
    }

    /// Returns the encoded message.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Removes all fields and keeps the allocated memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes an integer, boolean or enumeration as a varint. Negative values take ten bytes, as in
    /// `int32` and `int64`.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.key(field, 0);
        self.varint(value as u64);
    }

    /// Writes a `double` (8 bytes, little-endian).
    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a `float` (4 bytes, little-endian).
    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a `string`.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.data(field, text.as_bytes());
    }

    /// Writes a `bytes` field, prefixed with its length.
    pub(super) fn data(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes an embedded message with the fields that `fill` writes, prefixed with its length.
    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        self.key(field, 2);
        // Reserve one byte for the length, since most embedded messages are shorter than 128 bytes.
        // Further length bytes are inserted once the length is known.
        let start = self.0.len();
        self.0.push(0);
        fill(self);
        let mut length = self.0.len() - start - 1;
        let mut index = start;
        while length >= 0x80 {
            self.0[index] = length as u8 | 0x80;
            length >>= 7;
            index += 1;
            self.0.insert(index, 0);
        }
        self.0[index] = length as u8;
    }

    /// Writes the tag of a field: its number and its wire type.
    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    /// Writes an integer in groups of seven bits, the lowest first.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Decodes the varint at the start of `bytes` and returns it with the remaining bytes. Returns
/// `None` if no varint ends within the first ten bytes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at(length);
    let number = digits
        .iter()
        .rev()
        .fold(0_u64, |number, digit| number << 7 | u64::from(digit & 0x7f));
    Some((number, rest))
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    /// A varint.
    Int(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// Bytes, a text or an embedded message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Four([u8; 4]),
}

/// Returns the fields of a message with their numbers. Ends before the first field that cannot be
/// read.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let (key, after) = varint(rest)?;
        let (field, after) = match key & 7 {
            0 => varint(after).map(|(value, after)| (Field::Int(value), after))?,
            1 => after
                .split_first_chunk()
                .map(|(bytes, after)| (Field::Eight(*bytes), after))?,
            2 => {
                let (length, after) = varint(after)?;
                let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Bytes(bytes), after)
            }
            5 => after
                .split_first_chunk()
                .map(|(bytes, after)| (Field::Four(*bytes), after))?,
            _ => return None,
        };
        rest = after;
        Some((key >> 3, field))
    })
}

#[cfg(test)]
mod tests {
    use super::{Field, Message, fields};

    #[test]
    fn the_fields_of_a_message_are_read_back_and_a_cut_message_ends_early() {
        let message = Message::of(|message| {
            message.int(1, -2);
            message.double(2, 0.5);
            message.float(3, 0.25);
            message.text(16, "é");
        });
        let read: Vec<_> = fields(message.bytes()).collect();
        let expected = [
            (1, Field::Int(-2_i64 as u64)),
            (2, Field::Eight(0.5_f64.to_le_bytes())),
            (3, Field::Four(0.25_f32.to_le_bytes())),
            (16, Field::Bytes("é".as_bytes())),
        ];
        assert_eq!(read, expected);
        for cut in 0..message.bytes().len() {
            assert!(fields(&message.bytes()[..cut]).count() < 4);
        }
    }

    #[test]
    fn the_examples_of_the_format_s_description_come_out() {
        let nested = Message::of(|outer| outer.message(3, |inner| inner.int(1, 150)));
        assert_eq!(nested.bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(
            Message::of(|message| message.text(2, "testing")).bytes(),
            b"\x12\x07testing"
        );
        assert_eq!(Message::of(|message| message.int(1, -2)).bytes().len(), 11);
    }

    #[test]
    fn a_long_message_inside_another_has_its_length_in_front() {
        let text = "x".repeat(300);
        let outer = Message::of(|outer| outer.message(1, |inner| inner.text(1, &text)));
        assert_eq!(outer.bytes()[..6], [0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02]);
        assert_eq!(outer.bytes().len(), 306);
    }
}
