//! `swath init`: writes a sweep file to start from, for a given program.

mod attempt;
mod place;
mod printed;
mod ranges;
mod script;
mod settings;
mod starter;
mod words;

use super::Context;
use super::exit::{Code, Failure};
use crate::run::default_work_plan;
use attempt::Observed;
use script::Declared;
use settings::ConfigArgument;
use starter::{Starter, describe_written};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `swath init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Arguments behind `--` are passed to every trial: `swath init --try train.py -- \
        --data=data.csv`.")]
pub(crate) struct Args {
    /// The program to tune: a script or an executable
    #[arg(value_name = "PROGRAM")]
    pub(crate) program: PathBuf,

    /// Arguments that every trial gets as they are
    #[arg(value_name = "ARGUMENT", last = true)]
    pub(crate) arguments: Vec<String>,

    /// The sweep file to write [default: beside the program, with the ending .toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Run the program once with its defaults, and find its metric, its duration and its memory;
    /// stop it after a time [default: 10m]
    ///
    /// The program runs in a temporary copy of the current folder, so that it finds the project and
    /// leaves nothing in it.
    #[arg(
        long = "try",
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10m",
        value_parser = super::run::run_time
    )]
    pub(crate) time: Option<Duration>,
}

/// Runs `swath init`: writes the sweep file. Never overwrites an existing file.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    check(&args.program)?;
    let mut declared = match is_python(&args.program) {
        true => script::read(&args.program, &args.arguments).unwrap_or_else(|why| {
            let shown = args.program.display();
            context.out.warn(format_args!(
                "the options of `{shown}` could not be read: {why}"
            ));
            Declared::default()
        }),
        false => Declared::default(),
    };
    declared.drop_given(&args.arguments);
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| args.program.with_extension("toml"));
    let shown = path.display().to_string();
    // Found out before the program runs, which may take long.
    if path.exists() {
        return Err(exists(&shown));
    }
    let config = ConfigArgument::find(&args.arguments, &declared);
    let mut starter = Starter {
        program: &args.program,
        arguments: &args.arguments,
        declared: &declared,
        config: config.as_ref(),
        observed: None,
        path: &shown,
        workdir: "",
    };
    let observed = match args.time {
        Some(limit) => Some(try_once(&starter, limit, context)?),
        None => None,
    };
    starter.observed = observed.as_ref();
    let workdir = workdir(&args.program, observed.as_ref(), &context.logs);
    starter.workdir = &workdir;
    write_new(&path, &starter.text())?;
    context.out.say(format_args!("wrote `{shown}`"));
    if observed.is_none() {
        context.out.hint(
            "`swath init --try` also runs the program once and finds its metric, duration and memory",
        );
    }
    context.out.hint(format_args!(
        "review `[space]` and `[objective]`, then run `swath check {shown}`"
    ));
    Ok(Code::Done)
}

/// Runs the program with its defaults and prints what was found.
fn try_once(
    starter: &Starter<'_>,
    limit: Duration,
    context: &mut Context,
) -> Result<Observed, Failure> {
    let out = &mut context.out;
    out.say(format_args!(
        "running `{}` once with its defaults, in a temporary copy of this folder",
        starter.program.display()
    ));
    let text = starter.text_of_first_run();
    let observed = attempt::run(text, starter.declared, limit)?;
    let ending = if observed.is_cut {
        ", then it was stopped"
    } else {
        ""
    };
    out.say(format_args!(
        "it took {}{ending}, and {:.0} MiB of memory",
        crate::report::number::seconds(observed.seconds),
        observed.peak_mib,
    ));
    if !observed.written.is_empty() {
        let names: Vec<_> = observed.written.iter().map(describe_written).collect();
        out.say(format_args!("it wrote {}", names.join(", ")));
    }
    match &observed.objective {
        Some(objective) => out.say(format_args!(
            "its metric is probably `{}`, which was {}",
            objective.name,
            crate::report::number::short(objective.value),
        )),
        None => {
            out.warn("it printed no number with a name, and reported none; its last lines were:");
            for line in &observed.last_lines {
                out.say(format_args!("  {}", crate::report::text::log_line(line)));
            }
        }
    }
    Ok(observed)
}

/// Returns the lines that give each trial a folder of its own; none if the project is huge.
fn workdir(program: &Path, observed: Option<&Observed>, logs: &Path) -> String {
    let plan = std::env::current_dir()
        .ok()
        .and_then(|folder| default_work_plan(&folder, logs).ok());
    let Some(plan) = plan.filter(|plan| !plan.is_huge()) else {
        return String::new();
    };
    let line =
        "workdir = \"private\"            # a folder for each trial, in which the project stands\n";
    // The run has shown what the program writes. What it names and does not write, it reads.
    let Some(observed) = observed else {
        return line.to_owned();
    };
    let source = std::fs::read_to_string(program).unwrap_or_default();
    let is_read = |name: &&String| {
        let top = name.split('/').next().unwrap_or_default();
        source.contains(top) && observed.written.iter().all(|written| written.name != top)
    };
    let read: Vec<_> = plan.absent.iter().filter(is_read).collect();
    if read.is_empty() {
        return line.to_owned();
    }
    let linked = plan.linked.iter().chain(read);
    let names = linked.map(|name| toml::Value::from(name.trim_end_matches('/')).to_string());
    format!(
        "{line}link    = [{}]\n",
        names.collect::<Vec<_>>().join(", ")
    )
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display();
    // `create_new` leaves no gap between the check and the write in which another file could
    // appear.
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => Ok(file.write_all(text.as_bytes())?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(exists(&shown.to_string()))
        }
        Err(error) => Err(Failure::usage(format!(
            "could not write `{shown}`: {error}"
        ))),
    }
}

fn exists(shown: &str) -> Failure {
    Failure::usage(format!("`{shown}` already exists and was not changed"))
        .hint("choose another file with `--output`")
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
