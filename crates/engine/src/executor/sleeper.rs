//! Sleeps until a child ends or writes, a stop request arrives, or the interval is over.

use super::stop_line::StopLine;
use super::watch::Watch;
use rustix::process::Pid;
use std::time::{Duration, Instant};

/// Longest interval between two polls while the child's files are not watched.
pub(super) const LONGEST_BLIND_NAP: Duration = Duration::from_millis(50);

/// Time during which further writes are collected after a read, so that a busy writer does not wake
/// the supervisor for each line.
#[cfg(target_os = "linux")]
const READ_PAUSE: Duration = Duration::from_millis(10);

/// Reasons why a sleep ended.
pub(super) struct Woken {
    /// The child has ended.
    pub(super) exited: bool,
    /// The child has written to a watched file.
    pub(super) grown: bool,
}

/// Sleeper that waits in `poll` for events of a child.
#[cfg(target_os = "linux")]
pub(super) struct Sleeper {
    /// Readable once the child has ended; `None` if the kernel or a sandbox refuses it.
    pidfd: Option<std::os::fd::OwnedFd>,
    group: Pid,
}

#[cfg(target_os = "linux")]
impl Sleeper {
    pub(super) fn new(group: Pid) -> Self {
        use rustix::process::{PidfdFlags, pidfd_open};
        Self {
            pidfd: pidfd_open(group, PidfdFlags::empty()).ok(),
            group,
        }
    }

    pub(super) fn sleep(
        &self,
        line: &StopLine,
        watch: Option<&Watch>,
        nap: Duration,
        last_read: Option<Instant>,
    ) -> Woken {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(pidfd) = &self.pidfd else {
            return self.sleep_blind(nap);
        };
        // While the pause after a read lasts, the inotify descriptor is left out of the poll.
        let pause = last_read.and_then(|last_read| READ_PAUSE.checked_sub(last_read.elapsed()));
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        let waker = line.waker();
        fds.extend(
            waker
                .as_ref()
                .map(|waker| PollFd::new(waker, PollFlags::IN)),
        );
        let growth = watch.filter(|_| pause.is_none()).map(Watch::fd);
        fds.extend(
            growth
                .as_ref()
                .map(|growth| PollFd::new(growth, PollFlags::IN)),
        );
        let timeout = pause.map_or(nap, |pause| nap.min(pause));
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: timeout.subsec_nanos() as _,
        };
        // An error is an interruption by a signal; treat it as a timeout.
        poll(&mut fds, Some(&timeout)).ok();
        let woken = Woken {
            exited: is_ready(fds.first()),
            // After a pause the files are read without asking: it was made to collect writes.
            grown: pause.is_some() || growth.is_some() && is_ready(fds.last()),
        };
        if waker.is_some() && is_ready(fds.get(1)) {
            line.drain();
        }
        if let Some(watch) = watch.filter(|_| woken.grown) {
            watch.drain();
        }
        woken
    }
}

#[cfg(target_os = "linux")]
fn is_ready(fd: Option<&rustix::event::PollFd<'_>>) -> bool {
    fd.is_some_and(|fd| !fd.revents().is_empty())
}

/// Sleeper that naps for the given interval and then checks whether the child has ended.
#[cfg(not(target_os = "linux"))]
pub(super) struct Sleeper {
    group: Pid,
}

#[cfg(not(target_os = "linux"))]
impl Sleeper {
    pub(super) fn new(group: Pid) -> Self {
        Self { group }
    }

    pub(super) fn sleep(
        &self,
        _: &StopLine,
        _: Option<&Watch>,
        nap: Duration,
        _: Option<Instant>,
    ) -> Woken {
        self.sleep_blind(nap)
    }
}

impl Sleeper {
    /// Sleeps for `nap` without events, then checks whether the child has ended.
    fn sleep_blind(&self, nap: Duration) -> Woken {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        std::thread::sleep(nap.min(LONGEST_BLIND_NAP));
        // `NOWAIT` leaves the child to be reaped later.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Woken {
            exited: !matches!(waitid(WaitId::Pid(self.group), options), Ok(None)),
            grown: false,
        }
    }
}
