//! Hyperband: several brackets over the same rungs, which differ in the rung at which a trial is
//! first judged.
//!
//! Li et al., *Hyperband*, JMLR 18, 2018 (arXiv 1603.06560), made asynchronous: every new trial
//! goes to the bracket that is furthest behind its share, so that no slot ever waits for a bracket
//! to fill. All brackets share the rungs: a trial that reaches epoch 9 is compared with every trial
//! that was seen there.

use super::asha::{self, Asha};
use super::{Judgement, Next, TrialScheduler, report_reader, rung_levels};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Resource, Setting, Study, TrialId};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "hyperband",
    about: "asha with several brackets: part of the trials are first compared at a higher rung",
    paper: Some(
        "Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, \
         JMLR 18, 2018 (arXiv 1603.06560)",
    ),
    options: &[
        rung_levels::MIN,
        rung_levels::MAX,
        rung_levels::REDUCTION,
        BRACKETS,
        asha::MODE,
        report_reader::METRIC,
    ],
    capabilities: &[Capability::Rungs],
    build: |mut section, setting, diagnostics| {
        let hyperband = Hyperband::take(&mut section, setting, diagnostics);
        Some(Box::new(hyperband?))
    },
};

/// The option `brackets`.
const BRACKETS: Opt = Opt::new(
    "brackets",
    Takes::Count(1),
    Preset::Derived("one for each rung"),
    "number of rungs at which trials may first be compared; fewer rely more on early reports",
);

/// The scheduler: brackets over the rungs of one ASHA.
struct Hyperband {
    /// The rungs with all trials.
    asha: Asha,
    /// The brackets. The index is the rung at which the trials of a bracket are first judged.
    brackets: Vec<Bracket>,
}

/// The trials first judged at the rung of the bracket's index.
#[derive(Debug, Clone, Default, PartialEq)]
struct Bracket {
    /// The fraction of all trials that belong to this bracket.
    share: f64,
    /// Number of trials assigned so far.
    trials: u64,
}

impl Hyperband {
    /// Takes the options of `[scheduler]` from the section. Returns `None`, with diagnostics, if
    /// one is wrong.
    fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let asha = Asha::take(section, setting, diagnostics);
        let count = section.take_count("brackets", 1, diagnostics);
        let asha = asha?;
        let most = asha.rung_levels().top() + 1;
        let count = match count {
            Some((count, at)) if count > most as u64 => {
                let message = format!("there are only {most} rungs to begin at");
                diagnostics.push(
                    Diagnostic::error("too-many-brackets", message)
                        .at(at, format!("`brackets` is {count}"))
                        .hint(format!("at most {most}; fewer bet more on early reports")),
                );
                return None;
            }
            Some((count, _)) => count as usize,
            None => most,
        };
        Some(Self {
            brackets: shares(count, most, asha.rung_levels().reduction),
            asha,
        })
    }

    /// Returns the index of the bracket that is furthest behind its share.
    fn neediest(&self) -> usize {
        (0..self.brackets.len())
            .min_by(|a, b| {
                let (first, second) = (&self.brackets[*a], &self.brackets[*b]);
                first.fill_level().total_cmp(&second.fill_level())
            })
            .unwrap_or(0)
    }
}

impl Bracket {
    /// Returns how full the bracket would be with one more trial, relative to its share.
    fn fill_level(&self) -> f64 {
        (self.trials as f64 + 1.0) / self.share
    }
}

/// Returns `count` brackets with the trial counts of Hyperband: those with which each of `most`
/// brackets spends the same resource.
fn shares(count: usize, most: usize, reduction: u64) -> Vec<Bracket> {
    let eta = reduction as f64;
    let trials: Vec<f64> = (0..count)
        .map(|first| {
            let rungs = (most - first) as f64;
            (most as f64 / rungs * eta.powf(rungs - 1.0)).ceil()
        })
        .collect();
    let all: f64 = trials.iter().sum();
    trials
        .into_iter()
        .map(|trials| Bracket {
            share: trials / all,
            trials: 0,
        })
        .collect()
}

impl TrialScheduler for Hyperband {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.asha.observe(study, event);
        // Only after ASHA has observed the event does the trial have a position to change.
        if let Event::Created { trial, .. } = event {
            let bracket = self.neediest();
            self.brackets[bracket].trials += 1;
            self.asha.begin(*trial, bracket);
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brackets_have_the_sizes_of_the_paper() {
        let brackets = shares(5, 5, 3);
        let sizes: Vec<f64> = brackets
            .iter()
            .map(|bracket| (bracket.share * 143.0).round())
            .collect();
        assert_eq!(sizes, [81.0, 34.0, 15.0, 8.0, 5.0]);
    }
}
