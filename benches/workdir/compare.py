#!/usr/bin/env python3
"""Measures the cost of a private working directory for each trial, relative to plain copies of the
same files by `cp -a` and `git checkout-index`.

    cargo build --release --bin swath
    python3 benches/workdir/compare.py [TRIALS] [ROUNDS] [FILES] [SWATH]

The project has FILES tracked files of 0 to 12 KiB in folders of 20. All programs run one after the
other in turns; the table has medians for each trial. A run with a private workdir is compared with
the same run in a shared folder; the difference is the cost of the folder. All folders are kept until
the end, because ext4 is slower for minutes after many files have been removed.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SWEEP = """
name = "{name}"
[run]
command = ["/bin/true"]
{workdir}
[search]
sampler = "random"
trials = {trials}
[limits]
failures = {trials}
quick_failures = 0
[resources]
jobs = 1
[space]
x = {{ min = 0.0, max = 1.0 }}
"""


def make_project(folder, count):
    for index in range(count):
        path = os.path.join(folder, f"package{index // 20}", f"module{index}.py")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("# a line of code\n" * (index * 37 % 700))
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(git + words, cwd=folder, check=True)


def measure(command, folder, times=1):
    """Returns wall and CPU milliseconds of `times` calls of a command."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for index in range(times):
        words = [word.replace("{to}", str(index)) for word in command]
        code = subprocess.run(words, cwd=folder, capture_output=True).returncode
        # swath exits with 3 if no trial reports an objective, which does not matter here.
        assert code in (0, 3), (words, code)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * wall, 1000 * cpu


def main():
    numbers = [int(word) for word in sys.argv[1:4]] + [100, 5, 600][len(sys.argv[1:4]):]
    trials, rounds, files = numbers
    own = os.path.join(os.path.dirname(__file__), "../../target/release/swath")
    swath = os.path.abspath(sys.argv[4] if len(sys.argv) > 4 else own)
    scratch = tempfile.mkdtemp(dir=os.getcwd())
    project = os.path.join(scratch, "project")
    os.makedirs(project)
    make_project(project, files)
    results = {name: [] for name in ("shared", "private", "cp -a", "git checkout-index")}
    for turn in range(rounds):
        copies = os.path.join(scratch, f"copies{turn}")
        os.makedirs(copies)
        tree = os.path.join(scratch, "tree")
        if not os.path.exists(tree):
            shutil.copytree(project, tree, ignore=shutil.ignore_patterns(".git"))
        for name in results:
            if name in ("shared", "private"):
                workdir = 'workdir = "private"' if name == "private" else ""
                text = SWEEP.format(name=f"{name}{turn}", workdir=workdir, trials=trials)
                sweep = os.path.join(scratch, f"{name}.toml")
                with open(sweep, "w") as file:
                    file.write(text)
                logs = os.path.join(copies, "logs")
                command = [swath, "--logs", logs, "run", "--quiet", sweep]
                wall, cpu = measure(command, project)
            elif name == "cp -a":
                wall, cpu = measure(["cp", "-a", tree, f"{copies}/cp{{to}}"], scratch, trials)
            else:
                to = f"--prefix={copies}/git{{to}}/"
                wall, cpu = measure(["git", "checkout-index", "-a", to], project, trials)
            results[name].append((wall / trials, cpu / trials))
    print(f"{files} files, {trials} trials, median of {rounds} rounds, milliseconds a trial")
    medians = {}
    for name, values in results.items():
        medians[name] = [statistics.median(column) for column in zip(*values)]
        print(f"{name:20} wall {medians[name][0]:7.2f}  CPU {medians[name][1]:7.2f}")
    private = [own - shared for own, shared in zip(medians["private"], medians["shared"])]
    print(f"{'private - shared':20} wall {private[0]:7.2f}  CPU {private[1]:7.2f}")
    for name in ("cp -a", "git checkout-index"):
        ratios = [own / other for own, other in zip(private, medians[name])]
        print(f"of {name:17} wall {ratios[0]:7.2f}  CPU {ratios[1]:7.2f}")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
