//! `swath run --detach`: runs the same command in the background, in its own process group, so that
//! closing the terminal does not end it.

use super::Context;
use super::exit::{Code, Failure};
use crate::journal::StudyDir;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The time within which a failure of the background process counts as immediate.
const STARTUP: Duration = Duration::from_millis(1500);

/// Starts this command line again without `--detach`. The output of the new process is appended to
/// `run.log` in the folder of the study `name`. If the process exits within [`STARTUP`], its output
/// is printed here and its status decides the result.
pub(super) fn run(name: &str, context: &mut Context) -> Result<Code, Failure> {
    let dir = StudyDir::new(&context.logs, name);
    std::fs::create_dir_all(dir.root())?;
    let path = dir.root().join("run.log");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let start = log.metadata()?.len();
    let arguments = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--detach");
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let started = Instant::now();
    while started.elapsed() < STARTUP {
        if let Some(status) = child.try_wait()? {
            // The log may hold the output of earlier runs, which is not repeated.
            let bytes = std::fs::read(&path).unwrap_or_default();
            let output = bytes
                .get(usize::try_from(start).unwrap_or(0)..)
                .unwrap_or_default();
            context.out.say(String::from_utf8_lossy(output).trim_end());
            return match status.code() {
                Some(0) => Ok(Code::Done),
                code => Err(Failure::tool(format!(
                    "the run ended immediately with status {}",
                    code.unwrap_or(-1)
                ))),
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    context.out.say(format_args!(
        "running in the background as process {}; its output is in {}",
        child.id(),
        path.display()
    ));
    context.out.say(format_args!(
        "`swath show {name}` shows its progress, `swath stop {name}` ends it"
    ));
    Ok(Code::Done)
}
