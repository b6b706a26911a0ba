//! Keeping what a run knows when its journal was removed, replaced, cut or written to by another.

use super::{Journal, StudyDir, line};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use swath_model::study::Study;

/// The place of the data of a run whose journal was disturbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The folder, beside that of the study or in the folder for temporary files.
    pub folder: PathBuf,
    /// Whether the folder holds the whole journal, so that it is a study like any other.
    pub is_whole: bool,
}

impl Journal {
    /// Writes everything that is known to a new folder: the journal, if all of its lines can still
    /// be read, else the state of all trials and the lines in memory. Returns `None` if nothing
    /// could be written.
    #[must_use]
    pub fn rescue(&self, dir: &StudyDir, study: &Study) -> Option<Rescued> {
        let beside = dir.root().parent().unwrap_or(Path::new("."));
        let temporary = std::env::temp_dir();
        [beside, temporary.as_path()]
            .into_iter()
            .find_map(|parent| self.rescue_to(&new_folder(parent, dir)?, study).ok())
    }

    fn rescue_to(&self, folder: &Path, study: &Study) -> io::Result<Rescued> {
        let (lines, entries) = self.own_lines();
        let is_whole = entries == self.next_seq;
        if is_whole {
            write(&folder.join("journal.jsonl"), &lines)?;
        } else {
            write(&folder.join("study.json"), &serde_json::to_vec(study)?)?;
            let in_memory = [&*self.unsynced, &*self.buffer].concat();
            write(&folder.join("journal.rest.jsonl"), &in_memory)?;
        }
        Ok(Rescued {
            folder: folder.to_owned(),
            is_whole,
        })
    }

    /// Returns the lines of this journal from the first on, as far as they continue each other, and
    /// their number. The file stays readable after it was removed; lines of other writers do not
    /// continue the chain.
    fn own_lines(&self) -> (Vec<u8>, u64) {
        let mut bytes = self.medium.contents().unwrap_or_default();
        bytes.extend_from_slice(&self.unsynced);
        bytes.extend_from_slice(&self.buffer);
        let (mut lines, mut entries, mut last) = (Vec::new(), 0, None);
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(Ok(line)) = text.strip_suffix(b"\n").map(line::read) else {
                continue;
            };
            if line.entry.seq == entries && (line.previous.is_none() || line.previous == last) {
                lines.extend_from_slice(text);
                entries += 1;
                last = Some(line.link);
            }
        }
        (lines, entries)
    }
}

/// Creates the first folder of the name `STUDY.rescued-N` in `parent` that does not exist yet.
fn new_folder(parent: &Path, dir: &StudyDir) -> Option<PathBuf> {
    let study = dir.root().file_name()?.to_string_lossy();
    for number in 1..1000 {
        let folder = parent.join(format!("{study}.rescued-{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Some(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
    }
    None
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
