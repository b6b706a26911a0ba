"""The prov library reads all documents of a study, with the parameters, metrics and files of the
journal. The documents are equal after a round trip. yProv4ML's own functions find the same values.

SWATH=target/debug/swath python prov_reader.py
"""
# needs: prov==3.2.3 pydot==4.0.1 pandas

import importlib.util
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pydot
from fixtures.study import equal_or_nan, run_study
from prov.model import ProvActivity, ProvDocument, ProvEntity, ProvGeneration, ProvUsage

LABEL, VALUE, TYPE = "prov:label", "prov:value", "prov:type"


def attribute(record, name):
    """Returns the value of an attribute, `None` if the record does not have it."""
    values = [value for key, value in record.attributes if str(key) == name]
    assert len(values) <= 1, (record, name)
    return values[0] if values else None


def load(path):
    document = ProvDocument.deserialize(str(path), format="json")
    assert ProvDocument.deserialize(content=document.serialize(), format="json") == document, path
    document.unified()
    graphs = pydot.graph_from_dot_file(str(path.with_suffix(".dot")), encoding="utf-8")
    assert graphs and len(graphs[0].get_edges()) > 0, path
    return document


def entities(document, kind):
    """Returns the entities of a kind by label."""
    return {
        attribute(record, LABEL): record
        for record in document.get_records(ProvEntity)
        if str(attribute(record, TYPE)) == kind
    }


def relations(document, kind):
    """Returns the pairs of identifiers that relations of a kind connect."""
    return [record.args[:2] for record in document.get_records(kind)]


def check_params(document, params):
    parameters = {
        name: attribute(record, VALUE)
        for name, record in entities(document, "provml:HyperParameter").items()
    }
    assert parameters == params, (parameters, params)
    for name, value in params.items():
        assert type(parameters[name]) is type(value), (name, parameters[name], value)


def check_metrics(document, study, trial):
    """Compares the last value and the length of all metrics. Returns the number of metrics."""
    metrics = entities(document, "provml:Metric")
    series = {
        name: [values[name] for _, values in study.reports[trial]]
        for name in ("val_loss", "größe", "epoch")
    }
    for log, rows in study.metrics(trial).items():
        for key in set(rows[0]) - {"step", "batch", "at", "context"}:
            series[f"{log}/{key}"] = [row[key] for row in rows]
    for name, values in series.items():
        last = attribute(metrics[name], VALUE)
        assert equal_or_nan(float(last), float(values[-1])), (trial, name)
        assert attribute(metrics[name], "swath:count") == len(values), (trial, name)
    return len(series)


def check_activity(document, study, trial):
    """Checks the execution of a trial: its times, state, model and data set."""
    activities = {attribute(record, LABEL): record for record in document.get_records(ProvActivity)}
    activity = activities[f"trial {trial}"]
    assert activity.get_startTime() < activity.get_endTime()
    assert attribute(activity, "swath:state") == study.states[trial]
    model = entities(document, "provml:Model")[f"m{trial}.bin"]
    generations = relations(document, ProvGeneration)
    assert (model.identifier, activity.identifier) in generations, generations
    dataset = entities(document, "swath:Dataset")["data"]
    usages = relations(document, ProvUsage)
    assert (activity.identifier, dataset.identifier) in usages, usages


def yprov_getters(folder):
    """Returns yProv4ML's module of getters. The package itself needs PyTorch, the module does not:
    of what it imports, xarray is for file types that swath does not write."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-deps", "--target", folder, "yProv4ML==3.2.8"]
    subprocess.run(install, check=True, timeout=300)
    sys.modules.setdefault("xarray", types.ModuleType("xarray"))
    path = Path(folder) / "yprov4ml" / "utils" / "getters.py"
    spec = importlib.util.spec_from_file_location("getters", path)
    getters = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(getters)
    return getters


def check_getters(getters, study, trial):
    """Compares all values of all metrics, as yProv4ML finds them from the folder of the documents.
    Returns their number."""
    document = f"trial-{trial}.json"
    assert f"run:trial-{trial}" in getters.list_activities(document)
    paths = getters.list_metric_paths(document, source="swath", file_type="csv")
    assert paths and len(paths) == len(getters.list_entities(document, "provml:Metric")), paths
    expected = {("report", "val_loss"): [row["val_loss"] for _, row in study.reports[trial]]}
    for log, rows in study.metrics(trial).items():
        for key in set(rows[0]) - {"step", "batch", "at", "context"}:
            expected[log, key] = [row[key] for row in rows]
    count = 0
    for (log, key), values in expected.items():
        table = getters.get_metric(document, key, context=log, source="swath")
        assert table is not None, (log, key, paths)
        assert list(table.columns) == ["epoch", "value", "timestep"], table
        assert len(table) == len(values), (log, key, table)
        for found, value in zip(table["value"], values):
            assert equal_or_nan(float(found), float(value)), (log, key, found, value)
        count += len(values)
    frame = getters.list_metrics(document, source="swath")
    assert len(frame) == len(paths), frame
    return count


with tempfile.TemporaryDirectory() as folder:
    study = run_study(folder, '[[tracker]]\nname = "prov"\ncsv = true\n')
    root, compared = study.folder / "trackers/prov", 0
    for trial, params in study.params.items():
        document = load(root / f"trial-{trial}.json")
        check_params(document, params)
        compared += check_metrics(document, study, trial)
        check_activity(document, study, trial)
    activities = load(root / "study.json").get_records(ProvActivity)
    trials = [attribute(record, "swath:trial") for record in activities]
    assert {trial for trial in trials if trial} == set(study.params)
    study.assert_export_is_identical("prov")
    getters = yprov_getters(f"{folder}/yprov")
    os.chdir(root)
    values = sum(check_getters(getters, study, trial) for trial in study.params)
    print(f"prov reads {len(study.params) + 1} documents, {compared} metrics equal, yProv4ML {values} values")
