//! A text with placeholders that together make one text: literals, parameters, built-ins.

use super::style::{argument_of, elements};
use super::{Fill, Names};
use swath_engine::executor::{BuiltIn, RESUME, Scope, Text};
use swath_model::source::secret::{Secrets, placeholder};
use swath_model::source::variables::{Unset, Variable};
use swath_model::space::{Name, Value};

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Fixed text.
    Literal(String),
    /// Value of a parameter.
    Param(Name),
    /// Element of a list, from 0.
    Element(Name, usize),
    /// A fact about the attempt.
    BuiltIn(&'static BuiltIn),
    /// Path of the trial's copy of a configuration file, by its key.
    Config(String),
    /// Variable of the caller.
    Env(Variable),
}

impl Piece {
    /// Returns the piece that a placeholder stands for, given the text between its braces; `None`
    /// if there is no such placeholder. A parameter comes before a built-in of the same name.
    pub(super) fn named(inside: &str, names: &Names) -> Option<Self> {
        if let Some(param) = names.param(inside) {
            return Some(Self::Param(param.clone()));
        }
        if let Some((list, index)) = element_of(inside, names) {
            return Some(Self::Element(list.clone(), index));
        }
        let inside = inside.strip_prefix(NAMESPACE).unwrap_or(inside);
        if let Some(variable) = Variable::parse(inside) {
            return Some(Self::Env(variable));
        }
        if let Some(built_in) = BuiltIn::named(inside) {
            return Some(Self::BuiltIn(built_in));
        }
        let config = inside.strip_prefix("config")?;
        let key = match config.strip_prefix('.') {
            Some(key) => key,
            None if config.is_empty() => "",
            None => return None,
        };
        let is_known = names.configs.iter().any(|known| known == key);
        is_known.then(|| Self::Config(key.to_owned()))
    }

    /// Returns whether the value differs between trials, or between their attempts.
    pub(super) fn is_of_trial(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Env(_) => false,
            Self::BuiltIn(built_in) => built_in.scope != Scope::Study,
            Self::Param(_) | Self::Element(..) | Self::Config(_) => true,
        }
    }

    /// Returns whether the piece is the value of this parameter.
    pub(super) fn is_param(&self, name: &str) -> bool {
        matches!(self, Self::Param(other) | Self::Element(other, _) if &**other == name)
    }

    /// Returns whether the piece is this built-in.
    pub(super) fn is_built_in(&self, name: &str) -> bool {
        matches!(self, Self::BuiltIn(built_in) if built_in.name == name)
    }

    /// Returns whether the value is true; `None` if it is absent or no switch.
    pub(super) fn flag(&self, fill: &Fill<'_>) -> Option<Value> {
        match self {
            Self::Param(name) => fill.param(name).cloned(),
            Self::BuiltIn(built_in) if built_in.name == RESUME => {
                Some(Value::Bool(fill.facts.launch.resume))
            }
            _ => None,
        }
    }

    /// Appends the value to a text. Returns `None` if the attempt has no such value.
    fn push(&self, text: &mut Text, fill: &Fill<'_>) -> Option<()> {
        match self {
            Self::Literal(literal) => text.push(literal),
            Self::Param(name) => push_value(text, fill.param(name)?),
            Self::Element(name, index) => {
                push_value(text, elements(fill.param(name)?).get(*index)?);
            }
            Self::BuiltIn(built_in) if built_in.scope == Scope::Slot => text.push_open(built_in),
            Self::BuiltIn(built_in) => {
                text.push(&built_in.value(&fill.facts)?.to_string_lossy());
            }
            Self::Config(key) => text.push(&fill.config(key)?.to_string_lossy()),
            // Filled in before a trial starts; here it is shown.
            Self::Env(variable) => text.push(&placeholder(&variable.name)),
        }
        Some(())
    }
}

/// Prefix that names a built-in even if a parameter has its name.
pub(super) const NAMESPACE: &str = "swath.";

/// Returns the text of some pieces; `None` if one of them has no value, such as a parameter that is
/// inactive in this configuration.
pub(super) fn text_of(pieces: &[Piece], fill: &Fill<'_>) -> Option<Text> {
    let mut text = Text::default();
    for piece in pieces {
        piece.push(&mut text, fill)?;
    }
    Some(text)
}

/// Replaces the variables of the caller by their values.
///
/// # Errors
/// If a variable is not set and has no default.
pub(super) fn fill_variables(
    pieces: &mut [Piece],
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Unset> {
    for piece in pieces {
        if let Piece::Env(variable) = piece {
            *piece = Piece::Literal(variable.value(lookup)?);
        }
    }
    Ok(())
}

/// Replaces secrets in the fixed parts.
pub(super) fn redact(pieces: &mut [Piece], secrets: &Secrets) {
    for piece in pieces {
        if let Piece::Literal(part) = piece {
            *part = secrets.redact(part).into_owned();
        }
    }
}

fn push_value(text: &mut Text, value: &Value) {
    if text.is_empty() {
        text.push(&argument_of(value));
    } else {
        text.push(&value.to_string());
    }
}

/// Splits `name[3]` into the parameter and the index.
fn element_of<'a>(text: &str, names: &'a Names) -> Option<(&'a Name, usize)> {
    let (name, index) = text.strip_suffix(']')?.rsplit_once('[')?;
    Some((names.param(name)?, index.parse().ok()?))
}
