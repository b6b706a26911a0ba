#!/usr/bin/env python3
"""CPU a trivial external trial costs, beside a bare posix_spawn loop that makes the folder and opens the same two log files.

    cargo build --release --examples --bin swath && python3 benches/launch/compare.py [TRIALS] [ROUNDS]

The programs take turns, two slots each, and the medians of user and system time of the whole process tree are compared. Folders stay until
the last round: ext4 slows down for minutes after many files were removed.
"""

import json, os, resource, shutil, statistics, subprocess, sys, tempfile

trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
release = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../target/release"))
scratch = tempfile.mkdtemp()


def cpu(command, folder):
    """Runs a command and returns the CPU milliseconds a trial, and the peak memory of the largest process in MiB."""
    os.makedirs(folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": folder},
    )
    _, status, usage = os.wait4(child.pid, 0)
    assert status in (0, 3 << 8), status
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * max(spent, usage.ru_utime + usage.ru_stime) / trials, usage.ru_maxrss / 1024


sweep = os.path.join(scratch, "trivial.toml")
with open(sweep, "w") as file:
    file.write(f"""name = "trivial"
run = {{ command = ["/bin/true"] }}
search = {{ sampler = "random", trials = {trials} }}
resources = {{ jobs = 2 }}
space = {{ x = {{ min = 0.0, max = 1.0 }} }}
""")
commands = {
    "posix_spawn loop": [f"{release}/examples/spawn_baseline", str(trials), "2"],
    "executor alone": [f"{release}/examples/launch", str(trials), "2"],
    "swath run": [f"{release}/swath", "run", "--quiet", sweep],
}
measured = {name: [] for name in commands}
for at in range(rounds):
    for name, command in commands.items():
        measured[name].append(cpu(command, os.path.join(scratch, f"{at}-{name.replace(' ', '-')}")))
base = statistics.median(ms for ms, _ in measured["posix_spawn loop"])
print(f"{trials} trials of /bin/true, 2 slots, median of {rounds} rounds in turns")
for name, runs in measured.items():
    ms, mib = statistics.median(ms for ms, _ in runs), max(mib for _, mib in runs)
    spread = f"{min(ms for ms, _ in runs):.2f}–{max(ms for ms, _ in runs):.2f}"
    print(f"{name:18} {ms:.2f} ms a trial ({spread}), {ms / base:.2f} ×, peak {mib:.1f} MiB")
shutil.rmtree(scratch)
