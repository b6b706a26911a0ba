//! Faulty trackers: one is slow, one fails, one finds the disk full. Each has seen every entry in
//! order, or was reported as stale.

use super::Shared;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swath::driver::Listener;
use swath::journal::StudyDir;
use swath::run::follow::{Followers, Named};
use swath::study::{Entry, Event, Study};
use swath::tracker::{Tracker, TrackerError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Slow,
    Broken,
    Full,
}

struct Moody {
    mood: Mood,
    rng: ChaCha8Rng,
    seen: Arc<Mutex<Vec<u64>>>,
    fate: Shared,
}

impl Tracker for Moody {
    fn record(&mut self, _: &Study, entry: &Entry) -> Result<(), TrackerError> {
        match self.mood {
            Mood::Slow if self.rng.random_range(0..20) == 0 => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Mood::Broken if self.rng.random_range(0..40) == 0 => {
                return Err(TrackerError::Other("broken".to_owned()));
            }
            _ => {}
        }
        self.seen.lock().unwrap().push(entry.seq);
        Ok(())
    }

    fn sync(&mut self, _: &Study) -> Result<(), TrackerError> {
        if self.mood == Mood::Full && self.rng.random_range(0..20) == 0 {
            self.fate.lock().unwrap().count("a tracker without room");
            let source = io::ErrorKind::StorageFull.into();
            return Err(TrackerError::Write {
                path: "runs".to_owned(),
                source,
            });
        }
        Ok(())
    }
}

/// Feeds one tracker of each kind, and checks at the end which entries they have seen.
pub(crate) struct Moods {
    followers: Option<Followers>,
    /// The last entry of the run, once it is committed.
    last: Option<u64>,
    seen: Vec<(&'static str, Arc<Mutex<Vec<u64>>>)>,
    left_out: Vec<String>,
    fate: Shared,
}

impl Moods {
    /// Starts the threads of the trackers.
    pub(crate) fn start(dir: &StudyDir, fate: &Shared, seed: u64) -> Self {
        let mut seen = Vec::new();
        let moods = [
            ("slow", Mood::Slow),
            ("broken", Mood::Broken),
            ("full", Mood::Full),
        ];
        let trackers = moods.map(|(name, mood)| {
            let sight = Arc::new(Mutex::new(Vec::new()));
            seen.push((name, Arc::clone(&sight)));
            let tracker = Moody {
                mood,
                rng: ChaCha8Rng::seed_from_u64(seed),
                seen: sight,
                fate: Arc::clone(fate),
            };
            Named {
                name: name.to_owned(),
                tracker: Box::new(tracker),
            }
        });
        let followers = Followers::start(dir, trackers.into()).unwrap();
        Self {
            followers: Some(followers),
            last: None,
            seen,
            left_out: Vec::new(),
            fate: Arc::clone(fate),
        }
    }

    fn check_seen_entries(&self, last: u64) {
        // A tracker cannot read a journal that another process has changed.
        if self.fate.lock().unwrap().disturbed_at.is_some() {
            return;
        }
        for (name, seen) in &self.seen {
            let seen = seen.lock().unwrap();
            assert!(
                seen.iter().copied().eq(0..seen.len() as u64),
                "`{name}` saw {seen:?}"
            );
            let is_complete = seen.len() as u64 == last + 1;
            let is_stale = self.left_out.iter().any(|out| out == name);
            // If a sync lost data, a tracker may have read it before.
            let has_lost_data = self.fate.lock().unwrap().unsynced;
            assert!(
                is_complete || is_stale || has_lost_data,
                "`{name}` lacks entries without being stale: {seen:?} of {last}"
            );
            assert!(
                !is_stale || *name == "broken",
                "a tracker that is slow or without room is waited for"
            );
        }
    }
}

impl Listener for Moods {
    fn entry(&mut self, _: &Study, entry: &Entry) {
        self.last = matches!(entry.event, Event::Closed { .. }).then_some(entry.seq);
    }

    fn tick(&mut self, _: &Study) {
        let Some(mut followers) = self.followers.take() else {
            return;
        };
        if let Some(last) = self.last {
            let stale = followers.finish(|| false);
            self.left_out
                .extend(stale.into_iter().map(|stale| stale.name));
            self.check_seen_entries(last);
            let mut fate = self.fate.lock().unwrap();
            for _ in &self.left_out {
                fate.count("a tracker that broke");
            }
        } else {
            let stale = followers.stale();
            self.left_out
                .extend(stale.into_iter().map(|stale| stale.name));
            self.followers = Some(followers);
        }
    }
}
