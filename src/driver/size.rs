//! How much a study's folder takes on the disk, kept up to date without looking at all of it again.

use crate::journal::StudyDir;
use crate::study::{Study, TrialId};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What changes by itself is measured this often, and less often if that takes long: at most one
/// part in a hundred of the time.
const EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 100;

/// The size of a study: that of each trial's folder, and of everything else.
pub(super) struct Size {
    dir: StudyDir,
    trials: Vec<u64>,
    rest: u64,
    total: u64,
    due: Instant,
}

impl Size {
    /// Measures everything, once.
    pub(super) fn measure(dir: &StudyDir, study: &Study) -> Self {
        let mut size = Self {
            dir: dir.clone(),
            trials: Vec::new(),
            rest: 0,
            total: 0,
            due: Instant::now(),
        };
        for trial in study.trials() {
            size.trial(trial.id);
        }
        size.refresh(study);
        size
    }

    /// Returns the bytes that everything takes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Measures a trial's folder: it has ended, or something was taken from it.
    pub(super) fn trial(&mut self, id: TrialId) {
        let at = (id.0 as usize).saturating_sub(1);
        if self.trials.len() <= at {
            self.trials.resize(at + 1, 0);
        }
        let now = taken(&self.dir.trial(id));
        let before = std::mem::replace(&mut self.trials[at], now);
        self.total = (self.total + now).saturating_sub(before);
    }

    /// Leaves out what is being removed.
    pub(super) fn forget(&mut self, id: TrialId, aside: &Path) {
        self.trial(id);
        let gone = taken(aside);
        if let Some(trial) = self.trials.get_mut((id.0 as usize).saturating_sub(1)) {
            *trial = trial.saturating_sub(gone);
            self.total = self.total.saturating_sub(gone);
        }
    }

    /// Measures what grows by itself, if it is time.
    pub(super) fn refresh(&mut self, study: &Study) {
        let began = Instant::now();
        if began < self.due {
            return;
        }
        for id in study.running() {
            self.trial(id);
        }
        let before = self.rest;
        let entries = std::fs::read_dir(self.dir.root())
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let others = entries.filter(|entry| {
            !entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        });
        self.rest = others.map(|entry| taken(&entry.path())).sum();
        self.total = (self.total + self.rest).saturating_sub(before);
        self.due = Instant::now() + (began.elapsed() * SHARE).max(EVERY);
    }
}

/// Returns the bytes that a file or folder takes with all in it. Links are not followed, and what
/// cannot be read counts for nothing.
pub fn taken(path: &Path) -> u64 {
    let Ok(about) = path.symlink_metadata() else {
        return 0;
    };
    let own = about.blocks() * 512;
    if !about.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    own + entries.map(|entry| taken(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_the_parts_is_the_whole_after_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = crate::tracker::demo::Demo::new(&[]);
        for _ in 0..2 {
            demo.start(&[]);
        }
        let write = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; bytes]).unwrap();
        };
        let own = folder.path().metadata().unwrap().blocks() * 512;
        write("1/checkpoints/a", 50_000);
        write("trackers/x/y", 9000);
        let mut size = Size::measure(&dir, &demo.study);
        assert_eq!(size.total() + own, taken(folder.path()));
        assert!(size.total() >= 59_000, "{}", size.total());
        write("1/checkpoints/a", 10);
        write("2/b", 100_000);
        write("journal.jsonl", 70_000);
        size.due = Instant::now();
        size.refresh(&demo.study);
        assert_eq!(size.total() + own, taken(folder.path()));
        std::fs::remove_dir_all(folder.path().join("2")).unwrap();
        size.trial(TrialId(2));
        assert_eq!(size.total() + own, taken(folder.path()));
    }
}
