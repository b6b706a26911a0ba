"""Softmax regression on handwritten digits: a Python trainable that needs only the standard library.

    python3 examples/train.py --lr=0.5 --epochs=5

swath tells a trial what it needs in SWATH_* variables; the trial answers with JSON lines. Run by hand, none of them is set,
and the program only prints.
"""

import argparse
import csv
import json
import math
import os
import random
from pathlib import Path

CLASSES = range(10)


def read(folder, seed=1797):
    """The images as ([(pixel, ink), ...], label), only pixels with ink; three quarters to learn from. Never the trial's seed:
    all trials are judged by the same images."""
    with open(Path(folder) / "digits.csv", newline="") as file:
        rows = [[int(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    random.Random(seed).shuffle(rows)
    images = [
        ([(i, ink / 16) for i, ink in enumerate(row[:-1]) if ink] + [(64, 1.0)], row[-1])
        for row in rows
    ]
    return images[: len(images) * 3 // 4], images[len(images) * 3 // 4 :]


def predict(weights, ink):
    sums = [sum(row[i] * value for i, value in ink) for row in weights]
    largest = max(sums)
    powers = [math.exp(s - largest) for s in sums]
    total = sum(powers)
    return [power / total for power in powers]


def learn(state, images, options, order):
    """One epoch of stochastic gradient descent with momentum; returns the mean loss on the way."""
    weights, velocity = state["weights"], state["velocity"]
    loss = 0.0
    for start in range(0, len(images), options.batch):
        batch = [images[i] for i in order[start : start + options.batch]]
        gradient = [[options.l2 * w for w in row] for row in weights]
        for ink, label in batch:
            shares = predict(weights, ink)
            loss -= math.log(max(shares[label], 1e-300))
            for digit in CLASSES:
                error = (shares[digit] - (digit == label)) / len(batch)
                row = gradient[digit]
                for i, value in ink:
                    row[i] += error * value
        for row, speed, slope in zip(weights, velocity, gradient):
            for i, s in enumerate(slope):
                speed[i] = options.momentum * speed[i] - options.lr * s
                row[i] += speed[i]
    return loss / len(images)


def judge(weights, images):
    loss, right = 0.0, 0
    for ink, label in images:
        shares = predict(weights, ink)
        loss -= math.log(max(shares[label], 1e-300))
        right += shares[label] == max(shares)
    return loss / len(images), right / len(images)


def record(**values):
    """Appends one line: a plain object is a report, and reports decide."""
    if "SWATH_RECORDS" in os.environ:
        with open(os.environ["SWATH_RECORDS"], "a") as file:
            file.write(json.dumps(values) + "\n")


def replace(path, state):
    """Writes a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(state))
    unfinished.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()

    env = os.environ.get
    train, validation = read(env("SWATH_DATA_DIR", "data/digits"))
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
    last = min(options.epochs, int(float(env("SWATH_UNTIL", options.epochs))))

    while state["epoch"] < last:
        state["epoch"] += 1
        # The order depends on seed and epoch alone: a resumed training sees what an uninterrupted one sees.
        order = random.Random(f"{seed}/{state['epoch']}").sample(range(len(train)), len(train))
        train_loss = learn(state, train, options, order)
        val_loss, val_acc = judge(state["weights"], validation)
        if "SWATH_CHECKPOINT_DIR" in os.environ:
            replace(
                checkpoint, state
            )  # before the report: who reads the report may end this process
        print(
            f"epoch {state['epoch']}: train_loss {train_loss:.4f}, val_loss {val_loss:.4f}, val_acc {val_acc:.4f}",
            flush=True,
        )
        record(epoch=state["epoch"], train_loss=train_loss, val_loss=val_loss, val_acc=val_acc)
        if "SWATH_TRIAL_DIR" in os.environ and (folder / "stop").exists():
            break


if __name__ == "__main__":
    main()
