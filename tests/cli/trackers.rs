//! Trackers follow a run from threads of their own: a run waits for none of them, but at its end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use swath::driver::Interrupt;
use swath::executor::Closure;
use swath::run::{self, Options};
use swath::source::Source;
use swath::study::{Entry, Kind, Study};
use swath::sweep::Registry;
use swath::tracker::{Tracker, TrackerError};

/// Maximum time that a test waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Number of reports of the fast trial: more than any queue of the run could hold.
const REPORTS: u32 = 20_000;

/// Waits until the journal of a study contains `text`. Returns whether it does in time.
fn wait_for_journal(study: &Path, text: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let journal = fs::read_to_string(study.join("journal.jsonl")).unwrap_or_default();
        if journal.contains(text) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A tracker that takes nothing in before the trial has ended. It then writes the number of entries
/// to a file.
const BLOCKED: Kind<dyn Tracker> = Kind {
    name: "blocked",
    about: "takes nothing in before a trial has ended",
    paper: None,
    options: &[],
    capabilities: &[],
    build: |_, setting, _| {
        Some(Box::new(Blocked {
            study: setting.dir.clone()?,
            entries: 0,
        }))
    },
};

struct Blocked {
    study: PathBuf,
    entries: u64,
}

impl Tracker for Blocked {
    fn record(&mut self, _: &Study, entry: &Entry) -> Result<(), TrackerError> {
        if entry.seq == 0 && !wait_for_journal(&self.study, "\"ended\"") {
            return Err(TrackerError::Other("the trial does not end".to_owned()));
        }
        self.entries += 1;
        Ok(())
    }

    fn sync(&mut self, _: &Study) -> Result<(), TrackerError> {
        fs::write(self.study.join("entries"), self.entries.to_string()).unwrap();
        Ok(())
    }
}

#[test]
fn a_trial_that_reports_as_fast_as_it_can_does_not_wait_for_a_blocked_tracker() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source {
        name: "fast.toml".into(),
        text: "name = 'fast'\n[objective]\nmetric = 'loss'\ngoal = 'min'\n[search]\ntrials = 1\n\
               [space]\nx = { min = 0.0, max = 1.0 }\n[[tracker]]\nname = 'blocked'\n"
            .into(),
    };
    let registry = Registry::standard().tracker(BLOCKED);
    let sweep = registry.parse_for_function(source).ok().unwrap();
    let stale = RefCell::new(Vec::new());
    let mut opened = run::open(&sweep, Options::at(folder.path())).unwrap();
    opened
        .record(|report| stale.borrow_mut().push(report))
        .unwrap();
    let fast = Closure(|_: &_, log: &mut swath::logger::TrialLogger| {
        for step in 0..REPORTS {
            log.report(&[("loss", 1.0 / f64::from(step + 1))])?;
        }
        Ok(())
    });
    let mut pool = opened.functions(Arc::new(fast)).unwrap();
    opened.run(&mut pool, &Interrupt::default()).unwrap();
    let entries = opened.study().next_seq();
    drop(opened);
    assert_eq!(stale.into_inner(), [], "the run waited for the tracker");
    assert!(entries > u64::from(REPORTS));
    let written = fs::read_to_string(folder.path().join("fast/entries")).unwrap();
    assert_eq!(written, entries.to_string(), "the tracker caught up");
}

/// A run that is ended with the test.
struct Run(Child);

impl Run {
    fn interrupt(&self) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_a_server_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    // The kernel accepts connections to this server, and nobody answers them.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let sweep = format!(
        "name = \"hang\"\nrun = {{ command = [\"sh\", \"-c\", \"sleep 300\"] }}\n[objective]\nmetric = \"loss\"\n\
         goal = \"min\"\n[search]\ntrials = 1\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n\
         [[tracker]]\nname = \"mlflow\"\nuri = \"http://{address}\"\n"
    );
    fs::write(folder.path().join("hang.toml"), sweep).unwrap();
    let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_swath"))
        .args(["run", "hang.toml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let mut run = Run(run.unwrap());
    let study = folder.path().join("logs/hang");
    assert!(wait_for_journal(&study, "\"placed\""));
    run.interrupt();
    assert!(wait_for_journal(&study, "\"ended\""));
    let began = Instant::now();
    run.interrupt();
    while run.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(4), "the run waits");
        std::thread::sleep(Duration::from_millis(10));
    }
    let message = fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(
        message.contains("tracker `mlflow`") && message.contains("not delivered yet"),
        "{message}"
    );
}
