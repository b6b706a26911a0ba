//! The answer to a trial that asked whether it may continue: one small file in the trial's folder,
//! replaced atomically.
//!
//! A trial asks with the line `{"kind": "ask", "id": "…"}` after a report. The process that runs
//! the study answers once everything before that line is decided and in the journal.

use super::Directive;
use serde::{Deserialize, Serialize};
use std::fs;
#[cfg(feature = "supervise")]
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The name of the file.
const FILE: &str = "answer";

/// The first and the longest pause between two polls of the file.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(5));

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The `id` of the question.
    pub id: String,
    /// Whether the trial continues.
    pub directive: Directive,
    /// The reason in words; empty if the trial continues without one.
    #[serde(default)]
    pub why: String,
}

impl Answer {
    /// Waits for the answer to the question `id`, for at most `at_most`. Polls with growing pauses.
    pub(super) fn wait(trial: &Path, id: &str, at_most: Duration) -> Option<Self> {
        let (begun, file, (mut pause, longest)) = (Instant::now(), trial.join(FILE), PAUSES);
        loop {
            // The answer to an earlier question may still be there.
            if let Some(answer) = Self::read(&file).filter(|answer| answer.id == id) {
                return Some(answer);
            }
            if begun.elapsed() >= at_most {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }
}

#[cfg(feature = "supervise")]
impl Answer {
    /// Writes the answer to the trial's folder and replaces an earlier one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn give(&self, trial: &Path) -> io::Result<()> {
        // Written beside the target and renamed, so that the waiting trial never reads half an
        // answer.
        let part = trial.join("answer.part");
        crate::regular::write(&part, &serde_json::to_vec(self)?)?;
        fs::rename(part, trial.join(FILE))
    }

    /// Removes the answer of an earlier attempt.
    ///
    /// # Errors
    /// If a file exists and cannot be removed.
    pub(super) fn clear(trial: &Path) -> io::Result<()> {
        for name in [FILE, "answer.part"] {
            match fs::remove_file(trial.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_question_counts_and_the_wait_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let old = Answer {
            id: "1".into(),
            directive: Directive::Continue,
            why: String::new(),
        };
        old.give(folder.path()).unwrap();
        assert_eq!(
            Answer::wait(folder.path(), "2", Duration::from_millis(10)),
            None
        );
        let new = Answer {
            id: "2".into(),
            directive: Directive::Stop,
            why: "rank 8 of 9".into(),
        };
        let answer = new.clone();
        let path = folder.path().to_owned();
        let other = std::thread::spawn(move || answer.give(&path));
        assert_eq!(
            Answer::wait(folder.path(), "2", Duration::from_secs(10)),
            Some(new)
        );
        other.join().unwrap().unwrap();
    }
}
