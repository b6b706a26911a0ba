//! The checkup of a study: its journal, its folders, and the processes and files that its trials
//! left behind.

use std::collections::BTreeSet;
use swath_engine::driver::gc;
use swath_engine::executor;
use swath_engine::journal::{self, StudyDir, lock};
use swath_engine::provenance::probe::{Finding, State};
use swath_model::study::{IllegalEvent, Study};

/// Checks a study without changing anything. Returns the findings in the order of the checks.
#[must_use]
pub fn checkup(dir: &StudyDir) -> Vec<Finding> {
    let mut findings = vec![match lock::holder(dir) {
        Some(holder) => Finding::new(
            "lock",
            State::Good,
            format!(
                "process {} of {} on {} runs it since {}",
                holder.pid, holder.user, holder.host, holder.since
            ),
        ),
        None => Finding::new("lock", State::Good, "no process runs it"),
    }];
    // Read from the first line, not from the snapshot, so that a damaged line is found anywhere.
    let (study, error) = replay(dir);
    findings.push(match &error {
        None => Finding::new(
            "journal",
            State::Good,
            format!("{} entries, all good", study.next_seq()),
        ),
        Some(error) => Finding::new("journal", State::Bad, error.clone()),
    });
    // Without a readable journal, the other checks have nothing to compare with.
    if error.is_some() {
        return findings;
    }
    let is_running = lock::is_held(dir);
    findings.push(folders(dir, &study));
    if !is_running {
        findings.push(survivors(dir));
        let leftovers = gc::leftovers(dir, &study);
        let names: Vec<_> = leftovers
            .iter()
            .map(|waste| waste.path.display().to_string())
            .collect();
        findings.push(match names.as_slice() {
            [] => Finding::new("leftovers", State::Good, "no half-written files"),
            some => Finding::new(
                "leftovers",
                State::Without,
                format!("{}; `swath gc` removes them", some.join(", ")),
            ),
        });
        if study.running_count() > 0 {
            let message = format!(
                "{} were running when their run was killed; the next `swath run` continues them",
                study.running_count()
            );
            findings.push(Finding::new("lost trials", State::Without, message));
        }
    }
    if rustix::fs::access(dir.root(), rustix::fs::Access::WRITE_OK).is_err() {
        findings.push(Finding::new(
            "folder",
            State::Without,
            "it can only be read: it cannot be run, but all reading commands work",
        ));
    }
    findings
}

/// Replays the whole journal. Returns the study up to the first error, and the error in words.
fn replay(dir: &StudyDir) -> (Study, Option<String>) {
    let mut study = Study::default();
    let mut replay = match journal::Journal::open(dir) {
        Ok(replay) => replay,
        Err(error) => return (study, Some(with_hint(&error))),
    };
    while let Some(entry) = replay.next() {
        let applied = entry.and_then(|entry| {
            study
                .apply(&entry)
                .map_err(|source| journal::JournalError::Illegal {
                    path: replay.path().to_owned(),
                    line: replay.line(),
                    source,
                })
        });
        if let Err(error) = applied {
            return (study, Some(with_hint(&error)));
        }
    }
    (study, None)
}

/// Returns an error in words, with its cause and a hint.
fn with_hint(error: &journal::JournalError) -> String {
    let cause = std::error::Error::source(error)
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    // A salvage cannot help an older version of swath with a journal of a newer one.
    let is_newer = matches!(
        error,
        journal::JournalError::Illegal {
            source: IllegalEvent::Newer { .. },
            ..
        }
    );
    let hint = if is_newer {
        ""
    } else {
        "; `swath doctor STUDY --salvage` keeps every good entry"
    };
    format!("{error}{cause}{hint}")
}

/// Compares the trial folders with those that the journal requires.
fn folders(dir: &StudyDir, study: &Study) -> Finding {
    let entries = std::fs::read_dir(dir.root())
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let there: BTreeSet<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let mut odd = Vec::new();
    for trial in study.trials() {
        let expected = trial.attempts > 0 && !trial.removed;
        match (expected, there.contains(&trial.id.0)) {
            (true, false) => odd.push(format!("trial {} ran but has no folder", trial.id)),
            (false, true) if trial.removed => {
                odd.push(format!(
                    "trial {} was removed but its folder is not in `trash/`",
                    trial.id
                ));
            }
            _ => {}
        }
    }
    let unknown = there
        .iter()
        .filter(|id| **id == 0 || **id >= study.next_id().0);
    odd.extend(unknown.map(|id| format!("the folder `{id}` belongs to no trial")));
    let more = odd.len().saturating_sub(5);
    odd.truncate(5);
    if more > 0 {
        odd.push(format!("and {more} more"));
    }
    match odd.as_slice() {
        [] => Finding::new(
            "trial folders",
            State::Good,
            format!("{}, as the journal says", there.len()),
        ),
        some => Finding::new("trial folders", State::Bad, some.join("; ")),
    }
}

/// Looks for processes of trials that outlived their run.
fn survivors(dir: &StudyDir) -> Finding {
    let survivors: Vec<String> = executor::survivors(dir.root())
        .iter()
        .map(ToString::to_string)
        .collect();
    match survivors.as_slice() {
        [] => Finding::new("processes", State::Good, "none of its trials is alive"),
        some => Finding::new(
            "processes",
            State::Bad,
            format!(
                "{} of trials that no run supervises; the next `swath run` ends them",
                some.join(", ")
            ),
        ),
    }
}
