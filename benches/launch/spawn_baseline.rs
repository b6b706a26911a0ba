//! Measures the minimum cost of starting trivial programs: a folder, two log files and a
//! posix_spawn for each, several at a time.
//!
//! `spawn_baseline COUNT [SLOTS] [PROGRAM] [ARGUMENTS]` prints one line of JSON. The folders stay
//! in `TMPDIR`, to be removed after the last run, because ext4 is slow for minutes after many files
//! are removed. `{slot}` in an argument is the number of the slot. The result is the baseline for
//! the cost of a trial.
#![expect(clippy::print_stdout, reason = "its result is what it is for")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let count: u32 = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(1000);
    let slots: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(2);
    let mut argv: Vec<String> = words.collect();
    if argv.is_empty() {
        argv.push("/bin/true".to_owned());
    }
    let dir = std::env::temp_dir().join(format!("spawn-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let begun = Instant::now();
    let next = AtomicU32::new(1);
    std::thread::scope(|threads| {
        let slots: Vec<_> = (0..slots)
            .map(|slot| {
                let (argv, dir, next) = (&argv, &dir, &next);
                threads.spawn(move || run_trials(&slot.to_string(), argv, dir, next, count))
            })
            .collect();
        slots.into_iter().try_for_each(|slot| {
            slot.join()
                .unwrap_or_else(|_| Err(io::Error::other("a panic")))
        })
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{{\"trials\": {count}, \"seconds\": {seconds:.4}, \"cpu\": {:.4}}}",
        cpu_seconds()?
    );
    Ok(())
}

/// Runs trials one after another until `next` exceeds `count`.
fn run_trials(
    slot: &str,
    argv: &[String],
    dir: &Path,
    next: &AtomicU32,
    count: u32,
) -> io::Result<()> {
    loop {
        let trial = next.fetch_add(1, Ordering::Relaxed);
        if trial > count {
            return Ok(());
        }
        spawn(slot, argv, &dir.join(trial.to_string()))?.wait()?;
    }
}

fn spawn(slot: &str, argv: &[String], dir: &Path) -> io::Result<Child> {
    fs::create_dir(dir)?;
    Command::new(&argv[0])
        .args(argv[1..].iter().map(|word| word.replace("{slot}", slot)))
        .stdin(Stdio::null())
        .stdout(open_log(dir, "stdout.log")?)
        .stderr(open_log(dir, "stderr.log")?)
        .spawn()
}

fn open_log(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join(name))
}

/// Returns the CPU time of this process and of its reaped children, in seconds.
fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(11)
        .take(4);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
