//! The threads of the trackers. Each tracker follows the journal by itself: its thread reads the
//! journal from the first entry, with a replica of the study of its own.
//!
//! The run never waits for a tracker while trials run: a tracker that is slow, or whose server is
//! away, falls behind. At the end of the run it gets the time to catch up, as long as it makes
//! progress.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use swath_engine::journal::{Journal, JournalError, StudyDir};
use swath_engine::tracker::retry::{Heartbeat, beat, with_backoff, with_causes};
use swath_engine::tracker::{Tracker, TrackerError};
use swath_model::study::{Entry, IllegalEvent, Study};

/// Time without progress after which the end of a run no longer waits for a tracker.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time for trackers to write their last state when the run is to end quickly.
const GRACE: Duration = Duration::from_millis(100);

/// Time for the step that a tracker is in when the run has failed.
const FAREWELL: Duration = Duration::from_secs(1);

/// Interval between two reads of the journal.
const BETWEEN_READS: Duration = Duration::from_millis(200);

/// Minimum time between two syncs.
const BETWEEN_SYNCS: Duration = Duration::from_secs(1);

/// The pause after a sync is at least this many times as long as the sync took, so at most about
/// 1/100 of the time is spent in syncs.
const SHARE: u32 = 100;

/// A tracker and its name in the sweep file.
pub struct Named {
    /// The name under which failures of the tracker are reported.
    pub name: String,
    /// The tracker itself.
    pub tracker: Box<dyn Tracker>,
}

/// A report that a tracker is out of date from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The name of the tracker.
    pub name: String,
    /// The reason, as shown to the user.
    pub why: String,
}

impl Stale {
    /// Returns the report of a tracker that has failed, with all causes of the error.
    pub(super) fn new(name: String, error: &dyn Error) -> Self {
        let why = with_causes(error);
        Self { name, why }
    }
}

/// The threads of the trackers of one run.
pub struct Followers {
    followers: Vec<Follower>,
    patience: Duration,
}

/// The thread of a tracker, as the run sees it.
struct Follower {
    name: String,
    heartbeat: Arc<Heartbeat>,
    thread: JoinHandle<Result<(), FollowError>>,
    /// The number of steps that the tracker had made when it was last looked at, and the time since
    /// which it has not made another.
    progress: (u64, Instant),
}

impl Followers {
    /// Starts a thread for each tracker. Each begins with the first entry of the journal.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(dir: &StudyDir, trackers: Vec<Named>) -> io::Result<Self> {
        Self::patient(dir, trackers, PATIENCE)
    }

    /// Starts the threads, with another time limit for progress at the end.
    fn patient(dir: &StudyDir, trackers: Vec<Named>, patience: Duration) -> io::Result<Self> {
        let mut started = Self {
            followers: Vec::new(),
            patience,
        };
        for named in trackers {
            started.followers.push(Follower::start(dir.clone(), named)?);
        }
        Ok(started)
    }

    /// Returns the trackers that became stale since the last call. Each tracker is reported once.
    pub fn stale(&mut self) -> Vec<Stale> {
        let followers = std::mem::take(&mut self.followers);
        let (ended, running): (Vec<_>, Vec<_>) = followers
            .into_iter()
            .partition(|follower| follower.thread.is_finished());
        self.followers = running;
        ended.into_iter().filter_map(Follower::outcome).collect()
    }

    /// Waits until every tracker has written the journal to its end, as long as it makes progress.
    /// Waits for no tracker once `is_urgent` returns `true`. All entries must have been flushed to
    /// the journal. Returns the trackers that became stale since the last call of
    /// [`stale`](Self::stale).
    pub fn finish(mut self, is_urgent: impl Fn() -> bool) -> Vec<Stale> {
        let began = Instant::now();
        for follower in &mut self.followers {
            follower.progress.1 = began;
            follower.heartbeat.end();
            follower.thread.thread().unpark();
        }
        let mut stale = Vec::new();
        loop {
            stale.extend(self.stale());
            if self.followers.is_empty() {
                return stale;
            }
            let is_hurried = began.elapsed() >= GRACE && is_urgent();
            let patience = self.patience;
            let abandoned = self
                .followers
                .extract_if(.., |follower| is_hurried || follower.is_stuck(patience));
            stale.extend(abandoned.map(|follower| follower.abandon(patience, is_hurried)));
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Followers {
    /// Ends the threads of a run that has failed, before another run can write the same files.
    fn drop(&mut self) {
        let began = Instant::now();
        for follower in &self.followers {
            follower.heartbeat.abandon();
            follower.thread.thread().unpark();
        }
        for follower in &self.followers {
            while !follower.thread.is_finished() && began.elapsed() < FAREWELL {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Follower {
    fn start(dir: StudyDir, Named { name, tracker }: Named) -> io::Result<Self> {
        let heartbeat = Arc::new(Heartbeat::default());
        let shared = Arc::clone(&heartbeat);
        let thread = thread::Builder::new()
            .name(format!("tracker {name}"))
            .spawn(move || follow(&dir, tracker, &shared))?;
        Ok(Self {
            name,
            heartbeat,
            thread,
            progress: (0, Instant::now()),
        })
    }

    /// Returns whether the tracker has made no progress for `patience`.
    fn is_stuck(&mut self, patience: Duration) -> bool {
        let beats = self.heartbeat.beats();
        if beats != self.progress.0 {
            self.progress = (beats, Instant::now());
        }
        self.progress.1.elapsed() >= patience
    }

    /// Returns the failure of a thread that has ended; `None` if it has written everything.
    fn outcome(self) -> Option<Stale> {
        match self.thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Stale::new(self.name, &error)),
            Err(_) => Some(Stale {
                name: self.name,
                why: "it panicked".to_owned(),
            }),
        }
    }

    /// Tells the thread to end at its next step, and does not wait for that.
    fn abandon(self, patience: Duration, is_hurried: bool) -> Stale {
        self.heartbeat.abandon();
        self.thread.thread().unpark();
        let why = self
            .heartbeat
            .trouble()
            .unwrap_or_else(|| match is_hurried {
                true => "the run was interrupted".to_owned(),
                false => format!("it made no progress for {} s", patience.as_secs_f64()),
            });
        Stale {
            why: format!(
                "the last records were not delivered yet: {why}; the next run or \
                 `swath export {}` delivers them",
                self.name
            ),
            name: self.name,
        }
    }
}

/// The reason why a tracker has stopped to follow the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal contains an event that its study does not allow.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// The tracker failed to write.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
}

/// Feeds a tracker with the journal, from the first entry to the end of the run, on the thread of
/// the tracker.
///
/// # Errors
/// If the tracker fails for good, or the journal cannot be read.
pub(super) fn follow(
    dir: &StudyDir,
    tracker: Box<dyn Tracker>,
    heartbeat: &Arc<Heartbeat>,
) -> Result<(), FollowError> {
    let mut feed = Feed {
        study: Study::default(),
        tracker,
        next_sync: Instant::now() + BETWEEN_SYNCS,
    };
    heartbeat.scope(|| {
        let mut journal = Journal::open(dir)?;
        loop {
            // An entry may be appended while the journal is read. At the end of the run there are
            // no further ones, so this flag must be older than the reading.
            let is_ending = heartbeat.is_ending();
            for entry in journal.by_ref() {
                feed.take(&entry?)?;
            }
            if is_ending {
                return Ok(with_backoff(|| feed.tracker.close(&feed.study))?);
            }
            feed.sync_if_due()?;
            heartbeat.pause(BETWEEN_READS, is_ending);
            beat()?;
            journal.look_again()?;
        }
    })
}

/// A tracker with its replica of the study.
struct Feed {
    study: Study,
    tracker: Box<dyn Tracker>,
    next_sync: Instant,
}

impl Feed {
    /// Applies an entry to the replica and passes it to the tracker.
    fn take(&mut self, entry: &Entry) -> Result<(), FollowError> {
        self.study.apply(entry)?;
        self.tracker.record(&self.study, entry)?;
        beat()?;
        Ok(self.sync_if_due()?)
    }

    fn sync_if_due(&mut self) -> Result<(), TrackerError> {
        if Instant::now() < self.next_sync {
            return Ok(());
        }
        let began = Instant::now();
        with_backoff(|| self.tracker.sync(&self.study))?;
        self.next_sync = after_sync(began);
        Ok(())
    }
}

/// Returns the time of the next sync. Output that takes long to write is written rarely.
pub(super) fn after_sync(began: Instant) -> Instant {
    Instant::now() + (began.elapsed() * SHARE).max(BETWEEN_SYNCS)
}

#[cfg(test)]
mod tests {
    use super::{Followers, Named, Stale};
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use swath_engine::journal::StudyDir;
    use swath_engine::tracker::retry::beat;
    use swath_engine::tracker::{Tracker, TrackerError};
    use swath_model::demo::Demo;
    use swath_model::study::{Entry, Study};

    /// Time without progress after which a tracker is given up. A busy machine may stop a thread
    /// for a second.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// A tracker that stores the sequence numbers it receives. It can fail at an entry or hang.
    #[derive(Clone, Default)]
    struct Memory {
        seen: Arc<Mutex<Vec<String>>>,
        fails_at: Option<u64>,
        hangs: bool,
        /// Number of syncs that still find the server away.
        away: Arc<AtomicU32>,
        reads_long: bool,
    }

    impl Memory {
        fn seen(&self) -> Vec<String> {
            self.seen.lock().unwrap().clone()
        }
    }

    impl Tracker for Memory {
        fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
            if self.hangs {
                std::thread::sleep(Duration::from_secs(3600));
            }
            if self.reads_long && entry.seq == 1 {
                for _ in 0..25 {
                    std::thread::sleep(Duration::from_millis(100));
                    beat()?;
                }
            }
            if self.fails_at == Some(entry.seq) {
                return Err(TrackerError::Other("the server is gone".into()));
            }
            assert_eq!(study.next_seq(), entry.seq + 1);
            self.seen.lock().unwrap().push(entry.seq.to_string());
            Ok(())
        }

        fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
            let failures = self
                .away
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            if failures.is_ok() {
                return Err(TrackerError::Away("the server is away".into()));
            }
            self.seen.lock().unwrap().push("sync".into());
            Ok(())
        }
    }

    fn named(name: &str, tracker: &Memory) -> Named {
        Named {
            name: name.into(),
            tracker: Box::new(tracker.clone()),
        }
    }

    /// Appends entries to the journal of a study.
    fn append(dir: &StudyDir, entries: &[Entry]) {
        let mut journal = std::fs::File::options()
            .append(true)
            .create(true)
            .open(dir.journal())
            .unwrap();
        for entry in entries {
            let line = serde_json::to_string(entry).unwrap() + "\n";
            journal.write_all(line.as_bytes()).unwrap();
        }
    }

    /// Follows a resumed study whose journal has three entries at first. `is_urgent` is whether the
    /// run is to end quickly.
    fn follow(trackers: Vec<Named>, is_urgent: bool) -> Vec<Stale> {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = Demo::new(&[]);
        demo.complete(&[], &[("val_loss", 0.5)]);
        append(&dir, &demo.entries[..3]);
        let mut followers = Followers::patient(&dir, trackers, PATIENCE).unwrap();
        append(&dir, &demo.entries[3..]);
        let mut stale = followers.stale();
        stale.extend(followers.finish(|| is_urgent));
        stale
    }

    #[test]
    fn every_tracker_gets_every_entry_once_and_is_synced_at_the_end() {
        let (one, two) = (Memory::default(), Memory::default());
        let stale = follow(vec![named("one", &one), named("two", &two)], false);
        assert_eq!(stale, []);
        assert_eq!(one.seen(), ["0", "1", "2", "3", "4", "sync"]);
        assert_eq!(two.seen(), one.seen());
    }

    #[test]
    fn a_tracker_that_fails_is_reported_once_and_the_others_continue() {
        let bad = Memory {
            fails_at: Some(1),
            ..Memory::default()
        };
        let good = Memory::default();
        let stale = follow(vec![named("bad", &bad), named("good", &good)], false);
        let expected = Stale {
            name: "bad".into(),
            why: "the server is gone".into(),
        };
        assert_eq!(stale, [expected]);
        assert_eq!(bad.seen(), ["0"]);
        assert_eq!(good.seen().len(), 6);
    }

    #[test]
    fn a_tracker_whose_server_is_away_is_tried_again() {
        let away = Memory {
            away: Arc::new(1.into()),
            ..Memory::default()
        };
        assert_eq!(follow(vec![named("away", &away)], false), []);
        assert_eq!(away.seen(), ["0", "1", "2", "3", "4", "sync"]);
        assert_eq!(away.away.load(Relaxed), 0);
    }

    #[test]
    fn a_tracker_that_hangs_is_given_up_at_the_end_and_delays_no_other() {
        let hung = Memory {
            hangs: true,
            ..Memory::default()
        };
        let good = Memory::default();
        let stale = follow(vec![named("hung", &hung), named("good", &good)], false);
        assert_eq!(stale.len(), 1);
        assert_eq!(
            stale[0].why,
            "the last records were not delivered yet: it made no progress for 2 s; the next run \
             or `swath export hung` delivers them"
        );
        assert_eq!(good.seen().len(), 6);
    }

    #[test]
    fn the_end_of_a_run_waits_for_a_tracker_that_makes_progress() {
        let slow = Memory {
            reads_long: true,
            ..Memory::default()
        };
        let stale = follow(vec![named("slow", &slow)], false);
        assert_eq!(
            stale,
            [],
            "it took 2.5 s, and 2 s without progress are allowed"
        );
        let seen = slow.seen();
        // It may also be synced in between.
        let entries: Vec<&String> = seen.iter().filter(|it| *it != "sync").collect();
        assert_eq!(entries, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn a_run_that_is_to_end_quickly_waits_for_no_tracker() {
        let hung = Memory {
            hangs: true,
            ..Memory::default()
        };
        let stale = follow(vec![named("hung", &hung)], true);
        assert!(
            stale[0].why.contains("the run was interrupted"),
            "{stale:?}"
        );
    }
}
