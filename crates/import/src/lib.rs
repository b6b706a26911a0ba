//! Import of trials that ran elsewhere: they are read from another tool's file, fitted to the
//! space, and appended to the journal as ended trials.

mod fit;
mod journal;
mod optuna;
mod sqlite;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use swath_engine::driver::{DriverError, amend};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::Machine;
use swath_model::space::{Name, Params, Value};
use swath_model::study::{
    Attempt, Closing, Datum, Event, Exit, LogRecord, Metric, Objective, Origin, Study, Timestamp,
    TrialId, Usage,
};
use swath_run::sweep::Sweep;

/// Maximum size of a file to import, in bytes.
const LARGEST: u64 = 2 << 30;

/// The selection within a file.
#[derive(Debug, Clone, Default)]
pub struct FileSelection {
    /// The name of the study, needed if the file has several.
    pub study: Option<String>,
    /// Pairs of a name in the sweep and the corresponding name in the file.
    pub map: Vec<(String, String)>,
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// A description of the source.
    pub from: String,
    /// The trials that were created.
    pub trials: Vec<TrialId>,
    /// The created trials that are outside the space, each with the reason.
    pub outside: Vec<(TrialId, String)>,
    /// The number of trials that the study had already.
    pub duplicates: usize,
    /// The number of trials in the file that had not ended; they are not imported.
    pub unfinished: usize,
    /// Parameters of the file that the sweep does not have.
    pub ignored: Vec<String>,
}

/// An error that prevents an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    #[error("`{path}` could not be read")]
    Read {
        /// The path of the file.
        path: String,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The file has no known format, or does not match the sweep.
    #[error("{message}")]
    Unfit {
        /// The problem and its place.
        message: String,
        /// A hint for the user.
        hint: String,
    },
    /// The study could not be opened or written.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl ImportError {
    pub(crate) fn unfit(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unfit {
            message: message.into(),
            hint: hint.into(),
        }
    }

    fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.display().to_string(),
            source,
        }
    }
}

/// A trial as read from another tool's file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Foreign {
    /// The id of the trial in the file.
    id: String,
    params: Vec<(String, Value)>,
    /// The reports of the first objective: pairs of step and value.
    curve: Vec<(f64, f64)>,
    /// The final values, by the names of the sweep.
    values: Vec<(Name, Datum)>,
    end: Option<End>,
    /// The time at which the trial ran, as text from the file.
    when: Option<String>,
}

impl Foreign {
    /// Returns the final value of a metric if it is a finite number.
    fn number(&self, name: &str) -> Option<f64> {
        match self.values.iter().find(|(metric, _)| **metric == *name) {
            Some((_, Datum::Number(number))) if number.0.is_finite() => Some(number.0),
            _ => None,
        }
    }
}

/// The end of a foreign trial; a trial that has not ended has none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Complete,
    Stopped,
    Failed(String),
}

/// The contents of a file.
pub(crate) struct Contents {
    /// A short description of the file, recorded as the origin of the trials.
    from: String,
    trials: Vec<Foreign>,
}

/// Imports the trials of a file into a study that no process runs.
///
/// # Errors
/// If the file cannot be read or does not match the sweep, or the study cannot be written. Nothing
/// is imported then.
pub fn import(
    dir: &StudyDir,
    sweep: &Sweep,
    path: &Path,
    selection: &FileSelection,
) -> Result<Imported, ImportError> {
    let contents = read(path, sweep, selection)?;
    let now = Timestamp::now();
    let mut imported = Imported {
        from: contents.from.clone(),
        ..Imported::default()
    };
    amend::amend(dir, &Machine::here().holder(now), now, |study| {
        let events;
        (events, imported) = self::events(sweep, study, &contents);
        events
    })?;
    Ok(imported)
}

/// Reads a file of any known format.
fn read(path: &Path, sweep: &Sweep, selection: &FileSelection) -> Result<Contents, ImportError> {
    let shown = path.display().to_string();
    let file_name = path
        .file_name()
        .map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let (head, length) = head(path).map_err(|error| ImportError::read(path, error))?;
    if length > LARGEST {
        return Err(ImportError::unfit(
            format!("`{shown}` is larger than 2 GiB"),
            "is this the right file?",
        ));
    }
    // The formats are imported apart by their first bytes.
    if head.starts_with(b"SQLite format 3\0") {
        let study = sqlite::read(path, selection)?;
        return optuna::contents(study, &file_name, sweep, selection);
    }
    let text = std::fs::read(path).map_err(|error| ImportError::read(path, error))?;
    let text = String::from_utf8(text).map_err(|_| {
        ImportError::unfit(
            format!("`{shown}` is not a text file in UTF-8"),
            "a `trials.csv`, a CSV, an Optuna SQLite file or an Optuna journal can be imported",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim_start().starts_with('{') {
        let study = journal::read(text, &shown, selection)?;
        return optuna::contents(study, &file_name, sweep, selection);
    }
    table::read(text, &file_name, sweep, selection)
}

/// Returns the first bytes of a file, and its length.
fn head(path: &Path) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = vec![0; 16];
    let count = file.read(&mut head)?;
    head.truncate(count);
    Ok((head, length))
}

/// Returns the events that create the trials, and the result of the import.
fn events(sweep: &Sweep, study: &Study, contents: &Contents) -> (Vec<Event>, Imported) {
    let mut imported = Imported {
        from: contents.from.clone(),
        ..Imported::default()
    };
    let mut events = Vec::new();
    let mut imported_keys: BTreeSet<String> = study
        .trials()
        .iter()
        .filter(|trial| matches!(trial.origin, Origin::Imported(_)))
        .map(|trial| {
            let values = sweep
                .objectives
                .iter()
                .map(|objective| trial.objective(objective));
            key(&trial.params, values, trial.state.word())
        })
        .collect();
    let names: BTreeSet<Name> = sweep.space.names().into_iter().collect();
    let ignored = contents
        .trials
        .iter()
        .flat_map(|trial| &trial.params)
        .map(|(name, _)| name);
    let ignored: BTreeSet<&String> = ignored
        .filter(|name| !names.contains(name.as_str()))
        .collect();
    imported.ignored = ignored.into_iter().cloned().collect();
    let mut next = study.next_id();
    for foreign in &contents.trials {
        let Some(end) = &foreign.end else {
            imported.unfinished += 1;
            continue;
        };
        let (params, misfit) = fit::fit(&sweep.space, &foreign.params);
        let values = sweep
            .objectives
            .iter()
            .map(|objective| foreign.number(&objective.metric));
        let state = match end {
            // In swath, a trial is complete only with a finite value of each objective.
            End::Complete if values.clone().any(|value| value.is_none()) => "failed",
            End::Complete => "complete",
            End::Stopped => "stopped",
            End::Failed(_) => "failed",
        };
        // A repeated import of the same file adds only the trials that are new in it.
        if !imported_keys.insert(key(&params, values, state)) {
            imported.duplicates += 1;
            continue;
        }
        life(
            sweep,
            next,
            params,
            foreign,
            end,
            &contents.from,
            &mut events,
        );
        imported.trials.push(next);
        imported.outside.extend(misfit.map(|reason| (next, reason)));
        next = TrialId(next.0.saturating_add(1));
    }
    // Trials outside the space are marked by an `Edited` event, which lists all of them.
    if !imported.outside.is_empty() {
        let before = study
            .trials()
            .iter()
            .filter(|trial| trial.outside)
            .map(|trial| trial.id);
        let outside = before
            .chain(imported.outside.iter().map(|(trial, _)| *trial))
            .collect();
        let changes = vec![format!(
            "{} trials imported from {}",
            imported.trials.len(),
            imported.from
        )];
        events.push(Event::Edited {
            header: study.header().clone(),
            changes,
            fill: Params::default(),
            outside,
        });
    }
    // An import does not change how the last run ended.
    if !events.is_empty() {
        events.push(Event::Closed {
            why: study.closed().cloned().unwrap_or(Closing::Interrupted),
        });
    }
    (events, imported)
}

/// Returns a key that is equal for two imports of the same trial.
fn key(params: &Params, values: impl Iterator<Item = Option<f64>>, state: &str) -> String {
    // The values of a trial that is not complete do not count, whatever it reported.
    let values: Vec<Option<f64>> = if state == "complete" {
        values.collect()
    } else {
        Vec::new()
    };
    format!("{} {values:?} {state}", params.key())
}

/// Appends the events of a trial's life, from its creation to its end.
fn life(
    sweep: &Sweep,
    trial: TrialId,
    params: Params,
    foreign: &Foreign,
    end: &End,
    from: &str,
    events: &mut Vec<Event>,
) {
    let attempt = Attempt(1);
    events.push(Event::Created {
        trial,
        params,
        origin: Origin::Imported(from.to_owned()),
        seed: 0,
    });
    events.push(Event::Started {
        trial,
        attempt,
        until: None,
        slot: 0,
        resume: false,
    });
    let when = foreign
        .when
        .as_deref()
        .map_or_else(String::new, |when| format!(", {when}"));
    let mut records = vec![LogRecord::Note {
        text: format!("trial {} of {from}{when}", foreign.id),
    }];
    if let Some(objective) = sweep.objectives.first() {
        for (step, value) in curve(foreign, objective, end) {
            let resource = sweep.resource.iter();
            let resource = resource.map(|resource| (resource.clone(), number(step)));
            let values = resource.chain([(objective.metric.clone(), number(value))]);
            records.push(LogRecord::Report {
                values: values.collect(),
            });
        }
    }
    if !foreign.values.is_empty() {
        records.push(LogRecord::Report {
            values: foreign.values.clone(),
        });
    }
    events.extend(records.into_iter().map(|record| Event::Logged {
        trial,
        attempt,
        record,
        line_end: None,
    }));
    let exit = match end {
        End::Complete => Exit::Done,
        End::Stopped => Exit::Stopped,
        End::Failed(reason) => Exit::Failed(swath_model::study::Failure::Told(reason.clone())),
    };
    events.push(Event::Ended {
        trial,
        attempt,
        exit,
        usage: Usage::default(),
    });
}

/// Returns the intermediate reports of a trial. Returns none if one of them would count as its
/// result instead of the final value.
fn curve<'a>(
    foreign: &'a Foreign,
    objective: &Objective,
    end: &End,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    let result = foreign
        .number(&objective.metric)
        .and_then(|value| score(objective, value));
    // Without a finite final value the trial is not complete: its reports must not make it so.
    let misleads = *end == End::Complete
        && objective.take == swath_model::study::Take::Best
        && foreign.curve.iter().any(|(_, value)| {
            score(objective, *value).is_some_and(|score| result.is_none_or(|result| score < result))
        });
    foreign.curve.iter().copied().filter(move |_| !misleads)
}

/// Returns the oriented value of an objective; `None` if it is not finite.
fn score(objective: &Objective, value: f64) -> Option<f64> {
    objective.score(value).map(swath_model::study::Score::get)
}

fn number(value: f64) -> Datum {
    Datum::Number(Metric(value))
}

/// Returns the name in the file for a name of the sweep.
fn theirs<'a>(map: &'a [(String, String)], ours: &'a str) -> &'a str {
    map.iter()
        .find(|(name, _)| name == ours)
        .map_or(ours, |(_, theirs)| theirs)
}

/// Returns the name in the sweep for a name of the file.
fn renamed(map: &[(String, String)], name: String) -> String {
    let by_file: BTreeMap<&str, &str> = map
        .iter()
        .map(|(ours, theirs)| (theirs.as_str(), ours.as_str()))
        .collect();
    by_file
        .get(name.as_str())
        .map_or(name, |ours| (*ours).to_owned())
}
