"""Compares schedulers on recorded learning curves: best validation loss against epochs spent in all.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install optuna syne-tune
    /tmp/peers/bin/python benches/search/curves/compare.py [--seeds 50]

Everyone gets the same curves in the same random orders, one trial at a time; a paused trial that goes on pays only for what is new.
A peer that is not installed is left out. Prints a table in Markdown.
"""

import argparse
import csv
import gzip
import io
import math
import pathlib
import random
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
TOP = 81
BUDGETS = [81 * n for n in (1, 2, 5, 10, 20, 40, 80)]


def load():
    rows = list(csv.reader(io.TextIOWrapper(gzip.open(HERE / "curves.csv.gz"))))
    return [
        "\n".join(",".join(row) for row in rows) + "\n",
        [[float(x) if x else math.nan for x in row[2:]] for row in rows[1:]],
    ]


class Ledger:
    """Counts epochs and remembers each improvement."""

    def __init__(self, limit):
        self.spent, self.limit, self.best, self.improvements = 0, limit, math.inf, []

    def see(self, loss):
        self.spent += 1
        if loss < self.best:
            self.best = loss
            self.improvements.append((self.spent, loss))

    @property
    def over(self):
        return self.spent >= self.limit


def ours(text, orders, limit):
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as table:
        table.write(text)
        table.flush()
        lines = "".join(" ".join(map(str, order)) + "\n" for order in orders)
        command = [
            "cargo",
            "bench",
            "-q",
            "--no-default-features",
            "--features",
            "engine",
            "--bench",
            "curves",
            "--",
            table.name,
            str(limit),
        ]
        out = subprocess.run(
            command, input=lines, capture_output=True, text=True, check=True
        ).stdout
    results = {}
    for name, seed, spent, loss in csv.reader(io.StringIO(out)):
        results.setdefault(name, [[] for _ in orders])[int(seed)].append(
            (float(spent), float(loss))
        )
    return results


def optuna_pruner(make):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def run(curves, order, limit, seed):
        study = optuna.create_study(
            sampler=optuna.samplers.RandomSampler(seed=seed), pruner=make(optuna.pruners)
        )
        ledger = Ledger(limit)
        for row in order:
            trial = study.ask()
            pruned = False
            for epoch, loss in enumerate(curves[row], 1):
                ledger.see(loss)
                trial.report(loss, epoch)
                if ledger.over or trial.should_prune():
                    pruned = True
                    break
            study.tell(
                trial,
                None if pruned else min(curves[row]),
                state=optuna.trial.TrialState.PRUNED if pruned else None,
            )
            if ledger.over:
                break
        return ledger.improvements

    return run


def syne_tune_asha(brackets=1):
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
    import datetime
    import logging

    logging.disable(logging.WARNING)

    def run(curves, order, limit, seed):
        scheduler = AsynchronousSuccessiveHalving(
            {"x": uniform(0, 1)},
            metric="loss",
            time_attr="epoch",
            max_t=TOP,
            grace_period=1,
            reduction_factor=3,
            brackets=brackets,
            random_seed=seed,
        )
        ledger = Ledger(limit)
        for number, row in enumerate(order):
            trial = Trial(number, scheduler.suggest().config, datetime.datetime.now())
            scheduler.on_trial_add(trial)
            for epoch, loss in enumerate(curves[row], 1):
                ledger.see(loss)
                if (
                    ledger.over
                    or scheduler.on_trial_result(trial, {"epoch": epoch, "loss": loss})
                    != SchedulerDecision.CONTINUE
                ):
                    break
            else:
                scheduler.on_trial_complete(trial, {"epoch": epoch, "loss": loss})
            if ledger.over:
                break
        return ledger.improvements

    return run


def peers():
    makers = {
        "Optuna SuccessiveHalvingPruner": lambda: optuna_pruner(
            lambda p: p.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        ),
        "Optuna HyperbandPruner": lambda: optuna_pruner(
            lambda p: p.HyperbandPruner(min_resource=1, max_resource=TOP, reduction_factor=3)
        ),
        "Optuna MedianPruner": lambda: optuna_pruner(lambda p: p.MedianPruner()),
        "Syne Tune ASHA": lambda: syne_tune_asha(1),
        "Syne Tune Hyperband": lambda: syne_tune_asha(4),
    }
    for name, make in makers.items():
        try:
            yield name, make()
        except ImportError as error:
            print(f"<!-- {name}: {error} -->")


def at(improvements, budget):
    return min((loss for spent, loss in improvements if spent <= budget), default=math.nan)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=50)
    seeds = options.parse_args().seeds
    text, curves = load()
    limit = BUDGETS[-1]
    orders = [random.Random(seed).sample(range(len(curves)), len(curves)) for seed in range(seeds)]
    results = ours(text, orders, limit)
    for name, run in peers():
        results[name] = [run(curves, order, limit, seed) for seed, order in enumerate(orders)]

    names = list(results)
    print(
        f"{len(curves)} curves of {TOP} epochs, {seeds} orders; mean best validation loss after so many epochs in all.\n"
    )
    print("| | " + " | ".join(str(budget) for budget in BUDGETS) + " | mean rank |")
    print("|---|" + "---:|" * (len(BUDGETS) + 1))
    ranks = {name: [] for name in names}
    for seed in range(seeds):
        for budget in BUDGETS:
            values = {name: at(results[name][seed], budget) for name in names}
            for name in names:
                below = sum(other < values[name] for other in values.values())
                same = sum(other == values[name] for other in values.values())
                ranks[name].append(below + (same + 1) / 2)
    for name in names:
        means = [statistics.fmean(at(run, budget) for run in results[name]) for budget in BUDGETS]
        print(
            f"| {name} | "
            + " | ".join(f"{mean:.4f}" for mean in means)
            + f" | {statistics.fmean(ranks[name]):.2f} |"
        )

    print(
        f"\nEpochs (median) until the loss that random search has after {limit} epochs in the same order; never = {limit}.\n"
    )
    print("| | epochs | part | reached |")
    print("|---|---:|---:|---:|")
    for name in names:
        needed, reached = [], 0
        for seed in range(seeds):
            goal = at(results["random, full budget"][seed], limit)
            first = next((spent for spent, loss in results[name][seed] if loss <= goal), None)
            reached += first is not None
            needed.append(limit if first is None else first)
        median = statistics.median(needed)
        print(f"| {name} | {median:.0f} | {median / limit:.1%} | {reached} of {seeds} |")


if __name__ == "__main__":
    main()
