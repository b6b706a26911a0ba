//! Records that a trial had written when its orchestrator was killed, and that no driver had read.

use crate::journal::StudyDir;
use crate::provenance::variables;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use swath_log::{Directive, Dirs, Identity, Line, ModelStore, Models, Tail, TrialLogger, rank};
use swath_model::study::{LogRecord, Study, Trial};

/// Returns the records in a trial's `records.jsonl` that follow the last report known to the study,
/// and writes them to the trial's own files, as its supervisor would have done. A file that cannot
/// be read yields no records.
pub(super) fn records(
    dir: &StudyDir,
    workdir: &Path,
    study: &Study,
    trial: &Trial,
    models: Models,
) -> Vec<LogRecord> {
    let folder = dir.trial(trial.id);
    let mut lines = Vec::new();
    let mut recorded = trial.reports + trial.beyond;
    let deciding = study.header().deciding_metrics();
    let is_rank = !deciding.iter().any(|name| &**name == rank::KEY);
    let read = Tail::new(folder.join("records.jsonl")).poll(&mut |line| {
        if let Line::Whole { number, bytes } = line {
            // Reports that the study has already are counted down; the rest is new.
            if recorded == 0 {
                lines.push((number, bytes.to_vec()));
            }
            recorded = recorded.saturating_sub(u64::from(decides(bytes, is_rank)));
        }
    });
    if read.is_err() || lines.is_empty() {
        return Vec::new();
    }
    let dirs = Dirs {
        workdir: workdir.to_owned(),
        trial: folder,
    };
    log_lines(dirs, study, trial, models, &lines).unwrap_or_default()
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

/// Feeds lines to a logger of the trial, as its supervisor would have done, and returns the
/// resulting records.
fn log_lines(
    dirs: Dirs,
    study: &Study,
    trial: &Trial,
    models: Models,
    lines: &[(u64, Vec<u8>)],
) -> Option<Vec<LogRecord>> {
    let header = study.header();
    let identity = Identity {
        study: header.name.clone(),
        pipeline: header.pipeline.clone(),
        stage: header.stage.clone(),
        trial: trial.id,
        attempt: swath_model::study::Attempt(trial.attempts),
    };
    let records = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&records);
    let metadata = dirs.trial.join("records.jsonl").metadata().ok()?;
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let log = TrialLogger::in_process(
        identity,
        dirs,
        Box::new(move |record: LogRecord| {
            collected
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(record);
            Directive::Continue
        }),
    )
    .ok()?;
    let log = log.with_deciding_metrics(&header.deciding_metrics());
    let log = log.with_resource(header.resource.as_ref());
    // The run that started the trial may have had other variables; forms of tokens are the same.
    let secrets = variables::secrets(&[], &[]);
    let mut log = log
        .with_secrets(secrets.clone())
        .with_models(Arc::new(ModelStore::new(models)));
    log.take_lines(modified, lines);
    log.finish().ok()?;
    drop(log);
    let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let records = std::mem::take(&mut *records);
    Some(
        records
            .into_iter()
            .map(|record| record.redacted(&secrets))
            .collect(),
    )
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
