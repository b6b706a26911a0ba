//! Ranking of trials: by the first objective, or by non-domination in all objectives.

use swath_model::study::{Standing, Study, Trial};

/// Returns the `count` best trials by the first objective, the best first. Among equals the earlier
/// trial comes first. A configuration with several seeds is represented by its first trial and
/// ranked by its mean. Trials that satisfy the outcome constraints come before those that violate
/// them.
#[must_use]
pub fn best(study: &Study, count: usize) -> Vec<&Trial> {
    study.best(count)
}

/// Returns the standing of each configuration that satisfies the outcome constraints, the best
/// first. Returns all configurations if none satisfies them.
#[must_use]
pub fn feasible(study: &Study) -> Vec<(Standing, &Trial)> {
    let mut ranked = study.standings();
    // The ranking puts feasible configurations first, so the first one tells whether there is any.
    if ranked
        .first()
        .is_some_and(|(best, _)| best.violation == 0.0)
    {
        ranked.retain(|(standing, _)| standing.violation == 0.0);
    }
    ranked
}

/// Returns the Pareto front: the non-dominated trials, the best in the first objective first. A
/// trial is dominated if another is better in one objective and at least as good in all others. If
/// any configuration satisfies the outcome constraints, only such configurations are considered.
#[must_use]
pub fn pareto(study: &Study) -> Vec<&Trial> {
    let mut front: Vec<(Vec<f64>, &Trial)> = Vec::new();
    for (standing, trial) in feasible(study) {
        let scores = standing.scores;
        if front.iter().any(|(other, _)| dominates(other, &scores)) {
            continue;
        }
        front.retain(|(other, _)| !dominates(&scores, other));
        front.push((scores, trial));
    }
    front.into_iter().map(|(_, trial)| trial).collect()
}

/// Returns whether `one` dominates `other`. Smaller scores are better.
fn dominates(one: &[f64], other: &[f64]) -> bool {
    let mut pairs = one.iter().zip(other);
    pairs.clone().all(|(a, b)| a <= b) && pairs.any(|(a, b)| a < b)
}

#[cfg(test)]
mod tests {
    use super::{best, pareto};
    use swath_model::demo::{Demo, objective};
    use swath_model::study::{Exit, Goal, Trial};

    fn ids(trials: &[&Trial]) -> Vec<u32> {
        trials.iter().map(|trial| trial.id.0).collect()
    }

    #[test]
    fn trials_are_ranked_by_their_objective_and_equals_by_id() {
        let mut demo = Demo::with(&[], vec![objective("acc", Goal::Max)]);
        for acc in [0.5, 0.9, 0.9, 0.1] {
            demo.complete(&[], &[("acc", acc)]);
        }
        let stopped = demo.start(&[]);
        demo.report(stopped, &[("acc", 1.0)]);
        demo.end(stopped, Exit::Stopped);
        assert_eq!(ids(&best(&demo.study, 3)), [2, 3, 1]);
        assert_eq!(demo.study.incumbent().map(|trial| trial.id.0), Some(2));
    }

    #[test]
    fn the_front_holds_exactly_the_non_dominated_trials() {
        let objectives = vec![objective("loss", Goal::Min), objective("speed", Goal::Max)];
        let mut demo = Demo::with(&[], objectives);
        for (loss, speed) in [
            (0.5, 10.0),
            (0.3, 5.0),
            (0.6, 9.0),
            (0.9, 20.0),
            (0.3, 4.0),
            (0.3, 5.0),
        ] {
            demo.complete(&[], &[("loss", loss), ("speed", speed)]);
        }
        assert_eq!(ids(&pareto(&demo.study)), [2, 6, 1, 4]);
    }
}
