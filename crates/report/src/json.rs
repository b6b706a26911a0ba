//! A trial as a JSON object: the rows of `--json` and `export --json`.
//!
//! An absent value has no key; it is never `null`. A number that is not finite is written as
//! `"nan"`, `"inf"` or `"-inf"`.

use crate::space::{Name, Params};
use crate::study::{Datum, LogRecord, Origin, Study, Tally, Timestamp, Trial};
use serde::Serialize;
use std::collections::BTreeMap;

/// All recorded values of one trial. The fields are the keys of the JSON object.
#[derive(Debug, Clone, Serialize)]
pub struct Row<'a> {
    trial: u32,
    state: &'static str,
    objectives: BTreeMap<&'a str, f64>,
    params: &'a Params,
    metrics: &'a BTreeMap<Name, Tally>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    texts: &'a BTreeMap<Name, String>,
    reports: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
    attempts: u32,
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<String>,
    /// The last decision of the scheduler in words, if it paused or stopped the trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    seed: u64,
    origin: &'a Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<u32>,
    /// The violated outcome constraints in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feasible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_step: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    at_best: BTreeMap<&'a str, &'a Datum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_md5: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_step: Option<f64>,
    /// Whether the trial does not count: it no longer fits the space, or it is in the trash.
    outside: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    records: &'a [LogRecord],
}

/// Returns a trial as a JSON row.
#[must_use]
pub fn row<'a>(study: &'a Study, trial: &'a Trial) -> Row<'a> {
    let objectives = study.header().objectives.iter();
    let model = trial.model_that_counts();
    let counted = trial.counted.as_ref();
    let at_best = counted.into_iter().flat_map(|counted| &counted.values);
    let measured =
        objectives.filter_map(|objective| Some((&*objective.metric, trial.objective(objective)?)));
    Row {
        trial: trial.id.0,
        state: trial.state.word(),
        objectives: measured.collect(),
        params: &trial.params,
        metrics: &trial.metrics,
        texts: &trial.texts,
        reports: trial.reports,
        step: trial.step,
        attempts: trial.attempts,
        seconds: trial.seconds,
        cpu_seconds: trial.usage.cpu_seconds,
        peak_mib: trial.usage.peak_mib,
        started_at: trial.started_at,
        ended_at: trial.ended_at,
        exit: trial.exit.as_ref().map(ToString::to_string),
        why: trial.why.as_deref(),
        seed: trial.seed,
        origin: &trial.origin,
        configuration: study.header().replicate.map(|_| study.head(trial.id).0),
        breaks: super::summary::broken(study, trial),
        feasible: trial.feasible(&study.header().limits),
        best_step: counted.and_then(|counted| counted.step),
        at_best: at_best.map(|(name, datum)| (&**name, datum)).collect(),
        model_path: model.map(|model| model.path),
        model_md5: model.and_then(|model| model.md5),
        model_step: model.and_then(|model| model.step),
        outside: trial.outside,
        records: &trial.records,
    }
}

#[cfg(test)]
mod tests {
    use super::row;
    use crate::space::Value;
    use swath_model::demo::Demo;

    #[test]
    fn a_trial_that_runs_says_what_is_known_of_it() {
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
}
