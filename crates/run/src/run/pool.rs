//! The executors of a sweep: its command, wherever the sweep file wants it to run, or a function in
//! a pool of threads on this machine.

use super::resources::Shares;
use crate::sweep::{Fill, Sweep, Template};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use swath_engine::executor::{
    Argv, ExecutorError, Launch, Pool, Preparing, Program, ProgramSettings, ProgramSpec,
    StudyContext, Trainable, Work,
};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::variables;
use swath_log::{DigestCache, ModelStore};
use swath_model::space::Name;
use swath_model::study::TrialId;

/// Returns the description of the sweep's command that an executor needs to run it.
pub(super) fn work(
    sweep: &Sweep,
    dir: &StudyDir,
    called: PathBuf,
    workdir: PathBuf,
    shares: &Shares,
    stands_for: Option<TrialId>,
    guard: Option<Command>,
) -> Work {
    let program = settings(
        sweep,
        workdir.clone(),
        shares,
        (argv(sweep, stands_for), recorded(sweep, stands_for)),
        guard,
    );
    let study = StudyContext {
        stands_for,
        ..context(sweep, workdir)
    };
    Work {
        program,
        study,
        dir: dir.root().to_owned(),
        called,
        slots: shares.slots,
        share: sweep.resources,
    }
}

/// Returns the settings of programs: of trials, or of preparations. `argv` are the functions that
/// render a command and its record.
fn settings(
    sweep: &Sweep,
    workdir: PathBuf,
    shares: &Shares,
    (argv, recorded): (Argv, Argv),
    guard: Option<Command>,
) -> ProgramSettings {
    ProgramSettings {
        argv,
        recorded,
        spec: ProgramSpec {
            env: sweep.run.env.clone(),
            workdir,
            trial_time: sweep.limits.trial_time,
            grace: sweep.run.grace,
            system: sweep.run.system,
            log: sweep.limits.log,
            capture: sweep.capture.clone(),
            checkpoint: sweep.checkpoint,
        },
        // The guard is the `swath` program itself, whose folder holds the tools.
        tools: guard
            .as_ref()
            .and_then(|guard| Some(Path::new(guard.get_program()).parent()?.to_owned())),
        guard,
        allotment: shares.allotment.clone(),
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
    let argv = (
        rendered_preparations(sweep, Template::render),
        rendered_preparations(sweep, Template::render_recorded),
    );
    let settings = settings(sweep, workdir.clone(), shares, argv, guard);
    let context = StudyContext {
        digests: Some(Arc::new(DigestCache::open(&dir.digests()))),
        // Each preparation has data sets of its own, and none has an objective.
        data_dir: Vec::new(),
        deciding: Vec::new(),
        resource: None,
        ..context(sweep, workdir)
    };
    // The driver adds further slots when it needs them.
    let preparing = Preparing(Program::new(settings)?);
    Pool::new(Arc::new(preparing), 1, context).map(Some)
}

fn rendered_preparations(sweep: &Sweep, render: fn(&Template, &Fill<'_>) -> Vec<String>) -> Argv {
    let commands: BTreeMap<Name, Template> = sweep
        .preparations
        .iter()
        .map(|preparation| (preparation.plan.name.clone(), preparation.command.clone()))
        .collect();
    Box::new(move |launch| {
        let Some(preparation) = &launch.preparation else {
            return Vec::new();
        };
        let Some(command) = commands.get(&preparation.name) else {
            return Vec::new();
        };
        render_launch(command, launch, launch.trial, &preparation.data_dir, render)
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
        data_dir: sweep.run.data_dir.clone(),
        models: Arc::new(ModelStore::new(sweep.run.models)),
        digests: None,
        deciding: super::header(sweep, None, 0).deciding_metrics(),
        resource: sweep.resource.clone(),
        secrets: variables::secrets(&sweep.run.env, &sweep.run.secret_env),
        stands_for: None,
    }
}

/// Returns the function that renders the command of an attempt. `stands_for` is the trial whose
/// number the command gets instead of its own.
fn argv(sweep: &Sweep, stands_for: Option<TrialId>) -> Argv {
    rendered(sweep, stands_for, Template::render)
}

/// Returns the function that renders the command of an attempt as it is recorded.
pub(super) fn recorded(sweep: &Sweep, stands_for: Option<TrialId>) -> Argv {
    rendered(sweep, stands_for, Template::render_recorded)
}

fn rendered(
    sweep: &Sweep,
    stands_for: Option<TrialId>,
    render: fn(&Template, &Fill<'_>) -> Vec<String>,
) -> Argv {
    let (template, data_dir) = (sweep.run.command.clone(), sweep.run.data_dir.clone());
    Box::new(move |launch| {
        let trial = stands_for.unwrap_or(launch.trial);
        render_launch(&template, launch, trial, &data_dir, render)
    })
}

/// Returns the command of an attempt.
fn render_launch(
    template: &Template,
    launch: &Launch,
    trial: TrialId,
    data_dir: &[String],
    render: fn(&Template, &Fill<'_>) -> Vec<String>,
) -> Vec<String> {
    let fill = Fill {
        params: &launch.params,
        trial,
        trial_dir: &launch.dir,
        params_file: &launch.dir.join("params.json"),
        data_dir,
        prepared: &launch.prepared_folders(),
    };
    render(template, &fill)
}
