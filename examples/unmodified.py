"""Fits a polynomial to noisy points by gradient descent. It reads options and prints its errors."""

import argparse
import math
import random

# This program has no support for swath: sweeps/capture.toml reads the metrics from its output.
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--degree", type=int, default=5)
parser.add_argument("--rate", type=float, default=0.3)
parser.add_argument("--ridge", type=float, default=1e-4)
options = parser.parse_args()

noise = random.Random(7)
points = [(x / 20 - 1, math.sin(3 * (x / 20 - 1)) + noise.gauss(0, 0.15)) for x in range(41)]
train, validation = points[0::2], points[1::2]


def chebyshev(x):
    """Returns the Chebyshev polynomials at x. Equal scales allow a single learning rate."""
    values = [1.0, x]
    while len(values) <= options.degree:
        values.append(2 * x * values[-1] - values[-2])
    return values[: options.degree + 1]


def predict(coefficients, x):
    return sum(c * p for c, p in zip(coefficients, chebyshev(x)))


def mean_squared_error(coefficients, points):
    return sum((predict(coefficients, x) - y) ** 2 for x, y in points) / len(points)


coefficients = [0.0] * (options.degree + 1)
for step in range(1, 501):
    gradient = [options.ridge * c for c in coefficients]
    for x, y in train:
        residual = predict(coefficients, x) - y
        gradient = [g + residual * p / len(train) for g, p in zip(gradient, chebyshev(x))]
    coefficients = [c - options.rate * g for c, g in zip(coefficients, gradient)]
    if step % 100 == 0:
        training_error = mean_squared_error(coefficients, train)
        validation_error = mean_squared_error(coefficients, validation)
        print(
            f"step {step:5}  training error {training_error:.4f}  "
            f"held-out error {validation_error:.4f}",
            flush=True,
        )
