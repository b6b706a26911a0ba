use super::*;
use std::fs;
use swath_model::study::{
    Closing, Entry, Event, FORMAT, Header, Origin, Study, Timestamp, TrialId,
};

fn created(id: u32) -> Event {
    Event::Created {
        trial: TrialId(id),
        params: [("größe".into(), swath_model::space::Value::Float(0.1))]
            .into_iter()
            .collect(),
        origin: Origin::Suggested("random".into()),
        seed: 7,
    }
}

fn events() -> Vec<Event> {
    let opened = Event::Opened {
        format: FORMAT,
        header: Header {
            name: "digits".into(),
            ..Header::default()
        },
    };
    vec![
        opened,
        created(1),
        created(2),
        Event::Closed {
            why: Closing::Finished,
        },
    ]
}

fn written() -> (tempfile::TempDir, StudyDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("a new journal");
    for event in events() {
        journal
            .append(event, Timestamp::from_micros(0))
            .expect("it can be appended");
    }
    journal.sync().expect("it can be written");
    (folder, dir)
}

#[test]
fn appended_entries_are_read_back_in_order() {
    let (_folder, dir) = written();
    let read: Vec<Event> = Journal::open(&dir)
        .expect("it opens")
        .map(|entry| entry.expect("good").event)
        .collect();
    assert_eq!(read, events());
}

#[test]
fn a_reader_that_looks_again_reads_what_was_written_since_and_a_torn_line_once_it_is_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let mut reader = Journal::open(&dir).expect("a missing journal opens");
    assert!(reader.next().is_none());
    let (_other, written) = written();
    let contents = fs::read(written.journal()).expect("it can be read");
    let mut read = Vec::new();
    for end in (0..=contents.len()).step_by(7).chain([contents.len()]) {
        fs::write(dir.journal(), &contents[..end]).expect("it can be written");
        reader.look_again().expect("it can be read on");
        read.extend(reader.by_ref().map(|entry| entry.expect("good").event));
    }
    assert_eq!(read, events());
}

#[test]
fn a_tail_without_a_newline_is_kept_aside_and_cut_at_every_byte() {
    let (_folder, dir) = written();
    let contents = fs::read(dir.journal()).expect("it can be read");
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain(
            contents
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'\n')
                .map(|(index, _)| index + 1),
        )
        .collect();
    for cut in 0..contents.len() {
        let _ = fs::remove_file(dir.torn());
        // As after a power failure before the first sync: otherwise the mark tells of more.
        let _ = fs::remove_file(dir.mark());
        fs::write(dir.journal(), &contents[..cut]).expect("it can be written");
        let entries = Journal::open(&dir)
            .expect("it opens")
            .filter(Result::is_ok)
            .count();
        let journal = Journal::open(&dir)
            .and_then(Replay::into_writer)
            .expect("it becomes a writer");
        let kept = *starts
            .iter()
            .filter(|start| **start <= cut)
            .max()
            .expect("0 is one");
        assert_eq!(
            (journal.offset(), journal.next_seq),
            (kept as u64, entries as u64)
        );
        assert_eq!(
            fs::read(dir.journal()).expect("it can be read"),
            &contents[..kept]
        );
        let torn = fs::read(dir.torn()).unwrap_or_default();
        assert_eq!(
            torn.strip_suffix(b"\n").unwrap_or(&torn),
            &contents[kept..cut]
        );
    }
}

#[test]
fn a_bad_line_before_the_end_is_an_error_with_its_number() {
    let (_folder, dir) = written();
    let text = fs::read_to_string(dir.journal()).expect("it can be read");
    let flipped = text.replacen("\"seq\":2", "\"seq\";2", 1);
    fs::write(dir.journal(), flipped).expect("it can be written");
    let error = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect_err("it is refused");
    assert!(
        matches!(error, JournalError::BadLine { line: 3, .. }),
        "{error}"
    );
}

fn write_byte(file: &fs::File, offset: usize, byte: u8) {
    std::os::unix::fs::FileExt::write_all_at(file, &[byte], offset as u64)
        .expect("it can be written");
}

fn read_all(dir: &StudyDir) -> Vec<Entry> {
    Journal::open(dir)
        .expect("it opens")
        .collect::<Result<_, _>>()
        .expect("good")
}

#[test]
fn every_flipped_bit_is_an_error_with_the_number_of_its_line() {
    let (_folder, dir) = written();
    let contents = fs::read(dir.journal()).expect("it can be read");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.journal())
        .expect("it opens");
    for offset in 0..contents.len() {
        let line = contents[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64
            + 1;
        for bit in 0..8 {
            write_byte(&file, offset, contents[offset] ^ (1 << bit));
            match read(&dir) {
                Err(JournalError::BadLine { line: bad, .. }) => assert_eq!(bad, line),
                other => panic!("byte {offset}, bit {bit}: {other:?}"),
            }
        }
        write_byte(&file, offset, contents[offset]);
    }
}

#[test]
fn a_journal_of_an_earlier_version_has_no_checksums_and_is_read_and_continued() {
    let (_folder, dir) = written();
    let entries = read_all(&dir);
    let plain: String = entries
        .iter()
        .map(|entry| serde_json::to_string(entry).expect("it is JSON") + "\n")
        .collect();
    fs::write(dir.journal(), plain).expect("it can be written");
    fs::remove_file(dir.mark()).expect("it is there");
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("it becomes a writer");
    let more = journal
        .append(
            Event::Closed {
                why: Closing::Exhausted,
            },
            Timestamp::from_micros(9),
        )
        .expect("it can be appended");
    journal.sync().expect("it can be written");
    assert_eq!(
        read_all(&dir),
        entries.into_iter().chain([more]).collect::<Vec<_>>()
    );
}

/// Writes a journal whose study has the id `id`.
fn written_with_id(id: &str) -> (tempfile::TempDir, StudyDir, Journal) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("a new journal");
    for mut event in events() {
        if let Event::Opened { header, .. } = &mut event {
            header.id = Some(id.to_owned());
        }
        journal
            .append(event, Timestamp::from_micros(0))
            .expect("it can be appended");
    }
    journal.sync().expect("it can be written");
    (folder, dir, journal)
}

#[test]
fn a_line_behind_another_history_is_an_error_and_salvage_drops_it() {
    let (_one, dir, _) = written_with_id("1111");
    let (_two, other, _) = written_with_id("2222");
    let (own, foreign) = [&dir, &other]
        .map(|dir| fs::read_to_string(dir.journal()).expect("it can be read"))
        .into();
    let spliced: String = own
        .split_inclusive('\n')
        .take(2)
        .chain(foreign.split_inclusive('\n').skip(2))
        .collect();
    fs::remove_file(dir.mark()).expect("it is there");
    fs::write(dir.journal(), spliced).expect("it can be written");
    let error = read(&dir).expect_err("a line is foreign");
    assert!(
        matches!(error, JournalError::BadLine { line: 3, .. }),
        "{error}"
    );
    let salvaged = salvage(&dir, Header::default()).expect("it can be salvaged");
    assert_eq!((salvaged.kept, salvaged.dropped.len()), (3, 1));
    assert_eq!(read(&dir).expect("it can be read").trials().len(), 1);
}

#[test]
fn a_journal_with_a_byte_behind_an_entry_can_be_read_after_its_salvage() {
    let (_folder, dir, _) = written_with_id("1111");
    let text = fs::read_to_string(dir.journal()).expect("it can be read");
    for number in 1..=4 {
        let changed: String = text
            .lines()
            .zip(1..)
            .map(|(line, index)| match index == number {
                true => format!("{line}]\n"),
                false => format!("{line}\n"),
            })
            .collect();
        fs::write(dir.journal(), changed).expect("it can be written");
        assert!(read(&dir).is_err(), "line {number}");
        let salvaged = salvage(&dir, Header::default()).expect("it can be salvaged");
        assert_eq!((salvaged.kept, salvaged.dropped.len()), (4, 0));
        assert_eq!(read(&dir).expect("it can be read").trials().len(), 2);
    }
}

#[test]
fn a_journal_that_became_shorter_is_shown_with_what_is_missing_and_is_not_written() {
    let (_folder, dir, _) = written_with_id("1111");
    let contents = fs::read(dir.journal()).expect("it can be read");
    assert_eq!(shortfall(&dir), None);
    let mut entries = 0;
    for (index, byte) in contents.iter().enumerate() {
        fs::write(dir.journal(), &contents[..index]).expect("it can be written");
        let expected = Shortfall {
            expected: 4,
            present: entries,
            is_other: false,
        };
        assert_eq!(shortfall(&dir), Some(expected));
        assert_eq!(read_all(&dir).len() as u64, entries);
        let refused = Journal::open(&dir).and_then(Replay::into_writer);
        assert!(matches!(refused, Err(JournalError::Short { .. })));
        entries += u64::from(*byte == b'\n');
    }
    let in_last_line = &contents[..contents.len() - 20];
    fs::write(dir.journal(), in_last_line).expect("it can be written");
    let salvaged = salvage(&dir, Header::default()).expect("it can be salvaged");
    assert_eq!((salvaged.kept, salvaged.backup), (3, None));
    assert_eq!(salvaged.short.map(|short| short.expected), Some(4));
    let journal = Journal::open(&dir).and_then(Replay::into_writer);
    assert_eq!(journal.expect("it goes on").next_seq, 3);
}

#[test]
fn a_journal_of_another_study_is_not_taken_for_the_one_that_was_written_here() {
    let (_one, dir, _) = written_with_id("1111");
    let (_two, other, _) = written_with_id("2222");
    fs::copy(other.journal(), dir.journal()).expect("it can be copied");
    assert!(shortfall(&dir).is_some_and(|short| short.is_other));
}

#[test]
fn a_journal_that_lost_what_was_never_synced_is_whole() {
    let (_folder, dir, mut journal) = written_with_id("1111");
    let synced = journal.offset();
    for id in 3..6 {
        journal
            .append(created(id), Timestamp::from_micros(0))
            .expect("it can be appended");
        journal.flush().expect("it can be written");
    }
    drop(journal);
    let file = fs::File::options().write(true).open(dir.journal());
    for length in (synced..=fs::metadata(dir.journal()).expect("it is there").len()).rev() {
        let file = file.as_ref().expect("it can be opened");
        file.set_len(length).expect("it can be cut");
        assert_eq!(shortfall(&dir), None, "{length}");
    }
    Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("it goes on");
}

#[test]
fn zeros_that_a_power_cut_left_in_place_of_unsynced_lines_are_a_torn_end() {
    let (_folder, dir, mut journal) = written_with_id("1111");
    let synced = journal.offset() as usize;
    for id in 3..6 {
        journal
            .append(created(id), Timestamp::from_micros(0))
            .expect("it can be appended");
    }
    journal.flush().expect("it can be written");
    drop(journal);
    let contents = fs::read(dir.journal()).expect("it can be read");
    for start in synced..contents.len() {
        for end in [contents.len(), (start + 9).min(contents.len())] {
            let mut zeroed = contents.clone();
            zeroed[start..end].fill(0);
            fs::write(dir.journal(), &zeroed).expect("it can be written");
            let whole = zeroed[..start].iter().filter(|b| **b == b'\n').count();
            assert_eq!(read_all(&dir).len(), whole, "{start}..{end}");
            let journal = Journal::open(&dir).and_then(Replay::into_writer);
            let journal = journal.expect("it goes on");
            assert_eq!(journal.next_seq as usize, whole);
            let kept = fs::read(dir.journal()).expect("it can be read");
            assert!(contents.starts_with(&kept) && kept.ends_with(b"\n"));
        }
    }
    let mut zeroed = contents;
    zeroed[synced - 9..synced].fill(0);
    fs::write(dir.journal(), &zeroed).expect("it can be written");
    assert!(matches!(read(&dir), Err(JournalError::BadLine { .. })));
}

#[test]
fn a_torn_or_damaged_mark_raises_no_alarm() {
    let (_folder, dir, _) = written_with_id("1111");
    let mark = fs::read(dir.mark()).expect("it is there");
    for length in 0..mark.len() {
        fs::write(dir.mark(), &mark[..length]).expect("it can be written");
        assert_eq!(shortfall(&dir), None, "cut to {length}");
        for bit in 0..8 {
            let mut flipped = mark.clone();
            flipped[length] ^= 1 << bit;
            fs::write(dir.mark(), flipped).expect("it can be written");
            assert_eq!(shortfall(&dir), None, "bit {bit} of byte {length}");
        }
    }
}

/// Disturbs the journal of a study that is being written. Returns the error, whether the journal
/// was rescued whole, and the number of trials in the rescued study.
fn disturb(disturbance: impl FnOnce(&StudyDir)) -> (String, bool, usize) {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::new(logs.path(), "digits");
    fs::create_dir(dir.root()).expect("it can be created");
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("a new journal");
    let mut study = Study::default();
    for event in events() {
        let entry = journal.append(event, Timestamp::from_micros(0));
        study
            .apply(&entry.expect("it can be appended"))
            .expect("it is allowed");
        journal.sync().expect("it can be written");
        journal.check().expect("nothing has happened");
    }
    disturbance(&dir);
    let error = journal.check().expect_err("it is noticed").to_string();
    let rescued = journal.rescue(&dir, &study).expect("it can be kept");
    let trials = if rescued.is_whole {
        read(&StudyDir::at(&rescued.folder)).expect("it is a study")
    } else {
        let text = fs::read(rescued.folder.join("study.json")).expect("it is there");
        serde_json::from_slice(&text).expect("it is a study")
    };
    (error, rescued.is_whole, trials.trials().len())
}

#[test]
fn a_journal_that_others_remove_replace_cut_or_extend_is_noticed_and_kept() {
    let removed = disturb(|dir| fs::remove_dir_all(dir.root()).expect("it can be removed"));
    assert!(removed.0.contains("was removed"), "{}", removed.0);
    let replaced = disturb(|dir| {
        fs::copy(dir.journal(), dir.torn()).expect("it can be copied");
        fs::rename(dir.torn(), dir.journal()).expect("it can be renamed");
    });
    assert!(replaced.0.contains("was replaced"), "{}", replaced.0);
    let extended = disturb(|dir| {
        let (_other, other, _) = written_with_id("2222");
        let lines = fs::read(other.journal()).expect("it can be read");
        let mut file = fs::File::options().append(true).open(dir.journal());
        let file = file.as_mut().expect("it can be opened");
        std::io::Write::write_all(file, &lines).expect("it can be written");
    });
    assert!(extended.0.contains("another process"), "{}", extended.0);
    let cut = disturb(|dir| fs::write(dir.journal(), "").expect("it can be written"));
    assert!(cut.0.contains("was cut"), "{}", cut.0);
    let kept = [removed, replaced, extended, cut].map(|(_, is_whole, trials)| (is_whole, trials));
    assert_eq!(kept, [(true, 2), (true, 2), (true, 2), (false, 2)]);
}

/// A medium with room for a given number of bytes. It writes a part of an append that does not
/// fit.
#[derive(Debug)]
struct SmallDisk {
    file: fs::File,
    room: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    /// Whether the next sync fails and loses the bytes that were not synced.
    fails_to_sync: bool,
}

impl Medium for SmallDisk {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let room = self.room.load(Relaxed);
        let fits = bytes.len().min(room);
        self.file.append(&bytes[..fits])?;
        self.room.store(room - fits, Relaxed);
        if fits < bytes.len() {
            Err(std::io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        let freed = self.file.metadata()?.len().saturating_sub(length);
        self.room.fetch_add(
            usize::try_from(freed).unwrap_or(0),
            std::sync::atomic::Ordering::Relaxed,
        );
        self.file.cut(length)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        if !std::mem::take(&mut self.fails_to_sync) {
            return Ok(());
        }
        // Loses the bytes that were appended and not synced.
        self.file.cut(0)?;
        Err(std::io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn entries_that_a_full_disk_refused_are_written_later_and_the_file_is_always_valid() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = StudyDir::at(folder.path());
    let room = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let room_of_disk = std::sync::Arc::clone(&room);
    let mut journal = Journal::open(&dir)
        .expect("it opens")
        .into_writer_on(
            |file| {
                Box::new(SmallDisk {
                    file,
                    room: room_of_disk,
                    fails_to_sync: true,
                })
            },
            |file| Box::new(file),
        )
        .expect("a new journal");
    let mut refused = 0;
    for event in events() {
        journal
            .append(event, Timestamp::from_micros(0))
            .expect("it can be appended");
        while let Err(error) = journal.sync() {
            assert!(error.is_full(), "{error}");
            refused += 1;
            assert!(
                Journal::open(&dir)
                    .expect("it opens")
                    .all(|entry| entry.is_ok())
            );
            assert_eq!(
                fs::metadata(dir.journal()).expect("it is there").len(),
                journal.offset()
            );
            room.fetch_add(61, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let read: Vec<Event> = Journal::open(&dir)
        .expect("it opens")
        .map(|entry| entry.expect("good").event)
        .collect();
    assert!(refused > 10, "{refused}");
    assert_eq!(read, events());
}

#[test]
fn a_snapshot_of_another_journal_is_not_used() {
    let (_folder, dir) = written();
    let study = read(&dir).expect("it can be read");
    let length = fs::metadata(dir.journal()).expect("it is there").len();
    snapshot::write(&dir, &Study::default(), length).expect("it can be written");
    assert_eq!(
        read(&dir).expect("it can be read"),
        Study::default(),
        "the snapshot must be what is read"
    );
    let mut text = Vec::new();
    for entry in Journal::open(&dir).expect("it opens") {
        let mut entry = entry.expect("good");
        if let Event::Closed { why } = &mut entry.event {
            *why = Closing::Exhausted;
        }
        line::write(&mut text, &entry, None).expect("it can be written as JSON");
    }
    fs::write(dir.journal(), text).expect("it can be written");
    let other = read(&dir).expect("it can be read");
    assert_eq!(
        (other.closed(), other.trials().len()),
        (Some(&Closing::Exhausted), study.trials().len())
    );
}

#[test]
fn a_snapshot_of_many_trials_is_read_unchanged_and_not_used_if_a_part_is_missing() {
    let (_folder, dir) = written();
    let mut journal = Journal::open(&dir)
        .and_then(Replay::into_writer)
        .expect("it becomes a writer");
    for id in 3..700 {
        let origin = Origin::Suggested("random".into());
        let event = Event::Created {
            trial: TrialId(id),
            params: swath_model::space::Params::default(),
            origin,
            seed: 1,
        };
        journal
            .append(event, Timestamp::from_micros(0))
            .expect("it can be appended");
    }
    journal.sync().expect("it can be written");
    let study = read(&dir).expect("it can be read");
    snapshot::write(&dir, &study, journal.offset()).expect("it can be written");
    let text = fs::read_to_string(dir.snapshot()).expect("it can be read");
    assert_eq!(text.lines().count(), 5);
    assert_eq!(read(&dir).expect("it can be read"), study);
    assert_eq!(snapshot::stored(&dir), Some(study.clone()));
    // A changed value, a missing line and a missing checksum each make it one that is ignored.
    let changed = text.replacen("\"seed\":1", "\"seed\":2", 1);
    let short = text.replacen(text.lines().nth(2).expect("it has four"), "", 1);
    let (without, _) = text.trim_end().rsplit_once('\n').expect("it has lines");
    for damaged in [&*changed, &*short, without] {
        fs::write(dir.snapshot(), damaged).expect("it can be written");
        assert_eq!(snapshot::stored(&dir), None);
        assert_eq!(read(&dir).expect("it can be read"), study);
    }
}

#[test]
fn the_error_of_a_second_writer_names_the_process_that_runs_the_study() {
    let (_folder, dir) = written();
    let holder = Holder {
        host: "here".into(),
        pid: 42,
        user: "me".into(),
        since: Timestamp::from_micros(0),
    };
    let lock = Lock::take(&dir, &holder).expect("it is free");
    let error = Lock::take(&dir, &holder)
        .expect_err("it is held")
        .to_string();
    assert!(
        error.ends_with("is being run by process 42 of me on here since 1970-01-01T00:00:00Z"),
        "{error}"
    );
    assert_eq!(lock::holder(&dir), Some(holder.clone()));
    drop(lock);
    assert_eq!(lock::holder(&dir), None);
    Lock::take(&dir, &holder).expect("it is free again");
}
