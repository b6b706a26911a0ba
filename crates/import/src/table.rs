//! Reads a table of trials: a `trials.csv` of swath, or any CSV with one row per trial.

use super::{Contents, End, Foreign, ImportError, Wanted, theirs};
use crate::logger::wire::special;
use crate::space::{Name, Value};
use crate::study::{Datum, Metric};
use crate::sweep::Sweep;
use std::collections::BTreeMap;

/// Columns by which a table of swath is recognised. In other tables, these names mean nothing.
const OURS: [&str; 3] = ["pipeline", "trial_id", "state"];

/// Reads a table.
pub(super) fn read(
    text: &str,
    path: &str,
    sweep: &Sweep,
    wanted: &Wanted,
) -> Result<Contents, ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(false)
        .from_reader(text.as_bytes());
    let bad = |error: &csv::Error| {
        ImportError::unfit(
            format!("`{path}` is not a table: {error}"),
            "a CSV file has a header and as many fields in every row",
        )
    };
    let header: Vec<String> = reader
        .headers()
        .map_err(|error| bad(&error))?
        .iter()
        .map(str::to_owned)
        .collect();
    let columns = Columns::find(&header, path, sweep, wanted)?;
    let mut trials = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record = record.map_err(|error| bad(&error))?;
        trials.push(columns.trial(at, &record, path)?);
    }
    let name = record_name(&header, text, path);
    Ok(Contents { from: name, trials })
}

/// Returns the description of a table: tables of swath are marked as such.
fn record_name(header: &[String], text: &str, path: &str) -> String {
    if OURS
        .iter()
        .all(|name| header.iter().any(|found| found == name))
        && text.lines().nth(1).is_some()
    {
        return format!("swath table {path}");
    }
    path.to_owned()
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
        wanted: &Wanted,
    ) -> Result<Self, ImportError> {
        let at = |name: &str| header.iter().position(|found| found == name);
        let ours = OURS.iter().all(|name| at(name).is_some());
        let listed = || {
            header
                .iter()
                .take(40)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (_, theirs) in &wanted.map {
            if at(theirs).is_none() {
                let what = format!("`{path}` has no column `{theirs}`");
                return Err(ImportError::unfit(what, format!("it has {}", listed())));
            }
        }
        let find = |ours: &str| {
            let theirs = theirs(&wanted.map, ours);
            at(theirs)
                .filter(|_| theirs != ours)
                .or_else(|| at(&format!("param.{ours}")))
                .or_else(|| at(ours))
        };
        let mut params: Vec<(String, usize)> = sweep
            .space
            .names()
            .iter()
            .filter_map(|name| Some((name.to_string(), find(name)?)))
            .collect();
        if ours {
            // Includes parameters that the sweep does not have, so that they are reported as
            // ignored.
            for (at, name) in header.iter().enumerate() {
                if let Some(name) = name.strip_prefix("param.")
                    && !params.iter().any(|(_, column)| *column == at)
                {
                    params.push((name.to_owned(), at));
                }
            }
        }
        let mut objectives = Vec::new();
        for objective in &sweep.objectives {
            let theirs = theirs(&wanted.map, &objective.metric);
            let prefixed = || at(&format!("objective.{}", objective.metric));
            let Some(column) = (if ours { prefixed() } else { None }).or_else(|| at(theirs)) else {
                let what = format!(
                    "`{path}` has no column for the objective `{}`",
                    objective.metric
                );
                let hint = format!(
                    "name it: --map {}=COLUMN; it has {}",
                    objective.metric,
                    listed()
                );
                return Err(ImportError::unfit(what, hint));
            };
            objectives.push((objective.metric.clone(), column));
        }
        if params.is_empty() {
            let what = format!("`{path}` has no column for any parameter");
            return Err(ImportError::unfit(
                what,
                format!("name them: --map lr=COLUMN; it has {}", listed()),
            ));
        }
        let metric = |(at, name): (usize, &String)| {
            let name = name.strip_prefix("metric.")?;
            let known = objectives.iter().any(|(objective, _)| **objective == *name);
            (!known).then(|| (Name::from(name), at))
        };
        let mut metrics: Vec<(Name, usize)> = if ours {
            header.iter().enumerate().filter_map(metric).collect()
        } else {
            Vec::new()
        };
        for (ours, theirs) in &wanted.map {
            let known = params.iter().any(|(name, _)| name == ours)
                || objectives.iter().any(|(name, _)| **name == **ours);
            if let (Some(column), false) = (at(theirs), known) {
                metrics.push((ours.as_str().into(), column));
            }
        }
        let state = if ours { at("state") } else { None };
        let exit = if ours { at("exit") } else { None };
        Ok(Self {
            id: at("trial_id"),
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
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let line = row + 2;
        let mut values = Vec::new();
        let mut finite = true;
        for (name, column) in &self.objectives {
            let text = cell(*column);
            let read = if text.is_empty() {
                Some(f64::NAN)
            } else {
                text.trim().parse().ok().or_else(|| special(text.trim()))
            };
            let Some(number) = read else {
                let what = format!("row {line} of `{path}`: `{text}` is no number for `{name}`");
                return Err(ImportError::unfit(
                    what,
                    "leave the cell empty if the trial has no value",
                ));
            };
            finite &= number.is_finite();
            if !text.is_empty() {
                values.push((name.clone(), Datum::Number(Metric(number))));
            }
        }
        // Without a state, a row is a complete trial if all its objectives are finite.
        let end = match self.state.map(cell) {
            None if finite => Some(End::Complete),
            None => Some(End::Failed("it has no finite objective".to_owned())),
            Some("complete") => Some(End::Complete),
            Some("stopped") => Some(End::Stopped),
            Some("failed") => {
                let why = self
                    .exit
                    .map(cell)
                    .filter(|exit| !exit.is_empty())
                    .unwrap_or("it failed");
                Some(End::Failed(why.to_owned()))
            }
            Some(_) => None,
        };
        for (name, column) in &self.metrics {
            let text = cell(*column);
            match text.trim().parse().ok().or_else(|| special(text.trim())) {
                Some(number) => values.push((name.clone(), Datum::Number(Metric(number)))),
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
            .filter(|(column, _)| !cell(*column).is_empty())
            .map(|(column, name)| (name.to_owned(), value(cell(column))))
            .collect();
        let id = self
            .id
            .map_or_else(|| (row + 1).to_string(), |id| cell(id).to_owned());
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
