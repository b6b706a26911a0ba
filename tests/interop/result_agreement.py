"""Every reader tells the same result of a trial: value, step and model of the report that counts, which is in the middle of the trial.

    SWATH=target/debug/swath python result_agreement.py

The script makes studies whose results it knows by itself, with every tracker on, and asks MLflow, W&B, TensorBoard, MLMD, PROV and MLXP for them
through their own packages, and swath's table, JSON, Parquet and commands. ml-metadata needs an older protobuf than the other packages and gets an
environment of its own; it has no wheels for Python 3.12 and later, where its SQLite file is read instead.
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
from fixtures.study import swath
from fixtures.wandb_records import items, records
from mlflow import MlflowClient
from prov.model import ProvActivity, ProvDocument, ProvEntity
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

MLMD = "ml-metadata==1.15.0 protobuf==4.25.9 grpcio==1.80.0 typing_extensions absl-py==1.4.0 attrs==21.4.0 six"

# The best of trial 2 is the best of all; nobody's best is the first or the last.
LOSSES = {1: [0.9, 0.5, 0.2, 0.4, 0.6], 2: [0.9, 0.1, 0.5, 0.4, 0.6], 3: [0.9, 0.5, 0.6, 0.3, 0.4]}
EPOCHS = range(1, 6)

TRAIN = """
import json, os
study, trial = os.environ["STUDY"], int(os.environ["SWATH_TRIAL"])
order, losses = os.environ["ORDER"], json.loads(os.environ["LOSSES"])[str(trial)]
os.makedirs("models", exist_ok=True)
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    def say(**line):
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
                say(kind="model", path=path)
        say(**report)
        if order in ("report first", "folds") or order == "sparse" and epoch % 2 == 0:
            say(kind="model", path=path)
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

# Study: order of reports and models, metric, goal, take.
STUDIES = {
    "minimum": ("report first", "loss", "min", "best"),
    "maximum": ("in the report", "acc", "max", "best"),
    "last": ("report first", "loss", "min", "last"),
    "folds": ("folds", "loss", "min", "mean"),
    "sparse": ("sparse", "loss", "min", "best"),
    "model-first": ("model first", "loss", "min", "best"),
}


def expected(study):
    """What counts, by hand: trial → value, step, path, digest and step of the model."""
    order, metric, _, take = STUDIES[study]
    results = {}
    for trial, losses in LOSSES.items():
        step = 5 if take != "best" else min(EPOCHS, key=lambda epoch: losses[epoch - 1])
        model = step - step % 2 if order == "sparse" else step
        model = model or 2  # nothing was saved before epoch 2
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


def run(folder, study):
    order, metric, goal, take = STUDIES[study]
    take = "" if take == "best" else f'take = "{take}"'
    quoted = {
        "study": study,
        "order": order,
        "metric": metric,
        "goal": goal,
        "python": sys.executable,
        "losses": json.dumps(LOSSES),
    }
    text = SWEEP.format(take=take, **{name: json.dumps(value) for name, value in quoted.items()})
    (folder / f"{study}.toml").write_text(text, encoding="utf-8")
    ran = swath("run", f"{study}.toml", cwd=folder)
    assert ran.returncode == 0 and "left out" not in ran.stderr, ran.stderr
    rule = {"folds": "trial 1 reported loss 5 times; their mean counts"}.get(study)
    assert ("times; " in ran.stderr) == bool(rule) and (not rule or ran.stderr.count(rule) == 1), (
        study,
        ran.stderr,
    )
    return folder / "logs" / study


def agree(reader, study, found, wanted, digits=15):
    """Compares one trial's result; absent is None."""
    for name, value in wanted.items():
        got = found.get(name)
        got = None if got in ("", None) else float(got) if isinstance(value, (int, float)) else got
        same = (
            got == value
            or isinstance(value, float)
            and got is not None
            and math.isclose(got, value, rel_tol=10**-digits, abs_tol=0)
        )
        assert same, f"{study}, {reader}: {name} is {got!r}, not {value!r}; it says {found}"


def own(folder, study):
    """swath's own tables and commands."""
    metric, root = STUDIES[study][1], folder / "logs" / study

    def asked(*args):
        ran = swath(*args, cwd=folder)
        assert ran.returncode == 0, (args, ran.stderr)
        return ran.stdout

    rows = {"trials.csv": list(csv.DictReader(open(root / "trials.csv", encoding="utf-8")))}
    asked("export", study, "-o", "wide.parquet")
    rows["Parquet"] = pyarrow.parquet.read_table(folder / "wide.parquet").to_pylist()
    for reader, table in rows.items():
        yield (
            reader,
            {int(row["trial_id"]): {**row, f"objective.{metric}": row[metric]} for row in table},
        )
        if STUDIES[study][3] != "mean":
            for row in table:
                report = json.loads(
                    (root / str(row["trial_id"]) / "metrics/report.json")
                    .read_text()
                    .splitlines()[int(float(row["best_step"])) - 1]
                )
                for name in ("loss", "acc", "größe", "epoch"):
                    assert float(row[f"at_best.{name}"]) == report[name], (study, reader, name, row)
    for reader, text in {
        "JSON lines": asked("export", study, "--json"),
        "ls --json": asked("ls", study, "--json"),
    }.items():
        lines = [json.loads(line) for line in text.splitlines()]
        lines = lines[0].get("trials", lines) if len(lines) == 1 else lines
        yield (
            reader,
            {
                row["trial"]: {**row, f"objective.{metric}": row["objectives"][metric]}
                for row in lines
            },
        )
    (best,) = json.loads(asked("best", study, "--json"))["best"]
    assert best["trial"] == 2 or STUDIES[study][3] != "best", best
    yield (
        "best --json",
        {best["trial"]: {**best, f"objective.{metric}": best["objectives"][metric]}},
    )
    yield "best --model", {best["trial"]: {"model_path": asked("best", study, "--model").strip()}}


def mlflow(root, study):
    """The tags of the runs, and the metric by which MLflow itself sorts them."""
    client = MlflowClient((root / "trackers/mlruns").as_uri())
    metric, goal = STUDIES[study][1:3]
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    order = f"metrics.`objective.{metric}` {'ASC' if goal == 'min' else 'DESC'}"
    runs = client.search_runs(
        [experiment.experiment_id], "tags.`swath.exit` = 'done'", order_by=[order]
    )
    found = {}
    for run in runs:
        tags = {key.removeprefix("swath."): value for key, value in run.data.tags.items()}
        trial = int(tags["trial"].rsplit("/", 1)[1])
        found[trial] = tags
        (point,) = client.get_metric_history(run.info.run_id, f"objective.{metric}")
        assert (
            point.value
            == float(tags[f"objective.{metric}"])
            == run.data.metrics[f"objective.{metric}"]
        )
        assert point.step == int(float(tags.get("best_step", 5))), (study, point.step)
        series = {
            each.step: each.value for each in client.get_metric_history(run.info.run_id, metric)
        }
        assert "best_step" not in tags or series[point.step] == point.value, (study, series, point)
    values = [run.data.metrics[f"objective.{metric}"] for run in runs]
    assert len(values) == 3 and values == sorted(values, reverse=goal == "max"), values
    return found


def wandb(root, study):
    found = {}
    for path in sorted((root / "trackers/wandb").glob("offline-run-*/run-*.wandb")):
        kinds = {record.WhichOneof("record_type"): record for record in records(path)}
        result = items(kinds["summary"].summary.update)["swath"]["result"]
        # W&B sorts by paths into its summary, and every dot is a level.
        values = {f"objective.{metric}": value for metric, value in result["objective"].items()}
        found[items(kinds["run"].run.config.update)["swath"]["trial"]] = {**result, **values}
    return found


def tensorboard(root, study):
    """The scalars and texts of each trial, and the columns of the HParams page."""
    logdir, metric = str(root / "trackers/tensorboard"), STUDIES[study][1]
    found = {}
    for trial in LOSSES:
        accumulator = EventAccumulator(f"{logdir}/{trial}", size_guidance={"scalars": 0})
        accumulator.Reload()
        tags = [tag for tag in accumulator.Tags()["scalars"] if tag.startswith("result/")]
        found[trial] = {
            tag.removeprefix("result/"): event.value
            for tag in tags
            for event in accumulator.Scalars(tag)
        }
        for name in ("model_path", "model_md5"):
            (event,) = accumulator.Tensors(f"result/{name}/text_summary")
            found[trial][name] = event.tensor_proto.string_val[0].decode()
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, logdir)
    context, request_context = (
        backend_context.Context(base_plugin.TBContext(data_provider=provider)),
        RequestContext(),
    )
    runs = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(request_context, "", True, runs, [])
    first = experiment.metric_infos[0]
    tag, take = f"result/objective.{metric}", STUDIES[study][3]
    assert (first.name.tag, first.display_name) == (tag, f"{metric} ({take})"), first
    order = api_pb2.ORDER_ASC if STUDIES[study][2] == "min" else api_pb2.ORDER_DESC
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=9,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        col_params=[api_pb2.ColParams(metric=first.name, order=order)],
    )
    listed = list_session_groups.Handler(
        request_context, context, experiment_id="", request=request
    ).run()
    values = [
        {each.name.tag: each.value for each in group.metric_values}[tag]
        for group in listed.session_groups
    ]
    names = [int(group.name) for group in listed.session_groups]
    assert (
        values
        == [found[trial][f"objective.{metric}"] for trial in names]
        == sorted(values, reverse=STUDIES[study][2] == "max")
    ), values
    return found


def prov(root, study):
    """The activity of each trial, in its own document and in that of the study, and the one model that is marked."""

    def attributes(record):
        return {str(key): value for key, value in record.attributes}

    found = {}
    for trial in LOSSES:
        document = ProvDocument.deserialize(
            str(root / f"trackers/prov/trial-{trial}.json"), format="json"
        )
        (activity,) = [
            found
            for found in map(attributes, document.get_records(ProvActivity))
            if found.get("swath:trial") == trial
        ]
        found[trial] = {key.removeprefix("swath:"): value for key, value in activity.items()}
        marked = [
            model
            for model in map(attributes, document.get_records(ProvEntity))
            if model.get("swath:best_of_trial")
        ]
        agreed = [(model["swath:path"], model["swath:md5"]) for model in marked]
        assert agreed == [(found[trial]["model_path"], found[trial]["model_md5"])], (study, agreed)
    whole = ProvDocument.deserialize(str(root / "trackers/prov/study.json"), format="json")
    for activity in map(attributes, whole.get_records(ProvActivity)):
        if trial := activity.get("swath:trial"):
            same = {key.removeprefix("swath:"): value for key, value in activity.items()}
            assert all(
                same.get(name) == found[trial].get(name)
                for name in ("best_step", "model_path", "model_step")
            ), (study, same)
    return found


# Reads a file through ml-metadata: trial → properties of its execution, and its models.
MLMD_READER = """
import json, sys
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto
config = proto.ConnectionConfig()
config.sqlite.filename_uri = sys.argv[1]
config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
store = metadata_store.MetadataStore(config)
flat = lambda node: {name: getattr(value, value.WhichOneof("value")) for name, value in node.custom_properties.items()}
(model,) = [kind.id for kind in store.get_artifact_types() if kind.name == "Model"]
found = {}
for execution in store.get_executions():
    ids = [event.artifact_id for event in store.get_events_by_execution_ids([execution.id])]
    models = [(each.name, each.uri, flat(each)) for each in store.get_artifacts_by_id(ids) if each.type_id == model]
    found[execution.id] = (flat(execution), models)
print(json.dumps(found))
"""


def mlmd_by_schema(path):
    """The same by the schema of the SQLite file."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def properties(table, id):
        rows = db.execute(
            f"SELECT name, coalesce(int_value, double_value, string_value) FROM {table}Property WHERE {table.lower()}_id = ? AND is_custom_property",
            [id],
        )
        return dict(rows)

    found = {}
    for (execution,) in db.execute("SELECT id FROM Execution").fetchall():
        models = db.execute(
            "SELECT a.id, a.name, a.uri FROM Event e JOIN Artifact a ON a.id = e.artifact_id JOIN Type t ON t.id = a.type_id"
            " WHERE e.execution_id = ? AND t.name = 'Model'",
            [execution],
        ).fetchall()
        found[execution] = (
            properties("Execution", execution),
            [(name, uri, properties("Artifact", id)) for id, name, uri in models],
        )
    return found


def mlmd_reader(folder):
    """Returns what reads a file of ML Metadata, in an environment of its own, and its name."""
    if sys.version_info >= (3, 12):
        return mlmd_by_schema, "the schema of ML Metadata (no wheel for this Python)"
    python = folder / "mlmd/bin/python"
    venv.create(folder / "mlmd", with_pip=True)
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        *MLMD.split(),
    ]
    subprocess.run(install, check=True, timeout=300)

    def read(path):
        ran = subprocess.run(
            [python, "-c", MLMD_READER, path],
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return {int(id): found for id, found in json.loads(ran.stdout).items()}

    return read, "ml-metadata"


def cmf(root, study, read):
    found = {}
    for id, (execution, models) in read(root / "trackers/cmf/mlmd").items():
        marked = [
            (name.split(":")[0], uri)
            for name, uri, properties in models
            if properties.get("best_of_trial")
        ]
        agreed = [(path.removeprefix(f"{id}/"), uri) for path, uri in marked]
        assert agreed == [(execution["model_path"], execution["model_md5"])], (
            study,
            agreed,
            models,
        )
        found[id] = execution
    return found


def mlxp_results(root, study):
    with tempfile.TemporaryDirectory() as scratch:
        reader = mlxp.Reader(str(root), dst_dir=scratch, refresh=True)
        return {
            run["info.logger.log_id"]: result(run)
            for run in reader.filter(result_format="datadict")
        }


def result(run):
    prefix = "info.swath.result."
    return {name.removeprefix(prefix): run[name] for name in run.keys() if name.startswith(prefix)}


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    read, name = mlmd_reader(folder)
    compared = set()
    for study in STUDIES:
        root, wanted = run(folder, study), expected(study)
        readers = dict(own(folder, study))
        readers |= {
            "MLflow": mlflow(root, study),
            "W&B": wandb(root, study),
            "TensorBoard": tensorboard(root, study),
            "PROV": prov(root, study),
        }
        readers |= {name: cmf(root, study, read), "MLXP": mlxp_results(root, study)}
        for reader, found in readers.items():
            assert set(found) == set(wanted) or reader.startswith("best "), (
                study,
                reader,
                set(found),
            )
            for trial, seen in found.items():
                facts = {
                    key: value
                    for key, value in wanted[trial].items()
                    if reader != "best --model" or key == "model_path"
                }
                # TensorBoard has floats of 32 bits, ML Metadata gives 15 digits.
                agree(
                    f"{reader}, trial {trial}",
                    study,
                    seen,
                    facts,
                    digits=6 if reader == "TensorBoard" else 14,
                )
            compared.add(reader)
    print(
        f"{len(compared)} readers agree on value, step and model of {len(STUDIES) * len(LOSSES)} trials: {', '.join(sorted(compared))}"
    )
