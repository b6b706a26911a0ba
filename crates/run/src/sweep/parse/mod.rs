//! Parses a text into a [`Sweep`], or reports all mistakes at once. One file for each section.

mod capture;
mod executor;
mod keys;
mod limits;
mod objective;
mod outcome_constraint;
mod prepare;
mod replicate;
mod resources;
mod retry;
mod run;
mod scheduler;
mod search;
mod sections;
mod source;
mod tracker;

pub(super) use retry::CLASSES as FAILURE_CLASSES;
pub use sections::{Further, Occurs, SECTIONS, SectionReference};

use super::plan::Tried;
use super::stored::{named, stored_of};
use super::template::Names;
use super::{Acceptance, Places, Registry, Rejected, Sweep, lints};
use md5::{Digest, Md5};
use std::path::Path;
use std::sync::Arc;
use swath_model::source::{
    Diagnostic, Diagnostics, Key, Level, Node, NodeValue, Section, Source, Span, Table,
};
use swath_model::space::{Digits, Name, Params, Space};
use swath_model::study::kind::Capability;

/// Type of the trainable that the sweep file is read for.
#[derive(Clone, Copy, PartialEq)]
enum Trainee {
    Program,
    Function,
    /// A program if there is a `[run]`; otherwise an outside process that asks for trials through
    /// `swath ask-tell`.
    Either,
}

impl Sweep {
    /// Checks a sweep file that runs a program.
    ///
    /// # Errors
    /// All mistakes in the file.
    pub fn parse(source: Source) -> Result<Self, Rejected> {
        Registry::standard().parse(source)
    }

    /// Checks a sweep file whose trials are calls of a function. `[run] command` may be absent.
    ///
    /// # Errors
    /// All mistakes in the file.
    pub fn parse_for_function(source: Source) -> Result<Self, Rejected> {
        Registry::standard().parse_for_function(source)
    }

    /// Checks a sweep file that runs a program, or that has no `[run]` and is meant for
    /// `swath ask-tell`.
    ///
    /// # Errors
    /// All mistakes in the file.
    pub fn parse_for_either(source: Source) -> Result<Self, Rejected> {
        parse(source, Trainee::Either, &Registry::standard())
    }
}

/// Checks a sweep file that runs a program, with the kinds of `registry`.
pub(super) fn program(source: Source, registry: &Registry) -> Result<Sweep, Rejected> {
    parse(source, Trainee::Program, registry)
}

/// Checks a sweep file whose trials are calls of a function, with the kinds of `registry`.
pub(super) fn function(source: Source, registry: &Registry) -> Result<Sweep, Rejected> {
    parse(source, Trainee::Function, registry)
}

fn parse(source: Source, trainee: Trainee, registry: &Registry) -> Result<Sweep, Rejected> {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(&source.text, &mut diagnostics);
    let has_syntax_errors = diagnostics.has_errors();
    let raw = Raw::new(&table, stored_of(&source.text, &table));
    let mut file = Section::new("", 0..source.text.len(), table);
    keys::refuse_unknown_top(&mut file, &mut diagnostics);
    let sweep = read(file, &source, &raw, (trainee, registry), &mut diagnostics);
    if has_syntax_errors {
        drop_consequences(&source, &mut diagnostics);
    }
    match sweep {
        Some(mut sweep) if !diagnostics.has_errors() => {
            sweep.warnings = diagnostics;
            Ok(sweep)
        }
        _ => Err(Rejected {
            source,
            diagnostics,
        }),
    }
}

/// Drops the errors that only follow from an error of syntax: about something missing or unknown,
/// which may stand in the part that could not be read, and about another value of the same line.
fn drop_consequences(source: &Source, diagnostics: &mut Diagnostics) {
    let broken_lines: Vec<usize> = diagnostics
        .list
        .iter()
        .filter(|error| error.code == "syntax")
        .filter_map(|error| line_of(source, error))
        .collect();
    diagnostics.list.retain(|error| {
        let is_consequence = error.code.starts_with("missing")
            || ["bad-placeholder", "unknown-name"].contains(&error.code)
            || line_of(source, error).is_some_and(|line| broken_lines.contains(&line));
        error.code == "syntax" || !is_consequence
    });
}

/// Returns the line at which a diagnostic points.
fn line_of(source: &Source, diagnostic: &Diagnostic) -> Option<usize> {
    let (span, _) = diagnostic.labels.first()?;
    Some(source.position(span.start).0)
}

/// Reads every section, even after errors in others, so that all mistakes are reported at once.
/// Returns `None` if the space could not be read.
fn read(
    mut file: Section,
    source: &Source,
    raw: &Raw,
    (trainee, registry): (Trainee, &Registry),
    diagnostics: &mut Diagnostics,
) -> Option<Sweep> {
    let name = title(&mut file, "name", diagnostics).unwrap_or_else(|| default_name(&source.name));
    let pipeline = title(&mut file, "pipeline", diagnostics).unwrap_or_else(|| name.clone());
    let stage =
        title(&mut file, "stage", diagnostics).unwrap_or_else(|| sections::STAGE.to_owned());
    let seed = file
        .take_count("seed", 0, diagnostics)
        .map_or(sections::SEED, |(seed, _)| seed);
    let (objectives, targets) = objective::read(&mut file, diagnostics);
    let space = read_space(&mut file, diagnostics);
    let names = space
        .as_ref()
        .map_or_else(|| raw.names.clone(), Space::names);
    let sweep_names = names.clone();
    let readable = space.is_some();
    let points = read_points(&mut file, space.as_ref(), diagnostics);
    let mut places = Places {
        space: raw.space_span.clone(),
        ..Places::default()
    };
    let prepared = raw.prepared.clone();
    let given = (&*names, &*prepared);
    let (run, checkpoint) = run::read(&mut file, source, given, trainee, &mut places, diagnostics);
    let surrounding = prepare::Surrounding {
        source,
        names: Names {
            params: names.clone(),
            configs: Vec::new(),
            prepared: prepared.clone(),
        },
        data_dir: &run.data_dir,
    };
    let preparations = prepare::read(&mut file, &surrounding, diagnostics);
    let search = search::read(&mut file, registry.samplers(), diagnostics);
    let (scheduler, mut resource) = scheduler::read(&mut file, registry.schedulers(), diagnostics);
    let resources = resources::read(&mut file, diagnostics);
    let mut executor = executor::read(&mut file, registry.executors(), diagnostics);
    let has_data = run.of_trial.data_dir.is_none();
    let names = Names {
        params: sweep_names,
        configs: run.config_keys(),
        prepared,
    };
    executor::check_prelude(&mut executor, has_data, source, &names, diagnostics);
    let limits::Budgets {
        limits,
        spending,
        price,
    } = limits::read(
        &mut file,
        &mut resource,
        resources.gpus.is_some(),
        diagnostics,
    );
    let retry = retry::read(&mut file, diagnostics);
    let replicate = replicate::read(&mut file, &scheduler, search.trials, diagnostics);
    let capture = capture::read(&mut file, source, diagnostics);
    let sources = source::read(&mut file, registry.sources(), diagnostics);
    let trackers = tracker::read(&mut file, registry.trackers(), diagnostics);
    let outcome_limits = outcome_constraint::read(&mut file, &objectives, diagnostics);

    places.trials.clone_from(&search.trials_span);
    // A grid ends by itself and a time limit ends the sweep, so neither needs a default number.
    let endless = search.sampler.can(Capability::Enumerates) || limits.time.is_some();
    let trials = search
        .trials
        .or((!endless).then_some(search::DEFAULT_TRIALS));
    let sweep = Sweep {
        source: source.clone(),
        digest: digest(&named(raw.stored.clone(), &name)),
        name,
        pipeline,
        stage,
        seed,
        run,
        preparations,
        objectives,
        targets,
        outcome_limits,
        space: Arc::new(space.unwrap_or_default()),
        points,
        sampler: search.sampler,
        trials,
        count_invalid: search.count_invalid,
        patience: search.patience,
        scheduler,
        resource,
        resources,
        executor,
        limits,
        spending,
        price,
        retry,
        replicate,
        checkpoint,
        capture,
        sources,
        trackers,
        warnings: Diagnostics::default(),
        configs: None,
        registry: Arc::new(registry.clone()),
        places,
    };
    let tried = if readable {
        Tried::All
    } else {
        Tried::AllButSampler
    };
    // Built only to report mistakes in the options of the components; the result is discarded.
    let _ = sweep.try_build(&sweep.setting(sweep.slots()), tried, diagnostics);
    lints::of_ranges("", &raw.space, diagnostics);
    if !readable {
        return None;
    }
    let acceptance = Acceptance::estimate(&sweep.space, seed);
    if let Some(refused) = acceptance.refusal(raw) {
        diagnostics.push(refused);
    }
    lints::of_sweep(&sweep, &acceptance, diagnostics);
    Some(sweep)
}

fn read_space(file: &mut Section, diagnostics: &mut Diagnostics) -> Option<Space> {
    let constraints = file.take_section("constraints", diagnostics);
    let before = diagnostics.list.len();
    let Some(section) = file.take_section("space", diagnostics) else {
        if diagnostics.list.len() == before && !file.has_misspelled("space") {
            let missing =
                Diagnostic::error("missing-space", "there is nothing to search: no `[space]`");
            diagnostics.push(
                missing.hint("add it: [space]\n      lr = { min = 1e-5, max = 1e-1, log = true }"),
            );
        }
        return None;
    };
    let span = section.span.clone();
    let space = Space::parse(section, constraints, diagnostics);
    if space.is_none() && !diagnostics.has_errors() {
        diagnostics.push(Diagnostic::error("bad-space", "this space cannot be read").at(span, ""));
    }
    space
}

fn read_points(
    file: &mut Section,
    space: Option<&Space>,
    diagnostics: &mut Diagnostics,
) -> Vec<Params> {
    let sections = keys::open_tables(file, "point", diagnostics);
    let Some(space) = space else {
        return Vec::new();
    };
    sections
        .into_iter()
        .filter_map(|point| space.parse_point(point, Digits::Exact, diagnostics))
        .collect()
}

/// Takes all `[[point]]` tables of a document. Returns `None` if it has none.
pub(super) fn points_of(file: &mut Section, diagnostics: &mut Diagnostics) -> Option<Vec<Section>> {
    let before = diagnostics.list.len();
    let points = keys::open_tables(file, "point", diagnostics);
    (!points.is_empty() || diagnostics.list.len() > before).then_some(points)
}

/// Parts of the file as written, for lints and for messages about constraints.
pub(super) struct Raw {
    /// Entries of `[space]`, nested tables included.
    pub(super) space: Table,
    pub(super) space_span: Span,
    /// Names of the `[[prepare]]` tables.
    pub(super) prepared: Vec<Name>,
    /// Names and expressions of the constraints.
    pub(super) constraints: Vec<(Key, Node)>,
    /// All keys in `[space]`, also those of nested tables. They stand in for the parameters if the
    /// space could not be read, so that placeholders are not reported as unknown.
    names: Vec<Name>,
    /// Text of the file without secrets.
    stored: String,
}

impl Raw {
    fn new(file: &Table, stored: String) -> Self {
        let (space, space_span) = raw_table(file, "space");
        let mut names = Vec::new();
        collect_names("", &space, &mut names);
        Self {
            space,
            space_span,
            prepared: prepare::raw_names(file),
            constraints: raw_table(file, "constraints").0.entries,
            names,
            stored,
        }
    }
}

/// Returns a table and its span; an empty one if it is absent or not a table.
fn raw_table(file: &Table, key: &str) -> (Table, Span) {
    match file.get(key).map(|node| (&node.value, node.span.clone())) {
        Some((NodeValue::Table(table), span)) => (table.clone(), span),
        _ => (Table::default(), 0..0),
    }
}

fn collect_names(prefix: &str, table: &Table, names: &mut Vec<Name>) {
    for (key, node) in &table.entries {
        let path = format!("{prefix}{}", key.name);
        names.push(key.name.as_str().into());
        names.push(path.as_str().into());
        match &node.value {
            NodeValue::Table(inner) => collect_names(&format!("{path}."), inner, names),
            NodeValue::Array(rows) => rows.iter().for_each(|row| {
                if let NodeValue::Table(row) = &row.value {
                    collect_names("", row, names);
                }
            }),
            _ => {}
        }
    }
}

/// Reads a name that becomes a folder or a column. Reports a name that cannot be a folder's name.
fn title(file: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Option<String> {
    let (text, span) = file.take_text(key, diagnostics)?;
    let Err(why) = check_title(&text) else {
        return Some(text);
    };
    let error =
        Diagnostic::error("bad-name", format!("`{key}` cannot be a folder's name")).at(span, why);
    diagnostics.push(error.hint("use letters, digits, `-`, `_` and `.`"));
    None
}

fn check_title(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("is empty"),
        "." | ".." => Err("is a path"),
        _ if text.contains(['/', '\\']) => Err("has a slash"),
        _ if text.chars().any(char::is_control) => Err("has a control character"),
        _ if text.starts_with([' ', '-']) || text.ends_with(' ') => {
            Err("begins or ends with a space or dash")
        }
        _ if text.len() > 100 => Err("is longer than 100 bytes"),
        _ => Ok(()),
    }
}

fn default_name(path: &str) -> String {
    let stem = Path::new(path)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| check_title(stem).is_ok())
        .unwrap_or_else(|| "sweep".to_owned())
}

pub(crate) fn digest(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Takes a list of strings. Reports every item that is not a string or contains a NUL character.
fn texts(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(String, Span)>> {
    let node = section.take(key)?;
    let NodeValue::Array(items) = node.value else {
        let mut error = not_texts(key, &node.value, node.span);
        if let NodeValue::Text(line) = &node.value {
            let words: Vec<_> = line
                .split_whitespace()
                .map(|word| format!("{word:?}"))
                .collect();
            error = error.hint(format!(
                "there is no shell: write {key} = [{}]",
                words.join(", ")
            ));
        }
        diagnostics.push(error);
        return None;
    };
    let mut texts = Vec::new();
    let mut complete = true;
    for item in items {
        match item.value {
            NodeValue::Text(text) if text.contains('\0') => {
                let error = Diagnostic::error("bad-text", format!("`{key}` has a NUL character"));
                diagnostics.push(error.at(item.span, "an argument of a program cannot contain it"));
                complete = false;
            }
            NodeValue::Text(text) => texts.push((text, item.span)),
            other => {
                let hint = format!("quote it: \"{}\"", item.written);
                let error = not_texts(key, &other, item.span);
                let is_plain = !matches!(other, NodeValue::Array(_) | NodeValue::Table(_));
                diagnostics.push(if is_plain && !item.written.is_empty() {
                    error.hint(hint)
                } else {
                    error
                });
                complete = false;
            }
        }
    }
    complete.then_some(texts)
}

fn not_texts(key: &str, value: &NodeValue, span: Span) -> Diagnostic {
    Diagnostic::error("wrong-type", format!("`{key}` must be a list of strings"))
        .at(span, format!("this is {}", value.kind()))
}

/// Returns the span of a part of a string value. The span is exact if the string is written without
/// escapes; otherwise it is the whole string.
pub(super) fn within(source: &Source, node: &Span, text: &str, part: &Span) -> Span {
    let written = source.text.get(node.clone()).unwrap_or_default();
    for quotes in ["\"\"\"", "'''", "\"", "'"] {
        let inner = written
            .strip_prefix(quotes)
            .and_then(|rest| rest.strip_suffix(quotes));
        if inner == Some(text) {
            let start = node.start + quotes.len();
            return start + part.start..start + part.end;
        }
    }
    node.clone()
}

/// Returns whether an error was added after the first `before` diagnostics.
fn failed_since(diagnostics: &Diagnostics, before: usize) -> bool {
    diagnostics.list[before..]
        .iter()
        .any(|it| it.level == Level::Error)
}

#[cfg(test)]
mod tests;
