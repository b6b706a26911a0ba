"""pandas reads trials.csv without options; all floats equal the reported ones, bit for bit.

pandas_csv.py logs/STUDY
"""
# needs: pandas

import json
import sys
from pathlib import Path

import pandas

study = Path(sys.argv[1])
table = pandas.read_csv(study / "trials.csv").set_index("trial_id")
assert len(table) > 0 and table.index.is_unique, table
assert set(table["state"]) <= {"complete", "failed", "stopped"}, set(table["state"])

objective = table.columns[list(table.columns).index("state") + 1]
compared = 0
for trial, row in table[table["state"] == "complete"].iterrows():
    params = json.loads((study / str(trial) / "params.json").read_text())
    for name, value in params.items():
        cell = row[f"param.{name}"]
        if isinstance(value, (int, float)):
            assert cell == value, (trial, name, cell, value)
            compared += 1
    absent = [
        name for name in table.columns if name.startswith("param.") and name[6:] not in params
    ]
    assert row[absent].isna().all(), (trial, "the cell of an absent parameter is not empty")
    lines = (study / str(trial) / "metrics" / "report.json").read_text().splitlines()
    reports = [json.loads(line) for line in lines]
    assert row[objective] in [report[objective] for report in reports], (trial, row[objective])
assert compared > 0
print(
    f"{len(table)} trials, {compared} numbers compared, best {objective} {table[objective].min()}"
)
