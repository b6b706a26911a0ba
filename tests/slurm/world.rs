//! A test fixture: a study in a folder of its own, run on the cluster that `.ci/run slurm` has
//! started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{self, Journal, StudyDir};
use swath::study::{Event, Exit, Study, TrialId, TrialState};

/// Maximum time that a test waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    name: String,
    pub(crate) env: Vec<(String, String)>,
}

/// Returns the folder of the cluster, `None` if there is no cluster. Tests then pass without doing
/// anything.
pub(crate) fn cluster() -> Option<PathBuf> {
    std::env::var_os("SWATH_SLURM").map(PathBuf::from)
}

/// Returns whether there is a cluster on a machine with the capability `what`; `.ci/run slurm`
/// reports those that are missing.
pub(crate) fn has(what: &str) -> bool {
    let lacks = std::env::var("SWATH_SLURM_LACKS").unwrap_or_default();
    cluster().is_some() && lacks.split(' ').all(|lack| lack != what)
}

impl World {
    /// Creates a sweep whose trials run `trial` in a shell, with the number of the configuration as
    /// `$1`.
    pub(crate) fn new(name: &str, trial: &str, trials: u32, executor: &str) -> Self {
        Self::with(name, trial, trials, executor, "")
    }

    /// Creates such a sweep with more sections in its file.
    pub(crate) fn with(name: &str, trial: &str, trials: u32, executor: &str, more: &str) -> Self {
        let world = Self::empty(name);
        let script = world.path("trial.sh");
        fs::write(&script, format!("#!/bin/sh\nn=$1\n{trial}\n")).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let checkpoint = trial.contains("SWATH_CHECKPOINT_DIR");
        world.sweep(&format!(
            "name = \"{name}\"\n[run]\ncommand = [\"./trial.sh\", \"{{n}}\"]\ngrace = \"2s\"\ncheckpoint = {checkpoint}\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
             [search]\nsampler = \"grid\"\ntrials = {trials}\n[space]\nn = {{ min = 1, max = {trials} }}\n{more}\n{executor}\n"
        ));
        world
    }

    pub(crate) fn empty(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("swath-slurm-")
            .tempdir()
            .unwrap();
        fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        Self {
            folder,
            name: name.to_owned(),
            env: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn sweep(&self, text: &str) {
        fs::write(self.path("sweep.toml"), text).unwrap();
    }

    pub(crate) fn swath(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the sweep to its end and returns its exit status and output.
    pub(crate) fn run(&self) -> (i32, String) {
        let output = self.swath(&["run", "sweep.toml"]).output().unwrap();
        code_and_output(&output)
    }

    /// Starts the sweep in the background; its output goes to a file.
    pub(crate) fn start(&self) -> Running {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("output"))
            .unwrap();
        let child = self
            .swath(&["run", "sweep.toml"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running {
            child,
            log: self.path("output"),
        }
    }

    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.path("output")).unwrap_or_default()
    }

    pub(crate) fn dir(&self) -> StudyDir {
        StudyDir::at(self.path("logs").join(&self.name))
    }

    pub(crate) fn study(&self) -> Study {
        journal::read(&self.dir()).unwrap()
    }

    /// Returns the exits of all attempts in the journal.
    pub(crate) fn ends(&self) -> Vec<(TrialId, u32, Exit)> {
        let mut ends = Vec::new();
        for entry in Journal::open(&self.dir()).unwrap() {
            if let Event::Ended {
                trial,
                attempt,
                exit,
                ..
            } = entry.unwrap().event
            {
                ends.push((trial, attempt.0, exit));
            }
        }
        ends
    }

    /// Checks that there are `trials` trials, all complete, and that each ended successfully
    /// exactly once.
    pub(crate) fn assert_all_complete(&self, trials: usize) {
        let study = self.study();
        let states: BTreeMap<_, _> = study
            .trials()
            .iter()
            .map(|trial| (trial.id, trial.state.clone()))
            .collect();
        let bad: Vec<_> = states
            .iter()
            .filter(|(_, state)| **state != TrialState::Complete)
            .collect();
        assert!(bad.is_empty(), "{bad:?}\n{}", self.output());
        assert_eq!(states.len(), trials);
        let done = self
            .ends()
            .into_iter()
            .filter(|(.., exit)| *exit == Exit::Done)
            .count();
        assert_eq!(done, trials);
    }

    /// Waits until `is` holds for the study; `what` describes the condition in the failure message.
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut(&Study) -> bool) {
        let begun = Instant::now();
        while !(self.dir().exists() && journal::read(&self.dir()).is_ok_and(|study| is(&study))) {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain until {what}\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `least` trials have made more than five reports.
    pub(crate) fn until_trials_report(&self, least: usize) {
        self.until("trials report", |study| {
            let reporting = study.trials().iter().filter(|trial| trial.reports > 5);
            reporting.count() >= least
        });
    }

    /// Returns the number of lines with the event `word` in the ledger of submissions.
    pub(crate) fn notes(&self, word: &str) -> usize {
        let ledger =
            fs::read_to_string(self.dir().root().join("pilots/fleet.jsonl")).unwrap_or_default();
        ledger
            .lines()
            .filter(|line| line.contains(&format!("\"{word}\"")))
            .count()
    }

    /// Returns the jobs of this study that Slurm lists, as `state id`.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let listed = slurm(&["squeue", "-h", "-r", "--format=%j %T %i"]);
        let ours = format!("swath-{}-", self.name);
        listed
            .lines()
            .filter_map(|line| line.strip_prefix(&ours)?.split_once(' '))
            .map(|(_, rest)| rest.to_owned())
            .collect()
    }

    /// Returns the id of the first job of this study that Slurm lists.
    pub(crate) fn first_job(&self) -> String {
        let job = self.jobs().remove(0);
        job.split(' ').next_back().unwrap().to_owned()
    }

    /// Waits until Slurm lists no job of the study. This must happen soon after the end of the
    /// study.
    pub(crate) fn assert_no_job_is_left(&self) {
        let begun = Instant::now();
        while !self.jobs().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "left: {:?}",
                self.jobs()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Running {
    /// Waits until the run ends and returns its exit status.
    pub(crate) fn wait(mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if begun.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!(
                    "it did not end: {}",
                    fs::read_to_string(&self.log).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub(crate) fn code_and_output(output: &Output) -> (i32, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Runs a Slurm command and returns its standard output.
pub(crate) fn slurm(words: &[&str]) -> String {
    let output = Command::new("timeout")
        .arg("20")
        .args(words)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Breaks or repairs a part of the cluster.
pub(crate) fn node(words: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/node-slurm.sh");
    let cluster = cluster().unwrap();
    let status = Command::new("bash")
        .arg(script)
        .arg("--dir")
        .arg(cluster)
        .args(words)
        .status()
        .unwrap();
    assert!(status.success(), "{words:?}");
}

/// Waits until the controller has saved its state: if it is killed before, it forgets jobs. Waits
/// for two saves, because the first may have begun before this call.
pub(crate) fn wait_for_saved_state() {
    let state = cluster().unwrap().join("state/job_state");
    for _ in 0..2 {
        let before = modified(&state);
        let job = slurm(&[
            "sbatch",
            "--parsable",
            "--hold",
            "--output=/dev/null",
            "--wrap",
            "true",
        ]);
        slurm(&["scancel", job.trim()]);
        let begun = Instant::now();
        while modified(&state) == before {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the controller does not save its state"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn modified(file: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(file).and_then(|facts| facts.modified()).ok()
}
