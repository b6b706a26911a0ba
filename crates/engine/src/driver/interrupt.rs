//! Requests to stop: the first one stops the run gently, the second one kills it at once.

use super::control::Control;
use crate::executor::WakeUp;
use crate::journal::StudyDir;
use crate::platform;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGXFSZ};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Interval between two looks for a request of `swath stop --now`.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

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
    /// Ends the wait of the run for its trials.
    wake_up: Arc<Mutex<Option<WakeUp>>>,
    /// Called some time after the second request; absent if nothing is to be called.
    last_resort: Arc<OnceLock<LastResort>>,
}

/// The end of a process that does not end in order.
struct LastResort {
    patience: Duration,
    abandon: Box<dyn Fn(&Interrupt) + Send + Sync>,
    is_due: AtomicBool,
}

impl std::fmt::Debug for LastResort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LastResort").field(&self.patience).finish()
    }
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
    /// `patience` after the second request, `abandon` is called in a thread of its own: it is to end
    /// the process, whatever the other threads wait for.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn on_signals_or(
        patience: Duration,
        abandon: impl Fn(&Self) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let interrupt = Self::default();
        interrupt.last_resort.get_or_init(|| LastResort {
            patience,
            abandon: Box::new(abandon),
            is_due: AtomicBool::new(false),
        });
        let shared = interrupt.clone();
        let hangup = (!platform::is_ignored(SIGHUP)).then_some(SIGHUP);
        call_on_signals(
            [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup),
            move |signal| {
                shared.signal.store(signal, Ordering::SeqCst);
                shared.ask();
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
        if platform::is_ignored(SIGTSTP) {
            return Ok(());
        }
        let shared = self.clone();
        call_on_signals([SIGTSTP, SIGCONT], move |signal| match signal {
            SIGTSTP => {
                shared.halt.store(true, Ordering::SeqCst);
                shared.wake_run();
            }
            _ => shared.is_continued.store(true, Ordering::SeqCst),
        })
    }

    /// Lets each further request wake a run that waits for its trials.
    pub(super) fn wake_with(&self, wake_up: Option<WakeUp>) {
        *self.wake_up.lock().unwrap_or_else(PoisonError::into_inner) = wake_up;
    }

    fn wake_run(&self) {
        let wake_up = self.wake_up.lock().unwrap_or_else(PoisonError::into_inner);
        wake_up.iter().for_each(WakeUp::call);
    }

    /// Adds one request to stop.
    pub fn ask(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.wake_run();
        if self.urgency() == Urgency::Kill {
            self.begin_last_resort();
        }
    }

    /// Raises the urgency to `Kill`.
    pub fn kill(&self) {
        // The run itself calls this in each of its rounds.
        if self.requests.fetch_max(2, Ordering::SeqCst) < 2 {
            self.wake_run();
        }
        self.begin_last_resort();
    }

    /// Watches for a request of `swath stop --now` to the run of the study in `dir`, which the
    /// driver does not read while it waits for something else. Ends with this process.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn watch(&self, dir: &StudyDir) -> std::io::Result<()> {
        let (shared, dir) = (self.clone(), dir.clone());
        let thread = std::thread::Builder::new().name("stop-requests".to_owned());
        let watcher = thread.spawn(move || {
            while Control::pending(&dir).and_then(|request| request.stop) != Some(Urgency::Kill) {
                std::thread::sleep(WATCH_INTERVAL);
            }
            shared.kill();
        });
        watcher.map(drop)
    }

    /// Starts the thread that abandons this process if it does not end in order; once.
    fn begin_last_resort(&self) {
        let Some(last_resort) = self.last_resort.get() else {
            return;
        };
        if last_resort.is_due.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("last-resort".to_owned());
        // Without a thread the run ends in order, or not at all.
        let _ = thread.spawn(move || {
            if let Some(last_resort) = shared.last_resort.get() {
                std::thread::sleep(last_resort.patience);
                (last_resort.abandon)(&shared);
            }
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_to_stop_wakes_the_run_and_a_repeated_kill_does_not() {
        let (sender, calls) = crossbeam_channel::unbounded();
        let interrupt = Interrupt::default();
        interrupt.wake_with(Some(WakeUp::new(sender)));
        let has_woken = || calls.try_recv().is_ok();
        assert!(!has_woken());
        interrupt.ask();
        assert!(has_woken() && !has_woken());
        interrupt.kill();
        assert!(has_woken());
        interrupt.kill();
        assert!(!has_woken());
        interrupt.wake_with(None);
        interrupt.ask();
        assert!(!has_woken());
    }
}
