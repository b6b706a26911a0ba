//! The executors of a sweep: its command, wherever the sweep file wants it to run, or a function in
//! a pool of threads on this machine.

use super::resources::Shares;
use crate::sweep::{ConfigFile, Configs, Fill, Sweep, Template, TrialTexts};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use swath_engine::executor::{
    ExecutorError, Facts, Invocation, Invoke, Launch, Pool, Preparing, Program, ProgramSettings,
    ProgramSpec, Sources, StudyContext, Text, Trainable, Warm, Work, WorkFiles,
};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::variables;
use swath_log::{DigestCache, ModelStore};
use swath_model::space::{Name, Space};
use swath_model::study::{Trial, TrialId};

/// Returns the description of the sweep's command that an executor needs to run it: from the folder
/// in which swath was called, and the one in which trials run.
pub(super) fn work(
    sweep: &Sweep,
    dir: &StudyDir,
    (called, workdir): (PathBuf, PathBuf),
    work_files: Option<WorkFiles>,
    shares: &Shares,
    stands_for: Option<TrialId>,
    guard: Option<Command>,
) -> Work {
    let study = StudyContext {
        stands_for,
        slots: shares.slots,
        work_files: work_files.map(Arc::new),
        ..context(sweep, workdir.clone())
    };
    let invoke = invoke(sweep, study.clone(), &workdir);
    Work {
        program: settings(sweep, workdir, shares, invoke, guard),
        study,
        dir: dir.root().to_owned(),
        called,
        slots: shares.slots,
        share: sweep.resources,
    }
}

/// Returns the settings of programs: of trials, or of preparations.
fn settings(
    sweep: &Sweep,
    workdir: PathBuf,
    shares: &Shares,
    invoke: Invoke,
    guard: Option<Command>,
) -> ProgramSettings {
    ProgramSettings {
        invoke,
        spec: ProgramSpec {
            env: sweep.run.env.clone(),
            workdir,
            trial_time: sweep.limits.trial_time,
            grace: sweep.run.grace,
            stop: sweep.run.stop,
            system: sweep.run.system,
            log: sweep.limits.log,
            capture: sweep.capture.clone(),
            source_tables: sweep.source_tables(),
            checkpoint: sweep.checkpoint,
            invalid: sweep.run.invalid.clone(),
            warm: sweep.run.warm,
        },
        // The guard is the `swath` program itself, whose folder holds the tools.
        tools: guard
            .as_ref()
            .and_then(|guard| Some(Path::new(guard.get_program()).parent()?.to_owned())),
        guard,
        allotment: shares.allotment.clone(),
        sources: Sources::default(),
    }
}

/// Returns the executor of the sweep's preparations, on this machine; `None` if there are none.
pub(super) fn preparer(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: PathBuf,
    shares: &Shares,
    guard: Option<Command>,
) -> Result<Option<Pool>, ExecutorError> {
    if sweep.preparations.is_empty() {
        return Ok(None);
    }
    let study = StudyContext {
        digests: Some(Arc::new(DigestCache::open(&dir.digests()))),
        // Each preparation has data sets of its own, and none has an objective.
        data_dir: Vec::new(),
        deciding: Vec::new(),
        resource: None,
        ..context(sweep, workdir.clone())
    };
    let invoke = invoke_preparations(sweep, &study, &workdir);
    let mut settings = settings(sweep, workdir, shares, invoke, guard);
    // Each runs once, so an import saved would be an import made elsewhere.
    settings.spec.warm = Warm::Off;
    // The driver adds further slots when it needs them.
    let preparing = Preparing(Program::new(settings)?);
    Pool::new(Arc::new(preparing), 1, study).map(Some)
}

/// Returns the function that renders what a preparation starts.
fn invoke_preparations(sweep: &Sweep, study: &StudyContext, workdir: &Path) -> Invoke {
    let templates: BTreeMap<Name, Templates> = sweep
        .preparations
        .iter()
        .map(|preparation| {
            let study = StudyContext {
                data_dir: preparation.plan.data_dir.clone(),
                ..study.clone()
            };
            let mut templates = Templates::of(sweep, study, workdir);
            templates.command = preparation.command.clone();
            // It has no copy of a configuration file, and no data set of a single trial.
            (templates.configs, templates.of_trial.data_dir) = (None, None);
            templates.needs_port = preparation.command.uses(PORT);
            (preparation.plan.name.clone(), templates)
        })
        .collect();
    Box::new(move |launch| {
        let name = launch
            .preparation
            .as_ref()
            .map(|preparation| &preparation.name);
        let Some(templates) = name.and_then(|name| templates.get(name)) else {
            return Invocation::default();
        };
        let mut invocation = templates.invocation(launch);
        let data_dir = &templates.study.data_dir;
        invocation.data_dir.get_or_insert_with(|| data_dir.clone());
        invocation
    })
}

/// Returns a pool of threads that runs any trainable.
pub(super) fn functions(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: PathBuf,
    slots: usize,
    trainable: Arc<dyn Trainable>,
) -> Result<Pool, ExecutorError> {
    let context = StudyContext {
        digests: Some(Arc::new(DigestCache::open(&dir.digests()))),
        ..context(sweep, workdir)
    };
    Pool::new(trainable, slots, context)
}

/// Returns the facts about the study that its trials are given.
pub(super) fn context(sweep: &Sweep, workdir: PathBuf) -> StudyContext {
    StudyContext {
        name: sweep.name.clone(),
        pipeline: sweep.pipeline.clone(),
        stage: sweep.stage.clone(),
        workdir,
        work_files: None,
        data_dir: sweep.run.data_dir.clone(),
        models: Arc::new(ModelStore::new(sweep.run.models)),
        digests: None,
        deciding: super::header(sweep, None, 0).deciding_metrics(),
        resource: sweep.resource.clone(),
        secrets: variables::secrets(&sweep.run.env, &sweep.run.secret_env),
        slots: 1,
        stands_for: None,
    }
}

/// The templates of a sweep, and what their values are computed from.
struct Templates {
    command: Template,
    of_trial: TrialTexts,
    space: Arc<Space>,
    study: StudyContext,
    /// Working directory of the study: where swath was called, unless the sweep file names another.
    workdir: PathBuf,
    /// Folder to which the paths of data sets are relative, if it is not the working directory.
    data_home: Option<PathBuf>,
    config_files: Vec<ConfigFile>,
    configs: Option<Arc<Configs>>,
    needs_port: bool,
}

impl Templates {
    fn of(sweep: &Sweep, study: StudyContext, workdir: &Path) -> Self {
        let texts = &sweep.run.of_trial;
        Self {
            command: sweep.run.command.clone(),
            of_trial: texts.clone(),
            space: Arc::clone(&sweep.space),
            study,
            workdir: absolute(workdir),
            data_home: sweep.run.data_home.clone(),
            config_files: sweep.run.configs.clone(),
            configs: sweep.configs.clone(),
            needs_port: sweep.run.command.uses(PORT) || texts.iter().any(|text| text.uses(PORT)),
        }
    }

    /// Returns the paths of a trial's configuration files, by their keys. `dir` is its folder.
    fn config_paths(&self, dir: &Path) -> Vec<(String, PathBuf)> {
        let copies = self.config_files.iter();
        copies
            .map(|file| (file.key.clone(), dir.join(file.copy())))
            .collect()
    }

    /// Returns what an attempt starts.
    fn invocation(&self, launch: &Launch) -> Invocation<Text> {
        let dir = absolute(&launch.dir);
        let configs = self.config_paths(&dir);
        let facts = Facts {
            study: &self.study,
            launch,
            dir: &dir,
            data_dir: &self.study.data_dir,
            port: None,
        };
        let fill = Fill {
            facts,
            space: &self.space,
            configs: &configs,
        };
        let data_dir = self.data_dir(&fill);
        let fill = Fill {
            facts: Facts {
                data_dir: data_dir.as_deref().unwrap_or(facts.data_dir),
                ..facts
            },
            ..fill
        };
        Invocation {
            argv: self.command.render(&fill),
            recorded: self.command.render_recorded(&fill),
            env: self
                .of_trial
                .env
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), text.render(&fill)?)))
                .collect(),
            workdir: self.workdir(&fill),
            data_dir,
            files: self
                .configs
                .as_ref()
                .map_or_else(Vec::new, |configs| configs.copies(&launch.params)),
            needs_port: self.needs_port,
        }
    }

    /// Returns the data sets of a trial; `None` if they are those of the study.
    fn data_dir(&self, fill: &Fill<'_>) -> Option<Vec<String>> {
        // Where each trial has a folder of its own, a relative path would lead into it.
        let has_files = self.study.work_files.is_some();
        let home = self
            .data_home
            .as_ref()
            .or(self.of_trial.workdir.as_ref().map(|_| &self.workdir))
            .or(has_files.then_some(&self.study.workdir));
        let paths: Vec<String> = match &self.of_trial.data_dir {
            Some(texts) => texts
                .iter()
                .filter_map(|text| Some(text.render(fill)?.resolve(&fill.facts)))
                .collect(),
            None => {
                home?;
                fill.facts.data_dir.to_vec()
            }
        };
        Some(match home {
            Some(home) => paths
                .into_iter()
                .map(|path| match self.stands_in_workdir(&path) {
                    true => path,
                    false => home.join(path).display().to_string(),
                })
                .collect(),
            None => paths,
        })
    }

    /// Returns whether a data set is at its relative path in the private workdirs of trials.
    fn stands_in_workdir(&self, path: &str) -> bool {
        let files = self.study.work_files.as_ref();
        self.data_home.is_none() && files.is_some_and(|files| files.holds(Path::new(path)))
    }

    /// Returns the absolute working directory of a trial; `None` if it is that of the study.
    fn workdir(&self, fill: &Fill<'_>) -> Option<Text> {
        let own = self.of_trial.workdir.as_ref()?.render(fill)?;
        if own.is_absolute() {
            return Some(own);
        }
        let mut workdir = Text::from(format!("{}/", self.workdir.display()));
        workdir.append(own);
        Some(workdir)
    }
}

const PORT: &str = "port";

/// Returns the function that renders what an attempt starts. `workdir` is the working directory of
/// the study.
pub(super) fn invoke(sweep: &Sweep, study: StudyContext, workdir: &Path) -> Invoke {
    let templates = Templates::of(sweep, study, workdir);
    Box::new(move |launch| templates.invocation(launch))
}

/// Returns the command of a launch as it would be recorded, for people. What is known only where
/// the attempt starts is shown as its placeholder.
#[must_use]
pub fn example_command(sweep: &Sweep, launch: &Launch, called: &Path) -> Vec<String> {
    let workdir = called.join(sweep.run.workdir.clone().unwrap_or_default());
    let study = context(sweep, workdir.clone());
    let invocation = Templates::of(sweep, study, &workdir).invocation(launch);
    invocation.recorded.iter().map(Text::to_string).collect()
}

/// Number of configurations for which the folders of trials are looked up.
const SAMPLES: u32 = 64;

/// Returns the folders in which trials run, if they depend on parameters and exist already.
pub(super) fn existing_workdirs(sweep: &Sweep, workdir: &Path) -> BTreeSet<PathBuf> {
    if sweep.run.of_trial.workdir.is_none() {
        return BTreeSet::new();
    }
    let templates = Templates::of(sweep, context(sweep, workdir.to_owned()), workdir);
    let samples = (0..SAMPLES).map(|sample| {
        let coordinate = (f64::from(sample) + 0.5) / f64::from(SAMPLES);
        let params = sweep.space.decode(&vec![coordinate; sweep.space.dims()]);
        crate::sweep::launch(params, PathBuf::new())
    });
    let folders = samples.filter_map(|launch| templates.invocation(&launch).workdir);
    let folders = folders.map(|folder| PathBuf::from(folder.to_string()));
    folders.filter(|folder| folder.is_dir()).collect()
}

/// Returns the arguments by which the command of a sweep passes the parameters of a trial of the
/// study in `dir`; none if the sweep has no command.
#[must_use]
pub fn parameter_arguments(sweep: &Sweep, dir: &StudyDir, trial: &Trial) -> Vec<String> {
    let folder = absolute(&dir.trial(trial.id));
    let mut sweep = Cow::Borrowed(sweep);
    if !sweep.run.configs.is_empty() {
        // The files tell which parameters are no options. Copies that are gone tell nothing.
        let _ = sweep.to_mut().take_copies(&folder);
    }
    let study = context(&sweep, PathBuf::new());
    let templates = Templates::of(&sweep, study, Path::new("."));
    let launch = Launch {
        trial: trial.id,
        seed: trial.seed,
        ..crate::sweep::launch(trial.params.clone(), folder.clone())
    };
    let arguments = templates.command.render_parameters(&Fill {
        facts: Facts {
            study: &templates.study,
            launch: &launch,
            dir: &folder,
            data_dir: &templates.study.data_dir,
            port: None,
        },
        space: &templates.space,
        configs: &templates.config_paths(&folder),
    });
    arguments.iter().map(Text::to_string).collect()
}

fn absolute(path: &Path) -> PathBuf {
    // A program that uses swath as a library may leave its workdir empty.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
