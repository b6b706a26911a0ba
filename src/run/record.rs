//! The recorder of a run: `trials.csv` and the trackers of the sweep file.

use crate::driver::Listener;
use crate::journal::{Journal, StudyDir};
use crate::study::{Entry, Event, Study};
use crate::tracker::Tracker;
use crate::tracker::csv::Csv;
use crate::tracker::recorder::{Named, Recorder};

/// Starts to feed the trackers: first with the `known` entries that the journal holds already, then with what the recorder is sent.
pub(super) fn start(
    dir: &StudyDir,
    known: u64,
    trackers: Vec<(String, Box<dyn Tracker>)>,
) -> std::io::Result<Recorder> {
    let journal = dir.clone();
    let trackers = trackers.into_iter().map(|(name, tracker)| Named { name, tracker }).collect();
    let history = Box::new(move |each: &mut dyn FnMut(&Entry)| {
        let Ok(replay) = Journal::open(&journal) else { return };
        let before = replay.map_while(Result::ok).take_while(|entry| entry.seq < known);
        before.for_each(|entry| each(&entry));
    });
    Recorder::start(Csv::new(dir.trials_csv()), trackers, history)
}

/// Feeds a recorder with what the driver commits, without a word about trackers that fail.
pub(super) struct Silent(Option<Recorder>);

impl Silent {
    pub(super) fn new(recorder: Recorder) -> Self {
        Self(Some(recorder))
    }
}

impl Listener for Silent {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        if let Some(recorder) = &mut self.0 {
            recorder.send(study, entry);
        }
        if matches!(entry.event, Event::Closed { .. })
            && let Some(recorder) = self.0.take()
        {
            recorder.finish(study);
        }
    }

    fn tick(&mut self, study: &Study) {
        if let Some(recorder) = &mut self.0 {
            recorder.tick(study);
        }
    }
}
