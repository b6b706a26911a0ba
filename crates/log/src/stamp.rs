//! The state of a file or folder at one moment. Two stamps show whether it changed in between, and
//! one shows when it was last written to.

use super::digest::FileState;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The state of a path and of everything it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The path itself, the entries below it if it is a folder, and every link on the way to it.
    entries: Vec<(PathBuf, FileState)>,
    /// Total size of the files in bytes.
    pub(super) size: u64,
    /// Whether one of the files is empty. A file that is truncated to be rewritten is empty for a
    /// moment, while it still has its old times.
    pub(super) has_empty: bool,
    /// Whether one of the files is being truncated: it is empty, but its blocks are not freed yet.
    pub(super) is_being_cut: bool,
}

impl Stamp {
    /// Takes the stamp of `real`, which is `relative` in `workdir` with its links resolved.
    pub(super) fn of(workdir: &Path, relative: &str, real: &Path) -> io::Result<Self> {
        let mut stamp = Self {
            entries: Vec::new(),
            size: 0,
            has_empty: false,
            is_being_cut: false,
        };
        stamp.add_links(workdir, relative);
        stamp.add_tree(real)?;
        stamp.entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(stamp)
    }

    /// Returns the time of the last write, in nanoseconds since 1970.
    ///
    /// The times of the inodes count too: a file that replaced another one by a rename, or whose
    /// time was set back, has an old content time.
    pub(super) fn newest(&self) -> i128 {
        let times = self
            .entries
            .iter()
            .map(|(_, state)| state.modified.max(state.changed));
        times.max().unwrap_or(0)
    }

    /// Adds the links on the way to the path: a link that is pointed at another target changes what
    /// the path means.
    fn add_links(&mut self, workdir: &Path, relative: &str) {
        let mut path = workdir.to_path_buf();
        for component in Path::new(relative).components() {
            if let Component::Normal(name) = component {
                path.push(name);
            }
            if let Ok(about) = fs::symlink_metadata(&path)
                && about.is_symlink()
            {
                self.entries.push((path.clone(), FileState::of(&about)));
            }
        }
    }

    /// Adds the path and, if it is a folder, everything below it; also the files that links lead
    /// to.
    fn add_tree(&mut self, root: &Path) -> io::Result<()> {
        let mut paths = vec![root.to_path_buf()];
        while let Some(path) = paths.pop() {
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                for entry in fs::read_dir(&path)? {
                    paths.push(entry?.path());
                }
            }
            if about.is_file() {
                self.add_file(&about);
            }
            let target = about
                .is_symlink()
                .then(|| fs::metadata(&path).ok())
                .flatten();
            if let Some(target) = target.filter(fs::Metadata::is_file) {
                self.add_file(&target);
                self.entries.push((path.join("."), FileState::of(&target)));
            }
            self.entries.push((path, FileState::of(&about)));
        }
        Ok(())
    }

    fn add_file(&mut self, about: &fs::Metadata) {
        self.size += about.len();
        self.has_empty |= about.len() == 0;
        self.is_being_cut |= about.len() == 0 && about.blocks() > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_stamp_changes_with_every_way_to_replace_the_content_of_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("ck/part")).unwrap();
        fs::write(path("ck/part/w"), "one").unwrap();
        symlink("ck", path("latest")).unwrap();
        let take_stamp = || {
            Stamp::of(
                dir.path(),
                "latest",
                &path("latest").canonicalize().unwrap(),
            )
            .unwrap()
        };
        let mut before = take_stamp();
        assert_eq!(before, take_stamp());
        assert_eq!(before.size, 3);
        let changes: [(&str, &dyn Fn()); 4] = [
            ("in place", &|| fs::write(path("ck/part/w"), "two").unwrap()),
            ("by a rename", &|| {
                fs::write(path("new"), "six").unwrap();
                fs::rename(path("new"), path("ck/part/w")).unwrap();
            }),
            ("by a new file", &|| fs::write(path("ck/more"), "").unwrap()),
            ("by turning the link", &|| {
                fs::remove_file(path("latest")).unwrap();
                symlink("./ck", path("latest")).unwrap();
            }),
        ];
        for (how, change) in changes {
            std::thread::sleep(std::time::Duration::from_millis(12));
            let newest = before.newest();
            change();
            let after = take_stamp();
            assert_ne!(before, after, "{how}");
            assert!(after.newest() > newest, "{how}");
            before = after;
        }
    }
}
