//! Records of lines that are read together.
//!
//! A line says that a model was written before it. By the time the line is read the program may
//! have written the next model over it. So a model's bytes are read only once all lines that are
//! there have been read: a path that a later line names again has been overwritten, and a file that
//! is newer than the lines were is in doubt. Such a model has no digest, rather than that of
//! another one.

use super::digest::LeftOut;
use super::stamp::Stamp;
use crate::study::LogRecord;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// Why a model has no digest whose bytes may be those of another one.
pub const OVERWRITTEN: &str = "overwritten before it could be read";

/// The longest time between two ticks of the clock that stamps files. Two writes within one tick
/// have the same time, whichever came first.
pub(super) const TICK: Duration = Duration::from_millis(12);

/// How many entries that are not part of a digest a record names.
const NAMED: usize = 20;

/// A record in its order. Those behind a model wait until that is read.
pub(super) enum Waiting {
    Record(LogRecord),
    Question(String),
    Model(Box<NamedModel>),
}

/// A model that a line names.
pub(super) struct NamedModel {
    /// The line, for warnings.
    pub(super) label: String,
    /// The path as the trial wrote it.
    pub(super) given: String,
    /// Relative to the workdir.
    pub(super) path: String,
    /// With links followed; `None` if nothing is there.
    pub(super) real: Option<PathBuf>,
    pub(super) step: Option<f64>,
    pub(super) keep: bool,
    /// Whether it is called the trial's best, which may repeat the line before.
    pub(super) is_best: bool,
    /// Whether an earlier line named the path.
    pub(super) named_before: bool,
    /// The state of the file that the line was read from; `None` of a call within this process.
    pub(super) source: Option<Source>,
    pub(super) version: Option<Version>,
}

/// A file that lines are read from, when they were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// When it was last written to, in nanoseconds since 1970.
    pub(super) modified: i128,
    /// Whether its writer seems to gather lines before it writes them.
    pub(super) is_buffered: bool,
    /// Whether it is the program's output, not its records.
    pub(super) is_output: bool,
}

/// A model whose last record has no digest. When the program has ended, the bytes at its path are
/// those of that record after all, unless they are newer than the last line.
pub(super) struct LastInDoubt {
    pub(super) model: NamedModel,
    /// How many reports had come when it was recorded.
    pub(super) reports: u64,
}

/// The bytes that were found at a model's path.
#[derive(Clone)]
pub(super) struct Version {
    /// Their digest and size, or why there is none.
    pub(super) digest: Result<(String, u64), String>,
    /// Where they are held, relative to the trial's folder.
    pub(super) held: Option<String>,
    pub(super) partial: Vec<String>,
    pub(super) stamp: Option<Stamp>,
}

impl Version {
    /// Makes one without a digest.
    pub(super) fn without(why: impl Into<String>) -> Self {
        Self {
            digest: Err(why.into()),
            held: None,
            partial: Vec::new(),
            stamp: None,
        }
    }
}

impl NamedModel {
    /// Returns whether the bytes that were found may be newer than the line, as far as the times
    /// can tell. Two that are equal say nothing.
    pub(super) fn is_overwritten(&self) -> bool {
        let (Some(source), Some(stamp)) = (self.source, self.stamp()) else {
            return false;
        };
        // An empty file is what a program leaves for a moment when it begins to write.
        stamp.newest() > source.modified
            || stamp.is_being_cut
            || (stamp.newest() == source.modified && stamp.size == 0)
            || (source.is_buffered && self.named_before)
    }

    /// Returns whether only a second look can tell: the model has the same time as the line, or it
    /// is empty.
    pub(super) fn is_unsettled(&self) -> bool {
        match (self.source, self.stamp()) {
            (Some(source), Some(stamp)) => stamp.newest() == source.modified || stamp.has_empty,
            _ => false,
        }
    }

    /// Returns where its bytes are held.
    pub(super) fn held(&self) -> Option<&str> {
        self.version.as_ref()?.held.as_deref()
    }

    pub(super) fn stamp(&self) -> Option<&Stamp> {
        self.version.as_ref()?.stamp.as_ref()
    }
}

/// So many lines at once that name one path were gathered before they were written.
const GATHERED: usize = 8;

/// What a later line says of a model's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedAgain {
    No {
        /// Whether so many lines before name it that the next ones may be gathered already.
        gathered: bool,
    },
    /// The line at this place calls the same version the trial's best.
    Same(usize),
    Overwritten,
}

/// Returns for each record whether a later one names its path again.
pub(super) fn named_again(waiting: &[Waiting]) -> Vec<NamedAgain> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for waiting in waiting {
        if let Waiting::Model(model) = waiting {
            *times.entry(&model.path).or_default() += 1;
        }
    }
    let mut reports = 0_usize;
    let mut later: HashMap<&str, (usize, usize, &NamedModel)> = HashMap::new();
    let mut named = vec![NamedAgain::Overwritten; waiting.len()];
    for (at, waiting) in waiting.iter().enumerate().rev() {
        match waiting {
            Waiting::Record(LogRecord::Report { .. }) => reports += 1,
            Waiting::Model(model) => {
                let repeats = |(_, reported, later): &(usize, usize, &NamedModel)| {
                    let same_step = later.step.is_none() || later.step == model.step;
                    later.is_best && *reported == reports && same_step
                };
                named[at] = match later.insert(&model.path, (at, reports, model)) {
                    None => NamedAgain::No {
                        gathered: times.get(&*model.path) >= Some(&GATHERED),
                    },
                    Some(later) if repeats(&later) => NamedAgain::Same(later.0),
                    Some(_) => NamedAgain::Overwritten,
                };
            }
            _ => {}
        }
    }
    named
}

/// Names what is not part of a digest, for a record.
pub(super) fn named(left_out: &[LeftOut]) -> Vec<String> {
    let mut named: Vec<String> = left_out
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    if let Some(more @ 1..) = left_out.len().checked_sub(NAMED) {
        named.push(format!("and {more} more"));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &str, step: Option<f64>, is_best: bool) -> Waiting {
        Waiting::Model(Box::new(NamedModel {
            label: String::new(),
            given: path.to_owned(),
            path: path.to_owned(),
            real: None,
            step,
            keep: false,
            is_best,
            named_before: false,
            source: None,
            version: None,
        }))
    }

    #[test]
    fn only_the_last_line_that_names_a_path_is_trusted_unless_it_says_that_the_same_is_the_best() {
        let report = || Waiting::Record(LogRecord::Report { values: Vec::new() });
        let waiting = [
            report(),
            model("m", Some(1.0), false),
            model("m", Some(1.0), true),
            report(),
            model("m", Some(2.0), false),
            model("n", Some(2.0), false),
            report(),
            model("m", None, true),
        ];
        let named = named_again(&waiting);
        assert_eq!(named[1], NamedAgain::Same(2));
        assert_eq!(named[2], NamedAgain::Overwritten);
        assert_eq!(named[4], NamedAgain::Overwritten, "a report came between");
        assert_eq!(
            [named[5], named[7]],
            [NamedAgain::No { gathered: false }; 2]
        );
    }

    #[test]
    fn many_lines_at_once_that_name_one_path_were_gathered() {
        let waiting: Vec<Waiting> = (0..GATHERED).map(|_| model("m", None, false)).collect();
        assert_eq!(
            named_again(&waiting).pop(),
            Some(NamedAgain::No { gathered: true })
        );
        assert_eq!(
            named_again(&waiting[1..]).pop(),
            Some(NamedAgain::No { gathered: false })
        );
    }

    #[test]
    fn a_record_names_some_of_what_is_left_out_and_counts_the_rest() {
        let left_out: Vec<_> = (0..25)
            .map(|n| LeftOut::new(format!("{n:02}").as_bytes(), "a socket"))
            .collect();
        let named = named(&left_out);
        assert_eq!(
            (named.len(), &*named[0], &*named[20]),
            (21, "00: a socket", "and 5 more")
        );
    }
}
