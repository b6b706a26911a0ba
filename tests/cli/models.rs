//! Digests of the content at the time of the record: models that are overwritten later, and data
//! and artifacts with unreadable entries.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::command::Ended;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use swath::logger::digest;

/// A program that overwrites its model in each epoch. The loss is smallest at epoch 3.
const TRAIN: &str = r#"
losses="0.9 0.5 0.2 0.4 0.6"
epoch=0
for loss in $losses; do
    epoch=$((epoch + 1))
    head -c 20000 /dev/zero | tr '\0' "$epoch" > "model-$SWATH_TRIAL.bin"
    printf '{"epoch": %s, "val_loss": %s, "model_path": "model-%s.bin"}\n' \
        "$epoch" "$loss" "$SWATH_TRIAL" >> "$SWATH_RECORDS"
    sleep $PAUSE
done
"#;

struct Project(tempfile::TempDir);

impl Project {
    fn new(train: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::write(project.path("train.sh"), train).unwrap();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn swath(&self, words: &str) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        let bin = Path::new(env!("CARGO_BIN_EXE_swath"))
            .parent()
            .unwrap()
            .display()
            .to_string();
        command.env("PATH", bin + ":" + &std::env::var("PATH").unwrap());
        let ended = command
            .args(words.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        Ended::of(ended)
    }

    /// Runs `trials` trials one after the other, with `run` appended to the section `[run]`.
    fn run(&self, trials: u32, run: &str) -> Ended {
        let sweep = format!(
            "name = \"s\"\n[run]\ncommand = [\"sh\", \"train.sh\"]\n{run}\n[objective]\n\
             metric = \"val_loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\ntrials = {trials}\n\
             [resources]\njobs = 1\n[space]\nlr = {{ min = 0.1, max = 0.9 }}\n"
        );
        fs::write(self.path("s.toml"), sweep).unwrap();
        let ended = self.swath("run s.toml");
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended
    }

    /// Returns the model records of a trial.
    fn models(&self, trial: u32) -> Vec<Value> {
        let shown = self.swath(&format!("show s {trial} --json"));
        let shown: Value = serde_json::from_str(&shown.out).unwrap();
        let records = shown["trials"][0]["records"].as_array().unwrap().clone();
        records
            .iter()
            .filter_map(|record| record.get("model").cloned())
            .collect()
    }

    /// Returns the versions of the model that are held, by their first byte.
    fn held(&self, trial: u32) -> String {
        let held = fs::read_dir(self.path(&format!("logs/s/{trial}/held")));
        let mut found: Vec<char> = held
            .into_iter()
            .flatten()
            .map(|version| fs::read_dir(version.unwrap().path()).unwrap().next())
            // A version that is to be kept has its number in its name.
            .map(|model| char::from(fs::read(model.unwrap().unwrap().path()).unwrap()[0]))
            .collect();
        found.sort_unstable();
        found.into_iter().collect()
    }

    /// Returns the digest of the model that the program writes in an epoch.
    fn written(&self, epoch: u32) -> String {
        let path = self.path("expected.bin");
        fs::write(&path, epoch.to_string().repeat(20_000)).unwrap();
        digest(&path, None).unwrap().md5
    }
}

#[test]
fn the_model_that_counts_and_the_last_are_held_and_the_others_are_named_as_gone() {
    let project = Project::new(&TRAIN.replace("$PAUSE", "0.4"));
    project.run(1, "");
    let models = project.models(1);
    assert_eq!(models.len(), 5);
    for (epoch, model) in (1..).zip(&models) {
        assert_eq!(
            model["md5"],
            project.written(epoch),
            "epoch {epoch}: {model}"
        );
    }
    assert_eq!(project.held(1), "35");
    let best = project
        .path("logs/s/1")
        .join(models[2]["held"].as_str().unwrap());
    assert_eq!(digest(&best, None).unwrap().md5, project.written(3));

    let verified = project.swath("verify s --only model");
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
    assert!(
        verified.out.contains("2 model"),
        "the last and the held one are read: {}",
        verified.err
    );
    assert!(
        verified
            .err
            .contains("`model-1.bin` of trial 1 at 1, at 2, at 4: gone, a later version"),
        "{}",
        verified.err
    );
    fs::write(&best, "altered").unwrap();
    fs::write(project.path("model-1.bin"), "altered").unwrap();
    let verified = project.swath("verify s --only model");
    assert_eq!(verified.code, Some(6));
    assert!(
        verified.out.contains("model model-1.bin at 3 changed"),
        "{}",
        verified.out
    );
    assert!(
        verified
            .out
            .contains("model model-1.bin changed (its bytes are held in"),
        "{}",
        verified.out
    );

    let leftover = project.path("logs/s/1/held/half-done");
    fs::create_dir(&leftover).unwrap();
    let freed = project.swath("gc s");
    assert!(freed.out.contains("half-done"), "{}", freed.out);
    assert!(
        !leftover.exists() && best.exists(),
        "only what is needed by none is removed"
    );
}

#[test]
fn a_model_that_is_written_over_without_a_pause_never_has_the_digest_of_another() {
    let project = Project::new(&TRAIN.replace("sleep $PAUSE", ":"));
    project.run(8, "");
    let mut digests = 0;
    for trial in 1..=8 {
        for (epoch, model) in (1..).zip(&project.models(trial)) {
            let Some(md5) = model["md5"].as_str() else {
                assert_eq!(model["doubt"], "overwritten before it could be read");
                continue;
            };
            digests += 1;
            assert_eq!(md5, project.written(epoch), "trial {trial}, epoch {epoch}");
            assert_eq!(model["size"], 20_000);
        }
    }
    assert!(
        digests >= 8,
        "the last model of each trial is there: {digests}"
    );
}

#[test]
fn a_version_that_is_to_be_kept_is_not_released() {
    let train = TRAIN.replace("$PAUSE", "0.3");
    let train = train.replace(
        "\"model_path\"",
        "\"keep\": '$( [ $epoch = 2 ] && echo true || echo false )', \"model_path\"",
    );
    let project = Project::new(&format!(
        "mkdir -p \"$SWATH_TRIAL_DIR/held/half-done\"\n{train}"
    ));
    project.run(1, "");
    assert!(
        !project.path("logs/s/1/held/half-done").exists(),
        "the end of an attempt clears up"
    );
    assert_eq!(project.held(1), "235");
}

#[test]
fn where_models_are_only_referred_to_verify_says_that_the_one_that_counts_is_gone() {
    let project = Project::new(&TRAIN.replace("$PAUSE", "0.3"));
    project.run(1, "models = \"refer\"");
    assert!(!project.path("logs/s/1/held").exists());
    let verified = project.swath("verify s --only model");
    assert_eq!(verified.code, Some(6));
    assert!(
        verified
            .out
            .contains("model model-1.bin at 3 is gone, although it is the one that counts"),
        "{}",
        verified.out
    );
}

#[test]
fn without_room_in_the_budget_models_are_referred_to() {
    let project = Project::new(&TRAIN.replace("$PAUSE", "0.2"));
    project.run(1, "models_budget = \"10 kB\"");
    assert!(
        project
            .models(1)
            .iter()
            .any(|model| model["md5"].is_string())
    );
    let shares_blocks = !project.held(1).is_empty();
    assert!(!shares_blocks || project.held(1) == "35");
}

#[test]
fn a_dangling_link_costs_neither_the_digest_of_the_data_nor_the_artifact() {
    let project = Project::new(
        "mkdir -p out/ck/step-10; echo a > out/ck/step-10/w.bin; ln -sfn step-30 out/ck/latest\n\
         swath report kind=artifact path=out/ck\nswath report val_loss=1\n",
    );
    fs::create_dir_all(project.path("repos/b")).unwrap();
    fs::write(project.path("repos/b/code.py"), "two").unwrap();
    let plain = digest(&project.path("repos"), None).unwrap().md5;
    symlink("nowhere", project.path("repos/b/dangling")).unwrap();
    let ended = project.run(1, "data_dir = \"repos\"");
    assert!(
        ended.err.contains("b/dangling: a symbolic link to nothing"),
        "{}",
        ended.err
    );
    assert!(
        ended.err.contains("latest: a symbolic link to nothing"),
        "{}",
        ended.err
    );
    let table = project.swath("export s --csv").out;
    assert!(table.contains(&plain), "{table}");
    assert!(
        project
            .path("logs/s/1/artifacts/file/out/ck/step-10/w.bin")
            .is_file()
    );
    let shown = project.swath("show s 1").out;
    assert!(shown.contains("partial: without b/dangling"), "{shown}");
    let verified = project.swath("verify s --only data,artifact");
    assert_eq!(verified.code, Some(0), "{}", verified.out);
    assert!(
        verified.err.contains("of the data `repos`: b/dangling"),
        "{}",
        verified.err
    );
}

#[test]
fn data_that_changes_between_two_trials_is_told_at_once() {
    let project =
        Project::new("echo more >> data/x.csv\necho '{\"val_loss\": 1}' >> \"$SWATH_RECORDS\"\n");
    fs::create_dir(project.path("data")).unwrap();
    fs::write(project.path("data/x.csv"), "5").unwrap();
    let ended = project.run(2, "data_dir = \"data\"");
    assert!(
        ended
            .err
            .contains("data set `data` has changed: trial 1 read md5"),
        "{}",
        ended.err
    );
}
