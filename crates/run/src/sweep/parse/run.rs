//! `[run]`: the program that a trial runs, and its environment.

use super::super::template::{FreeText, Names, TemplateError};
use super::super::texts::Written;
use super::super::{Code, ConfigFile, Keep, OwnWorkdir, Places, Run, Template, shell_lints};
use super::keys::table;
use super::{Trainee, failed_since, texts, within};
use std::path::PathBuf;
use std::time::Duration;
use swath_engine::executor::{StopSignal, StopTarget, Warm};
use swath_log::Models;
use swath_log::models::BUDGET;
use swath_model::source::diagnostic::nearest;
use swath_model::source::secret::is_secret_name;
use swath_model::source::units::{duration_of, size_of};
use swath_model::source::{
    Diagnostic, Diagnostics, Node, NodeValue, Opt, Preset, Section, Source, Span, Takes,
};
use swath_model::space::Name;

const GRACE: Duration = Duration::from_secs(10);
const SYSTEM: Duration = Duration::from_secs(10);

/// Shortest interval between two samples of resource usage.
const SHORTEST: Duration = Duration::from_millis(100);

/// Value of `workdir` that gives each trial a folder of its own.
const PRIVATE: &str = "private";

/// Names of the variants of [`Code`], the default first.
const CODES: &[&str] = &[Code::ALL[0].0, Code::ALL[1].0, Code::ALL[2].0];

/// The options of `stop`.
const STOP: &[Opt] = &[
    Opt::new(
        "signal",
        Takes::OneOf(StopSignal::NAMES),
        Preset::Text(StopSignal::NAMES[0]),
        "the signal",
    ),
    Opt::new(
        "to",
        Takes::OneOf(StopTarget::NAMES),
        Preset::Text(StopTarget::NAMES[0]),
        "the main process, or its whole process group",
    ),
];

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "command",
        Takes::List(&Takes::Text),
        Preset::Required,
        "the program and its arguments, with placeholders",
    ),
    Opt::new(
        "config",
        Takes::Either(&[Takes::Text, Takes::Table(&Takes::Text)]),
        Preset::Absent,
        "a YAML, TOML or JSON file whose values the parameters set, or a table of several: each trial gets \
         a copy, `{config}`",
    ),
    Opt::new(
        "data_dir",
        Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]),
        Preset::Absent,
        "data sets, with placeholders: hashed and recorded when a trial starts",
    ),
    Opt::new(
        "setup",
        Takes::List(&Takes::Text),
        Preset::Absent,
        "a command that runs once, before the first trial; with placeholders that do not depend on a trial",
    ),
    Opt::new(
        "env",
        Takes::Table(&Takes::Either(&[Takes::Text, Takes::Number, Takes::Switch])),
        Preset::Absent,
        "environment variables for trials and setup, with placeholders",
    ),
    Opt::new(
        "secret_env",
        Takes::List(&Takes::Text),
        Preset::Absent,
        "variables whose values are secret, besides those that end in `_KEY`, `_TOKEN`, `_SECRET` or `_PASSWORD`: \
         no file of the study shows them",
    ),
    Opt::new(
        "private",
        Takes::Switch,
        Preset::Flag(false),
        "whether only you may read the study's folder (mode 0700)",
    ),
    Opt::new(
        "workdir",
        Takes::Text,
        Preset::Derived("where `swath` is called"),
        "where trials and setup run, with placeholders; `private`: a folder for each trial, in which the project stands",
    ),
    Opt::new(
        "link",
        Takes::List(&Takes::Text),
        Preset::Derived("data, packages, builds"),
        "with a private workdir: untracked folders and files that trials reach by links",
    ),
    Opt::new(
        "copy",
        Takes::List(&Takes::Text),
        Preset::Derived("untracked code"),
        "with a private workdir: untracked folders and files that each trial has as copies",
    ),
    Opt::new(
        "code",
        Takes::OneOf(CODES),
        Preset::Text(CODES[0]),
        "run in the folder as it is and keep uncommitted changes; in a clone of its commit; or only if nothing \
         is uncommitted",
    ),
    Opt::new(
        "system",
        Takes::Duration,
        Preset::Duration(SYSTEM),
        "time between two samples of a trial's resource usage, `0s` for none",
    ),
    Opt::new(
        "grace",
        Takes::Duration,
        Preset::Duration(GRACE),
        "time between the stop signal and SIGKILL when a trial is stopped",
    ),
    Opt::new(
        "stop",
        Takes::Options(STOP),
        Preset::Absent,
        "the signal that asks a trial to end, and who gets it first",
    ),
    Opt::new(
        "checkpoint",
        Takes::Switch,
        Preset::Flag(false),
        "whether the program can go on from `SWATH_CHECKPOINT_DIR`",
    ),
    Opt::new(
        "warm",
        Takes::Either(&[Takes::Switch, Takes::OneOf(&["auto"])]),
        Preset::Flag(false),
        "whether Python trials are forked from a process that has imported their packages; `auto`: only once \
         a trial, repeated in both ways, has recorded the same; see python.md",
    ),
    Opt::new(
        "invalid",
        Takes::List(&Takes::Count(1)),
        Preset::Absent,
        "exit statuses with which the program says that its configuration cannot work, as `[2]`: such a trial \
         is `invalid`, not failed, and is not tried again",
    ),
    Opt::new(
        "keep",
        Takes::Text,
        Preset::Text("all"),
        "whose checkpoints and private workdirs are kept once trials have ended: `all`, `complete`, `best`, `best:5`, `last`, \
         `none`, and with `and` between them, as in `best and last`",
    ),
    Opt::new(
        "models",
        Takes::OneOf(&["hold", "refer"]),
        Preset::Text("hold"),
        "hold the bytes of the model that counts and of the last one, or only refer to their files",
    ),
    Opt::new(
        "models_budget",
        Takes::Size,
        Preset::Size(BUDGET),
        "space that copies of models may take in the study's folder; beyond it models are only referred to",
    ),
];

/// Reads the section. The second value tells whether the program can resume from a checkpoint.
pub(super) fn read(
    file: &mut Section,
    source: &Source,
    (params, prepared): (&[Name], &[Name]),
    trainee: Trainee,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) -> (Run, bool) {
    let mut run = Run {
        grace: GRACE,
        system: Some(SYSTEM),
        ..Run::default()
    };
    let before = diagnostics.list.len();
    let Some(mut section) = table(file, "run", diagnostics) else {
        if trainee == Trainee::Program
            && !failed_since(diagnostics, before)
            && !file.has_misspelled("run")
        {
            diagnostics.push(no_command("there is nothing to run: no `[run]`"));
        }
        return (run, false);
    };
    run.configs = configs(&mut section, diagnostics);
    let names = &Names {
        params: params.to_vec(),
        configs: run.config_keys(),
        prepared: prepared.to_vec(),
    };
    read_data_dir(&mut section, source, names, &mut run, places, diagnostics);
    if trainee == Trainee::Function && run.of_trial.data_dir.is_some() {
        let message = "the data sets of a function are the same for all trials";
        diagnostics.push(
            Diagnostic::error("value-of-trial", message)
                .hint("record the others from the function itself, with `dataset` of its logger"),
        );
    }
    let has_data = run.of_trial.data_dir.is_none();
    run.setup = setup(&mut section, source, names, has_data, places, diagnostics);
    read_env(&mut section, source, names, &mut run, diagnostics);
    if let Some((names, _)) = section.take_texts("secret_env", diagnostics) {
        run.secret_env = names;
    }
    run.private = section
        .take_bool("private", diagnostics)
        .is_some_and(|(flag, _)| flag);
    read_workdir(&mut section, source, names, &mut run, places, diagnostics);
    run.code = code(&mut section, diagnostics);
    if let Some(grace) = section.take("grace") {
        run.grace = duration_of("grace", &grace, diagnostics).unwrap_or(GRACE);
    }
    if let Some(stop) = section.take_section("stop", diagnostics) {
        run.stop = stop_signal(stop, diagnostics);
    }
    if let Some(system) = section.take("system") {
        let every = duration_of("system", &system, diagnostics).unwrap_or(SYSTEM);
        // Zero turns sampling off.
        run.system = Some(every.max(SHORTEST)).filter(|_| !every.is_zero());
    }
    run.warm = warm(&mut section, diagnostics);
    run.models = models(&mut section, diagnostics);
    run.invalid = invalid(&mut section, diagnostics);
    run.keep = keep(&mut section, diagnostics);
    let checkpoint = section
        .take_bool("checkpoint", diagnostics)
        .is_some_and(|(flag, _)| flag);
    let before = diagnostics.list.len();
    let span = section.span.clone();
    match texts(&mut section, "command", diagnostics) {
        Some(args) => {
            let has_data = !run.data_dir.is_empty() || run.of_trial.data_dir.is_some();
            run.command = command(&args, source, names, has_data, places, diagnostics);
        }
        None if trainee != Trainee::Function
            && !failed_since(diagnostics, before)
            && !section.has_misspelled("command") =>
        {
            diagnostics.push(no_command("`[run]` has no `command`").at(span, ""));
        }
        None => {}
    }
    if !diagnostics.has_errors() {
        refuse_unused_configs(&run, diagnostics);
    }
    (run, checkpoint)
}

/// Reads the environment variables of trials.
fn read_env(
    section: &mut Section,
    source: &Source,
    names: &Names,
    run: &mut Run,
    diagnostics: &mut Diagnostics,
) {
    let Some(env) = section.take_section("env", diagnostics) else {
        return;
    };
    for (name, value, span) in variables(env, diagnostics) {
        let key = format!("env.{name}");
        let written = Written {
            key: &key,
            text: &value,
            span: &span,
            source,
        };
        // A warning would show a part of a secret.
        let text = match is_secret_name(&name) {
            true => written.read(names, &mut Diagnostics::default()),
            false => written.read(names, diagnostics),
        };
        if text.is_of_trial() && !is_static(&text, run) {
            run.of_trial.env.push((name, text));
        } else {
            run.env.push((name, value));
        }
    }
}

/// Reads the working folder of trials: that of all, or one for each.
fn read_workdir(
    section: &mut Section,
    source: &Source,
    names: &Names,
    run: &mut Run,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) {
    let link = section.take_texts("link", diagnostics).map(|paths| paths.0);
    let copy = section.take_texts("copy", diagnostics).map(|paths| paths.0);
    let own = OwnWorkdir { link, copy };
    let Some((workdir, span)) = section.take_text("workdir", diagnostics) else {
        without_effect(&own, &section.span, diagnostics);
        return;
    };
    places.workdir = span.clone();
    if workdir == PRIVATE {
        run.own_workdir = Some(own);
        return;
    }
    without_effect(&own, &span, diagnostics);
    let written = Written {
        key: "workdir",
        text: &workdir,
        span: &span,
        source,
    };
    let text = written.read(names, diagnostics);
    if text.is_of_trial() && !is_static(&text, run) {
        run.of_trial.workdir = Some(text);
    } else {
        run.workdir = Some(PathBuf::from(workdir));
    }
}

fn keep(section: &mut Section, diagnostics: &mut Diagnostics) -> Keep {
    let Some((text, span)) = section.take_text("keep", diagnostics) else {
        return Keep::default();
    };
    Keep::parse(&text).unwrap_or_else(|why| {
        let hint = "write `all`, `complete`, `best`, `best:5`, `last`, `none`, or `best and last`";
        diagnostics.push(Diagnostic::error("bad-keep", why).at(span, "").hint(hint));
        Keep::default()
    })
}

/// Warns about `link` and `copy` beside a workdir that all trials share.
fn without_effect(own: &OwnWorkdir, span: &Span, diagnostics: &mut Diagnostics) {
    if *own != OwnWorkdir::default() {
        let message = "`link` and `copy` have no effect: all trials run in the same folder";
        let warning = Diagnostic::warning("no-private-workdir", message).at(span.clone(), "");
        diagnostics.push(warning.hint("for a folder for each trial add workdir = \"private\""));
    }
}

/// Reads the configuration files: one path, or a table of several.
fn configs(section: &mut Section, diagnostics: &mut Diagnostics) -> Vec<ConfigFile> {
    let Some(node) = section.take("config") else {
        return Vec::new();
    };
    let entries = match node.value {
        NodeValue::Table(table) => table
            .entries
            .into_iter()
            .map(|(key, node)| (key.name, node))
            .collect(),
        _ => vec![(String::new(), node)],
    };
    let mut files = Vec::new();
    for (key, node) in entries {
        match node.value {
            NodeValue::Text(path) if !path.is_empty() && !path.contains('\0') => {
                files.push(ConfigFile {
                    key,
                    path,
                    span: node.span,
                });
            }
            other => {
                let error =
                    Diagnostic::error("wrong-type", "`config` must be a path, or a table of paths");
                diagnostics.push(error.at(node.span, format!("this is {}", description(&other))));
            }
        }
    }
    files
}

/// Reports a configuration file whose copy no text names.
fn refuse_unused_configs(run: &Run, diagnostics: &mut Diagnostics) {
    for file in &run.configs {
        let by_text = run.of_trial.iter().any(|text| text.uses_config(&file.key));
        if run.command.uses_config(&file.key) || by_text {
            continue;
        }
        let placeholder = match file.key.as_str() {
            "" => "{config}".to_owned(),
            key => format!("{{config.{key}}}"),
        };
        let message = format!("the program never gets its path: no text has `{placeholder}`");
        diagnostics.push(
            Diagnostic::error("unused-config", message)
                .at(file.span.clone(), "")
                .hint(format!(
                    "pass it in `command`: [\"python\", \"train.py\", \"--config\", \"{placeholder}\"]"
                )),
        );
    }
}

/// Takes the exit statuses of invalid configurations. Status 0 is that of success.
fn invalid(section: &mut Section, diagnostics: &mut Diagnostics) -> Vec<i32> {
    let Some(node) = section.take("invalid") else {
        return Vec::new();
    };
    let statuses = match &node.value {
        NodeValue::Array(items) => items.iter().map(exit_status).collect(),
        _ => None,
    };
    statuses.unwrap_or_else(|| {
        let error = Diagnostic::error(
            "wrong-type",
            "`invalid` must be a list of exit statuses from 1 to 255",
        );
        diagnostics.push(
            error
                .at(node.span.clone(), "")
                .hint("write `invalid = [2]`"),
        );
        Vec::new()
    })
}

fn exit_status(node: &Node) -> Option<i32> {
    match node.value {
        NodeValue::Int(status) => i32::try_from(status)
            .ok()
            .filter(|it| (1..=255).contains(it)),
        _ => None,
    }
}

fn code(section: &mut Section, diagnostics: &mut Diagnostics) -> Code {
    let Some((given, span)) = section.take_text("code", diagnostics) else {
        return Code::default();
    };
    if let Some((_, code)) = Code::ALL.iter().find(|(name, _)| *name == given) {
        return *code;
    }
    let error =
        Diagnostic::error("unknown-name", format!("`code` cannot be `{given}`")).at(span, "");
    diagnostics.push(match nearest(&given, Code::ALL.iter().map(|(name, _)| *name)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("it is `snapshot` (the folder as it is), `clone` (a clone of the commit) or `clean` (refuse uncommitted changes)"),
    });
    Code::default()
}

fn stop_signal(mut section: Section, diagnostics: &mut Diagnostics) -> StopSignal {
    section.refuse_unknown(STOP, diagnostics);
    let mut stop = StopSignal::default();
    if let Some((given, span)) = section.take_text("signal", diagnostics) {
        match StopSignal::number(&given) {
            Some(signal) => stop.signal = signal,
            None => diagnostics.push(unknown_word("signal", &given, span, StopSignal::NAMES)),
        }
    }
    if let Some((given, span)) = section.take_text("to", diagnostics) {
        match StopTarget::named(&given) {
            Some(to) => stop.to = to,
            None => diagnostics.push(unknown_word("to", &given, span, StopTarget::NAMES)),
        }
    }
    stop
}

fn unknown_word(key: &str, given: &str, span: Span, words: &[&str]) -> Diagnostic {
    let message = format!("`{key}` of `stop` cannot be `{given}`");
    let listed: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    Diagnostic::error("unknown-name", message)
        .at(span, "")
        .hint(format!("it is one of {}", listed.join(", ")))
}

fn warm(section: &mut Section, diagnostics: &mut Diagnostics) -> Warm {
    let Some(node) = section.take("warm") else {
        return Warm::Off;
    };
    match node.value {
        NodeValue::Bool(true) => Warm::On,
        NodeValue::Bool(false) => Warm::Off,
        NodeValue::Text(word) if word == "auto" => Warm::Auto,
        other => {
            let message = "`warm` must be `true`, `false` or `\"auto\"`";
            let label = format!("this is {}", other.kind());
            diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, label));
            Warm::Off
        }
    }
}

fn models(section: &mut Section, diagnostics: &mut Diagnostics) -> Models {
    let budget = section
        .take("models_budget")
        .and_then(|node| size_of("models_budget", &node, diagnostics));
    let hold = Models::Hold {
        budget: budget.unwrap_or(BUDGET),
    };
    let Some((given, span)) = section.take_text("models", diagnostics) else {
        return hold;
    };
    match &*given {
        "hold" => hold,
        "refer" => Models::Refer,
        _ => {
            let error = Diagnostic::error("unknown-name", format!("`models` cannot be `{given}`"))
                .at(span, "");
            diagnostics.push(error.hint(
                "it is `hold` (keep the bytes of the model that counts and of the last one) or `refer` \
                 (record only path and digest)",
            ));
            hold
        }
    }
}

fn no_command(message: &str) -> Diagnostic {
    Diagnostic::error("missing-command", message)
        .hint("add it: [run]\n      command = [\"python\", \"train.py\", \"{args}\"]")
}

fn command(
    args: &[(String, Span)],
    source: &Source,
    names: &Names,
    has_data: bool,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) -> Template {
    places.command = args.iter().map(|(_, span)| span.clone()).collect();
    let texts: Vec<String> = args.iter().map(|(text, _)| text.clone()).collect();
    if texts.first().is_none_or(String::is_empty) {
        diagnostics.push(
            no_command("the command is empty")
                .at(places.command.first().cloned().unwrap_or(0..0), ""),
        );
        return Template::default();
    }
    match checked(Template::parse(&texts, names), args, source, diagnostics) {
        Some(template) => {
            shell_lints::of_command(args, source, names, diagnostics);
            if template.uses("data_dir") && !has_data {
                let at = texts
                    .iter()
                    .position(|text| text.contains("{data_dir}"))
                    .unwrap_or(0);
                let error = Diagnostic::error(
                    "missing-data-dir",
                    "`{data_dir}` is used, but `data_dir` is not set",
                );
                diagnostics.push(
                    error
                        .at(args[at].1.clone(), "")
                        .hint("add `data_dir = \"…\"` to `[run]`"),
                );
            }
            template
        }
        None => Template::default(),
    }
}

/// Returns a template that was parsed from the words of a command. Reports all mistakes in them.
pub(super) fn checked(
    parsed: Result<Template, Vec<TemplateError>>,
    args: &[(String, Span)],
    source: &Source,
    diagnostics: &mut Diagnostics,
) -> Option<Template> {
    let errors = match parsed {
        Ok(template) => return Some(template),
        Err(errors) => errors,
    };
    for error in errors {
        let (text, span) = &args[error.argument];
        let place = within(source, span, text, &error.span);
        let diagnostic = Diagnostic::error("bad-placeholder", error.message).at(place, "");
        diagnostics.push(match error.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        });
    }
    None
}

fn data_dir(
    section: &mut Section,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let paths = paths(section, "data_dir", diagnostics).unwrap_or_default();
    let (paths, spans) = paths.into_iter().unzip();
    places.data_dir = spans;
    paths
}

/// Takes a path or a list of paths, with their spans.
pub(super) fn paths(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(String, Span)>> {
    let node = section.take(key)?;
    // A single path is a list of one.
    let items = match node.value {
        NodeValue::Array(items) => items,
        _ => vec![node],
    };
    let mut paths = Vec::new();
    for item in items {
        match item.value {
            NodeValue::Text(path) if !path.is_empty() && !path.contains('\0') => {
                paths.push((path, item.span));
            }
            other => {
                let message = format!("`{key}` must be a path or a list of paths");
                let error = Diagnostic::error("wrong-type", message);
                diagnostics.push(error.at(item.span, format!("this is {}", description(&other))));
            }
        }
    }
    Some(paths)
}

/// Reads the data sets. If one of them differs between trials, all are filled in for each trial.
fn read_data_dir(
    section: &mut Section,
    source: &Source,
    names: &Names,
    run: &mut Run,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) {
    let paths = data_dir(section, places, diagnostics);
    let mut texts = Vec::new();
    for (path, span) in paths.iter().zip(&places.data_dir) {
        let written = Written {
            key: "data_dir",
            text: path,
            span,
            source,
        };
        let text = written.read(names, diagnostics);
        let own = text.uses("data_dir").then_some("data_dir");
        let at_start = text.needs_slot().then_some("slot` or `port");
        if let Some(name) = own.or(at_start) {
            let message = format!("`data_dir` cannot contain `{{{name}}}`");
            diagnostics.push(
                Diagnostic::error("bad-placeholder", message)
                    .at(span.clone(), "")
                    .hint("the data sets of a trial are recorded before it has a place to run"),
            );
        }
        texts.push(text);
    }
    if texts.iter().any(FreeText::is_of_trial) {
        run.of_trial.data_dir = Some(texts);
        places.data_dir.clear();
    } else {
        run.data_dir = paths;
    }
}

/// Returns whether the only value of a trial in a text is `{data_dir}`, and all trials have the
/// same data sets.
fn is_static(text: &FreeText, run: &Run) -> bool {
    run.of_trial.data_dir.is_none() && text.has_only("data_dir")
}

/// Reason why `setup` has no values of trials.
const SETUP_IS_EARLY: &str = "it runs once, before the first trial";

fn description(value: &NodeValue) -> &'static str {
    match value {
        NodeValue::Text(text) if text.is_empty() => "empty",
        NodeValue::Text(_) => "no path: it has a NUL character",
        other => other.kind(),
    }
}

fn setup(
    section: &mut Section,
    source: &Source,
    names: &Names,
    has_data: bool,
    places: &mut Places,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let setup = texts(section, "setup", diagnostics).unwrap_or_default();
    shell_lints::of_command(&setup, source, names, diagnostics);
    places.setup = setup.first().cloned();
    for (text, span) in &setup {
        let written = Written {
            key: "setup",
            text,
            span,
            source,
        };
        written.read_for_all(names, (SETUP_IS_EARLY, has_data), diagnostics);
    }
    setup.into_iter().map(|(text, _)| text).collect()
}

/// Returns the variables of `[run] env`, each with the span of its value.
fn variables(mut env: Section, diagnostics: &mut Diagnostics) -> Vec<(String, String, Span)> {
    let mut variables = Vec::new();
    for (key, node) in env.take_rest() {
        if key.name.is_empty() || key.name.contains(['=', '\0']) {
            let error = Diagnostic::error(
                "bad-name",
                "this cannot be the name of an environment variable",
            );
            diagnostics.push(error.at(key.span, ""));
            continue;
        }
        // The prefix is reserved for variables that swath sets.
        if key.name.starts_with("SWATH_") {
            let message = format!("`{}` is set by swath itself", key.name);
            diagnostics.push(
                Diagnostic::error("reserved-name", message)
                    .at(key.span, "")
                    .hint("leave it out"),
            );
            continue;
        }
        let value = match node.value {
            NodeValue::Text(text) if !text.contains('\0') => text,
            // Numbers are passed as written, so that `1e3` stays `1e3`.
            NodeValue::Bool(_) | NodeValue::Int(_) | NodeValue::Float(_) => {
                node.written.into_string()
            }
            other => {
                let message = format!("`{}` must be a string", key.name);
                let error = Diagnostic::error("wrong-type", message)
                    .at(node.span, format!("this is {}", description(&other)));
                diagnostics.push(error);
                continue;
            }
        };
        variables.push((key.name, value, node.span));
    }
    variables
}
