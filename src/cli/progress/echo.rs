//! Keeps the terminal from writing `^C` into the bars.
//!
//! indicatif leaves the cursor behind the last column, so the two letters would wrap, and every
//! line would be drawn one too low.

use rustix::termios::{self, LocalModes, OptionalActions};
use std::io::stderr;

/// The terminal shows no control characters that are typed, until this is dropped.
pub(super) struct Hidden(());

impl Hidden {
    /// Asks the terminal; `None` if it is not ours to ask (we run in the background) or shows none
    /// anyway.
    pub(super) fn new() -> Option<Self> {
        set(false).then_some(Self(()))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        set(true);
    }
}

/// Lets the terminal show control characters, or not; returns whether that changed anything.
fn set(shown: bool) -> bool {
    // A process in the background would be stopped for changing the terminal.
    let ours = termios::tcgetpgrp(stderr()).is_ok_and(|group| group == rustix::process::getpgrp());
    let Some(mut modes) = termios::tcgetattr(stderr()).ok().filter(|_| ours) else {
        return false;
    };
    if modes.local_modes.contains(LocalModes::ECHOCTL) == shown {
        return false;
    }
    modes.local_modes.set(LocalModes::ECHOCTL, shown);
    termios::tcsetattr(stderr(), OptionalActions::Now, &modes).is_ok()
}
