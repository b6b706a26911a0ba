//! A test fixture: a folder with a sweep file and a script, and the binary to run the sweep.

use crate::command::Ended;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Maximum time that a test waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// Creates a sweep `s.toml` of `trials` random trials that run `sh train.sh X`. `more` is
    /// appended to the sweep file.
    pub(crate) fn new(trials: u32, more: &str, script: &str) -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        world.sweep(trials, more);
        world.write("train.sh", script);
        world
    }

    pub(crate) fn sweep(&self, trials: u32, more: &str) {
        let text = format!(
            "[run]\ncommand = [\"sh\", \"train.sh\", \"{{x}}\"]\ngrace = \"5s\"\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
             [search]\nsampler = \"random\"\ntrials = {trials}\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n{more}\n"
        );
        self.write("s.toml", &text);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes a program into `bin/`, the first folder on the PATH of every command.
    pub(crate) fn program(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path("bin")).unwrap();
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.path("bin").display()
        );
        command
            .args(words)
            .current_dir(self.dir.path())
            .env("PATH", path)
            .stdin(Stdio::null());
        for name in [
            "SWATH_LOGS",
            "CUDA_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "OMP_NUM_THREADS",
        ] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn swath(&self, words: &[&str]) -> Ended {
        Ended::of(self.command(words).output().unwrap())
    }

    pub(crate) fn run(&self) -> Ended {
        self.swath(&["run", "s.toml"])
    }

    /// Returns the column `name` of `trials.csv`.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let text = self.swath(&["export", "s"]).out;
        let mut lines = text.lines();
        let at = lines
            .next()
            .unwrap()
            .split(',')
            .position(|column| column == name)
            .unwrap();
        lines
            .map(|line| line.split(',').nth(at).unwrap().to_owned())
            .collect()
    }

    /// Waits until `so` returns `true`; `what` describes the condition in the failure message.
    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: never in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A run in the background. Dropping it kills the run, for a test that fails early.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until the run ends and returns its exit code, `None` if a signal killed it.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL also ends a stopped process, and the guard then ends its trials.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}
