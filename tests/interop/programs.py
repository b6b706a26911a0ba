"""Programs as people write them give right and different results with what `swath init --try` writes.

usage: python programs.py STUDY     (STUDY is not looked at; the binary is $SWATH)

Each program of `fixtures/programs` is taken as it is. `swath init --try` writes its sweep file, and at
most three values of it are set on the command line. Then the best trial is repeated by hand, in a
folder of its own: the program must print the objective that the study recorded.
"""
# needs: scikit-learn lightgbm click

import csv
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

# The program, the metric and goal that are found in it, what it prints, and the values that are set.
CASES = [
    ("forest.py", ("test_accuracy", "max"), r"test accuracy: (\S+)", []),
    ("boosting.py", ("valid_0_binary_logloss", "min"), r"binary_logloss: (\S+)", []),
    ("clicked.py", ("val_rmse", "min"), r"val rmse (\S+)", []),
    ("pipeline.py", ("mse", "min"), r"MSE: (\S+)", []),
    ("ranked.py", ("loss", "min"), r"loss = (\S+) on 4 ranks", [LAUNCHER]),
    ("resuming.py", ("val_loss", "min"), r"val_loss: (\S+)", ["run.workdir=private"]),
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
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def project(folder, name):
    """Makes a folder with all programs."""
    return Path(shutil.copytree(PROGRAMS, Path(folder) / name))


def has_private_folders():
    """Returns whether this binary knows `workdir = "private"`."""
    return '"private"' in run(".", SWATH, "schema").replace('\\"', '"').split('"workdir"')[1][:400]


def check(program, metric, goal, printed, values):
    with tempfile.TemporaryDirectory() as folder:
        here = project(folder, "project")
        before = sorted(path.name for path in here.iterdir())
        print(run(here, SWATH, "init", "--try", program), end="")
        stem = Path(program).stem
        after = sorted(path.name for path in here.iterdir())
        assert after == sorted([*before, f"{stem}.toml"]), f"the first run left {after}"
        sweep = tomllib.loads((here / f"{stem}.toml").read_text())
        objective = sweep["objective"]
        assert (objective["metric"], objective["goal"]) == (metric, goal), objective
        few = ["search.trials=3", "search.sampler=random", "resources.jobs=2"]
        run(here, SWATH, "run", f"{stem}.toml", "--quiet", *few, *values)
        with open(here / "logs" / stem / "trials.csv") as file:
            trials = list(csv.DictReader(file))
        assert [trial["state"] for trial in trials] == ["complete"] * 3, trials
        objectives = [float(trial[metric]) for trial in trials]
        assert len(set(objectives)) == 3, f"trials have the same result: {objectives}"
        for trial, value in zip(trials, objectives):
            repeated = by_hand(folder, here, stem, trial, printed, goal)
            assert repeated == value, f"trial {trial['trial_id']}: {value}, by hand {repeated}"
        print(f"{program}: {objectives}")


def by_hand(folder, here, stem, trial, printed, goal):
    """Runs the recorded command of a trial in a fresh folder. Returns the objective it prints."""
    number = trial["trial_id"]
    fresh = project(folder, f"by-hand-{number}")
    shown = run(here, SWATH, "show", stem, number)
    command = re.search(r"^command +(.*)$", shown, re.M).group(1)
    values = re.findall(printed, run(fresh, "sh", "-c", command))
    best = min if goal == "min" else max
    return best(float(value) for value in values)


def main():
    selected = sys.argv[2:]
    for program, (metric, goal), printed, values in CASES:
        if selected and program not in selected:
            continue
        if "run.workdir=private" in values and not has_private_folders():
            print(f"{program}: skipped, since trials have no private folders")
            continue
        check(program, metric, goal, printed, values)


if __name__ == "__main__":
    main()
