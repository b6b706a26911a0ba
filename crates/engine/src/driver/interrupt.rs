//! Requests to stop: the first one stops the run gently, the second one kills it at once.

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGXFSZ};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The number of requests to stop this run. Clones share it, so that signal handlers and threads
/// can add to it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requests: Arc<AtomicU32>,
    signal: Arc<AtomicI32>,
    /// Whether a SIGTSTP is pending, that is, received and not obeyed yet.
    halt: Arc<AtomicBool>,
    /// Whether SIGCONT was received since the process last stopped.
    is_continued: Arc<AtomicBool>,
}

/// The urgency of a request to stop, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// There is no request.
    None,
    /// Start nothing new. Running trials may end by themselves.
    Drain,
    /// Start nothing new. Running trials get SIGTERM and the grace period to write a checkpoint.
    Stop,
    /// Running trials get SIGKILL at once.
    Kill,
}

impl Interrupt {
    /// Returns an interrupt that counts SIGINT, SIGTERM, SIGHUP and SIGUSR1 (Slurm's warning) of
    /// this process. SIGHUP stays ignored if it was ignored when the process began, as under
    /// `nohup`.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn on_signals() -> std::io::Result<Self> {
        Self::on_signals_or(Duration::ZERO, |_| {})
    }

    /// Returns an interrupt as [`on_signals`](Self::on_signals) does. If this process still lives
    /// `patience` after the second request, `abandon` is called in the thread of the signals: it is
    /// to end the process, whatever its other threads wait for.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn on_signals_or(
        patience: Duration,
        abandon: impl Fn(&Self) + Send + 'static,
    ) -> std::io::Result<Self> {
        let interrupt = Self::default();
        let shared = interrupt.clone();
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        call_on_signals(
            [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup),
            move |signal| {
                shared.signal.store(signal, Ordering::SeqCst);
                shared.ask();
                if shared.urgency() == Urgency::Kill {
                    std::thread::sleep(patience);
                    abandon(&shared);
                }
            },
        )?;
        Ok(interrupt)
    }

    /// Also records SIGTSTP and SIGCONT from now on. Only a process that runs a study may call
    /// this: once the signal is caught, only [`Driver::run`](super::Driver::run) and the setup
    /// before it suspend the process.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn halt_on_signals(&self) -> std::io::Result<()> {
        // A process started with SIGTSTP ignored is not meant to be suspended.
        if is_ignored(SIGTSTP) {
            return Ok(());
        }
        let shared = self.clone();
        call_on_signals([SIGTSTP, SIGCONT], move |signal| match signal {
            SIGTSTP => shared.halt.store(true, Ordering::SeqCst),
            _ => shared.is_continued.store(true, Ordering::SeqCst),
        })
    }

    /// Adds one request to stop.
    pub fn ask(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns whether a SIGTSTP is pending, and clears it.
    #[must_use]
    pub fn take_halt(&self) -> bool {
        self.halt.swap(false, Ordering::SeqCst)
    }

    /// Stops this process, as an uncaught SIGTSTP would. Returns after SIGCONT, with the time spent
    /// stopped.
    pub fn suspend_process(&self) -> Duration {
        use rustix::process::{Signal, getpid, kill_process};
        let begun = Instant::now();
        self.is_continued.store(false, Ordering::SeqCst);
        if kill_process(getpid(), Signal::STOP).is_ok() {
            // SIGSTOP may reach other threads of this process before this one: wait for SIGCONT
            // itself.
            while !self.is_continued.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        begun.elapsed()
    }

    /// Returns the urgency: `Stop` after the first request, `Kill` after any further one.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self.requests.load(Ordering::SeqCst) {
            0 => Urgency::None,
            1 => Urgency::Stop,
            _ => Urgency::Kill,
        }
    }

    /// Returns the number of the last signal that requested a stop; 0 if none did.
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.signal.load(Ordering::SeqCst)
    }
}

/// Lets a write that would exceed the limit on the size of a file (`ulimit -f`) fail, instead of
/// killing this process. A signal that is caught, unlike one that is ignored, has its usual effect
/// in the programs that this process starts.
///
/// # Errors
/// If the handler cannot be set.
pub fn survive_file_size_limit() -> std::io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Calls `each` for every received signal of `signals`, in a thread of its own.
fn call_on_signals(
    signals: impl IntoIterator<Item = i32>,
    mut each: impl FnMut(i32) + Send + 'static,
) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread
        .spawn(move || signals.forever().for_each(&mut each))
        .map(drop)
}

/// Returns whether a signal was ignored when this process started.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
