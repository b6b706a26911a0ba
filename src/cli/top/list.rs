//! The lists of trials in `swath top`, and their rows.

use super::screen::dim;
use crate::report::compare::ranking::Key;
use crate::report::text::{elide, plain};
use crate::report::{number, rank, summary};
use crate::space::Value;
use crate::study::{Goal, Study, Timestamp, Trial, TrialState};
use ratatui::layout::Constraint;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Cell, Row, Table};

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

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Best => "best",
            Self::Recent => "recent",
            Self::Failed => "failed",
        }
    }

    pub(super) fn trials(self, study: &Study) -> Vec<&Trial> {
        // The newest trials come first; trials that never started have nothing to show.
        let started = study
            .trials()
            .iter()
            .rev()
            .filter(|trial| trial.attempts > 0 && !trial.removed);
        match self {
            Self::Running => {
                let mut running: Vec<&Trial> =
                    study.running().filter_map(|id| study.trial(id)).collect();
                running.sort_by_cached_key(|trial| objective_key(study, trial));
                running
            }
            Self::Best => rank::best(study, 200),
            Self::Recent => started.take(500).collect(),
            Self::Failed => started
                .filter(|trial| trial.state.is_without_result())
                .take(500)
                .collect(),
        }
    }
}

/// Returns the key that sorts trials by the first objective, the best first.
fn objective_key(study: &Study, trial: &Trial) -> Key {
    let objective = study.header().objectives.first();
    Key {
        value: objective
            .and_then(|objective| trial.objective(objective))
            .map(Value::Float),
        descending: objective.is_some_and(|objective| objective.goal == Goal::Max),
    }
}

/// Returns the table of the visible trials of a list, under the name of the list.
pub(super) fn table<'a>(study: &Study, trials: &[&Trial], name: &str, now: Timestamp) -> Table<'a> {
    let header = study.header();
    let axis = trials.iter().find_map(|trial| trial.axis.key());
    let step = header.resource.as_ref().or(axis);
    let step = step.map_or("reports", |name| &**name);
    let mut titles = vec![name.to_owned(), "slot".into(), "time".into(), step.into()];
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
    let rows = trials.iter().map(|trial| row(study, trial, now));
    let mut widths = vec![
        Constraint::Length(16),
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
    Table::new(rows, widths)
        .header(Row::new(titles).style(dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
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
