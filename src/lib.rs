//! `swath`: hyperparameter sweeps with trial logging.
//!
//! A **sweep** file defines the search and its settings. A `sampler` proposes configurations from
//! its [`space`], and a `scheduler` decides how long each **trial** may run. An `executor` runs the
//! trials. Every trial has a logger bound to its pipeline, stage and trial id. Executors and
//! loggers send events to one driver. The driver appends each event to the journal, folds it into
//! the [`study`], informs the sampler and the scheduler, and passes it on to the `tracker`s.

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
