//! `swath top`: a live view of a study on the terminal, by keyboard and mouse. It reads the journal
//! without taking locks, and changes a study only by the commands that it asks to confirm.

mod act;
mod grid;
mod list;
mod picture;
mod screen;
mod trial;

use super::Context;
use super::exit::{Code, Failure};
use super::{plot, studies};
use crate::journal::lock;
use crate::report::view::View;
use crate::study::{Study, Timestamp};
use act::{Prompt, Request, Todo};
use ratatui::crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEvent, KeyEventKind,
    KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::crossterm::execute;
use screen::Screen;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The interval between two polls of the journal.
const POLL: Duration = Duration::from_millis(500);

/// Interval between two looks into the journals of pilots that go on without an orchestrator.
const PILOT_POLL: Duration = Duration::from_secs(5);

/// Arguments of `swath top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The study (its name or folder; default: the one that ran last)
    #[arg(value_name = "STUDY")]
    study: Option<String>,
}

/// Runs `swath top` until the user quits. Fails with a usage error unless standard input and
/// standard output are terminals.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let names: Vec<String> = args.study.iter().cloned().collect();
    let Some(view) = plot::open(&names, None, context)?.pop() else {
        return Ok(Code::Done);
    };
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if is_dumb || !stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("`top` needs a terminal that it can draw on")
            .hint("`swath ls` and `swath show` print the current state"));
    }
    let mut terminal = ratatui::try_init().map_err(|error| Failure {
        causes: vec![error.to_string()],
        ..Failure::tool("could not set up the terminal")
    })?;
    // A terminal without a mouse ignores both.
    let _ = execute!(stdout(), EnableMouseCapture);
    let result = Session::new(view, context.logs.clone()).watch(&mut terminal);
    let _ = execute!(stdout(), DisableMouseCapture);
    ratatui::restore();
    // The error is returned only after `restore`, so that its message stays visible.
    result.map(|()| Code::Done)
}

/// The study that is watched, and what the user does.
struct Session {
    view: View,
    logs: PathBuf,
    study: Study,
    is_running: bool,
    screen: Screen,
    prompt: Option<Prompt>,
}

impl Session {
    fn new(view: View, logs: PathBuf) -> Self {
        let (study, is_running) = (view.settled().into_owned(), lock::is_held(&view.dir));
        let screen = Screen::new(&study, studies::secrets(&view.dir));
        Self {
            view,
            logs,
            study,
            is_running,
            screen,
            prompt: None,
        }
    }

    fn watch(&mut self, terminal: &mut ratatui::DefaultTerminal) -> Result<(), Failure> {
        let mut last_poll = Instant::now();
        let mut last_settled = last_poll;
        loop {
            self.screen
                .refresh(&self.view, &self.study, self.is_running)?;
            terminal.draw(|frame| {
                let (study, view) = (&self.study, &self.view);
                self.screen.draw(frame, view, study, Timestamp::now());
                if let Some(prompt) = &self.prompt {
                    prompt.draw(frame);
                }
            })?;
            // A key press interrupts the wait, so that the screen reacts to keys at once.
            if event::poll(POLL.saturating_sub(last_poll.elapsed()))? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release && self.press(key) => {
                        return Ok(());
                    }
                    Event::Mouse(mouse) if self.prompt.is_none() => self.point(mouse),
                    _ => {}
                }
            }
            if last_poll.elapsed() >= POLL {
                let changed = self.view.follow()?;
                let now_running = lock::is_held(&self.view.dir);
                // Pilots without an orchestrator write into journals of their own.
                let is_due = self.study.has_annotations() && last_settled.elapsed() >= PILOT_POLL;
                // `is_running` changes without a journal entry when a run is killed.
                if changed || now_running != self.is_running || is_due {
                    self.study = self.view.settled().into_owned();
                    self.is_running = now_running;
                    last_settled = Instant::now();
                    self.screen.discard_pictures();
                }
                self.screen.discard_texts();
                last_poll = Instant::now();
            }
        }
    }

    /// Carries out the command of a key. Returns whether the user quits.
    fn press(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return true;
        }
        if let Some(prompt) = self.prompt.take() {
            match prompt.press(key.code) {
                Todo::Wait(prompt) => self.prompt = Some(prompt),
                Todo::Perform(request) => {
                    self.screen.message = request.perform(&self.logs);
                    self.screen.discard_texts();
                }
                Todo::Nothing => self.screen.message.clear(),
            }
            return false;
        }
        self.screen.message.clear();
        if self.screen.help {
            self.screen.help = false;
            return false;
        }
        if let KeyCode::Char(key) = key.code
            && self.ask(key)
        {
            return false;
        }
        if self.screen.press_in_trial(key.code, &self.study) {
            return false;
        }
        if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
            return true;
        }
        self.screen.press(key.code, &self.study);
        false
    }

    /// Asks what the key of an action needs. Returns whether it is one.
    fn ask(&mut self, key: char) -> bool {
        let Some(request) = Request::of_key(key, &self.view.dir, self.screen.selected()) else {
            return false;
        };
        let trial = self.screen.selected().and_then(|id| self.study.trial(id));
        match request.prompt(trial, self.is_running) {
            Ok(prompt) => self.prompt = Some(prompt),
            Err(reason) => self.screen.message = reason,
        }
        true
    }

    /// Carries out what the mouse does: the wheel scrolls, a click selects, and a click on the
    /// selected trial opens it.
    fn point(&mut self, mouse: MouseEvent) {
        let place = (mouse.column, mouse.row).into();
        match mouse.kind {
            MouseEventKind::ScrollUp => self.screen.scroll(-1, &self.study),
            MouseEventKind::ScrollDown => self.screen.scroll(1, &self.study),
            MouseEventKind::Down(MouseButton::Left) => self.screen.click(place, &self.study),
            _ => {}
        }
    }
}
