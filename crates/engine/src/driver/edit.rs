//! The effects of a sweep file that changed between two runs on the existing trials.

use super::Parts;
use swath_model::space::Params;
use swath_model::study::{Event, Study};

/// Returns the event that describes the changes. Trials that lack a new parameter get its default.
/// Trials outside the space even then are kept, and no longer count.
#[must_use]
pub(super) fn edited(parts: &Parts, study: &Study) -> Event {
    let old = study.header();
    let fill: Params = parts
        .space
        .defaults()
        .iter()
        .filter(|(name, _)| !old.params.contains(name))
        .cloned()
        .collect();
    let outside = study
        .trials()
        .iter()
        .filter(|trial| parts.space.admits(&filled(&trial.params, &fill)).is_err())
        .map(|trial| trial.id)
        .collect();
    Event::Edited {
        header: parts.header.clone(),
        changes: changes(parts, study),
        fill,
        outside,
    }
}

/// Adds the parameters of `fill` that are missing from a configuration.
fn filled(params: &Params, fill: &Params) -> Params {
    let missing = fill.iter().filter(|(name, _)| params.get(name).is_none());
    params.iter().chain(missing).cloned().collect()
}

/// Returns the effects of an `Edited` event as one line of text.
pub(super) fn summary(edited: &Event) -> String {
    let Event::Edited {
        changes, outside, ..
    } = edited
    else {
        return String::new();
    };
    let kept = match outside.len() {
        0 => String::new(),
        1 => "; 1 trial no longer fits: it is kept, but does not count".to_owned(),
        count => format!("; {count} trials no longer fit: they are kept, but do not count"),
    };
    format!("since the last run: {}{kept}", changes.join("; "))
}

/// Returns the differences between the headers, each as a phrase.
fn changes(parts: &Parts, study: &Study) -> Vec<String> {
    let (old, new) = (study.header(), &parts.header);
    let mut changes: Vec<String> = [
        change("study", &old.name, &new.name),
        change("trials", &count(old.trials), &count(new.trials)),
        change(
            "trials at a time",
            &old.slots.to_string(),
            &new.slots.to_string(),
        ),
        change(
            "code",
            old.git_commit.as_deref().unwrap_or("not in git"),
            new.git_commit.as_deref().unwrap_or("not in git"),
        ),
        // With another commit, its line has said already that the code differs.
        change(
            "uncommitted changes (md5)",
            old.code_patch.as_deref().unwrap_or("none"),
            new.code_patch.as_deref().unwrap_or("none"),
        )
        .filter(|_| old.git_commit == new.git_commit),
        change("swath", &old.swath, &new.swath),
        change("seed", &old.seed.to_string(), &new.seed.to_string()),
        change("pipeline", &old.pipeline, &new.pipeline),
        change("stage", &old.stage, &new.stage),
    ]
    .into_iter()
    .flatten()
    .collect();
    for name in new.params.iter().filter(|name| !old.params.contains(name)) {
        changes.push(format!("parameter `{name}` is new"));
    }
    for name in old.params.iter().filter(|name| !new.params.contains(name)) {
        changes.push(format!("parameter `{name}` is gone"));
    }
    if old.replicate != new.replicate {
        changes.push(format!(
            "seeds: {} → {}",
            old.replicate.unwrap_or(1),
            new.replicate.unwrap_or(1)
        ));
    }
    if old.limits != new.limits {
        changes.push("the outcome constraints changed".to_owned());
    }
    if old.objectives != new.objectives {
        changes.push("the objective changed".to_owned());
    }
    if changes.is_empty() {
        changes.push("the text of the sweep file changed".to_owned());
    }
    changes
}

/// Returns a difference between two values as a phrase; `None` if they are equal.
fn change(subject: &str, from: &str, to: &str) -> Option<String> {
    (from != to).then(|| format!("{subject}: {from} → {to}"))
}

fn count(trials: Option<u64>) -> String {
    trials.map_or_else(|| "no limit".to_owned(), |count| count.to_string())
}
