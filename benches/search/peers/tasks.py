"""Functions to minimise: BBOB from the package `coco-experiment`, the digits network from a table,
mixed and conditional spaces, ZDT and DTLZ.

A task is a space, in the terms of a sweep file, and a function of a configuration and a seed. The
seed selects the instance of the function.
"""

import csv
import math
import pathlib
import random


class Task:
    def __init__(self, name, space, value, reference=None):
        """`reference` is the reference point of the hypervolume; a task without it has one
        objective."""
        self.name, self.space, self.value, self.reference = name, space, value, reference

    @property
    def objectives(self):
        return len(self.reference or "1")

    def toml(self):
        def domain(spec):
            if isinstance(spec, list):
                return "[" + ", ".join(f'"{word}"' for word in spec) + "]"
            low, high, *rest = spec
            form = "{}" if "int" in rest else "{!r}"
            words = [f"min = {form.format(low)}", f"max = {form.format(high)}", "digits = 12"]
            words += ["log = true"] if "log" in rest else []
            words += [f'when = "{word[5:]}"' for word in rest if word.startswith("when ")]
            return (
                "{ "
                + ", ".join(
                    word for word in words if not ("int" in rest and word.startswith("digits"))
                )
                + " }"
            )

        return "\n".join(f"{name} = {domain(spec)}" for name, spec in self.space.items())


def bbob(function, dims):
    """Returns the regret on one of the 24 noiseless functions of BBOB, which exist in 2, 3, 5, 10,
    20 and 40 dimensions. The seed is the instance."""
    space = {f"x{index}": (-5.0, 5.0) for index in range(dims)}
    problems = {}

    def value(params, seed):
        if seed not in problems:
            import cocoex

            instance = 1 + seed % 15
            suite = cocoex.Suite(
                "bbob", f"instances: {instance}", f"dimensions: {dims} function_indices: {function}"
            )
            problem = suite.get_problem(0)
            problems[seed] = (
                suite,
                problem,
                problem.best_value() if hasattr(problem, "best_value") else None,
            )
        _, problem, best = problems[seed]
        loss = problem([params[f"x{index}"] for index in range(dims)])
        return loss - best if best is not None else loss

    return Task(f"bbob f{function} d{dims}", space, value)


def shifted(seed, count, low=0.25, high=0.75):
    """Returns the coordinates of the optimum of an instance."""
    draw = random.Random(seed)
    return [draw.uniform(low, high) for _ in range(count)]


def mlp():
    """Imitates the tuning of a network: log scales, integers, interacting choices, and a parameter
    that exists for one choice only."""
    space = {
        "lr": (1e-5, 1e-1, "log"),
        "decay": (1e-6, 1e-1, "log"),
        "layers": (1, 6, "int"),
        "units": (8, 512, "log", "int"),
        "dropout": (0.0, 0.8),
        "optimizer": ["sgd", "adam", "adamw"],
        "momentum": (0.0, 0.99, "when optimizer == 'sgd'"),
    }

    def value(params, seed):
        shift = shifted(seed, 6)
        best_lr = (
            {"sgd": -1.8, "adam": -2.9, "adamw": -2.7}[params["optimizer"]]
            + (shift[0] - 0.5)
            - 0.15 * params["layers"]
        )
        loss = 0.08 * (math.log10(params["lr"]) - best_lr) ** 2
        if params["optimizer"] == "sgd":
            loss += 0.05 + 0.3 * (params["momentum"] - (0.6 + 0.5 * shift[1] - 0.1)) ** 2
        loss += {"sgd": 0.0, "adam": 0.03, "adamw": 0.0}[params["optimizer"]]
        loss += 0.01 * (math.log10(params["decay"]) + 2 + 3 * shift[2]) ** 2
        size = math.log2(params["units"]) * math.sqrt(params["layers"])
        loss += 0.004 * (size - 8 - 6 * shift[3]) ** 2
        loss += 0.4 * (params["dropout"] - 0.1 - 0.6 * shift[4] * min(1.0, size / 16)) ** 2
        return loss + 0.02 * math.sin(9 * math.log10(params["lr"]) + 7 * params["dropout"])

    return Task("network, mixed", space, value)


def branches():
    """Returns a function with a choice between three subspaces, one of which has the optimum."""
    space = {"kind": ["a", "b", "c"], "depth": (1, 12, "int")}
    for kind in "abc":
        for index in range(3):
            space[f"{kind}{index}"] = (0.0, 1.0, f"when kind == '{kind}'")

    def value(params, seed):
        kind = params["kind"]
        optimum = shifted(seed * 3 + "abc".index(kind), 3)
        base = [0.0, 0.15, 0.3][("abc".index(kind) + seed) % 3]
        curve = sum((params[f"{kind}{n}"] - optimum[n]) ** 2 for n in range(3))
        return base + curve + 0.01 * abs(params["depth"] - 3 - seed % 6)

    return Task("branches", space, value)


def choices():
    """Returns a function of eight choices of five letters, with interactions between neighbours."""
    letters = ["k", "l", "m", "n", "o"]
    space = {f"w{index}": letters for index in range(8)}

    def value(params, seed):
        draw = random.Random(seed)
        single = [[draw.random() for _ in letters] for _ in range(8)]
        pairs = [[[draw.random() for _ in letters] for _ in letters] for _ in range(7)]
        code = [letters.index(params[f"w{index}"]) for index in range(8)]
        loss = sum(single[index][code[index]] for index in range(8))
        return loss + 0.5 * sum(pairs[index][code[index]][code[index + 1]] for index in range(7))

    return Task("words", space, value)


def noisy():
    """Returns an ellipsoid in six dimensions with added noise. The regret has no noise."""
    space = {f"x{index}": (0.0, 1.0) for index in range(6)}

    def value(params, seed):
        optimum = shifted(seed, 6)
        clean = sum((params[f"x{n}"] - optimum[n]) ** 2 / (n + 1) for n in range(6))
        key = ",".join(f"{params[f'x{n}']:.9f}" for n in range(6))
        return clean, clean + random.Random(f"{seed} {key}").gauss(0, 0.05)

    return Task("noisy bowl d6", space, value)


def digits():
    """Returns a model of the network of `examples/digits`: the average of the five nearest of 500
    random configurations. `digits.csv` has their best validation losses in 12 epochs."""
    names = [
        "lr",
        "optimizer",
        "momentum",
        "weight_decay",
        "layers",
        "units1",
        "units2",
        "units3",
        "activation",
        "dropout",
        "batch",
    ]
    space = {
        "lr": (1e-4, 1e-1, "log"),
        "optimizer": ["sgd", "adam", "adamw"],
        "momentum": (0.0, 0.99, "when optimizer == 'sgd'"),
        "weight_decay": (1e-5, 1e-1, "log", "when optimizer == 'adamw'"),
        "layers": (1, 3, "int"),
        "units1": (8, 128, "int", "log"),
        "units2": (8, 128, "int", "log", "when layers >= 2"),
        "units3": (8, 128, "int", "log", "when layers >= 3"),
        "activation": ["relu", "tanh"],
        "dropout": (0.0, 0.5),
        "batch": (16, 128, "int", "log"),
    }

    def point(params):
        coordinates = []
        for name in names:
            spec, value = space[name], params.get(name)
            if isinstance(spec, list):
                coordinates += [0.7 * (value == word) for word in spec]
                continue
            if value in (None, ""):
                coordinates.append(0.5)
                continue
            low, high, value = (
                math.log(x) if "log" in spec else x for x in (spec[0], spec[1], float(value))
            )
            coordinates.append((value - low) / (high - low) * (2 if name == "lr" else 1))
        return coordinates

    table = []

    def value(params, seed):
        if not table:
            with (pathlib.Path(__file__).parent / "digits.csv").open() as file:
                table.extend(
                    (point(row), math.log(float(row["loss"]))) for row in csv.DictReader(file)
                )
        here = point(params)
        nearest = sorted((math.dist(here, there), loss) for there, loss in table)[:5]
        weights = [1 / (distance + 1e-3) for distance, _ in nearest]
        return math.exp(sum(w * loss for w, (_, loss) in zip(weights, nearest)) / sum(weights))

    return Task("digits, tabulated", space, value)


def zdt(number, dims):
    """Returns function 1, 2 or 3 of Zitzler, Deb & Thiele, Evolutionary Computation 8(2), 2000."""

    def value(params, seed):
        x = [params[f"x{index}"] for index in range(dims)]
        g = 1 + 9 * sum(x[1:]) / (dims - 1)
        ratio = x[0] / g
        shape = {
            1: 1 - math.sqrt(ratio),
            2: 1 - ratio**2,
            3: 1 - math.sqrt(ratio) - ratio * math.sin(10 * math.pi * x[0]),
        }
        return x[0], g * shape[number]

    return Task(
        f"zdt{number} d{dims}",
        {f"x{index}": (0.0, 1.0) for index in range(dims)},
        value,
        (1.1, 6.0),
    )


def dtlz(number, dims):
    """Returns function 2 or 7 of Deb, Thiele, Laumanns & Zitzler, 2005, with three objectives."""

    def value(params, seed):
        x = [params[f"x{index}"] for index in range(dims)]
        if number == 2:
            g = 1 + sum((x - 0.5) ** 2 for x in x[2:])
            a, b = (0.5 * math.pi * x for x in x[:2])
            return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)
        g = 2 + 9 * sum(x[2:]) / (dims - 2)
        return x[0], x[1], g * (3 - sum(f / g * (1 + math.sin(3 * math.pi * f)) for f in x[:2]))

    reference = {2: (1.5, 1.5, 1.5), 7: (1.1, 1.1, 25.0)}[number]
    return Task(
        f"dtlz{number} d{dims}",
        {f"x{index}": (0.0, 1.0) for index in range(dims)},
        value,
        reference,
    )


def truss():
    """Returns the volume and the displacement of a truss of four bars (RE2-4-1 of Tanabe &
    Ishibuchi, Applied Soft Computing 89, 2020)."""
    low = (1.0, math.sqrt(2), math.sqrt(2), 1.0)

    def value(params, seed):
        a, b, c, d = (params[f"x{index}"] for index in range(4))
        volume = 200 * (2 * a + math.sqrt(2) * b + math.sqrt(c) + d)
        return volume, 0.01 * (2 / a + 2 * math.sqrt(2) * (1 / b - 1 / c) + 2 / d)

    return Task("truss d4", {f"x{n}": (low[n], 3.0) for n in range(4)}, value, (3000.0, 0.045))


def vehicle():
    """Returns the mass, the acceleration and the intrusion of a crashing vehicle by the thickness
    of five parts (RE3-5-4 of Tanabe & Ishibuchi, 2020)."""

    def value(params, seed):
        a, b, c, d, e = (params[f"x{index}"] for index in range(5))
        mass = 1640.2823 + 2.3573285 * a + 2.3220035 * b + 4.5688768 * c
        mass += 7.7213633 * d + 4.4559504 * e
        push = 6.5856 + 1.15 * a - 1.0427 * b + 0.9738 * c + 0.8364 * d - 0.3695 * a * d
        push += 0.0861 * a * e + 0.3628 * b * d - 0.1106 * a**2 - 0.3437 * c**2 + 0.1764 * d**2
        dent = -0.0551 + 0.0181 * a + 0.1024 * b + 0.0421 * c - 0.0073 * a * b + 0.024 * b * c
        dent += -0.0118 * b * d - 0.0204 * c * d - 0.008 * c * e - 0.0241 * b**2 + 0.0109 * d**2
        return mass, push, dent

    space = {f"x{index}": (1.0, 3.0) for index in range(5)}
    return Task("vehicle d5", space, value, (1700.0, 12.0, 0.3))


def with_noise(task, deviations):
    """Returns a task whose values are reported with noise."""

    def value(params, seed):
        exact = task.value(params, seed)
        draw = random.Random(f"{seed} {sorted(params.items())}")
        return exact, tuple(x + draw.gauss(0, sd) for x, sd in zip(exact, deviations))

    return Task(f"{task.name}, noise", task.space, value, task.reference)


def loss_and_size():
    """Returns the mixed network with two objectives: its loss and the logarithm of its size."""
    network = mlp()

    def value(params, seed):
        return network.value(params, seed), math.log2(params["units"]) * math.sqrt(params["layers"])

    return Task("network and its size, mixed", network.space, value, (3.0, 22.0))


def hypervolume(points, reference):
    """Returns the volume between the points and a reference point, by slices along the last
    coordinate."""
    points = sorted(
        (p for p in points if all(x < r for x, r in zip(p, reference))), key=lambda p: p[-1]
    )
    if len(reference) == 1:
        return reference[0] - points[0][0] if points else 0.0
    total, front = 0.0, []
    for index, point in enumerate(points):
        if not any(all(a <= b for a, b in zip(other, point)) for other in front):
            front = [
                other for other in front if not all(a <= b for a, b in zip(point[:-1], other))
            ] + [point[:-1]]
        height = (points[index + 1][-1] if index + 1 < len(points) else reference[-1]) - point[-1]
        total += height * hypervolume(front, reference[:-1]) if height > 0 else 0.0
    return total


def all_tasks():
    smooth = [bbob(function, dims) for function, dims in [(2, 5), (8, 3), (10, 5), (14, 10)]]
    rugged = [bbob(function, dims) for function, dims in [(3, 5), (7, 5), (15, 5), (21, 3)]]
    several = [zdt(1, 6), zdt(3, 6), dtlz(2, 6), dtlz(7, 6), loss_and_size()]
    several += [zdt(2, 8), truss(), vehicle(), with_noise(zdt(1, 5), (0.05, 0.2))]
    several += [with_noise(dtlz(2, 5), (0.05, 0.05, 0.05))]
    return smooth + rugged + [mlp(), branches(), choices(), noisy(), digits()] + several
