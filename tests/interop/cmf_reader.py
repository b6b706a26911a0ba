"""ml-metadata and cmflib read a study with a failed and a stopped trial, NaN and names that are not
ASCII: all parameters, metric points, states, data sets and models are those of the journal.

    SWATH=target/debug/swath python cmf_reader.py

cmflib is installed without its dependencies: its query class needs only ml-metadata and pandas, and
stubs replace three modules that it imports for other purposes. ml-metadata returns doubles with 15
digits, so doubles are compared to 15 digits. It has no wheels for Python 3.12 and later; there the
script reads only the SQLite file, by its schema (version 10), and prints that.
"""
# needs: --no-deps cmflib==0.1.0;python_version<"3.12" ml-metadata==1.15.0;python_version<"3.12" protobuf==4.25.9 grpcio==1.80.0 typing_extensions absl-py==1.4.0 attrs==21.4.0 six pandas==2.3.3 numpy==2.2.6 python-dateutil pytz tzdata pyarrow==22.0.0

import ast
import hashlib
import json
import math
import sqlite3
import sys
import tempfile
import types
from pathlib import Path

import pandas
import pyarrow.parquet as parquet
from fixtures.study import StudyFolder, equal_or_nan, parse_number, run_swath

TRAIN = """
import json, os, sys, time
trial = int(os.environ["SWATH_TRIAL"])
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    def write(**line):
        records.write(json.dumps(line) + "\\n")
    write(kind="dataset", path="data/é.txt", role="test")
    for epoch in range(1, 5):
        loss = [3, 5, 4, 1, 6][trial - 1] / 3 + 1e-9 / epoch
        if trial == 2 and epoch == 1:
            loss = float("nan")
        for batch in range(3):
            write(kind="metric", loss=loss * 2, step=epoch, batch=batch, context="train")
        accuracy = float("inf") if trial == 2 else epoch * 0.1
        write(kind="metric", **{"läuft": accuracy}, step=epoch, log="mine")
        with open("m%d.bin" % trial, "w") as model:
            model.write("%d %d" % (trial, epoch))
        extras = {"größe": epoch / 3, "wort": "wört %d" % epoch, "ok": epoch > 1}
        write(epoch=epoch, verlust=loss, **extras, model_path="m%d.bin" % trial)
        time.sleep(0.1)
        if trial == 3:
            sys.exit(3)
    write(kind="output", accuracy=0.5 + trial / 16)
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
# States of executions in ml-metadata.
EXECUTION_STATES = {"complete": 3, "failed": 4, "stopped": 6}
# Types of events in ml-metadata.
INPUT, OUTPUT = 3, 4


class SqliteReader:
    """Reads the SQLite file by its schema and returns values in the form of ml-metadata."""

    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert self.db.execute("SELECT schema_version FROM MLMDEnv").fetchall() == [(10,)]
        assert self.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def properties(self, table, id):
        """Returns the properties of a row, by name and by whether they are custom."""
        rows = self.db.execute(
            "SELECT name, is_custom_property, int_value, double_value, string_value"
            f" FROM {table}Property WHERE {table.lower()}_id = ?",
            [id],
        )
        properties = {}
        for name, is_custom, *columns in rows:
            (value,) = [column for column in columns if column is not None]
            properties[name, bool(is_custom)] = value
        return properties

    def executions(self):
        rows = self.db.execute("SELECT id, name, last_known_state FROM Execution ORDER BY id")
        return [(id, name, state, self.properties("Execution", id)) for id, name, state in rows]

    def artifacts(self, execution):
        rows = self.db.execute(
            "SELECT a.id, t.name, a.uri, a.name, e.type FROM Event e"
            " JOIN Artifact a ON a.id = e.artifact_id JOIN Type t ON t.id = a.type_id"
            " WHERE e.execution_id = ? ORDER BY e.id",
            [execution],
        )
        return [
            (kind, uri, name, event, self.properties("Artifact", id))
            for id, kind, uri, name, event in rows
        ]


class LibraryReader:
    """Reads the same values through ml-metadata."""

    def __init__(self, path):
        from ml_metadata.metadata_store import metadata_store
        from ml_metadata.proto import metadata_store_pb2 as proto

        config = proto.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
        self.store = metadata_store.MetadataStore(config)
        self.kinds = {kind.id: kind.name for kind in self.store.get_artifact_types()}

    @staticmethod
    def properties(node):
        def value(item):
            return getattr(item, item.WhichOneof("value"))

        standard = {(name, False): value(item) for name, item in node.properties.items()}
        custom = {(name, True): value(item) for name, item in node.custom_properties.items()}
        return standard | custom

    def executions(self):
        executions = sorted(self.store.get_executions(), key=lambda execution: execution.id)
        return [
            (execution.id, execution.name, execution.last_known_state, self.properties(execution))
            for execution in executions
        ]

    def artifacts(self, execution):
        artifacts = []
        for event in self.store.get_events_by_execution_ids([execution]):
            (artifact,) = self.store.get_artifacts_by_id([event.artifact_id])
            kind, properties = self.kinds[artifact.type_id], self.properties(artifact)
            artifacts.append((kind, artifact.uri, artifact.name, event.type, properties))
        return artifacts


def import_cmf_query():
    """Imports cmflib's query class, with stubs for modules that it imports but does not need."""
    stubs = {
        "cmflib.cmf_merger": "parse_json_to_mlmd",
        "cmflib.store.postgres": "PostgresStore",
        "cmflib.utils.helper_functions": "get_postgres_config",
    }
    for name, attribute in stubs.items():
        sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[name], attribute, None)
    from cmflib.cmfquery import CmfQuery

    return CmfQuery


def property_value(value):
    """Converts a parameter to the type in which a property stores it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return json.dumps(value)
    return value


def equal(reader, actual, expected):
    if isinstance(reader, LibraryReader) and isinstance(actual, float):
        return actual == float(f"{expected:.15g}")
    return actual == expected


def journal_records(study):
    """Returns the records of each trial, as pairs of kind and record."""
    records = {trial: [] for trial in study.params}
    for entry in study.entries:
        ((kind, event),) = entry["event"].items()
        if kind == "logged":
            ((record_kind, record),) = event["record"].items()
            records[event["trial"]].append((record_kind, record))
    return records


def journal_states(study):
    """Returns the state of each trial. A verdict of the scheduler overrides the exit."""
    states = {}
    for trial, exit in study.exits.items():
        if exit == "done":
            states[trial] = "complete"
        else:
            states[trial] = exit if isinstance(exit, str) else next(iter(exit))
    for entry in study.entries:
        ((kind, event),) = entry["event"].items()
        if kind == "judged" and event["verdict"] == "stop":
            states[event["trial"]] = "stopped"
    return states


def check_inputs_and_models(trial, artifacts, records):
    """Checks the data sets and models of a trial, and that only trial 4 has the best model."""
    datasets = {
        (name, uri)
        for kind, uri, name, event, _ in artifacts
        if (kind, event) == ("Dataset", INPUT)
    }
    recorded = [record.get("dataset", record) for kind, record in records if kind == "dataset"]
    expected = {(f"{dataset['data_dir']}:{dataset['md5']}", dataset["md5"]) for dataset in recorded}
    assert datasets == expected and len(datasets) == 2, datasets
    models = {
        name: properties
        for kind, _, name, event, properties in artifacts
        if (kind, event) == ("Model", OUTPUT)
    }
    names = {}
    for kind, record in records:
        if kind == "model":
            names.setdefault(f"{record['model_path']}:{record['md5']}:{trial}", []).append(record)
    assert set(models) == set(names), (set(models), set(names))
    for name, versions in names.items():
        properties = models[name]
        steps = json.loads(properties.get(("Steps", True), "[]")) or [properties["Step", True]]
        for model in versions:
            assert model["step"] in steps, (properties, model)
            assert properties["Size", True] == model["size"], (properties, model)
            path = f"{model['md5'][:2]}/{model['md5'][2:]}"
            assert properties["url", False] == f"ziffern:/backup/dvc/files/md5/{path}"
    best = [name for name, properties in models.items() if ("best_model", True) in properties]
    assert len(best) == (1 if trial == 4 else 0), (trial, best)


def check_results(reader, trial, state, artifacts, reports):
    """Checks the last report and the best value of a trial."""
    results = {
        name.split(":")[0]: properties
        for kind, _, name, _, properties in artifacts
        if kind == "Metrics"
    }
    last = results[f"Trial_étude_{trial}_Result"]
    for key, value in reports[-1].items():
        value = str(value).lower() if isinstance(value, bool) else value
        assert equal(reader, last[key, True], value), (trial, key, last[key, True], value)
    losses = [float(report["verlust"]) for report in reports]
    lowest = min(loss for loss in losses if math.isfinite(loss))
    best = results[f"Best_verlust_Trial_étude_{trial}"]["Best_verlust", True]
    assert equal(reader, best, lowest), (trial, best)
    assert (last["Result", True] == "done") == (state == "complete"), last["Result", True]


def check_metric_files(study, root, trial, artifacts, reports):
    """Checks the Parquet files of a trial and returns the number of equal values."""
    files = {}
    for kind, md5, name, *_ in artifacts:
        if kind == "Step_Metrics":
            path = name.split(":")[0]
            files[path.rsplit("/", 1)[1]] = (path, md5)
    logs = study.metrics(trial)
    assert set(files) == {f"Trial_étude_{trial}_metrics", *logs}, files
    equal_values = 0
    for log, (path, md5) in files.items():
        assert hashlib.md5((root / path).read_bytes()).hexdigest() == md5
        frame = pandas.read_parquet(root / path)
        assert frame.index.name == "SequenceNumber"
        assert list(frame.index) == list(range(1, len(frame) + 1))
        rows = parquet.read_table(root / path).to_pylist()
        rows = rows if log in logs else [row["Output"] for row in rows]
        expected_rows = logs.get(log, reports)
        assert len(rows) == len(expected_rows), (log, rows)
        for row, expected in zip(rows, expected_rows):
            for key, value in expected.items():
                value = parse_number(value)
                assert equal_or_nan(row[key], value), (trial, log, key, row[key], value)
                equal_values += 1
    return equal_values


def check(reader, study, root):
    """Compares all that a reader returns with the journal. Returns the number of equal values."""
    records, states = journal_records(study), journal_states(study)
    assert set(states.values()) == {"complete", "failed", "stopped"}, states
    equal_values, top_trials = 0, []
    executions = reader.executions()
    assert [execution[0] for execution in executions] == sorted(study.params)
    for trial, name, state, properties in executions:
        assert name == f"Trial_étude_{trial}", name
        assert state == EXECUTION_STATES[states[trial]], (name, state, states)
        assert ast.literal_eval(properties["Configuration", True]) == study.params[trial]
        for key, value in study.params[trial].items():
            actual, expected = properties[key, True], property_value(value)
            assert equal(reader, actual, expected), (trial, key)
            assert type(actual) is type(expected), (trial, key)
        assert properties["Pipeline_Type", False] == "ziffern"
        assert properties["Context_Type", False] == "ziffern/tune"
        assert properties["State", True] == states[trial]
        if properties.get(("in_top_n", True)) == 1:
            top_trials.append(trial)
        artifacts = reader.artifacts(trial)
        reports = [record["values"] for kind, record in records[trial] if kind == "report"]
        check_inputs_and_models(trial, artifacts, records[trial])
        check_results(reader, trial, states[trial], artifacts, reports)
        equal_values += check_metric_files(study, root, trial, artifacts, reports)
    assert top_trials == [4], top_trials
    return equal_values


def check_queries(study, root, folder):
    """Checks the answers of cmflib's query class and returns the number of executions."""
    # The query class opens the file for writing, so it gets a copy.
    (folder / "copy").write_bytes((root / "mlmd").read_bytes())
    query = import_cmf_query()(str(folder / "copy"))
    assert query.get_pipeline_names() == ["ziffern"]
    assert query.get_pipeline_stages("ziffern") == ["ziffern/tune"]
    frame = query.get_all_executions_in_stage("ziffern/tune").set_index("id")
    for trial, params in study.params.items():
        for key, value in params.items():
            cell = frame.loc[trial, f"custom_properties_{key}"]
            assert cell == property_value(value), (trial, key)
    artifacts = SqliteReader(root / "mlmd").artifacts(1)
    model = next(name for kind, _, name, *_ in artifacts if kind == "Model")
    assert query.find_producer_execution(model).id == 1
    parents = set(query.get_all_parent_artifacts(model)["name"])
    assert len(parents) == 2 and any(name.startswith("data:") for name in parents), parents
    (pipeline,) = json.loads(query.dumptojson("ziffern"))["Pipeline"]
    assert len(pipeline["stages"][0]["executions"]) == len(study.params)
    return len(frame)


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "data").mkdir()
    (folder / "data" / "é.txt").write_text("1")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    sweep = SWEEP.format(python=json.dumps(sys.executable))
    (folder / "sweep.toml").write_text(sweep, encoding="utf-8")
    result = run_swath("run", "sweep.toml", "--quiet", cwd=folder)
    assert "stale" not in result.stderr, result.stderr
    study = StudyFolder(folder / "logs" / "étude")
    root = study.folder / "trackers/cmf"
    print(f"SQLite reads {check(SqliteReader(root / 'mlmd'), study, root)} values equal")
    if sys.version_info < (3, 12):
        print(f"ml-metadata reads {check(LibraryReader(root / 'mlmd'), study, root)} values equal")
        executions = check_queries(study, root, folder)
        print(f"cmflib reads {executions} executions and their lineage")
    else:
        print("ml-metadata has no wheel for this Python: only the SQLite file was read")
    assert "nfiles: 1" in (folder / "data.dvc").read_text() and (folder / "m1.bin.dvc").exists()
    study.assert_export_is_identical("cmf")
