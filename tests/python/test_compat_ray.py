"""``swath.compat.ray``: functions of Ray Tune run after their import is changed."""

import os

import pytest
import swath
from swath.compat._unsupported import Unsupported
from swath.compat.ray import cmf_ray_logger, train, tune
from swath.compat.ray.tune.logger import LoggerCallback
from swath.compat.ray.tune.schedulers import ASHAScheduler


def curve(config):
    for epoch in range(4):
        train.report({"loss": (config["x"] - 1) ** 2 + 1 / (epoch + 1), "epoch": epoch})


def line(config):
    return {"loss": config["x"]}


def test_the_example_of_the_guide_runs_after_one_import_is_changed(folder):
    (folder.path / "data").mkdir()
    (folder.path / "data/numbers").write_text("1 2 3")
    folder.script(
        """
        import os
        from swath.compat.ray import cmf_ray_logger, train, tune

        logger = cmf_ray_logger.CmfRayLogger("digits", "metadata/mlmd", "training", "data")

        def fit(config):
            os.makedirs("models", exist_ok=True)
            for epoch in range(config["epochs"]):
                path = f"models/{config['lr']}-{epoch}.bin"
                with open(path, "w") as file:
                    file.write(str(config["lr"] * epoch))
                train.report({
                    "accuracy": 0.9 + epoch / 100, "loss": 0.05, "model_path": path
                })

        tune.run(
            fit, name="guide", callbacks=[logger], num_samples=2,
            config={"epochs": 3, "lr": tune.loguniform(1e-4, 1e-1)},
        )
        """
    )
    done = folder.python()
    assert done.returncode == 0, done.stderr
    trials = folder.trials("guide")
    assert [trial["state"] for trial in trials] == ["complete"] * 2
    for trial in trials:
        assert (trial["pipeline"], trial["stage"]) == ("digits", "training")
        assert trial["metrics"]["accuracy"] == {"last": 0.92, "min": 0.9, "max": 0.92, "count": 3}
        assert trial["params"]["epochs"] == 3
        assert trial["model_path"].endswith("-2.bin") and trial["model_md5"]
        assert any("dataset" in record for record in trial["records"])
    assert (folder.path / "metadata/guide/mlmd").exists()


def test_a_run_returns_the_best_trial_and_tables(folder):
    pytest.importorskip("pandas")
    config = {"x": tune.uniform(-2, 2), "fixed": {"depth": 2, "call": len}}
    analysis = tune.run(curve, config=config, num_samples=6, metric="loss", mode="min", verbose=0)
    best = min(analysis.trials, key=lambda trial: abs(trial.config["x"] - 1))
    assert analysis.best_trial is best and analysis.best_config == best.config
    assert analysis.best_config["fixed"] == {"depth": 2, "call": len}
    assert analysis.best_result["training_iteration"] == 4
    assert analysis.best_result["config"] == best.config
    assert list(analysis.best_dataframe["epoch"]) == [0, 1, 2, 3]
    frame = analysis.dataframe(metric="loss", mode="max")
    assert len(frame) == 6 and set(frame["epoch"]) == {0}
    assert sorted(frame["config/x"]) == sorted(t.config["x"] for t in analysis.trials)
    assert analysis.results_df.loc[best.trial_id, "loss"] == analysis.best_result["loss"]
    assert os.path.isdir(analysis.best_logdir)


def test_a_tuner_returns_a_result_for_each_trial(folder):
    def fails_sometimes(config):
        if config["x"] > 1:
            raise ValueError("x is too large")
        train.report({"score": {"val": config["x"]}})

    results = tune.Tuner(
        fails_sometimes,
        param_space={"x": tune.grid_search([0, 1, 2])},
        tune_config=tune.TuneConfig(metric="score/val", mode="max"),
        run_config=tune.RunConfig(name="grid", storage_path="studies", verbose=0),
    ).fit()
    assert len(results) == 3 and results.num_errors == 1 and results.num_terminated == 2
    best = results.get_best_result()
    assert best.config == {"x": 1} and best.metrics["score"] == {"val": 1}
    assert "x is too large" in str(results.errors[0])
    assert results.get_best_result("score/val", "min").config == {"x": 0}
    assert (folder.path / "studies/grid/trials.csv").exists()
    with pytest.raises(ValueError, match="scope"):
        results.get_best_result(scope="middle")


def test_a_failed_trial_is_an_error_of_run(folder):
    def fails(config):
        raise ValueError("too bad")

    with pytest.raises(tune.TuneError, match="these trials failed: 1"):
        tune.run(fails, config={"x": 1}, verbose=0)
    analysis = tune.run(fails, config={"x": 1}, verbose=0, raise_on_failed_trial=False)
    assert "too bad" in str(analysis.trials[0].error)


def test_grids_are_combined_and_repeated_and_the_rest_is_drawn(folder):
    config = {
        "a": tune.grid_search([1, 2]),
        "b": {"grid_search": ["u", "v"]},
        "x": tune.randint(0, 1000),
    }
    analysis = tune.run(line, config=config, num_samples=2, verbose=0, metric="loss", mode="min")
    pairs = [(trial.config["a"], trial.config["b"]) for trial in analysis.trials]
    assert sorted(pairs) == sorted([(1, "u"), (1, "v"), (2, "u"), (2, "v")] * 2)
    assert len({trial.config["x"] for trial in analysis.trials}) > 4


def test_every_kind_of_parameter_has_its_type_and_range(folder):
    objects = [{"width": 1}, None, (2, 3), len]

    def types(config):
        assert isinstance(config["int"], int) and 1 <= config["int"] < 4
        assert isinstance(config["lograndint"], int) and 1 <= config["lograndint"] < 100
        assert config["qrandint"] in (0, 5, 10) and isinstance(config["qrandint"], int)
        assert config["qrandint_one"] in (0, 1, 2)
        assert isinstance(config["float"], float) and 0 <= config["float"] <= 1
        assert abs(config["quniform"] * 4 - round(config["quniform"] * 4)) < 1e-9
        assert 1e-4 <= config["log"] <= 1e-1 and isinstance(config["normal"], float)
        assert config["nested"]["list"][0] in ("a", "b") and config["nested"]["list"][1] == "c"
        assert any(config["object"] is item or config["object"] == item for item in objects)
        assert config["double"] == 2 * config["int"]
        train.report({"loss": 1.0})

    config = {
        "int": tune.randint(1, 4),
        "lograndint": tune.lograndint(1, 100),
        "qrandint": tune.qrandint(0, 10, 5),
        "qrandint_one": tune.qrandint(0, 3, 1),
        "float": tune.uniform(0, 1),
        "quniform": tune.quniform(0, 1, 0.25),
        "log": tune.loguniform(1e-4, 1e-1),
        "normal": tune.randn(0, 1),
        "nested": {"list": [tune.choice(["a", "b"]), "c"]},
        "object": tune.choice(objects),
        "double": tune.sample_from(lambda spec: 2 * spec.config.int),
    }
    analysis = tune.run(types, config=config, num_samples=12, metric="loss", mode="min", verbose=0)
    for trial in analysis.trials:
        assert trial.status == "TERMINATED" and trial.config["double"] == 2 * trial.config["int"]
    values = [trial.config["object"] for trial in analysis.trials]
    assert all(value in objects for value in values) and len(set(map(str, values))) > 1


def test_a_scheduler_and_a_stop_criterion_end_trials(folder):
    def endless(config):
        step = 0
        while True:
            step += 1
            try:
                tune.report({"loss": config["x"] + 1 / step})
            except Exception:
                os._exit(3)

    scheduler = ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3)
    config = {"x": tune.uniform(0, 1)}
    analysis = tune.run(
        endless, config=config, scheduler=scheduler, num_samples=9, metric="loss", mode="min",
        verbose=0, max_concurrent_trials=2,
    )
    iterations = [trial.last_result["training_iteration"] for trial in analysis.trials]
    assert min(iterations) < max(iterations) == 9
    analysis = tune.run(endless, config=config, stop={"training_iteration": 3}, verbose=0)
    assert len(analysis.trials[0].reports) == 3 and analysis.trials[0].status == "TERMINATED"
    analysis = tune.run(
        endless, config=config, stop=lambda trial, result: result["loss"] < 1 + 0.5, verbose=0
    )
    assert analysis.trials[0].last_result["loss"] < 1.5


def test_checkpoints_are_kept_and_a_study_continues_from_them(folder):
    def trains(config):
        start, checkpoint = 0, tune.get_checkpoint()
        if checkpoint:
            start = checkpoint.to_dict()["epoch"] + 1
        for epoch in range(start, 4):
            state = tune.Checkpoint.from_dict({"epoch": epoch})
            tune.report({"loss": 1.0 / (epoch + 1)}, checkpoint=state)
            if epoch == 1 and not checkpoint:
                os._exit(3)

    def run():
        return tune.run(
            trains, name="c", config={"x": 1}, metric="loss", mode="min", verbose=0,
            keep_checkpoints_num=2, raise_on_failed_trial=False,
        )

    assert "status 3" in str(run().trials[0].error)
    assert folder.swath("retry", "c", "failed").returncode == 0
    analysis = run()
    # The reports of the attempt that counts, which began after the checkpoint.
    assert [report["training_iteration"] for report in analysis.trials[0].reports] == [3, 4]
    assert analysis.best_checkpoint.to_dict() == {"epoch": 3}
    names = [name for name in os.listdir(analysis.best_logdir) if name.startswith("checkpoint_")]
    assert sorted(names) == ["checkpoint_000003", "checkpoint_000004"]


def test_a_class_is_trained_step_by_step(folder):
    class Counter(tune.Trainable):
        def setup(self, config):
            self.total = config["start"]

        def step(self):
            self.total += 1
            return {"total": self.total}

        def save_checkpoint(self, checkpoint_dir):
            return {"total": self.total}

    analysis = tune.run(
        Counter, config={"start": tune.choice([10, 20])}, stop={"training_iteration": 5},
        checkpoint_freq=2, metric="total", mode="max", verbose=0,
    )
    assert analysis.best_result["total"] == analysis.best_config["start"] + 5
    assert analysis.get_last_checkpoint().to_dict()["total"] == analysis.best_config["start"] + 4


def test_callbacks_hear_of_every_trial_and_report(folder):
    class Heard(LoggerCallback):
        def __init__(self):
            self.lines = []

        def log_trial_start(self, trial):
            self.lines.append(("start", trial.trial_id))

        def log_trial_result(self, iteration, trial, result):
            self.lines.append(("result", trial.trial_id, iteration, result["epoch"]))

        def log_trial_end(self, trial, failed=False):
            self.lines.append(("end", trial.trial_id, failed))

    heard = Heard()
    tune.run(
        curve, config={"x": tune.uniform(0, 1)}, callbacks=[heard], num_samples=2, verbose=0,
        max_concurrent_trials=1,
    )
    of_one_trial = [("start",), ("result", 1, 0), ("result", 2, 1), ("result", 3, 2), ("result", 4, 3)]
    expected = []
    for trial in ("1", "2"):
        expected += [(kind, trial, *rest) for kind, *rest in of_one_trial] + [("end", trial, False)]
    assert heard.lines == expected


def test_named_configurations_are_tried_first(folder):
    from swath.compat.ray.tune.search import ConcurrencyLimiter
    from swath.compat.ray.tune.search.optuna import OptunaSearch

    search = OptunaSearch(points_to_evaluate=[{"x": 0.5, "o": {"k": "b"}}])
    analysis = tune.run(
        line,
        config={"x": tune.uniform(0, 1), "o": {"k": tune.choice(["a", "b"])}},
        search_alg=ConcurrencyLimiter(search, max_concurrent=1),
        num_samples=3, metric="loss", mode="min", verbose=0, name="first",
    )
    assert analysis.trials[0].config == {"x": 0.5, "o": {"k": "b"}}
    assert 'sampler = "tpe"' in (folder.path / "logs/first/sweep.toml").read_text()
    assert len(analysis.trials) == 3


def test_data_and_the_context_reach_the_function(folder):
    def uses(config, data):
        context = tune.get_context()
        assert context.get_trial_dir() == os.environ["SWATH_TRIAL_DIR"]
        assert context.get_experiment_name() == "context" and context.get_world_rank() == 0
        tune.report({"total": sum(data), "id": int(context.get_trial_id())})

    function = tune.with_resources(tune.with_parameters(uses, data=[1, 2]), {"cpu": 1})
    results = tune.Tuner(
        function, run_config=tune.RunConfig(name="context", verbose=0)
    ).fit()
    assert results[0].metrics["total"] == 3 and results[0].metrics["id"] == 1


def test_a_function_reports_by_hand_and_under_swath_run(folder, one_trial):
    folder.script(
        """
        from swath.compat.ray import train
        for epoch in range(3):
            train.report({"loss": 1.0 / (epoch + 1), "epoch": epoch + 1})
        """
    )
    assert "loss=0.5" in folder.python().stdout
    [trial] = folder.run(one_trial)
    assert trial["metrics"]["loss"]["count"] == 3


def test_what_is_missing_says_what_to_use(folder):
    with pytest.raises(Unsupported, match="swath run"):
        tune.schedulers.PopulationBasedTraining()
    with pytest.raises(Unsupported, match="tune.with_parameters"):
        from swath.compat.ray import put  # noqa: F401
    with pytest.raises(Unsupported, match="continues by its name"):
        tune.Tuner.restore("somewhere", line)
    with pytest.raises(Unsupported, match="swath retry"):
        tune.run(line, max_failures=2)
    with pytest.raises(Unsupported, match="time_budget_s"):
        tune.run(line, num_samples=-1)
    with pytest.raises(TypeError, match="num_sample"):
        tune.run(line, num_sample=3)
    with pytest.raises(ValueError, match="both the metric and the mode"):
        tune.run(line, metric="loss")
    with pytest.raises(AttributeError):
        tune.no_such_name
    with pytest.raises(Unsupported, match="torchrun"):
        train.ScalingConfig
    assert not os.path.exists("logs")
    assert issubclass(Unsupported, swath.SwathError)
