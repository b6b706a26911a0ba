//! `swath logs`: prints the standard output and the standard error of trials and preparations.

use super::exit::{Code, Failure};
use super::output::Output;
use super::studies::{Selection, SelectionArgs};
use super::{Context, tail};
use crate::cluster::pilot;
use crate::journal;
use crate::logger::regular;
use crate::report::text::{Escapes, log_line, plain};
use crate::source::secret::Secrets;
use crate::study::{PreparationId, Study, Trial, TrialId, TrialState};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The interval between two polls of a followed log.
const POLL: Duration = Duration::from_millis(100);

/// The interval between two checks whether a followed trial still runs.
const STATE_POLL: Duration = Duration::from_secs(1);

/// Arguments of `swath logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// The preparation of this name that the selected trials read (default: all of this name), in
    /// place of the trials
    #[arg(long, value_name = "NAME")]
    pub(crate) prepare: Option<String>,

    /// Only standard error
    #[arg(long)]
    pub(crate) stderr: bool,

    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) stdout: bool,

    /// Keep printing as the trial writes, until it ends
    #[arg(short, long, conflicts_with = "head")]
    pub(crate) follow: bool,

    /// Only the first lines
    #[arg(long, value_name = "LINES")]
    pub(crate) head: Option<usize>,

    /// Only the last lines
    #[arg(long, value_name = "LINES", conflicts_with = "head")]
    pub(crate) tail: Option<usize>,

    /// Print lines with colours and overwritten text as they are; a terminal shows escape
    /// sequences as text
    #[arg(long)]
    pub(crate) raw: bool,
}

/// A program whose logs are printed.
#[derive(Clone, Copy)]
enum Program {
    Trial(TrialId),
    Preparation(PreparationId),
}

impl Program {
    /// Returns its execution in the study, or `None` if the study has none.
    fn execution(self, study: &Study) -> Option<&Trial> {
        match self {
            Self::Trial(id) => study.trial(id),
            Self::Preparation(id) => Some(&study.preparation(id)?.execution),
        }
    }

    /// Returns the folder of its logs.
    fn folder(self, selection: &Selection) -> PathBuf {
        match self {
            Self::Trial(id) => selection.folder(id),
            Self::Preparation(id) => {
                let preparation = selection.study.preparation(id);
                let digest = preparation.map_or("", |preparation| &preparation.digest);
                selection.dir.preparation(digest)
            }
        }
    }

    /// Returns its noun and its name.
    fn title(self, study: &Study) -> String {
        match self {
            Self::Trial(id) => format!("trial {id}"),
            Self::Preparation(id) => {
                let name = study.preparation(id).map(|preparation| &preparation.name);
                name.map_or_else(
                    || format!("preparation {id}"),
                    |name| format!("preparation `{name}`"),
                )
            }
        }
    }
}

/// Runs `swath logs`: prints the logs of the selected trials or preparations, and with `--follow`
/// those of one until it ends.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let programs: Vec<Program> = match &args.prepare {
        Some(name) => preparations(name, &selection)?,
        None => {
            let trials = selection.trials_or(|study| default_trial(study, args.follow))?;
            trials
                .into_iter()
                .map(|trial| Program::Trial(trial.id))
                .collect()
        }
    };
    if args.follow && programs.len() > 1 {
        let noun = args.prepare.as_ref().map_or("trials", |_| "preparations");
        return Err(Failure::usage(format!(
            "{} {noun} are selected, but `--follow` takes only one",
            programs.len()
        ))
        .hint("`swath top` shows all running trials"));
    }
    let has_several = programs.len() > 1;
    for program in programs {
        print_logs(args, &mut context.out, &selection, program, has_several)?;
    }
    Ok(Code::Done)
}

/// Returns the preparations of this name that the selected trials read, or all without a selection.
fn preparations(name: &str, selection: &Selection) -> Result<Vec<Program>, Failure> {
    let study = &selection.study;
    let selected: Option<Vec<TrialId>> = if selection.is_selective() {
        let trials = selection.trials()?;
        Some(trials.iter().map(|trial| trial.id).collect())
    } else {
        None
    };
    let named: Vec<_> = study
        .preparations()
        .iter()
        .filter(|preparation| preparation.name.as_ref() == name)
        .collect();
    if named.is_empty() {
        let names: BTreeSet<&str> = study
            .preparations()
            .iter()
            .map(|preparation| preparation.name.as_ref())
            .collect();
        let failure = Failure::usage(format!("no preparation `{}` has been needed", plain(name)));
        return Err(if names.is_empty() {
            failure.hint("the study has no preparations")
        } else {
            let names: Vec<_> = names.into_iter().collect();
            failure.hint(format!("the study has {}", names.join(", ")))
        });
    }
    let of_selected: Vec<Program> = named
        .into_iter()
        .filter(|preparation| {
            selected
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|id| preparation.trials.contains(id)))
        })
        .map(|preparation| Program::Preparation(preparation.id))
        .collect();
    if of_selected.is_empty() {
        return Err(Failure::usage(format!(
            "no selected trial has read a preparation `{}`",
            plain(name)
        ))
        .hint("without trials, the logs of all of this name are printed"));
    }
    Ok(of_selected)
}

/// Prints the logs of a program, each under its path if there are several logs.
fn print_logs(
    args: &Args,
    out: &mut Output,
    selection: &Selection,
    program: Program,
    has_several: bool,
) -> Result<(), Failure> {
    let folder = program.folder(selection);
    let mut logs = open(args, &folder, &selection.secrets())?;
    let has_titles = has_several || logs.len() > 1;
    // Escape sequences are neutralised on a terminal; files and pipes receive the bytes as they
    // are.
    let safe = out.width.is_some() && !args.raw;
    if logs.is_empty() {
        let execution = program.execution(&selection.study);
        let state = if execution.is_none_or(|execution| execution.attempts == 0) {
            "has not started"
        } else {
            "has written nothing"
        };
        let title = program.title(&selection.study);
        out.say(format_args!("{title} {state}"));
    }
    for log in &mut logs {
        if has_titles {
            let title = out.paint_err.dim(&format!(
                "==> {} <==",
                plain(&log.path.display().to_string())
            ));
            out.say(title);
        }
        log.copy(out, args.head.unwrap_or(usize::MAX), safe)?;
        // A followed log may still receive the rest of its last line.
        if !args.follow {
            log.copy_rest(out, safe)?;
        }
    }
    if args.follow {
        follow(args, out, selection, program, logs, safe)?;
    }
    Ok(())
}

/// Returns the default trial: with `--follow` a running one, else the last one that started.
fn default_trial(study: &Study, follow: bool) -> Option<&Trial> {
    let running = study
        .running()
        .last()
        .and_then(|id| study.trial(id))
        .filter(|_| follow);
    running.or_else(|| study.trials().iter().rev().find(|trial| trial.attempts > 0))
}

/// An open log file.
struct Log {
    path: PathBuf,
    reader: BufReader<File>,
    /// The bytes of a line that is not complete yet.
    unfinished: Vec<u8>,
    secrets: Secrets,
}

impl Log {
    /// Opens a log at its start, or at its last `tail` lines. `None` if the file does not exist.
    fn open(
        path: PathBuf,
        tail: Option<usize>,
        secrets: &Secrets,
    ) -> Result<Option<Self>, Failure> {
        let mut file = match regular::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let start = tail
            .map_or(Ok(0), |count| tail::offset_of_last(&mut file, count))
            .map_err(|error| unreadable(&path, &error))?;
        file.seek(SeekFrom::Start(start))
            .map_err(|error| unreadable(&path, &error))?;
        Ok(Some(Self {
            path,
            reader: BufReader::new(file),
            unfinished: Vec::new(),
            secrets: secrets.clone(),
        }))
    }

    /// Copies up to `count` complete lines.
    fn copy(&mut self, out: &mut Output, count: usize, safe: bool) -> Result<(), Failure> {
        for _ in 0..count {
            if !self.copy_line(out, safe)? {
                break;
            }
        }
        Ok(out.stdout.flush()?)
    }

    /// Copies the incomplete last line, if there is one.
    fn copy_rest(&mut self, out: &mut Output, safe: bool) -> Result<(), Failure> {
        if self.unfinished.is_empty() {
            Ok(())
        } else {
            self.write(out, safe)
        }
    }

    /// Copies one complete line. Returns false if there is none; the bytes read so far stay in
    /// `unfinished`.
    fn copy_line(&mut self, out: &mut Output, safe: bool) -> Result<bool, Failure> {
        self.reader.read_until(b'\n', &mut self.unfinished)?;
        if !self.unfinished.ends_with(b"\n") {
            return Ok(false);
        }
        self.write(out, safe)?;
        Ok(true)
    }

    fn write(&mut self, out: &mut Output, safe: bool) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.unfinished);
        let line = self.secrets.redact_bytes(&line);
        if !safe {
            return Ok(out.foreign(Escapes::Text).write_all(&line)?);
        }
        let text = String::from_utf8_lossy(&line);
        Ok(writeln!(
            out.stdout,
            "{}",
            log_line(text.trim_end_matches('\n'))
        )?)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure {
        causes: vec![error.to_string()],
        ..Failure::tool(format!("could not read `{}`", path.display()))
    }
}

fn open(args: &Args, folder: &Path, secrets: &Secrets) -> Result<Vec<Log>, Failure> {
    let streams = [("stdout.log", !args.stderr), ("stderr.log", !args.stdout)];
    let mut logs = Vec::new();
    for (name, _) in streams.into_iter().filter(|(_, selected)| *selected) {
        logs.extend(Log::open(folder.join(name), args.tail, secrets)?);
    }
    Ok(logs)
}

/// Copies new lines until the program has ended and everything is copied.
fn follow(
    args: &Args,
    out: &mut Output,
    selection: &Selection,
    program: Program,
    mut logs: Vec<Log>,
    safe: bool,
) -> Result<(), Failure> {
    let mut state = state_of(program, &selection.study);
    let mut last_check = Instant::now();
    while matches!(
        state,
        TrialState::Running | TrialState::Waiting | TrialState::Paused
    ) {
        std::thread::sleep(POLL);
        // A waiting program has no logs yet; they appear when it starts.
        if logs.is_empty() {
            logs = open(args, &program.folder(selection), &selection.secrets())?;
        }
        for log in &mut logs {
            log.copy(out, usize::MAX, safe)?;
        }
        if last_check.elapsed() >= STATE_POLL {
            let study = pilot::settled(&selection.dir)?;
            state = state_of(program, &study);
            // No process holds the study, so nothing will start the trial again.
            let is_abandoned =
                state != TrialState::Running && journal::lock::holder(&selection.dir).is_none();
            if is_abandoned {
                break;
            }
            last_check = Instant::now();
        }
    }
    // The program may have written more between the last copy and its end.
    for log in &mut logs {
        log.copy(out, usize::MAX, safe)?;
        log.copy_rest(out, safe)?;
    }
    Ok(())
}

/// Returns the state of a program; a program that the study does not have any more has failed.
fn state_of(program: Program, study: &Study) -> TrialState {
    program
        .execution(study)
        .map_or(TrialState::Failed, |execution| execution.state.clone())
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::study::Exit;
    use swath_model::demo::Demo;

    fn args() -> Args {
        let selection = SelectionArgs {
            words: vec!["1".into()],
            condition: None,
        };
        Args {
            selection,
            prepare: None,
            stderr: false,
            stdout: false,
            follow: false,
            head: None,
            tail: None,
            raw: false,
        }
    }

    /// Prints the logs of a trial that wrote these bytes.
    fn logs(
        args: &Args,
        width: Option<usize>,
        stdout: &[u8],
    ) -> (Result<Code, Failure>, String, String) {
        let mut world = Demo::new(&[]);
        let trial = world.start(&[]);
        world.end(trial, Exit::Stopped);
        demo::run(&world, width, |context| {
            let folder = context.logs.join("digits/1");
            std::fs::create_dir_all(&folder).unwrap();
            if !stdout.is_empty() {
                std::fs::write(folder.join("stdout.log"), stdout).unwrap();
                std::fs::write(folder.join("stderr.log"), "oops\n").unwrap();
            }
            run(args, context)
        })
    }

    #[test]
    fn both_streams_are_printed_with_titles_on_standard_error() {
        let (_, out, err) = logs(&args(), None, b"one\ntwo");
        assert_eq!(out, "one\ntwooops\n");
        assert_eq!(
            err,
            "==> logs/digits/1/stdout.log <==\n==> logs/digits/1/stderr.log <==\n"
        );
    }

    #[test]
    fn the_logs_of_several_trials_follow_each_other() {
        let mut world = Demo::new(&[]);
        for _ in 0..3 {
            let trial = world.start(&[]);
            world.end(trial, Exit::Stopped);
        }
        let args = Args {
            selection: SelectionArgs {
                words: vec!["1-2".into(), "3".into()],
                condition: None,
            },
            ..args()
        };
        let (result, out, err) = demo::run(&world, None, |context| {
            for trial in [1, 3] {
                let folder = context.logs.join(format!("digits/{trial}"));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("stdout.log"), format!("{trial}\n")).unwrap();
            }
            run(&args, context)
        });
        result.unwrap();
        assert_eq!(out, "1\n3\n");
        assert_eq!(
            err,
            "==> logs/digits/1/stdout.log <==\ntrial 2 has written nothing\n==> logs/digits/3/stdout.log <==\n"
        );
    }

    #[test]
    fn bytes_pass_unchanged_except_on_a_terminal() {
        let bytes = b"\x1b[31mred\x1b[0m\r 9%\r10%\n\x07bell\n";
        let stdout = Args {
            stdout: true,
            ..args()
        };
        assert_eq!(logs(&stdout, None, bytes).1.as_bytes(), bytes);
        assert_eq!(logs(&stdout, Some(80), bytes).1, "10%\n\\x07bell\n");
        assert_eq!(
            logs(
                &Args {
                    raw: true,
                    ..stdout
                },
                Some(80),
                bytes
            )
            .1
            .as_bytes(),
            b"\\x1b[31mred\\x1b[0m\\r 9%\\r10%\n\\x07bell\n"
        );
    }

    #[test]
    fn a_last_line_without_a_newline_is_also_printed_on_a_terminal() {
        let stdout = Args {
            stdout: true,
            ..args()
        };
        assert_eq!(logs(&stdout, Some(80), b"a\nb").1, "a\nb\n");
        assert_eq!(
            logs(
                &Args {
                    follow: true,
                    ..stdout
                },
                Some(80),
                b"a\nb"
            )
            .1,
            "a\nb\n"
        );
    }

    #[test]
    fn head_and_tail_count_lines() {
        let text = b"1\n2\n3\n4\n";
        assert_eq!(
            logs(
                &Args {
                    head: Some(2),
                    stdout: true,
                    ..args()
                },
                None,
                text
            )
            .1,
            "1\n2\n"
        );
        assert_eq!(
            logs(
                &Args {
                    tail: Some(1),
                    stdout: true,
                    ..args()
                },
                None,
                text
            )
            .1,
            "4\n"
        );
        assert_eq!(
            logs(
                &Args {
                    stderr: true,
                    ..args()
                },
                None,
                text
            )
            .1,
            "oops\n"
        );
    }

    #[test]
    fn a_trial_without_output_gets_a_note() {
        let (result, out, err) = logs(&args(), None, b"");
        assert_eq!(
            (result, out.as_str(), err.as_str()),
            (Ok(Code::Done), "", "trial 1 has written nothing\n")
        );
    }
}
