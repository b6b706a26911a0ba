//! What can go wrong around trials while they run, driven through the binary. Each test ends only
//! what it started.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod breaker;
mod cgroups;
mod gpus;
mod input;
mod resources;
mod signals;
mod world;
