//! Versions of the code: `[run] code` decides whether trials run in the working directory, which
//! may have to be clean, or in a clone of its commit.

use super::Options;
use super::work::missing_in_clone;
use crate::sweep::{Code, Sweep};
use std::borrow::Cow;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::git::git;
use swath_engine::provenance::{Checkout, Git, patch};
use swath_model::source::secret::Secrets;

/// Maximum number of changed files in a message.
const NAMED: usize = 5;

/// An error that prevents trials from running the demanded version of the code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The working directory is in no git repository with a commit.
    #[error("`code = \"{code}\"` needs a git repository with a commit, and `{}` is in none", .folder.display())]
    NoRepository {
        /// The value of `code` in the sweep file.
        code: &'static str,
        /// The working directory of the trials.
        folder: PathBuf,
    },
    /// The code differs from the commit, and `code` is `clean`.
    #[error("`code = \"clean\"`, but the code differs from commit {commit}: {}", named(.files))]
    Dirty {
        /// The abbreviated commit.
        commit: String,
        /// The files that differ.
        files: Vec<String>,
    },
    /// The working directory is not part of the commit.
    #[error("`code = \"clone\"`, but commit {commit} has no folder `{}`", .folder.display())]
    NotCommitted {
        /// The abbreviated commit.
        commit: String,
        /// The folder, relative to the top of the repository.
        folder: PathBuf,
    },
    /// The clone could not be made.
    #[error("commit {commit} could not be cloned to `{}`: {why}", .folder.display())]
    Clone {
        /// The abbreviated commit.
        commit: String,
        /// The path of the clone.
        folder: PathBuf,
        /// The last line of git's error output.
        why: String,
    },
}

impl CodeError {
    /// Returns a hint for the user.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoRepository { .. } => {
                "`git init`, `git add`, `git commit`; or leave `code` out of [run]: trials then run in the folder as it is"
            }
            Self::Dirty { .. } => {
                "commit or stash the changes, or write `code = \"snapshot\"`, which keeps the difference as a patch"
            }
            Self::NotCommitted { .. } => "commit the folder, or leave `code` out of [run]",
            Self::Clone { .. } => {
                "no trial was started; fix the cause and run again, or leave `code` out of [run]"
            }
        }
    }
}

/// Joins at most [`NAMED`] names of files.
fn named(files: &[String]) -> String {
    let shown: Vec<_> = files
        .iter()
        .take(NAMED)
        .map(|file| format!("`{file}`"))
        .collect();
    let rest = files.len().saturating_sub(NAMED);
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

/// The version of the code that a run uses, before any clone is made.
pub(super) struct Version<'a> {
    /// The sweep, with the folders that trials use.
    pub(super) sweep: Cow<'a, Sweep>,
    /// The state of the repository; `None` without one.
    pub(super) git: Option<Git>,
    clone: Option<Cloned>,
}

/// A clone to be made.
struct Cloned {
    from: PathBuf,
    commit: String,
    to: PathBuf,
    /// Files with uncommitted changes, which the clone will lack.
    without: Vec<String>,
    /// Files that the trials need and the clone will lack, because they are no part of the commit.
    missing: Vec<String>,
}

impl<'a> Version<'a> {
    /// Determines the version of the code for the trials of a sweep. Fails if `[run] code` cannot
    /// be met.
    pub(super) fn of(
        sweep: Cow<'a, Sweep>,
        options: &Options,
        dir: &StudyDir,
        secrets: &Secrets,
    ) -> Result<Self, CodeError> {
        let workdir = options
            .workdir
            .join(sweep.run.workdir.clone().unwrap_or_default());
        let mut besides = vec![
            options.logs.clone(),
            options.workdir.join(&sweep.source.name),
        ];
        let preparations = sweep.preparations.iter();
        let data = preparations.flat_map(|preparation| &preparation.plan.data_dir);
        let data = data.chain(&sweep.run.data_dir);
        besides.extend(data.map(|path| workdir.join(path)));
        let named: Vec<_> = sweep
            .run
            .command
            .words()
            .iter()
            .chain(sweep.run.configs.iter().map(|file| &file.path))
            .map(|word| workdir.join(word))
            .collect();
        let git = Git::of(&workdir, &besides, &named, secrets);
        let code = sweep.run.code;
        if code == Code::Snapshot {
            return Ok(Self {
                sweep,
                git,
                clone: None,
            });
        }
        let checkout = Checkout::of(&workdir);
        let (Some(git), Some(checkout)) = (git, checkout) else {
            return Err(CodeError::NoRepository {
                code: code.name(),
                folder: workdir,
            });
        };
        let mut files: Vec<String> = patch::files(&git.patch).into_keys().collect();
        files.extend(git.left_out.iter().cloned());
        // The sweep file is stored on its own, so its changes do not count.
        let own = options.workdir.join(&sweep.source.name).canonicalize().ok();
        files.retain(|file| own.is_none() || checkout.root.join(file).canonicalize().ok() != own);
        match code {
            Code::Clone => Self::cloned(sweep, workdir, git, checkout, files, dir),
            _ if files.is_empty() => Ok(Self {
                sweep,
                git: Some(git),
                clone: None,
            }),
            _ => Err(CodeError::Dirty {
                commit: short(&git.commit),
                files,
            }),
        }
    }

    /// Returns the version for trials that run in a clone, which lacks the changed `files`.
    fn cloned(
        sweep: Cow<'a, Sweep>,
        workdir: PathBuf,
        git: Git,
        checkout: Checkout,
        files: Vec<String>,
        dir: &StudyDir,
    ) -> Result<Self, CodeError> {
        if !checkout.contains(&checkout.prefix) {
            return Err(CodeError::NotCommitted {
                commit: short(&git.commit),
                folder: checkout.prefix,
            });
        }
        let to = absolute(dir.clone_of(&git.commit)).unwrap_or_else(|_| dir.clone_of(&git.commit));
        let mut sweep = sweep.into_owned();
        // Data sets are not part of the clone: they stay where they are.
        for path in sweep.data_paths_mut() {
            *path = workdir.join(&*path).display().to_string();
        }
        sweep.run.data_home = Some(workdir);
        sweep.run.workdir = Some(to.join(&checkout.prefix));
        let missing = missing_in_clone(&checkout, &sweep.run.command.words());
        let clone = Cloned {
            missing,
            from: checkout.root,
            commit: git.commit.clone(),
            to,
            without: files,
        };
        // A clone has no uncommitted changes.
        let git = Git {
            dirty: false,
            patch: Vec::new(),
            patch_md5: None,
            left_out: Vec::new(),
            ..git
        };
        Ok(Self {
            sweep: Cow::Owned(sweep),
            git: Some(git),
            clone: Some(clone),
        })
    }

    /// Makes the clone, if one is needed. Returns a message for the user if it lacks uncommitted
    /// changes.
    pub(super) fn make(&self) -> Result<Option<String>, CodeError> {
        let Some(clone) = &self.clone else {
            return Ok(None);
        };
        check_out(&clone.from, &clone.commit, &clone.to)?;
        let commit = short(&clone.commit);
        let mut notices = Vec::new();
        if !clone.without.is_empty() {
            let files = named(&clone.without);
            notices.push(format!(
                "trials run commit {commit} without the uncommitted changes of {files}"
            ));
        }
        if !clone.missing.is_empty() {
            let files = named(&clone.missing);
            notices.push(format!(
                "commit {commit} lacks files that the command names or its script imports: {files}; \
                 commit them, or trials that need them fail"
            ));
        }
        Ok((!notices.is_empty()).then(|| notices.join("\n")))
    }
}

/// Makes `to` a clean checkout of a commit of the repository in `from`. An existing clone is used
/// again; its untracked files stay, such as the results of a setup.
///
/// # Errors
/// If git fails, with the last line of its error output.
pub fn check_out(from: &Path, commit: &str, to: &Path) -> Result<(), CodeError> {
    try_check_out(from, commit, to).map_err(|why| CodeError::Clone {
        commit: short(commit),
        folder: to.to_owned(),
        why,
    })
}

fn try_check_out(from: &Path, commit: &str, to: &Path) -> Result<(), String> {
    // The files of an existing clone may have been changed since: restore them.
    if to.join(".git").exists() {
        return force_checkout(to, commit);
    }
    // Clone into a temporary folder and rename it, so that an interrupted clone is never used.
    let parent = to.parent().unwrap_or(Path::new("."));
    let partial = std::fs::create_dir_all(parent)
        .and_then(|()| tempfile::Builder::new().prefix(".clone").tempdir_in(parent))
        .map_err(|error| error.to_string())?;
    let inside = partial.path().join("clone");
    let mut clone = git(from, &["clone", "--quiet", "--shared", "--no-checkout"]);
    clone.arg(from).arg(&inside);
    run(clone)?;
    force_checkout(&inside, commit)?;
    std::fs::rename(&inside, to).map_err(|error| error.to_string())
}

fn force_checkout(folder: &Path, commit: &str) -> Result<(), String> {
    let arguments = [
        "-c",
        "advice.detachedHead=false",
        "checkout",
        "--quiet",
        "--force",
        "--detach",
        commit,
    ];
    run(git(folder, &arguments))
}

/// Runs a command. The error is the last line of its error output.
fn run(mut command: Command) -> Result<(), String> {
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last_line = text.lines().rfind(|line| !line.trim().is_empty());
    Err(last_line.unwrap_or("git failed").trim().to_owned())
}

/// Abbreviates a commit.
fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn the_first_files_are_named_and_the_rest_counted() {
        let many: Vec<String> = (0..7).map(|n| format!("f{n}")).collect();
        assert_eq!(named(&many), "`f0`, `f1`, `f2`, `f3`, `f4` and 2 more");
        assert_eq!(named(&many[..1]), "`f0`");
    }
}
