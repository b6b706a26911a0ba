//! Starts the programs that serve a run beside its trials in slots, as trials are.

use super::orphans::RUN;
use super::program::run_mark;
use super::slot::{Order, Slot, SlotEvent, Slots, StartError};
use super::supervise::ORPHAN_GRACE;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use swath_search::companion::{Companion, Launcher, OwnChildren};

/// Longest wait for the end of a program that was killed.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

const SIGKILL: i32 = 9;

/// Launcher of companions with a guard and a slot process for each.
pub struct SlotLauncher {
    /// Returns the command of the [guard](super::guard); `None` if there is none.
    guard: fn() -> Option<Command>,
}

impl SlotLauncher {
    /// Creates a launcher. `guard` returns the command of the guard.
    #[must_use]
    pub fn new(guard: fn() -> Option<Command>) -> Self {
        Self { guard }
    }
}

impl Launcher for SlotLauncher {
    fn start(
        &self,
        command: &[String],
        env: &[(&str, OsString)],
        stdio: [OwnedFd; 3],
    ) -> io::Result<Box<dyn Companion>> {
        let Some(guard) = (self.guard)() else {
            return OwnChildren.start(command, env, stdio);
        };
        let run = run_mark();
        let slots = Slots::new(Some(guard), &run)?;
        let mut slot = slots.take()?;
        let order = order(command, env, &run)?;
        match slot.start_with_stdio(&order, &stdio) {
            Ok(_) => Ok(Box::new(SlotCompanion {
                slot,
                slots,
                status: None,
                is_slot_dead: false,
            })),
            Err(StartError::Log(_, error) | StartError::Spawn(error)) => Err(error),
            Err(StartError::Slot(error)) => {
                // The program may have been started before.
                slots.end_strays(slot.pid());
                Err(error)
            }
        }
    }
}

fn order(command: &[String], env: &[(&str, OsString)], run: &str) -> io::Result<Order> {
    let name = command.first().ok_or(io::ErrorKind::InvalidInput)?;
    // A name without a slash is searched on `PATH`.
    let program = if name.contains('/') {
        std::path::absolute(name)?
    } else {
        PathBuf::from(name)
    };
    let of_caller = env
        .iter()
        .map(|(name, value)| (OsString::from(name), Some(value.clone())));
    Ok(Order {
        program,
        argv: command.iter().map(OsString::from).collect(),
        env: of_caller.chain([(RUN.into(), Some(run.into()))]).collect(),
        workdir: std::env::current_dir()?,
        grace: ORPHAN_GRACE,
        mark: format!("{RUN}={run}").into(),
        ..Order::default()
    })
}

/// A program in a slot of its own. The slot is dropped before its guard.
struct SlotCompanion {
    slot: Slot,
    slots: Slots,
    status: Option<ExitStatus>,
    is_slot_dead: bool,
}

impl SlotCompanion {
    /// Takes in the next event of the slot.
    fn follow(&mut self, timeout: Duration) {
        match self.slot.wait(timeout) {
            Some(SlotEvent::Exited(status, _)) => self.status = Some(status),
            Some(SlotEvent::Gone) => {
                self.status = Some(ExitStatus::from_raw(SIGKILL));
                self.is_slot_dead = true;
                self.slots.end_strays(self.slot.pid());
            }
            // The end of what the program has left says nothing about the program.
            Some(SlotEvent::Ended(_)) | None => {}
        }
    }
}

impl Companion for SlotCompanion {
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.follow(Duration::ZERO);
        }
        Ok(self.status)
    }

    fn kill(&mut self) {
        self.slot.kill();
        let begun = Instant::now();
        while self.status.is_none() && begun.elapsed() < KILLED_WITHIN {
            self.follow(KILLED_WITHIN);
        }
    }
}

impl Drop for SlotCompanion {
    /// Ends what a killed slot has left, also if nobody has asked about the program since. The guard
    /// may have died after it was asked to do so, and before it did.
    fn drop(&mut self) {
        if self.status.is_none() {
            self.follow(Duration::ZERO);
        }
        if self.is_slot_dead {
            self.slots.end_strays(self.slot.pid());
        }
    }
}
