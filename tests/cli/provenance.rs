//! Provenance of trials: recorded, shown, verified, repeated and compared through the binary as a
//! user does it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::command::Ended;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that reports three times, with values derived from its parameter, its seed and its
/// data, and writes a model.
const TRAIN: &str = r#"
lr=${1#--lr=}
sum=$(cat "$SWATH_DATA_DIR/x.csv")
mkdir -p models
for epoch in 1 2 3; do
    printf '{"kind": "metric", "loss": %s.%s, "step": %s}\n' "$epoch" "$sum" "$epoch" >> "$SWATH_RECORDS"
    printf '%s %s %s' "$lr" "$epoch" "$SWATH_SEED" > "models/$SWATH_TRIAL.txt"
    printf '{"epoch": %s, "val_loss": %s.%s, "wall_seconds": %s, "model_path": "models/%s.txt"}\n' \
        "$epoch" "$sum" "$SWATH_SEED" "$(date +%s%N)" "$SWATH_TRIAL" >> "$SWATH_RECORDS"
done
"#;

const SWEEP: &str = r#"
name = "s"
[run]
command = ["sh", "train.sh", "--lr={lr}"]
data_dir = "data"
[objective]
metric = "val_loss"
goal = "min"
[search]
sampler = "random"
trials = 2
[space]
lr = { min = 0.1, max = 1.0 }
"#;

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// Creates a folder with a sweep, its program and its data.
    fn bare() -> Self {
        let project = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(project.path("data")).unwrap();
        project.write("data/x.csv", "5");
        project.write("train.sh", TRAIN);
        project.write("sweep.toml", SWEEP);
        project.write(".gitignore", "logs/\nmodels/\n");
        project
    }

    /// Creates the same folder as a git repository with everything committed.
    fn committed() -> Self {
        let project = Self::bare();
        project.git(&["init", "-q", "-b", "trunk"]);
        project.commit();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let old = fs::read_to_string(self.path(name)).unwrap();
        self.write(name, &(old + text));
    }

    fn git(&self, words: &[&str]) {
        let status = Command::new("git")
            .current_dir(self.dir.path())
            .args(words)
            .status()
            .unwrap();
        assert!(status.success(), "git {words:?}");
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&[
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@x",
            "commit",
            "-q",
            "-m",
            "more",
        ]);
    }

    fn swath(&self, words: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_swath"))
            .current_dir(self.dir.path())
            .args(words)
            .env("MY_API_TOKEN", "hunter2")
            .env("OMP_NUM_THREADS", "3")
            .env_remove("SWATH_LOGS")
            .output()
            .unwrap();
        Ended::of(output)
    }

    fn run(&self) {
        let ended = self.swath(&["run", "sweep.toml"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    fn environment(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("logs/s/environment.json")).unwrap()).unwrap()
    }
}

/// Returns every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn a_trial_tells_how_it_was_made_and_no_secret() {
    let project = Project::committed();
    project.git(&[
        "remote",
        "add",
        "origin",
        "https://me:hunter2@host/repo.git",
    ]);
    project.append("train.sh", "# tuned\n");
    project.write("extra.py", "x = 1\n");
    project.run();
    let shown = project.swath(&["show", "s", "1"]).out;
    for part in [
        "on trunk, with uncommitted changes",
        "https://host/repo.git",
        "code.patch",
        "train.sh",
        "OMP_NUM_THREADS=3",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let patch = fs::read_to_string(project.path("logs/s/code.patch")).unwrap();
    assert!(
        patch.contains("+# tuned") && patch.contains("b/extra.py") && !patch.contains("sweep.toml"),
        "{patch}"
    );
    let environment = project.environment();
    assert_eq!(environment["found"]["files"][1]["name"], "train.sh");
    assert_eq!(environment["variables"]["OMP_NUM_THREADS"], "3");
    for (path, bytes) in files(&project.path("logs")) {
        assert!(
            !String::from_utf8_lossy(&bytes).contains("hunter2"),
            "{} has a secret",
            path.display()
        );
    }
    let json: Value =
        serde_json::from_str(&project.swath(&["show", "s", "1", "--json"]).out).unwrap();
    assert_eq!(
        json["trials"][0]["provenance"]["environment"]["git"]["branch"],
        "trunk"
    );
}

#[test]
fn a_run_that_changes_nothing_leaves_one_environment_and_one_that_does_keeps_both() {
    let project = Project::committed();
    project.run();
    project.run();
    assert!(
        !project.path("logs/s/environment.1.json").exists(),
        "only the moment differs"
    );
    project.append("train.sh", "# edited\n");
    project.write("sweep.toml", &SWEEP.replace("trials = 2", "trials = 3"));
    project.run();
    assert!(
        project.path("logs/s/environment.1.json").exists()
            && project.path("logs/s/sweep.1.toml").exists()
    );
    let made = |trial: &str| -> Value {
        let json: Value =
            serde_json::from_str(&project.swath(&["show", "s", trial, "--json"]).out).unwrap();
        json["trials"][0]["provenance"].clone()
    };
    assert_eq!(made("1")["code_patch_md5"], Value::Null);
    assert!(made("3")["code_patch_md5"].is_string());
    assert_eq!(project.swath(&["replay", "s"]).code, Some(0));
    project.git(&["checkout", "-q", "train.sh"]);
    let diff = project.swath(&["diff", "s/1", "s/3"]).out;
    assert!(
        diff.contains("uncommitted train.sh") && diff.contains("sweep file"),
        "{diff}"
    );
}

#[test]
fn verify_names_what_is_no_longer_as_it_was() {
    let project = Project::committed();
    project.append("train.sh", "# tuned\n");
    project.run();
    let clean = project.swath(&["verify", "s"]);
    assert!(
        clean.code == Some(0) && clean.out.ends_with(": all as recorded\n"),
        "{}{}",
        clean.out,
        clean.err
    );
    project.commit();
    let committed = project.swath(&["verify", "s"]);
    assert_eq!(
        committed.code,
        Some(0),
        "the same code, committed since: {}",
        committed.out
    );
    project.write("data/x.csv", "6");
    fs::remove_file(project.path("models/1.txt")).unwrap();
    fs::copy(project.path("models/2.txt"), project.path("models/1.txt")).unwrap();
    project.append("train.sh", "# and again\n");
    project.append("logs/s/code.patch", " ");
    project.append("logs/s/sweep.toml", "\n");
    let drifted = project.swath(&["verify", "s"]);
    assert_eq!(drifted.code, Some(6));
    let expected = [
        "data set data changed",
        "model models/1.txt has the bytes that trial 2 wrote",
        "code.patch is missing or was altered",
        "file train.sh changed",
        "sweep file sweep.toml",
    ];
    for part in expected {
        assert_eq!(
            drifted
                .out
                .lines()
                .filter(|line| line.starts_with(part))
                .count(),
            1,
            "{part}: {}",
            drifted.out
        );
    }
    let only: Value = serde_json::from_str(
        &project
            .swath(&["verify", "s", "2", "--only", "data,model", "--json"])
            .out,
    )
    .unwrap();
    assert_eq!(only["drift"].as_array().unwrap().len(), 1, "{only}");
    assert_eq!(only["drift"][0]["trials"], serde_json::json!([2]));
    assert!(only["drift"][0]["since"].is_string());
}

#[test]
fn a_trial_is_repeated_with_its_own_code_and_the_original_stays_as_it_is() {
    let project = Project::committed();
    project.append("train.sh", "# tuned\n");
    project.run();
    project.write("train.sh", "exit 1\n");
    let (before, models) = (
        files(&project.path("logs/s")),
        files(&project.path("models")),
    );
    let same = project.swath(&["repro", "s", "2"]);
    assert_eq!(same.code, Some(0), "{} {}", same.out, same.err);
    assert!(
        same.err.contains("was reproduced") && same.err.contains("wall_seconds"),
        "{}",
        same.err
    );
    assert_eq!(files(&project.path("logs/s")), before);
    assert_eq!(files(&project.path("models")), models);
    let kept: Value =
        serde_json::from_slice(&fs::read(project.path("logs/s-repro-2/repro.json")).unwrap())
            .unwrap();
    assert_eq!(
        (&kept["same"], &kept["trial"]),
        (&Value::Bool(true), &Value::from(2))
    );
    let latest = project.swath(&["ls"]);
    assert!(
        latest.out.contains('2'),
        "the study that is meant by default is the original: {}",
        latest.out
    );
    project.write("data/x.csv", "6");
    let refused = project.swath(&["repro", "s", "2"]);
    assert_eq!(refused.code, Some(6));
    assert!(
        refused.err.contains("the data set `data` was"),
        "{}",
        refused.err
    );
    assert!(
        !project.path("logs/s-repro-2-2").exists(),
        "nothing was made"
    );
    let other = project.swath(&["repro", "s", "2", "--anyway", "--json"]);
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(other["same"], false);
    let whats: Vec<_> = other["compared"]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert!(
        whats.contains(&"report 1: val_loss") && whats.contains(&"metrics, row 3: loss"),
        "{whats:?}"
    );
    let tolerant = project.swath(&["repro", "s", "2", "--anyway", "--rtol", "0.5"]);
    assert_eq!(tolerant.code, Some(0), "{}", tolerant.out);
}

#[test]
fn a_trial_without_version_control_is_repeated_in_a_copy() {
    let project = Project::bare();
    project.run();
    let models = files(&project.path("models"));
    let same = project.swath(&["repro", "s", "1"]);
    assert_eq!(same.code, Some(0), "{} {}", same.out, same.err);
    assert!(same.err.contains("not in a git repository"), "{}", same.err);
    assert_eq!(files(&project.path("models")), models);
    assert!(
        project
            .path("logs/s-repro-1/code/copy/models/1.txt")
            .exists()
    );
    project.append("train.sh", "# edited\n");
    let refused = project.swath(&["repro", "s", "1"]);
    assert_eq!(refused.code, Some(6));
    assert!(refused.err.contains("`train.sh` was"), "{}", refused.err);
}

#[test]
fn what_cannot_be_repeated_says_why() {
    let project = Project::bare();
    project.run();
    fs::remove_file(project.path("logs/s/environment.json")).unwrap();
    let refused = project.swath(&["repro", "s", "1"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("no `environment.json`"),
        "{}",
        refused.err
    );
    assert_eq!(
        project.swath(&["repro", "s", "1", "--rtol", "-1"]).code,
        Some(2)
    );
    assert_eq!(project.swath(&["repro", "s", "9"]).code, Some(2));
    assert_eq!(project.swath(&["repro", "nope", "1"]).code, Some(2));
}

#[test]
fn a_clone_runs_what_is_committed_and_data_stays_where_it_is() {
    let project = Project::committed();
    project.write("train.sh", "exit 1\n");
    project.write(
        "sweep.toml",
        &SWEEP.replace("[run]", "[run]\ncode = \"clone\""),
    );
    let ended = project.swath(&["run", "sweep.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("without the uncommitted changes of `train.sh`"),
        "{}",
        ended.err
    );
    assert!(
        !project.path("models").exists(),
        "models are written in the clone"
    );
    let environment = project.environment();
    assert_eq!(environment["git"]["dirty"], false);
    let clone = PathBuf::from(environment["trials_in"].as_str().unwrap());
    assert_eq!(fs::read_to_string(clone.join("train.sh")).unwrap(), TRAIN);
    assert!(clone.join("models/1.txt").exists());
    assert_eq!(
        project.swath(&["verify", "s"]).code,
        Some(0),
        "{}",
        project.swath(&["verify", "s"]).out
    );
    let repeated = project.swath(&["repro", "s", "1"]);
    assert_eq!(repeated.code, Some(0), "{} {}", repeated.out, repeated.err);
}

#[test]
fn code_that_has_to_be_clean_is_refused_when_it_is_not() {
    let project = Project::committed();
    project.write(
        "sweep.toml",
        &SWEEP.replace("[run]", "[run]\ncode = \"clean\""),
    );
    project.append("train.sh", "# edited\n");
    let refused = project.swath(&["run", "sweep.toml"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("differs from commit") && refused.err.contains("`train.sh`"),
        "{}",
        refused.err
    );
    assert!(!project.path("logs/s").exists());
    project.commit();
    project.run();
    let bare = Project::bare();
    for code in ["clean", "clone"] {
        bare.write(
            "sweep.toml",
            &SWEEP.replace("[run]", &format!("[run]\ncode = \"{code}\"")),
        );
        let refused = bare.swath(&["run", "sweep.toml"]);
        assert_eq!(refused.code, Some(2));
        assert!(
            refused.err.contains("needs a git repository") && refused.err.contains("git init"),
            "{}",
            refused.err
        );
    }
    bare.write(
        "sweep.toml",
        &SWEEP.replace("[run]", "[run]\ncode = \"clnoe\""),
    );
    assert!(
        bare.swath(&["check", "sweep.toml"])
            .err
            .contains("did you mean `clone`?")
    );
}
