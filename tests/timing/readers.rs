//! Checks that readers do not block a run: with fifty of them in a loop beside it, the median and
//! the 99th percentile of the journal's flushes stay within a small multiple of those without
//! readers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use swath::journal::{self, Journal, Replay, StudyDir};
use swath::space::Value;
use swath::study::{
    Attempt, Datum, Event, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin, Take,
    Timestamp, TrialId,
};

const READERS: usize = 50;
const WRITES: u32 = 400;

fn begin(dir: &StudyDir) -> Journal {
    let mut journal = Journal::open(dir).and_then(Replay::into_writer).unwrap();
    let objectives = vec![Objective {
        metric: "loss".into(),
        goal: Goal::Min,
        take: Take::Best,
    }];
    let header = Header {
        name: "s".into(),
        objectives,
        ..Header::default()
    };
    let trial = TrialId(1);
    let params = [("x".into(), Value::Float(0.5))].into_iter().collect();
    let origin = Origin::Suggested("random".into());
    for event in [
        Event::Opened {
            format: FORMAT,
            header,
        },
        Event::Created {
            trial,
            params,
            origin,
            seed: 1,
        },
        Event::Started {
            trial,
            attempt: Attempt(1),
            until: None,
            slot: 0,
            resume: false,
        },
    ] {
        journal.append(event, Timestamp::from_micros(0)).unwrap();
    }
    journal.sync().unwrap();
    journal
}

/// Writes reports at the pace of a run and returns the duration of each flush, sorted.
fn write(journal: &mut Journal) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..WRITES)
        .map(|at| {
            let values = vec![("loss".into(), Datum::Number(Metric(f64::from(at))))];
            let record = LogRecord::Report { values };
            let event = Event::Logged {
                trial: TrialId(1),
                attempt: Attempt(1),
                record,
                line_end: None,
            };
            journal.append(event, Timestamp::from_micros(1)).unwrap();
            let began = Instant::now();
            journal.flush().unwrap();
            let took = began.elapsed();
            std::thread::sleep(Duration::from_millis(2));
            took
        })
        .collect();
    took.sort();
    took
}

/// Returns the median, the 99th percentile and the maximum of sorted durations.
fn shape(took: &[Duration]) -> [Duration; 3] {
    [
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
    ]
}

#[test]
fn fifty_readers_do_not_slow_the_writer() {
    let _turn = super::alone();
    let folder = tempfile::tempdir().unwrap();
    let dir = StudyDir::at(folder.path().join("s"));
    std::fs::create_dir(dir.root()).unwrap();
    let mut journal = begin(&dir);
    let alone = shape(&write(&mut journal));
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let beside = std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let study = journal::read(&dir).unwrap();
                    assert!(study.trials().len() == 1);
                    reads.fetch_add(1, Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        // One more reader as users start it: a command.
        let mut ls = Command::new(env!("CARGO_BIN_EXE_swath"))
            .args(["ls", "s", "--logs"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let beside = shape(&write(&mut journal));
        done.store(true, Relaxed);
        assert!(ls.wait().unwrap().success());
        beside
    });
    let summary = format!(
        "flush alone {alone:?}, beside {READERS} readers {beside:?}, {} reads\n",
        reads.load(Relaxed)
    );
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(reads.load(Relaxed) > 100);
    // Readers and writer share the processors but no lock, so a delay is only the wait for a
    // processor.
    assert!(
        beside[0] < alone[0] * 10 + Duration::from_millis(2),
        "{summary}"
    );
    assert!(
        beside[1] < alone[1] * 10 + Duration::from_millis(100),
        "{summary}"
    );
}
