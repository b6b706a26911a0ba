//! `swath man`: writes the man pages of the program and of each command.

use super::Context;
use super::args::Cli;
use super::exit::{Code, Failure};
use clap::CommandFactory;
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `swath man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to write to, such as `~/.local/share/man/man1`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs `swath man`: writes `swath.1` and a page `swath-COMMAND.1` for each command that the help
/// lists.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let mut program = Cli::command();
    // Only a built command knows the full names of its subcommands, such as `swath-run`.
    program.build();
    let commands = program.get_subcommands().filter(|each| !each.is_hide_set());
    let pages: Vec<_> = std::iter::once(&program)
        .chain(commands)
        .map(page)
        .collect();
    write_all(&pages, &args.folder).map_err(|error| Failure {
        causes: vec![error.to_string()],
        ..Failure::tool(format!(
            "could not write man pages to `{}`",
            args.folder.display()
        ))
    })?;
    let count = pages.len();
    context.out.say(format_args!(
        "man pages: {count}, in {}",
        args.folder.display()
    ));
    Ok(Code::Done)
}

/// Returns the man page of a command.
fn page(command: &clap::Command) -> Man {
    let version = concat!("swath ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(version).manual("swath")
}

fn write_all(pages: &[Man], folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    pages
        .iter()
        .try_for_each(|page| page.generate_to(folder).map(drop))
}
