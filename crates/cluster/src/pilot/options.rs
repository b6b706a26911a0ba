//! The options of `[executor]` that all executors with pilots share, and the resources of a job
//! that follow from them.

use std::time::Duration;
use swath_engine::executor::Share;
use swath_model::source::units::{duration_of, size_of};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};

/// Default interval between two calls to the batch system.
pub(crate) const POLL: Duration = Duration::from_secs(25);

/// Default time that a silent pilot keeps its trials after its job is over.
pub(crate) const LEASE: Duration = Duration::from_secs(120);

/// Default time that a pilot waits for work.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// Default time that a pilot waits for work while no orchestrator is alive.
pub(crate) const ORPHAN: Duration = Duration::from_secs(15 * 60);

/// The options of every executor that runs pilots.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt::new(
        "pilots",
        Takes::Count(1),
        Preset::Derived("`jobs` in `[resources]` / `slots`, else 1"),
        "jobs at a time",
    ),
    Opt::new(
        "slots",
        Takes::Count(1),
        Preset::Derived("as many as fit into `cpus`, `gpus`, `memory`; else 1"),
        "trials at a time in a job",
    ),
    Opt::new(
        "cpus",
        Takes::Count(1),
        Preset::Derived("`slots` times those of a trial"),
        "cores that a job asks for",
    ),
    Opt::new(
        "gpus",
        Takes::Count(1),
        Preset::Derived("`slots` times those of a trial"),
        "GPUs that a job asks for",
    ),
    Opt::new(
        "memory",
        Takes::Size,
        Preset::Derived("`slots` times that of a trial"),
        "memory that a job asks for",
    ),
    Opt::new(
        "walltime",
        Takes::Duration,
        Preset::Derived("the site's"),
        "how long a job may run",
    ),
    Opt::new(
        "trials_per_job",
        Takes::Count(1),
        Preset::Derived("no limit"),
        "trials after which a pilot leaves",
    ),
    Opt::new(
        "prelude",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "lines of shell before the pilot: modules, environments",
    ),
    Opt::new(
        "swath",
        Takes::Text,
        Preset::Derived("this program"),
        "the program on the nodes",
    ),
    Opt::new(
        "poll",
        Takes::Duration,
        Preset::Duration(POLL),
        "how often the batch system is asked: one call for the whole sweep",
    ),
    Opt::new(
        "lease",
        Takes::Duration,
        Preset::Duration(LEASE),
        "how long a pilot may be silent until it gets no more trials; its heartbeats come four times as often, at least every 10 s",
    ),
    Opt::new(
        "idle",
        Takes::Duration,
        Preset::Duration(IDLE),
        "how long a pilot waits for work",
    ),
    Opt::new(
        "orphan",
        Takes::Duration,
        Preset::Duration(ORPHAN),
        "how long a pilot waits for work when there is no orchestrator",
    ),
];

/// Values of these options in a sweep file; `None` where the file sets none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Number of jobs at the same time.
    pub(crate) pilots: Option<usize>,
    /// Number of trials at the same time in a job.
    slots: Option<usize>,
    cpus: Option<u32>,
    gpus: Option<u32>,
    memory: Option<u64>,
    pub(crate) walltime: Option<Duration>,
    pub(crate) trials_per_job: Option<u64>,
    pub(crate) prelude: Vec<String>,
    /// Path of the program on the nodes, if it is not this one.
    pub(crate) swath: Option<String>,
    pub(crate) poll: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) orphan: Option<Duration>,
}

impl Options {
    /// Takes the options that all executors with pilots share from `[executor]`.
    pub(crate) fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Self {
        let mut options = Self {
            pilots: count(section, "pilots", diagnostics).map(saturated_usize),
            slots: count(section, "slots", diagnostics).map(saturated_usize),
            cpus: count(section, "cpus", diagnostics).map(saturated_u32),
            gpus: count(section, "gpus", diagnostics).map(saturated_u32),
            trials_per_job: count(section, "trials_per_job", diagnostics),
            memory: section
                .take("memory")
                .and_then(|node| size_of("memory", &node, diagnostics)),
            ..Self::default()
        };
        options.walltime = time(section, "walltime", diagnostics);
        options.poll = time(section, "poll", diagnostics);
        options.lease = time(section, "lease", diagnostics);
        options.idle = time(section, "idle", diagnostics);
        options.orphan = time(section, "orphan", diagnostics);
        if let Some((lines, span)) = section.take_texts("prelude", diagnostics) {
            if lines.iter().any(|line| line.contains('\0')) {
                diagnostics.push(
                    Diagnostic::error("bad-text", "`prelude` has a NUL character").at(span, ""),
                );
            }
            options.prelude = lines;
        }
        options.swath = section
            .take_text("swath", diagnostics)
            .map(|(path, _)| path);
        options
    }

    /// Returns whether the sweep file sets the cores of a job.
    pub(crate) fn has_cpus(&self) -> bool {
        self.cpus.is_some()
    }

    /// Returns the number of trials at the same time in a job, at least 1.
    pub(crate) fn slots_per_job(&self, share: &Share) -> usize {
        let each = share.cpus.unwrap_or(1).max(1);
        let by_cpus = self.cpus.map(|cpus| (cpus / each) as usize);
        // The small term tolerates rounding errors of fractions such as 0.1 GPUs per trial.
        let by_gpus = self
            .gpus
            .zip(share.gpus)
            .map(|(gpus, each)| (f64::from(gpus) / each + 1e-9) as usize);
        let by_memory = self
            .memory
            .zip(share.memory)
            .map(|(memory, each)| (memory / each.max(1)) as usize);
        let fitting = [by_cpus, by_gpus, by_memory].into_iter().flatten().min();
        let most = self.trials_per_job.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        self.slots.or(fitting).unwrap_or(1).min(most).max(1)
    }

    /// Returns the number of trials at the same time in all jobs together, at least 1.
    pub(crate) fn jobs(&self, share: &Share) -> usize {
        let slots = self.slots_per_job(share);
        match (share.jobs, self.pilots) {
            (Some(jobs), Some(pilots)) => jobs.min(pilots.saturating_mul(slots)),
            (Some(jobs), None) => jobs,
            (None, pilots) => pilots.unwrap_or(1).saturating_mul(slots),
        }
        .max(1)
    }

    /// Returns the cores, the GPUs and the bytes of memory that a job with `slots` slots requests.
    pub(crate) fn of_job(&self, share: &Share, slots: usize) -> (u32, u32, Option<u64>) {
        let slots_wide = u32::try_from(slots).unwrap_or(u32::MAX);
        let cpus = self
            .cpus
            .unwrap_or_else(|| share.cpus.unwrap_or(1).saturating_mul(slots_wide));
        let gpus = self.gpus.unwrap_or_else(|| {
            share.gpus.map_or(0, |each| {
                (each * f64::from(slots_wide) - 1e-9).ceil() as u32
            })
        });
        let memory = self
            .memory
            .or(share.memory.map(|each| each.saturating_mul(slots as u64)));
        (cpus, gpus, memory)
    }
}

fn count(section: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Option<u64> {
    section
        .take_count(key, 1, diagnostics)
        .map(|(count, _)| count)
}

fn saturated_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn saturated_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Takes a duration and reports an error if it is zero.
fn time(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let node = section.take(key)?;
    let time = duration_of(key, &node, diagnostics)?;
    if time.is_zero() {
        let error = Diagnostic::error("too-small", format!("`{key}` leaves no time at all"));
        diagnostics.push(error.at(node.span, "").hint("leave it out for the default"));
        return None;
    }
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::source::Table;

    fn options(text: &str) -> Options {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(text, &mut diagnostics);
        let mut section = Section::new("executor", 0..0, table);
        let options = Options::take(&mut section, &mut diagnostics);
        section.finish(&mut diagnostics);
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        options
    }

    #[test]
    fn a_job_has_as_many_slots_as_fit_into_its_resources() {
        let share = Share {
            cpus: Some(2),
            gpus: Some(0.5),
            ..Share::default()
        };
        for (text, slots) in [
            ("cpus = 16", 8),
            ("cpus = 16\ngpus = 2", 4),
            ("slots = 3", 3),
            ("", 1),
            ("cpus = 16\ntrials_per_job = 1", 1),
        ] {
            assert_eq!(options(text).slots_per_job(&share), slots, "{text}");
        }
        assert_eq!(options("slots = 3").of_job(&share, 3), (6, 2, None));
    }

    #[test]
    fn the_trials_at_a_time_are_those_of_all_jobs_and_at_most_the_requested_number() {
        for (text, jobs, at_a_time) in [
            ("pilots = 2\nslots = 16", None, 32),
            ("pilots = 2\nslots = 16", Some(5), 5),
            ("slots = 4", Some(10), 10),
            ("", None, 1),
        ] {
            let share = Share {
                jobs,
                ..Share::default()
            };
            assert_eq!(options(text).jobs(&share), at_a_time, "{text}");
        }
    }
}
