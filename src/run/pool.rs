//! The pool that runs a sweep's trials on this machine.

use crate::executor::{Argv, ExecutorError, Pool, Program, ProgramSettings, StudyContext, Trainable};
use crate::journal::StudyDir;
use crate::logger::DigestCache;
use crate::study::TrialId;
use crate::sweep::{Fill, Sweep};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// Makes a pool that runs the sweep's command.
pub(super) fn programs(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: PathBuf,
    slots: usize,
    stands_for: Option<TrialId>,
    guard: Option<Command>,
) -> Result<Pool, ExecutorError> {
    let program = Program::new(ProgramSettings {
        argv: argv(sweep, stands_for),
        env: sweep.run.env.clone(),
        workdir: workdir.clone(),
        trial_time: sweep.limits.trial_time,
        grace: sweep.run.grace,
        log: sweep.limits.log,
        capture: sweep.capture.clone(),
        checkpoint: sweep.checkpoint,
        guard,
    })?;
    pool(sweep, dir, workdir, slots, stands_for, Arc::new(program))
}

/// Makes a pool that runs any trainable.
pub(super) fn functions(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: PathBuf,
    slots: usize,
    trainable: Arc<dyn Trainable>,
) -> Result<Pool, ExecutorError> {
    pool(sweep, dir, workdir, slots, None, trainable)
}

fn pool(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: PathBuf,
    slots: usize,
    stands_for: Option<TrialId>,
    trainable: Arc<dyn Trainable>,
) -> Result<Pool, ExecutorError> {
    let context = StudyContext {
        stands_for,
        digests: Some(Arc::new(DigestCache::open(&dir.digests()))),
        ..context(sweep, workdir)
    };
    Pool::new(trainable, slots, context)
}

/// Returns what a trial is told of its study.
pub(super) fn context(sweep: &Sweep, workdir: PathBuf) -> StudyContext {
    StudyContext {
        name: sweep.name.clone(),
        pipeline: sweep.pipeline.clone(),
        stage: sweep.stage.clone(),
        workdir,
        data_dir: sweep.run.data_dir.clone(),
        digests: None,
        stands_for: None,
    }
}

/// Returns what renders the command of an attempt.
/// `stands_for` is the trial whose number the command gets instead of its own.
pub(super) fn argv(sweep: &Sweep, stands_for: Option<TrialId>) -> Argv {
    let (template, data_dir) = (sweep.run.command.clone(), sweep.run.data_dir.clone());
    Box::new(move |launch| {
        template.render(&Fill {
            params: &launch.params,
            trial: stands_for.unwrap_or(launch.trial),
            trial_dir: &launch.dir,
            params_file: &launch.dir.join("params.json"),
            data_dir: &data_dir,
        })
    })
}
