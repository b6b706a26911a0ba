"""Functions on which constants of the samplers are chosen: others than those of `tasks.py`, which are there to judge."""

import math
import random

from tasks import Task, bbob, shifted


def blurred(function, dims, share):
    """A BBOB function whose values are seen with noise of so large a share of them; the loss that counts is seen without."""
    task = bbob(function, dims)

    def value(params, seed):
        clean = task.value(params, seed)
        return clean, clean * (1 + share * gauss(params, seed))

    return Task(f"blurred f{function} d{dims}", task.space, value)


def gauss(params, seed):
    key = ",".join(f"{value:.9f}" for value in params.values())
    return random.Random(f"{seed} {key}").gauss(0, 1)


def steps(dims, power, fineness):
    """A turned valley that is flat between steps."""

    def value(params, seed):
        draw = random.Random(seed)
        at = [draw.uniform(0.2, 0.8) for _ in range(dims)]
        turn = [[draw.gauss(0, 1) for _ in range(dims)] for _ in range(dims)]
        offset = [params[f"x{n}"] - at[n] for n in range(dims)]
        turned = [sum(a * b for a, b in zip(row, offset)) for row in turn]
        flat = [math.floor(fineness * x + 0.5) / fineness for x in turned]
        return sum((1 + 9 * n / (dims - 1)) * abs(x) ** power for n, x in enumerate(flat))

    return Task(f"steps d{dims}", {f"x{n}": (0.0, 1.0) for n in range(dims)}, value)


def noisy(dims, deviation, wavy=False):
    """A bowl, or a funnel with waves, seen through noise; the loss that counts is seen without."""

    def value(params, seed):
        draw = random.Random(seed + 77)
        at = [draw.uniform(0.15, 0.85) for _ in range(dims)]
        weights = [draw.lognormvariate(0, 1) for _ in range(dims)]
        offset = [params[f"x{n}"] - at[n] for n in range(dims)]
        clean = sum(w * x * x for w, x in zip(weights, offset))
        if wavy:
            clean = math.log(0.01 + clean) + 0.3 * sum(math.sin(9 * x) for x in offset)
        return clean, clean + deviation * gauss(params, seed)

    return Task(f"noisy d{dims}", {f"x{n}": (0.0, 1.0) for n in range(dims)}, value)


def landscape(words, neighbours, letters):
    """Choices only: an NK landscape (Kauffman & Weinberger, J. Theoretical Biology 141, 1989), each word's share drawn for it and its neighbours."""

    def value(params, seed):
        code = [params[f"w{n}"] for n in range(words)]
        near = lambda n: [code[(n + step) % words] for step in range(neighbours + 1)]
        return sum(random.Random(f"{seed} {n} {near(n)}").random() for n in range(words)) / words

    return Task(
        f"landscape {words} {neighbours} {letters}",
        {f"w{n}": [f"c{at}" for at in range(letters)] for n in range(words)},
        value,
    )


def mostly_choices(words, letters):
    """Choices that add up, and a number whose best place the first of them decides."""
    space = {f"w{n}": [f"c{at}" for at in range(letters)] for n in range(words)}

    def value(params, seed):
        draw = random.Random(seed)
        weights = [[draw.random() for _ in range(letters)] for _ in range(words)]
        best = shifted(seed + 5, letters, 0.0, 1.0)
        code = [int(params[f"w{n}"][1:]) for n in range(words)]
        return (
            sum(weights[n][at] for n, at in enumerate(code))
            + 2 * (params["x"] - best[code[0]]) ** 2
        )

    return Task(f"choices {words} {letters}", {**space, "x": (0.0, 1.0)}, value)


def all_tasks():
    pairs = [
        (1, 10),
        (5, 5),
        (6, 5),
        (9, 5),
        (11, 3),
        (12, 5),
        (13, 10),
        (16, 3),
        (17, 5),
        (18, 3),
        (20, 5),
        (22, 3),
        (23, 3),
        (24, 5),
    ]
    numbers = [bbob(function, dims) for function, dims in pairs] + [steps(4, 2, 4), steps(6, 1, 8)]
    noise = [
        blurred(1, 5, 0.3),
        blurred(6, 3, 0.3),
        blurred(9, 5, 0.3),
        noisy(4, 0.1),
        noisy(5, 0.3, wavy=True),
        noisy(8, 0.05),
    ]
    choices = [
        landscape(10, 1, 3),
        landscape(6, 2, 6),
        landscape(14, 1, 2),
        mostly_choices(4, 8),
        mostly_choices(2, 30),
    ]
    return numbers + noise + choices
