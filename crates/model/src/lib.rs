//! The model of swath, which all other crates use: text with positions and diagnostics, search
//! spaces, and studies as folds over events. Nothing here does input or output, except for
//! [`source::Source::read`].

#[cfg(any(test, feature = "demo"))]
#[doc(hidden)]
pub mod demo;
#[cfg(feature = "spaces")]
pub mod source;
pub mod space;
pub mod study;
