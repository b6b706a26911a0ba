//! `swath verify`: hashes data, models and code again, and reports every difference from the
//! record.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::SelectionArgs;
use crate::report::text::plain;
use crate::run::verify::{Drift, Subject, verify};
use crate::study::TrialId;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

/// Arguments of `swath verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Reads every recorded file again, on all cores. Exit code 6: something has changed. Without \
        trials, the whole study is checked.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Check only these: data, model, artifact, code, file, lock, sweep
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = Subject::ALL.map(|(name, _)| name))]
    pub(crate) only: Vec<String>,

    /// The folder of the project, if it has moved
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath verify`: returns [`Code::Difference`] if anything differs from the record.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let trials = selection.trials()?;
    if trials.is_empty() && selection.is_selective() {
        return Err(selection.nothing());
    }
    if let Some(workdir) = args.workdir.as_ref().filter(|workdir| !workdir.is_dir()) {
        return Err(Failure::usage(format!(
            "there is no folder `{}`",
            plain(&workdir.display().to_string())
        )));
    }
    let only: BTreeSet<Subject> = Subject::ALL
        .into_iter()
        .filter(|(name, _)| args.only.iter().any(|selected| selected == name))
        .map(|(_, subject)| subject)
        .collect();
    let verified = verify(&selection.dir, &trials, args.workdir.as_deref(), &only)?;
    let out = &mut context.out;
    if args.json {
        let checked: serde_json::Map<_, _> = verified
            .checked
            .iter()
            .map(|(subject, count)| (subject.name().to_owned(), json!(count)))
            .collect();
        out.json(&json!({
            "version": JSON_VERSION, "study": selection.study.header().name, "checked": checked, "drift": verified.drift,
            "unchecked": verified.unchecked,
        }))?;
    } else {
        for drift in &verified.drift {
            writeln!(out.stdout, "{}", plain(&describe(drift)))?;
        }
        for unchecked in &verified.unchecked {
            out.say(format_args!("not checked: {}", plain(unchecked)));
        }
        let count: usize = verified.checked.values().sum();
        let kinds: Vec<_> = verified
            .checked
            .iter()
            .map(|(subject, count)| format!("{count} {}", subject.name()))
            .collect();
        let kinds = if kinds.is_empty() {
            String::new()
        } else {
            format!(" ({})", kinds.join(", "))
        };
        let outcome = match verified.drift.len() {
            0 => "all as recorded".to_owned(),
            1 => "1 difference".to_owned(),
            several => format!("{several} differences"),
        };
        writeln!(out.stdout, "{count} items checked{kinds}: {outcome}")?;
    }
    Ok(if verified.drift.is_empty() {
        Code::Done
    } else {
        Code::Difference
    })
}

fn describe(drift: &Drift) -> String {
    let Drift {
        subject,
        name,
        recorded,
        found,
        why,
        since,
        trials,
        ..
    } = drift;
    let current = found
        .as_ref()
        .map(|digest| format!(", is {}", shorten(digest)))
        .unwrap_or_default();
    let since = since
        .map(|since| format!("; since {since}"))
        .unwrap_or_default();
    let recorded = shorten(recorded);
    let item = match subject {
        Subject::Data => format!("data set {name}"),
        Subject::Code if name == "commit" => {
            return format!("code of {recorded}: {why}{since}; {}", ids(trials));
        }
        Subject::Code => name.clone(),
        Subject::Lock => format!("lock file {name}"),
        Subject::Sweep => format!("sweep file {name}"),
        other => format!("{} {name}", other.name()),
    };
    format!(
        "{item} {why}: was {recorded}{current}{since}; {}",
        ids(trials)
    )
}

/// Cuts a hash to its first characters, which identify it. Shorter texts stay as they are.
fn shorten(text: &str) -> String {
    if text.len() >= 32 {
        text.chars().take(12).collect()
    } else {
        text.to_owned()
    }
}

/// Returns the ids of trials with consecutive ids joined, for example `trials 1-4, 7`.
pub(crate) fn ids(trials: &[TrialId]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for TrialId(id) in trials {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *id => *last = *id,
            _ => ranges.push((*id, *id)),
        }
    }
    let ranges: Vec<_> = ranges.into_iter().map(range).collect();
    format!(
        "{} {}",
        if trials.len() == 1 { "trial" } else { "trials" },
        ranges.join(", ")
    )
}

fn range((first, last): (u32, u32)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::ids;
    use crate::study::TrialId;

    #[test]
    fn consecutive_trials_are_written_as_a_range() {
        assert_eq!(ids(&[1, 2, 3, 7].map(TrialId)), "trials 1-3, 7");
        assert_eq!(ids(&[TrialId(5)]), "trial 5");
    }
}
