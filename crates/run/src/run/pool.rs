//! The executors of a sweep: its command, wherever the sweep file wants it to run, or a function in
//! a pool of threads on this machine.

use super::resources::Shares;
use crate::sweep::{Fill, Sweep, Template};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use swath_engine::executor::{
    Argv, ExecutorError, Pool, ProgramSettings, ProgramSpec, StudyContext, Trainable, Work,
};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::variables;
use swath_log::{DigestCache, ModelStore};
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
    let program = ProgramSettings {
        argv: argv(sweep, stands_for),
        recorded: recorded(sweep, stands_for),
        spec: ProgramSpec {
            env: sweep.run.env.clone(),
            workdir: workdir.clone(),
            trial_time: sweep.limits.trial_time,
            grace: sweep.run.grace,
            stop: sweep.run.stop,
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
    };
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
        let fill = Fill {
            params: &launch.params,
            trial: stands_for.unwrap_or(launch.trial),
            trial_dir: &launch.dir,
            params_file: &launch.dir.join("params.json"),
            data_dir: &data_dir,
        };
        render(&template, &fill)
    })
}
