//! Selection of trials: `12`, `3-9`, `last`, `best`, `best:5`, `failed`, separated by commas, and
//! the condition of `--where`.

use super::formula::study::ReadError;
use super::formula::{self, Formula, FormulaError, ReportHistory, TrialCells};
use super::{rank, row};
use std::collections::BTreeSet;
use std::str::FromStr;
use swath_engine::journal::StudyDir;
use swath_model::source::diagnostic::nearest;
use swath_model::space::expr::Type;
use swath_model::study::{Study, Trial, TrialId, TrialState};

/// All states that a selector can name.
const STATES: [TrialState; 7] = [
    TrialState::Waiting,
    TrialState::Running,
    TrialState::Paused,
    TrialState::Complete,
    TrialState::Stopped,
    TrialState::Failed,
    TrialState::Invalid,
];

/// A selection of trials, as typed on the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    parts: Vec<Part>,
}

/// One of the comma-separated parts of a selector.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// All trials outside the trash.
    All,
    /// The trials from the first to the second id, both included.
    Range(u32, u32),
    /// The trials in this state.
    State(TrialState),
    /// The last trials by id, at most this many.
    Last(usize),
    /// The best trials, at most this many; see [`rank::best`].
    Best(usize),
    /// The Pareto front; see [`rank::pareto`].
    Pareto,
    /// The trials that do not count because they no longer fit the space.
    Outside,
}

/// Error of a selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The word is not a selector.
    #[error("`{0}` is not a selection of trials")]
    Unknown(String),
    /// The first id of the range is larger than the last.
    #[error("`{0}` ends before it begins")]
    Backwards(String),
    /// The study has no trial of this id; the second value is the highest id.
    #[error("there is no trial {0}; the last one is {1}")]
    NoSuchTrial(TrialId, usize),
}

impl SelectError {
    /// Returns a hint for the user: the nearest known word or the forms of a selector. `None` if
    /// the message says enough.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown(word) => {
                let words = ["all", "last", "best", "pareto", "outside"];
                let words = words.into_iter().chain(STATES.iter().map(TrialState::word));
                Some(match nearest(word, words) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `12`, `3-9`, `last`, `last:5`, `best`, `best:5`, `failed`, \
                             `running`, `complete`…, with commas between them"
                        .to_owned(),
                })
            }
            _ => None,
        }
    }
}

impl Selector {
    /// Parses the text of a selector.
    ///
    /// # Errors
    /// If a part of the text is not a selector.
    pub fn parse(text: &str) -> Result<Self, SelectError> {
        let parts = text
            .split(',')
            .map(str::trim)
            .map(part)
            .collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Returns the selected trials, each once, in the order of the parts. Ranges and states are
    /// sorted by id, `best:5` by rank.
    ///
    /// # Errors
    /// If a single id, or the first id of a range, does not exist.
    pub fn select<'a>(&self, study: &'a Study) -> Result<Vec<&'a Trial>, SelectError> {
        let mut seen = BTreeSet::new();
        let mut selected = Vec::new();
        for part in &self.parts {
            let trials = part.select(study)?.into_iter();
            selected.extend(trials.filter(|trial| seen.insert(trial.id)));
        }
        Ok(selected)
    }
}

impl Part {
    fn select<'a>(&self, study: &'a Study) -> Result<Vec<&'a Trial>, SelectError> {
        let trials = study.trials();
        let all = trials.iter().filter(|trial| !trial.removed);
        Ok(match self {
            Self::All => all.collect(),
            Self::State(state) => all.filter(|trial| trial.state == *state).collect(),
            Self::Outside => all.filter(|trial| trial.outside).collect(),
            Self::Last(count) => {
                let all: Vec<_> = all.collect();
                all[all.len().saturating_sub(*count)..].to_vec()
            }
            Self::Best(count) => rank::best(study, *count),
            Self::Pareto => rank::pareto(study),
            Self::Range(from, to) => {
                let last = trials.len();
                let start = *from as usize;
                if start == 0 || start > last {
                    return Err(SelectError::NoSuchTrial(TrialId(*from), last));
                }
                // A trial that is selected by its own id is returned even if it is in the trash.
                let range = trials[start - 1..last.min(*to as usize)].iter();
                range.filter(|trial| from == to || !trial.removed).collect()
            }
        })
    }
}

/// Parses one part of a selector.
fn part(word: &str) -> Result<Part, SelectError> {
    if let Some(state) = STATES.iter().find(|state| state.word() == word) {
        return Ok(Part::State(state.clone()));
    }
    if word.starts_with(|char: char| char.is_ascii_digit()) {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let (from, to) = (number(from, word)?, number(to, word)?);
        return if from <= to {
            Ok(Part::Range(from, to))
        } else {
            Err(SelectError::Backwards(word.to_owned()))
        };
    }
    let (name, count) = word.split_once(':').unwrap_or((word, "1"));
    let count = number(count, word)?;
    match (name, word.contains(':')) {
        ("best", _) => Ok(Part::Best(count)),
        ("last", _) => Ok(Part::Last(count)),
        ("all", false) => Ok(Part::All),
        ("pareto", false) => Ok(Part::Pareto),
        ("outside", false) => Ok(Part::Outside),
        _ => Err(SelectError::Unknown(word.to_owned())),
    }
}

/// Parses a number in the part `word` of a selector.
fn number<N: FromStr>(text: &str, word: &str) -> Result<N, SelectError> {
    text.parse()
        .map_err(|_| SelectError::Unknown(word.to_owned()))
}

/// A condition of `--where`, checked against the names of a study, with the reports that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    formula: Formula,
    history: ReportHistory,
}

impl Condition {
    /// Parses an expression, checks its names and types, and reads the reports that it needs.
    ///
    /// # Errors
    /// If the expression cannot be parsed, can have no value in this study, or is not boolean; or
    /// if the reports cannot be read.
    pub fn parse(text: &str, study: &Study, dir: &StudyDir) -> Result<Self, ReadError> {
        let names = row::vocabulary(study);
        let formula = Formula::parse(text, &names).map_err(in_where)?;
        let result = formula::study::check(&formula, study, &names).map_err(in_where)?;
        let history = ReportHistory::read(dir, study, [&formula])?;
        formula::study::check_reports(&formula, study, &history).map_err(in_where)?;
        match result {
            Type::Bool | Type::Any => Ok(Self { formula, history }),
            _ => Err(in_where(FormulaError::new(
                text,
                "is neither true nor false",
                None,
            ))),
        }
    }

    /// Returns whether the condition holds for a trial. A condition without a value does not hold.
    #[must_use]
    pub fn holds(&self, study: &Study, trial: &Trial) -> bool {
        self.formula.holds(&TrialCells {
            study,
            trial,
            history: &self.history,
        })
    }
}

/// Shows that the error is in `--where`.
fn in_where(error: FormulaError) -> ReadError {
    ReadError::Formula(FormulaError {
        text: format!("--where {}", error.text),
        ..error
    })
}

#[cfg(test)]
mod tests {
    use super::{Condition, FormulaError, ReadError, SelectError, Selector};
    use swath_engine::journal::StudyDir;
    use swath_model::demo::{Demo, text};
    use swath_model::space::Value;
    use swath_model::study::{Exit, Failure};

    /// Six trials: three complete ones with losses 0.5, 0.2 and 0.9, one failed, one with a NaN
    /// loss, one running.
    fn demo() -> Demo {
        let mut demo = Demo::new(&["optimizer", "momentum"]);
        for (optimizer, loss) in [("sgd", 0.5), ("adam", 0.2), ("sgd", 0.9)] {
            demo.complete(
                &[
                    ("optimizer", text(optimizer)),
                    ("momentum", Value::Float(loss)),
                ],
                &[("val_loss", loss)],
            );
        }
        let failed = demo.start(&[("optimizer", text("adam"))]);
        demo.end(failed, Exit::Failed(Failure::Code(3)));
        let nan = demo.start(&[("optimizer", text("sgd"))]);
        demo.report(nan, &[("val_loss", f64::NAN)]);
        demo.end(nan, Exit::Done);
        demo.start(&[("optimizer", text("sgd"))]);
        demo
    }

    fn chosen(selector: &str) -> Result<Vec<u32>, SelectError> {
        let demo = demo();
        let selected = Selector::parse(selector)?.select(&demo.study)?;
        Ok(selected.iter().map(|trial| trial.id.0).collect())
    }

    fn holds(condition: &str) -> Result<Vec<u32>, FormulaError> {
        holds_in(&demo(), condition)
    }

    fn holds_in(demo: &Demo, condition: &str) -> Result<Vec<u32>, FormulaError> {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let lines: Vec<_> = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        std::fs::write(dir.journal(), lines.concat()).unwrap();
        let condition = match Condition::parse(condition, &demo.study, &dir) {
            Ok(condition) => condition,
            Err(ReadError::Formula(error)) => return Err(error),
            Err(ReadError::Journal(error)) => panic!("{error}"),
        };
        let trials = demo.study.trials().iter();
        Ok(trials
            .filter(|trial| condition.holds(&demo.study, trial))
            .map(|trial| trial.id.0)
            .collect())
    }

    #[test]
    fn trials_are_named_by_number_range_state_and_rank() {
        assert_eq!(chosen("2"), Ok(vec![2]));
        assert_eq!(chosen("5-99"), Ok(vec![5, 6]));
        assert_eq!(chosen("failed"), Ok(vec![4, 5]));
        assert_eq!(chosen("best"), Ok(vec![2]));
        assert_eq!(chosen("best:2"), Ok(vec![2, 1]));
        assert_eq!(chosen("last"), Ok(vec![6]));
        assert_eq!(chosen("running, best, 1-2"), Ok(vec![6, 2, 1]));
    }

    #[test]
    fn an_invalid_selector_is_an_error_with_a_hint() {
        assert_eq!(
            chosen("0"),
            Err(SelectError::NoSuchTrial(super::TrialId(0), 6))
        );
        assert_eq!(
            chosen("7"),
            Err(SelectError::NoSuchTrial(super::TrialId(7), 6))
        );
        assert_eq!(chosen("9-3"), Err(SelectError::Backwards("9-3".into())));
        let error = chosen("faild").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("did you mean `failed`?"));
        for nonsense in [
            "",
            ",",
            "1-",
            "best:",
            "best:x",
            "-1",
            "3-x",
            "99999999999",
            "all:2",
        ] {
            assert!(
                matches!(chosen(nonsense), Err(SelectError::Unknown(_))),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn a_condition_sees_parameters_metrics_and_state() {
        assert_eq!(holds("val_loss < 0.6 and optimizer == 'sgd'"), Ok(vec![1]));
        assert_eq!(holds("state == 'failed'"), Ok(vec![4, 5]));
        assert_eq!(holds("trial in [1, 6]"), Ok(vec![1, 6]));
    }

    #[test]
    fn an_absent_value_fulfils_no_comparison() {
        assert_eq!(holds("momentum < 100"), Ok(vec![1, 2, 3]));
        assert_eq!(
            holds("metric.val_loss > 0 or metric.val_loss <= 0"),
            Ok(vec![1, 2, 3])
        );
    }

    #[test]
    fn a_misspelt_name_is_an_error_and_not_an_absent_value() {
        let error = holds("optimiser == 'sgd'").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--where optimiser == 'sgd'`: no trial has a `optimiser`"
        );
        assert_eq!(error.hint.as_deref(), Some("did you mean `optimizer`?"));
        assert!(holds("val_loss +").is_err());
        assert!(holds("val_loss + 1").is_err());
        assert!(holds("optimizer < 3").is_err());
    }

    #[test]
    fn every_name_of_a_study_stands_without_back_quotes() {
        let names = [
            "val/AR@100",
            "n-estimators",
            "timing(s)/gen",
            "a.b-c",
            "größe",
            "acc, top-5 %",
        ];
        let mut demo = Demo::new(&["n-estimators"]);
        for number in [1.0, 2.0] {
            let metrics = names.map(|name| (name, number));
            let trial = demo.start(&[("n-estimators", Value::Int(number as i64))]);
            demo.report(trial, &metrics);
            demo.report(trial, &[("val_loss", number)]);
            demo.end(trial, Exit::Done);
        }
        for name in names {
            assert_eq!(
                holds_in(&demo, &format!("{name} > 1.5")),
                Ok(vec![2]),
                "{name}"
            );
            assert_eq!(
                holds_in(&demo, &format!("`{name}` < 1.5")),
                Ok(vec![1]),
                "{name}"
            );
            assert_eq!(
                holds_in(&demo, &format!("metric.{name} < 1.5")),
                Ok(vec![1]),
                "{name}"
            );
            let error = holds_in(&demo, &format!("\"{name}\" > 1.5")).unwrap_err();
            assert!(error.hint.unwrap().contains(&format!("`{name}`")));
        }
        let error = holds_in(&demo, "val/AR@10 > 1.5").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `val/AR@100`?"));
    }

    #[test]
    fn a_condition_asks_the_reports_of_a_trial() {
        let mut demo = Demo::new(&[]);
        for losses in [[0.5, 0.2, 0.4], [0.9, 0.8, 0.1]] {
            let trial = demo.start(&[]);
            for (loss, acc) in losses.into_iter().zip([0.7, 0.9, 0.8]) {
                demo.report(trial, &[("val_loss", loss), ("acc", acc)]);
            }
            demo.end(trial, Exit::Done);
        }
        assert_eq!(holds_in(&demo, "at_best(acc) > 0.85"), Ok(vec![1]));
        assert_eq!(holds_in(&demo, "at_best.acc == 0.8"), Ok(vec![2]));
        assert_eq!(
            holds_in(&demo, "mean(val_loss) > 0.5 and last(acc) == 0.8"),
            Ok(vec![2])
        );
        assert_eq!(holds_in(&demo, "val_loss@2 < 0.5"), Ok(vec![1]));
        assert_eq!(
            holds_in(&demo, "best(val_loss) < 0.15 and first(acc) == 0.7"),
            Ok(vec![2])
        );
    }

    #[test]
    fn a_step_is_a_value_on_the_axis_of_the_trial_and_earlier_reports_are_at_its_start() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("size", 5.0)]);
        for (epoch, loss) in [(0.0, 0.5), (0.25, 0.25)] {
            demo.report(
                trial,
                &[("val_loss", loss), ("epoch", epoch), ("size", 7.0)],
            );
        }
        demo.end(trial, Exit::Done);
        assert_eq!(
            holds_in(
                &demo,
                "first(size) == 5 and size@0 == 7 and val_loss@0.25 == 0.25"
            ),
            Ok(vec![1])
        );
    }

    fn error_of(condition: &str) -> (String, String) {
        let error = holds(condition).unwrap_err();
        (error.message, error.hint.unwrap_or_default())
    }

    #[test]
    fn a_condition_that_has_no_value_in_any_trial_is_an_error() {
        assert_eq!(
            error_of("best(momentum) > 1").0,
            "`best(momentum)` has no value: no trial reports it as a metric"
        );
        assert_eq!(error_of("last(val_los) > 1").1, "did you mean `val_loss`?");
        assert_eq!(error_of("mena(val_loss) > 1").1, "did you mean `mean`?");
        let (message, hint) = error_of("val_loss@9 < 1");
        assert_eq!(message, "no trial reported `val_loss` at step 9");
        assert_eq!(hint, "its steps go from 1 to 1");
        assert_eq!(
            error_of("best.momentum > 1").0,
            "no trial has a `best.momentum`"
        );
    }
}
