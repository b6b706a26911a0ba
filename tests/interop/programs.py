"""Programs as people write them give right and different results with what `swath init --try` writes.

usage: python programs.py STUDY     (STUDY is not looked at; the binary is $SWATH)

Each program of `fixtures/programs` is taken as it is. `swath init --try` writes its sweep file, and at
most three values of it are set on the command line. Then each trial is repeated by hand, in a
folder of its own: the program must print the objective that the study recorded.
"""
# needs: scikit-learn lightgbm click hydra-core==1.3.2 PyYAML mpi4py mpich

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROGRAMS = Path(__file__).parent / "fixtures" / "programs"
SWATH = str(Path(os.environ["SWATH"]).resolve())
DEADLINE = 120

LAUNCHER = 'run.command=["python", "launch.py", "--nproc=4", "ranked.py", "{args:rest}"]'
MPIEXEC = 'run.command=["mpiexec", "-n", "4", "python", "averaged.py", "{args:rest}"]'

# The program and its arguments, the metric and goal that are found in it, what it prints, and the
# values that are set.
CASES = [
    ("forest.py", [], ("test_log_loss", "min"), r"test log loss: (\S+)", []),
    ("boosting.py", [], ("valid_0_binary_logloss", "min"), r"binary_logloss: (\S+)", []),
    ("clicked.py", [], ("val_rmse", "min"), r"val rmse (\S+)", []),
    ("composed.py", [], ("val_acc", "max"), r"val_acc: (\S+)", []),
    ("configured.py", ["--config", "base.yaml"], ("val_loss", "min"), r"val_loss: (\S+)", []),
    ("pipeline.py", [], ("mse", "min"), r"MSE: (\S+)", []),
    ("ranked.py", [], ("loss", "min"), r"loss = (\S+) on 4 ranks", [LAUNCHER]),
    ("averaged.py", [], ("loss", "min"), r"loss: (\S+) on 4 ranks", [MPIEXEC]),
    ("resuming.py", [], ("val_loss", "min"), r"val_loss: (\S+)", ["run.workdir=private"]),
]


def run(folder, *command):
    """Runs a command in a folder. Returns its output."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {name: value for name, value in os.environ.items() if not name.startswith("SWATH_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(env, PATH=path, VIRTUAL_ENV=str(Path(sys.executable).parents[1]), NO_COLOR="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def project(folder, name):
    """Makes a folder with all programs."""
    return Path(shutil.copytree(PROGRAMS, Path(folder) / name))


def check(program, arguments, metric, goal, printed, values):
    with tempfile.TemporaryDirectory() as folder:
        here = project(folder, "project")
        before = sorted(path.name for path in here.iterdir())
        run(here, SWATH, "init", "--try", program, *(["--", *arguments] if arguments else []))
        stem = Path(program).stem
        after = sorted(path.name for path in here.iterdir())
        assert after == sorted([*before, f"{stem}.toml"]), f"the first run left {after}"
        sweep = tomllib.loads((here / f"{stem}.toml").read_text())
        objective = sweep["objective"]
        assert (objective["metric"], objective["goal"]) == (metric, goal), objective
        few = ["search.trials=3", "search.sampler=random", "resources.jobs=2"]
        # The random sampler proposes independently, so that the plan has the commands of all trials.
        planned = run(here, SWATH, "plan", f"{stem}.toml", "--count=3", "--json", *few, *values)
        commands = [trial["command"] for trial in json.loads(planned)["trials"]]
        run(here, SWATH, "run", f"{stem}.toml", "--quiet", *few, *values)
        with open(here / "logs" / stem / "trials.csv") as file:
            trials = list(csv.DictReader(file))
        assert [trial["state"] for trial in trials] == ["complete"] * 3, trials
        objectives = [float(trial[metric]) for trial in trials]
        assert len(set(objectives)) == 3, f"trials have the same result: {objectives}"
        for number, (command, value) in enumerate(zip(commands, objectives)):
            fresh = project(folder, f"by-hand-{number}")
            repeated = [float(text) for text in re.findall(printed, run(fresh, *command))]
            best = min(repeated) if goal == "min" else max(repeated)
            assert best == value, f"{command}: {value}, by hand {best}"
        print(f"{program}: {objectives}")


# Two programs as the stages of a pipeline: what the first one makes is shared by the trials.
STAGES = """
[[prepare]]
name = "bins"
command = ["python", "cut.py", "{bins}", "{prepare.bins}"]

[run]
command = ["python", "fit.py", "{ridge}", "{prepare.bins}"]

[capture]
mse = 'MSE: (.+)'

[objective]
metric = "mse"
goal = "min"

[search]
sampler = "grid"

[space]
bins = [8, 16]
ridge = [0.05, 0.1, 0.2]
"""


def check_stages():
    with tempfile.TemporaryDirectory() as folder:
        here = project(folder, "project")
        (here / "stages.toml").write_text(STAGES)
        run(here, SWATH, "run", "stages.toml", "--quiet")
        shown = json.loads(run(here, SWATH, "show", "stages", "--json"))
        prepared = {item["params"]["bins"]: item for item in shown["preparations"]}
        assert {bins: len(item["trials"]) for bins, item in prepared.items()} == {8: 3, 16: 3}
        with open(here / "logs/stages/trials.csv") as file:
            trials = list(csv.DictReader(file))
        assert len({trial["mse"] for trial in trials}) == 6, trials
        for bins in prepared:
            run(here, "python", "cut.py", str(bins), f"by-hand-{bins}")
        for trial in trials:
            bins, ridge = trial["param.bins"], trial["param.ridge"]
            printed = run(here, "python", "fit.py", ridge, f"by-hand-{bins}")
            assert f"MSE: {float(trial['mse']):.8f}" in printed, (trial, printed)
        print("cut.py and fit.py: 6 trials share 2 preparations")


def main():
    selected = sys.argv[2:]
    for program, arguments, (metric, goal), printed, values in CASES:
        if not selected or program in selected:
            check(program, arguments, metric, goal, printed, values)
    if not selected or "stages" in selected:
        check_stages()


if __name__ == "__main__":
    main()
