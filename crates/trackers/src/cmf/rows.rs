//! Maps a study to rows of ML Metadata. Names, addresses and properties are those that cmf's logger
//! for Ray uses.

use super::mlmd::{Artifact, Direction, Execution, Property, Store, TypeKind};
use super::names::Names;
use super::packages::PackageList;
use super::steps::StepFile;
use super::{Options, literal};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::space::Value;
use swath_model::study::field::Cell;
use swath_model::study::{
    LogRecord, ModelVersion, Preparation, Timestamp, Trial, TrialId, TrialState,
};

/// The first id of the executions of preparations. Those of trials are the ids of the trials.
const PREPARATIONS: i64 = 1 << 32;

/// A stage of the pipeline: that of the study, or a preparation.
#[derive(Debug, Clone, Copy)]
struct Stage {
    /// The id of its context.
    context: i64,
    /// The id of the type of its executions.
    execution: i64,
}

/// The ids of the contexts and types that all rows refer to.
struct Ids {
    pipeline: i64,
    stage: i64,
    execution: i64,
    /// The stages of the preparations, by name.
    preparations: BTreeMap<String, Stage>,
    environment: i64,
    dataset: i64,
    metrics: i64,
    step_metrics: i64,
    model: i64,
}

/// The files of a trial that the tracker wrote.
#[derive(Debug, Default)]
pub(super) struct TrialFiles {
    pub(super) steps: Vec<StepFile>,
    /// The list of the installed packages, once it is known.
    pub(super) packages: Option<PackageList>,
}

/// Adds all trials of a study that have started to a store. `is_whole` tells that the study is
/// known to its end, so that nothing else of an earlier write belongs to it.
pub(super) fn fill(
    store: &mut Store<'_>,
    names: &Names<'_>,
    options: &Options,
    (files, is_whole): (&BTreeMap<TrialId, TrialFiles>, bool),
) -> rusqlite::Result<()> {
    let mut filling = Filling {
        ids: add_types(store, names)?,
        store,
        names,
        options,
        shared: BTreeMap::new(),
        attributed: BTreeSet::new(),
        execution: 0,
        executions: BTreeSet::new(),
    };
    // Each comes after those whose outputs it reads, and before the trials.
    for preparation in names.study.preparations() {
        if preparation.execution.started_at.is_some() {
            filling.preparation(preparation)?;
        }
    }
    let best: BTreeSet<TrialId> = names
        .study
        .best(options.top)
        .iter()
        .map(|trial| trial.id)
        .collect();
    let incumbent = names.study.incumbent().map(|trial| trial.id);
    for trial in names
        .study
        .trials()
        .iter()
        .filter(|trial| trial.started_at.is_some())
    {
        let none = TrialFiles::default();
        let files = files.get(&trial.id).unwrap_or(&none);
        filling.execution(trial, best.contains(&trial.id), files.packages.as_ref())?;
        if let Some(packages) = &files.packages {
            filling.environment(trial, packages)?;
        }
        filling.inputs(trial, filling.stage(), filling.execution)?;
        filling.metrics(trial)?;
        for file in &files.steps {
            filling.steps(trial, file)?;
        }
        filling.outputs(trial, incumbent == Some(trial.id))?;
    }
    // A tracker that is told the study from its first entry again writes less at first than an
    // earlier run did.
    if is_whole {
        filling.store.remove_stale(&filling.executions)?;
    }
    Ok(())
}

/// The properties of a row that is being added, in their order in the file.
#[derive(Default)]
struct PropertyList(Vec<(Cow<'static, str>, bool, Property)>);

impl PropertyList {
    /// Returns a list with a single property, of the type of its row.
    fn with(name: &'static str, value: Property) -> Self {
        Self(vec![(name.into(), false, value)])
    }

    /// Adds a property of the type of the row.
    fn add(&mut self, name: &'static str, value: Property) {
        self.0.push((name.into(), false, value));
    }

    /// Adds a custom property.
    fn add_custom(&mut self, name: impl Into<Cow<'static, str>>, value: Property) {
        self.0.push((name.into(), true, value));
    }

    /// Adds values with names of the user as custom properties. A name that the list had before
    /// gets another.
    fn add_values<'v>(&mut self, values: impl Iterator<Item = (&'v str, &'v Value)>) {
        let used: BTreeSet<&str> = self.0.iter().map(|(name, ..)| &**name).collect();
        let added: Vec<_> = values
            .map(|(name, value)| (free_name(name, &used).into(), true, property(value)))
            .collect();
        self.0.extend(added);
    }
}

/// Adds the types and the two contexts, pipeline and stage, and returns their ids.
fn add_types(store: &mut Store<'_>, names: &Names<'_>) -> rusqlite::Result<Ids> {
    let (header, stage) = (names.study.header(), names.stage());
    let at = names.began.as_micros().div_euclid(1000);
    let parent = store.kind("Parent_Context", TypeKind::Context, &[("Pipeline", false)])?;
    let child = store.kind(
        "Pipeline_Stage",
        TypeKind::Context,
        &[("Pipeline_Stage", false)],
    )?;
    let execution_properties = [
        ("Pipeline_id", true),
        ("Git_End_Commit", false),
        ("Pipeline_Type", false),
        ("Context_Type", false),
        ("Execution_type_name", false),
        ("Git_Repo", false),
        ("Git_Start_Commit", false),
        ("Context_ID", true),
        ("Execution_uuid", false),
        ("Execution", false),
    ];
    let execution = store.kind(&stage, TypeKind::Execution, &execution_properties)?;
    let stored = [("Commit", false), ("git_repo", false), ("url", false)];
    let dataset = store.kind("Dataset", TypeKind::Artifact, &stored)?;
    let environment = store.kind("Environment", TypeKind::Artifact, &stored)?;
    let metrics = store.kind("Metrics", TypeKind::Artifact, &[("metrics_name", false)])?;
    let step_metrics = store.kind(
        "Step_Metrics",
        TypeKind::Artifact,
        &[("url", false), ("Commit", false)],
    )?;
    let model = [
        ("model_framework", false),
        ("model_name", false),
        ("url", false),
        ("Commit", false),
        ("model_type", false),
    ];
    let model = store.kind("Model", TypeKind::Artifact, &model)?;
    let named = PropertyList::with("Pipeline", Property::text(&*header.pipeline));
    let pipeline = store.context(parent, &header.pipeline, at, &named.0)?;
    let named = PropertyList::with("Pipeline_Stage", Property::text(&*stage));
    let stage_id = store.context(child, &stage, at, &named.0)?;
    store.parent(stage_id, pipeline)?;
    let own = Stage {
        context: stage_id,
        execution,
    };
    let mut preparations = BTreeMap::from([(header.stage.clone(), own)]);
    for preparation in names.study.preparations() {
        if preparations.contains_key(&*preparation.name) {
            continue;
        }
        let stage = names.qualified(&preparation.name);
        let execution = store.kind(&stage, TypeKind::Execution, &execution_properties)?;
        let named = PropertyList::with("Pipeline_Stage", Property::text(&*stage));
        let context = store.context(child, &stage, at, &named.0)?;
        store.parent(context, pipeline)?;
        let stage = Stage { context, execution };
        preparations.insert(preparation.name.to_string(), stage);
    }
    Ok(Ids {
        pipeline,
        stage: stage_id,
        execution,
        preparations,
        environment,
        dataset,
        metrics,
        step_metrics,
        model,
    })
}

/// A store while trials are added to it.
struct Filling<'a, 's, 'c> {
    ids: Ids,
    store: &'a mut Store<'c>,
    names: &'a Names<'s>,
    options: &'a Options,
    /// The ids of the data sets added so far, by digest and path.
    shared: BTreeMap<(String, String), i64>,
    /// The data sets that were added to a context, as pairs of context and artifact.
    attributed: BTreeSet<(i64, i64)>,
    /// The id of the execution of the trial that is being added.
    execution: i64,
    /// The ids of the executions added so far.
    executions: BTreeSet<i64>,
}

impl Filling<'_, '_, '_> {
    /// Returns the stage of the study, that of its trials.
    fn stage(&self) -> Stage {
        Stage {
            context: self.ids.stage,
            execution: self.ids.execution,
        }
    }

    /// Adds the execution of a preparation with its inputs and its output.
    fn preparation(&mut self, preparation: &Preparation) -> rusqlite::Result<()> {
        let Some(stage) = self.ids.preparations.get(&*preparation.name).copied() else {
            return Ok(());
        };
        let (header, run) = (self.names.study.header(), &preparation.execution);
        let qualified = self.names.qualified(&preparation.name);
        let id = PREPARATIONS + i64::from(preparation.id.0);
        let name = format!(
            "Prepare_{}_{}_{}",
            header.name, preparation.name, preparation.digest
        );
        let uuid = self.names.uuid(&["prepare", &preparation.digest]);
        let mut properties = self.context_properties(stage, &qualified, uuid.clone());
        let configuration = Property::Text(literal::dictionary(&run.params));
        properties.add_custom("Configuration", configuration);
        properties.add_custom("Study", Property::text(&header.name));
        properties.add_custom("Digest", Property::text(&preparation.digest));
        properties.add_custom("State", Property::text(preparation.state_word()));
        properties.add_custom("Seconds", Property::number(run.seconds));
        properties.add_values(run.params.iter().map(|(name, value)| (&**name, value)));
        let execution = Execution {
            id,
            kind: stage.execution,
            name: &name,
            uuid: &uuid,
            state: state(&run.state),
            began: millis(run.started_at),
            changed: ended(run),
        };
        let id = self
            .store
            .execution(stage.context, &execution, &properties.0)?;
        self.executions.insert(id);
        self.inputs(run, stage, id)?;
        for output in preparation.outputs() {
            if let Some((artifact, _)) = self.dataset(&output, stage, ended(run))? {
                self.store
                    .event(artifact, id, Direction::Output, ended(run), None)?;
            }
        }
        Ok(())
    }

    /// Returns the properties that every execution of a stage has.
    fn context_properties(&self, stage: Stage, qualified: &str, uuid: String) -> PropertyList {
        let header = self.names.study.header();
        let commit = header.git_commit.as_deref().unwrap_or_default();
        let commit = commit.trim_end_matches("-dirty");
        let mut properties = PropertyList::default();
        properties.add("Pipeline_id", Property::Int(self.ids.pipeline));
        properties.add("Git_End_Commit", Property::text(""));
        properties.add("Pipeline_Type", Property::text(&header.pipeline));
        properties.add("Context_Type", Property::text(qualified));
        properties.add("Execution_type_name", Property::text(qualified));
        properties.add("Git_Repo", Property::text(""));
        properties.add("Git_Start_Commit", Property::text(commit));
        properties.add("Context_ID", Property::Int(stage.context));
        properties.add("Execution_uuid", Property::Text(uuid));
        properties.add("Execution", Property::text("['swath', 'run']"));
        properties
    }

    /// Adds the execution of a trial. `is_best` marks it as one of the best.
    fn execution(
        &mut self,
        trial: &Trial,
        is_best: bool,
        packages: Option<&PackageList>,
    ) -> rusqlite::Result<()> {
        let study = self.names.study;
        let uuid = self.names.execution_uuid(trial.id);
        let mut properties =
            self.context_properties(self.stage(), &self.names.stage(), uuid.clone());
        if let Some(packages) = packages {
            properties.add_custom("Python_Env", Property::text(&packages.path));
        }
        let configuration = Property::Text(literal::dictionary(&trial.params));
        properties.add_custom("Configuration", configuration);
        properties.add_custom("Study", Property::text(&study.header().name));
        for (name, cell) in study.plain_fields(trial) {
            properties.add_custom(title(name), cell_property(cell));
        }
        if is_best {
            properties.add_custom("in_top_n", Property::Int(1));
        }
        for (name, value) in study.result(trial) {
            properties.add_custom(name, property(&value));
        }
        let determined = trial.records.iter().filter_map(|record| match record {
            LogRecord::Param { name, value } if trial.params.get(name).is_none() => {
                Some((&**name, value))
            }
            _ => None,
        });
        // Of several values of one parameter, the last counts.
        let determined: BTreeMap<&str, &Value> = determined.collect();
        let params = trial.params.iter().map(|(name, value)| (&**name, value));
        properties.add_values(params.chain(determined));
        let execution = Execution {
            id: trial.id.0.into(),
            kind: self.ids.execution,
            name: &self.names.execution(trial.id),
            uuid: &uuid,
            state: state(&trial.state),
            began: millis(trial.started_at),
            changed: ended(trial),
        };
        self.execution = self
            .store
            .execution(self.ids.stage, &execution, &properties.0)?;
        self.executions.insert(self.execution);
        Ok(())
    }

    /// Adds the list of the installed packages as an input of a trial, as cmf does.
    fn environment(&mut self, trial: &Trial, packages: &PackageList) -> rusqlite::Result<()> {
        let at = millis(trial.started_at);
        let name = format!("{}:{}", packages.path, packages.md5);
        let key = (packages.md5.clone(), packages.path.clone());
        let (id, earlier) = if let Some(id) = self.shared.get(&key) {
            (*id, Some(name.as_str()))
        } else {
            let mut properties = self.stored_properties(&packages.md5);
            properties.add("git_repo", Property::text(""));
            let artifact = Artifact {
                kind: self.ids.environment,
                uri: &packages.md5,
                name: &name,
                at,
            };
            let id = self
                .store
                .artifact(self.ids.stage, &artifact, &properties.0)?;
            self.shared.insert(key, id);
            (id, None)
        };
        self.store
            .event(id, self.execution, Direction::Input, at, earlier)
    }

    /// Adds the data sets that an execution of a trial or of a preparation read.
    fn inputs(&mut self, run: &Trial, stage: Stage, execution: i64) -> rusqlite::Result<()> {
        let at = millis(run.started_at);
        let mut used = BTreeSet::new();
        for record in run.records.iter().filter(|record| !record.is_output()) {
            let Some((id, earlier)) = self.dataset(record, stage, at)? else {
                continue;
            };
            // An execution that records a data set twice still has a single input event.
            if used.insert(id) {
                let path = earlier.as_deref();
                self.store
                    .event(id, execution, Direction::Input, at, path)?;
            }
        }
        Ok(())
    }

    /// Adds a data set, which several executions may share as a single artifact. Returns its id,
    /// and its name if it was added before; `None` for other records and data sets without digest.
    fn dataset(
        &mut self,
        record: &LogRecord,
        stage: Stage,
        at: i64,
    ) -> rusqlite::Result<Option<(i64, Option<String>)>> {
        let LogRecord::Dataset {
            data_dir,
            role,
            md5: Some(md5),
            size,
            files,
            ..
        } = record
        else {
            return Ok(None);
        };
        let name = format!("{data_dir}:{md5}");
        let key = (md5.clone(), data_dir.clone());
        if let Some(id) = self.shared.get(&key).copied() {
            if self.attributed.insert((stage.context, id)) {
                self.store.attribute(stage.context, id)?;
            }
            return Ok(Some((id, Some(name))));
        }
        if let Some((id, name)) = self.store.artifact_with_bytes(md5)? {
            self.attributed.insert((stage.context, id));
            self.store.attribute(stage.context, id)?;
            self.shared.insert(key, id);
            return Ok(Some((id, Some(name))));
        }
        let mut properties = self.stored_properties(md5);
        properties.add("git_repo", Property::text(""));
        properties.add_custom("Size", count(*size));
        properties.add_custom("Files", count(*files));
        if !role.is_empty() {
            properties.add_custom("Role", Property::text(role));
        }
        let artifact = Artifact {
            kind: self.ids.dataset,
            uri: md5,
            name: &name,
            at,
        };
        let id = self
            .store
            .artifact(stage.context, &artifact, &properties.0)?;
        self.attributed.insert((stage.context, id));
        self.shared.insert(key, id);
        Ok(Some((id, None)))
    }

    /// Adds the trial's values of the objectives, and a result with the last values of all metrics,
    /// texts and outputs. A trial that failed has a result even if it reported nothing.
    fn metrics(&mut self, trial: &Trial) -> rusqlite::Result<()> {
        let execution = self.names.execution(trial.id);
        for objective in &self.names.study.header().objectives {
            let Some(value) = trial.objective(objective) else {
                continue;
            };
            let key = format!("Best_{}", objective.metric);
            let name = format!("{key}_{execution}");
            self.metric(trial, &name, vec![(key, Property::number(value))])?;
        }
        let mut last_values: Vec<(String, Property)> = Vec::new();
        let used = BTreeSet::from(["Result", "execution_id"]);
        for (name, tally) in trial.metrics.iter() {
            last_values.push((free_name(name, &used), Property::number(tally.last.0)));
        }
        for (name, text) in trial
            .texts
            .iter()
            .filter(|(name, _)| !trial.metrics.contains_key(name))
        {
            last_values.push((free_name(name, &used), Property::text(text)));
        }
        for record in &trial.records {
            let LogRecord::Output { name, value } = record else {
                continue;
            };
            let name = free_name(name, &used);
            match last_values.iter_mut().find(|(other, _)| *other == name) {
                Some((_, last_value)) => *last_value = property(value),
                None => last_values.push((name, property(value))),
            }
        }
        let has_failed = trial.state.is_without_result();
        if last_values.is_empty() && !has_failed {
            return Ok(());
        }
        let exit = trial
            .exit
            .as_ref()
            .map_or_else(|| trial.state.word().to_owned(), ToString::to_string);
        last_values.insert(0, ("Result".to_owned(), Property::Text(exit)));
        self.metric(trial, &format!("{execution}_Result"), last_values)
    }

    /// Adds a `Metrics` artifact of a trial with these custom properties.
    fn metric(
        &mut self,
        trial: &Trial,
        name: &str,
        custom: Vec<(String, Property)>,
    ) -> rusqlite::Result<()> {
        let uuid = self.names.uuid(&[&trial.id.to_string(), name]);
        let name = format!("{name}:{uuid}:{}", self.execution);
        let mut properties = PropertyList::with("metrics_name", Property::text(&*name));
        properties.add_custom("execution_id", Property::Int(self.execution));
        for (name, value) in custom {
            properties.add_custom(name, value);
        }
        self.output(trial, self.ids.metrics, (&uuid, &name), &properties)
    }

    /// Adds an artifact, with its address and name, that a trial wrote.
    fn output(
        &mut self,
        trial: &Trial,
        kind: i64,
        (uri, name): (&str, &str),
        properties: &PropertyList,
    ) -> rusqlite::Result<()> {
        let at = ended(trial);
        let artifact = Artifact {
            kind,
            uri,
            name,
            at,
        };
        let id = self
            .store
            .artifact(self.ids.stage, &artifact, &properties.0)?;
        self.store
            .event(id, self.execution, Direction::Output, at, None)
    }

    /// Adds a file of step metrics as an artifact of a trial.
    fn steps(&mut self, trial: &Trial, file: &StepFile) -> rusqlite::Result<()> {
        let uuid = self.names.uuid(&[&trial.id.to_string(), &file.path]);
        let name = format!("{}:{}:{}:{uuid}", file.path, file.md5, self.execution);
        let properties = self.stored_properties(&file.md5);
        let kind = self.ids.step_metrics;
        self.output(trial, kind, (&file.md5, &name), &properties)
    }

    /// Adds the models of a trial, each version once, and its stored artifacts.
    fn outputs(&mut self, trial: &Trial, is_incumbent: bool) -> rusqlite::Result<()> {
        let mut files = BTreeSet::new();
        for record in &trial.records {
            if let LogRecord::Artifact {
                path,
                md5: Some(md5),
                size,
                ..
            } = record
                && files.insert((path, md5))
            {
                self.stored_artifact(trial, path, md5, *size)?;
            }
        }
        for version in trial.model_versions() {
            self.model(trial, &version, is_incumbent)?;
        }
        Ok(())
    }

    /// Adds a stored artifact of a trial. Another stage may have read it as a data set before.
    fn stored_artifact(
        &mut self,
        trial: &Trial,
        path: &str,
        md5: &str,
        size: u64,
    ) -> rusqlite::Result<()> {
        let id = if let Some((id, _)) = self.store.artifact_with_bytes(md5)? {
            self.store.attribute(self.ids.stage, id)?;
            id
        } else {
            let name = format!("{}/{path}:{md5}:{}", trial.id, self.execution);
            let mut properties = self.stored_properties(md5);
            properties.add("git_repo", Property::text(""));
            properties.add_custom("Size", count(size));
            let artifact = Artifact {
                kind: self.ids.dataset,
                uri: md5,
                name: &name,
                at: ended(trial),
            };
            self.store
                .artifact(self.ids.stage, &artifact, &properties.0)?
        };
        self.store
            .event(id, self.execution, Direction::Output, ended(trial), None)
    }

    /// Adds a version of a model. One without a digest has no address, and is left out.
    fn model(
        &mut self,
        trial: &Trial,
        version: &ModelVersion<'_>,
        is_incumbent: bool,
    ) -> rusqlite::Result<()> {
        let Some(md5) = version.md5 else {
            return Ok(());
        };
        let mut properties = self.stored_properties(md5);
        let name = self.names.execution(trial.id);
        let name = name.strip_prefix("Trial_").unwrap_or(&name);
        for (fact, property, preset) in [
            ("framework", "model_framework", "Default"),
            ("type", "model_type", "Default"),
            ("name", "model_name", &*format!("{name}_model")),
        ] {
            let value = version.fact(fact).or_else(|| version.fact(property));
            let value = value.unwrap_or_else(|| preset.to_owned());
            properties.add(property, Property::Text(value));
        }
        properties.add_custom("Size", count(version.size));
        if let Some(last) = version.steps.last() {
            properties.add_custom("Step", Property::number(*last));
        }
        if version.steps.len() > 1 {
            let steps = serde_json::json!(version.steps).to_string();
            properties.add_custom("Steps", Property::Text(steps));
        }
        if version.counts {
            properties.add_custom("best_of_trial", Property::Int(1));
        }
        if version.counts && is_incumbent {
            properties.add_custom("best_model", Property::Int(1));
            if let Some(flag) = self.names.study.feasibility(trial) {
                properties.add_custom("feasible", Property::Int(flag.into()));
            }
        }
        properties.add_values(version.facts.iter().map(|&(name, value)| (&**name, value)));
        let name = format!("{}:{md5}:{}", version.path, self.execution);
        self.output(trial, self.ids.model, (md5, &name), &properties)
    }

    /// Returns the properties of an artifact with an MD5: the digest itself, and its address in the
    /// DVC remote.
    fn stored_properties(&self, md5: &str) -> PropertyList {
        let (folder, file) = md5.split_at_checked(2).unwrap_or((md5, ""));
        let remote = self
            .options
            .remote
            .as_deref()
            .map(|remote| format!("{}/", remote.trim_end_matches('/')));
        let pipeline = &self.names.study.header().pipeline;
        let url = format!(
            "{pipeline}:{}files/md5/{folder}/{file}",
            remote.unwrap_or_default()
        );
        let mut properties = PropertyList::with("url", Property::Text(url));
        properties.add("Commit", Property::text(md5));
        properties
    }
}

/// Returns the name of a field in the spelling of cmf's properties, such as `CPU_Seconds`.
fn title(name: &str) -> String {
    let words = name.split('_').map(|word| match word {
        "cpu" => "CPU".to_owned(),
        "mib" => "MiB".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    });
    words.collect::<Vec<_>>().join("_")
}

/// Returns the value of a field as a property. A seed may lie beyond the integers of ML Metadata,
/// so it becomes text.
fn cell_property(cell: Cell<'_>) -> Property {
    match cell {
        Cell::Seed(seed) => Property::Text(seed.to_string()),
        cell => property(&cell.into_value()),
    }
}

/// Returns a count as a property.
fn count(number: u64) -> Property {
    Property::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Returns a parameter value as a property; lists become text.
fn property(value: &Value) -> Property {
    match value {
        Value::Bool(flag) => Property::Int((*flag).into()),
        Value::Int(number) => Property::Int(*number),
        Value::Float(number) => Property::number(*number),
        Value::Text(_) | Value::List(_) => Property::Text(value.to_string()),
    }
}

/// Returns `name`, with `.1` appended if the tracker uses the name itself.
fn free_name(name: &str, used: &BTreeSet<&str>) -> String {
    if used.contains(name) {
        format!("{name}.1")
    } else {
        name.to_owned()
    }
}

/// Returns the number of a trial's state in ML Metadata: 1 new, 2 running, 3 complete, 4 failed, 6
/// cancelled.
fn state(state: &TrialState) -> i64 {
    match state {
        TrialState::Waiting | TrialState::Paused => 1,
        TrialState::Running => 2,
        TrialState::Complete => 3,
        TrialState::Failed | TrialState::Invalid => 4,
        TrialState::Stopped => 6,
    }
}

/// Returns a time in milliseconds since 1970, 0 if absent.
fn millis(at: Option<Timestamp>) -> i64 {
    at.map_or(0, |at| at.as_micros().div_euclid(1000))
}

/// Returns the end of a trial in milliseconds since 1970, or its start if it has not ended.
fn ended(trial: &Trial) -> i64 {
    millis(trial.ended_at.or(trial.started_at))
}
