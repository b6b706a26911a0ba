//! Finds the named numbers in a program's output, and the expressions of `[capture]` that read
//! them.

use super::words;
use crate::logger::scrape::{first_value, without_colours};
use crate::study::{Datum, Metric};
use regex::Regex;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// A number, also with sign, fraction and exponent.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\b(?:nan|inf)\b";
    Regex::new(number).expect("this is a regular expression")
});

/// The group of an expression that captures the value.
const VALUE: &str = r"([-+\w.]+)";

/// The expression for the number in brackets with which LightGBM and XGBoost begin their lines.
const BRACKETS: &str = r"^\[(\d+)\]";

/// Maximum length of a label in bytes; a longer text before a number is prose.
const LONGEST_LABEL: usize = 40;

/// Words between a label and its value.
const VERBS: [&str; 4] = ["is", "was", "of", "at"];

/// First words of lines that say which data the numbers of the line belong to.
const ROLES: [&str; 8] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "eval",
    "dev",
];

/// The values that a program printed under one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// The name as a key of `[capture]` and `[objective]`.
    pub(super) name: String,
    pub(super) values: Vec<f64>,
    /// The indices of the lines that contain the values.
    pub(super) lines: Vec<usize>,
    /// The expression of `[capture]` that matches these lines and no other.
    pub(super) pattern: String,
}

/// A number in a line, with the text that names it.
struct NamedNumber<'a> {
    line: usize,
    label: &'a str,
    /// The text between the label and the number.
    tail: &'a str,
    value: f64,
}

/// Splits output into lines as `[capture]` does: progress bars end with a carriage return, and
/// colours do not count.
pub(super) fn lines(output: &str) -> Vec<String> {
    let lines = output.split(['\n', '\r']);
    lines
        .map(|line| without_colours(line).into_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Returns the series in the order in which their names first occur.
pub(super) fn series(lines: &[String]) -> Vec<Series> {
    let mut order: Vec<(String, &str)> = Vec::new();
    let mut groups: HashMap<(String, &str), Vec<NamedNumber<'_>>> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let role = role(line);
        for number in named_numbers(index, line) {
            let group = (key(number.label), role);
            let members = groups.entry(group.clone()).or_default();
            if members.is_empty() {
                order.push(group);
            }
            members.push(number);
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &order {
        *counts.entry(name).or_default() += 1;
    }
    let mut all = Vec::new();
    all.extend(bracketed(lines));
    for group in &order {
        let (name, role) = group;
        let is_ambiguous = counts[name.as_str()] > 1 && !role.is_empty();
        let name = match is_ambiguous && !name.contains(role) {
            true => format!("{role}_{name}"),
            false => name.clone(),
        };
        let Some(numbers) = groups.get(group) else {
            continue;
        };
        all.extend(series_of(name, numbers, lines));
    }
    all
}

/// Returns the series of the iterations that stand in brackets at the start of lines.
fn bracketed(lines: &[String]) -> Option<Series> {
    let expression = Regex::new(BRACKETS).ok()?;
    let (lines, values): (Vec<usize>, Vec<f64>) =
        numbers_matched(&expression, lines).into_iter().unzip();
    (!lines.is_empty()).then(|| Series {
        name: "iteration".to_owned(),
        values,
        lines,
        pattern: BRACKETS.to_owned(),
    })
}

/// Returns the first word of a line in lower case if it says which data the line is about.
fn role(line: &str) -> &'static str {
    let first = line
        .split(|c: char| !c.is_alphanumeric())
        .find(|word| !word.is_empty())
        .unwrap_or_default()
        .to_lowercase();
    ROLES
        .into_iter()
        .find(|role| first == *role)
        .unwrap_or_default()
}

fn named_numbers(index: usize, line: &str) -> Vec<NamedNumber<'_>> {
    let mut segment_start = 0;
    let mut all = Vec::new();
    for digits in NUMBER.find_iter(line) {
        // Digits inside of words such as `f1`, `v2.0` and `AR@100` are not values.
        let before = &line[..digits.start()];
        if before.ends_with(|c: char| c.is_alphanumeric() || "_@/.".contains(c)) {
            continue;
        }
        let segment = &line[segment_start..digits.start()];
        segment_start = digits.end();
        // Neither is a number with a unit, such as `3ms`.
        if line[digits.end()..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
            continue;
        }
        let Ok(value) = digits.as_str().parse() else {
            continue;
        };
        if let Some((label, tail)) = label(segment) {
            all.push(NamedNumber {
                line: index,
                label,
                tail,
                value,
            });
        }
    }
    all
}

/// Returns the label at the end of the text before a number, and the text between it and the
/// number. `None` if nothing there names the number.
fn label(segment: &str) -> Option<(&str, &str)> {
    let mut end = segment
        .trim_end_matches(|c: char| !c.is_alphanumeric() && c != ')' && c != ']')
        .len();
    let is_assigned = segment[end..].contains([':', '=', '>']);
    let mut start = label_start(&segment[..end]);
    let mut words: Vec<&str> = segment[start..end].split_whitespace().collect();
    let has_verb = words.len() > 1 && words.last().is_some_and(|word| VERBS.contains(word));
    if has_verb {
        words.pop();
        end = end_of(segment, words.last()?);
    }
    let is_named = is_assigned || has_verb;
    // A text without a separator is a sentence more often than a label.
    let longest = if is_named { 4 } else { 2 };
    let kept: Vec<&str> = words
        .iter()
        .rev()
        .take(longest)
        .take_while(|word| word.contains(char::is_alphabetic) && !words::is_level(word))
        .copied()
        .collect();
    let last = kept.first()?;
    start = offset_in(segment, kept.last()?).max(start);
    let label = &segment[start..end];
    let is_plausible = label.chars().any(char::is_alphabetic) && label.len() <= LONGEST_LABEL;
    let is_known = words::is_metric(&key(last)) || words::is_counter(&key(last));
    (is_plausible && (is_named || is_known)).then(|| (label, &segment[end..]))
}

/// Returns the offset behind the last character that separates a label from the text before it.
fn label_start(text: &str) -> usize {
    let mut start = 0;
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        let is_quote = c == '\'' && !before.is_alphanumeric();
        let is_separator = ",;|{}\t\"═━│=".contains(c)
            || is_quote
            || c == ' ' && ":-*".contains(before)
            || c == ':' && !text[index + 1..].starts_with(' ');
        if is_separator {
            start = index + c.len_utf8();
        }
        before = c;
    }
    let rest = &text[start..];
    start + rest.len()
        - rest
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .len()
}

/// Returns the offset of a part of a text in that text.
fn offset_in(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

fn end_of(text: &str, part: &str) -> usize {
    offset_in(text, part) + part.len()
}

/// Returns a label as a key: `Test AUC` becomes `test_auc`.
pub(super) fn key(label: &str) -> String {
    let label = label.to_lowercase().replace("'s ", " ");
    let words = label
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// Returns the series of some numbers, with the first expression that matches them and nothing
/// else. `None` if there is no such expression.
fn series_of(name: String, numbers: &[NamedNumber<'_>], lines: &[String]) -> Option<Series> {
    let mut first_of_lines: Vec<(usize, f64)> =
        numbers.iter().map(|it| (it.line, it.value)).collect();
    first_of_lines.dedup_by_key(|(line, _)| *line);
    let first = numbers.first()?;
    let pattern = patterns(first, &lines[first.line])
        .into_iter()
        .find(|pattern| {
            Regex::new(pattern).is_ok_and(|expression| {
                is_same(&numbers_matched(&expression, lines), &first_of_lines)
            })
        })?;
    let (lines, values) = first_of_lines.into_iter().unzip();
    Some(Series {
        name,
        values,
        lines,
        pattern,
    })
}

fn is_same(some: &[(usize, f64)], others: &[(usize, f64)]) -> bool {
    some.len() == others.len()
        && some
            .iter()
            .zip(others)
            .all(|((line, value), (other_line, other))| {
                line == other_line && (value == other || value.is_nan() && other.is_nan())
            })
}

/// Returns the lines that an expression matches, with the numbers that it reads.
fn numbers_matched(expression: &Regex, lines: &[String]) -> Vec<(usize, f64)> {
    let values =
        lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| match first_value(expression, line)? {
                Datum::Number(Metric(number)) => Some((index, number)),
                _ => None,
            });
    values.collect()
}

/// Returns expressions for a number, the simplest first: by its label, by a label that does not
/// continue a longer one, and by the start of the line too.
fn patterns(number: &NamedNumber<'_>, line: &str) -> Vec<String> {
    let label = literal(number.label);
    let tail = literal(number.tail.trim());
    let boundary = match number.label.starts_with(|c: char| c.is_alphanumeric()) {
        true => r"\b",
        false => "",
    };
    let tail = match tail.is_empty() {
        true => r"\s+".to_owned(),
        false => format!(r"\s*{tail}\s*"),
    };
    let start = line[..offset_in(line, number.label)].trim_end();
    let start = literal(
        start
            .split(|c: char| c.is_ascii_digit())
            .next()
            .unwrap_or_default(),
    );
    vec![
        format!("{boundary}{label}{tail}{VALUE}"),
        format!(r"(?:^|[^\w\s])\s*{label}{tail}{VALUE}"),
        format!("^{start}.*{boundary}{label}{tail}{VALUE}"),
    ]
}

/// Returns a text as a part of an expression, fit for a TOML string in single quotes.
fn literal(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(regex::escape).collect();
    words.join(r"\s+").replace('\'', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_patterns(output: &str) -> Vec<(String, String)> {
        let all = series(&lines(output));
        all.into_iter().map(|it| (it.name, it.pattern)).collect()
    }

    fn values(output: &str, name: &str) -> Vec<f64> {
        let all = series(&lines(output));
        let series = all.iter().find(|it| it.name == name);
        series
            .map(|it| it.values.clone())
            .unwrap_or_else(|| panic!("no `{name}` in {all:#?}"))
    }

    #[test]
    fn the_numbers_of_common_trainers_get_names() {
        for (output, name, expected) in [
            (
                "Epoch 1: train loss=0.5, Test AUC: 0.9\n",
                "test_auc",
                vec![0.9],
            ),
            (
                "step 0: train loss 4.2874, val loss 4.2823\n",
                "val_loss",
                vec![4.2823],
            ),
            (
                "iter 10: loss 3.1, time 81.23ms, mfu 1.2%\n",
                "loss",
                vec![3.1],
            ),
            (
                "Test set: Average loss: 0.0286, Accuracy: 9905/10000 (99%)\n",
                "accuracy",
                vec![9905.0],
            ),
            (" * Prec@1 76.130 Prec@5 92.862\n", "prec_1", vec![76.13]),
            (
                "[10]\tvalid_0's auc: 0.91\tvalid_0's binary_logloss: 0.3\n",
                "valid_0_auc",
                vec![0.91],
            ),
            (
                "[0]\tvalidation-rmse:0.81\n[1]\tvalidation-rmse:0.7\n",
                "validation_rmse",
                vec![0.81, 0.7],
            ),
            (
                "[0]\ttest-rmse:0.81\n[1]\ttest-rmse:0.7\n",
                "iteration",
                vec![0.0, 1.0],
            ),
            (
                "{'eval_loss': 0.31, 'eval_accuracy': 0.9, 'epoch': 2.0}\n",
                "eval_accuracy",
                vec![0.9],
            ),
            (
                "Epoch 3/10\n\r150/150 ━━━ 1s 3ms/step - accuracy: 0.97 - loss: 0.1 - val_loss: 0.07\n",
                "val_loss",
                vec![0.07],
            ),
            (
                "Epoch 4: 100%|██| 10/10 [00:01<00:00, 9.5it/s, v_num=0, val_loss=0.125]\n",
                "val_loss",
                vec![0.125],
            ),
            (
                "2026-01-02 10:11:12,345 INFO epoch 3 loss 0.25\n",
                "loss",
                vec![0.25],
            ),
            ("INFO:root:accuracy is 0.75.\n", "accuracy", vec![0.75]),
            (
                "Epoch 1/5 train loss: 0.5 (1.5s)\n",
                "train_loss",
                vec![0.5],
            ),
            ("mean cv score 0.91 (+/- 0.02)\n", "cv_score", vec![0.91]),
            ("\u{1b}[32mF1\u{1b}[0m = nan\n", "f1", vec![f64::NAN]),
        ] {
            let read = values(output, name);
            assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{output}");
        }
    }

    #[test]
    fn an_expression_does_not_match_a_longer_label() {
        let output = "train loss: 3.0 loss: 2.0 val_loss: 1.0\n";
        assert_eq!(values(output, "loss"), [2.0]);
        for (name, pattern) in names_and_patterns("train loss: 3 val loss: 2\nloss: 1\n") {
            let expression = Regex::new(&pattern).unwrap();
            let text = format!("{} 1.5", name.replace('_', " ") + ":");
            assert!(expression.is_match(&text), "{name} {pattern}");
        }
    }

    #[test]
    fn lines_about_other_data_are_told_apart_by_their_first_word() {
        let output = "Train: Loss 3.0\nTest: Loss 2.0\nTrain: Loss 2.5\nTest: Loss 1.5\n";
        assert_eq!(values(output, "test_loss"), [2.0, 1.5]);
        assert_eq!(values(output, "train_loss"), [3.0, 2.5]);
    }

    #[test]
    fn versions_dates_and_units_are_no_values() {
        for output in [
            "torch 2.1.0 on python3.11\n",
            "took 31ms\n",
            "2026-01-02\n",
            "30000 rows\n",
        ] {
            assert_eq!(series(&lines(output)), [], "{output}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_read_without_panic(text in "(\\PC|[\n\r:=.,'\\[0-9e-]){0,80}") {
            for series in series(&lines(&text)) {
                proptest::prop_assert!(!series.name.is_empty());
            }
        }
    }
}
