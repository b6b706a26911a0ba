//! Preparations as a trainable: each runs as a trial does, and its output gets its name only when it
//! is whole.

use super::{Invocation, Launch, Outcome, Program, StudyContext, Trainable, TrialContext};
use crate::journal::{HALF_PREPARED, PREPARED};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use swath_log::{TrialLogger, regular};
use swath_model::space::Name;
use swath_model::study::preparation::OUTPUT_ROLE;
use swath_model::study::{Exit, Failure, Usage};

/// Beginning of the environment variables that have the paths of outputs.
const PREFIX: &str = "SWATH_PREPARE_";

/// The output of a preparation, as a program that reads it finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedFolder {
    /// Name of the preparation in the sweep file.
    pub name: Name,
    /// Absolute path of the output.
    pub folder: PathBuf,
}

impl PreparedFolder {
    /// Returns the environment variable that has the path: the prefix, and the name in capital
    /// letters.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = self.name.chars().map(|character| match character {
            letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
            _ => '_',
        });
        format!("{PREFIX}{}", name.collect::<String>())
    }
}

/// The settings of a preparation that differ from those of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparationLaunch {
    /// Name of the preparation in the sweep file.
    pub name: Name,
    /// Longest run time of an attempt; `None` for no limit.
    pub time: Option<Duration>,
}

impl Launch {
    /// Returns the stage of the pipeline that the attempt is part of: a preparation is a stage of
    /// its own.
    pub(super) fn stage(&self, study: &StudyContext) -> String {
        match &self.preparation {
            Some(preparation) => preparation.name.to_string(),
            None => study.stage.clone(),
        }
    }

    /// Returns the outputs of preparations that the program may name: those it reads, and its own
    /// unfinished one if it is a preparation itself.
    #[must_use]
    pub fn prepared_folders(&self) -> Vec<PreparedFolder> {
        let own = self.preparation.as_ref().map(|own| {
            let folder = self.dir.join(HALF_PREPARED);
            PreparedFolder {
                name: own.name.clone(),
                folder: std::path::absolute(&folder).unwrap_or(folder),
            }
        });
        self.prepared.iter().cloned().chain(own).collect()
    }
}

/// Trainable that runs preparations.
pub struct Preparing(pub Program);

impl Trainable for Preparing {
    fn invocation(&self, launch: &Launch, study: &StudyContext) -> Invocation {
        self.0.invocation(launch, study)
    }

    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        let dir = &trial.launch.dir;
        if let Err(error) = begin_output(dir) {
            trial.note_shortage(&error);
            let why = format!("could not make its output folder: {error}");
            return failed(Failure::Spawn(why));
        }
        let outcome = self.0.train(trial, log);
        if outcome.exit != Exit::Done {
            return outcome;
        }
        if is_empty(&dir.join(HALF_PREPARED)) {
            log.warn("it wrote nothing into its output folder".to_owned());
        }
        let kept = keep_output(dir);
        match kept.and_then(|()| record(&dir.join(PREPARED), log)) {
            Ok(()) => outcome,
            Err(error) => Outcome {
                exit: Exit::Failed(Failure::Error(format!(
                    "its output could not be kept: {error}"
                ))),
                ..outcome
            },
        }
    }

    fn ready(&self, slot: u32) -> Result<(), String> {
        self.0.ready(slot)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Removes the output of an earlier attempt of the preparation in the folder `dir`, whole or not, and
/// makes an empty folder for that of the next one.
///
/// # Errors
/// If an output cannot be removed, or the folder cannot be made.
pub fn begin_output(dir: &Path) -> io::Result<()> {
    let partial = dir.join(HALF_PREPARED);
    remove(&partial)?;
    remove(&dir.join(PREPARED))?;
    fs::create_dir_all(partial)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns whether a path is a folder without entries.
fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Gives the whole output of the preparation in the folder `dir` its name, once all of it is on the
/// disk.
///
/// # Errors
/// If the output cannot be synced or renamed.
pub fn keep_output(dir: &Path) -> io::Result<()> {
    let partial = dir.join(HALF_PREPARED);
    sync(&partial)?;
    fs::rename(partial, dir.join(PREPARED))
}

/// Writes everything below a path to the disk. The end of a preparation is synced in the journal,
/// and after a power cut an output that is said to be whole has to be whole.
fn sync(path: &Path) -> io::Result<()> {
    let file = regular::open_folder(path)?;
    // The file system as a whole: a prepared data set may have a million files.
    platform::sync_file_system(&file)
}

/// Records the digest and the size of an output.
fn record(output: &Path, log: &mut TrialLogger) -> io::Result<()> {
    let output = std::path::absolute(output)?;
    log.dataset(output, OUTPUT_ROLE).map_err(io::Error::other)
}

fn failed(failure: Failure) -> Outcome {
    Outcome {
        exit: Exit::Failed(failure),
        usage: Usage::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_an_earlier_attempt_is_removed_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let (partial, output) = (dir.join(HALF_PREPARED), dir.join(PREPARED));
        fs::create_dir_all(partial.join("shards")).unwrap();
        fs::write(partial.join("shards/0"), "half").unwrap();
        fs::write(&output, "a file in its place").unwrap();
        begin_output(dir).unwrap();
        assert!(is_empty(&partial) && !output.exists());
        fs::write(partial.join("0"), "whole").unwrap();
        keep_output(dir).unwrap();
        assert_eq!(fs::read(output.join("0")).unwrap(), b"whole");
        assert!(!partial.exists());
    }

    #[test]
    fn the_variable_of_a_preparation_has_capital_letters_and_digits_only() {
        let name = "tokens.bpe-2".into();
        let folder = PathBuf::new();
        let prepared = PreparedFolder { name, folder };
        assert_eq!(prepared.variable(), format!("{PREFIX}TOKENS_BPE_2"));
    }
}
