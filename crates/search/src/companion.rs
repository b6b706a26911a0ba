//! Companions: programs of the user that serve a run beside its trials, as a sampler, a scheduler or
//! a tracker.
//!
//! This process starts them itself, unless it has set a [`Launcher`]. The `swath` program sets one
//! that starts them in slot processes, so that nothing that they start outlives a killed run.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Interval between two checks whether a companion has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A running companion. Dropping it leaves it a moment to end by itself; the launcher may then kill
/// it.
pub trait Companion: Send {
    /// Returns the exit status if the program has ended.
    ///
    /// # Errors
    /// If the program cannot be asked for.
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>>;

    /// Kills the program and waits until it is gone.
    fn kill(&mut self);
}

/// Starts companions.
pub trait Launcher: Send + Sync {
    /// Starts a program with additional variables of the environment, and with these descriptors as
    /// its standard input, output and error.
    ///
    /// # Errors
    /// If the program cannot be started.
    fn start(
        &self,
        command: &[String],
        env: &[(&str, OsString)],
        stdio: [OwnedFd; 3],
    ) -> io::Result<Box<dyn Companion>>;
}

static LAUNCHER: OnceLock<Box<dyn Launcher>> = OnceLock::new();

/// Sets the launcher of this process. Only the first call has an effect.
pub fn set_launcher(launcher: impl Launcher + 'static) {
    LAUNCHER.get_or_init(|| Box::new(launcher));
}

/// Starts a companion with the launcher of this process.
///
/// # Errors
/// If the program cannot be started.
pub fn start(
    command: &[String],
    env: &[(&str, OsString)],
    stdio: [OwnedFd; 3],
) -> io::Result<Box<dyn Companion>> {
    match LAUNCHER.get() {
        Some(launcher) => launcher.start(command, env, stdio),
        None => OwnChildren.start(command, env, stdio),
    }
}

/// Polls a companion until it ends. Returns `None` if it does not end in time.
pub fn wait(companion: &mut dyn Companion, patience: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        match companion.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if began.elapsed() < patience => thread::sleep(POLL_INTERVAL),
            _ => return None,
        }
    }
}

/// Starts companions as children of this process.
pub struct OwnChildren;

impl Launcher for OwnChildren {
    fn start(
        &self,
        command: &[String],
        env: &[(&str, OsString)],
        [stdin, stdout, stderr]: [OwnedFd; 3],
    ) -> io::Result<Box<dyn Companion>> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let child = Command::new(program)
            .args(arguments)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            // Ctrl-C signals the foreground process group, which the program must outlive.
            .process_group(0)
            .spawn()?;
        Ok(Box::new(child))
    }
}

impl Companion for Child {
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        Self::try_wait(self)
    }

    fn kill(&mut self) {
        let _ = Self::kill(self);
        let _ = self.wait();
    }
}
