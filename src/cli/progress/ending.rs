//! The summary at the end of a run: the best trial, a short table, the path of the full table, and
//! how to continue.

use super::describe;
use crate::cli::exit::{Code, Failure};
use crate::cli::luck;
use crate::cli::output::{JSON_VERSION, Output};
use crate::driver::shared_files_warning;
use crate::journal::StudyDir;
use crate::report::listing::Detail;
use crate::report::text::plain;
use crate::report::{json, listing, number, rank, summary};
use crate::source::secret::Secrets;
use crate::study::{Closing, Study};
use serde_json::json;

/// The number of trials in the table.
const TOP: usize = 5;

/// The ways to go on with an exhausted study.
const EXHAUSTED_HINT: &str =
    "to go on, add values to `[space]`, or give each configuration several seeds: `[replicate]`";

/// Returns the exit code for a run that closed for this reason.
pub(super) fn code(study: &Study, why: &Closing) -> Code {
    match why {
        Closing::Interrupted => Code::Interrupted,
        Closing::FailureLimit | Closing::CircuitBreaker => Code::FailureLimit,
        Closing::SearchFailed => Code::Tool,
        // An empty study is no failure: nothing was started, so nothing could succeed.
        _ if study.counts().complete == 0 && !study.trials().is_empty() => Code::NoSuccess,
        Closing::Finished
        | Closing::Exhausted
        | Closing::AllInvalid
        | Closing::NoObjective
        | Closing::TargetReached
        | Closing::Patience
        | Closing::CostLimit
        | Closing::GpuLimit
        | Closing::TimeLimit
        | Closing::RunTime
        | Closing::DiskLimit => Code::Done,
    }
}

/// Prints the summary for a user.
pub(super) fn print(
    out: &mut Output,
    study: &Study,
    dir: &StudyDir,
    secrets: &Secrets,
    why: &Closing,
    resume: &str,
) -> Result<(), Failure> {
    out.say("");
    let several = study.header().objectives.len() > 1;
    let front = if several {
        rank::pareto(study)
    } else {
        rank::best(study, TOP)
    };
    if front.is_empty() {
        let label = match why {
            // The next run continues after these endings, so success is still possible.
            Closing::Interrupted
            | Closing::TimeLimit
            | Closing::RunTime
            | Closing::DiskLimit
            | Closing::SearchFailed => "no trial has succeeded yet".to_owned(),
            _ => out.paint_err.red("no trial succeeded"),
        };
        out.say(format_args!("{label}: {}", summary::counts(study)));
    } else {
        writeln!(
            out.stdout,
            "{}",
            out.paint
                .bold(&plain(&headline(study, several, front.len())))
        )?;
        let shown = &front[..front.len().min(if several { 2 * TOP } else { TOP })];
        let table = listing::ranked(study, shown, Detail::Brief);
        let rendered = table.render(out.width, out.paint);
        rendered.write(&mut out.stdout)?;
        out.stdout.flush()?;
        out.say(format_args!("\n{}", summary::counts(study)));
    }
    if let Some(hint) = luck::hint(dir, study) {
        out.hint(hint);
    }
    // Results of trials that went on from each other are wrong, so this stands beside the results.
    if let Some((trial, warning)) = shared_files_warning(study) {
        out.warn(plain(&format!("trial {trial}: {warning}")));
    }
    if !matches!(why, Closing::Finished) {
        out.say(format_args!(
            "the run ended because {}",
            summary::closing(why)
        ));
    }
    if let Some(text) = matches!(why, Closing::CircuitBreaker)
        .then(|| describe::broken(study, dir, secrets, out.paint_err))
    {
        out.say(text.unwrap_or_default());
    }
    if let Some(advice) = describe::advice(study, why) {
        out.say(advice);
    }
    if matches!(why, Closing::AllInvalid) {
        out.say(describe::invalid(study));
    }
    out.say(format_args!(
        "table: {}",
        plain(&dir.trials_csv().display().to_string())
    ));
    match why {
        Closing::Exhausted if study.counts().failed == 0 => out.say(EXHAUSTED_HINT),
        Closing::Finished if study.counts().failed == 0 => {}
        Closing::Finished | Closing::Exhausted => out.say(format_args!("run again with: {resume}")),
        Closing::TargetReached | Closing::Patience => out.say(
            "to go on, change `target` or `patience` in the sweep file, and run it again",
        ),
        Closing::CostLimit | Closing::GpuLimit => out.say(format_args!(
            "to go on, raise `cost` or `gpu_hours` under `[limits]` in the sweep file, then: {resume}"
        )),
        Closing::TimeLimit => out.say(format_args!(
            "all runs together took {}; to go on, raise `time` under `[limits]` in the sweep file, \
             then: {resume}",
            number::duration(study.used())
        )),
        _ => out.say(format_args!("continue with: {resume}")),
    }
    Ok(())
}

fn headline(study: &Study, several: bool, count: usize) -> String {
    match study.incumbent() {
        Some(best) if !several => {
            format!(
                "best: trial {}, {}  {}",
                best.id,
                summary::standing(study, best),
                summary::first_params(best)
            )
        }
        _ => format!("{count} trials on the Pareto front"),
    }
}

/// Writes the last line of the event stream: a summary with counts and the incumbent.
pub(super) fn print_json(out: &mut Output, study: &Study, dir: &StudyDir) -> Result<(), Failure> {
    let counts = study.counts();
    let best = study.incumbent().map(|trial| json::row(study, trial));
    out.json(&json!({
        "v": JSON_VERSION,
        "summary": {
            "study": study.header().name,
            "trials": study.trials().len(),
            "complete": counts.complete,
            "stopped": counts.stopped,
            "failed": counts.failed,
            "invalid": counts.invalid,
            "paused": counts.paused,
            "waiting": study.waiting().count(),
            "best": best,
            "table": dir.trials_csv().display().to_string(),
        },
    }))
}
