//! One argument of a command: how it is made, and what it makes.

use super::Fill;
use super::piece::{Piece, redact, text_of};
use super::style::{Style, argument_of, elements};
use swath_engine::executor::Text;
use swath_model::source::secret::Secrets;
use swath_model::space::{Name, Value};

/// One argument of the template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arg {
    /// Text and placeholders that together make one argument.
    Text(Vec<Piece>),
    /// `--{name}` or `{name:flag}`: a switch. `off` stands for false; without it, false is left
    /// out.
    Flag {
        value: Piece,
        on: String,
        off: Option<String>,
    },
    /// `{name:each}` or `{name:repeat}`: an argument for each element of a list; with `repeat`,
    /// each after the option before.
    Elements { name: Name, repeat: bool },
    /// `{args}` or a similar placeholder, which makes one argument for each parameter.
    Each {
        style: Style,
        only: Option<Vec<Name>>,
    },
}

impl Arg {
    /// Returns the text of an argument without placeholders.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Text(pieces) => match pieces.as_slice() {
                [Piece::Literal(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether the argument has a placeholder other than a variable of the caller.
    pub(super) fn has_placeholder(&self) -> bool {
        match self {
            Self::Text(pieces) => pieces
                .iter()
                .any(|piece| !matches!(piece, Piece::Literal(_) | Piece::Env(_))),
            Self::Flag { .. } | Self::Elements { .. } | Self::Each { .. } => true,
        }
    }

    /// Returns the pieces that together make the argument.
    pub(super) fn pieces(&self) -> &[Piece] {
        match self {
            Self::Text(pieces) => pieces,
            Self::Flag { value, .. } => std::slice::from_ref(value),
            Self::Elements { .. } | Self::Each { .. } => &[],
        }
    }

    /// Returns whether the argument names this parameter.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::Elements { name: other, .. } => &**other == name,
            arg => arg.pieces().iter().any(|piece| piece.is_param(name)),
        }
    }

    /// Returns whether the argument passes parameters, itself or in the file that it names.
    pub(super) fn passes_parameters(&self) -> bool {
        match self {
            Self::Elements { .. } | Self::Each { .. } => true,
            arg => arg.pieces().iter().any(|piece| match piece {
                Piece::Param(_) | Piece::Element(..) | Piece::Config(_) => true,
                piece => piece.is_built_in("params"),
            }),
        }
    }

    /// Returns whether this argument is a value and nothing else.
    pub(super) fn is_value(&self) -> bool {
        match self {
            Self::Text(pieces) => {
                matches!(
                    pieces.as_slice(),
                    [
                        Piece::Param(_)
                            | Piece::Element(_, _)
                            | Piece::BuiltIn(_)
                            | Piece::Config(_)
                    ]
                )
            }
            Self::Elements { .. } => true,
            _ => false,
        }
    }

    /// Returns whether this argument is an option that takes the next argument as its value.
    pub(super) fn is_option(&self) -> bool {
        self.literal().is_some_and(|text| {
            text.starts_with('-') && !text.contains('=') && !text.trim_matches('-').is_empty()
        })
    }

    fn render(&self, fill: &Fill<'_>, made: &mut Vec<Text>) {
        match self {
            // On its own the placeholder makes one argument for each data set.
            Self::Text(pieces) if pieces.len() == 1 && pieces[0].is_built_in("data_dir") => {
                made.extend(fill.facts.data_dir.iter().cloned().map(Text::from));
            }
            Self::Text(pieces) => made.extend(text_of(pieces, fill)),
            Self::Flag { value, on, off } => match value.flag(fill) {
                None => {}
                Some(Value::Bool(false)) => made.extend(off.clone().map(Text::from)),
                Some(Value::Bool(true)) => made.push(on.clone().into()),
                Some(value) => made.push(format!("{on}={value}").into()),
            },
            Self::Elements { name, repeat } => {
                let Some(value) = fill.param(name) else {
                    return;
                };
                // The option before is made anew for each element.
                let option = if *repeat { made.pop() } else { None };
                for element in elements(value) {
                    made.extend(option.clone());
                    made.push(argument_of(element).into());
                }
            }
            Self::Each { style, only } => {
                let mut arguments = Vec::new();
                let params = fill.facts.launch.params.iter();
                let params =
                    params.filter(|(name, _)| only.as_ref().is_none_or(|only| only.contains(name)));
                for (name, value) in params {
                    match style {
                        Style::Hydra => style.render(&fill.hydra_key(name), value, &mut arguments),
                        _ => style.render(name, value, &mut arguments),
                    }
                }
                made.extend(arguments.into_iter().map(Text::from));
            }
        }
    }
}

/// Returns the arguments of one trial.
pub(super) fn render(args: &[Arg], fill: &Fill<'_>) -> Vec<Text> {
    let mut made: Vec<Text> = Vec::with_capacity(args.len() + fill.facts.launch.params.len());
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

/// Replaces secrets in the fixed texts of a command. Parameters are no secrets.
pub(super) fn redacted(args: &[Arg], secrets: &Secrets) -> Vec<Arg> {
    let texts: Vec<String> = args
        .iter()
        .map(|arg| arg.literal().unwrap_or_default().to_owned())
        .collect();
    let redacted = secrets.redact_args(&texts);
    let mut args = args.to_vec();
    for (arg, text) in args.iter_mut().zip(redacted) {
        let Arg::Text(pieces) = arg else { continue };
        match pieces.as_mut_slice() {
            [Piece::Literal(whole)] => *whole = text,
            pieces => redact(pieces, secrets),
        }
    }
    args
}
