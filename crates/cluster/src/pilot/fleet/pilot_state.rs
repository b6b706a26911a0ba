//! The state of one pilot in the orchestrator.

use super::super::ledger::LedgerLine;
use super::super::lines::{Reader, Writer};
use super::super::wire::{Hello, Order};
use super::super::{PilotDir, pilot_name};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use swath_model::study::{Attempt, Timestamp, TrialId};

/// Interval between two polls of a pilot's journal right after a message; it doubles while there is
/// none.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Interval between two polls of a pilot that has left or was given up. Its messages are only
/// counted.
const GONE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Time for a pilot to kill a trial as ordered, before its job is cancelled.
const KILL_TIMEOUT: Duration = Duration::from_secs(8);

type Key = (TrialId, Attempt);

/// A pilot, from its submission to its end.
pub(super) struct PilotState {
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
    order_error: Option<io::Error>,
    pub(super) hello: Option<Hello>,
    /// Whether this run submitted the pilot.
    pub(super) is_new: bool,
    pub(super) seq: u64,
    pub(super) last_message: Instant,
    /// Time of the last message by the pilot's own clock.
    pub(super) last_message_at: Option<Timestamp>,
    pub(super) assigned: BTreeMap<Key, AssignedAttempt>,
    /// Attempts that earlier runs ordered from this pilot.
    pub(super) earlier_orders: BTreeSet<Key>,
    /// Attempts that were taken from this pilot.
    pub(super) revoked: BTreeSet<Key>,
    pub(super) ordered: u64,
    pub(super) is_full: bool,
    pub(super) gone: Option<String>,
    /// Reason why the pilot left, if its job may be restarted.
    pub(super) farewell: Option<String>,
    /// End of its job as reported by the batch system: the description, the time of the first
    /// report, and the number of consecutive reports.
    pub(super) job_over: Option<(String, Instant, u32)>,
    /// Reason why its job waits in the queue.
    pub(super) queue_reason: Option<String>,
    /// Number of lists in a row that show the job as one that can never start.
    pub(super) blocked_lists: u32,
    pub(super) warned_of: BTreeSet<&'static str>,
    poll_interval: Duration,
    next_poll: Instant,
}

/// An attempt that a pilot was ordered to run.
pub(super) struct AssignedAttempt {
    pub(super) slot: u32,
    /// Number of its next records that are in the journal already and are to be skipped.
    pub(super) records_to_skip: u64,
    /// Whether the journal already has the place where it runs.
    pub(super) is_placed: bool,
    /// Its start by the pilot's own clock.
    pub(super) started_at: Option<Timestamp>,
    /// Time at which the pilot was told to kill it.
    pub(super) kill_ordered: Option<Instant>,
}

impl AssignedAttempt {
    /// Returns whether the pilot did not kill the attempt in time.
    pub(super) fn is_kill_overdue(&self) -> bool {
        self.kill_ordered
            .is_some_and(|since| since.elapsed() > KILL_TIMEOUT)
    }

    /// Returns the seconds that the attempt ran until this time by the pilot's clock.
    fn run_time(&self, until: Option<Timestamp>) -> f64 {
        until
            .zip(self.started_at)
            .map_or(0.0, |(until, started)| until.since(started).as_secs_f64())
    }

    pub(super) fn new(slot: u32) -> Self {
        Self {
            slot,
            records_to_skip: 0,
            is_placed: false,
            started_at: None,
            kill_ordered: None,
        }
    }
}

impl PilotState {
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
            order_error: None,
            hello: None,
            is_new: true,
            seq: 0,
            last_message: now,
            last_message_at: None,
            assigned: BTreeMap::new(),
            earlier_orders: BTreeSet::new(),
            revoked: BTreeSet::new(),
            ordered: 0,
            is_full: false,
            gone: None,
            farewell: None,
            job_over: None,
            queue_reason: None,
            blocked_lists: 0,
            warned_of: BTreeSet::new(),
            poll_interval: FIRST_POLL_INTERVAL,
            next_poll: now,
        }
    }

    /// Returns the lives of a pilot that an earlier run submitted. There are several if the batch
    /// system restarted its job.
    pub(super) fn restore_lives(
        dir: &PilotDir,
        batch: &str,
        index: u32,
        id: Option<&str>,
        count: u32,
    ) -> Vec<Self> {
        let mut lives = vec![Self::restore(dir, batch, index, id, count)];
        while let Some(next) = lives
            .last()
            .filter(|last| last.has_next_life(dir))
            .map(|last| last.next_life(dir))
        {
            let mut next = next;
            next.is_new = false;
            next.read_earlier_orders();
            lives.push(next);
        }
        lives
    }

    /// Returns whether the batch system restarted the pilot's job, that is, whether a later life
    /// has a journal.
    pub(super) fn has_next_life(&self, dir: &PilotDir) -> bool {
        dir.journal(&pilot_name(&self.batch, self.index, self.restart + 1))
            .exists()
    }

    /// Returns the state of a pilot that an earlier run submitted, with the attempts ordered from
    /// it.
    fn restore(dir: &PilotDir, batch: &str, index: u32, id: Option<&str>, count: u32) -> Self {
        let mut pilot = Self {
            is_new: false,
            ..Self::new(dir, batch, index, count)
        };
        pilot.id = id.map(str::to_owned);
        pilot.read_earlier_orders();
        pilot
    }

    fn read_earlier_orders(&mut self) {
        let mut orders = Reader::new(self.orders.clone());
        let earlier_orders = &mut self.earlier_orders;
        // An order torn by a crash was never given.
        while let Ok(true) = orders.read(&mut |order: Order| {
            if let Order::Start(start) = order {
                earlier_orders.insert((start.trial, start.attempt));
            }
        }) {}
        self.ordered = self.earlier_orders.len() as u64;
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
    pub(super) fn job_suffix(&self) -> String {
        let announced = self
            .hello
            .as_ref()
            .and_then(|hello| hello.place.job.clone());
        self.job
            .clone()
            .or(announced)
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

    pub(super) fn gone_line(&self, why: &str) -> LedgerLine {
        LedgerLine::Gone {
            batch: self.batch.clone(),
            index: self.index,
            why: why.to_owned(),
        }
    }

    /// Takes all its attempts from the pilot, and returns them with the seconds that each ran
    /// until the last message of the pilot.
    pub(super) fn revoke_assigned(&mut self) -> Vec<(Key, f64)> {
        let assigned = std::mem::take(&mut self.assigned);
        self.revoked.extend(assigned.keys());
        assigned
            .iter()
            .map(|(key, attempt)| (*key, attempt.run_time(self.last_message_at)))
            .collect()
    }

    /// Buffers an order until the next [`flush`](Self::flush).
    pub(super) fn order(&mut self, order: &Order) {
        if self.writer.is_none() {
            match Writer::resume(self.orders.clone()) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => self.order_error = Some(error),
            }
        }
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.push(order)
        {
            self.order_error = Some(error);
        }
        // An answer is likely soon: poll the journal at the shortest interval.
        self.poll_interval = FIRST_POLL_INTERVAL;
        self.next_poll = self.next_poll.min(Instant::now() + FIRST_POLL_INTERVAL);
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.order_error.take() {
            return Err(error);
        }
        self.writer.as_mut().map_or(Ok(()), Writer::flush)
    }

    pub(super) fn is_poll_due(&self, now: Instant) -> bool {
        now >= self.next_poll
    }

    /// Returns the time of the next poll of its journal; `None` for a pilot that is gone, which is
    /// worth no wake-up.
    pub(super) fn next_poll_time(&self) -> Option<Instant> {
        self.gone.is_none().then_some(self.next_poll)
    }

    /// Schedules the next poll: the shortest interval after a message, otherwise twice the last
    /// one, at most `most`.
    pub(super) fn schedule_poll(&mut self, has_messages: bool, longest: Duration) {
        self.poll_interval = if has_messages {
            FIRST_POLL_INTERVAL
        } else {
            (self.poll_interval * 2).min(longest)
        };
        if self.gone.is_some() {
            self.poll_interval = GONE_POLL_INTERVAL;
        }
        self.next_poll = Instant::now() + self.poll_interval;
    }
}
