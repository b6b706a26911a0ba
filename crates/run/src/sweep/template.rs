//! The command template, which turns a configuration into the arguments of a program. No shell is
//! involved.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{lr}` | the value of the parameter `lr`; a negative number that begins an argument without exponent |
//! | `{units[0]}` | the first element of a list |
//! | `--{amp}` | for a switch: `--amp` if true, nothing if false |
//! | `{amp:flag}` | `--amp` if true, `--no-amp` if false; `{amp:flag=--amp/--fp32}` names the two |
//! | `{units:each}` | each element of a list, one argument each |
//! | `{units:repeat}` | the same, each after the option before it: `--units 64 --units 32` |
//! | `{args}` | `--name=value` for every parameter, one argument each |
//! | `{args:argparse}` | `--name=value`; lists as `--name 1 2`, booleans as `--name` or nothing |
//! | `{args:click}` | `--name=value`; lists as repeated options, booleans as `--name` or `--no-name` |
//! | `{args:rest}` | the same for the parameters that the command does not name elsewhere |
//! | `{hydra}`, `{hydra:rest}` | `name=value`, quoted as Hydra's override grammar asks |
//! | `{params}` | the path of the trial's `params.json` |
//! | `{trial}`, `{trial_dir}`, `{data_dir}` | the trial's number, its folder, the data set |
//! | `{prepare.NAME}` | the output folder of the `[[prepare]]` of that name |
//! | `{env:NAME}`, `{env:NAME:-default}` | the caller's variable `NAME`, which the records do not show |
//! | `{{`, `}}` | a brace |
//!
//! A command without any placeholder but `{env:…}` gets `{args}` appended. An argument that names an inactive
//! parameter is left out, together with an option before it (`--momentum` in
//! `["--momentum", "{momentum}"]`).

use std::path::Path;
use swath_engine::executor::PreparedFolder;
use swath_model::source::Span;
use swath_model::source::diagnostic::nearest;
use swath_model::source::secret::{Secrets, placeholder as placeholder_of};
use swath_model::source::variables::{Unset, Variable};
use swath_model::space::{Name, Params, Value};
use swath_model::study::TrialId;

/// A checked command. Its first argument is the program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    args: Vec<Arg>,
    /// The arguments as they are recorded, once the variables are filled in.
    recorded: Option<Vec<Arg>>,
}

/// Values that fill the placeholders of a template for one trial.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// Configuration of the trial.
    pub params: &'a Params,
    /// Id of the trial.
    pub trial: TrialId,
    /// Folder of the trial.
    pub trial_dir: &'a Path,
    /// Path of the JSON file with the trial's parameters.
    pub params_file: &'a Path,
    /// Paths of the data sets of the sweep.
    pub data_dir: &'a [String],
    /// Outputs of preparations.
    pub prepared: &'a [PreparedFolder],
}

/// A mistake in one argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Index of the argument, from 0.
    pub argument: usize,
    /// Byte range of the mistake in the argument.
    pub span: Span,
    /// Description of the mistake.
    pub message: String,
    /// Suggested remedy, if there is one.
    pub hint: Option<String>,
}

/// One argument of the template.
#[derive(Debug, Clone, PartialEq)]
enum Arg {
    /// Text and placeholders that together make one argument.
    Text(Vec<Piece>),
    /// `--{name}` or `{name:flag}`: a switch. `off` stands for false; without it, false is left out.
    Flag {
        name: Name,
        on: String,
        off: Option<String>,
    },
    /// `{name:each}` or `{name:repeat}`: an argument for each element of a list; with `repeat`, each
    /// after the option before.
    Elements { name: Name, repeat: bool },
    /// `{args}` or a similar placeholder, which makes one argument for each parameter.
    Each {
        style: Style,
        only: Option<Vec<Name>>,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// Fixed text.
    Literal(String),
    /// Value of a parameter.
    Param(Name),
    /// Element of a list, from 0.
    Element(Name, usize),
    /// Path of the JSON file with the trial's parameters.
    Params,
    /// Id of the trial.
    Trial,
    /// Folder of the trial.
    TrialDir,
    /// Paths of the data sets, joined with colons.
    DataDir,
    /// Output of the preparation of this name.
    Prepared(Name),
    /// Variable of the caller.
    Env(Variable),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// `--name=value`
    Options,
    /// As argparse usually declares options: `--name=value`, lists as `--name 1 2`, true as
    /// `--name`, false as nothing.
    Argparse,
    /// As click does: `--name=value`, lists as repeated options, `--name` or `--no-name`.
    Click,
    /// `name=value`
    Hydra,
}

const BUILT_IN: &[&str] = &[
    "args",
    "args:rest",
    "args:argparse",
    "args:click",
    "hydra",
    "hydra:rest",
    "params",
    "trial",
    "trial_dir",
    "data_dir",
];

impl Template {
    /// Parses the arguments of a command against the parameters of the space.
    ///
    /// # Errors
    /// All mistakes in the arguments.
    pub fn parse(args: &[String], params: &[Name]) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let mut read: Vec<Arg> = Vec::new();
        for (argument, text) in args.iter().enumerate() {
            let has_option = argument > 1 && read.last().is_some_and(Arg::is_option);
            match parse_arg(text, params, has_option) {
                Ok(arg) => read.push(arg),
                Err(fault) => errors.push(TemplateError {
                    argument,
                    span: fault.span,
                    message: fault.message,
                    hint: fault.hint,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if !read.iter().any(Arg::has_placeholder) {
            read.push(Arg::Each {
                style: Style::Options,
                only: None,
            });
        }
        // `{args:rest}` can only be resolved when all other placeholders are known.
        let rest: Vec<Name> = params
            .iter()
            .filter(|name| !read.iter().any(|arg| arg.names(name)))
            .cloned()
            .collect();
        for arg in &mut read {
            if let Arg::Each {
                only: Some(only), ..
            } = arg
            {
                only.clone_from(&rest);
            }
        }
        Ok(Self {
            args: read,
            recorded: None,
        })
    }

    /// Parses the command of a preparation, which gets only the parameters that it names.
    ///
    /// # Errors
    /// All mistakes in the arguments.
    pub fn parse_preparation(args: &[String], params: &[Name]) -> Result<Self, Vec<TemplateError>> {
        let mut template = Self::parse(args, params)?;
        template.args.truncate(args.len());
        Ok(template)
    }

    /// Returns whether there is no command, as in a sweep over a function.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// Returns the program; `None` if there is no command or the program contains a placeholder.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        self.args.first()?.literal()
    }

    /// Returns the arguments without placeholders, the program first. They are the same for every
    /// trial. Empty if the program contains a placeholder.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        if self.program().is_none() {
            return Vec::new();
        }
        let literals = self.args.iter().filter_map(Arg::literal);
        literals.map(str::to_owned).collect()
    }

    /// Replaces the program and keeps the arguments.
    pub fn set_program(&mut self, program: &str) {
        if let Some(first) = self.args.first_mut() {
            *first = Arg::Text(vec![Piece::Literal(program.to_owned())]);
        }
    }

    /// Returns whether the parameter reaches the program on the command line or in the file named
    /// by `{params}`.
    #[must_use]
    pub fn receives(&self, name: &str) -> bool {
        self.args.iter().any(|arg| match arg {
            Arg::Each { only: None, .. } => true,
            Arg::Each {
                only: Some(only), ..
            } => only.iter().any(|other| &**other == name),
            Arg::Text(pieces) if pieces.contains(&Piece::Params) => true,
            arg => arg.names(name),
        })
    }

    /// Returns whether the command uses `{data_dir}`.
    #[must_use]
    pub fn uses_data_dir(&self) -> bool {
        self.args
            .iter()
            .any(|arg| matches!(arg, Arg::Text(pieces) if pieces.contains(&Piece::DataDir)))
    }

    /// Returns the names of the preparations whose outputs the command names, each once.
    #[must_use]
    pub fn prepared(&self) -> Vec<Name> {
        let mut names = Vec::new();
        for arg in &self.args {
            let Arg::Text(pieces) = arg else { continue };
            for piece in pieces {
                if let Piece::Prepared(name) = piece
                    && !names.contains(name)
                {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    /// Returns whether a placeholder of the command is this parameter, or a part of it.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.names(name))
    }

    /// Fills in the variables of the caller. Records go on to show their placeholders, and
    /// `{env:NAME}` in place of secrets.
    ///
    /// # Errors
    /// If a variable is not set and has no default.
    pub fn fill(
        &mut self,
        secrets: &Secrets,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Unset> {
        let mut filled = self.args.clone();
        for arg in &mut filled {
            let Arg::Text(pieces) = arg else { continue };
            for piece in pieces {
                if let Piece::Env(variable) = piece {
                    *piece = Piece::Literal(variable.value(&lookup)?);
                }
            }
        }
        self.recorded = Some(redacted(&self.args, secrets));
        self.args = filled;
        Ok(())
    }

    /// Returns the arguments of one trial, the program first.
    #[must_use]
    pub fn render(&self, fill: &Fill<'_>) -> Vec<String> {
        render(&self.args, fill)
    }

    /// Returns the arguments of one trial as they are recorded: without secrets.
    #[must_use]
    pub fn render_recorded(&self, fill: &Fill<'_>) -> Vec<String> {
        render(self.recorded.as_ref().unwrap_or(&self.args), fill)
    }
}

/// Replaces secrets in the fixed texts of a command. Parameters are no secrets.
fn redacted(args: &[Arg], secrets: &Secrets) -> Vec<Arg> {
    let texts: Vec<String> = args
        .iter()
        .map(|arg| arg.literal().unwrap_or_default().to_owned())
        .collect();
    let redacted = secrets.redact_args(&texts);
    let mut args = args.to_vec();
    for (arg, text) in args.iter_mut().zip(redacted) {
        let Arg::Text(pieces) = arg else { continue };
        if let [Piece::Literal(whole)] = pieces.as_mut_slice() {
            *whole = text;
            continue;
        }
        for piece in pieces {
            if let Piece::Literal(part) = piece {
                *part = secrets.redact(part).into_owned();
            }
        }
    }
    args
}

/// Returns the arguments of one trial.
fn render(args: &[Arg], fill: &Fill<'_>) -> Vec<String> {
    let mut made: Vec<String> = Vec::with_capacity(args.len() + fill.params.len());
    let mut after_option = false;
    for (index, arg) in args.iter().enumerate() {
        let before = made.len();
        arg.render(fill, &mut made);
        // The value is of an inactive parameter, so the option before it would lack its
        // argument.
        if made.len() == before && arg.is_value() && after_option {
            made.pop();
        }
        // The program itself (index 0) is never an option, even if its name begins with a dash.
        after_option = index > 0 && arg.is_option();
    }
    made
}

impl Arg {
    /// Returns the text of an argument without placeholders.
    fn literal(&self) -> Option<&str> {
        match self {
            Self::Text(pieces) => match pieces.as_slice() {
                [Piece::Literal(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    fn has_placeholder(&self) -> bool {
        match self {
            Self::Text(pieces) => pieces
                .iter()
                .any(|piece| !matches!(piece, Piece::Literal(_) | Piece::Env(_))),
            Self::Flag { .. } | Self::Elements { .. } | Self::Each { .. } => true,
        }
    }

    fn names(&self, name: &str) -> bool {
        match self {
            Self::Text(pieces) => pieces.iter().any(|piece| {
                matches!(piece, Piece::Param(other) | Piece::Element(other, _) if &**other == name)
            }),
            Self::Flag { name: other, .. } | Self::Elements { name: other, .. } => &**other == name,
            Self::Each { .. } => false,
        }
    }

    /// Returns whether this argument is the value of a parameter and nothing else.
    fn is_value(&self) -> bool {
        match self {
            Self::Text(pieces) => {
                matches!(pieces.as_slice(), [Piece::Param(_) | Piece::Element(_, _)])
            }
            Self::Elements { .. } => true,
            _ => false,
        }
    }

    /// Returns whether this argument is an option that takes the next argument as its value.
    fn is_option(&self) -> bool {
        self.literal().is_some_and(|text| {
            text.starts_with('-') && !text.contains('=') && !text.trim_matches('-').is_empty()
        })
    }

    fn render(&self, fill: &Fill<'_>, made: &mut Vec<String>) {
        match self {
            // On its own the placeholder makes one argument for each data set.
            Self::Text(pieces) if *pieces == [Piece::DataDir] => {
                made.extend_from_slice(fill.data_dir);
            }
            Self::Text(pieces) => made.extend(text_of(pieces, fill)),
            Self::Flag { name, on, off } => match fill.params.get(name) {
                None => {}
                Some(Value::Bool(false)) => made.extend(off.clone()),
                Some(Value::Bool(true)) => made.push(on.clone()),
                Some(value) => made.push(format!("{on}={value}")),
            },
            Self::Elements { name, repeat } => {
                let Some(value) = fill.params.get(name) else {
                    return;
                };
                // The option before is made anew for each element.
                let option = if *repeat { made.pop() } else { None };
                for element in elements(value) {
                    made.extend(option.clone());
                    made.push(argument_of(element));
                }
            }
            Self::Each { style, only } => {
                let params = fill.params.iter();
                let params =
                    params.filter(|(name, _)| only.as_ref().is_none_or(|only| only.contains(name)));
                for (name, value) in params {
                    style.render(name, value, made);
                }
            }
        }
    }
}

impl Style {
    /// Adds the arguments of one parameter.
    fn render(self, name: &str, value: &Value, made: &mut Vec<String>) {
        match (self, value) {
            (Self::Hydra, value) => made.push(format!("{name}={}", hydra(value))),
            (Self::Argparse | Self::Click, Value::Bool(true)) => made.push(format!("--{name}")),
            (Self::Argparse, Value::Bool(false)) => {}
            (Self::Click, Value::Bool(false)) => made.push(format!("--no-{name}")),
            (Self::Argparse, Value::List(items)) => {
                made.push(format!("--{name}"));
                made.extend(items.iter().map(argument_of));
            }
            (Self::Click, Value::List(items)) => {
                made.extend(items.iter().map(|item| format!("--{name}={item}")));
            }
            (_, value) => made.push(format!("--{name}={value}")),
        }
    }
}

/// Returns the elements of a list; any other value is its own only element.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        other => std::slice::from_ref(other),
    }
}

/// Writes a value as an argument of its own. Only at the start of an argument can a minus sign be
/// taken for an option.
fn argument_of(value: &Value) -> String {
    match value {
        Value::Float(number) if *number < 0.0 => without_exponent(*number),
        value => value.to_string(),
    }
}

/// Returns the argument, or `None` if it names a parameter that is inactive in this configuration.
fn text_of(pieces: &[Piece], fill: &Fill<'_>) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Param(name) => push_value(&mut text, fill.params.get(name)?),
            Piece::Element(name, index) => {
                push_value(&mut text, elements(fill.params.get(name)?).get(*index)?);
            }
            Piece::Params => text.push_str(&fill.params_file.to_string_lossy()),
            Piece::Trial => text.push_str(&fill.trial.0.to_string()),
            Piece::TrialDir => text.push_str(&fill.trial_dir.to_string_lossy()),
            Piece::DataDir => text.push_str(&fill.data_dir.join(":")),
            Piece::Prepared(name) => {
                let mut prepared = fill.prepared.iter();
                let prepared = prepared.find(|prepared| prepared.name == *name)?;
                text.push_str(&prepared.folder.to_string_lossy());
            }
            // Filled in before a trial starts; here it is shown.
            Piece::Env(variable) => text.push_str(&placeholder_of(&variable.name)),
        }
    }
    Some(text)
}

fn push_value(text: &mut String, value: &Value) {
    if text.is_empty() {
        *text = argument_of(value);
    } else {
        text.push_str(&value.to_string());
    }
}

/// Writes a number without exponent: `-0.0000053` for -5.3e-6. It parses back to the same number.
///
/// Python's argparse takes an argument that begins with `-` as a value only if it looks like `-5`
/// or `-0.5`. It takes `-5.3e-6` for an unknown option.
fn without_exponent(number: f64) -> String {
    let text = number.to_string();
    if text.contains('.') {
        text
    } else {
        text + ".0"
    }
}

/// Formats a value in Hydra's override grammar. Texts are quoted where Hydra would read another
/// type.
fn hydra(value: &Value) -> String {
    match value {
        Value::Text(text) if is_plain_in_hydra(text) => text.to_string(),
        Value::Text(text) => hydra_quoted(text),
        Value::List(items) => {
            format!(
                "[{}]",
                items.iter().map(hydra).collect::<Vec<_>>().join(",")
            )
        }
        other => other.to_string(),
    }
}

/// Returns whether Hydra reads an unquoted text as the same text.
fn is_plain_in_hydra(text: &str) -> bool {
    // Hydra allows `_` between the digits of a number.
    let is_number = text.replace('_', "").parse::<f64>().is_ok();
    let is_word = ["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    !text.is_empty() && !is_number && !is_word && text.chars().all(is_plain_char_in_hydra)
}

fn is_plain_char_in_hydra(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./+@%?|".contains(c)
}

/// Puts a text into single quotes in Hydra's grammar.
///
/// A backslash stands for itself, except in a run of backslashes before a single quote. There each
/// backslash is doubled, and the quote gets one more. The end of the text counts as such a quote.
fn hydra_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    let mut backslashes = 0;
    for char in text.chars() {
        if char == '\'' {
            quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if char == '\\' { backslashes + 1 } else { 0 };
        quoted.push(char);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('\'');
    quoted
}

struct Fault {
    span: Span,
    message: String,
    hint: Option<String>,
}

/// Parses an argument. `has_option` tells whether an option such as `--units` is before it.
fn parse_arg(text: &str, params: &[Name], has_option: bool) -> Result<Arg, Fault> {
    // `--{flag}` is a switch only if `flag` is a parameter.
    if let Some(name) = text
        .strip_prefix("--{")
        .and_then(|rest| rest.strip_suffix('}'))
        && let Some(name) = params.iter().find(|param| &***param == name)
    {
        return Ok(Arg::Flag {
            name: name.clone(),
            on: format!("--{name}"),
            off: None,
        });
    }
    // The names for `rest` are filled in once all arguments are known.
    let (style, only) = match text {
        "{args}" => (Style::Options, None),
        "{args:rest}" => (Style::Options, Some(Vec::new())),
        "{args:argparse}" => (Style::Argparse, None),
        "{args:click}" => (Style::Click, None),
        "{hydra}" => (Style::Hydra, None),
        "{hydra:rest}" => (Style::Hydra, Some(Vec::new())),
        _ => match form_of_param(text, params) {
            Some((name, form)) => return arg_in_form(text, name, form, has_option),
            None => return parse_pieces(text, params).map(Arg::Text),
        },
    };
    Ok(Arg::Each { style, only })
}

/// Splits `{name:form}` into the parameter and the form; `None` if `name` is no parameter, or if
/// the text is a parameter as a whole.
fn form_of_param<'a>(text: &'a str, params: &'a [Name]) -> Option<(&'a Name, &'a str)> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if params.iter().any(|param| &**param == inner) {
        return None;
    }
    params.iter().find_map(|param| {
        let form = inner.strip_prefix(&**param)?.strip_prefix(':')?;
        Some((param, form))
    })
}

fn arg_in_form(text: &str, name: &Name, form: &str, has_option: bool) -> Result<Arg, Fault> {
    let name = name.clone();
    let words = form.strip_prefix("flag=").and_then(|on| on.split_once('/'));
    match (form, words) {
        ("flag", _) => Ok(Arg::Flag {
            on: format!("--{name}"),
            off: Some(format!("--no-{name}")),
            name,
        }),
        (_, Some((on, off))) => Ok(Arg::Flag {
            name,
            on: on.to_owned(),
            off: Some(off.to_owned()).filter(|off| !off.is_empty()),
        }),
        ("each", _) => Ok(Arg::Elements {
            name,
            repeat: false,
        }),
        ("repeat", _) if has_option => Ok(Arg::Elements { name, repeat: true }),
        ("repeat", _) => Err(Fault {
            span: 0..text.len(),
            message: format!("`{text}` has no option before it to repeat"),
            hint: Some(format!("write \"--{name}\", \"{{{name}:repeat}}\"")),
        }),
        _ => Err(Fault {
            span: 0..text.len(),
            message: format!("`{name}` has no form `{form}`"),
            hint: Some(format!(
                "there are `{{{name}}}`, `{{{name}:flag}}`, `{{{name}:flag=--on/--off}}`, \
                 `{{{name}:each}}`, `{{{name}:repeat}}` and `{{{name}[0]}}`"
            )),
        }),
    }
}

fn parse_pieces(text: &str, params: &[Name]) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut start = 0;
    while let Some(distance) = text[start..].find(['{', '}']) {
        let brace = start + distance;
        literal.push_str(&text[start..brace]);
        let rest = &text[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            start = brace + 2;
            continue;
        }
        if rest.starts_with('}') {
            let message = "`}` closes nothing".to_owned();
            return Err(Fault {
                span: brace..brace + 1,
                message,
                hint: Some(BRACES.to_owned()),
            });
        }
        let Some(end) = rest.find('}') else {
            let message = "`{` is never closed".to_owned();
            return Err(Fault {
                span: brace..brace + 1,
                message,
                hint: Some(BRACES.to_owned()),
            });
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let span = brace..brace + end + 1;
        pieces.push(placeholder(
            &rest[1..end],
            span.clone(),
            span.len() == text.len(),
            params,
        )?);
        start = span.end;
    }
    literal.push_str(&text[start..]);
    // An empty argument is kept.
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

const BRACES: &str = "write `{{` and `}}` for braces that are meant as such";

fn placeholder(name: &str, span: Span, is_alone: bool, params: &[Name]) -> Result<Piece, Fault> {
    match name {
        "params" => return Ok(Piece::Params),
        "trial" => return Ok(Piece::Trial),
        "trial_dir" => return Ok(Piece::TrialDir),
        "data_dir" => return Ok(Piece::DataDir),
        _ => {}
    }
    if let Some(variable) = Variable::parse(name) {
        return Ok(Piece::Env(variable));
    }
    if let Some(param) = params.iter().find(|param| &***param == name) {
        return Ok(Piece::Param(param.clone()));
    }
    // Whether there is such a preparation is checked once all of them are read.
    if let Some(name) = name
        .strip_prefix("prepare.")
        .filter(|name| !name.is_empty())
    {
        return Ok(Piece::Prepared(name.into()));
    }
    if let Some((list, index)) = element_of(name, params) {
        return Ok(Piece::Element(list.clone(), index));
    }
    if let Some((param, form)) = name.rsplit_once(':')
        && params.iter().any(|name| &**name == param)
    {
        return Err(Fault {
            span,
            message: format!("`{{{param}:{form}}}` must be an argument of its own"),
            hint: None,
        });
    }
    if BUILT_IN.contains(&name) && !is_alone {
        let message =
            format!("`{{{name}}}` makes several arguments and must be an argument of its own");
        return Err(Fault {
            span,
            message,
            hint: None,
        });
    }
    let names = params
        .iter()
        .map(|name| &**name)
        .chain(BUILT_IN.iter().copied());
    let is_word = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.:".contains(c));
    let hint = match nearest(name, names) {
        Some(near) if is_word => format!("did you mean `{{{near}}}`?"),
        _ if is_word => format!(
            "it is neither a parameter of `[space]` nor one of {}",
            listed(BUILT_IN)
        ),
        _ => BRACES.to_owned(),
    };
    Err(Fault {
        span,
        message: format!("unknown placeholder `{{{name}}}`"),
        hint: Some(hint),
    })
}

/// Splits `name[3]` into the parameter and the index.
fn element_of<'a>(text: &str, params: &'a [Name]) -> Option<(&'a Name, usize)> {
    let (name, index) = text.strip_suffix(']')?.rsplit_once('[')?;
    let name = params.iter().find(|param| &***param == name)?;
    Some((name, index.parse().ok()?))
}

fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{{{name}}}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns whether a parameter of this name is hidden by a built-in placeholder, so that `{name}`
/// does not refer to it.
pub(super) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

#[cfg(test)]
mod tests;
