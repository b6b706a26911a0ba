//! Recorded learning curves, read from the entries of a journal or from a compact table.

use super::reported_number;
use super::simulation::Curve;
use std::fmt::Write as _;
use std::str::FromStr;
use swath_model::space::Name;
use swath_model::study::{Entry, Event, LogRecord, Study, Timestamp, TrialId, TrialState};

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
    resource: Option<f64>,
    /// The time of the attempt's start or of its last progress, and the resource at that time.
    last_progress: Option<(Timestamp, f64)>,
    /// Time spent on progress, in seconds, over all attempts.
    seconds: f64,
    /// Resource gained in that time.
    gained: f64,
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
                    (draft.resource, draft.points) = (None, Vec::new());
                }
                draft.last_progress = Some((*at, draft.resource.unwrap_or(0.0)));
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
                let pace = if draft.gained > 0.0 {
                    draft.seconds / draft.gained
                } else {
                    0.0
                };
                recording.curves.push((
                    trial.id,
                    Curve {
                        params: trial.params.clone(),
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
    fn report(&mut self, now: Timestamp, resource: Option<f64>, value: Option<f64>) {
        // Only progress counts towards the pace; a repeated step uses none of the resource.
        if let (Some(resource), Some((then, before))) = (resource, self.last_progress)
            && resource > before
        {
            self.seconds += now.since(then).as_secs_f64();
            self.gained += resource - before;
            self.last_progress = Some((now, resource));
        }
        self.resource = resource.or(self.resource);
        let (Some(resource), Some(value)) = (self.resource, value) else {
            return;
        };
        // A curve ascends by resource, whatever the order in which reports arrive.
        let index = self.points.partition_point(|point| point.0 < resource);
        match self.points.get_mut(index) {
            Some(point) if point.0 == resource => point.1 = value,
            _ => self.points.insert(index, (resource, value)),
        }
    }
}

/// An error in a table of curves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The text is not valid CSV.
    #[error("the table is not valid CSV: {0}")]
    Csv(String),
    /// The header is not `trial,seconds` followed by ascending amounts of the resource.
    #[error(
        "the header must be `trial,seconds` and then rising amounts of the resource, but column {column} is `{text}`"
    )]
    Header {
        /// The column, from 1.
        column: usize,
        /// The text of the column's header.
        text: String,
    },
    /// A cell is not a number.
    #[error("line {line}, column {column}: `{text}` is not a number")]
    Cell {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The text of the cell.
        text: String,
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
        for (column, text) in (1..).zip(&header) {
            match (column, text.trim()) {
                (1, "trial") | (2, "seconds") => {}
                (1 | 2, _) => return Err(header_error(column, text)),
                (_, number) => {
                    let level: f64 = number.parse().map_err(|_| header_error(column, text))?;
                    if !level.is_finite() || levels.last().is_some_and(|last| *last >= level) {
                        return Err(header_error(column, text));
                    }
                    levels.push(level);
                }
            }
        }
        if header.len() < 3 {
            let text = header.iter().next_back().unwrap_or_default();
            return Err(header_error(header.len(), text));
        }
        let mut recording = Self::default();
        // The header is line 1.
        for (line, row) in (2..).zip(reader.records()) {
            let row = row.map_err(|error| TableError::Csv(error.to_string()))?;
            recording.curves.push(parse_row(&row, &levels, line)?);
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
        let level_columns: String = levels.iter().map(|level| format!(",{level}")).collect();
        let mut text = format!("trial,seconds{level_columns}\n");
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

fn header_error(column: usize, text: &str) -> TableError {
    TableError::Header {
        column,
        text: text.to_owned(),
    }
}

/// Parses one row of a table. `line` is its line in the text, from 1.
fn parse_row(
    row: &csv::StringRecord,
    levels: &[f64],
    line: usize,
) -> Result<(TrialId, Curve), TableError> {
    let id: u32 = parse_cell(row, line, 1)?;
    let pace: f64 = parse_cell(row, line, 2)?;
    let mut points = Vec::new();
    for (column, level) in (3..).zip(levels) {
        if !cell(row, column).is_empty() {
            points.push((*level, parse_cell(row, line, column)?));
        }
    }
    Ok((
        TrialId(id),
        Curve {
            points,
            pace: pace.max(0.0),
            ..Curve::default()
        },
    ))
}

/// Returns the text of a cell without the spaces around it. `column` counts from 1.
fn cell(row: &csv::StringRecord, column: usize) -> &str {
    row.get(column - 1).unwrap_or_default().trim()
}

fn parse_cell<T: FromStr>(
    row: &csv::StringRecord,
    line: usize,
    column: usize,
) -> Result<T, TableError> {
    let text = cell(row, column);
    text.parse().map_err(|_| TableError::Cell {
        line,
        column,
        text: text.to_owned(),
    })
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
    use proptest::prelude::*;
    use swath_model::study::{Attempt, Header};

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
    fn curves_are_collected_from_the_entries_of_a_study() {
        let setting = setting(false);
        let curves = [(0.5, 2.0), (0.25, 1.0), (0.75, 1.0), (0.5, 1.0)].map(|(end, pace)| Curve {
            points: vec![(1.0, 0.9), (2.0, end), (3.0, end)],
            pace,
            ..Curve::default()
        });
        let header = Header {
            objectives: setting.objectives.clone(),
            resource: setting.resource.clone(),
            ..Header::default()
        };
        // The first trial is lost once and starts anew. The third is stopped, so its further progress
        // is unknown.
        let lose_first_attempt = |trial, attempt| Mishap {
            lost_before: (trial == TrialId(1) && attempt == Attempt(1)).then_some(2),
            ..Mishap::default()
        };
        let scheduler = build("asha", "min = 2\nmax = 9\nreduction = 2", &setting);
        let mut simulation = Simulation::new(header, scheduler, 1, &curves).expect("a good header");
        simulation = simulation.with_mishaps(&lose_first_attempt).with_entries();
        simulation.run(|_| false).expect("nothing impossible");
        let mut collector = Collector::new("epoch".into(), "loss".into());
        simulation
            .entries
            .iter()
            .for_each(|entry| collector.observe(entry));
        let recording = collector.finish(&simulation.study);
        assert_eq!(recording.left_out, 1, "the third was stopped");
        let complete = [0, 1, 3].map(|index| (TrialId(index + 1), curves[index as usize].clone()));
        assert_eq!(recording.curves, complete);
    }

    #[test]
    fn a_report_that_comes_late_gets_its_place_on_the_curve() {
        let mut draft = Draft::default();
        for (resource, value) in [(1.0, 0.9), (3.0, 0.3), (2.0, 0.5), (3.0, 0.4)] {
            draft.report(Timestamp::from_micros(0), Some(resource), Some(value));
        }
        assert_eq!(draft.points, [(1.0, 0.9), (2.0, 0.5), (3.0, 0.4)]);
    }

    #[test]
    fn an_error_in_a_table_names_its_line_and_column() {
        assert_eq!(
            parse_error("trial,seconds,1\n1,1,x\n"),
            "line 2, column 3: `x` is not a number"
        );
        let header = "the header must be `trial,seconds` and then rising amounts of the resource, but column";
        assert_eq!(
            parse_error("trial,seconds,3,1\n"),
            format!("{header} 4 is `1`")
        );
        assert_eq!(parse_error(""), format!("{header} 0 is ``"));
    }

    fn parse_error(text: &str) -> String {
        Recording::parse(text).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(trial,seconds,1,2\n)?[0-9a,.\n\"]{0,60}") {
            if let Ok(recording) = Recording::parse(&text) {
                let _ = recording.table(4);
            }
        }
    }
}
