//! Copies the folder of code that is under no version control. Large files become links.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The largest file that is copied, in bytes; larger ones are linked.
const COPIED: u64 = 16 << 20;
/// Maximum number of bytes to copy.
const LARGEST_SUM: u64 = 1 << 30;
/// Maximum number of files to copy.
const MOST: usize = 50_000;

/// Copies a folder, except for the files and folders in `besides`.
///
/// # Errors
/// If a file cannot be copied, or a maximum is exceeded.
pub(super) fn copy(from: &Path, to: &Path, besides: &[PathBuf]) -> io::Result<()> {
    let besides: Vec<_> = besides
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let mut copied = Copied {
        files: 0,
        bytes: 0,
        besides,
    };
    copied.folder(&from.canonicalize()?, to)
}

/// A copy in progress, with the sums of the copied files.
struct Copied {
    files: usize,
    bytes: u64,
    besides: Vec<PathBuf>,
}

impl Copied {
    fn folder(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let about = fs::symlink_metadata(&path)?;
            if self.besides.contains(&path) {
                continue;
            }
            if about.is_dir() {
                self.folder(&path, &target)?;
            } else if about.is_symlink() {
                // A relative link then leads to the file's counterpart in the copy.
                symlink(fs::read_link(&path)?, &target)?;
            } else if about.is_file() {
                self.file(&path, &target, about.len())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, target: &Path, size: u64) -> io::Result<()> {
        if size > COPIED {
            return symlink(path, target);
        }
        (self.files, self.bytes) = (self.files + 1, self.bytes + size);
        if self.files > MOST || self.bytes > LARGEST_SUM {
            return Err(io::Error::other(
                "the folder has more than 50,000 files, or more than 1 GiB in small files; put the code \
                 under git, then only the code is copied",
            ));
        }
        fs::copy(path, target).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{COPIED, copy};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_copy_contains_the_code_links_to_large_files_and_no_logs() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("logs/s")).unwrap();
        fs::create_dir_all(from.join("pkg")).unwrap();
        fs::write(from.join("pkg/train.py"), "x").unwrap();
        fs::File::create(from.join("large.bin"))
            .unwrap()
            .set_len(COPIED + 1)
            .unwrap();
        symlink("pkg", from.join("link")).unwrap();
        symlink("nowhere", from.join("broken")).unwrap();
        copy(&from, &to, &[from.join("logs")]).unwrap();
        assert_eq!(fs::read_to_string(to.join("link/train.py")).unwrap(), "x");
        assert!(to.join("large.bin").is_symlink() && to.join("broken").is_symlink());
        assert!(!to.join("logs").exists() && !to.join("pkg").is_symlink());
    }
}
