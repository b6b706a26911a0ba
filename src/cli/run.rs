//! `swath run SWEEP`: starts the trials of a sweep, or continues an earlier run.

use super::exit::{Code, Failure};
use super::output::Output;
use super::progress::{Progress, Style};
use super::sweeps::{Accepts, SweepArgs};
use super::{Context, guard, quote};
use crate::driver::{DriverError, Interrupt};
use crate::report::summary;
use crate::report::text::plain;
use crate::run::{Opened, Options, ResourceError, RunError, SetupEnd};
use crate::study::Closing;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Time after the second request to stop within which the run ends in order. Then it is abandoned.
const LAST_RESORT: Duration = Duration::from_millis(800);

/// Run the trials of a sweep, or resume it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sweep: SweepArgs,
    /// The number of trials to run at a time, instead of the sweep file's
    #[arg(long, short, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// The GPUs to use, as the driver numbers them, instead of all GPUs; only for a sweep that sets
    /// `gpus`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    gpus: Option<Vec<String>>,
    /// End this run after a time such as `10m`; the same command resumes it later
    ///
    /// Trials that still run are stopped, and resume in the next run. `time` under `[limits]` in
    /// the sweep file is the limit of all runs together.
    #[arg(long, value_name = "DURATION", value_parser = run_time)]
    time: Option<Duration>,
    /// Begin a new study with the best configurations of an earlier one, which has the same
    /// objective
    ///
    /// Of each study that is named, the three best configurations that the space admits run first.
    /// Parameters that they do not have are drawn. They count towards `trials`.
    #[arg(long, value_name = "STUDY")]
    learn_from: Vec<String>,
    /// Write every event as a JSON line to standard output
    #[arg(long)]
    json: bool,
    /// Show failures and the summary only
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Refuse a sweep file that has warnings
    #[arg(long)]
    strict: bool,
    /// Run in the background, with messages in `run.log` in the study's folder
    #[arg(long, conflicts_with = "json")]
    detach: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (sweep, workdir) = args.sweep.read(Accepts::Program, args.strict, context)?;
    if sweep.run.command.is_empty() {
        return Err(Failure::usage(
            "the sweep file has no `[run] command`, so there is nothing to run",
        )
        .hint("add `command = [\"./train\", \"{args}\"]` under `[run]`"));
    }
    let options = Options {
        logs: context.logs.clone(),
        workdir,
        jobs: args.jobs.map(usize::from),
        gpus: gpus(args.gpus.clone()),
        time: args.time,
        command_line: std::env::args().collect(),
        ..Options::default()
    };
    // The sweep file is checked before the process detaches, so that its errors appear on the
    // terminal.
    if args.detach {
        return super::detach::run(&sweep.name, context);
    }
    let mut opened = crate::run::open(&sweep, options)?;
    if !args.learn_from.is_empty() {
        super::learn::learn(&mut opened, &sweep, &args.learn_from, context)?;
    }
    if opened.is_finished() {
        return finished(&mut opened, args, context);
    }
    for notice in opened.notice().into_iter().flat_map(str::lines) {
        context.out.warn(plain(notice));
    }
    let interrupt = Interrupt::on_signals_or(LAST_RESORT, abandon)?;
    // `swath stop --now` is as urgent as the second signal.
    interrupt.watch(opened.dir())?;
    // Without a budget left the run still goes ahead: before it ends, it stops trials that an
    // earlier run may have left running.
    let spent_budget = opened.spent_budget();
    if let Some(why) = &spent_budget {
        context.out.say(format_args!(
            "no trial is started: {}",
            summary::closing(why)
        ));
    }
    // SIGTSTP is handled only from here on: nothing acts on it before the setup and the driver run.
    interrupt.halt_on_signals()?;
    if spent_budget.is_none()
        && opened.setup(guard::command(), &interrupt)? == SetupEnd::Interrupted
    {
        context
            .out
            .say("interrupted during `[run] setup`, before any trial started");
        context
            .out
            .say(format_args!("continue with: {}", resume_command()));
        return Ok(interrupted(&interrupt));
    }
    if let Some(reporters) = opened.reporters() {
        context.out.say(plain(&reporters));
    }
    let progress = progress(&opened, args);
    carry_out(&mut opened, &interrupt, progress, &resume_command())
}

/// Reports that no trial is left to run, brings the trackers up to date and prints the summary.
fn finished(opened: &mut Opened<'_>, args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let why = match opened.study().closed() {
        Some(Closing::Exhausted) => Closing::Exhausted,
        _ => Closing::Finished,
    };
    context.out.say(match why {
        Closing::Exhausted => "the study is exhausted, so no trial is left to run",
        _ => "the study is finished, so no trial is left to run; raise `trials` in the sweep file to add trials",
    });
    let mut progress = progress(opened, args);
    opened.catch_up(|stale| progress.stale(&stale))?;
    // A study in which no trial succeeded is not done, however often it is run.
    Ok(progress.finish(opened.study(), &why, &resume_command()))
}

/// Parses the value of `--time`. Zero is an error.
pub(super) fn run_time(text: &str) -> Result<Duration, String> {
    match crate::source::units::duration(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than zero".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("it {error}; write 90s, 45m or 1h30m")),
    }
}

/// Runs the trials of an opened study and prints the summary. `resume` is the command that
/// continues the run.
pub(super) fn carry_out(
    opened: &mut Opened<'_>,
    interrupt: &Interrupt,
    progress: Progress,
    resume: &str,
) -> Result<Code, Failure> {
    let progress = progress.shared();
    let display = progress.clone();
    opened.record(move |stale| display.with(|progress| progress.stale(&stale)))?;
    opened.listen(Box::new(progress.clone()));
    let mut executor = opened.programs(guard::command())?;
    let result = opened.run(&mut *executor, interrupt);
    drop(executor);
    let (closing, failure) = match result {
        Ok(closing) => (closing, None),
        // The run ended in order before this error, so its summary is printed too.
        Err(RunError::Driver(DriverError::Search(failure))) => {
            (Closing::SearchFailed, Some(failure))
        }
        Err(error) => return Err(error.into()),
    };
    let code = progress.with(|progress| progress.finish(opened.study(), &closing, resume));
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    Ok(if code == Code::Interrupted {
        interrupted(interrupt)
    } else {
        code
    })
}

/// Ends this process after the second request to stop, or after `swath stop --now`, whatever its
/// threads wait for. Its guard ends the trials, and the next run takes in the records that this one
/// has not read.
fn abandon(interrupt: &Interrupt) {
    // The cursor stands at the start of the progress display, which nothing else removes.
    let clear = match std::io::stderr().is_terminal() {
        true => "\r\x1b[J",
        false => "",
    };
    let message = format!(
        "{clear}warning: the run did not end by itself, so it was abandoned; nothing that trials recorded is \
         lost\nwarning: continue with: {}",
        resume_command()
    );
    // The terminal may be stopped, so the message has a thread of its own and is not waited for.
    let writer =
        std::thread::Builder::new().spawn(move || drop(writeln!(std::io::stderr(), "{message}")));
    if writer.is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Destructors would wait for the threads that do not end.
    signal_hook::low_level::exit(i32::from(interrupted(interrupt) as u8))
}

/// Returns the exit code of a run that a signal ended: 143 for SIGTERM, SIGHUP and SIGUSR1, else
/// 130.
pub(super) fn interrupted(interrupt: &Interrupt) -> Code {
    use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
    // Batch systems send these signals; only SIGINT comes from a user at the terminal.
    let is_from_batch_system = [SIGTERM, SIGHUP, SIGUSR1].contains(&interrupt.signal());
    if is_from_batch_system {
        Code::Terminated
    } else {
        Code::Interrupted
    }
}

/// Returns the ids of the GPUs to use: `named`, else the list in `CUDA_VISIBLE_DEVICES` or
/// `ROCR_VISIBLE_DEVICES`, which a batch system sets. `None` if neither is given.
pub(super) fn gpus(named: Option<Vec<String>>) -> Option<Vec<String>> {
    let named = named.or_else(|| {
        let visible = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok())?;
        Some(visible.split(',').map(str::to_owned).collect())
    })?;
    // An id of -1 is the convention for "no GPU".
    Some(
        named
            .into_iter()
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty() && id != "-1")
            .collect(),
    )
}

fn progress(opened: &Opened<'_>, args: &Args) -> Progress {
    let style = match (args.json, args.quiet) {
        (true, _) => Style::Json,
        (false, true) => Style::Quiet,
        (false, false) => Style::Human,
    };
    Progress::new(
        style,
        opened.dir().clone(),
        Output::of_process(),
        opened.study(),
        opened.secrets().clone(),
    )
}

/// Returns the command that continues this run: the command line of this process.
fn resume_command() -> String {
    quote::line(&std::env::args().collect::<Vec<_>>())
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Driver(driver) => driver.into(),
            RunError::Rejected(rejected) => super::sweeps::rejected(&rejected, false),
            RunError::Resources(resources) => match &resources {
                ResourceError::TooManyJobs { most, .. } => Self::caused(Code::Usage, &resources)
                    .hint(format!("leave `jobs` out, or set it to {most} or less; `gpus = 0.5` lets two trials share a GPU")),
                ResourceError::Gpus(_) => Self::caused(Code::Usage, &resources)
                    .hint("leave `gpus` out to run without them, or name them: `swath run --gpus 0,1`"),
                _ => Self::caused(Code::Usage, &resources),
            },
            RunError::Setup(_) => {
                Self::caused(Code::Tool, &error).hint("no trial was started; correct the command and run again")
            }
            RunError::Code(code) => Self::caused(Code::Usage, &code).hint(code.hint()),
            RunError::Work(work) => Self::caused(Code::Usage, &work).hint(work.hint()),
            RunError::Unset(unset) => Self::caused(Code::Usage, &unset).hint(format!(
                "set `{name}` where you call swath, or give a default: `{{env:{name}:-default}}`",
                name = unset.name
            )),
            other => Self::caused(Code::Tool, &other),
        }
    }
}
