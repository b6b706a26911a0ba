"""Runs swath on the tasks of CARP-S (Benjamins et al., 2025, arXiv 2506.06143), beside its own
optimizers.

    python3 -m venv /tmp/carps
    /tmp/carps/bin/pip install carps ioh pymoo optuna smac nevergrad
    cargo build --release
    /tmp/carps/bin/python benches/search/carps/run.py --out /tmp/carps/runs.jsonl
        [--seeds 3] [--only NAME…] [--tasks WORD…] [--swath target/release/swath]

The tasks are those that need no download: BBOB in 2, 4 and 8 dimensions, and the problems of Pymoo
with several objectives. The numbers of trials are CARP-S's. Runs in the file `--out` are not
repeated. The output is a table for one objective and one for several: the mean rank, and the mean
regret, of which 0 is the best and 1 the worst final result of any optimizer on a task. With several
objectives the result is the hypervolume up to the worst values of the front of all runs.
"""

import argparse
import json
import logging
import pathlib
import statistics
import sys
import tempfile
import time
import warnings

import carps
from carps.optimizers.optimizer import Optimizer
from carps.utils.running import make_optimizer, make_task
from carps.utils.trials import TrialInfo, TrialValue
from ConfigSpace import CategoricalHyperparameter, Configuration, UniformIntegerHyperparameter
from hydra import compose, initialize_config_dir

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import entrants
import tasks

OPTIMIZERS = {
    "swath auto": None,
    "swath tpe": None,
    "RandomSearch": "randomsearch=config",
    "Optuna-SO-TPE": "optuna=SO_TPE",
    "Optuna-MO-TPE": "optuna=MO_TPE",
    "Optuna-MO-NSGAII": "optuna=MO_NSGAII",
    "SMAC3-BlackBoxFacade": "smac20=blackbox",
    "SMAC3-MO-GP": "smac20=multiobjective_gp",
    "Nevergrad-CMA-ES": "nevergrad=cmaes",
}


class SwathOptimizer(Optimizer):
    """A sampler of swath as an optimizer of CARP-S, by `swath ask-tell`."""

    def __init__(self, task, sampler, binary, seed, loggers=None):
        super().__init__(task, loggers)
        self.client, self.seed = entrants.Swath(sampler, binary), seed
        self.configspace = task.objective_function.configspace
        self.history = []

    def convert_configspace(self, configspace):
        """Returns the space in the terms of `peers/tasks.py`. Conditions and forbidden clauses are
        not supported."""
        if configspace.conditions or configspace.forbidden_clauses:
            raise NotImplementedError("spaces with conditions or forbidden clauses")
        space = {}
        for name, part in configspace.items():
            if isinstance(part, CategoricalHyperparameter):
                space[name] = list(part.choices)
                continue
            words = ["log"] * part.log + ["int"] * isinstance(part, UniformIntegerHyperparameter)
            space[name] = (part.lower, part.upper, *words)
        return space

    def _setup_optimizer(self):
        count = self.task.output_space.n_objectives
        space = self.convert_configspace(self.configspace)
        trials = self.task.optimization_resources.n_trials
        self.client.start(tasks.Task("task", space, None, (0.0,) * count), trials, self.seed)
        return self.client

    def convert_to_trial(self, params):
        values = {name: params[name] for name in self.configspace}
        return TrialInfo(config=Configuration(self.configspace, values=values))

    def ask(self):
        return self.convert_to_trial(self.client.ask())

    def tell(self, trial_info, trial_value):
        cost = trial_value.cost
        self.client.tell(list(cost) if isinstance(cost, list) else [cost])
        self.history.append((trial_info, trial_value))

    def get_current_incumbent(self):
        if self.task.output_space.n_objectives > 1:
            return [(info, TrialValue(cost=value.cost)) for info, value in self.history]
        return min(self.history, key=lambda trial: trial[1].cost)


def task_names():
    """Yields the configuration and the number of objectives of each task."""
    for dims in (2, 4, 8):
        for function in range(1, 25):
            yield f"BBOB=cfg_{dims}_{function}_0", 1
    root = pathlib.Path(carps.__file__).parent / "configs" / "task" / "Pymoo"
    for folder in ("MO", "ManyO"):
        for file in sorted((root / folder / "unconstraint").glob("*.yaml")):
            count = int(file.read_text().split("n_objectives:")[1].split()[0])
            yield f"Pymoo/{folder}/unconstraint={file.stem}", count


def run(name, task_name, seed, binary):
    """Returns the cost of each trial."""
    overrides = [f"+task/{task_name}", f"seed={seed}", f"outdir={tempfile.mkdtemp()}"]
    overrides.append(f"+optimizer/{OPTIMIZERS[name] or 'randomsearch=config'}")
    config = compose("base.yaml", overrides=overrides)
    config.loggers = []
    task = make_task(config)
    costs, evaluate = [], task.objective_function.evaluate

    def recorded(trial_info):
        value = evaluate(trial_info=trial_info)
        costs.append(value.cost)
        return value

    task.objective_function.evaluate = recorded
    if name.startswith("swath"):
        optimizer = SwathOptimizer(task, name.split()[1], binary, seed)
    else:
        optimizer = make_optimizer(config, task)
    try:
        optimizer.run()
    finally:
        if name.startswith("swath"):
            optimizer.client.stop()
    return costs[: task.optimization_resources.n_trials]


def results(runs):
    """Returns the result of each run of a task by optimizer and seed, smaller is better."""
    if not isinstance(runs[0]["costs"][0], list):
        return {(run["name"], run["seed"]): min(run["costs"]) for run in runs}
    points = [tuple(cost) for run in runs for cost in run["costs"]]
    best = [min(point[axis] for point in points) for axis in range(len(points[0]))]
    axes = range(len(best))
    extremes = [min(points, key=lambda point: (point[axis], sum(point))) for axis in axes]
    worst = [max(point[axis] for point in extremes) for axis in axes]
    reference = [high + 0.1 * (high - low) + 1e-9 for low, high in zip(best, worst)]
    return {
        (run["name"], run["seed"]): -tasks.hypervolume(
            [tuple(cost) for cost in run["costs"]], reference
        )
        for run in runs
    }


def print_table(runs):
    """Prints mean rank and mean regret of the optimizers on the pairs that all have completed."""
    names = sorted({run["name"] for run in runs})
    ranks, regrets = {name: [] for name in names}, {name: [] for name in names}
    by_task = {}
    for run in runs:
        by_task.setdefault(run["task"], []).append(run)
    for own in by_task.values():
        scores = results(own)
        low, high = min(scores.values()), max(scores.values())
        for seed in {run["seed"] for run in own}:
            values = {name: scores.get((name, seed)) for name in names}
            if None in values.values():
                continue
            for name, value in values.items():
                better = sum(other < value for other in values.values())
                ties = sum(other == value for other in values.values())
                ranks[name].append(better + (ties + 1) / 2)
                regrets[name].append((value - low) / (high - low) if high > low else 0.0)
    pairs = len(next(iter(ranks.values()), []))
    if not pairs:
        return
    print(f"\n{pairs} pairs of task and seed, {len(by_task)} tasks.\n")
    print("| | mean rank | mean regret | seconds a run |\n|---|---:|---:|---:|")
    for name in sorted(names, key=lambda name: statistics.fmean(ranks[name])):
        seconds = statistics.fmean(run["seconds"] for run in runs if run["name"] == name)
        rank, regret = statistics.fmean(ranks[name]), statistics.fmean(regrets[name])
        print(f"| {name} | {rank:.2f} | {regret:.3f} | {seconds:.1f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of optimizers")
    parser.add_argument("--tasks", nargs="*", help="only tasks whose name has one of these words")
    parser.add_argument("--swath", default="target/release/swath")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    out = pathlib.Path(options.out)
    runs = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    completed = {(run["name"], run["task"], run["seed"]) for run in runs}
    configs = str(pathlib.Path(carps.__file__).parent / "configs")
    with initialize_config_dir(configs, version_base=None), out.open("a") as file:
        for seed in range(1, options.seeds + 1):
            for task, count in task_names():
                if options.tasks and not any(word in task for word in options.tasks):
                    continue
                for name in options.only or OPTIMIZERS:
                    is_for_one = any(word in name for word in ("SO", "Nevergrad", "BlackBox"))
                    is_unsuited = "MO" in name if count == 1 else is_for_one
                    if is_unsuited or (name, task, seed) in completed:
                        continue
                    start = time.process_time(), time.time()
                    try:
                        costs = run(name, task, seed, options.swath)
                    except Exception as error:
                        print(f"{name} on {task}: {error!r}"[:200], file=sys.stderr)
                        continue
                    entry = {"name": name, "task": task, "seed": seed, "costs": costs}
                    entry["seconds"] = time.time() - start[1]
                    file.write(json.dumps(entry) + "\n")
                    file.flush()
                    runs.append(entry)
    for is_several in (False, True):
        print_table([run for run in runs if isinstance(run["costs"][0], list) == is_several])


if __name__ == "__main__":
    main()
