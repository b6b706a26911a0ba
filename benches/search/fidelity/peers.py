"""Plays samplers and pruners of other tools on the trainings of `main.rs`.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install optuna syne-tune
    cargo build --release -p swath-search --example fidelity
    /tmp/peers/bin/python benches/search/fidelity/peers.py play optuna-tpe-halving new.csv

`target/release/examples/fidelity serve` trains, one trial at a time. The file has the form that
`fidelity play` writes, so that `fidelity judge base.csv new.csv` compares them; `peers.py table
base.csv new.csv` prints the mean regrets in Markdown.

All epochs count. Optuna and Syne Tune 0.16 stop a trial for good. The entrants of Syne Tune that
pause and resume trials need `pip install "syne-tune[gpsearchers]==0.13.0"` in another environment.
"""

import argparse
import datetime
import json
import logging
import math
import pathlib
import random
import statistics
import subprocess
import time
from functools import partial

BINARY = pathlib.Path(__file__).parents[3] / "target/release/examples/fidelity"
# The recorded digits are not among them: their space has conditions, which Syne Tune lacks.
TASKS = "boosting,sgd,plain,crossing,misleading,noise,late,rate"
EPOCHS = 81  # of a full training, as in tasks.rs
REDUCTION = 3
# Full trainings after which the table shows the regret.
BUDGETS = (5, 10, 20, 40, 60)


class Training:
    """A task and a seed in a process of the bench. It counts epochs and keeps the best loss."""

    def __init__(self, binary, task, seed, budget):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([binary, "serve", task, str(seed)], **pipes)
        header = self.read()
        self.kind, self.space = header["kind"], header["space"]
        self.lowest, self.scale, self.floor = header["lowest"], header["scale"], header["floor"]
        self.name, self.seed, self.budget = task, seed, budget
        self.trials, self.spent, self.best, self.losses = 0, 0, math.inf, []

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the training has ended; its message is above")
        return json.loads(line)

    def start(self, params):
        """Returns the losses of a new trial."""
        self.trials += 1
        self.process.stdin.write(json.dumps(params) + "\n")
        self.process.stdin.flush()
        return self.read()

    def count(self, loss):
        """Counts an epoch."""
        self.spent += 1
        self.best = min(self.best, loss)
        if self.spent % EPOCHS == 0:
            self.losses.append(self.best)

    @property
    def is_spent(self):
        return len(self.losses) >= self.budget

    def line(self, seconds):
        """Returns the line of the run: the fields of `fidelity play`."""
        milliseconds = seconds * 1e3 / self.trials
        fields = [self.name, self.kind, str(self.seed), str(self.scale), f"{milliseconds:.3f}"]
        fields += [f"{max(loss - self.lowest, self.floor):.6e}" for loss in self.losses]
        return "\t".join(fields) + "\n"

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Optuna:
    """A sampler and a pruner of Optuna. A pruned trial ends."""

    def __init__(self, sampler, pruner, options, training):
        import optuna

        self.optuna, self.space = optuna, training.space
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            # HyperbandPruner derives the bracket of a trial from the name.
            study_name=f"{training.name} {training.seed}",
            sampler=getattr(optuna.samplers, sampler)(seed=training.seed),
            pruner=getattr(optuna.pruners, pruner)(**options),
        )

    def ask(self):
        """Returns the number and the configuration of the trial that runs next."""
        self.trial, self.best = self.study.ask(), math.inf
        return self.trial.number, {axis["name"]: self.suggest(axis) for axis in self.space}

    def suggest(self, axis):
        if "values" in axis:
            return self.trial.suggest_categorical(axis["name"], axis["values"])
        return self.trial.suggest_float(axis["name"], axis["min"], axis["max"], log=axis["log"])

    def goes_on(self, epoch, loss):
        """Reports an epoch and returns whether the trial goes on."""
        self.best = min(self.best, loss)
        self.trial.report(loss, epoch)
        return not self.trial.should_prune()

    def end(self, was_stopped):
        """Ends the trial unless it is paused."""
        if was_stopped:
            self.study.tell(self.trial, state=self.optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(self.trial, self.best)


class SyneTune:
    """A scheduler of Syne Tune with its searcher. A trial that it does not continue ends."""

    options = {"time_attr": "epoch", "max_t": EPOCHS}

    def __init__(self, baseline, training, **options):
        import numpy
        from syne_tune.optimizer import baselines

        logging.disable(logging.WARNING)
        # Some of its searchers draw from the generators of the process.
        random.seed(training.seed)
        numpy.random.seed(training.seed)
        self.trials = []
        self.scheduler = getattr(baselines, baseline)(
            self.config_space(training.space),
            metric="loss",
            grace_period=1,
            random_seed=training.seed,
            **self.options,
            **options,
        )

    def config_space(self, space):
        return {axis["name"]: self.domain(axis) for axis in space}

    def domain(self, axis):
        from syne_tune import config_space

        if "values" in axis:
            return config_space.choice(axis["values"])
        kind = config_space.loguniform if axis["log"] else config_space.uniform
        return kind(axis["min"], axis["max"])

    def ask(self):
        self.trial = self.create(self.scheduler.suggest().config)
        return self.trial.trial_id, self.params()

    def create(self, config):
        from syne_tune.backend.trial_status import Trial

        trial = Trial(len(self.trials), config, datetime.datetime.now())
        self.trials.append(trial)
        self.scheduler.on_trial_add(trial)
        return trial

    def params(self):
        return {name: python_value(value) for name, value in self.trial.config.items()}

    def goes_on(self, epoch, loss):
        result = {"epoch": epoch, "loss": loss}
        return self.scheduler.on_trial_result(self.trial, result) == "CONTINUE"

    def end(self, was_stopped):
        """Does nothing: the scheduler stops a trial itself at its last epoch."""


class SyneTunePromotion(SyneTune):
    """A scheduler of Syne Tune 0.13 that pauses trials and resumes the best. 0.16 has none."""

    options = {"mode": "min", "resource_attr": "epoch", "max_resource_attr": "until"}

    def config_space(self, space):
        return {**super().config_space(space), "until": EPOCHS}

    def ask(self):
        suggestion = self.scheduler.suggest(len(self.trials))
        if suggestion.spawn_new_trial_id:
            self.trial = self.create(suggestion.config)
        else:
            self.trial = self.trials[suggestion.checkpoint_trial_id]
            self.trial.config = suggestion.config or self.trial.config
        return self.trial.trial_id, self.params()

    def params(self):
        return {name: value for name, value in super().params().items() if name != "until"}


def python_value(value):
    """Converts a scalar of NumPy to a value of Python."""
    return value.item() if hasattr(value, "item") else value


HALVING = {"min_resource": 1, "reduction_factor": REDUCTION}
STOPPING = {"reduction_factor": REDUCTION}
PROMOTION = {"type": "promotion", "reduction_factor": REDUCTION}
ENTRANTS = {
    "optuna-tpe": partial(Optuna, "TPESampler", "NopPruner", {}),
    "optuna-tpe-halving": partial(Optuna, "TPESampler", "SuccessiveHalvingPruner", HALVING),
    "optuna-tpe-hyperband": partial(
        Optuna, "TPESampler", "HyperbandPruner", {**HALVING, "max_resource": EPOCHS}
    ),
    "syne-asha": partial(SyneTune, "ASHA", **STOPPING),
    "syne-bohb": partial(SyneTune, "BOHB", **STOPPING),
    "syne-bore": partial(SyneTune, "ASHABORE", **STOPPING),
    "syne-promotion": partial(SyneTunePromotion, "ASHA", **PROMOTION),
    "syne-mobster": partial(SyneTunePromotion, "MOBSTER", **PROMOTION),
    "syne-dyhpo": partial(SyneTunePromotion, "DyHPO"),
}


class Watch:
    """Adds up the time of the calls of a peer."""

    def __init__(self):
        self.seconds = 0.0

    def time(self, function, *arguments):
        began = time.perf_counter()
        result = function(*arguments)
        self.seconds += time.perf_counter() - began
        return result


def play(entrant, training):
    """Plays one run and returns the seconds that the peer has taken."""
    watch, trials = Watch(), {}
    peer = entrant(training)
    while not training.is_spent:
        number, params = watch.time(peer.ask)
        if number not in trials:
            trials[number] = enumerate(training.start(params), 1)
        goes_on = True
        # A resumed trial continues where it rested.
        for epoch, loss in trials[number]:
            training.count(loss)
            goes_on = watch.time(peer.goes_on, epoch, loss)
            if training.is_spent or not goes_on:
                break
        watch.time(peer.end, not goes_on)
    return watch.seconds


def record(arguments):
    lines = ""
    for task in arguments.tasks.split(","):
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            training = Training(arguments.binary, task, seed, arguments.budget)
            seconds = play(ENTRANTS[arguments.entrant], training)
            training.stop()
            lines += training.line(seconds)
        # Written task by task, so that an interrupted run leaves those that it finished.
        arguments.file.write_text(lines)


def decades(path):
    """Returns the decimal logarithms of the relative regrets of each run, by task and seed."""
    runs = {}
    for line in path.read_text().splitlines():
        task, _, seed, scale, _, *regrets = line.split("\t")
        runs[task, seed] = [math.log10(float(regret) / float(scale)) for regret in regrets]
    return runs


def print_table(arguments):
    """Prints the mean of each file over the runs that all files have, in Markdown."""
    variants = {path.stem: decades(path) for path in arguments.files}
    common = set.intersection(*(set(runs) for runs in variants.values()))
    for name, runs in variants.items():
        cells = [name]
        for budget in BUDGETS:
            reached = [runs[run][budget - 1] for run in common if len(runs[run]) >= budget]
            is_whole = len(reached) == len(common)
            cells.append(f"{statistics.fmean(reached):.2f}" if is_whole else "")
        print(f"| {' | '.join(cells)} |")
    print(f"\n{len(common)} runs; after {BUDGETS} full trainings.")
    print(f"After {arguments.after}, by task:\n")
    for task in sorted({task for task, _ in common}):
        own = [run for run in common if run[0] == task]
        cells = [f"{task} ({len(own)})"]
        for runs in variants.values():
            cells.append(f"{statistics.fmean(runs[run][arguments.after - 1] for run in own):.2f}")
        print(f"| {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description="Peers on the trainings of the bench.")
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("play", help="play a peer and write the courses")
    verb.add_argument("entrant", choices=ENTRANTS)
    verb.add_argument("file", type=pathlib.Path)
    verb.add_argument("--seeds", type=int, default=3)
    verb.add_argument("--first", type=int, default=0, help="first seed")
    verb.add_argument("--budget", type=int, default=60, help="full trainings")
    verb.add_argument("--tasks", default=TASKS, help="names, separated by commas")
    verb.add_argument("--binary", default=BINARY, help="the example `fidelity`")
    verb.set_defaults(run=record)
    verb = verbs.add_parser("table", help="print the mean decades of regret of recorded courses")
    verb.add_argument("files", nargs="+", type=pathlib.Path)
    verb.add_argument("--after", type=int, default=20, help="full trainings of the second table")
    verb.set_defaults(run=print_table)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
