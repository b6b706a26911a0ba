//! Names and texts within the limits of MLflow.

use md5::{Digest as _, Md5};

/// Maximum length of a name in bytes: MLflow allows 250 characters, a file system 255 bytes.
const LONGEST_KEY: usize = 250;
/// Maximum length of a parameter's value in characters.
const LONGEST_PARAM: usize = 6000;
/// Maximum length of a tag's value in characters, which older servers accept too.
const LONGEST_TAG: usize = 5000;

/// Returns `name` as a valid key of MLflow: unchanged if possible, else with `_` in place of
/// forbidden characters and 8 digits of its MD5, so that different names stay different.
pub(super) fn key(name: &str) -> String {
    if name.len() <= LONGEST_KEY
        && name.chars().all(is_allowed)
        && name.split('/').all(is_normal_part)
    {
        return name.to_owned();
    }
    let replaced: String = name
        .chars()
        .map(|c| match is_allowed(c) && c != '/' && c != '.' {
            true => c,
            false => '_',
        })
        .collect();
    let cut = replaced.floor_char_boundary(LONGEST_KEY - 9);
    format!("{}_{}", &replaced[..cut], &digest(name)[..8])
}

/// Returns whether MLflow allows a character in a key.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || "_-. /".contains(c)
}

/// Returns whether a part of a key, between two slashes, can be the name of a file.
fn is_normal_part(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.starts_with(".draft-")
}

/// Returns `name` as a key without slashes, for a file store in which `a` and `a/b` cannot both be
/// files.
pub(super) fn flat(name: &str) -> String {
    let cut = name.floor_char_boundary(LONGEST_KEY - 9);
    format!("{}_{}", name[..cut].replace('/', "_"), &digest(name)[..8])
}

/// Returns a parameter as keys and values. A value that is too long continues in `name.2`,
/// `name.3`….
pub(super) fn param(name: &str, value: &str) -> Vec<(String, String)> {
    let chars: Vec<char> = value.chars().collect();
    let mut parts: Vec<String> = chars
        .chunks(LONGEST_PARAM)
        .map(|part| part.iter().collect())
        .collect();
    if parts.is_empty() {
        parts.push(String::new());
    }
    let names = (1..).map(|number| match number {
        1 => key(name),
        number => key(&format!("{name}.{number}")),
    });
    names.zip(parts).collect()
}

/// Returns `text`, shortened with `…` if it is too long for a tag.
pub(super) fn tag(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TAG) {
        None => text.to_owned(),
        Some(_) => text.chars().take(LONGEST_TAG - 1).chain(['…']).collect(),
    }
}

/// Returns the MD5 of a text as 32 hexadecimal digits. Ids of runs and experiments derive from it.
pub(super) fn digest(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mlflow_accepts_are_unchanged() {
        for name in [
            "lr",
            "model.layers",
            "val/loss",
            "Verlust über alles",
            "精度",
            "a-b_c",
        ] {
            assert_eq!(key(name), name);
        }
    }

    #[test]
    fn other_names_are_changed_and_stay_different() {
        assert_eq!(key("a@5"), format!("a_5_{}", &digest("a@5")[..8]));
        let long = "é".repeat(5000);
        let odd = [
            "", ".", "..", "../x", "/x", "x/", "a//b", "a\nb", "a:b", &long,
        ];
        let mut keys: Vec<_> = odd.iter().map(|name| key(name)).collect();
        assert!(
            keys.iter()
                .all(|valid| key(valid) == *valid && valid.len() <= LONGEST_KEY),
            "{keys:?}"
        );
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), odd.len());
    }

    #[test]
    fn a_long_parameter_continues_under_further_names() {
        let value = "é".repeat(LONGEST_PARAM + 1);
        let parts = param("text", &value);
        assert_eq!(
            parts.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
            ["text", "text.2"]
        );
        assert_eq!(
            parts.iter().map(|(_, part)| &**part).collect::<String>(),
            value
        );
        assert_eq!(param("text", ""), [("text".to_owned(), String::new())]);
        assert_eq!(tag(&value).chars().count(), LONGEST_TAG);
    }
}
