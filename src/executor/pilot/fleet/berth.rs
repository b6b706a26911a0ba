//! One pilot as the orchestrator sees it.

use super::super::ledger::Note;
use super::super::lines::{Reader, Writer};
use super::super::wire::{Hello, Order};
use super::super::{PilotDir, pilot_name};
use crate::study::{Attempt, TrialId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The shortest time between two looks at a pilot's journal, right after it said something.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// How much later its journal is looked at that has left or was given up: only to count what it
/// says.
const LAST_LOOKS: Duration = Duration::from_secs(1);

type Key = (TrialId, Attempt);

/// A pilot, from its submission to its end.
pub(super) struct Berth {
    pub(super) batch: String,
    pub(super) index: u32,
    pub(super) restart: u32,
    /// Jobs in its batch.
    pub(super) count: u32,
    /// The id of its submission.
    pub(super) id: Option<String>,
    /// The batch system's own id of this job, once it was listed.
    pub(super) job: Option<String>,
    pub(super) reader: Reader,
    writer: Option<Writer>,
    orders: PathBuf,
    /// Why the orders could not be written.
    unwritten: Option<io::Error>,
    pub(super) hello: Option<Hello>,
    /// Whether this run submitted it.
    pub(super) fresh: bool,
    pub(super) seq: u64,
    pub(super) heard: Instant,
    pub(super) holds: BTreeMap<Key, Hold>,
    /// What earlier runs sent to it.
    pub(super) sent: BTreeSet<Key>,
    /// What was taken from it.
    pub(super) taken: BTreeSet<Key>,
    pub(super) given: u64,
    pub(super) full: bool,
    pub(super) gone: Option<String>,
    /// Why it left, if its job may be started again.
    pub(super) bye: Option<String>,
    /// How the batch system says its job ended, since when, and how many times in a row.
    pub(super) over: Option<(String, Instant, u32)>,
    /// Why its job waits.
    pub(super) waits: Option<String>,
    pub(super) complained: BTreeSet<&'static str>,
    pause: Duration,
    due: Instant,
}

/// An attempt that a pilot has.
pub(super) struct Hold {
    pub(super) slot: u32,
    /// So many of its records the study has already.
    pub(super) skip: u64,
    /// Whether the study knows where it runs.
    pub(super) placed: bool,
    /// When it was to be killed.
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
    /// A pilot that is about to be submitted.
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

    /// The lives of a pilot that an earlier run submitted: more than one if its job was started
    /// again.
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

    /// Returns whether its job was started again.
    pub(super) fn was_followed(&self, dir: &PilotDir) -> bool {
        dir.journal(&pilot_name(&self.batch, self.index, self.restart + 1))
            .exists()
    }

    /// A pilot that an earlier run submitted, with what it was sent.
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
        // A line that an earlier run left open was never an order.
        while let Ok(true) = orders.read(&mut |order: Order| {
            if let Order::Start(start) = order {
                sent.insert((start.trial, start.attempt));
            }
        }) {}
        self.given = self.sent.len() as u64;
    }

    /// The next life of a job that the batch system starts again.
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

    /// Returns the machine it runs on, once that is known.
    pub(super) fn host(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.place.host.as_str())
    }

    /// Returns ` (job 12_3)`, if that is known.
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

    /// Returns what to cancel it by.
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

    /// Adds an order to what is written at the next [`flush`](Self::flush).
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

    /// Returns when its journal is to be looked at again; `None` if that is not worth waking up
    /// for.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.gone.is_none().then_some(self.due)
    }

    /// Sets when the next look is due, after one that found something or not.
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
