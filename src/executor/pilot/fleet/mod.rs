//! The orchestrator's end of the pilots: an executor whose slots are in jobs of a batch system.
//!
//! A trial belongs to one pilot as (trial, attempt): first the study's journal says that it starts, then the order is written. What a pilot
//! says of an attempt that was taken from it is dropped and counted. A pilot that is silent is given nothing; it is lost when the batch
//! system says that its job is over too, and then its trials wait again.

mod berth;
mod growth;
mod presence;
mod watch;

use super::engine::Engine;
use super::ledger::Ledger;
use super::options::Options;
use super::script::Script;
use super::wire::{Assignment, Order, Said, Spec, Word};
use super::works::Works;
use super::{PROTOCOL, PilotDir};
use crate::executor::{Argv, Executor, ExecutorError, Held, Launch, Signal, Stop, What, Work};
use crate::study::{Attempt, Exit, LogRecord, Timestamp, TrialId, Usage};
use berth::{Berth, Hold};
use growth::Growth;
use presence::Presence;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use watch::Watch;

/// How many signals [`Fleet::wait`] returns at most.
const SIGNALS_AT_ONCE: usize = 1024;

/// How long a pilot that was told to kill a trial has before its job is cancelled.
const KILLED_WITHIN: Duration = Duration::from_secs(8);

/// How long trials that end at once may wait in their pilot's queue, in seconds: they are given so many ahead that no slot waits for a look.
const AHEAD: f64 = 0.2;

/// A trial that fails before this without a report failed at once; after so many in a row the node is at fault, if others do well.
const AT_ONCE: f64 = 10.0;
const IN_A_ROW: u32 = 3;

/// How differently two clocks may go without a word.
const CLOCKS_APART: Duration = Duration::from_secs(120);

/// Runs trials in pilots.
pub(in crate::executor) struct Fleet {
    dir: PilotDir,
    study: PathBuf,
    called: PathBuf,
    argv: Argv,
    spec: Spec,
    prelude: Vec<String>,
    swath: String,
    /// What names a job's index.
    index: &'static [&'static str],
    /// Trials at a time in all.
    jobs: usize,
    max_pilots: usize,
    job: growth::Ask,
    works: Works,
    ledger: Ledger,
    pilots: Vec<Berth>,
    signals: VecDeque<Signal>,
    /// Ends of attempts whose pilot may live, and when they are told: by then it knows that they are not its own any more.
    delayed: Vec<(Instant, Signal)>,
    news: Vec<String>,
    growth: Growth,
    watch: Watch,
    presence: Presence,
    lease: Duration,
    /// Seconds that a trial takes, lately.
    mean: Option<f64>,
    /// Nodes on which trials fail at once.
    avoided: BTreeSet<String>,
    dropped: u64,
    finished: bool,
}

impl Fleet {
    /// Takes over the pilots of an earlier run, and starts none yet.
    pub(in crate::executor) fn open(
        engine: Box<dyn Engine>,
        options: &Options,
        index: &'static [&'static str],
        work: Work,
    ) -> Result<Self, ExecutorError> {
        let files = |source| ExecutorError::Pilots { source };
        let study = std::path::absolute(&work.dir).map_err(files)?;
        let dir = PilotDir::of(&study);
        std::fs::create_dir_all(dir.root()).map_err(files)?;
        let swath = options.swath.clone().or_else(|| {
            let own = work.program.guard.as_ref()?.get_program();
            Some(own.to_string_lossy().into_owned())
        });
        let swath = swath.ok_or(ExecutorError::NoProgram)?;
        let slots = options.slots_per_job(&work.share).min(work.slots);
        let max_pilots = work.slots.div_ceil(slots.max(1));
        let lease = options.lease.unwrap_or(Duration::from_secs(120));
        let spec = spec(&work, options, slots, lease, max_pilots)?;
        let presence = Presence::take(&dir, spec.beat)?;
        let (ledger, known) = Ledger::open(&dir).map_err(files)?;
        let (cpus, gpus, memory) = options.of_job(&work.share, slots);
        let mut pilots = Vec::new();
        for (batch, known) in known.batches {
            for index in (0..known.count).filter(|index| !known.gone.contains(index)) {
                pilots.push(Berth::known(&dir, &batch, index, known.id.as_deref(), known.count));
            }
        }
        let mut fleet = Self {
            job: growth::Ask { cpus, gpus, memory },
            works: Works::start(engine).map_err(files)?,
            study,
            called: work.called,
            argv: work.program.argv,
            prelude: options.prelude.clone(),
            swath,
            index,
            jobs: work.slots,
            max_pilots,
            ledger,
            signals: VecDeque::new(),
            delayed: Vec::new(),
            news: Vec::new(),
            growth: Growth::new(),
            watch: Watch::new(options.poll.unwrap_or(Duration::from_secs(25))),
            presence,
            lease,
            mean: None,
            avoided: BTreeSet::new(),
            dropped: 0,
            finished: false,
            dir,
            spec,
            pilots,
        };
        if !fleet.pilots.is_empty() {
            let count = fleet.pilots.len();
            fleet.news.push(format!("looks for {} of an earlier run", pilots_of(count)));
            fleet.watch.hurry();
        }
        Ok(fleet)
    }

    /// Returns how many trials may wait in a pilot beyond its slots. None where there is one slot in all: what is proposed next may depend on
    /// how the one before ends.
    fn ahead(&self) -> usize {
        let slots = self.spec.slots;
        match self.mean {
            Some(mean) if self.jobs > 1 && mean < 1.0 => {
                let wanted = (slots as f64 * AHEAD / mean.max(0.002)).ceil() as usize;
                wanted.min(8 * slots)
            }
            _ => 0,
        }
    }

    /// Returns how many more trials a pilot can be given.
    fn room(&self, pilot: &Berth, ahead: usize) -> usize {
        let takes = pilot.hello.is_some() && pilot.gone.is_none() && !pilot.full && !self.is_suspect(pilot);
        if !takes {
            return 0;
        }
        let quota = self.spec.trials_per_job.map_or(usize::MAX, |most| {
            usize::try_from(most.saturating_sub(pilot.given)).unwrap_or(usize::MAX)
        });
        (self.spec.slots + ahead).saturating_sub(pilot.holds.len()).min(quota)
    }

    fn is_suspect(&self, pilot: &Berth) -> bool {
        pilot.over.is_some() || pilot.heard.elapsed() > self.lease
    }

    /// Returns how many more trials can be given now.
    fn free(&self) -> usize {
        let ahead = self.ahead();
        let room: usize = self.pilots.iter().map(|pilot| self.room(pilot, ahead)).sum();
        let held: usize = self.pilots.iter().map(|pilot| pilot.holds.len()).sum();
        let most = self.jobs + ahead * self.pilots.iter().filter(|pilot| pilot.gone.is_none()).count();
        room.min(most.saturating_sub(held))
    }

    fn send(&mut self, trial: TrialId, attempt: Attempt, what: What) {
        self.signals.push_back(Signal { trial, attempt, at: Timestamp::now(), what });
    }

    /// Reads what pilot `at` has said since the last look.
    fn look(&mut self, at: usize) {
        let most = Duration::from_millis(2 * self.pilots.len() as u64)
            .clamp(Duration::from_millis(500), Duration::from_secs(2));
        let Some(pilot) = self.pilots.get_mut(at) else { return };
        let mut said: Vec<Said> = Vec::new();
        let read = pilot.reader.read(&mut |line| said.push(line));
        pilot.looked(!said.is_empty(), most);
        if let Err(error) = read {
            let text = format!("the journal of pilot {} could not be read: {error}", pilot.name());
            if pilot.complained.insert("read") {
                self.news.push(text);
            }
        }
        for line in said {
            self.heard(at, line);
        }
    }

    fn heard(&mut self, at: usize, said: Said) {
        let Some(pilot) = self.pilots.get_mut(at) else { return };
        if said.seq <= pilot.seq {
            return;
        }
        if said.seq != pilot.seq + 1 && pilot.complained.insert("gap") {
            self.news.push(format!("some lines in the journal of pilot {} were lost", pilot.name()));
        }
        pilot.seq = said.seq;
        pilot.heard = Instant::now();
        match said.word {
            Word::Hello(hello) => {
                let apart = Timestamp::now().since(said.at).max(said.at.since(Timestamp::now()));
                let host = hello.place.host.clone();
                let fresh = pilot.fresh;
                if fresh && apart > CLOCKS_APART {
                    self.news.push(format!(
                        "the clock of {host} and this machine's are {} s apart, or its files show late",
                        apart.as_secs()
                    ));
                }
                if hello.protocol == PROTOCOL && hello.swath != self.spec.swath {
                    self.news.push(format!("{host} has swath {}, this is {}", hello.swath, self.spec.swath));
                }
                let slots = slots_of(hello.slots);
                pilot.hello = Some(hello);
                if fresh {
                    self.news.push(format!("a pilot runs on {host}{}, {slots}", pilot.job_words()));
                }
                self.growth.launched();
            }
            Word::Beat { .. } => {}
            Word::Full { .. } => pilot.full = true,
            Word::Placed { trial, attempt, place } => {
                let Some(hold) = pilot.holds.get_mut(&(trial, attempt)) else { return };
                if !std::mem::replace(&mut hold.placed, true) {
                    self.send(trial, attempt, What::Placed(place));
                }
            }
            Word::Logged { trial, attempt, record } => match pilot.holds.get_mut(&(trial, attempt)) {
                Some(hold) if hold.skip > 0 => hold.skip -= 1,
                Some(hold) => {
                    hold.spoke |= matches!(record, LogRecord::Report { .. });
                    self.send(trial, attempt, What::Logged(record));
                }
                None => self.dropped += u64::from(pilot.taken.contains(&(trial, attempt))),
            },
            Word::Asked { trial, attempt, id } => {
                if pilot.holds.contains_key(&(trial, attempt)) {
                    self.send(trial, attempt, What::Asked(id));
                }
            }
            Word::Ended { trial, attempt, exit, usage, seconds } => {
                let Some(hold) = pilot.holds.remove(&(trial, attempt)) else {
                    self.dropped += u64::from(pilot.taken.contains(&(trial, attempt)));
                    return;
                };
                let at_once = matches!(exit, Exit::Failed(_)) && seconds < AT_ONCE && !hold.spoke;
                match (&exit, at_once) {
                    (_, true) => pilot.row += 1,
                    (Exit::Done | Exit::Paused | Exit::Stopped, _) => (pilot.row, pilot.well) = (0, true),
                    _ => {}
                }
                if matches!(exit, Exit::Done | Exit::Failed(_)) {
                    self.mean = Some(self.mean.map_or(seconds, |mean| 0.9 * mean + 0.1 * seconds));
                }
                self.send(trial, attempt, What::Ended(exit, usage));
                self.avoid_if_bad(at);
            }
            Word::Returned { trial, attempt } => {
                if pilot.holds.remove(&(trial, attempt)).is_some() {
                    self.send(trial, attempt, What::Ended(Exit::Interrupted, Usage::default()));
                }
            }
            Word::Bye { why } => self.left(at, &why),
        }
    }

    /// Takes leave of a pilot that said so itself.
    fn left(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else { return };
        if pilot.gone.is_some() {
            return;
        }
        let never_worked = pilot.hello.as_ref().is_some_and(|hello| hello.slots == 0);
        let (name, job) = (pilot.name(), pilot.job_words());
        self.give_up(at, why);
        if never_worked {
            self.failed_to_launch(&format!("pilot {name}{job} left at once: {why}"));
        } else if !self.finished {
            self.news.push(format!("a pilot left{job}: {why}"));
        }
    }

    /// Gives no more trials to a node on which one after the other fails at once, while others do well.
    fn avoid_if_bad(&mut self, at: usize) {
        let Some(pilot) = self.pilots.get(at) else { return };
        let host = |pilot: &Berth| pilot.hello.as_ref().map(|hello| hello.place.host.clone());
        let Some(here) = host(pilot) else { return };
        let others =
            self.pilots.iter().any(|other| other.well && host(other).is_some_and(|host| host != here));
        if pilot.row < IN_A_ROW || !others || self.avoided.contains(&here) {
            return;
        }
        self.news.push(format!(
            "{IN_A_ROW} trials in a row failed at once on {here}, and not elsewhere: it is given no more, and later jobs leave it out"
        ));
        for pilot in self.pilots.iter_mut().filter(|pilot| host(pilot).as_ref() == Some(&here)) {
            pilot.full = true;
            pilot.order(&self.dir, &Order::Leave);
        }
        self.avoided.insert(here);
    }

    /// Notes that nothing more will come of a pilot. What it still holds is lost.
    fn give_up(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else { return };
        if pilot.gone.is_some() {
            return;
        }
        pilot.gone = Some(why.to_owned());
        let held: Vec<_> = std::mem::take(&mut pilot.holds).into_keys().collect();
        pilot.taken.extend(&held);
        let lives = pilot.heard.elapsed() < self.lease;
        let note = pilot.gone_note(why);
        if let Err(error) = self.ledger.note(&note) {
            self.news.push(format!("`{}` could not be written: {error}", self.dir.ledger().display()));
        }
        for (trial, attempt) in held {
            let what = What::Ended(Exit::Lost, Usage::default());
            let signal = Signal { trial, attempt, at: Timestamp::now(), what };
            if lives {
                self.delayed.push((Instant::now() + self.spec.look * 3, signal));
            } else {
                self.signals.push_back(signal);
            }
        }
    }

    /// Gives up a pilot that did not say good-bye, and tells it, should it live.
    fn lose(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else { return };
        let count = pilot.holds.len();
        let what = match count {
            0 => String::new(),
            1 => "; its trial runs again".to_owned(),
            _ => format!("; its {count} trials run again"),
        };
        self.news.push(format!("a pilot is lost{}: {why}{what}", pilot.job_words()));
        pilot.order(&self.dir, &Order::Abandon);
        self.give_up(at, why);
    }

    fn flush_orders(&mut self) {
        for pilot in &mut self.pilots {
            if let Err(error) = pilot.flush()
                && pilot.complained.insert("orders")
            {
                self.news.push(format!("the orders to pilot {} could not be written: {error}", pilot.name()));
            }
        }
    }

    /// Cancels the job of a pilot that does not kill what it was told to kill.
    fn press(&mut self) {
        let late = |hold: &Hold| hold.killed.is_some_and(|since| since.elapsed() > KILLED_WITHIN);
        for at in 0..self.pilots.len() {
            let pilot = &self.pilots[at];
            if pilot.gone.is_none() && pilot.holds.values().any(late) {
                let ids = pilot.cancel_id();
                self.works.ask(super::works::Ask::Cancel(ids.into_iter().collect()));
                self.lose(at, "it does not answer, and its job was cancelled");
            }
        }
    }
}

impl Executor for Fleet {
    fn slots(&self) -> usize {
        let mut free = self.free();
        let used: BTreeSet<u32> =
            self.pilots.iter().flat_map(|pilot| pilot.holds.values().map(|hold| hold.slot)).collect();
        // The driver starts trials in the lowest numbers that are not in use: so many numbers that this many of them are free.
        let mut slots = 0;
        while free > 0 || used.contains(&slots) {
            free -= usize::from(!used.contains(&slots));
            slots += 1;
        }
        slots as usize
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let command = (self.argv)(&launch);
        let key = (launch.trial, launch.attempt);
        let (slots, ahead) = (self.spec.slots, self.ahead());
        let idle = |at: &usize| slots as i64 - self.pilots[*at].holds.len() as i64;
        let best =
            (0..self.pilots.len()).filter(|at| self.room(&self.pilots[*at], ahead) > 0).max_by_key(idle);
        let Some(pilot) = best.and_then(|at| self.pilots.get_mut(at)) else {
            // It left since it was counted: as if it had said so.
            self.send(key.0, key.1, What::Ended(Exit::Interrupted, Usage::default()));
            return Ok(());
        };
        pilot.given += 1;
        pilot.holds.insert(key, Hold::new(launch.slot));
        pilot.order(&self.dir, &Order::Start(Box::new(Assignment::of(&launch, command))));
        Ok(())
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        for pilot in &mut self.pilots {
            let Some((key, hold)) = pilot.holds.iter_mut().find(|((held, _), _)| *held == trial) else {
                continue;
            };
            let attempt = key.1;
            if how == Stop::Kill {
                hold.killed.get_or_insert_with(Instant::now);
            }
            pilot.order(&self.dir, &Order::Stop { trial, attempt, how: how.into() });
        }
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        let begun = Instant::now();
        self.flush_orders();
        loop {
            self.hear_the_engine();
            self.press();
            self.flush_orders();
            let now = Instant::now();
            let (due, later) =
                std::mem::take(&mut self.delayed).into_iter().partition(|(due, _)| *due <= now);
            self.delayed = later;
            let due: Vec<(Instant, Signal)> = due;
            self.signals.extend(due.into_iter().map(|(_, signal)| signal));
            for at in 0..self.pilots.len() {
                if self.pilots[at].is_due(now) {
                    self.look(at);
                }
            }
            if !self.signals.is_empty() {
                let count = self.signals.len().min(SIGNALS_AT_ONCE);
                return self.signals.drain(..count).collect();
            }
            let left = at_most.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Vec::new();
            }
            let next = self.pilots.iter().filter_map(Berth::next_look).min();
            let nap = next.map_or(left, |next| next.saturating_duration_since(Instant::now()).min(left));
            std::thread::sleep(nap.clamp(Duration::from_millis(1), Duration::from_millis(50)));
        }
    }

    fn adopt(&mut self, held: Vec<Held>) -> Vec<(TrialId, Attempt)> {
        let mut lost = Vec::new();
        for Held { trial, attempt, slot, heard, placed } in held {
            let key = (trial, attempt);
            match self.pilots.iter_mut().find(|pilot| pilot.sent.contains(&key)) {
                Some(pilot) => {
                    pilot.holds.insert(key, Hold { skip: heard, placed, ..Hold::new(slot) });
                }
                None => lost.push(key),
            }
        }
        lost
    }

    fn plan(&mut self, more: &dyn Fn() -> usize) -> Result<(), ExecutorError> {
        self.presence.beat(&self.dir)?;
        self.grow(more)
    }

    fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    fn finish(&mut self) {
        self.finished = true;
        if self.dropped > 0 {
            self.news.push(format!(
                "{} reports and ends of attempts that had been given to other pilots were dropped",
                self.dropped
            ));
        }
        self.dismiss();
    }
}

/// Returns what pilots are told of the sweep.
fn spec(
    work: &Work,
    options: &Options,
    slots: usize,
    lease: Duration,
    pilots: usize,
) -> Result<Spec, ExecutorError> {
    let workdir =
        std::path::absolute(&work.program.workdir).map_err(|source| ExecutorError::Pilots { source })?;
    let beat = (lease / 4).clamp(Duration::from_millis(250), Duration::from_secs(10));
    Ok(Spec {
        protocol: PROTOCOL,
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        study: work.study.name.clone(),
        pipeline: work.study.pipeline.clone(),
        stage: work.study.stage.clone(),
        workdir,
        data_dir: work.study.data_dir.clone(),
        env: work.program.env.clone(),
        trial_time: work.program.trial_time,
        grace: work.program.grace,
        log: work.program.log,
        capture: work
            .program
            .capture
            .iter()
            .map(|(name, pattern)| (name.clone(), pattern.as_str().to_owned()))
            .collect(),
        checkpoint: work.program.checkpoint,
        slots,
        trials_per_job: options.trials_per_job,
        walltime: options.walltime,
        margin: margin(work.program.grace, options.walltime),
        idle: options.idle.unwrap_or(Duration::from_secs(60)),
        orphan: options.orphan.unwrap_or(Duration::from_secs(15 * 60)),
        beat,
        look: Duration::from_millis(2 * pilots as u64)
            .clamp(Duration::from_millis(500), Duration::from_secs(2)),
    })
}

/// Returns how long before the end of its job a trial is asked to end: its grace and a little more, at most half of the walltime.
fn margin(grace: Duration, walltime: Option<Duration>) -> Duration {
    let margin = grace + Duration::from_secs(5);
    walltime.map_or(margin, |walltime| margin.min(walltime / 2))
}

fn pilots_of(count: usize) -> String {
    if count == 1 { "1 pilot".to_owned() } else { format!("{count} pilots") }
}

fn slots_of(count: usize) -> String {
    if count == 1 { "1 slot".to_owned() } else { format!("{count} slots") }
}
