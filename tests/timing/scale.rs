//! Many trials, and many at a time, in one process: every event is recorded, every descriptor is
//! closed, memory stays small.
//!
//! `SWATH_SCALE=10000 cargo test --release --test timing scale::` runs the long form;
//! RELIABILITY.md has its figures.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use swath::driver::Interrupt;
use swath::executor::{Closure, TrialContext, TrialError};
use swath::journal::{Journal, StudyDir};
use swath::logger::TrialLogger;
use swath::run::{self, Options};
use swath::source::Source;
use swath::study::{Closing, Study, TrialState};
use swath::sweep::Sweep;

const SLOTS: usize = 200;

/// Maximum time that the first trials wait for each other, so that the test fails instead of
/// hanging on a machine on which they never all run at once.
const PATIENCE: Duration = Duration::from_secs(60);

fn sweep(trials: u64, command: &str) -> Sweep {
    let text = format!(
        "{command}\n[objective]\nmetric = 'loss'\ngoal = 'min'\n[search]\nsampler = 'random'\ntrials = {trials}\n\
         [resources]\njobs = {SLOTS}\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n"
    );
    let source = Source {
        name: "scale.toml".into(),
        text,
    };
    if command.is_empty() {
        Sweep::parse_for_function(source).unwrap()
    } else {
        Sweep::parse(source).unwrap()
    }
}

fn options(folder: &Path) -> Options {
    Options {
        logs: folder.join("logs"),
        workdir: folder.to_owned(),
        ..Options::default()
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns the value of a line of `/proc/self/status` in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap()
}

fn x(study: &Study, at: usize) -> Option<f64> {
    study.trials()[at]
        .params
        .get("x")
        .and_then(swath::space::Value::as_f64)
}

/// Checks that every trial is complete with its reported values, and that the journal has each of
/// its events exactly once.
fn assert_no_event_is_lost(study: &Study, dir: &Path, trials: u64) {
    assert_eq!(study.trials().len() as u64, trials);
    for (at, trial) in study.trials().iter().enumerate() {
        assert_eq!(
            (trial.state.clone(), trial.attempts, trial.reports),
            (TrialState::Complete, 1, 1),
            "{trial:?}"
        );
        assert_eq!(
            trial.metrics.get("loss").map(|tally| tally.last.0),
            x(study, at)
        );
    }
    let mut seen = BTreeMap::new();
    for entry in Journal::open(&StudyDir::at(dir)).unwrap() {
        let json = serde_json::to_value(entry.unwrap().event).unwrap();
        let kind = json.as_object().unwrap().keys().next().unwrap().clone();
        *seen.entry(kind).or_insert(0) += 1;
    }
    for kind in ["created", "started", "logged", "ended"] {
        assert_eq!(seen.get(kind), Some(&trials), "{kind}: {seen:?}");
    }
}

/// A single test, because descriptors and memory belong to the whole process.
#[test]
fn ten_thousand_trials_two_hundred_at_a_time_lose_no_event_and_leak_no_descriptor() {
    let _turn = super::alone();
    let trials: u64 = std::env::var("SWATH_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1500);
    // Use memory if possible: deleting so many files takes longer than everything else here on some
    // disks.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (descriptors_before, memory_before) = (descriptors(), status("VmRSS:"));
    let begun = Instant::now();

    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let function = move |trial: &TrialContext, log: &mut TrialLogger| -> Result<(), TrialError> {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let begun = Instant::now();
        while peak.load(Ordering::SeqCst) < SLOTS && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(1));
        let x = trial
            .params()
            .get("x")
            .and_then(swath::space::Value::as_f64)
            .ok_or("no x")?;
        log.report(&[("loss", x)])?;
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    };
    let functions = sweep(trials, "");
    let mut opened = run::open(&functions, options(folder.path())).unwrap();
    opened.record(drop).unwrap();
    let mut pool = opened.functions(Arc::new(Closure(function))).unwrap();
    assert_eq!(
        opened.run(&mut pool, &Interrupt::default()).unwrap(),
        Closing::Finished
    );
    drop(pool);
    assert_no_event_is_lost(opened.study(), opened.dir().root(), trials);
    assert_eq!(
        most.load(Ordering::SeqCst),
        SLOTS,
        "the number of trials that ran at the same time"
    );
    drop(opened);
    let functions_took = begun.elapsed();
    assert_eq!(descriptors(), descriptors_before);

    let begun = Instant::now();
    let count = trials / 5;
    let script = r#"[run]
command = ["sh", "-c", "echo \"{{\\\"loss\\\": $1}}\" >> $SWATH_RECORDS; sleep 0.2", "sh", "{x}"]"#;
    let mut programs = sweep(count, script);
    programs.name = "programs".to_owned();
    let mut opened = run::open(&programs, options(folder.path())).unwrap();
    let mut pool = opened.programs(None).unwrap();
    assert_eq!(
        opened.run(&mut *pool, &Interrupt::default()).unwrap(),
        Closing::Finished
    );
    drop(pool);
    let children =
        std::fs::read_to_string(format!("/proc/self/task/{0}/children", std::process::id()));
    assert_eq!(
        children.unwrap_or_default().trim(),
        "",
        "a child or a zombie remains"
    );
    assert_every_report_is_recorded(opened.study(), count);
    drop(opened);
    assert_eq!(descriptors(), descriptors_before);

    let grown = status("VmHWM:").saturating_sub(memory_before) / 1024;
    println!(
        "{trials} functions in {functions_took:.1?}, {count} programs in {:.1?}, {grown} MiB more at most",
        begun.elapsed()
    );
    assert!(grown < 150, "{grown} MiB");
}

fn assert_every_report_is_recorded(study: &Study, trials: u64) {
    assert_eq!(study.counts().complete, trials);
    for at in 0..study.trials().len() {
        assert_eq!(
            study.trials()[at]
                .metrics
                .get("loss")
                .map(|tally| tally.last.0),
            x(study, at)
        );
    }
}
