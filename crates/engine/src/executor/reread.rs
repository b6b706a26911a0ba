//! The kept output of a trial, searched again with other patterns.

use super::output::{Output, is_cut};
use regex::Regex;
use std::io;
use std::path::Path;
use swath_model::space::Name;
use swath_model::study::Datum;

/// The output of a trial, read again.
#[derive(Debug, Default)]
pub(crate) struct Reread {
    /// The reports that the patterns find, in the order of the output.
    pub(crate) reports: Vec<Vec<(Name, Datum)>>,
    /// The logs whose middle was cut out, so that reports may be missing.
    pub(crate) cut: Vec<&'static str>,
    /// For each of the wanted names, the clue in the output why no pattern finds it.
    pub(crate) clues: Vec<(Name, String)>,
}

/// Reads the output of a trial, and finds in it what `capture` matches. A name of `wanted` for which
/// there is no value gets a clue.
pub(crate) fn reread(dir: &Path, capture: &[(Name, Regex)], wanted: &[Name]) -> io::Result<Reread> {
    let mut output = Output::new(dir, capture, u64::MAX, false);
    let mut reports = Vec::new();
    output.finish(&mut |values| reports.push(values))?;
    let printed = output.printed();
    let clues = wanted.iter().filter_map(|name| {
        let why = output.why_unreported(name, &printed)?;
        Some((name.clone(), why))
    });
    let mut cut = Vec::new();
    for log in ["stdout.log", "stderr.log"] {
        if is_cut(&dir.join(log))? {
            cut.push(log);
        }
    }
    Ok(Reread {
        clues: clues.collect(),
        reports,
        cut,
    })
}
