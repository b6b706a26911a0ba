//! The reports of a study. The replayed study only counts them; they are read from the journal one
//! by one when curves are needed.

use super::blocks::{self, BadLine, BlockLine, Blocks, Content, ParseLine, Parsed, Values};
use super::{JournalError, StudyDir};
use std::fs::File;
use swath_model::space::Name;
use swath_model::study::{Axis, Datum, Entry, Event, LogRecord, Study, Timestamp, TrialId, axis};

/// One report of a trial that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The trial that reported.
    pub trial: TrialId,
    /// The attempt of the trial, from 1.
    pub attempt: u32,
    /// The number of the report among the trial's reports that count, from 1.
    pub number: u64,
    /// The position on the axis of the trial's reports; `None` before the first report that has the
    /// axis's key.
    pub step: Option<f64>,
    /// The time at which the report was written to the journal.
    pub at: Timestamp,
    /// The reported values, in the order of the report.
    pub values: Vec<(Name, Datum)>,
}

/// The position of the reader within a trial.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The number of the line at which the trial last began anew; 0 if it never did.
    begun: u64,
    number: u64,
    /// The trial's final axis, so that all its reports use the same one.
    axis: Axis,
    step: Option<f64>,
}

/// Calls `each` for every report that counts of the trials in `study`, in the order of the journal.
/// Reports of attempts after which a trial began anew do not count.
///
/// # Errors
/// If the journal cannot be read, a line is not a valid entry, or `each` fails.
pub fn each<E: From<JournalError>>(
    dir: &StudyDir,
    study: &Study,
    each: &mut dyn FnMut(&Report) -> Result<(), E>,
) -> Result<(), E> {
    let mut progress = Progress::of_trials(study);
    // Only a trial with several attempts can have begun anew: others are spared this first pass.
    if study.trials().iter().any(|trial| trial.attempts > 1) {
        find_restarts(dir, &mut progress)?;
    }
    let mut lines = Lines::open(dir, parse_logged)?;
    // Written over in turns: a study may have a million reports.
    let mut report = Report {
        trial: TrialId(0),
        attempt: 0,
        number: 0,
        step: None,
        at: Timestamp::from_micros(0),
        values: Vec::new(),
    };
    while let Some(content) = lines.next_content()? {
        if lines.take_report(content, &mut report)
            && let Some(progress) = of_trial(&mut progress, report.trial)
            && progress.begun < lines.number
        {
            progress.place(&mut report);
            each(&report)?;
        }
    }
    Ok(())
}

/// Notes the line at which each trial last began anew.
fn find_restarts(dir: &StudyDir, progress: &mut [Progress]) -> Result<(), JournalError> {
    let mut lines = Lines::open(dir, parse_started)?;
    while let Some(content) = lines.next_content()? {
        if let Content::Entry(line) = content
            && let Event::Started {
                trial,
                resume: false,
                ..
            } = line.entry.event
            && let Some(progress) = of_trial(progress, trial)
        {
            progress.begun = lines.number;
        }
    }
    Ok(())
}

impl Progress {
    fn of_trials(study: &Study) -> Vec<Self> {
        let resource = study.header().resource.as_ref();
        let axes = (study.trials().iter())
            .map(|trial| resource.map_or_else(|| trial.axis.clone(), |_| Axis::of(resource)));
        axes.map(|axis| Self {
            axis,
            ..Self::default()
        })
        .collect()
    }

    /// Numbers a report, and places it on the axis.
    fn place(&mut self, report: &mut Report) {
        self.number += 1;
        self.step = self.axis.place(self.number, self.step, |key| {
            axis::number(&report.values, key)
        });
        (report.number, report.step) = (self.number, self.step);
    }
}

fn of_trial(trials: &mut [Progress], trial: TrialId) -> Option<&mut Progress> {
    trials.get_mut((trial.0 as usize).checked_sub(1)?)
}

/// Parses a line that records something of a trial.
fn parse_logged(line: &[u8], values: &mut Values) -> Parsed {
    // Most lines are reports, which the parser recognizes sooner.
    match blocks::parse_line(line, values) {
        Parsed::Other if !is_of_kind(line, b"\"logged\"") => Parsed::Skipped,
        parsed => parsed,
    }
}

/// Parses a line that starts an attempt.
fn parse_started(line: &[u8], values: &mut Values) -> Parsed {
    if is_of_kind(line, b"\"started\"") {
        blocks::parse_line(line, values)
    } else {
        Parsed::Skipped
    }
}

/// Returns whether a line contains `word` near its start, where the writer puts the kind of event.
fn is_of_kind(line: &[u8], word: &[u8]) -> bool {
    line[..line.len().min(120)]
        .windows(word.len())
        .any(|window| window == word)
}

/// The whole lines of a journal that are needed. A torn last line was never committed.
struct Lines {
    path: std::path::PathBuf,
    blocks: Blocks,
    /// The number of the last line read, from 1.
    number: u64,
}

impl Lines {
    fn open(dir: &StudyDir, parse_line: ParseLine) -> Result<Self, JournalError> {
        let path = dir.journal();
        let file = File::open(&path).map_err(|source| JournalError::io(&path, source))?;
        Ok(Self {
            blocks: Blocks::new(file, parse_line),
            path,
            number: 0,
        })
    }

    /// Returns the next line that is not skipped; `None` at the end.
    fn next_content(&mut self) -> Result<Option<Content>, JournalError> {
        loop {
            let line = self
                .blocks
                .next_line()
                .map_err(|source| JournalError::io(&self.path, source))?;
            let Some(BlockLine { content, .. }) = line else {
                return Ok(None);
            };
            self.number += 1;
            if let Some(content) = content {
                return content.map(Some).map_err(|BadLine { why, .. }| {
                    JournalError::bad_line(&self.path, self.number, why)
                });
            }
        }
    }

    /// Writes the parts of a report that its entry has into `report`. Returns whether the entry is a
    /// report.
    fn take_report(&self, content: Content, report: &mut Report) -> bool {
        match content {
            Content::Report(line) => {
                (report.trial, report.attempt) = (TrialId(line.head.trial), line.head.attempt);
                report.at = line.head.at;
                self.blocks.block().write_values(&line, &mut report.values);
            }
            Content::Entry(line) => {
                let Entry { at, event, .. } = line.entry;
                let Event::Logged {
                    trial,
                    attempt,
                    record: LogRecord::Report { values },
                    ..
                } = event
                else {
                    return false;
                };
                (report.trial, report.attempt, report.at) = (trial, attempt.0, at);
                report.values = values;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{JournalError, Report, each};
    use crate::journal::StudyDir;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Event, Exit, Resource, TrialId, Usage};

    fn reports(demo: &Demo) -> Vec<(u32, u32, u64, Option<f64>)> {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let lines: String = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        std::fs::write(dir.journal(), lines + "{\"torn").unwrap();
        let mut reports = Vec::new();
        each(&dir, &demo.study, &mut |report: &Report| {
            reports.push((report.trial.0, report.attempt, report.number, report.step));
            Ok::<(), JournalError>(())
        })
        .unwrap();
        reports
    }

    fn started(trial: TrialId, attempt: u32, resume: bool) -> Event {
        Event::Started {
            trial,
            attempt: Attempt(attempt),
            until: Some(Resource(9)),
            slot: 0,
            resume,
        }
    }

    #[test]
    fn reports_come_in_order_and_those_before_a_restart_do_not_count() {
        let mut demo = Demo::new(&[]);
        let one = demo.start(&[]);
        let other = demo.start(&[]);
        demo.report(one, &[("val_loss", 0.5)]);
        demo.report(other, &[("val_loss", 0.4)]);
        demo.report(one, &[("val_loss", f64::NAN)]);
        demo.event(Event::Ended {
            trial: one,
            attempt: Attempt(1),
            exit: Exit::Lost,
            usage: Usage::default(),
        });
        demo.event(started(one, 2, false));
        demo.report(one, &[("val_loss", 0.3)]);
        demo.event(Event::Ended {
            trial: one,
            attempt: Attempt(2),
            exit: Exit::Interrupted,
            usage: Usage::default(),
        });
        demo.event(started(one, 3, true));
        demo.report(one, &[("val_loss", 0.2)]);
        assert_eq!(
            reports(&demo),
            [
                (2, 1, 1, Some(1.0)),
                (1, 2, 1, Some(1.0)),
                (1, 3, 2, Some(2.0))
            ]
        );
    }

    #[test]
    fn the_step_of_a_report_is_its_position_on_the_axis_and_not_its_number() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("n_parameters", 7850.0)]);
        for epoch in [0.0, 0.25] {
            demo.report(trial, &[("val_loss", 0.5), ("epoch", epoch)]);
        }
        let steps: Vec<_> = reports(&demo)
            .into_iter()
            .map(|(_, _, number, step)| (number, step))
            .collect();
        assert_eq!(steps, [(1, None), (2, Some(0.0)), (3, Some(0.25))]);
        assert_eq!(demo.study.trial(trial).unwrap().step, Some(0.25));
    }
}
