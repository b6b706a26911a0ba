//! The memory controller: whether the child groups of a group can have memory limits of their own.
//!
//! The kernel enables controllers for the children of a group only while the group itself contains
//! no process, except for the topmost group. A process that is alone in its group therefore moves
//! into a child of it. If other processes are in the group, the children get no controller: the
//! processes of others are never moved.

use super::Cgroup;
use std::io;

const ENABLE: &str = "+memory";
const DISABLE: &str = "-memory";

/// Maximum number of passes over the members while they are moved. A process may start another one
/// during a pass.
const MOVE_ATTEMPTS: u32 = 100;

/// Whether the children of a group can have the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// The children have the controller, or it can be enabled at once.
    Ready,
    /// The controller can be enabled once this process has moved out of the group.
    Alone,
    /// The controller cannot be enabled while the group contains this number of other processes.
    Others(usize),
    /// The group itself has no memory controller.
    NoController,
}

/// The change that gives the children of a group the controller. If processes had to move for it,
/// dropping the loan reverts the change.
#[derive(Debug)]
pub(crate) struct Loan {
    /// The group whose children have the controller.
    group: Cgroup,
    /// The child group that its processes have moved to, if they had to move.
    shelter: Option<Cgroup>,
}

impl Cgroup {
    /// Returns whether the children of this group, which contains this process, can have the memory
    /// controller.
    pub(crate) fn memory_prospect(&self, is_ours: impl Fn(u32) -> bool) -> Prospect {
        // Only the topmost group lacks this file.
        let topmost = !self.path.join("cgroup.type").exists();
        if !self.lists("cgroup.controllers", "memory") {
            return Prospect::NoController;
        }
        if topmost || self.lists("cgroup.subtree_control", "memory") {
            return Prospect::Ready;
        }
        match self
            .members()
            .into_iter()
            .filter(|pid| !is_ours(*pid))
            .count()
        {
            0 => Prospect::Alone,
            others => Prospect::Others(others),
        }
    }

    /// Enables the memory controller for the children of this group, which must contain no process.
    ///
    /// # Errors
    /// If the group itself has no memory controller, or contains a process.
    pub(crate) fn enable_memory(&self) -> io::Result<()> {
        if self.lists("cgroup.subtree_control", "memory") {
            return Ok(());
        }
        self.set("cgroup.subtree_control", ENABLE)
    }

    /// Limits the total memory of all processes in this group, in bytes. When they exceed it, the
    /// kernel kills all of them.
    ///
    /// # Errors
    /// If this group has no memory controller.
    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        self.set("memory.max", &bytes.to_string())?;
        // Not every kernel has these files. Without the first, the kernel kills only one process;
        // without the second, there is no swap to limit.
        self.set("memory.oom.group", "1").ok();
        self.set("memory.swap.max", "0").ok();
        Ok(())
    }

    /// Enables the memory controller for the children of this group, which contains this process.
    /// If the processes have to move for that, they move to `shelter`, a child that does not exist
    /// yet. Processes for which `is_ours` is false are never moved.
    ///
    /// # Errors
    /// If the children cannot have the controller. Nothing has changed then.
    pub(crate) fn borrow_memory(
        &self,
        shelter: Self,
        is_ours: impl Fn(u32) -> bool,
    ) -> io::Result<Loan> {
        match self.memory_prospect(&is_ours) {
            Prospect::Ready => {
                self.enable_memory()?;
                Ok(Loan {
                    group: self.clone(),
                    shelter: None,
                })
            }
            Prospect::Alone => {
                shelter.make()?;
                let loan = Loan {
                    group: self.clone(),
                    shelter: Some(shelter),
                };
                // On an error here the loan is dropped, which reverts the steps made so far.
                loan.move_out(is_ours)?;
                self.enable_memory()?;
                Ok(loan)
            }
            Prospect::Others(_) | Prospect::NoController => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Loan {
    /// Moves this process first, so that its new children start in the shelter, and then the
    /// children that it already had.
    fn move_out(&self, is_ours: impl Fn(u32) -> bool) -> io::Result<()> {
        let Some(shelter) = &self.shelter else {
            return Ok(());
        };
        shelter.take(std::process::id())?;
        for _ in 0..MOVE_ATTEMPTS {
            let remaining = self.group.members();
            if remaining.is_empty() {
                return Ok(());
            }
            for pid in remaining {
                if !is_ours(pid) {
                    return Err(io::ErrorKind::ResourceBusy.into());
                }
                // The process may have ended since.
                shelter.take(pid).ok();
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Withdraws the controller from the children of `group`, moves the processes of the shelter back and
/// removes the shelter. Called by the process that moved, or by the process that cleans up after
/// it.
pub(crate) fn give_back(group: &Cgroup, shelter: &Cgroup) {
    if !shelter.path.is_dir() {
        return;
    }
    // The kernel refuses this while other child groups use the controller.
    group.set("cgroup.subtree_control", DISABLE).ok();
    for pid in shelter.members() {
        group.take(pid).ok();
    }
    shelter.remove().ok();
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(shelter) = &self.shelter {
            give_back(&self.group, shelter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::pretended;

    fn prospect(files: &[(&str, &str)]) -> Prospect {
        let (_dir, cgroup) = pretended(files);
        cgroup.memory_prospect(|pid| pid == 7)
    }

    #[test]
    fn the_topmost_group_can_lend_its_controllers_with_any_processes_in_it() {
        let files = [
            ("cgroup.controllers", "cpu memory"),
            ("cgroup.procs", "1\n7\n"),
        ];
        assert_eq!(prospect(&files), Prospect::Ready);
    }

    #[test]
    fn another_group_can_if_no_other_process_is_in_it() {
        for (processes, expected) in [("7\n", Prospect::Alone), ("7\n8\n9\n", Prospect::Others(2))]
        {
            let files = [
                ("cgroup.type", "domain"),
                ("cgroup.controllers", "memory pids"),
                ("cgroup.procs", processes),
            ];
            assert_eq!(prospect(&files), expected);
        }
    }

    #[test]
    fn a_group_without_the_controller_cannot_lend_it() {
        let files = [
            ("cgroup.controllers", "cpu memoryless"),
            ("cgroup.procs", "7\n"),
        ];
        assert_eq!(prospect(&files), Prospect::NoController);
    }

    #[test]
    fn a_group_with_other_processes_is_not_changed() {
        let (dir, cgroup) = pretended(&[
            ("cgroup.type", "domain"),
            ("cgroup.controllers", "memory"),
            ("cgroup.procs", "7\n8\n"),
            ("cgroup.subtree_control", ""),
        ]);
        let shelter = cgroup.child("shelter");
        assert!(
            cgroup
                .borrow_memory(shelter.clone(), |pid| pid == 7)
                .is_err()
        );
        assert!(!shelter.path().exists());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap(),
            ""
        );
    }
}
