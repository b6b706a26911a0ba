//! The journal: the single source of truth about a study. JSON lines, append only, one writer.
//!
//! `\n` is the commit mark. A journal may only be written after it was read to its end, so reading
//! it *returns* the writer: [`Journal::open`] returns a [`Replay`], whose
//! [`into_writer`](Replay::into_writer) cuts a torn tail and returns the [`Journal`].

mod blocks;
pub mod dir;
pub mod entries;
pub mod error;
mod line;
pub mod lock;
pub mod mark;
pub mod medium;
mod ownership;
pub mod replay;
mod report_line;
pub mod reports;
mod rescue;
pub mod salvage;
pub mod snapshot;
pub mod writer;

pub use dir::{HALF_PREPARED, PREPARED, REPETITION, StudyDir};
pub use error::JournalError;
pub use lock::{Holder, Lock};
pub use mark::{Mark, Shortfall, shortfall};
pub use medium::{Condition, Medium, is_full};
pub use ownership::{
    claim_trial, has_foreign_trial, has_own_trial, id_of, is_of_other_study, mark_folder, new_id,
    readable_trial, set_aside, set_study_aside,
};
pub use replay::Replay;
pub use rescue::Rescued;
pub use salvage::{Salvaged, salvage};
pub use snapshot::{read, settle, settle_except, settled};
pub use writer::Journal;

#[cfg(test)]
mod tests;
