//! Failures around running trials, tested through the binary. Each test ends only the processes
//! that it started.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod breaker;
mod cgroups;
mod configs;
mod gpus;
mod input;
mod resources;
mod setup;
mod signals;
mod templates;
pub(crate) mod world;

pub(crate) use world::World;
