"""What a metric point costs with our file trackers and with the originals in Python, in turns on one machine.

usage: cargo build --release --example points && python benches/trackers/compare.py [ROUNDS]
Needs `pip install wandb==0.31.0 tensorboardX mlflow==3.17.2 mlxp==1.0.5`; what is missing is left out.

CPU is user and system time of the process and of what it started, from the first point to the end of the run; wall is the time that passed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.join(HERE, "..", "..", "target", "release", "examples", "points")
POINTS = {"W&B offline": 10_000, "tensorboardX": 20_000, "MLflow file store": 1_000, "MLXP": 10_000}

COMMON = """
import os, resource, sys, time
count = int(sys.argv[1])
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_CONSOLE="off", MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)
"""

PEERS = {
    "W&B offline": """
import wandb
run = wandb.init(project="p", settings=wandb.Settings(x_disable_stats=True, disable_git=True, save_code=False))
cpu, clock = used(), time.perf_counter()
for step in range(1, count + 1):
    run.log({"loss": 1 / step}, step=step)
run.finish()
""",
    "tensorboardX": """
from tensorboardX import SummaryWriter
writer = SummaryWriter("runs")
cpu, clock = used(), time.perf_counter()
for step in range(1, count + 1):
    writer.add_scalar("loss", 1 / step, step)
writer.close()
""",
    "MLflow file store": """
import mlflow
mlflow.set_tracking_uri("file://" + os.getcwd() + "/mlruns")
mlflow.set_experiment("p")
mlflow.start_run()
cpu, clock = used(), time.perf_counter()
for step in range(1, count + 1):
    mlflow.log_metric("loss", 1 / step, step=step)
mlflow.end_run()
""",
    "MLXP": """
from mlxp.logger import DefaultLogger
logger = DefaultLogger(os.getcwd() + "/logs", -1)
cpu, clock = used(), time.perf_counter()
for step in range(1, count + 1):
    logger.log_metrics({"loss": 1 / step, "step": step}, log_name="train")
""",
}

END = """
wall = time.perf_counter() - clock
print("RESULT", used() - cpu, wall)
"""


def peer(name, folder):
    """Seconds of CPU and of wall time a point takes; None if the tool is not installed."""
    path = os.path.join(folder, "peer.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(COMMON + PEERS[name] + END)
    done = subprocess.run(
        [sys.executable, path, str(POINTS[name])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode != 0 or not lines:
        print(
            f"{name} is left out: {(done.stderr.strip().splitlines() or ['no result'])[-1]}",
            file=sys.stderr,
        )
        return None
    _, cpu, wall = lines[-1].split()
    return float(cpu) / POINTS[name], float(wall) / POINTS[name]


def ours():
    found = json.loads(
        subprocess.run([OURS, "200000"], check=True, capture_output=True, text=True).stdout
    )
    points = found.pop("points")
    return {name: (cpu / points, wall / points) for name, (cpu, wall) in found.items()}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seen = {}
    for _ in range(rounds):
        for name, pair in ours().items():
            seen.setdefault("swath: " + name, []).append(pair)
        for name in PEERS:
            with tempfile.TemporaryDirectory() as folder:
                pair = peer(name, folder)
            if pair:
                seen.setdefault(name, []).append(pair)
        time.sleep(0.1)
    median = {
        name: tuple(statistics.median(pair[at] for pair in pairs) for at in (0, 1))
        for name, pairs in seen.items()
    }
    base = median["swath: append"][0] + median["swath: all"][0]
    print(
        f"median of {rounds} rounds\n\n| | CPU a point | points a second of CPU | wall a point | against swath with all |\n|---|---:|---:|---:|---:|"
    )
    for name, (cpu, wall) in median.items():
        print(
            f"| {name} | {cpu * 1e6:.2f} µs | {1 / cpu:,.0f} | {wall * 1e6:.2f} µs | {cpu / base:.1f} × |"
        )
    print(f"| swath: append and all trackers | {base * 1e6:.2f} µs | {1 / base:,.0f} | | 1 × |")


if __name__ == "__main__":
    main()
