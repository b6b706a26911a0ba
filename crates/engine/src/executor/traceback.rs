//! The error message that a program wrote before it failed: the last line of its traceback, or a
//! message of another known form.
//!
//! Only forms that interpreters, compilers and argument parsers use for errors are recognised. A
//! progress bar or a logged number therefore never becomes the reason of a failure.

use regex::Regex;
use std::sync::LazyLock;
use swath_log::scrape::without_colours;

/// Number of last lines that are searched for an error message; stack frames and advice may follow
/// it.
const LAST_LINES: usize = 40;

/// Most characters of an error message that are kept.
const LONGEST_MESSAGE: usize = 200;

/// First line of a Python traceback, also of an exception group.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Errors of launchers, which only say that a process they started has failed.
const LAUNCHERS: [&str; 2] = [
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError",
    "subprocess.CalledProcessError",
];

/// A line with the form of an error message: `ValueError: …`, `error: …`, `train.py: error: …`.
static MESSAGE: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)(?::.*)?",
        r"(?:error|Error|ERROR|fatal|panic|FATAL)(?:\[\w+\])?: .+",
        r"\S+: error: .+",
        r"Error in .+",
        r"Exception in thread .+",
        r"thread '.*panicked at .+",
        r"terminate called .+",
        r"\s*what\(\): .+",
    ];
    Regex::new(&format!("^(?:{})$", forms.join("|"))).expect("the forms are regular expressions")
});

/// Prefix `[rankN]:` that launchers of several processes put before each line.
static RANK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\[rank\d+\]: ?").expect("this is a regular expression"));

/// Returns the error message at the end of a program's standard error.
pub(super) fn error(text: &str) -> Option<String> {
    let lines = lines(text);
    traceback_error(&lines)
        .or_else(|| message(&lines))
        .map(shortened)
}

/// Returns the error of the last traceback on a program's standard output, where other text may
/// only look like an error.
pub(super) fn error_of_traceback(text: &str) -> Option<String> {
    traceback_error(&lines(text)).map(shortened)
}

/// Returns the last line that is not blank.
pub(super) fn last_line(text: &str) -> Option<String> {
    lines(text).pop().map(|line| shortened(line.trim()))
}

/// Returns the lines as a terminal shows them, without rank prefixes.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(visible)
        .filter(|line| !line.is_empty())
        .collect()
}

fn visible(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    // A carriage return lets the terminal overwrite the line, as progress bars do.
    let line = without_colours(line.rsplit('\r').next().unwrap_or(line)).into_owned();
    RANK.replace(&line, "").trim_end().to_owned()
}

/// Returns the error of the last traceback that is not just a launcher's.
fn traceback_error(lines: &[String]) -> Option<&str> {
    let mut launcher = None;
    for index in (0..lines.len())
        .rev()
        .filter(|index| lines[*index].ends_with(TRACEBACK))
    {
        let indent = indentation(&lines[index]);
        let frames = &lines[index + 1..];
        let Some(error) = frames.iter().find(|line| indentation(line) <= indent) else {
            continue;
        };
        let error = error.trim_start_matches([' ', '|', '+']);
        if !LAUNCHERS.iter().any(|launcher| error.starts_with(launcher)) {
            return Some(error);
        }
        launcher.get_or_insert(error);
    }
    launcher
}

/// Returns the length of a line's indentation; in an exception group it includes bars.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '|', '+', '\t']).len()
}

/// Returns the last error message among the last lines.
fn message(lines: &[String]) -> Option<&str> {
    let index = (0..lines.len())
        .rev()
        .take(LAST_LINES)
        .find(|index| MESSAGE.is_match(&lines[*index]))?;
    let line = lines[index].trim();
    // Rust prints the message of a panic on the next line.
    if line.starts_with("thread '") && line.ends_with(':') {
        return lines.get(index + 1).map(|line| line.trim()).or(Some(line));
    }
    Some(line.strip_prefix("what():").map_or(line, str::trim_start))
}

fn shortened(error: &str) -> String {
    match error.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_traceback_is_the_error() {
        let chained = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n\
                       KeyError: 'lr'\n\nDuring handling of the above exception, another exception \
                       occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3\n    \
                       f()\n    ~^^\nRuntimeError: Error(s) in loading:\n\tsize mismatch\n";
        assert_eq!(
            error(chained).unwrap(),
            "RuntimeError: Error(s) in loading:"
        );
        let ranked = "[rank1]: Traceback (most recent call last):\n[rank1]:   File \"t.py\", line 9\n\
                      [rank1]: Diverged: loss is nan\nTraceback (most recent call last):\n  File \
                      \"/bin/torchrun\"\n\
                      torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n====\n";
        assert_eq!(error(ranked).unwrap(), "Diverged: loss is nan");
        let group = "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\"\n  \
                     | ExceptionGroup: two (2 sub-exceptions)\n  +-+----- 1 -----\n";
        assert_eq!(
            error(group).unwrap(),
            "ExceptionGroup: two (2 sub-exceptions)"
        );
        assert_eq!(error_of_traceback(ranked).unwrap(), "Diverged: loss is nan");
    }

    #[test]
    fn a_message_is_an_error_by_its_form_alone() {
        for (text, expected) in [
            (
                "usage: t.py [-h]\nt.py: error: unrecognized arguments: --lr",
                Some("t.py: error: unrecognized arguments: --lr"),
            ),
            ("\x1b[31mValueError: bad\x1b[0m\n", Some("ValueError: bad")),
            (
                "  File \"t.py\", line 1\n    def(\n       ^\nSyntaxError: invalid syntax\n",
                Some("SyntaxError: invalid syntax"),
            ),
            (
                "thread 'main' panicked at src/main.rs:2:5:\nno data\nnote: run with …\n",
                Some("no data"),
            ),
            (
                "Error: no data\n    at main (t.js:1:7)\n\nNode.js v18.0\n",
                Some("Error: no data"),
            ),
            (
                "terminate called after throwing an instance of 'E'\n  what():  no data\n",
                Some("no data"),
            ),
            ("epoch 3 val_error: 0.3\n", None),
            ("mean squared error: 0.2\n 50%|##\r100%|####\n", None),
            ("not enough luck\n", None),
        ] {
            assert_eq!(error(text).as_deref(), expected, "{text}");
        }
        assert_eq!(error_of_traceback("ERROR: logged and handled\n"), None);
        assert_eq!(
            error(&format!("ValueError: {}", "é".repeat(500)))
                .unwrap()
                .chars()
                .count(),
            201
        );
    }
}
