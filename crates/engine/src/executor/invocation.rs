//! The program that an attempt starts: its command line, environment, folder and files, with the values of its
//! configuration filled in.
//!
//! The orchestrator renders an [`Invocation`] from the templates of the sweep file. On a cluster
//! the pilot that starts the program knows two things that the orchestrator does not, the slot and
//! a free port. They stay open in a [`Text`] until [`Invocation::resolve`].

use super::built_in::{BuiltIn, Facts};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;
use swath_log::regular;

/// A text in which the facts that only the place of the attempt knows may still be open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Fixed(String),
    /// Name of a built-in.
    Open(String),
}

/// Everything that the start of an attempt needs. `T` is [`Text`] while facts are open, and a
/// string afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation<T = String> {
    /// Command line, program first.
    pub argv: Vec<T>,
    /// Command line as it is recorded: without secrets.
    pub recorded: Vec<T>,
    /// Variables of the environment that differ between trials.
    #[serde(default = "Vec::new")]
    pub env: Vec<(String, T)>,
    /// Absolute path of the working directory; `None` for that of the study. It is created if it
    /// does not exist.
    #[serde(default = "Option::default")]
    pub workdir: Option<T>,
    /// Data sets that the trial reads; `None` for those of the study.
    #[serde(default = "Option::default")]
    pub data_dir: Option<Vec<String>>,
    /// Files that the program needs, by their paths within the trial's folder.
    #[serde(default = "Vec::new")]
    pub files: Vec<(String, String)>,
    /// Whether the attempt needs a port of its own.
    #[serde(default)]
    pub needs_port: bool,
}

impl Text {
    /// Appends fixed text.
    pub fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Fixed(last)) => last.push_str(text),
            _ => self.0.push(Part::Fixed(text.to_owned())),
        }
    }

    /// Appends a fact that is filled in where the attempt starts.
    pub fn push_open(&mut self, built_in: &BuiltIn) {
        self.0.push(Part::Open(built_in.name.to_owned()));
    }

    /// Appends another text.
    pub fn append(&mut self, other: Self) {
        for part in other.0 {
            match part {
                Part::Fixed(text) => self.push(&text),
                open @ Part::Open(_) => self.0.push(open),
            }
        }
    }

    /// Returns whether the text begins like an absolute path.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        matches!(self.0.first(), Some(Part::Fixed(text)) if text.starts_with('/'))
    }

    /// Returns whether nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text. A fact without a value, or one that another version of swath knows, is
    /// empty.
    #[must_use]
    pub fn resolve(&self, facts: &Facts<'_>) -> String {
        self.0.iter().map(|part| part.resolve(facts)).collect()
    }
}

fn resolved(texts: &[Text], facts: &Facts<'_>) -> Vec<String> {
    texts.iter().map(|text| text.resolve(facts)).collect()
}

impl Invocation {
    /// Writes the files of the attempt into the trial's folder. An attempt that resumes keeps those
    /// that its trial began with.
    pub(super) fn write_files(&self, dir: &Path, resumes: bool) -> io::Result<()> {
        for (name, contents) in &self.files {
            let path = dir.join(name);
            if resumes && path.exists() {
                continue;
            }
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            regular::write(&path, contents.as_bytes())?;
        }
        Ok(())
    }
}

impl Part {
    fn resolve(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Fixed(text) => text.clone(),
            Self::Open(name) => BuiltIn::named(name)
                .and_then(|built_in| built_in.value(facts))
                .map(|value| value.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for Text {
    /// Writes the text with the placeholders of open facts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Fixed(text) => f.write_str(text),
            Part::Open(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(vec![Part::Fixed(text.to_owned())])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(vec![Part::Fixed(text)])
    }
}

impl Invocation<Text> {
    /// Returns the invocation of a command that is the same for every attempt.
    #[must_use]
    pub fn of(argv: &[String]) -> Self {
        let argv: Vec<Text> = argv.iter().cloned().map(Text::from).collect();
        Self {
            recorded: argv.clone(),
            argv,
            ..Self::default()
        }
    }

    /// Fills in the facts that were open.
    #[must_use]
    pub fn resolve(&self, facts: &Facts<'_>) -> Invocation {
        Invocation {
            argv: resolved(&self.argv, facts),
            recorded: resolved(&self.recorded, facts),
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.resolve(facts)))
                .collect(),
            workdir: self.workdir.as_ref().map(|text| text.resolve(facts)),
            data_dir: self.data_dir.clone(),
            files: self.files.clone(),
            needs_port: self.needs_port,
        }
    }
}
