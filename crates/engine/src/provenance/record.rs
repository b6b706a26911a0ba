//! Reads back the provenance of a study: for each trial the code and machine at its start.

use super::git::md5_of;
use super::{Environment, Found, NodeEnvironment};
use crate::journal::{Journal, JournalError, StudyDir};
use std::collections::BTreeMap;
use std::path::PathBuf;
use swath_model::study::{Event, Header, Timestamp, TrialId};

/// The provenance of a trial: the state when its last attempt started.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The header of the sweep file at that time.
    pub header: Header,
    /// The index of its environment in [`Record::environments`], if one was recorded.
    pub environment: Option<usize>,
    /// The environment on the machine of its pilot, if it ran in one.
    on_node: Option<Environment>,
    /// The time at which the attempt started.
    pub at: Option<Timestamp>,
    /// The resource at which the attempt was to pause or end.
    pub until: Option<swath_model::study::Resource>,
    /// Whether the attempt resumed from a checkpoint.
    pub resumed: bool,
}

/// The provenance of a study.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The machine and code of every run that differed from the run before, the oldest first.
    pub environments: Vec<Environment>,
    /// The paths of the patches, by their md5.
    pub patches: BTreeMap<String, PathBuf>,
    trials: BTreeMap<TrialId, Made>,
}

impl Record {
    /// Reads the provenance of a study. Files beside the journal that are missing or unreadable are
    /// omitted.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn of(dir: &StudyDir) -> Result<Self, JournalError> {
        let environments = environments(dir);
        let nodes = node_environments(dir);
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
                    let environment = record
                        .environments
                        .iter()
                        .rposition(|environment| environment.since <= entry.seq);
                    let made = Made {
                        header: current.clone(),
                        environment,
                        on_node: None,
                        at: Some(entry.at),
                        until,
                        resumed: resume,
                    };
                    record.trials.insert(trial, made);
                }
                Event::Placed { trial, place, .. } => {
                    // The pilot of a later job on the same machine has a later record.
                    let node = nodes
                        .iter()
                        .rfind(|node| (&node.host, &node.job) == (&place.host, &place.job));
                    record.set_node(trial, node);
                }
                _ => {}
            }
        }
        Ok(record)
    }

    /// Replaces the facts about the orchestrator's machine by those about the machine of the trial.
    fn set_node(&mut self, trial: TrialId, node: Option<&NodeEnvironment>) {
        let environment = self.environment(trial).cloned();
        let Some(made) = self.trials.get_mut(&trial) else {
            return;
        };
        made.on_node = environment
            .zip(node)
            .map(|(environment, node)| Environment {
                machine: node.machine.clone(),
                variables: node.variables.clone(),
                found: environment.found.map(|found| Found {
                    gpus: node.gpus.clone(),
                    ..found
                }),
                ..environment
            });
    }

    /// Returns the provenance of a trial; `None` if it has not started.
    #[must_use]
    pub fn made(&self, trial: TrialId) -> Option<&Made> {
        self.trials.get(&trial)
    }

    /// Returns the machine and code of a trial; `None` if it has not started or none was recorded.
    /// The machine of a trial in a pilot is that of the pilot.
    #[must_use]
    pub fn environment(&self, trial: TrialId) -> Option<&Environment> {
        let made = self.made(trial)?;
        made.on_node
            .as_ref()
            .or_else(|| self.environments.get(made.environment?))
    }
}

/// Returns the machine and code of every run that differed from the run before, the oldest first:
/// those in `environment.1.json`… and `environment.json`.
#[must_use]
pub fn environments(dir: &StudyDir) -> Vec<Environment> {
    let earlier = (1..)
        .map(|version| dir.environment_version(version))
        .take_while(|path| path.exists());
    earlier
        .chain([dir.environment()])
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect()
}

/// Reads the descriptions of the machines of pilots, the oldest first.
fn node_environments(dir: &StudyDir) -> Vec<NodeEnvironment> {
    let mut nodes: Vec<NodeEnvironment> = dir
        .node_environments()
        .iter()
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect();
    nodes.sort_by_key(|node| node.at);
    nodes
}

fn patches(dir: &StudyDir) -> BTreeMap<String, PathBuf> {
    let earlier = (1..)
        .map(|version| dir.code_patch_version(version))
        .take_while(|path| path.exists());
    earlier
        .chain([dir.code_patch()])
        .filter_map(|path| Some((md5_of(&std::fs::read(&path).ok()?), path)))
        .collect()
}
