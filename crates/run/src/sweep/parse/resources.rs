//! `[resources]`: the share of the machine that each trial takes.

use super::keys::table;
use swath_engine::executor::Share;
use swath_model::source::units::size_of;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};

/// Maximum of `jobs`. A larger number on one machine is a typing error.
const MOST_JOBS: u64 = 4096;

/// Minimum of `memory` in bytes (1 MiB). A smaller number lacks its unit.
const LEAST_MEMORY: u64 = 1 << 20;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "jobs",
        Takes::Count(1),
        Preset::Derived("as many as `cpus`, `gpus` and `memory` allow"),
        "trials at a time",
    ),
    Opt::new(
        "cpus",
        Takes::Count(1),
        Preset::Count(1),
        "cores of each trial",
    ),
    Opt::new(
        "gpus",
        Takes::Number,
        Preset::Absent,
        "GPUs of each trial, which no other trial sees; `0.5` shares a device",
    ),
    Opt::new(
        "memory",
        Takes::Size,
        Preset::Absent,
        "memory of each trial, all its processes together; a trial that takes more is ended",
    ),
];

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Share {
    let Some(mut section) = table(file, "resources", diagnostics) else {
        return Share::default();
    };
    let jobs = section.take_count("jobs", 1, diagnostics);
    if let Some((jobs, span)) = &jobs
        && *jobs > MOST_JOBS
    {
        let message = format!("`jobs` must be at most {MOST_JOBS}");
        diagnostics
            .push(Diagnostic::error("too-large", message).at(span.clone(), format!("is {jobs}")));
    }
    let cpus = section.take_count("cpus", 1, diagnostics);
    let gpus = section.take_number("gpus", diagnostics);
    if let Some((gpus, span)) = &gpus {
        if *gpus <= 0.0 {
            let error =
                Diagnostic::error("too-small", "`gpus` must be above 0").at(span.clone(), "");
            diagnostics.push(error.hint("0.5 shares a device between two trials"));
        } else if *gpus > 1.0 && gpus.fract() != 0.0 {
            let message = "`gpus` above 1 must be a whole number";
            diagnostics.push(
                Diagnostic::error("not-whole", message).at(span.clone(), format!("is {gpus}")),
            );
        }
    }
    let memory = section.take("memory");
    let memory = memory.and_then(|node| {
        let bytes = size_of("memory", &node, diagnostics)?;
        if bytes < LEAST_MEMORY {
            let error = Diagnostic::error("too-small", "`memory` is too little for any program");
            diagnostics.push(
                error
                    .at(node.span, "")
                    .hint("write a unit: `512 MiB`, `8 GiB`"),
            );
        }
        Some(bytes)
    });
    Share {
        jobs: jobs.map(|(jobs, _)| jobs.min(MOST_JOBS) as usize),
        cpus: cpus.map(|(cpus, _)| u32::try_from(cpus).unwrap_or(u32::MAX)),
        gpus: gpus.map(|(gpus, _)| gpus),
        memory,
    }
}
