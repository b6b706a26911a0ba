//! Benchmarks of the journal: the time to append an entry, and to fold a written one.
//!
//! `cargo bench --bench journal`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use swath::journal::{self, Journal, Replay, StudyDir, snapshot};
use swath::space::{Name, Params, Value};
use swath::study::{
    Attempt, Datum, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin, Take,
    Timestamp, TrialId, Usage,
};

const TRIALS: u32 = 1_000;
const REPORTS: u32 = 100;

fn report(trial: u32, epoch: u32) -> Event {
    let values: Vec<(Name, Datum)> = vec![
        ("epoch".into(), Datum::Number(Metric(f64::from(epoch)))),
        (
            "val_loss".into(),
            Datum::Number(Metric(1.0 / f64::from(epoch + trial))),
        ),
    ];
    Event::Logged {
        trial: TrialId(trial),
        attempt: Attempt(1),
        record: LogRecord::Report { values },
        line_end: None,
    }
}

fn params(trial: u32) -> Params {
    (0..10)
        .map(|index| {
            let value = f64::from(trial * 31 + index) / 65_536.0;
            (
                Name::from(format!("parameter_{index}")),
                Value::Float(value),
            )
        })
        .collect()
}

fn events() -> impl Iterator<Item = Event> {
    let objectives = vec![Objective {
        metric: "val_loss".into(),
        goal: Goal::Min,
        take: Take::Best,
    }];
    let opened = Event::Opened {
        format: FORMAT,
        header: Header {
            objectives,
            ..Header::default()
        },
    };
    let trials = (1..=TRIALS).flat_map(|id| {
        let (trial, attempt) = (TrialId(id), Attempt(1));
        let origin = Origin::Suggested("random".into());
        let created = Event::Created {
            trial,
            params: params(id),
            origin,
            seed: u64::from(id),
        };
        let started = Event::Started {
            trial,
            attempt,
            until: None,
            slot: 0,
            resume: false,
        };
        let ended = Event::Ended {
            trial,
            attempt,
            exit: Exit::Done,
            usage: Usage::default(),
        };
        [created, started]
            .into_iter()
            .chain((1..=REPORTS).map(move |epoch| report(id, epoch)))
            .chain([ended])
    });
    std::iter::once(opened).chain(trials)
}

fn written(folder: &std::path::Path) -> StudyDir {
    let dir = StudyDir::at(folder);
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("a new journal");
    for event in events() {
        journal
            .append(event, Timestamp::from_micros(0))
            .expect("it can be appended");
    }
    journal.sync().expect("it can be written");
    dir
}

fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let entries = u64::from(TRIALS) * u64::from(REPORTS + 3) + 1;
    let mut group = criterion.benchmark_group("journal");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3))
        .throughput(Throughput::Elements(1));
    group.bench_function("append, handed to the kernel every 64 entries", |bencher| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = Journal::open(&StudyDir::at(folder.path()))
            .and_then(Replay::into_writer)
            .expect("a new journal");
        let mut count = 0_u32;
        bencher.iter(|| {
            count += 1;
            journal
                .append(report(1, count), Timestamp::from_micros(0))
                .expect("it can be appended");
            if count.is_multiple_of(64) {
                journal.flush().expect("it can be written");
            }
        });
    });
    group.throughput(Throughput::Elements(entries));
    group.bench_function(
        "read and fold a study of 1,000 trials × 100 reports",
        |bencher| {
            bencher.iter(|| black_box(journal::read(&dir).expect("it can be read")));
        },
    );
    let study = journal::read(&dir).expect("it can be read");
    let length = std::fs::metadata(dir.journal()).expect("it is there").len();
    snapshot::write(&dir, &study, length).expect("it can be written");
    group.bench_function("read the same study from its snapshot", |bencher| {
        bencher.iter(|| black_box(journal::read(&dir).expect("it can be read")));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
