//! Recomputes every proposal of a study from its journal and compares it bit for bit.

use super::{Parts, propose};
use crate::journal::{Journal, JournalError, StudyDir};
use swath_model::study::{Event, Header, Origin, SearchError, Study, TrialId};
use swath_search::scheduler::Next;

/// The result of a replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replayed {
    /// The number of proposals that were recomputed.
    pub checked: u64,
    /// The number of trials that a person added or an import brought. They cannot be recomputed.
    pub given: u64,
    /// The proposals that came out differently, in the order of the journal.
    pub differences: Vec<Difference>,
}

/// A proposal that came out differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The trial that the proposal created.
    pub trial: TrialId,
    /// The `Created` event in the journal, as JSON.
    pub recorded: String,
    /// The recomputed event, as JSON; `nothing` if no trial would have been created.
    pub recomputed: String,
}

/// An error that prevents a replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError<E: std::error::Error + 'static> {
    /// The journal could not be read or contains an illegal event.
    #[error(transparent)]
    Journal(JournalError),
    /// The parts could not be built from a version of the sweep file.
    #[error("the sweep file of this part of the journal could not be used")]
    Build(#[source] E),
    /// The sampler or the scheduler could not decide any more.
    #[error(transparent)]
    Search(SearchError),
}

/// Recomputes every proposal in the journal. `build` makes the parts that a header describes: the
/// study may have run several versions of its sweep file, one after the other.
///
/// # Errors
/// If the journal cannot be read, a version of the sweep file cannot be built, or its sampler or
/// scheduler fails.
pub fn replay<E: std::error::Error>(
    dir: &StudyDir,
    mut build: impl FnMut(&Header) -> Result<Parts, E>,
) -> Result<Replayed, ReplayError<E>> {
    let mut journal = Journal::open(dir).map_err(ReplayError::Journal)?;
    let mut study = Study::default();
    let mut parts: Option<Parts> = None;
    let mut replayed = Replayed::default();
    while let Some(entry) = journal.next() {
        let entry = entry.map_err(ReplayError::Journal)?;
        if let Event::Opened { header, .. } | Event::Edited { header, .. } = &entry.event {
            parts = Some(build(header).map_err(ReplayError::Build)?);
        }
        // The proposal depends on the study before the entry, so it is recomputed before `apply`.
        if let (Event::Created { trial, origin, .. }, Some(parts)) = (&entry.event, &parts) {
            match origin {
                Origin::Imported(_) | Origin::Added | Origin::Sent(_) | Origin::Rerun(_) => {
                    replayed.given += 1;
                }
                _ => {
                    let recomputed = recompute(parts, &study);
                    let failure = parts.scheduler.failure();
                    if let Some(failure) = failure.or_else(|| parts.sampler.failure()) {
                        return Err(ReplayError::Search(failure));
                    }
                    replayed.compare(*trial, &entry.event, recomputed.as_ref());
                }
            }
        }
        study.apply(&entry).map_err(|source| {
            let path = journal.path().to_owned();
            ReplayError::Journal(JournalError::Illegal {
                path,
                line: journal.line(),
                source,
            })
        })?;
        if let Some(parts) = &mut parts {
            // The edited sweep file has a new sampler and scheduler, which have observed nothing
            // yet.
            if matches!(entry.event, Event::Edited { .. }) {
                catch_up(parts, dir, entry.seq).map_err(ReplayError::Journal)?;
            }
            parts.observe(&study, &entry.event);
        }
    }
    Ok(replayed)
}

/// Shows new parts all entries before `seq`, as opening the study with the edited sweep file did.
fn catch_up(parts: &mut Parts, dir: &StudyDir, seq: u64) -> Result<(), JournalError> {
    let mut study = Study::default();
    let mut journal = Journal::open(dir)?;
    while let Some(entry) = journal.next() {
        let entry = entry?;
        if entry.seq == seq {
            break;
        }
        study
            .apply(&entry)
            .map_err(|source| JournalError::Illegal {
                path: journal.path().to_owned(),
                line: journal.line(),
                source,
            })?;
        parts.observe(&study, &entry.event);
    }
    Ok(())
}

/// Returns the event that would create the next trial at this point; `None` if none would.
fn recompute(parts: &Parts, study: &Study) -> Option<Event> {
    let trials = study.header().trials;
    let room = trials.is_none_or(|most| study.counted() < most);
    match parts.scheduler.next(study, room) {
        Next::Fresh => propose::propose(parts, study),
        Next::Given {
            params,
            from,
            instead,
            why,
        } => Some(propose::given(parts, study, params, from, instead, why)),
        Next::Resume { .. } | Next::Wait | Next::Done => None,
    }
}

impl Replayed {
    fn compare(&mut self, trial: TrialId, recorded: &Event, recomputed: Option<&Event>) {
        self.checked += 1;
        if recomputed != Some(recorded) {
            self.differences.push(Difference {
                trial,
                recorded: as_json(recorded),
                recomputed: recomputed.map_or_else(|| "nothing".to_owned(), as_json),
            });
        }
    }
}

fn as_json(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}
