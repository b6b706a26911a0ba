#!/usr/bin/env python3
"""Measures the time to hash a data set of many small files, for the first time and again, beside
`md5sum`, `b3sum` and `dvc add`.

    cargo build --release --bin swath
    python3 benches/hashing/compare.py [--files N] [--rounds N] [--dvc DVC] [SWATH [SWATH]]

The time of swath is that of a run of one trial of `true` with the data set, minus that of a run
without it. It therefore includes the record of the data set and the cache of digests. `again` is a
new run whose study has the cache. The programs run in turns; the files were written just now, so
they are in memory unless `--cold` asks the kernel to forget them before each run.

The last lines are for programs, as those of the other scripts: see benches/README.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

RELEASE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../target/release"))
SWEEP = """
name = "{name}"
run = {{ command = ["true"]{data} }}
search = {{ sampler = "random", trials = 1 }}
limits = {{ quick_failures = 0, failures = 1000 }}
space = {{ x = {{ min = 0.0, max = 1.0 }} }}
"""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
FILES_OF_FOLDER = 100
BYTES = 4096


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", nargs="*", default=[f"{RELEASE}/swath"], metavar="SWATH")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dvc", default="dvc", help="the program dvc")
    parser.add_argument("--cold", action="store_true", help="forget the files before each run")
    return parser.parse_args()


def write_data(folder, count):
    """Writes files whose last change is long enough ago for a cache of digests."""
    content = os.urandom(BYTES)
    for index in range(count):
        path = f"{folder}/{index // FILES_OF_FOLDER}/{index}.bin"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(index.to_bytes(8, "little") + content[8:])
    subprocess.run(["sync", "-f", folder], check=True)
    time.sleep(0.5)


def forget(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            file = os.open(f"{parent}/{name}", os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def seconds(command, folder, accepted=(0,)):
    began = time.monotonic()
    code = subprocess.run(command, cwd=folder, **QUIET).returncode
    wall = time.monotonic() - began
    assert code in accepted, (command, code)
    return wall


def time_of_swath(arguments, binary, data, scratch):
    """Returns the seconds of hashing for the first time, and again."""
    folder = tempfile.mkdtemp(dir=scratch)
    for name, text in (("with", f', data_dir = "{data}"'), ("without", "")):
        with open(f"{folder}/{name}.toml", "w") as file:
            file.write(SWEEP.format(name=name, data=text))
    # swath exits with 3 if no trial reports an objective, which does not matter here.
    accepted = (0, 3)
    without = seconds([binary, "run", "--quiet", "without.toml"], folder, accepted)
    if arguments.cold:
        forget(data)
    first = seconds([binary, "run", "--quiet", "with.toml"], folder, accepted)
    # The next trial of the study reads the data set again.
    more = [binary, "run", "--quiet", "with.toml", "search.trials=2"]
    again = seconds(more, folder, accepted)
    return first - without, again - without


def peers(arguments, data, scratch):
    """Returns the commands of other tools by name: those that are installed."""
    commands = {
        "md5sum": ["sh", "-c", f"find {data} -type f -print0 | xargs -0 md5sum"],
        "b3sum": ["sh", "-c", f"find {data} -type f -print0 | xargs -0 b3sum"],
    }
    return {name: command for name, command in commands.items() if shutil.which(name)}


def time_of_dvc(arguments, data, scratch):
    """Returns the seconds of `dvc add`, without a copy of the files into its cache."""
    folder = tempfile.mkdtemp(dir=scratch)
    shutil.copytree(data, f"{folder}/data")
    subprocess.run([arguments.dvc, "init", "--no-scm", "-q"], cwd=folder, check=True, **QUIET)
    # Its data base of digests is of the user: an own one has none of this data set.
    own = [arguments.dvc, "config", "core.site_cache_dir", f"{folder}/site"]
    subprocess.run(own, cwd=folder, check=True, **QUIET)
    add = [arguments.dvc, "add", "--no-commit", "-q", "data"]
    return seconds(add, folder), seconds(add, folder)


def main():
    arguments = parse_arguments()
    binaries = [os.path.abspath(binary) for binary in arguments.binaries]
    arguments.dvc = shutil.which(arguments.dvc)
    scratch = tempfile.mkdtemp()
    data = f"{scratch}/data"
    write_data(data, arguments.files)
    times = {}
    for turn in range(arguments.rounds):
        for name, command in peers(arguments, data, scratch).items():
            if arguments.cold:
                forget(data)
            times.setdefault(name, []).append(seconds(command, scratch))
        for index, binary in list(enumerate(binaries))[:: 1 if turn % 2 == 0 else -1]:
            first, again = time_of_swath(arguments, binary, data, scratch)
            times.setdefault(("first", index), []).append(first)
            times.setdefault(("again", index), []).append(again)
        if arguments.dvc and turn == 0:
            first, again = time_of_dvc(arguments, data, scratch)
            times["dvc add"], times["dvc add, again"] = [first], [again]
    least = {name: min(values) for name, values in times.items()}
    print(f"{arguments.files} files of {BYTES} bytes, least of {arguments.rounds} rounds in turns")
    for name, values in times.items():
        label = name if isinstance(name, str) else f"swath {name[1] + 1}, {name[0]}"
        print(f"{label:20} {min(values):.3f} s, median {statistics.median(values):.3f} s")
    last = len(binaries) - 1
    for name in ("first", "again"):
        if last > 0:
            ratio = f"{least[name, last] / least[name, 0]:.2f}"
        else:
            ratio = f"{least[name, last] / least['md5sum']:.2f} of md5sum"
        print(f"hashing {arguments.files} files, {name}\t{least[name, last]:.4f}\t{ratio}")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
