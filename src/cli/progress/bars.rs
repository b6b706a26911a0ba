//! The live display of a run: an overall bar, the incumbent, and one line per running trial.

use super::describe;
use super::echo::EchoOff;
use crate::cli::terminal_text::TerminalText;
use crate::report::text::{Paint, elide, plain, width};
use crate::report::{number, summary};
use crate::study::{Study, Timestamp};
use ratatui::crossterm::cursor::{MoveToColumn, MoveUp};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{DisableLineWrap, EnableLineWrap};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The maximum number of running trials to show.
const LINES: usize = 12;

/// The number of terminal rows kept free for other output.
const SPARE: usize = 8;

/// The last line of the display, and its form for a narrow terminal.
const HINTS: [&str; 2] = [
    "Ctrl-C stops the run; the same command resumes it",
    "Ctrl-C stops; the same command resumes",
];

/// The width of the overall bar in columns.
const BAR: usize = 24;

/// A block of lines at the bottom of the terminal, redrawn after every change.
pub(super) struct Bars {
    block: Block,
    paint: Paint,
    began: Instant,
    ended_before: u64,
    _echo_off: Option<EchoOff>,
}

impl Bars {
    pub(super) fn new(study: &Study, paint: Paint) -> Self {
        Self {
            block: Block::default(),
            paint,
            began: Instant::now(),
            ended_before: describe::finished(study),
            _echo_off: EchoOff::new(),
        }
    }

    /// Removes the block while `write` writes whole lines, and draws it again below them.
    pub(super) fn above(&mut self, write: impl FnOnce()) {
        let lines = self.block.replace(Vec::new());
        write();
        self.block.replace(lines);
    }

    /// Removes the block until the next update.
    pub(super) fn clear(&mut self) {
        self.block.replace(Vec::new());
    }

    /// Redraws the block from the current state of the study.
    pub(super) fn update(&mut self, study: &Study) {
        let (columns, rows) = terminal();
        let elapsed = self.began.elapsed();
        let lines = self.lines(study, columns, rows, elapsed, Timestamp::now());
        if lines != self.block.lines {
            self.block.replace(lines);
        }
    }

    fn lines(
        &self,
        study: &Study,
        columns: usize,
        rows: usize,
        elapsed: Duration,
        now: Timestamp,
    ) -> Vec<String> {
        let mut lines = vec![
            self.overall(study, columns, elapsed),
            self.best(study, columns),
        ];
        let running = study.running_count();
        let shown = running.min(rows.saturating_sub(SPARE).clamp(1, LINES));
        let trials = study.running().filter_map(|id| study.trial(id)).take(shown);
        lines.extend(
            trials.map(|trial| elide(&describe::running(study, trial, now), columns).into_owned()),
        );
        if running > shown {
            lines.push(
                self.paint
                    .dim(&format!("       … and {} more", running - shown)),
            );
        }
        let hint = HINTS.iter().find(|hint| width(hint) <= columns);
        lines.push(self.paint.dim(&elide(hint.unwrap_or(&HINTS[1]), columns)));
        lines
    }

    /// Returns the first line: `digits ━━━━━╸──── 23/60  2 running  1 failed  2m 10s left`.
    fn overall(&self, study: &Study, columns: usize, elapsed: Duration) -> String {
        let ended = describe::finished(study);
        let counts = study.counts();
        let remaining = remaining(study, ended, ended - self.ended_before.min(ended), elapsed);
        let progress = match study.header().trials {
            Some(total) => format!("{ended}/{total}"),
            None => format!("{ended} trials"),
        };
        let time = match remaining {
            Some(remaining) => format!("{} left", number::duration(remaining)),
            None => number::duration(elapsed),
        };
        let running = count(study.running_count() as u64, "running");
        let failed = count(counts.failed, "failed");
        let invalid = count(counts.invalid, "invalid");
        let stopped = count(counts.stopped, "stopped");
        let name = elide(&plain(&study.header().name), 20).into_owned();
        let mut parts = vec![progress];
        parts.extend(running);
        let failed_index = parts.len();
        let others = invalid.into_iter().chain(stopped).chain([time]);
        parts.extend(failed.iter().cloned().chain(others));
        // The width is measured before colours are added.
        let parts_width = width(&parts.join("  "));
        let bar_width = BAR + 1;
        // The bar needs a total, and is the first part to be left out on a narrow terminal. The
        // name is the next one.
        let bar = match study.header().trials {
            Some(total) if width(&name) + 1 + bar_width + parts_width <= columns => {
                self.bar(ended, total) + " "
            }
            _ => String::new(),
        };
        let name = match width(&name) + 1 + parts_width <= columns {
            true => self.paint.bold(&name) + " ",
            false => String::new(),
        };
        if parts_width > columns {
            return elide(&parts.join("  "), columns).into_owned();
        }
        if let Some(failed) = failed {
            parts[failed_index] = self.paint.red(&failed);
        }
        format!("{name}{bar}{}", parts.join("  "))
    }

    fn bar(&self, ended: u64, total: u64) -> String {
        let filled = (BAR as u64 * ended.min(total))
            .checked_div(total)
            .unwrap_or(0) as usize;
        let (done, remaining) = ("━".repeat(filled), "─".repeat(BAR - filled));
        self.paint.cyan(&done) + &self.paint.dim(&remaining)
    }

    fn best(&self, study: &Study, columns: usize) -> String {
        let Some(best) = study.incumbent() else {
            return self.paint.dim("best   none so far");
        };
        let (objectives, params) = (summary::standing(study, best), summary::params(best));
        self.paint.green(&elide(
            &plain(&format!("best   trial {}: {objectives}  {params}", best.id)),
            columns,
        ))
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The lines at the bottom of the terminal. The cursor stands at the start of the first one.
///
/// A terminal that changes its width wraps the lines anew, and may do so long before this process
/// learns of it. The rows above the cursor are then unknown. Those below it are the block, however
/// they are wrapped, and the terminal moves the cursor with the start of its line.
#[derive(Default)]
struct Block {
    lines: Vec<String>,
}

/// The control sequence that deletes all lines from that of the cursor on: `DL` with a number above
/// that of the rows of any terminal. Unlike a screen that is cleared from the cursor on, tmux does
/// not keep a copy of these lines.
const DELETE_LINES: &[u8] = b"\x1b[999M";

impl Block {
    /// Deletes the lines that the terminal shows, and writes others in their place. Returns the
    /// deleted lines.
    fn replace(&mut self, lines: Vec<String>) -> Vec<String> {
        // An error is ignored: a display that cannot be drawn must not end the run.
        let _ = draw(&mut io::stderr().lock(), !self.lines.is_empty(), &lines);
        std::mem::replace(&mut self.lines, lines)
    }
}

/// Deletes the lines from that of the cursor on if `is_drawn`, writes `lines`, and moves the cursor
/// to the start of the first one. All of it is one write, since a terminal that changes its width
/// between two would leave lines behind.
fn draw(out: &mut impl Write, is_drawn: bool, lines: &[String]) -> io::Result<()> {
    let mut drawing = Vec::new();
    if is_drawn {
        queue!(drawing, MoveToColumn(0))?;
        drawing.extend_from_slice(DELETE_LINES);
    }
    if !lines.is_empty() {
        // In a terminal that has become narrower meanwhile, each line still takes one row.
        queue!(drawing, DisableLineWrap)?;
        let text = lines.join("\n");
        TerminalText::coloured(&mut drawing).write_all(text.as_bytes())?;
        queue!(drawing, EnableLineWrap, MoveToColumn(0))?;
        let below = u16::try_from(lines.len() - 1).unwrap_or(u16::MAX);
        if below > 0 {
            queue!(drawing, MoveUp(below))?;
        }
    }
    out.write_all(&drawing)?;
    out.flush()
}

/// Returns a part such as `2 running`, or `None` for zero.
fn count(count: u64, state: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {state}"))
}

/// Returns the width and height of the terminal. The width excludes the last column, so that no
/// line wraps. The default is 79 by 24.
pub(super) fn terminal() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.filter(|(width, _)| *width > 0)
        .map_or((79, 24), |(width, height)| (width - 1, height))
}

/// Estimates the remaining time from the pace of this run. `None` if the study has no fixed number
/// of trials, or if fewer than 2 ended in this run.
fn remaining(study: &Study, ended: u64, in_this_run: u64, elapsed: Duration) -> Option<Duration> {
    let remaining = study.header().trials?.checked_sub(ended)?;
    if in_this_run < 2 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * remaining as f64 / in_this_run as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::{Bars, draw, remaining};
    use crate::report::text::{Paint, width};
    use crate::space::Value;
    use crate::study::{Exit, Failure};
    use std::time::Duration;
    use swath_model::demo::{Demo, text};

    #[test]
    fn the_remaining_time_is_estimated_from_this_run_alone() {
        let study = Demo::new(&[]).study;
        let guess =
            |ended, in_this_run| remaining(&study, ended, in_this_run, Duration::from_secs(10));
        assert_eq!(guess(10, 5), Some(Duration::from_secs(20)));
        assert_eq!(guess(10, 1), None);
        assert_eq!(guess(20, 5), Some(Duration::ZERO));
        assert_eq!(guess(21, 5), None);
    }

    #[test]
    fn the_bars_show_the_progress_and_fit_the_terminal() {
        let mut demo = Demo::new(&["lr"]);
        let bars = Bars::new(&demo.study, Paint::default());
        demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        let failed = demo.start(&[]);
        demo.end(failed, Exit::Failed(Failure::Code(1)));
        for _ in 0..3 {
            demo.start(&[("lr", text(&"long ".repeat(30)))]);
        }
        let now = demo.study.at().unwrap();
        let lines = bars.lines(&demo.study, 60, 10, Duration::from_secs(4), now);
        assert_eq!(lines[0], "digits 2/20  3 running  1 failed  36s left");
        assert_eq!(lines[1], "best   trial 1: val_loss 0.5  lr=0.1");
        assert_eq!(lines[4], "       … and 1 more");
        assert!(lines.iter().all(|line| width(line) <= 60), "{lines:?}");
        let wide = bars.lines(&demo.study, 79, 10, Duration::from_secs(4), now);
        assert_eq!(
            wide[0],
            "digits ━━──────────────────────  2/20  3 running  1 failed  36s left"
                .replace("─  2", "─ 2")
        );
    }

    #[test]
    fn the_status_fits_40_columns_with_all_its_counts() {
        let mut demo = Demo::new(&[]);
        let bars = Bars::new(&demo.study, Paint::default());
        for _ in 0..3 {
            let failed = demo.start(&[]);
            demo.end(failed, Exit::Failed(Failure::Code(1)));
        }
        for _ in 0..5 {
            demo.start(&[]);
        }
        let now = demo.study.at().unwrap();
        let lines = bars.lines(&demo.study, 39, 10, Duration::from_secs(4), now);
        assert_eq!(lines[0], "3/20  5 running  3 failed  22s left");
        assert!(lines.iter().all(|line| width(line) <= 39), "{lines:?}");
        assert!(!lines.concat().contains('…') || lines.iter().any(|line| line.contains("more")));
    }

    #[test]
    fn a_block_is_drawn_from_its_first_row_without_wraps_and_replaced_without_counting_rows() {
        let lines = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        let mut screen = Vec::new();
        draw(&mut screen, false, &lines).unwrap();
        let block = "\x1b[?7lone\ntwo\nthree\x1b[?7h\x1b[1G\x1b[2A";
        assert_eq!(String::from_utf8_lossy(&screen), block);
        screen.clear();
        draw(&mut screen, true, &[]).unwrap();
        assert_eq!(String::from_utf8_lossy(&screen), "\x1b[1G\x1b[999M");
    }
}
