//! Analyses the studies of the page in a thread beside the server, so that insights and random
//! forests delay neither requests nor curves.

use crate::report::analysis::Analysis;
use crate::report::view::View;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// The time that the first state of the page waits for its analysis, so that the sentences of a
/// small study are there from the beginning.
const FIRST_WAIT: Duration = Duration::from_millis(400);

/// The pause after an analysis, in multiples of the time that it took.
const PAUSE: u32 = 4;

/// The latest analyses of the studies.
pub(super) struct Analyses {
    latest: Vec<Arc<Analysis>>,
    /// Number of analyses that have ended.
    count: usize,
    /// The mark of the studies that were analysed last, or are being analysed.
    mark: String,
    started: Instant,
    pending: Option<Receiver<Vec<Arc<Analysis>>>>,
    /// The earliest time of the next analysis.
    next: Instant,
}

impl Default for Analyses {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            latest: Vec::new(),
            count: 0,
            mark: String::new(),
            started: now,
            pending: None,
            next: now,
        }
    }
}

impl Analyses {
    /// Takes an analysis that has ended, and begins one if the studies have changed, which `mark`
    /// identifies. Returns whether it is the first, for which to wait.
    pub(super) fn update(&mut self, views: &[View], mark: &str) -> bool {
        self.take(Duration::ZERO);
        let is_due = self.pending.is_none() && self.mark != mark && Instant::now() >= self.next;
        if is_due {
            self.begin(views, mark);
        }
        is_due && self.count == 0
    }

    /// Waits for the first analysis, but not long.
    pub(super) fn wait_for_first(&mut self) {
        self.take(FIRST_WAIT);
    }

    /// Returns one analysis for each study; none before the first have ended.
    pub(super) fn latest(&self) -> &[Arc<Analysis>] {
        &self.latest
    }

    /// Returns a number that changes with each analysis.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn begin(&mut self, views: &[View], mark: &str) {
        let views = views.to_vec();
        let (sender, receiver) = channel();
        let analyse = move || {
            let analyses = views.iter().map(|view| Arc::new(Analysis::of(view, None)));
            // The server may have ended.
            let _ = sender.send(analyses.collect());
        };
        // Without a thread for it, the next look at the studies tries again.
        if std::thread::Builder::new().spawn(analyse).is_ok() {
            mark.clone_into(&mut self.mark);
            self.started = Instant::now();
            self.pending = Some(receiver);
        }
    }

    /// Takes an analysis that ends within `patience`.
    fn take(&mut self, patience: Duration) {
        let Some(pending) = &self.pending else { return };
        let result = if patience.is_zero() {
            pending.try_recv()
        } else {
            let waited = pending.recv_timeout(patience);
            waited.map_err(|_| TryRecvError::Empty)
        };
        match result {
            Ok(latest) => {
                self.latest = latest;
                self.count += 1;
            }
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {}
        }
        self.next = Instant::now() + self.started.elapsed() * PAUSE;
        self.pending = None;
    }
}
