"""Processor time and memory of trials that start cold, and of the same forked from a host.

    python benches/python/warm.py [ROUNDS] [LIBRARY…]

Measures the packages that the interpreter has. Each trial fits a small model, cold and forked in
turns. The time of a forked trial includes its share of the host and its reaper; that of learning
and importing stands apart. Memory is the proportional set size (PSS) of four trials that live at
the same time, with the host and the reapers.
"""

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/python"))
import hosting

SCRIPTS = {
    "numpy": """
import numpy
x = numpy.random.default_rng(0).random((100, 5))
print(numpy.linalg.lstsq(x, x[:, 0], rcond=None)[0].sum())
""",
    "sklearn": """
import numpy, sklearn.linear_model
x = numpy.random.default_rng(0).random((200, 5))
print(sklearn.linear_model.LogisticRegression().fit(x, x[:, 0] > 0.5).score(x, x[:, 0] > 0.5))
""",
    "lightgbm": """
import numpy, lightgbm
x = numpy.random.default_rng(0).random((200, 5))
data = lightgbm.Dataset(x, x[:, 0])
model = lightgbm.train({"verbose": -1, "num_threads": 1, "seed": 1}, data, 10)
print(model.predict(x).sum())
""",
    "torch": """
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters())
x = torch.randn(64, 20)
for _ in range(20):
    optimizer.zero_grad()
    loss = (model(x) - x[:, :1]).pow(2).mean()
    loss.backward()
    optimizer.step()
print(loss.item())
""",
}

WAIT = """
import os, sys, time
if len(sys.argv) > 1:
    open(sys.argv[1], "w")
    while not os.path.exists("go"):
        time.sleep(0.02)
"""

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    """Returns the seconds of a process and of the children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def cpu_of_children():
    times = os.times()
    return times.children_user + times.children_system


def pss(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def wait_until_gone(pid):
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.001)


def measure(name, rounds):
    folder = Path(tempfile.mkdtemp())
    (folder / "case.py").write_text(SCRIPTS[name] + WAIT)
    output = folder / "stdout.log"
    host = hosting.Host(folder)
    host.learn(SCRIPTS[name])
    # The host reaps the trial from which it has learned at its next wake-up.
    first = host.fork(["case.py"])
    assert first.wait() == 0
    wait_until_gone(first.reaper)
    learned = cpu_of(host.process.pid)
    output.write_text("")
    cold, cold_wall, warm_wall = [], [], []
    spent = cpu_of(host.process.pid)
    for _ in range(rounds):
        begun, before = time.monotonic(), cpu_of_children()
        assert hosting.start_cold(folder, ["case.py"]) == 0
        cold.append(cpu_of_children() - before)
        cold_wall.append(time.monotonic() - begun)
        begun = time.monotonic()
        trial = host.fork(["case.py"])
        assert trial.wait() == 0
        warm_wall.append(time.monotonic() - begun)
        wait_until_gone(trial.reaper)
    warm = (cpu_of(host.process.pid) - spent) / rounds
    same = len(set(output.read_text().splitlines())) == 1
    memory = measure_memory(folder, host)
    host.close()
    median = statistics.median
    print(
        f"{name:9} cold {median(cold) * 1e3:7.0f} ms CPU {median(cold_wall) * 1e3:7.0f} ms wall"
        f" | warm {warm * 1e3:6.0f} ms CPU {median(warm_wall) * 1e3:6.0f} ms wall"
        f" | {median(cold) / warm:5.1f} x | once {learned:5.2f} s"
        f" | 4 trials {memory[0]:6.0f} -> {memory[1]:6.0f} MiB ({memory[1] / memory[0]:.2f})"
        f" | output equal: {same}",
        flush=True,
    )


def measure_memory(folder, host):
    cold = [
        hosting.subprocess.Popen(
            [sys.executable, "case.py", f"cold{n}"], cwd=folder, stdout=hosting.subprocess.DEVNULL
        )
        for n in range(4)
    ]
    wait_for(folder, "cold")
    of_cold = sum(pss(process.pid) for process in cold)
    (folder / "go").touch()
    for process in cold:
        process.wait()
    (folder / "go").unlink()
    trials = [host.fork(["case.py", f"warm{n}"]) for n in range(4)]
    wait_for(folder, "warm")
    pids = [host.process.pid, *(pid for trial in trials for pid in (trial.pid, trial.reaper))]
    of_warm = sum(map(pss, pids))
    (folder / "go").touch()
    for trial in trials:
        trial.wait()
    return of_cold, of_warm


def wait_for(folder, prefix):
    while not all((folder / f"{prefix}{n}").exists() for n in range(4)):
        time.sleep(0.02)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for name in sys.argv[2:] or SCRIPTS:
        if importlib.util.find_spec(name):
            measure(name, rounds)


main()
