//! Budgets are kept: time of a training, time of the sweep, number of trials. A complete driver
//! runs sweep files over simulated trials on a virtual clock.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;
use swath::driver::{Driver, Interrupt, Parts, replay};
use swath::executor::{Launch, SignalKind, Simulated};
use swath::journal::{self, Holder, StudyDir};
use swath::run::Versions;
use swath::source::Source;
use swath::study::{
    Closing, Datum, Exit, Failure, LogRecord, Metric, Study, Timestamp, Trial, TrialId, TrialState,
    Usage,
};
use swath::sweep::{Plan, Registry, Sweep};

const SECOND: Duration = Duration::from_secs(1);

/// A sweep over `x` with the metric `loss`, in a folder of its own.
struct World {
    folder: tempfile::TempDir,
    sweep: Sweep,
    slots: usize,
    run_time: Option<Duration>,
    /// The start of the next run, in seconds on the virtual clock.
    now: u64,
}

impl World {
    fn new(slots: usize, sections: &str) -> Self {
        Self::of(
            slots,
            "[objective]\nmetric = 'loss'\ngoal = 'min'",
            sections,
        )
    }

    fn of(slots: usize, objectives: &str, sections: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = format!(
            "name = 'budgets'\n{objectives}\n\
             [space]\nx = {{ min = 0.0, max = 1.0 }}\n{sections}"
        );
        std::fs::write(folder.path().join("sweep.toml"), &text).expect("it can be written");
        let source = Source {
            name: "budgets.toml".into(),
            text,
        };
        let sweep = Sweep::parse_for_function(source).expect("the sweep file is good");
        Self {
            folder,
            sweep,
            slots,
            run_time: None,
            now: 0,
        }
    }

    fn dir(&self) -> StudyDir {
        StudyDir::at(self.folder.path())
    }

    fn parts(&self) -> Parts {
        let Plan {
            sampler, scheduler, ..
        } = self
            .sweep
            .build(self.slots, None)
            .expect("its parts can be built");
        let header = swath::run::header(&self.sweep, None, self.slots);
        Parts {
            run_time: self.run_time,
            ..swath::run::parts(&self.sweep, header, sampler, scheduler)
        }
    }

    /// Runs the study from the current virtual time, with trials that follow `script`.
    fn run(
        &mut self,
        script: impl FnMut(&Launch) -> Vec<(Duration, SignalKind)> + Send + 'static,
    ) -> (Study, Closing) {
        let began = Timestamp::from_micros(i64::try_from(self.now).expect("small") * 1_000_000);
        let mut executor = Simulated::new(self.slots, script).starting_at(began);
        let holder = Holder {
            host: "h".into(),
            pid: 1,
            user: "u".into(),
            since: began,
        };
        let clock = Box::new(executor.clock());
        let mut driver =
            Driver::open(self.dir(), self.parts(), &holder, clock).expect("the study opens");
        let closing = driver
            .run(&mut executor, &Interrupt::default())
            .expect("the study runs");
        self.now = u64::try_from(executor.now().as_micros()).expect("after 1970") / 1_000_000;
        (driver.study().clone(), closing)
    }

    /// Returns the number of proposals that replay as recorded, and the number of all proposals.
    fn replayed(&self) -> (u64, u64) {
        let versions = Versions::of(&Registry::standard(), &self.dir());
        let found = replay::replay(&self.dir(), |header| versions.parts(header));
        let found = found.expect("it can be replayed");
        (
            found.checked - found.differences.len() as u64,
            found.checked,
        )
    }
}

fn report(values: &[(&str, f64)]) -> SignalKind {
    let datum = |(name, value): &(&str, f64)| ((*name).into(), Datum::Number(Metric(*value)));
    let values = values.iter().map(datum).collect();
    SignalKind::Logged(LogRecord::Report { values }, None)
}

/// Signals of a program that trains until it is stopped, one epoch a second, and improves all the
/// time.
fn trains_on(launch: &Launch) -> Vec<(Duration, SignalKind)> {
    let offset = f64::from(launch.trial.0);
    let epoch = |epoch: u32| {
        let values = [
            ("epoch", f64::from(epoch)),
            ("loss", offset + 1.0 / f64::from(epoch)),
        ];
        (SECOND * epoch, report(&values))
    };
    (1..=200).map(epoch).collect()
}

/// Signals of a program that reports once, after a second.
fn reports_once(launch: &Launch) -> Vec<(Duration, SignalKind)> {
    let values = [("loss", f64::from(launch.trial.0))];
    vec![
        (SECOND, report(&values)),
        (SECOND, SignalKind::Ended(Exit::Done, Usage::default())),
    ]
}

fn last_epoch(trial: &Trial) -> Option<f64> {
    Some(trial.metrics.get("epoch")?.last.0)
}

#[test]
fn a_trial_that_trains_on_is_ended_past_max_and_is_complete_with_what_it_showed_until_then() {
    for scheduler in ["fifo", "median", "asha", "hyperband"] {
        let section = format!(
            "[search]\nsampler = 'random'\ntrials = 3\n\
             [scheduler]\nname = '{scheduler}'\nresource = 'epoch'\nmax = 8\n"
        );
        // No scheduler stops a first trial that has no competitor.
        let section = if scheduler == "fifo" {
            section
        } else {
            format!("{section}min = 2\n")
        };
        let mut world = World::new(1, &section);
        let (study, closing) = world.run(trains_on);
        assert_eq!(closing, Closing::Finished, "{scheduler}");
        let first = study.trial(TrialId(1)).expect("it was created");
        assert_eq!(
            first.state,
            TrialState::Complete,
            "{scheduler}: {:?}",
            first.exit
        );
        assert_eq!(first.exit, Some(Exit::Done), "{scheduler}");
        assert_eq!(
            (last_epoch(first), first.step),
            (Some(8.0), Some(8.0)),
            "{scheduler}"
        );
        assert_eq!((first.reports, first.beyond), (8, 1), "{scheduler}");
        let loss = first.objective(&world.sweep.objectives[0]);
        assert_eq!(
            loss,
            Some(1.0 + 1.0 / 8.0),
            "{scheduler}: what came after does not count"
        );
        assert_eq!(
            first.why.as_deref(),
            Some("it went past epoch 8, the maximum of the resource")
        );
        assert!(
            study
                .trials()
                .iter()
                .all(|trial| last_epoch(trial) <= Some(8.0)),
            "{scheduler}"
        );
        assert_eq!(world.replayed(), (3, 3), "{scheduler}");
        assert_eq!(
            journal::read(&world.dir()).expect("it can be read"),
            study,
            "{scheduler}"
        );
    }
}

#[test]
fn a_program_that_asks_whether_it_may_go_on_trains_no_epoch_past_max() {
    let section = "[search]\nsampler = 'random'\ntrials = 1\n\
                   [scheduler]\nname = 'asha'\nresource = 'epoch'\nmin = 2\nmax = 8\n";
    let mut world = World::new(1, section);
    let (study, _) = world.run(|launch| {
        let asks = |(after, what)| [(after, what), (after, SignalKind::Asked("a".to_owned()))];
        trains_on(launch).into_iter().flat_map(asks).collect()
    });
    let trial = study.trial(TrialId(1)).expect("it was created");
    assert_eq!(
        (trial.state.word(), trial.reports, trial.beyond),
        ("complete", 8, 0)
    );
    let why = "it reached epoch 8, the maximum of the resource";
    assert_eq!((trial.why.as_deref(), trial.step), (Some(why), Some(8.0)));
}

#[test]
fn a_program_that_reports_seldom_has_a_result_although_its_first_is_past_max() {
    let section = "[search]\nsampler = 'random'\ntrials = 1\n\
                   [scheduler]\nname = 'asha'\nresource = 'epoch'\nmin = 2\nmax = 8\n";
    let mut world = World::new(1, section);
    let (study, _) = world.run(|_| {
        let tens = |tens: u32| {
            let values = [
                ("epoch", f64::from(10 * tens)),
                ("loss", 1.0 / f64::from(tens)),
            ];
            (SECOND * tens, report(&values))
        };
        (1..=20).map(tens).collect()
    });
    let trial = study.trial(TrialId(1)).expect("it was created");
    assert_eq!(
        (trial.state.word(), trial.reports, trial.step),
        ("complete", 1, Some(10.0))
    );
}

#[test]
fn the_time_of_a_sweep_is_that_of_all_its_runs_and_not_that_between_them() {
    let section = "[search]\nsampler = 'random'\ntrials = 500\n[limits]\ntime = '6s'\n";
    let mut world = World::new(1, section);
    world.run_time = Some(2 * SECOND);
    let (study, closing) = world.run(reports_once);
    assert_eq!((closing, study.used()), (Closing::RunTime, 2 * SECOND));
    world.now += 1000;
    world.run_time = None;
    let began = world.now;
    let (study, closing) = world.run(reports_once);
    assert_eq!(
        (closing, study.used(), world.now - began),
        (Closing::TimeLimit, 6 * SECOND, 4)
    );
    assert_eq!(study.running_count(), 0, "no trial is left as running");
    let created = study.trials().len();
    world.now += 1000;
    let (study, closing) = world.run(reports_once);
    assert_eq!((closing, study.used()), (Closing::TimeLimit, 6 * SECOND));
    assert_eq!(study.trials().len(), created, "nothing is started");
    world.sweep.limits.time = Some(9 * SECOND);
    let began = world.now;
    let (study, closing) = world.run(reports_once);
    assert_eq!(
        (closing, study.used(), world.now - began),
        (Closing::TimeLimit, 9 * SECOND, 3)
    );
}

#[test]
fn a_run_that_was_killed_counts_up_to_its_last_entry() {
    let section = "[search]\nsampler = 'random'\ntrials = 500\n[limits]\ntime = '6s'\n";
    let mut world = World::new(1, section);
    world.run_time = Some(4 * SECOND);
    world.run(reports_once);
    // Cut the journal as a kill after two seconds would leave it, without an entry for the end of
    // the run.
    let path = world.dir().journal();
    let text = std::fs::read_to_string(&path).expect("it can be read");
    let until = text
        .find(r#""at":"1970-01-01T00:00:02Z","event":{"started""#)
        .expect("two seconds");
    let line_end = until + text[until..].find('\n').expect("a whole line") + 1;
    std::fs::write(&path, &text[..line_end]).expect("it can be written");
    std::fs::remove_file(world.dir().snapshot()).expect("it is there");
    std::fs::remove_file(world.dir().mark()).expect("it is there");
    assert_eq!(
        journal::read(&world.dir()).expect("it can be read").used(),
        2 * SECOND
    );
    world.run_time = None;
    world.now = 5000;
    let (study, closing) = world.run(reports_once);
    assert_eq!(
        (closing, study.used(), world.now),
        (Closing::TimeLimit, 6 * SECOND, 5004)
    );
}

#[test]
fn a_study_of_several_objectives_is_replayed_and_its_front_is_complete() {
    for (checkpoint, scheduler) in [(false, "asha"), (true, "asha"), (true, "hyperband")] {
        let sections = format!(
            "[run]\ncheckpoint = {checkpoint}\n[search]\nsampler = 'tpe'\ntrials = 30\n\
             [scheduler]\nname = '{scheduler}'\nresource = 'epoch'\nmin = 1\nmax = 9\n"
        );
        let objectives = "[[objective]]\nmetric = 'loss'\ngoal = 'min'\n\
                          [[objective]]\nmetric = 'speed'\ngoal = 'max'";
        let mut world = World::of(3, objectives, &sections);
        // A large x is fast and has a large loss; every third configuration is bad in both
        // respects.
        let (study, closing) = world.run(|launch| {
            let x = launch
                .params
                .get("x")
                .and_then(swath::space::Value::as_f64)
                .unwrap_or(0.5);
            let malus = if launch.trial.0.is_multiple_of(3) {
                1.0
            } else {
                0.0
            };
            let epoch = |epoch: u32| {
                let rest = 1.0 / f64::from(epoch);
                let (loss, speed) = (x + rest + malus, x - malus);
                let values = [
                    ("epoch", f64::from(epoch)),
                    ("loss", loss),
                    ("speed", speed),
                ];
                (SECOND * epoch, report(&values))
            };
            (1..=20).map(epoch).collect()
        });
        assert_eq!(closing, Closing::Finished, "{scheduler}");
        assert_eq!(
            world.replayed(),
            (30, 30),
            "{scheduler}, checkpoints: {checkpoint}"
        );
        for trial in study.trials() {
            // Bad trials may be promoted if they are among the first at a rung.
            let is_good = !trial.id.0.is_multiple_of(3);
            let is_complete = trial.state == TrialState::Complete;
            assert!(
                is_complete || !is_good,
                "{scheduler}: trial {} {:?}",
                trial.id,
                trial.why
            );
        }
        assert!(
            study.counts().complete < 30,
            "{scheduler}: some are ended early"
        );
    }
}

/// Returns the number of trials of each configuration, in the order of their first trials.
fn seeds(study: &Study) -> Vec<usize> {
    let mut counts: BTreeMap<TrialId, usize> = BTreeMap::new();
    for trial in study.trials() {
        *counts.entry(study.configuration(trial.id)).or_default() += 1;
    }
    counts.into_values().collect()
}

#[test]
fn no_configuration_is_begun_whose_seeds_do_not_fit_into_the_total() {
    let points = "[[point]]\nx = 0.1\n[[point]]\nx = 0.2\n[[point]]\nx = 0.3\n";
    for (trials, slots, wanted) in [
        (15, 1, vec![5, 5, 5]),
        (15, 2, vec![5, 5, 5]),
        (15, 8, vec![5, 5, 5]),
        (14, 3, vec![5, 5]),
    ] {
        let section = format!(
            "[search]\nsampler = 'random'\ntrials = {trials}\n[replicate]\nseeds = 5\n{points}"
        );
        let mut world = World::new(slots, &section);
        // All configurations are equally good, so that the race drops none.
        let (study, closing) = world.run(|_| {
            let values = [("loss", 1.0)];
            vec![
                (SECOND, report(&values)),
                (SECOND, SignalKind::Ended(Exit::Done, Usage::default())),
            ]
        });
        assert_eq!(seeds(&study), wanted, "{trials} trials in {slots} slots");
        assert_eq!(
            closing,
            Closing::Finished,
            "{trials} trials in {slots} slots"
        );
        let all = wanted.iter().sum::<usize>() as u64;
        assert_eq!(
            world.replayed(),
            (all, all),
            "{trials} trials in {slots} slots"
        );
    }
}

#[test]
fn a_configuration_that_fails_makes_room_for_another() {
    let section = "[search]\nsampler = 'random'\ntrials = 6\n[replicate]\nseeds = 3\n";
    let mut world = World::new(2, section);
    let (study, closing) = world.run(|launch| {
        let fails = launch.trial == TrialId(1);
        let exit = if fails {
            Exit::Failed(swath::study::Failure::Code(1))
        } else {
            Exit::Done
        };
        vec![
            (SECOND, report(&[("loss", 1.0)])),
            (SECOND, SignalKind::Ended(exit, Usage::default())),
        ]
    });
    assert_eq!((seeds(&study), closing), (vec![1, 3], Closing::Finished));
}

/// Tests that run the binary over real programs.
#[cfg(all(feature = "cli", target_os = "linux"))]
mod over_the_binary {
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    const SWATH: &str = env!("CARGO_BIN_EXE_swath");

    fn swath(dir: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(SWATH);
        command
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .output()
            .expect("it can be started")
    }

    fn text_of(output: &Output) -> String {
        let (stdout, stderr) = (&output.stdout, &output.stderr);
        format!(
            "{}{}",
            String::from_utf8_lossy(stdout),
            String::from_utf8_lossy(stderr)
        )
    }

    /// Writes a sweep file that runs a shell script as its program.
    fn sweep(dir: &Path, trials: u32, script: &str, sections: &str) {
        let text = format!(
            "name = 's'\n[run]\ncommand = ['sh', '-c', '''{script}''', '{SWATH}', '{{x}}']\n\
             [objective]\nmetric = 'loss'\ngoal = 'min'\n\
             [search]\nsampler = 'random'\ntrials = {trials}\n[resources]\njobs = 1\n\
             [space]\nx = {{ min = 0.0, max = 1.0 }}\n{sections}"
        );
        std::fs::write(dir.join("s.toml"), text).expect("it can be written");
    }

    #[test]
    fn a_run_may_be_given_a_time_and_a_sweep_without_time_says_how_to_go_on() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        sweep(
            dir,
            500,
            "sleep 0.1; $0 report loss=$1",
            "[limits]\ntime = '3s'\n",
        );
        let first = swath(dir, &["run", "s.toml", "--time", "1s"]);
        assert!(first.status.success(), "{}", text_of(&first));
        assert!(text_of(&first).contains("the time limit of this run (`--time`) was reached"));
        assert!(
            text_of(&first).contains("continue with: "),
            "{}",
            text_of(&first)
        );
        let second = swath(dir, &["run", "s.toml"]);
        assert!(second.status.success(), "{}", text_of(&second));
        assert!(
            text_of(&second).contains("raise `time` under `[limits]`"),
            "{}",
            text_of(&second)
        );
        let created = text_of(&swath(dir, &["export", "s", "--csv"]))
            .lines()
            .count();
        let third = swath(dir, &["run", "s.toml"]);
        assert!(third.status.success(), "{}", text_of(&third));
        assert!(
            text_of(&third).contains("no trial is started: the time of the whole sweep"),
            "{}",
            text_of(&third)
        );
        let table = text_of(&swath(dir, &["export", "s", "--csv"]));
        assert_eq!(table.lines().count(), created, "{table}");
        assert!(!table.contains(",running,"), "{table}");
        let wrong = swath(dir, &["run", "s.toml", "--time", "soon"]);
        assert_eq!(wrong.status.code(), Some(2), "{}", text_of(&wrong));
        assert!(
            text_of(&wrong).contains("write 90s, 45m or 1h30m"),
            "{}",
            text_of(&wrong)
        );
    }

    #[test]
    fn a_program_that_trains_past_max_is_ended_and_its_folder_and_reason_say_complete() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        let script = "epoch=0; while :; do epoch=$((epoch + 1)); \
                      $0 report epoch=$epoch loss=-$epoch; sleep 0.05; done";
        let scheduler = "[scheduler]\nname = 'asha'\nresource = 'epoch'\nmin = 2\nmax = 4\n";
        sweep(dir, 1, script, scheduler);
        let run = swath(dir, &["run", "s.toml"]);
        assert!(run.status.success(), "{}", text_of(&run));
        let best = text_of(&swath(dir, &["best", "s", "--json"]));
        assert!(best.contains("\"loss\":-4"), "{best}");
        let why = text_of(&swath(dir, &["why", "s", "1"]));
        assert!(
            why.contains("trial 1 is complete: it went past epoch 4"),
            "{why}"
        );
        assert!(!why.contains("status 0"), "{why}");
        let shown = text_of(&swath(dir, &["show", "s", "1"]));
        assert!(
            shown.contains("past the maximum of the resource"),
            "{shown}"
        );
        let info = std::fs::read_to_string(dir.join("logs/s/1/metadata/info.yaml"));
        let info = info.expect("the folder has it");
        assert!(
            info.contains("COMPLETE") && !info.contains("stopped"),
            "{info}"
        );
    }
}

#[test]
fn a_trial_that_has_used_its_budget_is_complete_with_its_reports_and_one_without_result_failed() {
    for (budget, last, why) in [
        ("'4500ms'", 4.0, "it ran for 4.5 s, its `trial_budget`"),
        (
            "{ epoch = 6 }",
            6.0,
            "it reached epoch 6, its `trial_budget`",
        ),
    ] {
        let section = format!(
            "[search]\nsampler = 'random'\ntrials = 3\n[limits]\ntrial_budget = {budget}\n\
             trial_time = '1m'\n"
        );
        let mut world = World::new(2, &section);
        let (study, closing) = world.run(|launch| match launch.trial.0 {
            3 => vec![(9 * SECOND, SignalKind::Ended(Exit::Done, Usage::default()))],
            _ => trains_on(launch),
        });
        assert_eq!(closing, Closing::Finished, "{budget}");
        for trial in &study.trials()[..2] {
            assert_eq!(trial.state, TrialState::Complete, "{:?}", trial.exit);
            assert_eq!(last_epoch(trial), Some(last), "{budget}");
            assert_eq!(trial.why.as_deref(), Some(why));
        }
        let silent = study.trial(TrialId(3)).expect("it was created");
        assert_eq!(silent.state, TrialState::Failed);
        assert_eq!(world.replayed(), (3, 3), "{budget}");
    }
}

#[test]
fn a_budget_of_time_includes_the_attempts_from_which_a_trial_goes_on() {
    let section = "[search]\nsampler = 'random'\ntrials = 1\n\
                   [limits]\ntrial_budget = '10s'\ntime = '6s'\n[run]\ncheckpoint = true\n";
    let mut world = World::new(1, section);
    let (_, closing) = world.run(trains_on);
    assert_eq!(closing, Closing::TimeLimit);
    let checkpoints = world.dir().checkpoints(TrialId(1));
    std::fs::create_dir_all(&checkpoints).expect("a folder");
    std::fs::write(checkpoints.join("c"), "6").expect("a file");
    world.sweep.limits.time = None;
    let (study, closing) = world.run(trains_on);
    assert_eq!(closing, Closing::Finished);
    let trial = study.trial(TrialId(1)).expect("it was created");
    assert_eq!(trial.state, TrialState::Complete, "{:?}", trial.exit);
    assert!((9.0..=11.0).contains(&trial.seconds), "{}", trial.seconds);
}

#[test]
fn a_target_ends_the_sweep_and_the_next_run_starts_nothing_until_it_is_changed() {
    let objective = "[objective]\nmetric = 'loss'\ngoal = 'max'\ntarget = 3.0";
    let mut world = World::of(2, objective, "[search]\nsampler = 'random'\ntrials = 20\n");
    let (study, closing) = world.run(reports_once);
    assert_eq!(closing, Closing::TargetReached);
    assert_eq!(study.counts().complete, 4, "two run at a time");
    let (study, closing) = world.run(reports_once);
    assert_eq!((closing, study.trials().len()), (Closing::TargetReached, 4));
    world.sweep.targets = vec![Some(7.0)];
    let (study, closing) = world.run(reports_once);
    assert_eq!(
        (closing, study.counts().complete),
        (Closing::TargetReached, 8)
    );
}

#[test]
fn patience_ends_the_sweep_after_trials_that_brought_nothing_unless_a_running_one_still_does() {
    let section = "[search]\nsampler = 'random'\ntrials = 50\npatience = 4\n";
    let mut world = World::new(2, section);
    let (study, closing) = world.run(|launch| {
        // Trial 1 is the best for long; trial 2 runs until the others have brought nothing.
        let (seconds, loss) = match launch.trial.0 {
            2 => (8, 0.5),
            trial => (1, f64::from(trial)),
        };
        vec![
            (SECOND * seconds, report(&[("loss", loss)])),
            (
                SECOND * seconds,
                SignalKind::Ended(Exit::Done, Usage::default()),
            ),
        ]
    });
    assert_eq!(closing, Closing::Patience);
    assert_eq!(study.incumbent().map(|best| best.id), Some(TrialId(2)));
    assert_eq!(
        study.trials().len(),
        10,
        "six before trial 2 ended, four after"
    );
    let (study, closing) = world.run(reports_once);
    assert_eq!((closing, study.trials().len()), (Closing::Patience, 10));
}

#[test]
fn the_cost_and_the_gpu_hours_of_all_runs_end_the_sweep() {
    for (limits, expected, trials) in [
        ("cost = 5.5\nprice = 3600", Closing::CostLimit, 5),
        ("cost = 11.0\nprice = 'loss'", Closing::CostLimit, 5),
        ("gpu_hours = 0.002", Closing::GpuLimit, 3),
    ] {
        let section = format!(
            "[search]\nsampler = 'random'\ntrials = 50\n[resources]\ngpus = 2\n[limits]\n{limits}\n"
        );
        let mut world = World::new(1, &section);
        let (study, closing) = world.run(reports_once);
        assert_eq!(closing, expected, "{limits}");
        assert_eq!(study.counts().complete, trials, "{limits}");
        let (again, closing) = world.run(reports_once);
        assert_eq!(closing, expected, "{limits}");
        assert_eq!(again.trials().len(), study.trials().len(), "{limits}");
    }
}

#[test]
fn failures_count_as_quick_by_the_time_that_they_took_not_by_the_time_of_their_news() {
    for (measured, arrival, expected) in [
        (0.5, 3600, Closing::CircuitBreaker),
        (3600.0, 1, Closing::Finished),
    ] {
        let mut world = World::new(1, "[search]\nsampler = 'random'\ntrials = 12\n");
        let (study, closing) = world.run(move |_| {
            let exit = Exit::Failed(Failure::Code(1));
            let ended = SignalKind::Ended(exit, Usage::of_seconds(measured));
            vec![(SECOND * arrival, ended)]
        });
        assert_eq!(closing, expected, "{measured}");
        let first = study.trial(TrialId(1)).expect("it was created");
        assert_eq!(first.seconds, measured);
    }
}
