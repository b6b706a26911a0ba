//! Signals to the orchestrator while trials run.

use super::world::{Running, World};
use std::process::Stdio;
use std::time::Duration;

const REPORT: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

fn start(world: &World) -> Running {
    Running(
        world
            .command(&["run", "s.toml"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    assert!(
        std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Returns the state of a process as a letter, as in `ps`. Returns `None` if the process does not
/// exist.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

fn pid_in(world: &World, file: &str) -> Option<u32> {
    world.read(file).trim().parse().ok()
}

#[test]
fn trials_and_their_time_stand_still_while_the_run_does() {
    let script = format!(
        "setsid sh -c 'echo $$ > far; exec sleep 60' &\n(setsid sh -c 'echo $$ > lost; exec sleep 60' &)\necho $$ > near\nuntil [ -e go ]; do sleep 0.05; done\n{REPORT}"
    );
    let world = World::new(
        1,
        "[limits]\ntrial_time = \"4s\"\n[resources]\njobs = 1",
        &script,
    );
    let mut run = start(&world);
    let all = ["near", "far", "lost"];
    world.until("the trial runs", || {
        all.iter().all(|file| pid_in(&world, file).is_some())
    });
    let [near, far, lost] = all.map(|file| pid_in(&world, file).unwrap());
    signal(run.id(), "TSTP");
    world.until("all stand still", || {
        [run.id(), near, far, lost]
            .iter()
            .all(|pid| state(*pid) == Some('T'))
    });
    std::thread::sleep(Duration::from_secs(5));
    world.write("go", "");
    signal(run.id(), "CONT");
    assert_eq!(run.code(), Some(0));
    assert_eq!(world.column("state"), ["complete"]);
    assert_eq!(
        (state(far), state(lost)),
        (None, None),
        "what it left is ended"
    );
}

#[test]
fn a_run_that_goes_on_still_ends_a_trial_that_is_late() {
    let world = World::new(
        1,
        "[limits]\ntrial_time = \"1s\"\n[resources]\njobs = 1",
        "echo $$ > near\nsleep 60\n",
    );
    let mut run = start(&world);
    world.until("the trial runs", || pid_in(&world, "near").is_some());
    signal(run.id(), "TSTP");
    world.until("it stands still", || state(run.id()) == Some('T'));
    signal(run.id(), "CONT");
    assert_eq!(run.code(), Some(3));
    assert_eq!(world.column("exit"), ["ran longer than 1 s"]);
}

#[test]
fn a_hangup_and_the_warning_of_a_batch_system_end_the_run_as_sigterm_does() {
    for name in ["HUP", "USR1", "TERM"] {
        let world = World::new(3, "[resources]\njobs = 1", "echo $$ > near\nsleep 60\n");
        // The tests may run under `nohup`, and the child would inherit the ignored signal.
        let line = [
            "--default-signal=HUP",
            env!("CARGO_BIN_EXE_swath"),
            "run",
            "s.toml",
        ];
        let mut run = std::process::Command::new("env");
        let run = run
            .args(line)
            .current_dir(world.dir.path())
            .env_remove("SWATH_LOGS");
        let mut run = Running(
            run.stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        world.until("the trial runs", || pid_in(&world, "near").is_some());
        signal(run.id(), name);
        assert_eq!(run.code(), Some(143), "{name}");
        assert_eq!(state(pid_in(&world, "near").unwrap()), None);
        assert_eq!(world.column("state"), ["waiting"]);
    }
}

#[test]
fn a_hangup_that_is_to_be_ignored_is() {
    let world = World::new(
        1,
        "",
        &format!("echo $$ > near\nuntil [ -e go ]; do sleep 0.05; done\n{REPORT}"),
    );
    let line = format!(
        "trap '' HUP; exec {} run s.toml",
        env!("CARGO_BIN_EXE_swath")
    );
    let mut run = std::process::Command::new("sh");
    let mut run = run
        .args(["-c", &line])
        .current_dir(world.dir.path())
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    run = run.env_remove("SWATH_LOGS");
    let mut run = Running(run.spawn().unwrap());
    world.until("the trial runs", || pid_in(&world, "near").is_some());
    signal(run.id(), "HUP");
    std::thread::sleep(Duration::from_millis(500));
    world.write("go", "");
    assert_eq!(run.code(), Some(0));
}

#[test]
fn more_trials_run_at_a_time_when_they_are_asked_for() {
    let script =
        format!("echo $SWATH_TRIAL >> begun\nuntil [ -e go ]; do sleep 0.05; done\n{REPORT}");
    let world = World::new(6, "[resources]\njobs = 1", &script);
    let mut run = start(&world);
    let begun = || world.read("begun").lines().count();
    world.until("one runs", || begun() == 1);
    assert_eq!(world.swath(&["stop", "s", "--jobs", "4"]).code, Some(0));
    world.until("four run", || begun() == 4);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(begun(), 4);
    world.write("go", "");
    assert_eq!(run.code(), Some(0));
    assert_eq!(world.column("state"), vec!["complete"; 6]);
}
