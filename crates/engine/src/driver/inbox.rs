//! Messages of `swath` processes in other terminals: configurations, one file each in the folder
//! `inbox`, processed in the order of sending, and [requests](super::control).

use super::control::Received;
use super::{Control, Urgency};
use crate::journal::{StudyDir, id_of, set_aside};
use std::io::Write;
use std::path::{Path, PathBuf};
use swath_log::regular;
use swath_model::space::Params;
use swath_model::study::Timestamp;

/// The messages to a run.
pub(super) struct Inbox {
    dir: StudyDir,
    /// The requests so far, merged: the most urgent stop and the latest number of jobs.
    requests: Control,
    /// Messages to other studies that were moved away since the last call of
    /// [`take_set_aside`](Self::take_set_aside).
    set_aside: Vec<PathBuf>,
}

impl Inbox {
    /// Opens the inbox under the lock of the study. A request that is there already was meant for an
    /// earlier run, and is discarded.
    pub(super) fn new(dir: StudyDir) -> Self {
        let _ = Control::receive(&dir);
        Self {
            dir,
            requests: Control::default(),
            set_aside: Vec::new(),
        }
    }

    /// Returns the configurations sent since the last call.
    pub(super) fn configurations(&mut self) -> Vec<Params> {
        receive(&self.dir, &mut self.set_aside)
    }

    /// Returns the new places of messages that were for another study, each once.
    pub(super) fn take_set_aside(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.set_aside)
    }

    /// Reads a new request, if there is one. A stop request can only become more urgent; a number of
    /// jobs replaces the last one.
    pub(super) fn read_requests(&mut self) {
        match Control::receive(&self.dir) {
            Some(Received::Own(request)) => {
                self.requests = Control {
                    stop: request.stop.max(self.requests.stop),
                    jobs: request.jobs.or(self.requests.jobs),
                };
            }
            Some(Received::SetAside(path)) => self.set_aside.push(path),
            None => {}
        }
    }

    /// Returns the urgency of the requests to stop.
    pub(super) fn urgency(&self) -> Urgency {
        self.requests.stop.unwrap_or(Urgency::None)
    }

    /// Returns the requested number of trials at a time, if any.
    pub(super) fn jobs(&self) -> Option<usize> {
        self.requests.jobs
    }
}

/// Returns the path of the inbox.
fn folder(dir: &StudyDir) -> PathBuf {
    dir.root().join("inbox")
}

/// Sends a configuration, possibly partial, to the run of the study: the current one or the next
/// one.
///
/// # Errors
/// If the folder cannot be written.
pub fn send(dir: &StudyDir, given: &Params, now: Timestamp) -> std::io::Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder)?;
    // The prefix and the missing extension hide the file from the reader until it is complete.
    let mut file = tempfile::Builder::new()
        .prefix(".new")
        .tempfile_in(&folder)?;
    file.write_all(&serde_json::to_vec(given)?)?;
    let id = id_of(dir).map(|id| format!("{STUDY}{id}."));
    let id = id.unwrap_or_default();
    // Another process may send at the same microsecond: count up until the name is free.
    for number in 0..1000 {
        let path = folder.join(format!("{:020}.{number:03}.{id}json", now.as_micros()));
        match file.persist_noclobber(path) {
            Ok(_) => return Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                file = error.file;
            }
            Err(error) => return Err(error.error),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// The part of a file's name before the id of the study that it was sent to.
const STUDY: &str = "study-";

/// Reads and removes all files of the inbox. A file that cannot be parsed is removed too. A file
/// that cannot be removed is not used, because it would be read again. One that was not sent to this
/// study, as in a restored copy, is moved away, and its new path appended to `aside`.
fn receive(dir: &StudyDir, aside: &mut Vec<PathBuf>) -> Vec<Params> {
    let Ok(entries) = std::fs::read_dir(folder(dir)) else {
        return Vec::new();
    };
    let id = id_of(dir);
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|name| name == "json"))
        .collect();
    paths.sort();
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        id.as_ref()
            .is_none_or(|id| name.contains(&format!(".{STUDY}{id}.")))
    };
    let (paths, foreign): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_own);
    aside.extend(foreign.iter().filter_map(|path| set_aside(dir, path).ok()));
    let configurations = paths.iter().filter_map(|path| take_file(path)).collect();
    // Removing the folder fails if a file arrived meanwhile; the next call reads it.
    let _ = std::fs::remove_dir(folder(dir));
    configurations
}

fn take_file(path: &Path) -> Option<Params> {
    let text = regular::read(path).ok()?;
    // Removed before it is used: a file that stayed would create a trial again and again.
    std::fs::remove_file(path).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::control::tests::opened;
    use super::*;
    use swath_model::space::Value;

    fn params(x: i64) -> Params {
        Params::from_iter([("x".into(), Value::Int(x))])
    }

    #[test]
    fn a_request_to_stop_only_becomes_more_urgent_and_the_last_number_of_jobs_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let mut inbox = Inbox::new(dir.clone());
        let requests = [
            (Some(Urgency::Stop), Some(3)),
            (Some(Urgency::Drain), None),
            (None, Some(2)),
        ];
        for (stop, jobs) in requests {
            Control { stop, jobs }.send(&dir).expect("it can be sent");
            inbox.read_requests();
        }
        assert_eq!((inbox.urgency(), inbox.jobs()), (Urgency::Stop, Some(2)));
    }

    #[test]
    fn configurations_are_received_once_and_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        for x in 0..5 {
            send(&dir, &params(x), Timestamp::from_micros(7)).expect("it can be sent");
        }
        std::fs::write(super::folder(&dir).join("9.json"), "{").expect("it can be written");
        let mut aside = Vec::new();
        assert_eq!(
            receive(&dir, &mut aside),
            (0..5).map(params).collect::<Vec<_>>()
        );
        assert!(receive(&dir, &mut aside).is_empty() && !super::folder(&dir).exists());
        assert!(aside.is_empty());
    }

    #[test]
    fn a_configuration_for_another_study_or_for_none_is_set_aside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let now = Timestamp::from_micros(7);
        send(&dir, &params(1), now).expect("it can be sent");
        for (id, x) in [("2222", 2), ("1111", 3)] {
            std::fs::write(dir.journal(), opened(id)).expect("it can be written");
            send(&dir, &params(x), now).expect("it can be sent");
        }
        let mut aside = Vec::new();
        assert_eq!(receive(&dir, &mut aside), [params(3)]);
        assert_eq!(aside.len(), 2);
        assert!(aside.iter().all(|path| path.starts_with(dir.orphaned())));
    }
}
