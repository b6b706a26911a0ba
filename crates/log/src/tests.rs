//! Tests of both ends of the logger together: from the lines of a trial to the records and files.

use super::*;
use crate::space::{Name, Value};
use crate::study::{Attempt, Datum, LogRecord, Metric, TrialId};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A workdir with a model, a trial's folder, and the records that the sink received.
struct World {
    dir: TempDir,
    told: Arc<Mutex<Vec<LogRecord>>>,
    answer: Arc<Mutex<Directive>>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("models")).unwrap();
        fs::create_dir_all(dir.path().join("logs/s/1")).unwrap();
        fs::write(dir.path().join("models/m.bin"), "model").unwrap();
        Self {
            dir,
            told: Arc::default(),
            answer: Arc::default(),
        }
    }

    fn trial(&self) -> PathBuf {
        self.dir.path().join("logs/s/1")
    }

    fn logger(&self) -> TrialLogger {
        let dirs = Dirs {
            workdir: self.dir.path().to_path_buf(),
            trial: self.trial(),
        };
        let (told, answer) = (self.told.clone(), self.answer.clone());
        let sink = move |record| {
            told.lock().unwrap().push(record);
            *answer.lock().unwrap()
        };
        TrialLogger::in_process(identity(), dirs, Box::new(sink)).unwrap()
    }

    fn child(&self) -> TrialLogger {
        TrialLogger::from_variables(&|name| self.variables().get(name).map(Into::into))
            .unwrap()
            .unwrap()
    }

    fn variables(&self) -> BTreeMap<&'static str, String> {
        let records = self
            .trial()
            .join("records.jsonl")
            .to_str()
            .unwrap()
            .to_owned();
        BTreeMap::from([
            ("SWATH_RECORDS", records),
            ("SWATH_STUDY", "s".to_owned()),
            ("SWATH_PIPELINE", "p".to_owned()),
            ("SWATH_STAGE", "tune".to_owned()),
            ("SWATH_TRIAL", "1".to_owned()),
            ("SWATH_ATTEMPT", "1".to_owned()),
        ])
    }

    /// Feeds the records file to a logger as the supervisor does.
    fn supervise(&self) -> Recorded {
        let mut logger = self.logger();
        logger.follow_to_the_end(&mut self.tail()).unwrap();
        logger.finish().unwrap()
    }

    /// Feeds lines to the logger of a study that decides by `acc`, to the end of the attempt.
    /// Returns the reason why `acc` has no number, if it has none.
    fn reason(&self, lines: &[&str]) -> Option<String> {
        let mut logger = self.logger().with_deciding_metrics(&["acc".into()]);
        for line in lines {
            logger.record(line).unwrap();
        }
        logger.explain_absence();
        logger.finish().unwrap();
        self.told().into_iter().find_map(|record| match record {
            LogRecord::Absent { metric, why } if &*metric == "acc" => Some(why),
            _ => None,
        })
    }

    fn tail(&self) -> Tail {
        Tail::new(self.trial().join("records.jsonl"))
    }

    fn told(&self) -> Vec<LogRecord> {
        self.told.lock().unwrap().clone()
    }

    fn warnings(&self) -> Vec<String> {
        let text = |record| {
            if let LogRecord::Warning { text } = record {
                Some(text)
            } else {
                None
            }
        };
        self.told().into_iter().filter_map(text).collect()
    }

    fn records(&self, lines: &[u8]) {
        fs::write(self.trial().join("records.jsonl"), lines).unwrap();
    }

    fn metrics(&self, log: &str) -> String {
        fs::read_to_string(self.trial().join(format!("metrics/{log}.json"))).unwrap_or_default()
    }
}

fn identity() -> Identity {
    let (study, pipeline, stage) = ("s".into(), "p".into(), "tune".into());
    Identity {
        study,
        pipeline,
        stage,
        trial: TrialId(1),
        attempt: Attempt(1),
    }
}

fn report(values: &[(&str, f64)]) -> LogRecord {
    let values = values
        .iter()
        .map(|(name, n)| (Name::from(*name), Datum::Number(Metric(*n))))
        .collect();
    LogRecord::Report { values }
}

fn model(step: Option<f64>) -> LogRecord {
    let md5 = Some("20f35e630daf44dbfa4c3f68f5399d8c".to_owned());
    LogRecord::Model {
        model_path: "models/m.bin".into(),
        md5,
        size: 5,
        step,
        held: None,
        keep: false,
        doubt: None,
        partial: Vec::new(),
    }
}

/// Records one of everything that a trial can record.
fn say_everything(log: &mut TrialLogger) {
    log.report(&[("epoch", 1.0), ("loss", 0.5)]).unwrap();
    log.metric("acc", 0.9, Point::step(3).batch(7).context("train"))
        .unwrap();
    log.metrics(&[("a", 1.5), ("b", f64::NAN)], Point::default().log("mine"))
        .unwrap();
    log.dataset("models", "train").unwrap();
    log.model("models/m.bin", Some(1.0)).unwrap();
    log.output("n", Value::Int(3)).unwrap();
    log.param("depth", Value::List(vec![Value::Float(1.0)]))
        .unwrap();
    log.artifact("models/m.bin").unwrap();
    log.checkpoint(Some(2.0)).unwrap();
    log.note("a \"note\"\nin two lines").unwrap();
    log.finish().unwrap();
}

#[test]
fn a_program_and_a_closure_are_recorded_alike() {
    let (here, there) = (World::new(), World::new());
    say_everything(&mut here.logger());
    say_everything(&mut there.child());
    there.supervise();
    assert_eq!(here.told(), there.told());
    assert!(here.warnings().is_empty(), "{:?}", here.warnings());
    assert_eq!(here.told().len(), 8);
    let without_time = |text: String| -> Vec<String> {
        text.lines()
            .map(|line| line.split(", \"at\"").next().unwrap().to_owned())
            .collect()
    };
    for log in ["report", "train", "mine"] {
        assert_eq!(
            without_time(here.metrics(log)),
            without_time(there.metrics(log)),
            "{log}"
        );
    }
    assert_eq!(
        without_time(here.metrics("train")),
        [r#"{"acc": 0.9, "step": 3, "batch": 7, "context": "train""#]
    );
}

#[test]
fn a_step_that_goes_backwards_is_kept_and_told_alike_by_a_program_and_a_closure() {
    let (here, there) = (World::new(), World::new());
    for log in [&mut here.logger(), &mut there.child()] {
        for step in [1, 2, 1, 2] {
            log.metric("loss", 0.5, Point::step(step).context("train"))
                .unwrap();
        }
        log.finish().unwrap();
    }
    there.supervise();
    for world in [here, there] {
        assert_eq!(world.metrics("train").lines().count(), 4);
        let warnings = world.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("`loss` in the log `train` comes at step 1 after step 2;"),
            "{warnings:?}"
        );
    }
}

/// Logs an item of every kind through the one call.
fn log_everything(log: &mut TrialLogger) {
    let step = Point::step(2);
    let mut put = |item: Item<'_>, identifier: &str, kind: &str, at: Point<'_>| {
        assert!(log.log(item, identifier, kind, at).unwrap(), "{kind}");
    };
    put(0.5.into(), "loss", "metric", step.batch(4).context("train"));
    put(3e9.into(), "all", "flops", step.context("train"));
    put(12.0.into(), "depth", "param", step);
    put(
        serde_json::json!({"a": 1, "b": [true, "x"]}).into(),
        "",
        "params",
        step,
    );
    put(
        serde_json::json!({"k": {"deep": [1, null]}}).into(),
        "conf",
        "dict",
        step,
    );
    put("Grüße\n".into(), "notes/greeting.md", "text", step);
    put(Path::new("models/m.bin").into(), "", "image", step);
    put("models/m.bin".into(), "", "artifact", step);
    put(Path::new("models/m.bin").into(), "mlp", "model", step);
    put(Path::new("models/m.bin").into(), "mlp", "best_model", step);
    put(
        Path::new("models").into(),
        "",
        "dataset",
        Point::default().context("test"),
    );
    put(
        serde_json::json!({"lr": 0.1}).into(),
        "Adam",
        "optimizer",
        step,
    );
    put("models/m.bin".into(), "", "prov_documents", step);
    put("a note".into(), "", "note", step);
    log.finish().unwrap();
}

#[test]
fn one_call_logs_every_kind_alike_in_a_program_and_here() {
    let (here, there) = (World::new(), World::new());
    log_everything(&mut here.logger());
    log_everything(&mut there.child());
    there.supervise();
    assert_eq!(here.told(), there.told());
    assert!(here.warnings().is_empty(), "{:?}", here.warnings());
    let param = |name: &str, value| LogRecord::Param {
        name: name.into(),
        value,
    };
    let facts = |facts: &[(&str, Value)]| LogRecord::Facts {
        model_path: "models/m.bin".into(),
        facts: facts
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect(),
    };
    let list = Value::List(vec![Value::Bool(true), Value::Text("x".into())]);
    let name = ("name", Value::Text("mlp".into()));
    for wanted in [
        param("depth", Value::Float(12.0)),
        param("a", Value::Int(1)),
        param("b", list),
        param("optimizer_name", Value::Text("Adam".into())),
        param("optimizer_lr", Value::Float(0.1)),
        model(Some(2.0)),
        facts(std::slice::from_ref(&name)),
        facts(&[name, ("best", Value::Bool(true))]),
        LogRecord::Note {
            text: "a note".into(),
        },
    ] {
        assert!(
            here.told().contains(&wanted),
            "{wanted:?} is not in {:?}",
            here.told()
        );
    }
    for world in [here, there] {
        let read =
            |file: &str| fs::read_to_string(world.trial().join("artifacts").join(file)).unwrap();
        assert_eq!(read("dict/conf.json"), "{\"k\":{\"deep\":[1,null]}}\n");
        assert_eq!(read("text/notes/greeting.md"), "Grüße\n");
        assert_eq!(
            (&*read("image/models/m.bin"), &*read("prov/models/m.bin")),
            ("model", "model")
        );
        let rows: Vec<_> = world
            .metrics("train")
            .lines()
            .map(|row| row.split(", \"at\"").next().unwrap().to_owned())
            .collect();
        assert_eq!(
            rows[0],
            r#"{"loss": 0.5, "step": 2, "batch": 4, "context": "train""#
        );
        assert!(rows[1].starts_with(r#"{"flops": 3000000000"#), "{rows:?}");
    }
}

#[test]
fn what_has_no_meaning_outside_the_program_is_refused_with_the_reason() {
    let world = World::new();
    let mut log = world.logger();
    let mut refused = |item: Item<'_>, kind: &str| {
        log.log(item, "x", kind, Point::default())
            .unwrap_err()
            .to_string()
    };
    assert!(refused("m".into(), "watch").contains("needs the model itself"));
    assert!(refused("m".into(), "torch").contains("save it to a file"));
    assert!(
        refused("m".into(), "banana")
            .starts_with("`banana` cannot be logged: there is no such kind; there are metric,")
    );
    assert_eq!(
        refused("m".into(), "metric"),
        "`metric` cannot be logged: `x` needs a number"
    );
    assert_eq!(
        refused(1.0.into(), "model"),
        "`model` cannot be logged: `x` needs a path"
    );
    assert_eq!(
        refused(1.0.into(), "dict"),
        "`dict` cannot be logged: `x` needs an object or a list"
    );
    world.records(b"{\"kind\": \"watch\", \"model\": \"m\"}\n{\"kind\": \"text\", \"name\": \"../up\", \"text\": \"x\"}\n{\"kind\": \"dict\", \"name\": \"a\"}\n");
    world.supervise();
    let warnings = world.warnings();
    assert!(
        warnings[0].starts_with(
            "line 1 of `records.jsonl`: the kind `watch` cannot be recorded: following"
        ),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("`../up.txt` cannot be its name")
            || warnings[1].contains("`../up` cannot be its name"),
        "{warnings:?}"
    );
    assert!(
        warnings[2].contains("a dict needs `value`, a list or an object"),
        "{warnings:?}"
    );
    assert!(!world.trial().join("artifacts").exists());
}

#[test]
fn a_logger_takes_what_is_due_and_says_whose_it_is() {
    use crate::study::{Due, LogFreq, LogOnWorkers};
    let every = Due {
        freq: LogFreq::Every(std::num::NonZeroU64::new(2).unwrap()),
        workers: LogOnWorkers::All,
    };
    let first = Due {
        workers: LogOnWorkers::Only(vec![0]),
        ..Due::default()
    };
    let (here, there) = (World::new(), World::new());
    for (world, mut log) in [(&here, here.logger()), (&there, there.child())] {
        log = log.with_due(every.clone()).with_rank(3);
        let taken: Vec<bool> = (0..4)
            .map(|batch| {
                log.log(1.0, "x", "metric", Point::default().batch(batch))
                    .unwrap()
            })
            .collect();
        assert_eq!(taken, [true, false, true, false]);
        log = log.with_due(first.clone());
        assert!(!log.should_log(None) && !log.log(1.0, "x", "metric", Point::default()).unwrap());
        log.finish().unwrap();
        let _ = world;
    }
    there.supervise();
    for world in [here, there] {
        let rows = world.metrics("metrics");
        assert_eq!(rows.lines().count(), 2, "{rows}");
        assert!(
            rows.starts_with(r#"{"x": 1.0, "batch": 0, "rank": 3, "at": "#),
            "{rows}"
        );
    }
}

#[test]
fn a_report_with_a_model_is_a_report_and_a_model() {
    let world = World::new();
    world.records(b"{\"epoch\": 3, \"model_path\": \"./models/m.bin\"}\n");
    let recorded = world.supervise();
    let told = world.told();
    assert!(matches!(&told[0], LogRecord::Report { values } if values.len() == 2));
    assert_eq!(told[1..], [model(Some(3.0))]);
    assert_eq!(recorded.models[0].0, "models/m.bin");
}

#[test]
fn a_model_path_that_leads_out_is_refused_and_the_rest_is_kept() {
    let world = World::new();
    std::os::unix::fs::symlink("/etc", world.dir.path().join("out")).unwrap();
    world.records(
        b"{\"a\": 1, \"model_path\": \"/etc/hostname\"}\n{\"a\": 2, \"model_path\": \"../x\"}\n{\"a\": 3, \"model_path\": \"out/hostname\"}\n",
    );
    world.supervise();
    let reports: Vec<_> = world
        .told()
        .into_iter()
        .filter(|record| !matches!(record, LogRecord::Warning { .. }))
        .collect();
    assert_eq!(
        reports,
        [
            report(&[("a", 1.0)]),
            report(&[("a", 2.0)]),
            report(&[("a", 3.0)])
        ]
    );
    let begin =
        |n| format!("line {n} of `records.jsonl`: `model_path` is refused, the rest is kept: ");
    let warnings = world.warnings();
    assert_eq!(
        warnings[0],
        begin(1) + "`/etc/hostname` is absolute; paths are relative to the workdir"
    );
    assert_eq!(warnings[1], begin(2) + "`../x` leaves the workdir by `..`");
    assert!(
        warnings[2]
            .starts_with(&(begin(3) + "`out/hostname` leaves the workdir by a symbolic link to"))
    );
}

#[test]
fn a_model_that_is_not_there_is_recorded_without_digest_and_warned_about() {
    let world = World::new();
    world.logger().model("models/none.bin", None).unwrap();
    let model_path = "models/none.bin".to_owned();
    let record = &world.told()[1];
    assert!(
        matches!(record, LogRecord::Model { model_path: path, md5: None, size: 0, doubt: Some(doubt), .. }
            if *path == model_path && doubt == "`models/none.bin` does not exist"),
        "{record:?}"
    );
    assert_eq!(
        world.warnings(),
        ["a record: model `models/none.bin` has no digest: `models/none.bin` does not exist"]
    );
}

#[test]
fn bad_lines_are_said_with_their_numbers_and_good_ones_kept() {
    let world = World::new();
    let mut lines = b"{\"a\": 1}\nnot json\n[1]\n{\"kind\": \"metrics\"}\n{\"a\": NaN, \"a\": 2, \"l\": []}\n{\"a\": 3, \"t\": \"\xff\"}\n".to_vec();
    lines.resize(lines.len() + super::tail::LONGEST + 1, b' ');
    lines.extend_from_slice(b"\n{\"a\": 4}\n{\"a\": 5}");
    world.records(&lines);
    let recorded = world.supervise();
    let reported: Vec<f64> = world
        .told()
        .iter()
        .filter_map(|record| match record {
            LogRecord::Report { values } => match values[0].1 {
                Datum::Number(Metric(number)) => Some(number),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(
        reported,
        [1.0, 2.0, 3.0, 4.0, 5.0],
        "a last line without line break is whole if it is JSON"
    );
    let wanted = [
        "line 2 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
        "line 3 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
        "line 4 of `records.jsonl`: there is no kind `metrics`; did you mean `metric`?; it is left out",
        "line 5 of `records.jsonl`: `a` is there twice; the later one counts; `l` is left out: it is a list or an object; values are numbers, texts and switches",
        "line 6 of `records.jsonl`: bytes that are not UTF-8 were replaced",
        "line 7 of `records.jsonl`: it has 10000001 bytes, 10000000 are the most; it is left out",
    ];
    assert_eq!(world.warnings(), wanted);
    assert_eq!((recorded.reports, recorded.warnings), (5, 6));
}

#[test]
fn a_torn_last_line_is_said() {
    let world = World::new();
    world.records(b"{\"a\": 1}\n{\"a\": ");
    world.supervise();
    assert_eq!(
        world.warnings(),
        ["line 2 of `records.jsonl`: it has no end; it is left out"]
    );
}

#[test]
fn a_flood_of_bad_lines_is_counted_not_repeated() {
    let world = World::new();
    world.records(&b"x\n".repeat(1000));
    assert_eq!(world.supervise().warnings, 1000);
    assert_eq!(world.warnings().len(), 101);
    assert_eq!(world.warnings()[100], "and 900 more warnings like these");
}

#[test]
fn a_metric_of_a_log_that_cannot_be_is_kept_with_a_warning() {
    let world = World::new();
    let mut log = world.logger();
    log.metric("a", 1.0, Point::default().log("../evil"))
        .unwrap();
    log.metric("b/c.d", 1.0, Point::default()).unwrap();
    log.metric("", 1.0, Point::default()).unwrap();
    log.finish().unwrap();
    assert_eq!(world.metrics("metrics").lines().count(), 2);
    assert_eq!(world.warnings().len(), 2);
}

#[test]
fn a_trial_that_is_to_stop_hears_it_from_its_report() {
    let world = World::new();
    let mut log = world.logger();
    assert_eq!(log.report(&[("a", 1.0)]).unwrap(), Directive::Continue);
    *world.answer.lock().unwrap() = Directive::Stop;
    assert_eq!(log.report(&[("a", 1.0)]).unwrap(), Directive::Stop);
    let mut child = world.child();
    assert_eq!(child.report(&[("a", 1.0)]).unwrap(), Directive::Continue);
    fs::write(world.trial().join("stop"), "pause\n").unwrap();
    assert_eq!(child.report(&[("a", 1.0)]).unwrap(), Directive::Pause);
    fs::write(world.trial().join("stop"), "").unwrap();
    assert_eq!(child.directive(), Directive::Stop);
}

#[test]
fn a_report_says_its_model_also_from_a_closure() {
    let world = World::new();
    let mut log = world.logger();
    let path = ("model_path".into(), Datum::Text("models/m.bin".into()));
    log.report_values(vec![("epoch".into(), Datum::Number(Metric(2.0))), path])
        .unwrap();
    assert_eq!(world.told()[1..], [model(Some(2.0))]);
}

#[test]
fn a_pipe_or_the_workdir_itself_is_no_artifact() {
    let world = World::new();
    let pipe = world.dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let mut log = world.logger();
    log.artifact("pipe").unwrap();
    fs::remove_file(pipe).unwrap();
    log.artifact(".").unwrap();
    let warnings = world.warnings();
    assert!(
        warnings[0].ends_with("is a named pipe, neither a file nor a folder"),
        "{warnings:?}"
    );
    assert_eq!(
        warnings[1],
        "a record: the artifact is not stored: `.` holds the trial's own folder"
    );
}

#[test]
fn outside_a_trial_there_is_no_logger_and_half_an_environment_is_an_error() {
    assert!(TrialLogger::from_variables(&|_| None).unwrap().is_none());
    let world = World::new();
    let with = |name: &str, value: Option<&str>| {
        let mut variables = world.variables();
        match value {
            Some(value) => drop(variables.insert("SWATH_TRIAL", value.to_owned())),
            None => drop(variables.remove(name)),
        }
        TrialLogger::from_variables(&|name| variables.get(name).map(Into::into))
            .err()
            .unwrap()
            .to_string()
    };
    let end = ": a trial's logger works only in a process that swath started";
    assert_eq!(
        with("SWATH_STAGE", None),
        format!("`SWATH_STAGE` is not set{end}")
    );
    assert_eq!(
        with("SWATH_TRIAL", Some("x")),
        format!("`SWATH_TRIAL` is `x`, not a number from 1{end}")
    );
}

#[test]
fn metrics_of_a_child_wait_and_come_with_the_next_report_in_order() {
    let world = World::new();
    let mut child = world.child();
    child.metric("a", 1.0, Point::step(1)).unwrap();
    let read = || fs::read_to_string(world.trial().join("records.jsonl")).unwrap();
    assert_eq!(read(), "");
    child.report(&[("b", 2.0)]).unwrap();
    let lines: Vec<String> = read().lines().map(|line| line[..25].to_owned()).collect();
    assert_eq!(
        lines,
        [
            "{\"kind\": \"metric\", \"a\": 1",
            "{\"kind\": \"report\", \"b\": 2"
        ]
    );
    assert!(matches!(
        child.record("{\n}"),
        Err(LoggerError::LineBreak { at: 1 })
    ));
    child.metric("a", 2.0, Point::default()).unwrap();
    drop(child);
    assert_eq!(read().lines().count(), 3);
}

#[test]
fn nothing_is_lost_when_the_trials_folder_cannot_be_written() {
    let world = World::new();
    fs::write(world.trial().join("metrics"), "in the way").unwrap();
    let mut log = world.logger();
    log.report(&[("a", 1.0)]).unwrap();
    log.flush().unwrap();
    log.flush().unwrap();
    assert_eq!(world.told()[0], report(&[("a", 1.0)]));
    assert_eq!(world.warnings().len(), 1);
}

#[test]
fn reports_of_other_workers_than_the_first_are_metrics_with_their_rank() {
    let (here, there) = (World::new(), World::new());
    for rank in [0, 1, 3] {
        let mut log = here.logger().with_rank(rank);
        log.report(&[("epoch", 1.0), ("loss", 0.5 - 0.1 * f64::from(rank))])
            .unwrap();
        log.finish().unwrap();
        let mut variables = there.variables();
        variables.insert("RANK", rank.to_string());
        let child = TrialLogger::from_variables(&|name| variables.get(name).map(Into::into));
        let mut child = child.unwrap().unwrap();
        child
            .report(&[("epoch", 1.0), ("loss", 0.5 - 0.1 * f64::from(rank))])
            .unwrap();
        child
            .record(r#"{"kind": "note", "text": "from each"}"#)
            .unwrap();
    }
    there.supervise();
    for world in [here, there] {
        let reports: Vec<_> = world
            .told()
            .into_iter()
            .filter(|record| matches!(record, LogRecord::Report { .. }))
            .collect();
        assert_eq!(reports, [report(&[("epoch", 1.0), ("loss", 0.5)])]);
        assert_eq!(world.metrics("report").lines().count(), 1);
        let rows = world.metrics("metrics");
        let ranks = rows
            .lines()
            .map(|row| &row.split_once("\"rank\": ").unwrap().1[..1]);
        assert_eq!(ranks.collect::<Vec<_>>(), ["1", "3"], "{rows}");
    }
}

#[test]
fn a_line_with_the_rank_of_another_worker_does_not_decide_and_a_line_of_ones_own_gets_it() {
    let world = World::new();
    let mut variables = world.variables();
    variables.insert("RANK", "2".to_owned());
    let mut child = TrialLogger::from_variables(&|name| variables.get(name).map(Into::into))
        .unwrap()
        .unwrap();
    child.record(r#"{"epoch": 1, "loss": NaN}"#).unwrap();
    child
        .record(r#"{"epoch": 1, "loss": 0.5, "rank": 1}"#)
        .unwrap();
    child
        .record(r#"{"epoch": 1, "loss": 0.5, "rank": 0}"#)
        .unwrap();
    let lines = fs::read_to_string(world.trial().join("records.jsonl")).unwrap();
    assert!(
        lines.starts_with("{\"epoch\": 1, \"loss\": NaN, \"rank\": 2}\n"),
        "{lines}"
    );
    world.supervise();
    assert_eq!(
        world.told(),
        [report(&[("epoch", 1.0), ("loss", 0.5), ("rank", 0.0)])]
    );
    assert_eq!(world.metrics("metrics").lines().count(), 2);
}

#[test]
fn a_trial_whose_reports_are_all_of_other_workers_is_told_why_none_decides() {
    let world = World::new();
    world.records(b"{\"loss\": 1, \"rank\": 8}\n{\"loss\": 0.5, \"rank\": 8}\n");
    world.supervise();
    let warnings = world.warnings();
    assert!(
        warnings[0].starts_with("none of 2 reports decides: they are of rank 8,"),
        "{warnings:?}"
    );
    let deciding = [Name::from("rank")];
    let told = World::new();
    let mut log = told.logger().with_deciding_metrics(&deciding);
    log.record(r#"{"rank": 8}"#).unwrap();
    log.finish().unwrap();
    assert_eq!(
        told.told(),
        [report(&[("rank", 8.0)])],
        "an objective of that name is no rank"
    );
}

#[test]
fn a_step_that_is_reported_twice_with_two_values_is_one_warning_with_both() {
    let world = World::new();
    let mut log = world.logger().with_deciding_metrics(&["loss".into()]);
    for (epoch, loss) in [(1, 0.5), (2, 0.4), (1, 0.25), (2, 0.125), (1, 0.5)] {
        log.record(&format!("{{\"epoch\": {epoch}, \"loss\": {loss}}}"))
            .unwrap();
    }
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("a record: `loss` was 0.5 at epoch 1 and is 0.25 there now;"));
}

#[test]
fn a_model_of_a_report_stands_at_the_step_of_that_report() {
    for (resource, step) in [(None, 2.0), (Some(Name::from("rows")), 900.0)] {
        let world = World::new();
        let mut log = world.logger().with_resource(resource.as_ref());
        log.record(r#"{"epoch": 2, "rows": 900, "model_path": "models/m.bin"}"#)
            .unwrap();
        assert_eq!(world.told()[1..], [model(Some(step))]);
    }
}

#[test]
fn why_a_deciding_metric_has_no_number_is_recorded_at_the_end() {
    for (lines, wanted) in [
        (
            &[r#"{"acc": "tensor(0.33)"}"#][..],
            Some("was a text (`tensor(0.33)`), not a number: print"),
        ),
        (
            &[r#"{"acc": null, "epoch": 1}"#],
            Some("was `null`, not a number"),
        ),
        (&[r#"{"acc": true}"#], Some("was `true`, not a number")),
        (
            &[r#"{"acc": [0.7, 0.8], "epoch": 1}"#],
            Some("was a list or an object (`[0.7, 0.8]`)"),
        ),
        (
            &[r#"{"kind": "metric", "acc": 0.7}"#],
            Some("was recorded as a metric"),
        ),
        (
            &[r#"{"kind": "output", "acc": 0.7}"#],
            Some("was recorded as an output"),
        ),
        (
            &[r#"{"acc": 0.7"#],
            Some("was not in what could be read; a line of its records was left out: "),
        ),
        (
            &[r#"{"acc": 0.7, "rank": 3}"#],
            Some("was reported by rank 3 and not by rank 0"),
        ),
        (&[r#"{"acc": null}"#, r#"{"acc": 0.7}"#], None),
        (&[r#"{"epoch": 1}"#], None),
    ] {
        let world = World::new();
        let reason = world.reason(lines);
        let begins = |wanted| {
            reason
                .as_deref()
                .is_some_and(|reason| reason.starts_with(wanted))
        };
        assert!(
            wanted.map_or(reason.is_none(), begins),
            "{lines:?}: {reason:?}"
        );
    }
}

#[test]
fn a_number_in_quotes_is_warned_of_once_a_trial() {
    let world = World::new();
    let mut logger = world.logger().with_deciding_metrics(&["acc".into()]);
    logger.record(r#"{"acc": "0.71"}"#).unwrap();
    logger
        .report_values(vec![("acc".into(), Datum::Text("\"0.72\",".into()))])
        .unwrap();
    logger
        .report_values(vec![("word".into(), Datum::Text("0.73".into()))])
        .unwrap();
    logger.explain_absence();
    logger.finish().unwrap();
    let text = LogRecord::Report {
        values: vec![("word".into(), Datum::Text("0.73".into()))],
    };
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0]
            .ends_with("`acc` is a number in quotes and counts as the number: write it without")
    );
    let told: Vec<LogRecord> = world
        .told()
        .into_iter()
        .filter(|record| matches!(record, LogRecord::Report { .. }))
        .collect();
    assert_eq!(
        told,
        [report(&[("acc", 0.71)]), report(&[("acc", 0.72)]), text]
    );
    assert!(world.metrics("report").starts_with(r#"{"acc": 0.71"#));
}

#[test]
fn a_hundred_thousand_values_of_one_line_are_all_kept() {
    let world = World::new();
    let many: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\": {n}")).collect();
    let mut logger = world.logger();
    logger
        .record(&format!("{{{}, \"loss\": 0.5}}", many.join(",")))
        .unwrap();
    logger.finish().unwrap();
    assert!(matches!(&world.told()[0], LogRecord::Report { values } if values.len() == 100_001));
    assert!(world.metrics("report").contains("\"loss\": 0.5"));
}

/// Returns the records of a model: its step, the content that its digest belongs to or the reason
/// why there is none, and whether it is held.
fn models(world: &World, contents: &[&str]) -> Vec<(Option<f64>, String, bool)> {
    let content = |digest: &str| -> String {
        let is_of = |content: &&&str| md5_of(content.as_bytes()) == digest;
        contents
            .iter()
            .find(is_of)
            .map_or("another", |content| content)
            .to_owned()
    };
    let model = |record| match record {
        LogRecord::Model {
            md5,
            step,
            held,
            doubt,
            ..
        } => {
            let what = md5.as_deref().map(content).or(doubt).unwrap_or_default();
            Some((step, what, held.is_some()))
        }
        _ => None,
    };
    world.told().into_iter().filter_map(model).collect()
}

fn md5_of(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn append(world: &World, line: &str) {
    let path = world.trial().join("records.jsonl");
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
}

fn wait_a_tick() {
    std::thread::sleep(std::time::Duration::from_millis(15));
}

impl World {
    /// Makes a logger that holds models.
    fn holding(&self) -> TrialLogger {
        self.logger()
            .with_models(Arc::new(ModelStore::new(Models::default())))
    }

    /// Overwrites the model and reports it.
    fn save(&self, epoch: usize, content: &str) {
        fs::write(self.dir.path().join("models/m.bin"), content).unwrap();
        append(
            self,
            &format!("{{\"epoch\": {epoch}, \"model_path\": \"models/m.bin\"}}\n"),
        );
    }
}

const OVERWRITTEN: &str = "overwritten before it could be read";

#[test]
fn each_version_of_a_model_that_is_read_in_time_has_its_own_digest_and_is_held() {
    let world = World::new();
    let (mut log, mut tail) = (world.holding(), world.tail());
    world.save(1, "first");
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    world.save(2, "second");
    log.follow_to_the_end(&mut tail).unwrap();
    assert_eq!(
        models(&world, &["first", "second"]),
        [
            (Some(1.0), "first".to_owned(), true),
            (Some(2.0), "second".to_owned(), true)
        ]
    );
    for (record, content) in world
        .told()
        .iter()
        .filter(|record| !matches!(record, LogRecord::Report { .. }))
        .zip(["first", "second"])
    {
        let LogRecord::Model {
            held: Some(held), ..
        } = record
        else {
            panic!("{record:?}")
        };
        assert_eq!(
            fs::read_to_string(world.trial().join(held)).unwrap(),
            content
        );
    }
}

#[test]
fn of_lines_read_together_only_the_last_that_names_a_path_has_a_digest() {
    let world = World::new();
    let mut log = world.holding();
    for (epoch, content) in ["one", "two", "three"].into_iter().enumerate() {
        world.save(epoch + 1, content);
    }
    log.follow_to_the_end(&mut world.tail()).unwrap();
    assert_eq!(
        models(&world, &["one", "two", "three"]),
        [
            (Some(1.0), OVERWRITTEN.to_owned(), false),
            (Some(2.0), OVERWRITTEN.to_owned(), false),
            (Some(3.0), "three".to_owned(), true),
        ]
    );
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "once a path: {warnings:?}");
    assert!(warnings[0].contains(OVERWRITTEN), "{warnings:?}");
}

#[test]
fn a_model_that_is_newer_than_the_line_that_names_it_has_no_digest() {
    let world = World::new();
    world.save(1, "first");
    wait_a_tick();
    fs::write(world.dir.path().join("models/m.bin"), "half of the sec").unwrap();
    world.logger().follow(&mut world.tail()).unwrap();
    assert_eq!(
        models(&world, &[]),
        [(Some(1.0), OVERWRITTEN.to_owned(), false)]
    );
}

#[test]
fn a_model_that_took_the_place_of_another_with_an_older_time_has_no_digest() {
    let world = World::new();
    world.save(1, "first");
    wait_a_tick();
    let (other, path) = (
        world.dir.path().join("other"),
        world.dir.path().join("models/m.bin"),
    );
    fs::write(&other, "another").unwrap();
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(past)
        .unwrap();
    fs::rename(&other, &path).unwrap();
    world.logger().follow(&mut world.tail()).unwrap();
    assert_eq!(
        models(&world, &[]),
        [(Some(1.0), OVERWRITTEN.to_owned(), false)]
    );
}

#[test]
fn an_empty_file_written_with_the_line_is_not_taken_for_the_model() {
    let world = World::new();
    world.save(1, "first");
    let records = fs::File::options()
        .append(true)
        .open(world.trial().join("records.jsonl"))
        .unwrap();
    let model = fs::File::create(world.dir.path().join("models/m.bin")).unwrap();
    // With a coarse clock both would have the same time. The time of the inode cannot be set, so
    // the records file gets it.
    let newest = model.metadata().unwrap().modified().unwrap();
    records.set_modified(newest).unwrap();
    world.logger().follow(&mut world.tail()).unwrap();
    assert_eq!(
        models(&world, &[]),
        [(Some(1.0), OVERWRITTEN.to_owned(), false)]
    );
}

#[test]
fn a_program_that_gathers_its_lines_has_no_digest_of_a_path_that_it_names_again() {
    let world = World::new();
    let (mut log, mut tail) = (world.logger(), world.tail());
    world.save(1, "first");
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    world.save(2, "second");
    append(&world, "{\"epoch\": 3, \"mod");
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    let told = models(&world, &["first", "second"]);
    assert_eq!(told[0].1, "first");
    assert_eq!(told[1].1, OVERWRITTEN, "the third may be there already");
}

#[test]
fn a_path_of_its_own_for_each_version_is_always_read() {
    let world = World::new();
    for epoch in 1..=3 {
        fs::write(
            world.dir.path().join(format!("models/{epoch}.bin")),
            format!("{epoch}"),
        )
        .unwrap();
        append(
            &world,
            &format!("{{\"epoch\": {epoch}, \"model_path\": \"models/{epoch}.bin\"}}\n"),
        );
    }
    wait_a_tick();
    world.logger().follow(&mut world.tail()).unwrap();
    let contents: Vec<_> = models(&world, &["1", "2", "3"])
        .into_iter()
        .map(|(_, what, _)| what)
        .collect();
    assert_eq!(contents, ["1", "2", "3"]);
}

#[test]
fn a_closure_has_the_digest_of_what_it_wrote_at_every_call() {
    let world = World::new();
    let mut log = world.holding();
    for (epoch, content) in ["one", "two", "three"].into_iter().enumerate() {
        fs::write(world.dir.path().join("models/m.bin"), content).unwrap();
        log.model_with(
            "models/m.bin",
            Some(epoch as f64),
            &[("keep", Value::Bool(epoch == 1))],
        )
        .unwrap();
    }
    let told = models(&world, &["one", "two", "three"]);
    assert_eq!(
        told.iter()
            .map(|(_, what, held)| (&**what, *held))
            .collect::<Vec<_>>(),
        [("one", true), ("two", true), ("three", true)]
    );
    let kept = |record: &LogRecord| {
        matches!(
            record,
            LogRecord::Model {
                keep: true,
                step: Some(1.0),
                ..
            }
        )
    };
    assert_eq!(world.told().iter().filter(|record| kept(record)).count(), 1);
    assert!(
        !world
            .told()
            .iter()
            .any(|record| matches!(record, LogRecord::Facts { .. }))
    );
}

#[test]
fn a_report_may_ask_to_keep_its_model() {
    let world = World::new();
    world.records(b"{\"epoch\": 3, \"model_path\": \"models/m.bin\", \"keep\": true}\n");
    world.supervise();
    assert!(
        matches!(world.told()[1], LogRecord::Model { keep: true, .. }),
        "{:?}",
        world.told()
    );
}

#[test]
fn a_folder_as_model_is_held_without_its_dangling_links_which_are_named() {
    let world = World::new();
    let ck = world.dir.path().join("ck");
    fs::create_dir_all(ck.join("step-1")).unwrap();
    fs::write(ck.join("step-1/w.bin"), "weights").unwrap();
    std::os::unix::fs::symlink("step-2", ck.join("latest")).unwrap();
    append(&world, "{\"kind\": \"model\", \"path\": \"ck\"}\n");
    wait_a_tick();
    let mut log = world.holding();
    log.follow(&mut world.tail()).unwrap();
    let record = world.told().pop().unwrap();
    let LogRecord::Model {
        md5,
        held: Some(held),
        partial,
        size: 7,
        ..
    } = record
    else {
        panic!("{record:?}")
    };
    assert_eq!(partial, ["latest: a symbolic link to nothing"]);
    assert_eq!(
        md5,
        Some(digest(&ck, None).unwrap().md5),
        "what is held has the digest of the rest"
    );
    assert_eq!(
        fs::read_to_string(world.trial().join(held).join("step-1/w.bin")).unwrap(),
        "weights"
    );
    assert!(world.warnings()[0].contains("latest"));
}

#[test]
fn a_named_pipe_is_neither_waited_for_as_a_model_nor_as_data_or_artifact() {
    let world = World::new();
    let pipe = world.dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let mut log = world.holding();
    log.model("pipe", None).unwrap();
    log.dataset("pipe", "").unwrap();
    log.artifact("pipe").unwrap();
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 3);
    assert!(
        warnings.iter().all(|text| text.contains("a named pipe")),
        "{warnings:?}"
    );
}

#[test]
fn a_data_set_with_a_dangling_link_has_a_partial_digest_over_the_rest() {
    let world = World::new();
    let data = world.dir.path().join("repos");
    fs::create_dir_all(data.join("b")).unwrap();
    fs::write(data.join("b/code.py"), "two").unwrap();
    let plain = digest(&data, None).unwrap().md5;
    std::os::unix::fs::symlink("nowhere", data.join("b/dangling")).unwrap();
    world.logger().dataset("repos", "train").unwrap();
    let record = world.told().pop().unwrap();
    let LogRecord::Dataset {
        md5,
        files: 1,
        partial,
        ..
    } = &record
    else {
        panic!("{record:?}")
    };
    assert_eq!(
        (md5.as_deref(), &*partial[0]),
        (Some(&*plain), "b/dangling: a symbolic link to nothing")
    );
    assert!(world.warnings()[0].contains("`repos` is partial: its digest leaves out b/dangling"));
    assert!(
        serde_json::to_string(&record)
            .unwrap()
            .contains("\"partial\":[\"b/dangling")
    );
}

#[test]
fn a_model_that_is_called_the_best_right_behind_its_report_is_one_version() {
    let world = World::new();
    let mut log = world.holding();
    world.save(1, "first");
    append(
        &world,
        "{\"kind\": \"best_model\", \"path\": \"models/m.bin\"}\n",
    );
    wait_a_tick();
    log.follow(&mut world.tail()).unwrap();
    let told = models(&world, &["first"]);
    assert_eq!(
        told,
        [
            (Some(1.0), "first".to_owned(), true),
            (None, "first".to_owned(), true)
        ]
    );
    assert_eq!(
        fs::read_dir(world.trial().join(HELD)).unwrap().count(),
        1,
        "it is held once"
    );
    assert!(world.warnings().is_empty(), "{:?}", world.warnings());
}

#[test]
fn the_last_model_has_its_digest_when_the_program_has_ended() {
    let world = World::new();
    let (mut log, mut tail) = (world.holding(), world.tail());
    for epoch in 1..=9 {
        world.save(epoch, &epoch.to_string());
    }
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    assert!(
        models(&world, &[])
            .iter()
            .all(|(_, what, _)| what == OVERWRITTEN),
        "the tenth may be there"
    );
    log.follow_to_the_end(&mut tail).unwrap();
    assert_eq!(
        models(&world, &["9"])[9..],
        [(Some(9.0), "9".to_owned(), true)]
    );

    let world = World::new();
    let (mut log, mut tail) = (world.holding(), world.tail());
    for epoch in 1..=9 {
        world.save(epoch, &epoch.to_string());
    }
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    fs::write(world.dir.path().join("models/m.bin"), "10").unwrap();
    log.follow_to_the_end(&mut tail).unwrap();
    assert_eq!(models(&world, &[]).len(), 9, "it is not the ninth any more");
    assert_eq!(fs::read_dir(world.trial().join(HELD)).unwrap().count(), 0);
}

#[test]
fn a_report_that_waits_arrives_together_with_its_question() {
    for _ in 0..50 {
        let world = World::new();
        let mut child = world.child();
        let records = world.trial().join("records.jsonl");
        let asking = std::thread::spawn(move || child.report_and_wait(&[("loss", 0.5)]));
        let arrived = loop {
            let text = std::fs::read_to_string(&records).unwrap_or_default();
            if !text.is_empty() {
                break text;
            }
        };
        let question = arrived.lines().nth(1).expect("the question came with it");
        let question: serde_json::Value = serde_json::from_str(question).unwrap();
        let answer = super::Answer {
            id: question["id"].as_str().unwrap().to_owned(),
            directive: Directive::Stop,
            why: String::new(),
        };
        answer.give(&world.trial()).unwrap();
        assert_eq!(asking.join().unwrap().unwrap(), Directive::Stop);
    }
}
