//! What a batch system has to be able to do: take jobs, list them, cancel them. Everything else is
//! its own business.
//!
//! No call is about a trial. Each has a time limit and happens in a thread of its own (`works`),
//! because a controller that is away lets its programs wait for many seconds.

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long one call may take.
pub(in crate::executor) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A batch system.
pub(in crate::executor) trait Engine: Send {
    /// Returns how many equal jobs one submission may ask for, 1 if it knows no arrays.
    fn most_at_once(&mut self) -> u32;

    /// Returns whether it may start a job again by itself, as a further life of its pilot.
    fn starts_again(&self) -> bool {
        false
    }

    /// Asks for `job.count` jobs; returns the id of the submission.
    fn submit(&mut self, job: &Job) -> Result<String, SubmitError>;

    /// Returns what is known of the jobs of these submissions. One call for all of them.
    fn list(&mut self, batches: &[Submitted]) -> Result<Vec<Seen>, String>;

    /// Asks to cancel jobs. A wish: [`list`](Self::list) tells what came of it.
    fn cancel(&mut self, ids: &[String]) -> Result<(), String>;
}

/// Jobs to submit.
#[derive(Debug, Clone)]
pub(in crate::executor) struct Job {
    /// The batch: names the jobs, and is never used twice.
    pub(in crate::executor) name: String,
    /// How many.
    pub(in crate::executor) count: u32,
    /// The script that each runs; it is in `path` too.
    pub(in crate::executor) script: String,
    pub(in crate::executor) path: PathBuf,
    /// Where job `index` is to print: with the index put for `{index}`.
    pub(in crate::executor) log: String,
    pub(in crate::executor) cpus: u32,
    pub(in crate::executor) gpus: u32,
    pub(in crate::executor) memory: Option<u64>,
    pub(in crate::executor) walltime: Option<Duration>,
    /// Nodes that it should not be on.
    pub(in crate::executor) avoid: Vec<String>,
    /// How long before its walltime a job wants to be told.
    pub(in crate::executor) warning: Duration,
}

/// A submission that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) struct Submitted {
    pub(in crate::executor) name: String,
    /// `None`: it is not known whether it was accepted.
    pub(in crate::executor) id: Option<String>,
    pub(in crate::executor) count: u32,
}

/// What the batch system says of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) struct Seen {
    pub(in crate::executor) batch: String,
    pub(in crate::executor) index: u32,
    /// What to cancel it by.
    pub(in crate::executor) id: String,
    pub(in crate::executor) phase: Phase,
}

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) enum Phase {
    /// It waits: why.
    Waiting(String),
    /// It runs or is about to.
    Running,
    /// It is over: how.
    Over(String),
}

/// Why jobs were not submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) enum SubmitError {
    /// They never will be, as they are: the engine's words.
    Refused(String),
    /// Not now: a limit of the site is reached.
    Later(String),
    /// The engine did not answer; surely nothing was submitted.
    Unreachable(String),
    /// It is not known; the jobs have to be looked for by name.
    Maybe(String),
}

/// What a program of the engine said.
#[derive(Debug, Clone)]
pub(in crate::executor) struct Answer {
    pub(in crate::executor) success: bool,
    pub(in crate::executor) out: String,
    pub(in crate::executor) err: String,
}

/// Why a program of the engine said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) enum CallError {
    /// It could not be started.
    NoProgram(String),
    /// It took too long and was ended.
    TooLong(String),
}

impl CallError {
    pub(in crate::executor) fn words(self) -> String {
        match self {
            Self::NoProgram(words) | Self::TooLong(words) => words,
        }
    }
}

/// Calls a program with a text on its standard input, within [`CALL_LIMIT`].
pub(in crate::executor) fn call(words: &[String], input: &str) -> Result<Answer, CallError> {
    call_within(words, input, CALL_LIMIT)
}

fn call_within(words: &[String], input: &str, limit: Duration) -> Result<Answer, CallError> {
    let [program, arguments @ ..] = words else {
        return Err(CallError::NoProgram("the command is empty".to_owned()));
    };
    let no = |error: &io::Error| {
        CallError::NoProgram(match error.kind() {
            ErrorKind::NotFound => format!(
                "`{program}` is not on PATH: this machine has no such batch system, or its module is not loaded"
            ),
            _ => format!("`{program}` could not be started: {error}"),
        })
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| no(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input says why in its own words.
        stdin.write_all(input.as_bytes()).ok();
    }
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
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
    let text = |taken: crossbeam_channel::Receiver<Vec<u8>>| {
        // What it started may hold the pipe open for longer than it lives.
        let bytes = taken
            .recv_timeout(Duration::from_secs(2))
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Answer {
        success: status.success(),
        out: text(out),
        err: text(err),
    })
}

/// Reads a pipe to its end in a thread, so that a program that says much is not held up.
fn drain(pipe: Option<impl Read + Send + 'static>) -> crossbeam_channel::Receiver<Vec<u8>> {
    let (give, take) = crossbeam_channel::bounded(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).ok();
        }
        give.send(bytes).ok();
    });
    take
}

/// Returns an answer's words on one line, without the program's own prefix on each.
pub(in crate::executor) fn one_line(text: &str) -> String {
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
    fn a_program_is_given_its_input_and_says_what_it_says() {
        let answer = call(&words(&["sh", "-c", "cat; echo oops >&2; exit 3"]), "hello").unwrap();
        assert_eq!(
            (answer.success, answer.out.as_str(), answer.err.as_str()),
            (false, "hello", "oops\n")
        );
    }

    #[test]
    fn a_program_that_does_not_answer_is_ended_and_one_that_is_not_there_is_named() {
        let late = call_within(&words(&["sleep", "60"]), "", Duration::from_millis(50));
        assert_eq!(
            late.unwrap_err(),
            CallError::TooLong("`sleep` did not answer within 0 s".to_owned())
        );
        let none = call(&words(&["swath-no-such-program"]), "")
            .unwrap_err()
            .words();
        assert!(
            none.starts_with("`swath-no-such-program` is not on PATH"),
            "{none}"
        );
    }
}
