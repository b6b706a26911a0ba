//! Retention of checkpoints, and of private working directories, after trials have ended: `[run] keep
//! = "best and last"`.
//!
//! Under every setting, both are kept of a trial that may be resumed, retried or cloned, and of a
//! trial whose journal names a model in its checkpoint folder, or one in its private working
//! directory of which swath holds no copy.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use swath_model::study::{LogRecord, Origin, Score, Study, Trial, TrialId, TrialState};

/// Retention policy for checkpoints. The default keeps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    complete: bool,
    best: usize,
    last: usize,
    all: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            all: true,
            ..Self::NONE
        }
    }
}

impl Keep {
    const NONE: Self = Self {
        complete: false,
        best: 0,
        last: 0,
        all: false,
    };

    /// Parses a policy as written in the sweep file: `best:3 and last`.
    ///
    /// # Errors
    /// A message that says which word is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keep = Self::NONE;
        for word in text.split(" and ").map(str::trim) {
            let (name, count) = word.split_once(':').unwrap_or((word, "1"));
            let has_count = word.contains(':');
            let count: usize = count
                .parse()
                .map_err(|_| format!("`{count}` in `keep` is not a number of trials"))?;
            match name {
                "best" => keep.best = count,
                "last" => keep.last = count,
                "all" if !has_count => keep.all = true,
                "complete" if !has_count => keep.complete = true,
                "none" if !has_count => {}
                _ => return Err(format!("`keep` cannot be `{text}`")),
            }
        }
        Ok(keep)
    }

    /// Returns whether the policy keeps all checkpoints.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.all
    }

    /// Returns the candidates whose checkpoints may be deleted. Trials in `models` are always kept.
    /// Complete trials are also kept if the scheduler may clone them: when `clones` is set and the
    /// study is not `over`.
    #[must_use]
    pub fn expendable(
        self,
        study: &Study,
        candidates: &BTreeSet<TrialId>,
        models: &BTreeSet<TrialId>,
        clones: bool,
        over: bool,
    ) -> Vec<TrialId> {
        if self.all {
            return Vec::new();
        }
        let candidates: Vec<&Trial> = candidates
            .iter()
            .filter_map(|id| study.trial(*id))
            .collect();
        // A clone that has not ended may still read the checkpoint of its parent.
        let mut needed = models.clone();
        needed.extend(study.waiting().chain(study.running()).filter_map(|id| {
            match study.trial(id)?.origin {
                Origin::Cloned { from, .. } => Some(from),
                _ => None,
            }
        }));
        let mut complete = candidates.clone();
        complete.retain(|trial| is_complete(trial));
        if self.complete || (clones && !over) {
            needed.extend(complete.iter().map(|trial| trial.id));
        }
        needed.extend(self.best_of(study, &complete));
        complete.sort_by_key(|trial| {
            std::cmp::Reverse((trial.ended_at.map(|at| at.as_micros()), trial.id))
        });
        needed.extend(complete.iter().take(self.last).map(|trial| trial.id));
        // Trials in other states may be resumed or retried and need their checkpoints.
        candidates
            .into_iter()
            .filter(|trial| matches!(trial.state, TrialState::Complete | TrialState::Stopped))
            .filter(|trial| !trial.removed)
            .map(|trial| trial.id)
            .filter(|id| !needed.contains(id))
            .collect()
    }

    /// Returns the best trials by the first objective. With several objectives and `best` above 0,
    /// returns the whole Pareto front.
    fn best_of(self, study: &Study, complete: &[&Trial]) -> Vec<TrialId> {
        let objectives = &study.header().objectives;
        let mut scored: Vec<(Vec<f64>, TrialId)> = complete
            .iter()
            .filter_map(|trial| {
                let scores = trial.scores(objectives)?;
                Some((scores.into_iter().map(Score::get).collect(), trial.id))
            })
            .collect();
        if self.best == 0 || objectives.len() < 2 {
            scored.sort_by(|a, b| {
                a.0.iter()
                    .zip(&b.0)
                    .fold(a.1.cmp(&b.1), |tie, (a, b)| a.total_cmp(b).then(tie))
            });
            return scored
                .into_iter()
                .take(self.best)
                .map(|(_, id)| id)
                .collect();
        }
        scored
            .iter()
            .filter(|(own, _)| !scored.iter().any(|(other, _)| dominates(other, own)))
            .map(|(_, id)| *id)
            .collect()
    }
}

/// Returns whether one point dominates another. Scores are oriented: smaller is better for every
/// objective.
fn dominates(one: &[f64], other: &[f64]) -> bool {
    one.iter().zip(other).all(|(a, b)| a <= b) && one.iter().zip(other).any(|(a, b)| a < b)
}

/// Returns whether a trial is complete and counts: it still fits the space and was not removed.
fn is_complete(trial: &Trial) -> bool {
    trial.state == TrialState::Complete && !trial.outside
}

/// Returns the trials whose checkpoints contain a model recorded by any trial.
#[must_use]
pub fn models(study: &Study) -> BTreeSet<TrialId> {
    study
        .trials()
        .iter()
        .flat_map(|trial| &trial.records)
        .filter_map(model)
        .collect()
}

/// Returns the trial in whose checkpoints the model of a record lies, or `None` if the record names
/// no such model.
#[must_use]
pub fn model(record: &LogRecord) -> Option<TrialId> {
    match record {
        LogRecord::Model { model_path, .. } => in_checkpoints(Path::new(model_path)),
        _ => None,
    }
}

/// Returns whether a record names a model of which swath holds no copy: it is lost with the folder
/// in which the trial wrote it.
#[must_use]
pub fn is_unheld_model(record: &LogRecord) -> bool {
    matches!(
        record,
        LogRecord::Model {
            held: None,
            md5: Some(_),
            ..
        }
    )
}

/// Returns whether `entry`, a file or folder in a study or trial folder, is or contains a recorded
/// model.
///
/// Model paths are recorded relative to where the trials ran. Therefore only the last two names of
/// the entry (folder and name) are compared.
#[must_use]
pub fn is_model(study: &Study, entry: &Path) -> bool {
    let entry = names(entry);
    let Some(entry) = entry.last_chunk::<2>() else {
        return false;
    };
    study
        .trials()
        .iter()
        .flat_map(|trial| &trial.records)
        .any(|record| match record {
            LogRecord::Model { model_path, .. } => names(Path::new(model_path))
                .windows(2)
                .any(|pair| pair == entry),
            _ => false,
        })
}

/// Returns the trial in whose checkpoint folder a path lies: 7 for
/// `logs/digits/7/checkpoints/best.pt`. The location of the study does not matter.
fn in_checkpoints(path: &Path) -> Option<TrialId> {
    let names = names(path);
    let pair = names.windows(2).find(|pair| pair[1] == "checkpoints")?;
    pair[0].parse().ok().map(TrialId)
}

/// Returns the normal components of a path: the folders and the file.
fn names(path: &Path) -> Vec<&str> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::Exit;

    fn expendable(keep: &str, demo: &Demo) -> Vec<u32> {
        let all = demo.study.trials().iter().map(|trial| trial.id).collect();
        let expendable = Keep::parse(keep).unwrap().expendable(
            &demo.study,
            &all,
            &models(&demo.study),
            false,
            false,
        );
        expendable.into_iter().map(|id| id.0).collect()
    }

    /// Trial 1 has the objective 0.5, 2 is the best, 3 stopped, 4 failed, 5 is the last, 6 is
    /// running.
    fn demo() -> Demo {
        let mut demo = Demo::new(&[]);
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo.complete(&[], &[("val_loss", 0.1)]);
        for exit in [
            Exit::Stopped,
            Exit::Failed(swath_model::study::Failure::Code(1)),
        ] {
            let trial = demo.start(&[]);
            demo.report(trial, &[("val_loss", 0.2)]);
            demo.end(trial, exit);
        }
        demo.complete(&[], &[("val_loss", 0.3)]);
        demo.start(&[]);
        demo
    }

    #[test]
    fn requested_checkpoints_and_those_that_may_be_needed_are_kept() {
        let demo = demo();
        assert_eq!(expendable("all", &demo), Vec::<u32>::new());
        assert_eq!(expendable("complete", &demo), [3]);
        assert_eq!(expendable("best", &demo), [1, 3, 5]);
        assert_eq!(expendable("best and last", &demo), [1, 3]);
        assert_eq!(expendable("best:2", &demo), [1, 3]);
        assert_eq!(expendable("none", &demo), [1, 2, 3, 5]);
    }

    #[test]
    fn a_checkpoint_that_is_a_model_is_kept() {
        let mut demo = demo();
        let model_path = "logs/digits/3/checkpoints/best.pt".to_owned();
        let last = TrialId(6);
        demo.log(
            last,
            LogRecord::Model {
                model_path,
                md5: None,
                size: 0,
                step: None,
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        );
        assert_eq!(expendable("none", &demo), [1, 2, 5]);
    }

    #[test]
    fn checkpoints_that_may_be_cloned_are_kept_until_the_study_is_over() {
        let demo = demo();
        let all: BTreeSet<_> = demo.study.trials().iter().map(|trial| trial.id).collect();
        let keep = Keep::parse("best").unwrap();
        assert_eq!(
            keep.expendable(&demo.study, &all, &models(&demo.study), true, false),
            [TrialId(3)]
        );
        assert_eq!(
            keep.expendable(&demo.study, &all, &models(&demo.study), true, true)
                .len(),
            3
        );
    }

    #[test]
    fn a_policy_of_another_form_is_an_error() {
        for text in ["", "worst", "best:x", "all:3", "best, last"] {
            assert!(Keep::parse(text).is_err(), "{text}");
        }
    }
}
