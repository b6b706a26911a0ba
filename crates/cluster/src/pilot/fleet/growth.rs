//! Submission of pilots: when, how many, and how refusals of the batch system are handled.

use super::super::engine::{Job, SubmitError, Submitted};
use super::super::ledger::Note;
use super::super::script;
use super::super::wire::Order;
use super::super::works::Ask as Asked;
use super::presence::nonce;
use super::{Berth, ExecutorError, Fleet, Script, pilots_of, watch};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Number of failed launches in a row after which no more pilots are submitted.
const LAUNCHES: u32 = 3;

/// Time without any answer to submissions after which no more are tried.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Shortest and longest time before a submission is repeated.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// Resources that a job requests.
pub(super) struct Ask {
    pub(super) cpus: u32,
    pub(super) gpus: u32,
    pub(super) memory: Option<u64>,
}

/// The state of submissions.
pub(super) struct Growth {
    /// The batch whose submission has not been answered yet.
    in_flight: Option<String>,
    /// Batches whose submission has an unknown outcome, each with the number of lists that did not
    /// contain it and the error.
    pub(super) maybe: Vec<(String, u32, String)>,
    not_before: Option<Instant>,
    pause: Duration,
    most_at_once: Option<u32>,
    /// Bound on the jobs of one submission; halved when a limit of the site is reached.
    most: u32,
    failures: u32,
    /// Reason why no more pilots are submitted.
    pub(super) end: Option<String>,
    told: Option<String>,
    unanswered: Option<Instant>,
}

impl Growth {
    pub(super) fn new() -> Self {
        Self {
            in_flight: None,
            maybe: Vec::new(),
            not_before: None,
            pause: AGAIN,
            most_at_once: None,
            most: u32::MAX,
            failures: 0,
            end: None,
            told: None,
            unanswered: None,
        }
    }

    /// Records that a pilot has started; resets the count of failed launches.
    pub(super) fn launched(&mut self) {
        self.failures = 0;
    }

    fn wait_a_while(&mut self) {
        self.not_before = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(AGAIN_AT_MOST);
    }
}

impl Fleet {
    /// Submits pilots if there is work for them.
    pub(super) fn grow(&mut self, more: &dyn Fn() -> usize) -> Result<(), ExecutorError> {
        let present = self
            .pilots
            .iter()
            .filter(|pilot| pilot.gone.is_none())
            .count();
        // Running pilots go on without further ones; only without any pilot is this an error.
        if let Some(why) = &self.growth.end {
            return if present == 0 {
                Err(ExecutorError::Engine(why.clone()))
            } else {
                Ok(())
            };
        }
        let waits = self
            .growth
            .not_before
            .is_some_and(|due| Instant::now() < due);
        if self.growth.in_flight.is_some()
            || !self.growth.maybe.is_empty()
            || waits
            || self.finished
        {
            return Ok(());
        }
        let room = self.max_pilots.saturating_sub(present);
        if room == 0 || self.free() > 0 {
            return Ok(());
        }
        // The engine thread sends this number once, at its start; nothing is submitted before.
        if self.growth.most_at_once.is_none() {
            self.growth.most_at_once = self.works.most_at_once.try_recv().ok();
        }
        let Some(most_at_once) = self.growth.most_at_once else {
            return Ok(());
        };
        // Pilots in the queue will take part of the waiting trials when they start.
        let queued = self
            .pilots
            .iter()
            .filter(|pilot| pilot.gone.is_none() && pilot.hello.is_none())
            .count();
        let wanted = more()
            .saturating_sub(queued * self.spec.slots)
            .div_ceil(self.spec.slots.max(1));
        let count = room
            .min(wanted)
            .min(self.growth.most.min(most_at_once).max(1) as usize);
        if count == 0 {
            return Ok(());
        }
        self.submit(u32::try_from(count).unwrap_or(1))
            .map_err(|source| ExecutorError::Pilots { source })
    }

    /// Writes the settings, the script and the intent to disk, and then requests the submission.
    /// After a crash in between, the next run finds the batch in the ledger.
    fn submit(&mut self, count: u32) -> std::io::Result<()> {
        let plain: String = self
            .spec
            .study
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let batch = format!("swath-{}-{}", plain.get(..40).unwrap_or(&plain), nonce());
        let text = script::script(&Script {
            swath: &self.swath,
            called: &self.called,
            study: &self.study,
            batch: &batch,
            prelude: &self.prelude,
            index: self.index,
        });
        let path = self.dir.script(&batch);
        write_new(
            &self.dir.spec(&batch),
            &serde_json::to_vec_pretty(&self.spec)?,
            0o600,
        )?;
        write_new(&path, text.as_bytes(), 0o755)?;
        self.ledger.note(&Note::Intent {
            batch: batch.clone(),
            count,
        })?;
        let job = Job {
            name: batch.clone(),
            count,
            script: text,
            path,
            log: self.dir.log(&batch, "{index}").display().to_string(),
            cpus: self.job.cpus,
            gpus: self.job.gpus,
            memory: self.job.memory,
            walltime: self.spec.walltime,
            avoid: self.machines.avoided(),
            warning: self.spec.margin + Duration::from_secs(15),
        };
        for index in 0..count {
            self.pilots
                .push(Berth::new(&self.dir, &batch, index, count));
        }
        self.growth.in_flight = Some(batch);
        self.works.ask(Asked::Submit(Box::new(job)));
        Ok(())
    }

    /// Handles the result of a submission.
    pub(super) fn submitted(&mut self, batch: &str, result: Result<String, SubmitError>) {
        self.growth.in_flight = None;
        match result {
            Ok(id) => self.accepted(batch, &id),
            // The same request would be refused again.
            Err(SubmitError::Refused(words)) => {
                self.drop_batch(batch, &words);
                self.growth.end = Some(words.clone());
                self.news.push(format!("no more pilots: {words}"));
            }
            Err(SubmitError::Later(words)) => {
                // Try again later with half as many jobs, in case the limit is one of their number.
                let count = self.count_of(batch);
                self.drop_batch(batch, &words);
                self.growth.most = (count / 2).max(1);
                self.growth.wait_a_while();
                self.tell_once(format!(
                    "a limit of the site is reached; tried again later: {words}"
                ));
            }
            Err(SubmitError::Unreachable(words)) => {
                self.drop_batch(batch, &words);
                self.no_answer(words);
            }
            // The jobs may exist. Do not submit them again before a list has shown whether they do.
            Err(SubmitError::Maybe(words)) => {
                self.tell_once(format!(
                    "it is not known whether the pilots were submitted: {words}"
                ));
                self.growth.maybe.push((batch.to_owned(), 0, words));
                self.watch.hurry();
            }
        }
    }

    fn no_answer(&mut self, words: String) {
        self.growth.wait_a_while();
        let since = *self.growth.unanswered.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            self.growth.end = Some(words.clone());
        }
        self.tell_once(format!(
            "the batch system does not answer; tried again: {words}"
        ));
    }

    fn accepted(&mut self, batch: &str, id: &str) {
        let count = self.count_of(batch);
        for pilot in self.pilots.iter_mut().filter(|pilot| pilot.batch == batch) {
            pilot.id = Some(id.to_owned());
        }
        self.growth.pause = AGAIN;
        self.growth.unanswered = None;
        self.growth.told = None;
        self.news.push(format!(
            "submitted {} (job {id})",
            pilots_of(count as usize)
        ));
        let note = Note::Submitted {
            batch: batch.to_owned(),
            id: id.to_owned(),
        };
        if let Err(error) = self.ledger.note(&note) {
            self.news.push(format!(
                "`{}` could not be written: {error}",
                self.dir.ledger().display()
            ));
        }
        self.watch.soon();
    }

    fn count_of(&self, batch: &str) -> u32 {
        self.pilots
            .iter()
            .find(|pilot| pilot.batch == batch)
            .map_or(1, |pilot| pilot.count)
    }

    /// Removes a batch that was certainly not submitted, with its files.
    fn drop_batch(&mut self, batch: &str, why: &str) {
        self.pilots.retain(|pilot| pilot.batch != batch);
        let note = Note::Dropped {
            batch: batch.to_owned(),
            why: why.to_owned(),
        };
        if let Err(error) = self.ledger.note(&note) {
            self.news.push(format!(
                "`{}` could not be written: {error}",
                self.dir.ledger().display()
            ));
        }
        for path in [self.dir.spec(batch), self.dir.script(batch)] {
            std::fs::remove_file(path).ok();
        }
    }

    /// Looks in a list for the batches whose submission has an unknown outcome.
    pub(super) fn look_for_maybes(&mut self, seen: &[super::super::engine::Seen]) {
        for (batch, missed, words) in std::mem::take(&mut self.growth.maybe) {
            let id = seen
                .iter()
                .find(|seen| seen.batch == batch)
                .map(|seen| watch::submission(&seen.id));
            let alive = self
                .pilots
                .iter()
                .any(|pilot| pilot.batch == batch && pilot.hello.is_some());
            match id {
                Some(id) => self.accepted(&batch, &id),
                // A pilot of the batch has started, so the batch was submitted.
                None if alive => {}
                // A single list may be out of date; two in a row without the batch settle that it
                // was not submitted.
                None if missed >= 1 => {
                    self.drop_batch(&batch, "the batch system does not know it");
                    self.no_answer(words);
                }
                None => {
                    self.growth.maybe.push((batch, missed + 1, words));
                    self.watch.hurry();
                }
            }
        }
    }

    fn tell_once(&mut self, text: String) {
        if self.growth.told.as_ref() != Some(&text) {
            self.news.push(text.clone());
            self.growth.told = Some(text);
        }
    }

    /// Counts a job that ended before its pilot started.
    pub(super) fn failed_to_launch(&mut self, words: &str) {
        self.growth.failures += 1;
        self.growth.wait_a_while();
        self.news.push(words.to_owned());
        if self.growth.failures >= LAUNCHES {
            self.growth.end = Some(format!(
                "{LAUNCHES} pilots in a row came to nothing; the last: {words}"
            ));
        }
    }

    /// Dismisses all pilots. Running ones leave once they are idle; the jobs of waiting ones are
    /// cancelled.
    pub(super) fn dismiss(&mut self) {
        // The id of a submission under way is needed to cancel its jobs.
        let begun = Instant::now();
        let limit = Duration::from_secs(30);
        while self.growth.in_flight.is_some() && begun.elapsed() < limit {
            self.hear_the_engine();
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut cancelled = Vec::new();
        for at in 0..self.pilots.len() {
            self.look(at);
            let pilot = &mut self.pilots[at];
            if pilot.gone.is_some() {
                continue;
            }
            pilot.order(&Order::Leave);
            if pilot.hello.is_none() || pilot.bye.is_some() {
                cancelled.extend(pilot.cancel_id());
                self.give_up(at, "it was not needed any more");
            }
        }
        self.flush_orders();
        if !cancelled.is_empty() {
            self.works.ask(Asked::Cancel(cancelled));
        }
        // Pilots and a second orchestrator see from the `closed` mark that this orchestrator has
        // ended.
        self.presence.close(&self.dir);
        let patience = Duration::from_secs(5);
        let begun = Instant::now();
        while self.pilots.iter().any(|pilot| pilot.gone.is_none()) && begun.elapsed() < patience {
            for at in 0..self.pilots.len() {
                self.look(at);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.works.close(limit);
    }

    /// Returns the submissions of which pilots may still live or start.
    pub(super) fn batches(&self) -> Vec<Submitted> {
        let mut batches: Vec<Submitted> = Vec::new();
        for pilot in self.pilots.iter().filter(|pilot| pilot.gone.is_none()) {
            if batches.last().is_none_or(|last| last.name != pilot.batch) {
                batches.push(Submitted {
                    name: pilot.batch.clone(),
                    id: pilot.id.clone(),
                    count: pilot.count,
                });
            }
        }
        batches
    }
}

fn write_new(path: &std::path::Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
