//! Cuts the journal anywhere: the rest folds to the state of the live study at that entry, and the
//! study continues to the same end.

use crate::virtual_study::{self, holder, script};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use swath::driver::{Driver, Interrupt, Listener, Parts, replay};
use swath::executor::{Launch, SignalKind, Simulated};
use swath::journal::{self, Journal, StudyDir};
use swath::space::Value;
use swath::study::{
    Datum, Entry, Exit, FailureClass, LogRecord, Metric, Study, Timestamp, TrialId, TrialState,
};

const TRIALS: u64 = 14;

fn parts(sampler: &str, scheduler: &str, slots: usize) -> Parts {
    let space = "x = { min = 0.0, max = 1.0 }\nn = { min = 1, max = 3 }\nu = { min = 1, max = 9, repeat = \"n\" }";
    virtual_study::parts("seed = 5", (sampler, TRIALS), scheduler, space, slots)
}

/// A listener that stores a copy of the study after every entry.
struct Memory(Rc<RefCell<Vec<Study>>>);

impl Listener for Memory {
    fn entry(&mut self, study: &Study, _: &Entry) {
        self.0.borrow_mut().push(study.clone());
    }
}

/// A listener that looks for every entry in the journal's file.
struct Reader {
    dir: StudyDir,
    seen: Rc<RefCell<u64>>,
}

impl Listener for Reader {
    fn entry(&mut self, _: &Study, entry: &Entry) {
        let index = usize::try_from(entry.seq).expect("small");
        let written = Journal::open(&self.dir).expect("it opens").nth(index);
        let written = written.expect("the file has it").expect("it is good");
        assert_eq!(&written, entry);
        *self.seen.borrow_mut() += 1;
    }
}

fn run(folder: &Path, parts: Parts, slots: usize, memory: &Rc<RefCell<Vec<Study>>>) -> Study {
    let mut executor = Simulated::new(slots, script);
    let clock = Box::new(executor.clock());
    let mut driver =
        Driver::open(StudyDir::at(folder), parts, &holder(), clock).expect("the study opens");
    driver.listen(Box::new(Memory(Rc::clone(memory))));
    driver
        .run(&mut executor, &Interrupt::default())
        .expect("the study runs");
    driver.study().clone()
}

/// The part of a trial that must not depend on how often the study was cut: everything but attempts
/// and times.
type Outcome = (TrialId, String, TrialState, Option<f64>, Option<Exit>);

fn outcome(study: &Study) -> Vec<Outcome> {
    let objective = &study.header().objectives[0];
    study
        .trials()
        .iter()
        .map(|trial| {
            (
                trial.id,
                trial.params.key(),
                trial.state.clone(),
                trial.objective(objective),
                trial.exit.clone(),
            )
        })
        .collect()
}

fn every_prefix_continues_to_the_same_end(sampler: &str, scheduler: &str, slots: usize) {
    let uncut = tempfile::tempdir().expect("a temporary folder");
    let live = Rc::new(RefCell::new(Vec::new()));
    let expected = run(uncut.path(), parts(sampler, scheduler, slots), slots, &live);
    let live = live.borrow();
    let text = fs::read(StudyDir::at(uncut.path()).journal()).expect("the journal is there");
    let ends: Vec<usize> = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    for (lines, end) in ends.iter().enumerate().map(|(at, end)| (at + 1, *end)) {
        // Leave a torn line after every odd number of lines: it counts as never committed.
        let torn = if lines % 2 == 0 {
            0
        } else {
            (text.len() - end).min(17)
        };
        let cut = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(cut.path());
        fs::write(dir.journal(), &text[..end + torn]).expect("it can be written");
        let folded = journal::read(&dir).expect("a prefix can be read");
        if let Some(index) = lines.checked_sub(1 + text_lines_before_listening()) {
            assert!(
                format!("{folded:?}") == format!("{:?}", live[index]),
                "after {lines} lines"
            );
        }
        let end = run(
            cut.path(),
            parts(sampler, scheduler, slots),
            slots,
            &Rc::default(),
        );
        assert_eq!(end.running_count(), 0);
        assert_eq!(outcome(&end), outcome(&expected), "cut after {lines} lines");
        let again = replay::replay(&dir, |_| {
            Ok::<_, Infallible>(parts(sampler, scheduler, slots))
        })
        .expect("the journal replays");
        assert_eq!(
            (again.checked, again.differences),
            (expected.trials().len() as u64, vec![])
        );
    }
}

/// Returns the number of lines that the driver writes before a listener can be added: `Opened`
/// alone.
fn text_lines_before_listening() -> usize {
    1
}

#[test]
fn a_study_cut_at_any_line_ends_the_same_with_one_slot() {
    every_prefix_continues_to_the_same_end("random", "fifo", 1);
}

#[test]
fn a_study_cut_at_any_line_ends_the_same_with_four_slots() {
    every_prefix_continues_to_the_same_end("random", "fifo", 4);
}

#[test]
fn a_study_cut_at_any_line_ends_the_same_under_each_scheduler() {
    for scheduler in [
        "asha max = 4\nreduction = 2\nmode = \"stopping\"",
        "asha max = 4\nreduction = 2",
        "hyperband max = 4\nreduction = 2",
        "median peers = 2",
        "pbt max = 4\ninterval = 1\npopulation = 4",
    ] {
        every_prefix_continues_to_the_same_end("random", scheduler, 1);
    }
}

#[test]
fn a_study_cut_at_any_byte_is_read_to_its_last_whole_line() {
    let uncut = tempfile::tempdir().expect("a temporary folder");
    let mut few = parts("random", "fifo", 2);
    few.header.trials = Some(3);
    run(uncut.path(), few, 2, &Rc::default());
    let text = fs::read(StudyDir::at(uncut.path()).journal()).expect("the journal is there");
    let cut = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(cut.path());
    for end in 0..text.len() {
        fs::write(dir.journal(), &text[..end]).expect("it can be written");
        let entries: Result<Vec<Entry>, _> = Journal::open(&dir).expect("it opens").collect();
        let entries = entries.expect("whole lines are good").len();
        assert_eq!(
            entries,
            text[..end].iter().filter(|byte| **byte == b'\n').count()
        );
    }
}

#[test]
fn a_listener_sees_an_entry_only_once_the_file_has_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dir, seen) = (StudyDir::at(folder.path()), Rc::new(RefCell::new(0)));
    let mut executor = Simulated::new(3, script);
    let clock = Box::new(executor.clock());
    let parts = parts("random", "fifo", 3);
    let mut driver = Driver::open(dir.clone(), parts, &holder(), clock).expect("the study opens");
    driver.listen(Box::new(Reader {
        dir,
        seen: Rc::clone(&seen),
    }));
    driver
        .run(&mut executor, &Interrupt::default())
        .expect("the study runs");
    let written = driver.study().next_seq();
    assert_eq!(
        *seen.borrow() + text_lines_before_listening() as u64,
        written
    );
}

#[test]
fn running_a_finished_study_again_adds_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = run(folder.path(), parts("random", "fifo", 2), 2, &Rc::default());
    let again = run(folder.path(), parts("random", "fifo", 2), 2, &Rc::default());
    assert_eq!(outcome(&first), outcome(&again));
    assert_eq!(again.counted(), TRIALS);
}

#[test]
fn a_clock_that_goes_backwards_loses_no_event_and_no_trial_waits_for_ever() {
    let straight = tempfile::tempdir().expect("a temporary folder");
    let expected = run(
        straight.path(),
        parts("random", "fifo", 2),
        2,
        &Rc::default(),
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let mut executor = Simulated::new(2, script).starting_at(Timestamp::from_micros(7_200_000_000));
    let (clock, hour) = (executor.clock(), 3_600_000_000);
    let time_of_jump = 7_200_000_000 + 700_000;
    // The clock jumps back by an hour, once.
    let jumping_clock = Box::new(move || {
        let now = clock().as_micros();
        Timestamp::from_micros(if now < time_of_jump { now } else { now - hour })
    });
    let mut driver = Driver::open(dir.clone(), parts_with_backoff(), &holder(), jumping_clock)
        .expect("the study opens");
    driver
        .run(&mut executor, &Interrupt::default())
        .expect("it runs");
    let end = driver.study().clone();
    drop(driver);
    assert_eq!(outcome(&end), outcome(&expected));
    assert_eq!(
        outcome(&journal::read(&dir).expect("it can be read")),
        outcome(&expected)
    );
    let again = replay::replay(&dir, |_| Ok::<_, Infallible>(parts_with_backoff()));
    assert_eq!(again.expect("the journal replays").differences, vec![]);
}

fn parts_with_backoff() -> Parts {
    let mut parts = parts("random", "fifo", 2);
    parts.retry.backoff = vec![(FailureClass::Crash, Duration::from_secs(5))];
    parts.retry.max_backoff = Duration::from_secs(60);
    parts
}

/// The lines that each trial of the next test writes, and the record that each becomes.
fn lines() -> Vec<(&'static str, LogRecord)> {
    let number = |number: f64| Datum::Number(Metric(number));
    let report = |loss, epoch| LogRecord::Report {
        values: vec![
            ("loss".into(), number(loss)),
            ("epoch".into(), number(epoch)),
        ],
    };
    let note = |text: &str| LogRecord::Note { text: text.into() };
    let (name, value) = ("size".into(), Value::Int(3));
    let output = LogRecord::Output { name, value };
    let (name, value) = ("depth".into(), Value::Int(4));
    let param = LogRecord::Param { name, value };
    let artifact = LogRecord::Artifact {
        path: "artifacts/text/a.txt".into(),
        md5: Some("0cc175b9c0f1b6a831c399e269772661".into()),
        size: 1,
        partial: vec![],
    };
    vec![
        (r#"{"kind": "note", "text": "begun"}"#, note("begun")),
        (r#"{"loss": 0.5, "epoch": 1}"#, report(0.5, 1.0)),
        (r#"{"kind": "output", "size": 3}"#, output),
        (r#"{"kind": "param", "depth": 4}"#, param),
        (
            r#"{"kind": "text", "name": "a.txt", "text": "a"}"#,
            artifact,
        ),
        (
            r#"{"kind": "checkpoint", "step": 1}"#,
            LogRecord::Checkpoint { step: Some(1.0) },
        ),
        (r#"{"loss": 0.25, "epoch": 2}"#, report(0.25, 2.0)),
        (r#"{"kind": "note", "text": "over"}"#, note("over")),
    ]
}

/// Writes all lines into the trial's folder at once, and sends their records one after the other.
fn script_with_records(launch: &Launch) -> Vec<(Duration, SignalKind)> {
    fs::create_dir_all(&launch.dir).expect("it can be made");
    let lines = lines();
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    fs::write(launch.dir.join("records.jsonl"), text).expect("it can be written");
    let mut end = 0;
    let send = |(number, (line, record)): (u32, (&str, LogRecord))| {
        end += line.len() as u64 + 1;
        let signal = SignalKind::Logged(record, Some(end));
        (Duration::from_millis(10) * number, signal)
    };
    (1..).zip(lines).map(send).collect()
}

#[test]
fn a_study_cut_at_any_line_takes_in_each_record_of_its_trials_once() {
    let mut few = parts("random", "fifo", 1);
    few.header.trials = Some(2);
    let uncut = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(uncut.path());
    let mut executor = Simulated::new(1, script_with_records);
    let clock = Box::new(executor.clock());
    let mut driver = Driver::open(dir.clone(), few, &holder(), clock).expect("the study opens");
    driver
        .run(&mut executor, &Interrupt::default())
        .expect("the study runs");
    let counts = |study: &Study| -> Vec<(u64, Vec<LogRecord>)> {
        let trials = study.trials().iter();
        trials
            .map(|trial| (trial.reports, trial.records.clone()))
            .collect()
    };
    let expected = counts(driver.study());
    drop(driver);
    assert_eq!((expected[0].0, expected[0].1.len()), (2, lines().len() - 2));
    let text = fs::read_to_string(dir.journal()).expect("the journal is there");
    let entries: Vec<&str> = text.split_inclusive('\n').collect();
    for count in 1..=entries.len() {
        let cut = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(cut.path());
        fs::write(dir.journal(), entries[..count].concat()).expect("it can be written");
        let before = journal::read(&dir).expect("a prefix can be read");
        for trial in before.trials().iter().filter(|trial| trial.attempts > 0) {
            let (from, to) = (uncut.path(), dir.trial(trial.id));
            fs::create_dir_all(&to).expect("it can be made");
            let mark = format!("study-{}", before.header().id.as_deref().expect("an id"));
            fs::write(to.join(mark), "").expect("it can be written");
            let records = from.join(trial.id.to_string()).join("records.jsonl");
            fs::copy(records, to.join("records.jsonl")).expect("it can be copied");
        }
        let clock = Box::new(|| Timestamp::from_micros(0));
        let mut parts = parts("random", "fifo", 1);
        parts.header.trials = Some(2);
        let driver = Driver::open(dir, parts, &holder(), clock).expect("the study opens");
        for (trial, found) in driver.study().trials().iter().zip(counts(driver.study())) {
            if trial.attempts > 0 {
                assert_eq!(
                    found, expected[0],
                    "trial {} after {count} entries",
                    trial.id
                );
            }
        }
    }
}
