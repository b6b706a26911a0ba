//! Watches files for growth with inotify on Linux; on other systems the supervisor polls.

use std::path::Path;

/// An inotify instance that watches the files of a trial for writes.
#[cfg(target_os = "linux")]
pub(super) struct Watch {
    inotify: std::os::fd::OwnedFd,
    sees_new_files: bool,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Creates an instance that watches a folder for files that are created in it or moved into it;
    /// `None` if the kernel's limit of instances is reached.
    pub(super) fn new(folder: &Path) -> Option<Self> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let events = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        // Without this watch the supervisor notices new files only at its next poll.
        let sees_new_files = add_watch(&inotify, folder, events).is_ok();
        Some(Self {
            inotify,
            sees_new_files,
        })
    }

    /// Returns whether a new file in the folder is noticed.
    pub(super) fn sees_new_files(&self) -> bool {
        self.sees_new_files
    }

    /// Adds a file. Returns whether it is watched; a file that does not exist yet cannot be.
    pub(super) fn add(&self, path: &Path) -> bool {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        add_watch(&self.inotify, path, WatchFlags::MODIFY).is_ok()
    }

    /// Returns the descriptor that becomes readable when a watched file has grown.
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.inotify)
    }

    /// Drains the events, so that [`fd`](Self::fd) is readable again only after the next write.
    pub(super) fn drain(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.inotify, &mut events).is_ok_and(|count| count > 0) {}
    }
}

/// A stand-in without inotify that watches nothing.
#[cfg(not(target_os = "linux"))]
pub(super) struct Watch;

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(super) fn new(_: &Path) -> Option<Self> {
        None
    }

    pub(super) fn sees_new_files(&self) -> bool {
        false
    }

    pub(super) fn add(&self, _: &Path) -> bool {
        false
    }
}
