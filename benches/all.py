#!/usr/bin/env python3
"""Runs the benchmarks that take less than ten minutes each, and prints one table.

    cargo build --release --examples --bin swath
    python3 benches/all.py [NAME ...]
    python3 benches/all.py --compare OLD NEW [NAME ...]

The first form puts each figure beside its target or beside the program that does the same. The
second one runs two builds of the binary in turns, and marks each figure of NEW that is more than
5 % above that of OLD; the exit status is 1 if there is one. NAME is a benchmark of README.md;
without a name all run. Their own output goes to stderr, and the table to stdout.
"""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# A ratio above this is a figure that became slower.
SLOWER = 1.05
# Benchmarks of a binary: each takes one path or two, and ends with lines `NAME<TAB>FIGURE<TAB>RATIO`.
OF_A_BINARY = {
    "launch": ["launch/compare.py", "launch", "idle", "silent"],
    "reading": ["reading/compare.py"],
    "hashing": ["hashing/compare.py"],
}
# Benchmarks of the library, which Cargo runs. They have no second build to be compared with.
OF_THE_LIBRARY = ["journal", "tail"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {*OF_A_BINARY, *OF_THE_LIBRARY}
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return arguments


def run(command):
    """Runs a benchmark, shows its output, and returns it."""
    print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line.rstrip("\n"))
    return lines, child.returncode


def rows_of_binary(name, binaries):
    """Returns the rows of a benchmark of one binary or two: name, figure, ratio."""
    script, *words = OF_A_BINARY[name]
    lines, code = run([sys.executable, os.path.join(HERE, script), *words, *binaries])
    rows = [tuple(line.split("\t")) for line in lines if line.count("\t") == 2]
    return rows or [(name, f"failed with status {code}", "-")]


def rows_of_library(name):
    """Returns the rows of a benchmark of the library: the median times that Criterion prints."""
    lines, code = run(["cargo", "bench", "--bench", name, "--", "--quick"])
    rows, label = [], name
    for line in lines:
        # A long name has a line of its own before the times.
        times = re.match(r"(.*?)\s*time:\s+\[\S+ \S+ (\S+ \S+) \S+ \S+\]", line)
        if times:
            rows.append((f"{name}: {times[1] or label}", times[2], "-"))
        elif line and not line.startswith(" "):
            label = line
    return rows or [(name, f"failed with status {code}", "-")]


def is_slower(ratio):
    try:
        return float(ratio) > SLOWER
    except ValueError:
        return False


def print_table(rows, compares):
    heading = "new to old" if compares else "beside"
    print(f"| measurement | figure | {heading} |\n|---|---:|---|")
    for name, figure, ratio in rows:
        mark = " **slower**" if compares and is_slower(ratio) else ""
        print(f"| {name} | {figure} | {ratio}{mark} |")


def main():
    arguments = parse_arguments()
    binaries = arguments.compare or [os.path.join(ROOT, "target/release/swath")]
    binaries = [os.path.abspath(binary) for binary in binaries]
    rows = []
    for name in arguments.names or [*OF_A_BINARY, *OF_THE_LIBRARY]:
        if name in OF_A_BINARY:
            rows += rows_of_binary(name, binaries)
        elif not arguments.compare:
            rows += rows_of_library(name)
    print_table(rows, bool(arguments.compare))
    failed = any(figure.startswith("failed") for _, figure, _ in rows)
    slower = arguments.compare and any(is_slower(ratio) for _, _, ratio in rows)
    sys.exit(1 if failed or slower else 0)


if __name__ == "__main__":
    main()
