//! The part of the logger that depends on the operating system.

use std::fs::File;

/// Makes the copy share the blocks of the original; returns whether the file system supports it.
#[cfg(target_os = "linux")]
#[must_use]
pub fn share_blocks(original: &File, copy: &File) -> bool {
    rustix::fs::ioctl_ficlone(copy, original).is_ok()
}

/// Returns `false`: on this system a copy has blocks of its own.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn share_blocks(_original: &File, _copy: &File) -> bool {
    false
}
