//! Options as data: each key of a table in the sweep file is declared once.
//!
//! The parser accepts the declared keys and no others. The documentation, the JSON schema and
//! `swath kinds` are printed from the same declarations.

use super::units::{Bytes, HumanDuration};
use std::fmt;
use std::time::Duration;

/// Declaration of one key of a table in the sweep file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opt {
    /// Name of the key in the sweep file.
    pub name: &'static str,
    /// Values that the key takes.
    pub takes: Takes,
    /// Value used when the sweep file does not set the key.
    pub default: Preset,
    /// Effect of the option in half a line, as printed in the documentation.
    pub about: &'static str,
}

/// The type and range of an option's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// Any value.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number of at least this, not negative.
    Count(u64),
    /// A whole number of at least this, which may be negative.
    Integer(i64),
    /// A number.
    Number,
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A duration such as `1h30m`; plain numbers are seconds.
    Duration,
    /// A size such as `8 GiB`; plain numbers are bytes.
    Size,
    /// A regular expression.
    Pattern,
    /// A string of a given form: its appearance in the documentation, and its regular expression.
    Form(&'static str, &'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list whose items all have this type.
    List(&'static Self),
    /// A table whose keys are chosen by the user and whose values have this type.
    Table(&'static Self),
    /// A table with these options.
    Options(&'static [Opt]),
    /// A value of any of these types.
    Either(&'static [Self]),
    /// The name of a kind of this component: `sampler`, `scheduler`, `executor` or `tracker`.
    KindOf(&'static str),
}

/// Value of an option when the sweep file does not set it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// No default: the option must be set.
    Required,
    /// No default: the option has no effect unless it is set.
    Absent,
    /// The default of a switch.
    Flag(bool),
    /// The default of a whole number.
    Count(u64),
    /// The default of a number.
    Number(f64),
    /// The default of a string.
    Text(&'static str),
    /// The default of a list of strings.
    Texts(&'static [&'static str]),
    /// The default of a duration.
    Duration(Duration),
    /// The default of a size, in bytes.
    Size(u64),
    /// The default depends on other options or on the machine. The text describes it.
    Derived(&'static str),
}

impl Opt {
    /// Declares an option. `about` describes its effect in half a line.
    #[must_use]
    pub const fn new(
        name: &'static str,
        takes: Takes,
        default: Preset,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            takes,
            default,
            about,
        }
    }
}

/// Concatenates two lists of options at compile time. `N` is the sum of their lengths.
#[must_use]
pub const fn joined<const N: usize>(first: &[Opt], second: &[Opt]) -> [Opt; N] {
    assert!(first.len() + second.len() == N);
    let mut options = [Opt::new("", Takes::Text, Preset::Absent, ""); N];
    let mut index = 0;
    while index < N {
        options[index] = if index < first.len() {
            first[index]
        } else {
            second[index - first.len()]
        };
        index += 1;
    }
    options
}

impl fmt::Display for Takes {
    /// Writes the accepted values as Markdown: `whole number ≥ 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any value"),
            Self::Text => f.write_str("string"),
            Self::Switch => f.write_str("`true`, `false`"),
            Self::Count(least) => write!(f, "whole number ≥ {least}"),
            Self::Integer(least) => write!(f, "whole number ≥ {least}"),
            Self::Number => f.write_str("number"),
            Self::Between(least, most) => write!(f, "number from {least} to {most}"),
            Self::Duration => f.write_str("duration"),
            Self::Size => f.write_str("size"),
            Self::Pattern => f.write_str("regular expression"),
            Self::Form(shown, _) => write!(f, "`{shown}`"),
            Self::OneOf(words) => f.write_str(&quoted(words)),
            Self::List(item) => write!(f, "list of {}", item.plural()),
            Self::Table(value) => write!(f, "table of {}", value.plural()),
            Self::Options(options) => {
                let entries: Vec<_> = options
                    .iter()
                    .map(|option| format!("`{}` ({})", option.name, option.takes))
                    .collect();
                write!(f, "table of {}", entries.join(" and "))
            }
            Self::Either(alternatives) => {
                let texts: Vec<_> = alternatives.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(", or "))
            }
            Self::KindOf(part) => write!(f, "{part} name"),
        }
    }
}

impl Takes {
    /// Returns the description in the plural, for items of lists and tables: `strings`.
    fn plural(&self) -> String {
        match self {
            Self::Any => "any values".to_owned(),
            Self::Text => "strings".to_owned(),
            Self::Switch => "booleans".to_owned(),
            Self::Count(least) => format!("whole numbers ≥ {least}"),
            Self::Number => "numbers".to_owned(),
            Self::Duration => "durations".to_owned(),
            Self::Size => "sizes".to_owned(),
            Self::List(item) => format!("lists of {}", item.plural()),
            Self::Either(alternatives) => alternatives
                .iter()
                .map(Self::plural)
                .collect::<Vec<_>>()
                .join(" or "),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Preset {
    /// Writes the default as Markdown. Writes nothing for [`Preset::Absent`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Absent => Ok(()),
            Self::Flag(flag) => write!(f, "`{flag}`"),
            Self::Count(count) => write!(f, "`{count}`"),
            Self::Number(number) => write!(f, "`{number}`"),
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Texts([]) => f.write_str("`[]`"),
            Self::Texts(texts) => f.write_str(&quoted(texts)),
            Self::Duration(duration) => write!(f, "`{}`", HumanDuration(*duration)),
            Self::Size(bytes) => write!(f, "`{}`", Bytes(*bytes)),
            Self::Derived(description) => f.write_str(description),
        }
    }
}

/// Joins words in backticks with commas.
fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Opt = Opt::new("first", Takes::Count(1), Preset::Count(3), "one");
    const SECOND: Opt = Opt::new("second", Takes::Text, Preset::Required, "two");
    const BOTH: [Opt; 2] = joined(&[FIRST], &[SECOND]);

    #[test]
    fn joined_options_keep_their_order() {
        assert_eq!(BOTH, [FIRST, SECOND]);
    }

    #[test]
    fn an_option_prints_its_values_and_its_default_as_a_sweep_file_writes_them() {
        assert_eq!(Takes::Count(2).to_string(), "whole number ≥ 2");
        assert_eq!(
            Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]).to_string(),
            "string, or list of strings"
        );
        assert_eq!(
            Takes::List(&Takes::OneOf(&["a", "b"])).to_string(),
            "list of `a`, `b`"
        );
        assert_eq!(
            Preset::Duration(Duration::from_secs(600)).to_string(),
            "`10m`"
        );
        assert_eq!(Preset::Size(64 << 20).to_string(), "`64 MiB`");
        assert_eq!(Preset::Absent.to_string(), "");
    }
}
