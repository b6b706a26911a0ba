//! The `tensorboard` tracker: one event file per trial, with reports and metrics as scalars, texts,
//! and the messages that the HParams page needs to compare trials.
//!
//! An event file consists of records, each an `Event`:
//! <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>. Scalars are
//! written as 32-bit floats, the precision that the pages show, because not every reader supports
//! 64 bits.

use super::home::{self, Home, failed, replace};
use super::hparams::{self, End};
use super::image::{Image, images_of};
use super::metric_rows::{self, LogSteps, each_row};
use super::proto::{self, Message};
use super::steps::{Rescale, Steps};
use super::trial_file::TrialFile;
use super::{Tracker, TrackerError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use swath_model::space::{Name, Value};
use swath_model::study::{
    Datum, Due, Entry, Event, Kind, LogRecord, Origin, Study, Timestamp, TrialId, TrialState,
    Verdict,
};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "tensorboard",
    about: "event files with scalars, text and hparams for TensorBoard",
    paper: None,
    options: &[
        home::DIR,
        metric_rows::LOG_FREQ,
        metric_rows::LOG_ON_WORKERS,
    ],
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let home = Home::take("tensorboard", &mut section, setting, diagnostics);
        Some(Box::new(TensorBoard {
            home,
            runs: BTreeMap::new(),
            steps: Steps::default(),
            began: None,
        }))
    },
};

/// The state of the tracker.
struct TensorBoard {
    home: Home,
    runs: BTreeMap<TrialId, Run>,
    steps: Steps,
    /// The time of the first entry, which is part of the file names.
    began: Option<Timestamp>,
}

/// The event file of a trial, with the state that is needed to extend it.
struct Run {
    path: PathBuf,
    file: TrialFile,
    /// Whether no attempt of the trial has started yet.
    is_new: bool,
    /// The exported step of the last report.
    step: i64,
    /// A reusable buffer for the event under construction.
    event: Message,
}

impl Tracker for TensorBoard {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        // The first entry of this run: the description of an earlier run would hide new values.
        if self.began.is_none() {
            self.began = Some(entry.at);
            self.remove_description(study, entry.at)?;
        }
        match &entry.event {
            Event::Created { trial, origin, .. } => {
                self.runs
                    .insert(*trial, Run::new(self.path(study, Some(*trial), entry.at)?));
                // A clone may replace a paused trial, which this event stops.
                if let Origin::Cloned {
                    instead: Some(other),
                    ..
                } = origin
                {
                    self.write_outcome(study, *other, entry.at)?;
                }
            }
            Event::Started { trial, resume, .. } => {
                let Some(run) = self.runs.get_mut(trial) else {
                    return Ok(());
                };
                run.start(study, *trial, *resume, entry.at)?;
            }
            Event::Logged { trial, record, .. } => {
                if let LogRecord::Report { .. } = record {
                    self.advance(study, *trial)?;
                }
                let Some(run) = self.runs.get_mut(trial) else {
                    return Ok(());
                };
                run.append_record(record, entry.at)?;
            }
            Event::Ended { trial, .. } => {
                let folder = self.home.trial(study, *trial)?;
                let Some(run) = self.runs.get_mut(trial) else {
                    return Ok(());
                };
                run.file.begin_tail();
                run.append_rows(
                    (&folder, &self.home.due),
                    study.header().resource.as_ref(),
                    entry.at,
                )?;
                if let Some(about) = study.trial(*trial) {
                    run.append_images(&images_of(about, &folder), entry.at)?;
                }
                self.write_outcome(study, *trial, entry.at)?;
            }
            Event::Judged {
                trial,
                verdict: Verdict::Stop,
                ..
            } => self.write_outcome(study, *trial, entry.at)?,
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

    /// Writes the description of the experiment with all values that occur. Written only at the
    /// end: while the study runs, TensorBoard derives the values by itself, and a description that
    /// lacks some values would hide the trials that have them.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        self.sync(study)?;
        let Some(began) = self.began else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let mut event = Message::default();
        version(&mut event, began);
        frame(&mut bytes, event.bytes());
        plugin(
            &mut event,
            hparams::EXPERIMENT,
            &hparams::experiment(study),
            began,
        );
        frame(&mut bytes, event.bytes());
        replace(&self.path(study, None, began)?, &bytes)
    }
}

impl TensorBoard {
    /// Removes the description of the experiment that an earlier run wrote.
    fn remove_description(&self, study: &Study, began: Timestamp) -> Result<(), TrackerError> {
        let path = self.path(study, None, began)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Sets the trial's step to that of its latest report, and rescales the earlier steps of all
    /// trials on the same axis if that report requires it.
    fn advance(&mut self, study: &Study, id: TrialId) -> Result<(), TrackerError> {
        let Some(trial) = study.trial(id) else {
            return Ok(());
        };
        let (step, changes) = self.steps.report(trial);
        for Rescale { trial, factor } in changes {
            self.runs
                .get_mut(&trial)
                .map_or(Ok(()), |run| run.rescale(factor))?;
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.step = step;
        }
        Ok(())
    }

    /// Returns the path of a trial's event file, or of the experiment's if `trial` is `None`.
    fn path(
        &self,
        study: &Study,
        trial: Option<TrialId>,
        at: Timestamp,
    ) -> Result<PathBuf, TrackerError> {
        let folder = trial.map(|trial| trial.to_string()).unwrap_or_default();
        let file = format!(
            "events.out.tfevents.{}.swath.0.0",
            at.as_micros().div_euclid(1_000_000)
        );
        Ok(self.home.root(study)?.join(folder).join(file))
    }

    /// Writes the outcome of a trial if its state is final, and flushes its file.
    fn write_outcome(
        &mut self,
        study: &Study,
        id: TrialId,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        let (Some(run), Some(trial)) = (self.runs.get_mut(&id), study.trial(id)) else {
            return Ok(());
        };
        let end = match trial.state {
            TrialState::Complete => Some(End::Success),
            TrialState::Stopped => Some(End::Unknown),
            TrialState::Failed | TrialState::Invalid => Some(End::Failure),
            TrialState::Waiting | TrialState::Running | TrialState::Paused => None,
        };
        if let Some(end) = end {
            run.file.begin_tail();
            run.write_result(&study.result(trial), at)?;
            plugin(
                &mut run.event,
                hparams::END,
                &hparams::end(end, seconds(at)),
                at,
            );
            run.write()?;
        }
        run.file.flush()?;
        run.file.release_memory();
        Ok(())
    }
}

impl Run {
    fn new(path: PathBuf) -> Self {
        let file = TrialFile::new(path.clone());
        Self {
            path,
            file,
            is_new: true,
            step: 0,
            event: Message::default(),
        }
    }

    /// Begins the file, or continues it if the attempt resumes.
    fn start(
        &mut self,
        study: &Study,
        id: TrialId,
        resume: bool,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        let Some(trial) = study.trial(id) else {
            return Ok(());
        };
        // An attempt that resumes appends to the reports of earlier attempts; one that starts anew
        // replaces them.
        if resume && !self.is_new {
            return self.file.drop_tail();
        }
        *self = Self {
            is_new: false,
            ..Self::new(std::mem::take(&mut self.path))
        };
        version(&mut self.event, at);
        self.write()?;
        plugin(
            &mut self.event,
            hparams::START,
            &hparams::start(trial, seconds(at)),
            at,
        );
        self.write()
    }

    /// Appends a record: a report as scalars, all others as text.
    fn append_record(&mut self, record: &LogRecord, at: Timestamp) -> Result<(), TrackerError> {
        let (tag, text) = match record {
            LogRecord::Report { values } => return self.append_report(values, at),
            LogRecord::Note { text } => ("note".to_owned(), text.clone()),
            LogRecord::Warning { text } => ("warning".to_owned(), text.clone()),
            LogRecord::Invalid { why } => ("invalid".to_owned(), why.clone()),
            LogRecord::Absent { metric, why } => (format!("absent/{metric}"), why.clone()),
            LogRecord::Output { name, value } => (format!("output/{name}"), value.to_string()),
            LogRecord::Param { name, value } => (format!("param/{name}"), value.to_string()),
            LogRecord::Facts { model_path, facts } => {
                let facts: Vec<_> = facts
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect();
                (
                    "model".to_owned(),
                    format!("{model_path}: {}", facts.join(", ")),
                )
            }
            LogRecord::Dataset { data_dir, md5, .. } => (
                "dataset".to_owned(),
                path_with_digest(data_dir, md5.as_ref()),
            ),
            LogRecord::Model {
                model_path, md5, ..
            } => (
                "model".to_owned(),
                path_with_digest(model_path, md5.as_ref()),
            ),
            LogRecord::Artifact { path, md5, .. } => {
                ("artifact".to_owned(), path_with_digest(path, md5.as_ref()))
            }
            // Checkpoints and reports beyond the trial's resource are not part of its results.
            LogRecord::Checkpoint { .. } | LogRecord::Beyond { .. } => return Ok(()),
        };
        let step = self.step;
        summary(&mut self.event, at, step, |summary| {
            text_value(summary, &tag, &text);
        });
        self.write()
    }

    /// Appends a report as one event.
    fn append_report(
        &mut self,
        values: &[(Name, Datum)],
        at: Timestamp,
    ) -> Result<(), TrackerError> {
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

    /// Writes the trial's result under `result/`, all at step 0: the result is a single value per
    /// name, and its step is one of those values.
    fn write_result(
        &mut self,
        result: &[(String, Value)],
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        summary(&mut self.event, at, 0, |summary| {
            for (name, value) in result {
                let tag = format!("{}/{name}", hparams::RESULT);
                match value.as_f64() {
                    Some(number) => scalar(summary, &tag, number),
                    None => text_value(summary, &tag, &value.to_string()),
                }
            }
        });
        if result.is_empty() {
            Ok(())
        } else {
            self.write()
        }
    }

    /// Multiplies all steps in the body, which are all on the axis of the reports. Steps of metric
    /// rows are in the tail.
    fn rescale(&mut self, factor: i64) -> Result<(), TrackerError> {
        self.step = self.step.saturating_mul(factor);
        self.file.rewrite_body(|body| rescaled(body, factor))
    }

    /// Appends the metric rows of the trial's folder. Rows without a time get that of the attempt's
    /// end.
    fn append_rows(
        &mut self,
        (trial, due): (&Path, &Due),
        resource: Option<&Name>,
        ended: Timestamp,
    ) -> Result<(), TrackerError> {
        let mut steps = LogSteps::read(trial, due, resource)?;
        let mut tag = String::new();
        each_row(trial, due, |log, row| {
            let at = row.at.map_or(
                ended,
                |at| Timestamp::from_micros((at * 1e6).round() as i64),
            );
            summary(&mut self.event, at, steps.next(log, &row), |summary| {
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

    /// Appends images at the step of the last report, under `image/`.
    fn append_images(&mut self, images: &[Image], at: Timestamp) -> Result<(), TrackerError> {
        let step = self.step;
        for Image {
            name, size, bytes, ..
        } in images
        {
            summary(&mut self.event, at, step, |summary| {
                summary.message(1, |value| {
                    value.text(1, &format!("image/{name}"));
                    value.message(4, |image| {
                        image.int(1, size.1);
                        image.int(2, size.0);
                        // The number of channels, which the page does not show.
                        image.int(3, 3);
                        image.data(4, bytes);
                    });
                });
            });
            self.write()?;
        }
        Ok(())
    }

    /// Appends the current event to the file.
    fn write(&mut self) -> Result<(), TrackerError> {
        let Self { file, event, .. } = self;
        file.add(|out, _| frame(out, event.bytes()))
    }
}

/// Returns a path with its digest, if it has one.
fn path_with_digest(path: &str, md5: Option<&String>) -> String {
    md5.map_or_else(|| path.to_owned(), |md5| format!("{path} ({md5})"))
}

/// Returns a time in seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

/// Appends `event` as a record of the TFRecord format: length, checksum of the length, data,
/// checksum of the data.
fn frame(out: &mut Vec<u8>, event: &[u8]) {
    let length = (event.len() as u64).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_checksum(&length).to_le_bytes());
    out.extend_from_slice(event);
    out.extend_from_slice(&masked_checksum(event).to_le_bytes());
}

/// Returns `records` with their steps multiplied by `factor`. Incomplete records at the end are
/// kept unchanged.
fn rescaled(records: &[u8], factor: i64) -> Vec<u8> {
    const HEAD: usize = 12;
    const CHECK: usize = 4;
    let mut out = Vec::with_capacity(records.len() + records.len() / 8);
    let mut rest = records;
    while let Some((length, _)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let record_length = length.saturating_add(HEAD + CHECK);
        let Some((record, remainder)) = rest.split_at_checked(record_length) else {
            break;
        };
        let event = &record[HEAD..HEAD + length];
        frame(
            &mut out,
            &with_changed_step(event, |step| step.saturating_mul(factor)),
        );
        rest = remainder;
    }
    out.extend_from_slice(rest);
    out
}

/// Returns `event` with its step changed, if it has one. The step is expected directly after the
/// time, as this tracker writes it.
fn with_changed_step(event: &[u8], change: impl FnOnce(i64) -> i64) -> Cow<'_, [u8]> {
    const TIME: usize = 9;
    const STEP: u8 = 2 << 3;
    let Some((time, [STEP, rest @ ..])) = event.split_at_checked(TIME) else {
        return event.into();
    };
    let Some((step, rest)) = proto::varint(rest) else {
        return event.into();
    };
    let changed = Message::of(|message| message.int(2, change(step as i64)));
    [time, changed.bytes(), rest].concat().into()
}

/// Returns the CRC-32C (Castagnoli) checksum as TFRecord stores it: masked, so that a checksum over
/// data that contains checksums stays meaningful.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// Sets `event` to the first event of a file, which holds the format's version.
fn version(event: &mut Message, at: Timestamp) {
    event.clear();
    event.double(1, seconds(at));
    event.text(3, "brain.Event:2");
}

/// Sets `event` to one with a summary, whose values `fill` writes.
fn summary(event: &mut Message, at: Timestamp, step: i64, fill: impl FnOnce(&mut Message)) {
    event.clear();
    event.double(1, seconds(at));
    event.int(2, step);
    event.message(5, fill);
}

/// Adds a scalar to a summary, rounded to 32 bits.
fn scalar(summary: &mut Message, tag: &str, number: f64) {
    summary.message(1, |value| {
        value.text(1, tag);
        value.float(2, number as f32);
    });
}

/// Adds a text to a summary, in the form that the Text page shows: a tensor of one string.
fn text_value(summary: &mut Message, tag: &str, text: &str) {
    const STRING: i64 = 7;
    summary.message(1, |value| {
        value.text(1, &format!("{tag}/text_summary"));
        value.message(8, |tensor| {
            tensor.int(1, STRING);
            tensor.message(2, |shape| shape.message(2, |dimension| dimension.int(1, 1)));
            tensor.text(8, text);
        });
        value.message(9, |metadata| {
            metadata.message(1, |plugin| plugin.text(1, "text"));
        });
    });
}

/// Sets `event` to one that carries a message of the HParams plugin.
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
    use super::{Timestamp, frame, rescaled, scalar, summary, version};
    use crate::proto::Message;

    #[test]
    fn a_record_has_its_length_and_both_checksums() {
        let mut out = Vec::new();
        frame(
            &mut out,
            b"\x09\x00\x00\x80\x3e\x4d\xc8\xd9A\x1a\x0dbrain.Event:2",
        );
        assert_eq!(out[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(out.len(), 24 + 16);
    }

    /// Returns the records of a version event and of scalars at the given steps.
    fn records(steps: &[i64]) -> Vec<u8> {
        let (mut out, mut event, at) = (Vec::new(), Message::default(), Timestamp::from_micros(7));
        version(&mut event, at);
        frame(&mut out, event.bytes());
        for step in steps {
            summary(&mut event, at, *step, |summary| {
                scalar(summary, "loss", 0.5);
            });
            frame(&mut out, event.bytes());
        }
        out
    }

    #[test]
    fn rescaled_records_are_those_that_would_have_been_written_with_the_other_steps() {
        let steps = [0, 1, -4, 300];
        assert_eq!(
            rescaled(&records(&steps), 1_000_000),
            records(&steps.map(|step| step * 1_000_000))
        );
        assert_eq!(rescaled(&records(&steps), 0), records(&[0; 4]));
        let torn = [records(&[1]), vec![9, 0, 0]].concat();
        assert_eq!(rescaled(&torn, 2), [records(&[2]), vec![9, 0, 0]].concat());
    }
}
