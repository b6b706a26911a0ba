//! `swath plot KIND`: draws one or more studies as SVG, as PNG or on the terminal.

mod png;
pub(crate) mod terminal;

use super::exit::{Code, Failure};
use super::{Context, studies};
use crate::report::plots::figure::Figure;
use crate::report::plots::svg::{self, Theme};
use crate::report::plots::{self, Input, PLOTS};
use crate::report::select::Condition;
use crate::report::text::plain;
use crate::report::view::View;
use crate::source::diagnostic::nearest;
use crate::study::Study;
use crate::study::kind::find;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Arguments of `swath plot`.
#[derive(Debug, clap::Args)]
#[command(after_help = kinds())]
pub(crate) struct Args {
    /// The kind of plot, see below
    #[arg(value_name = "KIND")]
    kind: String,

    /// The studies (names or folders; default: the one that ran last)
    #[arg(value_name = "STUDY")]
    studies: Vec<String>,

    /// Write to this file, as SVG or PNG by its ending, instead of the terminal
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Plot this reported metric instead of the first objective
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,

    /// Only trials for which this holds: "val_loss < 0.3 and optimizer == 'sgd'"
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,
}

fn kinds() -> String {
    let width = PLOTS.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    let lines = PLOTS
        .iter()
        .map(|kind| format!("  {:width$}  {}", kind.name, kind.about));
    format!("Kinds:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The file format of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

/// Runs `swath plot`: draws a figure to a file or to the terminal.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let Some(kind) = find(PLOTS, &args.kind) else {
        return Err(unknown(&args.kind));
    };
    // The file name is checked before the studies are read, which may take long.
    let format = args.output.as_deref().map(format).transpose()?;
    let views = open(&args.studies, args.metric.as_deref(), context)?;
    let settled: Vec<Cow<'_, Study>> = views.iter().map(View::settled).collect();
    let mut inputs = Vec::new();
    for (view, study) in views.iter().zip(&settled) {
        let mut input = Input::all(study, &view.chronicle, view.space.as_deref());
        if let Some(text) = &args.condition {
            let condition = Condition::parse(text, study, &view.dir)?;
            input.trials.retain(|trial| condition.holds(study, trial));
        }
        if let Some(metric) = &args.metric {
            check_metric(study, metric)?;
            input.metric = Some(metric);
        }
        inputs.push(input);
    }
    let figure = plots::draw(kind, &inputs);
    let (Some(path), Some(format)) = (&args.output, format) else {
        let columns = context.out.width.map_or(80, |width| width);
        let text = terminal::render(&figure, columns, context.out.paint.on);
        context.out.stdout.write_all(text.as_bytes())?;
        return Ok(Code::Done);
    };
    write(path, &encode(&figure, format)?)?;
    if figure.is_empty() {
        context.out.warn(plain(&figure.notes.join("; ")));
    }
    context
        .out
        .say(format_args!("plot: {}", plain(&path.display().to_string())));
    Ok(Code::Done)
}

/// Finds and reads studies. Without names, reads the one with the most recently written journal.
pub(super) fn open(
    names: &[String],
    metric: Option<&str>,
    context: &Context,
) -> Result<Vec<View>, Failure> {
    let dirs = match names {
        [] => vec![studies::latest(&context.logs)?],
        names => names
            .iter()
            .map(|name| studies::named(&context.logs, name))
            .collect::<Result<_, _>>()?,
    };
    dirs.into_iter()
        .map(|dir| Ok(View::open(dir, metric)?))
        .collect()
}

fn unknown(word: &str) -> Failure {
    let failure = Failure::usage(format!("there is no plot called `{}`", plain(word)));
    match nearest(word, PLOTS.iter().map(|kind| kind.name)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!(
            "the kinds are: {}",
            PLOTS
                .iter()
                .map(|kind| kind.name)
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

fn check_metric(study: &Study, metric: &str) -> Result<(), Failure> {
    let names = crate::report::row::metrics(study);
    if names.contains(metric) {
        return Ok(());
    }
    let name = plain(&study.header().name).into_owned();
    let failure = Failure::usage(format!(
        "no trial of `{name}` has reported `{}`",
        plain(metric)
    ));
    Err(match nearest(metric, names.iter().map(|name| &**name)) {
        Some(near) => failure.hint(format!("did you mean `{}`?", plain(near))),
        None => failure.hint(format!(
            "the reported metrics are: {}",
            plain(&names.into_iter().collect::<Vec<_>>().join(", "))
        )),
    })
}

fn format(path: &Path) -> Result<Format, Failure> {
    let ending = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    match ending.as_str() {
        "svg" => Ok(Format::Svg),
        "png" => Ok(Format::Png),
        _ => Err(Failure::usage(format!("`{}` is neither an SVG nor a PNG", plain(&path.display().to_string())))
            .hint("end the file name with `.svg` or `.png`; `swath export --html report.html` writes a page with all plots")),
    }
}

fn encode(figure: &Figure, format: Format) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Svg => Ok(svg::render(figure, Theme::Auto).into_bytes()),
        Format::Png => png::render(figure),
    }
}

/// Writes a file. A regular file is replaced as a whole; a device or a pipe is written to directly.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.exists() && !path.is_file() {
        return std::fs::write(path, bytes).map_err(|error| unwritable(path, &error));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let draft = crate::tracker::csv::draft(folder).map_err(|error| unwritable(path, &error))?;
    std::fs::write(draft.path(), bytes).map_err(|error| unwritable(path, &error))?;
    draft
        .persist(path)
        .map(drop)
        .map_err(|error| unwritable(path, &error.error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure {
        causes: vec![error.to_string()],
        ..Failure::tool(format!(
            "could not write `{}`",
            plain(&path.display().to_string())
        ))
    }
}
