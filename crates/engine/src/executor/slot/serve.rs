//! The slot's own end: starts programs, waits for them and ends all that they leave.
//!
//! A slot process is the subreaper of its programs: whatever they start stays below it, also a
//! daemon that has changed its session and cleared its environment. In a program without a guard,
//! a thread does the same work. It finds orphans by their marks, since they are reparented to the
//! whole process and not to the thread.

use super::forked::{Forked, Offer};
use super::order::{Order, STDIO};
use super::wire::{Message, Received, Wire};
use crate::executor::orphans::OrphanFinder;
use crate::executor::output::Output;
use crate::executor::processes::{self, as_pid};
use crate::platform::{self, Entry};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, setsid,
    test_kill_process_group, waitid, waitpgid,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wait4::Wait4 as _;

/// Number of retries when the program file is busy: another process is still writing it, or a child
/// of another thread still holds it open for writing.
const BUSY_TRIES: u32 = 20;

/// Time after which the start of a program is reported, if the program has not ended before. It is
/// shorter than the first interval of the supervisor, who needs to know of the start only then.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(2);

/// Time that a program with standard streams has to end by itself when the orchestrator has ended.
/// The guard waits a little longer for its slots.
const COMPANION_GRACE: Duration = Duration::from_millis(700);

/// Time between two checks for dead orphans while a program runs.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// Time between two checks whether the program has ended, where the kernel offers no descriptor of
/// a process.
const BLIND_NAP: Duration = Duration::from_millis(10);

/// First and longest interval between two checks of the processes that a program left.
const FIRST_NAP: Duration = Duration::from_micros(500);
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// Time in which the processes that a program left may end by themselves, such as a `tee` that reads
/// the last of its output.
const SETTLE: Duration = Duration::from_millis(50);

/// Time after the grace period in which killed processes must be gone. A process in uninterruptible
/// sleep may never be.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// Runs a slot process until the other end of its standard input is closed.
///
/// `socket` is the standard input with which the guard started this process.
///
/// # Errors
/// Fails if the signals cannot be ignored or the socket cannot be read.
pub fn run(socket: impl Into<OwnedFd>) -> io::Result<()> {
    // A session of its own without a terminal: a program that asks on /dev/tty fails at once, and
    // no signal of the terminal reaches it. Fails only for the leader of a group.
    setsid().ok();
    let kin = match platform::become_subreaper() {
        true => Kin::Process,
        false => Kin::Marked,
    };
    crate::executor::guard::ignore_signals()?;
    Slot {
        wire: Wire::new(socket),
        kin,
        running: None,
        offer: None,
        idle_reaper: None,
        keeps_rest: false,
        reported_time: Duration::ZERO,
    }
    .serve()
}

/// Runs a slot in this thread of a program without a guard.
pub(super) fn run_in_thread(socket: OwnedFd, finder: Arc<OrphanFinder>) {
    let slot = Slot {
        wire: Wire::new(socket),
        kin: Kin::Thread(finder),
        running: None,
        offer: None,
        idle_reaper: None,
        keeps_rest: false,
        reported_time: Duration::ZERO,
    };
    // The other end sees the closed socket.
    slot.serve().ok();
}

/// The way to find the processes of a slot.
enum Kin {
    /// All descendants of this process.
    Process,
    /// Those of this process that bear a mark.
    Thread(Arc<OrphanFinder>),
    /// All processes of this machine that bear a mark, where orphans do not fall to this process.
    Marked,
}

struct Slot {
    wire: Wire,
    kin: Kin,
    running: Option<Running>,
    /// Offer of a host to fork the next program.
    offer: Option<Offer>,
    /// Connection to the reaper of the last program, if it waits for another one.
    idle_reaper: Option<Wire>,
    /// Whether the processes that the program leaves may go on: those of a host are trials.
    keeps_rest: bool,
    /// Processor time of the reaped children that was reported.
    reported_time: Duration,
}

/// A program that was started and whose processes have not all ended.
struct Running {
    leader: Leader,
    group: Pid,
    /// Readable once the program has ended; `None` if the kernel or a sandbox refuses it.
    pidfd: Option<OwnedFd>,
    order: Order,
    since: Instant,
    /// Whether the program has left processes.
    had_orphans: bool,
    /// The request to end, if there is one.
    stopping: Option<Stopping>,
    /// Whether what the program leaves is to be killed without a grace period.
    is_killed: bool,
    /// State after the end of the program.
    rest: Option<Rest>,
}

/// The first process of a program.
enum Leader {
    /// A child of this process.
    Child(Child),
    /// A child of a reaper.
    Forked(Forked),
}

/// A request to end a program.
struct Stopping {
    signal: Signal,
    /// Time at which the process group gets the signal; `None` once it has it.
    group_at: Option<Instant>,
    /// Time at which what the program left is killed.
    until: Instant,
}

/// The end of the processes that a program left.
struct Rest {
    since: Instant,
    nap: Duration,
    /// Names of the processes that were asked to end; `None` before.
    names: Option<Vec<String>>,
}

/// An error of a start, with the step that failed.
struct NotStarted {
    step: &'static str,
    error: io::Error,
}

impl Slot {
    fn serve(mut self) -> io::Result<()> {
        let served = self.serve_until_closed();
        self.end_all();
        served
    }

    fn serve_until_closed(&mut self) -> io::Result<()> {
        let pid = std::process::id().to_string();
        self.wire.send(&["hello", &pid])?;
        loop {
            if self.announcement_due().is_none() {
                self.wire.flush()?;
            }
            self.wait()?;
            self.signal_group_if_due();
            loop {
                match self.wire.receive()? {
                    Received::Message(message) => self.carry_out(&message)?,
                    Received::Nothing => break,
                    Received::Closed => return Ok(()),
                }
            }
            self.follow()?;
        }
    }

    /// Returns the time until the process group gets the stop signal; `None` if it does not.
    fn group_signal_due(&self) -> Option<Duration> {
        let stopping = self.running.as_ref()?.stopping.as_ref()?;
        let due = stopping.group_at?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    fn signal_group_if_due(&mut self) {
        if self.group_signal_due() == Some(Duration::ZERO)
            && let Some(running) = &mut self.running
            && let (Some(stopping), None) = (&mut running.stopping, &running.rest)
        {
            stopping.group_at = None;
            kill_process_group(running.group, stopping.signal).ok();
        }
    }

    /// Returns the time until the start of the program is reported; `None` if it is time, or if the
    /// program has ended. The end of a short program is thus reported together with its start. One
    /// with standard streams is talked to at once.
    fn announcement_due(&self) -> Option<Duration> {
        let running = self
            .running
            .as_ref()
            .filter(|running| running.rest.is_none() && !running.order.has_stdio())?;
        ANNOUNCE_AFTER.checked_sub(running.since.elapsed())
    }

    /// Waits for a message, for the end of the program, or until the next check is due.
    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.wire.fd(), PollFlags::IN)];
        let timeout = match &self.running {
            None => None,
            Some(Running {
                leader: Leader::Forked(forked),
                rest,
                ..
            }) => {
                fds.push(PollFd::from_borrowed_fd(forked.fd(), PollFlags::IN));
                let nap = rest.as_ref().map_or(REAP_EVERY, |rest| rest.nap);
                let due = self.announcement_due().unwrap_or(nap);
                Some(due.min(self.group_signal_due().unwrap_or(due)))
            }
            Some(Running {
                rest: Some(rest), ..
            }) => Some(rest.nap),
            Some(Running {
                pidfd: Some(pidfd), ..
            }) => {
                fds.push(PollFd::new(pidfd, PollFlags::IN));
                let due = self.announcement_due().unwrap_or(REAP_EVERY);
                Some(due.min(self.group_signal_due().unwrap_or(due)))
            }
            Some(_) => Some(BLIND_NAP),
        };
        match poll(&mut fds, timeout.map(super::wire::timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn carry_out(&mut self, message: &Message) -> io::Result<()> {
        let signal = i32::try_from(message.number(1))
            .ok()
            .and_then(Signal::from_named_raw);
        match (message.kind(), &mut self.running) {
            ("offer", None) => {
                let socket = self.wire.take_fd().map(Wire::new);
                let wire = socket.or_else(|| self.idle_reaper.take());
                self.offer = wire.map(|wire| Offer {
                    wire,
                    keeps: message.field(1) == b"keep",
                    cgroup: message.field(2).to_vec(),
                    argv: message.0.iter().skip(3).cloned().collect(),
                });
                Ok(())
            }
            ("keep", None) => {
                self.keeps_rest = true;
                Ok(())
            }
            ("start", None) => self.start(Order::of(message)),
            ("stop", Some(running)) => {
                if let (Some(signal), None) = (signal, &running.rest) {
                    let grace = Duration::from_millis(message.number(3));
                    running.stop(signal, message.field(2) == b"main", grace);
                }
                Ok(())
            }
            ("signal", Some(running)) => {
                if let (Some(signal), None) = (signal, &running.rest) {
                    // The leader is not reaped yet, so the id still belongs to this group.
                    kill_process_group(running.group, signal).ok();
                }
                Ok(())
            }
            ("signal_all", Some(_)) => {
                if let Some(signal) = signal {
                    self.signal_all(signal);
                }
                Ok(())
            }
            ("sweep", Some(_)) => {
                self.end_strays_of_host();
                Ok(())
            }
            ("kill", Some(_)) => {
                self.signal_all(Signal::KILL);
                if let Some(running) = &mut self.running {
                    running.is_killed = true;
                }
                Ok(())
            }
            // A message about a program that has ended meanwhile.
            _ => Ok(()),
        }
    }

    fn start(&mut self, order: Order) -> io::Result<()> {
        // One that was not offered belongs to a host that is not used any more.
        self.idle_reaper = None;
        let forked = self.offer.take().map(|offer| Forked::start(offer, &order));
        let (forked, refusal) = match forked {
            Some(Ok(forked)) => (Some(forked), String::new()),
            Some(Err(refusal)) => (None, refusal),
            None => (None, String::new()),
        };
        let leader = match forked {
            Some(forked) => Ok(Leader::Forked(forked)),
            None => self.spawn(&order).map(Leader::Child),
        };
        match leader.and_then(|leader| Ok((leader.group()?, leader))) {
            Ok((group, leader)) => {
                let fields = [
                    "started".to_owned(),
                    group.as_raw_nonzero().to_string(),
                    leader.reaper().unwrap_or(0).to_string(),
                    refusal,
                ];
                self.running = Some(Running {
                    pidfd: leader.pidfd(group),
                    leader,
                    group,
                    order,
                    since: Instant::now(),
                    had_orphans: false,
                    stopping: None,
                    is_killed: false,
                    rest: None,
                });
                self.wire.queue(&fields)
            }
            Err(NotStarted { step, error }) => {
                let errno = error.raw_os_error().unwrap_or(0).to_string();
                self.wire
                    .queue(&["failed", step, &errno, &error.to_string()])
            }
        }
    }

    fn spawn(&mut self, order: &Order) -> Result<Child, NotStarted> {
        let stdio = order.has_stdio().then(|| self.take_stdio()).transpose()?;
        spawn(order, stdio)
    }

    /// Takes the descriptors that came with an order.
    fn take_stdio(&mut self) -> Result<[OwnedFd; STDIO], NotStarted> {
        let fds: Vec<OwnedFd> = std::iter::from_fn(|| self.wire.take_fd())
            .take(STDIO)
            .collect();
        fds.try_into().map_err(|_| NotStarted {
            step: "spawn",
            error: ErrorKind::InvalidInput.into(),
        })
    }

    /// Reaps the program if it has ended, and then ends the processes that it left, step by step.
    fn follow(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if let Leader::Forked(forked) = &mut running.leader {
            // Without its reaper the program has no parent that reports its end. This slot ends
            // it, and itself, and the trial runs again.
            forked.follow()?;
        }
        if running.rest.is_none() {
            let Some((status, time, peak)) = running.leader.reap_if_exited(running.group)? else {
                self.reap_orphans();
                return Ok(());
            };
            running.rest = Some(Rest {
                since: Instant::now(),
                nap: FIRST_NAP,
                names: None,
            });
            if matches!(running.leader, Leader::Child(_)) {
                self.reported_time += time;
            }
            self.wire.queue(&[
                "exited".to_owned(),
                status.into_raw().to_string(),
                time.as_micros().to_string(),
                peak.to_string(),
            ])?;
        }
        self.end_rest()
    }

    /// Ends the processes that the program left: a moment in which they may end by themselves,
    /// SIGTERM or the stop signal, the grace period, SIGKILL.
    fn end_rest(&mut self) -> io::Result<()> {
        let forked = self
            .running
            .as_ref()
            .and_then(|running| running.leader.forked());
        if forked.is_some_and(|forked| forked.ended.is_some()) {
            return self.finish(true);
        }
        if matches!(self.kin, Kin::Process) && forked.is_none() {
            let (has_reaped, has_others) = reap_children();
            self.note_orphans(has_reaped);
            if !has_others {
                return self.finish(true);
            }
            if self.keeps_rest
                && let Some(running) = &mut self.running
                && let (Some(rest), None) = (&mut running.rest, &running.stopping)
            {
                rest.nap = REAP_EVERY;
                return Ok(());
            }
        }
        let remaining = self.remaining();
        let Some(Running {
            leader,
            group,
            order,
            rest: Some(rest),
            had_orphans,
            stopping,
            is_killed,
            ..
        }) = &mut self.running
        else {
            return Ok(());
        };
        let is_group_alive = test_kill_process_group(*group).is_ok();
        // The reaper of a forked program says when none is left.
        let is_ended = remaining.is_empty() && !is_group_alive && leader.forked().is_none();
        let until = match stopping {
            Some(stopping) => stopping.until,
            None => rest.since + order.grace,
        };
        let now = Instant::now();
        if is_ended || now > until.max(rest.since) + KILLED_WITHIN {
            return self.finish(is_ended);
        }
        *had_orphans = true;
        let is_settled =
            stopping.is_some() || *is_killed || now >= rest.since + SETTLE.min(order.grace);
        if is_settled && rest.names.is_none() {
            let names = remaining.iter().filter_map(|pid| processes::name(*pid));
            rest.names = Some(names.collect());
            let signal = stopping.as_ref().map_or(Signal::TERM, |it| it.signal);
            // A process that is suspended handles the signal only after SIGCONT.
            for signal in [signal, Signal::CONT] {
                kill_process_group(*group, signal).ok();
                signal_each(&remaining, signal);
            }
        }
        if *is_killed || now >= until {
            kill_process_group(*group, Signal::KILL).ok();
            signal_each(&remaining, Signal::KILL);
        }
        rest.nap = (rest.nap * 2).min(LONGEST_NAP);
        Ok(())
    }

    /// Reports that no process is left, or that one cannot be ended, and becomes free.
    fn finish(&mut self, is_ended: bool) -> io::Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let mut of_orphans = Duration::ZERO;
        // Without orphans, the time of the program itself is all.
        if let Leader::Forked(forked) = running.leader {
            of_orphans = forked.ended.unwrap_or_default();
            self.idle_reaper = forked.into_idle().filter(|_| is_ended);
        } else if running.had_orphans {
            let reaped = self.reaped_time();
            of_orphans = reaped.saturating_sub(self.reported_time);
            self.reported_time = self.reported_time.max(reaped);
        }
        let mut fields = vec![
            "ended".to_owned(),
            u8::from(is_ended).to_string(),
            of_orphans.as_micros().to_string(),
            u8::from(self.idle_reaper.is_some()).to_string(),
        ];
        // After a request to end, everything has to be ended.
        if running.stopping.is_none() && !running.is_killed {
            fields.extend(running.rest.and_then(|rest| rest.names).unwrap_or_default());
        }
        self.wire.queue(&fields)
    }

    /// Returns the processes that the program left and that live; reaps the dead ones.
    fn remaining(&self) -> BTreeSet<u32> {
        let Some(running) = &self.running else {
            return BTreeSet::new();
        };
        while matches!(waitpgid(running.group, WaitOptions::NOHANG), Ok(Some(_))) {}
        let alive = self
            .orphans()
            .into_iter()
            .filter(|pid| !processes::reap(*pid));
        processes::trees(alive.collect::<Vec<_>>())
    }

    /// Returns the processes of the program that are no descendants of its leader.
    fn orphans(&self) -> Vec<u32> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let leader = running.leader_pid();
        match &self.kin {
            Kin::Process => processes::children(running.root())
                .into_iter()
                .filter(|pid| *pid != leader || running.rest.is_some())
                .collect(),
            Kin::Thread(finder) => finder.of_trial(&running.order.mark.to_string_lossy(), leader),
            Kin::Marked => {
                let mark = running.order.mark.to_string_lossy();
                let mut marked = processes::with_entry(Entry::Is(&mark));
                marked.remove(&leader);
                marked.into_iter().collect()
            }
        }
    }

    /// Kills the processes that a trial has left whose reaper was killed: they have become children
    /// of this process. Those of a host that has ended are reapers of its trials, and go on.
    fn end_strays_of_host(&self) {
        let strays = self.orphans();
        // Asked after the strays were listed: while the host lives, its reapers are its children.
        let lives = self
            .running
            .as_ref()
            .is_some_and(|running| running.rest.is_none() && !has_exited(running.group));
        if self.keeps_rest && lives {
            signal_each(&processes::trees(strays), Signal::KILL);
        }
    }

    /// Reaps the orphans that have died while their program runs.
    fn reap_orphans(&mut self) {
        // Other orphans are not children of this process.
        if matches!(self.kin, Kin::Marked) {
            return;
        }
        let orphans = self.orphans();
        self.note_orphans(!orphans.is_empty());
        for orphan in orphans {
            processes::reap(orphan);
        }
    }

    fn note_orphans(&mut self, are_there: bool) {
        if let Some(running) = &mut self.running {
            running.had_orphans |= are_there;
        }
    }

    /// Signals the process group of the program, and its processes outside of the group.
    fn signal_all(&self, signal: Signal) {
        let Some(running) = &self.running else {
            return;
        };
        let group = running.group;
        kill_process_group(group, signal).ok();
        let leader = running.leader_pid();
        let roots = self.orphans().into_iter().chain([leader]);
        processes::signal_outside(roots, leader, signal);
    }

    /// Returns the processor time of the children that this process has reaped; zero in a thread,
    /// whose process has other children.
    fn reaped_time(&self) -> Duration {
        match self.kin {
            Kin::Process => processes::reaped_time(std::process::id()).unwrap_or_default(),
            Kin::Thread(_) | Kin::Marked => Duration::ZERO,
        }
    }

    /// Kills everything that is left once the orchestrator's end of the socket is closed.
    fn end_all(&mut self) {
        if let Some(running) = &self.running {
            let begun = Instant::now();
            // Its input has ended too.
            while running.order.has_stdio()
                && running.rest.is_none()
                && !has_exited(running.group)
                && begun.elapsed() < COMPANION_GRACE
            {
                std::thread::sleep(BLIND_NAP);
            }
            if running.rest.is_none() {
                kill_process_group(running.group, Signal::KILL).ok();
            }
            let leader = running.leader_pid();
            processes::end(
                || {
                    let roots = self.orphans().into_iter().chain([leader]);
                    roots.filter(|pid| !processes::reap(*pid)).collect()
                },
                Duration::ZERO,
            );
        }
        if matches!(self.kin, Kin::Process) {
            processes::end_below(&BTreeSet::new());
        }
    }
}

impl Leader {
    fn forked(&self) -> Option<&Forked> {
        match self {
            Self::Child(_) => None,
            Self::Forked(forked) => Some(forked),
        }
    }

    /// Returns the process group that it leads.
    fn group(&self) -> Result<Pid, NotStarted> {
        match self {
            Self::Child(child) => Ok(Pid::from_child(child)),
            Self::Forked(forked) => as_pid(forked.pid).ok_or_else(|| NotStarted {
                step: "spawn",
                error: ErrorKind::InvalidData.into(),
            }),
        }
    }

    /// Returns the process id of its parent; `None` for a child of this process.
    fn reaper(&self) -> Option<u32> {
        Some(self.forked()?.reaper)
    }

    fn pidfd(&self, group: Pid) -> Option<OwnedFd> {
        match self {
            Self::Child(_) => platform::pidfd(group),
            // The reaper tells.
            Self::Forked(_) => None,
        }
    }

    /// Returns its status, processor time and peak memory once it has ended.
    fn reap_if_exited(&mut self, group: Pid) -> io::Result<Option<(ExitStatus, Duration, u64)>> {
        match self {
            Self::Child(_) if !has_exited(group) => Ok(None),
            Self::Child(child) => {
                let reaped = child.wait4()?;
                let time = reaped.rusage.utime + reaped.rusage.stime;
                Ok(Some((reaped.status, time, reaped.rusage.maxrss)))
            }
            Self::Forked(forked) => Ok(forked.exited),
        }
    }
}

impl Running {
    fn leader_pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns the process below which all processes of the program stay: this one, or the reaper.
    fn root(&self) -> u32 {
        self.leader.reaper().unwrap_or_else(std::process::id)
    }

    /// Asks the program to end within `grace`. If it is the main process that gets the signal, its
    /// group follows when half of the time is over, and the rest when the main process has ended.
    fn stop(&mut self, signal: Signal, is_main_first: bool, grace: Duration) {
        let now = Instant::now();
        self.stopping = Some(Stopping {
            signal,
            group_at: is_main_first.then_some(now + grace / 2),
            until: now + grace,
        });
        // The leader is not reaped yet, so the id still belongs to it and to its group.
        if is_main_first {
            kill_process(self.group, signal).ok();
        } else {
            kill_process_group(self.group, signal).ok();
        }
        // A process that is suspended handles the signal only after SIGCONT.
        kill_process_group(self.group, Signal::CONT).ok();
    }
}

/// Reaps the dead children of this process. Returns whether there were any, and whether others
/// live.
fn reap_children() -> (bool, bool) {
    let mut has_reaped = false;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => has_reaped = true,
            Err(Errno::INTR) => {}
            Ok(None) => return (has_reaped, true),
            Err(_) => return (has_reaped, false),
        }
    }
}

fn signal_each(pids: &BTreeSet<u32>, signal: Signal) {
    for pid in pids.iter().filter_map(|pid| as_pid(*pid)) {
        // The process may have ended meanwhile.
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Returns whether the program has ended, without reaping it.
fn has_exited(leader: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(leader), options), Ok(None))
}

fn spawn(order: &Order, stdio: Option<[OwnedFd; STDIO]>) -> Result<Child, NotStarted> {
    let [stdin, stdout, stderr] = match stdio {
        Some(stdio) => stdio.map(Stdio::from),
        None => {
            let [stdout, stderr] = open_logs(order)?;
            [Stdio::null(), stdout.into(), stderr.into()]
        }
    };
    let mut command = Command::new(&order.program);
    let mut words = order.argv.iter();
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command
        .args(words)
        .current_dir(&order.workdir)
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    for (name, value) in &order.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            spawned => {
                return spawned.map_err(|error| NotStarted {
                    step: "spawn",
                    error,
                });
            }
        }
    }
}

/// Opens the standard streams of a program with logs.
pub(super) fn open_streams(order: &Order) -> io::Result<[OwnedFd; STDIO]> {
    let [stdout, stderr] = open_logs(order).map_err(|not_started| not_started.error)?;
    Ok([
        File::open("/dev/null")?.into(),
        stdout.into(),
        stderr.into(),
    ])
}

fn open_logs(order: &Order) -> Result<[File; 2], NotStarted> {
    let [stdout, stderr] = &order.logs;
    let out = Output::open(stdout).map_err(|error| NotStarted {
        step: "stdout.log",
        error,
    })?;
    let err = if stdout == stderr {
        out.try_clone()
    } else {
        Output::open(stderr)
    };
    let err = err.map_err(|error| NotStarted {
        step: "stderr.log",
        error,
    })?;
    Ok([out, err])
}
