"""Compares the samplers of swath and of other tools on the same tasks, by their public interfaces.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install optuna==5.0.0 optunahub cmaes coco-experiment scipy torch smac
    cargo build --release
    /tmp/peers/bin/python benches/search/peers/compare.py --out /tmp/peers/runs.jsonl
        [--seeds 10] [--trials 200] [--only NAME…]

Runs in the file `--out` are not repeated, so the comparison can be interrupted at any time and
extended later. A slow sampler may have fewer seeds or trials. Packages that are not installed are
skipped. The output is tables in Markdown: mean rank and normalised regret with bootstrap intervals,
and CPU time per proposal. With `--speed`, the table has the time of a proposal by number of trials.
"""

import argparse
import json
import math
import pathlib
import random
import statistics
import time

import development
import tasks
from entrants import Refused, all_entrants

BUDGETS = (25, 50, 100, 200)


def run_sampler(entrant, task, trials, seed):
    """Returns the best loss after each trial, and the CPU seconds. With several objectives the loss
    is minus the dominated hypervolume, computed at `BUDGETS` only."""
    entrant.start(task, trials, seed)
    best, course, points = math.inf, [], []
    try:
        for trial in range(1, trials + 1):
            params = entrant.ask()
            if params is not None:
                value = task.value(params, seed)
                if task.objectives > 1:
                    exact, observed = value if isinstance(value[0], tuple) else (value, value)
                    points.append(exact)
                    entrant.tell(list(observed))
                else:
                    # A noisy task returns the value without noise as well.
                    noiseless, observed = value if isinstance(value, tuple) else (value, value)
                    best = min(best, noiseless)
                    entrant.tell([observed])
            if task.objectives > 1 and trial in BUDGETS:
                best = -tasks.hypervolume(points, task.reference)
            course.append(best)
        cpu_seconds = entrant.seconds()
    finally:
        entrant.stop()
    return course, cpu_seconds


def bootstrap_interval(values):
    """Returns the 95 % interval of the mean."""
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(1000))
    return means[25], means[974]


def ranks_and_regrets(runs, budget):
    """Returns ranks and regrets by sampler on the pairs of task and seed that all have completed.

    The regret is 0 at the best loss of any sampler on the pair after all trials, 1 at the loss of
    random search after the budget, and at most 2. It is computed by pair, because the instances of
    a task have different optima.
    """
    names = sorted({run["name"] for run in runs})
    losses_by_pair, lowest = {}, {}
    for run in runs:
        pair = run["task"], run["seed"]
        losses_by_pair.setdefault(pair, {})[run["name"]] = run["course"][budget - 1]
        lowest[pair] = min(lowest.get(pair, math.inf), run["course"][-1])
    pairs = [pair for pair, losses in losses_by_pair.items() if len(losses) == len(names)]
    ranks, regrets = {name: [] for name in names}, {name: [] for name in names}
    for pair in pairs:
        losses = losses_by_pair[pair]
        scale = max(losses["swath random"] - lowest[pair], 1e-12)
        for name, loss in losses.items():
            better = sum(other < loss for other in losses.values())
            ties = sum(other == loss for other in losses.values())
            ranks[name].append(better + (ties + 1) / 2)
            regrets[name].append(min(2.0, (loss - lowest[pair]) / scale))
    return pairs, ranks, regrets


def print_table(runs, budget):
    """Prints mean rank and normalised regret, the sampler with the lowest rank first."""
    pairs, ranks, regrets = ranks_and_regrets(runs, budget)
    if not pairs or len(ranks) < 2:
        return
    task_count = len({task for task, _ in pairs})
    print(f"\nAfter {budget} trials: {len(pairs)} pairs of task and seed, {task_count} tasks.\n")
    print("| | mean rank | 95 % | normalised regret | 95 % |\n|---|---:|---:|---:|---:|")
    for name in sorted(ranks, key=lambda name: statistics.fmean(ranks[name])):
        cells = [name]
        for values, digits in ((ranks[name], 2), (regrets[name], 3)):
            low, high = bootstrap_interval(values)
            cells.append(f"{statistics.fmean(values):.{digits}f}")
            cells.append(f"{low:.{digits}f} to {high:.{digits}f}")
        print(f"| {' | '.join(cells)} |")


def print_tables(runs, trials):
    """Prints for each budget a table of the samplers with at least 80 % of the runs of random
    search and, if there are others, a table of all on the runs that all have completed."""
    for budget in (budget for budget in BUDGETS if budget <= trials):
        long_runs = [run for run in runs if len(run["course"]) >= budget]
        counts = {}
        for run in long_runs:
            counts[run["name"]] = counts.get(run["name"], 0) + 1
        if "swath random" not in counts:
            continue
        frequent = {name for name, count in counts.items() if count >= 0.8 * counts["swath random"]}
        print_table([run for run in long_runs if run["name"] in frequent], budget)
        if len(frequent) < len(counts):
            print_table(long_runs, budget)


def speed_limit(name):
    """Returns the largest number of trials for which a sampler is timed. Auto alternates between
    fast and slow samplers, so the minimum of three proposals is not meaningful. Gaussian processes
    are not designed for many trials."""
    limits = {"swath random": 0, "swath auto": 0, "swath gp": 1000}
    return limits.get(name, 500 if name in ("Optuna GP", "Optuna AutoSampler") else math.inf)


def proposal_milliseconds(entrant, task, size):
    """Returns the minimum time of three proposals after `size` random trials in ten dimensions."""
    draw = random.Random(size)
    entrant.start(task, size + 10, 1)
    params = [{f"x{n}": draw.uniform(-5, 5) for n in range(10)} for _ in range(size)]
    entrant.add_trials(task, [(trial, [task.value(trial, 1)]) for trial in params])
    times = []
    for _ in range(4):
        start = time.perf_counter()
        proposal = entrant.ask()
        times.append(1000 * (time.perf_counter() - start))
        entrant.tell([task.value(proposal, 1)])
    entrant.stop()
    # The first proposal may include a one-time set-up.
    return min(times[1:])


def print_speed(binary):
    """Prints the time of a proposal by number of trials."""
    task = tasks.bbob(8, 10)
    sizes = (50, 100, 200, 500, 1000, 10000)
    print(f"| ms a proposal, 10 dimensions, after | {' | '.join(map(str, sizes))} |")
    print(f"|---|{'---:|' * len(sizes)}")
    for name, entrant in all_entrants(binary, False):
        if not hasattr(entrant, "add_trials"):
            continue
        cells = []
        for size in sizes:
            is_timed = size <= speed_limit(name)
            cells.append(f"{proposal_milliseconds(entrant, task, size):.2f}" if is_timed else "")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", help="the file of all runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--only", nargs="*", help="names of samplers")
    parser.add_argument("--tasks", nargs="*", help="only tasks whose name has one of these words")
    parser.add_argument(
        "--development",
        action="store_true",
        help="the functions for the choice of constants instead of those for evaluation",
    )
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--speed", action="store_true", help="only the time of a proposal")
    parser.add_argument("--per-task", action="store_true", help="also tables of each task")
    options = parser.parse_args()
    if not options.speed and not options.out:
        parser.error("--out is missing")
    return options


def select_tasks(options):
    source = development if options.development else tasks
    return [
        task
        for task in source.all_tasks()
        if not options.tasks or any(word in task.name for word in options.tasks)
    ]


def complete_runs(options, selected, runs):
    """Adds the missing runs to the file and to `runs`."""
    completed = {
        (run["name"], run["task"], run["seed"])
        for run in runs
        if len(run["course"]) >= options.trials
    }
    with pathlib.Path(options.out).open("a") as file:
        for seed in range(options.seeds):
            for task in selected:
                for name, entrant in all_entrants(options.swath, task.objectives > 1):
                    if options.only and name not in options.only:
                        continue
                    if (name, task.name, seed) in completed:
                        continue
                    try:
                        course, seconds = run_sampler(entrant, task, options.trials, seed)
                    except Refused:
                        continue
                    run = {"name": name, "task": task.name, "seed": seed, "course": course}
                    run["ms"] = 1000 * seconds / options.trials
                    file.write(json.dumps(run) + "\n")
                    file.flush()
                    runs.append(run)


def longest_runs(runs, names):
    """Returns the longest run of each sampler, task and seed, for tasks with these names."""
    longest = {}
    selected = [run for run in runs if run["task"] in names]
    for run in sorted(selected, key=lambda run: len(run["course"])):
        longest[run["name"], run["task"], run["seed"]] = run
    return list(longest.values())


def main():
    options = parse_options()
    if options.speed:
        return print_speed(options.swath)
    out = pathlib.Path(options.out)
    runs = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    selected = select_tasks(options)
    complete_runs(options, selected, runs)
    names = {task.name for task in selected}
    several = {task.name for task in selected if task.objectives > 1}
    runs = longest_runs(runs, names)
    for title, group in (("One objective", names - several), ("Several objectives", several)):
        print(f"\n### {title}")
        print_tables([run for run in runs if run["task"] in group], options.trials)
        for task in sorted(group) if options.per_task else ():
            print(f"\n#### {task}")
            print_tables([run for run in runs if run["task"] == task], options.trials)
    print("\n| | ms of CPU time a proposal, mean over the run |\n|---|---:|")
    for name in sorted({run["name"] for run in runs}):
        mean = statistics.fmean(run["ms"] for run in runs if run["name"] == name)
        print(f"| {name} | {mean:.1f} |")


if __name__ == "__main__":
    main()
