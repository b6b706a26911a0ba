//! Comparison of trials from one or more studies or CSV files: groups of trials, their means, and
//! whether a difference is more than noise.
//!
//! A [`source`] provides rows, and [`group`] forms groups of them. [`verdict`] compares each group
//! with a reference, and [`ranking`] sorts the groups. [`show`] and [`record`] turn the result into
//! tables and JSON. An [`assertion`] checks an expectation of the user. `docs/compare.md` documents
//! the choice of interval, test and correction.

pub mod assertion;
pub mod group;
pub mod ranking;
pub mod record;
pub mod show;
pub mod source;
pub mod table;
pub mod verdict;

pub use group::{Group, Grouping};
pub use ranking::Ranking;
pub use source::{Row, Source, adaptive};
pub use table::Table;
pub use verdict::{Against, Rules, Test, Verdict};
