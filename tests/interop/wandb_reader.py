"""W&B's own record types hold every row, parameter and ending of a study, and `wandb sync` sends them all to a server.

SWATH=target/debug/swath python wandb_reader.py
"""
# needs: wandb==0.31.0

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.study import make, same
from fixtures.wandb_records import items, records
from fixtures.wandb_server import Server


def rows(made, trial):
    """The history that is wanted: the reports, then the metrics log by log."""
    wanted = [values for _, values in made.reports[trial]]
    for log, lines in made.metrics(trial).items():
        for line in lines:
            wanted.append({f"{log}/{key}": value for key, value in line.items() if key != "at"})
    return wanted


def equal(found, wanted, place):
    for key, value in wanted.items():
        got = found[key]
        got = (
            float(got.replace("Infinity", "inf"))
            if isinstance(got, str) and isinstance(value, float)
            else got
        )
        assert same(got, value), (place, key, got, value)


def read(made):
    runs, points = {}, 0
    for path in sorted((made.folder / "trackers/wandb").glob("offline-run-*/run-*.wandb")):
        kinds = {}
        for number, record in enumerate(records(path), 1):
            assert record.num == number, (path, record.num)
            kinds.setdefault(record.WhichOneof("record_type"), []).append(record)
        (run,), (summary,), (end,) = kinds["run"], kinds["summary"], kinds["exit"]
        config = items(run.run.config.update)
        trial = config.pop("swath")["trial"]
        assert config == made.params[trial], (trial, config)
        assert (run.run.run_group, run.run.project, path.stem) == (
            "étude",
            "digits",
            f"run-{run.run.run_id}",
        )
        assert end.exit.exit_code == (3 if made.states[trial] == "failed" else 0)
        wanted = rows(made, trial)
        history = [items(record.history.item) for record in kinds["history"]]
        assert [row["_step"] for row in history] == list(range(len(wanted)))
        for step, (found, want) in enumerate(zip(history, wanted)):
            equal(found, want, (trial, step))
            points += len(want)
        equal(items(summary.summary.update), made.reports[trial][-1][1], (trial, "summary"))
        runs[trial] = (run.run.run_id, wanted)
    assert set(runs) == set(made.params), set(runs)
    return runs, points


def sync(made, runs):
    server, scratch = Server(), tempfile.mkdtemp()
    env = {
        **os.environ,
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_DIR": scratch,
        "HOME": scratch,
        "WANDB_ERROR_REPORTING": "false",
    }
    folders = sorted(str(path) for path in (made.folder / "trackers/wandb").glob("offline-run-*"))
    wandb = Path(sys.executable).parent / "wandb"
    ran = subprocess.run(
        [wandb, "sync", *folders], env=env, capture_output=True, text=True, timeout=200
    )
    told = (ran.stdout + ran.stderr)[-3000:]
    assert ran.returncode == 0, (told, server.asked[-20:])
    for trial, (name, wanted) in runs.items():
        sent = server.runs.get(name)
        assert sent, (f"trial {trial} was not sent", told, server.asked[-20:])
        assert sent["upsert"]["groupName"] == "étude", sent["upsert"]
        config = json.loads(sent["upsert"]["config"])
        assert {key: config[key]["value"] for key in made.params[trial]} == made.params[trial], (
            config
        )
        assert len(sent["history"]) == len(wanted), (trial, len(sent["history"]), len(wanted))
        for step, (found, want) in enumerate(zip(sent["history"], wanted)):
            equal(found, want, (trial, step, "sent"))
        assert sent["exit"] == (3 if made.states[trial] == "failed" else 0), (trial, sent["exit"])
        equal(sent["summary"], made.reports[trial][-1][1], (trial, "summary sent"))
    return len(runs)


with tempfile.TemporaryDirectory() as folder:
    made = make(folder, '[[tracker]]\nname = "wandb"\n')
    runs, points = read(made)
    made.again("wandb")
    sent = sync(made, runs)
    print(
        f"W&B's records hold {points} values of {len(runs)} trials; `wandb sync` sent {sent} runs whole"
    )
