//! Splits a patch into its parts, one per file.

use std::collections::BTreeMap;

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

/// Returns the names of the files that two patches change differently.
#[must_use]
pub fn differing(a: &[u8], b: &[u8]) -> Vec<String> {
    let (a, b) = (files(a), files(b));
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect()
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
}
