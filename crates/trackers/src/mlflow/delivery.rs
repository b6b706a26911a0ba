//! Delivers operations to a server from a separate thread, so that a slow or unavailable server
//! never delays a run.
//!
//! Operations pass through the [`spool`]. The last entry that the server has completely is saved in
//! `trackers/mlflow.json`; a later run reads the journal from the start and delivers the entries
//! after that one. A call whose reply was lost is repeated: a run is searched by its tag before it
//! is created, and MLflow treats two equal metric points as one.

use super::courier::{Courier, News};
use super::rest::{Address, Server};
use super::runs::{Change, Op, PARENT};
use super::spool::{self, Writer};
use crate::tracker::TrackerError;
use crate::tracker::room::when_there_is_room;
use crossbeam_channel::{Sender, bounded};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time without progress after which the end of a run stops waiting for the server. Shorter than
/// the recorder's patience.
const PATIENCE: Duration = Duration::from_secs(8);

/// Time that a call in progress may take to return before its thread is abandoned.
const FAREWELL: Duration = Duration::from_secs(1);

/// The delivery state of a study on one server, saved as `trackers/mlflow.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivered {
    /// The server's address, without user and password.
    pub(super) server: String,
    /// The name of the experiment.
    pub(super) experiment: String,
    /// The unique id of the study, see [`uid`](super::runs::uid).
    pub(super) study: String,
    /// The last entry that the server has completely, `None` if it has none.
    pub(super) seq: Option<u64>,
}

impl Delivered {
    /// Reads the state from `file`. Starts anew if the file is missing or is about another server,
    /// experiment or study.
    fn of(file: &Path, server: &str, experiment: &str, study: &str) -> Self {
        let kept = fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let new = Self {
            server: server.into(),
            experiment: experiment.into(),
            study: study.into(),
            seq: None,
        };
        kept.filter(|kept| {
            *kept
                == Self {
                    seq: kept.seq,
                    ..new.clone()
                }
        })
        .unwrap_or(new)
    }

    /// Writes the state to `file` atomically.
    pub(super) fn save(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("json.part");
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::rename(part, file)
    }
}

/// The delivery of one study to a server.
pub(super) struct Delivery {
    /// The server to deliver to.
    address: Address,
    /// The study folder.
    study: PathBuf,
    /// The name of the experiment; the study's name if absent.
    experiment: Option<String>,
    /// Time without progress after which the end of a run stops waiting.
    patience: Duration,
    /// The connection to the delivery thread, once the study is open.
    line: Option<Line>,
}

/// The connection to the delivery thread.
struct Line {
    /// The writing end of the spool.
    writer: Writer,
    /// The folder of the spool.
    spool: PathBuf,
    /// The state shared with the thread.
    news: Arc<News>,
    /// Wakes the thread.
    bell: Sender<()>,
    /// The delivery thread.
    courier: JoinHandle<()>,
    /// The last entry that earlier runs have delivered.
    known: Option<u64>,
    /// Number of operations spooled in this run.
    written: u64,
}

impl Delivery {
    /// Returns a delivery to the server at `address`; `study` is the study folder. No call is made
    /// before the study opens.
    pub(super) fn new(address: Address, study: PathBuf, experiment: Option<String>) -> Self {
        Self {
            address,
            study,
            experiment,
            patience: PATIENCE,
            line: None,
        }
    }

    /// Replaces the time to wait for the server at the end of a run.
    #[cfg(test)]
    pub(super) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Spools the operations of the entry `seq`.
    pub(super) fn take(
        &mut self,
        uid: &str,
        study: &str,
        seq: u64,
        ops: Vec<Op>,
    ) -> Result<(), TrackerError> {
        if let Some(Op {
            run: PARENT,
            change: Change::Create { .. },
        }) = ops.first()
        {
            // The operation that creates the study's run comes first; only with it are the names
            // known under which to deliver.
            let line = self.open(uid, study);
            self.line = Some(line.map_err(failed(&self.study.join("trackers")))?);
        }
        // Operations of this entry were delivered by an earlier run.
        if self.has(seq) || ops.is_empty() {
            return Ok(());
        }
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        line.written += ops.len() as u64;
        line.writer.append(seq, ops).map_err(failed(&line.spool))?;
        if !line.writer.is_due() {
            return Ok(());
        }
        when_there_is_room(|| line.writer.flush().map_err(failed(&line.spool)))
    }

    /// Returns whether the server already had the entry `seq` before this run.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.known >= Some(seq))
    }

    /// Creates the spool, reads the delivery state and starts the delivery thread.
    fn open(&self, uid: &str, study: &str) -> io::Result<Line> {
        let home = self.study.join("trackers");
        fs::create_dir_all(&home)?;
        let spool = home.join("mlflow.spool");
        let (writer, reader) = spool::open(&spool)?;
        let file = home.join("mlflow.json");
        let experiment = self.experiment.as_deref().unwrap_or(study);
        let delivered = Delivered::of(&file, &self.address.base, experiment, uid);
        let known = delivered.seq;
        // A capacity of one is enough: a pending message already wakes the thread.
        let (bell, heard) = bounded(1);
        let news = Arc::new(News::default());
        let server = Server::new(self.address.clone());
        let courier = Courier::new(
            server,
            reader,
            delivered,
            file,
            self.study.clone(),
            Arc::clone(&news),
            heard,
        );
        let courier = thread::Builder::new()
            .name("mlflow".to_owned())
            .spawn(move || courier.run())?;
        Ok(Line {
            writer,
            spool,
            news,
            bell,
            courier,
            known,
            written: 0,
        })
    }

    /// Writes the spool, so that the delivery thread sees all operations, and wakes that thread.
    ///
    /// # Errors
    /// Returns an error if the spool cannot be written or delivery has failed for good.
    pub(super) fn flush(&mut self) -> Result<(), TrackerError> {
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        line.writer.flush().map_err(failed(&line.spool))?;
        let _ = line.bell.try_send(());
        line.verdict(false)
    }

    /// Waits for the next call that gets a reply. Returns `true` if there was one and more remains
    /// to be delivered.
    pub(super) fn linger(&mut self) -> bool {
        if self.flush().is_err() {
            return false;
        }
        let Some(line) = &mut self.line else {
            return false;
        };
        line.news.hurry.store(true, Relaxed);
        let _ = line.bell.try_send(());
        let (began, made) = (Instant::now(), line.news.made.load(Relaxed));
        while !line.arrived() && line.news.fatal().is_none() && began.elapsed() < self.patience {
            // One call is enough progress: the recorder calls again, and its own time limit starts
            // anew.
            if line.news.made.load(Relaxed) != made {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Flushes the spool and reports the outcome of the delivery.
    ///
    /// # Errors
    /// Returns an error if operations are undelivered or were refused.
    pub(super) fn close(&mut self) -> Result<(), TrackerError> {
        self.flush()?;
        self.line.as_ref().map_or(Ok(()), |line| line.verdict(true))
    }
}

impl Line {
    /// Returns whether all spooled operations were accepted or refused.
    fn arrived(&self) -> bool {
        self.news.done.load(Relaxed) >= self.written
    }

    /// Returns an error if delivery has failed for good, or, once `closed`, if operations are
    /// undelivered or were refused.
    fn verdict(&self, closed: bool) -> Result<(), TrackerError> {
        let later = "the journal has it all, and the next run or export of the study delivers it";
        if let Some(why) = self.news.fatal() {
            return Err(TrackerError::Other(format!("{why}; {later}")));
        }
        if !closed {
            return Ok(());
        }
        if !self.arrived() {
            let left = self.written.saturating_sub(self.news.done.load(Relaxed));
            let why = self
                .news
                .trouble()
                .unwrap_or_else(|| "the server is slow".to_owned());
            return Err(TrackerError::Other(format!(
                "{left} records were not delivered yet: {why}; {later}"
            )));
        }
        match self.news.refused() {
            (0, _) => Ok(()),
            (count, why) => Err(TrackerError::Other(format!(
                "the server did not take {count} records: {why}"
            ))),
        }
    }
}

impl Drop for Delivery {
    /// Stops the delivery thread before another one can deliver the same study: a call still in
    /// progress could create a run twice.
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.news.stop.store(true, Relaxed);
            line.news.hurry.store(true, Relaxed);
            let (_, began) = (line.bell.try_send(()), Instant::now());
            while !line.courier.is_finished() && began.elapsed() < FAREWELL {
                thread::sleep(Duration::from_millis(1));
            }
            // Undelivered operations are derived from the journal again by the next run.
            let _ = fs::remove_dir_all(&line.spool);
        }
    }
}

/// Returns a function that turns an I/O error into a [`TrackerError::Write`] about `path`.
fn failed(path: &Path) -> impl Fn(io::Error) -> TrackerError {
    move |source| TrackerError::Write {
        path: path.display().to_string(),
        source,
    }
}
