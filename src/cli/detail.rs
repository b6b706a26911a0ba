//! Everything about one trial for the page: its values, attempts, metrics over time, logs, and the
//! commands that go on with it.

use super::diff::patch_of;
use super::ui::files::{self, Artifact};
use super::{quote, show, studies, tail};
use crate::journal::readable_trial;
use crate::logger::regular;
use crate::provenance::Record;
use crate::report::facts::{Section, Subject, facts};
use crate::report::rank;
use crate::report::view::View;
use crate::source::secret::Secrets;
use crate::study::axis::COUNTERS;
use crate::study::{Study, Timestamp, Trial, TrialState, Verdict};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// Maximum number of series of a trial, and of points in each.
const MOST_SERIES: usize = 64;
const MOST_POINTS: usize = 400;

/// Maximum number of bytes that are read from a file of metrics (16 MiB).
const MOST_BYTES: u64 = 16 << 20;

/// Maximum number of lines of each log.
const LOG_LINES: usize = 300;

/// Maximum number of bytes of the uncommitted changes (64 KiB).
const PATCH_BYTES: usize = 64 << 10;

/// Number of the best, of the failed and of the latest trials that an exported page describes.
const EXPORTED: usize = 40;

/// A trial with everything that the page shows of it.
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    /// The row of `swath show --json`.
    row: Value,
    pub(super) attempts: Vec<Attempt>,
    /// Step, decision and reason of each verdict of the scheduler.
    pub(super) verdicts: Vec<(f64, Verdict, String)>,
    pub(super) series: Vec<Series>,
    logs: Vec<Log>,
    artifacts: Vec<Artifact>,
    /// The uncommitted changes to the code as a git patch, without the known secrets.
    patch: String,
    /// Section, name and value of each fact that `swath diff` compares.
    facts: Vec<(&'static str, String, String)>,
    /// Purpose and text of each command.
    commands: Vec<(&'static str, String)>,
}

/// An attempt of the trial.
#[derive(Debug, Serialize)]
pub(super) struct Attempt {
    pub(super) slot: u32,
    pub(super) start: Timestamp,
    pub(super) end: Option<Timestamp>,
    pub(super) exit: Option<String>,
}

/// The values of a metric over its axis.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    /// The name of the log, such as `report`, `train` or `system`.
    pub(super) log: String,
    pub(super) metric: String,
    /// The label of the axis.
    pub(super) axis: String,
    pub(super) points: Vec<(f64, f64)>,
    /// The point of the last value: of the largest position, even if another one arrived later.
    pub(super) last: Option<(f64, f64)>,
}

/// The last lines of a log.
#[derive(Debug, Serialize)]
struct Log {
    name: &'static str,
    lines: Vec<String>,
}

/// Returns a trial of a study for the page; `None` if there is no such trial.
pub(super) fn of_trial(view: &View, id: u32) -> Option<Detail> {
    let study = view.settled();
    let trial = study.trials().iter().find(|trial| trial.id.0 == id)?;
    let record = view.record();
    let secrets = studies::secrets(&view.dir);
    let folder = readable_trial(&view.dir, &study, trial.id);
    let detail = describe(view, &study, trial, &record);
    Some(Detail {
        logs: logs(&folder, &secrets),
        artifacts: files::artifacts(&folder),
        patch: shown_patch(&patch_of(&record, trial.id), &secrets),
        ..detail
    })
}

/// Returns the first lines of a patch without secrets, and says how much is left out.
fn shown_patch(patch: &[u8], secrets: &Secrets) -> String {
    let patch = secrets.redact_bytes(patch);
    let text = String::from_utf8_lossy(&patch);
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if end + line.len() > PATCH_BYTES {
            let rest = text.len() - end;
            return format!("{}… and {rest} more bytes\n", &text[..end]);
        }
        end += line.len();
    }
    text.into_owned()
}

/// Returns the trials that an exported page describes by id: the best, the failed and the latest.
/// They are without logs and patches: what a trial prints may contain secrets that only its own
/// machine knows, and an exported page is made to be sent.
pub(super) fn of_export(view: &View) -> BTreeMap<u32, Detail> {
    let study = view.settled();
    let record = view.record();
    let kept = || study.trials().iter().rev().filter(|trial| !trial.removed);
    let failed = kept().filter(|trial| trial.state == TrialState::Failed);
    let chosen: BTreeSet<_> = rank::best(&study, EXPORTED)
        .into_iter()
        .chain(failed.take(EXPORTED))
        .chain(kept().take(EXPORTED))
        .map(|trial| trial.id)
        .collect();
    let trials = kept().filter(|trial| chosen.contains(&trial.id));
    trials
        .map(|trial| {
            let mut detail = describe(view, &study, trial, &record);
            // Hundreds of packages in each of a hundred trials would make up most of the file.
            detail
                .facts
                .retain(|(section, ..)| *section != Section::Packages.name());
            (trial.id.0, detail)
        })
        .collect()
}

/// Returns everything about a trial except its logs.
fn describe(view: &View, study: &Study, trial: &Trial, record: &Record) -> Detail {
    let attempts = view.chronicle.attempts.iter();
    let verdicts = view.chronicle.verdicts.iter();
    let folder = readable_trial(&view.dir, study, trial.id);
    Detail {
        row: show::json_row(study, record, trial),
        attempts: attempts
            .filter(|attempt| attempt.trial == trial.id)
            .map(|attempt| Attempt {
                slot: attempt.slot,
                start: attempt.start,
                end: attempt.end,
                exit: attempt.exit.as_ref().map(ToString::to_string),
            })
            .collect(),
        verdicts: verdicts
            .filter(|judged| judged.trial == trial.id)
            .map(|judged| (judged.step, judged.verdict, judged.why.clone()))
            .collect(),
        series: all_series(&folder.join("metrics")),
        logs: Vec::new(),
        patch: String::new(),
        artifacts: Vec::new(),
        facts: named_facts(study, trial, record),
        commands: commands(study, trial),
    }
}

fn named_facts(
    study: &Study,
    trial: &Trial,
    record: &Record,
) -> Vec<(&'static str, String, String)> {
    let patch = patch_of(record, trial.id);
    let subject = Subject {
        study,
        trial,
        made: record.made(trial.id),
        environment: record.environment(trial.id),
        patch: &patch,
    };
    let facts = facts(&subject).into_iter();
    facts
        .map(|fact| (fact.section.name(), fact.name, fact.value))
        .collect()
}

/// Returns the last lines of the trial's logs without the known secrets.
fn logs(folder: &Path, secrets: &Secrets) -> Vec<Log> {
    let names = ["stderr.log", "stdout.log"];
    names
        .into_iter()
        .filter_map(|name| {
            let lines = tail::last_lines(&folder.join(name), LOG_LINES, secrets).ok()?;
            (!lines.is_empty()).then_some(Log { name, lines })
        })
        .collect()
}

/// Returns the commands that continue, repeat and compare a trial.
pub(super) fn commands(study: &Study, trial: &Trial) -> Vec<(&'static str, String)> {
    let name = study.header().name.as_str();
    let id = trial.id.to_string();
    let command = |words: &[&str]| {
        let words: Vec<String> = ["swath"]
            .iter()
            .chain(words)
            .map(ToString::to_string)
            .collect();
        quote::line(&words)
    };
    let mut commands = vec![
        ("follow its log", command(&["logs", name, &id, "--follow"])),
        ("explain its state", command(&["why", name, &id])),
        ("run it again elsewhere", command(&["repro", name, &id])),
    ];
    if trial.can_stop() {
        commands.push(("stop it", command(&["stop", name, &id])));
    }
    if matches!(trial.state, TrialState::Failed | TrialState::Stopped) {
        commands.push(("let it try again", command(&["retry", name, &id])));
    }
    if study.incumbent().is_some_and(|best| best.id != trial.id) {
        let (best, this) = (format!("{name}/best"), format!("{name}/{id}"));
        commands.push(("compare it with the best", command(&["diff", &best, &this])));
    }
    commands
}

/// Reads the series of all files of metrics, the reports first and the use of the machine last.
fn all_series(folder: &Path) -> Vec<Series> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .collect();
    logs.sort_by_key(|log| (log == "system", log != "report", log.clone()));
    let mut all = Vec::new();
    for log in logs {
        let path = folder.join(format!("{log}.json"));
        all.extend(read_series(&path, &log));
    }
    all.truncate(MOST_SERIES);
    all
}

/// Reads the series of one file of metrics, which has a JSON object in each line.
pub(super) fn read_series(path: &Path, log: &str) -> Vec<Series> {
    let mut bytes = Vec::new();
    let Ok(file) = regular::open(path) else {
        return Vec::new();
    };
    if file.take(MOST_BYTES).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    let rows: Vec<serde_json::Map<String, Value>> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter(|row: &serde_json::Map<_, _>| row.get("rank").is_none_or(|rank| *rank == 0))
        .collect();
    let start = rows.first().and_then(|row| row.get("at")?.as_f64());
    let counter = COUNTERS
        .into_iter()
        .find(|key| log != "system" && rows.first().is_some_and(|row| row.contains_key(*key)));
    let mut series: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let position = match (counter, start) {
            (Some(key), _) => row.get(key).and_then(Value::as_f64),
            (None, Some(start)) => row.get("at").and_then(Value::as_f64).map(|at| at - start),
            (None, None) => Some(index as f64),
        };
        let Some(position) = position else { continue };
        for (name, value) in row {
            let is_axis = name == "at" || name == "rank" || Some(name.as_str()) == counter;
            if let (false, Some(value)) = (is_axis, value.as_f64()) {
                series.entry(name).or_default().push((position, value));
            }
        }
    }
    let axis = match (counter, start) {
        (Some(key), _) => key,
        (None, Some(_)) => "seconds",
        (None, None) => "row",
    };
    series
        .into_iter()
        .map(|(metric, points)| Series {
            log: log.to_owned(),
            metric: metric.to_owned(),
            axis: axis.to_owned(),
            last: points.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)),
            points: thinned(points),
        })
        .collect()
}

/// Returns at most [`MOST_POINTS`] of the points, evenly chosen, the last one included.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let chosen = points.into_iter().enumerate();
    chosen
        .filter(|(index, _)| index % stride == 0 || *index == last)
        .map(|(_, point)| point)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST_POINTS, PATCH_BYTES, all_series, of_export, of_trial, shown_patch, thinned};
    use crate::cli::studies::demo;
    use crate::report::view::View;
    use crate::source::secret::Secrets;
    use crate::space::Value;
    use crate::study::{Exit, Failure};
    use swath_model::demo::Demo;

    #[test]
    fn every_metric_has_a_series_over_its_own_axis() {
        let folder = tempfile::tempdir().unwrap();
        for (log, rows) in [
            (
                "system",
                "{\"cpu_percent\": 50, \"at\": 10.0}\n{\"cpu_percent\": 70, \"at\": 12.5}\n",
            ),
            (
                "train",
                "{\"grad\": 1, \"step\": 3}\n{\"grad\": 2, \"step\": 4, \"rank\": 1}\nnonsense\n",
            ),
            (
                "report",
                "{\"epoch\": 1, \"loss\": 0.5, \"at\": 1}\n{\"epoch\": 2, \"loss\": \"nan\", \"at\": 2}\n",
            ),
        ] {
            std::fs::write(folder.path().join(format!("{log}.json")), rows).unwrap();
        }
        let series = all_series(folder.path());
        let described: Vec<_> = series
            .iter()
            .map(|series| {
                (
                    &*series.log,
                    &*series.metric,
                    &*series.axis,
                    &*series.points,
                )
            })
            .collect();
        assert_eq!(
            described,
            [
                ("report", "loss", "epoch", &[(1.0, 0.5)][..]),
                ("train", "grad", "step", &[(3.0, 1.0)]),
                (
                    "system",
                    "cpu_percent",
                    "seconds",
                    &[(0.0, 50.0), (2.5, 70.0)]
                ),
            ]
        );
    }

    #[test]
    fn the_last_value_of_a_series_is_that_of_the_largest_step() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [(1, 0.5), (3, 0.3), (3, 0.25), (2, 0.4)]
            .map(|(step, grad)| format!("{{\"grad\": {grad}, \"step\": {step}}}\n"));
        std::fs::write(folder.path().join("train.json"), rows.concat()).unwrap();
        let series = all_series(folder.path());
        assert_eq!(series[0].last, Some((3.0, 0.25)));
    }

    #[test]
    fn a_long_series_keeps_its_ends() {
        let points: Vec<_> = (0..100_000).map(|index| (f64::from(index), 0.0)).collect();
        let thin = thinned(points);
        assert!(thin.len() <= MOST_POINTS + 1);
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (0.0, 99_999.0));
    }

    #[test]
    fn a_long_patch_is_cut_behind_a_line() {
        let none = Secrets::default();
        assert_eq!(shown_patch(b"+a\n-b", &none), "+a\n-b");
        let line = format!("+{}\n", "x".repeat(998));
        let long = shown_patch(line.repeat(100).as_bytes(), &none);
        let (shown, rest) = long.split_once('…').unwrap();
        assert_eq!(shown, line.repeat(PATCH_BYTES / line.len()));
        assert_eq!(rest, " and 35000 more bytes\n");
    }

    #[test]
    fn a_trial_has_its_attempts_logs_and_commands() {
        let mut world = Demo::new(&["lr"]);
        world.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        let failed = world.start(&[("lr", Value::Float(0.2))]);
        world.end(failed, Exit::Failed(Failure::Code(3)));
        let logs = tempfile::tempdir().unwrap();
        let dir = demo::write(logs.path(), "digits", &world);
        std::fs::create_dir_all(dir.root().join("2")).unwrap();
        std::fs::write(dir.root().join("2/stderr.log"), "\x1b[1mno\x1b[0m memory\n").unwrap();
        let view = View::open(dir, None).unwrap();
        assert!(of_trial(&view, 3).is_none());
        let detail = of_trial(&view, 2).unwrap();
        assert_eq!(detail.row["params"]["lr"], 0.2);
        assert_eq!(detail.attempts.len(), 1);
        assert_eq!(detail.logs[0].lines, ["no memory"]);
        let commands: Vec<_> = detail.commands.iter().map(|(_, text)| &**text).collect();
        assert!(commands.contains(&"swath retry digits 2"), "{commands:?}");
        assert!(
            commands.contains(&"swath diff digits/best digits/2"),
            "{commands:?}"
        );
        let exported = of_export(&view);
        assert_eq!(exported.keys().collect::<Vec<_>>(), [&1, &2]);
        assert!(exported[&2].logs.is_empty(), "what it printed stays here");
    }
}
