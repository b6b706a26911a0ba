//! The machine lacks something, or a trial puts something in the way: the run waits or goes on, and
//! no trial is blamed for it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{self, StudyDir};
use swath::study::{Study, TrialState};

/// Longest time that a run of these tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct World(tempfile::TempDir);

impl World {
    /// Makes a sweep of `trials` trials, each of which runs a script.
    fn new(script: &str, trials: u32, jobs: u32) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.0.path().join("trial.sh"), script).unwrap();
        let command = "command = [\"sh\", \"trial.sh\"]";
        let sweep = format!(
            "name = \"s\"\n[run]\n{command}\ngrace = \"50ms\"\n[objective]\nmetric = \"loss\"\n\
             goal = \"min\"\n[search]\nsampler = \"random\"\ntrials = {trials}\n\
             [resources]\njobs = {jobs}\n[limits]\nfailures = 1\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n"
        );
        fs::write(world.0.path().join("s.toml"), sweep).unwrap();
        world
    }

    /// Returns a shell that sets limits and then becomes `swath run`.
    fn limited(&self, limits: &str) -> Command {
        let swath = env!("CARGO_BIN_EXE_swath");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{limits}\nexec {swath} run s.toml")])
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    fn study(&self) -> Study {
        journal::read(&StudyDir::at(self.0.path().join("logs/s"))).unwrap()
    }

    fn assert_all_complete(&self, output: &Output, trials: usize) {
        let message = String::from_utf8_lossy(&output.stderr);
        let study = self.study();
        let complete = |state: &TrialState| *state == TrialState::Complete;
        let count = study
            .trials()
            .iter()
            .filter(|trial| complete(&trial.state))
            .count();
        assert_eq!(
            (count, output.status.code()),
            (trials, Some(0)),
            "{message}"
        );
    }
}

#[test]
fn trials_wait_for_open_files_and_none_fails() {
    let world = World::new("echo '{\"loss\": 1}' >> $SWATH_RECORDS; sleep 0.2", 40, 30);
    let output = world.limited("ulimit -n 100").output().unwrap();
    world.assert_all_complete(&output, 40);
    let study = world.study();
    assert!(
        study.trials().iter().all(|trial| trial.attempts == 1),
        "no attempt is used up"
    );
}

#[test]
fn as_many_trials_run_at_a_time_as_the_hard_limit_of_open_files_leaves_room_for() {
    for limit in [40, 60] {
        let world = World::new("echo '{\"loss\": 1}' >> $SWATH_RECORDS; sleep 0.1", 12, 30);
        let output = world
            .limited(&format!("ulimit -n {limit}"))
            .output()
            .unwrap();
        world.assert_all_complete(&output, 12);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            message.contains(&format!("may have {limit} open files")),
            "{message}"
        );
    }
}

#[test]
fn a_limit_of_open_files_with_no_room_for_a_trial_is_an_error_and_no_trial_is_lost() {
    let world = World::new("echo '{\"loss\": 1}' >> $SWATH_RECORDS", 2, 2);
    let output = world.limited("ulimit -n 16").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("raise the limit with `ulimit -n`"),
        "{message}"
    );
    let output = world.limited("").output().unwrap();
    world.assert_all_complete(&output, 2);
}

#[test]
fn the_run_raises_its_soft_limit_of_open_files_and_trials_keep_that_of_the_caller() {
    let script = "ulimit -Sn > $SWATH_TRIAL_DIR/soft; ulimit -Hn > $SWATH_TRIAL_DIR/hard; \
                  echo '{\"loss\": 1}' >> $SWATH_RECORDS; sleep 0.2";
    let world = World::new(script, 20, 20);
    let output = world
        .limited("ulimit -Sn 50; ulimit -Hn 500")
        .output()
        .unwrap();
    world.assert_all_complete(&output, 20);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!message.contains("open files"), "{message}");
    let trial = world.0.path().join("logs/s/1");
    let limits = ["soft", "hard"].map(|name| fs::read_to_string(trial.join(name)).unwrap());
    assert_eq!(limits, ["50\n", "500\n"]);
}

#[test]
fn fewer_trials_run_at_a_time_where_the_user_may_have_few_processes() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new("echo '{\"loss\": 1}' >> $SWATH_RECORDS; sleep 0.1", 12, 30);
    let folder = world.0.path();
    let copy = folder.join("swath");
    fs::copy(env!("CARGO_BIN_EXE_swath"), &copy).unwrap();
    for path in [folder, &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // The limit does not hold for the superuser, and counts the processes of the user elsewhere.
    let line = "ulimit -u 60 && exec ./swath run s.toml";
    let user = ["--reuid", "61234", "--regid", "61234", "--clear-groups"];
    let mut command = Command::new("setpriv");
    command
        .args(user)
        .args(["bash", "-c", line])
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null());
    let Ok(output) = command.output() else {
        println!("skipped: there is no `setpriv`");
        return;
    };
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("setpriv:") {
        println!("skipped: {message}");
        return;
    }
    world.assert_all_complete(&output, 12);
    assert!(message.contains("may have 60 processes"), "{message}");
}

#[test]
fn a_program_is_found_without_any_path_and_its_checkpoint_folder_exists() {
    let world = World::new(
        "echo 1 > $SWATH_CHECKPOINT_DIR/c && echo '{\"loss\": 1}' >> $SWATH_RECORDS",
        2,
        1,
    );
    let output = Command::new(env!("CARGO_BIN_EXE_swath"))
        .args(["run", "s.toml"])
        .current_dir(world.0.path())
        .env_clear()
        .output()
        .unwrap();
    world.assert_all_complete(&output, 2);
}

#[test]
fn a_limit_on_the_size_of_files_makes_the_run_wait_instead_of_killing_it() {
    let world = World::new("echo '{\"loss\": 1}' >> $SWATH_RECORDS", 60, 1);
    let errors = world.0.path().join("errors");
    let mut run = world.limited("ulimit -f 8");
    let mut run = run
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !fs::read_to_string(&errors).unwrap().contains("`ulimit -f`") {
        assert_eq!(run.try_wait().unwrap(), None, "it waits");
        assert!(begun.elapsed() < PATIENCE, "it never reaches the limit");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    run.wait().unwrap();
    // Without the limit the run goes on where it was.
    let output = world.limited("").output().unwrap();
    world.assert_all_complete(&output, 60);
}

#[test]
fn a_named_pipe_in_place_of_any_file_of_a_trial_does_not_hold_the_run() {
    let script = "swap() { rm -rf $1; mkfifo $1; }; cd $SWATH_TRIAL_DIR; \
                  echo '{\"loss\": 1}' >> records.jsonl; sleep 0.1; \
                  swap records.jsonl; swap stdout.log; swap stderr.log; swap params.json; swap stop; \
                  swap metadata/info.yaml; swap metrics/report.json; swap metrics/.mark; \
                  mkfifo checkpoints/pipe";
    let world = World::new(script, 2, 1);
    let begun = Instant::now();
    let run = world.limited("").spawn().unwrap();
    let output = run.wait_with_output().unwrap();
    assert!(begun.elapsed() < PATIENCE);
    world.assert_all_complete(&output, 2);
    for words in [
        ["logs", "s"],
        ["show", "s"],
        ["doctor", "s"],
        ["export", "s"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        let mut child = command
            .args(words)
            .current_dir(world.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{words:?} hangs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_second_request_to_stop_ends_the_run_at_once_whatever_a_slot_does() {
    // The digest of such a data set takes minutes, and the slot's thread computes it.
    let script = "truncate -s 400G $SWATH_TRIAL_DIR/zeros; \
                  echo '{\"kind\": \"note\", \"text\": \"before\"}' >> $SWATH_RECORDS; sleep 0.3; \
                  echo \"{\\\"kind\\\": \\\"dataset\\\", \\\"path\\\": \\\"$SWATH_TRIAL_DIR/zeros\\\"}\" >> $SWATH_RECORDS; \
                  sleep 60";
    for by_signals in [true, false] {
        let world = World::new(script, 2, 1);
        let run = world.limited("").spawn().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        if by_signals {
            let pid = rustix::process::Pid::from_child(&run);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        } else {
            let mut stop = Command::new(env!("CARGO_BIN_EXE_swath"));
            stop.args(["stop", "s", "--now"])
                .current_dir(world.0.path());
            assert!(stop.output().unwrap().status.success());
        }
        assert_ends_within_moments(&world, run);
    }
}

fn assert_ends_within_moments(world: &World, run: std::process::Child) {
    let begun = Instant::now();
    let output = run.wait_with_output().unwrap();
    let took = begun.elapsed();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(took < Duration::from_secs(20), "{took:?}: {message}");
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(world.study().trials().len() == 1);
}
