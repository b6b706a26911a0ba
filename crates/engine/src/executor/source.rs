//! Sources: they translate what programs write for other tools into records.
//!
//! A source appends lines to the trial's `records.jsonl` (`SourceLines` of `swath-log`), which the
//! supervisor follows as it follows the lines of a program. So a source needs no journal and no
//! state of its own, and a kill neither loses nor doubles what it has written.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use swath_model::space::Name;
use swath_model::study::{Attempt, TrialId};

/// A source of records, as `[[source]]` in a sweep file chooses it. One value serves all trials of a
/// run.
pub trait RecordSource: Send + Sync {
    /// Returns where the reports come from, for people: `lightning_logs/**/metrics.csv`.
    fn about(&self, run: &SourceRun<'_>) -> String;

    /// Begins with a run of a study, before its first attempt. Returns a notice for people, if there
    /// is something to say.
    fn begin_run(&self, run: &SourceRun<'_>) -> Option<String> {
        let _ = run;
        None
    }

    /// Begins with an attempt, before its program is started.
    ///
    /// # Errors
    /// If the source cannot be read. The attempt is not started then.
    fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Box<dyn Translator>>;

    /// Returns whether the source reads only files in the trial's folder, and tells no one of them.
    /// A program can then be repeated without a trace in it.
    fn is_of_folder(&self) -> bool {
        false
    }

    /// Appends the records that an attempt has written and that were not translated, because its
    /// supervisor was killed. No process of the attempt runs any more.
    ///
    /// # Errors
    /// If the source cannot be read. The attempt then lacks these records.
    fn catch_up(&self, attempt: &SourceAttempt<'_>) -> io::Result<()> {
        let _ = attempt;
        Ok(())
    }
}

/// Translates what one attempt writes.
pub trait Translator: Send {
    /// Returns variables for the program. They replace those of the sweep file.
    fn environment(&self) -> Vec<(String, OsString)> {
        Vec::new()
    }

    /// Appends the records of what was written since the last call. Called several times a second
    /// while the program runs. A source that is told by the program itself has nothing to do here.
    ///
    /// # Errors
    /// If the source cannot be read. It is called again.
    fn poll(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Returns what is known about a deciding metric that was never reported: the names that were
    /// read, or that there was nothing to read.
    fn clue(&self) -> Option<String> {
        None
    }

    /// Appends the last records. The program and its descendants have ended; `is_whole` tells that
    /// the program ended by itself, so that its last words are not cut.
    ///
    /// # Errors
    /// If the source cannot be read.
    fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        let _ = is_whole;
        self.poll()
    }
}

/// The run of a study in which a source is used.
#[derive(Clone, Copy)]
pub struct SourceRun<'a> {
    /// The folder of the study.
    pub study: &'a Path,
    /// Variables of the sweep file for the programs.
    pub env: &'a [(String, String)],
}

impl SourceRun<'_> {
    /// Returns the value that a variable has for the programs without the source.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        variable(self.env, name)
    }
}

/// The attempt that a source reads.
#[derive(Clone, Copy)]
pub struct SourceAttempt<'a> {
    /// The trial.
    pub trial: TrialId,
    /// The number of the attempt within the trial.
    pub attempt: Attempt,
    /// Absolute path of the trial's folder, where `SourceLines` are opened.
    pub dir: &'a Path,
    /// Working directory of the attempt.
    pub workdir: &'a Path,
    /// Whether other trials may write to the working directory while this one runs.
    pub is_shared: bool,
    /// Whether the attempt goes on from a checkpoint, after records of earlier attempts.
    pub resumes: bool,
    /// Deciding metrics: objectives, resource and metrics of outcome constraints.
    pub deciding: &'a [Name],
    /// Reported key that counts the resource, if a scheduler uses one.
    pub resource: Option<&'a Name>,
    /// Variables of the sweep file for the program. The program has those of this process too.
    pub env: &'a [(String, String)],
}

impl SourceAttempt<'_> {
    /// Returns the value that a variable has for the program without the source.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        variable(self.env, name)
    }
}

fn variable(env: &[(String, String)], name: &str) -> Option<OsString> {
    let entry = env.iter().rev().find(|(key, _)| key == name);
    match entry {
        Some((_, value)) => Some(value.into()),
        None => std::env::var_os(name),
    }
}

/// The sources of a run.
#[derive(Clone, Default)]
pub struct Sources {
    /// The sources with their names, in the order of the sweep file.
    list: Arc<Vec<(String, Box<dyn RecordSource>)>>,
    output_decides: bool,
}

impl Sources {
    /// Makes the sources of a run, each with its name in the sweep file. `output_decides` tells
    /// that reports are read from the output: what sources report is then metrics.
    #[must_use]
    pub fn new(sources: Vec<(String, Box<dyn RecordSource>)>, output_decides: bool) -> Self {
        Self {
            list: Arc::new(sources),
            output_decides,
        }
    }

    /// Returns whether the reports in the output decide, and not those of sources.
    #[must_use]
    pub fn output_decides(&self) -> bool {
        self.output_decides
    }

    /// Returns whether a program can be repeated without a trace in any source.
    pub(super) fn allow_repetitions(&self) -> bool {
        self.list.iter().all(|(_, source)| source.is_of_folder())
    }

    /// Returns the name of each source, and where its reports come from.
    pub fn about(&self, run: &SourceRun<'_>) -> impl Iterator<Item = (&str, String)> {
        let sources = self.list.iter();
        sources.map(|(name, source)| (&**name, source.about(run)))
    }

    /// Begins with a run of a study. Returns the notices of the sources.
    pub fn begin_run(&self, run: &SourceRun<'_>) -> Vec<String> {
        let sources = self.list.iter();
        sources
            .filter_map(|(_, source)| source.begin_run(run))
            .collect()
    }

    /// Begins with an attempt. The error names the source.
    pub(super) fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Translators> {
        let mut translators = Vec::with_capacity(self.list.len());
        for (name, source) in &*self.list {
            let translator = source.begin(attempt).map_err(|error| named(name, &error))?;
            translators.push((name.clone(), translator));
        }
        Ok(Translators(translators))
    }

    /// Appends what an attempt of a killed supervisor has written. Returns an error text for each
    /// source that could not be read.
    pub(crate) fn catch_up(&self, attempt: &SourceAttempt<'_>) -> Vec<String> {
        let sources = self.list.iter();
        let failed = sources.filter_map(|(name, source)| {
            let error = source.catch_up(attempt).err()?;
            Some(named(name, &error).to_string())
        });
        failed.collect()
    }
}

/// The translators of an attempt, with the names of their sources.
#[derive(Default)]
pub(super) struct Translators(Vec<(String, Box<dyn Translator>)>);

impl Translators {
    pub(super) fn environment(&self) -> Vec<(String, OsString)> {
        let translators = self.0.iter();
        translators
            .flat_map(|(_, translator)| translator.environment())
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the records of what was written since the last call. All are called; returns the
    /// first error.
    pub(super) fn poll(&mut self) -> io::Result<()> {
        self.each(|translator| translator.poll())
    }

    /// Returns what is known about a deciding metric that was never reported.
    pub(super) fn clue(&self) -> Option<String> {
        self.0.iter().find_map(|(_, translator)| translator.clue())
    }

    /// Appends the last records.
    pub(super) fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        self.each(|translator| translator.finish(is_whole))
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut dyn Translator) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut first = Ok(());
        for (name, translator) in &mut self.0 {
            let result = act(&mut **translator).map_err(|error| named(name, &error));
            first = first.and(result);
        }
        first
    }
}

fn named(source: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the source `{source}`: {error}"))
}
