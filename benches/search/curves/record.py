"""Records learning curves of real trainings for `benches/search/fidelity`.

    pip install scikit-learn
    python benches/search/curves/record.py

Writes `boosting.csv.gz` and `sgd.csv.gz` beside this file: random configurations, and
their validation loss after each of 81 epochs. A configuration is given by its place in the unit
cube; `fidelity/tasks.rs` reads the same axes.
"""

import gzip
import math
import pathlib
import warnings

import numpy
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent
EPOCHS = 81
CONFIGURATIONS = 400
WORST = 20.0


def logarithmic(x, low, high):
    return low * (high / low) ** x


def chosen(x, options):
    return options[min(int(x * len(options)), len(options) - 1)]


def split(features, labels, size):
    parts = train_test_split(features, labels, train_size=size, random_state=1, stratify=labels)
    scaler = StandardScaler().fit(parts[0])
    return [scaler.transform(parts[0]), scaler.transform(parts[1]), parts[2], parts[3]]


def loss_of(model, features, labels):
    try:
        loss = log_loss(labels, model.predict_proba(features), labels=model.classes_)
    except ValueError:
        return WORST
    return min(loss, WORST) if math.isfinite(loss) else WORST


def boosting(x, seed):
    train, validation, labels, validation_labels = MADE
    model = GradientBoostingClassifier(
        n_estimators=EPOCHS,
        learning_rate=logarithmic(x[0], 0.005, 1.5),
        max_depth=1 + int(8 * x[1]),
        subsample=0.2 + 0.8 * x[2],
        max_features=0.05 + 0.95 * x[3],
        min_samples_leaf=int(logarithmic(x[4], 1, 60)),
        random_state=seed,
    ).fit(train, labels)
    stages = model.staged_predict_proba(validation)
    return [min(log_loss(validation_labels, stage), WORST) for stage in stages]


def sgd(x, seed):
    train, validation, labels, validation_labels = CANCER
    model = SGDClassifier(
        loss="log_loss",
        eta0=logarithmic(x[0], 1e-5, 1.0),
        learning_rate=chosen(x[4], ["constant", "invscaling"]),
        power_t=x[1],
        alpha=logarithmic(x[2], 1e-7, 1.0),
        penalty=chosen(x[5], ["l2", "l1", "elasticnet"]),
        average=chosen(x[3], [False, True]),
        random_state=seed,
    )
    losses = []
    for _ in range(EPOCHS):
        model.partial_fit(train, labels, classes=[0, 1])
        losses.append(loss_of(model, validation, validation_labels))
    return losses


CANCER = split(*load_breast_cancer(return_X_y=True), 250)
MADE = split(
    *make_classification(
        1600, 20, n_informative=8, n_clusters_per_class=4, flip_y=0.05, class_sep=0.7, random_state=3
    ),
    600,
)


def record(name, training, axes):
    rng = numpy.random.default_rng(7)
    rows = []
    for trial in range(CONFIGURATIONS):
        x = [round(value, 4) for value in rng.random(axes)]
        losses = training(x, trial)
        cells = [f"{value:.4f}" for value in x] + [f"{loss:.3g}" for loss in losses]
        rows.append(",".join(cells))
    text = "\n".join(rows) + "\n"
    with gzip.GzipFile(HERE / f"{name}.csv.gz", "wb", mtime=0) as file:
        file.write(text.encode())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record("sgd", sgd, 6)
    record("boosting", boosting, 5)
