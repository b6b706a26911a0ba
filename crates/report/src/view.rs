//! A read-only view of a study: the replayed study, its reports and attempts, and its search space.
//! Reading takes no lock.

use super::plots::chronicle::Chronicle;
use super::row;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use swath_cluster::pilot;
use swath_engine::journal::{self, JournalError, StudyDir};
use swath_model::space::{Name, Space};
use swath_model::study::{Entry, Study};
use swath_run::sweep::Sweep;

/// Maximum number of metrics with reports in memory, unless the study has more objectives.
const MOST_METRICS: usize = 6;
/// If the study has more reports than this, only those of the objectives and of the requested
/// metric are read.
const MANY_REPORTS: u64 = 300_000;

/// A study in its current state, which [`View::follow`] updates.
pub struct View {
    /// The folder of the study.
    pub dir: StudyDir,
    /// The study, replayed from its journal.
    pub study: Study,
    /// The reports and attempts of the study.
    pub chronicle: Chronicle,
    /// The search space of the sweep file; `None` if the file cannot be read.
    pub space: Option<Arc<Space>>,
    /// Number of bytes of the journal that were read.
    offset: u64,
}

impl View {
    /// Reads a study. The reports of `metric` are read in addition to those of the objectives.
    ///
    /// # Errors
    /// If there is no study in the folder or its journal cannot be read.
    pub fn open(dir: StudyDir, metric: Option<&str>) -> Result<Self, JournalError> {
        // The lines are read before the replay, which may start from a snapshot, so that the study
        // contains at least every entry of the chronicle.
        let mut lines = Lines::default();
        lines.read(&dir, 0)?;
        let study = journal::read(&dir)?;
        let mut chronicle = Chronicle::new(
            study.header().resource.clone(),
            metrics_in_memory(&study, metric),
        );
        chronicle.read(&lines.bytes);
        let space =
            Sweep::read(&dir.sweep_toml()).or_else(|_| Sweep::read_for_function(&dir.sweep_toml()));
        let space = space.ok().map(|sweep| sweep.space);
        Ok(Self {
            dir,
            study,
            chronicle,
            space,
            offset: lines.bytes.len() as u64,
        })
    }

    /// Reads the entries that were appended to the journal since the last call. Returns whether
    /// there were any.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn follow(&mut self) -> Result<bool, JournalError> {
        let mut lines = Lines::default();
        lines.read(&self.dir, self.offset)?;
        // A shorter journal is not the one that was read before, so nothing of it is known.
        if lines.shorter {
            *self = Self::open(self.dir.clone(), None)?;
            return Ok(true);
        }
        for line in lines
            .bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
                continue;
            };
            self.chronicle.apply(&entry);
            // `open` replays the journal after it has read the lines, so the study may contain this
            // entry already.
            if entry.seq >= self.study.next_seq() {
                let path = self.dir.journal();
                let line = entry.seq + 1;
                self.study
                    .apply(&entry)
                    .map_err(|source| JournalError::Illegal { path, line, source })?;
            }
        }
        self.offset += lines.bytes.len() as u64;
        Ok(!lines.bytes.is_empty())
    }

    /// Returns the study as the next run will find it: if no run holds the study, its running
    /// trials are lost, except those in pilots.
    #[must_use]
    pub fn settled(&self) -> Study {
        let mut study = self.study.clone();
        pilot::settle(&self.dir, &mut study);
        study
    }
}

/// Returns the metrics with reports in memory: the objectives, the requested metric, and other
/// metrics as long as there is room.
fn metrics_in_memory(study: &Study, metric: Option<&str>) -> Vec<Name> {
    let header = study.header();
    let mut names: Vec<Name> = header
        .objectives
        .iter()
        .map(|objective| objective.metric.clone())
        .collect();
    names.extend(metric.map(Name::from));
    let reports: u64 = study.trials().iter().map(|trial| trial.reports).sum();
    if reports <= MANY_REPORTS {
        let others = row::metrics(study)
            .into_iter()
            .filter(|name| header.resource.as_ref() != Some(name));
        names.extend(others.filter(|name| {
            study
                .trials()
                .iter()
                .any(|trial| trial.metrics.contains_key(name))
        }));
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names.truncate(MOST_METRICS.max(header.objectives.len() + 1));
    names
}

/// Complete lines of a journal.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Whether the journal is shorter than the part that was read before, and so is another
    /// journal.
    shorter: bool,
}

impl Lines {
    fn read(&mut self, dir: &StudyDir, offset: u64) -> Result<(), JournalError> {
        if !dir.exists() {
            return Err(JournalError::NoStudy(dir.root().to_owned()));
        }
        let path = dir.journal();
        self.read_from(&path, offset)
            .map_err(|source| JournalError::Io { path, source })
    }

    fn read_from(&mut self, path: &Path, offset: u64) -> io::Result<()> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        self.shorter = length < offset;
        if length <= offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(offset))?;
        self.bytes
            .reserve(usize::try_from(length - offset).unwrap_or(0));
        file.take(length - offset).read_to_end(&mut self.bytes)?;
        // A line without its newline is still being written, or torn; it is read once it is
        // complete.
        let complete_lines = self
            .bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        self.bytes.truncate(complete_lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::View;
    use swath_engine::journal::StudyDir;
    use swath_model::demo::Demo;
    use swath_model::study::{Exit, TrialId};

    /// Writes the journal of a study, followed by the beginning of a torn line.
    fn write(dir: &StudyDir, demo: &Demo, torn: &str) {
        let lines: String = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        std::fs::write(dir.journal(), lines + torn).unwrap();
    }

    #[test]
    fn a_view_follows_a_journal_that_grows_and_starts_anew_with_another() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 0.5)]);
        write(&dir, &demo, "{\"seq\":");
        let mut view = View::open(dir.clone(), None).unwrap();
        assert_eq!(view.chronicle.curves[&TrialId(1)].values[0], [0.5]);
        assert!(!view.follow().unwrap());
        demo.report(trial, &[("val_loss", 0.25)]);
        demo.end(trial, Exit::Done);
        write(&dir, &demo, "");
        assert!(view.follow().unwrap());
        assert_eq!(
            (&view.study, view.chronicle.curves[&TrialId(1)].steps.len()),
            (&demo.study, 2)
        );
        write(&dir, &Demo::new(&[]), "");
        assert!(view.follow().unwrap());
        assert!(view.study.trials().is_empty() && view.chronicle.curves.is_empty());
    }
}
