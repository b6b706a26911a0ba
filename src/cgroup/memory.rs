//! The memory controller: whether the groups that are made in one can have a limit of their own.
//!
//! The kernel gives controllers to the children of a group only while no process is in the group
//! itself, the topmost one excepted. So who is alone in its group moves into a child of it. Who is
//! not alone goes without: the processes of others are never moved.

use super::Cgroup;
use std::io;

const ENABLE: &str = "+memory";
const DISABLE: &str = "-memory";

/// How often it is looked whether everybody has moved: a process may just be starting another.
const LOOKS: u32 = 100;

/// Whether the children of a group can have the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// They have it, or will for the asking.
    Ready,
    /// If this process moves out of the way.
    Alone,
    /// Not while there are so many processes of others.
    Others(usize),
    /// The group itself has not.
    NoController,
}

/// What was changed in a group so that its children have the controller.
#[derive(Debug)]
pub(crate) struct Loan {
    /// The group.
    of: Cgroup,
    /// Where its processes are meanwhile.
    shelter: Option<Cgroup>,
}

impl Cgroup {
    /// Returns whether the children of this group, in which this process is, can have the memory
    /// controller.
    pub(crate) fn memory_prospect(&self, is_ours: impl Fn(u32) -> bool) -> Prospect {
        // Only the topmost group has no type.
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

    /// Gives the memory controller to the children of this group, in which no process is.
    ///
    /// # Errors
    /// If it has it not, or a process is in it.
    pub(crate) fn enable_memory(&self) -> io::Result<()> {
        if self.lists("cgroup.subtree_control", "memory") {
            return Ok(());
        }
        self.set("cgroup.subtree_control", ENABLE)
    }

    /// Limits the memory of all processes in this group together. If they want more the kernel ends
    /// them all.
    ///
    /// # Errors
    /// If this group has no memory controller.
    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        self.set("memory.max", &bytes.to_string())?;
        // Not in every kernel: without the first only one process is ended, without the second
        // there is no swap.
        self.set("memory.oom.group", "1").ok();
        self.set("memory.swap.max", "0").ok();
        Ok(())
    }

    /// Gives the memory controller to the children of this group, in which this process is. If it
    /// has to move for that, to `shelter`, a child that is not there yet. Processes that are not
    /// ours are not moved.
    ///
    /// # Errors
    /// If the children cannot have it. Nothing has changed then.
    pub(crate) fn borrow_memory(
        &self,
        shelter: Self,
        is_ours: impl Fn(u32) -> bool,
    ) -> io::Result<Loan> {
        match self.memory_prospect(&is_ours) {
            Prospect::Ready => {
                self.enable_memory()?;
                Ok(Loan {
                    of: self.clone(),
                    shelter: None,
                })
            }
            Prospect::Alone => {
                shelter.make()?;
                let loan = Loan {
                    of: self.clone(),
                    shelter: Some(shelter),
                };
                // What fails leaves a loan behind, which is given back.
                loan.move_out(is_ours)?;
                self.enable_memory()?;
                Ok(loan)
            }
            Prospect::Others(_) | Prospect::NoController => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Loan {
    /// Moves this process first, so that what it starts from now on is born elsewhere, then what it
    /// had started.
    fn move_out(&self, is_ours: impl Fn(u32) -> bool) -> io::Result<()> {
        let Some(shelter) = &self.shelter else {
            return Ok(());
        };
        shelter.take(std::process::id())?;
        for _ in 0..LOOKS {
            let left = self.of.members();
            if left.is_empty() {
                return Ok(());
            }
            for pid in left {
                if !is_ours(pid) {
                    return Err(io::ErrorKind::ResourceBusy.into());
                }
                // It may have ended.
                shelter.take(pid).ok();
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Gives back what was lent: for the one who moved, or for who ends what that one has left.
pub(crate) fn give_back(of: &Cgroup, shelter: &Cgroup) {
    if !shelter.path.is_dir() {
        return;
    }
    // Refused as long as there are groups that use it.
    of.set("cgroup.subtree_control", DISABLE).ok();
    for pid in shelter.members() {
        of.take(pid).ok();
    }
    shelter.remove().ok();
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(shelter) = &self.shelter {
            give_back(&self.of, shelter);
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
    fn the_topmost_group_can_give_its_controllers_whoever_is_in_it() {
        let files = [
            ("cgroup.controllers", "cpu memory"),
            ("cgroup.procs", "1\n7\n"),
        ];
        assert_eq!(prospect(&files), Prospect::Ready);
    }

    #[test]
    fn another_can_if_nobody_else_is_in_it() {
        let with = |procs| {
            prospect(&[
                ("cgroup.type", "domain"),
                ("cgroup.controllers", "memory pids"),
                ("cgroup.procs", procs),
            ])
        };
        assert_eq!(with("7\n"), Prospect::Alone);
        assert_eq!(with("7\n8\n9\n"), Prospect::Others(2));
    }

    #[test]
    fn one_without_the_controller_can_not() {
        let files = [
            ("cgroup.controllers", "cpu memoryless"),
            ("cgroup.procs", "7\n"),
        ];
        assert_eq!(prospect(&files), Prospect::NoController);
    }

    #[test]
    fn where_others_are_nothing_is_changed() {
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
