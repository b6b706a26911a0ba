//! Racing of replicates: decides which configuration runs with another seed, and which is dropped
//! because more seeds could hardly make it the best.
//!
//! A configuration whose first trial is complete runs with `[replicate] seeds` seeds before new
//! configurations begin. It is dropped as soon as its mean of the first objective is worse than
//! that of the best proven configuration (one with all its seeds) beyond noise. The test is a
//! one-sided t-test of level [`LEVEL`] with the variance pooled over all configurations that ran
//! more than once. This is the t-test of irace (López-Ibáñez et al., 2016; Birattari, 2009) without
//! pairing, since every trial has a seed of its own, and with a pooled variance, so that a single
//! trial can be judged. Nothing is dropped without [`LEAST`] degrees of freedom, with several
//! objectives, or while no configuration is proven.

use swath_model::study::{Origin, Study, Trial, TrialId, TrialState};
use swath_numerics::student;

/// The level of the test: the probability of dropping, in one test, a configuration that is as good
/// as the leader.
pub const LEVEL: f64 = 0.05;
/// The minimum degrees of freedom of the pooled variance. With fewer, the estimate of the noise is
/// too poor.
pub const LEAST: f64 = 3.0;

/// The leader and the noise, against which other configurations are tested.
#[derive(Debug, Clone, PartialEq)]
pub struct Race {
    /// The first trial of the best proven configuration.
    pub leader: TrialId,
    /// The mean score of the leader; lower is better.
    pub mean: f64,
    /// The number of seeds behind the leader's mean.
    pub seeds: usize,
    /// The pooled standard deviation between seeds.
    pub deviation: f64,
    /// The degrees of freedom of `deviation`.
    pub df: f64,
}

/// Returns the earliest configuration that is to run with another seed; `None` if there is none, or
/// the sweep has no replicates.
#[must_use]
pub fn next(study: &Study) -> Option<TrialId> {
    let seeds = study.header().replicate? as usize;
    let mut open = study.trials().iter().filter(|trial| {
        is_first(trial)
            && trial.state == TrialState::Complete
            && !trial.outside
            && wants(study, trial.id, seeds)
    });
    // The race is measured only if a configuration wants a seed: it looks at all trials.
    let first = open.next()?;
    let race = Race::of(study);
    std::iter::once(first)
        .chain(open)
        .map(|trial| trial.id)
        .find(|id| race.as_ref().is_none_or(|race| !race.drops(study, *id)))
}

/// Returns whether the total number of trials leaves room for another one: for the next seed of a
/// configuration, or for a new configuration with all its seeds.
///
/// Seeds that running and complete configurations still need are reserved first. A paused
/// configuration may never be promoted, so nothing is reserved for it.
#[must_use]
pub fn has_room(study: &Study, most: Option<u64>) -> bool {
    let Some(most) = most else { return true };
    let room = most.saturating_sub(study.counted());
    let Some(seeds) = study.header().replicate else {
        return room > 0;
    };
    room > 0 && (next(study).is_some() || room >= reserved(study) + u64::from(seeds))
}

/// Returns the number of trials still needed by configurations that have begun and may yet become
/// complete with all their seeds.
fn reserved(study: &Study) -> u64 {
    let seeds = study.header().replicate.unwrap_or(1) as usize;
    let race = Race::of(study);
    study
        .trials()
        .iter()
        .filter(|trial| {
            is_first(trial)
                && matches!(
                    trial.state,
                    TrialState::Waiting | TrialState::Running | TrialState::Complete
                )
                && !trial.outside
                && wants(study, trial.id, seeds)
                && race
                    .as_ref()
                    .is_none_or(|race| !race.drops(study, trial.id))
        })
        .map(|trial| (seeds - study.replicates(trial.id).count()) as u64)
        .sum()
}

/// Returns whether a trial of this sweep is the first one of its configuration.
fn is_first(trial: &Trial) -> bool {
    trial.origin.first_of_configuration().is_none() && !matches!(trial.origin, Origin::Imported(_))
}

/// Returns whether a configuration has fewer than `seeds` trials and none of them failed or was
/// stopped.
fn wants(study: &Study, head: TrialId, seeds: usize) -> bool {
    study.replicates(head).count() < seeds
        && !study
            .replicates(head)
            .any(|trial| trial.state.is_without_result() || trial.state == TrialState::Stopped)
}

impl Race {
    /// Measures the noise and finds the leader. Returns `None` with too few degrees of freedom,
    /// without a proven leader, or with several objectives.
    #[must_use]
    pub fn of(study: &Study) -> Option<Self> {
        let [objective] = study.header().objectives.as_slice() else {
            return None;
        };
        let (mut squares, mut df) = (0.0, 0.0);
        for trial in study
            .trials()
            .iter()
            .filter(|trial| study.configuration(trial.id) == trial.id)
        {
            let scores: Vec<f64> = study
                .complete(trial.id)
                .filter_map(|member| Some(objective.score(member.objective(objective)?)?.get()))
                .collect();
            if scores.len() > 1 {
                let mean = scores.iter().sum::<f64>() / scores.len() as f64;
                squares += scores
                    .iter()
                    .map(|score| (score - mean) * (score - mean))
                    .sum::<f64>();
                df += (scores.len() - 1) as f64;
            }
        }
        let leader = study.incumbent()?.id;
        let standing = study.standing(leader).filter(|standing| standing.proven)?;
        let mean = *standing.scores.first()?;
        (df >= LEAST).then(|| Self {
            leader,
            mean,
            seeds: standing.seeds,
            deviation: (squares / df).sqrt(),
            df,
        })
    }

    /// Returns whether a configuration is worse than the leader beyond noise. The leader itself is
    /// never dropped.
    #[must_use]
    pub fn drops(&self, study: &Study, head: TrialId) -> bool {
        let Some(standing) = study.standing(head).filter(|_| head != self.leader) else {
            return false;
        };
        let Some(mean) = standing.scores.first() else {
            return false;
        };
        mean - self.mean > self.margin(standing.seeds)
    }

    /// Returns the difference in mean score, against the leader, from which a configuration of
    /// `seeds` seeds counts as worse.
    #[must_use]
    pub fn margin(&self, seeds: usize) -> f64 {
        let error =
            self.deviation * (1.0 / seeds.max(1) as f64 + 1.0 / self.seeds.max(1) as f64).sqrt();
        student::critical(1.0 - 2.0 * LEVEL, self.df) * error
    }
}
