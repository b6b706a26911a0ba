//! `swath run --learn-from`: starts a study with the best configurations of earlier ones.

use super::exit::Failure;
use super::{Context, studies};
use crate::cluster::pilot;
use crate::report::text::plain;
use crate::run::Opened;
use crate::space::{Params, Space};
use crate::study::{Study, Trial};
use crate::sweep::Sweep;

/// Number of configurations that are taken from each earlier study. They take the place of points
/// of the initial design, which has six to eight, so that a study that turns out to be unrelated
/// costs little.
const TAKEN: usize = 3;

/// Number of configurations of an earlier study that are examined, the best first.
const EXAMINED: usize = 20;

/// Adds the best configurations of the studies `names` to a study, and says which. A study that has
/// trials of its own is left as it is: it has learned when it began.
pub(super) fn learn(
    opened: &mut Opened<'_>,
    sweep: &Sweep,
    names: &[String],
    context: &mut Context,
) -> Result<(), Failure> {
    let mut studies = Vec::new();
    for name in names {
        let dir = studies::named(&context.logs, name)?;
        studies.push((name, pilot::settled(&dir)?));
    }
    if !opened.study().trials().is_empty() {
        context
            .out
            .say("`--learn-from` changes nothing: the study has trials already");
        return Ok(());
    }
    for (name, study) in studies {
        let name = plain(name).into_owned();
        if let Some(reason) = unrelated(sweep, &study) {
            context
                .out
                .warn(format!("nothing is learned from `{name}`: {reason}"));
            continue;
        }
        let mut taken = Vec::new();
        for trial in study.best(EXAMINED) {
            if taken.len() < TAKEN && opened.add(&shared(&sweep.space, trial))?.is_some() {
                taken.push(trial.id.to_string());
            }
        }
        if taken.is_empty() {
            let reason = "the space admits none of its best configurations";
            context
                .out
                .warn(format!("nothing is learned from `{name}`: {reason}"));
        } else {
            context.out.say(format_args!(
                "learned from `{name}`: the configurations of its best trials {} run first",
                taken.join(", ")
            ));
        }
    }
    Ok(())
}

/// Returns the reason why the best trials of a study mean nothing to a sweep.
fn unrelated(sweep: &Sweep, study: &Study) -> Option<String> {
    let (own, other) = (sweep.objectives.first()?, study.header().objectives.first());
    let Some(other) = other else {
        return Some("it has no objective".to_owned());
    };
    if (&other.metric, other.goal) != (&own.metric, own.goal) {
        return Some(format!(
            "its objective is `{}`, and not `{}` with the same goal",
            plain(&other.metric),
            plain(&own.metric)
        ));
    }
    let mut trials = study.trials().iter();
    let shares_none = trials.all(|trial| shared(&sweep.space, trial).is_empty());
    shares_none.then(|| "it has no parameter of this sweep".to_owned())
}

/// Returns the values that a trial has for parameters of a space. The others are drawn.
fn shared(space: &Space, trial: &Trial) -> Params {
    let values = trial.params.iter();
    values
        .filter(|(name, _)| space.is_drawn(name))
        .map(|(name, value)| (name.clone(), space.typed(name, value)))
        .collect()
}
