"""A JSON Schema validator accepts all example sweeps and rejects tables that `swath check` rejects.

SWATH=target/debug/swath python schema.py logs/STUDY
"""
# needs: jsonschema

import json
import os
import subprocess
import tomllib
from pathlib import Path

import jsonschema


def run_json(*args):
    result = subprocess.run(
        [os.environ["SWATH"], *args], check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout)


schema = run_json("schema")
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)

root = Path(__file__).resolve().parents[2]
sweeps = sorted((root / "sweeps").glob("*.toml"))
assert sweeps, root
for path in sweeps:
    errors = [error.message for error in validator.iter_errors(tomllib.loads(path.read_text()))]
    assert not errors, (path, errors)

VALID = [
    {},
    {"scheduler": {"name": "asha", "resource": "epoch", "max": 81, "reduction": 4}},
    {"scheduler": {"resource": "epoch"}},
    {"scheduler": {"name": "fifo", "resource": "epoch", "max": 81}},
    {"search": {"sampler": "grid", "grid": {"points": {"x": 3}}}},
    {"executor": {"name": "slurm", "walltime": "4h", "extra": ["--constraint=a100"]}},
    {"tracker": [{"name": "csv"}, {"name": "wandb", "tags": ["a"], "log_freq": 10}]},
    {"tracker": {"name": "program", "command": ["cat"]}},
    {"source": [{"name": "files", "path": "runs/**/*.csv"}, {"name": "mlflow", "forward": True}]},
]
INVALID = [
    {"scheduler": {"name": "asha", "resource": "epoch", "max": 81, "reductoin": 4}},
    {"scheduler": {"name": "asha", "resource": "epoch"}},
    {"scheduler": {"name": "fifo", "max": 81, "reduction": 3}},
    {"scheduler": {"name": "pbt", "resource": "epoch", "max": 81, "quantile": 0.7}},
    {"scheduler": {"name": "ahsa"}},
    {"search": {"sampler": "grid", "grid": {"point": 3}}},
    {"search": {"sampler": "gird"}},
    {"executor": {"name": "pool", "nodes": 3}},
    {"tracker": [{"name": "wandb", "tag": ["a"]}]},
    {"tracker": [{"entity": "us"}]},
    {"limits": {"metric": "latency"}},
    {"source": [{"name": "files"}]},
    {"source": [{"name": "mlflow", "path": "runs"}]},
]
SPACE = {"space": {"x": {"min": 0.0, "max": 1.0}}}
for table in VALID:
    errors = [error.message for error in validator.iter_errors(SPACE | table)]
    assert not errors, (table, errors)
for table in INVALID:
    assert not validator.is_valid(SPACE | table), table

kinds = run_json("kinds", "--json")["kinds"]
parts = {"sampler", "scheduler", "executor", "tracker", "plot", "source"}
assert parts == {kind["part"] for kind in kinds}
print(
    f"{len(sweeps)} sweep files, {len(VALID)} valid and {len(INVALID)} invalid tables, "
    f"{len(kinds)} kinds"
)
