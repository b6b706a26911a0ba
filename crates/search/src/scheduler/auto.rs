//! Chooses a scheduler that stops early by what trials can do, and says why.
//!
//! A model that proposes configurations makes the trials better and better. If a rung stops trials
//! for good, most of the new ones are among the best third of what was seen so far, and pass. Trials
//! that pause are promoted only when they are still the best later on, and no more than a rung's
//! share. Promotion is therefore chosen even without checkpoints: a promoted trial then begins at
//! zero again, which costs at most half as much again for the few that reach the end.
//!
//! A quarter of the resource goes to trials whose end a model expects to be the best, so that a slow
//! beginning that ends best is found too (`prediction.rs`).

use super::asha::{Asha, Mode};
use super::{Judgement, Next, TrialScheduler, report_reader, rung_levels};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Resource, Study, TrialId};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "auto",
    about: "early stopping that suits the trials: promotion by rank and by predicted ends",
    paper: Some(
        "Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020 (arXiv 1810.05934)",
    ),
    options: &[
        rung_levels::MIN,
        rung_levels::MAX,
        rung_levels::REDUCTION,
        report_reader::METRIC,
    ],
    capabilities: &[Capability::Rungs],
    build: |mut section, setting, diagnostics| {
        let asha = Asha::with_mode(&mut section, setting, Mode::Promotion, diagnostics)?;
        let choice = match (asha.rung_levels().top(), setting.checkpoint) {
            (0, _) => "every trial runs to its end, since there is no rung below `max`",
            (_, true) => {
                "`asha` by promotion, since trials continue from their checkpoints (`[run] checkpoint`)"
            }
            (_, false) => {
                "`asha` by promotion from zero, since trials have no checkpoints (`[run] checkpoint`)"
            }
        };
        let prediction = match (asha.rung_levels().top(), setting.objectives.len()) {
            (1.., 1) => "; a quarter of the resource goes to those whose predicted end is best",
            _ => "",
        };
        let choice = format!("{choice}{prediction}");
        let asha = asha.with_prediction(setting);
        Some(Box::new(Auto { asha, choice }))
    },
};

/// The chosen scheduler.
struct Auto {
    asha: Asha,
    choice: String,
}

impl TrialScheduler for Auto {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.asha.observe(study, event);
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        self.asha.next(study, room)
    }

    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        self.asha.verdict(study, trial)
    }

    fn until(&self, study: &Study, trial: TrialId) -> Option<Resource> {
        self.asha.until(study, trial)
    }

    fn max(&self) -> Option<Resource> {
        self.asha.max()
    }

    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        self.asha.finished(study, trial)
    }

    fn choice(&self) -> Option<&str> {
        Some(&self.choice)
    }
}
