//! The sources that a sweep file can name in `[[source]]`. Each translates what a program writes
//! for another tool into records.
//!
//! To add a source, write a module here with its `KIND` and list it in [`SOURCES`].

mod files;
mod mlflow;
mod rename;
mod reporting;

use swath_engine::executor::RecordSource;
use swath_model::study::Kind;

/// All sources that a sweep file can name in `[[source]]`.
pub const SOURCES: &[Kind<dyn RecordSource>] = &[files::KIND, mlflow::KIND];
