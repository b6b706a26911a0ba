//! The contract of executors, checked for each implementation: exactly one `Ended` for each started
//! attempt, the signals of a trial in order, and a stop that is idempotent and harmless for a trial
//! that does not run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use swath::executor::{
    Allotment, Closure, Executor, Invocation, Launch, Pool, Program, ProgramSettings, ProgramSpec,
    Signal, SignalKind, Simulated, Sources, Stop, StudyContext, TrialContext, TrialError, Warm,
};
use swath::logger::TrialLogger;
use swath::space::Params;
use swath::study::{Attempt, Datum, Exit, Failure, LogRecord, Metric, TrialId, Usage};

/// Maximum time that a test waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The behaviour of the trials of a world.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    /// Reports `loss` 0, 1, 2 and ends successfully.
    Reports,
    /// Runs until it is stopped.
    Endless,
}

/// An executor under test with its folder and helpers.
struct World {
    executor: Box<dyn Executor>,
    dir: tempfile::TempDir,
}

type Maker = fn(usize, Behaviour) -> World;

const EXECUTORS: [(&str, Maker); 3] = [
    ("pool of closures", closures),
    ("pool of programs", programs),
    ("simulated", simulated),
];

fn closures(slots: usize, behaviour: Behaviour) -> World {
    let train = move |trial: &TrialContext, log: &mut TrialLogger| -> Result<(), TrialError> {
        match behaviour {
            Behaviour::Reports => {
                for loss in 0..3 {
                    log.report(&[("loss", f64::from(loss))])?;
                }
            }
            Behaviour::Endless => {
                while !trial.stopping() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(())
    };
    let pool = Pool::new(Arc::new(Closure(train)), slots, StudyContext::default()).unwrap();
    World {
        executor: Box::new(pool),
        dir: tempfile::tempdir().unwrap(),
    }
}

fn programs(slots: usize, behaviour: Behaviour) -> World {
    let script = match behaviour {
        Behaviour::Reports => "report.sh",
        Behaviour::Endless => "endless.sh",
    };
    let path = format!("{}/tests/trainables/{script}", env!("CARGO_MANIFEST_DIR"));
    let program = Program::new(ProgramSettings {
        invoke: Box::new(move |_| Invocation::of(std::slice::from_ref(&path))),
        spec: ProgramSpec {
            env: Vec::new(),
            workdir: PathBuf::from("."),
            trial_time: None,
            system: None,
            grace: Duration::from_secs(5),
            stop: swath::executor::StopSignal::default(),
            log: 1 << 20,
            capture: Vec::new(),
            source_tables: Vec::new(),
            checkpoint: false,
            warm: Warm::Off,
            invalid: Vec::new(),
        },
        guard: None,
        allotment: Allotment::default(),
        tools: None,
        sources: Sources::default(),
    });
    let pool = Pool::new(Arc::new(program.unwrap()), slots, StudyContext::default()).unwrap();
    World {
        executor: Box::new(pool),
        dir: tempfile::tempdir().unwrap(),
    }
}

fn simulated(slots: usize, behaviour: Behaviour) -> World {
    let script = move |_: &Launch| match behaviour {
        Behaviour::Reports => (0..3)
            .map(|i| (Duration::from_secs(i), report(i as f64)))
            .collect(),
        Behaviour::Endless => {
            vec![(
                Duration::from_secs(1_000_000),
                SignalKind::Ended(Exit::Done, Usage::default()),
            )]
        }
    };
    World {
        executor: Box::new(Simulated::new(slots, script)),
        dir: tempfile::tempdir().unwrap(),
    }
}

fn report(loss: f64) -> SignalKind {
    let values = vec![("loss".into(), Datum::Number(Metric(loss)))];
    SignalKind::Logged(LogRecord::Report { values }, None)
}

impl World {
    fn launch(&self, trial: u32, slot: u32) -> Launch {
        Launch {
            trial: TrialId(trial),
            attempt: Attempt(1),
            params: Params::default(),
            seed: 7,
            slot,
            dir: self.dir.path().join(trial.to_string()),
            until: None,
            resume: false,
            resume_step: None,
            from: None,
            prepared: Vec::new(),
            preparation: None,
        }
    }

    fn start(&mut self, trial: u32, slot: u32) {
        let launch = self.launch(trial, slot);
        self.executor.start(launch).unwrap();
    }

    /// Waits until `count` attempts have ended, and a little longer to catch unexpected signals.
    fn until_ended(&mut self, count: usize) -> Vec<Signal> {
        let begun = Instant::now();
        let mut signals = Vec::new();
        while ended(&signals) < count && begun.elapsed() < PATIENCE {
            signals.extend(self.executor.wait(Duration::from_secs(1)));
        }
        signals.extend(self.executor.wait(Duration::from_millis(5)));
        signals
    }
}

fn ended(signals: &[Signal]) -> usize {
    signals
        .iter()
        .filter(|signal| matches!(signal.kind, SignalKind::Ended(..)))
        .count()
}

/// Returns the signals of each trial, without times, places and resource use.
fn by_trial(signals: &[Signal]) -> BTreeMap<TrialId, Vec<SignalKind>> {
    let mut by_trial: BTreeMap<TrialId, Vec<SignalKind>> = BTreeMap::new();
    for signal in signals {
        let what = match &signal.kind {
            SignalKind::Placed(_) => continue,
            SignalKind::Ended(exit, _) => SignalKind::Ended(exit.clone(), Usage::default()),
            // Only a program has lines with offsets.
            SignalKind::Logged(record, _) => SignalKind::Logged(record.clone(), None),
            other => other.clone(),
        };
        by_trial.entry(signal.trial).or_default().push(what);
    }
    by_trial
}

#[test]
fn every_attempt_ends_once_and_its_signals_are_in_order() {
    for (name, make) in EXECUTORS {
        let mut world = make(2, Behaviour::Reports);
        let mut all_signals = BTreeMap::new();
        for round in 0..5 {
            world.start(2 * round + 1, 0);
            world.start(2 * round + 2, 1);
            all_signals.extend(by_trial(&world.until_ended(2)));
        }
        let expected = [
            report(0.0),
            report(1.0),
            report(2.0),
            SignalKind::Ended(Exit::Done, Usage::default()),
        ];
        let expected: BTreeMap<_, _> = (1..=10)
            .map(|trial| (TrialId(trial), expected.to_vec()))
            .collect();
        assert_eq!(all_signals, expected, "{name}");
    }
}

#[test]
fn a_stopped_trial_ends_once_and_the_first_stop_decides_how() {
    let cases = [
        (Stop::Pause, Exit::Paused),
        (Stop::Verdict, Exit::Stopped),
        (Stop::Interrupt, Exit::Interrupted),
        (Stop::Kill, Exit::Interrupted),
    ];
    for (name, make) in EXECUTORS {
        for (how, exit) in cases.clone() {
            let mut world = make(1, Behaviour::Endless);
            world.start(1, 0);
            world.executor.wait(Duration::from_millis(20));
            world.executor.stop(TrialId(1), how);
            world.executor.stop(TrialId(1), how);
            world.executor.stop(TrialId(1), Stop::Interrupt);
            let signals = world.until_ended(1);
            world.executor.stop(TrialId(1), how);
            assert!(
                world.executor.wait(Duration::from_millis(5)).is_empty(),
                "{name}"
            );
            let expected =
                BTreeMap::from([(TrialId(1), vec![SignalKind::Ended(exit, Usage::default())])]);
            assert_eq!(by_trial(&signals), expected, "{name}, {how:?}");
        }
    }
}

#[test]
fn stopping_a_trial_that_does_not_run_changes_nothing() {
    for (name, make) in EXECUTORS {
        let mut world = make(1, Behaviour::Reports);
        world.executor.stop(TrialId(1), Stop::Kill);
        world.start(1, 0);
        world.executor.stop(TrialId(99), Stop::Kill);
        let signals = world.until_ended(1);
        world.executor.stop(TrialId(1), Stop::Kill);
        world.start(2, 0);
        let signals = [signals, world.until_ended(1)].concat();
        assert_eq!(
            by_trial(&signals).get(&TrialId(1)).map(Vec::len),
            Some(4),
            "{name}"
        );
        assert_eq!(
            by_trial(&signals).get(&TrialId(2)).map(Vec::len),
            Some(4),
            "{name}"
        );
    }
}

#[test]
fn a_slot_runs_one_trial_at_a_time() {
    for (name, make) in EXECUTORS {
        let mut world = make(1, Behaviour::Endless);
        world.start(1, 0);
        let second = world.launch(2, 0);
        assert!(world.executor.start(second).is_err(), "{name}");
        let nowhere = world.launch(3, 9);
        assert!(world.executor.start(nowhere).is_err(), "{name}");
        world.executor.stop(TrialId(1), Stop::Kill);
        assert_eq!(ended(&world.until_ended(1)), 1, "{name}");
    }
}

#[test]
fn dropping_an_executor_ends_its_attempts() {
    for (name, make) in EXECUTORS {
        let mut world = make(2, Behaviour::Endless);
        world.start(1, 0);
        world.start(2, 1);
        world.executor.wait(Duration::from_millis(20));
        let begun = Instant::now();
        drop(world);
        assert!(begun.elapsed() < Duration::from_secs(40), "{name}");
    }
}

#[test]
fn a_panic_ends_the_trial_and_not_the_slot() {
    let train = |trial: &TrialContext, _: &mut TrialLogger| -> Result<(), TrialError> {
        if trial.launch.trial == TrialId(1) {
            panic!("index {} is out of range", 7);
        }
        Err("no data".into())
    };
    let pool = Pool::new(Arc::new(Closure(train)), 1, StudyContext::default()).unwrap();
    let mut world = World {
        executor: Box::new(pool),
        dir: tempfile::tempdir().unwrap(),
    };
    world.start(1, 0);
    let mut signals = world.until_ended(1);
    world.start(2, 0);
    signals.extend(world.until_ended(1));
    let failures = [
        Failure::Panic("index 7 is out of range".into()),
        Failure::Error("no data".into()),
    ];
    let ends =
        failures.map(|failure| vec![SignalKind::Ended(Exit::Failed(failure), Usage::default())]);
    let expected: BTreeMap<_, _> = (1..).map(TrialId).zip(ends).collect();
    assert_eq!(by_trial(&signals), expected);
}

#[test]
fn the_index_of_a_worker_is_its_slot() {
    let train = |trial: &TrialContext, log: &mut TrialLogger| -> Result<(), TrialError> {
        let index = rayon::current_thread_index().ok_or("not in the pool")?;
        log.report(&[("loss", index as f64 - f64::from(trial.launch.slot))])?;
        Ok(())
    };
    let pool = Pool::new(Arc::new(Closure(train)), 4, StudyContext::default()).unwrap();
    let mut world = World {
        executor: Box::new(pool),
        dir: tempfile::tempdir().unwrap(),
    };
    for slot in (0..4).rev() {
        world.start(slot + 1, slot);
    }
    let signals = by_trial(&world.until_ended(4));
    assert_eq!(signals.len(), 4);
    assert!(
        signals.values().all(|of_trial| of_trial[0] == report(0.0)),
        "{signals:?}"
    );
}

#[test]
fn more_signals_than_the_channel_holds_all_arrive() {
    let train = |_: &TrialContext, log: &mut TrialLogger| -> Result<(), TrialError> {
        for loss in 0..5_000 {
            log.report(&[("loss", f64::from(loss))])?;
        }
        Ok(())
    };
    let pool = Pool::new(Arc::new(Closure(train)), 1, StudyContext::default()).unwrap();
    let mut world = World {
        executor: Box::new(pool),
        dir: tempfile::tempdir().unwrap(),
    };
    world.start(1, 0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(by_trial(&world.until_ended(1))[&TrialId(1)].len(), 5_001);
}

#[test]
fn the_virtual_clock_shows_the_times_of_the_signals() {
    let mut world = simulated(1, Behaviour::Reports);
    world.start(1, 0);
    let times: Vec<i64> = world
        .until_ended(1)
        .iter()
        .map(|signal| signal.at.as_micros())
        .collect();
    assert_eq!(times, [0, 1_000_000, 2_000_000, 2_000_000]);
}
