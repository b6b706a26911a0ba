//! Watches the files of a trial for growth; without watches the supervisor polls.

use crate::platform::{Wanted, Watches};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The watches of the files of a trial.
pub(super) struct Watch(Watches);

impl Watch {
    /// Creates an instance without watches; `None` if the system offers none.
    pub(super) fn new() -> Option<Self> {
        Watches::new().map(Self)
    }

    /// Adds a file. Returns whether it is watched; a file that does not exist yet cannot be.
    pub(super) fn add(&self, path: &Path) -> bool {
        self.0.add(path, Wanted::Growth).is_ok()
    }

    /// Watches a folder for files that are created in it or moved into it.
    pub(super) fn add_new_files(&self, folder: &Path) {
        // Without this watch the supervisor notices new files only at its next poll.
        self.0.add(folder, Wanted::NewFiles).ok();
    }

    /// Returns the descriptor that becomes readable when a watched file has grown.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// Drains the events, so that [`fd`](Self::fd) is readable again only after the next write.
    pub(super) fn drain(&self) {
        self.0.drain();
    }
}
