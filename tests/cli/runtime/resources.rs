//! Memory limits, and the resource use of a trial's whole process tree.

use super::world::World;

const REPORT: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

/// Returns a script line that allocates `mib` MiB for `seconds` in a grandchild of the trial.
fn hold(mib: u32, seconds: &str) -> String {
    format!("(head -c {mib}m /dev/zero; sleep {seconds}) | tail -c 999m > /dev/null")
}

#[test]
fn a_trial_that_takes_too_much_memory_is_ended_and_may_try_again() {
    let script = format!("[ $SWATH_ATTEMPT = 1 ] && {}\n{REPORT}", hold(300, "20"));
    let more = "[resources]\nmemory = \"100 MiB\"\njobs = 1\n[retry]\ntimes = 1\non = [\"memory\"]";
    let world = World::new(1, more, &script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.err.contains("`resources.memory` allows 100 MiB"),
        "{}",
        ended.err
    );
    assert_eq!(world.column("attempts"), ["2"]);
    let why = world.swath(&["why", "s", "1"]).out;
    assert!(
        why.contains("attempt 1 ended: used more memory than it was given"),
        "{why}"
    );
    let seconds: f64 = world.column("seconds")[0].parse().unwrap();
    assert!(seconds < 15.0, "it was not waited for: {seconds}");
}

#[test]
fn the_peak_is_that_of_all_processes_together() {
    let script = format!("{} &\n{} &\nwait\n{REPORT}", hold(150, "2"), hold(150, "2"));
    let world = World::new(1, "", &script);
    assert_eq!(world.run().code, Some(0));
    let peak: f64 = world.column("peak_mib")[0].parse().unwrap();
    assert!((290.0..500.0).contains(&peak), "{peak}");
}

#[test]
fn the_time_of_a_daemon_that_nobody_waits_for_counts() {
    let busy = "i=0; while [ $i -lt 100000000 ]; do i=$((i+1)); done";
    let script = format!("(setsid timeout 60 sh -c '{busy}' &)\nsleep 1.5\n{REPORT}");
    let world = World::new(1, "", &script);
    assert_eq!(world.run().code, Some(0));
    let seconds: f64 = world.column("cpu_seconds")[0].parse().unwrap();
    assert!(seconds > 0.3, "{seconds}");
}

#[test]
fn libraries_are_told_how_many_threads_to_use_unless_the_person_did() {
    let script =
        format!("echo $OMP_NUM_THREADS $MKL_NUM_THREADS $RAYON_NUM_THREADS > told\n{REPORT}");
    let world = World::new(1, "[resources]\ncpus = 1", &script);
    let sweep = world
        .read("s.toml")
        .replace("grace =", "env = { MKL_NUM_THREADS = \"7\" }\ngrace =");
    world.write("s.toml", &sweep);
    let run = world
        .command(&["run", "s.toml"])
        .env("OMP_NUM_THREADS", "5")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0));
    assert_eq!(world.read("told"), "5 7 1\n");
}

#[test]
fn what_no_machine_can_give_is_an_error_before_anything_starts() {
    for (resources, message) in [
        (
            "cpus = 100000",
            "each trial needs 100000 cores (`resources.cpus`)",
        ),
        (
            "memory = \"900 TiB\"",
            "each trial needs 900 TiB of memory (`resources.memory`)",
        ),
        ("gpus = 1", "the sweep needs GPUs (`resources.gpus`)"),
    ] {
        let world = World::new(1, &format!("[resources]\n{resources}"), REPORT);
        let run = world.run();
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert!(run.err.contains(message), "{}", run.err);
    }
}

#[test]
fn a_trial_finds_swath_though_the_person_has_not_installed_it() {
    let world = World::new(1, "", "swath report loss=$1 || exit 3\n");
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    world.program("swath", "#!/bin/sh\necho mine > mine\n");
    world.sweep(2, "");
    world.run();
    assert_eq!(
        world.read("mine"),
        "mine\n",
        "one that is on the path comes first"
    );
}

#[test]
fn of_the_workers_of_a_launcher_only_the_first_decides_whatever_rank_swath_itself_has() {
    let worker = "swath report epoch=1 loss=$((5 - RANK)) || exit 3\n";
    let launcher = format!("for RANK in 3 1 0 2; do export RANK WORLD_SIZE=4; {worker}done\n");
    for (script, outer) in [
        (launcher.as_str(), None),
        (&launcher, Some("3")),
        ("swath report loss=5", Some("3")),
    ] {
        let world = World::new(1, "", script);
        let mut run = world.command(&["run", "s.toml"]);
        if let Some(rank) = outer {
            run.env("RANK", rank)
                .env("WORLD_SIZE", "8")
                .env("SLURM_PROCID", rank);
        }
        let run = run.output().unwrap();
        assert_eq!(
            run.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        assert_eq!(world.column("loss"), ["5.0"]);
    }
}
