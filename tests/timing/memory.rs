//! The memory of a run and of readers that have many imported trials.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SWATH: &str = env!("CARGO_BIN_EXE_swath");
/// Memory of a process that has read no study, in KiB: code (of a debug build), threads and their
/// stacks.
const EMPTY: u64 = 36 << 10;
/// Time after which a command is ended, and the test fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// Number of imported trials. By hand: `SWATH_SCALE=100000 cargo test --release --test timing memory::`.
fn trial_count() -> u64 {
    let chosen = std::env::var("SWATH_SCALE").ok();
    chosen.map_or(10_000, |text| text.parse().unwrap())
}

#[test]
fn a_run_and_its_readers_need_a_kilobyte_and_a_half_for_an_imported_trial() {
    let _alone = crate::alone();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = format!(
        "name = \"s\"\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\ntrials = 1\n\
         [resources]\njobs = 1\n[run]\ncommand = [\"{SWATH}\", \"report\", \"loss={{x}}\"]\n\
         [space]\nx = {{ min = 0.0, max = 1.0 }}\nk = [\"a\", \"b\"]\n"
    );
    fs::write(dir.join("s.toml"), text).unwrap();
    let count = trial_count();
    let mut table = "x,k,loss\n".to_owned();
    for index in 0..count {
        let x = index as f64 / count as f64;
        writeln!(table, "{x},{},{}", ["a", "b"][index as usize % 2], 1.0 - x).unwrap();
    }
    fs::write(dir.join("old.csv"), table).unwrap();
    // An import also holds the events that it is about to write.
    let kib = peak(dir, "import s.toml old.csv");
    assert!(
        kib < EMPTY + count * 3,
        "the import took {kib} KiB of {}",
        EMPTY + count * 3
    );
    let most = EMPTY + count * 3 / 2;
    for command in [
        "run s.toml",
        "ls s",
        "ls s --json",
        "best s",
        "compare s --by k",
    ] {
        let kib = peak(dir, command);
        assert!(kib < most, "`{command}` took {kib} KiB of {most}");
    }
}

/// Runs a command, which must succeed, and returns the peak of its resident memory in KiB.
fn peak(dir: &Path, command: &str) -> u64 {
    let mut child = Command::new(SWATH)
        .args(command.split(' '))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut peak = 0;
    loop {
        peak = peak.max(high_water_mark(&child));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "`{command}` failed: {status}");
            return peak;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("`{command}` has not ended after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the peak of a process's resident memory so far in KiB; 0 once it has ended.
fn high_water_mark(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
