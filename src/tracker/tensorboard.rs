//! TensorBoard: one event file a trial, with its reports and metrics as scalars, texts, and what the HParams page needs to compare trials.
//!
//! A file of records, each an `Event`: <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>. Scalars are
//! 32-bit floats, as the pages show them: every reader knows those, not every one knows 64 bits.

use super::home::{Home, failed, replace};
use super::hparams::{self, End};
use super::metric_rows::{self, each_row};
use super::proto::Message;
use super::trial_file::TrialFile;
use super::{Tracker, TrackerError, step};
use crate::study::{
    Datum, Due, Entry, Event, Kind, LogRecord, Origin, Study, Timestamp, TrialId, TrialState, Verdict,
};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "tensorboard",
    about: "event files with scalars, text and hparams for TensorBoard; options: `dir`",
    build: |mut section, setting, diagnostics| {
        let home = Home::take("tensorboard", &mut section, setting, diagnostics);
        section.finish(diagnostics);
        Some(Box::new(TensorBoard { home, runs: BTreeMap::new(), began: None }))
    },
};

struct TensorBoard {
    home: Home,
    runs: BTreeMap<TrialId, Run>,
    began: Option<Timestamp>,
}

/// The event file of a trial.
struct Run {
    path: PathBuf,
    file: TrialFile,
    fresh: bool,
    reports: u64,
    step: i64,
    event: Message,
}

impl Tracker for TensorBoard {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        if self.began.is_none() {
            self.began = Some(entry.at);
            self.forget(study, entry.at)?;
        }
        match &entry.event {
            Event::Created { trial, origin, .. } => {
                self.runs.insert(*trial, Run::new(self.path(study, Some(*trial), entry.at)?));
                if let Origin::Cloned { instead: Some(other), .. } = origin {
                    self.settled(study, *other, entry.at)?;
                }
            }
            Event::Started { trial, resume, .. } => {
                let Some(run) = self.runs.get_mut(trial) else { return Ok(()) };
                run.start(study, *trial, *resume, entry.at)?;
            }
            Event::Logged { trial, record, .. } => {
                let Some(run) = self.runs.get_mut(trial) else { return Ok(()) };
                run.log(study, record, entry.at)?;
            }
            Event::Ended { trial, .. } => {
                let folder = self.home.trial(*trial)?;
                let Some(run) = self.runs.get_mut(trial) else { return Ok(()) };
                run.file.begin_tail();
                run.metrics(&folder, &self.home.due, entry.at)?;
                self.settled(study, *trial, entry.at)?;
            }
            Event::Judged { trial, verdict: Verdict::Stop, .. } => self.settled(study, *trial, entry.at)?,
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

    /// Describes the experiment, with the values that occur. While the study runs TensorBoard finds them out by itself; a description that
    /// lacks some would hide their trials.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        self.sync(study)?;
        let Some(began) = self.began else { return Ok(()) };
        let mut bytes = Vec::new();
        let mut event = Message::default();
        version(&mut event, began);
        frame(&mut bytes, event.bytes());
        plugin(&mut event, hparams::EXPERIMENT, &hparams::experiment(study), began);
        frame(&mut bytes, event.bytes());
        replace(&self.path(study, None, began)?, &bytes)
    }
}

impl TensorBoard {
    /// Removes the description that an earlier run has left.
    fn forget(&self, study: &Study, began: Timestamp) -> Result<(), TrackerError> {
        let path = self.path(study, None, began)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Returns the event file of a trial, or that of the experiment.
    fn path(&self, study: &Study, trial: Option<TrialId>, at: Timestamp) -> Result<PathBuf, TrackerError> {
        let folder = trial.map(|trial| trial.to_string()).unwrap_or_default();
        let file = format!("events.out.tfevents.{}.swath.0.0", at.as_micros().div_euclid(1_000_000));
        Ok(self.home.root(study)?.join(folder).join(file))
    }

    /// Says how a trial ended, if nothing more will happen to it, and brings its file up to date.
    fn settled(&mut self, study: &Study, id: TrialId, at: Timestamp) -> Result<(), TrackerError> {
        let (Some(run), Some(trial)) = (self.runs.get_mut(&id), study.trial(id)) else { return Ok(()) };
        let end = match trial.state {
            TrialState::Complete | TrialState::Stopped => Some(End::Success),
            TrialState::Failed => Some(End::Failure),
            TrialState::Waiting | TrialState::Running | TrialState::Paused => None,
        };
        if let Some(end) = end {
            run.file.begin_tail();
            plugin(&mut run.event, hparams::END, &hparams::end(end, seconds(at)), at);
            run.write()?;
        }
        run.file.flush()?;
        run.file.rest();
        Ok(())
    }
}

impl Run {
    fn new(path: PathBuf) -> Self {
        let file = TrialFile::new(path.clone());
        Self { path, file, fresh: true, reports: 0, step: 0, event: Message::default() }
    }

    fn start(&mut self, study: &Study, id: TrialId, resume: bool, at: Timestamp) -> Result<(), TrackerError> {
        let Some(trial) = study.trial(id) else { return Ok(()) };
        if resume && !self.fresh {
            return self.file.drop_tail();
        }
        *self = Self { fresh: false, ..Self::new(std::mem::take(&mut self.path)) };
        version(&mut self.event, at);
        self.write()?;
        plugin(&mut self.event, hparams::START, &hparams::start(trial, seconds(at)), at);
        self.write()
    }

    fn log(&mut self, study: &Study, record: &LogRecord, at: Timestamp) -> Result<(), TrackerError> {
        let (tag, text) = match record {
            LogRecord::Report { values } => return self.report(study, values, at),
            LogRecord::Note { text } => ("note".to_owned(), text.clone()),
            LogRecord::Warning { text } => ("warning".to_owned(), text.clone()),
            LogRecord::Output { name, value } => (format!("output/{name}"), value.to_string()),
            LogRecord::Param { name, value } => (format!("param/{name}"), value.to_string()),
            LogRecord::Facts { model_path, facts } => {
                let facts: Vec<_> = facts.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                ("model".to_owned(), format!("{model_path}: {}", facts.join(", ")))
            }
            LogRecord::Dataset { data_dir, md5, .. } => ("dataset".to_owned(), named(data_dir, md5.as_ref())),
            LogRecord::Model { model_path, md5, .. } => ("model".to_owned(), named(model_path, md5.as_ref())),
            LogRecord::Artifact { path, md5, .. } => ("artifact".to_owned(), named(path, md5.as_ref())),
            LogRecord::Checkpoint { .. } | LogRecord::Beyond { .. } => return Ok(()),
        };
        let step = self.step;
        summary(&mut self.event, at, step, |summary| text_value(summary, &tag, &text));
        self.write()
    }

    fn report(
        &mut self,
        study: &Study,
        values: &[(crate::space::Name, Datum)],
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        self.step = step::of_report(values, study.header().resource.as_ref(), self.reports);
        self.reports += 1;
        let step = self.step;
        summary(&mut self.event, at, step, |summary| {
            for (name, datum) in values {
                match datum {
                    Datum::Number(number) => scalar(summary, name, number.0),
                    Datum::Flag(flag) => text_value(summary, name, &flag.to_string()),
                    Datum::Text(text) => text_value(summary, name, text),
                }
            }
        });
        self.write()
    }

    fn metrics(&mut self, trial: &Path, due: &Due, ended: Timestamp) -> Result<(), TrackerError> {
        let mut tag = String::new();
        each_row(trial, due, |log, row| {
            let at = row.at.map_or(ended, |at| Timestamp::from_micros((at * 1e6).round() as i64));
            summary(&mut self.event, at, row.step, |summary| {
                for (name, datum) in &row.values {
                    tag.clear();
                    tag.extend([log, "/", name]);
                    match datum {
                        metric_rows::Datum::Number(number) => scalar(summary, &tag, *number),
                        metric_rows::Datum::Text(text) => text_value(summary, &tag, text),
                    }
                }
            });
            self.write()
        })
    }

    /// Adds the event to the file.
    fn write(&mut self) -> Result<(), TrackerError> {
        let Self { file, event, .. } = self;
        file.add(|out, _| frame(out, event.bytes()))
    }
}

fn named(path: &str, md5: Option<&String>) -> String {
    md5.map_or_else(|| path.to_owned(), |md5| format!("{path} ({md5})"))
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

/// Appends a record of the TFRecord format.
fn frame(out: &mut Vec<u8>, event: &[u8]) {
    let length = (event.len() as u64).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&check(&length).to_le_bytes());
    out.extend_from_slice(event);
    out.extend_from_slice(&check(event).to_le_bytes());
}

/// Returns Castagnoli's check as TFRecord stores it: masked, so that a check over data that holds checks stays good.
fn check(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Makes the event that a file begins with.
fn version(event: &mut Message, at: Timestamp) {
    event.clear();
    event.double(1, seconds(at));
    event.text(3, "brain.Event:2");
}

fn summary(event: &mut Message, at: Timestamp, step: i64, fill: impl FnOnce(&mut Message)) {
    event.clear();
    event.double(1, seconds(at));
    event.int(2, step);
    event.message(5, fill);
}

fn scalar(summary: &mut Message, tag: &str, number: f64) {
    summary.message(1, |value| {
        value.text(1, tag);
        value.float(2, number as f32);
    });
}

fn text_value(summary: &mut Message, tag: &str, text: &str) {
    const STRING: i64 = 7;
    summary.message(1, |value| {
        value.text(1, &format!("{tag}/text_summary"));
        value.message(8, |tensor| {
            tensor.int(1, STRING);
            tensor.message(2, |shape| shape.message(2, |dimension| dimension.int(1, 1)));
            tensor.text(8, text);
        });
        value.message(9, |metadata| metadata.message(1, |plugin| plugin.text(1, "text")));
    });
}

/// Makes an event with a message of the HParams plugin.
fn plugin(event: &mut Message, tag: &str, content: &Message, at: Timestamp) {
    summary(event, at, 0, |summary| {
        summary.message(1, |value| {
            value.text(1, tag);
            value.message(9, |metadata| {
                metadata.message(1, |plugin| {
                    plugin.text(1, "hparams");
                    plugin.data(2, content.bytes());
                });
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_record_has_its_length_and_both_checks() {
        let mut out = Vec::new();
        frame(&mut out, b"\x09\x00\x00\x80\x3e\x4d\xc8\xd9A\x1a\x0dbrain.Event:2");
        assert_eq!(out[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(out.len(), 24 + 16);
    }
}
