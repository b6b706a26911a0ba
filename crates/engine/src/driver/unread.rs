//! Records that a trial had written when its orchestrator was killed, and that no driver had read.

use crate::journal::StudyDir;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use swath_log::{
    Directive, Dirs, Identity, Line, ModelStore, Models, Sink, Tail, TrialLogger, Unread, has_mark,
    rank,
};
use swath_model::source::secret::Secrets;
use swath_model::study::preparation::is_input;
use swath_model::study::{LogRecord, Study, TakenLines, Trial};

/// A record, and the offset behind the line of `records.jsonl` that it comes from.
pub(super) type UnreadRecord = (LogRecord, Option<u64>);

/// Returns the records in a trial's `records.jsonl` that the study does not have, and writes the
/// trial's own files, as its supervisor would have done. A file that cannot be read yields no
/// records.
pub(super) fn records(
    dir: &StudyDir,
    workdir: &Path,
    study: &Study,
    trial: &Trial,
    models: Models,
    secrets: &Secrets,
) -> Vec<UnreadRecord> {
    let dirs = Dirs {
        workdir: workdir.to_owned(),
        trial: dir.trial(trial.id),
    };
    let path = dirs.trial.join("records.jsonl");
    let Some(unread) = unread(&path, &dirs.trial, study, trial) else {
        return Vec::new();
    };
    take(dirs, &path, study, trial, models, secrets, &unread).unwrap_or_default()
}

/// Returns the position of the study in a trial's records file; `None` if the file cannot be read.
fn unread(path: &Path, folder: &Path, study: &Study, trial: &Trial) -> Option<Unread> {
    if !path.is_file() {
        return None;
    }
    // The study has no record of any line yet, whatever version wrote it.
    let is_first = trial.reports + trial.beyond == 0 && trial.records.iter().all(is_of_driver);
    let taken = match trial.taken {
        None if is_first || has_mark(folder) => Some(TakenLines::default()),
        taken => taken,
    };
    Some(match taken {
        Some(taken) => Unread {
            taken,
            is_marked: true,
        },
        None => Unread {
            taken: last_report(path, study, trial)?,
            is_marked: false,
        },
    })
}

/// Returns whether a record may come from no line: a warning, or an output that the trial reads.
fn is_of_driver(record: &LogRecord) -> bool {
    matches!(record, LogRecord::Warning { .. }) || is_input(record)
}

/// Returns the lines up to the last report that the study has, for a journal of an older version,
/// which does not name the lines of its records. `None` if the file cannot be read.
fn last_report(path: &Path, study: &Study, trial: &Trial) -> Option<TakenLines> {
    let mut recorded = trial.reports + trial.beyond;
    let deciding = study.header().deciding_metrics();
    let is_rank = !deciding.iter().any(|name| &**name == rank::KEY);
    let mut taken = TakenLines {
        end: 0,
        records: u32::MAX,
    };
    let mut tail = Tail::new(path);
    tail.finish(&mut |line| {
        if let Line::Whole { end, bytes, .. } = line
            && recorded > 0
        {
            // Reports that the study has already are counted down; the rest is new.
            taken.end = end;
            recorded -= u64::from(decides(bytes, is_rank));
        }
    })
    .ok()?;
    Some(taken)
}

/// Returns whether a line is a report that counts: a JSON object without a kind or of kind
/// `report`, from the first worker. `is_rank`: the key `rank` names the worker, and is no metric.
fn decides(line: &[u8], is_rank: bool) -> bool {
    let object: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_slice(line);
    object.is_ok_and(|object| {
        object.get("kind").is_none_or(|kind| kind == "report")
            && !(is_rank && rank::of_line(&object) > 0)
    })
}

/// Feeds the lines that the study does not have to a logger of the trial, as its supervisor would
/// have done, and returns the resulting records.
fn take(
    dirs: Dirs,
    path: &Path,
    study: &Study,
    trial: &Trial,
    models: Models,
    secrets: &Secrets,
    unread: &Unread,
) -> Option<Vec<UnreadRecord>> {
    let header = study.header();
    let identity = Identity {
        study: header.name.clone(),
        pipeline: header.pipeline.clone(),
        stage: header.stage.clone(),
        trial: trial.id,
        attempt: swath_model::study::Attempt(trial.attempts),
    };
    let collected = Collected::default();
    let metadata = path.metadata().ok()?;
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let log = TrialLogger::in_process(identity, dirs, Box::new(collected.clone())).ok()?;
    let log = log.with_deciding_metrics(&header.deciding_metrics());
    let log = log.with_resource(header.resource.as_ref());
    // The run that started the trial may have had other variables; forms of tokens are the same.
    let mut log = log
        .with_secrets(secrets.clone())
        .with_models(Arc::new(ModelStore::new(models)));
    log.take_unread(path, unread, modified).ok()?;
    log.finish().ok()?;
    drop(log);
    let mut records = collected.0.lock().unwrap_or_else(PoisonError::into_inner);
    let records = std::mem::take(&mut *records);
    Some(
        records
            .into_iter()
            .map(|(record, line_end)| (record.redacted(secrets), line_end))
            .collect(),
    )
}

/// A sink that collects the records.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<UnreadRecord>>>);

impl Sink for Collected {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.logged_from(record, None)
    }

    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.push((record, line_end));
        Directive::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_the_first_worker_decide_with_and_without_a_kind() {
        for (line, expected) in [
            (r#"{"loss": 1}"#, true),
            (r#"{"kind": "report", "loss": 1, "rank": 0}"#, true),
            (r#"{"kind": "note", "text": "a"}"#, false),
            ("[1]", false),
            (r#"{"loss": 1, "rank": 2}"#, false),
        ] {
            assert_eq!(decides(line.as_bytes(), true), expected, "{line}");
        }
        assert!(
            decides(br#"{"rank": 2}"#, false),
            "the objective is called `rank`"
        );
    }
}
