//! Watches files for growth with inotify on Linux; on other systems the supervisor polls.

use std::path::Path;

/// An inotify instance that watches the files of a trial for writes.
#[cfg(target_os = "linux")]
pub(super) struct Watch {
    inotify: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Creates an instance without watches; `None` if the kernel's limit of instances is reached.
    pub(super) fn new() -> Option<Self> {
        use rustix::fs::inotify::{CreateFlags, init};
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Self { inotify })
    }

    /// Adds a file. Returns whether it is watched; a file that does not exist yet cannot be.
    pub(super) fn add(&self, path: &Path) -> bool {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        add_watch(&self.inotify, path, WatchFlags::MODIFY).is_ok()
    }

    /// Watches a folder for files that are created in it or moved into it.
    pub(super) fn add_new_files(&self, folder: &Path) {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        // Without this watch the supervisor notices new files only at its next poll.
        add_watch(
            &self.inotify,
            folder,
            WatchFlags::CREATE | WatchFlags::MOVED_TO,
        )
        .ok();
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
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) fn add(&self, _: &Path) -> bool {
        false
    }

    pub(super) fn add_new_files(&self, _: &Path) {}
}
