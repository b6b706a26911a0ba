"""Softmax regression on handwritten digits, a program that needs only the standard library.

    python3 examples/train.py --lr=0.5 --epochs=5

swath passes the settings of a trial in SWATH_* variables, and the trial reports its metrics as JSON
lines. Without these variables, the program only prints.
"""

import argparse
import csv
import json
import math
import os
import random
from pathlib import Path

CLASSES = range(10)


def read_images(folder, seed=1797):
    """Returns the images for training, three quarters, and those for validation. An image is
    ([(pixel, ink), ...], label) with its non-zero pixels and a constant for the bias. The split
    does not depend on the seed of the trial: all trials are validated on the same images."""
    with open(Path(folder) / "digits.csv", newline="") as file:
        rows = [[int(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    random.Random(seed).shuffle(rows)
    images = [
        ([(i, ink / 16) for i, ink in enumerate(row[:-1]) if ink] + [(64, 1.0)], row[-1])
        for row in rows
    ]
    return images[: len(images) * 3 // 4], images[len(images) * 3 // 4 :]


def predict(weights, ink):
    """Returns the probability of each digit. Subtracting the largest logit avoids an overflow."""
    logits = [sum(row[i] * value for i, value in ink) for row in weights]
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def train_epoch(state, images, options, order):
    """Trains for one epoch by stochastic gradient descent with momentum. Returns the mean loss."""
    weights, velocity = state["weights"], state["velocity"]
    loss = 0.0
    for start in range(0, len(images), options.batch):
        batch = [images[i] for i in order[start : start + options.batch]]
        gradient = [[options.l2 * w for w in row] for row in weights]
        for ink, label in batch:
            probabilities = predict(weights, ink)
            loss -= math.log(max(probabilities[label], 1e-300))
            for digit in CLASSES:
                error = (probabilities[digit] - (digit == label)) / len(batch)
                row = gradient[digit]
                for i, value in ink:
                    row[i] += error * value
        for row, row_velocity, row_gradient in zip(weights, velocity, gradient):
            for i, derivative in enumerate(row_gradient):
                row_velocity[i] = options.momentum * row_velocity[i] - options.lr * derivative
                row[i] += row_velocity[i]
    return loss / len(images)


def evaluate(weights, images):
    """Returns the mean loss and the accuracy."""
    loss, correct = 0.0, 0
    for ink, label in images:
        probabilities = predict(weights, ink)
        loss -= math.log(max(probabilities[label], 1e-300))
        correct += probabilities[label] == max(probabilities)
    return loss / len(images), correct / len(images)


def report(**values):
    """Appends a report, which samplers and schedulers use."""
    if "SWATH_RECORDS" in os.environ:
        with open(os.environ["SWATH_RECORDS"], "a") as file:
            file.write(json.dumps(values) + "\n")


def save_checkpoint(path, state):
    """Replaces the checkpoint. A crash leaves either the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()

    env = os.environ.get
    train, validation = read_images(env("SWATH_DATA_DIR", "data/digits"))
    seed = int(env("SWATH_SEED", "0"))
    folder = Path(env("SWATH_TRIAL_DIR", ""))
    checkpoint = Path(env("SWATH_CHECKPOINT_DIR", "")) / "state.json"

    state = {
        "epoch": 0,
        "weights": [[0.0] * 65 for _ in CLASSES],
        "velocity": [[0.0] * 65 for _ in CLASSES],
    }
    if "SWATH_RESUME" in os.environ and checkpoint.exists():
        state = json.loads(checkpoint.read_text())
    last_epoch = min(options.epochs, int(float(env("SWATH_UNTIL", options.epochs))))

    while state["epoch"] < last_epoch:
        state["epoch"] += 1
        # The order depends only on seed and epoch, so a resumed trial gives the same results.
        order = random.Random(f"{seed}/{state['epoch']}").sample(range(len(train)), len(train))
        train_loss = train_epoch(state, train, options, order)
        val_loss, val_acc = evaluate(state["weights"], validation)
        # Save before the report: swath may end this process as soon as it has read the report.
        if "SWATH_CHECKPOINT_DIR" in os.environ:
            save_checkpoint(checkpoint, state)
        metrics = {"train_loss": train_loss, "val_loss": val_loss, "val_acc": val_acc}
        texts = [f"{name} {value:.4f}" for name, value in metrics.items()]
        print(f"epoch {state['epoch']}: {', '.join(texts)}", flush=True)
        report(epoch=state["epoch"], **metrics)
        if "SWATH_TRIAL_DIR" in os.environ and (folder / "stop").exists():
            break


if __name__ == "__main__":
    main()
