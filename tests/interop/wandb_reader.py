"""W&B reads all rows, parameters and exit codes of a study from its own records, and `wandb sync`
sends them to a server.

SWATH=target/debug/swath python wandb_reader.py
"""
# needs: wandb==0.31.0

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.study import equal_or_nan, run_image_study, run_study
from fixtures.wandb_records import items, records
from fixtures.wandb_server import Server


def expected_history(study, trial):
    """Returns the rows of a trial: the reports, then the rows of each metric log."""
    rows = [values for _, values in study.reports[trial]]
    for log, lines in study.metrics(trial).items():
        for line in lines:
            rows.append({f"{log}/{key}": value for key, value in line.items() if key != "at"})
    return rows


def check_values(actual, expected, context):
    """Compares the values of `expected`; `context` locates a difference in the error message."""
    for key, value in expected.items():
        cell = actual[key]
        if isinstance(cell, str) and isinstance(value, float):
            cell = float(cell.replace("Infinity", "inf"))
        assert equal_or_nan(cell, value), (context, key, cell, value)


def exit_code(study, trial):
    # W&B shows 255 as killed.
    return {"failed": 3, "stopped": 255, "complete": 0}[study.states[trial]]


def check_summary(summary, study, trial, context):
    """Checks that the summary has the last values, and for the objective also the best one."""
    last = dict(study.reports[trial][-1][1])
    losses = [values["val_loss"] for _, values in study.reports[trial]]
    expected = {"last": last.pop("val_loss"), "min": min(loss for loss in losses if loss == loss)}
    check_values(summary["val_loss"], expected, context)
    check_values(summary, last, context)


def check_definitions(records, trial):
    """Checks that charts have the axis of the trial, and that the objective has its goal."""
    metrics = {record.metric.name: record.metric for record in records}
    loss = metrics["val_loss"]
    assert (loss.step_metric, loss.goal, loss.summary.min) == ("epoch", 1, True), (trial, loss)
    assert metrics["epoch"].options.defined, metrics
    assert metrics["mine/läuft"].step_metric == "mine/step", (trial, sorted(metrics))
    assert "train/loss" not in metrics, "rows with batches have no step of their own"


def read_records(path):
    """Returns the records of a run file by type."""
    by_type = {}
    for number, record in enumerate(records(path), 1):
        assert record.num == number, (path, record.num)
        by_type.setdefault(record.WhichOneof("record_type"), []).append(record)
    return by_type


def check_run_files(study):
    """Compares the run files with the study. Returns the name and rows of each run, and the number
    of values."""
    runs, points = {}, 0
    for path in sorted((study.folder / "trackers/wandb").glob("offline-run-*/run-*.wandb")):
        by_type = read_records(path)
        (run,), (summary,), (exit,) = by_type["run"], by_type["summary"], by_type["exit"]
        config = items(run.run.config.update)
        trial = config.pop("swath")["trial"]
        assert config == study.params[trial], (trial, config)
        assert (run.run.run_group, run.run.project) == ("étude", "digits")
        assert path.stem == f"run-{run.run.run_id}"
        assert exit.exit.exit_code == exit_code(study, trial)
        expected = expected_history(study, trial)
        history = [items(record.history.item) for record in by_type["history"]]
        assert [row["_step"] for row in history] == list(range(len(expected)))
        for step, (actual_row, expected_row) in enumerate(zip(history, expected)):
            check_values(actual_row, expected_row, (trial, step))
            points += len(expected_row)
        check_summary(items(summary.summary.update), study, trial, (trial, "summary"))
        check_definitions(by_type["metric"], trial)
        runs[trial] = (run.run.run_id, expected)
    assert set(runs) == set(study.params), set(runs)
    return runs, points


def check_sync(study, runs):
    """Sends all runs with `wandb sync` and compares what the server has received."""
    server, scratch = Server(), tempfile.mkdtemp()
    env = {
        **os.environ,
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_DIR": scratch,
        "HOME": scratch,
        "WANDB_ERROR_REPORTING": "false",
    }
    folders = sorted(str(path) for path in (study.folder / "trackers/wandb").glob("offline-run-*"))
    wandb = Path(sys.executable).parent / "wandb"
    result = subprocess.run(
        [wandb, "sync", *folders], env=env, capture_output=True, text=True, timeout=200
    )
    output = (result.stdout + result.stderr)[-3000:]
    assert result.returncode == 0, (output, server.requests[-20:])
    for trial, (name, expected) in runs.items():
        run = server.runs.get(name)
        assert run, (f"trial {trial} was not sent", output, server.requests[-20:])
        assert run["upsert"]["groupName"] == "étude", run["upsert"]
        config = json.loads(run["upsert"]["config"])
        params = {key: config[key]["value"] for key in study.params[trial]}
        assert params == study.params[trial], config
        assert len(run["history"]) == len(expected), (trial, len(run["history"]), len(expected))
        for step, (actual_row, expected_row) in enumerate(zip(run["history"], expected)):
            check_values(actual_row, expected_row, (trial, step, "sent"))
        assert run["exit"] == exit_code(study, trial), (trial, run["exit"])
        check_summary(run["summary"], study, trial, (trial, "summary sent"))


def check_image(folder):
    """Checks that an image is a media file of the run, which a row shows."""
    study, image = run_image_study(folder, "wandb")
    (path,) = (study / "trackers/wandb").glob("offline-run-*/run-*.wandb")
    by_type = read_records(path)
    rows = [items(record.history.item) for record in by_type["history"]]
    (shown,) = [row["image/plots/roc"] for row in rows if "image/plots/roc" in row]
    size = (shown["_type"], shown["width"], shown["height"], shown["format"])
    assert size == ("image-file", 2, 3, "png"), shown
    (files,) = by_type["files"]
    (file,) = files.files.files
    assert (file.path, file.type) == (shown["path"], file.MEDIA), files
    assert (path.parent / "files" / shown["path"]).read_bytes() == image


with tempfile.TemporaryDirectory() as folder:
    check_image(folder)
with tempfile.TemporaryDirectory() as folder:
    study = run_study(folder, '[[tracker]]\nname = "wandb"\n')
    runs, points = check_run_files(study)
    study.assert_export_is_identical("wandb")
    check_sync(study, runs)
    print(f"W&B reads {points} values of {len(runs)} trials; `wandb sync` sends all runs")
