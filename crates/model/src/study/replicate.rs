//! Replicates: trials of one configuration with different seeds. The first trial identifies the
//! configuration, and the origin of each later one refers to it.

use super::{Limit, Origin, Standing, Study, Trial, TrialId};

impl Study {
    /// Returns the first trial of the configuration of `id`, which identifies the configuration;
    /// for a trial that is no replicate, `id` itself.
    #[must_use]
    pub fn configuration(&self, id: TrialId) -> TrialId {
        let trial = self.trial(id);
        trial
            .and_then(|trial| trial.origin.first_of_configuration())
            .unwrap_or(id)
    }

    /// Returns all trials of a configuration, the first one first.
    pub fn replicates(&self, configuration: TrialId) -> impl Iterator<Item = &Trial> {
        let others = self.replicas.get(&configuration).into_iter().flatten();
        std::iter::once(configuration)
            .chain(others.copied())
            .filter_map(|id| self.trial(id))
    }

    /// Returns the number of a trial among the replicates of its configuration, from 1.
    #[must_use]
    pub fn replicate(&self, id: TrialId) -> usize {
        self.replicates(self.configuration(id))
            .position(|trial| trial.id == id)
            .map_or(1, |index| index + 1)
    }

    /// Returns the trials of a configuration that count: complete and inside the space.
    pub fn complete(&self, configuration: TrialId) -> impl Iterator<Item = &Trial> {
        self.replicates(configuration).filter(|trial| trial.ranks())
    }

    /// Returns the rank data of a configuration; `None` if `configuration` is not a first trial, or
    /// if no trial of the configuration is complete.
    #[must_use]
    pub fn standing(&self, configuration: TrialId) -> Option<Standing> {
        let objectives = &self.header.objectives;
        if self.configuration(configuration) != configuration {
            return None;
        }
        let mut scores = vec![0.0; objectives.len()];
        let mut seeds = 0;
        for trial in self.complete(configuration) {
            // A complete trial may lack an objective that a later edit of the sweep file added. Its
            // configuration is not ranked then.
            let trial_scores = trial.scores(objectives)?;
            seeds += 1;
            for (mean, score) in scores.iter_mut().zip(trial_scores) {
                // A running mean, because a sum could overflow.
                *mean += (score.get() - *mean) / seeds as f64;
            }
        }
        let requested_seeds = self.header.replicate.unwrap_or(1) as usize;
        let violation = self.violation(configuration);
        (seeds > 0).then_some(Standing {
            violation,
            proven: seeds >= requested_seeds,
            scores,
            seeds,
        })
    }

    /// Returns by how much a configuration violates the outcome constraints, measured on the means
    /// over its complete trials. Infinite if a constrained metric has no mean.
    #[must_use]
    pub fn violation(&self, configuration: TrialId) -> f64 {
        self.header
            .limits
            .iter()
            .map(|limit| limit.violation_of(self.constrained_mean(configuration, limit)))
            .sum()
    }

    /// Returns the mean of a constrained metric over the complete trials of a configuration; `None`
    /// if one of them did not report the metric.
    #[must_use]
    pub fn constrained_mean(&self, configuration: TrialId, limit: &Limit) -> Option<f64> {
        let mut mean = 0.0;
        let mut count = 0.0;
        for trial in self.complete(configuration) {
            count += 1.0;
            mean += (trial.constrained_value(limit)? - mean) / count;
        }
        (count > 0.0).then_some(mean)
    }

    /// Registers a trial with its configuration if its origin is a replicate.
    pub(super) fn register_replicate(&mut self, id: TrialId, origin: &Origin) {
        if let Some(first) = origin.first_of_configuration() {
            self.replicas.entry(first).or_default().push(id);
        }
    }

    /// Makes the configuration of a trial that ended the incumbent if it beats the present one. If
    /// it already is the incumbent, the best configuration is searched again.
    pub(super) fn update_incumbent(&mut self, id: TrialId) {
        let configuration = self.configuration(id);
        if self.header.objectives.is_empty() {
            return;
        }
        // Another replicate may have lowered the incumbent's mean, so all configurations compete
        // again.
        if self.best == Some(configuration) {
            return self.recompute_incumbent();
        }
        let Some(standing) = self.standing(configuration) else {
            return;
        };
        let wins = match self.best.map(|best| (best, self.standing(best))) {
            None | Some((_, None)) => true,
            Some((incumbent, Some(best))) => {
                standing.beats(&best) || (!best.beats(&standing) && configuration < incumbent)
            }
        };
        // Ties go to the lower id, so that the result does not depend on the order in which trials
        // end.
        if wins {
            self.best = Some(configuration);
        }
    }

    /// Searches all configurations for the incumbent.
    pub(super) fn recompute_incumbent(&mut self) {
        let mut best: Option<(TrialId, Standing)> = None;
        for trial in &self.trials {
            let Some(standing) = self.standing(trial.id) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, best)| standing.beats(best)) {
                best = Some((trial.id, standing));
            }
        }
        self.best = best
            .map(|(id, _)| id)
            .filter(|_| !self.header.objectives.is_empty());
    }
}
