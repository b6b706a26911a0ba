//! Runs a program once with its defaults, and looks at what it printed, reported, wrote and used.

use super::place::{Place, Written};
use super::printed::{self, Series};
use super::script::Declared;
use super::starter::USUAL_FILES;
use super::words;
use crate::cli::exit::{Code, Failure};
use crate::cli::{guard, quote, tail};
use crate::driver::{Interrupt, Urgency};
use crate::logger::source_lines;
use crate::provenance::variables;
use crate::report::summary;
use crate::report::text::plain;
use crate::run::Options;
use crate::source::Source;
use crate::study::{Exit, Trial, TrialId};
use crate::sweep::Sweep;
use std::path::Path;
use std::time::Duration;

/// Number of lines of a failed program's output that are shown.
const LOG_LINES: usize = 8;

/// The observations of one run.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The objective, if one was found.
    pub(super) objective: Option<Objective>,
    /// Expressions of `[capture]`: of the counter, if there is one, and of the objective. Empty if
    /// the program reports its values.
    pub(super) capture: Vec<(String, String)>,
    /// The file that has the objective, as a pattern of the source `files`, if the program neither
    /// reports nor prints it.
    pub(super) file: Option<String>,
    /// What the program counts, such as its epochs, and the largest count, if it tells of the
    /// objective several times.
    pub(super) progress: Option<(String, f64)>,
    /// Names of other values that may be the objective.
    pub(super) others: Vec<String>,
    pub(super) written: Vec<Written>,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_mib: f64,
    /// Whether the program was stopped because the time was over.
    pub(super) is_cut: bool,
    /// The last lines that it printed.
    pub(super) last_lines: Vec<String>,
}

/// A value that is probably the objective.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) name: String,
    /// Its last value.
    pub(super) value: f64,
    /// The number of times that the program printed or reported it.
    pub(super) count: u64,
    /// Whether each value is that of a fold, so that their mean counts.
    pub(super) is_of_fold: bool,
}

/// Runs the sweep with the text `text`, which has one trial, in a copy of the current folder. The
/// program is stopped after `limit`.
pub(super) fn run(text: String, declared: &Declared, limit: Duration) -> Result<Observed, Failure> {
    let name = "the first run".to_owned();
    let sweep = Sweep::parse(Source { name, text })
        .map_err(|rejected| crate::cli::sweeps::rejected(&rejected, false))?;
    let place = Place::of(&std::env::current_dir()?).map_err(|error| copy_failed(&error))?;
    let logs = tempfile::tempdir()?;
    let options = Options {
        logs: logs.path().to_owned(),
        workdir: place.path().to_owned(),
        jobs: Some(1),
        gpus: crate::cli::run::gpus(None),
        time: Some(limit),
        ..Options::default()
    };
    let mut opened = crate::run::open(&sweep, options)?;
    let folder = opened.dir().trial(TrialId(1));
    let interrupt = Interrupt::on_signals()?;
    let mut executor = opened.programs(guard::command())?;
    opened.run(&mut *executor, &interrupt)?;
    drop(executor);
    if interrupt.urgency() > Urgency::None {
        return Err(Failure::silent(crate::cli::run::interrupted(&interrupt)));
    }
    let trial = opened.study().trials().first().cloned();
    let trial = trial.ok_or_else(|| Failure::tool("the program was not started"))?;
    if let Some(Exit::Failed(_)) = trial.exit {
        return Err(failed(&sweep, &trial, &folder));
    }
    let mut lines = output(&folder, "stdout.log");
    lines.extend(output(&folder, "stderr.log"));
    let mut observed = observe(&lines, &trial, declared);
    let objective = observed.objective.as_ref();
    observed.file = objective.and_then(|objective| file_of(&folder, &objective.name));
    observed.written = place.written()?;
    observed.seconds = trial.seconds;
    observed.cpu_seconds = trial.usage.cpu_seconds;
    observed.peak_mib = trial.usage.peak_mib;
    observed.is_cut = trial.exit != Some(Exit::Done);
    Ok(observed)
}

fn copy_failed(error: &std::io::Error) -> Failure {
    Failure {
        causes: vec![error.to_string()],
        ..Failure::tool("the current folder could not be copied for the first run")
    }
}

/// Returns the failure of a program that failed with its defaults, with its last lines.
fn failed(sweep: &Sweep, trial: &Trial, folder: &Path) -> Failure {
    let (_, lines) = tail::log_tail(folder, LOG_LINES, &variables::secrets(&[], &[]));
    let command = quote::line(&sweep.run.command.words());
    let cause = summary::cause(trial.exit.as_ref()).unwrap_or_default();
    Failure {
        causes: lines,
        ..Failure::new(
            Code::NoSuccess,
            format!("the program failed: {}", plain(&cause)),
        )
    }
    .hint(format!("it was started as `{command}`"))
    .hint("give further arguments after `--`, as in `swath init --try train.py -- --data=data.csv`")
    .hint("no sweep file was written; without `--try` one is written from the program's source")
}

/// Returns a pattern of the file from which a value was read, which matches the same file of every
/// trial; `None` if it was not read from a file.
fn file_of(folder: &Path, name: &str) -> Option<String> {
    let mut found = None;
    source_lines(&folder.join("records.jsonl"), &mut |line| {
        if line.names().any(|other| other == name) {
            found = line.places().next().map(|place| place.from.to_owned());
        }
    })
    .ok()?;
    pattern_of(&found?)
}

/// Returns the pattern for a path: its first folder, and the usual name.
fn pattern_of(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let is_usual = USUAL_FILES
        .iter()
        .any(|pattern| pattern.ends_with(&format!("/{name}")));
    let last = match name {
        _ if is_usual => name,
        _ if name.contains("tfevents") => "*tfevents*",
        _ if name.ends_with(".wandb") => "run-*.wandb",
        _ => "*.tsv",
    };
    let folder = path.rsplit_once("/plots/metrics/");
    Some(match (folder, path.split_once('/')) {
        (Some((folder, _)), _) => format!("{folder}/plots/metrics/**/*.tsv"),
        (None, Some((first, _))) => format!("{first}/**/{last}"),
        (None, None) => last.to_owned(),
    })
}

/// Reads a log of the run. A log that does not exist is empty.
fn output(folder: &Path, name: &str) -> Vec<String> {
    let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
    printed::lines(&String::from_utf8_lossy(&bytes))
}

/// Finds the objective and the expressions that read it.
fn observe(lines: &[String], trial: &Trial, declared: &Declared) -> Observed {
    let last_lines = lines[lines.len().saturating_sub(LOG_LINES)..].to_vec();
    let mut observed = Observed {
        last_lines,
        ..Observed::default()
    };
    // A program that reports has chosen its metrics; its output is for people.
    let reported: Vec<&str> = trial.metrics.keys().map(|name| &**name).collect();
    let best = reported
        .iter()
        .filter(|name| !words::is_counter(name) && !words::is_of_the_run(name))
        .max_by_key(|name| rank(name));
    if let Some((best, tally)) = best.and_then(|best| Some((best, trial.metrics.get(best)?))) {
        observed.objective = Some(Objective {
            name: (*best).to_owned(),
            value: tally.last.0,
            count: tally.count,
            is_of_fold: reported.contains(&"fold"),
        });
        observed.progress = reported_progress(trial, tally.count);
        observed.others = others(reported.iter().copied(), best);
        return observed;
    }
    let all = printed::series(lines);
    let candidates: Vec<&Series> = all
        .iter()
        .filter(|series| is_candidate(series, declared))
        .collect();
    let best = candidates.iter().max_by_key(|series| {
        (
            rank(&series.name),
            series.values.len() > 1,
            series.lines.last(),
        )
    });
    let Some(best) = best else {
        return observed;
    };
    let counter = counter(&all, best);
    observed.objective = Some(Objective {
        name: best.name.clone(),
        value: best.values.last().copied().unwrap_or(f64::NAN),
        count: best.values.len() as u64,
        is_of_fold: counter.is_some_and(|counter| counter.name.ends_with("fold")),
    });
    observed.progress = counter
        .filter(|counter| is_progress(&counter.name) && counter.values.len() > 1)
        .map(|counter| (counter.name.clone(), largest(&counter.values)));
    observed.capture = counter
        .into_iter()
        .chain([*best])
        .map(|series| (series.name.clone(), series.pattern.clone()))
        .collect();
    observed.others = others(candidates.iter().map(|series| &*series.name), &best.name);
    observed
}

/// Ranks the name of a value as an objective: a metric before another number, one of held-out data
/// before one of training data, and a mean before its parts.
fn rank(name: &str) -> (bool, bool, bool, bool) {
    (
        words::is_metric(name),
        words::is_held_out(name),
        !name.to_lowercase().contains("train"),
        words::is_summary(name),
    )
}

/// Returns whether a series may be the objective: it is no counter, no setting that the program
/// repeats, and its name or its values are those of a metric.
fn is_candidate(series: &Series, declared: &Declared) -> bool {
    let is_option = declared
        .options
        .iter()
        .any(|option| printed::key(&option.name) == series.name);
    let is_declared = declared
        .metrics
        .iter()
        .any(|metric| printed::key(&metric.name) == series.name);
    let has_fractions = series.values.iter().any(|value| value.fract() != 0.0);
    let is_other = words::is_counter(&series.name) || words::is_of_the_run(&series.name);
    !is_option && !is_other && (words::is_metric(&series.name) || is_declared || has_fractions)
}

/// Returns the counter that the program prints as often as the objective. One that it prints more
/// often, such as the batch, would make reports without an objective.
fn counter<'a>(all: &'a [Series], objective: &Series) -> Option<&'a Series> {
    words::COUNTERS.iter().find_map(|word| {
        all.iter().find(|series| {
            let is_named = series.name == *word || series.name.ends_with(&format!("_{word}"));
            let is_as_frequent = series.lines == objective.lines
                || series.values.len() == objective.values.len() && series.values.len() > 1;
            is_named && is_as_frequent
        })
    })
}

/// Returns what a program counts that reports the objective `count` times, with the largest count.
fn reported_progress(trial: &Trial, count: u64) -> Option<(String, f64)> {
    let mut counters = trial
        .metrics
        .iter()
        .filter(|(name, tally)| is_progress(name) && tally.count == count && count > 1);
    let (name, tally) = counters.next()?;
    Some((name.to_string(), tally.max?))
}

/// Returns whether a counter says how far a training is: not one of folds, which are trainings of
/// their own.
fn is_progress(name: &str) -> bool {
    words::is_counter(name) && !name.ends_with("fold")
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Returns at most five other names that may be the objective.
fn others<'a>(names: impl Iterator<Item = &'a str>, best: &str) -> Vec<String> {
    names
        .filter(|name| *name != best && words::is_metric(name))
        .take(5)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

    fn observed(output: &str) -> Observed {
        let mut demo = Demo::new(&[]);
        demo.start(&[]);
        let trial = demo.study.trials()[0].clone();
        observe(&printed::lines(output), &trial, &Declared::default())
    }

    fn capture(output: &str) -> Vec<String> {
        let names = observed(output).capture.into_iter();
        names.map(|(name, _)| name).collect()
    }

    #[test]
    fn the_objective_is_a_metric_of_held_out_data_with_its_counter() {
        for (output, names) in [
            (
                "epoch 1 loss 0.5 val_loss 0.6\nepoch 2 loss 0.4 val_loss 0.5\n",
                vec!["epoch", "val_loss"],
            ),
            ("lr=0.1\nTest AUC: 0.93\ntime: 3.5\n", vec!["test_auc"]),
            (
                "fold 1: acc=0.8\nfold 2: acc=0.9\nmean acc: 0.85\n",
                vec!["mean_acc"],
            ),
            (
                "[1]\tvalid_0's auc: 0.8\n[2]\tvalid_0's auc: 0.9\n",
                vec!["iteration", "valid_0_auc"],
            ),
            (
                "Epoch 1/2\n - loss: 0.5 - val_loss: 0.6\nEpoch 2/2\n - loss: 0.3 - val_loss: 0.4\n",
                vec!["epoch", "val_loss"],
            ),
            (
                "batch 1 loss 3\nbatch 2 loss 2\nepoch 1 val_acc 0.4\n",
                vec!["epoch", "val_acc"],
            ),
            ("result: 41.5\n", vec!["result"]),
            ("loading 3 files\n", vec![]),
        ] {
            assert_eq!(capture(output), names, "{output}");
        }
    }

    #[test]
    fn the_pattern_of_a_file_matches_that_of_every_trial() {
        for (path, expected) in [
            (
                "lightning_logs/version_0/metrics.csv",
                "lightning_logs/**/metrics.csv",
            ),
            ("runs/Nov29_a/events.out.tfevents.1.h", "runs/**/*tfevents*"),
            ("wandb/offline-run-1-a/run-a.wandb", "wandb/**/run-*.wandb"),
            (
                "dvclive/plots/metrics/val/loss.tsv",
                "dvclive/plots/metrics/**/*.tsv",
            ),
            ("metrics.csv", "metrics.csv"),
        ] {
            assert_eq!(pattern_of(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn one_value_for_each_fold_is_the_value_of_a_fold() {
        let objective = observed("fold 1 acc 0.8\nfold 2 acc 0.9\n")
            .objective
            .unwrap();
        assert!(objective.is_of_fold);
        assert_eq!((objective.value, objective.count), (0.9, 2));
    }
}
