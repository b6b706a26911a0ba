//! The resources of a sweep on this machine: the number of trials at a time, and the share of each.
//! A request that the machine cannot meet ends the run before it begins.

use super::Options;
use crate::sweep::Sweep;
use crate::sweep::units::Bytes;
use swath_engine::executor::{Allotment, GpuError, GpuShares, Gpus};
use swath_engine::provenance::Machine;
use swath_model::study::kind::Capability;

/// An error about resources that this machine does not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// A trial requests more of a resource than the machine has.
    #[error("each trial needs {wanted} {what} (`resources.{key}`), but this machine has {there}")]
    TooMuch {
        /// The key in `[resources]`.
        key: &'static str,
        /// The unit or name of the resource, after the amount.
        what: &'static str,
        /// The requested amount.
        wanted: String,
        /// The amount that the machine has.
        there: String,
    },
    /// There are not enough GPUs for the requested number of trials at a time.
    #[error(
        "{jobs} trials at a time with {gpus} GPUs each (`resources.gpus`) are more than {there} can serve: {most}"
    )]
    TooManyJobs {
        /// The requested number of trials at a time.
        jobs: usize,
        /// The requested number of GPUs per trial.
        gpus: f64,
        /// A description of the machine's GPUs.
        there: String,
        /// The number of trials at a time for which they suffice.
        most: usize,
    },
    /// There are no usable GPUs.
    #[error("the sweep needs GPUs (`resources.gpus`)")]
    Gpus(#[source] GpuError),
}

/// The number of slots, and the resources of each.
pub(super) struct Shares {
    pub(super) slots: usize,
    pub(super) allotment: Allotment,
}

/// Returns the number of trials at a time, and the resources of each.
///
/// # Errors
/// If the machine does not have the requested resources.
pub(super) fn share(
    sweep: &Sweep,
    options: &Options,
    machine: &Machine,
) -> Result<Shares, ResourceError> {
    let requested = sweep.resources;
    let jobs = options.jobs.or(requested.jobs);
    // Trials on other machines take nothing of this one.
    if !sweep.executor.can(Capability::Local) {
        return Ok(Shares {
            slots: jobs.unwrap_or_else(|| sweep.slots()),
            allotment: Allotment::default(),
        });
    }
    if let Some(cpus) = requested.cpus.filter(|cpus| *cpus as usize > machine.cpus) {
        let there = machine.cpus.to_string();
        return Err(ResourceError::TooMuch {
            key: "cpus",
            what: "cores",
            wanted: cpus.to_string(),
            there,
        });
    }
    if let Some((memory, there)) = requested
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
            what: "of memory",
            wanted,
            there,
        });
    }
    let gpus = requested
        .gpus
        .map(|each| gpus(each, jobs, options))
        .transpose()?;
    // Without a requested number of trials, the scarcest resource decides.
    let by_memory = requested
        .memory
        .zip(machine.memory)
        .map_or(usize::MAX, |(each, all)| (all / each.max(1)) as usize);
    // Trials with GPUs and no request for cores are bound by the GPUs alone.
    let by_cpus = if gpus.is_some() && requested.cpus.is_none() {
        usize::MAX
    } else {
        machine.cpus / requested.cpus.unwrap_or(1).max(1) as usize
    };
    let by_gpus = gpus.as_ref().map_or(usize::MAX, GpuShares::slots);
    let slots = jobs
        .unwrap_or_else(|| by_cpus.min(by_memory).min(by_gpus))
        .max(1);
    Ok(Shares {
        slots,
        allotment: Allotment {
            cpus: requested.cpus,
            memory: requested.memory,
            gpus,
        },
    })
}

/// Returns the GPUs and their shares for trials that need `each` GPUs.
fn gpus(each: f64, jobs: Option<usize>, options: &Options) -> Result<GpuShares, ResourceError> {
    let shares = GpuShares::new(
        Gpus::find(options.gpus.as_deref()).map_err(ResourceError::Gpus)?,
        each,
    );
    let (most, count) = (shares.slots(), shares.count());
    let plural = if count == 1 { "" } else { "s" };
    if most == 0 {
        let there = count.to_string();
        return Err(ResourceError::TooMuch {
            key: "gpus",
            what: "GPUs",
            wanted: each.to_string(),
            there,
        });
    }
    if let Some(jobs) = jobs.filter(|jobs| *jobs > most) {
        return Err(ResourceError::TooManyJobs {
            jobs,
            gpus: each,
            there: format!("{count} GPU{plural}"),
            most,
        });
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::source::Source;

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
    fn the_scarcest_resource_limits_the_number_of_trials_at_a_time() {
        assert_eq!(shared("cpus = 2", 8, None), Ok(4));
        assert_eq!(shared("memory = '3 GiB'", 8, None), Ok(2));
        assert_eq!(shared("jobs = 20\ncpus = 2", 8, None), Ok(20));
        assert_eq!(shared("gpus = 1", 8, Some(&["a", "b"])), Ok(2));
        assert_eq!(shared("gpus = 0.25\ncpus = 2", 8, Some(&["a", "b"])), Ok(4));
    }

    #[test]
    fn a_request_beyond_the_machine_is_refused() {
        let refused = |resources, gpus| shared(resources, 8, gpus).expect_err("it is refused");
        assert_eq!(
            refused("cpus = 9", None),
            "each trial needs 9 cores (`resources.cpus`), but this machine has 8"
        );
        assert_eq!(
            refused("memory = '9 GiB'", None),
            "each trial needs 9 GiB of memory (`resources.memory`), but this machine has 8.0 GiB"
        );
        assert_eq!(
            refused("gpus = 3", Some(&["a", "b"])),
            "each trial needs 3 GPUs (`resources.gpus`), but this machine has 2"
        );
        assert_eq!(
            refused("gpus = 1\njobs = 3", Some(&["a", "b"])),
            "3 trials at a time with 1 GPUs each (`resources.gpus`) are more than 2 GPUs can serve: 2"
        );
    }
}
