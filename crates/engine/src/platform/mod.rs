//! The parts of the engine that depend on the operating system: processes, watches of files,
//! descriptors that wake, and facts about the machine.
//!
//! Linux has a mechanism for each. Every other Unix gets a plain fallback from what all of them
//! have. Both files offer the same functions, so that a port is a file. The feature `portable` uses
//! the fallbacks on Linux too, where they can be tested.
//!
//! | part | Linux | fallback |
//! |---|---|---|
//! | processes | `/proc` | the program `ps`, whose answer is used for some milliseconds |
//! | processes that a trial leaves | a subreaper and cgroups | the trial's process group, and the mark in their environment |
//! | the end of a program | a pidfd | a look every 10 ms |
//! | writes to a file | inotify | a look every 50 ms; files that trials share are not noticed |
//! | a request to a supervisor | an eventfd | a look every 50 ms |
//! | a reserved port | an abstract socket | the UDP port of the same number |
//! | the kernel's kills for lack of memory, signals ignored at the start, file systems | `/proc`, statfs | unknown |

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
mod other;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(crate) use linux::*;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
pub(crate) use other::*;

use std::path::PathBuf;

/// An entry `NAME=value` to search in the environment of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// The whole entry.
    Is(&'a str),
    /// The beginning of the entry.
    StartsWith(&'a str),
}

/// The changes of a file or folder that a watch reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Writes to a file that is open.
    Growth,
    /// The next write to a file that is open, and none after it.
    NextGrowth,
    /// Files that are created in a folder or moved into it.
    NewFiles,
    /// The same, and written files that are closed.
    FolderUse,
    /// The end of writing to a file.
    Writes,
    /// The end of reading a file.
    Reads,
}

/// A change that a watch has reported.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Number of the watch, as [`Watches::add`] returned it.
    pub(crate) watch: i32,
    /// Name of the file in a watched folder; `None` if the file itself is watched.
    pub(crate) name: Option<PathBuf>,
    /// Whether the name is that of a folder.
    pub(crate) is_folder: bool,
    /// Whether a file that was open for reading only was closed.
    pub(crate) is_read: bool,
    /// Whether a file that was open for writing was closed.
    pub(crate) is_written: bool,
    /// Whether a file was moved into the folder.
    pub(crate) is_moved_here: bool,
    /// Whether changes were lost before this one.
    pub(crate) has_overflowed: bool,
}

/// A file system that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    /// Whether another machine or a program serves it.
    pub(crate) is_served: bool,
}

#[cfg(test)]
mod tests;
