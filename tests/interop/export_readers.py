"""pandas, DuckDB, pyarrow and csvkit read every table that `swath export` writes, without options, and find in it what the journal says; the
numbers of `swath compare` are those of SciPy.

    export_readers.py logs/STUDY
"""
# needs: pandas pyarrow duckdb pytz scipy csvkit

import json
import math
import subprocess
import sys
import os
import tempfile
from pathlib import Path

import duckdb
import pandas
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import scipy.stats

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))
from study import make, number, same  # noqa: E402


def swath(*args):
    ran = subprocess.run([os.environ["SWATH"], *args], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def absent(value):
    return value is None or value is pandas.NaT or value is pandas.NA


def journal(folder):
    """Parameters and all reports of each trial, as the journal has them."""
    params, reports, resource = {}, {}, None
    for line in open(folder / "journal.jsonl", encoding="utf-8"):
        ((kind, event),) = json.loads(line)["event"].items()
        if kind == "opened":
            resource = event["header"].get("resource")
        elif kind == "created":
            params[event["trial"]], reports[event["trial"]] = event["params"], []
        elif kind == "started" and not event["resume"]:
            reports[event["trial"]].clear()
        elif kind == "logged" and "report" in event["record"]:
            reports[event["trial"]].append(event["record"]["report"]["values"])
    return params, reports, resource


def readers(path):
    """Every reader that takes the file, with its rows as dictionaries."""
    kind = path.suffix[1:]
    sql = duckdb.sql(f"SELECT * FROM '{path}'")
    yield "duckdb", [dict(zip(sql.columns, row)) for row in sql.fetchall()]
    if kind == "csv":
        yield "pandas", pandas.read_csv(path).to_dict("records")
        yield "pyarrow", pyarrow.csv.read_csv(path).to_pylist()
        yield "csvkit", csvkit(path)
    elif kind == "parquet":
        yield "pandas", pandas.read_parquet(path).to_dict("records")
        yield "pyarrow", pyarrow.parquet.read_table(path).to_pylist()
    else:
        yield "pandas", pandas.read_json(path, lines=True).to_dict("records")
        yield "pyarrow", pyarrow.json.read_json(path).to_pylist()


def csvkit(path):
    """What `csvjson` makes of a table: it finds out the separator and the types by itself, and writes numbers as doubles."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("csvjson"), path],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ran.stdout)


def equal(found, said, rounded=False):
    """A cell is what was said; nothing and NaN are one in pandas and in CSV. `rounded`: pandas reads JSON to 15 decimals by default."""
    said = number(said) if isinstance(said, str) else said
    if said is None or (isinstance(said, float) and math.isnan(said)):
        return absent(found) or (isinstance(found, float) and math.isnan(found)) or found == "nan"
    if isinstance(said, list):
        return json.loads(found) == said if isinstance(found, str) else list(found) == said
    if isinstance(said, float) and isinstance(found, str):
        return float(found) == said
    if rounded and isinstance(said, float):
        return math.isclose(found, said, rel_tol=1e-9)
    return found == said


compared = 0
with tempfile.TemporaryDirectory() as scratch:
    scratch = Path(scratch)
    (scratch / "made").mkdir()
    for study in [Path(sys.argv[1]), make(scratch / "made", "").folder]:
        params, reports, resource = journal(study)
        for long in [False, True]:
            for kind in ["csv", "jsonl", "parquet"]:
                path = scratch / f"table.{kind}"
                swath("export", str(study), "-o", str(path), *(["--long"] if long else []))
                has_nan = any(
                    isinstance(v, str) and v in ("nan", "inf", "-inf")
                    for rs in reports.values()
                    for r in rs
                    for v in r.values()
                )
                if kind == "jsonl" and has_nan:
                    continue  # documented: JSON has no NaN, so a column would be of two types
                for who, rows in readers(path):
                    seen = {}
                    for row in rows:
                        trial = row.get("trial_id", row.get("trial"))
                        if not long:
                            for name, value in params[trial].items():
                                found = (
                                    row[f"param.{name}"]
                                    if kind != "jsonl"
                                    else row["params"].get(name)
                                )
                                assert equal(found, value, kind == "jsonl" and who == "pandas"), (
                                    who,
                                    path,
                                    trial,
                                    name,
                                    found,
                                    value,
                                )
                                compared += 1
                            seen[trial] = 1
                            continue
                        at = seen.get(trial, 0)
                        seen[trial] = at + 1
                        said = reports[trial][at]
                        assert row["report"] == at + 1 and row["step"] == said.get(
                            resource, at + 1
                        ), (who, path, row)
                        for name, value in said.items():
                            if name in ("model_path", "artifact"):
                                continue
                            found = (
                                row[f"metric.{name}"]
                                if kind != "jsonl"
                                else row["values"].get(name)
                            )
                            assert equal(found, value, kind == "jsonl" and who == "pandas"), (
                                who,
                                path,
                                trial,
                                name,
                                found,
                                value,
                            )
                            compared += 1
                    wanted = {
                        trial: len(said) if long else 1
                        for trial, said in reports.items()
                        if said or not long
                    }
                    assert seen == wanted, (who, path, seen, wanted)

    table = scratch / "seeds.csv"
    wave = [((i * i * 37 + i) % 101) / 100 for i in range(40)]
    data = {("a", s): 0.40 + wave[s] / 10 for s in range(6)} | {
        ("b", s): 0.47 + wave[s] / 10 + wave[s + 9] / 30 for s in range(6)
    }
    data |= {("c", s): 0.41 + wave[s] / 10 + wave[s + 20] / 30 for s in range(6)}
    table.write_text(
        "model,seed,loss\n" + "".join(f"{m},{s},{v!r}\n" for (m, s), v in data.items())
    )

    def p(one, other, paired):
        a, b = ([data[m, s] for s in range(6)] for m in (one, other))
        return (
            scipy.stats.ttest_rel(a, b).pvalue
            if paired
            else scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
        )

    for paired in [True, False]:
        options = [] if paired else ["--unpaired"]
        said = json.loads(
            swath("compare", str(table), "--by", "model", "-m", "loss", "--json", *options)
        )
        first = said["groups"][0]["by"]["model"]
        raw = {m: p(m, first, paired) for m in "abc" if m != first}
        (x, y) = raw
        family = sorted([raw[x], raw[y], p(x, y, paired)])
        for group in said["groups"][1:]:
            model = group["by"]["model"]
            assert math.isclose(group["p_uncorrected"], raw[model], rel_tol=1e-9), group
            holm = max(
                min(1, value * (3 - rank))
                for rank, value in enumerate(family)
                if value <= raw[model]
            )
            assert math.isclose(group["p"], holm, rel_tol=1e-9), (group, holm)
            low, high = scipy.stats.t.interval(0.95, 5, group["mean"], group["std"] / math.sqrt(6))
            assert math.isclose(group["low"], low, rel_tol=1e-9) and math.isclose(
                group["high"], high, rel_tol=1e-9
            ), group
            compared += 4
assert same(1.0, 1.0) and compared > 1000, compared
print(f"{compared} values compared")
