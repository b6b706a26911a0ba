"""Processor time and memory of trials that start cold, and of the same forked from a host.

    python benches/python/warm.py [ROUNDS] [LIBRARY…]
    SWATH_BINARY=… python benches/python/warm.py sweep [ROUNDS] [TRIALS] [NAME…]

The first form measures the packages that the interpreter has. Each trial fits a small model, cold
and forked in turns. The time of a forked trial includes its share of the host and its reaper; that
of learning and importing stands apart. Start-up is what remains without the fit, as a forked trial
measures it. Memory is the proportional set size (PSS) of four trials that live at the same time,
with the host and the reapers.

The second form runs a sweep of small fits of scikit-learn: with swath, cold and forked, with
Optuna in one process, with processes of joblib, and with Ray Tune's `reuse_actors`, in turns. A
control group of version 2, which this process must be allowed to make, counts the processor time
of all processes of each.
"""

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
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

# Before and behind the part of a script that is no start-up.
BEGIN = """
import time
begun = time.process_time()
"""

END = """
with open("fits", "a") as file:
    file.write("%f\\n" % (time.process_time() - begun))
"""

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
    imports, fit = SCRIPTS[name].lstrip().split("\n", 1)
    (folder / "case.py").write_text(imports + BEGIN + fit + END + WAIT)
    output = folder / "stdout.log"
    host = hosting.Host(folder)
    host.learn(SCRIPTS[name])
    # The host reaps the trial from which it has learned at its next wake-up.
    first = host.fork(["case.py"])
    assert first.wait() == 0
    wait_until_gone(first.reaper)
    learned = cpu_of(host.process.pid)
    output.write_text("")
    (folder / "fits").unlink()
    cold, cold_wall, warm_wall, fits = [], [], [], []
    spent = cpu_of(host.process.pid)
    for _ in range(rounds):
        begun, before = time.monotonic(), cpu_of_children()
        assert hosting.start_cold(folder, ["case.py"]) == 0
        cold.append(cpu_of_children() - before)
        cold_wall.append(time.monotonic() - begun)
        (folder / "fits").rename(folder / "cold-fits")
        begun = time.monotonic()
        assert host.run(["case.py"]) == 0
        warm_wall.append(time.monotonic() - begun)
        fits.append(float((folder / "fits").read_text()))
        (folder / "fits").unlink()
    host.kept.connection.close()
    wait_until_gone(host.kept.reaper)
    host.kept = None
    # The host reaps the reaper at once, and knows then what both have used.
    time.sleep(0.2)
    warm = (cpu_of(host.process.pid) - spent) / rounds
    same = len(set(output.read_text().splitlines())) == 1
    memory = measure_memory(folder, host)
    host.close()
    median = statistics.median
    fit = median(fits)
    startup = median(cold) - fit, warm - fit
    print(
        f"{name:9} cold {median(cold) * 1e3:7.0f} ms CPU {median(cold_wall) * 1e3:7.0f} ms wall"
        f" | warm {warm * 1e3:6.0f} ms CPU {median(warm_wall) * 1e3:6.0f} ms wall"
        f" | {median(cold) / warm:5.1f} x"
        f" | start-up {startup[0] * 1e3:6.0f} -> {startup[1] * 1e3:5.0f} ms"
        f" ({startup[0] / startup[1]:5.1f} x) | once {learned:5.2f} s"
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


# A small fit of about 0.2 s, of which a sweep has many.
FIT = """
import numpy
from sklearn.ensemble import RandomForestClassifier

def fit(depth, samples):
    x = numpy.random.default_rng(0).random((600, 10))
    y = x[:, 0] + x[:, 1] > 1.0
    model = RandomForestClassifier(
        100, max_depth=depth, max_samples=samples, random_state=0
    )
    return 1.0 - model.fit(x[:400], y[:400]).score(x[400:], y[400:])
"""

# Each runs the number of trials in its argument.
SWEEPS = {
    "optuna": """
import optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = optuna.samplers.RandomSampler(seed=0)
study = optuna.create_study(sampler=sampler)
def objective(trial):
    return fit(trial.suggest_int("depth", 2, 10), trial.suggest_float("samples", 0.5, 1.0))
study.optimize(objective, int(sys.argv[1]))
""",
    "joblib": """
import joblib
draw = numpy.random.default_rng(0)
count = int(sys.argv[1])
values = zip(draw.integers(2, 11, count), draw.uniform(0.5, 1.0, count))
joblib.Parallel(2)(joblib.delayed(fit)(*value) for value in values)
""",
    "ray": """
import os
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
import ray
from ray import tune
ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)

class Trainable(tune.Trainable):
    def setup(self, config):
        self.config = config
    def step(self):
        return {"loss": fit(**self.config), "done": True}
    # Without it, Ray fails to save each trial at its end, and ends its actor.
    def save_checkpoint(self, folder):
        return {}
    def load_checkpoint(self, state):
        pass
    def reset_config(self, config):
        self.config = config
        return True

results = tune.Tuner(
    Trainable,
    param_space={"depth": tune.randint(2, 11), "samples": tune.uniform(0.5, 1.0)},
    tune_config=tune.TuneConfig(
        metric="loss",
        mode="min",
        num_samples=int(sys.argv[1]),
        reuse_actors=True,
    ),
    run_config=tune.RunConfig(verbose=0),
).fit()
assert not results.errors
ray.shutdown()
""",
}

SWATH_SWEEP = """
name = "{name}"
[run]
command = [{python}, "train.py"]
warm = {warm}
system = "0s"
[search]
sampler = "random"
trials = {trials}
[resources]
jobs = {jobs}
[space]
depth = {{ min = 2, max = 10 }}
samples = {{ min = 0.5, max = 1.0 }}
[objective]
metric = "loss"
goal = "min"
"""


def new_cgroup():
    """Returns a control group of version 2 below that of this process."""
    own = next(
        line.strip()[3:] for line in open("/proc/self/cgroup") if line.startswith("0::")
    )
    mounts = (line.split() for line in open("/proc/self/mountinfo"))
    root = next(words[4] for words in mounts if "cgroup2" in words[words.index("-") :])
    group = Path(root + own) / f"swath-bench-{os.getpid()}"
    group.mkdir()
    return group


def cpu_of_command(command, folder):
    """Returns the seconds of a command and of everything below it.

    A control group counts them: of processes that nobody waits for, no parent knows the time.
    """
    shutil.rmtree(folder / "logs", ignore_errors=True)
    group = new_cgroup()
    try:
        enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', group]
        # The module of swath is compiled once, as the installed modules of the others are.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            enter + command, cwd=folder, capture_output=True, text=True, env=env
        )
        assert done.returncode == 0, done.stderr
        while "populated 1" in (group / "cgroup.events").read_text():
            time.sleep(0.05)
        words = (group / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6
    finally:
        for below in sorted(group.glob("**/"), reverse=True):
            below.rmdir()


def measure_sweeps(rounds, trials, names):
    folder = Path(tempfile.mkdtemp())
    module = Path(__file__).parents[2] / "python"
    head = f"import sys; sys.path.insert(0, {str(module)!r})\nimport swath\n"
    report = "swath.report(loss=fit(**swath.params(depth=2, samples=1.0)))\n"
    (folder / "train.py").write_text(head + FIT + report)
    commands = {}
    for warm, jobs in (("false", 1), ("true", 1), ("true", 2)):
        name = f"swath, {'forked' if warm == 'true' else 'cold'}, jobs = {jobs}"
        text = SWATH_SWEEP.format(
            name="s", python=json.dumps(sys.executable), warm=warm, trials=trials, jobs=jobs
        )
        file = folder / f"{warm}{jobs}.toml"
        file.write_text(text)
        commands[name] = [os.environ["SWATH_BINARY"], "run", file.name, "--quiet"]
    for library, script in SWEEPS.items():
        if importlib.util.find_spec(library):
            (folder / f"{library}_sweep.py").write_text("import sys\n" + FIT + script)
            commands[library] = [sys.executable, f"{library}_sweep.py", str(trials)]
    commands = {
        name: command
        for name, command in commands.items()
        if not names or any(name.startswith(word) for word in names)
    }
    spent = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds = cpu_of_command(command, folder)
            spent[name].append(seconds)
            print(f"{name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    base = statistics.median(spent.get("optuna", [float("nan")]))
    for name, seconds in spent.items():
        median = statistics.median(seconds)
        print(
            f"{name:24} {median:7.2f} s CPU for {trials} trials"
            f" ({min(seconds):.2f} to {max(seconds):.2f}) | {median / base:5.2f} x Optuna",
            flush=True,
        )


def main():
    words = sys.argv[1:]
    if words[:1] == ["sweep"]:
        rounds, trials = map(int, (words[1:3] + ["3", "200"][len(words) - 1 :])[:2])
        measure_sweeps(rounds, trials, words[3:])
        return
    rounds = int(words[0]) if words else 10
    for name in words[1:] or SCRIPTS:
        if importlib.util.find_spec(name):
            measure(name, rounds)


main()
