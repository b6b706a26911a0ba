//! `swath rm TRIALS`: moves trials to the study's trash; `--restore` takes them out again.

use super::Context;
use super::exit::{Code, Failure};
use super::studies::SelectionArgs;
use crate::driver::trash;
use crate::provenance::Machine;
use crate::report::text::plain;
use crate::study::{Timestamp, Trial, TrialId, TrialState};

/// Arguments of `swath rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Removed trials do not count: `ls`, `compare`, `trials.csv` and the sampler leave them out, \
        and `run` starts others in their place. Their ids are never reused. Their folders move to \
        `trash/` inside the study; `swath gc --trash` empties it.")]
pub(crate) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Take the named trials out of the trash, or all if none is named
    #[arg(long)]
    restore: bool,
}

/// Runs `swath rm`: records the removal in the journal, moves the folders and rewrites
/// `trials.csv`. A folder or table that cannot be written is only a warning.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    if !selection.is_selective() && !args.restore {
        return Err(Failure::usage("no trials are named")
            .hint("name them, as in `swath rm 3,7-9` or `swath rm failed`"));
    }
    let candidates: Vec<&Trial> = match selection.is_selective() {
        true => selection.trials()?,
        // Only `--restore` works without a selection; it then applies to the whole trash.
        false => selection.study.trials().iter().collect(),
    };
    let (movable, refused): (Vec<&Trial>, Vec<&Trial>) = candidates
        .into_iter()
        .partition(|trial| is_movable(trial, args.restore));
    // Without a selection, trials outside the trash are the normal case and need no warning.
    if selection.is_selective() {
        for trial in refused {
            context.out.warn(format_args!(
                "trial {} {}",
                trial.id,
                refusal(trial, args.restore)
            ));
        }
    }
    let trials: Vec<TrialId> = movable.into_iter().map(|trial| trial.id).collect();
    let action = if args.restore { "restored" } else { "removed" };
    if trials.is_empty() {
        context.out.say(format_args!("no trial was {action}"));
        return Ok(Code::Done);
    }
    let (now, count) = (Timestamp::now(), trials.len());
    let holder = Machine::here().holder(now);
    let study = trash::remove(&selection.dir, &holder, now, trials, args.restore)?;
    for (trial, error) in trash::settle(&selection.dir, &study) {
        let text = format!("the folder of trial {trial} could not be moved: {error}");
        context.out.warn(plain(&text));
    }
    if let Err(error) = crate::tracker::csv::save(&study, &selection.dir.trials_csv()) {
        context
            .out
            .warn(format_args!("`trials.csv` could not be rewritten: {error}"));
    }
    context.out.say(format_args!(
        "{count} trial{} {action}",
        if count == 1 { "" } else { "s" }
    ));
    if !args.restore {
        context.out.hint("`swath rm --restore` restores them");
    }
    Ok(Code::Done)
}

fn is_movable(trial: &Trial, restore: bool) -> bool {
    // A running or paused trial may continue in its folder, so the folder must not be moved.
    let ended = trial.state.is_final() || trial.state == TrialState::Waiting;
    if restore {
        trial.removed
    } else {
        !trial.removed && ended
    }
}

fn refusal(trial: &Trial, restore: bool) -> String {
    match (restore, trial.removed) {
        (true, _) => "is not in the trash".to_owned(),
        (false, true) => "is already in the trash".to_owned(),
        (false, false) => format!(
            "is {} and may still continue, so it was not removed",
            trial.state.word()
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Context, args::Cli, dispatch};
    use crate::journal::{StudyDir, read};
    use crate::study::TrialId;
    use clap::Parser;
    use swath_model::demo::Demo;

    fn execute(context: &mut Context, command_line: &str) {
        let cli = Cli::try_parse_from(command_line.split(' ')).unwrap();
        dispatch(&cli.command, context)
            .map_err(|failure| failure.message)
            .unwrap();
    }

    #[test]
    fn a_removed_trial_is_left_out_and_comes_back_with_its_folder() {
        let mut demo = Demo::new(&[]);
        for loss in [0.5, 0.1, 0.3] {
            demo.complete(&[], &[("val_loss", loss)]);
        }
        demo.start(&[]);
        let logs = tempfile::tempdir().unwrap();
        let dir: StudyDir = crate::cli::studies::demo::write(logs.path(), "digits", &demo);
        for id in 1..=3 {
            std::fs::create_dir(dir.trial(TrialId(id))).unwrap();
        }
        let (out, stdout, stderr) = crate::cli::output::captured::output(None);
        let mut context = Context {
            logs: logs.path().to_owned(),
            out,
        };
        execute(&mut context, "swath rm 2,4");
        let study = read(&dir).unwrap();
        assert_eq!(study.incumbent().map(|trial| trial.id), Some(TrialId(3)));
        assert_eq!((study.counted(), study.next_id()), (2, TrialId(5)));
        assert!(!dir.trial(TrialId(2)).exists() && dir.trashed(TrialId(2)).exists());
        assert_eq!(
            std::fs::read_to_string(dir.trials_csv())
                .unwrap()
                .lines()
                .count(),
            3
        );
        execute(&mut context, "swath ls --json");
        assert!(!stdout.text().contains("\"trial\":2"), "{}", stdout.text());
        execute(&mut context, "swath rm --restore");
        let restored = read(&dir).unwrap();
        assert_eq!(restored.incumbent().map(|trial| trial.id), Some(TrialId(2)));
        assert!(dir.trial(TrialId(2)).exists() && !dir.trashed(TrialId(2)).exists());
        assert!(
            stderr.text().contains("2 trials removed"),
            "{}",
            stderr.text()
        );
    }
}
