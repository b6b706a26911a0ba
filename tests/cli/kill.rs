//! Kills the orchestrator with SIGKILL again and again: no process survives it, no trial is shown
//! as running, and no report is lost.
//!
//! `SWATH_KILLS=2000 cargo test --test cli kill::` runs the long form. RELIABILITY.md has the
//! figures.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{self, Journal, StudyDir};
use swath::study::{Event, LogRecord, Study, Trial, TrialState};

/// Maximum time that processes may survive a killed orchestrator.
const PATIENCE: Duration = Duration::from_secs(10);

/// Maximum number of kills of one study.
const KILLS_OF_A_STUDY: u64 = 50;

/// A trial that writes every kind of record, forks a daemon into a session of its own, ignores
/// SIGTERM in every third trial, and keeps a checkpoint.
const TRIAL: &str = r#"#!/bin/sh
n=$1
[ $((n % 3)) -eq 0 ] && trap '' TERM
setsid sleep 300 &
step=0
[ -f "$SWATH_CHECKPOINT_DIR/step" ] && read -r step < "$SWATH_CHECKPOINT_DIR/step"
while [ "$step" -lt 6 ]; do
    step=$((step + 1))
    echo "$n" > "model-$n-$step"
    cat >> "$SWATH_RECORDS" <<END
{"kind": "metric", "log": "train", "step": $step, "error": 0.$step}
{"kind": "note", "text": "step $step"}
{"kind": "dataset", "path": "trial.sh"}
{"step": $step, "loss": 0.$((n * 7 % 90 + 10 - step)), "model_path": "model-$n-$step"}
{"kind": "artifact", "path": "model-$n-$step"}
{"kind": "text", "name": "t$step.txt", "text": "$step"}
{"kind": "output", "size": $step, "rows": $n}
{"kind": "param", "depth": $step}
{"kind": "metric", "step": $step, "error": 0.$step}
{"kind": "model", "path": "model-$n-$step", "step": $step, "parameters": 7}
{"kind": "checkpoint", "step": $step}
END
    echo "$step" > "$SWATH_CHECKPOINT_DIR/half" && mv "$SWATH_CHECKPOINT_DIR/half" "$SWATH_CHECKPOINT_DIR/step"
    sleep 0.01
done
[ "$n" -ne 4 ]
"#;

fn sweep(trials: u64) -> String {
    format!(
        "name = \"kill\"\n[run]\ncommand = [\"./trial.sh\", \"{{n}}\"]\ncheckpoint = true\ngrace = \"50ms\"\n\
         [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"grid\"\ntrials = {trials}\n\
         [resources]\njobs = 4\n[space]\nn = {{ min = 1, max = {trials} }}\n"
    )
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(trials: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("trial.sh");
        fs::write(&script, TRIAL).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("kill.toml"), sweep(trials)).unwrap();
        Self { folder }
    }

    fn swath(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn dir(&self) -> StudyDir {
        StudyDir::at(self.folder.path().join("logs/kill"))
    }

    /// Returns the processes whose environment names a trial folder of this world.
    fn alive(&self) -> Vec<PathBuf> {
        let mark = format!("SWATH_TRIAL_DIR={}", self.folder.path().display());
        let ours = |process: &Path| {
            let environ = fs::read(process.join("environ")).unwrap_or_default();
            let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
            let zombie = state
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'));
            !zombie
                && environ
                    .split(|byte| *byte == 0)
                    .any(|entry| entry.starts_with(mark.as_bytes()))
        };
        let processes = fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().path());
        processes.filter(|path| ours(path)).collect()
    }

    fn assert_nobody_is_left(&self) {
        let began = Instant::now();
        while !self.alive().is_empty() {
            assert!(
                began.elapsed() < PATIENCE,
                "{:?} outlived the orchestrator",
                self.alive()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no trial is shown as running. This may take a moment: a child that was between
    /// fork and exec at the kill holds the descriptor of the lock until exec.
    fn assert_nothing_is_shown_running(&self) {
        let began = Instant::now();
        while journal::settled(&self.dir()).unwrap().running_count() > 0 {
            assert!(
                began.elapsed() < PATIENCE,
                "a trial is shown running that nobody runs"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the number of reports in the journal by trial and attempt.
    fn reports(&self) -> BTreeMap<(u32, u32), usize> {
        let mut reports = BTreeMap::new();
        for entry in Journal::open(&self.dir()).unwrap() {
            if let Event::Logged {
                trial,
                attempt,
                record: LogRecord::Report { .. },
                ..
            } = entry.unwrap().event
            {
                *reports.entry((trial.0, attempt.0)).or_default() += 1;
            }
        }
        reports
    }
}

impl World {
    /// Checks that the journal and the metric files have the records of every line once: of no line
    /// twice, and of none not at all.
    fn assert_each_line_counts_once(&self, trial: &Trial) {
        let folder = self.dir().trial(trial.id);
        let lines = fs::read_to_string(folder.join("records.jsonl")).unwrap();
        let lines_with = |text: &str| lines.lines().filter(|line| line.contains(text)).count();
        let records_of = |kind: fn(&LogRecord) -> bool| {
            trial.records.iter().filter(|record| kind(record)).count()
        };
        let rows_of = |log: &str| {
            let rows = fs::read_to_string(folder.join(format!("metrics/{log}.json")));
            rows.unwrap_or_default().lines().count()
        };
        let reports = lines_with("model_path");
        let models = reports + lines_with("\"model\"");
        let stored = lines_with("artifact") + lines_with("\"text\",");
        let counts = [
            ("reports", trial.reports as usize, reports),
            ("rows of reports", rows_of("report"), reports),
            ("rows of `train`", rows_of("train"), lines_with("\"train\"")),
            (
                "rows of `metrics`",
                rows_of("metrics"),
                lines_with("metric\", \"step"),
            ),
            (
                "notes",
                records_of(|record| matches!(record, LogRecord::Note { .. })),
                lines_with("note"),
            ),
            (
                "data sets",
                records_of(|record| matches!(record, LogRecord::Dataset { .. })),
                lines_with("dataset"),
            ),
            (
                "models",
                records_of(|record| matches!(record, LogRecord::Model { .. })),
                models,
            ),
            (
                "facts",
                records_of(|record| matches!(record, LogRecord::Facts { .. })),
                lines_with("parameters"),
            ),
            (
                "artifacts",
                records_of(|record| matches!(record, LogRecord::Artifact { .. })),
                stored,
            ),
            (
                "outputs",
                records_of(|record| matches!(record, LogRecord::Output { .. })),
                2 * lines_with("output"),
            ),
            (
                "parameters",
                records_of(|record| matches!(record, LogRecord::Param { .. })),
                lines_with("param\""),
            ),
            (
                "checkpoints",
                records_of(|record| matches!(record, LogRecord::Checkpoint { .. })),
                lines_with("checkpoint"),
            ),
        ];
        for (subject, counted, written) in counts {
            assert_eq!(counted, written, "{subject} of trial {}", trial.id);
        }
    }
}

/// Returns the part of a study that must not depend on kills: everything but attempts and times.
fn outcome(study: &Study) -> Vec<(String, TrialState, Option<f64>)> {
    let objective = &study.header().objectives[0];
    study
        .trials()
        .iter()
        .map(|trial| {
            (
                trial.params.key(),
                trial.state.clone(),
                trial.objective(objective),
            )
        })
        .collect()
}

/// A small random number generator with a fixed seed, so that a failing run can be repeated.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn an_orchestrator_killed_at_random_instants_loses_and_strands_nothing() {
    let kills: u64 = std::env::var("SWATH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    let trials = 24;
    let whole = World::new(trials);
    whole.swath(&["run", "kill.toml"]).status().unwrap();
    whole.assert_nobody_is_left();
    let wanted = outcome(&journal::read(&whole.dir()).unwrap());
    assert_eq!(wanted.len() as u64, trials);

    let (mut seed, mut done) = (0x9e37_79b9_7f4a_7c15, 0);
    while done < kills {
        let world = World::new(trials);
        let mut before = BTreeMap::new();
        // On a busy machine no run would end by itself before its kill, so the last one may.
        let last = (done + KILLS_OF_A_STUDY).min(kills);
        loop {
            let mut run = world.swath(&["run", "kill.toml"]).spawn().unwrap();
            let mut ended = None;
            if done < last {
                std::thread::sleep(Duration::from_millis(20 + next(&mut seed) % 180));
                ended = run.try_wait().unwrap();
                run.kill().unwrap();
            }
            let status = run.wait().unwrap();
            ended = ended.or((done == last).then_some(status));
            world.assert_nobody_is_left();
            if world.dir().exists() {
                // A report that was acknowledged once must never be lost.
                let after = world.reports();
                for (attempt, count) in &before {
                    assert!(
                        after.get(attempt) >= Some(count),
                        "reports of {attempt:?} were lost after {done} kills"
                    );
                }
                before = after;
                world.assert_nothing_is_shown_running();
            }
            if ended.is_some() {
                break;
            }
            done += 1;
        }
        let end = journal::read(&world.dir()).unwrap();
        assert_eq!(outcome(&end), wanted, "after {done} kills");
        for trial in end.trials() {
            world.assert_each_line_counts_once(trial);
        }
    }
}
