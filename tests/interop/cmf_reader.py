"""ml-metadata and cmflib read a study with a failed and a stopped trial, NaN and names that are not
ASCII: all parameters, metric points, states, data sets and models are those of the journal. Studies
of several stages and cmflib share one file, and lineage crosses the stages.

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
import os
import sqlite3
import subprocess
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
    for prefix in ("data:", "data/é.txt:", "cmf_artifacts/python_env_"):
        assert any(name.startswith(prefix) for name in parents), (prefix, parents)
    assert len(parents) == 3, parents
    (pipeline,) = json.loads(query.dumptojson("ziffern"))["Pipeline"]
    assert len(pipeline["stages"][0]["executions"]) == len(study.params)
    return len(frame)


CLEAN = """
import json, os
os.makedirs("clean", exist_ok=True)
with open("raw.txt") as raw, open("clean/rows.txt", "w") as clean:
    clean.write("clean " + raw.read())
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    records.write(json.dumps({"kind": "artifact", "path": "clean/rows.txt"}) + "\\n")
    records.write(json.dumps({"score": 1.0}) + "\\n")
"""

FIT = """
import json, os
name = "%s-%s.bin" % (os.environ["SWATH_STUDY"], os.environ["SWATH_TRIAL"])
with open(name, "w") as model:
    model.write(name)
facts = {"framework": "torch", "model_type": "mlp", "model_name": "digits", "parameters": 7850}
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    records.write(json.dumps({"score": 0.5, "model_path": name, **facts}) + "\\n")
    records.write(json.dumps({"kind": "best_model", "path": name}) + "\\n")
"""

STAGE = """
name = "{name}"
pipeline = "ziffern"
stage = "{stage}"
run = {{ command = [{python}, "{script}"], data_dir = "{data}" }}
objective = {{ metric = "score", goal = "min" }}
search = {{ sampler = "random", trials = {trials} }}
resources = {{ jobs = 1 }}
space = {{ x = {{ min = 0.0, max = 1.0 }} }}
tracker = [{{ name = "cmf", file = "shared/mlmd" }}]
"""


def run_stages(folder, stages):
    """Runs studies at the same time, all of which append to one file."""
    runs = []
    for name, stage, script, data, trials in stages:
        sweep = STAGE.format(
            name=name,
            stage=stage,
            script=script,
            data=data,
            trials=trials,
            python=json.dumps(sys.executable),
        )
        (folder / f"{name}.toml").write_text(sweep)
        command = [os.environ["SWATH"], "run", f"{name}.toml", "--quiet"]
        runs.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True))
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0 and "tracker" not in errors, errors


def digest_of(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_with_cmflib(path, stage, uri, name, is_input):
    """Writes a stage as cmflib does, with a data set that it produced, or a model that it read."""
    from cmflib import metadata_helper as cmf
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as proto

    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    store = metadata_store.MetadataStore(config)
    parent = cmf.get_or_create_parent_context(store, "ziffern")
    context = cmf.get_or_create_run_context(store, f"ziffern/{stage}")
    cmf.associate_child_to_parent_context(store, parent, context)
    execution = cmf.create_new_execution_in_existing_run_context(
        store,
        execution_type_name=f"ziffern/{stage}",
        execution_name=stage,
        context_id=context.id,
        execution="",
        pipeline_id=parent.id,
        pipeline_type="ziffern",
        git_repo="",
        git_start_commit="",
    )
    if is_input:
        linked = cmf.link_execution_to_artifact(store, execution.id, uri, name, proto.Event.INPUT)
        assert linked is not None, "cmflib does not find the model"
        return
    properties = {"git_repo": "", "Commit": uri, "url": uri}
    cmf.create_new_artifact_event_and_attribution(
        store,
        execution_id=execution.id,
        context_id=context.id,
        uri=uri,
        name=f"{name}:{uri}",
        type_name="Dataset",
        event_type=proto.Event.OUTPUT,
        properties=properties,
        artifact_type_properties=dict.fromkeys(properties, proto.STRING),
        milliseconds_since_epoch=1,
    )


def trace(db, uri):
    """Returns the names of all executions through which an artifact came into being, by the tables
    of ML Metadata alone: outputs with their inputs, back to the start."""
    stages, wanted, seen = [], {uri}, set()
    while wanted:
        uri = wanted.pop()
        seen.add(uri)
        producers = db.execute(
            # cmflib gives executions no name; their type is that of the stage.
            "SELECT e.id, coalesce(e.name, t.name) FROM Execution e"
            " JOIN Type t ON t.id = e.type_id JOIN Event v ON v.execution_id = e.id"
            " JOIN Artifact a ON a.id = v.artifact_id WHERE a.uri = ? AND v.type = 4",
            [uri],
        ).fetchall()
        for execution, name in producers:
            stages.append(name)
            inputs = db.execute(
                "SELECT a.uri FROM Artifact a JOIN Event v ON v.artifact_id = a.id"
                " WHERE v.execution_id = ? AND v.type = 3",
                [execution],
            )
            wanted |= {uri for (uri,) in inputs} - seen
    return sorted(stages)


def check_shared(folder):
    """Checks that a model can be traced through the stages of several writers."""
    (folder / "raw.txt").write_text("1 2 3")
    (folder / "clean.py").write_text(CLEAN)
    (folder / "fit.py").write_text(FIT)
    file, has_library = folder / "shared/mlmd", sys.version_info < (3, 12)
    file.parent.mkdir()
    if has_library:
        write_with_cmflib(file, "ingest", digest_of(folder / "raw.txt"), "raw.txt", False)
    run_stages(folder, [("prep", "prepare", "clean.py", "raw.txt", 1)])
    both = [(name, "train", "fit.py", "clean/rows.txt", 12) for name in ("erste", "zweite")]
    run_stages(folder, both)
    if has_library:
        model = folder / "erste-1.bin"
        write_with_cmflib(file, "evaluate", digest_of(model), model.name, True)
    before = file.read_bytes()
    # What is written again keeps its ids, so that the events of others still refer to it.
    result = run_swath("export", "cmf", str(folder / "logs/erste"), cwd=folder)
    assert result.returncode == 0, result.stderr
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = dict(db.execute("SELECT name, count(*) FROM Execution GROUP BY name"))
    expected = [f"Trial_{study}_{trial}" for study, *_ in both for trial in range(1, 13)]
    assert all(counts[name] == 1 for name in expected), counts
    ingest = ["ingest"] if has_library else []
    trials = ["Trial_erste_1", "Trial_prep_1"]
    traced = trace(db, digest_of(folder / "erste-1.bin"))
    assert traced == trials + ingest, traced
    (folder / "before").write_bytes(before)
    earlier = sqlite3.connect(folder / "before")
    for table in ("Artifact", "Execution", "Event", "Attribution", "Association"):
        rows = [set(each.execute(f"SELECT id FROM {table}")) for each in (earlier, db)]
        assert rows[0] == rows[1], (table, rows)
    models = [
        (kind, properties)
        for execution, name, *_ in SqliteReader(file).executions()
        if name == "Trial_zweite_3"
        for kind, _, _, _, properties in SqliteReader(file).artifacts(execution)
        if kind == "Model"
    ]
    ((_, properties),) = models
    facts = [properties[name, False] for name in ("model_framework", "model_type", "model_name")]
    assert facts == ["torch", "mlp", "digits"], properties
    assert properties["parameters", True] == 7850 and properties["best", True] == 1, properties
    if has_library:
        (folder / "copy").write_bytes(file.read_bytes())
        query = import_cmf_query()(str(folder / "copy"))
        stages = ["ziffern/evaluate", "ziffern/ingest", "ziffern/prepare", "ziffern/train"]
        assert sorted(query.get_pipeline_stages("ziffern")) == stages
        (model,) = [
            name
            for (name,) in db.execute(
                "SELECT name FROM Artifact WHERE uri = ?", [digest_of(folder / "erste-1.bin")]
            )
        ]
        parents = set(query.get_all_parent_artifacts(model)["name"])
        raw = f"raw.txt:{digest_of(folder / 'raw.txt')}"
        assert raw in parents, parents
        (consumer,) = set(query.get_all_executions_in_stage("ziffern/evaluate")["id"])
        assert consumer, "the evaluation is there"
    return len(expected)


with tempfile.TemporaryDirectory() as folder:
    trials = check_shared(Path(folder))
    print(f"a file that stages share has {trials} trials of two studies, and their lineage")
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
