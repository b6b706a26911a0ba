//! The `prov` tracker: provenance in the W3C's PROV model, with one document per trial and one for
//! the study, each as PROV-JSON and as DOT.
//!
//! `trial-<id>.json` describes the trial with every parameter, data set, metric, model, artifact
//! and output. `study.json` describes all trials with their configurations, objectives, data sets
//! and models. The types of yProv4ML are used where they exist: `provml:HyperParameter`,
//! `provml:Metric`, `provml:Model`.

use super::home::{self, Home, replace};
use super::metric_rows::{self, Datum, each_row};
use super::prov_graph::{
    ACTIVITY, AGENT, ASSOCIATED, DERIVED, ENTITY, GENERATED, Graph, INFORMED, MEMBER, USED, double,
    local, typed,
};
use super::yprov::{self, MetricFiles};
use super::{Tracker, TrackerError, prov_graph};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use swath_model::study::field::Cell;
use swath_model::study::{
    Axis, Due, Entry, Event, Kind, LogRecord, Origin, Preparation, Study, Tally, Timestamp, Trial,
    TrialId, TrialState,
};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "prov",
    about: "provenance as W3C PROV-JSON and DOT, for each trial and for the study",
    paper: None,
    options: &[
        home::DIR,
        metric_rows::LOG_FREQ,
        metric_rows::LOG_ON_WORKERS,
        yprov::CSV,
    ],
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let home = Home::take("prov", &mut section, setting, diagnostics);
        let csv = section.take_bool("csv", diagnostics);
        Some(Box::new(Prov {
            home,
            has_csv: csv.is_some_and(|(csv, _)| csv),
            began: None,
            stale: BTreeSet::new(),
            is_outdated: false,
        }))
    },
};

/// The state of the tracker.
struct Prov {
    home: Home,
    /// Whether each metric is a CSV file too.
    has_csv: bool,
    /// The time of the first entry, which is part of all identifiers.
    began: Option<Timestamp>,
    /// Trials that changed since their documents were written.
    stale: BTreeSet<TrialId>,
    /// Whether the study's document is outdated.
    is_outdated: bool,
}

impl Tracker for Prov {
    fn record(&mut self, _study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        self.began.get_or_insert(entry.at);
        self.is_outdated = true;
        match &entry.event {
            Event::Ended { trial, .. } | Event::Judged { trial, .. } => {
                self.stale.insert(*trial);
            }
            // A clone may replace a paused trial, which this event stops.
            Event::Created {
                origin:
                    Origin::Cloned {
                        instead: Some(other),
                        ..
                    },
                ..
            } => {
                self.stale.insert(*other);
            }
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
        let root = self.home.root(study)?;
        while let Some(id) = self.stale.first().copied() {
            let settled = study
                .trial(id)
                // A trial that was requeued and runs again gets its document when this attempt
                // ends.
                .filter(|trial| trial.state != TrialState::Running);
            if let Some(trial) = settled {
                let mut graph = self.begin(study);
                let folder = self.home.trial(study, id)?;
                about_trial(&mut graph, study, trial);
                for preparation in study.preparations_of(id) {
                    about_preparation(&mut graph, study, preparation);
                }
                parameters(&mut graph, trial);
                files(&mut graph, trial);
                let mut files = MetricFiles::default();
                if self.has_csv {
                    graph.prefix("yprov", "https://github.com/HPCI-Lab/yProv4ML");
                    graph.prefix("dcterms", "http://purl.org/dc/terms/");
                    files = MetricFiles::write(&root, id, &folder, &self.home.due)?;
                }
                metrics(&mut graph, trial, &folder, &self.home.due, &files)?;
                save(&graph, &root, &format!("trial-{id}"))?;
            }
            // Remove the trial only after its documents are written: after an error, the next sync
            // repeats it.
            self.stale.remove(&id);
        }
        if self.is_outdated {
            let graph = self.study_graph(study);
            save(&graph, &root, "study")?;
            self.is_outdated = false;
        }
        Ok(())
    }
}

impl Prov {
    /// Returns a document that describes the software, the study, its sweep file and its code.
    fn begin(&self, study: &Study) -> Graph {
        let header = study.header();
        let began = self.began.map_or(0, Timestamp::as_micros);
        let mut graph = Graph::default();
        graph.prefix("swath", "urn:swath:terms:");
        graph.prefix("provml", "prov-ml");
        graph.prefix(
            "run",
            &format!("urn:swath:study:{}:{began}:", local(&header.name)),
        );
        graph.element(
            AGENT,
            "run:swath",
            &[
                (
                    "prov:type",
                    Some(typed("prov:SoftwareAgent", "prov:QUALIFIED_NAME")),
                ),
                ("prov:label", Some(json!("swath"))),
                ("swath:version", text(&header.swath)),
            ],
        );
        graph.element(
            ACTIVITY,
            "run:study",
            &[
                ("prov:startTime", self.began.map(time)),
                ("prov:type", Some(json!("swath:Study"))),
                ("prov:label", Some(json!(header.name))),
                ("swath:pipeline", text(&header.pipeline)),
                ("swath:stage", text(&header.stage)),
                ("swath:seed", Some(typed(header.seed, "xsd:unsignedLong"))),
            ],
        );
        graph.relate(ASSOCIATED, "run:study", "run:swath", &[]);
        let sweep = [
            ("prov:label", Some(json!("sweep.toml"))),
            ("swath:md5", text(&header.sweep)),
        ];
        graph.element(ENTITY, "run:sweep", &sweep);
        graph.relate(
            USED,
            "run:study",
            "run:sweep",
            &[("prov:role", Some(json!("plan")))],
        );
        if let Some(commit) = &header.git_commit {
            let label = ("prov:label", Some(json!(format!("commit {commit}"))));
            graph.element(
                ENTITY,
                "run:code",
                &[label, ("swath:git_commit", Some(json!(commit)))],
            );
            graph.relate(
                USED,
                "run:study",
                "run:code",
                &[("prov:role", Some(json!("code")))],
            );
        }
        graph
    }

    /// Returns the complete document of the study.
    fn study_graph(&self, study: &Study) -> Graph {
        let mut graph = self.begin(study);
        let collection = typed("prov:Collection", "prov:QUALIFIED_NAME");
        let label = ("prov:label", Some(json!("configurations tried")));
        graph.element(
            ENTITY,
            "run:configurations",
            &[("prov:type", Some(collection)), label],
        );
        graph.relate(GENERATED, "run:configurations", "run:study", &[]);
        for preparation in study.preparations() {
            about_preparation(&mut graph, study, preparation);
        }
        for trial in study.trials() {
            about_trial(&mut graph, study, trial);
            let config = config(trial.id);
            let names: Vec<_> = trial
                .params
                .iter()
                .map(|(name, _)| format!("run:{}", local(name)))
                .collect();
            let params = names.iter().zip(&trial.params);
            let params: Vec<_> = params
                .map(|(key, (_, value))| (key.as_str(), Some(param(value))))
                .collect();
            graph.element(ENTITY, &config, &params);
            graph.relate(MEMBER, "run:configurations", &config, &[]);
            files(&mut graph, trial);
            let objectives: BTreeSet<_> = study
                .header()
                .objectives
                .iter()
                .map(|objective| &objective.metric)
                .collect();
            for (name, tally) in trial
                .metrics
                .iter()
                .filter(|(name, _)| objectives.contains(name))
            {
                report(&mut graph, trial, name, tally, &MetricFiles::default());
            }
        }
        if let Some(best) = study.incumbent() {
            graph.relate(DERIVED, "run:best", &config(best.id), &[]);
            let label = json!(format!("best of {}", study.header().name));
            let feasible = study
                .feasibility(best)
                .map(|flag| typed(flag, "xsd:boolean"));
            let attributes = [("prov:label", Some(label)), ("swath:feasible", feasible)];
            graph.element(ENTITY, "run:best", &attributes);
            graph.relate(GENERATED, "run:best", "run:study", &[]);
        }
        graph
    }
}

/// Writes a document as `<name>.json` and `<name>.dot`.
fn save(graph: &Graph, root: &Path, name: &str) -> Result<(), TrackerError> {
    replace(&root.join(format!("{name}.json")), &graph.json())?;
    replace(&root.join(format!("{name}.dot")), graph.dot().as_bytes())
}

/// Returns the identifier of a trial's activity.
fn activity(trial: TrialId) -> String {
    format!("run:trial-{trial}")
}

/// Returns the identifier of a trial's configuration.
fn config(trial: TrialId) -> String {
    format!("run:trial-{trial}/config")
}

/// Adds the trial, its configuration and the origin of the configuration.
fn about_trial(graph: &mut Graph, study: &Study, trial: &Trial) {
    let (activity, config) = (activity(trial.id), config(trial.id));
    let result = study.result(trial);
    let result = result.iter().map(|(name, value)| (&**name, param(value)));
    let fields = study.plain_fields(trial).map(|(name, cell)| match cell {
        Cell::Seed(seed) => (name, typed(seed, "xsd:unsignedLong")),
        cell => (name, param(&cell.into_value())),
    });
    let values: Vec<_> = fields
        .chain(result)
        .map(|(name, value)| (format!("swath:{}", local(name)), value))
        .collect();
    let host = trial.place.as_ref().and_then(|place| text(&place.host));
    let mut attributes = vec![
        ("prov:startTime", trial.started_at.map(time)),
        ("prov:endTime", trial.ended_at.map(time)),
        ("prov:type", Some(json!("swath:Trial"))),
        ("prov:label", Some(json!(format!("trial {}", trial.id)))),
        ("swath:host", host),
    ];
    attributes.extend(
        values
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.clone()))),
    );
    graph.element(ACTIVITY, &activity, &attributes);
    graph.relate(ASSOCIATED, &activity, "run:swath", &[]);
    graph.relate(INFORMED, &activity, "run:study", &[]);
    graph.relate(
        GENERATED,
        &config,
        "run:study",
        &[("prov:role", Some(json!(origin(&trial.origin))))],
    );
    graph.relate(
        USED,
        &activity,
        &config,
        &[("prov:role", Some(json!("configuration")))],
    );
    let parent = match &trial.origin {
        Origin::Cloned { from, .. } | Origin::Replicate(from) | Origin::Rerun(from) => {
            study.trial(*from)
        }
        _ => None,
    };
    if let Some(parent) = parent {
        graph.element(
            ENTITY,
            &self::config(parent.id),
            &[("prov:label", label(parent))],
        );
        graph.relate(DERIVED, &config, &self::config(parent.id), &[]);
    }
    // A clone starts from a checkpoint of its parent; a replicate shares only the configuration.
    if let (Origin::Cloned { .. }, Some(parent)) = (&trial.origin, parent) {
        let from = self::activity(parent.id);
        graph.element(
            ACTIVITY,
            &from,
            &[("prov:label", Some(json!(format!("trial {}", parent.id))))],
        );
        graph.relate(INFORMED, &activity, &from, &[]);
    }
}

/// Returns the label of a trial's configuration.
fn label(trial: &Trial) -> Option<Value> {
    Some(json!(format!("configuration of trial {}", trial.id)))
}

/// Returns the origin of a configuration in words.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Suggested(sampler) => format!("suggested by {sampler}"),
        Origin::Restarted { sampler, why } => {
            format!("suggested by {sampler} after a restart: {why}")
        }
        Origin::Point(index) => format!("point {index}"),
        Origin::Cloned { why, .. } => why.clone(),
        Origin::Replicate(from) => format!("replicate of trial {from}"),
        Origin::Rerun(from) => format!("further seed of trial {from}, asked for by `swath rerun`"),
        Origin::Imported(from) => format!("imported from {from}"),
        Origin::Added | Origin::Sent(_) => "added by hand".to_owned(),
    }
}

/// Adds the configuration as a collection, with every parameter as an entity of its own.
fn parameters(graph: &mut Graph, trial: &Trial) {
    let (activity, config) = (activity(trial.id), config(trial.id));
    let collection = typed("prov:Collection", "prov:QUALIFIED_NAME");
    graph.element(
        ENTITY,
        &config,
        &[
            ("prov:type", Some(collection)),
            ("prov:label", label(trial)),
        ],
    );
    for (name, value) in &trial.params {
        let id = format!("run:trial-{}/param/{}", trial.id, local(name));
        let attributes = [
            ("prov:type", Some(json!("provml:HyperParameter"))),
            ("prov:label", Some(json!(name))),
            ("prov:value", Some(param(value))),
        ];
        graph.element(ENTITY, &id, &attributes);
        graph.fold(&id, &config);
        graph.relate(MEMBER, &config, &id, &[]);
        graph.relate(USED, &activity, &id, &[("prov:role", Some(json!("input")))]);
    }
}

/// Adds a preparation, the data sets that it used, and its output, which derives from them.
fn about_preparation(graph: &mut Graph, study: &Study, preparation: &Preparation) {
    let run = &preparation.execution;
    if run.started_at.is_none() {
        return;
    }
    let activity = format!("run:prepare-{}", preparation.id);
    let host = run.place.as_ref().and_then(|place| text(&place.host));
    let names: Vec<_> = run
        .params
        .iter()
        .map(|(name, value)| (format!("run:{}", local(name)), param(value)))
        .collect();
    let mut attributes = vec![
        ("prov:startTime", run.started_at.map(time)),
        ("prov:endTime", run.ended_at.map(time)),
        ("prov:type", Some(json!("swath:Preparation"))),
        (
            "prov:label",
            Some(json!(format!("preparation {}", preparation.name))),
        ),
        ("swath:host", host),
        ("swath:name", Some(json!(preparation.name))),
        ("swath:digest", Some(json!(preparation.digest))),
        ("swath:state", Some(json!(preparation.state_word()))),
        ("swath:seconds", Some(double(run.seconds))),
    ];
    let params = names.iter();
    attributes.extend(params.map(|(name, value)| (name.as_str(), Some(value.clone()))));
    graph.element(ACTIVITY, &activity, &attributes);
    graph.relate(ASSOCIATED, &activity, "run:swath", &[]);
    graph.relate(INFORMED, &activity, "run:study", &[]);
    let mut sources = Vec::new();
    for record in run.records.iter().filter(|record| !record.is_output()) {
        use_dataset(graph, &activity, record, &mut sources);
    }
    for record in preparation.outputs() {
        let Some((output, _)) = dataset(graph, &record) else {
            continue;
        };
        graph.relate(GENERATED, &output, &activity, &[]);
        for source in &sources {
            graph.relate(DERIVED, &output, source, &[]);
        }
    }
    for input in preparation
        .inputs
        .iter()
        .filter_map(|id| study.preparation(*id))
    {
        graph.relate(
            INFORMED,
            &activity,
            &format!("run:prepare-{}", input.id),
            &[],
        );
    }
}

/// Adds a data set, and returns its identifier and its role; `None` for other records.
fn dataset<'r>(graph: &mut Graph, record: &'r LogRecord) -> Option<(String, &'r str)> {
    let LogRecord::Dataset {
        data_dir,
        role,
        md5,
        size,
        files,
        ..
    } = record
    else {
        return None;
    };
    let id = format!(
        "run:data/{}/{}",
        md5.as_deref().unwrap_or("unknown"),
        local(data_dir)
    );
    graph.element(
        ENTITY,
        &id,
        &[
            ("prov:type", Some(json!("swath:Dataset"))),
            ("prov:label", Some(json!(data_dir))),
            ("swath:path", Some(json!(data_dir))),
            ("swath:md5", md5.as_ref().map(|md5| json!(md5))),
            ("swath:size", Some(count(*size))),
            ("swath:files", Some(count(*files))),
        ],
    );
    Some((id, role))
}

/// Adds a data set that an activity used, unless it is one of `sources` already.
fn use_dataset(graph: &mut Graph, activity: &str, record: &LogRecord, sources: &mut Vec<String>) {
    let Some((id, role)) = dataset(graph, record) else {
        return;
    };
    // A data set that was recorded twice is used once.
    if !sources.contains(&id) {
        graph.relate(USED, activity, &id, &[("prov:role", text(role))]);
        sources.push(id);
    }
}

/// Adds the data sets, models, artifacts and outputs of a trial. A model is derived from the
/// configuration and the data sets recorded for the trial.
fn files(graph: &mut Graph, trial: &Trial) {
    let activity = activity(trial.id);
    let mut sources = vec![config(trial.id)];
    for record in &trial.records {
        use_dataset(graph, &activity, record, &mut sources);
    }
    models(graph, trial, &sources);
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &trial.records {
        match record {
            LogRecord::Artifact {
                path, md5, size, ..
            } => {
                let version = versions.entry(path).or_default();
                *version += 1;
                let id = format!("run:trial-{}/artifact/{}/{version}", trial.id, local(path));
                let attributes = [
                    ("prov:type", Some(json!("swath:Artifact"))),
                    ("prov:label", Some(json!(path))),
                    ("swath:path", Some(json!(path))),
                    ("swath:md5", md5.as_ref().map(|md5| json!(md5))),
                    ("swath:size", Some(count(*size))),
                    ("swath:version", Some(count(*version))),
                ];
                graph.element(ENTITY, &id, &attributes);
                graph.relate(GENERATED, &id, &activity, &[]);
                fold(graph, trial, &id, "artifacts");
            }
            LogRecord::Param { name, value } => {
                let id = format!("run:trial-{}/found/{}", trial.id, local(name));
                let kind = ("prov:type", Some(json!("provml:HyperParameter")));
                let label = ("prov:label", Some(json!(name)));
                graph.element(
                    ENTITY,
                    &id,
                    &[kind, label, ("prov:value", Some(param(value)))],
                );
                graph.relate(
                    GENERATED,
                    &id,
                    &activity,
                    &[("prov:role", Some(json!("output")))],
                );
                fold(graph, trial, &id, "parameters found");
            }
            LogRecord::Output { name, value } => {
                let id = format!("run:trial-{}/output/{}", trial.id, local(name));
                let label = ("prov:label", Some(json!(name)));
                graph.element(ENTITY, &id, &[label, ("prov:value", Some(param(value)))]);
                graph.relate(GENERATED, &id, &activity, &[]);
                fold(graph, trial, &id, "outputs");
            }
            _ => {}
        }
    }
}

/// Lets the drawing show an entity of a trial in a node together with others of the kind `label`.
fn fold(graph: &mut Graph, trial: &Trial, id: &str, label: &str) {
    let node = format!("run:trial-{}/{}", trial.id, local(label));
    graph.fold_into_group(ENTITY, id, &node, label);
}

/// Adds the models of a trial, each version once. The drawing shows the model that counts, and all
/// others in one node.
fn models(graph: &mut Graph, trial: &Trial, sources: &[String]) {
    let activity = activity(trial.id);
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for version in trial.model_versions() {
        let number = numbers.entry(version.path).or_default();
        *number += 1;
        let name = version.path;
        let id = format!("run:trial-{}/model/{}/{number}", trial.id, local(name));
        let facts: Vec<_> = version
            .facts
            .iter()
            .map(|(fact, value)| (format!("swath:{}", local(fact)), param(value)))
            .collect();
        let steps = (version.steps.len() > 1).then(|| json!(json!(version.steps).to_string()));
        let mut attributes = vec![
            ("prov:type", Some(json!("provml:Model"))),
            ("prov:label", Some(json!(name))),
            ("swath:path", Some(json!(name))),
            ("swath:md5", version.md5.map(|md5| json!(md5))),
            ("swath:size", Some(count(version.size))),
            ("swath:version", Some(count(*number))),
            ("swath:step", version.steps.last().copied().map(double)),
            ("swath:steps", steps),
            ("swath:best_of_trial", version.counts.then(|| json!(true))),
        ];
        attributes.extend(
            facts
                .iter()
                .map(|(fact, value)| (&**fact, Some(value.clone()))),
        );
        graph.element(ENTITY, &id, &attributes);
        graph.relate(GENERATED, &id, &activity, &[]);
        for source in sources {
            graph.relate(DERIVED, &id, source, &[]);
        }
        if !version.counts {
            fold(graph, trial, &id, "further models");
        }
    }
}

/// Adds the reported metrics, and for every log an activity with the metrics measured in it.
fn metrics(
    graph: &mut Graph,
    trial: &Trial,
    folder: &Path,
    due: &Due,
    files: &MetricFiles,
) -> Result<(), TrackerError> {
    for (name, tally) in trial.metrics.iter() {
        report(graph, trial, name, tally, files);
    }
    let mut measured: BTreeMap<String, BTreeMap<String, Measured>> = BTreeMap::new();
    let mut places: BTreeMap<String, (Axis, Option<f64>)> = BTreeMap::new();
    each_row(folder, due, |log, row| {
        let (axis, position) = places.entry(log.to_owned()).or_default();
        *position = axis.place(row.number, *position, |key| row.finite(key));
        let step = position.filter(|_| !axis.is_number());
        for (key, datum) in row.values {
            let Datum::Number(number) = datum else {
                continue;
            };
            match measured.get_mut(log).and_then(|keys| keys.get_mut(&*key)) {
                Some(measured) => measured.add(number, step),
                None => {
                    let keys = measured.entry(log.to_owned()).or_default();
                    keys.entry(key.into_owned()).or_default().add(number, step);
                }
            }
        }
        Ok(())
    })?;
    let activity = activity(trial.id);
    let mut workers = BTreeSet::new();
    for log in measured.keys() {
        let context = format!("{activity}/{}", local(log));
        let attributes = [
            ("prov:type", Some(json!("swath:Context"))),
            ("prov:label", Some(json!(log))),
        ];
        graph.element(ACTIVITY, &context, &attributes);
        let worker = log.split_once('/').map(|(worker, _)| worker);
        let Some(worker) = worker else {
            graph.relate(INFORMED, &context, &activity, &[]);
            continue;
        };
        // Logs of workers other than the first are nested: trial, worker, log.
        let id = format!("{activity}/{worker}");
        if workers.insert(worker) {
            let attributes = [
                ("prov:type", Some(json!("swath:Worker"))),
                ("prov:label", Some(json!(worker))),
            ];
            graph.element(ACTIVITY, &id, &attributes);
            graph.relate(INFORMED, &id, &activity, &[]);
        }
        graph.relate(INFORMED, &context, &id, &[]);
    }
    let metrics = measured
        .iter()
        .flat_map(|(log, keys)| keys.iter().map(move |(key, measured)| (log, key, measured)));
    for (log, key, measured) in metrics {
        let context = format!("{activity}/{}", local(log));
        let id = format!(
            "run:trial-{}/metric/{}/{}",
            trial.id,
            local(log),
            local(key)
        );
        let attributes = [
            ("prov:type", Some(json!("provml:Metric"))),
            ("prov:label", Some(json!(format!("{log}/{key}")))),
            ("prov:value", measured.last.map(double)),
            ("swath:context", Some(json!(log))),
            (
                "swath:file",
                Some(json!(format!(
                    "{}/metrics/{}.json",
                    trial.id,
                    log.rsplit('/').next().unwrap_or(log)
                ))),
            ),
            ("swath:min", measured.min.map(double)),
            ("swath:max", measured.max.map(double)),
            ("swath:count", Some(count(measured.count))),
        ];
        let of_yprov = files.attributes(log, key);
        let attributes: Vec<_> = attributes.into_iter().chain(of_yprov).collect();
        graph.element(ENTITY, &id, &attributes);
        graph.relate(GENERATED, &id, &context, &[]);
        let node = format!("{context}/metrics");
        graph.fold_into_group(ENTITY, &id, &node, "metrics");
    }
    Ok(())
}

/// Statistics of one measured metric. Minimum and maximum ignore NaN and the infinities.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// The value of the largest step.
    last: Option<f64>,
    /// The step of this value.
    step: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    count: u64,
}

impl Measured {
    /// Adds a value that was measured at `step`.
    fn add(&mut self, number: f64, step: Option<f64>) {
        if step >= self.step {
            (self.last, self.step) = (Some(number), step);
        }
        self.count += 1;
        if number.is_finite() {
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
    }
}

/// Adds a reported metric as an entity that the trial generated.
fn report(graph: &mut Graph, trial: &Trial, name: &str, tally: &Tally, files: &MetricFiles) {
    let id = format!("run:trial-{}/report/{}", trial.id, local(name));
    let attributes = [
        ("prov:type", Some(json!("provml:Metric"))),
        ("prov:label", Some(json!(name))),
        ("prov:value", Some(double(tally.last.0))),
        ("swath:min", tally.min.map(double)),
        ("swath:max", tally.max.map(double)),
        ("swath:count", Some(count(tally.count))),
    ];
    let of_yprov = files.of_report(name);
    let attributes: Vec<_> = attributes.into_iter().chain(of_yprov).collect();
    graph.element(ENTITY, &id, &attributes);
    graph.relate(GENERATED, &id, &activity(trial.id), &[]);
    fold(graph, trial, &id, "reported metrics");
}

/// Returns a parameter value as a literal; texts and lists are untyped.
fn param(value: &swath_model::space::Value) -> Value {
    use swath_model::space::Value as Param;
    match value {
        Param::Bool(flag) => typed(flag, "xsd:boolean"),
        Param::Int(number) => prov_graph::integer(*number),
        Param::Float(number) => double(*number),
        Param::Text(_) | Param::List(_) => json!(value.to_string()),
    }
}

/// Returns a count as an integer literal, limited to the largest `i64`.
fn count(number: u64) -> Value {
    prov_graph::integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Returns a time as the ISO 8601 text that PROV-JSON uses.
fn time(at: Timestamp) -> Value {
    json!(at.to_string())
}

/// Returns a text as an attribute value, `None` if it is empty.
fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

#[cfg(test)]
mod tests {
    use super::Measured;

    #[test]
    fn the_last_value_that_was_measured_is_that_of_the_largest_step() {
        let mut measured = Measured::default();
        let rows = [
            (None, 9.0, 9.0),
            (Some(3.0), 3.0, 3.0),
            (Some(2.0), 2.0, 3.0),
        ];
        for (step, number, last) in rows {
            measured.add(number, step);
            assert_eq!(measured.last, Some(last));
        }
        assert_eq!((measured.min, measured.count), (Some(2.0), 3));
    }
}
