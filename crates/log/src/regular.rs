//! Opening files that a trial can reach.
//!
//! A trial may put a named pipe, a device or a folder where swath expects a file. Opening a pipe
//! waits for its other end, which may never come. Every path that a trial can touch is therefore
//! opened here: without waiting, and only if it is a regular file. A test of the architecture
//! enforces this.

use super::digest::special_type;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file with `options`, whose flags are replaced. Fails at once if the path is a
/// named pipe, a socket, a device or a folder.
///
/// # Errors
/// If the file cannot be opened, or is no regular file.
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = options.custom_flags(nonblocking).open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match special_type(about.file_type()) {
        Some(kind) => Err(io::Error::other(format!("it is {kind}"))),
        None => Ok(file),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// As [`open_with`].
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a folder, whose entries can then be synced.
///
/// # Errors
/// If it cannot be opened, or is no folder.
pub fn open_folder(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Opens a regular file for appending, and creates it if it is missing.
///
/// # Errors
/// As [`open_with`].
pub fn append(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().create(true).append(true), path)
}

/// Returns the content of a regular file.
///
/// # Errors
/// As [`open_with`], or if the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the content of a regular file as text.
///
/// # Errors
/// As [`read`], or if the content is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    String::from_utf8(read(path)?).map_err(invalid)
}

/// Writes a regular file anew. Something else in its place that is no folder, such as a named pipe,
/// is removed first.
///
/// # Errors
/// As [`open_with`], or if the file cannot be written.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    create(path)?.write_all(content)
}

/// Opens a regular file for writing and empties it, or creates it. Something else in its place that
/// is no folder, such as a named pipe, is removed first.
///
/// # Errors
/// As [`open_with`].
pub fn create(path: &Path) -> io::Result<File> {
    if let Some(file) = create_new(OpenOptions::new().write(true), path)? {
        return Ok(file);
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    match open_with(&mut options, path) {
        Err(error) if is_special(path) => {
            fs::remove_file(path).map_err(|_| error)?;
            open_with(&mut options, path)
        }
        opened => opened,
    }
}

/// Creates a file and opens it with `options`; `None` if something is at the path. A file that is
/// new needs no further look: it is a regular one.
///
/// # Errors
/// If the file cannot be created.
pub fn create_new(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match options.create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        opened => opened.map(Some),
    }
}

/// Copies a regular file with its permissions, and replaces an existing one.
///
/// # Errors
/// If the file cannot be read, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut original = open(from)?;
    let mut copy = create(to)?;
    io::copy(&mut original, &mut copy)?;
    copy.set_permissions(original.metadata()?.permissions())
}

/// Returns whether a path is a named pipe, a socket or a device, and no link.
#[must_use]
pub fn is_special(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| {
        let kind = about.file_type();
        !kind.is_dir() && !kind.is_symlink() && special_type(kind).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe_at(path: &Path) {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
    }

    #[test]
    fn a_named_pipe_is_refused_at_once_for_reading_and_appending() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        pipe_at(&pipe);
        assert!(open(&pipe).is_err());
        assert!(append(&pipe).is_err());
        assert!(read(&pipe).is_err());
        // With a reader at the other end, the pipe itself could be opened for writing.
        let options = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let _reader = rustix::fs::open(&pipe, options, 0o600.into()).unwrap();
        let refused = append(&pipe).unwrap_err();
        assert_eq!(refused.to_string(), "it is a named pipe");
    }

    #[test]
    fn a_new_file_is_created_only_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        pipe_at(&pipe);
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [dir.path(), &pipe, &link] {
            let created = create_new(OpenOptions::new().write(true), path).unwrap();
            assert!(created.is_none(), "{}", path.display());
        }
        let file = dir.path().join("file");
        for is_new in [true, false] {
            let created = create_new(OpenOptions::new().append(true), &file).unwrap();
            assert_eq!(created.is_some(), is_new);
        }
        // Otherwise a link is followed, as it always was.
        write(&link, b"text").unwrap();
        assert_eq!(read(&dir.path().join("nowhere")).unwrap(), b"text");
    }

    #[test]
    fn a_file_that_is_written_anew_replaces_a_named_pipe_and_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        pipe_at(&pipe);
        write(&pipe, b"text").unwrap();
        assert_eq!(read_to_string(&pipe).unwrap(), "text");
        assert!(write(dir.path(), b"text").is_err());
        assert!(open(dir.path()).is_err());
    }
}
