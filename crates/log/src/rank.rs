//! The rank of a process among the processes that a launcher started for one trial.
//!
//! Launchers pass the rank to each process in a variable. A trial may also inherit such a variable
//! from the job in which swath itself runs, and that value does not describe the trial's
//! processes. swath therefore passes each trial the ranks of its own environment, and a variable
//! counts only where it differs from them.

use std::ffi::OsString;

/// The key of a report or metric that contains the rank of its process.
pub const KEY: &str = "rank";

/// The variable with the ranks of the environment in which a trial was started, such as `RANK=3
/// WORLD_SIZE=8`.
pub const OUTER: &str = "SWATH_OUTER_RANKS";

/// The rank variables in order of precedence, each with the variable of the number of processes.
/// The same rank with another number of processes comes from another launcher.
const LAUNCHERS: [(&str, Option<&str>); 5] = [
    ("SWATH_RANK", None),
    ("RANK", Some("WORLD_SIZE")),
    ("OMPI_COMM_WORLD_RANK", Some("OMPI_COMM_WORLD_SIZE")),
    ("PMI_RANK", Some("PMI_SIZE")),
    ("SLURM_PROCID", Some("SLURM_NTASKS")),
];

/// Returns the value of [`OUTER`] for a trial with these variables; `None` if they contain no rank.
pub fn outer(variable: impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
    let names = LAUNCHERS
        .into_iter()
        .flat_map(|(rank, size)| [Some(rank), size])
        .flatten();
    let pairs = names.filter_map(|name| Some(format!("{name}={}", parse_number(variable(name)?)?)));
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(" ").into())
}

/// Returns the rank of the process with these variables; 0 if no launcher of the trial set one.
pub(super) fn of_process(variable: &dyn Fn(&str) -> Option<OsString>) -> u32 {
    let outer_ranks = variable(OUTER).unwrap_or_default();
    let outer_ranks = outer_ranks.to_string_lossy();
    for (rank, size) in LAUNCHERS {
        let Some(own_rank) = variable(rank).and_then(parse_number) else {
            continue;
        };
        let mut names = [Some(rank), size].into_iter().flatten();
        if names.any(|name| is_own_variable(name, variable, &outer_ranks)) {
            return own_rank;
        }
    }
    // Lightning starts processes without RANK; torchrun, which may run around swath, sets it.
    let is_of_lightning = variable("WORLD_SIZE").is_some() && variable("RANK").is_none();
    let local = variable("LOCAL_RANK").filter(|_| is_of_lightning);
    local.and_then(parse_number).unwrap_or(0)
}

/// Returns whether the variable is a number that the trial did not inherit when it was started.
fn is_own_variable(
    name: &str,
    variable: &dyn Fn(&str) -> Option<OsString>,
    outer_ranks: &str,
) -> bool {
    let own = variable(name).and_then(parse_number);
    let mut outer = outer_ranks
        .split(' ')
        .filter_map(|pair| pair.split_once('='));
    let inherited = outer.find(|(key, _)| *key == name);
    own.is_some() && own != inherited.and_then(|(_, value)| value.parse().ok())
}

/// Returns the rank that a number stands for: a whole number above 0. Rank 0 gives `None`, because
/// the worker of rank 0 decides as if there were no others.
pub(crate) fn of_number(number: f64) -> Option<u32> {
    (number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u32)
}

/// Returns the rank of the process that wrote a line; 0 if the line has none.
pub fn of_line(line: &serde_json::Map<String, serde_json::Value>) -> u32 {
    line.get(KEY)
        .and_then(serde_json::Value::as_f64)
        .and_then(of_number)
        .unwrap_or(0)
}

fn parse_number(value: OsString) -> Option<u32> {
    value.to_str()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{OUTER, of_number, of_process, outer};
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    /// Returns the rank of a process with the variables `own` in a trial that was started with
    /// those of `outside`.
    fn rank(outside: &[(&str, &str)], own: &[(&str, &str)]) -> u32 {
        let mut variables: BTreeMap<&str, OsString> = BTreeMap::new();
        variables.extend(
            outside
                .iter()
                .map(|(name, value)| (*name, OsString::from(value))),
        );
        let outer_ranks = outer(|name| variables.get(name).cloned());
        variables.extend(
            own.iter()
                .map(|(name, value)| (*name, OsString::from(value))),
        );
        variables.extend(outer_ranks.map(|ranks| (OUTER, ranks)));
        of_process(&|name| variables.get(name).cloned())
    }

    #[test]
    fn every_launcher_gives_a_rank() {
        for name in [
            "SWATH_RANK",
            "RANK",
            "OMPI_COMM_WORLD_RANK",
            "PMI_RANK",
            "SLURM_PROCID",
        ] {
            assert_eq!(
                (rank(&[], &[(name, "3")]), rank(&[], &[(name, "0")])),
                (3, 0),
                "{name}"
            );
        }
        assert_eq!(
            rank(&[], &[("RANK", "6"), ("SLURM_PROCID", "1")]),
            6,
            "torchrun under srun"
        );
        assert_eq!((rank(&[], &[("RANK", "high")]), rank(&[], &[])), (0, 0));
    }

    #[test]
    fn processes_that_lightning_starts_have_their_local_rank() {
        assert_eq!(rank(&[], &[("LOCAL_RANK", "2"), ("WORLD_SIZE", "4")]), 2);
        assert_eq!(
            rank(&[], &[("LOCAL_RANK", "2")]),
            0,
            "one of several nodes, or by hand"
        );
        let around = [("RANK", "2"), ("LOCAL_RANK", "2"), ("WORLD_SIZE", "4")];
        assert_eq!(rank(&around, &[]), 0, "torchrun runs around swath");
    }

    #[test]
    fn a_rank_that_the_trial_was_started_with_is_not_its_own() {
        let outside = [
            ("RANK", "3"),
            ("WORLD_SIZE", "8"),
            ("SLURM_PROCID", "3"),
            ("SWATH_RANK", "3"),
        ];
        assert_eq!(rank(&outside, &[]), 0);
        for (own, expected) in [("0", 0), ("1", 1), ("3", 3)] {
            assert_eq!(
                rank(&outside, &[("RANK", own), ("WORLD_SIZE", "4")]),
                expected
            );
        }
        assert_eq!(rank(&outside, &[("SLURM_PROCID", "2")]), 2);
    }

    #[test]
    fn only_whole_numbers_above_zero_are_ranks_of_others() {
        assert_eq!([0.0, -1.0, 2.5, f64::NAN, 1e12].map(of_number), [None; 5]);
        assert_eq!(of_number(3.0), Some(3));
    }
}
