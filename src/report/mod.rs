//! What a person reads of a study: tables, selections, summaries. Works on a [`Study`](crate::study::Study) alone; no I/O.

pub mod text;
