//! A trial's file that grows while the trial runs: a body of what the journal says, and a tail of
//! what is known at the end of an attempt.
//!
//! An attempt that goes on from a checkpoint takes the tail away and adds to the body, one that
//! starts anew takes away everything. What stands in the file therefore depends on the entries and
//! on the trial's folder, not on when they were looked at.

use super::TrackerError;
use super::home::failed;
use super::room::when_there_is_room;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that wait at most.
const FULL: usize = 1 << 16;

/// A file and what waits to be written to it. It is open only while bytes are written.
#[derive(Debug)]
pub(super) struct TrialFile {
    path: PathBuf,
    waiting: Vec<u8>,
    /// Where the waiting bytes begin.
    offset: u64,
    /// Where the body ends, once a tail has begun.
    body: Option<u64>,
}

impl TrialFile {
    /// Begins the file at `path` anew. Nothing happens on disk before the first bytes are written.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            waiting: Vec::new(),
            offset: 0,
            body: None,
        }
    }

    /// Adds what `write` appends to the waiting bytes; it is told how many bytes stand before them.
    ///
    /// # Errors
    /// If bytes have to be written and cannot be.
    pub(super) fn add(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(), TrackerError> {
        write(&mut self.waiting, self.offset);
        if self.waiting.len() < FULL {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Everything added from now on is the tail.
    pub(super) fn begin_tail(&mut self) {
        self.body
            .get_or_insert(self.offset + self.waiting.len() as u64);
    }

    /// Takes the tail away, so that the body can grow.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn drop_tail(&mut self) -> Result<(), TrackerError> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        self.flush()?;
        self.offset = body;
        Ok(())
    }

    /// Puts what `change` makes of the body in its place; the tail stays behind it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(super) fn rewrite_body(
        &mut self,
        change: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), TrackerError> {
        self.flush()?;
        let written = match fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            written => written.map_err(failed(&self.path))?,
        };
        let end = usize::try_from(self.offset)
            .unwrap_or(usize::MAX)
            .min(written.len());
        let body = self
            .body
            .and_then(|body| usize::try_from(body).ok())
            .unwrap_or(end)
            .min(end);
        self.waiting = change(&written[..body]);
        self.body = self.body.map(|_| self.waiting.len() as u64);
        self.waiting.extend_from_slice(&written[body..end]);
        self.offset = 0;
        self.flush()
    }

    /// Writes what waits, and cuts off what an earlier writer left behind it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), TrackerError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.waiting.len() as u64;
        when_there_is_room(|| {
            let write = || {
                let file = open(&self.path)?;
                file.write_all_at(&self.waiting, self.offset)?;
                file.set_len(end)
            };
            write().map_err(failed(&self.path))
        })?;
        self.offset = end;
        self.waiting.clear();
        Ok(())
    }

    /// Frees the memory of a file that is not likely to grow.
    pub(super) fn rest(&mut self) {
        self.waiting.shrink_to_fit();
    }
}

/// Opens a file to write into, making its folder only if it is found to be missing.
fn open(path: &Path) -> std::io::Result<File> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            open()
        }
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::TrialFile;

    #[test]
    fn the_body_grows_where_the_tail_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let mut file = TrialFile::new(path.clone());
        let add = |file: &mut TrialFile, text: &str| {
            file.add(|out, _| out.extend_from_slice(text.as_bytes()))
                .unwrap();
        };
        add(&mut file, "body ");
        file.begin_tail();
        add(&mut file, "and its long tail");
        file.flush().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "body and its long tail"
        );
        file.drop_tail().unwrap();
        add(&mut file, "grows");
        file.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "body grows");
        file.begin_tail();
        add(&mut file, " tail");
        file.rewrite_body(|body| [body, b" on"].concat()).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "body grows on tail"
        );
        file.drop_tail().unwrap();
        add(&mut file, "ward");
        file.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "body grows onward");
        let mut again = TrialFile::new(path.clone());
        add(&mut again, "new");
        again.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }
}
