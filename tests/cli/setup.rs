//! `[run] setup` is supervised, logged and ended as a trial is.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::runtime::world::{Running, World};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Returns a sweep of two trials with a setup that runs this script.
fn world(setup: &str) -> World {
    let report = "echo '{\"loss\": 1}' >> \"$SWATH_RECORDS\"\n";
    let world = World::new(2, "", report);
    let text = world.read("s.toml");
    let with_setup = text.replace("[run]\n", "[run]\nsetup = [\"sh\", \"setup.sh\"]\n");
    world.write("s.toml", &with_setup);
    world.write("setup.sh", setup);
    world
}

/// A setup that leaves a daemon, and then waits for minutes.
fn endless(first: &str) -> String {
    format!(
        "{first}\n(env -i setsid sh -c 'echo $$ > daemon; exec sleep 600' &)\n\
         until [ -s daemon ]; do sleep 0.01; done\necho $$ > main\nsleep 600 & wait; sleep 600\n"
    )
}

fn start(world: &World) -> Running {
    let child = world
        .command(&["run", "s.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = Running(child);
    world.until("the setup runs", || !world.read("main").is_empty());
    run
}

fn is_alive(world: &World, file: &str) -> bool {
    let pid = world.read(file).trim().to_owned();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim().starts_with(['Z', 'X']))
}

fn assert_ended(world: &World) {
    let begun = Instant::now();
    while is_alive(world, "main") || is_alive(world, "daemon") {
        assert!(begun.elapsed() < Duration::from_secs(10), "it lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(run: &Running, name: &str) {
    let words = [name, &run.id().to_string()];
    assert!(
        std::process::Command::new("kill")
            .args(words)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn its_output_is_in_a_log_and_on_standard_error_and_a_failure_starts_no_trial() {
    let world = world("echo prepared; echo carefully >&2\n[ -e good ]\n");
    let failed = world.run();
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(
        failed.err.contains("prepared\ncarefully\n"),
        "{}",
        failed.err
    );
    assert_eq!(world.read("logs/s/setup.log"), "prepared\ncarefully\n");
    assert!(!world.path("logs/s/1").exists());
    world.write("good", "");
    assert_eq!(world.run().code, Some(0));
    assert_eq!(world.column("state"), ["complete", "complete"]);
}

#[test]
fn ctrl_c_ends_the_setup_with_its_daemons_and_no_trial_starts() {
    let world = world(&endless(""));
    let mut run = start(&world);
    signal(&run, "-INT");
    assert_eq!(run.code(), Some(130));
    assert_ended(&world);
    assert!(!world.path("logs/s/1").exists());
}

#[test]
fn a_setup_that_ignores_sigterm_is_killed_by_a_second_ctrl_c() {
    let world = world(&endless("trap '' TERM"));
    let mut run = start(&world);
    signal(&run, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(is_alive(&world, "main"), "it has a grace period of 5 s");
    let begun = Instant::now();
    signal(&run, "-INT");
    assert_eq!(run.code(), Some(130));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_ended(&world);
}

#[test]
fn ctrl_z_stops_the_setup_until_the_run_goes_on() {
    let world = world("echo $$ > main\nwhile [ ! -e go ]; do echo . >> ticks; sleep 0.02; done\n");
    let mut run = start(&world);
    signal(&run, "-TSTP");
    world.until("the run is stopped", || state(run.id()) == Some('T'));
    let pid = world.read("main").trim().parse().unwrap();
    world.until("the setup is stopped", || state(pid) == Some('T'));
    world.write("go", "");
    signal(&run, "-CONT");
    assert_eq!(run.code(), Some(0));
}

/// Returns the state of a process as `/proc` names it, `T` if it is stopped.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

#[test]
fn swath_stop_ends_the_setup_and_no_trial_starts() {
    let world = world(&endless(""));
    let mut run = start(&world);
    assert_eq!(world.swath(&["stop", "s"]).code, Some(0));
    assert_eq!(run.code(), Some(130));
    assert_ended(&world);
    assert!(!world.path("logs/s/1").exists());
    world.write("setup.sh", "");
    assert_eq!(world.run().code, Some(0), "the request is not kept");
}

#[test]
fn a_request_to_drain_lets_the_setup_end_and_no_trial_starts() {
    let world = world("echo $$ > main\nuntil [ -e go ]; do sleep 0.05; done\n");
    let mut run = start(&world);
    assert_eq!(world.swath(&["stop", "s", "--drain"]).code, Some(0));
    std::thread::sleep(Duration::from_millis(200));
    assert!(is_alive(&world, "main"));
    world.write("go", "");
    assert_eq!(run.code(), Some(130));
    assert!(!world.path("logs/s/1").exists());
}

#[test]
fn the_setup_of_a_killed_orchestrator_ends_with_it() {
    let world = world(&endless(""));
    let mut run = start(&world);
    signal(&run, "-KILL");
    run.code();
    assert_ended(&world);
}
