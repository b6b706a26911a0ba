//! Handles reports: those of rank 0 decide and go to the journal, those of other workers are
//! metrics.

use super::Supervised;
use super::label::Label;
use crate::files::{METRICS, REPORTS};
use crate::inside::inside;
use crate::key_types::KeyTypes;
use crate::rank;
use crate::repeats::Repeats;
use crate::wire::{MODEL_PATH, model_facts};
use std::collections::BTreeSet;
use swath_model::space::{Name, Value};
use swath_model::study::{Axis, Datum, LogRecord, axis};

/// Maximum number of ranks that a warning lists.
const MOST_RANKS: usize = 8;

impl Supervised {
    /// Handles a report that a call made, or that was found in the program's output.
    pub(crate) fn report_values(&mut self, values: Vec<(Name, Datum)>, rank: u32, now: i64) {
        let values = self.parser.check_report(values, rank);
        self.warn_of_flaws(&Label::Report, false);
        if let Some(values) = values {
            self.report(values, &Label::Report, now);
        }
    }

    /// Handles a report whose row is in the parser.
    pub(super) fn report(&mut self, values: Vec<(Name, Datum)>, label: &Label, now: i64) {
        let rank = self.add_row(&values, now);
        if rank == 0 {
            return self.decide(values, label);
        }
        self.other_ranks.note(rank);
        let names = values.iter().map(|(name, _)| name);
        self.parser.deciding().note_other_rank(names, rank);
    }

    /// Adds the row of a report to its log. Returns the rank of the worker that made the report.
    pub(super) fn add_row(&mut self, values: &[(Name, Datum)], now: i64) -> u32 {
        let rank = self.checks.rank_of(values);
        let log = if rank == 0 { REPORTS } else { METRICS };
        let keys = values.iter().map(|(name, _)| &**name);
        let row = self.parser.row();
        self.rows.add(log, row, keys, now, &mut self.forwarder);
        rank
    }

    fn decide(&mut self, mut values: Vec<(Name, Datum)>, label: &Label) {
        self.recorded.reports += 1;
        self.parser.deciding().note_numbers(&values);
        let [key_types, repeats] = self.checks.check(&values, self.recorded.reports);
        self.forwarder.warn_about(label, key_types);
        self.forwarder.warn_about(label, repeats);
        let model = self.take_model(&mut values, label);
        if !values.is_empty() {
            self.forward(LogRecord::Report { values });
        }
        if let Some(model) = model {
            self.model(&model.path, model.step, model.keep, model.facts, label);
        }
    }

    /// Records the model that a report names, without the report itself. Removes a model that is
    /// refused from the report.
    pub(super) fn model_of_report(&mut self, values: &mut Vec<(Name, Datum)>, label: &Label) {
        self.recorded.reports += 1;
        self.checks.place(values, self.recorded.reports);
        if let Some(model) = self.take_model(values, label) {
            self.model(&model.path, model.step, model.keep, model.facts, label);
        }
    }

    /// Returns the model that a report names. The path is checked first, so that a report never
    /// names a model that was refused.
    fn take_model(
        &mut self,
        values: &mut Vec<(Name, Datum)>,
        label: &Label,
    ) -> Option<ReportedModel> {
        let index = values.iter().position(|(name, _)| &**name == MODEL_PATH)?;
        let Datum::Text(path) = &values[index].1 else {
            self.warn(format!(
                "{label}: `{MODEL_PATH}` is not a text; no model is recorded"
            ));
            return None;
        };
        let path = path.clone();
        if let Err(outside) = inside(&self.dirs.workdir, &path) {
            self.warn(format!(
                "{label}: `{MODEL_PATH}` is refused, the rest is kept: {outside}"
            ));
            values.remove(index);
            return None;
        }
        let keep = values
            .iter()
            .any(|(name, datum)| &**name == "keep" && *datum == Datum::Flag(true));
        Some(ReportedModel {
            path,
            step: self.checks.step_of(values),
            keep,
            facts: model_facts(values),
        })
    }
}

/// The model that a report names.
struct ReportedModel {
    path: String,
    step: Option<f64>,
    keep: bool,
    facts: Vec<(Name, Value)>,
}

/// Checks the reports of a trial against each other.
#[derive(Default)]
pub(super) struct ReportChecks {
    /// The metrics that decide.
    pub(super) deciding: Vec<Name>,
    axis: Axis,
    key_types: KeyTypes,
    repeats: Repeats,
}

impl ReportChecks {
    pub(super) fn use_resource(&mut self, resource: Option<&Name>) {
        self.axis = Axis::of(resource);
    }

    /// Finds the axis in the report with this number, from 1. The first report with a counter fixes
    /// the axis, as in the fold.
    fn place(&mut self, values: &[(Name, Datum)], number: u64) {
        if self.axis.is_number() {
            self.axis
                .place(number, None, |key| axis::number(values, key));
        }
    }

    /// Checks the report with this number, from 1. Returns the texts of warnings.
    fn check(&mut self, values: &[(Name, Datum)], number: u64) -> [Option<String>; 2] {
        self.place(values, number);
        let key_types = self.key_types.check(values);
        let repeats = self.repeats.check(values, self.axis.key(), &self.deciding);
        [key_types, repeats]
    }

    /// Returns the position of a report on the axis, if the report has it.
    fn step_of(&self, values: &[(Name, Datum)]) -> Option<f64> {
        axis::number(values, self.axis.key()?)
    }

    /// Returns the rank of the worker that made a report, or 0 if the report has none. If `rank` is
    /// a deciding metric, it is not a rank.
    fn rank_of(&self, values: &[(Name, Datum)]) -> u32 {
        if self.deciding.iter().any(|name| &**name == rank::KEY) {
            return 0;
        }
        axis::number(values, rank::KEY)
            .and_then(rank::of_number)
            .unwrap_or(0)
    }
}

/// The reports of workers other than rank 0, which do not decide.
#[derive(Default)]
pub(super) struct OtherRanks {
    reports: u64,
    /// The first ranks among them.
    ranks: BTreeSet<u32>,
}

impl OtherRanks {
    fn note(&mut self, rank: u32) {
        self.reports += 1;
        // One more than is listed, so that the warning can tell that the list is cut.
        if self.ranks.len() <= MOST_RANKS {
            self.ranks.insert(rank);
        }
    }

    /// Returns the warning that no report decides because workers other than rank 0 made all of
    /// them; `None` if that is not so.
    pub(super) fn warning(&self, deciding_reports: u64) -> Option<String> {
        if deciding_reports > 0 || self.reports == 0 {
            return None;
        }
        let mut ranks: Vec<String> = self.ranks.iter().map(ToString::to_string).collect();
        if ranks.len() > MOST_RANKS {
            ranks.truncate(MOST_RANKS);
            ranks.push("…".to_owned());
        }
        let ranks = ranks.join(", ");
        Some(format!(
            "none of {} reports decides: they are of rank {ranks}, and only rank 0 decides. \
             Let rank 0 report; if `rank` is a value of your own, give it another name",
            self.reports
        ))
    }
}
