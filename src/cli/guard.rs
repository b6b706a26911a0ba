//! `swath guard` and `swath slot`: the hidden processes that start the trials and end them when the
//! orchestrator is killed. `run` starts the guard, and the guard starts the slots; users never do.

use super::exit::Code;
use crate::executor::{guard, slot};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;

/// Arguments of `swath guard` and `swath slot`: none.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The two hidden commands. They skip the parser of the command line, so that each of their many
/// processes stays small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helper {
    Guard,
    Slot,
}

impl Helper {
    /// Returns the hidden command with this name.
    pub(super) fn named(name: &OsStr) -> Option<Self> {
        match name.to_str() {
            Some("guard") => Some(Self::Guard),
            Some("slot") => Some(Self::Slot),
            _ => None,
        }
    }
}

/// Runs a hidden command with the standard input as its socket.
pub(super) fn run(helper: Helper) -> Code {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return Code::Tool;
    };
    match serve(helper, socket) {
        Ok(()) => Code::Done,
        Err(_) => Code::Tool,
    }
}

fn serve(helper: Helper, socket: OwnedFd) -> std::io::Result<()> {
    match helper {
        Helper::Guard => guard::run(socket, slot_command()),
        Helper::Slot => slot::run(socket),
    }
}

/// Returns the command that starts the guard: this executable with the argument `guard`. `None` if
/// the path of the executable is unknown.
pub(super) fn command() -> Option<Command> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg("guard");
    Some(command)
}

fn slot_command() -> Command {
    use std::os::unix::process::CommandExt as _;
    let own = std::env::current_exe().ok().filter(|path| is_running(path));
    // The link also names this executable after its file was replaced or removed.
    let own = own.unwrap_or_else(|| "/proc/self/exe".into());
    let mut command = Command::new(own);
    command.arg0("swath").arg("slot");
    command
}

/// Returns whether the file is the executable of this process; unknown without `/proc`.
fn is_running(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(file), Ok(running)) = (path.metadata(), Path::new("/proc/self/exe").metadata()) else {
        return cfg!(not(target_os = "linux"));
    };
    (file.dev(), file.ino()) == (running.dev(), running.ino())
}
