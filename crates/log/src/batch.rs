//! Records of lines that are read in one batch.
//!
//! A line states that a model was written before it. By the time the line is read, the program may
//! have overwritten the model with the next one. A model's bytes are therefore read only after all
//! available lines. If a later line names the path again, the model was overwritten. If the file is
//! newer than the lines were, it is in doubt. Such a model has no digest, rather than the digest of
//! another version.

use super::digest::{FileState, LeftOut};
use super::stamp::Stamp;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use swath_model::space::Params;
use swath_model::study::LogRecord;

/// The reason recorded for a model without a digest whose bytes may be those of another version.
pub const OVERWRITTEN: &str = "overwritten before it could be read";

/// The longest time between two ticks of the clock that stamps files. Two writes within one tick
/// have the same time, so their order is unknown.
pub(super) const TICK: Duration = Duration::from_millis(12);

/// Maximum number of left-out entries that a record lists.
const NAMED: usize = 20;

/// A record in its order. Records after a model wait until the model is read.
pub(super) enum Waiting {
    /// A record that is ready, but follows a model that is not; and the offset behind its line.
    Record(LogRecord, Option<u64>),
    /// A question of the trial with this id.
    Question(String),
    /// A model that is read at the end of the batch.
    Model(Box<NamedModel>),
}

impl Waiting {
    /// Returns whether a model must be checked again to tell whether it was overwritten.
    pub(super) fn needs_recheck(&self) -> bool {
        match self {
            Self::Model(model) => model.is_unsettled() && !model.is_overwritten(),
            _ => false,
        }
    }
}

/// A model that a line names.
pub(super) struct NamedModel {
    /// The line, for warnings.
    pub(super) label: String,
    /// The offset behind the line; `None` for a call within this process.
    pub(super) line_end: Option<u64>,
    /// The path as the trial wrote it.
    pub(super) path_in_record: String,
    /// The path relative to the workdir.
    pub(super) path: String,
    /// The path with links resolved; `None` if it does not exist.
    pub(super) real: Option<PathBuf>,
    pub(super) step: Option<f64>,
    pub(super) keep: bool,
    /// The facts about the model.
    pub(super) facts: Params,
    /// Whether the line calls the model the trial's best. Such a line may repeat the line before
    /// it.
    pub(super) is_best: bool,
    /// Whether an earlier line named the path.
    pub(super) named_before: bool,
    /// The state of the file that contained the line; `None` for a call within this process.
    pub(super) source: Option<Source>,
    pub(super) version: Option<Version>,
}

/// The state of a file when its lines were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// The time of the last write, in nanoseconds since 1970.
    pub(super) modified: i128,
    /// Whether the writer seems to buffer lines before it writes them.
    pub(super) is_buffered: bool,
    /// Whether the file is the program's output, not its records.
    pub(super) is_output: bool,
}

impl Source {
    /// Makes the state of a records file. `state` is the one up to whose time every line is known.
    pub(super) fn records(state: Option<FileState>, is_buffered: bool) -> Self {
        Self {
            modified: state.map_or(i128::MIN, |state| state.modified),
            is_buffered,
            is_output: false,
        }
    }
}

/// A model whose last record has no digest. After the program has ended, the bytes at its path do
/// belong to that record, unless they are newer than the last line.
pub(super) struct LastInDoubt {
    pub(super) model: NamedModel,
    /// Number of reports before the record.
    pub(super) reports: u64,
}

impl LastInDoubt {
    /// Returns whether `source` is the file that named the model, or a call did. Times of the
    /// records file do not apply to models that the output named, and vice versa.
    pub(super) fn is_from_file_of(&self, source: Source) -> bool {
        let before = self.model.source;
        before.is_none_or(|before| before.is_output == source.is_output)
    }
}

/// The bytes that were at a model's path when it was read.
#[derive(Clone)]
pub(super) struct Version {
    /// The digest and size, or the reason why there is no digest.
    pub(super) digest: Result<(String, u64), String>,
    /// The path of the held copy relative to the trial's folder.
    pub(super) held: Option<String>,
    pub(super) partial: Vec<String>,
    pub(super) stamp: Option<Stamp>,
}

impl Version {
    /// Makes a version without a digest.
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
    /// Returns whether the bytes may be newer than the line, as far as the times can tell. Equal
    /// times do not decide it.
    pub(super) fn is_overwritten(&self) -> bool {
        let (Some(source), Some(stamp)) = (self.source, self.stamp()) else {
            return false;
        };
        // A program that begins to write leaves an empty file for a moment.
        stamp.newest() > source.modified
            || stamp.is_being_cut
            || (stamp.newest() == source.modified && stamp.size == 0)
            || (source.is_buffered && self.named_before)
    }

    /// Returns whether the model must be checked again: it has the same time as the line, or one
    /// of its files is empty.
    pub(super) fn is_unsettled(&self) -> bool {
        match (self.source, self.stamp()) {
            (Some(source), Some(stamp)) => stamp.newest() == source.modified || stamp.has_empty,
            _ => false,
        }
    }

    /// Returns the path of the held copy.
    pub(super) fn held(&self) -> Option<&str> {
        self.version.as_ref()?.held.as_deref()
    }

    pub(super) fn stamp(&self) -> Option<&Stamp> {
        self.version.as_ref()?.stamp.as_ref()
    }
}

/// From this number of lines with the same path in one batch, the writer is assumed to buffer its
/// lines.
const GATHERED: usize = 8;

/// Whether a later line names the path of a model again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedAgain {
    No {
        /// Whether so many earlier lines name the path that the next ones may be in the writer's
        /// buffer already.
        gathered: bool,
    },
    /// The line at this index names the same version.
    Same(usize),
    Overwritten,
}

/// Returns for each record whether a later one names its path again.
pub(super) fn named_again(waiting: &[Waiting]) -> Vec<NamedAgain> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for waiting in waiting {
        if let Waiting::Model(model) = waiting {
            *counts.entry(&model.path).or_default() += 1;
        }
    }
    let mut reports = 0_usize;
    let mut later: HashMap<&str, Naming<'_>> = HashMap::new();
    let mut named = vec![NamedAgain::Overwritten; waiting.len()];
    // The search runs backwards, so that `later` contains the next line with the same path.
    for (index, waiting) in waiting.iter().enumerate().rev() {
        match waiting {
            Waiting::Record(LogRecord::Report { .. }, _) => reports += 1,
            Waiting::Model(model) => {
                let next = Naming {
                    index,
                    reports,
                    model,
                };
                named[index] = match later.insert(&model.path, next) {
                    None => NamedAgain::No {
                        gathered: counts.get(&*model.path) >= Some(&GATHERED),
                    },
                    Some(later) if later.repeats(model, reports) => NamedAgain::Same(later.index),
                    Some(_) => NamedAgain::Overwritten,
                };
            }
            _ => {}
        }
    }
    named
}

/// A line that names a model, in the search from the last record to the first.
struct Naming<'m> {
    index: usize,
    /// Number of reports behind the line.
    reports: usize,
    model: &'m NamedModel,
}

impl Naming<'_> {
    /// Returns whether this line names the version of an earlier line again. It does if it calls
    /// that version the trial's best: no report lies between the lines, and the steps do not differ.
    /// It also does if both have one step, and at most the report of that step lies between them.
    fn repeats(&self, earlier: &NamedModel, reports: usize) -> bool {
        let step = self.model.step;
        let calls_best = self.model.is_best && self.reports == reports;
        let is_same_step = step.is_some() && step == earlier.step;
        (calls_best && (step.is_none() || step == earlier.step))
            || (is_same_step && reports <= self.reports + 1)
    }
}

/// Lists the entries that a digest leaves out, for a record.
pub(super) fn list_left_out(left_out: &[LeftOut]) -> Vec<String> {
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
            line_end: None,
            path_in_record: path.to_owned(),
            path: path.to_owned(),
            real: None,
            step,
            keep: false,
            facts: Params::default(),
            is_best,
            named_before: false,
            source: None,
            version: None,
        }))
    }

    #[test]
    fn only_the_last_line_of_a_path_is_trusted_unless_it_calls_the_same_version_the_best() {
        let report = || Waiting::Record(LogRecord::Report { values: Vec::new() }, None);
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
    fn two_lines_of_one_path_and_step_name_the_same_version() {
        let report = || Waiting::Record(LogRecord::Report { values: Vec::new() }, None);
        let before_its_report = [
            model("m", Some(7.0), false),
            report(),
            model("m", Some(7.0), false),
        ];
        let after_its_report = [
            report(),
            model("m", Some(7.0), false),
            model("m", Some(7.0), false),
        ];
        assert_eq!(named_again(&before_its_report)[0], NamedAgain::Same(2));
        assert_eq!(named_again(&after_its_report)[1], NamedAgain::Same(2));
        let without_step = [model("m", None, false), model("m", None, false)];
        assert_eq!(named_again(&without_step)[0], NamedAgain::Overwritten);
    }

    #[test]
    fn many_lines_with_one_path_in_a_batch_were_buffered_by_the_writer() {
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
    fn a_record_names_some_of_the_left_out_entries_and_counts_the_others() {
        let left_out: Vec<_> = (0..25)
            .map(|n| LeftOut::new(format!("{n:02}").as_bytes(), "a socket"))
            .collect();
        let named = list_left_out(&left_out);
        assert_eq!(
            (named.len(), &*named[0], &*named[20]),
            (21, "00: a socket", "and 5 more")
        );
    }
}
