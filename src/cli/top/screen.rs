//! The screen of `swath top`: the progress of the study, a list of trials, pictures, and the end of
//! the log of the selected trial, in panels by the size of the window.

use super::list::{self, List};
use super::trial::TrialView;
use super::{grid, picture};
use crate::cli::exit::Failure;
use crate::cli::tail;
use crate::journal::readable_trial;
use crate::report::plots::figure::{Mark, Panel, Side, Tone, Weight};
use crate::report::text::{elide, plain};
use crate::report::view::View;
use crate::report::{number, summary};
use crate::source::secret::Secrets;
use crate::study::{Study, Timestamp, TrialId};
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, TableState};

/// The number of lines read from the end of a log.
const LOG_LINES: usize = 200;

/// The content of the screen, and the choices of the user.
pub(super) struct Screen {
    list: List,
    /// Whether the user chose the list. If not, the list follows the state of the run.
    is_list_chosen: bool,
    /// Secrets that the end of a log does not show.
    secrets: Secrets,
    selected: Option<TrialId>,
    /// The trial that is shown in place of the lists.
    trial: Option<TrialView>,
    picture: usize,
    page: usize,
    stdout: bool,
    pub(super) help: bool,
    /// The outcome of the last action, in place of the keys.
    pub(super) message: String,
    is_running: bool,
    has_colours: bool,
    /// The panels of the picture with their metrics; `None` if they are to be made anew.
    panels: Option<Vec<(Option<usize>, Panel)>>,
    /// Notes of a picture without panels.
    notes: Vec<String>,
    log: (String, Vec<String>),
    areas: Areas,
    /// The index of the first visible trial of the list.
    first: usize,
}

/// The places of the panels that were drawn last, for the mouse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Areas {
    head: Rect,
    list: Rect,
    picture: Rect,
    log: Rect,
    keys: Rect,
}

impl Areas {
    /// Divides the screen. `trials` is the number of trials in the list.
    fn of(area: Rect, trials: usize) -> Self {
        let [head, body, keys] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        let wanted = u16::try_from(trials + 1).unwrap_or(u16::MAX).max(3);
        // Beside each other where the list has enough columns, else below each other.
        if body.width >= 150 && body.height >= 24 {
            let [left, picture] =
                Layout::horizontal([Constraint::Percentage(48), Constraint::Fill(1)])
                    .spacing(1)
                    .areas(body);
            let [list, log] = Layout::vertical([
                Constraint::Length(wanted.min(left.height * 2 / 3)),
                Constraint::Min(0),
            ])
            .areas(left);
            return Self {
                head,
                list,
                picture,
                log,
                keys,
            };
        }
        let list = wanted.min(body.height / 2).min(16);
        let rest = body.height - list.min(body.height);
        let log = match rest {
            20.. => rest / 3,
            13..20 => 4,
            _ => 0,
        };
        let [list, picture, log] = Layout::vertical([
            Constraint::Length(list),
            Constraint::Min(0),
            Constraint::Length(log),
        ])
        .areas(body);
        Self {
            head,
            list,
            picture,
            log,
            keys,
        }
    }
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
            trial: None,
            picture: 0,
            page: 0,
            stdout: false,
            help: false,
            message: String::new(),
            is_running: false,
            has_colours: std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
            panels: None,
            notes: Vec::new(),
            log: (String::new(), Vec::new()),
            areas: Areas::default(),
            first: 0,
        };
        screen.step(0, study);
        screen
    }

    /// Returns the trial that actions are about.
    pub(super) fn selected(&self) -> Option<TrialId> {
        self.trial.as_ref().map(|view| view.id).or(self.selected)
    }

    /// Discards the picture, because the study has changed.
    pub(super) fn discard_pictures(&mut self) {
        self.panels = None;
    }

    /// Discards the texts of a trial, because its files may have changed.
    pub(super) fn discard_texts(&mut self) {
        if let Some(view) = &mut self.trial {
            view.discard();
        }
    }

    /// Carries out a key of the lists. Unassigned keys do nothing.
    pub(super) fn press(&mut self, key: KeyCode, study: &Study) {
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, study),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, study),
            KeyCode::PageUp => self.step(-10, study),
            KeyCode::PageDown => self.step(10, study),
            KeyCode::Home | KeyCode::Char('g') => self.step(i64::MIN / 2, study),
            KeyCode::End | KeyCode::Char('G') => self.step(i64::MAX / 2, study),
            KeyCode::Tab | KeyCode::Right => self.next_list(1, study),
            KeyCode::BackTab | KeyCode::Left => self.next_list(List::ALL.len() - 1, study),
            KeyCode::Enter => self.trial = self.selected.map(TrialView::new),
            KeyCode::Char('l') => self.stdout = !self.stdout,
            KeyCode::Char('[') => self.page = self.page.saturating_sub(1),
            KeyCode::Char(']') => self.page += 1,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char(digit) => {
                let index = digit.to_digit(10).map(|digit| digit as usize);
                if let Some(index) = index.and_then(|index| index.checked_sub(1)) {
                    self.show_picture(index, study);
                }
            }
            _ => {}
        }
    }

    /// Carries out a key of the view of a trial. Returns whether one is open.
    pub(super) fn press_in_trial(&mut self, key: KeyCode, study: &Study) -> bool {
        let Some(view) = &mut self.trial else {
            return false;
        };
        match key {
            KeyCode::Up | KeyCode::Char('k') => view.scroll(-1),
            KeyCode::Down | KeyCode::Char('j') => view.scroll(1),
            KeyCode::PageUp => view.scroll(-15),
            KeyCode::PageDown | KeyCode::Char(' ') => view.scroll(15),
            KeyCode::Home | KeyCode::Char('g') => view.scroll(i64::MIN / 2),
            KeyCode::End | KeyCode::Char('G') => view.scroll(i64::MAX / 2),
            KeyCode::Tab => view.switch(),
            KeyCode::Char('[') => view.turn_page(-1),
            KeyCode::Char(']') => view.turn_page(1),
            KeyCode::Left => self.open_neighbour(-1, study),
            KeyCode::Right => self.open_neighbour(1, study),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Char('q') => {
                self.trial = None;
            }
            KeyCode::Char('?' | 'h') => self.help = true,
            _ => {}
        }
        true
    }

    /// Opens the trial before or behind the open one in the list.
    fn open_neighbour(&mut self, by: i64, study: &Study) {
        self.step(by, study);
        self.trial = self.selected.map(TrialView::new);
    }

    /// Scrolls the list, or the text of the open trial.
    pub(super) fn scroll(&mut self, by: i64, study: &Study) {
        match &mut self.trial {
            Some(view) => view.scroll(3 * by),
            None => self.step(by, study),
        }
    }

    /// Selects the trial at a place, or opens it if it is selected. A click on the name of a list or
    /// a picture shows the next one.
    pub(super) fn click(&mut self, place: Position, study: &Study) {
        if self.trial.is_some() {
            return;
        }
        let Areas { list, picture, .. } = self.areas;
        if picture.contains(place) && place.y == picture.y {
            self.show_picture((self.picture + 1) % picture::names(study).len(), study);
        } else if list.contains(place) && place.y == list.y {
            self.next_list(1, study);
        } else if list.contains(place) {
            let index = self.first + usize::from(place.y - list.y - 1);
            let clicked = self.list.trials(study).get(index).map(|trial| trial.id);
            match clicked {
                Some(id) if self.selected == Some(id) => self.trial = Some(TrialView::new(id)),
                Some(id) => self.selected = Some(id),
                None => {}
            }
        }
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

    pub(super) fn show_picture(&mut self, picture: usize, study: &Study) {
        if picture < picture::names(study).len() {
            self.picture = picture;
            self.page = 0;
            self.panels = None;
        }
    }

    /// Updates the parts of the screen that need files: the data of the picture, the texts of the
    /// open trial, and the end of the log.
    pub(super) fn refresh(
        &mut self,
        view: &View,
        study: &Study,
        is_running: bool,
    ) -> Result<(), Failure> {
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
        if let Some(trial) = &mut self.trial {
            return trial.refresh(view, study, &self.secrets);
        }
        if self
            .selected
            // The selected trial may have left the list, for example because it ended.
            .is_none_or(|id| !self.list.trials(study).iter().any(|trial| trial.id == id))
        {
            self.step(0, study);
        }
        if self.panels.is_none() {
            // An edited sweep file may have fewer pictures.
            let name = picture::names(study).get(self.picture).copied();
            let name = name.unwrap_or(picture::METRICS);
            let (panels, notes) = picture::panels(name, view, study);
            (self.panels, self.notes) = (Some(panels), notes);
        }
        let Some(id) = self.selected else {
            self.log = (String::new(), Vec::new());
            return Ok(());
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
        Ok(())
    }

    /// Draws the lists, the open trial, or the help.
    pub(super) fn draw(
        &mut self,
        frame: &mut Frame<'_>,
        view: &View,
        study: &Study,
        now: Timestamp,
    ) {
        let area = frame.area();
        if self.help {
            frame.render_widget(Paragraph::new(HELP), area);
            return;
        }
        let colours = self.has_colours;
        self.areas = Areas::of(area, self.list.trials(study).len());
        let keys = if !self.message.is_empty() {
            self.message.clone()
        } else if self.trial.is_some() {
            "Esc back  ↑↓ scroll  ←→ trial  Tab charts  s stop  r retry  n note  ? help".to_owned()
        } else {
            "q quit  ↑↓ trial  Enter open  Tab list  1-7 picture  s stop  a add  ? help".to_owned()
        };
        let keys = elide(&keys, usize::from(area.width)).into_owned();
        let style = if self.message.is_empty() {
            dim()
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        frame.render_widget(Paragraph::new(keys).style(style), self.areas.keys);
        if let Some(trial) = &mut self.trial {
            let height = area.height.saturating_sub(1);
            trial.draw(frame, Rect { height, ..area }, colours);
            return;
        }
        frame.render_widget(
            Paragraph::new(self.summary(study, usize::from(area.width), now)),
            self.areas.head,
        );
        self.draw_list(frame, self.areas.list, study, now);
        self.draw_picture(frame, self.areas.picture, view, study);
        self.draw_log(frame, self.areas.log);
    }

    fn summary(&self, study: &Study, columns: usize, now: Timestamp) -> Vec<Line<'static>> {
        let name = elide(&plain(&study.header().name), columns / 3).into_owned();
        let state = match (self.is_running, study.closed()) {
            (true, _) => "running".to_owned(),
            (false, Some(why)) => format!("not running: {}", summary::closing(why)),
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

    fn draw_list(&mut self, frame: &mut Frame<'_>, area: Rect, study: &Study, now: Timestamp) {
        let trials = self.list.trials(study);
        let visible = usize::from(area.height.saturating_sub(1));
        let selected = trials
            .iter()
            .position(|trial| Some(trial.id) == self.selected);
        // Only the visible rows are built: a study may have many thousands of trials.
        let first = selected
            .unwrap_or(0)
            .saturating_sub(visible / 2)
            .min(trials.len().saturating_sub(visible));
        self.first = first;
        let count = if trials.len() > visible {
            format!("{}-{}/{}", first + 1, first + visible, trials.len())
        } else {
            format!("({})", trials.len())
        };
        let table = list::table(
            study,
            &trials[first..(first + visible).min(trials.len())],
            &format!("{} {count}", self.list.name()),
            now,
        );
        let mut state = TableState::default().with_selected(selected.map(|index| index - first));
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn draw_picture(&mut self, frame: &mut Frame<'_>, area: Rect, view: &View, study: &Study) {
        let (Some(panels), false) = (&self.panels, area.is_empty()) else {
            return;
        };
        let rest = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        let pages = grid::pages(rest, panels.len());
        self.page = self.page.min(pages - 1);
        let names = picture::names(study);
        let mut spans: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let style = if index == self.picture {
                    Style::new().add_modifier(Modifier::BOLD)
                } else {
                    dim()
                };
                Span::styled(format!("{} {name}  ", index + 1), style)
            })
            .collect();
        if pages > 1 {
            let page = format!("[ ] page {}/{pages}", self.page + 1);
            spans.push(Span::styled(page, dim()));
        }
        let title = Rect { height: 1, ..area };
        frame.render_widget(Paragraph::new(Line::from(spans)), title);
        if panels.is_empty() {
            let notes = self.notes.iter();
            let notes = notes.map(|note| Line::raw(plain(note).into_owned()));
            let text = Paragraph::new(notes.collect::<Vec<_>>());
            frame.render_widget(text.wrap(ratatui::widgets::Wrap { trim: true }), rest);
            return;
        }
        let marked: Vec<Panel> = panels[grid::on_page(rest, panels.len(), self.page)]
            .iter()
            .map(|(metric, panel)| self.with_selected(panel, *metric, view))
            .collect();
        let colours = self.has_colours;
        grid::draw(&marked, rest, frame.buffer_mut(), colours);
    }

    /// Returns a panel of learning curves with that of the selected trial over the others.
    fn with_selected(&self, panel: &Panel, metric: Option<usize>, view: &View) -> Panel {
        let mut panel = panel.clone();
        let curve = self.selected.and_then(|id| view.chronicle.curves.get(&id));
        if let (Some(id), Some(metric), Some(curve)) = (self.selected, metric, curve)
            && let Some(values) = curve.values.get(metric)
        {
            let points = curve.steps.iter().copied().zip(values.iter().copied());
            let points: Vec<_> = points.filter(|point| point.1.is_finite()).collect();
            if let Some(last) = points.last().copied() {
                let label = Mark::Text(last, format!("#{id}"), Side::Left, Tone::Ink);
                panel
                    .marks
                    .push(Mark::Line(points, Tone::Ink, Weight::Bold));
                panel.marks.push(label);
            }
        }
        panel
    }

    fn draw_log(&self, frame: &mut Frame<'_>, area: Rect) {
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

pub(super) fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
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
swath top: a live view of a study

  ↑ ↓  j k          select a trial; also PgUp PgDn, Home End, wheel
  Enter, click      open the selected trial; Esc goes back
  Tab, ← →          another list: running, best, recent, failed
  1 … 7             another picture: metrics, history, timeline …
  [ ]               the page before or behind of the picture
  l                 standard output, or the log with the error
  s                 stop the selected trial, or the run: drain,
                    stop or kill
  r                 run the failed or stopped trial again
  a                 add a configuration, beginning with the
                    selected one
  +                 raise the number of trials
  t  n              tag the trial, write a note on it
  q, Esc, Ctrl-C    quit

In an open trial ↑ ↓ scroll, ← → show the trial before or
behind, Tab shows its charts. Every command is shown, and runs
only after you confirm it. Shift and the mouse select text.";

#[cfg(test)]
mod tests {
    use super::{Areas, Screen, Secrets, remaining};
    use crate::cli::studies::demo;
    use crate::report::view::View;
    use crate::space::Value;
    use crate::study::{Exit, Failure, TrialId};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use ratatui::crossterm::event::KeyCode;
    use ratatui::layout::Rect;
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
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let now = world.study.at().unwrap();
        // The text of a trial is made for the width that the first drawing finds.
        for _ in 0..2 {
            screen.refresh(&view, &study, true).unwrap();
            terminal
                .draw(|frame| screen.draw(frame, &view, &study, now))
                .unwrap();
        }
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
            all.contains("1 metrics") && all.contains("val_loss"),
            "{all}"
        );
        assert!(lines[23].starts_with("q quit"), "{all}");
        assert!(!all.contains('\x1b') && !all.contains('\u{202e}'), "{all}");
    }

    #[test]
    fn every_plot_and_list_can_be_drawn_at_every_size() {
        let (world, study) = (world(), world().study);
        for size in [(1, 1), (10, 5), (40, 12), (80, 24), (200, 60)] {
            for picture in 0..7 {
                drawn(&world, size, |screen| screen.show_picture(picture, &study));
            }
            drawn(&world, size, |screen| screen.press(KeyCode::Enter, &study));
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

    #[test]
    fn every_trial_of_a_list_is_reached_in_a_small_window() {
        let mut world = Demo::new(&["lr"]);
        for number in 1..=30 {
            world.start(&[("lr", Value::Float(f64::from(number)))]);
        }
        let study = world.study.clone();
        for steps in 0..30 {
            // No process holds the study, so its trials are waiting, and the recent ones.
            let lines = drawn(&world, (80, 24), |screen| {
                screen.next_list(1, &study);
                screen.step(steps, &study);
            });
            let id = format!("{:>5} waiting", 30 - steps);
            assert!(lines.iter().any(|line| line.starts_with(&id)), "{lines:?}");
        }
    }

    #[test]
    fn an_open_trial_shows_its_error_first_and_its_parameters_beside_the_best() {
        let (world, study) = (world(), world().study);
        let open = |screen: &mut Screen| {
            screen.next_list(2, &study);
            screen.press(KeyCode::Enter, &study);
        };
        let lines = drawn(&world, (120, 60), open);
        let all = lines.join("\n");
        assert!(lines[0].starts_with("trial 9  failed"), "{all}");
        for part in [
            "exit status 9",
            "best (8)",
            "median",
            "attempts",
            "swath retry digits 9",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(!all.contains('\x1b') && !all.contains('\u{202e}'), "{all}");
    }

    #[test]
    fn a_click_selects_a_trial_and_a_second_one_opens_it() {
        let (world, study) = (world(), world().study);
        let mut screen = Screen::new(&study, Secrets::default());
        screen.areas = Areas::of(Rect::new(0, 0, 80, 24), 6);
        let row = (10, screen.areas.list.y + 2).into();
        screen.click(row, &study);
        assert_eq!(
            (screen.selected, screen.trial.is_none()),
            (Some(TrialId(7)), true)
        );
        screen.click(row, &study);
        assert!(screen.trial.is_some());
        assert!(world.study.trial(TrialId(7)).is_some());
    }

    #[test]
    fn panels_stand_beside_each_other_only_in_a_wide_window() {
        let small = Areas::of(Rect::new(0, 0, 80, 24), 6);
        let wide = Areas::of(Rect::new(0, 0, 200, 50), 6);
        assert!(small.picture.y >= small.list.bottom() && small.list.height == 7);
        assert!(wide.picture.x >= wide.list.right() && wide.log.height > 10);
    }
}
