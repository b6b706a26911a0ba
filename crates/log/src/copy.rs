//! Copies files and folders into a trial's folder, and shares blocks with the original where the
//! file system can.

use super::digest::{LeftOut, reason_to_leave_out};
use super::platform::share_blocks;
use super::regular;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Copies a file or a folder, and returns the entries that are not part of the copy.
///
/// A link to a file is copied as that file. Inside a folder, links to folders or to nothing, named
/// pipes, sockets, devices and unreadable files are omitted. `reserve` is called with the size of
/// each file whose blocks cannot be shared with the original.
///
/// # Errors
/// If `from` itself cannot be read, `reserve` refuses, or the copy cannot be written.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    reserve: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Vec<LeftOut>> {
    let about = fs::metadata(from)?;
    if !about.is_dir() {
        if let Some(kind) = reason_to_leave_out(from, &about) {
            let path = from.display();
            let why = format!("`{path}` is {kind}, neither a file nor a folder");
            return Err(io::Error::other(why));
        }
        let original = regular::open(from)?;
        copy_file(&original, to, reserve)?;
        return Ok(Vec::new());
    }
    let mut left_out = Vec::new();
    let mut folders = vec![(from.to_path_buf(), to.to_path_buf(), Vec::new())];
    while let Some((from, to, prefix)) = folders.pop() {
        fs::create_dir(&to)?;
        let entries = match fs::read_dir(&from) {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => return Err(error),
            Err(error) => {
                left_out.push(LeftOut::new(&prefix, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let name = entry?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            let relative = [&prefix[..], name.as_bytes()].concat();
            let about = fs::symlink_metadata(&from)?;
            if about.is_dir() {
                folders.push((from, to, [&relative[..], b"/"].concat()));
            } else if let Some(kind) = reason_to_leave_out(&from, &about) {
                left_out.push(LeftOut::new(&relative, kind));
            } else {
                match regular::open(&from) {
                    Ok(original) => copy_file(&original, &to, reserve)?,
                    Err(error) => left_out.push(LeftOut::new(&relative, error.to_string())),
                }
            }
        }
    }
    left_out.sort_unstable();
    Ok(left_out)
}

fn copy_file(
    original: &File,
    to: &Path,
    reserve: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let about = original.metadata()?;
    // The owner can read and write the copy, whatever the mode of the original.
    let mode = about.permissions().mode() & 0o777 | 0o600;
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)?;
    if share_blocks(original, &copy) {
        return Ok(());
    }
    reserve(about.len())?;
    // If the file grows meanwhile, the copy takes no more space than was reserved for it.
    io::copy(&mut original.take(about.len()), &mut copy)?;
    Ok(())
}
