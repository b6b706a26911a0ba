//! `swath kinds`: lists every sampler, scheduler, executor, tracker and plot, with the options of
//! each.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use crate::report::plots::PLOTS;
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::Paint;
use crate::source::diagnostic::nearest;
use crate::sweep::Registry;
use crate::sweep::registry::Declaration;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Arguments of `swath kinds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Describe this kind: its purpose, its paper and its options
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath kinds`: prints a table of all kinds, the description of one, or JSON.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let mut kinds = declarations();
    if let Some(name) = &args.name {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        kinds.retain(|kind| kind.name == name);
        if kinds.is_empty() {
            return Err(unknown(name, &names));
        }
    }
    let out = &mut context.out;
    if args.json {
        let rows: Vec<_> = kinds.iter().map(document).collect();
        out.json(&json!({ "version": JSON_VERSION, "kinds": rows }))?;
        return Ok(Code::Done);
    }
    if args.name.is_some() {
        for kind in &kinds {
            describe(kind, out.paint, &mut out.stdout)?;
        }
        return Ok(Code::Done);
    }
    let mut table = Table::new(vec![RowTone::Usual; kinds.len()]);
    table.push(column("part", &kinds, |kind| kind.part.to_owned()));
    table.push(column("name", &kinds, |kind| kind.name.to_owned()));
    table.push(column("description", &kinds, |kind| kind.about.to_owned()));
    table.render(None, out.paint).write(&mut out.stdout)?;
    out.hint("`swath kinds NAME` shows the options of a kind");
    Ok(Code::Done)
}

/// Returns all kinds: those that a sweep file can name, then the plots.
fn declarations() -> Vec<Declaration> {
    let mut kinds = Registry::standard().declarations();
    kinds.extend(PLOTS.iter().map(|kind| Declaration::of("plot", kind)));
    kinds
}

fn unknown(name: &str, names: &[&str]) -> Failure {
    let failure = Failure::usage(format!("there is no kind `{name}`"));
    match nearest(name, names.iter().copied()) {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure.hint("`swath kinds` lists them all"),
    }
}

fn document(kind: &Declaration) -> Value {
    let options: Vec<_> = kind
        .options
        .iter()
        .map(|option| {
            json!({
                "name": option.name,
                "takes": option.takes.to_string(),
                "default": option.default.to_string(),
                "about": option.about,
            })
        })
        .collect();
    json!({
        "part": kind.part,
        "name": kind.name,
        "about": kind.about,
        "paper": kind.paper,
        "options": options,
    })
}

fn describe(kind: &Declaration, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {}: {}", kind.part, kind.name, kind.about)?;
    if let Some(paper) = kind.paper {
        writeln!(out, "paper: {paper}")?;
    }
    if kind.options.is_empty() {
        return writeln!(out, "\nno options");
    }
    let mut table = Table::new(vec![RowTone::Usual; kind.options.len()]);
    let options = kind.options;
    table.push(column("option", options, |option| option.name.to_owned()));
    table.push(column("takes", options, |option| {
        plain(&option.takes.to_string())
    }));
    table.push(column("default", options, |option| {
        plain(&option.default.to_string())
    }));
    table.push(column("description", options, |option| plain(option.about)));
    writeln!(out)?;
    table.render(None, paint).write(out)
}

/// Returns a column that is shown at any width.
fn column<T>(title: &str, rows: &[T], cell: fn(&T) -> String) -> Column {
    Column::texts(title, rows.iter().map(cell)).keep()
}

/// Removes backticks, which a terminal does not render.
fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::reference::fill;

    /// Returns the result of the command and its standard output.
    fn printed(name: Option<&str>, json: bool) -> (Result<Code, Failure>, String) {
        let logs = tempfile::tempdir().unwrap();
        let (out, stdout, _) = crate::cli::output::captured::output(None);
        let mut context = Context {
            logs: logs.path().to_owned(),
            out,
        };
        let result = run(
            &Args {
                name: name.map(str::to_owned),
                json,
            },
            &mut context,
        );
        (result, stdout.text())
    }

    #[test]
    fn a_kind_is_described_with_its_paper_and_every_option() {
        let (result, text) = printed(Some("asha"), false);
        assert_eq!(result, Ok(Code::Done));
        assert!(
            text.starts_with("scheduler asha: asynchronous successive halving"),
            "{text}"
        );
        assert!(
            text.contains("\npaper: Li et al., A System for Massively Parallel"),
            "{text}"
        );
        for option in ["min", "max", "reduction", "mode", "metric"] {
            assert!(
                text.lines()
                    .any(|line| line.trim_start().starts_with(option)),
                "{option}: {text}"
            );
        }
    }

    /// Returns the path and the text of a page with generated blocks.
    fn page(name: &str) -> (String, String) {
        let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    }

    /// `SWATH_BLESS=1 cargo test --lib reference` rewrites the pages.
    #[test]
    fn the_reference_shows_the_registries_as_they_are() {
        let kinds = declarations();
        for name in [
            "sweep-file.md",
            "kinds.md",
            "clusters.md",
            "trackers.md",
            "export.md",
        ] {
            let (path, written) = page(name);
            if std::env::var_os("SWATH_BLESS").is_some() {
                std::fs::write(&path, fill(&written, &kinds)).unwrap();
            }
            let (_, written) = page(name);
            let generated = fill(&written, &kinds);
            let difference = generated
                .lines()
                .zip(written.lines())
                .find(|(generated, written)| generated != written);
            assert_eq!(difference, None, "{name}: run it with SWATH_BLESS=1");
        }
    }

    #[test]
    fn every_kind_has_its_place_in_the_reference() {
        let (_, text) = page("kinds.md");
        for Declaration { part, name, .. } in declarations() {
            assert!(
                text.contains(&format!("### `{name}`\n\n<!-- kind: {part} {name} -->\n")),
                "{part} {name}"
            );
        }
    }

    #[test]
    fn a_plot_is_described_with_its_paper_and_the_options_of_the_command_line() {
        let (_, text) = printed(Some("importance"), false);
        assert!(
            text.contains("\npaper: Hutter, Hoos and Leyton-Brown"),
            "{text}"
        );
        let (_, text) = printed(Some("timeline"), false);
        assert!(
            text.contains("\nwhere ") && !text.contains("\nmetric "),
            "{text}"
        );
    }

    #[test]
    fn a_misspelt_kind_gets_a_suggestion() {
        let (result, _) = printed(Some("ahsa"), false);
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.code, failure.hints),
            (Code::Usage, vec!["did you mean `asha`?".to_owned()])
        );
    }

    #[test]
    fn every_kind_and_plot_is_listed() {
        let (_, text) = printed(None, true);
        let document: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<_> = document["kinds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| &kind["name"])
            .collect();
        for name in ["grid", "pbt", "slurm", "csv", "history"] {
            assert!(names.contains(&&json!(name)), "{name}");
        }
    }
}
