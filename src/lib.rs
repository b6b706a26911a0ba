//! `swath`: hyperparameter sweeps with trial logging.
//!
//! A **sweep** file says what to search and how. Its [`space`] is expanded by a `sampler` and paced
//! by a `scheduler` into **trials**. An `executor` runs each trial; each gets a logger bound to
//! pipeline, stage and trial id. All that happens comes back as events to one driver, which appends
//! each to the journal, folds it into the [`study`], tells sampler and scheduler, and hands it to
//! the `tracker`s.

#[cfg(feature = "engine")]
mod cgroup;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod driver;
#[cfg(feature = "engine")]
pub mod executor;
#[cfg(feature = "engine")]
pub mod journal;
pub mod logger;
#[cfg(feature = "engine")]
pub mod numerics;
#[cfg(feature = "engine")]
pub mod provenance;
#[cfg(feature = "engine")]
pub mod report;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
pub mod sampler;
#[cfg(feature = "engine")]
pub mod scheduler;
#[cfg(feature = "engine")]
pub mod source;
pub mod space;
pub mod study;
#[cfg(feature = "engine")]
pub mod sweep;
#[cfg(feature = "engine")]
pub mod tracker;
