//! In the making.
pub(super) struct Appender {}
