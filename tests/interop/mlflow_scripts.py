"""Scripts that log with MLflow report to swath without a change: to them, swath is a server.

usage: python mlflow_scripts.py STUDY     (STUDY is ignored; $SWATH names the binary)

Each script runs with clients of MLflow 2 and 3. It writes every value that it logs to a file of its
own, and the records of its trial must have the same values, point by point. A sweep is killed with
SIGKILL in the middle and run again. Everything that a client would send elsewhere would go to a
proxy, which must see nothing. With `forward = true`, a server gets the same points, also if swath is
killed before they are forwarded. Autologging of scikit-learn, LightGBM, XGBoost and Keras reports the
values that the libraries themselves know. Trials that are forked from a host (`warm = true`) have the
same records as those that start cold.
"""
# needs: mlflow==3.17.2 lightgbm==4.7.0 xgboost-cpu==3.2.0 keras==3.15.1 jax==0.10.2

import collections
import concurrent.futures
import csv
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

SWATH = str(Path(os.environ["SWATH"]).resolve())
DEADLINE = 240

# The client of MLflow 2, in a folder that hides the one of MLflow 3. All else that it needs is there.
CLIENT_2 = ["mlflow-skinny==2.22.5", "protobuf==5.29.5"]

# Logs as most scripts do: parameters, values one by one and together, a model, an artifact. A line
# of truth.jsonl is written once the client has returned from a call.
TRAIN = r"""
import json, math, os, sys, time
import mlflow
env = os.environ
with open(f"version-{env['SWATH_TRIAL']}", "w") as file:
    file.write(mlflow.__version__.split(".")[0])
name = f"truth-{env['SWATH_STUDY']}-{env['SWATH_TRIAL']}-{env['SWATH_ATTEMPT']}.jsonl"
truth = open(name, "a", buffering=1)
def log(key, value, step):
    mlflow.log_metric(key, value, step=step)
    truth.write(json.dumps([key, value, step]) + "\n")
def log_all(values, step):
    mlflow.log_metrics(values, step=step)
    for key, value in values.items():
        truth.write(json.dumps([key, value, step]) + "\n")
lr = float(sys.argv[1])
mlflow.set_experiment("training")
with mlflow.start_run(run_name="main") as run:
    mlflow.log_params({"lr": lr, "layers": 3, "optimizer": "adam", "amp": True})
    mlflow.set_tag("team", "vision")
    for epoch in range(1, 9):
        for batch in range(20):
            log("batch_loss", math.exp(-epoch) + batch * 1e-3 / 3, (epoch - 1) * 20 + batch)
        log("train/loss", lr / epoch / 3, epoch)
        log_all({"val_loss": abs(math.log10(lr) + 2) + 1 / 3 / epoch, "val_acc": 1 - 0.1 / epoch}, epoch)
        log("grad_norm", math.nan if epoch == 3 else math.inf if epoch == 4 else epoch / 7, epoch)
        time.sleep(0.1)
    mlflow.log_text("epochs: 8", "notes/summary.txt")
    with mlflow.start_run(run_name="fold", nested=True):
        log("val_loss", -1.0, 0)
    own = f"files-{os.environ['SWATH_TRIAL']}"
    os.makedirs(own, exist_ok=True)
    with open(f"{own}/weights.bin", "wb") as file:
        file.write(b"w" * 1000)
    mlflow.log_artifact(f"{own}/weights.bin")
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert len(points) == 8, points
    found = mlflow.search_runs(filter_string="metrics.val_acc > 0.5 and params.optimizer = 'adam'")
    assert list(found["run_id"]) == [run.info.run_id], found
"""

# Logs nothing itself.
AUTOLOG = r"""
import json, os, sys
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
mlflow.sklearn.autolog()
features, labels = load_iris(return_X_y=True)
model = LogisticRegression(C=float(sys.argv[1]), max_iter=200).fit(features, labels)
with open(f"score-{os.environ['SWATH_TRIAL']}.json", "w") as file:
    json.dump(model.score(features, labels), file)
"""

# Each of these logs nothing itself, and writes the values that its library has returned.
LIBRARIES = {
    "lightgbm": (
        "valid-l2",
        r"""
import json, os, sys
import lightgbm, mlflow, numpy
mlflow.lightgbm.autolog()
random = numpy.random.default_rng(1)
features = random.normal(size=(120, 4))
target = features @ [1.0, 2.0, 0.0, -1.0]
train = lightgbm.Dataset(features[:80], target[:80])
valid = lightgbm.Dataset(features[80:], target[80:], reference=train)
history = {}
lightgbm.train(
    {"objective": "l2", "metric": "l2", "learning_rate": float(sys.argv[1]), "verbose": -1,
     "num_threads": 1, "min_data_in_leaf": 5},
    train, num_boost_round=6, valid_sets=[valid], valid_names=["valid"],
    callbacks=[lightgbm.record_evaluation(history)],
)
values = history["valid"]["l2"]
""",
    ),
    "xgboost": (
        "valid-rmse",
        r"""
import json, os, sys
import mlflow, numpy, xgboost
mlflow.xgboost.autolog()
random = numpy.random.default_rng(1)
features = random.normal(size=(120, 4))
target = features @ [1.0, 2.0, 0.0, -1.0]
train = xgboost.DMatrix(features[:80], target[:80])
valid = xgboost.DMatrix(features[80:], target[80:])
history = {}
xgboost.train(
    {"eta": float(sys.argv[1]), "nthread": 1}, train, num_boost_round=6,
    evals=[(valid, "valid")], evals_result=history, verbose_eval=False,
)
values = history["valid"]["rmse"]
""",
    ),
    "keras": (
        "val_loss",
        r"""
import json, os, sys
os.environ["KERAS_BACKEND"] = "jax"
import keras, mlflow, numpy
mlflow.keras.autolog()
keras.utils.set_random_seed(1)
features = numpy.random.normal(size=(120, 4)).astype("float32")
target = features @ numpy.array([1.0, 2.0, 0.0, -1.0], "float32")
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(float(sys.argv[1])), "mse")
history = model.fit(features, target, epochs=6, validation_split=0.3, verbose=0)
values = history.history["val_loss"]
""",
    ),
}

# What the scripts of the libraries have in common: the truth, beside the folder of the trial.
WRITE_TRUTH = r"""
with open(f"values-{os.environ['SWATH_STUDY']}-{os.environ['SWATH_TRIAL']}.json", "w") as file:
    json.dump([float(value) for value in values], file)
"""

SWEEP = """
name = "%(name)s"

[run]
command = ["%(python)s", "%(script)s", "{lr}"]
warm = %(warm)s

[run.env]
GIT_PYTHON_REFRESH = "quiet"
HTTP_PROXY = "http://127.0.0.1:%(proxy)s"
HTTPS_PROXY = "http://127.0.0.1:%(proxy)s"
%(env)s

[objective]
metric = "%(metric)s"
goal = "%(goal)s"

[search]
sampler = "grid"

[resources]
jobs = %(jobs)s

[space]
lr = %(values)s

[[source]]
name = "mlflow"
%(source)s
"""


class Proxy:
    """Counts connections. A client that sends something elsewhere connects to it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.requests = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            client.settimeout(5)
            try:
                self.requests.append(client.recv(200))
            except OSError:
                self.requests.append(b"")
            client.close()


def environment():
    """Returns the environment of swath: none of this machine's settings of MLflow and proxies."""
    names = ("SWATH_", "MLFLOW_", "NO_PROXY", "no_proxy", "HTTP", "http")
    env = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    return dict(env, NO_COLOR="1")


def write_sweep(folder, name, script, proxy, **options):
    """Writes a sweep file and its script. Returns the path of the sweep file."""
    (folder / "train.py").write_text(script)
    values = dict(
        name=name,
        python=sys.executable,
        script="train.py",
        proxy=proxy.port,
        env="",
        source="",
        metric="val_loss",
        goal="min",
        warm="false",
        jobs=2,
        values="[0.001, 0.01, 0.1]",
    )
    values.update(options)
    path = folder / f"{name}.toml"
    path.write_text(SWEEP % values)
    return path


def run(folder, sweep, **kwargs):
    done = subprocess.run(
        [SWATH, "run", sweep.name],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        **kwargs,
    )
    assert done.returncode == 0, done.stdout + logs(folder)
    return done.stdout


def begin(folder, sweep):
    """Starts a run that is to be ended early."""
    return subprocess.Popen(
        [SWATH, "run", sweep.name],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until(folder, begun, is_true, pause=0.05):
    """Waits for something in a run; fails with the outputs of the trials if the run ends before."""
    deadline = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < deadline and begun.poll() is None, logs(folder)
        time.sleep(pause)


def kill_once(folder, sweep, is_time):
    begun = begin(folder, sweep)
    wait_until(folder, begun, is_time)
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait(30)


def logs(folder):
    """Returns the ends of the outputs of all trials, to explain a failure."""
    paths = sorted(folder.glob("logs/*/*/stderr.log"))
    return "\n".join(f"--- {path}\n{path.read_text()[-2000:]}" for path in paths)


def points_of_trial(trial):
    """Returns the points in the records of a trial, each as name, number, step. A value that a
    report repeats from a metric of its step counts once."""
    points = collections.Counter()
    reported, described = set(), set()
    for line in (trial / "records.jsonl").read_text().splitlines():
        record = json.loads(line).get("record", {})
        kind = record.get("kind")
        if kind not in ("report", "metric"):
            continue
        step = record.pop("step", None)
        log = record.get("log", "")
        for key, value in record.items():
            if key in ("kind", "at", "log", "context", "epoch"):
                continue
            point = (log, key, repr(float(value)), step)
            is_repeated = kind == "report" and point in described
            (described if kind == "metric" else reported).add(point)
            if not is_repeated:
                points[point] += 1
    return points


def truth_of(path):
    """Returns the points that the script has logged, in the same form."""
    points = collections.Counter()
    for line in path.read_text().splitlines():
        key, value, step = json.loads(line)
        log = "run_1" if value == -1.0 else ""
        points[log, key, repr(float(value)), step] += 1
    return points


def steps_alike(points):
    return collections.Counter(
        {(log, key, value, int(step)): count for (log, key, value, step), count in points.items()}
    )


def truth_path(folder, study, row):
    """Returns the file to which the last attempt of a trial has written what it logged."""
    return folder / f"truth-{study}-{row['trial_id']}-{row['attempts']}.jsonl"


def compare_points(folder, study, trials):
    """Compares each trial's points with what its last attempt has written. Returns their number."""
    count = 0
    for row in trials:
        trial = folder / "logs" / study / row["trial_id"]
        path = truth_path(folder, study, row)
        expected, actual = steps_alike(truth_of(path)), steps_alike(points_of_trial(trial))
        missing, surplus = expected - actual, actual - expected
        assert not missing and not surplus, f"missing {missing}\nsurplus {surplus}"
        count += sum(expected.values())
    return count


def read_trials(folder, study):
    with open(folder / "logs" / study / "trials.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_records(trial):
    lines = (trial / "records.jsonl").read_text().splitlines()
    return [json.loads(line)["record"] for line in lines]


def check_training(folder, study):
    """Checks a finished study of the training script."""
    trials = read_trials(folder, study)
    assert [row["state"] for row in trials] == ["complete"] * 3, trials
    count = compare_points(folder, study, trials)
    for row in trials:
        # The last epoch is the best; its report has the value that was logged after the objective.
        lr = float(row["param.lr"])
        assert float(row["val_loss"]) == abs(math.log10(lr) + 2) + 1 / 3 / 8, row
        assert row["best_step"] == "8" and float(row["at_best.grad_norm"]) == 8 / 7, row
        assert float(row["at_best.val_acc"]) == 1 - 0.1 / 8, row
        records = read_records(folder / "logs" / study / row["trial_id"])
        params = {r["name"]: r["value"] for r in records if r["kind"] == "param"}
        assert params == {"lr": lr, "layers": 3, "optimizer": "adam", "amp": True}, params
        notes = [r["text"] for r in records if r["kind"] == "note"]
        assert "team: vision" in notes, notes
        stored = folder / "logs" / study / row["trial_id"] / "artifacts" / "mlflow"
        assert (stored / "run_1" / "weights.bin").read_bytes() == b"w" * 1000
        assert (stored / "run_1" / "notes" / "summary.txt").read_text() == "epochs: 8"
        assert sum(r["kind"] == "artifact" for r in records) == 2, records
    return count


def check_kill(folder, proxy, env):
    """A sweep that is killed in the middle has every point of its last attempts, once."""
    sweep = write_sweep(folder, "killed", TRAIN, proxy, env=env)
    records = folder / "logs" / "killed" / "1" / "records.jsonl"
    kill_once(
        folder, sweep, lambda: records.is_file() and records.read_text().count("val_loss") >= 3
    )
    run(folder, sweep)
    attempts = [int(row["attempts"]) for row in read_trials(folder, "killed")]
    assert max(attempts) == 2, attempts
    return check_training(folder, "killed")


def check_autolog(folder, proxy, env):
    sweep = write_sweep(
        folder, "autolog", AUTOLOG, proxy, env=env,
        metric="training_accuracy_score", goal="max", values="[0.01, 1.0]",
    )
    run(folder, sweep)
    for row in read_trials(folder, "autolog"):
        trial = folder / "logs" / "autolog" / row["trial_id"]
        score = folder / f"score-{row['trial_id']}.json"
        assert float(row["training_accuracy_score"]) == json.loads(score.read_text()), row
        records = read_records(trial)
        params = {r["name"]: r["value"] for r in records if r["kind"] == "param"}
        assert params["C"] == float(row["param.lr"]) and params["max_iter"] == 200, params
        (model,) = [r for r in records if r["kind"] == "model"]
        assert model["framework"] == "sklearn", model
        assert row["model_path"] == model["path"] and row["model_md5"].endswith(".dir"), row


def check_warm(folder, proxy):
    """Trials of an unchanged script that a host forks have the records of those that start cold."""
    values = [0.01 * 1.2**n for n in range(40)]
    options = dict(metric="training_accuracy_score", goal="max")
    sweep = write_sweep(
        folder, "warm", AUTOLOG, proxy, warm="true", jobs=1, values=str(values), **options
    )
    begun = begin(folder, sweep)
    # The first one is forked before its host has imported anything.
    wait_until(folder, begun, lambda: len(forked_trials(folder)) >= 3, pause=1)
    begun.send_signal(signal.SIGINT)
    begun.wait(DEADLINE)
    forked = forked_trials(folder)[1:]
    values = [float(row["param.lr"]) for row in forked]
    run(folder, write_sweep(folder, "cold", AUTOLOG, proxy, values=str(values), **options))
    cold = {row["param.lr"]: row for row in read_trials(folder, "cold")}
    for row in forked:
        other = cold[row["param.lr"]]
        one, two = (
            sorted(
                (folder / "logs" / study / number / "records.jsonl")
                .read_text()
                .replace(f"logs/{study}/{number}/", "")
                .splitlines()
            )
            for study, number in (("warm", row["trial_id"]), ("cold", other["trial_id"]))
        )
        assert one == two, (one, two)
        assert any('"kind":"model"' in line for line in one), one


def forked_trials(folder):
    """Returns the complete trials of the study `warm` that did not start cold."""
    if not (folder / "logs" / "warm" / "trials.csv").is_file():
        return []
    rows = [row for row in read_trials(folder, "warm") if row["state"] == "complete"]
    show = [SWATH, "show", "warm"]
    return [
        row
        for row in rows
        if "cold: "
        not in subprocess.run(
            [*show, row["trial_id"]],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
        ).stdout
    ]


def check_library(folder, proxy, name):
    """Autologging of a library reports its values by iteration or epoch, its parameters and its
    model. Returns the number of values."""
    metric, script = LIBRARIES[name]
    work = folder / name
    work.mkdir()
    run(work, write_sweep(work, name, script + WRITE_TRUTH, proxy, metric=metric, values="[0.1]"))
    (row,) = read_trials(work, name)
    records = read_records(work / "logs" / name / row["trial_id"])
    values = json.loads((work / f"values-{name}-{row['trial_id']}.json").read_text())
    reports = [r for r in records if r["kind"] == "report" and metric in r]
    # The client sends from several threads: values may arrive in another order than their steps.
    reports = [r[metric] for r in sorted(reports, key=lambda r: r["step"])]
    assert len(values) == 6 and reports == values, (name, reports, values)
    assert float(row[metric]) == values[-1], row
    params = {r["name"] for r in records if r["kind"] == "param"}
    assert len(params) > 1, (name, params)
    models = [r for r in records if r["kind"] == "model"]
    assert models and models[-1]["framework"] == name, (name, models)
    return len(values)


def check_forwarding_after_a_kill(folder, proxy):
    """A server that is away while swath is killed gets all points with the next run."""
    from mlflow import MlflowClient

    port = free_port()
    sweep = write_sweep(
        folder, "spooled", TRAIN, proxy, source="forward = true", values="[0.01]",
        env=f'MLFLOW_TRACKING_URI = "http://127.0.0.1:{port}"',
    )
    # The program has ended, and swath waits for the server.
    truth = folder / "truth-spooled-1-1.jsonl"
    kill_once(
        folder, sweep, lambda: truth.is_file() and '"val_loss", -1.0' in truth.read_text()
    )
    server, address = start_server(folder, port)
    try:
        run(folder, sweep)
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("training")
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
        main = [r for r in runs if r.info.run_name == "main"]
        assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}, runs
        expected = {point[1:]: n for point, n in truth_of(truth).items() if point[0] == ""}
        actual = collections.Counter()
        for key in main[0].data.metrics:
            for point in client.get_metric_history(main[0].info.run_id, key):
                value = math.inf if point.value > 1e308 else point.value
                actual[key, repr(value), point.step] += 1
        assert actual == expected, (actual - collections.Counter(expected), expected)
        spool = folder / "logs" / "spooled" / "1" / "mlflow-forward.jsonl"
        assert spool.read_bytes() == b"", "everything is delivered"
    finally:
        end_server(server)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(folder, port=None):
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    request = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return server, f"http://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.3)
    end_server(server)
    sys.exit("the server did not start:\n" + (folder / "server.log").read_text()[-3000:])


def end_server(server):
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait(30)


def check_forwarding(folder, proxy):
    """A server gets all points, parameters, tags and artifacts, in runs of its own."""
    from mlflow import MlflowClient

    server, address = start_server(folder)
    try:
        sweep = write_sweep(
            folder, "forwarded", TRAIN, proxy,
            source="forward = true", env=f'MLFLOW_TRACKING_URI = "{address}"', values="[0.01, 0.1]",
        )
        run(folder, sweep)
        trials = read_trials(folder, "forwarded")
        compare_points(folder, "forwarded", trials)
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("training")
        runs = client.search_runs([experiment.experiment_id])
        main = [r for r in runs if r.info.run_name == "main"]
        assert len(main) == 2 and len(runs) == 4, runs
        for row in trials:
            (mine,) = [r for r in main if float(r.data.params["lr"]) == float(row["param.lr"])]
            (nested,) = [
                r for r in runs if r.data.tags.get("mlflow.parentRunId") == mine.info.run_id
            ]
            assert nested.data.metrics == {"val_loss": -1.0}, nested
            assert mine.info.status == "FINISHED" and mine.data.tags["team"] == "vision", mine
            truth = truth_of(truth_path(folder, "forwarded", row))
            expected = {point[1:]: n for point, n in truth.items() if point[0] == ""}
            actual = collections.Counter()
            for key in mine.data.metrics:
                for point in client.get_metric_history(mine.info.run_id, key):
                    # A server with SQLite keeps the largest number in place of infinity.
                    value = math.inf if point.value > 1e308 else point.value
                    actual[key, repr(value), point.step] += 1
            assert actual == expected, (actual - collections.Counter(expected), expected)
            names = {file.path for file in client.list_artifacts(mine.info.run_id)}
            assert names == {"notes", "weights.bin"}, names
    finally:
        end_server(server)


def main():
    folder = Path(tempfile.mkdtemp(prefix="mlflow-scripts"))
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    proxy = Proxy()
    try:
        client_2 = folder / "client2"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--no-deps", "--target", str(client_2)]
        subprocess.run(install + CLIENT_2, check=True, timeout=300)
        count = 0
        for version, env in [("3", ""), ("2", f'PYTHONPATH = "{client_2}"')]:
            work = folder / f"work{version}"
            work.mkdir()
            count += check_kill(work, proxy, env)
            check_autolog(work, proxy, env)
            versions = {path.read_text() for path in work.glob("version-*")}
            assert versions == {version}, versions
        assert not proxy.requests, proxy.requests
        # The libraries are slow to import, so their scripts run beside each other.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            checks = [pool.submit(check_library, folder, proxy, name) for name in LIBRARIES]
            warm = folder / "warm"
            warm.mkdir()
            is_same = pool.submit(check_warm, warm, proxy)
            count += sum(check.result() for check in checks)
            is_same.result()
        check_forwarding(folder, proxy)
        spooled = folder / "spooled"
        spooled.mkdir()
        check_forwarding_after_a_kill(spooled, proxy)
        assert not proxy.requests, proxy.requests
        print(f"{count} points of MLflow 2 and 3 are in the records, exactly once")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
