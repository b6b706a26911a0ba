//! `swath export`: writes the trials of a study or their reports as CSV, JSON lines or Parquet, or
//! rebuilds the files of a tracker.
//!
//! `swath export TRACKER [STUDY]` feeds the whole journal to a tracker. The result has the same
//! bytes as the files that it wrote while the study ran.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{self, Selection, SelectionArgs};
use crate::journal::reports;
use crate::report::export::{frame, long};
use crate::report::json;
use crate::report::text::Escapes;
use crate::run::RebuildError;
use crate::run::follow::FollowError;
use crate::study::kind::find;
use crate::sweep::Registry;
use crate::tracker::csv::{self, Cells};
use crate::trackers::TRACKERS;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use swath_table::{Column, ParquetError, TableWriter};

/// The number of reports in a row group of Parquet.
const ROWS: usize = 1 << 16;

/// Arguments of `swath export`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "swath export [OPTIONS] [STUDY] [TRIALS]\n       swath export <TRACKER> [STUDY]",
    after_help = "\
        With the name of a tracker (`swath kinds` lists them), the files of that tracker are \
        rebuilt from the journal."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Write CSV, the table of `trials.csv` (the default)
    #[arg(long, conflicts_with_all = ["json", "parquet"])]
    pub(crate) csv: bool,

    /// In CSV, put an apostrophe before texts that a spreadsheet would take for a formula
    #[arg(long, conflicts_with_all = ["json", "parquet", "html"])]
    pub(crate) safe: bool,

    /// Write JSON lines
    #[arg(long, conflicts_with = "parquet")]
    pub(crate) json: bool,

    /// Write an HTML page with all plots and a table to this file; every word names a study
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json", "parquet", "long", "output"])]
    pub(crate) html: Option<PathBuf>,

    /// Write Parquet
    #[arg(long)]
    pub(crate) parquet: bool,

    /// Write one row per report instead of one per trial
    #[arg(long)]
    pub(crate) long: bool,

    /// Write to this file instead of standard output; `.jsonl` and `.parquet` select the format
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// One line of `--json`: a trial with its study, pipeline and stage.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    study: &'a str,
    pipeline: &'a str,
    stage: &'a str,
    #[serde(flatten)]
    row: json::TrialRow<'a>,
}

/// The format of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    Parquet,
}

impl Args {
    /// Returns the form of the cells of CSV.
    fn cells(&self) -> Cells {
        if self.safe { Cells::Safe } else { Cells::Exact }
    }

    /// Returns the format: from the options, else from the extension of the output file, else CSV.
    fn format(&self) -> Format {
        let extension = self
            .output
            .as_deref()
            .and_then(Path::extension)
            .and_then(|extension| extension.to_str());
        match (self.csv, self.json, self.parquet, extension) {
            (true, ..) => Format::Csv,
            (_, true, ..) => Format::Json,
            (_, _, true, _) => Format::Parquet,
            (.., Some("parquet")) => Format::Parquet,
            (.., Some("jsonl" | "ndjson")) => Format::Json,
            _ => Format::Csv,
        }
    }
}

/// Runs `swath export`: writes the table, the HTML page, or the files of a tracker.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if let Some(path) = &args.html {
        return super::page::export(path, &args.selection, context);
    }
    if let Some(tracker) = tracker(args) {
        return rebuild(tracker, args, context);
    }
    let selection = args.selection.read(context)?;
    let Some(path) = &args.output else {
        // Binary data would garble the terminal.
        if args.format() == Format::Parquet && context.out.width.is_some() {
            return Err(
                Failure::usage("Parquet is binary and cannot be printed on a terminal")
                    .hint("write it to a file with `-o trials.parquet`"),
            );
        }
        let escapes = match args.format() {
            Format::Json => Escapes::Json,
            Format::Csv | Format::Parquet => Escapes::Text,
        };
        write(args, &selection, &mut *context.out.foreign(escapes))?;
        return Ok(Code::Done);
    };
    let rows = save(args, &selection, path)?;
    let unit = if args.long { "reports" } else { "trials" };
    context
        .out
        .say(format_args!("{rows} {unit}: {}", path.display()));
    Ok(Code::Done)
}

/// Returns the name of the tracker if the first word is one and no option asks for a table.
fn tracker(args: &Args) -> Option<&str> {
    let has_no_option = !args.csv
        && !args.safe
        && !args.json
        && !args.parquet
        && !args.long
        && args.output.is_none()
        && args.selection.condition.is_none();
    let first = args
        .selection
        .words
        .first()
        .map(String::as_str)
        .filter(|_| has_no_option)?;
    find(TRACKERS, first).map(|kind| kind.name)
}

fn rebuild(tracker: &str, args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let study = args.selection.words.get(1);
    let dir = studies::named_or_latest(&context.logs, study.map(String::as_str))?;
    crate::run::rebuild(&Registry::standard(), &dir, tracker).map_err(|error| match error {
        RebuildError::Journal(journal) | RebuildError::Follow(FollowError::Journal(journal)) => {
            journal.into()
        }
        RebuildError::Rejected(rejected) => super::sweeps::rejected(&rejected, false),
        other => Failure::caused(Code::Tool, &other),
    })?;
    context.out.say(format_args!(
        "`{tracker}` is up to date with `{}`",
        dir.root().display()
    ));
    Ok(Code::Done)
}

/// Writes the table. Returns the number of rows.
fn write(args: &Args, selection: &Selection, out: &mut dyn Write) -> Result<u64, Failure> {
    let trials = selection.trials()?;
    let rows = trials.len() as u64;
    match (args.format(), args.long) {
        (Format::Csv, false) => csv::write_some(&selection.study, trials, args.cells(), out)?,
        (Format::Json, false) => {
            let header = selection.study.header();
            for trial in trials {
                let (study, pipeline, stage) = (&*header.name, &*header.pipeline, &*header.stage);
                let row = json::row(&selection.study, trial);
                line(
                    &Line {
                        v: JSON_VERSION,
                        study,
                        pipeline,
                        stage,
                        row,
                    },
                    out,
                )?;
            }
        }
        (Format::Csv, true) => {
            let mut table = long::LongCsv::new(&selection.study, args.cells(), out)?;
            let rows = each_report(selection, &mut |report| Ok(table.add(report)?))?;
            table.finish()?;
            return Ok(rows);
        }
        (Format::Json, true) => {
            return each_report(selection, &mut |report| {
                line(&long::line(JSON_VERSION, &selection.study, report), out)
            });
        }
        (Format::Parquet, false) => {
            let columns = frame::wide(&selection.study, &trials);
            columnar(&columns, out, |writer| Ok(writer.add(&columns)?))?;
        }
        (Format::Parquet, true) => return long_parquet(selection, out),
    }
    Ok(rows)
}

fn long_parquet(selection: &Selection, out: &mut dyn Write) -> Result<u64, Failure> {
    let mut batch = long::Batch::new(&selection.study);
    let mut rows = 0;
    columnar(&batch.take(), out, |writer| {
        // One thread encodes a batch while this one reads the next.
        std::thread::scope(|scope| {
            let (batches, full) = sync_channel::<Vec<Column>>(1);
            let writing = scope.spawn(move || full.iter().try_for_each(|full| writer.add(&full)));
            let read = each_report(selection, &mut |report| {
                batch.add(report);
                if batch.rows() == ROWS {
                    // Without a receiver, writing has failed, which is told below.
                    let _ = batches.send(batch.take());
                }
                Ok(())
            });
            if batch.rows() > 0 {
                let _ = batches.send(batch.take());
            }
            drop(batches);
            let written = writing.join();
            rows = read?;
            match written {
                Ok(written) => Ok(written?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    })?;
    Ok(rows)
}

/// Writes a complete Parquet file to a temporary file and then copies it to `out`, because the
/// footer of the format comes last.
fn columnar(
    columns: &[Column],
    out: &mut dyn Write,
    fill: impl FnOnce(&mut TableWriter<BufWriter<File>>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut file = tempfile::tempfile()?;
    let mut writer = TableWriter::new(BufWriter::new(file.try_clone()?), columns, None)?;
    fill(&mut writer)?;
    writer.finish()?;
    file.rewind()?;
    io::copy(&mut file, out)?;
    Ok(())
}

fn line(line: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Calls `each` for every report of the selected trials. Returns the number of reports.
fn each_report(
    selection: &Selection,
    each: &mut dyn FnMut(&reports::Report) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let selected: std::collections::HashSet<_> =
        selection.trials()?.iter().map(|trial| trial.id).collect();
    let mut rows = 0;
    reports::each(&selection.dir, &selection.study, &mut |report| {
        if !selected.contains(&report.trial) {
            return Ok(());
        }
        rows += 1;
        each(report)
    })?;
    Ok(rows)
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Self {
        Self {
            causes: vec![error.to_string()],
            ..Self::tool("could not write Parquet")
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure {
        causes: vec![error.to_string()],
        ..Failure::tool(format!("could not write `{}`", path.display()))
    }
}

/// Writes the table to `path`. A regular file is replaced as a whole; a device or a pipe such as
/// `/dev/stdout` is written to directly.
fn save(args: &Args, selection: &Selection, path: &Path) -> Result<u64, Failure> {
    if path.exists() && !path.is_file() {
        let mut file = BufWriter::new(
            std::fs::File::options()
                .write(true)
                .open(path)
                .map_err(|error| unwritable(path, &error))?,
        );
        let rows = write(args, selection, &mut file)?;
        return file
            .flush()
            .map_err(|error| unwritable(path, &error))
            .map(|()| rows);
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut draft = csv::draft(folder).map_err(|error| unwritable(path, &error))?;
    let mut file = BufWriter::new(draft.as_file_mut());
    let rows = write(args, selection, &mut file)?;
    file.flush().map_err(|error| unwritable(path, &error))?;
    drop(file);
    draft
        .persist(path)
        .map(|_| rows)
        .map_err(|error| unwritable(path, &error.error))
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::Code;
    use crate::cli::studies::{self, SelectionArgs, demo};
    use crate::space::Value;
    use crate::study::{Datum, LogRecord};
    use crate::tracker::csv;
    use swath_model::demo::Demo;

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr"]);
        demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        demo.complete(&[("lr", Value::Float(0.2))], &[("val_loss", f64::INFINITY)]);
        demo
    }

    fn args(trials: &[&str]) -> Args {
        let selection = SelectionArgs {
            words: trials.iter().map(|word| (*word).to_owned()).collect(),
            condition: None,
        };
        Args {
            selection,
            csv: false,
            safe: false,
            json: false,
            parquet: false,
            long: false,
            html: None,
            output: None,
        }
    }

    #[test]
    fn csv_is_the_table_of_the_study() {
        let mut table = Vec::new();
        csv::write(&world().study, &mut table).unwrap();
        let (result, out, _) = demo::run(&world(), Some(80), |context| run(&args(&[]), context));
        assert_eq!((result, out.as_bytes()), (Ok(Code::Done), table.as_slice()));
    }

    #[test]
    fn a_selection_of_trials_has_the_columns_of_all_trials() {
        let (_, out, _) = demo::run(&world(), None, |context| run(&args(&["failed"]), context));
        assert_eq!(out.lines().count(), 2);
        assert!(
            out.starts_with("pipeline,stage,trial_id,state,val_loss,param.lr,"),
            "{out}"
        );
    }

    #[test]
    fn texts_that_look_like_formulas_are_neutralised_on_request_and_numbers_stay() {
        let mut demo = Demo::new(&["lr", "=name"]);
        demo.complete(
            &[
                ("lr", Value::Float(-0.1)),
                ("=name", Value::Text("@SUM(A1)".into())),
            ],
            &[("val_loss", f64::NEG_INFINITY)],
        );
        let trial = demo.start(&[
            ("lr", Value::Float(0.2)),
            ("=name", Value::Text("+5".into())),
        ]);
        let note = |text: &str| LogRecord::Report {
            values: vec![("note".into(), Datum::Text(text.into()))],
        };
        demo.log(trial, note("=cmd|' /C calc'!A0"));
        let safe = |long: bool| Args {
            safe: true,
            long,
            ..args(&[])
        };
        let (_, out, _) = demo::run(&demo, None, |context| run(&safe(false), context));
        assert!(
            out.contains(",-0.1,'@SUM(A1),") && out.contains(",0.2,+5,"),
            "{out}"
        );
        assert!(
            out.contains(",-inf,") && out.contains(",'=cmd|' /C calc'!A0,"),
            "{out}"
        );
        let (_, out, _) = demo::run(&demo, None, |context| run(&safe(true), context));
        assert!(out.contains(",'=cmd|' /C calc'!A0,"), "{out}");
        let (_, out, _) = demo::run(&demo, None, |context| run(&args(&[]), context));
        assert!(out.contains(",@SUM(A1),"), "{out}");
    }

    #[test]
    fn a_terminal_receives_no_escape_sequence_of_a_table() {
        let mut demo = Demo::new(&["name"]);
        let name = Value::Text("\x1b]0;t\x07\u{202e}\u{9b}2J".into());
        demo.complete(&[("name", name)], &[("val_loss", 1.0)]);
        let json = Args {
            json: true,
            ..args(&[])
        };
        for (args, shown) in [
            (args(&[]), "\\x1b]0;t\\x07\\u{202e}\\x9b2J"),
            (json, "\\u001b]0;t\\u0007\\u202e\\u009b2J"),
        ] {
            let (_, out, _) = demo::run(&demo, Some(80), |context| run(&args, context));
            assert!(out.contains(shown), "{out}");
        }
        let (_, out, _) = demo::run(&demo, None, |context| run(&args(&[]), context));
        assert!(out.contains("\x1b]0;t\x07\u{202e}\u{9b}2J"), "{out}");
    }

    #[test]
    fn every_json_line_names_its_study_and_trial() {
        let (_, out, _) = demo::run(&world(), None, |context| {
            run(
                &Args {
                    json: true,
                    ..args(&[])
                },
                context,
            )
        });
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[1]["study"], &lines[1]["trial"]),
            (&"digits".into(), &2.into())
        );
        assert_eq!(lines[1]["metrics"]["val_loss"]["last"], "inf");
    }

    #[test]
    fn the_long_table_has_one_row_per_report_as_csv_and_as_json() {
        let mut demo = world();
        let trial = demo.start(&[]);
        demo.log(
            trial,
            LogRecord::Report {
                values: vec![("note".into(), Datum::Text("a,b".into()))],
            },
        );
        let mut arguments = Args {
            long: true,
            ..args(&[])
        };
        let (_, out, _) = demo::run(&demo, None, |context| run(&arguments, context));
        assert_eq!(
            out,
            "pipeline,stage,trial_id,attempt,report,step,at,metric.note,metric.val_loss\n\
             digits,train,1,1,1,1,2026-01-01T00:00:04Z,,0.5\n\
             digits,train,2,1,1,1,2026-01-01T00:00:08Z,,inf\n\
             digits,train,3,1,1,1,2026-01-01T00:00:12Z,\"a,b\",\n"
        );
        arguments.json = true;
        let (_, out, _) = demo::run(&demo, None, |context| run(&arguments, context));
        assert_eq!(
            out.lines().nth(1).unwrap(),
            "{\"v\":1,\"study\":\"digits\",\"pipeline\":\"digits\",\"stage\":\"train\",\"trial\":2,\"attempt\":1,\"report\":1,\"step\":1.0,\
             \"at\":\"2026-01-01T00:00:08Z\",\"values\":{\"val_loss\":\"inf\"}}"
        );
        let (_, out, _) = demo::run(&demo, None, |context| {
            run(
                &Args {
                    long: true,
                    ..args(&["failed"])
                },
                context,
            )
        });
        assert_eq!(out.lines().count(), 2, "{out}");
    }

    #[test]
    fn parquet_has_types_and_every_row() {
        use ::parquet::file::reader::{FileReader, SerializedFileReader};
        let folder = tempfile::tempdir().unwrap();
        for (long, rows, column) in [(false, 2, "param.lr"), (true, 2, "metric.val_loss")] {
            let path = folder.path().join("x.parquet");
            let (result, ..) = demo::run(&world(), Some(80), |context| {
                run(
                    &Args {
                        long,
                        output: Some(path.clone()),
                        ..args(&[])
                    },
                    context,
                )
            });
            assert_eq!(result, Ok(Code::Done));
            let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr();
            let field = schema
                .columns()
                .iter()
                .find(|field| field.name() == column)
                .unwrap();
            assert_eq!(field.physical_type(), ::parquet::basic::Type::DOUBLE);
            assert_eq!(reader.metadata().file_metadata().num_rows(), rows);
        }
        let (result, ..) = demo::run(&world(), Some(80), |context| {
            run(
                &Args {
                    parquet: true,
                    ..args(&[])
                },
                context,
            )
        });
        assert_eq!(result.unwrap_err().code, Code::Usage);
    }

    #[test]
    fn the_name_of_a_tracker_makes_its_files_again() {
        let logs = tempfile::tempdir().unwrap();
        let dir = studies::demo::write(logs.path(), "digits", &world());
        let sweep = "name = \"digits\"\n[objective]\nmetric = \"val_loss\"\ngoal = \"min\"\n[run]\ncommand = [\"true\"]\n[search]\nsampler = \"random\"\ntrials = 2\n[space]\nlr = { min = 0.0, max = 1.0 }\n";
        std::fs::write(dir.sweep_toml(), sweep).unwrap();
        let (out, _, stderr) = crate::cli::output::captured::output(None);
        let mut context = crate::cli::Context {
            logs: logs.path().to_owned(),
            out,
        };
        let result = run(&args(&["tensorboard", "digits"]), &mut context);
        assert_eq!(result, Ok(Code::Done), "{}", stderr.text());
        assert!(dir.trackers().join("tensorboard/2").is_dir());
        assert_eq!(
            run(&args(&["tensorboard", "digit"]), &mut context)
                .unwrap_err()
                .code,
            Code::Usage
        );
    }

    #[test]
    fn a_file_is_replaced_and_a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "old").unwrap();
        let (result, out, _) = demo::run(&world(), None, |context| {
            run(
                &Args {
                    output: Some(path.clone()),
                    ..args(&[])
                },
                context,
            )
        });
        assert_eq!((result, out.as_str()), (Ok(Code::Done), ""));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        let missing = folder.path().join("no/x.csv");
        let (result, ..) = demo::run(&world(), None, |context| {
            run(
                &Args {
                    output: Some(missing.clone()),
                    ..args(&[])
                },
                context,
            )
        });
        assert_eq!(result.unwrap_err().code, Code::Tool);
    }
}
