//! Trials that try to get away: daemons that leave their process group and session, lose their
//! parent and clear their environment as their first act. The orchestrator, the guard, the slot
//! process, or several of them are killed, and no process of the trial may be left.
//!
//! `SWATH_ESCAPES=1000 cargo test --test cli escapes::` runs the long form, with kills at random
//! instants. RELIABILITY.md has the figures.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::processes::{helper_below, kill, signal, suspend, words};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Maximum time that processes may survive a kill. RELIABILITY.md has the times that were seen;
/// a busy machine needs longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A trial that starts a daemon at once, one by a double fork, one in a session of its own, and one
/// without an environment. The argument of `sleep` identifies the processes.
const TRIAL: &str = r#"#!/bin/sh
[ -e go ] && { echo '{"loss": 1}' >> "$SWATH_RECORDS"; exit 0; }
(sleep MARK &)
sh -c '(sh -c "sleep MARK" &) & exit 0'
setsid sleep MARK &
env -i setsid /bin/sh -c 'sleep MARK & exit 0'
trap '' TERM
sleep MARK
"#;

/// Number of processes with the mark once the trial sleeps.
const PROCESSES: usize = 5;

const SWEEP: &str = "name = \"e\"\n[run]\ncommand = [\"./trial.sh\"]\ngrace = \"50ms\"\n\
    [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\ntrials = 1\n\
    [space]\nx = { min = 0, max = 1 }\n";

/// The processes that a test kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Orchestrator,
    Guard,
    Slot,
}

use Role::{Guard, Orchestrator, Slot};

/// Each of them, each pair in both orders, and all three.
const KILLS: [&[Role]; 10] = [
    &[Orchestrator],
    &[Guard],
    &[Slot],
    &[Orchestrator, Guard],
    &[Guard, Orchestrator],
    &[Orchestrator, Slot],
    &[Slot, Orchestrator],
    &[Guard, Slot],
    &[Slot, Guard],
    &[Slot, Guard, Orchestrator],
];

/// Distinguishes the marks of this process.
static WORLDS: AtomicU32 = AtomicU32::new(0);

struct World {
    dir: tempfile::TempDir,
    mark: String,
    /// Whether control groups are hidden from the run.
    is_hidden: bool,
}

impl World {
    fn new(is_hidden: bool) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            mark: format!("7{:07}.{number:05}", std::process::id()),
            is_hidden,
        };
        let script = world.dir.path().join("trial.sh");
        fs::write(&script, TRIAL.replace("MARK", &world.mark)).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(world.dir.path().join("e.toml"), SWEEP).unwrap();
        world
    }

    fn command(&self) -> Command {
        let swath = env!("CARGO_BIN_EXE_swath");
        let mut command = if self.is_hidden {
            without_groups(swath)
        } else {
            Command::new(swath)
        };
        command
            .args(["run", "e.toml", "-q"])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Returns the living processes with the mark, by their command lines.
    fn alive(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| words(*pid).get(1).is_some_and(|word| *word == self.mark))
            .collect()
    }

    /// Returns the time after which no process with the mark lived.
    fn until_none(&self, killed: &[Role]) -> Duration {
        let begun = Instant::now();
        loop {
            let alive = self.alive();
            if alive.is_empty() {
                return begun.elapsed();
            }
            let hidden = self.is_hidden;
            assert!(
                begun.elapsed() < PATIENCE,
                "after {killed:?} with hidden groups: {hidden}, alive: {alive:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    /// Ends what a failed test has left.
    fn drop(&mut self) {
        for pid in self.alive() {
            kill(pid);
        }
    }
}

/// Returns a command that runs `program` where no control group can be made.
fn without_groups(program: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = "umount -R /sys/fs/cgroup 2> /dev/null; exec \"$@\"";
    command.args(["-m", "sh", "-c", script, "sh", program]);
    command
}

/// Returns whether this test may hide the control groups from a run.
fn can_hide_groups() -> bool {
    let script = "umount -R /sys/fs/cgroup 2> /dev/null; ! grep -q cgroup2 /proc/self/mounts";
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// A run whose processes are known.
struct Run {
    child: Child,
    guard: u32,
    slot: u32,
}

impl Run {
    /// Starts the run and waits for its first slot.
    fn start(world: &World) -> Self {
        let mut run = Self {
            child: world.command().spawn().unwrap(),
            guard: 0,
            slot: 0,
        };
        let begun = Instant::now();
        loop {
            let guard = helper_below(run.child.id(), "guard");
            let slot = guard.and_then(|guard| helper_below(guard, "slot"));
            if let (Some(guard), Some(slot)) = (guard, slot) {
                (run.guard, run.slot) = (guard, slot);
                return run;
            }
            assert!(begun.elapsed() < PATIENCE, "no slot was started");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill(&self, roles: &[Role]) {
        let pids: Vec<u32> = roles
            .iter()
            .map(|role| match role {
                Orchestrator => self.child.id(),
                Guard => self.guard,
                Slot => self.slot,
            })
            .collect();
        // While the others are killed, the last of all three could still act.
        if roles.len() == 3 {
            suspend(&pids);
        }
        pids.into_iter().for_each(kill);
    }
}

/// Runs the trial, kills `roles`, and returns the time until none of its processes lived. With all
/// three killed, the next run ends the rest.
fn escape(roles: &[Role], is_hidden: bool, delay: Option<Duration>) -> Duration {
    let world = World::new(is_hidden);
    let mut run = Run::start(&world);
    match delay {
        Some(delay) => std::thread::sleep(delay),
        None => {
            let begun = Instant::now();
            while world.alive().len() < PROCESSES {
                assert!(begun.elapsed() < PATIENCE, "it never sleeps");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    // An attempt that follows reports and ends.
    fs::write(world.dir.path().join("go"), "").unwrap();
    run.kill(roles);
    let is_orchestrator_killed = roles.contains(&Orchestrator);
    if is_orchestrator_killed {
        run.child.wait().unwrap();
    }
    if roles.len() == 3 {
        let status = world.command().status().unwrap();
        assert_eq!(status.code(), Some(0), "the next run");
        return world.until_none(roles);
    }
    let took = world.until_none(roles);
    if !is_orchestrator_killed {
        let status = run.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "the run after {roles:?}");
    }
    took
}

fn escape_all(is_hidden: bool) {
    let rounds = std::env::var("SWATH_ESCAPES").ok();
    let rounds: Option<usize> = rounds.and_then(|text| text.parse().ok());
    let (mut longest, mut seed) = (Duration::ZERO, 0x9e37_79b9_7f4a_7c15_u64);
    for round in 0..rounds.unwrap_or(KILLS.len()) {
        let roles = KILLS[round % KILLS.len()];
        // Without its guard alone, a trial goes on.
        if roles == [Guard] {
            continue;
        }
        let delay = rounds.map(|_| Duration::from_millis(next(&mut seed) % 60));
        let took = escape(roles, is_hidden, delay);
        longest = longest.max(took);
    }
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "hidden groups: {is_hidden}; the longest time was {longest:?}"
    )
    .unwrap();
}

/// A small random number generator with a fixed seed, so that a failing run can be repeated.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn no_daemon_outlives_the_processes_above_it_whichever_are_killed() {
    escape_all(false);
}

#[test]
fn no_daemon_outlives_the_processes_above_it_where_no_control_group_can_be_made() {
    if can_hide_groups() {
        escape_all(true);
    } else {
        println!("skipped: control groups cannot be hidden here");
    }
}

#[test]
fn a_trial_goes_on_without_its_guard_and_its_slot_ends_what_it_leaves() {
    let world = World::new(false);
    let mut run = Run::start(&world);
    let begun = Instant::now();
    while world.alive().len() < PROCESSES {
        assert!(begun.elapsed() < PATIENCE, "it never sleeps");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(run.guard);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(world.alive().len(), PROCESSES, "the trial goes on");
    signal(run.child.id(), Signal::INT);
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    assert_eq!(world.alive(), Vec::<u32>::new());
}

#[test]
fn a_trial_has_no_terminal() {
    let world = World::new(false);
    let script = "#!/bin/sh\n(: < /dev/tty) 2> /dev/null && echo terminal > tty || echo none > tty\n\
        cut -d' ' -f7 /proc/self/stat >> tty\necho '{\"loss\": 1}' >> \"$SWATH_RECORDS\"\n";
    fs::write(world.dir.path().join("trial.sh"), script).unwrap();
    let line = format!("{} run e.toml -q; tty", env!("CARGO_BIN_EXE_swath"));
    // `script` gives the run a terminal, which the trial must not have.
    let printed = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(world.dir.path())
        .stdin(Stdio::null())
        .output();
    let Some(printed) = printed.ok().filter(|printed| printed.status.success()) else {
        println!("skipped: `script` is not installed");
        return;
    };
    assert!(String::from_utf8_lossy(&printed.stdout).contains("/dev/"));
    let tty = fs::read_to_string(PathBuf::from(world.dir.path()).join("tty")).unwrap();
    assert_eq!(tty, "none\n0\n");
}

/// A tracker and a sampler that start daemons and then read their input to its end.
const COMPANION: &str = "setsid sleep MARK &\nenv -i setsid /bin/sh -c 'sleep MARK & exit 0'\n\
    read greeting\necho '{\"protocol\": 1}'\ncat > /dev/null\n";

/// Number of the daemons of a companion.
const COMPANIONS: usize = 2;

/// Runs a sweep with a companion, kills `roles` (the slot and the guard are those of the
/// companion), and waits until none of its processes lives.
fn escape_from_companion(section: &str, roles: &[Role]) {
    let world = World::new(false);
    let script = COMPANION.replace("MARK", &world.mark);
    fs::write(world.dir.path().join("companion.sh"), script).unwrap();
    fs::write(
        world.dir.path().join("trial.sh"),
        "#!/bin/sh\n: > started\nsleep 60\n",
    )
    .unwrap();
    let command = "command = [\"sh\", \"companion.sh\"]\n";
    let sweep = match section {
        "tracker" => format!("{SWEEP}[[tracker]]\nname = \"program\"\n{command}"),
        _ => SWEEP
            .replace("\"random\"", "\"program\"")
            .replace("[space]", &format!("[search.program]\n{command}[space]")),
    };
    fs::write(world.dir.path().join("e.toml"), sweep).unwrap();
    let mut run = world.command().spawn().unwrap();
    let begun = Instant::now();
    // A trial starts after the trackers, and after the run has begun to handle signals.
    let started = world.dir.path().join("started");
    while world.alive().len() < COMPANIONS || (section == "tracker" && !started.exists()) {
        assert!(begun.elapsed() < PATIENCE, "the {section} never starts");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A daemon is a child of the slot once its parents have ended.
    let slot = loop {
        let parents = world.alive().into_iter().map(parent);
        if let Some(slot) = parents.into_iter().find(|pid| is_slot(*pid)) {
            break slot;
        }
        assert!(begun.elapsed() < PATIENCE, "the {section} is in no slot");
        std::thread::sleep(Duration::from_millis(5));
    };
    let guard = parent(slot);
    for role in roles {
        kill(match role {
            Orchestrator => run.id(),
            Guard => guard,
            Slot => slot,
        });
    }
    // Without slot and guard, the run ends the rest when it notices: while it waits for an answer
    // of the sampler, which it starts before it handles signals, or at its end.
    if roles == [Slot, Guard] && section == "tracker" {
        signal(run.id(), Signal::INT);
    }
    world.until_none(roles);
    // It may wait for a sampler that is gone.
    run.kill().ok();
    run.wait().unwrap();
}

fn is_slot(pid: u32) -> bool {
    words(pid).get(1).is_some_and(|word| word == "slot")
}

/// Returns the parent of a process; 0 for one that is gone.
fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.map_or(0, |pid| pid.trim().parse().unwrap())
}

#[test]
fn nothing_that_a_tracker_or_a_sampler_starts_outlives_the_processes_above_it() {
    for section in ["tracker", "sampler"] {
        for roles in [
            &[Orchestrator][..],
            &[Slot],
            &[Orchestrator, Guard],
            &[Orchestrator, Slot],
            &[Slot, Guard],
        ] {
            escape_from_companion(section, roles);
        }
    }
}
