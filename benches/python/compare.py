"""Measures calls of the Python module beside those of Optuna, W&B (offline), MLflow (file store).

usage: python3 benches/python/compare.py target/release/swath [ROUNDS]

Needs the packages swath (or PYTHONPATH=python), optuna, wandb and mlflow. Each measurement is a
process of its own in an empty folder. The tools take turns, so that a change of the machine's load
meets all of them, and each figure is the median of the rounds. A tool that cannot be imported is
left out.

- import: CPU time of `import TOOL`, without the start of Python.
- report: an intermediate value of a trial, which a scheduler may act upon, as it is stored.
- metric: one row of metrics.
- ask and tell: a pair of calls with ten float parameters, 100 pairs after 20; random and TPE.

A call of W&B leaves most of the work to another process. So the second table has the CPU time of
all processes, from before the first call until the tool has closed its run, for each call.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

HEAD = """
import json, os, resource, time
def cpu():
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
def measure(call, count, close=lambda: None, first=0):
    for i in range(first):
        call(i)
    times, begin = [], cpu()
    for i in range(first, first + count):
        start = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - start)
    close()
    times.sort()
    # The mean counts what buffered calls leave to a later one.
    print(json.dumps([sum(times) / count * 1e6, (cpu() - begin) / count * 1e6]), flush=True)
"""

IMPORT = """
import json, time
start, wall = time.process_time(), time.perf_counter()
import {tool}
print(json.dumps([(time.perf_counter() - wall) * 1e6, (time.process_time() - start) * 1e6]))
"""

OPTUNA = """
import optuna
from optuna.storages.journal import JournalFileBackend
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.JournalStorage(JournalFileBackend("journal.log"))
"""

MLFLOW = """
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_ALLOW_FILE_STORE="true")
import logging, warnings
warnings.simplefilter("ignore")
import mlflow
logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.set_tracking_uri("file:" + os.path.abspath("mlruns"))
run = mlflow.start_run()
"""

WANDB = """
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
import wandb
run = wandb.init(project="bench", settings=wandb.Settings(console="off", x_disable_stats=True))
"""

SWATH_TRIAL = """
os.environ.update(SWATH_RECORDS=os.path.abspath("records.jsonl"), SWATH_TRIAL_DIR=os.getcwd())
import swath
"""

OPTUNA_STUDY = OPTUNA + """
sampler = optuna.samplers.{sampler}(seed=0)
study = optuna.create_study(storage={storage}, sampler=sampler)
def pair(i):
    trial = study.ask()
    values = [trial.suggest_float(f"x{{n}}", 0, 1) for n in range(10)]
    study.tell(trial, sum((x - 0.3) ** 2 for x in values))
measure(pair, 100, first=20)
"""

SWATH_STUDY = """
import swath
space = {{f"x{{n}}": (0.0, 1.0) for n in range(10)}}
study = swath.Study("bench", space=space, trials=1000, sampler="{sampler}", seed=0)
def pair(i):
    offer = study.ask()
    study.tell(offer, sum((x - 0.3) ** 2 for x in offer.params.values()))
measure(pair, 100, close=study.close, first=20)
"""

MEASUREMENTS = {
    "import": {tool: IMPORT.format(tool=tool) for tool in ("swath", "optuna", "wandb", "mlflow")},
    "report": {
        "swath": HEAD + SWATH_TRIAL + "measure(lambda i: swath.report(epoch=i, loss=0.5), 5000)",
        "optuna in memory": HEAD + OPTUNA + """
trial = optuna.create_study().ask()
measure(lambda i: trial.report(0.5, i), 500)
""",
        "optuna with a journal": HEAD + OPTUNA + """
trial = optuna.create_study(storage=storage).ask()
measure(lambda i: trial.report(0.5, i), 500)
""",
    },
    "metric": {
        "swath": HEAD + SWATH_TRIAL
        + "measure(lambda i: swath.log(loss=0.5, step=i), 20000, swath.flush)",
        "wandb": HEAD + WANDB
        + 'measure(lambda i: run.log({"loss": 0.5}, step=i), 5000, wandb.teardown)',
        "mlflow": HEAD + MLFLOW
        + 'measure(lambda i: mlflow.log_metric("loss", 0.5, step=i), 500, mlflow.end_run)',
    },
    "ask and tell, random": {
        "swath": HEAD + SWATH_STUDY.format(sampler="random"),
        "optuna in memory": HEAD + OPTUNA_STUDY.format(sampler="RandomSampler", storage="None"),
        "optuna with a journal": HEAD
        + OPTUNA_STUDY.format(sampler="RandomSampler", storage="storage"),
    },
    "ask and tell, TPE": {
        "swath": HEAD + SWATH_STUDY.format(sampler="tpe"),
        "optuna in memory": HEAD + OPTUNA_STUDY.format(sampler="TPESampler", storage="None"),
        "optuna with a journal": HEAD
        + OPTUNA_STUDY.format(sampler="TPESampler", storage="storage"),
    },
}


def run(script, swath):
    """Returns the microseconds of wall time and of CPU time for a call, or ``None`` on failure."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            env={**os.environ, "SWATH_BINARY": swath},
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode:
        print("\n".join(done.stderr.strip().splitlines()[-3:]), file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    swath = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    results = {
        (call, tool): [] for call, scripts in MEASUREMENTS.items() for tool in scripts
    }
    for _ in range(rounds):
        for call, tool in results:
            times = run(MEASUREMENTS[call][tool], swath)
            if times is not None:
                results[call, tool].append(times)
    for index, title in enumerate(["wall time", "CPU time of all processes"]):
        print(f"\n| {title} of a call | µs | ratio to swath |\n|---|---:|---:|")
        for (call, tool), times in results.items():
            if times and results[call, "swath"]:
                median = statistics.median(pair[index] for pair in times)
                own = statistics.median(pair[index] for pair in results[call, "swath"])
                print(f"| {call}: {tool} | {median:,.1f} | {median / own:.2f} |")
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f}")


main()
