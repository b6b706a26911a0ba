//! The contract of trackers, checked for each implementation in the registry: its output during a
//! run is what `export` writes again, byte for byte; it accepts every event; and its failure
//! affects no other tracker.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use swath::journal::StudyDir;
use swath::run::follow::{Followers, Named, Stale};
use swath::run::rebuild;
use swath::source::Source;
use swath::space::{Params, Value};
use swath::study::{
    Attempt, Closing, Datum, Entry, Event, Exit, FORMAT, Failure, Goal, Header, LogRecord, Metric,
    Objective, Origin, Place, Resource, Study, Take, Timestamp, TrialId, Usage, Verdict,
};
use swath::sweep::{Registry, Sweep};
use swath::tracker::Tracker;
use swath::trackers::TRACKERS;

/// Returns the names of all trackers in the registry.
fn names() -> Vec<&'static str> {
    TRACKERS.iter().map(|kind| kind.name).collect()
}

/// Returns a sweep file with these trackers.
fn sweep_text(trackers: &[&str]) -> String {
    let mut text = "name = \"digits\"\nrun = { command = [\"true\"] }\n[space]\nlr = { min = 1e-3, max = 1.0, log = true }\n".to_owned();
    for name in trackers {
        let _ = writeln!(text, "[[tracker]]\nname = \"{name}\"");
        if *name == "program" {
            text += "command = ['sh', '-c', 'mkdir -p \"$SWATH_STUDY_DIR/trackers\"; cat > \"$SWATH_STUDY_DIR/trackers/got\"']\n";
        }
    }
    text
}

/// Builds trackers as `run` does. Without a folder they cannot write.
fn build(trackers: &[&str], dir: Option<&Path>) -> Vec<Named> {
    let sweep = Sweep::parse(Source {
        name: "sweep.toml".into(),
        text: sweep_text(trackers),
    });
    let plan = sweep.ok().unwrap().build(1, dir).ok().unwrap();
    plan.trackers
        .into_iter()
        .map(|(name, tracker)| Named { name, tracker })
        .collect()
}

/// Returns a study with every event, every record and every exit: names that are not ASCII, NaN and
/// infinities, a trial that never reports, one that is stopped, one that fails and is retried, one
/// that is lost.
fn eventful() -> Vec<Entry> {
    let header = Header {
        swath: "0.1.0".into(),
        name: "digits".into(),
        pipeline: "été".into(),
        stage: "tune".into(),
        seed: 7,
        sweep: "d41d8cd98f00b204e9800998ecf8427e".into(),
        objectives: vec![Objective {
            metric: "val_loss".into(),
            goal: Goal::Min,
            take: Take::Best,
        }],
        params: vec!["lr".into(), "größe".into()],
        trials: Some(5),
        slots: 2,
        resource: Some("epoch".into()),
        git_commit: Some("0123456789012345678901234567890123456789-dirty".into()),
        ..Header::default()
    };
    let md5 = Some("46b516c475aa0517f33ba9e09bfbf39b.dir".to_owned());
    let place = Place {
        host: "knoten".into(),
        pid: Some(7),
        start_ticks: Some(1),
        boot_id: None,
        job: Some("4_1".into()),
        since: None,
    };
    let mut events = vec![Event::Opened {
        format: FORMAT,
        header: header.clone(),
    }];
    events.extend([
        created(1, Origin::Suggested("tpe".into())),
        started(1, 1, false),
        Event::Placed {
            trial: TrialId(1),
            attempt: Attempt(1),
            place,
        },
        logged(
            1,
            1,
            LogRecord::Dataset {
                data_dir: "data/é".into(),
                role: "train".into(),
                md5: md5.clone(),
                size: 5,
                files: 2,
                partial: Vec::new(),
            },
        ),
        logged(
            1,
            1,
            LogRecord::Dataset {
                data_dir: "/gone".into(),
                role: String::new(),
                md5: None,
                size: 0,
                files: 0,
                partial: Vec::new(),
            },
        ),
        logged(
            1,
            1,
            report(&[
                ("epoch", number(1.0)),
                ("val_loss", number(f64::NAN)),
                ("x", number(f64::INFINITY)),
            ]),
        ),
        logged(
            1,
            1,
            report(&[
                ("epoch", number(2.0)),
                ("val_loss", number(0.5)),
                ("phase", Datum::Text("übung\t\"".into())),
                ("on", Datum::Flag(true)),
            ]),
        ),
        logged(
            1,
            1,
            LogRecord::Model {
                model_path: "m/ü.bin".into(),
                md5: md5.clone(),
                size: 9,
                step: Some(2.0),
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        ),
        logged(
            1,
            1,
            LogRecord::Artifact {
                path: "artifacts/file/a.txt".into(),
                md5: md5.clone(),
                size: 3,
                partial: Vec::new(),
            },
        ),
        logged(
            1,
            1,
            LogRecord::Output {
                name: "acc".into(),
                value: Value::Float(0.25),
            },
        ),
        logged(1, 1, LogRecord::Checkpoint { step: Some(2.0) }),
        logged(
            1,
            1,
            LogRecord::Note {
                text: "zwei\nZeilen".into(),
            },
        ),
        logged(
            1,
            1,
            LogRecord::Warning {
                text: "a\u{1b}[31m warning".into(),
            },
        ),
        ended(1, 1, Exit::Done),
        created(2, Origin::Point(0)),
        started(2, 1, false),
        logged(
            2,
            1,
            report(&[("epoch", number(1.0)), ("val_loss", number(0.75))]),
        ),
        ended(2, 1, Exit::Failed(Failure::Code(3))),
        Event::Requeued {
            trial: TrialId(2),
            why: "again".into(),
            not_before: None,
            forgiven: false,
        },
        started(2, 2, false),
        ended(2, 2, Exit::Lost),
        created(
            3,
            Origin::Cloned {
                from: TrialId(1),
                instead: None,
                why: "better".into(),
            },
        ),
        started(3, 1, true),
        logged(
            3,
            1,
            report(&[("epoch", number(1.0)), ("val_loss", number(1.0))]),
        ),
        Event::Judged {
            trial: TrialId(3),
            verdict: Verdict::Pause,
            why: "rung 1".into(),
        },
        ended(3, 1, Exit::Paused),
        Event::Judged {
            trial: TrialId(3),
            verdict: Verdict::Stop,
            why: "worse".into(),
        },
        Event::Closed {
            why: Closing::Interrupted,
        },
        Event::Edited {
            header: Header {
                trials: Some(6),
                ..header
            },
            changes: vec!["trials: 5 → 6".into()],
            fill: Params::default(),
            outside: vec![TrialId(2)],
        },
        created(4, Origin::Replicate(TrialId(1))),
        started(4, 1, false),
        ended(
            4,
            1,
            Exit::Failed(Failure::NoObjective("`val_loss` was never reported".into())),
        ),
        created(5, Origin::Added),
        started(5, 1, false),
        logged(
            5,
            1,
            report(&[
                ("epoch", number(-1.0)),
                ("val_loss", number(f64::NEG_INFINITY)),
            ]),
        ),
        ended(5, 1, Exit::Interrupted),
        Event::Closed {
            why: Closing::Finished,
        },
    ]);
    (0..)
        .zip(events)
        .map(|(seq, event)| Entry {
            seq,
            at: Timestamp::from_micros(
                1_767_225_600_000_000 + i64::try_from(seq).unwrap() * 1_250_000,
            ),
            event,
            away: None,
        })
        .collect()
}

fn number(value: f64) -> Datum {
    Datum::Number(Metric(value))
}

fn report(values: &[(&str, Datum)]) -> LogRecord {
    LogRecord::Report {
        values: values
            .iter()
            .map(|(name, datum)| ((*name).into(), datum.clone()))
            .collect(),
    }
}

fn params(lr: f64) -> Params {
    [
        ("lr".into(), Value::Float(lr)),
        ("größe".into(), Value::Text("très \"grand\"\n".into())),
    ]
    .into_iter()
    .collect()
}

fn created(trial: u32, origin: Origin) -> Event {
    Event::Created {
        trial: TrialId(trial),
        params: params(0.1 / f64::from(trial)),
        origin,
        seed: u64::from(trial),
    }
}

fn started(trial: u32, attempt: u32, resume: bool) -> Event {
    Event::Started {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        until: Some(Resource(9)),
        slot: 0,
        resume,
    }
}

fn logged(trial: u32, attempt: u32, record: LogRecord) -> Event {
    Event::Logged {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        record,
        line_end: None,
    }
}

fn ended(trial: u32, attempt: u32, exit: Exit) -> Event {
    Event::Ended {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        exit,
        usage: Usage {
            cpu_seconds: 1.5,
            peak_mib: 20.25,
            seconds: None,
        },
    }
}

/// A study on disk that has run without trackers.
struct World {
    dir: StudyDir,
    entries: Vec<Entry>,
    _root: tempfile::TempDir,
}

impl World {
    fn new(trackers: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = StudyDir::new(root.path(), "digits");
        for (path, text) in [
            (
                "1/metrics/train.json",
                "{\"loss\": NaN, \"step\": 3, \"at\": 1767225700.125}\n{\"loss\": 0.5, \"größe\": 2, \"at\": 1767225701.000}\n",
            ),
            (
                "1/metrics/été.json",
                "{\"a/b\": -Infinity, \"batch\": 1, \"step\": 2, \"context\": \"validation\", \"at\": 1767225702.000}\nrubbish\n",
            ),
            ("1/artifacts/file/a.txt", "abc"),
            ("2/metrics/train.json", ""),
            ("sweep.toml", &sweep_text(trackers)),
        ] {
            let path = dir.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let world = Self {
            dir,
            entries: eventful(),
            _root: root,
        };
        world.write_journal(world.entries.len());
        world
    }

    /// Writes the first `count` entries as the journal.
    fn write_journal(&self, count: usize) {
        let lines = self.entries[..count]
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n");
        fs::write(self.dir.journal(), lines.collect::<String>()).unwrap();
    }

    /// Lets the trackers follow the journal as in a run, and returns those that became stale.
    fn record(&self, trackers: Vec<Named>) -> Vec<Stale> {
        self.write_journal(self.entries.len() / 2);
        let followers = Followers::start(&self.dir, trackers).unwrap();
        self.write_journal(self.entries.len());
        followers.finish(|| false)
    }

    fn written(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        gather(&self.dir.trackers(), &mut files);
        let root = self.dir.root();
        files
            .into_iter()
            .map(|(path, bytes)| (path.strip_prefix(root).unwrap().to_owned(), bytes))
            .collect()
    }

    fn remove_output(&self) {
        fs::remove_dir_all(self.dir.trackers()).unwrap();
    }
}

fn gather(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

fn assert_same_files(
    name: &str,
    actual: &BTreeMap<PathBuf, Vec<u8>>,
    expected: &BTreeMap<PathBuf, Vec<u8>>,
) {
    assert!(
        actual.keys().eq(expected.keys()),
        "{name}: {:?}",
        actual.keys()
    );
    for (path, bytes) in expected {
        assert!(
            actual[path] == *bytes,
            "{name} writes another `{}`",
            path.display()
        );
    }
}

#[test]
fn the_live_output_of_a_tracker_equals_its_export() {
    for name in names() {
        let world = World::new(&[name]);
        assert_eq!(
            world.record(build(&[name], Some(world.dir.root()))),
            [],
            "{name}"
        );
        let live = world.written();
        assert!(!live.is_empty(), "{name} writes nothing");
        world.remove_output();
        assert_eq!(
            rebuild(&Registry::standard(), &world.dir, name).unwrap(),
            1,
            "{name}"
        );
        assert_same_files(name, &world.written(), &live);
        // Export again over the files that exist already.
        rebuild(&Registry::standard(), &world.dir, name).unwrap();
        assert_same_files(name, &world.written(), &live);
    }
}

#[test]
fn trackers_that_run_together_write_the_same_as_alone() {
    let names = names();
    let together = World::new(&names);
    assert_eq!(
        together.record(build(&names, Some(together.dir.root()))),
        []
    );
    let together_wrote = together.written();
    together.remove_output();
    let mut alone = BTreeMap::new();
    for name in names {
        rebuild(&Registry::standard(), &together.dir, name).unwrap();
        alone.extend(together.written());
    }
    assert_same_files("all", &together_wrote, &alone);
}

#[test]
fn a_tracker_that_fails_is_reported_once_and_affects_no_other() {
    let names = names();
    for victim in &names {
        let world = World::new(&names);
        let others: Vec<_> = names
            .iter()
            .copied()
            .filter(|name| name != victim)
            .collect();
        // Without a folder the victim cannot write.
        let mut trackers = build(&[victim], None);
        trackers.extend(build(&others, Some(world.dir.root())));
        let stale = world.record(trackers);
        assert_eq!(
            stale
                .iter()
                .map(|stale| stale.name.as_str())
                .collect::<Vec<_>>(),
            [*victim]
        );
        assert!(!stale[0].why.is_empty());
        let wrote = world.written();
        world.remove_output();
        for other in others {
            rebuild(&Registry::standard(), &world.dir, other).unwrap();
        }
        assert_same_files(victim, &wrote, &world.written());
    }
}

#[test]
fn every_prefix_of_a_study_can_be_exported() {
    for name in names() {
        let world = World::new(&[name]);
        for count in 1..=world.entries.len() {
            world.write_journal(count);
            if let Err(error) = rebuild(&Registry::standard(), &world.dir, name) {
                panic!("{name} fails after {count} entries: {error}");
            }
        }
        let step_by_step = world.written();
        world.remove_output();
        rebuild(&Registry::standard(), &world.dir, name).unwrap();
        assert_same_files(name, &step_by_step, &world.written());
    }
}

/// A user-defined tracker, implemented through the public trait.
struct Counting(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Tracker for Counting {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), swath::tracker::TrackerError> {
        assert_eq!(study.next_seq(), entry.seq + 1, "the study has absorbed it");
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn sync(&mut self, _study: &Study) -> Result<(), swath::tracker::TrackerError> {
        Ok(())
    }
}

#[test]
fn a_user_defined_tracker_receives_every_entry_beside_those_of_the_registry() {
    let names = names();
    let world = World::new(&names);
    let count = std::sync::Arc::default();
    let mut trackers = build(&names, Some(world.dir.root()));
    trackers.push(Named {
        name: "mine".into(),
        tracker: Box::new(Counting(std::sync::Arc::clone(&count))),
    });
    assert_eq!(world.record(trackers), []);
    assert_eq!(
        count.load(std::sync::atomic::Ordering::Relaxed),
        world.entries.len()
    );
}
