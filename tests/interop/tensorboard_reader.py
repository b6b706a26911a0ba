"""TensorBoard reads all scalars and texts of a study, and its HParams page compares the trials.

SWATH=target/debug/swath python tensorboard_reader.py
"""
# needs: tensorboard==2.21.0 setuptools<81

import struct
import tempfile

from fixtures.study import equal_or_nan, run_image_study, run_study
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def single_precision(number):
    """Rounds a number to the 32 bits in which TensorBoard stores it."""
    return struct.unpack("f", struct.pack("f", number))[0]


def expected_scalars(study, trial):
    """Returns the steps and values of each tag, by the journal and the metric files."""
    scalars = {}
    for _, values in study.reports[trial]:
        for key, value in values.items():
            scalars.setdefault(key, []).append((values["epoch"], single_precision(value)))
    for log, rows in study.metrics(trial).items():
        for ordinal, row in enumerate(rows):
            step = ordinal if "batch" in row else row.get("step", ordinal)
            for key in set(row) - {"step", "batch", "at", "context"}:
                scalars.setdefault(f"{log}/{key}", []).append((step, single_precision(row[key])))
    return scalars


def decode_texts(accumulator, name):
    events = accumulator.Tensors(f"{name}/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in events]


def check_events(study):
    """Compares the scalars and texts of all trials. Returns the number of scalars."""
    points = 0
    for trial in study.params:
        folder = study.folder / "trackers/tensorboard" / str(trial)
        accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        accumulator.Reload()
        expected = expected_scalars(study, trial)
        tags = accumulator.Tags()["scalars"]
        # result_agreement.py tests the tags of the result.
        reported = {tag for tag in tags if not tag.startswith("result/")}
        assert reported == set(expected), (tags, set(expected))
        for tag, series in expected.items():
            actual = [(event.step, event.value) for event in accumulator.Scalars(tag)]
            assert len(actual) == len(series), (trial, tag)
            for (step, value), (expected_step, expected_value) in zip(actual, series):
                assert step == expected_step, (trial, tag, actual, series)
                assert equal_or_nan(value, expected_value), (trial, tag, actual, series)
            points += len(actual)
        notes = decode_texts(accumulator, "note")
        assert notes == [f"a nöte of trial {trial}"], notes
        words = decode_texts(accumulator, "wort")
        assert words == [f"wört {epoch}" for epoch in range(1, len(words) + 1)] and words, words
    return points


def check_hparams(study):
    """Checks the HParams page and returns the number of its trials."""
    logdir = str(study.folder / "trackers/tensorboard")
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
        allowed_statuses=[
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_UNKNOWN,
        ],
        col_params=[api_pb2.ColParams(hparam=name) for name in names]
        + [api_pb2.ColParams(metric=api_pb2.MetricName(tag=tag)) for tag in metrics],
    )
    response = list_session_groups.Handler(
        request_context, context, experiment_id="", request=request
    ).run()
    groups = {int(group.name): group for group in response.session_groups}
    assert set(groups) == set(study.params), set(groups)
    for trial, params in study.params.items():
        actual = {
            key: getattr(value, value.WhichOneof("kind"))
            for key, value in groups[trial].hparams.items()
        }
        assert actual == params, (actual, params)
        status = groups[trial].sessions[0].status
        # The plugin has no word for a stopped trial.
        expected = {
            "failed": api_pb2.STATUS_FAILURE,
            "complete": api_pb2.STATUS_SUCCESS,
            "stopped": api_pb2.STATUS_UNKNOWN,
        }[study.states[trial]]
        assert status == expected, (trial, status)
        last = {value.name.tag: value.value for value in groups[trial].metric_values}
        assert equal_or_nan(
            last["val_loss"], single_precision(study.reports[trial][-1][1]["val_loss"])
        ), last
    return len(groups)


def check_image(folder):
    study, image = run_image_study(folder, "tensorboard")
    accumulator = EventAccumulator(str(study / "trackers/tensorboard/1"))
    accumulator.Reload()
    (event,) = accumulator.Images("image/plots/roc")
    size = (event.step, event.width, event.height)
    assert size == (7, 2, 3) and event.encoded_image_string == image, event


with tempfile.TemporaryDirectory() as folder:
    check_image(folder)
with tempfile.TemporaryDirectory() as folder:
    study = run_study(folder, '[[tracker]]\nname = "tensorboard"\n')
    points, trials = check_events(study), check_hparams(study)
    study.assert_export_is_identical("tensorboard")
    print(f"TensorBoard reads {points} points and compares {trials} trials")
