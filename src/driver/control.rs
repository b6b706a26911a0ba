//! Being told what to do from another terminal, or another machine: a small file in the study's
//! folder, looked at a few times a second.
//!
//! No signal and no socket, so it works wherever the folder can be written. The run takes the file
//! away once it has read it.

use super::Urgency;
use crate::journal::StudyDir;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// What a run is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// How to stop, if it is to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Urgency>,
    /// How many trials to run at a time from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
}

fn path(dir: &StudyDir) -> PathBuf {
    dir.root().join("control.json")
}

impl Control {
    /// Leaves word for whoever runs the study.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn send(self, dir: &StudyDir) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir.root())?;
        file.write_all(&serde_json::to_vec(&self)?)?;
        file.persist(path(dir))?;
        Ok(())
    }

    /// Takes the word that was left, if there is one. A file that cannot be understood is taken
    /// away too.
    pub(super) fn receive(dir: &StudyDir) -> Option<Self> {
        let path = path(dir);
        let text = std::fs::read(&path).ok()?;
        let _ = std::fs::remove_file(&path);
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_left_is_received_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let word = Control {
            stop: Some(Urgency::Drain),
            jobs: Some(3),
        };
        word.send(&dir).expect("it can be sent");
        assert_eq!(Control::receive(&dir), Some(word));
        assert_eq!(Control::receive(&dir), None);
        std::fs::write(path(&dir), "{\"stop\":1}").expect("it can be written");
        assert_eq!(Control::receive(&dir), None);
        assert!(!path(&dir).exists());
    }
}
