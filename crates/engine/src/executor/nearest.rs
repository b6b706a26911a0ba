//! Search for the line of the output that probably contains a metric, and for a pattern that reads
//! it.

use regex::Regex;
use std::sync::LazyLock;
use swath_log::scrape::{first_value, without_colours};
use swath_model::study::absence::shortened;
use swath_model::study::{Datum, Metric};

/// A number, also with sign, fraction and exponent.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?";
    Regex::new(number).expect("this is a regular expression")
});

/// Minimum length of an abbreviation: `acc` for `accuracy`.
const ABBREVIATION: usize = 3;

/// A line with words of a metric's name before a number.
struct Near {
    line: String,
    /// Number of the name's words before the number, and whether one is directly before it.
    score: (usize, bool),
    /// Text from the first word of the name to the separator before the number.
    label: String,
    separator: String,
    number: f64,
}

/// The lines that probably contain a metric, and an entry of `[capture]` that reads it from the
/// best one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clue {
    pub(super) lines: String,
    pub(super) expression: Option<String>,
}

/// Finds the lines of the output with words of `metric` before a number; `None` if there is no such
/// line.
pub(super) fn clue(metric: &str, outputs: &[(&str, String)]) -> Option<Clue> {
    let words = words(metric);
    let near: Vec<(&&str, Near)> = outputs
        .iter()
        .filter_map(|(stream, text)| Some((stream, nearest(&words, text)?)))
        .collect();
    // Of equal lines take that of the first stream, which usually has the results.
    let (_, best) = near.iter().rev().max_by_key(|(_, near)| near.score)?;
    let lines: Vec<String> = near
        .iter()
        .map(|(stream, near)| format!("{stream} has `{}`", shortened(&near.line)))
        .collect();
    let entry = best
        .expression()
        .map(|expression| format!("{} = '{expression}'", key(metric)));
    Some(Clue {
        lines: lines.join(", "),
        expression: entry,
    })
}

/// Returns the words of a name or a label in lower case; `val_loss` has two.
fn words(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Returns the line with the most words of the name before a number; of equal lines the last.
fn nearest(words: &[String], text: &str) -> Option<Near> {
    let lines = text
        .split(['\n', '\r'])
        .map(|line| without_colours(line).into_owned());
    lines
        .filter_map(|line| nearest_in(words, &line))
        .max_by_key(|near| near.score)
}

fn nearest_in(words: &[String], line: &str) -> Option<Near> {
    let mut segment_start = 0;
    let mut best: Option<Near> = None;
    for digits in NUMBER.find_iter(line) {
        // Digits inside of words such as `f1`, `v2.0` and `AR@100` are not values.
        if line[..digits.start()].ends_with(is_word_character) {
            continue;
        }
        let segment = &line[segment_start..digits.start()];
        segment_start = digits.end();
        let Ok(number) = digits.as_str().parse() else {
            continue;
        };
        let Some((label, separator, score)) = label(words, segment) else {
            continue;
        };
        if best.as_ref().is_none_or(|best| best.score <= score) {
            best = Some(Near {
                line: line.trim().to_owned(),
                score,
                label,
                separator,
                number,
            });
        }
    }
    best
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '/')
}

/// Returns the label (the segment from the first word of the name on), the separator before the
/// number, the number of the name's words in the label, and whether the label ends with one. `None`
/// if the segment has no word of the name.
fn label(words: &[String], segment: &str) -> Option<(String, String, (usize, bool))> {
    let end = segment
        .trim_end_matches(|c: char| !c.is_alphanumeric())
        .len();
    let clause = segment[..end]
        .rfind([',', ';', '|'])
        .map_or(0, |index| index + 1);
    let (label, separator) = (&segment[clause..end], &segment[end..]);
    let tokens = label
        .split(|c: char| !c.is_alphanumeric())
        .filter(|token| !token.is_empty());
    let named: Vec<&str> = tokens
        .filter(|token| words.iter().any(|word| means(token, word)))
        .collect();
    let start = label.find(named.first()?).unwrap_or(0);
    let ends_with_one = named.last().is_some_and(|last| label.ends_with(last));
    Some((
        label[start..].to_owned(),
        separator.to_owned(),
        (named.len(), ends_with_one),
    ))
}

/// Returns whether a printed word equals a word of a name, or one abbreviates the other.
fn means(token: &str, word: &str) -> bool {
    let token = token.to_lowercase();
    let (short, long) = if token.len() < word.len() {
        (&*token, word)
    } else {
        (word, &*token)
    };
    short == long || (short.len() >= ABBREVIATION && long.starts_with(short))
}

impl Near {
    /// Returns a pattern that reads the number from this line; `None` if neither form of value
    /// does.
    fn expression(&self) -> Option<String> {
        let label = regex::escape(&self.label);
        let separator = separator(&self.separator);
        ["\\S+", "[-+.\\w]+"].into_iter().find_map(|value| {
            let expression = format!("{label}{separator}({value})");
            let regex = Regex::new(&expression).ok()?;
            // The pattern is only offered if it reads this number, and if it can be quoted in TOML.
            let value = first_value(&regex, &self.line);
            let is_right = value == Some(Datum::Number(Metric(self.number)));
            (is_right && !expression.contains('\'')).then_some(expression)
        })
    }
}

/// Returns a pattern for the text between a label and its number.
fn separator(text: &str) -> String {
    let sign = text.trim();
    let before = if text.starts_with(char::is_whitespace) {
        "\\s*"
    } else {
        ""
    };
    match sign {
        "" => "\\s+".to_owned(),
        ":" | "=" => format!("{before}[:=]\\s*"),
        other => format!("{before}{}\\s*", regex::escape(other)),
    }
}

/// Returns a name as a TOML key, quoted if needed.
fn key(name: &str) -> String {
    if !name.is_empty() && name.chars().all(is_bare_key_character) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

fn is_bare_key_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(metric: &str, out: &str, err: &str) -> Option<String> {
        let clue = clue(
            metric,
            &[("stdout", out.to_owned()), ("stderr", err.to_owned())],
        )?;
        Some(format!(
            "{}: try `{}`",
            clue.lines,
            clue.expression.unwrap_or_default()
        ))
    }

    #[test]
    fn the_nearest_line_and_an_expression_for_it_are_shown() {
        for (metric, line, expected) in [
            (
                "auc",
                "Test AUC: 0.99",
                r"stdout has `Test AUC: 0.99`: try `auc = 'AUC[:=]\s*(\S+)'`",
            ),
            (
                "val_loss",
                "epoch 3, Val Loss = 0.4 (best 0.2)",
                r"stdout has `epoch 3, Val Loss = 0.4 (best 0.2)`: try `val_loss = 'Val Loss\s*[:=]\s*(\S+)'`",
            ),
            (
                "acc",
                "accuracy 93.1%",
                r"stdout has `accuracy 93.1%`: try `acc = 'accuracy\s+(\S+)'`",
            ),
            (
                "val/AR@100",
                "AR@100=0.5,AR@10=0.2",
                r#"stdout has `AR@100=0.5,AR@10=0.2`: try `"val/AR@100" = 'AR@100[:=]\s*([-+.\w]+)'`"#,
            ),
            (
                "f1",
                "f1: 0.7",
                r"stdout has `f1: 0.7`: try `f1 = 'f1[:=]\s*(\S+)'`",
            ),
        ] {
            assert_eq!(
                advice(metric, line, "").as_deref(),
                Some(expected),
                "{metric}: {line}"
            );
        }
    }

    #[test]
    fn both_streams_are_searched_and_the_last_of_the_nearest_lines_counts() {
        let clue = advice(
            "val_loss",
            "val loss 0.5\nval loss 0.4\nloss 0.1\n",
            "loss: 0.3\n",
        )
        .unwrap();
        assert_eq!(
            clue,
            r"stdout has `val loss 0.4`, stderr has `loss: 0.3`: try `val_loss = 'val loss\s+(\S+)'`"
        );
        assert_eq!(
            advice("auc", "epoch 1\nloss 0.3\n", "\u{1b}[1m100%\u{1b}[0m\n"),
            None
        );
        assert_eq!(advice("auc", "auc unknown, loss 0.3\n", ""), None);
    }
}
