//! Mutated sweep files and damaged studies, read by the binary: no command panics or hangs, and no
//! number of a study changes without a word.
//!
//! `SWATH_FUZZ_SECONDS=600 cargo test --release --test cli damaged_files::` runs the long form.

use crate::mutation;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A sweep whose trials record lines of several kinds.
const SWEEP: &str = r#"
[run]
command = ["sh", "train.sh", "{x}"]
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 6
[resources]
jobs = 2
[space]
x = { min = 0.0, max = 1.0 }
kind = ["a", "b"]
"#;

const SCRIPT: &str = r#"
echo model > "model-$SWATH_TRIAL"
for epoch in 1 2 3; do
    echo "{\"epoch\": $epoch, \"loss\": $1, \"accuracy\": 0.$epoch}"
    echo "{\"kind\": \"metric\", \"log\": \"train\", \"step\": $epoch, \"speed\": 1$epoch}"
done >> "$SWATH_RECORDS"
echo "{\"kind\": \"model\", \"path\": \"model-$SWATH_TRIAL\", \"step\": 3}" >> "$SWATH_RECORDS"
echo '{"kind": "note", "text": "done"}' >> "$SWATH_RECORDS"
"#;

/// Commands that show numbers of a study.
const READERS: [&[&str]; 5] = [
    &["ls", "s", "--json"],
    &["show", "s", "1", "--json"],
    &["best", "s"],
    &["compare", "s", "--csv"],
    &["export", "s", "--csv"],
];

/// Exit codes that a reader may have: done, failed, refused, nothing succeeded, different.
const READER_CODES: [i32; 5] = [0, 1, 2, 3, 6];

/// Runs the binary with at most ten seconds of processor time and 2 GiB of memory.
fn swath(folder: &Path, words: &[&str]) -> Output {
    Command::new("sh")
        .args([
            "-c",
            "ulimit -t 10; ulimit -v 2097152; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_swath"),
        ])
        .args(words)
        .current_dir(folder)
        .env_remove("SWATH_LOGS")
        .stdin(Stdio::null())
        .output()
        .expect("it can be started")
}

/// Checks that a command ended by itself, with one of `codes`, and did not panic.
fn assert_ended_well(output: &Output, codes: &[i32], about: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), None, "{about}: {stderr}");
    let code = output.status.code().expect("no signal");
    assert!(codes.contains(&code), "{about}: exit {code}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{about}: {stderr}");
}

#[test]
fn no_mutated_sweep_file_harms_check_or_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = vec![SWEEP.as_bytes().to_vec()];
    for folder in ["sweeps", "tests/engine/fuzz/corpus/sweep_file"] {
        let entries = fs::read_dir(root.join(folder)).expect("the folder");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
        paths.sort();
        corpus.extend(paths.iter().map(|path| fs::read(path).expect("a file")));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut count = 0;
    for seed in mutation::seeds(60) {
        count += 1;
        let sweep = mutation::changed(&corpus, seed);
        fs::write(folder.path().join("s.toml"), &sweep).expect("it can be written");
        for command in [&["check", "s.toml"][..], &["plan", "s.toml"]] {
            let output = swath(folder.path(), command);
            let about = format!("{command:?}, seed {seed}");
            assert_ended_well(&output, &[0, 1, 2], &about);
        }
    }
    mutation::print_count("check and plan", count);
}

/// A finished study and the output of each reader.
struct Study {
    folder: TempDir,
    /// Its files with their contents.
    files: BTreeMap<PathBuf, Vec<u8>>,
    shown: Vec<Output>,
}

impl Study {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("s.toml"), SWEEP).expect("it can be written");
        fs::write(folder.path().join("train.sh"), SCRIPT).expect("it can be written");
        let ran = swath(folder.path(), &["run", "s.toml", "--quiet"]);
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let mut files = BTreeMap::new();
        read_files(&folder.path().join("logs/s"), &mut files);
        let mut study = Self {
            folder,
            files,
            shown: Vec::new(),
        };
        study.shown = READERS.map(|words| study.read(words)).into();
        for (output, words) in study.shown.iter().zip(READERS) {
            assert_ended_well(output, &[0], &format!("{words:?} of a good study"));
        }
        study
    }

    fn read(&self, words: &[&str]) -> Output {
        swath(self.folder.path(), words)
    }

    /// Writes all files as they were.
    fn restore(&self) {
        let root = self.folder.path().join("logs/s");
        fs::remove_dir_all(&root).expect("the study can be removed");
        for (path, bytes) in &self.files {
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
    }
}

fn read_files(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_files(&path, files);
        } else {
            let bytes = fs::read(&path).expect("the file can be read");
            files.insert(path, bytes);
        }
    }
}

/// Returns the damage of a seed: what a disk, an editor or a bad copy may do to a file.
fn damaged(bytes: &[u8], seed: u64, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let digits: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit())
        .collect();
    match rng.random_range(0..4) {
        // One digit becomes another: the damage that is hardest to see.
        0 | 1 if !digits.is_empty() => {
            let mut bytes = bytes.to_vec();
            let at = digits[rng.random_range(0..digits.len())];
            bytes[at] = b'0' + (bytes[at] - b'0' + rng.random_range(1..10)) % 10;
            bytes
        }
        2 => {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let kept = rng.random_range(0..=lines.len());
            lines[..kept].concat()
        }
        _ => mutation::changed(&[bytes.to_vec()], seed),
    }
}

#[test]
fn no_number_of_a_damaged_study_changes_without_a_word() {
    let study = Study::new();
    // The study's own files and those of one trial.
    let root = study.folder.path().join("logs/s");
    let paths: Vec<&PathBuf> = study
        .files
        .keys()
        .filter(|path| path.parent() == Some(&root) || path.starts_with(root.join("1")))
        .filter(|path| !path.ends_with("lock"))
        .collect();
    let mut count = 0;
    for seed in mutation::seeds(40) {
        count += 1;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Half of the damage is to the two files that every reader reads.
        let path = match rng.random_range(0..4) {
            0 => &root.join("journal.jsonl"),
            1 => &root.join("snapshot.json"),
            _ => paths[rng.random_range(0..paths.len())],
        };
        let bytes = damaged(&study.files[path], seed, &mut rng);
        fs::write(path, bytes).expect("it can be written");
        let name = path.strip_prefix(&root).expect("below").display();
        for (words, good) in READERS.iter().zip(&study.shown) {
            let about = format!("{words:?} of a study with a damaged `{name}`, seed {seed}");
            let output = study.read(words);
            assert_ended_well(&output, &READER_CODES, &about);
            // The description of the machine has no checksum, and is shown as it is.
            let is_silent = output.status.success()
                && output.stderr == good.stderr
                && !path.ends_with("environment.json");
            assert!(
                !is_silent || output.stdout == good.stdout,
                "{about} changed without a word:\n{}\n{}",
                String::from_utf8_lossy(&good.stdout),
                String::from_utf8_lossy(&output.stdout)
            );
        }
        let doctor = study.read(&["doctor", "s"]);
        assert_ended_well(
            &doctor,
            &READER_CODES,
            &format!("doctor, `{name}`, seed {seed}"),
        );
        study.restore();
    }
    mutation::print_count("readers of damaged studies", count);
}
