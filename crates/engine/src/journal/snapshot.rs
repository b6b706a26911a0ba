//! The snapshot: the state of a study after replaying its journal, so that a reader replays only
//! later entries.
//!
//! The snapshot is a projection: it can be deleted at any time, and it is ignored if another
//! version wrote it, it belongs to another journal, or its checksum does not match. The first line is
//! the study without its trials; every further line is an array of some trials, so that all cores can
//! parse them; the last line is the checksum of all lines before it.

use super::{JournalError, Replay, StudyDir, lock};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use swath_model::study::{Attempt, Entry, Event, Exit, Study, Timestamp, Trial, TrialId, Usage};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the snapshot's format. It increases when the stored state of a trial changes; a
/// snapshot of another format is ignored.
const FORMAT: u32 = 4;
/// Number of trials per line.
const TRIALS_PER_LINE: usize = 256;
/// Number of lines that are parsed at the same time.
const LINES_PER_BLOCK: usize = 16;
/// Number of bytes of the checksum's line, with the line break before it.
const CHECKSUM_LENGTH: u64 = 10;
/// Number of bytes of the journal before the offset that must match for a snapshot to belong to it.
const WITNESS: u64 = 256;

/// The first line of a snapshot, as it is written.
#[derive(Serialize)]
struct WrittenHeader<'a> {
    version: &'a str,
    format: u32,
    offset: u64,
    witness: &'a str,
    trials: usize,
    study: &'a Study,
}

/// The first line of a snapshot, as it is read.
#[derive(Deserialize)]
struct StoredHeader {
    version: String,
    format: u32,
    offset: u64,
    witness: String,
    trials: usize,
    study: Study,
}

/// Reads a study without taking the lock: from its snapshot, if that is valid, and the later
/// entries of the journal.
///
/// # Errors
/// [`JournalError::NoStudy`] if there is none; otherwise as for reading a journal.
pub fn read(dir: &StudyDir) -> Result<Study, JournalError> {
    if !dir.exists() {
        return Err(JournalError::NoStudy(dir.root().to_owned()));
    }
    let mut replay = Replay::open(dir)?;
    let mut study = Study::default();
    if let Some(snapshot) = load(dir) {
        let link = super::line::link_at_end(snapshot.witness.as_bytes());
        replay.skip_to(snapshot.offset, snapshot.study.next_seq(), link)?;
        study = snapshot.study;
    }
    replay.fold_into(&mut study, &mut |_, _| {})?;
    Ok(study)
}

/// Reads a study as [`read`] does, with the state that the next run will find: if no process runs
/// the study, its running trials are lost.
///
/// # Errors
/// As [`read`].
pub fn settled(dir: &StudyDir) -> Result<Study, JournalError> {
    let mut study = read(dir)?;
    settle(dir, &mut study);
    Ok(study)
}

/// Ends the running trials of a study as lost, if no process runs the study. The next run will do
/// the same.
pub fn settle(dir: &StudyDir, study: &mut Study) {
    settle_except(dir, study, &BTreeSet::new());
}

/// Ends the running trials as [`settle`] does, except those that are known to run elsewhere without
/// a process that runs the study.
pub fn settle_except(dir: &StudyDir, study: &mut Study, elsewhere: &BTreeSet<TrialId>) {
    // With a run active, its running trials are not lost.
    if study.running_count() == 0 || lock::is_held(dir) {
        return;
    }
    let at = study.at().unwrap_or(Timestamp::from_micros(0));
    let lost: Vec<_> = study
        .running()
        .filter(|id| !elsewhere.contains(id))
        .filter_map(|id| study.trial(id))
        .map(|trial| (trial.id, trial.attempts))
        .collect();
    for (trial, attempt) in lost {
        let event = Event::Ended {
            trial,
            attempt: Attempt(attempt),
            exit: Exit::Lost,
            usage: Usage::default(),
        };
        let entry = Entry {
            seq: study.next_seq(),
            at,
            event,
            away: None,
        };
        // This cannot fail: the trial is running, so it can end.
        let _ = study.apply(&entry);
    }
}

/// Writes the snapshot of a study, atomically. `offset` is the length of its journal in bytes.
///
/// # Errors
/// If it cannot be written. Readers then replay the journal, which is only slower.
pub fn write(dir: &StudyDir, study: &Study, offset: u64) -> std::io::Result<()> {
    let witness = witness(dir, offset)?;
    // The mode of any new file (tempfile's default is 0600), so that all readers of the journal can
    // read the snapshot.
    let mode = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new()
        .prefix(".snapshot")
        .permissions(mode)
        .tempfile_in(dir.root())?;
    let summed = Summed {
        file,
        sum: crc32fast::Hasher::new(),
    };
    let mut out = BufWriter::with_capacity(1 << 18, summed);
    // The trials follow on lines of their own.
    let without_trials = study.without_trials();
    serde_json::to_writer(
        &mut out,
        &WrittenHeader {
            version: VERSION,
            format: FORMAT,
            offset,
            witness: &witness,
            trials: study.trials().len(),
            study: &without_trials,
        },
    )?;
    for trials in study.trials().chunks(TRIALS_PER_LINE) {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, trials)?;
    }
    let summed = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    let Summed { mut file, sum } = summed;
    write!(file, "\n{:08x}\n", sum.finalize())?;
    file.persist(dir.snapshot())?;
    Ok(())
}

/// A writer that computes the checksum of everything that is written.
struct Summed<W: Write> {
    file: W,
    sum: crc32fast::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns the study as the snapshot has it; `None` if readers ignore the snapshot.
#[must_use]
pub fn stored(dir: &StudyDir) -> Option<Study> {
    load(dir).map(|snapshot| snapshot.study)
}

/// Returns the snapshot of the present journal; `None` if there is no valid one.
///
/// The trials are parsed a few lines at a time, so that neither the text nor a second copy of the
/// trials is in memory. Whether the checksum matches is known only at the end.
fn load(dir: &StudyDir) -> Option<StoredHeader> {
    let mut lines = SummedLines::open(&dir.snapshot())?;
    let mut header: StoredHeader = serde_json::from_slice(&lines.next()?).ok()?;
    // The snapshot of another version of swath, or of another journal, is ignored.
    if header.version != VERSION
        || header.format != FORMAT
        || witness(dir, header.offset).ok()? != header.witness
    {
        return None;
    }
    loop {
        let block: Vec<_> = lines.by_ref().take(LINES_PER_BLOCK).collect();
        if block.is_empty() {
            break;
        }
        let trials: Option<Vec<Vec<Trial>>> = block
            .par_iter()
            .map(|line| serde_json::from_str(str::from_utf8(line).ok()?).ok())
            .collect();
        header.study = header.study.with_trials(trials?.into_iter().flatten());
    }
    // Lines may be missing from a damaged snapshot.
    let is_whole = lines.has_checksum()? && header.study.trials().len() == header.trials;
    is_whole.then_some(header)
}

/// The lines of a snapshot without its checksum, which is computed while they are read.
struct SummedLines {
    reader: io::Take<BufReader<File>>,
    sum: crc32fast::Hasher,
    /// The length of the last line. The next one has about the same.
    last_length: usize,
}

impl SummedLines {
    /// Opens a snapshot; `None` if it is not there or too short for a checksum.
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len().checked_sub(CHECKSUM_LENGTH)?;
        Some(Self {
            reader: BufReader::with_capacity(1 << 18, file).take(length),
            sum: crc32fast::Hasher::new(),
            last_length: 0,
        })
    }

    /// Returns whether all lines were read and the checksum behind them matches; `None` if that
    /// cannot be read.
    fn has_checksum(self) -> Option<bool> {
        let expected = format!("\n{:08x}\n", self.sum.finalize());
        let mut checksum = Vec::new();
        let is_read = self.reader.limit() == 0;
        self.reader.into_inner().read_to_end(&mut checksum).ok()?;
        Some(is_read && checksum == expected.as_bytes())
    }
}

impl Iterator for SummedLines {
    type Item = Vec<u8>;

    /// Returns the next line without its line break; `None` at the end or after an error.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::with_capacity(self.last_length + self.last_length / 16);
        let length = self.reader.read_until(b'\n', &mut line).ok()?;
        self.last_length = length;
        self.sum.update(&line);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        (length > 0).then_some(line)
    }
}

/// Returns the last [`WITNESS`] bytes of the journal before `offset`, which identify the journal.
fn witness(dir: &StudyDir, offset: u64) -> std::io::Result<String> {
    let mut file = File::open(dir.journal())?;
    let start = offset.saturating_sub(WITNESS);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(offset - start).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != offset - start {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
