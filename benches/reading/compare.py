#!/usr/bin/env python3
"""Measures how long users wait for large studies, and the memory that it takes.

    cargo build --release --bin swath --example write_study
    python3 benches/reading/compare.py [--rounds N] [--python PYTHON] BINARY [BINARY2]

The studies are of 10,000 trials with 100 reports each and of 100,000 trials with one report each,
all with ten parameters. Each binary has copies of its own, since `run` appends to the journal. The
commands of the binaries run in turns. PYTHON is one with pandas and pyarrow; without it the rows of
pandas are left out.

The last lines are for programs: the name of a measurement, the least seconds of the last binary,
and its ratio to the first binary, or to the target if there is only one, separated by tabs.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SWEEP = """name = "{name}"
objective = {{ metric = "loss", goal = "min", take = "best" }}
run = {{ command = ["true"] }}
search = {{ sampler = "random", trials = {trials} }}
[space]
""" + "".join(f"p{index} = {{{{ min = 0.0, max = 1.0 }}}}\n" for index in range(10))
STUDIES = {"large": (10_000, 100), "many": (100_000, 1)}
PANDAS = """
import time; began = time.perf_counter()
import pandas; imported = time.perf_counter()
pandas.read_csv("{csv}").to_parquet("{parquet}")
print(imported - began, time.perf_counter() - imported)
"""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", nargs="+", metavar="BINARY")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="a Python with pandas")
    parser.add_argument("--writer", default=f"{ROOT}/target/release/examples/write_study")
    parser.add_argument("--only", default="", help="only measurements whose name contains this")
    return parser.parse_args()


def run(command, folder):
    """Runs a command. Returns its wall time in seconds, its CPU time, and its peak in MB."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, **QUIET)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, (command, child.returncode)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def first_answer(binary, folder):
    """Starts `swath ui`. Returns its times until it has sent the first data, and its peak."""
    began = time.perf_counter()
    command = [binary, "ui", "large"]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        address = child.stdout.readline().decode().strip()
        with urllib.request.urlopen(f"{address.rstrip('/')}/data", timeout=60) as answer:
            assert len(answer.read()) > 100_000
        wall = time.perf_counter() - began
    finally:
        child.send_signal(signal.SIGKILL)
        child.stdout.close()
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = -signal.SIGKILL
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def write_studies(arguments, folder):
    """Writes the studies by the first binary and the example: `logs`, and `bare` without snapshots."""
    for name, (trials, reports) in STUDIES.items():
        with open(f"{folder}/{name}.toml", "w") as file:
            file.write(SWEEP.format(name=name, trials=trials))
        # This begins the study: its folder, and the entry with the header. No trial is asked for.
        command = [arguments.binaries[0], "ask-tell", f"{name}.toml"]
        subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=True, **QUIET)
        study = f"{folder}/logs/{name}"
        subprocess.run([arguments.writer, study, str(trials), str(reports)], check=True)
    shutil.copytree(f"{folder}/logs", f"{folder}/bare", ignore=shutil.ignore_patterns("snapshot*"))


def questions():
    """Returns the measured commands: name, words, and target in seconds, if there is one."""
    return [
        ("best of 10,000 x 100", ["best", "large"], 0.1),
        ("best, no snapshot", ["--logs", "bare", "best", "large"], 0.4),
        ("ls -n 40", ["ls", "large", "-n", "40"], None),
        ("ls, all rows", ["ls", "large"], 0.08),
        ("compare --top 10", ["compare", "large", "--top", "10"], 0.08),
        ("export wide Parquet", ["export", "large", "-o", "wide.parquet"], None),
        ("export long Parquet", ["export", "large", "--long", "-o", "long.parquet"], 0.5),
        ("export --html", ["export", "large", "--html", "page.html"], 0.5),
        ("ui, first answer", None, 0.5),
        ("100,000 trials: ls -n 20", ["ls", "many", "-n", "20"], 1.0),
        ("100,000 trials: ls, no snapshot", ["--logs", "bare", "ls", "many", "-n", "20"], 1.0),
        ("100,000 trials: run opens it", ["run", "--quiet", "many.toml"], 1.0),
    ]


def command_of(binary, words):
    """Returns the command. The folder of studies is an option of the subcommand."""
    if words[0] == "--logs":
        return [binary, *words[2:], *words[:2]]
    return [binary, *words]


def measure(arguments, folders):
    """Runs every command of every binary in turns. Returns the runs by name and binary."""
    asked = [question for question in questions() if arguments.only in question[0]]
    runs = {(name, index): [] for name, _, _ in asked for index in range(len(folders))}
    for turn in range(arguments.rounds):
        order = list(enumerate(zip(arguments.binaries, folders)))
        for name, words, _ in asked:
            for index, (binary, folder) in order if turn % 2 == 0 else order[::-1]:
                if words is None:
                    measured = first_answer(binary, folder)
                else:
                    measured = run(command_of(binary, words), folder)
                runs[name, index].append(measured)
    return asked, runs


def measure_pandas(arguments, binary, folder):
    """Prints how long pandas takes for the same tables, from the CSV that swath writes."""
    has_pandas = [arguments.python, "-c", "import pandas, pyarrow"]
    if subprocess.run(has_pandas, **QUIET).returncode != 0:
        print("no pandas: --python PYTHON names a Python that has it")
        return
    for table, words in {"wide": [], "long": ["--long"]}.items():
        csv, parquet = f"{folder}/{table}.csv", f"{folder}/pandas.parquet"
        run([binary, "export", "large", *words, "-o", csv], folder)
        times = []
        for _ in range(arguments.rounds):
            program = PANDAS.format(csv=csv, parquet=parquet)
            output = subprocess.run([arguments.python, "-c", program], check=True, text=True,
                                    stdout=subprocess.PIPE).stdout
            times.append([float(word) for word in output.split()])
        imported, converted = (min(column) for column in zip(*times))
        print(f"pandas, {table}: read_csv and to_parquet {converted:.3f} s, import {imported:.3f} s")


def print_table(arguments, asked, runs):
    for index, binary in enumerate(arguments.binaries):
        print(f"binary {index + 1}: {binary}")
    print(f"{'':34} {'binary':>6} {'least':>8} {'median':>8} {'CPU':>8} {'peak':>8} {'target':>8}")
    for name, _, target in asked:
        for index in range(len(arguments.binaries)):
            walls, cpus, peaks = zip(*runs[name, index])
            goal = f"{min(walls) / target:6.2f} x" if target else ""
            print(
                f"{name:34} {index + 1:6} {min(walls):6.3f} s {statistics.median(walls):6.3f} s "
                f"{min(cpus):6.3f} s {max(peaks):5.0f} MB {goal:>8}"
            )


def print_lines(arguments, asked, runs):
    """Prints the lines for programs."""
    last = len(arguments.binaries) - 1
    for name, _, target in asked:
        least = [min(walls for walls, _, _ in runs[name, index]) for index in range(last + 1)]
        if last > 0:
            ratio = f"{least[last] / least[0]:.2f}"
        else:
            ratio = f"{least[last] / target:.2f} of target" if target else "-"
        print(f"{name}\t{least[last]:.4f}\t{ratio}")


def main():
    arguments = parse_arguments()
    arguments.binaries = [os.path.abspath(binary) for binary in arguments.binaries]
    scratch = tempfile.mkdtemp(prefix="swath-reading-")
    try:
        source = f"{scratch}/source"
        os.mkdir(source)
        write_studies(arguments, source)
        folders = [f"{scratch}/{index}" for index in range(len(arguments.binaries))]
        for folder in folders:
            shutil.copytree(source, folder)
        asked, runs = measure(arguments, folders)
        print_table(arguments, asked, runs)
        if "export" in arguments.only or not arguments.only:
            measure_pandas(arguments, arguments.binaries[-1], folders[-1])
        print_lines(arguments, asked, runs)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
