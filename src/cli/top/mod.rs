//! `swath top`: a live view of a study on the terminal. It is operated by the keyboard and reads
//! the journal without taking locks.

mod screen;

use super::Context;
use super::exit::{Code, Failure};
use super::{plot, studies};
use crate::journal::lock;
use crate::report::view::View;
use crate::study::{Study, Timestamp};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use screen::{List, PLOT_NAMES, Screen};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The interval between two polls of the journal.
const POLL: Duration = Duration::from_millis(500);

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
    let Some(mut view) = plot::open(&names, None, context)?.pop() else {
        return Ok(Code::Done);
    };
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("`top` needs a terminal")
            .hint("`swath ls` and `swath show` print the current state"));
    }
    let mut terminal = ratatui::try_init().map_err(|error| Failure {
        causes: vec![error.to_string()],
        ..Failure::tool("could not set up the terminal")
    })?;
    let result = watch(&mut view, &mut terminal);
    ratatui::restore();
    // The error is returned only after `restore`, so that its message stays visible.
    result.map(|()| Code::Done)
}

/// Interval between two looks into the journals of pilots that go on without an orchestrator.
const PILOT_POLL: Duration = Duration::from_secs(5);

fn watch(view: &mut View, terminal: &mut ratatui::DefaultTerminal) -> Result<(), Failure> {
    let (mut study, mut is_running) = (view.settled(), lock::is_held(&view.dir));
    let mut screen = Screen::new(&study, studies::secrets(&view.dir));
    let mut last_poll = Instant::now();
    let mut last_settled = last_poll;
    loop {
        screen.refresh(view, &study, is_running);
        terminal.draw(|frame| screen.draw(frame, view, &study, Timestamp::now()))?;
        // A key press interrupts the wait, so that the screen reacts to keys at once.
        if event::poll(POLL.saturating_sub(last_poll.elapsed()))? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    if is_quit(key.code, control) {
                        return Ok(());
                    }
                    handle_key(&mut screen, key.code, &study);
                }
                _ => {}
            }
        }
        if last_poll.elapsed() >= POLL {
            let changed = view.follow()?;
            let now_running = lock::is_held(&view.dir);
            // Pilots without an orchestrator write into journals of their own.
            let is_due = study.has_annotations() && last_settled.elapsed() >= PILOT_POLL;
            // `is_running` changes without a journal entry when a run is killed.
            if changed || now_running != is_running || is_due {
                (study, is_running) = (view.settled(), now_running);
                last_settled = Instant::now();
                screen.discard_plot();
            }
            last_poll = Instant::now();
        }
    }
}

fn is_quit(key: KeyCode, control: bool) -> bool {
    matches!(
        (key, control),
        (KeyCode::Char('q') | KeyCode::Esc, _) | (KeyCode::Char('c' | 'd'), true)
    )
}

/// Carries out the command of a key. Unassigned keys do nothing.
fn handle_key(screen: &mut Screen, key: KeyCode, study: &Study) {
    match key {
        KeyCode::Up | KeyCode::Char('k') => screen.step(-1, study),
        KeyCode::Down | KeyCode::Char('j') => screen.step(1, study),
        KeyCode::PageUp => screen.step(-10, study),
        KeyCode::PageDown => screen.step(10, study),
        KeyCode::Home | KeyCode::Char('g') => screen.step(i64::MIN / 2, study),
        KeyCode::End | KeyCode::Char('G') => screen.step(i64::MAX / 2, study),
        KeyCode::Tab | KeyCode::Right => screen.next_list(1, study),
        KeyCode::BackTab | KeyCode::Left => screen.next_list(List::ALL.len() - 1, study),
        KeyCode::Char('l') => screen.switch_log(),
        KeyCode::Char('?' | 'h') => screen.help = !screen.help,
        KeyCode::Char(digit) => {
            let index = digit
                .to_digit(10)
                .and_then(|digit| (digit as usize).checked_sub(1));
            if let Some(index) = index.filter(|index| *index < PLOT_NAMES.len()) {
                screen.show_plot(index);
            }
        }
        _ => {}
    }
}
