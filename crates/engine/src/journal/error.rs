//! The errors of a journal and of its lock.

use super::{Holder, Rescued, Shortfall, is_full};
use std::path::{Path, PathBuf};
use swath_model::study::IllegalEvent;

/// An error of a journal or of its lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Another process runs this study.
    #[error("{}", run_elsewhere(study, holder.as_ref()))]
    Held {
        /// The study's folder.
        study: PathBuf,
        /// The process that holds the lock, if that could be read.
        holder: Option<Holder>,
    },
    /// A line before the last is not a valid entry.
    #[error("line {line} of `{path}` is not a journal entry: {why}")]
    BadLine {
        /// The path of the journal.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// The reason why it is not valid, in words.
        why: String,
    },
    /// A line is a valid entry, but the state of the study does not allow its event.
    #[error("line {line} of `{path}` contradicts the lines before it")]
    Illegal {
        /// The path of the journal.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// The reason why the event is not allowed.
        #[source]
        source: IllegalEvent,
    },
    /// The journal has lost entries that were on the disk, or is not the one that was written here.
    #[error("`{path}` is not complete: {shortfall}")]
    Short {
        /// The path of the journal.
        path: PathBuf,
        /// The difference between the journal and its mark.
        shortfall: Shortfall,
    },
    /// The journal was removed, replaced, cut or written to by another while this process wrote it.
    #[error("`{path}` {what} while this run was writing it, so the run was ended{}", place(rescued.as_ref()))]
    Disturbed {
        /// The path of the journal.
        path: PathBuf,
        /// The change, as the end of a sentence about the journal.
        what: &'static str,
        /// The place of everything that the run knew; `None` if it could not be kept.
        rescued: Option<Rescued>,
    },
    /// The lock is held although the process that took it has ended: a child of it that has not yet
    /// begun another program, or a process that is still being torn down, has it.
    #[error(
        "the lock of `{study}` is not free yet, although process {pid}, which ran it, has ended"
    )]
    HeldByEnded {
        /// The study's folder.
        study: PathBuf,
        /// The process that took the lock.
        pid: u32,
    },
    /// The folder contains no journal, so there is no study.
    #[error("there is no study at `{0}`")]
    NoStudy(PathBuf),
}

impl JournalError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn bad_line(path: &Path, line: u64, why: String) -> Self {
        Self::BadLine {
            path: path.to_owned(),
            line,
            why,
        }
    }

    /// Returns whether the error was caused by a full disk or quota. Nothing is lost then, and a
    /// later attempt may succeed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// Returns whether the error is that a file has reached the limit on its size.
    #[must_use]
    pub fn is_file_too_large(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge)
    }
}

/// Returns the part of a message that names the place of rescued data.
fn place(rescued: Option<&Rescued>) -> String {
    match rescued {
        None => "; nothing could be kept".to_owned(),
        Some(Rescued { folder, is_whole }) => format!(
            "; {} is in `{}`",
            match is_whole {
                true => "the whole study",
                false =>
                    "the state of all trials (`snapshot.json`, `trials.csv`), with the entries that were left,",
            },
            folder.display()
        ),
    }
}

/// Returns the message for a study that is run by another process.
fn run_elsewhere(study: &Path, holder: Option<&Holder>) -> String {
    let by = holder.map_or_else(
        || "another process".to_owned(),
        |holder| {
            format!(
                "process {} of {} on {} since {}",
                holder.pid, holder.user, holder.host, holder.since
            )
        },
    );
    format!("`{}` is being run by {by}", study.display())
}
