//! An output file of a trial that grows while the trial runs. It consists of a body, derived from
//! the journal, and a tail with data that is known only at the end of an attempt.
//!
//! An attempt that resumes from a checkpoint removes the tail and appends to the body. An attempt
//! that starts anew replaces the whole file. The content therefore depends on the entries and on
//! the trial's folder alone, not on the times at which the tracker was synced.

use super::TrackerError;
use super::home::failed;
use super::retry::with_backoff;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Buffered bytes from which on the file is written.
const FULL: usize = 1 << 16;

/// A file with its write buffer. The file is open only while bytes are written.
#[derive(Debug)]
pub(super) struct TrialFile {
    path: PathBuf,
    buffer: Vec<u8>,
    /// The file offset of the first buffered byte.
    offset: u64,
    /// The length of the body in bytes, once a tail has begun.
    body: Option<u64>,
}

impl TrialFile {
    /// Returns an empty file to be written at `path`. The disk is not touched before the first
    /// bytes are written.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            buffer: Vec::new(),
            offset: 0,
            body: None,
        }
    }

    /// Appends to the file. `write` receives the buffer and the file offset of its first byte.
    ///
    /// # Errors
    /// Returns an error if the buffer is full and cannot be written.
    pub(super) fn add(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(), TrackerError> {
        write(&mut self.buffer, self.offset);
        if self.buffer.len() < FULL {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Marks the end of the body: all bytes appended from now on belong to the tail.
    pub(super) fn begin_tail(&mut self) {
        self.body
            .get_or_insert(self.offset + self.buffer.len() as u64);
    }

    /// Removes the tail, so that the body can grow.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(super) fn drop_tail(&mut self) -> Result<(), TrackerError> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        self.flush()?;
        // The bytes of the tail stay on disk until the next `flush`, which cuts off all
        // that follows the bytes it writes.
        self.offset = body;
        Ok(())
    }

    /// Replaces the body by `change(body)`. The tail follows the new body unchanged.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or written.
    pub(super) fn rewrite_body(
        &mut self,
        change: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), TrackerError> {
        self.flush()?;
        let written = match fs::read(&self.path) {
            // Nothing has been written yet, so there is nothing to change.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            written => written.map_err(failed(&self.path))?,
        };
        // Bytes beyond `offset` are remains of an earlier run or of a dropped tail.
        let end = usize::try_from(self.offset)
            .unwrap_or(usize::MAX)
            .min(written.len());
        let body = self
            .body
            .and_then(|body| usize::try_from(body).ok())
            .unwrap_or(end)
            .min(end);
        self.buffer = change(&written[..body]);
        self.body = self.body.map(|_| self.buffer.len() as u64);
        self.buffer.extend_from_slice(&written[body..end]);
        self.offset = 0;
        self.flush()
    }

    /// Writes the buffer, and truncates the file behind it, which removes the output of an earlier
    /// run or attempt.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), TrackerError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.buffer.len() as u64;
        with_backoff(|| {
            write_end(&self.path, &self.buffer, self.offset).map_err(failed(&self.path))
        })?;
        self.offset = end;
        self.buffer.clear();
        Ok(())
    }

    /// Releases the unused memory of the buffer. For a file that is unlikely to grow soon.
    pub(super) fn release_memory(&mut self) {
        self.buffer.shrink_to_fit();
    }
}

/// Writes the last bytes of a file, which begin at `offset`, and truncates the file behind them.
fn write_end(path: &Path, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    let file = open(path)?;
    file.write_all_at(bytes, offset)?;
    file.set_len(offset + bytes.len() as u64)
}

/// Opens a file for writing. Creates its folder only if the file cannot be opened without, which
/// saves a system call in the usual case.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    match (options.open(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            options.open(path)
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
