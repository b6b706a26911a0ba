//! What a study keeps of how its trials were made, read back: for each trial the code and machine
//! at its start.

use super::Environment;
use super::git::md5_of;
use crate::journal::{Journal, JournalError, StudyDir};
use crate::study::{Event, Header, Timestamp, TrialId};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a trial was made: what held when its last attempt started.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// What the sweep file said.
    pub header: Header,
    /// Which of [`Record::environments`].
    pub environment: Option<usize>,
    /// When the attempt started.
    pub at: Option<Timestamp>,
    /// How far the scheduler let it go.
    pub until: Option<crate::study::Resource>,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
}

/// What a study keeps of how its trials were made.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The machine and the code of every run that differed from the one before, the first first.
    pub environments: Vec<Environment>,
    /// Where the patches are, by their md5.
    pub patches: BTreeMap<String, PathBuf>,
    trials: BTreeMap<TrialId, Made>,
}

impl Record {
    /// Reads what a study keeps. What is missing or unreadable beside the journal is absent.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn of(dir: &StudyDir) -> Result<Self, JournalError> {
        let environments = environments(dir);
        let mut record = Self {
            patches: patches(dir),
            environments,
            trials: BTreeMap::new(),
        };
        let mut current = Header::default();
        for entry in Journal::open(dir)? {
            let entry = entry?;
            match entry.event {
                Event::Opened { header, .. } | Event::Edited { header, .. } => current = header,
                Event::Started {
                    trial,
                    until,
                    resume,
                    ..
                } => {
                    let holds = |environment: &Environment| environment.since <= entry.seq;
                    let environment = record.environments.iter().rposition(holds);
                    let made = Made {
                        header: current.clone(),
                        environment,
                        at: Some(entry.at),
                        until,
                        resumed: resume,
                    };
                    record.trials.insert(trial, made);
                }
                _ => {}
            }
        }
        Ok(record)
    }

    /// Returns how a trial was made; `None` if it has not started.
    #[must_use]
    pub fn made(&self, trial: TrialId) -> Option<&Made> {
        self.trials.get(&trial)
    }

    /// Returns the machine and code of a trial.
    #[must_use]
    pub fn environment(&self, trial: TrialId) -> Option<&Environment> {
        self.environments.get(self.made(trial)?.environment?)
    }
}

/// Reads `environment.1.json`… and `environment.json`, the oldest first.
fn environments(dir: &StudyDir) -> Vec<Environment> {
    let earlier = (1..)
        .map(|version| dir.environment_version(version))
        .take_while(|path| path.exists());
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    earlier
        .chain([dir.environment()])
        .filter_map(read)
        .collect()
}

fn patches(dir: &StudyDir) -> BTreeMap<String, PathBuf> {
    let earlier = (1..)
        .map(|version| dir.code_patch_version(version))
        .take_while(|path| path.exists());
    let paths = earlier.chain([dir.code_patch()]);
    paths
        .filter_map(|path| Some((md5_of(&std::fs::read(&path).ok()?), path)))
        .collect()
}
