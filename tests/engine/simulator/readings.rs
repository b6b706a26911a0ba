//! Readers and the salvage of a study that has been through all these faults.

use super::{Shared, World, entries};
use rand::RngExt;
use std::fs;
use std::io::Write as _;
use swath::journal::{self, StudyDir, snapshot};
use swath::study::{Entry, Study};

/// Returns the study that results from folding `entries`.
fn fold(entries: &[Entry]) -> Study {
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
    let kept = fate.lock().unwrap().aside.random_range(1..=now.len());
    let bytes = fs::read(dir.journal()).unwrap();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(kept);
    let offset: usize = lines.map(<[u8]>::len).sum();
    snapshot::write(dir, &fold(&now[..kept]), offset as u64).unwrap();
}

/// Flips a bit in a copy of the journal. The copy must be refused, the salvage must keep all other
/// entries, and the study must continue from there.
pub(crate) fn damage_and_salvage(world: &World, dir: &StudyDir, fate: &Shared) {
    let folder = tempfile::tempdir().unwrap();
    let copy = StudyDir::at(folder.path());
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
    let salvaged = journal::salvage(&copy, world.parts().header).unwrap();
    assert!(
        salvaged.kept + 2 >= count && salvaged.backup.is_some(),
        "{salvaged:?} of {count}"
    );
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    assert!(
        world.life(&copy, fate, &now).is_some(),
        "a salvaged study does not go on"
    );
}
