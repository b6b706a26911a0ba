//! `swath init`: writes a sweep file to start from, for a given program.

mod ranges;
mod script;

use super::Context;
use super::exit::{Code, Failure};
use script::{Declared, DeclaredMetric, DeclaredOption, OptionKind};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
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
    check(&args.program)?;
    let declared = match is_python(&args.program) {
        true => script::read(&args.program).unwrap_or_else(|why| {
            let shown = args.program.display();
            context.out.warn(format_args!(
                "the options of `{shown}` could not be read: {why}"
            ));
            Declared::default()
        }),
        false => Declared::default(),
    };
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| args.program.with_extension("toml"));
    let shown = path.display();
    let text = starter(&args.program, &declared, &shown.to_string());
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

/// Fails if the program does not exist or is a folder.
fn check(program: &Path) -> Result<(), Failure> {
    let shown = program.display();
    match program.metadata() {
        Ok(about) if about.is_dir() => Err(Failure::usage(format!(
            "`{shown}` is a folder, not a program"
        ))),
        Ok(_) => Ok(()),
        Err(error) => Err(
            Failure::usage(format!("could not read the program `{shown}`: {error}"))
                .hint("give the script or executable that trains one model"),
        ),
    }
}

fn is_python(program: &Path) -> bool {
    program.extension().is_some_and(|ending| ending == "py")
}

/// Returns the text of the sweep file.
fn starter(program: &Path, declared: &Declared, path: &str) -> String {
    let mut text = format!(
        "# A sweep over `{program}`: `swath check {path}`, then `swath run {path}`.\n\
         # The same command continues an earlier run. `trials` is a total: raise it to add trials.\n\n\
         [run]\n\
         # One string per argument; no shell is involved. {{args:rest}} becomes --name=value for every\n\
         # parameter of [space] that the command does not name.\n\
         command = [{command}]\n\
         # data_dir = \"data\"            # hashed and recorded with every trial\n\n",
        program = program.display(),
        command = command(program, declared).join(", "),
    );
    text.push_str(&objective(declared));
    text.push_str("\n[search]\ntrials = 50\n\n[limits]\ntrial_time = \"1h\"\n\n");
    text.push_str(&capture(declared));
    text.push_str("[space]\n");
    text.push_str(&space(declared));
    text
}

/// Words in the names of metrics of which large values are good.
const LARGE_IS_GOOD: [&str; 14] = [
    "acc",
    "auc",
    "f1",
    "score",
    "precision",
    "recall",
    "r2",
    "bleu",
    "rouge",
    "reward",
    "return",
    "map",
    "iou",
    "dice",
];

fn is_large_good(name: &str) -> bool {
    let name = name.to_lowercase();
    let mut words = name.split(|char: char| !char.is_alphanumeric());
    words.any(|word| {
        LARGE_IS_GOOD
            .iter()
            .any(|good| word == *good || (good.len() > 2 && word.starts_with(good)))
    })
}

/// Returns whether a printed value counts the progress of the training.
fn is_counter(name: &str) -> bool {
    let name = name.to_lowercase();
    let counters = [
        "epoch",
        "step",
        "iter",
        "iteration",
        "round",
        "batch",
        "fold",
        "lr",
        "seed",
        "time",
    ];
    counters.contains(&name.as_str())
}

/// Returns the metric that is probably the objective: one of held-out data before one of training
/// data, and the last one that the script mentions.
fn likely_objective(declared: &Declared) -> Option<&DeclaredMetric> {
    let rank = |metric: &&DeclaredMetric| {
        let name = metric.name.to_lowercase();
        let is_held_out = ["val", "test", "eval", "dev", "cv", "mean"]
            .iter()
            .any(|word| name.contains(word));
        (is_held_out, !name.contains("train"), metric.how != "logged")
    };
    declared
        .metrics
        .iter()
        .filter(|metric| !is_counter(&metric.name))
        .max_by_key(rank)
}

/// Returns the name of a metric as a key of `[capture]` and `[objective]`.
fn key_of(metric: &DeclaredMetric) -> String {
    match metric.how.as_str() {
        "printed" => metric
            .name
            .trim()
            .to_lowercase()
            .replace(|char: char| !char.is_alphanumeric(), "_"),
        _ => metric.name.clone(),
    }
}

fn objective(declared: &Declared) -> String {
    let metric = likely_objective(declared);
    let (name, comment) = match metric {
        Some(metric) => (key_of(metric), "found in the program"),
        None => ("val_loss".to_owned(), "a value that the program reports"),
    };
    let goal = if is_large_good(&name) { "max" } else { "min" };
    format!(
        "[objective]\nmetric = {:<22} # {comment}\ngoal   = {:<22} # min | max\n",
        toml::Value::from(name).to_string(),
        format!("\"{goal}\""),
    )
}

/// Returns `[capture]` for a program that prints its metrics, or a comment on the way to report.
fn capture(declared: &Declared) -> String {
    let objective = likely_objective(declared);
    match objective.map(|metric| metric.how.as_str()) {
        Some("reported") => String::new(),
        Some("printed") => {
            let counter = declared
                .metrics
                .iter()
                .find(|metric| metric.how == "printed" && ["epoch", "step", "iteration"].contains(&metric.name.to_lowercase().as_str()));
            let mut text = "# The program prints these values.\n[capture]\n".to_owned();
            for metric in counter.into_iter().chain(objective) {
                let _ = writeln!(text, "{} = '{}'", quoted_key(&key_of(metric)), pattern(metric));
            }
            text.push('\n');
            text
        }
        _ => "# A trial reports by appending a line of JSON, such as {\"epoch\": 3, \"val_loss\": 0.41}, to the file\n\
              # that the variable SWATH_RECORDS names, by `swath report epoch=3 val_loss=0.41`, or in Python by\n\
              # `swath.report(epoch=3, val_loss=0.41)`. For a program that only prints:\n\
              # [capture]\n\
              # val_loss = 'val_loss[=:]\\s*(\\S+)'\n\n"
            .to_owned(),
    }
}

/// Returns the expression that finds a printed value.
fn pattern(metric: &DeclaredMetric) -> String {
    let text = metric.text.as_deref().unwrap_or(&metric.name);
    let text = text
        .trim_start_matches([',', ';', '|', ' ', ':', '-'])
        .trim_end();
    let label = regex::escape(text).replace(' ', r"\s+").replace('\'', ".");
    format!(r"{label}\s*([-+\w.]+)")
}

fn quoted_key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '_' || char == '-');
    if is_bare {
        name.to_owned()
    } else {
        toml::Value::from(name).to_string()
    }
}

const EXAMPLES: &str = r#"lr     = { min = 1e-5, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
# optimizer = ["sgd", "adam"]                                          # a choice
# momentum  = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }   # only with sgd
# epochs    = 20                                                       # a constant
"#;

/// Returns the lines of `[space]`, and as comments the options that are not in it.
fn space(declared: &Declared) -> String {
    let mut text = String::new();
    for option in &declared.options {
        let Some(entry) = ranges::entry(option) else {
            let why = format!("its default is {}; give it a range", option.default);
            let _ = writeln!(text, "# {}: {why}", option.name);
            continue;
        };
        let _ = writeln!(text, "{} = {entry}", quoted_key(&option.name));
    }
    if text.is_empty() {
        text.push_str(EXAMPLES);
    }
    if !declared.left_out.is_empty() {
        text.push_str("\n# Left out:\n");
    }
    for option in &declared.left_out {
        let _ = writeln!(
            text,
            "# {} (line {}): {}",
            option.name, option.line, option.why
        );
    }
    text
}

/// Returns the arguments that start the program, as TOML strings.
fn command(program: &Path, declared: &Declared) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    match program.extension().and_then(|ending| ending.to_str()) {
        Some("py") => words.push(script::interpreter(program)),
        Some("sh") => words.push("sh".to_owned()),
        Some("R" | "r") => words.push("Rscript".to_owned()),
        Some("jl") => words.push("julia".to_owned()),
        Some("js" | "mjs") => words.push("node".to_owned()),
        Some("lua") => words.push("lua".to_owned()),
        Some("pl") => words.push("perl".to_owned()),
        Some("rb") => words.push("ruby".to_owned()),
        _ => {}
    }
    let path = program.display().to_string();
    // A shell or the kernel would look for a bare name in `PATH` instead of the current folder.
    words.push(match words.is_empty() && !path.contains('/') {
        true => format!("./{path}"),
        false => path,
    });
    if declared.style.as_deref() == Some("hydra") {
        words.push("{hydra:rest}".to_owned());
        words.push("hydra.run.dir={trial_dir}/hydra".to_owned());
    } else {
        words.extend(declared.options.iter().filter_map(switch));
        if declared
            .left_out
            .iter()
            .any(|option| option.name == "output_dir")
        {
            words.push("--output_dir={trial_dir}/output".to_owned());
        }
        words.push("{args:rest}".to_owned());
    }
    words
        .iter()
        .map(|word| toml::Value::from(word.as_str()).to_string())
        .collect()
}

/// Returns the placeholder of an option without a value.
fn switch(option: &DeclaredOption) -> Option<String> {
    match option.kind {
        OptionKind::Switch => Some(format!("--{{{}}}", option.name)),
        OptionKind::Pair => Some(match &option.off {
            Some(off) if *off != format!("--no-{}", option.name) => {
                format!("{{{}:flag={}/{off}}}", option.name, option.flag)
            }
            _ => format!("{{{}:flag}}", option.name),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::sweep::Sweep;

    fn written(script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.py");
        std::fs::write(&path, script).unwrap();
        let declared = script::read(&path).unwrap();
        starter(Path::new("train.py"), &declared, "train.toml")
    }

    const ARGPARSE: &str = r#"
import argparse
parser = argparse.ArgumentParser()
model = parser.add_argument_group("model")
model.add_argument(
    "--lr",
    type=float,
    default=0.01,
)
parser.add_argument("-b", "--batch-size", type=int, default=2**5)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--dropout", type=float, default=0.5)
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--amp", action="store_true")
parser.add_argument("--norm", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--data", default="data.csv")
parser.add_argument("--hidden", nargs="+", type=int, default=[64, 32])
print(f"Epoch {1}: train loss={0.1:.3f}, Test AUC: {0.2}")
"#;

    #[test]
    fn options_become_parameters_however_they_are_laid_out() {
        insta::assert_snapshot!(written(ARGPARSE));
    }

    #[test]
    fn a_starter_is_a_valid_sweep_file() {
        let texts = [
            written(ARGPARSE),
            written("import swath\np = swath.params(lr=0.1)\nswath.report(val_loss=1)\n"),
            starter(Path::new("bin/a \"b\""), &Declared::default(), "a.toml"),
        ];
        for text in texts {
            let parsed = Sweep::parse(Source {
                name: "train.toml".into(),
                text: text.clone(),
            });
            let warnings = parsed
                .map(|sweep| sweep.warnings)
                .map_err(|rejected| rejected.to_string());
            assert_eq!(
                warnings,
                Ok(crate::source::Diagnostics::default()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_in_a_printed_text_is_no_part_of_the_name_behind_it() {
        let text = written("print(f'Epoch 1 val_loss: {0.1:.4f}')\n");
        assert!(text.contains("metric = \"val_loss\""), "{text}");
        assert!(
            text.contains(r"val_loss = 'val_loss:\s*([-+\w.]+)'"),
            "{text}"
        );
    }

    #[test]
    fn executables_get_a_path() {
        let none = Declared::default();
        assert_eq!(
            command(Path::new("train"), &none),
            [r#""./train""#, r#""{args:rest}""#]
        );
    }
}
