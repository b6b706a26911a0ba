//! The mounts of the cgroup file system, and the folder of this process below them.

use std::path::{Component, Path, PathBuf};

/// A mount of the file system `cgroup2`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The control group at the mount point, as this process's namespace names it.
    root: PathBuf,
    /// The mount point.
    pub(super) mountpoint: PathBuf,
}

/// Returns the cgroup mounts in a text of `/proc/self/mountinfo`; see proc(5).
pub(super) fn all(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

/// Parses `ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS… - KIND SOURCE OPTIONS`. Returns `None` for any
/// other file system.
fn mount(line: &str) -> Option<Mount> {
    let (location, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = location.split(' ').skip(3);
    Some(Mount {
        root: unescaped(fields.next()?).into(),
        mountpoint: unescaped(fields.next()?).into(),
    })
}

/// Decodes octal escapes such as `\040`, which stand for blanks.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Returns the control group folder of the process with these contents of `mountinfo` and `cgroup`;
/// `None` if no mount shows it.
pub(super) fn own(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let own = Path::new(cgroup.lines().find_map(|line| line.strip_prefix("0::"))?);
    all(mountinfo)
        .into_iter()
        .find_map(|mount| below_mount(own, &mount))
}

/// Returns the folder that shows the cgroup `own` below a mount; `None` if the mount does not show
/// it.
fn below_mount(own: &Path, mount: &Mount) -> Option<PathBuf> {
    let below = own.strip_prefix(&mount.root).ok()?;
    // A path that leaves the namespace by `..` can be resolved only if the mount's root leaves it
    // too.
    let leads_out = below.components().any(|part| part == Component::ParentDir);
    let is_above = mount.root.ends_with("..") && !own.starts_with("/..");
    (!leads_out && !is_above).then(|| mount.mountpoint.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    fn mounted(root: &str) -> String {
        format!("29 23 0:26 {root} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n")
    }

    fn found(mountinfo: &str, own_path: &str) -> Option<String> {
        let cgroup = format!("4:memory:/elsewhere\n0::{own_path}\n");
        own(mountinfo, &cgroup).map(|path| path.display().to_string())
    }

    #[test]
    fn the_own_folder_lies_below_the_mount_also_with_both_versions() {
        assert_eq!(
            found(&mounted("/"), "/user.slice/a b.scope").as_deref(),
            Some("/sys/fs/cgroup/user.slice/a b.scope")
        );
        assert_eq!(
            found(HYBRID, "/").as_deref(),
            Some("/sys/fs/cgroup/unified/")
        );
        assert_eq!(
            found(HYBRID, "/x").as_deref(),
            Some("/sys/fs/cgroup/unified/x")
        );
    }

    #[test]
    fn a_mount_of_a_part_of_the_hierarchy_shows_only_that_part() {
        assert_eq!(
            found(&mounted("/docker/c1"), "/docker/c1/jobs").as_deref(),
            Some("/sys/fs/cgroup/jobs")
        );
        assert_eq!(found(&mounted("/docker/c1"), "/docker/c10"), None);
        assert_eq!(found(&mounted("/docker/c1"), "/"), None);
    }

    #[test]
    fn a_cgroup_outside_of_the_namespace_is_found_only_if_the_mount_shows_it() {
        assert_eq!(found(&mounted("/"), "/../other"), None);
        assert_eq!(
            found(&mounted("/.."), "/../other").as_deref(),
            Some("/sys/fs/cgroup/other")
        );
        assert_eq!(
            found(&mounted("/.."), "/"),
            None,
            "its name up there is not known"
        );
        assert_eq!(found(&mounted("/.."), "/../../other"), None);
    }

    #[test]
    fn cgroup_v1_alone_has_no_folder() {
        let first = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
        assert_eq!(found(first, "/"), None);
        assert_eq!(own(&mounted("/"), "4:memory:/x\n"), None);
        assert_eq!(own("cut - off", "0::/\n"), None);
    }

    #[test]
    fn a_mountpoint_may_contain_blanks() {
        let mount = "41 31 0:38 / /mnt/control\\040groups\\x rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            found(mount, "/x").as_deref(),
            Some("/mnt/control groups\\x/x")
        );
    }
}
