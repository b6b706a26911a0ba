"""pandas, DuckDB, pyarrow and csvkit read all tables that `swath export` writes, without options.
The values are those of the journal, and the numbers of `swath compare` are those of SciPy.

    export_readers.py logs/STUDY
"""
# needs: pandas pyarrow duckdb pytz scipy csvkit

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pandas
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import scipy.stats
from fixtures.study import parse_number, read_json_lines, run_study


def swath(*args):
    result = subprocess.run(
        [os.environ["SWATH"], *args], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def read_journal(folder):
    """Returns the parameters and all reports of each trial, and the resource of the scheduler."""
    params, reports, resource = {}, {}, None
    for entry in read_json_lines(folder / "journal.jsonl"):
        ((kind, event),) = entry["event"].items()
        if kind == "opened":
            resource = event["header"].get("resource")
        elif kind == "created":
            params[event["trial"]], reports[event["trial"]] = event["params"], []
        elif kind == "started" and not event["resume"]:
            reports[event["trial"]].clear()
        elif kind == "logged" and "report" in event["record"]:
            reports[event["trial"]].append(event["record"]["report"]["values"])
    return params, reports, resource


def read_table(path):
    """Yields the name of each reader of the format, and the rows that it returns."""
    format = path.suffix[1:]
    table = duckdb.sql(f"SELECT * FROM '{path}'")
    yield "duckdb", [dict(zip(table.columns, row)) for row in table.fetchall()]
    if format == "csv":
        yield "pandas", pandas.read_csv(path).to_dict("records")
        yield "pyarrow", pyarrow.csv.read_csv(path).to_pylist()
        yield "csvkit", read_with_csvkit(path)
    elif format == "parquet":
        yield "pandas", pandas.read_parquet(path).to_dict("records")
        yield "pyarrow", pyarrow.parquet.read_table(path).to_pylist()
    else:
        yield "pandas", pandas.read_json(path, lines=True).to_dict("records")
        yield "pyarrow", pyarrow.json.read_json(path).to_pylist()


def read_with_csvkit(path):
    """Returns the rows of `csvjson`, which detects separator and types and writes doubles."""
    csvjson = Path(sys.executable).with_name("csvjson")
    result = subprocess.run([csvjson, path], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def is_absent(cell):
    return cell is None or cell is pandas.NaT or cell is pandas.NA


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def equal(cell, value, rounded=False):
    """Compares a cell with a value of the journal. pandas and CSV do not separate absent from NaN.
    With `rounded`, the reader rounds numbers: pandas reads JSON to 15 decimals by default."""
    value = parse_number(value) if isinstance(value, str) else value
    if value is None or is_nan(value):
        return is_absent(cell) or is_nan(cell) or cell == "nan"
    if isinstance(value, list):
        return json.loads(cell) == value if isinstance(cell, str) else list(cell) == value
    if isinstance(value, float) and isinstance(cell, str):
        return float(cell) == value
    if rounded and isinstance(value, float):
        return math.isclose(cell, value, rel_tol=1e-9)
    return cell == value


def compare_values(path, reader, row, column, group, values):
    """Compares values of the journal with the cells of a row. A column is named `column.name`; in
    JSON the cells are nested in `group`. Returns the number of values."""
    is_json = path.suffix == ".jsonl"
    for name, value in values.items():
        cell = row[group].get(name) if is_json else row[f"{column}.{name}"]
        rounded = is_json and reader == "pandas"
        assert equal(cell, value, rounded), (reader, path, name, cell, value)
    return len(values)


def compare_export(path, long, params, reports, resource):
    """Compares an exported table with the journal in all readers and counts the values."""
    compared = 0
    for reader, rows in read_table(path):
        row_counts = {}
        for row in rows:
            trial = row.get("trial_id", row.get("trial"))
            index = row_counts.get(trial, 0)
            row_counts[trial] = index + 1
            if not long:
                compared += compare_values(path, reader, row, "param", "params", params[trial])
                continue
            report = reports[trial][index]
            assert row["report"] == index + 1, (reader, path, row)
            assert row["step"] == report.get(resource, index + 1), (reader, path, row)
            metrics = {
                name: value
                for name, value in report.items()
                if name not in ("model_path", "artifact")
            }
            compared += compare_values(path, reader, row, "metric", "values", metrics)
        expected = {
            trial: len(reports[trial]) if long else 1
            for trial in reports
            if reports[trial] or not long
        }
        assert row_counts == expected, (reader, path, row_counts, expected)
    return compared


def has_non_finite(reports):
    return any(
        isinstance(value, str) and value in ("nan", "inf", "-inf")
        for trial_reports in reports.values()
        for report in trial_reports
        for value in report.values()
    )


def compare_exports(study, folder):
    """Compares all tables of a study with its journal and counts the values."""
    params, reports, resource = read_journal(study)
    compared = 0
    for long in [False, True]:
        for format in ["csv", "jsonl", "parquet"]:
            # JSON has no NaN, so a column would have values of two types (see docs/export.md).
            if format == "jsonl" and has_non_finite(reports):
                continue
            path = folder / f"table.{format}"
            swath("export", str(study), "-o", str(path), *(["--long"] if long else []))
            compared += compare_export(path, long, params, reports, resource)
    return compared


def p_value(left, right, paired):
    if paired:
        return scipy.stats.ttest_rel(left, right).pvalue
    return scipy.stats.ttest_ind(left, right, equal_var=False).pvalue


def holm_correction(p, family):
    """Returns the p-value after the step-down correction of Holm (1979)."""
    return max(
        min(1, value * (len(family) - rank))
        for rank, value in enumerate(sorted(family))
        if value <= p
    )


def is_close(left, right):
    return math.isclose(left, right, rel_tol=1e-9)


def compare_statistics(folder):
    """Compares p-values and intervals of `swath compare` with SciPy and counts the values."""
    noise = [((i * i * 37 + i) % 101) / 100 for i in range(40)]
    losses = {
        "a": [0.40 + noise[seed] / 10 for seed in range(6)],
        "b": [0.47 + noise[seed] / 10 + noise[seed + 9] / 30 for seed in range(6)],
        "c": [0.41 + noise[seed] / 10 + noise[seed + 20] / 30 for seed in range(6)],
    }
    lines = [
        f"{model},{seed},{loss!r}\n"
        for model, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    path = folder / "seeds.csv"
    path.write_text("model,seed,loss\n" + "".join(lines))
    compared = 0
    for paired in [True, False]:
        options = ["--by", "model", "-m", "loss", "--json", *([] if paired else ["--unpaired"])]
        groups = json.loads(swath("compare", str(path), *options))["groups"]
        best, *others = [group["by"]["model"] for group in groups]
        uncorrected = {model: p_value(losses[model], losses[best], paired) for model in others}
        between_others = p_value(*(losses[model] for model in others), paired)
        family = [*uncorrected.values(), between_others]
        for group in groups[1:]:
            p = uncorrected[group["by"]["model"]]
            assert is_close(group["p_uncorrected"], p), group
            assert is_close(group["p"], holm_correction(p, family)), (group, family)
            error = group["std"] / math.sqrt(6)
            low, high = scipy.stats.t.interval(0.95, 5, group["mean"], error)
            assert is_close(group["low"], low) and is_close(group["high"], high), group
            compared += 4
    return compared


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "study").mkdir()
    studies = [Path(sys.argv[1]), run_study(folder / "study", "").folder]
    compared = sum(compare_exports(study, folder) for study in studies)
    compared += compare_statistics(folder)
assert compared > 1000, compared
print(f"{compared} values compared")
