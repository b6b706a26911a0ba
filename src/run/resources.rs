//! What the trials of a sweep take of this machine: how many run at a time, and what each gets. A
//! request that it cannot meet ends the run before it begins.

use super::Options;
use crate::executor::{Allotment, GpuError, GpuShares, Gpus};
use crate::provenance::Machine;
use crate::study::kind::Capability;
use crate::sweep::Sweep;
use crate::sweep::units::Bytes;

/// Why this machine cannot run the sweep.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A trial wants more of it than there is.
    #[error("each trial wants {wanted} of {what} (`resources.{key}`), this machine has {there}")]
    TooMuch {
        /// The key.
        key: &'static str,
        /// What it is of.
        what: &'static str,
        /// How much is wanted.
        wanted: String,
        /// How much there is.
        there: String,
    },
    /// There are GPUs for fewer trials at a time.
    #[error(
        "{jobs} trials at a time with {gpus} GPUs each (`resources.gpus`) are more than {there} can serve: {most}"
    )]
    TooManyJobs {
        /// Trials wanted at a time.
        jobs: usize,
        /// GPUs of each.
        gpus: f64,
        /// The devices there are.
        there: String,
        /// How many trials they serve.
        most: usize,
    },
    /// There are no GPUs to use.
    #[error("the sweep wants GPUs (`resources.gpus`)")]
    Gpus(#[source] GpuError),
}

/// Slots, and what each has.
pub(super) struct Shares {
    pub(super) slots: usize,
    pub(super) allotment: Allotment,
}

/// Works out how many trials run at a time and what each gets.
///
/// # Errors
/// If the machine cannot give it.
pub(super) fn share(
    sweep: &Sweep,
    options: &Options,
    machine: &Machine,
) -> Result<Shares, ResourceError> {
    let wanted = sweep.resources;
    let asked = options.jobs.or(wanted.jobs);
    // Elsewhere it is another machine that has to give.
    if !sweep.executor.can(Capability::Local) {
        return Ok(Shares {
            slots: asked.unwrap_or_else(|| sweep.slots()),
            allotment: Allotment::default(),
        });
    }
    if let Some(cpus) = wanted.cpus.filter(|cpus| *cpus as usize > machine.cpus) {
        let there = machine.cpus.to_string();
        return Err(ResourceError::TooMuch {
            key: "cpus",
            what: "the cores",
            wanted: cpus.to_string(),
            there,
        });
    }
    if let Some((memory, there)) = wanted
        .memory
        .zip(machine.memory)
        .filter(|(memory, there)| memory > there)
    {
        let (wanted, there) = (
            Bytes(memory).to_string(),
            format!("{:.1} GiB", there as f64 / f64::from(1 << 30)),
        );
        return Err(ResourceError::TooMuch {
            key: "memory",
            what: "memory",
            wanted,
            there,
        });
    }
    let gpus = wanted
        .gpus
        .map(|want| gpus(want, asked, options))
        .transpose()?;
    // What the person did not say is as many as the machine can give at a time.
    let by_memory = wanted
        .memory
        .zip(machine.memory)
        .map_or(usize::MAX, |(each, all)| (all / each.max(1)) as usize);
    let by_cpus = if gpus.is_some() && wanted.cpus.is_none() {
        usize::MAX
    } else {
        machine.cpus / wanted.cpus.unwrap_or(1).max(1) as usize
    };
    let by_gpus = gpus.as_ref().map_or(usize::MAX, GpuShares::slots);
    let slots = asked
        .unwrap_or_else(|| by_cpus.min(by_memory).min(by_gpus))
        .max(1);
    Ok(Shares {
        slots,
        allotment: Allotment {
            cpus: wanted.cpus,
            memory: wanted.memory,
            gpus,
        },
    })
}

fn gpus(want: f64, asked: Option<usize>, options: &Options) -> Result<GpuShares, ResourceError> {
    let shares = GpuShares::new(
        Gpus::find(options.gpus.as_deref()).map_err(ResourceError::Gpus)?,
        want,
    );
    let (most, count) = (shares.slots(), shares.count());
    let plural = if count == 1 { "" } else { "s" };
    if most == 0 {
        let there = count.to_string();
        return Err(ResourceError::TooMuch {
            key: "gpus",
            what: "the GPUs",
            wanted: want.to_string(),
            there,
        });
    }
    if let Some(jobs) = asked.filter(|jobs| *jobs > most) {
        return Err(ResourceError::TooManyJobs {
            jobs,
            gpus: want,
            there: format!("{count} GPU{plural}"),
            most,
        });
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn shared(resources: &str, cpus: usize, gpus: Option<&[&str]>) -> Result<usize, String> {
        let text =
            format!("[run]\ncommand = ['true']\n[resources]\n{resources}\n[space]\nx = [1, 2]\n");
        let sweep = Sweep::parse(Source {
            name: "x.toml".into(),
            text,
        })
        .expect("a good sweep file");
        let gpus = gpus.map(|gpus| gpus.iter().map(|id| format!("unlisted-{id}")).collect());
        let options = Options {
            gpus,
            ..Options::default()
        };
        let machine = Machine {
            cpus,
            memory: Some(8 << 30),
            ..Machine::here()
        };
        share(&sweep, &options, &machine)
            .map(|shares| shares.slots)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn as_many_run_at_a_time_as_the_machine_can_give() {
        assert_eq!(shared("cpus = 2", 8, None), Ok(4));
        assert_eq!(shared("memory = '3 GiB'", 8, None), Ok(2));
        assert_eq!(shared("jobs = 20\ncpus = 2", 8, None), Ok(20));
        assert_eq!(shared("gpus = 1", 8, Some(&["a", "b"])), Ok(2));
        assert_eq!(shared("gpus = 0.25\ncpus = 2", 8, Some(&["a", "b"])), Ok(4));
    }

    #[test]
    fn what_the_machine_cannot_give_is_refused() {
        let refused = |resources, gpus| shared(resources, 8, gpus).expect_err("it is refused");
        assert_eq!(
            refused("cpus = 9", None),
            "each trial wants 9 of the cores (`resources.cpus`), this machine has 8"
        );
        assert_eq!(
            refused("memory = '9 GiB'", None),
            "each trial wants 9 GiB of memory (`resources.memory`), this machine has 8.0 GiB"
        );
        assert_eq!(
            refused("gpus = 3", Some(&["a", "b"])),
            "each trial wants 3 of the GPUs (`resources.gpus`), this machine has 2"
        );
        assert_eq!(
            refused("gpus = 1\njobs = 3", Some(&["a", "b"])),
            "3 trials at a time with 1 GPUs each (`resources.gpus`) are more than 2 GPUs can serve: 2"
        );
    }
}
