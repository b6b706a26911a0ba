"""``swath.compat.wandb``: scripts for W&B run after their import is changed."""

import os

import pytest
import swath
from swath.compat import wandb
from swath.compat._unsupported import Unsupported

SCRIPT = """
    import swath.compat.wandb as wandb

    with wandb.init(project="p", config={"lr": 0.5, "epochs": 3}, tags=["a"]) as run:
        wandb.define_metric("batch_loss", summary="min")
        for epoch in range(wandb.config.epochs):
            for batch in range(2):
                wandb.log({"batch_loss": 10.0 - epoch - batch})
            run.log({"loss": wandb.config["lr"] / (epoch + 1), "epoch": epoch, "val": {"f1": 0.5}})
        run.summary["note"] = "good"
"""


def _outputs(trial):
    """Returns the results that a trial recorded, by their names."""
    outputs = [record["output"] for record in trial["records"] if "output" in record]
    return {output["name"]: output["value"] for output in outputs}


@pytest.fixture(autouse=True)
def no_run_is_left():
    yield
    wandb._run = None
    wandb._sweeps.clear()


def test_a_script_reports_its_objective_and_records_the_rest(folder, one_trial):
    folder.script(SCRIPT)
    [trial] = folder.run(one_trial)
    lr = trial["params"]["lr"]
    assert trial["state"] == "complete" and 0.1 <= lr <= 0.2
    assert trial["reports"] == 3 and trial["metrics"]["loss"]["last"] == pytest.approx(lr / 3)
    assert trial["metrics"]["val.f1"]["last"] == 0.5
    rows = (folder.path / "logs/s/1/metrics/metrics.json").read_text().splitlines()
    assert len(rows) == 6
    assert _outputs(trial) == {"note": "good", "batch_loss.min": 7.0}
    assert {"param": {"name": "epochs", "value": 3}} in trial["records"]


def test_by_hand_rows_are_printed_and_the_defaults_hold(folder):
    folder.script(SCRIPT)
    done = folder.python()
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines()[2] == "step=2 loss=0.5 epoch=0 val.f1=0.5"
    assert os.listdir(folder.path) == ["train.py"]


def test_rows_of_one_step_are_one_row(folder, capsys):
    run = wandb.init()
    run.log({"a": 1}, step=1)
    run.log({"b": 2}, step=1)
    run.log({"a": 3}, step=2, commit=True)
    with pytest.warns(swath.SwathWarning, match="steps only grow"):
        run.log({"a": 4}, step=1)
    run.log({"c": 5}, commit=False)
    run.log({"d": 6})
    run.finish()
    assert capsys.readouterr().out.splitlines() == [
        "step=1 a=1 b=2",
        "step=2 a=3",
        "step=3 c=5 d=6",
    ]
    with pytest.raises(wandb.Error, match="finished"):
        run.log({"a": 1})
    with pytest.raises(wandb.Error, match="wandb.init"):
        wandb.log({"a": 1})


def test_a_scheduler_ends_the_script(folder):
    folder.script(
        """
        import swath.compat.wandb as wandb
        wandb.init()
        for epoch in range(1, 10):
            wandb.log({"loss": wandb.config.x + 1 / epoch, "epoch": epoch})
        """
    )
    trials = folder.run(
        """
        [objective]
        metric = "loss"
        goal = "min"
        [search]
        sampler = "random"
        trials = 8
        [scheduler]
        name = "asha"
        resource = "epoch"
        min = 1
        max = 9
        [space]
        x = { min = 0.0, max = 1.0 }
        """
    )
    assert {trial["state"] for trial in trials} == {"complete", "stopped"}
    stopped = [trial for trial in trials if trial["state"] == "stopped"]
    assert all(trial["metrics"]["loss"]["count"] < 9 for trial in stopped)


def test_a_sweep_runs_in_this_process(folder):
    def function():
        with wandb.init(config={"x": 99.0, "fixed": 1}) as run:
            config = wandb.config
            assert isinstance(config.optimizer["name"], str) and config.layers in ([8], [8, 8])
            assert config.fixed == 1 and config.epochs == 2
            for epoch in range(config.epochs):
                run.log({"loss": (config.x - 1) ** 2 + 1 / (epoch + 1)})

    sweep = wandb.sweep(
        {
            "name": "bowl",
            "method": "bayes",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {
                "x": {"min": -2.0, "max": 2.0},
                "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
                "n": {"min": 1, "max": 9},
                "layers": {"values": [[8], [8, 8]]},
                "epochs": {"value": 2},
                "optimizer": {"parameters": {"name": {"values": ["sgd", "adam"]}}},
            },
        },
        project="p",
    )
    wandb.agent(sweep, function, count=4)
    wandb.agent(sweep, function, count=4)
    trials = folder.trials(sweep)
    assert len(trials) == 8 and {trial["state"] for trial in trials} == {"complete"}
    for trial in trials:
        expected = (trial["params"]["x"] - 1) ** 2 + 0.5
        assert trial["objectives"]["loss"] == pytest.approx(expected)
        assert isinstance(trial["params"]["n"], int) and trial["reports"] == 2


def test_a_grid_needs_no_count_and_hyperband_ends_runs(folder):
    def function():
        wandb.init()
        for step in range(1, 10):
            wandb.log({"lr": 0.1})
            wandb.log({"loss": wandb.config.x + 1 / step})

    sweep = wandb.sweep(
        {
            "method": "grid",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"values": [1, 2, 3, 4, 5, 6]}},
            "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
        }
    )
    wandb.agent(sweep, function)
    trials = folder.trials(sweep)
    assert [trial["params"]["x"] for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert [trial["reports"] for trial in trials][0] == 9
    assert min(trial["reports"] for trial in trials) == 1


def test_media_and_artifacts_are_kept_with_the_trial(folder, one_trial):
    folder.script(
        """
        import os
        import swath.compat.wandb as wandb

        run = wandb.init()
        open("plot.png", "wb").write(b"png")
        os.makedirs("data", exist_ok=True)
        open("data/rows", "w").write("1")
        open("m.bin", "w").write("weights")
        table = wandb.Table(columns=["a", "b"], data=[[1, 2]])
        table.add_data(3, 4)
        wandb.log({
            "loss": 1.0, "errors": table, "plot": wandb.Image("plot.png"),
            "weights": wandb.Histogram([0, 1, 1, 2], num_bins=2), "page": wandb.Html("<p>\\n</p>"),
        })
        model = wandb.Artifact("net", type="model", metadata={"layers": 2})
        model.add_file("m.bin")
        run.log_artifact(model)
        data = wandb.Artifact("digits", type="dataset")
        data.add_dir("data")
        run.log_artifact(data)
        other = wandb.Artifact("report", type="text")
        with other.new_file("report.txt") as file:
            file.write("fine")
        run.log_artifact(other)
        run.alert("done", "all is well")
        run.finish()
        """
    )
    [trial] = folder.run(one_trial)
    stored = folder.path / "logs/s/1/artifacts"
    assert (stored / "table/errors_0.csv").read_text().split() == ["a,b", "1,2", "3,4"]
    assert (stored / "image/plot.png").exists() and (stored / "html/page_0.html").exists()
    assert (stored / "text/report.txt").read_text() == "fine"
    kinds = {kind for record in trial["records"] for kind in record}
    assert {"model", "dataset", "note", "output"} <= kinds
    [model] = [record["model"] for record in trial["records"] if "model" in record]
    assert model["model_path"] == "m.bin" and model["step"] == 0
    assert '"name":"net","layers":2' in (folder.path / "logs/s/1/records.jsonl").read_text()
    assert _outputs(trial)["weights.counts"] == [1.0, 3.0]


def test_what_is_missing_says_what_to_use(folder):
    config = {"method": "random", "parameters": {"x": {"values": [1, 2]}}}
    sweep = wandb.sweep(config)
    with pytest.raises(Unsupported, match="count=20"):
        wandb.agent(sweep, print)
    with pytest.raises(Unsupported, match="swath run"):
        wandb.agent(sweep, count=3)
    with pytest.raises(Unsupported, match="wandb.sweep"):
        wandb.agent("a1b2c3d4", print, count=3)
    with pytest.raises(Unsupported, match="swath.read"):
        wandb.Api
    with pytest.raises(Unsupported, match="log_uniform_values"):
        x = {"distribution": "inv_log_uniform", "min": 1, "max": 2}
        wandb.sweep({"method": "random", "parameters": {"x": x}})
    with pytest.raises(ValueError, match="random, grid or bayes"):
        wandb.sweep({"method": "best", "parameters": {"x": {"value": 1}}})
    with pytest.raises(Unsupported, match="sync_tensorboard"):
        wandb.init(sync_tensorboard=True)
    with pytest.raises(AttributeError):
        wandb.no_such_name
    assert wandb.run is None and wandb.login() is True
