//! The `wandb` tracker for Weights & Biases: one offline run folder per trial, which `wandb sync`
//! uploads as a whole. Runs are grouped by study.
//!
//! The records are those of `wandb_internal.proto`. A run's id derives from the study and the
//! trial, so that a run that is uploaded twice remains one run.

mod items;

use self::items::{Items, json, number, write, write_item, write_number};
use super::block_log::{self, MAGIC};
use super::home::{self, Home, failed};
use super::image::{Image, images_of};
use super::metric_rows::{self, each_row};
use super::proto::Message;
use super::retry::with_backoff;
use super::trial_file::TrialFile;
use super::{Tracker, TrackerError};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use swath_model::source::{Diagnostics, Opt, Preset, Section, Takes};
use swath_model::space::Name;
use swath_model::study::{
    Datum, Due, Entry, Event, Exit, Failure, Goal, Kind, LogRecord, Objective, Origin, Setting,
    Study, Take, Timestamp, Trial, TrialId, TrialState, Verdict,
};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "wandb",
    about: "offline run folders for `wandb sync`",
    paper: None,
    options: OPTIONS,
    capabilities: &[],
    build,
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "project",
        Takes::Text,
        Preset::Derived("the pipeline"),
        "the project of the runs",
    ),
    Opt::new(
        "entity",
        Takes::Text,
        Preset::Derived("that of the login"),
        "the user or team that owns them",
    ),
    Opt::new(
        "group",
        Takes::Text,
        Preset::Derived("the study"),
        "the group of the runs",
    ),
    Opt::new(
        "tags",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "tags of every run",
    ),
    home::DIR,
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

/// The type of a media file in W&B's records.
const MEDIA: i64 = 2;

/// The labels of the runs from the tracker's options. Defaults: the pipeline as project, the
/// login's entity, the study as group, no tags.
#[derive(Debug, Clone, Default)]
struct Labels {
    project: Option<String>,
    entity: Option<String>,
    group: Option<String>,
    tags: Vec<String>,
}

fn build(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = diagnostics.list.len();
    let labels = Labels {
        project: take_label(&mut section, "project", diagnostics),
        entity: take_label(&mut section, "entity", diagnostics),
        group: take_label(&mut section, "group", diagnostics),
        tags: section
            .take_texts("tags", diagnostics)
            .map(|(tags, _)| tags)
            .unwrap_or_default(),
    };
    let home = Home::take("wandb", &mut section, setting, diagnostics);
    (diagnostics.list.len() == before).then(|| {
        let tracker = Wandb {
            home,
            labels,
            began: None,
            runs: BTreeMap::new(),
        };
        Box::new(tracker) as Box<dyn Tracker>
    })
}

fn take_label(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    section.take_text(key, diagnostics).map(|(text, _)| text)
}

/// The state of the tracker.
struct Wandb {
    home: Home,
    labels: Labels,
    /// The time of the study's first entry, from which the ids of runs derive.
    began: Option<Timestamp>,
    runs: BTreeMap<TrialId, Run>,
}

/// The run file of a trial, with the state that is needed to extend it.
struct Run {
    id: String,
    path: PathBuf,
    file: TrialFile,
    /// The start of the first attempt of the current file; `None` before.
    began: Option<Timestamp>,
    /// Number of records and history rows in the body.
    body: Counts,
    /// Number of records and history rows in the body and the tail.
    total: Counts,
    /// Reusable buffers for the record and for the row under construction.
    record: Message,
    items: Items,
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
                let folder = format!("offline-run-{}-{id}", compact_time(entry.at));
                let path = self
                    .home
                    .root(study)?
                    .join(folder)
                    .join(format!("run-{id}.wandb"));
                self.runs.insert(*trial, Run::new(id, path));
                // A clone may replace a paused trial, which this event stops.
                if let Origin::Cloned {
                    instead: Some(other),
                    ..
                } = origin
                {
                    self.end_stopped_run(study, *other, entry.at)?;
                }
            }
            Event::Started { trial, resume, .. } => {
                let (Some(run), Some(about)) = (self.runs.get_mut(trial), study.trial(*trial))
                else {
                    return Ok(());
                };
                run.start(study, about, &self.labels, *resume, entry.at)?;
            }
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let Some(run) = self.runs.get_mut(trial) else {
                    return Ok(());
                };
                run.append_report(values, entry.at)?;
            }
            Event::Ended { trial, exit, .. } => {
                let folder = self.home.trial(study, *trial)?;
                let (Some(run), Some(about)) = (self.runs.get_mut(trial), study.trial(*trial))
                else {
                    return Ok(());
                };
                run.end((about, study), exit, (&folder, &self.home.due), entry.at)?;
            }
            Event::Judged {
                trial,
                verdict: Verdict::Stop,
                ..
            } => self.end_stopped_run(study, *trial, entry.at)?,
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
    /// Ends the run of a paused trial that was stopped while it was paused. Does nothing for a
    /// trial in any other state.
    fn end_stopped_run(
        &mut self,
        study: &Study,
        id: TrialId,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        let folder = self.home.trial(study, id)?;
        match (self.runs.get_mut(&id), study.trial(id)) {
            // A running trial that is stopped gets its end from its own `Ended` entry.
            (Some(run), Some(trial)) if trial.state == TrialState::Stopped => {
                run.drop_tail()?;
                run.end(
                    (trial, study),
                    &Exit::Stopped,
                    (&folder, &self.home.due),
                    at,
                )
            }
            _ => Ok(()),
        }
    }
}

impl Run {
    fn new(id: String, path: PathBuf) -> Self {
        let file = TrialFile::new(path.clone());
        let (body, total) = (Counts::default(), Counts::default());
        Self {
            id,
            path,
            file,
            began: None,
            body,
            total,
            record: Message::default(),
            items: Items::default(),
        }
    }

    /// Begins the run file, or continues it if the attempt resumes.
    fn start(
        &mut self,
        study: &Study,
        trial: &Trial,
        labels: &Labels,
        resume: bool,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        if resume && self.began.is_some() {
            return self.drop_tail();
        }
        *self = Self::new(std::mem::take(&mut self.id), std::mem::take(&mut self.path));
        self.began = Some(at);
        self.files()?;
        self.file.add(|out, _| out.extend_from_slice(MAGIC))?;
        self.append_record(|record| {
            record.message(21, |header| {
                header.message(1, |version| {
                    version.text(1, "0.31.0");
                    version.text(2, "0.40.0");
                });
            });
        })?;
        let id = self.id.clone();
        self.append_record(|record| {
            record.message(17, |run| describe(run, &id, study, trial, labels, at));
        })?;
        self.body = self.total;
        Ok(())
    }

    /// Creates the folder `files`, in which `wandb sync` stores the configuration and the summary
    /// before it sends them.
    fn files(&self) -> Result<(), TrackerError> {
        let folder = self.path.with_file_name("files");
        with_backoff(|| std::fs::create_dir_all(&folder).map_err(failed(&folder)))
    }

    /// Removes the records that were added at the end of the last attempt.
    fn drop_tail(&mut self) -> Result<(), TrackerError> {
        self.total = self.body;
        self.file.drop_tail()
    }

    /// Appends a report to the body as a row of history.
    fn append_report(
        &mut self,
        values: &[(Name, Datum)],
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        self.items.clear();
        for (name, datum) in values {
            let (key, json) = self.items.add();
            key.push_str(name);
            match datum {
                Datum::Flag(flag) => write(json, flag),
                Datum::Number(value) => write_number(json, value.0),
                Datum::Text(text) => write(json, text),
            }
        }
        self.append_row(seconds(at))?;
        self.body = self.total;
        Ok(())
    }

    /// Appends the items as a row of history, at a time in seconds since 1970.
    fn append_row(&mut self, at: f64) -> Result<(), TrackerError> {
        let step = self.total.rows;
        self.total.rows += 1;
        self.add_clock_items(step, at);
        let items = std::mem::take(&mut self.items);
        let written = self.append_record(|record| {
            record.message(2, |history| {
                items.write(history);
                history.message(2, |number| number.int(1, step));
            });
        });
        self.items = items;
        written
    }

    /// Adds the items that W&B expects in every row and in the summary: step, time, and run time
    /// since the start, in seconds.
    fn add_clock_items(&mut self, step: i64, at: f64) {
        let runtime = at - self.began.map_or(at, seconds);
        self.items.put("_step", &step);
        self.items.put("_timestamp", &at);
        self.items.put("_runtime", &runtime.max(0.0));
    }

    /// Appends the metric rows, the summary and the exit record as the tail.
    fn end(
        &mut self,
        (trial, study): (&Trial, &Study),
        exit: &Exit,
        (folder, due): (&Path, &Due),
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        self.file.begin_tail();
        let mut last: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        // Rows are part of the tail, since the next attempt may extend or replace the metric files.
        each_row(folder, due, |log, row| {
            self.items.take(log, &row);
            for (key, json) in self.items.items() {
                match last.get_mut(key) {
                    Some(value) => json.clone_into(value),
                    None => _ = last.insert(key.clone(), json.clone()),
                }
            }
            self.append_row(row.at.unwrap_or_else(|| seconds(at)))
        })?;
        for image in images_of(trial, folder) {
            self.append_image(&image, seconds(at))?;
        }
        for (metric, rule) in definitions(trial, study, &last) {
            self.append_record(|record| {
                record.message(12, |message| define(message, &metric, &rule));
            })?;
        }
        let step = (self.total.rows - 1).max(0);
        self.items.clear();
        for (key, value) in summary(trial, study, last) {
            let (item, json) = self.items.add();
            item.push_str(&key);
            json.extend_from_slice(&value);
        }
        self.add_clock_items(step, seconds(at));
        let items = std::mem::take(&mut self.items);
        self.append_record(|record| record.message(3, |summary| items.write(summary)))?;
        self.append_record(|record| {
            record.message(18, |message| {
                message.int(1, i64::from(exit_code(exit)));
                message.int(2, trial.seconds as i64);
            });
        })?;
        self.file.flush()?;
        self.file.release_memory();
        Ok(())
    }

    /// Copies an image to the files of the run, and appends a row that shows it.
    fn append_image(&mut self, image: &Image, at: f64) -> Result<(), TrackerError> {
        let digest = hexadecimal(&Md5::digest(&image.bytes));
        let name = image.name.replace('/', "_");
        let place = format!("media/images/{name}_{}.{}", &digest[..20], image.format);
        let file = self.path.with_file_name("files").join(&place);
        home::replace(&file, &image.bytes)?;
        self.items.clear();
        let shown = json!({
            "_type": "image-file", "path": place, "size": image.bytes.len(), "format": image.format,
            "width": image.size.0, "height": image.size.1,
        });
        self.items.put(&format!("image/{}", image.name), &shown);
        self.append_row(at)?;
        self.append_record(|record| {
            record.message(6, |files| {
                files.message(1, |item| {
                    item.text(1, &place);
                    item.int(3, MEDIA);
                });
            });
        })
    }

    /// Appends a record with the next number.
    fn append_record(&mut self, fill: impl FnOnce(&mut Message)) -> Result<(), TrackerError> {
        self.total.records += 1;
        self.record.clear();
        self.record.int(1, self.total.records);
        fill(&mut self.record);
        let record = self.record.bytes();
        self.file
            .add(|out, before| block_log::append(out, before, record))
    }
}

/// Writes the run record, which W&B shows as the run's overview and configuration.
fn describe(
    run: &mut Message,
    id: &str,
    study: &Study,
    trial: &Trial,
    labels: &Labels,
    at: Timestamp,
) {
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
            write_item(config, name, &json(value));
        }
        // A parameter of this name takes precedence over swath's own entry.
        if trial.params.get("swath").is_none() {
            write_item(config, "swath", &json(&about));
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

/// The axis and the summary of a metric.
#[derive(Debug, Default, PartialEq)]
struct Definition {
    /// The metric that is the x axis of the charts; the number of the row if absent.
    axis: Option<String>,
    /// The number of the field of W&B's summary that the objective's rule is.
    summary: Option<u32>,
    /// The number of the objective's goal.
    goal: i64,
}

/// The fields of a summary in W&B's records.
const SUMMARY_MIN: u32 = 1;
const SUMMARY_MAX: u32 = 2;
const SUMMARY_MEAN: u32 = 3;

/// The keys of these fields in a summary.
const SUMMARY_KEYS: [(u32, &str); 3] = [
    (SUMMARY_MIN, "min"),
    (SUMMARY_MAX, "max"),
    (SUMMARY_MEAN, "mean"),
];

/// Returns the definitions of the metrics of a trial: of the reported ones with the axis of the
/// trial, of the rows of a log with its step. A log with batches has no other axis than its rows.
fn definitions(
    trial: &Trial,
    study: &Study,
    last: &BTreeMap<String, Vec<u8>>,
) -> Vec<(String, Definition)> {
    let axis = trial.axis.key().map(ToString::to_string);
    let mut defined: Vec<(String, Definition)> = Vec::new();
    defined.extend(axis.clone().map(|axis| (axis, Definition::default())));
    for name in trial.metrics.keys() {
        let objective = study.header().objectives.iter();
        let objective = objective
            .clone()
            .find(|objective| objective.metric == *name);
        if axis.as_deref() == Some(&**name) {
            continue;
        }
        let definition = Definition {
            axis: axis.clone(),
            summary: objective.and_then(summary_field),
            goal: objective.map_or(0, |objective| match objective.goal {
                Goal::Min => 1,
                Goal::Max => 2,
            }),
        };
        defined.push((name.to_string(), definition));
    }
    for key in last.keys() {
        let Some((log, name)) = key.rsplit_once('/') else {
            continue;
        };
        let (step, batch) = (format!("{log}/step"), format!("{log}/batch"));
        if last.contains_key(&step) && !last.contains_key(&batch) {
            let axis = (name != "step").then_some(step);
            let definition = Definition {
                axis,
                ..Definition::default()
            };
            defined.push((key.clone(), definition));
        }
    }
    defined
}

/// Returns the field of W&B's summary that an objective's rule is; `None` for the last value, which
/// is the summary of every metric, and for rules that W&B does not have.
fn summary_field(objective: &Objective) -> Option<u32> {
    match (objective.take, objective.goal) {
        (Take::Best, Goal::Min) => Some(SUMMARY_MIN),
        (Take::Best, Goal::Max) => Some(SUMMARY_MAX),
        (Take::Mean, _) => Some(SUMMARY_MEAN),
        _ => None,
    }
}

/// Writes the record that defines a metric, as `wandb.define_metric` does.
fn define(message: &mut Message, metric: &str, definition: &Definition) {
    const LAST: u32 = 5;
    message.text(1, metric);
    if let Some(axis) = &definition.axis {
        message.text(4, axis);
    }
    message.message(6, |options| {
        options.int(1, i64::from(definition.axis.is_some()));
        options.int(3, 1);
    });
    if let Some(field) = definition.summary {
        message.message(7, |summary| {
            summary.int(field, 1);
            summary.int(LAST, 1);
        });
    }
    message.int(8, definition.goal);
}

/// Returns the summary of a trial: the last value of every metric and text, for an objective also
/// the value by its rule, its outputs, its files under `swath.files`, and its result.
fn summary(
    trial: &Trial,
    study: &Study,
    mut last: BTreeMap<String, Vec<u8>>,
) -> impl Iterator<Item = (String, Vec<u8>)> {
    for record in &trial.records {
        match record {
            LogRecord::Output { name, value } => {
                last.insert(name.to_string(), json(value));
            }
            LogRecord::Param { name, value } => {
                last.insert(format!("param/{name}"), json(value));
            }
            _ => {}
        }
    }
    for (name, text) in &trial.texts {
        last.insert(name.to_string(), json(text));
    }
    for (name, tally) in trial.metrics.iter() {
        last.insert(name.to_string(), number(tally.last.0));
    }
    // W&B's own client writes the summary of a metric with a goal in this form, so that a table
    // can be sorted by `val_loss.min`.
    for objective in &study.header().objectives {
        let field = summary_field(objective);
        let key = SUMMARY_KEYS
            .iter()
            .find(|(number, _)| Some(*number) == field);
        let tally = trial.metrics.get(&objective.metric);
        if let (Some((_, key)), Some(tally)) = (key, tally)
            && let Some(value) = trial.objective(objective)
        {
            let mut both = b"{\"".to_vec();
            both.extend_from_slice(key.as_bytes());
            both.extend_from_slice(b"\": ");
            write_number(&mut both, value);
            both.extend_from_slice(b", \"last\": ");
            write_number(&mut both, tally.last.0);
            both.push(b'}');
            last.insert(objective.metric.to_string(), both);
        }
    }
    let files: Vec<Value> = trial.records.iter().filter_map(file_entry).collect();
    let exit = trial.exit.as_ref().map(ToString::to_string);
    let about = json!({
        "state": trial.state.word(), "exit": exit, "attempts": trial.attempts,
        "result": result(trial, study), "files": files,
    });
    last.insert("swath".to_owned(), json(&about));
    last.into_iter()
}

/// Returns the trial's result, with its objectives nested below `objective`. W&B sorts and shows
/// columns by paths such as `swath.result.objective.val_loss` and takes every dot for a level.
fn result(trial: &Trial, study: &Study) -> Value {
    let (mut result, mut values) = (serde_json::Map::new(), serde_json::Map::new());
    for (name, value) in study.result(trial) {
        match name.strip_prefix("objective.") {
            Some(metric) => values.insert(metric.to_owned(), json!(value)),
            None => result.insert(name, json!(value)),
        };
    }
    if !values.is_empty() {
        result.insert("objective".to_owned(), Value::Object(values));
    }
    Value::Object(result)
}

/// Returns a data set, model, fact or artifact as an entry of the summary's list of files.
fn file_entry(record: &LogRecord) -> Option<Value> {
    match record {
        LogRecord::Dataset {
            data_dir,
            md5,
            size,
            ..
        } => Some(json!({ "dataset": data_dir, "md5": md5, "size": size })),
        LogRecord::Model {
            model_path,
            md5,
            size,
            ..
        } => Some(json!({ "model": model_path, "md5": md5, "size": size })),
        LogRecord::Facts { model_path, facts } => {
            Some(json!({ "model": model_path, "facts": facts }))
        }
        LogRecord::Artifact {
            path, md5, size, ..
        } => Some(json!({ "artifact": path, "md5": md5, "size": size })),
        _ => None,
    }
}

/// Returns the exit code to report: that of a failed program, 128 plus the number of a signal, 0
/// for a regular end, and 255, which W&B shows as killed, for an attempt that something else ended.
fn exit_code(exit: &Exit) -> i32 {
    match exit {
        Exit::Done => 0,
        Exit::Paused | Exit::Stopped | Exit::Interrupted | Exit::Lost => 255,
        Exit::Failed(failure) => match failure.ended() {
            Failure::Code(code) => *code,
            Failure::Signal(signal) => 128 + signal,
            _ => 1,
        },
    }
}

/// Returns the id of a trial's run, 12 hexadecimal digits. It includes the study's start time,
/// because another study may have the same name and seed.
fn run_id(study: &Study, began: Timestamp, trial: TrialId) -> String {
    let header = study.header();
    let text = format!(
        "{}\n{}\n{}\n{trial}",
        header.name,
        header.seed,
        began.as_micros()
    );
    hexadecimal(&Md5::digest(text)[..6])
}

/// Returns bytes as hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Returns a time in the format of run folders, `YYYYMMDD_HHMMSS`.
fn compact_time(at: Timestamp) -> String {
    let digits: String = at
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let (date, time) = digits.split_at(digits.len().min(8));
    format!("{date}_{}", &time[..time.len().min(6)])
}

/// Returns a time in seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::compact_time;
    use swath_model::study::Timestamp;

    #[test]
    fn a_folder_is_named_after_the_second() {
        assert_eq!(
            compact_time(Timestamp::from_micros(1_767_225_600_250_000)),
            "20260101_000000"
        );
    }
}
