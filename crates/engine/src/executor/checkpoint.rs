//! Start from another trial's checkpoint: the copy is complete or absent.

use std::fs;
use std::io;
use std::path::Path;
use swath_log::regular;

/// Copies the folder `from` to `to` and replaces the existing one. The copy is made beside `to` and
/// then renamed, so that a crash leaves no partial copy.
///
/// # Errors
/// Fails if a file cannot be read or written.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(parent)?;
    let partial = tempfile::Builder::new()
        .prefix(".checkpoints")
        .tempdir_in(parent)?;
    let copied = partial.path().join("copy");
    copy_folder(from, &copied)?;
    // A rename cannot replace a folder that is not empty.
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(&copied, to),
    }
}

/// Copies files and folders; symbolic links are copied as links. Named pipes, sockets and devices
/// hold nothing that could be copied.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else if !regular::is_special(&entry.path()) {
            regular::copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_the_old_folder_and_leaves_no_temporary_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (
            folder.path().join("1/checkpoints"),
            folder.path().join("2/checkpoints"),
        );
        fs::create_dir_all(from.join("deep")).expect("it can be made");
        fs::write(from.join("deep/weights"), "new").expect("it can be written");
        let pipe = from.join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe, 0o600.into()).expect("it can be made");
        fs::create_dir_all(&to).expect("it can be made");
        fs::write(to.join("old"), "old").expect("it can be written");
        copy(&from, &to).expect("it can be copied");
        assert_eq!(
            fs::read_to_string(to.join("deep/weights")).expect("it is there"),
            "new"
        );
        let beside = fs::read_dir(folder.path().join("2"))
            .expect("it can be read")
            .count();
        assert_eq!((to.join("old").exists(), beside), (false, 1));
    }
}
