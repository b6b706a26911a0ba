//! The state of a study whose pilots go on without an orchestrator. Readers look into the journals
//! of the pilots, as the next orchestrator will do.

use super::attempt_message::{AttemptEvent, AttemptMessage, is_recorded, place_of_short_attempt};
use super::lines::Reader;
use super::wire::{Message, MessageKind, Order};
use super::{PilotDir, ledger, pilot_name};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swath_engine::journal::{self, Journal, JournalError, StudyDir, lock};
use swath_model::source::units::HumanDuration;
use swath_model::study::{
    Attempt, Entry, Event, Exit, LogRecord, Place, Study, Timestamp, TrialId, Usage,
};

/// Silence of a pilot that is worth mentioning.
const QUIET: Duration = Duration::from_secs(120);

/// Silence after which the trials of a pilot count as lost. It is as long as the silence after
/// which an orchestrator gives up a pilot by default, and much longer than clocks should differ.
const SILENT: Duration = Duration::from_secs(30 * 60);

type Key = (TrialId, Attempt);

/// Reads a study without taking the lock, with the state that the next run will find: if no process
/// runs the study, the journals of its pilots tell what became of its running trials, and those of
/// no pilot are lost.
///
/// # Errors
/// As [`journal::read`].
pub fn settled(dir: &StudyDir) -> Result<Study, JournalError> {
    let mut study = journal::read(dir)?;
    settle(dir, &mut study);
    Ok(study)
}

/// Brings the running trials of a study up to date, if no process runs it: see [`settled`].
pub fn settle(dir: &StudyDir, study: &mut Study) {
    if study.running_count() == 0 || lock::is_held(dir) {
        return;
    }
    let attempts = attempts_in_pilots(dir, study);
    let mut running = BTreeSet::new();
    if !attempts.is_empty() {
        let recorded = recorded(dir);
        for ((trial, attempt), story) in attempts {
            let skipped = recorded.get(&trial).copied().unwrap_or(0);
            if story.exit.is_none() {
                running.insert(trial);
            }
            story.tell(study, (trial, attempt), skipped);
        }
    }
    journal::settle_except(dir, study, &running);
}

/// The course of an attempt in a pilot.
#[derive(Default)]
struct Story {
    host: String,
    place: Option<(Timestamp, Place)>,
    records: Vec<(Timestamp, LogRecord, Option<u64>)>,
    exit: Option<(Timestamp, Exit, Usage)>,
    /// Time since the last message of the pilot.
    silence: Duration,
}

impl Story {
    /// Adds an event of which a message at `at` tells. `pilot`: the place of the pilot.
    fn add(&mut self, at: Timestamp, event: AttemptEvent, pilot: Option<&Place>) {
        match event {
            AttemptEvent::Placed(place) => self.place = Some((at, place)),
            AttemptEvent::Logged(record, line_end) => self.records.push((at, record, line_end)),
            AttemptEvent::Asked(_) => {}
            AttemptEvent::Ended {
                exit,
                usage,
                seconds,
            } => {
                if self.place.is_none()
                    && let Some(place) =
                        pilot.and_then(|pilot| place_of_short_attempt(pilot, at, seconds))
                {
                    self.place = Some((at, place));
                }
                self.exit = Some((at, exit, usage));
            }
            AttemptEvent::Returned => {
                self.exit = Some((at, Exit::Interrupted, Usage::of_seconds(0.0)));
            }
        }
    }

    /// Applies the events to the study, and notes where the attempt is. The journal has `skipped`
    /// of its records already.
    fn tell(self, study: &mut Study, (trial, attempt): Key, skipped: u64) {
        let note = self.note();
        if let Some((at, place)) = self.place {
            apply(
                study,
                at,
                Event::Placed {
                    trial,
                    attempt,
                    place,
                },
            );
        }
        let mut skipped = skipped;
        for (at, record, line_end) in self.records {
            if is_recorded(&mut skipped, &record, line_end) {
                continue;
            }
            apply(
                study,
                at,
                Event::Logged {
                    trial,
                    attempt,
                    record,
                    line_end,
                },
            );
        }
        if let Some((at, exit, usage)) = self.exit {
            apply(
                study,
                at,
                Event::Ended {
                    trial,
                    attempt,
                    exit,
                    usage,
                },
            );
        }
        study.annotate(trial, note);
    }

    fn note(&self) -> String {
        let verb = match (&self.exit, &self.place) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "runs",
            (None, None) => "waits",
        };
        let silence = if self.silence > QUIET && self.exit.is_none() {
            let seconds = Duration::from_secs(self.silence.as_secs());
            format!(", silent for {}", HumanDuration(seconds))
        } else {
            String::new()
        };
        format!(
            "{verb} in a pilot on {}{silence}; `swath run` continues",
            self.host
        )
    }
}

/// Applies an event that the journal does not have yet. It takes no time of the sweep.
fn apply(study: &mut Study, at: Timestamp, event: Event) {
    let last = study.at().unwrap_or(at);
    let at = at.max(last);
    let entry = Entry {
        seq: study.next_seq(),
        at,
        event,
        away: Some(u64::try_from(at.since(last).as_micros()).unwrap_or(u64::MAX)),
    };
    // A trial that was judged complete meanwhile, for example, cannot get it; the next run decides.
    study.apply(&entry).ok();
}

/// Returns the running attempts of the study that pilots have ended or may still run.
fn attempts_in_pilots(dir: &StudyDir, study: &Study) -> BTreeMap<Key, Story> {
    let running: BTreeSet<Key> = study
        .running()
        .filter_map(|id| study.trial(id))
        .map(|trial| (trial.id, Attempt(trial.attempts)))
        .collect();
    let mut attempts = BTreeMap::new();
    // The next run moves these files away.
    if journal::is_of_other_study(&dir.pilots(), study.header().id.as_deref()) {
        return attempts;
    }
    let dir = PilotDir::of(dir.root());
    let Ok(live) = ledger::read(&dir) else {
        return attempts;
    };
    for (batch, jobs) in live.batches {
        for index in (0..jobs.count).filter(|index| !jobs.gone.contains(index)) {
            for life in 0.. {
                let name = pilot_name(&batch, index, life);
                if !dir.journal(&name).exists() {
                    break;
                }
                attempts.extend(attempts_of(&dir, &name, &running));
            }
        }
    }
    attempts
}

/// Returns those of the `running` attempts that a pilot was ordered to run, except those that it
/// has lost.
fn attempts_of(dir: &PilotDir, name: &str, running: &BTreeSet<Key>) -> BTreeMap<Key, Story> {
    let mut attempts: BTreeMap<Key, Story> = BTreeMap::new();
    read_all(dir.orders(name), &mut |order| {
        if let Order::Start(start) = order
            && running.contains(&(start.trial, start.attempt))
        {
            attempts.insert((start.trial, start.attempt), Story::default());
        }
    });
    if attempts.is_empty() {
        return attempts;
    }
    let mut pilot: Option<Place> = None;
    let mut last_message = None;
    let mut has_left = false;
    read_all(dir.journal(name), &mut |Message { at, kind, .. }| {
        last_message = Some(at);
        let kind = match AttemptMessage::of(at, kind) {
            Ok(message) => {
                if let Some(story) = attempts.get_mut(&(message.trial, message.attempt)) {
                    story.add(at, message.event, pilot.as_ref());
                }
                return;
            }
            Err(kind) => *kind,
        };
        match kind {
            MessageKind::Hello(hello) => pilot = Some(hello.place),
            MessageKind::Bye { .. } => has_left = true,
            _ => {}
        }
    });
    let silence = last_message.map_or(Duration::ZERO, |at| Timestamp::now().since(at));
    let is_gone = has_left || silence > SILENT;
    attempts.retain(|_, story| story.exit.is_some() || !is_gone);
    let host = pilot.map_or_else(String::new, |place| place.host);
    for story in attempts.values_mut() {
        story.host.clone_from(&host);
        story.silence = silence;
    }
    attempts
}

/// Passes all lines of a file to `each`. A line that a crash has torn is skipped, and an error ends
/// the reading: the rest is shown as if it had not been written yet.
fn read_all<T: serde::de::DeserializeOwned>(path: std::path::PathBuf, each: &mut dyn FnMut(T)) {
    let mut reader = Reader::new(path);
    // A bad line is skipped only at the second read.
    for _ in 0..2 {
        while let Ok(true) = reader.read(each) {}
    }
}

/// Returns, by trial, the number of records of its last attempt in the journal, without warnings.
fn recorded(dir: &StudyDir) -> BTreeMap<TrialId, u64> {
    let mut recorded: BTreeMap<TrialId, u64> = BTreeMap::new();
    for entry in Journal::open(dir).into_iter().flatten().flatten() {
        match entry.event {
            Event::Started { trial, .. } => drop(recorded.insert(trial, 0)),
            Event::Logged {
                record: LogRecord::Warning { .. },
                ..
            } => {}
            Event::Logged { trial, .. } => *recorded.entry(trial).or_default() += 1,
            _ => {}
        }
    }
    recorded
}

#[cfg(test)]
mod tests {
    use super::super::lines::Writer;
    use super::super::wire::{Assignment, Hello};
    use super::*;
    use swath_engine::executor::{Invocation, Launch};
    use swath_model::demo::Demo;
    use swath_model::space::Params;
    use swath_model::study::{Datum, Metric, TrialState};

    fn place() -> Place {
        Place {
            host: "n1".into(),
            pid: Some(7),
            start_ticks: None,
            boot_id: None,
            job: None,
            since: None,
        }
    }

    fn report(value: f64) -> LogRecord {
        LogRecord::Report {
            values: vec![("val_loss".into(), Datum::Number(Metric(value)))],
        }
    }

    fn order(trial: u32) -> Order {
        let launch = Launch {
            trial: TrialId(trial),
            attempt: Attempt(1),
            params: Params::default(),
            seed: 0,
            slot: 0,
            dir: std::path::PathBuf::new(),
            until: None,
            resume: false,
            resume_step: None,
            from: None,
            prepared: Vec::new(),
            preparation: None,
        };
        Order::Start(Box::new(Assignment::of(&launch, Invocation::default())))
    }

    /// The messages of a pilot that has ended trial 1, runs trial 2 and has not begun trial 3.
    fn messages() -> Vec<MessageKind> {
        let (first, second, attempt) = (TrialId(1), TrialId(2), Attempt(1));
        vec![
            MessageKind::Hello(Hello {
                protocol: super::super::PROTOCOL,
                swath: "0.1.0".into(),
                place: place(),
                slots: 2,
            }),
            MessageKind::Placed {
                trial: first,
                attempt,
                place: place(),
            },
            MessageKind::Logged {
                trial: first,
                attempt,
                record: report(0.9),
                line_end: None,
            },
            MessageKind::Logged {
                trial: first,
                attempt,
                record: report(0.5),
                line_end: None,
            },
            MessageKind::Placed {
                trial: second,
                attempt,
                place: place(),
            },
            MessageKind::Ended {
                trial: first,
                attempt,
                exit: Exit::Done,
                usage: Usage::default(),
                seconds: 3.25,
            },
        ]
    }

    /// Writes a study with four running trials, of which a pilot was ordered to run the first
    /// three, and the journal of the pilot. The study's journal has one report of trial 1.
    fn write(root: &std::path::Path, messages: Vec<MessageKind>) -> StudyDir {
        let mut demo = Demo::new(&[]);
        for _ in 0..4 {
            demo.start(&[]);
        }
        demo.log(TrialId(1), report(0.9));
        let dir = StudyDir::new(root, "digits");
        std::fs::create_dir_all(dir.root().join("pilots")).unwrap();
        let lines: String = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        std::fs::write(dir.journal(), lines).unwrap();
        let pilots = PilotDir::of(dir.root());
        let (mut ledger, _) = ledger::Ledger::open(&pilots).unwrap();
        ledger
            .append(&ledger::LedgerLine::Intent {
                batch: "b".into(),
                count: 1,
            })
            .unwrap();
        let mut orders = Writer::create(pilots.orders("b.0")).unwrap();
        for trial in 1..=3 {
            orders.push(&order(trial)).unwrap();
        }
        orders.flush().unwrap();
        let mut journal = Writer::create(pilots.journal("b.0")).unwrap();
        for (seq, kind) in (1..).zip(messages) {
            let at = Timestamp::now();
            journal.push(&Message { seq, at, kind }).unwrap();
        }
        journal.flush().unwrap();
        dir
    }

    fn states(study: &Study) -> Vec<TrialState> {
        let trials = study.trials().iter();
        trials.map(|trial| trial.state.clone()).collect()
    }

    #[test]
    fn the_trials_of_a_pilot_without_an_orchestrator_are_shown_as_the_pilot_reports_them() {
        let root = tempfile::tempdir().unwrap();
        let dir = write(root.path(), messages());
        let study = settled(&dir).unwrap();
        let expected = [
            TrialState::Complete,
            TrialState::Running,
            TrialState::Running,
            TrialState::Waiting,
        ];
        assert_eq!(states(&study), expected);
        let first = study.trial(TrialId(1)).unwrap();
        assert_eq!((first.reports, first.seconds), (2, 3.25));
        let notes = (1..=4).map(|trial| study.annotation(TrialId(trial)));
        let expected = [
            Some("ended in a pilot on n1; `swath run` continues"),
            Some("runs in a pilot on n1; `swath run` continues"),
            Some("waits in a pilot on n1; `swath run` continues"),
            None,
        ];
        assert_eq!(notes.collect::<Vec<_>>(), expected);
        assert_eq!(study.used(), journal::read(&dir).unwrap().used());
    }

    #[test]
    fn the_trials_of_a_pilot_that_has_left_are_lost_unless_it_has_ended_them() {
        let root = tempfile::tempdir().unwrap();
        let mut messages = messages();
        messages.push(MessageKind::Bye {
            why: "its job ended".into(),
            told: true,
        });
        let study = settled(&write(root.path(), messages)).unwrap();
        let mut expected = vec![TrialState::Complete];
        expected.resize(4, TrialState::Waiting);
        assert_eq!(states(&study), expected);
        assert_eq!(study.trial(TrialId(2)).unwrap().exit, Some(Exit::Lost));
    }
}
