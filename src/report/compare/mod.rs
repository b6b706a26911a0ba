//! Comparing trials of one or more studies or CSV files: groups of them, their means, and whether a
//! difference is more than noise.
//!
//! A [`source`] gives rows, [`group`] puts them into groups, [`verdict`] compares each group with a
//! reference, [`ranking`] puts them in order, [`show`] and [`record`] make tables and JSON of it,
//! and an [`assertion`] checks what a person expects. `docs/compare.md` says which interval, test
//! and correction, and why.

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
pub use source::{Row, Source};
pub use table::Table;
pub use verdict::{Against, Rules, Test, Verdict};
