//! The guard: a process that ends the trials if the orchestrator is killed before it can end them
//! itself.
//!
//! The kernel can send a signal when a parent dies, but requesting it needs code between fork and
//! exec, which safe Rust cannot run. The orchestrator therefore starts one small guard process per
//! run and reports the process groups it starts over a pipe. If the pipe closes without a farewell,
//! the orchestrator is dead. The guard then kills those groups, all processes in the run's cgroup,
//! and every process with the run's mark in its environment.
//!
//! The guard reads the pipe at intervals only, so that a trial costs it no wake-up. It leads its
//! own session, so signals to the process group or the terminal of the orchestrator do not reach
//! it.

use super::cgroups;
use super::orphans::RUN;
use super::processes::{self, as_pid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Signal, kill_process_group, setsid};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, PipeWriter, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Requested capacity of the pipe, large enough that the orchestrator never has to wait for the
/// guard.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// Interval between two reads of a pipe in use.
const READ_EVERY: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Number of searches for survivors, and the time between two of them.
const SEARCHES: u32 = 5;
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// The orchestrator's end of the pipe.
pub(super) struct Guard {
    pipe: PipeWriter,
}

impl Guard {
    /// Starts `command`, which must call [`run`] with its standard input.
    pub(super) fn start(mut command: Command, run: &str) -> io::Result<Self> {
        let (stdin, pipe) = io::pipe()?;
        #[cfg(target_os = "linux")]
        // If the kernel refuses, the pipe has the default capacity, which suffices too.
        rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES).ok();
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        command
            .current_dir("/")
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The guard is not waited for: it ends after the farewell or after the death of this
        // process.
        drop(command.spawn()?);
        let guard = Self { pipe };
        guard.send_line(&format!("run {run}\n"));
        Ok(guard)
    }

    /// Reports a process group that has started.
    pub(super) fn add(&self, group: u32, start_ticks: Option<u64>) {
        self.send_line(&format!("+{group} {}\n", start_ticks.unwrap_or(0)));
    }

    /// Reports a process group that has ended.
    pub(super) fn remove(&self, group: u32) {
        self.send_line(&format!("-{group}\n"));
    }

    /// Reports the cgroup in which all trials will run.
    pub(super) fn add_cgroup(&self, path: &Path) {
        self.send_line(&format!("cgroup {}\n", path.display()));
    }

    /// Writes one line, whole or not at all. A failed write means that the guard is dead or
    /// delayed; the mark in the environment is the second way to find the processes.
    fn send_line(&self, line: &str) {
        rustix::io::write(&self.pipe, line.as_bytes()).ok();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.send_line("bye\n");
    }
}

/// Runs the guard. Returns after the farewell of the orchestrator, or after the orchestrator has
/// died and its trials were killed.
///
/// `pipe` is the standard input with which the orchestrator started this process.
///
/// # Errors
/// Fails if the pipe cannot be read or the signals cannot be ignored.
pub fn run(mut pipe: impl Read + AsFd) -> io::Result<()> {
    // Fails only for a process that is the leader of a session or group already.
    setsid().ok();
    ignore_signals()?;
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    let mut ledger = Ledger::default();
    loop {
        wait(&pipe, PollFlags::IN, None)?;
        if ledger.read_from(&mut pipe)? {
            break;
        }
        // Lets lines accumulate; returns early when the other end is closed.
        wait(&pipe, PollFlags::empty(), Some(&READ_EVERY))?;
    }
    if !ledger.has_farewell {
        ledger.kill_all();
    }
    Ok(())
}

fn wait(pipe: &impl AsFd, events: PollFlags, timeout: Option<&Timespec>) -> io::Result<()> {
    match poll(&mut [PollFd::new(pipe, events)], timeout) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ignores the signals that end the orchestrator: the guard ends when the orchestrator does.
fn ignore_signals() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, std::sync::Arc::default())?;
    }
    Ok(())
}

/// The reports that the guard has received.
#[derive(Debug, Default, PartialEq)]
struct Ledger {
    run: String,
    /// Cgroup of the run; `None` if it has none.
    cgroup: Option<PathBuf>,
    /// Running process groups with the start times of their leaders in clock ticks; 0 if unknown.
    groups: BTreeMap<u32, u64>,
    /// Whether the orchestrator ended in order, after its trials.
    has_farewell: bool,
    /// Incomplete last line.
    partial_line: Vec<u8>,
}

impl Ledger {
    /// Reads all bytes in the pipe; returns whether the other end is closed.
    fn read_from(&mut self, pipe: &mut impl Read) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => self.add_bytes(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.partial_line.extend_from_slice(bytes);
        let last_break = self.partial_line.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = last_break else {
            return;
        };
        let lines: Vec<u8> = self.partial_line.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            self.add_line(line);
        }
    }

    /// Handles one line. Lines of an unknown form are ignored.
    fn add_line(&mut self, line: &str) {
        if let Some((group, ticks)) = line.strip_prefix('+').and_then(|rest| rest.split_once(' ')) {
            if let (Ok(group), Ok(ticks)) = (group.parse(), ticks.parse()) {
                self.groups.insert(group, ticks);
            }
        } else if let Some(Ok(group)) = line.strip_prefix('-').map(str::parse) {
            self.groups.remove(&group);
        } else if let Some(run) = line.strip_prefix("run ") {
            run.clone_into(&mut self.run);
        } else if let Some(path) = line.strip_prefix("cgroup ") {
            self.cgroup = Some(path.into());
        } else if line == "bye" {
            self.has_farewell = true;
        }
    }

    /// Kills the groups whose leaders are unchanged, the processes in the run's cgroup, and then
    /// the processes with the run's mark.
    fn kill_all(&self) {
        for (group, ticks) in &self.groups {
            // While a group exists, its number is not reused, even if its leader is gone.
            let is_unchanged = processes::start_ticks(*group).is_none_or(|now| now == *ticks);
            if let Some(id) = as_pid(*group).filter(|_| is_unchanged) {
                kill_process_group(id, Signal::KILL).ok();
            }
        }
        if let Some(cgroup) = &self.cgroup {
            cgroups::end_run(cgroup);
        }
        if self.run.is_empty() {
            return;
        }
        let mark = format!("{RUN}={}", self.run);
        // A process that is just executing another program has no environment for a moment, so the
        // search is repeated.
        for _ in 0..SEARCHES {
            processes::end(
                || processes::with_environment(|entry| entry == mark.as_bytes()),
                Duration::ZERO,
            );
            std::thread::sleep(SEARCH_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_of(pieces: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        for piece in pieces {
            ledger.add_bytes(piece.as_bytes());
        }
        ledger
    }

    #[test]
    fn the_ledger_holds_the_groups_that_began_and_did_not_end() {
        let ledger = ledger_of(&["run a-1\ncgroup /x/a b\n+10 5\n+1", "1 6\n-10\n+12 7\n"]);
        assert_eq!(
            (&*ledger.run, ledger.cgroup),
            ("a-1", Some("/x/a b".into()))
        );
        assert_eq!(ledger.groups, BTreeMap::from([(11, 6), (12, 7)]));
        assert!(!ledger.has_farewell && ledger.partial_line.is_empty());
    }

    #[test]
    fn a_line_of_an_unknown_form_is_ignored() {
        let ledger = ledger_of(&["+x 1\n-\n+7\nnonsense\n\u{fffd}\n+7 1\nby"]);
        assert_eq!(ledger.groups, BTreeMap::from([(7, 1)]));
        assert!(!ledger.has_farewell);
    }

    #[test]
    fn the_ledger_holds_the_farewell() {
        assert!(ledger_of(&["run x\n", "bye\n"]).has_farewell);
    }
}
