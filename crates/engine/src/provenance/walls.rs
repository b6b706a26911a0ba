//! Checks whether trials can have control groups here, and whether the kernel can limit their
//! memory.

use super::probe::{Finding, State};
use crate::cgroup::{Cgroup, Prospect};

const GROUP: &str = "cgroup v2";
const LIMIT: &str = "memory limit";

/// The help for a run that has no control group of its own.
const CURE: &str = "`systemd-run --user --scope -p Delegate=yes swath run …` may give it";

/// Checks both, as a run started from this process's control group would find them.
pub(super) fn found() -> [Finding; 2] {
    let watched = |why: String| {
        Finding::new(
            LIMIT,
            State::Without,
            format!("watched ten times a second, not kept by the kernel: {why}; {CURE}"),
        )
    };
    let none = |why: String| {
        Finding::new(
            GROUP,
            State::Without,
            format!("no group for each trial: {why}"),
        )
    };
    let Some(own) = Cgroup::own() else {
        return [
            none("that of this process cannot be seen".to_owned()),
            watched("there are no groups".to_owned()),
        ];
    };
    let place = own.path().display();
    if let Err(why) = tried(&own) {
        return [
            none(format!("{why} in `{place}`; {CURE}")),
            watched("there are no groups".to_owned()),
        ];
    }
    let says =
        format!("every trial gets a group in `{place}`: what it starts is found however it hides");
    [Finding::new(GROUP, State::Good, says), limit(&own, watched)]
}

/// Creates a control group and removes it.
fn tried(own: &Cgroup) -> Result<(), String> {
    if !own.lends() {
        return Err("none can be made".to_owned());
    }
    let group = own.child(&format!("swath-doctor-{}", std::process::id()));
    group
        .make()
        .and_then(|()| group.remove())
        .map_err(|error| format!("none can be made ({error})"))
}

fn limit(own: &Cgroup, watched: impl Fn(String) -> Finding) -> Finding {
    let good = |says: &str| Finding::new(LIMIT, State::Good, says);
    match own.memory_prospect(|pid| pid == std::process::id()) {
        Prospect::Ready => good("`resources.memory` is kept by the kernel"),
        Prospect::Alone => {
            good("`resources.memory` is kept by the kernel: a run here is alone in its group")
        }
        Prospect::Others(count) => {
            let whose = if count == 1 {
                "another process is".to_owned()
            } else {
                format!("{count} other processes are")
            };
            watched(format!("{whose} in the group of this one"))
        }
        Prospect::NoController => watched("there is no memory controller".to_owned()),
    }
}
