//! The mechanisms of Linux: `/proc`, pidfd, inotify, eventfd, the subreaper and abstract sockets.

use super::{Change, Entry, FileSystem, Wanted};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

/// First port of outgoing connections by default.
const FIRST_OUTGOING: u32 = 32_768;

/// Makes this process the parent of all orphans among its descendants (`PR_SET_CHILD_SUBREAPER`).
/// Returns whether the kernel does so.
pub(crate) fn become_subreaper() -> bool {
    set_child_subreaper(Some(getpid())).is_ok()
}

/// Returns a descriptor that becomes readable when a process ends; `None` if the kernel or a
/// sandbox refuses it.
pub(crate) fn pidfd(pid: Pid) -> Option<OwnedFd> {
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Returns a descriptor that is readable once eight bytes, a number, were written to it, until they
/// are read.
pub(crate) fn wake_descriptor() -> Option<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()
}

/// Flags of a message that is sent: no SIGPIPE if the other end is closed.
pub(crate) fn send_flags() -> SendFlags {
    SendFlags::NOSIGNAL
}

/// Flags of a message that is received: the programs that this process starts do not inherit its
/// descriptors.
pub(crate) fn receive_flags() -> RecvFlags {
    RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC
}

/// Does nothing: [`receive_flags`] has done it.
pub(crate) fn close_on_exec(_: &OwnedFd) {}

/// Watches of files and folders: an inotify instance.
#[derive(Debug)]
pub(crate) struct Watches(OwnedFd);

impl Watches {
    /// Creates an instance without watches; `None` if the kernel's limit of instances is reached.
    pub(crate) fn new() -> Option<Self> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        inotify::init(flags).ok().map(Self)
    }

    /// Watches a file or folder, and returns the number of the watch.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if the kernel's limit of watches is reached; others if the
    /// path cannot be watched, for example because it does not exist.
    pub(crate) fn add(&self, path: &Path, wanted: Wanted) -> io::Result<i32> {
        let new_files = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let flags = match wanted {
            Wanted::Growth => WatchFlags::MODIFY,
            Wanted::NextGrowth => WatchFlags::MODIFY | WatchFlags::ONESHOT,
            Wanted::NewFiles => new_files,
            Wanted::FolderUse => new_files | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR,
            Wanted::Writes => WatchFlags::CLOSE_WRITE,
            Wanted::Reads => WatchFlags::CLOSE_NOWRITE,
        };
        Ok(inotify::add_watch(&self.0, path, flags)?)
    }

    /// Returns the descriptor that is readable while there are changes to take.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets the changes so far.
    pub(crate) fn drain(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|count| count > 0) {}
    }

    /// Takes the changes since the last call.
    pub(crate) fn take(&self) -> Vec<Change> {
        let mut buffer = [const { MaybeUninit::uninit() }; 8192];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut changes = Vec::new();
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let name = event.file_name();
            changes.push(Change {
                watch: event.wd(),
                name: name.map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()).into()),
                is_folder: flags.contains(ReadFlags::ISDIR),
                is_read: flags.contains(ReadFlags::CLOSE_NOWRITE),
                is_written: flags.contains(ReadFlags::CLOSE_WRITE),
                is_moved_here: flags.contains(ReadFlags::MOVED_TO),
                has_overflowed: flags.contains(ReadFlags::QUEUE_OVERFLOW),
            });
        }
        changes
    }
}

/// Returns the start time of a process in clock ticks since boot.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// Returns the kernel's id of this boot: start times of different boots cannot be compared.
pub(crate) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Returns the name of the namespace in which this process has its id.
pub(crate) fn process_namespace() -> Option<String> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(namespace.display().to_string())
}

/// Returns a field of `/proc/PID/stat`. Fields are numbered from 1 as in proc(5); `number` is at
/// least 3, because the name in field 2 may contain any character.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let fields = stat_fields(pid, number)?;
    fields.split_ascii_whitespace().next().map(str::to_owned)
}

/// Returns the fields of `/proc/PID/stat` from `number` on.
fn stat_fields(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let index = number.checked_sub(3)?;
    rest.splitn(index + 1, ' ').nth(index).map(str::to_owned)
}

/// Returns whether a process is gone, or dead and not reaped yet.
pub(crate) fn is_dead(pid: u32) -> bool {
    stat_field(pid, 3).is_none_or(|state| state == "Z" || state == "X")
}

/// Returns the name of a process, of at most 15 bytes; `None` for one that is gone.
pub(crate) fn name(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// Returns the parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Returns the process group of a process.
pub(crate) fn group(pid: u32) -> Option<u32> {
    stat_field(pid, 5)?.parse().ok()
}

/// Returns the session of a process.
pub(crate) fn session(pid: u32) -> Option<u32> {
    stat_field(pid, 6)?.parse().ok()
}

/// Returns whether the initial environment of a process has an entry; `false` for a dead process.
pub(crate) fn has_entry(pid: u32, entry: Entry<'_>) -> bool {
    let is_it = |candidate: &[u8]| match entry {
        Entry::Is(whole) => candidate == whole.as_bytes(),
        Entry::StartsWith(beginning) => candidate.starts_with(beginning.as_bytes()),
    };
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(is_it))
}

/// Returns all processes that have an entry in their initial environment.
pub(crate) fn with_entry(entry: Entry<'_>) -> BTreeSet<u32> {
    all().filter(|pid| has_entry(*pid, entry)).collect()
}

/// Returns all processes that append their standard output or standard error to a file whose path
/// satisfies `predicate`.
pub(crate) fn with_output(predicate: impl Fn(&Path) -> bool) -> BTreeSet<u32> {
    all()
        .filter(|pid| [1, 2].iter().any(|fd| appends_to(*pid, *fd, &predicate)))
        .collect()
}

/// Returns all processes that this process can see.
fn all() -> impl Iterator<Item = u32> {
    let listed = fs::read_dir("/proc").into_iter().flatten();
    listed.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns whether a process has opened a file that satisfies `predicate` to append to it. One that
/// only reads the file, such as `tail -f`, has not.
fn appends_to(pid: u32, fd: u32, predicate: impl Fn(&Path) -> bool) -> bool {
    const APPEND: u32 = 0o2000;
    if !fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|path| predicate(&path)) {
        return false;
    }
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| {
        u32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & APPEND != 0)
    })
}

/// Returns the number of processes and threads of a user that this process can see.
pub(crate) fn count_of_user(user: u32) -> u64 {
    let statuses = all().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    statuses
        .filter(|status| status_number(status, "Uid:") == Some(u64::from(user)))
        .filter_map(|status| status_number(&status, "Threads:"))
        .sum()
}

/// Returns the first number after `key` in a text like `/proc/PID/status`.
fn status_number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the children of a process, including zombies.
pub(crate) fn children(pid: u32) -> BTreeSet<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return BTreeSet::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|listed| {
            listed
                .split_ascii_whitespace()
                .flat_map(str::parse)
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// The orphans that fall to this process, a subreaper. The kernel reparents them to the main
/// thread, while slots start programs from their own threads, so that one small file of `/proc`
/// shows whether there are orphans.
pub(crate) struct Orphans {
    /// File that lists the children of the main thread; `None` if the kernel does not offer it.
    children: Option<File>,
}

impl Orphans {
    /// Prepares the search. `run` is the mark of this run in the environment of its processes,
    /// which is not needed here.
    pub(crate) fn new(_run: &str) -> Self {
        let pid = std::process::id();
        Self {
            children: File::open(format!("/proc/self/task/{pid}/children")).ok(),
        }
    }

    /// Returns the children of the main thread.
    pub(crate) fn list(&self) -> Vec<u32> {
        let children = self.children.as_ref().map(read_from_start);
        let children = children.unwrap_or_default();
        children
            .split_ascii_whitespace()
            .flat_map(str::parse::<u32>)
            .collect()
    }
}

/// Reads a file of `/proc` that was opened earlier, from its beginning; one system call suffices
/// for a short file.
fn read_from_start(file: &File) -> String {
    let mut text = vec![0; 4096];
    let mut length = 0;
    while let Ok(count @ 1..) = file.read_at(&mut text[length..], length as u64) {
        length += count;
        if text.len() - length > 64 {
            break;
        }
        text.resize(length + 4096, 0);
    }
    text.truncate(length);
    String::from_utf8(text).unwrap_or_default()
}

/// Returns the processor time of a process and of its reaped children.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    ticks(pid, 14, 4)
}

/// Returns the processor time of the children that a process has reaped, in whole clock ticks.
pub(crate) fn reaped_time(pid: u32) -> Option<Duration> {
    ticks(pid, 16, 2)
}

/// Adds up `count` fields of `/proc/PID/stat`, which hold clock ticks, from `first` on.
fn ticks(pid: u32, first: usize, count: usize) -> Option<Duration> {
    let fields = stat_fields(pid, first)?;
    let mut ticks = 0;
    for field in fields.split_ascii_whitespace().take(count) {
        ticks += field.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// Returns the resident memory of a process in bytes; shared pages count in full.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Returns the memory of a process in bytes, with shared pages counted in proportion (PSS). Falls
/// back to the resident memory if the kernel does not report it.
pub(crate) fn share(pid: u32) -> Option<u64> {
    proportional(pid).or_else(|| resident(pid))
}

fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Returns the bytes that a process has read from and written to disks since its start. For a
/// process of another user the kernel reports none.
pub(crate) fn disk_bytes(pid: u32) -> (f64, f64) {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    (bytes_of(&io, "read_bytes:"), bytes_of(&io, "write_bytes:"))
}

/// Returns the value of a line `key value` of `/proc/PID/io`; 0 without such a line.
fn bytes_of(io: &str, key: &str) -> f64 {
    io.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        .unwrap_or(0.0)
}

/// Returns whether a process runs the executable of this process.
pub(crate) fn runs_this_executable(pid: u32) -> bool {
    let own = fs::metadata("/proc/self/exe");
    let other = fs::metadata(format!("/proc/{pid}/exe"));
    own.is_ok_and(|own| {
        other.is_ok_and(|other| (own.dev(), own.ino()) == (other.dev(), other.ino()))
    })
}

/// Returns the number of processes that the kernel of this machine has killed for lack of memory
/// since boot.
pub(crate) fn out_of_memory_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}

/// Returns the number of files that this process has open.
pub(crate) fn open_files() -> Option<u64> {
    let fds = fs::read_dir("/proc/self/fd").ok()?;
    Some(fds.count() as u64)
}

/// Returns whether a signal was ignored when this process started.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Returns the mounts of this process and its control groups, as `/proc` lists them; `None` if the
/// system has no control groups.
pub(crate) fn mounts_and_groups() -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some((mounts, groups))
}

/// Returns the first port that the kernel uses for outgoing connections.
pub(crate) fn first_outgoing_port() -> u32 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(FIRST_OUTGOING)
}

/// Reserves a port among all swaths of this machine: an abstract socket, a name that exists in the
/// same network namespace as the port itself and goes away with its owner.
pub(crate) fn reserve_port(number: u16) -> Option<OwnedFd> {
    let name = SocketAddr::from_abstract_name(format!("swath-port-{number}")).ok()?;
    Some(UnixListener::bind_addr(&name).ok()?.into())
}

/// Creates an empty file without opening it. Some file systems of networks cannot.
pub(crate) fn create_empty(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(CWD, path, FileType::RegularFile, mode, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(_) => File::create(path).map(drop),
    }
}

/// Writes the file system that contains a file to the disk.
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Returns the model name of the processor, if the kernel gives one.
pub(crate) fn processor() -> Option<String> {
    field("/proc/cpuinfo", "model name")
}

/// Returns the memory of this machine in bytes.
pub(crate) fn memory() -> Option<u64> {
    let text = field("/proc/meminfo", "MemTotal")?;
    let kib: u64 = text.trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// Returns the value of the first line `name : value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// File systems by their magic number in statfs(2), with their name and whether another machine or
/// a program serves them.
const FILE_SYSTEMS: &[(u32, &str, bool)] = &[
    (0xEF53, "ext4", false),
    (0x5846_5342, "XFS", false),
    (0x9123_683E, "Btrfs", false),
    (0x2FC1_2FC1, "ZFS", false),
    (0x0102_1994, "tmpfs, gone after a restart", false),
    (0x794C_7630, "overlayfs", false),
    (0xF2F5_2010, "F2FS", false),
    (0x6969, "NFS", true),
    (0xFF53_4D42, "CIFS", true),
    (0xFE53_4D42, "SMB", true),
    (0x0BD0_0BD0, "Lustre", true),
    (0x4750_4653, "GPFS", true),
    (0x1983_0326, "BeeGFS", true),
    (0x00C3_6400, "Ceph", true),
    (0x0102_1997, "9p", true),
    (0x6573_5546, "FUSE", true),
];

/// Returns the file system of a folder.
///
/// # Errors
/// Returns a description if it is not known by name.
pub(crate) fn file_system(folder: &Path) -> Result<FileSystem, String> {
    let stat = rustix::fs::statfs(folder).map_err(|_| "its kind is unknown".to_owned())?;
    // The field's width depends on the machine; the magic numbers themselves have 32 bits.
    let number = stat.f_type as u32;
    let known = FILE_SYSTEMS.iter().find(|(other, ..)| *other == number);
    let (_, name, is_served) = known.ok_or_else(|| format!("unknown, number {number:#x}"))?;
    Ok(FileSystem {
        name,
        is_served: *is_served,
    })
}
