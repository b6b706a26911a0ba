//! Rebuilding a tracker's files from the journal and the trial folders.

use super::follow::{FollowError, follow};
use crate::sweep::{Registry, Rejected};
use std::sync::Arc;
use swath_engine::journal::{self, JournalError, Lock, StudyDir};
use swath_engine::provenance::Machine;
use swath_engine::tracker::Tracker;
use swath_engine::tracker::retry::Heartbeat;
use swath_model::source::{Diagnostics, Section, Source, Table};
use swath_model::study::Timestamp;
use swath_model::study::kind::find;

/// An error that prevents rebuilding a tracker's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The study has no copy of its sweep file, or it cannot be read.
    #[error("the study's sweep file could not be read")]
    Sweep(#[source] std::io::Error),
    /// This version of swath does not accept the sweep file or the tracker's options.
    #[error("the sweep file was rejected")]
    Rejected(Box<Rejected>),
    /// The journal could not be read, or a process runs the study.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The tracker could not follow the journal to its end.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Lets the tracker `name` follow the journal from its first entry to its end, with the options of
/// the study's sweep file: once per occurrence in it, or once without options if it does not occur.
/// Returns the number of trackers. Holds the lock meanwhile, because the trackers of a run may
/// write the same files.
///
/// # Errors
/// If a process runs the study, it cannot be read, or the tracker fails.
pub fn rebuild(registry: &Registry, dir: &StudyDir, name: &str) -> Result<usize, RebuildError> {
    // Fails if there is no study, before the lock would create its file.
    journal::read(dir)?;
    let _lock = Lock::take(dir, &Machine::here().holder(Timestamp::now()))?;
    let trackers = trackers(registry, dir, name)?;
    let count = trackers.len();
    for tracker in trackers {
        let heartbeat = Arc::new(Heartbeat::default());
        heartbeat.end();
        follow(dir, tracker, &heartbeat)?;
    }
    Ok(count)
}

fn trackers(
    registry: &Registry,
    dir: &StudyDir,
    name: &str,
) -> Result<Vec<Box<dyn Tracker>>, RebuildError> {
    let path = dir.sweep_toml();
    let text = std::fs::read_to_string(&path).map_err(RebuildError::Sweep)?;
    let source = Source {
        name: path.display().to_string(),
        text,
    };
    let sweep = registry
        .parse_for_function(source)
        .map_err(|rejected| RebuildError::Rejected(Box::new(rejected)))?;
    let named = sweep.trackers.iter().filter(|choice| choice.name == name);
    let mut sections: Vec<_> = named.map(|choice| choice.section.clone()).collect();
    if sections.is_empty() {
        sections.push(Section::new("tracker", 0..0, Table::default()));
    }
    let mut setting = sweep.setting(sweep.slots());
    setting.dir = Some(dir.root().to_owned());
    let mut diagnostics = Diagnostics::default();
    let kind = find(registry.trackers(), name);
    // Build all of them even after an error, so that all errors are reported.
    let trackers: Vec<_> = sections
        .into_iter()
        .map(|section| kind.and_then(|kind| kind.make(section, &setting, &mut diagnostics)))
        .collect();
    trackers.into_iter().collect::<Option<_>>().ok_or_else(|| {
        RebuildError::Rejected(Box::new(Rejected {
            source: sweep.source.clone(),
            diagnostics,
        }))
    })
}
