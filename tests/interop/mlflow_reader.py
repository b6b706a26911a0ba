"""MLflow's client reads runs that match the journal: all parameters, metric points, statuses,
times, data sets, models, artifacts (files and folders, byte for byte) and nesting, and the registry
has the model of the best trial. The sweep has a failed trial, a stopped trial and NaN. It is tracked by a server that is killed and restarted during the run, by a
folder, and by a server with TLS.

usage: python mlflow_reader.py STUDY     (STUDY is ignored; $SWATH names the binary; exits with 1 at
the first difference)
"""
# needs: mlflow==3.17.2

import ipaddress
import json
import math
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

TRIAL = r"""
import json, os, sys, time
trial = int(os.environ["SWATH_TRIAL"])
with open(os.environ["SWATH_PARAMS"], encoding="utf-8") as file:
    params = json.load(file)
records = open(os.environ["SWATH_RECORDS"], "a", buffering=1)
def write(**line):
    records.write(json.dumps(line) + "\n")
model, note = f"modelle/größe-{trial}.bin", f"notiz-{trial}.txt"
os.makedirs("modelle", exist_ok=True)
for epoch in range(6):
    loss = 1 / (epoch + trial) + (9 + params["lr"] if trial == 6 else 0)
    if trial == 2 and epoch == 0:
        loss = float("nan")
    write(epoch=epoch, phase="übung", **{"Verlust-größe": loss, "val/acc": epoch * 1e-7})
    write(kind="metric", context="train", loss=loss * 2, step=epoch * 10)
    if epoch == 1:
        for path in (model, note):
            with open(path, "wb") as file:
                file.write(f"übung {trial}\n".encode() * 1000)
        write(kind="model", path=model, step=epoch)
        write(kind="artifact", path=note)
        write(kind="artifact", path=model, type="modelle")
        os.makedirs(f"bilder-{trial}/tief", exist_ok=True)
        for name in ("ä.txt", "tief/b.txt"):
            with open(f"bilder-{trial}/{name}", "w") as file:
                file.write(name)
        write(kind="artifact", path=f"bilder-{trial}")
    time.sleep(0.5)
    if trial == 3 and epoch == 2:
        sys.exit(7)
"""

SWEEP = """
name = "größe-%(name)s"

[run]
command = ["%(python)s", "trial.py"]
data_dir = "daten"

[objective]
metric = "Verlust-größe"
goal = "min"

[search]
sampler = "random"
trials = 6

[scheduler]
name = "median"
resource = "epoch"
min = 2
peers = 2

[resources]
jobs = 2

[space]
lr = { min = 1e-4, max = 1e-1, log = true }
schicht = ["klein", "groß, sehr"]

[[tracker]]
name = "mlflow"
%(uri)s
"""


PASSWORD = "gans-geheim"


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(folder, port, tls_files=None):
    """Starts a server and waits until it answers. It has a session of its own, so that end_server()
    reaches its worker processes too. `tls_files` is the result of create_certificates()."""
    log_path = os.path.join(folder, "server.log")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    scheme, context = "http", None
    if tls_files:
        key, certificate, authority = tls_files
        scheme, context = "https", ssl.create_default_context(cafile=authority)
        command += ["--uvicorn-opts", f"--ssl-keyfile {key} --ssl-certfile {certificate}"]
    with open(log_path, "ab") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    # The first request that needs the database can take ten seconds, so /health is not enough.
    api = f"{scheme}://127.0.0.1:{port}/api/2.0/mlflow"
    request = f"{api}/experiments/get-by-name?experiment_name=Default"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(request, timeout=30, context=context).read()
            return server
        except OSError:
            time.sleep(0.3)
    end_server(server)
    sys.exit("the MLflow server did not start:\n" + read_text(log_path)[-3000:])


def end_server(server):
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait(30)


def create_certificates(folder):
    """Returns the files of a key, of its certificate for 127.0.0.1, and of the certificate of the
    authority that signed it, which no client trusts by default."""
    server_key, authority_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    server, authority = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in ("server", "authority")
    )
    now = datetime.now(timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))

    def sign(name, key, is_authority):
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        number, end = x509.random_serial_number(), now + timedelta(days=1)
        builder = x509.CertificateBuilder(authority, name, key.public_key(), number, now, end)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = {
        "key.pem": key,
        "server.pem": sign(server, server_key, False),
        "authority.pem": sign(authority, authority_key, True),
    }
    paths = []
    for name, content in contents.items():
        paths.append(os.path.join(folder, name))
        with open(paths[-1], "wb") as file:
            file.write(content)
    return paths


def check(subject, actual, expected):
    if actual != expected:
        sys.exit(f"{subject}: MLflow reads {actual!r}, the journal has {expected!r}")


def parse_number(value):
    return float(value) if isinstance(value, str) else value


def comparable(value):
    """Returns a number as a text, so that NaN equals NaN."""
    return "nan" if math.isnan(value) else repr(float(value))


def milliseconds(timestamp):
    match = re.fullmatch(r"(.*?)(\.\d+)?Z", timestamp)
    seconds = int(datetime.fromisoformat(match[1] + "+00:00").timestamp())
    return seconds * 1000 + int((match[2] or ".0")[1:].ljust(6, "0")[:6]) // 1000


def report_points(values, time_ms):
    """Returns the metric points of a report. Texts and switches are not metrics."""
    return [
        (name, time_ms, int(parse_number(values["epoch"])), comparable(parse_number(value)))
        for name, value in values.items()
        if not isinstance(value, bool)
        and (not isinstance(value, str) or value in ("nan", "inf", "-inf"))
    ]


def metric_points(folder):
    """Returns the points in the metric files of a trial."""
    points = []
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".json") or file == "report.json":
            continue
        log = file.removesuffix(".json")
        for ordinal, line in enumerate(read_text(os.path.join(folder, file)).splitlines()):
            row = json.loads(line)
            time_ms, step = round(row.pop("at") * 1000), row.pop("step", ordinal)
            row.pop("context", None)
            for key, value in row.items():
                points.append((f"{log}/{key}", time_ms, step, comparable(parse_number(value))))
    return points


def add_record(trial, record, time_ms, folder):
    """Adds a record of the journal to the expected run of its trial."""
    ((kind, content),) = record.items()
    if kind == "report":
        trial["points"] += report_points(content["values"], time_ms)
    elif kind == "dataset":
        trial["datasets"].append((content["data_dir"], content["md5"]))
    elif kind == "model":
        trial["models"].append((content["model_path"], content["md5"]))
    elif kind == "artifact":
        for path in files_below(os.path.join(folder, content["path"])):
            name = os.path.relpath(path, os.path.join(folder, "artifacts"))
            trial["artifacts"][name] = path


def files_below(path):
    if not os.path.isdir(path):
        return [path]
    return [file for name in sorted(os.listdir(path)) for file in files_below(f"{path}/{name}")]


def expected_runs(study):
    """Returns the expected run of each trial, and the start and end of the study."""
    trials, start, end = {}, None, None
    for line in read_text(os.path.join(study, "journal.jsonl")).splitlines():
        entry = json.loads(line)
        time_ms = milliseconds(entry["at"])
        ((kind, event),) = entry["event"].items()
        if kind == "opened":
            start = time_ms
        elif kind == "closed":
            end = time_ms
        elif kind == "created":
            params = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in event["params"].items()
            }
            trial = {"params": params, "start": time_ms, "points": [], "datasets": []}
            trials[event["trial"]] = trial | {"models": [], "artifacts": {}}
        elif kind == "logged":
            folder = os.path.join(study, str(event["trial"]))
            add_record(trials[event["trial"]], event["record"], time_ms, folder)
        elif kind == "ended":
            statuses = {"done": "FINISHED", "stopped": "KILLED"}
            exit = event["exit"]
            status = statuses.get(exit, "FAILED") if isinstance(exit, str) else "FAILED"
            trials[event["trial"]] |= {"status": status, "end": time_ms}
    for id, trial in trials.items():
        trial["points"] += metric_points(os.path.join(study, str(id), "metrics"))
    return trials, start, end


def check_study(client, study, name):
    """Compares all runs of an experiment with the journal. Returns a summary."""
    trials, start, end = expected_runs(study)
    check("the number of trials", len(trials), 6)
    for status, expected in (("FAILED", [3]), ("KILLED", [6])):
        ids = [id for id, trial in trials.items() if trial["status"] == status]
        check(status, ids, expected)
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    check("the runs of studies", len(parents), 1)
    parent = parents[0].info
    actual = (parent.status, parent.start_time, parent.end_time)
    check("the study", actual, ("FINISHED", start, end))
    children = {run.data.tags["swath.trial"]: run for run in runs if run is not parents[0]}
    check("the runs of trials", sorted(children), sorted(f"{name}/{id}" for id in trials))
    points = artifacts = 0
    for id, trial in trials.items():
        run, subject = children[f"{name}/{id}"], f"trial {id}"
        check(f"{subject}, its parent", run.data.tags["mlflow.parentRunId"], parent.run_id)
        check_run(client, run, subject, trial)
        points += len(trial["points"])
        artifacts += len(trial["artifacts"])
    return f"{len(trials)} trials of {name}, {points} metric points and {artifacts} artifacts"


def check_run(client, run, subject, trial):
    tags = run.data.tags
    # Python writes 1e-07 where swath writes 1e-7.
    params = {key: re.sub(r"(?<=e-)0+", "", value) for key, value in trial["params"].items()}
    check(f"{subject}, parameters", dict(run.data.params), params)
    check(f"{subject}, status", run.info.status, trial["status"])
    times = (run.info.start_time, run.info.end_time)
    check(f"{subject}, times", times, (trial["start"], trial["end"]))
    check(f"{subject}, text", tags["report.phase"], "übung")
    names = {name for name, *_ in trial["points"]}
    points = [
        (name, point.timestamp, point.step, comparable(point.value))
        for name in names
        for point in client.get_metric_history(run.info.run_id, name)
    ]
    check(f"{subject}, points", sorted(points), sorted(trial["points"]))
    # result_agreement.py tests the metrics of the objective.
    metrics = [key for key in run.data.metrics if not key.startswith("objective.")]
    check(f"{subject}, metrics", sorted(metrics), sorted(names))
    datasets = [
        (json.loads(input.dataset.source).get("uri"), input.dataset.digest)
        for input in run.inputs.dataset_inputs
    ]
    check(f"{subject}, data sets", datasets, trial["datasets"])
    counts = [len(trial[kind]) for kind in ("datasets", "models", "artifacts")]
    check(f"{subject}, the number of data sets, models and artifacts", counts, [1, 1, 4])
    model = (tags["swath.model_path"], tags["swath.model_md5"])
    check(f"{subject}, model", [model], trial["models"])
    check_artifacts(client, run.info.run_id, subject, trial["artifacts"])


def list_artifacts(client, run_id, folder=None):
    for artifact in client.list_artifacts(run_id, folder):
        if artifact.is_dir:
            yield from list_artifacts(client, run_id, artifact.path)
        else:
            yield artifact.path


def check_artifacts(client, run_id, subject, artifacts):
    """Downloads all artifacts and compares them with the files of the trial."""
    # The registered model of the best trial is tested by check_registry().
    listed = [path for path in list_artifacts(client, run_id) if not path.startswith("model/")]
    check(f"{subject}, artifacts", sorted(listed), sorted(artifacts))
    with tempfile.TemporaryDirectory() as folder:
        for path, original in artifacts.items():
            copy = client.download_artifacts(run_id, path, folder)
            check(f"{subject}, the bytes of {path}", read_bytes(copy), read_bytes(original))


def check_registry(mlflow, client, study, name):
    """Checks that the registry has the model of the best trial, once, with the alias `best`."""
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    best = parent.data.tags["swath.best_trial"]
    objective = "Verlust-größe"
    values = [run.data.metrics.get(f"objective.{objective}", math.inf) for run in runs]
    check("the best value", parent.data.metrics[f"best.{objective}"], min(values))
    version = client.get_model_version_by_alias("modell", "best")
    check("the trial of the registered model", version.tags["swath.trial"], best)
    versions = client.search_model_versions("name = 'modell'")
    check("the registered versions", [other.version for other in versions], [version.version])
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts("models:/modell@best", dst_path=folder)
        (file,) = files_below(path)
        trial = os.path.join(study, best)
        original = os.path.join(trial, "artifacts/modelle/modelle", f"größe-{best}.bin")
        check("the bytes of the registered model", read_bytes(file), read_bytes(original))


def start_run(folder, name, uri, **variables):
    path = os.path.join(folder, f"{name}.toml")
    write_text(path, SWEEP % {"name": name, "python": sys.executable, "uri": uri})
    command, env = [os.environ["SWATH"], "run", path], {**os.environ, **variables}
    with open(os.path.join(folder, f"{name}-run.log"), "wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=env)


def finish_run(run, folder, name):
    """Waits for a run and returns its output."""
    status = run.wait(120)
    output = read_text(os.path.join(folder, f"{name}-run.log"))
    if status != 0:
        sys.exit(f"swath ended with status {status} and printed:\n{output}")
    return output


def check_delivery(output):
    if "tracker `mlflow`" in output:
        sys.exit(f"some records were not delivered:\n{output}")


def deliver_the_rest(processes, output, folder, name, uri, **variables):
    """Runs the finished study again until the server has everything. On a busy machine, the sweep
    can end before the server answers."""
    for _ in range(5):
        if "were not delivered yet" not in output:
            break
        processes.run = start_run(folder, name, uri, **variables)
        output = finish_run(processes.run, folder, name)
    check_delivery(output)


def check_password_is_not_stored(folder):
    for root, _, files in os.walk(os.path.join(folder, "logs")):
        for file in files:
            if PASSWORD.encode() in read_bytes(os.path.join(root, file)):
                sys.exit(f"the password was written to {os.path.join(root, file)}")


class Processes:
    """The server and the run of the test, so that both end if the test fails."""

    def __init__(self):
        self.server = self.run = None

    def end(self):
        if self.run is not None and self.run.poll() is None:
            self.run.kill()
        if self.server is not None and self.server.poll() is None:
            end_server(self.server)


def test_restarted_server(mlflow, folder, port, processes):
    """Kills the server during a run and starts it again."""
    processes.server = start_server(folder, port)
    uri = f'uri = "http://demo:{PASSWORD}@127.0.0.1:{port}"\nmodel = "modell"'
    processes.run = start_run(folder, "server", uri)
    time.sleep(4)
    if processes.run.poll() is not None:
        sys.exit("the sweep ended before the server was killed")
    end_server(processes.server)
    time.sleep(2)
    processes.server = start_server(folder, port)
    output = finish_run(processes.run, folder, "server")
    deliver_the_rest(processes, output, folder, "server", uri)
    client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
    study = os.path.join(folder, "logs", "größe-server")
    print("MLflow's server has", check_study(client, study, "größe-server"))
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    check_registry(mlflow, client, study, "größe-server")
    check_password_is_not_stored(folder)
    end_server(processes.server)


def test_file_store(mlflow, folder, processes):
    processes.run = start_run(folder, "folder", "")
    check_delivery(finish_run(processes.run, folder, "folder"))
    study = os.path.join(folder, "logs", "größe-folder")
    client = mlflow.MlflowClient(f"file://{study}/trackers/mlruns")
    print("MLflow's file store has", check_study(client, study, "größe-folder"))


def test_tls_server(mlflow, folder, port, processes):
    """Runs against a server with an unknown authority, then with the authority's certificate."""
    tls_files = create_certificates(folder)
    processes.server = start_server(folder, port, tls_files)
    uri = f'uri = "https://127.0.0.1:{port}"'
    processes.run = start_run(folder, "tls", uri)
    output = finish_run(processes.run, folder, "tls")
    for message in ("were not delivered yet", "has signed its certificate"):
        if message not in output:
            sys.exit(f"the warning about an untrusted certificate is missing:\n{output}")
    variables = {
        "MLFLOW_TRACKING_SERVER_CERT_PATH": tls_files[2],
        "MLFLOW_TRACKING_TOKEN": PASSWORD,
    }
    processes.run = start_run(folder, "tls", uri, **variables)
    output = finish_run(processes.run, folder, "tls")
    deliver_the_rest(processes, output, folder, "tls", uri, **variables)
    os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = tls_files[2]
    client = mlflow.MlflowClient(f"https://127.0.0.1:{port}")
    study = os.path.join(folder, "logs", "größe-tls")
    print("MLflow's server with TLS has", check_study(client, study, "größe-tls"))
    check_password_is_not_stored(folder)


def main():
    import mlflow

    folder = os.path.realpath(tempfile.mkdtemp())
    processes = Processes()
    try:
        write_text(os.path.join(folder, "trial.py"), TRIAL)
        os.mkdir(os.path.join(folder, "daten"))
        write_text(os.path.join(folder, "daten", "x.csv"), "1,2\n")
        port = free_port()
        test_restarted_server(mlflow, folder, port, processes)
        test_file_store(mlflow, folder, processes)
        test_tls_server(mlflow, folder, port, processes)
    finally:
        processes.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
