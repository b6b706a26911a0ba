//! The effects of a sweep file that changed between two runs on the existing trials.

use super::Parts;
use crate::space::Params;
use crate::study::{Event, Study};

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
    let fits = |params: &Params| {
        let missing = fill
            .iter()
            .filter(|(name, _)| params.get(name).is_none())
            .cloned();
        let filled: Params = params.iter().cloned().chain(missing).collect();
        parts.space.admits(&filled).is_ok()
    };
    let outside = study
        .trials()
        .iter()
        .filter(|trial| !fits(&trial.params))
        .map(|trial| trial.id)
        .collect();
    Event::Edited {
        header: parts.header.clone(),
        changes: changes(parts, study),
        fill,
        outside,
    }
}

/// Returns the effects of an `Edited` event as one line of text.
pub(super) fn told(edited: &Event) -> String {
    let Event::Edited {
        changes, outside, ..
    } = edited
    else {
        return String::new();
    };
    let kept = match outside.len() {
        0 => String::new(),
        1 => "; 1 trial does not fit any more: it is kept, and counts for nothing".to_owned(),
        count => {
            format!("; {count} trials do not fit any more: they are kept, and count for nothing")
        }
    };
    format!("since the last run: {}{kept}", changes.join("; "))
}

/// Returns the differences between the headers, each as a phrase.
fn changes(parts: &Parts, study: &Study) -> Vec<String> {
    let (old, new) = (study.header(), &parts.header);
    let mut changes = Vec::new();
    let mut say = |what: &str, from: String, to: String| {
        if from != to {
            changes.push(format!("{what}: {from} → {to}"));
        }
    };
    let count =
        |trials: Option<u64>| trials.map_or("no limit".to_owned(), |count| count.to_string());
    say("study", old.name.clone(), new.name.clone());
    say("trials", count(old.trials), count(new.trials));
    say(
        "trials at a time",
        old.slots.to_string(),
        new.slots.to_string(),
    );
    let commit =
        |commit: &Option<String>| commit.clone().unwrap_or_else(|| "not in git".to_owned());
    say("code", commit(&old.git_commit), commit(&new.git_commit));
    // With another commit, its line has said already that the code differs.
    if old.git_commit == new.git_commit && old.code_patch != new.code_patch {
        let patch = |patch: &Option<String>| patch.clone().unwrap_or_else(|| "none".to_owned());
        say(
            "uncommitted changes (md5)",
            patch(&old.code_patch),
            patch(&new.code_patch),
        );
    }
    say("swath", old.swath.clone(), new.swath.clone());
    say("seed", old.seed.to_string(), new.seed.to_string());
    say("pipeline", old.pipeline.clone(), new.pipeline.clone());
    say("stage", old.stage.clone(), new.stage.clone());
    for name in new.params.iter().filter(|name| !old.params.contains(name)) {
        changes.push(format!("parameter `{name}` is new"));
    }
    for name in old.params.iter().filter(|name| !new.params.contains(name)) {
        changes.push(format!("parameter `{name}` is gone"));
    }
    let seeds = |seeds: Option<u32>| seeds.unwrap_or(1).to_string();
    if old.replicate != new.replicate {
        changes.push(format!(
            "seeds: {} → {}",
            seeds(old.replicate),
            seeds(new.replicate)
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
