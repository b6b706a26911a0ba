//! DVC digests: for a file its md5; for a folder the md5 of the sorted JSON list of its files,
//! followed by `.dir`.
//!
//! The result equals the text that DVC 3 records for the same data (`X.dvc`, CMF). As in DVC, a
//! folder's digest follows links to files and leaves out links to folders. Links to nothing, named
//! pipes and unreadable files are left out too, where DVC fails. The digest names all entries that
//! it leaves out.

use super::{DigestCache, regular};
use md5::{Digest as _, Md5};
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of bytes that are read from a file at a time.
const CHUNK: usize = 1 << 17;
/// Number of bytes that justify another thread.
const PER_THREAD: u64 = 1 << 21;
/// Number of bytes that take as long to hash as a file takes to open, to check and to close.
const COST_OF_FILE: u64 = 1 << 13;

/// The digest of a file's or folder's content, as DVC 3 computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// 32 hexadecimal digits, followed by `.dir` for a folder.
    pub md5: String,
    /// Total size in bytes.
    pub size: u64,
    /// Total number of files: 1 for a file.
    pub files: u64,
    /// Entries of the folder that the digest leaves out, sorted by path.
    pub left_out: Vec<LeftOut>,
}

/// An entry of a folder that its digest or copy leaves out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The path relative to the folder.
    pub path: String,
    /// The reason why it is left out.
    pub why: String,
}

impl LeftOut {
    pub(super) fn new(relative: &[u8], why: impl Into<String>) -> Self {
        let path = String::from_utf8_lossy(relative)
            .trim_end_matches('/')
            .to_owned();
        Self {
            path,
            why: why.into(),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// The reason why a path has no digest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The path does not exist.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// The path is a symbolic link to nothing.
    #[error("`{}` is a symbolic link to nothing", .0.display())]
    Dangling(PathBuf),
    /// The path leads through a loop of symbolic links.
    #[error("`{}` is a symbolic link that leads back to itself", .0.display())]
    Loop(PathBuf),
    /// The path is neither file nor folder.
    #[error("`{}` is {kind}, neither a file nor a folder", .path.display())]
    Special {
        /// The path.
        path: PathBuf,
        /// The type in words: `a named pipe`.
        kind: &'static str,
    },
    /// The file was written to while it was read.
    #[error("`{}` changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The file or folder could not be read.
    #[error("could not read `{}`", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
}

impl DigestError {
    /// Returns the reason without the path.
    fn reason(&self) -> String {
        match self {
            Self::Missing(_) => "it does not exist".to_owned(),
            Self::Dangling(_) => "a symbolic link to nothing".to_owned(),
            Self::Loop(_) => "a symbolic link that leads back to itself".to_owned(),
            Self::Special { kind, .. } => (*kind).to_owned(),
            Self::Changed(_) => "it changed while it was read".to_owned(),
            Self::Read { source, .. } => source.to_string(),
        }
    }
}

impl From<DigestError> for io::Error {
    fn from(error: DigestError) -> Self {
        let kind = match &error {
            DigestError::Missing(_) | DigestError::Dangling(_) => io::ErrorKind::NotFound,
            DigestError::Read { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Returns the DVC digest of a file or folder, reading its files in parallel. A symbolic link
/// stands for its target.
///
/// # Errors
/// [`DigestError`] names the file that could not be read.
pub fn digest(path: &Path, cache: Option<&DigestCache>) -> Result<Digest, DigestError> {
    let about = fs::metadata(path).map_err(|error| read_error(path, error))?;
    if about.is_dir() {
        return folder_digest(path, cache);
    }
    let file = ListedFile {
        path: path.to_path_buf(),
        relative: Vec::new(),
        state: regular_state(path, &about)?,
    };
    let md5 = hash_files(std::slice::from_ref(&file), cache).remove(0)?;
    Ok(Digest {
        md5: hex(&md5),
        size: file.state.size,
        files: 1,
        left_out: Vec::new(),
    })
}

/// Returns the digest of a folder: of the list of its files, sorted by the code points of their
/// paths.
fn folder_digest(root: &Path, cache: Option<&DigestCache>) -> Result<Digest, DigestError> {
    let (mut files, mut left_out) = list_files(root)?;
    files.sort_unstable_by(|a, b| code_points(&a.relative).cmp(code_points(&b.relative)));
    let mut hashed = Vec::with_capacity(files.len());
    for (file, md5) in files.iter().zip(hash_files(&files, cache)) {
        match md5 {
            Ok(md5) => hashed.push((file, md5)),
            Err(error) => left_out.push(LeftOut::new(&file.relative, error.reason())),
        }
    }
    left_out.sort_unstable();
    // The list is hashed piece by piece, since a folder may have millions of files.
    let mut list = Md5::new();
    let mut text = b"[".to_vec();
    for (index, (file, md5)) in hashed.iter().enumerate() {
        text.extend_from_slice(if index == 0 {
            b"{\"md5\": \""
        } else {
            b", {\"md5\": \""
        });
        text.extend_from_slice(hex(md5).as_bytes());
        text.extend_from_slice(b"\", \"relpath\": ");
        push_python_text(&mut text, &file.relative);
        text.push(b'}');
        list.update(&text);
        text.clear();
    }
    text.push(b']');
    list.update(&text);
    let size = hashed.iter().map(|(file, _)| file.state.size).sum();
    let md5 = hex(&list.finalize().into()) + ".dir";
    Ok(Digest {
        md5,
        size,
        files: hashed.len() as u64,
        left_out,
    })
}

/// A file to hash.
pub(super) struct ListedFile {
    path: PathBuf,
    /// The path relative to the folder, with slashes.
    relative: Vec<u8>,
    pub(super) state: FileState,
}

/// The metadata that change when a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) dev: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Nanoseconds since 1970. `modified` is the time of the content; `changed` is the time of the
    /// inode, which no program can set back.
    pub(super) modified: i128,
    pub(super) changed: i128,
}

impl FileState {
    pub(super) fn of(about: &Metadata) -> Self {
        Self {
            dev: about.dev(),
            inode: about.ino(),
            size: about.len(),
            modified: i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()),
            changed: i128::from(about.ctime()) * 1_000_000_000 + i128::from(about.ctime_nsec()),
        }
    }
}

fn regular_state(path: &Path, about: &Metadata) -> Result<FileState, DigestError> {
    match special_type(about.file_type()) {
        Some(kind) => Err(DigestError::Special {
            path: path.to_path_buf(),
            kind,
        }),
        None => Ok(FileState::of(about)),
    }
}

/// Returns the type, in words, of an entry that has no content to hash; `None` for a regular file.
pub(super) fn special_type(kind: fs::FileType) -> Option<&'static str> {
    match () {
        () if kind.is_file() => None,
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        () => Some("of an unknown type"),
    }
}

/// Returns the reason why an entry of a folder is left out; `None` for a file and for a link to a
/// file.
///
/// `about` describes the entry itself, which is not a folder.
pub(super) fn reason_to_leave_out(path: &Path, about: &Metadata) -> Option<String> {
    if !about.is_symlink() {
        return special_type(about.file_type()).map(str::to_owned);
    }
    match fs::metadata(path) {
        Ok(target) if target.is_dir() => Some("a symbolic link to a folder".to_owned()),
        Ok(target) => {
            special_type(target.file_type()).map(|kind| format!("a symbolic link to {kind}"))
        }
        Err(error) => Some(read_error(path, error).reason()),
    }
}

/// Lists all files below `root`, and the entries that are neither file nor folder. Links to folders
/// are not followed.
fn list_files(root: &Path) -> Result<(Vec<ListedFile>, Vec<LeftOut>), DigestError> {
    let mut files = Vec::new();
    let mut left_out = Vec::new();
    let mut folders = vec![(root.to_path_buf(), Vec::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => return Err(read_error(&folder, error)),
            Err(error) => {
                left_out.push(LeftOut::new(&prefix, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    // After an error of the directory stream the rest of the folder cannot be read.
                    left_out.push(LeftOut::new(&prefix, error.to_string()));
                    break;
                }
            };
            let path = folder.join(entry.file_name());
            let relative = [&prefix[..], entry.file_name().as_bytes()].concat();
            match classify(&path, &entry) {
                Ok(Entry::Folder) => folders.push((path, [&relative[..], b"/"].concat())),
                Ok(Entry::File(state)) => files.push(ListedFile {
                    path,
                    relative,
                    state,
                }),
                Err(why) => left_out.push(LeftOut::new(&relative, why)),
            }
        }
    }
    Ok((files, left_out))
}

/// The type of a folder's entry for its digest.
enum Entry {
    Folder,
    File(FileState),
}

fn classify(path: &Path, entry: &fs::DirEntry) -> Result<Entry, String> {
    let about = entry.metadata().map_err(|error| error.to_string())?;
    if about.is_dir() {
        return Ok(Entry::Folder);
    }
    if let Some(why) = reason_to_leave_out(path, &about) {
        return Err(why);
    }
    let about = if about.is_symlink() {
        fs::metadata(path)
    } else {
        Ok(about)
    };
    about
        .map(|about| Entry::File(FileState::of(&about)))
        .map_err(|error| error.to_string())
}

fn read_error(path: &Path, source: io::Error) -> DigestError {
    let path = path.to_path_buf();
    let is_loop = source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    match source.kind() {
        _ if is_loop => DigestError::Loop(path),
        io::ErrorKind::NotFound if path.is_symlink() => DigestError::Dangling(path),
        io::ErrorKind::NotFound => DigestError::Missing(path),
        _ => DigestError::Read { path, source },
    }
}

/// Returns the md5 of each file, from the cache or by reading. The number of threads depends on the
/// total size.
fn hash_files(
    files: &[ListedFile],
    cache: Option<&DigestCache>,
) -> Vec<Result<[u8; 16], DigestError>> {
    let cached: Vec<Option<[u8; 16]>> = match cache {
        Some(cache) => cache.look_up(files),
        None => vec![None; files.len()],
    };
    let mut uncached: Vec<usize> = (0..files.len())
        .filter(|index| cached[*index].is_none())
        .collect();
    // The largest file goes first, so that no thread is alone with it at the end.
    uncached.sort_by_key(|index| std::cmp::Reverse(files[*index].state.size));
    let mut computed = hash_uncached(files, &uncached);
    if let Some(cache) = cache {
        let new = computed
            .iter()
            .filter_map(|(index, md5)| Some((files[*index].state, *md5.as_ref().ok()?)));
        cache.remember(new);
    }
    computed.sort_unstable_by_key(|(index, _)| *index);
    let mut computed = computed.into_iter().map(|(_, md5)| md5);
    cached
        .into_iter()
        .filter_map(|md5| md5.map(Ok).or_else(|| computed.next()))
        .collect()
}

/// The index of a file in a list, and its md5.
type Hashed = (usize, Result<[u8; 16], DigestError>);

/// Hashes the files at these indices, with several threads if they are large or many.
fn hash_uncached(files: &[ListedFile], indices: &[usize]) -> Vec<Hashed> {
    let bytes: u64 = indices.iter().map(|index| files[*index].state.size).sum();
    let cost = bytes + COST_OF_FILE * indices.len() as u64;
    let most_threads = usize::try_from(cost / PER_THREAD)
        .unwrap_or(usize::MAX)
        .clamp(1, indices.len().max(1));
    // A small amount of data is not worth the question how many cores there are.
    let threads = if most_threads == 1 {
        1
    } else {
        std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(most_threads)
    };
    let chunk = CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK) + 1);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| hash_next(files, indices, &next, chunk)))
            .collect();
        let mut hashed = hash_next(files, indices, &next, chunk);
        for other in others {
            hashed.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        hashed
    })
}

/// Hashes files until all indices are taken. `next` is shared between the threads and counts
/// the indices that they have taken.
fn hash_next(
    files: &[ListedFile],
    indices: &[usize],
    next: &AtomicUsize,
    chunk: usize,
) -> Vec<Hashed> {
    let mut buffer = vec![0; chunk];
    let mut hashed = Vec::new();
    while let Some(index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
        hashed.push((*index, hash_file(&files[*index], &mut buffer)));
    }
    hashed
}

fn hash_file(listed: &ListedFile, buffer: &mut [u8]) -> Result<[u8; 16], DigestError> {
    let path = &listed.path;
    let mut file = regular::open(path).map_err(|error| read_error(path, error))?;
    let mut md5 = Md5::new();
    let mut size = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                md5.update(&buffer[..read]);
                size += read as u64;
                // A file that grows as fast as it is read would keep the thread here for ever.
                if size > listed.state.size {
                    return Err(DigestError::Changed(path.clone()));
                }
                // A file that has grown since has another size and time below.
                if size == listed.state.size {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(path, error)),
        }
    }
    let about = file.metadata().map_err(|error| read_error(path, error))?;
    let after = regular_state(path, &about)?;
    if after != listed.state || size != after.size {
        return Err(DigestError::Changed(path.clone()));
    }
    Ok(md5.finalize().into())
}

pub(super) fn hex(md5: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*md5))
}

/// Iterates over the code code_points of a file name as Python decodes it: a byte that is not UTF-8
/// becomes a lone surrogate.
fn code_points(name: &[u8]) -> impl Iterator<Item = u32> {
    name.utf8_chunks().flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|byte| 0xdc00 + u32::from(*byte));
        chunk.valid().chars().map(u32::from).chain(invalid)
    })
}

/// Appends a JSON string in the form of Python's `json.dumps`.
fn push_python_text(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'"');
    for point in code_points(name) {
        match point {
            0x22 => out.extend_from_slice(b"\\\""),
            0x5c => out.extend_from_slice(b"\\\\"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x20..=0x7e => out.push(point as u8),
            0..=0xffff => out.extend_from_slice(format!("\\u{point:04x}").as_bytes()),
            _ => {
                let rest = point - 0x1_0000;
                let pair = format!(
                    "\\u{:04x}\\u{:04x}",
                    0xd800 + (rest >> 10),
                    0xdc00 + (rest & 0x3ff)
                );
                out.extend_from_slice(pair.as_bytes());
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    /// The data set that DVC 3.51.1 recorded in CMF's reference run.
    fn data() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for (name, text) in CONTENTS {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    const CONTENTS: [(&str, &str); 5] = [
        ("empty.txt", ""),
        ("labels.csv", "x\n"),
        ("sub/n.txt", "nested\n"),
        ("train.csv", "a,b\n1,2\n3,4\n"),
        ("é.txt", "u\n"),
    ];

    #[test]
    fn a_folder_has_the_digest_that_dvc_records() {
        let actual = digest(data().path(), None).unwrap();
        let md5 = "46b516c475aa0517f33ba9e09bfbf39b.dir".to_owned();
        assert_eq!(
            actual,
            Digest {
                md5,
                size: 23,
                files: 5,
                left_out: Vec::new()
            }
        );
    }

    #[test]
    fn an_empty_folder_has_the_digest_that_dvc_records() {
        let dir = tempfile::tempdir().unwrap();
        let actual = digest(dir.path(), None).unwrap();
        let md5 = "d751713988987e9331980363e24189ce.dir".to_owned();
        assert_eq!(
            actual,
            Digest {
                md5,
                size: 0,
                files: 0,
                left_out: Vec::new()
            }
        );
    }

    #[test]
    fn a_file_has_its_md5() {
        let dir = data();
        let actual = digest(&dir.path().join("sub/n.txt"), None).unwrap();
        assert_eq!(
            (&*actual.md5, actual.files),
            ("6983b4cd210aab338877de6d3b33c926", 1)
        );
        let empty = digest(&dir.path().join("empty.txt"), None).unwrap();
        assert_eq!(
            (&*empty.md5, empty.size),
            ("d41d8cd98f00b204e9800998ecf8427e", 0)
        );
    }

    #[test]
    fn links_to_files_are_followed_and_links_to_folders_are_left_out_as_dvc_does() {
        let dir = data();
        let plain = digest(dir.path(), None).unwrap();
        symlink(dir.path(), dir.path().join("sub/up")).unwrap();
        let left_out = vec![LeftOut::new(b"sub/up", "a symbolic link to a folder")];
        let linked = Digest { left_out, ..plain };
        assert_eq!(digest(dir.path(), None).unwrap(), linked);
        fs::remove_file(dir.path().join("labels.csv")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("l"), CONTENTS[1].1).unwrap();
        symlink(elsewhere.path().join("l"), dir.path().join("labels.csv")).unwrap();
        assert_eq!(digest(dir.path(), None).unwrap(), linked);
    }

    #[test]
    fn a_path_without_a_digest_is_an_error_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let error_of = |name: &str| {
            let text = digest(&path(name), None).unwrap_err().to_string();
            text.replace(dir.path().to_str().unwrap(), "D")
        };
        symlink("b", path("a")).unwrap();
        symlink("a", path("b")).unwrap();
        symlink("nowhere", path("gone")).unwrap();
        assert_eq!(
            error_of("a"),
            "`D/a` is a symbolic link that leads back to itself"
        );
        assert_eq!(error_of("gone"), "`D/gone` is a symbolic link to nothing");
        assert_eq!(error_of("none"), "`D/none` does not exist");
        let device = digest(Path::new("/dev/null"), None).unwrap_err();
        assert_eq!(
            device.to_string(),
            "`/dev/null` is a device, neither a file nor a folder"
        );
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), 0o600.into()).unwrap();
        assert_eq!(
            error_of("pipe"),
            "`D/pipe` is a named pipe, neither a file nor a folder"
        );
    }

    #[test]
    fn unreadable_entries_of_a_folder_are_named_and_the_others_hashed() {
        let dir = data();
        let plain = digest(dir.path(), None).unwrap();
        let path = |name: &str| dir.path().join(name);
        symlink("nowhere", path("sub/dangling")).unwrap();
        symlink("round", path("round")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), 0o600.into()).unwrap();
        symlink("pipe", path("to-pipe")).unwrap();
        let partial = digest(dir.path(), None).unwrap();
        let named: Vec<String> = partial.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "pipe: a named pipe",
                "round: a symbolic link that leads back to itself",
                "sub/dangling: a symbolic link to nothing",
                "to-pipe: a symbolic link to a named pipe",
            ]
        );
        assert_eq!(
            Digest {
                left_out: Vec::new(),
                ..partial
            },
            plain
        );
        fs::write(path("train.csv"), "changed").unwrap();
        assert_ne!(digest(dir.path(), None).unwrap().md5, plain.md5);
    }

    #[test]
    fn a_pipe_in_place_of_a_file_does_not_block() {
        let dir = data();
        let path = dir.path().join("train.csv");
        let state = regular_state(&path, &fs::metadata(&path).unwrap()).unwrap();
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        let listed = ListedFile {
            path,
            relative: Vec::new(),
            state,
        };
        assert!(hash_file(&listed, &mut [0; 64]).is_err());
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let dir = data();
        let path = dir.path().join("train.csv");
        let state = regular_state(&path, &fs::metadata(&path).unwrap()).unwrap();
        fs::write(&path, "longer than it was before").unwrap();
        let listed = ListedFile {
            path,
            relative: Vec::new(),
            state,
        };
        assert!(matches!(
            hash_file(&listed, &mut [0; 64]),
            Err(DigestError::Changed(_))
        ));
    }

    #[test]
    fn names_are_escaped_and_sorted_as_python_does() {
        let mut out = Vec::new();
        push_python_text(&mut out, "a\"\\\n\u{1}\u{7f}é😀".as_bytes());
        push_python_text(&mut out, b"x\xff");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""a\"\\\n\u0001\u007f\u00e9\ud83d\ude00""x\udcff""#
        );
        assert!(code_points(b"\xff").lt(code_points("\u{e000}".as_bytes())));
        assert_eq!(
            Path::new(OsStr::from_bytes(b"x\xff"))
                .as_os_str()
                .as_bytes(),
            b"x\xff"
        );
    }

    #[test]
    fn many_files_are_hashed_in_parallel_with_the_same_result() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..8_u8 {
            fs::write(dir.path().join(format!("f{n}")), vec![n; 1 << 20]).unwrap();
        }
        let actual = digest(dir.path(), None).unwrap();
        let (files, _) = list_files(dir.path()).unwrap();
        let one_by_one: Vec<_> = files
            .iter()
            .map(|file| hash_file(file, &mut [0; 4096]).unwrap())
            .collect();
        let hashed: Vec<_> = hash_files(&files, None)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(hashed, one_by_one);
        assert_eq!((actual.files, actual.size), (8, 8 << 20));
    }
}
