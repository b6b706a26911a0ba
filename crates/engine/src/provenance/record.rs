//! Reads back the provenance of a study: for each trial the code and machine at its start.

use super::git::md5_of;
use super::{Environment, Found, NodeEnvironment};
use crate::journal::{Journal, JournalError, StudyDir};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use swath_model::study::{Entry, Event, Header, Place, Timestamp, TrialId};

/// The provenance of a trial: the state when its last attempt started.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The header of the sweep file at that time.
    pub header: Arc<Header>,
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

/// The last start of each trial, as the journal has it.
#[derive(Debug, Clone, Default)]
pub struct Starts {
    header: Arc<Header>,
    /// The host and the job of each place at which trials started.
    places: Vec<(String, Option<String>)>,
    trials: BTreeMap<TrialId, Start>,
}

/// The start of an attempt.
#[derive(Debug, Clone)]
struct Start {
    header: Arc<Header>,
    seq: u64,
    at: Timestamp,
    until: Option<swath_model::study::Resource>,
    resumed: bool,
    /// The index of its place, once that is known.
    place: Option<usize>,
}

impl Starts {
    /// Takes in an entry of the journal. Entries are given in their order.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Opened { header, .. } | Event::Edited { header, .. } => {
                self.header = Arc::new(header.clone());
            }
            Event::Started {
                trial,
                until,
                resume,
                ..
            } => {
                let start = Start {
                    header: Arc::clone(&self.header),
                    seq: entry.seq,
                    at: entry.at,
                    until: *until,
                    resumed: *resume,
                    place: None,
                };
                self.trials.insert(*trial, start);
            }
            Event::Placed { trial, place, .. } => {
                let index = self.index_of(place);
                if let Some(start) = self.trials.get_mut(trial) {
                    start.place = Some(index);
                }
            }
            _ => {}
        }
    }

    /// Returns the index of a place, which is kept if it is new.
    fn index_of(&mut self, place: &Place) -> usize {
        // Most trials start where the last one did.
        let mut places = self.places.iter();
        let known = places.rposition(|(host, job)| (host, job) == (&place.host, &place.job));
        known.unwrap_or_else(|| {
            self.places.push((place.host.clone(), place.job.clone()));
            self.places.len() - 1
        })
    }
}

impl Record {
    /// Reads the provenance of a study. Files beside the journal that are missing or unreadable are
    /// omitted.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn of(dir: &StudyDir) -> Result<Self, JournalError> {
        let mut starts = Starts::default();
        for entry in Journal::open(dir)?.without_reports() {
            starts.apply(&entry?);
        }
        Ok(Self::with_starts(dir, &starts))
    }

    /// Reads the provenance of a study whose starts were read before.
    #[must_use]
    pub fn with_starts(dir: &StudyDir, starts: &Starts) -> Self {
        let nodes = node_environments(dir);
        // The pilot of a later job on the same machine has a later record.
        let nodes: Vec<Option<&NodeEnvironment>> = starts
            .places
            .iter()
            .map(|(host, job)| nodes.iter().rfind(|n| (&n.host, &n.job) == (host, job)))
            .collect();
        let mut record = Self {
            patches: patches(dir),
            environments: environments(dir),
            trials: BTreeMap::new(),
        };
        for (trial, start) in &starts.trials {
            let mut environments = record.environments.iter();
            let environment = environments.rposition(|environment| environment.since <= start.seq);
            let made = Made {
                header: Arc::clone(&start.header),
                environment,
                on_node: None,
                at: Some(start.at),
                until: start.until,
                resumed: start.resumed,
            };
            record.trials.insert(*trial, made);
            let node = start.place.and_then(|index| nodes[index]);
            record.set_node(*trial, node);
        }
        record
    }

    /// Replaces the facts about the orchestrator's machine by those about the machine of the trial.
    fn set_node(&mut self, trial: TrialId, node: Option<&NodeEnvironment>) {
        let Some(node) = node else { return };
        let environment = self.environment(trial).cloned();
        let Some(made) = self.trials.get_mut(&trial) else {
            return;
        };
        made.on_node = environment.map(|environment| Environment {
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
