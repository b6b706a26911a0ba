//! Repair of a damaged journal.
//!
//! Every entry that can be read is kept. Where a lost entry leaves a gap (a trial that was never
//! created, an attempt that never started), the gap is filled with the minimum that must have
//! happened, taken from the trial's folder where possible. The damaged journal is kept as a backup.
//! Preparations are treated as trials are. The values of a lost one are unknown, so no trial finds
//! its output, which is made again if a trial needs it.

use super::line::{self, Line};
use super::{JournalError, Shortfall, StudyDir, mark, ownership};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use swath_log::regular;
use swath_model::space::Params;
use swath_model::study::{
    Attempt, Entry, Event, Exit, FORMAT, Failure, Header, IllegalEvent, Origin, PreparationChange,
    PreparationId, Study, Timestamp, TrialId, TrialState, Usage, Verdict,
};

/// Maximum number of trials or attempts that are made up in one place. A number in a line without a
/// checksum may be any.
const MOST_MADE_UP: u64 = 10_000;

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
    /// The entries that the journal has lost at its end, or the sign that it is another copy. What
    /// is there counts from now on. `None` if nothing is missing.
    pub short: Option<Shortfall>,
}

/// Rewrites the journal from all its good entries, if any line is damaged or missing. Only the
/// holder of the lock may call this. `header` is used if the journal has lost its first line.
///
/// # Errors
/// If the journal cannot be read, or the new one cannot be written: the old one is then unchanged.
/// A journal of a newer version is an error too and is left unchanged.
pub fn salvage(dir: &StudyDir, header: Header) -> Result<Salvaged, JournalError> {
    let path = dir.journal();
    let bytes = fs::read(&path).map_err(|source| JournalError::io(&path, source))?;
    let mut repair = Repair {
        dir,
        header,
        study: Study::default(),
        out: Vec::new(),
        without_params: BTreeSet::new(),
        has_gap: false,
        has_damaged_break: false,
        lost: 0,
        result: Salvaged {
            kept: 0,
            dropped: Vec::new(),
            filled: Vec::new(),
            backup: None,
            short: mark::shortfall(dir),
        },
        last: None,
        last_read: None,
    };
    let mut number = 0;
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        number += 1;
        let Some(line) = piece.strip_suffix(b"\n") else {
            if line::complete_entry(piece).is_none() {
                // A torn line: it was never committed.
                continue;
            }
            // A complete entry without a newline: its line break was damaged.
            repair.has_damaged_break = true;
            repair.add_line(number, piece)?;
            continue;
        };
        repair.add_line(number, line)?;
    }
    // The journal is in order: leave the file untouched.
    if repair.result.dropped.is_empty()
        && repair.result.filled.is_empty()
        && !repair.has_damaged_break
        && !repair.has_gap
    {
        if repair.result.short.is_some() {
            repair
                .accept()
                .map_err(|source| JournalError::io(&path, source))?;
        }
        return Ok(repair.result);
    }
    repair.remove_trials_without_params();
    let backup = (1..).map(|number| dir.root().join(format!("journal.damaged-{number}.jsonl")));
    let Some(backup) = backup.into_iter().find(|path| !path.exists()) else {
        return Ok(repair.result);
    };
    replace_journal(dir, &backup, &repair.out).map_err(|source| JournalError::io(&path, source))?;
    repair
        .accept()
        .map_err(|source| JournalError::io(&path, source))?;
    repair.result.backup = Some(backup);
    Ok(repair.result)
}

/// Replaces the journal by `lines` and keeps the old one as `backup`.
fn replace_journal(dir: &StudyDir, backup: &Path, lines: &[u8]) -> std::io::Result<()> {
    let path = dir.journal();
    // The backup is a copy, so that there is a journal at every moment.
    fs::copy(&path, backup)?;
    let mut file = tempfile::NamedTempFile::new_in(dir.root())?;
    file.write_all(lines)?;
    file.as_file().sync_all()?;
    // The temporary file has mode 0600, but other users may be allowed to read the journal.
    file.as_file()
        .set_permissions(fs::metadata(&path)?.permissions())?;
    file.persist(&path)?;
    Ok(())
}

/// A repair in progress.
struct Repair<'a> {
    dir: &'a StudyDir,
    header: Header,
    /// The study as rebuilt so far.
    study: Study,
    /// The lines of the new journal.
    out: Vec<u8>,
    /// Trials without any known parameters. They are removed at the end.
    without_params: BTreeSet<TrialId>,
    /// The checksum of the last line of the new journal.
    last: Option<line::Link>,
    /// The last line of the old journal that was kept; `None` after a damaged one.
    last_read: Option<Line>,
    /// Whether whole lines are missing before a good one, so that the sequence numbers have a gap
    /// and the entries must be renumbered.
    has_gap: bool,
    /// Whether a good entry has no line of its own, so that the lines must be written again.
    has_damaged_break: bool,
    /// Number of lines that were lost so far, damaged or missing.
    lost: u64,
    result: Salvaged,
}

impl Repair<'_> {
    /// Reads a line, or two lines that were joined because the break between them was damaged.
    fn add_line(&mut self, number: u64, bytes: &[u8]) -> Result<(), JournalError> {
        let why = match line::read(bytes) {
            Ok(line) => return self.add_good_line(number, line),
            Err(why) => why,
        };
        // The line before the next one is unknown.
        self.last_read = None;
        let Some(end) = line::complete_entry(bytes) else {
            self.result.dropped.push((number, why));
            return Ok(());
        };
        self.has_damaged_break = true;
        let (first, rest) = bytes.split_at(end);
        if let Ok(line) = line::read(first) {
            self.add_good_line(number, line)?;
        }
        // Skips the damaged line break itself, which is one byte.
        match rest.get(1..) {
            None | Some([]) => Ok(()),
            Some(rest) => self.add_line(number, rest),
        }
    }

    /// Makes the journal, as it is now, the one that counts: removes its mark, and what was made from
    /// the earlier one.
    fn accept(&self) -> std::io::Result<()> {
        // The snapshot was made from the earlier journal, whose offsets are no longer valid.
        let _ = fs::remove_file(self.dir.snapshot());
        // Pilots have recorded the results of attempts that this journal may give to other trials.
        let pilots = self.dir.root().join("pilots");
        if self.result.short.is_some() && pilots.exists() {
            ownership::set_aside(self.dir, &pilots)?;
        }
        // The next run sets a new mark with its first sync.
        match fs::remove_file(self.dir.mark()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns whether a line does not continue the line before it, because another history of the
    /// study was written behind it.
    fn is_of_other_history(&self, line: &Line) -> bool {
        let Some(before) = &self.last_read else {
            return false;
        };
        match line.previous {
            Some(previous) => line.entry.seq == before.entry.seq + 1 && previous != before.link,
            // A line without a link cannot follow one that has it.
            None => before.previous.is_some(),
        }
    }

    /// Keeps the entry of a line that is not damaged, unless the line is of another history.
    fn add_good_line(&mut self, number: u64, line: Line) -> Result<(), JournalError> {
        if self.is_of_other_history(&line) {
            let why = "it does not continue the line before it".to_owned();
            self.result.dropped.push((number, why));
            return Ok(());
        }
        let entry = line.entry.clone();
        self.last_read = Some(line);
        self.add_entry(number, entry)
    }

    /// Keeps an entry, after filling the gap before it.
    fn add_entry(&mut self, number: u64, entry: Entry) -> Result<(), JournalError> {
        let Entry {
            seq,
            at,
            event,
            away,
        } = entry;
        self.has_gap |= seq != self.study.next_seq();
        let missing = seq.saturating_sub(self.result.kept);
        let dropped = self.result.dropped.len() as u64;
        self.lost = self.lost.max(missing).max(dropped).min(MOST_MADE_UP);
        loop {
            let error = match self.append(at, event.clone(), away) {
                Ok(()) => {
                    self.result.kept += 1;
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
            let Some((missing, description)) = self.missing_event(&event, &error) else {
                self.result.dropped.push((number, error.to_string()));
                return Ok(());
            };
            // The made-up event is not allowed either: the entry cannot be explained.
            if self.append(at, missing, None).is_err() {
                self.result.dropped.push((number, error.to_string()));
                return Ok(());
            }
            self.result.filled.push(description);
        }
    }

    /// Applies an event to the study and appends it to the new journal, under the next sequence
    /// number.
    fn append(
        &mut self,
        at: Timestamp,
        event: Event,
        away: Option<u64>,
    ) -> Result<(), IllegalEvent> {
        let entry = Entry {
            seq: self.study.next_seq(),
            at,
            event,
            away,
        };
        self.study.apply(&entry)?;
        // This cannot fail: the event was parsed from JSON before.
        self.last = line::write(&mut self.out, &entry, self.last).ok();
        Ok(())
    }

    /// Returns the event that must have preceded an event which is not allowed here, with a
    /// description; `None` if no event explains it.
    fn missing_event(&mut self, event: &Event, error: &IllegalEvent) -> Option<(Event, String)> {
        match error {
            IllegalEvent::Opening if self.study.next_seq() == 0 => {
                let opened = Event::Opened {
                    format: FORMAT,
                    header: self.header.clone(),
                };
                Some((opened, "the opening of the study".to_owned()))
            }
            IllegalEvent::WrongId { actual: id, .. } | IllegalEvent::NoSuchTrial(id) => {
                self.missing_trial(*id)
            }
            IllegalEvent::WrongState { trial, .. } | IllegalEvent::WrongAttempt { trial, .. } => {
                self.missing_transition(*trial, event)
            }
            IllegalEvent::Preparation { preparation, .. } => match event {
                Event::Preparation { change, .. } => self.missing_change(*preparation, change),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the change of a preparation that must have preceded `change`.
    fn missing_change(
        &self,
        id: PreparationId,
        change: &PreparationChange,
    ) -> Option<(Event, String)> {
        let Some(preparation) = self.study.preparation(id) else {
            return self.missing_preparation(id);
        };
        let running = preparation.execution.attempts;
        let is_running = preparation.execution.state == TrialState::Running;
        let last_missing = match change {
            PreparationChange::Started { attempt, .. } => attempt.0.saturating_sub(1),
            PreparationChange::Placed { attempt, .. }
            | PreparationChange::Logged { attempt, .. }
            | PreparationChange::Ended { attempt, .. } => attempt.0,
            // Only a failure is followed by another try.
            PreparationChange::Requeued { .. } if is_running => {
                let failure = Failure::Error("its end was lost".to_owned());
                return Some(lost_end_of_preparation(id, running, Exit::Failed(failure)));
            }
            _ => return None,
        };
        let begins = matches!(change, PreparationChange::Started { .. });
        if is_running && (begins || running < last_missing) {
            return Some(lost_end_of_preparation(id, running, Exit::Lost));
        }
        // Each lost attempt implies a lost line, as for trials.
        if running >= last_missing || u64::from(last_missing - running) > self.lost {
            return None;
        }
        let attempt = Attempt(running + 1);
        let started = PreparationChange::Started {
            attempt,
            slot: 0,
            resume: false,
        };
        let what = format!("the start of attempt {attempt} of preparation {id}");
        Some((of_preparation(id, started), what))
    }

    /// Creates the next preparation. Each lost one implies a lost line, so a larger gap in the ids is
    /// not filled.
    fn missing_preparation(&self, named: PreparationId) -> Option<(Event, String)> {
        let next = self.study.next_preparation_id();
        if named < next || u64::from(named.0 - next.0) > self.lost {
            return None;
        }
        let created = PreparationChange::Created {
            name: "lost".into(),
            digest: format!("lost-{next}"),
            params: Params::default(),
            inputs: Vec::new(),
        };
        let what = format!("preparation {next}, whose values are lost");
        Some((of_preparation(next, created), what))
    }

    /// Creates the next trial from the files in its folder. Each lost trial implies a lost line, so
    /// a larger gap in the ids is not filled.
    fn missing_trial(&mut self, named: TrialId) -> Option<(Event, String)> {
        let trial = self.study.next_id();
        if named < trial || u64::from(named.0 - trial.0) > self.lost {
            return None;
        }
        let folder = self.dir.trial(trial);
        let params = regular::read(&folder.join("params.json")).ok();
        let params: Option<Params> = params.and_then(|text| serde_json::from_slice(&text).ok());
        let info = regular::read_to_string(&folder.join("metadata/info.yaml")).unwrap_or_default();
        let seed = info
            .lines()
            .find_map(|line| line.strip_prefix("  seed: ")?.parse().ok())
            .unwrap_or(0);
        let description = match params {
            Some(_) => format!("trial {trial}, from the parameters in its folder"),
            None => format!("trial {trial}, whose parameters are lost: it is removed"),
        };
        if params.is_none() {
            self.without_params.insert(trial);
        }
        let params = params.unwrap_or_default();
        Some((
            Event::Created {
                trial,
                params,
                origin: Origin::Added,
                seed,
            },
            description,
        ))
    }

    /// Starts, ends or requeues a trial so that `event` becomes legal for it.
    fn missing_transition(&self, id: TrialId, event: &Event) -> Option<(Event, String)> {
        let trial = self.study.trial(id)?;
        let running = Attempt(trial.attempts);
        // Each lost attempt implies a lost line, so a larger gap in the attempts is not filled.
        let most = u64::from(running.0) + 1 + self.lost;
        // Attempts before `first_known` may be made up: an event within attempt n needs the start of
        // n, the start of n only the attempts before it.
        let first_known = match event {
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
            // A trial that waits goes on without a verdict. The one that paused it is missing, and not
            // the start of an attempt, which would be taken for the one that follows.
            Event::Judged {
                verdict: Verdict::Continue,
                ..
            } if trial.state == TrialState::Waiting => return None,
            // A verdict names no attempt: one missing start is enough to allow it.
            Event::Judged { .. } => running.0 + 2,
            Event::Requeued { .. } | Event::Removed { .. }
                if trial.state == TrialState::Running =>
            {
                return Some(lost_end(id, running));
            }
            _ => return None,
        };
        match trial.state {
            TrialState::Running => Some(lost_end(id, running)),
            TrialState::Failed | TrialState::Invalid | TrialState::Stopped => {
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
            TrialState::Waiting | TrialState::Paused
                if running.0 + 1 < first_known && u64::from(first_known) <= most =>
            {
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
    fn remove_trials_without_params(&mut self) {
        let at = self.study.at().unwrap_or(Timestamp::from_micros(0));
        for id in std::mem::take(&mut self.without_params) {
            if let Some(trial) = self
                .study
                .trial(id)
                .filter(|trial| trial.state == TrialState::Running)
            {
                let (lost, _) = lost_end(id, Attempt(trial.attempts));
                self.append(at, lost, None).ok();
            }
            self.append(at, Event::Removed { trials: vec![id] }, None)
                .ok();
        }
    }
}

/// Returns the end of an attempt whose own end was lost, with a description.
fn lost_end(trial: TrialId, attempt: Attempt) -> (Event, String) {
    let ended = Event::Ended {
        trial,
        attempt,
        exit: Exit::Lost,
        usage: Usage::default(),
    };
    (
        ended,
        format!("the end of attempt {attempt} of trial {trial}"),
    )
}

fn of_preparation(preparation: PreparationId, change: PreparationChange) -> Event {
    Event::Preparation {
        preparation,
        change,
    }
}

/// Returns the end of an attempt of a preparation whose own end was lost, with a description.
fn lost_end_of_preparation(id: PreparationId, attempt: u32, exit: Exit) -> (Event, String) {
    let ended = PreparationChange::Ended {
        attempt: Attempt(attempt),
        exit,
        usage: Usage::default(),
    };
    let what = format!("the end of attempt {attempt} of preparation {id}");
    (of_preparation(id, ended), what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Replay, read};
    use swath_model::study::{Closing, Datum, LogRecord, Metric};

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
            let params = [("x".into(), swath_model::space::Value::Float(0.5))]
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
                    line_end: None,
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
        events.extend(changes_of_preparations());
        events.push(Event::Closed {
            why: Closing::Finished,
        });
        events
    }

    /// Returns the events of two preparations: one that is done and read, and one that fails first.
    fn changes_of_preparations() -> Vec<Event> {
        let created = |id: u32| PreparationChange::Created {
            name: "tokens".into(),
            digest: format!("d{id}"),
            params: Params::default(),
            inputs: (1..id).map(PreparationId).collect(),
        };
        let started = |attempt| PreparationChange::Started {
            attempt: Attempt(attempt),
            slot: 0,
            resume: false,
        };
        let noted = |attempt| PreparationChange::Logged {
            attempt: Attempt(attempt),
            record: LogRecord::Note { text: "a".into() },
        };
        let ended = |attempt, exit| PreparationChange::Ended {
            attempt: Attempt(attempt),
            exit,
            usage: Usage::default(),
        };
        let requeued = PreparationChange::Requeued {
            why: "again".to_owned(),
            not_before: None,
        };
        let used = PreparationChange::Used { trial: TrialId(1) };
        let failed = Exit::Failed(Failure::Code(1));
        let changes = [
            (1, created(1)),
            (1, started(1)),
            (1, noted(1)),
            (1, ended(1, Exit::Done)),
            (2, created(2)),
            (2, started(1)),
            (2, ended(1, failed)),
            (2, requeued),
            (2, started(2)),
            (2, noted(2)),
            (2, ended(2, Exit::Lost)),
            (2, started(3)),
            (2, ended(3, Exit::Done)),
            (1, used),
        ];
        let of = |(id, change)| of_preparation(PreparationId(id), change);
        changes.into_iter().map(of).collect()
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
    fn a_good_journal_is_not_changed() {
        let (_folder, dir) = written();
        let before = fs::read(dir.journal()).unwrap();
        let salvaged = salvage(&dir, Header::default()).unwrap();
        assert_eq!(
            (salvaged.kept, salvaged.backup),
            (events().len() as u64, None)
        );
        assert_eq!(fs::read(dir.journal()).unwrap(), before);
    }

    #[test]
    fn a_journal_without_some_of_its_lines_is_numbered_anew() {
        let (_folder, dir) = written();
        let contents = fs::read_to_string(dir.journal()).unwrap();
        // Drops all lines of trial 1 but its creation. The rest is still legal, with other sequence
        // numbers.
        let lines: Vec<&str> = contents.lines().collect();
        fs::write(
            dir.journal(),
            [&lines[..2], &lines[8..]].concat().join("\n") + "\n",
        )
        .unwrap();
        assert!(read(&dir).is_err());
        let salvaged = salvage(&dir, Header::default()).unwrap();
        assert_eq!(
            (salvaged.kept, salvaged.dropped.len(), salvaged.filled.len()),
            (lines.len() as u64 - 6, 0, 0)
        );
        assert!(salvaged.backup.is_some());
        assert_eq!(read(&dir).unwrap().trials().len(), 2);
    }

    #[test]
    fn a_flipped_bit_costs_no_entry_but_its_own() {
        let (_folder, dir) = written();
        let contents = fs::read(dir.journal()).unwrap();
        let all = events();
        let header = Header {
            name: "s".into(),
            ..Header::default()
        };
        for offset in 0..contents.len() {
            let mut flipped = contents.clone();
            flipped[offset] ^= 1 << (offset % 8);
            fs::write(dir.journal(), &flipped).unwrap();
            let salvaged = salvage(&dir, header.clone()).unwrap();
            let backup = salvaged
                .backup
                .clone()
                .unwrap_or_else(|| panic!("byte {offset}: nothing was salvaged"));
            assert_eq!(fs::read(&backup).unwrap(), flipped);
            fs::remove_file(backup).unwrap();
            let study = read(&dir).unwrap_or_else(|error| panic!("byte {offset}: {error}"));
            let line = contents[..offset]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let lost = u64::from(contents[offset] != b'\n');
            assert_eq!(
                salvaged.kept,
                all.len() as u64 - lost,
                "byte {offset}: {salvaged:?}"
            );
            assert!(
                salvaged
                    .dropped
                    .iter()
                    .all(|(number, _)| *number as usize > line),
                "byte {offset}: {salvaged:?}"
            );
            // The entries that were kept are original entries in their original order.
            let kept: Vec<Event> = Journal::open(&dir)
                .unwrap()
                .map(|entry| entry.unwrap().event)
                .collect();
            let mut rest = kept.iter();
            let expected = all
                .iter()
                .enumerate()
                .filter(|(number, _)| lost == 0 || *number != line);
            for (_, event) in expected {
                assert!(
                    rest.any(|entry| entry == event),
                    "byte {offset}: {event:?} is not there"
                );
            }
            // Without the last `Ended`, the last trial counts as lost with its run.
            assert!(
                study.trials().len() == 2 && study.running_count() <= 1,
                "byte {offset}"
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
    fn a_lost_trial_without_parameters_is_removed_and_the_others_keep_their_ids() {
        let (_folder, dir) = written();
        fs::remove_dir_all(dir.trial(TrialId(2))).unwrap();
        let text = fs::read_to_string(dir.journal()).unwrap();
        fs::write(
            dir.journal(),
            text.replace("{\"created\":{\"trial\":2", "{\"created\":{\"trial\":7"),
        )
        .unwrap();
        let salvaged = salvage(&dir, Header::default()).unwrap();
        assert_eq!(
            (salvaged.dropped.len(), salvaged.filled.len()),
            (1, 1),
            "{salvaged:?}"
        );
        let study = read(&dir).unwrap();
        let removed: Vec<bool> = study.trials().iter().map(|trial| trial.removed).collect();
        assert_eq!((removed, study.next_id()), (vec![false, true], TrialId(3)));
    }

    /// Writes a journal of these events, damages the line with this index, and salvages it.
    fn salvaged_without(events: &[Event], damaged: usize) -> (Salvaged, Study) {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut journal = Journal::open(&dir).and_then(Replay::into_writer).unwrap();
        for event in events {
            let at = Timestamp::from_micros(0);
            journal.append(event.clone(), at).unwrap();
        }
        journal.sync().unwrap();
        let text = fs::read_to_string(dir.journal()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[damaged] = lines[damaged].replace("1970", "1971");
        fs::write(dir.journal(), lines.join("\n") + "\n").unwrap();
        let salvaged = salvage(&dir, Header::default()).unwrap();
        (salvaged, read(&dir).unwrap())
    }

    #[test]
    fn the_loss_of_a_verdict_that_paused_a_trial_costs_no_line_of_its_next_attempt() {
        let trial = TrialId(1);
        let mut all = events()[..3].to_vec();
        let judged = |verdict| Event::Judged {
            trial,
            verdict,
            why: "rank 1 of 1".to_owned(),
        };
        let ended = |attempt, exit| Event::Ended {
            trial,
            attempt: Attempt(attempt),
            exit,
            usage: Usage::default(),
        };
        // The run was killed, so the exit does not say that the trial is paused.
        all.extend([judged(Verdict::Pause), ended(1, Exit::Lost)]);
        all.push(judged(Verdict::Continue));
        all.extend(events()[5..8].to_vec());
        let (salvaged, study) = salvaged_without(&all, 3);
        assert_eq!(salvaged.kept + 2, all.len() as u64, "{salvaged:?}");
        let trial = study.trial(trial).unwrap();
        assert_eq!((trial.attempts, &trial.state), (2, &TrialState::Complete));
    }

    #[test]
    fn no_more_attempts_are_made_up_than_lines_were_lost() {
        for (attempt, is_filled) in [(2, true), (3, false), (u32::MAX, false)] {
            let mut all = events()[..3].to_vec();
            all.push(Event::Started {
                trial: TrialId(1),
                attempt: Attempt(attempt),
                until: None,
                slot: 0,
                resume: true,
            });
            let (salvaged, study) = salvaged_without(&all, 2);
            let attempts = study.trial(TrialId(1)).unwrap().attempts;
            assert_eq!(attempts == attempt, is_filled, "{salvaged:?}");
            assert!(salvaged.filled.len() <= 2, "{salvaged:?}");
        }
    }

    #[test]
    fn a_journal_of_a_newer_version_is_not_changed() {
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
