//! One cgroup per trial: the processes it contains, and its removal. Where cgroups cannot be
//! created, each test reports that and passes.

use super::world::{Running, World};
use crate::processes::{helper_below, is_alive, kill, suspend};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const REPORT: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

/// A script that starts a process which only the cgroup ties to the trial: in a session of its own,
/// without an environment, its parent dead.
const HIDE: &str = "sleep 0.1\n(setsid env -i sh -c 'echo $$ > far; exec sleep 600' > /dev/null 2>&1 &)\n\
    until [ -s far ]; do sleep 0.01; done\n";

/// The cgroup of this process, in which runs create theirs.
struct Own {
    path: PathBuf,
    /// Groups that were there before the test. One of them may have been left by a killed run whose
    /// pid the run of this test has again.
    before: Vec<PathBuf>,
}

/// Returns the cgroup of this process if child groups can be created in it.
fn own_group() -> Option<Own> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?
        .split(' ')
        .nth(1)?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = PathBuf::from(mount).join(own);
    // Tests run side by side in one process.
    let trial = tempfile::Builder::new()
        .prefix("swath-test-")
        .tempdir_in(&path)
        .ok()?;
    std::fs::remove_dir(trial.keep()).ok()?;
    let before = children(&path);
    Some(Own { path, before })
}

fn children(group: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(group).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the cgroups that the process `run` of this test created.
fn groups_of(run: u32, own: &Own) -> Vec<PathBuf> {
    let mut groups = children(&own.path);
    groups.retain(|path| {
        let mut parts = path.file_name().unwrap().to_str().unwrap().split('-');
        parts.next() == Some("swath")
            && parts.nth(1) == Some(&*run.to_string())
            && !own.before.contains(path)
    });
    groups
}

macro_rules! own_group_or_skip {
    () => {
        match own_group() {
            Some(own) => own,
            None => {
                println!("skipped: no control group can be made here");
                return;
            }
        }
    };
}

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

fn pid_in(world: &World, file: &str) -> u32 {
    world.read(file).trim().parse().unwrap()
}

#[test]
fn one_that_hides_is_ended_with_its_trial_while_another_still_runs() {
    let own = own_group_or_skip!();
    let script = format!(
        "if mkdir first 2> /dev/null; then\n{HIDE}else until [ -e go ]; do sleep 0.05; done; fi\n{REPORT}"
    );
    let world = World::new(2, "[resources]\njobs = 2", &script);
    let mut run = start(&world);
    world.until("it hides", || !world.read("far").is_empty());
    let (far, begun) = (pid_in(&world, "far"), Instant::now());
    world.until("it is ended", || {
        !is_alive(far) || begun.elapsed() > Duration::from_secs(10)
    });
    assert!(!is_alive(far), "it outlived its trial");
    let groups = groups_of(run.id(), &own);
    assert!(groups.len() == 1, "the run goes on: {groups:?}");
    world.write("go", "");
    assert_eq!(run.code(), Some(0));
    assert_eq!(groups_of(run.id(), &own), Vec::<PathBuf>::new());
}

#[test]
fn what_hides_from_a_killed_orchestrator_is_ended_by_its_guard_which_removes_the_group() {
    let own = own_group_or_skip!();
    let world = World::new(1, "", &format!("{HIDE}sleep 600\n"));
    let mut run = start(&world);
    world.until("it hides", || !world.read("far").is_empty());
    let far = pid_in(&world, "far");
    assert_eq!(groups_of(run.id(), &own).len(), 1);
    kill(run.id());
    run.code();
    world.until("it is ended", || !is_alive(far));
    world.until("the group is gone", || groups_of(run.id(), &own).is_empty());
}

#[test]
fn what_hides_from_a_killed_guard_and_slot_too_is_ended_by_the_next_run() {
    let own = own_group_or_skip!();
    let world = World::new(
        1,
        "",
        &format!("[ -e go ] || {{\n{HIDE}sleep 600\n}}\n{REPORT}"),
    );
    let mut run = start(&world);
    world.until("it hides", || !world.read("far").is_empty());
    let far = pid_in(&world, "far");
    let guard = helper_below(run.id(), "guard").unwrap();
    let slot = helper_below(guard, "slot").unwrap();
    // Each of them would end what the others leave, so none may act while they are killed.
    let all = [slot, guard, run.id()];
    suspend(&all);
    all.into_iter().for_each(kill);
    run.code();
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        is_alive(far) && groups_of(run.id(), &own).len() == 1,
        "nobody is there to end it"
    );
    let doctor = world.swath(&["doctor", "s"]).out;
    assert!(
        doctor.contains("of trials that no run supervises") && doctor.contains(&far.to_string()),
        "{doctor}"
    );
    world.write("go", "");
    let next = world.run();
    assert_eq!(next.code, Some(0), "{}", next.err);
    assert!(!is_alive(far));
    assert_eq!(groups_of(run.id(), &own), Vec::<PathBuf>::new());
}

#[test]
fn five_hundred_short_trials_leave_no_group() {
    let own = own_group_or_skip!();
    let world = World::new(500, "[resources]\njobs = 2", REPORT);
    let mut run = start(&world);
    let mut seen = 0;
    while run.0.try_wait().unwrap().is_none() {
        let leaves = |group: &PathBuf| {
            let entries = std::fs::read_dir(group)
                .into_iter()
                .flatten()
                .filter_map(Result::ok);
            entries.filter(|entry| entry.path().is_dir()).count()
        };
        seen = seen.max(groups_of(run.id(), &own).iter().map(leaves).sum());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(run.code(), Some(0));
    assert!(seen <= 2, "{seen} at a time");
    assert_eq!(groups_of(run.id(), &own), Vec::<PathBuf>::new());
}

#[test]
fn the_time_of_a_daemon_that_ends_before_anybody_looks_counts() {
    let _own = own_group_or_skip!();
    let busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
    let script = format!(
        "sleep 0.1\nmkfifo far\n(setsid env -i sh -c '{busy}; echo done > far' > /dev/null 2>&1 &)\nread done < far\n{REPORT}"
    );
    let world = World::new(1, "", &script);
    assert_eq!(world.run().code, Some(0));
    let seconds: f64 = world.column("cpu_seconds")[0].parse().unwrap();
    let alone = World::new(1, "", &format!("sh -c '{busy}'\n{REPORT}"));
    assert_eq!(alone.run().code, Some(0));
    let waited: f64 = alone.column("cpu_seconds")[0].parse().unwrap();
    assert!(
        seconds > waited / 2.0 && seconds < waited * 2.0 + 0.1,
        "{seconds} and {waited}"
    );
}

#[test]
fn who_takes_ten_times_its_memory_at_once_is_ended_by_the_kernel_and_others_are_not() {
    let more = "[resources]\nmemory = \"50 MiB\"\njobs = 2";
    let hold = "(head -c 500m /dev/zero; sleep 30) | tail -c 999m > /dev/null";
    let script = format!(
        "if mkdir first 2> /dev/null; then {hold}; else until [ -e go ]; do sleep 0.05; done; fi\n{REPORT}"
    );
    let world = World::new(2, more, &script);
    if !world
        .swath(&["doctor"])
        .out
        .contains("the kernel enforces `resources.memory`")
    {
        println!("skipped: the memory controller cannot be had here");
        return;
    }
    let run = world
        .command(&["run", "s.toml"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let failed = || world.swath(&["ls", "s"]).out.contains("memory");
    world.until("it is ended", failed);
    world.write("go", "");
    let ended = crate::command::Ended::of(run.wait_with_output().unwrap());
    let cause = "the kernel killed it for lack of memory: `resources.memory` allows 50 MiB";
    assert!(ended.err.contains(cause), "{}", ended.err);
    let states = world.column("state");
    let failed = states.iter().position(|state| state == "failed").unwrap();
    assert_eq!(states[1 - failed], "complete");
    assert_eq!(
        world.column("exit")[failed],
        "used more memory than it was given"
    );
    let peak: f64 = world.column("peak_mib")[failed].parse().unwrap();
    assert!((45.0..=51.0).contains(&peak), "{peak}");
}
