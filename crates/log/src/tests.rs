//! Tests of both ends of the logger together: from the lines of a trial to the records and files.

mod models;
mod unread;

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use swath_model::space::{Name, Value};
use swath_model::study::{Attempt, Datum, LogRecord, Metric, TrialId};
use tempfile::TempDir;

/// A workdir with a model, a trial's folder, and the records that the sink received.
struct World {
    dir: TempDir,
    forwarded: Arc<Mutex<Vec<LogRecord>>>,
    answer: Arc<Mutex<Directive>>,
}

impl World {
    fn new() -> Self {
        // In memory where such a folder exists: some tests sync files hundreds of times.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        fs::create_dir_all(dir.path().join("models")).unwrap();
        fs::create_dir_all(dir.path().join("logs/s/1")).unwrap();
        fs::write(dir.path().join("models/m.bin"), "model").unwrap();
        Self {
            dir,
            forwarded: Arc::default(),
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
        let (forwarded, answer) = (self.forwarded.clone(), self.answer.clone());
        let sink = move |record| {
            forwarded.lock().unwrap().push(record);
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
        self.forwarded()
            .into_iter()
            .find_map(|record| match record {
                LogRecord::Absent { metric, why } if &*metric == "acc" => Some(why),
                _ => None,
            })
    }

    fn tail(&self) -> Tail {
        Tail::new(self.trial().join("records.jsonl"))
    }

    fn forwarded(&self) -> Vec<LogRecord> {
        self.forwarded.lock().unwrap().clone()
    }

    fn warnings(&self) -> Vec<String> {
        let records = self.forwarded().into_iter();
        let warnings = records.filter_map(|record| match record {
            LogRecord::Warning { text } => Some(text),
            _ => None,
        });
        warnings.collect()
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
fn record_everything(log: &mut TrialLogger) {
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

/// Returns the rows of a metric file without their times.
fn without_time(rows: &str) -> Vec<&str> {
    let rows = rows.lines();
    rows.map(|row| row.split(", \"at\"").next().unwrap())
        .collect()
}

#[test]
fn a_program_and_a_closure_are_recorded_alike() {
    let (closure, program) = (World::new(), World::new());
    record_everything(&mut closure.logger());
    record_everything(&mut program.child());
    program.supervise();
    assert_eq!(closure.forwarded(), program.forwarded());
    assert!(closure.warnings().is_empty(), "{:?}", closure.warnings());
    assert_eq!(closure.forwarded().len(), 8);
    for log in ["report", "train", "mine"] {
        assert_eq!(
            without_time(&closure.metrics(log)),
            without_time(&program.metrics(log)),
            "{log}"
        );
    }
    assert_eq!(
        without_time(&closure.metrics("train")),
        [r#"{"acc": 0.9, "step": 3, "batch": 7, "context": "train""#]
    );
}

#[test]
fn a_step_that_begins_again_is_kept_with_one_warning_in_a_program_and_in_a_closure() {
    let (closure, program) = (World::new(), World::new());
    for log in [&mut closure.logger(), &mut program.child()] {
        for step in [1, 2, 1, 2] {
            log.metric("loss", 0.5, Point::step(step).context("train"))
                .unwrap();
        }
        log.finish().unwrap();
    }
    program.supervise();
    for world in [closure, program] {
        assert_eq!(world.metrics("train").lines().count(), 4);
        let warnings = world.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("`loss` in the log `train` comes at step 1 after step 2;"),
            "{warnings:?}"
        );
    }
}

fn param(name: &str, value: Value) -> LogRecord {
    let name = name.into();
    LogRecord::Param { name, value }
}

fn facts(facts: &[(&str, Value)]) -> LogRecord {
    let facts = facts.iter();
    LogRecord::Facts {
        model_path: "models/m.bin".into(),
        facts: facts
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect(),
    }
}

/// Logs an item of every kind through the one call.
fn log_everything(log: &mut TrialLogger) {
    let step = Point::step(2);
    let mut log_item = |item: Item<'_>, identifier: &str, kind: &str, at: Point<'_>| {
        assert!(log.log(item, identifier, kind, at).unwrap(), "{kind}");
    };
    log_item(0.5.into(), "loss", "metric", step.batch(4).context("train"));
    log_item(3e9.into(), "all", "flops", step.context("train"));
    log_item(12.0.into(), "depth", "param", step);
    log_item(
        serde_json::json!({"a": 1, "b": [true, "x"]}).into(),
        "",
        "params",
        step,
    );
    log_item(
        serde_json::json!({"k": {"deep": [1, null]}}).into(),
        "conf",
        "dict",
        step,
    );
    log_item("Grüße\n".into(), "notes/greeting.md", "text", step);
    log_item(Path::new("models/m.bin").into(), "", "image", step);
    log_item("models/m.bin".into(), "", "artifact", step);
    log_item(Path::new("models/m.bin").into(), "mlp", "model", step);
    log_item(Path::new("models/m.bin").into(), "mlp", "best_model", step);
    log_item(
        Path::new("models").into(),
        "",
        "dataset",
        Point::default().context("test"),
    );
    log_item(
        serde_json::json!({"lr": 0.1}).into(),
        "Adam",
        "optimizer",
        step,
    );
    log_item("models/m.bin".into(), "", "prov_documents", step);
    log_item("a note".into(), "", "note", step);
    log.finish().unwrap();
}

#[test]
fn one_call_logs_every_kind_alike_in_a_program_and_in_a_closure() {
    let (closure, program) = (World::new(), World::new());
    log_everything(&mut closure.logger());
    log_everything(&mut program.child());
    program.supervise();
    assert_eq!(closure.forwarded(), program.forwarded());
    assert!(closure.warnings().is_empty(), "{:?}", closure.warnings());
    let list = Value::List(vec![Value::Bool(true), Value::Text("x".into())]);
    let name = ("name", Value::Text("mlp".into()));
    for expected in [
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
            closure.forwarded().contains(&expected),
            "{expected:?} is not in {:?}",
            closure.forwarded()
        );
    }
    for world in [closure, program] {
        let read =
            |file: &str| fs::read_to_string(world.trial().join("artifacts").join(file)).unwrap();
        assert_eq!(read("dict/conf.json"), "{\"k\":{\"deep\":[1,null]}}\n");
        assert_eq!(read("text/notes/greeting.md"), "Grüße\n");
        assert_eq!(
            (&*read("image/models/m.bin"), &*read("prov/models/m.bin")),
            ("model", "model")
        );
        let metrics = world.metrics("train");
        let rows = without_time(&metrics);
        assert_eq!(
            rows[0],
            r#"{"loss": 0.5, "step": 2, "batch": 4, "context": "train""#
        );
        assert!(rows[1].starts_with(r#"{"flops": 3000000000"#), "{rows:?}");
    }
}

#[test]
fn a_kind_without_meaning_outside_the_program_is_refused_with_the_reason() {
    let world = World::new();
    let mut log = world.logger();
    let mut refusal = |item: Item<'_>, kind: &str| {
        log.log(item, "x", kind, Point::default())
            .unwrap_err()
            .to_string()
    };
    assert!(refusal("m".into(), "watch").contains("needs the model itself"));
    assert!(refusal("m".into(), "torch").contains("save it to a file"));
    assert!(
        refusal("m".into(), "banana")
            .starts_with("`banana` cannot be logged: there is no such kind; there are metric,")
    );
    assert_eq!(
        refusal("m".into(), "metric"),
        "`metric` cannot be logged: `x` needs a number"
    );
    assert_eq!(
        refusal(1.0.into(), "model"),
        "`model` cannot be logged: `x` needs a path"
    );
    assert_eq!(
        refusal(1.0.into(), "dict"),
        "`dict` cannot be logged: `x` needs an object or a list"
    );
    world.records(
        b"{\"kind\": \"watch\", \"model\": \"m\"}\n\
                    {\"kind\": \"text\", \"name\": \"../up\", \"text\": \"x\"}\n\
                    {\"kind\": \"dict\", \"name\": \"a\"}\n",
    );
    world.supervise();
    let warnings = world.warnings();
    assert!(
        warnings[0].starts_with(
            "line 1 of `records.jsonl`: the kind `watch` cannot be recorded: following"
        ),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("`../up.txt` cannot be the name")
            || warnings[1].contains("`../up` cannot be the name"),
        "{warnings:?}"
    );
    assert!(
        warnings[2].contains("a dict needs `value`, a list or an object"),
        "{warnings:?}"
    );
    assert!(!world.trial().join("artifacts").exists());
}

#[test]
fn a_logger_records_due_items_only_and_adds_its_rank() {
    use swath_model::study::{Due, LogFreq, LogOnWorkers};
    let every = Due {
        freq: LogFreq::Every(std::num::NonZeroU64::new(2).unwrap()),
        workers: LogOnWorkers::All,
    };
    let first = Due {
        workers: LogOnWorkers::Only(vec![0]),
        ..Due::default()
    };
    let (closure, program) = (World::new(), World::new());
    for (world, mut log) in [(&closure, closure.logger()), (&program, program.child())] {
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
    program.supervise();
    for world in [closure, program] {
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
    let forwarded = world.forwarded();
    assert!(matches!(&forwarded[0], LogRecord::Report { values } if values.len() == 2));
    assert_eq!(forwarded[1..], [model(Some(3.0))]);
    assert_eq!(recorded.models[0].0, "models/m.bin");
}

#[test]
fn a_model_path_that_leads_out_is_refused_and_the_rest_is_kept() {
    let world = World::new();
    std::os::unix::fs::symlink("/etc", world.dir.path().join("out")).unwrap();
    world.records(
        b"{\"a\": 1, \"model_path\": \"/etc/hostname\"}\n{\"a\": 2, \"model_path\": \"../x\"}\n\
          {\"a\": 3, \"model_path\": \"out/hostname\"}\n",
    );
    world.supervise();
    let reports: Vec<_> = world
        .forwarded()
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
fn a_missing_model_is_recorded_without_digest_and_with_a_warning() {
    let world = World::new();
    world.logger().model("models/none.bin", None).unwrap();
    let model_path = "models/none.bin".to_owned();
    let record = &world.forwarded()[1];
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
fn bad_lines_are_warned_about_by_number_and_good_lines_are_kept() {
    let world = World::new();
    let mut lines = b"{\"a\": 1}\nnot json\n[1]\n{\"kind\": \"metrics\"}\n\
                      {\"a\": NaN, \"a\": 2, \"l\": []}\n{\"a\": 3, \"t\": \"\xff\"}\n"
        .to_vec();
    lines.resize(lines.len() + super::wire::LONGEST_LINE + 1, b' ');
    lines.extend_from_slice(b"\n{\"a\": 4}\n{\"a\": 5}");
    world.records(&lines);
    let recorded = world.supervise();
    let reported: Vec<f64> = world
        .forwarded()
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
    let expected = [
        "line 2 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
        "line 3 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
        "line 4 of `records.jsonl`: there is no kind `metrics`; did you mean `metric`?; it is \
         left out",
        "line 5 of `records.jsonl`: `a` occurs twice; the later value counts; `l` is left out: \
         it is a list or an object; values are numbers, texts and switches",
        "line 6 of `records.jsonl`: bytes that are not UTF-8 were replaced",
        "line 7 of `records.jsonl`: it has 10000001 bytes, and the limit is 10000000; it is left \
         out",
    ];
    assert_eq!(world.warnings(), expected);
    assert_eq!((recorded.reports, recorded.warnings), (5, 6));
}

#[test]
fn a_torn_last_line_is_warned_about() {
    let world = World::new();
    world.records(b"{\"a\": 1}\n{\"a\": ");
    world.supervise();
    assert_eq!(
        world.warnings(),
        ["line 2 of `records.jsonl`: it is incomplete; it is left out"]
    );
}

#[test]
fn beyond_some_warnings_bad_lines_are_only_counted() {
    let world = World::new();
    world.records(&b"x\n".repeat(1000));
    assert_eq!(world.supervise().warnings, 1000);
    assert_eq!(world.warnings().len(), 101);
    assert_eq!(world.warnings()[100], "and 900 more warnings like these");
}

#[test]
fn a_metric_with_an_invalid_log_is_kept_with_a_warning() {
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
fn a_report_returns_the_directive_to_stop() {
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
fn a_report_of_a_closure_names_its_model_too() {
    let world = World::new();
    let mut log = world.logger();
    let path = ("model_path".into(), Datum::Text("models/m.bin".into()));
    log.report_values(vec![("epoch".into(), Datum::Number(Metric(2.0))), path])
        .unwrap();
    assert_eq!(world.forwarded()[1..], [model(Some(2.0))]);
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
        "a record: the artifact is not stored: `.` contains the trial's own folder"
    );
}

#[test]
fn outside_a_trial_there_is_no_logger_and_an_incomplete_environment_is_an_error() {
    assert!(TrialLogger::from_variables(&|_| None).unwrap().is_none());
    let world = World::new();
    let error_with = |name: &str, value: Option<&str>| {
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
        error_with("SWATH_STAGE", None),
        format!("`SWATH_STAGE` is not set{end}")
    );
    assert_eq!(
        error_with("SWATH_ATTEMPT", None),
        format!("`SWATH_ATTEMPT` is not set{end}")
    );
    assert_eq!(
        error_with("SWATH_TRIAL", Some("x")),
        format!("`SWATH_TRIAL` is `x`, not a number from 1{end}")
    );
}

#[test]
fn a_preparation_records_without_a_trial() {
    let world = World::new();
    let mut variables = world.variables();
    variables.remove("SWATH_TRIAL");
    let logger = TrialLogger::from_variables(&|name| variables.get(name).map(Into::into));
    let mut logger = logger.unwrap().unwrap();
    assert_eq!(logger.identity().trial, TrialId(0));
    logger.report(&[("rows", 3.0)]).unwrap();
    let records = fs::read_to_string(world.trial().join("records.jsonl")).unwrap();
    assert!(records.contains("\"rows\": 3"), "{records}");
}

#[test]
fn metrics_of_a_child_are_buffered_and_written_with_the_next_report_in_order() {
    let world = World::new();
    let mut child = world.child();
    child.metric("a", 1.0, Point::step(1)).unwrap();
    let records = || fs::read_to_string(world.trial().join("records.jsonl")).unwrap();
    assert_eq!(records(), "");
    child.report(&[("b", 2.0)]).unwrap();
    let lines: Vec<String> = records()
        .lines()
        .map(|line| line[..25].to_owned())
        .collect();
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
    assert_eq!(records().lines().count(), 3);
}

#[test]
fn nothing_is_lost_when_the_trials_folder_cannot_be_written() {
    let world = World::new();
    fs::write(world.trial().join("metrics"), "in the way").unwrap();
    let mut log = world.logger();
    log.report(&[("a", 1.0)]).unwrap();
    log.flush().unwrap();
    log.flush().unwrap();
    assert_eq!(world.forwarded()[0], report(&[("a", 1.0)]));
    assert_eq!(world.warnings().len(), 1);
}

#[test]
fn reports_of_other_workers_than_the_first_are_metrics_with_their_rank() {
    let (closure, program) = (World::new(), World::new());
    for rank in [0, 1, 3] {
        let mut log = closure.logger().with_rank(rank);
        log.report(&[("epoch", 1.0), ("loss", 0.5 - 0.1 * f64::from(rank))])
            .unwrap();
        log.finish().unwrap();
        let mut variables = program.variables();
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
    program.supervise();
    for world in [closure, program] {
        let reports: Vec<_> = world
            .forwarded()
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
fn a_line_with_another_rank_does_not_decide_and_a_line_of_the_logger_gets_its_rank() {
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
        world.forwarded(),
        [report(&[("epoch", 1.0), ("loss", 0.5), ("rank", 0.0)])]
    );
    assert_eq!(world.metrics("metrics").lines().count(), 2);
}

#[test]
fn reports_of_other_workers_only_give_a_warning_that_none_decides() {
    let world = World::new();
    world.records(b"{\"loss\": 1, \"rank\": 8}\n{\"loss\": 0.5, \"rank\": 8}\n");
    world.supervise();
    let warnings = world.warnings();
    assert!(
        warnings[0].starts_with("none of 2 reports decides: they are of rank 8,"),
        "{warnings:?}"
    );
    let deciding = [Name::from("rank")];
    let ranked = World::new();
    let mut log = ranked.logger().with_deciding_metrics(&deciding);
    log.record(r#"{"rank": 8}"#).unwrap();
    log.finish().unwrap();
    assert_eq!(
        ranked.forwarded(),
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
fn a_model_of_a_report_has_the_step_of_that_report() {
    for (resource, step) in [(None, 2.0), (Some(Name::from("rows")), 900.0)] {
        let world = World::new();
        let mut log = world.logger().with_resource(resource.as_ref());
        log.record(r#"{"epoch": 2, "rows": 900, "model_path": "models/m.bin"}"#)
            .unwrap();
        assert_eq!(world.forwarded()[1..], [model(Some(step))]);
    }
}

#[test]
fn the_reason_why_a_deciding_metric_has_no_number_is_recorded_at_the_end() {
    for (lines, expected) in [
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
            Some("is in no line that could be read; a line of its records was left out: "),
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
        let is_expected = match (&reason, expected) {
            (Some(reason), Some(begin)) => reason.starts_with(begin),
            (reason, begin) => reason.is_none() && begin.is_none(),
        };
        assert!(is_expected, "{lines:?}: {reason:?}");
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
    let forwarded: Vec<LogRecord> = world
        .forwarded()
        .into_iter()
        .filter(|record| matches!(record, LogRecord::Report { .. }))
        .collect();
    assert_eq!(
        forwarded,
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
    assert!(
        matches!(&world.forwarded()[0], LogRecord::Report { values } if values.len() == 100_001)
    );
    assert!(world.metrics("report").contains("\"loss\": 0.5"));
}

#[test]
fn a_report_that_waits_arrives_together_with_its_question() {
    for _ in 0..50 {
        let world = World::new();
        let mut child = world.child();
        let records = world.trial().join("records.jsonl");
        let asking = std::thread::spawn(move || {
            let answer = child.report_and_wait(&[("loss", 0.5)]).unwrap();
            // The file `stop` is not there yet.
            (answer, child.directive())
        });
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
        assert_eq!(asking.join().unwrap(), (Directive::Stop, Directive::Stop));
    }
}
