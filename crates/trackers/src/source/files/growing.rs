//! Reads a file as it grows, and notices when it was cut, replaced or written anew.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use swath_log::regular;

/// Bytes that are read at a time, and at most in one call.
const PIECE: usize = 1 << 16;
const PER_CALL: u64 = 1 << 24;

/// Length of the samples by which a file that was written anew is recognised.
const SAMPLE: usize = 4096;

/// The result of reading a file.
pub(super) enum Piece<'a> {
    /// Further bytes.
    Bytes(&'a [u8]),
    /// The file begins anew: what follows is read from its beginning.
    Restart,
}

/// The state of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    id: (u64, u64),
    length: u64,
    modified: (i64, i64),
    samples: Samples,
}

/// Samples of a file up to some length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Samples {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Samples {
    /// Reads the samples of the first `length` bytes of a file.
    fn of(file: &File, length: u64) -> io::Result<Self> {
        let size = usize::try_from(length).unwrap_or(SAMPLE).min(SAMPLE);
        let mut samples = Self {
            head: vec![0; size],
            tail: vec![0; size],
        };
        file.read_exact_at(&mut samples.head, 0)?;
        file.read_exact_at(&mut samples.tail, length - size as u64)?;
        Ok(samples)
    }
}

/// A file that a program writes.
#[derive(Debug)]
pub(super) struct GrowingFile {
    path: PathBuf,
    open: Option<Open>,
    piece: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: (u64, u64),
    offset: u64,
    /// Samples of the bytes that were read, and the state of the file at that moment.
    samples: Samples,
    seen: Option<(u64, (i64, i64))>,
}

impl GrowingFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: None,
            piece: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns device and inode of the file that is read; `None` before it was opened.
    pub(super) fn id(&self) -> Option<(u64, u64)> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Follows the file under another name.
    pub(super) fn rename(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Passes what was written since the last call to `each`. Returns whether there is more.
    ///
    /// # Errors
    /// If the file cannot be read. A file that does not exist is no error.
    pub(super) fn poll(&mut self, each: &mut dyn FnMut(Piece<'_>)) -> io::Result<bool> {
        self.piece.resize(PIECE, 0);
        if let Some(open) = &mut self.open {
            if open.read_on(&mut self.piece, each)? {
                return Ok(true);
            }
            match fs::metadata(&self.path) {
                Ok(about) if (about.dev(), about.ino()) != open.id => each(Piece::Restart),
                // The name may be gone while the program still writes.
                _ => return Ok(false),
            }
        }
        let file = match regular::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        let open = self.open.insert(Open {
            file,
            id: (about.dev(), about.ino()),
            offset: 0,
            samples: Samples::default(),
            seen: None,
        });
        open.read_on(&mut self.piece, each)
    }
}

impl Open {
    fn read_on(&mut self, piece: &mut [u8], each: &mut dyn FnMut(Piece<'_>)) -> io::Result<bool> {
        let about = self.file.metadata()?;
        let state = (about.len(), (about.mtime(), about.mtime_nsec()));
        if self.seen == Some(state) {
            return Ok(false);
        }
        let is_anew = about.len() < self.offset
            || Samples::of(&self.file, self.offset).is_ok_and(|samples| samples != self.samples);
        if is_anew {
            self.offset = 0;
            each(Piece::Restart);
        }
        let begin = self.offset;
        let mut is_behind = false;
        loop {
            let count = self.file.read_at(piece, self.offset)?;
            if count == 0 {
                break;
            }
            self.offset += count as u64;
            each(Piece::Bytes(&piece[..count]));
            if self.offset - begin >= PER_CALL {
                is_behind = true;
                break;
            }
        }
        // The program may have cut the file meanwhile, which the next call notices.
        self.samples = Samples::of(&self.file, self.offset).unwrap_or_default();
        self.seen = (!is_behind).then_some(state);
        Ok(is_behind)
    }
}

impl State {
    /// Returns device and inode of the file.
    pub(super) fn id(&self) -> (u64, u64) {
        self.id
    }

    /// Returns the state of a file; `None` if it cannot be read.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = regular::open(path).ok()?;
        let about = file.metadata().ok()?;
        Some(Self {
            id: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            samples: Samples::of(&file, about.len()).ok()?,
        })
    }

    /// Returns the number of bytes at the beginning of the file that were there in this state: 0 if
    /// it was written anew since, `None` if it did not change.
    pub(super) fn old_part(&self, path: &Path) -> Option<u64> {
        let now = Self::of(path)?;
        if now == *self {
            return None;
        }
        let file = regular::open(path).ok()?;
        let has_grown = now.id == self.id
            && now.length > self.length
            && Samples::of(&file, self.length).is_ok_and(|samples| samples == self.samples);
        Some(if has_grown { self.length } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(file: &mut GrowingFile) -> String {
        let mut text = String::new();
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
            Piece::Restart => text.push('|'),
        };
        while file.poll(&mut each).unwrap() {}
        text
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_is_read_once_and_anew_when_it_was_cut_replaced_or_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        let mut file = GrowingFile::new(path.clone());
        assert_eq!(read(&mut file), "");
        fs::write(&path, "a\n1\n").unwrap();
        assert_eq!(read(&mut file), "a\n1\n");
        assert_eq!(read(&mut file), "");
        append(&path, "2\n");
        assert_eq!(read(&mut file), "2\n");
        // Written anew, and longer: only the beginning tells.
        fs::write(&path, "a,b\n1,\n2,\n3,4\n").unwrap();
        assert_eq!(read(&mut file), "|a,b\n1,\n2,\n3,4\n");
        fs::write(&path, "a,b\n").unwrap();
        assert_eq!(read(&mut file), "|a,b\n");
        // Rotated: what was written before the rename is read first.
        append(&path, "5,6\n");
        fs::rename(&path, dir.path().join("m.csv.1")).unwrap();
        fs::write(&path, "c\n7\n").unwrap();
        assert_eq!(read(&mut file), "5,6\n|c\n7\n");
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&mut file), "");
    }

    #[test]
    fn the_old_part_of_a_file_is_known_by_its_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        fs::write(&path, "a\n1\n").unwrap();
        let state = State::of(&path).unwrap();
        assert_eq!(state.old_part(&path), None);
        append(&path, "2\n");
        assert_eq!(state.old_part(&path), Some(4));
        fs::write(&path, "b\n1\n2\n3\n").unwrap();
        assert_eq!(state.old_part(&path), Some(0));
    }
}
