//! Runs every command in the documentation and compares its output with the documented one.
//!
//! In a block fenced as `console`, a line `$ …` is a command, and the lines below it are its
//! output, standard error included. In the output, `…` stands for any text within a line, and a
//! line that is only `…` for any number of lines. A command without output below it may print
//! anything. All commands of a page run in one fresh copy of `sweeps`, `examples` and `data`, in
//! order, and must succeed. A page shows a failure as `$ swath …; echo "exit $?"`.
//!
//! A block whose fence ends in `file=NAME` is the text of that file, which the commands find in
//! their folder. Blocks fenced as `console needs=…` need Python packages: `tests/interop/guides.py`
//! runs them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the command to run for a documented one, which is typed in a clone; here the binary is
/// already built. Returns `None` for the command that runs this test itself.
fn translated(command: &str) -> Option<String> {
    match command {
        "cargo test" => None,
        other => Some(other.replace("cargo run --release -- ", "swath ")),
    }
}

struct Shown {
    line: usize,
    command: String,
    output: Vec<String>,
}

fn shown_in(page: &str) -> Vec<Shown> {
    let (mut all, mut inside): (Vec<Shown>, bool) = (Vec::new(), false);
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            all.push(Shown {
                line: number + 1,
                command: command.to_owned(),
                output: vec![],
            });
        } else if let Some(last) = all.last_mut().filter(|_| inside) {
            last.output.push(line.trim_end().to_owned());
        }
    }
    all
}

/// Returns the names and the texts of the files that a page shows.
fn files_in(page: &str) -> Vec<(String, String)> {
    let (mut files, mut inside) = (Vec::<(String, String)>::new(), false);
    for line in page.lines() {
        if let Some(info) = line.strip_prefix("```") {
            let name = info.split_once(" file=").map(|(_, name)| name.to_owned());
            inside = name.is_some();
            files.extend(name.map(|name| (name, String::new())));
        } else if let Some((_, text)) = files.last_mut().filter(|_| inside) {
            text.push_str(line);
            text.push('\n');
        }
    }
    files
}

/// Returns whether the printed lines match the documented ones, of which `…` alone matches any
/// number of lines.
fn agrees(shown: &[String], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], printed) => printed.is_empty(),
        ([any, rest @ ..], _) if any == "…" => {
            (0..=printed.len()).any(|skip| agrees(rest, &printed[skip..]))
        }
        ([line, rest @ ..], [first, others @ ..]) => {
            line_agrees(line, first.trim_end()) && agrees(rest, others)
        }
        _ => false,
    }
}

fn line_agrees(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((head, tail)) => printed.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices()
                .any(|(at, _)| line_agrees(tail, &rest[at..]))
                || line_agrees(tail, "")
        }),
    }
}

fn run_page(page: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    for folder in ["sweeps", "examples", "data"] {
        copy(&root.join(folder), &place.path().join(folder));
    }
    let text = fs::read_to_string(page).unwrap();
    for (name, content) in files_in(&text) {
        let file = place.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_swath")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    for Shown {
        line,
        command,
        output,
    } in shown_in(&text)
    {
        let Some(command) = translated(&command) else {
            continue;
        };
        let ran = Command::new("sh")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(place.path())
            .envs([
                ("PATH", path.as_str()),
                // The Python module of this repository, as if it were installed.
                ("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/python")),
                ("NO_COLOR", "1"),
                ("COLUMNS", "120"),
            ])
            .env_remove("SWATH_LOGS")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ran.stdout);
        let lines: Vec<&str> = printed.lines().collect();
        let place = format!("{}:{line}: `{command}`", page.display());
        assert!(
            ran.status.success(),
            "{place} ended with {}:\n{printed}",
            ran.status
        );
        assert!(
            output.is_empty() || agrees(&output, &lines),
            "{place} printed\n{printed}\nwhere the page shows\n{}",
            output.join("\n")
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|name| name == "md"))
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_command_in_the_readme_runs_and_prints_what_is_shown() {
    run_page(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
}

#[test]
fn every_command_in_the_docs_runs_and_prints_what_is_shown() {
    for page in pages_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")) {
        run_page(&page);
    }
}

#[test]
fn the_sweep_file_in_the_readme_is_one() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, block) = readme.split_once("```toml\n").unwrap();
    let place = tempfile::tempdir().unwrap();
    fs::write(
        place.path().join("readme.toml"),
        block.split_once("```").unwrap().0,
    )
    .unwrap();
    let binary = env!("CARGO_BIN_EXE_swath");
    let checked = Command::new(binary)
        .args(["check", "readme.toml"])
        .current_dir(&place)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn the_ellipsis_stands_for_anything_and_everything_else_for_itself() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(agrees(
        &shown("a … z\n…\nend"),
        &["a b c z", "1", "2", "end"]
    ));
    assert!(agrees(&shown("…\nend …"), &["end x"]));
    assert!(agrees(&shown("end…"), &["end"]));
    assert!(!agrees(&shown("a … z"), &["a b c"]));
    assert!(!agrees(&shown("a\nb"), &["a", "b", "c"]));
    assert!(!agrees(&shown("a\nb"), &["a"]));
}

#[test]
fn a_page_is_read_as_commands_with_their_output() {
    let page = "```console\n$ one\nout\n```\n```text\n$ not\n```\n```console\n$ two\n```\n";
    let read: Vec<_> = shown_in(page)
        .into_iter()
        .map(|shown| (shown.line, shown.command, shown.output))
        .collect();
    assert_eq!(
        read,
        [
            (2, "one".into(), vec!["out".to_owned()]),
            (9, "two".into(), vec![])
        ]
    );
}

#[test]
fn a_block_that_names_a_file_is_its_text_and_other_blocks_are_no_files() {
    let page = "```python file=a/train.py\nprint(1)\n\n```\n```toml\nx = 1\n```\n\
        ```toml file=b.toml\ny = 2\n```\ntext\n";
    let files = [("a/train.py", "print(1)\n\n"), ("b.toml", "y = 2\n")];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(files_in(page), files);
}
