//! `swath top` on a live study in a terminal of three sizes, and `swath run` in one that is
//! resized. The terminal is tmux with a server of its own; without tmux nothing is tested.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time until a text appears. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Trial 1 fails with three lines; the others report once, and run until the file `go` exists, but
/// no longer than two minutes.
const TRIAL: &str = "if [ \"$SWATH_TRIAL\" = 1 ]; then
  printf 'Traceback:\\n  File train.py\\nValueError: no such layer\\n' >&2
  exit 3
fi
echo \"{\\\"epoch\\\": 1, \\\"val_loss\\\": 0.$SWATH_TRIAL, \\\"acc\\\": 0.5}\" >> \"$SWATH_RECORDS\"
i=0
while [ ! -e go ] && [ $i -lt 1200 ]; do sleep 0.1; i=$((i + 1)); done
";

const SWEEP: &str = "name = \"s\"
[run]
command = [\"sh\", \"trial.sh\"]
grace = \"100ms\"
[objective]
metric = \"val_loss\"
goal = \"min\"
[search]
sampler = \"random\"
trials = 13
[space]
lr = { min = 0.0, max = 1.0 }
";

/// A tmux server with one window, which runs a command in a folder.
struct Terminal<'a> {
    folder: &'a Path,
    socket: String,
    server: Child,
}

impl<'a> Terminal<'a> {
    fn open(folder: &'a Path, name: &str, (columns, rows): (u16, u16), command: &str) -> Self {
        let socket = format!("swath-{name}-{}", std::process::id());
        // The server is no daemon. Another test of this process runs a sweep in it: the process is
        // then the parent of every daemon below it, and the end of the sweep ends them all.
        let server = tmux(folder, &socket)
            .args(["-D", "-u", "-f", "/dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let terminal = Self {
            folder,
            socket,
            server,
        };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        // The pane stays after the end of the command, so that its last screen can be read.
        let command = format!("{command}; echo; echo the-end; exec sleep 600");
        let session = ["new-session", "-d", "-x", &columns, "-y", &rows, &command];
        let begun = Instant::now();
        // Until the server listens, there is nothing to talk to.
        while !terminal.listens() {
            assert!(
                begun.elapsed() < PATIENCE,
                "the server of tmux does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let started = terminal.tmux(&session);
        assert!(started.status.success(), "{started:?}");
        terminal
    }

    fn listens(&self) -> bool {
        self.tmux(&["show-options", "-s", "exit-empty"])
            .status
            .success()
    }

    fn tmux(&self, words: &[&str]) -> Output {
        tmux(self.folder, &self.socket)
            .args(words)
            .output()
            .unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Returns the lines of the screen, with those that scrolled away. Lines that the terminal has
    /// wrapped are joined.
    fn lines(&self) -> Vec<String> {
        let captured = self.tmux(&["capture-pane", "-p", "-J", "-S", "-"]).stdout;
        let text = String::from_utf8_lossy(&captured).into_owned();
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// Waits until the lines are as wanted, and returns them.
    fn wait(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", lines.join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for(&self, text: &str) -> Vec<String> {
        self.wait(|lines| lines.iter().any(|line| line.contains(text)))
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Returns a call of tmux with a socket in a folder.
fn tmux(folder: &Path, socket: &str) -> Command {
    let mut command = Command::new("tmux");
    command
        .args(["-L", socket])
        .current_dir(folder)
        .env("TMUX_TMPDIR", folder)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("TMUX")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

/// Returns the folder of a sweep; `None` if there is no tmux.
fn world() -> Option<tempfile::TempDir> {
    Command::new("tmux").arg("-V").output().ok()?;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trial.sh"), TRIAL).unwrap();
    fs::write(folder.path().join("s.toml"), SWEEP).unwrap();
    Some(folder)
}

/// Waits for the end of a run, and kills one that does not end.
fn wait_for_end(mut run: Child) {
    let begun = Instant::now();
    while run.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let has_ended = run.try_wait().unwrap().is_some();
    let _ = run.kill();
    run.wait().unwrap();
    assert!(has_ended, "the run hangs");
}

#[test]
fn failures_keep_their_lines_and_the_status_stays_single_while_the_window_is_resized() {
    let Some(folder) = world() else { return };
    let command = format!("{} run s.toml --jobs 4", env!("CARGO_BIN_EXE_swath"));
    let terminal = Terminal::open(folder.path(), "run", (120, 30), &command);
    terminal.wait_for("4 running");
    for _ in 0..6 {
        for (columns, pause) in [(80, 30), (100, 120), (50, 300), (120, 60)] {
            terminal.tmux(&["resize-window", "-x", &columns.to_string(), "-y", "30"]);
            std::thread::sleep(Duration::from_millis(pause));
        }
    }
    fs::write(folder.path().join("go"), "").unwrap();
    let lines = terminal.wait_for("the-end");
    let text = lines.join("\n");
    for line in [
        "    | Traceback:",
        "    |   File train.py",
        "    | ValueError: no such layer",
    ] {
        assert_eq!(
            lines.iter().filter(|shown| *shown == line).count(),
            1,
            "{line}: {text}"
        );
    }
    assert!(
        text.contains("trial 1 failed: ValueError: no such layer"),
        "{text}"
    );
    // A row that the narrower window has moved away from the screen cannot be deleted any more.
    let screen = terminal.tmux(&["capture-pane", "-p", "-J"]).stdout;
    let screen = String::from_utf8_lossy(&screen);
    assert!(screen.contains("the-end"), "{screen}");
    for status in ["Ctrl-C stops", "running"] {
        assert!(!screen.contains(status), "{screen}");
        assert!(text.matches(status).count() <= 2, "{text}");
    }
}

#[test]
fn top_shows_a_live_study_at_every_size_and_stops_it_once_that_is_confirmed() {
    let Some(folder) = world() else { return };
    let run = Command::new(env!("CARGO_BIN_EXE_swath"))
        .args(["run", "s.toml", "--jobs", "12", "--quiet"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let records = folder.path().join("logs/s/13/records.jsonl");
    let begun = Instant::now();
    while !records.exists() {
        assert!(begun.elapsed() < PATIENCE, "the trials do not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let command = format!("{} top s", env!("CARGO_BIN_EXE_swath"));
    for size in [(80, 24), (120, 40), (200, 50)] {
        let name = format!("top{}", size.0);
        let terminal = Terminal::open(folder.path(), &name, size, &command);
        terminal.wait_for("12 running");
        terminal.wait_for("1 metrics");
        // The last of the running trials is reached, opened and left.
        terminal.press(&["End"]);
        terminal.press(&["Enter"]);
        terminal.wait_for("suggested by");
        terminal.press(&["q"]);
        terminal.wait_for("1 metrics");
        terminal.press(&["s"]);
        terminal.wait_for("or the run?");
        if size.0 < 200 {
            terminal.press(&["n"]);
            terminal.wait(|lines| !lines.iter().any(|line| line.contains("or the run?")));
            terminal.press(&["q"]);
            terminal.wait_for("the-end");
        } else {
            terminal.press(&["k"]);
            terminal.wait_for("asked process");
        }
    }
    wait_for_end(run);
}
