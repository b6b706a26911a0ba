//! Trials in pilots of a small batch system: a script that starts each job in a session of its own,
//! with an empty environment, as PBS or Grid Engine do.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{self, Journal, StudyDir};
use swath::provenance::Record;
use swath::study::{Event, Exit, Study, Timestamp, TrialId, TrialState};

/// Maximum time that a test waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The batch system. `submit` leaves a process that holds its output open.
const QUEUE: &str = r#"#!/bin/sh
jobs=$(dirname "$0")/jobs
case $1 in
submit)
    env -i PATH=/usr/bin:/bin setsid sh "$2" >"$3" 2>&1 </dev/null &
    echo "$!" >>"$jobs"
    echo "job $!"
    sleep 20 2>/dev/null &
    ;;
list)
    [ -f "$jobs" ] || exit 0
    while read -r pid; do
        state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null)
        [ -z "$state" ] || [ "$state" = Z ] || echo "$pid RUNNING"
    done <"$jobs"
    ;;
cancel) kill "$2" ;;
esac
"#;

const EXECUTOR: &str = r#"
[executor]
name = "command"
submit = ["./queue.sh", "submit", "{script}", "{log}"]
list = ["./queue.sh", "list"]
cancel = ["./queue.sh", "cancel", "{id}"]
id = 'job (\d+)'
listed = '^(?<id>\d+) (?<state>\w+)'
pilots = 1
slots = 2
poll = "1s"
lease = "4s"
"#;

struct World {
    folder: tempfile::TempDir,
}

#[test]
fn a_run_whose_jobs_can_never_start_says_so_and_ends() {
    let world = World::new("exit 0", "never = 'Can Never Run'\nwaiting = [\"Q\"]");
    let queue = "#!/bin/sh\ncase $1 in\nsubmit) echo job 7 ;;\nlist) echo 7 Q: Can Never Run ;;\n\
                 cancel) sleep 0.3; touch cancelled ;;\nesac\n";
    fs::write(world.path("queue.sh"), queue).unwrap();
    let sweep = fs::read_to_string(world.path("far.toml")).unwrap();
    let listed = "'^(?<id>\\d+) (?<state>\\w+): (?<reason>.*)'";
    let sweep = sweep.replace("'^(?<id>\\d+) (?<state>\\w+)'", listed);
    fs::write(world.path("far.toml"), sweep).unwrap();
    let mut run = world.swath(&["run", "far.toml"]);
    let mut run = run
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            run.kill().unwrap();
            panic!("the run waits for ever");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut text = String::new();
    std::io::Read::read_to_string(run.stderr.as_mut().unwrap(), &mut text).unwrap();
    assert!(!status.success(), "{text}");
    assert!(
        text.contains("no job can ever start") && text.contains("Can Never Run"),
        "{text}"
    );
    assert!(world.path("cancelled").exists(), "{text}");
}

impl World {
    /// Creates a sweep of two trials that run `trial` in a shell, with the number of the
    /// configuration as `$1`.
    fn new(trial: &str, executor: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("trial.sh", format!("#!/bin/sh\n{trial}\n")),
            ("queue.sh", QUEUE.to_owned()),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        let sweep = format!(
            "name = \"far\"\n[run]\ncommand = [\"./trial.sh\", \"{{n}}\"]\ngrace = \"1s\"\n\
             [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"grid\"\ntrials = 2\n\
             [space]\nn = {{ min = 1, max = 2 }}\n{EXECUTOR}{executor}\n"
        );
        fs::write(folder.path().join("far.toml"), sweep).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dir(&self) -> StudyDir {
        StudyDir::at(self.path("logs/far"))
    }

    fn study(&self) -> Study {
        journal::read(&self.dir()).unwrap()
    }

    fn swath(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command.args(words).current_dir(self.folder.path());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and returns its output.
    fn call(&self, words: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.swath(words).output().unwrap();
        let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{words:?}: {text}");
        text.into_owned()
    }

    /// Starts the sweep, and waits until both trials run.
    fn start(&self) -> Child {
        let mut run = self.swath(&["run", "far.toml"]);
        let run = run
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while fs::read_dir(self.folder.path())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with("started.")
            })
            .count()
            < 2
        {
            assert!(begun.elapsed() < PATIENCE, "the trials do not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        run
    }

    /// Sends a signal to the pilot.
    fn signal_pilot(&self, signal: &str) {
        let jobs = fs::read_to_string(self.path("jobs")).unwrap();
        let pid = jobs.lines().next().unwrap();
        let sent = Command::new("kill").args([signal, pid]).status().unwrap();
        assert!(sent.success(), "{signal} {pid}");
    }

    /// Returns the exits of all attempts of the study.
    fn exits(&self) -> Vec<Exit> {
        let entries = Journal::open(&self.dir()).unwrap();
        entries
            .filter_map(|entry| match entry.unwrap().event {
                Event::Ended { exit, .. } => Some(exit),
                _ => None,
            })
            .collect()
    }

    /// Starts the sweep, and kills the orchestrator once both trials run.
    fn run_and_kill(&self) {
        let mut run = self.start();
        // The orchestrator has read the places of the trials by now, or it reads them later.
        std::thread::sleep(Duration::from_millis(300));
        run.kill().unwrap();
        run.wait().unwrap();
    }
}

#[test]
fn a_trial_lasts_as_long_as_it_ran_though_its_orchestrator_was_away_at_its_end() {
    let trial = "touch started.$1\nuntil [ -e go ]; do sleep 0.1; done\n\
                 echo '{\"loss\": 0.5}' >>\"$SWATH_RECORDS\"";
    let world = World::new(trial, "");
    world.run_and_kill();
    let listed = world.call(&["ls", "far"]);
    assert!(
        listed.contains("runs in a pilot on") && !listed.contains("lost"),
        "{listed}"
    );
    let why = world.call(&["why", "far", "2"]);
    assert!(
        why.starts_with("trial 2 is running: it runs in a pilot on"),
        "{why}"
    );
    fs::write(world.path("go"), "").unwrap();
    let begun = Instant::now();
    while world
        .call(&["ls", "far"])
        .matches("ended in a pilot on")
        .count()
        < 2
    {
        assert!(begun.elapsed() < PATIENCE, "the trials do not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(3));
    let resumed = Timestamp::now();
    world.call(&["run", "far.toml"]);
    let study = world.study();
    for trial in study.trials() {
        assert_eq!((&trial.state, trial.attempts), (&TrialState::Complete, 1));
        let (started, ended) = (trial.started_at.unwrap(), trial.ended_at.unwrap());
        assert!(ended < resumed, "{trial:?}");
        let between = ended.since(started).as_secs_f64();
        assert!((between - trial.seconds).abs() < 0.01, "{trial:?}");
    }
    assert_eq!(world.call(&["ls", "far"]).matches("in a pilot").count(), 0);
}

#[test]
fn trials_get_the_environment_of_the_caller_and_the_record_is_that_of_their_machine() {
    let trial = "echo \"{\\\"loss\\\": ${FOO:-0}, \\\"threads\\\": ${OMP_NUM_THREADS:-0}, \
                 \\\"job\\\": ${JOB_ID:-0}}\" >>\"$SWATH_RECORDS\"";
    let world = World::new(trial, "prelude = [\"export OMP_NUM_THREADS=5\"]");
    let begun = Instant::now();
    let run = world
        .swath(&["run", "far.toml"])
        .env("FOO", "7")
        .env("OMP_NUM_THREADS", "3")
        .env("JOB_ID", "99")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    // The process that `submit` leaves behind holds its output open for longer than that.
    assert!(begun.elapsed() < Duration::from_secs(18), "{run:?}");
    let study = world.study();
    for trial in study.trials() {
        let last = |name: &str| trial.metrics.get(name).map(|tally| tally.last.0);
        assert_eq!(
            (last("loss"), last("threads"), last("job")),
            (Some(7.0), Some(5.0), Some(0.0))
        );
    }
    let record = Record::of(&world.dir()).unwrap();
    let threads = |variables: &std::collections::BTreeMap<String, String>| {
        variables.get("OMP_NUM_THREADS").cloned()
    };
    let of_trial = record.environment(TrialId(1)).unwrap();
    assert_eq!(threads(&of_trial.variables), Some("5".to_owned()));
    assert_eq!(
        threads(&record.environments[0].variables),
        Some("3".to_owned())
    );
    // The environment may hold secrets, and no job needs it any more.
    let left = fs::read_dir(world.path("logs/far/pilots")).unwrap();
    assert!(left.into_iter().all(|entry| {
        let name = entry.unwrap().file_name();
        !name.to_string_lossy().ends_with(".env")
    }));
}

/// A trial whose first attempt takes very long.
const LONG_AT_FIRST: &str = "[ -f started.$1 ] || { touch started.$1; sleep 300; }\n\
                             echo '{\"loss\": 0.5}' >>\"$SWATH_RECORDS\"";

#[test]
fn a_pilot_that_gets_the_warning_of_grid_engine_hands_its_trials_on() {
    let world = World::new(LONG_AT_FIRST, "walltime = \"1h\"");
    let sweep = fs::read_to_string(world.path("far.toml")).unwrap();
    let sweep = sweep.replace("\"{log}\"]", "\"{log}\", [\"{walltime}\"]]");
    fs::write(world.path("far.toml"), sweep).unwrap();
    let mut run = world.start();
    std::thread::sleep(Duration::from_millis(300));
    world.signal_pilot("-USR2");
    assert!(run.wait().unwrap().success());
    let interrupted = |exit: &&Exit| **exit == Exit::Interrupted;
    let exits = world.exits();
    assert_eq!(exits.len(), 4, "{exits:?}");
    assert_eq!(exits.iter().filter(interrupted).count(), 2, "{exits:?}");
}

#[test]
fn a_pilot_whose_job_is_no_longer_listed_is_given_up_before_its_lease_is_over() {
    let world = World::new(LONG_AT_FIRST, "");
    let sweep = fs::read_to_string(world.path("far.toml")).unwrap();
    let sweep = sweep.replace("lease = \"4s\"", "lease = \"10m\"");
    fs::write(world.path("far.toml"), sweep).unwrap();
    let mut run = world.start();
    let begun = Instant::now();
    world.signal_pilot("-KILL");
    assert!(run.wait().unwrap().success());
    // Two missed heartbeats, of 10 s each.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(120), "{took:?}");
    let exits = world.exits();
    let lost = exits.iter().filter(|exit| **exit == Exit::Lost);
    assert_eq!((lost.count(), exits.len()), (2, 4), "{exits:?}");
}

#[test]
fn slot_and_port_are_those_of_the_pilot_in_which_the_trial_runs() {
    let trial = "echo \"$2 $SWATH_PORT $MINE $SWATH_SLOT\"\nsleep 1\n\
                 echo '{\"loss\": 0.5}' >>\"$SWATH_RECORDS\"";
    let world = World::new(trial, "prelude = [\"export PRELUDE={study}\"]");
    let sweep = world.path("far.toml");
    let text = fs::read_to_string(&sweep).unwrap().replacen(
        "\"{n}\"]",
        "\"{n}\", \"{port}\"]\nenv = { MINE = \"{port}-{slot}\" }",
        1,
    );
    fs::write(&sweep, text).unwrap();
    world.call(&["run", "far.toml", "--time", "60s"]);
    let mut ports = Vec::new();
    for trial in 1..=2 {
        let log = world.path(&format!("logs/far/{trial}/stdout.log"));
        let log = fs::read_to_string(log).unwrap();
        let words: Vec<&str> = log.split_whitespace().collect();
        let [argument, variable, mine, slot] = words[..] else {
            panic!("{log}");
        };
        assert_eq!((argument, mine), (variable, &*format!("{variable}-{slot}")));
        assert!(variable.parse::<u16>().is_ok(), "{log}");
        ports.push(variable.to_owned());
    }
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn a_trial_in_a_pilot_is_stopped_by_the_run_and_without_one_by_the_next_run() {
    let trial = "touch started.$1\necho '{\"loss\": 0.5}' >>\"$SWATH_RECORDS\"\nsleep 300";
    let world = World::new(trial, "");
    let mut run = world.start();
    world.call(&["stop", "far", "1"]);
    let begun = Instant::now();
    while world.study().trials()[0].state != TrialState::Stopped && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(world.study().trials()[1].state, TrialState::Running);
    let message = world.call(&["stop", "far", "2"]);
    assert!(
        message.contains("when `swath run` takes it over"),
        "{message}"
    );
    let mut run = world.swath(&["run", "far.toml", "--time", "60s"]);
    run.output().unwrap();
    for trial in world.study().trials() {
        assert_eq!((&trial.state, trial.attempts), (&TrialState::Stopped, 1));
        assert!(trial.is_stopped_by_person());
    }
}
