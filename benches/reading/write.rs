//! Appends finished trials to a study that was begun, as a run of them would have, and writes its
//! snapshot.
//!
//! `write_study FOLDER TRIALS REPORTS`: each trial reports an epoch and a loss REPORTS
//! times. The study's sweep has the parameters `p0` to `p9`.

use std::error::Error;
use std::path::Path;
use swath::journal::{self, Journal, Replay, StudyDir, snapshot};
use swath::space::{Name, Params, Value};
use swath::study::{
    Attempt, Datum, Event, Exit, LogRecord, Metric, Origin, Timestamp, TrialId, Usage,
};

const PARAMETERS: u32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, trials, reports] = arguments.as_slice() else {
        return Err("usage: write_study FOLDER TRIALS REPORTS".into());
    };
    let (trials, reports) = (trials.parse()?, reports.parse()?);
    let dir = StudyDir::at(Path::new(folder));
    let mut journal = Journal::open(&dir).and_then(Replay::into_writer)?;
    // A tenth of a millisecond for each entry, so that no two times are equal.
    let mut micros = Timestamp::now().as_micros();
    for id in 1..=trials {
        for event in events_of_trial(id, reports) {
            micros += 100;
            journal.append(event, Timestamp::from_micros(micros))?;
        }
        journal.flush()?;
    }
    journal.sync()?;
    let length = journal.offset();
    drop(journal);
    snapshot::write(&dir, &journal::read(&dir)?, length)?;
    Ok(())
}

fn events_of_trial(id: u32, reports: u32) -> impl Iterator<Item = Event> {
    let (trial, attempt) = (TrialId(id), Attempt(1));
    let created = Event::Created {
        trial,
        params: params(id),
        origin: Origin::Suggested("random".into()),
        seed: u64::from(id),
    };
    let started = Event::Started {
        trial,
        attempt,
        until: None,
        slot: id % 4,
        resume: false,
    };
    let ended = Event::Ended {
        trial,
        attempt,
        exit: Exit::Done,
        usage: Usage::default(),
    };
    let reported = (1..=reports).map(move |epoch| report(id, epoch));
    [created, started]
        .into_iter()
        .chain(reported)
        .chain([ended])
}

fn report(id: u32, epoch: u32) -> Event {
    let quality = params(id)
        .iter()
        .filter_map(|(_, value)| value.as_f64())
        .map(|value| (value - 0.3).powi(2))
        .sum::<f64>();
    let noise = fraction(id.wrapping_mul(1000).wrapping_add(epoch)) / 20.0;
    let loss = quality + 1.0 / f64::from(epoch) + noise;
    let values: Vec<(Name, Datum)> = vec![
        ("epoch".into(), Datum::Number(Metric(f64::from(epoch)))),
        ("loss".into(), Datum::Number(Metric(loss))),
    ];
    Event::Logged {
        trial: TrialId(id),
        attempt: Attempt(1),
        record: LogRecord::Report { values },
        line_end: None,
    }
}

fn params(id: u32) -> Params {
    (0..PARAMETERS)
        .map(|index| {
            let value = Value::Float(fraction(id.wrapping_mul(PARAMETERS).wrapping_add(index)));
            (Name::from(format!("p{index}")), value)
        })
        .collect()
}

/// Returns a number from 0 to 1 that looks random, by the finalizer of MurmurHash3.
fn fraction(number: u32) -> f64 {
    let mut bits = number;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from(bits ^ (bits >> 16)) / f64::from(u32::MAX)
}
