//! Stops the terminal from printing `^C` into the progress display.
//!
//! The cursor stands at the start of the display, whose first two characters would be overwritten.

use rustix::termios::{self, LocalModes, OptionalActions};
use std::io::stderr;

/// A guard: while it lives, the terminal does not print typed control characters.
pub(super) struct EchoOff(());

impl EchoOff {
    /// Turns the echo off. `None` if this process runs in the background, standard error is no
    /// terminal, or the echo is off already.
    pub(super) fn new() -> Option<Self> {
        set(false).then_some(Self(()))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        set(true);
    }
}

/// Switches the echo of control characters on or off. Returns whether that changed the terminal.
fn set(shown: bool) -> bool {
    // A background process that changes the terminal would be stopped by SIGTTOU.
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
