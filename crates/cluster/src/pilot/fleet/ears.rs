//! Messages of pilots, and the consequences when a pilot leaves or is lost.

use super::super::PROTOCOL;
use super::super::wire::{Order, Said, Word};
use super::Fleet;
use crate::executor::{Signal, SignalKind};
use crate::study::{Exit, LogRecord, Timestamp, Usage};
use std::time::{Duration, Instant};

/// Tolerated difference between two clocks before the user is warned.
const CLOCKS_APART: Duration = Duration::from_secs(120);

impl Fleet {
    /// Reads the new messages in the journal of pilot `at`.
    pub(super) fn look(&mut self, at: usize) {
        let most = Duration::from_millis(2 * self.pilots.len() as u64)
            .clamp(Duration::from_millis(500), Duration::from_secs(2));
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        let mut said: Vec<Said> = Vec::new();
        let read = pilot.reader.read(&mut |line| said.push(line));
        pilot.looked(!said.is_empty(), most);
        if let Err(error) = read {
            let text = format!(
                "the journal of pilot {} could not be read: {error}",
                pilot.name()
            );
            if pilot.complained.insert("read") {
                self.news.push(text);
            }
        }
        for line in said {
            self.heard(at, line);
        }
    }

    fn heard(&mut self, at: usize, said: Said) {
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        // A message that was handled before.
        if said.seq <= pilot.seq {
            return;
        }
        if said.seq != pilot.seq + 1 && pilot.complained.insert("gap") {
            self.news.push(format!(
                "some lines in the journal of pilot {} were lost",
                pilot.name()
            ));
        }
        pilot.seq = said.seq;
        pilot.heard = Instant::now();
        match said.word {
            Word::Hello(hello) => {
                let apart = Timestamp::now()
                    .since(said.at)
                    .max(said.at.since(Timestamp::now()));
                let host = hello.place.host.clone();
                let fresh = pilot.fresh;
                if fresh && apart > CLOCKS_APART {
                    self.news.push(format!(
                        "the clock of {host} and this machine's are {} s apart, or its files show late",
                        apart.as_secs()
                    ));
                }
                if hello.protocol == PROTOCOL && hello.swath != self.spec.swath {
                    self.news.push(format!(
                        "{host} has swath {}, this is {}",
                        hello.swath, self.spec.swath
                    ));
                }
                if hello.slots > 0 {
                    self.growth.launched();
                }
                let slots = slots_of(hello.slots);
                self.machines.met(&host);
                // The job was submitted before the node was excluded.
                if self.machines.is_shunned(&host) {
                    pilot.full = true;
                    pilot.order(&Order::Yield);
                }
                pilot.hello = Some(hello);
                // Pilots of earlier runs were announced when they started.
                if fresh {
                    self.news.push(format!(
                        "a pilot runs on {host}{}, {slots}",
                        pilot.job_words()
                    ));
                }
            }
            Word::Beat { .. } => {}
            Word::Full { .. } => pilot.full = true,
            Word::Note { text } => {
                let host = pilot.host().unwrap_or("a pilot").to_owned();
                self.news.push(format!("{host}: {text}"));
            }
            Word::Placed {
                trial,
                attempt,
                place,
            } => {
                let Some(hold) = pilot.holds.get_mut(&(trial, attempt)) else {
                    return;
                };
                if !std::mem::replace(&mut hold.placed, true) {
                    self.send(trial, attempt, SignalKind::Placed(place));
                }
            }
            Word::Logged {
                trial,
                attempt,
                record,
            } => match pilot.holds.get_mut(&(trial, attempt)) {
                // The journal of the study already has these records from an earlier run. Warnings
                // are not counted in `skip`.
                Some(hold) if hold.skip > 0 => {
                    hold.skip -= u64::from(!matches!(record, LogRecord::Warning { .. }));
                }
                Some(_) => self.send(trial, attempt, SignalKind::Logged(record)),
                // The attempt was taken from this pilot: another one may run it, so its records
                // must not count.
                None => self.dropped += u64::from(pilot.taken.contains(&(trial, attempt))),
            },
            Word::Asked { trial, attempt, id } => {
                if pilot.holds.contains_key(&(trial, attempt)) {
                    self.send(trial, attempt, SignalKind::Asked(id));
                }
            }
            Word::Ended {
                trial,
                attempt,
                exit,
                usage,
                seconds,
            } => {
                if pilot.holds.remove(&(trial, attempt)).is_none() {
                    self.dropped += u64::from(pilot.taken.contains(&(trial, attempt)));
                    return;
                }
                self.machines.ended(trial, pilot.host(), &exit);
                // Attempts that were ended early say nothing about the run time of a whole trial.
                if matches!(exit, Exit::Done | Exit::Failed(_)) {
                    self.mean = Some(self.mean.map_or(seconds, |mean| 0.9 * mean + 0.1 * seconds));
                }
                self.send(trial, attempt, SignalKind::Ended(exit, usage));
            }
            Word::Returned { trial, attempt } => {
                if pilot.holds.remove(&(trial, attempt)).is_some() {
                    self.send(
                        trial,
                        attempt,
                        SignalKind::Ended(Exit::Interrupted, Usage::default()),
                    );
                }
            }
            // The batch system ended the job and may restart it. The pilot is finished only when
            // the next list shows the job as over.
            Word::Bye { why, told } if told && self.starts_again => {
                pilot.full = true;
                pilot.bye = Some(why);
                self.watch.soon();
            }
            Word::Bye { why, .. } => self.left(at, &why),
        }
    }

    /// Removes a pilot that announced its end.
    pub(super) fn left(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        if pilot.gone.is_some() {
            return;
        }
        let never_worked = pilot.hello.as_ref().is_some_and(|hello| hello.slots == 0);
        let (name, job) = (pilot.name(), pilot.job_words());
        self.give_up(at, why);
        // A pilot without slots never worked: count it as a failed launch, so that submissions stop
        // after several of them.
        if never_worked {
            self.failed_to_launch(&format!("pilot {name}{job} left at once: {why}"));
        } else if !self.finished {
            self.news.push(format!("a pilot left{job}: {why}"));
        }
    }

    /// Marks a pilot as gone. The attempts that it still holds are lost.
    pub(super) fn give_up(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        if pilot.gone.is_some() {
            return;
        }
        pilot.gone = Some(why.to_owned());
        let held: Vec<_> = std::mem::take(&mut pilot.holds).into_keys().collect();
        pilot.taken.extend(&held);
        // A pilot heard within the lease may still run these attempts. Wait for three of its polls
        // before the trials are queued again, so that it has read the order to abandon them.
        let lives = pilot.heard.elapsed() < self.lease;
        let note = pilot.gone_note(why);
        if let Err(error) = self.ledger.note(&note) {
            self.news.push(format!(
                "`{}` could not be written: {error}",
                self.dir.ledger().display()
            ));
        }
        for (trial, attempt) in held {
            let signal = Signal {
                trial,
                attempt,
                at: Timestamp::now(),
                kind: SignalKind::Ended(Exit::Lost, Usage::default()),
            };
            if lives {
                self.delayed
                    .push((Instant::now() + self.spec.look * 3, signal));
            } else {
                self.signals.push_back(signal);
            }
        }
    }

    /// Gives up a pilot without a good-bye, and orders it to abandon its trials in case it is
    /// alive.
    pub(super) fn lose(&mut self, at: usize, why: &str) {
        let Some(pilot) = self.pilots.get_mut(at) else {
            return;
        };
        let count = pilot.holds.len();
        let what = match count {
            0 => String::new(),
            1 => "; its trial runs again".to_owned(),
            _ => format!("; its {count} trials run again"),
        };
        self.news
            .push(format!("a pilot is lost{}: {why}{what}", pilot.job_words()));
        pilot.order(&Order::Abandon);
        self.give_up(at, why);
    }
}

fn slots_of(count: usize) -> String {
    if count == 1 {
        "1 slot".to_owned()
    } else {
        format!("{count} slots")
    }
}
