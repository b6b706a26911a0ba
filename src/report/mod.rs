//! What a person reads of a study: tables, selections, summaries, plots. Works on a
//! [`Study`](crate::study::Study) alone; only [`view`] reads, without taking anything.

pub mod compare;
pub mod export;
pub mod facts;
pub mod formula;
pub mod front;
pub mod json;
pub mod listing;
pub mod number;
pub mod page;
pub mod plots;
pub mod rank;
pub mod row;
pub mod select;
pub mod summary;
pub mod table;
pub mod text;
pub mod view;
