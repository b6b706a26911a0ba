"""`swath import` reads studies that Optuna has written to SQLite and to its journal, with all
parameters, values and states.

usage: python optuna_import.py STUDY     (STUDY is ignored; $SWATH names the binary)
"""
# needs: optuna==5.0.0

import csv
import io
import math
import os
import re
import subprocess
import tempfile
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
SWEEP = """
name = "{name}"
[objective]
metric = "loss"
goal = "min"
[[outcome_constraint]]
metric = "latency"
max = 8
[search]
trials = 3
[run]
command = ["true"]
[scheduler]
name = "median"
resource = "epoch"
[space]
x = {{ min = 1e-3, max = 1.0, log = true }}
kind = ["a", "b", "None", true, 3]
n = {{ min = 1, max = 8 }}
step = {{ min = 0.0, max = 1.0, step = 0.1 }}
width = {{ min = 0.0, max = 2.0, when = "kind == 'a'" }}
fresh = {{ min = 0, max = 5, default = 2 }}
"""
CHOICES = ["a", "b", None, True, 3]


def objective(trial):
    x = trial.suggest_float("x", 1e-3, 1.0, log=True)
    kind = trial.suggest_categorical("kind", CHOICES)
    n = trial.suggest_int("n", 1, 9)  # the range of the sweep ends at 8
    step = trial.suggest_float("step", 0.0, 1.0, step=0.1)
    if kind == "a":
        trial.suggest_float("width", 0.0, 2.0)
    for epoch in range(3):
        trial.report(x * n * (3 - epoch), epoch)
        if epoch == 1 and x > 0.5:
            raise optuna.TrialPruned()
    trial.set_user_attr("latency", n * 1.5)
    if n == 4:
        return float("nan")  # in Optuna, the trial fails
    return math.inf if n == 5 else x * n + step


def main(swath):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        journal = JournalStorage(JournalFileBackend(f"{folder}/o.log"))
        check_import(swath, folder, "sqlite", f"sqlite:///{folder}/o.db", folder / "o.db")
        check_import(swath, folder, "journal", journal, folder / "o.log")


def check_import(swath, folder, name, storage, path):
    """Imports a study of 40 trials from a storage and compares it with Optuna's own view."""

    def run(*args):
        command = [swath, "--logs", folder / "logs", *args]
        return subprocess.run(command, capture_output=True, text=True)

    optuna.create_study(storage=storage, study_name="other")
    study = optuna.create_study(storage=storage, study_name="digits")
    study.optimize(objective, n_trials=40)
    study.enqueue_trial({"x": 0.5})
    sweep = folder / f"{name}.toml"
    sweep.write_text(SWEEP.format(name=name))
    ambiguous = run("import", sweep, path)
    assert ambiguous.returncode == 2 and "`digits`" in ambiguous.stderr, ambiguous.stderr
    imported = run("import", sweep, path, "--study", "digits")
    assert imported.returncode == 0, imported.stderr
    assert "imported 40 trials" in imported.stderr, imported.stderr
    assert "1 trial had not ended" in imported.stderr, imported.stderr
    rows = list(csv.DictReader(io.StringIO(run("export", name).stdout)))
    assert len(rows) == 40
    compared = compare(study, rows)
    reported_outside = set(re.findall(r"trial (\d+) is outside", imported.stderr))
    outside = {row["trial_id"] for row in rows if int(row["param.n"]) > 8}
    assert reported_outside <= outside, (reported_outside, imported.stderr)
    repeated = run("import", sweep, path, "--study", "digits")
    assert "imported 0 trials" in repeated.stderr, repeated.stderr
    assert "40 trials were imported before" in repeated.stderr, repeated.stderr
    feasible = [
        trial
        for trial in study.get_trials()
        if trial.state.name == "COMPLETE"
        and math.isfinite(trial.value)
        and trial.params["n"] * 1.5 <= 8
    ]
    if feasible:
        best = min(feasible, key=lambda trial: trial.value)
        output = run("best", name).stdout
        assert output.startswith(f"trial {best.number + 1}:"), output
    print(f"{name}: 40 trials, {compared} values compared, {len(outside)} outside the space")


def compare(study, rows):
    """Compares the rows of the table with the trials of Optuna and counts the values."""
    compared = 0
    for trial, row in zip(study.get_trials(deepcopy=False), rows):
        for key, value in trial.params.items():
            cell = row[f"param.{key}"]
            if isinstance(value, float):
                # swath rounds steps to decimal numbers; Optuna adds them up.
                assert float(cell) == value or (
                    key == "step" and abs(float(cell) - value) < 1e-12
                ), (key, cell, value)
            else:
                expected = "true" if value is True else str(value)
                assert cell == expected, (key, cell, value)
            compared += 1
        if row["param.n"] != "9":
            assert row["param.fresh"] == "2", row
        assert (row["param.width"] == "") == ("width" not in trial.params), row
        state = trial.state.name
        if state == "COMPLETE" and math.isfinite(trial.value):
            assert row["state"] == "complete" and float(row["loss"]) == trial.value, (row, trial)
        elif state == "COMPLETE" or state == "FAIL":
            assert row["state"] == "failed", (row, trial)
        elif state == "PRUNED":
            assert row["state"] == "stopped", (row, trial)
            assert (
                float(row["metric.loss"])
                == trial.intermediate_values[max(trial.intermediate_values)]
            ), row
            assert float(row["step"]) == max(trial.intermediate_values), row
        if "latency" in trial.user_attrs:
            assert float(row["metric.latency"]) == trial.user_attrs["latency"], row
        compared += 1
    return compared


main(os.environ["SWATH"])
