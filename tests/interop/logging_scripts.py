"""Scripts that log with the real libraries report every value, point by point, also after a kill.

SWATH=target/debug/swath python logging_scripts.py
"""
# needs: tensorboardX==2.6.5 wandb==0.31.0 dvclive==3.49.1

import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWATH = os.path.abspath(os.environ["SWATH"])
EPOCHS = 40

# Each script logs these values of each epoch, and begins after the epochs that are done.
VALUES = """
import os, sys, time
n = int(sys.argv[1].split("=")[1])
slow = float(os.environ.get("SLOW", "0"))
def loss(epoch): return 1 / (epoch + n) + n / 7
def accuracy(epoch): return epoch / 40 - n / 1000
checkpoint = os.path.join(os.environ["SWATH_CHECKPOINT_DIR"], "epoch")
first = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
def done(epoch):
    with open(checkpoint + ".new", "w") as file:
        file.write(str(epoch + 1))
    os.replace(checkpoint + ".new", checkpoint)
    time.sleep(slow)
"""

TENSORBOARD = """
from tensorboardX import SummaryWriter
writer = SummaryWriter("runs/a", flush_secs=1)
for epoch in range(first, 40):
    writer.add_scalar("lr", 0.1, epoch)
    writer.add_scalar("val/loss", loss(epoch), epoch)
    writer.add_scalar("acc", accuracy(epoch), epoch)
    writer.flush()
    done(epoch)
writer.close()
"""

WANDB = """
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=os.getcwd())
import wandb
run = wandb.init(project="p")
for epoch in range(first, 40):
    wandb.log({"epoch": epoch, "lr": 0.1}, commit=False)
    wandb.log({"val/loss": loss(epoch), "acc": accuracy(epoch)})
    done(epoch)
run.finish()
"""

# Writes the table anew at each epoch, whole, so that a kill loses no row.
CSV = """
import csv
def save(rows, names):
    with open("metrics.new", "w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    os.replace("metrics.new", "metrics.csv")
rows, names = [], ["epoch"]
if os.path.exists("metrics.csv"):
    rows = list(csv.DictReader(open("metrics.csv")))[:2 * first]
for epoch in range(first, 40):
    rows.append({"epoch": epoch, "lr": 0.1})
    rows.append({"epoch": epoch, "val/loss": loss(epoch), "acc": accuracy(epoch)})
    names = sorted({name for row in rows for name in row})
    save(rows, names)
    done(epoch)
"""

# DVCLive cannot go on from a summary that a kill has cut.
DVCLIVE = """
import json
from dvclive import Live
try:
    json.load(open("dvclive/metrics.json"))
except FileNotFoundError:
    pass
except ValueError:
    os.remove("dvclive/metrics.json")
with Live("dvclive", resume=first > 0, report=None, save_dvc_exp=False) as live:
    live.step = first
    for epoch in range(first, 40):
        live.log_metric("lr", 0.1)
        live.log_metric("acc", accuracy(epoch))
        live.log_metric("val/loss", loss(epoch))
        done(epoch)
        live.next_step()
"""

SWEEP = """
name = "s"
[run]
command = [{python}, "train.py", "--n={{n}}"]
workdir = "private"
checkpoint = true
grace = "1s"
[objective]
metric = "val_loss"
goal = "min"
[search]
sampler = "grid"
[resources]
jobs = 2
[space]
n = [1, 2]
[[source]]
{source}
rename = {{ "val/loss" = "val_loss" }}
"""

PYTHON = 'name = "python"'


def single(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def events_of(work):
    """Returns the steps of each name in event files, by the reader of their own format."""
    from tensorboardX.proto.event_pb2 import Event

    steps = {}
    for path in work.glob("runs/**/*tfevents*"):
        rest = path.read_bytes()
        while len(rest) >= 12:
            (length,) = struct.unpack("<Q", rest[:8])
            if len(rest) < 16 + length:
                break
            event = Event.FromString(rest[12 : 12 + length])
            for value in event.summary.value:
                steps.setdefault(value.tag, set()).add(event.step)
            rest = rest[16 + length :]
    return steps


def history_of(work):
    """Returns the epochs of each name in offline runs, by another reader."""
    from fixtures import wandb_records

    epochs = {}
    for path in work.glob("wandb/*/run-*.wandb"):
        rows = wandb_records.records(path)
        while True:
            try:
                record = next(rows)
            except (StopIteration, AssertionError, IndexError):
                break  # A kill may have cut the end.
            if record.WhichOneof("record_type") == "history":
                row = wandb_records.items(record.history.item)
                for name in row:
                    if "epoch" in row:
                        epochs.setdefault(name, set()).add(row["epoch"])
    return epochs


# Each script, its source, the precision of its files, and the reader of what a kill left in them:
# these libraries write by threads or processes of their own, which a kill may come before.
CASES = {
    "tensorboard files": (
        TENSORBOARD,
        'name = "files"\npath = "runs/**/*tfevents*"',
        single,
        events_of,
    ),
    "tensorboard hook": (TENSORBOARD, PYTHON, float, None),
    "wandb files": (
        WANDB,
        'name = "files"\npath = "wandb/**/run-*.wandb"',
        float,
        history_of,
    ),
    "wandb hook": (WANDB, PYTHON, float, None),
    "csv files": (CSV, 'name = "files"\npath = "metrics.csv"', float, None),
    "dvclive files": (
        DVCLIVE,
        'name = "files"\npath = "dvclive/plots/metrics/**/*.tsv"',
        float,
        None,
    ),
}


def records(study):
    """Returns the reports and the metrics of each trial, in order."""
    values = {1: [], 2: []}
    for line in open(study / "journal.jsonl"):
        event = json.loads(line).get("event", {})
        if "logged" in event and "report" in event["logged"]["record"]:
            logged = event["logged"]
            values[logged["trial"]].append(logged["record"]["report"]["values"])
    for trial in values:
        for path in (study / str(trial) / "metrics").glob("*.json"):
            if path.stem != "report":
                values[trial].extend(map(json.loads, open(path)))
    return values


def check(study, convert, reader, is_killed):
    count = 0
    for n, rows in records(study).items():
        left = reader(study / str(n) / "work") if reader and is_killed else {}
        for logged, name, value in (
            ("val/loss", "val_loss", lambda epoch, n: 1 / (epoch + n) + n / 7),
            ("acc", "acc", lambda epoch, n: epoch / 40 - n / 1000),
        ):
            got = [convert(float(row[name])) for row in rows if name in row]
            logs = [convert(value(epoch, n)) for epoch in range(EPOCHS)]
            if is_killed:
                # A kill may take what the library has not written yet. A library may also overwrite
                # a file of the killed attempt, whose values have been read already.
                left_values = {convert(value(epoch, n)) for epoch in left.get(logged, range(EPOCHS))}
                assert len(left_values) >= EPOCHS // 2, (n, name, left_values)
                assert left_values <= set(got), (n, name, left_values - set(got), got)
                assert set(got) <= set(logs), (n, name, set(got) - set(logs), got)
                # The program itself may log epochs again: the one in which it was killed, or all of
                # them, if its library cannot go on from a file that the kill has cut.
                assert len(got) <= len(set(got)) + EPOCHS // 2, (n, name, got)
            else:
                assert sorted(got) == sorted(logs), (n, name, set(got) ^ set(logs), got)
            count += len(got)
    return count


def run(folder, slow, kill):
    env = dict(os.environ, SLOW=str(slow))
    command = [SWATH, "run", "s.toml"]
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if kill:
        journal = folder / "logs/s/journal.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if journal.exists() and journal.read_text().count('"val_loss"') > 12:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    assert kill or process.returncode == 0, out
    return out


def main():
    for case, (script, source, convert, reader) in CASES.items():
        count = 0
        for kill in (False, True):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "train.py").write_text(VALUES + script)
                python = json.dumps(sys.executable)
                (folder / "s.toml").write_text(SWEEP.format(python=python, source=source))
                if kill:
                    run(folder, 0.05, True)
                out = run(folder, 0, False)
                assert "reports come from" in out, out
                print(case, "killed" if kill else "whole", flush=True)
                count += check(folder / "logs/s", convert, reader, kill)
                shown = subprocess.check_output([SWATH, "show", "s", "1"], cwd=folder, text=True)
                assert "sources" in shown and "val_loss" in shown, shown
        print(f"{case}: {count} values", flush=True)


if __name__ == "__main__":
    main()
