"""Programs that take their settings from files run unchanged: a Hydra app, and trainers that read
YAML, JSON and TOML. Each trial gets its own values, and everything else is as in the original file.

usage: python configured_programs.py STUDY     (STUDY is ignored; $SWATH names the binary)
"""
# needs: hydra-core==1.3.2 PyYAML==6.0.2 ruamel.yaml==0.18.10

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]

# In the style of LLaMA-Factory, torchtune and axolotl: one file is the only argument.
TRAINER = """
import json, sys, tomllib
path = sys.argv[1]
with open(path, "rb") as file:
    if path.endswith(".yaml"):
        import yaml
        config = yaml.safe_load(file)
    elif path.endswith(".json"):
        config = json.load(file)
    else:
        config = tomllib.load(file)
rate = config["optimizer"]["lr"]
assert isinstance(rate, float), rate
assert config["optimizer"]["name"] in ("adamw", "no"), config
assert config["model"]["layers"][1]["size"] in (16, 32)
assert config["trainer"]["clip"] == 1.0, config
print("loss=%r" % (rate * config["model"]["layers"][1]["size"]))
"""

BASES = {
    "base.yaml": """\
### model
model:
  name: small            # the kind of model
  layers:
  - {size: 8, act: relu} # the first
  - size: 16
    act: relu
optimizer: &opt
  lr: 1.0e-4
  name: adamw   # or "no"
trainer:
  epochs: 3

note: |
  keep this
    as it is
""",
    "base.json": """\
{
    "model": {"name": "small", "layers": [{"size": 8}, {"size": 16}]},
    "optimizer": {"lr": 1e-4, "name": "adamw"},
    "trainer": {"epochs": 3}
}
""",
    "base.toml": """\
# the model
[model]
name = "small" # the kind of model
[[model.layers]]
size = 8
[[model.layers]]
size = 16
[optimizer]
lr = 1e-4
name = "adamw" # or "no"
[trainer]
epochs = 3
""",
}

SWEEP = """
name = "{name}"
[run]
config = "{base}"
command = [{python}, "train.py", "{{config}}"]
[capture]
loss = 'loss=(\\S+)'
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 5
[space]
optimizer.lr = {{ min = 1e-6, max = 1e-2, log = true }}
optimizer.name = ["adamw", "no"]
"model.layers.1.size" = [16, 32]
"+trainer.clip" = 1.0
"""


def swath(folder, *arguments):
    """Runs swath and returns its standard output; fails with its messages."""
    command = [os.environ["SWATH"], *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trials(folder, study):
    """Returns the rows of a study's table."""
    with open(folder / "logs" / study / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(row["state"] == "complete" for row in rows), rows
    return rows


def parsed(path):
    """Returns the contents of a configuration file, as every reader of its format sees them."""
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".toml":
        return tomllib.loads(text)
    first, second = yaml.safe_load(text), YAML(typ="safe").load(text)
    assert first == second, (first, second)
    return first


def check_trainer(folder, base, original):
    """Runs a trainer with a configuration file of one format."""
    name = base.replace(".", "-")
    (folder / base).write_text(original)
    (folder / "train.py").write_text(TRAINER)
    python = json.dumps(sys.executable)
    (folder / f"{name}.toml").write_text(SWEEP.format(name=name, base=base, python=python))
    swath(folder, "run", f"{name}.toml", "--quiet")
    rows = trials(folder, name)
    assert len({row["loss"] for row in rows}) == len(rows), "each trial has its own result"
    expected = parsed(folder / base)
    for row in rows:
        copy = folder / "logs" / name / row["trial_id"] / "config" / base
        values = parsed(copy)
        rate, size = float(row["param.optimizer.lr"]), int(row["param.model.layers.1.size"])
        assert math.isclose(float(row["loss"]), rate * size), row
        changed = json.loads(json.dumps(expected))
        changed["optimizer"].update(lr=rate, name=row["param.optimizer.name"])
        changed["model"]["layers"][1]["size"] = size
        changed["trainer"]["clip"] = 1.0
        assert values == changed, (values, changed)
        comments = [line.split("#")[1] for line in original.splitlines() if "#" in line]
        assert all(comment in copy.read_text() for comment in comments)
    swath(folder, "verify", name)
    repeated = swath(folder, "repro", name, rows[0]["trial_id"])
    copies = list((folder / "logs").glob(f"{name}-repro-*/1/config/{base}"))
    first = folder / "logs" / name / rows[0]["trial_id"] / "config" / base
    assert copies and copies[0].read_text() == first.read_text(), repeated


def check_hydra(folder):
    """Runs the shipped Hydra app with the shipped sweep file."""
    shutil.copytree(REPOSITORY / "examples/hydra", folder / "examples/hydra")
    text = (REPOSITORY / "sweeps/hydra.toml").read_text()
    (folder / "hydra.toml").write_text(text.replace('"python3"', json.dumps(sys.executable)))
    swath(folder, "run", "hydra.toml", "--quiet")
    rows = trials(folder, "hydra")
    assert {row["param.model"] for row in rows} == {"svm", "tree"}
    for row in rows:
        configured = yaml.safe_load(
            (folder / "logs/hydra" / row["trial_id"] / "hydra/.hydra/config.yaml").read_text()
        )
        model = configured["model"]
        assert model["name"] == row["param.model"], (model, row)
        for name in ("C", "gamma", "depth"):
            assert (name in model) == (row[f"param.{name}"] != ""), (model, row)
            assert name not in model or math.isclose(float(model[name]), float(row[f"param.{name}"]))
    assert not (folder / "outputs").exists(), "the app writes into the folder of the trial"


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_hydra(folder)
        for base, original in BASES.items():
            check_trainer(folder, base, original)
    print("a Hydra app and trainers with YAML, JSON and TOML files ran unchanged")


if __name__ == "__main__":
    main()
