//! Reads the end of a file without reading the rest.

use super::exit::Failure;
use super::output::Output;
use crate::report::text::{elide, log_line, plain};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The number of log lines shown beside the summary of a failed trial.
pub(super) const LAST_WORDS: usize = 12;

/// The number of bytes read from the end of a log to find its last lines (16 KiB).
const LOOK: u64 = 16 * 1024;

/// Returns the last `count` non-empty lines of `stderr.log` in the trial's folder, or of
/// `stdout.log` if there are none, together with the path of that log. The lines are safe to print
/// on a terminal.
pub(super) fn last_words(folder: &Path, count: usize) -> (PathBuf, Vec<String>) {
    let of = |name: &str| {
        let path = folder.join(name);
        let lines = last_lines(&path, count).unwrap_or_default();
        (path, lines)
    };
    let (path, lines) = of("stderr.log");
    if lines.is_empty() {
        of("stdout.log")
    } else {
        (path, lines)
    }
}

/// Prints the last log lines of a failed trial under a heading. Prints nothing if both logs are
/// empty.
pub(super) fn show_last_words(
    out: &mut Output,
    folder: &Path,
    count: usize,
) -> Result<(), Failure> {
    let (log, lines) = last_words(folder, count);
    if lines.is_empty() {
        return Ok(());
    }
    let heading = plain(&format!("the end of {}", log.display())).into_owned();
    writeln!(out.stdout, "\n{}", out.paint.bold(&heading))?;
    for line in lines {
        let line = elide(&line, out.width.unwrap_or(usize::MAX).saturating_sub(2));
        writeln!(out.stdout, "  {line}")?;
    }
    Ok(())
}

/// Returns the last `count` non-empty lines within the last 16 KiB of a file, safe to print on a
/// terminal.
pub(super) fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOOK)))?;
    let mut bytes = Vec::new();
    file.take(LOOK).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .map(log_line)
        .filter(|line| !line.trim().is_empty())
        .collect();
    Ok(lines[lines.len().saturating_sub(count)..].to_vec())
}

/// Returns the byte offset at which the last `count` lines of a file begin; 0 if the file has fewer
/// lines, its length if `count` is 0.
pub(super) fn offset_of_last(file: &mut File, count: usize) -> io::Result<u64> {
    let mut at = file.metadata()?.len();
    let mut left = count;
    let mut chunk = vec![0; 64 * 1024];
    let mut first = true;
    while at > 0 && left > 0 {
        let size = chunk.len().min(usize::try_from(at).unwrap_or(usize::MAX));
        at -= size as u64;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut chunk[..size])?;
        for back in (0..size).rev() {
            // A newline at the very end closes the last line and does not begin another one.
            let ends_file = std::mem::take(&mut first);
            if chunk[back] != b'\n' || ends_file {
                continue;
            }
            left -= 1;
            if left == 0 {
                return Ok(at + back as u64 + 1);
            }
        }
    }
    Ok(if count == 0 {
        file.metadata()?.len()
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use super::{last_words, offset_of_last};
    use std::fs::File;

    #[test]
    fn the_last_words_are_those_on_standard_error_or_else_on_standard_output() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stdout.log"), "a\nb\n\n").unwrap();
        std::fs::write(folder.path().join("stderr.log"), "").unwrap();
        assert_eq!(
            last_words(folder.path(), 1),
            (folder.path().join("stdout.log"), vec!["b".to_owned()])
        );
        std::fs::write(
            folder.path().join("stderr.log"),
            b"\xff\x1b[1mno\x1b[0m\n".repeat(9000),
        )
        .unwrap();
        assert_eq!(last_words(folder.path(), 2).1, ["\u{fffd}no", "\u{fffd}no"]);
    }

    #[test]
    fn the_last_lines_begin_where_they_begin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let offset = |text: &str, count| {
            std::fs::write(&path, text).unwrap();
            offset_of_last(&mut File::open(&path).unwrap(), count).unwrap()
        };
        assert_eq!(offset("a\nb\nc\n", 1), 4);
        assert_eq!(offset("a\nb\nc", 1), 4);
        assert_eq!(offset("a\nb\nc", 2), 2);
        assert_eq!(offset("a\nb\nc\n", 9), 0);
        assert_eq!(offset("a\nb\n", 0), 4);
        assert_eq!(offset("", 1), 0);
    }
}
