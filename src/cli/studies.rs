//! Finds the study and the trials that the arguments of a command select.

use super::Context;
use super::exit::Failure;
use super::output::Output;
use crate::cluster::pilot;
use crate::journal::{self, StudyDir};
use crate::provenance::variables;
use crate::report::formula::FormulaError;
use crate::report::formula::study::ReadError;
use crate::report::select::{Condition, SelectError, Selector};
use crate::report::text::plain;
use crate::source::diagnostic::nearest;
use crate::source::secret::Secrets;
use crate::study::{Study, Trial, TrialId};
use crate::sweep::Sweep;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Selection of a study and of some of its trials: `[STUDY] [TRIALS]`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SelectionArgs {
    /// The study (its name or folder; default: the one that ran last), then trials: `12`, `3-9`,
    /// `1 2`, `last`, `best:5`, `failed`…
    #[arg(value_name = "STUDY] [TRIALS")]
    pub(crate) words: Vec<String>,

    /// Only trials for which this holds: "val_loss < 0.3 and optimizer == 'sgd'"
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) condition: Option<String>,
}

/// A study that was found and read, with the selection of its trials.
pub(crate) struct Selection {
    pub(crate) dir: StudyDir,
    pub(crate) study: Study,
    selectors: Vec<Selector>,
    condition: Option<Condition>,
}

impl SelectionArgs {
    /// Finds and reads the study, and parses the selection of trials. Fails with a usage error if
    /// the study does not exist or the selection is malformed.
    pub(crate) fn read(&self, context: &Context) -> Result<Selection, Failure> {
        let (dir, trials) = self.split(&context.logs)?;
        let study = pilot::settled(&dir)?;
        let selectors: Result<Vec<_>, _> = trials.iter().map(|it| Selector::parse(it)).collect();
        let condition = self
            .condition
            .as_deref()
            .map(|text| Condition::parse(text, &study, &dir))
            .transpose()?;
        Ok(Selection {
            dir,
            study,
            selectors: selectors?,
            condition,
        })
    }

    /// Splits the words into the study and the selections of trials. The first word names a study
    /// if one of that name exists.
    pub(crate) fn split(&self, logs: &Path) -> Result<(StudyDir, &[String]), Failure> {
        let Some((first, rest)) = self.words.split_first() else {
            return Ok((latest(logs)?, &[]));
        };
        match named(logs, first) {
            Ok(dir) => Ok((dir, rest)),
            // The word is neither a study nor a selector: most likely a misspelt study.
            Err(unknown) if Selector::parse(first).is_err() => Err(unknown),
            Err(_) => Ok((latest(logs)?, &self.words)),
        }
    }
}

impl Selection {
    /// Returns the folder of a trial for reading.
    pub(crate) fn folder(&self, trial: TrialId) -> PathBuf {
        journal::readable_trial(&self.dir, &self.study, trial)
    }

    /// Returns the secrets that no text of a trial shows.
    pub(crate) fn secrets(&self) -> Secrets {
        secrets(&self.dir)
    }

    /// Returns whether the user selected particular trials.
    pub(crate) fn is_selective(&self) -> bool {
        !self.selectors.is_empty() || self.condition.is_some()
    }

    /// Returns whether the user listed trials, in an order of their own.
    pub(crate) fn has_selectors(&self) -> bool {
        !self.selectors.is_empty()
    }

    /// Returns the selected trials, each once. Without a selection, returns all trials that are not
    /// in the trash.
    pub(crate) fn trials(&self) -> Result<Vec<&Trial>, Failure> {
        let mut trials: Vec<&Trial> = Vec::new();
        for selector in &self.selectors {
            trials.extend(selector.select(&self.study)?);
        }
        if self.selectors.is_empty() {
            let all = self.study.trials().iter();
            trials.extend(all.filter(|trial| !trial.removed));
        }
        let mut seen = HashSet::new();
        trials.retain(|trial| seen.insert(trial.id));
        if let Some(condition) = &self.condition {
            trials.retain(|trial| condition.holds(&self.study, trial));
        }
        Ok(trials)
    }

    /// Returns the one selected trial, or the result of `default` without a selection. Fails with a
    /// usage error if the selection matches no trial or several.
    pub(crate) fn trial(
        &self,
        default: impl FnOnce(&Study) -> Option<&Trial>,
    ) -> Result<&Trial, Failure> {
        if !self.is_selective() {
            return default(&self.study).ok_or_else(|| self.nothing());
        }
        match self.trials()?.as_slice() {
            [trial] => Ok(trial),
            [] => Err(self.nothing()),
            several => Err(Failure::usage(format!(
                "{} trials are selected, but this command takes only one",
                several.len()
            ))
            .hint("select one by its number")),
        }
    }

    /// Returns the selected trials, or the result of `default` without a selection. Fails with a
    /// usage error if there is no trial.
    pub(crate) fn trials_or(
        &self,
        default: impl FnOnce(&Study) -> Option<&Trial>,
    ) -> Result<Vec<&Trial>, Failure> {
        let trials = match self.is_selective() {
            true => self.trials()?,
            false => default(&self.study).into_iter().collect(),
        };
        match trials.is_empty() {
            true => Err(self.nothing()),
            false => Ok(trials),
        }
    }

    /// Returns the failure for a selection that matches no trial.
    pub(crate) fn nothing(&self) -> Failure {
        let name = plain(&self.study.header().name).into_owned();
        Failure::usage(format!("`{name}` has no such trial"))
            .hint(format!("`swath ls {name}` lists its trials"))
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        let failure = Self::usage(plain(&error.to_string()));
        match error.hint() {
            Some(hint) => failure.hint(plain(&hint)),
            None => failure,
        }
    }
}

impl From<FormulaError> for Failure {
    fn from(error: FormulaError) -> Self {
        let failure = Self::usage(plain(&error.to_string()));
        match error.hint {
            Some(hint) => failure.hint(plain(&hint)),
            None => failure,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Formula(error) => error.into(),
            ReadError::Journal(error) => error.into(),
            other => Self::caused(super::Code::Tool, &other),
        }
    }
}

/// Finds a study by its name or by its folder. If there is none, the failure suggests the nearest
/// name.
pub(crate) fn named(logs: &Path, word: &str) -> Result<StudyDir, Failure> {
    let candidates = [StudyDir::new(logs, word), StudyDir::at(word)];
    if let Some(dir) = candidates.into_iter().find(StudyDir::exists) {
        warn_if_short(&dir, &mut Output::of_process());
        return Ok(dir);
    }
    let failure = Failure::usage(format!(
        "there is no study `{}` in `{}`",
        plain(word),
        logs.display()
    ));
    let studies = all(logs);
    let names: Vec<_> = studies.iter().map(|(name, _)| name.as_str()).collect();
    Err(match nearest(word, names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{}`?", plain(near))),
        None if names.is_empty() => {
            failure.hint("`--logs DIR` or SWATH_LOGS sets the folder of the studies")
        }
        None => failure.hint(format!("the studies are: {}", plain(&names.join(", ")))),
    })
}

/// Finds a study by its name or by its folder, and without one the study that ran last.
pub(crate) fn named_or_latest(logs: &Path, word: Option<&str>) -> Result<StudyDir, Failure> {
    word.map_or_else(|| latest(logs), |word| named(logs, word))
}

/// Finds the study with the most recently written journal.
pub(crate) fn latest(logs: &Path) -> Result<StudyDir, Failure> {
    let newest = all(logs)
        .into_iter()
        // A repetition by `swath repro` is skipped: users inspect it by its name.
        .filter(|(name, _)| !StudyDir::new(logs, name).repro().exists())
        .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
    if let Some((name, _)) = newest {
        let dir = StudyDir::new(logs, &name);
        warn_if_short(&dir, &mut Output::of_process());
        return Ok(dir);
    }
    Err(
        Failure::usage(format!("there is no study in `{}`", plain(&logs.display().to_string())))
            .hint("`swath run sweep.toml` creates one; `--logs DIR` or SWATH_LOGS sets the folder of the studies"),
    )
}

/// Warns if the journal of a study has lost entries, so that what is shown is not all of it.
pub(crate) fn warn_if_short(dir: &StudyDir, out: &mut Output) {
    if let Some(shortfall) = journal::shortfall(dir) {
        let name = dir.root().file_name().unwrap_or_default().to_string_lossy();
        out.warn(format_args!("`{}`: {shortfall}", plain(&name)));
    }
}

/// Returns the secrets among the variables of this process, with those that `secret_env` in the
/// sweep file of a study names. What a trial wrote itself is printed without them.
pub(crate) fn secrets(dir: &StudyDir) -> Secrets {
    let path = dir.sweep_toml();
    let sweep = Sweep::read(&path).or_else(|_| Sweep::read_for_function(&path));
    let declared = sweep.map(|sweep| sweep.run.secret_env).unwrap_or_default();
    variables::secrets(&[], &declared)
}

/// Returns the names of all studies with the time of the last write to their journal, sorted by
/// name.
pub(crate) fn all(logs: &Path) -> Vec<(String, SystemTime)> {
    let entries = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut studies: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let written = std::fs::metadata(StudyDir::new(logs, &name).journal())
                .ok()?
                .modified()
                .ok()?;
            Some((name, written))
        })
        .collect();
    studies.sort();
    studies
}

#[cfg(test)]
pub(crate) mod demo {
    //! Studies on disk for the tests of commands.
    use crate::cli::Context;
    use crate::cli::exit::{Code, Failure};
    use crate::cli::output::captured;
    use crate::journal::StudyDir;
    use swath_model::demo::Demo;

    /// Writes the journal of a study to `logs/<name>`.
    pub(crate) fn write(logs: &std::path::Path, name: &str, demo: &Demo) -> StudyDir {
        let dir = StudyDir::new(logs, name);
        std::fs::create_dir_all(dir.root()).unwrap();
        let lines: Vec<_> = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        std::fs::write(dir.journal(), lines.concat()).unwrap();
        dir
    }

    /// Runs a command on the study `digits`. Returns its result, its standard output and its
    /// standard error.
    pub(crate) fn run(
        demo: &Demo,
        width: Option<usize>,
        command: impl FnOnce(&mut Context) -> Result<Code, Failure>,
    ) -> (Result<Code, Failure>, String, String) {
        let logs = tempfile::tempdir().unwrap();
        write(logs.path(), "digits", demo);
        let (out, stdout, stderr) = captured::output(width);
        let mut context = Context {
            logs: logs.path().to_owned(),
            out,
        };
        let result = command(&mut context);
        let root = logs.path().display().to_string();
        (
            result,
            stdout.text().replace(&root, "logs"),
            stderr.text().replace(&root, "logs"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{SelectionArgs, demo, latest, named};
    use crate::cli::Context;
    use crate::cli::output::captured;
    use swath_model::demo::Demo;

    fn selection_args(words: &[&str]) -> SelectionArgs {
        SelectionArgs {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            condition: None,
        }
    }

    fn world() -> (tempfile::TempDir, Context) {
        let logs = tempfile::tempdir().unwrap();
        let mut study = Demo::new(&[]);
        study.complete(&[], &[("val_loss", 0.5)]);
        study.complete(&[], &[("val_loss", 0.1)]);
        demo::write(logs.path(), "older", &study);
        demo::write(logs.path(), "digits", &study);
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let journal = std::fs::File::options()
            .append(true)
            .open(logs.path().join("older/journal.jsonl"))
            .unwrap();
        journal.set_modified(past).unwrap();
        let context = Context {
            logs: logs.path().to_owned(),
            out: captured::output(None).0,
        };
        (logs, context)
    }

    fn select(words: &[&str]) -> (String, Vec<u32>) {
        let (_logs, context) = world();
        let selection = selection_args(words).read(&context).unwrap();
        let name = selection
            .dir
            .root()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (
            name,
            selection
                .trials()
                .unwrap()
                .iter()
                .map(|trial| trial.id.0)
                .collect(),
        )
    }

    #[test]
    fn a_word_names_a_study_if_one_exists_and_otherwise_trials_of_the_latest() {
        assert_eq!(select(&[]), ("digits".into(), vec![1, 2]));
        assert_eq!(select(&["older"]), ("older".into(), vec![1, 2]));
        assert_eq!(select(&["best"]), ("digits".into(), vec![2]));
        assert_eq!(select(&["older", "1"]), ("older".into(), vec![1]));
        assert_eq!(select(&["older", "2", "1-2"]), ("older".into(), vec![2, 1]));
        assert_eq!(select(&["2", "1"]), ("digits".into(), vec![2, 1]));
    }

    #[test]
    fn a_study_is_found_by_its_folder_too() {
        let (logs, _context) = world();
        let folder = logs.path().join("older");
        let dir = named(std::path::Path::new("elsewhere"), folder.to_str().unwrap()).unwrap();
        assert_eq!(dir.root(), folder);
    }

    #[test]
    fn a_misspelt_study_gets_a_suggestion() {
        let (_logs, context) = world();
        let failure = selection_args(&["digit"]).read(&context).err().unwrap();
        assert_eq!(failure.hints, ["did you mean `digits`?"]);
        assert!(
            latest(std::path::Path::new("/nowhere"))
                .unwrap_err()
                .message
                .contains("there is no study")
        );
    }
}
