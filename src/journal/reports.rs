//! The reports of a study, which its fold only counts: read from the journal when somebody wants the curves.

use super::{JournalError, StudyDir};
use crate::space::Name;
use crate::study::{Datum, LogRecord, Timestamp};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// One report of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The attempt that made it.
    pub attempt: u32,
    /// When it was written to the journal.
    pub at: Timestamp,
    /// What it said, in the order it was given.
    pub values: Vec<(Name, Datum)>,
}

/// A line of the journal, as far as it is of interest here.
#[derive(Deserialize)]
struct Line {
    at: Timestamp,
    event: Happened,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Happened {
    Logged {
        trial: u32,
        attempt: u32,
        record: LogRecord,
    },
    Started {
        trial: u32,
        resume: bool,
    },
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

/// Returns the reports that count of the first `count` trials, by their id less one: those since a trial last began anew.
///
/// # Errors
/// If the journal cannot be read, or a line of it is no entry.
pub fn reports(dir: &StudyDir, count: usize) -> Result<Vec<Vec<Report>>, JournalError> {
    let path = dir.journal();
    let failed = |source| JournalError::Io { path: path.clone(), source };
    let mut reader = BufReader::with_capacity(1 << 18, File::open(&path).map_err(failed)?);
    let mut trials: Vec<Vec<Report>> = vec![Vec::new(); count];
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            return Ok(trials);
        }
        number += 1;
        if !is_of_interest(&line) {
            continue;
        }
        let bad = |error: serde_json::Error| JournalError::BadLine {
            path: path.clone(),
            line: number,
            why: error.to_string(),
        };
        let Line { at, event } = serde_json::from_slice(&line).map_err(bad)?;
        match event {
            Happened::Logged { trial, attempt, record: LogRecord::Report { values } } => {
                if let Some(of) = of_trial(&mut trials, trial) {
                    of.push(Report { attempt, at, values });
                }
            }
            Happened::Started { trial, resume: false } => {
                if let Some(of) = of_trial(&mut trials, trial) {
                    of.clear();
                }
            }
            _ => {}
        }
    }
}

fn of_trial(trials: &mut [Vec<Report>], trial: u32) -> Option<&mut Vec<Report>> {
    trials.get_mut((trial as usize).checked_sub(1)?)
}

/// Says at a glance whether a line may hold a report or a start; the journal's own writer puts the event's name near the front.
fn is_of_interest(line: &[u8]) -> bool {
    let head = &line[..line.len().min(120)];
    let holds = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    holds(b"\"logged\"") || holds(b"\"started\"")
}
