//! Finds reports in the output of programs that only print: the sweep file's `[capture]`.

use crate::space::Name;
use crate::study::Datum;
use regex::Regex;

/// The stream that output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What is found is handed on as the values of a report.
pub type EachReport<'a> = &'a mut dyn FnMut(Vec<(Name, Datum)>);

/// Finds reports in output as it grows.
#[derive(Debug)]
pub struct Scrape {}

impl Scrape {
    /// Makes one for the expressions of `[capture]`.
    #[must_use]
    pub fn new(capture: &[(Name, Regex)]) -> Self {
        let _ = capture;
        Self {}
    }

    /// Takes the next piece of a stream's output, in pieces of any size, and hands each report that is complete to `each`.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8], each: EachReport<'_>) {
        let _ = (stream, bytes, each);
    }

    /// Hands over what is pending, at the end of all output.
    pub fn finish(&mut self, each: EachReport<'_>) {
        let _ = each;
    }
}
