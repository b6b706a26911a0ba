//! Racing: which configuration runs with another seed, and which is dropped because more seeds
//! could hardly make it the best.
//!
//! A configuration whose first trial is complete runs with `[replicate] seeds` seeds, before new
//! configurations are begun. It is dropped as soon as its mean of the first objective is worse than
//! that of the best proven configuration (one with all its seeds) beyond noise: by a one-sided
//! t-test of level [`LEVEL`] with the variance pooled over all configurations that ran more than
//! once. This is the t-test of irace (López-Ibáñez et al., 2016; Birattari, 2009) without pairing,
//! since every trial has a seed of its own, and with a pooled variance, so that one trial can be
//! judged. Without [`LEAST`] degrees of freedom, with several objectives, or while nothing is
//! proven, nothing is dropped.

use crate::numerics::student;
use crate::study::{Origin, Study, Trial, TrialId, TrialState};

/// How often a configuration that is as good as the best may be dropped at one look.
pub const LEVEL: f64 = 0.05;
/// Fewer degrees of freedom than this say too little of the noise.
pub const LEAST: f64 = 3.0;

/// What is known of the noise and of the best, to judge others by.
#[derive(Debug, Clone, PartialEq)]
pub struct Race {
    /// The best proven configuration.
    pub leader: TrialId,
    /// Its mean score.
    pub mean: f64,
    /// How many seeds that is of.
    pub seeds: usize,
    /// The standard deviation between seeds, pooled.
    pub deviation: f64,
    /// Its degrees of freedom.
    pub df: f64,
}

/// Returns the configuration that is to run with another seed, the earliest first; `None` if none
/// is, or the sweep has no replicates.
#[must_use]
pub fn next(study: &Study) -> Option<TrialId> {
    let wanted = study.header().replicate? as usize;
    let mut open = study.trials().iter().filter(|trial| {
        !matches!(trial.origin, Origin::Replicate(_) | Origin::Imported(_))
            && trial.state == TrialState::Complete
            && !trial.outside
            && wants(study, trial.id, wanted)
    });
    let first = open.next()?;
    let race = Race::of(study);
    let goes_on = |id: TrialId| race.as_ref().is_none_or(|race| !race.drops(study, id));
    std::iter::once(first)
        .chain(open)
        .map(|trial| trial.id)
        .find(|id| goes_on(*id))
}

/// Returns whether the total of trials has room for another one: for the next seed of a
/// configuration, or for a new configuration with all its seeds.
///
/// Seeds that running and complete configurations still need are set aside first. A paused
/// configuration may never be promoted, so nothing is set aside for it.
#[must_use]
pub fn has_room(study: &Study, most: Option<u64>) -> bool {
    let Some(most) = most else { return true };
    let room = most.saturating_sub(study.counted());
    let Some(wanted) = study.header().replicate else {
        return room > 0;
    };
    room > 0 && (next(study).is_some() || room >= reserved(study) + u64::from(wanted))
}

/// Returns how many trials the configurations need that were begun and may still become complete
/// with all their seeds.
fn reserved(study: &Study) -> u64 {
    let wanted = study.header().replicate.unwrap_or(1) as usize;
    let race = Race::of(study);
    let goes_on = |trial: &&Trial| {
        !matches!(trial.origin, Origin::Replicate(_) | Origin::Imported(_))
            && matches!(
                trial.state,
                TrialState::Waiting | TrialState::Running | TrialState::Complete
            )
            && !trial.outside
            && wants(study, trial.id, wanted)
            && race
                .as_ref()
                .is_none_or(|race| !race.drops(study, trial.id))
    };
    let missing = |trial: &Trial| (wanted - study.members(trial.id).count()) as u64;
    study.trials().iter().filter(goes_on).map(missing).sum()
}

/// Returns whether a configuration has fewer trials than wanted, none of which failed or was
/// stopped.
fn wants(study: &Study, head: TrialId, wanted: usize) -> bool {
    let ended_badly =
        |state: &TrialState| matches!(state, TrialState::Failed | TrialState::Stopped);
    study.members(head).count() < wanted
        && !study.members(head).any(|trial| ended_badly(&trial.state))
}

impl Race {
    /// Measures the noise and finds the leader; `None` if too little is known.
    #[must_use]
    pub fn of(study: &Study) -> Option<Self> {
        let [objective] = study.header().objectives.as_slice() else {
            return None;
        };
        let (mut squares, mut df) = (0.0, 0.0);
        for trial in study
            .trials()
            .iter()
            .filter(|trial| study.head(trial.id) == trial.id)
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

    /// Returns whether a configuration is worse than the leader beyond noise.
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

    /// Returns by how much the mean of so many seeds must be worse.
    #[must_use]
    pub fn margin(&self, seeds: usize) -> f64 {
        let error =
            self.deviation * (1.0 / seeds.max(1) as f64 + 1.0 / self.seeds.max(1) as f64).sqrt();
        student::critical(1.0 - 2.0 * LEVEL, self.df) * error
    }
}
