//! The `program` tracker: a program of the user that receives the journal's lines on its standard
//! input.
//!
//! The program receives every entry from the first one, also when a run resumes, each exactly as in
//! the journal. If the sweep file selects rows of metrics, they come too. It must exit when its
//! input ends. Its standard output and error go to a log file. It is a companion of the run, so
//! Ctrl-C reaches the trials but not the program that records how they ended.

use super::home::{self, Home, failed};
use super::metric_rows::{self, Datum, each_row, folder_of_attempt};
use super::retry::with_backoff;
use super::{Tracker, TrackerError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use swath_engine::companion::{self, Companion};
use swath_model::source::variables::fill_all;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{Attempt, Entry, Event, Kind, Metric, Setting, Study, TrialId};

/// Time that the program may take to exit after its input ends. Shorter than the patience at the
/// end of a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that a write waits for a program whose input is full, before it counts as a failure that
/// may pass.
const WRITE_TIMEOUT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "program",
    about: "a program of your own, fed the journal's lines on its standard input",
    paper: None,
    options: OPTIONS,
    capabilities: &[],
    build,
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "command",
        Takes::List(&Takes::Text),
        Preset::Required,
        "the program and its arguments; `{env:NAME}` is a variable of the caller",
    ),
    home::DIR,
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

fn build(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = diagnostics.list.len();
    let command = section.take_texts("command", diagnostics);
    // Rows of metrics are more than most programs want, so they come on request.
    let sends_rows = ["log_freq", "log_on_workers"]
        .into_iter()
        .any(|key| section.clone().take(key).is_some());
    let home = Home::take("program", &mut section, setting, diagnostics);
    let span = section.span.clone();
    match command {
        Some((command, _)) if command.first().is_some_and(|program| !program.is_empty()) => {
            let tracker = Program {
                home,
                command,
                sends_rows,
                rows_sent: BTreeMap::new(),
                running: None,
            };
            (diagnostics.list.len() == before).then(|| Box::new(tracker) as Box<dyn Tracker>)
        }
        // `command` has the wrong type, which is reported already.
        None if diagnostics.list.len() > before || section.has_misspelled("command") => None,
        other => {
            let error =
                Diagnostic::error("missing-command", "the tracker `program` needs a `command`")
                    .at(other.map_or(span, |(_, span)| span), "");
            diagnostics.push(error.hint("such as command = [\"python\", \"tracker.py\"]"));
            None
        }
    }
}

/// The state of the tracker.
struct Program {
    home: Home,
    command: Vec<String>,
    /// Whether the rows of metrics are sent, too.
    sends_rows: bool,
    /// The end of the rows that were sent, in bytes, for each log of each trial.
    rows_sent: BTreeMap<TrialId, BTreeMap<String, u64>>,
    /// The program, from the first entry until it is closed or has failed.
    running: Option<Running>,
}

/// A running program, its input (which does not block), and its log file.
struct Running {
    process: Box<dyn Companion>,
    input: PipeWriter,
    log: PathBuf,
}

impl Tracker for Program {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        match entry.event {
            // An attempt that starts anew writes new files.
            Event::Started {
                trial,
                resume: false,
                ..
            } => _ = self.rows_sent.remove(&trial),
            Event::Ended { trial, attempt, .. } if self.sends_rows => {
                self.send_rows(study, trial, attempt)?;
            }
            _ => {}
        }
        self.send(study, entry)
    }

    /// Does nothing: every line is written at once.
    fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
        Ok(())
    }

    fn close(&mut self, _study: &Study) -> Result<(), TrackerError> {
        let Some(Running {
            mut process,
            input,
            log,
        }) = self.running.take()
        else {
            return Ok(());
        };
        drop(input);
        match companion::wait(&mut *process, PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failure(status, &log)),
            None => {
                process.kill();
                Err(TrackerError::Other(format!(
                    "`{}` was killed: it did not exit within {} s after the end of its input",
                    self.command[0],
                    PATIENCE.as_secs()
                )))
            }
        }
    }
}

impl Program {
    /// Sends the rows of metrics that an attempt has added, each as a line of its own.
    fn send_rows(
        &mut self,
        study: &Study,
        trial: TrialId,
        attempt: Attempt,
    ) -> Result<(), TrackerError> {
        let folder = folder_of_attempt(&self.home.trial(study, trial)?, attempt);
        let mut sent = self.rows_sent.remove(&trial).unwrap_or_default();
        let due = self.home.due.clone();
        each_row(&folder, &due, |log, row| {
            if sent.get(log).is_some_and(|end| row.bytes.start < *end) {
                return Ok(());
            }
            let values: Map<String, Value> = row
                .values
                .iter()
                .map(|(key, datum)| match datum {
                    Datum::Number(number) => (key.to_string(), json!(Metric(*number))),
                    Datum::Text(text) => (key.to_string(), json!(text)),
                })
                .collect();
            let mut metrics =
                json!({ "trial": trial, "attempt": attempt, "log": log, "values": values });
            for (key, value) in row.location {
                metrics[key] = value;
            }
            self.send(study, &json!({ "metrics": metrics }))?;
            sent.insert(log.to_owned(), row.bytes.end);
            Ok(())
        })?;
        self.rows_sent.insert(trial, sent);
        Ok(())
    }

    /// Writes a line to the program, which is started for the first one.
    fn send(&mut self, study: &Study, content: &impl Serialize) -> Result<(), TrackerError> {
        let mut line =
            serde_json::to_vec(content).map_err(|error| TrackerError::Other(error.to_string()))?;
        line.push(b'\n');
        // Start the program at the first entry: only then is the study known.
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start(study)?,
        };
        let mut unwritten = &line[..];
        // A program that does not read is waited for like a server that is away.
        let written = with_backoff(|| match running.write(&mut unwritten) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(TrackerError::Away(
                format!("`{}` does not read its input", self.command[0]),
            )),
            result => Ok(result),
        });
        match written {
            Ok(Ok(())) => {
                self.running = Some(running);
                Ok(())
            }
            // The program has closed its input, usually because it has ended.
            Ok(Err(_)) => Err(self.reason_for_end(running)),
            Err(error) => {
                running.process.kill();
                Err(error)
            }
        }
    }

    /// Starts the program with its log file.
    fn start(&self, study: &Study) -> Result<Running, TrackerError> {
        let folder = self.home.root(study)?;
        let study_dir = self.home.study()?;
        let study_dir = std::path::absolute(study_dir).map_err(failed(study_dir))?;
        let stem = Path::new(&self.command[0]).file_stem().unwrap_or_default();
        let log = folder.join(stem).with_extension("log");
        let (out, err) = create_log(&folder, &log).map_err(failed(&log))?;
        let command =
            fill_all(&self.command).map_err(|unset| TrackerError::Other(unset.to_string()))?;
        let env = [("SWATH_STUDY_DIR", study_dir.into())];
        let started = io::pipe().and_then(|(stdin, input)| {
            // Writes return instead of block.
            fcntl_setfl(&input, fcntl_getfl(&input)? | OFlags::NONBLOCK)?;
            let stdio = [stdin.into(), out.into(), err.into()];
            Ok((companion::start(&command, &env, stdio)?, input))
        });
        let (process, input) = started.map_err(|error| self.start_failure(&error))?;
        Ok(Running {
            process,
            input,
            log,
        })
    }

    fn start_failure(&self, error: &io::Error) -> TrackerError {
        TrackerError::Other(format!(
            "`{}` could not be started: {error}",
            self.command[0]
        ))
    }

    /// Returns the reason why the program reads no more: its exit status, or that it closed its
    /// input. Kills it if it has not exited.
    fn reason_for_end(&self, running: Running) -> TrackerError {
        let Running {
            mut process, log, ..
        } = running;
        match companion::wait(&mut *process, PATIENCE) {
            Some(status) => self.failure(status, &log),
            None => {
                process.kill();
                TrackerError::Other(format!("`{}` closed its input", self.command[0]))
            }
        }
    }

    /// Returns an error with the exit status and the last non-empty line of the log.
    fn failure(&self, status: ExitStatus, log: &Path) -> TrackerError {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last_line = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let last_line: String = last_line.chars().take(200).collect();
        let colon = if last_line.is_empty() { "" } else { ": " };
        TrackerError::Other(format!(
            "`{}` ended with {status}{colon}{last_line}",
            self.command[0]
        ))
    }
}

impl Running {
    /// Writes the bytes, and removes those that were written from the slice. Fails with
    /// [`ErrorKind::WouldBlock`] if the program reads nothing for [`WRITE_TIMEOUT`].
    fn write(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.input.write(bytes) {
                Ok(count) => *bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut pipe = [PollFd::new(&self.input, PollFlags::OUT)];
                    let ready =
                        rustix::io::retry_on_intr(|| poll(&mut pipe, Some(&WRITE_TIMEOUT)))?;
                    if ready == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Program {
    /// Closes the program's input when the run abandons the tracker, and does not wait for it
    /// to exit.
    fn drop(&mut self) {
        if let Some(Running {
            mut process, input, ..
        }) = self.running.take()
        {
            drop(input);
            let _ = process.try_wait();
        }
    }
}

/// Creates the log file and its folder. Returns the file twice, for both output streams.
fn create_log(folder: &Path, log: &Path) -> io::Result<(File, File)> {
    std::fs::create_dir_all(folder)?;
    let file = File::create(log)?;
    Ok((file.try_clone()?, file))
}
