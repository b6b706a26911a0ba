use super::super::line::{self, Line};
use super::super::{Journal, JournalError, Replay, StudyDir, entries, report_line, reports};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use swath_model::space::Value;
use swath_model::study::{
    Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin,
    Study, Take, Timestamp, TrialId, Usage,
};

/// The lengths of blocks in these tests: shorter than a line, a few lines, and the whole journal.
const LENGTHS: [u64; 3] = [40, 777, 1 << 20];

fn logged(trial: u32, attempt: u32, record: LogRecord, line_end: Option<u64>) -> Event {
    Event::Logged {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        record,
        line_end,
    }
}

fn report(values: &[(&str, f64)]) -> LogRecord {
    let values = values.iter();
    let values = values.map(|(name, number)| ((*name).into(), Datum::Number(Metric(*number))));
    LogRecord::Report {
        values: values.collect(),
    }
}

fn started(trial: u32, attempt: u32) -> Event {
    Event::Started {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        until: None,
        slot: 0,
        resume: false,
    }
}

fn ended(trial: u32, attempt: u32, exit: Exit) -> Event {
    Event::Ended {
        trial: TrialId(trial),
        attempt: Attempt(attempt),
        exit,
        usage: Usage::default(),
    }
}

/// Returns the events of a study whose trials have reports of many forms.
fn events() -> Vec<Event> {
    let mut events = vec![Event::Opened {
        format: FORMAT,
        header: Header {
            objectives: vec![Objective {
                metric: "loss".into(),
                goal: Goal::Min,
                take: Take::Best,
            }],
            ..Header::default()
        },
    }];
    for trial in 1..=9 {
        events.push(Event::Created {
            trial: TrialId(trial),
            params: [("größe".into(), Value::Float(0.1))].into_iter().collect(),
            origin: Origin::Suggested("random".into()),
            seed: 7,
        });
        events.push(started(trial, 1));
        for epoch in 0..8 {
            let number = f64::from(trial * 100 + epoch) / 7.0;
            let mut values = vec![("epoch", f64::from(epoch)), ("loss", 1.0 / number)];
            // A trial may report further metrics, and the same ones in another order.
            match epoch {
                3 => values.push(("größe", -1e-300)),
                4 => values.reverse(),
                5 => values[1].1 = f64::NAN,
                _ => {}
            }
            let line_end = (trial > 5).then_some(u64::from(epoch) * 40);
            events.push(logged(trial, 1, report(&values), line_end));
        }
        let text = ("note".into(), Datum::Text("a \"quoted\" text\n".into()));
        let flag = ("flag".into(), Datum::Flag(true));
        let values = vec![text, flag];
        events.push(logged(trial, 1, LogRecord::Report { values }, None));
        let text = "x".repeat(if trial == 4 { 3000 } else { 10 });
        events.push(logged(trial, 1, LogRecord::Note { text }, None));
        if trial == 3 {
            events.push(ended(trial, 1, Exit::Lost));
            events.push(started(trial, 2));
            events.push(logged(trial, 2, report(&[("loss", 0.25)]), None));
            events.push(ended(trial, 2, Exit::Done));
        } else {
            events.push(ended(trial, 1, Exit::Done));
        }
    }
    events
}

fn written(folder: &Path) -> StudyDir {
    let dir = StudyDir::at(folder);
    let journal = Journal::open(&dir).and_then(Replay::into_writer);
    let mut journal = journal.expect("a new journal");
    for (second, event) in (0..).zip(events()) {
        let at = Timestamp::from_micros(second * 1_000_000 + second);
        journal.append(event, at).expect("it can be appended");
    }
    // Without a sync there is no mark, so that the tests may cut the journal.
    journal.flush().expect("it can be written");
    dir
}

/// The result of reading a journal: its entries, the length of their lines, and the error.
#[derive(Debug, PartialEq)]
struct Outcome {
    entries: Vec<Entry>,
    offset: u64,
    error: Option<String>,
}

/// Reads a journal line by line by the general parser, in this thread.
fn plain(dir: &StudyDir) -> Outcome {
    let bytes = fs::read(dir.journal()).expect("it can be read");
    let mut outcome = Outcome {
        entries: Vec::new(),
        offset: 0,
        error: None,
    };
    let mut last: Option<Line> = None;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let number = outcome.entries.len() as u64 + 1;
        let Some(text) = text.strip_suffix(b"\n") else {
            let end = line::complete_entry(text);
            outcome.error = end
                .filter(|end| *end < text.len())
                .map(|_| bad_line(dir, number, "its line break has changed"));
            break;
        };
        let line = match line::read(text) {
            Ok(line) if follows(last.as_ref(), &line) => line,
            Ok(_) => {
                let why = "it does not continue the line before it: lines are missing, or it is \
                           of another journal";
                outcome.error = Some(bad_line(dir, number, why));
                break;
            }
            Err(why) => {
                outcome.error = Some(bad_line(dir, number, &why));
                break;
            }
        };
        outcome.offset += text.len() as u64 + 1;
        outcome.entries.push(line.entry.clone());
        last = Some(line);
    }
    outcome
}

fn bad_line(dir: &StudyDir, line: u64, why: &str) -> String {
    JournalError::bad_line(&dir.journal(), line, why.to_owned()).to_string()
}

fn follows(last: Option<&Line>, line: &Line) -> bool {
    match (line.previous, last) {
        (Some(previous), Some(last)) => previous == last.link,
        (Some(_), None) => line.entry.seq > 0,
        (None, last) => last.is_none_or(|last| last.previous.is_none()),
    }
}

/// Reads a journal in blocks of this length.
fn in_blocks(dir: &StudyDir, length: u64) -> Outcome {
    let mut replay = Journal::open(dir).expect("it opens").with_blocks_of(length);
    let mut entries = Vec::new();
    let mut error = None;
    for entry in replay.by_ref() {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(bad) => error = Some(bad.to_string()),
        }
    }
    Outcome {
        entries,
        offset: replay.offset(),
        error,
    }
}

/// Folds a journal in blocks of this length.
fn folded(dir: &StudyDir, length: u64) -> (Study, Vec<Entry>, Option<String>) {
    let mut replay = Journal::open(dir).expect("it opens").with_blocks_of(length);
    let (mut study, mut entries) = (Study::default(), Vec::new());
    let result = replay.fold_into(&mut study, &mut |_, entry| entries.push(entry.clone()));
    let error = result.err().map(|error| error.to_string());
    (study, entries, error)
}

/// Asserts that a journal is read in blocks of all lengths as it is read line by line.
fn assert_read_alike(dir: &StudyDir) -> Outcome {
    let expected = plain(dir);
    let mut study = Study::default();
    for entry in &expected.entries {
        study.apply(entry).expect("it is allowed");
    }
    for length in LENGTHS {
        assert_eq!(in_blocks(dir, length), expected, "blocks of {length}");
        let (folded, entries, error) = folded(dir, length);
        assert_eq!(folded, study, "blocks of {length}");
        assert_eq!((&entries, &error), (&expected.entries, &expected.error));
    }
    expected
}

#[test]
fn a_journal_is_read_in_blocks_as_it_is_read_line_by_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let outcome = assert_read_alike(&dir);
    let events: Vec<Event> = outcome
        .entries
        .into_iter()
        .map(|entry| entry.event)
        .collect();
    assert_eq!((events, outcome.error), (self::events(), None));
    fs::write(dir.journal(), "").expect("it can be written");
    assert_eq!(assert_read_alike(&dir).entries, []);
}

#[test]
fn a_torn_end_is_no_entry_wherever_it_is_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let contents = fs::read(dir.journal()).expect("it can be read");
    for end in (0..contents.len()).step_by(199) {
        fs::write(dir.journal(), &contents[..end]).expect("it can be written");
        let outcome = assert_read_alike(&dir);
        assert_eq!(outcome.error, None);
        let cut = contents[..end].iter().rposition(|byte| *byte == b'\n');
        assert_eq!(outcome.offset, cut.map_or(0, |newline| newline as u64 + 1));
    }
}

#[test]
fn a_damaged_line_has_the_same_error_and_nothing_behind_it_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let contents = fs::read(dir.journal()).expect("it can be read");
    for index in (0..contents.len()).step_by(613) {
        for byte in [0, b' ', b'"', b'1', b'\n', 0xff] {
            let mut damaged = contents.clone();
            damaged[index] = byte;
            fs::write(dir.journal(), &damaged).expect("it can be written");
            let outcome = assert_read_alike(&dir);
            assert_eq!(outcome.error.is_some(), damaged != contents, "{index}");
        }
    }
}

#[test]
fn missing_repeated_and_exchanged_lines_have_the_same_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let text = fs::read_to_string(dir.journal()).expect("it can be read");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for index in (1..lines.len() - 1).step_by(7) {
        let (mut missing, mut repeated, mut exchanged) =
            (lines.clone(), lines.clone(), lines.clone());
        missing.remove(index);
        repeated.insert(index, lines[index]);
        exchanged.swap(index, index + 1);
        for changed in [missing, repeated, exchanged] {
            fs::write(dir.journal(), changed.concat()).expect("it can be written");
            assert!(assert_read_alike(&dir).error.is_some(), "{index}");
        }
    }
}

#[test]
fn journals_of_earlier_versions_and_with_line_breaks_of_windows_are_read_alike() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let text = fs::read_to_string(dir.journal()).expect("it can be read");
    let entries = plain(&dir).entries;
    // No checksums at all, and checksums that do not form a chain.
    let bare: String = (entries.iter())
        .map(|entry| serde_json::to_string(entry).expect("it is JSON") + "\n")
        .collect();
    let mut unchained = Vec::new();
    for entry in &entries {
        line::write(&mut unchained, entry, None).expect("it is JSON");
    }
    let unchained = String::from_utf8(unchained).expect("it is text");
    let older = bare.replacen(&format!("\"format\":{FORMAT}"), "\"format\":1", 1);
    for earlier in [&bare, &unchained, &older, &bare.replace('\n', "\r\n")] {
        fs::write(dir.journal(), earlier).expect("it can be written");
        let outcome = assert_read_alike(&dir);
        assert_eq!(
            (outcome.entries.len(), outcome.error),
            (entries.len(), None)
        );
    }
    // The break between checksum and end is no part of a line that was written with a checksum.
    fs::write(dir.journal(), text.replace('\n', "\r\n")).expect("it can be written");
    let error = assert_read_alike(&dir).error.expect("it is refused");
    assert!(error.starts_with("line 1 of "), "{error}");
}

#[test]
fn a_journal_that_is_being_written_is_read_to_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    fs::write(dir.journal(), "").expect("it can be written");
    let mut replay = Journal::open(&dir).expect("it opens").with_blocks_of(300);
    let (read, is_late) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| written(folder.path()));
        let begun = Instant::now();
        let mut read = Vec::new();
        loop {
            // Whatever was written before this look is read in it.
            let is_last = writer.is_finished();
            replay.look_again().expect("it can be read on");
            read.extend(replay.by_ref().map(|entry| entry.expect("good").event));
            let is_late = begun.elapsed() > Duration::from_secs(60);
            if is_last || is_late {
                return (read, is_late);
            }
        }
    });
    assert!(!is_late);
    assert_eq!(read, events());
    let length = fs::metadata(dir.journal()).expect("it is there").len();
    assert_eq!(replay.offset(), length);
}

#[test]
fn a_part_of_a_journal_has_the_entries_of_its_whole_lines_that_are_entries() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let mut text = fs::read_to_string(dir.journal()).expect("it can be read");
    let ends: Vec<usize> = text
        .match_indices('\n')
        .map(|(index, _)| index + 1)
        .collect();
    let expected = plain(&dir).entries;
    // One line is damaged: its neighbours are entries all the same.
    text.replace_range(ends[5] + 1..ends[5] + 2, "?");
    fs::write(dir.journal(), &text).expect("it can be written");
    for (first, last) in [(0, 20), (4, 30), (6, 6), (7, ends.len() - 1)] {
        for beyond in [0, 5] {
            let (start, end) = (ends[first], ends[last] + beyond);
            let mut read = Vec::new();
            let offset = entries::each_entry(&dir, start as u64, end as u64, &mut |entry| {
                read.push(entry.clone());
                Ok(())
            });
            assert_eq!(offset.expect("it can be read"), ends[last] as u64);
            let whole = (first + 1..=last).filter(|index| *index != 6);
            let whole: Vec<Entry> = whole.map(|index| expected[index].clone()).collect();
            assert_eq!(read, whole, "{start}..{end}");
        }
    }
}

#[test]
fn the_reports_of_a_journal_are_those_of_its_entries() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let (study, entries, _) = folded(&dir, 1 << 20);
    let mut expected = Vec::new();
    for entry in entries {
        let Event::Logged {
            trial,
            attempt,
            record: LogRecord::Report { values },
            ..
        } = entry.event
        else {
            continue;
        };
        // The third trial began anew, so the reports of its first attempt do not count.
        if (trial, attempt) != (TrialId(3), Attempt(1)) {
            expected.push(format!("{trial} {attempt} {} {values:?}", entry.at));
        }
    }
    let mut read = Vec::new();
    let result = reports::each(&dir, &study, &mut |report| {
        let (trial, attempt, at) = (report.trial, report.attempt, report.at);
        read.push(format!("{trial} {attempt} {at} {:?}", report.values));
        Ok::<(), JournalError>(())
    });
    result.expect("it can be read");
    assert_eq!(read, expected);
    let text = fs::read_to_string(dir.journal()).expect("it can be read");
    // The second report of the first trial: the lines before it open the study and start the trial.
    let damaged = text.replacen("\"epoch\":1.0", "\"epoch\":2.0", 1);
    fs::write(dir.journal(), damaged).expect("it can be written");
    let error = reports::each(&dir, &study, &mut |_| Ok::<(), JournalError>(()));
    let error = error.expect_err("a line is damaged");
    assert!(
        matches!(error, JournalError::BadLine { line: 5, .. }),
        "{error}"
    );
}

/// Reads the entry of a report by the general parser.
fn general(body: &[u8]) -> Option<Entry> {
    serde_json::from_slice(&[body, b"}"].concat()).ok()
}

/// Reads the entry of a report by its usual form.
fn quick(body: &[u8]) -> Option<Entry> {
    let mut values = Vec::new();
    let head = report_line::read(body, |name, number| values.push((name, number)))?;
    let values = values.into_iter().map(|(name, number)| {
        let name = str::from_utf8(name).expect("the caller checks names");
        (name.into(), Datum::Number(Metric(number)))
    });
    Some(Entry {
        seq: head.seq,
        at: head.at,
        event: logged(
            head.trial,
            head.attempt,
            LogRecord::Report {
                values: values.collect(),
            },
            head.line_end,
        ),
        away: None,
    })
}

fn body(values: &str, line_end: &str) -> String {
    format!(
        "{{\"seq\":12,\"at\":\"2026-11-29T12:54:57.45Z\",\"event\":{{\"logged\":{{\"trial\":3,\
         \"attempt\":1,\"record\":{{\"report\":{{\"values\":{{{values}}}}}}}{line_end}}}}}"
    )
}

#[test]
fn the_quick_reader_of_reports_reads_nothing_that_the_general_parser_reads_otherwise() {
    let values = "\"epoch\":1.0,\"größe\":-2.5e-3";
    for line_end in ["", ",\"line_end\":4711"] {
        let body = body(values, line_end);
        assert!(quick(body.as_bytes()).is_some());
        for index in 0..body.len() {
            for byte in b"\0 \"\\{}[]:,.+-019eEaZ\n" {
                let mut changed = body.clone().into_bytes();
                changed[index] = *byte;
                // Names that are no text are left to the general parser by the caller.
                if str::from_utf8(&changed).is_err() {
                    continue;
                }
                if let Some(entry) = quick(&changed) {
                    let changed = String::from_utf8_lossy(&changed);
                    assert_eq!(Some(entry), general(changed.as_bytes()), "{changed}");
                }
            }
            let cut = &body.as_bytes()[..index];
            assert_eq!(quick(cut), None);
        }
    }
}

#[test]
fn the_quick_reader_of_reports_accepts_the_numbers_of_json_and_no_others() {
    for number in [
        "0",
        "-0",
        "-0.0",
        "1",
        "10",
        "0.1",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        "123456789012345678901",
        "0.1000000000000000055511151231257827",
        "2.2250738585072011e-308",
        "4.9e-324",
        "1e-400",
        "1.7976931348623157e308",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775809",
    ] {
        let body = body(&format!("\"x\":{number}"), "");
        let entry = quick(body.as_bytes());
        assert!(entry.is_some(), "{number}");
        assert_eq!(entry, general(body.as_bytes()), "{number}");
    }
    // Numbers around the length up to which they are read without the parser of floats.
    for digits in 14..=17 {
        for decimals in 0..digits {
            let number = 8_765_432_109_876_543_219_u64.to_string();
            let number = format!(
                "{}.{}",
                &number[..digits - decimals],
                &number[digits - decimals..digits]
            );
            let number = number.trim_end_matches('.');
            let entry = quick(body(&format!("\"x\":{number}"), "").as_bytes());
            let expected: f64 = number.parse().expect("a number");
            let values = vec![("x".into(), Datum::Number(Metric(expected)))];
            let record = LogRecord::Report { values };
            let event = entry.map(|entry| entry.event);
            assert_eq!(event, Some(logged(3, 1, record, None)), "{number}");
        }
    }
    for other in [
        "", "-", "+1", "01", "-01", "00", "1.", ".5", "1.e5", "1e", "1e+", "0x1", "1_0", "NaN",
        "inf", "1e400", "-1e400", "null", "true", "\"1\"", "\"nan\"", "[1]", "1 ", " 1",
    ] {
        let body = body(&format!("\"x\":{other}"), "");
        assert_eq!(quick(body.as_bytes()), None, "{other}");
    }
}

#[test]
fn entries_without_reports_are_read_in_order_and_damage_in_a_report_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = written(folder.path());
    let others: Vec<Entry> = (plain(&dir).entries.into_iter())
        .filter(|entry| !is_report(entry))
        .collect();
    for length in LENGTHS {
        let replay = Journal::open(&dir)
            .expect("it opens")
            .with_blocks_of(length);
        let read: Result<Vec<Entry>, JournalError> = replay.without_reports().collect();
        assert_eq!(read.expect("it is read"), others);
    }
    let mut bytes = fs::read(dir.journal()).expect("it can be read");
    let report = b"\"report\":{\"values\":{\"epoch\":1.0";
    let place = bytes.windows(report.len()).position(|part| part == report);
    bytes[place.expect("there is one") + report.len() - 1] = b'1';
    fs::write(dir.journal(), bytes).expect("it can be written");
    let replay = Journal::open(&dir).expect("it opens");
    let read: Result<Vec<Entry>, JournalError> = replay.without_reports().collect();
    let error = read.expect_err("it is damaged").to_string();
    assert!(error.contains("its checksum does not match"), "{error}");
}

fn is_report(entry: &Entry) -> bool {
    let Event::Logged { record, .. } = &entry.event else {
        return false;
    };
    matches!(record, LogRecord::Report { .. })
}

#[test]
fn a_report_whose_name_is_no_text_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let mut line = body("\"x?\":1.0", "").into_bytes();
    let index = line
        .iter()
        .position(|byte| *byte == b'?')
        .expect("it is there");
    line[index] = 0xff;
    let checksum = crc32fast::hash(&line);
    line.extend_from_slice(format!(",\"crc\":\"{checksum:08x}\"}}\n").as_bytes());
    fs::write(dir.journal(), line).expect("it can be written");
    let error = assert_read_alike(&dir).error.expect("it is refused");
    assert!(error.starts_with("line 1 of "), "{error}");
}
