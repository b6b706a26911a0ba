//! `swath note` and `swath tag`: remarks of a person on trials, also while a run is active.

use super::exit::{Code, Failure};
use super::studies::{self, Selection, SelectionArgs};
use super::{Context, output::Output};
use crate::driver::{DriverError, inbox};
use crate::journal::{JournalError, StudyDir};
use crate::provenance::Machine;
use crate::report::text::plain;
use crate::study::{Event, Study, Timestamp, TrialId, remarks};

/// Maximum length of a note in bytes.
const LONGEST_NOTE: usize = 16 << 10;

/// Arguments of `swath note`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        The text replaces the note before it; without a text, the note is printed. `swath show` \
        and `swath ls` show notes, and `--where` finds them as `note`.")]
pub(crate) struct NoteArgs {
    /// The study (its name or folder; default: the one that ran last), the trials (`12`, `best`,
    /// `3-9`…), then the text
    #[arg(value_name = "STUDY] <TRIALS> [TEXT", required = true)]
    pub(crate) words: Vec<String>,

    /// Remove the note
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Arguments of `swath tag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        `swath ls --where 'tag == \"good\"'` lists the trials with the tag `good`, `tag != \
        \"good\"` those without it.")]
pub(crate) struct TagArgs {
    /// The study (its name or folder; default: the one that ran last), the trials (`12`, `best:5`,
    /// `3-9`…), then the name of the tag
    #[arg(value_name = "STUDY] <TRIALS> <NAME", required = true)]
    pub(crate) words: Vec<String>,

    /// Only trials for which this holds: "val_loss < 0.3 and optimizer == 'sgd'"
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) condition: Option<String>,

    /// Remove the tag from the trials
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Runs `swath note`: sets, removes or prints the note of the selected trials.
pub(crate) fn note(args: &NoteArgs, context: &mut Context) -> Result<Code, Failure> {
    // The text may begin with any word, so only the word before it selects trials.
    let names_study = studies::named(&context.logs, &args.words[0]).is_ok();
    let selecting = args.words.len().min(1 + usize::from(names_study));
    let (words, text) = args.words.split_at(selecting);
    let (selection, trials) = select(words, None, context)?;
    let text = text.join(" ");
    match (text.trim(), args.remove) {
        ("", false) => {
            for trial in trials {
                let note = selection.study.note(trial).unwrap_or("no note");
                writeln!(context.out.stdout, "trial {trial}: {}", plain(note))?;
            }
            return Ok(Code::Done);
        }
        ("", true) => {}
        (text, true) => {
            return Err(Failure::usage(format!(
                "`--remove` takes no text, but `{}` was given",
                plain(text)
            )));
        }
        (text, false) if text.len() > LONGEST_NOTE => {
            return Err(Failure::usage(format!(
                "the note has {} bytes, and {LONGEST_NOTE} are the most",
                text.len()
            ))
            .hint("keep long texts in a file, and note its path"));
        }
        _ => {}
    }
    let note = selection.secrets().redact(text.trim()).into_owned();
    let events = trials.iter().map(|trial| Event::Noted {
        trial: *trial,
        note: note.clone(),
    });
    let action = if args.remove {
        "removed the note of"
    } else {
        "noted on"
    };
    let done = format!("{action} {}", in_words(&trials));
    deliver(&selection, events.collect(), &mut context.out)?;
    context.out.say(done);
    Ok(Code::Done)
}

/// Runs `swath tag`: gives the selected trials a tag, or removes it from them.
pub(crate) fn tag(args: &TagArgs, context: &mut Context) -> Result<Code, Failure> {
    let Some((tag, words)) = args.words.split_last() else {
        return Err(Failure::usage("no tag is named"));
    };
    remarks::check_tag(tag).map_err(|reason| {
        Failure::usage(format!("the tag `{}` {reason}", plain(tag)))
            .hint("write a short name, as in `swath tag 3 5 good`")
    })?;
    let (selection, trials) = select(words, args.condition.clone(), context)?;
    let action = if args.remove { "removed" } else { "added" };
    let done = format!("{action} the tag `{}`: {}", plain(tag), in_words(&trials));
    let event = Event::Tagged {
        trials,
        tag: tag.clone(),
        removed: args.remove,
    };
    deliver(&selection, vec![event], &mut context.out)?;
    context.out.say(done);
    Ok(Code::Done)
}

/// Returns the study and the trials that the words select. Fails with a usage error if they select
/// no trial.
fn select(
    words: &[String],
    condition: Option<String>,
    context: &Context,
) -> Result<(Selection, Vec<TrialId>), Failure> {
    let args = SelectionArgs {
        words: words.to_vec(),
        condition,
    };
    let selection = args.read(context)?;
    if !selection.is_selective() {
        return Err(Failure::usage("no trials are named")
            .hint("name them before the text or tag: `swath tag digits 3 5 good`"));
    }
    let trials: Vec<TrialId> = selection.trials()?.iter().map(|trial| trial.id).collect();
    if trials.is_empty() {
        return Err(selection.nothing());
    }
    Ok((selection, trials))
}

/// Appends events to the journal and returns the study. If a process runs the study, sends them to
/// it instead and returns `None`, because only the holder of the lock may append.
pub(super) fn append(dir: &StudyDir, events: Vec<Event>) -> Result<Option<Study>, Failure> {
    let now = Timestamp::now();
    match inbox::amend_events(dir, &Machine::here().holder(now), now, events.clone()) {
        Ok(study) => Ok(Some(study)),
        Err(DriverError::Journal(JournalError::Held { .. })) => {
            for event in &events {
                inbox::send_event(dir, event, now)
                    .map_err(|error| Failure::caused(Code::Tool, &error))?;
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Delivers events of a person. Returns whether they are in the journal; if not, the process that
/// runs the study was sent them.
pub(super) fn deliver(
    selection: &Selection,
    events: Vec<Event>,
    out: &mut Output,
) -> Result<bool, Failure> {
    let study = append(&selection.dir, events)?;
    let is_appended = study.is_some();
    // The run writes the table itself.
    if let Some(study) = study
        && let Err(error) = crate::tracker::csv::save(&study, &selection.dir.trials_csv())
    {
        out.warn(format_args!("`trials.csv` could not be rewritten: {error}"));
    }
    Ok(is_appended)
}

/// Returns a trial by its id, and several by their number.
pub(super) fn in_words(trials: &[TrialId]) -> String {
    match trials {
        [trial] => format!("trial {trial}"),
        several => format!("{} trials", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Context, args::Cli, dispatch};
    use crate::journal::{StudyDir, lock::Lock, read};
    use crate::provenance::Machine;
    use crate::study::{Timestamp, TrialId};
    use clap::Parser;
    use swath_model::demo::Demo;

    struct World {
        _logs: tempfile::TempDir,
        dir: StudyDir,
        context: Context,
        stdout: crate::cli::output::captured::Sink,
    }

    impl World {
        fn new() -> Self {
            let mut demo = Demo::new(&[]);
            for loss in [0.5, 0.1, 0.3] {
                demo.complete(&[], &[("val_loss", loss)]);
            }
            let logs = tempfile::tempdir().unwrap();
            let dir = crate::cli::studies::demo::write(logs.path(), "digits", &demo);
            let (out, stdout, _) = crate::cli::output::captured::output(None);
            let context = Context {
                logs: logs.path().to_owned(),
                out,
            };
            Self {
                _logs: logs,
                dir,
                context,
                stdout,
            }
        }

        fn execute(&mut self, words: &[&str]) -> Result<(), String> {
            let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
            let done = dispatch(&cli.command, &mut self.context);
            done.map(drop).map_err(|failure| failure.message)
        }

        /// Returns the trials that `swath ls --where` lists.
        fn listed(&mut self, condition: &str) -> Vec<u64> {
            let before = self.stdout.text().len();
            self.execute(&["swath", "ls", "digits", "--json", "--where", condition])
                .unwrap();
            let text = self.stdout.text()[before..].to_owned();
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            let rows = document["trials"].as_array().unwrap();
            rows.iter()
                .map(|row| row["trial"].as_u64().unwrap())
                .collect()
        }
    }

    #[test]
    fn a_tag_selects_trials_and_a_note_is_in_the_table() {
        let mut world = World::new();
        world
            .execute(&["swath", "tag", "digits", "1", "2", "good"])
            .unwrap();
        world
            .execute(&["swath", "tag", "2-3", "check again"])
            .unwrap();
        world
            .execute(&["swath", "note", "2", "diverges", "late"])
            .unwrap();
        assert_eq!(world.listed("tag == 'good'"), [1, 2]);
        assert_eq!(world.listed("tag != 'good'"), [3]);
        assert_eq!(world.listed("'check again' == tag and tag == 'good'"), [2]);
        assert_eq!(world.listed("tag in ['good', 'check again']"), [1, 2, 3]);
        assert_eq!(world.listed("tag not in ['good']"), [3]);
        assert_eq!(world.listed("'late' in note"), [2]);
        let table = std::fs::read_to_string(world.dir.trials_csv()).unwrap();
        assert!(table.contains("diverges late,check again;good"), "{table}");
        world
            .execute(&["swath", "tag", "1-2", "good", "--remove"])
            .unwrap();
        world.execute(&["swath", "note", "2", "--remove"]).unwrap();
        let study = read(&world.dir).unwrap();
        assert_eq!(study.remarks(TrialId(1)), None);
        assert_eq!(study.note(TrialId(2)), None);
    }

    #[test]
    fn a_remark_to_a_study_that_runs_is_sent_and_the_next_one_includes_it() {
        let mut world = World::new();
        let lock = Lock::take(&world.dir, &Machine::here().holder(Timestamp::now())).unwrap();
        world
            .execute(&["swath", "tag", "digits", "1", "good"])
            .unwrap();
        assert_eq!(read(&world.dir).unwrap().remarks(TrialId(1)), None);
        drop(lock);
        world
            .execute(&["swath", "tag", "digits", "1", "new"])
            .unwrap();
        let study = read(&world.dir).unwrap();
        assert!(study.has_tag(TrialId(1), "good") && study.has_tag(TrialId(1), "new"));
        assert!(!world.dir.root().join("inbox").exists());
    }

    #[test]
    fn a_remark_without_trials_or_with_a_bad_name_is_refused() {
        let mut world = World::new();
        for words in [
            &["swath", "tag", "digits", "good"] as &[&str],
            &["swath", "tag", "digits", "9", "good"],
            &["swath", "tag", "digits", "1", "a;b"],
            &["swath", "tag", "good"],
            &["swath", "note", "digits"],
            &["swath", "note", "1", "text", "--remove"],
        ] {
            assert!(world.execute(words).is_err(), "{words:?}");
        }
        assert_eq!(read(&world.dir).unwrap().remarks(TrialId(1)), None);
    }
}
