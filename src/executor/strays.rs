//! Descendants of trials that left their process group: daemons, double forks, `setsid`.
//!
//! This process makes itself the one that orphans among its descendants are given to
//! (`PR_SET_CHILD_SUBREAPER`). When the leader of a trial has ended, whatever it left is therefore
//! below a child that this process did not start. The kernel gives orphans to the main thread and
//! slots start programs from their own threads, so one small file says whether there is any: that
//! is all it costs a trial that leaves nothing.

use super::processes;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The variable that marks everything a run starts.
pub(super) const RUN: &str = "SWATH_RUN";

/// Finds and ends what trials leave behind.
pub(super) struct Strays {
    /// `SWATH_RUN=…`, in the environment of every trial of this run.
    run: String,
    /// What lists the children of the main thread; `None` where the kernel does not.
    children: Option<File>,
    /// Children of this process that are no trial's.
    own: BTreeSet<u32>,
}

impl Strays {
    /// Begins to receive orphans. `run` is the mark of this run's trials; the children that exist
    /// now are no trial's.
    pub(super) fn new(run: &str) -> Self {
        let pid = std::process::id();
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
        Self {
            run: format!("{RUN}={run}"),
            children: File::open(format!("/proc/self/task/{pid}/children")).ok(),
            own: processes::children(pid),
        }
    }

    /// Returns the orphans of a living trial, found by `mark` or because they are still in its
    /// process group.
    pub(super) fn of_trial(&self, mark: &str, group: u32) -> Vec<u32> {
        let is_marked = |pid: &u32| {
            processes::is_in_group(*pid, group)
                || processes::environment_holds(*pid, |entry| entry == mark.as_bytes())
        };
        self.adopted()
            .into_iter()
            .filter(|pid| *pid != group)
            .filter(is_marked)
            .collect()
    }

    /// Ends what a trial left, found by `mark`, `NAME=value` in its environment; returns whether
    /// nothing is left.
    pub(super) fn end_of_trial(&self, mark: &str, grace: Duration) -> bool {
        if self.adopted().is_empty() {
            return true;
        }
        let find = || {
            // A dead orphan has no environment any more and needs only to be waited for.
            let is_marked =
                |pid: &u32| processes::environment_holds(*pid, |entry| entry == mark.as_bytes());
            let (marked, rest): (Vec<u32>, Vec<u32>) =
                self.adopted().into_iter().partition(is_marked);
            for pid in rest {
                processes::bury(pid);
            }
            processes::trees(marked)
        };
        processes::end(find, grace)
    }

    /// Ends whatever is left of the run's trials, also what cleared its environment; returns
    /// whether nothing is left.
    pub(super) fn end_of_run(&self, grace: Duration) -> bool {
        let find = || {
            let marked = processes::with_environment(|entry| entry == self.run.as_bytes());
            let marks = format!("{RUN}=");
            let any = |entry: &[u8]| entry.starts_with(marks.as_bytes());
            let unmarked = self
                .adopted()
                .into_iter()
                .filter(|pid| !processes::environment_holds(*pid, any));
            processes::trees(marked.into_iter().chain(unmarked))
        };
        processes::end(find, grace)
    }

    /// Returns the children that were given to this process: not there at the beginning, and in
    /// another process group.
    fn adopted(&self) -> Vec<u32> {
        let children = self.children.as_ref().map(list).unwrap_or_default();
        let others = children
            .split_ascii_whitespace()
            .flat_map(str::parse::<u32>);
        others
            .filter(|pid| !self.own.contains(pid) && processes::is_foreign(*pid))
            .collect()
    }
}

/// Reads a file of `/proc` from its beginning, with one system call if it is short: it was opened
/// once for all.
fn list(file: &File) -> String {
    let mut text = vec![0; 4096];
    let mut length = 0;
    while let Ok(count @ 1..) = file.read_at(&mut text[length..], length as u64) {
        length += count;
        if text.len() - length > 64 {
            break;
        }
        text.resize(length + 4096, 0);
    }
    text.truncate(length);
    String::from_utf8(text).unwrap_or_default()
}
