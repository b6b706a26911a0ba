//! Finding studies.
