//! The preparations of the simulated machine: each writes the output that trials read, and may be
//! killed before its output has its name, and before its end is in the journal.

use super::{Leftover, Shared};
use rand::RngExt;
use std::fs;
use std::path::Path;
use std::time::Duration;
use swath::driver::PreparationPlan;
use swath::executor::{
    Executor, ExecutorError, Launch, Signal, SignalKind, Stop, begin_output, keep_output,
};
use swath::journal::{HALF_PREPARED, PREPARED, StudyDir};
use swath::space::{Params, Value};
use swath::study::preparation::OUTPUT_ROLE;
use swath::study::{
    Entry, Event, Exit, Failure, LogRecord, PreparationChange, Timestamp, TrialId, Usage,
};

/// Run time of a preparation.
const RUN_TIME: Duration = Duration::from_millis(90);

/// The whole content of an output.
const WHOLE: &str = "whole";

/// Returns the preparations of a study: one for each value of `n`, and one that reads its output.
pub(crate) fn plans() -> Vec<PreparationPlan> {
    let tokens = PreparationPlan {
        name: "tokens".into(),
        command: vec!["prepare".to_owned()],
        depends: vec!["n".into()],
        ..PreparationPlan::default()
    };
    let index = PreparationPlan {
        name: "index".into(),
        command: vec!["index".to_owned()],
        inputs: vec!["tokens".into()],
        ..PreparationPlan::default()
    };
    vec![tokens, index]
}

/// Returns whether all outputs that an attempt reads are there and whole.
pub(crate) fn are_whole(launch: &Launch) -> bool {
    let mut prepared = launch.prepared.iter();
    prepared.all(|prepared| is_whole(&prepared.folder))
}

fn is_whole(output: &Path) -> bool {
    fs::read_to_string(output.join("part")).is_ok_and(|text| text == WHOLE)
}

struct Running {
    launch: Launch,
    ends_at: Timestamp,
    /// The exit of a preparation that was asked to end.
    stopped: Option<Exit>,
}

/// Runs preparations on the virtual clock of the trials.
pub(crate) struct Preparer {
    dir: StudyDir,
    fate: Shared,
    now: Box<dyn Fn() -> Timestamp + Send>,
    slots: usize,
    running: Vec<Running>,
}

impl Preparer {
    pub(crate) fn new(
        dir: &StudyDir,
        fate: &Shared,
        now: impl Fn() -> Timestamp + Send + 'static,
        slots: usize,
    ) -> Self {
        Self {
            dir: dir.clone(),
            fate: fate.clone(),
            now: Box::new(now),
            slots,
            running: Vec::new(),
        }
    }

    /// Returns whether the journal says that the preparation is done, and its output is there.
    fn is_done(&self, launch: &Launch) -> bool {
        let exit_of = |entry: &Entry| match &entry.event {
            Event::Preparation {
                preparation,
                change: PreparationChange::Ended { exit, .. },
            } if preparation.0 == launch.trial.0 => Some(exit.clone()),
            _ => None,
        };
        let entries = super::entries(&self.dir);
        let last_exit = entries.iter().rev().find_map(exit_of);
        last_exit == Some(Exit::Done) && is_whole(&launch.dir.join(PREPARED))
    }

    /// Ends a preparation. Returns its last signals; `None` if the orchestrator was killed.
    fn end(&self, running: &Running) -> Option<Vec<SignalKind>> {
        let dir = &running.launch.dir;
        let ended = |exit: Exit| SignalKind::Ended(exit, Usage::default());
        if let Some(exit) = &running.stopped {
            return Some(vec![ended(exit.clone())]);
        }
        if is_failing(&running.launch.params) {
            return Some(vec![ended(Exit::Failed(Failure::Code(1)))]);
        }
        fs::write(dir.join(HALF_PREPARED).join("part"), WHOLE).unwrap();
        if self.is_killed("killed before an output had its name") {
            return None;
        }
        keep_output(dir).unwrap();
        if self.is_killed("killed before the end of a preparation was recorded") {
            return None;
        }
        let record = LogRecord::Dataset {
            data_dir: "output".to_owned(),
            role: OUTPUT_ROLE.to_owned(),
            md5: None,
            size: 5,
            files: 1,
            partial: Vec::new(),
        };
        Some(vec![SignalKind::Logged(record, None), ended(Exit::Done)])
    }

    fn is_killed(&self, how: &'static str) -> bool {
        let mut fate = self.fate.lock().unwrap();
        let is_killed = fate.often > 0 && fate.aside.random_range(0..20) == 0;
        if is_killed {
            fate.count(how);
            fate.dead = true;
        }
        is_killed
    }
}

/// Returns whether a preparation for these parameters fails, whenever it runs.
pub(crate) fn is_failing(params: &Params) -> bool {
    params.get("n") == Some(&Value::Int(4))
}

fn signal(launch: &Launch, at: Timestamp, kind: SignalKind) -> Signal {
    Signal {
        trial: launch.trial,
        attempt: launch.attempt,
        at,
        kind,
    }
}

impl Executor for Preparer {
    fn slots(&self) -> usize {
        self.slots
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        let is_disturbed = {
            let mut fate = self.fate.lock().unwrap();
            fate.check_start(&launch.dir);
            if !are_whole(&launch) {
                fate.break_invariant("a preparation was started without its whole input");
            }
            fate.disturbed_at.is_some()
        };
        if !is_disturbed && self.is_done(&launch) {
            let mut fate = self.fate.lock().unwrap();
            fate.break_invariant("a preparation ran again though its output was there");
        }
        begin_output(&launch.dir).unwrap();
        fs::write(launch.dir.join(HALF_PREPARED).join("part"), "ha").unwrap();
        self.running.push(Running {
            ends_at: (self.now)().after(RUN_TIME),
            launch,
            stopped: None,
        });
        Ok(())
    }

    fn stop(&mut self, trial: TrialId, how: Stop) {
        let now = (self.now)();
        let mut running = self.running.iter_mut();
        if let Some(running) = running.find(|running| running.launch.trial == trial) {
            running.stopped = Some(how.exit());
            running.ends_at = now;
        }
    }

    fn wait(&mut self, _: Duration) -> Vec<Signal> {
        let now = (self.now)();
        if self.fate.lock().unwrap().dead {
            // A dead process ends with the next entry that it writes.
            let text = "written by a dead process".to_owned();
            let kind = SignalKind::Logged(LogRecord::Note { text }, None);
            let running = self.running.iter();
            return running
                .map(|running| signal(&running.launch, now, kind.clone()))
                .collect();
        }
        let mut signals = Vec::new();
        while let Some(index) = self
            .running
            .iter()
            .position(|running| running.ends_at <= now)
        {
            let Some(kinds) = self.end(&self.running[index]) else {
                return Vec::new();
            };
            let Running { launch, .. } = self.running.remove(index);
            signals.extend(kinds.into_iter().map(|kind| signal(&launch, now, kind)));
        }
        signals
    }
}

impl Drop for Preparer {
    /// Leaves some of the programs alive, as the kill of all processes above them may.
    fn drop(&mut self) {
        let mut fate = self.fate.lock().unwrap();
        for Running { launch, .. } in self.running.drain(..) {
            fate.leave(Leftover {
                folder: launch.dir,
                trial: None,
            });
        }
    }
}
