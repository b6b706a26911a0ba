//! Measures the cost of trivial programs as trials of the pool, without a driver. The difference to
//! `spawn_baseline` is the overhead of the executor.
//!
//! `launch COUNT [SLOTS] [PROGRAM]` prints one line of JSON. The folders stay in `TMPDIR`, to be
//! removed after the last run, because ext4 is slow for minutes after many files are removed.
#![expect(clippy::print_stdout, reason = "its result is what it is for")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use swath::executor::{
    Executor, Invocation, Launch, Pool, Program, ProgramSettings, ProgramSpec, SignalKind, Sources,
    StudyContext, Warm,
};
use swath::space::{Params, Value};
use swath::study::{Attempt, Exit, TrialId};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let count: u32 = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(1000);
    let slots: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(2);
    let program = words.next().unwrap_or_else(|| "/bin/true".to_owned());
    // With an argument, as the other programs are started: `/bin/true` then reads the locale.
    let argv = [program, "--x=0.5".to_owned()];
    let dir = tempfile::tempdir()?.keep();
    let program = Program::new(ProgramSettings {
        invoke: Box::new(move |_| Invocation::of(&argv)),
        spec: ProgramSpec {
            env: Vec::new(),
            workdir: dir.clone(),
            trial_time: None,
            system: Some(Duration::from_secs(10)),
            grace: Duration::from_secs(10),
            stop: swath::executor::StopSignal::default(),
            log: 64 << 20,
            capture: Vec::new(),
            source_tables: Vec::new(),
            checkpoint: false,
            invalid: Vec::new(),
            warm: Warm::Off,
        },
        guard: None,
        allotment: swath::executor::Allotment::default(),
        tools: None,
        sources: Sources::default(),
    })?;
    let mut pool = Pool::new(Arc::new(program), slots, StudyContext::default())?;
    let begun = Instant::now();
    let mut free: BTreeSet<u32> = (0..u32::try_from(slots)?).collect();
    let mut slot_of = std::collections::BTreeMap::new();
    let (mut started, mut ended) = (0, 0);
    while ended < count {
        while started < count
            && let Some(slot) = free.pop_first()
        {
            started += 1;
            slot_of.insert(TrialId(started), slot);
            pool.start(Launch {
                trial: TrialId(started),
                attempt: Attempt(1),
                params: Params::from_iter([("lr".into(), Value::Float(0.5))]),
                seed: 0,
                slot,
                dir: dir.join(started.to_string()),
                until: None,
                resume: false,
                resume_step: None,
                from: None,
                prepared: Vec::new(),
                preparation: None,
            })?;
        }
        for signal in pool.wait(Duration::from_secs(1)) {
            if let SignalKind::Ended(exit, _) = signal.kind {
                assert_eq!(exit, Exit::Done, "trial {}", signal.trial);
                free.extend(slot_of.remove(&signal.trial));
                ended += 1;
            }
        }
    }
    drop(pool);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{{\"trials\": {count}, \"seconds\": {seconds:.4}, \"cpu\": {:.4}}}",
        cpu_seconds()?
    );
    Ok(())
}

/// Returns the CPU time of this process and of its reaped children, in seconds.
fn cpu_seconds() -> std::io::Result<f64> {
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
