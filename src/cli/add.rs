//! `swath add`: adds a configuration that the study tries next, or raises its number of trials,
//! even while it runs.

use super::exit::{Code, Failure};
use super::{Context, remarks, studies};
use crate::cluster::pilot;
use crate::driver::{DriverError, amend, inbox, propose};
use crate::journal::{JournalError, StudyDir};
use crate::provenance::Machine;
use crate::report::listing;
use crate::report::text::plain;
use crate::source::Source;
use crate::space::{Digits, Params};
use crate::study::{Event, Timestamp};
use crate::sweep::{Sweep, given};
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

/// Arguments of `swath add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Parameters that are left out are drawn at random. Added trials run before the sampler's \
        proposals, and count towards `trials`.\
        \n\nA number of trials that was raised with `--trials` holds for every further `swath \
        run`, until `trials` in the sweep file is changed.")]
pub(crate) struct Args {
    /// The study (its name or folder; default: the one that ran last), then values: `lr=0.1
    /// layers=2 optimizer=adam units=[64,32]`
    #[arg(value_name = "STUDY] [NAME=VALUE")]
    pub(crate) words: Vec<String>,

    /// Read one or more `[[point]]` tables from a file, or from standard input if it is `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) toml: Option<PathBuf>,

    /// Add a configuration even if a trial already has it
    #[arg(long)]
    pub(crate) again: bool,

    /// Raise the total number of trials of the study to `N`, or by `+N`
    #[arg(long, value_name = "N", conflicts_with_all = ["toml", "again"])]
    pub(crate) trials: Option<Total>,
}

/// A number of trials that a study is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Total {
    /// The total.
    Of(u64),
    /// The number above the present total.
    More(u64),
}

impl FromStr for Total {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('+') {
            Some(more) => Ok(Self::More(more.parse()?)),
            None => Ok(Self::Of(text.parse()?)),
        }
    }
}

/// Runs `swath add`: checks each configuration against the space, the constraints and the existing
/// trials, then delivers all of them. One bad configuration refuses the whole request.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (dir, pairs) = split_words(args, context)?;
    if let Some(total) = args.trials {
        return match pairs.first() {
            None => raise_trials(&dir, total, context),
            Some(pair) => Err(Failure::usage(format!(
                "`{pair}` and `--trials` cannot be used together"
            ))),
        };
    }
    let source = source(args, pairs)?;
    let sweep = sweep_of(&dir, context)?;
    let colour = context.out.paint_err.on;
    let points = given::given(&sweep.space, source, Digits::Exact).map_err(|rejected| Failure {
        rendered: rejected.remarks(colour).trim_end().to_owned(),
        ..Failure::silent(Code::Usage)
    })?;
    let study = pilot::settled(&dir)?;
    for (index, point) in points.iter().enumerate() {
        if args.again {
            continue;
        }
        let twin = propose::twin(&sweep.space, &study, point).map(|trial| format!("trial {trial}"));
        let twin = twin.or_else(|| {
            points[..index]
                .contains(point)
                .then(|| "an earlier point of this request".to_owned())
        });
        if let Some(twin) = twin {
            return Err(Failure::usage(format!(
                "{twin} already has this configuration: {}",
                describe(point)
            ))
            .hint("`--again` adds it anyway"));
        }
        if propose::added_to(&sweep.space, sweep.seed, &study, point).is_none() {
            return Err(Failure::usage(format!(
                "the constraints admit no configuration with these values: {}",
                describe(point)
            ))
            .hint("change the values, or the constraints of the sweep file"));
        }
    }
    deliver(&dir, &sweep, &points, context)
}

/// Raises the total number of trials of a study, in its journal or through the process that runs
/// it.
fn raise_trials(dir: &StudyDir, total: Total, context: &mut Context) -> Result<Code, Failure> {
    let study = pilot::settled(dir)?;
    let header = study.header();
    let Some(present) = header.trials else {
        return Err(Failure::usage(
            "the study has no number of trials that could be raised: it goes on until something else ends it",
        ));
    };
    let trials = match total {
        Total::Of(trials) => trials,
        Total::More(more) => present.saturating_add(more),
    };
    if trials <= present {
        return Err(
            Failure::usage(format!("the study is to have {present} trials already"))
                .hint("name a larger total, or how many more, as in `--trials +50`"),
        );
    }
    let of_file = header.raised_from.unwrap_or(present);
    let is_appended = remarks::append(dir, vec![Event::Raised { trials }])?.is_some();
    let change = format!("{present} → {trials} trials (the sweep file has {of_file})");
    if is_appended {
        context.out.say(format_args!("raised: {change}"));
        context
            .out
            .hint("`swath run` with the sweep file starts them");
    } else {
        context.out.say(format_args!(
            "asked the process that runs the study to raise its total: {change}"
        ));
    }
    Ok(Code::Done)
}

/// Appends the trials to the journal. If another process runs the study, writes them to its inbox
/// instead, because only the holder of the lock may append.
fn deliver(
    dir: &StudyDir,
    sweep: &Sweep,
    points: &[Params],
    context: &mut Context,
) -> Result<Code, Failure> {
    let now = Timestamp::now();
    let before = pilot::settled(dir)?.trials().len();
    let written = amend::amend(dir, &Machine::here().holder(now), now, |study| {
        // Each point is completed from the study including the points before it, as a run would do
        // it.
        let mut preview = study.clone();
        let mut events = Vec::new();
        for point in points {
            let Some(event) = propose::added_to(&sweep.space, sweep.seed, &preview, point) else {
                continue;
            };
            let entry = crate::study::Entry {
                seq: preview.next_seq(),
                at: now,
                event: event.clone(),
                away: None,
            };
            if preview.apply(&entry).is_ok() {
                events.push(event);
            }
        }
        events
    });
    match written {
        Ok(study) => {
            for trial in &study.trials()[before.min(study.trials().len())..] {
                context.out.say(format_args!(
                    "added trial {}: {}",
                    trial.id,
                    describe(&trial.params)
                ));
            }
            context
                .out
                .hint("`swath run` with the sweep file starts it first");
        }
        Err(DriverError::Journal(JournalError::Held { holder, .. })) => {
            for point in points {
                inbox::send(dir, point, now)
                    .map_err(|error| Failure::caused(Code::Tool, &error))?;
            }
            let receiver = holder.map_or_else(
                || "the process that runs the study".to_owned(),
                |holder| format!("process {} on {}", holder.pid, holder.host),
            );
            let plural = if points.len() == 1 { "" } else { "s" };
            context.out.say(format_args!(
                "sent {} configuration{plural} to {receiver}, to run next",
                points.len()
            ));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Code::Done)
}

/// Splits the words into the study and the `name=value` pairs. The first word names the study if it
/// contains no `=`.
fn split_words<'a>(args: &'a Args, context: &Context) -> Result<(StudyDir, &'a [String]), Failure> {
    match args.words.split_first() {
        Some((word, rest)) if !word.contains('=') => {
            Ok((studies::named(&context.logs, word)?, rest))
        }
        _ => Ok((studies::latest(&context.logs)?, &args.words)),
    }
}

fn source(args: &Args, pairs: &[String]) -> Result<Source, Failure> {
    if let Some(path) = &args.toml {
        if let Some(pair) = pairs.first() {
            return Err(Failure::usage(format!(
                "`{pair}` and `--toml` cannot be used together"
            )));
        }
        let mut text = String::new();
        let read = if path.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text).map(drop)
        } else {
            std::fs::read_to_string(path).map(|content| text = content)
        };
        let name = path.display().to_string();
        read.map_err(|error| Failure {
            causes: vec![error.to_string()],
            ..Failure::usage(format!("`{name}` could not be read"))
        })?;
        return Ok(Source { name, text });
    }
    if pairs.is_empty() {
        return Err(Failure::usage("there is no configuration to add")
            .hint("give its values: swath add STUDY lr=0.1 layers=2"));
    }
    let pairs: Vec<(String, String)> = pairs
        .iter()
        .map(|pair| parse_pair(pair))
        .collect::<Result<_, _>>()?;
    let text = given::lines(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    Ok(Source {
        name: "the configuration".to_owned(),
        text,
    })
}

/// Parses `name=value`, also with `--` before the name as `swath best --args` prints it.
fn parse_pair(pair: &str) -> Result<(String, String), Failure> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.trim_start_matches("--").to_owned(), given::word(value)))
        }
        _ => Err(
            Failure::usage(format!("`{pair}` is not a parameter with a value"))
                .hint("write it as name=value"),
        ),
    }
}

/// Reads the copy of the sweep file that a study keeps.
pub(super) fn sweep_of(dir: &StudyDir, context: &Context) -> Result<Sweep, Failure> {
    let path = dir.sweep_toml();
    Sweep::read_for_function(&path)
        .map_err(|error| super::sweeps::rejected(&error, context.out.paint_err.on))
}

fn describe(params: &Params) -> String {
    let pairs: Vec<_> = params
        .iter()
        .map(|(name, value)| format!("{name}={}", listing::shown(value)))
        .collect();
    plain(&pairs.join(" ")).into_owned()
}
