//! Reads the end of a file without reading the rest.

use super::exit::Failure;
use super::output::Output;
use crate::logger::regular;
use crate::report::text::{elide, log_line, plain};
use crate::source::secret::Secrets;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The number of log lines shown beside the summary of a failed trial.
pub(super) const LOG_LINES: usize = 12;

/// The number of bytes read from the end of a log to find its last lines (16 KiB).
const TAIL_BYTES: u64 = 16 * 1024;

/// Returns the last `count` non-empty lines of `stderr.log` in the trial's folder, or of
/// `stdout.log` if there are none, together with the path of that log. The lines are safe to print
/// on a terminal and show no secrets.
pub(super) fn log_tail(folder: &Path, count: usize, secrets: &Secrets) -> (PathBuf, Vec<String>) {
    let stderr = folder.join("stderr.log");
    let lines = last_lines(&stderr, count, secrets).unwrap_or_default();
    if !lines.is_empty() {
        return (stderr, lines);
    }
    let stdout = folder.join("stdout.log");
    let lines = last_lines(&stdout, count, secrets).unwrap_or_default();
    (stdout, lines)
}

/// Prints the last log lines of a failed trial under a heading. Prints nothing if both logs are
/// empty.
pub(super) fn show_log_tail(
    out: &mut Output,
    folder: &Path,
    count: usize,
    secrets: &Secrets,
) -> Result<(), Failure> {
    let (log, lines) = log_tail(folder, count, secrets);
    if lines.is_empty() {
        return Ok(());
    }
    let heading = plain(&format!("last lines of {}", log.display())).into_owned();
    writeln!(out.stdout, "\n{}", out.paint.bold(&heading))?;
    for line in lines {
        let line = elide(&line, out.width.unwrap_or(usize::MAX).saturating_sub(2));
        writeln!(out.stdout, "  {line}")?;
    }
    Ok(())
}

/// Returns the last `count` non-empty lines within the last 16 KiB of a file, safe to print on a
/// terminal and without secrets.
pub(super) fn last_lines(path: &Path, count: usize, secrets: &Secrets) -> io::Result<Vec<String>> {
    let mut file = regular::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = secrets.redact(&text);
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
    let mut offset = file.metadata()?.len();
    let mut missing = count;
    let mut chunk = vec![0; 64 * 1024];
    let mut is_last_byte = true;
    while offset > 0 && missing > 0 {
        let size = chunk
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        offset -= size as u64;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut chunk[..size])?;
        for index in (0..size).rev() {
            // A newline at the very end closes the last line and does not begin another one.
            let ends_file = std::mem::take(&mut is_last_byte);
            if chunk[index] != b'\n' || ends_file {
                continue;
            }
            missing -= 1;
            if missing == 0 {
                return Ok(offset + index as u64 + 1);
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
    use super::{Secrets, log_tail, offset_of_last};
    use std::fs::File;

    #[test]
    fn the_log_tail_is_that_of_standard_error_or_else_of_standard_output() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stdout.log"), "a\nb\n\n").unwrap();
        std::fs::write(folder.path().join("stderr.log"), "").unwrap();
        assert_eq!(
            log_tail(folder.path(), 1, &Secrets::default()),
            (folder.path().join("stdout.log"), vec!["b".to_owned()])
        );
        std::fs::write(
            folder.path().join("stderr.log"),
            b"\xff\x1b[1mno\x1b[0m\n".repeat(9000),
        )
        .unwrap();
        let (_, lines) = log_tail(folder.path(), 2, &Secrets::default());
        assert_eq!(lines, ["\u{fffd}no", "\u{fffd}no"]);
        let variables = [("MINE".to_owned(), "open sesame".to_owned())];
        let secrets = Secrets::of_variables(variables, &["MINE".to_owned()]);
        std::fs::write(folder.path().join("stderr.log"), "no open sesame\n").unwrap();
        assert_eq!(log_tail(folder.path(), 1, &secrets).1, ["no {env:MINE}"]);
    }

    #[test]
    fn the_offset_of_the_last_lines_is_found_with_and_without_a_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (text, count, offset) in [
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc", 1, 4),
            ("a\nb\nc", 2, 2),
            ("a\nb\nc\n", 9, 0),
            ("a\nb\n", 0, 4),
            ("", 1, 0),
        ] {
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            assert_eq!(
                offset_of_last(&mut file, count).unwrap(),
                offset,
                "{text:?}"
            );
        }
    }
}
