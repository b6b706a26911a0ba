//! Readers and the salvage of a study that has been through all these faults.

use super::{Shared, SharedLedger, World, check_lines, entries};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use swath::driver::Driver;
use swath::journal::{self, StudyDir, snapshot};
use swath::study::{Entry, Study, Timestamp};

/// Returns the study that results from folding `entries`.
pub(crate) fn fold(entries: &[Entry]) -> Study {
    let mut study = Study::default();
    entries.iter().for_each(|entry| study.apply(entry).unwrap());
    study
}

/// Checks that a reader gets the same study from the snapshot as from the whole journal, and leaves
/// a snapshot of some earlier moment behind.
pub(crate) fn compare_with_snapshot(dir: &StudyDir, fate: &Shared) {
    let now = entries(dir);
    if now.is_empty() {
        return;
    }
    let (read, folded) = (journal::read(dir).unwrap(), fold(&now));
    assert_eq!(
        format!("{read:?}"),
        format!("{folded:?}"),
        "the snapshot leads elsewhere"
    );
    // A snapshot is written of what was synced.
    let synced = super::lines_within(dir, fate.lock().unwrap().synced);
    let kept = fate.lock().unwrap().aside.random_range(1..=now.len());
    let kept = kept.min(synced.max(1));
    let bytes = fs::read(dir.journal()).unwrap();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(kept);
    let offset: usize = lines.map(<[u8]>::len).sum();
    snapshot::write(dir, &fold(&now[..kept]), offset as u64).unwrap();
    let mut fate = fate.lock().unwrap();
    if fate.often > 0 && change_a_digit(dir, &mut fate.aside) {
        fate.count("a changed digit of the snapshot");
        let read = journal::read(dir).unwrap();
        if format!("{read:?}") != format!("{folded:?}") {
            fate.break_invariant("a changed digit of the snapshot is shown");
            // Later readings would only find the same again.
            fs::remove_file(dir.snapshot()).unwrap();
        }
    }
}

/// Changes a digit of the snapshot. Returns false if the byte that was drawn is no digit. The
/// snapshot has the study's id, which is random: the number of draws must not depend on it.
fn change_a_digit(dir: &StudyDir, rng: &mut ChaCha8Rng) -> bool {
    let mut bytes = fs::read(dir.snapshot()).unwrap();
    let (at, added) = (rng.random_range(0..bytes.len()), rng.random_range(1..10));
    if !bytes[at].is_ascii_digit() {
        return false;
    }
    bytes[at] = b'0' + (bytes[at] - b'0' + added) % 10;
    fs::write(dir.snapshot(), bytes).unwrap();
    true
}

/// Copies the study's own files, without the folders of its trials.
fn copy_files(dir: &StudyDir, copy: &StudyDir) {
    for (path, bytes) in super::disk::files(dir) {
        fs::write(copy.root().join(path.file_name().unwrap()), bytes).unwrap();
    }
    fs::copy(dir.journal(), copy.journal()).unwrap();
}

/// Takes whole lines off the end of a copy of the journal. They were synced, so the copy must be
/// refused.
pub(crate) fn shorten(world: &World, dir: &StudyDir, fate: &Shared) {
    let folder = tempfile::tempdir().unwrap();
    let copy = StudyDir::at(folder.path().join("study"));
    fs::create_dir(copy.root()).unwrap();
    copy_files(dir, &copy);
    let bytes = fs::read(copy.journal()).unwrap();
    let count = entries(dir).len();
    let kept = {
        let mut fate = fate.lock().unwrap();
        (fate.often, fate.full, fate.dead) = (0, 0, false);
        fate.count("a shortened journal");
        fate.aside.random_range(1..count)
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(kept);
    let length: usize = lines.map(<[u8]>::len).sum();
    fs::write(copy.journal(), &bytes[..length]).unwrap();
    let opened = Driver::open(
        copy.clone(),
        world.parts(&copy),
        &crate::virtual_study::holder(),
        Box::new(Timestamp::now),
    );
    if opened.is_ok() {
        let mut fate = fate.lock().unwrap();
        fate.break_invariant("a journal that became shorter was not noticed");
    }
}

/// Deletes the journal and what was made of it, and runs the study anew beside the folders of the
/// old trials. None of their lines may count.
pub(crate) fn begin_anew(world: &World, dir: &StudyDir, fate: &Shared, ledger: &SharedLedger) {
    {
        let mut fate = fate.lock().unwrap();
        (fate.often, fate.full, fate.dead) = (0, 0, false);
        fate.count("a deleted journal");
    }
    for path in super::disk::files(dir).keys() {
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(dir.journal()).unwrap();
    let now = Arc::new(AtomicI64::new(0));
    assert!(
        world.life(dir, fate, &now, ledger).is_some(),
        "a study cannot begin beside old folders"
    );
    check_lines(dir, fate, ledger, true);
}

/// Runs a study without faults whose journal another process changes meanwhile. The run must notice,
/// and keep what it knew.
pub(crate) fn disturb(world: &World, fate: &Shared) {
    let folder = tempfile::tempdir().unwrap();
    let dir = StudyDir::at(folder.path().join("study"));
    fs::create_dir(dir.root()).unwrap();
    {
        let mut fate = fate.lock().unwrap();
        (fate.often, fate.full, fate.dead) = (0, 0, false);
        fate.disturbed_at = Some(fate.aside.random_range(1..20));
        fate.count("a journal that others changed");
    }
    world.life(&dir, fate, &Arc::default(), &SharedLedger::default());
    fate.lock().unwrap().disturbed_at = None;
}

/// Flips a bit in a copy of the journal. The copy must be refused, the salvage must keep all other
/// entries, and the study must continue from there.
pub(crate) fn damage_and_salvage(world: &World, dir: &StudyDir, fate: &Shared) {
    let folder = tempfile::tempdir().unwrap();
    let copy = StudyDir::at(folder.path().join("study"));
    fs::create_dir(copy.root()).unwrap();
    let mut bytes = fs::read(dir.journal()).unwrap();
    let count = entries(dir).len() as u64;
    {
        let mut fate = fate.lock().unwrap();
        let at = fate.aside.random_range(0..bytes.len());
        bytes[at] ^= 1 << fate.aside.random_range(0..8);
        fate.count("a flipped bit");
        (fate.often, fate.full, fate.dead) = (0, 0, false);
    }
    fs::File::create(copy.journal())
        .unwrap()
        .write_all(&bytes)
        .unwrap();
    assert!(
        journal::read(&copy).is_err(),
        "a flipped bit was not noticed"
    );
    let salvaged = journal::salvage(&copy, world.parts(&copy).header).unwrap();
    assert!(
        salvaged.kept + 2 >= count && salvaged.backup.is_some(),
        "{salvaged:?} of {count}"
    );
    let now = Arc::new(AtomicI64::new(0));
    assert!(
        world
            .life(&copy, fate, &now, &SharedLedger::default())
            .is_some(),
        "a salvaged study does not go on"
    );
}
