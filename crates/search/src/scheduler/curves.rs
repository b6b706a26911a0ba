//! Recorded learning curves, read from the entries of a journal or from a compact table.

use super::reported_number;
use super::simulation::Curve;
use crate::space::Name;
use crate::study::{Entry, Event, LogRecord, Study, Timestamp, TrialId, TrialState};
use std::fmt::Write as _;

/// The learning curves of complete trials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The curve of each trial, in the order of the trials.
    pub curves: Vec<(TrialId, Curve)>,
    /// Number of trials left out: trials that are not complete, because their further progress is
    /// unknown, and trials that never reported both the resource and the metric.
    pub left_out: usize,
}

/// Collects the reports of one metric over one resource from the entries of a journal.
#[derive(Debug, Clone)]
pub struct Collector {
    /// The reported key that counts the resource.
    resource: Name,
    /// The reported key of the metric.
    metric: Name,
    /// The unfinished curve of each trial. The index is the trial id minus one.
    drafts: Vec<Draft>,
}

/// The curve of a trial as far as it was read.
#[derive(Debug, Clone, Default)]
struct Draft {
    /// Pairs of resource and metric, ascending by resource.
    points: Vec<(f64, f64)>,
    /// The resource reported last.
    at: Option<f64>,
    /// The time of the attempt's start or of its last progress, and the resource at that time.
    since: Option<(Timestamp, f64)>,
    /// Time spent on progress, in seconds, over all attempts.
    seconds: f64,
    /// Resource gained in that time.
    used: f64,
}

impl Collector {
    /// Creates a collector of `metric` over `resource`.
    #[must_use]
    pub fn new(resource: Name, metric: Name) -> Self {
        Self {
            resource,
            metric,
            drafts: Vec::new(),
        }
    }

    /// Adds one entry. Entries must come in journal order, from the first on.
    pub fn observe(&mut self, Entry { at, event, .. }: &Entry) {
        match event {
            Event::Created { .. } => self.drafts.push(Draft::default()),
            Event::Started { trial, resume, .. } => {
                let Some(draft) = self.draft(*trial) else {
                    return;
                };
                // An attempt without a checkpoint starts from zero: its curve replaces the old one.
                if !resume {
                    (draft.at, draft.points) = (None, Vec::new());
                }
                draft.since = Some((*at, draft.at.unwrap_or(0.0)));
            }
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let resource = reported_number(values, &self.resource);
                let value = reported_number(values, &self.metric);
                let Some(draft) = self.draft(*trial) else {
                    return;
                };
                draft.report(*at, resource.filter(|resource| resource.is_finite()), value);
            }
            _ => {}
        }
    }

    /// Returns the unfinished curve of a trial.
    fn draft(&mut self, trial: TrialId) -> Option<&mut Draft> {
        self.drafts.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Returns the curves of the complete trials. `study` is the state after the last entry.
    #[must_use]
    pub fn finish(self, study: &Study) -> Recording {
        let mut recording = Recording::default();
        for (trial, draft) in study.trials().iter().zip(self.drafts) {
            if trial.state == TrialState::Complete && !draft.points.is_empty() {
                let pace = if draft.used > 0.0 {
                    draft.seconds / draft.used
                } else {
                    0.0
                };
                recording.curves.push((
                    trial.id,
                    Curve {
                        points: draft.points,
                        pace,
                        ..Curve::default()
                    },
                ));
            } else {
                recording.left_out += 1;
            }
        }
        recording
    }
}

impl Draft {
    /// Adds one report: the resource (if it was reported) and the metric (if it was).
    fn report(&mut self, now: Timestamp, shown: Option<f64>, value: Option<f64>) {
        // Only progress counts towards the pace; a repeated step uses none of the resource.
        if let (Some(shown), Some((then, from))) = (shown, self.since)
            && shown > from
        {
            self.seconds += now.since(then).as_secs_f64();
            self.used += shown - from;
            self.since = Some((now, shown));
        }
        self.at = shown.or(self.at);
        let (Some(at), Some(value)) = (self.at, value) else {
            return;
        };
        match self.points.last_mut() {
            Some(last) if last.0 >= at => {
                // Reported again or out of order: a curve ascends by resource.
                if last.0 == at {
                    last.1 = value;
                }
            }
            _ => self.points.push((at, value)),
        }
    }
}

/// An error in a table of curves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The text is not valid CSV.
    #[error("not a table: {0}")]
    Csv(String),
    /// The header is not `trial,seconds` followed by ascending amounts of the resource.
    #[error(
        "the header must be `trial,seconds` and then rising amounts of the resource, but column {column} is `{found}`"
    )]
    Header {
        /// The column, from 1.
        column: usize,
        /// The text of the column's header.
        found: String,
    },
    /// A cell is not a number.
    #[error("line {line}, column {column}: `{found}` is not a number")]
    Cell {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The text of the cell.
        found: String,
    },
}

impl Recording {
    /// Parses a table with one row per trial: its id, the seconds per unit of the resource, and the
    /// metric at each amount of the resource in the header. An empty cell means that nothing was
    /// reported there.
    ///
    /// # Errors
    /// Returns a [`TableError`] for the first error in the table.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(text.as_bytes());
        let header = reader
            .headers()
            .map_err(|error| TableError::Csv(error.to_string()))?
            .clone();
        let mut levels = Vec::new();
        for (at, found) in header.iter().enumerate() {
            let wrong = || TableError::Header {
                column: at + 1,
                found: found.to_owned(),
            };
            match (at, found.trim()) {
                (0, "trial") | (1, "seconds") => {}
                (0 | 1, _) => return Err(wrong()),
                (_, text) => {
                    let level: f64 = text.parse().map_err(|_| wrong())?;
                    if !level.is_finite() || levels.last().is_some_and(|last| *last >= level) {
                        return Err(wrong());
                    }
                    levels.push(level);
                }
            }
        }
        if header.len() < 3 {
            let found = header.iter().next_back().unwrap_or_default().to_owned();
            return Err(TableError::Header {
                column: header.len(),
                found,
            });
        }
        let mut recording = Self::default();
        for (at, row) in reader.records().enumerate() {
            let row = row.map_err(|error| TableError::Csv(error.to_string()))?;
            recording.curves.push(curve(&row, &levels, at + 2)?);
        }
        Ok(recording)
    }

    /// Returns the table that [`parse`](Self::parse) reads, with numbers rounded to `digits`
    /// significant digits.
    #[must_use]
    pub fn table(&self, digits: usize) -> String {
        let mut levels: Vec<f64> = self
            .curves
            .iter()
            .flat_map(|(_, curve)| curve.points.iter().map(|(at, _)| *at))
            .collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        let heads = levels.iter().map(|level| format!(",{level}"));
        let mut text = format!("trial,seconds{}\n", heads.collect::<String>());
        for (trial, curve) in &self.curves {
            let _ = write!(text, "{trial},{}", rounded(curve.pace, digits));
            let mut points = curve.points.iter().peekable();
            for level in &levels {
                text.push(',');
                if let Some((_, value)) = points.next_if(|(at, _)| at == level) {
                    text += &rounded(*value, digits);
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Parses one row of a table. `line` is its line in the text, from 1.
fn curve(
    row: &csv::StringRecord,
    levels: &[f64],
    line: usize,
) -> Result<(TrialId, Curve), TableError> {
    let wrong = |column: usize, found: &str| TableError::Cell {
        line,
        column,
        found: found.to_owned(),
    };
    let number = |column: usize| {
        let found = row.get(column).unwrap_or_default().trim();
        found.parse::<f64>().map_err(|_| wrong(column + 1, found))
    };
    let id = row.get(0).unwrap_or_default();
    let trial = id.trim().parse().map(TrialId).map_err(|_| wrong(1, id))?;
    let pace = number(1)?;
    let mut points = Vec::new();
    for (at, level) in levels.iter().enumerate() {
        if !row.get(at + 2).unwrap_or_default().trim().is_empty() {
            points.push((*level, number(at + 2)?));
        }
    }
    Ok((
        trial,
        Curve {
            points,
            pace: pace.max(0.0),
            ..Curve::default()
        },
    ))
}

/// Returns a number rounded to `digits` significant digits, at least one.
fn rounded(number: f64, digits: usize) -> String {
    let short: f64 = format!("{number:.*e}", digits.max(1) - 1)
        .parse()
        .unwrap_or(number);
    format!("{short}")
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{build, setting};
    use super::super::simulation::{Mishap, Simulation};
    use super::*;
    use crate::study::{Attempt, Header};
    use proptest::prelude::*;

    #[test]
    fn a_table_reads_back() {
        let text = "trial,seconds,1,3,9\n1,0.5,0.25,,NaN\n7,1,2,1.5,\n";
        let recording = Recording::parse(text).expect("it is a table");
        assert_eq!(
            recording.curves[1],
            (
                TrialId(7),
                Curve {
                    points: vec![(1.0, 2.0), (3.0, 1.5)],
                    pace: 1.0,
                    ..Curve::default()
                }
            )
        );
        assert_eq!(recording.table(5), text);
    }

    #[test]
    fn what_a_study_reported_is_read_out_of_its_entries() {
        let setting = setting(false);
        let curve = |end: f64, pace| Curve {
            points: vec![(1.0, 0.9), (2.0, end), (3.0, end)],
            pace,
            ..Curve::default()
        };
        let curves = vec![
            curve(0.5, 2.0),
            curve(0.25, 1.0),
            curve(0.75, 1.0),
            curve(0.5, 1.0),
        ];
        let header = Header {
            objectives: setting.objectives.clone(),
            resource: setting.resource.clone(),
            ..Header::default()
        };
        // The first trial is lost once and starts anew. The third is stopped, so its further progress
        // is unknown.
        let mishap = |trial, attempt| Mishap {
            lost_before: (trial == TrialId(1) && attempt == Attempt(1)).then_some(2),
            ..Mishap::default()
        };
        let scheduler = build("asha", "min = 2\nmax = 9\nreduction = 2", &setting);
        let mut simulation = Simulation::new(header, scheduler, 1, &curves).expect("a good header");
        simulation = simulation.with_mishaps(&mishap).with_entries();
        simulation.run(|_| false).expect("nothing impossible");
        let mut collector = Collector::new("epoch".into(), "loss".into());
        simulation
            .entries
            .iter()
            .for_each(|entry| collector.observe(entry));
        let recording = collector.finish(&simulation.study);
        assert_eq!(recording.left_out, 1, "the third was stopped");
        let wanted = [0, 1, 3].map(|at| (TrialId(at + 1), curves[at as usize].clone()));
        assert_eq!(recording.curves, wanted);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said_with_its_place() {
        let said = |text: &str| {
            Recording::parse(text)
                .map_err(|error| error.to_string())
                .unwrap_err()
        };
        assert_eq!(
            said("trial,seconds,1\n1,1,x\n"),
            "line 2, column 3: `x` is not a number"
        );
        let header = "the header must be `trial,seconds` and then rising amounts of the resource, but column";
        assert_eq!(said("trial,seconds,3,1\n"), format!("{header} 4 is `1`"));
        assert_eq!(said(""), format!("{header} 0 is ``"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(trial,seconds,1,2\n)?[0-9a,.\n\"]{0,60}") {
            if let Ok(recording) = Recording::parse(&text) {
                let _ = recording.table(4);
            }
        }
    }
}
