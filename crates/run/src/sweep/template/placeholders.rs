//! The table of all placeholders and all `SWATH_*` variables in the documentation.

use std::fmt::Write as _;
use swath_engine::executor::BUILT_INS;

/// Placeholders that are no facts about the attempt.
const OTHERS: &[(&str, &str)] = &[
    (
        "{lr}",
        "the value of the parameter `lr`; in a group: `{model.layers}`",
    ),
    ("{units[0]}", "the first element of the list `units`"),
    (
        "--{amp}",
        "for a boolean parameter: `--amp` if it is true, nothing if it is false; `--{resume}` is given to an attempt that resumes",
    ),
    (
        "{amp:flag}",
        "`--amp` or `--no-amp` (click, `BooleanOptionalAction`); `{amp:flag=--fp16/--fp32}` names the two",
    ),
    (
        "{units:each}",
        "each element of a list, as separate arguments: `[\"--units\", \"{units:each}\"]` is `--units 64 32`",
    ),
    (
        "{units:repeat}",
        "the same, each after the option before it: `--units 64 --units 32`",
    ),
    (
        "{args}",
        "`--name=value` for every parameter, each as a separate argument",
    ),
    (
        "{args:argparse}",
        "the same, but lists as `--units 64 32`, and booleans as `--amp` or nothing",
    ),
    (
        "{args:click}",
        "the same, but lists as repeated options, and booleans as `--amp` or `--no-amp`",
    ),
    (
        "{args:rest}",
        "as `{args}`, for the parameters that the command does not name elsewhere",
    ),
    (
        "{hydra}",
        "`name=value` for every parameter, quoted for Hydra's override grammar; a parameter in a branch below the name of its choice: `model.C=1.0`",
    ),
    (
        "{hydra:rest}",
        "as `{hydra}`, for the parameters that the command does not name elsewhere",
    ),
    (
        "{config}",
        "the trial's copy of the file in `[run] config`; `{config.NAME}` if there are several",
    ),
    (
        "{env:NAME}",
        "the variable `NAME` of the caller, which records do not show; `{env:NAME:-default}` if it may be unset",
    ),
    ("{{", "a literal brace; `}}` likewise"),
];

/// Variables without a placeholder, with the process that reads them.
const VARIABLES: &[(&str, &str)] = &[
    (
        "SWATH_LOGS",
        "read by every command: the folder of all studies, as `--logs`",
    ),
    (
        "SWATH_RANK",
        "read by the loggers: the rank of a process in distributed training, if its launcher sets no variable of its own",
    ),
    (
        "SWATH_OUTER_RANKS",
        "set for programs: the ranks of a launcher around swath, which are not those of the trial's processes",
    ),
    (
        "SWATH_STUDY_DIR",
        "set for the program of a tracker: the study's folder",
    ),
    (
        "SWATH_RUN",
        "set for all programs: a mark by which swath finds the processes of a run",
    ),
    (
        "SWATH_JOB_BEGAN",
        "set in jobs of a batch system: when the job began, in seconds since 1970",
    ),
];

/// Returns the table in Markdown.
pub(in crate::sweep) fn table() -> String {
    let mut table = "| placeholder | variable | |\n|---|---|---|\n".to_owned();
    for (placeholder, about) in OTHERS {
        let _ = writeln!(table, "| `{placeholder}` | | {about} |");
    }
    for built_in in BUILT_INS {
        let _ = writeln!(
            table,
            "| `{{{}}}` | `{}` | {} |",
            built_in.name, built_in.variable, built_in.about
        );
    }
    for (variable, about) in VARIABLES {
        let _ = writeln!(table, "| | `{variable}` | {about} |");
    }
    table
}
