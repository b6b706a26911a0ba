//! The arguments of the whole command line, as clap parses them.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Hyperparameter sweeps with trial logging: one binary, no server, nothing lost.
#[derive(Debug, Parser)]
#[command(
    name = "swath",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(after_help = "\
        Start with `swath init`, then `swath run sweep.toml`. Exit codes: 0 done, 1 swath itself \
        failed, 2 bad usage or sweep file, 3 no trial succeeded, 4 failure limit or circuit \
        breaker, 5 another run holds the study, 6 a check found a difference, 130 or 143 \
        interrupted.")]
pub(crate) struct Cli {
    /// The folder of all studies
    #[arg(
        long,
        global = true,
        env = "SWATH_LOGS",
        default_value = "logs",
        value_name = "DIR"
    )]
    pub(crate) logs: PathBuf,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands. Each has its own file, which holds its arguments and its `run` function.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a sweep file to start from, for a given program
    Init(super::init::Args),
    /// Check a sweep file, and show what it would run
    Check(super::check::Args),
    /// Show the trials that `run` would start next, without starting any
    Plan(super::plan::Args),
    /// Run the trials of a sweep, or resume it
    Run(super::run::Args),
    /// Propose trials and receive results as JSON lines, for a loop of your own
    AskTell(super::ask_tell::Args),
    /// Add a configuration to a study, which tries it next
    Add(super::add::Args),
    /// Import trials that ran elsewhere: a `trials.csv`, an Optuna file, any CSV
    Import(super::import::Args),
    /// Stop the run of a study
    Stop(super::stop::Args),
    /// List the trials of a study
    Ls(super::ls::Args),
    /// Show a study, or everything recorded about some trials
    Show(super::show::Args),
    /// Print the standard output and the standard error of trials
    Logs(super::logs::Args),
    /// Watch a study on the terminal as it runs
    Top(super::top::Args),
    /// Show the best trial, ready to paste
    Best(super::best::Args),
    /// Compare trials of studies and CSV files: groups, means, and whether a difference is more
    /// than noise
    Compare(Box<super::compare::Args>),
    /// Say what a study shows: the best, what matters, what failed, what more trials would bring
    Insights(super::insights::Args),
    /// Explain the state of trials
    Why(super::why::Args),
    /// Show the differences between two trials: parameters, code, data, environment, metrics
    Diff(super::diff::Args),
    /// Hash data, models and code again, and report differences from the record
    Verify(super::verify::Args),
    /// Repeat a trial exactly, in a study of its own, and compare the results
    Repro(super::repro::Args),
    /// Let trials that failed or were stopped run again
    Retry(super::retry::Args),
    Recapture(super::recapture::Args),
    Rerun(super::rerun::Args),
    /// Write a note on trials
    Note(super::remarks::NoteArgs),
    /// Tag trials, or remove a tag from them
    Tag(super::remarks::TagArgs),
    /// Move trials to the trash of their study, or restore them
    Rm(super::rm::Args),
    /// Free disk space of a study: old checkpoints by its policy, and files that crashed runs left
    Gc(super::gc::Args),
    /// Show what this machine can enforce, check a study, or salvage a damaged journal
    Doctor(super::doctor::Args),
    /// Draw a study: history, learning curves, importance, and more
    Plot(super::plot::Args),
    /// Show studies in the browser as they run
    Ui(super::ui::Args),
    /// Write the trials of a study, or their reports, as CSV, JSON lines, Parquet or an HTML page,
    /// or rebuild the files of a tracker
    Export(super::export::Args),
    /// Estimate how much a sweep's scheduler would have saved on recorded trials
    Simulate(super::simulate::Args),
    /// Recompute every proposal of a study from its journal
    Replay(super::replay::Args),
    /// List every sampler, scheduler, executor and tracker a sweep file can name
    Kinds(super::kinds::Args),
    /// Print a JSON schema of the sweep file, for editors
    Schema(super::schema::Args),
    /// Print a completion script for a shell
    Completions(super::completions::Args),
    /// Inside a trial: report values, as in `swath report epoch=3 val_loss=0.41`
    Report(super::report::Args),
    /// Write the man pages of all commands into a folder
    #[command(hide = true)]
    Man(super::man::Args),
    #[command(hide = true)]
    Guard(super::guard::Args),
    #[command(hide = true)]
    Slot(super::guard::Args),
    #[command(hide = true)]
    Pilot(super::pilot::Args),
}
