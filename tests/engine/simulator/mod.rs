//! Simulates a whole study on a virtual clock, with a fault possible at every event: crashes, torn
//! writes, lost children, a full disk, a clock that jumps, trackers that fail or are slow, outdated
//! or damaged snapshots, and at the end a flipped bit, a shortened or a deleted journal. Programs
//! write the files of their trials, and no line of theirs counts twice, is lost, or counts for
//! another trial. Whatever happens, the study reaches the same end as without faults; after a power
//! cut, it reaches an end.
//!
//! `SWATH_SEEDS=5000 cargo test --release --test engine simulator::` runs the long form, and
//! `SWATH_SEEDS=1000..2000` a part of it; `SWATH_SEED=17` repeats a single seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod moods;
mod preparations;
mod programs;
mod readings;
mod requests;

use crate::virtual_study::{self, holder};
use preparations::Preparer;
use programs::{Programs, Reading, SharedLedger};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use swath::driver::{
    Clock, Driver, DriverError, Interrupt, Listener, MachineAccess, Parts, replay,
};
use swath::executor::{
    DiskSpace, Executor, ExecutorError, Launch, Signal, SignalKind, Simulated, Stop,
};
use swath::journal::{self, Condition, Journal, JournalError, Medium, StudyDir};
use swath::study::{
    Attempt, Closing, Entry, Event, Exit, LogRecord, Study, Timestamp, TrialId, TrialState, Usage,
};

const TRIALS: u64 = 10;
/// Maximum number of processes (lives) in which a study must end.
const LIVES: u32 = 400;

/// Maximum number of times that a process waits for signals before it ends. The longest lives wait
/// for a few hundred.
const MAX_POLLS: u32 = 20_000;

/// A fault of a write to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Occurs when the process is killed before the write.
    Crash,
    /// Occurs when the process is killed during the write.
    Torn,
    /// Occurs when the disk is full for a while.
    Full,
}

/// The faults of one study: a single random stream, drawn from at every event in order.
#[derive(Debug)]
struct Fate {
    rng: ChaCha8Rng,
    /// The probability of a fault, in thousandths.
    often: u32,
    dead: bool,
    /// Number of polls for which the disk stays full.
    full: u32,
    /// Whether a sync of this life has lost unsynced data.
    unsynced: bool,
    faults: BTreeMap<&'static str, u64>,
    /// The length of the journal that a power cut cannot take away.
    synced: u64,
    /// The difference of the machine's clock from the true time, in microseconds.
    skew: i64,
    /// The poll at which another process changes the journal.
    disturbed_at: Option<u32>,
    /// Whether the power was cut since an attempt last went on from its checkpoint.
    has_cut_power: bool,
    /// The processes that outlived the kill of their orchestrator.
    leftovers: Vec<Leftover>,
    /// Invariants that did not hold.
    broken: BTreeSet<&'static str>,
    /// A separate random stream for choices that are not events of the study, so that a seed keeps
    /// its meaning when such choices are added.
    aside: ChaCha8Rng,
}

/// A process that outlived the kill of its orchestrator and of all processes in between.
#[derive(Debug)]
struct Leftover {
    /// The folder of its trial or preparation; the study's folder for a setup.
    folder: PathBuf,
    /// The trial whose lines it writes until it is ended.
    trial: Option<TrialId>,
}

type Shared = Arc<Mutex<Fate>>;

impl Fate {
    fn strikes(&mut self) -> bool {
        self.rng.random_range(0..1000) < self.often
    }

    /// Records that an invariant did not hold.
    fn break_invariant(&mut self, which: &'static str) {
        self.broken.insert(which);
    }

    fn count(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    /// Leaves a process alive, or not.
    fn leave(&mut self, leftover: Leftover) {
        // A journal that has lost its last lines does not know of every process.
        if self.often > 0 && !self.unsynced && self.aside.random_range(0..3) == 0 {
            self.count("a process that outlived its orchestrator");
            self.leftovers.push(leftover);
        }
    }

    /// Checks that nothing of an earlier run is alive in the folder of an attempt that starts.
    fn check_start(&mut self, folder: &Path) {
        if self.leftovers.iter().any(|left| left.folder == folder) {
            self.break_invariant("two attempts ran at the same time");
        }
    }
}

/// Ends the processes that were left alive below a folder. They write until then.
fn end_leftovers(below: &Path, fate: &Shared, ledger: &SharedLedger) {
    let mut fate = fate.lock().unwrap();
    let leftovers = std::mem::take(&mut fate.leftovers);
    for leftover in leftovers {
        if !leftover.folder.starts_with(below) {
            fate.leftovers.push(leftover);
        } else if let Some(trial) = leftover.trial {
            programs::write_last_lines(&leftover.folder, trial, &mut fate, ledger);
        }
    }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn killed() -> io::Error {
    io::Error::other("killed")
}

/// A journal file with injected faults. After the process is killed, nothing more is written.
#[derive(Debug)]
struct Faulty {
    file: File,
    fate: Shared,
    synced: u64,
}

impl Medium for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        if fate.dead {
            return Err(killed());
        }
        if fate.full > 0 {
            let part = fate.rng.random_range(0..bytes.len());
            self.file.append(&bytes[..part])?;
            return Err(full());
        }
        if !fate.strikes() {
            return self.file.append(bytes);
        }
        let part = fate.rng.random_range(0..bytes.len());
        let fault = [Fault::Crash, Fault::Torn, Fault::Full][fate.rng.random_range(0..3)];
        match fault {
            Fault::Crash => {
                fate.count("killed before a write");
                fate.dead = true;
                Err(killed())
            }
            Fault::Torn => {
                fate.count("killed in a write");
                fate.dead = true;
                self.file.append(&bytes[..part])?;
                Err(killed())
            }
            Fault::Full => {
                fate.count("disk full");
                fate.full = fate.rng.random_range(1..6);
                self.file.append(&bytes[..part])?;
                Err(full())
            }
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        if fate.dead {
            return Err(killed());
        }
        if fate.strikes() {
            fate.count("a cut that failed");
            return Err(full());
        }
        self.file.cut(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut fate = self.fate.lock().unwrap();
        if fate.dead {
            return Err(killed());
        }
        if fate.strikes() {
            fate.count("a sync that lost what it had");
            fate.unsynced = true;
            self.file.cut(self.synced)?;
            fate.synced = fate.synced.min(self.synced);
            return Err(full());
        }
        self.synced = self.file.metadata()?.len();
        fate.synced = self.synced;
        Ok(())
    }

    fn condition(&self, path: &Path) -> io::Result<Condition> {
        self.file.condition(path)
    }

    fn contents(&self) -> io::Result<Vec<u8>> {
        self.file.contents()
    }
}

/// An executor whose children may be lost and whose process may be killed at any moment.
struct Frail {
    dir: StudyDir,
    inner: Simulated,
    fate: Shared,
    started: Vec<(TrialId, Attempt)>,
    programs: Programs,
    /// Whether the process dies at the next event: what it has read is in the journal then, and
    /// what it has in memory is lost.
    is_doomed: bool,
    /// Whether the process dies before it reads the first lines of an attempt that goes on.
    is_doomed_unread: bool,
    /// Number of times that the driver has waited for signals.
    polls: u32,
}

impl Frail {
    /// Removes, replaces, cuts or extends the journal, as another process may.
    fn disturb_journal(&self) {
        let path = self.dir.journal();
        let journal = std::fs::read(&path).unwrap();
        match self.fate.lock().unwrap().aside.random_range(0..4) {
            0 => std::fs::remove_file(path).unwrap(),
            1 => {
                std::fs::remove_file(&path).unwrap();
                std::fs::write(path, journal).unwrap();
            }
            2 => std::fs::write(path, &journal[..journal.len() / 2]).unwrap(),
            _ => std::fs::write(path, [&*journal, b"x"].concat()).unwrap(),
        }
    }

    /// Returns the entries of the journal that no power cut can take away.
    fn synced_entries(&self) -> Vec<Entry> {
        let mut entries = entries(&self.dir);
        let synced = self.fate.lock().unwrap().synced;
        entries.truncate(lines_within(&self.dir, synced));
        entries
    }

    /// Returns the signals of a dead process: one that it writes down, which ends it. A process
    /// with nothing to write would wait for its next signal for ever.
    fn last_signals(&self) -> Vec<Signal> {
        let text = "written by a dead process".to_owned();
        let attempts = self.started.iter();
        attempts
            .map(|(trial, attempt)| Signal {
                trial: *trial,
                attempt: *attempt,
                at: self.inner.now(),
                kind: SignalKind::Logged(LogRecord::Note { text: text.clone() }, None),
            })
            .collect()
    }
}

impl Executor for Frail {
    fn slots(&self) -> usize {
        self.inner.slots()
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let attempt = (launch.trial, launch.attempt);
        // The files of a trial may only change under a further attempt once no power cut can take
        // its start from the journal.
        let is_disturbed = self.fate.lock().unwrap().disturbed_at.is_some();
        if launch.attempt.0 > 1 && !is_disturbed && !is_started(&self.synced_entries(), &attempt) {
            let mut fate = self.fate.lock().unwrap();
            fate.break_invariant("an attempt was started whose start a power cut can undo");
        }
        self.started.push(attempt);
        {
            let mut fate = self.fate.lock().unwrap();
            if fate.often > 0 && fate.aside.random_range(0..40) == 0 {
                fate.count("killed before a start");
                fate.dead = true;
                return Ok(());
            }
            fate.check_start(&launch.dir);
            if launch.resume && fate.often > 0 {
                // A power cut may have taken lines that the journal has: new ones take their place.
                let one_in = if fate.has_cut_power { 2 } else { 8 };
                fate.has_cut_power = false;
                self.is_doomed_unread |= fate.aside.random_range(0..one_in) == 0;
            }
        }
        self.programs.start(&launch);
        self.inner.start(launch)
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        self.inner.stop(trial, how);
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        self.polls += 1;
        if self.fate.lock().unwrap().disturbed_at == Some(self.polls) {
            self.disturb_journal();
        }
        assert!(self.polls < MAX_POLLS, "a life did not end");
        let mut signals = self.inner.wait(at_most);
        let mut fate = self.fate.lock().unwrap();
        fate.full = fate.full.saturating_sub(1);
        if fate.dead {
            return self.last_signals();
        }
        let mut reading = Reading::Whole;
        if self.is_doomed || fate.strikes() {
            reading = [Reading::Whole, Reading::Buffered, Reading::Nothing]
                [fate.aside.random_range(0..3)];
            fate.count("killed between events");
            self.is_doomed = reading == Reading::Buffered && !self.is_doomed;
            fate.dead = !self.is_doomed;
        } else if self.is_doomed_unread && signals.iter().any(is_line) {
            reading = Reading::Nothing;
            fate.count("killed before the lines of an attempt that goes on were read");
            fate.dead = true;
        }
        for signal in &mut signals {
            // The supervisor was lost, with or without the trial: the trial runs again.
            if matches!(signal.kind, SignalKind::Ended(Exit::Done, _)) && fate.strikes() {
                fate.count("a lost child");
                signal.kind = SignalKind::Ended(Exit::Lost, Usage::default());
            }
        }
        if fate.often > 0 && fate.skew == 0 && fate.aside.random_range(0..300) == 0 {
            fate.count("a clock that jumped");
            fate.skew = [-5_000_000, 86_400_000_000][fate.aside.random_range(0..2)];
        }
        if fate.often > 0 && fate.aside.random_range(0..200) == 0 {
            fate.count("a request");
            requests::send(&self.dir, &mut fate.aside);
        }
        drop(fate);
        self.programs.pass(signals, reading)
    }
}

/// Returns whether a program writes lines for a signal.
fn is_line(signal: &Signal) -> bool {
    matches!(signal.kind, SignalKind::Logged(LogRecord::Report { .. }, _))
}

/// Keeps the entries that listeners are shown, and checks that each is in the journal by then.
struct Watch {
    dir: StudyDir,
    fate: Shared,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Listener for Watch {
    fn entry(&mut self, _: &Study, entry: &Entry) {
        // Counting bytes one by one would take a fifth of the simulator's time in a debug build.
        let journal = std::fs::read_to_string(self.dir.journal()).unwrap_or_default();
        let lines = journal.matches('\n').count() as u64;
        let mut fate = self.fate.lock().unwrap();
        if lines <= entry.seq && fate.disturbed_at.is_none() {
            fate.break_invariant("a listener was shown an entry before the journal had it");
        }
        self.entries.lock().unwrap().push(entry.clone());
    }
}

/// Returns everything about the trials except attempts and times. The value of a stopped trial is
/// left out too: how much it reports between the decision to stop it and its end depends on time.
/// The end of a trial: its id, configuration, state and result.
type TrialEnd = (TrialId, String, TrialState, Option<f64>);

fn outcome(study: &Study) -> Vec<TrialEnd> {
    let objective = &study.header().objectives[0];
    study
        .trials()
        .iter()
        .map(|trial| {
            let value = trial
                .objective(objective)
                .filter(|_| trial.state != TrialState::Stopped);
            (trial.id, trial.params.key(), trial.state.clone(), value)
        })
        .collect()
}

struct World {
    sampler: &'static str,
    scheduler: &'static str,
    slots: usize,
    /// Whether the trials need preparations, and the run has a setup.
    is_prepared: bool,
}

const WORLDS: [World; 8] = [
    World {
        sampler: "random",
        scheduler: "fifo",
        slots: 1,
        is_prepared: false,
    },
    World {
        sampler: "random",
        scheduler: "fifo",
        slots: 3,
        is_prepared: false,
    },
    World {
        sampler: "tpe",
        scheduler: "fifo",
        slots: 1,
        is_prepared: false,
    },
    World {
        sampler: "random",
        scheduler: "asha max = 4\nreduction = 2\nmode = \"stopping\"",
        slots: 1,
        is_prepared: false,
    },
    World {
        sampler: "random",
        scheduler: "asha max = 4\nreduction = 2",
        slots: 1,
        is_prepared: false,
    },
    World {
        sampler: "random",
        scheduler: "median peers = 2",
        slots: 1,
        is_prepared: false,
    },
    World {
        sampler: "random",
        scheduler: "fifo",
        slots: 2,
        is_prepared: true,
    },
    World {
        sampler: "random",
        scheduler: "asha max = 4\nreduction = 2",
        slots: 1,
        is_prepared: true,
    },
];

impl World {
    fn parts(&self, dir: &StudyDir) -> Parts {
        let space = "x = { min = 0.0, max = 1.0 }\nn = { min = 1, max = 5 }";
        let mut parts = virtual_study::parts(
            "seed = 3",
            (self.sampler, TRIALS),
            self.scheduler,
            space,
            self.slots,
        );
        parts.workdir = programs::workdir(dir);
        if self.is_prepared {
            parts.preparations = preparations::plans();
        }
        parts
    }

    /// Runs the study in as many lives as it needs.
    fn live(&self, seed: u64, often: u32) -> Lived {
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let dir = StudyDir::at(folder.path().join("study"));
        std::fs::create_dir(dir.root()).unwrap();
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let fate = Arc::new(Mutex::new(Fate {
            rng,
            often,
            dead: false,
            full: 0,
            unsynced: false,
            faults: BTreeMap::new(),
            synced: 0,
            skew: 0,
            disturbed_at: None,
            has_cut_power: false,
            leftovers: Vec::new(),
            broken: BTreeSet::new(),
            aside: ChaCha8Rng::seed_from_u64(seed ^ 0x5eed),
        }));
        self.create(&dir, &fate);
        requests::add_configuration(&dir);
        let mut acknowledged: Vec<Entry> = Vec::new();
        let now = Arc::new(AtomicI64::new(0));
        let ledger = SharedLedger::default();
        let has_power_cuts = often > 0 && has_power_cuts(seed);
        for life in 0..LIVES {
            // After 60 lives no more faults occur, so that every study ends.
            if life > 60 {
                fate.lock().unwrap().often = 0;
            }
            {
                // A user has freed a little disk space before the restart.
                let mut fate = fate.lock().unwrap();
                fate.dead = false;
                fate.unsynced = false;
                fate.full = fate.full.saturating_sub(1);
            }
            let earlier = has_power_cuts.then(|| disk::Earlier::now(&dir));
            let ended = self.life(&dir, &fate, &now, &ledger);
            disk::date_files(&dir, ledger.lock().unwrap().time());
            check(&dir, &mut acknowledged);
            check_lines(&dir, &fate, &ledger, !has_power_cuts);
            readings::compare_with_snapshot(&dir, &fate);
            if let Some(study) = ended {
                let again =
                    replay::replay(&dir, |_| Ok::<_, Infallible>(self.parts(&dir))).unwrap();
                assert_eq!(
                    (again.checked + again.given, again.differences),
                    (study.trials().len() as u64, vec![])
                );
                if requests::count_added(&study) != 1 {
                    let mut fate = fate.lock().unwrap();
                    fate.break_invariant("a configuration that was added is lost, or counts twice");
                }
                readings::disturb(self, &fate);
                match seed % 3 {
                    0 => readings::damage_and_salvage(self, &dir, &fate),
                    1 => readings::shorten(self, &dir, &fate),
                    _ => readings::begin_anew(self, &dir, &fate, &ledger),
                }
                let fate = fate.lock().unwrap();
                return Lived {
                    study,
                    faults: fate.faults.clone(),
                    broken: fate.broken.clone(),
                };
            }
            if let Some(earlier) = earlier
                && life <= 60
                && fate.lock().unwrap().aside.random_range(0..3) == 0
            {
                let synced = fate.lock().unwrap().synced;
                let kept = disk::cut_power(&dir, &earlier, synced, &fate);
                ledger.lock().unwrap().cut_power();
                disk::date_files(&dir, ledger.lock().unwrap().time());
                acknowledged.truncate(lines_within(&dir, kept));
                readings::compare_with_snapshot(&dir, &fate);
            }
        }
        panic!("the study did not end within {LIVES} lives");
    }

    /// Returns whether a trial has failed though neither its program nor its preparation does.
    fn has_failed_without_cause(&self, study: &Study) -> bool {
        let mut trials = study.trials().iter();
        trials.any(|trial| {
            trial.state == TrialState::Failed
                && !virtual_study::is_failing(trial.id)
                && !(self.is_prepared && preparations::is_failing(&trial.params))
        })
    }

    /// Creates the study without faults, so that there is one to which a configuration can be added.
    fn create(&self, dir: &StudyDir, fate: &Shared) {
        let clock: Clock = Box::new(|| Timestamp::from_micros(0));
        let driver = Driver::open(dir.clone(), self.parts(dir), &holder(), clock);
        drop(driver.unwrap());
        fate.lock().unwrap().synced = std::fs::metadata(dir.journal()).unwrap().len();
    }

    /// Runs one process until it ends or is killed. Returns the study if the run ended regularly.
    fn life(
        &self,
        dir: &StudyDir,
        fate: &Shared,
        now: &Arc<AtomicI64>,
        ledger: &SharedLedger,
    ) -> Option<Study> {
        let jump: i64 = match fate.lock().unwrap().rng.random_range(0..4) {
            0 => -3_600_000_000,
            1 => 86_400_000_000,
            _ => 0,
        };
        let started = Timestamp::from_micros((now.load(Relaxed) + jump).max(0));
        let inner = Simulated::new(self.slots, programs::script).starting_at(started);
        let (read, ticks, of_preparer) = (inner.clock(), inner.clock(), inner.clock());
        let last = Arc::clone(now);
        let of_clock = Arc::clone(fate);
        let clock: Clock = Box::new(move || {
            let skew = of_clock.lock().unwrap().skew;
            let micros = (read().as_micros() + skew).max(0);
            last.store(micros, Relaxed);
            Timestamp::from_micros(micros)
        });
        fate.lock().unwrap().skew = 0;
        let mut executor = Frail {
            dir: dir.clone(),
            inner,
            fate: Arc::clone(fate),
            started: Vec::new(),
            programs: Programs::new(dir, self.parts(dir).header, ledger),
            is_doomed: false,
            is_doomed_unread: false,
            polls: 0,
        };
        let (of_journal, of_disk) = (Arc::clone(fate), Arc::clone(fate));
        let (of_processes, of_programs) = (Arc::clone(fate), Arc::clone(ledger));
        let looks = AtomicU64::new(0);
        let machine = MachineAccess {
            medium: Box::new(move |file| {
                let synced = file.metadata().map_or(0, |about| about.len());
                Box::new(Faulty {
                    file,
                    fate: of_journal,
                    synced,
                })
            }),
            mark: Box::new(|file| Box::new(file)),
            end_leftovers: Box::new(move |below, _, _| {
                end_leftovers(below, &of_processes, &of_programs);
            }),
            ticks: Box::new(move || Duration::from_micros(ticks().as_micros().unsigned_abs())),
            disk_space: Box::new(move |_| {
                looks.fetch_add(1, Relaxed);
                let free = if of_disk.lock().unwrap().full > 0 {
                    0
                } else {
                    1 << 30
                };
                Some(DiskSpace {
                    free,
                    total: 1 << 30,
                })
            }),
        };
        let shown = Arc::new(Mutex::new(Vec::new()));
        let parts = self.parts(dir);
        let mut driver = match Driver::open_on(dir.clone(), parts, &holder(), clock, machine) {
            Ok(driver) => driver,
            Err(error) => return died(&error),
        };
        if self.is_prepared {
            let preparer = Preparer::new(dir, fate, of_preparer, self.slots);
            driver.prepare_with(Box::new(preparer));
            if !is_set_up(dir, fate) {
                return None;
            }
        }
        driver.listen(Box::new(Watch {
            dir: dir.clone(),
            fate: Arc::clone(fate),
            entries: Arc::clone(&shown),
        }));
        let mood = fate.lock().unwrap().aside.random();
        driver.listen(Box::new(moods::Moods::start(dir, fate, mood)));
        let ended = driver.run(&mut executor, &Interrupt::default());
        let study = driver.study().clone();
        drop(driver);
        if fate.lock().unwrap().disturbed_at.is_some() {
            let is_noticed = matches!(
                &ended,
                Err(DriverError::Journal(JournalError::Disturbed {
                    rescued: Some(_),
                    ..
                }))
            );
            if !is_noticed {
                let mut fate = fate.lock().unwrap();
                fate.break_invariant(
                    "a journal that others changed during the run was not noticed",
                );
            }
            return None;
        }
        let Frail {
            started, programs, ..
        } = executor;
        programs.die(fate);
        let has_leftovers = !fate.lock().unwrap().leftovers.is_empty();
        if ended.is_ok() && has_leftovers {
            let mut fate = fate.lock().unwrap();
            fate.break_invariant("a process outlived a run that has ended");
        }
        // Entries passed to listeners equal those in the journal.
        let written = entries(dir);
        assert!(
            shown.lock().unwrap().iter().all(|entry| {
                let written = written.get(entry.seq as usize);
                written.is_none_or(|written| written == entry)
            }),
            "a listener received an entry that differs from the journal's"
        );
        let are_recorded = started.iter().all(|attempt| is_started(&written, attempt));
        assert!(
            are_recorded || fate.lock().unwrap().unsynced,
            "an attempt was started that the journal does not contain"
        );
        match ended {
            // The next life goes on.
            Ok(Closing::Interrupted) => None,
            Ok(_) => Some(study),
            Err(error) => died(&error),
        }
    }
}

/// Runs the setup before the trials. Returns false if the orchestrator was killed meanwhile.
fn is_set_up(dir: &StudyDir, fate: &Shared) -> bool {
    let mut fate = fate.lock().unwrap();
    let folder = dir.root().to_owned();
    if fate.leftovers.iter().any(|left| left.folder == folder) {
        fate.break_invariant("two setups ran at the same time");
    }
    std::fs::write(dir.setup_log(), "output of the setup\n").unwrap();
    let is_killed = fate.often > 0 && fate.aside.random_range(0..20) == 0;
    if is_killed {
        fate.count("killed in the setup");
        let trial = None;
        fate.leave(Leftover { folder, trial });
    }
    !is_killed
}

fn world_of(seed: u64) -> &'static World {
    &WORLDS[usize::try_from(seed).unwrap() % WORLDS.len()]
}

/// Returns whether the power is cut in the study of a seed. Whatever was not synced may then be
/// lost, so fewer invariants hold. Each world has studies of both kinds.
fn has_power_cuts(seed: u64) -> bool {
    (seed / WORLDS.len() as u64).is_multiple_of(2)
}

/// Returns whether all trials of a study have ended.
fn has_ended(study: &Study) -> bool {
    let is_open = |state: &TrialState| matches!(state, TrialState::Waiting | TrialState::Running);
    let trials = study.trials();
    trials.len() as u64 == TRIALS && !trials.iter().any(|trial| is_open(&trial.state))
}

/// The end of a study that went through faults.
struct Lived {
    study: Study,
    /// The number of faults by kind.
    faults: BTreeMap<&'static str, u64>,
    /// The invariants that did not hold.
    broken: BTreeSet<&'static str>,
}

/// Compares the journal and the metric files with the lines that the programs wrote.
fn check_lines(dir: &StudyDir, fate: &Shared, ledger: &SharedLedger, is_exact: bool) {
    let entries = entries(dir);
    let study = readings::fold(&entries);
    for which in programs::check(dir, &entries, &study, ledger, is_exact) {
        fate.lock().unwrap().break_invariant(which);
    }
}

/// Returns the number of whole lines in the first `length` bytes of the journal.
fn lines_within(dir: &StudyDir, length: u64) -> usize {
    let bytes = std::fs::read(dir.journal()).unwrap();
    let kept = bytes.iter().take(length as usize);
    kept.filter(|byte| **byte == b'\n').count()
}

/// Returns whether the journal has the start of an attempt.
fn is_started(entries: &[Entry], started: &(TrialId, Attempt)) -> bool {
    entries.iter().any(|entry| match entry.event {
        Event::Started { trial, attempt, .. } => (trial, attempt) == *started,
        _ => false,
    })
}

/// Checks the invariants between two lives.
fn check(dir: &StudyDir, acknowledged: &mut Vec<Entry>) {
    let now = entries(dir);
    assert!(
        now.starts_with(acknowledged),
        "an acknowledged entry was lost"
    );
    if now.is_empty() {
        return;
    }
    let created: Vec<TrialId> = now
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Created { trial, .. } => Some(*trial),
            _ => None,
        })
        .collect();
    let dense = (1..=u32::try_from(created.len()).unwrap()).map(TrialId);
    assert!(
        created.iter().copied().eq(dense),
        "an id was used twice: {created:?}"
    );
    assert!(created.len() as u64 <= TRIALS, "{created:?}");
    let shown = journal::settled(dir).unwrap();
    assert_eq!(
        shown.running_count(),
        0,
        "a trial is shown as running, but no process runs it"
    );
    *acknowledged = now;
}

/// Returns the entries of the journal. Whatever happened, it must not contain a bad line.
fn entries(dir: &StudyDir) -> Vec<Entry> {
    Journal::open(dir)
        .unwrap()
        .map(|entry| entry.expect("no bad line"))
        .collect()
}

/// Returns `None` if a process was killed or the disk was full. Panics at any other error, which is
/// a bug of swath.
fn died(error: &DriverError) -> Option<Study> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text == "killed"
            || error
                .downcast_ref::<io::Error>()
                .is_some_and(swath::journal::is_full)
        {
            return None;
        }
        cause = error.source();
    }
    panic!("{error:?}")
}

/// Returns the seeds that the environment asks for: `SWATH_SEED=17` for one, `SWATH_SEEDS=5000` for
/// the first of them, `SWATH_SEEDS=1000..2000` for a part of a long form that runs in several
/// processes or goes on later.
fn seeds() -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a whole number");
    if let Ok(seed) = std::env::var("SWATH_SEED") {
        return vec![number(&seed)];
    }
    let range = std::env::var("SWATH_SEEDS").unwrap_or_else(|_| "36".to_owned());
    match range.split_once("..") {
        Some((from, to)) => (number(from)..number(to)).collect(),
        None => (0..number(&range)).collect(),
    }
}

/// The faults that happened, and the seeds by the invariant that they broke, so that one run shows
/// all kinds of defects.
#[derive(Default)]
struct Results {
    faults: BTreeMap<&'static str, u64>,
    broken: BTreeMap<String, Vec<u64>>,
}

impl Results {
    fn add(&mut self, seed: u64, lived: Result<Lived, String>) {
        match lived {
            Ok(lived) => {
                for (what, count) in lived.faults {
                    *self.faults.entry(what).or_default() += count;
                }
                for which in lived.broken {
                    self.broken.entry(which.to_owned()).or_default().push(seed);
                }
            }
            Err(text) => self.broken.entry(text).or_default().push(seed),
        }
    }
}

/// Lets a study live with faults, and compares its end with the one without. Returns the message of
/// a panic as the error.
fn live_with_faults(seed: u64, expected: &[TrialEnd], is_alone: bool) -> Result<Lived, String> {
    let often = 5 + u32::try_from(seed % 7).unwrap() * 10;
    let result = std::panic::catch_unwind(|| {
        let mut lived = world_of(seed).live(seed, often);
        let is_same = match has_power_cuts(seed) {
            // Reports of the last second may be lost, and with them the reason to stop a trial.
            true => has_ended(&lived.study),
            false => outcome(&lived.study) == *expected,
        };
        if world_of(seed).has_failed_without_cause(&lived.study) {
            lived
                .broken
                .insert("a trial failed that fails nowhere else");
        }
        if !is_same {
            lived
                .broken
                .insert("the study ended in another way than without faults");
            if is_alone {
                // A single seed is repeated to be looked at.
                assert_eq!(outcome(&lived.study), *expected);
            }
        }
        lived
    });
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        text.unwrap_or_default().chars().take(300).collect()
    })
}

/// The longest time that a seed may take. It takes some tenths of a second on a machine with nothing
/// else to do, and was seen to take 60 s on one with forty other things to do.
const DEADLINE: Duration = Duration::from_secs(300);

/// The progress of a thread: a seed that it begins, or one that has ended.
type Progress = (u64, Option<Result<Lived, String>>);

/// Lets the studies of all seeds live, one on each processor. `expected` has the end of each world without faults. A seed that misses its deadline ends
/// the test, whatever its thread waits for.
fn live_at_the_same_time(seeds: Vec<u64>, expected: Vec<Vec<TrialEnd>>) -> Results {
    let (count, is_alone) = (seeds.len(), seeds.len() == 1);
    let queue = Arc::new((seeds, expected, AtomicUsize::new(0)));
    let (sender, receiver) = mpsc::channel::<Progress>();
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().min(8));
    for _ in 0..threads {
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        // The thread is not joined: one that never ends must not keep the test from failing.
        std::thread::spawn(move || {
            let (seeds, expected, next) = &*queue;
            while let Some(seed) = seeds.get(next.fetch_add(1, Relaxed)) {
                let index = usize::try_from(*seed).unwrap() % WORLDS.len();
                let _ = sender.send((*seed, None));
                let lived = live_with_faults(*seed, &expected[index], is_alone);
                let _ = sender.send((*seed, Some(lived)));
            }
        });
    }
    let (mut results, mut ended) = (Results::default(), 0);
    let mut begun: BTreeMap<u64, Instant> = BTreeMap::new();
    while ended < count {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok((seed, None)) => drop(begun.insert(seed, Instant::now())),
            Ok((seed, Some(lived))) => {
                results.add(seed, lived);
                begun.remove(&seed);
                ended += 1;
                if ended % 100 == 0 {
                    say(&format!(
                        "{ended} of {count} studies, {} broken invariants\n",
                        results.broken.len()
                    ));
                }
            }
            Err(_) => {}
        }
        let overdue = begun.iter().filter(|(_, began)| began.elapsed() > DEADLINE);
        let overdue: Vec<u64> = overdue.map(|(seed, _)| *seed).collect();
        if !overdue.is_empty() {
            let text = format!("the study did not end within {} s", DEADLINE.as_secs());
            results.broken.insert(text, overdue);
            break;
        }
    }
    results
}

/// Writes to the standard error itself, which the test harness does not capture.
fn say(text: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
}

#[test]
fn every_study_with_faults_ends_as_it_does_without_faults() {
    let seeds = seeds();
    let without_faults: Vec<_> = WORLDS
        .iter()
        .map(|world| outcome(&world.live(0, 0).study))
        .collect();
    for trials in &without_faults {
        assert_eq!(trials.len() as u64, TRIALS, "{trials:?}");
    }
    let count = seeds.len();
    let results = live_at_the_same_time(seeds, without_faults);
    let Results { faults, mut broken } = results;
    broken.values_mut().for_each(|seeds| seeds.sort_unstable());
    let summary = format!("{count} studies: {faults:?}\n");
    say(&summary);
    let lines = broken.iter().map(|(which, seeds)| {
        let some: Vec<_> = seeds.iter().take(10).collect();
        format!("{} seeds: {which}: {some:?}\n", seeds.len())
    });
    let report: String = lines.collect();
    assert!(
        broken.is_empty(),
        "{report}once more: SWATH_SEED=17 cargo test --test engine simulator::"
    );
    if count >= 100 {
        assert!(faults.len() >= 15, "some faults never happened: {faults:?}");
    }
}
