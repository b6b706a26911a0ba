//! The guard: the parent of the slot processes. It ends the trials if the orchestrator, or one of
//! the slots, is killed before it can end them itself.
//!
//! The orchestrator starts one guard for each run, and is connected to its standard input. The
//! guard starts a [slot process](super::slot) when the orchestrator asks for one. It is a
//! subreaper, so all that a killed slot leaves falls to it, whatever its session, environment and
//! parents. If the socket closes without a farewell, the orchestrator is dead. The guard then kills
//! everything below it, all processes in the run's cgroup, and every process with the run's mark in
//! its environment.
//!
//! The guard leads its own session, so signals to the process group or the terminal of the
//! orchestrator do not reach it.

use super::cgroups;
use super::orphans::RUN;
use super::processes;
use super::slot::{self, Message, Received, Wire};
use super::ulimit;
use crate::platform::{self, Entry};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, setsid, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Number of searches for survivors, and the time between two of them.
const SEARCHES: u32 = 5;
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// Time for slots to end by themselves after the end of the orchestrator.
const SLOTS_END_WITHIN: Duration = Duration::from_secs(1);

/// The orchestrator's end of the connection.
pub(super) struct Guard {
    command: Command,
    wire: Wire,
    pid: u32,
    /// Whether slots of an earlier guard may have become children of this process.
    was_restarted: bool,
    run: String,
    /// Cgroup in which all trials run; `None` as long as there is none.
    cgroup: Option<PathBuf>,
}

impl Guard {
    /// Starts `command`, which must call [`run`] with its standard input.
    pub(super) fn start(mut command: Command, run: &str) -> io::Result<Self> {
        command
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (wire, pid) = start_process(&mut command)?;
        let mut guard = Self {
            command,
            wire,
            pid,
            was_restarted: false,
            run: run.to_owned(),
            cgroup: None,
        };
        guard.introduce();
        Ok(guard)
    }

    /// Starts another guard in place of one that is dead. The slots of the dead one go on as
    /// children of this process.
    fn restart(&mut self) -> io::Result<()> {
        processes::reap(self.pid);
        self.was_restarted = true;
        (self.wire, self.pid) = start_process(&mut self.command)?;
        self.introduce();
        Ok(())
    }

    fn introduce(&mut self) {
        // A guard that is dead already is noticed when it is needed.
        self.wire.send(&["run", &self.run]).ok();
        if let Some(limit) = ulimit::callers_files() {
            self.wire.send(&["files", &limit.to_string()]).ok();
        }
        if let Some(cgroup) = &self.cgroup {
            let path = cgroup.as_os_str().as_encoded_bytes();
            self.wire.send(&[b"cgroup".as_slice(), path]).ok();
        }
    }

    /// Has a slot process started whose standard input is `socket`.
    ///
    /// # Errors
    /// Fails if the guard is dead and no other can be started.
    pub(super) fn start_slot(&mut self, socket: &OwnedFd) -> io::Result<()> {
        let fds = [std::os::fd::AsFd::as_fd(socket)];
        if self.wire.send_with(&["slot"], &fds).is_err() {
            self.restart()?;
            self.wire.send_with(&["slot"], &fds)?;
        }
        Ok(())
    }

    /// Reports the cgroup in which all trials will run.
    pub(super) fn add_cgroup(&mut self, path: &Path) {
        self.cgroup = Some(path.to_owned());
        let path = path.as_os_str().as_encoded_bytes();
        self.wire.send(&[b"cgroup".as_slice(), path]).ok();
    }

    /// Waits until the guard has ended everything that a dead slot has left, or until the guard has
    /// ended itself, and its children have fallen to this process. Returns whether none of it can
    /// be a child of this process.
    pub(super) fn sweep(&mut self, slot: u32, timeout: Duration) -> bool {
        let message = ["sweep", &slot.to_string()];
        let is_swept = self.wire.send(&message).is_ok() && self.wire.wait(timeout).is_ok();
        if !is_swept {
            processes::wait_for_end(self.pid);
        }
        is_swept && !self.was_restarted
    }
}

fn start_process(command: &mut Command) -> io::Result<(Wire, u32)> {
    let (wire, socket) = Wire::pair()?;
    // The guard is not waited for: it ends after the farewell or after the death of this process.
    let pid = command.stdin(socket).spawn()?.id();
    // The command would keep the guard's end open.
    command.stdin(Stdio::null());
    Ok((wire, pid))
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.wire.send(&["bye"]).ok();
    }
}

/// Runs the guard. Returns after the farewell of the orchestrator, or after the orchestrator has
/// died and its trials were killed.
///
/// `socket` is the standard input with which the orchestrator started this process. `slot` is the
/// command of a slot process, which must call [`slot::run`] with its standard input.
///
/// # Errors
/// Fails if the socket cannot be read or the signals cannot be ignored.
pub fn run(socket: impl Into<OwnedFd>, mut slot: Command) -> io::Result<()> {
    // Fails only for a process that is the leader of a session or group already.
    setsid().ok();
    let is_subreaper = platform::become_subreaper();
    ignore_signals()?;
    slot.current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let (deaths, death) = UnixStream::pair()?;
    deaths.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGCHLD, death)?;
    let mut guarding = Guarding {
        wire: Wire::new(socket),
        deaths,
        slot,
        slots: BTreeSet::new(),
        run: String::new(),
        cgroup: None,
        has_farewell: false,
        is_subreaper,
    };
    let guarded = guarding.serve();
    guarding.end_all();
    guarded
}

/// Ignores the signals that end the orchestrator, or that a batch system sends to all processes of
/// a job: guard and slots end when the orchestrator does. Programs that they start get the default
/// reactions back.
pub(super) fn ignore_signals() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, std::sync::Arc::default())?;
    }
    Ok(())
}

/// The state of the guard.
struct Guarding {
    wire: Wire,
    /// Readable once a child has died.
    deaths: UnixStream,
    /// Command of a slot process.
    slot: Command,
    /// Living slot processes.
    slots: BTreeSet<u32>,
    run: String,
    /// Cgroup of the run; `None` if it has none.
    cgroup: Option<PathBuf>,
    /// Whether the orchestrator ended in order, after its trials.
    has_farewell: bool,
    /// Whether what dead slots leave falls to this process.
    is_subreaper: bool,
}

impl Guarding {
    /// Works until the other end of the socket is closed.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            self.reap_slots();
            loop {
                match self.wire.receive()? {
                    Received::Message(message) => self.carry_out(&message)?,
                    Received::Nothing => break,
                    Received::Closed => return Ok(()),
                }
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.wire.fd(), PollFlags::IN),
            PollFd::new(&self.deaths, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while matches!(self.deaths.read(&mut [0; 64]), Ok(1..)) {}
        Ok(())
    }

    fn carry_out(&mut self, message: &Message) -> io::Result<()> {
        match message.kind() {
            // The slots and their programs inherit the limit of the caller.
            "files" => ulimit::set_files(message.number(1)),
            "run" => self.run = String::from_utf8_lossy(message.field(1)).into_owned(),
            "cgroup" => {
                use std::os::unix::ffi::OsStrExt as _;
                let path = std::ffi::OsStr::from_bytes(message.field(1));
                self.cgroup = Some(path.into());
            }
            "slot" => self.start_slot(),
            "sweep" => {
                // The socket of the slot is closed. Only when it has ended, what it leaves falls
                // to this process.
                let slot = u32::try_from(message.number(1)).unwrap_or(0);
                if self.slots.contains(&slot) {
                    processes::wait_for_end(slot);
                }
                self.reap_slots();
                self.end_strays();
                self.wire.send(&["swept"])?;
            }
            "bye" => self.has_farewell = true,
            // A message of another version.
            _ => {}
        }
        Ok(())
    }

    fn start_slot(&mut self) {
        let Some(socket) = self.wire.take_fd() else {
            return;
        };
        let started = socket
            .try_clone()
            .and_then(|input| self.slot.stdin(input).spawn());
        // The command would keep the slot's end open.
        self.slot.stdin(Stdio::null());
        match started {
            Ok(child) => {
                self.slots.insert(child.id());
            }
            Err(error) => slot::refuse(socket, &error),
        }
    }

    /// Reaps dead children. If one of them was a slot, everything that it left has fallen to this
    /// process, and is killed.
    fn reap_slots(&mut self) {
        let mut is_slot_dead = false;
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            is_slot_dead |= self
                .slots
                .remove(&pid.as_raw_nonzero().get().unsigned_abs());
        }
        if is_slot_dead {
            self.end_strays();
        }
    }

    /// Kills all processes below this one that are below none of its slots. If they do not fall to
    /// this process, those with the run's mark.
    fn end_strays(&self) {
        if self.is_subreaper {
            processes::end_below(&self.slots);
        } else if !self.run.is_empty() {
            processes::end(|| self.marked_strays(), Duration::ZERO);
        }
    }

    fn marked_strays(&self) -> BTreeSet<u32> {
        let of_slots = processes::trees(self.slots.iter().copied());
        let marked = processes::with_entry(Entry::Is(&self.mark()));
        marked.difference(&of_slots).copied().collect()
    }

    /// Returns the entry in the environment of all processes of the run.
    fn mark(&self) -> String {
        format!("{RUN}={}", self.run)
    }

    /// Ends the slots, and after the death of the orchestrator all processes of the run.
    fn end_all(&mut self) {
        let begun = Instant::now();
        // The slots end their programs and themselves, since their sockets are closed too. Killing
        // them here would give what they have not ended yet to this process, which may be killed at
        // the same moment.
        while !self.slots.is_empty() && begun.elapsed() < SLOTS_END_WITHIN {
            self.reap_slots();
            std::thread::sleep(Duration::from_millis(1));
        }
        processes::end_below(&BTreeSet::new());
        if self.has_farewell {
            return;
        }
        if let Some(cgroup) = &self.cgroup {
            cgroups::end_run(cgroup);
        }
        self.end_marked();
    }

    /// Kills the processes with the run's mark that are not below this process: those of an earlier
    /// guard that was killed.
    fn end_marked(&self) {
        if self.run.is_empty() {
            return;
        }
        let mark = self.mark();
        // A process that is just executing another program has no environment for a moment, so the
        // search is repeated.
        for _ in 0..SEARCHES {
            processes::end(|| processes::with_entry(Entry::Is(&mark)), Duration::ZERO);
            std::thread::sleep(SEARCH_INTERVAL);
        }
    }
}
