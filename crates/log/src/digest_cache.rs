//! A cache of digests, so that unchanged data costs one stat call per file.

use super::digest::{Digest, DigestError, FileState, ListedFile, digest, hex};
use super::regular;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Minimum age in nanoseconds of a file's last change when its digest enters the cache. A later
/// write in the same tick of the clock would not change the file's times.
const SETTLED: i128 = 200_000_000;
/// The first line of a cache file.
const HEADING: &str = "swath digests 1";

/// A cache of file digests by device, inode, size and times, so that an unchanged file costs one
/// stat call.
#[derive(Debug, Default)]
pub struct DigestCache {
    path: PathBuf,
    contents: Mutex<Contents>,
    /// The data sets that threads compute the digest of now. Each lock is held by one of them.
    data_sets: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct Contents {
    files: HashMap<(u64, u64), (FileState, [u8; 16])>,
    /// Lines that are not in the file yet.
    unsaved: String,
    /// Number of lines in the file.
    lines: usize,
}

impl Contents {
    fn md5_of(&self, file: &ListedFile) -> Option<[u8; 16]> {
        let (state, md5) = self.files.get(&(file.state.dev, file.state.inode))?;
        (*state == file.state).then_some(*md5)
    }
}

impl DigestCache {
    /// Reads the cache from `path`. A missing or unreadable file gives an empty cache.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let mut contents = Contents::default();
        if let Ok(file) = regular::open(path) {
            let mut lines = BufReader::new(file).lines().map_while(Result::ok);
            if lines.next().as_deref() == Some(HEADING) {
                for line in lines {
                    contents.lines += 1;
                    if let Some((state, md5)) = parse_line(&line) {
                        contents
                            .files
                            .insert((state.dev, state.inode), (state, md5));
                    }
                }
            }
        }
        Self {
            path: path.to_path_buf(),
            contents: Mutex::new(contents),
            data_sets: Mutex::default(),
        }
    }

    /// Returns the digest of a data set, and saves the digests of its files. Trials that start at
    /// the same time read the files once: the others wait for the first, and find its digests.
    ///
    /// # Errors
    /// As [`digest`].
    pub(super) fn digest_of_data(&self, path: &Path) -> Result<Digest, DigestError> {
        let lock = self.lock_of_data(path);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let computed = digest(path, Some(self));
        // Without the file, the next run reads the data set again.
        let _ = self.save();
        self.data_sets().remove(path);
        computed
    }

    fn lock_of_data(&self, path: &Path) -> Arc<Mutex<()>> {
        Arc::clone(self.data_sets().entry(path.to_owned()).or_default())
    }

    fn data_sets(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Arc<Mutex<()>>>> {
        self.data_sets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the new lines to the file. A file with more outdated lines than valid ones is
    /// rewritten.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> io::Result<()> {
        let mut contents = self.contents();
        if contents.unsaved.is_empty() {
            return Ok(());
        }
        let is_mostly_outdated = contents.lines > 2 * contents.files.len();
        if contents.lines == 0 || is_mostly_outdated {
            let mut states: Vec<_> = contents.files.values().copied().collect();
            states.sort_unstable_by_key(|(state, _)| (state.dev, state.inode));
            let mut text = format!("{HEADING}\n");
            text.extend(states.iter().map(|(state, md5)| format_line(state, md5)));
            let folder = self
                .path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            // Written beside the target and renamed, so that another run never reads half a cache.
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path)?;
            contents.lines = states.len();
        } else {
            regular::open_with(fs::OpenOptions::new().append(true), &self.path)?
                .write_all(contents.unsaved.as_bytes())?;
            contents.lines += contents.unsaved.lines().count();
        }
        contents.unsaved.clear();
        Ok(())
    }

    /// Returns the md5 of each file, or `None` if the file is new or has changed.
    pub(super) fn look_up(&self, files: &[ListedFile]) -> Vec<Option<[u8; 16]>> {
        let contents = self.contents();
        files.iter().map(|file| contents.md5_of(file)).collect()
    }

    /// Adds digests that were computed, unless their files changed so recently that the next change
    /// might leave no trace in their times.
    pub(super) fn remember(&self, computed: impl Iterator<Item = (FileState, [u8; 16])>) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        let settled = i128::try_from(now).unwrap_or(i128::MAX) - SETTLED;
        let mut contents = self.contents();
        for (state, md5) in
            computed.filter(|(state, _)| state.modified < settled && state.changed < settled)
        {
            contents
                .files
                .insert((state.dev, state.inode), (state, md5));
            contents.unsaved.push_str(&format_line(&state, &md5));
        }
    }

    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn format_line(state: &FileState, md5: &[u8; 16]) -> String {
    let FileState {
        dev,
        inode,
        size,
        modified,
        changed,
    } = state;
    format!("{dev} {inode} {size} {modified} {changed} {}\n", hex(md5))
}

fn parse_line(line: &str) -> Option<(FileState, [u8; 16])> {
    let mut words = line.split(' ');
    let state = FileState {
        dev: words.next()?.parse().ok()?,
        inode: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        modified: words.next()?.parse().ok()?,
        changed: words.next()?.parse().ok()?,
    };
    let digits = words.next()?;
    let number = u128::from_str_radix(digits, 16)
        .ok()
        .filter(|_| digits.len() == 32)?;
    words
        .next()
        .is_none()
        .then(|| (state, number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn settle(path: &Path) {
        let past = SystemTime::now() - Duration::from_secs(10);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(past)
            .unwrap();
        std::thread::sleep(Duration::from_millis(250));
    }

    #[test]
    fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let (file, kept) = (dir.path().join("big"), dir.path().join("kept"));
        fs::write(&file, "first").unwrap();
        settle(&file);
        let cache = DigestCache::open(&kept);
        let first = digest(&file, Some(&cache)).unwrap();
        cache.save().unwrap();

        let cache = DigestCache::open(&kept);
        assert_eq!(cache.contents().files.len(), 1);
        let key = *cache.contents().files.keys().next().unwrap();
        cache.contents().files.get_mut(&key).unwrap().1 = [7; 16];
        assert_eq!(
            digest(&file, Some(&cache)).unwrap().md5,
            "07".repeat(16),
            "the digest comes from the cache"
        );
        fs::write(&file, "other").unwrap();
        let other = digest(&file, Some(&cache)).unwrap();
        assert_eq!(other, digest(&file, None).unwrap());
        assert_ne!(other, first);
    }

    #[test]
    fn a_later_run_finds_the_digests_of_a_data_set() {
        let dir = tempfile::tempdir().unwrap();
        let (data, kept) = (dir.path().join("data"), dir.path().join("digests"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("file"), "content").unwrap();
        settle(&data.join("file"));
        let first = DigestCache::open(&kept).digest_of_data(&data).unwrap();

        let later = DigestCache::open(&kept);
        assert_eq!(later.contents().files.len(), 1);
        assert_eq!(later.digest_of_data(&data).unwrap(), first);
        assert!(later.data_sets().is_empty());
    }

    #[test]
    fn trials_that_start_together_read_a_data_set_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "content").unwrap();
        settle(&file);
        let (cache, computed) = (DigestCache::default(), [7; 16]);
        let lock = cache.lock_of_data(&file);
        let held = lock.lock().unwrap();
        let other = std::thread::scope(|scope| {
            let other = scope.spawn(|| cache.digest_of_data(&file));
            // The map, this thread and the other one have the lock.
            let patience = Instant::now() + Duration::from_secs(60);
            while Arc::strong_count(&lock) < 3 && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
            let state = FileState::of(&file.metadata().unwrap());
            cache.remember([(state, computed)].into_iter());
            drop(held);
            other.join().unwrap()
        });
        assert_eq!(other.unwrap().md5, hex(&computed));
    }

    #[test]
    fn a_file_written_just_now_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("new"), "new").unwrap();
        let cache = DigestCache::default();
        digest(dir.path(), Some(&cache)).unwrap();
        assert!(cache.contents().files.is_empty());
    }

    #[test]
    fn a_cache_file_of_nonsense_is_an_empty_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        for text in [
            "",
            "nonsense",
            "swath digests 1\n1 2 3\n1 2 3 4 5 é\n1 2 3 4 5 +0000000000000000000000000000000\n",
        ] {
            fs::write(&path, text).unwrap();
            assert!(DigestCache::open(&path).contents().files.len() <= 1);
        }
        fs::write(&path, [0xff; 100]).unwrap();
        assert!(DigestCache::open(&path).contents().files.is_empty());
    }
}
