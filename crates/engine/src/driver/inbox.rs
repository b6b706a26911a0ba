//! Messages of `swath` processes in other terminals: configurations, remarks on trials and trials to
//! run again, one file each in the folder `inbox`, processed in the order of sending, and
//! [requests](super::control) to the run itself.

use super::amend::Amendment;
use super::control::Received;
use super::{Control, DriverError, Urgency};
use crate::journal::{Holder, StudyDir, id_of, set_aside};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use swath_log::regular;
use swath_model::space::Params;
use swath_model::study::{Event, Origin, Study, Timestamp};

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

    /// Returns the messages in the inbox, in the order of sending. They stay there until they are
    /// removed. A file that cannot be parsed is removed. One that was not sent to this study, as in a
    /// restored copy, is moved away.
    pub(super) fn messages(&mut self) -> Vec<Message> {
        let (own, foreign) = paths(&self.dir);
        let moved = foreign.iter().map(|path| set_aside(&self.dir, path));
        self.set_aside.extend(moved.filter_map(Result::ok));
        own.into_iter().filter_map(Message::read).collect()
    }

    /// Returns the new places of messages that were for another study, each once.
    pub(super) fn take_set_aside(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.set_aside)
    }

    /// Removes messages that were taken.
    pub(super) fn remove(&self, messages: &[Message]) {
        remove(&self.dir, messages);
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

/// The extensions of files with configurations and with events. A version of swath that knows no
/// such events leaves them alone.
const CONFIGURATION: &str = "json";
const EVENT: &str = "event";

fn is_message(extension: &OsStr) -> bool {
    extension == CONFIGURATION || extension == EVENT
}

/// Returns the paths of the messages to a study and of those to others, in the order of sending.
fn paths(dir: &StudyDir) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder(dir)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(is_message))
        .collect();
    // Usually there are none, and the journal need not be read for its id.
    if paths.is_empty() {
        return (paths, Vec::new());
    }
    paths.sort();
    let id = id_of(dir);
    paths
        .into_iter()
        .partition(|path| is_sent_to(path, id.as_deref()))
}

fn remove(dir: &StudyDir, messages: &[Message]) {
    for message in messages {
        // One that stays is not taken again.
        let _ = std::fs::remove_file(&message.path);
    }
    // Removing the folder fails if a file arrived meanwhile; the next call reads it.
    let _ = std::fs::remove_dir(folder(dir));
}

/// Appends events of a person to the journal of a study that no process runs, after those that were
/// sent to a run and not taken.
///
/// # Errors
/// If a process runs the study, it cannot be read or written, or a trial does not allow its event.
pub fn amend_events(
    dir: &StudyDir,
    holder: &Holder,
    now: Timestamp,
    events: Vec<Event>,
) -> Result<Study, DriverError> {
    let mut amendment = Amendment::open(dir, holder, now)?;
    let pending = paths(dir).0.into_iter();
    let pending: Vec<_> = pending
        .filter(|path| path.extension().is_some_and(|name| name == EVENT))
        .filter_map(Message::read)
        .collect();
    for event in pending.iter().filter_map(Message::event).chain(&events) {
        if amendment.study().accepts_request(event) {
            amendment.append(event.clone())?;
        }
    }
    let study = amendment.close()?;
    if !pending.is_empty() {
        remove(dir, &pending);
    }
    Ok(study)
}

/// Sends a configuration, possibly partial, to the run of the study: the current one or the next
/// one.
///
/// # Errors
/// If the folder cannot be written.
pub fn send(dir: &StudyDir, given: &Params, now: Timestamp) -> std::io::Result<()> {
    write(dir, &serde_json::to_vec(given)?, CONFIGURATION, now)
}

/// Sends a note, a tag or a trial to run again to the run of the study: the current one or the next one.
///
/// # Errors
/// If the folder cannot be written.
pub fn send_event(dir: &StudyDir, event: &Event, now: Timestamp) -> std::io::Result<()> {
    write(dir, &serde_json::to_vec(event)?, EVENT, now)
}

/// Writes a message as a new file, whose name sorts behind those of earlier messages.
fn write(dir: &StudyDir, content: &[u8], extension: &str, now: Timestamp) -> std::io::Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder)?;
    // The prefix and the missing extension hide the file from the reader until it is complete.
    let mut file = tempfile::Builder::new()
        .prefix(".new")
        .tempfile_in(&folder)?;
    file.write_all(content)?;
    // A power cut must not take a message whose sender has been told that it is there.
    file.as_file().sync_all()?;
    let id = id_of(dir).map(|id| format!("{STUDY}{id}."));
    let id = id.unwrap_or_default();
    // Another process may send at the same microsecond: count up until the name is free.
    for number in 0..1000 {
        let path = folder.join(format!(
            "{:020}.{number:03}.{id}{extension}",
            now.as_micros()
        ));
        match file.persist_noclobber(path) {
            Ok(_) => return regular::open_folder(&folder)?.sync_all(),
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

/// Returns whether a message was sent to the study with this id. A study without one takes any: an
/// earlier version began it.
fn is_sent_to(path: &Path, id: Option<&str>) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    id.is_none_or(|id| name.contains(&format!(".{STUDY}{id}.")))
}

/// A message that was sent to the run, and its file.
pub(super) struct Message {
    path: PathBuf,
    pub(super) content: Content,
}

/// The content of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// A configuration to run next, possibly partial.
    Configuration(Params),
    /// The event of a note or a tag, or of a trial that is to run again.
    Event(Box<Event>),
}

impl Content {
    fn parse(text: &[u8], extension: &OsStr) -> serde_json::Result<Self> {
        if extension == EVENT {
            serde_json::from_slice(text).map(Box::new).map(Self::Event)
        } else {
            serde_json::from_slice(text).map(Self::Configuration)
        }
    }
}

impl Message {
    fn read(path: PathBuf) -> Option<Self> {
        let text = regular::read(&path).ok()?;
        match Content::parse(&text, path.extension().unwrap_or_default()) {
            Ok(content) => Some(Self { path, content }),
            Err(_) => {
                let _ = std::fs::remove_file(path);
                None
            }
        }
    }

    /// Returns the event of a note, a tag or a trial to run again; `None` for a configuration.
    pub(super) fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Configuration(_) => None,
            Content::Event(event) => Some(&**event),
        }
    }

    /// Returns the name of the message, which no other message of the study has.
    fn name(&self) -> Cow<'_, str> {
        let stem = self.path.file_stem().unwrap_or_default();
        stem.to_string_lossy()
    }

    /// Returns whether the study has a trial of this message.
    pub(super) fn is_taken(&self, study: &Study) -> bool {
        let name = self.name();
        let mut trials = study.trials().iter();
        trials.any(|trial| matches!(&trial.origin, Origin::Sent(other) if *other == name))
    }

    /// Returns the event that creates the trial of this message, with the name of the message.
    pub(super) fn named_in(&self, mut created: Event) -> Event {
        if let Event::Created { origin, .. } = &mut created {
            *origin = Origin::Sent(self.name().into_owned());
        }
        created
    }
}

#[cfg(test)]
mod tests {
    use super::super::control::tests::opened;
    use super::*;
    use swath_model::demo::Demo;
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
    fn configurations_are_received_in_order_and_each_message_is_taken_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        for x in 0..5 {
            send(&dir, &params(x), Timestamp::from_micros(7)).expect("it can be sent");
        }
        std::fs::write(super::folder(&dir).join("9.json"), "{").expect("it can be written");
        let mut inbox = Inbox::new(dir.clone());
        let messages = inbox.messages();
        assert!(inbox.take_set_aside().is_empty());
        let contents = messages.iter().map(|message| &message.content);
        let sent: Vec<_> = (0..5).map(|x| Content::Configuration(params(x))).collect();
        assert!(contents.eq(&sent));
        let mut demo = Demo::new(&[]);
        let created = Event::Created {
            trial: demo.study.next_id(),
            params: params(0),
            origin: Origin::Added,
            seed: 1,
        };
        demo.event(messages[0].named_in(created));
        let taken = messages.iter().map(|message| message.is_taken(&demo.study));
        assert_eq!(
            taken.collect::<Vec<_>>(),
            [true, false, false, false, false]
        );
        inbox.remove(&messages);
        assert!(inbox.messages().is_empty() && !super::folder(&dir).exists());
    }

    #[test]
    fn a_remark_is_taken_as_its_event_and_a_file_of_another_kind_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let now = Timestamp::from_micros(7);
        let remark = Event::Noted {
            trial: swath_model::study::TrialId(3),
            note: "diverges".to_owned(),
        };
        send_event(&dir, &remark, now).expect("it can be sent");
        std::fs::write(super::folder(&dir).join("9.later"), "?").expect("it can be written");
        let mut inbox = Inbox::new(dir.clone());
        let messages = inbox.messages();
        let contents: Vec<_> = messages.iter().map(|message| &message.content).collect();
        assert_eq!(contents, [&Content::Event(Box::new(remark))]);
        inbox.remove(&messages);
        assert!(inbox.messages().is_empty() && super::folder(&dir).join("9.later").exists());
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
        let mut inbox = Inbox::new(dir.clone());
        let messages = inbox.messages();
        let contents = messages.iter().map(|message| &message.content);
        assert!(contents.eq(&[Content::Configuration(params(3))]));
        let aside = inbox.take_set_aside();
        assert_eq!(aside.len(), 2);
        assert!(aside.iter().all(|path| path.starts_with(dir.orphaned())));
    }
}
