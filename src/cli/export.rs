//! `swath export`: the trials of a study as CSV or JSON lines, or the files of a tracker made again.
//!
//! `swath export TRACKER [STUDY]` feeds a tracker the whole journal: the same bytes come out as while the study ran.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{self, Found, Which};
use crate::report::json;
use crate::run::RebuildError;
use crate::study::kind::find;
use crate::tracker::{TRACKERS, csv};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Arguments of `swath export`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "swath export [OPTIONS] [STUDY] [TRIALS]\n       swath export <TRACKER> [STUDY]",
    after_help = "With the name of a tracker (`swath kinds` lists them), what that tracker writes is made again from the journal."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Write CSV, the table of `trials.csv` (the default)
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,

    /// Write JSON lines, one trial a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Write an HTML page with all plots and a table to this file; every word names a study
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json", "output", "condition"])]
    pub(crate) html: Option<PathBuf>,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    study: &'a str,
    pipeline: &'a str,
    stage: &'a str,
    #[serde(flatten)]
    row: json::Row<'a>,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if let Some(path) = &args.html {
        return super::page::export(path, &args.which.words, context);
    }
    if let Some(tracker) = tracker(args) {
        return rebuild(tracker, args, context);
    }
    let found = args.which.find(context)?;
    let Some(path) = &args.output else {
        write(args, &found, &mut context.out.stdout)?;
        return Ok(Code::Done);
    };
    save(args, &found, path)?;
    let count = found.trials()?.len();
    context.out.say(format_args!("{count} trials: {}", path.display()));
    Ok(Code::Done)
}

/// Returns the tracker that is meant, if one is.
fn tracker(args: &Args) -> Option<&str> {
    let plain = !args.csv && !args.json && args.output.is_none() && args.which.condition.is_none();
    let first = args.which.words.first().map(String::as_str).filter(|_| plain)?;
    find(TRACKERS, first).map(|kind| kind.name)
}

fn rebuild(tracker: &str, args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let dir = match args.which.words.get(1) {
        Some(study) => studies::named(&context.logs, study)?,
        None => studies::latest(&context.logs)?,
    };
    crate::run::rebuild(&dir, tracker).map_err(|error| match error {
        RebuildError::Journal(journal) => journal.into(),
        RebuildError::Rejected(rejected) => super::sweeps::rejected(&rejected, false),
        other => Failure::caused(Code::Tool, &other),
    })?;
    context.out.say(format_args!("`{tracker}` is up to date with `{}`", dir.root().display()));
    Ok(Code::Done)
}

fn write(args: &Args, found: &Found, out: &mut dyn Write) -> Result<(), Failure> {
    let (study, header) = (&found.study, found.study.header());
    let trials = found.trials()?;
    if !args.json {
        return Ok(csv::write_some(study, trials, out)?);
    }
    for trial in trials {
        let (study_name, pipeline, stage) = (&*header.name, &*header.pipeline, &*header.stage);
        let row = json::row(study, trial);
        let line = Line { v: JSON_VERSION, study: study_name, pipeline, stage, row };
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Replaces a file as a whole; what is no regular file (`/dev/stdout`, a pipe) is written to.
fn save(args: &Args, found: &Found, path: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure {
        causes: vec![error.to_string()],
        ..Failure::tool(format!("could not write `{}`", path.display()))
    };
    if path.exists() && !path.is_file() {
        let mut file = BufWriter::new(std::fs::File::options().write(true).open(path).map_err(failed)?);
        write(args, found, &mut file)?;
        return file.flush().map_err(failed);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = csv::draft(folder).map_err(failed)?;
    let mut file = BufWriter::new(draft.as_file_mut());
    write(args, found, &mut file)?;
    file.flush().map_err(failed)?;
    drop(file);
    draft.persist(path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::Code;
    use crate::cli::studies::{self, Which, demo};
    use crate::space::Value;
    use crate::tracker::csv;
    use crate::tracker::demo::Demo;

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr"]);
        demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        demo.complete(&[("lr", Value::Float(0.2))], &[("val_loss", f64::INFINITY)]);
        demo
    }

    fn args(trials: &[&str]) -> Args {
        let which = Which { words: trials.iter().map(|word| (*word).to_owned()).collect(), condition: None };
        Args { which, csv: false, json: false, html: None, output: None }
    }

    #[test]
    fn csv_is_the_table_of_the_study() {
        let mut table = Vec::new();
        csv::write(&world().study, &mut table).unwrap();
        let (result, out, _) = demo::run(&world(), Some(80), |context| run(&args(&[]), context));
        assert_eq!((result, out.as_bytes()), (Ok(Code::Done), table.as_slice()));
    }

    #[test]
    fn some_trials_have_the_columns_of_all() {
        let (_, out, _) = demo::run(&world(), None, |context| run(&args(&["failed"]), context));
        assert_eq!(out.lines().count(), 2);
        assert!(out.starts_with("pipeline,stage,trial_id,state,val_loss,param.lr,"), "{out}");
    }

    #[test]
    fn json_lines_stand_for_themselves() {
        let (_, out, _) =
            demo::run(&world(), None, |context| run(&Args { json: true, ..args(&[]) }, context));
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[1]["study"], &lines[1]["trial"]), (&"digits".into(), &2.into()));
        assert_eq!(lines[1]["metrics"]["val_loss"]["last"], "inf");
    }

    #[test]
    fn the_name_of_a_tracker_makes_its_files_again() {
        let logs = tempfile::tempdir().unwrap();
        let dir = studies::demo::write(logs.path(), "digits", &world());
        let sweep = "name = \"digits\"\n[objective]\nmetric = \"val_loss\"\ngoal = \"min\"\n[run]\ncommand = [\"true\"]\n[search]\nsampler = \"random\"\ntrials = 2\n[space]\nlr = { min = 0.0, max = 1.0 }\n";
        std::fs::write(dir.sweep_toml(), sweep).unwrap();
        let (out, _, stderr) = crate::cli::output::captured::output(None);
        let mut context = crate::cli::Context { logs: logs.path().to_owned(), out };
        let result = run(&args(&["tensorboard", "digits"]), &mut context);
        assert_eq!(result, Ok(Code::Done), "{}", stderr.text());
        assert!(dir.trackers().join("tensorboard/2").is_dir());
        assert_eq!(run(&args(&["tensorboard", "digit"]), &mut context).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn a_file_is_replaced_and_a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "old").unwrap();
        let (result, out, _) = demo::run(&world(), None, |context| {
            run(&Args { output: Some(path.clone()), ..args(&[]) }, context)
        });
        assert_eq!((result, out.as_str()), (Ok(Code::Done), ""));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        let missing = folder.path().join("no/x.csv");
        let (result, ..) = demo::run(&world(), None, |context| {
            run(&Args { output: Some(missing.clone()), ..args(&[]) }, context)
        });
        assert_eq!(result.unwrap_err().code, Code::Tool);
    }
}
