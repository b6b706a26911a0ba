//! Replicates: trials of one configuration with different seeds. The first trial identifies the
//! configuration, and the origin of each later one refers to it.

use super::{Limit, Origin, Standing, Study, Trial, TrialId};

impl Study {
    /// Returns the first trial of the configuration of `id`; for a trial that is no replicate, `id`
    /// itself.
    #[must_use]
    pub fn head(&self, id: TrialId) -> TrialId {
        match self.trial(id).map(|trial| &trial.origin) {
            Some(Origin::Replicate(of)) => *of,
            _ => id,
        }
    }

    /// Returns all trials of a configuration, the first one first.
    pub fn members(&self, head: TrialId) -> impl Iterator<Item = &Trial> {
        let others = self.replicas.get(&head).into_iter().flatten();
        std::iter::once(head)
            .chain(others.copied())
            .filter_map(|id| self.trial(id))
    }

    /// Returns the number of a trial among the replicates of its configuration, from 1.
    #[must_use]
    pub fn replicate(&self, id: TrialId) -> usize {
        self.members(self.head(id))
            .position(|trial| trial.id == id)
            .map_or(1, |at| at + 1)
    }

    /// Returns the trials of a configuration that count: complete and inside the space.
    pub fn complete(&self, head: TrialId) -> impl Iterator<Item = &Trial> {
        self.members(head).filter(|trial| trial.ranks())
    }

    /// Returns the rank data of the configuration whose first trial is `head`; `None` if `head` is
    /// not a first trial, or if no trial of the configuration is complete.
    #[must_use]
    pub fn standing(&self, head: TrialId) -> Option<Standing> {
        let objectives = &self.header.objectives;
        if self.head(head) != head {
            return None;
        }
        let mut scores = vec![0.0; objectives.len()];
        let mut seeds = 0;
        for trial in self.complete(head) {
            // A complete trial may lack an objective that a later edit of the sweep file added. Its
            // configuration is not ranked then.
            let found = trial.scores(objectives)?;
            seeds += 1;
            for (sum, score) in scores.iter_mut().zip(found) {
                // A running mean, because a sum could overflow.
                *sum += (score.get() - *sum) / seeds as f64;
            }
        }
        let wanted = self.header.replicate.unwrap_or(1) as usize;
        let violation = self.violation(head);
        (seeds > 0).then_some(Standing {
            violation,
            proven: seeds >= wanted,
            scores,
            seeds,
        })
    }

    /// Returns by how much a configuration violates the outcome constraints, measured on the means
    /// over its complete trials. Infinite if a constrained metric has no mean.
    #[must_use]
    pub fn violation(&self, head: TrialId) -> f64 {
        let each = |limit: &Limit| match self.limited(head, limit) {
            Some(value) => limit.violation(value),
            None => f64::INFINITY,
        };
        self.header.limits.iter().map(each).sum()
    }

    /// Returns the mean of a constrained metric over the complete trials of a configuration; `None`
    /// if one of them did not report the metric.
    #[must_use]
    pub fn limited(&self, head: TrialId, limit: &Limit) -> Option<f64> {
        let mut mean = 0.0;
        let mut count = 0.0;
        for trial in self.complete(head) {
            count += 1.0;
            mean += (trial.limited(limit)? - mean) / count;
        }
        (count > 0.0).then_some(mean)
    }

    /// Registers a trial with its configuration if its origin is a replicate.
    pub(super) fn enrol(&mut self, id: TrialId, origin: &Origin) {
        if let Origin::Replicate(of) = origin {
            self.replicas.entry(*of).or_default().push(id);
        }
    }

    /// Makes the configuration of a trial that ended the incumbent if it beats the present one. If
    /// it already is the incumbent, the best configuration is searched again.
    pub(super) fn challenge(&mut self, id: TrialId) {
        let head = self.head(id);
        if self.header.objectives.is_empty() {
            return;
        }
        // Another replicate may have lowered the incumbent's mean, so all configurations compete
        // again.
        if self.best == Some(head) {
            return self.elect();
        }
        let Some(standing) = self.standing(head) else {
            return;
        };
        let beaten = match self.best.map(|best| (best, self.standing(best))) {
            None | Some((_, None)) => true,
            Some((by, Some(best))) => {
                standing.beats(&best) || (!best.beats(&standing) && head < by)
            }
        };
        // Ties go to the lower id, so that the result does not depend on the order in which trials
        // end.
        if beaten {
            self.best = Some(head);
        }
    }

    /// Searches all configurations for the incumbent.
    pub(super) fn elect(&mut self) {
        let mut best: Option<(TrialId, Standing)> = None;
        for trial in &self.trials {
            let Some(standing) = self.standing(trial.id) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, known)| standing.beats(known)) {
                best = Some((trial.id, standing));
            }
        }
        self.best = best
            .map(|(id, _)| id)
            .filter(|_| !self.header.objectives.is_empty());
    }
}
