//! Delivers to a server from a thread of its own, so that a server that is slow or away never holds
//! up a run.
//!
//! What is to be delivered passes through the [`spool`]. How far the server has everything is kept
//! in `trackers/mlflow.json`; a later run is told the journal from the start and goes on behind
//! that. A call whose answer was lost is made again: a run is looked for by its tag before it is
//! made, and the same metric twice is one.

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

/// How long the end of a run waits for the server to take anything: less than the recorder's
/// patience.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long a call that is under way may take to end before its thread is left behind.
const FAREWELL: Duration = Duration::from_secs(1);

/// How far a server has a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivered {
    /// Its address, without user and password.
    pub(super) server: String,
    /// The experiment.
    pub(super) experiment: String,
    /// Which study.
    pub(super) study: String,
    /// The last entry that it has all of.
    pub(super) seq: Option<u64>,
}

impl Delivered {
    /// Reads how far this very study is there.
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

    /// Keeps it, as a whole.
    pub(super) fn save(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("json.part");
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::rename(part, file)
    }
}

/// A study on its way to a server.
pub(super) struct Delivery {
    address: Address,
    study: PathBuf,
    experiment: Option<String>,
    patience: Duration,
    line: Option<Line>,
}

/// What leads to the thread.
struct Line {
    writer: Writer,
    spool: PathBuf,
    news: Arc<News>,
    bell: Sender<()>,
    courier: JoinHandle<()>,
    known: Option<u64>,
    written: u64,
}

impl Delivery {
    /// Names the server; `study` is the study's folder. Nothing is called before the study begins.
    pub(super) fn new(address: Address, study: PathBuf, experiment: Option<String>) -> Self {
        Self {
            address,
            study,
            experiment,
            patience: PATIENCE,
            line: None,
        }
    }

    /// Waits that long at the end instead.
    #[cfg(test)]
    pub(super) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Hands over what an entry means.
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
            let line = self.open(uid, study);
            self.line = Some(line.map_err(failed(&self.study.join("trackers")))?);
        }
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

    /// Returns whether the server had that entry before this run.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.known >= Some(seq))
    }

    fn open(&self, uid: &str, study: &str) -> io::Result<Line> {
        let home = self.study.join("trackers");
        fs::create_dir_all(&home)?;
        let spool = home.join("mlflow.spool");
        let (writer, reader) = spool::open(&spool)?;
        let file = home.join("mlflow.json");
        let experiment = self.experiment.as_deref().unwrap_or(study);
        let delivered = Delivered::of(&file, &self.address.base, experiment, uid);
        let known = delivered.seq;
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

    /// Lets the thread see everything.
    ///
    /// # Errors
    /// If the server will not have it.
    pub(super) fn flush(&mut self) -> Result<(), TrackerError> {
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        line.writer.flush().map_err(failed(&line.spool))?;
        let _ = line.bell.try_send(());
        line.verdict(false)
    }

    /// Waits for the server to take something, and returns whether it did and is to get more.
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
            if line.news.made.load(Relaxed) != made {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Says how it went.
    ///
    /// # Errors
    /// If the server has not got everything.
    pub(super) fn close(&mut self) -> Result<(), TrackerError> {
        self.flush()?;
        self.line.as_ref().map_or(Ok(()), |line| line.verdict(true))
    }
}

impl Line {
    fn arrived(&self) -> bool {
        self.news.done.load(Relaxed) >= self.written
    }

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
    /// Ends the thread before anyone else can deliver the same study: a call that it still made
    /// would make a run twice.
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.news.stop.store(true, Relaxed);
            line.news.hurry.store(true, Relaxed);
            let (_, began) = (line.bell.try_send(()), Instant::now());
            while !line.courier.is_finished() && began.elapsed() < FAREWELL {
                thread::sleep(Duration::from_millis(1));
            }
            let _ = fs::remove_dir_all(&line.spool);
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> TrackerError {
    move |source| TrackerError::Write {
        path: path.display().to_string(),
        source,
    }
}
