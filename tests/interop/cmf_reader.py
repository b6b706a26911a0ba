"""ml-metadata and cmflib's queries read a study with a failed trial, a stopped one, a NaN and names that are not ASCII: every parameter,
metric point, state, data set and model is that of the journal.

    SWATH=target/debug/swath python cmf_reader.py

cmflib is installed without what it depends on: its query class needs ml-metadata and pandas, three modules that it imports for other ends are
replaced below. ml-metadata gives doubles with 15 digits, whatever the file has, so its doubles are compared to 15. It has no wheels for Python 3.12 and later; there only the SQLite file is read, by the schema (version 10), and it is said.
"""
# needs: --no-deps cmflib==0.1.0;python_version<"3.12" ml-metadata==1.15.0;python_version<"3.12" protobuf==4.25.9 grpcio==1.80.0 typing_extensions absl-py==1.4.0 attrs==21.4.0 six pandas==2.3.3 numpy==2.2.6 python-dateutil pytz tzdata pyarrow==22.0.0

import ast
import hashlib
import json
import math
import os
import sqlite3
import sys
import tempfile
import types
from pathlib import Path

import pandas
import pyarrow.parquet as parquet
from fixtures.study import Made, same, swath

TRAIN = """
import json, os, sys, time
trial = int(os.environ["SWATH_TRIAL"])
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    def say(**line):
        records.write(json.dumps(line) + "\\n")
    say(kind="dataset", path="data/é.txt", role="test")
    for epoch in range(1, 5):
        loss = float("nan") if trial == 2 and epoch == 1 else [3, 5, 4, 1, 6][trial - 1] / 3 + 1e-9 / epoch
        for batch in range(3):
            say(kind="metric", loss=loss * 2, step=epoch, batch=batch, context="train")
        say(kind="metric", **{"läuft": float("inf") if trial == 2 else epoch * 0.1}, step=epoch, log="mine")
        with open("m%d.bin" % trial, "w") as model:
            model.write("%d %d" % (trial, epoch))
        say(epoch=epoch, verlust=loss, **{"größe": epoch / 3}, wort="wört %d" % epoch, ok=epoch > 1, model_path="m%d.bin" % trial)
        time.sleep(0.1)
        if trial == 3:
            sys.exit(3)
    say(kind="output", accuracy=0.5 + trial / 16)
"""

SWEEP = """
name = "étude"
pipeline = "ziffern"
seed = 3
[run]
command = [{python}, "train.py"]
data_dir = "data"
[objective]
metric = "verlust"
goal = "min"
[search]
sampler = "random"
trials = 5
[scheduler]
name = "asha"
resource = "epoch"
min = 2
max = 4
reduction = 2
[resources]
jobs = 1
[space]
lr = {{ min = 1e-5, max = 1e-1, log = true }}
"größe" = ["klein", "très grand"]
layers = {{ min = 1, max = 4 }}
nesterov = [true, false]
[[tracker]]
name = "cmf"
top_n = 1
remote = "/backup/dvc"
dvc = "."
"""
STATES = {"complete": 3, "failed": 4, "stopped": 6}


class Plain:
    """The file as SQLite has it, in the form of ml-metadata's own objects."""

    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert self.db.execute("SELECT schema_version FROM MLMDEnv").fetchall() == [(10,)]
        assert self.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def properties(self, of, id):
        rows = self.db.execute(
            f"SELECT name, is_custom_property, int_value, double_value, string_value FROM {of}Property WHERE {of.lower()}_id = ?",
            [id],
        )
        found = {}
        for name, custom, *values in rows:
            (found[(name, bool(custom))],) = [value for value in values if value is not None]
        return found

    def executions(self):
        rows = self.db.execute("SELECT id, name, last_known_state FROM Execution ORDER BY id")
        return [(id, name, state, self.properties("Execution", id)) for id, name, state in rows]

    def artifacts(self, execution):
        rows = self.db.execute(
            "SELECT a.id, t.name, a.uri, a.name, e.type FROM Event e JOIN Artifact a ON a.id = e.artifact_id JOIN Type t ON t.id = a.type_id"
            " WHERE e.execution_id = ? ORDER BY e.id",
            [execution],
        )
        return [
            (kind, uri, name, event, self.properties("Artifact", id))
            for id, kind, uri, name, event in rows
        ]


class Library(Plain):
    """The same through ml-metadata."""

    def __init__(self, path):
        from ml_metadata.metadata_store import metadata_store
        from ml_metadata.proto import metadata_store_pb2 as proto

        config = proto.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
        self.store = metadata_store.MetadataStore(config)
        self.kinds = {kind.id: kind.name for kind in self.store.get_artifact_types()}

    @staticmethod
    def flat(node):
        value = lambda item: getattr(item, item.WhichOneof("value"))
        plain = {(name, False): value(item) for name, item in node.properties.items()}
        return plain | {(name, True): value(item) for name, item in node.custom_properties.items()}

    def executions(self):
        found = sorted(self.store.get_executions(), key=lambda execution: execution.id)
        return [(one.id, one.name, one.last_known_state, self.flat(one)) for one in found]

    def artifacts(self, execution):
        found = []
        for event in self.store.get_events_by_execution_ids([execution]):
            (artifact,) = self.store.get_artifacts_by_id([event.artifact_id])
            found.append(
                (
                    self.kinds[artifact.type_id],
                    artifact.uri,
                    artifact.name,
                    event.type,
                    self.flat(artifact),
                )
            )
        return found


def queries():
    """cmflib's query class."""
    unused = {
        "cmflib.cmf_merger": "parse_json_to_mlmd",
        "cmflib.store.postgres": "PostgresStore",
        "cmflib.utils.helper_functions": "get_postgres_config",
    }
    for name, attribute in unused.items():
        sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[name], attribute, None)
    from cmflib.cmfquery import CmfQuery

    return CmfQuery


def stored(value):
    """A value as a property has it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return json.dumps(value)
    return value


def equal(reader, left, right):
    if isinstance(reader, Library) and isinstance(left, float):
        return left == float(f"{right:.15g}")
    return left == right


def check(reader, made, root):
    records, states = {trial: [] for trial in made.params}, {}
    for entry in made.entries:
        ((kind, event),) = entry["event"].items()
        if kind == "logged":
            ((what, record),) = event["record"].items()
            records[event["trial"]].append((what, record))
        elif kind == "ended":
            exit = event["exit"]
            states[event["trial"]] = (
                "complete"
                if exit == "done"
                else exit
                if isinstance(exit, str)
                else next(iter(exit))
            )
    for entry in made.entries:
        ((kind, event),) = entry["event"].items()
        if kind == "judged" and event["verdict"] == "stop":
            states[event["trial"]] = "stopped"
    assert set(states.values()) == {"complete", "failed", "stopped"}, states
    points, best = 0, []
    executions = reader.executions()
    assert [execution[0] for execution in executions] == sorted(made.params)
    for trial, name, state, properties in executions:
        assert name == f"Trial_étude_{trial}" and state == STATES[states[trial]], (
            name,
            state,
            states,
        )
        assert ast.literal_eval(properties["Configuration", True]) == made.params[trial]
        for key, value in made.params[trial].items():
            assert equal(reader, properties[key, True], stored(value)) and type(
                properties[key, True]
            ) is type(stored(value)), (trial, key)
        assert (
            properties["Pipeline_Type", False] == "ziffern"
            and properties["Context_Type", False] == "ziffern/tune"
        )
        assert properties["State", True] == states[trial]
        best += [trial] if properties.get(("in_top_n", True)) == 1 else []
        artifacts = reader.artifacts(trial)
        datasets = {
            (name, uri)
            for kind, uri, name, event, _ in artifacts
            if kind == "Dataset" and event == 3
        }
        told = [
            record["dataset"] if "dataset" in record else record
            for what, record in records[trial]
            if what == "dataset"
        ]
        assert (
            datasets == {(f"{one['data_dir']}:{one['md5']}", one["md5"]) for one in told}
            and len(datasets) == 2
        ), datasets
        models = {
            name: found
            for kind, _, name, event, found in artifacts
            if kind == "Model" and event == 4
        }
        told = [record for what, record in records[trial] if what == "model"]
        assert set(models) == {f"{one['model_path']}:{one['md5']}:{trial}" for one in told}, (
            set(models),
            told,
        )
        for one in told:
            found = models[f"{one['model_path']}:{one['md5']}:{trial}"]
            steps = json.loads(found.get(("Steps", True), "[]")) or [found["Step", True]]
            assert one["step"] in steps and found["Size", True] == one["size"], (found, one)
            assert (
                found["url", False]
                == f"ziffern:/backup/dvc/files/md5/{one['md5'][:2]}/{one['md5'][2:]}"
            )
        marked = [name for name, found in models.items() if ("best_model", True) in found]
        assert len(marked) == (1 if trial == 4 else 0), (trial, marked)
        reports = [record["values"] for what, record in records[trial] if what == "report"]
        results = {
            name.split(":")[0]: found
            for kind, _, name, event, found in artifacts
            if kind == "Metrics"
        }
        last = results[f"Trial_étude_{trial}_Result"]
        for key, value in reports[-1].items():
            found = last[key, True]
            value = str(value).lower() if isinstance(value, bool) else value
            assert equal(reader, found, value), (trial, key, found, value)
        losses = [float(report["verlust"]) for report in reports]
        finite = [loss for loss in losses if math.isfinite(loss)]
        value = results[f"Best_verlust_Trial_étude_{trial}"]["Best_verlust", True]
        assert equal(reader, value, min(finite)), (trial, value)
        assert (last["Result", True] == "done") == (states[trial] == "complete"), last[
            "Result", True
        ]
        files = {
            name.split(":")[0].rsplit("/", 1)[1]: (name.split(":")[0], uri)
            for kind, uri, name, *_ in artifacts
            if kind == "Step_Metrics"
        }
        logs = made.metrics(trial)
        assert set(files) == {f"Trial_étude_{trial}_metrics", *logs}, files
        for log, (path, md5) in files.items():
            assert hashlib.md5((root / path).read_bytes()).hexdigest() == md5
            frame = pandas.read_parquet(root / path)
            assert frame.index.name == "SequenceNumber" and list(frame.index) == list(
                range(1, len(frame) + 1)
            )
            rows = parquet.read_table(root / path).to_pylist()
            rows = rows if log in logs else [row["Output"] for row in rows]
            wanted = logs[log] if log in logs else reports
            assert len(rows) == len(wanted), (log, rows)
            for row, want in zip(rows, wanted):
                for key, value in want.items():
                    value = (
                        float(value)
                        if isinstance(value, str) and value in ("nan", "inf", "-inf")
                        else value
                    )
                    assert same(row[key], value), (trial, log, key, row[key], value)
                    points += 1
    assert best == [4], best
    return points


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "data").mkdir()
    (folder / "data" / "é.txt").write_text("1")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "sweep.toml").write_text(
        SWEEP.format(python=json.dumps(sys.executable)), encoding="utf-8"
    )
    ran = swath("run", "sweep.toml", "--quiet", cwd=folder)
    assert "stale" not in ran.stderr, ran.stderr
    made = Made(folder / "logs" / "étude")
    root = made.folder / "trackers/cmf"
    print(f"SQLite reads {check(Plain(root / 'mlmd'), made, root)} values equal")
    if sys.version_info < (3, 12):
        print(f"ml-metadata reads {check(Library(root / 'mlmd'), made, root)} values equal")
        # The query class opens the file for writing; it gets a copy.
        (folder / "copy").write_bytes((root / "mlmd").read_bytes())
        query = queries()(str(folder / "copy"))
        assert query.get_pipeline_names() == ["ziffern"] and query.get_pipeline_stages(
            "ziffern"
        ) == ["ziffern/tune"]
        frame = query.get_all_executions_in_stage("ziffern/tune").set_index("id")
        for trial, params in made.params.items():
            for key, value in params.items():
                assert frame.loc[trial, f"custom_properties_{key}"] == stored(value), (trial, key)
        model = next(
            name for kind, _, name, *_ in Plain(root / "mlmd").artifacts(1) if kind == "Model"
        )
        assert query.find_producer_execution(model).id == 1
        parents = set(query.get_all_parent_artifacts(model)["name"])
        assert len(parents) == 2 and any(name.startswith("data:") for name in parents), parents
        whole = json.loads(query.dumptojson("ziffern"))["Pipeline"][0]["stages"][0]["executions"]
        assert len(whole) == len(made.params)
        print(f"cmflib reads {len(frame)} executions, and who made what of what")
    else:
        print(
            "ml-metadata has no wheel for this Python: only the SQLite file was read, by its schema version 10"
        )
    assert "nfiles: 1" in (folder / "data.dvc").read_text() and (folder / "m1.bin.dvc").exists()
    made.again("cmf")
