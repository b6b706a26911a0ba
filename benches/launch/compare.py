#!/usr/bin/env python3
"""Measures what a run costs beside its trials, relative to a plain posix_spawn loop that creates
the same folder and the same two log files.

    cargo build --release --examples --bin swath
    python3 benches/launch/compare.py [launch|idle|silent ...] [--trials N] [--rounds N] [SWATH ...]

`launch`: the CPU time of a trivial trial. `idle`: the time that a slot is idle between two trials
of 5 ms, from the last clock that one program reads to the first that the next one reads, with 2 and
with 64 slots. `silent`: the share of a core of each process of a run beside 32 programs that only
sleep. Without a name all three. Several binaries of swath are compared with each other.

The last lines are for programs: the name of a measurement, its figure for the last binary, and its
ratio to the first binary, or to the loop or the target if there is only one, separated by tabs.

The programs run in turns. CPU times are user and system time of all processes of a run. All folders
are kept until the end, because ext4 is slower for minutes after many files have been removed. The
folders are in TMPDIR: set it to measure another file system.
"""

import argparse
import ctypes
import glob
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

RELEASE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../target/release"))
SWEEP = """
name = "t"
run = {{ command = [{command}] }}
search = {{ sampler = "random", trials = {trials} }}
resources = {{ jobs = {slots} }}
limits = {{ quick_failures = 0, failures = 1000000 }}
space = {{ x = {{ min = 0.0, max = 1.0 }} }}
"""
NAP_MS = 5
SILENT_TRIALS = 32
# Seconds after which the intervals between two looks at a silent trial no longer grow.
SETTLED = 170


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="launch, idle, silent, and binaries of swath")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60, help="length of `silent`")
    parser.add_argument("--examples", default=f"{RELEASE}/examples", help="folder of the examples")
    arguments = parser.parse_intermixed_args()
    questions = {"launch": launch, "idle": idle, "silent": silent}
    arguments.binaries = [os.path.abspath(word) for word in arguments.words if word not in questions]
    arguments.binaries = arguments.binaries or [f"{RELEASE}/swath"]
    asked = [questions[word] for word in arguments.words if word in questions]
    arguments.questions = asked or list(questions.values())
    return arguments


def write_sweep(folder, command, trials, slots):
    os.makedirs(folder)
    path = os.path.join(folder, "t.toml")
    with open(path, "w") as file:
        words = ", ".join(f'"{word}"' for word in command)
        file.write(SWEEP.format(command=words, trials=trials, slots=slots))
    return path


def run_to_the_end(command, folder):
    """Runs a program and all that it leaves. Returns their CPU time and the wall time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, cwd=folder, env={**os.environ, "TMPDIR": folder}, **quiet)
    status = child.wait()
    wall = time.monotonic() - began
    # swath exits with 3 if no trial reports an objective, which does not matter here.
    assert status in (0, 3), status
    # The guard, the slots and their trials are orphans now, whose time counts once they are reaped.
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall


def in_turns(arguments, scratch, program, trials, slots):
    """Runs the loop and each swath in turns. Returns, by name, their measurements and folders."""
    commands = {"posix_spawn loop": None}
    executor = f"{arguments.examples}/launch"
    if program == ["/bin/true"] and os.path.exists(executor):
        commands["executor alone"] = [executor, str(trials), str(slots)]
    commands.update({binary: None for binary in arguments.binaries})
    runs = {name: [] for name in commands}
    for turn in range(arguments.rounds):
        names = list(commands) if turn % 2 == 0 else list(commands)[::-1]
        for name in names:
            folder = tempfile.mkdtemp(dir=scratch)
            sweep = write_sweep(f"{folder}/sweep", program, trials, slots)
            if name in arguments.binaries:
                command = [name, "run", "--quiet", sweep]
            elif commands[name]:
                command = commands[name]
            else:
                loop = f"{arguments.examples}/spawn_baseline"
                command = [loop, str(trials), str(slots), *program, "{slot}"]
            runs[name].append((run_to_the_end(command, folder), folder))
    return runs


def ratio(runs, baseline, index):
    """Returns the median over the turns of a measurement relative to the loop in the same turn."""
    pairs = zip(runs, baseline)
    return statistics.median(run[0][index] / base[0][index] for run, base in pairs)


def line_for_programs(arguments, name, figures, unit, single):
    """Returns the line of a measurement; `single` says what one binary alone is compared with."""
    last = figures[arguments.binaries[-1]]
    ratio = single
    if len(arguments.binaries) > 1:
        ratio = f"{last / figures[arguments.binaries[0]]:.2f}"
    return f"{name}\t{last:.3f} {unit}\t{ratio}"


def launch(arguments, scratch):
    trials = arguments.trials
    runs = in_turns(arguments, scratch, ["/bin/true"], trials, 2)
    print(f"{trials} trials of /bin/true, 2 slots, medians of {arguments.rounds} rounds in turns")
    loop, figures = runs["posix_spawn loop"], {}
    for name, measured in runs.items():
        cpu = statistics.median(1000 * run[0][0] / trials for run in measured)
        figures[name] = cpu
        wall = statistics.median(1000 * run[0][1] / trials for run in measured)
        print(
            f"{name:24} CPU {cpu:.3f} ms a trial, {ratio(measured, loop, 0):.2f} ×; "
            f"wall {wall:.3f} ms, {ratio(measured, loop, 1):.2f} ×"
        )
    times = ratio(runs[arguments.binaries[-1]], loop, 0)
    single = f"{times:.2f} of the loop (target 1.3)"
    return [line_for_programs(arguments, "trivial trial, CPU", figures, "ms", single)]


def gaps_between_trials(folder):
    """Returns the milliseconds between the end of a program and the start of the next in its slot."""
    trials = {}
    for path in glob.glob(f"{folder}/**/stdout.log", recursive=True):
        with open(path) as file:
            slot, began, ended = file.read().split()
        trials.setdefault(slot, []).append((int(began), int(ended)))
    gaps = []
    for times in trials.values():
        times.sort()
        gaps += [(next_one[0] - one[1]) / 1e6 for one, next_one in zip(times, times[1:])]
    return gaps


def idle(arguments, scratch):
    program = [f"{arguments.examples}/nap", str(NAP_MS)]
    lines = []
    for slots in (2, 64):
        trials = max(arguments.trials, 8 * slots)
        runs = in_turns(arguments, scratch, program, trials, slots)
        print(f"{trials} trials of {NAP_MS} ms, {slots} slots: time without a program in a slot")
        figures = {}
        for name, measured in runs.items():
            gaps = sorted(gap for run in measured for gap in gaps_between_trials(run[1]))
            if not gaps:  # An old version, whose trials do not know their slot.
                continue
            last = gaps[int(0.99 * (len(gaps) - 1))]
            figures[name] = statistics.median(gaps)
            print(f"{name:24} median {figures[name]:.2f} ms, 99 % under {last:.2f} ms")
        loop = f"{figures['posix_spawn loop']:.2f} ms in the loop (target 1 ms)"
        name = f"time without a program, {slots} slots"
        lines.append(line_for_programs(arguments, name, figures, "ms", loop))
    return lines


def used_by_process(pid):
    """Returns the CPU seconds and the context switches of a process, of all its threads."""
    seconds, switches = 0.0, 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/schedstat") as file:
            seconds += int(file.read().split()[0]) / 1e9
        with open(f"{task}/status") as file:
            lines = [line for line in file if "ctxt_switches" in line]
        switches += sum(int(line.split()[1]) for line in lines)
    return seconds, switches


def descendants(pid):
    """Returns the processes of swath below a process."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path) as file:
            children = file.read().split()
        found += [child for child in children if is_helper(child)]
    return found + [below for child in found for below in descendants(child)]


def is_helper(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().split(b"\0")[1:2] in ([b"guard"], [b"slot"])


def silent(arguments, scratch):
    seconds, figures = arguments.seconds, {}
    print(f"{SILENT_TRIALS} silent trials for {seconds:.0f} s: part of a core, and wake-ups")
    for binary in arguments.binaries:
        folder = tempfile.mkdtemp(dir=scratch)
        program = ["sh", "-c", f"exec sleep {seconds + 3600:.0f}"]
        sweep = write_sweep(f"{folder}/sweep", program, SILENT_TRIALS, SILENT_TRIALS)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        run = subprocess.Popen([binary, "run", "--quiet", sweep], cwd=folder, **quiet)
        time.sleep(SETTLED)
        helpers = descendants(run.pid)
        before, of_helpers = used_by_process(run.pid), [used_by_process(pid) for pid in helpers]
        time.sleep(seconds)
        after, later = used_by_process(run.pid), [used_by_process(pid) for pid in helpers]
        used = sum(b[0] - a[0] for a, b in zip(of_helpers, later))
        figures[binary] = 100 * (after[0] - before[0]) / seconds
        print(
            f"{binary}: orchestrator {figures[binary]:.3f} %, "
            f"{(after[1] - before[1]) / seconds:.0f} a second; "
            f"guard and {len(helpers) - 1} slots {100 * used / seconds:.3f} %"
        )
        for _ in range(2):
            run.send_signal(signal.SIGINT)
            time.sleep(0.5)
        run.wait()
    name = f"beside {SILENT_TRIALS} silent trials"
    return [line_for_programs(arguments, name, figures, "% of a core", "target 0.2 %")]


def main():
    arguments = parse_arguments()
    # All that a run leaves becomes a child of this process (PR_SET_CHILD_SUBREAPER).
    ctypes.CDLL(None).prctl(36, 1)
    scratch = tempfile.mkdtemp()
    lines = []
    for question in arguments.questions:
        lines += question(arguments, scratch)
        sys.stdout.flush()
    print("\n".join(lines))
    shutil.rmtree(scratch)


main()
