//! The ranking of trials by their results.

use super::{Standing, Study, Trial};

impl Study {
    /// Returns the `count` best trials by the first objective and its goal, the best first and the
    /// earlier of equals first. A configuration with several seeds is represented by its first
    /// trial and ranked by the mean. Trials that satisfy the outcome constraints come before those
    /// that violate one. Only complete trials inside the space count; a trial that failed or
    /// reported no finite objective is never included.
    #[must_use]
    pub fn best(&self, count: usize) -> Vec<&Trial> {
        self.standings()
            .into_iter()
            .take(count)
            .map(|(_, trial)| trial)
            .collect()
    }

    /// Returns the rank data and the first trial of each ranked configuration, the best first.
    /// Empty if the sweep has no objective.
    #[must_use]
    pub fn standings(&self) -> Vec<(Standing, &Trial)> {
        if self.header().objectives.is_empty() {
            return Vec::new();
        }
        let mut ranked: Vec<(Standing, &Trial)> = self
            .trials()
            .iter()
            .filter_map(|trial| Some((self.standing(trial.id)?, trial)))
            .collect();
        ranked.sort_by(|a, b| a.0.compare(&b.0).then(a.1.id.cmp(&b.1.id)));
        ranked
    }
}

#[cfg(feature = "spaces")]
#[cfg(test)]
mod tests {
    use crate::demo::Demo;
    use crate::study::{Exit, Goal, Objective, Take};

    /// Returns the ids of the best `count` trials, each of which reported these losses.
    fn best(goal: Goal, take: Take, trials: &[&[f64]], count: usize) -> Vec<u32> {
        let objective = Objective {
            metric: "loss".into(),
            goal,
            take,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        for losses in trials {
            let trial = demo.start(&[]);
            for loss in *losses {
                demo.report(trial, &[("loss", *loss)]);
            }
            demo.end(trial, Exit::Done);
        }
        let ranked = demo.study.best(count);
        ranked.iter().map(|trial| trial.id.0).collect()
    }

    #[test]
    fn the_best_follow_the_goal_and_a_trial_without_a_finite_value_is_never_one() {
        let trials: &[&[f64]] = &[&[0.5], &[f64::NAN], &[0.1, 0.9], &[], &[0.5]];
        assert_eq!(best(Goal::Min, Take::Best, trials, 2), [3, 1]);
        assert_eq!(best(Goal::Max, Take::Best, trials, 2), [3, 1]);
        let rising: &[&[f64]] = &[&[0.1], &[0.2], &[0.3]];
        assert_eq!(best(Goal::Max, Take::Last, rising, 2), [3, 2]);
    }
}
