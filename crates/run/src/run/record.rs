//! The recorder of a run, as a listener of its driver.

use crate::driver::Listener;
use crate::journal::{Journal, StudyDir};
use crate::study::{Entry, Event, Study};
use crate::tracker::Tracker;
use crate::tracker::csv::Csv;
use crate::tracker::recorder::{Named, Recorder, Stale};

/// Feeds `trials.csv` and the trackers of the sweep file with the committed entries. Reports each
/// tracker once when it becomes stale.
pub(super) struct Recording<'a> {
    recorder: Option<Recorder>,
    tell: Box<dyn FnMut(Stale) + 'a>,
}

impl<'a> Recording<'a> {
    /// Starts the recorder. It first feeds the trackers with the `known` entries that the journal
    /// already has.
    pub(super) fn start(
        dir: &StudyDir,
        known: u64,
        trackers: Vec<(String, Box<dyn Tracker>)>,
        tell: Box<dyn FnMut(Stale) + 'a>,
    ) -> std::io::Result<Self> {
        let recorder = recorder(dir, known, trackers)?;
        Ok(Self {
            recorder: Some(recorder),
            tell,
        })
    }
}

/// Feeds the trackers with all entries of the journal, and returns those that could not take them.
pub(super) fn catch_up(
    dir: &StudyDir,
    study: &Study,
    trackers: Vec<(String, Box<dyn Tracker>)>,
) -> std::io::Result<Vec<Stale>> {
    Ok(recorder(dir, study.next_seq(), trackers)?.finish(study))
}

/// Starts a recorder that reads the first `known` entries from the journal.
fn recorder(
    dir: &StudyDir,
    known: u64,
    trackers: Vec<(String, Box<dyn Tracker>)>,
) -> std::io::Result<Recorder> {
    let journal = dir.clone();
    let trackers = trackers
        .into_iter()
        .map(|(name, tracker)| Named { name, tracker })
        .collect();
    let history = Box::new(move |each: &mut dyn FnMut(&Entry)| {
        let Ok(replay) = Journal::open(&journal) else {
            return;
        };
        let before = replay
            .map_while(Result::ok)
            .take_while(|entry| entry.seq < known);
        before.for_each(|entry| each(&entry));
    });
    Recorder::start(Csv::new(dir.trials_csv()), trackers, history)
}

impl Listener for Recording<'_> {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        let Some(mut recorder) = self.recorder.take() else {
            return;
        };
        recorder.send(study, entry);
        // A `Closed` event ends the run: no entry follows, and the trackers write their last state.
        if matches!(entry.event, Event::Closed { .. }) {
            recorder.finish(study).into_iter().for_each(&mut self.tell);
        } else {
            recorder.stale().into_iter().for_each(&mut self.tell);
            self.recorder = Some(recorder);
        }
    }

    fn tick(&mut self, study: &Study) {
        if let Some(recorder) = &mut self.recorder {
            recorder.tick(study);
        }
    }
}
