//! The interface of a batch system: submit jobs, list them, cancel them. Everything else is left to
//! the batch system.
//!
//! No call concerns a single trial. Each call has a time limit and is made in a thread of its own
//! (`engine_thread`), because an unreachable controller blocks its client programs for many
//! seconds.

use super::job::lock;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use swath_model::source::variables;

/// Time limit of one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Time for the end of a program's output after the end of the program.
const END_OF_OUTPUT: Duration = Duration::from_secs(1);

/// A batch system.
pub(crate) trait Engine: Send {
    /// Returns the largest number of equal jobs in one submission; 1 if the batch system has no
    /// arrays.
    fn max_array_size(&mut self) -> u32;

    /// Returns whether the batch system may restart a job by itself, as a further life of its
    /// pilot.
    fn restarts_jobs(&self) -> bool {
        false
    }

    /// Submits `job.count` jobs; returns the id of the submission.
    fn submit(&mut self, job: &Job) -> Result<String, SubmitError>;

    /// Returns the state of the known jobs of these submissions, with one call for all of them.
    fn list(&mut self, batches: &[Submitted]) -> Result<Vec<ListedJob>, String>;

    /// Requests the cancellation of jobs. Only [`list`](Self::list) shows whether it took effect.
    fn cancel(&mut self, ids: &[String]) -> Result<(), String>;
}

/// Jobs to submit together.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Name of the batch and of its jobs; never used twice.
    pub(crate) name: String,
    /// Number of jobs.
    pub(crate) count: u32,
    /// Script that each job runs; also stored in the file `path`.
    pub(crate) script: String,
    pub(crate) path: PathBuf,
    /// Path of a job's output, with `{index}` in place of the job's index.
    pub(crate) log: String,
    pub(crate) cpus: u32,
    pub(crate) gpus: u32,
    pub(crate) memory: Option<u64>,
    pub(crate) walltime: Option<Duration>,
    /// Nodes that the job must not use.
    pub(crate) avoid: Vec<String>,
    /// Time before the end of its walltime at which a job wants the warning signal.
    pub(crate) warning: Duration,
}

/// A submission of which jobs may exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submitted {
    pub(crate) name: String,
    /// Id of the submission; `None` if it is not known whether it was accepted.
    pub(crate) id: Option<String>,
    pub(crate) count: u32,
}

/// The state of one job according to the batch system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedJob {
    pub(crate) batch: String,
    pub(crate) index: u32,
    /// Id by which to cancel the job.
    pub(crate) id: String,
    pub(crate) phase: Phase,
}

/// Phases of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The job waits in the queue; holds the reason.
    Waiting(String),
    /// The job waits in the queue and can never start as it was submitted; holds the reason.
    Blocked(String),
    /// The job runs or is about to run.
    Running,
    /// The job is over; says how it ended.
    Over(String),
}

/// Reasons why a submission failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmitError {
    /// The batch system rejects these jobs for good; holds its message.
    Refused(String),
    /// A limit of the site is reached; the submission may succeed later.
    Later(String),
    /// The batch system did not answer and certainly submitted nothing.
    Unreachable(String),
    /// The outcome is unknown; the jobs have to be looked up by name.
    Unknown(String),
}

/// Exit and output of a client program of the batch system.
#[derive(Debug, Clone)]
pub(crate) struct CallOutput {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Reasons why a client program of the batch system gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The program could not be started.
    NoProgram(String),
    /// The program exceeded its time limit and was killed.
    TooLong(String),
}

impl CallError {
    pub(crate) fn message(self) -> String {
        match self {
            Self::NoProgram(message) | Self::TooLong(message) => message,
        }
    }
}

/// Runs a program with `input` on its standard input, with the time limit [`CALL_LIMIT`]. Variables
/// of the caller (`{env:NAME}`) in its words are filled in: a study stores its secrets like that.
pub(crate) fn call(words: &[String], input: &str) -> Result<CallOutput, CallError> {
    let words =
        variables::fill_all(words).map_err(|unset| CallError::NoProgram(unset.to_string()))?;
    call_within(&words, input, CALL_LIMIT)
}

fn call_within(words: &[String], input: &str, limit: Duration) -> Result<CallOutput, CallError> {
    let [program, arguments @ ..] = words else {
        return Err(CallError::NoProgram("the command is empty".to_owned()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| start_error(program, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input gives the reason in its output.
        stdin.write_all(input.as_bytes()).ok();
    }
    let out = Drain::start(child.stdout.take());
    let err = Drain::start(child.stderr.take());
    let begun = Instant::now();
    let mut nap = Duration::from_millis(1);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < limit => {
                std::thread::sleep(nap);
                nap = (nap * 2).min(Duration::from_millis(50));
            }
            _ => {
                child.kill().ok();
                child.wait().ok();
                return Err(CallError::TooLong(format!(
                    "`{program}` did not answer within {} s",
                    limit.as_secs()
                )));
            }
        }
    };
    Ok(CallOutput {
        success: status.success(),
        out: out.text(),
        err: err.text(),
    })
}

fn start_error(program: &str, error: &io::Error) -> CallError {
    CallError::NoProgram(match error.kind() {
        ErrorKind::NotFound => format!(
            "`{program}` is not on PATH: this machine has no such batch system, or its module is not loaded"
        ),
        _ => format!("could not start `{program}`: {error}"),
    })
}

/// The output of a program, read in a thread so that a program with much output does not block.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: crossbeam_channel::Receiver<()>,
}

impl Drain {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = crossbeam_channel::bounded(1);
        let written = Arc::clone(&bytes);
        std::thread::spawn(move || {
            if let Some(pipe) = pipe {
                read_into(pipe, &written);
            }
            sender.send(()).ok();
        });
        Self { bytes, ended }
    }

    /// Returns the output of a program that has ended. A child that it left behind may hold the
    /// pipe open for as long as it likes: after a moment, the output so far counts.
    fn text(&self) -> String {
        self.ended.recv_timeout(END_OF_OUTPUT).ok();
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }
}

/// Reads a pipe to its end. An error ends the output, too.
fn read_into(mut pipe: impl Read, bytes: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => lock(bytes).extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Returns the non-empty lines of a text, trimmed and joined by `; `.
pub(crate) fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn variables_of_the_caller_are_filled_into_a_command() {
        let path = std::env::var("PATH").unwrap();
        let answer = call(
            &words(&["printf", "%s", "<{env:PATH}>{env:UNSET_VARIABLE:-x}"]),
            "",
        );
        assert_eq!(answer.unwrap().out, format!("<{path}>x"));
        let unset = call(&words(&["printf", "{env:UNSET_VARIABLE}"]), "").unwrap_err();
        assert!(unset.message().contains("UNSET_VARIABLE"));
    }

    #[test]
    fn a_program_receives_its_input_and_its_output_is_returned() {
        let answer = call(&words(&["sh", "-c", "cat; echo oops >&2; exit 3"]), "hello").unwrap();
        assert_eq!(
            (answer.success, answer.out.as_str(), answer.err.as_str()),
            (false, "hello", "oops\n")
        );
    }

    #[test]
    fn the_output_of_a_program_counts_though_a_child_of_it_holds_the_pipe() {
        let answer = call(&words(&["sh", "-c", "echo 42; sleep 30 & exit 0"]), "").unwrap();
        assert_eq!((answer.success, answer.out.as_str()), (true, "42\n"));
    }

    #[test]
    fn a_program_that_does_not_answer_is_killed_and_a_missing_one_is_named() {
        let late = call_within(&words(&["sleep", "60"]), "", Duration::from_millis(50));
        assert_eq!(
            late.unwrap_err(),
            CallError::TooLong("`sleep` did not answer within 0 s".to_owned())
        );
        let none = call(&words(&["swath-no-such-program"]), "")
            .unwrap_err()
            .message();
        assert!(
            none.starts_with("`swath-no-such-program` is not on PATH"),
            "{none}"
        );
    }
}
