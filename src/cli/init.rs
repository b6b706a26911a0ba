//! `swath init`: writes a sweep file to start from, for a given program.

use super::Context;
use super::exit::{Code, Failure};
use regex::Regex;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `swath init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to tune: a script or an executable
    #[arg(value_name = "PROGRAM")]
    pub(crate) program: PathBuf,

    /// The sweep file to write [default: beside the program, with the ending .toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Runs `swath init`: writes the sweep file. Never overwrites an existing file.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let script = read(&args.program)?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| args.program.with_extension("toml"));
    let shown = path.display();
    let text = starter(&args.program, &script, &shown.to_string());
    // `create_new` leaves no gap between the check and the write in which another file could
    // appear.
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(text.as_bytes())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(
                Failure::usage(format!("`{shown}` already exists and was not changed"))
                    .hint("choose another file with `--output`"),
            );
        }
        Err(error) => {
            return Err(Failure::usage(format!(
                "could not write `{shown}`: {error}"
            )));
        }
    }
    context.out.say(format_args!("wrote `{shown}`"));
    context.out.hint(format_args!(
        "review `[space]` and `[objective]`, then run `swath check {shown}`"
    ));
    Ok(Code::Done)
}

/// The number of bytes read from a script: options are declared near its beginning.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// Returns the text of a script, or an empty text for an executable. Fails if the program is a
/// folder or cannot be read.
fn read(program: &Path) -> Result<String, Failure> {
    let shown = program.display();
    if program.is_dir() {
        return Err(Failure::usage(format!(
            "`{shown}` is a folder, not a program"
        )));
    }
    let mut bytes = Vec::new();
    let read =
        File::open(program).and_then(|file| file.take(LONGEST_SCRIPT).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(String::from_utf8(bytes).unwrap_or_default()),
        Err(error) => Err(
            Failure::usage(format!("could not read the program `{shown}`: {error}"))
                .hint("give the script or executable that trains one model"),
        ),
    }
}

fn starter(program: &Path, script: &str, path: &str) -> String {
    let options = options(script);
    let space = if options.is_empty() {
        EXAMPLES.to_owned()
    } else {
        options
    };
    format!(
        r#"# A sweep over `{program}`: `swath check {path}`, then `swath run {path}`.
# The same command continues an earlier run. `trials` is a total: raise it to add trials.

[run]
# One string per argument; no shell is involved. {{args}} becomes --name=value for every parameter of [space].
command = [{command}, "{{args}}"]
# data_dir = "data"            # hashed and recorded with every trial

[objective]
metric = "val_loss"            # a value that the program reports
goal   = "min"                 # min | max

[search]
trials = 50

[limits]
trial_time = "1h"

# A trial reports by appending a line of JSON, such as {{"epoch": 3, "val_loss": 0.41}}, to the file that the
# variable SWATH_RECORDS names, or by calling `swath report epoch=3 val_loss=0.41`. For a program that only prints:
# [capture]
# val_loss = 'val_loss[=:]\s*(\S+)'

[space]
{space}"#,
        program = program.display(),
        command = command(program),
    )
}

const EXAMPLES: &str = r#"lr     = { min = 1e-5, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
# optimizer = ["sgd", "adam"]                                          # a choice
# momentum  = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }   # only with sgd
# epochs    = 20                                                       # a constant
"#;

/// Returns the words that start the program, as TOML strings separated by commas. The file
/// extension decides on the interpreter.
fn command(program: &Path) -> String {
    let interpreter = match program.extension().and_then(|ending| ending.to_str()) {
        Some("py") => Some("python3"),
        Some("sh") => Some("sh"),
        Some("R" | "r") => Some("Rscript"),
        Some("jl") => Some("julia"),
        Some("js" | "mjs") => Some("node"),
        Some("lua") => Some("lua"),
        Some("pl") => Some("perl"),
        Some("rb") => Some("ruby"),
        _ => None,
    };
    let mut path = program.display().to_string();
    // A shell or the kernel would look for a bare name in `PATH` instead of the current folder.
    if interpreter.is_none() && !path.contains('/') {
        path.insert_str(0, "./");
    }
    let command = interpreter.into_iter().chain([path.as_str()]);
    command
        .map(|word| toml::Value::from(word).to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Guesses parameters from the options that a script declares with a default or with choices, as
/// argparse, click and typer write them. Returns one line of TOML per parameter.
fn options(script: &str) -> String {
    let Ok(option) = Regex::new(r#"["']--([A-Za-z][A-Za-z0-9_-]*)["']"#) else {
        return String::new();
    };
    let mut space = String::new();
    let mut seen = Vec::new();
    for line in script
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let Some(name) = option.captures(line).map(|groups| groups[1].to_owned()) else {
            continue;
        };
        let Some(guess) = guess(&name, line) else {
            continue;
        };
        if !seen.contains(&name) {
            let _ = writeln!(space, "{name} = {guess}");
            seen.push(name);
        }
    }
    space
}

/// Returns the first group of a pattern's first match.
fn capture(pattern: &str, line: &str) -> Option<String> {
    Some(Regex::new(pattern).ok()?.captures(line)?[1].to_owned())
}

/// Guesses the value of a parameter from the line of its declaration: a list of choices, a range
/// around the default, or the default itself.
fn guess(name: &str, line: &str) -> Option<String> {
    if let Some(choices) = capture(r"choices\s*=\s*[\[\(]([^\]\)]*)[\]\)]", line) {
        let choices = choices
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let list = format!("[{}]", choices.collect::<Vec<_>>().join(", "));
        // Choices may contain Python names or calls, which are not TOML.
        return toml::from_str::<toml::Table>(&format!("x = {list}"))
            .is_ok()
            .then_some(list);
    }
    let default = capture(
        r"default\s*=\s*([-+]?[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?)\s*[,)]",
        line,
    )?;
    let lower = name.to_lowercase();
    let fixed = [
        "epoch", "step", "seed", "worker", "device", "port", "rank", "interval", "every",
    ];
    let is_fixed = fixed.iter().any(|word| lower.contains(word));
    if let Ok(number) = default.parse::<i64>() {
        // Half and twice a default below 2 make no useful range.
        if is_fixed || number < 2 {
            return Some(default);
        }
        let (min, max) = (number / 2, number.saturating_mul(2));
        return Some(format!("{{ min = {min}, max = {max} }}"));
    }
    let number = default
        .parse::<f64>()
        .ok()
        .filter(|number| *number > 0.0 && !is_fixed)?;
    // Rates such as dropout and momentum lie between 0 and 1; other decimals get a log scale.
    let is_share = ["drop", "momentum", "beta", "ratio", "gamma", "frac"]
        .iter()
        .any(|word| lower.contains(word));
    if is_share && number < 1.0 {
        return Some("{ min = 0.0, max = 0.99 }".to_owned());
    }
    Some(format!(
        "{{ min = {:e}, max = {:e}, log = true }}",
        number / 10.0,
        number * 10.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::sweep::Sweep;

    const SCRIPT: &str = r#"
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--dropout", type=float, default=0.5)
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--data", default="data.csv")
"#;

    #[test]
    fn options_with_defaults_become_ranges_around_them() {
        insta::assert_snapshot!(options(SCRIPT), @r#"
        lr = { min = 1e-3, max = 1e-1, log = true }
        layers = { min = 1, max = 4 }
        epochs = 20
        dropout = { min = 0.0, max = 0.99 }
        optimizer = ["sgd", "adam"]
        "#);
    }

    #[test]
    fn a_starter_is_a_valid_sweep_file() {
        for (program, script) in [
            ("train.py", SCRIPT),
            ("bin/a \"b\"", ""),
            ("run.sh", "echo '--é' default=3"),
        ] {
            let text = starter(Path::new(program), script, "train.toml");
            let parsed = Sweep::parse(Source {
                name: "train.toml".into(),
                text,
            });
            let warnings = parsed
                .map(|sweep| sweep.warnings)
                .map_err(|rejected| rejected.to_string());
            assert_eq!(
                warnings,
                Ok(crate::source::Diagnostics::default()),
                "{program}"
            );
        }
    }

    #[test]
    fn scripts_get_their_interpreter_and_executables_a_path() {
        assert_eq!(
            command(Path::new("src/train.py")),
            r#""python3", "src/train.py""#
        );
        assert_eq!(command(Path::new("train")), r#""./train""#);
    }
}
