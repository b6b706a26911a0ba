//! Checks whether trials can have control groups here, and whether the kernel can limit their
//! memory.

use super::probe::{Finding, State};
use crate::cgroup::{Cgroup, Prospect};

const GROUP: &str = "cgroup v2";
const LIMIT: &str = "memory limit";

/// The help for a run that has no control group of its own.
const HELP: &str = "`systemd-run --user --scope -p Delegate=yes swath run …` may provide it";

/// Checks both, as a run started from this process's control group would find them.
pub(super) fn check() -> [Finding; 2] {
    let Some(own) = Cgroup::own() else {
        return [
            no_group("the group of this process is not visible"),
            no_limit("there are no groups"),
        ];
    };
    let path = own.path().display();
    if let Err(why) = try_to_create(&own) {
        return [
            no_group(&format!("{why} in `{path}`; {HELP}")),
            no_limit("there are no groups"),
        ];
    }
    let says =
        format!("every trial gets a group in `{path}`, by which all its processes can be found");
    [Finding::new(GROUP, State::Good, says), check_limit(&own)]
}

/// Creates a control group and removes it.
fn try_to_create(own: &Cgroup) -> Result<(), String> {
    if !own.lends() {
        return Err("none can be created".to_owned());
    }
    let group = own.child(&format!("swath-doctor-{}", std::process::id()));
    group
        .make()
        .and_then(|()| group.remove())
        .map_err(|error| format!("none can be created ({error})"))
}

fn check_limit(own: &Cgroup) -> Finding {
    match own.memory_prospect(|pid| pid == std::process::id()) {
        Prospect::Ready => {
            Finding::new(LIMIT, State::Good, "the kernel enforces `resources.memory`")
        }
        Prospect::Alone => Finding::new(
            LIMIT,
            State::Good,
            "the kernel enforces `resources.memory`: a run here is alone in its group",
        ),
        Prospect::Others(1) => no_limit("another process is in the group of this one"),
        Prospect::Others(count) => no_limit(&format!(
            "{count} other processes are in the group of this one"
        )),
        Prospect::NoController => no_limit("there is no memory controller"),
    }
}

fn no_group(why: &str) -> Finding {
    let says = format!("no group for each trial: {why}");
    Finding::new(GROUP, State::Without, says)
}

/// The supervisor then enforces the limit itself.
fn no_limit(why: &str) -> Finding {
    let says = format!(
        "swath measures memory ten times a second, the kernel does not limit it: {why}; {HELP}"
    );
    Finding::new(LIMIT, State::Without, says)
}
