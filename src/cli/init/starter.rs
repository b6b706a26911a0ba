//! The text of a sweep file for a program, from its source and, if it ran, from its first run.

use super::attempt::{Objective, Observed};
use super::place::Written;
use super::ranges;
use super::script::{self, Declared, DeclaredMetric, DeclaredOption, LeftOut, OptionKind};
use super::settings::ConfigArgument;
use super::words;
use crate::executor::LONGEST_REPEATED;
use crate::report::number;
use crate::sweep::is_seed_name;
use crate::sweep::units::{Bytes, HumanDuration};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The files in which programs usually log, as patterns of the source `files`.
pub(super) const USUAL_FILES: [&str; 9] = [
    "**/metrics.csv",
    "**/results.csv",
    "**/history.csv",
    "**/log.csv",
    "**/metrics.jsonl",
    "**/result.json",
    "**/*tfevents*",
    "**/run-*.wandb",
    "**/plots/metrics/**/*.tsv",
];

/// Packages whose import takes long, and that can be forked.
const SLOW_IMPORTS: [&str; 13] = [
    "catboost",
    "fastai",
    "lightgbm",
    "lightning",
    "pandas",
    "pytorch_lightning",
    "scipy",
    "sklearn",
    "statsmodels",
    "torch",
    "torchvision",
    "transformers",
    "xgboost",
];

/// Packages of trackers, whose servers would see a repetition, and packages that cannot be forked.
const NOT_REPEATED: [&str; 14] = [
    "aim",
    "clearml",
    "comet_ml",
    "dvclive",
    "jax",
    "keras",
    "mlflow",
    "mpi4py",
    "neptune",
    "pyspark",
    "ray",
    "sacred",
    "tensorflow",
    "wandb",
];

/// The program of a sweep file, with everything that is known about it.
pub(super) struct Starter<'a> {
    pub(super) program: &'a Path,
    /// Arguments that every trial gets as they are.
    pub(super) arguments: &'a [String],
    pub(super) declared: &'a Declared,
    /// The configuration file with which the program starts.
    pub(super) config: Option<&'a ConfigArgument>,
    pub(super) observed: Option<&'a Observed>,
    /// The path of the sweep file.
    pub(super) path: &'a str,
    /// The lines about the folders in which trials run.
    pub(super) workdir: &'a str,
}

impl Starter<'_> {
    /// Returns the text of the sweep file.
    pub(super) fn text(&self) -> String {
        let (program, path) = (self.program.display(), self.path);
        let mut text = format!(
            "# A sweep over `{program}`: `swath check {path}`, then `swath run {path}`.\n\
             # The same command continues an earlier run. `trials` is a total: raise it to add trials.\n\n\
             [run]\n\
             # One string per argument; no shell is involved. {{args:rest}} becomes --name=value for every\n\
             # parameter of [space] that the command does not name.\n\
             {seed}command = [{command}]\n",
            command = self.command().join(", "),
            seed = match self.declared.options.iter().any(is_seed) {
                true => "# {seed} is the trial's own; a number gives all trials the same.\n",
                false => "",
            },
        );
        if let Some(config) = self.config {
            let path = toml::Value::from(config.path.as_str()).to_string();
            let _ = writeln!(
                text,
                "config = {path:<21} # each trial gets a copy with its own values"
            );
        }
        if let Some(observed) = self.observed {
            text.push_str(&written(&observed.written));
        }
        text.push_str(self.workdir);
        text.push_str(self.warm());
        text.push_str(
            "# data_dir = \"data\"            # hashed and recorded with every trial\n\n",
        );
        text.push_str(&self.objective());
        text.push_str("\n[search]\ntrials = 50\n\n[limits]\n");
        text.push_str(&limits(self.observed));
        if let Some(observed) = self.observed {
            text.push_str(&early_stopping(observed));
            text.push_str(&resources(observed));
        }
        text.push_str(&self.capture());
        text.push_str("[space]\n");
        let left_out = self.declared.left_out.iter();
        let left_out: Vec<&LeftOut> = left_out
            .filter(|option| self.own_output(option).is_none() && !self.is_config(option))
            .collect();
        let of_file = self.config.map_or(&[][..], |config| &config.options);
        let options = self
            .declared
            .options
            .iter()
            .filter(|option| !is_seed(option));
        text.push_str(&space(options.chain(of_file), &left_out));
        text.extend(self.config.map(ConfigArgument::remark));
        text
    }

    /// Returns the lines about warm starts. They are left out where no import is slow, where trials
    /// are so long that nothing would be repeated, and where a repetition could be seen: in a
    /// folder that trials share, and on the server of a tracker.
    fn warm(&self) -> &'static str {
        let imports = &self.declared.imports;
        let has = |names: &[&str]| imports.iter().any(|name| names.contains(&name.as_str()));
        let is_long = self
            .observed
            .is_some_and(|observed| observed.seconds >= LONGEST_REPEATED.as_secs_f64());
        if self.workdir.is_empty() || is_long || !has(&SLOW_IMPORTS) || has(&NOT_REPEATED) {
            return "";
        }
        "warm = \"auto\"                  # Linux: fork trials from a process that has imported the \
         packages;\n                               # a trial runs two or three times more first, to \
         compare\n"
    }

    /// Returns the text of a sweep file with one trial, in which every parameter has its default.
    pub(super) fn text_of_first_run(&self) -> String {
        let command = self.command().join(", ");
        let files = USUAL_FILES.map(|path| format!("{path:?}")).join(", ");
        let mut text = format!(
            "name = \"init\"\n[run]\ncommand = [{command}]\nsystem = \"1s\"\n\
             [[source]]\nname = \"files\"\npath = [{files}]\n[search]\nsampler = \"random\"\ntrials = 1\n[space]\n"
        );
        if let Some(config) = self.config {
            let path = toml::Value::from(config.path.as_str());
            text = text.replacen("[run]\n", &format!("[run]\nconfig = {path}\n"), 1);
        }
        for option in &self.declared.options {
            if let Some(value) = ranges::default(option) {
                // The command names a seed by its placeholder.
                let name = if is_seed(option) {
                    "seed"
                } else {
                    &option.name
                };
                let _ = writeln!(text, "{} = {value}", quoted_key(name));
            }
        }
        text
    }

    /// Returns whether the configuration file is the default of this option.
    fn is_config(&self, option: &LeftOut) -> bool {
        self.config.is_some_and(|config| {
            config.position.is_none()
                && option
                    .flag
                    .as_ref()
                    .is_some_and(|flag| config.prefix == format!("{flag}="))
        })
    }

    /// Returns the arguments that every trial gets. `{config}` stands for the configuration file.
    fn arguments(&self) -> Vec<String> {
        let mut words: Vec<String> = self.arguments.iter().map(|word| escaped(word)).collect();
        if let Some(config) = self.config {
            let word = format!("{}{{config}}", escaped(&config.prefix));
            match config.position {
                Some(position) => words[position] = word,
                None => words.push(word),
            }
        }
        words
    }

    /// Returns the word that gives each trial a file or folder of its own, for an option whose
    /// default was written in the first run.
    fn own_output(&self, option: &LeftOut) -> Option<String> {
        let (flag, default) = (option.flag.as_ref()?, option.default.as_ref()?);
        let first = default.trim_start_matches("./").split('/').next()?;
        let observed = self.observed?;
        let is_written = observed.written.iter().any(|it| it.name == first);
        is_written.then(|| {
            let rest = default.trim_start_matches("./").trim_end_matches('/');
            format!("{flag}={{trial_dir}}/{}", escaped(rest))
        })
    }

    fn objective(&self) -> String {
        let observed = self.observed.and_then(|it| it.objective.as_ref());
        let declared = likely_objective(self.declared);
        let (name, comment) = match (observed, declared) {
            (Some(objective), _) => (objective.name.clone(), result(objective)),
            (None, Some(metric)) => (key_of(metric), "found in the program".to_owned()),
            (None, None) => (
                "val_loss".to_owned(),
                "a value that the program reports".to_owned(),
            ),
        };
        let goal = if words::is_large_good(&name) {
            "max"
        } else {
            "min"
        };
        let mut text = format!(
            "[objective]\nmetric = {:<22} # {comment}\ngoal   = {:<22} # min | max\n",
            toml::Value::from(name).to_string(),
            format!("\"{goal}\""),
        );
        if observed.is_some_and(|objective| objective.is_of_fold) {
            text.push_str(
                "take   = \"mean\"                 # the program prints one value for each fold\n",
            );
        }
        let others = self.observed.map_or(&[][..], |it| &it.others);
        if !others.is_empty() {
            let _ = writeln!(text, "# The program also prints: {}", others.join(", "));
        }
        text
    }

    /// Returns `[capture]` for a program that prints its metrics, or a comment on the way to
    /// report.
    fn capture(&self) -> String {
        match self.observed {
            Some(Observed {
                file: Some(path), ..
            }) => format!(
                "# The program writes its values to this file.\n[[source]]\nname = \"files\"\n\
                 path = {path:?}\n\n"
            ),
            Some(observed) if observed.objective.is_some() => {
                let entries = observed.capture.iter();
                captures(entries.map(|(name, pattern)| (name.as_str(), pattern.as_str())))
            }
            _ => declared_capture(self.declared),
        }
    }

    /// Returns the arguments that start the program, as TOML strings.
    fn command(&self) -> Vec<String> {
        let (program, declared) = (self.program, self.declared);
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
        words.extend(self.arguments());
        words.extend(declared.subcommand.clone());
        let is_hydra = declared.style.as_deref() == Some("hydra");
        let seeds = declared.options.iter().filter(|option| is_seed(option));
        words.extend(seeds.map(|option| match is_hydra {
            true => format!("{}={{seed}}", option.name),
            false => format!("{}={{seed}}", option.flag),
        }));
        if is_hydra {
            words.push("{hydra:rest}".to_owned());
            words.push("hydra.run.dir={trial_dir}/hydra".to_owned());
        } else {
            let options = declared.options.iter();
            let options =
                options.filter(|option| !is_seed(option) && ranges::entry(option).is_some());
            words.extend(options.flat_map(placeholder));
            let outputs = declared.left_out.iter();
            words.extend(outputs.filter_map(|option| self.own_output(option)));
            if declared
                .left_out
                .iter()
                .any(|option| option.name == "output_dir")
            {
                words.push("--output_dir={trial_dir}/output".to_owned());
            }
            // A program with a configuration file may have no other options.
            if self.config.is_none() || !declared.options.is_empty() {
                words.push("{args:rest}".to_owned());
            }
        }
        words
            .iter()
            .map(|word| toml::Value::from(word.as_str()).to_string())
            .collect()
    }
}

/// Returns whether an option is the seed of the program.
fn is_seed(option: &DeclaredOption) -> bool {
    let name = option.name.rsplit('.').next().unwrap_or_default();
    option.kind == OptionKind::Int && is_seed_name(name)
}

/// Returns an argument as a word of a command, in which braces have a meaning.
fn escaped(argument: &str) -> String {
    argument.replace('{', "{{").replace('}', "}}")
}

/// Returns the words of an option that is not passed as `--name=value`; none for others.
fn placeholder(option: &DeclaredOption) -> Vec<String> {
    let name = &option.name;
    match (option.kind, &option.form, &option.off) {
        (OptionKind::Switch, ..) => vec![format!("--{{{name}}}")],
        (OptionKind::Pair, _, Some(off)) if *off != format!("--no-{name}") => {
            vec![format!("{{{name}:flag={}/{off}}}", option.flag)]
        }
        (OptionKind::Pair, ..) => vec![format!("{{{name}:flag}}")],
        (OptionKind::List, Some(form), _) => {
            vec![option.flag.clone(), format!("{{{name}:{form}}}")]
        }
        _ => Vec::new(),
    }
}

/// Returns a comment on the objective of the first run.
fn result(objective: &Objective) -> String {
    let value = number::short(objective.value);
    match objective.count {
        1 => format!("{value} with the defaults"),
        count => format!("{value} with the defaults, the last of {count}"),
    }
}

/// Returns a comment on the files that the first run wrote.
fn written(written: &[Written]) -> String {
    if written.is_empty() {
        return String::new();
    }
    let names: Vec<String> = written.iter().map(describe_written).collect();
    format!("# Each run writes {}.\n", names.join(", "))
}

/// Returns the name of a written file or folder with its size.
pub(super) fn describe_written(written: &Written) -> String {
    let bytes = rounded_size(written.bytes);
    match (written.is_folder, written.files) {
        (false, _) => format!("{} ({bytes})", written.name),
        (true, 1) => format!("{}/ (1 file, {bytes})", written.name),
        (true, files) => format!("{}/ ({files} files, {bytes})", written.name),
    }
}

/// Returns a size rounded up to whole units.
fn rounded_size(bytes: u64) -> Bytes {
    let unit = match bytes {
        0..1024 => 1,
        1024..0x10_0000 => 1024,
        _ => 1 << 20,
    };
    Bytes(bytes.div_ceil(unit) * unit)
}

/// Time limits of a trial to choose from.
const TIME_LIMITS: [u64; 9] = [60, 300, 900, 3600, 7200, 21_600, 43_200, 86_400, 604_800];

/// Returns `trial_time`: an hour, or at least ten times as long as the first run.
fn limits(observed: Option<&Observed>) -> String {
    let Some(observed) = observed.filter(|it| !it.is_cut) else {
        return "trial_time = \"1h\"\n\n".to_owned();
    };
    let least = 10.0 * observed.seconds;
    let limit = TIME_LIMITS.iter().find(|limit| **limit as f64 >= least);
    let limit = HumanDuration(Duration::from_secs(*limit.unwrap_or(&604_800)));
    format!(
        "trial_time = {:<18} # the first run took {}\n\n",
        format!("\"{limit}\""),
        number::seconds(observed.seconds),
    )
}

/// Returns `[scheduler]` as comments; empty unless the first run counted to its end.
fn early_stopping(observed: &Observed) -> String {
    let progress = observed.progress.as_ref();
    let Some((counter, last)) = progress.filter(|(_, last)| *last >= 2.0 && !observed.is_cut)
    else {
        return String::new();
    };
    format!(
        "# [scheduler]                   # trains poor configurations less: right if an early {counter} tells of the last\n\
         # name = \"auto\"\n\
         # resource = {:<18} # what the program counts\n\
         # max = {:<23} # of a full training; the first run counted so far\n\n",
        format!("\"{counter}\""),
        last.floor(),
    )
}

/// Returns `[resources]` as comments, with what the first run used.
fn resources(observed: &Observed) -> String {
    let cores = observed.cpu_seconds / observed.seconds.max(0.1);
    let memory = rounded_size((2.0 * observed.peak_mib) as u64 * (1 << 20));
    format!(
        "# [resources]\n\
         # memory = {:<20} # of a trial; the first run used {:.0} MiB\n\
         # cpus = {:<22} # of a trial; the first run kept {cores:.1} busy\n\n",
        format!("\"{memory}\""),
        observed.peak_mib,
        cores.ceil().max(1.0),
    )
}

/// Returns the table `[capture]`; empty without entries.
fn captures<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines: Vec<String> = entries
        .map(|(name, pattern)| format!("{} = '{pattern}'\n", quoted_key(name)))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "# The program prints these values.\n[capture]\n{}\n",
        lines.concat()
    )
}

/// Returns the metric that is probably the objective: one of held-out data before one of training
/// data, and the last one that the script mentions.
fn likely_objective(declared: &Declared) -> Option<&DeclaredMetric> {
    declared
        .metrics
        .iter()
        .filter(|metric| !words::is_counter(&metric.name) && !words::is_of_the_run(&metric.name))
        .max_by_key(|metric| rank(metric))
}

/// Ranks a metric of the source as an objective.
fn rank(metric: &DeclaredMetric) -> (bool, bool, bool) {
    let name = metric.name.to_lowercase();
    let is_of_results = words::is_held_out(&name) || words::is_summary(&name);
    (
        is_of_results,
        !name.contains("train"),
        metric.how != "logged",
    )
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

/// Returns `[capture]` for the metrics that the source names.
fn declared_capture(declared: &Declared) -> String {
    let objective = likely_objective(declared);
    match objective.map(|metric| metric.how.as_str()) {
        Some("reported") => String::new(),
        Some("printed") => {
            let counter = declared.metrics.iter().find(|metric| {
                metric.how == "printed"
                    && ["epoch", "step", "iteration"].contains(&metric.name.to_lowercase().as_str())
            });
            let metrics = counter.into_iter().chain(objective);
            let entries: Vec<(String, String)> = metrics
                .map(|metric| (key_of(metric), pattern(metric)))
                .collect();
            captures(entries.iter().map(|(name, pattern)| (name.as_str(), pattern.as_str())))
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

const EXAMPLES: &str = r#"# No options were found in the program. These are examples:
lr     = { min = 1e-5, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
# optimizer = ["sgd", "adam"]                                          # a choice
# momentum  = { min = 0.0, max = 0.99, when = "optimizer == 'sgd'" }   # only with sgd
# epochs    = 20                                                       # a constant
"#;

/// Returns the lines of `[space]`, and as comments the options that are not in it.
fn space<'a>(options: impl Iterator<Item = &'a DeclaredOption>, left_out: &[&LeftOut]) -> String {
    let mut text = String::new();
    for option in options {
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
    if !left_out.is_empty() {
        text.push_str("\n# Left out:\n");
    }
    for option in left_out {
        let _ = writeln!(
            text,
            "# {} (line {}): {}",
            option.name, option.line, option.why
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Warm;
    use crate::source::Source;
    use crate::sweep::Sweep;

    fn starter(program: &str, declared: &Declared) -> String {
        starter_with(program, declared, "")
    }

    fn starter_with(program: &str, declared: &Declared, workdir: &str) -> String {
        let starter = Starter {
            program: Path::new(program),
            arguments: &[],
            declared,
            config: None,
            observed: None,
            path: "train.toml",
            workdir,
        };
        starter.text()
    }

    fn is_warm(imports: &[&str], workdir: &str) -> bool {
        let declared = Declared {
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
            ..Declared::default()
        };
        let sweep = Sweep::parse(Source {
            name: "train.toml".into(),
            text: starter_with("train.py", &declared, workdir),
        });
        sweep.unwrap().run.warm == Warm::Auto
    }

    fn written(script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.py");
        std::fs::write(&path, script).unwrap();
        let declared = script::read(&path, &[]).unwrap();
        starter("train.py", &declared)
    }

    #[test]
    fn only_scripts_with_slow_imports_private_folders_and_no_tracker_are_repeated_to_start_warm() {
        let private = "workdir = \"private\"\n";
        assert!(is_warm(&["argparse", "sklearn"], private));
        assert!(!is_warm(&["argparse", "sklearn"], ""));
        assert!(!is_warm(&["argparse", "numpy"], private));
        assert!(!is_warm(&["torch", "wandb"], private));
        assert!(!is_warm(&["pandas", "jax"], private));
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
            starter("bin/a \"b\"", &Declared::default()),
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
    fn each_library_gets_its_form_of_lists_switches_and_subcommands() {
        for (script, lines) in [
            (
                "import argparse\np = argparse.ArgumentParser()\ns = p.add_subparsers()\n\
                 e = s.add_parser('eval')\ne.add_argument('--k', type=int, default=3)\n\
                 t = s.add_parser('train')\nt.add_argument('--lr', type=float, default=0.1)\n",
                vec![
                    r#""train.py", "train", "{args:rest}"]"#,
                    "lr = { min",
                    "# k (line 5): it belongs to the subcommand `eval`",
                ],
            ),
            (
                "bias = False\nlr = 6e-4\nout = 'out'\nexec(open('configurator.py').read())\nn = 3\n",
                vec![
                    r#"bias = ["True", "False"]"#,
                    "lr = { min = 6e-5",
                    "# out (line 3): it is a text",
                ],
            ),
            (
                "import fire\ndef train(units=[64, 32], fast=False): pass\nfire.Fire(train)\n",
                vec![
                    r#"fast = ["True", "False"]"#,
                    r#""train.py", "{args:rest}"]"#,
                ],
            ),
            (
                "import tyro\nimport enum\nfrom dataclasses import dataclass\nclass Kind(enum.Enum):\n    A = 1\n    \
                 B = enum.auto()\n@dataclass\nclass Args:\n    kind: Kind = Kind.A\n    units: list[int] = (3, 4)\n\
                 tyro.cli(Args)\n",
                vec![r#"kind = ["A", "B"]"#, r#""--units", "{units:each}""#],
            ),
            (
                "import click\n@click.command()\n@click.option('--knots', multiple=True, default=[1.0, 2.0])\n\
                 @click.option('--shuffle/--ordered', default=True)\ndef main(): pass\n",
                vec![
                    r#""--knots", "{knots:repeat}""#,
                    r#""{shuffle:flag=--shuffle/--ordered}""#,
                ],
            ),
        ] {
            let text = written(script);
            for line in lines {
                assert!(text.contains(line), "{line}\n{text}");
            }
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
    fn the_seed_of_a_script_is_that_of_the_trial() {
        let script = "import argparse\np = argparse.ArgumentParser()\n\
                      p.add_argument('--random-seed', type=int, default=3)\n\
                      p.add_argument('--lr', type=float, default=0.1)\n";
        let text = written(script);
        assert!(
            text.contains(r#""train.py", "--random-seed={seed}", "{args:rest}"]"#),
            "{text}"
        );
        assert!(!text.contains("\nrandom-seed = "), "{text}");
    }

    #[test]
    fn an_option_whose_name_is_computed_is_named_as_left_out() {
        let script = "import argparse\np = argparse.ArgumentParser()\n\
                      p.add_argument('--lr', type=float, default=0.1)\n\
                      for name in open('names'):\n    p.add_argument('--' + name, type=float)\n";
        let text = written(script);
        let line =
            "# add_argument (line 5): the name of its option is computed when the script runs\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn options_of_helper_functions_and_loops_are_found_with_the_defaults_of_their_calls() {
        let script = "import argparse\n\
                      def option(p, name, *, start=0.1):\n    \
                      p.add_argument(f'--{name}', type=float, default=start)\n\
                      def common(p, size=8):\n    option(p, 'lr')\n    \
                      p.add_argument('--size', type=int, default=size)\n\
                      p = argparse.ArgumentParser()\ncommon(p, 16)\n\
                      for name, start in {'alpha': 0.5, 'gamma': 0.2}.items():\n    \
                      option(p, name, start=start)\n";
        let text = written(script);
        let unknown = written(&script.replace("common(p, 16)", "common(p, int(input()))"));
        for name in ["lr", "alpha", "gamma", "size"] {
            assert!(text.contains(&format!("\n{name}")), "{name}\n{text}");
        }
        assert!(!text.contains("Left out"), "{text}");
        assert!(
            unknown.contains("# size (line 6): its default is computed when the script runs\n"),
            "{unknown}"
        );
    }

    #[test]
    fn executables_get_a_path() {
        let text = starter("train", &Declared::default());
        assert!(text.contains(r#"["./train", "{args:rest}"]"#), "{text}");
    }
}
