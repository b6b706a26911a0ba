//! Benchmarks the number of reports per second from a growing `records.jsonl` to the sink, and the
//! cost of a metric in a Rust trial.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};
use swath::logger::{Directive, Dirs, Identity, Point, Tail, TrialLogger};
use swath::study::{Attempt, LogRecord, TrialId};

const REPORTS: u64 = 100_000;

/// Returns the CPU time of this thread during `work`, which excludes other processes on the
/// machine. Returns the elapsed time where Linux's `schedstat` is missing.
fn measured(mut work: impl FnMut()) -> Duration {
    let (cpu, clock) = (thread_cpu_time(), Instant::now());
    work();
    cpu.zip(thread_cpu_time())
        .map_or_else(|| clock.elapsed(), |(before, after)| after - before)
}

fn thread_cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn logger(dir: &std::path::Path) -> TrialLogger {
    let (study, pipeline, stage) = ("s".into(), "p".into(), "tune".into());
    let identity = Identity {
        study,
        pipeline,
        stage,
        trial: TrialId(1),
        attempt: Attempt(1),
    };
    let dirs = Dirs {
        workdir: dir.to_path_buf(),
        trial: dir.to_path_buf(),
    };
    TrialLogger::in_process(identity, dirs, Box::new(discard)).expect("it opens nothing yet")
}

fn discard(record: LogRecord) -> Directive {
    black_box(record);
    Directive::Continue
}

fn ingest(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("tail");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(REPORTS));
    for (name, begin) in [("reports", "{\""), ("metrics", "{\"kind\": \"metric\", \"")] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut lines = String::new();
        for n in 0..REPORTS {
            let loss = 1.0 / (n + 3) as f64;
            writeln!(
                lines,
                "{begin}epoch\": {n}, \"train_loss\": {loss}, \"val_loss\": {}}}",
                loss * 1.1
            )
            .expect("a string takes all text");
        }
        let records = dir.path().join("records.jsonl");
        fs::write(&records, lines).expect("a file");
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        let time = measured(|| {
                            let mut log = logger(dir.path());
                            let mut tail = Tail::new(&records);
                            log.follow_to_the_end(&mut tail).expect("the file is there");
                            log.finish().expect("it flushes");
                        });
                        let metrics = dir.path().join("metrics");
                        fs::remove_dir_all(metrics).expect("metrics were written");
                        time
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

fn metric(bench: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = logger(dir.path());
    let mut group = bench.benchmark_group("metric append");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(REPORTS));
    group.bench_function("in process", |bench| {
        bench.iter_custom(|times| (0..times).map(|_| measured(|| log_metrics(&mut log))).sum());
    });
    group.finish();
}

fn log_metrics(log: &mut TrialLogger) {
    for step in 1..=REPORTS {
        let point = Point::step(step).context("train");
        log.metric("loss", 1.0 / step as f64, point)
            .expect("the metric is written");
    }
}

criterion_group!(benches, ingest, metric);
criterion_main!(benches);
