//! Kills the supervisor of a trial anywhere: the next run takes in every line exactly once.

use super::*;
use swath_model::study::TakenLines;

/// A line of every kind, with its metric rows. Names and numbers differ, so that a record or a row
/// that counts twice shows.
const LINES: [&str; 14] = [
    r#"{"kind": "dataset", "path": "data", "role": "train"}"#,
    r#"{"kind": "metric", "log": "train", "step": 1, "err": 0.5}"#,
    r#"{"loss": 0.5, "epoch": 1, "model_path": "models/m.bin"}"#,
    r#"{"kind": "note", "text": "first"}"#,
    r#"{"kind": "metric", "step": 2, "err": 0.25}"#,
    r#"{"kind": "figure", "path": "models/m.bin"}"#,
    r#"{"kind": "artifact", "path": "models/m.bin"}"#,
    r#"{"kind": "output", "size": 3, "rows": 4}"#,
    r#"{"kind": "param", "depth": 3, "width": 4}"#,
    r#"{"kind": "text", "name": "a.txt", "text": "text"}"#,
    r#"{"kind": "dict", "name": "d.json", "value": {"a": 1}}"#,
    r#"{"kind": "checkpoint", "step": 2}"#,
    r#"{"kind": "model", "path": "models/n.bin", "step": 2, "parameters": 7}"#,
    r#"{"loss": 0.25, "epoch": 2}"#,
];

/// A sink that takes records up to a number, as a journal whose writer was killed.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<TakenRecord>>>);

/// A record with the offset behind its line.
type TakenRecord = (LogRecord, Option<u64>);

impl Sink for Journal {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self.logged_from(record, None)
    }

    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        self.0.lock().unwrap().push((record, line_end));
        Directive::Continue
    }
}

impl Journal {
    fn records(&self) -> Vec<LogRecord> {
        let records = self.0.lock().unwrap();
        records.iter().map(|(record, _)| record.clone()).collect()
    }

    /// Returns the lines that a study has after this journal.
    fn taken(&self) -> TakenLines {
        let mut taken = TakenLines::default();
        for (record, line_end) in self.0.lock().unwrap().iter() {
            if let Some(end) = line_end {
                taken.add(*end, record);
            }
        }
        taken
    }
}

impl World {
    fn logger_of(&self, journal: &Journal) -> TrialLogger {
        let dirs = Dirs {
            workdir: self.dir.path().to_path_buf(),
            trial: self.trial(),
        };
        TrialLogger::in_process(identity(), dirs, Box::new(journal.clone())).unwrap()
    }

    fn rows(&self) -> Vec<String> {
        ["train", "metrics", "report"]
            .map(|log| without_times(&self.metrics(log)))
            .to_vec()
    }

    /// Takes in the lines that a killed supervisor left.
    fn take_unread(&self, journal: &Journal) {
        let unread = Unread {
            taken: journal.taken(),
            is_marked: true,
        };
        let path = self.trial().join("records.jsonl");
        let mut logger = self.logger_of(journal);
        logger.take_unread(&path, &unread, i128::MAX).unwrap();
        logger.finish().unwrap();
    }
}

/// Returns rows without the times at which they were read.
fn without_times(rows: &str) -> String {
    let row = |row: &str| row.split(", \"at\"").next().unwrap_or_default().to_owned();
    rows.lines().map(row).collect::<Vec<_>>().join("\n")
}

fn world() -> World {
    let world = World::new();
    fs::create_dir_all(world.dir.path().join("data")).unwrap();
    fs::write(world.dir.path().join("data/a.csv"), "1,2").unwrap();
    fs::write(world.dir.path().join("models/n.bin"), "other").unwrap();
    world
}

/// Runs a supervisor over the first `read` lines, of whose records the journal gets `kept`; and
/// marks the metric files after `marked` lines.
fn killed_supervisor(read: usize, marked: usize, kept: usize) -> (World, Journal) {
    let (world, journal) = (world(), Journal::default());
    let mut logger = world.logger_of(&journal);
    let mut tail = world.tail();
    logger.begin_to_follow(&tail);
    for (count, is_marked) in [(marked, true), (read, false)] {
        let mut text = LINES[..count].join("\n");
        text.push('\n');
        world.records(text.as_bytes());
        logger.follow(&mut tail).unwrap();
        if is_marked {
            // A row from elsewhere marks the files.
            logger
                .metrics(&[("cpu", 1.0)], Point::default().log("system"))
                .unwrap();
        }
        logger.flush().unwrap();
    }
    drop(logger);
    let mut records = journal.0.lock().unwrap();
    records.retain(|(record, _)| !matches!(record, LogRecord::Warning { .. }));
    records.truncate(kept);
    drop(records);
    world.records((LINES.join("\n") + "\n").as_bytes());
    (world, journal)
}

#[test]
fn no_line_counts_twice_and_none_is_lost_wherever_the_supervisor_is_killed() {
    let (whole, expected) = (world(), Journal::default());
    whole.records((LINES.join("\n") + "\n").as_bytes());
    let mut logger = whole.logger_of(&expected);
    logger.follow_to_the_end(&mut whole.tail()).unwrap();
    logger.finish().unwrap();
    let expected_records = expected.records();
    assert!(
        expected_records.len() > LINES.len(),
        "{expected_records:#?}"
    );
    for read in 1..=LINES.len() {
        for kept in 0..=expected_records.len() {
            let marked = read.min(kept / 2 + 1);
            let (world, journal) = killed_supervisor(read, marked, kept);
            if journal.records().len() < kept {
                break;
            }
            world.take_unread(&journal);
            let case = format!("{read} lines read, {marked} marked, {kept} records kept");
            assert_eq!(journal.records(), expected_records, "{case}");
            assert_eq!(world.rows(), whole.rows(), "{case}");
            let system = world.metrics("system").lines().count();
            assert_eq!(system, 1, "the row from elsewhere stays: {case}");
            if kept % 5 == 0 {
                // A second recovery changes nothing.
                world.take_unread(&journal);
                assert_eq!(journal.records(), expected_records, "{case}, twice");
                assert_eq!(world.rows(), whole.rows(), "{case}, twice");
            }
        }
    }
}

#[test]
fn sixty_four_thousand_logs_cost_linear_time() {
    let world = world();
    let line = |n: u32| format!("{{\"kind\": \"metric\", \"log\": \"l{n}\", \"err\": {n}}}\n");
    let mut logger = world.logger_of(&Journal::default());
    let mut tail = world.tail();
    logger.begin_to_follow(&tail);
    let begun = std::time::Instant::now();
    for count in [32_000, 64_000] {
        world.records((0..count).map(line).collect::<String>().as_bytes());
        logger.follow(&mut tail).unwrap();
        logger.flush().unwrap();
    }
    logger.finish().unwrap();
    // It takes less than a second; with quadratic cost it took minutes.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let own = fs::read_dir(world.trial().join("metrics")).unwrap().count();
    assert!((1000..1010).contains(&own), "{own} files");
    assert!(world.metrics("metrics").lines().count() > 62_000);
}

#[test]
fn a_line_without_its_line_break_is_taken_in_once() {
    let (world, journal) = (world(), Journal::default());
    world.records(br#"{"loss": 1}"#);
    world.take_unread(&journal);
    // The next attempt ends the line.
    world.records(b"{\"loss\": 1}\n");
    world.take_unread(&journal);
    assert_eq!(journal.records(), [report(&[("loss", 1.0)])]);
    assert_eq!(world.metrics("report").lines().count(), 1);
}

#[test]
fn a_records_file_that_a_power_cut_shortened_is_not_read_twice() {
    let text = LINES.join("\n") + "\n";
    for length in 0..text.len() {
        let (world, journal) = (world(), Journal::default());
        world.records(text.as_bytes());
        world.take_unread(&journal);
        let (records, rows) = (journal.records(), world.rows());
        world.records(&text.as_bytes()[..length]);
        world.take_unread(&journal);
        assert_eq!(journal.records(), records, "cut to {length}");
        assert_eq!(world.rows(), rows, "cut to {length}");
    }
}

#[test]
fn lines_of_a_shorter_file_in_place_of_the_one_that_was_read_are_taken_in() {
    let (world, journal) = (world(), Journal::default());
    world.records(b"{\"loss\": 1, \"epoch\": 1}\n{\"loss\": 2, \"epoch\": 2}\n");
    world.take_unread(&journal);
    world.records(b"{\"loss\": 3}\n");
    world.take_unread(&journal);
    assert_eq!(journal.records().len(), 3);
}

/// Reads the lines that follow those of the first attempts, as the supervisor of a further attempt
/// does, and writes their rows. It is killed before it marks them.
fn resume_and_read(world: &World, journal: &Journal, text: &str) {
    let path = world.trial().join("records.jsonl");
    let mut tail = Tail::after_existing(&path).unwrap();
    let mut logger = world.logger_of(journal);
    logger.begin_to_follow(&tail);
    let earlier = fs::read_to_string(&path).unwrap_or_default();
    world.records((earlier + text).as_bytes());
    logger.follow(&mut tail).unwrap();
    logger.flush().unwrap();
}

const FIRST_ROWS: &str = "{\"kind\": \"metric\", \"log\": \"train\", \"err\": 1}\n\
                          {\"kind\": \"metric\", \"log\": \"train\", \"err\": 2}\n";
const LATER_ROWS: &str = "{\"kind\": \"metric\", \"log\": \"train\", \"err\": 3}\n\
                          {\"kind\": \"metric\", \"log\": \"train\", \"err\": 4}\n";

#[test]
fn a_row_that_follows_a_torn_end_of_a_metric_file_is_not_made_twice() {
    let whole = World::new();
    whole.records(FIRST_ROWS.as_bytes());
    whole.take_unread(&Journal::default());
    let rows = whole.metrics("train");
    // A power cut leaves the file with zeros or cut at any byte; then a supervisor is killed.
    for length in 0..rows.len() {
        for zeros in [0, rows.len() - length] {
            let (world, journal) = (World::new(), Journal::default());
            world.records(FIRST_ROWS.as_bytes());
            world.take_unread(&journal);
            let mut torn = rows.as_bytes()[..length].to_vec();
            torn.resize(length + zeros, 0);
            fs::write(world.trial().join("metrics/train.json"), &torn).unwrap();
            resume_and_read(&world, &journal, LATER_ROWS);
            world.take_unread(&journal);
            for err in [3, 4] {
                let row = format!("\"err\": {err}");
                let count = world.metrics("train").matches(&row).count();
                assert_eq!(
                    count, 1,
                    "row {err} after a file torn at {length}, {zeros} zeros"
                );
            }
        }
    }
}

#[test]
fn a_mark_without_its_metric_files_does_not_cover_the_rows_of_a_further_attempt() {
    let (world, journal) = (World::new(), Journal::default());
    world.records(FIRST_ROWS.as_bytes());
    world.take_unread(&journal);
    // A power cut empties the records and takes the metric files; the mark stays.
    world.records(b"");
    fs::remove_file(world.trial().join("metrics/train.json")).unwrap();
    resume_and_read(&world, &journal, &(LATER_ROWS.to_owned() + FIRST_ROWS));
    world.take_unread(&journal);
    let rows = without_times(&world.metrics("train"));
    assert_eq!(rows.matches("err").count(), 4, "{rows}");
}

#[test]
fn a_shorter_file_whose_lines_cannot_be_compared_is_not_read_twice() {
    let (world, journal) = (World::new(), Journal::default());
    let text = "{\"loss\": 1, \"epoch\": 1}\n{\"loss\": 2, \"epoch\": 2}\n";
    // A power cut has taken the records of earlier attempts, so the mark has no line of them.
    world.records(b"");
    fs::create_dir_all(world.trial().join("metrics")).unwrap();
    fs::write(world.trial().join("metrics/train.json"), "{\"err\": 1}\n").unwrap();
    resume_and_read(&world, &journal, text);
    let records = journal.records();
    world.records(&text.as_bytes()[..30]);
    world.take_unread(&journal);
    assert_eq!(journal.records(), records);
}
