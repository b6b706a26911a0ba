"""All readers return the same result of a trial: value, step and model of the report that counts,
which is neither the first nor the last one.

    SWATH=target/debug/swath python result_agreement.py

The script runs studies with known results and all trackers. It reads the results with the packages
of MLflow, W&B, TensorBoard, ML Metadata, PROV and MLXP, and from swath's tables and commands.
ml-metadata needs an older protobuf than the other packages, so it has an environment of its own. It
has no wheels for Python 3.12 and later; there the script reads its SQLite file.
"""
# needs: mlflow-skinny==3.17.2 wandb==0.31.0 tensorboard==2.21.0 setuptools<81 prov==3.2.3 mlxp==1.0.5 pyarrow pandas

import csv
import hashlib
import json
import math
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

os.environ |= {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}

import mlxp
import pyarrow.parquet
from fixtures.study import read_json_lines, run_swath
from fixtures.wandb_records import items, records
from mlflow import MlflowClient
from prov.model import ProvActivity, ProvDocument, ProvEntity
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

MLMD_PACKAGES = [
    *("ml-metadata==1.15.0", "protobuf==4.25.9", "grpcio==1.80.0", "typing_extensions"),
    *("absl-py==1.4.0", "attrs==21.4.0", "six"),
]

# Trial 2 has the lowest loss of all. No trial has its lowest loss in the first or last epoch.
LOSSES = {1: [0.9, 0.5, 0.2, 0.4, 0.6], 2: [0.9, 0.1, 0.5, 0.4, 0.6], 3: [0.9, 0.5, 0.6, 0.3, 0.4]}
EPOCHS = range(1, 6)

TRAIN = """
import json, os
study, trial = os.environ["STUDY"], int(os.environ["SWATH_TRIAL"])
order, losses = os.environ["ORDER"], json.loads(os.environ["LOSSES"])[str(trial)]
os.makedirs("models", exist_ok=True)
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    def write(**line):
        records.write(json.dumps(line) + "\\n")
    for epoch, loss in enumerate(losses, 1):
        path = f"models/{study}-{trial}-{epoch}.bin"
        report = {"loss": loss, "acc": 1 - loss, "größe": epoch / 3}
        if order != "folds":
            report["epoch"] = epoch
        if order != "sparse" or epoch % 2 == 0:
            with open(path, "w") as model:
                model.write(f"the model of epoch {epoch} of trial {trial} of {study}")
            if order == "in the report":
                report["model_path"] = path
            if order == "model first":
                write(kind="model", path=path)
        write(**report)
        if order in ("report first", "folds") or order == "sparse" and epoch % 2 == 0:
            write(kind="model", path=path)
"""

SWEEP = """
name = {study}
seed = 3
[run]
command = [{python}, "train.py"]
[run.env]
STUDY = {study}
ORDER = {order}
LOSSES = {losses}
[objective]
metric = {metric}
goal = {goal}
{take}
[search]
sampler = "random"
trials = 3
[resources]
jobs = 1
[space]
lr = {{ min = 1e-5, max = 1e-1, log = true }}
[[tracker]]
name = "mlflow"
[[tracker]]
name = "wandb"
[[tracker]]
name = "tensorboard"
[[tracker]]
name = "prov"
[[tracker]]
name = "cmf"
"""

# For each study the order of reports and models, metric, goal and take.
STUDIES = {
    "minimum": ("report first", "loss", "min", "best"),
    "maximum": ("in the report", "acc", "max", "best"),
    "last": ("report first", "loss", "min", "last"),
    "folds": ("folds", "loss", "min", "mean"),
    "sparse": ("sparse", "loss", "min", "best"),
    "model-first": ("model first", "loss", "min", "best"),
}


def expected_results(study):
    """Returns for each trial the value, the step, and the path, digest and step of its model."""
    order, metric, _, take = STUDIES[study]
    results = {}
    for trial, losses in LOSSES.items():
        step = 5 if take != "best" else min(EPOCHS, key=lambda epoch: losses[epoch - 1])
        model = step - step % 2 if order == "sparse" else step
        model = model or 2  # the first model is saved in epoch 2
        value = losses[step - 1] if take != "mean" else statistics.fmean(losses)
        text = f"the model of epoch {model} of trial {trial} of {study}"
        results[trial] = {
            f"objective.{metric}": 1 - value if metric == "acc" else value,
            "best_step": None if take == "mean" else step,
            "model_path": f"models/{study}-{trial}-{model}.bin",
            "model_md5": hashlib.md5(text.encode()).hexdigest(),
            "model_step": model,
        }
    return results


def run_study(folder, study):
    order, metric, goal, take = STUDIES[study]
    values = {
        "study": study,
        "order": order,
        "metric": metric,
        "goal": goal,
        "python": sys.executable,
        "losses": json.dumps(LOSSES),
    }
    quoted = {name: json.dumps(value) for name, value in values.items()}
    take_line = "" if take == "best" else f'take = "{take}"'
    sweep = SWEEP.format(take=take_line, **quoted)
    (folder / f"{study}.toml").write_text(sweep, encoding="utf-8")
    result = run_swath("run", f"{study}.toml", cwd=folder)
    assert result.returncode == 0 and "left out" not in result.stderr, result.stderr
    # Folds report several times without a step, so swath says once how it combines the reports.
    notice = "trial 1 reported loss 5 times; their mean counts"
    assert result.stderr.count("times; ") == (order == "folds"), (study, result.stderr)
    assert result.stderr.count(notice) == (order == "folds"), (study, result.stderr)
    return folder / "logs" / study


def check_result(reader, study, actual, expected, digits):
    """Compares the result of a trial. Absent values are empty or `None`."""
    for name, value in expected.items():
        cell = actual.get(name)
        if cell == "":
            cell = None
        if cell is not None and isinstance(value, (int, float)):
            cell = float(cell)
        is_equal = cell == value
        if isinstance(value, float) and cell is not None:
            is_equal = math.isclose(cell, value, rel_tol=10**-digits, abs_tol=0)
        assert is_equal, f"{study}, {reader}: {name} is {cell!r}, not {value!r}; all: {actual}"


def with_objective(row, metric, value):
    """Returns a row with the value of the objective under the name that all readers share."""
    return {**row, f"objective.{metric}": value}


def check_best_reports(root, study, reader, rows):
    """Checks that the columns `at_best.` are the values of the report that counts."""
    for row in rows:
        reports = list(read_json_lines(root / str(row["trial_id"]) / "metrics/report.json"))
        report = reports[int(float(row["best_step"])) - 1]
        for name in ("loss", "acc", "größe", "epoch"):
            assert float(row[f"at_best.{name}"]) == report[name], (study, reader, name, row)


def read_own_outputs(folder, study):
    """Yields the results in swath's tables and in the output of its commands, with their names."""
    _, metric, _, take = STUDIES[study]
    root = folder / "logs" / study

    def output(*args):
        result = run_swath(*args, cwd=folder)
        assert result.returncode == 0, (args, result.stderr)
        return result.stdout

    output("export", study, "-o", "wide.parquet")
    with open(root / "trials.csv", encoding="utf-8") as file:
        tables = {"trials.csv": list(csv.DictReader(file))}
    tables["Parquet"] = pyarrow.parquet.read_table(folder / "wide.parquet").to_pylist()
    for reader, rows in tables.items():
        yield (
            reader,
            {int(row["trial_id"]): with_objective(row, metric, row[metric]) for row in rows},
        )
        if take != "mean":
            check_best_reports(root, study, reader, rows)
    lines = [json.loads(line) for line in output("export", study, "--json").splitlines()]
    listing = [json.loads(line) for line in output("ls", study, "--json").splitlines()]
    if len(listing) == 1:
        listing = listing[0].get("trials", listing)
    (best,) = json.loads(output("best", study, "--json"))["best"]
    assert best["trial"] == 2 or take != "best", best
    for reader, rows in {"JSON lines": lines, "ls --json": listing, "best --json": [best]}.items():
        yield (
            reader,
            {row["trial"]: with_objective(row, metric, row["objectives"][metric]) for row in rows},
        )
    model_path = output("best", study, "--model").strip()
    yield "best --model", {best["trial"]: {"model_path": model_path}}


def read_mlflow(root, study):
    """Returns the tags of the runs, and checks the metric by which MLflow sorts them."""
    client = MlflowClient((root / "trackers/mlruns").as_uri())
    _, metric, goal, _ = STUDIES[study]
    objective = f"objective.{metric}"
    (experiment,) = [
        experiment for experiment in client.search_experiments() if experiment.name != "Default"
    ]
    runs = client.search_runs(
        [experiment.experiment_id],
        "tags.`swath.exit` = 'done'",
        order_by=[f"metrics.`{objective}` {'ASC' if goal == 'min' else 'DESC'}"],
    )
    results = {}
    for run in runs:
        tags = {key.removeprefix("swath."): value for key, value in run.data.tags.items()}
        results[int(tags["trial"].rsplit("/", 1)[1])] = tags
        (point,) = client.get_metric_history(run.info.run_id, objective)
        assert point.value == float(tags[objective]) == run.data.metrics[objective]
        assert point.step == int(float(tags.get("best_step", 5))), (study, point.step)
        history = client.get_metric_history(run.info.run_id, metric)
        series = {entry.step: entry.value for entry in history}
        assert "best_step" not in tags or series[point.step] == point.value, (study, series, point)
    values = [run.data.metrics[objective] for run in runs]
    assert len(values) == 3 and values == sorted(values, reverse=goal == "max"), values
    return results


def read_wandb(root, study):
    """Returns the results in the summaries of the runs."""
    results = {}
    for path in sorted((root / "trackers/wandb").glob("offline-run-*/run-*.wandb")):
        by_type = {record.WhichOneof("record_type"): record for record in records(path)}
        result = items(by_type["summary"].summary.update)["swath"]["result"]
        # W&B addresses summary values by path, so the objectives are nested.
        values = {f"objective.{metric}": value for metric, value in result["objective"].items()}
        trial = items(by_type["run"].run.config.update)["swath"]["trial"]
        results[trial] = {**result, **values}
    return results


def read_tensorboard(root, study):
    """Returns the scalars and texts of each trial, and checks the columns of the HParams page."""
    logdir = str(root / "trackers/tensorboard")
    results = {}
    for trial in LOSSES:
        accumulator = EventAccumulator(f"{logdir}/{trial}", size_guidance={"scalars": 0})
        accumulator.Reload()
        results[trial] = {
            tag.removeprefix("result/"): event.value
            for tag in accumulator.Tags()["scalars"]
            if tag.startswith("result/")
            for event in accumulator.Scalars(tag)
        }
        for name in ("model_path", "model_md5"):
            (event,) = accumulator.Tensors(f"result/{name}/text_summary")
            results[trial][name] = event.tensor_proto.string_val[0].decode()
    check_hparams(logdir, study, results)
    return results


def check_hparams(logdir, study, results):
    """Checks that the HParams page has the objective first and sorts the trials by it."""
    _, metric, goal, take = STUDIES[study]
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, logdir)
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request_context = RequestContext()
    runs = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(request_context, "", True, runs, [])
    first = experiment.metric_infos[0]
    tag = f"result/objective.{metric}"
    assert (first.name.tag, first.display_name) == (tag, f"{metric} ({take})"), first
    order = api_pb2.ORDER_ASC if goal == "min" else api_pb2.ORDER_DESC
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=9,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        col_params=[api_pb2.ColParams(metric=first.name, order=order)],
    )
    handler = list_session_groups.Handler(
        request_context, context, experiment_id="", request=request
    )
    groups = handler.run().session_groups
    values = [
        {metric.name.tag: metric.value for metric in group.metric_values}[tag] for group in groups
    ]
    assert values == sorted(values, reverse=goal == "max"), values
    trials = [int(group.name) for group in groups]
    assert values == [results[trial][f"objective.{metric}"] for trial in trials], values


def attributes(document, kind):
    """Returns the attributes of all records of a kind, without the prefix `swath:`."""
    return [
        {str(key).removeprefix("swath:"): value for key, value in record.attributes}
        for record in document.get_records(kind)
    ]


def read_prov(root, study):
    """Returns the activity of each trial in its own document. Checks the model that is marked as
    the best, and that the document of the study agrees."""
    results = {}
    for trial in LOSSES:
        path = root / f"trackers/prov/trial-{trial}.json"
        document = ProvDocument.deserialize(str(path), format="json")
        (result,) = [
            activity
            for activity in attributes(document, ProvActivity)
            if activity.get("trial") == trial
        ]
        best_models = [
            (entity["path"], entity["md5"])
            for entity in attributes(document, ProvEntity)
            if entity.get("best_of_trial")
        ]
        expected = [(result["model_path"], result["model_md5"])]
        assert best_models == expected, (study, best_models)
        results[trial] = result
    document = ProvDocument.deserialize(str(root / "trackers/prov/study.json"), format="json")
    for activity in attributes(document, ProvActivity):
        if trial := activity.get("trial"):
            for name in ("best_step", "model_path", "model_step"):
                assert activity.get(name) == results[trial].get(name), (study, activity)
    return results


# Prints for each execution its properties and its models, as ml-metadata reads them.
MLMD_SCRIPT = """
import json, sys
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

def properties(node):
    values = node.custom_properties.items()
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values}

config = proto.ConnectionConfig()
config.sqlite.filename_uri = sys.argv[1]
config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
store = metadata_store.MetadataStore(config)
(model_type,) = [kind.id for kind in store.get_artifact_types() if kind.name == "Model"]
executions = {}
for execution in store.get_executions():
    ids = [event.artifact_id for event in store.get_events_by_execution_ids([execution.id])]
    models = [
        (artifact.name, artifact.uri, properties(artifact))
        for artifact in store.get_artifacts_by_id(ids)
        if artifact.type_id == model_type
    ]
    executions[execution.id] = (properties(execution), models)
print(json.dumps(executions))
"""


def read_mlmd_by_schema(path):
    """Returns the same values by the schema of the SQLite file."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def properties(table, id):
        rows = db.execute(
            f"SELECT name, coalesce(int_value, double_value, string_value) FROM {table}Property"
            f" WHERE {table.lower()}_id = ? AND is_custom_property",
            [id],
        )
        return dict(rows)

    executions = {}
    for (execution,) in db.execute("SELECT id FROM Execution").fetchall():
        rows = db.execute(
            "SELECT a.id, a.name, a.uri FROM Event e JOIN Artifact a ON a.id = e.artifact_id"
            " JOIN Type t ON t.id = a.type_id WHERE e.execution_id = ? AND t.name = 'Model'",
            [execution],
        ).fetchall()
        models = [(name, uri, properties("Artifact", id)) for id, name, uri in rows]
        executions[execution] = (properties("Execution", execution), models)
    return executions


def create_mlmd_reader(folder):
    """Returns a function that reads a file of ML Metadata, and its name. The function runs
    ml-metadata in a separate environment if it has a wheel for this Python."""
    if sys.version_info >= (3, 12):
        return read_mlmd_by_schema, "the schema of ML Metadata (no wheel for this Python)"
    python = folder / "mlmd/bin/python"
    venv.create(folder / "mlmd", with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--no-deps", *MLMD_PACKAGES], check=True, timeout=300)

    def read_mlmd(path):
        command = [python, "-c", MLMD_SCRIPT, path]
        result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
        return {int(id): execution for id, execution in json.loads(result.stdout).items()}

    return read_mlmd, "ml-metadata"


def read_cmf(root, study, read_mlmd):
    """Returns the properties of each execution, and checks the model that is marked as the best."""
    results = {}
    for id, (execution, models) in read_mlmd(root / "trackers/cmf/mlmd").items():
        best_models = [
            (name.split(":")[0].removeprefix(f"{id}/"), uri)
            for name, uri, properties in models
            if properties.get("best_of_trial")
        ]
        expected = [(execution["model_path"], execution["model_md5"])]
        assert best_models == expected, (study, best_models, models)
        results[id] = execution
    return results


def read_mlxp(root):
    prefix = "info.swath.result."
    with tempfile.TemporaryDirectory() as scratch:
        reader = mlxp.Reader(str(root), dst_dir=scratch, refresh=True)
        return {
            run["info.logger.log_id"]: {
                name.removeprefix(prefix): run[name]
                for name in run.keys()
                if name.startswith(prefix)
            }
            for run in reader.filter(result_format="datadict")
        }


def check_study(folder, study, read_mlmd, mlmd_name):
    """Runs a study and compares the results of all readers. Returns the names of the readers."""
    root, expected = run_study(folder, study), expected_results(study)
    readers = {
        **dict(read_own_outputs(folder, study)),
        "MLflow": read_mlflow(root, study),
        "W&B": read_wandb(root, study),
        "TensorBoard": read_tensorboard(root, study),
        "PROV": read_prov(root, study),
        mlmd_name: read_cmf(root, study, read_mlmd),
        "MLXP": read_mlxp(root),
    }
    for reader, results in readers.items():
        trials = set(results)
        assert trials == set(expected) or reader.startswith("best "), (study, reader, trials)
        for trial, result in results.items():
            values = expected[trial]
            if reader == "best --model":
                values = {"model_path": values["model_path"]}
            # TensorBoard has floats of 32 bits; ML Metadata returns 15 digits.
            digits = 6 if reader == "TensorBoard" else 14
            check_result(f"{reader}, trial {trial}", study, result, values, digits)
    return set(readers)


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    read_mlmd, mlmd_name = create_mlmd_reader(folder)
    readers = set()
    for study in STUDIES:
        readers |= check_study(folder, study, read_mlmd, mlmd_name)
    names = ", ".join(sorted(readers))
    trial_count = len(STUDIES) * len(LOSSES)
    print(f"{len(readers)} readers agree on value, step and model of {trial_count} trials: {names}")
