//! What a person reads of a study: tables, selections, summaries. Works on a [`Study`](crate::study::Study) alone; no I/O.

pub mod compare;
pub mod export;
pub mod facts;
pub mod formula;
pub mod json;
pub mod listing;
pub mod number;
pub mod rank;
pub mod row;
pub mod select;
pub mod summary;
pub mod table;
pub mod text;
