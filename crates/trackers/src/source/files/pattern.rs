//! Paths with wildcards: `*` and `?` within a name, and `**` for any number of folders.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The maximum number of folders that one search looks into. A pattern that begins with `**` in a
/// large project would otherwise take longer than the trial.
const MOST_FOLDERS: usize = 20_000;

/// A pattern of paths, as its parts between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Pattern {
    parts: Vec<String>,
    is_absolute: bool,
}

impl Pattern {
    pub(in crate::source) fn new(text: &str) -> Self {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        Self {
            parts: parts.map(str::to_owned).collect(),
            is_absolute: text.starts_with('/'),
        }
    }

    pub(super) fn is_absolute(&self) -> bool {
        self.is_absolute
    }

    /// Returns the regular files below `base` that match, in the order of their names, each once.
    /// `omitted` are names in `base` itself that are not looked at.
    pub(super) fn files(&self, base: &Path, omitted: &[&str]) -> Vec<PathBuf> {
        let base = if self.is_absolute {
            Path::new("/")
        } else {
            base
        };
        let mut search = Search {
            found: Vec::new(),
            seen: BTreeSet::new(),
            folders: 0,
        };
        search.step(base, &self.parts, omitted);
        search.found
    }
}

struct Search {
    found: Vec<PathBuf>,
    /// Devices and inodes of the files found, which a link may lead to again.
    seen: BTreeSet<(u64, u64)>,
    folders: usize,
}

impl Search {
    fn step(&mut self, folder: &Path, parts: &[String], omitted: &[&str]) {
        let Some((part, rest)) = parts.split_first() else {
            return;
        };
        if part == "**" {
            self.step(folder, rest, omitted);
            for name in self.names(folder, omitted) {
                let inner = folder.join(name);
                // Links to folders are not followed here, since they may lead back.
                if fs::symlink_metadata(&inner).is_ok_and(|about| about.is_dir()) {
                    self.step(&inner, parts, &[]);
                }
            }
            return;
        }
        if !part.contains(['*', '?']) {
            return self.take(folder.join(part), rest);
        }
        for name in self.names(folder, omitted) {
            if matches(part, &name) {
                self.take(folder.join(name), rest);
            }
        }
    }

    /// Goes on with a path: as a file if no part is left, else as a folder.
    fn take(&mut self, path: PathBuf, rest: &[String]) {
        let Ok(about) = fs::metadata(&path) else {
            return;
        };
        if about.is_dir() {
            self.step(&path, rest, &[]);
        } else if rest.is_empty() && about.is_file() && self.seen.insert((about.dev(), about.ino()))
        {
            self.found.push(path);
        }
    }

    /// Returns the names in a folder, in order. Names that are not UTF-8 are left out.
    fn names(&mut self, folder: &Path, omitted: &[&str]) -> Vec<String> {
        self.folders += 1;
        if self.folders > MOST_FOLDERS {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter(|name| !omitted.contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }
}

/// Returns whether a name matches a part of a pattern.
fn matches(part: &str, name: &str) -> bool {
    // A hidden file must be asked for.
    if name.starts_with('.') && !part.starts_with('.') {
        return false;
    }
    let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // The last `*` and the position in the name that it has reached.
    let mut star = None;
    while of < name.len() {
        match part.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((last, reached)) = star else {
                    return false;
                };
                star = Some((last, reached + 1));
                at = last + 1;
                of = reached + 1;
            }
        }
    }
    part[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_name_and_two_stars_cross_folders() {
        for (part, name, expected) in [
            ("*.csv", "metrics.csv", true),
            ("*.csv", "metrics.csv.1", false),
            ("*tfevents*", "events.out.tfevents.17.host", true),
            ("run-*.wandb", "run-a1.wandb", true),
            ("v?", "v1", true),
            ("v?", "v12", false),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axbxb", false),
        ] {
            assert_eq!(matches(part, name), expected, "{part} {name}");
        }
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "m.csv",
            "a/m.csv",
            "a/b/m.csv",
            "a/b/n.csv",
            "omitted/m.csv",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("latest")).unwrap();
        let found = |pattern: &str| -> Vec<String> {
            let files = Pattern::new(pattern).files(dir.path(), &["omitted"]);
            let relative = files
                .iter()
                .map(|path| path.strip_prefix(dir.path()).unwrap());
            relative.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("**/m.csv"), ["m.csv", "a/m.csv", "a/b/m.csv"]);
        assert_eq!(found("a/**/*.csv"), ["a/m.csv", "a/b/m.csv", "a/b/n.csv"]);
        assert_eq!(found("*/m.csv"), ["a/m.csv"]);
        assert_eq!(found("latest/m.csv"), ["latest/m.csv"]);
        assert_eq!(found("none/**/m.csv"), [""; 0]);
    }
}
