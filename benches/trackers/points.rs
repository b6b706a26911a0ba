//! Measures the cost of metric points: appended by a trial in Rust, and exported by each file
//! tracker. Prints one line of JSON; `compare.py` runs it.
//!
//! usage: points [POINTS]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use swath::logger::{Directive, Dirs, Identity, Point, TrialLogger};
use swath::source::Source;
use swath::study::{
    Attempt, Entry, Event, Exit, FORMAT, Header, LogRecord, Origin, Study, Timestamp, TrialId,
    Usage,
};
use swath::sweep::Sweep;

const TRACKERS: &[&str] = &["mlflow", "wandb", "tensorboard", "prov", "cmf"];

type Failure = Box<dyn std::error::Error>;

/// Runs `work` and returns its result, the CPU time of this thread, and the elapsed time.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration, Duration) {
    let (cpu, clock) = (thread_cpu_time(), Instant::now());
    let result = work();
    let wall = clock.elapsed();
    (
        result,
        cpu.zip(thread_cpu_time())
            .map_or(wall, |(before, after)| after - before),
        wall,
    )
}

/// Returns the CPU time of this thread, or `None` without Linux's `schedstat`.
fn thread_cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Writes `points` metric points of trial 1 through the logger.
fn append(study: &std::path::Path, points: u64) -> Result<(), Failure> {
    let dir = study.join("1");
    let identity = Identity {
        study: "s".into(),
        pipeline: "p".into(),
        stage: "tune".into(),
        trial: TrialId(1),
        attempt: Attempt(1),
    };
    let dirs = Dirs {
        workdir: study.to_path_buf(),
        trial: dir,
    };
    let mut log =
        TrialLogger::in_process(identity, dirs, Box::new(|_: LogRecord| Directive::Continue))?;
    for step in 1..=points {
        log.metric(
            "loss",
            1.0 / step as f64,
            Point::step(step).context("train"),
        )?;
    }
    log.finish()?;
    Ok(())
}

/// Returns the journal entries of a study with one trial.
fn entries() -> Vec<Entry> {
    let (trial, attempt) = (TrialId(1), Attempt(1));
    let header = Header {
        name: "s".into(),
        pipeline: "p".into(),
        ..Header::default()
    };
    let events = [
        Event::Opened {
            format: FORMAT,
            header,
        },
        Event::Created {
            trial,
            params: [].into_iter().collect(),
            origin: Origin::Added,
            seed: 1,
        },
        Event::Started {
            trial,
            attempt,
            until: None,
            slot: 0,
            resume: false,
        },
        Event::Ended {
            trial,
            attempt,
            exit: Exit::Done,
            usage: Usage::default(),
        },
    ];
    let at = Timestamp::now();
    (0..)
        .zip(events)
        .map(|(seq, event)| Entry {
            seq,
            at,
            event,
            away: None,
        })
        .collect()
}

fn track(study: &std::path::Path, names: &[&str]) -> Result<(Duration, Duration), Failure> {
    let trackers: String = names
        .iter()
        .map(|name| format!("[[tracker]]\nname = \"{name}\"\n"))
        .collect();
    let text =
        format!("[run]\ncommand = [\"true\"]\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n{trackers}");
    let sweep = Sweep::parse(Source {
        name: "bench.toml".into(),
        text,
    })
    .map_err(|_| format!("{names:?} is refused"))?;
    let plan = sweep
        .build(1, Some(study))
        .map_err(|_| format!("{names:?} cannot be built"))?;
    let mut trackers = plan.trackers;
    let entries = entries();
    let (result, cpu, wall) = measured(|| -> Result<(), Failure> {
        let mut study = Study::default();
        for entry in &entries {
            study.apply(entry)?;
            for (_, tracker) in &mut trackers {
                tracker.record(&study, entry)?;
            }
        }
        for (_, tracker) in &mut trackers {
            tracker.close(&study)?;
        }
        Ok(())
    });
    result?;
    Ok((cpu, wall))
}

/// Returns whether this build has a tracker.
fn is_built_in(tracker: &str) -> bool {
    swath::trackers::TRACKERS
        .iter()
        .any(|kind| kind.name == tracker)
}

fn main() -> Result<(), Failure> {
    let points: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(200_000), |text| text.parse())?;
    let names: Vec<&str> = TRACKERS
        .iter()
        .copied()
        .filter(|name| is_built_in(name))
        .collect();
    let mut times: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    let study = tempfile::tempdir()?;
    let (result, cpu, wall) = measured(|| append(study.path(), points));
    result?;
    times.insert("append".to_owned(), [cpu.as_secs_f64(), wall.as_secs_f64()]);
    let mut sets: Vec<(&str, Vec<&str>)> = names.iter().map(|name| (*name, vec![*name])).collect();
    sets.push(("all", names.clone()));
    for (called, set) in sets {
        let _ = fs::remove_dir_all(study.path().join("trackers"));
        let (cpu, wall) = track(study.path(), &set)?;
        times.insert(called.to_owned(), [cpu.as_secs_f64(), wall.as_secs_f64()]);
    }
    let times: Vec<_> = times
        .iter()
        .map(|(name, [cpu, wall])| format!("\"{name}\": [{cpu}, {wall}]"))
        .collect();
    use std::io::Write as _;
    writeln!(
        std::io::stdout(),
        "{{\"points\": {points}, {}}}",
        times.join(", ")
    )?;
    Ok(())
}
