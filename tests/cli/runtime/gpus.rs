//! GPUs, with a fake driver program on the PATH that reads the memory use of each device from a
//! file.

use super::world::{Running, World};
use std::process::Stdio;

/// Returns a world with two devices, `gpu0` and `gpu1`, and files for their memory use in MiB.
fn world(trials: u32, more: &str, script: &str) -> World {
    let world = World::new(trials, &format!("[resources]\n{more}"), script);
    let dir = world.dir.path().display();
    world.write("gpu0", "10\n");
    world.write("gpu1", "10\n");
    let query = format!(
        "#!/bin/sh\ncd {dir}\nfor gpu in 0 1; do echo \"$gpu, GPU-$gpu, $(cat gpu$gpu)\"; done\n"
    );
    world.program("nvidia-smi", &query);
    world
}

const REPORT: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

#[test]
fn every_trial_has_a_device_of_its_own() {
    let script = format!(
        "gpu=$CUDA_VISIBLE_DEVICES\nmkdir held-$gpu || exit 3\nsleep 0.1\nrmdir held-$gpu\necho $gpu >> used\n{REPORT}"
    );
    let world = world(8, "gpus = 1", &script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let used = world.read("used");
    assert_eq!(used.lines().count(), 8);
    assert!(used.contains("0\n") && used.contains("1\n"), "{used}");
}

#[test]
fn two_trials_share_a_device_if_they_are_said_to() {
    let script = format!(
        "echo $CUDA_VISIBLE_DEVICES >> used\nuntil [ $(wc -l < used) -ge 4 ]; do sleep 0.02; done\n{REPORT}"
    );
    let world = world(4, "gpus = 0.5", &script);
    assert_eq!(world.run().code, Some(0));
    let mut used: Vec<_> = world.read("used").lines().map(str::to_owned).collect();
    used.sort();
    assert_eq!(used, ["0", "0", "1", "1"]);
}

#[test]
fn only_the_devices_that_are_named_are_used() {
    let world = world(
        3,
        "gpus = 1",
        &format!("echo $CUDA_VISIBLE_DEVICES >> used\n{REPORT}"),
    );
    assert_eq!(world.swath(&["run", "s.toml", "--gpus", "1"]).code, Some(0));
    assert_eq!(world.read("used"), "1\n1\n1\n");
    let ended = world.swath(&["run", "s.toml", "--gpus", "1,7"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .err
            .contains("GPU `7` does not exist; `nvidia-smi` lists 0, 1"),
        "{}",
        ended.err
    );
}

#[test]
fn more_devices_than_there_are_is_an_error_before_anything_starts() {
    let world = world(3, "gpus = 4", REPORT);
    let ended = world.run();
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .err
            .contains("each trial needs 4 GPUs (`resources.gpus`), but this machine has 2"),
        "{}",
        ended.err
    );
    assert!(!world.path("logs/s/1").exists());
}

#[test]
fn a_device_on_which_everything_fails_is_left_alone_and_costs_no_trial() {
    let script = format!(
        "[ $CUDA_VISIBLE_DEVICES = 1 ] && {{ echo 'ECC error' >&2; exit 1; }}\nsleep 0.1\n{REPORT}"
    );
    let world = world(20, "gpus = 1", &script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("slot 1 is paused: its trials failed within seconds"),
        "{}",
        ended.err
    );
    assert_eq!(world.column("state"), vec!["complete"; 20]);
    let why = world.swath(&["why", "s", "2"]).out;
    assert!(
        why.contains("requeued: slot 1, in which it failed, is paused"),
        "{why}"
    );
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn a_device_that_keeps_its_memory_is_left_alone_until_it_is_free() {
    let script = format!(
        "echo $CUDA_VISIBLE_DEVICES >> used\n[ $CUDA_VISIBLE_DEVICES = 1 ] && [ ! -e freed ] && echo 5000 > gpu1\nsleep 0.7\n{REPORT}"
    );
    let world = world(26, "gpus = 1", &script);
    let err = std::fs::File::create(world.path("err")).unwrap();
    let mut run = world.command(&["run", "s.toml"]);
    let mut run = Running(run.stdout(Stdio::null()).stderr(err).spawn().unwrap());
    world.until("the slot is paused", || {
        world.read("logs/s/journal.jsonl").contains("slot_paused")
    });
    let on_it = || world.read("used").lines().filter(|gpu| *gpu == "1").count();
    assert_eq!(on_it(), 1, "nothing may start on it");
    world.write("freed", "");
    world.write("gpu1", "20\n");
    assert_eq!(run.code(), Some(0));
    let err = world.read("err");
    assert!(
        err.contains("slot 1 is paused: GPU 1 still holds 4990 MiB more than when the run began"),
        "{err}"
    );
    assert!(err.contains("slot 1 is in use again"), "{err}");
    assert!(on_it() > 1);
}
