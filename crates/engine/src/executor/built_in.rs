//! Facts about an attempt that its program is given: each by an environment variable, and by a
//! placeholder in the sweep file.
//!
//! [`BUILT_INS`] is the only list of them. The environment of programs, the placeholders and the
//! table in the documentation are made from it.

use super::{Launch, StudyContext};
use std::ffi::OsString;
use std::path::Path;

/// A fact with its variable and its placeholder.
#[derive(Debug)]
pub struct BuiltIn {
    /// Name of the placeholder: `seed` for `{seed}` and `{swath.seed}`.
    pub name: &'static str,
    /// Name of the environment variable.
    pub variable: &'static str,
    /// Description for the documentation.
    pub about: &'static str,
    /// When the value is known.
    pub scope: Scope,
    value: fn(&Facts<'_>) -> Option<OsString>,
}

/// When the value of a [`BuiltIn`] is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Known before the first trial, and the same for every trial.
    Study,
    /// Known when an attempt is launched.
    Attempt,
    /// Known only to the process that starts the program: on a cluster, the pilot.
    Slot,
}

/// The facts from which the values of the [`BUILT_INS`] are computed from.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Facts that all trials of the study share.
    pub study: &'a StudyContext,
    /// The launch of the attempt.
    pub launch: &'a Launch,
    /// Absolute path of the trial's folder.
    pub dir: &'a Path,
    /// Data sets of the trial.
    pub data_dir: &'a [String],
    /// Free port of this machine; `None` if the sweep file names none.
    pub port: Option<u16>,
}

/// Every fact about an attempt that its program is given.
pub const BUILT_INS: &[BuiltIn] = &[
    BuiltIn {
        name: "study",
        variable: "SWATH_STUDY",
        about: "the name of the study",
        scope: Scope::Study,
        value: |facts| Some(facts.study.name.clone().into()),
    },
    BuiltIn {
        name: "pipeline",
        variable: "SWATH_PIPELINE",
        about: "the pipeline of the study",
        scope: Scope::Study,
        value: |facts| Some(facts.study.pipeline.clone().into()),
    },
    BuiltIn {
        name: "stage",
        variable: "SWATH_STAGE",
        about: "the stage of the pipeline; for a preparation its name",
        scope: Scope::Study,
        value: |facts| Some(facts.launch.stage(facts.study).into()),
    },
    BuiltIn {
        name: "trial",
        variable: "SWATH_TRIAL",
        about: "the number of the trial",
        scope: Scope::Attempt,
        value: |facts| {
            let trial = facts.study.stands_for.unwrap_or(facts.launch.trial);
            // A preparation belongs to no trial.
            let is_trial = facts.launch.preparation.is_none();
            is_trial.then(|| trial.to_string().into())
        },
    },
    BuiltIn {
        name: "attempt",
        variable: "SWATH_ATTEMPT",
        about: "the number of the attempt within the trial, from 1",
        scope: Scope::Attempt,
        value: |facts| Some(facts.launch.attempt.to_string().into()),
    },
    BuiltIn {
        name: "slot",
        variable: "SWATH_SLOT",
        about: "the number of the slot, from 0: no other trial has it at the same time (in the same job, on a cluster)",
        scope: Scope::Slot,
        value: |facts| Some(facts.launch.slot.to_string().into()),
    },
    BuiltIn {
        name: "port",
        variable: "SWATH_PORT",
        about: "a free port of the machine, another one for each running trial; the variable is set if the sweep file has `{port}`",
        scope: Scope::Slot,
        value: |facts| Some(facts.port?.to_string().into()),
    },
    BuiltIn {
        name: "seed",
        variable: "SWATH_SEED",
        about: "the seed of the trial",
        scope: Scope::Attempt,
        value: |facts| Some(facts.launch.seed.to_string().into()),
    },
    BuiltIn {
        name: "trial_dir",
        variable: "SWATH_TRIAL_DIR",
        about: "the folder of the trial",
        scope: Scope::Attempt,
        value: |facts| Some(facts.dir.into()),
    },
    BuiltIn {
        name: "params",
        variable: "SWATH_PARAMS",
        about: "the path of the trial's `params.json`",
        scope: Scope::Attempt,
        value: |facts| Some(facts.dir.join("params.json").into()),
    },
    BuiltIn {
        name: "records",
        variable: "SWATH_RECORDS",
        about: "the file to which the program appends its records",
        scope: Scope::Attempt,
        value: |facts| Some(facts.dir.join("records.jsonl").into()),
    },
    BuiltIn {
        name: "checkpoint_dir",
        variable: "SWATH_CHECKPOINT_DIR",
        about: "the folder for the trial's checkpoints",
        scope: Scope::Attempt,
        value: |facts| Some(facts.dir.join("checkpoints").into()),
    },
    BuiltIn {
        name: "data_dir",
        variable: "SWATH_DATA_DIR",
        about: "the data sets, joined by `:`; `{data_dir}` as an argument by itself makes an argument for each",
        scope: Scope::Attempt,
        value: |facts| Some(facts.data_dir.join(":").into()),
    },
    BuiltIn {
        name: "until",
        variable: "SWATH_UNTIL",
        about: "the resource at which the attempt pauses or ends; absent without such a bound",
        scope: Scope::Attempt,
        value: |facts| Some(facts.launch.until?.to_string().into()),
    },
    BuiltIn {
        name: RESUME,
        variable: "SWATH_RESUME",
        about: "`1` if the attempt goes on from the checkpoint folder, otherwise absent",
        scope: Scope::Attempt,
        value: |facts| facts.launch.resume.then(|| "1".into()),
    },
    BuiltIn {
        name: "resume_step",
        variable: "SWATH_RESUME_STEP",
        about: "the step of the last checkpoint that the program recorded; absent unless it resumes from one",
        scope: Scope::Attempt,
        value: |facts| Some(facts.launch.resume_step?.to_string().into()),
    },
];

/// Name of the only built-in that is either set or absent and may therefore be a switch.
pub const RESUME: &str = "resume";

impl BuiltIn {
    /// Returns the built-in with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        BUILT_INS.iter().find(|built_in| built_in.name == name)
    }

    /// Returns the value for an attempt; `None` if the attempt has none.
    #[must_use]
    pub fn value(&self, facts: &Facts<'_>) -> Option<OsString> {
        (self.value)(facts)
    }
}

impl PartialEq for BuiltIn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Returns the variables of the environment for an attempt. Variables without a value are removed
/// from the inherited environment.
#[must_use]
pub fn environment(facts: &Facts<'_>) -> Vec<(&'static str, Option<OsString>)> {
    BUILT_INS
        .iter()
        .map(|built_in| (built_in.variable, built_in.value(facts)))
        .collect()
}
