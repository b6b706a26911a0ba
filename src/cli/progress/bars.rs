//! The moving part: an overall bar, the best so far, and a line a running trial.

use super::words;
use crate::report::text::{Paint, elide, plain};
use crate::report::{number, summary};
use crate::study::{Study, Timestamp};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// How many running trials are shown at most.
const LINES: usize = 12;

/// How many lines of the terminal are left to other things.
const SPARE: usize = 8;

pub(super) struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    best: ProgressBar,
    slots: Vec<ProgressBar>,
    more: ProgressBar,
    paint: Paint,
    began: Instant,
    ended_before: u64,
}

impl Bars {
    pub(super) fn new(study: &Study, paint: Paint) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let line = || all.add(ProgressBar::new(0).with_style(style("{wide_msg}")));
        let (overall, best, more) = (line(), line(), line());
        let bars = Self {
            all,
            overall,
            best,
            slots: Vec::new(),
            more,
            paint,
            began: Instant::now(),
            ended_before: words::finished(study),
        };
        let name = plain(&study.header().name).into_owned();
        if let Some(wanted) = study.header().trials {
            let filled = if paint.on { "{bar:24.cyan/dim}" } else { "{bar:24}" };
            bars.overall.set_style(
                style(&format!("{{prefix}} {filled} {{pos}}/{{len}}  {{wide_msg}}")).progress_chars("━╸─"),
            );
            bars.overall.set_length(wanted);
        } else {
            bars.overall.set_style(style("{prefix} {pos} trials  {wide_msg}"));
        }
        bars.overall.set_prefix(paint.bold(&name));
        bars
    }

    /// Writes a line above the bars.
    pub(super) fn above(&self, line: &str) {
        let _ = self.all.println(line);
    }

    /// Writes a line above the bars, cut to the width of the terminal.
    pub(super) fn line_above(&self, line: &str) {
        self.above(&elide(line, terminal().0));
    }

    /// Shows the study as it is now.
    pub(super) fn update(&mut self, study: &Study) {
        let ended = words::finished(study);
        let left = remaining(study, ended, ended - self.ended_before.min(ended), self.began.elapsed());
        self.overall.set_position(ended);
        self.overall.set_message(self.overall_message(study, left));
        self.best.set_message(self.best_message(study));
        self.update_running(study);
    }

    fn overall_message(&self, study: &Study, left: Option<Duration>) -> String {
        let counts = study.counts();
        let mut parts = vec![format!("{} running", study.running_count())];
        if counts.failed > 0 {
            parts.push(self.paint.red(&format!("{} failed", counts.failed)));
        }
        if counts.stopped > 0 {
            parts.push(format!("{} stopped", counts.stopped));
        }
        parts.push(match left {
            Some(left) => format!("{} left", number::duration(left)),
            None => number::duration(self.began.elapsed()),
        });
        parts.join("  ")
    }

    fn best_message(&self, study: &Study) -> String {
        let Some(best) = study.incumbent() else { return self.paint.dim("best   none so far") };
        let text = format!(
            "best   trial {}: {}  {}",
            best.id,
            summary::objectives(study, best),
            summary::params(best)
        );
        self.paint.green(&elide(&plain(&text), terminal().0))
    }

    fn update_running(&mut self, study: &Study) {
        let (width, height) = terminal();
        let most = height.saturating_sub(SPARE).clamp(1, LINES);
        let running = study.running_count();
        let shown = running.min(most);
        while self.slots.len() < shown {
            let bar = ProgressBar::new(0).with_style(style("{wide_msg}"));
            self.slots.push(self.all.insert_before(&self.more, bar));
        }
        for bar in self.slots.drain(shown..) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        let now = Timestamp::now();
        let trials = study.running().filter_map(|id| study.trial(id));
        for (bar, trial) in self.slots.iter().zip(trials) {
            bar.set_message(elide(&words::running(study, trial, now), width).into_owned());
        }
        let more =
            if running > shown { format!("       … and {} more", running - shown) } else { String::new() };
        self.more.set_message(self.paint.dim(&more));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

/// Returns the width and height of the terminal; the last column stays free.
fn terminal() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.filter(|(width, _)| *width > 0).map_or((79, 24), |(width, height)| (width - 1, height))
}

/// Guesses how long it will take, from how long it took in this run.
fn remaining(study: &Study, ended: u64, in_this_run: u64, elapsed: Duration) -> Option<Duration> {
    let to_come = study.header().trials?.checked_sub(ended)?;
    if in_this_run < 2 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * to_come as f64 / in_this_run as f64).ok()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::remaining;
    use crate::tracker::demo::Demo;
    use std::time::Duration;

    #[test]
    fn the_time_left_is_guessed_from_this_run_alone() {
        let study = Demo::new(&[]).study;
        let guess = |ended, in_this_run| remaining(&study, ended, in_this_run, Duration::from_secs(10));
        assert_eq!(guess(10, 5), Some(Duration::from_secs(20)));
        assert_eq!(guess(10, 1), None);
        assert_eq!(guess(20, 5), Some(Duration::ZERO));
        assert_eq!(guess(21, 5), None);
    }
}
