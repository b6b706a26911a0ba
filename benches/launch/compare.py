#!/usr/bin/env python3
"""Measures the CPU time of a trivial external trial, relative to a plain posix_spawn loop that
creates the same folder and the same two log files.

    cargo build --release --examples --bin swath
    python3 benches/launch/compare.py [TRIALS] [ROUNDS]

The programs run in turns with two slots each. The table has the medians of user and system time of
the process tree. All folders are kept until the end, because ext4 is slower for minutes after many
files have been removed.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

SWEEP = """
name = "trivial"
run = {{ command = ["/bin/true"] }}
search = {{ sampler = "random", trials = {trials} }}
resources = {{ jobs = 2 }}
space = {{ x = {{ min = 0.0, max = 1.0 }} }}
"""


def measure(command, folder, trials):
    """Returns the CPU milliseconds per trial and the peak memory of the largest process in MiB."""
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
    # swath exits with 3 if no trial reports an objective, which does not matter here.
    assert status in (0, 3 << 8), status
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * max(seconds, usage.ru_utime + usage.ru_stime) / trials, usage.ru_maxrss / 1024


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    release = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../target/release"))
    scratch = tempfile.mkdtemp()
    sweep = os.path.join(scratch, "trivial.toml")
    with open(sweep, "w") as file:
        file.write(SWEEP.format(trials=trials))
    commands = {
        "posix_spawn loop": [f"{release}/examples/spawn_baseline", str(trials), "2"],
        "executor alone": [f"{release}/examples/launch", str(trials), "2"],
        "swath run": [f"{release}/swath", "run", "--quiet", sweep],
    }
    results = {name: [] for name in commands}
    for index in range(rounds):
        for name, command in commands.items():
            folder = os.path.join(scratch, f"{index}-{name.replace(' ', '-')}")
            results[name].append(measure(command, folder, trials))
    baseline = statistics.median(ms for ms, _ in results["posix_spawn loop"])
    print(f"{trials} trials of /bin/true, 2 slots, median of {rounds} rounds in turns")
    for name, runs in results.items():
        times = [ms for ms, _ in runs]
        median, peak = statistics.median(times), max(mib for _, mib in runs)
        print(
            f"{name:18} {median:.2f} ms a trial ({min(times):.2f}–{max(times):.2f}), "
            f"{median / baseline:.2f} ×, peak {peak:.1f} MiB"
        )
    shutil.rmtree(scratch)


main()
