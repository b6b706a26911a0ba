"""The prov library reads every document of a study, equal after a round trip, with the parameters, metrics and files of the journal.

SWATH=target/debug/swath python prov_reader.py
"""
# needs: prov==3.2.3 pydot==4.0.1

import tempfile

import pydot
from fixtures.study import make, same
from prov.model import ProvActivity, ProvDocument, ProvEntity, ProvGeneration, ProvUsage

LABEL, VALUE, TYPE = "prov:label", "prov:value", "prov:type"


def one(record, name):
    found = [value for key, value in record.attributes if str(key) == name]
    assert len(found) <= 1, (record, name)
    return found[0] if found else None


def load(path):
    document = ProvDocument.deserialize(str(path), format="json")
    assert ProvDocument.deserialize(content=document.serialize(), format="json") == document, path
    document.unified()
    graphs = pydot.graph_from_dot_file(str(path.with_suffix(".dot")), encoding="utf-8")
    assert graphs and len(graphs[0].get_edges()) > 0, path
    return document


def entities(document, kind):
    records = [
        record for record in document.get_records(ProvEntity) if str(one(record, TYPE)) == kind
    ]
    return {one(record, LABEL): record for record in records}


with tempfile.TemporaryDirectory() as folder:
    made = make(folder, '[[tracker]]\nname = "prov"\n')
    root, compared = made.folder / "trackers/prov", 0
    for trial, params in made.params.items():
        document = load(root / f"trial-{trial}.json")
        found = {
            name: one(record, VALUE)
            for name, record in entities(document, "provml:HyperParameter").items()
        }
        assert found == params and all(
            type(found[name]) is type(params[name]) for name in params
        ), (found, params)
        metrics = entities(document, "provml:Metric")
        for name in ("val_loss", "größe", "epoch"):
            series = [values[name] for _, values in made.reports[trial]]
            assert same(float(one(metrics[name], VALUE)), float(series[-1])), (trial, name)
            assert one(metrics[name], "swath:count") == len(series), (trial, name)
            compared += 1
        for log, rows in made.metrics(trial).items():
            for key in set(rows[0]) - {"step", "batch", "at", "context"}:
                assert same(one(metrics[f"{log}/{key}"], VALUE), float(rows[-1][key])), (
                    trial,
                    log,
                    key,
                )
                assert one(metrics[f"{log}/{key}"], "swath:count") == len(rows)
                compared += 1
        activities = {one(record, LABEL): record for record in document.get_records(ProvActivity)}
        activity = activities[f"trial {trial}"]
        assert activity.get_startTime() < activity.get_endTime()
        assert one(activity, "swath:state") == made.states[trial]
        model = entities(document, "provml:Model")[f"m{trial}.bin"]
        made_by = [record.args for record in document.get_records(ProvGeneration)]
        assert any(
            args[0] == model.identifier and args[1] == activity.identifier for args in made_by
        )
        data = entities(document, "swath:Dataset")["data"]
        used = [record.args for record in document.get_records(ProvUsage)]
        assert any(args[0] == activity.identifier and args[1] == data.identifier for args in used)
    study = load(root / "study.json")
    trials = [record for record in study.get_records(ProvActivity) if one(record, "swath:trial")]
    assert {one(record, "swath:trial") for record in trials} == set(made.params)
    made.again("prov")
    print(f"prov reads {len(trials) + 1} documents, {compared} metrics equal")
