//! Tests that measure time, descriptors or memory. Each test holds the guard of [`alone`] while it
//! measures.
//!
//! Cargo runs test binaries one after the other, so no other test of the suite competes with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod decisions;
mod memory;
mod readers;
mod scale;

/// Waits until no other test of this binary runs, and blocks the others until the guard is dropped.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test leaves no state behind, so a poisoned lock can be used.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
