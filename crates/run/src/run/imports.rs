//! The files that a Python script imports from its own project.

use regex::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Maximum number of files whose imports are followed.
const MOST: usize = 500;

/// Returns the files of the project that a script imports, also indirectly, sorted. Modules are
/// looked for beside the script, in `workdir` and in its folder `src`.
///
/// Imports are read from the text, so one that is never carried out counts, and one whose name is
/// computed does not.
pub(super) fn imported_files(script: &Path, workdir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let statement = r"(?m)^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+\(?([\w \t,]*)|import[ \t]+([\w. \t,]+))";
    let Ok(statement) = Regex::new(statement) else {
        return found;
    };
    let beside = script.parent().unwrap_or(workdir).to_owned();
    let roots = [beside, workdir.to_owned(), workdir.join("src")];
    let mut unread = vec![script.to_owned()];
    while let Some(file) = unread.pop() {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for import in statement.captures_iter(&text) {
            let part = |group: usize| import.get(group).map_or("", |part| part.as_str());
            let modules: Vec<(Vec<PathBuf>, String)> = match import.get(4) {
                Some(list) => list
                    .as_str()
                    .split(',')
                    .map(|module| (roots.to_vec(), first_word(module)))
                    .collect(),
                None => {
                    let roots = match part(1).len() {
                        0 => roots.to_vec(),
                        dots => file
                            .ancestors()
                            .nth(dots)
                            .map(Path::to_owned)
                            .into_iter()
                            .collect(),
                    };
                    // `from package import name`: the name may be a module of the package.
                    let names = part(3).split(',').map(first_word);
                    let inner = names.map(|name| format!("{}.{name}", part(2)));
                    let inner: Vec<_> = inner.map(|module| (roots.clone(), module)).collect();
                    [vec![(roots, part(2).to_owned())], inner].concat()
                }
            };
            for (roots, module) in modules {
                for path in files_of(&module, &roots) {
                    if found.len() < MOST && found.insert(path.clone()) {
                        unread.push(path);
                    }
                }
            }
        }
    }
    found.remove(script);
    found
}

fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Returns the files that the import of a module reads: those of its packages and its own.
fn files_of(module: &str, roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for root in roots {
        let mut path = root.clone();
        for name in module.split('.').filter(|name| !name.is_empty()) {
            path.push(name);
            files.extend(
                [path.join("__init__.py"), path.with_extension("py")]
                    .into_iter()
                    .filter(|file| file.is_file()),
            );
        }
        if !files.is_empty() {
            break;
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::imported_files;
    use std::fs;

    #[test]
    fn imports_of_the_own_project_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("net/layers")).unwrap();
        for (name, text) in [
            (
                "train.py",
                "import os, helpers as h\nfrom net import model\n\ndef f():\n    import late\n",
            ),
            (
                "helpers.py",
                "from net.layers.dense import (Dense, Other)\n",
            ),
            ("late.py", "x = 'import unused'\n"),
            ("unused.py", ""),
            ("net/__init__.py", "from .loss import mse\n"),
            (
                "net/model.py",
                "from . import layers\nfrom ..helpers import x\n",
            ),
            ("net/loss.py", ""),
            ("net/layers/__init__.py", ""),
            ("net/layers/dense.py", ""),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        let files = imported_files(&root.join("train.py"), root);
        let names: Vec<_> = files
            .iter()
            .map(|file| file.strip_prefix(root).unwrap().to_str().unwrap())
            .collect();
        let expected = "helpers.py late.py net/__init__.py net/layers/__init__.py net/layers/dense.py \
                        net/loss.py net/model.py";
        assert_eq!(names.join(" "), expected);
    }
}
