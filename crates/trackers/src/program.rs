//! The `program` tracker: a program of the user that receives the journal's lines on its standard
//! input.
//!
//! The program receives every entry from the first one, also when a run resumes, each exactly as in
//! the journal. It must exit when its input ends. Its standard output and error go to a log file.
//! It runs in its own process group, so that Ctrl-C reaches the trials but not the program that
//! records how they ended.

use super::home::{self, Home, failed};
use super::{Tracker, TrackerError, metric_rows};
use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::study::{Entry, Kind, Setting, Study};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Maximum number of lines queued for the program.
const QUEUE: usize = 1 << 14;

/// Time that the program may leave its full queue unread, and time that it may take to exit after
/// its input ends. Shorter than the patience at the end of a run.
const PATIENCE: Duration = Duration::from_secs(5);

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
        "the program and its arguments",
    ),
    home::DIR,
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

fn build(
    mut section: Section,
    setting: &Setting,
    said: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = said.list.len();
    let command = section.take_texts("command", said);
    let home = Home::take("program", &mut section, setting, said);
    let span = section.span.clone();
    match command {
        Some((command, _)) if command.first().is_some_and(|program| !program.is_empty()) => {
            let fed = Program {
                home,
                command,
                running: None,
            };
            (said.list.len() == before).then(|| Box::new(fed) as Box<dyn Tracker>)
        }
        // `command` has the wrong type, which is reported already.
        None if said.list.len() > before => None,
        other => {
            let error =
                Diagnostic::error("missing-command", "the tracker `program` needs a `command`")
                    .at(other.map_or(span, |(_, span)| span), "");
            said.push(error.hint("such as command = [\"python\", \"tracker.py\"]"));
            None
        }
    }
}

/// The state of the tracker.
struct Program {
    home: Home,
    command: Vec<String>,
    /// The program, from the first entry until it is closed or has failed.
    running: Option<Running>,
}

/// A running program, the thread that writes to it, and its log file.
struct Running {
    child: Child,
    lines: Sender<Vec<u8>>,
    writer: JoinHandle<std::io::Result<()>>,
    log: PathBuf,
}

impl Tracker for Program {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let mut line =
            serde_json::to_vec(entry).map_err(|error| TrackerError::Other(error.to_string()))?;
        line.push(b'\n');
        // Start the program at the first entry: only then is the study known.
        let running = match self.running.take() {
            Some(running) => running,
            None => self.start(study)?,
        };
        match running.lines.send_timeout(line, PATIENCE) {
            Ok(()) => {
                self.running = Some(running);
                Ok(())
            }
            Err(SendTimeoutError::Timeout(_)) => {
                let why = format!(
                    "`{}` took nothing in for {} s",
                    self.command[0],
                    PATIENCE.as_secs()
                );
                running.kill();
                Err(TrackerError::Other(why))
            }
            // The writer thread has ended, so a write to the program's input failed.
            Err(SendTimeoutError::Disconnected(_)) => Err(self.ended(running)),
        }
    }

    fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
        Ok(())
    }

    fn close(&mut self, _study: &Study) -> Result<(), TrackerError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let Running {
            mut child,
            lines,
            writer,
            log,
        } = running;
        // Closing the queue ends the writer thread, which closes the program's input.
        drop(lines);
        match wait(&mut child) {
            Some(status) if status.success() => {
                let _ = writer.join();
                Ok(())
            }
            Some(status) => Err(self.said(status, &log)),
            None => {
                kill(child);
                let seconds = PATIENCE.as_secs();
                let why = format!(
                    "`{}` did not end within {seconds} s of its input",
                    self.command[0]
                );
                Err(TrackerError::Other(why))
            }
        }
    }
}

impl Program {
    /// Starts the program with its log file and the thread that writes to it.
    fn start(&self, study: &Study) -> Result<Running, TrackerError> {
        let folder = self.home.root(study)?;
        let given = self.home.study()?;
        let given = std::path::absolute(given).map_err(failed(given))?;
        let stem = Path::new(&self.command[0]).file_stem().unwrap_or_default();
        let log = folder.join(stem).with_extension("log");
        let open = || {
            std::fs::create_dir_all(&folder)?;
            let out = File::create(&log)?;
            Ok((out.try_clone()?, out))
        };
        let (out, err) = open().map_err(failed(&log))?;
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("SWATH_STUDY_DIR", given)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            // Ctrl-C signals the foreground process group, which the program must outlive.
            .process_group(0)
            .spawn();
        let mut child = child.map_err(|error| {
            TrackerError::Other(format!(
                "`{}` could not be started: {error}",
                self.command[0]
            ))
        })?;
        let (lines, waiting) = bounded(QUEUE);
        let stdin = child
            .stdin
            .take()
            .ok_or_else(|| TrackerError::Other("it has no input".to_owned()))?;
        let writer = thread::Builder::new()
            .name("tracker".to_owned())
            .spawn(move || feed(stdin, &waiting));
        let writer = writer.map_err(|error| TrackerError::Other(error.to_string()))?;
        Ok(Running {
            child,
            lines,
            writer,
            log,
        })
    }

    /// Returns the reason why the program reads no more: its exit status, or that it closed its
    /// input.
    fn ended(&self, running: Running) -> TrackerError {
        let Running { mut child, log, .. } = running;
        match wait(&mut child) {
            Some(status) => self.said(status, &log),
            None => {
                kill(child);
                TrackerError::Other(format!("`{}` closed its input", self.command[0]))
            }
        }
    }

    /// Returns an error with the exit status and the last non-empty line of the log.
    fn said(&self, status: ExitStatus, log: &Path) -> TrackerError {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let last: String = last.chars().take(200).collect();
        let colon = if last.is_empty() { "" } else { ": " };
        TrackerError::Other(format!(
            "`{}` ended with {status}{colon}{last}",
            self.command[0]
        ))
    }
}

impl Running {
    /// Kills the program. The writer thread ends by itself when its next write fails.
    fn kill(self) {
        kill(self.child);
    }
}

impl Drop for Program {
    /// Closes the program's input when the run abandons the tracker, and does not wait for it
    /// to exit.
    fn drop(&mut self) {
        if let Some(Running {
            mut child, lines, ..
        }) = self.running.take()
        {
            drop(lines);
            let _ = child.try_wait();
        }
    }
}

/// Writes lines to the program until the queue is closed. Flushes whenever the queue is empty.
fn feed(stdin: ChildStdin, lines: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, stdin);
    while let Ok(line) = lines.recv() {
        out.write_all(&line)?;
        // Batch the writes while lines arrive quickly; deliver at once when they do not.
        if lines.is_empty() {
            out.flush()?;
        }
    }
    out.flush()
}

/// Polls the program until it exits. Returns `None` if it does not exit in time.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}

/// Kills the program and reaps it.
fn kill(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}
