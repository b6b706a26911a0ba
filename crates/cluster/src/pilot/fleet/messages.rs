//! Messages of pilots, and the consequences when a pilot leaves or is lost.

use super::super::PROTOCOL;
use super::super::attempt_message::{
    AttemptEvent, AttemptMessage, is_recorded, place_of_short_attempt,
};
use super::super::wire::{Message, MessageKind, Order};
use super::Fleet;
use std::time::{Duration, Instant};
use swath_engine::executor::{Signal, SignalKind};
use swath_model::study::{Exit, Timestamp, Usage};

/// Tolerated difference between two clocks before the user is warned.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

impl Fleet {
    /// Reads the new messages in the journal of the pilot at `position`.
    pub(super) fn read_messages(&mut self, position: usize) {
        // The more pilots there are, the more rarely each is polled, to spare the file system.
        let longest = Duration::from_millis(2 * self.pilots.len() as u64)
            .clamp(Duration::from_millis(500), Duration::from_secs(2));
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        let mut messages: Vec<Message> = Vec::new();
        let read = pilot.reader.read(&mut |message| messages.push(message));
        pilot.schedule_poll(!messages.is_empty(), longest);
        if let Err(error) = read
            && pilot.warned_of.insert("read")
        {
            self.messages.push(format!(
                "could not read the journal of pilot {}: {error}",
                pilot.name()
            ));
        }
        // The messages before an error count all the same.
        for message in messages {
            self.handle_message(position, message);
        }
    }

    fn handle_message(&mut self, position: usize, message: Message) {
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        // A message that was handled before.
        if message.seq <= pilot.seq {
            return;
        }
        if message.seq != pilot.seq + 1 && pilot.warned_of.insert("gap") {
            self.messages.push(format!(
                "some lines in the journal of pilot {} were lost",
                pilot.name()
            ));
        }
        pilot.seq = message.seq;
        pilot.last_message = Instant::now();
        pilot.last_message_at = Some(message.at);
        let kind = match AttemptMessage::of(message.at, message.kind) {
            Ok(about_attempt) => {
                return self.handle_attempt_message(position, message.at, about_attempt);
            }
            Err(kind) => *kind,
        };
        match kind {
            MessageKind::Hello(hello) => {
                let difference = Timestamp::now()
                    .since(message.at)
                    .max(message.at.since(Timestamp::now()));
                let host = hello.place.host.clone();
                let is_new = pilot.is_new;
                // For the pilot of an earlier run, the difference is the age of its message.
                if is_new && difference > CLOCK_TOLERANCE {
                    self.messages.push(format!(
                        "the clocks of {host} and of this machine differ by {} s, or its files become visible late",
                        difference.as_secs()
                    ));
                }
                if hello.protocol == PROTOCOL && hello.swath != self.spec.swath {
                    self.messages.push(format!(
                        "{host} has swath {}, this is {}",
                        hello.swath, self.spec.swath
                    ));
                }
                // A pilot without slots cannot work; its good-bye counts as a failed launch.
                if hello.slots > 0 {
                    self.submissions.reset_failures();
                }
                let slots = slots_of(hello.slots);
                self.machines.add(&host);
                // The job was submitted before the node was excluded.
                if self.machines.is_excluded(&host) {
                    pilot.is_full = true;
                    pilot.order(&Order::Yield);
                }
                pilot.hello = Some(hello);
                // Pilots of earlier runs were announced when they started.
                if is_new {
                    self.messages.push(format!(
                        "a pilot runs on {host}{}, {slots}",
                        pilot.job_suffix()
                    ));
                }
            }
            // Any message renews `last_message`; a heartbeat says no more.
            MessageKind::Beat { .. } => {}
            MessageKind::Full { .. } => pilot.is_full = true,
            MessageKind::Note { text } => {
                let host = pilot.host().unwrap_or("a pilot").to_owned();
                self.messages.push(format!("{host}: {text}"));
            }
            // The batch system ended the job and may restart it. The pilot is finished only when
            // the next list shows the job as over.
            MessageKind::Bye { why, told } if told && self.restarts_jobs => {
                pilot.is_full = true;
                pilot.farewell = Some(why);
                self.polling.call_soon();
            }
            MessageKind::Bye { why, .. } => self.handle_farewell(position, &why),
            // These are about attempts, and were translated above.
            MessageKind::Placed { .. }
            | MessageKind::Logged { .. }
            | MessageKind::Asked { .. }
            | MessageKind::Ended { .. }
            | MessageKind::Returned { .. } => {}
        }
    }

    /// Passes a message about an attempt on to the driver, if the attempt is still one of the
    /// pilot.
    fn handle_attempt_message(&mut self, position: usize, at: Timestamp, message: AttemptMessage) {
        let AttemptMessage {
            trial,
            attempt,
            event,
        } = message;
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        let Some(assigned) = pilot.assigned.get_mut(&(trial, attempt)) else {
            // The attempt was taken from this pilot: another one may run it, so its records and its
            // end must not count, and the answer to it would be read by its successor.
            let is_result = matches!(event, AttemptEvent::Logged(..) | AttemptEvent::Ended { .. });
            let is_revoked = pilot.revoked.contains(&(trial, attempt));
            self.dropped += u64::from(is_result && is_revoked);
            return;
        };
        match event {
            AttemptEvent::Placed(place) => {
                assigned.started_at = Some(at);
                // An earlier run may have recorded the place already.
                if !std::mem::replace(&mut assigned.is_placed, true) {
                    self.send(trial, attempt, SignalKind::Placed(place));
                }
            }
            AttemptEvent::Logged(record, line_end) => {
                // The journal of the study may have these records from an earlier run.
                if !is_recorded(&mut assigned.records_to_skip, &record, line_end) {
                    let record = record.redacted(&self.secrets);
                    self.send(trial, attempt, SignalKind::Logged(record, line_end));
                }
            }
            AttemptEvent::Asked(id) => self.send(trial, attempt, SignalKind::Asked(id)),
            AttemptEvent::Ended {
                exit,
                usage,
                seconds,
            } => {
                let is_placed = assigned.is_placed;
                pilot.assigned.remove(&(trial, attempt));
                let place = pilot
                    .hello
                    .as_ref()
                    .filter(|_| !is_placed)
                    .and_then(|hello| place_of_short_attempt(&hello.place, at, seconds));
                self.machines.note_end(trial, pilot.host(), &exit);
                if let Some(place) = place {
                    self.send(trial, attempt, SignalKind::Placed(place));
                }
                // Attempts that were ended early say nothing about the run time of a whole trial.
                if matches!(exit, Exit::Done | Exit::Failed(_)) {
                    self.mean_seconds = Some(
                        self.mean_seconds
                            .map_or(seconds, |mean| 0.9 * mean + 0.1 * seconds),
                    );
                }
                let exit = exit.redacted(&self.secrets);
                self.send(trial, attempt, SignalKind::Ended(exit, usage));
            }
            AttemptEvent::Returned => {
                pilot.assigned.remove(&(trial, attempt));
                let end = SignalKind::Ended(Exit::Interrupted, Usage::of_seconds(0.0));
                self.send(trial, attempt, end);
            }
        }
    }

    /// Removes a pilot that announced its end.
    pub(super) fn handle_farewell(&mut self, position: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        if pilot.gone.is_some() {
            return;
        }
        let never_worked = pilot.hello.as_ref().is_some_and(|hello| hello.slots == 0);
        let (name, job) = (pilot.name(), pilot.job_suffix());
        self.mark_gone(position, why);
        // A pilot without slots never worked: count it as a failed launch, so that submissions stop
        // after several of them.
        if never_worked {
            self.count_failed_launch(&format!("pilot {name}{job} left at once: {why}"));
        } else if !self.is_finished {
            self.messages.push(format!("a pilot left{job}: {why}"));
        }
    }

    /// Marks a pilot as gone. The attempts that it still holds are lost.
    pub(super) fn mark_gone(&mut self, position: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        if pilot.gone.is_some() {
            return;
        }
        pilot.gone = Some(why.to_owned());
        let revoked = pilot.revoke_assigned();
        // A pilot heard within the lease may still run these attempts. Wait for three of its polls
        // before the trials are queued again, so that it has read the order to abandon them.
        let may_be_alive = pilot.last_message.elapsed() < self.lease;
        let line = pilot.gone_line(why);
        let batch = pilot.batch.clone();
        self.append_to_ledger(&line);
        self.forget_variables(&batch);
        for ((trial, attempt), seconds) in revoked {
            let signal = Signal {
                trial,
                attempt,
                at: Timestamp::now(),
                kind: SignalKind::Ended(Exit::Lost, Usage::of_seconds(seconds)),
            };
            if may_be_alive {
                self.delayed
                    .push((Instant::now() + self.spec.look * 3, signal));
            } else {
                self.signals.push_back(signal);
            }
        }
    }

    /// Removes the environment variables of a batch once no job of it can start any more.
    pub(super) fn forget_variables(&self, batch: &str) {
        let is_over = self
            .pilots
            .iter()
            .all(|pilot| pilot.batch != batch || pilot.gone.is_some());
        if is_over {
            std::fs::remove_file(self.dir.variables(batch)).ok();
        }
    }

    /// Gives up a pilot without a good-bye, and orders it to abandon its trials in case it is
    /// alive.
    pub(super) fn lose_pilot(&mut self, position: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(position) else {
            return;
        };
        let count = pilot.assigned.len();
        let consequence = match count {
            0 => String::new(),
            1 => "; its trial runs again".to_owned(),
            _ => format!("; its {count} trials run again"),
        };
        self.messages.push(format!(
            "a pilot is lost{}: {why}{consequence}",
            pilot.job_suffix()
        ));
        pilot.order(&Order::Abandon);
        self.mark_gone(position, why);
    }
}

fn slots_of(count: usize) -> String {
    if count == 1 {
        "1 slot".to_owned()
    } else {
        format!("{count} slots")
    }
}
