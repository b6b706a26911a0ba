//! The size of a study's folder on the disk, updated without measuring all of it each time.

use super::component::Component;
use crate::journal::StudyDir;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use swath_model::study::{Event, Study, TrialId};

/// Running trials and other files are measured at this interval, or less often if that takes long:
/// at most 1/100 of the time is spent on it.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
const MEASURE_SHARE: u32 = 100;

/// The size of a study in bytes: one sum per trial folder, and one for all other files.
pub(super) struct Size {
    dir: StudyDir,
    /// The size from which the study may not grow further.
    most: u64,
    /// The bytes of each trial's folder; trial 1 has index 0.
    trials: Vec<u64>,
    /// The bytes of everything but the trial folders.
    rest: u64,
    /// The sum of all parts.
    total: u64,
    /// The time of the next measurement.
    due: Instant,
}

impl Component for Size {
    fn on(&mut self, _: &Study, event: &Event) {
        if let Event::Ended { trial, .. } = event {
            self.trial(*trial);
        }
    }
}

impl Size {
    /// Measures the whole folder once.
    pub(super) fn measure(dir: &StudyDir, most: u64, study: &Study) -> Self {
        let mut size = Self {
            dir: dir.clone(),
            most,
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

    /// Returns whether the study is larger than it may be.
    pub(super) fn is_over(&self) -> bool {
        self.total > self.most
    }

    /// Measures the folder of a trial again: the trial has ended, or files were removed.
    fn trial(&mut self, id: TrialId) {
        let index = (id.0 as usize).saturating_sub(1);
        if self.trials.len() <= index {
            self.trials.resize(index + 1, 0);
        }
        let now = occupied(&self.dir.trial(id));
        let before = std::mem::replace(&mut self.trials[index], now);
        self.total = (self.total + now).saturating_sub(before);
    }

    /// Excludes the folder `aside`, which a thread is removing from the trial's folder.
    pub(super) fn forget(&mut self, id: TrialId, aside: &Path) {
        self.trial(id);
        let gone = occupied(aside);
        if let Some(trial) = self.trials.get_mut((id.0 as usize).saturating_sub(1)) {
            *trial = trial.saturating_sub(gone);
            self.total = self.total.saturating_sub(gone);
        }
    }

    /// Measures the files that grow by themselves, if the interval has passed.
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
        // The folders of trials have numeric names.
        let others = entries.filter(|entry| {
            !entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        });
        self.rest = others.map(|entry| occupied(&entry.path())).sum();
        self.total = (self.total + self.rest).saturating_sub(before);
        self.due = Instant::now() + (began.elapsed() * MEASURE_SHARE).max(MEASURE_INTERVAL);
    }
}

/// Returns the bytes that a file, or a folder with its contents, occupies on the disk. Links are
/// not followed. Paths that cannot be read count as 0.
pub fn occupied(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else {
        return 0;
    };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    own + entries.map(|entry| occupied(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, bytes: usize) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![1; bytes]).unwrap();
    }

    #[test]
    fn the_sum_of_the_parts_is_the_whole_after_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = swath_model::demo::Demo::new(&[]);
        for _ in 0..2 {
            demo.start(&[]);
        }
        let own = folder.path().metadata().unwrap().blocks() * 512;
        write(folder.path(), "1/checkpoints/a", 50_000);
        write(folder.path(), "trackers/x/y", 9000);
        let mut size = Size::measure(&dir, 150_000, &demo.study);
        assert_eq!(size.total + own, occupied(folder.path()));
        assert!(size.total >= 59_000 && !size.is_over(), "{}", size.total);
        write(folder.path(), "1/checkpoints/a", 10);
        write(folder.path(), "2/b", 100_000);
        write(folder.path(), "journal.jsonl", 70_000);
        size.due = Instant::now();
        size.refresh(&demo.study);
        assert_eq!(size.total + own, occupied(folder.path()));
        assert!(size.is_over());
        std::fs::remove_dir_all(folder.path().join("2")).unwrap();
        size.trial(TrialId(2));
        assert_eq!(size.total + own, occupied(folder.path()));
    }
}
