//! `swath run --detach`: the same run in the background, in a process group of its own, so that a
//! terminal that closes does not end it.

use super::Context;
use super::exit::{Code, Failure};
use crate::journal::StudyDir;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long is waited to see whether it fails at once.
const LOOK: Duration = Duration::from_millis(1500);

/// Starts this very command line again without `--detach`; what it says goes to `run.log` of the
/// study called `name`.
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
