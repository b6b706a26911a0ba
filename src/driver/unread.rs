//! What a trial had written when its orchestrator was killed, and nobody had read yet.

use crate::journal::StudyDir;
use crate::logger::{Directive, Dirs, Identity, Line, ModelStore, Models, Tail, TrialLogger};
use crate::study::{LogRecord, Study, Trial};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Returns the records that stand in a trial's `records.jsonl` behind the last report that the study knows, and takes them into the trial's own
/// files, as its supervisor would have done. A file that cannot be read has none.
pub(super) fn records(
    dir: &StudyDir,
    workdir: &Path,
    study: &Study,
    trial: &Trial,
    models: Models,
) -> Vec<LogRecord> {
    let folder = dir.trial(trial.id);
    let mut lines = Vec::new();
    let mut known = trial.reports;
    let read = Tail::new(folder.join("records.jsonl")).poll(&mut |line| {
        if let Line::Whole { number, bytes } = line {
            if known == 0 {
                lines.push((number, bytes.to_vec()));
            }
            known = known.saturating_sub(u64::from(is_report(bytes)));
        }
    });
    if read.is_err() || lines.is_empty() {
        return Vec::new();
    }
    let dirs = Dirs { workdir: workdir.to_owned(), trial: folder };
    take_in(dirs, study, trial, models, &lines).unwrap_or_default()
}

/// Returns whether a line is a report: an object without a kind, or of that kind.
fn is_report(line: &[u8]) -> bool {
    let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(line);
    object.is_ok_and(|object| object.get("kind").is_none_or(|kind| kind == "report"))
}

fn take_in(
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
        attempt: crate::study::Attempt(trial.attempts),
    };
    let taken = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&taken);
    let sink = move |record: LogRecord| {
        into.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        Directive::Continue
    };
    let about = dirs.trial.join("records.jsonl").metadata().ok()?;
    let modified = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
    let log = TrialLogger::in_process(identity, dirs, Box::new(sink)).ok()?;
    let mut log = log.with_models(Arc::new(ModelStore::new(models)));
    log.take_lines(modified, lines);
    log.finish().ok()?;
    drop(log);
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    Some(std::mem::take(&mut *taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_may_say_that_it_is_one() {
        assert!(is_report(br#"{"loss": 1}"#) && is_report(br#"{"kind": "report", "loss": 1}"#));
        assert!(!is_report(br#"{"kind": "note", "text": "a"}"#) && !is_report(b"[1]"));
    }
}
