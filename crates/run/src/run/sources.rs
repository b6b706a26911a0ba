//! Sources that a run uses by itself: for a Python script that says nothing else about its results,
//! but logs them with a library that a source can read.

use super::imports::imported_files;
use crate::sweep::{Choice, Sweep};
use regex::Regex;
use std::path::{Path, PathBuf};
use swath_model::source::{Key, Node, NodeValue, Section, Table};
use swath_model::study::kind::find;

/// The packages that a source reads, by the name of the source, in the order of precedence.
const PACKAGES: &[(&str, &str)] = &[
    ("mlflow", r"mlflow"),
    (
        "python",
        r"tensorboardX|torch\.utils\.tensorboard|torch\.utils|wandb|lightning|pytorch_lightning|lightning_fabric",
    ),
];

/// The variable with the server to which a script logs with MLflow.
const MLFLOW_SERVER: &str = "MLFLOW_TRACKING_URI";

/// The source that a run uses although the sweep file names none.
#[derive(Debug)]
pub(super) enum Implied {
    /// Occurs when the script logs with a library that this source reads.
    Source(Choice),
    /// Occurs when the script logs with MLflow to a store that swath cannot forward to. The store
    /// is the caller's choice, so the script goes on to log there. The notice says so.
    LeftAlone(String),
}

/// Returns the source that a run uses by itself; `None` if the sweep file says where reports come
/// from, or the script reports by itself.
pub(super) fn implied(sweep: &Sweep, workdir: &Path) -> Option<Implied> {
    let name = implied_name(sweep, workdir)?;
    let mut table = Table::default();
    if name == "mlflow"
        && let Some(uri) = variable(&sweep.run.env, MLFLOW_SERVER)
    {
        if !uri.starts_with("http://") && !uri.starts_with("https://") {
            return Some(Implied::LeftAlone(format!(
                "the script logs with MLflow to the store that {MLFLOW_SERVER} names, and not to \
                 swath; to let swath read what it logs, unset the variable or write `[[source]]` \
                 with `name = \"mlflow\"`"
            )));
        }
        // The caller's server gets with swath all that it would get without swath.
        table.entries.push(switched_on("forward"));
    }
    Some(Implied::Source(Choice {
        name: name.to_owned(),
        section: Section::new("source", 0..0, table),
        span: 0..0,
        capabilities: &[],
    }))
}

/// Returns an option of a table with the value `true`.
fn switched_on(name: &str) -> (Key, Node) {
    let key = Key {
        name: name.to_owned(),
        span: 0..0,
    };
    let node = Node {
        span: 0..0,
        value: NodeValue::Bool(true),
        written: Box::from("true"),
    };
    (key, node)
}

/// Returns the value that a variable has for the program, if it is not empty.
fn variable(env: &[(String, String)], name: &str) -> Option<String> {
    let entry = env.iter().rev().find(|(key, _)| key == name);
    let value = match entry {
        Some((_, value)) => Some(value.clone()),
        None => std::env::var(name).ok(),
    };
    value.filter(|value| !value.is_empty())
}

fn implied_name(sweep: &Sweep, workdir: &Path) -> Option<&'static str> {
    if !sweep.sources.is_empty() || !sweep.capture.is_empty() {
        return None;
    }
    let words = sweep.run.command.words();
    let program = Path::new(words.first()?).file_name()?.to_str()?;
    let script = words.iter().map(|word| workdir.join(word));
    let mut script = script.filter(|path| path.extension().is_some_and(|ending| ending == "py"));
    let script = script.next().filter(|path| path.is_file())?;
    let is_python = program.starts_with("python") || script.file_name()?.to_str()? == program;
    if !is_python {
        return None;
    }
    let mut files: Vec<PathBuf> = imported_files(&script, workdir).into_iter().collect();
    files.insert(0, script);
    let texts: Vec<String> = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    if texts.iter().any(|text| reports(text)) {
        return None;
    }
    let kinds = sweep.registry().sources();
    let mut named = PACKAGES
        .iter()
        .filter(|(name, _)| find(kinds, name).is_some());
    let (name, _) = named.find(|(_, packages)| texts.iter().any(|text| imports(text, packages)))?;
    Some(name)
}

/// Returns whether a script reports to swath itself.
fn reports(text: &str) -> bool {
    text.contains("SWATH_RECORDS") || imports(text, "swath")
}

/// Returns whether a script imports one of the packages.
fn imports(text: &str, packages: &str) -> bool {
    let statement =
        format!(r"(?m)^[ \t]*(?:import|from)[ \t]+(?:[\w. \t]+,[ \t]*)*(?:{packages})\b");
    Regex::new(&statement).is_ok_and(|statement| statement.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::source::Source;

    fn implied_by(script: &str, extra: &str, command: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.py"), script).unwrap();
        let text = format!("[run]\ncommand = {command}\n{extra}\n[space]\nlr = [1, 2]\n");
        let sweep = Sweep::parse(Source {
            name: "s.toml".to_owned(),
            text,
        });
        implied(&sweep.unwrap(), folder.path()).map(|implied| match implied {
            Implied::Source(choice) => {
                let options = choice.section.to_toml();
                format!("{} {options}", choice.name).trim().to_owned()
            }
            Implied::LeftAlone(notice) => notice,
        })
    }

    #[test]
    fn a_server_of_the_caller_gets_what_it_would_get_and_another_store_is_left_alone() {
        let implied_with = |uri: &str| {
            let env = format!("env = {{ MLFLOW_TRACKING_URI = '{uri}' }}");
            implied_by("import mlflow", &env, "['python3', 'train.py']")
        };
        let forwarded = Some("mlflow \"forward\" = true".to_owned());
        assert_eq!(implied_with("http://mlflow.example:5000"), forwarded);
        assert_eq!(implied_with(""), Some("mlflow".to_owned()));
        for store in ["sqlite:///mlflow.db", "./mlruns", "databricks"] {
            let notice = implied_with(store).unwrap();
            assert!(notice.contains("and not to swath"), "{notice}");
        }
    }

    #[test]
    fn a_script_that_only_logs_with_a_library_implies_its_source() {
        const PYTHON: &str = "['python3', 'train.py']";
        for (script, extra, command, expected) in [
            ("import wandb", "", PYTHON, Some("python")),
            ("import os, wandb\n", "", PYTHON, Some("python")),
            (
                "from torch.utils.tensorboard import SummaryWriter",
                "",
                PYTHON,
                Some("python"),
            ),
            (
                "if x:\n    import lightning as L",
                "",
                PYTHON,
                Some("python"),
            ),
            ("import wandb", "", "['./train.sh']", None),
            ("import wandb\nimport swath", "", PYTHON, None),
            (
                "import wandb\nos.environ['SWATH_RECORDS']",
                "",
                PYTHON,
                None,
            ),
            (
                "import wandb",
                "[capture]\nloss = 'loss=(.*)'",
                PYTHON,
                None,
            ),
            ("import json", "", PYTHON, None),
            ("x = 'import wandb'", "", PYTHON, None),
        ] {
            let implied = implied_by(script, extra, command);
            assert_eq!(implied.as_deref(), expected, "{script} {extra} {command}");
        }
    }
}
