"""Compares schedulers on recorded learning curves: best validation loss by number of epochs.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install optuna syne-tune
    /tmp/peers/bin/python benches/search/curves/compare.py [--seeds 50]

All schedulers receive the same curves in the same random orders, one trial at a time. A resumed
trial counts only its additional epochs. Peers that are not installed are skipped. The output is a
table in Markdown.
"""

import argparse
import csv
import datetime
import functools
import gzip
import io
import logging
import math
import pathlib
import random
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
MAX_EPOCHS = 81
BUDGETS = [81 * n for n in (1, 2, 5, 10, 20, 40, 80)]


def load_curves():
    """Returns the table as a text, and the losses of each curve."""
    rows = list(csv.reader(io.TextIOWrapper(gzip.open(HERE / "curves.csv.gz"))))
    return [
        "\n".join(",".join(row) for row in rows) + "\n",
        [[float(x) if x else math.nan for x in row[2:]] for row in rows[1:]],
    ]


class Ledger:
    """Counts epochs and records each improvement of the best loss."""

    def __init__(self, limit):
        self.spent, self.limit, self.best, self.improvements = 0, limit, math.inf, []

    def add(self, loss):
        self.spent += 1
        if loss < self.best:
            self.best = loss
            self.improvements.append((self.spent, loss))

    @property
    def is_spent(self):
        return self.spent >= self.limit


def run_swath(text, orders, limit):
    """Returns the improvements of each scheduler of swath, one list for each order."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as table:
        table.write(text)
        table.flush()
        lines = "".join(" ".join(map(str, order)) + "\n" for order in orders)
        command = ["cargo", "bench", "-q", "-p", "swath", "--no-default-features"]
        command += ["--features", "engine", "--bench", "curves", "--", table.name, str(limit)]
        result = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    results = {}
    for name, seed, spent, loss in csv.reader(io.StringIO(result.stdout)):
        results.setdefault(name, [[] for _ in orders])[int(seed)].append(
            (float(spent), float(loss))
        )
    return results


def run_optuna(make_pruner, curves, order, limit, seed):
    """Returns the improvements of a pruner of Optuna."""
    import optuna

    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler, pruner=make_pruner())
    ledger = Ledger(limit)
    for row in order:
        trial = study.ask()
        pruned = False
        for epoch, loss in enumerate(curves[row], 1):
            ledger.add(loss)
            trial.report(loss, epoch)
            if ledger.is_spent or trial.should_prune():
                pruned = True
                break
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, min(curves[row]))
        if ledger.is_spent:
            break
    return ledger.improvements


def optuna_peers():
    """Yields the pruners of Optuna: a name, and a function that runs an order of the curves."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruners = {
        "SuccessiveHalvingPruner": {"min_resource": 1, "reduction_factor": 3},
        "HyperbandPruner": {
            "min_resource": 1,
            "max_resource": MAX_EPOCHS,
            "reduction_factor": 3,
        },
        "MedianPruner": {},
    }
    for name, options in pruners.items():
        make_pruner = functools.partial(getattr(optuna.pruners, name), **options)
        yield f"Optuna {name}", functools.partial(run_optuna, make_pruner)


def run_syne_tune(brackets, curves, order, limit, seed):
    """Returns the improvements of asynchronous successive halving in Syne Tune."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

    scheduler = AsynchronousSuccessiveHalving(
        {"x": uniform(0, 1)},
        metric="loss",
        time_attr="epoch",
        max_t=MAX_EPOCHS,
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
            ledger.add(loss)
            if ledger.is_spent:
                break
            decision = scheduler.on_trial_result(trial, {"epoch": epoch, "loss": loss})
            if decision != SchedulerDecision.CONTINUE:
                break
        else:
            scheduler.on_trial_complete(trial, {"epoch": epoch, "loss": loss})
        if ledger.is_spent:
            break
    return ledger.improvements


def syne_tune_peers():
    """Yields the schedulers of Syne Tune in the same form."""
    import syne_tune  # noqa: F401 # raises ImportError if it is not installed

    logging.disable(logging.WARNING)
    for name, brackets in (("ASHA", 1), ("Hyperband", 4)):
        yield f"Syne Tune {name}", functools.partial(run_syne_tune, brackets)


def peers():
    """Yields the schedulers of all installed packages."""
    for package, schedulers in (("Optuna", optuna_peers), ("Syne Tune", syne_tune_peers)):
        try:
            yield from list(schedulers())
        except ImportError as error:
            print(f"<!-- {package}: {error} -->")


def best_loss(improvements, budget):
    """Returns the best loss within a budget of epochs."""
    return min((loss for spent, loss in improvements if spent <= budget), default=math.nan)


def mean_ranks(results, seeds):
    """Returns the mean rank of each scheduler over all orders and budgets."""
    ranks = {name: [] for name in results}
    for seed in range(seeds):
        for budget in BUDGETS:
            losses = {name: best_loss(runs[seed], budget) for name, runs in results.items()}
            for name, loss in losses.items():
                better = sum(other < loss for other in losses.values())
                ties = sum(other == loss for other in losses.values())
                ranks[name].append(better + (ties + 1) / 2)
    return {name: statistics.fmean(values) for name, values in ranks.items()}


def print_losses(results, seeds):
    print("| | " + " | ".join(str(budget) for budget in BUDGETS) + " | mean rank |")
    print("|---|" + "---:|" * (len(BUDGETS) + 1))
    ranks = mean_ranks(results, seeds)
    for name, runs in results.items():
        cells = [name]
        for budget in BUDGETS:
            cells.append(f"{statistics.fmean(best_loss(run, budget) for run in runs):.4f}")
        print(f"| {' | '.join(cells)} | {ranks[name]:.2f} |")


def print_epochs_to_target(results, limit):
    """Prints the epochs that each scheduler needs for the final loss of random search."""
    print("| | epochs | share | reached |")
    print("|---|---:|---:|---:|")
    for name, runs in results.items():
        epochs, reached = [], 0
        for run, random_run in zip(runs, results["random, full budget"]):
            target = best_loss(random_run, limit)
            first = next((spent for spent, loss in run if loss <= target), None)
            reached += first is not None
            epochs.append(limit if first is None else first)
        median = statistics.median(epochs)
        print(f"| {name} | {median:.0f} | {median / limit:.1%} | {reached} of {len(runs)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    text, curves = load_curves()
    limit = BUDGETS[-1]
    orders = [random.Random(seed).sample(range(len(curves)), len(curves)) for seed in range(seeds)]
    results = run_swath(text, orders, limit)
    for name, run in peers():
        results[name] = [run(curves, order, limit, seed) for seed, order in enumerate(orders)]
    size = f"{len(curves)} curves of {MAX_EPOCHS} epochs, {seeds} orders"
    print(f"{size}; mean best validation loss by total epochs.\n")
    print_losses(results, seeds)
    print(f"\nMedian epochs until the loss of random search after {limit} epochs in the same order")
    print(f"({limit} if never).\n")
    print_epochs_to_target(results, limit)


if __name__ == "__main__":
    main()
