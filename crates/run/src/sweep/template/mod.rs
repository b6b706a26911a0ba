//! The template language of the sweep file: placeholders that become the values of a trial. No
//! shell is involved.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{lr}` | the value of the parameter `lr`; a negative number that begins an argument without exponent |
//! | `{units[0]}` | the first element of a list |
//! | `{seed}`, `{swath.seed}` | a fact about the attempt, of those in `BUILT_INS`; the longer form even if a parameter has the name |
//! | `{config}`, `{config.main}` | the trial's copy of a configuration file |
//! | `{prepare.NAME}` | the output folder of the `[[prepare]]` of that name |
//! | `{env:NAME}`, `{env:NAME:-default}` | the caller's variable `NAME`, which the records do not show |
//! | `{{`, `}}` | a brace |
//!
//! Arguments of the command have further forms:
//!
//! | argument | becomes |
//! |---|---|
//! | `--{amp}` | for a switch: `--amp` if true, nothing if false |
//! | `{amp:flag}` | `--amp` if true, `--no-amp` if false; `{amp:flag=--amp/--fp32}` names the two |
//! | `{units:each}` | each element of a list, one argument each |
//! | `{units:repeat}` | the same, each after the option before it: `--units 64 --units 32` |
//! | `{args}` | `--name=value` for every parameter, one argument each |
//! | `{args:argparse}` | `--name=value`; lists as `--name 1 2`, booleans as `--name` or nothing |
//! | `{args:click}` | `--name=value`; lists as repeated options, booleans as `--name` or `--no-name` |
//! | `{args:rest}` | the same for the parameters that the command does not name elsewhere |
//! | `{hydra}`, `{hydra:rest}` | `name=value`, quoted as Hydra's override grammar asks |
//!
//! A command without any placeholder but `{env:…}` gets `{args}` appended. An argument that names
//! an inactive parameter is left out, together with an option before it (`--momentum` in
//! `["--momentum", "{momentum}"]`).
//!
//! `parse` reads the arguments of a command, in which a stray brace is an error. `free_text` reads
//! all other texts. `piece` is a part of a text, `arg` an argument, `style` a way to pass all
//! parameters at once.

mod arg;
mod free_text;
mod hydra;
mod parse;
mod piece;
mod placeholders;
mod style;

pub use free_text::FreeText;
pub(super) use free_text::UnknownPlaceholder;
pub(super) use parse::suggestion;
pub(super) use placeholders::table;

use arg::{Arg, redacted, render};
use piece::{Piece, fill_variables};
use std::path::{Path, PathBuf};
use style::Style;
use swath_engine::executor::{Facts, Text};
use swath_model::source::Span;
use swath_model::source::secret::Secrets;
use swath_model::source::variables::Unset;
use swath_model::space::{Name, Space, Value};

/// A checked command. Its first argument is the program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    args: Vec<Arg>,
    /// The arguments as they are recorded, once the variables are filled in.
    recorded: Option<Vec<Arg>>,
}

/// Names that placeholders can refer to, besides the built-ins.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Names of the parameters.
    pub params: Vec<Name>,
    /// Keys of the configuration files; a single file has the empty key.
    pub configs: Vec<String>,
    /// Names of the preparations.
    pub prepared: Vec<Name>,
}

/// Values that fill the placeholders for one attempt.
#[derive(Clone, Copy)]
pub struct Fill<'a> {
    /// Facts about the attempt, with its parameters.
    pub facts: Facts<'a>,
    /// The search space.
    pub space: &'a Space,
    /// Paths of the trial's configuration files, by their keys.
    pub configs: &'a [(String, PathBuf)],
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

impl Names {
    /// Returns the parameter with this name.
    fn param(&self, name: &str) -> Option<&Name> {
        self.params.iter().find(|param| &***param == name)
    }
}

impl Fill<'_> {
    /// Returns the value of a parameter; `None` if it is inactive in this configuration.
    fn param(&self, name: &str) -> Option<&Value> {
        self.facts.launch.params.get(name)
    }

    /// Returns the path of the trial's copy of a configuration file.
    fn config(&self, key: &str) -> Option<&Path> {
        let found = self.configs.iter().find(|(other, _)| other == key);
        found.map(|(_, path)| path.as_path())
    }

    /// Returns the name of a parameter for Hydra: below the name of the choice whose branch it is
    /// in.
    fn hydra_key(&self, name: &str) -> String {
        self.space.path_in_branches(name, &self.facts.launch.params)
    }
}

impl Template {
    /// Parses the arguments of a command.
    ///
    /// # Errors
    /// All mistakes in the arguments.
    pub fn parse(args: &[String], names: &Names) -> Result<Self, Vec<TemplateError>> {
        let mut read = parse::parse_args(args, names)?;
        if !read.iter().any(Arg::has_placeholder) {
            read.push(Arg::Each {
                style: Style::Options,
                only: None,
            });
        }
        // `{args:rest}` can only be resolved when all other placeholders are known.
        let rest: Vec<Name> = names
            .params
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
    pub fn parse_preparation(args: &[String], names: &Names) -> Result<Self, Vec<TemplateError>> {
        let mut template = Self::parse(args, names)?;
        template.args.truncate(args.len());
        Ok(template)
    }

    /// Returns the names of the preparations whose outputs the command names, each once.
    #[must_use]
    pub fn prepared(&self) -> Vec<Name> {
        let mut names = Vec::new();
        for piece in self.pieces() {
            if let Piece::Prepared(name) = piece
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
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

    /// Removes parameters from those that `{args:rest}` and `{hydra:rest}` pass.
    pub(super) fn drop_from_rest(&mut self, is_dropped: impl Fn(&str) -> bool) {
        for arg in self
            .args
            .iter_mut()
            .chain(self.recorded.iter_mut().flatten())
        {
            if let Arg::Each {
                only: Some(only), ..
            } = arg
            {
                only.retain(|name| !is_dropped(name));
            }
        }
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
        for args in std::iter::once(&mut self.args).chain(&mut self.recorded) {
            if let Some(first) = args.first_mut() {
                *first = Arg::Text(vec![Piece::Literal(program.to_owned())]);
            }
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
            arg if arg.pieces().iter().any(|piece| piece.is_built_in("params")) => true,
            arg => arg.names(name),
        })
    }

    /// Returns whether the command names the parameter itself.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.names(name))
    }

    /// Returns the options by which a switch is passed, except for those that pass true and false
    /// by two options. The second value tells whether the option has a value, as in `--amp=true`.
    pub(super) fn one_sided_options(&self, name: &str) -> Vec<(String, bool)> {
        let mut options = Vec::new();
        for (index, arg) in self.args.iter().enumerate() {
            match arg {
                Arg::Text(pieces) => match pieces.as_slice() {
                    [Piece::Literal(option), piece] if piece.is_param(name) => {
                        options.extend(option.strip_suffix('=').map(|it| (it.to_owned(), true)));
                    }
                    [piece] if piece.is_param(name) => {
                        let before = index.checked_sub(1).map(|before| &self.args[before]);
                        let option = before.filter(|arg| arg.is_option());
                        let option = option.and_then(Arg::literal);
                        options.extend(option.map(|it| (it.to_owned(), true)));
                    }
                    _ => {}
                },
                Arg::Flag {
                    value,
                    on,
                    off: None,
                } if value.is_param(name) => options.push((on.clone(), false)),
                Arg::Each {
                    style: style @ (Style::Options | Style::Argparse),
                    only,
                } if only
                    .as_ref()
                    .is_none_or(|only| only.iter().any(|other| &**other == name)) =>
                {
                    options.push((format!("--{name}"), *style == Style::Options));
                }
                _ => {}
            }
        }
        options
    }

    /// Returns whether the command uses this built-in.
    #[must_use]
    pub fn uses(&self, built_in: &str) -> bool {
        self.pieces().any(|piece| piece.is_built_in(built_in))
    }

    /// Returns whether the command uses the configuration file with this key.
    #[must_use]
    pub fn uses_config(&self, key: &str) -> bool {
        self.pieces()
            .any(|piece| matches!(piece, Piece::Config(other) if other == key))
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.args.iter().flat_map(Arg::pieces)
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
            if let Arg::Text(pieces) = arg {
                fill_variables(pieces, &lookup)?;
            }
        }
        self.recorded = Some(redacted(&self.args, secrets));
        self.args = filled;
        Ok(())
    }

    /// Returns the arguments of one trial, the program first.
    #[must_use]
    pub fn render(&self, fill: &Fill<'_>) -> Vec<Text> {
        render(&self.args, fill)
    }

    /// Returns the arguments by which one trial gets its parameters, without secrets: each value
    /// with the option before it.
    #[must_use]
    pub fn render_parameters(&self, fill: &Fill<'_>) -> Vec<Text> {
        let args = self.recorded.as_ref().unwrap_or(&self.args);
        let Some((program, rest)) = args.split_first() else {
            return Vec::new();
        };
        let mut kept = vec![program.clone()];
        for (index, arg) in rest.iter().enumerate() {
            if arg.passes_parameters() {
                let before = index.checked_sub(1).map(|before| &rest[before]);
                let option = before.filter(|before| arg.is_value() && before.is_option());
                kept.extend(option.cloned());
                kept.push(arg.clone());
            }
        }
        let mut arguments = render(&kept, fill);
        arguments.drain(..1.min(arguments.len()));
        arguments
    }

    /// Returns the arguments of one trial as they are recorded: without secrets.
    #[must_use]
    pub fn render_recorded(&self, fill: &Fill<'_>) -> Vec<Text> {
        render(self.recorded.as_ref().unwrap_or(&self.args), fill)
    }
}

#[cfg(test)]
mod tests;
