//! Private working directories: the files of the project that stand in the folder of each trial.
//!
//! Git tracks most of what a program needs. Of the other files, those that people write (code and
//! settings) are copied, and folders of data and packages are linked. The rest stays away, because
//! it may have been written by an earlier run of the program.

mod names;

use self::names::{LINKED, is_hidden, is_noise, is_output, is_written_by_people};
use super::Options;
use super::imports::imported_files;
use crate::sweep::{OwnWorkdir, Sweep};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use swath_engine::driver::Watched;
use swath_engine::executor::{LARGEST_COPY, WorkFile, WorkFiles};
use swath_engine::provenance::Checkout;
use swath_engine::provenance::files::candidates;
use swath_engine::provenance::git::git;
use swath_log::share_blocks;

/// Maximum number of files in a private working directory.
const MOST_FILES: usize = 50_000;
/// Maximum number of entries that are looked at in a project without git.
const MOST_ENTRIES: usize = 50_000;

/// Size from which a project is so large that a copy for each trial is no good default.
const HUGE_FILES: usize = 5_000;
const HUGE_BYTES: u64 = 256 << 20;

/// An error that prevents private working directories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The project has too many files for a copy in each trial.
    #[error("`workdir = \"private\"`: `{}` has more than {MOST_FILES} files", .folder.display())]
    TooMany {
        /// The folder of the project.
        folder: PathBuf,
    },
    /// A path of `link` or `copy` leads out of the project.
    #[error("`{path}` in `{key}` leads out of the project `{}`", .folder.display())]
    Outside {
        /// The key in `[run]`.
        key: &'static str,
        /// The path in the sweep file.
        path: String,
        /// The folder of the project.
        folder: PathBuf,
    },
}

impl WorkError {
    /// Returns a hint for the user.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => {
                "put the project under git, so that only its tracked files are copied; link large folders with \
                 `link`; or run trials in a shared folder, with `--out={trial_dir}/out` or the like in the command"
            }
            Self::Outside { .. } => {
                "name a file or folder of the project; a program finds other files by their absolute paths"
            }
        }
    }
}

/// The files of private working directories, and what a user wants to know about them.
#[derive(Debug, Clone, Default)]
pub struct WorkPlan {
    /// The files.
    pub files: WorkFiles,
    /// The untracked folders and files that are linked.
    pub linked: Vec<String>,
    /// The untracked files that are copied.
    pub copied: Vec<String>,
    /// Untracked folders and files of the project that trials do not see.
    pub absent: Vec<String>,
    /// The sum of the sizes of all copies, in bytes.
    pub bytes: u64,
}

impl WorkPlan {
    /// Returns whether a copy for each trial takes much time or space.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        let files = &self.files;
        files.tracked.len() + files.copies.len() > HUGE_FILES
            || !files.shares_blocks && self.bytes > HUGE_BYTES
    }

    /// Returns one line about the files, for a user.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = self.files.tracked.len() + self.files.copies.len();
        let mut text = match count {
            1 => "private, with 1 file of the project".to_owned(),
            _ => format!("private, with {count} files of the project"),
        };
        for (label, names) in [
            ("link", &self.linked),
            ("copy", &self.copied),
            ("not there", &self.absent),
        ] {
            if !names.is_empty() {
                text.extend(["; ", label, ": ", &shortened(names)]);
            }
        }
        text
    }
}

/// Joins the first names of a list, and counts the others.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the files of the private working directories of a sweep; `None` if its trials run in a
/// shared folder.
///
/// # Errors
/// If the project has too many files, or the sweep file names files outside of it.
pub fn work_plan(sweep: &Sweep, options: &Options) -> Result<Option<WorkPlan>, WorkError> {
    // A function runs in this process, whose folder all trials share.
    let own = sweep.run.own_workdir.as_ref();
    let Some(own) = own.filter(|_| !sweep.run.command.is_empty()) else {
        return Ok(None);
    };
    let base = super::workdir(sweep, options);
    let base = std::path::absolute(&base).unwrap_or(base);
    let logs = std::path::absolute(&options.logs).unwrap_or_else(|_| options.logs.clone());
    let mut planner = Planner::new(&base, sweep.run.data_home.as_deref(), &logs);
    planner.place_own(own, &sweep.run.data_dir, &sweep.run.command.words())?;
    planner.place_tracked();
    planner.finish().map(Some)
}

/// Returns the files that private working directories would have in a project of which nothing but
/// its folder is known. Output of earlier runs is not named as absent.
///
/// # Errors
/// If the project has too many files.
pub fn default_work_plan(project: &Path, logs: &Path) -> Result<WorkPlan, WorkError> {
    let logs = std::path::absolute(logs).unwrap_or_else(|_| logs.to_owned());
    let mut planner = Planner::new(project, None, &logs);
    planner.place_own(&OwnWorkdir::default(), &[], &[])?;
    planner.place_tracked();
    let mut plan = planner.finish()?;
    plan.absent.retain(|path| !is_output(Path::new(path)));
    Ok(plan)
}

/// Returns the files that trials of a sweep may share by mistake: those in the folder in which they
/// run or, with private folders, those behind links.
pub(super) fn watched(
    sweep: &Sweep,
    options: &Options,
    plan: Option<&WorkPlan>,
) -> Option<Watched> {
    // The kernel of this machine does not see what other machines write.
    if sweep.site().is_some_and(|site| site.outlives()) {
        return None;
    }
    let workdir = super::workdir(sweep, options);
    let workdir = workdir.canonicalize().ok()?;
    let mut besides = vec![resolved(&options.logs)];
    let Some(plan) = plan else {
        let data = sweep.run.data_dir.iter();
        besides.extend(data.filter_map(|data| workdir.join(data).canonicalize().ok()));
        return Some(Watched {
            folders: vec![workdir],
            besides,
            ..Watched::default()
        });
    };
    let links = plan
        .files
        .links
        .iter()
        .filter(|link| link.from.is_absolute());
    let (folders, files) = links
        .map(|link| link.from.clone())
        .filter(|path| !path.join("pyvenv.cfg").exists())
        .partition(|path| path.is_dir());
    Some(Watched {
        folders,
        files,
        besides,
        is_linked: true,
    })
}

/// A file of a private working directory.
enum Placed {
    Copy(PathBuf),
    Link(PathBuf),
}

/// Collects the files of private working directories.
struct Planner {
    /// The top of the project, and the folder of the trials relative to it.
    root: PathBuf,
    below: PathBuf,
    /// The top of the project in which untracked files are: another one if trials run in a clone.
    home: PathBuf,
    tracked: Option<BTreeSet<PathBuf>>,
    logs: PathBuf,
    placed: BTreeMap<PathBuf, Placed>,
    /// Copies and links that the sweep file or its command ask for, or that are the default.
    untracked: BTreeSet<PathBuf>,
    shares_blocks: bool,
    bytes: u64,
}

impl Planner {
    fn new(base: &Path, project: Option<&Path>, logs: &Path) -> Self {
        // A clone may not have been made yet, but its folders are those of the project.
        let checkout = Checkout::of(base).or_else(|| Checkout::of(project?));
        let tracked = checkout.as_ref().and_then(|checkout| {
            let tracked = listed(&checkout.root, &["--recurse-submodules"])?;
            // An outer repository that ignores the folder is not that of the project.
            let has_any = tracked
                .iter()
                .any(|path| path.starts_with(&checkout.prefix));
            has_any.then_some(tracked)
        });
        let (root, below) = match (&tracked, checkout) {
            (Some(_), Some(checkout)) => (checkout.root, without_dots(&checkout.prefix)),
            _ => (base.to_owned(), None),
        };
        let below = below.unwrap_or_default();
        let depth = below.components().count();
        let home = project.and_then(|project| project.ancestors().nth(depth));
        let home = home.map_or_else(|| root.clone(), Path::to_owned);
        let sample = tracked
            .iter()
            .flatten()
            .find(|path| root.join(path).is_file());
        let sample = sample.map_or_else(|| first_file(&root), |path| Some(root.join(path)));
        Self {
            shares_blocks: sample.is_some_and(|sample| can_share_blocks(&sample, logs)),
            root,
            below,
            home,
            tracked,
            // Git resolves links, so the logs have to be compared as they are.
            logs: resolved(logs),
            placed: BTreeMap::new(),
            untracked: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Places what git does not track: what the sweep file or the command name, else the default.
    fn place_own(
        &mut self,
        own: &OwnWorkdir,
        data_dir: &[String],
        words: &[String],
    ) -> Result<(), WorkError> {
        let is_clone = self.home != self.root;
        for path in own.copy.iter().flatten() {
            let inside = self.inside("copy", path)?;
            self.copy_all(&inside)?;
        }
        for path in own.link.iter().flatten() {
            let inside = self.inside("link", path)?;
            self.link(inside);
        }
        for path in data_dir {
            if let Some(inside) = self.position(Path::new(path)) {
                self.link(inside);
            }
        }
        if own.link.is_none() {
            for path in self.default_links() {
                self.link(path);
            }
        }
        if self.tracked.is_none() {
            for path in self
                .walked()?
                .into_iter()
                .filter(|path| is_written_by_people(path))
            {
                self.place_file(path, false);
            }
        } else if own.copy.is_none() && !is_clone {
            for path in self.untracked_code() {
                self.place_file(path, true);
            }
        }
        self.place_named(words, is_clone);
        Ok(())
    }

    /// Places the files that the command names, and the modules that its script imports.
    fn place_named(&mut self, words: &[String], is_clone: bool) {
        let workdir = self.root.join(&self.below);
        for (index, word) in words.iter().enumerate() {
            for name in candidates(word).filter(|name| index > 0 || name.contains('/')) {
                let path = workdir.join(name);
                let Some(inside) = self.position(Path::new(name)) else {
                    continue;
                };
                if !path.is_file() || self.is_tracked(&inside) {
                    continue;
                }
                let environment = inside
                    .ancestors()
                    .take(3)
                    .find(|folder| self.home.join(folder).join("pyvenv.cfg").is_file());
                if let Some(environment) = environment {
                    // An interpreter finds its packages from its place in its environment.
                    self.link(environment.to_owned());
                } else if index == 0 || !is_output(&inside) {
                    self.place_file(inside, true);
                }
            }
        }
        if is_clone {
            return;
        }
        let scripts = words.iter().filter(|word| word.ends_with(".py"));
        for script in scripts {
            for file in imported_files(&workdir.join(script), &workdir) {
                if let Some(inside) = self
                    .position(&file)
                    .filter(|inside| !self.is_tracked(inside))
                {
                    self.place_file(inside, true);
                }
            }
        }
    }

    /// Places the tracked files. Those below a link are there already.
    fn place_tracked(&mut self) {
        for path in self.tracked.clone().into_iter().flatten() {
            self.place_file(path, false);
        }
    }

    /// Places a file: as a copy, or as a link if it is large. A link of the project stays a link.
    fn place_file(&mut self, path: PathBuf, is_untracked: bool) {
        let top = if is_untracked { &self.home } else { &self.root };
        let from = top.join(&path);
        let Ok(about) = from.symlink_metadata() else {
            return;
        };
        // A clone lies in the logs itself.
        let is_log = from.starts_with(&self.logs) && !top.starts_with(&self.logs);
        if self.is_placed(&path) || is_log {
            return;
        }
        let placed = if about.is_symlink() {
            let Ok(target) = fs::read_link(&from) else {
                return;
            };
            let above = path.parent().unwrap_or(Path::new(""));
            match target.is_relative() && without_dots(&above.join(&target)).is_none() {
                true => Placed::Link(from.parent().unwrap_or(top).join(target)),
                false => Placed::Link(target),
            }
        } else if !about.is_file() {
            return;
        } else if about.len() > LARGEST_COPY && !self.shares_blocks {
            Placed::Link(from)
        } else {
            self.bytes += about.len();
            Placed::Copy(from)
        };
        if is_untracked {
            self.untracked.insert(path.clone());
        }
        self.placed.insert(path, placed);
    }

    /// Links a folder or file, unless it is there already or contains the folder of the trials.
    fn link(&mut self, path: PathBuf) {
        let from = self.home.join(&path);
        let holds_workdir = path.as_os_str().is_empty() || self.below.starts_with(&path);
        let holds_copies = self
            .placed
            .range(path.clone()..)
            .next()
            .is_some_and(|(next, _)| next.starts_with(&path));
        if !from.exists() || holds_workdir || holds_copies || self.is_placed(&path) {
            return;
        }
        self.untracked.insert(path.clone());
        self.placed.insert(path, Placed::Link(from));
    }

    /// Copies a file or all files of a folder, whatever their sizes.
    fn copy_all(&mut self, path: &Path) -> Result<(), WorkError> {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            let from = self.home.join(&path);
            let Ok(about) = fs::metadata(&from) else {
                continue;
            };
            if about.is_dir() && !from.starts_with(&self.logs) {
                let entries = fs::read_dir(&from).into_iter().flatten().flatten();
                waiting.extend(entries.map(|entry| path.join(entry.file_name())));
            } else if about.is_file() {
                self.bytes += about.len();
                self.untracked.insert(path.clone());
                self.placed.insert(path, Placed::Copy(from));
            }
            if self.placed.len() + waiting.len() > MOST_FILES {
                return Err(self.too_many());
            }
        }
        Ok(())
    }

    /// Returns the data, packages and builds that git does not track.
    fn default_links(&self) -> BTreeSet<PathBuf> {
        let mut links = BTreeSet::new();
        for (path, _) in self.untracked_entries() {
            let folders: Vec<&Path> = path.ancestors().collect();
            let mut folders = folders.into_iter().rev();
            let link = folders.find(|folder| self.is_linked_name(folder));
            links.extend(link.map(Path::to_path_buf));
        }
        links
    }

    fn is_linked_name(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        let folder = self.home.join(path);
        LINKED.iter().any(|linked| name == *linked)
            && match name.to_str() {
                Some("env" | "venv") => ["pyvenv.cfg", "conda-meta"]
                    .iter()
                    .any(|file| folder.join(file).exists()),
                Some("target") => folder.with_file_name("Cargo.toml").is_file(),
                _ => true,
            }
    }

    /// Returns the files that people write and git does not track yet. A clone has none.
    fn untracked_code(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let files = listed(&self.home, &["--others", "--exclude-standard"]).unwrap_or_default();
        files
            .into_iter()
            .filter(|path| is_written_by_people(path) && !is_output(path))
    }

    /// Returns all files of a project without git that are not in folders of outputs or links.
    fn walked(&self) -> Result<Vec<PathBuf>, WorkError> {
        let (mut files, mut entries) = (Vec::new(), 0);
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(self.root.join(&folder))
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = folder.join(entry.file_name());
                entries += 1;
                if entries > MOST_ENTRIES {
                    return Err(self.too_many());
                }
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if !is_folder {
                    files.push(path);
                } else if !is_output(&path) && !self.is_placed(&path) && entry.path() != self.logs {
                    waiting.push(path);
                }
            }
        }
        Ok(files)
    }

    /// Returns the untracked folders and files, a folder in place of all that is in it, and whether
    /// each is a folder.
    fn untracked_entries(&self) -> Vec<(PathBuf, bool)> {
        let listed = self.tracked.as_ref().and_then(|_| {
            let words = ["--others", "--directory", "--no-empty-directory"];
            listed(&self.home, &words)
        });
        let entries: Vec<PathBuf> = match listed {
            Some(listed) => listed.into_iter().collect(),
            None => fs::read_dir(&self.home)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().into())
                .collect(),
        };
        entries
            .into_iter()
            .map(|path| {
                let path: PathBuf = path.components().collect();
                let is_folder = self.home.join(&path).is_dir();
                (path, is_folder)
            })
            .filter(|(path, _)| !self.home.join(path).starts_with(&self.logs))
            .collect()
    }

    fn is_tracked(&self, path: &Path) -> bool {
        self.tracked
            .as_ref()
            .is_some_and(|tracked| tracked.contains(path))
    }

    /// Returns whether a path is placed, by itself or as part of a linked folder.
    fn is_placed(&self, path: &Path) -> bool {
        self.placed.contains_key(path)
            || path
                .ancestors()
                .skip(1)
                .any(|folder| matches!(self.placed.get(folder), Some(Placed::Link(_))))
    }

    /// Returns the position in the project of a path in the sweep file; `None` if it lies outside.
    fn position(&self, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            let inside = path
                .strip_prefix(&self.home)
                .or_else(|_| path.strip_prefix(&self.root));
            return without_dots(inside.ok()?);
        }
        without_dots(&self.below.join(path))
    }

    fn inside(&self, key: &'static str, path: &str) -> Result<PathBuf, WorkError> {
        self.position(Path::new(path))
            .ok_or_else(|| WorkError::Outside {
                key,
                path: path.to_owned(),
                folder: self.home.clone(),
            })
    }

    fn too_many(&self) -> WorkError {
        WorkError::TooMany {
            folder: self.home.clone(),
        }
    }

    /// Returns the plan.
    fn finish(self) -> Result<WorkPlan, WorkError> {
        let absent = self
            .untracked_entries()
            .into_iter()
            .filter(|(path, is_folder)| {
                let mut within = self.placed.range(path.clone()..);
                let is_seen = within
                    .next()
                    .is_some_and(|(next, _)| next.starts_with(path));
                !is_seen
                    && !self.is_placed(path)
                    && !is_noise(path)
                    && (*is_folder || !is_hidden(path))
            });
        let mut absent: Vec<String> = absent
            .map(|(path, is_folder)| {
                format!("{}{}", path.display(), if is_folder { "/" } else { "" })
            })
            .collect();
        absent.sort();
        let mut plan = WorkPlan {
            absent,
            bytes: self.bytes,
            ..WorkPlan::default()
        };
        let mut files = WorkFiles {
            project: self.root.clone(),
            below: self.below.clone(),
            shares_blocks: self.shares_blocks,
            ..WorkFiles::default()
        };
        for (path, placed) in self.placed {
            let is_own = self.untracked.contains(&path);
            let name = path.display().to_string();
            match placed {
                Placed::Copy(from) if from == self.root.join(&path) => {
                    if is_own {
                        plan.copied.push(name);
                    }
                    files.tracked.push(path);
                }
                Placed::Copy(from) => {
                    plan.copied.push(name);
                    files.copies.push(WorkFile { path, from });
                }
                Placed::Link(from) => {
                    if is_own {
                        plan.linked.push(name);
                    }
                    files.links.push(WorkFile { path, from });
                }
            }
        }
        if files.tracked.len() + files.copies.len() > MOST_FILES {
            return Err(WorkError::TooMany { folder: self.root });
        }
        plan.files = files;
        Ok(plan)
    }
}

/// Returns the paths that `git ls-files` lists, relative to `folder`; `None` if git fails.
fn listed(folder: &Path, words: &[&str]) -> Option<BTreeSet<PathBuf>> {
    let output = git(folder, &["ls-files", "-z"]).args(words).output().ok()?;
    let names = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
    output.status.success().then(|| paths.collect())
}

/// Returns a path without links, although its last folders may not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find_map(|folder| {
        let inside = path.strip_prefix(folder).ok()?;
        Some(folder.canonicalize().ok()?.join(inside))
    });
    // Joining an empty path leaves a slash at the end.
    existing.unwrap_or(path).components().collect()
}

fn first_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.is_file())
}

/// Returns whether copies of a file in the folder of logs can share its blocks. Leaves no trace.
fn can_share_blocks(file: &Path, logs: &Path) -> bool {
    let Some(folder) = logs.ancestors().find(|folder| folder.is_dir()) else {
        return false;
    };
    let copy = tempfile::tempfile_in(folder);
    let original = swath_log::regular::open(file);
    matches!((original, copy), (Ok(original), Ok(copy)) if share_blocks(&original, &copy))
}

/// Removes `.` and `..` by name; `None` if `..` leads above the start of the path.
fn without_dots(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if clean.pop() => {}
            Component::ParentDir => return None,
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Some(clean)
}

/// Returns the files and folders that the command names, or that its script imports, and that are
/// no part of the commit: trials in a clone do not find them.
pub(super) fn missing_in_clone(checkout: &Checkout, words: &[String]) -> Vec<String> {
    let top = &checkout.root;
    let workdir = &top.join(&checkout.prefix);
    let words_of_git = [
        "ls-tree",
        "-r",
        "-z",
        "--name-only",
        "--full-tree",
        &checkout.commit,
    ];
    let Ok(output) = git(top, &words_of_git).output() else {
        return Vec::new();
    };
    let committed: BTreeSet<PathBuf> = output
        .stdout
        .split(|byte| *byte == 0)
        .map(|name| PathBuf::from(OsString::from_vec(name.to_vec())))
        .collect();
    let named = words.iter().skip(1).flat_map(|word| candidates(word));
    let mut needed: BTreeSet<PathBuf> = named.map(|name| workdir.join(name)).collect();
    needed.extend(
        words
            .first()
            .filter(|name| name.contains('/'))
            .map(|name| workdir.join(name)),
    );
    for script in words.iter().filter(|word| word.ends_with(".py")) {
        needed.extend(imported_files(&workdir.join(script), workdir));
    }
    let mut missing: Vec<String> = needed
        .iter()
        .filter(|path| path.exists())
        .filter_map(|path| without_dots(path.strip_prefix(top).ok()?))
        .filter(|path| {
            let mut within = committed.range(path.clone()..);
            !within.next().is_some_and(|next| next.starts_with(path))
        })
        .map(|path| path.display().to_string())
        .collect();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests;
