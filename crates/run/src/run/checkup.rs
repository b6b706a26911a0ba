//! The checkup of a study: its journal, its folders, and the processes and files that its trials
//! left behind.

use std::collections::BTreeSet;
use swath_engine::driver::gc;
use swath_engine::driver::prepare::is_prepared;
use swath_engine::executor;
use swath_engine::journal::{self, StudyDir, lock};
use swath_engine::provenance::git::md5_of;
use swath_engine::provenance::probe::{Finding, State};
use swath_engine::tracker::csv;
use swath_log::folder::{self, Description};
use swath_log::{Identity, regular};
use swath_model::space::Params;
use swath_model::study::{Attempt, IllegalEvent, Origin, Study, Trial, TrialState};

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
    if let Some(shortfall) = journal::shortfall(dir) {
        findings.push(Finding::new(
            "journal's end",
            State::Bad,
            format!(
                "{shortfall}; `swath doctor STUDY --salvage` keeps the {} entries that are there",
                shortfall.present
            ),
        ));
    }
    findings.push(snapshot(dir, &study));
    // A run writes the table and the folders of its trials while it goes on.
    if !is_running {
        findings.push(table(dir, &study));
        findings.push(descriptions(dir, &study));
        findings.push(copies(dir, &study));
    }
    findings.push(folders(dir, &study));
    findings.extend(preparations(dir, &study));
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

/// Compares the snapshot with the journal. Readers ignore one that they cannot use.
fn snapshot(dir: &StudyDir, study: &Study) -> Finding {
    if !dir.snapshot().exists() {
        return Finding::new("snapshot", State::Good, "none, so the journal is read");
    }
    let Some(stored) = journal::snapshot::stored(dir) else {
        let message = "it is damaged, of another version or of another journal, so it is ignored; \
                       the next run writes it anew";
        return Finding::new("snapshot", State::Without, message);
    };
    // The snapshot of a killed run is older than the end of the journal.
    match up_to(dir, stored.next_seq()) {
        Some(expected) if expected == stored => Finding::new(
            "snapshot",
            State::Good,
            format!(
                "{} of {} entries, as in the journal",
                stored.next_seq(),
                study.next_seq()
            ),
        ),
        _ => Finding::new(
            "snapshot",
            State::Bad,
            "it differs from the journal, and commands that only read show it; remove `snapshot.json`",
        ),
    }
}

/// Looks for the outputs of preparations. `None` if the study has none.
fn preparations(dir: &StudyDir, study: &Study) -> Option<Finding> {
    let mut outputs = study.preparations().iter();
    let count = outputs.clone().filter(|it| it.output().is_some()).count();
    if study.preparations().is_empty() {
        return None;
    }
    let missing = outputs.find(|it| it.output().is_some() && !is_prepared(dir, it));
    Some(match missing {
        None => Finding::new(
            "prepared",
            State::Good,
            format!("{count} outputs, all there"),
        ),
        Some(missing) => Finding::new(
            "prepared",
            State::Without,
            format!(
                "the output of `{}` ({}) was deleted; it is made again when a trial needs it",
                missing.name, missing.digest
            ),
        ),
    })
}

/// Returns the study after the first `entries` entries of its journal.
fn up_to(dir: &StudyDir, entries: u64) -> Option<Study> {
    let mut study = Study::default();
    for entry in journal::Journal::open(dir).ok()? {
        if study.next_seq() == entries {
            break;
        }
        study.apply(&entry.ok()?).ok()?;
    }
    Some(study)
}

/// Compares `trials.csv` with the journal.
fn table(dir: &StudyDir, study: &Study) -> Finding {
    let mut expected = Vec::new();
    let written = regular::read(&dir.trials_csv());
    match (written, csv::write(study, &mut expected)) {
        (Ok(written), Ok(())) if written == expected => {
            Finding::new("trials.csv", State::Good, "as the journal says")
        }
        // A run that was killed had no time to write the table.
        (Ok(_), Ok(())) if study.closed().is_none() => Finding::new(
            "trials.csv",
            State::Without,
            "older than the journal; the next run writes it anew",
        ),
        (Ok(_), Ok(())) => Finding::new(
            "trials.csv",
            State::Bad,
            "it differs from the journal, or another version wrote it; remove it, and the next run writes it anew",
        ),
        (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::new("trials.csv", State::Without, "there is none")
        }
        (Err(error), _) | (_, Err(error)) => Finding::new(
            "trials.csv",
            State::Bad,
            format!("it cannot be compared: {error}"),
        ),
    }
}

/// Compares `params.json` and the files in `metadata` in the folders of trials with the journal.
fn descriptions(dir: &StudyDir, study: &Study) -> Finding {
    let mut odd = Vec::new();
    let mut count = 0;
    let trials = study.trials().iter();
    for trial in trials.filter(|trial| trial.attempts > 0 && !trial.removed) {
        let folder = dir.trial(trial.id);
        if !folder.is_dir() {
            continue;
        }
        count += 1;
        if journal::has_foreign_trial(dir, study, trial.id) {
            odd.push(format!(
                "the folder `{}` is not of this study, so it is not read",
                trial.id
            ));
            continue;
        }
        // A trial that waits may run with other facts the next time.
        if trial.state == TrialState::Waiting {
            continue;
        }
        let params: Option<Params> = regular::read(&folder.join("params.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        // A parameter that came later with an edit of the sweep file is in the journal only.
        let mut values = params.iter().flatten();
        if values.any(|(name, value)| trial.params.get(name) != Some(value)) {
            odd.push(format!("`{}/params.json` has other parameters", trial.id));
        }
        let config = regular::read_to_string(&folder.join("metadata/config.yaml"));
        if let (Some(params), Ok(config)) = (&params, config)
            && config != swath_log::folder::config(params)
        {
            odd.push(format!(
                "`{}/metadata/config.yaml` differs from `params.json`",
                trial.id
            ));
        }
        let info = regular::read_to_string(&folder.join("metadata/info.yaml")).unwrap_or_default();
        match differing_field(&info, study, trial).as_deref() {
            None => {}
            Some("checksum") => odd.push(format!(
                "`{}/metadata/info.yaml` was changed after swath had written it",
                trial.id
            )),
            Some(field) => odd.push(format!(
                "`{}/metadata/info.yaml` has another `{field}`",
                trial.id
            )),
        }
    }
    match shortened(odd) {
        None => Finding::new(
            "trial files",
            State::Good,
            format!("{count}, as the journal says"),
        ),
        Some(text) => Finding::new("trial files", State::Bad, text),
    }
}

/// Returns the first field of an `info.yaml` that differs from the journal.
fn differing_field(info: &str, study: &Study, trial: &Trial) -> Option<String> {
    let header = study.header();
    let identity = Identity {
        study: header.name.clone(),
        pipeline: header.pipeline.clone(),
        stage: header.stage.clone(),
        trial: trial.id,
        attempt: Attempt(trial.attempts),
    };
    folder::differing_field(
        info,
        &Description {
            identity: &identity,
            seed: trial.seed,
            // The folder of a trial that runs or is paused has no end of its own yet.
            exit: trial.exit.as_ref().filter(|_| trial.state.is_final())?,
            result: &study.result(trial),
        },
    )
}

/// Compares the copies of the sweep file and of the patch with their digests in the journal.
fn copies(dir: &StudyDir, study: &Study) -> Finding {
    let header = study.header();
    let copies = [
        ("sweep.toml", dir.sweep_toml(), Some(&header.sweep)),
        ("code.patch", dir.code_patch(), header.code_patch.as_ref()),
    ];
    let odd = copies.into_iter().filter_map(|(name, path, digest)| {
        let text = regular::read(&path).ok()?;
        (md5_of(&text) != *digest?)
            .then(|| format!("`{name}` is not the text of which the journal has the digest"))
    });
    match shortened(odd.collect()) {
        None => Finding::new("copies", State::Good, "as the journal says"),
        // A run that was killed may have written a copy and not yet its digest.
        Some(text) if study.closed().is_none() => Finding::new(
            "copies",
            State::Without,
            format!("{text}; the next run writes it anew"),
        ),
        Some(text) => Finding::new("copies", State::Bad, text),
    }
}

/// Returns descriptions as one text that does not become long; `None` if there are none.
fn shortened(mut odd: Vec<String>) -> Option<String> {
    let more = odd.len().saturating_sub(5);
    odd.truncate(5);
    if more > 0 {
        odd.push(format!("and {more} more"));
    }
    (!odd.is_empty()).then(|| odd.join("; "))
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
        let is_imported = matches!(trial.origin, Origin::Imported(_));
        let expected = trial.attempts > 0 && !trial.removed && !is_imported;
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
    match shortened(odd) {
        None => Finding::new(
            "trial folders",
            State::Good,
            format!("{}, as the journal says", there.len()),
        ),
        Some(text) => Finding::new("trial folders", State::Bad, text),
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
