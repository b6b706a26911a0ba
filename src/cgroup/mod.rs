//! Control groups of the kernel, version 2: folders that hold processes, whatever these do to their
//! parents, sessions and environments.
//!
//! Everything here is a file that is read or written. Where there is no such file system,
//! [`Cgroup::own`] finds none.

mod memory;
mod mounts;

pub(crate) use memory::{Loan, Prospect, give_back};

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// One control group: a folder, which may be no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Names a folder of the file system.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Finds the one that this process is in; `None` if it cannot be seen from here.
    pub(crate) fn own() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = Self::at(mounts::own(&mounts, &groups)?);
        // What the two files say can be of different namespaces: this is the proof.
        own.members().contains(&std::process::id()).then_some(own)
    }

    /// Returns the topmost ones that can be seen.
    pub(crate) fn tops() -> Vec<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts::all(&mounts)
            .into_iter()
            .map(|mount| Self::at(mount.at))
            .collect()
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its name: that of its folder.
    pub(crate) fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Names one right below it.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    /// Returns those right below it.
    pub(crate) fn children(&self) -> Vec<Self> {
        let entries = fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| Self::at(entry.path())).collect()
    }

    /// Makes it.
    ///
    /// # Errors
    /// If it is there already, or this process may not.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir(&self.path)
    }

    /// Returns whether this process may move its children from here to what it makes here.
    pub(crate) fn lends(&self) -> bool {
        let may_write =
            |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        may_write(&self.path) && may_write(&self.path.join("cgroup.procs"))
    }

    /// Moves a process here, with its threads and without its children.
    ///
    /// # Errors
    /// If it is no more, or this process may not.
    pub(crate) fn take(&self, pid: u32) -> io::Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }

    /// Returns the processes that are right here. The dead, and those that this process cannot see,
    /// are left out.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        let listed = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        listed
            .lines()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| *pid != 0)
            .collect()
    }

    /// Returns the processes that are here or below.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let mut found = self.members();
        for child in self.children() {
            found.extend(child.processes());
        }
        found
    }

    /// Sends SIGKILL to every process here and below at once, also to those that are just being
    /// born.
    ///
    /// # Errors
    /// If the kernel is older than 5.14, or this process may not.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.set("cgroup.kill", "1")
    }

    /// Removes it and all below it.
    ///
    /// # Errors
    /// If there are processes.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) => {
                for child in self.children() {
                    child.remove()?;
                }
                fs::remove_dir(&self.path)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Returns the number behind `key` in one of its files.
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

    /// Returns the number that one of its files holds.
    pub(crate) fn value(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Writes to one of its files.
    ///
    /// # Errors
    /// If there is none, or the kernel does not take it.
    pub(crate) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        // Not made if it is not there.
        OpenOptions::new()
            .write(true)
            .open(self.path.join(file))?
            .write_all(value.as_bytes())
    }

    /// Returns whether one of its files, a list of words, has that word.
    fn lists(&self, file: &str, word: &str) -> bool {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.split_ascii_whitespace().any(|found| found == word)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder that looks like one of the kernel's, as far as files do.
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
