"""Measures the cost of a metric point with swath's file trackers and with the original Python
packages, in turns on one machine.

usage: cargo build --release --example points && python benches/trackers/compare.py [ROUNDS]

Needs `pip install wandb==0.31.0 tensorboardX mlflow==3.17.2 mlxp==1.0.5`; packages that are not
installed are skipped. CPU time is user and system time of the process and its children, from the
first point to the end of the run. Wall time is the elapsed time.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SWATH_POINTS = os.path.join(HERE, "..", "..", "target", "release", "examples", "points")
POINTS = {"W&B offline": 10_000, "tensorboardX": 20_000, "MLflow file store": 1_000, "MLXP": 10_000}

COMMON = """
import os, resource, sys, time
count = int(sys.argv[1])
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_CONSOLE="off")
os.environ.update(MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_DISABLE_TELEMETRY="true")
os.environ.update(DO_NOT_TRACK="true")
def cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
"""

PEERS = {
    "W&B offline": """
import wandb
settings = wandb.Settings(x_disable_stats=True, disable_git=True, save_code=False)
run = wandb.init(project="p", settings=settings)
cpu_start, start = cpu_seconds(), time.perf_counter()
for step in range(1, count + 1):
    run.log({"loss": 1 / step}, step=step)
run.finish()
""",
    "tensorboardX": """
from tensorboardX import SummaryWriter
writer = SummaryWriter("runs")
cpu_start, start = cpu_seconds(), time.perf_counter()
for step in range(1, count + 1):
    writer.add_scalar("loss", 1 / step, step)
writer.close()
""",
    "MLflow file store": """
import mlflow
mlflow.set_tracking_uri("file://" + os.getcwd() + "/mlruns")
mlflow.set_experiment("p")
mlflow.start_run()
cpu_start, start = cpu_seconds(), time.perf_counter()
for step in range(1, count + 1):
    mlflow.log_metric("loss", 1 / step, step=step)
mlflow.end_run()
""",
    "MLXP": """
from mlxp.logger import DefaultLogger
logger = DefaultLogger(os.getcwd() + "/logs", -1)
cpu_start, start = cpu_seconds(), time.perf_counter()
for step in range(1, count + 1):
    logger.log_metrics({"loss": 1 / step, "step": step}, log_name="train")
""",
}

END = """
wall = time.perf_counter() - start
print("RESULT", cpu_seconds() - cpu_start, wall)
"""


def measure_peer(name, folder):
    """Returns CPU and wall seconds per point, `None` if the package is not installed."""
    path = os.path.join(folder, "peer.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(COMMON + PEERS[name] + END)
    result = subprocess.run(
        [sys.executable, path, str(POINTS[name])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT")]
    if result.returncode != 0 or not lines:
        reason = (result.stderr.strip().splitlines() or ["no result"])[-1]
        print(f"{name} is skipped: {reason}", file=sys.stderr)
        return None
    _, cpu, wall = lines[-1].split()
    return float(cpu) / POINTS[name], float(wall) / POINTS[name]


def measure_swath():
    """Returns CPU and wall seconds per point of each tracker."""
    command = [SWATH_POINTS, "200000"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    times = json.loads(output)
    points = times.pop("points")
    return {name: (cpu / points, wall / points) for name, (cpu, wall) in times.items()}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    times = {}
    for _ in range(rounds):
        for name, pair in measure_swath().items():
            times.setdefault("swath: " + name, []).append(pair)
        for name in PEERS:
            with tempfile.TemporaryDirectory() as folder:
                pair = measure_peer(name, folder)
            if pair:
                times.setdefault(name, []).append(pair)
        time.sleep(0.1)
    medians = {name: tuple(map(statistics.median, zip(*pairs))) for name, pairs in times.items()}
    baseline = medians["swath: append"][0] + medians["swath: all"][0]
    print(f"median of {rounds} rounds\n")
    print("| | CPU a point | points a second of CPU | wall a point | against swath with all |")
    print("|---|---:|---:|---:|---:|")
    for name, (cpu, wall) in medians.items():
        cells = [name, f"{cpu * 1e6:.2f} µs", f"{1 / cpu:,.0f}", f"{wall * 1e6:.2f} µs"]
        print(f"| {' | '.join(cells)} | {cpu / baseline:.1f} × |")
    cells = ["swath: append and all trackers", f"{baseline * 1e6:.2f} µs", f"{1 / baseline:,.0f}"]
    print(f"| {' | '.join(cells)} | | 1 × |")


if __name__ == "__main__":
    main()
