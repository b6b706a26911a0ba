//! The command line: parses the arguments, runs the command, prints an error with its hints and
//! returns the exit code.
//!
//! Each command has one file with its arguments and its `run` function. To add a command, write the
//! file, a variant of `args::Command` and a line in `dispatch`. Standard output carries data only;
//! progress, warnings and hints go to standard error.

pub(crate) mod add;
pub(crate) mod args;
pub(crate) mod ask_tell;
pub(crate) mod best;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod completions;
mod detach;
mod detail;
pub(crate) mod diff;
pub(crate) mod doctor;
pub mod exit;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod guard;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod insights;
pub(crate) mod kinds;
mod learn;
pub(crate) mod logs;
pub(crate) mod ls;
mod luck;
pub(crate) mod man;
pub(crate) mod output;
mod page;
mod paste;
pub(crate) mod pilot;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod progress;
mod provenance;
pub(crate) mod quote;
pub(crate) mod recapture;
pub(crate) mod remarks;
pub(crate) mod replay;
pub mod report;
mod repro;
pub(crate) mod rerun;
pub(crate) mod retry;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod show;
pub(crate) mod simulate;
pub(crate) mod stop;
pub(crate) mod studies;
mod sweeps;
mod tail;
mod terminal_text;
pub(crate) mod top;
pub(crate) mod ui;
pub(crate) mod verify;
pub(crate) mod why;

#[doc(hidden)]
pub use ui::status as status_of_request;

use args::{Cli, Command};
use clap::Parser;
use exit::{Code, Failure};
use output::Output;
use std::io::Write as _;
use std::path::PathBuf;

/// State that every command receives besides its own arguments.
pub(crate) struct Context {
    /// The folder that holds all studies (`--logs` or `SWATH_LOGS`, default `logs`).
    pub(crate) logs: PathBuf,
    /// Standard output and standard error of the command.
    pub(crate) out: Output,
}

/// Runs the program with the arguments and the streams of the process, and returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let helper = arguments.peek().and_then(|name| guard::Helper::named(name));
    if let Some(helper) = helper {
        return guard::run(helper).into();
    }
    // A trial may call `swath report` many times, so it skips the parser of the whole command line.
    if arguments.next().is_some_and(|command| command == "report") {
        return report::run(&arguments.collect::<Vec<_>>(), &mut std::io::stderr()).into();
    }
    // Without the handler a limit on the size of files would kill the process. If it cannot be set,
    // the command works all the same.
    let _ = crate::driver::interrupt::survive_file_size_limit();
    swath_search::companion::set_launcher(crate::executor::SlotLauncher::new(guard::command));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            // `--help` and `--version` arrive as errors too, but clap prints them to standard
            // output.
            return match printed {
                _ if error.use_stderr() => Code::Usage,
                Err(_) => Code::Tool,
                Ok(()) => Code::Done,
            }
            .into();
        }
    };
    let mut context = Context {
        logs: cli.logs,
        out: Output::of_process(),
    };
    let result = dispatch(&cli.command, &mut context);
    // Flush even after a failure, so that the data written so far precedes the error message.
    let flushed = context.out.stdout.flush().map_err(Failure::from);
    match result.and_then(|code| flushed.map(|()| code)) {
        Ok(code) => code.into(),
        Err(failure) => {
            context.out.fail(&failure);
            failure.code.into()
        }
    }
}

fn dispatch(command: &Command, context: &mut Context) -> Result<Code, Failure> {
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::Add(args) => add::run(args, context),
        Command::Import(args) => import::run(args, context),
        Command::AskTell(args) => ask_tell::run(args, context),
        Command::Guard(_) => Ok(guard::run(guard::Helper::Guard)),
        Command::Slot(_) => Ok(guard::run(guard::Helper::Slot)),
        Command::Pilot(args) => pilot::run(args, context),
        Command::Report(args) => Ok(report::run_parsed(&args.words)),
        Command::Stop(args) => stop::run(args, context),
        Command::Replay(args) => replay::run(args, context),
        Command::Why(args) => why::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Repro(args) => repro::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Recapture(args) => recapture::run(args, context),
        Command::Rerun(args) => rerun::run(args, context),
        Command::Retry(args) => retry::run(args, context),
        Command::Note(args) => remarks::note(args, context),
        Command::Tag(args) => remarks::tag(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Gc(args) => gc::run(args, context),
        Command::Doctor(args) => doctor::run(args, context),
        Command::Ls(args) => ls::run(args, context),
        Command::Show(args) => show::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Best(args) => best::run(args, context),
        Command::Compare(args) => compare::run(args, context),
        Command::Insights(args) => insights::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Plot(args) => plot::run(args, context),
        Command::Top(args) => top::run(args, context),
        Command::Ui(args) => ui::run(args, context),
        Command::Simulate(args) => simulate::run(args, context),
        Command::Kinds(args) => kinds::run(args, context),
        Command::Schema(args) => schema::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Man(args) => man::run(args, context),
    }
}
