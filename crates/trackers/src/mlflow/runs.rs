//! Translates journal entries into operations on MLflow runs: one run for the study and, nested in
//! it, one for each trial.
//!
//! Both stores carry out the same [`Op`]s. The operations are a function of the journal and of the
//! metric rows in the trials' folders, so they can be derived again at any time.

use super::names::{self, digest};
use serde::Serialize;
use std::collections::BTreeMap;
use swath_engine::tracker::steps::{Rescale, Steps};
use swath_model::space::{Name, Value};
use swath_model::study::remarks::TAG_SEPARATOR;
use swath_model::study::{
    Closing, Datum, Entry, Event, Exit, LogRecord, Metric, Objective, Origin, Study, Timestamp,
    Trial, TrialId, TrialState,
};

/// The number of the study's own run. The runs of trials have the trials' ids, which start at 1.
pub(super) const PARENT: u32 = 0;

/// Fields that a run has in MLflow's own form (id, status and times), or by an earlier event.
const TAGGED_EARLIER: [&str; 7] = [
    "trial",
    "state",
    "attempts",
    "seconds",
    "cpu_seconds",
    "peak_mib",
    "seed",
];

/// The status of a run, with the names that MLflow uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Running,
    Scheduled,
    Finished,
    Failed,
    Killed,
}

/// An operation on the run with the number `run`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Op {
    pub(super) run: u32,
    pub(super) change: Change,
}

/// A change of a run. Times are in milliseconds since 1970. MLflow accepts only one value per
/// parameter; a later value of a tag replaces the earlier one. The `source` of a data set is its
/// path, and its `context` is its role, empty if there is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Create {
        name: String,
        at: i64,
        tags: Vec<(String, String)>,
    },
    Param {
        key: String,
        value: String,
    },
    Metric {
        key: String,
        value: Metric,
        at: i64,
        step: i64,
    },
    /// Multiplies the steps of all points of a metric so far. A server cannot do that, so its
    /// points keep their steps.
    Rescale {
        key: String,
        factor: i64,
    },
    Tag {
        key: String,
        value: String,
    },
    Status {
        status: Status,
        end: Option<i64>,
    },
    Dataset {
        name: String,
        digest: String,
        source: String,
        context: String,
    },
    File {
        trial: u32,
        path: String,
    },
    /// Registers the model of the best trial, which is that of the run.
    Register(ModelToRegister),
}

/// The model that counts for the best trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelToRegister {
    pub(super) trial: u32,
    /// The path as recorded, relative to the workdir.
    pub(super) path: String,
    /// The path of its bytes relative to the trial's folder, if they are held.
    pub(super) held: Option<String>,
    pub(super) md5: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// Returns an id that separates a study from all others of the same name: it includes the time at
/// which the study was opened.
pub(super) fn uid(name: &str, opened: Timestamp) -> String {
    digest(&format!("{}/{name}", opened.as_micros()))
}

/// The translation of entries into operations, with the state that it needs.
#[derive(Debug, Default)]
pub(super) struct Projection {
    /// The unique id of the study, empty before it is opened.
    pub(super) uid: String,
    /// Whether the model of the best trial is registered when the study is closed.
    registers_model: bool,
    /// The best trial so far, and the values of its objectives.
    best: Option<(TrialId, Vec<f64>)>,
    /// Whether the last entry closed the study.
    closed: bool,
    /// The last status of each run.
    statuses: BTreeMap<u32, Status>,
    /// The axes and scales of the reports.
    steps: Steps,
    /// The operations for the current entry.
    ops: Vec<Op>,
}

impl Projection {
    /// Returns a projection that registers the model of the best trial if told so.
    pub(super) fn registering(registers_model: bool) -> Self {
        Self {
            registers_model,
            ..Self::default()
        }
    }

    /// Returns the operations for an entry. `study` has already applied it.
    pub(super) fn translate(&mut self, study: &Study, entry: &Entry) -> Vec<Op> {
        let at = millis(entry.at);
        // The first entry after a close means that the study is running again.
        if self.closed && !matches!(entry.event, Event::Closed { .. }) {
            self.closed = false;
            self.status(PARENT, Status::Running, None);
        }
        match &entry.event {
            Event::Opened { .. } => self.open_study(study, entry.at),
            Event::Edited { changes, .. } => {
                self.describe(study);
                self.tag(PARENT, "swath.edited", &changes.join("\n"));
            }
            Event::Created { trial, origin, .. } => {
                self.create_trial_run(study, *trial, origin, at);
            }
            Event::Logged { trial, record, .. } => {
                if let Some(trial) = study.trial(*trial) {
                    self.log_record(study, trial, record, at);
                }
            }
            Event::Placed { trial, place, .. } => self.tag(trial.0, "swath.host", &place.host),
            Event::Started { attempt, trial, .. } => {
                self.tag(trial.0, "swath.attempts", &attempt.to_string());
            }
            Event::Judged { why, trial, .. } => self.tag(trial.0, "swath.verdict", why),
            Event::Ended { trial, .. } => {
                if let Some(trial) = study.trial(*trial) {
                    self.tag_fields(study, trial);
                    self.tag_result(study, trial);
                }
            }
            // The output of a preparation is a data set of the trials that read it.
            Event::Preparation { .. }
            | Event::Raised { .. }
            | Event::Requeued { .. }
            | Event::SlotPaused { .. }
            | Event::SlotResumed { .. } => {}
            Event::Noted { trial, note } => self.tag(trial.0, "mlflow.note.content", note),
            Event::Tagged { trials, .. } => trials.iter().for_each(|id| {
                let tags: Vec<_> = study.tags(*id).collect();
                self.tag(id.0, "swath.tags", &tags.join(TAG_SEPARATOR));
            }),
            Event::Removed { trials } => trials
                .iter()
                .for_each(|id| self.tag(id.0, "swath.removed", "true")),
            Event::Restored { trials } => {
                trials
                    .iter()
                    .for_each(|id| self.tag(id.0, "swath.removed", "false"));
            }
            Event::Closed { why } => self.close_study(study, why, at),
        }
        // A clone may replace a paused trial, which this event stops: its run changes too.
        let replaced = match &entry.event {
            Event::Created {
                origin: Origin::Cloned { instead, .. },
                ..
            } => *instead,
            _ => None,
        };
        // The result is written once, by the event that makes the state final.
        let may_settle = matches!(
            entry.event,
            Event::Ended { .. } | Event::Judged { .. } | Event::Created { .. }
        );
        for trial in [entry.event.trial(), replaced]
            .into_iter()
            .flatten()
            .filter_map(|id| study.trial(id))
        {
            if may_settle && matches!(trial.state, TrialState::Complete | TrialState::Stopped) {
                self.push_result(study, trial, at);
            }
            self.update_status(trial, at);
        }
        if may_settle {
            self.push_best(study, at);
        }
        std::mem::take(&mut self.ops)
    }

    /// Creates the run of the study.
    fn open_study(&mut self, study: &Study, at: Timestamp) {
        let name = &study.header().name;
        self.uid = uid(name, at);
        let tags = self.identity(PARENT, name.clone(), name);
        self.push(
            PARENT,
            Change::Create {
                name: name.clone(),
                at: millis(at),
                tags,
            },
        );
        self.statuses.insert(PARENT, Status::Running);
        self.describe(study);
    }

    /// Writes the tags of the study's run that an edited sweep file may change.
    fn describe(&mut self, study: &Study) {
        let header = study.header();
        let objectives: Vec<_> = header
            .objectives
            .iter()
            .map(|objective| &*objective.metric)
            .collect();
        self.tag(PARENT, "swath.objectives", &objectives.join(","));
        self.tag(PARENT, "swath.pipeline", &header.pipeline);
        self.tag(PARENT, "swath.stage", &header.stage);
        self.tag(PARENT, "swath.seed", &header.seed.to_string());
        self.tag(PARENT, "swath.sweep_md5", &header.sweep);
        if let Some(commit) = &header.git_commit {
            self.tag(PARENT, "mlflow.source.git.commit", commit);
        }
    }

    /// Returns the tags that identify a run.
    fn identity(&self, run: u32, name: String, trial: &str) -> Vec<(String, String)> {
        let tags = [
            ("mlflow.runName", name),
            ("mlflow.source.name", "swath".to_owned()),
            ("mlflow.source.type", "LOCAL".to_owned()),
            ("swath.run", format!("{}/{run}", self.uid)),
            ("swath.trial", names::tag(trial)),
        ];
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Creates the run of a trial with its parameters.
    fn create_trial_run(&mut self, study: &Study, id: TrialId, origin: &Origin, at: i64) {
        let Some(trial) = study.trial(id) else { return };
        let header = study.header();
        let name = format!("{}-{id}", header.name);
        let tags = self.identity(id.0, name.clone(), &format!("{}/{id}", header.name));
        self.push(id.0, Change::Create { name, at, tags });
        for (name, value) in &trial.params {
            for (key, value) in names::param(name, &value.to_string()) {
                self.push(id.0, Change::Param { key, value });
            }
        }
        self.tag(id.0, "swath.seed", &trial.seed.to_string());
        self.tag(
            id.0,
            "swath.origin",
            &serde_json::to_string(origin).unwrap_or_default(),
        );
        if let Some(commit) = &header.git_commit {
            self.tag(id.0, "mlflow.source.git.commit", commit);
        }
    }

    /// Tags the run of a trial whose attempt has ended with its fields.
    fn tag_fields(&mut self, study: &Study, trial: &Trial) {
        for (name, cell) in study.plain_fields(trial) {
            if !TAGGED_EARLIER.contains(&name) {
                let value = cell.into_value().to_string();
                self.tag(trial.id.0, &format!("swath.{name}"), &value);
            }
        }
    }

    /// Tags the run of a trial with its result so far.
    fn tag_result(&mut self, study: &Study, trial: &Trial) {
        for (name, value) in study.result(trial) {
            self.tag(trial.id.0, &format!("swath.{name}"), &value.to_string());
        }
    }

    /// Writes the result of a trial as a metric of its own. MLflow sorts and plots runs by metrics,
    /// as numbers, and shows the last value of a reported metric instead of the best. Trials that
    /// may still continue get no such metric, since a point cannot be removed later.
    fn push_result(&mut self, study: &Study, trial: &Trial, at: i64) {
        let counted = trial
            .counted
            .as_ref()
            .map_or(trial.step, |counted| counted.step);
        let step = self.steps.exported(trial, counted);
        for objective in &study.header().objectives {
            if let Some(value) = trial.objective(objective) {
                let key = result_key(objective);
                self.push(
                    trial.id.0,
                    Change::Metric {
                        key,
                        value: Metric(value),
                        at,
                        step,
                    },
                );
            }
        }
    }

    /// Writes the objectives of the best trial as metrics of the study's run, at the step of the
    /// trial's id, whenever another trial becomes the best.
    fn push_best(&mut self, study: &Study, at: i64) {
        let Some(best) = study.incumbent() else {
            return;
        };
        let objectives = &study.header().objectives;
        let values: Vec<_> = objectives
            .iter()
            .filter_map(|objective| best.objective(objective))
            .collect();
        let current = Some((best.id, values.clone()));
        if values.len() != objectives.len() || self.best == current {
            return;
        }
        self.best = current;
        for (objective, value) in objectives.iter().zip(values) {
            let metric = Change::Metric {
                key: names::key(&format!("best.{}", objective.metric)),
                value: Metric(value),
                at,
                step: best.id.0.into(),
            };
            self.push(PARENT, metric);
        }
    }

    /// Registers the model that counts for a trial.
    fn register(&mut self, study: &Study, trial: &Trial) {
        let Some(model) = trial.model_that_counts() else {
            return;
        };
        let Some(LogRecord::Model { held, .. }) = trial.records.get(model.record) else {
            return;
        };
        let tags = study.result(trial).into_iter();
        let mut tags: Vec<_> = tags
            .map(|(name, value)| (format!("swath.{name}"), value.to_string()))
            .collect();
        tags.push(("swath.study".to_owned(), study.header().name.clone()));
        tags.push(("swath.trial".to_owned(), trial.id.to_string()));
        let model = ModelToRegister {
            trial: trial.id.0,
            path: model.path.to_owned(),
            held: held.clone(),
            md5: model.md5.map(str::to_owned),
            tags: tags
                .into_iter()
                .map(|(key, value)| (names::key(&key), names::tag(&value)))
                .collect(),
        };
        self.push(trial.id.0, Change::Register(model));
    }

    /// Translates a record of a trial.
    fn log_record(&mut self, study: &Study, trial: &Trial, record: &LogRecord, at: i64) {
        let run = trial.id.0;
        match record {
            LogRecord::Report { values } => {
                let step = self.advance(study, trial);
                for (name, datum) in values {
                    let key = names::key(name);
                    match datum {
                        Datum::Number(value) => {
                            self.push(
                                run,
                                Change::Metric {
                                    key,
                                    value: *value,
                                    at,
                                    step,
                                },
                            );
                        }
                        Datum::Flag(flag) => {
                            self.tag(run, &format!("report.{name}"), &flag.to_string());
                        }
                        Datum::Text(text) => self.tag(run, &format!("report.{name}"), text),
                    }
                }
            }
            LogRecord::Dataset {
                data_dir,
                role,
                md5,
                ..
            } => {
                let digest = md5.clone().unwrap_or_default();
                let name = data_dir
                    .rsplit('/')
                    .find(|part| !part.is_empty())
                    .unwrap_or("data")
                    .to_owned();
                let (source, context) = (data_dir.clone(), role.clone());
                self.push(
                    run,
                    Change::Dataset {
                        name,
                        digest,
                        source,
                        context,
                    },
                );
            }
            LogRecord::Model { .. } => self.tag_result(study, trial),
            LogRecord::Artifact { path, .. } => {
                self.push(
                    run,
                    Change::File {
                        trial: run,
                        path: path.clone(),
                    },
                );
            }
            LogRecord::Facts { facts, .. } => {
                for (name, value) in facts {
                    self.tag(run, &format!("swath.model.{name}"), &value.to_string());
                }
            }
            LogRecord::Param { name, value } => self.determined_param(trial, name, value),
            LogRecord::Output { name, value } => {
                self.tag(run, &format!("output.{name}"), &value.to_string());
            }
            // MLflow shows a single note per run: write all of them together.
            LogRecord::Note { .. } => {
                let notes = trial.records.iter().filter_map(|record| match record {
                    LogRecord::Note { text } => Some(text.as_str()),
                    _ => None,
                });
                let notes: Vec<_> = notes.collect();
                self.tag(run, "mlflow.note.content", &notes.join("\n\n"));
            }
            LogRecord::Warning { text } => self.tag(run, "swath.warning", text),
            LogRecord::Invalid { why } => self.tag(run, "swath.invalid", why),
            LogRecord::Absent { metric, why } => {
                self.tag(run, &format!("swath.absent.{metric}"), why);
            }
            LogRecord::Checkpoint { .. } | LogRecord::Beyond { .. } => {}
        }
    }

    /// Returns the exported step of the trial's latest report, and rescales the earlier steps of
    /// all trials on the same axis if that report requires it.
    fn advance(&mut self, study: &Study, trial: &Trial) -> i64 {
        let (step, changes) = self.steps.report(trial);
        for Rescale { trial, factor } in changes {
            let Some(trial) = study.trial(trial) else {
                continue;
            };
            let reported = trial.metrics.keys().map(|name| names::key(name));
            // Only trials with a final state have result points.
            let is_settled = matches!(trial.state, TrialState::Complete | TrialState::Stopped);
            let results = study
                .header()
                .objectives
                .iter()
                .filter(|_| is_settled)
                .map(result_key);
            for key in reported.chain(results) {
                self.push(trial.id.0, Change::Rescale { key, factor });
            }
        }
        step
    }

    /// Writes a parameter that the trial determined itself. MLflow refuses a second value of a
    /// parameter, so a value that follows an earlier one, or one of the configuration, becomes a
    /// tag.
    fn determined_param(&mut self, trial: &Trial, name: &Name, value: &Value) {
        let values = trial.records.iter().filter(
            |record| matches!(record, LogRecord::Param { name: other, .. } if other == name),
        );
        if trial.params.get(name).is_none() && values.count() == 1 {
            let (key, value) = (names::key(name), value.to_string());
            self.push(trial.id.0, Change::Param { key, value });
        } else {
            self.tag(trial.id.0, &format!("param.{name}"), &value.to_string());
        }
    }

    /// Ends the run of the study, and the runs of paused trials, which do not continue while the
    /// study is closed.
    fn close_study(&mut self, study: &Study, why: &Closing, at: i64) {
        for trial in study
            .trials()
            .iter()
            .filter(|trial| trial.state == TrialState::Paused)
        {
            self.status(
                trial.id.0,
                Status::Killed,
                trial.ended_at.map(millis).or(Some(at)),
            );
        }
        if let Some(best) = study.incumbent() {
            self.tag(PARENT, "swath.best_trial", &best.id.to_string());
            if let Some(feasible) = study.feasibility(best) {
                self.tag(PARENT, "swath.best_feasible", &feasible.to_string());
            }
            if self.registers_model {
                self.register(study, best);
            }
        }
        let status = match why {
            Closing::Finished | Closing::Exhausted | Closing::TargetReached | Closing::Patience => {
                Status::Finished
            }
            Closing::Interrupted
            | Closing::TimeLimit
            | Closing::RunTime
            | Closing::CostLimit
            | Closing::GpuLimit
            | Closing::DiskLimit => Status::Killed,
            Closing::FailureLimit
            | Closing::AllInvalid
            | Closing::NoObjective
            | Closing::CircuitBreaker
            | Closing::SearchFailed => Status::Failed,
        };
        self.status(PARENT, status, Some(at));
        self.closed = true;
    }

    /// Sets the status of a trial's run according to the trial's state and last exit.
    fn update_status(&mut self, trial: &Trial, at: i64) {
        let status = match (&trial.state, &trial.exit) {
            (TrialState::Running, _) => Status::Running,
            (TrialState::Paused, _) | (TrialState::Waiting, None | Some(Exit::Paused)) => {
                Status::Scheduled
            }
            (TrialState::Complete, _) => Status::Finished,
            (TrialState::Failed | TrialState::Invalid, _)
            | (TrialState::Waiting, Some(Exit::Failed(_))) => Status::Failed,
            (TrialState::Stopped | TrialState::Waiting, _) => Status::Killed,
        };
        let has_ended = matches!(status, Status::Finished | Status::Failed | Status::Killed);
        self.status(
            trial.id.0,
            status,
            has_ended.then(|| trial.ended_at.map_or(at, millis)),
        );
    }

    /// Sets the status of a run, unless it has that status already.
    fn status(&mut self, run: u32, status: Status, end: Option<i64>) {
        if self.statuses.insert(run, status) != Some(status) {
            self.push(run, Change::Status { status, end });
        }
    }

    /// Sets a tag of a run, with key and value within MLflow's limits.
    fn tag(&mut self, run: u32, key: &str, value: &str) {
        let change = Change::Tag {
            key: names::key(key),
            value: names::tag(value),
        };
        self.push(run, change);
    }

    /// Adds an operation.
    fn push(&mut self, run: u32, change: Change) {
        self.ops.push(Op { run, change });
    }
}

/// Returns the key of the metric that holds the trial's result for an objective.
fn result_key(objective: &Objective) -> String {
    names::key(&format!("objective.{}", objective.metric))
}

/// Returns a time in milliseconds since 1970.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::{Demo, model_record, text};
    use swath_model::study::Failure;

    fn ops(demo: &Demo) -> Vec<Op> {
        let (mut study, mut projection) = (Study::default(), Projection::default());
        let each = demo.entries.iter().flat_map(|entry| {
            study.apply(entry).unwrap();
            projection.translate(&study, entry)
        });
        each.collect()
    }

    fn statuses(demo: &Demo, run: u32) -> Vec<(Status, bool)> {
        let statuses = ops(demo).into_iter().filter_map(|op| match op.change {
            Change::Status { status, end } if op.run == run => Some((status, end.is_some())),
            _ => None,
        });
        statuses.collect()
    }

    #[test]
    fn every_end_has_its_status_and_time() {
        let ends = [
            (Exit::Done, Status::Finished),
            (Exit::Stopped, Status::Killed),
            (Exit::Interrupted, Status::Killed),
            (Exit::Lost, Status::Killed),
            (Exit::Failed(Failure::Code(3)), Status::Failed),
        ];
        for (exit, status) in ends {
            let mut demo = Demo::new(&[]);
            let trial = demo.start(&[]);
            demo.report(trial, &[("val_loss", 0.5)]);
            demo.end(trial, exit);
            let expected = [
                (Status::Scheduled, false),
                (Status::Running, false),
                (status, true),
            ];
            assert_eq!(statuses(&demo, 1), expected);
        }
    }

    #[test]
    fn the_run_of_the_study_ends_and_continues_with_the_study() {
        let mut demo = Demo::new(&[]);
        demo.event(Event::Closed {
            why: Closing::Interrupted,
        });
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo.event(Event::Closed {
            why: Closing::Finished,
        });
        let expected = [
            (Status::Killed, true),
            (Status::Running, false),
            (Status::Finished, true),
        ];
        assert_eq!(statuses(&demo, PARENT), expected);
    }

    #[test]
    fn the_tags_of_a_run_name_the_result_and_the_model_that_belongs_to_it() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for (epoch, loss) in (1..).zip([0.9, 0.2, 0.4]) {
            demo.report(trial, &[("val_loss", loss)]);
            let (path, md5) = (format!("epoch-{epoch}.bin"), format!("md5 of {epoch}"));
            demo.log(trial, model_record(&path, Some(&md5)));
        }
        demo.end(trial, Exit::Done);
        let mut tags = BTreeMap::new();
        for op in ops(&demo) {
            if let Change::Tag { key, value } = op.change {
                tags.insert((op.run, key), value);
            }
        }
        let point = |op: Op| match op.change {
            Change::Metric {
                key, value, step, ..
            } if key == "objective.val_loss" => Some((value.0, step)),
            _ => None,
        };
        let points: Vec<_> = ops(&demo).into_iter().filter_map(point).collect();
        assert_eq!(
            points,
            [(0.2, 2)],
            "one point, at the step that MLflow has the report of 0.2 at"
        );
        let names = [
            "objective.val_loss",
            "best_step",
            "model_path",
            "model_md5",
            "model_step",
        ];
        let tag = |name| tags[&(1, format!("swath.{name}"))].as_str();
        assert_eq!(
            names.map(tag),
            ["0.2", "2.0", "epoch-2.bin", "md5 of 2", "2.0"]
        );
    }

    #[test]
    fn reports_are_metrics_by_step_and_texts_are_tags() {
        let mut demo = Demo::new(&["lr"]);
        let trial = demo.start(&[("lr", text("groß"))]);
        demo.report(trial, &[("val_loss", 0.5)]);
        demo.report(trial, &[("val_loss", f64::NAN)]);
        let changes = ops(&demo).into_iter().filter_map(|op| match op.change {
            Change::Metric {
                key, value, step, ..
            } => Some(format!("{key} {} {step}", value.0)),
            Change::Param { key, value } => Some(format!("{key}={value}")),
            _ => None,
        });
        let changes: Vec<_> = changes.collect();
        assert_eq!(changes, ["lr=groß", "val_loss 0.5 1", "val_loss NaN 2"]);
    }
}
