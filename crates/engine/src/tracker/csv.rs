//! `trials.csv`: the study as a table with one row per trial.
//!
//! pandas, qsv, DuckDB and spreadsheets read it without options. It has one header line, a fixed
//! column order, empty cells for absent values, LF line ends and quotes only where needed. Floats
//! have the shortest form that reads back as the same number (`1e-5`, `1.0`, `nan`). Texts are
//! written unchanged, even those that a spreadsheet takes for a formula: the table holds exactly
//! the values that the trial received. Only [`Cells::Safe`] changes such texts.

use super::home::failed;
use super::{Tracker, TrackerError};
use ::csv::{ByteRecord, Writer};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use swath_model::space::{Name, Value};
use swath_model::study::field::{Cell, Field, Place};
use swath_model::study::{Datum, Entry, Goal, Metric, Objective, Study, TRIAL_FIELDS, Trial};

/// Reported keys that get no `metric.` column: a model has the column `model_path`, and both are
/// recorded as files.
const PATHS: [&str; 2] = ["model_path", "artifact"];

/// Writes the table of all trials that are not in the trash.
///
/// # Errors
/// Returns an error if `out` cannot be written.
pub fn write(study: &Study, out: impl Write) -> io::Result<()> {
    write_some(
        study,
        study.trials().iter().filter(|trial| !trial.removed),
        Cells::Exact,
        out,
    )
}

/// Form of the cells of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cells {
    /// Exactly the recorded values.
    #[default]
    Exact,
    /// Texts that a spreadsheet would take for a formula begin with an apostrophe.
    Safe,
}

impl Cells {
    /// Returns the content of a cell with this text. A number stays a number.
    #[must_use]
    pub fn of(self, text: &str) -> Cow<'_, str> {
        let begins_formula =
            text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
        if self == Self::Safe && begins_formula && text.parse::<f64>().is_err() {
            format!("'{text}").into()
        } else {
            text.into()
        }
    }
}

/// Writes the table of `trials`. The columns are those of the whole study, so that tables of
/// different selections can be combined.
///
/// # Errors
/// Returns an error if `out` cannot be written.
pub fn write_some<'a>(
    study: &Study,
    trials: impl IntoIterator<Item = &'a Trial>,
    cells: Cells,
    out: impl Write,
) -> io::Result<()> {
    let columns = columns(study);
    let mut writer = Writer::from_writer(out);
    let mut row = Row::new(cells);
    for column in &columns {
        row.push(Some(Cell::Text(column.name().into())));
    }
    writer.write_byte_record(&row.record)?;
    row.record.clear();
    for trial in trials {
        for column in &columns {
            row.push(column.cell(study, trial));
        }
        writer.write_byte_record(&row.record)?;
        row.record.clear();
    }
    writer.flush()
}

/// Replaces the table at `path` atomically. A reader sees the old table or the new one, and so does
/// a restart after a power failure.
///
/// # Errors
/// Returns an error if the folder of `path` cannot be written or synced.
pub fn save(study: &Study, path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = draft(folder)?;
    write(study, BufWriter::with_capacity(1 << 16, file.as_file_mut()))?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    // Without syncing the folder, the rename could be lost in a power failure.
    File::open(folder)?.sync_data()
}

/// Creates a temporary file in `folder` that is to replace another file there. Its permissions are
/// 0666 minus the umask, not the private ones of a usual temporary file.
pub fn draft(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".draft-")
        .suffix(".tmp")
        .permissions(mode)
        .tempfile_in(folder)
}

/// A column of the table.
#[derive(Debug)]
pub enum Column {
    /// A fact that every trial has.
    Field(&'static Field),
    /// The value of an objective.
    Objective(Objective),
    /// A parameter, with its usual position among the parameters of a trial.
    Param(usize, Name),
    /// The last value of a reported key.
    Metric(Name),
    /// The best reported value of an objective's metric.
    Best(Objective),
    /// The value of a reported key in the report that counts.
    AtBest(Name),
}

/// Maximum number of reported keys that have columns in a table of trials. The journal has all of
/// them.
pub const MOST_METRICS: usize = 1000;

/// Returns the reported keys that have columns: the objectives, and those that most trials reported.
/// At most [`MOST_METRICS`], in the order of their names.
fn with_columns(study: &Study, metrics: BTreeSet<Name>) -> BTreeSet<Name> {
    if metrics.len() <= MOST_METRICS {
        return metrics;
    }
    let mut counts: HashMap<&Name, usize> = HashMap::new();
    for trial in study.trials() {
        for name in trial.metrics.keys().chain(trial.texts.keys()) {
            *counts.entry(name).or_default() += 1;
        }
    }
    let objectives = &study.header().objectives;
    let mut ranked: Vec<_> = metrics
        .iter()
        .map(|name| {
            let is_objective = objectives.iter().any(|objective| objective.metric == *name);
            let count = counts.get(name).copied().unwrap_or(0);
            (Reverse((is_objective, count)), name)
        })
        .collect();
    ranked.sort_unstable();
    let kept = ranked.into_iter().take(MOST_METRICS);
    kept.map(|(_, name)| name.clone()).collect()
}

/// Returns the warning that a trial reported more keys than a table has columns for; `None` if it
/// did not.
pub(crate) fn too_many_metrics_warning(trial: &Trial) -> Option<String> {
    let count = trial.metrics.len() + trial.texts.len();
    (count > MOST_METRICS).then(|| {
        format!(
            "it reported {count} different keys, and tables have columns for {MOST_METRICS} of them; \
             give a key one name and tell its values apart by `step`, or record them as metrics"
        )
    })
}

/// Returns the columns of a study's table. Parameters come in the order of the header, then others
/// in the order of their appearance; metrics are sorted by name.
pub fn columns(study: &Study) -> Vec<Column> {
    let header = study.header();
    let objectives = header.objectives.iter().cloned();
    let mut params = header.params.clone();
    let mut listed: HashSet<Name> = params.iter().cloned().collect();
    let mut metrics: BTreeSet<Name> = objectives.clone().map(|it| it.metric).collect();
    for trial in study.trials() {
        for (name, _) in &trial.params {
            if listed.insert(name.clone()) {
                params.push(name.clone());
            }
        }
        let reported = trial.metrics.keys().chain(trial.texts.keys());
        for name in reported.filter(|name| !PATHS.contains(&&***name)) {
            if !metrics.contains(name) {
                metrics.insert(name.clone());
            }
        }
    }
    let metrics = with_columns(study, metrics);
    let params = params.into_iter().enumerate();
    fields(Place::First)
        .chain(objectives.clone().map(Column::Objective))
        .chain(params.map(|(index, name)| Column::Param(index, name)))
        .chain(metrics.iter().cloned().map(Column::Metric))
        .chain(objectives.map(Column::Best))
        .chain(fields(Place::Middle))
        .chain(metrics.iter().cloned().map(Column::AtBest))
        .chain(fields(Place::Last))
        .collect()
}

fn fields(place: Place) -> impl Iterator<Item = Column> {
    let fields = TRIAL_FIELDS
        .iter()
        .filter(move |field| field.place == place);
    fields.map(Column::Field)
}

/// The columns that are named by the sweep file and the reports, for the documentation: name, type
/// and meaning.
const NAMED: [(Place, &str, &str, &str); 5] = [
    (
        Place::First,
        "one for each objective, by its name",
        "double",
        "its value by the `take` rule; empty unless finite. Named `objective.x` if `x` is one of \
         the other columns",
    ),
    (
        Place::First,
        "`param.<name>`",
        "integer, double, boolean or string",
        "the narrowest type that holds all trials; a list is JSON text; empty where the parameter \
         does not exist",
    ),
    (
        Place::First,
        "`metric.<name>`",
        "double; string if a trial reported anything but numbers",
        "the [last value](#last-value)",
    ),
    (
        Place::First,
        "`best.<objective>`",
        "double",
        "the best finite value reported",
    ),
    (
        Place::Middle,
        "`at_best.<name>`",
        "as `metric.<name>`",
        "the value of each reported key in the report that counts \
         ([example](#last-value-and-report-that-counts))",
    ),
];

/// Describes the columns of the table in Markdown.
pub fn describe() -> String {
    let mut table = "| column | type in Parquet | meaning |\n|---|---|---|\n".to_owned();
    for place in [Place::First, Place::Middle, Place::Last] {
        for field in TRIAL_FIELDS.iter().filter(|field| field.place == place) {
            let (name, kind) = (field.name, field.getter.type_name());
            let _ = writeln!(table, "| `{name}` | {kind} | {} |", field.about);
        }
        for (_, name, kind, about) in NAMED.iter().filter(|(before, ..)| *before == place) {
            let _ = writeln!(table, "| {name} | {kind} | {about} |");
        }
    }
    table
}

impl Column {
    /// Returns the name in the header. An objective with the name of a field gets the prefix
    /// `objective.`.
    pub fn name(&self) -> String {
        match self {
            Self::Field(field) => field.name.to_owned(),
            Self::Objective(Objective { metric, .. }) => {
                let is_taken = TRIAL_FIELDS.iter().any(|field| *field.name == **metric);
                let prefix = if is_taken { "objective." } else { "" };
                format!("{prefix}{metric}")
            }
            Self::Param(_, name) => format!("param.{name}"),
            Self::Metric(name) => format!("metric.{name}"),
            Self::Best(objective) => format!("best.{}", objective.metric),
            Self::AtBest(name) => format!("at_best.{name}"),
        }
    }

    /// Returns the cell of a trial; `None` if the value is absent.
    pub fn cell<'a>(&self, study: &'a Study, trial: &'a Trial) -> Option<Cell<'a>> {
        match self {
            Self::Field(field) => field.value(study, trial),
            Self::Objective(objective) => trial.objective(objective).map(Cell::Number),
            Self::Param(index, name) => param(trial, *index, name).map(Cell::Param),
            Self::Metric(name) => match trial.metrics.get(name) {
                Some(tally) => Some(Cell::Number(tally.last.0)),
                None => trial.texts.get(name).map(|text| Cell::Text(text.into())),
            },
            Self::Best(objective) => {
                let tally = trial.metrics.get(&objective.metric)?;
                let best = match objective.goal {
                    Goal::Min => tally.min,
                    Goal::Max => tally.max,
                };
                best.map(Cell::Number)
            }
            Self::AtBest(name) => Some(match trial.at_best(name)? {
                Datum::Number(number) => Cell::Number(number.0),
                // Flags stand beside texts in the column of one key, so they are words here.
                Datum::Flag(flag) => Cell::Text(if *flag { "true" } else { "false" }.into()),
                Datum::Text(text) => Cell::Text(text.into()),
            }),
        }
    }
}

/// Returns the parameter `name` of a trial. Looks at position `index` first, where it is if no
/// earlier parameter is absent, which is usual and saves a search.
fn param<'a>(trial: &'a Trial, index: usize, name: &Name) -> Option<&'a Value> {
    match trial.params.iter().nth(index) {
        Some((other, value)) if other == name => Some(value),
        _ => trial.params.get(name),
    }
}

/// One row under construction. Its memory is reused for the next row.
struct Row {
    cells: Cells,
    record: ByteRecord,
    scratch: Vec<u8>,
}

impl Row {
    fn new(cells: Cells) -> Self {
        Self {
            cells,
            record: ByteRecord::new(),
            scratch: Vec::new(),
        }
    }

    /// Appends a cell.
    fn push(&mut self, cell: Option<Cell<'_>>) {
        match cell {
            None => self.record.push_field(b""),
            Some(Cell::Text(text)) => self.push_text(&text),
            Some(Cell::Count(number) | Cell::Seed(number)) => {
                self.push_formatted(format_args!("{number}"));
            }
            Some(Cell::Step(step)) if step.fract() == 0.0 && step.abs() < 1e15 => {
                self.push_formatted(format_args!("{}", step as i64));
            }
            Some(Cell::Number(number) | Cell::Step(number)) => self.push_number(number),
            Some(Cell::Time(time)) => self.push_formatted(format_args!("{time}")),
            Some(Cell::Flag(flag)) => self.push_formatted(format_args!("{flag}")),
            Some(Cell::Param(Value::Float(number))) => self.push_number(*number),
            Some(Cell::Param(Value::Text(text))) => self.push_text(text),
            Some(Cell::Param(value)) => self.push_formatted(format_args!("{value}")),
        }
    }

    /// Appends a text.
    fn push_text(&mut self, text: &str) {
        self.record.push_field(self.cells.of(text).as_bytes());
    }

    /// Appends a float in its shortest form.
    fn push_number(&mut self, number: f64) {
        self.push_formatted(format_args!("{}", Metric(number)));
    }

    /// Appends a formatted value.
    fn push_formatted(&mut self, value: std::fmt::Arguments<'_>) {
        self.scratch.clear();
        let _ = self.scratch.write_fmt(value);
        self.record.push_field(&self.scratch);
    }
}

/// The tracker that maintains `trials.csv`. Every study has one.
#[derive(Debug)]
pub struct Csv {
    path: PathBuf,
    /// Whether entries have been recorded since the table was written. Initially true, so that a
    /// new run always writes the table.
    is_outdated: bool,
}

impl Csv {
    /// Returns a tracker that maintains the table at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            is_outdated: true,
        }
    }
}

impl Tracker for Csv {
    fn record(&mut self, _study: &Study, _entry: &Entry) -> Result<(), TrackerError> {
        self.is_outdated = true;
        Ok(())
    }

    fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
        if !self.is_outdated {
            return Ok(());
        }
        save(study, &self.path).map_err(failed(&self.path))?;
        self.is_outdated = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
