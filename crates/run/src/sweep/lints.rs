//! Warnings about content that is allowed but probably not meant. `--strict` treats them as errors.

use super::acceptance::Acceptance;
use super::switch_lints::of_switches;
use super::{Preparation, Rejected, Sweep};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use swath_model::source::{Diagnostic, Diagnostics, Key, Node, NodeValue, Span, Table};
use swath_model::space::Name;
use swath_model::study::Take;
use swath_model::study::kind::Capability;
use swath_search::sampler::configurations;
use swath_search::scheduler::RUNG_FACTOR;

/// Ratio of bounds from which a range without `log` draws a warning.
const WIDE: f64 = 100.0;

/// Adds the warnings that need only the sweep itself.
pub(super) fn of_sweep(sweep: &Sweep, acceptance: &Acceptance, diagnostics: &mut Diagnostics) {
    trials(sweep, acceptance, diagnostics);
    command(sweep, diagnostics);
    reported(sweep, diagnostics);
    seeds(sweep, diagnostics);
    folds(sweep, diagnostics);
    ladder(sweep, diagnostics);
}

/// Names under which programs take a seed.
const SEEDS: [&str; 7] = [
    "seed",
    "random_seed",
    "random-seed",
    "random_state",
    "random-state",
    "rng_seed",
    "manual_seed",
];

/// Returns whether a parameter or option of this name is a seed.
#[must_use]
pub fn is_seed_name(name: &str) -> bool {
    SEEDS.contains(&name.to_lowercase().as_str())
}

impl Sweep {
    /// Returns the constant of `[space]` that gives all trials the same seed; `None` if there is
    /// none, or if the program gets the trial's own seed, too.
    #[must_use]
    pub fn fixed_seed(&self) -> Option<Name> {
        let passes_own =
            self.run.command.uses("seed") || self.run.of_trial.iter().any(|text| text.uses("seed"));
        let mut names = self.space.names().into_iter();
        names.find(|name| {
            let last = name.rsplit('.').next().unwrap_or_default();
            !passes_own && is_seed_name(last) && self.is_constant(name)
        })
    }

    /// Returns whether a parameter has the same value in every configuration.
    fn is_constant(&self, name: &Name) -> bool {
        let value_at = |coordinate: f64| {
            let params = self.space.decode(&vec![coordinate; self.space.dims()]);
            params.get(name).cloned()
        };
        [0.3, 0.5, 0.7, 0.95]
            .map(value_at)
            .iter()
            .all(|value| *value == value_at(0.05))
    }
}

/// Warns of seeds that do not reach the program.
fn seeds(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    if sweep.replicate.is_none_or(|seeds| seeds < 2) {
        return;
    }
    let Some(name) = sweep.fixed_seed() else {
        return;
    };
    diagnostics.push(
        Diagnostic::warning(
            "fixed-seed",
            format!("`{name}` is a constant of [space], so all seeds of [replicate] are the same"),
        )
        .at(sweep.places.space.clone(), "")
        .hint(format!(
            "leave it out there, and write \"--{name}={{seed}}\" in `command`"
        )),
    );
}

/// Adds the warnings about ranges in `[space]` as written. Also works when the rest of the space
/// could not be read.
pub(super) fn of_ranges(prefix: &str, table: &Table, diagnostics: &mut Diagnostics) {
    for (key, node) in &table.entries {
        let NodeValue::Table(inner) = &node.value else {
            continue;
        };
        let name = format!("{prefix}{}", key.name);
        // A table without both bounds may be a group that contains ranges.
        if let (Some(min), Some(max)) = (inner.get("min"), inner.get("max")) {
            range(
                &name,
                key,
                inner,
                (min, max),
                node.span.clone(),
                diagnostics,
            );
        } else {
            of_ranges(&format!("{name}."), inner, diagnostics);
        }
    }
}

fn range(
    name: &str,
    key: &Key,
    table: &Table,
    (min, max): (&Node, &Node),
    span: Span,
    diagnostics: &mut Diagnostics,
) {
    if let (NodeValue::Int(0), NodeValue::Int(1)) = (&min.value, &max.value) {
        let message = format!("`{name}` can only be 0 or 1");
        let warning = Diagnostic::warning("zero-or-one", message).at(span, "");
        let hint = format!(
            "for a switch write {0} = [true, false], for a number between write {0} = {{ min = 0.0, max = 1.0 }}",
            key.name
        );
        diagnostics.push(warning.hint(hint));
        return;
    }
    let bounds = (number(min), number(max));
    let (Some(least), Some(most)) = bounds else {
        return;
    };
    // These keys, even `log = false`, show that the scale is intended.
    let is_intended = ["log", "step", "std", "mean"]
        .iter()
        .any(|key| table.get(key).is_some());
    if least > 0.0 && most / least >= WIDE && !is_intended {
        let message = format!(
            "`{name}` spans a factor of {} without `log`",
            rounded(most / least)
        );
        let warning = Diagnostic::warning("wide-range", message).at(span, "");
        let hint = "add `log = true` to give each order of magnitude the same chance, or `log = false` if this is meant";
        diagnostics.push(warning.hint(hint));
    }
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        NodeValue::Int(number) => Some(number as f64),
        NodeValue::Float(number) => Some(number),
        _ => None,
    }
}

/// Formats a factor with three significant digits.
fn rounded(factor: f64) -> String {
    let scale = 10_f64.powf(factor.log10().floor() - 2.0);
    let rounded = (factor / scale).round() * scale;
    if rounded < 1e6 {
        format!("{}", rounded.round())
    } else {
        format!("{rounded:.0e}")
    }
}

fn trials(sweep: &Sweep, acceptance: &Acceptance, diagnostics: &mut Diagnostics) {
    let span = &sweep.places.space;
    let size = sweep.space.size();
    match (&sweep.places.trials, sweep.trials) {
        // After errors `trials` may be present but unreadable.
        (None, Some(trials)) if sweep.space.dims() > 0 && !diagnostics.has_errors() => {
            let message = format!("no `trials`: {trials} are run");
            let warning = Diagnostic::warning("no-trials", message);
            diagnostics.push(warning.hint(format!(
                "set the total number of trials: [search] trials = {trials}"
            )));
        }
        (Some(trials_span), Some(trials))
            if sweep.sampler.can(Capability::Enumerates)
                && size.is_some_and(|size| size > trials) =>
        {
            let size = size.unwrap_or_default();
            let message = format!("the grid has {size} configurations, of which {trials} are run");
            let warning = Diagnostic::warning("large-grid", message).at(trials_span.clone(), "");
            diagnostics.push(warning.hint("leave `trials` out to run the whole grid"));
        }
        _ => small_space(sweep, diagnostics),
    }
    if sweep.space.dims() == 0 && sweep.trials.is_some_and(|trials| trials > 1) {
        let warning = Diagnostic::warning("nothing-varies", "nothing varies in this space")
            .at(span.clone(), "");
        diagnostics.push(
            warning
                .hint("give a parameter a range: { min = …, max = … }, or choices: [ … ]")
                .hint("the sweep ends after its one configuration; `[replicate]` runs it with several seeds"),
        );
    }
    if acceptance.accepted > 0 && acceptance.rate() < 0.01 {
        let percent = acceptance.rate() * 100.0;
        let message = format!("the constraints accept only {percent:.2} % of the space");
        let warning = Diagnostic::warning("low-acceptance", message).at(span.clone(), "");
        diagnostics.push(
            warning.hint("narrow the ranges, or express it by bounds that depend on each other"),
        );
    }
}

/// Warns of more trials than a finite space has configurations.
fn small_space(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    let Some(trials) = sweep.trials.filter(|_| sweep.space.dims() > 0) else {
        return;
    };
    let seeds = u64::from(sweep.replicate.unwrap_or(1));
    // The points of a grid are its own.
    if sweep.sampler.can(Capability::Repeats) || sweep.sampler.can(Capability::Enumerates) {
        return;
    }
    let Some(size) = configurations(&sweep.space, trials.div_ceil(seeds)) else {
        return;
    };
    let seeds_each = if seeds > 1 {
        format!(" with {seeds} seeds")
    } else {
        String::new()
    };
    let runs = size * seeds;
    let message = format!(
        "the space has {size} configurations, and each is tried once{seeds_each}: the sweep ends \
         after {runs} of {trials} trials"
    );
    let warning = Diagnostic::warning("small-space", message);
    let warning = match &sweep.places.trials {
        Some(span) => warning.at(span.clone(), ""),
        None => warning.at(sweep.places.space.clone(), ""),
    };
    diagnostics.push(warning.hint(format!(
        "set `trials` to {runs}, or run each configuration with several seeds: `[replicate]` with \
         `seeds = {}`",
        trials.div_ceil(size.max(1)).max(2)
    )));
}

fn command(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    let command = &sweep.run.command;
    if command.is_empty() {
        return;
    }
    let span = span_of(&sweep.places.command);
    let names = sweep.space.names();
    let missed: Vec<_> = names
        .iter()
        .filter(|name| !sweep.run.receives(name) && !sweep.space.is_needed_by_others(name))
        .filter(|name| !is_prepared(sweep, name))
        .collect();
    // Parameters may reach the program through its configuration file, which is read later.
    if !missed.is_empty() && sweep.run.configs.is_empty() {
        let listed: Vec<_> = missed.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("the command never receives {}", listed.join(", "));
        let warning = Diagnostic::warning("unused-parameter", message).at(span.clone(), "");
        diagnostics
            .push(warning.hint(
                "add \"{args:rest}\" for all that are not named, or \"{params}\" for a file",
            ));
    }
    // Earlier versions took these placeholders for the built-ins, even beside such a parameter.
    let were_hidden = ["params", "trial", "trial_dir", "data_dir"];
    for name in were_hidden {
        if !command.names(name) || names.iter().all(|param| **param != *name) {
            continue;
        }
        let message = format!("`{{{name}}}` in the command is the parameter `{name}`");
        let warning = Diagnostic::warning("hidden-built-in", message).at(span.clone(), "");
        diagnostics.push(warning.hint(format!(
            "write `{{swath.{name}}}` for the built-in, or give the parameter another name"
        )));
    }
}

/// Returns whether a parameter reaches a preparation, whose output the trial reads.
fn is_prepared(sweep: &Sweep, name: &Name) -> bool {
    let mut preparations = sweep.preparations.iter();
    preparations.any(|preparation| preparation.plan.depends.contains(name))
}

impl Preparation {
    /// Returns the program with its span, unless it is a path or has a placeholder: `setup` or
    /// another preparation may make it.
    fn program(&self) -> Option<(String, Span)> {
        let program = self.command.program()?;
        let (_, span) = self.words.first()?;
        (!program.contains('/')).then(|| (program.to_owned(), span.clone()))
    }
}

/// Returns the span from the first to the last of some spans.
fn span_of(spans: &[Span]) -> Span {
    let start = spans.first().map_or(0, |first| first.start);
    start..spans.last().map_or(0, |last| last.end)
}

fn reported(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    // After errors the objective may be present but unreadable.
    if sweep.objectives.is_empty() && !diagnostics.has_errors() {
        let warning = Diagnostic::warning(
            "no-objective",
            "no `[objective]`: no trial is better than another",
        );
        diagnostics.push(
            warning.hint("add it: [objective]\n      metric = \"val_loss\"\n      goal = \"min\""),
        );
    }
    if sweep.capture.is_empty() {
        return;
    }
    let needed = sweep
        .objectives
        .iter()
        .map(|objective| &objective.metric)
        .chain(&sweep.resource);
    for name in needed {
        if sweep.capture.iter().any(|(captured, _)| captured == name) {
            continue;
        }
        let message = format!("`[capture]` has no `{name}`");
        let warning = Diagnostic::warning("not-captured", message);
        let captured = sweep.capture.iter().map(|(name, _)| &**name);
        let warning = warning.did_you_mean(name, captured);
        diagnostics.push(warning.hint(format!(
            r"unless the program reports it itself, add {name} = '{name}[=:]\s*(\S+)'"
        )));
    }
}

/// Words that name one of several splits of the data.
const FOLDS: [&str; 8] = [
    "fold",
    "folds",
    "kfold",
    "cv",
    "split",
    "splits",
    "crossval",
    "crossvalidation",
];

/// Words that may accompany [`FOLDS`] in a name that still counts folds.
const BESIDE_FOLDS: [&str; 12] = [
    "k", "n", "id", "idx", "index", "no", "nr", "num", "number", "outer", "inner", "current",
];

/// Warns about a program that prints one line per fold: with `take = "best"` a trial would be
/// ranked by its luckiest fold.
fn folds(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    if sweep.resource.is_some() {
        return;
    }
    let Some(objective) = sweep
        .objectives
        .iter()
        .find(|objective| objective.take == Take::Best)
    else {
        return;
    };
    let mut captured = sweep.capture.iter().map(|(name, _)| name);
    let Some(fold) = captured
        .find(|name| is_fold(name) && sweep.objectives.iter().all(|other| other.metric != **name))
    else {
        return;
    };
    let metric = &objective.metric;
    let message =
        format!("`{fold}` of `[capture]` looks like a fold, but the best fold ranks a trial");
    let warning = Diagnostic::warning("best-of-folds", message);
    diagnostics.push(warning.hint(format!(
        "for the mean of all folds write take = \"mean\" beside metric = \"{metric}\""
    )));
}

/// Returns whether a name counts folds: `fold`, `outer_fold`, `cv-split`, `KFold`.
fn is_fold(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.clone().any(|word| FOLDS.contains(&word))
        && words.all(|word| FOLDS.contains(&word) || BESIDE_FOLDS.contains(&word))
}

/// Warns if `max` is not on the ladder of rungs, which are at min × reductionⁿ. Such a `max` is
/// never reached as a rung.
fn ladder(sweep: &Sweep, diagnostics: &mut Diagnostics) {
    if !sweep.scheduler.can(Capability::Rungs) {
        return;
    }
    // The scheduler reports mistakes in its own options, so they are not reported here again.
    let mut quiet = Diagnostics::default();
    let mut section = sweep.scheduler.section.clone();
    let min = section.take_number("min", &mut quiet);
    let max = section.take_number("max", &mut quiet);
    let reduction = section.take_number("reduction", &mut quiet);
    let reduction = reduction.map_or(RUNG_FACTOR as f64, |(reduction, _)| reduction);
    let (Some((min, _)), Some((max, span))) = (min, max) else {
        return;
    };
    if min <= 0.0 || max <= min || reduction < 2.0 {
        return;
    }
    let rungs = (max / min).ln() / reduction.ln();
    let below = min * reduction.powf((rungs + 1e-9).floor());
    if (below - max).abs() > 1e-9 * max {
        let message = format!("`max` = {max} is not on the ladder {min} × {reduction}ⁿ");
        let warning = Diagnostic::warning("off-ladder", message).at(span, "");
        diagnostics.push(warning.hint(format!(
            "the rungs next to it are {below} and {}",
            below * reduction
        )));
    }
}

/// Facts about the machine that a sweep file can contradict.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Directory in which `swath` was called.
    pub current_dir: PathBuf,
    /// Value of the environment variable `PATH`.
    pub path: Option<OsString>,
}

impl Sweep {
    /// Reads the configuration files, and adds warnings that depend on the machine: a missing
    /// working directory, missing data sets, programs that cannot be found.
    ///
    /// # Errors
    /// If a configuration file cannot be used.
    pub fn look_around(&mut self, around: &Surroundings) -> Result<(), Rejected> {
        let mut warnings = Vec::new();
        let mut filled = self.clone();
        // A variable that is not set is an error of the run, not of the file.
        if filled.fill(&|name| std::env::var(name).ok()).is_err() {
            return Ok(());
        }
        let workdir = match &filled.run.workdir {
            Some(workdir) => around.current_dir.join(workdir),
            None => around.current_dir.clone(),
        };
        if !workdir.is_dir() {
            let message = format!("the workdir `{}` does not exist", workdir.display());
            warnings.push(
                Diagnostic::warning("no-workdir", message).at(self.places.workdir.clone(), ""),
            );
        }
        if self.run.own_workdir.is_some() && around.current_dir.join("private").is_dir() {
            let message = "`workdir` gives each trial a folder of its own, although there is a folder `private`";
            let warning = Diagnostic::warning("private-folder", message);
            warnings.push(
                warning
                    .at(self.places.workdir.clone(), "")
                    .hint("if trials should run in that folder, write \"./private\""),
            );
        }
        for (path, span) in filled.run.data_dir.iter().zip(&self.places.data_dir) {
            if !workdir.join(path).exists() {
                let message = format!("the data set `{path}` does not exist");
                warnings.push(
                    Diagnostic::warning("no-data", message).at(span.clone(), looked_in(&workdir)),
                );
            }
        }
        // `[run] env` may give trials their own PATH.
        let own_path = filled
            .run
            .env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsStr::new(value));
        let path = own_path.or(around.path.as_deref());
        let program = self
            .run
            .command
            .program()
            .map(str::to_owned)
            .zip(self.places.command.first().cloned());
        // A program given by path may be built by setup and need not exist yet.
        let built = self.places.setup.is_some()
            && program.as_ref().is_some_and(|(name, _)| name.contains('/'));
        let command_span = span_of(&self.places.command);
        warnings.extend(of_switches(&filled, &workdir, &command_span));
        for (name, span) in program
            .into_iter()
            .filter(|_| !built)
            .chain(self.places.setup.clone())
            .chain(self.preparations.iter().filter_map(Preparation::program))
        {
            if !exists(&name, &workdir, path) {
                let message = format!("the program `{name}` cannot be found");
                let label = if name.contains('/') {
                    looked_in(&workdir)
                } else {
                    "not on the PATH".to_owned()
                };
                let mut warning = Diagnostic::warning("no-program", message).at(span, label);
                if !name.contains('/') && workdir.join(&name).is_file() {
                    warning =
                        warning.hint(format!("there is such a file here: write \"./{name}\""));
                } else if name == "python" && exists("python3", &workdir, path) {
                    warning = warning.hint("did you mean `python3`?");
                }
                warnings.push(warning);
            }
        }
        self.warnings.list.extend(warnings);
        self.read_configs(&workdir)
    }
}

fn looked_in(workdir: &Path) -> String {
    format!("looked in `{}`", workdir.display())
}

fn exists(program: &str, workdir: &Path, path: Option<&OsStr>) -> bool {
    if program.contains('/') {
        return workdir.join(program).is_file();
    }
    let Some(path) = path else { return false };
    std::env::split_paths(path).any(|folder| workdir.join(folder).join(program).is_file())
}
