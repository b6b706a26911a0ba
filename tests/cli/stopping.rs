//! The end of a trial: the way in which it is asked, what it may still do then, and from where it
//! goes on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time that a step of these tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct World(tempfile::TempDir);

impl World {
    /// Makes a sweep of one trial that runs a script. `run` are further keys of `[run]`.
    fn new(script: &str, run: &str) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.0.path().join("trial.sh"), script).unwrap();
        let sweep = format!(
            "name = \"s\"\n[run]\ncommand = [\"sh\", \"trial.sh\"]\ncheckpoint = true\n{run}\n\
             [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\n\
             trials = 1\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n"
        );
        fs::write(world.0.path().join("s.toml"), sweep).unwrap();
        world
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_swath"))
            .args(["run", "s.toml"])
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self) -> Output {
        end_of(self.start())
    }

    /// Runs the trial until it has written `ready`, and interrupts the run.
    fn interrupt(&self) -> Output {
        let run = self.start();
        let begun = Instant::now();
        while !self.trial("ready").exists() {
            assert!(begun.elapsed() < PATIENCE, "the trial is never ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&run), Signal::INT).unwrap();
        end_of(run)
    }

    /// Returns the path of a file in the folder of the trial.
    fn trial(&self, name: &str) -> PathBuf {
        self.0.path().join("logs/s/1").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.trial(name)).unwrap_or_default()
    }
}

/// Waits for the end of a run, and kills one that does not end.
fn end_of(mut run: Child) -> Output {
    let begun = Instant::now();
    while run.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        run.try_wait().unwrap().is_some() || run.kill().is_err(),
        "the run hangs"
    );
    run.wait_with_output().unwrap()
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A script whose main process has a worker without a handler, and notes whether the worker lives
/// when the main process saves its checkpoint.
const WITH_WORKER: &str = "sleep 60 & worker=$!
trap 'stop=1' TERM USR1
: > $SWATH_TRIAL_DIR/ready
while [ -z \"$stop\" ]; do sleep 0.05; done
sleep 0.3
kill -0 $worker 2> /dev/null && state=alive || state=dead
echo $state > $SWATH_CHECKPOINT_DIR/worker
";

#[test]
fn a_worker_lives_while_the_main_process_saves_its_checkpoint() {
    let world = World::new(WITH_WORKER, "grace = \"20s\"");
    let begun = Instant::now();
    let output = world.interrupt();
    assert_eq!(
        world.read("checkpoints/worker"),
        "alive\n",
        "{}",
        messages(&output)
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_sweep_file_can_send_another_signal_to_the_whole_process_group() {
    let script = "sh -c 'trap \"echo $$ > $SWATH_TRIAL_DIR/child; exit\" USR1; \
                  : > $SWATH_TRIAL_DIR/ready; while :; do sleep 0.05; done' &\n\
                  trap 'echo main > $SWATH_TRIAL_DIR/main' USR1\nwait; sleep 0.5";
    let stop = "stop = { signal = \"SIGUSR1\", to = \"group\" }\ngrace = \"20s\"";
    let world = World::new(script, stop);
    let output = world.interrupt();
    let message = messages(&output);
    assert_eq!(world.read("main"), "main\n", "{message}");
    assert!(world.trial("child").exists(), "{message}");
}

#[test]
fn a_shell_that_ends_at_once_leaves_its_program_the_whole_grace_period() {
    let script = "sh -c 'trap \"sleep 3; : > $SWATH_CHECKPOINT_DIR/saved; exit\" TERM; \
                  : > $SWATH_TRIAL_DIR/ready; while :; do sleep 0.05; done'; :";
    let world = World::new(script, "grace = \"20s\"");
    let output = world.interrupt();
    assert!(
        world.trial("checkpoints/saved").exists(),
        "{}",
        messages(&output)
    );
}

#[test]
fn processes_that_a_program_leaves_are_ended_and_named() {
    let script = "sleep 61 & sleep 62 &\necho '{\"loss\": 1}' >> $SWATH_RECORDS";
    let output = World::new(script, "").run();
    let message = messages(&output);
    let expected =
        "2 processes were still running when the program ended, and ended with it: sleep (2)";
    assert!(message.contains(expected), "{message}");
    assert_eq!(output.status.code(), Some(0), "{message}");
}

#[test]
fn a_process_that_ends_by_itself_within_a_moment_is_not_named() {
    let script = "sleep 0.02 &\necho '{\"loss\": 1}' >> $SWATH_RECORDS";
    let message = messages(&World::new(script, "").run());
    assert!(!message.contains("still running"), "{message}");
}

#[test]
fn a_script_that_goes_into_the_background_is_told_so() {
    let output = World::new("sleep 60 &\nexit 0", "").run();
    let message = messages(&output);
    assert!(
        message.contains("the program went into the background"),
        "{message}"
    );
}

#[test]
fn a_resumed_trial_gets_the_checkpoint_that_is_whole_and_its_step() {
    let script = "if [ \"$SWATH_RESUME\" ]; then
    echo \"$SWATH_RESUME_STEP:\" $(ls $SWATH_CHECKPOINT_DIR) > $SWATH_TRIAL_DIR/seen
    echo '{\"loss\": 1}' >> $SWATH_RECORDS
    exit 0
fi
echo whole > $SWATH_CHECKPOINT_DIR/epoch3
sleep 0.1
echo '{\"kind\": \"checkpoint\", \"step\": 3}' >> $SWATH_RECORDS
sleep 1
echo to > $SWATH_CHECKPOINT_DIR/epoch4
: > $SWATH_TRIAL_DIR/ready
sleep 60
";
    let world = World::new(script, "grace = \"2s\"");
    world.interrupt();
    let output = world.run();
    let message = messages(&output);
    assert_eq!(world.read("seen"), "3: epoch3\n", "{message}");
    assert_eq!(world.read("attempts/1/checkpoints/epoch4"), "to\n");
    assert!(
        message.contains("`checkpoints/epoch4` is newer"),
        "{message}"
    );
}
