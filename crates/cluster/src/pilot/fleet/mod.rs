//! The orchestrator's side of the pilots: an executor whose slots are in jobs of a batch system.
//!
//! An attempt (trial, attempt) belongs to one pilot. The study's journal records the start first;
//! then the order is written. Reports about an attempt that was taken from a pilot are dropped and
//! counted. A silent pilot gets no more trials. It is lost once the batch system reports that its
//! job is over too, and then its trials are queued again.

mod heartbeat;
mod machines;
mod messages;
mod pilot_state;
mod polling;
mod submissions;

use super::engine::Engine;
use super::engine_thread::{self, EngineThread};
use super::ledger::{Ledger, LedgerLine};
use super::options::{IDLE, LEASE, ORPHAN, Options, POLL};
use super::script::Script;
use super::wire::{Assignment, Order, Spec};
use super::{PROTOCOL, PilotDir};
use heartbeat::Heartbeat;
use machines::Machines;
use pilot_state::{AssignedAttempt, PilotState};
use polling::Polling;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use submissions::{JobResources, Submissions};
use swath_engine::executor::{
    EarlierAttempt, Executor, ExecutorError, Invoke, Launch, ProgramSpec, Signal, SignalKind, Stop,
    Work,
};
use swath_model::source::secret::Secrets;
use swath_model::study::{Attempt, Exit, Timestamp, TrialId, Usage};

/// Most signals that [`Fleet::wait`] returns at once.
const SIGNALS_AT_ONCE: usize = 1024;

/// Target queue per pilot, in seconds of work, so that slots do not idle between two polls when
/// trials are short.
const QUEUE_SECONDS: f64 = 0.2;

/// Executor that runs trials in pilots.
pub(crate) struct Fleet {
    dir: PilotDir,
    study: PathBuf,
    called: PathBuf,
    invoke: Invoke,
    /// Secrets that no record shows.
    secrets: Secrets,
    spec: Spec,
    prelude: Vec<String>,
    swath: String,
    /// Names of the environment variables that hold a job's index.
    index: &'static [&'static str],
    /// Number of trials at the same time in all pilots together.
    jobs: usize,
    max_pilots: usize,
    job: JobResources,
    /// Whether the batch system may restart jobs by itself.
    restarts_jobs: bool,
    engine: EngineThread,
    ledger: Ledger,
    pilots: Vec<PilotState>,
    signals: VecDeque<Signal>,
    /// Ends of attempts whose pilot may be alive, with the time at which they are reported. By then
    /// the pilot has read that the attempts were taken from it.
    delayed: Vec<(Instant, Signal)>,
    messages: Vec<String>,
    submissions: Submissions,
    polling: Polling,
    heartbeat: Heartbeat,
    lease: Duration,
    /// Moving average of the run time of trials, in seconds; `None` before the first end.
    mean_seconds: Option<f64>,
    machines: Machines,
    dropped: u64,
    is_finished: bool,
}

impl Fleet {
    /// Takes over the pilots of an earlier run from the ledger. Submits no new ones.
    pub(crate) fn open(
        engine: Box<dyn Engine>,
        options: &Options,
        index: &'static [&'static str],
        work: Work,
    ) -> Result<Self, ExecutorError> {
        let study = std::path::absolute(&work.dir).map_err(files_error)?;
        let dir = PilotDir::of(&study);
        std::fs::create_dir_all(dir.root()).map_err(files_error)?;
        let swath = options.swath.clone().or_else(|| {
            let own = work.program.guard.as_ref()?.get_program();
            Some(own.to_string_lossy().into_owned())
        });
        let swath = swath.ok_or(ExecutorError::NoProgram)?;
        let slots = options.slots_per_job(&work.share).min(work.slots);
        let max_pilots = work.slots.div_ceil(slots.max(1));
        let lease = options.lease.unwrap_or(LEASE);
        let spec = spec(&work, options, slots, lease, max_pilots)?;
        let heartbeat = Heartbeat::take(&dir, spec.beat)?;
        let (ledger, live) = Ledger::open(&dir).map_err(files_error)?;
        let (cpus, gpus, memory) = options.of_job(&work.share, slots);
        let mut pilots = Vec::new();
        // Pilots outlive their orchestrator, so those of an earlier run may still work.
        for (name, batch) in live.batches {
            for index in (0..batch.count).filter(|index| !batch.gone.contains(index)) {
                pilots.extend(PilotState::restore_lives(
                    &dir,
                    &name,
                    index,
                    batch.id.as_deref(),
                    batch.count,
                ));
            }
        }
        let mut fleet = Self {
            job: JobResources { cpus, gpus, memory },
            restarts_jobs: engine.restarts_jobs(),
            engine: EngineThread::start(engine).map_err(files_error)?,
            study,
            called: work.called,
            invoke: work.program.invoke,
            secrets: work.study.secrets,
            prelude: options.prelude.clone(),
            swath,
            index,
            jobs: work.slots,
            max_pilots,
            ledger,
            signals: VecDeque::new(),
            delayed: Vec::new(),
            messages: Vec::new(),
            submissions: Submissions::new(),
            polling: Polling::new(options.poll.unwrap_or(POLL)),
            heartbeat,
            lease,
            mean_seconds: None,
            machines: Machines::default(),
            dropped: 0,
            is_finished: false,
            dir,
            spec,
            pilots,
        };
        if !fleet.pilots.is_empty() {
            // Ask the batch system at once: jobs may have ended while no orchestrator was running.
            let count = fleet.pilots.len();
            fleet.messages.push(format!(
                "looking for {} of an earlier run",
                pilots_of(count)
            ));
            fleet.polling.call_now();
        }
        Ok(fleet)
    }

    /// Returns the number of trials that may wait in a pilot's queue beyond its slots. Always 0
    /// with a single slot in all, because the next proposal may depend on the result of the running
    /// trial.
    fn queue_length(&self) -> usize {
        let slots = self.spec.slots;
        match self.mean_seconds {
            Some(mean) if self.jobs > 1 && mean < 1.0 => {
                // Bounded, because an average near zero would queue an unlimited number of trials.
                let trials = (slots as f64 * QUEUE_SECONDS / mean.max(0.002)).ceil() as usize;
                trials.min(8 * slots)
            }
            _ => 0,
        }
    }

    /// Returns the number of further trials that a pilot can take.
    fn capacity_of(&self, pilot: &PilotState, ahead: usize) -> usize {
        let takes_trials = pilot.hello.is_some()
            && pilot.gone.is_none()
            && !pilot.is_full
            && !self.is_suspect(pilot);
        if !takes_trials {
            return 0;
        }
        let quota = self.spec.trials_per_job.map_or(usize::MAX, |most| {
            usize::try_from(most.saturating_sub(pilot.ordered)).unwrap_or(usize::MAX)
        });
        (self.spec.slots + ahead)
            .saturating_sub(pilot.assigned.len())
            .min(quota)
    }

    fn is_suspect(&self, pilot: &PilotState) -> bool {
        // The job is over or the pilot is silent. It may be dead, so it gets no more trials.
        pilot.job_over.is_some() || pilot.last_message.elapsed() > self.lease
    }

    /// Returns the number of further trials that can be started now.
    fn startable(&self) -> usize {
        let ahead = self.queue_length();
        let room: usize = self
            .pilots
            .iter()
            .map(|pilot| self.capacity_of(pilot, ahead))
            .sum();
        let assigned: usize = self.pilots.iter().map(|pilot| pilot.assigned.len()).sum();
        // The pilots together may hold no more than `jobs` trials and their queues, even if they
        // have more slots.
        let most = self.jobs
            + ahead
                * self
                    .pilots
                    .iter()
                    .filter(|pilot| pilot.gone.is_none())
                    .count();
        room.min(most.saturating_sub(assigned))
    }

    fn send(&mut self, trial: TrialId, attempt: Attempt, kind: SignalKind) {
        self.signals.push_back(Signal {
            trial,
            attempt,
            at: Timestamp::now(),
            kind,
        });
    }

    fn flush_orders(&mut self) {
        for pilot in &mut self.pilots {
            if let Err(error) = pilot.flush()
                && pilot.warned_of.insert("orders")
            {
                self.messages.push(format!(
                    "could not write the orders to pilot {}: {error}",
                    pilot.name()
                ));
            }
        }
    }

    /// Cancels the jobs of pilots that did not kill a trial in time.
    fn cancel_unresponsive(&mut self) {
        for position in 0..self.pilots.len() {
            let pilot = &self.pilots[position];
            if pilot.gone.is_none()
                && pilot
                    .assigned
                    .values()
                    .any(AssignedAttempt::is_kill_overdue)
            {
                let id = pilot.cancel_id();
                self.engine
                    .ask(engine_thread::Request::Cancel(id.into_iter().collect()));
                self.lose_pilot(position, "it does not respond, and its job was cancelled");
            }
        }
    }

    /// Appends a line to the ledger. An error is reported, and the run goes on: after a crash, the
    /// next run only looks for more pilots than there are.
    fn append_to_ledger(&mut self, line: &LedgerLine) {
        if let Err(error) = self.ledger.append(line) {
            let path = self.dir.ledger();
            self.messages
                .push(format!("could not write `{}`: {error}", path.display()));
        }
    }
}

impl Executor for Fleet {
    fn slots(&self) -> usize {
        let mut free = self.startable();
        let used: BTreeSet<u32> = self
            .pilots
            .iter()
            .flat_map(|pilot| {
                pilot
                    .assigned
                    .values()
                    .map(|assigned_attempt| assigned_attempt.slot)
            })
            .collect();
        // The driver starts trials in the lowest slot numbers that are not in use. Return as many
        // numbers as needed for `free` of them to be unused.
        let mut slots = 0;
        while free > 0 || used.contains(&slots) {
            free -= usize::from(!used.contains(&slots));
            slots += 1;
        }
        slots as usize
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let invocation = (self.invoke)(&launch);
        let key = (launch.trial, launch.attempt);
        let ahead = self.queue_length();
        // Prefer the pilot with the most idle slots, that is, the fewest assigned attempts (all
        // pilots have the same number of slots); queues grow only when all slots are busy.
        let best = (0..self.pilots.len())
            .filter(|position| self.capacity_of(&self.pilots[*position], ahead) > 0)
            .rev()
            .min_by_key(|position| self.pilots[*position].assigned.len());
        let Some(pilot) = best.and_then(|position| self.pilots.get_mut(position)) else {
            // The pilot has left since the slots were counted. The trial ends as if the pilot had
            // returned it.
            self.send(
                key.0,
                key.1,
                SignalKind::Ended(Exit::Interrupted, Usage::of_seconds(0.0)),
            );
            return Ok(());
        };
        pilot.ordered += 1;
        pilot
            .assigned
            .insert(key, AssignedAttempt::new(launch.slot));
        pilot.order(&Order::Start(Box::new(Assignment::of(&launch, invocation))));
        Ok(())
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        for pilot in &mut self.pilots {
            let Some((key, assigned_attempt)) =
                pilot.assigned.iter_mut().find(|((id, _), _)| *id == trial)
            else {
                continue;
            };
            let attempt = key.1;
            // Starts the period after which `cancel_unresponsive` cancels the job.
            if how == Stop::Kill {
                assigned_attempt
                    .kill_ordered
                    .get_or_insert_with(Instant::now);
            }
            pilot.order(&Order::Stop {
                trial,
                attempt,
                how: how.into(),
            });
        }
    }

    fn wait(&mut self, at_most: Duration) -> Vec<Signal> {
        let begun = Instant::now();
        self.flush_orders();
        loop {
            self.handle_engine_responses();
            self.cancel_unresponsive();
            // Lost pilots were ordered to abandon their trials; the order must not wait.
            self.flush_orders();
            let now = Instant::now();
            let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.delayed)
                .into_iter()
                .partition(|(due, _)| *due <= now);
            self.delayed = later;
            self.signals
                .extend(due.into_iter().map(|(_, signal)| signal));
            for position in 0..self.pilots.len() {
                if self.pilots[position].is_poll_due(now) {
                    self.read_messages(position);
                }
            }
            if !self.signals.is_empty() {
                let count = self.signals.len().min(SIGNALS_AT_ONCE);
                return self.signals.drain(..count).collect();
            }
            let remaining = at_most.saturating_sub(begun.elapsed());
            if remaining.is_zero() {
                return Vec::new();
            }
            let next = self
                .pilots
                .iter()
                .filter_map(PilotState::next_poll_time)
                .min();
            let nap = next.map_or(remaining, |next| {
                next.saturating_duration_since(Instant::now())
                    .min(remaining)
            });
            // At most 50 ms, because responses of the batch system are only noticed by polling.
            std::thread::sleep(nap.clamp(Duration::from_millis(1), Duration::from_millis(50)));
        }
    }

    fn resize(&mut self, slots: usize) -> usize {
        self.jobs = slots.max(1);
        self.max_pilots = self.jobs.div_ceil(self.spec.slots.max(1));
        self.slots()
    }

    fn machines(&self) -> Option<usize> {
        Some(self.count_machines())
    }

    fn machine(&self, trial: TrialId) -> Option<u32> {
        self.machine_of(trial)
    }

    fn exclude_machine(&mut self, machine: u32) -> String {
        self.exclude(machine)
    }

    fn adopt(&mut self, earlier: Vec<EarlierAttempt>) -> Vec<(TrialId, Attempt)> {
        let mut lost = Vec::new();
        for EarlierAttempt {
            trial,
            attempt,
            slot,
            recorded,
            is_placed,
        } in earlier
        {
            let key = (trial, attempt);
            match self
                .pilots
                .iter_mut()
                // The orders of earlier runs show which pilot has the attempt.
                .find(|pilot| pilot.earlier_orders.contains(&key))
            {
                Some(pilot) => {
                    pilot.assigned.insert(
                        key,
                        AssignedAttempt {
                            records_to_skip: recorded,
                            is_placed,
                            ..AssignedAttempt::new(slot)
                        },
                    );
                }
                None => lost.push(key),
            }
        }
        lost
    }

    fn request_capacity(&mut self, more: &dyn Fn() -> usize) -> Result<(), ExecutorError> {
        self.heartbeat.beat(&self.dir)?;
        self.grow(more)
    }

    fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    fn finish(&mut self) {
        self.is_finished = true;
        if self.dropped > 0 {
            self.messages.push(format!(
                "dropped {} messages about attempts that had been moved to other pilots",
                self.dropped
            ));
        }
        self.dismiss_pilots();
    }
}

fn files_error(source: std::io::Error) -> ExecutorError {
    ExecutorError::Pilots { source }
}

/// Returns the settings of the sweep for the pilots.
fn spec(
    work: &Work,
    options: &Options,
    slots: usize,
    lease: Duration,
    pilots: usize,
) -> Result<Spec, ExecutorError> {
    let program = &work.program.spec;
    let workdir = std::path::absolute(&program.workdir).map_err(files_error)?;
    let beat = (lease / 4).clamp(Duration::from_millis(250), Duration::from_secs(10));
    Ok(Spec {
        protocol: PROTOCOL,
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        study: work.study.name.clone(),
        pipeline: work.study.pipeline.clone(),
        stage: work.study.stage.clone(),
        data_dir: work.study.data_dir.clone(),
        models: work.study.models.rule(),
        program: ProgramSpec {
            workdir,
            ..program.clone()
        },
        secret_env: work.study.secrets.names().map(str::to_owned).collect(),
        work_files: work.study.work_files.as_deref().cloned(),
        share: work.share,
        deciding: work.study.deciding.clone(),
        resource: work.study.resource.clone(),
        slots,
        trials_per_job: options.trials_per_job,
        walltime: options.walltime,
        margin: margin(program.grace, options.walltime),
        idle: options.idle.unwrap_or(IDLE),
        orphan: options.orphan.unwrap_or(ORPHAN),
        beat,
        look: Duration::from_millis(2 * pilots as u64)
            .clamp(Duration::from_millis(500), Duration::from_secs(2)),
    })
}

/// Returns the time before the end of a job at which trials are asked to end: the grace period and
/// five seconds, at most half of the walltime.
fn margin(grace: Duration, walltime: Option<Duration>) -> Duration {
    let margin = grace + Duration::from_secs(5);
    walltime.map_or(margin, |walltime| margin.min(walltime / 2))
}

fn pilots_of(count: usize) -> String {
    if count == 1 {
        "1 pilot".to_owned()
    } else {
        format!("{count} pilots")
    }
}
