//! The main loop of a pilot: takes orders from its file, runs them in the same pool as on one
//! machine, and writes the events to its journal.
//!
//! A pilot works on without its orchestrator: the trials it was given run to their end. It starts
//! no trial that cannot end within the remaining walltime, and asks running trials to end before
//! the walltime is over.

use super::job::{
    Berth, Commands, PilotError, Told, complain, deadline, lock, make_pool, read_spec,
};
use super::lines::{Reader, Writer};
use super::wire::{Assignment, Beat, Hello, Order, Said, Spec, Word};
use super::{PROTOCOL, PilotDir, pilot_name};
use crate::executor::{Executor, Pool, SignalKind, Stop, processes};
use crate::study::{Attempt, Exit, Failure, Timestamp, TrialId, Usage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Interval between two polls of the orders right after an event; each following interval is twice
/// as long.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// Time during which messages are collected before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// Delay before the end of a trial killed by a signal is reported. A batch system ends the
/// processes of a job in any order; if the pilot gets the signal too within this time, the trial
/// was interrupted.
const DOUBT: Duration = Duration::from_millis(400);

/// Runs a pilot until there is no more work for it; returns the reason why it left.
///
/// `guard` is the command line of the process that ends the trials if this process is killed.
///
/// # Errors
/// Fails if the files of the study cannot be used or the pool cannot be created.
pub fn run(berth: &Berth, guard: Option<Command>, told: &Told) -> Result<String, PilotError> {
    let mut pilot = Pilot::begin(berth, guard)?;
    loop {
        pilot.heed(told);
        pilot.look();
        if pilot.abandoned {
            // The pool must not be dropped, because that would write to the folders of the trials,
            // which now belong to other pilots. The guard sees the pipe close without a farewell
            // and kills the processes.
            std::mem::forget(pilot);
            return Ok("its trials were given to others".to_owned());
        }
        pilot.start_what_waits();
        pilot.work();
        pilot.beat();
        pilot.flush();
        if let Some(why) = pilot.reason_to_leave(told) {
            let told = told.end.load(Ordering::SeqCst) > 0;
            pilot.say(Word::Bye {
                why: why.clone(),
                told,
            });
            return pilot.leave(why);
        }
    }
}

struct Pilot {
    study: PathBuf,
    dir: PilotDir,
    spec: Spec,
    berth: Berth,
    pool: Pool,
    commands: Commands,
    free: BTreeSet<u32>,
    queue: VecDeque<Assignment>,
    running: BTreeMap<(TrialId, Attempt), Running>,
    taken: BTreeSet<(TrialId, Attempt)>,
    /// Ends that may turn out to be interruptions, with the time at which they are reported.
    doubted: Vec<(Instant, Word)>,
    /// Run times of the last trials that were done, in seconds; at most 100.
    durations: VecDeque<f64>,
    journal: Writer,
    journal_path: PathBuf,
    seq: u64,
    /// Messages about unusable slots that were already sent.
    told: BTreeSet<String>,
    /// Time since which the journal cannot be written.
    unwritable: Option<Instant>,
    written: Instant,
    orders: Reader,
    looked: Instant,
    pause: Duration,
    deadline: Option<Instant>,
    full: Option<String>,
    leaving: bool,
    abandoned: bool,
    ending: usize,
    idle_since: Instant,
    beaten: Instant,
    driver: Option<Beat>,
    driver_seen: Instant,
}

struct Running {
    slot: u32,
    begun: Instant,
}

impl Pilot {
    fn begin(berth: &Berth, guard: Option<Command>) -> Result<Self, PilotError> {
        let dir = PilotDir::of(&berth.study);
        let file = |path: PathBuf| move |source| PilotError::File { path, source };
        let (name, journal) = open_journal(&dir, berth)?;
        let journal_path = dir.journal(&name);
        let now = Instant::now();
        let commands = Commands::default();
        // A pilot that cannot work introduces itself with zero slots and leaves.
        let ready = read_spec(&dir, berth)
            .and_then(|spec| Ok((make_pool(&spec, Arc::clone(&commands), guard)?, spec)));
        let slots = ready.as_ref().map_or(0, |(_, spec)| spec.slots.max(1));
        let hello = Hello {
            protocol: PROTOCOL,
            swath: env!("CARGO_PKG_VERSION").to_owned(),
            place: berth.placed(processes::place(std::process::id())),
            slots,
        };
        let mut first = First { journal, seq: 0 };
        first.say(Word::Hello(hello));
        let (pool, spec) = match ready {
            Ok(both) => both,
            Err(error) => {
                first.say(Word::Bye {
                    why: error.to_string(),
                    told: false,
                });
                first.journal.flush().map_err(file(journal_path))?;
                return Err(error);
            }
        };
        let deadline = deadline(berth, &spec);
        Ok(Self {
            pool,
            study: berth.study.clone(),
            orders: Reader::new(dir.orders(&name)),
            dir,
            berth: berth.clone(),
            commands,
            free: (0..u32::try_from(slots).unwrap_or(u32::MAX)).collect(),
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            taken: BTreeSet::new(),
            doubted: Vec::new(),
            durations: VecDeque::new(),
            journal: first.journal,
            journal_path,
            seq: first.seq,
            told: BTreeSet::new(),
            unwritable: None,
            written: now,
            looked: now,
            pause: FIRST_LOOK,
            deadline: deadline.map(|left| now + left),
            full: None,
            leaving: false,
            abandoned: false,
            ending: 0,
            idle_since: now,
            beaten: now,
            driver: None,
            driver_seen: now,
            spec,
        })
    }

    /// Reacts to signals and to the approaching end of the walltime.
    fn heed(&mut self, told: &Told) {
        let asked = told.end.load(Ordering::SeqCst);
        if asked > self.ending {
            self.ending = asked;
            self.take_no_more("it was told to end by the batch system");
            // A second signal means that the batch system does not wait any longer.
            let how = if asked > 1 {
                Stop::Kill
            } else {
                Stop::Interrupt
            };
            self.stop_all(how);
            // The signal reached the trials too, so their ends were interruptions.
            for (_, word) in &mut self.doubted {
                if let Word::Ended { exit, .. } = word {
                    *exit = Exit::Interrupted;
                }
            }
        }
        // The walltime is not known here: SIGUSR1 means that the end is one margin away.
        if told.warned.load(Ordering::SeqCst) > 0 && self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.spec.margin);
        }
        if self.left().is_some_and(|left| left.is_zero()) && self.full.as_deref() != Some(WALLTIME)
        {
            self.take_no_more(WALLTIME);
            // Replaces an earlier reason, so that this branch runs once and the pilot leaves with
            // this reason.
            self.full = Some(WALLTIME.to_owned());
            self.stop_all(Stop::Interrupt);
        }
    }

    fn stop_all(&mut self, how: Stop) {
        for (trial, _) in self.running.keys() {
            self.pool.stop(*trial, how);
        }
    }

    /// Stops taking trials and returns those that have not started.
    fn take_no_more(&mut self, why: &str) {
        if self.full.is_none() {
            self.full = Some(why.to_owned());
            self.say(Word::Full {
                why: why.to_owned(),
            });
        }
        for back in std::mem::take(&mut self.queue) {
            self.say(Word::Returned {
                trial: back.trial,
                attempt: back.attempt,
            });
        }
    }

    /// Returns the time until trials are asked to end; `None` if the end of the job is not known.
    fn left(&self) -> Option<Duration> {
        Some(
            self.deadline?
                .saturating_duration_since(Instant::now())
                .saturating_sub(self.spec.margin),
        )
    }

    /// Reads new orders if a poll is due.
    fn look(&mut self) {
        if self.looked.elapsed() < self.pause {
            return;
        }
        let mut orders = Vec::new();
        let read = self.orders.read(&mut |order: Order| orders.push(order));
        self.looked = Instant::now();
        if orders.is_empty() {
            self.pause = (self.pause * 2).min(self.spec.look);
        } else {
            self.pause = FIRST_LOOK;
        }
        if let Err(error) = read {
            complain("its orders could not be read", &error);
        }
        orders.into_iter().for_each(|order| self.obey(order));
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Start(assignment) => {
                let key = (assignment.trial, assignment.attempt);
                // A duplicate order: a pilot runs an attempt at most once.
                if !self.taken.insert(key) {
                    return;
                }
                if self.full.is_some() {
                    self.say(Word::Returned {
                        trial: key.0,
                        attempt: key.1,
                    });
                } else {
                    self.queue.push_back(*assignment);
                }
            }
            Order::Stop {
                trial,
                attempt,
                how,
            } => {
                let queued = self
                    .queue
                    .iter()
                    .position(|one| (one.trial, one.attempt) == (trial, attempt));
                if let Some(at) = queued {
                    self.queue.remove(at);
                    let exit = Stop::from(how).exit();
                    self.say(Word::Ended {
                        trial,
                        attempt,
                        exit,
                        usage: Usage::default(),
                        seconds: 0.0,
                    });
                } else if self.running.contains_key(&(trial, attempt)) {
                    self.pool.stop(trial, how.into());
                }
            }
            Order::Leave => self.leaving = true,
            Order::Yield => self.take_no_more("one trial after the other failed at once there"),
            Order::Abandon => self.abandoned = true,
        }
    }

    fn start_what_waits(&mut self) {
        // While the journal cannot be written, the orchestrator would not learn of a start.
        while !self.queue.is_empty() && self.unwritable.is_none() {
            if let Some(why) = self.why_not() {
                self.take_no_more(&why);
                return;
            }
            let resting = self.pool.unusable();
            self.tell_of(&resting);
            let Some(slot) = self
                .free
                .iter()
                .find(|slot| !resting.contains_key(slot))
                .copied()
            else {
                return;
            };
            let Some(next) = self.queue.pop_front() else {
                return;
            };
            self.start(&next, slot);
        }
    }

    /// Reports slots that cannot be used because of resources held by their last trials. If no slot
    /// is usable and no trial runs, the pilot takes no more trials.
    fn tell_of(&mut self, resting: &BTreeMap<u32, String>) {
        let long: BTreeSet<&String> = resting.values().filter(|why| !why.is_empty()).collect();
        let new: Vec<String> = long
            .into_iter()
            .filter(|why| !self.told.contains(*why))
            .cloned()
            .collect();
        for text in new {
            self.told.insert(text.clone());
            self.say(Word::Note { text });
        }
        let stuck = |slot: &u32| resting.get(slot).is_some_and(|why| !why.is_empty());
        if self.running.is_empty() && !self.free.is_empty() && self.free.iter().all(stuck) {
            self.take_no_more("what its trials left holds all that it has");
        }
    }

    fn start(&mut self, next: &Assignment, slot: u32) {
        let key = (next.trial, next.attempt);
        let launch = next.launch(&self.study, slot);
        lock(&self.commands).insert(key, next.command.clone());
        if let Err(error) = self.pool.start(launch) {
            let exit = Exit::Failed(Failure::Spawn(error.to_string()));
            let usage = Usage::default();
            self.say(Word::Ended {
                trial: key.0,
                attempt: key.1,
                exit,
                usage,
                seconds: 0.0,
            });
            return;
        }
        self.free.remove(&slot);
        self.running.insert(
            key,
            Running {
                slot,
                begun: Instant::now(),
            },
        );
    }

    /// Returns the reason why no more trials may be started; `None` if they may.
    fn why_not(&self) -> Option<String> {
        let started = self.taken.len() - self.queue.len();
        if self
            .spec
            .trials_per_job
            .is_some_and(|most| started as u64 >= most)
        {
            return Some("it has run as many trials as `trials_per_job` says".to_owned());
        }
        let (left, expected) = (self.left()?, self.expected());
        (left.is_zero() || expected.is_some_and(|expected| expected > left))
            .then(|| WALLTIME.to_owned())
    }

    /// Returns the expected run time of a trial: the 90th percentile of the last ones, bounded by
    /// `trial_time`. Trials with checkpoints can continue in another job, so at most a tenth of the
    /// walltime is expected of them. `None` without a walltime, or with neither three finished
    /// trials nor a `trial_time`.
    fn expected(&self) -> Option<Duration> {
        let walltime = self.spec.walltime?;
        let most = walltime.saturating_sub(self.spec.margin);
        let limit = self.spec.program.trial_time.filter(|limit| *limit < most);
        let mut sorted: Vec<f64> = self.durations.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let seen = sorted
            .get(sorted.len() * 9 / 10)
            .filter(|_| sorted.len() >= 3);
        // Allow for a node that is busier than before.
        let seen = seen.map(|seconds| Duration::from_secs_f64(seconds * 1.1 + 1.0));
        let expected = match (seen, limit) {
            (Some(seen), Some(limit)) => Some(seen.min(limit)),
            (seen, limit) => seen.or(limit),
        };
        expected.map(|expected| {
            if self.spec.program.checkpoint {
                expected.min(walltime / 10)
            } else {
                expected
            }
        })
    }

    /// Handles the signals of the pool; waits for them until the next poll or write is due.
    fn work(&mut self) {
        let mut nap = self.pause.saturating_sub(self.looked.elapsed());
        if self.journal.is_dirty() {
            nap = nap.min(GATHER);
        }
        for signal in self.pool.wait(nap) {
            let (trial, attempt) = (signal.trial, signal.attempt);
            match signal.kind {
                SignalKind::Placed(place) => {
                    let place = self.berth.placed(place);
                    self.say(Word::Placed {
                        trial,
                        attempt,
                        place,
                    });
                }
                SignalKind::Logged(record) => self.say(Word::Logged {
                    trial,
                    attempt,
                    record,
                }),
                SignalKind::Asked(id) => self.say(Word::Asked { trial, attempt, id }),
                SignalKind::Ended(exit, usage) => self.ended(trial, attempt, exit, usage),
            }
        }
        let (due, doubted) = std::mem::take(&mut self.doubted)
            .into_iter()
            .partition(|(due, _)| *due <= Instant::now() || self.ending > 0);
        self.doubted = doubted;
        let due: Vec<(Instant, Word)> = due;
        due.into_iter().for_each(|(_, word)| self.say(word));
    }

    fn ended(&mut self, trial: TrialId, attempt: Attempt, exit: Exit, usage: Usage) {
        let Some(ran) = self.running.remove(&(trial, attempt)) else {
            return;
        };
        lock(&self.commands).remove(&(trial, attempt));
        self.free.insert(ran.slot);
        self.idle_since = Instant::now();
        self.pause = FIRST_LOOK;
        let seconds = ran.begun.elapsed().as_secs_f64();
        if exit == Exit::Done {
            self.durations.push_back(seconds);
            if self.durations.len() > 100 {
                self.durations.pop_front();
            }
        }
        // Sent before the end of the trial, so that the orchestrator orders no trial that could not
        // start.
        if self.full.is_none()
            && let Some(why) = self.why_not()
        {
            self.take_no_more(&why);
        }
        // Signals by which a batch system ends a job, directly or as the exit code of a shell.
        let by_signal = matches!(&exit, Exit::Failed(failure) if matches!(
            failure.ended(),
            Failure::Signal(1 | 2 | 9 | 15) | Failure::Code(129 | 130 | 137 | 143)
        ));
        let exit = if by_signal && self.ending > 0 {
            Exit::Interrupted
        } else {
            exit
        };
        let doubtful = by_signal && self.ending == 0;
        let word = Word::Ended {
            trial,
            attempt,
            exit,
            usage,
            seconds,
        };
        if doubtful {
            self.doubted.push((Instant::now() + DOUBT, word));
        } else {
            self.say(word);
        }
    }

    fn say(&mut self, word: Word) {
        self.seq += 1;
        let said = Said {
            seq: self.seq,
            at: Timestamp::now(),
            word,
        };
        // All messages can be serialised as JSON.
        self.journal.push(&said).ok();
    }

    /// Writes a heartbeat if it is due, and checks whether the orchestrator's heartbeat has
    /// changed.
    fn beat(&mut self) {
        if self.beaten.elapsed() < self.spec.beat {
            return;
        }
        self.beaten = Instant::now();
        self.say(Word::Beat {
            running: self.running.len(),
        });
        let found = std::fs::read(self.dir.driver()).ok();
        let found = found.and_then(|bytes| serde_json::from_slice::<Beat>(&bytes).ok());
        if found.is_some() && found != self.driver {
            self.driver = found;
            self.driver_seen = Instant::now();
        }
    }

    fn flush(&mut self) {
        if !self.journal.is_dirty() || self.written.elapsed() < GATHER {
            return;
        }
        self.written = Instant::now();
        match self.journal.flush() {
            Ok(()) => self.unwritable = None,
            Err(error) => {
                if self.unwritable.is_none() {
                    complain(
                        &format!(
                            "`{}` cannot be written; no trial is started until it can",
                            self.journal_path.display()
                        ),
                        &error,
                    );
                    self.unwritable = Some(Instant::now());
                }
            }
        }
    }

    fn reason_to_leave(&self, told: &Told) -> Option<String> {
        if self
            .unwritable
            .is_some_and(|since| since.elapsed() > self.spec.orphan)
        {
            return Some("its journal cannot be written".to_owned());
        }
        // Running trials, queued ones and withheld ends must be reported first.
        let busy = !self.running.is_empty() || !self.queue.is_empty() || !self.doubted.is_empty();
        if busy {
            return None;
        }
        if let Some(why) = &self.full {
            return Some(why.clone());
        }
        if told.end.load(Ordering::SeqCst) > 0 {
            return Some("it was told to end by the batch system".to_owned());
        }
        if self.leaving {
            return Some("there is no more work".to_owned());
        }
        // An orchestrator is away if it closed the study or missed several heartbeats.
        let away = self.driver.as_ref().is_some_and(|driver| driver.closed)
            || self.driver_seen.elapsed() > self.spec.beat * 3 + Duration::from_secs(60);
        let patience = if away {
            self.spec.orphan
        } else {
            self.spec.idle
        };
        (self.idle_since.elapsed() >= patience).then(|| {
            let whom = if away {
                "its orchestrator is away"
            } else {
                "there was no work"
            };
            format!("{whom} for {} s", patience.as_secs())
        })
    }

    /// Writes the last messages to disk, and drops the pool.
    fn leave(mut self, why: String) -> Result<String, PilotError> {
        let begun = Instant::now();
        loop {
            match self.journal.sync() {
                Ok(()) => return Ok(why),
                Err(source) if begun.elapsed() > Duration::from_secs(5) => {
                    return Err(PilotError::File {
                        path: self.journal_path.clone(),
                        source,
                    });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

/// Creates the journal of a pilot under the first free name. A batch system may restart a job
/// without counting the restarts.
fn open_journal(dir: &PilotDir, berth: &Berth) -> Result<(String, Writer), PilotError> {
    let mut life = 0;
    loop {
        let name = pilot_name(&berth.batch, berth.index, life);
        let path = dir.journal(&name);
        match Writer::create(path.clone()) {
            Ok(journal) => return Ok((name, journal)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => life += 1,
            Err(source) => return Err(PilotError::File { path, source }),
        }
    }
}

const WALLTIME: &str = "the walltime of its job is nearly over";

/// The journal before the pilot is ready.
struct First {
    journal: Writer,
    seq: u64,
}

impl First {
    fn say(&mut self, word: Word) {
        self.seq += 1;
        self.journal
            .push(&Said {
                seq: self.seq,
                at: Timestamp::now(),
                word,
            })
            .ok();
    }
}
