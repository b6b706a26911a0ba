//! Splits a patch into its parts, one per file.

use std::collections::{BTreeMap, BTreeSet};

const START: &[u8] = b"diff --git ";

/// Returns the part of each file, by the file's name as git writes it.
#[must_use]
pub fn files(patch: &[u8]) -> BTreeMap<String, &[u8]> {
    let starts: Vec<usize> = line_starts(patch)
        .filter(|at| patch[*at..].starts_with(START))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    let parts = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &patch[*start..end]);
    parts.filter_map(|part| Some((name(part)?, part))).collect()
}

/// Returns the names of the files that two patches change differently. A placeholder of a secret in
/// the recorded patch stands for any text: whether the secret is known depends on the caller's
/// variables, which are others now.
#[must_use]
pub fn differing(recorded: &[u8], present: &[u8]) -> Vec<String> {
    let (recorded, present) = (files(recorded), files(present));
    let names: BTreeSet<_> = recorded.keys().chain(present.keys()).collect();
    names
        .into_iter()
        .filter(|name| match (recorded.get(*name), present.get(*name)) {
            (Some(recorded), Some(present)) => !has_same_lines(recorded, present),
            _ => true,
        })
        .cloned()
        .collect()
}

/// Returns whether the lines of a recorded part are those of the present one.
fn has_same_lines(recorded: &[u8], present: &[u8]) -> bool {
    let lines = |part| <[u8]>::split(part, |byte| *byte == b'\n');
    recorded == present
        || lines(recorded).count() == lines(present).count()
            && lines(recorded)
                .zip(lines(present))
                .all(|(recorded, present)| is_same_line(recorded, present))
}

/// Returns whether a line is a recorded one, in which placeholders stand for any text.
fn is_same_line(recorded: &[u8], present: &[u8]) -> bool {
    if recorded == present {
        return true;
    }
    let (recorded, present) = (
        String::from_utf8_lossy(recorded),
        String::from_utf8_lossy(present),
    );
    let Some((before, mut rest)) = split_placeholder(&recorded) else {
        return false;
    };
    let Some(mut present) = present.strip_prefix(before) else {
        return false;
    };
    while let Some((between, after)) = split_placeholder(rest) {
        let Some(index) = present.find(between) else {
            return false;
        };
        present = &present[index + between.len()..];
        rest = after;
    }
    present.ends_with(rest)
}

/// Returns the text before the first placeholder of a secret, and the text after it.
fn split_placeholder(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_once("{env:")?;
    let (_, rest) = after.split_once('}')?;
    Some((before, rest))
}

fn line_starts(text: &[u8]) -> impl Iterator<Item = usize> {
    let ends = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends)
}

fn name(part: &[u8]) -> Option<String> {
    let line = part[START.len()..].split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let (_, name) = line
        .rsplit_once(" b/")
        .or_else(|| line.rsplit_once(" \"b/"))?;
    Some(name.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{differing, files};

    const PATCH: &[u8] =
        b"diff --git a/train.py b/train.py\nindex 1..2\n-a\n+diff --git\ndiff --git \"a/gr\\303\\266.py\" \"b/gr\\303\\266.py\"\n";

    #[test]
    fn the_files_of_a_patch_are_told_apart() {
        let names: Vec<_> = files(PATCH).into_keys().collect();
        assert_eq!(names, ["gr\\303\\266.py", "train.py"]);
        assert!(
            files(b"").is_empty()
                && files(b"diff --git \n").is_empty()
                && files(b"rubbish").is_empty()
        );
    }

    #[test]
    fn files_that_two_patches_treat_differently_are_named() {
        let other = b"diff --git a/train.py b/train.py\nindex 1..2\n-a\n+b\n";
        assert_eq!(differing(PATCH, other), ["gr\\303\\266.py", "train.py"]);
        assert!(differing(PATCH, PATCH).is_empty());
    }

    #[test]
    fn a_redacted_secret_is_no_difference_and_the_text_around_it_is() {
        let patch = |line: &str| format!("diff --git a/a.py b/a.py\n+{line}\n").into_bytes();
        let recorded = patch("log(\"{env:A_KEY}\", \"{env:B}\")  # {x}");
        for (present, is_same) in [
            ("log(\"{env:A_KEY}\", \"{env:B}\")  # {x}", true),
            ("log(\"hunter2\", \"{env:C}\")  # {x}", true),
            ("log(\"\", \"\")  # {x}", true),
            ("log(\"hunter2\", \"x\")  # {y}", false),
            ("print(\"hunter2\", \"x\")  # {x}", false),
            ("log(\"hunter2\")  # {x}", false),
        ] {
            let names = differing(&recorded, &patch(present));
            assert_eq!(names.is_empty(), is_same, "{present}");
        }
        let longer = [recorded.clone(), b"+more\n".to_vec()].concat();
        assert_eq!(differing(&recorded, &longer), ["a.py"]);
        // What is not redacted now was no secret then.
        assert_eq!(differing(&patch("a"), &patch("{env:A}")), ["a.py"]);
    }
}
