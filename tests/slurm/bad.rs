//! Mistakes of users and sites: the batch system's own message is shown, and nothing is lost.

use super::world::{World, cluster, code_and_output, has};
use super::{SHORT, STEPS, slurm};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_refused_submission_shows_the_words_of_slurm() {
    let Some(_) = cluster() else { return };
    let world = World::new("refused", SHORT, 2, &slurm("partition = \"nowhere\""));
    let (code, output) = world.run();
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("invalid partition specified: nowhere"),
        "{output}"
    );
    let world = World::new("impossible", SHORT, 2, &slurm("cpus = 20"));
    let (code, output) = world.run();
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("Requested node configuration is not available"),
        "{output}"
    );
    assert_eq!(world.study().trials().len(), 0);
}

#[test]
fn a_job_that_can_never_start_is_reported_with_the_reason_of_slurm() {
    let Some(_) = cluster() else { return };
    // More CPUs than all nodes have together: Slurm accepts the job and lets it wait forever.
    let world = World::new("never", SHORT, 2, &slurm("cpus = 64"));
    let run = world.start();
    let begun = Instant::now();
    while !world
        .output()
        .contains("PartitionConfig: the job as submitted will never start")
    {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{}",
            world.output()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(world.swath(&["stop", "never"]).status().unwrap().success());
    assert_eq!(run.wait(), 130, "{}", world.output());
    world.assert_no_job_is_left();
}

#[test]
fn a_machine_without_slurm_is_an_error() {
    let Some(_) = cluster() else { return };
    let mut world = World::new("none", SHORT, 2, &slurm(""));
    world.env.push(("PATH".into(), "/nowhere".into()));
    let (code, output) = world.run();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("`sbatch` is not on PATH"), "{output}");
}

#[test]
fn a_folder_that_the_nodes_do_not_see_is_named() {
    if !has("mounts") {
        return;
    }
    let world = World::new("unseen", SHORT, 2, &slurm(""));
    // A mount in a separate namespace is invisible to all other processes.
    let begin = format!(
        "mkdir /tmp/swath-hidden && mount -t tmpfs none /tmp/swath-hidden && cp sweep.toml trial.sh /tmp/swath-hidden && cd /tmp/swath-hidden && exec '{}' run sweep.toml",
        env!("CARGO_BIN_EXE_swath")
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &begin])
        .current_dir(world.folder.path())
        .output();
    std::fs::remove_dir("/tmp/swath-hidden").unwrap();
    let (code, output) = code_and_output(&output.unwrap());
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("its node may not see that folder"),
        "{output}"
    );
    assert!(
        output.contains("pilots in a row failed to start"),
        "{output}"
    );
}

#[test]
fn an_older_swath_on_the_nodes_is_an_error() {
    let Some(_) = cluster() else { return };
    let world = World::new("older", SHORT, 2, "");
    let old = world.path("old-swath");
    std::fs::write(
        &old,
        "#!/bin/sh\necho \"error: unrecognized subcommand 'pilot'\" >&2\nexit 2\n",
    )
    .unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = std::fs::read_to_string(world.path("sweep.toml")).unwrap();
    world.sweep(&format!(
        "{text}{}",
        slurm(&format!("swath = \"{}\"", old.display()))
    ));
    let (code, output) = world.run();
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("unrecognized subcommand 'pilot'"),
        "{output}"
    );
}

#[test]
fn a_site_that_allows_small_arrays_gets_small_arrays() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "arrays",
        &format!("sleep 1\n{SHORT}"),
        6,
        &slurm("pilots = 6"),
    );
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(6);
    // The test cluster has `MaxArraySize=5`.
    assert!(world.notes("intent") >= 2, "{output}");
}

#[test]
fn a_node_on_which_trials_only_fail_is_left_out_and_they_run_elsewhere() {
    let Some(_) = cluster() else { return };
    let trial = format!("[ \"$SLURMD_NODENAME\" = n2 ] && exit 1\nsleep 0.5\n{SHORT}");
    let world = World::new(
        "sick",
        &trial,
        40,
        &slurm("pilots = 2\nslots = 4\ncpus = 16"),
    );
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(40);
    assert!(
        output.contains("failed within seconds on n2: it gets no more trials"),
        "{output}"
    );
}

#[test]
fn a_program_that_fails_everywhere_ends_the_run_before_its_points_are_used_up() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "broken",
        "exit 1",
        40,
        &slurm("pilots = 2\nslots = 2\ncpus = 16"),
    );
    let (code, output) = world.run();
    assert_eq!(code, 4, "{output}");
    let study = world.study();
    assert!(study.counts().failed < 40, "{output}");
    world.assert_no_job_is_left();
}

#[test]
fn a_job_that_got_too_few_gpus_says_so_and_shares_none() {
    if !has("gpus") {
        return;
    }
    let executor = slurm("gpus = 1\nslots = 2");
    let world = World::with("too-few", SHORT, 4, &executor, "[resources]\ngpus = 1\n");
    let (code, output) = world.run();
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("gave 1 GPUs to the job, too few for 2 trials at a time"),
        "{output}"
    );
    assert_eq!(world.study().counts().failed, 0);
}

#[test]
fn clocks_that_differ_are_noticed_and_change_nothing() {
    let Some(_) = cluster() else { return };
    // Simulate a node whose clock is an hour late, as seen by the pilot and its trials.
    let world = World::new("clocks", SHORT, 4, "");
    let late = world.path("late");
    std::fs::write(
        &late,
        format!("#!/bin/sh\nDONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1 exec faketime -f -1h '{}' \"$@\"\n", env!("CARGO_BIN_EXE_swath")),
    )
    .unwrap();
    std::fs::set_permissions(&late, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = std::fs::read_to_string(world.path("sweep.toml")).unwrap();
    let executor = slurm(&format!(
        "swath = \"{}\"\nwalltime = \"30m\"",
        late.display()
    ));
    world.sweep(&format!("{text}{executor}"));
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(4);
    assert!(
        output.contains("the clocks of n") && output.contains(" and of this machine differ by 36"),
        "{output}"
    );
}

#[test]
fn a_full_quota_loses_nothing() {
    if !has("mounts") {
        return;
    }
    let world = World::new("quota", STEPS, 4, &slurm("slots = 2"));
    let _small = Small::mount(world.path("logs"));
    let run = world.start();
    world.until_trials_report(1);
    // Use up the rest of the quota for a while.
    let filler = world.path("logs/filler");
    Command::new("dd")
        .args(["if=/dev/zero", "bs=4k", &format!("of={}", filler.display())])
        .output()
        .unwrap();
    std::thread::sleep(Duration::from_secs(6));
    std::fs::remove_file(&filler).unwrap();
    let code = run.wait();
    let output = world.output();
    let (ends, study) = (world.ends(), world.study());
    assert_eq!(code, 0, "{output}");
    assert_eq!(study.counts().complete, 4, "{ends:?}\n{output}");
    assert!(
        study.trials().iter().all(|trial| trial.reports >= 40),
        "{output}"
    );
}

/// A mounted file system of one mebibyte.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
