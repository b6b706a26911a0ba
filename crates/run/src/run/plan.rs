//! The attempts that a run would start next, found without starting or writing anything.

use super::code::Version;
use super::{Options, RunError, build, hidden, pool, workdir};
use crate::sweep::Sweep;
use serde::Serialize;
use std::borrow::Cow;
use std::io;
use std::path::Path;
use swath_engine::driver::prepare::{Assignment, assignments, prepared_folders};
use swath_engine::driver::{self, Driver, DriverError, TrialBudget};
use swath_engine::executor::{Facts, Launch, PreparedFolder, Text, environment};
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
    /// The preparations whose outputs it reads.
    pub needs: Vec<Assignment>,
}

/// Returns the variable that has the path of an output.
fn of_prepared(prepared: &PreparedFolder) -> (String, String) {
    let folder = prepared.folder.to_string_lossy();
    (prepared.variable(), folder.into_owned())
}

/// The attempts that a run would start first, and what the rest of the sweep will take.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// The attempts, in the order of their start.
    pub attempts: Vec<Planned>,
    /// The use of time and money; `None` before a trial has ended.
    pub estimate: Option<Estimate>,
    /// The most that all trials may take; `None` if nothing bounds their number or their time.
    pub bound: Option<Bound>,
}

/// The most time and money that the remaining trials of a sweep take if each of them uses all of
/// its time. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bound {
    /// The key under `[limits]` that bounds the time of a trial.
    pub key: &'static str,
    /// The longest time of a trial.
    pub seconds_per_trial: f64,
    /// Number of trials that are still to end.
    pub trials: u64,
    /// The longest time that these trials take in the slots of the sweep.
    pub seconds: f64,
    /// The most money that they use, if an hour has a price.
    pub cost: Option<f64>,
    /// The most GPU hours that they use.
    pub gpu_hours: Option<f64>,
}

/// The use of time and money that the trials of a study so far suggest. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of trials that have ended here.
    pub ended: u64,
    /// Run time of one of them on average.
    pub seconds_per_trial: f64,
    /// Number of trials that are still to end; `None` if nothing that can be estimated ends the
    /// sweep.
    pub remaining: Option<u64>,
    /// The key under `[limits]` that ends the sweep, if it does so before `trials`.
    pub ended_by: Option<&'static str>,
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

/// Returns the use of time and money that the trials of a study suggest for the rest of the sweep
/// in `slots` slots; `None` before a trial has ended.
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
    let remaining = remaining(sweep, study);
    let hours = seconds / 3600.0;
    let reported = sweep
        .price
        .as_ref()
        .map(|price| own.iter().map(|trial| trial.cost(price)).sum());
    let cost = sweep.spending.hourly.map(|price| price * hours);
    let cost: Option<f64> = cost.or(reported);
    let gpu_hours = sweep.resources.gpus.map(|gpus| gpus * hours);
    let budgets = [
        (
            "time",
            limit_of_time(sweep, study, seconds_per_trial, slots),
        ),
        ("cost", limit_of_use(sweep.spending.cost, cost, ended)),
        (
            "gpu_hours",
            limit_of_use(sweep.spending.gpu_hours, gpu_hours, ended),
        ),
    ];
    let first = budgets
        .into_iter()
        .filter_map(|(key, most)| Some((most?, key)));
    let first = first.min_by_key(|(most, _)| *most);
    let (remaining, ended_by) = match first {
        Some((most, key)) if remaining.is_none_or(|remaining| most < remaining) => {
            (Some(most), Some(key))
        }
        _ => (remaining, None),
    };
    let share = remaining.map(|remaining| remaining as f64 / ended as f64);
    Some(Estimate {
        ended,
        seconds_per_trial,
        remaining,
        ended_by,
        // The last trials do not end all at once.
        seconds: remaining
            .map(|remaining| remaining.div_ceil(slots.max(1) as u64) as f64 * seconds_per_trial),
        cost: cost.map(|so_far| Use::extended(so_far, share)),
        gpu_hours: gpu_hours.map(|so_far| Use::extended(so_far, share)),
    })
}

/// Returns the number of trials that are still to end; `None` if the sweep has no end of its own.
fn remaining(sweep: &Sweep, study: &Study) -> Option<u64> {
    let open = study.trials().iter().filter(|trial| {
        !matches!(trial.origin, Origin::Imported(_)) && trial.counts() && !trial.state.is_final()
    });
    let total = sweep.trials.or_else(|| {
        let enumerates = sweep.sampler.can(Capability::Enumerates);
        sweep.space.size().filter(|_| enumerates)
    });
    total.map(|total| total.saturating_sub(study.counted()) + open.count() as u64)
}

/// Returns the most that the remaining trials take in `slots` slots; `None` if nothing bounds their
/// number or their time. Preparations and retries are not included.
fn bound(sweep: &Sweep, study: &Study, slots: usize) -> Option<Bound> {
    let budget = match &sweep.limits.trial_budget {
        Some(TrialBudget::Time(time)) => Some(("trial_budget", *time)),
        _ => None,
    };
    let (key, each) = budget.or(sweep.limits.trial_time.map(|time| ("trial_time", time)))?;
    let trials = remaining(sweep, study)?;
    let seconds_per_trial = each.as_secs_f64();
    let hours = trials as f64 * seconds_per_trial / 3600.0;
    let rounds = trials.div_ceil(slots.max(1) as u64);
    let seconds = rounds as f64 * seconds_per_trial;
    Some(Bound {
        key,
        seconds_per_trial,
        trials,
        seconds: at_most(seconds, sweep.limits.time.map(|time| time.as_secs_f64())),
        cost: sweep
            .spending
            .hourly
            .map(|price| at_most(price * hours, sweep.spending.cost)),
        gpu_hours: sweep
            .resources
            .gpus
            .map(|gpus| at_most(gpus * hours, sweep.spending.gpu_hours)),
    })
}

/// Returns the amount, or the budget that ends the sweep before.
fn at_most(amount: f64, budget: Option<f64>) -> f64 {
    budget.map_or(amount, |budget| amount.min(budget))
}

/// Returns how many more trials fit into `[limits] time`, if it is set.
fn limit_of_time(
    sweep: &Sweep,
    study: &Study,
    seconds_per_trial: f64,
    slots: usize,
) -> Option<u64> {
    let left = sweep.limits.time?.saturating_sub(study.used());
    let rounds = left.as_secs_f64() / seconds_per_trial.max(1e-3);
    Some((rounds * slots.max(1) as f64) as u64)
}

/// Returns how many more trials a budget lasts for, if it is set and trials use some of it.
fn limit_of_use(budget: Option<f64>, so_far: Option<f64>, ended: u64) -> Option<u64> {
    let (budget, so_far) = (budget?, so_far.filter(|so_far| *so_far > 0.0)?);
    let each = so_far / ended as f64;
    Some(((budget - so_far).max(0.0) / each) as u64)
}

/// Returns the attempts that a run would start first, at most `most`, and an estimate of the rest.
/// They are found by opening a copy of the study's journal, so that neither its lock nor its files
/// are touched. Attempts beyond the number of slots may turn out otherwise, depending on reports of
/// the earlier ones.
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
    let plans = built.parts.preparations.clone();
    let mut driver = Driver::open(copy, built.parts, &holder, Box::new(Timestamp::now))?;
    let estimate = estimate(sweep, driver.study(), built.shares.slots);
    let bound = bound(sweep, driver.study(), built.shares.slots);
    let launches = driver.ahead(most)?;
    let study = pool::context(sweep, workdir(sweep, options));
    let invoke = pool::invoke(sweep, study.clone(), &study.workdir);
    let planned = launches.into_iter().map(|mut launch| {
        // The copy has no trial folders, so these fields are set from the study itself.
        launch.dir = dir.trial(launch.trial);
        launch.prepared = prepared_folders(&dir, &plans, &launch.params);
        let needs = assignments(&plans, &launch.params);
        let prepared: Vec<_> = launch.prepared.iter().map(of_prepared).collect();
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
            .chain(prepared)
            .collect();
        Planned {
            command: invocation.recorded.iter().map(Text::to_string).collect(),
            environment,
            needs,
            launch,
        }
    });
    Ok(Outlook {
        attempts: planned.collect(),
        estimate,
        bound,
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
