//! Import of trials that ran elsewhere: they are read from another tool's file, fitted to the
//! space, and appended to the journal as ended trials.

mod fit;
mod journal;
mod optuna;
mod sqlite;
mod table;

use fit::Fitter;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, FileType};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use swath_engine::driver::DriverError;
use swath_engine::driver::amend::Amendment;
use swath_engine::journal::StudyDir;
use swath_engine::provenance::Machine;
use swath_model::space::{Name, Params, Value};
use swath_model::study::{
    Attempt, Closing, Datum, Event, Exit, Header, LogRecord, Metric, Objective, Origin, Timestamp,
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

/// A file whose trials can be read several times, one after the other, so that they need not fit
/// into memory.
pub(crate) trait TrialSource {
    /// Returns a short description of the file, recorded as the origin of the trials.
    fn description(&self) -> &str;

    /// Calls `take` for each trial of the file.
    ///
    /// # Errors
    /// The error of `take`, or if the file does not fit.
    fn each(
        &mut self,
        take: &mut dyn FnMut(Foreign) -> Result<(), ImportError>,
    ) -> Result<(), ImportError>;
}

/// Imports the trials of a file into a study that no process runs.
///
/// # Errors
/// If the file cannot be read or does not match the sweep, or the study cannot be written. Nothing
/// is imported then, except if the study cannot be written in the middle of a large file.
pub fn import(
    dir: &StudyDir,
    sweep: &Sweep,
    path: &Path,
    selection: &FileSelection,
) -> Result<Imported, ImportError> {
    let mut source = open(path, sweep, selection)?;
    let names: BTreeSet<Name> = sweep.space.names().into_iter().collect();
    let mut ignored = BTreeSet::new();
    // The whole file is read before anything is written, because a later trial may not fit.
    source.each(&mut |foreign| {
        for (name, _) in foreign.params {
            if !names.contains(name.as_str()) {
                ignored.insert(name);
            }
        }
        Ok(())
    })?;
    let now = Timestamp::now();
    let amendment = Amendment::open(dir, &Machine::here().holder(now), now)?;
    let mut importer = Importer::new(amendment, sweep, source.description().to_owned());
    source.each(&mut |foreign| importer.take(&foreign))?;
    let imported = importer.close()?;
    Ok(Imported {
        ignored: ignored.into_iter().collect(),
        ..imported
    })
}

/// Opens a file of any known format.
fn open(
    path: &Path,
    sweep: &Sweep,
    selection: &FileSelection,
) -> Result<Box<dyn TrialSource>, ImportError> {
    let shown = path.display().to_string();
    let file_name = path
        .file_name()
        .map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let metadata = std::fs::metadata(path).map_err(|error| ImportError::read(path, error))?;
    // Opening a pipe would wait for its writer, and a device may be endless.
    if let Some(kind) = irregular(metadata.file_type()) {
        return Err(ImportError::unfit(
            format!("`{shown}` is {kind}, not a file"),
            "write its contents into a file, and import that",
        ));
    }
    if metadata.len() > LARGEST {
        return Err(ImportError::unfit(
            format!("`{shown}` is larger than 2 GiB"),
            "is this the right file?",
        ));
    }
    let mut file = File::open(path).map_err(|error| ImportError::read(path, error))?;
    let head = head(&mut file).map_err(|error| ImportError::read(path, error))?;
    // The formats are told apart by their first bytes.
    if head.starts_with(b"SQLite format 3\0") {
        let study = sqlite::read(path, selection)?;
        return optuna::OptunaTrials::boxed(study, &file_name, sweep, selection);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    if text.trim_ascii_start().starts_with(b"{") {
        let study = journal::read(BufReader::new(file), &shown, selection)?;
        return optuna::OptunaTrials::boxed(study, &file_name, sweep, selection);
    }
    Ok(Box::new(table::Table::open(
        file, &file_name, sweep, selection,
    )?))
}

/// Returns the kind of a file in words, if it is not a regular one.
fn irregular(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Returns the first bytes of a file, and goes back to its start.
fn head(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(4096).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// Returns the error for bytes that are not text.
pub(crate) fn not_text(path: &str) -> ImportError {
    ImportError::unfit(
        format!("`{path}` is not a text file in UTF-8"),
        "a `trials.csv`, a CSV, an Optuna SQLite file or an Optuna journal can be imported",
    )
}

/// Number of bytes of events after which they are written.
const CHUNK: usize = 16 << 20;

/// Writes trials into a study.
struct Importer<'a> {
    amendment: Amendment,
    sweep: &'a Sweep,
    fitter: Fitter<'a>,
    /// The hashes of the imported trials that the study has, by [`key`].
    keys: HashSet<u128>,
    imported: Imported,
    /// The study's trials outside the space, and those of this import that are marked so.
    outside: Vec<TrialId>,
    /// Number of [`Imported::outside`] that are not marked.
    unmarked: usize,
    header: Header,
    closed: Closing,
    next: TrialId,
}

impl<'a> Importer<'a> {
    fn new(amendment: Amendment, sweep: &'a Sweep, from: String) -> Self {
        let study = amendment.study();
        let keys = study
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
        let outside = study.trials().iter().filter(|trial| trial.outside);
        Self {
            outside: outside.map(|trial| trial.id).collect(),
            unmarked: 0,
            header: study.header().clone(),
            // An import does not change how the last run ended.
            closed: study.closed().cloned().unwrap_or(Closing::Interrupted),
            next: study.next_id(),
            fitter: Fitter::new(&sweep.space),
            imported: Imported {
                from,
                ..Imported::default()
            },
            amendment,
            sweep,
            keys,
        }
    }

    /// Imports a trial, unless it has not ended or the study has it already.
    fn take(&mut self, foreign: &Foreign) -> Result<(), ImportError> {
        let Some(end) = &foreign.end else {
            self.imported.unfinished += 1;
            return Ok(());
        };
        let (params, misfit) = self.fitter.fit(&foreign.params);
        let values = self
            .sweep
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
        if !self.keys.insert(key(&params, values, state)) {
            self.imported.duplicates += 1;
            return Ok(());
        }
        let trial = self.next;
        let from = &self.imported.from;
        for event in life(self.sweep, trial, params, foreign, end, from) {
            self.amendment.append(event)?;
        }
        self.imported.trials.push(trial);
        if let Some(reason) = misfit {
            self.imported.outside.push((trial, reason));
            self.unmarked += 1;
        }
        self.next = TrialId(trial.0.saturating_add(1));
        if self.amendment.pending_bytes() > CHUNK {
            self.mark_outside()?;
            self.amendment.flush()?;
        }
        Ok(())
    }

    /// Marks the trials outside the space by an `Edited` event, which lists all of them.
    fn mark_outside(&mut self) -> Result<(), ImportError> {
        let marked = self.imported.outside.len() - self.unmarked;
        if self.unmarked == 0 {
            return Ok(());
        }
        let unmarked = &self.imported.outside[marked..];
        self.outside
            .extend(unmarked.iter().map(|(trial, _)| *trial));
        self.unmarked = 0;
        self.amendment.append(Event::Edited {
            header: self.header.clone(),
            changes: vec![format!(
                "{} trials imported from {}",
                self.imported.trials.len(),
                self.imported.from
            )],
            fill: Params::default(),
            outside: self.outside.clone(),
        })?;
        Ok(())
    }

    fn close(mut self) -> Result<Imported, ImportError> {
        self.mark_outside()?;
        if !self.imported.trials.is_empty() {
            let why = self.closed;
            self.amendment.append(Event::Closed { why })?;
        }
        self.amendment.close()?;
        Ok(self.imported)
    }
}

/// Returns a key that is equal for two imports of the same trial. It is a hash, because the texts
/// of a million trials would take more memory than anything else.
fn key(params: &Params, values: impl Iterator<Item = Option<f64>>, state: &str) -> u128 {
    // The values of a trial that is not complete do not count, whatever it reported.
    let values: Vec<Option<f64>> = if state == "complete" {
        values.collect()
    } else {
        Vec::new()
    };
    let text = format!("{} {values:?} {state}", params.key());
    hash(0, &text) << 64 | hash(1, &text)
}

fn hash(salt: u8, text: &str) -> u128 {
    let mut hasher = DefaultHasher::new();
    (salt, text).hash(&mut hasher);
    u128::from(hasher.finish())
}

/// Returns the events of a trial's life, from its creation to its end.
fn life(
    sweep: &Sweep,
    trial: TrialId,
    params: Params,
    foreign: &Foreign,
    end: &End,
    from: &str,
) -> Vec<Event> {
    let attempt = Attempt(1);
    let mut events = Vec::new();
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
    events
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
