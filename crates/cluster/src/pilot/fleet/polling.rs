//! The state of the jobs according to the batch system, polled rarely and for all jobs in one call.
//!
//! A failed call implies nothing. A pilot whose job is over and that did not say good-bye is lost
//! after two lists and some missed heartbeats, because what it wrote last may still become visible
//! until then.

use super::super::engine::{ListedJob, Phase};
use super::super::engine_thread::{Request, Response};
use super::{Fleet, PilotState};
use std::time::{Duration, Instant};

/// Number of leases after which a silent pilot is lost, whether or not the batch system answers.
const SILENT_LEASES: u32 = 15;

/// Time in the queue after which a hint is given if no job has started yet.
const LONG_WAIT: Duration = Duration::from_secs(600);

/// Number of heartbeats that a pilot must have missed to be lost once its job is over.
const MISSED_BEATS: u32 = 2;

/// Number of consecutive lists that have to report a job as over.
const LISTS_TO_CONFIRM: u32 = 2;

/// The schedule of calls to the batch system.
pub(super) struct Polling {
    interval: Duration,
    next_call: Instant,
    is_call_pending: bool,
    /// Time since which the batch system has not answered.
    unanswered_since: Option<Instant>,
    /// Time since which jobs wait and none has started; `None` before the first one waits.
    waiting_since: Option<Instant>,
    has_hinted: bool,
}

impl Polling {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            next_call: Instant::now() + interval,
            is_call_pending: false,
            unanswered_since: None,
            waiting_since: None,
            has_hinted: false,
        }
    }

    /// Schedules the next call at once.
    pub(super) fn call_now(&mut self) {
        self.next_call = Instant::now();
    }

    /// Schedules the next call within five seconds, because users want to know why a new job waits.
    pub(super) fn call_soon(&mut self) {
        self.next_call = self
            .next_call
            .min(Instant::now() + Duration::from_secs(5).min(self.interval));
    }
}

/// Returns the id of the submission to which a job belongs: `12` of `12_3`.
pub(super) fn submission(id: &str) -> String {
    id.split('_').next().unwrap_or(id).to_owned()
}

impl Fleet {
    /// Handles the answers of the batch system, and asks for the next list if it is due.
    pub(super) fn handle_engine_responses(&mut self) {
        for response in self.engine.responses() {
            match response {
                Response::Submitted { batch, result } => self.handle_submission(&batch, result),
                Response::Listed(result) => self.handle_list(result),
                Response::Cancelled(Err(message)) => {
                    self.messages
                        .push(format!("could not cancel a job: {message}"));
                }
                Response::Cancelled(Ok(())) => {}
            }
        }
        let has_pilots = self.pilots.iter().any(|pilot| pilot.gone.is_none());
        if has_pilots && !self.polling.is_call_pending && Instant::now() >= self.polling.next_call {
            self.polling.is_call_pending = true;
            self.engine.ask(Request::List(self.live_batches()));
        }
    }

    fn handle_list(&mut self, result: Result<Vec<ListedJob>, String>) {
        self.polling.is_call_pending = false;
        self.polling.next_call = Instant::now() + self.polling.interval;
        match result {
            Ok(listed) => {
                if self.polling.unanswered_since.take().is_some() {
                    self.messages
                        .push("the batch system answers again".to_owned());
                }
                self.resolve_unknown_submissions(&listed);
                for position in 0..self.pilots.len() {
                    self.update_from_list(position, &listed);
                }
                self.end_if_all_are_blocked();
            }
            Err(message) => {
                if self.polling.unanswered_since.is_none() {
                    self.polling.unanswered_since = Some(Instant::now());
                    self.messages.push(format!(
                        "the batch system does not answer; the pilots go on: {message}"
                    ));
                }
                for position in 0..self.pilots.len() {
                    // This process may have been suspended itself, so read the journal before the
                    // silence counts.
                    self.read_messages(position);
                    let pilot = &self.pilots[position];
                    let is_silent = pilot.last_message.elapsed() > self.lease * SILENT_LEASES;
                    if pilot.gone.is_none() && pilot.hello.is_some() && is_silent {
                        let seconds = pilot.last_message.elapsed().as_secs();
                        self.lose_pilot(
                            position,
                            &format!(
                                "it has been silent for {seconds} s, and the batch system does not answer"
                            ),
                        );
                    }
                }
            }
        }
    }

    /// Decides the state of the pilot at `position` from a list of jobs.
    fn update_from_list(&mut self, position: usize, listed: &[ListedJob]) {
        let lease = self.lease;
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        // Without an id the outcome of the submission is unknown, and the list cannot settle more
        // than `resolve_unknown_submissions` does.
        if pilot.gone.is_some() || pilot.id.is_none() {
            return;
        }
        let job = listed
            .iter()
            .find(|job| job.batch == pilot.batch && job.index == pilot.index);
        // This process may have been suspended itself, so read the journal before the silence
        // counts.
        if pilot.last_message.elapsed() > lease {
            self.read_messages(position);
        }
        let Some(pilot) = self
            .pilots
            .get_mut(position)
            .filter(|pilot| pilot.gone.is_none())
        else {
            return;
        };
        if let Some(job) = job {
            pilot.job = Some(job.id.clone());
        }
        // A controller that was killed may have forgotten that a job started, and restart it even
        // if restarts are disabled. The journal of the next life proves it.
        if pilot.hello.is_some() && pilot.has_next_life(&self.dir) {
            self.read_messages(position);
            self.handle_restart(position);
            return;
        }
        pilot.blocked_lists = match job.map(|job| &job.phase) {
            Some(Phase::Blocked(_)) => pilot.blocked_lists + 1,
            _ => 0,
        };
        match job.map(|job| &job.phase) {
            // A pilot that already ran is in the queue again: the batch system will restart its
            // job.
            Some(Phase::Waiting(_) | Phase::Blocked(_)) if pilot.hello.is_some() => {
                self.handle_restart(position);
            }
            Some(Phase::Waiting(reason) | Phase::Blocked(reason)) => {
                pilot.job_over = None;
                if pilot.queue_reason.as_ref() != Some(reason) {
                    pilot.queue_reason = Some(reason.clone());
                    let text = format!("a pilot waits{}: {reason}", pilot.job_suffix());
                    self.report_queue_reason(position, reason, text);
                }
                self.hint_at_long_wait();
            }
            Some(Phase::Running) => {
                // It may have been reported as over by mistake.
                pilot.job_over = None;
                let has_started = pilot.hello.is_some();
                // A running job with a silent pilot: its node may be cut off. Cancel it, so that it
                // cannot come back.
                if has_started && pilot.last_message.elapsed() > lease * SILENT_LEASES {
                    let seconds = pilot.last_message.elapsed().as_secs();
                    let id = pilot.cancel_id();
                    self.engine.ask(Request::Cancel(id.into_iter().collect()));
                    self.lose_pilot(
                        position,
                        &format!("it has been silent for {seconds} s, and its job was cancelled"),
                    );
                }
            }
            Some(Phase::Over(how)) => {
                let how = how.clone();
                note_job_over(pilot, &how);
                self.end_if_certain(position, false, lease);
            }
            None => {
                note_job_over(pilot, "the batch system no longer lists it");
                self.end_if_certain(position, true, lease);
            }
        }
    }

    /// Gives up if no job can ever start: all further ones would be submitted with the same
    /// request.
    fn end_if_all_are_blocked(&mut self) {
        let live: Vec<usize> = (0..self.pilots.len())
            .filter(|position| self.pilots[*position].gone.is_none())
            .collect();
        let mut lists = live
            .iter()
            .map(|position| self.pilots[*position].blocked_lists);
        let fewest = lists.next().map(|first| lists.fold(first, u32::min));
        match fewest {
            None | Some(0) => return,
            // One list may be a mistake of the controller.
            Some(count) if count < LISTS_TO_CONFIRM => return self.polling.call_soon(),
            Some(_) => {}
        }
        let first = live.first().map(|position| &self.pilots[*position]);
        let reason = first.and_then(|pilot| pilot.queue_reason.clone());
        let why = format!(
            "no job can ever start, so they were cancelled: {}",
            reason.unwrap_or_default()
        );
        let ids = live
            .iter()
            .filter_map(|position| self.pilots[*position].cancel_id());
        self.engine.ask(Request::Cancel(ids.collect()));
        for position in live {
            self.mark_gone(position, &why);
        }
        self.submissions.stop_reason = Some(why);
    }

    /// Reports the reason for waiting once for all pilots that wait for the same reason. Ordinary
    /// reasons are not reported.
    fn report_queue_reason(&mut self, position: usize, reason: &str, text: String) {
        let is_ordinary = ["None", "Priority", "BeginTime"].contains(&reason);
        let is_reported = self
            .pilots
            .iter()
            .take(position)
            .any(|pilot| pilot.queue_reason.as_deref() == Some(reason));
        if !is_ordinary && !is_reported {
            self.messages.push(text);
        }
    }

    /// Tells once what the jobs ask for if none of them has started for a long time. Not all batch
    /// systems refuse a job that no node can ever run.
    fn hint_at_long_wait(&mut self) {
        let since = *self.polling.waiting_since.get_or_insert_with(Instant::now);
        let has_started = self.pilots.iter().any(|pilot| pilot.hello.is_some());
        if has_started || self.polling.has_hinted || since.elapsed() < LONG_WAIT {
            return;
        }
        self.polling.has_hinted = true;
        self.messages.push(format!(
            "no job has started for {} minutes; each asks for {}, and one that asks for more than a node has never starts",
            LONG_WAIT.as_secs() / 60,
            self.job.describe(self.spec.walltime),
        ));
    }

    /// Handles a job that the batch system restarts: the trials of its pilot are queued again, and
    /// the next life of the pilot is added.
    fn handle_restart(&mut self, position: usize) {
        let next = self.pilots[position].next_life(&self.dir);
        let life = (next.batch.clone(), next.index, next.restart);
        // An earlier list may have shown the same restart.
        let is_known = self
            .pilots
            .iter()
            .any(|other| life == (other.batch.clone(), other.index, other.restart));
        self.messages.push(format!(
            "the batch system restarts the job of a pilot{}",
            next.job_suffix()
        ));
        let pilot = &mut self.pilots[position];
        let revoked = pilot.revoke_assigned();
        pilot.gone = Some("its job is restarted".to_owned());
        // The job does not run now, so these attempts are certainly over and need no delay.
        for ((trial, attempt), seconds) in revoked {
            self.send(
                trial,
                attempt,
                super::SignalKind::Ended(super::Exit::Lost, super::Usage::of_seconds(seconds)),
            );
        }
        if !is_known {
            self.pilots.push(next);
        }
    }

    /// Gives up a pilot whose job is over, once that is certain.
    fn end_if_certain(&mut self, position: usize, is_unlisted: bool, lease: Duration) {
        // The pilot's last messages may have become visible only now.
        self.read_messages(position);
        let Some(pilot) = self
            .pilots
            .get(position)
            .filter(|pilot| pilot.gone.is_none())
        else {
            return;
        };
        let Some((how, since, times)) = pilot.job_over.clone() else {
            return;
        };
        // One list may be a mistake of the controller.
        if times < LISTS_TO_CONFIRM {
            self.polling.call_soon();
            return;
        }
        if let Some(why) = pilot.farewell.clone() {
            // Its good-bye was withheld while the job might have been restarted.
            self.handle_farewell(position, &why);
            return;
        }
        // The pilot never started: this counts as a failed launch.
        if pilot.hello.is_none() {
            let message = self.launch_failure(position, &how);
            self.mark_gone(position, &how);
            self.count_failed_launch(&message);
            return;
        }
        // Its last messages may still be on their way through the file system, and a job that the
        // controller has forgotten may still run. A pilot that lives writes heartbeats, so silence
        // for the time of several of them settles that it does not; one that is heard keeps its
        // lease.
        let silence = (self.spec.beat * MISSED_BEATS).min(lease);
        let is_heard = is_unlisted && pilot.last_message > since;
        let must_wait =
            since.elapsed() < silence || is_heard && pilot.last_message.elapsed() < lease;
        if !must_wait {
            self.lose_pilot(position, &how);
        }
    }

    /// Returns how a job ended whose pilot never started, with the last three lines of its output.
    fn launch_failure(&self, position: usize, how: &str) -> String {
        let pilot = &self.pilots[position];
        let log = self.dir.log(&pilot.batch, &pilot.index.to_string());
        let printed = std::fs::read(&log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let last: Vec<&str> = printed
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = last
            .get(last.len().saturating_sub(3)..)
            .unwrap_or_default()
            .join("; ");
        let output = if last.is_empty() {
            format!(
                "it printed nothing to `{}`; its node may not see that folder, which has to be on a file system that all nodes share",
                log.display()
            )
        } else {
            format!("it printed: {last}")
        };
        format!(
            "the job of a pilot ended before the pilot began{}: {how}; {output}",
            pilot.job_suffix()
        )
    }
}

fn note_job_over(pilot: &mut PilotState, how: &str) {
    pilot.job_over = match pilot.job_over.take() {
        Some((_, since, times)) => Some((how.to_owned(), since, times + 1)),
        None => Some((how.to_owned(), Instant::now(), 1)),
    };
}
