//! Tests that every tracker in the registry must pass.

use super::{TRACKERS, Tracker};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use swath_model::demo::{Demo, model_record};
use swath_model::source::{Diagnostics, Section, Table};
use swath_model::space::{Space, Value};
use swath_model::study::kind::find;
use swath_model::study::{
    Attempt, Closing, Datum, Event, Exit, Failure, LogRecord, Origin, Setting, Study, TrialId,
    Verdict,
};

fn setting(dir: Option<&Path>) -> Setting {
    Setting {
        space: Arc::new(Space::default()),
        objectives: Vec::new(),
        seed: 7,
        trials: None,
        slots: 1,
        resource: None,
        checkpoint: true,
        dir: dir.map(Path::to_owned),
    }
}

fn try_build(
    name: &str,
    options: &str,
    dir: Option<&Path>,
) -> (Option<Box<dyn Tracker>>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let section = Section::new(
        "tracker",
        0..options.len(),
        Table::parse(options, &mut diagnostics),
    );
    let built = find(TRACKERS, name)
        .unwrap()
        .make(section, &setting(dir), &mut diagnostics);
    (built, diagnostics)
}

fn build(name: &str, dir: &Path) -> Box<dyn Tracker> {
    let options = if name == "program" {
        "command = ['sh', '-c', 'cat > \"$SWATH_STUDY_DIR/got\"']"
    } else {
        ""
    };
    try_build(name, options, Some(dir)).0.unwrap()
}

/// Returns the trackers under test, each of which writes into a folder of its own. None of them
/// uses a server here.
fn names() -> impl Iterator<Item = &'static str> {
    ["mlflow", "wandb", "tensorboard", "prov", "cmf", "program"].into_iter()
}

/// Returns a study with all kinds of event: names that are not ASCII, NaN, a failure, a retry, a
/// pause, and a trial that is stopped while it is paused.
fn eventful() -> Demo {
    let mut demo = Demo::new(&["größe", "lr", "on"]);
    let params = |lr| {
        [
            ("größe", Value::Text("très \"grand\"".into())),
            ("lr", Value::Float(lr)),
            ("on", Value::Bool(true)),
        ]
    };
    let tokens = demo.prepare("tokens", &["data/é"], &[]);
    let first = demo.start(&params(0.1));
    demo.read_prepared(first, tokens);
    let data = LogRecord::Dataset {
        data_dir: "data/é".into(),
        role: "train".into(),
        md5: Some("0123.dir".into()),
        size: 5,
        files: 2,
        partial: Vec::new(),
    };
    demo.log(first, data);
    demo.report(
        first,
        &[("epoch", 1.0), ("val_loss", f64::NAN), ("x", f64::INFINITY)],
    );
    demo.report(first, &[("epoch", 2.0), ("val_loss", 0.5)]);
    let model = LogRecord::Model {
        model_path: "m.bin".into(),
        md5: Some("ab".into()),
        size: 9,
        step: Some(2.0),
        held: None,
        keep: false,
        doubt: None,
        partial: Vec::new(),
    };
    demo.log(first, model);
    let facts = [
        ("parameters".into(), Value::Int(7850)),
        ("best".into(), Value::Bool(true)),
    ]
    .into_iter()
    .collect();
    demo.log(
        first,
        LogRecord::Facts {
            model_path: "m.bin".into(),
            facts,
        },
    );
    demo.log(
        first,
        LogRecord::Param {
            name: "tiefe".into(),
            value: Value::Int(3),
        },
    );
    demo.log(
        first,
        LogRecord::Note {
            text: "a note".into(),
        },
    );
    demo.log(
        first,
        LogRecord::Output {
            name: "acc".into(),
            value: Value::Float(0.25),
        },
    );
    demo.end(first, Exit::Done);
    let second = demo.start(&params(0.2));
    demo.report(second, &[("epoch", 1.0), ("val_loss", 0.75)]);
    demo.end(second, Exit::Failed(Failure::Code(3)));
    demo.event(Event::requeued(second, "again"));
    again(&mut demo, second, 2, false);
    demo.report(second, &[("val_loss", 0.25)]);
    demo.end(second, Exit::Done);
    let third = demo.start(&params(0.3));
    demo.report(third, &[("epoch", 1.0), ("val_loss", 1.0)]);
    demo.end(third, Exit::Paused);
    again(&mut demo, third, 2, true);
    demo.log(
        third,
        LogRecord::Report {
            values: vec![("word".into(), Datum::Text("wörd".into()))],
        },
    );
    demo.end(third, Exit::Paused);
    demo.event(Event::Judged {
        trial: third,
        verdict: Verdict::Stop,
        why: "worse".into(),
    });
    let instead = None;
    let origin = Origin::Cloned {
        from: first,
        instead,
        why: "better".into(),
    };
    demo.event(Event::Created {
        trial: TrialId(4),
        params: [].into_iter().collect(),
        origin,
        seed: 1,
    });
    again(&mut demo, TrialId(4), 1, true);
    demo.report(TrialId(4), &[("val_loss", 3.0)]);
    demo
}

fn again(demo: &mut Demo, trial: TrialId, attempt: u32, resume: bool) {
    let attempt = Attempt(attempt);
    demo.event(Event::Started {
        trial,
        attempt,
        until: None,
        slot: 0,
        resume,
    });
}

/// Feeds a tracker the first `count` entries, with a sync after every third one.
fn feed(tracker: &mut dyn Tracker, demo: &Demo, count: usize) {
    let mut study = Study::default();
    for entry in &demo.entries[..count] {
        study.apply(entry).unwrap();
        tracker.record(&study, entry).unwrap();
        if entry.seq % 3 == 0 {
            tracker.sync(&study).unwrap();
        }
    }
    tracker.close(&study).unwrap();
}

/// Creates a study folder with metric rows of trial 2.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("2/metrics")).unwrap();
    let rows = "{\"loss\": 1, \"rank\": 2}\n{\"loss\": NaN, \"step\": 3, \"at\": 1767225700.125}\n{\"loss\": 0.5, \"größe\": 2, \"at\": 1767225701.000}\n";
    fs::write(folder.path().join("2/metrics/train.json"), rows).unwrap();
    folder
}

fn written(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let inside = written(&path).into_iter();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.extend(inside.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            );
        }
    }
    files
}

/// Returns all written files, with `ROOT` in place of the absolute path that MLflow needs.
fn relative(folder: &tempfile::TempDir) -> BTreeMap<String, Vec<u8>> {
    let root = folder.path().display().to_string();
    let written = written(folder.path()).into_iter();
    let relative = |(file, bytes): (String, Vec<u8>)| match String::from_utf8(bytes) {
        Ok(text) => (file, text.replace(&root, "ROOT").into_bytes()),
        Err(error) => (file, error.into_bytes()),
    };
    written.map(relative).collect()
}

#[test]
fn the_same_entries_leave_the_same_bytes_after_any_number_of_interruptions() {
    let demo = eventful();
    for name in names() {
        let (once, often) = (folder(), folder());
        feed(build(name, once.path()).as_mut(), &demo, demo.entries.len());
        for cut in [3, 8, 9, 11, 17, 22, 26, 29, demo.entries.len()] {
            feed(build(name, often.path()).as_mut(), &demo, cut);
        }
        let (once, often) = (relative(&once), relative(&often));
        assert!(once.len() > 1, "{name} writes nothing");
        assert_eq!(
            once.keys().collect::<Vec<_>>(),
            often.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (file, bytes) in &once {
            assert!(
                *bytes == often[file],
                "{name} writes `{file}` otherwise after a cut"
            );
        }
    }
}

#[test]
fn a_tracker_reports_unknown_options_and_fails_without_a_folder() {
    for name in names() {
        let (built, diagnostics) = try_build(name, "command = ['cat']\ndirr = 'x'", None);
        let messages: Vec<_> = diagnostics
            .list
            .iter()
            .map(|it| it.message.clone())
            .collect();
        assert!(
            messages.contains(&"unknown key `dirr` in `[tracker]`".to_owned()),
            "{name}: {messages:?}"
        );
        drop(built);
        let options = if name == "program" {
            "command = ['cat']"
        } else {
            ""
        };
        let (mut tracker, demo) = (try_build(name, options, None).0.unwrap(), eventful());
        let mut study = Study::default();
        let failed = demo.entries.iter().any(|entry| {
            study.apply(entry).unwrap();
            tracker
                .record(&study, entry)
                .and_then(|()| tracker.sync(&study))
                .is_err()
        });
        assert!(failed, "{name} writes without a folder");
    }
}

#[test]
fn the_option_dir_is_a_folder_of_studies() {
    let (study, elsewhere) = (folder(), tempfile::tempdir().unwrap());
    for name in ["wandb", "tensorboard", "prov", "cmf"] {
        let options = format!("dir = '{}'", elsewhere.path().display());
        let mut tracker = try_build(name, &options, Some(study.path())).0.unwrap();
        feed(tracker.as_mut(), &eventful(), 20);
        assert!(
            elsewhere.path().join("digits").exists() && !study.path().join("trackers").exists()
        );
        fs::remove_dir_all(elsewhere.path().join("digits")).unwrap();
    }
}

#[test]
fn a_program_receives_the_lines_of_the_journal() {
    let (folder, demo) = (folder(), eventful());
    feed(
        build("program", folder.path()).as_mut(),
        &demo,
        demo.entries.len(),
    );
    let got = fs::read_to_string(folder.path().join("got")).unwrap();
    let lines: Vec<_> = demo
        .entries
        .iter()
        .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
        .collect();
    assert_eq!(got, lines.concat());
}

#[test]
fn a_program_that_fails_is_reported_with_its_last_line() {
    for (command, why) in [
        (
            "['sh', '-c', 'cat > /dev/null; echo no luck >&2; exit 3']",
            "`sh` ended with exit status: 3: no luck",
        ),
        (
            "['/nowhere/x']",
            "`/nowhere/x` could not be started: No such file or directory (os error 2)",
        ),
    ] {
        let folder = folder();
        let mut tracker = try_build(
            "program",
            &format!("command = {command}"),
            Some(folder.path()),
        )
        .0
        .unwrap();
        let (demo, mut study) = (eventful(), Study::default());
        let mut result = Ok(());
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            result = result.and_then(|()| tracker.record(&study, entry));
        }
        let error = result.and_then(|()| tracker.close(&study)).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn a_program_that_does_not_read_its_input_is_killed_and_reported() {
    let folder = folder();
    let command = "command = ['sh', '-c', 'echo $$ > \"$SWATH_STUDY_DIR/pid\"; exec sleep 600']";
    let mut tracker = try_build("program", command, Some(folder.path()))
        .0
        .unwrap();
    let (demo, mut study) = (eventful(), Study::default());
    // The input of a program holds less than this many entries.
    let mut entries = demo.entries.iter().cycle().take(10_000);
    let error = entries.find_map(|entry| {
        let _ = study.apply(entry);
        tracker.record(&study, entry).err()
    });
    assert_eq!(error.unwrap().to_string(), "`sh` does not read its input");
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn a_program_needs_a_command() {
    for options in ["", "command = []", "command = 'cat'"] {
        let (built, diagnostics) = try_build("program", options, None);
        assert!(built.is_none() && diagnostics.has_errors(), "{options}");
    }
}

#[test]
fn every_tracker_accepts_odd_names_mixed_types_and_decreasing_steps() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    let long = "n".repeat(250);
    let names = [
        "val_loss",
        "a/b",
        "../up",
        ".",
        "..",
        "...",
        "a.b",
        "\u{fffd}\u{fffd}",
        " ",
        "'\"`$",
        &*long,
    ];
    for (epoch, value) in [(2.0, 0.5), (1.0, f64::NAN), (1.0, 0.25)] {
        let values: Vec<(&str, f64)> = names
            .iter()
            .map(|name| (*name, value))
            .chain([("epoch", epoch)])
            .collect();
        demo.report(trial, &values);
        let text = Datum::Text("no number".into());
        demo.log(
            trial,
            LogRecord::Report {
                values: vec![("a/b".into(), text), ("..".into(), Datum::Flag(true))],
            },
        );
    }
    for name in names {
        demo.log(
            trial,
            LogRecord::Output {
                name: name.into(),
                value: Value::Int(1),
            },
        );
        demo.log(
            trial,
            LogRecord::Param {
                name: name.into(),
                value: Value::Float(0.5),
            },
        );
    }
    demo.end(trial, Exit::Done);
    let rows: String = names
        .iter()
        .flat_map(|name| {
            [3, 1].map(|step| serde_json::json!({ *name: step, "step": step, "mixed": 1 }))
        })
        .chain([serde_json::json!({ "mixed": "two", "step": -4, "batch": 1e300, "rank": -1 })])
        .map(|row| row.to_string() + "\n")
        .collect();
    for name in TRACKERS.iter().map(|kind| kind.name) {
        let outer = tempfile::tempdir().unwrap();
        let study = outer.path().join("deep/study");
        fs::create_dir_all(study.join("1/metrics")).unwrap();
        fs::write(study.join("1/metrics/train.json"), &rows).unwrap();
        feed(build(name, &study).as_mut(), &demo, demo.entries.len());
        let outside: Vec<String> = written(outer.path())
            .into_keys()
            .filter(|path| !path.starts_with("deep/study/"))
            .collect();
        assert!(outside.is_empty(), "{name} wrote {outside:?}");
    }
}

/// Returns a study with one trial whose second of three reports is the best, with a model after
/// each.
fn best_in_the_middle() -> Demo {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    for (epoch, loss) in (1..).zip([0.5, 0.25, 0.75]) {
        demo.report(trial, &[("val_loss", loss)]);
        let (path, md5) = (format!("epoch-{epoch}.bin"), format!("digest-{epoch}"));
        demo.log(trial, model_record(&path, Some(&md5)));
    }
    demo.end(trial, Exit::Done);
    demo
}

fn kept_by(name: &str, demo: &Demo) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    feed(
        build(name, folder.path()).as_mut(),
        demo,
        demo.entries.len(),
    );
    relative(&folder)
}

#[test]
fn prov_has_the_result_as_attributes_of_the_trial_in_both_documents() {
    let files = kept_by("prov", &best_in_the_middle());
    for document in ["trackers/prov/trial-1.json", "trackers/prov/study.json"] {
        let document: serde_json::Value = serde_json::from_slice(&files[document]).unwrap();
        let trial = &document["activity"]["run:trial-1"];
        let names = [
            "objective.val_loss",
            "best_step",
            "model_path",
            "model_md5",
            "model_step",
        ];
        let values = names.map(|name| match &trial[format!("swath:{name}")] {
            serde_json::Value::Object(typed) => typed["$"].as_str().unwrap().to_owned(),
            value => value.as_str().unwrap_or("absent").to_owned(),
        });
        assert_eq!(values, ["0.25", "2.0", "epoch-2.bin", "digest-2", "2.0"]);
        assert_eq!(trial["swath:state"], "complete");
    }
}

/// Returns whether the best trial is feasible if `val_loss` may be at most `max`, as written by
/// PROV, MLflow and CMF.
fn feasibility(max: Option<f64>) -> (Option<String>, Option<String>, Option<i64>) {
    let mut demo = best_in_the_middle();
    demo.constrain("val_loss", max);
    demo.event(Event::Closed {
        why: Closing::Finished,
    });
    let document = &kept_by("prov", &demo)["trackers/prov/study.json"];
    let document: serde_json::Value = serde_json::from_slice(document).unwrap();
    let prov = document["entity"]["run:best"]["swath:feasible"]["$"].clone();
    let mlflow = kept_by("mlflow", &demo);
    let mlflow = mlflow
        .iter()
        .find(|(file, _)| file.ends_with("tags/swath.best_feasible"))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    let folder = tempfile::tempdir().unwrap();
    feed(
        build("cmf", folder.path()).as_mut(),
        &demo,
        demo.entries.len(),
    );
    let store = rusqlite::Connection::open(folder.path().join("trackers/cmf/mlmd")).unwrap();
    let feasible = "SELECT one.int_value FROM ArtifactProperty AS one JOIN ArtifactProperty AS other \
                    USING (artifact_id) WHERE one.name = 'feasible' AND other.name = 'best_model'";
    let cmf: Option<i64> = store.query_row(feasible, [], |row| row.get(0)).ok();
    (prov.as_str().map(str::to_owned), mlflow, cmf)
}

#[test]
fn a_best_trial_that_breaks_an_outcome_constraint_is_called_infeasible() {
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(
        feasibility(Some(0.2)),
        (word("false"), word("false"), Some(0))
    );
    assert_eq!(
        feasibility(Some(0.3)),
        (word("true"), word("true"), Some(1))
    );
    assert_eq!(feasibility(None), (None, None, None));
}

#[test]
fn the_summary_of_wandb_nests_the_result_at_every_dot() {
    let files = kept_by("wandb", &best_in_the_middle());
    let run = files
        .values()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect::<String>();
    let result = "\"result\":{\"best_step\":2.0,\"model_path\":\"epoch-2.bin\",\"model_md5\":\"digest-2\",\
                  \"model_step\":2.0,\"objective\":{\"val_loss\":0.25}}";
    assert!(run.contains(result), "{run}");
}

#[test]
fn the_columns_of_hparams_begin_with_the_results_and_name_their_rule() {
    let files = kept_by("tensorboard", &best_in_the_middle());
    let experiment = files
        .iter()
        .find(|(file, _)| file.starts_with("trackers/tensorboard/events"))
        .unwrap();
    let columns = String::from_utf8_lossy(experiment.1);
    let position = |text: &str| {
        columns
            .find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {columns}"))
    };
    let result = position("result/objective.val_loss");
    assert!(
        result < position("val_loss (best)")
            && position("val_loss (best)") < position("result/best_step")
    );
    assert!(columns.contains("the best of a trial's reports"));
}

/// Returns the steps of all records with `tag` in a TensorBoard event file.
fn steps_of_events(mut records: &[u8], tag: &str) -> Vec<i64> {
    let mut steps = Vec::new();
    let field = [&[tag.len() as u8], tag.as_bytes()].concat();
    while let Some((length, _)) = records.split_first_chunk::<8>() {
        let (record, rest) = records.split_at(16 + u64::from_le_bytes(*length) as usize);
        let event = &record[12..record.len() - 4];
        // The time takes nine bytes; the step follows as field 2.
        if event.get(9) == Some(&16) && event.windows(field.len()).any(|window| window == field) {
            steps.push(super::proto::varint(&event[10..]).unwrap().0 as i64);
        }
        records = rest;
    }
    steps
}

#[test]
fn all_curves_of_a_study_share_one_axis_of_integer_steps() {
    let mut demo = Demo::new(&[]);
    let integer = demo.start(&[]);
    for epoch in [1.0, 2.0] {
        demo.report(integer, &[("val_loss", 0.5), ("epoch", epoch)]);
    }
    demo.end(integer, Exit::Done);
    let fractional = demo.start(&[]);
    demo.report(fractional, &[("val_loss", 0.9)]);
    demo.report(fractional, &[("val_loss", 0.8)]);
    for epoch in [1.0, 1.25] {
        demo.report(fractional, &[("val_loss", 0.5), ("epoch", epoch)]);
    }
    demo.report(fractional, &[("val_loss", 0.4)]);
    demo.end(fractional, Exit::Done);
    let folder = folder();
    let expected: [(u32, &[i64]); 2] = [
        (1, &[1_000_000, 2_000_000]),
        (2, &[0, 0, 1_000_000, 1_250_000, 1_250_000]),
    ];
    for name in ["tensorboard", "mlflow"] {
        feed(
            build(name, folder.path()).as_mut(),
            &demo,
            demo.entries.len(),
        );
    }
    let written = written(folder.path());
    let path_has = |path: &str, parts: [&str; 2]| parts.iter().all(|part| path.contains(part));
    for (trial, steps) in expected {
        let events = format!("tensorboard/{trial}/");
        let (_, bytes) = written
            .iter()
            .find(|(path, _)| path.contains(&events))
            .unwrap();
        assert_eq!(steps_of_events(bytes, "val_loss"), steps);
        let tag = |(path, text): &(&String, &Vec<u8>)| {
            path_has(path, ["mlruns", "tags/swath.trial"])
                && **text == format!("digits/{trial}").into_bytes()
        };
        let (run, _) = written.iter().find(tag).unwrap();
        let rows = &written[&run.replace("tags/swath.trial", "metrics/val_loss")];
        let rows = String::from_utf8_lossy(rows);
        let written_steps: Vec<i64> = rows
            .lines()
            .map(|row| row.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(written_steps, steps);
    }
}

/// Returns a study whose trial reads the output of a preparation, which reads that of another, and
/// writes a model.
fn prepared() -> Demo {
    let mut demo = Demo::new(&[]);
    let tokens = demo.prepare("tokens", &["raw"], &[]);
    let index = demo.prepare("index", &[], &[tokens]);
    let trial = demo.start(&[]);
    demo.read_prepared(trial, index);
    demo.report(trial, &[("val_loss", 0.5)]);
    demo.log(trial, model_record("m.bin", Some("model")));
    demo.end(trial, Exit::Done);
    demo
}

#[test]
fn the_lineage_of_a_model_in_cmf_goes_back_to_the_raw_data_through_the_preparations() {
    let (demo, folder) = (prepared(), tempfile::tempdir().unwrap());
    feed(
        build("cmf", folder.path()).as_mut(),
        &demo,
        demo.entries.len(),
    );
    let store = rusqlite::Connection::open(folder.path().join("trackers/cmf/mlmd")).unwrap();
    // As cmf does: from an artifact to the execution that wrote it, and to what that one has read.
    let lineage = "WITH RECURSIVE lineage(artifact, execution) AS (
        SELECT id, CAST(NULL AS INTEGER) FROM Artifact WHERE uri = 'model'
        UNION
        SELECT read.artifact_id, wrote.execution_id FROM lineage
            JOIN Event AS wrote ON wrote.artifact_id = lineage.artifact AND wrote.type = 4
            JOIN Event AS read ON read.execution_id = wrote.execution_id AND read.type = 3)
        SELECT Artifact.uri, Execution.name, Type.name FROM lineage
            JOIN Artifact ON Artifact.id = artifact
            JOIN Execution ON Execution.id = execution
            JOIN Type ON Type.id = Execution.type_id ORDER BY uri";
    let mut query = store.prepare(lineage).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<(String, String, String)> = rows.unwrap().map(Result::unwrap).collect();
    let row = |data: &str, execution: &str, stage: &str| {
        (data.to_owned(), execution.to_owned(), stage.to_owned())
    };
    assert_eq!(
        rows,
        [
            row("index", "Trial_digits_1", "digits/train"),
            row(
                "raw",
                "Prepare_digits_tokens_tokens-digest",
                "digits/tokens"
            ),
            row(
                "tokens",
                "Prepare_digits_index_index-digest",
                "digits/index"
            ),
        ]
    );
}

#[test]
fn the_lineage_of_a_model_in_prov_goes_back_to_the_raw_data_through_the_preparations() {
    let files = kept_by("prov", &prepared());
    let document = &files["trackers/prov/study.json"];
    let document: serde_json::Value = serde_json::from_slice(document).unwrap();
    let pairs = |relation: &str, from: &str, to: &str| -> Vec<(String, String)> {
        let relations = document[relation].as_object().unwrap().values();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        relations
            .map(|pair| (text(&pair[from]), text(&pair[to])))
            .collect()
    };
    let derived = pairs("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity");
    let mut lineage = vec!["run:trial-1/model/m.bin/1".to_owned()];
    let mut next = 0;
    while let Some(entity) = lineage.get(next).cloned() {
        let sources = derived.iter().filter(|(from, _)| *from == entity);
        lineage.extend(sources.map(|(_, to)| to.clone()));
        next += 1;
    }
    assert_eq!(lineage.last().unwrap(), "run:data/raw/raw", "{lineage:?}");
    let generated = pairs("wasGeneratedBy", "prov:entity", "prov:activity");
    let mut outputs = generated.iter();
    let by = outputs.find(|(entity, _)| entity.starts_with("run:data/index/"));
    assert_eq!(by.unwrap().1, "run:prepare-2", "{generated:?}");
    let label = &document["activity"]["run:prepare-2"]["prov:label"];
    assert_eq!(label, "preparation index");
}

/// Returns a study named `name`, whose only trial reads the bytes `input` and writes a model with
/// the bytes `output`, which it records twice.
fn stage(name: &str, stage: &str, input: &str, output: &str) -> Demo {
    let mut demo = Demo::new(&[]);
    if let Event::Opened { header, .. } = &mut demo.entries[0].event {
        header.name = name.to_owned();
        header.stage = stage.to_owned();
    }
    let trial = demo.start(&[]);
    demo.log(
        trial,
        LogRecord::Dataset {
            data_dir: format!("{name}-input"),
            role: String::new(),
            md5: Some(input.to_owned()),
            size: 1,
            files: 1,
            partial: Vec::new(),
        },
    );
    demo.report(trial, &[("val_loss", 0.5)]);
    for facts in [
        vec![
            ("framework", Value::Text("torch".into())),
            ("parameters", Value::Int(7850)),
        ],
        vec![("best", Value::Bool(true))],
    ] {
        let model_path = format!("{name}.bin");
        demo.log(
            trial,
            LogRecord::Model {
                model_path: model_path.clone(),
                md5: Some(output.to_owned()),
                size: 1,
                step: Some(1.0),
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        );
        let facts = facts
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        demo.log(trial, LogRecord::Facts { model_path, facts });
    }
    demo.end(trial, Exit::Done);
    demo
}

/// Feeds a study to a `cmf` tracker that appends to `file`.
fn append_to(file: &Path, folder: &Path, demo: &Demo) {
    let options = format!("file = {:?}", file.display().to_string());
    let mut tracker = try_build("cmf", &options, Some(folder)).0.unwrap();
    feed(tracker.as_mut(), demo, demo.entries.len());
}

/// Returns the rows of a query, each with its columns joined by blanks.
fn query(file: &Path, statement: &str) -> Vec<String> {
    let store = rusqlite::Connection::open(file).unwrap();
    let mut statement = store.prepare(statement).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let texts = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column));
        let texts: Vec<String> = texts.map(|value| format!("{:?}", value.unwrap())).collect();
        Ok(texts.join(" "))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

const ALL_IDS: &str = "SELECT 'a', id, name FROM Artifact UNION SELECT 'e', id, name FROM Execution
    UNION SELECT 'v', id, CAST(artifact_id AS TEXT) FROM Event ORDER BY 1, 2";

#[test]
fn studies_that_share_a_metadata_file_keep_each_others_rows_and_share_equal_bytes() {
    let folders = [folder(), folder()];
    let file = folders[0].path().join("shared/mlmd");
    let first = stage("first", "prepare", "raw", "clean");
    let second = stage("second", "train", "clean", "model");
    append_to(&file, folders[0].path(), &first);
    append_to(&file, folders[1].path(), &second);
    let once = query(&file, ALL_IDS);
    append_to(&file, folders[0].path(), &first);
    append_to(&file, folders[1].path(), &second);
    assert_eq!(
        query(&file, ALL_IDS),
        once,
        "the same rows with the same ids"
    );
    let links =
        "SELECT e.name, v.type, t.name FROM Event v JOIN Execution e ON e.id = v.execution_id
        JOIN Artifact a ON a.id = v.artifact_id JOIN Type t ON t.id = a.type_id
        WHERE a.uri = 'clean' ORDER BY v.type DESC";
    let expected = [
        r#"Text("Trial_first_1") Integer(4) Text("Model")"#,
        r#"Text("Trial_second_1") Integer(3) Text("Model")"#,
    ];
    assert_eq!(
        query(&file, links),
        expected,
        "one artifact, written and read"
    );
    let integrity = query(&file, "PRAGMA integrity_check");
    assert_eq!(integrity, [r#"Text("ok")"#]);
}

#[test]
fn studies_that_append_at_once_wait_for_each_other() {
    let root = folder();
    let file = root.path().join("mlmd");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (file, root) = (&file, root.path());
            scope.spawn(move || {
                let name = format!("study{number}");
                let study = root.join(&name);
                fs::create_dir(&study).unwrap();
                for _ in 0..5 {
                    append_to(file, &study, &stage(&name, "train", "raw", &name));
                }
            });
        }
    });
    let executions = query(&file, "SELECT name FROM Execution ORDER BY name");
    let expected = [0, 1, 2, 3].map(|number| format!("Text(\"Trial_study{number}_1\")"));
    assert_eq!(executions, expected);
    let stages = query(
        &file,
        "SELECT count(*) FROM Context WHERE name = 'digits/train'",
    );
    assert_eq!(stages, ["Integer(1)"]);
}

#[test]
fn a_second_study_of_the_same_name_has_executions_of_its_own() {
    let root = folder();
    let file = root.path().join("mlmd");
    append_to(&file, root.path(), &stage("s", "train", "raw", "a"));
    let mut later = stage("s", "train", "raw", "b");
    for entry in &mut later.entries {
        let at = entry.at.as_micros() + 1_000_000_000;
        entry.at = swath_model::study::Timestamp::from_micros(at);
    }
    append_to(&file, root.path(), &later);
    let names = query(&file, "SELECT name FROM Execution ORDER BY id");
    assert_eq!(names[0], r#"Text("Trial_s_1")"#);
    assert!(names[1].starts_with(r#"Text("Trial_s_1_"#), "{names:?}");
}

#[test]
fn a_metadata_file_of_another_version_is_left_alone() {
    let root = folder();
    let file = root.path().join("mlmd");
    let store = rusqlite::Connection::open(&file).unwrap();
    store
        .execute_batch(
            "CREATE TABLE MLMDEnv (schema_version INTEGER); INSERT INTO MLMDEnv VALUES (9);",
        )
        .unwrap();
    drop(store);
    let before = fs::read(&file).unwrap();
    let options = format!("file = {:?}", file.display().to_string());
    let mut tracker = try_build("cmf", &options, Some(root.path())).0.unwrap();
    let demo = stage("s", "train", "raw", "a");
    let mut study = Study::default();
    for entry in &demo.entries {
        study.apply(entry).unwrap();
        tracker.record(&study, entry).unwrap();
    }
    let error = tracker.close(&study).unwrap_err().to_string();
    assert!(
        error.contains("version 9") && error.contains("mlmd"),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_model_recorded_twice_is_one_artifact_with_its_first_facts() {
    let root = folder();
    let demo = stage("s", "train", "raw", "a");
    for name in ["cmf", "prov"] {
        let mut tracker = build(name, root.path());
        feed(tracker.as_mut(), &demo, demo.entries.len());
    }
    let file = root.path().join("trackers/cmf/mlmd");
    let facts = "SELECT p.name, coalesce(string_value, int_value) FROM ArtifactProperty p
        JOIN Artifact a ON a.id = artifact_id WHERE a.uri = 'a'
        AND p.name IN ('model_framework', 'parameters', 'best', 'Steps') ORDER BY p.name";
    let expected = [
        r#"Text("best") Integer(1)"#,
        r#"Text("model_framework") Text("torch")"#,
        r#"Text("parameters") Integer(7850)"#,
    ];
    assert_eq!(query(&file, facts), expected);
    let document = fs::read(root.path().join("trackers/prov/trial-1.json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let entities = document["entity"].as_object().unwrap();
    let models: Vec<_> = entities
        .iter()
        .filter(|(id, _)| id.contains("/model/"))
        .collect();
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].1["swath:parameters"]["$"], "7850");
}

#[test]
fn the_drawing_of_a_trial_with_twenty_models_has_few_nodes_and_names_the_one_that_counts() {
    let root = folder();
    let mut demo = Demo::new(&["lr"]);
    let trial = demo.start(&[("lr", Value::Float(0.1))]);
    for epoch in 0..20 {
        demo.report(trial, &[("val_loss", f64::from((epoch - 7_i32).abs()))]);
        demo.log(
            trial,
            model_record(&format!("m{epoch:02}.bin"), Some(&epoch.to_string())),
        );
    }
    demo.end(trial, Exit::Done);
    let mut tracker = build("prov", root.path());
    feed(tracker.as_mut(), &demo, demo.entries.len());
    let dot = fs::read_to_string(root.path().join("trackers/prov/trial-1.dot")).unwrap();
    let nodes = dot.lines().filter(|line| line.contains("shape=")).count();
    assert!(nodes <= 10, "{dot}");
    assert!(dot.contains("[label=\"m07.bin\", shape=oval"), "{dot}");
    assert!(dot.contains("further models\\nm00.bin\\nm01.bin"), "{dot}");
    let document = fs::read_to_string(root.path().join("trackers/prov/trial-1.json")).unwrap();
    assert_eq!(document.matches("\"provml:Model\"").count(), 20);
}

#[test]
fn a_program_receives_the_rows_that_the_sweep_file_selects_once_and_none_otherwise() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    demo.report(trial, &[("val_loss", 0.5)]);
    demo.end(trial, Exit::Paused);
    again(&mut demo, trial, 2, true);
    demo.end(trial, Exit::Done);
    let command = "command = ['sh', '-c', 'cat > \"$SWATH_STUDY_DIR/got\"']";
    let rows = |options: &str| {
        let folder = folder();
        let metrics = folder.path().join("1/metrics");
        fs::create_dir_all(&metrics).unwrap();
        let rows = "{\"loss\": NaN, \"step\": 7, \"at\": 1.5}\n{\"loss\": 2.0, \"batch\": 3}\n";
        fs::write(metrics.join("train.json"), rows).unwrap();
        let options = format!("{command}\n{options}");
        let mut tracker = try_build("program", &options, Some(folder.path()))
            .0
            .unwrap();
        feed(tracker.as_mut(), &demo, demo.entries.len());
        let got = fs::read_to_string(folder.path().join("got")).unwrap();
        let lines = got.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &serde_json::Value| line.get("seq").is_none())
            .collect::<Vec<_>>()
    };
    assert!(rows("").is_empty());
    let values = serde_json::json!({ "loss": "nan" });
    let epoch = serde_json::json!({ "metrics": {
        "trial": 1, "attempt": 1, "log": "train", "values": values, "step": 7, "at": 1.5,
    } });
    assert_eq!(rows("log_freq = 'epoch'"), [epoch]);
    assert_eq!(rows("log_on_workers = -1").len(), 2, "each row once");
}
