//! Replicates: trials of one configuration with different seeds. The first trial names the
//! configuration; the others say whose replicates they are.

use super::{Limit, Origin, Standing, Study, Trial, TrialId};

impl Study {
    /// Returns the trial that names the configuration of another: itself unless it is a replicate.
    #[must_use]
    pub fn head(&self, id: TrialId) -> TrialId {
        match self.trial(id).map(|trial| &trial.origin) {
            Some(Origin::Replicate(of)) => *of,
            _ => id,
        }
    }

    /// Returns the trials of a configuration, its first one first.
    pub fn members(&self, head: TrialId) -> impl Iterator<Item = &Trial> {
        let others = self.replicas.get(&head).into_iter().flatten();
        std::iter::once(head)
            .chain(others.copied())
            .filter_map(|id| self.trial(id))
    }

    /// Returns which replicate a trial is, from 1.
    #[must_use]
    pub fn replicate(&self, id: TrialId) -> usize {
        self.members(self.head(id))
            .position(|trial| trial.id == id)
            .map_or(1, |at| at + 1)
    }

    /// Returns the trials of a configuration that count: complete and in the space.
    pub fn complete(&self, head: TrialId) -> impl Iterator<Item = &Trial> {
        self.members(head).filter(|trial| trial.ranks())
    }

    /// Returns how good the configuration of trial `head` is; `None` if it is no first trial, or
    /// none of it is complete.
    #[must_use]
    pub fn standing(&self, head: TrialId) -> Option<Standing> {
        let objectives = &self.header.objectives;
        if self.head(head) != head {
            return None;
        }
        let mut scores = vec![0.0; objectives.len()];
        let mut seeds = 0;
        for trial in self.complete(head) {
            let found = trial.scores(objectives)?;
            seeds += 1;
            for (sum, score) in scores.iter_mut().zip(found) {
                // A running mean, so that no sum overflows.
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

    /// Returns by how much a configuration breaks the limits: of the mean over its complete trials.
    #[must_use]
    pub fn violation(&self, head: TrialId) -> f64 {
        let each = |limit: &Limit| match self.limited(head, limit) {
            Some(value) => limit.violation(value),
            None => f64::INFINITY,
        };
        self.header.limits.iter().map(each).sum()
    }

    /// Returns the mean of what a limit is about over the complete trials of a configuration;
    /// `None` if one of them did not report it.
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

    /// Notes that a trial is a replicate of another.
    pub(super) fn enrol(&mut self, id: TrialId, origin: &Origin) {
        if let Origin::Replicate(of) = origin {
            self.replicas.entry(*of).or_default().push(id);
        }
    }

    /// Makes the configuration of a trial that ended the incumbent if it is better than the one
    /// there is, or finds the best anew if it was that.
    pub(super) fn challenge(&mut self, id: TrialId) {
        let head = self.head(id);
        if self.header.objectives.is_empty() {
            return;
        }
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
        if beaten {
            self.best = Some(head);
        }
    }

    /// Finds the best configuration among all.
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
