//! Builds the components of a sweep from the registries.

use super::{Choice, Rejected, Sweep};
use std::path::Path;
use swath_engine::executor::Sources;
use swath_engine::tracker::Tracker;
use swath_model::source::Diagnostics;
use swath_model::study::Setting;
use swath_model::study::kind::{Kind, find};
use swath_search::sampler::Sampler;
use swath_search::scheduler::TrialScheduler;

/// The built components of a sweep.
pub struct Plan {
    /// Sampler, which proposes configurations.
    pub sampler: Box<dyn Sampler>,
    /// Scheduler, which stops, pauses and promotes trials.
    pub scheduler: Box<dyn TrialScheduler>,
    /// Trackers that also record the events, with their names.
    pub trackers: Vec<(String, Box<dyn Tracker>)>,
    /// Sources, which translate what programs write for other tools.
    pub sources: Sources,
}

/// Set of components that are built in order to validate their options.
#[derive(Clone, Copy)]
pub(super) enum Tried {
    All,
    /// All but the sampler. Used when the space could not be read, since the sampler's errors about
    /// an empty space would be misleading.
    AllButSampler,
}

impl Sweep {
    /// Returns the setting that the components are built for, when `slots` trials run at the same
    /// time. It has no study folder.
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

    /// Builds the sampler, the scheduler and the trackers for a number of slots. `dir` is the
    /// study's folder; trackers that write files need it.
    ///
    /// # Errors
    /// The errors that the components report about their options. [`parse`](Self::parse) has built
    /// them before, so only another number of slots can make a difference.
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

    /// Returns the tables of the sources as TOML documents, from which a pilot builds them.
    #[must_use]
    pub fn source_tables(&self) -> Vec<String> {
        let tables = self.sources.iter().map(|choice| {
            let options = choice.section.to_toml();
            format!("name = \"{}\"\n{options}", choice.name)
        });
        tables.collect()
    }

    /// Builds the components and reports their errors. All are built even after an error, so that
    /// all errors are found.
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
        let sources: Vec<_> = self
            .sources
            .iter()
            .map(|choice| {
                let source = build(self.registry.sources(), choice, setting, diagnostics)?;
                Some((choice.name.clone(), source))
            })
            .collect();
        // The site is built only to check its options and is discarded.
        let site = build(
            self.registry.executors(),
            &self.executor,
            setting,
            diagnostics,
        )?;
        site.check(&self.resources, diagnostics);
        Some(Plan {
            sampler: sampler?,
            scheduler: scheduler?,
            trackers: trackers.into_iter().collect::<Option<_>>()?,
            sources: Sources::new(
                sources.into_iter().collect::<Option<_>>()?,
                !self.capture.is_empty(),
            ),
        })
    }
}

/// Builds the component that a choice names.
pub(super) fn build<T: ?Sized>(
    kinds: &[Kind<T>],
    choice: &Choice,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<T>> {
    // An unknown name was already reported when the file was read.
    find(kinds, &choice.name)?.make(choice.section.clone(), setting, diagnostics)
}
