//! Configurations that are left for the run of a study: a file each in its folder, taken in the
//! order they came.

use crate::journal::StudyDir;
use crate::space::Params;
use crate::study::Timestamp;
use std::io::Write;
use std::path::PathBuf;

fn folder(dir: &StudyDir) -> PathBuf {
    dir.root().join("inbox")
}

/// Leaves a configuration, possibly partial, for whoever runs the study or will run it next.
///
/// # Errors
/// If the folder cannot be written.
pub fn send(dir: &StudyDir, given: &Params, now: Timestamp) -> std::io::Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".new")
        .tempfile_in(&folder)?;
    file.write_all(&serde_json::to_vec(given)?)?;
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

/// Takes what was left. A file that cannot be understood is taken away too.
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
        std::fs::remove_file(&path).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let found = paths.into_iter().filter_map(read).collect();
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
