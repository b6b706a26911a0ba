//! Hosts of Python trials: processes that import packages once and fork a process for each trial.
//!
//! A host runs in a slot of its own, started like any program, and ends with the run or through the
//! guard. It is offered the trials that start the same interpreter with the same options, variables
//! and working folder. It may refuse each of them, and the slot of the trial then starts the
//! program itself: a cold start. The messages are documented in docs/hosts.md.

use super::cgroups::Cgroups;
use super::orphans::RUN;
use super::processes;
use super::slot::{Order, Received, Slot, SlotEvent, Slots, StartError, Wire};
use super::supervise::ORPHAN_GRACE;
use crate::platform::Entry as EnvironmentEntry;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Program of a host.
const SOURCE: &str = include_str!("host.py");

/// Most hosts of a run. Each holds the packages of its trials in memory.
const MOST_HOSTS: usize = 8;

/// Most combinations of interpreter, variables and folder that are remembered.
const MOST_KEYS: usize = 64;

/// Number of times that a host is started again after it has ended.
const MOST_RESTARTS: u32 = 3;

/// Options of the interpreter that take a value, as in `-W error`.
const WITH_VALUE: [&str; 2] = ["-W", "-X"];

/// Variables that name the devices of a slot. Libraries read them when they first use a device, and
/// a host that has used one refuses to fork.
const DEVICES: [&str; 4] = [
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
];

/// The hosts of a run.
#[derive(Default)]
pub(super) struct Hosts(Mutex<State>);

#[derive(Default)]
struct State {
    hosts: BTreeMap<Key, Entry>,
    /// Slots of hosts that have ended before trials that they had forked.
    retired: Vec<Slot>,
}

#[derive(Default)]
struct Entry {
    host: Option<Host>,
    restarts: u32,
}

/// Everything that imports may depend on: interpreter with options, variables and working folder.
type Key = (
    PathBuf,
    Vec<OsString>,
    Vec<(OsString, Option<OsString>)>,
    PathBuf,
);

/// A running host.
struct Host {
    wire: Wire,
    slot: Slot,
    state: HostState,
}

enum HostState {
    /// It starts, or imports packages. Trials do not wait for it.
    Busy(&'static str),
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

impl Hosts {
    /// Offers a program to its host. Returns the socket of the slot that will start it; the error
    /// says why the program starts cold.
    pub(super) fn offer(
        &self,
        order: &Order,
        slots: &Slots,
        cgroups: Option<&Cgroups>,
        run: &str,
    ) -> Result<OwnedFd, String> {
        let key = key(order)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { hosts, retired } = &mut *state;
        let is_first = hosts.is_empty();
        if !is_first && !hosts.contains_key(&key) {
            hosts.retain(|_, entry| entry.host.is_some());
            if hosts.len() < MOST_KEYS {
                hosts.insert(key, Entry::default());
            }
            return Err("no earlier trial had its variables and folder".to_owned());
        }
        let running = hosts.values().filter(|entry| entry.host.is_some()).count();
        let entry = hosts.entry(key).or_default();
        entry.drop_ended(slots, retired);
        if entry.host.is_none() {
            if running >= MOST_HOSTS {
                return Err(format!("{MOST_HOSTS} hosts run already"));
            }
            if entry.restarts > MOST_RESTARTS {
                return Err("its host has ended again and again".to_owned());
            }
            entry.restarts += 1;
            let host = Host::start(order, slots, cgroups, run)
                .map_err(|error| format!("its host could not be started: {error}"))?;
            entry.host = Some(host);
        }
        let host = entry.host.as_mut().ok_or("it has no host")?;
        host.offer()
    }

    /// Ends all hosts.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

impl Entry {
    /// Drops a host that forks no more programs.
    fn drop_ended(&mut self, slots: &Slots, retired: &mut Vec<Slot>) {
        let Some(host) = &mut self.host else {
            return;
        };
        host.follow();
        let is_gone = matches!(host.state, HostState::Gone);
        if !is_gone && !matches!(host.state, HostState::Ended | HostState::Outdated) {
            return;
        }
        // The trials that an outdated host has forked go on, below its slot.
        if let Some(Host { slot, .. }) = self.host.take()
            && !is_gone
        {
            retired.push(slot);
        }
        if is_gone {
            slots.end_strays();
        }
    }
}

impl Host {
    fn start(
        order: &Order,
        slots: &Slots,
        cgroups: Option<&Cgroups>,
        run: &str,
    ) -> io::Result<Self> {
        let (wire, socket) = Wire::pair()?;
        let null = || {
            File::options()
                .write(true)
                .open("/dev/null")
                .map(OwnedFd::from)
        };
        let mut slot = slots.take()?;
        slot.enter(cgroups);
        slot.keep_rest();
        let started = slot.start_with_stdio(&host_order(order, run), &[socket, null()?, null()?]);
        match started {
            Ok(_) => Ok(Self {
                wire,
                slot,
                state: HostState::Busy("its host starts"),
            }),
            Err(StartError::Log(_, error) | StartError::Spawn(error) | StartError::Slot(error)) => {
                Err(error)
            }
        }
    }

    fn offer(&mut self) -> Result<OwnedFd, String> {
        self.follow();
        match &self.state {
            HostState::Ready => {}
            HostState::Busy(reason) => return Err((*reason).to_owned()),
            HostState::Refuses(reason) => return Err(reason.clone()),
            HostState::Outdated | HostState::Ended | HostState::Gone => {
                return Err("its host has ended".to_owned());
            }
        }
        let pair = std::os::unix::net::UnixStream::pair();
        let (own, other) = pair.map_err(|error| format!("no socket for its host: {error}"))?;
        use std::os::fd::AsFd as _;
        self.wire
            .send_with(&["fork"], &[other.as_fd()])
            .map_err(|_| "its host has ended".to_owned())?;
        Ok(own.into())
    }

    /// Takes in what has happened to the host.
    fn follow(&mut self) {
        loop {
            match self.wire.receive() {
                Ok(Received::Message(message)) => {
                    let reason = message.texts(1).into_iter().next().unwrap_or_default();
                    match message.kind() {
                        "ready" => self.state = HostState::Ready,
                        "importing" => {
                            self.state = HostState::Busy("its host imports the packages");
                        }
                        "refuses" => self.state = HostState::Refuses(reason),
                        "outdated" => self.state = HostState::Outdated,
                        // A message of another version.
                        _ => {}
                    }
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) | Err(_) => {
                    self.state = HostState::Ended;
                    break;
                }
            }
        }
        while let Some(event) = self.slot.wait(Duration::ZERO) {
            match event {
                SlotEvent::Exited(..) | SlotEvent::Ended(_) => self.state = HostState::Ended,
                SlotEvent::Gone => {
                    self.state = HostState::Gone;
                    return;
                }
            }
        }
    }
}

/// Kills the processes of a trial, found by their mark, that a host has forked and that have lost
/// their reaper and their slot.
pub(super) fn end_marked(mark: &OsStr) {
    let mark = mark.to_string_lossy();
    processes::end(
        || processes::with_entry(EnvironmentEntry::Is(&mark)),
        Duration::ZERO,
    );
}

/// Returns the order that starts a host for a program.
fn host_order(order: &Order, run: &str) -> Order {
    let script = script_index(&order.argv).unwrap_or(1);
    let mut argv: Vec<OsString> = order.argv[..script.min(order.argv.len())].to_vec();
    argv.extend(["-c".into(), SOURCE.into()]);
    Order {
        program: order.program.clone(),
        argv,
        // The variables of a trial come with each trial.
        env: imported_variables(order)
            .chain([(RUN.into(), Some(run.into()))])
            .collect(),
        workdir: order.workdir.clone(),
        grace: ORPHAN_GRACE,
        mark: format!("{RUN}={run}").into(),
        ..Order::default()
    }
}

fn key(order: &Order) -> Result<Key, String> {
    let script = script_index(&order.argv)?;
    Ok((
        order.program.clone(),
        order.argv[..script].to_vec(),
        imported_variables(order).collect(),
        order.workdir.clone(),
    ))
}

/// Returns the changes of the environment that an import can depend on.
fn imported_variables(order: &Order) -> impl Iterator<Item = (OsString, Option<OsString>)> {
    order
        .env
        .iter()
        .filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"SWATH_"))
        .filter(|(name, _)| DEVICES.iter().all(|device| name != device))
        .cloned()
}

/// Returns the number of arguments before the script, or before `-m` and its module, of a Python
/// command; the error says why the command is none.
fn script_index(argv: &[OsString]) -> Result<usize, String> {
    let name = argv.first().map(Path::new).and_then(Path::file_name);
    let name = name.and_then(OsStr::to_str).unwrap_or_default();
    let version = name.strip_prefix("python");
    let is_python =
        version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'));
    if !is_python {
        return Err(format!("its command starts `{name}`, which is no Python"));
    }
    let mut words = argv.iter().enumerate().skip(1);
    while let Some((index, word)) = words.next() {
        let word = word.to_str().unwrap_or_default();
        if word == "-m" {
            return Ok(index);
        }
        match word.strip_prefix('-') {
            None => return Ok(index),
            Some(_) if WITH_VALUE.contains(&word) => {
                words.next();
            }
            Some(_) if WITH_VALUE.iter().any(|option| word.starts_with(option)) => {}
            Some(flags)
                if !flags.is_empty() && flags.chars().all(|c| "bBdEIOPqsSuvxR".contains(c)) => {}
            Some(_) => return Err(format!("its command has the option `{word}`")),
        }
    }
    Err("its command names no script".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<OsString> {
        command.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_script_of_a_python_command_is_found_behind_the_options_of_the_interpreter() {
        for (command, index) in [
            ("python train.py --lr 1", 1),
            ("/opt/env/bin/python3.12 -u -W error -Xutf8 train.py", 5),
            ("python3 -O -m package.train -m x", 2),
        ] {
            assert_eq!(script_index(&words(command)), Ok(index), "{command}");
        }
        for command in [
            "sh train.sh",
            "python -c pass",
            "python",
            "python -i x.py",
            "pythonic x",
        ] {
            assert!(script_index(&words(command)).is_err(), "{command}");
        }
    }

    #[test]
    fn trials_share_a_host_if_only_their_own_variables_and_devices_differ() {
        let order = |name: &str, value: &str| Order {
            program: "/bin/python".into(),
            argv: words("python train.py 1"),
            env: vec![(name.into(), Some(value.into()))],
            ..Order::default()
        };
        let same = |name| key(&order(name, "1")) == key(&order(name, "2"));
        assert!(same("SWATH_TRIAL") && same("CUDA_VISIBLE_DEVICES"));
        assert!(!same("OMP_NUM_THREADS"));
        let other = Order {
            argv: words("python -O train.py 1"),
            ..order("SWATH_TRIAL", "1")
        };
        assert!(key(&order("SWATH_TRIAL", "1")) != key(&other));
    }
}
