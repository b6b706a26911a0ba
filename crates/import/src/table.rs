//! Reads a table of trials: a `trials.csv` of swath, or any CSV with one row per trial.

use super::{End, FileSelection, Foreign, ImportError, TrialSource, not_text, theirs};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use swath_log::wire::special;
use swath_model::space::{Name, Value};
use swath_model::study::{Datum, Metric};
use swath_run::sweep::Sweep;

/// Columns by which a table of swath is recognised. In other tables, these names mean nothing.
const OURS: [&str; 3] = ["pipeline", "trial_id", "state"];

/// Maximum length of a row in bytes. A quote that is never closed makes one row of all that
/// follows.
const LONGEST_ROW: u64 = 64 << 20;

/// A table of trials.
pub(super) struct Table {
    file: File,
    path: String,
    description: String,
    columns: Columns,
}

impl Table {
    /// Reads the header of a table.
    pub(super) fn open(
        file: File,
        path: &str,
        sweep: &Sweep,
        selection: &FileSelection,
    ) -> Result<Self, ImportError> {
        let header: Vec<String> = rows(&file, path)?
            .headers()
            .map_err(|error| unfit_table(path, &error))?
            .iter()
            .map(str::to_owned)
            .collect();
        let columns = Columns::find(&header, path, sweep, selection)?;
        let description = if is_of_swath(&header) {
            format!("swath table {path}")
        } else {
            path.to_owned()
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            description,
            columns,
        })
    }
}

impl TrialSource for Table {
    fn description(&self) -> &str {
        &self.description
    }

    fn each(
        &mut self,
        take: &mut dyn FnMut(Foreign) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut rows = rows(&self.file, &self.path)?;
        let mut record = csv::StringRecord::new();
        for row in 0.. {
            let is_row = rows
                .read_record(&mut record)
                .map_err(|error| unfit_table(&self.path, &error))?;
            if !is_row {
                break;
            }
            take(self.columns.trial(row, &record, &self.path)?)?;
            rows.get_mut().rest = LONGEST_ROW;
        }
        Ok(())
    }
}

/// Returns a reader of the rows of a file from its start.
fn rows<'a>(file: &'a File, path: &str) -> Result<csv::Reader<RowReader<'a>>, ImportError> {
    let mut start: &File = file;
    start
        .seek(SeekFrom::Start(0))
        .map_err(|error| unfit_table(path, &error.into()))?;
    Ok(csv::ReaderBuilder::new()
        .flexible(false)
        .from_reader(RowReader {
            file,
            rest: LONGEST_ROW,
        }))
}

/// A file of which only so much is read for one row.
struct RowReader<'a> {
    file: &'a File,
    rest: u64,
}

impl Read for RowReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest == 0 {
            let reason = "a row is longer than 64 MiB; is a quote not closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let count = self.file.read(buffer)?;
        self.rest = self.rest.saturating_sub(count as u64);
        Ok(count)
    }
}

/// Returns the error for a text that is not CSV.
fn unfit_table(path: &str, error: &csv::Error) -> ImportError {
    if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) {
        return not_text(path);
    }
    ImportError::unfit(
        format!("`{path}` is not a table: {error}"),
        "a CSV file has a header, and every row has as many fields as the header",
    )
}

/// Returns whether a header is that of a `trials.csv`.
fn is_of_swath(header: &[String]) -> bool {
    OURS.iter().all(|name| position(header, name).is_some())
}

/// Returns the index of the column with that name.
fn position(header: &[String], name: &str) -> Option<usize> {
    header.iter().position(|title| title == name)
}

/// Returns the index of the column of a parameter: the mapped one, one with the prefix `param.`, or
/// one with the bare name.
fn param_position(header: &[String], selection: &FileSelection, ours: &str) -> Option<usize> {
    let theirs = theirs(&selection.map, ours);
    position(header, theirs)
        .filter(|_| theirs != ours)
        .or_else(|| position(header, &format!("param.{ours}")))
        .or_else(|| position(header, ours))
}

/// Lists the first columns of a header, for a hint.
fn listed(header: &[String]) -> String {
    let names = header.iter().take(40).map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// The columns of a table, by their meaning.
struct Columns {
    id: Option<usize>,
    state: Option<usize>,
    exit: Option<usize>,
    /// For each parameter, its name in the sweep and the index of its column.
    params: Vec<(String, usize)>,
    objectives: Vec<(Name, usize)>,
    metrics: Vec<(Name, usize)>,
}

impl Columns {
    /// Finds the columns of a header, by the names of the sweep or those given with `--map`.
    fn find(
        header: &[String],
        path: &str,
        sweep: &Sweep,
        selection: &FileSelection,
    ) -> Result<Self, ImportError> {
        let is_of_swath = is_of_swath(header);
        for (_, theirs) in &selection.map {
            if position(header, theirs).is_none() {
                let message = format!("`{path}` has no column `{theirs}`");
                return Err(ImportError::unfit(
                    message,
                    format!("it has {}", listed(header)),
                ));
            }
        }
        let mut params: Vec<(String, usize)> = sweep
            .space
            .names()
            .iter()
            .filter_map(|name| Some((name.to_string(), param_position(header, selection, name)?)))
            .collect();
        if is_of_swath {
            // Includes parameters that the sweep does not have, so that they are reported as
            // ignored.
            for (index, name) in header.iter().enumerate() {
                if let Some(name) = name.strip_prefix("param.")
                    && !params.iter().any(|(_, column)| *column == index)
                {
                    params.push((name.to_owned(), index));
                }
            }
        }
        let mut objectives = Vec::new();
        for objective in &sweep.objectives {
            let theirs = theirs(&selection.map, &objective.metric);
            let prefixed = if is_of_swath {
                position(header, &format!("objective.{}", objective.metric))
            } else {
                None
            };
            let Some(column) = prefixed.or_else(|| position(header, theirs)) else {
                let message = format!(
                    "`{path}` has no column for the objective `{}`",
                    objective.metric
                );
                let hint = format!(
                    "name it: --map {}=COLUMN; it has {}",
                    objective.metric,
                    listed(header)
                );
                return Err(ImportError::unfit(message, hint));
            };
            objectives.push((objective.metric.clone(), column));
        }
        if params.is_empty() {
            let message = format!("`{path}` has no column for any parameter");
            return Err(ImportError::unfit(
                message,
                format!("name them: --map lr=COLUMN; it has {}", listed(header)),
            ));
        }
        let mut metrics: Vec<(Name, usize)> = Vec::new();
        if is_of_swath {
            for (index, name) in header.iter().enumerate() {
                if let Some(name) = name.strip_prefix("metric.")
                    && !objectives.iter().any(|(objective, _)| **objective == *name)
                {
                    metrics.push((name.into(), index));
                }
            }
        }
        for (ours, theirs) in &selection.map {
            let is_read_already = params.iter().any(|(name, _)| name == ours)
                || objectives.iter().any(|(name, _)| **name == **ours);
            if let (Some(column), false) = (position(header, theirs), is_read_already) {
                metrics.push((ours.as_str().into(), column));
            }
        }
        // The columns of another tool's table may have these names with another meaning.
        let (state, exit) = if is_of_swath {
            (position(header, "state"), position(header, "exit"))
        } else {
            (None, None)
        };
        Ok(Self {
            id: position(header, "trial_id"),
            state,
            exit,
            params,
            objectives,
            metrics,
        })
    }

    /// Reads a row.
    fn trial(
        &self,
        row: usize,
        record: &csv::StringRecord,
        path: &str,
    ) -> Result<Foreign, ImportError> {
        let line = row + 2;
        let mut values = Vec::new();
        let mut has_all_objectives = true;
        for (name, column) in &self.objectives {
            let text = cell(record, *column);
            let value = if text.is_empty() {
                Some(f64::NAN)
            } else {
                number(text)
            };
            let Some(value) = value else {
                let message = format!(
                    "row {line} of `{path}`: the value `{text}` of `{name}` is not a number"
                );
                return Err(ImportError::unfit(
                    message,
                    "leave the cell empty if the trial has no value",
                ));
            };
            has_all_objectives &= value.is_finite();
            if !text.is_empty() {
                values.push((name.clone(), Datum::Number(Metric(value))));
            }
        }
        // Without a state, a row is a complete trial if all its objectives are finite.
        let end = match self.state.map(|state| cell(record, state)) {
            None if has_all_objectives => Some(End::Complete),
            None => Some(End::Failed("it has no finite objective".to_owned())),
            Some("complete") => Some(End::Complete),
            Some("stopped") => Some(End::Stopped),
            Some("failed") => {
                let reason = self
                    .exit
                    .map(|exit| cell(record, exit))
                    .filter(|exit| !exit.is_empty())
                    .unwrap_or("it failed");
                Some(End::Failed(reason.to_owned()))
            }
            Some(_) => None,
        };
        for (name, column) in &self.metrics {
            let text = cell(record, *column);
            match number(text) {
                Some(value) => values.push((name.clone(), Datum::Number(Metric(value)))),
                None if text.is_empty() => {}
                None => values.push((name.clone(), Datum::Text(text.to_owned()))),
            }
        }
        let params: BTreeMap<usize, &str> = self
            .params
            .iter()
            .map(|(name, column)| (*column, name.as_str()))
            .collect();
        let params = params
            .into_iter()
            .map(|(column, name)| (name, cell(record, column)))
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), value(text)))
            .collect();
        let id = self
            .id
            .map_or_else(|| (row + 1).to_string(), |id| cell(record, id).to_owned());
        Ok(Foreign {
            id,
            params,
            curve: Vec::new(),
            values,
            end,
            when: None,
        })
    }
}

/// Returns a cell of a row.
fn cell(record: &csv::StringRecord, column: usize) -> &str {
    record.get(column).unwrap_or_default()
}

/// Parses a number, also one that is not finite.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().or_else(|| special(text.trim()))
}

/// Parses a cell by its appearance; the space converts the value to the parameter's type.
fn value(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::List(_))) => value,
        _ => match text {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => Value::Text(text.into()),
        },
    }
}
