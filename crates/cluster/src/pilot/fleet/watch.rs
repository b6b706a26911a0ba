//! The state of the jobs according to the batch system, polled rarely and for all jobs in one call.
//!
//! A failed call implies nothing. A pilot whose job is over and that did not say good-bye is lost
//! after the lease, because what it wrote last may still become visible until then.

use super::super::engine::{Phase, Seen};
use super::super::works::{Answer, Ask};
use super::{Berth, Fleet};
use std::time::{Duration, Instant};

/// Number of leases after which a silent pilot is lost, whether or not the batch system answers.
const LONG_LEASES: u32 = 15;

/// Number of consecutive lists that have to report a job as over.
const TWICE: u32 = 2;

/// The schedule of calls to the batch system.
pub(super) struct Watch {
    every: Duration,
    due: Instant,
    asked: bool,
    /// Time since which the batch system has not answered.
    unanswered: Option<Instant>,
}

impl Watch {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            due: Instant::now() + every,
            asked: false,
            unanswered: None,
        }
    }

    /// Schedules the next call at once.
    pub(super) fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Schedules the next call within five seconds, because users want to know why a new job waits.
    pub(super) fn soon(&mut self) {
        self.due = self
            .due
            .min(Instant::now() + Duration::from_secs(5).min(self.every));
    }
}

/// Returns the id of the submission to which a job belongs: `12` of `12_3`.
pub(super) fn submission(id: &str) -> String {
    id.split('_').next().unwrap_or(id).to_owned()
}

impl Fleet {
    /// Handles the answers of the batch system, and asks for the next list if it is due.
    pub(super) fn hear_the_engine(&mut self) {
        for answer in self.works.answers() {
            match answer {
                Answer::Submitted { batch, result } => self.submitted(&batch, result),
                Answer::Listed(result) => self.listed(result),
                Answer::Cancelled(Err(words)) => {
                    self.news
                        .push(format!("a job could not be cancelled: {words}"));
                }
                Answer::Cancelled(Ok(())) => {}
            }
        }
        let some = self.pilots.iter().any(|pilot| pilot.gone.is_none());
        if some && !self.watch.asked && Instant::now() >= self.watch.due {
            self.watch.asked = true;
            self.works.ask(Ask::List(self.batches()));
        }
    }

    fn listed(&mut self, result: Result<Vec<Seen>, String>) {
        self.watch.asked = false;
        self.watch.due = Instant::now() + self.watch.every;
        match result {
            Ok(seen) => {
                if self.watch.unanswered.take().is_some() {
                    self.news.push("the batch system answers again".to_owned());
                }
                self.look_for_maybes(&seen);
                for at in 0..self.pilots.len() {
                    self.weigh(at, &seen);
                }
            }
            Err(words) => {
                if self.watch.unanswered.is_none() {
                    self.watch.unanswered = Some(Instant::now());
                    self.news.push(format!(
                        "the batch system does not answer, nothing follows from that: {words}"
                    ));
                }
                for at in 0..self.pilots.len() {
                    // This process may have been suspended itself, so read the journal before the
                    // silence counts.
                    self.look(at);
                    let pilot = &self.pilots[at];
                    let silent = pilot.heard.elapsed() > self.lease * LONG_LEASES;
                    if pilot.gone.is_none() && pilot.hello.is_some() && silent {
                        let seconds = pilot.heard.elapsed().as_secs();
                        self.lose(
                            at,
                            &format!(
                                "it has been silent for {seconds} s, and the batch system does not answer"
                            ),
                        );
                    }
                }
            }
        }
    }

    /// Decides the state of pilot `at` from a list of jobs.
    fn weigh(&mut self, at: usize, seen: &[Seen]) {
        let lease = self.lease;
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        // Without an id the outcome of the submission is unknown, and the list cannot settle more
        // than `look_for_maybes` does.
        if pilot.gone.is_some() || pilot.id.is_none() {
            return;
        }
        let found = seen
            .iter()
            .find(|seen| seen.batch == pilot.batch && seen.index == pilot.index);
        // This process may have been suspended itself, so read the journal before the silence
        // counts.
        if pilot.heard.elapsed() > lease {
            self.look(at);
        }
        let Some(pilot) = self.pilots.get_mut(at).filter(|pilot| pilot.gone.is_none()) else {
            return;
        };
        if let Some(found) = found {
            pilot.job = Some(found.id.clone());
        }
        // A controller that was killed may have forgotten that a job started, and restart it even
        // if restarts are disabled. The journal of the next life proves it.
        if pilot.hello.is_some() && pilot.was_followed(&self.dir) {
            self.look(at);
            self.again(at);
            return;
        }
        match found.map(|found| &found.phase) {
            // A pilot that already ran is in the queue again: the batch system will restart its
            // job.
            Some(Phase::Waiting(_)) if pilot.hello.is_some() => self.again(at),
            Some(Phase::Waiting(reason)) => {
                pilot.over = None;
                if pilot.waits.as_ref() != Some(reason) {
                    pilot.waits = Some(reason.clone());
                    let text = format!("a pilot waits{}: {reason}", pilot.job_words());
                    self.say_of_queue(at, reason, text);
                }
            }
            Some(Phase::Running) => {
                pilot.over = None;
                let begun = pilot.hello.is_some();
                // A running job with a silent pilot: its node may be cut off. Cancel it, so that it
                // cannot come back.
                if begun && pilot.heard.elapsed() > lease * LONG_LEASES {
                    let seconds = pilot.heard.elapsed().as_secs();
                    let id = pilot.cancel_id();
                    self.works.ask(Ask::Cancel(id.into_iter().collect()));
                    self.lose(
                        at,
                        &format!("it has been silent for {seconds} s, and its job was cancelled"),
                    );
                }
            }
            Some(Phase::Over(how)) => {
                let how = how.clone();
                over(pilot, &how);
                self.end(at, false, lease);
            }
            None => {
                over(pilot, "the batch system does not know it any more");
                self.end(at, true, lease);
            }
        }
    }

    /// Reports the reason for waiting once for all pilots that wait for the same reason. Ordinary
    /// reasons are not reported.
    fn say_of_queue(&mut self, at: usize, reason: &str, text: String) {
        let told = |pilot: &Berth| pilot.waits.as_deref() == Some(reason);
        let ordinary = ["None", "Priority", "BeginTime"].contains(&reason);
        if !ordinary && self.pilots.iter().take(at).all(|pilot| !told(pilot)) {
            self.news.push(text);
        }
    }

    /// Handles a job that the batch system restarts: the trials of its pilot are queued again, and
    /// the next life of the pilot is added.
    fn again(&mut self, at: usize) {
        let next = self.pilots[at].next_life(&self.dir);
        let life = (next.batch.clone(), next.index, next.restart);
        let known = self
            .pilots
            .iter()
            .any(|other| life == (other.batch.clone(), other.index, other.restart));
        self.news.push(format!(
            "a pilot's job will be started again{}",
            next.job_words()
        ));
        let pilot = &mut self.pilots[at];
        let held: Vec<_> = std::mem::take(&mut pilot.holds).into_keys().collect();
        pilot.taken.extend(&held);
        pilot.gone = Some("its job is started again".to_owned());
        for (trial, attempt) in held {
            self.send(
                trial,
                attempt,
                super::SignalKind::Ended(super::Exit::Lost, super::Usage::default()),
            );
        }
        if !known {
            self.pilots.push(next);
        }
    }

    /// Gives up a pilot whose job is over, once that is certain.
    fn end(&mut self, at: usize, absent: bool, lease: Duration) {
        // The pilot's last messages may have become visible only now.
        self.look(at);
        let Some(pilot) = self.pilots.get(at).filter(|pilot| pilot.gone.is_none()) else {
            return;
        };
        let Some((how, since, times)) = pilot.over.clone() else {
            return;
        };
        // One list may be a mistake of the controller.
        if times < TWICE {
            self.watch.soon();
            return;
        }
        if let Some(why) = pilot.bye.clone() {
            self.left(at, &why);
            return;
        }
        // The pilot never started: this counts as a failed launch.
        if pilot.hello.is_none() {
            let words = self.launch_failure(at, &how);
            self.give_up(at, &how);
            self.failed_to_launch(&words);
            return;
        }
        let patient = since.elapsed() < lease || absent && pilot.heard.elapsed() < lease;
        if !patient {
            self.lose(at, &how);
        }
    }

    /// Returns how a job ended whose pilot never started, with the last three lines of its output.
    fn launch_failure(&self, at: usize, how: &str) -> String {
        let pilot = &self.pilots[at];
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
        let said = if last.is_empty() {
            format!(
                "it printed nothing to `{}`; its node may not see that folder, which has to be on a file system that all nodes share",
                log.display()
            )
        } else {
            format!("it printed: {last}")
        };
        format!(
            "the job of a pilot ended before the pilot began{}: {how}; {said}",
            pilot.job_words()
        )
    }
}

fn over(pilot: &mut Berth, how: &str) {
    pilot.over = match pilot.over.take() {
        Some((_, since, times)) => Some((how.to_owned(), since, times + 1)),
        None => Some((how.to_owned(), Instant::now(), 1)),
    };
}
