//! Reads the logs and the artifacts of a trial for the page, with limits on their size.

use crate::logger::regular;
use crate::source::secret::Secrets;
use serde::Serialize;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Maximum number of bytes of a log in one response (256 KiB).
const LOG_BYTES: u64 = 256 << 10;
/// Maximum number of bytes of an artifact that is text (256 KiB), and of another one (8 MiB).
const TEXT_BYTES: u64 = 256 << 10;
const IMAGE_BYTES: u64 = 8 << 20;
/// Maximum number of artifacts that are listed, and of folders that are searched for them.
const MOST_FILES: usize = 200;
const MOST_FOLDERS: usize = 200;

/// The endings of the names of images.
const IMAGES: [&str; 6] = ["png", "jpg", "jpeg", "gif", "webp", "svg"];
/// The endings of the names of texts.
const TEXTS: [&str; 9] = [
    "csv", "tsv", "json", "jsonl", "txt", "md", "log", "yaml", "toml",
];

/// A part of a log that consists of whole lines.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct LogPart {
    /// The lines, without the known secrets.
    text: String,
    /// The offset behind the part, from which the next one is read.
    end: u64,
    /// Whether lines before the part were left out.
    is_cut: bool,
}

/// An artifact of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Artifact {
    /// The path in the folder of the trial.
    path: String,
    bytes: u64,
    /// `image`, `text`, or `other` for a file that the page does not show.
    kind: &'static str,
}

/// Reads the lines of a log behind the offset `from`, or its last lines without one. The last line
/// is left to the next call while it has no end, unless the trial `is_over`: a secret is recognised
/// only as a whole.
///
/// # Errors
/// If the log cannot be read.
pub(in crate::cli) fn log(
    path: &Path,
    from: Option<u64>,
    is_over: bool,
    secrets: &Secrets,
) -> io::Result<LogPart> {
    let mut file = regular::open(path)?;
    let length = file.metadata()?.len();
    let earliest = length.saturating_sub(LOG_BYTES);
    // A log that became shorter was written anew.
    let from = from.filter(|from| *from <= length);
    let start = from.unwrap_or(0).max(earliest);
    let is_cut = start > from.unwrap_or(0);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let first = match is_cut {
        true => bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |at| at + 1),
        false => 0,
    };
    let last = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let last = if is_over {
        bytes.len()
    } else {
        last.max(first)
    };
    let text = String::from_utf8_lossy(&bytes[first..last]);
    Ok(LogPart {
        text: secrets.redact(&text).into_owned(),
        end: start + last as u64,
        is_cut,
    })
}

/// Lists the artifacts in the folder of a trial, by path.
pub(in crate::cli) fn artifacts(folder: &Path) -> Vec<Artifact> {
    let mut listed = Vec::new();
    let mut folders = vec![PathBuf::from("artifacts")];
    let mut searched = 0;
    while let Some(relative) = folders.pop() {
        searched += 1;
        if searched > MOST_FOLDERS || listed.len() >= MOST_FILES {
            break;
        }
        let entries = std::fs::read_dir(folder.join(&relative))
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(text) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let path = relative.join(text);
            // A link to a folder is not followed: it could lead anywhere, also back.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                folders.push(path);
            } else if let Ok(metadata) = std::fs::metadata(entry.path())
                && metadata.is_file()
            {
                listed.push(Artifact {
                    bytes: metadata.len(),
                    kind: kind_of(&path),
                    path: path.to_string_lossy().into_owned(),
                });
            }
        }
    }
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    listed.truncate(MOST_FILES);
    listed
}

/// Reads an artifact, or the beginning of a long text. `None` if there is no such artifact, or the
/// page shows none of this kind or size.
pub(in crate::cli) fn artifact(folder: &Path, path: &str, secrets: &Secrets) -> Option<Vec<u8>> {
    let relative = Path::new(path);
    let mut parts = relative.components();
    if !parts.all(|part| matches!(part, Component::Normal(_))) || !relative.starts_with("artifacts")
    {
        return None;
    }
    // A link out of the folder leads to a file that the trial has not stored.
    let real = folder.join(relative).canonicalize().ok()?;
    let kind = kind_of(relative);
    if !real.starts_with(folder.canonicalize().ok()?) || kind == "other" {
        return None;
    }
    let file = regular::open(&real).ok()?;
    let limit = if kind == "image" {
        IMAGE_BYTES
    } else {
        TEXT_BYTES
    };
    if kind == "image" && file.metadata().ok()?.len() > limit {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(match kind {
        "image" => bytes,
        _ => secrets.redact_bytes(&bytes).into_owned(),
    })
}

fn kind_of(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    match &*ending {
        ending if IMAGES.contains(&ending) => "image",
        ending if TEXTS.contains(&ending) => "text",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::{LOG_BYTES, artifact, artifacts, log};
    use crate::source::secret::Secrets;

    fn secrets() -> Secrets {
        let variables = [("MINE".to_owned(), "open sesame".to_owned())];
        Secrets::of_variables(variables, &["MINE".to_owned()])
    }

    #[test]
    fn a_log_is_read_by_whole_lines_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stderr.log");
        std::fs::write(&path, "one\nsay open ses").unwrap();
        let part = log(&path, None, false, &secrets()).unwrap();
        assert_eq!((&*part.text, part.end, part.is_cut), ("one\n", 4, false));
        std::fs::write(&path, "one\nsay open sesame\nrest").unwrap();
        let part = log(&path, Some(4), false, &secrets()).unwrap();
        assert_eq!((&*part.text, part.end), ("say {env:MINE}\n", 20));
        let part = log(&path, Some(20), true, &secrets()).unwrap();
        assert_eq!((&*part.text, part.end), ("rest", 24));
        // The log was written anew.
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(
            log(&path, Some(20), false, &secrets()).unwrap().text,
            "new\n"
        );
    }

    #[test]
    fn a_long_log_is_shown_from_a_whole_line_near_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.log");
        std::fs::write(&path, "0123456789abcde\n".repeat(40_000)).unwrap();
        let part = log(&path, None, false, &secrets()).unwrap();
        assert!(part.is_cut && part.text.len() as u64 <= LOG_BYTES);
        assert!(part.text.starts_with("0123") && part.end == 640_000);
    }

    #[test]
    fn artifacts_are_listed_and_nothing_outside_their_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let trial = folder.path().join("1");
        std::fs::create_dir_all(trial.join("artifacts/images/.keys")).unwrap();
        std::fs::write(trial.join("artifacts/images/a.PNG"), "png").unwrap();
        std::fs::write(trial.join("artifacts/scores.csv"), "a,b\nopen sesame,2\n").unwrap();
        std::fs::write(trial.join("artifacts/model.bin"), "0").unwrap();
        std::fs::write(folder.path().join("secret.txt"), "no").unwrap();
        std::os::unix::fs::symlink("../../secret.txt", trial.join("artifacts/link.txt")).unwrap();
        let listed = artifacts(&trial);
        let listed: Vec<_> = listed.iter().map(|file| (&*file.path, file.kind)).collect();
        assert_eq!(
            listed,
            [
                ("artifacts/images/a.PNG", "image"),
                ("artifacts/link.txt", "text"),
                ("artifacts/model.bin", "other"),
                ("artifacts/scores.csv", "text"),
            ]
        );
        let read = |path: &str| artifact(&trial, path, &secrets());
        assert_eq!(read("artifacts/images/a.PNG").unwrap(), b"png");
        assert_eq!(
            read("artifacts/scores.csv").unwrap(),
            b"a,b\n{env:MINE},2\n"
        );
        for path in [
            "artifacts/link.txt",
            "artifacts/../../secret.txt",
            "/etc/passwd",
            "artifacts/model.bin",
            "stderr.log",
            "artifacts/absent.txt",
            "artifacts",
            "",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
