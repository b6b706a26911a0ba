//! A pilot at work: takes orders from its file, runs them in the same pool as anywhere, and writes
//! down what happens in its journal.
//!
//! It goes on without its orchestrator: what it was given is run to its end. It starts nothing that
//! cannot end in the time its job has left, and asks what runs to end before that time is over.

use super::job::{
    Berth, Commands, PilotError, Told, complain, deadline, lock, make_pool, read_spec,
};
use super::lines::{Reader, Writer};
use super::wire::{Assignment, Beat, Hello, Order, Said, Spec, Word};
use super::{PROTOCOL, PilotDir, pilot_name};
use crate::executor::{Executor, Pool, Stop, What, processes};
use crate::study::{Attempt, Exit, Failure, Timestamp, TrialId, Usage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The shortest time between two looks at the orders, right after something happened; each is twice
/// as long as the one before.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// How long what is to be written may gather.
const GATHER: Duration = Duration::from_millis(20);

/// A batch system ends the processes of a job in any order. A trial that a signal ended is reported
/// this much later: if the pilot gets the signal too, the trial was interrupted.
const DOUBT: Duration = Duration::from_millis(400);

/// Is a pilot, until there is nothing more to do for it; returns why it left.
///
/// `guard` is the command of the process that ends the trials if this one is killed.
///
/// # Errors
/// If the files of the study cannot be used, or the pool cannot be made.
pub fn run(berth: &Berth, guard: Option<Command>, told: &Told) -> Result<String, PilotError> {
    let mut pilot = Pilot::begin(berth, guard)?;
    loop {
        pilot.heed(told);
        pilot.look();
        if pilot.abandoned {
            // The guard sees that this process went without a word, and kills what runs. Nothing
            // more is written in the trials' folders.
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
    /// Ends that may have been interruptions, and when they are told.
    doubted: Vec<(Instant, Word)>,
    /// How long the last trials ran, in seconds.
    durations: VecDeque<f64>,
    journal: Writer,
    journal_path: PathBuf,
    seq: u64,
    /// What was said of slots that cannot be used.
    told: BTreeSet<String>,
    /// Since when the journal cannot be written.
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
        // No slots: it cannot work.
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

    /// Does what signals and the clock say.
    fn heed(&mut self, told: &Told) {
        let asked = told.end.load(Ordering::SeqCst);
        if asked > self.ending {
            self.ending = asked;
            self.take_no_more("it was told to end by the batch system");
            let how = if asked > 1 {
                Stop::Kill
            } else {
                Stop::Interrupt
            };
            self.stop_all(how);
            for (_, word) in &mut self.doubted {
                if let Word::Ended { exit, .. } = word {
                    *exit = Exit::Interrupted;
                }
            }
        }
        if told.warned.load(Ordering::SeqCst) > 0 && self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.spec.margin);
        }
        if self.left().is_some_and(|left| left.is_zero()) && self.full.as_deref() != Some(WALLTIME)
        {
            self.take_no_more(WALLTIME);
            // Said again for those that are full for another reason.
            self.full = Some(WALLTIME.to_owned());
            self.stop_all(Stop::Interrupt);
        }
    }

    fn stop_all(&mut self, how: Stop) {
        for (trial, _) in self.running.keys() {
            self.pool.stop(*trial, how);
        }
    }

    /// Takes no more trials, and gives back those that have not begun.
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

    /// Returns how much time trials have before they are asked to end, if that is known.
    fn left(&self) -> Option<Duration> {
        Some(
            self.deadline?
                .saturating_duration_since(Instant::now())
                .saturating_sub(self.spec.margin),
        )
    }

    /// Reads the orders, when it is time to.
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

    /// Says which slots cannot be used because of what their last trials left; without any other
    /// there is nothing to wait for.
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

    /// Says why nothing more may be started, if so.
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

    /// Returns how long a trial may be expected to take. One that goes on from a checkpoint need
    /// not end here.
    fn expected(&self) -> Option<Duration> {
        let walltime = self.spec.walltime?;
        let most = walltime.saturating_sub(self.spec.margin);
        let limit = self.spec.trial_time.filter(|limit| *limit < most);
        let mut sorted: Vec<f64> = self.durations.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let seen = sorted
            .get(sorted.len() * 9 / 10)
            .filter(|_| sorted.len() >= 3);
        // A little more, since a node may be busier than it was.
        let seen = seen.map(|seconds| Duration::from_secs_f64(seconds * 1.1 + 1.0));
        let expected = match (seen, limit) {
            (Some(seen), Some(limit)) => Some(seen.min(limit)),
            (seen, limit) => seen.or(limit),
        };
        expected.map(|expected| {
            if self.spec.checkpoint {
                expected.min(walltime / 10)
            } else {
                expected
            }
        })
    }

    /// Takes what the pool has to say, waiting for it until the next thing is due.
    fn work(&mut self) {
        let mut nap = self.pause.saturating_sub(self.looked.elapsed());
        if self.journal.is_dirty() {
            nap = nap.min(GATHER);
        }
        for signal in self.pool.wait(nap) {
            let (trial, attempt) = (signal.trial, signal.attempt);
            match signal.what {
                What::Placed(place) => {
                    let place = self.berth.placed(place);
                    self.say(Word::Placed {
                        trial,
                        attempt,
                        place,
                    });
                }
                What::Logged(record) => self.say(Word::Logged {
                    trial,
                    attempt,
                    record,
                }),
                What::Asked(id) => self.say(Word::Asked { trial, attempt, id }),
                What::Ended(exit, usage) => self.ended(trial, attempt, exit, usage),
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
        // Said before the end, so that nothing is sent meanwhile that could not begin.
        if self.full.is_none()
            && let Some(why) = self.why_not()
        {
            self.take_no_more(&why);
        }
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
        // Everything that is said can be written as JSON.
        self.journal.push(&said).ok();
    }

    /// Says now and then that it lives, and looks whether the orchestrator does.
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

    /// Writes the last words, and lets the pool go.
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

/// Opens the journal of a pilot under the first name that is free. Batch systems start jobs again,
/// and forget to count.
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

/// The journal before there is a pilot.
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
