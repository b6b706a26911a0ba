//! Tables for other programs: one row a trial (wide) or one row a report (long). `docs/export.md`
//! is their contract.
//!
//! The wide CSV is [`tracker::csv`](crate::tracker::csv), which every study has as `trials.csv`.

pub mod frame;
pub mod long;
#[cfg(feature = "cli")]
pub mod parquet;
