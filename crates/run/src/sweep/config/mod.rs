//! `[run] config`: configuration files of the user. Each trial gets copies of them with the values
//! of its parameters.
//!
//! `document` is one parsed file. YAML and JSON become a `tree` of values with their places in the
//! text, so that a copy differs in nothing but these values; for TOML a library does the same.

mod document;
mod json;
mod toml;
mod tree;
mod value;
mod yaml;

use super::{Rejected, Run, Span, Sweep};
use document::{Change, Document, Target};
use std::path::Path;
use std::sync::Arc;
use swath_log::regular;
use swath_model::source::diagnostic::nearest;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Table};
use swath_model::space::{Name, Params, Value};

/// Largest configuration file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Folder for the copies in the folder of a trial.
pub const FOLDER: &str = "config";

/// A configuration file that the sweep file names.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// Key by which placeholders and parameters name it; empty if there is only one file.
    pub key: String,
    /// Path of the file, relative to the working directory.
    pub path: String,
    /// Span of the path in the sweep file.
    pub span: Span,
}

impl ConfigFile {
    /// Returns the path of a trial's copy, relative to the trial's folder.
    #[must_use]
    pub fn copy(&self) -> String {
        let path = Path::new(&self.path);
        if self.key.is_empty() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return format!("{FOLDER}/{name}");
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        format!("{FOLDER}/{}.{extension}", self.key)
    }
}

/// A value of a configuration file that a parameter can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Dotted path of the value.
    pub path: String,
    /// The value as it is written in the file; `None` for a list.
    pub text: Option<String>,
}

/// Returns the values of a configuration file that parameters can set, in the order of the file.
///
/// # Errors
/// The reason why the file cannot be used.
pub fn settings(path: &Path) -> Result<Vec<Setting>, String> {
    let document = load(path)?;
    let paths = document.paths().into_iter();
    let settable = paths.filter(|path| document.target(path) == Target::Value);
    let settings = settable.map(|path| Setting {
        text: document.text(&path),
        path,
    });
    Ok(settings.collect())
}

/// The files with the parameters that set their values.
#[derive(Debug, Clone, Default)]
pub struct Configs {
    files: Vec<LoadedFile>,
    /// Copies that every trial gets as they are; used to repeat a trial.
    fixed: Option<Vec<(String, String)>>,
}

#[derive(Debug, Clone)]
struct LoadedFile {
    copy: String,
    document: Document,
    /// Parameters that set a value, each with the path of the value.
    settings: Vec<(Name, String)>,
}

impl Configs {
    /// Returns files that every trial gets as they are: paths in the trial's folder, and contents.
    fn fixed(copies: Vec<(String, String)>) -> Self {
        Self {
            files: Vec::new(),
            fixed: Some(copies),
        }
    }

    /// Returns the copies for a configuration: paths in the trial's folder, and contents. A
    /// parameter that is inactive leaves the value of the file.
    #[must_use]
    pub fn copies(&self, params: &Params) -> Vec<(String, String)> {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let copies = self.files.iter().map(|file| {
            let settings = file.settings.iter();
            let changes: Vec<Change<'_>> = settings
                .filter_map(|(name, path)| {
                    Some(Change {
                        path,
                        value: params.get(name)?,
                    })
                })
                .collect();
            // Every path was tried when the file was read. No program takes this text for settings.
            let text = file.document.with(&changes);
            let text = text.unwrap_or_else(|path| format!("[`{path}` could not be set"));
            (file.copy.clone(), text)
        });
        copies.collect()
    }

    /// Returns whether a parameter sets a value in one of the files.
    #[must_use]
    pub fn receives(&self, name: &str) -> bool {
        let mut settings = self.files.iter().flat_map(|file| &file.settings);
        settings.any(|(param, _)| &**param == name)
    }
}

impl Run {
    /// Returns the keys of the configuration files.
    pub(crate) fn config_keys(&self) -> Vec<String> {
        self.configs.iter().map(|file| file.key.clone()).collect()
    }
}

impl Sweep {
    /// Reads the files in `[run] config` and finds the value that each parameter sets. Relative
    /// paths start in `folder`.
    ///
    /// # Errors
    /// If a file cannot be used, or a parameter has no place in any file and reaches the program in
    /// no other way.
    pub fn read_configs(&mut self, folder: &Path) -> Result<(), Rejected> {
        if self.run.configs.is_empty() {
            return Ok(());
        }
        let mut diagnostics = Diagnostics::default();
        let mut files = Vec::new();
        for file in &self.run.configs {
            match load(&folder.join(&file.path)) {
                Ok(document) => files.push(LoadedFile {
                    copy: file.copy(),
                    document,
                    settings: Vec::new(),
                }),
                Err(why) => {
                    let message = format!("the configuration file `{}` cannot be used", file.path);
                    diagnostics
                        .push(Diagnostic::error("bad-config", message).at(file.span.clone(), why));
                }
            }
        }
        if files.len() == self.run.configs.len() {
            for name in self.space.names() {
                if let Err(error) = self.place(&name, &mut files) {
                    diagnostics.push(error);
                }
            }
            self.refuse_overlaps(&files, &mut diagnostics);
            self.refuse_impossible(&files, &mut diagnostics);
        }
        if diagnostics.has_errors() {
            return Err(Rejected {
                source: self.source.clone(),
                diagnostics,
            });
        }
        let configs = Configs { files, fixed: None };
        // A value that the program reads from a file is not given as an option, too.
        self.run
            .command
            .drop_from_rest(|name| configs.receives(name));
        self.configs = Some(Arc::new(configs));
        Ok(())
    }

    /// Gives every trial the copies that are in the folder of an earlier trial, as they are.
    /// Returns the copies that cannot be read, each with the reason.
    pub fn take_copies(&mut self, folder: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        let mut copies = Vec::new();
        let mut files = Vec::new();
        for file in &self.run.configs {
            let copy = file.copy();
            let path = folder.join(&copy);
            let text = regular::read_to_string(&path).map_err(|error| error.to_string());
            let parsed = text.and_then(|text| Ok((Document::parse(&path, text.clone())?, text)));
            match parsed {
                Ok((document, text)) => {
                    copies.push((copy.clone(), text));
                    files.push(LoadedFile {
                        copy,
                        document,
                        settings: Vec::new(),
                    });
                }
                Err(error) => problems.push(format!(
                    "`{copy}` in the folder of the trial cannot be read: {error}"
                )),
            }
        }
        if problems.is_empty() {
            // The copies have all values of the trial, so a parameter without a place in them
            // reaches the program in another way.
            for name in self.space.names() {
                let _ = self.place(&name, &mut files);
            }
            let placed = Configs { files, fixed: None };
            self.run
                .command
                .drop_from_rest(|name| placed.receives(name));
        }
        self.configs = Some(Arc::new(Configs::fixed(copies)));
        problems
    }

    /// Finds the value that a parameter sets, and notes it in its file.
    fn place(&self, name: &Name, files: &mut [LoadedFile]) -> Result<(), Diagnostic> {
        let address = Address::of(name, &self.run.configs);
        let places: Vec<(usize, Target)> = (0..files.len())
            .filter(|index| address.file.is_none_or(|file| file == *index))
            .map(|index| (index, files[index].document.target(address.path)))
            .collect();
        if let Some((index, why)) = places.iter().find_map(|(index, place)| match place {
            Target::Fixed(why) => Some((index, why)),
            _ => None,
        }) {
            let file = &self.run.configs[*index].path;
            let message = format!("`{}` of `{file}` cannot be set: {why}", address.path);
            return Err(self.no_place(name, message));
        }
        let mut found = places
            .iter()
            .filter(|(_, place)| *place == Target::Value)
            .map(|(index, _)| *index);
        let setting = (name.clone(), address.path.to_owned());
        match (found.next(), found.next()) {
            (Some(index), None) => files[index].settings.push(setting),
            (Some(first), Some(second)) => {
                let [first, second] = [first, second].map(|index| &self.run.configs[index].key);
                let message = format!("`{name}` is in several files: `{first}` and `{second}`");
                let hint = format!("name the file: \"{first}:{}\"", address.path);
                return Err(self.no_place(name, message).hint(hint));
            }
            (None, _) if address.adds => match (address.file, files) {
                (Some(index), files) => files[index].settings.push(setting),
                (None, [only]) => only.settings.push(setting),
                (None, _) => {
                    let message = format!("`{name}` names no file to which it is added");
                    let key = &self.run.configs[0].key;
                    let hint = format!("name the file: \"{key}:+{}\"", address.path);
                    return Err(self.no_place(name, message).hint(hint));
                }
            },
            (None, _) if self.run.receives(name) || self.space.is_needed_by_others(name) => {}
            (None, _) => return Err(self.unknown_path(name, &address, files)),
        }
        Ok(())
    }

    /// Returns the error about a parameter that no file has a place for.
    fn unknown_path(&self, name: &Name, address: &Address<'_>, files: &[LoadedFile]) -> Diagnostic {
        let searched: Vec<usize> = (0..files.len())
            .filter(|index| address.file.is_none_or(|file| file == *index))
            .collect();
        let names: Vec<String> = searched
            .iter()
            .map(|index| format!("`{}`", self.run.configs[*index].path))
            .collect();
        let paths: Vec<String> = searched
            .iter()
            .flat_map(|index| files[*index].document.paths())
            .collect();
        let message = format!("`{}` is not in {}", address.path, names.join(" or "));
        let error = self.no_place(name, message);
        match similar(address.path, &paths) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!(
                "write \"+{}\" to add it, or name the parameter in `command`",
                address.path
            )),
        }
    }

    /// Reports two parameters of which one sets a part of what the other sets.
    fn refuse_overlaps(&self, files: &[LoadedFile], diagnostics: &mut Diagnostics) {
        for file in files {
            for (name, path) in &file.settings {
                let prefix = format!("{path}.");
                let inner = file
                    .settings
                    .iter()
                    .find(|(_, other)| other.starts_with(&prefix));
                if let Some((inner, _)) = inner {
                    let message = format!("`{inner}` sets a part of what `{name}` sets");
                    diagnostics.push(
                        Diagnostic::error("no-place", message)
                            .at(self.span_of_parameter(inner), "")
                            .hint("leave one of them out"),
                    );
                }
            }
        }
    }

    /// Reports a value that cannot be added where its path leads.
    fn refuse_impossible(&self, files: &[LoadedFile], diagnostics: &mut Diagnostics) {
        for (file, config) in files.iter().zip(&self.run.configs) {
            let value = Value::Int(0);
            let settings = file.settings.iter();
            let changes: Vec<Change<'_>> = settings
                .map(|(_, path)| Change {
                    path,
                    value: &value,
                })
                .collect();
            let Err(path) = file.document.with(&changes) else {
                continue;
            };
            let message = format!("`{path}` cannot be added to `{}`", config.path);
            let name = file.settings.iter().find(|(_, other)| other == path);
            let span = name.map_or(0..0, |(name, _)| self.span_of_parameter(name));
            diagnostics.push(
                Diagnostic::error("no-place", message)
                    .at(span, "")
                    .hint("only tables can get further values"),
            );
        }
    }

    fn no_place(&self, name: &str, message: String) -> Diagnostic {
        Diagnostic::error("no-place", message).at(self.span_of_parameter(name), "")
    }

    /// Returns the span of a parameter's key in the sweep file, or of `[space]`.
    fn span_of_parameter(&self, name: &str) -> Span {
        let file = Table::parse(&self.source.text, &mut Diagnostics::default());
        let space = file.get("space").map(|node| &node.value);
        match space {
            Some(NodeValue::Table(space)) => key_span(space, name),
            _ => None,
        }
        .unwrap_or_else(|| self.places.space.clone())
    }
}

/// Returns the span of the key of a parameter in a table.
fn key_span(table: &Table, name: &str) -> Option<Span> {
    let direct = table.entries.iter().find(|(key, _)| key.name == name);
    if let Some((key, _)) = direct {
        return Some(key.span.clone());
    }
    table.entries.iter().find_map(|(key, node)| {
        let rest = name.strip_prefix(&key.name)?.strip_prefix('.')?;
        match &node.value {
            NodeValue::Table(inner) => key_span(inner, rest),
            _ => None,
        }
    })
}

/// Returns the path that was probably meant: a similar one, or one that ends in the same key.
fn similar<'a>(path: &str, paths: &'a [String]) -> Option<&'a str> {
    let last = path.rsplit('.').next().unwrap_or(path);
    nearest(path, paths.iter().map(String::as_str)).or_else(|| {
        let mut ending = paths
            .iter()
            .filter(|other| other.rsplit('.').next() == Some(last));
        ending.next().map(String::as_str)
    })
}

/// The file and the path that the name of a parameter means.
struct Address<'a> {
    /// Position of the file; `None` if the name does not tell.
    file: Option<usize>,
    path: &'a str,
    /// Whether a path that does not exist is added.
    adds: bool,
}

impl<'a> Address<'a> {
    fn of(name: &'a str, configs: &[ConfigFile]) -> Self {
        let (name, adds) = without_plus(name);
        let file = configs.iter().position(|file| {
            let rest = name.strip_prefix(&file.key);
            !file.key.is_empty() && rest.is_some_and(|rest| rest.starts_with(':'))
        });
        let name = match file {
            Some(index) => &name[configs[index].key.len() + 1..],
            None => name,
        };
        let (path, adds_here) = without_plus(name);
        Self {
            file,
            path,
            adds: adds || adds_here,
        }
    }
}

/// Removes a leading `+`, and returns whether there was one.
fn without_plus(name: &str) -> (&str, bool) {
    match name.strip_prefix('+') {
        Some(name) => (name, true),
        None => (name, false),
    }
}

fn load(path: &Path) -> Result<Document, String> {
    let about = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{}`", path.display()),
        _ => error.to_string(),
    })?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Document::parse(path, text)
}

#[cfg(test)]
mod tests;
