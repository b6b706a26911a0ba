//! The screen of `swath top`: the progress of the study, a list of trials, a plot, and the end of
//! the log of the selected trial.

use crate::cli::plot::terminal::draw as draw_panel;
use crate::cli::tail;
use crate::journal::readable_trial;
use crate::report::plots::figure::Figure;
use crate::report::plots::{self, Input, PLOTS};
use crate::report::text::{elide, plain};
use crate::report::view::View;
use crate::report::{number, rank, summary};
use crate::source::secret::Secrets;
use crate::study::kind::find;
use crate::study::{Study, Timestamp, Trial, TrialId, TrialState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

/// The names of the plots, in the order of their keys 1, 2, 3 and so on.
pub(super) const PLOT_NAMES: [&str; 7] = [
    "curves",
    "history",
    "rungs",
    "timeline",
    "failures",
    "importance",
    "pareto",
];
/// The number of lines read from the end of a log.
const LOG_LINES: usize = 200;

/// The selection of trials in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Running,
    Best,
    Recent,
    Failed,
}

impl List {
    pub(super) const ALL: [Self; 4] = [Self::Running, Self::Best, Self::Recent, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Best => "best",
            Self::Recent => "recent",
            Self::Failed => "failed",
        }
    }

    fn trials(self, study: &Study) -> Vec<&Trial> {
        // The newest trials come first; trials that never started have nothing to show.
        let started = study
            .trials()
            .iter()
            .rev()
            .filter(|trial| trial.attempts > 0 && !trial.removed);
        match self {
            Self::Running => study.running().filter_map(|id| study.trial(id)).collect(),
            Self::Best => rank::best(study, 200),
            Self::Recent => started.take(500).collect(),
            Self::Failed => started
                .filter(|trial| trial.state.is_without_result())
                .take(500)
                .collect(),
        }
    }
}

/// The content of the screen, and the choices of the user.
pub(super) struct Screen {
    list: List,
    /// Whether the user chose the list. If not, the list follows the state of the run.
    is_list_chosen: bool,
    /// Secrets that the end of a log does not show.
    secrets: Secrets,
    selected: Option<TrialId>,
    plot: usize,
    stdout: bool,
    pub(super) help: bool,
    is_running: bool,
    figure: Option<Figure>,
    log: (String, Vec<String>),
}

impl Screen {
    pub(super) fn new(study: &Study, secrets: Secrets) -> Self {
        let list = if study.running_count() > 0 {
            List::Running
        } else {
            List::Best
        };
        let mut screen = Self {
            list,
            is_list_chosen: false,
            secrets,
            selected: None,
            plot: 0,
            stdout: false,
            help: false,
            is_running: false,
            figure: None,
            log: (String::new(), Vec::new()),
        };
        screen.step(0, study);
        screen
    }

    /// Discards the plot, because the study has changed.
    pub(super) fn discard_plot(&mut self) {
        self.figure = None;
    }

    /// Moves the selection by `by` rows, limited to the list. If the selected trial is no longer in
    /// the list, the move starts at the first row.
    pub(super) fn step(&mut self, by: i64, study: &Study) {
        let trials = self.list.trials(study);
        let current = trials
            .iter()
            .position(|trial| Some(trial.id) == self.selected)
            .unwrap_or(0) as i64;
        let last = trials.len().saturating_sub(1) as i64;
        let target = current.saturating_add(by).clamp(0, last.max(0)) as usize;
        self.selected = trials.get(target).map(|trial| trial.id);
    }

    /// Switches to the list that comes `by` positions later, and selects its first trial.
    pub(super) fn next_list(&mut self, by: usize, study: &Study) {
        let current = List::ALL
            .iter()
            .position(|list| *list == self.list)
            .unwrap_or(0);
        self.list = List::ALL[(current + by) % List::ALL.len()];
        self.is_list_chosen = true;
        self.selected = None;
        self.step(0, study);
    }

    pub(super) fn switch_log(&mut self) {
        self.stdout = !self.stdout;
    }

    pub(super) fn show_plot(&mut self, plot: usize) {
        self.plot = plot;
        self.figure = None;
    }

    /// Updates the parts of the screen that need files: the data of the plot and the end of the
    /// log.
    pub(super) fn refresh(&mut self, view: &View, study: &Study, is_running: bool) {
        self.is_running = is_running;
        if !self.is_list_chosen {
            // The list follows the run until the user chooses one: a finished run shows the best
            // trials.
            self.list = match (study.running_count(), is_running) {
                (0, true) => self.list,
                (0, false) => List::Best,
                _ => List::Running,
            };
        }
        if self
            .selected
            // The selected trial may have left the list, for example because it ended.
            .is_none_or(|id| !self.list.trials(study).iter().any(|trial| trial.id == id))
        {
            self.step(0, study);
        }
        if self.figure.is_none() {
            let kind = find(PLOTS, PLOT_NAMES[self.plot]);
            let input = Input::all(study, &view.chronicle, view.space.as_deref());
            self.figure = kind.map(|kind| plots::draw(kind, &[input]));
        }
        let Some(id) = self.selected else {
            self.log = (String::new(), Vec::new());
            return;
        };
        let folder = readable_trial(&view.dir, &view.study, id);
        let (path, lines) = if self.stdout {
            let path = folder.join("stdout.log");
            let lines = tail::last_lines(&path, LOG_LINES, &self.secrets).unwrap_or_default();
            (path, lines)
        } else {
            tail::log_tail(&folder, LOG_LINES, &self.secrets)
        };
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.log = (format!("trial {id}, {name}"), lines);
    }

    /// Draws the screen, or the help if it is open.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, view: &View, study: &Study, now: Timestamp) {
        let area = frame.area();
        if self.help {
            frame.render_widget(Paragraph::new(HELP), area);
            return;
        }
        let height = area.height.saturating_sub(4);
        let list = (height * 2 / 7).clamp(3, 14).min(height);
        let log = (height / 4).clamp(2, 12).min(height.saturating_sub(list));
        let parts = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(list),
            Constraint::Min(0),
            Constraint::Length(log),
            Constraint::Length(1),
        ])
        .split(area);
        frame.render_widget(
            Paragraph::new(self.summary(study, usize::from(area.width), now)),
            parts[0],
        );
        self.draw_list(frame, parts[1], study, now);
        self.draw_plot(frame, parts[2]);
        self.draw_log(frame, parts[3], view);
        let keys = "q quit  ↑↓ trial  Tab list  1-7 plot  l log  ? help";
        let keys = elide(keys, usize::from(area.width)).into_owned();
        frame.render_widget(Paragraph::new(keys).style(dim()), parts[4]);
    }

    fn summary(&self, study: &Study, columns: usize, now: Timestamp) -> Vec<Line<'static>> {
        let name = elide(&plain(&study.header().name), columns / 3).into_owned();
        let state = match (self.is_running, study.closed()) {
            (true, _) => "running".to_owned(),
            (false, Some(why)) => format!("ended: {}", summary::closing(why)),
            (false, None) => "not running".to_owned(),
        };
        let remaining = remaining(study, now).filter(|_| self.is_running);
        let remaining = remaining.map_or_else(String::new, |seconds| {
            format!("  about {} left", number::seconds(seconds.round()))
        });
        let first = Line::from(vec![
            Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!("  {state}{remaining}")),
        ]);
        let counts = Line::raw(elide(&plain(&summary::counts(study)), columns).into_owned());
        let best = match study.incumbent() {
            Some(best) => {
                let text = format!(
                    "best  trial {}: {}  {}",
                    best.id,
                    summary::standing(study, best),
                    summary::params(best)
                );
                Line::styled(
                    elide(&plain(&text), columns).into_owned(),
                    Style::new().fg(Color::Green),
                )
            }
            None => Line::styled("best  none so far", dim()),
        };
        vec![first, counts, best]
    }

    fn draw_list(&self, frame: &mut Frame<'_>, area: Rect, study: &Study, now: Timestamp) {
        let trials = self.list.trials(study);
        let header = study.header();
        let step = header.resource.as_deref().unwrap_or("reports");
        let mut titles = vec![
            format!("{} ({})", self.list.name(), trials.len()),
            "slot".into(),
            "time".into(),
            step.into(),
        ];
        titles.extend(
            header
                .objectives
                .iter()
                .take(3)
                .map(|objective| objective.metric.to_string()),
        );
        titles.push("parameters, or the reason of the end".to_owned());
        let titles: Vec<Cell<'_>> = titles
            .iter()
            .map(|title| Cell::from(elide(&plain(title), 30).into_owned()))
            .collect();
        let visible = usize::from(area.height.saturating_sub(1));
        let selected = trials
            .iter()
            .position(|trial| Some(trial.id) == self.selected);
        // Only the visible rows are built: a study may have many thousands of trials.
        let first = selected
            .unwrap_or(0)
            .saturating_sub(visible / 2)
            .min(trials.len().saturating_sub(visible));
        let rows = trials
            .iter()
            .skip(first)
            .take(visible)
            .map(|trial| row(study, trial, now));
        let mut widths = vec![
            Constraint::Length(14),
            Constraint::Length(4),
            Constraint::Length(8),
            Constraint::Length(8),
        ];
        widths.extend(
            header
                .objectives
                .iter()
                .take(3)
                .map(|_| Constraint::Length(11)),
        );
        widths.push(Constraint::Min(10));
        let table = Table::new(rows, widths)
            .header(Row::new(titles).style(dim()))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut state = TableState::default().with_selected(selected.map(|index| index - first));
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn draw_plot(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(figure) = &self.figure else { return };
        if area.height == 0 {
            return;
        }
        let title = Rect { height: 1, ..area };
        let names = PLOT_NAMES.iter().enumerate().map(|(index, name)| {
            let style = if index == self.plot {
                Style::new().add_modifier(Modifier::BOLD)
            } else {
                dim()
            };
            Span::styled(format!("{} {name}  ", index + 1), style)
        });
        frame.render_widget(Paragraph::new(Line::from(names.collect::<Vec<_>>())), title);
        let rest = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        match figure.panels.first() {
            Some(panel) => draw_panel(panel, rest, frame.buffer_mut()),
            None => {
                let notes = figure
                    .notes
                    .iter()
                    .map(|note| Line::raw(plain(note).into_owned()));
                frame.render_widget(Paragraph::new(notes.collect::<Vec<_>>()), rest);
            }
        }
    }

    fn draw_log(&self, frame: &mut Frame<'_>, area: Rect, _: &View) {
        let (name, lines) = &self.log;
        let rows = usize::from(area.height.saturating_sub(1));
        let columns = usize::from(area.width);
        let title = if lines.is_empty() {
            format!("{name}: no output")
        } else {
            name.clone()
        };
        let title = if name.is_empty() {
            "no trial".to_owned()
        } else {
            title
        };
        let mut shown = vec![Line::styled(
            elide(&plain(&title), columns).into_owned(),
            dim(),
        )];
        let last = &lines[lines.len().saturating_sub(rows)..];
        shown.extend(
            last.iter()
                .map(|line| Line::raw(elide(&line.replace('\t', "    "), columns).into_owned())),
        );
        frame.render_widget(Paragraph::new(shown), area);
    }
}

fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn row(study: &Study, trial: &Trial, now: Timestamp) -> Row<'static> {
    let running = trial
        .attempt_at
        .filter(|_| trial.state == TrialState::Running);
    let seconds = trial.seconds + running.map_or(0.0, |start| now.since(start).as_secs_f64());
    let step = trial
        .step
        .map_or_else(String::new, |step| match trial.until {
            Some(until) if running.is_some() => format!("{}/{until}", number::short(step)),
            _ => number::short(step),
        });
    let mut cells = vec![
        format!("{:>5} {}", trial.id, trial.state.word()),
        trial.slot.map_or_else(String::new, |slot| slot.to_string()),
        number::seconds(seconds),
        step,
    ];
    for objective in study.header().objectives.iter().take(3) {
        cells.push(
            trial
                .objective(objective)
                .map_or_else(String::new, number::short),
        );
    }
    let why = match (&trial.state, &trial.exit) {
        (TrialState::Failed | TrialState::Invalid, exit) => {
            summary::cause(exit.as_ref()).unwrap_or_default()
        }
        (TrialState::Stopped | TrialState::Paused, _) => trial.why.clone().unwrap_or_default(),
        _ => summary::params(trial),
    };
    cells.push(why);
    let style = match trial.state {
        TrialState::Failed => Style::new().fg(Color::Red),
        TrialState::Running => Style::new().fg(Color::Cyan),
        TrialState::Stopped | TrialState::Waiting => dim(),
        TrialState::Paused | TrialState::Invalid => Style::new().fg(Color::Yellow),
        TrialState::Complete => Style::new(),
    };
    Row::new(
        cells
            .into_iter()
            .map(|cell| plain(&cell).into_owned())
            .collect::<Vec<_>>(),
    )
    .style(style)
}

/// Estimates the remaining time in seconds from the pace of the last 20 ended trials. `None` if the
/// study has no fixed number of trials, or if fewer than 3 have ended.
fn remaining(study: &Study, now: Timestamp) -> Option<f64> {
    let counted = study
        .trials()
        .iter()
        .filter(|trial| trial.counts() && trial.state.is_final());
    let remaining = study.header().trials?.checked_sub(counted.count() as u64)?;
    let mut ends: Vec<Timestamp> = study
        .trials()
        .iter()
        .filter(|trial| trial.state.is_final() && trial.counts())
        .filter_map(|trial| trial.ended_at)
        .collect();
    ends.sort();
    let last = &ends[ends.len().saturating_sub(20)..];
    let (first, count) = (last.first()?, last.len() as f64 - 1.0);
    (count >= 2.0).then(|| now.since(*first).as_secs_f64() / count * remaining as f64)
}

const HELP: &str = "\
swath top: a live view of a study. It never changes the study.

  q, Esc, Ctrl-C    quit
  ↑ ↓, j k          select another trial; also PgUp PgDn, Home End
  Tab, ← →          show another list: running, best, recent, failed
  1 … 7             show another plot: curves, history, rungs, timeline, failures, importance, pareto
  l                 switch between the trial's standard output and the end of its log (standard error first)
  ?                 show or hide this help";

#[cfg(test)]
mod tests {
    use super::{PLOT_NAMES, Screen, Secrets, remaining};
    use crate::cli::studies::demo;
    use crate::report::view::View;
    use crate::space::Value;
    use crate::study::{Exit, Failure};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use swath_model::demo::{Demo, text};

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "name"]);
        for number in 1..=9 {
            let params = [
                ("lr", Value::Float(f64::from(number) * 0.01)),
                ("name", text("\x1b[2J\u{202e}größe")),
            ];
            let trial = demo.start(&params);
            for step in 1..=5 {
                demo.report(trial, &[("val_loss", 1.0 / f64::from(number * step))]);
            }
            let exit = if number % 3 == 0 {
                Exit::Failed(Failure::Code(number))
            } else {
                Exit::Done
            };
            demo.end(trial, exit);
        }
        demo
    }

    /// Draws a study at a given size, after some keys.
    fn drawn(
        world: &Demo,
        (columns, rows): (u16, u16),
        act: impl FnOnce(&mut Screen),
    ) -> Vec<String> {
        let logs = tempfile::tempdir().unwrap();
        let dir = demo::write(logs.path(), "digits", world);
        std::fs::create_dir_all(dir.root().join("8")).unwrap();
        std::fs::write(dir.root().join("8/stderr.log"), "epoch 5\x1b[2J\tdone\n").unwrap();
        let view = View::open(dir, None).unwrap();
        let study = view.settled();
        let mut screen = Screen::new(&study, Secrets::default());
        act(&mut screen);
        screen.refresh(&view, &study, true);
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let now = world.study.at().unwrap();
        terminal
            .draw(|frame| screen.draw(frame, &view, &study, now))
            .unwrap();
        let buffer = terminal.backend().buffer();
        (0..rows).map(|row| line(buffer, columns, row)).collect()
    }

    fn line(buffer: &Buffer, columns: u16, row: u16) -> String {
        let cells = (0..columns).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn the_screen_fits_into_80_by_24() {
        let lines = drawn(&world(), (80, 24), |_| {});
        let all = lines.join("\n");
        assert!(lines[0].starts_with("digits  running  about"), "{all}");
        assert_eq!(lines[1], "9 of 20 trials: 6 complete, 3 failed");
        assert!(
            lines[2].starts_with("best  trial 8: val_loss 0.025  lr=0.08"),
            "{all}"
        );
        assert!(lines[3].starts_with("best (6)"), "{all}");
        assert!(lines[4].contains("8 complete"), "{all}");
        assert!(
            all.contains("1 curves") && all.contains("epoch 5    done"),
            "{all}"
        );
        assert!(lines[23].starts_with("q quit"), "{all}");
        assert!(!all.contains('\x1b') && !all.contains('\u{202e}'), "{all}");
    }

    #[test]
    fn every_plot_and_list_can_be_drawn_at_every_size() {
        let (world, study) = (world(), world().study);
        for size in [(1, 1), (10, 5), (40, 12), (80, 24), (200, 60)] {
            for plot in 0..PLOT_NAMES.len() {
                drawn(&world, size, |screen| screen.show_plot(plot));
            }
            drawn(&world, size, |screen| screen.next_list(3, &study));
            drawn(&Demo::new(&[]), size, |_| {});
        }
    }

    #[test]
    fn the_remaining_time_follows_the_recent_pace() {
        let world = world();
        // A trial takes 8 seconds: its creation, its start, five reports and its end.
        let remaining = remaining(&world.study, world.study.at().unwrap()).unwrap();
        assert!((remaining - 11.0 * 8.0).abs() < 1e-9, "{remaining}");
    }
}
