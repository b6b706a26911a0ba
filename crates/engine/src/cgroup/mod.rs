//! Control groups of the kernel (cgroups), version 2: folders that contain processes. A process
//! stays in its group when it changes its parent, session or environment.
//!
//! All operations read or write files. On a machine without this file system, `Cgroup::own`
//! returns `None`.

mod memory;
mod mounts;

pub(crate) use memory::{Loan, Prospect, give_back};

use crate::platform;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A control group, named by its folder. The folder may have been removed since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Names the control group of a folder, without any access to the disk.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Finds the control group of this process; `None` if no mount shows it.
    pub(crate) fn own() -> Option<Self> {
        let (mounts, groups) = platform::mounts_and_groups()?;
        let own = Self::at(mounts::own(&mounts, &groups)?);
        // The two files may describe different namespaces. Only the list of members proves that the
        // folder is ours.
        own.members().contains(&std::process::id()).then_some(own)
    }

    /// Returns the topmost control groups that are visible: one per mount.
    pub(crate) fn tops() -> Vec<Self> {
        let (mounts, _) = platform::mounts_and_groups().unwrap_or_default();
        mounts::all(&mounts)
            .into_iter()
            .map(|mount| Self::at(mount.mountpoint))
            .collect()
    }

    /// Returns the folder of the control group.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the folder; empty if it is not UTF-8.
    pub(crate) fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Names the child group `name`, which need not exist.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    /// Returns the child groups that exist. An unreadable folder has none.
    pub(crate) fn children(&self) -> Vec<Self> {
        let entries = fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| Self::at(entry.path())).collect()
    }

    /// Creates the folder and so the control group.
    ///
    /// # Errors
    /// If the folder exists already, or this process lacks the permission.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir(&self.path)
    }

    /// Returns whether this process may move its children from here into groups that it creates
    /// here.
    pub(crate) fn lends(&self) -> bool {
        let may_write =
            |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        may_write(&self.path) && may_write(&self.path.join("cgroup.procs"))
    }

    /// Moves a process into this group, with its threads but without its children.
    ///
    /// # Errors
    /// If the process has ended, or this process lacks the permission.
    pub(crate) fn take(&self, pid: u32) -> io::Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }

    /// Returns the pids of the processes in this group itself. Dead processes, and processes that
    /// this process cannot see, are omitted.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        let listed = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        listed
            .lines()
            .filter_map(|pid| pid.parse().ok())
            // The kernel lists a process of another pid namespace as 0.
            .filter(|pid| *pid != 0)
            .collect()
    }

    /// Returns the pids of the processes in this group and in all groups below it.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let mut pids = self.members();
        for child in self.children() {
            pids.extend(child.processes());
        }
        pids
    }

    /// Sends SIGKILL to every process in this group and below it at once, including processes that
    /// are being forked.
    ///
    /// # Errors
    /// If the kernel is older than 5.14, or this process lacks the permission.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.set("cgroup.kill", "1")
    }

    /// Removes this group and all groups below it. A group that does not exist counts as removed.
    ///
    /// # Errors
    /// If a group still contains processes.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // The kernel refuses to remove a group that has children, so these go first.
            Err(_) => {
                for child in self.children() {
                    child.remove()?;
                }
                fs::remove_dir(&self.path)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Returns the number that follows `key` in `file` of this group; the whole key must match.
    pub(crate) fn number(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        text.lines().find_map(|line| {
            line.strip_prefix(key)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
    }

    /// Returns the single number in `file` of this group; `None` for a word such as `max`.
    pub(crate) fn value(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Writes `value` to `file` of this group.
    ///
    /// # Errors
    /// If the file does not exist, or the kernel rejects the value.
    pub(crate) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        // Opened without `create`: a missing file means that the kernel does not support the
        // setting.
        OpenOptions::new()
            .write(true)
            .open(self.path.join(file))?
            .write_all(value.as_bytes())
    }

    /// Returns whether `file` of this group, a list of words, contains `word`.
    fn lists(&self, file: &str, word: &str) -> bool {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.split_ascii_whitespace().any(|pids| pids == word)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a folder with the given files, which stands for a control group in tests.
    pub(super) fn pretended(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let cgroup = Cgroup::at(dir.path());
        (dir, cgroup)
    }

    #[test]
    fn the_numbers_of_its_files_are_read_by_their_whole_key() {
        let (_dir, cgroup) = pretended(&[
            (
                "memory.events",
                "low 0\noom 3\noom_kill 2\noom_group_kill 1\n",
            ),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
            ("memory.peak", "4096\n"),
            ("memory.max", "max\n"),
        ]);
        assert_eq!(cgroup.number("memory.events", "oom_kill"), Some(2));
        assert_eq!(cgroup.number("memory.events", "oom"), Some(3));
        assert_eq!(cgroup.number("memory.events", "o"), None);
        assert_eq!(
            (cgroup.value("memory.peak"), cgroup.value("memory.max")),
            (Some(4096), None)
        );
    }

    #[test]
    fn processes_of_other_namespaces_are_left_out_and_those_below_counted() {
        let (dir, cgroup) = pretended(&[("cgroup.procs", "0\n17\n4\n")]);
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/cgroup.procs"), "23\n").unwrap();
        assert_eq!(cgroup.members(), BTreeSet::from([4, 17]));
        assert_eq!(cgroup.processes(), BTreeSet::from([4, 17, 23]));
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let (dir, cgroup) = pretended(&[]);
        assert!(cgroup.kill().is_err());
        assert!(!dir.path().join("cgroup.kill").exists());
    }
}
