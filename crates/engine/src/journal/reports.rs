//! The reports of a study. The replayed study only counts them; they are read from the journal one
//! by one when curves are needed.

use super::{JournalError, StudyDir};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use swath_model::space::Name;
use swath_model::study::{Axis, Datum, LogRecord, Study, Timestamp, TrialId, axis};

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

/// A line of the journal, as far as it is needed here.
#[derive(Deserialize)]
struct PartialEntry {
    at: Timestamp,
    event: PartialEvent,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartialEvent {
    Logged {
        trial: TrialId,
        attempt: u32,
        record: LogRecord,
    },
    Started {
        trial: TrialId,
        resume: bool,
    },
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
    each: &mut dyn FnMut(Report) -> Result<(), E>,
) -> Result<(), E> {
    let resource = study.header().resource.as_ref();
    let mut progress: Vec<Progress> = (study.trials().iter())
        .map(|trial| {
            let axis = resource.map_or_else(|| trial.axis.clone(), |_| Axis::of(resource));
            Progress {
                axis,
                ..Progress::default()
            }
        })
        .collect();
    // Only a trial with several attempts can have begun anew: others are spared this first pass.
    if study.trials().iter().any(|trial| trial.attempts > 1) {
        each_entry(dir, b"\"started\"", &mut |number, entry| {
            if let PartialEvent::Started {
                trial,
                resume: false,
            } = entry.event
                && let Some(progress) = of_trial(&mut progress, trial)
            {
                progress.begun = number;
            }
            Ok::<(), JournalError>(())
        })?;
    }
    each_entry(
        dir,
        b"\"logged\"",
        &mut |line, PartialEntry { at, event }| {
            let PartialEvent::Logged {
                trial,
                attempt,
                record: LogRecord::Report { values },
            } = event
            else {
                return Ok(());
            };
            let Some(progress) =
                of_trial(&mut progress, trial).filter(|progress| progress.begun < line)
            else {
                return Ok(());
            };
            progress.number += 1;
            let number = progress.number;
            progress.step = progress
                .axis
                .place(number, progress.step, |key| axis::number(&values, key));
            each(Report {
                trial,
                attempt,
                number,
                step: progress.step,
                at,
                values,
            })
        },
    )
}

fn of_trial(trials: &mut [Progress], trial: TrialId) -> Option<&mut Progress> {
    trials.get_mut((trial.0 as usize).checked_sub(1)?)
}

/// Calls `each` with the entry of every whole line that contains `word` near its start, where the
/// writer puts the kind of event, and with its number. All other lines are skipped unparsed.
fn each_entry<E: From<JournalError>>(
    dir: &StudyDir,
    word: &[u8],
    each: &mut dyn FnMut(u64, PartialEntry) -> Result<(), E>,
) -> Result<(), E> {
    let path = dir.journal();
    let file = File::open(&path).map_err(|source| JournalError::io(&path, source))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        reader
            .read_until(b'\n', &mut line)
            .map_err(|source| JournalError::io(&path, source))?;
        // A torn last line was never committed.
        let Some(entry) = line.strip_suffix(b"\n") else {
            return Ok(());
        };
        number += 1;
        if !line[..line.len().min(120)]
            .windows(word.len())
            .any(|window| window == word)
        {
            continue;
        }
        let entry = super::line::verify(entry)
            .and_then(|_| serde_json::from_slice(entry).map_err(|error| error.to_string()))
            .map_err(|why| JournalError::bad_line(&path, number, why))?;
        each(number, entry)?;
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
        each(&dir, &demo.study, &mut |report: Report| {
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
