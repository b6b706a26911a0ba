"""MLXP's Reader returns the contents of the trials' files: for a given study, for one with a failed
and a stopped trial, NaN and names that are not ASCII, and for one whose trials run in a clone and
store artifacts of every type.

usage: python mlxp_reader.py STUDY     (needs mlxp 1.0.5; exits with 1 at the first difference)
"""
# needs: mlxp==1.0.5

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlxp
import yaml
from fixtures.study import read_json_lines, run_study, run_swath
from mlxp.data_structures.artifacts import Artifact_types

STATUSES = ("STARTING", "RUNNING", "COMPLETE", "STOPPED", "PAUSED", "FAILED")

CLONED_TRAIN = """
import json, os, pickle
with open("m.pkl", "wb") as file:
    pickle.dump({"weights": [1, 2]}, file)
with open("notes.txt", "w") as file:
    file.write("n")
checkpoints = os.path.join(os.environ["SWATH_TRIAL_DIR"], "artifacts", "Checkpoint")
os.makedirs(checkpoints)
with open(os.path.join(checkpoints, "last_ckpt.pkl"), "wb") as file:
    pickle.dump({"epoch": 3}, file)
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    for line in (
        {"kind": "text", "name": "greeting", "text": "hello"},
        {"kind": "dict", "name": "confusion", "value": {"cats": [9, 1]}},
        {"kind": "artifact", "path": "notes.txt"},
        {"kind": "artifact", "path": "m.pkl"},
        {"loss": float(os.environ["SWATH_TRIAL"])},
    ):
        records.write(json.dumps(line) + "\\n")
"""

CLONED_SWEEP = """
name = "cloned"
[run]
command = [{python}, "train.py"]
code = "clone"
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 2
[space]
lr = {{ min = 0.0, max = 1.0 }}
"""


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
    if run["info.status"] not in STATUSES:
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


def check_artifacts(folder):
    """Checks a study in a clone whose trials store artifacts that MLXP cannot load, too."""
    folder = Path(folder)
    (folder / "train.py").write_text(CLONED_TRAIN)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    sweep = CLONED_SWEEP.format(python=json.dumps(sys.executable))
    (folder / "sweep.toml").write_text(sweep)
    result = run_swath("run", "sweep.toml", "--quiet", cwd=folder)
    assert result.returncode == 0, result.stderr
    study = folder / "logs/cloned"
    reader = mlxp.Reader(str(study), dst_dir=str(folder / "db"), refresh=True)
    found = reader.filter("info.status == 'COMPLETE'", result_format="datadict")
    check("the number of complete trials", len(found), 2)
    rows = reader.filter(result_format="pandas")
    check("the rows of pandas", len(rows), 2)
    for run in found:
        check("the script", run["info.current_file_path"], "train.py")
        commit = run["info.version_manager.commit_hash"]
        check("the commit", commit, head.stdout.strip())
        assert run["info.user"], "the user is missing"
        trial = study / str(run["info.logger.log_id"])
        listed = yaml.safe_load((trial / "artifacts/.keys/artifacts.yaml").read_text())
        check("the artifacts", listed, {"pickle": {"": {"m.pkl": ""}}})
        artifact = run["artifact.pickle."]["m.pkl"]
        check("the pickle", artifact.load(), {"weights": [1, 2]})
        # As `load_checkpoint(log_name, root)` of MLXP does.
        load = Artifact_types["pickle"]["load"]
        check("the checkpoint", load(str(trial / "artifacts/Checkpoint/last_ckpt.pkl")), {"epoch": 3})
        settings = yaml.safe_load((trial / "metadata/mlxpy.yaml").read_text())
        check("the settings", settings["use_version_manager"], True)
    print("MLXP loads an artifact of its own types beside others, and knows the commit of a clone")


if __name__ == "__main__":
    check_study(os.path.abspath(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        study = run_study(folder, "")
        statuses = check_study(str(study.folder))
        expected = {str(trial): state.upper() for trial, state in study.states.items()}
        check("statuses", statuses, expected)
    with tempfile.TemporaryDirectory() as folder:
        check_artifacts(folder)
