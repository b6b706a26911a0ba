//! Tables with a header: CSV, also with tabs or semicolons. Files of DVCLive have one metric each.

use super::format::{Content, Format, Item, datum};
use swath_model::study::{Datum, Metric};

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 1 << 22;

/// A table as it grows.
pub(super) struct Csv {
    /// The metric of a file that has only one, with its steps.
    point: Option<String>,
    delimiter: u8,
    header: Option<Vec<String>>,
    line: Vec<u8>,
    is_quoted: bool,
    /// The number of the line that is read.
    number: u64,
    problem: Option<String>,
}

impl Csv {
    pub(super) fn new(point: Option<String>) -> Self {
        Self {
            point,
            delimiter: b',',
            header: None,
            line: Vec::new(),
            is_quoted: false,
            number: 1,
            problem: None,
        }
    }

    fn end_line(&mut self, each: &mut dyn FnMut(Item)) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim_end_matches('\r');
        if !text.trim().is_empty() {
            self.row(text, each);
        }
        self.line = line;
        self.line.clear();
        self.number += 1;
    }

    fn row(&mut self, text: &str, each: &mut dyn FnMut(Item)) {
        let Some(header) = &self.header else {
            self.delimiter = delimiter(text);
            self.header = Some(cells(text, self.delimiter));
            return;
        };
        let cells = cells(text, self.delimiter);
        // A program that starts again may write its header again.
        if cells == *header {
            return;
        }
        if cells.len() != header.len() {
            let (found, expected) = (cells.len(), header.len());
            self.problem.get_or_insert(format!(
                "line {} has {found} values, and the header {expected}; it is left out",
                self.number
            ));
            return;
        }
        let values: Vec<(String, Datum)> = header
            .iter()
            .zip(&cells)
            .filter(|(name, _)| !name.is_empty())
            .filter_map(|(name, cell)| Some((name.clone(), datum(cell)?)))
            .collect();
        let content = match &self.point {
            Some(name) => point(name, &values),
            None => (!values.is_empty()).then_some(Content::Row(values)),
        };
        if let Some(content) = content {
            each(Item { content, at: None });
        }
    }
}

impl Format for Csv {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) {
        for byte in bytes {
            match byte {
                b'\n' if !self.is_quoted => self.end_line(each),
                _ if self.line.len() >= LONGEST_LINE => {
                    self.problem.get_or_insert(format!(
                        "line {} has more than {LONGEST_LINE} bytes; it is cut",
                        self.number
                    ));
                    self.is_quoted = false;
                }
                _ => {
                    self.is_quoted ^= *byte == b'"';
                    self.line.push(*byte);
                }
            }
        }
    }

    fn settle(&mut self, is_last: bool, each: &mut dyn FnMut(Item)) {
        // The last number of a line without end may be cut.
        if is_last && !self.line.is_empty() && self.header.is_some() {
            self.end_line(each);
        }
    }

    fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}

/// Returns the value of a file that has one metric: the last column, at the step of the line.
fn point(name: &str, values: &[(String, Datum)]) -> Option<Content> {
    let step = values.iter().find(|(column, _)| column == "step");
    let (Datum::Number(Metric(step)), Datum::Number(Metric(last))) = (&step?.1, &values.last()?.1)
    else {
        return None;
    };
    Some(Content::Point {
        name: name.to_owned(),
        step: *step,
        number: *last,
    })
}

/// Returns the delimiter of a header: the one that occurs most often.
fn delimiter(header: &str) -> u8 {
    [b';', b'\t', b',']
        .into_iter()
        .max_by_key(|delimiter| header.bytes().filter(|byte| byte == delimiter).count())
        .unwrap_or(b',')
}

/// Splits a line into its cells. A cell in quotes may contain the delimiter, and `""` for a quote.
fn cells(line: &str, delimiter: u8) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, cells.last_mut()) {
            ('"', Some(cell)) if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            ('"', _) => is_quoted = !is_quoted,
            (letter, _) if letter == char::from(delimiter) && !is_quoted => {
                cells.push(String::new());
            }
            (letter, Some(cell)) => cell.push(letter),
            (_, None) => {}
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::items;
    use super::*;

    #[test]
    fn rows_are_read_with_their_header_and_absent_cells_are_left_out() {
        let text =
            "epoch,step,train_loss,\"val/loss\"\r\n0,9,0.5,\r\n0,9,,0.25\r\n1,19,nan,\"0.2\"\r\n";
        let mut csv = Csv::new(None);
        assert_eq!(
            items(&mut csv, &[text.as_bytes()], false),
            [
                "epoch=0 step=9 train_loss=0.5",
                "epoch=0 step=9 val/loss=0.25",
                "epoch=1 step=19 train_loss=NaN val/loss=0.2"
            ]
        );
    }

    #[test]
    fn a_line_counts_when_it_has_ended_or_nothing_follows() {
        let mut csv = Csv::new(None);
        let pieces: [&[u8]; 3] = [b"a;b\n1", b";2\n3;", b"4"];
        assert_eq!(items(&mut csv, &pieces, false), ["a=1 b=2"]);
        assert_eq!(items(&mut csv, &[], true), ["a=3 b=4"]);
    }

    #[test]
    fn a_repeated_header_is_no_row_and_a_row_of_other_length_is_a_problem() {
        let mut csv = Csv::new(None);
        let text = b"a,b\n1,2\na,b\n3\n5,6\n";
        assert_eq!(items(&mut csv, &[text], false), ["a=1 b=2", "a=5 b=6"]);
        assert_eq!(
            csv.take_problem().unwrap(),
            "line 4 has 1 values, and the header 2; it is left out"
        );
    }

    #[test]
    fn a_quoted_cell_may_have_delimiters_quotes_and_line_breaks() {
        let mut csv = Csv::new(None);
        let text = b"a,note\n1,\"x, \"\"y\"\"\nz\"\n2,\n";
        assert_eq!(
            items(&mut csv, &[text], false),
            ["a=1 note=\"x, \\\"y\\\"\\nz\"", "a=2"]
        );
    }

    #[test]
    fn a_file_of_one_metric_has_points() {
        let mut csv = Csv::new(Some("val/loss".to_owned()));
        let text = b"step\tloss\n0\t0.5\n1\t0.25\n";
        assert_eq!(
            items(&mut csv, &[text], false),
            ["val/loss@0=0.5", "val/loss@1=0.25"]
        );
    }
}
