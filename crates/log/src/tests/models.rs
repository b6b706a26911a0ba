//! Tests of the models that lines name: which of them have a digest, and whose bytes it describes.

use super::*;

/// Returns the records of a model: its step, the content that its digest belongs to or the reason
/// why there is none, and whether it is held.
fn models(world: &World, contents: &[&str]) -> Vec<(Option<f64>, String, bool)> {
    let records = world.forwarded().into_iter();
    let models = records.filter_map(|record| match record {
        LogRecord::Model {
            md5,
            step,
            held,
            doubt,
            ..
        } => {
            let content = md5.map(|md5| content_with_digest(&md5, contents));
            Some((step, content.or(doubt).unwrap_or_default(), held.is_some()))
        }
        _ => None,
    });
    models.collect()
}

fn content_with_digest(md5: &str, contents: &[&str]) -> String {
    let mut contents = contents.iter();
    let content = contents.find(|content| md5_of(content.as_bytes()) == md5);
    content.map_or("another", |content| content).to_owned()
}

fn md5_of(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn append(world: &World, line: &str) {
    append_to(&world.trial().join("records.jsonl"), line);
}

fn append_to(path: &Path, line: &str) {
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
    fn logger_that_holds_models(&self) -> TrialLogger {
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
    let (mut log, mut tail) = (world.logger_that_holds_models(), world.tail());
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
        .forwarded()
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
fn facts_beside_the_path_of_a_report_are_facts_about_the_model() {
    let world = World::new();
    let mut log = world.logger();
    fs::write(world.dir.path().join("models/m.bin"), "m").unwrap();
    append(
        &world,
        "{\"epoch\": 1, \"model_path\": \"models/m.bin\", \"framework\": \"torch\", \
         \"model_parameters\": 7850, \"model_loss\": NaN}\n",
    );
    log.follow_to_the_end(&mut world.tail()).unwrap();
    let facts: Vec<_> = world
        .forwarded()
        .into_iter()
        .filter_map(|record| match record {
            LogRecord::Facts { model_path, facts } => Some((model_path, facts)),
            _ => None,
        })
        .collect();
    let expected = [
        (
            "framework".into(),
            swath_model::space::Value::Text("torch".into()),
        ),
        ("parameters".into(), swath_model::space::Value::Int(7850)),
    ];
    assert_eq!(
        facts,
        [("models/m.bin".to_owned(), expected.into_iter().collect())]
    );
}

#[test]
fn a_report_and_a_line_with_the_facts_of_its_model_both_have_the_digest() {
    let world = World::new();
    let mut log = world.logger_that_holds_models();
    world.save(7, "seven");
    append(
        &world,
        "{\"kind\": \"model\", \"path\": \"models/m.bin\", \"step\": 7, \"parameters\": 3}\n",
    );
    log.follow_to_the_end(&mut world.tail()).unwrap();
    let seven = (Some(7.0), "seven".to_owned(), true);
    assert_eq!(models(&world, &["seven"]), [seven.clone(), seven]);
}

#[test]
fn the_facts_of_a_model_in_doubt_are_recorded_again_with_its_digest() {
    let world = World::new();
    let (mut log, mut tail) = (world.logger(), world.tail());
    let line = "{\"kind\": \"best_model\", \"path\": \"models/m.bin\", \"parameters\": 3}\n";
    append(&world, line);
    wait_a_tick();
    let path = world.dir.path().join("models/m.bin");
    fs::write(&path, "m").unwrap();
    log.follow(&mut tail).unwrap();
    // The line that follows shows that the program had written the model by then.
    wait_a_tick();
    append(&world, "{\"kind\": \"note\", \"text\": \"n\"}\n");
    log.follow_to_the_end(&mut tail).unwrap();
    let records = world.forwarded();
    let shown: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            LogRecord::Model { md5, .. } => Some(format!("model {}", md5.is_some())),
            LogRecord::Facts { facts, .. } => Some(format!("facts {}", facts.len())),
            _ => None,
        })
        .collect();
    assert_eq!(shown, ["model false", "facts 2", "model true", "facts 2"]);
}

#[test]
fn a_model_that_is_to_be_kept_is_held_under_its_number() {
    let world = World::new();
    let mut log = world.logger_that_holds_models();
    fs::write(world.dir.path().join("models/m.bin"), "kept").unwrap();
    append(
        &world,
        "{\"epoch\": 1, \"model_path\": \"models/m.bin\", \"keep\": true}\n",
    );
    log.follow_to_the_end(&mut world.tail()).unwrap();
    let path = world.trial().join("held/m_0/m_0.bin");
    assert_eq!(fs::read_to_string(path).unwrap(), "kept");
}

#[test]
fn a_report_that_is_recorded_elsewhere_leaves_its_model_and_its_facts() {
    let world = World::new();
    let mut log = world.logger();
    fs::write(world.dir.path().join("models/m.bin"), "m").unwrap();
    let number = |name: &str, value| (name.into(), Datum::Number(Metric(value)));
    let text = |name: &str, value: &str| (name.into(), Datum::Text(value.into()));
    let mut values = vec![
        number("epoch", 3.0),
        text("model_path", "models/m.bin"),
        text("framework", "torch"),
    ];
    log.model_of_report(&mut values);
    assert_eq!(values.len(), 3, "the report stays as it is");
    let records = world.forwarded();
    assert!(
        matches!(&records[..], [LogRecord::Model { step: Some(step), .. }, LogRecord::Facts { .. }] if *step == 3.0),
        "{records:?}"
    );
    let mut refused = vec![number("epoch", 4.0), text("model_path", "../m.bin")];
    log.model_of_report(&mut refused);
    assert_eq!(refused, [number("epoch", 4.0)]);
    assert_eq!(world.warnings().len(), 1);
}

#[test]
fn in_a_batch_only_the_last_line_that_names_a_path_has_a_digest() {
    let world = World::new();
    let mut log = world.logger_that_holds_models();
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
fn an_empty_file_written_with_the_line_has_no_digest() {
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
fn a_program_that_buffers_its_lines_has_no_digest_of_a_path_that_it_names_again() {
    let world = World::new();
    let (mut log, mut tail) = (world.logger(), world.tail());
    world.save(1, "first");
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    world.save(2, "second");
    append(&world, "{\"epoch\": 3, \"mod");
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    let forwarded = models(&world, &["first", "second"]);
    assert_eq!(forwarded[0].1, "first");
    assert_eq!(
        forwarded[1].1, OVERWRITTEN,
        "the third may be written already"
    );
}

#[test]
fn a_version_with_its_own_path_always_has_a_digest() {
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
        .map(|(_, content, _)| content)
        .collect();
    assert_eq!(contents, ["1", "2", "3"]);
}

#[test]
fn a_closure_has_the_digest_of_each_version_that_it_records() {
    let world = World::new();
    let mut log = world.logger_that_holds_models();
    for (epoch, content) in ["one", "two", "three"].into_iter().enumerate() {
        fs::write(world.dir.path().join("models/m.bin"), content).unwrap();
        log.model_with(
            "models/m.bin",
            Some(epoch as f64),
            &[("keep", Value::Bool(epoch == 1))],
        )
        .unwrap();
    }
    let forwarded = models(&world, &["one", "two", "three"]);
    assert_eq!(
        forwarded
            .iter()
            .map(|(_, content, held)| (&**content, *held))
            .collect::<Vec<_>>(),
        [("one", true), ("two", true), ("three", true)]
    );
    let records = world.forwarded();
    let kept = records.iter().filter(
        |record| matches!(record, LogRecord::Model { keep: true, step, .. } if *step == Some(1.0)),
    );
    assert_eq!(kept.count(), 1);
    assert!(
        !world
            .forwarded()
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
        matches!(world.forwarded()[1], LogRecord::Model { keep: true, .. }),
        "{:?}",
        world.forwarded()
    );
}

#[test]
fn a_folder_as_model_is_held_without_dangling_links_and_they_are_named() {
    let world = World::new();
    let ck = world.dir.path().join("ck");
    fs::create_dir_all(ck.join("step-1")).unwrap();
    fs::write(ck.join("step-1/w.bin"), "weights").unwrap();
    std::os::unix::fs::symlink("step-2", ck.join("latest")).unwrap();
    append(&world, "{\"kind\": \"model\", \"path\": \"ck\"}\n");
    wait_a_tick();
    let mut log = world.logger_that_holds_models();
    log.follow(&mut world.tail()).unwrap();
    let record = world.forwarded().pop().unwrap();
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
        "the digest is that of the held files"
    );
    assert_eq!(
        fs::read_to_string(world.trial().join(held).join("step-1/w.bin")).unwrap(),
        "weights"
    );
    assert!(world.warnings()[0].contains("latest"));
}

#[test]
fn a_named_pipe_as_model_or_data_or_artifact_does_not_block() {
    let world = World::new();
    let pipe = world.dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let mut log = world.logger_that_holds_models();
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
    let record = world.forwarded().pop().unwrap();
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
fn a_model_that_is_called_the_best_right_after_its_report_is_one_version() {
    let world = World::new();
    let mut log = world.logger_that_holds_models();
    world.save(1, "first");
    append(
        &world,
        "{\"kind\": \"best_model\", \"path\": \"models/m.bin\"}\n",
    );
    wait_a_tick();
    log.follow(&mut world.tail()).unwrap();
    let forwarded = models(&world, &["first"]);
    assert_eq!(
        forwarded,
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
    let (mut log, mut tail) = (world.logger_that_holds_models(), world.tail());
    for epoch in 1..=9 {
        world.save(epoch, &epoch.to_string());
    }
    wait_a_tick();
    log.follow(&mut tail).unwrap();
    assert!(
        models(&world, &[])
            .iter()
            .all(|(_, content, _)| content == OVERWRITTEN),
        "the program may have written the tenth"
    );
    log.follow_to_the_end(&mut tail).unwrap();
    assert_eq!(
        models(&world, &["9"])[9..],
        [(Some(9.0), "9".to_owned(), true)]
    );

    let world = World::new();
    let (mut log, mut tail) = (world.logger_that_holds_models(), world.tail());
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

/// The length of a line that takes more than one read of the tail.
const LONG: usize = 300_000;

impl World {
    /// Makes a logger whose sink calls `meanwhile` with each record that it receives: the work of
    /// the program while its lines are read.
    fn logger_with(&self, mut meanwhile: impl FnMut(&LogRecord) + Send + 'static) -> TrialLogger {
        let dirs = Dirs {
            workdir: self.dir.path().to_path_buf(),
            trial: self.trial(),
        };
        let forwarded = self.forwarded.clone();
        let sink = move |record| {
            meanwhile(&record);
            forwarded.lock().unwrap().push(record);
            Directive::Continue
        };
        TrialLogger::in_process(identity(), dirs, Box::new(sink)).unwrap()
    }

    /// Follows a program that appends the report of epoch 2, with a new model, while the report of
    /// epoch 1 is read. If `has_more`, it appends a report also while that of epoch 2 is read.
    /// Returns the content to which the digest of the model belongs.
    fn content_of_a_model_named_meanwhile(&self, has_more: bool) -> String {
        let long = "a".repeat(LONG);
        self.records(
            format!("{{\"epoch\": 1}}\n{{\"kind\": \"note\", \"text\": \"{long}\"}}\n").as_bytes(),
        );
        let model = self.dir.path().join("models/2.bin");
        let records = self.trial().join("records.jsonl");
        let mut reports = 0;
        let mut logger = self.logger_with(move |record| {
            reports += u64::from(matches!(record, LogRecord::Report { .. }));
            let line = match reports {
                1 if matches!(record, LogRecord::Report { .. }) => {
                    wait_a_tick();
                    fs::write(&model, "second").unwrap();
                    "{\"epoch\": 2, \"model_path\": \"models/2.bin\"}\n"
                }
                2 if has_more => "{\"epoch\": 3}\n",
                _ => return,
            };
            append_to(&records, line);
        });
        logger.follow(&mut self.tail()).unwrap();
        let mut contents = models(self, &["second"]);
        assert_eq!(contents.len(), 1, "{contents:?}");
        contents.remove(0).1
    }
}

#[test]
fn a_model_that_is_newer_than_the_lines_read_before_its_own_has_its_digest() {
    assert_eq!(
        World::new().content_of_a_model_named_meanwhile(false),
        "second"
    );
}

#[test]
fn a_model_has_its_digest_although_more_lines_arrive_while_its_line_is_read() {
    assert_eq!(
        World::new().content_of_a_model_named_meanwhile(true),
        "second"
    );
}

#[test]
fn a_program_that_appends_a_line_for_each_line_that_is_read_does_not_keep_its_reader_busy() {
    let world = World::new();
    let records = world.trial().join("records.jsonl");
    let mut logger = world.logger_with(move |_| append_to(&records, "{\"epoch\": 2}\n"));
    world.save(1, "first");
    logger.follow(&mut world.tail()).unwrap();
    assert_eq!(models(&world, &["first"]).len(), 1);
}
