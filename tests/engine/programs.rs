//! Programs as trials: how they end, what they receive, and what they leave behind. Each test ends
//! only the processes that it started.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Pid, kill_process};
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use swath::executor::{
    Allotment, Executor, Invocation, Launch, Pool, Program, ProgramSettings, ProgramSpec, Signal,
    SignalKind, Sources, Stop, StopSignal, StudyContext, Warm, guard, slot,
};
use swath::space::{Name, Params, Value};
use swath::study::{Attempt, Datum, Exit, Failure, LogRecord, Metric, Resource, TrialId, Usage};

/// Maximum time that a test waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The variable that names the role of this test program when a test starts it as a child.
const ROLE: &str = "SWATH_TEST_ROLE";

fn trainable(name: &str) -> String {
    format!("{}/tests/trainables/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn settings(command: &[&str]) -> ProgramSettings {
    settings_with(command, spec())
}

fn settings_with(command: &[&str], spec: ProgramSpec) -> ProgramSettings {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    ProgramSettings {
        invoke: Box::new(move |_| Invocation::of(&command)),
        spec,
        guard: None,
        allotment: Allotment::default(),
        tools: None,
        sources: Sources::default(),
    }
}

/// Returns the environment and limits of a program that runs in this repository.
fn spec() -> ProgramSpec {
    ProgramSpec {
        env: Vec::new(),
        workdir: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        trial_time: None,
        grace: Duration::from_secs(10),
        stop: StopSignal::default(),
        system: None,
        log: 1 << 20,
        capture: Vec::new(),
        source_tables: Vec::new(),
        checkpoint: false,
        invalid: Vec::new(),
        warm: Warm::Off,
    }
}

/// A pool of two slots with a folder of its own.
struct World {
    pool: Pool,
    dir: tempfile::TempDir,
}

/// The signals of an attempt and the time it took.
struct Story {
    signals: Vec<Signal>,
    took: Duration,
}

impl World {
    fn of(settings: ProgramSettings) -> Self {
        Self::deciding(settings, Vec::new())
    }

    /// Returns a pool for a study whose decisions use these metrics.
    fn deciding(settings: ProgramSettings, deciding: Vec<Name>) -> Self {
        let study = StudyContext {
            name: "digits".into(),
            pipeline: "vision".into(),
            stage: "tune".into(),
            workdir: settings.spec.workdir.clone(),
            deciding,
            ..StudyContext::default()
        };
        let program = Program::new(settings).unwrap();
        let pool = Pool::new(Arc::new(program), 2, study).unwrap();
        Self {
            pool,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn running(name: &str) -> Self {
        Self::of(settings(&[&trainable(name)]))
    }

    fn trial_dir(&self, trial: u32) -> PathBuf {
        self.dir.path().join(trial.to_string())
    }

    fn launch(&self, trial: u32) -> Launch {
        Launch {
            trial: TrialId(trial),
            attempt: Attempt(1),
            params: Params::from_iter([("lr".into(), Value::Float(0.5))]),
            seed: 7,
            slot: 0,
            dir: self.trial_dir(trial),
            until: None,
            resume: false,
            resume_step: None,
            from: None,
            prepared: Vec::new(),
            preparation: None,
        }
    }

    fn start(&mut self) {
        let launch = self.launch(1);
        self.pool.start(launch).unwrap();
    }

    /// Collects signals until one of them satisfies `is_last`.
    fn until(&mut self, is_last: impl Fn(&SignalKind) -> bool) -> Story {
        let begun = Instant::now();
        let mut signals: Vec<Signal> = Vec::new();
        while !signals.iter().any(|signal| is_last(&signal.kind)) {
            assert!(begun.elapsed() < PATIENCE, "only {signals:?}");
            signals.extend(self.pool.wait(Duration::from_millis(100)));
        }
        Story {
            signals,
            took: begun.elapsed(),
        }
    }

    fn until_reported(&mut self) -> Story {
        self.until(|what| matches!(what, SignalKind::Logged(LogRecord::Report { .. }, _)))
    }

    fn until_ended(&mut self) -> Story {
        self.until(|what| matches!(what, SignalKind::Ended(..)))
    }

    fn run(&mut self) -> Story {
        self.start();
        self.until_ended()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.trial_dir(1).join(file)).unwrap_or_default()
    }
}

impl Story {
    fn exit(&self) -> &Exit {
        self.ended().0
    }

    fn ended(&self) -> (&Exit, &Usage) {
        let Some(SignalKind::Ended(exit, usage)) = self.signals.last().map(|signal| &signal.kind)
        else {
            panic!("it has not ended: {:?}", self.signals);
        };
        (exit, usage)
    }

    fn losses(&self) -> Vec<f64> {
        self.signals.iter().filter_map(loss).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.signals
            .iter()
            .filter_map(|signal| match &signal.kind {
                SignalKind::Logged(LogRecord::Warning { text }, _) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

fn loss(signal: &Signal) -> Option<f64> {
    let SignalKind::Logged(LogRecord::Report { values }, _) = &signal.kind else {
        return None;
    };
    values.iter().find_map(|(name, datum)| match datum {
        Datum::Number(Metric(number)) if &**name == "loss" => Some(*number),
        _ => None,
    })
}

/// Returns the running processes with `mark` in their environment or command line.
fn marked(mark: &str) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let dir = entry.ok()?.path();
            let pid = dir.file_name()?.to_str()?.parse().ok()?;
            let is_marked =
                contains(&dir.join("environ"), mark) || contains(&dir.join("cmdline"), mark);
            (pid != std::process::id() && is_marked && is_alive(&dir)).then_some(pid)
        })
        .collect()
}

fn contains(file: &Path, mark: &str) -> bool {
    fs::read(file).is_ok_and(|all| all.windows(mark.len()).any(|part| part == mark.as_bytes()))
}

/// Returns whether the process of a folder of `/proc` is neither a zombie nor dead.
fn is_alive(process: &Path) -> bool {
    fs::read_to_string(process.join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn gone_within(mark: &str, patience: Duration) -> bool {
    let begun = Instant::now();
    while !marked(mark).is_empty() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn each_exit_of_a_program_has_its_own_kind() {
    let cases = [
        ("report.sh", Exit::Done),
        ("crash.sh", Exit::Failed(Failure::Code(3))),
        ("segfault.sh", Exit::Failed(Failure::Signal(11))),
        ("garbage.sh", Exit::Done),
        ("nan.sh", Exit::Done),
    ];
    for (name, exit) in cases {
        assert_eq!(World::running(name).run().exit(), &exit, "{name}");
    }
}

#[test]
fn the_last_line_of_a_traceback_is_the_cause_of_the_failure() {
    let (error, ended) = (
        "ValueError: bad shapes".to_owned(),
        Box::new(Failure::Code(1)),
    );
    let mut world = World::running("traceback.sh");
    assert_eq!(
        world.run().exit(),
        &Exit::Failed(Failure::Raised { error, ended })
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_reported_with_the_nearest_lines() {
    let lines = "stdout has `Test AUC: 0.99`, stderr has `auc on the training set: 1.0`";
    assert_eq!(
        absence_of_auc(Some(r"^auc=(\S+)")).unwrap(),
        format!(
            r"was not found: the pattern of `[capture]` matched nothing; {lines}: try `auc = 'AUC[:=]\s*(\S+)'`"
        )
    );
    let add = r"add `auc = 'AUC[:=]\s*(\S+)'` to `[capture]`";
    assert_eq!(
        absence_of_auc(None).unwrap(),
        format!("was never reported; {lines}: {add}")
    );
    assert_eq!(absence_of_auc(Some(r"AUC: (\S+)")), None);
}

/// Runs a program that prints its AUC, with the metric `auc` captured by a pattern. Returns the
/// reason why the trial has no number for it.
fn absence_of_auc(pattern: Option<&str>) -> Option<String> {
    let pattern = pattern.map(|pattern| ("auc".into(), regex::Regex::new(pattern).unwrap()));
    let settings = settings_with(
        &[&trainable("prints-auc.sh")],
        ProgramSpec {
            capture: pattern.into_iter().collect(),
            ..spec()
        },
    );
    let story = World::deciding(settings, vec!["auc".into()]).run();
    story
        .signals
        .into_iter()
        .find_map(|signal| match signal.kind {
            SignalKind::Logged(LogRecord::Absent { why, .. }, _) => Some(why),
            _ => None,
        })
}

#[test]
fn the_output_of_a_program_is_in_the_files_of_its_trial() {
    let mut world = World::running("crash.sh");
    world.run();
    assert_eq!(
        world.read("stderr.log"),
        "the learning rate makes no sense\n"
    );
}

#[test]
fn the_place_of_a_trial_is_its_first_signal_and_its_usage_comes_with_the_last() {
    let mut world = World::running("slow.sh");
    let story = world.run();
    let SignalKind::Placed(place) = &story.signals[0].kind else {
        panic!("{:?}", story.signals)
    };
    assert!(place.pid.is_some() && place.start_ticks.is_some() && place.boot_id.is_some());
    let (_, usage) = story.ended();
    assert!(usage.cpu_seconds > 0.0 && usage.peak_mib > 0.1, "{usage:?}");
}

#[test]
fn reports_arrive_while_the_program_runs() {
    let mut world = World::running("slow.sh");
    world.start();
    let first = world.until_reported();
    assert!(
        !first
            .signals
            .iter()
            .any(|signal| matches!(signal.kind, SignalKind::Ended(..)))
    );
    let rest = world.until_ended();
    assert_eq!(
        [first.losses(), rest.losses()].concat(),
        [0.0, 1.0, 2.0, 3.0, 4.0]
    );
}

#[test]
fn lines_that_are_no_records_are_warnings_and_the_good_ones_are_kept() {
    let mut world = World::running("garbage.sh");
    let story = world.run();
    assert_eq!(story.losses().first(), Some(&0.0));
    assert!(!story.warnings().is_empty());
}

#[test]
fn captured_output_of_an_unmodified_program_becomes_reports() {
    let capture = vec![("loss".into(), regex::Regex::new(r"loss=(\S+)").unwrap())];
    let mut world = World::of(settings_with(
        &[&trainable("print.sh")],
        ProgramSpec { capture, ..spec() },
    ));
    assert_eq!(world.run().losses(), [0.0, 1.0, 2.0]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_usage_of_the_whole_process_tree_is_sampled_except_for_a_short_trial() {
    let busy = "sh -c 'while :; do :; done' & sleep 2; kill $!; wait";
    let system = Some(Duration::from_millis(300));
    let mut world = World::of(settings_with(
        &["/bin/sh", "-c", busy],
        ProgramSpec { system, ..spec() },
    ));
    assert_eq!(world.run().exit(), &Exit::Done);
    let rows = world.read("metrics/system.json");
    assert!(rows.lines().count() >= 3, "{rows}");
    let last = rows.lines().last().unwrap();
    let [cpu, memory, processes] = ["cpu_percent", "memory_mib", "processes"].map(|key| {
        let value = last.split_once(&format!("\"{key}\": ")).unwrap().1;
        let value = value.split([',', '}']).next().unwrap();
        value.parse::<f64>().unwrap()
    });
    assert!(cpu > 5.0 && memory > 0.5 && processes >= 3.0, "{rows}");
    let mut short = World::of(settings_with(
        &["/bin/true"],
        ProgramSpec { system, ..spec() },
    ));
    short.run();
    assert_eq!(short.read("metrics/system.json"), "");
}

#[test]
fn a_program_gets_its_environment_arguments_and_working_directory() {
    let workdir = tempfile::tempdir().unwrap();
    let mut world = World::of(settings_with(
        &[&trainable("environment.sh"), "--lr=0.5", "a b"],
        ProgramSpec {
            env: vec![
                ("GIVEN".into(), "yes".into()),
                ("SWATH_SEED".into(), "forged".into()),
            ],
            workdir: workdir.path().to_owned(),
            ..spec()
        },
    ));
    let launch = Launch {
        until: Some(Resource(9)),
        resume: true,
        ..world.launch(1)
    };
    world.pool.start(launch).unwrap();
    world.until_ended();
    let dir = world.trial_dir(1).display().to_string();
    let expected = format!(
        "2 --lr=0.5 a b\n{workdir}\n{dir}/checkpoints\nGIVEN=yes\nSWATH_ATTEMPT=1\nSWATH_CHECKPOINT_DIR={dir}/checkpoints\n\
         SWATH_DATA_DIR=\nSWATH_PARAMS={dir}/params.json\nSWATH_PIPELINE=vision\nSWATH_RECORDS={dir}/records.jsonl\n\
         SWATH_RESUME=1\nSWATH_SEED=7\nSWATH_SLOT=0\nSWATH_STAGE=tune\nSWATH_STUDY=digits\nSWATH_TRIAL=1\nSWATH_TRIAL_DIR={dir}\n\
         SWATH_UNTIL=9\n",
        workdir = workdir.path().display(),
    );
    // The caller of the tests may set how long the fuzz targets run.
    let printed = world.read("stdout.log");
    let is_set_by_swath = |line: &&str| !line.starts_with("SWATH_FUZZ_");
    let printed: String = printed
        .split_inclusive('\n')
        .filter(is_set_by_swath)
        .collect();
    assert_eq!(printed, expected);
}

#[test]
fn a_program_that_cannot_be_started_fails_with_the_reason_and_a_remedy() {
    let readme = trainable("../engine/conformance/executor.rs");
    let cases: [(&[&str], &str); 7] = [
        (&["./no-such.sh"], "let `setup` build it"),
        (&["no-such-program"], "is not on PATH; install it"),
        (&["Cargo.toml"], "write `./Cargo.toml`"),
        (&["./tests"], "is a directory"),
        (&[&readme], "chmod +x"),
        (&["./tests/trainables/no-shebang.sh"], "#!/bin/sh"),
        (&[], "the command is empty"),
    ];
    for (command, remedy) in cases {
        let mut world = World::of(settings(command));
        let story = world.run();
        let Exit::Failed(Failure::Spawn(why)) = story.exit() else {
            panic!("{:?}", story.exit())
        };
        assert!(why.contains(remedy), "{command:?}: {why}");
    }
    let mut world = World::of(settings_with(
        &["/bin/true"],
        ProgramSpec {
            workdir: "/no/such/place".into(),
            ..spec()
        },
    ));
    let story = world.run();
    let Exit::Failed(Failure::Spawn(why)) = story.exit() else {
        panic!("{:?}", story.exit())
    };
    assert!(why.contains("workdir"), "{why}");
}

#[test]
fn a_program_may_save_and_report_after_sigterm() {
    let mut world = World::of(settings_with(
        &[&trainable("checkpoint.sh")],
        ProgramSpec {
            checkpoint: true,
            ..spec()
        },
    ));
    world.start();
    world.until_reported();
    world.pool.stop(TrialId(1), Stop::Pause);
    let story = world.until_ended();
    assert_eq!(story.exit(), &Exit::Paused);
    assert_eq!(story.losses(), [9.0]);
    assert_eq!(world.read("checkpoints/model"), "saved\n");
}

#[test]
fn a_program_that_polls_the_stop_file_ends_in_time() {
    let mut world = World::running("poll-stop.sh");
    world.start();
    world.until_reported();
    world.pool.stop(TrialId(1), Stop::Verdict);
    let story = world.until_ended();
    assert_eq!((story.exit(), story.losses()), (&Exit::Stopped, vec![1.0]));
    assert!(
        story.took < Duration::from_secs(5),
        "it took {:?}",
        story.took
    );
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_its_group_after_the_grace_period() {
    let grace = Duration::from_millis(300);
    let mut world = World::of(settings_with(
        &[&trainable("ignore-term.sh")],
        ProgramSpec { grace, ..spec() },
    ));
    world.start();
    world.until_reported();
    world.pool.stop(TrialId(1), Stop::Verdict);
    let story = world.until_ended();
    assert_eq!(story.exit(), &Exit::Stopped);
    assert!(
        story.took >= grace && story.took < Duration::from_secs(30),
        "it took {:?}",
        story.took
    );
    assert!(marked(&world.trial_dir(1).display().to_string()).is_empty());
}

#[test]
fn a_kill_takes_effect_at_once_even_within_the_grace_period() {
    let mut world = World::running("ignore-term.sh");
    world.start();
    world.until_reported();
    world.pool.stop(TrialId(1), Stop::Pause);
    std::thread::sleep(Duration::from_millis(30));
    world.pool.stop(TrialId(1), Stop::Kill);
    let story = world.until_ended();
    assert_eq!(story.exit(), &Exit::Interrupted);
    assert!(story.took < spec().grace, "it took {:?}", story.took);
}

#[test]
fn a_program_that_exceeds_the_trial_time_is_ended() {
    let limit = Duration::from_millis(200);
    let mut world = World::of(settings_with(
        &[&trainable("endless.sh")],
        ProgramSpec {
            trial_time: Some(limit),
            ..spec()
        },
    ));
    let story = world.run();
    assert_eq!(story.exit(), &Exit::Failed(Failure::Timeout(limit)));
    assert!(
        story.took >= limit && story.took < limit * 10,
        "it took {:?}",
        story.took
    );
}

#[test]
fn a_log_beyond_its_limit_is_cut_with_one_warning() {
    let mut world = World::of(settings_with(
        &[&trainable("flood.sh")],
        ProgramSpec {
            log: 300_000,
            ..spec()
        },
    ));
    let story = world.run();
    let kept = world.read("stdout.log");
    assert!(
        kept.len() <= 300_000 && kept.contains("bytes left out here"),
        "{} bytes",
        kept.len()
    );
    assert!(kept.ends_with("x 19\n"));
    let warnings = story
        .warnings()
        .iter()
        .filter(|text| text.contains("limits.log"))
        .count();
    assert_eq!(warnings, 1);
}

#[test]
fn a_log_is_cut_while_the_program_runs_also_after_a_report() {
    let mut world = World::of(settings_with(
        &[&trainable("watch-log.sh")],
        ProgramSpec {
            log: 300_000,
            ..spec()
        },
    ));
    let story = world.run();
    assert_eq!((story.exit(), story.losses()), (&Exit::Done, vec![0.5]));
}

#[test]
fn no_process_of_a_trial_survives_it() {
    // The unusual number in the command line identifies the processes, even those without an
    // environment.
    let seconds = format!("{}", 1_000_000 + std::process::id());
    let mut world = World::of(settings_with(
        &[&trainable("fork.sh"), &seconds],
        ProgramSpec {
            grace: Duration::from_millis(200),
            ..spec()
        },
    ));
    let story = world.run();
    assert_eq!((story.exit(), story.losses()), (&Exit::Done, vec![0.0]));
    let mark = world.trial_dir(1).display().to_string();
    assert_eq!(
        marked(&mark),
        Vec::<u32>::new(),
        "processes with the environment of the trial live after it"
    );
    drop(world);
    assert_eq!(
        marked(&seconds),
        Vec::<u32>::new(),
        "processes without it live after the run"
    );
}

/// A shell that leaves a daemon when its standard input is closed.
fn start_daemon(command: &str) -> Child {
    let script = format!("setsid {command} >/dev/null 2>&1 & echo; read line; exit 0");
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The daemon exists.
    let mut line = [0];
    shell
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    shell
}

#[test]
fn daemons_that_the_program_itself_starts_before_and_during_a_run_outlive_it() {
    // In a program of its own: to the run of another test, a daemon without an environment that
    // starts meanwhile is none of its program's.
    let status = this_program("program_with_daemons").status().unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "is a process that another test starts"]
fn program_with_daemons() {
    if std::env::var(ROLE).is_ok_and(|role| role == "program_with_daemons") {
        run_beside_daemons();
    }
}

fn run_beside_daemons() {
    let seconds = format!("{}", 3_000_000 + std::process::id());
    let mut before = start_daemon(&format!("env -i sleep {seconds}"));
    let mut world = World::running("report.sh");
    // Its daemon becomes an orphan while the run lasts.
    drop(before.stdin.take());
    before.wait().unwrap();
    let another_thread = std::thread::spawn({
        let sleep = format!("sleep {seconds}");
        move || {
            let mut during = start_daemon(&sleep);
            drop(during.stdin.take());
            during.wait().unwrap();
        }
    });
    another_thread.join().unwrap();
    assert_eq!(world.run().exit(), &Exit::Done);
    drop(world);
    let daemons = marked(&seconds);
    for pid in daemons.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
        kill_process(pid, rustix::process::Signal::KILL).ok();
    }
    assert_eq!(daemons.len(), 2);
}

#[test]
fn dropping_the_pool_ends_the_running_programs() {
    let mut world = World::running("ignore-term.sh");
    world.start();
    world.until_reported();
    let World { pool, dir } = world;
    let begun = Instant::now();
    drop(pool);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "it took {:?}, and the program runs for ever",
        begun.elapsed()
    );
    assert!(marked(&dir.path().display().to_string()).is_empty());
}

#[test]
fn the_trials_of_an_orchestrator_that_is_killed_die_with_it() {
    for whole_group in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut orchestrator = {
            use std::os::unix::process::CommandExt;
            let mut command = this_program("orchestrator_process");
            command
                .env("SWATH_TEST_DIR", dir.path())
                .process_group(0)
                .spawn()
                .unwrap()
        };
        let begun = Instant::now();
        while !dir.path().join("ready").exists() {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
        let mark = format!("SWATH_TRIAL_DIR={}", dir.path().display());
        assert!(marked(&mark).len() >= 4, "{:?}", marked(&mark));
        if whole_group {
            let group = rustix::process::Pid::from_child(&orchestrator);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        } else {
            orchestrator.kill().unwrap();
        }
        orchestrator.wait().unwrap();
        assert!(
            gone_within(&mark, PATIENCE),
            "{:?} with whole_group = {whole_group}",
            marked(&mark)
        );
    }
}

/// Returns a command that starts this test program in another role.
fn this_program(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = format!("programs::{role}");
    command
        .args(["--exact", &test, "--ignored", "--nocapture"])
        .env(ROLE, role);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "is a process that another test starts"]
fn guard_process() {
    if std::env::var(ROLE).is_ok_and(|role| role == "guard_process") {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        guard::run(socket, this_program("slot_process")).unwrap();
    }
}

#[test]
#[ignore = "is a process that another test starts"]
fn slot_process() {
    if std::env::var(ROLE).is_ok_and(|role| role == "slot_process") {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        slot::run(socket).unwrap();
    }
}

#[test]
#[ignore = "is a process that another test starts"]
fn orchestrator_process() {
    if std::env::var(ROLE).is_ok_and(|role| role == "orchestrator_process") {
        let seconds = format!("{}", 2_000_000 + std::process::id());
        let guard = Some(this_program("guard_process"));
        let settings = ProgramSettings {
            guard,
            ..settings(&[&trainable("ignore-term.sh"), &seconds])
        };
        let mut world = World::of(settings);
        let dir = PathBuf::from(std::env::var_os("SWATH_TEST_DIR").unwrap());
        for slot in 0..2 {
            let trial = slot + 1;
            let launch = Launch {
                slot,
                trial: TrialId(trial),
                dir: dir.join(trial.to_string()),
                ..world.launch(trial)
            };
            world.pool.start(launch).unwrap();
            world.until_reported();
        }
        fs::write(dir.join("ready"), "").unwrap();
        std::thread::sleep(PATIENCE * 3);
    }
}
