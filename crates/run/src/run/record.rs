//! The table and the trackers of a run, as a listener of its driver.

use super::follow::{Followers, Named, Stale, after_sync};
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Instant;
use swath_engine::driver::{Interrupt, Listener, Urgency};
use swath_engine::journal::StudyDir;
use swath_engine::tracker::csv::Csv;
use swath_engine::tracker::{Tracker, TrackerError};
use swath_model::study::{Entry, Event, Study};

/// Writes `trials.csv`, and ends the threads of the trackers with the run. Reports each tracker
/// once when it becomes stale.
pub(super) struct Recording<'a> {
    table: Table,
    /// The threads of the trackers, until the run has ended.
    followers: Option<Followers>,
    /// Whether the last entry of the run was committed. It may not be in the journal yet.
    is_closing: bool,
    /// The requests to end the run, once it has begun.
    interrupt: Rc<OnceCell<Interrupt>>,
    tell: Box<dyn FnMut(Stale) + 'a>,
}

impl<'a> Recording<'a> {
    /// Starts to write the table and the threads of the trackers.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn start(
        dir: &StudyDir,
        trackers: Vec<Named>,
        interrupt: Rc<OnceCell<Interrupt>>,
        tell: Box<dyn FnMut(Stale) + 'a>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            table: Table::new(dir),
            followers: Some(Followers::start(dir, trackers)?),
            is_closing: false,
            interrupt,
            tell,
        })
    }
}

impl Listener for Recording<'_> {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        self.is_closing = matches!(entry.event, Event::Closed { .. });
        let stale = self.table.record(study, entry);
        stale.into_iter().for_each(&mut self.tell);
    }

    fn tick(&mut self, study: &Study) {
        self.table
            .sync_if_due(study)
            .into_iter()
            .for_each(&mut self.tell);
        let Some(mut followers) = self.followers.take() else {
            return;
        };
        // The driver calls this after it has written the last entry to the journal, from which the
        // trackers read it.
        let stale = if self.is_closing {
            let interrupt = self.interrupt.get();
            followers.finish(|| interrupt.is_some_and(|it| it.urgency() >= Urgency::Kill))
        } else {
            let stale = followers.stale();
            self.followers = Some(followers);
            stale
        };
        stale.into_iter().for_each(&mut self.tell);
    }
}

/// The writer of `trials.csv`. It runs on the driver's thread with the driver's study, rarely
/// enough that it takes less than 1 % of the time: a replica of the study only for the table would
/// double the memory of a long run.
struct Table {
    csv: Csv,
    /// Whether the table could not be written and is no longer tried.
    failed: bool,
    next_sync: Instant,
}

impl Table {
    fn new(dir: &StudyDir) -> Self {
        Self {
            csv: Csv::new(dir.trials_csv()),
            failed: false,
            next_sync: after_sync(Instant::now()),
        }
    }

    /// Writes the table if it is due, and in any case at the end of the run.
    fn record(&mut self, study: &Study, entry: &Entry) -> Option<Stale> {
        let stale = self.attempt(|csv| csv.record(study, entry));
        stale.or_else(|| match entry.event {
            Event::Closed { .. } => self.close(study),
            _ => self.sync_if_due(study),
        })
    }

    fn close(&mut self, study: &Study) -> Option<Stale> {
        self.attempt(|csv| csv.close(study))
    }

    fn sync_if_due(&mut self, study: &Study) -> Option<Stale> {
        if Instant::now() < self.next_sync {
            return None;
        }
        let began = Instant::now();
        let stale = self.attempt(|csv| match csv.sync(study) {
            // A full disk is not a failure: the next sync tries again.
            Err(error) if error.is_full() => Ok(()),
            result => result,
        });
        self.next_sync = after_sync(began);
        stale
    }

    /// Acts on the table unless it has failed before. Returns a report if it fails now.
    fn attempt(&mut self, act: impl FnOnce(&mut Csv) -> Result<(), TrackerError>) -> Option<Stale> {
        if self.failed {
            return None;
        }
        let error = act(&mut self.csv).err()?;
        self.failed = true;
        Some(Stale::new("csv".to_owned(), &error))
    }
}

/// Writes the table and lets the trackers write the entries that they lack. Returns the trackers
/// that could not.
///
/// # Errors
/// If a thread cannot be started.
pub(super) fn catch_up(
    dir: &StudyDir,
    study: &Study,
    trackers: Vec<Named>,
) -> std::io::Result<Vec<Stale>> {
    let followers = Followers::start(dir, trackers)?;
    let mut stale: Vec<_> = Table::new(dir).close(study).into_iter().collect();
    stale.extend(followers.finish(|| false));
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::Table;
    use swath_engine::journal::StudyDir;
    use swath_model::demo::Demo;

    #[test]
    fn a_table_that_cannot_be_written_is_reported_once() {
        let mut table = Table::new(&StudyDir::at("/nonexistent/folder"));
        let study = Demo::new(&[]).study;
        let stale = table.close(&study).unwrap();
        assert!(
            stale
                .why
                .starts_with("could not write `/nonexistent/folder/trials.csv`: "),
            "{stale:?}"
        );
        assert_eq!(table.close(&study), None);
    }
}
