//! Tables for other programs: one row for each trial (wide) or for each report (long).
//! `docs/export.md` is their specification.
//!
//! The wide CSV is written by [`tracker::csv`](swath_engine::tracker::csv). Every study has it as
//! `trials.csv`.

pub mod frame;
pub mod long;
