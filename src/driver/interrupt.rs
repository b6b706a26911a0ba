//! Being told to stop: once gently, twice at once.

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often somebody asked the run to stop; shared with signal handlers and threads.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    asked: Arc<AtomicU32>,
    signal: Arc<AtomicI32>,
    /// SIGTSTP came and was not obeyed yet.
    halt: Arc<AtomicBool>,
    /// SIGCONT came.
    went_on: Arc<AtomicBool>,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Nobody asked.
    None,
    /// Start nothing new; what runs may end by itself.
    Drain,
    /// Start nothing new; what runs gets SIGTERM and time to checkpoint.
    Stop,
    /// SIGKILL.
    Kill,
}

impl Interrupt {
    /// Makes one that counts SIGINT, SIGTERM, SIGHUP and SIGUSR1 (Slurm's warning) of this process.
    /// SIGHUP stays ignored if it was when the process began, as under `nohup`.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let told = interrupt.clone();
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        hear(
            [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup),
            move |signal| {
                told.signal.store(signal, Ordering::SeqCst);
                told.ask();
            },
        )?;
        Ok(interrupt)
    }

    /// Notes SIGTSTP and SIGCONT too, from now on. Who calls it has to run a study: a process that
    /// only notes SIGTSTP does not stop.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn halt_on_signals(&self) -> std::io::Result<()> {
        if is_ignored(SIGTSTP) {
            return Ok(());
        }
        let told = self.clone();
        hear([SIGTSTP, SIGCONT], move |signal| match signal {
            SIGTSTP => told.halt.store(true, Ordering::SeqCst),
            _ => told.went_on.store(true, Ordering::SeqCst),
        })
    }

    /// Asks once more.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns whether everything is to stand still, once for each time that it was asked.
    pub(super) fn takes_halt(&self) -> bool {
        self.halt.swap(false, Ordering::SeqCst)
    }

    /// Stops this process, as SIGTSTP would have; returns when it goes on, and how long it stood
    /// still.
    pub(super) fn stand_still(&self) -> Duration {
        use rustix::process::{Signal, getpid, kill_process};
        let begun = Instant::now();
        self.went_on.store(false, Ordering::SeqCst);
        if kill_process(getpid(), Signal::STOP).is_ok() {
            // The signal may reach another thread of this process first.
            while !self.went_on.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        begun.elapsed()
    }

    /// Returns how urgent it is.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self.asked.load(Ordering::SeqCst) {
            0 => Urgency::None,
            1 => Urgency::Stop,
            _ => Urgency::Kill,
        }
    }

    /// Returns the signal that asked last, 0 if none did.
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.signal.load(Ordering::SeqCst)
    }
}

/// Hands every signal of these that comes to `each`, in a thread of its own.
fn hear(
    signals: impl IntoIterator<Item = i32>,
    mut each: impl FnMut(i32) + Send + 'static,
) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread
        .spawn(move || signals.forever().for_each(&mut each))
        .map(drop)
}

/// Returns whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    ignored >> (signal - 1) & 1 == 1
}
