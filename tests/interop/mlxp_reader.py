"""Reads studies with MLXP's own Reader and compares what it says with the trials' files: the one given, and one with a failed trial, a
stopped one, NaN and names that are not ASCII.

usage: python mlxp_reader.py STUDY     (needs mlxp 1.0.5; prints one line, exits 1 at the first difference)
"""
# needs: mlxp==1.0.5

import json
import math
import os
import shutil
import sys
import tempfile

import mlxp
from fixtures.study import make


def flatten(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def same(left, right):
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


def check(what, found, wanted):
    if not (found == wanted if isinstance(wanted, dict) else same(found, wanted)):
        sys.exit(f"{what}: MLXP reads {found!r}, the trial has {wanted!r}")


def series(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    columns = {}
    for row in rows:
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return columns


def main(study):
    trials = sorted((name for name in os.listdir(study) if name.isdigit()), key=int)
    scratch = tempfile.mkdtemp()
    try:
        reader = mlxp.Reader(study, dst_dir=scratch, refresh=True)
        runs = {
            str(run["info.logger.log_id"]): run for run in reader.filter(result_format="datadict")
        }
        if sorted(runs, key=int) != trials:
            sys.exit(f"MLXP finds the runs {sorted(runs)}, the study has {trials}")
        points = 0
        for trial in trials:
            run, folder = runs[trial], os.path.join(study, trial)
            params = json.load(open(os.path.join(folder, "params.json"), encoding="utf-8"))
            for name, value in flatten(params):
                check(f"trial {trial}, parameter {name}", run[f"config.{name}"], value)
            if run["info.status"] not in ("STARTING", "RUNNING", "COMPLETE", "FAILED"):
                sys.exit(f"trial {trial} has status {run['info.status']}")
            metrics = os.path.join(folder, "metrics")
            for file in sorted(os.listdir(metrics) if os.path.isdir(metrics) else []):
                if file.endswith(".json"):
                    log = file.removesuffix(".json")
                    for key, values in series(os.path.join(metrics, file)).items():
                        check(f"trial {trial}, {log}.{key}", run[f"{log}.{key}"], values)
                        points += len(values)
        complete = reader.filter("info.status == 'COMPLETE'", result_format="pandas")
        print(
            f"MLXP reads {len(trials)} trials, {len(complete)} of them complete, and {points} metric points"
        )
        return {trial: runs[trial]["info.status"] for trial in trials}
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        made = make(folder, "")
        statuses = main(str(made.folder))
        # MLXP knows no other statuses; that a trial was stopped is in `info.exit`.
        wanted = {
            str(trial): "FAILED" if state == "failed" else "COMPLETE"
            for trial, state in made.states.items()
        }
        check("statuses", statuses, wanted)
