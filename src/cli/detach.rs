//! `swath run --detach`: runs the same command in the background, in its own process group, so that
//! closing the terminal does not end it.

use super::Context;
use super::exit::{Code, Failure};
use crate::journal::StudyDir;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The time to wait for an immediate failure of the background process.
const LOOK: Duration = Duration::from_millis(1500);

/// Starts this command line again without `--detach`. The output of the new process is appended to
/// `run.log` in the folder of the study `name`. If the process exits within [`LOOK`], its output is
/// printed here and its status decides the result.
pub(super) fn run(name: &str, context: &mut Context) -> Result<Code, Failure> {
    let dir = StudyDir::new(&context.logs, name);
    std::fs::create_dir_all(dir.root())?;
    let path = dir.root().join("run.log");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let began = log.metadata()?.len();
    let words = std::env::args_os()
        .skip(1)
        .filter(|word| word != "--detach");
    let mut child = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < LOOK {
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read(&path).unwrap_or_default();
            let said = said
                .get(usize::try_from(began).unwrap_or(0)..)
                .unwrap_or_default();
            context.out.say(String::from_utf8_lossy(said).trim_end());
            return match status.code() {
                Some(0) => Ok(Code::Done),
                code => Err(Failure::tool(format!(
                    "the run ended at once with status {}",
                    code.unwrap_or(-1)
                ))),
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    context.out.say(format_args!(
        "runs in the background as process {}; it says more in {}",
        child.id(),
        path.display()
    ));
    context.out.say(format_args!(
        "look: swath show {name}; end it: swath stop {name}"
    ));
    Ok(Code::Done)
}
