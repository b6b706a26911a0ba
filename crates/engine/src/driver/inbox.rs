//! Configurations sent to the run of a study: one file each in the folder `inbox`, processed in the
//! order of sending.

use crate::journal::StudyDir;
use crate::space::Params;
use crate::study::Timestamp;
use std::io::Write;
use std::path::PathBuf;

/// Returns the path of the inbox.
fn folder(dir: &StudyDir) -> PathBuf {
    dir.root().join("inbox")
}

/// Sends a configuration, possibly partial, to the run of the study: the current one or the next
/// one.
///
/// # Errors
/// If the folder cannot be written.
pub fn send(dir: &StudyDir, given: &Params, now: Timestamp) -> std::io::Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder)?;
    // The prefix and the missing extension hide the file from the reader until it is complete.
    let mut file = tempfile::Builder::new()
        .prefix(".new")
        .tempfile_in(&folder)?;
    file.write_all(&serde_json::to_vec(given)?)?;
    // Another process may send at the same microsecond: count up until the name is free.
    let unique = (0..).map(|at| folder.join(format!("{:020}.{at:03}.json", now.as_micros())));
    for path in unique.take(1000) {
        match file.persist_noclobber(path) {
            Ok(_) => return Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                file = error.file;
            }
            Err(error) => return Err(error.error),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// Reads and removes all files of the inbox. A file that cannot be parsed is removed too. A file
/// that cannot be removed is not used, because it would be read again.
pub(super) fn receive(dir: &StudyDir) -> Vec<Params> {
    let Ok(entries) = std::fs::read_dir(folder(dir)) else {
        return Vec::new();
    };
    let complete = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(complete)
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).ok()?;
        // Removed before it is used: a file that stayed would create a trial again and again.
        std::fs::remove_file(&path).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let found = paths.into_iter().filter_map(read).collect();
    // Removing the folder fails if a file arrived meanwhile; the next call reads it.
    let _ = std::fs::remove_dir(folder(dir));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Value;

    #[test]
    fn what_is_left_is_taken_once_and_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let given = |x: i64| Params::from_iter([("x".into(), Value::Int(x))]);
        for x in 0..5 {
            send(&dir, &given(x), Timestamp::from_micros(7)).expect("it can be left");
        }
        std::fs::write(super::folder(&dir).join("9.json"), "{").expect("it can be written");
        assert_eq!(receive(&dir), (0..5).map(given).collect::<Vec<_>>());
        assert!(receive(&dir).is_empty() && !super::folder(&dir).exists());
    }
}
