"""TensorBoard reads every scalar and text of a study, and its HParams page compares the trials.

SWATH=target/debug/swath python tensorboard_reader.py
"""
# needs: tensorboard==2.21.0 setuptools<81

import struct
import tempfile

from fixtures.study import make, same
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def single(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def scalars(made, trial):
    """What the journal and the metric files say: tag → [(step, value)]."""
    wanted = {}
    for _, values in made.reports[trial]:
        for key, value in values.items():
            wanted.setdefault(key, []).append((values["epoch"], single(value)))
    for log, rows in made.metrics(trial).items():
        for ordinal, row in enumerate(rows):
            step = ordinal if "batch" in row else row.get("step", ordinal)
            for key in set(row) - {"step", "batch", "at", "context"}:
                wanted.setdefault(f"{log}/{key}", []).append((step, single(row[key])))
    return wanted


def compare(made):
    points = 0
    for trial in made.params:
        accumulator = EventAccumulator(
            str(made.folder / "trackers/tensorboard" / str(trial)), size_guidance={"scalars": 0}
        )
        accumulator.Reload()
        wanted = scalars(made, trial)
        tags = accumulator.Tags()
        reported = {
            tag for tag in tags["scalars"] if not tag.startswith("result/")
        }  # see result_agreement.py
        assert reported == set(wanted), (tags["scalars"], set(wanted))
        for tag, series in wanted.items():
            found = [(event.step, event.value) for event in accumulator.Scalars(tag)]
            assert len(found) == len(series), (trial, tag)
            assert all(f[0] == w[0] and same(f[1], w[1]) for f, w in zip(found, series)), (
                trial,
                tag,
                found,
                series,
            )
            points += len(found)
        notes = [
            event.tensor_proto.string_val[0].decode()
            for event in accumulator.Tensors("note/text_summary")
        ]
        assert notes == [f"a nöte of trial {trial}"], notes
        words = [
            event.tensor_proto.string_val[0].decode()
            for event in accumulator.Tensors("wort/text_summary")
        ]
        assert words == [f"wört {1 + at}" for at in range(len(words))] and words, words
    return points


def hparams(made):
    logdir = str(made.folder / "trackers/tensorboard")
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, logdir)
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request_context = RequestContext()
    runs = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(request_context, "", True, runs, [])
    names = [info.name for info in experiment.hparam_infos]
    assert experiment.name == "étude", experiment.name
    assert sorted(names) == sorted(["lr", "größe", "layers", "nesterov"]), names
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics[:3] == ["result/objective.val_loss", "result/best_step", "val_loss"], metrics
    assert "größe" in metrics, metrics
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        col_params=[api_pb2.ColParams(hparam=name) for name in names]
        + [api_pb2.ColParams(metric=api_pb2.MetricName(tag=tag)) for tag in metrics],
    )
    response = list_session_groups.Handler(
        request_context, context, experiment_id="", request=request
    ).run()
    groups = {int(group.name): group for group in response.session_groups}
    assert set(groups) == set(made.params), set(groups)
    for trial, params in made.params.items():
        found = {
            key: getattr(value, value.WhichOneof("kind"))
            for key, value in groups[trial].hparams.items()
        }
        assert found == params, (found, params)
        status = groups[trial].sessions[0].status
        wanted = (
            api_pb2.STATUS_FAILURE if made.states[trial] == "failed" else api_pb2.STATUS_SUCCESS
        )  # it knows no other
        assert status == wanted, (trial, status)
        last = {value.name.tag: value.value for value in groups[trial].metric_values}
        assert same(last["val_loss"], single(made.reports[trial][-1][1]["val_loss"])), last
    return len(groups)


with tempfile.TemporaryDirectory() as folder:
    made = make(folder, '[[tracker]]\nname = "tensorboard"\n')
    points, groups = compare(made), hparams(made)
    made.again("tensorboard")
    print(f"TensorBoard reads {points} points and compares {groups} trials")
