//! The state of one pilot in the orchestrator.

use super::super::ledger::Note;
use super::super::lines::{Reader, Writer};
use super::super::wire::{Hello, Order};
use super::super::{PilotDir, pilot_name};
use crate::study::{Attempt, TrialId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Interval between two polls of a pilot's journal right after a message; it doubles while there is
/// none.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// Interval between two polls of a pilot that has left or was given up. Its messages are only
/// counted.
const LAST_LOOKS: Duration = Duration::from_secs(1);

type Key = (TrialId, Attempt);

/// A pilot, from its submission to its end.
pub(super) struct Berth {
    pub(super) batch: String,
    pub(super) index: u32,
    pub(super) restart: u32,
    /// Number of jobs in its batch.
    pub(super) count: u32,
    /// Id of its submission; `None` while it is not known.
    pub(super) id: Option<String>,
    /// Id of this job in the batch system; `None` before it was listed.
    pub(super) job: Option<String>,
    pub(super) reader: Reader,
    writer: Option<Writer>,
    orders: PathBuf,
    /// Error of the last order that could not be queued.
    unwritten: Option<io::Error>,
    pub(super) hello: Option<Hello>,
    /// Whether this run submitted the pilot.
    pub(super) fresh: bool,
    pub(super) seq: u64,
    pub(super) heard: Instant,
    pub(super) holds: BTreeMap<Key, Hold>,
    /// Attempts that earlier runs ordered from this pilot.
    pub(super) sent: BTreeSet<Key>,
    /// Attempts that were taken from this pilot.
    pub(super) taken: BTreeSet<Key>,
    pub(super) given: u64,
    pub(super) full: bool,
    pub(super) gone: Option<String>,
    /// Reason why the pilot left, if its job may be restarted.
    pub(super) bye: Option<String>,
    /// End of its job as reported by the batch system: the description, the time of the first
    /// report, and the number of consecutive reports.
    pub(super) over: Option<(String, Instant, u32)>,
    /// Reason why its job waits in the queue.
    pub(super) waits: Option<String>,
    pub(super) complained: BTreeSet<&'static str>,
    pause: Duration,
    due: Instant,
}

/// An attempt that a pilot was ordered to run.
pub(super) struct Hold {
    pub(super) slot: u32,
    /// Number of its next records that are in the journal already and are to be skipped.
    pub(super) skip: u64,
    /// Whether the journal already has the place where it runs.
    pub(super) placed: bool,
    /// Time at which the pilot was told to kill it.
    pub(super) killed: Option<Instant>,
}

impl Hold {
    pub(super) fn new(slot: u32) -> Self {
        Self {
            slot,
            skip: 0,
            placed: false,
            killed: None,
        }
    }
}

impl Berth {
    /// Returns the state of a pilot that is about to be submitted.
    pub(super) fn new(dir: &PilotDir, batch: &str, index: u32, count: u32) -> Self {
        let name = pilot_name(batch, index, 0);
        let now = Instant::now();
        Self {
            batch: batch.to_owned(),
            index,
            restart: 0,
            count,
            id: None,
            job: None,
            reader: Reader::new(dir.journal(&name)),
            writer: None,
            orders: dir.orders(&name),
            unwritten: None,
            hello: None,
            fresh: true,
            seq: 0,
            heard: now,
            holds: BTreeMap::new(),
            sent: BTreeSet::new(),
            taken: BTreeSet::new(),
            given: 0,
            full: false,
            gone: None,
            bye: None,
            over: None,
            waits: None,
            complained: BTreeSet::new(),
            pause: FIRST_LOOK,
            due: now,
        }
    }

    /// Returns the lives of a pilot that an earlier run submitted. There are several if the batch
    /// system restarted its job.
    pub(super) fn lives(
        dir: &PilotDir,
        batch: &str,
        index: u32,
        id: Option<&str>,
        count: u32,
    ) -> Vec<Self> {
        let mut lives = vec![Self::known(dir, batch, index, id, count)];
        while let Some(next) = lives
            .last()
            .filter(|last| last.was_followed(dir))
            .map(|last| last.next_life(dir))
        {
            let mut next = next;
            next.fresh = false;
            next.take_sent();
            lives.push(next);
        }
        lives
    }

    /// Returns whether the batch system restarted the pilot's job, that is, whether a later life
    /// has a journal.
    pub(super) fn was_followed(&self, dir: &PilotDir) -> bool {
        dir.journal(&pilot_name(&self.batch, self.index, self.restart + 1))
            .exists()
    }

    /// Returns the state of a pilot that an earlier run submitted, with the attempts ordered from
    /// it.
    fn known(dir: &PilotDir, batch: &str, index: u32, id: Option<&str>, count: u32) -> Self {
        let mut pilot = Self {
            fresh: false,
            ..Self::new(dir, batch, index, count)
        };
        pilot.id = id.map(str::to_owned);
        pilot.take_sent();
        pilot
    }

    fn take_sent(&mut self) {
        let mut orders = Reader::new(self.orders.clone());
        let sent = &mut self.sent;
        // An order torn by a crash was never given.
        while let Ok(true) = orders.read(&mut |order: Order| {
            if let Order::Start(start) = order {
                sent.insert((start.trial, start.attempt));
            }
        }) {}
        self.given = self.sent.len() as u64;
    }

    /// Returns the state of the next life of a job that the batch system restarts.
    pub(super) fn next_life(&self, dir: &PilotDir) -> Self {
        let name = pilot_name(&self.batch, self.index, self.restart + 1);
        Self {
            restart: self.restart + 1,
            id: self.id.clone(),
            job: self.job.clone(),
            reader: Reader::new(dir.journal(&name)),
            orders: dir.orders(&name),
            ..Self::new(dir, &self.batch, self.index, self.count)
        }
    }

    pub(super) fn name(&self) -> String {
        pilot_name(&self.batch, self.index, self.restart)
    }

    /// Returns the machine it runs on; `None` before its first message.
    pub(super) fn host(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.place.host.as_str())
    }

    /// Returns the job id in the form ` (job 12_3)`; empty if it is not known.
    pub(super) fn job_words(&self) -> String {
        let told = self
            .hello
            .as_ref()
            .and_then(|hello| hello.place.job.clone());
        self.job
            .clone()
            .or(told)
            .map_or_else(String::new, |job| format!(" (job {job})"))
    }

    /// Returns the id by which its job is cancelled. Without a listed job id, it is made of the
    /// submission and the index.
    pub(super) fn cancel_id(&self) -> Option<String> {
        self.job.clone().or_else(|| {
            let id = self.id.as_ref()?;
            Some(if self.count > 1 {
                format!("{id}_{}", self.index)
            } else {
                id.clone()
            })
        })
    }

    pub(super) fn gone_note(&self, why: &str) -> Note {
        Note::Gone {
            batch: self.batch.clone(),
            index: self.index,
            why: why.to_owned(),
        }
    }

    /// Buffers an order until the next [`flush`](Self::flush).
    pub(super) fn order(&mut self, order: &Order) {
        if self.writer.is_none() {
            match Writer::resume(self.orders.clone()) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => self.unwritten = Some(error),
            }
        }
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.push(order)
        {
            self.unwritten = Some(error);
        }
        // An answer is likely soon: poll the journal at the shortest interval.
        self.pause = FIRST_LOOK;
        self.due = self.due.min(Instant::now() + FIRST_LOOK);
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.unwritten.take() {
            return Err(error);
        }
        self.writer.as_mut().map_or(Ok(()), Writer::flush)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Returns the time of the next poll of its journal; `None` for a pilot that is gone, which is
    /// worth no wake-up.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.gone.is_none().then_some(self.due)
    }

    /// Schedules the next poll: the shortest interval after a message, otherwise twice the last
    /// one, at most `most`.
    pub(super) fn looked(&mut self, found: bool, most: Duration) {
        self.pause = if found {
            FIRST_LOOK
        } else {
            (self.pause * 2).min(most)
        };
        if self.gone.is_some() {
            self.pause = LAST_LOOKS;
        }
        self.due = Instant::now() + self.pause;
    }
}
