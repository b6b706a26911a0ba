//! Actions from `swath top`: each is a command line that is shown and confirmed before it runs.

use crate::cli::args::Cli;
use crate::cli::output::captured;
use crate::cli::{Context, dispatch, quote};
use crate::journal::StudyDir;
use crate::report::listing;
use crate::report::text::{elide, plain};
use crate::study::{Trial, TrialId, TrialState};
use clap::Parser as _;
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, Clear, Paragraph};
use std::path::Path;

/// The option of `swath add` that raises the number of trials.
const TRIALS: &str = "--trials";

/// A command that the user may confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    command: &'static str,
    /// The folder of the study.
    study: String,
    trial: Option<TrialId>,
    /// Words behind the study and the trial.
    words: Vec<String>,
}

/// A question at the bottom of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prompt {
    /// The command runs if the user types `y`.
    Confirm(Request),
    /// The user types the words of the command.
    Type { request: Request, text: String },
    /// The user chooses how to stop the run, or stops only the trial.
    ChooseStop(Request),
}

/// The consequence of a key in a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Todo {
    Wait(Prompt),
    Perform(Request),
    Nothing,
}

impl Request {
    /// Returns the action of a key for the selected trial, without its words.
    pub(super) fn of_key(key: char, dir: &StudyDir, trial: Option<TrialId>) -> Option<Self> {
        let command = match key {
            's' => "stop",
            'r' => "retry",
            'a' | '+' => "add",
            't' => "tag",
            'n' => "note",
            _ => return None,
        };
        Some(Self {
            command,
            study: dir.root().display().to_string(),
            trial: trial.filter(|_| command != "add"),
            words: (key == '+')
                .then(|| TRIALS.to_owned())
                .into_iter()
                .collect(),
        })
    }

    /// Returns the question before the action, or the reason why it cannot be done.
    pub(super) fn prompt(self, trial: Option<&Trial>, is_running: bool) -> Result<Prompt, String> {
        match (self.command, trial) {
            ("stop", trial) => self.stop_prompt(trial, is_running),
            ("add", _) if self.raises_trials() => Ok(Prompt::Type {
                text: "+".to_owned(),
                request: self,
            }),
            // The new configuration begins as that of the selected trial.
            ("add", trial) => Ok(Prompt::Type {
                text: trial.map_or_else(String::new, assignments),
                request: self,
            }),
            (_, None) => Err("no trial is selected".to_owned()),
            ("retry", Some(trial)) => match trial.state {
                TrialState::Failed | TrialState::Stopped | TrialState::Invalid => {
                    Ok(Prompt::Confirm(self))
                }
                _ => Err(format!(
                    "trial {} is {}; only failed and stopped trials can run again",
                    trial.id,
                    trial.state.word()
                )),
            },
            _ => Ok(Prompt::Type {
                request: self,
                text: String::new(),
            }),
        }
    }

    /// Returns the question before the run or the trial is stopped.
    fn stop_prompt(self, trial: Option<&Trial>, is_running: bool) -> Result<Prompt, String> {
        let trial = trial.filter(|trial| trial.can_stop());
        let request = Self {
            trial: trial.map(|trial| trial.id),
            ..self
        };
        match (is_running, trial) {
            (true, _) => Ok(Prompt::ChooseStop(request)),
            (false, Some(_)) => Ok(Prompt::Confirm(request)),
            (false, None) => Err(
                "nothing to stop: no process runs the study, and the trial has ended".to_owned(),
            ),
        }
    }

    /// Returns whether the command raises the number of trials.
    fn raises_trials(&self) -> bool {
        self.words.first().is_some_and(|word| word == TRIALS)
    }

    /// Returns the words of the command line behind `swath`.
    fn arguments(&self) -> Vec<String> {
        let trial = self.trial.map(|trial| trial.to_string());
        [self.command.to_owned(), self.study.clone()]
            .into_iter()
            .chain(trial)
            .chain(self.words.iter().cloned())
            .collect()
    }

    /// Runs the command, and returns its messages in one line.
    pub(super) fn perform(&self, logs: &Path) -> String {
        let (out, stdout, stderr) = captured::output(None);
        let mut context = Context {
            logs: logs.to_owned(),
            out,
        };
        let words = ["swath".to_owned()].into_iter().chain(self.arguments());
        match Cli::try_parse_from(words) {
            Ok(cli) => {
                if let Err(failure) = dispatch(&cli.command, &mut context) {
                    context.out.fail(&failure);
                }
            }
            Err(error) => context.out.say(error),
        }
        let lines = stdout.text() + &stderr.text();
        let lines: Vec<_> = lines.lines().map(str::trim).collect();
        plain(&lines.join("  ")).into_owned()
    }
}

/// Returns the parameters of a trial as the words of `swath add`.
fn assignments(trial: &Trial) -> String {
    let words: Vec<String> = trial
        .params
        .iter()
        .map(|(name, value)| format!("{name}={}", listing::shown(value)))
        .collect();
    quote::line(&words)
}

impl Prompt {
    /// Returns what follows a key. Any key but those of the question cancels it.
    pub(super) fn press(self, key: KeyCode) -> Todo {
        match (self, key) {
            (Self::Confirm(request), KeyCode::Char('y' | 'Y')) => Todo::Perform(request),
            (Self::ChooseStop(request), KeyCode::Char('t')) if request.trial.is_some() => {
                Todo::Perform(request)
            }
            (Self::ChooseStop(request), KeyCode::Char(how @ ('d' | 'y' | 'k'))) => {
                let word = match how {
                    'd' => Some("--drain".to_owned()),
                    'k' => Some("--now".to_owned()),
                    _ => None,
                };
                Todo::Perform(Request {
                    words: word.into_iter().collect(),
                    trial: None,
                    ..request
                })
            }
            (Self::Type { request, mut text }, KeyCode::Char(typed)) => {
                text.push(typed);
                Todo::Wait(Self::Type { request, text })
            }
            (Self::Type { request, mut text }, KeyCode::Backspace) => {
                text.pop();
                Todo::Wait(Self::Type { request, text })
            }
            (Self::Type { request, text }, KeyCode::Enter) if !text.trim().is_empty() => {
                let words = match request.command {
                    "add" if request.raises_trials() => {
                        vec![TRIALS.to_owned(), text.trim().to_owned()]
                    }
                    "add" => split_words(&text),
                    _ => vec![text.trim().to_owned()],
                };
                Todo::Wait(Self::Confirm(Request { words, ..request }))
            }
            _ => Todo::Nothing,
        }
    }

    fn text(&self) -> (String, &'static str) {
        match self {
            Self::Confirm(request) => {
                let words = request.arguments();
                (
                    format!("swath {}", quote::line(&words)),
                    "y runs the command, any other key does not",
                )
            }
            Self::ChooseStop(request) => match request.trial {
                Some(trial) => (
                    format!("stop trial {trial}, or the run?"),
                    "t the trial  run: d drain  y stop its trials  k kill them  other keys: no",
                ),
                None => (
                    "stop the run?".to_owned(),
                    "d drain (running trials end by themselves)  y stop them  k kill them  other keys: no",
                ),
            },
            Self::Type { request, text } => {
                let label = match request.command {
                    "add" if request.raises_trials() => {
                        "raise the total number of trials to, or by +"
                    }
                    "add" => "add a configuration",
                    "tag" => "tag",
                    _ => "note",
                };
                let trial = request
                    .trial
                    .map_or_else(String::new, |trial| format!(" trial {trial}"));
                (
                    format!("{label}{trial}: {text}▏"),
                    "Enter continues, Esc cancels",
                )
            }
        }
    }

    /// Draws the question over the last rows of the screen. Of a long text the end is visible.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let height = area.height.min(4);
        let place = Rect {
            y: area.bottom() - height,
            height,
            ..area
        };
        let (text, keys) = self.text();
        let columns = usize::from(area.width.saturating_sub(2));
        let text = plain(&text);
        let excess = text.chars().count().saturating_sub(columns);
        let shown: String = text.chars().skip(excess).collect();
        let lines = format!("{shown}\n{}", elide(keys, columns));
        frame.render_widget(Clear, place);
        frame.render_widget(
            Paragraph::new(lines)
                .style(Style::new().add_modifier(Modifier::BOLD))
                .block(Block::bordered()),
            place,
        );
    }
}

/// Splits a line into words at blanks outside of quotes.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for char in line.trim().chars() {
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (char, Some(open)) if char == open => quote = None,
            (' ', None) => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (char, _) => word.push(char),
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{Prompt, Request, Todo, split_words};
    use crate::cli::studies::demo;
    use crate::journal::read;
    use crate::study::{Exit, Failure, TrialId, TrialState};
    use ratatui::crossterm::event::KeyCode;
    use swath_model::demo::Demo;

    fn typed(mut prompt: Prompt, keys: &str) -> Todo {
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                key => KeyCode::Char(key),
            };
            match prompt.press(code) {
                Todo::Wait(next) => prompt = next,
                todo => return todo,
            }
        }
        Todo::Wait(prompt)
    }

    #[test]
    fn an_action_runs_its_command_only_after_its_confirmation() {
        let mut study = Demo::new(&[]);
        let failed = study.start(&[]);
        study.end(failed, Exit::Failed(Failure::Code(1)));
        let logs = tempfile::tempdir().unwrap();
        let dir = demo::write(logs.path(), "digits", &study);
        let ask = |key| {
            let request = Request::of_key(key, &dir, Some(failed)).unwrap();
            request.prompt(study.study.trial(failed), false)
        };
        assert_eq!(typed(ask('r').unwrap(), "n"), Todo::Nothing);
        let Todo::Perform(retry) = typed(ask('r').unwrap(), "y") else {
            panic!("it was confirmed");
        };
        assert!(
            retry
                .perform(logs.path())
                .contains("1 trial will run again")
        );
        let Todo::Perform(tag) = typed(ask('t').unwrap(), "good\ny") else {
            panic!("it was confirmed");
        };
        assert!(tag.perform(logs.path()).contains("added the tag `good`"));
        let read = read(&dir).unwrap();
        assert_eq!(read.trials()[0].state, TrialState::Waiting);
        assert!(read.has_tag(TrialId(1), "good"));
        assert!(ask('s').is_err(), "nothing runs");
        let Todo::Perform(raise) = typed(ask('+').unwrap(), "7\ny") else {
            panic!("it was confirmed");
        };
        let said = raise.perform(logs.path());
        assert!(said.contains("raised: 20 → 27 trials"), "{said}");
    }

    #[test]
    fn only_the_selected_trial_is_stopped_if_the_user_chooses_so() {
        let mut study = Demo::new(&[]);
        let (open, ended) = (study.start(&[]), study.start(&[]));
        study.end(ended, Exit::Done);
        let logs = tempfile::tempdir().unwrap();
        let dir = demo::write(logs.path(), "digits", &study);
        let ask = |trial, is_running| {
            let request = Request::of_key('s', &dir, Some(trial)).unwrap();
            request.prompt(study.study.trial(trial), is_running)
        };
        let words = |todo| match todo {
            Todo::Perform(Request { trial, words, .. }) => Some((trial, words)),
            _ => None,
        };
        let drain = Some((None, vec!["--drain".to_owned()]));
        assert_eq!(words(typed(ask(open, true).unwrap(), "d")), drain);
        assert_eq!(words(typed(ask(ended, true).unwrap(), "t")), None);
        assert!(ask(ended, false).is_err(), "there is nothing to stop");
        for (is_running, key) in [(true, "t"), (false, "y")] {
            let stop = words(typed(ask(open, is_running).unwrap(), key));
            assert_eq!(stop, Some((Some(open), Vec::new())));
        }
        let Todo::Perform(stop) = typed(ask(open, false).unwrap(), "y") else {
            panic!("it was confirmed");
        };
        let said = stop.perform(logs.path());
        assert!(said.contains("stopped trial 1"), "{said}");
        assert!(read(&dir).unwrap().trials()[0].is_stopped_by_person());
    }

    #[test]
    fn words_are_split_outside_of_quotes() {
        assert_eq!(
            split_words("lr=0.1  'name=a b' units=[1,2]"),
            ["lr=0.1", "name=a b", "units=[1,2]"]
        );
    }
}
