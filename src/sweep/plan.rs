//! The parts of a sweep, built from the registries.

use super::{Choice, Rejected, Sweep};
use crate::sampler::Sampler;
use crate::scheduler::TrialScheduler;
use crate::source::Diagnostics;
use crate::study::Setting;
use crate::study::kind::{Kind, find};
use crate::tracker::Tracker;
use std::path::Path;

/// The built parts of a sweep.
pub struct Plan {
    /// Who proposes configurations.
    pub sampler: Box<dyn Sampler>,
    /// Who paces trials.
    pub scheduler: Box<dyn TrialScheduler>,
    /// Where events are also written, with their names.
    pub trackers: Vec<(String, Box<dyn Tracker>)>,
}

/// Which parts are built to find out what they refuse.
#[derive(Clone, Copy)]
pub(super) enum Tried {
    All,
    /// The space could not be read, and what a sampler says of it would be wrong.
    AllButSampler,
}

impl Sweep {
    /// Returns what the parts are built against when that many trials run at a time.
    #[must_use]
    pub fn setting(&self, slots: usize) -> Setting {
        Setting {
            space: self.space.clone(),
            objectives: self.objectives.clone(),
            seed: self.seed,
            trials: self.trials,
            slots,
            resource: self.resource.clone(),
            checkpoint: self.checkpoint,
            dir: None,
        }
    }

    /// Builds the sampler, the scheduler and the trackers; `dir` is the study's folder, without
    /// which file-based trackers cannot write.
    ///
    /// # Errors
    /// What they refuse. [`parse`](Self::parse) has tried it already, so that only another number
    /// of slots can make a difference.
    pub fn build(&self, slots: usize, dir: Option<&Path>) -> Result<Plan, Rejected> {
        let mut diagnostics = Diagnostics::default();
        let setting = Setting {
            dir: dir.map(Path::to_owned),
            ..self.setting(slots)
        };
        match self.try_build(&setting, Tried::All, &mut diagnostics) {
            Some(plan) if !diagnostics.has_errors() => Ok(plan),
            _ => Err(Rejected {
                source: self.source.clone(),
                diagnostics,
            }),
        }
    }

    pub(super) fn try_build(
        &self,
        setting: &Setting,
        tried: Tried,
        diagnostics: &mut Diagnostics,
    ) -> Option<Plan> {
        let sampler = match tried {
            Tried::All => build(
                self.registry.samplers(),
                &self.sampler,
                setting,
                diagnostics,
            ),
            Tried::AllButSampler => None,
        };
        let scheduler = build(
            self.registry.schedulers(),
            &self.scheduler,
            setting,
            diagnostics,
        );
        let trackers: Vec<_> = self
            .trackers
            .iter()
            .map(|choice| {
                let tracker = build(self.registry.trackers(), choice, setting, diagnostics)?;
                Some((choice.name.clone(), tracker))
            })
            .collect();
        build(
            self.registry.executors(),
            &self.executor,
            setting,
            diagnostics,
        )?;
        Some(Plan {
            sampler: sampler?,
            scheduler: scheduler?,
            trackers: trackers.into_iter().collect::<Option<_>>()?,
        })
    }
}

pub(super) fn build<T: ?Sized>(
    kinds: &[Kind<T>],
    choice: &Choice,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<T>> {
    // A name that is not there was reported when the file was read.
    find(kinds, &choice.name)?.make(choice.section.clone(), setting, diagnostics)
}
