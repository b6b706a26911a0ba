//! The next configuration: a pure function of the sweep, the seed and the study so far.
//!
//! `run`, `plan` and `replay` all call this module, so that their proposals are identical.

use super::{Parts, race};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::space::{Params, Space};
use swath_model::study::{Event, Origin, Study, TrialId};
use swath_numerics::stream::{self, Purpose};
use swath_search::sampler::Ask;

/// Returns the event that creates the next trial; `None` if no proposal is left. Replicates come
/// first, then the points of the sweep file, then the sampler's proposals.
#[must_use]
pub fn propose(parts: &Parts, study: &Study) -> Option<Event> {
    let trial = study.next_id();
    if let Some(head) = race::next(study).and_then(|id| study.trial(id)) {
        return Some(created(
            parts,
            trial,
            head.params.clone(),
            Origin::Replicate(head.id),
        ));
    }
    let ask = Ask {
        space: &parts.space,
        study,
        trial,
        seed: parts.header.seed,
    };
    let (params, origin) = point(parts, &ask).or_else(|| {
        let params = parts.sampler.suggest(&ask)?;
        let sampler = parts.sampler_name.clone();
        let origin = match parts.sampler.restart(&ask) {
            Some(why) => Origin::Restarted { sampler, why },
            None => Origin::Suggested(sampler),
        };
        Some((params, origin))
    })?;
    Some(created(parts, trial, params, origin))
}

/// Returns the event that creates the next trial from a configuration of the scheduler: starting
/// from the checkpoint of trial `from`, in place of trial `instead`, if they are given.
#[must_use]
pub fn given(
    parts: &Parts,
    study: &Study,
    params: Params,
    from: Option<TrialId>,
    instead: Option<TrialId>,
    why: String,
) -> Event {
    let origin = match from {
        Some(from) => Origin::Cloned { from, instead, why },
        None => Origin::Suggested(parts.sampler_name.clone()),
    };
    created(parts, study.next_id(), params, origin)
}

/// Returns the event that creates a trial, with its seed.
fn created(parts: &Parts, trial: TrialId, params: Params, origin: Origin) -> Event {
    Event::Created {
        trial,
        params,
        origin,
        seed: trial_seed(parts.header.seed, trial),
    }
}

/// Returns the value of `SWATH_SEED` for a trial. It has 31 bits, so that the generators of all
/// languages accept it.
#[must_use]
pub fn trial_seed(seed: u64, trial: TrialId) -> u64 {
    let mut rng = stream::stream(seed, Purpose::TrialSeed, u64::from(trial.0));
    u64::from(rng.random::<u32>() >> 1)
}

/// Returns the first point of the sweep file that no trial has tried, completed. Points that no
/// completion makes feasible are skipped.
fn point(parts: &Parts, ask: &Ask<'_>) -> Option<(Params, Origin)> {
    // Trials outside the space are not comparable with the others, so their points are tried again.
    let mut rng = ask.rng();
    for (index, given) in parts.points.iter().enumerate() {
        let is_tried = ask
            .study
            .trials()
            .iter()
            .any(|trial| !trial.outside && contains(&trial.params, given));
        if is_tried {
            continue;
        }
        if let Some(params) = completed(ask, given, &mut rng) {
            return Some((
                params,
                Origin::Point(u32::try_from(index).unwrap_or(u32::MAX)),
            ));
        }
    }
    None
}

/// Returns whether a configuration has all values of a partial one.
fn contains(params: &Params, part: &Params) -> bool {
    part.iter()
        .all(|(name, value)| params.get(name) == Some(value))
}

/// Draws the parameters missing from `given` until the constraints hold; `None` after 1000 draws.
fn completed(ask: &Ask<'_>, given: &Params, rng: &mut ChaCha8Rng) -> Option<Params> {
    (0..1000).find_map(|_| {
        let unit: Vec<f64> = (0..ask.space.dims()).map(|_| rng.random()).collect();
        let params = ask.space.complete(given, &unit);
        ask.space.admits(&params).is_ok().then_some(params)
    })
}

/// Returns the events that create `seeds` further trials of each of some configurations. The n-th
/// further trials of all configurations have the same seed, so that they can be compared in pairs.
#[must_use]
pub fn reruns(seed: u64, study: &Study, configurations: &[TrialId], seeds: u32) -> Vec<Event> {
    let first = study.next_id().0;
    let firsts = configurations.iter().filter_map(|id| study.trial(*id));
    let pairs = firsts.flat_map(|trial| (0..seeds).map(move |index| (trial, index)));
    pairs
        .zip(first..)
        .map(|((trial, index), id)| Event::Created {
            trial: TrialId(id),
            params: trial.params.clone(),
            origin: Origin::Rerun(trial.id),
            seed: trial_seed(seed, TrialId(first + index)),
        })
        .collect()
}

/// Returns the event that creates the next trial from a configuration given by a person, completed;
/// `None` if no completion satisfies the constraints.
#[must_use]
pub fn added(parts: &Parts, study: &Study, given: &Params) -> Option<Event> {
    added_to(&parts.space, parts.header.seed, study, given)
}

/// Does the same as [`added`] for a study that no process runs.
#[must_use]
pub fn added_to(space: &Space, seed: u64, study: &Study, given: &Params) -> Option<Event> {
    let trial = study.next_id();
    let ask = Ask {
        space,
        study,
        trial,
        seed,
    };
    let params = completed(&ask, given, &mut ask.rng())?;
    Some(Event::Created {
        trial,
        params,
        origin: Origin::Added,
        seed: trial_seed(seed, trial),
    })
}

/// Returns the trial of the same values, if `given` determines all values but constants and derived
/// ones; `None` if there is no such trial or `given` is incomplete.
#[must_use]
pub fn twin(space: &Space, study: &Study, given: &Params) -> Option<TrialId> {
    // Completing from several points of the unit cube gives equal values only if none was drawn.
    let params = space.complete(given, &vec![0.25; space.dims()]);
    let is_complete = [0.0, 0.5, 0.75, 0.999]
        .into_iter()
        .all(|unit| space.complete(given, &vec![unit; space.dims()]) == params);
    if !is_complete {
        return None;
    }
    study
        .trials()
        .iter()
        .find(|trial| trial.params == params)
        .map(|trial| trial.id)
}
