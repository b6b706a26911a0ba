"""A validator of JSON schema accepts every sweep file that is shipped, and refuses what `swath check` refuses.

SWATH=target/debug/swath python schema.py logs/STUDY
"""
# needs: jsonschema

import json
import os
import subprocess
import tomllib
from pathlib import Path

import jsonschema


def printed(*args):
    ran = subprocess.run([os.environ["SWATH"], *args], check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


schema = printed("schema")
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)

root = Path(__file__).resolve().parents[2]
shipped = sorted((root / "sweeps").glob("*.toml"))
assert shipped, root
for path in shipped:
    errors = [error.message for error in validator.iter_errors(tomllib.loads(path.read_text()))]
    assert not errors, (path, errors)

GOOD = [
    {},
    {"scheduler": {"name": "asha", "resource": "epoch", "max": 81, "reduction": 4}},
    {"scheduler": {"resource": "epoch"}},
    {"scheduler": {"name": "fifo", "resource": "epoch", "max": 81}},
    {"search": {"sampler": "grid", "grid": {"points": {"x": 3}}}},
    {"executor": {"name": "slurm", "walltime": "4h", "extra": ["--constraint=a100"]}},
    {"tracker": [{"name": "csv"}, {"name": "wandb", "tags": ["a"], "log_freq": 10}]},
    {"tracker": {"name": "program", "command": ["cat"]}},
]
BAD = [
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
]
SPACE = {"space": {"x": {"min": 0.0, "max": 1.0}}}
for table in GOOD:
    errors = [error.message for error in validator.iter_errors(SPACE | table)]
    assert not errors, (table, errors)
for table in BAD:
    assert not validator.is_valid(SPACE | table), table

kinds = printed("kinds", "--json")["kinds"]
assert {"sampler", "scheduler", "executor", "tracker", "plot"} == {kind["part"] for kind in kinds}
print(f"{len(shipped)} sweep files, {len(GOOD)} good and {len(BAD)} bad tables, {len(kinds)} kinds")
