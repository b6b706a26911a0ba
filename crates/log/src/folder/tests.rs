use super::*;
use std::collections::BTreeSet;
use swath_model::space::Value;
use swath_model::study::{Attempt, Failure, TrialId};

struct World {
    work: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            work: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.work.path().join("logs/s/7")
    }

    fn begin(&self, attempt: u32, resume: bool) -> TrialFolder {
        let identity = identity(attempt);
        let params = yaml::named(&[
            ("lr", Value::Float(1e-5)),
            ("opt", Value::Text("on".into())),
        ]);
        TrialFolder::begin(&Beginning {
            dir: &self.dir(),
            identity: &identity,
            params: &params,
            seed: 42,
            workdir: self.work.path(),
            command: &["python".to_owned(), "--lr=1e-5".to_owned()],
            resume,
            at: at(0),
        })
        .unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir().join(file)).unwrap()
    }

    fn info(&self) -> BTreeSet<String> {
        self.read("metadata/info.yaml")
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn identity(attempt: u32) -> Identity {
    Identity {
        study: "s".into(),
        pipeline: "p: 1".into(),
        stage: "tune".into(),
        trial: TrialId(7),
        attempt: Attempt(attempt),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

fn has(info: &BTreeSet<String>, lines: &[&str]) {
    for line in lines {
        assert!(info.contains(*line), "`{line}` is not in {info:#?}");
    }
}

#[test]
fn the_folder_has_the_parameters_and_the_end_of_the_attempt() {
    let world = World::new();
    let mut folder = world.begin(1, false);
    assert_eq!(
        world.read("metadata/config.yaml"),
        "lr: 1.0e-05\nopt: 'on'\n"
    );
    assert_eq!(
        world.read("params.json"),
        "{\"lr\":0.00001,\"opt\":\"on\"}\n"
    );
    folder.mark_running(99).unwrap();
    has(
        &world.info(),
        &[
            "status: RUNNING",
            "process_id: 99",
            "end_date: ''",
            "end_time: ''",
            "  log_id: 7",
        ],
    );
    let recorded = Recorded {
        data: vec![("data".into(), Some("0123.dir".into()))],
        models: vec![("m.bin".into(), None)],
        reports: 3,
        warnings: 1,
    };
    let usage = Usage {
        cpu_seconds: 1.25,
        peak_mib: 30.0,
        seconds: None,
    };
    folder
        .end(&Exit::Failed(Failure::Code(2)), &usage, &recorded, at(10))
        .unwrap();
    let expected = [
        "status: FAILED",
        "executable: python",
        "work_dir: '../../..'",
        "  pipeline: 'p: 1'",
        "  command: [python, '--lr=1e-5']",
        "  exit: 'exit status 2'",
        "  seconds: 10.0",
        "  cpu_seconds: 1.25",
        "  reports: 3",
        "  - path: data",
        "    md5: '0123.dir'",
        "    md5: null",
    ];
    has(&world.info(), &expected);
    assert!(!world.info().contains("end_date: ''"));
}

#[test]
fn the_status_of_an_ended_attempt_tells_complete_stopped_and_failed_apart() {
    for (exit, expected) in [
        (Exit::Done, "COMPLETE"),
        (Exit::Stopped, "STOPPED"),
        (Exit::Paused, "PAUSED"),
        (Exit::Interrupted, "STARTING"),
        (Exit::Failed(Failure::Memory), "FAILED"),
        (Exit::Lost, "FAILED"),
    ] {
        let world = World::new();
        world
            .begin(1, false)
            .end(&exit, &Usage::default(), &Recorded::default(), at(1))
            .unwrap();
        has(
            &world.info(),
            &[&format!("status: {expected}"), "process_id: null"],
        );
    }
}

#[test]
fn the_statuses_of_earlier_versions_are_no_damage() {
    for (exit, word) in [(Exit::Stopped, "COMPLETE"), (Exit::Paused, "STARTING")] {
        let description = Description {
            identity: &identity(1),
            seed: 42,
            exit: &exit,
            result: &[],
        };
        let earlier = format!("status: {word}\n  exit: {exit}\n");
        assert_eq!(differing_field(&earlier, &description), None);
        let wrong = format!("status: FAILED\n  exit: {exit}\n");
        assert_eq!(
            differing_field(&wrong, &description).as_deref(),
            Some("status")
        );
    }
}

#[test]
fn the_file_of_a_trial_is_its_script_and_not_the_interpreter() {
    for (command, expected) in [
        ("python3 -u src/main.py --data=x.py", "src/main.py"),
        ("torchrun --nproc-per-node 2 train.py", "train.py"),
        ("./train.sh conf.yaml", "./train.sh"),
        ("python -m package.main", "python"),
        ("build/trainer data.csv", "build/trainer"),
    ] {
        let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let section = program_section(&command);
        let line = format!("current_file_path: {}\n", yaml_text(expected));
        assert!(section.contains(&line), "{section}");
    }
}

#[test]
fn a_trial_in_a_clone_names_the_commit_and_another_one_has_no_version() {
    let world = World::new();
    let mut folder = world.begin(1, false);
    folder.mark_running(99).unwrap();
    has(&world.info(), &["version_manager: null"]);
    let settings = world.read("metadata/mlxpy.yaml");
    assert!(
        settings.contains("use_version_manager: false"),
        "{settings}"
    );
    let clone = world.work.path().join("logs/s/code/0123/sub");
    let mut folder = TrialFolder::begin(&Beginning {
        dir: &world.dir(),
        identity: &identity(1),
        params: &Params::default(),
        seed: 42,
        workdir: &clone,
        command: &[],
        resume: false,
        at: at(0),
    })
    .unwrap();
    folder.mark_running(99).unwrap();
    has(
        &world.info(),
        &[
            "version_manager:",
            "  commit_hash: '0123'",
            "  work_dir: '../code/0123'",
        ],
    );
    let settings = world.read("metadata/mlxpy.yaml");
    assert!(settings.contains("use_version_manager: true"), "{settings}");
}

#[test]
fn an_amended_description_counts_the_reports_of_all_attempts() {
    let world = World::new();
    let mut folder = world.begin(2, true);
    folder.mark_running(99).unwrap();
    let recorded = Recorded::default();
    folder
        .end(&Exit::Done, &Usage::default(), &recorded, at(10))
        .unwrap();
    has(&world.info(), &["  reports: 0"]);
    TrialFolder::amend(&world.dir(), &Exit::Done, 8, &[], at(60)).unwrap();
    has(&world.info(), &["  reports: 8"]);
}

#[test]
fn empty_output_is_removed_and_other_output_is_kept() {
    let world = World::new();
    let folder = world.begin(1, false);
    fs::write(world.dir().join("stdout.log"), "").unwrap();
    fs::write(world.dir().join("stderr.log"), "oh").unwrap();
    fs::create_dir(world.dir().join("checkpoints")).unwrap();
    folder
        .end(&Exit::Done, &Usage::default(), &Recorded::default(), at(1))
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(world.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["metadata", "params.json", "stderr.log"]);
}

#[test]
fn an_attempt_that_starts_anew_finds_no_files_and_the_earlier_ones_are_kept() {
    let world = World::new();
    drop(world.begin(1, false));
    fs::create_dir(world.dir().join("checkpoints")).unwrap();
    for name in ["checkpoints/c", "records.jsonl", "stop"] {
        fs::write(world.dir().join(name), "x").unwrap();
    }
    drop(world.begin(2, false));
    assert!(!world.dir().join("checkpoints").exists() && !world.dir().join("stop").exists());
    assert_eq!(
        world.read("attempts/1/checkpoints/c") + &world.read("attempts/1/records.jsonl"),
        "xx"
    );
}

#[test]
fn an_attempt_that_resumes_finds_all_files_and_its_first_line_stands_alone() {
    let world = World::new();
    drop(world.begin(1, false));
    fs::write(world.dir().join("records.jsonl"), "{\"a\": 1}\n{\"a\"").unwrap();
    fs::write(world.dir().join("stop"), "pause").unwrap();
    drop(world.begin(2, true));
    assert_eq!(world.read("records.jsonl"), "{\"a\": 1}\n{\"a\"\n");
    assert!(!world.dir().join("stop").exists());
    drop(world.begin(3, true));
    assert_eq!(world.read("records.jsonl"), "{\"a\": 1}\n{\"a\"\n");
}

#[test]
fn a_trial_that_nobody_saw_end_does_not_stay_running() {
    let world = World::new();
    let mut folder = world.begin(1, false);
    folder.mark_running(99).unwrap();
    drop(folder);
    TrialFolder::amend(&world.dir(), &Exit::Lost, 0, &[], at(60)).unwrap();
    has(
        &world.info(),
        &["status: FAILED", "  exit: lost", "process_id: 99"],
    );
    assert!(!world.info().contains("end_date: ''"));
    let why = Exit::Failed(Failure::NoObjective("`a` was never reported".into()));
    TrialFolder::amend(&world.dir(), &why, 0, &[], at(60)).unwrap();
    has(&world.info(), &["  exit: '`a` was never reported'"]);
    assert_eq!(world.read("metadata/info.yaml").matches("exit:").count(), 1);
    TrialFolder::amend(Path::new("/nowhere"), &Exit::Lost, 0, &[], at(60)).unwrap();
}

#[test]
fn the_result_of_a_trial_stands_at_the_end_once() {
    let world = World::new();
    let mut folder = world.begin(1, false);
    folder.mark_running(99).unwrap();
    drop(folder);
    for loss in [0.5, 1e-5] {
        let result = [
            ("objective.val/loss: x".to_owned(), Value::Float(loss)),
            ("model_path".to_owned(), Value::Text("m 1.bin".into())),
        ];
        TrialFolder::amend(&world.dir(), &Exit::Done, 3, &result, at(60)).unwrap();
    }
    let expected =
        "  result:\n    objective:\n      'val/loss: x': 1.0e-05\n    model_path: 'm 1.bin'\n";
    let info = world.read("metadata/info.yaml");
    let (lines, checksum) = info.split_once("# crc32: ").unwrap();
    assert!(lines.ends_with(expected), "{info}");
    assert_eq!(checksum.len(), 9, "the checksum is the last line");
}

#[test]
fn every_changed_byte_of_a_description_is_noticed() {
    let world = World::new();
    let mut folder = world.begin(1, false);
    folder.mark_running(99).unwrap();
    drop(folder);
    let result = [("objective.loss".to_owned(), Value::Float(0.5))];
    TrialFolder::amend(&world.dir(), &Exit::Done, 3, &result, at(60)).unwrap();
    let info = world.read("metadata/info.yaml");
    let description = Description {
        identity: &identity(1),
        seed: 42,
        exit: &Exit::Done,
        result: &result,
    };
    assert_eq!(differing_field(&info, &description), None);
    for (old, new, field) in [
        ("loss: 0.5", "loss: 0.6", "loss"),
        ("exit: done", "exit: fine", "exit"),
        ("status: COMPLETE", "status: FAILED", "status"),
        ("hostname: ", "hostname: x", "checksum"),
    ] {
        let changed = info.replacen(old, new, 1);
        assert_ne!(changed, info, "{old}");
        assert_eq!(
            differing_field(&changed, &description).as_deref(),
            Some(field)
        );
    }
    // Earlier versions wrote no checksum.
    let (unsealed, _) = info.split_once("# crc32: ").unwrap();
    assert_eq!(differing_field(unsealed, &description), None);
    for (index, byte) in info
        .char_indices()
        .filter(|(_, byte)| byte.is_ascii_digit())
    {
        let mut changed = info.clone().into_bytes();
        changed[index] = if byte == '9' { b'8' } else { byte as u8 + 1 };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            differing_field(&changed, &description).is_some(),
            "byte {index}"
        );
    }
}
