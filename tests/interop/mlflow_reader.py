"""Runs a sweep with a failed trial, a stopped one and a NaN into a real MLflow server that is killed and started again in the middle, and into a folder, and compares what MLflow's own
client reads back with the journal: every parameter, metric point, status, time, data set, model, artifact (byte for byte) and nesting.

usage: python mlflow_reader.py STUDY     (STUDY is not looked at; the binary is $SWATH; prints three lines, exits 1 at the first difference)
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
records = open(os.environ["SWATH_RECORDS"], "a", buffering=1)
params = json.load(open(os.environ["SWATH_PARAMS"], encoding="utf-8"))
trial = int(os.environ["SWATH_TRIAL"])
os.makedirs("modelle", exist_ok=True)
for epoch in range(6):
    loss = float("nan") if trial == 2 and epoch == 0 else 1 / (epoch + trial) + (9 + params["lr"] if trial == 6 else 0)
    records.write(json.dumps({"epoch": epoch, "Verlust-größe": loss, "val/acc": epoch * 1e-7, "phase": "übung"}) + "\n")
    records.write(json.dumps({"kind": "metric", "context": "train", "loss": loss * 2, "step": epoch * 10}) + "\n")
    if epoch == 1:
        for path in (f"modelle/größe-{trial}.bin", f"notiz-{trial}.txt"):
            with open(path, "wb") as file:
                file.write(f"übung {trial}\n".encode() * 1000)
        records.write(json.dumps({"kind": "model", "path": f"modelle/größe-{trial}.bin", "step": epoch}) + "\n")
        records.write(json.dumps({"kind": "artifact", "path": f"notiz-{trial}.txt"}) + "\n")
        records.write(json.dumps({"kind": "artifact", "path": f"modelle/größe-{trial}.bin", "type": "modelle"}) + "\n")
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


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start_server(folder, port, secured=None):
    """The server in a session of its own, so that all its processes, and only they, can be ended by their group; `secured` is what certificate() returns."""
    log = open(os.path.join(folder, "server.log"), "ab")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    scheme, context = "http", None
    if secured:
        key, shown, trusted = secured
        scheme, context = "https", ssl.create_default_context(cafile=trusted)
        command += ["--uvicorn-opts", f"--ssl-keyfile {key} --ssl-certfile {shown}"]
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            # Not only /health: the first call that needs the database can take ten seconds.
            first = f"{scheme}://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
            urllib.request.urlopen(first, timeout=30, context=context).read()
            return server
        except OSError:
            time.sleep(0.3)
    end_server(server)
    sys.exit(
        "the MLflow server did not start:\n"
        + open(log.name, encoding="utf-8", errors="replace").read()[-3000:]
    )


def certificate(folder):
    """The files of a key, of a certificate for 127.0.0.1, and of the authority that signed it, which nobody trusts who is not told of it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in "sa"]
    server, authority = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in ("server", "authority")
    )
    now = datetime.now(timezone.utc)

    def signed(name, key, is_authority):
        made = x509.CertificateBuilder(
            authority,
            name,
            key.public_key(),
            x509.random_serial_number(),
            now,
            now + timedelta(days=1),
        )
        made = made.add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=None), critical=True
        )
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        return made.sign(keys[1], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    plain = keys[0].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    texts = {
        "key.pem": plain,
        "server.pem": signed(server, keys[0], False),
        "authority.pem": signed(authority, keys[1], True),
    }
    for name, text in texts.items():
        open(os.path.join(folder, name), "wb").write(text)
    return [os.path.join(folder, name) for name in texts]


def end_server(server):
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait(30)


def check(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: MLflow reads {found!r}, the journal has {wanted!r}")


def number(value):
    return float(value) if isinstance(value, str) else value


def same_text(value):
    return "nan" if math.isnan(value) else repr(float(value))


def millis(text):
    match = re.fullmatch(r"(.*?)(\.\d+)?Z", text)
    seconds = int(datetime.fromisoformat(match[1] + "+00:00").timestamp())
    return seconds * 1000 + int((match[2] or ".0")[1:].ljust(6, "0")[:6]) // 1000


def from_journal(study):
    """What each trial should look like: parameters, points, status, end."""
    trials, opened, closed = {}, None, None
    for line in open(os.path.join(study, "journal.jsonl"), encoding="utf-8"):
        entry = json.loads(line)
        at = millis(entry["at"])
        ((kind, event),) = entry["event"].items()
        if kind == "opened":
            opened = at
        elif kind == "closed":
            closed = at
        elif kind == "created":
            params = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in event["params"].items()
            }
            trials[event["trial"]] = {
                "params": params,
                "points": [],
                "start": at,
                "data": [],
                "models": [],
                "files": {},
            }
        elif kind == "logged" and "report" in event["record"]:
            values = event["record"]["report"]["values"]
            points = [
                (name, at, int(number(values["epoch"])), same_text(number(value)))
                for name, value in values.items()
                if not isinstance(value, bool)
                and (not isinstance(value, str) or value in ("nan", "inf", "-inf"))
            ]
            trials[event["trial"]]["points"] += points
        elif kind == "logged" and "dataset" in event["record"]:
            data = event["record"]["dataset"]
            trials[event["trial"]]["data"].append((data["data_dir"], data["md5"]))
        elif kind == "logged" and "model" in event["record"]:
            model = event["record"]["model"]
            trials[event["trial"]]["models"].append((model["model_path"], model["md5"]))
        elif kind == "logged" and "artifact" in event["record"]:
            path = event["record"]["artifact"]["path"]
            trials[event["trial"]]["files"][path.removeprefix("artifacts/")] = os.path.join(
                study, str(event["trial"]), path
            )
        elif kind == "ended":
            status = {"done": "FINISHED", "stopped": "KILLED"}
            trials[event["trial"]]["status"] = (
                status.get(event["exit"], "FAILED") if isinstance(event["exit"], str) else "FAILED"
            )
            trials[event["trial"]]["end"] = at
    for trial, had in trials.items():
        folder = os.path.join(study, str(trial), "metrics")
        for log in sorted(
            name[:-5]
            for name in os.listdir(folder)
            if name.endswith(".json") and name != "report.json"
        ):
            for ordinal, line in enumerate(
                open(os.path.join(folder, log + ".json"), encoding="utf-8")
            ):
                row = json.loads(line)
                at, step = round(row.pop("at") * 1000), row.pop("step", ordinal)
                row.pop("context", None)
                had["points"] += [
                    (f"{log}/{key}", at, step, same_text(number(value)))
                    for key, value in row.items()
                ]
    return trials, opened, closed


def compare(client, study, name):
    trials, opened, closed = from_journal(study)
    check("the number of trials", len(trials), 6)
    for status, wanted in (("FAILED", [3]), ("KILLED", [6])):
        check(status, [trial for trial, had in trials.items() if had["status"] == status], wanted)
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    check("the runs of studies", len(parents), 1)
    parent = parents[0].info
    check(
        "the study",
        (parent.status, parent.start_time, parent.end_time),
        ("FINISHED", opened, closed),
    )
    children = {run.data.tags["swath.trial"]: run for run in runs if run is not parents[0]}
    check("the runs of trials", sorted(children), sorted(f"{name}/{trial}" for trial in trials))
    points = files = 0
    for trial, had in trials.items():
        run, what = children[f"{name}/{trial}"], f"trial {trial}"
        check(f"{what}, its parent", run.data.tags["mlflow.parentRunId"], parent.run_id)
        read = {key: value for key, value in run.data.params.items()}
        as_number = lambda text: re.sub(r"(?<=e-)0+", "", text)  # Python's 1e-07 is our 1e-7
        check(
            f"{what}, parameters",
            read,
            {key: as_number(value) for key, value in had["params"].items()},
        )
        check(f"{what}, status", run.info.status, had["status"])
        check(
            f"{what}, times", (run.info.start_time, run.info.end_time), (had["start"], had["end"])
        )
        check(f"{what}, text", run.data.tags["report.phase"], "übung")
        found = []
        for key in {name for name, *_ in had["points"]}:
            history = client.get_metric_history(run.info.run_id, key)
            found += [
                (key, point.timestamp, point.step, same_text(point.value)) for point in history
            ]
        check(f"{what}, points", sorted(found), sorted(had["points"]))
        reported = [
            key for key in run.data.metrics if not key.startswith("objective.")
        ]  # see result_agreement.py
        check(f"{what}, keys", sorted(reported), sorted({name for name, *_ in had["points"]}))
        points += len(found)
        inputs = [
            (json.loads(each.dataset.source).get("uri"), each.dataset.digest)
            for each in run.inputs.dataset_inputs
        ]
        check(f"{what}, data sets", inputs, had["data"])
        check(
            f"{what}, the number of data sets, models and artifacts",
            [len(had[kind]) for kind in ("data", "models", "files")],
            [1, 1, 2],
        )
        tags = run.data.tags
        check(
            f"{what}, model", [(tags["swath.model_path"], tags["swath.model_md5"])], had["models"]
        )
        files += artifacts(client, run.info.run_id, what, had["files"])
    return f"{len(trials)} trials of {name}, {points} metric points and {files} artifacts"


def artifacts(client, run_id, what, wanted):
    """Downloads every artifact and compares its bytes with the file in the trial's folder."""

    def listed(path=None):
        for each in client.list_artifacts(run_id, path):
            yield from listed(each.path) if each.is_dir else [each.path]

    check(f"{what}, artifacts", sorted(listed()), sorted(wanted))
    with tempfile.TemporaryDirectory() as folder:
        for path, original in wanted.items():
            got = client.download_artifacts(run_id, path, folder)
            check(
                f"{what}, the bytes of {path}", open(got, "rb").read(), open(original, "rb").read()
            )
    return len(wanted)


def sweep(folder, name, uri, **variables):
    text = SWEEP % {"name": name, "python": sys.executable, "uri": uri}
    path = os.path.join(folder, f"{name}.toml")
    open(path, "w", encoding="utf-8").write(text)
    log = open(os.path.join(folder, f"{name}-run.log"), "wb")
    return subprocess.Popen(
        [os.environ["SWATH"], "run", path],
        cwd=folder,
        stdout=log,
        stderr=log,
        env={**os.environ, **variables},
    )


def finish(run, folder, name):
    code = run.wait(120)
    said = open(os.path.join(folder, f"{name}-run.log"), encoding="utf-8").read()
    if code != 0:
        sys.exit(f"swath ended with status {code} and said:\n{said}")
    return said


def secrets(folder, secret):
    for root, _, files in os.walk(os.path.join(folder, "logs")):
        for file in files:
            if secret in open(os.path.join(root, file), "rb").read():
                sys.exit(f"the password was written to {os.path.join(root, file)}")


def main():
    import mlflow

    folder = os.path.realpath(tempfile.mkdtemp())
    server = run = None
    try:
        open(os.path.join(folder, "trial.py"), "w", encoding="utf-8").write(TRIAL)
        os.mkdir(os.path.join(folder, "daten"))
        open(os.path.join(folder, "daten", "x.csv"), "w", encoding="utf-8").write("1,2\n")
        port = free_port()
        server = start_server(folder, port)
        uri = f'uri = "http://demo:gans-geheim@127.0.0.1:{port}"'
        run = sweep(folder, "server", uri)
        time.sleep(4)
        if run.poll() is not None:
            sys.exit("the sweep was over too early")
        end_server(server)
        time.sleep(2)
        server = start_server(folder, port)
        said = finish(run, folder, "server")
        for _ in range(
            5
        ):  # where the server takes longer to start than the sweep to end, or the machine is busy
            if "were not delivered yet" not in said:
                break
            said = finish(sweep(folder, "server", uri), folder, "server")
        if "tracker `mlflow`" in said:
            sys.exit(f"not everything was delivered:\n{said}")
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        print(
            "MLflow's server has",
            compare(client, os.path.join(folder, "logs", "größe-server"), "größe-server"),
        )
        secrets(folder, b"gans-geheim")
        run = sweep(folder, "folder", "")
        if "tracker `mlflow`" in (said := finish(run, folder, "folder")):
            sys.exit(said)
        study = os.path.join(folder, "logs", "größe-folder")
        client = mlflow.MlflowClient(f"file://{study}/trackers/mlruns")
        print("MLflow's file store has", compare(client, study, "größe-folder"))
        end_server(server)
        key, shown, trusted = certificate(folder)
        server = start_server(folder, port, (key, shown, trusted))
        uri = f'uri = "https://127.0.0.1:{port}"'
        run = sweep(folder, "tls", uri)
        said = finish(run, folder, "tls")
        if (
            "were not delivered yet" not in said
            or "nobody that is trusted has signed its certificate" not in said
        ):
            sys.exit(f"a server that cannot be trusted was not told:\n{said}")
        run = sweep(
            folder,
            "tls",
            uri,
            MLFLOW_TRACKING_SERVER_CERT_PATH=trusted,
            MLFLOW_TRACKING_TOKEN="gans-geheim",
        )
        if "tracker `mlflow`" in (said := finish(run, folder, "tls")):
            sys.exit(f"not everything was delivered:\n{said}")
        os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = trusted
        client = mlflow.MlflowClient(f"https://127.0.0.1:{port}")
        print(
            "over TLS, once its certificate was given, MLflow's server has",
            compare(client, os.path.join(folder, "logs", "größe-tls"), "größe-tls"),
        )
        secrets(folder, b"gans-geheim")
    finally:
        for process in (run, server):
            if process is not None and process.poll() is None:
                process.kill() if process is run else end_server(process)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
