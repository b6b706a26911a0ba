//! Variables of the caller that a sweep file names, and the secrets among all variables.

use crate::sweep::Sweep;
use std::borrow::Cow;
use swath_model::source::secret::Secrets;
use swath_model::source::variables::Unset;

/// Fills in the placeholders of a sweep that are the same for every trial, and returns the secrets
/// that no record may show.
///
/// # Errors
/// If a variable is not set and has no default.
pub(super) fn fill(sweep: Cow<'_, Sweep>) -> Result<(Cow<'_, Sweep>, Secrets), Unset> {
    let mut sweep = sweep.into_owned();
    let secrets = sweep.fill(&|name| std::env::var(name).ok())?;
    Ok((Cow::Owned(sweep), secrets))
}
