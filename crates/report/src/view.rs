//! A read-only view of a study: the replayed study, its reports and attempts, and its search space.
//! Reading takes no lock.

use super::plots::chronicle::Chronicle;
use super::row;
use std::borrow::Cow;
use std::sync::Arc;
use swath_cluster::pilot;
use swath_engine::journal::{self, JournalError, StudyDir, entries, lock};
use swath_engine::provenance::{Record, Starts};
use swath_model::space::{Name, Space};
use swath_model::study::Study;
use swath_run::sweep::Sweep;

/// Maximum number of metrics with reports in memory, unless the study has more objectives.
const MOST_METRICS: usize = 6;
/// If the study has more reports than this, only those of the objectives and of the requested
/// metric are read.
const MANY_REPORTS: u64 = 300_000;

/// A study in its current state, which [`View::follow`] updates. A copy shares everything until one
/// of the two is updated.
#[derive(Clone)]
pub struct View {
    /// The folder of the study.
    pub dir: StudyDir,
    /// The study, replayed from its journal.
    pub study: Arc<Study>,
    /// The reports and attempts of the study.
    pub chronicle: Arc<Chronicle>,
    /// The last start of each trial.
    starts: Arc<Starts>,
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
        // The end is noted before the replay, so that the study contains at least every entry of the
        // chronicle.
        let end = entries::length(&dir)?;
        let study = journal::read(&dir)?;
        let mut chronicle = Chronicle::new(
            study.header().resource.clone(),
            metrics_in_memory(&study, metric),
        );
        let mut starts = Starts::default();
        let offset = entries::each_entry(&dir, 0, end, &mut |entry| {
            chronicle.apply(entry);
            starts.apply(entry);
            Ok(())
        })?;
        let space =
            Sweep::read(&dir.sweep_toml()).or_else(|_| Sweep::read_for_function(&dir.sweep_toml()));
        let space = space.ok().map(|sweep| sweep.space);
        Ok(Self {
            dir,
            study: Arc::new(study),
            chronicle: Arc::new(chronicle),
            starts: Arc::new(starts),
            space,
            offset,
        })
    }

    /// Reads the entries that were appended to the journal since the last call. Returns whether
    /// there were any.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn follow(&mut self) -> Result<bool, JournalError> {
        let end = entries::length(&self.dir)?;
        // A shorter journal is not the one that was read before, so nothing of it is known.
        if end < self.offset {
            *self = Self::open(self.dir.clone(), None)?;
            return Ok(true);
        }
        if end == self.offset {
            return Ok(false);
        }
        let (study, path) = (Arc::make_mut(&mut self.study), self.dir.journal());
        let chronicle = Arc::make_mut(&mut self.chronicle);
        let starts = Arc::make_mut(&mut self.starts);
        let offset = entries::each_entry(&self.dir, self.offset, end, &mut |entry| {
            chronicle.apply(entry);
            starts.apply(entry);
            // `open` replays the journal after it has noted its end, so the study may contain this
            // entry already.
            if entry.seq < study.next_seq() {
                return Ok(());
            }
            study.apply(entry).map_err(|source| JournalError::Illegal {
                path: path.clone(),
                line: entry.seq + 1,
                source,
            })
        })?;
        let has_grown = offset > self.offset;
        self.offset = offset;
        Ok(has_grown)
    }

    /// Returns the study as the next run will find it: if no run holds the study, its running
    /// trials are lost, except those in pilots.
    #[must_use]
    pub fn settled(&self) -> Cow<'_, Study> {
        if self.study.running_count() == 0 || lock::is_held(&self.dir) {
            return Cow::Borrowed(&self.study);
        }
        let mut study = Study::clone(&self.study);
        pilot::settle(&self.dir, &mut study);
        Cow::Owned(study)
    }

    /// Returns the provenance of the study as far as its journal was read. The files beside the
    /// journal are read now.
    #[must_use]
    pub fn record(&self) -> Record {
        Record::with_starts(&self.dir, &self.starts)
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

#[cfg(test)]
mod tests {
    use super::View;
    use std::borrow::Cow;
    use std::sync::Arc;
    use swath_engine::journal::StudyDir;
    use swath_engine::provenance::Record;
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

    /// Creates a study with a running trial in a folder.
    fn running_trial() -> (tempfile::TempDir, Demo, TrialId) {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        write(&StudyDir::at(folder.path()), &demo, "");
        (folder, demo, trial)
    }

    #[test]
    fn a_study_without_running_trials_is_settled_as_it_is_and_one_with_lost_trials_is_a_copy() {
        let (folder, mut demo, trial) = running_trial();
        let dir = StudyDir::at(folder.path());
        let mut view = View::open(dir.clone(), None).unwrap();
        let settled = view.settled().into_owned();
        assert_eq!(settled.trial(trial).unwrap().exit, Some(Exit::Lost));
        demo.end(trial, Exit::Done);
        write(&dir, &demo, "");
        view.follow().unwrap();
        assert!(matches!(view.settled(), Cow::Borrowed(_)));
    }

    #[test]
    fn a_copy_of_a_view_stays_as_it_is_while_the_view_follows_the_journal() {
        let (folder, mut demo, trial) = running_trial();
        let dir = StudyDir::at(folder.path());
        let mut view = View::open(dir.clone(), None).unwrap();
        let copy = view.clone();
        assert!(!view.follow().unwrap());
        assert!(Arc::ptr_eq(&view.study, &copy.study));
        demo.report(trial, &[("val_loss", 0.5)]);
        write(&dir, &demo, "");
        assert!(view.follow().unwrap());
        assert!(copy.chronicle.curves.is_empty());
        assert_eq!(view.chronicle.curves[&TrialId(1)].steps.len(), 1);
    }

    #[test]
    fn the_provenance_of_a_view_is_that_of_its_journal() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = Demo::new(&[]);
        write(&dir, &demo, "");
        let mut view = View::open(dir.clone(), None).unwrap();
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 0.5)]);
        write(&dir, &demo, "");
        view.follow().unwrap();
        let facts = [view.record(), Record::of(&dir).unwrap()].map(|record| {
            let made = record.made(trial).unwrap();
            (made.header.clone(), made.at, made.until, made.resumed)
        });
        assert_eq!(facts[0], facts[1]);
        assert!(facts[0].1.is_some());
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
            (&*view.study, view.chronicle.curves[&TrialId(1)].steps.len()),
            (&demo.study, 2)
        );
        write(&dir, &Demo::new(&[]), "");
        assert!(view.follow().unwrap());
        assert!(view.study.trials().is_empty() && view.chronicle.curves.is_empty());
    }
}
