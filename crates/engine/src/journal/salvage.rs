//! Repair of a damaged journal.
//!
//! Every entry that can be read is kept. Where a lost entry leaves a gap (a trial that was never
//! created, an attempt that never started), the gap is filled with the minimum that must have
//! happened, taken from the trial's folder where possible. The damaged journal is kept as a backup.

use super::{JournalError, StudyDir, line};
use crate::space::Params;
use crate::study::{
    Attempt, Entry, Event, Exit, FORMAT, Header, IllegalEvent, Origin, Study, Timestamp, TrialId,
    TrialState, Usage,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// The result of a repair.
#[derive(Debug, Clone, PartialEq)]
pub struct Salvaged {
    /// The number of entries that were kept.
    pub kept: u64,
    /// The lines that could not be kept: the number, from 1, and the reason.
    pub dropped: Vec<(u64, String)>,
    /// Descriptions of the events that were made up to fill gaps.
    pub filled: Vec<String>,
    /// The path of the damaged journal's backup; `None` if nothing was wrong with the journal.
    pub backup: Option<PathBuf>,
}

/// Rewrites the journal from all its good entries, if any line is damaged or missing. Only the
/// holder of the lock may call this. `header` is used if the journal has lost its first line.
///
/// # Errors
/// If the journal cannot be read, or the new one cannot be written: the old one is then unchanged.
/// A journal of a newer version is an error too and is left unchanged.
pub fn salvage(dir: &StudyDir, header: Header) -> Result<Salvaged, JournalError> {
    let path = dir.journal();
    let fail = |source| JournalError::Io {
        path: path.clone(),
        source,
    };
    let bytes = fs::read(&path).map_err(fail)?;
    let mut mending = Mending {
        dir,
        header,
        study: Study::default(),
        out: Vec::new(),
        bare: BTreeSet::new(),
        has_gap: false,
        found: Salvaged {
            kept: 0,
            dropped: Vec::new(),
            filled: Vec::new(),
            backup: None,
        },
    };
    let mut number = 0;
    let mut broken = false;
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        number += 1;
        let Some(whole) = piece.strip_suffix(b"\n") else {
            if line::whole(piece).is_none() {
                // A torn line: it was never committed.
                continue;
            }
            // A complete entry without a newline: its line break was damaged.
            broken = true;
            mending.line(number, piece)?;
            continue;
        };
        mending.line(number, whole)?;
    }
    // The journal is in order: leave the file untouched.
    if mending.found.dropped.is_empty()
        && mending.found.filled.is_empty()
        && !broken
        && !mending.has_gap
        && !mending.rejoined(&bytes)
    {
        return Ok(mending.found);
    }
    mending.end();
    let backup = (1..).map(|number| dir.root().join(format!("journal.damaged-{number}.jsonl")));
    let Some(backup) = backup.into_iter().find(|path| !path.exists()) else {
        return Ok(mending.found);
    };
    // The backup is a copy, so that there is a journal at every moment.
    fs::copy(&path, &backup).map_err(fail)?;
    let mut file = tempfile::NamedTempFile::new_in(dir.root()).map_err(fail)?;
    let written = file
        .write_all(&mending.out)
        .and_then(|()| file.as_file().sync_all());
    written.map_err(fail)?;
    // The temporary file has mode 0600, but other users may be allowed to read the journal.
    let about = fs::metadata(&path).map_err(fail)?;
    file.as_file()
        .set_permissions(about.permissions())
        .map_err(fail)?;
    file.persist(&path).map_err(|error| fail(error.error))?;
    // The snapshot was made from the damaged journal, whose offsets are no longer valid.
    let _ = fs::remove_file(dir.snapshot());
    mending.found.backup = Some(backup);
    Ok(mending.found)
}

/// A repair in progress.
struct Mending<'a> {
    dir: &'a StudyDir,
    header: Header,
    /// The study as rebuilt so far.
    study: Study,
    /// The lines of the new journal.
    out: Vec<u8>,
    /// Trials without any known parameters. They are removed at the end.
    bare: BTreeSet<TrialId>,
    /// Whether whole lines are missing before a good one, so that the sequence numbers have a gap
    /// and the entries must be renumbered.
    has_gap: bool,
    found: Salvaged,
}

impl Mending<'_> {
    /// Reads a line, or two lines that were joined because the break between them was damaged.
    fn line(&mut self, number: u64, bytes: &[u8]) -> Result<(), JournalError> {
        let why = match line::read(bytes) {
            Ok(entry) => return self.entry(number, entry),
            Err(why) => why,
        };
        let Some(end) = line::whole(bytes) else {
            self.found.dropped.push((number, why));
            return Ok(());
        };
        let (first, rest) = bytes.split_at(end);
        if let Ok(entry) = line::read(first) {
            self.entry(number, entry)?;
        }
        // Skips the damaged line break itself, which is one byte.
        match rest.get(1..) {
            None | Some([]) => Ok(()),
            Some(rest) => self.line(number, rest),
        }
    }

    /// Returns whether lines were split that had been joined.
    fn rejoined(&self, bytes: &[u8]) -> bool {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.found.kept > lines
    }

    /// Keeps an entry, after filling the gap before it.
    fn entry(&mut self, number: u64, entry: Entry) -> Result<(), JournalError> {
        let Entry {
            seq,
            at,
            event,
            away,
        } = entry;
        self.has_gap |= seq != self.study.next_seq();
        loop {
            let error = match self.put(at, event.clone(), away) {
                Ok(()) => {
                    self.found.kept += 1;
                    return Ok(());
                }
                Err(error) => error,
            };
            // This version cannot judge an entry of a newer format, so it must not drop it.
            if matches!(error, IllegalEvent::Newer { .. }) {
                return Err(JournalError::Illegal {
                    path: self.dir.journal(),
                    line: number,
                    source: error,
                });
            }
            let Some((before, words)) = self.before(&event, &error) else {
                self.found.dropped.push((number, error.to_string()));
                return Ok(());
            };
            // The made-up event is not allowed either: the entry cannot be explained.
            if self.put(at, before, None).is_err() {
                self.found.dropped.push((number, error.to_string()));
                return Ok(());
            }
            self.found.filled.push(words);
        }
    }

    /// Applies an event to the study and appends it to the new journal, under the next sequence
    /// number.
    fn put(&mut self, at: Timestamp, event: Event, away: Option<u64>) -> Result<(), IllegalEvent> {
        let entry = Entry {
            seq: self.study.next_seq(),
            at,
            event,
            away,
        };
        self.study.apply(&entry)?;
        // This cannot fail: the event was parsed from JSON before.
        line::write(&mut self.out, &entry).ok();
        Ok(())
    }

    /// Returns the event that must have preceded an event which is not allowed here, with a
    /// description; `None` if no event explains it.
    fn before(&mut self, event: &Event, error: &IllegalEvent) -> Option<(Event, String)> {
        match error {
            IllegalEvent::Opening if self.study.next_seq() == 0 => {
                let opened = Event::Opened {
                    format: FORMAT,
                    header: self.header.clone(),
                };
                Some((opened, "the opening of the study".to_owned()))
            }
            IllegalEvent::WrongId { actual: id, .. } | IllegalEvent::NoSuchTrial(id) => {
                self.created(*id)
            }
            IllegalEvent::WrongState { trial, .. } | IllegalEvent::WrongAttempt { trial, .. } => {
                self.attempt(*trial, event)
            }
            _ => None,
        }
    }

    /// Creates the next trial from the files in its folder. Each lost trial implies a lost line, so
    /// a larger gap in the ids is not filled.
    fn created(&mut self, wanted: TrialId) -> Option<(Event, String)> {
        let trial = self.study.next_id();
        let lost = self.found.dropped.len() as u64;
        if wanted < trial || u64::from(wanted.0 - trial.0) > lost {
            return None;
        }
        let folder = self.dir.trial(trial);
        let params = fs::read(folder.join("params.json")).ok();
        let params: Option<Params> = params.and_then(|text| serde_json::from_slice(&text).ok());
        let info = fs::read_to_string(folder.join("metadata/info.yaml")).unwrap_or_default();
        let seed = info
            .lines()
            .find_map(|line| line.strip_prefix("  seed: ")?.parse().ok())
            .unwrap_or(0);
        let words = match params {
            Some(_) => format!("trial {trial}, from the parameters in its folder"),
            None => format!("trial {trial}, of which nothing is known: it is removed"),
        };
        if params.is_none() {
            self.bare.insert(trial);
        }
        let params = params.unwrap_or_default();
        Some((
            Event::Created {
                trial,
                params,
                origin: Origin::Added,
                seed,
            },
            words,
        ))
    }

    /// Starts, ends or requeues a trial so that `event` becomes legal for it.
    fn attempt(&self, id: TrialId, event: &Event) -> Option<(Event, String)> {
        let trial = self.study.trial(id)?;
        let running = Attempt(trial.attempts);
        let lost = || {
            let ended = Event::Ended {
                trial: id,
                attempt: running,
                exit: Exit::Lost,
                usage: Usage::default(),
            };
            Some((ended, format!("the end of attempt {running} of trial {id}")))
        };
        // Attempts before `wanted` may be made up: an event within attempt n needs the start of n,
        // the start of n only the attempts before it.
        let wanted = match event {
            Event::Started { attempt, .. } => attempt.0,
            Event::Placed { attempt, .. }
            | Event::Logged { attempt, .. }
            | Event::Ended { attempt, .. } => {
                // An event of an attempt that is over cannot be placed any more.
                if attempt.0 <= running.0 {
                    return None;
                }
                attempt.0 + 1
            }
            // A verdict names no attempt: one missing start is enough to allow it.
            Event::Judged { .. } => running.0 + 2,
            Event::Requeued { .. } | Event::Removed { .. }
                if trial.state == TrialState::Running =>
            {
                return lost();
            }
            _ => return None,
        };
        match trial.state {
            TrialState::Running => lost(),
            TrialState::Failed | TrialState::Stopped => {
                let why = "the journal was salvaged".to_owned();
                Some((
                    Event::Requeued {
                        trial: id,
                        why,
                        not_before: None,
                        forgiven: true,
                    },
                    format!("that trial {id} waited again"),
                ))
            }
            TrialState::Waiting | TrialState::Paused if running.0 + 1 < wanted => {
                let attempt = Attempt(running.0 + 1);
                let resume = running.0 > 0;
                let started = Event::Started {
                    trial: id,
                    attempt,
                    until: None,
                    slot: 0,
                    resume,
                };
                Some((
                    started,
                    format!("the start of attempt {attempt} of trial {id}"),
                ))
            }
            _ => None,
        }
    }

    /// Removes the trials without known parameters: they could not be run.
    fn end(&mut self) {
        let at = self.study.at().unwrap_or(Timestamp::from_micros(0));
        for id in std::mem::take(&mut self.bare) {
            if let Some(trial) = self
                .study
                .trial(id)
                .filter(|trial| trial.state == TrialState::Running)
            {
                let attempt = Attempt(trial.attempts);
                let lost = Event::Ended {
                    trial: id,
                    attempt,
                    exit: Exit::Lost,
                    usage: Usage::default(),
                };
                self.put(at, lost, None).ok();
            }
            self.put(at, Event::Removed { trials: vec![id] }, None).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Replay, read};
    use crate::study::{Closing, Datum, LogRecord, Metric};

    fn events() -> Vec<Event> {
        let mut events = vec![Event::Opened {
            format: FORMAT,
            header: Header {
                name: "s".into(),
                ..Header::default()
            },
        }];
        for id in 1..=2 {
            let trial = TrialId(id);
            let params = [("x".into(), crate::space::Value::Float(0.5))]
                .into_iter()
                .collect();
            events.push(Event::Created {
                trial,
                params,
                origin: Origin::Suggested("r".into()),
                seed: 1,
            });
            for attempt in [Attempt(1), Attempt(2)] {
                events.push(Event::Started {
                    trial,
                    attempt,
                    until: None,
                    slot: 0,
                    resume: true,
                });
                let values = vec![("loss".into(), Datum::Number(Metric(0.5)))];
                events.push(Event::Logged {
                    trial,
                    attempt,
                    record: LogRecord::Report { values },
                });
                let exit = if attempt.0 == 1 {
                    Exit::Lost
                } else {
                    Exit::Done
                };
                events.push(Event::Ended {
                    trial,
                    attempt,
                    exit,
                    usage: Usage::default(),
                });
            }
        }
        events.push(Event::Closed {
            why: Closing::Finished,
        });
        events
    }

    fn written() -> (tempfile::TempDir, StudyDir) {
        // In memory where such a folder exists: the tests write thousands of journals.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let dir = StudyDir::at(folder.path());
        let mut journal = Journal::open(&dir).and_then(Replay::into_writer).unwrap();
        for event in events() {
            journal.append(event, Timestamp::from_micros(0)).unwrap();
        }
        journal.sync().unwrap();
        for id in 1..=3 {
            fs::create_dir(dir.trial(TrialId(id))).unwrap();
            fs::write(dir.trial(TrialId(id)).join("params.json"), "{\"x\": 0.5}\n").unwrap();
        }
        (folder, dir)
    }

    #[test]
    fn a_good_journal_is_left_as_it_is() {
        let (_folder, dir) = written();
        let before = fs::read(dir.journal()).unwrap();
        let found = salvage(&dir, Header::default()).unwrap();
        assert_eq!((found.kept, found.backup), (events().len() as u64, None));
        assert_eq!(fs::read(dir.journal()).unwrap(), before);
    }

    #[test]
    fn a_journal_from_which_whole_lines_are_gone_is_numbered_anew() {
        let (_folder, dir) = written();
        let whole = fs::read_to_string(dir.journal()).unwrap();
        // Drops all lines of trial 1 but its creation. The rest is still legal, with other sequence
        // numbers.
        let lines: Vec<&str> = whole.lines().collect();
        fs::write(
            dir.journal(),
            [&lines[..2], &lines[8..]].concat().join("\n") + "\n",
        )
        .unwrap();
        assert!(read(&dir).is_err());
        let found = salvage(&dir, Header::default()).unwrap();
        assert_eq!(
            (found.kept, found.dropped.len(), found.filled.len()),
            (lines.len() as u64 - 6, 0, 0)
        );
        assert!(found.backup.is_some());
        assert_eq!(read(&dir).unwrap().trials().len(), 2);
    }

    #[test]
    fn of_a_journal_with_a_flipped_bit_anywhere_every_other_entry_is_kept() {
        let (_folder, dir) = written();
        let whole = fs::read(dir.journal()).unwrap();
        let all = events();
        let header = || Header {
            name: "s".into(),
            ..Header::default()
        };
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(dir.journal(), &flipped).unwrap();
            let found = salvage(&dir, header()).unwrap();
            let backup = found
                .backup
                .clone()
                .unwrap_or_else(|| panic!("byte {at}: not found"));
            assert_eq!(fs::read(&backup).unwrap(), flipped);
            fs::remove_file(backup).unwrap();
            let study = read(&dir).unwrap_or_else(|error| panic!("byte {at}: {error}"));
            let line = whole[..at].iter().filter(|byte| **byte == b'\n').count();
            let lost = u64::from(whole[at] != b'\n');
            assert_eq!(found.kept, all.len() as u64 - lost, "byte {at}: {found:?}");
            assert!(
                found
                    .dropped
                    .iter()
                    .all(|(number, _)| *number as usize > line),
                "byte {at}: {found:?}"
            );
            // The entries that were kept are original entries in their original order.
            let kept: Vec<Event> = Journal::open(&dir)
                .unwrap()
                .map(|entry| entry.unwrap().event)
                .collect();
            let mut rest = kept.iter();
            let wanted = all
                .iter()
                .enumerate()
                .filter(|(number, _)| lost == 0 || *number != line);
            for (_, event) in wanted {
                assert!(
                    rest.any(|found| found == event),
                    "byte {at}: {event:?} is not there"
                );
            }
            // Without the last `Ended`, the last trial counts as lost with its run.
            assert!(
                study.trials().len() == 2 && study.running_count() <= 1,
                "byte {at}"
            );
            assert!(
                study
                    .trials()
                    .iter()
                    .all(|trial| trial.params.get("x").is_some() && !trial.removed)
            );
        }
    }

    #[test]
    fn a_lost_trial_of_which_nothing_is_known_is_removed_and_the_others_keep_their_ids() {
        let (_folder, dir) = written();
        fs::remove_dir_all(dir.trial(TrialId(2))).unwrap();
        let text = fs::read_to_string(dir.journal()).unwrap();
        fs::write(
            dir.journal(),
            text.replace("{\"created\":{\"trial\":2", "{\"created\":{\"trial\":7"),
        )
        .unwrap();
        let found = salvage(&dir, Header::default()).unwrap();
        assert_eq!(
            (found.dropped.len(), found.filled.len()),
            (1, 1),
            "{found:?}"
        );
        let study = read(&dir).unwrap();
        let removed: Vec<bool> = study.trials().iter().map(|trial| trial.removed).collect();
        assert_eq!((removed, study.next_id()), (vec![false, true], TrialId(3)));
    }

    #[test]
    fn a_journal_of_a_newer_version_is_left_alone() {
        let (_folder, dir) = written();
        let text = fs::read_to_string(dir.journal()).unwrap();
        let newer = "{\"seq\":0,\"at\":\"1970-01-01T00:00:00Z\",\"event\":{\"opened\":{\"format\":99,\"header\":";
        let header = serde_json::to_string(&Header::default()).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(dir.journal(), format!("{newer}{header}}}}}}}\n{rest}")).unwrap();
        let before = fs::read(dir.journal()).unwrap();
        assert!(matches!(
            salvage(&dir, Header::default()),
            Err(JournalError::Illegal { line: 1, .. })
        ));
        assert_eq!(fs::read(dir.journal()).unwrap(), before);
    }
}
