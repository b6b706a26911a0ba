"""Functions for the choice of the samplers' constants. `tasks.py` has the functions for their
evaluation, so that no sampler is tuned to the functions that it is judged by."""

import math
import random

from tasks import Task, bbob, shifted


def noisy_bbob(function, dims, share):
    """Returns a BBOB function with noise proportional to its values. The regret has no noise."""
    task = bbob(function, dims)

    def value(params, seed):
        clean = task.value(params, seed)
        return clean, clean * (1 + share * standard_normal(params, seed))

    return Task(f"blurred f{function} d{dims}", task.space, value)


def standard_normal(params, seed):
    """Returns a normal variate that depends only on the seed and the configuration."""
    key = ",".join(f"{value:.9f}" for value in params.values())
    return random.Random(f"{seed} {key}").gauss(0, 1)


def steps(dims, power, fineness):
    """Returns a rotated valley of plateaus."""

    def value(params, seed):
        draw = random.Random(seed)
        optimum = [draw.uniform(0.2, 0.8) for _ in range(dims)]
        rotation = [[draw.gauss(0, 1) for _ in range(dims)] for _ in range(dims)]
        offset = [params[f"x{n}"] - optimum[n] for n in range(dims)]
        rotated = [sum(a * b for a, b in zip(row, offset)) for row in rotation]
        plateaus = [math.floor(fineness * x + 0.5) / fineness for x in rotated]
        return sum((1 + 9 * n / (dims - 1)) * abs(x) ** power for n, x in enumerate(plateaus))

    return Task(f"steps d{dims}", {f"x{n}": (0.0, 1.0) for n in range(dims)}, value)


def noisy_bowl(dims, deviation, wavy=False):
    """Returns a bowl, or a funnel with waves, with added noise. The regret has no noise."""

    def value(params, seed):
        draw = random.Random(seed + 77)
        optimum = [draw.uniform(0.15, 0.85) for _ in range(dims)]
        weights = [draw.lognormvariate(0, 1) for _ in range(dims)]
        offset = [params[f"x{n}"] - optimum[n] for n in range(dims)]
        clean = sum(w * x * x for w, x in zip(weights, offset))
        if wavy:
            clean = math.log(0.01 + clean) + 0.3 * sum(math.sin(9 * x) for x in offset)
        return clean, clean + deviation * standard_normal(params, seed)

    return Task(f"noisy d{dims}", {f"x{n}": (0.0, 1.0) for n in range(dims)}, value)


def landscape(words, neighbours, letters):
    """Returns an NK landscape of choices (Kauffman & Weinberger, J. Theoretical Biology 141, 1989).
    The contribution of each choice depends on it and its neighbours."""

    def value(params, seed):
        choices = [params[f"w{n}"] for n in range(words)]
        contributions = []
        for n in range(words):
            context = [choices[(n + step) % words] for step in range(neighbours + 1)]
            contributions.append(random.Random(f"{seed} {n} {context}").random())
        return sum(contributions) / words

    space = {f"w{n}": [f"c{letter}" for letter in range(letters)] for n in range(words)}
    return Task(f"landscape {words} {neighbours} {letters}", space, value)


def mostly_choices(words, letters):
    """Returns a sum over choices and a number whose optimum depends on the first choice."""
    space = {f"w{n}": [f"c{letter}" for letter in range(letters)] for n in range(words)}

    def value(params, seed):
        draw = random.Random(seed)
        weights = [[draw.random() for _ in range(letters)] for _ in range(words)]
        optima = shifted(seed + 5, letters, 0.0, 1.0)
        choices = [int(params[f"w{n}"][1:]) for n in range(words)]
        contributions = sum(weights[n][letter] for n, letter in enumerate(choices))
        return contributions + 2 * (params["x"] - optima[choices[0]]) ** 2

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
        noisy_bbob(1, 5, 0.3),
        noisy_bbob(6, 3, 0.3),
        noisy_bbob(9, 5, 0.3),
        noisy_bowl(4, 0.1),
        noisy_bowl(5, 0.3, wavy=True),
        noisy_bowl(8, 0.05),
    ]
    choices = [
        landscape(10, 1, 3),
        landscape(6, 2, 6),
        landscape(14, 1, 2),
        mostly_choices(4, 8),
        mostly_choices(2, 30),
    ]
    return numbers + noise + choices
