//! The receivers of everything that a run does.

use swath_model::study::{Entry, Study};

/// A receiver of everything that the run does: a progress display, an event stream, or the writer
/// of the table.
pub trait Listener {
    /// Called once the kernel has `entry`, so that a SIGKILL cannot undo it. `study` has applied
    /// it; after a wait for room on the disk, it may have applied later ones, too.
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

    /// Called before the run suspends itself (Ctrl-Z), so that a display leaves the terminal to the
    /// shell.
    fn suspend(&mut self) {}

    /// Called about ten times a second, or twice a second once nothing has happened for some
    /// seconds; and once at the end, when the journal is synced.
    fn tick(&mut self, study: &Study) {
        let _ = study;
    }
}

/// The listeners of a run.
#[derive(Default)]
pub(super) struct Listeners<'a> {
    all: Vec<Box<dyn Listener + 'a>>,
    /// Messages about opening the study. They are kept because no listener is registered yet at
    /// that time.
    opening: Vec<Opening>,
    /// Entries that the kernel does not have yet, because the disk is full.
    held: Vec<Entry>,
}

/// A message about opening the study.
enum Opening {
    News(String),
    Notice(String),
}

impl<'a> Listeners<'a> {
    /// Keeps a message for all listeners that are registered later.
    pub(super) fn keep(&mut self, news: String) {
        self.opening.push(Opening::News(news));
    }

    /// Keeps a warning for all listeners that are registered later.
    pub(super) fn keep_notice(&mut self, notice: String) {
        self.opening.push(Opening::Notice(notice));
    }

    /// Returns whether there is no listener.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Registers a listener. It first receives the kept messages.
    pub(super) fn add(&mut self, mut listener: Box<dyn Listener + 'a>) {
        for opening in &self.opening {
            match opening {
                Opening::News(text) => listener.news(text),
                Opening::Notice(text) => listener.notice(text),
            }
        }
        self.all.push(listener);
    }

    /// Holds an entry until [`deliver`](Self::deliver).
    pub(super) fn hold(&mut self, entry: Entry) {
        if !self.is_empty() {
            self.held.push(entry);
        }
    }

    /// Shows the held entries, which the kernel has now.
    pub(super) fn deliver(&mut self, study: &Study) {
        for entry in std::mem::take(&mut self.held) {
            self.all
                .iter_mut()
                .for_each(|listener| listener.entry(study, &entry));
        }
    }

    pub(super) fn news(&mut self, text: &str) {
        self.all.iter_mut().for_each(|listener| listener.news(text));
    }

    pub(super) fn notice(&mut self, text: &str) {
        self.all
            .iter_mut()
            .for_each(|listener| listener.notice(text));
    }

    pub(super) fn suspend(&mut self) {
        self.all.iter_mut().for_each(|listener| listener.suspend());
    }

    pub(super) fn tick(&mut self, study: &Study) {
        self.all
            .iter_mut()
            .for_each(|listener| listener.tick(study));
    }
}
