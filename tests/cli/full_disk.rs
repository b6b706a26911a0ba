//! A disk that becomes full during a run: the run waits, reports that once, continues by itself,
//! and loses nothing.
//!
//! The first test must mount a small file system, and reports if it lacks the permission. The
//! simulator (tests/engine/simulator/) always runs.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{self, Journal, StudyDir};
use swath::study::{Event, TrialState};

/// A program that reports six times and ends with an error if a report cannot be written.
const TRIAL: &str = r#"#!/bin/sh
step=0
while [ "$step" -lt 6 ]; do
    step=$((step + 1))
    echo "{\"step\": $step, \"loss\": 0.$((10 + $1))}" >> "$SWATH_RECORDS" || exit 9
    echo "some output that fills the disk a little, step $step" || exit 9
    sleep 0.03
done
"#;

const SWEEP: &str = "name = \"full\"\n[run]\ncommand = [\"./trial.sh\", \"{n}\"]\n[objective]\nmetric = \"loss\"\n\
    goal = \"min\"\n[search]\nsampler = \"grid\"\ntrials = 48\n[resources]\njobs = 2\n[[tracker]]\nname = \"tensorboard\"\n\
    [space]\nn = { min = 1, max = 48 }\n";

/// A mounted file system of four mebibytes, unmounted when dropped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn mount() -> Option<Self> {
        let tiny = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(tiny.0.path())
            .stderr(Stdio::null());
        mount
            .status()
            .is_ok_and(|status| status.success())
            .then_some(tiny)
    }

    /// Fills the file system completely.
    fn fill(&self) {
        let ballast = self.0.path().join("ballast");
        fs::write(ballast, vec![7_u8; 8 << 20]).unwrap_err();
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status()
            .ok();
    }
}

fn reports(dir: &StudyDir) -> usize {
    let logged = |event: &Event| matches!(event, Event::Logged { .. });
    Journal::open(dir)
        .unwrap()
        .filter(|entry| logged(&entry.as_ref().unwrap().event))
        .count()
}

fn wait_until(what: &str, messages: &dyn Fn() -> String, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited in vain until {what}: {}",
            messages()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn prepare(folder: &Path) {
    let script = folder.join("trial.sh");
    fs::write(&script, TRIAL).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(folder.join("full.toml"), SWEEP).unwrap();
}

#[test]
fn a_run_on_a_disk_that_becomes_full_waits_and_goes_on_by_itself() {
    let Some(tiny) = Tiny::mount() else {
        // Without root the file system cannot be mounted; the simulator covers this case.
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let logs = tiny.0.path().join("logs");
    let messages = folder.path().join("messages");
    let mut run = Command::new(env!("CARGO_BIN_EXE_swath"))
        .args(["run", "full.toml", "--logs"])
        .arg(&logs)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&messages).unwrap())
        .spawn()
        .unwrap();
    let dir = StudyDir::at(logs.join("full"));
    let text = || fs::read_to_string(&messages).unwrap();
    let mut acknowledged = 0;
    for round in 1..=3 {
        wait_until("some more is reported", &text, || {
            dir.exists() && reports(&dir) >= acknowledged + 6
        });
        tiny.fill();
        wait_until("it says that it waits", &text, || {
            text().matches("the run waits").count() == round
        });
        acknowledged = reports(&dir);
        std::thread::sleep(Duration::from_millis(300));
        let study = journal::read(&dir).unwrap();
        assert!(study.closed().is_none() && run.try_wait().unwrap().is_none());
        assert!(reports(&dir) >= acknowledged);
        tiny.free();
        wait_until("it goes on", &text, || {
            text().matches("the run goes on").count() == round
        });
    }
    assert!(run.wait().unwrap().success(), "{}", text());
    assert!(reports(&dir) >= acknowledged);
    let study = journal::read(&dir).unwrap();
    assert_eq!(study.trials().len(), 48);
    for trial in study.trials() {
        assert_eq!(
            (trial.state.clone(), trial.reports),
            (TrialState::Complete, 6),
            "{trial:?}"
        );
        assert!(dir.trial(trial.id).join("metadata/info.yaml").exists());
    }
    assert_eq!(
        fs::read_to_string(dir.trials_csv())
            .unwrap()
            .lines()
            .count(),
        49
    );
    assert!(!text().contains("left out"), "{}", text());
    let runs = fs::read_dir(dir.trackers().join("tensorboard"))
        .unwrap()
        .count();
    assert!(runs >= 48, "{runs}");
}
