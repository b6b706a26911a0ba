"""`swath.compat.mlxp`: the guide's training function, every value compared with what it logged."""

import json
import os
import pickle
import subprocess
import sys

import pytest
import swath

CONFIG = """
seed: 0
num_epoch: 10
model:
  num_units: 100
data:
  d_int: 10
  device: cpu
optimizer:
  lr: 1e-1
"""

# A model is fitted by gradient descent, and goes on from its checkpoint if there is one. What is
# logged is also written to `wanted.jsonl`, for the comparison.
TRAIN = """
    import json, os, signal
    import swath.compat.mlxp as mlxp

    @mlxp.launch(config_path="./configs")
    def train(ctx: mlxp.Context) -> None:
        cfg = ctx.config
        logger = ctx.logger
        try:
            checkpoint = logger.load_checkpoint()
            start_epoch = checkpoint["epoch"] + 1
            weight = checkpoint["model"]
        except Exception:
            start_epoch = 0
            weight = float(cfg.model.num_units)
        print(f"Starting from epoch: {start_epoch}", flush=True)
        for epoch in range(start_epoch, cfg.num_epoch):
            with open(f"begun-{os.environ.get('SWATH_TRIAL')}", "a") as file:
                file.write(f"{epoch} ")
            weight -= cfg.optimizer.lr * weight
            row = {"loss": weight * weight, "epoch": epoch}
            logger.log_metrics(row, log_name="train")
            logger.log_metrics({"norm": abs(weight), "epoch": epoch}, log_name="norms")
            with open(f"wanted-{os.environ.get('SWATH_TRIAL')}.jsonl", "a") as file:
                file.write(json.dumps(row) + "\\n")
            logger.log_checkpoint({"model": weight, "epoch": epoch}, log_name="last_ckpt")
            if os.environ.get("KILL") and epoch == 4 and start_epoch == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        print(f"Completed training with learning rate: {cfg.optimizer.lr}")

    if __name__ == "__main__":
        train()
"""

SWEEP = """
[objective]
metric = "{metric}"
goal = "min"
[search]
sampler = "random"
trials = {trials}
[space]
"optimizer.lr" = {{ min = 0.1, max = 0.5 }}
"""


@pytest.fixture
def script(folder):
    pytest.importorskip("yaml")
    folder.script(TRAIN)
    (folder.path / "configs").mkdir()
    (folder.path / "configs/config.yaml").write_text(CONFIG)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "at"} for row in rows]


def logged(folder, trial):
    return without_time(lines(folder.path / f"logs/s/{trial}/metrics/train.json"))


def wanted(folder, trial):
    rows = lines(folder.path / f"wanted-{trial}.jsonl")
    return [{**row, "step": row["epoch"]} for row in rows]


def test_the_function_of_the_guide_runs_by_hand_and_prints_its_metrics(script):
    by_hand = script.python()
    assert by_hand.returncode == 0, by_hand.stderr
    out = by_hand.stdout.splitlines()
    assert out[:3] == [
        "Starting from epoch: 0",
        "epoch=0 train.loss=8100",
        "epoch=0 norms.norm=90",
    ]
    assert out[-1] == "Completed training with learning rate: 0.1"
    assert not (script.path / "logs").exists()


@pytest.mark.parametrize("metric", ["loss", "train.loss"])
def test_every_value_arrives_in_the_metrics_and_in_the_reports(script, metric):
    trials = script.run(SWEEP.format(metric=metric, trials=3))
    assert [trial["state"] for trial in trials] == ["complete"] * 3
    reports = swath.read("logs/s", long=True).rows()
    for trial in trials:
        rows = wanted(script, trial["trial"])
        assert len(rows) == 10 and logged(script, trial["trial"]) == rows
        own = [row["values"] for row in reports if row["trial"] == trial["trial"]]
        assert own == [{metric: row["loss"], "epoch": row["epoch"]} for row in rows]
        # The parameter replaced the value of the file.
        lr = trial["params"]["optimizer.lr"]
        assert rows[0]["loss"] == pytest.approx((100 * (1 - lr)) ** 2)
        norms = lines(script.path / f"logs/s/{trial['trial']}/metrics/norms.json")
        assert [row["norm"] ** 2 for row in norms] == pytest.approx([r["loss"] for r in rows])
        assert not [r for r in trial["records"] if "note" in r or "warning" in r]


def test_a_killed_trial_goes_on_from_its_checkpoint_and_loses_no_value(script):
    retry = "[retry]\ntimes = 1\n"
    sweep = SWEEP.format(metric="loss", trials=1) + retry
    head = f'name = "s"\n[run]\ncheckpoint = true\nenv = {{ KILL = "1" }}\n'
    head += f'command = [{json.dumps(sys.executable)}, "train.py"]\n'
    (script.path / "s.toml").write_text(head + sweep)
    done = script.swath("run", "s.toml")
    assert done.returncode == 0, done.stderr
    [trial] = script.trials()
    assert trial["attempts"] == 2 and trial["state"] == "complete"
    rows = wanted(script, 1)
    assert [row["epoch"] for row in rows] == list(range(10))
    assert logged(script, 1) == rows
    output = (script.path / "logs/s/1/stdout.log").read_text()
    assert "Starting from epoch: 5" in output
    # MLXP's place for checkpoints has the last one.
    with open(script.path / "logs/s/1/artifacts/Checkpoint/last_ckpt.pkl", "rb") as file:
        assert pickle.load(file)["epoch"] == 9


def test_a_scheduler_pauses_after_the_checkpoint_of_the_epoch(script):
    asha = '[scheduler]\nname = "asha"\nresource = "epoch"\nmin = 1\nmax = 9\n'
    head = 'name = "s"\nseed = 3\n[run]\ncheckpoint = true\n'
    head += f'command = [{json.dumps(sys.executable)}, "train.py"]\n'
    (script.path / "s.toml").write_text(head + SWEEP.format(metric="loss", trials=6) + asha)
    done = script.swath("run", "s.toml", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    trials = script.trials()
    assert len({trial["step"] for trial in trials}) > 1
    for trial in trials:
        rows = wanted(script, trial["trial"])
        # No epoch is trained twice or in vain, and none is left out.
        begun = (script.path / f"begun-{trial['trial']}").read_text().split()
        assert begun == [str(row["epoch"]) for row in rows]
        assert [row["epoch"] for row in rows] == list(range(len(rows)))
        assert logged(script, trial["trial"]) == rows


def test_artifacts_of_every_type_are_stored_and_read_back(folder, one_trial):
    pytest.importorskip("yaml")
    folder.script("""
        import json
        import swath.compat.mlxp as mlxp

        class Weights(mlxp.Artifact):
            def save_artifact(self, path):
                with open(path, "w") as file:
                    json.dump(self.obj, file)

        def save(item, path):
            with open(path, "w") as file:
                file.write(item)

        def load(path):
            with open(path) as file:
                return file.read()

        @mlxp.launch()
        def main(ctx):
            logger = ctx.logger
            logger.register_artifact_type("lines", save, load)
            logger.log_artifacts("one", "notes/a.txt", "lines")
            logger.log_artifacts({"layers": [1, 2]}, "net.pkl", "pickle")
            logger.log_artifact(Weights([1, 2, 3], ext=".json"), "weights")
            assert logger.load_artifacts("notes/a.txt", "lines") == "one"
            assert logger.load_artifacts("net.pkl") == {"layers": [1, 2]}
            for name in ("sound", "pickles"):
                try:
                    logger.log_artifacts(1, "x", name)
                except mlxp.InvalidArtifactError as error:
                    print(error)
            try:
                logger.log_metrics({"loss": 1}, log_name="config")
            except mlxp.InvalidKeyError as error:
                print(error)
            logger.log_metrics({"loss": 1.5, "kind": "cat", "name": "x", "rank": 3}, log_name="end")

        main()
    """)
    [trial] = folder.run(one_trial)
    artifacts = folder.path / "logs/s/1/artifacts"
    assert (artifacts / "lines/notes/a.txt").read_text() == "one"
    assert json.loads((artifacts / "Weights/weights.json").read_text()) == [1, 2, 3]
    stored = [record["artifact"] for record in trial["records"] if "artifact" in record]
    assert len(stored) == 3, trial["records"]
    warnings = [record["warning"]["text"] for record in trial["records"] if "warning" in record]
    assert warnings == []
    # Names with a meaning of their own in a record line are metrics all the same.
    rows = without_time(lines(folder.path / "logs/s/1/metrics/end.json"))
    assert rows == [{"loss": 1.5}, {"kind": "cat"}, {"name": "x"}, {"rank": 3}]
    output = (folder.path / "logs/s/1/stdout.log").read_text()
    assert "there is no artifact type `sound`" in output
    assert "`config` cannot be the name of a log" in output


def test_overrides_settings_and_a_seeding_function(script):
    script.script("""
        import random
        import swath.compat.mlxp as mlxp

        @mlxp.launch(config_path="configs", seeding_function=random.seed)
        def main(ctx):
            print(ctx.config.optimizer.lr, ctx.config.model.to_dict(), random.random())
            print(ctx.mlxp.logger.parent_log_dir)
            try:
                ctx.config.optimizer.rate
            except AttributeError as error:
                print(error)

        main()
    """)
    arguments = ["optimizer.lr=1e-3", "+model.depth=3", "seed=7"]
    arguments.append("+mlxp.logger.parent_log_dir=./new")
    done = subprocess.run(
        [sys.executable, "train.py", *arguments], capture_output=True, text=True, timeout=60
    )
    import random

    random.seed(7)
    assert done.stdout.splitlines() == [
        f"0.001 {{'num_units': 100, 'depth': 3}} {random.random()}",
        "./new",
        "there is no `rate` in the configuration; there are: lr",
    ], done.stderr
    refused = subprocess.run(
        [sys.executable, "train.py", "--multirun"], capture_output=True, text=True, timeout=60
    )
    assert "the argument `--multirun` is not understood" in refused.stderr


def test_names_without_a_counterpart_say_what_to_use():
    from swath.compat import prov4ml
    from swath.compat._config import Config

    with pytest.raises(swath.SwathError, match="swath.read"):
        from swath.compat.mlxp import Reader  # noqa: F401
    with pytest.raises(swath.SwathError, match="tracker `prov`"):
        prov4ml.log_provenance_documents()
    assert not hasattr(prov4ml, "log_everything")
    config = Config(model={"width": 1, "depth": 2})
    config.update({"model": {"width": 3}, "seed": 4})
    assert config.to_dict() == {"model": {"width": 3, "depth": 2}, "seed": 4}
    assert config.model.width == 3


def test_a_parameter_that_the_configuration_lacks_is_named(script):
    [trial] = script.run(SWEEP.format(metric="loss", trials=1).replace("optimizer.lr", "optim.lr"))
    notes = [record["note"]["text"] for record in trial["records"] if "note" in record]
    assert notes == [
        "warning: configs/config.yaml has no `optim.lr`, so the script may not read it"
    ]


def test_the_reader_of_mlxp_finds_the_values(script):
    mlxp = pytest.importorskip("mlxp")
    script.run(SWEEP.format(metric="train.loss", trials=2))
    reader = mlxp.Reader("logs/s")
    for entry in reader.filter("info.status == 'COMPLETE'"):
        rows = wanted(script, entry["info.logger.log_id"])
        assert list(entry["train.loss"]) == [row["loss"] for row in rows]


def test_mlxp_itself_writes_the_same_values_and_reads_the_checkpoint(script):
    mlxp = pytest.importorskip("mlxp")
    script.script(TRAIN.replace("swath.compat.mlxp", "mlxp"), name="original.py")
    fixed = SWEEP.format(metric="loss", trials=1).replace("{ min = 0.1, max = 0.5 }", "0.25")
    script.run(fixed)
    done = subprocess.run(
        [sys.executable, "original.py", "optimizer.lr=0.25", "+mlxp.logger.parent_log_dir=./own"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for log in ("train", "norms"):
        own = lines(script.path / f"own/1/metrics/{log}.json")
        ours = lines(script.path / f"logs/s/1/metrics/{log}.json")
        names = list(own[0])
        assert len(own) == 10 and own == [{name: row[name] for name in names} for row in ours]
    load = mlxp.data_structures.artifacts.Artifact_types["pickle"]["load"]
    last = load(str(script.path / "logs/s/1/artifacts/Checkpoint/last_ckpt.pkl"))
    assert last["epoch"] == 9 and last["model"] ** 2 == ours[-1]["norm"] ** 2


def test_config_groups_and_interpolations_are_those_of_hydra(script):
    pytest.importorskip("hydra")
    script.script("""
        import swath.compat.mlxp as mlxp

        @mlxp.launch()
        def main(ctx):
            print(ctx.config.to_dict(), flush=True)
            ctx.logger.log_metrics({"loss": ctx.config.model.lr}, log_name="end")

        main()
    """)
    configs = script.path / "configs"
    (configs / "model").mkdir()
    (configs / "model/mlp.yaml").write_text("width: 3\nlr: ${rate}\n")
    (configs / "model/cnn.yaml").write_text("depth: 2\nlr: 0\n")
    (configs / "config.yaml").write_text("defaults:\n  - _self_\n  - model: cnn\nrate: 0.5\n")
    arguments = ["model=mlp", "model.width=4"]
    done = subprocess.run(
        [sys.executable, "train.py", *arguments], capture_output=True, text=True, timeout=60
    )
    wanted = {"rate": 0.5, "model": {"width": 4, "lr": 0.5}}
    assert done.stdout.splitlines()[0] == str(wanted), done.stderr


def test_arrays_and_figures_are_stored_and_read_back(folder, one_trial):
    pytest.importorskip("yaml")
    pytest.importorskip("numpy")
    pytest.importorskip("matplotlib")
    folder.script("""
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        import numpy
        import swath.compat.mlxp as mlxp

        @mlxp.launch()
        def main(ctx):
            logger = ctx.logger
            logger.log_artifacts({"x": numpy.arange(3)}, "arrays", "numpy")
            assert list(logger.load_artifacts("arrays", "numpy")["x"]) == [0, 1, 2]
            figure, axes = plt.subplots()
            for name in ("plot", "plot.png"):
                logger.log_artifacts(figure, name, "image")
            assert logger.load_artifacts("plot.png").ndim == 3
            logger.log_metrics({"loss": numpy.float32(0.5)}, log_name="end")

        main()
    """)
    [trial] = folder.run(one_trial)
    artifacts = folder.path / "logs/s/1/artifacts"
    assert (artifacts / "image/plot").read_bytes()[1:4] == b"PNG"
    stored = [record["artifact"] for record in trial["records"] if "artifact" in record]
    assert len(stored) == 3 and trial["objectives"] == {"loss": 0.5}
    assert not list(artifacts.rglob(".draft*"))


def test_checkpoints_of_a_name_are_found_and_those_of_a_lost_attempt_are_not(folder, tmp_path):
    folder.script("""
        import os, sys
        import swath.compat.mlxp as mlxp

        def states(*names):
            found = []
            for name in names:
                try:
                    found.append(logger.load_checkpoint(name))
                except FileNotFoundError as error:
                    found.append(str(error))
            print(found)

        logger = mlxp.Logger()
        if sys.argv[1:] == ["save"]:
            logger.log_checkpoint({"step": 1}, "last")
            logger.log_checkpoint({"step": 2}, "last")
            logger.log_checkpoint({"step": 1, "best": True}, "best")
            states(None, "best")
        else:
            states(None, "best", "pickle/last", "Checkpoint/last.pkl", "other")
    """)
    env = {
        "SWATH_TRIAL": "1",
        "SWATH_CHECKPOINT_DIR": str(tmp_path / "c"),
        "SWATH_RECORDS": str(tmp_path / "records.jsonl"),
        "SWATH_TRIAL_DIR": str(tmp_path),
    }

    def run(*arguments, **more):
        done = subprocess.run(
            [sys.executable, "train.py", *arguments],
            env={**os.environ, **env, **more},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    best, last, none = {"step": 1, "best": True}, {"step": 2}, "the trial has no checkpoint"
    assert run("save").stdout == f"{[last, best]}\n"
    # An attempt that does not resume begins from nothing.
    assert run().stdout == f"{[none] * 5}\n"
    assert run(SWATH_RESUME="1").stdout == f"{[last, best, last, last, none]}\n"
    (tmp_path / "c/last.step-2.pkl").write_text("torn")
    again = run(SWATH_RESUME="1")
    assert again.stdout.startswith("[{'step': 1"), again.stdout
    assert "the checkpoint of step 2 cannot be read" in again.stderr
    kinds = [json.loads(line)["kind"] for line in open(tmp_path / "records.jsonl")]
    assert kinds.count("checkpoint") == 3
