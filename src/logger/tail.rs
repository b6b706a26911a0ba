//! Reads a file as it grows.

use std::io;
use std::path::PathBuf;

/// The longest line that is read; longer ones are refused with their number.
pub const LONGEST: usize = 10_000_000;

/// What a [`Tail`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line.
    Whole {
        /// Its number, from 1.
        number: u64,
        /// Its bytes, without the line break.
        bytes: &'a [u8],
    },
    /// A line over [`LONGEST`] bytes, which was skipped.
    TooLong {
        /// Its number, from 1.
        number: u64,
        /// Its length.
        bytes: u64,
    },
    /// The file ends without a line break; told by [`Tail::finish`] only.
    Torn {
        /// Its number, from 1.
        number: u64,
        /// What there is of it.
        bytes: &'a [u8],
    },
    /// The file became shorter, or another file took its place; reading starts again at its beginning.
    Replaced {
        /// The number of the last line read.
        after: u64,
    },
}

/// Reads whole lines from a file as it grows.
#[derive(Debug)]
pub struct Tail {}

impl Tail {
    /// Makes a reader that starts at the beginning of `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let _ = path.into();
        Self {}
    }

    /// Makes a reader that leaves out what is in the file now: for an attempt that resumes a trial.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn after_existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        Ok(Self::new(path))
    }

    /// Hands each line to `each` that has become whole since the last call; returns how many bytes were read.
    ///
    /// # Errors
    /// If the file cannot be read. That it does not exist yet is no error.
    pub fn poll(&mut self, each: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        let _ = each;
        Ok(0)
    }

    /// As [`poll`](Self::poll), for the last time: a rest without a line break is told too.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        self.poll(each)
    }
}

/// Reads the bytes of a file as it grows, for output that is not made of records.
#[derive(Debug)]
pub struct Growth {}

impl Growth {
    /// Makes a reader that starts at the beginning of `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let _ = path.into();
        Self {}
    }

    /// Hands what was appended since the last call to `each`, in pieces; returns how many bytes that was.
    ///
    /// # Errors
    /// If the file cannot be read. That it does not exist yet is no error.
    pub fn poll(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let _ = each;
        Ok(0)
    }
}
