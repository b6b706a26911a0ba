//! What the batch system says of the pilots, asked for all of them at once and not often.
//!
//! A call that fails says nothing. A pilot whose job is over and that did not say good-bye is lost
//! after the lease, in which what it wrote may still come to be seen.

use super::super::engine::{Phase, Seen};
use super::super::works::{Answer, Ask};
use super::{Berth, Fleet};
use std::time::{Duration, Instant};

/// A pilot that was silent for so many leases is lost whatever the engine says, or does not say.
const LONG_LEASES: u32 = 15;

/// How often a list has to say that a job is over.
const TWICE: u32 = 2;

/// When to ask.
pub(super) struct Watch {
    every: Duration,
    due: Instant,
    asked: bool,
    /// Since when the engine does not answer.
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

    /// Asks at once.
    pub(super) fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Asks after a few seconds: what waits is worth to be told why.
    pub(super) fn soon(&mut self) {
        self.due = self
            .due
            .min(Instant::now() + Duration::from_secs(5).min(self.every));
    }
}

/// Returns the id of the submission that a job's id belongs to: `12` of `12_3`.
pub(super) fn submission(id: &str) -> String {
    id.split('_').next().unwrap_or(id).to_owned()
}

impl Fleet {
    /// Takes what the engine has answered, and asks it again when it is time to.
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
                    // This process may have stood still itself.
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

    /// Decides what a list means for pilot `at`.
    fn weigh(&mut self, at: usize, seen: &[Seen]) {
        let lease = self.lease;
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        if pilot.gone.is_some() || pilot.id.is_none() {
            return;
        }
        let found = seen
            .iter()
            .find(|seen| seen.batch == pilot.batch && seen.index == pilot.index);
        // This process may have stood still itself.
        if pilot.heard.elapsed() > lease {
            self.look(at);
        }
        let Some(pilot) = self.pilots.get_mut(at).filter(|pilot| pilot.gone.is_none()) else {
            return;
        };
        if let Some(found) = found {
            pilot.job = Some(found.id.clone());
        }
        // A controller that was killed may have forgotten that a job began, and start it again
        // whatever it was told.
        if pilot.hello.is_some() && pilot.was_followed(&self.dir) {
            self.look(at);
            self.again(at);
            return;
        }
        match found.map(|found| &found.phase) {
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

    /// One pilot of many speaks for those that wait for the same reason.
    fn say_of_queue(&mut self, at: usize, reason: &str, text: String) {
        let told = |pilot: &Berth| pilot.waits.as_deref() == Some(reason);
        let ordinary = ["None", "Priority", "BeginTime"].contains(&reason);
        if !ordinary && self.pilots.iter().take(at).all(|pilot| !told(pilot)) {
            self.news.push(text);
        }
    }

    /// A job that the batch system starts again: its pilot's trials wait, and another pilot will
    /// come.
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
                super::What::Ended(super::Exit::Lost, super::Usage::default()),
            );
        }
        if !known {
            self.pilots.push(next);
        }
    }

    /// Gives up a pilot whose job is over, once there is no doubt.
    fn end(&mut self, at: usize, absent: bool, lease: Duration) {
        // What it said last may only just have come to be seen.
        self.look(at);
        let Some(pilot) = self.pilots.get(at).filter(|pilot| pilot.gone.is_none()) else {
            return;
        };
        let Some((how, since, times)) = pilot.over.clone() else {
            return;
        };
        if times < TWICE {
            self.watch.soon();
            return;
        }
        if let Some(why) = pilot.bye.clone() {
            self.left(at, &why);
            return;
        }
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

    /// Says how a job ended whose pilot never lived, with the last that it printed.
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
