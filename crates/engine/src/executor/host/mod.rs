//! Hosts of Python trials: processes that import packages once and fork a process for each trial.
//!
//! A host runs in a slot of its own, started like any program, and ends with the run or through the
//! guard. It is offered the trials that start the same interpreter with the same options, variables
//! and working folder. It may refuse each of them, and the slot of the trial then starts the
//! program itself: a cold start. The messages are documented in docs/hosts.md.

mod python;

use super::cgroups::Cgroups;
use super::orphans::RUN;
use super::repetition::{Evidence, NotRepeated, Repetition, Verdict, judge};
use super::slot::{
    HostId, HostOffer, Message, Order, Received, Slot, SlotEvent, Slots, StartError, Wire,
};
use super::supervise::ORPHAN_GRACE;
use super::{TrialContext, processes};
use crate::platform::Entry as EnvironmentEntry;
use python::{PythonCommand, variable};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use swath_model::study::TrialId;

/// Program of a host.
const SOURCE: &str = concat!(
    include_str!("base.py"),
    include_str!("trial.py"),
    include_str!("reaper.py"),
    include_str!("host.py"),
);

/// Argument of a host whose trials run in other folders than itself.
const ELSEWHERE: &str = "elsewhere";

/// Most hosts of a run. Each holds the packages of its trials in memory.
const MOST_HOSTS: usize = 8;

/// Most combinations of interpreter, variables and folder that are remembered.
const MOST_KEYS: usize = 64;

/// Number of times that a host is started again after it has ended.
const MOST_RESTARTS: u32 = 3;

/// Time for a host to start, for which the first trials wait: theirs would start such a Python too,
/// and import the packages once more.
const START_WITHIN: Duration = Duration::from_secs(1);

/// Longest time for which trials wait while a host imports packages. A trial that started cold
/// would import them itself for as long, so the wait costs no time and saves an import. A limit is
/// needed for an import that hangs, or takes longer than in a trial.
const IMPORT_WITHIN: Duration = Duration::from_secs(30);

/// Interval between two looks at a host for which a trial waits.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Time in which the status of a host arrives that has closed its socket.
const STATUS_WITHIN: Duration = Duration::from_secs(1);

/// Reasons for a cold start while a host starts, and while it imports packages.
const STARTS: &str = "its host starts";
const IMPORTS: &str = "its host imports the packages";

/// Reason for cold starts after a host has ended while it imported packages.
const CRASHED: &str = "importing its packages outside of a trial has crashed its host";

/// Number of trials that end before one is repeated: a shorter sweep gains nothing.
const TRIALS_BEFORE_PROOF: u32 = 3;

/// Number of repetitions from which a host tries to learn the packages.
const MOST_LESSONS: u32 = 3;

/// Run time from which on a trial is not repeated with `warm = "auto"`: a warm start would save
/// little of it.
pub const LONGEST_REPEATED: Duration = Duration::from_secs(30);

/// Variables that each trial has for itself, besides those of swath. Libraries read them when they
/// first use a device or a server, and a host that has used one refuses to fork.
const OWN: [&str; 6] = [
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
];

/// The hosts of a run.
pub(super) struct Hosts {
    /// Whether a host must prove that its trials record the same as those that start cold.
    needs_proof: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<Key, Entry>,
    /// Number of hosts that were started.
    started: u64,
    /// Slots of hosts that have ended before trials that they had forked.
    retired: Vec<Slot>,
}

#[derive(Default)]
struct Entry {
    host: Option<Host>,
    restarts: u32,
    /// Number of trials that have ended well and that the host could have forked.
    ended: u32,
    proof: Proof,
}

/// The state of a host's proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Proof {
    /// There is none yet, for this reason.
    Missing(&'static str),
    /// A trial is being repeated.
    UnderWay(ProofStep),
    /// It was given, or is not needed.
    #[default]
    Given,
    /// Trials start cold, for this reason.
    Failed(String),
}

/// Reasons why there is no proof yet.
const NO_PROOF: &str = "no trial was repeated yet to compare a warm start with a cold one";
const LONG_TRIALS: &str = "trials take 30 s or more, of which a warm start would save little";

/// A step of a proof, which follows the end of a trial in its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProofStep {
    /// The trial is repeated, and the host learns the packages.
    Learn,
    /// The trial is repeated, and the records are compared.
    Compare,
    /// There will be no proof, for this reason.
    GiveUp(String),
}

/// Everything that imports may depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    program: PathBuf,
    /// Name under which the interpreter is called, and its options.
    interpreter: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    /// Folder in which the host runs: that of its trials, or the project's if they have folders of
    /// their own.
    folder: PathBuf,
}

/// A running host.
struct Host {
    id: HostId,
    begun: Instant,
    wire: Wire,
    slot: Slot,
    state: HostState,
    /// Whether it has the names of the packages.
    has_learned: bool,
    /// Number of repetitions from which it was to learn them.
    lessons: u32,
}

enum HostState {
    /// It starts, or imports packages. Trials wait for it until this moment at most.
    Busy {
        reason: &'static str,
        until: Instant,
    },
    Ready,
    /// No process may be forked from it.
    Refuses(String),
    /// The packages that it has imported were changed.
    Outdated,
    /// The program has ended, but not all that it has forked may have.
    Ended,
    /// Its slot process has died.
    Gone,
}

/// The reason why a host forks no process for a program.
enum NotOffered {
    /// It is busy, and the program may wait for it until this moment.
    Busy {
        reason: &'static str,
        until: Instant,
    },
    /// The program starts cold, for this reason.
    Cold(String),
}

impl<S: Into<String>> From<S> for NotOffered {
    fn from(reason: S) -> Self {
        Self::Cold(reason.into())
    }
}

/// A program that may be forked, with what is needed to start a host for it.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) order: &'a Order,
    /// Folder of the project, if the program runs in a copy of its own.
    pub(super) project: Option<&'a Path>,
    pub(super) slots: &'a Slots,
    pub(super) cgroups: Option<&'a Cgroups>,
    pub(super) run: &'a str,
}

impl Hosts {
    pub(super) fn new(needs_proof: bool) -> Self {
        Self {
            needs_proof,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the records of trials are needed for proofs.
    pub(super) fn compares(&self) -> bool {
        self.needs_proof
    }

    /// Offers a program to its host. Returns the offer for the slot that will start it, in which a
    /// reaper of the host `idle_reaper` waits; the error says why the program starts cold.
    ///
    /// Waits for a host that is busy, unless `must_end` says that the program is to end.
    pub(super) fn offer(
        &self,
        candidate: Candidate<'_>,
        repetition: Option<Repetition>,
        idle_reaper: Option<HostId>,
        must_end: impl Fn() -> bool,
    ) -> Result<HostOffer, String> {
        let command = PythonCommand::of(candidate.order)?;
        let key = Key::of(&command, candidate);
        loop {
            match self.offer_now(&key, candidate, repetition, idle_reaper) {
                Ok((host, socket)) => {
                    return Ok(HostOffer {
                        host,
                        socket,
                        argv: command.argv,
                    });
                }
                Err(NotOffered::Cold(reason)) => return Err(reason),
                Err(NotOffered::Busy { reason, until }) => {
                    if Instant::now() >= until || must_end() {
                        return Err(reason.to_owned());
                    }
                }
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Returns the host of a program, and the connection to a new reaper unless one waits.
    fn offer_now(
        &self,
        key: &Key,
        candidate: Candidate<'_>,
        repetition: Option<Repetition>,
        idle_reaper: Option<HostId>,
    ) -> Result<(HostId, Option<OwnedFd>), NotOffered> {
        let mut state = self.lock();
        if self.needs_proof {
            let entry = state.hosts.get_mut(key).ok_or(NO_PROOF)?;
            match &entry.proof {
                _ if repetition.is_some() => {}
                Proof::Given => {}
                Proof::UnderWay(_) => return Err(NO_PROOF.into()),
                Proof::Missing(reason) => return Err((*reason).into()),
                Proof::Failed(reason) => return Err(reason.as_str().into()),
            }
        } else if !state.expects(key) {
            return Err("no earlier trial had its variables and folder".into());
        }
        let host = state.host(key, self.needs_proof, candidate)?;
        Ok((host.id, host.offer(idle_reaper)?))
    }

    /// Claims the next step of the proof for a program that has ended well. Returns whether there
    /// is one now.
    pub(super) fn claim(&self, candidate: Candidate<'_>, run_time: Duration) -> bool {
        let Ok(command) = PythonCommand::of(candidate.order) else {
            return false;
        };
        let key = Key::of(&command, candidate);
        let mut state = self.lock();
        let step = state.next_step(&key, candidate, run_time);
        let is_claimed = step.is_some();
        if let (Some(step), Some(entry)) = (step, state.hosts.get_mut(&key)) {
            entry.proof = Proof::UnderWay(step);
        }
        is_claimed
    }

    /// Carries out the claimed step of the proof for a trial that has ended. Returns a message for
    /// the user once programs start warm, or never will.
    pub(super) fn prove(
        &self,
        candidate: Candidate<'_>,
        trial: &TrialContext,
        recorded: Option<&Evidence>,
        repeat: &dyn Fn(Repetition) -> Result<Evidence, NotRepeated>,
    ) -> Option<String> {
        let command = PythonCommand::of(candidate.order).ok()?;
        let key = Key::of(&command, candidate);
        let proof = self.lock().hosts.get(&key)?.proof.clone();
        let Proof::UnderWay(step) = proof else {
            return None;
        };
        let verdict = match (step, recorded) {
            (ProofStep::GiveUp(reason), _) => Err(NotRepeated::Cold(reason)),
            (ProofStep::Learn, _) | (_, None) => repeat(Repetition::Forked)
                // The host has the names of the packages now, and imports them.
                .and(Err(NotRepeated::CutOff)),
            (ProofStep::Compare, Some(recorded)) => {
                let start_cold = || repeat(Repetition::Cold);
                repeat(Repetition::Forked)
                    .and_then(|forked| judge(recorded, &forked, &trial.study.deciding, start_cold))
            }
        };
        let number = trial.launch.trial;
        let (proof, message) = match verdict {
            Err(NotRepeated::CutOff) => (Proof::Missing(NO_PROOF), None),
            Ok(Verdict::Equal(varying)) => (Proof::Given, Some(proved(number, &varying))),
            Err(NotRepeated::Cold(reason)) => failed(reason),
            Ok(Verdict::Different(records)) => failed(format!(
                "trial {number} has recorded {records} when it was repeated from its host"
            )),
            Ok(Verdict::Unsteady(place)) => failed(format!(
                "two cold starts of trial {number} differ in {place}, so no warm start can be \
                 compared with them; `warm = true` forks without a comparison"
            )),
        };
        self.lock().settle(&key, proof);
        message
    }

    /// Kills the processes that a trial has left whose reaper and slot are gone. Only the processes
    /// of the trial have the entry `mark` in their environment.
    pub(super) fn end_strays(&self, mark: &OsStr) {
        for entry in self.lock().hosts.values_mut() {
            // Below its slot are those that have cleared their environment.
            if let Some(host) = &mut entry.host {
                host.slot.sweep();
            }
        }
        end_marked(mark);
    }

    /// Ends all hosts.
    pub(super) fn close(&self) {
        *self.lock() = State::default();
    }
}

impl State {
    /// Returns whether a host is to be started for the programs of a key: for the first one, and
    /// for one that comes a second time.
    fn expects(&mut self, key: &Key) -> bool {
        if self.hosts.is_empty() || self.hosts.contains_key(key) {
            return true;
        }
        self.make_room(key);
        self.hosts.insert(key.clone(), Entry::default());
        false
    }

    /// Forgets programs without a host if too many are remembered.
    fn make_room(&mut self, key: &Key) {
        if self.hosts.len() >= MOST_KEYS && !self.hosts.contains_key(key) {
            self.hosts.retain(|_, entry| entry.host.is_some());
        }
    }

    /// Returns the host of a key, which is started if there is none.
    fn host(
        &mut self,
        key: &Key,
        needs_proof: bool,
        candidate: Candidate<'_>,
    ) -> Result<&mut Host, String> {
        let running = self
            .hosts
            .values()
            .filter(|entry| entry.host.is_some())
            .count();
        let entry = self.hosts.entry(key.clone()).or_default();
        if entry.drop_ended(candidate.slots, &mut self.retired) && needs_proof {
            // Another host may import other packages.
            entry.proof = Proof::Missing(NO_PROOF);
            return Err("its host has ended".to_owned());
        }
        if entry.host.is_none() {
            if running >= MOST_HOSTS {
                return Err(format!("{MOST_HOSTS} hosts run already"));
            }
            if entry.restarts > MOST_RESTARTS {
                return Err("its host has ended again and again".to_owned());
            }
            entry.restarts += 1;
            self.started += 1;
            let host = Host::start(HostId(self.started), key, candidate)
                .map_err(|error| format!("its host could not be started: {error}"))?;
            entry.host = Some(host);
        }
        entry
            .host
            .as_mut()
            .ok_or_else(|| "it has no host".to_owned())
    }

    /// Returns the next step of the proof for the host of a program that has ended well.
    fn next_step(
        &mut self,
        key: &Key,
        candidate: Candidate<'_>,
        run_time: Duration,
    ) -> Option<ProofStep> {
        self.make_room(key);
        let entry = self.hosts.entry(key.clone()).or_insert_with(|| Entry {
            proof: Proof::Missing(NO_PROOF),
            ..Entry::default()
        });
        if !matches!(entry.proof, Proof::Missing(_)) {
            return None;
        }
        entry.ended += 1;
        let is_long = run_time >= LONGEST_REPEATED;
        entry.proof = Proof::Missing(if is_long { LONG_TRIALS } else { NO_PROOF });
        if is_long || entry.ended < TRIALS_BEFORE_PROOF {
            return None;
        }
        if entry.drop_ended(candidate.slots, &mut self.retired) {
            return None;
        }
        let host = match self.host(key, true, candidate) {
            Ok(host) => host,
            Err(reason) => return Some(ProofStep::GiveUp(reason)),
        };
        host.follow();
        match (&host.state, host.has_learned) {
            (HostState::Ready, true) => Some(ProofStep::Compare),
            (HostState::Ready, false) if host.lessons < MOST_LESSONS => {
                host.lessons += 1;
                Some(ProofStep::Learn)
            }
            (HostState::Ready, false) => {
                let reason = "no repetition has handed over the names of its packages";
                Some(ProofStep::GiveUp(reason.to_owned()))
            }
            (HostState::Refuses(reason), _) => Some(ProofStep::GiveUp(reason.clone())),
            // It has just been started, or imports packages, or has ended.
            _ => None,
        }
    }

    fn settle(&mut self, key: &Key, proof: Proof) {
        let Some(entry) = self.hosts.get_mut(key) else {
            return;
        };
        if matches!(proof, Proof::Failed(_)) {
            // Its packages are of no use any more.
            entry.host = None;
        }
        entry.proof = proof;
    }
}

impl Entry {
    /// Drops a host that forks no more programs. Returns whether there was one.
    fn drop_ended(&mut self, slots: &Slots, retired: &mut Vec<Slot>) -> bool {
        let Some(host) = &mut self.host else {
            return false;
        };
        host.follow();
        let is_gone = matches!(host.state, HostState::Gone);
        if !is_gone && !matches!(host.state, HostState::Ended | HostState::Outdated) {
            return false;
        }
        if let Some(Host { slot, .. }) = self.host.take() {
            match is_gone {
                true => slots.end_strays(slot.pid()),
                // The trials that an outdated host has forked go on, below its slot.
                false => retired.push(slot),
            }
        }
        true
    }
}

impl Host {
    fn start(id: HostId, key: &Key, candidate: Candidate<'_>) -> io::Result<Self> {
        let (wire, socket) = Wire::pair()?;
        let null = || {
            File::options()
                .write(true)
                .open("/dev/null")
                .map(OwnedFd::from)
        };
        let mut slot = candidate.slots.take()?;
        slot.enter(candidate.cgroups);
        slot.keep_rest();
        let order = host_order(key, candidate);
        let started = slot.start_with_stdio(&order, &[socket, null()?, null()?]);
        match started {
            Ok(_) => Ok(Self {
                id,
                begun: Instant::now(),
                wire,
                slot,
                state: HostState::Busy {
                    reason: STARTS,
                    until: Instant::now() + START_WITHIN,
                },
                has_learned: false,
                lessons: 0,
            }),
            Err(StartError::Log(_, error) | StartError::Spawn(error) | StartError::Slot(error)) => {
                Err(error)
            }
        }
    }

    /// Returns the connection to a new reaper; `None` if the one that waits in the slot is its own.
    fn offer(&mut self, idle_reaper: Option<HostId>) -> Result<Option<OwnedFd>, NotOffered> {
        self.follow();
        match self.state {
            HostState::Ready => {}
            HostState::Busy { reason, until } => return Err(NotOffered::Busy { reason, until }),
            HostState::Refuses(ref reason) => return Err(reason.as_str().into()),
            HostState::Outdated | HostState::Ended | HostState::Gone => {
                return Err("its host has ended".into());
            }
        }
        if idle_reaper == Some(self.id) {
            return Ok(None);
        }
        let pair = std::os::unix::net::UnixStream::pair();
        let (own, other) = pair.map_err(|error| format!("no socket for its host: {error}"))?;
        use std::os::fd::AsFd as _;
        self.wire
            .send_with(&["fork"], &[other.as_fd()])
            .map_err(|_| "its host has ended")?;
        Ok(Some(own.into()))
    }

    fn take(&mut self, message: &Message) {
        let reason = message.texts(1).into_iter().next().unwrap_or_default();
        match message.kind() {
            "ready" => self.state = HostState::Ready,
            "importing" => {
                // The trial that has imported them has taken no longer than the host lives. Twice
                // that, since a trial that gives up too early has waited and imports them as well.
                let within = (2 * self.begun.elapsed()).min(IMPORT_WITHIN);
                self.state = HostState::Busy {
                    reason: IMPORTS,
                    until: Instant::now() + within,
                };
                self.has_learned = true;
            }
            "refuses" => self.state = HostState::Refuses(reason),
            "outdated" => self.state = HostState::Outdated,
            // A message of another version.
            _ => {}
        }
    }

    /// Takes in what has happened to the host.
    fn follow(&mut self) {
        let mut has_ended = false;
        loop {
            match self.wire.receive() {
                Ok(Received::Message(message)) => self.take(&message),
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) | Err(_) => {
                    has_ended = true;
                    break;
                }
            }
        }
        let is_importing =
            matches!(self.state, HostState::Busy { reason, .. } if reason == IMPORTS);
        let mut timeout = match has_ended && is_importing {
            true => STATUS_WITHIN,
            false => Duration::ZERO,
        };
        while let Some(event) = self.slot.wait(std::mem::take(&mut timeout)) {
            match event {
                // Another host would import the same.
                SlotEvent::Exited(status, _) if is_importing && !was_killed(status) => {
                    self.state = HostState::Refuses(CRASHED.to_owned());
                }
                SlotEvent::Exited(..) | SlotEvent::Ended(_) => has_ended = true,
                SlotEvent::Gone => {
                    self.state = HostState::Gone;
                    return;
                }
            }
        }
        if has_ended && !matches!(self.state, HostState::Refuses(_)) {
            self.state = HostState::Ended;
        }
    }
}

/// Returns whether a process was killed from outside, for example for lack of memory.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Returns the message about a proof that was given by a trial, apart from the values that vary.
fn proved(trial: TrialId, varying: &[String]) -> String {
    let apart = match varying {
        [] => String::new(),
        names => format!(
            ", apart from {}, which differ between two cold starts too",
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    format!(
        "trials start warm from now on: trial {trial}, repeated from its host, has recorded the \
         same{apart}"
    )
}

fn failed(reason: String) -> (Proof, Option<String>) {
    let message = format!("trials start cold: {reason}");
    (Proof::Failed(reason), Some(message))
}

/// Kills the processes of a trial, found by their mark, that a host has forked and that have lost
/// their reaper and their slot.
fn end_marked(mark: &OsStr) {
    let mark = mark.to_string_lossy();
    processes::end(
        || processes::with_entry(EnvironmentEntry::Is(&mark)),
        Duration::ZERO,
    );
}

/// Returns the order that starts the host of a program.
fn host_order(key: &Key, candidate: Candidate<'_>) -> Order {
    let mut argv = key.interpreter.clone();
    argv.extend(["-c".into(), SOURCE.into()]);
    if key.folder != candidate.order.workdir {
        argv.push(ELSEWHERE.into());
    }
    Order {
        program: key.program.clone(),
        argv,
        // The variables of a trial come with each trial.
        env: key
            .variables
            .iter()
            .cloned()
            .chain([(RUN.into(), Some(candidate.run.into()))])
            .collect(),
        workdir: key.folder.clone(),
        grace: ORPHAN_GRACE,
        mark: format!("{RUN}={}", candidate.run).into(),
        ..Order::default()
    }
}

impl Key {
    fn of(command: &PythonCommand, candidate: Candidate<'_>) -> Self {
        let Candidate { order, project, .. } = candidate;
        let project = project.filter(|_| !has_relative_modules(order));
        Self {
            program: project
                .and_then(|project| in_project(&command.program, &order.workdir, project))
                .unwrap_or_else(|| command.program.clone()),
            interpreter: command.interpreter().to_vec(),
            variables: imported_variables(order).collect(),
            folder: project.unwrap_or(&order.workdir).to_owned(),
        }
    }
}

/// Returns the path in the project of an interpreter that a trial reaches by a link in its own
/// folder.
fn in_project(program: &Path, workdir: &Path, project: &Path) -> Option<PathBuf> {
    let original = project.join(program.strip_prefix(workdir).ok()?);
    let is_same =
        program.parent()?.canonicalize().ok()? == original.parent()?.canonicalize().ok()?;
    is_same.then_some(original)
}

/// Returns whether Python looks for modules in folders that depend on the working folder.
fn has_relative_modules(order: &Order) -> bool {
    let path = variable(order, "PYTHONPATH").unwrap_or_default();
    !path.is_empty() && std::env::split_paths(&path).any(|folder| folder.is_relative())
}

/// Returns the changes of the environment that an import can depend on.
fn imported_variables(order: &Order) -> impl Iterator<Item = (OsString, Option<OsString>)> {
    order.env.iter().filter(|(name, _)| !is_own(name)).cloned()
}

/// Returns whether a variable may differ between the trials of a host.
fn is_own(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"SWATH_") || OWN.iter().any(|own| name == *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(order: &Order, project: Option<&Path>) -> Key {
        let command = PythonCommand::of(order).unwrap();
        let slots = Slots::new(None, "run").unwrap();
        let candidate = Candidate {
            order,
            project,
            slots: &slots,
            cgroups: None,
            run: "run",
        };
        Key::of(&command, candidate)
    }

    fn order(name: &str, value: &str) -> Order {
        Order {
            program: "/bin/python".into(),
            argv: vec!["python".into(), "train.py".into(), "1".into()],
            env: vec![(name.into(), Some(value.into()))],
            ..Order::default()
        }
    }

    #[test]
    fn trials_share_a_host_if_only_their_own_variables_and_devices_differ() {
        let same = |name| key(&order(name, "1"), None) == key(&order(name, "2"), None);
        assert!(same("SWATH_TRIAL") && same("CUDA_VISIBLE_DEVICES") && same("MLFLOW_TRACKING_URI"));
        assert!(!same("OMP_NUM_THREADS"));
        let mut other = order("SWATH_TRIAL", "1");
        other.argv.insert(1, "-O".into());
        assert!(key(&order("SWATH_TRIAL", "1"), None) != key(&other, None));
    }

    #[test]
    fn two_trials_and_trials_of_thirty_seconds_are_not_repeated_and_say_why_they_start_cold() {
        let slots = Slots::new(None, "run").unwrap();
        let order = order("A", "1");
        let candidate = Candidate {
            order: &order,
            project: None,
            slots: &slots,
            cgroups: None,
            run: "run",
        };
        let hosts = Hosts::new(true);
        let reason = || hosts.offer(candidate, None, None, || false).err();
        assert_eq!(reason(), Some(NO_PROOF.to_owned()));
        for _ in 1..TRIALS_BEFORE_PROOF {
            assert!(!hosts.claim(candidate, Duration::from_secs(1)));
        }
        assert_eq!(reason(), Some(NO_PROOF.to_owned()));
        for _ in 0..5 {
            assert!(!hosts.claim(candidate, LONGEST_REPEATED));
        }
        assert_eq!(reason(), Some(LONG_TRIALS.to_owned()));
    }

    #[test]
    fn a_program_waits_for_no_host_that_takes_too_long_or_if_it_is_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("python");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let order = Order {
            program,
            workdir: folder.path().to_owned(),
            ..order("A", "1")
        };
        let slots = Slots::new(None, "run").unwrap();
        let candidate = Candidate {
            order: &order,
            project: None,
            slots: &slots,
            cgroups: None,
            run: "run",
        };
        let hosts = Hosts::new(false);
        let looks = std::cell::Cell::new(0);
        for must_end in [true, false] {
            let offered = hosts.offer(candidate, None, None, || {
                looks.set(looks.get() + u32::from(must_end));
                must_end
            });
            assert_eq!(offered.err(), Some(STARTS.to_owned()));
        }
        assert!(looks.get() <= 1);
        hosts.close();
    }

    #[test]
    fn trials_in_private_folders_share_a_host_unless_modules_are_found_by_the_folder() {
        let key_of = |path: &str, folder: &str, project| {
            let order = Order {
                workdir: folder.into(),
                ..order("PYTHONPATH", path)
            };
            key(&order, project)
        };
        let project = Some(Path::new("/project"));
        assert!(key_of("/lib", "/1", project) == key_of("/lib", "/2", project));
        assert!(key_of("/lib", "/1", None) != key_of("/lib", "/2", None));
        assert!(key_of("/lib:src", "/1", project) != key_of("/lib:src", "/2", project));
    }

    #[test]
    fn an_interpreter_behind_a_link_in_a_private_folder_is_that_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let (project, own) = (folder.path().join("project"), folder.path().join("own"));
        std::fs::create_dir_all(project.join(".venv/bin")).unwrap();
        std::fs::create_dir_all(own.join("other/bin")).unwrap();
        std::os::unix::fs::symlink(project.join(".venv"), own.join(".venv")).unwrap();
        let original = |program: &str| in_project(&own.join(program), &own, &project);
        assert_eq!(
            original(".venv/bin/python"),
            Some(project.join(".venv/bin/python"))
        );
        assert_eq!(original("other/bin/python"), None);
    }
}
