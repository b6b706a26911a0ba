//! The disk of the simulated machine when its power fails. Only what was synced is certain: files
//! may be cut, empty, filled with zeros or gone, a file that was replaced may be the old one, and
//! one that was removed or renamed may be there again.

use super::{Shared, programs};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use swath::journal::{HALF_PREPARED, PREPARED, StudyDir};

/// Files at some moment, with their content.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files of a study as an earlier moment had them.
pub(crate) struct Earlier {
    study: Files,
    messages: Files,
    /// The folders of trials and preparations by their inodes, and the files in them.
    inodes: BTreeMap<u64, PathBuf>,
    folders: Files,
}

impl Earlier {
    /// Returns the files as they are now.
    pub(crate) fn now(dir: &StudyDir) -> Self {
        let mut paths = Vec::new();
        let mut inodes = BTreeMap::new();
        for folder in folders(dir) {
            files_below(&folder, &mut paths);
            inodes.insert(inode(&folder), folder);
        }
        let mut folders = contents(paths);
        // A mark that is not true of its files any more is replaced by one that is synced before
        // anything is appended to them, so no power cut brings it back.
        folders.retain(|path, bytes| {
            !path.ends_with("metrics/.mark") || programs::is_true_mark(path, bytes)
        });
        Self {
            inodes,
            study: files(dir),
            messages: files_in(dir, &dir.root().join("inbox")),
            folders,
        }
    }
}

fn inode(folder: &Path) -> u64 {
    fs::metadata(folder).unwrap().ino()
}

/// Returns the study's own files as they are now, apart from the journal and the lock.
pub(crate) fn files(dir: &StudyDir) -> Files {
    files_in(dir, dir.root())
}

fn files_in(dir: &StudyDir, folder: &Path) -> Files {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && *path != dir.journal() && *path != dir.lock());
    contents(paths)
}

fn contents(paths: impl IntoIterator<Item = PathBuf>) -> Files {
    let paths = paths.into_iter();
    paths
        .filter_map(|path| fs::read(&path).ok().map(|bytes| (path, bytes)))
        .collect()
}

/// The first time that no clock of the simulated machine reaches, in seconds since 1970.
const YEAR_2000: u64 = 946_684_800;

/// Gives the files that the real clock has dated the time of the simulated machine: a seed must not
/// depend on when it runs.
pub(crate) fn date_files(dir: &StudyDir, at: SystemTime) {
    let mut paths = Vec::new();
    for folder in folders(dir) {
        files_below(&folder, &mut paths);
    }
    let first_real = UNIX_EPOCH + Duration::from_secs(YEAR_2000);
    for path in paths {
        let modified = fs::metadata(&path).and_then(|about| about.modified());
        if modified.is_ok_and(|modified| modified > first_real) {
            date(&path, at);
        }
    }
}

/// Sets the time of the last write to a file.
pub(crate) fn date(path: &Path, at: SystemTime) {
    let file = fs::File::options().append(true).open(path);
    file.and_then(|file| file.set_modified(at)).unwrap();
}

/// Returns the folders of the trials and of the preparations.
fn folders(dir: &StudyDir) -> Vec<PathBuf> {
    let trials = (1..=super::TRIALS as u32 + 1).map(swath::study::TrialId);
    let trials = trials.map(|trial| dir.trial(trial));
    let preparations = fs::read_dir(dir.preparations()).into_iter().flatten();
    let mut preparations: Vec<_> = preparations.map(|entry| entry.unwrap().path()).collect();
    preparations.sort();
    trials
        .chain(preparations)
        .filter(|folder| folder.exists())
        .collect()
}

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
        1 => cut(path, rng),
        2 => fs::write(path, b"").unwrap(),
        3 => {
            let mut zeros = bytes.clone();
            zeros[part..].fill(0);
            fs::write(path, zeros).unwrap();
        }
        _ => {}
    }
}

/// Takes the end off a file.
fn cut(path: &Path, rng: &mut ChaCha8Rng) {
    let bytes = fs::read(path).unwrap();
    let part = rng.random_range(0..=bytes.len());
    fs::write(path, &bytes[..part]).unwrap();
}

fn write_again(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Cuts the power. `synced` is the length of the journal that is certain. Returns the new length of
/// the journal.
pub(crate) fn cut_power(dir: &StudyDir, earlier: &Earlier, synced: u64, fate: &Shared) -> u64 {
    let mut fate = fate.lock().unwrap();
    fate.count("a power cut");
    // Nothing that ran is alive.
    fate.leftovers.clear();
    fate.has_cut_power = true;
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
        match earlier.study.get(path) {
            Some(old) if rng.random_range(0..3) == 0 => fs::write(path, old).unwrap(),
            // The mark is overwritten in place, and was synced when it was made.
            _ if *path == dir.mark() => {}
            None if rng.random_range(0..3) == 0 => fs::remove_file(path).unwrap(),
            _ => spoil(path, rng),
        }
    }
    // A message was synced before its sender went on. Its removal was not.
    for (path, message) in &earlier.messages {
        if !path.exists() && rng.random_range(0..3) == 0 {
            write_again(path, message);
        }
    }
    for folder in folders(dir) {
        match rng.random_range(0..8) {
            0 => fs::remove_dir_all(&folder).unwrap(),
            // A folder in place of one that was moved away has none of its files.
            _ if earlier.inodes.get(&inode(&folder)) != Some(&folder) => {
                spoil_folder(&folder, &Files::new(), rng);
            }
            _ => spoil_folder(&folder, &earlier.folders, rng),
        }
    }
    kept as u64
}

/// Leaves the folder of a trial or of a preparation as a power cut may leave it.
fn spoil_folder(folder: &Path, earlier: &Files, rng: &mut ChaCha8Rng) {
    undo_name_of_output(folder, earlier, rng);
    programs::spoil_checkpoints(folder, rng);
    let mut paths = Vec::new();
    files_below(folder, &mut paths);
    // Attempts move the files of earlier ones away, and sync that before they go on.
    let moved = moved_away(folder, &paths, earlier);
    let is_certain = |path: &Path| {
        path.starts_with(folder.join("checkpoints")) || path.starts_with(folder.join(PREPARED))
    };
    for path in paths.iter().filter(|path| !is_certain(path)) {
        if path.ends_with("records.jsonl") && rng.random_range(0..4) == 0 {
            cut(path, rng);
            continue;
        }
        let old = earlier.get(path).filter(|_| !moved.contains(path));
        match old {
            // A file that was replaced by renaming another one. One that has grown is cut instead.
            Some(old)
                if !fs::read(path).unwrap().starts_with(old) && rng.random_range(0..3) == 0 =>
            {
                fs::write(path, old).unwrap();
            }
            _ => spoil(path, rng),
        }
    }
    let removed = earlier
        .iter()
        .filter(|(path, _)| path.starts_with(folder) && !is_certain(path))
        .filter(|(path, _)| !paths.contains(path) && !moved.contains(path));
    for (path, bytes) in removed {
        if rng.random_range(0..4) == 0 {
            write_again(path, bytes);
        }
    }
}

/// Returns the paths of files that now are below `attempts/` of the trial's folder.
fn moved_away(folder: &Path, paths: &[PathBuf], earlier: &Files) -> Vec<PathBuf> {
    let attempts = folder.join("attempts");
    let new = paths.iter().filter(|path| !earlier.contains_key(*path));
    new.filter_map(|path| {
        let below = path.strip_prefix(&attempts).ok()?;
        Some(folder.join(below.components().skip(1).collect::<PathBuf>()))
    })
    .collect()
}

/// Gives the output of a preparation the name back that it had before it was whole. Its files were
/// synced before.
fn undo_name_of_output(folder: &Path, earlier: &Files, rng: &mut ChaCha8Rng) {
    let (half, output) = (folder.join(HALF_PREPARED), folder.join(PREPARED));
    let is_certain = earlier.keys().any(|path| path.starts_with(&output));
    if output.exists() && !is_certain && rng.random_range(0..3) == 0 {
        fs::rename(output, half).unwrap();
    }
}
