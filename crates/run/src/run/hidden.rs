//! Variables of the caller that a sweep file names, and the secrets among all variables.

use crate::sweep::Sweep;
use std::borrow::Cow;
use swath_engine::provenance::variables;
use swath_model::source::secret::Secrets;
use swath_model::source::variables::{Unset, fill as fill_text, fill_all};

/// Fills in the variables of the caller that the command, the environment and the setup of a sweep
/// name, and returns the secrets that no record may show.
///
/// # Errors
/// If a variable is not set and has no default.
pub(super) fn fill(mut sweep: Cow<'_, Sweep>) -> Result<(Cow<'_, Sweep>, Secrets), Unset> {
    let sweep_has_command = !sweep.run.command.is_empty() || !sweep.preparations.is_empty();
    if !sweep_has_command && sweep.run.env.is_empty() && sweep.run.setup.is_empty() {
        let secrets = variables::secrets(&[], &sweep.run.secret_env);
        return Ok((sweep, secrets));
    }
    let Sweep {
        run, preparations, ..
    } = sweep.to_mut();
    for (_, value) in &mut run.env {
        if let Cow::Owned(filled) = fill_text(value, variable)? {
            *value = filled;
        }
    }
    run.setup = fill_all(&run.setup)?;
    let secrets = variables::secrets(&run.env, &run.secret_env);
    run.command.fill(&secrets, variable)?;
    for preparation in preparations {
        preparation.command.fill(&secrets, variable)?;
    }
    Ok((sweep, secrets))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
