//! Reads Optuna's journal file: one operation per line, as `JournalStorage` writes it.

use super::optuna::{State, Study, Trial, choose, value};
use super::{FileSelection, ImportError};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

/// Maximum length of a line in bytes. Parsed, a line may take many times as much memory.
const LONGEST_LINE: u64 = 8 << 20;
/// Maximum length of all operations together in bytes: the trials that they describe are in memory
/// until they are converted.
const MOST_BYTES: u64 = 512 << 20;

/// Reads the selected study. A torn last line is skipped, as by Optuna.
pub(super) fn read(
    mut file: impl BufRead,
    path: &str,
    selection: &FileSelection,
) -> Result<Study, ImportError> {
    let mut log = Log::default();
    let mut bytes = Vec::new();
    let mut rest = MOST_BYTES;
    for index in 0.. {
        bytes.clear();
        let mut limited = (&mut file).take(LONGEST_LINE);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|error| ImportError::read(Path::new(path), error))?;
        if bytes.len() as u64 == LONGEST_LINE {
            return Err(unfit_line(path, index, "it is longer than 8 MiB"));
        }
        rest = rest
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| too_long(path))?;
        // The last line is torn if it has no end.
        let Some(line) = bytes.strip_suffix(b"\n") else {
            break;
        };
        let line = str::from_utf8(line).map_err(|_| super::not_text(path))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let operation: Json = serde_json::from_str(&plain(line))
            .map_err(|error| unfit_line(path, index, &error.to_string()))?;
        log.apply(&operation).ok_or_else(|| {
            unfit_line(
                path,
                index,
                "a field of the operation is missing or malformed",
            )
        })?;
    }
    let live_studies: Vec<usize> = (0..log.studies.len())
        .filter(|study| !log.deleted.contains(study))
        .collect();
    let names: Vec<String> = live_studies
        .iter()
        .map(|study| log.studies[*study].name.clone())
        .collect();
    let study_index = live_studies[choose(&names, selection)?];
    let Log {
        mut studies,
        trials,
        ..
    } = log;
    let mut study = studies.swap_remove(study_index);
    study.trials = trials
        .into_iter()
        .filter(|(owner, _)| *owner == study_index)
        .map(|(_, trial)| trial)
        .collect();
    for (number, trial) in study.trials.iter_mut().enumerate() {
        trial.number = number as u64;
    }
    Ok(study)
}

fn too_long(path: &str) -> ImportError {
    ImportError::unfit(
        format!(
            "`{path}` has more than 512 MiB of operations, which would take gigabytes of memory"
        ),
        "write its trials into a CSV (`study.trials_dataframe().to_csv(…)` in Optuna), which is read \
         row by row, and import that",
    )
}

/// Returns the error for the line at an index from 0.
fn unfit_line(path: &str, index: usize, reason: &str) -> ImportError {
    ImportError::unfit(
        format!(
            "line {} of `{path}` is not an operation of an Optuna journal: {reason}",
            index + 1
        ),
        "a `trials.csv`, a CSV, an Optuna SQLite file or an Optuna journal can be imported",
    )
}

/// Quotes NaN and the infinities, which Python writes as bare words that are not valid JSON.
fn plain(line: &str) -> Cow<'_, str> {
    if !["NaN", "Infinity"]
        .into_iter()
        .any(|word| line.contains(word))
    {
        return line.into();
    }
    let mut line = line.to_owned();
    for (bare, quoted) in [
        ("-Infinity", "\"-inf\""),
        ("Infinity", "\"inf\""),
        ("NaN", "\"nan\""),
    ] {
        for before in [": ", ":", "[", ", ", ","] {
            line = line.replace(&format!("{before}{bare}"), &format!("{before}{quoted}"));
        }
    }
    line.into()
}

#[derive(Default)]
struct Log {
    studies: Vec<Study>,
    deleted: Vec<usize>,
    /// The trials of all studies in the order of creation, each with the index of its study.
    trials: Vec<(usize, Trial)>,
}

impl Log {
    /// Applies one operation; `None` if a field is missing or malformed. The codes are those of
    /// Optuna's `JournalOperation`.
    fn apply(&mut self, operation: &Json) -> Option<()> {
        match operation.get("op_code")?.as_u64()? {
            0 => {
                let directions = operation.get("directions")?.as_array()?;
                self.studies.push(Study {
                    name: operation.get("study_name")?.as_str()?.to_owned(),
                    minimised: directions
                        .iter()
                        .map(|direction| direction.as_u64() != Some(2))
                        .collect(),
                    trials: Vec::new(),
                });
            }
            1 => self.deleted.push(index(operation, "study_id")?),
            4 => self.create(operation)?,
            5 => {
                let name = operation.get("param_name")?.as_str()?.to_owned();
                let internal = number(operation.get("param_value_internal")?)?;
                let value = value(internal, operation.get("distribution")?.as_str()?)?;
                self.trial(operation)?.params.push((name, value));
            }
            6 => {
                let trial = self.trial(operation)?;
                trial.state = state(operation.get("state")?.as_u64()?)?;
                if let Some(values) = operation.get("values").and_then(Json::as_array) {
                    trial.values = values.iter().filter_map(number).collect();
                }
                for (key, slot) in [
                    ("datetime_start", &mut trial.started),
                    ("datetime_complete", &mut trial.ended),
                ] {
                    *slot = text(operation, key).or(slot.take());
                }
            }
            7 => {
                let step = operation.get("step")?.as_i64()?;
                let value = number(operation.get("intermediate_value")?)?;
                self.trial(operation)?.intermediate.insert(step, value);
            }
            8 => {
                let attributes = operation.get("user_attr")?.as_object()?.clone();
                self.trial(operation)?.attributes.extend(attributes);
            }
            // Attributes of studies and Optuna's system attributes are not needed.
            _ => {}
        }
        Some(())
    }

    /// Creates a trial from an operation.
    fn create(&mut self, operation: &Json) -> Option<()> {
        let study = index(operation, "study_id")?;
        self.studies.get(study)?;

        let mut trial = Trial {
            started: text(operation, "datetime_start"),
            ended: text(operation, "datetime_complete"),
            ..Trial::default()
        };
        // `add_trial` and `enqueue_trial` create a trial from a template, which may have ended
        // already.
        if let Some(code) = operation.get("state").and_then(Json::as_u64) {
            trial.state = state(code)?;
        }
        let distributions = operation.get("distributions").and_then(Json::as_object);
        if let (Some(params), Some(distributions)) = (
            operation.get("params").and_then(Json::as_object),
            distributions,
        ) {
            for (name, internal) in params {
                let value = value(number(internal)?, distributions.get(name)?.as_str()?)?;
                trial.params.push((name.clone(), value));
            }
        }
        match (
            operation.get("values").and_then(Json::as_array),
            operation.get("value"),
        ) {
            (Some(values), _) => trial.values = values.iter().filter_map(number).collect(),
            (None, Some(value)) => trial.values = number(value).into_iter().collect(),
            (None, None) => {}
        }
        if let Some(steps) = operation
            .get("intermediate_values")
            .and_then(Json::as_object)
        {
            trial.intermediate = steps
                .iter()
                .filter_map(|(step, value)| Some((step.parse().ok()?, number(value)?)))
                .collect();
        }
        if let Some(attributes) = operation.get("user_attrs").and_then(Json::as_object) {
            trial.attributes = attributes.clone().into_iter().collect();
        }
        self.trials.push((study, trial));
        Some(())
    }

    fn trial(&mut self, operation: &Json) -> Option<&mut Trial> {
        let trial = index(operation, "trial_id")?;
        self.trials.get_mut(trial).map(|(_, trial)| trial)
    }
}

/// Returns a text of an operation; `None` if it is missing or null.
fn text(operation: &Json, key: &str) -> Option<String> {
    operation.get(key).and_then(Json::as_str).map(str::to_owned)
}

/// Returns a non-negative whole number of an operation.
fn index(operation: &Json, key: &str) -> Option<usize> {
    usize::try_from(operation.get(key)?.as_u64()?).ok()
}

/// Returns a number, also one that `plain` has quoted.
fn number(value: &Json) -> Option<f64> {
    match value {
        Json::String(word) => swath_log::wire::special(word),
        other => other.as_f64(),
    }
}

fn state(code: u64) -> Option<State> {
    Some(match code {
        0 => State::Running,
        1 => State::Complete,
        2 => State::Pruned,
        3 => State::Failed,
        4 => State::Waiting,
        _ => return None,
    })
}
