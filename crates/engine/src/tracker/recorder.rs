//! The recorder feeds journal entries to the trackers and shields the run from their failures.
//!
//! `trials.csv` is written by the caller's thread from the caller's study, rarely enough that it
//! takes less than 1 % of the time: a second copy of the study only for the table would double the
//! memory of a long run. All other trackers share one thread with its own replica of the study and
//! a bounded queue. A slow tracker therefore slows the run down a little instead of consuming
//! memory. If the thread makes no progress for 10 seconds, it is abandoned.

use super::csv::Csv;
use super::room::{self, BETWEEN_LOOKS};
use super::{Tracker, TrackerError};
use crate::study::{Entry, Study};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, unbounded};
use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of entries queued for the trackers' thread.
const QUEUE: usize = 1024;

/// Time without progress after which the trackers' thread is abandoned.
const PATIENCE: Duration = Duration::from_secs(10);

/// Minimum time between two syncs of a tracker.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause after a sync is this many times as long as the sync took, so at most about 1/100 of
/// the time is spent in syncs.
const SHARE: u32 = 100;

thread_local! {
    /// The progress counter of the recorder whose thread this is; `None` in all other threads.
    static STEPS: RefCell<Option<Arc<AtomicUsize>>> = const { RefCell::new(None) };
}

/// Signals progress within a single entry, for a tracker that reads a long metrics file. Does
/// nothing outside a recorder's thread.
pub(super) fn progress() {
    STEPS.with_borrow(|steps| {
        if let Some(steps) = steps {
            steps.fetch_add(1, Relaxed);
        }
    });
}

/// A tracker and its name in the sweep file.
pub struct Named {
    /// The name under which failures of the tracker are reported.
    pub name: String,
    /// The tracker itself.
    pub tracker: Box<dyn Tracker>,
}

/// Passes every entry written before the recorder started to the callback, in order. Usually a
/// reader of the journal.
pub type History = Box<dyn FnOnce(&mut dyn FnMut(&Entry)) + Send>;

/// A report that a tracker is out of date from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The name of the tracker.
    pub name: String,
    /// The reason, as shown to the user.
    pub why: String,
}

/// Feeds the trackers of one run: `trials.csv` directly, all others through a thread.
pub struct Recorder {
    /// The tracker of `trials.csv`, fed by the caller's thread.
    table: Slot,
    /// The trackers' thread; `None` if there are no other trackers or the thread is abandoned.
    worker: Option<Worker>,
    /// Reports that the caller has not fetched yet.
    stale: Vec<Stale>,
}

impl Recorder {
    /// Starts to maintain the table in `csv` and to feed `trackers`, beginning with `history`.
    ///
    /// # Errors
    /// Returns an error if the trackers' thread cannot be started.
    pub fn start(csv: Csv, trackers: Vec<Named>, history: History) -> std::io::Result<Self> {
        Self::patient(csv, trackers, history, PATIENCE)
    }

    /// Starts the recorder with another time limit for progress.
    fn patient(
        csv: Csv,
        trackers: Vec<Named>,
        history: History,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let table = Slot::new(Named {
            name: "csv".to_owned(),
            tracker: Box::new(csv),
        });
        // Without other trackers neither a thread nor a replica of the study is needed.
        let worker = match trackers.is_empty() {
            true => None,
            false => Some(Worker::start(trackers, history, patience)?),
        };
        Ok(Self {
            table,
            worker,
            stale: Vec::new(),
        })
    }

    /// Records one journal entry. `study` has already applied it. Blocks while the queue is full,
    /// as long as the trackers make progress.
    pub fn send(&mut self, study: &Study, entry: &Entry) {
        self.stale.extend(self.table.record(study, entry));
        self.stale.extend(self.table.sync_if_due(study));
        // Once the thread is stuck it is never joined: its handle is dropped and the run continues
        // without trackers.
        let stuck = self
            .worker
            .as_mut()
            .and_then(|worker| worker.send(entry).err());
        if let Some(stale) = stuck {
            self.worker = None;
            self.stale.extend(stale);
        }
    }

    /// Updates the table if a sync is due. Called while no entry arrives.
    pub fn tick(&mut self, study: &Study) {
        self.stale.extend(self.table.sync_if_due(study));
    }

    /// Returns the trackers that became stale since the last call. Each tracker is reported once.
    pub fn stale(&mut self) -> Vec<Stale> {
        if let Some(worker) = &self.worker {
            self.stale.extend(worker.news.try_iter());
        }
        std::mem::take(&mut self.stale)
    }

    /// Writes everything outstanding and ends the recorder. Returns the trackers that became stale
    /// since the last call of [`stale`](Self::stale).
    pub fn finish(mut self, study: &Study) -> Vec<Stale> {
        self.stale.extend(self.table.close(study));
        if let Some(worker) = self.worker.take() {
            self.stale.extend(worker.finish());
        }
        self.stale
    }
}

/// A handle to the trackers' thread, held by the caller's thread.
struct Worker {
    /// The bounded queue of entries to the thread.
    queue: Sender<Entry>,
    /// Reports of failed trackers from the thread.
    news: Receiver<Stale>,
    thread: thread::JoinHandle<()>,
    /// The names of the trackers, in the order of the thread's slots.
    names: Vec<String>,
    /// The index of the tracker that is being called; `usize::MAX` if none is.
    busy: Arc<AtomicUsize>,
    steps: Arc<AtomicUsize>,
    patience: Duration,
}

impl Worker {
    fn start(trackers: Vec<Named>, history: History, patience: Duration) -> std::io::Result<Self> {
        let (queue, entries) = bounded(QUEUE);
        let (tell, news) = unbounded();
        let names = trackers.iter().map(|named| named.name.clone()).collect();
        let (busy, steps) = (
            Arc::new(AtomicUsize::new(usize::MAX)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut feed = Feed {
            study: Study::default(),
            slots: trackers.into_iter().map(Slot::new).collect(),
            tell,
            busy: Arc::clone(&busy),
            steps: Arc::clone(&steps),
        };
        let own = Arc::clone(&steps);
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                // `progress` finds the counter through the thread, so that trackers need no handle
                // to it.
                STEPS.set(Some(own));
                history(&mut |entry| feed.take(entry));
                feed.run(&entries);
            })?;
        Ok(Self {
            queue,
            news,
            thread,
            names,
            busy,
            steps,
            patience,
        })
    }

    /// Queues an entry. Blocks while the queue is full and the trackers make progress.
    fn send(&mut self, entry: &Entry) -> Result<(), Vec<Stale>> {
        let mut entry = entry.clone();
        loop {
            let before = self.steps.load(Relaxed);
            match self.queue.send_timeout(entry, self.patience) {
                Ok(()) => return Ok(()),
                // The queue is full, but a tracker has finished a step meanwhile: it is slow, not
                // stuck.
                Err(SendTimeoutError::Timeout(back)) if self.steps.load(Relaxed) != before => {
                    entry = back;
                }
                Err(_) => return Err(self.stuck()),
            }
        }
    }

    /// Closes the queue and waits until the thread has processed it, as long as it makes progress.
    fn finish(mut self) -> Vec<Stale> {
        // Dropping the sender disconnects the channel, which ends the thread once the queue is
        // empty.
        self.queue = bounded(0).0;
        loop {
            let before = self.steps.load(Relaxed);
            let began = Instant::now();
            while !self.thread.is_finished() && began.elapsed() < self.patience {
                thread::sleep(Duration::from_millis(1));
            }
            if self.thread.is_finished() {
                return self.news.try_iter().collect();
            }
            if self.steps.load(Relaxed) == before {
                return self.stuck();
            }
        }
    }

    /// Returns a report for every tracker that is abandoned with the thread. Names the tracker that
    /// was busy; the others had to wait for it.
    fn stuck(&self) -> Vec<Stale> {
        let told: Vec<Stale> = self.news.try_iter().collect();
        let culprit = self.names.get(self.busy.load(Relaxed));
        let seconds = self.patience.as_secs_f64();
        let late = self
            .names
            .iter()
            .filter(|name| !told.iter().any(|stale| stale.name == **name));
        let late = late.map(|name| Stale {
            name: name.clone(),
            why: match culprit {
                Some(culprit) if culprit == name => format!("it made no progress for {seconds} s"),
                Some(culprit) => {
                    format!(
                        "it had to wait for `{culprit}`, which made no progress for {seconds} s"
                    )
                }
                None => "the recorder has ended".to_owned(),
            },
        });
        told.iter().cloned().chain(late).collect()
    }
}

/// The state of the trackers' thread: its replica of the study and its trackers.
struct Feed {
    study: Study,
    slots: Vec<Slot>,
    tell: Sender<Stale>,
    busy: Arc<AtomicUsize>,
    steps: Arc<AtomicUsize>,
}

impl Feed {
    /// Processes entries until the queue is closed, then closes all trackers. Syncs while no entry
    /// arrives.
    fn run(&mut self, entries: &Receiver<Entry>) {
        loop {
            match entries.recv_timeout(PAUSE) {
                Ok(entry) => self.take(&entry),
                // A sync may be due although no entry arrives.
                Err(RecvTimeoutError::Timeout) => self.each(|slot, study| slot.sync_if_due(study)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.linger();
        self.each(Slot::close);
    }

    /// Waits for trackers that still deliver by themselves, as long as they make progress.
    fn linger(&mut self) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            self.busy.store(at, Relaxed);
            while !slot.failed && slot.named.tracker.linger() {
                self.steps.fetch_add(1, Relaxed);
            }
            self.steps.fetch_add(1, Relaxed);
        }
    }

    /// Applies an entry to the replica and passes it to every tracker.
    fn take(&mut self, entry: &Entry) {
        // A resumed run sends entries that the history has already supplied. Their sequence numbers
        // no longer fit the replica, so `apply` rejects them and no tracker receives them twice.
        if self.study.apply(entry).is_err() {
            return;
        }
        self.each(|slot, study| {
            // Record nothing more while data of earlier entries waits for disk space. Only this
            // thread waits; the run itself goes on until the queue is full.
            slot.wait_for_room(study)
                .or_else(|| room::patiently(|| slot.record(study, entry)))
                .or_else(|| slot.sync_if_due(study))
        });
    }

    /// Calls `act` for every tracker, and sends the reports of those that fail.
    fn each(&mut self, mut act: impl FnMut(&mut Slot, &Study) -> Option<Stale>) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            self.busy.store(at, Relaxed);
            if let Some(stale) = act(slot, &self.study) {
                // The receiver is dropped only if the recorder has abandoned this thread.
                let _ = self.tell.send(stale);
            }
            self.steps.fetch_add(1, Relaxed);
        }
        self.busy.store(usize::MAX, Relaxed);
    }
}

/// A tracker with the time of its next sync. After a failure it is no longer called.
struct Slot {
    named: Named,
    failed: bool,
    /// Whether the last sync found the disk full; the next one tries again.
    full: bool,
    next_sync: Instant,
}

impl Slot {
    fn new(named: Named) -> Self {
        Self {
            named,
            failed: false,
            full: false,
            next_sync: Instant::now() + PAUSE,
        }
    }

    fn record(&mut self, study: &Study, entry: &Entry) -> Option<Stale> {
        self.attempt(|tracker| tracker.record(study, entry))
    }

    /// Syncs the tracker. A full disk is not a failure; it sets `full`.
    fn sync(&mut self, study: &Study) -> Option<Stale> {
        let began = Instant::now();
        self.full = false;
        let result = match self.attempt_or_full(|tracker| tracker.sync(study)) {
            Ok(()) => None,
            Err(Some(stale)) => Some(stale),
            Err(None) => {
                self.full = true;
                None
            }
        };
        // Wait in proportion to the cost of this sync: a table that takes long to write is written
        // rarely.
        self.next_sync = Instant::now() + (began.elapsed() * SHARE).max(PAUSE);
        result
    }

    /// Retries the sync until everything recorded so far is written. Blocks the trackers' thread.
    fn wait_for_room(&mut self, study: &Study) -> Option<Stale> {
        let mut stale = None;
        while self.full && stale.is_none() {
            thread::sleep(BETWEEN_LOOKS);
            stale = self.sync(study);
        }
        stale
    }

    fn close(&mut self, study: &Study) -> Option<Stale> {
        self.attempt(|tracker| tracker.close(study))
    }

    fn sync_if_due(&mut self, study: &Study) -> Option<Stale> {
        if Instant::now() < self.next_sync {
            None
        } else {
            self.sync(study)
        }
    }

    /// Calls the tracker. Any error makes it stale.
    fn attempt(
        &mut self,
        act: impl FnOnce(&mut dyn Tracker) -> Result<(), TrackerError>,
    ) -> Option<Stale> {
        self.try_to(act).err().map(|error| self.give_up(&error))
    }

    /// Calls the tracker and separates a full disk (`Err(None)`) from other failures
    /// (`Err(Some(_))`). Only the latter make the tracker stale.
    fn attempt_or_full(
        &mut self,
        act: impl FnOnce(&mut dyn Tracker) -> Result<(), TrackerError>,
    ) -> Result<(), Option<Stale>> {
        self.try_to(act)
            .map_err(|error| (!error.is_full()).then(|| self.give_up(&error)))
    }

    /// Calls the tracker, unless it has failed before.
    fn try_to(
        &mut self,
        act: impl FnOnce(&mut dyn Tracker) -> Result<(), TrackerError>,
    ) -> Result<(), TrackerError> {
        if self.failed {
            Ok(())
        } else {
            act(self.named.tracker.as_mut())
        }
    }

    /// Excludes the tracker from further calls and returns the report, with all causes of the
    /// error.
    fn give_up(&mut self, error: &TrackerError) -> Stale {
        self.failed = true;
        let causes = std::iter::successors(error.source(), |cause| (**cause).source());
        let why = causes.fold(error.to_string(), |why, cause| format!("{why}: {cause}"));
        Stale {
            name: self.named.name.clone(),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Csv, History, Named, Recorder, Stale};
    use crate::study::{Entry, Study};
    use crate::tracker::{Tracker, TrackerError};
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use swath_model::demo::Demo;

    /// A tracker that stores the sequence numbers it receives. It can fail at an entry or hang.
    #[derive(Clone, Default)]
    struct Memory {
        seen: Arc<Mutex<Vec<String>>>,
        fails_at: Option<u64>,
        hangs: bool,
        /// Number of syncs that still find the disk full.
        full: Arc<std::sync::atomic::AtomicU32>,
        reads_long: bool,
    }

    impl Tracker for Memory {
        fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
            if self.hangs {
                std::thread::sleep(Duration::from_secs(3600));
            }
            if self.reads_long && entry.seq == 1 {
                for _ in 0..10 {
                    std::thread::sleep(Duration::from_millis(50));
                    super::progress();
                }
            }
            if self.fails_at == Some(entry.seq) {
                return Err(TrackerError::Other("server is away".into()));
            }
            assert_eq!(study.next_seq(), entry.seq + 1);
            self.seen.lock().unwrap().push(entry.seq.to_string());
            Ok(())
        }
        fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
            let less = |left: u32| left.checked_sub(1);
            if self.full.fetch_update(Relaxed, Relaxed, less).is_ok() {
                let source = std::io::ErrorKind::StorageFull.into();
                return Err(TrackerError::Write {
                    path: "runs".into(),
                    source,
                });
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

    fn demo() -> Demo {
        let mut demo = Demo::new(&[]);
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo
    }

    /// Returns the first `count` entries as a journal reader would supply them.
    fn history(demo: &Demo, count: usize) -> History {
        let entries = demo.entries[..count].to_vec();
        Box::new(move |each| entries.iter().for_each(each))
    }

    /// Records a resumed study. The third entry comes both from the journal and from the run.
    fn record(demo: &Demo, trackers: Vec<Named>) -> (Vec<Stale>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.csv");
        let patience = Duration::from_millis(200);
        let mut recorder =
            Recorder::patient(Csv::new(path.clone()), trackers, history(demo, 3), patience)
                .unwrap();
        for entry in &demo.entries[2..] {
            recorder.send(&demo.study, entry);
        }
        let mut stale = recorder.stale();
        stale.extend(recorder.finish(&demo.study));
        (stale, std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn every_tracker_gets_every_entry_once_and_is_synced_at_the_end() {
        let (one, two) = (Memory::default(), Memory::default());
        let (stale, csv) = record(&demo(), vec![named("one", &one), named("two", &two)]);
        assert_eq!(stale, []);
        assert_eq!(*one.seen.lock().unwrap(), ["0", "1", "2", "3", "4", "sync"]);
        assert_eq!(*two.seen.lock().unwrap(), *one.seen.lock().unwrap());
        assert_eq!(csv.lines().count(), 2);
    }

    #[test]
    fn a_tracker_that_fails_is_told_once_and_left_out_while_the_others_go_on() {
        let bad = Memory {
            fails_at: Some(1),
            ..Memory::default()
        };
        let good = Memory::default();
        let (stale, _) = record(&demo(), vec![named("bad", &bad), named("good", &good)]);
        assert_eq!(
            stale,
            [Stale {
                name: "bad".into(),
                why: "server is away".into()
            }]
        );
        assert_eq!(*bad.seen.lock().unwrap(), ["0"]);
        assert_eq!(good.seen.lock().unwrap().len(), 6);
    }

    #[test]
    fn a_tracker_whose_disk_is_full_takes_nothing_in_until_there_is_room_and_is_not_left_out() {
        let demo = demo();
        let memory = Memory {
            full: Arc::new(3.into()),
            ..Memory::default()
        };
        let mut slot = super::Slot::new(named("full", &memory));
        assert_eq!(slot.sync(&demo.study), None);
        assert_eq!((slot.full, memory.seen.lock().unwrap().len()), (true, 0));
        assert_eq!(slot.wait_for_room(&demo.study), None);
        assert_eq!(
            (slot.full, memory.seen.lock().unwrap().as_slice()),
            (false, &["sync".to_owned()][..])
        );
        assert_eq!(memory.full.load(Relaxed), 0);
    }

    #[test]
    fn a_tracker_that_hangs_is_given_up_and_the_table_is_written_all_the_same() {
        let hung = Memory {
            hangs: true,
            ..Memory::default()
        };
        let (stale, csv) = record(&demo(), vec![named("hung", &hung)]);
        assert_eq!(
            stale,
            [Stale {
                name: "hung".into(),
                why: "it made no progress for 0.2 s".into()
            }]
        );
        assert_eq!(csv.lines().count(), 2);
    }

    #[test]
    fn a_tracker_that_reads_for_long_is_waited_for_as_long_as_it_reads() {
        let slow = Memory {
            reads_long: true,
            ..Memory::default()
        };
        let (stale, _) = record(&demo(), vec![named("slow", &slow)]);
        assert_eq!(
            stale,
            [],
            "it took 0.5 s, and 0.2 s without progress are allowed"
        );
        assert_eq!(slow.seen.lock().unwrap().len(), 6);
    }

    #[test]
    fn a_table_that_cannot_be_written_is_told_once() {
        let csv = Csv::new("/nonexistent/folder/trials.csv".into());
        let demo = demo();
        let mut recorder = Recorder::start(csv, Vec::new(), history(&demo, 0)).unwrap();
        recorder.send(&demo.study, &demo.entries[0]);
        let stale = recorder.finish(&demo.study);
        assert_eq!(stale.len(), 1);
        assert!(
            stale[0]
                .why
                .starts_with("could not write `/nonexistent/folder/trials.csv`: "),
            "{stale:?}"
        );
    }
}
