//! Reports on a study for people and for other programs: tables, selections, summaries, plots and
//! exports.
//!
//! The modules read a [`Study`](swath_model::study::Study) that was already replayed. No module takes the
//! lock of the study, and only [`view`] and [`formula`] read its journal.
pub mod analysis;
pub mod compare;
pub mod export;
pub mod facts;
pub mod formula;
pub mod front;
pub mod insights;
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
