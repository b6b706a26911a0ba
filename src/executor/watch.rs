//! Says when a file grows, where the kernel can; elsewhere one looks now and then.

use std::path::Path;

/// Watches files for being written to.
#[cfg(target_os = "linux")]
pub(super) struct Watch {
    inotify: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Makes one that watches nothing yet; `None` if the kernel has none left to give.
    pub(super) fn new() -> Option<Self> {
        use rustix::fs::inotify::{CreateFlags, init};
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Self { inotify })
    }

    /// Watches a file too; returns whether it does, which it cannot before there is the file.
    pub(super) fn add(&self, path: &Path) -> bool {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        add_watch(&self.inotify, path, WatchFlags::MODIFY).is_ok()
    }

    /// Watches for files that begin to be in a folder.
    pub(super) fn add_births(&self, folder: &Path) {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        // Without it, one looks now and then.
        add_watch(
            &self.inotify,
            folder,
            WatchFlags::CREATE | WatchFlags::MOVED_TO,
        )
        .ok();
    }

    /// Returns what is readable when a file has grown.
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.inotify)
    }

    /// Makes [`fd`](Self::fd) quiet until the next growth.
    pub(super) fn quiet(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.inotify, &mut events).is_ok_and(|count| count > 0) {}
    }
}

/// Watches nothing.
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

    pub(super) fn add_births(&self, _: &Path) {}
}
