//! The folders in which trials run: one that all share, or one for each trial.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::command::Ended;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A script that saves to `checkpoints/` and goes on from what is there, as people write them.
const TRAIN: &str = r#"
lr=${1#--lr=}
[ -e data/x.csv ] || { echo "no data" >&2; exit 1; }
mkdir -p checkpoints
epoch=0; loss=1000
[ -e checkpoints/last ] && read -r epoch loss < checkpoints/last
[ "$epoch" -ge 3 ] && echo "epoch=$epoch loss=$loss"
while [ "$epoch" -lt 3 ]; do
    epoch=$((epoch + 1)); loss=$((loss - lr))
    echo "$epoch $loss" > checkpoints/last
    echo "epoch=$epoch loss=$loss"
    [ -e ../../../../pause ] && [ "$epoch" = 2 ] \
        && { echo saved > "$SWATH_CHECKPOINT_DIR/mark"; touch ../waits; exec sleep 60; }
    sleep 0.05
done
mkdir -p models; echo "$lr" > models/m.txt
printf '{"kind": "model", "path": "models/m.txt"}\n' >> "$SWATH_RECORDS"
pwd > cwd
"#;

const SWEEP: &str = r#"
name = "s"
[run]
command = ["sh", "train.sh", "--lr={lr}"]
data_dir = "data"
workdir = "private"
grace = "1s"
[capture]
epoch = 'epoch=(\d+)'
loss = 'loss=(\d+)'
[objective]
metric = "loss"
goal = "min"
take = "last"
[search]
sampler = "grid"
[resources]
jobs = 1
[space]
lr = [10, 20, 30, 40]
"#;

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new(sweep: &str) -> Self {
        let project = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for folder in ["data", "checkpoints"] {
            fs::create_dir(project.path(folder)).unwrap();
        }
        project.write("data/x.csv", "5\n");
        project.write("train.sh", TRAIN);
        project.write("s.toml", sweep);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn commit(&self, names: &[&str]) {
        let identity = ["-c", "user.name=n", "-c", "user.email=e@x"];
        for words in [
            vec!["init", "-q"],
            [&["add", "--"], names].concat(),
            [&identity[..], &["commit", "-q", "-m", "first"]].concat(),
        ] {
            let mut git = Command::new("git");
            let status = git
                .current_dir(self.dir.path())
                .args(&words)
                .status()
                .unwrap();
            assert!(status.success(), "git {words:?}");
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        // Each call has a deadline, so that no test hangs.
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120", env!("CARGO_BIN_EXE_swath")]);
        command
            .current_dir(self.dir.path())
            .args(words)
            .env_remove("SWATH_LOGS");
        command
    }

    fn swath(&self, words: &[&str]) -> Ended {
        let output = self.command(words).output().unwrap();
        Ended::of(output)
    }

    fn losses(&self, study: &str) -> Vec<String> {
        let table = self.read(&format!("logs/{study}/trials.csv"));
        let mut rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
        let heading = rows.next().unwrap();
        let column = heading.iter().position(|name| *name == "loss").unwrap();
        rows.map(|row| row[column].to_owned()).collect()
    }
}

#[test]
fn a_script_that_resumes_from_its_own_checkpoints_trains_each_trial_by_itself() {
    let project = Project::new(SWEEP);
    // A run by hand has left files behind.
    project.write("checkpoints/last", "3 7\n");
    let check = project.swath(&["check", "s.toml"]);
    let expected = "private, with 2 files of the project; link: data; not there: checkpoints/";
    assert!(check.out.contains(expected), "{}{}", check.out, check.err);
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(!run.err.contains("warning"), "{}", run.err);
    assert_eq!(project.losses("s"), ["970.0", "940.0", "910.0", "880.0"]);
    assert_eq!(project.read("checkpoints/last"), "3 7\n");
    let workdir = project.path("logs/s/3/work").canonicalize().unwrap();
    assert_eq!(
        project.read("logs/s/3/work/cwd").trim(),
        workdir.to_str().unwrap()
    );
    assert!(!project.path("logs/s/3/work/train.sh").is_symlink());
    let verify = project.swath(&["verify", "s"]);
    assert_eq!(verify.code, Some(0), "{}{}", verify.out, verify.err);
    assert!(verify.out.contains("4 model"), "{}", verify.out);
    let info = project.read("logs/s/3/metadata/info.yaml");
    assert!(
        info.contains("\nwork_dir: work\n") && info.contains("- path: models/m.txt\n"),
        "{info}"
    );
    assert!(!project.path("logs/s/3/artifacts").exists());
    let show = project.swath(&["show", "s", "3"]);
    let script = fs::metadata(project.path("train.sh")).unwrap().len();
    assert!(
        show.out
            .contains(&format!("file       train.sh  {script} B")),
        "{}",
        show.out
    );
    let environment = project.read("logs/s/environment.json");
    let path = project.path("train.sh").canonicalize().unwrap();
    assert!(
        environment.contains(path.to_str().unwrap()),
        "{environment}"
    );
}

#[test]
fn files_that_trials_share_by_mistake_are_named_with_the_remedy() {
    let project = Project::new(&SWEEP.replace("workdir = \"private\"\n", ""));
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(project.losses("s"), ["970.0"; 4]);
    let warning = "`checkpoints/last` (and 2 other files) was written while trial 1 ran and read while trial 2 ran: trials share";
    assert_eq!(
        run.err.matches(warning).count(),
        2,
        "while it runs, and at its end: {}",
        run.err
    );
    assert!(
        run.err
            .contains("own folder: `workdir = \"private\"` in [run]"),
        "{}",
        run.err
    );
    for command in ["show", "why"] {
        let shown = project.swath(&[command, "s", "2"]);
        assert!(
            shown.out.contains("`checkpoints/last` (and 2"),
            "{command}: {}",
            shown.out
        );
    }
}

#[test]
fn trials_that_share_nothing_have_no_warning_in_their_first_run() {
    let project = Project::new(&SWEEP.replace("workdir = \"private\"\n", ""));
    let script = "mkdir -p out; echo $1 > out/$SWATH_TRIAL; echo epoch=1 loss=1; cat data/x.csv";
    project.write("train.sh", script);
    let run = project.swath(&["run", "s.toml"]);
    assert!(!run.err.contains("warning"), "{}", run.err);
}

#[test]
fn a_trial_that_resumes_gets_its_folder_back_and_one_that_starts_anew_does_not() {
    let project = Project::new(&SWEEP.replace("[run]\n", "[run]\ncheckpoint = true\n"));
    project.write("pause", "");
    let mut run = project.command(&["run", "s.toml"]);
    let mut run = run
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !project.path("logs/s/1/waits").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the trial waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(project.path("pause")).unwrap();
    project.swath(&["stop", "s"]);
    assert!(run.wait().unwrap().code().is_some());
    assert_eq!(project.read("logs/s/1/work/checkpoints/last"), "2 980\n");
    project.write("logs/s/1/work/own", "kept\n");
    assert_eq!(project.swath(&["run", "s.toml"]).code, Some(0));
    assert_eq!(project.losses("s")[0], "970.0");
    assert_eq!(project.read("logs/s/1/work/own"), "kept\n");
    fs::remove_dir_all(project.path("logs/s/2/checkpoints")).ok();
}

#[test]
fn a_retried_trial_starts_in_a_new_folder_and_the_old_one_is_kept() {
    let sweep = SWEEP.replace("[search]", "[retry]\ntimes = 1\non = [\"crash\"]\n[search]");
    let project = Project::new(&sweep);
    let fails =
        "[ -e ../attempts ] || { mkdir -p checkpoints; echo 3 1 > checkpoints/last; exit 9; }\n";
    project.write("train.sh", &format!("{fails}{TRAIN}"));
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(project.losses("s"), ["970.0", "940.0", "910.0", "880.0"]);
    assert_eq!(
        project.read("logs/s/1/attempts/1/work/checkpoints/last"),
        "3 1\n"
    );
}

#[test]
fn a_file_that_only_the_project_has_is_named_when_the_trial_fails() {
    let project = Project::new(SWEEP);
    project.write("vocab.json", "{}");
    project.write(
        "train.sh",
        "cat vocab.json || { echo \"no file 'vocab.json'\" >&2; exit 1; }\n",
    );
    let run = project.swath(&["run", "s.toml"]);
    let expected = "`vocab.json` is in the project but not in the private workdir of the trial: name it in `link`";
    assert!(run.err.contains(expected), "{}", run.err);
    let sweep = SWEEP.replace(
        "workdir =",
        "copy = [\"train.sh\", \"vocab.json\"]\nworkdir =",
    );
    project.write("s.toml", &sweep.replace("name = \"s\"", "name = \"t\""));
    project.write("train.sh", "cat vocab.json && echo loss=1\n");
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
}

#[test]
fn what_is_written_through_a_link_is_told_once() {
    let project = Project::new(SWEEP);
    project.write("train.sh", "echo $1 > data/cache.bin; echo loss=1\n");
    let run = project.swath(&["run", "s.toml"]);
    let warning = "trial 1: `data/cache.bin` was written through a link while trial 1 ran";
    assert_eq!(
        run.err.matches(warning).count(),
        2,
        "while it runs, and at its end: {}",
        run.err
    );
    assert_eq!(run.err.matches("trial 2: `data").count(), 0, "{}", run.err);
}

#[test]
fn keep_removes_the_folders_of_other_trials_and_verify_still_has_the_models() {
    let project = Project::new(&SWEEP.replace("grace =", "keep = \"best\"\ngrace ="));
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let kept: Vec<_> = (1..=4)
        .map(|trial| project.path(&format!("logs/s/{trial}/work")).exists())
        .collect();
    assert_eq!(kept, [false, false, false, true]);
    let verify = project.swath(&["verify", "s"]);
    assert_eq!(verify.code, Some(0), "{}{}", verify.out, verify.err);
    let gc = project.swath(&["gc", "s", "--keep", "none"]);
    assert!(
        gc.out.contains("4/work  (a private workdir that `keep`"),
        "{}",
        gc.out
    );
    assert!(!project.path("logs/s/4/work").exists());
}

#[test]
fn check_refuses_a_private_workdir_that_run_refuses() {
    let project = Project::new(SWEEP);
    let link = "run.link=[\"../outside\"]";
    for command in ["check", "run"] {
        let ended = project.swath(&[command, "s.toml", link]);
        assert_eq!(ended.code, Some(2), "{command}: {}{}", ended.out, ended.err);
        assert!(
            ended.err.contains("leads out of the project"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn repro_runs_a_trial_again_in_a_folder_of_its_own_with_and_without_git() {
    for is_in_git in [false, true] {
        let project = Project::new(SWEEP);
        project.write("checkpoints/last", "3 7\n");
        if is_in_git {
            project.commit(&["train.sh", "s.toml"]);
        }
        // Code that git does not track yet stands in the folders of the trials, too.
        project.write("helper.sh", "true\n");
        project.write("train.sh", &format!(". ./helper.sh || exit 5\n{TRAIN}"));
        let run = project.swath(&["run", "s.toml"]);
        assert_eq!(run.code, Some(0), "{}", run.err);
        assert_eq!(project.losses("s"), ["970.0", "940.0", "910.0", "880.0"]);
        let repro = project.swath(&["repro", "s", "2"]);
        assert_eq!(
            repro.code,
            Some(0),
            "git {is_in_git}: {}{}",
            repro.out,
            repro.err
        );
        assert_eq!(project.losses("s-repro-2"), ["940.0"]);
    }
}

#[test]
fn a_clone_stands_in_each_private_folder_and_files_that_it_lacks_are_listed_first() {
    let sweep = SWEEP
        .replace("grace =", "code = \"clone\"\ngrace =")
        .replace("\"--lr={lr}\"", "\"--lr={lr}\", \"--conf=local.cfg\"");
    let project = Project::new(&sweep);
    project.write(".gitignore", "local.cfg\n");
    project.write("local.cfg", "a = 1\n");
    project.commit(&["train.sh", "s.toml", ".gitignore"]);
    project.write("train.sh", "echo loss=1\n");
    let run = project.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(project.losses("s"), ["970.0", "940.0", "910.0", "880.0"]);
    let listed = "lacks files that the command names or its script imports: `local.cfg`";
    let (before, after) = run.err.split_once(listed).expect(&run.err);
    assert!(
        !before.contains("started") && after.contains("trial 1 started"),
        "{}",
        run.err
    );
    assert_eq!(project.read("logs/s/1/work/train.sh"), TRAIN);
    assert!(!project.path("logs/s/1/work/local.cfg").exists());
}

#[test]
fn the_file_that_init_writes_gives_each_trial_a_folder_and_names_what_the_program_reads() {
    let project = Project::new("");
    let script = "import json\nwords = json.load(open('vocab.json'))\nopen('state.json', 'w').write('1')\n\
                  print(f'loss: {len(words)}')\n";
    project.write("train.py", script);
    project.write("vocab.json", "[1, 2]");
    project.write("state.json", "0");
    for file in ["train.sh", "s.toml"] {
        fs::remove_file(project.path(file)).unwrap();
    }
    let init = project.swath(&["init", "train.py"]);
    assert_eq!(init.code, Some(0), "{}", init.err);
    let text = project.read("train.toml");
    assert!(
        text.contains("\nworkdir = \"private\" ") && !text.contains("link"),
        "{text}"
    );
    fs::remove_file(project.path("train.toml")).unwrap();
    let init = project.swath(&["init", "--try", "train.py"]);
    assert_eq!(init.code, Some(0), "{}", init.err);
    let text = project.read("train.toml");
    assert!(
        text.contains("\nlink    = [\"data\", \"vocab.json\"]\n"),
        "{text}"
    );
    project.write("train.toml", &text.replace("trials = 50", "trials = 2"));
    let run = project.swath(&["run", "train.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(project.read("state.json"), "0");
    assert_eq!(project.losses("train"), ["2.0", "2.0"]);
}
