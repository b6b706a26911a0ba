//! Slots: small processes that start programs and end all that the programs leave.
//!
//! The orchestrator starts the [guard](super::guard), and the guard starts one process for each
//! slot when the slot is first used. Each is the subreaper of what is below it. If the orchestrator
//! dies, the sockets of the slots close, and each slot ends everything below it. If a slot dies, its
//! processes fall to the guard, which ends them; if the guard is dead too, they fall to the
//! orchestrator.

mod forked;
mod order;
mod serve;
mod wire;

pub(super) use order::{Order, STDIO};
pub use serve::run;
pub(super) use wire::{Message, Received, Wire, timespec};

use super::cgroups::Cgroups;
use super::guard::Guard;
use super::leaf::Leaf;
use super::orphans::OrphanFinder;
use super::processes;
use super::{StopSignal, StopTarget};
use rustix::process::Signal;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wait4::ResourceUsage;

/// Longest time for a new slot process to introduce itself, and for the guard to end what a slot
/// has left.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of attempts to start a slot process while such processes are being killed.
const START_TRIES: u32 = 5;

/// Interval between two checks whether the start of a program is to be given up.
const START_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The slots of this process that run no program now, and the guard that starts more of them.
pub(super) struct Slots {
    /// `None` in a program without a guard, whose slots are threads.
    guard: Option<Mutex<Guard>>,
    idle: Mutex<Vec<Slot>>,
    finder: Arc<OrphanFinder>,
}

/// The orchestrator's end of a slot.
pub(super) struct Slot {
    wire: Wire,
    pid: u32,
    is_process: bool,
    /// Cgroup in which the slot process is, and in which its programs are born; `None` for a slot in
    /// a thread, or if there is none.
    leaf: Option<Arc<Leaf>>,
    /// Number of cgroups that it was to enter.
    entered: u32,
    /// Parent of a program that a host has forked.
    reaper: Option<u32>,
    /// Reason why the host to which the program was offered has not forked it.
    refusal: Option<String>,
    /// Host to which the running program was offered, if its reaper is to be kept.
    offered: Option<HostId>,
    /// Host whose reaper waits in the slot process for another program.
    idle_reaper: Option<HostId>,
}

/// Number of a host in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostId(pub(super) u64);

/// An offer of a host to fork the next program of a slot.
pub(super) struct HostOffer {
    pub(super) host: HostId,
    /// Connection to a new reaper; `None` for the one that waits in the slot process.
    pub(super) socket: Option<OwnedFd>,
    /// Command line of the process. The one in the order may name a script, which the kernel starts
    /// by its interpreter.
    pub(super) argv: Vec<OsString>,
}

/// The reason why a program was not started.
pub(super) enum StartError {
    /// A log file could not be opened.
    Log(String, io::Error),
    /// The program could not be started.
    Spawn(io::Error),
    /// There is no slot: its process could not be started, or was killed.
    Slot(io::Error),
}

/// News of the program in a slot.
pub(super) enum SlotEvent {
    /// The program has ended.
    Exited(ExitStatus, ResourceUsage),
    /// The processes that it left have ended too. The slot is free again.
    Ended(OrphansEnd),
    /// The slot process has died.
    Gone,
}

/// The end of the processes that a program left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OrphansEnd {
    /// Whether they have ended. A process in uninterruptible sleep may not have.
    pub(super) is_complete: bool,
    /// Their processor time; zero if there were none, or in a thread.
    pub(super) cpu: Duration,
    /// Names of those that did not end by themselves, after a program that ended by itself.
    pub(super) names: Vec<String>,
}

impl Slots {
    /// Starts the guard with `command`, if there is one, for the run with this mark.
    pub(super) fn new(command: Option<Command>, run: &str) -> io::Result<Self> {
        let guard = command
            .map(|command| Guard::start(command, run))
            .transpose()?;
        Ok(Self {
            guard: guard.map(Mutex::new),
            idle: Mutex::default(),
            finder: Arc::new(OrphanFinder::new(run)),
        })
    }

    /// Returns the finder of orphans in this process.
    pub(super) fn finder(&self) -> &OrphanFinder {
        &self.finder
    }

    pub(super) fn guard(&self) -> Option<MutexGuard<'_, Guard>> {
        Some(lock(self.guard.as_ref()?))
    }

    /// Returns a free slot, which is started if there is none.
    pub(super) fn take(&self) -> io::Result<Slot> {
        loop {
            let idle = lock(&self.idle).pop();
            let Some(mut slot) = idle else {
                return self.start();
            };
            // A slot process may have been killed while it was free.
            if !slot.is_gone() {
                return Ok(slot);
            }
        }
    }

    fn start(&self) -> io::Result<Slot> {
        let mut tries = 1;
        loop {
            match self.start_once() {
                // The slot process was killed, or the guard before it had started the slot. The
                // next attempt starts another guard if it has to.
                Err(error) if is_closed(&error) && tries < START_TRIES => tries += 1,
                started => return started,
            }
        }
    }

    fn start_once(&self) -> io::Result<Slot> {
        let (wire, socket) = Wire::pair()?;
        if let Some(guard) = &self.guard {
            lock(guard).start_slot(&socket)?;
            drop(socket);
        } else {
            let finder = Arc::clone(&self.finder);
            std::thread::Builder::new()
                .name("slot-processes".to_owned())
                .spawn(move || serve::run_in_thread(socket, finder))?;
        }
        Slot::greet(wire, self.guard.is_some())
    }

    /// Takes back a slot whose program has ended.
    pub(super) fn give_back(&self, slot: Slot) {
        lock(&self.idle).push(slot);
    }

    /// Ends the processes that a dead slot has left. They have fallen to the guard; or to this
    /// process if the guard is dead too, or if another guard had started the slot.
    pub(super) fn end_strays(&self, slot: Option<u32>) {
        if let (Some(guard), Some(slot)) = (&self.guard, slot)
            && !lock(guard).sweep(slot, START_TIMEOUT)
        {
            processes::wait_for_end(slot);
            processes::end(super::orphans::strays, Duration::ZERO);
        }
    }

    /// Ends the processes that cannot be assigned to a slot, at the end of a run without a guard.
    pub(super) fn end_unassigned(&self, grace: Duration) {
        if self.guard.is_none() {
            self.finder.end_of_run(grace);
        }
    }

    /// Ends all free slots.
    pub(super) fn close(&self) {
        lock(&self.idle).clear();
    }
}

/// Returns whether the other end of a socket was closed.
fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    fn greet(mut wire: Wire, is_process: bool) -> io::Result<Self> {
        let message = wire.wait(START_TIMEOUT)?;
        match message.kind() {
            "hello" => Ok(Self {
                wire,
                pid: u32::try_from(message.number(1)).unwrap_or(0),
                is_process,
                leaf: None,
                entered: 0,
                reaper: None,
                refusal: None,
                offered: None,
                idle_reaper: None,
            }),
            _ => Err(error_of(&message)),
        }
    }

    /// Moves the slot process into a cgroup of its own, unless it is in one already, or in a thread.
    ///
    /// A move makes the whole kernel wait for milliseconds, so a slot stays in its cgroup for many
    /// programs. Only a limit on memory needs a new one for each: what an earlier program left in
    /// memory, such as files in `/dev/shm`, would count against the next.
    pub(super) fn enter(&mut self, cgroups: Option<&Cgroups>) {
        if !self.is_process || self.leaf.as_ref().is_some_and(|leaf| !leaf.is_walled()) {
            return;
        }
        self.entered += 1;
        let name = format!("slot-{}-{}", self.pid, self.entered);
        let leaf = cgroups.and_then(|cgroups| cgroups.leaf(&name));
        // The former cgroup is empty after the move, and removed when it is dropped.
        self.leaf = leaf
            .filter(|leaf| leaf.adopt(self.pid).is_ok())
            .map(Arc::new);
    }

    /// Returns the cgroup of the slot process.
    pub(super) fn leaf(&self) -> Option<Arc<Leaf>> {
        self.leaf.clone()
    }

    /// Offers the next program to a host.
    pub(super) fn offer(&mut self, offer: &HostOffer) {
        let leaf = self.leaf.as_ref();
        let cgroup = leaf.map(|leaf| leaf.members_file()).unwrap_or_default();
        // With a limit on memory, the next program has another cgroup.
        let keeps = !leaf.is_some_and(|leaf| leaf.is_walled());
        self.offered = keeps.then_some(offer.host);
        let mut fields: Vec<&[u8]> = vec![
            b"offer",
            if keeps { b"keep" } else { b"" },
            cgroup.as_os_str().as_encoded_bytes(),
        ];
        fields.extend(offer.argv.iter().map(|word| word.as_encoded_bytes()));
        let socket = offer.socket.as_ref().map(AsFd::as_fd);
        // A slot that is gone is noticed when the program is started.
        self.wire.send_with(&fields, socket.as_slice()).ok();
    }

    /// Returns the host whose reaper waits for another program.
    pub(super) fn idle_reaper(&self) -> Option<HostId> {
        self.idle_reaper
    }

    /// Lets the processes that the next program leaves go on.
    pub(super) fn keep_rest(&mut self) {
        // A slot that is gone is noticed when the program is started.
        self.wire.send(&["keep"]).ok();
    }

    /// Kills what trials have left whose reapers were killed, in the slot of a host that lives.
    pub(super) fn sweep(&mut self) {
        // A slot that is gone is noticed when it is read.
        self.wire.send(&["sweep"]).ok();
    }

    /// Returns the process whose descendants are those of the running program: its slot, or the
    /// reaper of a program that a host has forked. `None` for a slot in a thread.
    pub(super) fn root(&self) -> Option<u32> {
        self.reaper.or_else(|| self.pid())
    }

    /// Takes the reason why the host has not forked the running program.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Starts a program and waits until it runs, or until `must_end` returns `true`. Returns its
    /// process id, which is that of its process group too.
    pub(super) fn start(
        &mut self,
        order: &Order,
        must_end: impl Fn() -> bool,
    ) -> Result<u32, StartError> {
        self.wire.send(&order.fields()).map_err(StartError::Slot)?;
        self.wait_for_start(must_end)
    }

    /// Starts a program with its standard input, output and error in place of logs. When the
    /// orchestrator ends, the program has a moment to end by itself.
    pub(super) fn start_with_stdio(
        &mut self,
        order: &Order,
        stdio: &[OwnedFd; STDIO],
    ) -> Result<u32, StartError> {
        let fds = stdio.each_ref().map(AsFd::as_fd);
        let sent = self.wire.send_with(&order.fields(), &fds);
        sent.map_err(StartError::Slot)?;
        self.wait_for_start(|| false)
    }

    fn wait_for_start(&mut self, must_end: impl Fn() -> bool) -> Result<u32, StartError> {
        self.idle_reaper = None;
        // No time limit: the program may be on a file system that has to wake up.
        let message = loop {
            match self.wire.wait(START_CHECK_INTERVAL) {
                Err(error) if error.kind() == ErrorKind::TimedOut && !must_end() => {}
                message => break message.map_err(StartError::Slot)?,
            }
        };
        match (message.kind(), message.field(1)) {
            ("started", _) => {
                self.reaper = u32::try_from(message.number(2)).ok().filter(|pid| *pid > 0);
                let refusal = String::from_utf8_lossy(message.field(3)).into_owned();
                self.refusal = Some(refusal).filter(|refusal| !refusal.is_empty());
                Ok(u32::try_from(message.number(1)).unwrap_or(0))
            }
            (_, b"spawn") => Err(StartError::Spawn(error_of(&message))),
            (_, step) => {
                let file = String::from_utf8_lossy(step).into_owned();
                Err(StartError::Log(file, error_of(&message)))
            }
        }
    }

    /// Asks the program to end within `grace`: sends the stop signal, with SIGCONT, to its first
    /// receivers. The slot passes it on to the others in time, and kills what the program has left
    /// when the time is over.
    pub(super) fn stop(&mut self, stop: StopSignal, grace: Duration) {
        let signal = stop.signal().as_raw().to_string();
        let to = match stop.to {
            StopTarget::Main => "main",
            StopTarget::Group => "group",
        };
        // A slot that is gone is noticed when it is read.
        let fields = ["stop", &signal, to, &grace.as_millis().to_string()];
        self.wire.send(&fields).ok();
    }

    /// Signals the process group of the program.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.send_signal("signal", signal);
    }

    /// Signals all processes of the program.
    pub(super) fn signal_all(&mut self, signal: Signal) {
        self.send_signal("signal_all", signal);
    }

    fn send_signal(&mut self, kind: &str, signal: Signal) {
        // A slot that is gone is noticed when it is read.
        self.wire.send(&[kind, &signal.as_raw().to_string()]).ok();
    }

    /// Kills all processes of the program, without a grace period for those that it leaves.
    pub(super) fn kill(&mut self) {
        self.wire.send(&["kill"]).ok();
    }

    /// Returns a descriptor that becomes readable when there is an event.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wire.fd()
    }

    /// Waits for an event, for at most `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> Option<SlotEvent> {
        let message = match self.wire.wait(timeout) {
            Ok(message) => message,
            Err(error) if error.kind() == ErrorKind::TimedOut => return None,
            Err(_) => return Some(SlotEvent::Gone),
        };
        match message.kind() {
            "exited" => {
                let status = i32::try_from(message.number(1)).unwrap_or(0);
                let usage = ResourceUsage {
                    utime: Duration::from_micros(message.number(2)),
                    stime: Duration::ZERO,
                    maxrss: message.number(3),
                };
                Some(SlotEvent::Exited(ExitStatus::from_raw(status), usage))
            }
            "ended" => {
                let offered = self.offered.take();
                self.idle_reaper = offered.filter(|_| message.number(3) == 1);
                Some(SlotEvent::Ended(OrphansEnd {
                    is_complete: message.number(1) == 1,
                    cpu: Duration::from_micros(message.number(2)),
                    names: message.texts(4),
                }))
            }
            _ => None,
        }
    }

    /// Returns the process id of the slot; `None` for a slot in a thread.
    pub(super) fn pid(&self) -> Option<u32> {
        self.is_process.then_some(self.pid)
    }

    fn is_gone(&mut self) -> bool {
        !matches!(self.wire.receive(), Ok(Received::Nothing))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // If the guard is dead, the slot has become a child of this process. It may still be
        // ending, and is then reaped with this process.
        if self.is_process && self.is_gone() {
            processes::reap(self.pid);
        }
    }
}

/// Sends the error that prevents a slot from being started to those who wait for it.
pub(super) fn refuse(socket: OwnedFd, error: &io::Error) {
    let errno = error.raw_os_error().unwrap_or(0).to_string();
    let message = ["failed", "slot", &errno, &error.to_string()];
    // Without the message, the closed socket tells.
    Wire::new(socket).send(&message).ok();
}

/// Returns the error in a message `failed`: its number, or else its text.
fn error_of(message: &Message) -> io::Error {
    match i32::try_from(message.number(2)) {
        Ok(errno @ 1..) => io::Error::from_raw_os_error(errno),
        _ => io::Error::other(String::from_utf8_lossy(message.field(3)).into_owned()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::path::Path;
    use swath_log::regular;

    /// Folder of the process in which the other test runs; it ends all its children.
    const FOLDER: &str = "SWATH_TEST_FOLDER";

    #[test]
    fn what_falls_to_this_process_when_the_guard_ends_is_awaited_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("executor::slot::tests::processes_of_a_guard_that_ends_slowly_are_ended")
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&done.stdout);
        assert!(output.contains("1 passed"), "{output}");
    }

    #[test]
    #[ignore = "runs in a process that another test starts"]
    fn processes_of_a_guard_that_ends_slowly_are_ended() {
        let Some(folder) = std::env::var_os(FOLDER) else {
            return;
        };
        // Closes its socket a second before its daemon falls to this process.
        let script = "setsid sh -c 'echo $$ > new; mv new daemon; exec sleep 600' &
            until [ -e daemon ]; do sleep 0.01; done; exec 0<&-; touch closed; sleep 1";
        let mut guard = Command::new("sh");
        guard
            .args(["-c", &format!("cd \"$0\"; {script}")])
            .arg(&folder);
        let slots = Slots::new(Some(guard), "run").unwrap();
        let folder = Path::new(&folder);
        let begun = std::time::Instant::now();
        while !folder.join("closed").exists() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        let daemon = regular::read_to_string(&folder.join("daemon")).unwrap();
        let daemon = daemon.trim().parse().unwrap();
        // The slot is gone already.
        slots.end_strays(Some(0));
        assert!(!processes::lives(daemon));
    }
}
