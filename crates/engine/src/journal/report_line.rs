//! A quick reader of the most frequent line of a journal: a report whose values are numbers.
//!
//! It accepts nothing but the form that the writer gives such an entry, and reads it as the general
//! parser does. Every other line, such as a report with a text, is left to that parser.

use swath_model::study::Timestamp;

/// Number of decimal digits of which every number is a float.
const EXACT_DIGITS: usize = 15;
/// The powers of ten up to that number of decimals.
const POWERS: [f64; EXACT_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The parts of a report's entry other than its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportHead {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) trial: u32,
    pub(super) attempt: u32,
    /// The offset behind the line of `records.jsonl` that the record comes from.
    pub(super) line_end: Option<u64>,
}

/// Reads a report from its entry, given without the closing brace, and calls `each` with the name
/// and the number of each value. `None` if the entry has any other form; some values may have been
/// read by then.
pub(super) fn read<'a>(body: &'a [u8], mut each: impl FnMut(&'a [u8], f64)) -> Option<ReportHead> {
    let mut rest = Rest(body);
    let head = rest.head()?;
    loop {
        let name = rest.text()?;
        rest.skip(b":")?;
        each(name, rest.number()?);
        if rest.skip(b",").is_none() {
            break;
        }
    }
    rest.skip(b"}}}")?;
    let line_end = match rest.skip(b",\"line_end\":") {
        Some(()) => Some(rest.integer()?),
        None => None,
    };
    rest.skip(b"}}")?;
    rest.0.is_empty().then_some(ReportHead { line_end, ..head })
}

/// Reads the parts before the values of a report, whose values may have any form. The place in
/// `records.jsonl` follows them and is not read.
pub(super) fn read_head(body: &[u8]) -> Option<ReportHead> {
    Rest(body).head()
}

/// The bytes of an entry that have not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Reads the parts of a report before its first value.
    fn head(&mut self) -> Option<ReportHead> {
        self.skip(b"{\"seq\":")?;
        let seq = self.integer()?;
        self.skip(b",\"at\":")?;
        let at = Timestamp::of_text(self.text()?)?;
        self.skip(b",\"event\":{\"logged\":{\"trial\":")?;
        let trial = self.integer()?.try_into().ok()?;
        self.skip(b",\"attempt\":")?;
        let attempt = self.integer()?.try_into().ok()?;
        self.skip(b",\"record\":{\"report\":{\"values\":{")?;
        Some(ReportHead {
            seq,
            at,
            trial,
            attempt,
            line_end: None,
        })
    }

    /// Skips these bytes; `None` if others follow.
    fn skip<const COUNT: usize>(&mut self, expected: &[u8; COUNT]) -> Option<()> {
        // The length is known when this is compiled, so that few instructions compare the bytes.
        let (first, rest) = self.0.split_first_chunk::<COUNT>()?;
        if first != expected {
            return None;
        }
        self.0 = rest;
        Some(())
    }

    /// Takes the given number of bytes, if there are as many.
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads a whole number without a sign that JSON allows and 64 bits can hold.
    fn integer(&mut self) -> Option<u64> {
        let digits = self.take(digit_count(self.0))?;
        if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
            return None;
        }
        digits.iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add((digit - b'0').into())
        })
    }

    /// Reads a text in quotation marks that has no escape sequence.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.skip(b"\"")?;
        let end = (self.0.iter()).position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        let text = self.take(end)?;
        self.skip(b"\"")?;
        Some(text)
    }

    /// Reads a number as JSON allows it, if it is finite.
    fn number(&mut self) -> Option<f64> {
        let start = self.0;
        let is_negative = self.skip(b"-").is_some();
        let whole = self.take(digit_count(self.0))?;
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let decimals = match self.skip(b".") {
            Some(()) => self.digits()?,
            None => &[],
        };
        if let [b'e' | b'E', rest @ ..] = self.0 {
            self.0 = match rest {
                [b'+' | b'-', rest @ ..] => rest,
                _ => rest,
            };
            self.digits()?;
        } else if whole.len() + decimals.len() <= EXACT_DIGITS {
            let number = short_number(whole, decimals);
            return Some(if is_negative { -number } else { number });
        }
        let number = &start[..start.len() - self.0.len()];
        // Both parsers return the nearest float.
        let number: f64 = str::from_utf8(number).ok()?.parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// Takes digits, of which there must be at least one.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let digits = self.take(digit_count(self.0))?;
        (!digits.is_empty()).then_some(digits)
    }
}

/// Returns the float that is nearest to a number of at most [`EXACT_DIGITS`] digits. The quotient
/// of two floats is the nearest one, and both are exact.
fn short_number(whole: &[u8], decimals: &[u8]) -> f64 {
    let digits = whole.iter().chain(decimals);
    let number = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    number as f64 / POWERS[decimals.len()]
}

fn digit_count(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    end.unwrap_or(bytes.len())
}
