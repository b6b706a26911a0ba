//! Collects, in a thread beside the trials, facts that take long to find: digests of the program,
//! its lock files, the GPUs, the packages of the interpreter.

use super::pool::existing_workdirs;
use super::{Options, keep};
use crate::sweep::Sweep;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use swath_engine::journal::StudyDir;
use swath_engine::provenance::files::{candidates, find_program, is_rust, locks, of_command};
use swath_engine::provenance::git::md5_of;
use swath_engine::provenance::{Checkout, Environment, Found, Python, gpu, python};
use swath_log::DigestCache;

/// The longest wait for the inquiry at the end of a run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of interpreters in the cache.
const REMEMBERED: usize = 32;

/// An inquiry that is in progress.
pub(super) struct Inquiry {
    done: Receiver<()>,
}

/// The inputs of an inquiry.
struct Question {
    words: Vec<String>,
    setup: Vec<String>,
    env: Vec<(String, String)>,
    workdir: PathBuf,
    digests: PathBuf,
    interpreters: PathBuf,
}

impl Inquiry {
    /// Starts the inquiry in a thread of its own, which completes `environment.json` at its end.
    pub(super) fn begin(
        dir: &StudyDir,
        sweep: &Sweep,
        options: &Options,
        environment: &Environment,
        since: u64,
    ) -> Self {
        let mut words = sweep.run.command.words();
        // Without a command the trials are functions of this very program.
        if sweep.run.command.is_empty() {
            let own = std::env::current_exe().ok();
            words.extend(own.and_then(|path| path.into_os_string().into_string().ok()));
        }
        let configs = sweep.run.configs.iter();
        words.extend(configs.map(|file| file.path.clone()));
        let workdir = PathBuf::from(environment.trials_in());
        words.extend(files_of_trials(sweep, &workdir, &words));
        let question = Question {
            words,
            setup: sweep.run.setup.clone(),
            env: sweep.run.env.clone(),
            workdir,
            digests: dir.digests(),
            interpreters: options.logs.join(".interpreters.json"),
        };
        let (dir, environment) = (dir.clone(), environment.clone());
        let (tell, done) = channel();
        let thread = std::thread::Builder::new()
            .name("inquiry".to_owned())
            .spawn(move || {
                // An error is ignored: the record then lacks these facts, and the trials go on.
                let _ = keep::complete(&dir, &environment, question.answer(), since);
                let _ = tell.send(());
            });
        drop(thread);
        Self { done }
    }

    /// Waits until the inquiry has ended, at most [`PATIENCE`].
    pub(super) fn end(&self) {
        let _ = self.done.recv_timeout(PATIENCE);
    }
}

/// Returns the files that the command names in the folders of trials whose `workdir` depends on
/// parameters, relative to `workdir`.
fn files_of_trials(sweep: &Sweep, workdir: &Path, words: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for folder in existing_workdirs(sweep, workdir) {
        let words = words.iter().skip(1);
        for name in words.flat_map(|word| candidates(word)) {
            let path = folder.join(name);
            if path.is_file() {
                let relative = path.strip_prefix(workdir).unwrap_or(&path);
                files.extend(relative.to_str().map(str::to_owned));
            }
        }
    }
    files
}

impl Question {
    /// Collects the facts.
    fn answer(&self) -> Found {
        let path = self
            .env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsString::from(value));
        let path = path.or_else(|| std::env::var_os("PATH"));
        let find = |name: &str| find_program(name, &self.workdir, path.as_deref());
        let cache = DigestCache::open(&self.digests);
        let files = of_command(&self.words, &self.workdir, Some(&cache), find);
        let program = files.first().map(|file| file.path.as_path());
        let rust = is_rust(&self.words, &self.setup, program);
        let top = Checkout::of(&self.workdir).map(|checkout| checkout.root);
        Found {
            locks: locks(&self.workdir, top.as_deref(), rust, Some(&cache)),
            gpus: gpu::gpus(),
            python: python::interpreter(&self.words, find)
                .and_then(|words| self.python(&words, path.as_ref())),
            files,
        }
    }

    /// Returns the interpreter's description, from the cache if nothing has changed since.
    fn python(&self, words: &[String], path: Option<&OsString>) -> Option<Python> {
        let key = format!("{words:?} {:?} {path:?} {:?}", self.workdir, self.env);
        let key = md5_of(key.as_bytes());
        let mut cache = remembered(&self.interpreters);
        if let Some(python) = cache.get(&key).filter(|python| python.is_current()) {
            return Some(python.clone());
        }
        let python = Python::ask(words, &self.workdir, &self.env)?;
        cache.retain(|_, python| python.is_current());
        // There is no record of their last use: start the cache anew.
        if cache.len() >= REMEMBERED {
            cache.clear();
        }
        cache.insert(key, python.clone());
        remember(&self.interpreters, &cache);
        Some(python)
    }
}

/// Returns the cache of interpreters, by a digest of how each is called; empty if there is none.
fn remembered(path: &Path) -> BTreeMap<String, Python> {
    std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Writes the cache for later runs. Errors are ignored: a later run then asks the interpreter
/// again.
fn remember(path: &Path, cache: &BTreeMap<String, Python>) {
    let folder = path.parent().unwrap_or(Path::new("."));
    if let (Ok(text), Ok(file)) = (
        serde_json::to_vec(cache),
        tempfile::NamedTempFile::new_in(folder),
    ) {
        let written = std::fs::write(file.path(), text);
        if written.is_ok() {
            let _ = file.persist(path);
        }
    }
}
