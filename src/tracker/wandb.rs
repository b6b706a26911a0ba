//! Weights & Biases: one offline run folder a trial, which `wandb sync` uploads whole; runs are grouped by study.
//!
//! The records are those of `wandb_internal.proto`. A run's id derives from the study and the trial, so that a run that was uploaded twice
//! is one run.

use super::block_log::{self, MAGIC};
use super::home::{Home, failed};
use super::metric_rows::{self, MetricRow, each_row};
use super::proto::Message;
use super::room::when_there_is_room;
use super::trial_file::TrialFile;
use super::{Tracker, TrackerError};
use crate::source::{Diagnostics, Section};
use crate::study::{
    Datum, Due, Entry, Event, Exit, Failure, Kind, LogRecord, Metric, Origin, Setting, Study, Timestamp,
    Trial, TrialId, TrialState, Verdict,
};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "wandb",
    about: "offline run folders for `wandb sync`; options: `project` (else the pipeline), `entity`, `group` (else the study), `tags`, `dir`",
    build,
};

/// What a run says of itself.
#[derive(Debug, Clone, Default)]
struct Labels {
    project: Option<String>,
    entity: Option<String>,
    group: Option<String>,
    tags: Vec<String>,
}

fn build(mut section: Section, setting: &Setting, said: &mut Diagnostics) -> Option<Box<dyn Tracker>> {
    let before = said.list.len();
    let mut text = |key, said: &mut Diagnostics| section.take_text(key, said).map(|(text, _)| text);
    let (project, entity, group) = (text("project", said), text("entity", said), text("group", said));
    let tags = section.take_texts("tags", said).map(|(tags, _)| tags).unwrap_or_default();
    let home = Home::take("wandb", &mut section, setting, said);
    section.finish(said);
    let labels = Labels { project, entity, group, tags };
    (said.list.len() == before).then(|| {
        let tracker = Wandb { home, labels, began: None, runs: BTreeMap::new() };
        Box::new(tracker) as Box<dyn Tracker>
    })
}

struct Wandb {
    home: Home,
    labels: Labels,
    began: Option<Timestamp>,
    runs: BTreeMap<TrialId, Run>,
}

/// The file of a trial.
struct Run {
    id: String,
    path: PathBuf,
    file: TrialFile,
    began: Option<Timestamp>,
    /// Records and rows of history in the body.
    body: Counts,
    /// The same with the tail.
    all: Counts,
    scratch: Message,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    records: i64,
    rows: i64,
}

impl Tracker for Wandb {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let began = *self.began.get_or_insert(entry.at);
        match &entry.event {
            Event::Created { trial, origin, .. } => {
                let id = run_id(study, began, *trial);
                let folder = format!("offline-run-{}-{id}", compact(entry.at));
                let path = self.home.root(study)?.join(folder).join(format!("run-{id}.wandb"));
                self.runs.insert(*trial, Run::new(id, path));
                if let Origin::Cloned { instead: Some(other), .. } = origin {
                    self.stopped(study, *other, entry.at)?;
                }
            }
            Event::Started { trial, resume, .. } => {
                let (Some(run), Some(about)) = (self.runs.get_mut(trial), study.trial(*trial)) else {
                    return Ok(());
                };
                run.start(study, about, &self.labels, *resume, entry.at)?;
            }
            Event::Logged { trial, record: LogRecord::Report { values }, .. } => {
                let Some(run) = self.runs.get_mut(trial) else { return Ok(()) };
                let items = values.iter().map(|(name, datum)| (name.to_string(), shown(datum)));
                run.history(items, entry.at)?;
            }
            Event::Ended { trial, exit, .. } => {
                let folder = self.home.trial(*trial)?;
                let (Some(run), Some(about)) = (self.runs.get_mut(trial), study.trial(*trial)) else {
                    return Ok(());
                };
                run.end(about, exit, (&folder, &self.home.due), entry.at)?;
            }
            Event::Judged { trial, verdict: Verdict::Stop, .. } => self.stopped(study, *trial, entry.at)?,
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
        for trial in study.running() {
            if let Some(run) = self.runs.get_mut(&trial) {
                run.file.flush()?;
            }
        }
        Ok(())
    }
}

impl Wandb {
    /// Says of a paused trial that it was stopped in its absence.
    fn stopped(&mut self, study: &Study, id: TrialId, at: Timestamp) -> Result<(), TrackerError> {
        let folder = self.home.trial(id)?;
        match (self.runs.get_mut(&id), study.trial(id)) {
            (Some(run), Some(trial)) if trial.state == TrialState::Stopped => {
                run.resume()?;
                run.end(trial, &Exit::Stopped, (&folder, &self.home.due), at)
            }
            _ => Ok(()),
        }
    }
}

impl Run {
    fn new(id: String, path: PathBuf) -> Self {
        let file = TrialFile::new(path.clone());
        let (body, all, scratch) = (Counts::default(), Counts::default(), Message::default());
        Self { id, path, file, began: None, body, all, scratch }
    }

    fn start(
        &mut self,
        study: &Study,
        trial: &Trial,
        labels: &Labels,
        resume: bool,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        if resume && self.began.is_some() {
            return self.resume();
        }
        *self = Self::new(std::mem::take(&mut self.id), std::mem::take(&mut self.path));
        self.began = Some(at);
        self.files()?;
        self.file.add(|out, _| out.extend_from_slice(MAGIC))?;
        self.put(|record| {
            record.message(21, |header| {
                header.message(1, |version| {
                    version.text(1, "0.31.0");
                    version.text(2, "0.40.0");
                });
            });
        })?;
        let id = self.id.clone();
        self.put(|record| record.message(17, |run| describe(run, &id, study, trial, labels, at)))?;
        self.body = self.all;
        Ok(())
    }

    /// Makes the folder in which `wandb sync` puts the configuration and the summary as files before it sends them.
    fn files(&self) -> Result<(), TrackerError> {
        let folder = self.path.with_file_name("files");
        when_there_is_room(|| std::fs::create_dir_all(&folder).map_err(failed(&folder)))
    }

    /// Takes away what the end of an attempt has added.
    fn resume(&mut self) -> Result<(), TrackerError> {
        self.all = self.body;
        self.file.drop_tail()
    }

    /// Adds a row of history to the body.
    fn history(
        &mut self,
        items: impl Iterator<Item = (String, String)>,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        self.row(items, seconds(at))?;
        self.body = self.all;
        Ok(())
    }

    fn row(&mut self, items: impl Iterator<Item = (String, String)>, at: f64) -> Result<(), TrackerError> {
        let step = self.all.rows;
        self.all.rows += 1;
        let clock = self.clock(step, at);
        self.put(|record| {
            record.message(2, |history| {
                for (key, value) in items.chain(clock) {
                    history.message(1, |item| self::item(item, &key, &value));
                }
                history.message(2, |number| number.int(1, step));
            });
        })
    }

    /// Returns what W&B puts into every row and into the summary.
    fn clock(&self, step: i64, at: f64) -> [(String, String); 3] {
        let runtime = at - self.began.map_or(at, seconds);
        [("_step", json!(step)), ("_timestamp", json!(at)), ("_runtime", json!(runtime.max(0.0)))]
            .map(|(key, value)| (key.to_owned(), value.to_string()))
    }

    fn end(
        &mut self,
        trial: &Trial,
        exit: &Exit,
        (folder, due): (&Path, &Due),
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        self.file.begin_tail();
        let mut last = BTreeMap::new();
        each_row(folder, due, |log, row| {
            let items: Vec<_> = metric_items(log, &row).collect();
            last.extend(items.iter().cloned());
            self.row(items.into_iter(), row.at.unwrap_or_else(|| seconds(at)))
        })?;
        let step = (self.all.rows - 1).max(0);
        let summary: Vec<_> = summary(trial, last).chain(self.clock(step, seconds(at))).collect();
        self.put(|record| {
            record.message(3, |message| {
                for (key, value) in &summary {
                    message.message(1, |item| self::item(item, key, value));
                }
            });
        })?;
        self.put(|record| {
            record.message(18, |message| {
                message.int(1, i64::from(exit_code(exit)));
                message.int(2, trial.seconds as i64);
            });
        })?;
        self.file.flush()?;
        self.file.rest();
        Ok(())
    }

    /// Writes the next record.
    fn put(&mut self, fill: impl FnOnce(&mut Message)) -> Result<(), TrackerError> {
        self.all.records += 1;
        self.scratch.clear();
        self.scratch.int(1, self.all.records);
        fill(&mut self.scratch);
        let record = self.scratch.bytes();
        self.file.add(|out, before| block_log::append(out, before, record))
    }
}

/// Writes what W&B shows as the run's overview and configuration.
fn describe(run: &mut Message, id: &str, study: &Study, trial: &Trial, labels: &Labels, at: Timestamp) {
    let header = study.header();
    run.text(1, id);
    if let Some(entity) = &labels.entity {
        run.text(2, entity);
    }
    run.text(3, labels.project.as_ref().unwrap_or(&header.pipeline));
    let about = json!({
        "study": header.name, "trial": trial.id, "seed": trial.seed, "origin": trial.origin, "sweep_md5": header.sweep,
        "git_commit": header.git_commit,
    });
    run.message(4, |config| {
        for (name, value) in &trial.params {
            let json = serde_json::to_string(value).unwrap_or_default();
            config.message(1, |item| self::item(item, name, &json));
        }
        if trial.params.get("swath").is_none() {
            config.message(1, |item| self::item(item, "swath", &about.to_string()));
        }
    });
    run.text(6, labels.group.as_ref().unwrap_or(&header.name));
    run.text(7, &header.stage);
    run.text(8, &format!("{}-{}", header.name, trial.id));
    for tag in &labels.tags {
        run.text(10, tag);
    }
    run.message(17, |time| {
        time.int(1, at.as_micros().div_euclid(1_000_000));
        time.int(2, at.as_micros().rem_euclid(1_000_000) * 1000);
    });
    if let Some(commit) = &header.git_commit {
        run.message(21, |git| git.text(2, commit.trim_end_matches("-dirty")));
    }
}

/// Returns the last value of everything, the best of what is reported, outputs, data sets and models.
fn summary(trial: &Trial, mut last: BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    for record in &trial.records {
        match record {
            LogRecord::Output { name, value } => {
                last.insert(name.to_string(), serde_json::to_string(value).unwrap_or_default());
            }
            LogRecord::Param { name, value } => {
                last.insert(format!("param/{name}"), serde_json::to_string(value).unwrap_or_default());
            }
            _ => {}
        }
    }
    for (name, text) in &trial.texts {
        last.insert(name.to_string(), json!(text).to_string());
    }
    for (name, tally) in &trial.metrics {
        last.insert(name.to_string(), number(tally.last));
    }
    let files: Vec<Value> = trial.records.iter().filter_map(file).collect();
    let exit = trial.exit.as_ref().map(ToString::to_string);
    let about =
        json!({ "state": trial.state.word(), "exit": exit, "attempts": trial.attempts, "files": files });
    last.insert("swath".to_owned(), about.to_string());
    last.into_iter()
}

fn file(record: &LogRecord) -> Option<Value> {
    match record {
        LogRecord::Dataset { data_dir, md5, size, .. } => {
            Some(json!({ "dataset": data_dir, "md5": md5, "size": size }))
        }
        LogRecord::Model { model_path, md5, size, .. } => {
            Some(json!({ "model": model_path, "md5": md5, "size": size }))
        }
        LogRecord::Facts { model_path, facts } => Some(json!({ "model": model_path, "facts": facts })),
        LogRecord::Artifact { path, md5, size } => {
            Some(json!({ "artifact": path, "md5": md5, "size": size }))
        }
        _ => None,
    }
}

/// Returns a row of metrics under the name of its log.
fn metric_items(log: &str, row: &MetricRow) -> impl Iterator<Item = (String, String)> {
    let values = row.values.iter().map(move |(key, datum)| match datum {
        metric_rows::Datum::Number(value) => (format!("{log}/{key}"), number(Metric(*value))),
        metric_rows::Datum::Text(text) => (format!("{log}/{key}"), json!(text).to_string()),
    });
    let place = row.place.iter().filter(|(key, _)| key != "at");
    values.chain(place.map(move |(key, value)| (format!("{log}/{key}"), value.to_string())))
}

fn shown(datum: &Datum) -> String {
    match datum {
        Datum::Flag(flag) => flag.to_string(),
        Datum::Number(value) => number(*value),
        Datum::Text(text) => json!(text).to_string(),
    }
}

/// Returns a number as Python writes it into JSON.
fn number(value: Metric) -> String {
    match value.0 {
        number if number.is_finite() => json!(number).to_string(),
        number if number.is_nan() => "NaN".to_owned(),
        number if number > 0.0 => "Infinity".to_owned(),
        _ => "-Infinity".to_owned(),
    }
}

fn item(item: &mut Message, key: &str, json: &str) {
    item.text(1, key);
    item.text(16, json);
}

fn exit_code(exit: &Exit) -> i32 {
    match exit {
        Exit::Done | Exit::Paused | Exit::Stopped => 0,
        Exit::Interrupted | Exit::Lost => 255,
        Exit::Failed(Failure::Code(code)) => *code,
        Exit::Failed(Failure::Signal(signal)) => 128 + signal,
        Exit::Failed(_) => 1,
    }
}

/// Returns what names a trial of this very study: another study of the same name begins at another time.
fn run_id(study: &Study, began: Timestamp, trial: TrialId) -> String {
    let header = study.header();
    let text = format!("{}\n{}\n{}\n{trial}", header.name, header.seed, began.as_micros());
    Md5::digest(text).iter().take(6).fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Returns a time as the names of run folders have it.
fn compact(at: Timestamp) -> String {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at(digits.len().min(8));
    format!("{date}_{}", &time[..time.len().min(6)])
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::compact;
    use crate::study::Timestamp;

    #[test]
    fn a_folder_is_named_after_the_second() {
        assert_eq!(compact(Timestamp::from_micros(1_767_225_600_250_000)), "20260101_000000");
    }
}
