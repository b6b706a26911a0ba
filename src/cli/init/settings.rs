//! The configuration file that a program is started with. Its numbers become parameters.

use super::ranges;
use super::script::{Declared, DeclaredOption, OptionKind};
use crate::sweep::config::{self, Setting};
use std::path::{Component, Path};

/// Endings of configuration files.
const ENDINGS: [&str; 4] = ["yaml", "yml", "json", "toml"];

/// Maximum number of other values that the sweep file names.
const SHOWN: usize = 12;

/// A configuration file among the arguments of a program, or the default of one of its options.
#[derive(Debug, PartialEq)]
pub(super) struct ConfigArgument {
    /// The path of the file.
    pub(super) path: String,
    /// The argument that names the file: its position, or `None` for the default of an option.
    pub(super) position: Option<usize>,
    /// The text before the path in the argument, as `--config=`.
    pub(super) prefix: String,
    /// Its numbers that have a range, as options whose names are their paths.
    pub(super) options: Vec<DeclaredOption>,
    /// The paths of its other values, without those that set the cost of a trial.
    others: Vec<String>,
}

impl ConfigArgument {
    /// Returns the first configuration file that the arguments name, or else one that is the
    /// default of an option.
    pub(super) fn find(arguments: &[String], declared: &Declared) -> Option<Self> {
        // Hydra composes its files by itself.
        if declared.style.as_deref() == Some("hydra") {
            return None;
        }
        let given = arguments.iter().enumerate().filter_map(|(position, word)| {
            let start = word.find('=').map_or(0, |equals| equals + 1);
            Self::read(&word[start..], &word[..start], Some(position))
        });
        let defaults = declared.left_out.iter().filter_map(|option| {
            let (flag, default) = (option.flag.as_ref()?, option.default.as_ref()?);
            Self::read(default, &format!("{flag}="), None)
        });
        given.chain(defaults).next()
    }

    /// Reads a file. `None` if it is no configuration file, or has no number to search.
    fn read(path: &str, prefix: &str, position: Option<usize>) -> Option<Self> {
        let file = Path::new(path);
        let ending = file.extension()?.to_str()?;
        let is_in_project = file.components().all(|part| part != Component::ParentDir);
        // A data set in one of these formats is no configuration.
        let is_data = prefix.contains("data") || prefix.contains("file");
        if !ENDINGS.contains(&ending) || !is_in_project || is_data || !file.is_file() {
            return None;
        }
        let mut options = Vec::new();
        let mut others = Vec::new();
        for setting in config::settings(file).ok()? {
            match number(&setting) {
                Some(option) if has_range(&option) => options.push(option),
                Some(_) => {}
                None if is_in_list(&setting.path) => {}
                None => others.push(setting.path),
            }
        }
        (!options.is_empty()).then(|| Self {
            path: path.to_owned(),
            position,
            prefix: prefix.to_owned(),
            options,
            others,
        })
    }

    /// Returns a comment on the values that are no parameters; empty if there are none.
    pub(super) fn remark(&self) -> String {
        if self.others.is_empty() {
            return String::new();
        }
        let shown = self.others[..self.others.len().min(SHOWN)].join(", ");
        let more = match self.others.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("\n# {} also has {shown}{more}.\n", self.path)
    }
}

/// Returns a number of the file as an option; `None` for other values and for elements of lists.
fn number(setting: &Setting) -> Option<DeclaredOption> {
    let text = setting.text.as_deref()?;
    if is_in_list(&setting.path) {
        return None;
    }
    let (kind, default) = match text.parse::<i64>() {
        Ok(number) => (OptionKind::Int, number.into()),
        Err(_) => {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite());
            (OptionKind::Float, number?.into())
        }
    };
    let name = setting.path.clone();
    Some(DeclaredOption::new(name, String::new(), kind, default))
}

/// Returns whether a path leads to an element of a list.
fn is_in_list(path: &str) -> bool {
    path.split('.').any(|key| key.parse::<usize>().is_ok())
}

/// Returns whether a number gets a range, and is not kept as it is.
fn has_range(option: &DeclaredOption) -> bool {
    ranges::entry(option).is_some_and(|entry| entry.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "train:\n  lr: 1e-4  # rate\n  epochs: 3\n  batch_size: 32\nlayers: [64, 32]\n\
                        model: {width: 64, act: relu, amp: true}\n";

    fn names(config: &ConfigArgument) -> Vec<&str> {
        config.options.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn the_numbers_of_a_configuration_file_are_options_unless_they_set_the_cost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.yaml");
        std::fs::write(&path, BASE).unwrap();
        let path = path.display().to_string();
        let words = ["train".to_owned(), format!("--config={path}")];
        let config = ConfigArgument::find(&words, &Declared::default()).unwrap();
        assert_eq!(
            names(&config),
            ["train.lr", "train.batch_size", "model.width"]
        );
        assert_eq!((config.position, &*config.prefix), (Some(1), "--config="));
        assert_eq!(
            config.remark(),
            format!("\n# {path} also has layers, model.act, model.amp.\n")
        );
        let alone = ConfigArgument::find(std::slice::from_ref(&path), &Declared::default());
        let alone = alone.unwrap();
        assert_eq!((alone.position, &*alone.prefix), (Some(0), ""));
    }

    #[test]
    fn data_sets_and_files_without_numbers_are_no_configuration() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("data.json", "{\"lr\": 0.1}"),
            ("names.yaml", "model: small\n"),
            ("broken.yaml", "a: [\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let words = [
            format!("--data={}", at("data.json")),
            at("names.yaml"),
            at("broken.yaml"),
            at("absent.yaml"),
        ];
        assert_eq!(ConfigArgument::find(&words, &Declared::default()), None);
    }
}
