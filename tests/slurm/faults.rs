//! Faults of clusters: no trial is lost and none runs twice.

use super::world::{World, cluster, has, node, slurm as call, wait_for_saved_state};
use super::{SHORT, STEPS, slurm};
use std::process::Command;
use std::time::{Duration, Instant};
use swath::study::{Exit, TrialState};

#[test]
fn the_trials_of_a_cancelled_pilot_run_again() {
    let Some(_) = cluster() else { return };
    let world = World::new("cancelled", STEPS, 4, &slurm("slots = 4"));
    let run = world.start();
    world.until_trials_report(4);
    call(&["scancel", &world.first_job()]);
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(4);
    assert_each_resumed_once(&world);
    let first: Vec<_> = world
        .ends()
        .into_iter()
        .filter(|(_, attempt, _)| *attempt == 1)
        .map(|end| end.2)
        .collect();
    assert!(
        first
            .iter()
            .all(|exit| matches!(exit, Exit::Interrupted | Exit::Lost)),
        "{first:?}"
    );
    assert_eq!(world.study().counts().failed, 0);
}

fn assert_each_resumed_once(world: &World) {
    for trial in world.study().trials() {
        // There is one report more if the trial was stopped between a report and its checkpoint.
        assert!(
            trial.attempts == 2 && (40..=41).contains(&trial.reports),
            "{}",
            world.output()
        );
    }
}

#[test]
fn a_job_that_slurm_starts_again_goes_on_from_checkpoints_as_the_next_attempt() {
    let Some(_) = cluster() else { return };
    let world = World::new("requeued", STEPS, 2, &slurm("slots = 2\nrequeue = true"));
    let run = world.start();
    world.until_trials_report(2);
    let job = world.first_job();
    call(&["scontrol", "requeue", &job]);
    let begun = Instant::now();
    while world.study().trials()[0].attempts < 2 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            world.output()
        );
        // Slurm itself would wait for two minutes.
        call(&[
            "scontrol",
            "update",
            &format!("JobId={job}"),
            "StartTime=now",
        ]);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(2);
    assert_each_resumed_once(&world);
    assert_eq!(world.notes("submitted"), 1, "{}", world.output());
}

#[test]
fn a_pilot_that_hangs_is_given_up_after_a_long_silence() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "hangs",
        STEPS,
        1,
        &slurm("").replace("lease = \"4s\"", "lease = \"1s\""),
    );
    let run = world.start();
    world.until_trials_report(1);
    signal_a_pilot(&world, "-STOP");
    world.until("a second attempt", |study| study.trials()[0].attempts == 2);
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(1);
    assert!(
        world.output().contains("and its job was cancelled"),
        "{}",
        world.output()
    );
}

/// Sends a signal to the first pilot found.
fn signal_a_pilot(world: &World, signal: &str) {
    let pilots = world.dir().root().join("pilots");
    let journals = std::fs::read_dir(pilots)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let journal = journals
        .filter(|path| path.to_string_lossy().ends_with(".0.jsonl"))
        .find(|path| path.exists());
    let output = std::fs::read_to_string(journal.unwrap()).unwrap();
    let hello: serde_json::Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
    let pid = &hello["word"]["hello"]["place"]["pid"];
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_node_that_is_down_is_given_up_and_its_late_messages_are_dropped() {
    let Some(_) = cluster() else { return };
    let trial = r#"i=0
while [ "$i" -lt 120 ]; do
    i=$((i + 1))
    echo "{\"step\": $i, \"loss\": $SWATH_ATTEMPT}" >> "$SWATH_RECORDS"
    sleep 0.1
done"#;
    let world = World::new("down", trial, 1, &slurm(""));
    let run = world.start();
    world.until_trials_report(1);
    let host = world.study().trials()[0].place.clone().unwrap().host;
    node(&["kill", &host]);
    node(&["down", &host]);
    world.until("a second attempt", |study| study.trials()[0].attempts == 2);
    // The old process is still alive: a node that Slurm considers down is not dead.
    assert_eq!(run.wait(), 0, "{}", world.output());
    node(&["start", &host]);
    std::thread::sleep(Duration::from_secs(2));
    node(&["up", &host]);
    let study = world.study();
    let trial = &study.trials()[0];
    assert_eq!(
        (trial.state.clone(), trial.attempts),
        (TrialState::Complete, 2),
        "{}",
        world.output()
    );
    let loss = trial
        .metrics
        .iter()
        .find(|(name, _)| &***name == "loss")
        .unwrap()
        .1;
    assert_eq!(
        (loss.min, loss.count),
        (Some(2.0), 120),
        "reports of the first attempt count"
    );
    assert_eq!(
        world.ends().first().map(|end| end.2.clone()),
        Some(Exit::Lost)
    );
    assert!(world.output().contains("is lost"), "{}", world.output());
}

#[test]
fn a_controller_that_does_not_answer_is_waited_for() {
    let Some(_) = cluster() else { return };
    let world = World::new("unanswered", SHORT, 3, &slurm(""));
    wait_for_saved_state();
    node(&["kill", "slurmctld"]);
    let begun = Instant::now();
    let run = world.start();
    while !world.output().contains("does not answer") {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{}",
            world.output()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(3));
    node(&["start", "slurmctld"]);
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(3);
}

#[test]
fn nothing_is_lost_while_the_controller_is_away() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "away",
        &STEPS.replace("sleep 0.1", "sleep 1"),
        4,
        &slurm("pilots = 2\nslots = 2"),
    );
    let run = world.start();
    world.until_trials_report(1);
    wait_for_saved_state();
    node(&["kill", "slurmctld"]);
    std::thread::sleep(Duration::from_secs(15));
    node(&["start", "slurmctld"]);
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(4);
    assert!(
        world
            .ends()
            .iter()
            .all(|(_, attempt, exit)| (*attempt, exit) == (1, &Exit::Done)),
        "{}",
        world.output()
    );
    assert!(
        world.output().contains("does not answer"),
        "{}",
        world.output()
    );
}

#[test]
fn a_job_whose_beginning_the_controller_forgot_is_followed_by_its_next_life() {
    let Some(cluster) = cluster() else { return };
    let world = World::new(
        "forgotten",
        STEPS,
        2,
        &slurm("slots = 2\nextra = [\"--hold\"]"),
    );
    let run = world.start();
    let begun = Instant::now();
    while world.jobs().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            world.output()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_for_saved_state();
    let state = cluster.join("state");
    let kept = tempfile::tempdir().unwrap();
    copy_folder(&state, kept.path());
    let job = world.first_job();
    call(&["scontrol", "release", &job]);
    world.until_trials_report(2);
    node(&["kill", "slurmctld"]);
    copy_folder(kept.path(), &state);
    node(&["start", "slurmctld"]);
    call(&["scontrol", "release", &job]);
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(2);
    assert!(
        world
            .study()
            .trials()
            .iter()
            .all(|trial| trial.attempts == 2),
        "{}",
        world.output()
    );
    assert!(
        world
            .dir()
            .root()
            .join("pilots")
            .read_dir()
            .unwrap()
            .any(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".0r1.jsonl")
            })
    );
    assert_eq!(world.notes("submitted"), 1, "{}", world.output());
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("cp")
        .args(["-a", "--"])
        .arg(from.join("."))
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

/// A small random number generator with a fixed seed, so that a failing run can be repeated.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn an_orchestrator_killed_twenty_times_comes_to_the_same_end_with_the_same_pilots() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "killed",
        STEPS,
        24,
        &slurm("pilots = 2\nslots = 2\nidle = \"60s\""),
    );
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut kills = 0;
    while kills < 20 {
        let mut run = world.start();
        std::thread::sleep(Duration::from_millis(200 + next(&mut seed) % 1500));
        let ended = run.child.try_wait().unwrap();
        run.child.kill().unwrap();
        run.child.wait().unwrap();
        assert!(
            ended.is_none(),
            "it was over after {kills} kills\n{}",
            world.output()
        );
        kills += 1;
    }
    assert_eq!(world.start().wait(), 0, "{}", world.output());
    world.assert_all_complete(24);
    let study = world.study();
    for trial in study.trials() {
        assert_eq!(trial.reports, 40, "trial {}\n{}", trial.id, world.output());
    }
    // Every exit before the last one of a trial belongs to a start that was never sent.
    let lost: Vec<_> = world
        .ends()
        .into_iter()
        .filter(|end| end.2 != Exit::Done)
        .collect();
    assert!(lost.iter().all(|end| end.2 == Exit::Lost), "{lost:?}");
    let gone_early = world.notes("gone") < 2;
    let submitted = world.notes("intent") - world.notes("dropped");
    assert!(
        submitted == 1 || gone_early,
        "{submitted} submissions\n{}",
        world.output()
    );
    world.assert_no_job_is_left();
}

#[test]
fn every_exit_is_known_where_slurm_forgets_jobs_at_once() {
    let Some(_) = cluster() else { return };
    let forgetful = Forgetful::start();
    let mut world = World::new("forgetful", STEPS, 6, &slurm("pilots = 2\nslots = 2"));
    world.env.push(("SLURM_CONF".into(), forgetful.conf()));
    let run = world.start();
    world.until_trials_report(3);
    // Kill the pilot so suddenly that it cannot report anything.
    signal_a_pilot(&world, "-KILL");
    assert_eq!(run.wait(), 0, "{}", world.output());
    world.assert_all_complete(6);
    let lost = world
        .ends()
        .into_iter()
        .filter(|end| end.2 == Exit::Lost)
        .count();
    assert!((1..=2).contains(&lost), "{lost} lost\n{}", world.output());
}

/// A second cluster, which forgets a job two seconds after its end.
struct Forgetful(tempfile::TempDir);

impl Forgetful {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("swath-slurm-")
            .tempdir()
            .unwrap();
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let cluster = Self(folder);
        let begun = Command::new("bash")
            .arg(script("start-slurm.sh"))
            .arg("--dir")
            .arg(cluster.dir())
            .args(["--nodes", "2", "--set", "MinJobAge=2"])
            .output()
            .unwrap();
        assert!(
            begun.status.success(),
            "{}",
            String::from_utf8_lossy(&begun.stderr)
        );
        cluster
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("c")
    }

    fn conf(&self) -> String {
        self.dir().join("slurm.conf").display().to_string()
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        let stopped = Command::new("bash")
            .arg(script("stop-slurm.sh"))
            .arg("--dir")
            .arg(self.dir())
            .arg("--rm")
            .status();
        assert!(stopped.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn script(name: &str) -> String {
    format!("{}/tests/slurm/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a sweep in its own mount namespace, in which the study folder shows changes by other
/// processes up to `seconds` late.
fn run_with_stale_view(world: &World, seconds: u32) -> (i32, String) {
    let begin = format!(
        "bash '{0}' start '{1}' '{1}' {seconds} || exit 99\n'{2}' run sweep.toml\ncode=$?\ncd /\nbash '{0}' stop '{1}'\nexit $code",
        script("stale-view.sh"),
        world.path("logs").display(),
        env!("CARGO_BIN_EXE_swath"),
    );
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", &begin])
        .current_dir(world.folder.path())
        .output();
    super::world::code_and_output(&output.unwrap())
}

#[test]
fn a_file_system_view_eight_seconds_old_loses_no_trial_and_repeats_none() {
    if !has("fuse") {
        return;
    }
    let executor = slurm("pilots = 2\nslots = 4").replace("lease = \"4s\"", "lease = \"30s\"");
    let world = World::new("stale", SHORT, 40, &executor);
    std::fs::create_dir(world.path("logs")).unwrap();
    let begun = Instant::now();
    let (code, output) = run_with_stale_view(&world, 8);
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(40);
    assert_eq!(world.ends().len(), 40, "{output}");
    let reports: u64 = world
        .study()
        .trials()
        .iter()
        .map(|trial| trial.reports)
        .sum();
    assert_eq!(reports, 40);
    // Otherwise the view was not delayed, and this test would prove nothing.
    assert!(begun.elapsed() > Duration::from_secs(16), "{output}");
}
