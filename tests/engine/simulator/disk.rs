//! The disk of the simulated machine when its power fails. Only what was synced is certain: files
//! may be cut, empty, filled with zeros or gone, and a file that was replaced may be the old one.

use super::{Shared, programs};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use swath::journal::StudyDir;

/// The study's own files at some moment, apart from the journal and the lock.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Returns the study's own files as they are now.
pub(crate) fn files(dir: &StudyDir) -> Files {
    files_in(dir, dir.root())
}

/// Returns the messages in the study's inbox as they are now.
pub(crate) fn messages(dir: &StudyDir) -> Files {
    files_in(dir, &dir.root().join("inbox"))
}

fn files_in(dir: &StudyDir, folder: &Path) -> Files {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && *path != dir.journal() && *path != dir.lock())
        .filter_map(|path| fs::read(&path).ok().map(|bytes| (path, bytes)))
        .collect()
}

/// Returns the files of a trial's folder.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
    found.sort();
}

/// Leaves a file as a power cut may leave one that was not synced.
fn spoil(path: &Path, rng: &mut ChaCha8Rng) {
    let bytes = fs::read(path).unwrap_or_default();
    let part = rng.random_range(0..=bytes.len());
    match rng.random_range(0..10) {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::write(path, &bytes[..part]).unwrap(),
        2 => fs::write(path, b"").unwrap(),
        3 => {
            let mut zeros = bytes.clone();
            zeros[part..].fill(0);
            fs::write(path, zeros).unwrap();
        }
        _ => {}
    }
}

/// Returns the last epoch of which a whole report is in a trial's records.
fn last_reported_epoch(trial: &Path) -> u64 {
    let text = fs::read(trial.join("records.jsonl")).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter_map(|line| line.get("epoch")?.as_u64())
        .max()
        .unwrap_or(0)
}

/// Cuts the power. `before` are the study's files as an earlier moment had them, `synced` is the
/// length of the journal that is certain. Returns the new length of the journal.
pub(crate) fn cut_power(
    dir: &StudyDir,
    (before, messages): (&Files, &Files),
    synced: u64,
    fate: &Shared,
) -> u64 {
    let mut fate = fate.lock().unwrap();
    fate.count("a power cut");
    let rng = &mut fate.aside;
    let mut journal = fs::read(dir.journal()).unwrap_or_default();
    let kept = rng.random_range(synced as usize..=journal.len());
    // The file may have its new length already, with zeros in place of any part of what is lost.
    match rng.random_range(0..3) {
        0 => journal[kept..].fill(0),
        1 => {
            let end = rng.random_range(kept..=journal.len());
            journal[kept..end].fill(0);
        }
        _ => journal.truncate(kept),
    }
    fs::write(dir.journal(), &journal).unwrap();
    for path in files(dir).keys() {
        match before.get(path) {
            Some(old) if rng.random_range(0..3) == 0 => fs::write(path, old).unwrap(),
            // The mark is overwritten in place, and was synced when it was made.
            _ if *path == dir.mark() => {}
            None if rng.random_range(0..3) == 0 => fs::remove_file(path).unwrap(),
            _ => spoil(path, rng),
        }
    }
    // A message was synced before its sender went on. Its removal was not.
    for (path, message) in messages {
        if !path.exists() && rng.random_range(0..3) == 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, message).unwrap();
        }
    }
    for trial in (1..=super::TRIALS as u32 + 1).map(swath::study::TrialId) {
        let folder = dir.trial(trial);
        if !folder.exists() {
            continue;
        }
        if rng.random_range(0..8) == 0 {
            fs::remove_dir_all(&folder).unwrap();
            continue;
        }
        let mut paths = Vec::new();
        files_below(&folder, &mut paths);
        for path in paths {
            // The programs sync their records before they keep a checkpoint, see below.
            if !path.starts_with(folder.join("checkpoints")) {
                spoil(&path, rng);
            }
        }
        let checkpoints = folder.join("checkpoints");
        if checkpoints.exists() {
            match last_reported_epoch(&folder) {
                0 => fs::remove_dir_all(&checkpoints).unwrap(),
                epoch => programs::keep_checkpoint(&folder, epoch).unwrap(),
            }
        }
    }
    kept as u64
}
