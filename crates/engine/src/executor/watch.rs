//! Watches the files of a trial for growth; without watches the supervisor polls.

use crate::platform::{self, Wanted, Watches};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The watches of the files of a trial.
pub(super) struct Watch {
    watches: Watches,
    sees_new_files: bool,
    /// Whether the files are on this machine alone, so that no write remains without an event.
    is_local: bool,
}

impl Watch {
    /// Creates an instance that watches a folder for files that are created in it or moved into it;
    /// `None` if the system offers none.
    pub(super) fn new(folder: &Path) -> Option<Self> {
        let watches = Watches::new()?;
        // Without this watch the supervisor notices new files only at its next poll.
        let sees_new_files = watches.add(folder, Wanted::NewFiles).is_ok();
        Some(Self {
            watches,
            sees_new_files,
            is_local: platform::file_system(folder).is_ok_and(|known| !known.is_served),
        })
    }

    /// Returns whether a new file in the folder is noticed.
    pub(super) fn sees_new_files(&self) -> bool {
        self.sees_new_files
    }

    /// Returns whether every write to a watched file is announced. Another machine may write to a
    /// file on a network, and the kernel here then announces nothing.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Announces the next write to each file, once. Returns whether all of them are watched.
    pub(super) fn announce_next_growth<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> bool {
        let mut added = paths.map(|path| self.watches.add(path, Wanted::NextGrowth));
        added.all(|result| result.is_ok())
    }

    /// Adds a file. Returns whether it is watched; a file that does not exist yet cannot be.
    pub(super) fn add(&self, path: &Path) -> bool {
        self.watches.add(path, Wanted::Growth).is_ok()
    }

    /// Returns the descriptor that becomes readable when a watched file has grown.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.watches.fd()
    }

    /// Drains the events, so that [`fd`](Self::fd) is readable again only after the next write.
    pub(super) fn drain(&self) {
        self.watches.drain();
    }
}
