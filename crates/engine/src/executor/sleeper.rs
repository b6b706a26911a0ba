//! Sleeps until a slot has news of a child, the child writes, a stop request arrives, or the interval is over.

use super::slot::timespec;
use super::stop_line::Waker;
use super::watch::Watch;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Longest interval between two polls while the child's files are not watched.
pub(super) const LONGEST_BLIND_NAP: Duration = Duration::from_millis(50);

/// Time during which further writes are collected after a read, so that a busy writer does not wake
/// the supervisor for each line.
const READ_PAUSE: Duration = Duration::from_millis(10);

/// Reasons why a sleep ended.
pub(super) struct Woken {
    /// The slot has sent something: the child has ended, or the slot process is gone.
    pub(super) has_news: bool,
    /// The child has written to a watched file.
    pub(super) grown: bool,
}

/// Sleeps for at most `nap`; `slot` becomes readable when the slot has news.
pub(super) fn sleep(
    slot: BorrowedFd<'_>,
    waker: &Waker<'_>,
    watch: Option<&Watch>,
    nap: Duration,
    last_read: Option<Instant>,
) -> Woken {
    // While the pause after a read lasts, the inotify descriptor is left out of the poll.
    let pause = last_read.and_then(|last_read| READ_PAUSE.checked_sub(last_read.elapsed()));
    let mut fds = vec![PollFd::from_borrowed_fd(slot, PollFlags::IN)];
    fds.extend(waker.fd().map(|fd| PollFd::new(fd, PollFlags::IN)));
    let growth = watch.filter(|_| pause.is_none()).map(Watch::fd);
    fds.extend(
        growth
            .as_ref()
            .map(|growth| PollFd::new(growth, PollFlags::IN)),
    );
    // Without a descriptor, a request to stop does not end the sleep.
    let nap = match waker.fd() {
        Some(_) => nap,
        None => nap.min(LONGEST_BLIND_NAP),
    };
    let timeout = pause.map_or(nap, |pause| nap.min(pause));
    // An error is an interruption by a signal; treat it as a timeout.
    poll(&mut fds, Some(&timespec(timeout))).ok();
    let woken = Woken {
        has_news: is_ready(fds.first()),
        grown: growth.is_some() && is_ready(fds.last()),
    };
    if waker.fd().is_some() && is_ready(fds.get(1)) {
        waker.drain();
    }
    if let Some(watch) = watch.filter(|_| woken.grown) {
        watch.drain();
    }
    woken
}

fn is_ready(fd: Option<&PollFd<'_>>) -> bool {
    fd.is_some_and(|fd| !fd.revents().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::stop_line::StopLine;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_end_of_a_pause_is_no_write() {
        let dir = tempfile::tempdir().unwrap();
        // Only Linux has watches.
        let Some(watch) = Watch::new(dir.path()) else {
            return;
        };
        let (slot, _other) = UnixStream::pair().unwrap();
        let line = StopLine::new();
        let waker = line.open_waker();
        let sleep = |last_read| {
            let nap = Duration::from_millis(1);
            super::sleep(slot.as_fd(), &waker, Some(&watch), nap, last_read).grown
        };
        std::fs::write(dir.path().join("records.jsonl"), "x").unwrap();
        // The pause lasts as long as this moment is to come.
        let pausing = Some(Instant::now() + Duration::from_secs(3600));
        // Writes are collected during the pause, and reported after it.
        assert!(!sleep(pausing) && sleep(None));
        assert!(!sleep(pausing) && !sleep(None));
    }

    #[test]
    fn the_next_write_to_a_log_is_announced_once() {
        let dir = tempfile::tempdir().unwrap();
        let Some(watch) = Watch::new(dir.path()) else {
            return;
        };
        let path = dir.path().join("stdout.log");
        std::fs::write(&path, "").unwrap();
        watch.drain();
        let (slot, _other) = UnixStream::pair().unwrap();
        let line = StopLine::new();
        let waker = line.open_waker();
        let is_announced = || {
            std::fs::write(&path, "x").unwrap();
            let nap = Duration::from_millis(1);
            super::sleep(slot.as_fd(), &waker, Some(&watch), nap, None).grown
        };
        assert!(!is_announced());
        assert!(watch.announce_next_growth([path.as_path()].into_iter()));
        assert!(is_announced() && !is_announced());
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.announce_next_growth([path.as_path()].into_iter()));
    }
}
