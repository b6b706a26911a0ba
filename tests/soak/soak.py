"""A soak test, run by hand: soak.py SWATH [MINUTES, default 60]

Four things happen at the same time, until the time is over:

- A study of many short trials is run again and again. Its orchestrator is killed with SIGKILL every
  few seconds, each time with another limit of descriptors. Some trials ignore SIGTERM, some leave a
  daemon in a session of its own, some one without an environment. An MLflow server that refuses,
  fails, hangs or loses its replies tracks it. The server is a stub of this script.
- A run that is never killed takes one short trial after the other. Its memory is sampled.
- A study lives on a tmpfs of 16 MiB that is filled and freed (only as root).
- Clients of `swath ui` read pages, send bytes slowly, and go away in the middle.

At the end every report that a trial wrote is in the journal exactly once, every study is complete
and `doctor` finds it good, MLflow has each trial once, and no process is alive. Prints the counts;
exits with 1 if anything was lost, alive or wrong.
"""

import collections
import http.server
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SWATH = os.path.abspath(sys.argv[1])
SECONDS = 60 * float(sys.argv[2] if len(sys.argv) > 2 else 60)
# The argument of every `sleep` of a trial, by which its processes are found.
MARK = f"9{os.getpid():07d}.5"
TRIALS = 400
EPOCHS = 3

TRIAL = """
n=$SWATH_TRIAL
step=0
[ -f "$SWATH_CHECKPOINT_DIR/step" ] && read -r step < "$SWATH_CHECKPOINT_DIR/step"
[ $((n % 11)) -eq 0 ] && trap '' TERM
[ $((n % 7)) -eq 0 ] && setsid sleep MARK &
[ $((n % 13)) -eq 0 ] && env -i setsid /bin/sh -c "sleep MARK & exit 0"
while [ "$step" -lt EPOCHS ]; do
    step=$((step + 1))
    echo "{\\"kind\\": \\"metric\\", \\"speed\\": $step, \\"step\\": $step}" >> "$SWATH_RECORDS"
    echo "{\\"epoch\\": $step, \\"loss\\": $1}" >> "$SWATH_RECORDS" || exit 9
    echo "$n $SWATH_ATTEMPT $step" >> "LEDGER"
    echo "$step" > "$SWATH_CHECKPOINT_DIR/half" || exit 9
    mv "$SWATH_CHECKPOINT_DIR/half" "$SWATH_CHECKPOINT_DIR/step"
    sleep 0.02
done
"""

SWEEP = """
name = "NAME"
[run]
command = ["sh", "TRIAL", "{x}"]
checkpoint = true
grace = "100ms"
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = TRIALS
[resources]
jobs = JOBS
[retry]
times = 3
on = ["crash"]
[space]
x = { min = 0.0, max = 1.0 }
"""

MLFLOW = """
[[tracker]]
name = "mlflow"
uri = "http://127.0.0.1:PORT"
experiment = "soak"
"""

counts = collections.Counter()
faults = []
over = threading.Event()


def fault(text):
    faults.append(text)
    print(f"FAULT: {text}", flush=True)


def clean_environment():
    return {key: value for key, value in os.environ.items() if not key.startswith("SWATH_")}


def alive():
    """Returns the command lines of the trials' processes that are alive."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if MARK in command and "soak.py" not in command:
            found.append(f"{pid} {command}")
    return found


class Mlflow(http.server.BaseHTTPRequestHandler):
    """A stub of an MLflow server that flaps: `mood` changes every few seconds."""

    mood = "good"
    lock = threading.Lock()
    runs = {}
    ended = {}

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        counts[f"mlflow: {self.mood}"] += 1
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        mood = Mlflow.mood
        if mood == "failing":
            return self.reply(500, {"error_code": "INTERNAL_ERROR", "message": "soak"})
        if mood == "hanging":
            time.sleep(3)
        call = self.path.partition("/api/2.0/mlflow/")[2].partition("?")[0]
        with self.lock:
            result = self.carry_out(call, body)
        if mood == "losing replies":
            counts["mlflow: losing replies"] += 1
            return self.connection.close()
        self.reply(200, result)

    do_GET = do_POST = do_PUT = answer

    def carry_out(self, call, body):
        def reply(run):
            return {"info": {"run_id": run, "artifact_uri": "file:///nowhere"}}

        if call == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}
        if call == "runs/create":
            tag = next(tag["value"] for tag in body["tags"] if tag["key"] == "swath.run")
            if tag in self.runs:
                fault(f"MLflow has run {tag} twice")
            self.runs[tag] = f"run{len(self.runs)}"
            return {"run": reply(self.runs[tag])}
        if call == "runs/search":
            tag = re.search(r"'([^']*)'$", body["filter"]).group(1)
            return {"runs": [reply(self.runs[tag])]} if tag in self.runs else {}
        if call == "runs/update" and body.get("status") == "FINISHED":
            self.ended[body["run_id"]] = True
        return {}


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def flap(port):
    """Changes the mood of the MLflow stub. In the mood `away` nothing listens on the port."""
    while not over.is_set():
        server = QuietServer(("127.0.0.1", port), Mlflow)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for mood in random.sample(["good", "failing", "hanging", "losing replies", "good"], 5):
            Mlflow.mood = mood
            if over.wait(random.uniform(1, 4)):
                break
        server.shutdown()
        server.server_close()
        over.wait(random.uniform(1, 4))


class Study:
    """A folder with a sweep, and the ledger of the reports that its trials have written."""

    def __init__(self, folder, name, trials, jobs, more=""):
        self.folder, self.name, self.trials = folder, name, trials
        os.makedirs(folder, exist_ok=True)
        self.ledger = f"{LEDGERS}/{name}"
        text = TRIAL.replace("MARK", MARK).replace("EPOCHS", str(EPOCHS))
        self.write("trial.sh", text.replace("LEDGER", self.ledger))
        sweep = SWEEP.replace("NAME", name).replace("TRIALS", str(trials))
        sweep = sweep.replace("JOBS", str(jobs)).replace("TRIAL", f"{folder}/trial.sh")
        self.write(f"{name}.toml", sweep + more)

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, descriptors=None):
        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        return subprocess.Popen(
            [SWATH, "run", f"{self.name}.toml", "--quiet"],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )

    def command(self, *words):
        return subprocess.run(
            [SWATH, *words],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def check(self):
        """Checks a study that has ended: complete, good, and no report lost or doubled."""
        journal = collections.Counter()
        with open(f"{self.folder}/logs/{self.name}/journal.jsonl", encoding="utf-8") as file:
            for line in file:
                event = json.loads(line)["event"]
                logged = event.get("logged") if isinstance(event, dict) else None
                if logged and "report" in logged["record"]:
                    values = dict(logged["record"]["report"]["values"])
                    journal[logged["trial"], int(values["epoch"])] += 1
                    counts["reports"] += 1
        with open(self.ledger, encoding="utf-8") as file:
            written = collections.Counter(
                (int(trial), int(epoch)) for trial, _, epoch in map(str.split, file)
            )
        for report, count in written.items():
            if journal[report] < count:
                fault(f"{self.name}: report {report} was written {count} times and is lost")
        for report, count in journal.items():
            # A trial that was killed between its two lines has written the report only.
            if count > written[report] + 1:
                fault(f"{self.name}: report {report} is in the journal {count} times")
        listed = json.loads(self.command("ls", self.name, "--json").stdout)["trials"]
        complete = sum(trial["state"] == "complete" for trial in listed)
        counts["trials complete"] += complete
        if complete != self.trials:
            fault(f"{self.name}: {complete} of {self.trials} trials are complete")
        # The first part of the report is about the machine, whose disk is small on purpose.
        doctor = self.command("doctor", self.name)
        about_study = doctor.stdout.partition(f"logs/{self.name}")[2]
        if not about_study or "!!" in about_study:
            fault(f"{self.name}: doctor: {about_study}{doctor.stderr}")


def stop_leftovers_within(seconds, about):
    """Waits for the processes of killed trials to end."""
    began = time.monotonic()
    while left := alive():
        if time.monotonic() - began > seconds:
            counts["processes that outlived a kill"] += len(left)
            fault(f"{about}: {len(left)} alive, {left[:2]}")
            for line in left:
                try:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return
        time.sleep(0.02)
    counts["longest end of processes, ms"] = max(
        counts["longest end of processes, ms"], int(1000 * (time.monotonic() - began))
    )


def run_killed(folder, port):
    """Runs studies to their end, killing the orchestrator again and again."""
    number = 0
    while not over.is_set():
        number += 1
        study = Study(f"{folder}/killed", f"killed{number}", TRIALS, 4, MLFLOW.replace("PORT", str(port)))
        while True:
            run = study.start(descriptors=random.choice([None, 64, 96, 256]))
            try:
                wait = None if over.is_set() else random.uniform(0.2, 6)
                _, stderr = run.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                counts["kills"] += 1
                stop_leftovers_within(5, "after a SIGKILL")
                continue
            if b"panicked" in stderr:
                fault(f"panic: {stderr.decode(errors='replace')[:500]}")
            if run.returncode == 0:
                break
            counts[f"run ended with {run.returncode}"] += 1
            if run.returncode not in (0, 1, 5):
                fault(f"exit {run.returncode}: {stderr.decode(errors='replace')[-500:]}")
                break
        study.check()
        counts["studies"] += 1
        finished.append(study)


def run_steady(folder):
    """Runs one orchestrator for the whole time and samples its memory."""
    study = Study(f"{folder}/steady", "steady", 1_000_000, 2)
    study.write("trial.sh", 'echo "{\\"loss\\": $1}" >> "$SWATH_RECORDS"\n')
    run = study.start()
    samples = []
    while not over.wait(2):
        if run.poll() is not None:
            return fault(f"the steady run ended with {run.returncode}")
        with open(f"/proc/{run.pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        with open(f"{folder}/steady/logs/steady/journal.jsonl", "rb") as file:
            trials = sum(chunk.count(b'"ended"') for chunk in iter(lambda: file.read(1 << 20), b""))
        descriptors = len(os.listdir(f"/proc/{run.pid}/fd"))
        samples.append((trials, int(status["VmRSS"].split()[0]), descriptors))
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    counts["steady: trials"] = samples[-1][0]
    quarter = samples[len(samples) // 4]
    counts["steady: KiB at a quarter"], counts["steady: KiB at the end"] = quarter[1], samples[-1][1]
    grown = 1024 * (samples[-1][1] - quarter[1]) / max(samples[-1][0] - quarter[0], 1)
    counts["steady: bytes for each trial"] = int(grown)
    counts["steady: descriptors"] = samples[-1][2]
    # The study itself is in memory: 150 MB at 100,000 trials.
    if grown > 1500 and len(samples) > 60:
        fault(f"memory grows by {grown:.0f} bytes for each trial")
    if samples[-1][2] > quarter[2] + 8:
        fault(f"descriptors grow: {quarter[2]} to {samples[-1][2]}")


def run_full(folder):
    """Runs studies on a small file system that is filled and freed."""
    study = None
    while study or not over.is_set():
        study = study or Study(folder, f"full{counts['studies on a full disk'] + 1}", 60, 2)
        run = study.start()
        while run.poll() is None:
            if not over.is_set():
                try:
                    with open(f"{folder}/ballast", "wb") as file:
                        while True:
                            file.write(b"7" * 65536)
                except OSError:
                    counts["disks filled"] += 1
                time.sleep(random.uniform(0.2, 3))
            if os.path.exists(f"{folder}/ballast"):
                os.remove(f"{folder}/ballast")
            time.sleep(random.uniform(0.5, 2))
        stderr = run.stderr.read().decode(errors="replace")
        if run.returncode == 1 and "No space left" in stderr:
            # It was started on a full disk, and says so.
            counts["runs refused on a full disk"] += 1
            continue
        if run.returncode != 0:
            fault(f"on a full disk: exit {run.returncode}: {stderr[-500:]}")
        study.check()
        counts["studies on a full disk"] += 1
        shutil.rmtree(f"{folder}/logs/{study.name}")
        study = None


def run_clients(folder):
    """Reads the page of the killed studies, well and badly."""
    while not over.is_set():
        if not os.path.exists(f"{folder}/killed/logs"):
            time.sleep(0.5)
            continue
        server = subprocess.Popen(
            [SWATH, "ui"],
            cwd=f"{folder}/killed",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        address = server.stdout.readline().strip()
        until = time.monotonic() + 30
        while address and time.monotonic() < until and not over.is_set():
            port = int(re.search(r":(\d+)", address).group(1))
            if random.random() < 0.3:
                slow = socket.create_connection(("127.0.0.1", port))
                slow.sendall(b"GET / HT")
                counts["ui: slow clients"] += 1
                threading.Timer(random.uniform(0, 8), slow.close).start()
            try:
                with urllib.request.urlopen(address, timeout=10) as reply:
                    reply.read()
                counts["ui: pages"] += 1
            except OSError as error:
                counts[f"ui: {type(error).__name__}"] += 1
            time.sleep(random.uniform(0.05, 0.5))
        if server.poll() is not None:
            fault(f"ui ended with {server.returncode}")
        server.kill()
        server.wait()


def is_mounted(folder):
    os.makedirs(folder)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    return os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    port = free_port()
    flapping = threading.Thread(target=flap, args=(port,))
    threads = [
        threading.Thread(target=run_killed, args=(FOLDER, port)),
        threading.Thread(target=run_steady, args=(FOLDER,)),
        threading.Thread(target=run_clients, args=(FOLDER,)),
    ]
    tiny = f"{FOLDER}/tiny"
    has_tiny = is_mounted(tiny)
    if has_tiny:
        threads.append(threading.Thread(target=run_full, args=(tiny,)))
    else:
        print("no full disk: mounting needs root")
    flapping.start()
    for thread in threads:
        thread.start()
    over.wait(SECONDS)
    over.set()
    flapping.join()
    # The server is good from now on, so that the last runs and exports deliver the rest.
    Mlflow.mood = "good"
    server = QuietServer(("127.0.0.1", port), Mlflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for thread in threads:
        thread.join()
    for study in finished:
        exported = study.command("export", "mlflow", study.name)
        if exported.returncode != 0:
            fault(f"export mlflow {study.name}: {exported.stderr}")
    # One run for each trial and one for each study.
    wanted = sum(study.trials + 1 for study in finished)
    counts["mlflow: runs"] = len(Mlflow.runs)
    if len(Mlflow.runs) != wanted or len(Mlflow.ended) != wanted:
        fault(f"MLflow has {len(Mlflow.runs)} runs, {len(Mlflow.ended)} ended, of {wanted}")
    stop_leftovers_within(2, "at the end")
    if has_tiny:
        subprocess.run(["umount", tiny], check=False)
    for name, count in sorted(counts.items()):
        print(f"{name:36}{count:>10}")
    print(f"{len(faults)} faults in {SECONDS / 60:g} minutes")
    sys.exit(bool(faults))


finished = []
with tempfile.TemporaryDirectory(prefix="swath-soak-") as FOLDER:
    LEDGERS = f"{FOLDER}/ledgers"
    os.makedirs(LEDGERS)
    main()
