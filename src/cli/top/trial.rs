//! The view of one trial: the text of `swath show` with its attempts and its log, and its metrics
//! and the use of the machine over time.

use super::grid;
use crate::cli::detail::{self, Detail, Series};
use crate::cli::exit::Failure;
use crate::cli::output::captured;
use crate::cli::show::{Subject, show_trial};
use crate::cli::tail;
use crate::journal::readable_trial;
use crate::report::number;
use crate::report::plots::figure::{Guide, Mark, Panel, Scale, Tone, Weight};
use crate::report::text::{elide, plain};
use crate::report::view::View;
use crate::source::secret::Secrets;
use crate::study::{Study, Timestamp, Trial, TrialId};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use std::fmt::Write as _;

/// From this width on, the text and the charts stand beside each other.
const WIDE: u16 = 110;
/// Number of lines of the log.
const LOG_LINES: usize = 200;

/// The view of one trial, with its texts as they were read last.
pub(super) struct TrialView {
    pub(super) id: TrialId,
    scroll: usize,
    /// Whether a narrow screen shows the charts in place of the text.
    has_charts: bool,
    page: usize,
    /// The width for which the text was made.
    columns: u16,
    lines: Vec<String>,
    panels: Vec<Panel>,
    is_outdated: bool,
    /// Number of rows of the text that were drawn last.
    rows: usize,
}

impl TrialView {
    pub(super) fn new(id: TrialId) -> Self {
        Self {
            id,
            scroll: 0,
            has_charts: false,
            page: 0,
            columns: 80,
            lines: Vec::new(),
            panels: Vec::new(),
            is_outdated: true,
            rows: 0,
        }
    }

    /// Reads the trial again the next time it is drawn.
    pub(super) fn discard(&mut self) {
        self.is_outdated = true;
    }

    pub(super) fn scroll(&mut self, by: i64) {
        let last = self.lines.len().saturating_sub(self.rows) as i64;
        let current = self.scroll as i64;
        self.scroll = current.saturating_add(by).clamp(0, last.max(0)) as usize;
    }

    pub(super) fn switch(&mut self) {
        self.has_charts = !self.has_charts;
    }

    pub(super) fn turn_page(&mut self, by: i64) {
        self.page = (self.page as i64 + by).max(0) as usize;
    }

    /// Reads the texts and the series of the trial, if they are outdated.
    pub(super) fn refresh(
        &mut self,
        view: &View,
        study: &Study,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_outdated) {
            return Ok(());
        }
        let Some(trial) = study.trial(self.id) else {
            return Ok(());
        };
        let (mut out, stdout, _) = captured::output(Some(usize::from(self.columns)));
        let subject = Subject {
            dir: &view.dir,
            study,
            record: &view.record(),
            secrets,
        };
        show_trial(&mut out, &subject, trial)?;
        let mut text = stdout.text();
        if let Some(detail) = detail::of_trial(view, self.id.0) {
            text += &attempts(&detail, trial);
            let objectives = &study.header().objectives;
            let mut series: Vec<&Series> = detail.series.iter().collect();
            // A stable sort: the other series keep their order.
            series.sort_by_key(|series| {
                let is_objective = objectives
                    .iter()
                    .any(|objective| *objective.metric == *series.metric);
                !is_objective
            });
            self.panels = series.into_iter().map(panel).collect();
        }
        let folder = readable_trial(&view.dir, study, self.id);
        let (log, lines) = tail::log_tail(&folder, LOG_LINES, secrets);
        if !lines.is_empty() {
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            let _ = write!(text, "\n{name}\n{}\n", lines.join("\n"));
        }
        self.lines = text
            .lines()
            .map(|line| line.replace('\t', "    "))
            .collect();
        Ok(())
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, colours: bool) {
        let is_wide = area.width >= WIDE;
        let (text, charts) = match (is_wide, self.has_charts) {
            (true, _) => {
                let parts = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
                    .spacing(1)
                    .split(area);
                (Some(parts[0]), Some(parts[1]))
            }
            (false, false) => (Some(area), None),
            (false, true) => (None, Some(area)),
        };
        if let Some(area) = text {
            self.draw_text(frame, area);
        }
        if let Some(area) = charts {
            let last = grid::pages(area, self.panels.len()) - 1;
            self.page = self.page.min(last);
            let shown = grid::on_page(area, self.panels.len(), self.page);
            grid::draw(&self.panels[shown], area, frame.buffer_mut(), colours);
        }
    }

    fn draw_text(&mut self, frame: &mut Frame<'_>, area: Rect) {
        self.rows = usize::from(area.height);
        // The text is made anew for another width.
        self.is_outdated |= self.columns != area.width;
        self.columns = area.width;
        self.scroll(0);
        let lines = self.lines.iter().skip(self.scroll).take(self.rows);
        let lines = lines.map(|line| Line::raw(elide(line, usize::from(area.width)).into_owned()));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
    }
}

/// Returns the attempts of a trial, and the decisions of the scheduler.
fn attempts(detail: &Detail, trial: &Trial) -> String {
    let mut text = "\nattempts\n".to_owned();
    for (index, attempt) in detail.attempts.iter().enumerate() {
        let end = attempt.end.unwrap_or_else(Timestamp::now);
        let _ = writeln!(
            text,
            "  {}  slot {}, {}, {}",
            index + 1,
            attempt.slot,
            number::duration(end.since(attempt.start)),
            plain(attempt.exit.as_deref().unwrap_or("running"))
        );
    }
    if !detail.verdicts.is_empty() {
        text += "\nverdicts\n";
    }
    for (step, verdict, _) in &detail.verdicts {
        let verdict = format!("{verdict:?}").to_lowercase();
        let _ = writeln!(
            text,
            "  {} {}: {verdict}",
            plain(trial.axis.word()),
            number::short(*step)
        );
    }
    if let Some(why) = trial.why.as_deref().filter(|_| !detail.verdicts.is_empty()) {
        let _ = writeln!(text, "  the last one: {}", plain(why));
    }
    text
}

/// Returns the panel of a series.
fn panel(series: &Series) -> Panel {
    let (xs, ys) = (
        series.points.iter().map(|point| point.0),
        series.points.iter().map(|point| point.1),
    );
    let last = series.last.map(|point| number::short(point.1));
    let log = match series.log.as_str() {
        "report" => String::new(),
        log => format!("{log}: "),
    };
    let tone = if series.log == "system" {
        Tone::Live
    } else {
        Tone::Usual
    };
    Panel {
        title: format!("{log}{}  {}", series.metric, last.unwrap_or_default()),
        x: Guide::new(series.axis.as_str(), Scale::around(xs)),
        y: Guide::new("", Scale::fitting(ys)),
        marks: vec![
            Mark::Line(series.points.clone(), tone, Weight::Usual),
            Mark::Points(
                series.points.clone(),
                tone,
                crate::report::plots::figure::Shape::Speck,
            ),
        ],
    }
}
