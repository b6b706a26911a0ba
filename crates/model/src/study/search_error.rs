//! The error of a sampler or a scheduler that cannot decide any more.

/// The reason why a sampler or a scheduler cannot decide any more, such as a program that has
/// exited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SearchError {
    /// A description of the failure: which part failed, at which request, and why.
    pub message: String,
    /// An action that the user can take.
    pub hint: String,
}
