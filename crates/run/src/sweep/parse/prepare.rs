//! `[[prepare]]`: work that several trials share, such as tokenizing a data set.

use super::super::template::Names;
use super::super::{Preparation, Template};
use super::{failed_since, keys, run, texts};
use std::collections::BTreeSet;
use swath_engine::driver::PreparationPlan;
use swath_model::source::units::duration_of;
use swath_model::source::{
    Diagnostic, Diagnostics, NodeValue, Opt, Preset, Section, Source, Span, Table, Takes,
};
use swath_model::space::Name;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "name",
        Takes::Text,
        Preset::Required,
        "names the preparation; its output folder is `{prepare.NAME}`",
    ),
    Opt::new(
        "command",
        Takes::List(&Takes::Text),
        Preset::Required,
        "the program and its arguments, with placeholders; it writes into its own `{prepare.NAME}`",
    ),
    Opt::new(
        "depends",
        Takes::List(&Takes::Text),
        Preset::Derived("the parameters that the command names"),
        "parameters: the command runs once for each distinct assignment of them",
    ),
    Opt::new(
        "data_dir",
        Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]),
        Preset::Derived("`data_dir` of `[run]`"),
        "data sets that it reads: hashed and recorded when it starts; `[]` for none",
    ),
    Opt::new(
        "time",
        Takes::Duration,
        Preset::Absent,
        "the longest run time of one attempt",
    ),
];

/// Facts of the rest of the file that preparations refer to.
pub(super) struct Surrounding<'a> {
    pub(super) source: &'a Source,
    /// The parameters of the space and the preparations.
    pub(super) names: Names,
    /// The data sets of `[run]`.
    pub(super) data_dir: &'a [String],
}

/// Reads the preparations. They are returned in an order in which each comes after those whose
/// outputs it reads.
pub(super) fn read(
    file: &mut Section,
    surrounding: &Surrounding<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Preparation> {
    let mut preparations: Vec<Preparation> = Vec::new();
    for mut section in keys::tables(file, "prepare", diagnostics) {
        let Some(preparation) = preparation(&mut section, surrounding, diagnostics) else {
            continue;
        };
        let name = &preparation.plan.name;
        if preparations.iter().any(|other| other.plan.name == *name) {
            let error = Diagnostic::error("duplicate-name", format!("`{name}` is prepared twice"));
            diagnostics.push(error.at(preparation.span, "").hint("give it another name"));
            continue;
        }
        preparations.push(preparation);
    }
    ordered(preparations, diagnostics)
}

fn preparation(
    section: &mut Section,
    surrounding: &Surrounding<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Preparation> {
    let (span, before) = (section.span.clone(), diagnostics.list.len());
    let name = section.take_text("name", diagnostics);
    let words = texts(section, "command", diagnostics);
    let depends = section.take_texts("depends", diagnostics);
    let data_dir = run::paths(section, "data_dir", diagnostics);
    let time = section
        .take("time")
        .and_then(|node| duration_of("time", &node, diagnostics));
    // A misspelled key may be the missing one.
    if failed_since(diagnostics, before) || section.has_refused() {
        return None;
    }
    let Some((name, name_span)) = name else {
        let error = Diagnostic::error("missing-name", "a preparation needs a `name`");
        diagnostics.push(error.at(span, "").hint("such as name = \"tokens\""));
        return None;
    };
    if !is_name(&name) {
        let error = Diagnostic::error("bad-name", "this cannot be the name of a preparation");
        diagnostics.push(
            error
                .at(name_span, "")
                .hint("use letters, digits, `-` and `_`"),
        );
        return None;
    }
    let words = words.unwrap_or_default();
    if words.first().is_none_or(|(program, _)| program.is_empty()) {
        let error = Diagnostic::error("missing-command", format!("`{name}` has no `command`"));
        diagnostics.push(error.at(span, "").hint(format!(
            "such as command = [\"python\", \"{name}.py\", \"--out\", \"{{prepare.{name}}}\"]"
        )));
        return None;
    }
    let depends = match depends {
        Some((depends, list_span)) => {
            let names = &surrounding.names.params;
            Some(known_names(&depends, &list_span, names, diagnostics)?)
        }
        None => None,
    };
    let parsed = Template::parse_preparation(&texts_of(&words), &surrounding.names);
    let command = run::checked(parsed, &words, surrounding.source, diagnostics)?;
    let params = surrounding.names.params.iter();
    let named: Vec<Name> = params
        .filter(|name| command.receives(name))
        .cloned()
        .collect();
    let depends = depends.unwrap_or_else(|| named.clone());
    // `{args}` stands for the parameters that the preparation depends on.
    let missed = named
        .iter()
        .find(|name| command.names(name) && !depends.contains(name));
    if let Some(missed) = missed {
        let message = format!("the command of `{name}` gets `{missed}`, but does not depend on it");
        let error = Diagnostic::error("missing-dependency", message).at(span_of(&words), "");
        let listed: Vec<_> = depends.iter().chain([missed]).collect();
        diagnostics.push(error.hint(format!("write depends = {listed:?}")));
        return None;
    }
    let data_dir = match data_dir {
        Some(paths) => paths.into_iter().map(|(path, _)| path).collect(),
        None => surrounding.data_dir.to_vec(),
    };
    Some(Preparation {
        plan: PreparationPlan {
            inputs: command.prepared(),
            command: texts_of(&words),
            name: name.as_str().into(),
            depends,
            data_dir,
            time,
        },
        command,
        words,
        span,
    })
}

/// Returns the words of a command without their spans.
fn texts_of(words: &[(String, Span)]) -> Vec<String> {
    words.iter().map(|(text, _)| text.clone()).collect()
}

/// Returns the names of the preparations of a file, which placeholders everywhere may name, also if
/// a table has other mistakes.
pub(super) fn raw_names(file: &Table) -> Vec<Name> {
    let tables = match file.get("prepare").map(|node| &node.value) {
        Some(NodeValue::Array(nodes)) => nodes.iter().map(|node| &node.value).collect(),
        Some(value) => vec![value],
        None => Vec::new(),
    };
    tables.into_iter().filter_map(raw_name).collect()
}

fn raw_name(table: &NodeValue) -> Option<Name> {
    let NodeValue::Table(table) = table else {
        return None;
    };
    match &table.get("name")?.value {
        NodeValue::Text(name) => Some(Name::from(name.as_str())),
        _ => None,
    }
}

/// Returns whether a text can name a preparation: it is part of a placeholder and of a variable.
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    !text.is_empty() && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Returns the parameters with these names. Reports the first one that does not exist.
fn known_names(
    depends: &[String],
    span: &Span,
    names: &[Name],
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Name>> {
    let mut known = Vec::new();
    for name in depends {
        let Some(parameter) = names.iter().find(|parameter| parameter.as_ref() == name) else {
            let message = format!("`{name}` is no parameter of `[space]`");
            let error = Diagnostic::error("unknown-name", message).at(span.clone(), "");
            diagnostics.push(error.did_you_mean(name, names.iter().map(|name| &**name)));
            return None;
        };
        known.push(parameter.clone());
    }
    Some(known)
}

fn span_of(words: &[(String, Span)]) -> Span {
    let start = words.first().map_or(0, |(_, span)| span.start);
    start..words.last().map_or(start, |(_, span)| span.end)
}

/// Puts preparations into an order in which each comes after those whose outputs it reads. Reports
/// those that wait for each other.
fn ordered(mut rest: Vec<Preparation>, diagnostics: &mut Diagnostics) -> Vec<Preparation> {
    let names: BTreeSet<Name> = rest.iter().map(|it| it.plan.name.clone()).collect();
    for preparation in &mut rest {
        let PreparationPlan { inputs, name, .. } = &mut preparation.plan;
        // Its own placeholder is its own output, and unknown ones are reported elsewhere.
        inputs.retain(|input| input != name && names.contains(input));
    }
    let mut ordered: Vec<Preparation> = Vec::new();
    loop {
        let next = rest.iter().position(|preparation| {
            let mut inputs = preparation.plan.inputs.iter();
            inputs.all(|input| ordered.iter().any(|earlier| earlier.plan.name == *input))
        });
        match next {
            Some(index) => ordered.push(rest.remove(index)),
            None if rest.is_empty() => return ordered,
            None => break,
        }
    }
    let circle = circle(&rest);
    let listed: Vec<_> = circle
        .iter()
        .map(|it| format!("`{}`", it.plan.name))
        .collect();
    let message = format!("the preparations {} need each other", listed.join(", "));
    let mut error = Diagnostic::error("circular-preparations", message);
    for preparation in circle {
        error = error.at(span_of(&preparation.words), "");
    }
    diagnostics.push(error.hint("leave out `{prepare.…}` in one of the commands"));
    ordered
}

/// Returns the preparations of one circle. Each of `rest` waits for another one of them.
fn circle(rest: &[Preparation]) -> Vec<&Preparation> {
    let mut path: Vec<&Preparation> = Vec::new();
    let mut next = rest.first();
    while let Some(preparation) = next {
        let earlier = path
            .iter()
            .position(|other| other.plan.name == preparation.plan.name);
        if let Some(start) = earlier {
            return path.split_off(start);
        }
        path.push(preparation);
        let inputs = &preparation.plan.inputs;
        next = rest.iter().find(|other| inputs.contains(&other.plan.name));
    }
    path
}
