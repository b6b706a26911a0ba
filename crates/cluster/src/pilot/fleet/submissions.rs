//! Submission of pilots: when, how many, and how refusals of the batch system are handled.

use super::super::engine::{Job, SubmitError, Submitted};
use super::super::engine_thread::Request;
use super::super::environment;
use super::super::ledger::LedgerLine;
use super::super::script;
use super::super::wire::Order;
use super::heartbeat::nonce;
use super::{ExecutorError, Fleet, PilotState, Script, pilots_of, polling};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};
use swath_engine::journal::{self, StudyDir};
use swath_model::source::units::{Bytes, HumanDuration};
use swath_model::source::variables;

/// Number of failed launches in a row after which no more pilots are submitted.
const MAX_FAILED_LAUNCHES: u32 = 3;

/// Time without any answer to submissions after which no more are tried.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Shortest and longest time before a submission is repeated.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Resources that a job requests.
pub(super) struct JobResources {
    pub(super) cpus: u32,
    pub(super) gpus: u32,
    pub(super) memory: Option<u64>,
}

impl JobResources {
    /// Returns the request in words: `4 cores, 1 GPU, 8 GiB of memory, 2h`.
    pub(super) fn describe(&self, walltime: Option<Duration>) -> String {
        let cores = counted(self.cpus, "core");
        let gpus = (self.gpus > 0).then(|| counted(self.gpus, "GPU"));
        let memory = self
            .memory
            .map(|bytes| format!("{} of memory", Bytes(bytes)));
        let walltime = walltime.map(|walltime| HumanDuration(walltime).to_string());
        let parts = [Some(cores), gpus, memory, walltime];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn counted(count: u32, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// The state of submissions.
pub(super) struct Submissions {
    /// The batch whose submission has not been answered yet.
    in_flight: Option<String>,
    /// Batches whose submission has an unknown outcome, each with the number of lists that did not
    /// contain it and the error.
    pub(super) unknown: Vec<(String, u32, String)>,
    not_before: Option<Instant>,
    backoff: Duration,
    max_array_size: Option<u32>,
    /// Bound on the jobs of one submission; halved when a limit of the site is reached.
    max_jobs: u32,
    failed_launches: u32,
    /// Reason why no more pilots are submitted.
    pub(super) stop_reason: Option<String>,
    last_report: Option<String>,
    unanswered_since: Option<Instant>,
}

impl Submissions {
    pub(super) fn new() -> Self {
        Self {
            in_flight: None,
            unknown: Vec::new(),
            not_before: None,
            backoff: FIRST_BACKOFF,
            max_array_size: None,
            max_jobs: u32::MAX,
            failed_launches: 0,
            stop_reason: None,
            last_report: None,
            unanswered_since: None,
        }
    }

    /// Records that a pilot has started; resets the count of failed launches.
    pub(super) fn reset_failures(&mut self) {
        self.failed_launches = 0;
    }

    /// Delays the next submission, each time by twice as long.
    fn back_off(&mut self) {
        self.not_before = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
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
        if let Some(why) = &self.submissions.stop_reason {
            return if present == 0 {
                Err(ExecutorError::Engine(why.clone()))
            } else {
                Ok(())
            };
        }
        let must_wait = self
            .submissions
            .not_before
            .is_some_and(|due| Instant::now() < due);
        // One submission at a time, and none while the outcome of an earlier one is unknown: the
        // same work would be submitted twice.
        if self.submissions.in_flight.is_some()
            || !self.submissions.unknown.is_empty()
            || must_wait
            || self.is_finished
        {
            return Ok(());
        }
        let room = self.max_pilots.saturating_sub(present);
        // The present pilots can take more trials, so there is no need for others.
        if room == 0 || self.startable() > 0 {
            return Ok(());
        }
        // The engine thread sends this number once, at its start; nothing is submitted before.
        if self.submissions.max_array_size.is_none() {
            self.submissions.max_array_size = self.engine.max_array_size.try_recv().ok();
        }
        let Some(max_array_size) = self.submissions.max_array_size else {
            return Ok(());
        };
        // Pilots in the queue will take part of the waiting trials when they start.
        let queued = self
            .pilots
            .iter()
            .filter(|pilot| pilot.gone.is_none() && pilot.hello.is_none())
            .count();
        let needed = more()
            .saturating_sub(queued * self.spec.slots)
            .div_ceil(self.spec.slots.max(1));
        let count = room
            .min(needed)
            .min(self.submissions.max_jobs.min(max_array_size).max(1) as usize);
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
        let prelude = variables::fill_all(&self.prelude).map_err(std::io::Error::other)?;
        let text = script::script(&Script {
            swath: &self.swath,
            called: &self.called,
            study: &self.study,
            batch: &batch,
            prelude: &prelude,
            index: self.index,
        });
        let path = self.dir.script(&batch);
        // The journal of the study has its first line by now.
        if let Some(id) = journal::id_of(&StudyDir::at(&self.study)) {
            journal::mark_folder(self.dir.root(), &id)?;
        }
        // These may contain secrets, as the settings may.
        write_new(&self.dir.variables(&batch), &environment::exports(), 0o600)?;
        write_new(
            &self.dir.spec(&batch),
            &serde_json::to_vec_pretty(&self.spec)?,
            0o600,
        )?;
        write_new(&path, text.as_bytes(), 0o700)?;
        self.ledger.append(&LedgerLine::Intent {
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
            avoid: self.machines.excluded_nodes(),
            warning: self.spec.margin + Duration::from_secs(15),
        };
        for index in 0..count {
            self.pilots
                .push(PilotState::new(&self.dir, &batch, index, count));
        }
        self.submissions.in_flight = Some(batch);
        self.engine.ask(Request::Submit(Box::new(job)));
        Ok(())
    }

    /// Handles the result of a submission.
    pub(super) fn handle_submission(&mut self, batch: &str, result: Result<String, SubmitError>) {
        self.submissions.in_flight = None;
        match result {
            Ok(id) => self.handle_accepted(batch, &id),
            // The same request would be refused again.
            Err(SubmitError::Refused(message)) => {
                self.drop_batch(batch, &message);
                self.submissions.stop_reason = Some(message.clone());
                self.messages
                    .push(format!("no more pilots will be submitted: {message}"));
            }
            Err(SubmitError::Later(message)) => {
                // Try again later with half as many jobs, in case the limit is one of their number.
                let count = self.count_of(batch);
                self.drop_batch(batch, &message);
                self.submissions.max_jobs = (count / 2).max(1);
                self.submissions.back_off();
                self.report_once(format!(
                    "a limit of the site is reached; swath tries again later: {message}"
                ));
            }
            Err(SubmitError::Unreachable(message)) => {
                self.drop_batch(batch, &message);
                self.handle_no_answer(message);
            }
            // The jobs may exist. Do not submit them again before a list has shown whether they do.
            Err(SubmitError::Unknown(message)) => {
                self.report_once(format!("the outcome of a submission is unknown: {message}"));
                self.submissions
                    .unknown
                    .push((batch.to_owned(), 0, message));
                self.polling.call_now();
            }
        }
    }

    fn handle_no_answer(&mut self, message: String) {
        self.submissions.back_off();
        let since = *self
            .submissions
            .unanswered_since
            .get_or_insert_with(Instant::now);
        if since.elapsed() > ANSWER_TIMEOUT {
            self.submissions.stop_reason = Some(message.clone());
        }
        self.report_once(format!(
            "the batch system does not answer; swath tries again: {message}"
        ));
    }

    fn handle_accepted(&mut self, batch: &str, id: &str) {
        let count = self.count_of(batch);
        for pilot in self.pilots.iter_mut().filter(|pilot| pilot.batch == batch) {
            pilot.id = Some(id.to_owned());
        }
        self.submissions.backoff = FIRST_BACKOFF;
        self.submissions.unanswered_since = None;
        self.submissions.last_report = None;
        self.messages.push(format!(
            "submitted {} (job {id})",
            pilots_of(count as usize)
        ));
        let line = LedgerLine::Submitted {
            batch: batch.to_owned(),
            id: id.to_owned(),
        };
        self.append_to_ledger(&line);
        self.polling.call_soon();
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
        let line = LedgerLine::Dropped {
            batch: batch.to_owned(),
            why: why.to_owned(),
        };
        self.append_to_ledger(&line);
        for path in [
            self.dir.spec(batch),
            self.dir.script(batch),
            self.dir.variables(batch),
        ] {
            std::fs::remove_file(path).ok();
        }
    }

    /// Looks in a list for the batches whose submission has an unknown outcome.
    pub(super) fn resolve_unknown_submissions(
        &mut self,
        listed: &[super::super::engine::ListedJob],
    ) {
        for (batch, missed, message) in std::mem::take(&mut self.submissions.unknown) {
            let id = listed
                .iter()
                .find(|job| job.batch == batch)
                .map(|job| polling::submission(&job.id));
            let has_started = self
                .pilots
                .iter()
                .any(|pilot| pilot.batch == batch && pilot.hello.is_some());
            match id {
                Some(id) => self.handle_accepted(&batch, &id),
                // A pilot of the batch has started, so the batch was submitted.
                None if has_started => {}
                // A single list may be out of date; two in a row without the batch settle that it
                // was not submitted.
                None if missed >= 1 => {
                    self.drop_batch(&batch, "the batch system does not know it");
                    self.handle_no_answer(message);
                }
                None => {
                    self.submissions.unknown.push((batch, missed + 1, message));
                    self.polling.call_now();
                }
            }
        }
    }

    fn report_once(&mut self, text: String) {
        if self.submissions.last_report.as_ref() != Some(&text) {
            self.messages.push(text.clone());
            self.submissions.last_report = Some(text);
        }
    }

    /// Counts a job that ended before its pilot started.
    pub(super) fn count_failed_launch(&mut self, message: &str) {
        self.submissions.failed_launches += 1;
        self.submissions.back_off();
        self.messages.push(message.to_owned());
        if self.submissions.failed_launches >= MAX_FAILED_LAUNCHES {
            self.submissions.stop_reason = Some(format!(
                "{MAX_FAILED_LAUNCHES} pilots in a row failed to start; the last: {message}"
            ));
        }
    }

    /// Dismisses all pilots. Running ones leave once they are idle; the jobs of waiting ones are
    /// cancelled.
    pub(super) fn dismiss_pilots(&mut self) {
        // The id of a submission under way is needed to cancel its jobs.
        let begun = Instant::now();
        let limit = Duration::from_secs(30);
        while self.submissions.in_flight.is_some() && begun.elapsed() < limit {
            self.handle_engine_responses();
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut cancelled = Vec::new();
        for position in 0..self.pilots.len() {
            self.read_messages(position);
            let pilot = &mut self.pilots[position];
            if pilot.gone.is_some() {
                continue;
            }
            pilot.order(&Order::Leave);
            if pilot.hello.is_none() || pilot.farewell.is_some() {
                cancelled.extend(pilot.cancel_id());
                self.mark_gone(position, "it was no longer needed");
            }
        }
        self.flush_orders();
        if !cancelled.is_empty() {
            self.engine.ask(Request::Cancel(cancelled));
        }
        // Pilots and a second orchestrator see from the `closed` mark that this orchestrator has
        // ended.
        self.heartbeat.close(&self.dir);
        let patience = Duration::from_secs(5);
        let begun = Instant::now();
        while self.pilots.iter().any(|pilot| pilot.gone.is_none()) && begun.elapsed() < patience {
            for position in 0..self.pilots.len() {
                self.read_messages(position);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.engine.close(limit);
    }

    /// Returns the submissions of which pilots may still live or start.
    pub(super) fn live_batches(&self) -> Vec<Submitted> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_of_a_job_is_described_in_words() {
        let mut job = JobResources {
            cpus: 4,
            gpus: 1,
            memory: Some(8 << 30),
        };
        let walltime = Some(Duration::from_secs(7200));
        assert_eq!(
            job.describe(walltime),
            "4 cores, 1 GPU, 8 GiB of memory, 2h"
        );
        (job.cpus, job.gpus, job.memory) = (1, 0, None);
        assert_eq!(job.describe(None), "1 core");
    }
}
