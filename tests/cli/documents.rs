//! Generated pages and lists of pages: checks that they match the binary and the repository.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the output of `swath COMMAND --help`. `swath report` is meant for shell scripts and
/// prints its help to standard error.
fn help(command: Option<&str>) -> String {
    let mut swath = Command::new(env!("CARGO_BIN_EXE_swath"));
    swath
        .args(command)
        .arg("--help")
        .env_remove("SWATH_LOGS")
        .env("COLUMNS", "100");
    let output = swath.output().expect("it runs");
    let printed = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(printed).expect("it prints UTF-8");
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
        .trim_end()
        .to_owned()
}

/// Returns the names of the commands listed in a help text.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entries = listed.take_while(|line| !line.is_empty());
    let named = entries.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn the_page_of_commands_is_what_the_binary_says() {
    let overview = help(None);
    let mut page = format!(
        "# Commands\n\n<!-- Made from the binary: `SWATH_BLESS=1 cargo test --test cli documents::` writes it anew. -->\n\n\
         Every command takes `--logs DIR`, the folder of all studies, and `--help`. Exit codes are in\n\
         [environment.md](environment.md#exit-codes).\n\n```text\n{overview}\n```\n"
    );
    for command in commands(&overview) {
        write!(
            page,
            "\n## swath {command}\n\n```text\n{}\n```\n",
            help(Some(command))
        )
        .expect("a string");
    }
    if std::env::var_os("SWATH_BLESS").is_some() {
        fs::write(root().join("docs/commands.md"), &page).expect("the page can be written");
    }
    let written = read("docs/commands.md");
    let difference = page
        .lines()
        .zip(written.lines())
        .find(|(made, written)| made != written);
    assert_eq!(difference, None, "run it with SWATH_BLESS=1");
    assert_eq!(page.len(), written.len(), "run it with SWATH_BLESS=1");
}

#[test]
fn every_listed_command_has_a_man_page_and_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man1");
    let mut swath = Command::new(env!("CARGO_BIN_EXE_swath"));
    let written = swath.arg("man").arg(&pages).output().expect("it runs");
    assert!(written.status.success(), "{written:?}");
    let files = fs::read_dir(&pages).expect("the folder can be read");
    let names = files.map(|file| file.expect("an entry").file_name());
    let names: BTreeSet<_> = names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    let overview = help(None);
    let listed = commands(&overview)
        .into_iter()
        .map(|command| format!("swath-{command}.1"));
    assert_eq!(names, listed.chain(["swath.1".to_owned()]).collect());
}

#[test]
fn man_pages_that_cannot_be_written_are_an_error_that_names_the_folder() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut swath = Command::new(env!("CARGO_BIN_EXE_swath"));
    let refused = swath.arg("man").arg(file.path()).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let message = String::from_utf8(refused.stderr).expect("UTF-8");
    assert!(
        message.contains(&file.path().display().to_string()),
        "{message}"
    );
}

/// Returns the pages to which a document links, relative to the root of the repository.
fn linked_pages(document: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(document).parent().expect("a folder").to_owned();
    let text = read(document);
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target);
    let local = targets.filter(|target| !target.contains("://"));
    local
        .map(|target| folder.join(target.split('#').next().unwrap_or_default()))
        .collect()
}

#[test]
fn the_book_and_the_lists_of_pages_name_every_page_and_no_other() {
    let entries = fs::read_dir(root().join("docs")).expect("docs can be read");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let pages: BTreeSet<PathBuf> = names
        .filter(|name| {
            name.ends_with(".md") && !["README.md", "SUMMARY.md"].contains(&name.as_str())
        })
        .map(|name| Path::new("docs").join(name))
        .collect();
    for list in ["docs/SUMMARY.md", "docs/README.md", "llms.txt"] {
        let linked = linked_pages(list);
        let absent: Vec<_> = linked
            .iter()
            .filter(|path| !root().join(path).exists())
            .collect();
        assert!(
            absent.is_empty(),
            "{list} names pages that are not there: {absent:?}"
        );
        let unlisted: Vec<_> = pages
            .difference(&linked)
            .filter(|page| list != "llms.txt" || !page.ends_with("compatibility.md"))
            .collect();
        assert!(unlisted.is_empty(), "{list} does not name {unlisted:?}");
    }
}

/// Returns the anchors of a page's headings, as hosts and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut inside_code = false;
    let mut anchors = BTreeSet::new();
    for line in page.lines() {
        inside_code ^= line.starts_with("```");
        if !inside_code && line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

/// Returns the text of a page without blocks of code and code in back quotes.
fn prose(page: &str) -> String {
    let mut inside_code = false;
    let mut prose = String::new();
    for line in page.lines() {
        inside_code ^= line.starts_with("```");
        if !inside_code {
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let mut documents: Vec<PathBuf> = ["", "docs"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("it can be read"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    let mut dead = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).expect("the page can be read");
        let prose = prose(&text);
        let links = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        for (target, _) in links.filter(|(target, _)| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.with_file_name("").join(file),
            };
            let is_heading =
                || anchors(&fs::read_to_string(&path).unwrap_or_default()).contains(anchor);
            if !path.exists() || !anchor.is_empty() && !is_heading() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Folders of the project, whose files documents name in code spans.
const FOLDERS: [&str; 8] = [
    "tests/",
    "crates/",
    "src/",
    "benches/",
    "examples/",
    "fuzz/",
    "docs/",
    "sweeps/",
];

#[test]
fn every_file_of_the_project_that_the_promises_name_exists() {
    for page in ["docs/promises.md", "RELIABILITY.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let spans: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let absent: Vec<&&str> = spans
            .iter()
            .filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder)))
            .filter(|span| {
                !span.contains(char::is_whitespace)
                    && !span.contains("yours")
                    && !span.contains('*')
            })
            .filter(|span| !root().join(span).exists())
            .collect();
        assert!(absent.is_empty(), "{page} names {absent:?}");
    }
}

/// Adds the quoted names that begin with `SWATH_` in the code of a folder to `names`.
fn variables_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            variables_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the file can be read");
            let is_part = |character: &char| character.is_ascii_uppercase() || *character == '_';
            names.extend(
                text.split("\"SWATH_")
                    .skip(1)
                    .map(|rest| rest.chars().take_while(is_part).collect::<String>()),
            );
        }
    }
}

#[test]
fn every_variable_is_in_the_tables_of_variables() {
    // The variables set by tests.
    let internal = ["", "BLESS", "TEST_FOLDER", "TEST_MARK"];
    let mut names = BTreeSet::new();
    for folder in ["src", "crates"] {
        variables_in(&root().join(folder), &mut names);
    }
    assert!(names.contains("RECORDS"), "{names:?}");
    let tables = read("docs/environment.md") + &read("docs/sweep-file.md");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| {
            !internal.contains(&name.as_str()) && !tables.contains(&format!("`SWATH_{name}`"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "neither docs/environment.md nor docs/sweep-file.md names SWATH_{missing:?}"
    );
}
