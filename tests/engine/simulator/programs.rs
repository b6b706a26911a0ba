//! The programs of the simulated machine, and the ledger of every line that they ever wrote.
//!
//! A program writes lines of every kind to `records.jsonl`, and keeps a checkpoint from which its
//! next attempt goes on. A supervisor reads them with the folder, reader and logger that real
//! trials have. Each line has a serial number of its own, so that the ledger can tell whether the
//! journal or a metric file has a line twice, has lost one, or has one of another trial.

use super::disk::date;
use super::{Fate, Leftover, Shared, preparations};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use swath::executor::{Launch, Signal, SignalKind};
use swath::journal::StudyDir;
use swath::logger::{
    Beginning, Directive, Dirs, Identity, ModelStore, Models, Sink, Tail, TrialFolder, TrialLogger,
    resume_from_seal,
};
use swath::space;
use swath::study::{
    Attempt, Datum, Entry, Event, Exit, Failure, Header, LogRecord, Study, Timestamp, TrialId,
    TrialState, Usage,
};

/// The kinds of lines of one epoch, in their order. The checkpoint is written after the report, and
/// then recorded.
const KINDS: [&str; 9] = [
    "metric",
    "metric",
    "note",
    "param",
    "output",
    "dataset",
    "model",
    "report",
    "checkpoint",
];

/// A line that a program wrote.
#[derive(Debug, Clone, Copy)]
struct Line {
    trial: TrialId,
    /// Number of starts from scratch that its trial had before it. Starts of another study in the
    /// same folder count too.
    generation: u32,
    kind: &'static str,
}

/// All lines that programs wrote, in all lives. The serial number of a line is its index.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: Vec<Line>,
    generations: BTreeMap<TrialId, u32>,
    /// The generation of the last launch of each attempt.
    launches: BTreeMap<(TrialId, Attempt), u32>,
    /// The first line that the last power cut cannot have taken.
    certain: usize,
    /// Invariants that did not hold.
    faults: BTreeSet<&'static str>,
}

pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

impl Ledger {
    fn launch(&mut self, launch: &Launch) {
        let generation = self.generations.entry(launch.trial).or_default();
        *generation += u32::from(!launch.resume);
        self.launches
            .insert((launch.trial, launch.attempt), *generation);
    }

    /// Returns the time on the clock of the simulated disk, which goes on with each line.
    pub(crate) fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.lines.len() as u64)
    }

    /// Notes that the power was cut: any line that was written before may be lost.
    pub(crate) fn cut_power(&mut self) {
        self.certain = self.lines.len();
    }

    fn write(&mut self, trial: TrialId, kind: &'static str) -> usize {
        let generation = self.generations[&trial];
        self.lines.push(Line {
            trial,
            generation,
            kind,
        });
        self.lines.len() - 1
    }
}

/// Returns the signals of an attempt, as `virtual_study::script` does, from the epoch after its
/// checkpoint. A program that finds half a checkpoint crashes.
pub(crate) fn script(launch: &Launch) -> Vec<(Duration, SignalKind)> {
    let checkpoint = match launch.resume {
        true => checkpoint(&launch.dir),
        false => Checkpoint::None,
    };
    let done = match checkpoint {
        Checkpoint::None => 0,
        Checkpoint::Epoch(epoch) => epoch,
        Checkpoint::Half => {
            let exit = Exit::Failed(Failure::Code(1));
            let end = SignalKind::Ended(exit, Usage::default());
            return vec![(Duration::from_millis(5), end)];
        }
    };
    let is_after = |kind: &SignalKind| match kind {
        SignalKind::Logged(LogRecord::Report { values }, _) => epoch_of(values) > done,
        _ => true,
    };
    crate::virtual_study::script(launch)
        .into_iter()
        .filter(|(_, kind)| is_after(kind))
        .collect()
}

fn number(values: &[(space::Name, Datum)], name: &str) -> Option<f64> {
    values.iter().find_map(|(key, value)| match value {
        Datum::Number(number) if &**key == name => Some(number.0),
        _ => None,
    })
}

fn epoch_of(values: &[(space::Name, Datum)]) -> u64 {
    number(values, "epoch").map_or(0, |epoch| epoch as u64)
}

/// The newest checkpoint of a trial, which is the one that its program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checkpoint {
    None,
    /// The checkpoint after this epoch.
    Epoch(u64),
    /// A file that is not whole.
    Half,
}

fn newest_checkpoint(trial: &Path) -> Option<(u64, PathBuf)> {
    let files = fs::read_dir(trial.join("checkpoints"))
        .into_iter()
        .flatten();
    files
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
        .max()
}

fn checkpoint(trial: &Path) -> Checkpoint {
    let Some((epoch, path)) = newest_checkpoint(trial) else {
        return Checkpoint::None;
    };
    match fs::read_to_string(path).unwrap_or_default() == whole_checkpoint(epoch) {
        true => Checkpoint::Epoch(epoch),
        false => Checkpoint::Half,
    }
}

fn whole_checkpoint(epoch: u64) -> String {
    format!("epoch {epoch}\n")
}

/// Writes the checkpoint after an epoch beside the one before, and removes older ones.
fn keep_checkpoint(trial: &Path, epoch: u64) -> io::Result<()> {
    let folder = trial.join("checkpoints");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(epoch.to_string()), whole_checkpoint(epoch))?;
    let _ = fs::remove_file(folder.join(epoch.saturating_sub(2).to_string()));
    Ok(())
}

/// Leaves the checkpoints of a trial as a power cut may leave them: as they were, or older, half or
/// gone, or newer than the lines that its program has written.
pub(super) fn spoil_checkpoints(trial: &Path, rng: &mut ChaCha8Rng) {
    let Some((newest, _)) = newest_checkpoint(trial) else {
        return;
    };
    let folder = trial.join("checkpoints");
    match rng.random_range(0..8) {
        0 => fs::remove_dir_all(folder).unwrap(),
        1 => fs::write(folder.join(newest.to_string()), "epo").unwrap(),
        2 => {
            let older = rng.random_range(1..=newest);
            fs::remove_dir_all(folder).unwrap();
            keep_checkpoint(trial, older).unwrap();
        }
        3 => keep_checkpoint(trial, newest + 1).unwrap(),
        _ => {}
    }
}

/// The part of the programs' lines that reaches the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The supervisor reads them and writes the metric files.
    Whole,
    /// The supervisor reads them, and its metrics are still in memory.
    Buffered,
    /// The process dies before its supervisors read them.
    Nothing,
}

struct Running {
    attempt: Attempt,
    dir: PathBuf,
    log: TrialLogger,
    tail: Tail,
    folder: TrialFolder,
    records: Records,
    /// The metric files as they were before rows were kept in memory.
    metrics: Option<Metrics>,
}

/// The lengths of the metric files of a trial, and their mark.
struct Metrics {
    lengths: BTreeMap<PathBuf, u64>,
    mark: Option<Vec<u8>>,
}

/// A record, and the offset behind its line.
type ReadRecord = (LogRecord, Option<u64>);

/// A sink that keeps the records.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<ReadRecord>>>);

impl Sink for Records {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.logged_from(record, None)
    }

    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        self.0.lock().unwrap().push((record, line_end));
        Directive::Continue
    }
}

/// The programs that run on the simulated machine.
pub(crate) struct Programs {
    workdir: PathBuf,
    header: Header,
    ledger: SharedLedger,
    running: BTreeMap<TrialId, Running>,
}

impl Programs {
    pub(crate) fn new(dir: &StudyDir, header: Header, ledger: &SharedLedger) -> Self {
        let workdir = workdir(dir);
        fs::create_dir_all(&workdir).unwrap();
        fs::write(workdir.join("data"), "1,2,3\n").unwrap();
        Self {
            workdir,
            header,
            ledger: Arc::clone(ledger),
            running: BTreeMap::new(),
        }
    }

    /// Starts an attempt as the pool does.
    pub(crate) fn start(&mut self, launch: &Launch) {
        self.ledger.lock().unwrap().launch(launch);
        if !preparations::are_whole(launch) {
            let mut ledger = self.ledger.lock().unwrap();
            let fault = "a trial was started without the whole output of its preparation";
            ledger.faults.insert(fault);
        }
        let identity = Identity {
            study: self.header.name.clone(),
            pipeline: self.header.pipeline.clone(),
            stage: self.header.stage.clone(),
            trial: launch.trial,
            attempt: launch.attempt,
        };
        let mut folder = TrialFolder::begin(&Beginning {
            dir: &launch.dir,
            identity: &identity,
            params: &launch.params,
            seed: launch.seed,
            workdir: &self.workdir,
            command: &[],
            resume: launch.resume,
            at: Timestamp::now(),
        })
        .expect("the trial's folder");
        folder.mark_running(1).unwrap();
        if launch.resume {
            self.resume_from_checkpoint(launch);
        }
        let path = launch.dir.join("records.jsonl");
        let tail = match launch.resume {
            true => Tail::after_existing(path).unwrap(),
            false => Tail::new(path),
        };
        let records = Records::default();
        let dirs = Dirs {
            workdir: self.workdir.clone(),
            trial: launch.dir.clone(),
        };
        let mut log = TrialLogger::in_process(identity, dirs, Box::new(records.clone()))
            .unwrap()
            .with_deciding_metrics(&self.header.deciding_metrics())
            .with_resource(self.header.resource.as_ref())
            .with_models(Arc::new(ModelStore::new(Models::Refer)));
        log.begin_to_follow(&tail);
        let running = Running {
            attempt: launch.attempt,
            dir: launch.dir.clone(),
            log,
            tail,
            folder,
            records,
            metrics: None,
        };
        self.running.insert(launch.trial, running);
    }

    /// Sets half of a newer checkpoint aside, as the pool does. Only a power cut may leave one that
    /// is then taken.
    fn resume_from_checkpoint(&self, launch: &Launch) {
        resume_from_seal(&launch.dir, launch.attempt.0 - 1).unwrap();
        let mut ledger = self.ledger.lock().unwrap();
        if checkpoint(&launch.dir) == Checkpoint::Half && ledger.certain == 0 {
            let fault = "an attempt resumed from half a checkpoint";
            ledger.faults.insert(fault);
        }
    }

    /// Lets the programs write the lines behind `signals`, and returns the signals that their
    /// supervisors make of them.
    pub(crate) fn pass(&mut self, signals: Vec<Signal>, reading: Reading) -> Vec<Signal> {
        let mut passed = Vec::new();
        for signal in signals {
            match signal.kind.clone() {
                SignalKind::Logged(LogRecord::Report { values }, _) => {
                    self.write_epoch(signal.trial, &values);
                    self.read(&signal, reading, &mut passed);
                }
                SignalKind::Ended(exit, usage) if reading != Reading::Nothing => {
                    self.end(&signal, &exit, &usage, &mut passed);
                    passed.push(signal);
                }
                _ => passed.push(signal),
            }
        }
        match reading {
            Reading::Nothing => Vec::new(),
            _ => passed,
        }
    }

    fn write_epoch(&mut self, trial: TrialId, values: &[(space::Name, Datum)]) {
        let Some(running) = self.running.get(&trial) else {
            return;
        };
        let epoch = epoch_of(values);
        let model = format!("model-{trial}-{epoch}");
        fs::write(self.workdir.join(&model), model.as_bytes()).unwrap();
        date(
            &self.workdir.join(&model),
            self.ledger.lock().unwrap().time(),
        );
        let mut lines = String::new();
        for kind in KINDS {
            if kind == "checkpoint" {
                let time = self.ledger.lock().unwrap().time();
                append(&running.dir, lines.as_bytes(), time);
                lines.clear();
                keep_checkpoint(&running.dir, epoch).unwrap();
                date(&running.dir.join(format!("checkpoints/{epoch}")), time);
            }
            let serial = self.ledger.lock().unwrap().write(trial, kind);
            let line = match kind {
                "metric" => {
                    json!({"kind": kind, "log": "train", "m": 1.5, "step": epoch, "serial": serial})
                }
                "note" => json!({"kind": kind, "text": format!("serial {serial}")}),
                "param" => json!({"kind": kind, "serial": serial}),
                "output" => json!({"kind": kind, "serial": serial}),
                "dataset" => json!({"kind": kind, "path": "data", "role": format!("r{serial}")}),
                "model" => json!({"kind": kind, "path": model, "step": serial}),
                "checkpoint" => json!({"kind": kind, "step": serial}),
                _ => {
                    let loss = number(values, "loss").filter(|loss| loss.is_finite());
                    let loss = loss.map_or(json!("nan"), |loss| json!(loss));
                    json!({"epoch": epoch, "loss": loss, "serial": serial})
                }
            };
            lines.extend([line.to_string().as_str(), "\n"]);
        }
        let time = self.ledger.lock().unwrap().time();
        append(&running.dir, lines.as_bytes(), time);
    }

    fn read(&mut self, signal: &Signal, reading: Reading, passed: &mut Vec<Signal>) {
        let Some(running) = self.running.get_mut(&signal.trial) else {
            return;
        };
        match reading {
            Reading::Nothing => return,
            Reading::Buffered => {
                let metrics = Metrics::of(&running.dir);
                running.metrics.get_or_insert(metrics);
                running.log.follow(&mut running.tail).unwrap();
            }
            Reading::Whole => {
                running.log.follow(&mut running.tail).unwrap();
                running.log.flush().unwrap();
                running.metrics = None;
            }
        }
        running.forward(signal, passed);
    }

    fn end(&mut self, signal: &Signal, exit: &Exit, usage: &Usage, passed: &mut Vec<Signal>) {
        let Some(mut running) = self.running.remove(&signal.trial) else {
            return;
        };
        running.log.follow_to_the_end(&mut running.tail).unwrap();
        let recorded = running.log.finish().unwrap();
        running.forward(signal, passed);
        running
            .folder
            .end(exit, usage, &recorded, Timestamp::now())
            .expect("`info.yaml`");
    }

    /// Ends the supervisors as SIGKILL does: metrics in memory are lost. Their programs may write a
    /// little more, and stop within a line.
    pub(crate) fn die(mut self, fate: &Shared) {
        for (trial, running) in std::mem::take(&mut self.running) {
            let Running {
                dir, log, metrics, ..
            } = running;
            // Dropping a logger writes its rows, which a killed process does not do.
            drop(log);
            if let Some(metrics) = metrics {
                metrics.restore(&dir);
            }
            let mut fate = fate.lock().unwrap();
            if is_sealed(&dir) && fate.aside.random_range(0..3) == 0 {
                let next = newest_checkpoint(&dir).map_or(1, |(epoch, _)| epoch + 1);
                fs::write(dir.join(format!("checkpoints/{next}")), "epo").unwrap();
            }
            let is_torn = fate.aside.random();
            write_last_lines(&dir, trial, &mut fate, &self.ledger);
            if is_torn {
                let time = self.ledger.lock().unwrap().time();
                append(&dir, br#"{"kind": "note", "te"#, time);
            } else {
                let trial = Some(trial);
                fate.leave(Leftover { folder: dir, trial });
            }
        }
    }
}

/// Appends the last lines of a program whose orchestrator was killed.
pub(crate) fn write_last_lines(
    trial_dir: &Path,
    trial: TrialId,
    fate: &mut Fate,
    ledger: &SharedLedger,
) {
    let mut lines = String::new();
    for _ in 0..fate.aside.random_range(0..3) {
        let serial = ledger.lock().unwrap().write(trial, "metric");
        let line = json!({"kind": "metric", "log": "train", "m": 2.5, "serial": serial});
        lines.extend([line.to_string().as_str(), "\n"]);
    }
    append(trial_dir, lines.as_bytes(), ledger.lock().unwrap().time());
}

/// Returns whether the last record of a checkpoint was read, and its files sealed.
fn is_sealed(trial: &Path) -> bool {
    let seal = fs::read(trial.join("checkpoint.json")).unwrap_or_default();
    let seal: Value = serde_json::from_slice(&seal).unwrap_or_default();
    let records = fs::metadata(trial.join("records.jsonl")).map_or(0, |about| about.len());
    seal["records"].as_u64() == Some(records)
}

impl Running {
    fn forward(&self, signal: &Signal, passed: &mut Vec<Signal>) {
        for (record, line_end) in self.records.0.lock().unwrap().drain(..) {
            passed.push(Signal {
                trial: signal.trial,
                attempt: self.attempt,
                at: signal.at,
                kind: SignalKind::Logged(record, line_end),
            });
        }
    }
}

/// Returns the working directory of the programs, beside the study.
pub(crate) fn workdir(dir: &StudyDir) -> PathBuf {
    dir.root().with_file_name("work")
}

fn append(trial: &Path, bytes: &[u8], time: SystemTime) {
    if bytes.is_empty() {
        return;
    }
    let path = trial.join("records.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.unwrap();
    file.write_all(bytes).unwrap();
    file.set_modified(time).unwrap();
}

/// Returns whether the records file and the metric files of a trial are as long as the mark of its
/// metric files says, without torn ends.
pub(crate) fn is_true_mark(path: &Path, mark: &[u8]) -> bool {
    let mark: Value = serde_json::from_slice(mark).unwrap_or_default();
    let metrics = path.parent().unwrap();
    let records = fs::metadata(metrics.with_file_name("records.jsonl"));
    let records = records.map_or(0, |about| about.len());
    let mut lengths = mark["lengths"].as_object().into_iter().flatten();
    // The line break at the end of the records may be missing.
    mark["records"].as_u64().unwrap_or(0) <= records + 1
        && lengths.all(|(log, length)| {
            length_of_whole_rows(&metrics.join(format!("{log}.json")))
                >= length.as_u64().unwrap_or(0)
        })
}

fn length_of_whole_rows(path: &Path) -> u64 {
    let rows = fs::read(path).unwrap_or_default();
    let last = rows.iter().rposition(|byte| *byte == b'\n');
    last.map_or(0, |last| last as u64 + 1)
}

impl Metrics {
    fn of(trial: &Path) -> Self {
        let lengths = ["train", "report"]
            .map(|log| trial.join(format!("metrics/{log}.json")))
            .into_iter()
            .map(|path| {
                let length = fs::metadata(&path).map_or(0, |about| about.len());
                (path, length)
            })
            .collect();
        let mark = fs::read(trial.join("metrics/.mark")).ok();
        Self { lengths, mark }
    }

    /// Undoes what was written since.
    fn restore(&self, trial: &Path) {
        for (path, length) in &self.lengths {
            if let Ok(file) = OpenOptions::new().write(true).open(path) {
                file.set_len(*length).unwrap();
            }
        }
        let path = trial.join("metrics/.mark");
        match &self.mark {
            Some(mark) => fs::write(path, mark).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }
}

/// Returns the serial number of the line behind a record.
fn serial_of(record: &LogRecord) -> Option<usize> {
    let as_number = |value: &space::Value| value.as_f64().map(|serial| serial as usize);
    match record {
        LogRecord::Report { values } | LogRecord::Beyond { values } => {
            number(values, "serial").map(|serial| serial as usize)
        }
        LogRecord::Note { text } => text.strip_prefix("serial ")?.parse().ok(),
        LogRecord::Param { name, value } | LogRecord::Output { name, value } => {
            (&**name == "serial").then(|| as_number(value)).flatten()
        }
        LogRecord::Dataset { role, .. } => role.strip_prefix('r')?.parse().ok(),
        LogRecord::Model { step, .. } => step.map(|step| step as usize),
        LogRecord::Checkpoint { step } => step.map(|step| step as usize),
        _ => None,
    }
}

/// Returns the serial numbers of the rows of a metric file of a trial.
fn serials_of_rows(dir: &StudyDir, trial: TrialId, log: &str) -> Vec<usize> {
    let path = dir.trial(trial).join(format!("metrics/{log}.json"));
    let text = fs::read(path).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .filter_map(|row| serde_json::from_slice::<Value>(row).ok())
        .filter_map(|row| Some(row.get("serial")?.as_u64()? as usize))
        .collect()
}

/// Compares the journal and the metric files with the ledger: each line counts at most once, and
/// for the trial that wrote it. Every line of a trial that is complete counts, but for those that a
/// power cut may have taken. `is_exact`: the power was never cut.
pub(crate) fn check(
    dir: &StudyDir,
    entries: &[Entry],
    study: &Study,
    ledger: &SharedLedger,
    is_exact: bool,
) -> BTreeSet<&'static str> {
    let ledger = ledger.lock().unwrap();
    let mut faults = ledger.faults.clone();
    let mut counted = BTreeSet::new();
    for entry in entries {
        let Event::Logged {
            trial,
            attempt,
            record,
            ..
        } = &entry.event
        else {
            continue;
        };
        let Some(serial) = serial_of(record) else {
            continue;
        };
        if !counted.insert(serial) {
            faults.insert("a line counts twice in the journal");
        }
        let line = ledger.lines[serial];
        let launched = ledger.launches.get(&(*trial, *attempt)).copied();
        // A power cut may take the start of a later attempt from the journal. Its lines, which are
        // still in the trial's file, then count for the earlier one.
        let is_of_trial = line.trial == *trial
            && launched.is_some_and(|launched| match is_exact {
                true => line.generation == launched,
                false => line.generation >= launched,
            });
        if !is_of_trial {
            faults.insert("a line of another start counts as the trial's own");
        }
    }
    for trial in study.trials() {
        let generation = ledger.generations.get(&trial.id).copied().unwrap_or(0);
        let mut rows: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (log, kind) in [("train", "metric"), ("report", "report")] {
            for serial in serials_of_rows(dir, trial.id, log) {
                if !rows.entry(kind).or_default().insert(serial) {
                    faults.insert("a row stands twice in a metric file");
                }
                let line = ledger.lines[serial];
                if line.trial != trial.id || line.generation != generation {
                    faults.insert("a row of another start stands in a metric file");
                }
            }
        }
        if trial.state != TrialState::Complete {
            continue;
        }
        let lines = ledger.lines.iter().enumerate();
        for (serial, line) in lines.skip(ledger.certain) {
            if line.trial != trial.id || line.generation != generation {
                continue;
            }
            if line.kind != "metric" && !counted.contains(&serial) {
                faults.insert("a line of a complete trial is not in the journal");
            }
            let in_file = rows
                .get(line.kind)
                .is_some_and(|rows| rows.contains(&serial));
            if matches!(line.kind, "metric" | "report") && !in_file {
                faults.insert("a line of a complete trial is not in its metric file");
            }
        }
    }
    faults
}
