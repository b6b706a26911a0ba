//! Feeds every input of `corpus/` and many mutations of it to each target. None may panic.
//!
//! `SWATH_FUZZ_SECONDS=600 cargo test --release --test engine fuzz::` runs the long form, each target
//! for ten minutes; `SWATH_FUZZ=100000` gives each as many inputs. `cargo fuzz`, which is guided by
//! coverage, uses the same targets: see `fuzz/`. An input that has failed once is added to
//! `corpus/`.

mod mutation;
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Returns the files of a folder, sorted by name.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// Returns the corpus of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match target {
        "records_file" => "record_lines",
        _ => target,
    };
    let mut files = files_in(&root.join("tests/engine/fuzz/corpus").join(folder));
    if target == "sweep_file" {
        files.extend(files_in(&root.join("sweeps")));
    }
    files
        .iter()
        .map(|file| fs::read(file).expect("the file can be read"))
        .collect()
}

/// Calls a target with its unchanged corpus, then with `changes` mutations of it.
fn assert_never_panics(name: &str, target: fn(&[u8]), changes: u64) {
    let corpus = corpus(name);
    for input in &corpus {
        target(input);
    }
    let mut count = 0;
    for seed in mutation::seeds(changes) {
        count += 1;
        let input = mutation::changed(&corpus, seed);
        if catch_unwind(|| target(&input)).is_err() {
            panic!(
                "`{name}` panicked on change {seed} of its corpus: \"{}\"",
                input.escape_ascii()
            );
        }
    }
    mutation::print_count(name, count);
}

#[test]
fn no_sweep_file_panics() {
    assert_never_panics("sweep_file", targets::sweep_file, 600);
}

#[cfg(feature = "cli")]
#[test]
fn no_http_request_panics() {
    assert_never_panics("http_request", targets::http_request, 5000);
}

#[test]
fn no_expression_panics() {
    assert_never_panics("expression", targets::expression, 15_000);
}

#[test]
fn no_record_line_panics() {
    assert_never_panics("record_lines", targets::record_lines, 5000);
}

#[test]
fn no_records_file_panics_or_writes_outside_of_its_trial() {
    assert_never_panics("records_file", targets::records_file, 1500);
}

#[test]
fn no_journal_panics_and_a_salvaged_one_can_be_read() {
    assert_never_panics("journal", targets::journal, 1000);
}

#[test]
fn no_import_panics_or_damages_the_study() {
    assert_never_panics("import", targets::import_file, 600);
}
