//! The rayon pool on this machine: one broadcast worker per slot, one trial per worker.
//!
//! Each worker loops over its own channel; a trial is not a rayon job. A trial that uses rayon
//! itself therefore finds no other trial to steal and never runs one on its stack (rayon#872). The
//! index of the worker is the number of the slot.

use super::checkpoint;
use super::repetition::{Evidence, NotRepeated, RecordCopies, Repetition};
use super::shortage::{FIRST_WAIT, LONGEST_WAIT, Waits, has_descriptors};
use super::stop_line::{StopLine, StopRequest};
use super::trainable::{StudyContext, Trainable, TrialContext};
use super::ulimit::{self, Room};
use super::wake_up::SignalOrCall;
use super::{
    DiskSpace, Executor, ExecutorError, Launch, Outcome, Signal, SignalKind, Stop, WakeUp,
};
use crate::journal::StudyDir;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use swath_log::{
    Answer, Beginning, Directive, Dirs, Identity, Recorded, Sink, TrialFolder, TrialLogger,
};
use swath_model::source::secret::Secrets;
use swath_model::study::{Attempt, Exit, Failure, LogRecord, Timestamp, TrialId, Usage};

/// Capacity of the channel to the driver. When it is full, a function blocks in `report`, and the
/// records of a program wait in its file.
const WAITING_SIGNALS: usize = 1024;

/// Most signals that [`Pool::wait`] returns at once, so that the driver gets to its other duties.
const SIGNALS_AT_ONCE: usize = 1024;

/// Upper bound on the number of slots.
const MOST_SLOTS: usize = 4096;

/// Interval between two checks of the free space, for a trial that ended on a full disk and still
/// has files to write.
const DISK_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Time that a dropped pool waits for its trials. Programs are killed within milliseconds; a
/// function that never checks for a stop request is abandoned after this time.
const ABANDON_AFTER: Duration = Duration::from_secs(5);

/// Time for the resources of an ended trial to become free, before the slot is reported as unusable
/// with a reason.
const EXPECTED_RELEASE: Duration = Duration::from_secs(5);

/// Intervals of the checks for freed resources, before and after that time.
const RELEASE_CHECK_INTERVAL: Duration = Duration::from_millis(250);
const LATE_RELEASE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Longest wait for running trials to be suspended.
const HALT_TIMEOUT: Duration = Duration::from_secs(1);

/// Executor that runs trials in the threads of a rayon pool.
pub struct Pool {
    slots: Vec<PoolSlot>,
    signals: Receiver<SignalOrCall>,
    trainable: Arc<dyn Trainable>,
    shared: SharedByWorkers,
    /// Upper bound on the number of slots.
    max_slots: usize,
    /// Disconnected when the last worker has ended.
    workers: Receiver<()>,
    threads: Vec<ThreadPool>,
}

/// Values that all workers share. Dropped when no more workers will be added.
struct SharedByWorkers {
    study: Arc<StudyContext>,
    waits: Arc<Waits>,
    signals: Sender<SignalOrCall>,
    alive: Option<Sender<()>>,
}

struct PoolSlot {
    jobs: Sender<Launch>,
    line: Arc<StopLine>,
    running: Option<(TrialId, Attempt)>,
    /// The attempt that was started last. It may be repeated after its end.
    last: Option<(TrialId, Attempt)>,
    unusable: UnusableReason,
}

/// Reason why a slot cannot be used although no trial runs in it; shared with its worker. An empty
/// reason means that the slot will be usable within moments.
type UnusableReason = Arc<Mutex<Option<String>>>;

fn set_unusable(slot: &UnusableReason, reason: Option<String>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = reason;
}

impl Pool {
    /// Creates a pool of `slots` slots, at least one, that run `trainable`. There are fewer, and a
    /// message says so, if the machine allows fewer open files or threads.
    ///
    /// # Errors
    /// Fails if no thread can be started.
    pub fn new(
        trainable: Arc<dyn Trainable>,
        slots: usize,
        study: StudyContext,
    ) -> Result<Self, ExecutorError> {
        let (signals, received) = bounded(WAITING_SIGNALS);
        let (alive, workers) = bounded(0);
        let requested = slots.clamp(1, MOST_SLOTS);
        let room = ulimit::room().map_err(ExecutorError::NoRoom)?;
        let mut pool = Self {
            slots: Vec::new(),
            signals: received,
            trainable,
            shared: SharedByWorkers {
                study: Arc::new(study),
                waits: Arc::default(),
                signals,
                alive: Some(alive),
            },
            max_slots: room
                .as_ref()
                .map_or(MOST_SLOTS, |room| room.trials.min(MOST_SLOTS)),
            workers,
            threads: Vec::new(),
        };
        if let Some(room) = room.filter(|room| room.trials < requested) {
            let Room { trials, limit } = room;
            pool.shared.waits.tell(format!(
                "only {trials} of {requested} trials run at a time: {limit}"
            ));
        }
        pool.grow(requested)?;
        Ok(pool)
    }

    /// Bounds the number of slots; later calls of `resize` cannot exceed it.
    #[must_use]
    pub fn at_most(mut self, slots: usize) -> Self {
        self.max_slots = self.max_slots.min(slots.max(self.slots.len()));
        self
    }

    /// Adds slots until there are `slots`, or as many as possible.
    ///
    /// # Errors
    /// Fails if there is no slot, and none can be added.
    fn grow(&mut self, slots: usize) -> Result<(), ExecutorError> {
        let slots = slots.min(self.max_slots);
        let mut count = slots.saturating_sub(self.slots.len());
        while count > 0 {
            match self.add(count.min(slots - self.slots.len())) {
                Ok(()) => count = slots - self.slots.len(),
                // The machine is short of threads. Some may still be possible.
                Err(_) if count > 1 => count /= 2,
                Err(error) if self.slots.is_empty() => return Err(error),
                Err(_) => {
                    let most = self.slots.len();
                    self.shared.waits.tell(format!(
                        "only {most} of {slots} trials run at a time: no more threads may be \
                         started (see `ulimit -u` and `pids.max` of the control group)"
                    ));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Adds `count` slots, each with its own thread.
    fn add(&mut self, count: usize) -> Result<(), ExecutorError> {
        let first = self.slots.len();
        let threads = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(move |slot| format!("slot-{}", first + slot))
            .build()
            .map_err(|error| ExecutorError::Pool {
                slots: count,
                source: std::io::Error::other(error),
            })?;
        // Only a pool that is being dropped has no sender; it adds no workers.
        let Some(alive) = &self.shared.alive else {
            return Ok(());
        };
        // Each thread takes the worker of its own index once, and drops it when the thread ends.
        let mut workers = Vec::new();
        for _ in 0..count {
            let (jobs, queue) = unbounded();
            let (line, unusable) = (Arc::new(StopLine::new()), UnusableReason::default());
            let worker = Worker {
                jobs: queue,
                line: Arc::clone(&line),
                unusable: Arc::clone(&unusable),
                study: Arc::clone(&self.shared.study),
                waits: Arc::clone(&self.shared.waits),
                signals: self.shared.signals.clone(),
                trainable: Arc::clone(&self.trainable),
                _alive: alive.clone(),
            };
            let (sender, receiver) = bounded(1);
            // The channel has room for the one message that is ever sent on it.
            sender.send(worker).ok();
            workers.push(receiver);
            self.slots.push(PoolSlot {
                jobs,
                line,
                running: None,
                last: None,
                unusable,
            });
        }
        threads.spawn_broadcast(move |context| {
            if let Some(Ok(worker)) = workers.get(context.index()).map(Receiver::try_recv) {
                worker.work();
            }
        });
        self.threads.push(threads);
        Ok(())
    }

    fn free_slot_if_ended(&mut self, signal: &Signal) {
        if matches!(signal.kind, SignalKind::Ended(..)) {
            let ended = Some((signal.trial, signal.attempt));
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.running == ended) {
                slot.running = None;
            }
        }
    }
}

impl Executor for Pool {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let index = launch.slot;
        let slot = self
            .slots
            .get_mut(index as usize)
            .ok_or(ExecutorError::SlotGone(index))?;
        let is_unusable = slot.unusable.lock().is_ok_and(|reason| reason.is_some());
        if slot.running.is_some() || is_unusable {
            return Err(ExecutorError::SlotBusy(index));
        }
        slot.running = Some((launch.trial, launch.attempt));
        slot.last = slot.running;
        slot.jobs
            .send(launch)
            .map_err(|_| ExecutorError::SlotGone(index))
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        for slot in &self.slots {
            if let Some((running, attempt)) = slot.running
                && running == trial
            {
                slot.line.ask(trial, attempt, how);
            }
        }
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        let Ok(first) = self.signals.recv_timeout(at_most) else {
            return Vec::new();
        };
        let further = self.signals.try_iter().take(SIGNALS_AT_ONCE - 1);
        let signals: Vec<Signal> = first.into_iter().chain(further.flatten()).collect();
        for signal in &signals {
            // A slot is free again as soon as the driver sees the end of its trial.
            self.free_slot_if_ended(signal);
        }
        signals
    }

    fn wake_up(&self) -> Option<WakeUp> {
        Some(WakeUp::new(self.shared.signals.clone()))
    }

    fn resize(&mut self, slots: usize) -> usize {
        let requested = slots.min(self.max_slots);
        if requested > self.slots.len() {
            // If no threads can be added, the pool keeps the slots it has.
            self.grow(requested).ok();
        }
        requested.min(self.slots.len())
    }

    fn unusable(&self) -> BTreeMap<u32, String> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| Some((number, slot.unusable.lock().ok()?.clone()?)))
            .collect()
    }

    fn take_messages(&mut self) -> Vec<String> {
        self.shared.waits.take_messages()
    }

    fn halt(&mut self, halt: bool) {
        for slot in &self.slots {
            slot.line.halt(halt);
        }
        let begun = Instant::now();
        // A function cannot be suspended, so the wait is bounded.
        while self.slots.iter().any(|slot| slot.is_changing_to(halt))
            && begun.elapsed() < HALT_TIMEOUT
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl PoolSlot {
    /// Returns whether the trial of this slot is still to be suspended (`true`) or resumed
    /// (`false`). A free slot has nothing to suspend; one that is unusable may repeat its trial.
    fn is_changing_to(&self, halt: bool) -> bool {
        let is_unusable = self.unusable.lock().is_ok_and(|reason| reason.is_some());
        (self.running.is_some() || is_unusable) && self.line.is_halted() != halt
    }
}

impl Drop for Pool {
    /// Kills the running trials and repetitions, and waits for them. Their signals are discarded.
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            if let Some((trial, attempt)) = slot.last {
                slot.line.ask(trial, attempt, Stop::Kill);
            }
        }
        self.shared.alive = None;
        // Disconnecting the receiver releases workers that are blocked on a full channel.
        let (_, disconnected) = bounded(0);
        self.signals = disconnected;
        // Nothing is ever sent on this channel: it disconnects when the last worker has ended.
        self.workers.recv_timeout(ABANDON_AFTER).ok();
        self.trainable.close();
    }
}

/// The state of the worker of one slot.
struct Worker {
    jobs: Receiver<Launch>,
    line: Arc<StopLine>,
    unusable: UnusableReason,
    study: Arc<StudyContext>,
    waits: Arc<Waits>,
    signals: Sender<SignalOrCall>,
    trainable: Arc<dyn Trainable>,
    _alive: Sender<()>,
}

impl Worker {
    /// Runs one trial after another until the pool is dropped.
    fn work(self) {
        for mut launch in &self.jobs {
            // Made absolute once, for all that need it: each time is a system call.
            launch.dir = std::path::absolute(&launch.dir).unwrap_or(launch.dir);
            self.line.begin();
            let copies = self.trainable.compares_records();
            let copies = copies.then(RecordCopies::default);
            let trial = self.context(launch, copies, None, self.signals.clone());
            let outcome = self.run(&trial);
            let slot = trial.launch.slot;
            let has_follow_up = self.trainable.claim_follow_up(&trial, &outcome);
            let is_free = self.trainable.ready(slot).is_ok() && !has_follow_up;
            if !is_free {
                // Set before the end is reported, so that the driver does not take the slot for
                // free.
                set_unusable(&self.unusable, Some(String::new()));
            }
            let Outcome { exit, usage } = outcome;
            trial.send(SignalKind::Ended(exit.clone(), usage));
            if is_free || !self.wait_until_ready(slot) {
                continue;
            }
            if has_follow_up {
                self.follow_up(&trial, exit);
            }
            set_unusable(&self.unusable, None);
        }
    }

    fn context(
        &self,
        launch: Launch,
        copies: Option<RecordCopies>,
        repetition: Option<Repetition>,
        signals: Sender<SignalOrCall>,
    ) -> TrialContext {
        TrialContext {
            // If `invocation` panics the command is empty, and the start of the program fails with
            // that reason.
            invocation: catch_unwind(AssertUnwindSafe(|| {
                self.trainable.invocation(&launch, &self.study)
            }))
            .unwrap_or_default(),
            launch,
            repetition,
            begun: Instant::now(),
            copies,
            study: Arc::clone(&self.study),
            line: Arc::clone(&self.line),
            signals,
            folder: Mutex::default(),
            shortage: Mutex::default(),
        }
    }

    /// Lets the trainable repeat an ended trial.
    fn follow_up(&self, trial: &TrialContext, exit: Exit) {
        let dir = &trial.launch.dir;
        let Some(copies) = &trial.copies else {
            return;
        };
        // Without its records the trial is compared with nothing, and the next one is repeated.
        let recorded = Evidence::gather(exit, copies, dir, dir);
        let message = self
            .trainable
            .follow_up(trial, recorded.as_ref().ok(), &|repetition| {
                self.repeat(trial, repetition)
            });
        if let Some(message) = message {
            self.waits.tell(message);
        }
    }

    /// Runs an ended trial once more, in a folder of its own, which is then removed. Returns what
    /// it has recorded.
    fn repeat(
        &self,
        trial: &TrialContext,
        repetition: Repetition,
    ) -> Result<Evidence, NotRepeated> {
        let study = trial.launch.dir.parent().unwrap_or(Path::new(""));
        let dir = StudyDir::at(study).repetition(trial.launch.trial);
        // One that an earlier pilot has left.
        std::fs::remove_dir_all(&dir).ok();
        let launch = Launch {
            dir: dir.clone(),
            ..trial.launch.clone()
        };
        // Nothing reads these signals.
        let (signals, _) = bounded(0);
        let copies = RecordCopies::default();
        let repeated = self.context(launch, Some(copies.clone()), Some(repetition), signals);
        let outcome = self.run(&repeated);
        let cold_start = copies.cold_start();
        let recorded = Evidence::gather(outcome.exit, &copies, &dir, &trial.launch.dir);
        std::fs::remove_dir_all(&dir).ok();
        match (recorded, cold_start) {
            _ if repeated.stop_request().is_some() => Err(NotRepeated::CutOff),
            (_, Some(reason)) if repetition == Repetition::Forked => Err(NotRepeated::Cold(reason)),
            (recorded, _) => recorded.map_err(|_| NotRepeated::CutOff),
        }
    }

    /// Waits until the resources of the last trial are free again. Returns `false` if the pool is
    /// dropped before.
    fn wait_until_ready(&self, slot: u32) -> bool {
        let begun = Instant::now();
        while let Err(reason) = self.trainable.ready(slot) {
            // Drivers free memory with a delay, so a reason is given only after a while.
            let pause = if begun.elapsed() >= EXPECTED_RELEASE {
                set_unusable(&self.unusable, Some(reason));
                LATE_RELEASE_CHECK_INTERVAL
            } else {
                RELEASE_CHECK_INTERVAL
            };
            // No trial is sent before the slot is free, so this waits for the pool to be dropped.
            if matches!(
                self.jobs.recv_timeout(pause),
                Err(RecvTimeoutError::Disconnected)
            ) {
                return false;
            }
        }
        true
    }

    /// Creates the trial's folder, runs the trial and records its exit there.
    fn run(&self, trial: &TrialContext) -> Outcome {
        let identity = self.identity(&trial.launch);
        let created = self.try_until_possible(trial, || {
            self.folder(trial, &identity)
                .inspect_err(|error| trial.note_shortage(error))
        });
        match (created, trial.folder.lock()) {
            (Ok(Ok(created)), Ok(mut folder)) => *folder = Some(created),
            (Err(request), _) => return ended_early(request),
            (Ok(Err(error)), _) => {
                return not_started(format!("could not create the trial's folder: {error}"));
            }
            // Poisoned: a panic of an earlier user of this context. Only `info.yaml` is lost.
            (_, Err(_)) => {}
        }
        let dirs = Dirs {
            workdir: trial.workdir().to_owned(),
            trial: trial.launch.dir.clone(),
        };
        let mut log = match TrialLogger::in_process(identity, dirs, self.sink(trial)) {
            Ok(log) => log,
            Err(error) => {
                return not_started(format!("could not create the trial's records: {error}"));
            }
        };
        log = log.with_secrets(self.study.secrets.clone());
        if trial.repetition.is_none() {
            log = log.with_models(Arc::clone(&self.study.models));
        }
        if let Some(digests) = &self.study.digests {
            log = log.with_cache(Arc::clone(digests));
        }
        log = log.with_deciding_metrics(&self.study.deciding);
        log = log.with_resource(self.study.resource.as_ref());
        // A panic ends this trial only; the worker goes on with the next one.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.train(trial, &mut log)));
        let outcome = outcome.unwrap_or_else(|panic| Outcome {
            exit: Exit::Failed(Failure::Panic(message(&*panic))),
            usage: Usage::default(),
        });
        let outcome = Outcome {
            exit: outcome.exit.redacted(&self.study.secrets),
            ..outcome
        };
        wait_for_room(trial);
        close(trial, log, &outcome);
        outcome
    }

    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        // A trial without a command is a function in this process; a program reports its own
        // process id.
        if trial.invocation.argv.is_empty() {
            trial.note_running(std::process::id());
        }
        if let Some(from) = &trial.launch.from {
            let copied = self.try_until_possible(trial, || {
                checkpoint::copy(from, &trial.launch.dir.join("checkpoints"))
                    .and_then(|()| swath_log::remove_seal(&trial.launch.dir))
                    .inspect_err(|error| trial.note_shortage(error))
            });
            match copied {
                Ok(Ok(())) => {}
                Err(request) => return ended_early(request),
                Ok(Err(error)) => {
                    return not_started(format!(
                        "could not copy the checkpoint in `{}`: {error}",
                        from.display()
                    ));
                }
            }
        }
        if let Some(files) = &self.study.work_files {
            let launch = &trial.launch;
            let placed = self.try_until_possible(trial, || {
                files
                    .place(&launch.dir, launch.resume)
                    .inspect_err(|error| trial.note_shortage(error))
            });
            match placed {
                Ok(Ok(())) => {}
                Err(request) => return ended_early(request),
                Ok(Err(error)) => {
                    return not_started(format!("could not make its private workdir: {error}"));
                }
            }
        }
        for data_dir in trial.data_dir() {
            if let Err(error) = log.dataset(data_dir, "") {
                log.warn(format!(
                    "could not record the data set `{data_dir}`: {error}"
                ));
            }
        }
        let outcome = self
            .try_until_possible(trial, || self.trainable.train(trial, log))
            .unwrap_or_else(ended_early);
        if let (Exit::Failed(Failure::Code(_)), Some(files)) =
            (&outcome.exit, &self.study.work_files)
        {
            for file in files.missing(&trial.launch.dir) {
                log.warn(format!(
                    "`{file}` is in the project but not in the private workdir of the trial: name it in \
                     `link` or `copy` in [run]"
                ));
            }
        }
        outcome
    }

    /// Repeats a step of the start while the machine lacks something that it needs, which the step
    /// has noted in the trial's context. Ends early if the trial is to stop.
    fn try_until_possible<T>(
        &self,
        trial: &TrialContext,
        mut step: impl FnMut() -> T,
    ) -> Result<T, StopRequest> {
        let mut wait = FIRST_WAIT;
        let mut is_waiting = false;
        let result = loop {
            let result = step();
            let Some(shortage) = trial.take_shortage() else {
                break Ok(result);
            };
            if !is_waiting {
                self.waits.begin(shortage);
                is_waiting = true;
            }
            if let Some(request) = pause(trial, wait) {
                break Err(request);
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        if is_waiting {
            self.waits.end();
        }
        result
    }

    fn folder(&self, trial: &TrialContext, identity: &Identity) -> std::io::Result<TrialFolder> {
        TrialFolder::begin(&Beginning {
            dir: &trial.launch.dir,
            identity,
            params: &trial.launch.params,
            seed: trial.launch.seed,
            workdir: trial.workdir(),
            command: &trial.invocation.recorded,
            resume: trial.launch.resume,
            at: Timestamp::now(),
        })
    }

    fn identity(&self, launch: &Launch) -> Identity {
        Identity {
            study: self.study.name.clone(),
            pipeline: self.study.pipeline.clone(),
            stage: launch.stage(&self.study),
            trial: launch.trial,
            attempt: launch.attempt,
        }
    }

    fn sink(&self, trial: &TrialContext) -> Box<dyn Sink> {
        if let (Some(_), Some(copies)) = (trial.repetition, &trial.copies) {
            return Box::new(Unforwarded {
                copies: copies.clone(),
                dir: trial.launch.dir.clone(),
                secrets: self.study.secrets.clone(),
            });
        }
        Box::new(Forward {
            copies: trial.copies.clone(),
            launch: trial.launch.clone(),
            line: Arc::clone(&self.line),
            signals: self.signals.clone(),
            study: Arc::clone(&self.study),
        })
    }
}

/// Sink that forwards the records of a trial to the driver as signals, and returns stop requests to
/// the trial.
struct Forward {
    /// Copies of the records for a comparison.
    copies: Option<RecordCopies>,
    launch: Launch,
    line: Arc<StopLine>,
    signals: Sender<SignalOrCall>,
    study: Arc<StudyContext>,
}

impl Sink for Forward {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.logged_from(record, None)
    }

    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        let Launch { trial, attempt, .. } = self.launch;
        let record = record.redacted(&self.study.secrets);
        if let Some(copies) = &self.copies {
            copies.push(record.clone());
        }
        let signal = Signal {
            trial,
            attempt,
            at: Timestamp::now(),
            kind: SignalKind::Logged(record, line_end),
        };
        // The receiver is gone: the pool is being dropped, so the trial is to stop.
        if self.signals.send(Some(signal)).is_err() {
            return Directive::Stop;
        }
        self.line
            .notice(&self.launch)
            .map_or(Directive::Continue, |request| request.reason.directive())
    }

    fn ask(&mut self, id: String) {
        let Launch { trial, attempt, .. } = self.launch;
        // An error means that the pool is being dropped; the trial is being killed then.
        self.signals
            .send(Some(Signal {
                trial,
                attempt,
                at: Timestamp::now(),
                kind: SignalKind::Asked(id),
            }))
            .ok();
    }
}

/// Sink that keeps the records of a repetition, and lets it go on whenever it asks.
struct Unforwarded {
    copies: RecordCopies,
    dir: PathBuf,
    secrets: Secrets,
}

impl Sink for Unforwarded {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.copies.push(record.redacted(&self.secrets));
        Directive::Continue
    }

    fn ask(&mut self, id: String) {
        let answer = Answer {
            id,
            directive: Directive::Continue,
            why: String::new(),
        };
        // Without an answer the program itself reports that, and its records differ.
        answer.give(&self.dir).ok();
    }
}

fn not_started(why: String) -> Outcome {
    Outcome {
        exit: Exit::Failed(Failure::Spawn(why)),
        usage: Usage::default(),
    }
}

/// Returns the outcome of an attempt that was to stop before it had started.
fn ended_early(request: StopRequest) -> Outcome {
    Outcome {
        exit: request.exit(),
        usage: Usage::default(),
    }
}

/// Waits for `duration`. Returns early, with the request, if the trial is to stop.
fn pause(trial: &TrialContext, duration: Duration) -> Option<StopRequest> {
    let begun = Instant::now();
    loop {
        let request = trial.stop_request();
        if request.is_some() || begun.elapsed() >= duration {
            return request;
        }
        std::thread::sleep(DISK_CHECK_INTERVAL.min(duration));
    }
}

/// Waits while the disk is so full, or so many files are open, that the trial's last files would be
/// lost. Returns early if the run is to end.
fn wait_for_room(trial: &TrialContext) {
    let is_full =
        || DiskSpace::at(&trial.launch.dir).is_some_and(|space| !space.is_enough_to_end());
    while (is_full() || !has_descriptors()) && !is_run_ending(trial) {
        std::thread::sleep(DISK_CHECK_INTERVAL);
    }
}

fn is_run_ending(trial: &TrialContext) -> bool {
    trial.stop_request().is_some_and(|request| {
        matches!(request.reason, Stop::Interrupt | Stop::Kill) || request.kill
    })
}

/// Completes the trial's folder. Errors become warnings; they do not change the exit of the trial.
fn close(trial: &TrialContext, mut log: TrialLogger, outcome: &Outcome) {
    if outcome.exit == Exit::Done {
        log.explain_absence();
    }
    let recorded = log.finish().unwrap_or_else(|error| {
        log.warn(format!("could not complete the trial's own files: {error}"));
        Recorded::default()
    });
    let folder = trial
        .folder
        .lock()
        .ok()
        .and_then(|mut folder| folder.take());
    if let Some(folder) = folder
        && let Err(error) = folder.end(&outcome.exit, &outcome.usage, &recorded, Timestamp::now())
    {
        log.warn(format!("could not write the trial's `info.yaml`: {error}"));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the value of the panic is not a text".to_owned())
}
