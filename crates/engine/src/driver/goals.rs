//! The goals of a sweep: the `target` of each objective, and `patience` with trials that bring
//! nothing better.

use super::Goals;
use super::component::Component;
use swath_model::study::{Closing, Event, Origin, Study, TrialId, TrialState};

/// The goals, and how far the study is from them.
#[derive(Default)]
pub(super) struct GoalWatch {
    goals: Goals,
    /// Whether a configuration has reached all targets.
    is_reached: bool,
    /// The configurations that no other one dominates, with their scores. With a single objective
    /// this is the best one.
    front: Vec<(TrialId, Vec<f64>)>,
    /// Number of trials that have ended since the front last improved.
    idle: u64,
}

impl Component for GoalWatch {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Ended { trial, .. } => self.note_end(study, *trial),
            // The trial ends again, and is then counted again.
            Event::Requeued { .. } => self.idle = self.idle.saturating_sub(1),
            _ => {}
        }
    }
}

impl GoalWatch {
    /// Returns the state that following the study's events so far would have led to.
    pub(super) fn of(goals: Goals, study: &Study) -> Self {
        let mut watch = Self {
            goals,
            ..Self::default()
        };
        if watch.has_goals() {
            let mut trials: Vec<_> = study.trials().iter().collect();
            trials.sort_by_key(|trial| (trial.ended_at, trial.id));
            for trial in trials {
                watch.note_end(study, trial.id);
            }
        }
        watch
    }

    fn has_goals(&self) -> bool {
        self.goals.patience.is_some() || self.goals.targets.iter().any(Option::is_some)
    }

    /// Returns the goal that ends the sweep, if it is reached.
    pub(super) fn closing(&self) -> Option<Closing> {
        if self.is_reached {
            return Some(Closing::TargetReached);
        }
        let patience = self.goals.patience?;
        (self.idle >= patience).then_some(Closing::Patience)
    }

    fn note_end(&mut self, study: &Study, id: TrialId) {
        let Some(trial) = study
            .trial(id)
            .filter(|trial| self.has_goals() && trial.state.is_final() && !trial.outside)
        else {
            return;
        };
        let configuration = study.configuration(id);
        let standing = study
            .standing(configuration)
            .filter(|standing| trial.state == TrialState::Complete && standing.violation == 0.0);
        let improves = standing.as_ref().is_some_and(|standing| {
            self.is_reached |= standing.proven && self.reaches(study, &standing.scores);
            self.enter(configuration, &standing.scores)
        });
        if improves {
            self.idle = 0;
        } else if !matches!(trial.origin, Origin::Imported(_)) {
            self.idle += 1;
        }
    }

    /// Returns whether the scores reach all targets, of which there is at least one.
    fn reaches(&self, study: &Study, scores: &[f64]) -> bool {
        let objectives = &study.header().objectives;
        let mut bounds = self
            .goals
            .targets
            .iter()
            .zip(objectives)
            .zip(scores)
            .filter_map(|((target, objective), score)| {
                Some((objective.score((*target)?)?.get(), *score))
            })
            .peekable();
        bounds.peek().is_some() && bounds.all(|(target, score)| score <= target)
    }

    /// Enters a configuration into the front. Returns whether the front is better for it: no
    /// configuration, its own earlier means included, was at least as good in every objective.
    fn enter(&mut self, configuration: TrialId, scores: &[f64]) -> bool {
        let is_covered = self.front.iter().any(|(_, other)| covers(other, scores));
        self.front
            .retain(|(other, earlier)| *other != configuration && !covers(scores, earlier));
        if !self.front.iter().any(|(_, other)| covers(other, scores)) {
            self.front.push((configuration, scores.to_vec()));
        }
        !is_covered
    }
}

/// Returns whether `one` is at least as good as `other` in every objective.
fn covers(one: &[f64], other: &[f64]) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::Exit;

    fn watch(losses: &[f64], goals: &Goals) -> (Option<Closing>, Option<Closing>) {
        let mut demo = Demo::new(&[]);
        let mut followed = GoalWatch::of(goals.clone(), &demo.study);
        for loss in losses {
            let trial = demo.start(&[]);
            demo.report(trial, &[("val_loss", *loss)]);
            demo.end(trial, Exit::Done);
            followed.on(&demo.study, &demo.entries.last().unwrap().event);
        }
        let read = GoalWatch::of(goals.clone(), &demo.study);
        (followed.closing(), read.closing())
    }

    #[test]
    fn a_target_and_an_end_of_patience_are_noticed_live_and_after_a_restart() {
        let target = Goals {
            targets: vec![Some(0.5)],
            patience: None,
        };
        let patience = Goals {
            targets: vec![None],
            patience: Some(3),
        };
        for (goals, losses, expected) in [
            (&target, &[0.9, 0.6][..], None),
            (&target, &[0.9, 0.5, 0.7], Some(Closing::TargetReached)),
            (&patience, &[0.5, 0.6, 0.5, 0.4, 0.4, 0.9], None),
            (
                &patience,
                &[0.5, 0.6, f64::NAN, 0.5],
                Some(Closing::Patience),
            ),
        ] {
            assert_eq!(
                watch(losses, goals),
                (expected.clone(), expected),
                "{losses:?}"
            );
        }
    }

    #[test]
    fn with_several_objectives_a_trial_brings_something_if_none_dominates_it() {
        let mut watch = GoalWatch::default();
        let mut enter = |id: u32, scores: &[f64]| watch.enter(TrialId(id), scores);
        assert!(enter(1, &[1.0, 5.0]));
        assert!(enter(2, &[5.0, 1.0]));
        assert!(!enter(3, &[5.0, 5.0]) && !enter(4, &[5.0, 1.0]));
        assert!(enter(5, &[2.0, 2.0]));
        assert!(!enter(1, &[1.5, 5.0]), "another seed made its mean worse");
    }
}
