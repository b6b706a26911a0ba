"""MLXP's Reader returns the contents of the trials' files, for a given study and for one with a
failed and a stopped trial, NaN and names that are not ASCII.

usage: python mlxp_reader.py STUDY     (needs mlxp 1.0.5; exits with 1 at the first difference)
"""
# needs: mlxp==1.0.5

import json
import math
import os
import shutil
import sys
import tempfile

import mlxp
from fixtures.study import read_json_lines, run_study


def flatten(tree, prefix=""):
    """Yields the values of nested tables with their dotted names."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def equal(left, right):
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


def check(name, actual, expected):
    if not (actual == expected if isinstance(expected, dict) else equal(actual, expected)):
        sys.exit(f"{name}: MLXP reads {actual!r}, the trial has {expected!r}")


def read_columns(path):
    columns = {}
    for row in read_json_lines(path):
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return columns


def check_trial(trial, run, folder):
    """Compares a run of MLXP with the folder of its trial. Returns the number of metric points."""
    with open(os.path.join(folder, "params.json"), encoding="utf-8") as file:
        params = json.load(file)
    for name, value in flatten(params):
        check(f"trial {trial}, parameter {name}", run[f"config.{name}"], value)
    if run["info.status"] not in ("STARTING", "RUNNING", "COMPLETE", "FAILED"):
        sys.exit(f"trial {trial} has status {run['info.status']}")
    points = 0
    metrics = os.path.join(folder, "metrics")
    for file in sorted(os.listdir(metrics) if os.path.isdir(metrics) else []):
        if file.endswith(".json"):
            log = file.removesuffix(".json")
            for key, values in read_columns(os.path.join(metrics, file)).items():
                check(f"trial {trial}, {log}.{key}", run[f"{log}.{key}"], values)
                points += len(values)
    return points


def check_study(study):
    """Compares all runs of MLXP with the study. Returns the status of each trial."""
    trials = sorted((name for name in os.listdir(study) if name.isdigit()), key=int)
    scratch = tempfile.mkdtemp()
    try:
        reader = mlxp.Reader(study, dst_dir=scratch, refresh=True)
        runs = {
            str(run["info.logger.log_id"]): run for run in reader.filter(result_format="datadict")
        }
        if sorted(runs, key=int) != trials:
            sys.exit(f"MLXP reads the runs {sorted(runs)}, the study has {trials}")
        points = sum(
            check_trial(trial, runs[trial], os.path.join(study, trial)) for trial in trials
        )
        complete = reader.filter("info.status == 'COMPLETE'", result_format="pandas")
        print(
            f"MLXP reads {len(trials)} trials, {len(complete)} of them complete, "
            f"and {points} metric points"
        )
        return {trial: runs[trial]["info.status"] for trial in trials}
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    check_study(os.path.abspath(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        study = run_study(folder, "")
        statuses = check_study(str(study.folder))
        # MLXP has no status for stopped trials; their reason is in `info.exit`.
        expected = {
            str(trial): "FAILED" if state == "failed" else "COMPLETE"
            for trial, state in study.states.items()
        }
        check("statuses", statuses, expected)
