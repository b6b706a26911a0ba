//! Commands that a test calls, and their output.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// The exit code and the output of a command. Without a code a signal has ended it.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("it writes UTF-8"),
            err: String::from_utf8(output.stderr).expect("it writes UTF-8"),
        }
    }
}

/// Runs swath in a folder. Returns its exit code, standard output and standard error.
pub(crate) fn swath(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_swath"));
    command.current_dir(folder).args(arguments);
    command.env_remove("SWATH_LOGS");
    let output = command.timeout(Duration::from_secs(120)).output();
    let Ended { code, out, err } = Ended::of(output.expect("it can be started"));
    (code.expect("no signal ends it"), out, err)
}
