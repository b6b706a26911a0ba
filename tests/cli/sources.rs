//! Sources: what programs log for other tools becomes reports and metrics, each value once.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::command::Ended;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use swath::journal::{Journal, StudyDir};
use swath::study::{Datum, Event, LogRecord, Metric};

/// Longest time that a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Makes a project with a script and a sweep over `n` whose file has these further lines.
    fn new(script: (&str, &str), trials: u32, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (name, text) = script;
        fs::write(folder.path().join(name), text).unwrap();
        let interpreter = if name.ends_with(".py") {
            "python3"
        } else {
            "sh"
        };
        let sweep = format!(
            "name = \"s\"\n[run]\ncommand = [\"{interpreter}\", \"{name}\", \"{{n}}\"]\ngrace = \"1s\"\n{lines}\n\
             [search]\nsampler = \"grid\"\n[space]\nn = {{ min = 1, max = {trials} }}\n"
        );
        fs::write(folder.path().join("s.toml"), sweep).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command.args(words).current_dir(self.path());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn swath(&self, words: &[&str]) -> Ended {
        let ended = self.start(words).wait_with_output().unwrap();
        Ended::of(ended)
    }

    fn run(&self) -> Ended {
        let ended = self.swath(&["run", "s.toml"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended
    }

    /// Returns the values that a trial has reported for a metric.
    fn reported(&self, trial: u32, metric: &str) -> Vec<f64> {
        let mut values = Vec::new();
        for entry in Journal::open(&StudyDir::at(self.path().join("logs/s"))).unwrap() {
            if let Event::Logged {
                trial: of,
                record: LogRecord::Report { values: report },
                ..
            } = entry.unwrap().event
                && of.0 == trial
            {
                values.extend(report.iter().filter_map(|(name, datum)| match datum {
                    Datum::Number(Metric(number)) if **name == *metric => Some(*number),
                    _ => None,
                }));
            }
        }
        values
    }

    /// Returns the rows of a trial's metrics.
    fn metrics(&self, trial: u32) -> String {
        let path = self
            .path()
            .join(format!("logs/s/{trial}/metrics/metrics.json"));
        fs::read_to_string(path).unwrap_or_default()
    }
}

const FILES: &str = "workdir = \"private\"\n[objective]\nmetric = \"val_loss\"\ngoal = \"min\"\n\
    [[source]]\nname = \"files\"\npath = \"out/**/metrics.csv\"\nrename = { \"val/loss\" = \"val_loss\" }\n";

#[test]
fn a_row_with_the_objective_is_a_report_and_any_other_is_metrics() {
    let script = "mkdir -p out/v0\n\
        printf 'epoch,lr,val/loss\\n0,0.5,\\n0,,0.25\\n1,0.5,\\n1,,0.125\\n' > out/v0/metrics.csv\n";
    let world = World::new(("train.sh", script), 2, FILES);
    let ended = world.run();
    let says =
        "reports come from the program's records, else from `out/**/metrics.csv` (source `files`)";
    assert!(ended.err.contains(says), "{}", ended.err);
    for trial in [1, 2] {
        assert_eq!(world.reported(trial, "val_loss"), [0.25, 0.125]);
        assert_eq!(world.reported(trial, "epoch"), [0.0, 1.0]);
        assert_eq!(world.metrics(trial).matches("\"lr\": 0.5").count(), 2);
    }
    let shown = world.swath(&["show", "s", "1"]).out;
    let line = "work/out/v0/metrics.csv (files), 4 records: epoch, lr, val_loss";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn reports_of_a_source_are_in_the_journal_while_the_program_runs() {
    let script = "mkdir -p out; echo 'epoch,val/loss' > out/metrics.csv; echo 1,0.5 >> out/metrics.csv\n\
        i=0; until grep -q '\"val_loss\":0.5' ../../journal.jsonl || [ $i -ge 600 ]; do\n\
        sleep 0.05; i=$((i + 1)); done\n\
        [ $i -lt 600 ] && echo 2,0.25 >> out/metrics.csv\n";
    let world = World::new(("train.sh", script), 1, FILES);
    world.run();
    assert_eq!(world.reported(1, "val_loss"), [0.5, 0.25]);
}

#[test]
fn a_file_that_is_cut_rotated_or_written_anew_gives_each_value_once() {
    // The script waits until a value was read before it changes the file.
    let script = "seen() { i=0; until grep -q \"$1\" \"$SWATH_RECORDS\" || [ $i -ge 600 ]; do\n\
        sleep 0.05; i=$((i + 1)); done; }\n\
        mkdir -p out; cd out; f=metrics.csv\n\
        printf 'epoch,val/loss\\n1,0.9\\n' > $f; seen 0.9\n\
        printf 'epoch,lr,val/loss\\n1,,0.9\\n2,0.5,0.8\\n' > $f; seen 0.8\n\
        echo 3,0.5,0.7 >> $f; mv $f metrics.old\n\
        printf 'epoch,val/loss\\n4,0.6\\n' > $f; seen 0.6\n\
        printf 'epoch,val/loss\\n5,0.5\\n' > $f\n";
    let world = World::new(("train.sh", script), 1, FILES);
    world.run();
    assert_eq!(world.reported(1, "val_loss"), [0.9, 0.8, 0.7, 0.6, 0.5]);
}

#[test]
fn no_row_is_lost_or_taken_twice_when_the_orchestrator_is_killed() {
    let script = "mkdir -p out; f=out/metrics.csv; c=\"$SWATH_CHECKPOINT_DIR/epoch\"\n\
        e=0; [ -f \"$c\" ] && read -r e < \"$c\"\n\
        [ -f $f ] || echo 'epoch,val/loss' > $f\n\
        while [ $e -lt 30 ]; do e=$((e + 1)); echo \"$e,$((n + e))\" >> $f\n\
        echo $e > \"$c.new\"; mv \"$c.new\" \"$c\"; sleep 0.03; done\n";
    let world = World::new(
        ("train.sh", script),
        2,
        &format!("checkpoint = true\n{FILES}"),
    );
    let journal = world.path().join("logs/s/journal.jsonl");
    let mut orchestrator = world.start(&["run", "s.toml"]);
    let begun = Instant::now();
    let has_reports = || {
        let text = fs::read_to_string(&journal).unwrap_or_default();
        text.matches("\"val_loss\"").count() > 6
    };
    while !has_reports() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    orchestrator.kill().unwrap();
    orchestrator.wait().unwrap();
    world.run();
    for trial in [1, 2] {
        let mut epochs = world.reported(trial, "epoch");
        // The program itself may log the epoch again in which it was killed.
        epochs.dedup();
        let expected: Vec<f64> = (1..=30).map(f64::from).collect();
        assert_eq!(epochs, expected, "trial {trial}");
    }
}

#[test]
fn reports_of_the_program_itself_decide_and_those_of_a_source_are_metrics() {
    let script = "mkdir -p out\necho '{\"val_loss\": 7}' >> \"$SWATH_RECORDS\"\n\
        printf 'epoch,val/loss\\n1,0.5\\n' > out/metrics.csv\n";
    let world = World::new(("train.sh", script), 1, FILES);
    let ended = world.run();
    assert_eq!(world.reported(1, "val_loss"), [7.0]);
    assert!(world.metrics(1).contains("\"val_loss\": 0.5"));
    assert!(
        ended.err.contains("the program reports by itself"),
        "{}",
        ended.err
    );
    let captured = format!("{FILES}[capture]\nval_loss = 'loss=(\\S+)'\n");
    let script =
        "mkdir -p out\nprintf 'epoch,val/loss\\n1,0.5\\n' > out/metrics.csv; echo loss=3\n";
    let world = World::new(("train.sh", script), 1, &captured);
    world.run();
    assert_eq!(world.reported(1, "val_loss"), [3.0]);
}

#[test]
fn in_a_shared_folder_a_trial_gets_only_what_was_written_while_it_ran() {
    let script = "mkdir -p out; f=out/metrics.csv\n[ -f $f ] || echo 'epoch,val/loss' > $f\n\
        echo \"1,$1.5\" >> $f\n";
    let lines = FILES.replace("workdir = \"private\"\n", "");
    let world = World::new(
        ("train.sh", script),
        3,
        &format!("{lines}[resources]\njobs = 1\n"),
    );
    fs::create_dir(world.path().join("out")).unwrap();
    fs::write(
        world.path().join("out/metrics.csv"),
        "epoch,val/loss\n1,99\n",
    )
    .unwrap();
    world.run();
    for trial in 1..=3 {
        assert_eq!(world.reported(trial, "val_loss"), [f64::from(trial) + 0.5]);
    }
}

#[test]
fn a_metric_that_no_file_has_is_explained_by_the_names_that_they_have() {
    let script = "mkdir -p out\nprintf 'epoch,validation_loss\\n1,0.5\\n' > out/metrics.csv\n";
    let world = World::new(("train.sh", script), 1, FILES);
    let ended = world.swath(&["run", "s.toml"]);
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.err.contains("has `epoch`, `validation_loss`"),
        "{}",
        ended.err
    );
    let world = World::new(("train.sh", "exit 0\n"), 1, FILES);
    let ended = world.swath(&["run", "s.toml"]);
    assert!(ended.err.contains("no file matches"), "{}", ended.err);
}

/// A package that looks like tensorboardX.
const WRITER: &str =
    "class SummaryWriter:\n    def add_scalar(self, tag, value, global_step=None):\n        pass\n";

#[test]
fn a_script_that_logs_to_a_summary_writer_reports_and_its_children_are_as_by_hand() {
    let script = "import os, subprocess, sys\nfrom tensorboardX import SummaryWriter\n\
        writer = SummaryWriter()\nfor step in range(3):\n    writer.add_scalar('lr', 0.1, step)\n    \
        writer.add_scalar('val_loss', 0.1 + step / 3, step)\n\
        assert sys.modules['sitecustomize'].__file__.endswith('own/sitecustomize.py')\n\
        child = 'import os, sys; print(os.environ.get(\"PYTHONPATH\"), \"own\" in sys.modules)'\n\
        print(subprocess.check_output([sys.executable, '-c', child], text=True))\n";
    let lines =
        "env = { PYTHONPATH = \"own\" }\n[objective]\nmetric = \"val_loss\"\ngoal = \"min\"\n";
    let world = World::new(("train.py", script), 2, lines);
    for (path, text) in [
        (
            "tensorboardX/__init__.py",
            "from .writer import SummaryWriter\n",
        ),
        ("tensorboardX/writer.py", WRITER),
        (
            "own/sitecustomize.py",
            "import sys\nsys.modules['own'] = sys\n",
        ),
    ] {
        let path = world.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let ended = world.run();
    assert!(ended.err.contains("(source `python`)"), "{}", ended.err);
    for trial in [1, 2] {
        let expected = [0.1, 0.1 + 1.0 / 3.0, 0.1 + 2.0 / 3.0];
        assert_eq!(world.reported(trial, "val_loss"), expected);
        assert_eq!(world.reported(trial, "lr"), [0.1; 3]);
        let printed = fs::read_to_string(world.path().join(format!("logs/s/{trial}/stdout.log")));
        assert_eq!(printed.unwrap().trim(), "own True");
    }
}

#[test]
fn init_try_finds_the_file_that_has_the_metric() {
    let script = "import os\nos.makedirs('lightning_logs/version_0')\n\
        with open('lightning_logs/version_0/metrics.csv', 'w') as file:\n    \
        file.write('epoch,train_loss,val_loss\\n0,0.5,0.25\\n')\n";
    let world = World::new(("train.py", script), 1, "");
    let ended = world.swath(&["init", "--try", "train.py"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let text = fs::read_to_string(world.path().join("train.toml")).unwrap();
    assert!(
        text.contains("path = \"lightning_logs/**/metrics.csv\""),
        "{text}"
    );
    assert!(text.contains("metric = \"val_loss\""), "{text}");
    assert_eq!(world.swath(&["check", "train.toml"]).code, Some(0));
}
