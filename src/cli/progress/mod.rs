//! The display of a run: progress bars on a terminal, one line per event elsewhere, or events as
//! JSON.
//!
//! [`describe`] turns events into lines, [`bars`] draws the progress bars, and [`ending`] writes
//! the summary.

mod bars;
mod describe;
mod echo;
mod ending;
mod rule;

use super::output::{JSON_VERSION, Output};
use crate::driver::Listener;
use crate::journal::StudyDir;
use crate::report::text::{elide, plain};
use crate::run::follow::Stale;
use crate::source::secret::Secrets;
use crate::study::{
    Closing, Entry, Event, Exit, LogRecord, PreparationChange, Study, TrialId, TrialState,
};
use bars::Bars;
use rule::RankingRule;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;

/// The style of the display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Progress bars if standard error is a terminal, else one line per event.
    Human,
    /// Failures, warnings and the summary only.
    Quiet,
    /// One JSON object per event on standard output.
    Json,
}

/// The number of failures that are printed in full. Later ones take one line each.
const FAILURES_IN_FULL: u32 = 5;

/// The number of warnings that are printed. Later ones are only counted.
const WARNINGS: u32 = 10;

/// The display of a run. It listens to the driver.
pub(crate) struct Progress {
    style: Style,
    dir: StudyDir,
    out: Output,
    bars: Option<Bars>,
    best: Option<TrialId>,
    /// Secrets that the end of a log does not show.
    secrets: Secrets,
    rule: RankingRule,
    failures: u32,
    warnings: u32,
    /// Whether writing to standard output failed, for example because a pipe was closed.
    broken: bool,
}

/// One line of the event stream: an entry of the journal with the version of the stream.
#[derive(Serialize)]
struct StreamLine<'a> {
    v: u32,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl Progress {
    /// Starts the display of a study that is already open.
    pub(crate) fn new(
        style: Style,
        dir: StudyDir,
        out: Output,
        study: &Study,
        secrets: Secrets,
    ) -> Self {
        let bars = (style == Style::Human && out.live).then(|| Bars::new(study, out.paint_err));
        let best = study.incumbent().map(|trial| trial.id);
        let rule = RankingRule::default();
        Self {
            style,
            dir,
            out,
            bars,
            best,
            secrets,
            rule,
            failures: 0,
            warnings: 0,
            broken: false,
        }
    }

    /// Wraps the display so that the driver can listen with it while the caller keeps it.
    pub(crate) fn shared(self) -> Shared {
        Shared(Rc::new(RefCell::new(self)))
    }

    /// Writes a line above the progress bars, or to standard error if there are none.
    pub(crate) fn say(&mut self, line: &str) {
        match &mut self.bars {
            Some(bars) => bars.above(|| self.out.say(line)),
            None => self.out.say(line),
        }
    }

    fn warn(&mut self, message: &str) {
        let label = self.out.paint_err.yellow("warning");
        self.say(&format!("{label}: {}", plain(message)));
    }

    /// Warns that a tracker is no longer updated.
    pub(crate) fn stale(&mut self, stale: &Stale) {
        self.warn(&format!(
            "the tracker `{}` is no longer updated: {}",
            stale.name, stale.why
        ));
    }

    fn stream(&mut self, entry: &Entry) {
        let line = StreamLine {
            v: JSON_VERSION,
            entry,
        };
        let written = self
            .out
            .json(&line)
            .and_then(|()| Ok(self.out.stdout.flush()?));
        // A closed pipe must not end the run; the stream stops, the trials go on.
        self.broken |= written.is_err();
    }

    fn show(&mut self, study: &Study, entry: &Entry) {
        match &entry.event {
            Event::Logged {
                trial,
                record: LogRecord::Warning { text },
                ..
            } => {
                self.show_warning(*trial, text);
            }
            // The study decides: a program may exit with success although an objective is missing.
            Event::Ended { trial, .. } if self.failed(study, *trial) => {
                self.show_failure(study, *trial);
            }
            Event::Preparation {
                preparation,
                change:
                    PreparationChange::Ended {
                        exit: Exit::Failed(_),
                        ..
                    },
            } => {
                if let Some(failed) = study.preparation(*preparation) {
                    let paint = self.out.paint_err;
                    let text =
                        describe::failed_preparation(failed, &self.dir, &self.secrets, paint);
                    self.say(&text);
                }
            }
            event if self.style == Style::Human => {
                let new_best = study.incumbent().map(|trial| trial.id) != self.best;
                let line = describe::event(study, event, new_best, self.bars.is_some());
                match (&self.bars, line) {
                    (Some(_), Some(line)) => self.say(&elide(&line, bars::terminal().0)),
                    (None, Some(line)) => self.out.say(line),
                    (_, None) => {}
                }
            }
            _ => {}
        }
        self.best = study.incumbent().map(|trial| trial.id);
    }

    /// Returns whether the study marks the ended trial as failed, whatever its exit status was. An
    /// invalid trial has not failed.
    fn failed(&self, study: &Study, trial: TrialId) -> bool {
        study
            .trial(trial)
            .is_some_and(|trial| trial.state == TrialState::Failed)
    }

    fn show_failure(&mut self, study: &Study, trial: TrialId) {
        let Some(trial) = study.trial(trial) else {
            return;
        };
        self.failures += 1;
        let in_full = self.failures <= FAILURES_IN_FULL;
        let text = describe::failure(trial, &self.dir, &self.secrets, in_full, self.out.paint_err);
        self.say(&text);
        if self.failures == FAILURES_IN_FULL {
            self.say("further failures take one line each; `swath logs TRIAL` shows the output of a trial");
        }
    }

    fn show_warning(&mut self, trial: TrialId, text: &str) {
        self.warnings += 1;
        if self.warnings <= WARNINGS {
            self.warn(&format!("trial {trial}: {text}"));
        }
        if self.warnings == WARNINGS {
            self.say("further warnings are not printed; `swath show TRIAL` lists those of a trial");
        }
    }

    /// Removes the progress bars and prints the summary. `resume` is the command that continues
    /// the run. Returns the exit code, with [`Interrupted`](super::exit::Code::Interrupted) for any
    /// signal: the caller must tell SIGINT from other signals.
    pub(crate) fn finish(
        &mut self,
        study: &Study,
        why: &Closing,
        resume: &str,
    ) -> super::exit::Code {
        self.bars = None;
        if self.style == Style::Json {
            self.broken |= ending::print_json(&mut self.out, study, &self.dir).is_err();
        } else {
            self.broken |=
                ending::print(&mut self.out, study, &self.dir, &self.secrets, why, resume).is_err();
        }
        ending::code(study, why)
    }
}

impl Listener for Progress {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        match self.style {
            Style::Json if self.broken => {}
            Style::Json => self.stream(entry),
            Style::Human | Style::Quiet => self.show(study, entry),
        }
        if let Some(text) = self.rule.observe(study, &entry.event) {
            self.news(&text);
        }
    }

    fn news(&mut self, text: &str) {
        match self.style {
            Style::Json => self.notice(text),
            Style::Human => self.say(text),
            Style::Quiet => {}
        }
    }

    fn notice(&mut self, text: &str) {
        match self.style {
            Style::Json if self.broken => {}
            Style::Json => {
                let line = serde_json::json!({ "v": JSON_VERSION, "notice": text });
                self.broken |= self
                    .out
                    .json(&line)
                    .and_then(|()| Ok(self.out.stdout.flush()?))
                    .is_err();
            }
            Style::Human | Style::Quiet => self.warn(text),
        }
    }

    fn suspend(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }

    fn tick(&mut self, study: &Study) {
        if let Some(bars) = &mut self.bars {
            bars.update(study);
        }
    }
}

/// A display that the driver and its caller share.
#[derive(Clone)]
pub(crate) struct Shared(Rc<RefCell<Progress>>);

impl Shared {
    /// Calls `act` with the display.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Progress) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }
}

impl Listener for Shared {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        self.with(|progress| progress.entry(study, entry));
    }

    fn news(&mut self, text: &str) {
        self.with(|progress| progress.news(text));
    }

    fn notice(&mut self, text: &str) {
        self.with(|progress| progress.notice(text));
    }

    fn suspend(&mut self) {
        self.with(Progress::suspend);
    }

    fn tick(&mut self, study: &Study) {
        self.with(|progress| progress.tick(study));
    }
}

#[cfg(test)]
mod tests {
    use super::{Listener, Progress, Secrets, Style};
    use crate::cli::exit::Code;
    use crate::cli::output::captured;
    use crate::journal::StudyDir;
    use crate::space::Value;
    use crate::study::{Closing, Event, Exit, Failure, LogRecord, Study};
    use swath_model::demo::Demo;

    /// Replays a study through the display. Returns the exit code, standard output and standard
    /// error.
    fn watch(demo: &Demo, style: Style) -> (Code, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        std::fs::create_dir_all(folder.path().join("2")).unwrap();
        std::fs::write(
            folder.path().join("2/stderr.log"),
            "one\ntwo\n\x1b[31mError\x1b[0m: no\x07\n",
        )
        .unwrap();
        let (out, stdout, stderr) = captured::output(Some(80));
        let mut study = Study::default();
        let mut progress = Progress::new(style, dir, out, &study, Secrets::default());
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            progress.entry(&study, entry);
        }
        progress.tick(&study);
        let why = study.closed().cloned().unwrap_or(Closing::Finished);
        let code = progress.finish(&study, &why, "swath run sweeps/digits.toml");
        drop(progress);
        let root = folder.path().display().to_string();
        (
            code,
            stdout.text().replace(&root, "logs/digits"),
            stderr.text().replace(&root, "logs/digits"),
        )
    }

    fn demo() -> Demo {
        let mut demo = Demo::new(&["lr"]);
        demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        let failed = demo.start(&[("lr", Value::Float(1e-5))]);
        demo.log(
            failed,
            LogRecord::Warning {
                text: "line 3 is not JSON".into(),
            },
        );
        demo.end(failed, Exit::Failed(Failure::Code(3)));
        demo.complete(&[("lr", Value::Float(0.2))], &[("val_loss", 0.25)]);
        let stopped = demo.start(&[("lr", Value::Float(0.3))]);
        demo.report(stopped, &[("val_loss", 0.9)]);
        demo.end(stopped, Exit::Stopped);
        demo
    }

    #[test]
    fn without_a_terminal_every_event_is_a_line_and_a_failure_shows_the_end_of_its_log() {
        let (code, stdout, stderr) = watch(&demo(), Style::Human);
        assert_eq!(code, Code::Done);
        insta::assert_snapshot!(format!("{stderr}----\n{stdout}"));
    }

    #[test]
    fn the_quiet_style_prints_failures_warnings_and_the_summary() {
        let (_, _, stderr) = watch(&demo(), Style::Quiet);
        assert!(
            stderr
                .starts_with("warning: trial 2: line 3 is not JSON\ntrial 2 failed: exit status 3"),
            "{stderr}"
        );
    }

    #[test]
    fn the_event_stream_is_the_journal_with_a_version() {
        let (_, stdout, stderr) = watch(&demo(), Style::Json);
        let first = stdout.lines().next().unwrap();
        assert!(
            first.starts_with(
                "{\"v\":1,\"seq\":0,\"at\":\"2026-01-01T00:00:01Z\",\"event\":{\"opened\":"
            ),
            "{first}"
        );
        let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        assert_eq!(last["summary"]["best"]["trial"], 3);
        assert_eq!(stderr, "");
    }

    #[test]
    fn the_summary_of_an_interrupted_run_ends_with_the_command_that_continues_it() {
        let mut demo = demo();
        demo.event(Event::Closed {
            why: Closing::Interrupted,
        });
        let (code, _, stderr) = watch(&demo, Style::Human);
        assert_eq!(code, Code::Interrupted);
        assert_eq!(
            stderr.lines().last(),
            Some("continue with: swath run sweeps/digits.toml")
        );
    }

    #[test]
    fn the_summary_of_a_run_without_a_success_says_so() {
        let mut demo = Demo::new(&[]);
        let failed = demo.start(&[]);
        demo.end(failed, Exit::Failed(Failure::Signal(9)));
        let (code, stdout, stderr) = watch(&demo, Style::Human);
        assert_eq!((code, stdout.as_str()), (Code::NoSuccess, ""));
        assert!(stderr.contains("no trial succeeded"), "{stderr}");
    }

    #[test]
    fn the_rule_that_ranks_several_reports_is_printed_once() {
        let mut demo = Demo::new(&[]);
        for _ in 0..2 {
            let trial = demo.start(&[]);
            [0.5, 0.2, 0.4]
                .iter()
                .for_each(|loss| demo.report(trial, &[("val_loss", *loss)]));
            demo.end(trial, Exit::Done);
        }
        let rule = "trial 1 reported val_loss 3 times; the best of them counts";
        let (_, _, stderr) = watch(&demo, Style::Human);
        assert_eq!(stderr.matches(rule).count(), 1, "{stderr}");
        let (_, stdout, _) = watch(&demo, Style::Json);
        assert_eq!(stdout.matches(rule).count(), 1, "{stdout}");
        assert_eq!(watch(&demo, Style::Quiet).2.matches(rule).count(), 0);
    }

    #[test]
    fn the_sixth_failure_takes_one_line() {
        let mut demo = Demo::new(&[]);
        for _ in 0..6 {
            let failed = demo.start(&[]);
            demo.end(failed, Exit::Failed(Failure::Code(1)));
        }
        let (_, _, stderr) = watch(&demo, Style::Quiet);
        assert_eq!(
            (
                stderr.matches("full log").count(),
                stderr.matches("its folder").count()
            ),
            (1, 4),
            "{stderr}"
        );
        assert_eq!(
            stderr.matches("failed: exit status 1").count(),
            6,
            "{stderr}"
        );
    }
}
