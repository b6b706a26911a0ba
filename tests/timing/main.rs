//! Tests that measure time, descriptors or memory. Each of them holds [`alone`] while it measures.
//!
//! Cargo runs test binaries one after the other, so nothing else of the test suite competes with
//! them.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod decisions;
mod readers;
mod scale;

/// Waits until no other test of this binary runs, and holds the others back until the guard is
/// dropped.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has no state to spoil for the next one.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
