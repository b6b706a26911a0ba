//! Requests to a run from another terminal or another machine: the file `control.json` in the
//! study's folder, polled a few times a second.
//!
//! It needs neither signals nor sockets, so that it works wherever the folder can be written. The
//! run removes the file once it has read it.

use super::Urgency;
use crate::journal::StudyDir;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;
use swath_log::regular;

/// A request to a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The urgency of a request to stop; `None` if the run is not to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Urgency>,
    /// The number of trials to run at a time from now on; `None` leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
}

/// Returns the path of the request.
fn path(dir: &StudyDir) -> PathBuf {
    dir.root().join("control.json")
}

impl Control {
    /// Writes the request for the process that runs the study. It replaces a request that was not
    /// read yet.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn send(self, dir: &StudyDir) -> std::io::Result<()> {
        // The request is written to a temporary file and renamed, so that the run never reads half
        // of it.
        let mut file = tempfile::NamedTempFile::new_in(dir.root())?;
        file.write_all(&serde_json::to_vec(&self)?)?;
        file.persist(path(dir))?;
        Ok(())
    }

    /// Returns the pending request, if there is one, and leaves it to the run.
    #[must_use]
    pub fn pending(dir: &StudyDir) -> Option<Self> {
        let text = std::fs::read(path(dir)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Reads the pending request, if there is one, and removes its file. A file that cannot be
    /// parsed is removed too, and yields `None`.
    pub(super) fn receive(dir: &StudyDir) -> Option<Self> {
        let path = path(dir);
        let text = regular::read(&path).ok()?;
        let _ = std::fs::remove_file(&path);
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_received_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let request = Control {
            stop: Some(Urgency::Drain),
            jobs: Some(3),
        };
        request.send(&dir).expect("it can be sent");
        assert_eq!(Control::pending(&dir), Some(request));
        assert_eq!(Control::receive(&dir), Some(request));
        assert_eq!(Control::receive(&dir), None);
        std::fs::write(path(&dir), "{\"stop\":1}").expect("it can be written");
        assert_eq!(Control::receive(&dir), None);
        assert!(!path(&dir).exists());
    }
}
