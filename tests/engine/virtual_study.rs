//! A study on a virtual clock: its sweep file, its trials and its holder. The tests of crashes and
//! the simulator run it.

use std::time::Duration;
use swath::driver::Parts;
use swath::executor::{Launch, SignalKind};
use swath::journal::Holder;
use swath::run::header;
use swath::source::Source;
use swath::space::{Name, Value};
use swath::study::{Datum, Exit, Failure, LogRecord, Metric, Timestamp, TrialId, Usage};
use swath::sweep::{Plan, Sweep};

/// Returns the parts of a sweep over `space` that minimises `loss`, with the resource `epoch` and
/// one retry after a crash. `scheduler` is the name of the scheduler and, after a blank, its
/// options; `head` has further keys at the top of the file.
pub(crate) fn parts(
    head: &str,
    (sampler, trials): (&str, u64),
    scheduler: &str,
    space: &str,
    slots: usize,
) -> Parts {
    let (scheduler, options) = scheduler.split_once(' ').unwrap_or((scheduler, ""));
    let text = format!(
        "name = 'virtual'\n{head}\n\
         [run]\ncheckpoint = true\n\
         [objective]\nmetric = 'loss'\ngoal = 'min'\n\
         [search]\nsampler = '{sampler}'\ntrials = {trials}\n\
         [scheduler]\nname = '{scheduler}'\nresource = 'epoch'\n{options}\n\
         [retry]\ntimes = 1\non = ['crash']\n\
         [space]\n{space}\n"
    );
    let name = "virtual.toml".to_owned();
    let sweep = Sweep::parse_for_function(Source { name, text }).expect("the sweep file is good");
    let Plan {
        sampler, scheduler, ..
    } = sweep.build(slots, None).expect("its parts can be built");
    swath::run::parts(&sweep, header(&sweep, None, slots), sampler, scheduler)
}

/// Returns whether a trial fails, whatever its configuration: it crashes, or reports NaN.
pub(crate) fn is_failing(trial: TrialId) -> bool {
    trial.0 == 3 || trial.0.is_multiple_of(5)
}

/// Returns the signals of an attempt, which depend only on the trial's configuration and id. Some
/// trials fail, some report NaN, some are invalid.
pub(crate) fn script(launch: &Launch) -> Vec<(Duration, SignalKind)> {
    let x = launch
        .params
        .get("x")
        .and_then(Value::as_f64)
        .unwrap_or(0.5);
    let until = launch.until.map_or(4, |until| until.0.min(4));
    let pace = Duration::from_millis(40 + u64::from(launch.trial.0 * 7 % 5) * 10);
    // The program says that the configuration cannot work, and then fails.
    if launch.trial.0.is_multiple_of(6) {
        let why = "it does not fit".to_owned();
        let exit = Exit::Failed(Failure::Code(2));
        return vec![
            (pace, SignalKind::Logged(LogRecord::Invalid { why }, None)),
            (pace * 2, SignalKind::Ended(exit, Usage::default())),
        ];
    }
    let mut signals: Vec<(Duration, SignalKind)> = (1..=until)
        .map(|epoch| {
            let loss = if launch.trial.0 == 3 {
                f64::NAN
            } else {
                (x - 0.3).abs() + 1.0 / epoch as f64
            };
            let values: Vec<(Name, Datum)> = vec![
                ("epoch".into(), Datum::Number(Metric(epoch as f64))),
                ("loss".into(), Datum::Number(Metric(loss))),
            ];
            (
                pace * u32::try_from(epoch).expect("small"),
                SignalKind::Logged(LogRecord::Report { values }, None),
            )
        })
        .collect();
    let exit = if launch.trial.0.is_multiple_of(5) {
        Exit::Failed(Failure::Code(1))
    } else {
        Exit::Done
    };
    signals.push((pace * 6, SignalKind::Ended(exit, Usage::default())));
    signals
}

/// Returns the process that holds the study's lock.
pub(crate) fn holder() -> Holder {
    Holder {
        host: "h".into(),
        pid: 1,
        user: "u".into(),
        since: Timestamp::from_micros(0),
    }
}
