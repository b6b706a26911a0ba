//! Requests to a run from another terminal or another machine: the file `control.json` in the
//! study's folder, polled a few times a second.
//!
//! It needs neither signals nor sockets, so that it works wherever the folder can be written. The
//! run removes the file once it has read it. The file carries the id of the study: a request that
//! was copied with another study, or that a restored backup brings back, is not for this one.

use super::Urgency;
use crate::journal::{StudyDir, id_of, set_aside};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;
use swath_log::regular;

/// A request to a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Control {
    /// The urgency of a request to stop; `None` if the run is not to stop.
    pub stop: Option<Urgency>,
    /// The number of trials to run at a time from now on; `None` leaves it as it is.
    pub jobs: Option<usize>,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRequest {
    /// The id of the study; `None` for a study without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    study: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<Urgency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<usize>,
}

/// A request as a run finds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The request is for this study.
    Own(Control),
    /// The request is not for this study. It was moved to this path.
    SetAside(PathBuf),
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
        let request = StoredRequest {
            study: id_of(dir),
            stop: self.stop,
            jobs: self.jobs,
        };
        file.write_all(&serde_json::to_vec(&request)?)?;
        file.persist(path(dir))?;
        Ok(())
    }

    /// Returns the pending request, if there is one, and leaves it to the run.
    #[must_use]
    pub fn pending(dir: &StudyDir) -> Option<Self> {
        let text = regular::read(&path(dir)).ok()?;
        let request: StoredRequest = serde_json::from_slice(&text).ok()?;
        request.for_study(dir)
    }

    /// Reads the pending request, if there is one, and removes its file. A file that cannot be
    /// parsed is removed too, and yields `None`. A request for another study is moved to
    /// `orphaned/`.
    pub(super) fn receive(dir: &StudyDir) -> Option<Received> {
        let path = path(dir);
        let text = regular::read(&path).ok()?;
        let parsed: Option<StoredRequest> = serde_json::from_slice(&text).ok();
        let control = parsed.as_ref().and_then(|request| request.for_study(dir));
        if parsed.is_some()
            && control.is_none()
            && let Ok(place) = set_aside(dir, &path)
        {
            return Some(Received::SetAside(place));
        }
        let _ = std::fs::remove_file(&path);
        control.map(Received::Own)
    }
}

impl StoredRequest {
    /// Returns the request if it is for the study in a folder. A study without an id takes any: an
    /// earlier version began it.
    fn for_study(&self, dir: &StudyDir) -> Option<Control> {
        let id = id_of(dir);
        (id.is_none() || id == self.study).then_some(Control {
            stop: self.stop,
            jobs: self.jobs,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::journal::{Journal, Replay};
    use swath_model::study::{Event, FORMAT, Header, Timestamp};

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
        assert_eq!(Control::receive(&dir), Some(Received::Own(request)));
        assert_eq!(Control::receive(&dir), None);
        std::fs::write(path(&dir), "{\"stop\":1}").expect("it can be written");
        assert_eq!(Control::receive(&dir), None);
        assert!(!path(&dir).exists());
    }

    #[test]
    fn a_request_for_another_study_or_for_none_is_set_aside_and_never_obeyed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let request = Control {
            stop: Some(Urgency::Kill),
            jobs: None,
        };
        let (own, other) = (opened("1111"), opened("2222"));
        for earlier_journal in [None, Some(&other)] {
            let _ = std::fs::remove_file(dir.journal());
            if let Some(lines) = earlier_journal {
                std::fs::write(dir.journal(), lines).expect("it can be written");
            }
            request.send(&dir).expect("it can be sent");
            std::fs::write(dir.journal(), &own).expect("it can be written");
            assert_eq!(Control::pending(&dir), None);
            let received = Control::receive(&dir);
            assert!(
                matches!(&received, Some(Received::SetAside(place)) if place.exists()),
                "{received:?}"
            );
            assert!(!path(&dir).exists());
        }
        request.send(&dir).expect("it can be sent");
        assert_eq!(Control::receive(&dir), Some(Received::Own(request)));
    }

    /// Returns the journal of a new study with this id.
    pub(in crate::driver) fn opened(id: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let mut journal = Journal::open(&dir)
            .and_then(Replay::into_writer)
            .expect("a new journal");
        let opened = Event::Opened {
            format: FORMAT,
            header: Header {
                id: Some(id.to_owned()),
                ..Header::default()
            },
        };
        journal
            .append(opened, Timestamp::from_micros(0))
            .expect("it can be appended");
        journal.sync().expect("it can be written");
        std::fs::read(dir.journal()).expect("it can be read")
    }
}
