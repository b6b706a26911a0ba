//! Disk use of a study: `limits.disk`, `keep`, `gc` and `rm`, tested through the binary.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const TRIAL: &str = r#"#!/bin/sh
head -c 300000 /dev/zero > "$SWATH_CHECKPOINT_DIR/weights"
echo "{\"epoch\": 1, \"loss\": 0.$((20 - $1)), \"model_path\": \"$( [ "$1" = 2 ] && echo logs/s/2/checkpoints/weights )\"}" >> "$SWATH_RECORDS"
"#;

fn sweep(run: &str, rest: &str) -> String {
    format!(
        "name = \"s\"\n[run]\ncommand = [\"./trial.sh\", \"{{n}}\"]\ncheckpoint = true\n{run}\n[objective]\nmetric = \"loss\"\n\
         goal = \"max\"\n[search]\nsampler = \"grid\"\ntrials = 9\n[resources]\njobs = 1\n[space]\nn = {{ min = 1, max = 9 }}\n{rest}"
    )
}

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let script = world.path().join("trial.sh");
        fs::write(&script, TRIAL).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        world
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, sweep: &str) -> String {
        fs::write(self.path().join("s.toml"), sweep).unwrap();
        self.swath("run s.toml")
    }

    fn swath(&self, words: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        let Output { stdout, stderr, .. } = command
            .args(words.split(' '))
            .current_dir(self.path())
            .output()
            .unwrap();
        String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
    }

    /// Returns the ids of the trials with checkpoints.
    fn checkpoints(&self) -> Vec<u32> {
        let has = |id: &u32| {
            self.path()
                .join(format!("logs/s/{id}/checkpoints/weights"))
                .exists()
        };
        (1..=9).filter(has).collect()
    }
}

#[test]
fn a_study_that_takes_too_much_starts_no_more_and_goes_on_when_there_is_room() {
    let world = World::new();
    let message = world.run(&sweep("", "[limits]\ndisk = \"1 MiB\"\n"));
    assert!(
        message.contains("ended because the study's folder takes more than `limits.disk`"),
        "{message}"
    );
    let first = world.checkpoints();
    assert!((3..=4).contains(&first.len()), "{first:?}");
    assert!(message.contains("continue with: "), "{message}");
    assert_eq!(
        world
            .run(&sweep("", "[limits]\ndisk = \"1 MiB\"\n"))
            .matches("started")
            .count(),
        0
    );
    let freed = world.swath("gc --keep best");
    assert!(freed.contains("KiB freed"), "{freed}");
    // The first trial is the best; the second has a model that the journal records.
    assert_eq!(world.checkpoints(), [1, 2]);
    let message = world.run(&sweep(
        "keep = \"best and last\"",
        "[limits]\ndisk = \"2 MiB\"\n",
    ));
    assert!(message.contains("9 trials, all complete"), "{message}");
    assert_eq!(world.checkpoints(), [1, 2, 9]);
}

#[test]
fn checkpoints_go_by_the_policy_as_trials_end_and_a_dry_run_removes_nothing() {
    let world = World::new();
    world.run(&sweep("", ""));
    assert_eq!(world.checkpoints().len(), 9);
    let message = world.swath("gc --keep best --dry-run");
    assert_eq!(message.matches("/checkpoints").count(), 7, "{message}");
    assert_eq!(world.checkpoints().len(), 9);
    let temporary = world.path().join("logs/s/3/.checkpointsAbC");
    fs::create_dir(&temporary).unwrap();
    fs::write(world.path().join("logs/s/journal.torn"), "{\"se\n").unwrap();
    let doctor = world.swath("doctor s");
    assert!(
        doctor.contains("journal.torn") && doctor.contains(".checkpointsAbC"),
        "{doctor}"
    );
    world.swath("gc");
    assert!(!temporary.exists() && !world.path().join("logs/s/journal.torn").exists());
    assert_eq!(world.checkpoints().len(), 9);
}

#[test]
fn a_removed_trial_is_replaced_and_its_id_is_not_given_again() {
    let world = World::new();
    world.run(&sweep("", ""));
    world.swath("rm 4,5");
    assert!(world.path().join("logs/s/trash/4/params.json").exists());
    let csv = fs::read_to_string(world.path().join("logs/s/trials.csv")).unwrap();
    assert_eq!(csv.lines().count(), 8);
    let more = world.run(&sweep("", "").replace("\"grid\"", "\"random\""));
    assert!(
        more.contains("trial 10 started") && more.contains("trial 11 started"),
        "{more}"
    );
    assert!(!more.contains("trial 12 started"), "{more}");
    world.swath("gc --trash");
    assert!(!world.path().join("logs/s/trash").exists());
    assert!(world.swath("replay s").contains("proposals are identical"));
}

#[test]
fn a_damaged_journal_is_refused_with_its_line_and_salvaged() {
    let world = World::new();
    world.run(&sweep("", ""));
    let journal = world.path().join("logs/s/journal.jsonl");
    let mut bytes = fs::read(&journal).unwrap();
    // Damage the start of a trial: it can be derived from the other entries, whereas a lost report
    // would leave the trial incomplete.
    let at = String::from_utf8_lossy(&bytes)
        .find("\"started\":{\"trial\":5")
        .unwrap();
    let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    bytes[at] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    fs::remove_file(world.path().join("logs/s/snapshot.json")).unwrap();
    let refused = world.swath("run s.toml");
    assert!(
        refused.contains(&format!("line {line} of `logs/s/journal.jsonl`")),
        "{refused}"
    );
    let salvaged = world.swath("doctor s --salvage");
    assert!(
        salvaged.contains(&format!("line {line} was dropped")),
        "{salvaged}"
    );
    assert_eq!(
        fs::read(world.path().join("logs/s/journal.damaged-1.jsonl")).unwrap(),
        bytes
    );
    let message = world.run(&sweep("", ""));
    assert!(message.contains("9 trials, all complete"), "{message}");
}

#[test]
fn a_read_only_study_is_read_but_not_run_and_a_newer_one_is_left_alone() {
    let world = World::new();
    world.run(&sweep("", ""));
    let newer = world.path().join("logs/newer");
    fs::create_dir(&newer).unwrap();
    let header = "{\"swath\":\"9\",\"name\":\"newer\",\"pipeline\":\"\",\"stage\":\"\",\"seed\":0,\"sweep\":\"\",\"objectives\":[],\
                  \"params\":[],\"trials\":null}";
    let line = format!(
        "{{\"seq\":0,\"at\":\"2026-01-01T00:00:00Z\",\"event\":{{\"opened\":{{\"format\":99,\"header\":{header}}}}}}}\n"
    );
    fs::write(newer.join("journal.jsonl"), &line).unwrap();
    for words in ["ls newer", "doctor newer --salvage", "gc newer"] {
        let message = world.swath(words);
        assert!(message.contains("use a newer swath"), "{words}: {message}");
    }
    assert_eq!(
        fs::read_to_string(newer.join("journal.jsonl")).unwrap(),
        line
    );
    let mount = |words: &[&str]| {
        Command::new("mount")
            .args(words)
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let logs = world.path().join("logs").display().to_string();
    // Root ignores read-only modes, so mount the folder read-only; not every user may do that.
    if mount(&["--bind", &logs, &logs]) {
        if mount(&["-o", "remount,bind,ro", &logs]) {
            let refused = world.swath("run s.toml");
            assert!(refused.contains("Read-only file system"), "{refused}");
            assert!(world.swath("ls s").contains("9 trials, all complete"));
            assert!(world.swath("doctor s").contains("it can only be read"));
        }
        Command::new("umount").arg(&logs).status().unwrap();
    }
}

#[test]
fn a_study_that_was_moved_is_read_as_before_and_goes_on() {
    let world = World::new();
    world.run(&sweep("", "").replace("trials = 9", "trials = 8"));
    let before = world.swath("ls s");
    fs::rename(world.path().join("logs"), world.path().join("elsewhere")).unwrap();
    assert_eq!(world.swath("--logs elsewhere ls s"), before);
    fs::write(world.path().join("s.toml"), sweep("", "")).unwrap();
    world.swath("--logs elsewhere run s.toml");
    let after = world.swath("--logs elsewhere ls s");
    assert!(after.contains("9 trials, all complete"), "{after}");
}

#[test]
fn a_broken_checkpoint_is_put_aside_and_a_resource_that_begins_again_is_told() {
    let world = World::new();
    // The program pauses at every promotion. When it resumes, the checkpoint of trial 1 is damaged
    // and that of trial 2 is missing.
    let script = r#"#!/bin/sh
at=0
[ -f "$SWATH_CHECKPOINT_DIR/at" ] && { read -r at < "$SWATH_CHECKPOINT_DIR/at" || exit 7; }
[ "$at" = broken ] && { echo "cannot load" >&2; exit 7; }
while [ "$at" -lt "${SWATH_UNTIL:-4}" ]; do
    at=$((at + 1))
    echo "{\"epoch\": $at, \"loss\": 0.$((10 + $1))}" >> "$SWATH_RECORDS"
    [ "$1" = 3 ] && for again in 1 2; do
        echo "{\"epoch\": 0, \"loss\": 0.9}" >> "$SWATH_RECORDS"
    done
done
echo "$at" > "$SWATH_CHECKPOINT_DIR/at"
[ "$1" = 1 ] && [ "$SWATH_ATTEMPT" = 1 ] && echo broken > "$SWATH_CHECKPOINT_DIR/at"
[ "$1" = 2 ] && [ "$SWATH_ATTEMPT" = 1 ] && rm "$SWATH_CHECKPOINT_DIR/at"
exit 0
"#;
    fs::write(world.path().join("trial.sh"), script).unwrap();
    let scheduler = "[scheduler]\nname = \"asha\"\nresource = \"epoch\"\nmax = 4\nreduction = 2\n";
    let message = world.run(&sweep("", scheduler).replace("\"max\"", "\"min\""));
    let show = |id: u32| world.swath(&format!("why s {id}"));
    assert!(
        show(1).contains("the checkpoint may be broken and is now `broken-checkpoints.2`"),
        "{message}\n{}",
        show(1)
    );
    assert!(show(1).starts_with("trial 1 is complete"), "{}", show(1));
    assert!(
        show(2).contains("its checkpoint folder is empty or gone, so it starts anew"),
        "{}",
        show(2)
    );
    assert!(
        show(3).contains("`epoch` went back from 1 to 0"),
        "{}",
        show(3)
    );
    assert!(
        world
            .path()
            .join("logs/s/1/broken-checkpoints.2/at")
            .exists()
    );
}
