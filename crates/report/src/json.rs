//! A trial as a JSON object: the rows of `--json` and `export --json`.
//!
//! An absent value has no key; it is never `null`. A number that is not finite is written as
//! `"nan"`, `"inf"` or `"-inf"`.

use super::formula::{Formula, ReportHistory, TrialCells};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use swath_model::space::{Name, Params, Value};
use swath_model::study::field::{Cell, Field, Form, Place};
use swath_model::study::{
    Datum, LogRecord, Metric, NameMap, Origin, Preparation, Study, TRIAL_FIELDS, Tally, Trial,
};

/// Fields that a row has in another form (`records`, `origin`), or that are a matter of the study.
const ELSEWHERE: [&str; 6] = [
    "pipeline",
    "stage",
    "data_dir",
    "data_md5",
    "git_commit",
    "origin",
];

/// All recorded values of one trial. The fields are the keys of the JSON object.
#[derive(Debug, Clone, Serialize)]
pub struct TrialRow<'a> {
    #[serde(flatten)]
    first: Fields<'a>,
    objectives: BTreeMap<&'a str, f64>,
    params: &'a Params,
    metrics: &'a NameMap<Tally>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    texts: &'a BTreeMap<Name, String>,
    reports: u64,
    #[serde(flatten)]
    course: Fields<'a>,
    /// The last decision of the scheduler in words, if it paused or stopped the trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    origin: &'a Origin,
    /// The violated outcome constraints in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<String>,
    #[serde(flatten)]
    result: Fields<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    at_best: BTreeMap<&'a str, &'a Datum>,
    /// Whether the trial does not count: it no longer fits the space, or it is in the trash.
    outside: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    records: &'a [LogRecord],
}

/// The values of some fields, by their keys.
#[derive(Debug, Clone)]
struct Fields<'a>(Vec<(&'static str, Cell<'a>)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, cell)| (key, cell)))
    }
}

/// Returns a trial as a JSON row.
#[must_use]
pub fn row<'a>(study: &'a Study, trial: &'a Trial) -> TrialRow<'a> {
    let objectives = study.header().objectives.iter();
    let counted = trial.counted.iter();
    let at_best = counted.flat_map(|counted| &counted.values);
    let measured =
        objectives.filter_map(|objective| Some((&*objective.metric, trial.objective(objective)?)));

    TrialRow {
        first: fields(study, trial, |field| field.place == Place::First),
        objectives: measured.collect(),
        params: &trial.params,
        metrics: &trial.metrics,
        texts: &trial.texts,
        reports: trial.reports,
        course: fields(study, trial, |field| {
            field.place != Place::First && field.form != Form::Result
        }),
        why: trial.why.as_deref(),
        origin: &trial.origin,
        breaks: super::summary::broken(study, trial),
        result: fields(study, trial, |field| field.form == Form::Result),
        at_best: at_best.map(|(name, datum)| (&**name, datum)).collect(),
        outside: trial.outside,
        records: &trial.records,
    }
}

/// Returns the values of the fields that `is_in_group` accepts and a row does not have elsewhere.
fn fields<'a>(
    study: &'a Study,
    trial: &'a Trial,
    is_in_group: impl Fn(&Field) -> bool,
) -> Fields<'a> {
    let has_seeds = study.header().replicate.is_some();
    let fields = TRIAL_FIELDS.iter().filter(|field| match field.name {
        "configuration" | "replicate" => has_seeds,
        name => !ELSEWHERE.contains(&name),
    });
    let values = fields
        .filter(|field| is_in_group(field))
        .filter_map(|field| Some((field.key(), field.value_so_far(study, trial)?)));
    Fields(values.collect())
}

/// Objects that are written as a JSON array, with one of them in memory at a time: the objects of
/// 100,000 trials would take more than a gigabyte.
#[derive(Debug)]
pub struct Array<I>(pub I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Array<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// Returns trials as JSON objects with their number and the values of some columns.
#[must_use]
pub fn columns(
    study: &Study,
    trials: &[&Trial],
    columns: &[Formula],
    history: &ReportHistory,
) -> Array<impl Iterator<Item = Map<String, Json>> + Clone> {
    let rows = trials.iter().map(|trial| {
        let cells = TrialCells {
            study,
            trial,
            history,
        };
        let mut row = Map::new();
        row.insert("trial".to_owned(), trial.id.0.into());
        for column in columns.iter().filter(|column| column.text() != "trial") {
            if let Some(value) = column.value(&cells) {
                row.insert(column.text().to_owned(), self::value(&value));
            }
        }
        row
    });
    Array(rows)
}

/// Returns a value in JSON, which has no numbers that are not finite.
fn value(value: &Value) -> Json {
    match value {
        Value::Float(number) => serde_json::json!(Metric(*number)),
        value => serde_json::json!(value),
    }
}

/// Returns a preparation as a JSON object: state, parameters, digests, inputs and trials.
#[must_use]
pub fn preparation(preparation: &Preparation) -> Json {
    let execution = &preparation.execution;
    let output = match preparation.output() {
        Some(LogRecord::Dataset {
            data_dir,
            md5,
            size,
            files,
            ..
        }) => json!({ "path": data_dir, "md5": md5, "size": size, "files": files }),
        _ => Json::Null,
    };
    let mut row = json!({
        "preparation": preparation.id,
        "name": preparation.name,
        "digest": preparation.digest,
        "state": preparation.state_word(),
        "params": execution.params,
        "inputs": preparation.inputs,
        "trials": preparation.trials,
        "attempts": execution.attempts,
        "seconds": execution.seconds,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "exit": execution.exit.as_ref().map(ToString::to_string),
        "output": output,
    });
    if let Some(row) = row.as_object_mut() {
        row.retain(|_, value| !value.is_null());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::{columns, row};
    use crate::formula::{Formula, ReportHistory};
    use serde_json::json;
    use swath_model::demo::Demo;
    use swath_model::space::Value;

    #[test]
    fn a_running_trial_is_a_row_of_its_values_so_far() {
        let mut demo = Demo::new(&["lr"]);
        let trial = demo.start(&[("lr", Value::Float(1.0))]);
        demo.report(trial, &[("val_loss", f64::NAN)]);
        assert_eq!(
            serde_json::to_string(&row(&demo.study, &demo.study.trials()[0])).unwrap(),
            "{\"trial\":1,\"state\":\"running\",\"objectives\":{},\"params\":{\"lr\":1.0},\"metrics\":{\"val_loss\":{\"last\":\"nan\",\
             \"min\":null,\"max\":null,\"count\":1}},\"reports\":1,\"step\":1.0,\"attempts\":1,\"seconds\":0.0,\"cpu_seconds\":0.0,\
             \"peak_mib\":0.0,\"started_at\":\"2026-01-01T00:00:03Z\",\"seed\":7,\"origin\":{\"suggested\":\"random\"},\"feasible\":true,\"outside\":false}"
        );
    }

    #[test]
    fn a_column_that_is_not_finite_is_a_word_and_an_absent_one_has_no_key() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", f64::NEG_INFINITY)]);
        let names = crate::row::vocabulary(&demo.study);
        let formulas = ["metric.val_loss", "trial_id", "exit"]
            .map(|text| Formula::parse(text, &names).unwrap());
        let trial = &demo.study.trials()[0];
        assert_eq!(
            json!(columns(
                &demo.study,
                &[trial],
                &formulas,
                &ReportHistory::default()
            )),
            json!([{ "trial": 1, "metric.val_loss": "-inf", "trial_id": 1 }])
        );
    }
}
