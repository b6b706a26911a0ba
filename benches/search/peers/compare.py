"""Samplers of swath beside those of other tools, on the same tasks, each through its public interface.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install optuna==5.0.0 optunahub cmaes coco-experiment scipy torch smac
    cargo build --release
    /tmp/peers/bin/python benches/search/peers/compare.py --out /tmp/peers/runs.jsonl [--seeds 10] [--trials 200] [--only NAME…]

What has run already is read from `--out` and not run again, so it can be stopped at any time, and runs of several calls add up: a slow peer may
have fewer seeds or trials. A peer that is not installed is left out. Prints tables in Markdown: mean rank and normalised regret with
bootstrap intervals, processor time a proposal. `--speed` prints the time of a proposal after so many trials instead.
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
from entrants import Refused, everyone

BUDGETS = (25, 50, 100, 200)


def play(entrant, task, trials, seed):
    """Returns the least loss after each trial (of several objectives minus the dominated volume, at BUDGETS), and the processor seconds."""
    entrant.start(task, trials, seed)
    best, course, points = math.inf, [], []
    try:
        for at in range(1, trials + 1):
            params = entrant.ask()
            if params is not None:
                value = task.value(params, seed)
                if task.objectives > 1:
                    points.append(value)
                    entrant.tell(list(value))
                else:
                    clean, seen = value if isinstance(value, tuple) else (value, value)
                    best = min(best, clean)
                    entrant.tell([seen])
            if task.objectives > 1 and at in BUDGETS:
                best = -tasks.volume(points, task.reference)
            course.append(best)
        took = entrant.seconds()
    finally:
        entrant.stop()
    return course, took


def interval(values):
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(1000))
    return means[25], means[974]


def table(runs, budget):
    """Mean rank and normalised regret of all pairs of task and seed that everyone has played.

    Regret is 0 at the best that anyone had on that pair after all trials, 1 at random search after the budget, and counted as 2 at most. By pair,
    since the seed chooses the instance, and instances have optima of their own.
    """
    names = sorted({run["name"] for run in runs})
    groups, lows = {}, {}
    for run in runs:
        key = run["task"], run["seed"]
        groups.setdefault(key, {})[run["name"]] = run["course"][budget - 1]
        lows[key] = min(lows.get(key, math.inf), run["course"][-1])
    groups = {key: losses for key, losses in groups.items() if len(losses) == len(names)}
    if not groups or len(names) < 2:
        return
    ranks, regrets = {name: [] for name in names}, {name: [] for name in names}
    for key, losses in groups.items():
        low, yardstick = lows[key], losses["swath random"]
        for name, loss in losses.items():
            below = sum(other < loss for other in losses.values())
            ranks[name].append(below + (sum(other == loss for other in losses.values()) + 1) / 2)
            regrets[name].append(min(2.0, (loss - low) / max(yardstick - low, 1e-12)))
    count = len({task for task, _ in groups})
    print(f"\nAfter {budget} trials: {len(groups)} pairs of task and seed, {count} tasks.\n")
    print("| | mean rank | 95 % | normalised regret | 95 % |\n|---|---:|---:|---:|---:|")
    for name in sorted(names, key=lambda name: statistics.fmean(ranks[name])):
        cells = [name]
        for values, form in ((ranks[name], "{:.2f}"), (regrets[name], "{:.3f}")):
            low, high = (form.format(x) for x in interval(values))
            cells += [form.format(statistics.fmean(values)), f"{low} to {high}"]
        print(f"| {' | '.join(cells)} |")


def tables(runs, trials):
    """First those who have played nearly all that random search has; then again on what all have played."""
    for budget in (budget for budget in BUDGETS if budget <= trials):
        enough = [run for run in runs if len(run["course"]) >= budget]
        count = {
            name: sum(run["name"] == name for run in enough)
            for name in {run["name"] for run in enough}
        }
        if "swath random" not in count:
            continue
        most = {name for name in count if count[name] >= 0.8 * count["swath random"]}
        table([run for run in enough if run["name"] in most], budget)
        if len(most) < len(count):
            table(enough, budget)


def speed(binary):
    """Prints the time of asking for one more configuration when so many random trials in ten dimensions are known: the least of three."""
    task = tasks.bbob(8, 10)
    sizes = (50, 100, 200, 500, 1000, 10000)
    print(
        f"| ms a proposal, 10 dimensions, after | {' | '.join(map(str, sizes))} |\n|---|{'---:|' * len(sizes)}"
    )
    for name, entrant in everyone(binary, False):
        if not hasattr(entrant, "know"):
            continue
        cells = []
        for size in sizes:
            # Auto mixes quick and slow ones, so that the least of three says nothing; Gaussian processes are not made for more.
            most = (
                500
                if name in ("Optuna GP", "Optuna AutoSampler")
                else 1000
                if name == "swath gp"
                else size
            )
            if size > most or name in ("swath random", "swath auto"):
                cells.append("")
                continue
            draw = random.Random(size)
            entrant.start(task, size + 10, 1)
            known = [{f"x{at}": draw.uniform(-5, 5) for at in range(10)} for _ in range(size)]
            entrant.know(task, [(params, [task.value(params, 1)]) for params in known])
            spent = []
            for _ in range(4):
                begun = time.perf_counter()
                params = entrant.ask()
                spent.append(1000 * (time.perf_counter() - begun))
                entrant.tell([task.value(params, 1)])
            entrant.stop()
            cells.append(f"{min(spent[1:]):.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--out")
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument("--only", nargs="*")
    options.add_argument(
        "--tasks", nargs="*", help="words, one of which the name of a task has to have"
    )
    options.add_argument(
        "--development",
        action="store_true",
        help="the functions on which constants are chosen, not those that judge",
    )
    options.add_argument("--swath", default="target/release/swath")
    options.add_argument("--speed", action="store_true")
    options.add_argument("--per-task", action="store_true", help="also the tables of each task")
    given = options.parse_args()
    if given.speed:
        return speed(given.swath)
    if not given.out:
        options.error("--out is missing")
    out = pathlib.Path(given.out)
    runs = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {
        (run["name"], run["task"], run["seed"])
        for run in runs
        if len(run["course"]) >= given.trials
    }
    chosen = [
        task
        for task in (development if given.development else tasks).all_tasks()
        if not given.tasks or any(word in task.name for word in given.tasks)
    ]
    several = {task.name for task in chosen if task.objectives > 1}
    with out.open("a") as file:
        for seed in range(given.seeds):
            for task in chosen:
                for name, entrant in everyone(given.swath, task.objectives > 1):
                    if (given.only and name not in given.only) or (name, task.name, seed) in done:
                        continue
                    try:
                        course, took = play(entrant, task, given.trials, seed)
                    except Refused:
                        continue
                    run = {
                        "name": name,
                        "task": task.name,
                        "seed": seed,
                        "course": course,
                        "ms": 1000 * took / given.trials,
                    }
                    file.write(json.dumps(run) + "\n")
                    file.flush()
                    runs.append(run)
    names = {task.name for task in chosen}
    longest = {}
    for run in sorted(
        (run for run in runs if run["task"] in names), key=lambda run: len(run["course"])
    ):
        longest[run["name"], run["task"], run["seed"]] = run
    runs = list(longest.values())
    for title, wanted in (("One objective", names - several), ("Several objectives", several)):
        print(f"\n### {title}")
        tables([run for run in runs if run["task"] in wanted], given.trials)
        for task in sorted(wanted) if given.per_task else ():
            print(f"\n#### {task}")
            tables([run for run in runs if run["task"] == task], given.trials)
    print("\n| | ms of processor time a proposal, mean over the run |\n|---|---:|")
    for name in sorted({run["name"] for run in runs}):
        print(
            f"| {name} | {statistics.fmean(run['ms'] for run in runs if run['name'] == name):.1f} |"
        )


if __name__ == "__main__":
    main()
