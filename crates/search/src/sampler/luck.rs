//! The best result that is good by luck: with noise, the best of many results is better than its
//! configuration, and another configuration may be the best one.

use super::history::History;
use super::outlook::{EXPLAINED, Model};
use super::surrogate::Scratch;
use swath_model::study::{Score, Setting, Study, TrialId};
use swath_numerics::normal;

/// Least standard deviation of the noise that is large, as a share of that of the results.
const LARGE_NOISE: f64 = 0.1;
/// Most trials of a study that is looked at: the history of more would take `best` and the end of a
/// run more memory and time than all else that they do.
const MOST_TRIALS: usize = 1000;
/// Least probability that another configuration is better.
const CONFIDENCE: f64 = 0.9;

/// The trial with the best result, and another one of which a model expects clearly more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LuckyBest {
    /// The trial with the best result.
    pub best: TrialId,
    /// The expected objective of its configuration.
    pub best_mean: f64,
    /// The trial whose configuration is expected to be the best among the tried ones.
    pub rival: TrialId,
    /// The expected objective of that configuration.
    pub rival_mean: f64,
    /// The probability that the rival's configuration is better.
    pub probability: f64,
    /// The standard deviation of the noise of one result.
    pub noise: f64,
    /// Number of configurations in the model.
    pub trials: usize,
}

impl LuckyBest {
    /// Compares the expected objective of the best trial with those of the others, by the model of
    /// [`Outlook`](super::Outlook). `None` where the model does not apply, where it finds little
    /// noise, where no other configuration is better with a probability of at least 0.9, and in
    /// studies of over 1,000 trials.
    #[must_use]
    pub fn of(setting: &Setting, study: &Study) -> Option<Self> {
        if study.trials().len() > MOST_TRIALS {
            return None;
        }
        let history = History::of(setting, study);
        let model = Model::fitted(&history, study).filter(|model| model.noise >= LARGE_NOISE)?;
        let mut scratch = Scratch::default();
        let means = model
            .rows
            .iter()
            .map(|(row, _)| model.posterior.mean(row, &mut scratch));
        let (rival, _) = means
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .filter(|(rival, _)| *rival != 0)?;
        let rows = [0, rival].map(|at| model.rows[at].0.clone());
        let (means, factor) = model.posterior.joint(&rows)?;
        let (first, second) = (factor.row(0), factor.row(1));
        let deviation = libm::hypot(first[0] - second[0], second[1]);
        let probability = normal::cdf((means[0] - means[1]) / deviation);
        let best = TrialId(model.members[0] + 1);
        let is_best = study.incumbent().map(|trial| trial.id) == Some(best);
        if !is_best || probability.is_nan() || probability < CONFIDENCE {
            return None;
        }
        // Such a model takes what it cannot explain for noise.
        model
            .explained()
            .filter(|explained| *explained >= EXPLAINED)?;
        let objective = setting.objectives.first()?;
        let [best_mean, rival_mean] = [means[0], means[1]]
            .map(|mean| objective.value(Score::of(model.mean + model.scale * mean)));
        Some(Self {
            best,
            best_mean,
            rival: TrialId(model.members[rival] + 1),
            rival_mean,
            probability,
            noise: model.noise * model.scale,
            trials: model.rows.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::LuckyBest;
    use crate::sampler::outlook::tests::{bowl, setting, square};
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::TrialId;

    /// Adds a trial high in the bowl with a loss below all others.
    fn add_lucky_trial(demo: &mut Demo) -> TrialId {
        let params = [("x", Value::Float(0.9)), ("y", Value::Float(0.6))];
        demo.complete(&params, &[("val_loss", -0.4)])
    }

    #[test]
    fn a_lucky_result_far_from_the_bottom_is_found_and_another_trial_is_expected_to_be_better() {
        let space = square();
        let (mut demo, _) = bowl(80, 0.2, 2.0, 3);
        let lucky = add_lucky_trial(&mut demo);
        let luck = LuckyBest::of(&setting(&demo, &space), &demo.study).unwrap();
        assert_eq!(luck.best, lucky);
        assert!(luck.rival_mean < luck.best_mean, "{luck:?}");
        assert!(luck.probability > 0.9, "{luck:?}");
        assert!((0.1..0.4).contains(&luck.noise), "{luck:?}");
    }

    #[test]
    fn a_best_result_near_the_bottom_is_not_called_luck() {
        let space = square();
        let silent = (0..12).filter(|seed| {
            let (demo, _) = bowl(60, 0.3, 2.0, *seed);
            LuckyBest::of(&setting(&demo, &space), &demo.study).is_none()
        });
        assert!(silent.count() >= 11);
    }

    #[test]
    fn without_noise_no_result_is_called_luck() {
        let space = square();
        for seed in 0..10 {
            let (demo, _) = bowl(60, 0.0, 1.0, seed);
            assert_eq!(LuckyBest::of(&setting(&demo, &space), &demo.study), None);
        }
    }

    #[test]
    fn a_study_of_more_than_a_thousand_trials_is_not_looked_at() {
        let (mut demo, _) = bowl(1000, 0.2, 2.0, 3);
        add_lucky_trial(&mut demo);
        assert_eq!(LuckyBest::of(&setting(&demo, &square()), &demo.study), None);
    }

    #[test]
    fn results_that_are_all_noise_are_not_called_luck() {
        let space = square();
        let silent = (0..20).filter(|seed| {
            let (demo, _) = bowl(30, 1.0, 0.0, *seed);
            LuckyBest::of(&setting(&demo, &space), &demo.study).is_none()
        });
        assert_eq!(silent.count(), 20);
    }
}
