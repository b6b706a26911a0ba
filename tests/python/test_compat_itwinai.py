"""`swath.compat.itwinai`: the guide's training loop, every value compared with what was logged."""

import json
import struct
import sys
import zlib

import pytest
import swath
from swath.compat import itwinai

TRAIN = """
    import json, math, swath
    from swath.compat.itwinai import MLFlowLogger

    params = swath.params(lr=0.1)
    my_logger = MLFlowLogger(experiment_name="may_awesome_experiment", log_freq=2)
    my_logger.create_logger_context()
    my_logger.save_hyperparameters({"batch_size": 8, "layers": [1, 2]})

    class Net:
        weight = 4.0

    my_net, wanted = Net(), {"batch": [], "epoch": []}
    for epoch in range(3):
        loss_accumulator = 0.0
        for batch_idx in range(5):
            my_net.weight -= params.lr * my_net.weight
            loss = my_net.weight**2
            my_logger.log(
                item=loss, identifier="my_training_loss_batch", kind="metric", batch_idx=batch_idx
            )
            if batch_idx % 2 == 0:
                wanted["batch"].append([batch_idx, loss])
            loss_accumulator += loss
        epoch_loss = loss_accumulator / 5
        wanted["epoch"].append(epoch_loss)
        my_logger.log(item=epoch_loss, identifier="my_training_loss_epoch", kind="metric")
    my_logger.log(item=my_net, identifier="trained_model", kind="model")
    my_logger.destroy_logger_context()
    with open("wanted.json", "w") as file:
        json.dump(wanted, file)
"""

SWEEP = """
[objective]
metric = "{metric}"
goal = "min"
[search]
sampler = "random"
trials = 1
[space]
lr = {{ min = 0.1, max = 0.2 }}
"""


def rows(folder, log="metrics"):
    path = folder.path / f"logs/s/1/metrics/{log}.json"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "at"} for row in lines]


def test_the_loop_of_the_guide_runs_by_hand_and_prints_its_epochs(folder):
    folder.script(TRAIN)
    done = folder.python()
    assert done.returncode == 0, done.stderr
    starts = [line.rsplit("=", 1)[0] for line in done.stdout.splitlines()]
    assert starts == [f"step={n} my_training_loss_epoch" for n in (1, 2, 3)]
    assert not (folder.path / "mllogs").exists()


def test_every_value_arrives_and_the_epochs_are_reports(folder):
    folder.script(TRAIN)
    [trial] = folder.run(SWEEP.format(metric="my_training_loss_epoch"))
    wanted = json.loads((folder.path / "wanted.json").read_text())
    assert len(wanted["batch"]) == 9
    assert rows(folder) == [
        {"my_training_loss_batch": loss, "batch": batch} for batch, loss in wanted["batch"]
    ]
    reports = [row["values"] for row in swath.read("logs/s", long=True)]
    assert reports == [
        {"my_training_loss_epoch": loss, "step": n + 1} for n, loss in enumerate(wanted["epoch"])
    ]
    records = trial["records"]
    params = {r["param"]["name"]: r["param"]["value"] for r in records if "param" in r}
    assert params == {"batch_size": 8, "layers": [1, 2]}
    [model] = [record["model"] for record in records if "model" in record]
    assert model["model_path"].endswith("artifacts/model/trained_model.pkl"), model
    assert [r for r in records if "warning" in r or "note" in r] == []


def test_a_model_is_recorded_though_the_logs_are_elsewhere(folder, tmp_path_factory):
    folder.script(TRAIN)
    logs = tmp_path_factory.mktemp("elsewhere")
    head = f'name = "s"\n[run]\ncommand = [{json.dumps(sys.executable)}, "train.py"]\n'
    (folder.path / "s.toml").write_text(head + SWEEP.format(metric="my_training_loss_epoch"))
    done = folder.swath("run", "s.toml", "--logs", str(logs))
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    [trial] = swath.read(logs / "s").rows()
    [model] = [record["model"] for record in trial["records"] if "model" in record]
    assert model["model_path"] == ".swath/s/1/artifacts/model/trained_model.pkl"


def test_a_scheduler_counts_the_epochs_of_a_logger_without_steps(folder):
    folder.script(TRAIN)
    asha = '[scheduler]\nname = "asha"\nresource = "epoch"\nmin = 1\nmax = 3\n'
    [trial] = folder.run(SWEEP.format(metric="my_training_loss_epoch") + asha)
    assert trial["step"] == 3.0
    reports = [row["values"]["epoch"] for row in swath.read("logs/s", long=True)]
    assert reports == [1, 2, 3]


@pytest.mark.parametrize(
    "log_freq, batches",
    [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (5, [0]), ("batch", [0, 1, 2, 3, 4]), ("epoch", [])],
)
def test_the_frequency_decides_over_batches_and_never_over_epochs(log_freq, batches):
    logger = itwinai.Logger(log_freq=log_freq)
    assert [n for n in range(5) if logger.should_log(n)] == batches
    assert logger.should_log()


def test_only_listed_workers_log():
    def workers(log_on_workers):
        found = []
        for rank in range(4):
            logger = itwinai.Logger(log_on_workers=log_on_workers)
            logger.create_logger_context(rank=rank)
            found += [rank] if logger.should_log() else []
        return found

    assert workers(0) == [0] and workers(2) == [2] and workers(-1) == [0, 1, 2, 3]
    assert workers([1, 3]) == [1, 3]


def test_wrong_settings_and_the_wrong_order_are_errors():
    for log_freq in (0, -2, "epochs"):
        with pytest.raises(ValueError, match="`log_freq` is"):
            itwinai.Logger(log_freq=log_freq)
    for call in (
        lambda logger: logger.log(1, "x"),
        lambda logger: logger.destroy_logger_context(),
        lambda logger: logger.save_hyperparameters({}),
    ):
        with pytest.raises(RuntimeError, match="create_logger_context"):
            call(itwinai.ConsoleLogger())
    with pytest.raises(ValueError, match="one type"):
        itwinai.LoggersCollection([itwinai.MLFlowLogger(), itwinai.MLFlowLogger()])
    itwinai.EmptyLogger().log(1, "x")


def test_a_value_of_another_rank_does_not_decide(folder):
    folder.script("""
        from swath.compat.itwinai import ConsoleLogger
        for rank in (1, 0):
            logger = ConsoleLogger(log_on_workers=-1)
            with logger.start_logging(rank=rank):
                for epoch in range(2):
                    logger.log(rank * 10.0 + epoch, "loss", step=epoch)
    """)
    [trial] = folder.run(SWEEP.format(metric="loss"))
    assert trial["reports"] == 2 and trial["objectives"] == {"loss": 0.0}
    assert rows(folder) == [
        {"loss": 10.0 + epoch, "step": epoch, "rank": 1} for epoch in range(2)
    ]


def test_a_collection_records_an_item_once_and_every_kind_arrives(folder):
    numpy = pytest.importorskip("numpy")
    folder.script("""
        import numpy, os
        from swath.compat.itwinai import (
            ConsoleLogger, EmptyLogger, LoggersCollection, MLFlowLogger, Prov4MLLogger,
            TensorBoardLogger, WandBLogger,
        )
        logger = LoggersCollection([
            ConsoleLogger(log_freq=2), MLFlowLogger(log_freq=3), WandBLogger(), TensorBoardLogger(),
            Prov4MLLogger(), EmptyLogger(),
        ])
        with logger.start_logging(rank=0):
            logger.save_hyperparameters({"depth": 2})
            for batch in range(7):
                logger.log(batch / 2, "x", batch_idx=batch)
            logger.log(0.5, "loss", "metric", step=1, context="validation")
            open("a.txt", "w").write("file")
            os.mkdir("data")
            open("data/b", "w").write("1")
            logger.log("a.txt", "files", "artifact")
            logger.log({"any": "object"}, "object", "artifact")
            logger.log("hello", "greeting", "text")
            logger.log({"cats": [9, 1]}, "confusion", "dict")
            logger.log("adam", "optimizer", "param")
            logger.log("data", "train", "dataset")
            logger.log({"w": 1}, "net", "best_model", step=1)
            logger.log(numpy.arange(24, dtype="uint8").reshape(2, 4, 3), "pixels", "image", step=1)
            logger.log([1, 2], "tensors", "torch")
            logger.log(3e9, "flops", "flops_pe", step=1)
            logger.log(None, "system", "system", step=1)
            logger.log(None, "seconds", "execution_time", step=1)
            logger.log(None, "carbon", "carbon", step=1)
            logger.log(None, "net", "watch")
            logger.log(None, "prov", "prov_documents")
            logger.log(1, "x", "metrics")
    """)
    [trial] = folder.run(SWEEP.format(metric="validation.loss"))
    records = trial["records"]
    assert [record["warning"] for record in records if "warning" in record] == []
    batches = [(row["batch"], row["x"]) for row in rows(folder) if "x" in row]
    assert batches == [(batch, batch / 2) for batch in (0, 2, 3, 4, 6)]
    assert trial["objectives"] == {"validation.loss": 0.5} and trial["reports"] == 1
    assert rows(folder, "validation") == [{"loss": 0.5, "step": 1, "context": "validation"}]
    artifacts = folder.path / "logs/s/1/artifacts"
    assert (artifacts / "file/a.txt").read_text() == "file"
    assert (artifacts / "text/greeting.txt").read_text() == "hello"
    assert json.loads((artifacts / "dict/confusion.json").read_text()) == {"cats": [9, 1]}
    png = (artifacts / "image/pixels.png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (4, 2)
    length = struct.unpack(">I", png[33:37])[0]
    pixels = zlib.decompress(png[41 : 41 + length])
    assert [pixels[n * 13 + 1 : n * 13 + 13] for n in (0, 1)] == [
        bytes(range(12)),
        bytes(range(12, 24)),
    ]
    params = {r["param"]["name"]: r["param"]["value"] for r in records if "param" in r}
    assert params == {"depth": 2, "optimizer": "adam"}
    kinds = [next(iter(record)) for record in records]
    assert kinds.count("artifact") == 6, records
    assert kinds.count("dataset") == 1 and kinds.count("model") + kinds.count("best_model") == 1
    flat = {name for row in rows(folder) for name in row}
    assert {"flops_per_epoch", "cpu_usage", "memory_usage", "seconds"} <= flat, flat
    notes = [record["note"]["text"] for record in records if "note" in record]
    assert [note.split("`")[1] for note in notes if "`" in note][-3:] == [
        "watch",
        "prov_documents",
        "metrics",
    ], notes
