"""`swath.compat.prov4ml`: the calls of the guide, every value compared with what was logged."""

import hashlib
import json

import pytest
import swath

# A line is fitted to points, with an optimizer and a model that look like those of PyTorch.
TRAIN = """
    import json, sys
    import swath.compat.prov4ml as prov4ml

    class Optimizer:
        def __init__(self, lr):
            self.param_groups = [{"lr": lr, "momentum": 0.9}]

    class Line:
        slope = 0.0

    with prov4ml.start_run(
        prov_user_namespace="www.example.org",
        experiment_name="fit",
        provenance_save_dir="prov",
        save_after_n_logs=100,
    ):
        params = __import__("swath").params(lr=0.2)
        model, optimizer = Line(), Optimizer(params.lr)
        prov4ml.log_param("param_name", "param_value")
        prov4ml.log_params({"epochs": 5, "data": {"size": 4, "names": ["a", "b"]}, "seed": None})
        wanted = []
        for epoch in range(5):
            for batch in range(3):
                model.slope += params.lr * (3 - model.slope)
            loss = (3 - model.slope) ** 2
            prov4ml.log_metric("loss", loss, prov4ml.Context.TRAINING, step=epoch)
            prov4ml.log_metrics(
                {
                    "loss": (loss * 2, prov4ml.Context.VALIDATION),
                    "gap": (loss / 2, prov4ml.Context.VALIDATION),
                },
                epoch,
                synchronous=False,
            )
            prov4ml.save_model_version(model, "line", prov4ml.Context.TRAINING, epoch)
            wanted.append([epoch, loss])
        prov4ml.log_metric("score", 1 - loss, prov4ml.Context.TESTING, timestamp=1700000000250)
        with open("notes.txt", "w") as file:
            file.write("done")
        prov4ml.log_artifact("notes.txt")
        prov4ml.log_model(model, "final")
        prov4ml.log_optimizer(optimizer)
        prov4ml.log_system_metrics(prov4ml.Context.TRAINING, epoch)
        prov4ml.log_carbon_metrics(prov4ml.Context.TRAINING, epoch)
        prov4ml.log_current_execution_time("seconds", prov4ml.Context.TRAINING, epoch)
        prov4ml.log_flops_per_epoch("flops", model, [(1, 2)], prov4ml.Context.TRAINING, epoch)
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
lr = {{ min = 0.1, max = 0.3 }}
"""


def rows(folder, log):
    path = folder.path / f"logs/s/1/metrics/{log}.json"
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "at"} for row in rows]


def test_the_calls_of_the_guide_run_by_hand_and_print_the_metrics(folder):
    folder.script(TRAIN)
    done = folder.python()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    starts = [line.rsplit("=", 1)[0] for line in lines[:2]]
    assert starts[0] == "step=0 train.loss" and starts[1].startswith("step=0 validation.loss=")
    assert not (folder.path / "prov").exists() and not (folder.path / "logs").exists()


@pytest.mark.parametrize("factor, metric", [(1, "train.loss"), (2, "validation.loss")])
def test_every_value_arrives_in_its_context_and_the_objective_is_reported(folder, factor, metric):
    folder.script(TRAIN)
    [trial] = folder.run(SWEEP.format(metric=metric))
    wanted = json.loads((folder.path / "wanted.json").read_text())
    assert len(wanted) == 5
    train = [row for row in without_time(rows(folder, "train")) if "loss" in row]
    assert train == [{"loss": loss, "step": epoch, "context": "train"} for epoch, loss in wanted]
    assert without_time(rows(folder, "validation")) == [
        {"loss": loss * 2, "gap": loss / 2, "step": epoch, "context": "validation"}
        for epoch, loss in wanted
    ]
    test = rows(folder, "test")
    assert test == [{"score": 1 - wanted[-1][1], "context": "test", "at": 1700000000.25}]
    reports = [row["values"] for row in swath.read("logs/s", long=True)]
    assert [(row["step"], row[metric]) for row in reports] == [
        (epoch, loss * factor) for epoch, loss in wanted
    ]
    if factor == 2:
        # The other value of the same call is part of the report.
        assert [row["validation.gap"] for row in reports] == [loss / 2 for _, loss in wanted]


def test_parameters_models_and_files_arrive(folder):
    folder.script(TRAIN)
    [trial] = folder.run(SWEEP.format(metric="train.loss"))
    records = trial["records"]
    params = {r["param"]["name"]: r["param"]["value"] for r in records if "param" in r}
    assert params == {
        "param_name": "param_value",
        "epochs": 5,
        "data.size": 4,
        "data.names": ["a", "b"],
        "seed": "None",
        "optimizer_name": "Optimizer",
        "optimizer_lr": trial["params"]["lr"],
    }
    models = [record["model"] for record in records if "model" in record]
    assert [model["model_path"].split("artifacts/")[-1] for model in models] == [
        *[f"model/line/line_{n}.pkl" for n in range(5)],
        "model/final.pkl",
    ], models
    assert [model.get("step") for model in models] == [0, 1, 2, 3, 4, None]
    for model in models:
        # swath holds the bytes of every version, which is the slope of that epoch.
        with open(folder.path / "logs/s/1" / model["held"], "rb") as file:
            data = file.read()
        assert hashlib.md5(data).hexdigest() == model["md5"]
    assert len({model["md5"] for model in models}) == 5
    artifact = folder.path / "logs/s/1/artifacts/file/notes.txt"
    assert artifact.read_text() == "done"
    [usage] = [row for row in rows(folder, "train") if "memory_usage" in row]
    assert 0 < usage["memory_usage"] < 100 and 0 < usage["disk_usage"] <= 100
    [time] = [row for row in rows(folder, "train") if "seconds" in row]
    assert 0 <= time["seconds"] < 60
    notes = [record["note"]["text"] for record in records if "note" in record]
    assert len(notes) == 2 and "log_carbon_metrics" in notes[0] and "counted" in notes[1]
    assert [r["warning"] for r in records if "warning" in r] == []


def test_values_before_a_kill_are_there(folder):
    folder.script("""
        import os, signal
        import swath.compat.prov4ml as prov4ml
        prov4ml.start_run("www.example.org", experiment_name="fit")
        first = 0 if os.environ["SWATH_ATTEMPT"] == "1" else 500
        for step in range(first, 1000):
            prov4ml.log_metric("x", step / 8, "TRAINING", step=step)
            if step == 499:
                os.kill(os.getpid(), signal.SIGKILL)
        prov4ml.log_metric("loss", 0.5, prov4ml.Context.TESTING)
        prov4ml.end_run(create_graph=True, create_svg=True)
    """)
    [trial] = folder.run(SWEEP.format(metric="test.loss") + "[retry]\ntimes = 1\n")
    assert trial["attempts"] == 2 and trial["objectives"] == {"test.loss": 0.5}
    # The metrics of an attempt that left no checkpoint are kept beside those of the next one.
    path = folder.path / "logs/s/1/attempts/1/metrics/train.json"
    before = [json.loads(line) for line in path.read_text().splitlines()]
    assert without_time(before + rows(folder, "train")) == [
        {"x": step / 8, "step": step, "context": "train"} for step in range(1000)
    ]


def test_two_objectives_of_a_step_are_one_report(folder):
    folder.script("""
        import swath.compat.prov4ml as prov4ml
        prov4ml.start_run("www.example.org")
        for step in range(4):
            prov4ml.log_metric("loss", 1 / (step + 1), "training", step=step)
            prov4ml.log_metric("other", 1, "training", step=step)
            prov4ml.log_metric("cost", step, "validation", step=step)
        prov4ml.log_metric("loss", 9.0, "training", step=4)
        prov4ml.log_metric("loss", 8.0, "training", step=5)
        prov4ml.log_metric("cost", 5, "validation", step=5)
        prov4ml.log_metric("loss", 7.0, "training", step=6)
    """)
    sweep = SWEEP.format(metric="loss").replace(
        "[objective]", "[[objective]]\nmetric = 'validation.cost'\ngoal = 'min'\n[[objective]]"
    )
    folder.run(sweep)
    reports = [row["values"] for row in swath.read("logs/s", long=True)]
    assert reports == [
        *[{"loss": 1 / (n + 1), "validation.cost": n, "step": n} for n in range(4)],
        # Two of them came without their partner.
        {"loss": 9.0, "step": 4},
        {"loss": 8.0, "validation.cost": 5, "step": 5},
        {"loss": 7.0, "step": 6},
    ]


def test_an_objective_that_two_contexts_log_is_named_once(folder):
    folder.script("""
        import swath.compat.prov4ml as prov4ml
        prov4ml.start_run("www.example.org")
        for step in range(3):
            prov4ml.log_metric("loss", 1.0, "training", step=step)
            prov4ml.log_metric("loss", 2.0, "validation", step=step)
    """)
    [trial] = folder.run(SWEEP.format(metric="loss"))
    notes = [record["note"]["text"] for record in trial["records"] if "note" in record]
    assert notes == [
        "warning: `loss` is logged in `train` and in `validation`, and both decide; name one of "
        'them in the sweep file: metric = "validation.loss"'
    ]


def test_a_module_of_torch_is_counted_and_saved(folder):
    pytest.importorskip("torch")
    folder.script("""
        import torch
        import swath.compat.prov4ml as prov4ml
        prov4ml.start_run("www.example.org")
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
        data = [(torch.zeros(4), 1)] * 10
        prov4ml.log_flops_per_epoch("flops_pe", model, data, prov4ml.Context.TRAINING, step=1)
        prov4ml.log_flops_per_batch("flops_pb", model, (torch.zeros(5, 4), 1), "training", step=1)
        prov4ml.log_optimizer(torch.optim.SGD(model.parameters(), lr=0.25))
        prov4ml.log_model(model, "net")
        assert model.training
        prov4ml.log_metric("loss", torch.tensor(0.5), "testing", step=1)
        state = torch.load(__import__("glob").glob("logs/s/1/artifacts/model/net.pth")[0])
        assert torch.equal(state["0.weight"], model[0].weight)
    """)
    [trial] = folder.run(SWEEP.format(metric="test.loss"))
    assert trial["objectives"] == {"test.loss": 0.5}
    # A multiplication and an addition for each weight.
    train = without_time(rows(folder, "train"))
    assert train == [
        {"flops_pe": 2 * (12 + 6) * 10, "step": 1, "context": "train"},
        {"flops_pb": 2 * (12 + 6) * 5, "step": 1, "context": "train"},
    ]
    [facts] = [record["facts"] for record in trial["records"] if "facts" in record]
    assert facts["facts"] == {
        "name": "net",
        "framework": "torch",
        "type": "Sequential",
        "parameters": 23,
        "memory": 92,
    }
    params = {r["param"]["name"]: r["param"]["value"] for r in trial["records"] if "param" in r}
    assert params == {"optimizer_name": "SGD", "optimizer_lr": 0.25}


def test_the_argument_orders_of_later_versions_are_understood(folder):
    folder.script("""
        import swath.compat.prov4ml as prov4ml
        with prov4ml.start_run_ctx("www.example.org", "fit", "prov", False, 100, None):
            open("a.txt", "w").write("a")
            prov4ml.log_artifact("label", "a.txt", prov4ml.Context.TRAINING)
            prov4ml.log_model("net", {"w": 1}, prov4ml.Context.MODELS)
            prov4ml.save_model_version("net", {"w": 2}, prov4ml.Context.TRAINING, 3)
            prov4ml.log_metric("loss", 0.5, prov4ml.Context.TESTING, 3, False)
            prov4ml.log_param("depth", 2, prov4ml.Context.TRAINING)
            prov4ml.log_dataset("digits", "a.txt")
            prov4ml.log_dataset("loader", [1, 2, 3])
            prov4ml.log_execution_start_time()
    """)
    [trial] = folder.run(SWEEP.format(metric="loss"))
    records = trial["records"]
    assert trial["objectives"] == {"loss": 0.5} and trial["step"] == 3
    assert (folder.path / "logs/s/1/artifacts/file/a.txt").read_text() == "a"
    models = [record["model"]["model_path"] for record in records if "model" in record]
    assert [path.split("model/")[1] for path in models] == ["net.pkl", "net/net_0.pkl"]
    assert [r["dataset"]["data_dir"] for r in records if "dataset" in r] == ["a.txt"]
    params = {r["param"]["name"]: r["param"]["value"] for r in records if "param" in r}
    assert params.pop("execution_start_time") > 1.7e9
    assert params == {"depth": 2, "loader.samples": 3}


def fit(trial):
    from swath.compat import prov4ml

    with prov4ml.start_run("www.example.org"):
        for step in range(3):
            prov4ml.log_metric("loss", trial.params.x + step, prov4ml.Context.TRAINING, step=step)


def test_a_function_of_optimize_reports_through_the_calls(folder):
    study = swath.optimize(fit, {"x": (0.0, 1.0)}, trials=2, metric="loss", goal="min", seed=1)
    for trial in study.read().rows():
        assert trial["objectives"]["loss"] == pytest.approx(trial["params"]["x"])
        assert trial["reports"] == 3
