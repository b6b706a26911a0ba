//! A sweep from its file to the closed study: the checked sweep file, the registry of the kinds
//! that it can name, and the run.

pub mod run;
pub mod sweep;
