//! The position up to which a server has a study: `trackers/mlflow.cursor`.
//!
//! A run that starts reads the journal and the metric files from the beginning, and delivers the
//! entries after the cursor. While the server is away, the cursor does not move.

use super::rows::Offsets;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The position of a study on one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The server's address, without user and password.
    pub(super) server: String,
    /// The name of the experiment.
    pub(super) experiment: String,
    /// The unique id of the study, see [`uid`](super::runs::uid).
    pub(super) study: String,
    /// The last entry of the journal that the server has completely, `None` if it has none.
    pub(super) seq: Option<u64>,
    /// The end of the rows that the server has, for each log of the trials that may continue.
    #[serde(default)]
    pub(super) logs: Offsets,
}

/// The file of the cursor, and its content.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    home: PathBuf,
    pub(super) position: Position,
}

impl Cursor {
    /// Reads the cursor in the folder `home`. Starts at the beginning if there is none, or it is
    /// about another server, experiment or study.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub(super) fn open(home: PathBuf, start: Position) -> io::Result<Self> {
        fs::create_dir_all(&home)?;
        // Earlier versions kept undelivered operations in files. All of them can be derived from
        // the journal.
        let _ = fs::remove_dir_all(home.join("mlflow.spool"));
        let position = read(&cursor_file(&home))
            .or_else(|| read(&former_file(&home)))
            .filter(|saved| {
                (&saved.server, &saved.experiment, &saved.study)
                    == (&start.server, &start.experiment, &start.study)
            })
            .unwrap_or(start);
        Ok(Self { home, position })
    }

    /// Moves the cursor. An error is ignored: the entries since the last position are only
    /// delivered again.
    pub(super) fn move_to(&mut self, seq: Option<u64>, logs: Offsets) {
        (self.position.seq, self.position.logs) = (seq, logs);
        let draft = cursor_file(&self.home).with_extension("cursor.part");
        let written = serde_json::to_vec(&self.position)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(draft, cursor_file(&self.home)));
        if written.is_ok() {
            let _ = fs::remove_file(former_file(&self.home));
        }
    }

    /// Removes the cursor, so that the next run delivers everything again.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(cursor_file(&self.home));
        let _ = fs::remove_file(former_file(&self.home));
    }
}

/// Returns the position in a file; `None` if it cannot be read.
fn read(path: &Path) -> Option<Position> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Returns the path of the cursor.
fn cursor_file(home: &Path) -> PathBuf {
    home.join("mlflow.cursor")
}

/// Returns the path of the file in which earlier versions kept the position.
fn former_file(home: &Path) -> PathBuf {
    home.join("mlflow.json")
}
