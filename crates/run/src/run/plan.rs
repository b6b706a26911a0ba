//! The attempts that a run would start next, found without starting or writing anything.

use super::code::Version;
use super::{Options, RunError, build, hidden, pool, workdir};
use crate::sweep::Sweep;
use serde::Serialize;
use std::borrow::Cow;
use std::io;
use std::path::Path;
use swath_engine::driver::{self, Driver, DriverError};
use swath_engine::executor::{Facts, Launch, Text, environment};
use swath_engine::journal::{JournalError, StudyDir};
use swath_engine::provenance::Machine;
use swath_model::study::kind::Capability;
use swath_model::study::{Origin, Study, Timestamp, Trial};

/// An attempt that a run would start.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The launch. Its slot is the position among the planned ones.
    pub launch: Launch,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The variables that are added to the environment.
    pub environment: Vec<(String, String)>,
}

/// The attempts that a run would start first, and what the rest of the sweep will take.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// The attempts, in the order of their start.
    pub attempts: Vec<Planned>,
    /// The use of time and money; `None` before a trial has ended.
    pub estimate: Option<Estimate>,
}

/// The use of time and money that the trials of a study so far suggest. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of trials that have ended here.
    pub ended: u64,
    /// Run time of one of them on average.
    pub seconds_per_trial: f64,
    /// Number of trials that are still to end; `None` if only a budget ends the sweep.
    pub remaining: Option<u64>,
    /// Time that these trials take in the slots of the sweep.
    pub seconds: Option<f64>,
    /// Money and GPU hours that have been used, and that these trials will use.
    pub cost: Option<Use>,
    /// GPU hours that have been used, and that these trials will use.
    pub gpu_hours: Option<Use>,
}

/// An amount that trials use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Use {
    /// The amount that the trials so far have used.
    pub so_far: f64,
    /// The amount that the remaining trials will use.
    pub remaining: Option<f64>,
}

impl Use {
    /// Returns a use whose rest is to the use so far as `share`.
    fn extended(so_far: f64, share: Option<f64>) -> Self {
        Self {
            so_far,
            remaining: share.map(|share| so_far * share),
        }
    }
}

/// Returns the use of time and money that the trials of a study suggest for the rest of the sweep in
/// `slots` slots; `None` before a trial has ended.
#[must_use]
pub(super) fn estimate(sweep: &Sweep, study: &Study, slots: usize) -> Option<Estimate> {
    let trials = study.trials().iter();
    let own: Vec<&Trial> = trials
        .filter(|trial| !matches!(trial.origin, Origin::Imported(_)))
        .collect();
    let ended = own
        .iter()
        .filter(|trial| trial.state.is_final() && trial.attempts > 0)
        .count() as u64;
    if ended == 0 {
        return None;
    }
    let seconds: f64 = own.iter().map(|trial| trial.seconds).sum();
    let seconds_per_trial = seconds / ended as f64;
    let open = own
        .iter()
        .filter(|trial| trial.counts() && !trial.state.is_final());
    let total = sweep.trials.or_else(|| {
        let enumerates = sweep.sampler.can(Capability::Enumerates);
        sweep.space.size().filter(|_| enumerates)
    });
    let remaining = total.map(|total| total.saturating_sub(study.counted()) + open.count() as u64);
    let share = remaining.map(|remaining| remaining as f64 / ended as f64);
    let hours = seconds / 3600.0;
    let reported = sweep
        .price
        .as_ref()
        .map(|price| own.iter().map(|trial| trial.cost(price)).sum());
    Some(Estimate {
        ended,
        seconds_per_trial,
        remaining,
        // The last trials do not end all at once.
        seconds: remaining
            .map(|remaining| remaining.div_ceil(slots.max(1) as u64) as f64 * seconds_per_trial),
        cost: sweep
            .spending
            .hourly
            .map(|price| price * hours)
            .or(reported)
            .map(|so_far| Use::extended(so_far, share)),
        gpu_hours: sweep
            .resources
            .gpus
            .map(|gpus| Use::extended(gpus * hours, share)),
    })
}

/// Returns the attempts that a run would start first, at most `most`, and an estimate of the rest. They are found by opening a
/// copy of the study's journal, so that neither its lock nor its files are touched. Attempts beyond
/// the number of slots may turn out otherwise, depending on reports of the earlier ones.
///
/// # Errors
/// If the journal cannot be read, or no copy of it can be made.
pub fn plan(sweep: &Sweep, options: &Options, most: usize) -> Result<Outlook, RunError> {
    let dir = StudyDir::new(&options.logs, &sweep.name);
    let scratch = tempfile::tempdir().map_err(|source| RunError::Keep {
        path: std::env::temp_dir(),
        source,
    })?;
    let copy = StudyDir::at(scratch.path());
    copy_journal(&dir.journal(), &copy.journal())?;
    let machine = Machine::here();
    let (sweep, secrets) = hidden::fill(Cow::Borrowed(sweep))?;
    let version = Version::of(sweep, options, &dir, &secrets)?;
    let built = build(&version, options, &dir, &machine)?;
    let sweep = &*version.sweep;
    let holder = machine.holder(Timestamp::now());
    let mut driver = Driver::open(copy, built.parts, &holder, Box::new(Timestamp::now))?;
    let estimate = estimate(sweep, driver.study(), built.shares.slots);
    let launches = driver.ahead(most)?;
    let study = pool::context(sweep, workdir(sweep, options));
    let invoke = pool::invoke(sweep, study.clone(), &study.workdir);
    let planned = launches.into_iter().map(|mut launch| {
        // The copy has no trial folders, so these fields are set from the study itself.
        launch.dir = dir.trial(launch.trial);
        launch.resume = launch.attempt.0 > 1 && driver::has_entries(&dir.checkpoints(launch.trial));
        let invocation = invoke(&launch);
        let facts = Facts {
            study: &study,
            launch: &launch,
            dir: &launch.dir,
            data_dir: invocation.data_dir.as_deref().unwrap_or(&study.data_dir),
            port: None,
        };
        let of_trial = invocation
            .env
            .iter()
            .map(|(name, text)| (name.clone(), secrets.redact(&text.to_string()).into_owned()));
        let own = environment(&facts).into_iter();
        let own = own.filter_map(|(name, value)| {
            Some((name.to_owned(), value?.to_string_lossy().into_owned()))
        });
        let slot = launch.slot % u32::try_from(built.shares.slots).unwrap_or(u32::MAX);
        let of_slot = built
            .shares
            .allotment
            .variables(slot, |name| std::env::var_os(name).is_some());
        let environment = of_slot
            .into_iter()
            .chain(
                sweep
                    .run
                    .env
                    .iter()
                    .map(|(name, value)| (name.clone(), secrets.redact(value).into_owned())),
            )
            .chain(of_trial)
            .chain(own)
            .collect();
        Planned {
            command: invocation.recorded.iter().map(Text::to_string).collect(),
            environment,
            launch,
        }
    });
    Ok(Outlook {
        attempts: planned.collect(),
        estimate,
    })
}

/// Copies the journal of the study. A missing journal is no error: the study has not begun.
fn copy_journal(from: &Path, to: &Path) -> Result<(), RunError> {
    match std::fs::copy(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = from.to_owned();
            Err(DriverError::Journal(JournalError::Io {
                path,
                source: error,
            })
            .into())
        }
        _ => Ok(()),
    }
}
