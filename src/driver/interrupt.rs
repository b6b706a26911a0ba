//! Being told to stop: once gently, twice at once.

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// How often somebody asked the run to stop; shared with signal handlers and threads.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    asked: Arc<AtomicU32>,
    signal: Arc<AtomicI32>,
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
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let told = interrupt.clone();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                told.signal.store(signal, Ordering::SeqCst);
                told.ask();
            }
        })?;
        Ok(interrupt)
    }

    /// Asks once more.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
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
