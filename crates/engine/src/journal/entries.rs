//! Reading the entries of a part of the journal, for readers that follow it and keep a state of
//! their own.

use super::blocks::{BlockLine, Blocks, Content, parse_line};
use super::replay::blank_entry;
use super::{JournalError, StudyDir};
use std::fs::File;
use std::io;
use std::path::Path;
use swath_model::study::Entry;

/// Returns the length of the journal in bytes, a torn last line included.
///
/// # Errors
/// [`JournalError::NoStudy`] if there is no journal; or if its length cannot be read.
pub fn length(dir: &StudyDir) -> Result<u64, JournalError> {
    if !dir.exists() {
        return Err(JournalError::NoStudy(dir.root().to_owned()));
    }
    let path = dir.journal();
    let metadata = std::fs::metadata(&path).map_err(|source| JournalError::io(&path, source))?;
    Ok(metadata.len())
}

/// Calls `each` with every entry in the whole lines between two offsets, the first of which must be
/// the start of a line. Returns the offset behind the last whole line. Lines that are no entries are
/// skipped: the replay of the study reports them.
///
/// # Errors
/// If the journal cannot be read, or `each` fails.
pub fn each_entry(
    dir: &StudyDir,
    start: u64,
    end: u64,
    each: &mut dyn FnMut(&Entry) -> Result<(), JournalError>,
) -> Result<u64, JournalError> {
    let path = dir.journal();
    let mut blocks = part(&path, start, end).map_err(|source| JournalError::io(&path, source))?;
    let mut report = blank_entry();
    let mut offset = start;
    while let Some(BlockLine { length, content }) = blocks
        .next_line()
        .map_err(|source| JournalError::io(&path, source))?
    {
        offset += length as u64;
        match content {
            Some(Ok(Content::Entry(line))) => each(&line.entry)?,
            Some(Ok(Content::Report(line))) => {
                blocks.block().write_entry(&line, &mut report);
                each(&report)?;
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(offset)
}

/// Opens the part of a file between two offsets.
fn part(path: &Path, start: u64, end: u64) -> io::Result<Blocks> {
    let mut blocks = Blocks::new(File::open(path)?, parse_line);
    blocks.seek(start)?;
    blocks.limit(end.saturating_sub(start));
    Ok(blocks)
}
