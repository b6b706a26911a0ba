//! The folded journal, kept beside it so that a reader folds only what came after.
//!
//! A projection: deleted, it is missed by nobody; written by another version or for another
//! journal, it is not used. Its first line is the study without its trials, every further one an
//! array of some of them, so that all cores can read it.

use super::{JournalError, Replay, StudyDir, lock};
use crate::study::{Attempt, Entry, Event, Exit, Study, Timestamp, Trial, Usage};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use std::fs::{File, Permissions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Counts the changes of what a folded trial remembers. A snapshot of another format is not used.
const FORMAT: u32 = 2;
/// How many trials stand in a line.
const LINE: usize = 256;
/// How much of the journal before the offset must be the same for a snapshot to be of that journal.
const WITNESS: u64 = 256;

#[derive(Serialize)]
struct Written<'a> {
    version: &'a str,
    format: u32,
    offset: u64,
    witness: &'a str,
    trials: usize,
    study: &'a Study,
}

#[derive(Deserialize)]
struct Kept {
    version: String,
    format: u32,
    offset: u64,
    witness: String,
    trials: usize,
    study: Study,
}

/// Reads a study without taking anything: from its snapshot, if that is good, and the journal after
/// it.
///
/// # Errors
/// [`JournalError::NoStudy`] if there is none; as for reading a journal otherwise.
pub fn read(dir: &StudyDir) -> Result<Study, JournalError> {
    if !dir.exists() {
        return Err(JournalError::NoStudy(dir.root().to_owned()));
    }
    let mut replay = Replay::open(dir)?;
    let mut study = Study::default();
    if let Some(kept) = load(dir) {
        replay.skip_to(kept.offset, kept.study.next_seq())?;
        study = kept.study;
    }
    replay.fold_into(&mut study, &mut |_, _| {})?;
    Ok(study)
}

/// Reads a study as [`read`] does, and knows what the next run will find: that trials which run in
/// a study that nobody runs are lost.
///
/// # Errors
/// As [`read`].
pub fn settled(dir: &StudyDir) -> Result<Study, JournalError> {
    let mut study = read(dir)?;
    settle(dir, &mut study);
    Ok(study)
}

/// Ends the trials that run in a study that nobody runs, as the next run will.
pub fn settle(dir: &StudyDir, study: &mut Study) {
    if study.running_count() == 0 || lock::is_held(dir) {
        return;
    }
    let at = study.at().unwrap_or(Timestamp::from_micros(0));
    let lost: Vec<_> = study
        .running()
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
        // It runs, so it can end.
        let _ = study.apply(&entry);
    }
}

/// Writes the snapshot of a study whose journal has `offset` bytes, atomically.
///
/// # Errors
/// If it cannot be written; readers then fold the journal, which is only slower.
pub fn write(dir: &StudyDir, study: &Study, offset: u64) -> std::io::Result<()> {
    let witness = witness(dir, offset)?;
    // As any new file, so that whoever may read the journal may read this.
    let mode = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new()
        .prefix(".snapshot")
        .permissions(mode)
        .tempfile_in(dir.root())?;
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let shell = study.without_trials();
    serde_json::to_writer(
        &mut out,
        &Written {
            version: VERSION,
            format: FORMAT,
            offset,
            witness: &witness,
            trials: study.trials().len(),
            study: &shell,
        },
    )?;
    for trials in study.trials().chunks(LINE) {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, trials)?;
    }
    out.flush()?;
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .persist(dir.snapshot())?;
    Ok(())
}

fn load(dir: &StudyDir) -> Option<Kept> {
    let text = std::fs::read(dir.snapshot()).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut kept: Kept = serde_json::from_slice(lines.next()?).ok()?;
    if kept.version != VERSION
        || kept.format != FORMAT
        || witness(dir, kept.offset).ok()? != kept.witness
    {
        return None;
    }
    let lines: Vec<&[u8]> = lines.collect();
    let trials: Option<Vec<Vec<Trial>>> = lines
        .par_iter()
        .map(|line| serde_json::from_str(str::from_utf8(line).ok()?).ok())
        .collect();
    kept.study = kept.study.with_trials(trials?.into_iter().flatten());
    (kept.study.trials().len() == kept.trials).then_some(kept)
}

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
