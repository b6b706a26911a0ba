//! A temporary copy of the current folder, in which a program can run without leaving anything.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use tempfile::TempDir;

/// Maximum size in bytes of a file that is copied (1 MiB). A larger one is linked.
const LARGEST_COPY: u64 = 1 << 20;

/// Maximum number of files that are copied. In a larger project everything is linked.
const MOST_FILES: usize = 5000;

/// Names of folders that training programs write. What an earlier run left there is not linked,
/// since a program may resume from it.
const OUTPUTS: [&str; 18] = [
    ".git",
    "__pycache__",
    "logs",
    "lightning_logs",
    "tb_logs",
    "runs",
    "wandb",
    "mlruns",
    "outputs",
    "output",
    "out",
    "multirun",
    "results",
    "checkpoints",
    "checkpoint",
    "ckpt",
    "ckpts",
    "catboost_info",
];

/// A folder with the files of the project.
pub(super) struct Place {
    folder: TempDir,
    /// The size and the time of each copied file when it was copied.
    copied: BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
}

/// A file or folder that a run wrote, directly in the folder in which it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) is_folder: bool,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Place {
    /// Copies the files of a project: those that git tracks or would track, otherwise all. Large
    /// files and what git ignores become symbolic links.
    pub(super) fn of(project: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("swath-init-").tempdir()?;
        let mut place = Self {
            folder,
            copied: BTreeMap::new(),
        };
        let files = tracked(project).map_or_else(|| walked(project, is_no_source), Ok)?;
        if files.len() <= MOST_FILES {
            for file in &files {
                place.copy(project, file)?;
            }
        }
        place.link_rest(project)?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn copy(&mut self, project: &Path, file: &Path) -> io::Result<()> {
        let from = project.join(file);
        let Ok(about) = from.symlink_metadata() else {
            // Git also lists files that were deleted.
            return Ok(());
        };
        let to = self.path().join(file);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // A link to something inside of the project is relative, so that it leads to the copy.
        if about.is_symlink() {
            return symlink(std::fs::read_link(&from)?, &to);
        }
        if !about.is_file() || about.len() > LARGEST_COPY {
            return symlink(&from, &to);
        }
        std::fs::copy(&from, &to)?;
        let written_at = to.metadata()?.modified().ok();
        self.copied
            .insert(file.to_owned(), (about.len(), written_at));
        Ok(())
    }

    /// Links the entries of the project that are not here, such as data that git ignores.
    fn link_rest(&self, project: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(project)? {
            let entry = entry?;
            let name = entry.file_name();
            let to = self.path().join(&name);
            let is_output = OUTPUTS.iter().any(|output| name == *output);
            if !is_output && to.symlink_metadata().is_err() {
                symlink(entry.path(), to)?;
            }
        }
        Ok(())
    }

    /// Returns the files and folders that were written here since the copy was made.
    pub(super) fn written(&self) -> io::Result<Vec<Written>> {
        let mut all: BTreeMap<String, Written> = BTreeMap::new();
        for file in walked(self.path(), is_cache)? {
            let about = self.path().join(&file).symlink_metadata()?;
            let before = self.copied.get(&file);
            let is_unchanged = before == Some(&(about.len(), about.modified().ok()));
            if is_unchanged || !about.is_file() {
                continue;
            }
            let Some(first) = file.components().next() else {
                continue;
            };
            let name = first.as_os_str().to_string_lossy().into_owned();
            let written = all.entry(name.clone()).or_insert(Written {
                name,
                is_folder: file.components().count() > 1,
                files: 0,
                bytes: 0,
            });
            written.files += 1;
            written.bytes += about.len();
        }
        Ok(all.into_values().collect())
    }
}

/// Returns the paths of the files below a folder that git tracks or would track. `None` if the
/// folder is in no repository.
fn tracked(project: &Path) -> Option<Vec<PathBuf>> {
    use std::os::unix::ffi::OsStrExt as _;
    let listed = Command::new("git")
        .arg("-C")
        .arg(project)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let paths = listed.stdout.split(|byte| *byte == 0);
    let paths = paths.filter(|path| !path.is_empty());
    Some(
        paths
            .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
            .collect(),
    )
}

/// Returns the paths of the files and links below a folder, without those in the folders that
/// `is_skipped` names. Stops soon after [`MOST_FILES`].
fn walked(root: &Path, is_skipped: fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if !entry.file_type()?.is_dir() {
                files.push(path);
            } else if !is_skipped(&entry.path()) {
                folders.push(path);
            }
        }
        if files.len() > MOST_FILES {
            break;
        }
    }
    Ok(files)
}

/// Returns whether a folder contains no sources: it is hidden, a virtual environment, or output.
fn is_no_source(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || OUTPUTS.contains(&&*name)
        || name == "node_modules"
        || folder.join("pyvenv.cfg").exists()
}

fn is_cache(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "__pycache__")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_finds_the_project_and_leaves_nothing_in_it() {
        let project = tempfile::tempdir().unwrap();
        let root = project.path();
        fs::create_dir_all(root.join("lib/sub")).unwrap();
        fs::create_dir_all(root.join("checkpoints")).unwrap();
        fs::write(root.join("lib/sub/a.py"), "a").unwrap();
        fs::write(root.join("train.py"), "t").unwrap();
        fs::write(root.join("checkpoints/last.json"), "old").unwrap();
        fs::write(root.join("data.bin"), vec![0; 2 << 20]).unwrap();
        let place = Place::of(root).unwrap();
        let here = place.path();
        assert_eq!(fs::read(here.join("lib/sub/a.py")).unwrap(), b"a");
        assert!(here.join("data.bin").is_symlink());
        assert!(!here.join("checkpoints").exists(), "left by an earlier run");
        assert_eq!(place.written().unwrap(), []);
        fs::create_dir(here.join("checkpoints")).unwrap();
        fs::write(here.join("checkpoints/last.json"), "new").unwrap();
        fs::write(here.join("train.py"), "changed").unwrap();
        fs::create_dir(here.join("__pycache__")).unwrap();
        fs::write(here.join("__pycache__/train.pyc"), "").unwrap();
        let names: Vec<_> = place
            .written()
            .unwrap()
            .into_iter()
            .map(|it| it.name)
            .collect();
        assert_eq!(names, ["checkpoints", "train.py"]);
        assert_eq!(fs::read(root.join("train.py")).unwrap(), b"t");
    }
}
