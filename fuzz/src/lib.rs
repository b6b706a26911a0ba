//! The targets of `tests/engine/fuzz/targets.rs`, for the programs in `fuzz_targets/`.

#[path = "../../tests/engine/fuzz/targets.rs"]
mod targets;

/// A function that takes any bytes and panics on none.
pub type Target = fn(&[u8]);

/// Expressions of sweep files, and formulas of `--where`.
pub const EXPRESSION: Target = targets::expression;
/// Heads of HTTP requests to `swath ui`.
pub const HTTP_REQUEST: Target = targets::http_request;
/// Files that `swath import` reads.
pub const IMPORT: Target = targets::import_file;
/// Journals, and their salvage.
pub const JOURNAL: Target = targets::journal;
/// The records file of a trial, read by its supervisor.
pub const RECORDS_FILE: Target = targets::records_file;
/// Lines of `$SWATH_RECORDS`.
pub const RECORD_LINES: Target = targets::record_lines;
/// Sweep files.
pub const SWEEP_FILE: Target = targets::sweep_file;
