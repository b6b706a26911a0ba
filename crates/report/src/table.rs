//! Tables that fit their terminal. Columns are left out so that no line wraps.

use super::text::{Paint, elide, elide_middle, plain, width};
use rayon::prelude::*;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;

/// Number of blanks between two columns.
const GAP: usize = 2;

/// Widths to which long titles of numbers are cut, one after the other, before any column is left
/// out.
const TITLES: [usize; 3] = [20, 16, 12];

/// Width to which texts are cut, in columns of the terminal, before any column is left out.
const LONG: usize = 24;

/// Number of rows that one thread renders at a time.
const BLOCK: usize = 512;

/// Number of blocks that are rendered before they are written.
const BLOCKS_AT_ONCE: usize = 16;

/// Emphasis of a row among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowTone {
    /// The row of a trial without a special state.
    #[default]
    Usual,
    /// The row of the incumbent, or of the reference group.
    Best,
    /// The row of a running trial.
    Live,
    /// The row of a failed trial.
    Bad,
    /// A row of less interest: a trial that does not count, was stopped or waits, or a group that
    /// is worse than the reference.
    Faint,
}

/// A column with its title and its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    title: String,
    cells: Cells,
    /// Width of the widest cell, without the title.
    cells_width: usize,
    width: usize,
    /// Whether cells are aligned right, as numbers are.
    right: bool,
    /// Whether the column is never left out.
    kept: bool,
}

impl Column {
    /// Creates a column of texts, aligned left. Control characters in the cells are escaped.
    pub fn texts(title: &str, cells: impl IntoIterator<Item = String>) -> Self {
        let title = plain(title).into_owned();
        let mut widest = 0;
        let mut stored = Cells::default();
        for cell in cells {
            let cell = plain(&cell);
            widest = widest.max(width(&cell));
            stored.push(&cell);
        }
        Self {
            width: widest.max(width(&title)),
            title,
            cells: stored,
            cells_width: widest,
            right: false,
            kept: false,
        }
    }

    /// Creates a column of numbers, aligned right.
    pub fn numbers(title: &str, cells: impl IntoIterator<Item = String>) -> Self {
        Self {
            right: true,
            ..Self::texts(title, cells)
        }
    }

    /// Replaces the title.
    #[must_use]
    pub fn titled(self, title: &str) -> Self {
        let title = plain(title).into_owned();
        Self {
            width: self.cells_width.max(width(&title)),
            title,
            ..self
        }
    }

    /// Returns the common text of all cells, if there are several and they do not differ.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        let count = self.cells.ends.len();
        let first = self.cells.get(0);
        let is_constant = (1..count).all(|row| self.cells.get(row) == first);
        (count > 1 && is_constant).then_some(first)
    }

    /// Returns the title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Marks the column as one that is never left out.
    #[must_use]
    pub fn keep(self) -> Self {
        Self { kept: true, ..self }
    }
}

/// The cells of a column in one text, since 100,000 texts of their own take six times the memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Cells {
    text: String,
    /// The end of each cell in the text.
    ends: Vec<usize>,
}

impl Cells {
    fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// Returns the cell of a row; empty if there is none.
    fn get(&self, row: usize) -> &str {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before),
            None => Some(&0),
        };
        let range = start.zip(self.ends.get(row));
        range.map_or("", |(start, end)| &self.text[*start..*end])
    }
}

/// A table with one tone for each row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    columns: Vec<Column>,
    tones: Vec<RowTone>,
}

/// A table fitted to a width. Its lines are made while they are written, since a long table as one
/// text takes as much memory as its cells.
#[derive(Debug, Clone)]
pub struct Rendered<'a> {
    table: &'a Table,
    shown: Vec<usize>,
    widths: Vec<usize>,
    paint: Paint,
    /// The titles of the columns that did not fit.
    pub hidden: Vec<String>,
}

impl Rendered<'_> {
    /// Writes the lines, each with its newline. The first line holds the titles.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        self.line(&mut line, |column, columns| {
            elide_middle(&column.title, columns)
        });
        writeln!(out, "{}", self.paint.dim(&line))?;
        // The rows of a few blocks at a time are made by all cores.
        let row_count = self.table.tones.len();
        for start in (0..row_count).step_by(BLOCK * BLOCKS_AT_ONCE) {
            let end = row_count.min(start + BLOCK * BLOCKS_AT_ONCE);
            let blocks: Vec<String> = (start..end)
                .into_par_iter()
                .step_by(BLOCK)
                .map(|first| self.block(first..end.min(first + BLOCK)))
                .collect();
            for block in blocks {
                out.write_all(block.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Renders some rows.
    fn block(&self, rows: Range<usize>) -> String {
        let (mut text, mut line) = (String::new(), String::new());
        for row in rows {
            self.line(&mut line, |column, columns| {
                elide(column.cells.get(row), columns)
            });
            match self.table.tones[row] {
                RowTone::Usual => text.push_str(&line),
                RowTone::Best => text.push_str(&self.paint.green(&line)),
                RowTone::Live => text.push_str(&self.paint.cyan(&line)),
                RowTone::Bad => text.push_str(&self.paint.red(&line)),
                RowTone::Faint => text.push_str(&self.paint.dim(&line)),
            }
            text.push('\n');
        }
        text
    }

    /// Replaces the content of `line` by the cells of one row.
    fn line<'a>(&'a self, line: &mut String, cell: impl Fn(&'a Column, usize) -> Cow<'a, str>) {
        line.clear();
        for (index, &shown) in self.shown.iter().enumerate() {
            line.push_str(if index == 0 { "" } else { "  " });
            let column = &self.table.columns[shown];
            let columns = self.widths[shown];
            pad(line, &cell(column, columns), columns, column.right);
        }
        line.truncate(line.trim_end().len());
    }
}

/// The whole text of the table.
impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Table {
    /// Creates a table without columns, with one row for each tone.
    #[must_use]
    pub fn new(tones: Vec<RowTone>) -> Self {
        Self {
            columns: Vec::new(),
            tones,
        }
    }

    /// Returns whether a column has that title, after escaping as in the columns.
    #[must_use]
    pub fn has(&self, title: &str) -> bool {
        let title = plain(title);
        self.columns.iter().any(|column| column.title == *title)
    }

    /// Appends a column. Columns further right are left out first. If the title is taken, the new
    /// column gets a number, so that titles stay unique.
    pub fn push(&mut self, column: Column) {
        let unique_title = if self.has(&column.title) {
            (2_usize..)
                .map(|number| format!("{} ({number})", column.title))
                .find(|title| !self.has(title))
        } else {
            None
        };
        self.columns.push(match unique_title {
            Some(title) => column.titled(&title),
            None => column,
        });
    }

    /// Renders the table in at most `columns` columns of a terminal, or in its full width if that
    /// is `None`. Columns marked with [`Column::keep`] are shortened if they alone are too wide.
    #[must_use]
    pub fn render(&self, columns: Option<usize>, paint: Paint) -> Rendered<'_> {
        let available = columns.unwrap_or(usize::MAX);
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width).collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        // Long texts are cut first, because a shortened note is better than a missing column.
        if total(&shown, &widths) > available {
            for (column, width) in self.columns.iter().zip(&mut widths) {
                *width = if column.right {
                    *width
                } else {
                    (*width).min(LONG)
                };
            }
        }
        for limit in TITLES {
            if total(&shown, &widths) <= available {
                break;
            }
            for (column, width) in self.columns.iter().zip(&mut widths) {
                *width = (*width).min(column.cells_width.max(limit));
            }
        }
        let hidden = self.hide(&mut shown, &widths, available);
        self.squeeze(&shown, &mut widths, available);
        self.stretch(&shown, &mut widths, available);
        Rendered {
            table: self,
            shown,
            widths,
            paint,
            hidden,
        }
    }

    /// Renders the table in Markdown, with all its columns.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = markdown_row(
            self.columns
                .iter()
                .map(|column| markdown_cell(&column.title))
                .collect(),
        );
        text += &markdown_row(
            self.columns
                .iter()
                .map(|column| if column.right { "--:" } else { ":--" }.to_owned())
                .collect(),
        );
        for row in 0..self.tones.len() {
            text += &markdown_row(
                self.columns
                    .iter()
                    .map(|column| markdown_cell(column.cells.get(row)))
                    .collect(),
            );
        }
        text
    }

    /// Removes columns from `shown`, the last first, until the others fit. Kept columns stay.
    /// Returns the titles of the removed columns.
    fn hide(&self, shown: &mut Vec<usize>, widths: &[usize], available: usize) -> Vec<String> {
        let mut used = total(shown, widths);
        let mut is_hidden = vec![false; self.columns.len()];
        for column in shown.iter().copied().rev() {
            if used <= available {
                break;
            }
            if !self.columns[column].kept {
                is_hidden[column] = true;
                used = used.saturating_sub(widths[column] + GAP);
            }
        }
        shown.retain(|column| !is_hidden[*column]);
        let hidden = self
            .columns
            .iter()
            .zip(is_hidden)
            .filter(|(_, is_hidden)| *is_hidden);
        hidden.map(|(column, _)| column.title.clone()).collect()
    }

    /// Shortens the widest columns until all fit, but none below 4 columns of the terminal.
    fn squeeze(&self, shown: &[usize], widths: &mut [usize], available: usize) {
        while total(shown, widths) > available {
            let Some(widest) = shown.iter().copied().max_by_key(|column| widths[*column]) else {
                return;
            };
            let excess = total(shown, widths) - available;
            let cut = widths[widest].saturating_sub(excess).max(4);
            if cut >= widths[widest] {
                return;
            }
            widths[widest] = cut;
        }
    }

    /// Gives the remaining room to columns that were shortened, from left to right.
    fn stretch(&self, shown: &[usize], widths: &mut [usize], available: usize) {
        let mut room = available.saturating_sub(total(shown, widths));
        for &column in shown {
            let width = self.columns[column]
                .width
                .clamp(widths[column], widths[column].saturating_add(room));
            room -= width - widths[column];
            widths[column] = width;
        }
    }
}

/// Joins cells to a row of a Markdown table.
fn markdown_row(cells: Vec<String>) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Escapes the characters that would end a cell, escape another character or begin a tag.
fn markdown_cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

/// Returns the width of the shown columns with the gaps between them.
fn total(shown: &[usize], widths: &[usize]) -> usize {
    shown
        .iter()
        .map(|column| widths[*column] + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

/// Appends a cell to a line, aligned to `columns`.
fn pad(line: &mut String, cell: &str, columns: usize, right: bool) {
    let gap = std::iter::repeat_n(' ', columns.saturating_sub(width(cell)));
    if right {
        line.extend(gap);
        line.push_str(cell);
    } else {
        line.push_str(cell);
        line.extend(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, RowTone, Table};
    use crate::text::{Paint, width};

    fn strings(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    fn table() -> Table {
        let mut table = Table::new(vec![RowTone::Usual; 2]);
        table.push(Column::numbers("trial", strings(&["1", "12"])).keep());
        table.push(Column::texts("optimizer", strings(&["sgd", "größe学"])));
        table.push(Column::numbers("val_loss", strings(&["0.5", "0.041"])));
        table
    }

    #[test]
    fn numbers_are_aligned_right_and_texts_left_in_any_script() {
        assert_eq!(
            table().render(None, Paint::default()).to_string(),
            "trial  optimizer  val_loss\n    1  sgd             0.5\n   12  größe学       0.041\n"
        );
    }

    #[test]
    fn columns_that_do_not_fit_are_left_out_from_the_right_and_named() {
        let table = table();
        let rendered = table.render(Some(20), Paint::default());
        assert_eq!(
            rendered.to_string(),
            "trial  optimizer\n    1  sgd\n   12  größe学\n"
        );
        assert_eq!(rendered.hidden, ["val_loss"]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut table = table();
        table.push(Column::texts("note", strings(&[&"long ".repeat(50), "x"])).keep());
        for columns in [20, 40, 80] {
            let rendered = table.render(Some(columns), Paint::default());
            let text = rendered.to_string();
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
            assert!(text.contains('…'));
        }
    }

    #[test]
    fn a_long_title_is_cut_in_its_middle_before_a_column_is_left_out() {
        let mut table = table();
        let title = "validation/mean_average_precision";
        table.push(Column::numbers(title, strings(&["0.5", "0.25"])).keep());
        table.push(Column::numbers("lr", strings(&["0.1", "0.2"])));
        let rendered = table.render(Some(48), Paint::default());
        assert_eq!(
            rendered.to_string().lines().next(),
            Some("trial  optimizer  val_loss  validat…ecision   lr")
        );
        assert!(rendered.hidden.is_empty());
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut table = Table::new(vec![RowTone::Bad]);
        table.push(Column::texts("na\x1b[31mme", strings(&["\x1b]0;x\x07\n"])));
        assert_eq!(
            table.render(None, Paint::default()).to_string(),
            "na\\x1b[31mme\n\\x1b]0;x\\x07\\n\n"
        );
    }

    #[test]
    fn titles_of_columns_are_unique() {
        let mut table = Table::new(vec![RowTone::Usual]);
        for cell in ["a", "b", "c"] {
            table.push(Column::texts("x", strings(&[cell])));
        }
        assert_eq!(
            table.render(None, Paint::default()).to_string(),
            "x  x (2)  x (3)\na  b      c\n"
        );
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let mut table = Table::new(Vec::new());
        table.push(Column::numbers("trial", []));
        assert_eq!(
            table.render(Some(80), Paint::default()).to_string(),
            "trial\n"
        );
    }

    /// Returns the seconds in which a table with so many columns is made and rendered.
    fn time(count: usize) -> f64 {
        let mut table = Table::new(vec![RowTone::Usual]);
        for number in 0..count {
            let title = format!("metric {number}");
            table.push(Column::numbers(&title, [number.to_string()]));
        }
        let begun = std::time::Instant::now();
        let rendered = table.render(Some(80), Paint::default());
        assert_eq!(rendered.hidden.len(), count - 8);
        assert!(table.render(None, Paint::default()).hidden.is_empty());
        begun.elapsed().as_secs_f64()
    }

    #[test]
    fn the_time_to_render_a_table_grows_linearly_with_its_columns() {
        // Other load on the machine slows both down equally; quadratic cost would show as a factor
        // of a hundred.
        let ratio = (0..10)
            .map(|_| time(20_000) / time(2_000))
            .fold(f64::INFINITY, f64::min);
        assert!(
            ratio < 30.0,
            "ten times the columns took {ratio:.0} times as long"
        );
    }
}
