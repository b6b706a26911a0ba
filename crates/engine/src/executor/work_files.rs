//! The private working directory of a trial: the folder `work` in the trial's folder, in which the
//! project stands. A program finds there what it reads, and what it writes stays its own.
//!
//! The folders are real and the files are copies, because Python resolves the links that lead to a
//! script before it looks for the script's neighbours, and because writes go through links.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use swath_log::{WORK, regular, share_blocks};

/// Size of the largest file that is copied where the file system cannot share blocks, in bytes.
pub const LARGEST_COPY: u64 = 1 << 20;

/// Length of the end of the error output in which names of missing files are looked for, in bytes.
const LAST_WORDS: usize = 4096;

/// The files that stand in the private working directory of each trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkFiles {
    /// Folder of the project: the top of its checkout or, without git, the folder itself.
    pub project: PathBuf,
    /// Folder in which trials run, relative to that of the project.
    pub below: PathBuf,
    /// Files of the project that are copied, relative to it and sorted.
    pub tracked: Vec<PathBuf>,
    /// Further files that are copied, for example from beside a clone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<WorkFile>,
    /// Symbolic links.
    pub links: Vec<WorkFile>,
    /// Whether copies can share the blocks of their originals.
    pub shares_blocks: bool,
}

/// A file or link in the private working directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkFile {
    /// Path relative to the top of the private working directory.
    pub path: PathBuf,
    /// Path of the original, or text of the link.
    pub from: PathBuf,
}

impl WorkFiles {
    /// Returns the working directory of a trial, relative to the trial's folder.
    #[must_use]
    pub fn workdir(&self) -> PathBuf {
        // Joining an empty path would leave a slash at the end.
        Path::new(WORK).join(&self.below).components().collect()
    }

    /// Returns whether a path relative to the working directory is that of a file or folder in it.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.components().all(is_plain) {
            return false;
        }
        let path: PathBuf = self.below.join(path).components().collect();
        let mut further = self.copies.iter();
        self.links.iter().any(|link| path.starts_with(&link.path))
            || self.tracked.iter().any(|file| file.starts_with(&path))
            || further.any(|file| file.path.starts_with(&path))
    }

    /// Places the files in a trial's folder. An attempt that resumes gets the folder of the attempt
    /// before it, in which files of the project that have changed since are replaced.
    ///
    /// # Errors
    /// Fails if a folder or file cannot be made.
    pub(super) fn place(&self, trial_dir: &Path, resumes: bool) -> io::Result<()> {
        let work = trial_dir.join(WORK);
        if resumes && work.is_dir() {
            return self.fill(&work);
        }
        // The folder is made under another name, so that no attempt ever finds half of it.
        let partial = tempfile::Builder::new()
            .prefix(".tmp-work")
            .tempdir_in(trial_dir)?;
        let made = partial.path().join(WORK);
        fs::create_dir(&made)?;
        self.fill(&made)?;
        // A power failure may have taken the start of an attempt from the journal, but not its files.
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(made, work)
    }

    /// Returns the files that the error output of a failed attempt names, and that the project has but
    /// the private working directory lacks.
    pub(super) fn missing(&self, trial_dir: &Path) -> Vec<String> {
        let work = trial_dir.join(self.workdir());
        let project = self.project.join(&self.below);
        let output = regular::read(&trial_dir.join("stderr.log")).unwrap_or_default();
        let end = &output[output.len().saturating_sub(LAST_WORDS)..];
        let text = String::from_utf8_lossy(end);
        let mut missing: Vec<String> = Vec::new();
        for word in text.split(['\'', '"', '`', '\u{2018}', '\u{2019}', '\n']) {
            let work = work.to_string_lossy();
            let word = word
                .strip_prefix(&*work)
                .map_or(word, |rest| rest.trim_start_matches('/'));
            // Python names a module that it does not find: `net.layers`.
            let module = word.replace('.', "/");
            let names = [word.to_owned(), format!("{module}.py"), module];
            let lacks = |name: &&String| {
                let path = Path::new(name.as_str());
                let is_inside = path
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                is_inside
                    && !word.is_empty()
                    && word.len() < LAST_WORDS / 8
                    && project.join(path).exists()
                    && !Path::new(&*work).join(path).exists()
            };
            missing.extend(names.iter().find(lacks).cloned());
        }
        missing.sort();
        missing.dedup();
        missing
    }

    fn fill(&self, work: &Path) -> io::Result<()> {
        let mut copier = Copier {
            shares_blocks: self.shares_blocks,
            buffer: Vec::new(),
        };
        let mut folder = None;
        for path in &self.tracked {
            make_parent(work, path, &mut folder)?;
            copier.copy(&self.project.join(path), &work.join(path))?;
        }
        for WorkFile { path, from } in &self.copies {
            make_parent(work, path, &mut folder)?;
            copier.copy(from, &work.join(path))?;
        }
        for WorkFile { path, from } in &self.links {
            make_parent(work, path, &mut folder)?;
            match symlink(from, work.join(path)) {
                // A resumed attempt has its links already, or a file of its own in their place.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        fs::create_dir_all(work.join(&self.below))
    }
}

/// Makes the folder above `path`, unless it is that of the file before it, which `last` holds.
fn make_parent<'a>(work: &Path, path: &'a Path, last: &mut Option<&'a Path>) -> io::Result<()> {
    let parent = path.parent();
    if parent != *last
        && let Some(parent) = parent
    {
        fs::create_dir_all(work.join(parent))?;
        *last = Some(parent);
    }
    Ok(())
}

struct Copier {
    shares_blocks: bool,
    buffer: Vec<u8>,
}

impl Copier {
    /// Copies a file with its mode and the time of its last change. A copy that exists already is
    /// replaced if the original is newer. An original that is gone is left out.
    fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut original = match regular::open(from) {
            Ok(original) => original,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(named(from, &error)),
        };
        let about = original.metadata()?;
        let modified = about.modified()?;
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(about.permissions().mode() & 0o777);
        let mut copy = match options.open(to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::metadata(to)?.modified()? >= modified {
                    return Ok(());
                }
                fs::remove_file(to)?;
                options.open(to)?
            }
            opened => opened.map_err(|error| named(to, &error))?,
        };
        self.shares_blocks = self.shares_blocks && share_blocks(&original, &copy);
        if !self.shares_blocks {
            self.copy_bytes(&mut original, &mut copy, about.len())
                .map_err(|error| named(from, &error))?;
        }
        // Python takes compiled files for outdated if the time of their source differs.
        copy.set_times(FileTimes::new().set_modified(modified))
    }

    fn copy_bytes(&mut self, original: &mut File, copy: &mut File, size: u64) -> io::Result<()> {
        if size > LARGEST_COPY {
            return io::copy(original, copy).map(drop);
        }
        self.buffer.clear();
        original.take(size).read_to_end(&mut self.buffer)?;
        copy.write_all(&self.buffer)
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        // The error of the operating system tells whether the machine is short of something.
        Some(_) if super::shortage::Shortage::of(error).is_some() => {
            io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default())
        }
        _ => io::Error::new(error.kind(), format!("`{}`: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project with a script in `exp`, a data set that is linked, and its files.
    fn project(folder: &Path) -> WorkFiles {
        let project = folder.join("project");
        fs::create_dir_all(project.join("exp/lib")).unwrap();
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::create_dir_all(folder.join("3")).unwrap();
        fs::write(folder.join("data/x.csv"), "1,2\n").unwrap();
        fs::write(project.join("exp/train.sh"), "echo\n").unwrap();
        fs::write(project.join("exp/lib/a.py"), "a = 1\n").unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(project.join("exp/train.sh"), mode).unwrap();
        WorkFiles {
            project,
            below: "exp".into(),
            tracked: ["exp/lib/a.py", "exp/train.sh", "gone.py"]
                .map(PathBuf::from)
                .to_vec(),
            copies: Vec::new(),
            links: vec![WorkFile {
                path: "exp/data".into(),
                from: folder.join("data"),
            }],
            shares_blocks: true,
        }
    }

    #[test]
    fn a_private_folder_has_copies_in_real_folders_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let files = project(folder.path());
        let trial = folder.path().join("3");
        files.place(&trial, false).unwrap();
        let workdir = trial.join(files.workdir());
        assert_eq!(workdir, trial.join("work/exp"));
        let script = workdir.join("train.sh");
        assert!(!script.is_symlink() && !workdir.join("lib").is_symlink());
        let (copy, original) = (
            fs::metadata(&script).unwrap(),
            files.project.join("exp/train.sh"),
        );
        let original = fs::metadata(original).unwrap();
        assert_eq!(copy.permissions().mode() & 0o777, 0o755);
        assert_eq!(copy.modified().unwrap(), original.modified().unwrap());
        assert_eq!(
            fs::read_to_string(workdir.join("data/x.csv")).unwrap(),
            "1,2\n"
        );
        assert!(!trial.join("work/gone.py").exists());
        let held = ["data", "./data/x.csv", "lib"].map(|path| files.holds(Path::new(path)));
        let others = ["../data", "absent", "/data"].map(|path| files.holds(Path::new(path)));
        assert_eq!((held, others), ([true; 3], [false; 3]));
        let entries = fs::read_dir(&trial).unwrap().count();
        assert_eq!(entries, 1, "nothing else stays in the trial's folder");
    }

    #[test]
    fn files_that_only_the_project_has_are_found_in_the_error_output() {
        let folder = tempfile::tempdir().unwrap();
        let files = project(folder.path());
        let trial = folder.path().join("3");
        files.place(&trial, false).unwrap();
        for name in ["vocab.json", "helpers.py", "notes.txt"] {
            fs::write(files.project.join("exp").join(name), "").unwrap();
        }
        let work = trial.join("work/exp");
        let text = format!(
            "File \"{}/train.sh\"\nNo such file: '{}/vocab.json'\nNo module named 'helpers'\n\
             '/etc/hostname' '../gone.py' 'lib.a' 'absent.txt'\n",
            work.display(),
            work.display()
        );
        fs::write(trial.join("stderr.log"), text).unwrap();
        assert_eq!(files.missing(&trial), ["helpers.py", "vocab.json"]);
    }

    #[test]
    fn a_resumed_attempt_keeps_its_own_files_and_gets_changed_ones_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let files = project(folder.path());
        let trial = folder.path().join("3");
        files.place(&trial, false).unwrap();
        let workdir = trial.join(files.workdir());
        fs::write(workdir.join("last.json"), "3").unwrap();
        fs::write(workdir.join("train.sh"), "written by the trial").unwrap();
        let code = files.project.join("exp/lib/a.py");
        fs::write(&code, "a = 2\n").unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        File::options()
            .append(true)
            .open(&code)
            .unwrap()
            .set_modified(later)
            .unwrap();
        files.place(&trial, true).unwrap();
        let read = |name: &str| fs::read_to_string(workdir.join(name)).unwrap();
        assert_eq!(read("last.json"), "3");
        assert_eq!(read("train.sh"), "written by the trial");
        assert_eq!(read("lib/a.py"), "a = 2\n");
        files.place(&trial, false).unwrap();
        assert!(
            !workdir.join("last.json").exists(),
            "a new attempt begins anew"
        );
    }
}
