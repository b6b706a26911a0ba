"""Studies that a real Optuna wrote, by SQLite and by its journal, are imported with every parameter, value and state as Optuna has them.

usage: python optuna_import.py STUDY     (STUDY is not looked at; the binary is $SWATH)
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
    n = trial.suggest_int("n", 1, 9)  # one more than the sweep has
    step = trial.suggest_float("step", 0.0, 1.0, step=0.1)
    if kind == "a":
        trial.suggest_float("width", 0.0, 2.0)
    for epoch in range(3):
        trial.report(x * n * (3 - epoch), epoch)
        if epoch == 1 and x > 0.5:
            raise optuna.TrialPruned()
    trial.set_user_attr("latency", n * 1.5)
    if n == 4:
        return float("nan")  # Optuna makes it a failed trial
    return math.inf if n == 5 else x * n + step


def main(swath):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        stores = {
            "sqlite": (f"sqlite:///{folder}/o.db", folder / "o.db"),
            "journal": (JournalStorage(JournalFileBackend(f"{folder}/o.log")), folder / "o.log"),
        }
        for name, (storage, path) in stores.items():
            optuna.create_study(storage=storage, study_name="other")
            study = optuna.create_study(storage=storage, study_name="digits")
            study.optimize(objective, n_trials=40)
            study.enqueue_trial({"x": 0.5})
            sweep = folder / f"{name}.toml"
            sweep.write_text(SWEEP.format(name=name))
            run = lambda *words: subprocess.run(
                [swath, "--logs", folder / "logs", *words], capture_output=True, text=True
            )
            asked = run("import", sweep, path)
            assert asked.returncode == 2 and "`digits`" in asked.stderr, asked.stderr
            done = run("import", sweep, path, "--study", "digits")
            assert done.returncode == 0 and "imported 40 trials" in done.stderr, done.stderr
            rows = list(csv.DictReader(io.StringIO(run("export", name).stdout)))
            assert len(rows) == 40
            outside = set(re.findall(r"trial (\d+) is outside", done.stderr))
            compared = compare(study, rows)
            misfits = [row for row in rows if int(row["param.n"]) > 8]
            assert outside <= {row["trial_id"] for row in misfits}, (outside, done.stderr)
            assert "1 trial had not ended" in done.stderr, done.stderr
            again = run("import", sweep, path, "--study", "digits")
            assert (
                "imported 0 trials" in again.stderr
                and "40 trials had been imported before" in again.stderr
            ), again.stderr
            best = [
                t
                for t in study.get_trials()
                if t.state.name == "COMPLETE" and math.isfinite(t.value)
            ]
            best = [t for t in best if t.params["n"] * 1.5 <= 8]
            if best:
                wanted = min(best, key=lambda t: t.value)
                assert run("best", name).stdout.startswith(f"trial {wanted.number + 1}:"), run(
                    "best", name
                ).stdout
            print(
                f"{name}: 40 trials, {compared} values compared, {len(misfits)} outside the space"
            )


def compare(study, rows):
    compared = 0
    for trial, row in zip(study.get_trials(deepcopy=False), rows):
        for key, value in trial.params.items():
            cell = row[f"param.{key}"]
            if isinstance(value, float):
                # A step of ours is the decimal number, Optuna's the sum of steps.
                assert float(cell) == value or (
                    key == "step" and abs(float(cell) - value) < 1e-12
                ), (key, cell, value)
            else:
                wanted = "true" if value is True else str(value)
                assert cell == wanted, (key, cell, value)
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
