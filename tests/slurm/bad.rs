//! What people and sites get wrong: the engine's own words, and nothing lost.

use super::world::{World, cluster, node, said};
use super::{SHORT, slurm};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_refused_submission_shows_the_words_of_slurm() {
    let Some(_) = cluster() else { return };
    let world = World::new("refused", SHORT, 2, &slurm("partition = \"nowhere\""));
    let (code, said) = world.run();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("invalid partition specified: nowhere"), "{said}");
    let world = World::new("impossible", SHORT, 2, &slurm("cpus = 64"));
    let (code, said) = world.run();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Requested node configuration is not available"), "{said}");
    assert_eq!(world.study().trials().len(), 0);
}

#[test]
fn a_machine_without_slurm_is_told_so() {
    let Some(_) = cluster() else { return };
    let mut world = World::new("none", SHORT, 2, &slurm(""));
    world.env.push(("PATH".into(), "/nowhere".into()));
    let (code, said) = world.run();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("`sbatch` is not on PATH"), "{said}");
}

#[test]
fn a_folder_that_the_nodes_do_not_see_is_named() {
    let Some(_) = cluster() else { return };
    let world = World::new("unseen", SHORT, 2, &slurm(""));
    // What is mounted in a namespace of its own nobody else sees.
    let begin = format!(
        "mkdir /tmp/swath-hidden && mount -t tmpfs none /tmp/swath-hidden && cp sweep.toml trial.sh /tmp/swath-hidden && cd /tmp/swath-hidden && exec '{}' run sweep.toml",
        env!("CARGO_BIN_EXE_swath")
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &begin])
        .current_dir(world.folder.path())
        .output();
    std::fs::remove_dir("/tmp/swath-hidden").unwrap();
    let (code, said) = said(&output.unwrap());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("its node may not see that folder"), "{said}");
    assert!(said.contains("pilots in a row came to nothing"), "{said}");
}

#[test]
fn an_older_program_on_the_nodes_is_told_apart() {
    let Some(_) = cluster() else { return };
    let world = World::new("older", SHORT, 2, "");
    let old = world.path("old-swath");
    std::fs::write(&old, "#!/bin/sh\necho \"error: unrecognized subcommand 'pilot'\" >&2\nexit 2\n").unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = std::fs::read_to_string(world.path("sweep.toml")).unwrap();
    world.sweep(&format!("{text}{}", slurm(&format!("swath = \"{}\"", old.display()))));
    let (code, said) = world.run();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("unrecognized subcommand 'pilot'"), "{said}");
}

#[test]
fn a_controller_that_does_not_answer_is_waited_for() {
    let Some(_) = cluster() else { return };
    let world = World::new("unanswered", SHORT, 3, &slurm(""));
    // One that is killed soon after a job came may forget it.
    std::thread::sleep(Duration::from_secs(8));
    node(&["kill", "slurmctld"]);
    let begun = Instant::now();
    let run = world.start();
    while !world.said().contains("does not answer") {
        assert!(begun.elapsed() < Duration::from_secs(40), "{}", world.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(3));
    node(&["start", "slurmctld"]);
    assert_eq!(run.wait(), 0, "{}", world.said());
    world.assert_all_complete(3);
}

#[test]
fn a_site_that_allows_small_arrays_gets_small_arrays() {
    let Some(_) = cluster() else { return };
    let world = World::new("arrays", &format!("sleep 1\n{SHORT}"), 6, &slurm("pilots = 6"));
    let (code, said) = world.run();
    assert_eq!(code, 0, "{said}");
    world.assert_all_complete(6);
    // The cluster of the tests has `MaxArraySize=5`.
    assert!(world.notes("intent") >= 2, "{said}");
}
