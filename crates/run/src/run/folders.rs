//! The folders of trials that the caller of ask and tell runs: such a trial has the same folder as
//! one that swath runs, and the records that its process appends are taken in at each call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use swath_engine::driver::OpenTrial;
use swath_engine::executor::{Facts, Launch, StudyContext, environment};
use swath_log::{
    Beginning, Directive, Dirs, Identity, ModelStore, Recorded, Sink, Tail, TrialFolder,
    TrialLogger,
};
use swath_model::space::Name;
use swath_model::study::{Attempt, Datum, Exit, LogRecord, Timestamp, TrialId, Usage};

/// The folders of the open trials.
#[derive(Default)]
pub(super) struct Folders(BTreeMap<TrialId, Folder>);

struct Folder {
    folder: TrialFolder,
    log: TrialLogger,
    tail: Tail,
    records: Receiver<TakenRecord>,
}

/// A record with the offset behind its line in `records.jsonl`, if it comes from there.
pub(super) type TakenRecord = (LogRecord, Option<u64>);

/// Collects the records of a trial until they are asked for.
struct Collector(Sender<TakenRecord>);

impl Sink for Collector {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.logged_from(record, None)
    }

    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        // The receiver lives as long as the logger.
        self.0.send((record, line_end)).ok();
        Directive::Continue
    }
}

/// The folder of a trial, for the process that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The absolute path of the folder.
    pub dir: PathBuf,
    /// The variables with which a process records into this trial, as for a program that swath
    /// starts.
    pub variables: Vec<(&'static str, OsString)>,
}

impl Folders {
    /// Makes the folder of a trial that was handed out.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn begin(
        &mut self,
        trial: &OpenTrial,
        dir: PathBuf,
        context: &StudyContext,
    ) -> io::Result<Room> {
        let dir = std::path::absolute(dir)?;
        let identity = identity(trial.trial, trial.attempt, context);
        let mut folder = TrialFolder::begin(&Beginning {
            dir: &dir,
            identity: &identity,
            params: &trial.params,
            seed: trial.seed,
            workdir: &context.workdir,
            command: &[],
            resume: trial.resume,
            at: Timestamp::now(),
        })?;
        folder.mark_running(std::process::id())?;
        std::fs::create_dir_all(dir.join("checkpoints"))?;
        let path = dir.join("records.jsonl");
        // A resumed attempt appends to the lines of the attempt before it, which are taken in
        // already.
        let tail = match trial.resume && path.exists() {
            true => Tail::after_existing(&path)?,
            false => Tail::new(&path),
        };
        let (mut log, records) = logger(identity, dir.clone(), context)?;
        log.begin_to_follow(&tail);
        let open = Folder {
            folder,
            log,
            tail,
            records,
        };
        self.0.insert(trial.trial, open);
        let launch = Launch {
            trial: trial.trial,
            attempt: trial.attempt,
            params: trial.params.clone(),
            seed: trial.seed,
            slot: 0,
            dir: dir.clone(),
            until: trial.until,
            resume: trial.resume,
            resume_step: None,
            from: None,
            prepared: Vec::new(),
            preparation: None,
        };
        let variables = environment(&Facts {
            study: context,
            launch: &launch,
            dir: &dir,
            data_dir: &context.data_dir,
            port: None,
        });
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        Ok(Room { dir, variables })
    }

    /// Returns the trials that have a folder.
    pub(super) fn trials(&self) -> Vec<TrialId> {
        self.0.keys().copied().collect()
    }

    /// Returns the records that the process of a trial has appended since the last call; none for a
    /// trial without a folder.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub(super) fn records(&mut self, trial: TrialId) -> io::Result<Vec<TakenRecord>> {
        let Some(open) = self.0.get_mut(&trial) else {
            return Ok(Vec::new());
        };
        open.log.follow(&mut open.tail)?;
        Ok(open.records.try_iter().collect())
    }

    /// Returns the records of the model that a report of a trial names, and removes a model that is
    /// refused from the report. Without a folder of the trial, `dir` is not made: the model is only
    /// referred to.
    ///
    /// # Errors
    /// If the model cannot be recorded.
    pub(super) fn model_of_report(
        &mut self,
        (trial, attempt): (TrialId, Attempt),
        dir: PathBuf,
        values: &mut Vec<(Name, Datum)>,
        context: &StudyContext,
    ) -> io::Result<Vec<TakenRecord>> {
        if let Some(open) = self.0.get_mut(&trial) {
            open.log.model_of_report(values);
            return Ok(open.records.try_iter().collect());
        }
        let (log, records) = logger(identity(trial, attempt, context), dir, context)?;
        let mut log = log.with_models(Arc::new(ModelStore::default()));
        log.model_of_report(values);
        Ok(records.try_iter().collect())
    }

    /// Takes in the last records of a trial whose attempt ends. Returns them, and the rest of the
    /// folder, which [`End::write`] completes.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub(super) fn last_records(
        &mut self,
        trial: TrialId,
    ) -> io::Result<Option<(Vec<TakenRecord>, End)>> {
        let Some(mut open) = self.0.remove(&trial) else {
            return Ok(None);
        };
        open.log.follow_to_the_end(&mut open.tail)?;
        let recorded = open.log.finish().map_err(io::Error::other)?;
        let records = open.records.try_iter().collect();
        let end = End {
            folder: open.folder,
            recorded,
        };
        Ok(Some((records, end)))
    }
}

fn identity(trial: TrialId, attempt: Attempt, context: &StudyContext) -> Identity {
    Identity {
        study: context.name.clone(),
        pipeline: context.pipeline.clone(),
        stage: context.stage.clone(),
        trial,
        attempt,
    }
}

/// Returns the logger of a trial in the folder `dir`, and the receiver of its records.
fn logger(
    identity: Identity,
    dir: PathBuf,
    context: &StudyContext,
) -> io::Result<(TrialLogger, Receiver<TakenRecord>)> {
    let (sender, records) = channel();
    let dirs = Dirs {
        workdir: context.workdir.clone(),
        trial: dir,
    };
    let log = TrialLogger::in_process(identity, dirs, Box::new(Collector(sender)))
        .map_err(io::Error::other)?
        .with_secrets(context.secrets.clone())
        .with_models(context.models.clone())
        .with_deciding_metrics(&context.deciding)
        .with_resource(context.resource.as_ref());
    let log = match &context.digests {
        Some(digests) => log.with_cache(digests.clone()),
        None => log,
    };
    Ok((log, records))
}

/// The folder of a trial whose records have been taken in.
pub(super) struct End {
    folder: TrialFolder,
    recorded: Recorded,
}

impl End {
    /// Completes the trial's `info.yaml`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(self, exit: &Exit) -> io::Result<()> {
        self.folder
            .end(exit, &Usage::default(), &self.recorded, Timestamp::now())
    }
}
