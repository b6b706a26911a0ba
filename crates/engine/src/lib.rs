//! The engine: the journal on disk, the driver that is its single writer, and the execution of
//! trials on this machine.

pub mod cgroup;
pub mod driver;
pub mod executor;
pub mod journal;
pub mod keep;
mod platform;
pub mod provenance;
pub mod tracker;

pub use swath_search::companion;
