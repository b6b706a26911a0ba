//! Checks the module layers: a module uses only lower layers, and modules of the same layer never
//! use each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of each crate by layer, from bottom to top, as ARCHITECTURE.md draws them. Cargo
/// itself keeps the layers between the crates.
const CRATES: &[(&str, &[&[&str]])] = &[
    (
        "crates/model",
        &[&["source"], &["space"], &["study"], &["demo"]],
    ),
    (
        "crates/search",
        &[&["companion"], &["dialogue"], &["sampler"], &["scheduler"]],
    ),
    (
        "crates/engine",
        &[
            &["platform"],
            &["cgroup"],
            &["journal"],
            &["tracker", "keep"],
            &["provenance", "executor"],
            &["driver"],
        ],
    ),
    ("crates/run", &[&["sweep"], &["run"]]),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            paths.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// Returns the modules that a source text names after `crate::`, also within braces.
fn used_modules(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let group = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .map(|(group, _)| group);
        let parts: Vec<_> = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
        for part in parts {
            let name: String = part
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.push(name);
        }
    }
    names
}

/// Returns the uses of a module that its layer does not allow, one line each.
fn violations(folder: &str, layers: &[&[&str]]) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join("src");
    let layer: BTreeMap<&str, usize> = layers
        .iter()
        .enumerate()
        .flat_map(|(at, names)| names.iter().map(move |name| (*name, at)))
        .collect();
    let mut violations = Vec::new();
    for path in files(&src) {
        let inside = path.strip_prefix(&src).expect("it lies in src");
        let first = inside.components().next().expect("it has a name");
        let module = first.as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || inside.ends_with("tests.rs") {
            continue;
        }
        let Some(own) = layer.get(module) else {
            violations.push(format!(
                "`{module}` of {folder} has no layer: give it one here and in ARCHITECTURE.md"
            ));
            continue;
        };
        let text = fs::read_to_string(&path).expect("the file can be read");
        // Unit tests may take their input from any layer.
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        for name in used_modules(code) {
            if name != module && layer.get(name.as_str()).is_some_and(|other| other >= own) {
                let path = path.display();
                violations.push(format!(
                    "{path}: `{module}` may not use `{name}`: move what both need to a lower layer"
                ));
            }
        }
    }
    violations.dedup();
    violations
}

#[test]
fn every_module_uses_lower_layers_only() {
    let violations: Vec<_> = CRATES
        .iter()
        .flat_map(|(folder, layers)| violations(folder, layers))
        .collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Returns whether a file is part of a test program: as its `main.rs`, or as a module of the file
/// beside it.
fn belongs_to_a_test_program(path: &Path) -> bool {
    let folder = path.parent().expect("it lies in a folder");
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("its name is UTF-8");
    let (owner, module) = match stem {
        "main" => return true,
        "mod" => (
            folder.parent(),
            folder.file_name().and_then(|name| name.to_str()),
        ),
        _ => (Some(folder), Some(stem)),
    };
    let (Some(owner), Some(module)) = (owner, module) else {
        return false;
    };
    ["main.rs", "mod.rs"].iter().any(|name| {
        let text = fs::read_to_string(owner.join(name)).unwrap_or_default();
        let declaration = format!("mod {module};");
        text.lines()
            .any(|line| line.trim_start_matches("pub(crate) ") == declaration)
    })
}

#[test]
fn every_test_file_belongs_to_a_test_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let strangers: Vec<_> = files(&tests)
        .into_iter()
        .filter(|path| !belongs_to_a_test_program(path))
        .collect();
    assert!(
        strangers.is_empty(),
        "no test program runs these: put each into `tests/engine` or `tests/cli`, and name it in its `main.rs`: \
         {strangers:?}"
    );
}

#[test]
fn a_training_program_compiles_at_most_twenty_packages() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package=swath"])
        .args(["--no-default-features", "--edges=normal,build"])
        .args(["--prefix=none", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(tree.stdout).expect("cargo writes UTF-8");
    let packages: BTreeSet<&str> = text.lines().collect();
    assert!((2..=20).contains(&packages.len()), "{packages:#?}");
}

/// Returns the names of Rust files in backquotes, such as `driver/fill.rs`. Files of examples are
/// called `foo` or `yours`.
fn rust_files_named_in(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.ends_with(".rs") && !name.contains(char::is_whitespace))
        .filter(|name| !name.ends_with("foo.rs") && !name.ends_with("yours.rs"))
        .collect()
}

#[test]
fn every_rust_file_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut existing = Vec::new();
    for folder in ["src", "crates", "tests", "benches", "examples"] {
        existing.extend(files(&root.join(folder)));
    }
    let mut missing = Vec::new();
    for document in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "RELIABILITY.md",
        "docs/internals.md",
    ] {
        let text = fs::read_to_string(root.join(document)).expect("the document can be read");
        for name in rust_files_named_in(&text) {
            if !existing.iter().any(|path| path.ends_with(name)) {
                missing.push(format!("{document}: `{name}`"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The folders whose code opens files of a trial or of its study.
const OPENERS: &[&str] = &[
    "crates/log/src",
    "crates/engine/src/driver",
    "crates/engine/src/executor",
    "crates/engine/src/tracker",
];

/// The files of these folders that open other files: the child's end opens the files of its own
/// trial, the table syncs its folder, and the others read files of the kernel.
const OTHER_OPENERS: &[&str] = &[
    "crates/log/src/answer.rs",
    "crates/log/src/appender.rs",
    "crates/engine/src/executor/system.rs",
    "crates/engine/src/tracker/csv.rs",
];

/// Calls that open a file, and wait if it is a named pipe.
const OPENING_CALLS: &[&str] = &[
    "File::open(",
    "File::create(",
    "fs::copy(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::write(",
    "OpenOptions::new(",
];

/// Returns the lines of a source text that open a file otherwise than by `regular.rs` of
/// `swath-log`. Files of the kernel, and files that must not exist, cannot be named pipes.
fn lines_that_may_wait(text: &str) -> Vec<usize> {
    let tests = ["mod tests", "pub(super) mod tests"].map(|it| format!("#[cfg(test)]\n{it}"));
    let end = tests.iter().filter_map(|it| text.find(it)).min();
    let lines: Vec<&str> = text[..end.unwrap_or(text.len())].lines().collect();
    let may_wait = |number: &usize| {
        let line = lines[*number];
        let opens = OPENING_CALLS.iter().any(|call| line.contains(call));
        let is_of_kernel = ["\"/proc/", "\"/dev/null\""];
        let statement = lines[*number..lines.len().min(number + 5)].join("\n");
        let has_options = line.contains("OpenOptions::new(");
        let is_safe = has_options
            && (statement.contains("regular::open_with(")
                || statement.contains("open_with(&mut options, ")
                || line.contains("open_with(OpenOptions")
                || line.contains("create_new(OpenOptions")
                || statement.contains("create_new(true)"));
        opens && !is_safe && !is_of_kernel.iter().any(|word| line.contains(word))
    };
    (0..lines.len())
        .filter(may_wait)
        .map(|number| number + 1)
        .collect()
}

#[test]
fn files_that_a_trial_can_reach_are_opened_without_waiting() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut opened = Vec::new();
    for folder in OPENERS {
        for path in files(&root.join(folder)) {
            let name = path
                .strip_prefix(root)
                .expect("it lies in the project")
                .display();
            let name = name.to_string();
            if OTHER_OPENERS.contains(&name.as_str()) || name.contains("tests") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("the file can be read");
            for line in lines_that_may_wait(&text) {
                opened.push(format!("{name}:{line}"));
            }
        }
    }
    assert!(
        opened.is_empty(),
        "use `regular` of `swath-log`, which does not wait for a named pipe: {opened:#?}"
    );
    let waiting = "fn f() {\n    let text = fs::read(path)?;\n}\n";
    assert_eq!(lines_that_may_wait(waiting), [2], "the check itself works");
}
