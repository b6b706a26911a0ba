"""The prov library reads all documents of a study, with the parameters, metrics and files of the
journal. The documents are equal after a round trip.

SWATH=target/debug/swath python prov_reader.py
"""
# needs: prov==3.2.3 pydot==4.0.1

import tempfile

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


with tempfile.TemporaryDirectory() as folder:
    study = run_study(folder, '[[tracker]]\nname = "prov"\n')
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
    print(f"prov reads {len(study.params) + 1} documents, {compared} metrics equal")
