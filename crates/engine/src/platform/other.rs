//! Plain fallbacks for every Unix: what POSIX offers, and the program `ps`.

use super::{Change, Entry, FileSystem, Wanted};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// First port of outgoing connections by default, as IANA recommends and macOS does.
const FIRST_OUTGOING: u32 = 49_152;

/// Time for which an answer of `ps` is used. Several questions in a row are about the same moment.
const ANSWER_LASTS: Duration = Duration::from_millis(10);

/// Options of `ps` that show all processes with their environment after their command line.
const ENVIRONMENT: &[&str] = if cfg!(target_os = "macos") {
    &["-A", "-E", "-ww", "-o", "pid=", "-o", "command="]
} else {
    &["axeww", "-o", "pid=", "-o", "command="]
};

/// Columns of `ps` for [`Process`]; the name comes last, since it may contain spaces.
const COLUMNS: [&str; 9] = [
    "pid=", "ppid=", "pgid=", "uid=", "rss=", "time=", "lstart=", "state=", "comm=",
];

/// Returns `false`: orphans go to the first process of the system.
pub(crate) fn become_subreaper() -> bool {
    false
}

/// Returns `None`: the end of a process is looked for at intervals.
pub(crate) fn pidfd(_: Pid) -> Option<OwnedFd> {
    None
}

/// Returns `None`: a supervisor looks for requests at intervals.
pub(crate) fn wake_descriptor() -> Option<OwnedFd> {
    None
}

/// Flags of a message that is sent. Programs in Rust ignore SIGPIPE.
pub(crate) fn send_flags() -> SendFlags {
    SendFlags::empty()
}

/// Flags of a message that is received.
pub(crate) fn receive_flags() -> RecvFlags {
    RecvFlags::DONTWAIT
}

/// Keeps a received descriptor from the programs that this process starts.
pub(crate) fn close_on_exec(fd: &OwnedFd) {
    // Without it, a program has one file more open.
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).ok();
}

/// Watches of files and folders, of which there are none: files are looked at at intervals.
#[derive(Debug)]
pub(crate) struct Watches(Infallible);

impl Watches {
    /// Returns `None`.
    pub(crate) fn new() -> Option<Self> {
        None
    }

    pub(crate) fn add(&self, _: &Path, _: Wanted) -> io::Result<i32> {
        match self.0 {}
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub(crate) fn drain(&self) {
        match self.0 {}
    }

    pub(crate) fn take(&self) -> Vec<Change> {
        match self.0 {}
    }
}

/// A process as `ps` lists it.
#[derive(Debug, Clone, PartialEq)]
struct Process {
    parent: u32,
    group: u32,
    user: u32,
    /// Resident memory in bytes.
    resident: u64,
    /// Processor time of the process itself.
    cpu: Duration,
    /// Start in seconds since a fixed moment.
    start: u64,
    is_dead: bool,
    name: String,
}

type Table = BTreeMap<u32, Process>;

/// An answer of `ps`, and the moment before the question.
type Answer<T> = Mutex<Option<(Instant, Arc<T>)>>;

/// Returns the processes of this machine, at most [`ANSWER_LASTS`] ago.
fn table() -> Arc<Table> {
    static TABLE: Answer<Table> = Mutex::new(None);
    recent(&TABLE, || {
        let options = COLUMNS.iter().flat_map(|column| ["-o", column]);
        let text = ps(std::iter::once("-A").chain(options));
        text.lines().filter_map(process).collect()
    })
}

/// Returns the command lines with the environments, at most [`ANSWER_LASTS`] ago.
fn environments() -> Arc<BTreeMap<u32, String>> {
    static ENVIRONMENTS: Answer<BTreeMap<u32, String>> = Mutex::new(None);
    recent(&ENVIRONMENTS, || {
        let text = ps(ENVIRONMENT.iter().copied());
        let lines = text.lines().filter_map(|line| {
            let (pid, command) = line.trim_start().split_once(' ')?;
            Some((pid.parse().ok()?, command.to_owned()))
        });
        lines.collect()
    })
}

fn recent<T>(answer: &Answer<T>, ask: impl FnOnce() -> T) -> Arc<T> {
    let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, known)) = &*answer
        && at.elapsed() < ANSWER_LASTS
    {
        return Arc::clone(known);
    }
    let at = Instant::now();
    let fresh = Arc::new(ask());
    *answer = Some((at, Arc::clone(&fresh)));
    fresh
}

/// Returns the output of `ps`; empty if it cannot be run.
fn ps<'a>(options: impl Iterator<Item = &'a str>) -> String {
    let output = Command::new("ps")
        .args(options)
        .env("LC_ALL", "C")
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Reads a line with the [`COLUMNS`].
fn process(line: &str) -> Option<(u32, Process)> {
    let mut words = line.split_ascii_whitespace();
    let mut number = || words.next()?.parse::<u32>().ok();
    let (pid, parent, group, user) = (number()?, number()?, number()?, number()?);
    let resident = words.next()?.parse::<u64>().ok()? * 1024;
    let cpu = time(words.next()?)?;
    // Such as `Sun Nov 29 09:26:23 2026`.
    let _weekday = words.next()?;
    let start = seconds([words.next()?, words.next()?, words.next()?, words.next()?])?;
    let state = words.next()?;
    let path = words.collect::<Vec<_>>().join(" ");
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Some((
        pid,
        Process {
            parent,
            group,
            user,
            resident,
            cpu,
            start,
            is_dead: state.starts_with(['Z', 'X']),
            name,
        },
    ))
}

/// Reads a time such as `1-02:03:04` or `3:04.05`: days, hours, minutes and seconds.
fn time(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let mut seconds = days.parse::<f64>().ok()? * 86_400.0;
    for (index, part) in clock.split(':').rev().enumerate() {
        let unit = [1.0, 60.0, 3600.0].get(index)?;
        seconds += part.parse::<f64>().ok()? * unit;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Returns the seconds of a date since a fixed moment, all months taken as 31 days: a number that is
/// the same whenever the start of a process is read, and grows with time.
fn seconds([month, day, clock, year]: [&str; 4]) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(month)? as u64 / 3;
    let days = (year.parse::<u64>().ok()? * 12 + month) * 31 + day.parse::<u64>().ok()?;
    Some(days * 86_400 + time(clock)?.as_secs())
}

fn of<T>(pid: u32, value: impl FnOnce(&Process) -> T) -> Option<T> {
    table().get(&pid).map(value)
}

/// Returns the start of a process in seconds since a fixed moment; `None` if it is gone.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    of(pid, |process| process.start)
}

/// Returns a name of the machine: [`start_ticks`] counts by the calendar, so that the start times of
/// different boots of one machine can be compared.
pub(crate) fn boot_id() -> Option<String> {
    let machine = rustix::system::uname();
    let host = machine.nodename().to_string_lossy();
    Some(format!("calendar of {host}"))
}

/// Returns a constant: there are no namespaces.
pub(crate) fn process_namespace() -> Option<String> {
    Some("all".to_owned())
}

/// Returns whether a process is gone, or dead and not reaped yet.
pub(crate) fn is_dead(pid: u32) -> bool {
    of(pid, |process| process.is_dead).unwrap_or(true)
}

/// Returns the name of a process; `None` for one that is gone.
pub(crate) fn name(pid: u32) -> Option<String> {
    of(pid, |process| process.name.clone())
}

/// Returns the parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    of(pid, |process| process.parent)
}

/// Returns the process group of a process.
pub(crate) fn group(pid: u32) -> Option<u32> {
    of(pid, |process| process.group)
}

/// Returns `None`: `ps` names sessions in too many ways.
pub(crate) fn session(_: u32) -> Option<u32> {
    None
}

/// Returns whether the initial environment of a process has an entry; `false` for a dead process,
/// and for one that the system protects.
pub(crate) fn has_entry(pid: u32, entry: Entry<'_>) -> bool {
    let environments = environments();
    environments
        .get(&pid)
        .is_some_and(|command| contains(command, entry))
}

/// Returns whether a command line with an environment has an entry. The entries are separated by
/// spaces, which may also be inside of them.
fn contains(command: &str, entry: Entry<'_>) -> bool {
    let (text, is_whole) = match entry {
        Entry::Is(text) => (text, true),
        Entry::StartsWith(text) => (text, false),
    };
    command.match_indices(text).any(|(begin, _)| {
        let rest = &command[begin + text.len()..];
        command[..begin].ends_with(' ') && (!is_whole || rest.is_empty() || rest.starts_with(' '))
    })
}

/// Returns all processes that have an entry in their initial environment.
pub(crate) fn with_entry(entry: Entry<'_>) -> BTreeSet<u32> {
    let environments = environments();
    let marked = environments
        .iter()
        .filter(|(_, command)| contains(command, entry));
    marked.map(|(pid, _)| *pid).collect()
}

/// Returns none: the files of other processes are not known.
pub(crate) fn with_output(_: impl Fn(&Path) -> bool) -> BTreeSet<u32> {
    BTreeSet::new()
}

/// Returns the number of processes of a user.
pub(crate) fn count_of_user(user: u32) -> u64 {
    let table = table();
    table
        .values()
        .filter(|process| process.user == user)
        .count() as u64
}

/// Returns the children of a process, including zombies.
pub(crate) fn children(pid: u32) -> BTreeSet<u32> {
    let table = table();
    let children = table.iter().filter(|(_, process)| process.parent == pid);
    children.map(|(pid, _)| *pid).collect()
}

/// The orphans of a run: processes with its mark that this process did not start.
pub(crate) struct Orphans {
    run: String,
}

impl Orphans {
    /// Prepares the search for processes with the mark `run` in their environment.
    pub(crate) fn new(run: &str) -> Self {
        Self {
            run: run.to_owned(),
        }
    }

    /// Returns the processes of the run that are not children of this process.
    pub(crate) fn list(&self) -> Vec<u32> {
        let own = std::process::id();
        with_entry(Entry::Is(&self.run))
            .into_iter()
            .filter(|pid| *pid != own && parent(*pid) != Some(own))
            .collect()
    }
}

/// Returns the processor time of a process.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    of(pid, |process| process.cpu)
}

/// Returns `None`: the time of children that were reaped is not known.
pub(crate) fn reaped_time(_: u32) -> Option<Duration> {
    None
}

/// Returns the resident memory of a process in bytes; shared pages count in full.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    of(pid, |process| process.resident)
}

/// Returns the resident memory: the share of shared pages is not known.
pub(crate) fn share(pid: u32) -> Option<u64> {
    resident(pid)
}

/// Returns zeros: the bytes that a process reads and writes are not known.
pub(crate) fn disk_bytes(_: u32) -> (f64, f64) {
    (0.0, 0.0)
}

/// Returns whether a process has the name of this process.
pub(crate) fn runs_this_executable(pid: u32) -> bool {
    name(pid).is_some_and(|other| Some(other) == name(std::process::id()))
}

/// Returns zero: the kernel does not count them.
pub(crate) fn out_of_memory_kills() -> u64 {
    0
}

/// Returns the number of files that this process has open.
pub(crate) fn open_files() -> Option<u64> {
    let fds = fs::read_dir("/dev/fd").ok()?;
    Some(fds.count() as u64)
}

/// Returns `false`: the signals that were ignored at the start are not known.
pub(crate) fn is_ignored(_: i32) -> bool {
    false
}

/// Returns `None`: there are no control groups.
pub(crate) fn mounts_and_groups() -> Option<(String, String)> {
    None
}

/// Returns the first port that the kernel uses for outgoing connections.
pub(crate) fn first_outgoing_port() -> u32 {
    FIRST_OUTGOING
}

/// Reserves a port among all swaths of this machine: the UDP port of the same number, which programs
/// that meet at a TCP port do not use.
pub(crate) fn reserve_port(number: u16) -> Option<OwnedFd> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
    Some(socket.into())
}

/// Creates an empty file.
pub(crate) fn create_empty(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).open(path).map(drop)
}

/// Writes all file systems to the disk, and then the folder and the cache of its disk.
pub(crate) fn sync_file_system(folder: &File) -> io::Result<()> {
    rustix::fs::sync();
    folder.sync_all()
}

/// Returns the model name of the processor, if the kernel gives one.
pub(crate) fn processor() -> Option<String> {
    sysctl("machdep.cpu.brand_string").or_else(|| sysctl("hw.model"))
}

/// Returns the memory of this machine in bytes.
pub(crate) fn memory() -> Option<u64> {
    let text = sysctl("hw.memsize").or_else(|| sysctl("hw.physmem"))?;
    text.parse().ok()
}

/// Returns a value of the kernel; `None` if it has none of this name.
fn sysctl(name: &str) -> Option<String> {
    let output = Command::new("sysctl")
        .args(["-n", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// Returns an error: the kinds of file systems are not known here.
pub(crate) fn file_system(_: &Path) -> Result<FileSystem, String> {
    Err("its kind is unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ps_is_read_with_and_without_hours_and_days() {
        let line = " 501  1 500  20  2048 1-02:03:04 Sun Nov 29 09:26:23 2026 Ss+ /Applications/My App/sw x";
        let (pid, process) = process(line).unwrap();
        assert_eq!((pid, process.parent, process.group), (501, 1, 500));
        assert_eq!((process.user, process.resident), (20, 2 << 20));
        assert_eq!(process.cpu, Duration::from_secs(93_784));
        assert_eq!((&*process.name, process.is_dead), ("sw x", false));
        assert_eq!(time("3:04.50"), Some(Duration::from_millis(184_500)));
        assert_eq!(time("1:2:3:4"), None);
    }

    #[test]
    fn start_times_grow_from_month_to_month_and_from_year_to_year() {
        let times = [
            ["Jan", "31", "23:59:59", "2026"],
            ["Feb", "1", "00:00:00", "2026"],
            ["Dec", "31", "00:00:00", "2026"],
            ["Jan", "1", "00:00:00", "2027"],
        ]
        .map(|date| seconds(date).unwrap());
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn an_entry_with_spaces_is_found_and_part_of_an_entry_is_not() {
        let command = "python train.py DIR=/a b/1 RUN=7";
        assert!(contains(command, Entry::Is("DIR=/a b/1")));
        assert!(contains(command, Entry::Is("RUN=7")));
        assert!(contains(command, Entry::StartsWith("DIR=/a b/")));
        assert!(!contains(command, Entry::Is("RUN=")));
        assert!(!contains(command, Entry::Is("UN=7")));
    }
}
