//! The fields of a trial: the facts that every trial of every study may have, whatever its sweep
//! file names.
//!
//! Tables, exports, trackers and the commands read them from [`TRIAL_FIELDS`], so a new field is
//! one line there.

use super::remarks::TAG_SEPARATOR;
use super::{LogRecord, Study, Timestamp, Trial};
use crate::space::Value;
use serde::Serialize;
use std::borrow::Cow;

/// A field of a trial.
#[derive(Debug)]
pub struct Field {
    /// The column of the field in `trials.csv`.
    pub name: &'static str,
    /// The meaning, as a fragment of a sentence in Markdown.
    pub about: &'static str,
    /// The position of the column among those that are named by the sweep file.
    pub place: Place,
    /// The form in which trackers and `swath show` present the field.
    pub form: Form,
    /// The type of the field, with the function that reads it from a trial.
    pub getter: Getter,
}

/// The position of a column of `trials.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before the objectives.
    First,
    /// After the objectives, parameters and metrics.
    Middle,
    /// After the values of the counted report.
    Last,
}

/// The form in which trackers and `swath show` present a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A plain value beside the trial's other values.
    Plain,
    /// A part of the trial's [result](Study::result).
    Result,
    /// A form of its own in each of them, such as the start of a run or a file.
    Own,
}

/// The type of a field, with the function that reads it from a trial of a study.
#[derive(Debug, Clone, Copy)]
pub enum Getter {
    /// A text; an empty one is absent.
    Text(for<'a> fn(&'a Study, &'a Trial) -> Option<Cow<'a, str>>),
    /// A number of things, or the number of a trial.
    Count(fn(&Study, &Trial) -> u64),
    /// A number that may use all 64 bits.
    Seed(fn(&Study, &Trial) -> u64),
    /// A sum or maximum over all ended attempts; absent until one has ended.
    Usage(fn(&Study, &Trial) -> f64),
    /// A position on the trial's axis.
    Step(fn(&Study, &Trial) -> Option<f64>),
    /// A point in time.
    Time(fn(&Study, &Trial) -> Option<Timestamp>),
    /// A flag.
    Flag(fn(&Study, &Trial) -> Option<bool>),
}

/// The value of one column for one trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number of things, or the number of a trial.
    Count(u64),
    /// A number that may use all 64 bits.
    Seed(u64),
    /// A measured number.
    Number(f64),
    /// A position on the trial's axis.
    Step(f64),
    /// A point in time.
    Time(Timestamp),
    /// A flag.
    Flag(bool),
    /// The value of a parameter.
    Param(&'a Value),
}

/// All fields of a trial, in the order in which they are shown.
pub const TRIAL_FIELDS: &[Field] = &[
    own(
        "pipeline",
        Getter::Text(|study, _| Some((&*study.header().pipeline).into())),
        "the pipeline of the sweep file",
    )
    .at(Place::First),
    own(
        "stage",
        Getter::Text(|study, _| Some((&*study.header().stage).into())),
        "the stage of the sweep file",
    )
    .at(Place::First),
    plain(
        "trial_id",
        Getter::Count(|_, trial| trial.id.0.into()),
        "1, 2, 3 …",
    )
    .at(Place::First),
    plain(
        "state",
        Getter::Text(|_, trial| Some(trial.state.word().into())),
        "`waiting` `running` `paused` `complete` `stopped` `failed` `invalid`",
    )
    .at(Place::First),
    own(
        "step",
        Getter::Step(|_, trial| trial.step),
        "the largest step that the trial reported, on its [axis](#the-axis-of-a-series)",
    ),
    plain(
        "attempts",
        Getter::Count(|_, trial| trial.attempts.into()),
        "number of started attempts",
    ),
    plain(
        "seconds",
        Getter::Usage(|_, trial| trial.seconds),
        "run time of all attempts; empty until one has ended",
    ),
    plain(
        "cpu_seconds",
        Getter::Usage(|_, trial| trial.usage.cpu_seconds),
        "CPU time of all attempts; empty until one has ended",
    ),
    plain(
        "peak_mib",
        Getter::Usage(|_, trial| trial.usage.peak_mib),
        "largest memory of all attempts, in MiB; empty until one has ended",
    ),
    own(
        "started_at",
        Getter::Time(|_, trial| trial.started_at),
        "the first start",
    ),
    own(
        "ended_at",
        Getter::Time(|_, trial| trial.ended_at),
        "the last end",
    ),
    plain(
        "exit",
        Getter::Text(|_, trial| Some(trial.exit.as_ref()?.to_string().into())),
        "how the last attempt ended, in words",
    ),
    own(
        "data_dir",
        Getter::Text(|_, trial| Some(data_sets(trial, |path, _| path).into())),
        "the data sets that the trial read, separated by `;`",
    ),
    own(
        "data_md5",
        Getter::Text(|_, trial| Some(data_sets(trial, |_, md5| md5).into())),
        "the digests of the data sets, in the same order",
    ),
    result(
        "best_step",
        Getter::Step(|_, trial| trial.counted.as_ref()?.step),
        "the step of the report that counts",
    )
    .at(Place::Last),
    result(
        "model_path",
        Getter::Text(|_, trial| Some(trial.model_that_counts()?.path.into())),
        "the model that belongs to the objective's value ([which model](#the-model-of-a-trial))",
    ),
    result(
        "model_md5",
        Getter::Text(|_, trial| trial.model_that_counts()?.md5.map(Cow::from)),
        "the digest of that model",
    ),
    result(
        "model_step",
        Getter::Step(|_, trial| trial.model_that_counts()?.step),
        "the step at which the model of `model_path` was saved",
    )
    .at(Place::Last),
    plain(
        "seed",
        Getter::Seed(|_, trial| trial.seed),
        "`SWATH_SEED` of the trial",
    ),
    own(
        "git_commit",
        Getter::Text(|study, _| study.header().git_commit.as_deref().map(Cow::from)),
        "the commit of the code",
    ),
    own(
        "configuration",
        Getter::Count(|study, trial| study.configuration(trial.id).0.into()),
        "the first trial of the configuration; the trial itself unless it is a replicate",
    ),
    own(
        "replicate",
        Getter::Count(|study, trial| study.replicate(trial.id) as u64),
        "the number of the seed among the configuration's seeds, from 1",
    ),
    own(
        "origin",
        Getter::Text(|_, trial| Some(trial.origin.word().into())),
        "the source of the configuration: a sampler's name, `point`, `added`, `replicate`, `rerun`, \
         `cloned`, or the import source",
    ),
    own(
        "note",
        Getter::Text(|study, trial| study.note(trial.id).map(Cow::from)),
        "the note of `swath note`",
    )
    .at(Place::Last),
    own(
        "tag",
        Getter::Text(|study, trial| Some(tags(study, trial).into())),
        "the tags of `swath tag`, separated by `;`; a comparison such as `tag == \"good\"` holds if it \
         holds for one of them",
    )
    .at(Place::Last),
    result(
        "feasible",
        Getter::Flag(|study, trial| trial.feasible(&study.header().limits)),
        "whether the trial satisfies every `[[outcome_constraint]]` (earlier name: `[[limit]]`); \
         empty before its first report",
    )
    .at(Place::Last),
];

const fn plain(name: &'static str, getter: Getter, about: &'static str) -> Field {
    Field {
        name,
        about,
        place: Place::Middle,
        form: Form::Plain,
        getter,
    }
}

const fn result(name: &'static str, getter: Getter, about: &'static str) -> Field {
    Field {
        form: Form::Result,
        ..plain(name, getter, about)
    }
}

const fn own(name: &'static str, getter: Getter, about: &'static str) -> Field {
    Field {
        form: Form::Own,
        ..plain(name, getter, about)
    }
}

impl Field {
    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Returns the name of the field outside `trials.csv`: in JSON, expressions and trackers the
    /// number of a trial is called `trial`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self.name {
            "trial_id" => "trial",
            name => name,
        }
    }

    /// Returns the value for a trial; `None` if it is absent.
    #[must_use]
    pub fn value<'a>(&self, study: &'a Study, trial: &'a Trial) -> Option<Cell<'a>> {
        match self.getter {
            Getter::Usage(_) if trial.ended_at.is_none() => None,
            _ => self.value_so_far(study, trial),
        }
    }

    /// Returns the value for a trial as [`value`](Self::value) does, but 0 for a sum over ended
    /// attempts if there are none.
    #[must_use]
    pub fn value_so_far<'a>(&self, study: &'a Study, trial: &'a Trial) -> Option<Cell<'a>> {
        match self.getter {
            Getter::Text(text) => text(study, trial)
                .filter(|text| !text.is_empty())
                .map(Cell::Text),
            Getter::Count(count) => Some(Cell::Count(count(study, trial))),
            Getter::Seed(seed) => Some(Cell::Seed(seed(study, trial))),
            Getter::Usage(sum) => Some(Cell::Number(sum(study, trial))),
            Getter::Step(step) => step(study, trial).map(Cell::Step),
            Getter::Time(time) => time(study, trial).map(Cell::Time),
            Getter::Flag(flag) => flag(study, trial).map(Cell::Flag),
        }
    }
}

impl Getter {
    /// Returns the type in words, as the documentation of the exports names it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Count(_) | Self::Seed(_) => "unsigned integer",
            Self::Usage(_) | Self::Step(_) => "double",
            Self::Time(_) => "timestamp, UTC, microseconds",
            Self::Flag(_) => "boolean",
        }
    }
}

impl Cell<'_> {
    /// Converts the cell to a value of the expression language. An integer beyond the range of
    /// `i64` becomes a float, and a time a text.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::Text((&*text).into()),
            Self::Count(number) | Self::Seed(number) => {
                i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)
            }
            Self::Number(number) | Self::Step(number) => Value::Float(number),
            Self::Time(time) => Value::Text(time.to_string().into()),
            Self::Flag(flag) => Value::Bool(flag),
            Self::Param(value) => value.clone(),
        }
    }
}

fn tags(study: &Study, trial: &Trial) -> String {
    let tags: Vec<_> = study.tags(trial.id).collect();
    tags.join(TAG_SEPARATOR)
}

/// Returns a part of each data set that a trial read, each path once, separated by `;`. The digest
/// of a data set without one is empty.
fn data_sets<'a>(trial: &'a Trial, part: fn(&'a str, &'a str) -> &'a str) -> String {
    let mut sets: Vec<(&str, &str)> = Vec::new();
    for record in &trial.records {
        if let LogRecord::Dataset { data_dir, md5, .. } = record
            && !sets.iter().any(|(path, _)| path == data_dir)
        {
            sets.push((data_dir, md5.as_deref().unwrap_or_default()));
        }
    }
    let parts: Vec<_> = sets
        .into_iter()
        .map(|(path, md5)| part(path, md5))
        .collect();
    parts.join(";")
}

impl Study {
    /// Returns whether a trial satisfies the outcome constraints, which `feasible` says beside the
    /// best trial. `None` without constraints and before the trial's first report.
    #[must_use]
    pub fn feasibility(&self, trial: &Trial) -> Option<bool> {
        let limits = &self.header().limits;
        trial.feasible(limits).filter(|_| !limits.is_empty())
    }

    /// Returns the values of the fields that trackers and `swath show` present as plain values.
    pub fn plain_fields<'a>(
        &'a self,
        trial: &'a Trial,
    ) -> impl Iterator<Item = (&'static str, Cell<'a>)> {
        TRIAL_FIELDS
            .iter()
            .filter(|field| field.form == Form::Plain)
            .filter_map(|field| Some((field.key(), field.value(self, trial)?)))
    }

    /// Returns the result of a trial as named values, for programs that read a study elsewhere:
    /// `objective.<metric>` of each objective, then the fields that belong to the result, of which
    /// `feasible` only where there are outcome constraints. Values that do not exist are left out.
    #[must_use]
    pub fn result(&self, trial: &Trial) -> Vec<(String, Value)> {
        let header = self.header();
        let objectives = header.objectives.iter().filter_map(|objective| {
            let name = format!("objective.{}", objective.metric);
            Some((name, Value::Float(trial.objective(objective)?)))
        });
        // Without constraints `feasible` is true of every trial, so the result leaves it out.
        let fields = TRIAL_FIELDS
            .iter()
            .filter(|field| field.form == Form::Result)
            .filter(|field| field.name != "feasible" || !header.limits.is_empty())
            .filter_map(|field| {
                let value = field.value(self, trial)?.into_value();
                Some((field.name.to_owned(), value))
            });
        objectives.chain(fields).collect()
    }
}

#[cfg(feature = "spaces")]
#[cfg(test)]
mod tests {
    use super::{Form, Place, TRIAL_FIELDS};
    use crate::demo::Demo;
    use crate::space::Value;
    use crate::study::{Exit, TrialId};
    use std::collections::BTreeSet;

    fn plain_fields(demo: &Demo, trial: TrialId) -> String {
        let fields = demo.study.plain_fields(demo.study.trial(trial).unwrap());
        let pairs = fields.map(|(name, cell)| format!("{name}={}", cell.into_value()));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_field_has_a_name_of_its_own_and_a_description_that_fits_a_table() {
        let names: BTreeSet<_> = TRIAL_FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), TRIAL_FIELDS.len());
        for field in TRIAL_FIELDS {
            assert!(!field.about.is_empty() && !field.about.contains(['|', '\n']));
        }
    }

    #[test]
    fn usage_fields_are_absent_until_an_attempt_has_ended() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        assert_eq!(
            plain_fields(&demo, trial),
            "trial=1 state=running attempts=1 seed=7"
        );
        demo.end(trial, Exit::Paused);
        assert_eq!(
            plain_fields(&demo, trial),
            "trial=1 state=paused attempts=1 seconds=1.0 cpu_seconds=0.5 peak_mib=12.25 exit=paused seed=7"
        );
    }

    #[test]
    fn a_seed_beyond_the_signed_integers_is_a_float_in_expressions() {
        assert_eq!(
            super::Cell::Seed(u64::MAX).into_value(),
            Value::Float(u64::MAX as f64)
        );
    }

    #[test]
    fn result_fields_come_in_the_order_in_which_trackers_show_them() {
        let result = TRIAL_FIELDS
            .iter()
            .filter(|field| field.form == Form::Result);
        let names: Vec<_> = result.map(|field| field.name).collect();
        assert_eq!(
            names,
            [
                "best_step",
                "model_path",
                "model_md5",
                "model_step",
                "feasible"
            ]
        );
        let last = TRIAL_FIELDS
            .iter()
            .filter(|field| field.place == Place::Last);
        let names: Vec<_> = last.map(|field| field.name).collect();
        assert_eq!(
            names,
            ["best_step", "model_step", "note", "tag", "feasible"]
        );
    }
}
