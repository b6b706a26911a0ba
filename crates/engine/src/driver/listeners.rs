//! The receivers of everything that a run does.

use swath_model::study::{Entry, Study};

/// A receiver of everything that the run does: a progress display, an event stream, or the writer
/// of the table.
pub trait Listener {
    /// Called after the study has applied `entry`. The journal contains the entry already.
    fn entry(&mut self, study: &Study, entry: &Entry);

    /// Called with a progress message of the executor (for example of the batch system). Not part
    /// of the journal.
    fn news(&mut self, text: &str) {
        let _ = text;
    }

    /// Called when the run pauses or resumes (for example on a full disk). Not an event of the
    /// study.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }

    /// Called about ten times a second, also when nothing has happened, and once at the end, when the
    /// journal is synced.
    fn tick(&mut self, study: &Study) {
        let _ = study;
    }
}

/// The listeners of a run.
#[derive(Default)]
pub(super) struct Listeners<'a> {
    all: Vec<Box<dyn Listener + 'a>>,
    /// A message about opening the study. It is kept because no listener is registered yet at that
    /// time.
    opening: Option<String>,
}

impl<'a> Listeners<'a> {
    /// Keeps a message for all listeners that are registered later.
    pub(super) fn keep(&mut self, opening: String) {
        self.opening = Some(opening);
    }

    /// Registers a listener. It first receives the kept message.
    pub(super) fn add(&mut self, mut listener: Box<dyn Listener + 'a>) {
        if let Some(text) = &self.opening {
            listener.news(text);
        }
        self.all.push(listener);
    }

    pub(super) fn entry(&mut self, study: &Study, entry: &Entry) {
        self.all
            .iter_mut()
            .for_each(|listener| listener.entry(study, entry));
    }

    pub(super) fn news(&mut self, text: &str) {
        self.all.iter_mut().for_each(|listener| listener.news(text));
    }

    pub(super) fn notice(&mut self, text: &str) {
        self.all
            .iter_mut()
            .for_each(|listener| listener.notice(text));
    }

    pub(super) fn tick(&mut self, study: &Study) {
        self.all
            .iter_mut()
            .for_each(|listener| listener.tick(study));
    }
}
