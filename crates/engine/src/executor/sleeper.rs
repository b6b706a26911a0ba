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
const BREATHER: Duration = Duration::from_millis(10);

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
        looked: Option<Instant>,
    ) -> Woken {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(pidfd) = &self.pidfd else {
            return self.look(nap);
        };
        // While the pause after a read lasts, the inotify descriptor is left out of the poll.
        let breather = looked.and_then(|looked| BREATHER.checked_sub(looked.elapsed()));
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        let waker = line.waker();
        fds.extend(
            waker
                .as_ref()
                .map(|waker| PollFd::new(waker, PollFlags::IN)),
        );
        let growth = watch.filter(|_| breather.is_none()).map(Watch::fd);
        fds.extend(
            growth
                .as_ref()
                .map(|growth| PollFd::new(growth, PollFlags::IN)),
        );
        let at_most = breather.map_or(nap, |breather| nap.min(breather));
        let at_most = Timespec {
            tv_sec: at_most.as_secs() as _,
            tv_nsec: at_most.subsec_nanos() as _,
        };
        // An error is an interruption by a signal; treat it as a timeout.
        poll(&mut fds, Some(&at_most)).ok();
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let woken = Woken {
            exited: ready(0),
            grown: breather.is_some() || growth.is_some() && ready(fds.len() - 1),
        };
        if waker.is_some() && ready(1) {
            line.quiet();
        }
        if let Some(watch) = watch.filter(|_| woken.grown) {
            watch.quiet();
        }
        woken
    }
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
        self.look(nap)
    }
}

impl Sleeper {
    fn look(&self, nap: Duration) -> Woken {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        std::thread::sleep(nap.min(LONGEST_BLIND_NAP));
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Woken {
            exited: !matches!(waitid(WaitId::Pid(self.group), how), Ok(None)),
            grown: false,
        }
    }
}
