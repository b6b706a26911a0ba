//! Finds the options of a Python script: its own interpreter parses it, and nothing is run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that parses a script and prints its options as JSON.
const READER: &str = include_str!("declared.py");

/// The options and the metrics that a script declares.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Declared {
    /// The library that reads the options: `argparse`, `click`, `hydra`, …; `None` if there is
    /// none.
    pub(super) style: Option<String>,
    /// The subcommand whose options these are, unless the arguments name it.
    pub(super) subcommand: Option<String>,
    pub(super) options: Vec<DeclaredOption>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) metrics: Vec<DeclaredMetric>,
    /// The names of the packages that the script imports.
    pub(super) imports: Vec<String>,
    /// The reason why the script could not be read.
    pub(super) error: Option<String>,
}

impl Declared {
    /// Drops the options that the arguments set.
    pub(super) fn drop_given(&mut self, arguments: &[String]) {
        self.options
            .retain(|option| !is_given(&option.flag, arguments));
        self.left_out
            .retain(|option| !is_given(&format!("--{}", option.name), arguments));
    }
}

/// Returns whether one of the arguments is `flag` or `flag=…`. Hydra's overrides have no dashes.
fn is_given(flag: &str, arguments: &[String]) -> bool {
    arguments.iter().any(|argument| {
        argument
            .strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// An option that becomes a parameter.
#[derive(Debug, PartialEq, serde::Deserialize)]
pub(super) struct DeclaredOption {
    /// Its name as a parameter.
    pub(super) name: String,
    /// Its name on the command line.
    pub(super) flag: String,
    pub(super) kind: OptionKind,
    pub(super) default: serde_json::Value,
    #[serde(default)]
    pub(super) choices: Vec<serde_json::Value>,
    /// The bounds that the script itself checks.
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    /// The flag for false, if it is not `--no-` and the name.
    pub(super) off: Option<String>,
    /// The form in which a list is passed: `each` or `repeat`; `None` for `[1, 2]`.
    pub(super) form: Option<String>,
}

impl DeclaredOption {
    /// Returns an option of which nothing more is declared than its default.
    pub(super) fn new(
        name: String,
        flag: String,
        kind: OptionKind,
        default: serde_json::Value,
    ) -> Self {
        Self {
            name,
            flag,
            kind,
            default,
            choices: Vec::new(),
            low: None,
            high: None,
            off: None,
            form: None,
        }
    }
}

/// The form in which an option takes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OptionKind {
    Int,
    Float,
    Choice,
    /// A list of numbers.
    List,
    /// `--x`, given or not.
    Switch,
    /// `--x` or `--no-x`.
    Pair,
    /// `--x=true` or `--x=false`.
    TextBool,
    Bool,
}

/// An option that does not become a parameter, with the reason.
#[derive(Debug, serde::Deserialize)]
pub(super) struct LeftOut {
    pub(super) name: String,
    pub(super) why: String,
    pub(super) line: u32,
    /// Its name on the command line, if it takes a text.
    #[serde(default)]
    pub(super) flag: Option<String>,
    /// The text that it has by default.
    #[serde(default)]
    pub(super) default: Option<String>,
}

/// A value that the script prints, logs or reports.
#[derive(Debug, serde::Deserialize)]
pub(super) struct DeclaredMetric {
    pub(super) name: String,
    /// `printed`, `logged` or `reported`.
    pub(super) how: String,
    /// The text before the printed value.
    pub(super) text: Option<String>,
}

/// Returns the interpreter that runs a script: that of a virtual environment in the current folder
/// or beside the script, `python` of an active one, or `python3`.
pub(super) fn interpreter(script: &Path) -> String {
    let beside = script.parent().unwrap_or(Path::new(""));
    for folder in [Path::new(""), beside] {
        for environment in [".venv", "venv"] {
            let path = folder.join(environment).join("bin/python");
            if path.exists() {
                return path.display().to_string();
            }
        }
    }
    let mut variables = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter();
    if variables.any(|name| std::env::var_os(name).is_some()) {
        "python".to_owned()
    } else {
        "python3".to_owned()
    }
}

/// Reads the options of a Python script. Fails with the reason if there is no Python, or if the
/// script cannot be parsed.
pub(super) fn read(script: &Path, arguments: &[String]) -> Result<Declared, String> {
    let python = PathBuf::from(interpreter(script));
    // The script's own folder is not in the path of modules, so that a file of the user cannot
    // stand in for one of the standard library.
    let mut child = Command::new(&python)
        .args(["-I", "-"])
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{}` could not be started: {error}", python.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(READER.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.trim_end().lines().last().unwrap_or_default();
        return Err(format!("`{}` failed: {last}", python.display()));
    }
    let declared: Declared =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    match declared.error {
        Some(error) => Err(error),
        None => Ok(declared),
    }
}
