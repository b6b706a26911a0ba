//! Extracts reports from the output of programs that only print: the sweep file's `[capture]`.
//!
//! Each line of output is matched against each expression. The first group (or the whole match, if
//! there is none) is the value of that key. The values of one line belong together. A report is
//! complete when
//!
//! - every key of `[capture]` has a value, so no more can follow; or
//! - a line has a value for a key that has one already: the next report begins with that line; or
//! - the output ends.
//!
//! So `epoch 3 val_loss 0.5` on one line is a report at once. `epoch 3` and `val_loss 0.5` on two
//! lines are one report as soon as the second is printed. A key that is printed only now and then
//! (a validation every fifth epoch) is in the report it was printed with, which is delivered when
//! the next one begins. The shape of earlier reports is never used to guess that a report is
//! complete.

use regex::Regex;
use std::borrow::Cow;
use swath_model::space::Name;
use swath_model::study::{Datum, Metric};

/// Maximum number of bytes of a line that are searched; the rest of a longer line is ignored. The
/// same as the longest record.
const LONGEST: usize = super::wire::LONGEST_LINE;

/// A stream of a program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A callback that receives the values of each report.
pub type EachReport<'a> = &'a mut dyn FnMut(Vec<(Name, Datum)>);

/// Extracts reports from output as it grows.
#[derive(Debug)]
pub struct Scrape {
    capture: Vec<(Name, Regex)>,
    rests: [Vec<u8>; 2],
    pending: Vec<Option<Datum>>,
    /// Whether each expression has matched at least once.
    matched: Vec<bool>,
}

impl Scrape {
    /// Makes an extractor for the expressions of `[capture]`.
    #[must_use]
    pub fn new(capture: &[(Name, Regex)]) -> Self {
        Self {
            capture: capture.to_vec(),
            rests: Default::default(),
            pending: vec![None; capture.len()],
            matched: vec![false; capture.len()],
        }
    }

    /// Returns whether `name` is captured and its expression has not matched so far.
    #[must_use]
    pub fn is_unmatched(&self, name: &str) -> bool {
        self.capture
            .iter()
            .zip(&self.matched)
            .any(|((key, _), matched)| !matched && **key == *name)
    }

    /// Processes the next piece of a stream's output, of any size, and passes each complete report
    /// to `each`.
    ///
    /// Lines end with a line feed or a carriage return (progress bars). Colours are removed, and
    /// bytes that are not UTF-8 are replaced.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8], each: EachReport<'_>) {
        let mut rest = std::mem::take(&mut self.rests[stream as usize]);
        let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).peekable();
        while let Some(line) = lines.next() {
            let room = LONGEST - rest.len();
            rest.extend_from_slice(&line[..line.len().min(room)]);
            if lines.peek().is_some() {
                self.line(&rest, each);
                rest.clear();
            }
        }
        self.rests[stream as usize] = rest;
    }

    /// Passes on the pending report, at the end of all output.
    pub fn finish(&mut self, each: EachReport<'_>) {
        for rest in std::mem::take(&mut self.rests) {
            self.line(&rest, each);
        }
        self.deliver(each);
    }

    fn line(&mut self, bytes: &[u8], each: EachReport<'_>) {
        if bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let text = without_colours(&text);
        let values: Vec<Option<Datum>> = self
            .capture
            .iter()
            .map(|(_, expression)| first_value(expression, &text))
            .collect();
        // A second value for a key begins the next report.
        if values
            .iter()
            .zip(&self.pending)
            .any(|(new, old)| new.is_some() && old.is_some())
        {
            self.deliver(each);
        }
        for ((slot, matched), new) in self.pending.iter_mut().zip(&mut self.matched).zip(values) {
            *matched |= new.is_some();
            *slot = new.or(slot.take());
        }
        if self.pending.iter().all(Option::is_some) {
            self.deliver(each);
        }
    }

    fn deliver(&mut self, each: EachReport<'_>) {
        let values: Vec<(Name, Datum)> = self
            .capture
            .iter()
            .zip(&mut self.pending)
            .filter_map(|((name, _), slot)| slot.take().map(|datum| (name.clone(), datum)))
            .collect();
        if !values.is_empty() {
            each(values);
        }
    }
}

/// Returns the value that an expression has in a line: its first group, or the whole match.
pub fn first_value(expression: &Regex, text: &str) -> Option<Datum> {
    let groups = expression.captures(text)?;
    Some(parse_datum(groups.get(1).or(groups.get(0))?.as_str()))
}

/// Parses a value: a number, also with punctuation behind it (`0.41,` or `93%`), a flag, or a text.
fn parse_datum(text: &str) -> Datum {
    let text = text.trim();
    let bare = text.trim_end_matches([',', ';', ':', '.', ')', ']', '}', '%', '|']);
    match (text.parse(), bare.parse()) {
        (Ok(number), _) | (_, Ok(number)) => Datum::Number(Metric(number)),
        _ => match text {
            "true" | "True" => Datum::Flag(true),
            "false" | "False" => Datum::Flag(false),
            _ => Datum::Text(text.to_owned()),
        },
    }
}

/// Removes terminal sequences (`ESC [ … letter`).
pub fn without_colours(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.as_str().starts_with('[') {
            chars.next();
            let _ = chars.find(|c| ('@'..='~').contains(c));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrape(capture: &[(&str, &str)]) -> Scrape {
        let capture: Vec<(Name, Regex)> = capture
            .iter()
            .map(|(name, text)| (Name::from(*name), Regex::new(text).unwrap()))
            .collect();
        Scrape::new(&capture)
    }

    fn epochs() -> Scrape {
        scrape(&[
            ("epoch", r"epoch (\d+)"),
            ("loss", r"\bloss[=:]\s*(\S+)"),
            ("val", r"val[=:]\s*(\S+)"),
        ])
    }

    /// Returns the reports after each of the pieces, and at the end, each report as `name=value
    /// name=value`.
    fn reports(mut scrape: Scrape, pieces: &[&str]) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for piece in pieces {
            let mut now = Vec::new();
            scrape.feed(Stream::Out, piece.as_bytes(), &mut |values| {
                now.push(shown(&values));
            });
            all.push(now);
        }
        let mut now = Vec::new();
        scrape.finish(&mut |values| now.push(shown(&values)));
        all.push(now);
        all
    }

    fn shown(values: &[(Name, Datum)]) -> String {
        let values = values.iter().map(|(name, datum)| match datum {
            Datum::Number(Metric(number)) => format!("{name}={number}"),
            Datum::Flag(flag) => format!("{name}={flag}"),
            Datum::Text(text) => format!("{name}={text:?}"),
        });
        values.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_on_one_line_are_one_report_at_once() {
        let reports = reports(
            epochs(),
            &["epoch 1 loss: 0.5 val=0.6\n", "epoch 2 loss: 0.4 val=0.5\n"],
        );
        assert_eq!(
            reports,
            [
                vec!["epoch=1 loss=0.5 val=0.6"],
                vec!["epoch=2 loss=0.4 val=0.5"],
                vec![]
            ]
        );
    }

    #[test]
    fn keys_on_separate_lines_are_one_report_as_soon_as_all_are_there() {
        let reports = reports(
            epochs(),
            &["epoch 1\n", "loss: 0.5\n", "val: 0.6\n", "epoch 2\n"],
        );
        assert_eq!(
            reports,
            [
                vec![],
                vec![],
                vec!["epoch=1 loss=0.5 val=0.6"],
                vec![],
                vec!["epoch=2"]
            ]
        );
    }

    #[test]
    fn a_key_printed_now_and_then_stays_with_the_report_it_was_printed_in() {
        let reports = reports(
            epochs(),
            &[
                "epoch 1\nloss: 5\n",
                "epoch 2\nloss: 4\nval: 3\n",
                "epoch 3\nloss: 2\n",
            ],
        );
        assert_eq!(
            reports,
            [
                vec![],
                vec!["epoch=1 loss=5", "epoch=2 loss=4 val=3"],
                vec![],
                vec!["epoch=3 loss=2"]
            ]
        );
    }

    #[test]
    fn a_line_cut_anywhere_is_matched_whole() {
        let reports = reports(
            scrape(&[("loss", r"loss=(\S+)")]),
            &["lo", "ss=0.", "25\nlos", "s=nan"],
        );
        assert_eq!(
            reports,
            [vec![], vec![], vec!["loss=0.25"], vec![], vec!["loss=NaN"]]
        );
    }

    #[test]
    fn the_streams_do_not_mix_within_a_line() {
        let mut scrape = scrape(&[("a", r"a=(\S+)"), ("b", r"b=(\S+)")]);
        let mut reports = Vec::new();
        scrape.feed(Stream::Out, b"a=", &mut |values| {
            reports.push(shown(&values));
        });
        scrape.feed(Stream::Err, b"b=2\n", &mut |values| {
            reports.push(shown(&values));
        });
        scrape.feed(Stream::Out, b"1\n", &mut |values| {
            reports.push(shown(&values));
        });
        assert_eq!(reports, ["a=1 b=2"]);
    }

    #[test]
    fn progress_bars_colours_and_punctuation_do_not_hide_a_number() {
        let text = "\r10% loss=0.5,\r20% \u{1b}[32mloss\u{1b}[0m=0.4%)\nloss=best\nloss=1e-3.\n";
        let reports = reports(scrape(&[("loss", r"loss=(\S+)")]), &[text]);
        assert_eq!(
            reports[0],
            ["loss=0.5", "loss=0.4", "loss=\"best\"", "loss=0.001"]
        );
    }

    #[test]
    fn an_expression_without_a_group_gives_its_whole_match() {
        assert_eq!(
            reports(scrape(&[("done", "finished|failed")]), &["it finished\n"])[0],
            ["done=\"finished\""]
        );
    }

    #[test]
    fn the_end_of_a_long_line_is_searched_too() {
        let line = format!("{}loss=0.25\n", "x ".repeat(100_000));
        let mut scrape = scrape(&[("loss", r"loss=(\S+)"), ("acc", r"acc=(\S+)")]);
        let mut reports = Vec::new();
        scrape.feed(Stream::Out, line.as_bytes(), &mut |values| {
            reports.push(shown(&values));
        });
        scrape.finish(&mut |values| reports.push(shown(&values)));
        assert_eq!(reports, ["loss=0.25"]);
        assert_eq!(
            ["loss", "acc", "epoch"].map(|name| scrape.is_unmatched(name)),
            [false, true, false]
        );
    }

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let mut scrape = epochs();
        for _ in 0..100 {
            scrape.feed(Stream::Out, &[b'x'; 10_000], &mut |_| ());
        }
        assert!(scrape.rests[0].len() <= LONGEST);
    }

    /// Makes any byte, and those that matter to the expressions more often.
    fn any_byte() -> impl Strategy<Value = u8> {
        prop_oneof![
            Just(b'\n'),
            Just(b'a'),
            Just(b'='),
            Just(b'1'),
            Just(0x1b),
            any::<u8>()
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_reports(
            bytes in proptest::collection::vec(any_byte(), 0..200),
            cut in 0_usize..200,
        ) {
            let reports_of = |pieces: &[&[u8]]| {
                let mut scrape = scrape(&[("a", r"a=?(\S+)"), ("b", r"1(.)")]);
                let mut reports = Vec::new();
                for piece in pieces {
                    scrape.feed(Stream::Out, piece, &mut |values| reports.push(shown(&values)));
                }
                scrape.finish(&mut |values| reports.push(shown(&values)));
                reports
            };
            let cut = cut.min(bytes.len());
            prop_assert_eq!(reports_of(&[&bytes]), reports_of(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}
