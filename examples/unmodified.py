"""Fits a polynomial to noisy points by gradient descent. Knows nothing of swath: it reads options and prints."""

import argparse
import math
import random

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--degree", type=int, default=5)
parser.add_argument("--rate", type=float, default=0.3)
parser.add_argument("--ridge", type=float, default=1e-4)
options = parser.parse_args()

draw = random.Random(7)
points = [(x / 20 - 1, math.sin(3 * (x / 20 - 1)) + draw.gauss(0, 0.15)) for x in range(41)]
train, held_out = points[0::2], points[1::2]


def powers(x):
    """Chebyshev polynomials: their sizes are alike, so one rate suits them all."""
    values = [1.0, x]
    while len(values) <= options.degree:
        values.append(2 * x * values[-1] - values[-2])
    return values[: options.degree + 1]


def error(points):
    return sum((sum(c * p for c, p in zip(curve, powers(x))) - y) ** 2 for x, y in points) / len(
        points
    )


curve = [0.0] * (options.degree + 1)
for step in range(1, 501):
    slope = [options.ridge * c for c in curve]
    for x, y in train:
        features = powers(x)
        miss = sum(c * p for c, p in zip(curve, features)) - y
        slope = [s + miss * p / len(train) for s, p in zip(slope, features)]
    curve = [c - options.rate * s for c, s in zip(curve, slope)]
    if step % 100 == 0:
        print(
            f"step {step:5}  training error {error(train):.4f}  held-out error {error(held_out):.4f}",
            flush=True,
        )
