//! Stopping single trials, and raising the number of trials, while a run goes on and afterwards.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{StudyDir, read};
use swath::study::{Study, Trial, TrialState};

/// Longest time that a step of these tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Trials 1 and 2 report twice, and run until they are stopped, but no longer than two minutes; the
/// others report and end.
const TRIAL: &str = "echo '{\"loss\": 3}' >> $SWATH_RECORDS
echo '{\"loss\": 2}' >> $SWATH_RECORDS
[ $SWATH_TRIAL -gt 2 ] && exit 0
i=0
while [ $i -lt 2400 ]; do sleep 0.05; i=$((i + 1)); done
";

/// A sweep in a temporary folder, and its run, which is killed at the end of the test.
struct World {
    folder: tempfile::TempDir,
    run: Option<Child>,
}

impl World {
    /// Makes a sweep of three trials, two at a time.
    fn new(run: &str) -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            run: None,
        };
        fs::write(world.path("trial.sh"), TRIAL).unwrap();
        let sweep = format!(
            "name = \"s\"\n[run]\ncommand = [\"sh\", \"trial.sh\"]\ngrace = \"100ms\"\n{run}\n\
             [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\n\
             trials = 3\n[resources]\njobs = 2\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n"
        );
        fs::write(world.path("s.toml"), sweep).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command.args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that ends soon. Returns its standard output and its messages.
    fn swath(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let text = text(&output);
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }

    /// Starts the run, and waits until trials 1 and 2 have reported.
    fn start(&mut self) {
        let run = self.command(&["run", "s.toml", "--quiet"]).spawn().unwrap();
        self.run = Some(run);
        self.wait(|study| {
            let reports = study.trials().iter().map(|trial| trial.reports);
            reports.take(2).filter(|reports| *reports == 2).count() == 2
        });
    }

    /// Waits until the study is as wanted.
    fn wait(&self, wanted: impl Fn(&Study) -> bool) -> Study {
        let dir = StudyDir::at(self.path("logs/s"));
        let begun = Instant::now();
        loop {
            if let Ok(study) = read(&dir)
                && wanted(&study)
            {
                return study;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?}", states(&self.study()));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the run, whatever its exit code.
    fn wait_for_end(&mut self) {
        let mut run = self.run.take().unwrap();
        let begun = Instant::now();
        while run.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = run.try_wait().unwrap();
        let _ = run.kill();
        run.wait().unwrap();
        assert!(status.is_some(), "the run hangs");
    }

    fn study(&self) -> Study {
        read(&StudyDir::at(self.path("logs/s"))).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(run) = &mut self.run {
            let _ = run.kill();
            let _ = run.wait();
        }
    }
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|text| String::from_utf8_lossy(text)).concat()
}

fn states(study: &Study) -> Vec<TrialState> {
    let trials = study.trials().iter();
    trials.map(|trial| trial.state.clone()).collect()
}

fn is_stopped(study: &Study, index: usize) -> bool {
    study.trials().get(index).map(|trial| &trial.state) == Some(&TrialState::Stopped)
}

#[test]
fn a_stopped_trial_frees_its_slot_and_keeps_its_values_while_the_run_goes_on() {
    let mut world = World::new("");
    world.start();
    let message = world.swath(&["stop", "s", "1"]);
    assert!(message.contains("to stop trial 1"), "{message}");
    let study = world.wait(|study| is_stopped(study, 0) && study.trials().len() == 3);
    assert_eq!(study.trials()[1].state, TrialState::Running);
    assert!(study.trials()[0].is_stopped_by_person());
    assert_eq!(study.trials()[0].reports, 2);
    let why = world.swath(&["why", "s", "1"]);
    assert!(
        why.starts_with("trial 1 was stopped: asked for by "),
        "{why}"
    );
    let shown = world.swath(&["show", "s", "1"]);
    assert!(shown.contains("asked for by "), "{shown}");
    // The run takes a raised total too, and ends once no trial is left.
    world.swath(&["add", "s", "--trials", "+1"]);
    world.swath(&["stop", "s", "2"]);
    world.wait_for_end();
    let ends = [
        TrialState::Stopped,
        TrialState::Stopped,
        TrialState::Complete,
        TrialState::Complete,
    ];
    assert_eq!(states(&world.study()), ends);
}

#[test]
fn a_raised_total_holds_for_further_runs_until_the_sweep_file_has_another_number() {
    let mut world = World::new("");
    world.start();
    world.swath(&["add", "s", "--trials", "4"]);
    world.swath(&["stop", "s", "1-2"]);
    world.wait_for_end();
    let count = |world: &World| world.study().trials().len();
    assert_eq!(count(&world), 4);
    let message = world.swath(&["run", "s.toml"]);
    assert!(message.contains("the study is finished"), "{message}");
    let message = world.swath(&["add", "s", "--trials", "+2"]);
    assert!(
        message.contains("raised: 4 → 6 trials (the sweep file has 3)"),
        "{message}"
    );
    for _ in 0..2 {
        world.swath(&["run", "s.toml"]);
        assert_eq!(count(&world), 6);
    }
    assert!(
        !world
            .command(&["add", "s", "--trials", "6"])
            .status()
            .unwrap()
            .success()
    );
    let sweep = fs::read_to_string(world.path("s.toml")).unwrap();
    let sweep = sweep.replace("trials = 3", "trials = 7");
    fs::write(world.path("s.toml"), sweep).unwrap();
    let message = world.swath(&["run", "s.toml"]);
    assert!(message.contains("trials: 6 → 7"), "{message}");
    assert_eq!(
        (count(&world), world.study().header().raised_from),
        (7, None)
    );
    let replayed = world.swath(&["replay", "s"]);
    assert!(replayed.contains("7"), "{replayed}");
}

#[test]
fn a_trial_that_was_stopped_after_its_run_was_killed_is_not_continued() {
    let mut world = World::new("");
    world.start();
    let mut run = world.run.take().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let message = world.swath(&["stop", "s", "1-2"]);
    assert!(message.contains("stopped 2 trials"), "{message}");
    world.swath(&["run", "s.toml"]);
    let study = world.study();
    let attempts: Vec<u32> = study.trials().iter().map(|trial| trial.attempts).collect();
    assert_eq!(attempts, [1, 1, 1]);
    assert!(study.trials()[..2].iter().all(Trial::is_stopped_by_person));
    assert_eq!(study.trials()[2].state, TrialState::Complete);
}

#[test]
fn a_trial_that_waits_for_a_retry_is_stopped_without_another_attempt() {
    let mut world = World::new("");
    let sweep = fs::read_to_string(world.path("s.toml")).unwrap();
    let retry = "[retry]\ntimes = 3\non = [\"crash\"]\nbackoff = \"10m\"\n[space]";
    fs::write(world.path("s.toml"), sweep.replace("[space]", retry)).unwrap();
    let script = format!("[ $SWATH_TRIAL = 3 ] && exit 3\n{TRIAL}");
    fs::write(world.path("trial.sh"), script).unwrap();
    world.start();
    world.swath(&["stop", "s", "1"]);
    world.wait(|study| {
        let last = study.trials().get(2);
        last.is_some_and(|trial| trial.state == TrialState::Waiting && trial.attempts == 1)
    });
    world.swath(&["stop", "s", "2-3"]);
    world.wait_for_end();
    let study = world.study();
    assert_eq!(states(&study), [const { TrialState::Stopped }; 3]);
    assert_eq!(study.trials()[2].attempts, 1);
}
